//! Data processing on general registers (C4.1.93 immediate, C4.1.95 register).

use super::exec::{Exec, Flow, Trap};
use super::op::Op;
use super::regs::psr;

type Done = Result<Flow, Trap>;

/// A general register as 32 or 64 bits.
pub trait Reg: Copy + 'static {
    /// Bits.
    const BITS: u32;
    /// All ones.
    const MASK: u64;
}

/// 32 bits; writes clear the upper half.
#[derive(Clone, Copy)]
pub struct W;
/// 64 bits.
#[derive(Clone, Copy)]
pub struct X;

impl Reg for W {
    const BITS: u32 = 32;
    const MASK: u64 = 0xffff_ffff;
}

impl Reg for X {
    const BITS: u32 = 64;
    const MASK: u64 = u64::MAX;
}

#[inline(always)]
fn get<R: Reg>(ex: &Exec<'_>, n: u8) -> u64 {
    ex.x(n) & R::MASK
}

#[inline(always)]
fn sext<R: Reg>(v: u64) -> i64 {
    (v << (64 - R::BITS)) as i64 >> (64 - R::BITS)
}

/// `AddWithCarry` (shared pseudocode, J1): the sum and the flags.
#[inline(always)]
pub fn add_with_carry<R: Reg>(a: u64, b: u64, carry: bool) -> (u64, u64) {
    let (a, b) = (a & R::MASK, b & R::MASK);
    let wide = u128::from(a) + u128::from(b) + u128::from(carry);
    let sum = wide as u64 & R::MASK;
    let sign = R::BITS - 1;
    let mut f = 0;
    if sum >> sign != 0 {
        f |= psr::N;
    }
    if sum == 0 {
        f |= psr::Z;
    }
    if wide >> R::BITS != 0 {
        f |= psr::C;
    }
    if (a ^ sum) & (b ^ sum) & (1 << sign) != 0 {
        f |= psr::V;
    }
    (sum, f)
}

#[inline(always)]
fn logic_flags<R: Reg>(v: u64) -> u64 {
    (if v >> (R::BITS - 1) & 1 != 0 { psr::N } else { 0 }) | if v & R::MASK == 0 { psr::Z } else { 0 }
}

/// ADR.
pub fn adr(ex: &mut Exec<'_>, op: &Op) -> Done {
    let v = ex.cpu.pc.wrapping_add(op.imm);
    ex.set_x(op.rd, v);
    Ok(Flow::Next)
}

/// ADRP.
pub fn adrp(ex: &mut Exec<'_>, op: &Op) -> Done {
    let v = (ex.cpu.pc & !0xfff).wrapping_add(op.imm);
    ex.set_x(op.rd, v);
    Ok(Flow::Next)
}

/// ADD and SUB (immediate); SUB has the negated immediate.
pub fn add_imm<R: Reg>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let v = ex.xsp(op.rn).wrapping_add(op.imm) & R::MASK;
    ex.set_xsp(op.rd, v);
    Ok(Flow::Next)
}

/// ADDS (immediate).
pub fn adds_imm<R: Reg>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let (v, f) = add_with_carry::<R>(ex.xsp(op.rn), op.imm, false);
    ex.cpu.nzcv = f;
    ex.set_x(op.rd, v);
    Ok(Flow::Next)
}

/// SUBS (immediate).
pub fn subs_imm<R: Reg>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let (v, f) = add_with_carry::<R>(ex.xsp(op.rn), !op.imm, true);
    ex.cpu.nzcv = f;
    ex.set_x(op.rd, v);
    Ok(Flow::Next)
}

macro_rules! logic_imm {
    ($($doc:literal $name:ident $a:ident $b:ident $e:expr;)*) => { $(
        #[doc = $doc]
        pub fn $name<R: Reg>(ex: &mut Exec<'_>, op: &Op) -> Done {
            let ($a, $b) = (ex.x(op.rn), op.imm);
            let v = $e & R::MASK;
            ex.set_xsp(op.rd, v);
            Ok(Flow::Next)
        }
    )* };
}

