//! The software floating point against the host's own FPU: SSE and x87, values and flags, in
//! every rounding mode, with FTZ and DAZ, and every precision control.
#![cfg(target_arch = "x86_64")]
#![allow(unsafe_code, reason = "the host's FPU is the oracle and is reached by inline assembly")]

use std::arch::asm;

use dejavm_interp::softfloat::{self as sf, Env, F32, F64, F80, Flags, Format, Order, Rounding};

/// A fixed-seed generator (xorshift64*).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

/// Operands that make special cases likely, NaNs and (for the x87) invalid encodings included.
fn operand<F: Format>(random: &mut Random) -> F {
    let mut fraction = u128::from(random.next()) >> (64 - F::PRECISION);
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
    let integer = 1u128 << (F::PRECISION - 1);
    // One x87 operand in 32 has the wrong integer bit.
    let wrong = pick >> 41 & 31 == 0;
    fraction = if (biased == 0) != wrong { fraction & !integer } else { fraction | integer };
    F::assemble(pick >> 40 & 1 != 0, biased, fraction)
}

/// Runs one SSE instruction under an MXCSR; the result's bits and the flags.
macro_rules! sse {
    ($text:literal, $mxcsr:expr, $a:expr, $b:expr) => {{
        let mut value: u64 = $a;
        let mxcsr: u32 = $mxcsr;
        let mut after: u32 = 0;
        let default: u32 = 0x1f80;
        // SAFETY: only the named registers and the two pointed-to words are touched, and
        // MXCSR is put back.
        unsafe {
            asm!(
                "ldmxcsr [{mxcsr}]",
                "movq xmm0, {value}",
                "movq xmm1, {b}",
                $text,
                "movq {value}, xmm0",
                "stmxcsr [{after}]",
                "ldmxcsr [{default}]",
                mxcsr = in(reg) &mxcsr,
                value = inout(reg) value,
                b = in(reg) $b as u64,
                after = in(reg) &mut after,
                default = in(reg) &default,
                out("rax") _, out("xmm0") _, out("xmm1") _,
                options(nostack),
            );
        }
        (value, (after & 0x3f) as u8)
    }};
}

/// The MXCSR values to try: every rounding mode with and without FTZ and DAZ, all masked.
fn mxcsrs() -> impl Iterator<Item = u32> {
    (0..16).map(|n: u32| 0x1f80 | (n & 3) << 13 | (n >> 2 & 1) << 15 | (n >> 3 & 1) << 6)
}

macro_rules! check_sse {
    ($text:literal, $a:expr, $b:expr, $mask:expr, $compute:expr) => {
        for mxcsr in mxcsrs() {
            let mut env = Env::sse(mxcsr);
            let got: u64 = $compute(&mut env);
            let (want, flags) = sse!($text, mxcsr, $a, $b);
            assert_eq!(
                (got & $mask, env.flags.0),
                (want & $mask, flags),
                "{} {:x} {:x} mxcsr {mxcsr:x}: got {got:x}, host {want:x}",
                $text,
                $a,
                $b
            );
        }
    };
}

#[test]
fn sse_single() {
    let mut random = Random(1);
    for _ in 0..60_000 {
        let (a, b): (F32, F32) = (operand(&mut random), operand(&mut random));
        let (x, y) = (u64::from(a.0), u64::from(b.0));
        let m = 0xffff_ffffu64;
        check_sse!("addss xmm0, xmm1", x, y, m, |e| u64::from(sf::add(a, b, e).0));
        check_sse!("subss xmm0, xmm1", x, y, m, |e| u64::from(sf::sub(a, b, e).0));
        check_sse!("mulss xmm0, xmm1", x, y, m, |e| u64::from(sf::mul(a, b, e).0));
        check_sse!("divss xmm0, xmm1", x, y, m, |e| u64::from(sf::div(a, b, e).0));
        check_sse!("sqrtss xmm0, xmm1", x, y, m, |e| u64::from(sf::sqrt(b, e).0));
        check_sse!("cvtss2sd xmm0, xmm1", x, y, u64::MAX, |e| sf::convert::<F32, F64>(b, e).0);
        check_sse!("cvtss2si eax, xmm1\nmovd xmm0, eax", x, y, m, |e: &mut Env| {
            u64::from(sf::to_i32(b, e.rounding, e).map_or(0x8000_0000, |v| v as u32))
        });
        check_sse!("roundss xmm0, xmm1, 4", x, y, m, |e: &mut Env| {
            u64::from(sf::round_to_int(b, e.rounding, true, e).0)
        });
    }
}

