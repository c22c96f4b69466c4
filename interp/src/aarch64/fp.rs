//! Scalar floating point (C4.1.97: Floating-point data-processing, compare, select, moves).

use super::exec::Exec;
use super::exec::Flow;
use super::fp_ops::{FBinary, FUnary};
use super::op::Op;
use super::regs::psr;
use super::vector::{Done, Float, Int, env, get, neg, put_scalar, put_whole, scalar, settle};
use crate::pack::Pack;
use crate::softfloat::{Order, compare, compare_quiet, fma};

/// Floating-point data-processing (1 source), and the scalar forms of AdvSIMD.
pub fn one<O: FUnary, F: Float>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let mut e = env::<F>(ex);
    let v = O::lane::<F>(scalar(ex, op.rn), &mut e);
    settle(ex, &e);
    put_scalar(ex, op, v)
}

/// Floating-point data-processing (2 source), and the scalar forms of AdvSIMD.
pub fn two<O: FBinary, F: Float>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let mut e = env::<F>(ex);
    let v = O::lane::<F>(scalar(ex, op.rn), scalar(ex, op.rm), scalar(ex, op.rd), &mut e);
    settle(ex, &e);
    put_scalar(ex, op, v)
}

/// FMADD, FMSUB, FNMADD, FNMSUB: with the addend and the product negated first or not.
pub fn madd<F: Float, const ADDEND: bool, const PRODUCT: bool>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let mut e = env::<F>(ex);
    let (a, n): (F, F) = (scalar(ex, op.ra), scalar(ex, op.rn));
    let (a, n) = (if ADDEND { neg(a) } else { a }, if PRODUCT { neg(n) } else { n });
    let v = fma(n, scalar(ex, op.rm), a, &mut e);
    settle(ex, &e);
    put_scalar(ex, op, v)
}

fn flags(order: Order) -> u64 {
    match order {
        Order::Less => psr::N,
        Order::Equal => psr::Z | psr::C,
        Order::Greater => psr::C,
        Order::Unordered => psr::C | psr::V,
    }
}

#[inline(always)]
fn compared<F: Float, const SIGNAL: bool>(ex: &mut Exec<'_>, a: F, b: F) {
    let mut e = env::<F>(ex);
    let order = if SIGNAL { compare(a, b, &mut e) } else { compare_quiet(a, b, &mut e) };
    ex.cpu.nzcv = flags(order);
    settle(ex, &e);
}

/// FCMP and FCMPE.
pub fn cmp<F: Float, const SIGNAL: bool>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let (a, b) = (scalar(ex, op.rn), scalar(ex, op.rm));
    compared::<F, SIGNAL>(ex, a, b);
    Ok(Flow::Next)
}

/// FCMP and FCMPE with zero.
pub fn cmp_zero<F: Float, const SIGNAL: bool>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let a = scalar(ex, op.rn);
    compared::<F, SIGNAL>(ex, a, F::zero(false));
    Ok(Flow::Next)
}

/// FCCMP and FCCMPE.
pub fn ccmp<F: Float, const SIGNAL: bool>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    if ex.cpu.condition(op.bits(15, 12) as u8) {
        let (a, b) = (scalar(ex, op.rn), scalar(ex, op.rm));
        compared::<F, SIGNAL>(ex, a, b);
    } else {
        ex.cpu.nzcv = u64::from(op.bits(3, 0)) << 28;
    }
    Ok(Flow::Next)
}

/// FCSEL.
pub fn csel<F: Float>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let n = if ex.cpu.condition(op.bits(15, 12) as u8) { op.rn } else { op.rm };
    let v: F = scalar(ex, n);
    put_scalar(ex, op, v)
}

/// FMOV (scalar, immediate): the whole value is in the immediate.
pub fn mov_imm(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    put_whole(ex, op, op.imm.into())
}

/// `VFPExpandImm` (J1) to the bits of `F`.
pub fn expand_imm<F: Float>(imm8: u32) -> u64 {
    let exponent_bits = F::Bits::BITS - F::PRECISION;
    let (sign, b6, low) = (u64::from(imm8 >> 7 & 1), u64::from(imm8 >> 6 & 1), u64::from(imm8 & 0x3f));
    // NOT(b6), then b6 repeated, then bits 5:4.
    let middle = if b6 != 0 { (1 << (exponent_bits - 3)) - 1 } else { 1 << (exponent_bits - 3) };
    let exponent = middle << 2 | low >> 4;
    sign << (F::Bits::BITS - 1) | exponent << (F::PRECISION - 1) | (low & 15) << (F::PRECISION - 5)
}

/// FMOV from an FP register of type `T` to a general one.
pub fn mov_to_general<T: Int>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let v = scalar::<T>(ex, op.rn).u();
    ex.set_x(op.rd, v);
    Ok(Flow::Next)
}

/// FMOV from a general register.
pub fn mov_from_general<T: Int>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let v = T::of(ex.x(op.rn));
    put_scalar(ex, op, v)
}

/// FMOV of the upper 64 bits to a general register.
pub fn mov_top_to_general(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let v = get(ex, op.rn).lane(1);
    ex.set_x(op.rd, v);
    Ok(Flow::Next)
}

/// FMOV of a general register to the upper 64 bits.
pub fn mov_top_from_general(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let v = get(ex, op.rd).with_lane(1, ex.x(op.rn));
    put_whole(ex, op, v)
}
