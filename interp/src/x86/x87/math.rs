//! The transcendental functions (SDM volume 1, section 8.3.7), one definition for every host.
//!
//! Problem: processors differ in the last bit, and a replay must not. Idea: the value is computed
//! in 113-bit arithmetic by argument reduction and a Taylor series whose error is far below the
//! 64th bit, then rounded once as the control word says. Precision control does not apply. Why
//! it is right: each reduction step is exact or loses a few units of the 113th bit, each series
//! is cut where its next term is below 2^-112 of the sum, and the tests compare with the host's
//! x87, which errs by less than one unit of the 64th bit.
//!
//! Arguments of sine, cosine and tangent are reduced by the x87's 66-bit π (SDM volume 1,
//! section 8.3.8), so that sin(FLDPI) is what programs expect of an x87.

use super::tables;
use crate::softfloat::{
    self, Class, Env, F80, F128, Flags, Format, NanRule, Rounding, Unpacked, check_denormals, from_parts,
    product, propagate_nan, raise_invalid,
};

/// 113-bit arithmetic whose rounding errors and flags are of no interest.
struct Calc(Env);

impl Calc {
    fn new() -> Calc {
        Calc(Env { rounding: Rounding::NearestEven, nan_rule: NanRule::X87, ..Env::x87(0x37f) })
    }

    fn add(&mut self, a: F128, b: F128) -> F128 {
        softfloat::add(a, b, &mut self.0)
    }

    fn sub(&mut self, a: F128, b: F128) -> F128 {
        softfloat::sub(a, b, &mut self.0)
    }

    fn mul(&mut self, a: F128, b: F128) -> F128 {
        softfloat::mul(a, b, &mut self.0)
    }

    fn div(&mut self, a: F128, b: F128) -> F128 {
        softfloat::div(a, b, &mut self.0)
    }

    fn int(&mut self, v: i32) -> F128 {
        softfloat::from_i32(v, &mut self.0)
    }

    /// `±sig × 2^(exp - 127)`.
    fn parts(&mut self, sign: bool, exp: i32, sig: u128) -> F128 {
        from_parts(sign, exp, sig, &mut self.0)
    }

    /// The polynomial with these coefficients, lowest first.
    fn polynomial(&mut self, x: F128, coefficients: &[F128]) -> F128 {
        coefficients.iter().rev().fold(F128::zero(false), |sum, &c| {
            let scaled = self.mul(sum, x);
            self.add(scaled, c)
        })
    }
}

const ONE: F128 = F128(0x3fff << 112);

fn negate(a: F128) -> F128 {
    F128(a.0 ^ 1 << 127)
}

/// Rounds a value that stands for a nearby irrational one: below it or above it in magnitude,
/// which matters only where the 113 bits look exact (tiny arguments).
fn finish(sign: bool, value: F128, below: bool, env: &mut Env) -> F80 {
    let parts = value.unpack();
    finish_parts(sign ^ parts.sign, parts.exp, parts.sig, below, env)
}

fn finish_parts(sign: bool, exp: i32, sig: u128, below: bool, env: &mut Env) -> F80 {
    from_parts(sign, exp, if below { sig - 1 } else { sig | 1 }, env)
}

/// The result for a NaN or unsupported operand, if there is one.
fn nan(a: F80, b: F80, env: &mut Env) -> Option<F80> {
    propagate_nan(a, b, env)
}

/// π × 2^64, cut to 66 bits.
const PI_66: u128 = 0x3_243f_6a88_85a3_08d3;

/// `|x| = quadrant × π/2 + rest`, the rest in [-π/4, π/4]. Exact, for exponents up to 62.
fn reduce(x: &Unpacked, calc: &mut Calc) -> (u64, F128) {
    if x.exp < -1 {
        return (0, calc.parts(false, x.exp, x.sig));
    }
    // Units of 2^-65, in which π/2 is PI_66.
    let units = (x.sig >> 64) << (x.exp + 2);
    let (quadrant, rest) = (units / PI_66, units % PI_66);
    let (quadrant, sign, rest) =
        if rest * 2 > PI_66 { (quadrant + 1, true, PI_66 - rest) } else { (quadrant, false, rest) };
    (quadrant as u64, calc.parts(sign, 127 - 65, rest))
}

