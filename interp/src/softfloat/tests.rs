//! Comparison with rustc_apfloat, an independent implementation. What it lacks (square roots,
//! x86's NaN choice, denormal flags, precision control, flushing) is compared with the host's
//! FPU in `tests/softfloat_host.rs`.

use rustc_apfloat::ieee::{Double, Half, Quad, Single, X87DoubleExtended};
use rustc_apfloat::{Float, Round, Status, StatusAnd};

use super::*;

const ROUNDINGS: [(Rounding, Round); 5] = [
    (Rounding::NearestEven, Round::NearestTiesToEven),
    (Rounding::Down, Round::TowardNegative),
    (Rounding::Up, Round::TowardPositive),
    (Rounding::TowardZero, Round::TowardZero),
    (Rounding::NearestAway, Round::NearestTiesToAway),
];

/// A fixed-seed generator (xorshift64*).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn wide(&mut self) -> u128 {
        u128::from(self.next()) << 64 | u128::from(self.next())
    }
}

/// A format paired with the oracle's type for it.
trait Pair: Format {
    type Oracle: Float;
    fn bits(self) -> u128;
}

macro_rules! pair {
    ($ty:ident, $oracle:ty) => {
        impl Pair for $ty {
            type Oracle = $oracle;
            fn bits(self) -> u128 {
                self.0.into()
            }
        }
    };
}

pair!(F16, Half);
pair!(F32, Single);
pair!(F64, Double);
pair!(F128, Quad);

impl Pair for F80 {
    type Oracle = X87DoubleExtended;
    fn bits(self) -> u128 {
        u128::from(self.sign_exp) << 64 | u128::from(self.mantissa)
    }
}

fn oracle<F: Pair>(value: F) -> F::Oracle {
    F::Oracle::from_bits(value.bits())
}

/// Operands that make special cases likely: exponents near each other and near the ends,
/// significands of long runs.
fn operand<F: Pair>(random: &mut Random) -> F {
    let mut fraction = random.wide() >> (128 - F::PRECISION);
    match random.next() % 6 {
        0 => fraction = 0,
        1 => fraction = 1,
        2 => fraction = u128::MAX,
        3 => fraction &= u128::MAX << (random.next() % u64::from(F::PRECISION)),
        4 => fraction |= (1 << (random.next() % u64::from(F::PRECISION))) - 1,
        _ => {}
    }
    let pick = random.next();
    let top = F::SPECIAL as u64;
    let biased = match pick >> 32 & 7 {
        0 => pick % 3,
        1 => top - pick % 3,
        2 => pick % (top + 1),
        3 => top / 2 + pick % 130,
        4 => pick % u64::from(F::PRECISION + 3),
        _ => top / 2 + pick % 5,
    }
    .min(top) as u32;
    // The x87 format's integer bit follows from the exponent.
    let integer = 1u128 << (F::PRECISION - 1);
    fraction = if biased == 0 { fraction & !integer } else { fraction | integer };
    F::assemble(pick >> 40 & 1 != 0, biased, fraction)
}

fn env(rounding: Rounding) -> Env {
    Env { rounding, tiny_before_rounding: true, ..Env::sse(0x1f80) }
}

/// apfloat reports an overflow that was rounded to the largest number, and an underflow that
/// was rounded to the smallest normal one, as inexact only; IEEE 754 sections 7.4 and 7.5 and
/// x86 report both. The comparison with the host's FPU covers these flags.
fn missed<F: Format>(got: F, env: &Env) -> u8 {
    let positive = F::assemble(false, F::SPECIAL - 1, u128::MAX >> (128 - F::PRECISION));
    let negative = F::assemble(true, F::SPECIAL - 1, u128::MAX >> (128 - F::PRECISION));
    if got == positive || got == negative {
        return env.flags.0 & Flags::OVERFLOW;
    }
    let parts = got.unpack();
    let smallest = parts.exp == F::MIN_EXP && parts.sig == 1 << 127;
    if smallest { env.flags.0 & Flags::UNDERFLOW } else { 0 }
}