#[test]
fn sse_double() {
    let mut random = Random(2);
    let m = u64::MAX;
    for _ in 0..60_000 {
        let (a, b): (F64, F64) = (operand(&mut random), operand(&mut random));
        let (x, y) = (a.0, b.0);
        check_sse!("addsd xmm0, xmm1", x, y, m, |e| sf::add(a, b, e).0);
        check_sse!("subsd xmm0, xmm1", x, y, m, |e| sf::sub(a, b, e).0);
        check_sse!("mulsd xmm0, xmm1", x, y, m, |e| sf::mul(a, b, e).0);
        check_sse!("divsd xmm0, xmm1", x, y, m, |e| sf::div(a, b, e).0);
        check_sse!("sqrtsd xmm0, xmm1", x, y, m, |e| sf::sqrt(b, e).0);
        check_sse!("cvtsd2ss xmm0, xmm1", x, y, 0xffff_ffff, |e| {
            u64::from(sf::convert::<F64, F32>(b, e).0)
        });
        check_sse!("cvtsd2si rax, xmm1\nmovq xmm0, rax", x, y, m, |e: &mut Env| {
            sf::to_i64(b, e.rounding, e).map_or(1 << 63, |v| v as u64)
        });
        check_sse!("cvttsd2si eax, xmm1\nmovd xmm0, eax", x, y, m, |e: &mut Env| {
            u64::from(sf::to_i32(b, Rounding::TowardZero, e).map_or(0x8000_0000, |v| v as u32))
        });
        check_sse!("roundsd xmm0, xmm1, 12", x, y, m, |e: &mut Env| {
            sf::round_to_int(b, e.rounding, false, e).0
        });
        check_sse!("movq rax, xmm1\ncvtsi2sd xmm0, rax", x, y, m, |e| { sf::from_i64::<F64>(y as i64, e).0 });
    }
}

/// ZF, PF, CF of a comparison in EFLAGS positions.
fn order_flags(order: Order) -> u64 {
    match order {
        Order::Less => 0x01,
        Order::Equal => 0x40,
        Order::Greater => 0,
        Order::Unordered => 0x45,
    }
}

#[test]
fn sse_compare() {
    let mut random = Random(3);
    for n in 0..60_000 {
        let a: F64 = operand(&mut random);
        let b = if n % 8 == 0 { a } else { operand(&mut random) };
        let (x, y) = (a.0, b.0);
        check_sse!("comisd xmm0, xmm1\nlahf\nmovzx eax, ah\nmovq xmm0, rax", x, y, 0x45, |e| {
            order_flags(sf::compare(a, b, e))
        });
        check_sse!("ucomisd xmm0, xmm1\nlahf\nmovzx eax, ah\nmovq xmm0, rax", x, y, 0x45, |e| {
            order_flags(sf::compare_quiet(a, b, e))
        });
    }
}

/// Runs x87 instructions under a control word with `b` in ST(1) and `a` in ST(0); the new
/// ST(0) and the status word. The exceptions that the loads leave are cleared before.
macro_rules! x87 {
    ($text:literal, $cw:expr, $a:expr, $b:expr) => {{
        let (a, b) = ($a.to_bytes(), $b.to_bytes());
        let mut result = [0u8; 10];
        let cw: u16 = $cw;
        let status: u16;
        // SAFETY: the pointers are to ten-byte arrays and a word; the x87 state is
        // initialised before and after, and no exception is left pending.
        unsafe {
            asm!(
                "fninit",
                "fld tbyte ptr [{b}]",
                "fld tbyte ptr [{a}]",
                "fldcw [{cw}]",
                $text,
                "fnstsw ax",
                "fnclex",
                "fstp tbyte ptr [{result}]",
                "fninit",
                a = in(reg) &a,
                b = in(reg) &b,
                cw = in(reg) &cw,
                result = in(reg) &mut result,
                out("ax") status,
                out("st(0)") _, out("st(1)") _, out("st(2)") _, out("st(3)") _,
                out("st(4)") _, out("st(5)") _, out("st(6)") _, out("st(7)") _,
                options(nostack),
            );
        }
        (F80::from_bytes(result), status)
    }};
}