/// Sine and cosine of the reduced argument.
fn sine_cosine_kernel(rest: F128, calc: &mut Calc) -> (F128, F128) {
    let square = calc.mul(rest, rest);
    let p = calc.polynomial(square, &tables::SINE);
    let cube = calc.mul(square, rest);
    let p = calc.mul(p, cube);
    let sine = calc.add(rest, p);
    let p = calc.polynomial(square, &tables::COSINE);
    let p = calc.mul(p, square);
    (sine, calc.add(ONE, p))
}

/// Sine and cosine, before rounding, for a finite nonzero argument; below 2^-64 the first terms.
fn sine_cosine_parts(x: &Unpacked) -> (F128, F128) {
    let mut calc = Calc::new();
    let (quadrant, rest) = reduce(x, &mut calc);
    let (s, c) = sine_cosine_kernel(rest, &mut calc);
    let (s, c) = match quadrant & 3 {
        0 => (s, c),
        1 => (c, negate(s)),
        2 => (negate(s), negate(c)),
        _ => (negate(c), s),
    };
    (if x.sign { negate(s) } else { s }, c)
}

/// Numbers whose cube does not reach their 113th bit.
fn tiny(x: &Unpacked) -> bool {
    x.exp < -60
}

/// Arguments of FSIN, FCOS, FSINCOS and FPTAN beyond ±2^63 are left alone, with C2 set.
pub fn out_of_range(a: F80) -> bool {
    let parts = a.unpack();
    parts.is_finite() && parts.class != Class::Zero && parts.exp >= 63
}

/// Special operands of the trigonometric functions: NaNs, infinities; and the denormal flag.
fn trigonometric_special(a: F80, env: &mut Env) -> Option<F80> {
    if let Some(nan) = nan(a, a, env) {
        return Some(nan);
    }
    if a.unpack().class == Class::Infinity {
        return Some(raise_invalid(env));
    }
    check_denormals(&[a], env).then_some(a)
}

/// FSIN, for arguments in range.
pub fn sine(a: F80, env: &mut Env) -> F80 {
    if let Some(special) = trigonometric_special(a, env) {
        return special;
    }
    let x = a.unpack();
    if x.class == Class::Zero {
        return a;
    }
    if tiny(&x) {
        return finish_parts(x.sign, x.exp, x.sig, true, env);
    }
    finish(false, sine_cosine_parts(&x).0, true, env)
}

/// FCOS, for arguments in range.
pub fn cosine(a: F80, env: &mut Env) -> F80 {
    if let Some(special) = trigonometric_special(a, env) {
        return special;
    }
    let x = a.unpack();
    if x.class == Class::Zero {
        return F80::ONE;
    }
    if tiny(&x) {
        return finish(false, ONE, true, env);
    }
    finish(false, sine_cosine_parts(&x).1, true, env)
}

/// FPTAN, for arguments in range; the one that it pushes is the caller's.
pub fn tangent(a: F80, env: &mut Env) -> F80 {
    if let Some(special) = trigonometric_special(a, env) {
        return special;
    }
    let x = a.unpack();
    if x.class == Class::Zero {
        return a;
    }
    if tiny(&x) {
        return finish_parts(x.sign, x.exp, x.sig, false, env);
    }
    let (s, c) = sine_cosine_parts(&x);
    let t = Calc::new().div(s, c);
    finish(false, t, false, env)
}

/// atan(n/d) for positive n up to d, with exponents that F128 can hold.
fn arctangent_kernel(n: F128, d: F128, calc: &mut Calc) -> F128 {
    let (np, dp) = (n.unpack(), d.unpack());
    let distance = (dp.exp - np.exp) as u32;
    // The nearest sixteenth k/16 of n/d.
    let k =
        if distance > 5 { 0 } else { ((np.sig >> 64 << 5 >> distance) / (dp.sig >> 64)).div_ceil(2).min(16) };
    // atan(n/d) = atan(c) + atan((n - c d) / (d + c n)), c = k/16 exact.
    let c = calc.parts(false, 127 - 4, k);
    let (cd, cn) = (calc.mul(c, d), calc.mul(c, n));
    let (top, bottom) = (calc.sub(n, cd), calc.add(d, cn));
    let z = calc.div(top, bottom);
    let square = calc.mul(z, z);
    let p = calc.polynomial(square, &tables::ARCTANGENT);
    let cube = calc.mul(square, z);
    let p = calc.mul(p, cube);
    let series = calc.add(z, p);
    calc.add(tables::ARCTANGENTS[k as usize % 17], series)
}

