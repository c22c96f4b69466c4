//! Addition, subtraction, multiplication, division, square root, fused multiply-add.

use super::format::{Class, Format, Unpacked};
use super::round::{any_nan, denormal_stops, invalid, nan_result, operand, precision, round_pack};
use super::wide::{Wide, shift_right_jam};
use super::{Env, Flags, Rounding};

/// `a + b`.
pub fn add<F: Format>(a: F, b: F, env: &mut Env) -> F {
    sum(a, b, false, env)
}

/// `a - b`.
pub fn sub<F: Format>(a: F, b: F, env: &mut Env) -> F {
    sum(a, b, true, env)
}

/// The sign of an exact zero sum of numbers of unlike sign.
fn zero_sum_sign(env: &Env) -> bool {
    env.rounding == Rounding::Down
}

#[inline]
fn sum<F: Format>(a_in: F, b_in: F, negate_b: bool, env: &mut Env) -> F {
    let (a, mut b) = (operand(a_in, env), operand(b_in, env));
    if a.class != Class::Normal || b.class != Class::Normal {
        if any_nan([&a, &b]) {
            return nan_result(&[&a, &b], env);
        }
        b.sign ^= negate_b;
        if a.class == Class::Infinity && b.class == Class::Infinity {
            return if a.sign == b.sign { F::infinity(a.sign) } else { invalid(env) };
        }
        if denormal_stops([&a, &b], env) {
            return a_in;
        }
        if a.class == Class::Infinity {
            return F::infinity(a.sign);
        }
        if b.class == Class::Infinity {
            return F::infinity(b.sign);
        }
        match (a.class == Class::Zero, b.class == Class::Zero) {
            (true, true) => {
                env.rounded_up = false;
                let same = a.sign == b.sign;
                return F::zero(if same { a.sign } else { zero_sum_sign(env) });
            }
            (true, false) => return round_pack(b.sign, b.exp, b.sig, precision::<F>(env), env),
            (false, true) => return round_pack(a.sign, a.exp, a.sig, precision::<F>(env), env),
            (false, false) => {}
        }
    } else {
        b.sign ^= negate_b;
    }
    let swap = a.exp < b.exp || a.exp == b.exp && a.sig < b.sig;
    let (big, small) = if swap { (b, a) } else { (a, b) };
    // Bit 127 is left free for the carry; the guard bits below the widest significand
    // (113 bits) are more than the two that a correct sticky shift needs.
    let x = big.sig >> 1;
    let y = shift_right_jam(small.sig >> 1, (big.exp - small.exp) as u32);
    let total = if big.sign == small.sign { x + y } else { x - y };
    if total == 0 {
        env.rounded_up = false;
        return F::zero(zero_sum_sign(env));
    }
    let shift = total.leading_zeros();
    round_pack(big.sign, big.exp + 1 - shift as i32, total << shift, precision::<F>(env), env)
}

/// `a × b`.
pub fn mul<F: Format>(a_in: F, b_in: F, env: &mut Env) -> F {
    let (a, b) = (operand(a_in, env), operand(b_in, env));
    let sign = a.sign ^ b.sign;
    if a.class != Class::Normal || b.class != Class::Normal {
        if any_nan([&a, &b]) {
            return nan_result(&[&a, &b], env);
        }
        let infinite = a.class == Class::Infinity || b.class == Class::Infinity;
        let zero = a.class == Class::Zero || b.class == Class::Zero;
        if infinite && zero {
            return invalid(env);
        }
        if denormal_stops([&a, &b], env) {
            return a_in;
        }
        if infinite {
            return F::infinity(sign);
        }
        if zero {
            env.rounded_up = false;
            return F::zero(sign);
        }
    }
    let product =
        if F::PRECISION <= 64 { (a.sig >> 64) * (b.sig >> 64) } else { Wide::product(a.sig, b.sig).jam() };
    // The product of two numbers in [1, 2) is in [1, 4).
    let (exp, sig) =
        if product >> 127 != 0 { (a.exp + b.exp + 1, product) } else { (a.exp + b.exp, product << 1) };
    round_pack(sign, exp, sig, precision::<F>(env), env)
}

/// `a ÷ b`.
pub fn div<F: Format>(a_in: F, b_in: F, env: &mut Env) -> F {
    let (a, b) = (operand(a_in, env), operand(b_in, env));
    let sign = a.sign ^ b.sign;
    if a.class != Class::Normal || b.class != Class::Normal {
        if any_nan([&a, &b]) {
            return nan_result(&[&a, &b], env);
        }
        match (a.class, b.class) {
            (Class::Infinity, Class::Infinity) | (Class::Zero, Class::Zero) => {
                return invalid(env);
            }
            (Class::Normal | Class::Subnormal, Class::Zero) => {
                env.raise(Flags::DIVZERO);
                return F::infinity(sign);
            }
            _ => {}
        }
        if denormal_stops([&a, &b], env) {
            return a_in;
        }
        if a.class == Class::Infinity {
            return F::infinity(sign);
        }
        if a.class == Class::Zero || b.class == Class::Infinity {
            env.rounded_up = false;
            return F::zero(sign);
        }
    }
    let (quotient, weight) = if F::PRECISION <= 64 { divide64(&a, &b) } else { divide128(&a, &b) };
    let shift = quotient.leading_zeros();
    // `quotient` is a.sig/b.sig scaled so that one has its bit at `weight`.
    let exp = a.exp - b.exp + (127 - weight as i32) - shift as i32;
    round_pack(sign, exp, quotient << shift, precision::<F>(env), env)
}