#[track_caller]
fn check<F: Pair>(what: &str, got: F, env: &Env, want: StatusAnd<F::Oracle>, inputs: &[F]) {
    let mut flags = 0;
    for (status, flag) in [
        (Status::INVALID_OP, Flags::INVALID),
        (Status::DIV_BY_ZERO, Flags::DIVZERO),
        (Status::OVERFLOW, Flags::OVERFLOW),
        (Status::UNDERFLOW, Flags::UNDERFLOW),
        (Status::INEXACT, Flags::INEXACT),
    ] {
        if want.status.intersects(status) {
            flags |= flag;
        }
    }
    if inputs.iter().any(|i| i.unpack().is_nan()) || want.value.is_nan() {
        let class = got.unpack().class;
        assert!(class == Class::Quiet && want.value.is_nan(), "{what} {inputs:x?}: {got:x?}");
        return;
    }
    assert_eq!(got.bits(), want.value.to_bits(), "{what} {inputs:x?} {env:?}");
    flags |= missed(got, env);
    assert_eq!(env.flags.0 & !Flags::DENORMAL, flags, "{what} {inputs:x?} {env:?}");
}

fn check_arithmetic<F: Pair>(a: F, b: F, c: F) {
    let (x, y, z) = (oracle(a), oracle(b), oracle(c));
    for (rounding, round) in ROUNDINGS {
        let mut e = env(rounding);
        check("add", add(a, b, &mut e), &e, x.add_r(y, round), &[a, b]);
        let mut e = env(rounding);
        check("sub", sub(a, b, &mut e), &e, x.sub_r(y, round), &[a, b]);
        let mut e = env(rounding);
        check("mul", mul(a, b, &mut e), &e, x.mul_r(y, round), &[a, b]);
        let mut e = env(rounding);
        check("div", div(a, b, &mut e), &e, x.div_r(y, round), &[a, b]);
        let mut e = env(rounding);
        check("fma", fma(a, b, c, &mut e), &e, x.mul_add_r(y, z, round), &[a, b, c]);
        let mut e = env(rounding);
        let integral = round_to_int(a, rounding, true, &mut e);
        let want = x.round_to_integral(round);
        if !a.unpack().is_nan() {
            assert_eq!(integral.bits(), want.value.to_bits(), "round {a:x?} {rounding:?}");
        }
        check_to_int(a, rounding, round);
        // The squared root must bracket the operand: independent of how roots are found.
        check_sqrt(a, rounding, round);
    }
    let mut e = env(Rounding::NearestEven);
    let order = match x.partial_cmp(&y) {
        None => Order::Unordered,
        Some(std::cmp::Ordering::Less) => Order::Less,
        Some(std::cmp::Ordering::Equal) => Order::Equal,
        Some(std::cmp::Ordering::Greater) => Order::Greater,
    };
    assert_eq!(compare(a, b, &mut e), order, "compare {a:x?} {b:x?}");
    assert_eq!(compare_quiet(a, b, &mut e), order, "compare {a:x?} {b:x?}");
}

fn check_to_int<F: Pair>(a: F, rounding: Rounding, round: Round) {
    let mut e = env(rounding);
    let mut exact = false;
    let want = oracle(a).to_i128_r(64, round, &mut exact);
    let got = to_i64(a, rounding, &mut e);
    if want.status.intersects(Status::INVALID_OP) {
        assert_eq!((got, e.flags.0), (None, Flags::INVALID), "to_i64 {a:x?} {rounding:?}");
    } else {
        let inexact = if want.status.intersects(Status::INEXACT) { Flags::INEXACT } else { 0 };
        assert_eq!((got, e.flags.0), (Some(want.value as i64), inexact), "to_i64 {a:x?} {rounding:?}");
    }
    let mut e = env(rounding);
    let want = oracle(a).to_u128_r(32, round, &mut exact);
    let got = to_u32(a, rounding, &mut e);
    let want = (!want.status.intersects(Status::INVALID_OP)).then_some(want.value as u32);
    assert_eq!(got, want, "to_u32 {a:x?} {rounding:?}");
}