/// FPATAN: the angle of the point (x, y), y being ST(1) (SDM volume 2, table 3-30).
pub fn arctangent(y_in: F80, x_in: F80, env: &mut Env) -> F80 {
    if let Some(nan) = nan(y_in, x_in, env) {
        return nan;
    }
    let (y, x) = (y_in.unpack(), x_in.unpack());
    if check_denormals(&[y_in, x_in], env) {
        return y_in;
    }
    let angle = |v: F128, env: &mut Env| finish(y.sign, v, true, env);
    match (y.class, x.class) {
        (Class::Infinity, Class::Infinity) => {
            return angle(if x.sign { tables::THREE_QUARTER_PI } else { tables::QUARTER_PI }, env);
        }
        (Class::Infinity, _) => return angle(tables::HALF_PI, env),
        (Class::Zero, _) | (_, Class::Infinity) => {
            return if x.sign { angle(tables::PI, env) } else { F80::zero(y.sign) };
        }
        (_, Class::Zero) => return angle(tables::HALF_PI, env),
        _ => {}
    }
    let mut calc = Calc::new();
    let distance = y.exp - x.exp;
    if distance > 120 {
        return angle(tables::HALF_PI, env);
    }
    if distance < -120 {
        if x.sign {
            return angle(tables::PI, env);
        }
        let (n, d) = (calc.parts(false, 0, y.sig), calc.parts(false, 0, x.sig));
        let ratio = calc.div(n, d).unpack();
        return finish_parts(y.sign, ratio.exp + distance, ratio.sig, true, env);
    }
    let (n, d) = (calc.parts(false, distance, y.sig), calc.parts(false, 0, x.sig));
    let mut theta = if softfloat::compare(n, d, &mut calc.0) == softfloat::Order::Greater {
        let complement = arctangent_kernel(d, n, &mut calc);
        calc.sub(tables::HALF_PI, complement)
    } else {
        arctangent_kernel(n, d, &mut calc)
    };
    if x.sign {
        theta = calc.sub(tables::PI, theta);
    }
    angle(theta, env)
}

/// F2XM1: 2^x - 1. Outside [-1, 1] the manual leaves the result undefined: here the operand
/// comes back unchanged.
pub fn exponential(a: F80, env: &mut Env) -> F80 {
    if let Some(nan) = nan(a, a, env) {
        return nan;
    }
    let x = a.unpack();
    match x.class {
        Class::Zero => return a,
        Class::Infinity if x.sign => return F80 { sign_exp: 0xbfff, mantissa: 1 << 63 },
        Class::Infinity => return a,
        _ => {}
    }
    if check_denormals(&[a], env) {
        return a;
    }
    if x.exp >= 0 {
        // 2^1 - 1 = 1, 2^-1 - 1 = -1/2.
        let one = x.exp == 0 && x.sig == 1 << 127;
        return if one && x.sign { F80 { sign_exp: 0xbffe, mantissa: 1 << 63 } } else { a };
    }
    if x.exp < -112 {
        return product(a, tables::LN_2, 0, env);
    }
    let mut calc = Calc::new();
    // The nearest sixteenth.
    let magnitude = if x.exp < -5 { 0 } else { (x.sig >> (122 - x.exp)).div_ceil(2) as i32 };
    let k = if x.sign { -magnitude } else { magnitude };
    let value = calc.parts(x.sign, x.exp, x.sig);
    let sixteenths = calc.parts(x.sign, 127 - 4, magnitude as u128);
    let rest = calc.sub(value, sixteenths);
    let rest = calc.mul(rest, tables::LN_2);
    let p = calc.polynomial(rest, &tables::EXPONENTIAL);
    let expm1 = calc.mul(p, rest);
    // 2^(k/16) (e + 1) - 1 = (2^(k/16) - 1) (e + 1) + e
    let power = tables::POWERS[(k + 16) as usize % 33];
    let scaled = calc.mul(power, expm1);
    let sum = calc.add(scaled, expm1);
    let result = calc.add(sum, power);
    finish(false, result, false, env)
}

/// log2((1 + s) / (1 - s)) for |s| up to 0.1716.
fn logarithm_kernel(s: F128, calc: &mut Calc) -> F128 {
    let square = calc.mul(s, s);
    let p = calc.polynomial(square, &tables::LOGARITHM);
    calc.mul(p, s)
}

