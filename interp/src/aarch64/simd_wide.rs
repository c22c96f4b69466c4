//! Long, wide and narrowing operations (C4.1.97: AdvSIMD three different, scalar three different, and the long
//! forms by element).

use super::exec::Exec;
use super::op::Op;
use super::simd_same::indexed;
use super::vector::{Done, Int, Sat, count, first, get, half, put, put_half, put_scalar, put_whole, scalar};
use crate::crypto::carryless;
use crate::pack::Pack;

/// An operation on two narrow elements and a wide one that the destination held.
pub trait Long {
    /// The narrow elements are signed.
    const SIGNED: bool;
    /// One wide element of `W`; the narrow ones are extended.
    fn lane<W: Int>(c: &mut Sat, a: i64, b: i64, d: W) -> W;
}

macro_rules! long {
    ($($name:ident $signed:literal = |$c:pat_param, $a:pat_param, $b:pat_param, $d:pat_param| $e:expr;)*) => {$(
        #[doc = concat!("The operation of ", stringify!($name), ".")]
        #[derive(Debug)]
        pub struct $name;
        impl Long for $name {
            const SIGNED: bool = $signed;
            #[inline(always)]
            fn lane<W: Int>($c: &mut Sat, $a: i64, $b: i64, $d: W) -> W {
                $e
            }
        }
    )*};
}

long! {
    Saddl true = |_, a, b, _| of(a + b);
    Uaddl false = |_, a, b, _| of(a + b);
    Ssubl true = |_, a, b, _| of(a - b);
    Usubl false = |_, a, b, _| of(a - b);
    Sabal true = |_, a, b, d| plus(d, (a - b).abs());
    Uabal false = |_, a, b, d| plus(d, (a - b).abs());
    Sabdl true = |_, a, b, _| of((a - b).abs());
    Uabdl false = |_, a, b, _| of((a - b).abs());
    Smlal true = |_, a, b, d| plus(d, a.wrapping_mul(b));
    Umlal false = |_, a, b, d| plus(d, a.wrapping_mul(b));
    Smlsl true = |_, a, b, d| plus(d, a.wrapping_mul(b).wrapping_neg());
    Umlsl false = |_, a, b, d| plus(d, a.wrapping_mul(b).wrapping_neg());
    Smull true = |_, a, b, _| of(a.wrapping_mul(b));
    Umull false = |_, a, b, _| of(a.wrapping_mul(b));
    Sqdmull true = |c, a, b, _| doubled(c, a, b);
    Sqdmlal true = |c, a, b, d| {
        let p: W = doubled(c, a, b);
        c.signed(i128::from(d.s()) + i128::from(p.s()))
    };
    Sqdmlsl true = |c, a, b, d| {
        let p: W = doubled(c, a, b);
        c.signed(i128::from(d.s()) - i128::from(p.s()))
    };
    Pmull false = |_, a, b, _| W::of(carryless(a as u64, b as u64) as u64);
}

#[inline(always)]
fn of<W: Int>(v: i64) -> W {
    W::of(v as u64)
}

#[inline(always)]
fn plus<W: Int>(d: W, v: i64) -> W {
    W::of(d.u().wrapping_add(v as u64))
}

/// Twice the product, saturated.
#[inline(always)]
fn doubled<W: Int>(c: &mut Sat, a: i64, b: i64) -> W {
    c.signed(2 * i128::from(a) * i128::from(b))
}

#[inline(always)]
fn extend<T: Int>(v: T, signed: bool) -> i64 {
    if signed { v.s() } else { v.u() as i64 }
}

/// Long operations on halves of two vectors; `T` is the narrow element.
pub fn long<O: Long, T: Int>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let (a, b, d) = (half(op, get(ex, op.rn)), half(op, get(ex, op.rm)), get(ex, op.rd));
    let mut c = Sat::default();
    let e = |v: u128, i| extend(v.lane::<T>(i), O::SIGNED);
    let v = first::<T::Wide>(8 / T::BYTES, |i| O::lane(&mut c, e(a, i), e(b, i), d.lane(i)));
    c.settle(ex);
    put_whole(ex, op, v)
}