logic_imm! {
    "AND (immediate)." and_imm a b a & b;
    "ORR (immediate)." orr_imm a b a | b;
    "EOR (immediate)." eor_imm a b a ^ b;
}

/// ANDS (immediate).
pub fn ands_imm<R: Reg>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let v = ex.x(op.rn) & op.imm & R::MASK;
    ex.cpu.nzcv = logic_flags::<R>(v);
    ex.set_x(op.rd, v);
    Ok(Flow::Next)
}

/// MOVZ and MOVN: the whole value is in the immediate.
pub fn mov_imm(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.set_x(op.rd, op.imm);
    Ok(Flow::Next)
}

/// MOVK.
pub fn movk<R: Reg>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let shift = 16 * op.bits(22, 21);
    let v = ex.x(op.rd) & !(0xffff << shift) | op.imm << shift;
    ex.set_x(op.rd, v & R::MASK);
    Ok(Flow::Next)
}

/// The masks of SBFM, BFM and UBFM by immr and imms (`DecodeBitMasks`).
pub fn bit_masks(n: u32, imms: u32, immr: u32, immediate: bool) -> Option<(u64, u64)> {
    let levels = n << 6 | !imms & 0x3f;
    let len = levels.checked_ilog2().filter(|&l| l >= 1)?;
    let mask = (1 << len) - 1;
    if immediate && imms & mask == mask {
        return None;
    }
    let (s, r) = (imms & mask, immr & mask);
    let esize = 1 << len;
    let ones = |k: u32| if k >= 64 { u64::MAX } else { (1 << k) - 1 };
    let rotate = |v: u64| if r == 0 { v } else { (v >> r | v << (esize - r)) & ones(esize) };
    let spread = |v: u64| {
        let mut out = 0;
        let mut at = 0;
        while at < 64 {
            out |= v << at;
            at += esize;
        }
        out
    };
    let welem = ones(s + 1);
    let diff = s.wrapping_sub(r) & mask;
    let telem = ones(diff + 1);
    Some((spread(rotate(welem)), spread(telem)))
}

fn bitfield_masks(op: &Op) -> (u64, u64) {
    bit_masks(op.bits(22, 22), op.bits(15, 10), op.bits(21, 16), false).unwrap_or((0, 0))
}

#[inline(always)]
fn ror<R: Reg>(v: u64, by: u32) -> u64 {
    if R::BITS == 32 { u64::from((v as u32).rotate_right(by)) } else { v.rotate_right(by) }
}

/// UBFM.
pub fn ubfm<R: Reg>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let (wmask, tmask) = bitfield_masks(op);
    let bot = ror::<R>(ex.x(op.rn), op.bits(21, 16)) & wmask;
    ex.set_x(op.rd, bot & tmask & R::MASK);
    Ok(Flow::Next)
}

/// SBFM.
pub fn sbfm<R: Reg>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let (wmask, tmask) = bitfield_masks(op);
    let src = get::<R>(ex, op.rn);
    let bot = ror::<R>(src, op.bits(21, 16)) & wmask;
    let top = if src >> op.bits(15, 10) & 1 != 0 { u64::MAX } else { 0 };
    ex.set_x(op.rd, (top & !tmask | bot & tmask) & R::MASK);
    Ok(Flow::Next)
}

/// BFM.
pub fn bfm<R: Reg>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let (wmask, tmask) = bitfield_masks(op);
    let dst = ex.x(op.rd);
    let bot = dst & !wmask | ror::<R>(ex.x(op.rn), op.bits(21, 16)) & wmask;
    ex.set_x(op.rd, (dst & !tmask | bot & tmask) & R::MASK);
    Ok(Flow::Next)
}