/// Checks a root against the definition, in the oracle's exact arithmetic: with one rounding,
/// `r × r - a` must have the right sign, and the neighbour's the other.
fn check_sqrt<F: Pair>(a: F, rounding: Rounding, _round: Round) {
    let parts = a.unpack();
    if parts.sign
        || !matches!(parts.class, Class::Normal | Class::Subnormal)
        || parts.exp < F::MIN_EXP + F::PRECISION as i32 + 3
    {
        return;
    }
    let mut e = env(rounding);
    let root = sqrt(a, &mut e);
    let residue = |r: F::Oracle| r.mul_add_r(r, -oracle(a), Round::TowardZero).value;
    let r = oracle(root);
    let here = residue(r);
    assert_eq!(here.is_zero(), !e.flags.any(Flags::INEXACT), "sqrt {a:x?}");
    if here.is_zero() {
        return;
    }
    let below = if here.is_negative() { r } else { r.next_down().value };
    let above = below.next_up().value;
    assert!(residue(below).is_negative() && !residue(above).is_negative(), "sqrt {a:x?}");
    match rounding {
        Rounding::Up => assert!(!here.is_negative(), "sqrt {a:x?}"),
        Rounding::Down | Rounding::TowardZero => assert!(here.is_negative(), "sqrt {a:x?}"),
        _ => {}
    }
}

fn check_random<F: Pair>(seed: u64, count: u32) {
    let mut random = Random(seed);
    for _ in 0..count {
        let (a, b, c) = (operand(&mut random), operand(&mut random), operand::<F>(&mut random));
        check_arithmetic(a, b, c);
    }
}

#[test]
fn half_agrees() {
    check_random::<F16>(1, 20_000);
}

#[test]
fn single_agrees() {
    check_random::<F32>(2, 20_000);
}

#[test]
fn double_agrees() {
    check_random::<F64>(3, 20_000);
}

#[test]
fn extended_agrees() {
    check_random::<F80>(4, 20_000);
}

#[test]
fn quad_agrees() {
    check_random::<F128>(5, 10_000);
}

/// The double has more than twice a half's significand, so that rounding twice to nearest is
/// rounding once.
#[test]
fn half_roots_agree_with_double_roots() {
    for bits in 0..0x7c00 {
        let mut e = env(Rounding::NearestEven);
        let wide: F64 = convert(F16(bits), &mut e);
        let root = sqrt(wide, &mut e);
        let want: F16 = convert(root, &mut e);
        assert_eq!(sqrt(F16(bits), &mut e), want, "{bits:x}");
    }
}

/// Every half-precision operand, in every rounding mode, against random others.
#[test]
fn half_agrees_for_every_operand() {
    let mut random = Random(6);
    for bits in 0..=u16::MAX {
        let (a, b) = (F16(bits), operand(&mut random));
        check_arithmetic(a, b, operand(&mut random));
    }
}

fn check_convert<A: Pair, B: Pair>(seed: u64)
where
    A::Oracle: rustc_apfloat::FloatConvert<B::Oracle>,
{
    use rustc_apfloat::FloatConvert;
    let mut random = Random(seed);
    for _ in 0..5_000 {
        let a = operand::<A>(&mut random);
        // A result near B's ends: A's exponents are centred on the same value.
        for (rounding, round) in ROUNDINGS {
            let mut e = env(rounding);
            let got: B = convert(a, &mut e);
            let mut lost = false;
            let want: StatusAnd<B::Oracle> = oracle(a).convert_r(round, &mut lost);
            if a.unpack().is_nan() {
                assert_eq!(got.unpack().class, Class::Quiet);
                continue;
            }
            assert_eq!(got.bits(), want.value.to_bits(), "{a:x?} {rounding:?}");
            let inexact = want.status.intersects(Status::INEXACT);
            assert_eq!(e.flags.any(Flags::INEXACT), inexact, "{a:x?} {rounding:?}");
            let overflow = want.status.intersects(Status::OVERFLOW);
            let overflow = overflow || missed(got, &e) & Flags::OVERFLOW != 0;
            assert_eq!(e.flags.any(Flags::OVERFLOW), overflow, "{a:x?} {rounding:?}");
            let underflow = want.status.intersects(Status::UNDERFLOW);
            let underflow = underflow || missed(got, &e) & Flags::UNDERFLOW != 0;
            assert_eq!(e.flags.any(Flags::UNDERFLOW), underflow, "{a:x?} {rounding:?}");
        }
    }
}