/// Long operations on scalars.
pub fn scalar_long<O: Long, T: Int>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let mut c = Sat::default();
    let e = |n| extend(scalar::<T>(ex, n), O::SIGNED);
    let v: T::Wide = O::lane(&mut c, e(op.rn), e(op.rm), scalar(ex, op.rd));
    c.settle(ex);
    put_scalar(ex, op, v)
}

/// Long operations by an element; `imm` is its index.
pub fn long_by_element<O: Long, T: Int>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let (a, d) = (half(op, get(ex, op.rn)), get(ex, op.rd));
    let b = extend(indexed::<T>(ex, op), O::SIGNED);
    let mut c = Sat::default();
    let v =
        first::<T::Wide>(8 / T::BYTES, |i| O::lane(&mut c, extend(a.lane::<T>(i), O::SIGNED), b, d.lane(i)));
    c.settle(ex);
    put_whole(ex, op, v)
}

/// Long operations of a scalar by an element.
pub fn scalar_long_by_element<O: Long, T: Int>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let mut c = Sat::default();
    let (a, b) = (extend(scalar::<T>(ex, op.rn), O::SIGNED), extend(indexed::<T>(ex, op), O::SIGNED));
    let v: T::Wide = O::lane(&mut c, a, b, scalar(ex, op.rd));
    c.settle(ex);
    put_scalar(ex, op, v)
}

/// SADDW, UADDW, SSUBW, USUBW: the first vector is wide.
pub fn wide<T: Int, const SIGNED: bool, const SUB: bool>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let (a, b) = (get(ex, op.rn), half(op, get(ex, op.rm)));
    let v = first::<T::Wide>(8 / T::BYTES, |i| {
        let b = extend(b.lane::<T>(i), SIGNED);
        plus(a.lane::<T::Wide>(i), if SUB { b.wrapping_neg() } else { b })
    });
    put_whole(ex, op, v)
}

/// ADDHN, RADDHN, SUBHN, RSUBHN: the upper halves of wide sums or differences.
pub fn high_narrow<T: Int, const ROUND: bool, const SUB: bool>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let (a, b) = (get(ex, op.rn), get(ex, op.rm));
    let round = if ROUND { 1 << (T::BITS - 1) } else { 0 };
    let v = first::<T>(8 / T::BYTES, |i| {
        let (a, b) = (a.lane::<T::Wide>(i).u(), b.lane::<T::Wide>(i).u());
        let sum = if SUB { a.wrapping_sub(b) } else { a.wrapping_add(b) };
        T::of(sum.wrapping_add(round) >> T::BITS)
    });
    put_half(ex, op, v as u64)
}

/// PMULL, PMULL2 of 64 bits.
pub fn pmull64(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let v = carryless(half(op, get(ex, op.rn)) as u64, half(op, get(ex, op.rm)) as u64);
    put_whole(ex, op, v)
}

/// SADDLP, UADDLP, SADALP, UADALP: sums of neighbours; `T` is the narrow element.
pub fn add_long_pairs<T: Int, const SIGNED: bool, const ACCUMULATE: bool>(
    ex: &mut Exec<'_>,
    op: &Op,
) -> Done {
    ex.check_fp()?;
    let (a, d) = (get(ex, op.rn), get(ex, op.rd));
    let e = |i| extend(a.lane::<T>(i), SIGNED);
    let v = first::<T::Wide>(count::<T::Wide>(op), |i| {
        let sum = e(2 * i).wrapping_add(e(2 * i + 1));
        if ACCUMULATE { plus(d.lane(i), sum) } else { of(sum) }
    });
    put(ex, op, v)
}

/// SADDLV, UADDLV.
pub fn add_long_across<T: Int, const SIGNED: bool>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let a = get(ex, op.rn);
    let sum = (0..count::<T>(op)).fold(0i64, |s, i| s.wrapping_add(extend(a.lane::<T>(i), SIGNED)));
    put_scalar(ex, op, <T::Wide as Int>::of(sum as u64))
}