/// EXTR.
pub fn extr<R: Reg>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let lsb = op.bits(15, 10);
    let both = u128::from(get::<R>(ex, op.rn)) << R::BITS | u128::from(get::<R>(ex, op.rm));
    ex.set_x(op.rd, (both >> lsb) as u64 & R::MASK);
    Ok(Flow::Next)
}

/// The second operand of a shifted-register instruction.
#[inline(always)]
fn shifted<R: Reg>(ex: &Exec<'_>, op: &Op) -> u64 {
    let v = get::<R>(ex, op.rm);
    let by = op.imm as u32;
    if by == 0 {
        return v;
    }
    match op.bits(23, 22) {
        0 => v << by & R::MASK,
        1 => v >> by,
        2 => (sext::<R>(v) >> by) as u64 & R::MASK,
        _ => ror::<R>(v, by),
    }
}

macro_rules! logic_reg {
    ($($doc:literal $name:ident $flags:literal $a:ident $b:ident $e:expr;)*) => { $(
        #[doc = $doc]
        pub fn $name<R: Reg>(ex: &mut Exec<'_>, op: &Op) -> Done {
            let ($a, $b) = (ex.x(op.rn), shifted::<R>(ex, op));
            let v = $e & R::MASK;
            if $flags {
                ex.cpu.nzcv = logic_flags::<R>(v);
            }
            ex.set_x(op.rd, v);
            Ok(Flow::Next)
        }
    )* };
}

logic_reg! {
    "AND (shifted register)." and_reg false a b a & b;
    "BIC (shifted register)." bic_reg false a b a & !b;
    "ORR (shifted register)." orr_reg false a b a | b;
    "ORN (shifted register)." orn_reg false a b a | !b;
    "EOR (shifted register)." eor_reg false a b a ^ b;
    "EON (shifted register)." eon_reg false a b a ^ !b;
    "ANDS (shifted register)." ands_reg true a b a & b;
    "BICS (shifted register)." bics_reg true a b a & !b;
}

/// ADD (shifted register).
pub fn add_reg<R: Reg>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let v = ex.x(op.rn).wrapping_add(shifted::<R>(ex, op)) & R::MASK;
    ex.set_x(op.rd, v);
    Ok(Flow::Next)
}

/// SUB (shifted register).
pub fn sub_reg<R: Reg>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let v = ex.x(op.rn).wrapping_sub(shifted::<R>(ex, op)) & R::MASK;
    ex.set_x(op.rd, v);
    Ok(Flow::Next)
}

/// ADDS (shifted register).
pub fn adds_reg<R: Reg>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let (v, f) = add_with_carry::<R>(ex.x(op.rn), shifted::<R>(ex, op), false);
    ex.cpu.nzcv = f;
    ex.set_x(op.rd, v);
    Ok(Flow::Next)
}

/// SUBS (shifted register).
pub fn subs_reg<R: Reg>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let (v, f) = add_with_carry::<R>(ex.x(op.rn), !shifted::<R>(ex, op), true);
    ex.cpu.nzcv = f;
    ex.set_x(op.rd, v);
    Ok(Flow::Next)
}

/// `ExtendReg`: option in bits 15:13, shift in 12:10.
#[inline(always)]
pub fn extended(v: u64, option: u32, shift: u32) -> u64 {
    let v = match option {
        0 => u64::from(v as u8),
        1 => u64::from(v as u16),
        2 => u64::from(v as u32),
        3 | 7 => v,
        4 => v as i8 as u64,
        5 => v as i16 as u64,
        _ => v as i32 as u64,
    };
    v << shift
}

#[inline(always)]
fn extended_operand(ex: &Exec<'_>, op: &Op) -> u64 {
    extended(ex.x(op.rm), op.bits(15, 13), op.bits(12, 10))
}

/// ADD (extended register).
pub fn add_ext<R: Reg>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let v = ex.xsp(op.rn).wrapping_add(extended_operand(ex, op)) & R::MASK;
    ex.set_xsp(op.rd, v);
    Ok(Flow::Next)
}