/// log2 of a positive finite number.
fn logarithm(x: &Unpacked, calc: &mut Calc) -> F128 {
    // √2 × 2^127.
    const ROOT: u128 = 0xb504_f333_f9de_6484_597d_89b3_754a_be9f;
    let (exp, m) = if x.sig > ROOT { (x.exp + 1, -1) } else { (x.exp, 0) };
    let m = calc.parts(false, m, x.sig);
    let (top, bottom) = (calc.sub(m, ONE), calc.add(m, ONE));
    let s = calc.div(top, bottom);
    let log = logarithm_kernel(s, calc);
    let exp = calc.int(exp);
    calc.add(exp, log)
}

/// y × log2(x) where the logarithm is plus or minus infinity (x infinite or zero) or y is.
fn infinite_product(y: F80, log_zero: bool, log_sign: bool, env: &mut Env) -> F80 {
    let y = y.unpack();
    if y.class == Class::Zero || log_zero { raise_invalid(env) } else { F80::infinity(y.sign ^ log_sign) }
}

/// FYL2X: y × log2(x), y being ST(1) (SDM volume 2, table 3-46).
pub fn y_log2_x(y: F80, x_in: F80, env: &mut Env) -> F80 {
    if let Some(nan) = nan(y, x_in, env) {
        return nan;
    }
    let x = x_in.unpack();
    let yp = y.unpack();
    if x.sign && x.class != Class::Zero {
        return raise_invalid(env);
    }
    if x.class == Class::Zero {
        if yp.class == Class::Zero {
            return raise_invalid(env);
        }
        if yp.class != Class::Infinity {
            env.flags.raise(Flags::DIVZERO);
        }
        return F80::infinity(!yp.sign);
    }
    if x.class == Class::Infinity {
        if yp.class == Class::Zero {
            return raise_invalid(env);
        }
        if check_denormals(&[y], env) {
            return y;
        }
        return F80::infinity(yp.sign);
    }
    let is_one = x.exp == 0 && x.sig == 1 << 127;
    if yp.class == Class::Infinity && is_one {
        return raise_invalid(env);
    }
    if check_denormals(&[y, x_in], env) {
        return y;
    }
    let negative = x.exp < 0;
    if yp.class == Class::Infinity {
        return infinite_product(y, is_one, negative, env);
    }
    if yp.class == Class::Zero || is_one {
        return F80::zero(yp.sign ^ negative);
    }
    let log = logarithm(&x, &mut Calc::new());
    product(log, y, 0, env)
}

/// FYL2XP1: y × log2(x + 1). The manual defines it for |x| up to 1 - √½; here it holds for
/// every x above -1, and from -1 down it is FYL2X of x + 1.
pub fn y_log2_x_plus_1(y: F80, x_in: F80, env: &mut Env) -> F80 {
    if let Some(nan) = nan(y, x_in, env) {
        return nan;
    }
    let (x, yp) = (x_in.unpack(), y.unpack());
    match x.class {
        Class::Infinity if x.sign => return raise_invalid(env),
        Class::Infinity => {
            if yp.class == Class::Zero {
                return raise_invalid(env);
            }
            return if check_denormals(&[y], env) { y } else { F80::infinity(yp.sign) };
        }
        Class::Zero => {
            if yp.class == Class::Infinity {
                return raise_invalid(env);
            }
            return if check_denormals(&[y], env) { y } else { F80::zero(yp.sign ^ x.sign) };
        }
        _ => {}
    }
    if x.sign && x.exp >= 0 {
        let one = x.exp == 0 && x.sig == 1 << 127;
        return if one { y_log2_x(y, F80::zero(false), env) } else { raise_invalid(env) };
    }
    if check_denormals(&[y, x_in], env) {
        return y;
    }
    match yp.class {
        Class::Infinity => return F80::infinity(yp.sign ^ x.sign),
        Class::Zero => return F80::zero(yp.sign ^ x.sign),
        _ => {}
    }
    let mut calc = Calc::new();
    if x.exp < -112 {
        // log2(1 + x) = x log2(e); the exponent is kept apart, as F128 cannot hold it exactly.
        let m = calc.parts(x.sign, 0, x.sig);
        let log = calc.mul(m, tables::LOG2_E);
        return product(log, y, x.exp, env);
    }
    let value = calc.parts(x.sign, x.exp, x.sig);
    let log = if x.exp < -2 {
        let bottom = calc.int(2);
        let bottom = calc.add(bottom, value);
        let s = calc.div(value, bottom);
        logarithm_kernel(s, &mut calc)
    } else {
        let sum = calc.add(ONE, value);
        logarithm(&sum.unpack(), &mut calc)
    };
    product(log, y, 0, env)
}
