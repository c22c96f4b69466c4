//! MOVS, CMPS, STOS, LODS, SCAS with their repeat prefixes (SDM volume 1, section 7.3.9).
//!
//! Every iteration is one step with architectural registers at its end. A handler makes as many
//! iterations as the budget allows; runs of them that stay inside one page and hit the TLB are
//! made at once, which nobody can tell from making them one by one.

use crate::mem::{PAGE_SIZE, Place};
use crate::tlb::Access;
use crate::x86::exec::{Exec, Flow};
use crate::x86::flags::bit;
use crate::x86::int::alu::{apply, kind};
use crate::x86::mmu::Rights;
use crate::x86::op::{Handler, Op, opflag};
use crate::x86::regs::{gpr, seg};
use crate::x86::trap::Trap;
use crate::x86::word::Word;
use iced_x86::{Instruction, Mnemonic, OpKind};

type Done = Result<Flow, Trap>;

/// A register as wide as the address size `A`, zero-extended.
#[inline(always)]
pub fn addr<const A: u8>(ex: &Exec<'_>, r: u8) -> u64 {
    match A {
        2 => ex.get::<u16>(r).into(),
        4 => ex.get::<u32>(r).into(),
        _ => ex.get(r),
    }
}

/// Writes a register as wide as the address size `A`.
#[inline(always)]
pub fn set_addr<const A: u8>(ex: &mut Exec<'_>, r: u8, v: u64) {
    match A {
        2 => ex.set(r, v as u16),
        4 => ex.set(r, v as u32),
        _ => ex.set(r, v),
    }
}

/// Moves an index register by `n` elements in the direction that DF says.
#[inline(always)]
fn advance<T: Word, const A: u8>(ex: &mut Exec<'_>, r: u8, n: u64) {
    let by = n.wrapping_mul(T::BYTES.into());
    let by = if ex.cpu.rflags & bit::DF != 0 { by.wrapping_neg() } else { by };
    let v = addr::<A>(ex, r).wrapping_add(by);
    set_addr::<A>(ex, r, v);
}

/// What one call of a string operation did.
struct Progress {
    /// Iterations made, at least one.
    made: u64,
    /// The comparison ended the repetition.
    ended: bool,
}

const ONE: Progress = Progress { made: 1, ended: false };