/// SUB (extended register).
pub fn sub_ext<R: Reg>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let v = ex.xsp(op.rn).wrapping_sub(extended_operand(ex, op)) & R::MASK;
    ex.set_xsp(op.rd, v);
    Ok(Flow::Next)
}

/// ADDS (extended register).
pub fn adds_ext<R: Reg>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let (v, f) = add_with_carry::<R>(ex.xsp(op.rn), extended_operand(ex, op), false);
    ex.cpu.nzcv = f;
    ex.set_x(op.rd, v);
    Ok(Flow::Next)
}

/// SUBS (extended register).
pub fn subs_ext<R: Reg>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let (v, f) = add_with_carry::<R>(ex.xsp(op.rn), !extended_operand(ex, op), true);
    ex.cpu.nzcv = f;
    ex.set_x(op.rd, v);
    Ok(Flow::Next)
}

/// ADC, ADCS, SBC, SBCS.
pub fn adc<R: Reg>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let b = ex.x(op.rm);
    let b = if op.bits(30, 30) != 0 { !b } else { b };
    let (v, f) = add_with_carry::<R>(ex.x(op.rn), b, ex.cpu.nzcv & psr::C != 0);
    if op.bits(29, 29) != 0 {
        ex.cpu.nzcv = f;
    }
    ex.set_x(op.rd, v);
    Ok(Flow::Next)
}

/// CCMN and CCMP, register and immediate.
pub fn ccmp<R: Reg>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let b = if op.bits(11, 11) != 0 { u64::from(op.rm) } else { ex.x(op.rm) };
    ex.cpu.nzcv = if ex.cpu.condition(op.bits(15, 12) as u8) {
        if op.bits(30, 30) != 0 {
            add_with_carry::<R>(ex.x(op.rn), !b, true).1
        } else {
            add_with_carry::<R>(ex.x(op.rn), b, false).1
        }
    } else {
        u64::from(op.bits(3, 0)) << 28
    };
    Ok(Flow::Next)
}

/// CSEL, CSINC, CSINV, CSNEG.
pub fn csel<R: Reg>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let v = if ex.cpu.condition(op.bits(15, 12) as u8) {
        ex.x(op.rn)
    } else {
        let mut v = ex.x(op.rm);
        if op.bits(30, 30) != 0 {
            v = !v;
        }
        v.wrapping_add(op.bits(10, 10).into())
    };
    ex.set_x(op.rd, v & R::MASK);
    Ok(Flow::Next)
}

/// UDIV.
pub fn udiv<R: Reg>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let v = get::<R>(ex, op.rn).checked_div(get::<R>(ex, op.rm)).unwrap_or(0);
    ex.set_x(op.rd, v);
    Ok(Flow::Next)
}

/// SDIV.
pub fn sdiv<R: Reg>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let (a, b) = (sext::<R>(ex.x(op.rn)), sext::<R>(ex.x(op.rm)));
    let v = if b == 0 { 0 } else { a.wrapping_div(b) };
    ex.set_x(op.rd, v as u64 & R::MASK);
    Ok(Flow::Next)
}

/// LSLV, LSRV, ASRV, RORV.
pub fn shift_variable<R: Reg>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let by = ex.x(op.rm) as u32 & (R::BITS - 1);
    let v = get::<R>(ex, op.rn);
    let v = match op.bits(11, 10) {
        0 => v << by,
        1 => v >> by,
        2 => (sext::<R>(v) >> by) as u64,
        _ => ror::<R>(v, by),
    };
    ex.set_x(op.rd, v & R::MASK);
    Ok(Flow::Next)
}

/// CRC32 and CRC32C of 1, 2, 4 or 8 bytes (C6.2.84). `imm` is the reflected polynomial.
pub fn crc32(ex: &mut Exec<'_>, op: &Op) -> Done {
    let data = ex.x(op.rm).to_le_bytes();
    let mut crc = ex.w(op.rn);
    for byte in &data[..1 << op.bits(11, 10)] {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = crc >> 1 ^ if crc & 1 != 0 { op.imm as u32 } else { 0 };
        }
    }
    ex.set_x(op.rd, crc.into());
    Ok(Flow::Next)
}