/// The control words to try: every rounding and precision; some with over- and underflow
/// unmasked.
fn control_words() -> impl Iterator<Item = u16> {
    (0..24).map(|n: u16| {
        let pc = [0, 2, 3][usize::from(n % 3)];
        let unmasked = if n >= 12 { 0x18 } else { 0 };
        0x007f & !unmasked | pc << 8 | (n / 3 % 4) << 10
    })
}

const C1: u16 = 0x200;

macro_rules! check_x87 {
    ($text:literal, $a:expr, $b:expr, $compute:expr) => {
        check_x87!($text, $a, $b, $compute, |_| false)
    };
    ($text:literal, $a:expr, $b:expr, $compute:expr, $except:expr) => {
        for cw in control_words() {
            let except: fn(u16) -> bool = $except;
            if except(cw) {
                continue;
            }
            let mut env = Env::x87(cw);
            let got: F80 = $compute(&mut env);
            let (want, status) = x87!($text, cw, $a, $b);
            let up = env.rounded_up && env.flags.any(Flags::INEXACT);
            assert_eq!(
                (got, env.flags.0, up),
                (want, status as u8 & 0x3f, status & C1 != 0),
                "{} {:x?} {:x?} cw {cw:x}: got {got:x?}, host {want:x?}",
                $text,
                $a,
                $b
            );
        }
    };
}

#[test]
fn x87_arithmetic() {
    let mut random = Random(4);
    for _ in 0..30_000 {
        let (a, b): (F80, F80) = (operand(&mut random), operand(&mut random));
        check_x87!("fadd st(0), st(1)", a, b, |e| sf::add(a, b, e));
        check_x87!("fsub st(0), st(1)", a, b, |e| sf::sub(a, b, e));
        check_x87!("fmul st(0), st(1)", a, b, |e| sf::mul(a, b, e));
        check_x87!("fdiv st(0), st(1)", a, b, |e| sf::div(a, b, e));
        check_x87!("fdivr st(0), st(1)", a, b, |e| sf::div(b, a, e));
        check_x87!("fsqrt", a, b, |e| sf::sqrt(a, e));
        check_x87!("frndint", a, b, |e: &mut Env| sf::round_to_int(a, e.rounding, true, e));
        if a.sign_exp & 0x7fff == 0 && b.mantissa == 0 {
            // A denormal scaled by zero underflows on AMD's CPUs, which is ours, and is left alone by Intel's. It shows
            // where underflow is not masked.
            check_x87!("fscale", a, b, |e| sf::scale(a, b, e), |cw| cw & 0x10 == 0);
        } else {
            check_x87!("fscale", a, b, |e| sf::scale(a, b, e));
        }
    }
}

#[test]
fn x87_extract() {
    let mut random = Random(5);
    for _ in 0..60_000 {
        let (a, b): (F80, F80) = (operand(&mut random), operand(&mut random));
        check_x87!("fxtract", a, b, |e| sf::extract(a, e).1);
        check_x87!("fxtract\nfstp st(0)", a, b, |e| sf::extract(a, e).0);
    }
}