/// Repeats `f` as the prefix asks. `f` makes one iteration, or up to as many as its argument
/// says, and updates the index registers; on an error it has changed nothing.
#[inline(always)]
fn repeat<const A: u8>(
    ex: &mut Exec<'_>,
    op: &Op,
    f: impl Fn(&mut Exec<'_>, &Op, u64) -> Result<Progress, Trap>,
) -> Done {
    if !op.rep() {
        f(ex, op, 1)?;
        return Ok(Flow::Next);
    }
    let mut count = addr::<A>(ex, gpr::RCX);
    if count == 0 {
        return Ok(Flow::Next);
    }
    // A breakpoint at a repeated instruction hits at each iteration.
    let single = ex.cpu.rflags & bit::TF != 0 || ex.probes.breaks_in(ex.pc, 1);
    loop {
        let most = if single { 1 } else { count.min(ex.left) };
        let Progress { made, ended } = f(ex, op, most)?;
        count -= made;
        set_addr::<A>(ex, gpr::RCX, count);
        ex.left -= made - 1;
        if count == 0 || ended {
            return Ok(Flow::Next);
        }
        if ex.left <= 1 || ex.attention || single {
            let rip = ex.cpu.rip().wrapping_sub(op.len.into());
            ex.cpu.set_rip(rip);
            return Ok(Flow::Again);
        }
        ex.left -= 1;
    }
}

/// How many of `most` elements from offset `off` of segment `s` on lie in the page of the first
/// and may be accessed through the TLB entry that is there, and where they lie in the host
/// mapping. `None` unless they are more than one.
#[inline]
fn run<T: Word, const A: u8>(
    ex: &Exec<'_>,
    s: u8,
    off: u64,
    most: u64,
    access: Access,
) -> Option<(usize, u64)> {
    let bytes = u64::from(T::BYTES);
    let lin = ex.linear(s, off, bytes, access == Access::Write).ok()?;
    let e = ex.tlb.entry(lin, access);
    let d = lin.wrapping_sub(e.tag);
    if d >= PAGE_SIZE {
        return None;
    }
    let mut n = most.min((PAGE_SIZE - d) / bytes);
    if A < 8 {
        // Offsets must not wrap, nor leave the segment.
        let end = if A == 2 { 0x1_0000 } else { 0x1_0000_0000 };
        n = n.min((end - off) / bytes);
    }
    if n < 2 {
        return None;
    }
    ex.linear(s, off, n * bytes, access == Access::Write).ok()?;
    Some(((e.offset + d) as usize, n))
}

/// The same for stores to a frame that somebody wants to know of stores to, as far as none of them matters.
/// The first element may be stored.
fn run_told<T: Word, const A: u8>(ex: &mut Exec<'_>, s: u8, off: u64, most: u64) -> Option<(usize, u64)> {
    let bytes = u64::from(T::BYTES);
    let lin = ex.linear(s, off, bytes, true).ok()?;
    if A < 4 || !ex.tlb.caches() || !Exec::canonical(lin) || lin % bytes != 0 {
        return None;
    }
    let mut most = most.min((PAGE_SIZE - lin % PAGE_SIZE) / bytes);
    if A < 8 {
        // As in `run`.
        most = most.min((0x1_0000_0000 - off) / bytes);
    }
    if most < 2 || ex.linear(s, off, most * bytes, true).is_err() {
        return None;
    }
    let t = ex.translate(Rights::Current, lin, Access::Write).ok()?;
    let Place::Ram(o) = t.place else { return None };
    if ex.attention {
        // An accessed bit was set in code.
        return None;
    }
    let n = ex.mem.unheard(o, most * bytes) / bytes;
    if n < 2 {
        return None;
    }
    ex.mem.barrier(o, (n * bytes) as u32);
    Some((o as usize, n))
}

fn forward(ex: &Exec<'_>) -> bool {
    ex.cpu.rflags & bit::DF == 0
}

#[inline(always)]
fn movs_some<T: Word, const A: u8>(ex: &mut Exec<'_>, op: &Op, most: u64) -> Result<Progress, Trap> {
    let (from, to) = (addr::<A>(ex, gpr::RSI), addr::<A>(ex, gpr::RDI));
    if most > 1
        && forward(ex)
        && let Some((from, n)) = run::<T, A>(ex, op.seg, from, most, Access::Read)
        && let Some((to, n)) =
            run::<T, A>(ex, seg::ES, to, n, Access::Write).or_else(|| run_told::<T, A>(ex, seg::ES, to, n))
    {
        copy::<T>(ex.mem.bytes_mut(), from, to, n as usize * usize::from(T::BYTES));
        advance::<T, A>(ex, gpr::RSI, n);
        advance::<T, A>(ex, gpr::RDI, n);
        return Ok(Progress { made: n, ended: false });
    }
    let v = ex.read::<T>(op.seg, from)?;
    ex.write(seg::ES, to, v)?;
    advance::<T, A>(ex, gpr::RSI, 1);
    advance::<T, A>(ex, gpr::RDI, 1);
    Ok(ONE)
}

/// Copies `len` bytes element by element, upwards.
fn copy<T: Word>(bytes: &mut [u8], from: usize, to: usize, len: usize) {
    if to <= from || to - from >= len {
        bytes.copy_within(from..from + len, to);
        return;
    }
    // The source is overwritten before it is read: what lies between the two is repeated.
    let n = usize::from(T::BYTES);
    for i in (0..len).step_by(n) {
        let v = T::from_bytes(&bytes[from + i..from + i + n]);
        v.put_bytes(&mut bytes[to + i..to + i + n]);
    }
}

#[inline(always)]
fn stos_some<T: Word, const A: u8>(ex: &mut Exec<'_>, _: &Op, most: u64) -> Result<Progress, Trap> {
    let to = addr::<A>(ex, gpr::RDI);
    let v = ex.get::<T>(gpr::RAX);
    if most > 1
        && forward(ex)
        && let Some((to, n)) = run::<T, A>(ex, seg::ES, to, most, Access::Write)
            .or_else(|| run_told::<T, A>(ex, seg::ES, to, most))
    {
        let bytes = &mut ex.mem.bytes_mut()[to..to + n as usize * usize::from(T::BYTES)];
        let low = v.to_u64() as u8;
        let mut all = [0; 8];
        v.put_bytes(&mut all[..usize::from(T::BYTES)]);
        if all[..usize::from(T::BYTES)].iter().all(|b| *b == low) {
            bytes.fill(low);
        } else {
            for b in bytes.chunks_exact_mut(usize::from(T::BYTES)) {
                v.put_bytes(b);
            }
        }
        advance::<T, A>(ex, gpr::RDI, n);
        return Ok(Progress { made: n, ended: false });
    }
    ex.write(seg::ES, to, v)?;
    advance::<T, A>(ex, gpr::RDI, 1);
    Ok(ONE)
}

#[inline(always)]
fn lods_some<T: Word, const A: u8>(ex: &mut Exec<'_>, op: &Op, _: u64) -> Result<Progress, Trap> {
    let v = ex.read::<T>(op.seg, addr::<A>(ex, gpr::RSI))?;
    ex.set(gpr::RAX, v);
    advance::<T, A>(ex, gpr::RSI, 1);
    Ok(ONE)
}

/// True when a comparison with ZF as given ends the repetition.
#[inline(always)]
fn ends(op: &Op, equal: bool) -> bool {
    equal == (op.flags & opflag::REPNE != 0)
}

#[inline(always)]
fn scas_some<T: Word, const A: u8>(ex: &mut Exec<'_>, op: &Op, most: u64) -> Result<Progress, Trap> {
    let at = addr::<A>(ex, gpr::RDI);
    let a = ex.get::<T>(gpr::RAX);
    let (b, made, ended) = if most > 1
        && forward(ex)
        && let Some((at, n)) = run::<T, A>(ex, seg::ES, at, most, Access::Read)
    {
        let size = usize::from(T::BYTES);
        let bytes = &ex.mem.bytes()[at..at + n as usize * size];
        let found = bytes.chunks_exact(size).position(|b| ends(op, T::from_bytes(b) == a));
        let last = found.unwrap_or(n as usize - 1);
        (T::from_bytes(&bytes[last * size..(last + 1) * size]), last as u64 + 1, found.is_some())
    } else {
        let b = ex.read::<T>(seg::ES, at)?;
        (b, 1, ends(op, a == b))
    };
    apply::<T, { kind::CMP }>(ex, a, b);
    advance::<T, A>(ex, gpr::RDI, made);
    Ok(Progress { made, ended })
}

#[inline(always)]
fn cmps_some<T: Word, const A: u8>(ex: &mut Exec<'_>, op: &Op, most: u64) -> Result<Progress, Trap> {
    let (first, second) = (addr::<A>(ex, gpr::RSI), addr::<A>(ex, gpr::RDI));
    let (a, b, made, ended) = if most > 1
        && forward(ex)
        && let Some((first, n)) = run::<T, A>(ex, op.seg, first, most, Access::Read)
        && let Some((second, n)) = run::<T, A>(ex, seg::ES, second, n, Access::Read)
    {
        let size = usize::from(T::BYTES);
        let bytes = ex.mem.bytes();
        let x = bytes[first..first + n as usize * size].chunks_exact(size);
        let y = bytes[second..second + n as usize * size].chunks_exact(size);
        let found = x.zip(y).position(|(x, y)| ends(op, x == y));
        let last = found.unwrap_or(n as usize - 1);
        let at = |start: usize| T::from_bytes(&bytes[start + last * size..start + (last + 1) * size]);
        (at(first), at(second), last as u64 + 1, found.is_some())
    } else {
        let a = ex.read::<T>(op.seg, first)?;
        let b = ex.read::<T>(seg::ES, second)?;
        (a, b, 1, ends(op, a == b))
    };
    apply::<T, { kind::CMP }>(ex, a, b);
    advance::<T, A>(ex, gpr::RSI, made);
    advance::<T, A>(ex, gpr::RDI, made);
    Ok(Progress { made, ended })
}

macro_rules! handlers {
    ($($name:ident: $some:ident,)*) => { $(
        fn $name<T: Word, const A: u8>(ex: &mut Exec<'_>, op: &Op) -> Done {
            repeat::<A>(ex, op, $some::<T, A>)
        }
    )* };
}
handlers! {
    movs: movs_some,
    stos: stos_some,
    lods: lods_some,
    scas: scas_some,
    cmps: cmps_some,
}

/// Bytes of the address size that a string operand's kind implies.
fn address_bytes(ins: &Instruction) -> Option<u8> {
    (0..ins.op_count()).find_map(|i| match ins.op_kind(i) {
        OpKind::MemorySegSI | OpKind::MemorySegDI | OpKind::MemoryESDI => Some(2),
        OpKind::MemorySegESI | OpKind::MemorySegEDI | OpKind::MemoryESEDI => Some(4),
        OpKind::MemorySegRSI | OpKind::MemorySegRDI | OpKind::MemoryESRDI => Some(8),
        _ => None,
    })
}

macro_rules! by_address {
    ($a:expr, $f:ident, $t:ty) => {
        match $a {
            2 => $f::<$t, 2> as Handler,
            4 => $f::<$t, 4> as Handler,
            _ => $f::<$t, 8> as Handler,
        }
    };
}

/// The handler for `ins`, if it belongs to this module.
pub fn select(ins: &Instruction) -> Option<Handler> {
    // MOVSD and CMPSD are SSE instructions too: those have no string operands.
    let a = address_bytes(ins)?;
    Some(match ins.mnemonic() {
        Mnemonic::Movsb => by_address!(a, movs, u8),
        Mnemonic::Movsw => by_address!(a, movs, u16),
        Mnemonic::Movsd => by_address!(a, movs, u32),
        Mnemonic::Movsq => by_address!(a, movs, u64),
        Mnemonic::Stosb => by_address!(a, stos, u8),
        Mnemonic::Stosw => by_address!(a, stos, u16),
        Mnemonic::Stosd => by_address!(a, stos, u32),
        Mnemonic::Stosq => by_address!(a, stos, u64),
        Mnemonic::Lodsb => by_address!(a, lods, u8),
        Mnemonic::Lodsw => by_address!(a, lods, u16),
        Mnemonic::Lodsd => by_address!(a, lods, u32),
        Mnemonic::Lodsq => by_address!(a, lods, u64),
        Mnemonic::Scasb => by_address!(a, scas, u8),
        Mnemonic::Scasw => by_address!(a, scas, u16),
        Mnemonic::Scasd => by_address!(a, scas, u32),
        Mnemonic::Scasq => by_address!(a, scas, u64),
        Mnemonic::Cmpsb => by_address!(a, cmps, u8),
        Mnemonic::Cmpsw => by_address!(a, cmps, u16),
        Mnemonic::Cmpsd => by_address!(a, cmps, u32),
        Mnemonic::Cmpsq => by_address!(a, cmps, u64),
        _ => return None,
    })
}
