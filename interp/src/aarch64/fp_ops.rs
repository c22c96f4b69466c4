//! Floating-point operations on one element, as the shared pseudocode has them (J1: FPAdd, FPMulAdd, ...).
//! Scalar and vector instructions, whole, pairwise, by element and across lanes, are shapes around these.

use super::fp_estimate;
use super::vector::{Float, Int, abs, is_zero, neg, sign_bit};
use crate::softfloat::{
    Class, Env, Flags, Format, Order, Rounding, add, compare, compare_quiet, div, fma, fma_scaled, mul,
    propagate_nan, raise_invalid, round_to_int, sqrt, sub, to_fixed,
};

/// An operation on two elements and what the destination held.
pub trait FBinary {
    /// One element.
    fn lane<F: Float>(a: F, b: F, d: F, env: &mut Env) -> F;
}

/// An operation on one element.
pub trait FUnary {
    /// One element.
    fn lane<F: Float>(a: F, env: &mut Env) -> F;
}

macro_rules! binary {
    ($($name:ident = |$a:pat_param, $b:pat_param, $d:pat_param, $env:pat_param| $e:expr;)*) => {$(
        #[doc = concat!("The operation of ", stringify!($name), ".")]
        #[derive(Debug)]
        pub struct $name;
        impl FBinary for $name {
            #[inline(always)]
            fn lane<F: Float>($a: F, $b: F, $d: F, $env: &mut Env) -> F {
                $e
            }
        }
    )*};
}

macro_rules! unary {
    ($($name:ident = |$a:pat_param, $env:pat_param| $e:expr;)*) => {$(
        #[doc = concat!("The operation of ", stringify!($name), ".")]
        #[derive(Debug)]
        pub struct $name;
        impl FUnary for $name {
            #[inline(always)]
            fn lane<F: Float>($a: F, $env: &mut Env) -> F {
                $e
            }
        }
    )*};
}

binary! {
    FAdd = |a, b, _, env| add(a, b, env);
    FSub = |a, b, _, env| sub(a, b, env);
    FMul = |a, b, _, env| mul(a, b, env);
    FNMul = |a, b, _, env| neg(mul(a, b, env));
    FDiv = |a, b, _, env| div(a, b, env);
    FMulX = |a, b, _, env| if indefinite(a, b, env) { power_of_two::<F>(a, b, 1) } else { mul(a, b, env) };
    FMax = |a, b, _, env| larger(a, b, true, env);
    FMin = |a, b, _, env| larger(a, b, false, env);
    FMaxNm = |a, b, _, env| number(a, b, true, env);
    FMinNm = |a, b, _, env| number(a, b, false, env);
    FAbd = |a, b, _, env| abs(sub(a, b, env));
    FMla = |a, b, d, env| fma(a, b, d, env);
    FMls = |a, b, d, env| fma(neg(a), b, d, env);
    FRecps = |a, b, _, env| {
        let a = neg(a);
        if indefinite(a, b, env) { scaled::<F>(1, 0) } else { fma(a, b, scaled(1, 0), env) }
    };
    FRsqrts = |a, b, _, env| {
        let a = neg(a);
        if indefinite(a, b, env) { scaled::<F>(0, 1) } else { fma_scaled(a, b, scaled(1, 1), -1, env) }
    };
    FCmEq = |a, b, _, env| mask(compare_quiet(a, b, env) == Order::Equal);
    FCmGe = |a, b, _, env| mask(matches!(compare(a, b, env), Order::Greater | Order::Equal));
    FCmGt = |a, b, _, env| mask(compare(a, b, env) == Order::Greater);
    FAcGe = |a, b, _, env| mask(matches!(compare(abs(a), abs(b), env), Order::Greater | Order::Equal));
    FAcGt = |a, b, _, env| mask(compare(abs(a), abs(b), env) == Order::Greater);
}