#[test]
fn x87_remainder() {
    let mut random = Random(6);
    for _ in 0..60_000 {
        let (a, b): (F80, F80) = (operand(&mut random), operand(&mut random));
        for nearest in [false, true] {
            let cw = 0x37f;
            let mut env = Env::x87(cw);
            let got = sf::remainder(a, b, nearest, &mut env);
            let (want, status) = if nearest { x87!("fprem1", cw, a, b) } else { x87!("fprem", cw, a, b) };
            let q = got.quotient as u16;
            let conditions = (q & 4) << 6 | (q & 2) << 13 | (q & 1) << 9 | u16::from(!got.complete) << 10;
            assert_eq!(
                (got.value, env.flags.0, conditions),
                (want, status as u8 & 0x3f, status & 0x4700),
                "{a:x?} {b:x?} nearest {nearest}: got {got:x?}, host {want:x?}"
            );
        }
    }
}

#[test]
fn x87_compare() {
    let mut random = Random(7);
    for n in 0..60_000 {
        let a: F80 = operand(&mut random);
        let b = if n % 8 == 0 { a } else { operand(&mut random) };
        for quiet in [false, true] {
            let mut env = Env::x87(0x37f);
            let (order, status) = if quiet {
                (sf::compare_quiet(a, b, &mut env), x87!("fucom st(1)", 0x37f, a, b).1)
            } else {
                (sf::compare(a, b, &mut env), x87!("fcom st(1)", 0x37f, a, b).1)
            };
            let conditions = (order_flags(order) as u16) << 8;
            assert_eq!(
                (conditions, env.flags.0),
                (status & 0x4500, status as u8 & 0x3f),
                "{a:x?} {b:x?} quiet {quiet}"
            );
        }
    }
}

/// Stores to narrower formats and integers: the memory image, the flags and C1.
macro_rules! check_store {
    ($text:literal, $a:expr, $compute:expr) => {
        for cw in control_words().filter(|cw| cw & 0x318 == 0x318) {
            let mut memory = [0u8; 8];
            let a = $a.to_bytes();
            let status: u16;
            // SAFETY: as in `x87!`; the store writes at most eight bytes.
            unsafe {
                asm!(
                    "fninit",
                    "fld tbyte ptr [{a}]",
                    "fldcw [{cw}]",
                    $text,
                    "fnstsw ax",
                    "fninit",
                    a = in(reg) &a,
                    cw = in(reg) &cw,
                    to = in(reg) &mut memory,
                    out("ax") status,
                    out("st(0)") _, out("st(1)") _, out("st(2)") _, out("st(3)") _,
                    out("st(4)") _, out("st(5)") _, out("st(6)") _, out("st(7)") _,
                    options(nostack),
                );
            }
            let mut env = Env::x87(cw);
            let got: u64 = $compute(&mut env);
            let want = u64::from_le_bytes(memory);
            let up = env.rounded_up && env.flags.any(Flags::INEXACT);
            assert_eq!(
                (got, env.flags.0, up),
                (want, status as u8 & 0x3f, status & C1 != 0),
                "{} {:x?} cw {cw:x}", $text, $a
            );
        }
    };
}

#[test]
fn x87_stores() {
    let mut random = Random(8);
    for n in 0..60_000 {
        let mut a: F80 = operand(&mut random);
        if n % 2 == 0 {
            // Exponents near the ends of the narrower formats.
            let centre = [16383 - 1022, 16383 + 1023, 16383 - 126, 16383 + 127][n / 2 % 4];
            a.sign_exp = a.sign_exp & 0x8000 | (centre + random.next() % 60 - 50) as u16;
        }
        check_store!("fst qword ptr [{to}]", a, |e| sf::convert::<F80, F64>(a, e).0);
        check_store!("fst dword ptr [{to}]", a, |e| u64::from(sf::convert::<F80, F32>(a, e).0));
        check_store!("fistp qword ptr [{to}]", a, |e: &mut Env| {
            sf::to_i64(a, e.rounding, e).map_or(1 << 63, |v| v as u64)
        });
        check_store!("fist dword ptr [{to}]", a, |e: &mut Env| {
            sf::to_i32(a, e.rounding, e).map_or(1 << 31, |v| u64::from(v as u32))
        });
        check_store!("fist word ptr [{to}]", a, |e: &mut Env| {
            sf::to_i16(a, e.rounding, e).map_or(1 << 15, |v| u64::from(v as u16))
        });
    }
}
