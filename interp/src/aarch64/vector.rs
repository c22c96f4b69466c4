//! Elements of V registers, saturation, and what all SIMD and floating-point handlers begin and end with.

use super::exec::{Exec, Flow, Trap};
use super::op::Op;
use crate::pack::{Lane, Pack};
use crate::softfloat::{Env, F16, F32, F64, Flags, Format};

/// What a handler returns.
pub type Done = Result<Flow, Trap>;

/// An integer element.
pub trait Int: Lane + PartialEq + 'static {
    /// Bits.
    const BITS: u32;
    /// The element twice as wide; of 64 bits it is itself, and not used.
    type Wide: Int;
    /// Zero-extended.
    fn u(self) -> u64;
    /// Sign-extended.
    fn s(self) -> i64;
    /// The low bits of `v`.
    fn of(v: u64) -> Self;
}

macro_rules! int {
    ($t:ty, $signed:ty, $wide:ty) => {
        impl Int for $t {
            const BITS: u32 = <$t>::BITS;
            type Wide = $wide;
            #[inline(always)]
            fn u(self) -> u64 {
                self.into()
            }
            #[inline(always)]
            fn s(self) -> i64 {
                (self as $signed).into()
            }
            #[inline(always)]
            fn of(v: u64) -> Self {
                v as $t
            }
        }
    };
}
int!(u8, i8, u16);
int!(u16, i16, u32);
int!(u32, i32, u64);
int!(u64, i64, u64);

/// A floating-point element.
pub trait Float: Format + Lane + 'static {
    /// Its bits as an integer.
    type Bits: Int;
    /// Half precision.
    const HALF: bool;
    /// Its bits.
    fn bits(self) -> u64;
    /// The element with these bits.
    fn of(v: u64) -> Self;
}

macro_rules! float {
    ($f:ident, $t:ty, $half:literal) => {
        impl Float for $f {
            type Bits = $t;
            const HALF: bool = $half;
            #[inline(always)]
            fn bits(self) -> u64 {
                self.0.into()
            }
            #[inline(always)]
            fn of(v: u64) -> Self {
                $f(v as $t)
            }
        }
    };
}
float!(F16, u16, true);
float!(F32, u32, false);
float!(F64, u64, false);

/// The sign bit of a format.
#[inline(always)]
pub fn sign_bit<F: Float>() -> u64 {
    1 << (F::Bits::BITS - 1)
}

/// FPNeg.
#[inline(always)]
pub fn neg<F: Float>(v: F) -> F {
    F::of(v.bits() ^ sign_bit::<F>())
}

/// FPAbs.
#[inline(always)]
pub fn abs<F: Float>(v: F) -> F {
    F::of(v.bits() & !sign_bit::<F>())
}

/// True for either zero.
#[inline(always)]
pub fn is_zero<F: Float>(v: F) -> bool {
    abs(v).bits() == 0
}

/// FPSR.QC as an instruction makes it.
#[derive(Clone, Copy, Default, Debug)]
pub struct Sat(pub bool);

impl Sat {
    /// SignedSatQ.
    #[inline(always)]
    pub fn signed<T: Int>(&mut self, v: i128) -> T {
        let max = (1i128 << (T::BITS - 1)) - 1;
        let kept = v.clamp(-max - 1, max);
        self.0 |= kept != v;
        T::of(kept as u64)
    }

    /// UnsignedSatQ.
    #[inline(always)]
    pub fn unsigned<T: Int>(&mut self, v: i128) -> T {
        let kept = v.clamp(0, (1i128 << T::BITS) - 1);
        self.0 |= kept != v;
        T::of(kept as u64)
    }

    /// SatQ.
    #[inline(always)]
    pub fn by<T: Int>(&mut self, signed: bool, v: i128) -> T {
        if signed { self.signed(v) } else { self.unsigned(v) }
    }

    /// Adds QC to FPSR.
    #[inline(always)]
    pub fn settle(self, ex: &mut Exec<'_>) {
        if self.0 {
            ex.cpu.fpsr |= 1 << 27;
        }
    }
}

