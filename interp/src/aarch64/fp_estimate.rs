//! Estimates of reciprocals and square roots: eight bits from the manual's integer functions (J1:
//! RecipEstimate, RecipSqrtEstimate).

use super::fp_ops::flushed;
use super::vector::{Float, Int, sign_bit};
use crate::softfloat::{Class, Env, Flags, Rounding, raise_invalid, round_to_int};

/// RecipEstimate: 256 to 511 from 256 to 511.
fn recip_estimate(a: u64) -> u64 {
    let b = (1 << 19) / (a * 2 + 1);
    b.div_ceil(2)
}

/// RecipSqrtEstimate: 256 to 511 from 128 to 511.
fn recip_sqrt_estimate(a: u64) -> u64 {
    let a = if a < 256 { a * 2 + 1 } else { ((a >> 1 << 1) + 1) * 2 };
    // The largest b with a × b² < 2^28.
    let b = (((1u64 << 28) - 1) / a).isqrt();
    b.div_ceil(2)
}

/// UnsignedRecipEstimate.
pub fn unsigned_recip(a: u32) -> u32 {
    if a >> 31 == 0 { u32::MAX } else { (recip_estimate((a >> 23).into()) << 23) as u32 }
}

/// UnsignedRSqrtEstimate.
pub fn unsigned_recip_sqrt(a: u32) -> u32 {
    if a >> 30 == 0 { u32::MAX } else { (recip_sqrt_estimate((a >> 23).into()) << 23) as u32 }
}

/// FPProcessNaN.
fn nan<F: Float>(a: F, env: &mut Env) -> F {
    round_to_int(a, Rounding::TowardZero, false, env)
}

fn infinity<F: Float>(a: F) -> F {
    F::infinity(a.bits() & sign_bit::<F>() != 0)
}

fn zero<F: Float>(a: F) -> F {
    F::of(a.bits() & sign_bit::<F>())
}

/// FPRecipEstimate.
pub fn recip<F: Float>(a: F, env: &mut Env) -> F {
    let a = flushed(a, env);
    let parts = a.unpack();
    match parts.class {
        Class::Quiet | Class::Signalling | Class::Unsupported => return nan(a, env),
        Class::Infinity => return zero(a),
        Class::Zero => {
            env.flags.raise(Flags::DIVZERO);
            return infinity(a);
        }
        Class::Normal | Class::Subnormal => {}
    }
    // The reciprocal of numbers below 2^-128 (of single precision) is too large.
    if parts.exp < -F::MAX_EXP - 1 {
        env.flags.raise(Flags::OVERFLOW | Flags::INEXACT);
        let to_infinity = match env.rounding {
            Rounding::NearestEven | Rounding::NearestAway => true,
            Rounding::Up => !parts.sign,
            Rounding::Down => parts.sign,
            Rounding::TowardZero => false,
        };
        return if to_infinity { infinity(a) } else { F::of(infinity(a).bits() - 1) };
    }
    if env.ftz && parts.exp >= F::MAX_EXP - 1 {
        env.flags.raise(Flags::UNDERFLOW);
        return zero(a);
    }
    let estimate = recip_estimate((parts.sig >> 119) as u64);
    // 1/(1.f × 2^e) is 2^(-e - 1) × estimate/256; a biased exponent of 0 or -1 makes it denormal.
    let (biased, fraction) = (F::MAX_EXP - 1 - parts.exp, estimate << 44 & (1 << 52) - 1);
    let (biased, fraction) = match biased {
        0 => (0, 1 << 51 | fraction >> 1),
        -1 => (0, 1 << 50 | fraction >> 2),
        _ => (biased as u64, fraction),
    };
    F::of(zero(a).bits() | biased << (F::PRECISION - 1) | fraction >> (53 - F::PRECISION))
}

/// FPRSqrtEstimate.
pub fn recip_sqrt<F: Float>(a: F, env: &mut Env) -> F {
    let a = flushed(a, env);
    let parts = a.unpack();
    match parts.class {
        Class::Quiet | Class::Signalling | Class::Unsupported => return nan(a, env),
        Class::Zero => {
            env.flags.raise(Flags::DIVZERO);
            return infinity(a);
        }
        _ if parts.sign => return raise_invalid(env),
        Class::Infinity => return F::of(0),
        Class::Normal | Class::Subnormal => {}
    }
    let top = (parts.sig >> 119) as u64;
    // An odd biased exponent is an even one.
    let scaled = if parts.exp & 1 != 0 { top } else { top >> 1 };
    let estimate = recip_sqrt_estimate(scaled);
    // Biased: (380 - e) / 2 of single precision.
    let exp = parts.exp + F::MAX_EXP;
    let biased = (3 * F::MAX_EXP - 1 - exp) / 2;
    let fraction = (estimate & 0xff) << (F::PRECISION - 9);
    F::of((biased as u64) << (F::PRECISION - 1) | fraction)
}

/// FPRecpX.
pub fn recip_exponent<F: Float>(a: F, env: &mut Env) -> F {
    if a.unpack().is_nan() {
        return nan(a, env);
    }
    let exponent = u64::from(F::SPECIAL) << (F::PRECISION - 1);
    let flushed = flushed(a, env);
    let biased = flushed.bits() & exponent;
    let biased =
        if biased == 0 { u64::from(F::SPECIAL - 1) << (F::PRECISION - 1) } else { !biased & exponent };
    F::of(a.bits() & sign_bit::<F>() | biased & (u64::MAX >> (64 - F::Bits::BITS)))
}
