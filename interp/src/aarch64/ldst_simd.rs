//! Loads and stores of structures (C4.1.96: AdvSIMD load/store multiple and single structures).
//!
//! All elements are in place before a register or memory changes: a fault leaves both as they were.

use super::exec::{Exec, Flow, Trap};
use super::op::Op;
use super::regs::sctlr;
use super::vector::{Done, full, get, part};
use crate::mem::PAGE_SIZE;
use crate::tlb::Access;

/// Advances the base: by a register, or by the size of what was moved.
#[inline(always)]
fn write_back(ex: &mut Exec<'_>, op: &Op, moved: u64) {
    let by = if op.rm == 31 { moved } else { ex.x(op.rm) };
    let v = ex.xsp(op.rn).wrapping_add(by);
    ex.set_xsp(op.rn, v);
}

/// Checks that all of a store can be made before its first byte is.
fn check_range(ex: &mut Exec<'_>, va: u64, len: u64) -> Result<(), Trap> {
    if va % PAGE_SIZE + len > PAGE_SIZE {
        ex.check_store(va)?;
        ex.check_store(va.wrapping_add(len - 1))?;
    }
    ex.watchpoint(va, len as u8, Access::Write, false)
}

#[inline(always)]
fn element(v: u128, i: usize, size: usize) -> u128 {
    v >> (8 * size * i) & (u128::MAX >> (128 - 8 * size))
}

#[inline(always)]
fn with_element(v: u128, i: usize, size: usize, e: u128) -> u128 {
    let (at, mask) = (8 * size * i, u128::MAX >> (128 - 8 * size));
    v & !(mask << at) | e << at
}

/// Bytes of up to four registers.
type Buffer = [u8; 64];

/// An access of `total` bytes may be made in larger pieces than elements: all of it lies where the TLB says that plain
/// memory is, and neither byte order nor alignment tells the difference.
#[inline(always)]
fn piece(ex: &Exec<'_>, va: u64, total: u64, size: usize, access: Access) -> usize {
    let d = va.wrapping_sub(ex.tlb.entry(va, access).tag);
    let plain = d <= PAGE_SIZE - total && !ex.cpu.big_endian() && ex.cpu.sctlr() & sctlr::A == 0;
    match () {
        () if !plain => size,
        () if total.is_multiple_of(16) => 16,
        () => 8,
    }
}

/// Loads `total` bytes of elements of `size`.
#[inline(always)]
fn load(ex: &mut Exec<'_>, va: u64, total: u64, size: usize) -> Result<Buffer, Trap> {
    let mut buffer = [0; 64];
    let piece = piece(ex, va, total, size, Access::Read);
    for (i, b) in buffer[..total as usize].chunks_exact_mut(piece).enumerate() {
        let v = ex.load(va.wrapping_add((i * piece) as u64), piece as u8)?;
        b.copy_from_slice(&v.to_le_bytes()[..piece]);
    }
    Ok(buffer)
}

/// Stores `total` bytes of elements of `size`.
#[inline(always)]
fn store(ex: &mut Exec<'_>, va: u64, total: u64, size: usize, buffer: &Buffer) -> Result<(), Trap> {
    check_range(ex, va, total)?;
    let piece = piece(ex, va, total, size, Access::Write);
    for (i, b) in buffer[..total as usize].chunks_exact(piece).enumerate() {
        let mut v = [0; 16];
        v[..piece].copy_from_slice(b);
        ex.store(va.wrapping_add((i * piece) as u64), piece as u8, u128::from_le_bytes(v))?;
    }
    Ok(())
}

/// LD1 to LD4 and ST1 to ST4 of whole registers. `imm` is registers one after the other | registers side by side << 8:
/// one of them is 1.
pub fn multiple<const LOAD: bool, const POST: bool>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    ex.check_sp(op.rn)?;
    let (repeat, parts) = ((op.imm & 0xff) as usize, (op.imm >> 8) as usize);
    let size = 1usize << op.bits(11, 10);
    let (bytes, base) = (if full(op) { 16 } else { 8 }, ex.xsp(op.rn));
    let count = repeat * parts;
    let total = (count * bytes) as u64;
    // What lies together, and where piece `e` of register `r` lies in memory.
    let step = if parts == 1 { bytes } else { size };
    let place = |r: usize, e: usize| if parts == 1 { r * bytes } else { (e * parts + r) * size };
    let number = |i: usize| usize::from(op.rd) + i & 31;
    if LOAD {
        let memory = load(ex, base, total, size)?;
        for r in 0..count {
            let mut v = [0; 16];
            for (e, v) in v[..bytes].chunks_exact_mut(step).enumerate() {
                v.copy_from_slice(&memory[place(r, e)..][..step]);
            }
            ex.cpu.v[number(r)] = u128::from_le_bytes(v);
        }
    } else {
        let mut memory = [0; 64];
        for r in 0..count {
            let v = ex.cpu.v[number(r)].to_le_bytes();
            for (e, v) in v[..bytes].chunks_exact(step).enumerate() {
                memory[place(r, e)..][..step].copy_from_slice(v);
            }
        }
        store(ex, base, total, size, &memory)?;
    }
    if POST {
        write_back(ex, op, total);
    }
    Ok(Flow::Next)
}

/// LD1 to LD4 and ST1 to ST4 of one element each. `imm` is index | log2 of the size << 8 | registers << 16.
pub fn single<const LOAD: bool, const POST: bool>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    ex.check_sp(op.rn)?;
    let (index, size, n) =
        ((op.imm & 0xff) as usize, 1usize << (op.imm >> 8 & 0xff), (op.imm >> 16) as usize);
    let base = ex.xsp(op.rn);
    let total = (n * size) as u64;
    let at = |i: usize| base.wrapping_add((i * size) as u64);
    if LOAD {
        let mut v = [0u128; 4];
        for (i, v) in v.iter_mut().take(n).enumerate() {
            *v = ex.load(at(i), size as u8)?;
        }
        for (i, v) in v.into_iter().take(n).enumerate() {
            let r = usize::from(op.rd) + i & 31;
            ex.cpu.v[r] = with_element(ex.cpu.v[r], index, size, v);
        }
    } else {
        check_range(ex, base, total)?;
        for i in 0..n {
            let v = element(get(ex, op.rd + i as u8), index, size);
            ex.store(at(i), size as u8, v)?;
        }
    }
    if POST {
        write_back(ex, op, total);
    }
    Ok(Flow::Next)
}

/// LD1R to LD4R: `imm` registers, each filled with copies of its element.
pub fn replicate<const POST: bool>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    ex.check_sp(op.rn)?;
    let (n, size) = (op.imm as usize, 1usize << op.bits(11, 10));
    let base = ex.xsp(op.rn);
    let mut v = [0u128; 4];
    for (i, v) in v.iter_mut().take(n).enumerate() {
        let e = ex.load(base.wrapping_add((i * size) as u64), size as u8)?;
        *v = (0..16 / size).fold(0, |v, i| with_element(v, i, size, e));
    }
    for (i, v) in v.into_iter().take(n).enumerate() {
        ex.cpu.v[usize::from(op.rd) + i & 31] = part(op, v);
    }
    if POST {
        write_back(ex, op, (n * size) as u64);
    }
    Ok(Flow::Next)
}