#[test]
fn conversions_agree() {
    check_convert::<F64, F32>(7);
    check_convert::<F32, F64>(8);
    check_convert::<F64, F80>(9);
    check_convert::<F80, F64>(10);
    check_convert::<F80, F32>(11);
    check_convert::<F32, F16>(12);
    check_convert::<F16, F32>(13);
    check_convert::<F128, F80>(14);
    check_convert::<F80, F128>(15);
}

#[test]
fn integers_agree() {
    let mut random = Random(16);
    for _ in 0..20_000 {
        let value = (random.next() as i64) >> (random.next() % 64);
        for (rounding, round) in ROUNDINGS {
            let mut e = env(rounding);
            let got: F32 = from_i64(value, &mut e);
            let want = Single::from_i128_r(value.into(), round);
            assert_eq!(got.bits(), want.value.to_bits(), "{value} {rounding:?}");
            let got: F64 = from_u64(value as u64, &mut e);
            let want = Double::from_u128_r((value as u64).into(), round);
            assert_eq!(got.bits(), want.value.to_bits(), "{value} {rounding:?}");
            let got: F80 = from_i64(value, &mut e);
            assert_eq!(to_i64(got, rounding, &mut e), Some(value));
        }
    }
}

/// ARM's NaN choice (ARM ARM, FPProcessNaNs): signalling first, else the first operand.
#[test]
fn arm_nans() {
    let (quiet, signalling) = (F32(0x7fc0_0001), F32(0xff80_0002));
    let mut e = Env { nan_rule: NanRule::Arm, ..env(Rounding::NearestEven) };
    assert_eq!(add(quiet, signalling, &mut e), F32(0xffc0_0002));
    assert_eq!(e.flags.0, Flags::INVALID);
    assert_eq!(sqrt(F32(0xbf80_0000), &mut e), F32(0x7fc0_0000));
    e.nan_rule = NanRule::ArmDefault;
    assert_eq!(mul(quiet, signalling, &mut e), F32(0x7fc0_0000));
}

/// What processors leave in MXCSR when an unmasked SSE exception ends an instruction: post-
/// computation flags as if the exponent were unbounded, none after an unmasked denormal.
#[test]
fn unmasked_sse_flags() {
    let (large, large_odd) = (F64(0x7fe0 << 48), F64(0x7fe5_5555_5555_5555));
    let (small, small_odd, half) = (F64(0x0010 << 48), F64(0x0015_5555_5555_5555), F64(0x3fe0 << 48));
    for (a, b, mxcsr, flags) in [
        (large, large, 0x1b80, 0x08),
        (large_odd, large_odd, 0x1b80, 0x28),
        (small, half, 0x1780, 0x10),
        (small_odd, half, 0x1780, 0x10),
        (small_odd, small_odd, 0x1780, 0x30),
        (small, half, 0x9780, 0x10),
        (F64(1), F64(0x3ff5_5555_5555_5555), 0x1e80, 0x02),
    ] {
        let mut e = Env::sse(mxcsr);
        mul(a, b, &mut e);
        assert_eq!(e.flags.0, flags, "{a:x?} {b:x?} {mxcsr:x}");
    }
    for (value, mxcsr, flags) in [(large_odd, 0x1b80, 0x28), (small_odd, 0x1780, 0x30)] {
        let mut e = Env::sse(mxcsr);
        let _: F32 = convert(value, &mut e);
        assert_eq!(e.flags.0, flags, "{value:x?} {mxcsr:x}");
    }
}