/// RBIT.
pub fn rbit<R: Reg>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let v = ex.x(op.rn).reverse_bits() >> (64 - R::BITS);
    ex.set_x(op.rd, v);
    Ok(Flow::Next)
}

/// REV16.
pub fn rev16<R: Reg>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let v = get::<R>(ex, op.rn);
    let low = 0x00ff_00ff_00ff_00ff;
    ex.set_x(op.rd, (v >> 8 & low | (v & low) << 8) & R::MASK);
    Ok(Flow::Next)
}

/// REV32, and REV of a W register.
pub fn rev32(ex: &mut Exec<'_>, op: &Op) -> Done {
    let v = ex.x(op.rn);
    let high = if op.bits(31, 31) != 0 { u64::from(((v >> 32) as u32).swap_bytes()) << 32 } else { 0 };
    ex.set_x(op.rd, high | u64::from((v as u32).swap_bytes()));
    Ok(Flow::Next)
}

/// REV of an X register.
pub fn rev64(ex: &mut Exec<'_>, op: &Op) -> Done {
    let v = ex.x(op.rn).swap_bytes();
    ex.set_x(op.rd, v);
    Ok(Flow::Next)
}

/// CLZ.
pub fn clz<R: Reg>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let v = get::<R>(ex, op.rn).leading_zeros() - (64 - R::BITS);
    ex.set_x(op.rd, v.into());
    Ok(Flow::Next)
}

/// CLS.
pub fn cls<R: Reg>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let v = sext::<R>(ex.x(op.rn));
    let n = (v ^ v >> 63).leading_zeros() - (64 - R::BITS) - 1;
    ex.set_x(op.rd, n.into());
    Ok(Flow::Next)
}

/// MADD.
pub fn madd<R: Reg>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let v = ex.x(op.ra).wrapping_add(ex.x(op.rn).wrapping_mul(ex.x(op.rm)));
    ex.set_x(op.rd, v & R::MASK);
    Ok(Flow::Next)
}

/// MSUB.
pub fn msub<R: Reg>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let v = ex.x(op.ra).wrapping_sub(ex.x(op.rn).wrapping_mul(ex.x(op.rm)));
    ex.set_x(op.rd, v & R::MASK);
    Ok(Flow::Next)
}

fn widening(ex: &Exec<'_>, op: &Op) -> u64 {
    if op.bits(23, 23) != 0 {
        u64::from(ex.w(op.rn)) * u64::from(ex.w(op.rm))
    } else {
        (i64::from(ex.w(op.rn) as i32) * i64::from(ex.w(op.rm) as i32)) as u64
    }
}

/// SMADDL, UMADDL.
pub fn maddl(ex: &mut Exec<'_>, op: &Op) -> Done {
    let v = ex.x(op.ra).wrapping_add(widening(ex, op));
    ex.set_x(op.rd, v);
    Ok(Flow::Next)
}

/// SMSUBL, UMSUBL.
pub fn msubl(ex: &mut Exec<'_>, op: &Op) -> Done {
    let v = ex.x(op.ra).wrapping_sub(widening(ex, op));
    ex.set_x(op.rd, v);
    Ok(Flow::Next)
}

/// SMULH.
pub fn smulh(ex: &mut Exec<'_>, op: &Op) -> Done {
    let v = i128::from(ex.x(op.rn) as i64) * i128::from(ex.x(op.rm) as i64);
    ex.set_x(op.rd, (v >> 64) as u64);
    Ok(Flow::Next)
}

/// UMULH.
pub fn umulh(ex: &mut Exec<'_>, op: &Op) -> Done {
    let v = u128::from(ex.x(op.rn)) * u128::from(ex.x(op.rm));
    ex.set_x(op.rd, (v >> 64) as u64);
    Ok(Flow::Next)
}
