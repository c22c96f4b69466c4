//! Conversions: between formats, and between floating point and integers or fixed point, scalar and vector
//! (C4.1.97: FCVT*, SCVTF, UCVTF).

use super::exec::{Exec, Flow};
use super::fp_ops::{fixed, from_fixed};
use super::int::Reg;
use super::op::Op;
use super::vector::{
    Done, Float, Int, count, env, first, get, half, put, put_half, put_scalar, put_whole, scalar, settle,
};
use crate::pack::Pack;
use crate::softfloat::{
    Env, F16, F32, F64, Rounding, convert, from_alternative_half, to_alternative_half, to_fixed, to_odd,
};

/// FPCR.AHP.
const AHP: u32 = 1 << 26;
/// Rounding by FPCR.RMode, as a parameter; 0 to 3 are RMode's values, 4 is to nearest, ties away.
pub const AWAY: u32 = 4;

fn rounding(mode: u32) -> Rounding {
    if mode == AWAY { Rounding::NearestAway } else { Rounding::from_arm(mode) }
}

/// FPConvert; `alternative` is FPCR.AHP.
pub trait Convert<B>: Float {
    /// The value in the other format.
    fn to(self, alternative: bool, e: &mut Env) -> B;
}

impl Convert<F64> for F32 {
    fn to(self, _: bool, e: &mut Env) -> F64 {
        convert(self, e)
    }
}

impl Convert<F32> for F64 {
    fn to(self, _: bool, e: &mut Env) -> F32 {
        convert(self, e)
    }
}

macro_rules! half_precision {
    ($($f:ident)*) => {$(
        impl Convert<F16> for $f {
            fn to(self, alternative: bool, e: &mut Env) -> F16 {
                if alternative { to_alternative_half(self, e) } else { convert(self, e) }
            }
        }
        impl Convert<$f> for F16 {
            fn to(self, alternative: bool, e: &mut Env) -> $f {
                if alternative { from_alternative_half(self, e) } else { convert(self, e) }
            }
        }
    )*};
}
half_precision!(F32 F64);

/// The environment of a conversion between formats: FZ counts, FZ16 does not.
fn conversion(ex: &Exec<'_>) -> (Env, bool) {
    (Env::arm(ex.cpu.fpcr, false), ex.cpu.fpcr & AHP != 0)
}

/// FCVT.
pub fn fcvt<A: Convert<B>, B: Float>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let (mut e, ahp) = conversion(ex);
    let v = scalar::<A>(ex, op.rn).to(ahp, &mut e);
    settle(ex, &e);
    put_scalar(ex, op, v)
}

/// FCVTL, FCVTL2.
pub fn fcvtl<A: Convert<B>, B: Float>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let (mut e, ahp) = conversion(ex);
    let a = half(op, get(ex, op.rn));
    let v = first(16 / B::BYTES, |i| a.lane::<A>(i).to(ahp, &mut e));
    settle(ex, &e);
    put_whole(ex, op, v)
}

/// FCVTN, FCVTN2.
pub fn fcvtn<A: Convert<B>, B: Float>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let (mut e, ahp) = conversion(ex);
    let a = get(ex, op.rn);
    let v = first(16 / A::BYTES, |i| a.lane::<A>(i).to(ahp, &mut e));
    settle(ex, &e);
    put_half(ex, op, v as u64)
}

fn odd(a: F64, e: &mut Env) -> F32 {
    to_odd(a, |F32(v)| F32(v | 1), e)
}

/// FCVTXN, FCVTXN2.
pub fn fcvtxn(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let (mut e, _) = conversion(ex);
    let a = get(ex, op.rn);
    let v = first(2, |i| odd(a.lane(i), &mut e));
    settle(ex, &e);
    put_half(ex, op, v as u64)
}

/// FCVTXN (scalar).
pub fn fcvtxn_scalar(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let (mut e, _) = conversion(ex);
    let v = odd(scalar(ex, op.rn), &mut e);
    settle(ex, &e);
    put_scalar(ex, op, v)
}

/// FCVTNS to FCVTZU to a general register; `imm` fraction bits.
pub fn to_general<R: Reg, F: Float, const MODE: u32, const SIGNED: bool>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let mut e = env::<F>(ex);
    let a = scalar::<F>(ex, op.rn);
    let v = to_fixed(a, op.imm as u32, rounding(MODE), SIGNED, R::BITS, &mut e);
    settle(ex, &e);
    ex.set_x(op.rd, v);
    Ok(Flow::Next)
}

/// SCVTF and UCVTF from a general register; `imm` fraction bits.
pub fn from_general<R: Reg, F: Float, const SIGNED: bool>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let mut e = env::<F>(ex);
    let v = ex.x(op.rn) & R::MASK;
    let v = match (SIGNED, R::BITS) {
        (false, _) => v.into(),
        (true, 32) => (v as i32).into(),
        (true, _) => (v as i64).into(),
    };
    let v: F = from_fixed(v, op.imm as u32, &mut e);
    settle(ex, &e);
    put_scalar(ex, op, v)
}

#[inline(always)]
fn element<F: Float, const TO: bool, const SIGNED: bool>(a: F, fraction: u32, e: &mut Env) -> F {
    if TO {
        return fixed(a, fraction, Rounding::TowardZero, SIGNED, e);
    }
    let v = F::Bits::of(a.bits());
    from_fixed(if SIGNED { v.s().into() } else { v.u().into() }, fraction, e)
}

/// FCVTZS, FCVTZU (TO) and SCVTF, UCVTF with `imm` fraction bits (vector, fixed-point).
pub fn vector_fixed<F: Float, const TO: bool, const SIGNED: bool>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let mut e = env::<F>(ex);
    let a = get(ex, op.rn);
    let v = first(count::<F>(op), |i| element::<F, TO, SIGNED>(a.lane(i), op.imm as u32, &mut e));
    settle(ex, &e);
    put(ex, op, v)
}

/// As [`vector_fixed`], scalar.
pub fn scalar_fixed<F: Float, const TO: bool, const SIGNED: bool>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let mut e = env::<F>(ex);
    let v = element::<F, TO, SIGNED>(scalar(ex, op.rn), op.imm as u32, &mut e);
    settle(ex, &e);
    put_scalar(ex, op, v)
}