/// ARM's fixed-point conversions (FPToFixed): the integer of the scaled number, saturated.
#[test]
fn fixed_point_agrees() {
    let mut random = Random(17);
    for _ in 0..50_000 {
        let a: F64 = operand(&mut random);
        let fraction = (random.next() % 65) as u32;
        for (rounding, round) in ROUNDINGS {
            let scaled = oracle(a).scalbn_r(fraction as i32, Round::NearestTiesToEven);
            // Scaling is exact but for what overflows.
            for (signed, bits) in [(true, 64), (false, 64), (true, 32), (false, 32), (true, 16), (false, 16)]
            {
                let mut e = Env { rounding, ..Env::arm(0, false) };
                let got = to_fixed(a, fraction, rounding, signed, bits, &mut e);
                let mut exact = false;
                let mask = u64::MAX >> (64 - bits);
                let (value, status) = if signed {
                    let r = scaled.to_i128_r(bits as usize, round, &mut exact);
                    (r.value as u64 & mask, r.status)
                } else {
                    let r = scaled.to_u128_r(bits as usize, round, &mut exact);
                    (r.value as u64 & mask, r.status)
                };
                assert_eq!(got, value, "{a:x?} {fraction} {rounding:?} {signed} {bits}");
                let flags = match () {
                    () if status.intersects(Status::INVALID_OP) => Flags::INVALID,
                    () if status.intersects(Status::INEXACT) => Flags::INEXACT,
                    () => 0,
                };
                assert_eq!(e.flags.0, flags, "{a:x?} {fraction} {rounding:?} {signed} {bits}");
            }
        }
    }
}

/// The alternative half precision: every encoding is a number, and comes back.
#[test]
fn alternative_half_is_all_numbers() {
    for bits in 0..=u16::MAX {
        let mut e = Env::arm(0, false);
        let wide: F32 = from_alternative_half(F16(bits), &mut e);
        let parts = wide.unpack();
        assert!(parts.is_finite());
        if bits >> 10 & 31 == 31 {
            assert_eq!(parts.exp, 16);
        }
        assert_eq!((to_alternative_half(wide, &mut e), e.flags.0), (F16(bits), 0));
    }
    // Too large, infinite, not a number: saturated or zero, and invalid.
    for (value, want) in
        [(0x4800_0000, 0x7fff), (0xff80_0000, 0xffff), (0xffc0_0001, 0x8000), (0x47ff_f800, 0x7fff)]
    {
        let mut e = Env::arm(0, false);
        assert_eq!(
            (to_alternative_half(F32(value), &mut e), e.flags.0),
            (F16(want), Flags::INVALID),
            "{value:x}"
        );
    }
    let mut e = Env::arm(0, false);
    assert_eq!((to_alternative_half(F32(0x47ff_e001), &mut e), e.flags.0), (F16(0x7fff), Flags::INEXACT));
}

/// Rounding to odd (FCVTXN): truncated, the last bit set if that lost something; so that rounding again is right.
#[test]
fn odd_is_truncation_with_a_sticky_bit() {
    let mut random = Random(18);
    for _ in 0..50_000 {
        let a: F64 = operand(&mut random);
        let (mut e, mut t) =
            (Env::arm(0, false), Env { rounding: Rounding::TowardZero, ..Env::arm(0, false) });
        let odd: F32 = to_odd(a, |F32(v)| F32(v | 1), &mut e);
        let F32(cut) = convert(a, &mut t);
        assert_eq!(odd, F32(cut | u32::from(t.flags.any(Flags::INEXACT))), "{a:x?}");
        assert_eq!(e.flags, t.flags);
        let (mut n, mut d) = (env(Rounding::NearestEven), env(Rounding::NearestEven));
        let (twice, once): (F16, F16) = (convert(odd, &mut n), convert(a, &mut d));
        assert!(a.unpack().is_nan() || twice == once, "{a:x?}");
    }
}

/// ARM's flushing (A1.5.4): inputs are told but for half precision, results set underflow and nothing else.
#[test]
fn arm_flushes() {
    let mut e = Env::arm(1 << 24, false);
    assert_eq!((mul(F32(0x8000_0001), F32(0x7f00_0000), &mut e), e.flags.0), (F32(1 << 31), Flags::DENORMAL));
    let mut e = Env::arm(1 << 24, false);
    assert_eq!((mul(F32(0x0080_0000), F32(0x3f00_0000), &mut e), e.flags.0), (F32(0), Flags::UNDERFLOW));
    let mut e = Env::arm(1 << 19, true);
    assert_eq!((add(F16(1), F16(0), &mut e), e.flags.0), (F16(0), 0));
    // Conversions between formats flush no half precision.
    let mut e = Env::arm(1 << 24, false);
    assert_eq!((convert::<F16, F32>(F16(1), &mut e), e.flags.0), (F32(0x3380_0000), 0));
}
