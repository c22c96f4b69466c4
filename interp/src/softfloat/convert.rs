//! Conversions between formats, to and from integers, and rounding to an integral value.

use super::format::{Class, F16, F80, Format};
use super::round::{cut, denormal_stops, from_parts, nan_result, operand, round_pack};
use super::{Env, Flags, Rounding};

/// Converts between formats. NaN payloads keep their top bits.
///
/// Denormal operands raise the denormal flag except where x86 says otherwise: stores of the
/// extended format (FST, SDM vol. 1 section 8.5.2) and half-precision sources, which MXCSR.DAZ
/// does not touch either (SDM vol. 1 section 14.4.1). Half-precision results ignore FTZ. ARM flushes
/// half precision in conversions neither way (DDI 0487, FPUnpackCV and FPRoundCV).
pub fn convert<A: Format, B: Format>(a: A, env: &mut Env) -> B {
    let half = F16::PRECISION;
    let parts = if A::PRECISION == half { a.unpack() } else { operand(a, env) };
    match parts.class {
        Class::Zero => {
            env.rounded_up = false;
            return B::zero(parts.sign);
        }
        Class::Infinity => return B::infinity(parts.sign),
        Class::Quiet | Class::Signalling | Class::Unsupported => {
            return nan_result(&[&parts], env);
        }
        Class::Normal | Class::Subnormal => {}
    }
    let silent = A::PRECISION == half || A::PRECISION == F80::PRECISION;
    if !silent && denormal_stops([&parts], env) {
        return B::zero(parts.sign);
    }
    let ftz = env.ftz;
    env.ftz &= B::PRECISION != half;
    let result = round_pack(parts.sign, parts.exp, parts.sig, B::PRECISION, env);
    env.ftz = ftz;
    result
}

/// [`convert`], rounding to odd: an inexact result has its last bit set (FCVTXN).
pub fn to_odd<A: Format, B: Format>(a: A, last: fn(B) -> B, env: &mut Env) -> B {
    let (rounding, before) = (env.rounding, env.flags);
    (env.rounding, env.flags) = (Rounding::TowardZero, Flags(0));
    let result = convert(a, env);
    let result = if env.flags.any(Flags::INEXACT) { last(result) } else { result };
    env.rounding = rounding;
    env.flags.raise(before.0);
    result
}

/// Converts to ARM's alternative half precision (DDI 0487, A1.4.2): no infinities and NaNs, but one binade
/// more. What has no place in it is invalid, not overflow.
pub fn to_alternative_half<A: Format>(a: A, env: &mut Env) -> F16 {
    let parts = operand(a, env);
    let sign = u16::from(parts.sign) << 15;
    match parts.class {
        Class::Zero => return F16(sign),
        Class::Quiet | Class::Signalling | Class::Unsupported => {
            env.raise(Flags::INVALID);
            return F16(sign);
        }
        Class::Infinity => {
            env.raise(Flags::INVALID);
            return F16(sign | 0x7fff);
        }
        Class::Normal | Class::Subnormal => {}
    }
    let (ftz, before) = (env.ftz, env.flags);
    (env.ftz, env.flags) = (false, Flags(0));
    // The upper half of the range is rounded a binade lower.
    let lower = i32::from(parts.exp > 0);
    let F16(result): F16 = round_pack(parts.sign, parts.exp - lower, parts.sig, F16::PRECISION, env);
    let result = if env.flags.any(Flags::OVERFLOW) {
        env.flags = Flags(Flags::INVALID);
        sign | 0x7fff
    } else {
        result + ((lower as u16) << 10)
    };
    env.ftz = ftz;
    env.flags.raise(before.0);
    F16(result)
}

/// Converts from ARM's alternative half precision.
pub fn from_alternative_half<B: Format>(F16(a): F16, env: &mut Env) -> B {
    if a & 0x7c00 != 0x7c00 {
        return convert(F16(a), env);
    }
    round_pack(a >> 15 != 0, 16, u128::from(a & 0x3ff | 0x400) << 117, B::PRECISION, env)
}

/// Rounds `a × 2^fraction` to an integer of `bits` bits as ARM does (FPToFixed): out of range saturates, a NaN
/// gives zero, both are invalid and nothing else. The result is cut to `bits` bits.
pub fn to_fixed<F: Format>(
    a: F,
    fraction: u32,
    rounding: Rounding,
    signed: bool,
    bits: u32,
    env: &mut Env,
) -> u64 {
    let parts = operand(a, env);
    let (min, max) =
        if signed { (-1i128 << (bits - 1), (1i128 << (bits - 1)) - 1) } else { (0, (1 << bits) - 1) };
    let exp = parts.exp + fraction as i32;
    let (value, inexact) = match parts.class {
        Class::Zero => (0, false),
        Class::Normal | Class::Subnormal if exp < 64 => {
            let cut = cut(shift_to_point(exp, parts.sig), 62, parts.sign, rounding);
            let magnitude = (cut.sig >> 62) as i128;
            (if parts.sign { -magnitude } else { magnitude }, cut.inexact)
        }
        Class::Normal | Class::Subnormal | Class::Infinity => {
            (if parts.sign { i128::MIN } else { i128::MAX }, false)
        }
        Class::Quiet | Class::Signalling | Class::Unsupported => {
            env.raise(Flags::INVALID);
            return 0;
        }
    };
    let kept = value.clamp(min, max);
    if kept != value {
        env.raise(Flags::INVALID);
    } else if inexact {
        env.raise(Flags::INEXACT);
    }
    (kept & ((1 << bits) - 1)) as u64
}

