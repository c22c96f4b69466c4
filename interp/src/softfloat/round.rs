//! Rounding and packing, and what all operations do with NaNs and denormal operands.

use super::format::{Class, F16, F80, Format, Unpacked};
use super::wide::{Wide, shift_right_jam};
use super::{Env, Flags, NanRule, Precision, Rounding};

/// Added to or subtracted from the exponent of an unmasked underflow or overflow (SDM vol. 1
/// sections 8.5.4 and 8.5.5).
const WRAP: i32 = 24576;

/// A significand cut to some precision.
pub(super) struct Cut {
    /// Multiple of the last kept bit. Zero if the increment carried out of the top bit.
    pub(super) sig: u128,
    /// The increment carried out: the value is one, an exponent higher.
    pub(super) carry: bool,
    /// Bits other than zero were cut off.
    pub(super) inexact: bool,
    /// The magnitude was increased.
    pub(super) up: bool,
}

/// Rounds `sig` to a multiple of `1 << shift`, `shift` in 1..=127.
#[inline]
pub(super) fn cut(sig: u128, shift: u32, sign: bool, rounding: Rounding) -> Cut {
    let lsb = 1u128 << shift;
    let half = lsb >> 1;
    let rest = sig & (lsb - 1);
    let kept = sig - rest;
    let up = rest != 0
        && match rounding {
            Rounding::NearestEven => rest > half || rest == half && kept & lsb != 0,
            Rounding::NearestAway => rest >= half,
            Rounding::TowardZero => false,
            Rounding::Up => !sign,
            Rounding::Down => sign,
        };
    let (sig, carry) = if up { kept.overflowing_add(lsb) } else { (kept, false) };
    Cut { sig, carry, inexact: rest != 0, up }
}

fn is_f80<F: Format>() -> bool {
    F::PRECISION == F80::PRECISION
}

/// The significand width that `env` asks for in results of format `F`.
#[inline]
pub(super) fn precision<F: Format>(env: &Env) -> u32 {
    if !is_f80::<F>() {
        return F::PRECISION;
    }
    match env.precision {
        Precision::Single => 24,
        Precision::Double => 53,
        Precision::Extended => 64,
    }
}

/// Rounds the number with significand `sig` (leading one at bit 127, last bit sticky) to
/// `precision` bits and packs it. Raises overflow, underflow and inexact.
#[inline]
pub(super) fn round_pack<F: Format>(sign: bool, exp: i32, sig: u128, precision: u32, env: &mut Env) -> F {
    if exp < F::MIN_EXP {
        return round_pack_tiny(sign, exp, sig, precision, env);
    }
    let cut = cut(sig, 128 - precision, sign, env.rounding);
    let (sig, exp) = if cut.carry { (1 << 127, exp + 1) } else { (cut.sig, exp) };
    if exp > F::MAX_EXP {
        return overflow(sign, exp, sig, precision, cut, env);
    }
    if cut.inexact {
        env.raise(Flags::INEXACT);
    }
    env.rounded_up = cut.up;
    F::assemble(sign, (exp + F::MAX_EXP) as u32, sig >> (128 - F::PRECISION))
}

/// The end of [`round_pack`] for results above the format's range.
#[cold]
fn overflow<F: Format>(sign: bool, exp: i32, sig: u128, precision: u32, cut: Cut, env: &mut Env) -> F {
    env.raise(Flags::OVERFLOW);
    if !env.overflow_masked {
        if cut.inexact {
            env.raise(Flags::INEXACT);
        }
        env.rounded_up = cut.up;
        if !is_f80::<F>() {
            // Never delivered: the exception handler runs first.
            return F::infinity(sign);
        }
        if exp - WRAP > F::MAX_EXP {
            // FSCALE can overflow again after the exponent was biased.
            env.raise(Flags::INEXACT);
            env.rounded_up = true;
            return F::infinity(sign);
        }
        let biased = (exp - WRAP + F::MAX_EXP) as u32;
        return F::assemble(sign, biased, sig >> (128 - F::PRECISION));
    }
    let to_infinity = match env.rounding {
        Rounding::NearestEven | Rounding::NearestAway => true,
        Rounding::TowardZero => false,
        Rounding::Up => !sign,
        Rounding::Down => sign,
    };
    env.raise(Flags::INEXACT);
    env.rounded_up = to_infinity;
    if to_infinity {
        return F::infinity(sign);
    }
    let largest = u128::MAX << (128 - precision);
    F::assemble(sign, F::SPECIAL - 1, largest >> (128 - F::PRECISION))
}

/// [`round_pack`] for numbers below the smallest normal.
#[cold]
fn round_pack_tiny<F: Format>(sign: bool, exp: i32, sig: u128, precision: u32, env: &mut Env) -> F {
    let shift = 128 - precision;
    let unbounded = cut(sig, shift, sign, env.rounding);
    let tiny = env.tiny_before_rounding || !(exp == F::MIN_EXP - 1 && unbounded.carry);
    if tiny && env.ftz && env.underflow_masked {
        // SDM vol. 1 section 10.2.3.3; ARM's flushing does not count as inexact.
        env.raise(Flags::UNDERFLOW);
        if !env.nan_rule.is_arm() {
            env.raise(Flags::INEXACT);
        }
        env.rounded_up = false;
        return F::zero(sign);
    }
    if tiny && !env.underflow_masked {
        env.raise(Flags::UNDERFLOW);
        if unbounded.inexact {
            env.raise(Flags::INEXACT);
        }
        env.rounded_up = unbounded.up;
        let (sig, exp) = if unbounded.carry { (1 << 127, exp + 1) } else { (unbounded.sig, exp) };
        if !is_f80::<F>() {
            // Never delivered: the exception handler runs first.
            return F::zero(sign);
        }
        if exp + WRAP < F::MIN_EXP {
            // FSCALE can underflow again after the exponent was biased.
            env.raise(Flags::INEXACT);
            env.rounded_up = false;
            return F::zero(sign);
        }
        let biased = (exp + WRAP + F::MAX_EXP) as u32;
        return F::assemble(sign, biased, sig >> (128 - F::PRECISION));
    }
    let denormal = shift_right_jam(sig, (F::MIN_EXP - exp) as u32);
    let cut = cut(denormal, shift, sign, env.rounding);
    if cut.inexact {
        env.raise(Flags::INEXACT);
        if tiny {
            env.raise(Flags::UNDERFLOW);
        }
    }
    env.rounded_up = cut.up;
    F::assemble(sign, (cut.sig >> 127) as u32, cut.sig >> (128 - F::PRECISION))
}

