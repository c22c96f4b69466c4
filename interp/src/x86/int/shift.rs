//! Shifts and rotates: SAL/SHL, SHR, SAR, ROL, ROR, RCL, RCR, SHLD, SHRD (SDM volume 2, chapter 4).

use crate::x86::exec::{Exec, Flow};
use crate::x86::int::mov::operand_bytes;
use crate::x86::op::{Handler, Op};
use crate::x86::regs::gpr;
use crate::x86::trap::Trap;
use crate::x86::word::Word;
use iced_x86::{Instruction, Mnemonic, OpKind};

type Done = Result<Flow, Trap>;

/// The operations, by the number that the ModRM byte's bits 5:3 hold.
mod kind {
    pub const ROL: u8 = 0;
    pub const ROR: u8 = 1;
    pub const RCL: u8 = 2;
    pub const RCR: u8 = 3;
    pub const SHL: u8 = 4;
    pub const SHR: u8 = 5;
    pub const SAR: u8 = 7;
}

/// The count as the processor uses it: 5 bits, 6 for quadwords.
#[inline(always)]
fn masked<T: Word>(count: u64) -> u32 {
    (count & if T::BYTES == 8 { 63 } else { 31 }) as u32
}

/// Sets the flags of a shift. `result` is the shifted value.
#[inline(always)]
fn shifted<T: Word>(ex: &mut Exec<'_>, result: T, cf: bool, of: bool) {
    // Carries out of bits 63, 62 and 3: CF, CF xor OF, AF.
    let carries = u64::from(cf) << 63 | u64::from(cf != of) << 62 | 1 << 3;
    ex.cpu.flags.set_arith(result.to_i64() as u64, carries, 64);
}

/// Shifts or rotates `v` and sets the flags; nothing at all when the masked count is zero.
///
/// Undefined: AF after a shift is set (AMD's processors do so). OF after a count above 1 is
/// computed from the result as after the last of that many steps of one bit; so it is for RCL and
/// RCR with a count that is a multiple of the width plus one and changes nothing else. CF of SHL
/// and SHR with a count above the operand's width is zero, like the bits that came in.
#[inline(always)]
fn apply<T: Word, const K: u8>(ex: &mut Exec<'_>, v: T, count: u64) -> T {
    let c = masked::<T>(count);
    if c == 0 {
        return v;
    }
    let bits = T::BITS;
    let x = v.to_u64();
    let top = |v: u64| v >> (bits - 1) & 1 != 0;
    match K {
        kind::SHL => {
            // Counts reach 31 for bytes and words: 64 bits hold what goes out.
            let cf = c <= bits && x >> (bits - c) & 1 != 0;
            let r = T::from_u64(x << c);
            shifted(ex, r, cf, top(r.to_u64()) != cf);
            r
        }
        kind::SHR => {
            let cf = x >> (c - 1) & 1 != 0;
            let r = T::from_u64(x >> c);
            let before = x >> (c - 1);
            shifted(ex, r, cf, top(before));
            r
        }
        kind::SAR => {
            let x = v.to_i64();
            let cf = x >> (c - 1) & 1 != 0;
            let r = T::from_u64((x >> c) as u64);
            shifted(ex, r, cf, false);
            r
        }
        kind::ROL => {
            let n = c % bits;
            let r = if n == 0 { v } else { T::from_u64(x << n | x >> (bits - n)) };
            let r64 = r.to_u64();
            let cf = r64 & 1 != 0;
            ex.cpu.flags.set_cf_of(cf, top(r64) != cf);
            r
        }
        kind::ROR => {
            let n = c % bits;
            let r = if n == 0 { v } else { T::from_u64(x >> n | x << (bits - n)) };
            let r64 = r.to_u64();
            let cf = top(r64);
            ex.cpu.flags.set_cf_of(cf, cf != top(r64 << 1));
            r
        }
        kind::RCL => {
            let n = c % (bits + 1);
            let carry = u128::from(ex.cpu.flags.cf());
            let wide = u128::from(x) | carry << bits;
            let r = wide << n | wide >> (bits + 1 - n);
            let cf = r >> bits & 1 != 0;
            let r = T::from_u64(r as u64);
            ex.cpu.flags.set_cf_of(cf, top(r.to_u64()) != cf);
            r
        }
        _ => {
            let n = c % (bits + 1);
            let carry = u128::from(ex.cpu.flags.cf());
            let wide = u128::from(x) | carry << bits;
            let r = wide >> n | wide << (bits + 1 - n);
            let cf = r >> bits & 1 != 0;
            let r = T::from_u64(r as u64);
            let r64 = r.to_u64();
            ex.cpu.flags.set_cf_of(cf, top(r64) != top(r64 << 1));
            r
        }
    }
}

fn r_imm<T: Word, const K: u8>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let v = ex.get::<T>(op.r0);
    let r = apply::<T, K>(ex, v, op.imm);
    ex.set(op.r0, r);
    Ok(Flow::Next)
}

fn r_cl<T: Word, const K: u8>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let v = ex.get::<T>(op.r0);
    let count = ex.get::<u64>(gpr::RCX);
    let r = apply::<T, K>(ex, v, count);
    ex.set(op.r0, r);
    Ok(Flow::Next)
}