/// Rounds to an integer between `min` and `max`; nothing, and invalid, if there is none.
fn to_integer<F: Format>(a: F, rounding: Rounding, min: i128, max: i128, env: &mut Env) -> Option<i128> {
    let parts = operand(a, env);
    let (value, inexact, up) = match parts.class {
        Class::Zero => (0, false, false),
        Class::Normal | Class::Subnormal if parts.exp < 64 => {
            let sig = shift_to_point(parts.exp, parts.sig);
            let cut = cut(sig, 62, parts.sign, rounding);
            let magnitude = (cut.sig >> 62) as i128;
            (if parts.sign { -magnitude } else { magnitude }, cut.inexact, cut.up)
        }
        _ => (i128::MAX, false, false),
    };
    if value < min || value > max {
        env.raise(Flags::INVALID);
        return None;
    }
    env.rounded_up = up;
    if inexact {
        env.raise(Flags::INEXACT);
    }
    Some(value)
}

/// Moves a significand with exponent below 64 so that one has its bit at 62, with a sticky
/// last bit.
fn shift_to_point(exp: i32, sig: u128) -> u128 {
    super::wide::shift_right_jam(sig, (65 - exp) as u32)
}

macro_rules! to_integer_type {
    ($name:ident, $int:ty, $doc:expr) => {
        #[doc = $doc]
        ///
        /// Nothing, with invalid raised, for NaNs, infinities and values out of range.
        pub fn $name<F: Format>(a: F, rounding: Rounding, env: &mut Env) -> Option<$int> {
            to_integer(a, rounding, <$int>::MIN.into(), <$int>::MAX.into(), env).map(|v| v as $int)
        }
    };
}

to_integer_type!(to_i16, i16, "Rounds to a signed 16-bit integer.");
to_integer_type!(to_i32, i32, "Rounds to a signed 32-bit integer.");
to_integer_type!(to_i64, i64, "Rounds to a signed 64-bit integer.");
to_integer_type!(to_u32, u32, "Rounds to an unsigned 32-bit integer.");
to_integer_type!(to_u64, u64, "Rounds to an unsigned 64-bit integer.");

/// Converts a signed 32-bit integer.
pub fn from_i32<F: Format>(value: i32, env: &mut Env) -> F {
    from_i64(value.into(), env)
}

/// Converts a signed 64-bit integer.
pub fn from_i64<F: Format>(value: i64, env: &mut Env) -> F {
    from_parts(value < 0, 127, value.unsigned_abs().into(), env)
}

/// Converts an unsigned 32-bit integer.
pub fn from_u32<F: Format>(value: u32, env: &mut Env) -> F {
    from_parts(false, 127, value.into(), env)
}

/// Converts an unsigned 64-bit integer.
pub fn from_u64<F: Format>(value: u64, env: &mut Env) -> F {
    from_parts(false, 127, value.into(), env)
}

/// Rounds to an integral value in the same format. `signal_inexact` is false for the forms
/// that suppress the precision exception. The x87's FRNDINT reports denormal operands, the SSE
/// instructions do not.
pub fn round_to_int<F: Format>(a: F, rounding: Rounding, signal_inexact: bool, env: &mut Env) -> F {
    let parts = operand(a, env);
    match parts.class {
        Class::Normal | Class::Subnormal => {}
        Class::Zero => {
            env.rounded_up = false;
            return F::zero(parts.sign);
        }
        Class::Infinity => return a,
        Class::Quiet | Class::Signalling | Class::Unsupported => {
            return nan_result(&[&parts], env);
        }
    }
    if F::PRECISION == F80::PRECISION && denormal_stops([&parts], env) {
        return a;
    }
    // At and above this exponent every number is an integer.
    if parts.exp >= F::PRECISION as i32 - 1 {
        env.rounded_up = false;
        return round_pack(parts.sign, parts.exp, parts.sig, F::PRECISION, env);
    }
    // The last kept bit has weight one; numbers below one half keep only a sticky bit.
    let (exp, sig) = if parts.exp < -1 { (-1, 1) } else { (parts.exp, parts.sig) };
    let (sig, shift) = if exp < 0 { (sig >> 1 | sig & 1, 127) } else { (sig, (127 - exp) as u32) };
    let exp = exp.max(0);
    let cut = cut(sig, shift, parts.sign, rounding);
    if cut.inexact && signal_inexact {
        env.raise(Flags::INEXACT);
    }
    env.rounded_up = cut.up;
    let (exp, sig) = if cut.carry { (exp + 1, 1 << 127) } else { (exp, cut.sig) };
    if sig == 0 {
        return F::zero(parts.sign);
    }
    let biased = (exp + F::MAX_EXP) as u32;
    F::assemble(parts.sign, biased, sig >> (128 - F::PRECISION))
}