/// Bit Q: the whole register, not its lower half.
#[inline(always)]
pub fn full(op: &Op) -> bool {
    op.word >> 30 & 1 != 0
}

/// The part of a vector that the instruction works on.
#[inline(always)]
pub fn part(op: &Op, v: u128) -> u128 {
    if full(op) { v } else { v & u128::from(u64::MAX) }
}

/// A V register.
#[inline(always)]
pub fn get(ex: &Exec<'_>, n: u8) -> u128 {
    ex.cpu.v[usize::from(n & 31)]
}

/// A V register as far as the instruction looks at it.
#[inline(always)]
pub fn operand(ex: &Exec<'_>, op: &Op, n: u8) -> u128 {
    part(op, get(ex, n))
}

/// The lowest element of a V register.
#[inline(always)]
pub fn scalar<T: Lane>(ex: &Exec<'_>, n: u8) -> T {
    get(ex, n).lane(0)
}

/// Writes the destination; what Q leaves out is cleared.
#[inline(always)]
pub fn put(ex: &mut Exec<'_>, op: &Op, v: u128) -> Done {
    ex.cpu.v[usize::from(op.rd & 31)] = part(op, v);
    Ok(Flow::Next)
}

/// Writes the whole destination.
#[inline(always)]
pub fn put_whole(ex: &mut Exec<'_>, op: &Op, v: u128) -> Done {
    ex.cpu.v[usize::from(op.rd & 31)] = v;
    Ok(Flow::Next)
}

/// Writes an element to the destination's low end; the rest is cleared.
#[inline(always)]
pub fn put_scalar<T: Lane>(ex: &mut Exec<'_>, op: &Op, v: T) -> Done {
    put_whole(ex, op, 0u128.with_lane(0, v))
}

/// The number of elements of `T` that Q asks for.
#[inline(always)]
pub fn count<T: Lane>(op: &Op) -> usize {
    (if full(op) { 16 } else { 8 }) / T::BYTES
}

/// The vector whose first `n` elements are `f(i)`, the others zero.
#[inline(always)]
pub fn first<T: Lane>(n: usize, mut f: impl FnMut(usize) -> T) -> u128 {
    let mut r = 0u128;
    for i in 0..n {
        r = r.with_lane(i, f(i));
    }
    r
}

/// Half of a vector, as 64 bits: the upper one if Q is set ("2" forms).
#[inline(always)]
pub fn half(op: &Op, v: u128) -> u128 {
    if full(op) { v >> 64 } else { v & u128::from(u64::MAX) }
}

/// Writes half of the destination: the lower one, clearing the upper, or with Q the upper one.
#[inline(always)]
pub fn put_half(ex: &mut Exec<'_>, op: &Op, v: u64) -> Done {
    let old = get(ex, op.rd) as u64;
    let v = if full(op) { u128::from(v) << 64 | u128::from(old) } else { v.into() };
    put_whole(ex, op, v)
}

/// How FPCR asks elements of `F` to be computed.
#[inline(always)]
pub fn env<F: Float>(ex: &Exec<'_>) -> Env {
    Env::arm(ex.cpu.fpcr, F::HALF)
}

/// Adds what happened to FPSR's cumulative flags (C5.2.10).
#[inline(always)]
pub fn settle(ex: &mut Exec<'_>, env: &Env) {
    let f = u32::from(env.flags.0);
    const PLACES: [(u8, u32); 6] = [
        (Flags::INVALID, 0),
        (Flags::DIVZERO, 1),
        (Flags::OVERFLOW, 2),
        (Flags::UNDERFLOW, 3),
        (Flags::INEXACT, 4),
        (Flags::DENORMAL, 7),
    ];
    if f != 0 {
        for (flag, bit) in PLACES {
            ex.cpu.fpsr |= u32::from(f & u32::from(flag) != 0) << bit;
        }
    }
}