fn m_imm<T: Word, const K: u8>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.modify::<T>(op, |ex, v| apply::<T, K>(ex, v, op.imm))?;
    Ok(Flow::Next)
}

fn m_cl<T: Word, const K: u8>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let count = ex.get::<u64>(gpr::RCX);
    ex.modify::<T>(op, |ex, v| apply::<T, K>(ex, v, count))?;
    Ok(Flow::Next)
}

/// SHLD (`LEFT`) and SHRD of `dst` with the bits of `src`.
///
/// Undefined: AF is set (AMD's processors do so). OF after a count above 1 is as after the last
/// step of one bit. With a word and a count above 16, the source's bits come in a second time
/// after themselves and CF is cleared; from 16 on, OF of SHLD equals CF.
#[inline(always)]
fn double<T: Word, const LEFT: bool>(ex: &mut Exec<'_>, dst: T, src: T, count: u64) -> T {
    let c = masked::<T>(count);
    if c == 0 {
        return dst;
    }
    let bits = T::BITS;
    let (d, s) = (u128::from(dst.to_u64()), u128::from(src.to_u64()));
    let top = |v: T, down: u32| v.to_u64() >> (bits - 1 - down) & 1 != 0;
    // Only words meet counts above their width; the third part is never reached by the others.
    let third = T::BYTES == 2;
    if LEFT {
        let (wide, low) = if third { (d << 32 | s << 16 | s, 32) } else { (d << bits | s, bits) };
        let r = T::from_u64((wide << c >> low) as u64);
        let cf = c <= bits && d >> (bits - c) & 1 != 0;
        let of = if c >= bits { cf } else { top(r, 0) != cf };
        shifted(ex, r, cf, of);
        r
    } else {
        let wide = if third { s << 32 | s << 16 | d } else { s << bits | d };
        let r = T::from_u64((wide >> c) as u64);
        let cf = d >> (c - 1) & 1 != 0;
        shifted(ex, r, cf, top(r, 0) != top(r, 1));
        r
    }
}

fn double_r<T: Word, const LEFT: bool, const CL: bool>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let (dst, src) = (ex.get::<T>(op.r0), ex.get::<T>(op.r1));
    let count = if CL { ex.get::<u64>(gpr::RCX) } else { op.imm };
    let r = double::<T, LEFT>(ex, dst, src, count);
    ex.set(op.r0, r);
    Ok(Flow::Next)
}

fn double_m<T: Word, const LEFT: bool, const CL: bool>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let src = ex.get::<T>(op.r1);
    let count = if CL { ex.get::<u64>(gpr::RCX) } else { op.imm };
    ex.modify::<T>(op, |ex, dst| double::<T, LEFT>(ex, dst, src, count))?;
    Ok(Flow::Next)
}

fn shape<T: Word, const K: u8>(ins: &Instruction) -> Handler {
    let mem = ins.op_kind(0) == OpKind::Memory;
    let cl = ins.op_kind(1) == OpKind::Register;
    match (mem, cl) {
        (false, false) => r_imm::<T, K>,
        (false, true) => r_cl::<T, K>,
        (true, false) => m_imm::<T, K>,
        (true, true) => m_cl::<T, K>,
    }
}

fn width<const K: u8>(ins: &Instruction) -> Option<Handler> {
    Some(match operand_bytes(ins, 0) {
        1 => shape::<u8, K>(ins),
        2 => shape::<u16, K>(ins),
        4 => shape::<u32, K>(ins),
        8 => shape::<u64, K>(ins),
        _ => return None,
    })
}

fn double_shape<T: Word, const LEFT: bool>(ins: &Instruction) -> Handler {
    let mem = ins.op_kind(0) == OpKind::Memory;
    let cl = ins.op_kind(2) == OpKind::Register;
    match (mem, cl) {
        (false, false) => double_r::<T, LEFT, false>,
        (false, true) => double_r::<T, LEFT, true>,
        (true, false) => double_m::<T, LEFT, false>,
        (true, true) => double_m::<T, LEFT, true>,
    }
}

fn double_width<const LEFT: bool>(ins: &Instruction) -> Option<Handler> {
    Some(match operand_bytes(ins, 0) {
        2 => double_shape::<u16, LEFT>(ins),
        4 => double_shape::<u32, LEFT>(ins),
        8 => double_shape::<u64, LEFT>(ins),
        _ => return None,
    })
}

/// The handler for `ins`, if it belongs to this module.
pub fn select(ins: &Instruction) -> Option<Handler> {
    match ins.mnemonic() {
        Mnemonic::Rol => width::<{ kind::ROL }>(ins),
        Mnemonic::Ror => width::<{ kind::ROR }>(ins),
        Mnemonic::Rcl => width::<{ kind::RCL }>(ins),
        Mnemonic::Rcr => width::<{ kind::RCR }>(ins),
        Mnemonic::Shl | Mnemonic::Sal => width::<{ kind::SHL }>(ins),
        Mnemonic::Shr => width::<{ kind::SHR }>(ins),
        Mnemonic::Sar => width::<{ kind::SAR }>(ins),
        Mnemonic::Shld => double_width::<true>(ins),
        Mnemonic::Shrd => double_width::<false>(ins),
        _ => None,
    }
}
