//! Integer operations on one vector (C4.1.97: AdvSIMD two-register miscellaneous, across lanes, scalar forms).

use super::exec::Exec;
use super::fp_estimate::{unsigned_recip, unsigned_recip_sqrt};
use super::op::Op;
use super::simd_same::{Binary, mask};
use super::vector::{Done, Int, Sat, count, first, get, operand, put, put_scalar, scalar};
use crate::pack::Pack;

/// An operation on one element and what the destination held.
pub trait Unary {
    /// One element.
    fn lane<T: Int>(c: &mut Sat, a: T) -> T;
}

macro_rules! unary {
    ($($name:ident = |$c:pat_param, $a:ident| $e:expr;)*) => {$(
        #[doc = concat!("The operation of ", stringify!($name), ".")]
        #[derive(Debug)]
        pub struct $name;
        impl Unary for $name {
            #[inline(always)]
            fn lane<T: Int>($c: &mut Sat, $a: T) -> T {
                $e
            }
        }
    )*};
}

unary! {
    Abs = |_, a| T::of(a.s().unsigned_abs());
    Neg = |_, a| T::of(a.u().wrapping_neg());
    Sqabs = |c, a| c.signed(i128::from(a.s()).abs());
    Sqneg = |c, a| c.signed(-i128::from(a.s()));
    Cls = |_, a| {
        let s = a.s();
        T::of(((s ^ s >> 63).leading_zeros() - (64 - T::BITS) - 1).into())
    };
    Clz = |_, a| T::of((a.u().leading_zeros() - (64 - T::BITS)).into());
    Cnt = |_, a| T::of(a.u().count_ones().into());
    Not = |_, a| T::of(!a.u());
    Rbit = |_, a| T::of(a.u().reverse_bits() >> (64 - T::BITS));
    CmGtZ = |_, a| mask(a.s() > 0);
    CmGeZ = |_, a| mask(a.s() >= 0);
    CmEqZ = |_, a| mask(a.u() == 0);
    CmLeZ = |_, a| mask(a.s() <= 0);
    CmLtZ = |_, a| mask(a.s() < 0);
    Urecpe = |_, a| T::of(unsigned_recip(a.u() as u32).into());
    Ursqrte = |_, a| T::of(unsigned_recip_sqrt(a.u() as u32).into());
}

/// Two registers of the same type.
pub fn two<O: Unary, T: Int>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let mut c = Sat::default();
    let v = u128::map(operand(ex, op, op.rn), |a| O::lane::<T>(&mut c, a));
    c.settle(ex);
    put(ex, op, v)
}

/// As [`two`], in the lowest element.
pub fn scalar_two<O: Unary, T: Int>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let mut c = Sat::default();
    let v = O::lane::<T>(&mut c, scalar(ex, op.rn));
    c.settle(ex);
    put_scalar(ex, op, v)
}

/// SUQADD, USQADD: the destination is an operand.
pub fn accumulate<O: Binary, T: Int>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let mut c = Sat::default();
    let v = u128::zip(operand(ex, op, op.rn), operand(ex, op, op.rd), |a, d| {
        O::lane::<T>(&mut c, a, T::of(0), d)
    });
    c.settle(ex);
    put(ex, op, v)
}

/// As [`accumulate`], in the lowest element.
pub fn scalar_accumulate<O: Binary, T: Int>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let mut c = Sat::default();
    let v = O::lane::<T>(&mut c, scalar(ex, op.rn), T::of(0), scalar(ex, op.rd));
    c.settle(ex);
    put_scalar(ex, op, v)
}

/// REV64, REV32, REV16: elements of `T` reversed within containers of `C`.
pub fn rev<C: Int, T: Int>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let a = operand(ex, op, op.rn);
    let turn = C::BYTES / T::BYTES - 1;
    let v = u128::build(|i| a.lane::<T>(i ^ turn));
    put(ex, op, v)
}

/// ADDV, SMAXV, SMINV, UMAXV, UMINV.
pub fn across<O: Binary, T: Int>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let a = get(ex, op.rn);
    let v = (1..count::<T>(op)).fold(a.lane(0), |v: T, i| O::lane(&mut Sat::default(), v, a.lane(i), v));
    put_scalar(ex, op, v)
}

/// ADDP (scalar).
pub fn add_pair(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let a = get(ex, op.rn);
    put_scalar(ex, op, a.lane::<u64>(0).wrapping_add(a.lane(1)))
}

/// Elements of a vector, those that Q leaves out being zero.
pub fn elements<T: Int>(op: &Op, f: impl FnMut(usize) -> T) -> u128 {
    first(count::<T>(op), f)
}