/// Quotient of significands of at most 64 bits, with a sticky last bit, and the weight of one.
fn divide64(a: &Unpacked, b: &Unpacked) -> (u128, u32) {
    let (n, d) = (a.sig, b.sig >> 64);
    // n is the dividend already shifted left by 64: 64 or 65 quotient bits.
    let (q, r) = (n / d, n % d);
    // Two more bits and a sticky one make rounding to 64 bits exact.
    let (first, r) = if r << 1 >= d { (2, (r << 1) - d) } else { (0, r << 1) };
    let (second, r) = if r << 1 >= d { (1, (r << 1) - d) } else { (0, r << 1) };
    (q << 3 | (first | second) << 1 | u128::from(r != 0), 67)
}

/// As [`divide64`] for significands of 113 bits, by shifting and subtracting.
fn divide128(a: &Unpacked, b: &Unpacked) -> (u128, u32) {
    let (mut rest, divisor) = (a.sig >> 15, b.sig >> 15);
    let mut quotient = 0u128;
    for _ in 0..118 {
        quotient <<= 1;
        if rest >= divisor {
            rest -= divisor;
            quotient |= 1;
        }
        rest <<= 1;
    }
    (quotient << 1 | u128::from(rest != 0), 118)
}

/// The square root.
pub fn sqrt<F: Format>(a_in: F, env: &mut Env) -> F {
    let a = operand(a_in, env);
    if a.class != Class::Normal || a.sign {
        if any_nan([&a]) {
            return nan_result(&[&a], env);
        }
        if a.class == Class::Zero {
            env.rounded_up = false;
            return F::zero(a.sign);
        }
        if a.sign {
            return invalid(env);
        }
        if denormal_stops([&a], env) {
            return a_in;
        }
        if a.class == Class::Infinity {
            return F::infinity(false);
        }
    }
    // An even exponent: the radicand is in [1, 4), its one at bit 126.
    let odd = a.exp & 1;
    let radicand = if odd != 0 { a.sig } else { a.sig >> 1 };
    let sig = if F::PRECISION <= 64 {
        // The low half of a.sig is zero, so the shift above lost nothing.
        let root = radicand.isqrt();
        let rest = radicand - root * root;
        // (root + 1/2)² = root² + root + 1/4: the next bit is one if rest exceeds root.
        root << 64 | u128::from(rest > root) << 63 | u128::from(rest != 0)
    } else {
        root128(radicand)
    };
    round_pack(false, (a.exp - odd) / 2, sig, precision::<F>(env), env)
}

/// The root of a radicand in [1, 4) with its one at bit 126, digit by digit; leading one at
/// bit 127, the last bit sticky.
fn root128(radicand: u128) -> u128 {
    let (mut bits, mut rest, mut root) = (radicand, 0u128, 0u128);
    for _ in 0..118 {
        rest = rest << 2 | bits >> 126;
        bits <<= 2;
        let trial = root << 2 | 1;
        root <<= 1;
        if rest >= trial {
            rest -= trial;
            root |= 1;
        }
    }
    root << 10 | u128::from(rest != 0)
}

/// `a × b + c` with one rounding. On x86 the NaN order is `a`, `b`, `c`; on ARM `c` comes
/// first and an invalid product wins over a quiet `c`.
pub fn fma<F: Format>(a: F, b: F, c: F, env: &mut Env) -> F {
    fma_scaled(a, b, c, 0, env)
}

/// `(a × b + c) × 2^scale` with one rounding: FRSQRTS halves.
#[inline]
pub fn fma_scaled<F: Format>(a_in: F, b_in: F, c_in: F, scale: i32, env: &mut Env) -> F {
    let (a, b, c) = (operand(a_in, env), operand(b_in, env), operand(c_in, env));
    let infinite = a.class == Class::Infinity || b.class == Class::Infinity;
    let zero = a.class == Class::Zero || b.class == Class::Zero;
    if any_nan([&a, &b, &c]) {
        let arm = env.nan_rule.is_arm();
        if arm && infinite && zero && c.class == Class::Quiet {
            return invalid(env);
        }
        let order = if arm { [&c, &a, &b] } else { [&a, &b, &c] };
        return nan_result(&order, env);
    }
    let sign = a.sign ^ b.sign;
    if infinite && zero || infinite && c.class == Class::Infinity && sign != c.sign {
        return invalid(env);
    }
    if denormal_stops([&a, &b, &c], env) {
        return a_in;
    }
    if infinite {
        return F::infinity(sign);
    }
    if c.class == Class::Infinity {
        return F::infinity(c.sign);
    }
    let digits = precision::<F>(env);
    if zero {
        if c.class == Class::Zero {
            env.rounded_up = false;
            return F::zero(if sign == c.sign { sign } else { zero_sum_sign(env) });
        }
        return round_pack(c.sign, c.exp + scale, c.sig, digits, env);
    }
    let product = Wide::product(a.sig, b.sig);
    let shift = product.leading_zeros();
    let exp = a.exp + b.exp + 1 - shift as i32;
    let product = product.shl(shift);
    if c.class == Class::Zero {
        return round_pack(sign, exp + scale, product.jam(), digits, env);
    }
    let addend = Wide { hi: c.sig, lo: 0 };
    let swap = exp < c.exp || exp == c.exp && product < addend;
    let (big, big_exp, big_sign, small, small_exp) =
        if swap { (addend, c.exp, c.sign, product, exp) } else { (product, exp, sign, addend, c.exp) };
    let x = big.shift_right_jam(1);
    let y = small.shift_right_jam(1).shift_right_jam((big_exp - small_exp) as u32);
    let total = if sign == c.sign { x.add(y) } else { x.sub(y) };
    if total.is_zero() {
        env.rounded_up = false;
        return F::zero(zero_sum_sign(env));
    }
    let shift = total.leading_zeros();
    round_pack(big_sign, big_exp + 1 - shift as i32 + scale, total.shl(shift).jam(), digits, env)
}
