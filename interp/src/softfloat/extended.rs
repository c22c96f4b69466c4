//! What only the x87 has: partial remainder, scaling and extraction.

use super::format::{Class, F80, Format};
use super::round::{any_nan, denormal_stops, from_parts, invalid, nan_result, operand};
use super::{Env, Flags};

/// The outcome of FPREM or FPREM1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remainder {
    /// The (partial) remainder.
    pub value: F80,
    /// The low bits of the integer quotient; zero while the reduction is partial.
    pub quotient: u64,
    /// False if the exponents were 64 or more apart: the value is then a partial remainder
    /// and the instruction is to be repeated (C2 set).
    pub complete: bool,
}

/// A complete step that leaves `value`.
fn whole(value: F80) -> Remainder {
    Remainder { value, quotient: 0, complete: true }
}

/// `a - b × q`, q being `a ÷ b` truncated (FPREM) or, if `nearest`, rounded to nearest even
/// (FPREM1). SDM vol. 2, FPREM and FPREM1. The result is exact.
pub fn remainder(a_in: F80, b_in: F80, nearest: bool, env: &mut Env) -> Remainder {
    let (a, b) = (operand(a_in, env), operand(b_in, env));
    if any_nan([&a, &b]) {
        return whole(nan_result(&[&a, &b], env));
    }
    if a.class == Class::Infinity || b.class == Class::Zero {
        return whole(invalid(env));
    }
    if denormal_stops([&a, &b], env) {
        return whole(a_in);
    }
    env.rounded_up = false;
    if a.class == Class::Zero {
        return whole(a_in);
    }
    if b.class == Class::Infinity {
        // The remainder is the dividend; a pseudo-denormal comes out as the normal number.
        return whole(from_parts(a.sign, a.exp, a.sig, env));
    }
    let distance = a.exp - b.exp;
    if distance < -1 || distance < 0 && !nearest {
        return whole(from_parts(a.sign, a.exp, a.sig, env));
    }
    let divisor = b.sig >> 64;
    if distance >= 64 {
        // Reduce by as many bits as leaves a multiple of 32: any number from 32 to 63 is
        // allowed, this is what processors do.
        let count = (distance & 31 | 32) as u32;
        let rest = reduce(a.sig >> 64, divisor, count).1;
        let exp = a.exp - count as i32;
        let value = from_parts(a.sign, exp + 64, rest, env);
        return Remainder { value, quotient: 0, complete: false };
    }
    // Integers in units of the last bit of b; for a distance of -1 all in half units.
    let (dividend, divisor, count, exp) = if distance < 0 {
        (a.sig >> 64, divisor << 1, 0, a.exp)
    } else {
        (a.sig >> 64, divisor, distance as u32, b.exp)
    };
    let (mut quotient, mut rest) = reduce(dividend, divisor, count);
    let mut sign = a.sign;
    if nearest && (rest << 1 > divisor || rest << 1 == divisor && quotient & 1 != 0) {
        rest = divisor - rest;
        quotient = quotient.wrapping_add(1);
        sign = !sign;
    }
    if rest == 0 {
        return Remainder { value: F80::zero(a.sign), quotient, complete: true };
    }
    Remainder { value: from_parts(sign, exp + 64, rest, env), quotient, complete: true }
}

/// Divides `dividend << count` by `divisor`: the quotient's low bits and the rest.
fn reduce(dividend: u128, divisor: u128, count: u32) -> (u64, u128) {
    // Both are below 2^65 and count below 64: the shifted dividend fits in 128 bits.
    let shifted = dividend << count;
    ((shifted / divisor) as u64, shifted % divisor)
}

/// `a × 2^trunc(b)` (SDM vol. 2, FSCALE). Precision control does not apply.
pub fn scale(a_in: F80, b_in: F80, env: &mut Env) -> F80 {
    let (a, b) = (operand(a_in, env), operand(b_in, env));
    if any_nan([&a, &b]) {
        return nan_result(&[&a, &b], env);
    }
    let bad = b.class == Class::Infinity
        && (a.class == Class::Infinity && b.sign || a.class == Class::Zero && !b.sign);
    if bad {
        return invalid(env);
    }
    if denormal_stops([&a, &b], env) {
        return a_in;
    }
    env.rounded_up = false;
    if !matches!(a.class, Class::Normal | Class::Subnormal) {
        return a_in;
    }
    if b.class == Class::Infinity {
        return if b.sign { F80::zero(a.sign) } else { F80::infinity(a.sign) };
    }
    // Beyond 2^16 every finite a overflows or underflows completely.
    let shift = match b.class {
        Class::Zero => 0,
        _ if b.exp < 0 => 0,
        _ if b.exp >= 16 => 1 << 16,
        _ => (b.sig >> (127 - b.exp)) as i32,
    };
    let exp = if b.sign { a.exp - shift } else { a.exp + shift };
    from_parts(a.sign, exp, a.sig, env)
}

/// The exponent and the significand of a number (SDM vol. 2, FXTRACT), in this order.
pub fn extract(a_in: F80, env: &mut Env) -> (F80, F80) {
    let a = operand(a_in, env);
    match a.class {
        Class::Quiet | Class::Signalling | Class::Unsupported => {
            let nan = nan_result(&[&a], env);
            (nan, nan)
        }
        Class::Zero => {
            env.raise(Flags::DIVZERO);
            (F80::infinity(true), a_in)
        }
        Class::Infinity => (F80::infinity(false), a_in),
        Class::Normal | Class::Subnormal => {
            if denormal_stops([&a], env) {
                return (a_in, a_in);
            }
            env.rounded_up = false;
            let exponent = super::from_i32(a.exp, env);
            (exponent, from_parts(a.sign, 0, a.sig, env))
        }
    }
}

/// Widens to the extended format without touching NaNs: a signalling NaN stays one. This is
/// how a 32- or 64-bit memory operand enters x87 arithmetic; the operation then applies its
/// NaN and denormal rules to it. A denormal operand becomes a normal number here, so the
/// denormal flag is the caller's to raise: see [`Class::Subnormal`] of the operand.
pub fn widen<A: Format>(a: A) -> F80 {
    let parts = a.unpack();
    let mantissa = (parts.sig >> 64) as u64;
    let biased = match parts.class {
        Class::Zero => 0,
        Class::Normal | Class::Subnormal => (parts.exp + F80::MAX_EXP) as u16,
        _ => F80::SPECIAL as u16,
    };
    F80 { sign_exp: u16::from(parts.sign) << 15 | biased, mantissa }
}