unary! {
    FMov = |a, _| a;
    FAbs = |a, _| abs(a);
    FNeg = |a, _| neg(a);
    FSqrt = |a, env| sqrt(a, env);
    FRintN = |a, env| round_to_int(a, Rounding::NearestEven, false, env);
    FRintP = |a, env| round_to_int(a, Rounding::Up, false, env);
    FRintM = |a, env| round_to_int(a, Rounding::Down, false, env);
    FRintZ = |a, env| round_to_int(a, Rounding::TowardZero, false, env);
    FRintA = |a, env| round_to_int(a, Rounding::NearestAway, false, env);
    FRintX = |a, env| round_to_int(a, env.rounding, true, env);
    FRintI = |a, env| round_to_int(a, env.rounding, false, env);
    FRecpe = |a, env| fp_estimate::recip(a, env);
    FRsqrte = |a, env| fp_estimate::recip_sqrt(a, env);
    FRecpx = |a, env| fp_estimate::recip_exponent(a, env);
    FCmEqZ = |a, env| mask(compare_quiet(a, F::zero(false), env) == Order::Equal);
    FCmGeZ = |a, env| mask(matches!(compare(a, F::zero(false), env), Order::Greater | Order::Equal));
    FCmGtZ = |a, env| mask(compare(a, F::zero(false), env) == Order::Greater);
    FCmLeZ = |a, env| mask(matches!(compare(a, F::zero(false), env), Order::Less | Order::Equal));
    FCmLtZ = |a, env| mask(compare(a, F::zero(false), env) == Order::Less);
    FCvtNs = |a, env| fixed(a, 0, Rounding::NearestEven, true, env);
    FCvtNu = |a, env| fixed(a, 0, Rounding::NearestEven, false, env);
    FCvtPs = |a, env| fixed(a, 0, Rounding::Up, true, env);
    FCvtPu = |a, env| fixed(a, 0, Rounding::Up, false, env);
    FCvtMs = |a, env| fixed(a, 0, Rounding::Down, true, env);
    FCvtMu = |a, env| fixed(a, 0, Rounding::Down, false, env);
    FCvtZs = |a, env| fixed(a, 0, Rounding::TowardZero, true, env);
    FCvtZu = |a, env| fixed(a, 0, Rounding::TowardZero, false, env);
    FCvtAs = |a, env| fixed(a, 0, Rounding::NearestAway, true, env);
    FCvtAu = |a, env| fixed(a, 0, Rounding::NearestAway, false, env);
    SCvtF = |a, env| from_fixed(F::Bits::of(a.bits()).s().into(), 0, env);
    UCvtF = |a, env| from_fixed(a.bits().into(), 0, env);
}

/// An element of all ones or zeros.
#[inline(always)]
fn mask<F: Float>(v: bool) -> F {
    F::of(if v { u64::MAX } else { 0 })
}

/// FPToFixed to an integer as wide as the element.
#[inline(always)]
pub fn fixed<F: Float>(a: F, fraction: u32, rounding: Rounding, signed: bool, env: &mut Env) -> F {
    F::of(to_fixed(a, fraction, rounding, signed, F::Bits::BITS, env))
}

/// FixedToFP.
#[inline(always)]
pub fn from_fixed<F: Format>(v: i128, fraction: u32, env: &mut Env) -> F {
    crate::softfloat::from_parts(v < 0, 127 - fraction as i32, v.unsigned_abs(), env)
}

/// `(1 + half / 2) × 2^exp`: the constants 2, 1.5 and 3.
fn scaled<F: Float>(exp: u32, half: u64) -> F {
    let fraction = F::PRECISION - 1;
    F::of(u64::from(F::MAX_EXP as u32 + exp) << fraction | half << (fraction - 1))
}

/// 2 with the sign of a product.
fn power_of_two<F: Float>(a: F, b: F, exp: u32) -> F {
    F::of(scaled::<F>(exp, 0).bits() | (a.bits() ^ b.bits()) & sign_bit::<F>())
}

/// The product is infinity by zero, where a flushed denormal counts as zero and is told.
fn indefinite<F: Float>(a: F, b: F, env: &mut Env) -> bool {
    let infinite = |v: F| v.unpack().class == Class::Infinity;
    infinite(a) && is_zero(flushed(b, env)) || infinite(b) && is_zero(flushed(a, env))
}

/// A denormal operand that FPCR says is zero, told in FPSR.IDC but for half precision.
#[inline]
pub fn flushed<F: Float>(v: F, env: &mut Env) -> F {
    if env.daz && v.unpack().class == Class::Subnormal {
        if !F::HALF {
            env.flags.raise(Flags::DENORMAL);
        }
        F::of(v.bits() & sign_bit::<F>())
    } else {
        v
    }
}

/// FPMax and FPMin.
fn larger<F: Float>(a: F, b: F, max: bool, env: &mut Env) -> F {
    let order = compare_quiet(a, b, env);
    let (x, y) = (flushed(a, env), flushed(b, env));
    match order {
        Order::Unordered => propagate_nan(a, b, env).unwrap_or_else(|| raise_invalid(env)),
        // Equal numbers have equal bits but for zeros: plus is the larger one.
        Order::Equal => F::of(if max { x.bits() & y.bits() } else { x.bits() | y.bits() }),
        Order::Greater => {
            if max {
                x
            } else {
                y
            }
        }
        Order::Less => {
            if max {
                y
            } else {
                x
            }
        }
    }
}

/// FPMaxNum and FPMinNum: a quiet NaN beside a number loses.
fn number<F: Float>(a: F, b: F, max: bool, env: &mut Env) -> F {
    let quiet = |v: F| v.unpack().class == Class::Quiet;
    let least = F::infinity(max);
    match (quiet(a), quiet(b)) {
        (true, false) => larger(least, b, max, env),
        (false, true) => larger(a, least, max, env),
        _ => larger(a, b, max, env),
    }
}