/// Rounds `±sig × 2^(exp - 127)` to the format, where `sig` may have any leading zeros and
/// its last bit may be sticky if there are enough leading bits. Zero gives zero. Full
/// precision of the format, whatever the precision control says.
pub fn from_parts<F: Format>(sign: bool, exp: i32, sig: u128, env: &mut Env) -> F {
    if sig == 0 {
        return F::zero(sign);
    }
    let shift = sig.leading_zeros();
    round_pack(sign, exp - shift as i32, sig << shift, F::PRECISION, env)
}

/// Unpacks an operand; a denormal one becomes zero if the environment says so.
#[inline]
pub(super) fn operand<F: Format>(value: F, env: &mut Env) -> Unpacked {
    let mut parts = value.unpack();
    if env.daz && parts.class == Class::Subnormal {
        parts.class = Class::Zero;
        parts.sig = 0;
        // Flushing half precision is not told (DDI 0487, A1.5.4).
        if env.nan_rule.is_arm() && F::PRECISION != F16::PRECISION {
            env.raise(Flags::DENORMAL);
        }
    }
    parts
}

/// Raises the denormal flag if an operand is denormal. True if the operation must stop here
/// because that exception is unmasked.
#[inline]
pub(super) fn denormal_stops<const N: usize>(operands: [&Unpacked; N], env: &mut Env) -> bool {
    if env.nan_rule.is_arm() || operands.iter().all(|o| o.class != Class::Subnormal) {
        return false;
    }
    env.raise(Flags::DENORMAL);
    !env.denormal_masked
}

/// Raises invalid and returns the default NaN.
#[cold]
pub(super) fn invalid<F: Format>(env: &mut Env) -> F {
    env.raise(Flags::INVALID);
    F::default_nan(!env.nan_rule.is_arm())
}

/// A NaN operand as a result: quiet, its payload cut to the format.
pub(super) fn quieted<F: Format>(nan: &Unpacked, env: &Env) -> F {
    if env.nan_rule == NanRule::ArmDefault {
        return F::default_nan(false);
    }
    F::assemble(nan.sign, F::SPECIAL, (nan.sig | 3 << 126) >> (128 - F::PRECISION))
}

/// The result of an operation that has a NaN or unsupported operand.
#[cold]
pub(super) fn nan_result<F: Format>(operands: &[&Unpacked], env: &mut Env) -> F {
    if operands.iter().any(|o| o.class == Class::Unsupported) {
        return invalid(env);
    }
    if operands.iter().any(|o| o.class == Class::Signalling) {
        env.raise(Flags::INVALID);
    }
    let mut nans = operands.iter().filter(|o| o.is_nan());
    let chosen = match env.nan_rule {
        NanRule::Sse => nans.next(),
        NanRule::Arm | NanRule::ArmDefault => {
            let signalling = operands.iter().find(|o| o.class == Class::Signalling);
            signalling.or_else(|| nans.next())
        }
        // Quiet before signalling, then the larger significand, then the positive one.
        NanRule::X87 => nans.max_by_key(|o| (o.class == Class::Quiet, o.sig, !o.sign)),
    };
    match chosen {
        Some(nan) => quieted(nan, env),
        None => invalid(env),
    }
}

/// True if a NaN or unsupported encoding is among the operands.
#[inline]
pub(super) fn any_nan<const N: usize>(operands: [&Unpacked; N]) -> bool {
    operands.iter().any(|o| o.is_nan() || o.class == Class::Unsupported)
}

/// The result of an operation on `a` and `b` if one of them is a NaN or unsupported, with its
/// flags raised; else nothing.
pub fn propagate_nan<F: Format>(a: F, b: F, env: &mut Env) -> Option<F> {
    let (a, b) = (a.unpack(), b.unpack());
    any_nan([&a, &b]).then(|| nan_result(&[&a, &b], env))
}

/// Raises invalid and returns the default NaN: for operations built outside this module.
pub fn raise_invalid<F: Format>(env: &mut Env) -> F {
    invalid(env)
}

/// Raises the denormal flag if one of `values` is denormal. True if the operation must stop
/// because that exception is unmasked.
pub fn check_denormals<F: Format>(values: &[F], env: &mut Env) -> bool {
    values.iter().any(|v| denormal_stops([&v.unpack()], env))
}

/// `a × b × 2^shift` for finite numbers, rounded once to a third format.
pub fn product<A: Format, B: Format, R: Format>(a: A, b: B, shift: i32, env: &mut Env) -> R {
    let (a, b) = (a.unpack(), b.unpack());
    let sig = Wide::product(a.sig, b.sig).jam();
    from_parts(a.sign ^ b.sign, a.exp + b.exp + 1 + shift, sig, env)
}
