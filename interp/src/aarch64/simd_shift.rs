//! Shifts by an immediate (C4.1.97: AdvSIMD shift by immediate, scalar forms), and what shifts by a register share.

use super::exec::Exec;
use super::op::Op;
use super::vector::{
    Done, Int, Sat, first, get, half, operand, put, put_half, put_scalar, put_whole, scalar,
};
use crate::pack::Pack;

/// Shifts left, or right by a negative amount; rounding adds half of the last bit that is kept.
#[inline(always)]
pub fn shift(v: i128, by: i32, round: bool) -> i128 {
    if by >= 0 {
        return if by < 64 { v << by } else { 0 };
    }
    // No element has more than 64 bits: everything beyond 100 is the same.
    let by = (-by).min(100);
    if round { v + (1 << (by - 1)) >> by } else { v >> by }
}

/// As [`shift`], saturating to an element that is signed or not.
#[inline(always)]
pub fn shifted_saturating<T: Int>(c: &mut Sat, v: i128, by: i32, round: bool, signed: bool) -> T {
    if by >= T::BITS as i32 && v != 0 {
        return c.by(signed, if v < 0 { i128::MIN } else { i128::MAX });
    }
    c.by(signed, shift(v, by, round))
}

/// An operation on an element, a shift amount and what the destination held.
pub trait Shift {
    /// One element.
    fn lane<T: Int>(c: &mut Sat, a: T, d: T, by: u32) -> T;
}

macro_rules! shifts {
    ($($name:ident = |$c:pat_param, $a:pat_param, $d:pat_param, $n:pat_param| $e:expr;)*) => {$(
        #[doc = concat!("The operation of ", stringify!($name), ".")]
        #[derive(Debug)]
        pub struct $name;
        impl Shift for $name {
            #[inline(always)]
            fn lane<T: Int>($c: &mut Sat, $a: T, $d: T, $n: u32) -> T {
                $e
            }
        }
    )*};
}

shifts! {
    Sshr = |_, a, _, n| sshr(a, n);
    Ushr = |_, a, _, n| ushr(a, n);
    Ssra = |_, a, d, n| plus(d, sshr(a, n));
    Usra = |_, a, d, n| plus(d, ushr(a, n));
    Srshr = |_, a, _, n| right(a.s().into(), n);
    Urshr = |_, a, _, n| right(a.u().into(), n);
    Srsra = |_, a, d, n| plus(d, right(a.s().into(), n));
    Ursra = |_, a, d, n| plus(d, right(a.u().into(), n));
    Sri = |_, a, d, n| {
        let kept = if n >= T::BITS { u64::MAX } else { !(u64::MAX >> (64 - T::BITS) >> n) };
        T::of(d.u() & kept | ushr(a, n).u())
    };
    Shl = |_, a, _, n| T::of(a.u() << n);
    Sli = |_, a, d, n| T::of(d.u() & ((1 << n) - 1) | a.u() << n);
    SqshlI = |c, a, _, n| c.signed(i128::from(a.s()) << n);
    UqshlI = |c, a, _, n| c.unsigned(i128::from(a.u()) << n);
    Sqshlu = |c, a, _, n| c.unsigned(i128::from(a.s()) << n);
}

/// A signed right shift by 1 to the element's width.
#[inline(always)]
fn sshr<T: Int>(a: T, n: u32) -> T {
    T::of((a.s() >> n.min(63)) as u64)
}

/// An unsigned right shift by 1 to the element's width.
#[inline(always)]
fn ushr<T: Int>(a: T, n: u32) -> T {
    T::of(a.u().checked_shr(n).unwrap_or(0))
}

/// A rounding right shift.
#[inline(always)]
fn right<T: Int>(v: i128, n: u32) -> T {
    T::of((v + (1 << (n - 1)) >> n) as u64)
}

#[inline(always)]
fn plus<T: Int>(a: T, b: T) -> T {
    T::of(a.u().wrapping_add(b.u()))
}

/// A vector shifted by `imm`.
pub fn by_imm<O: Shift, T: Int>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let (a, d, by) = (operand(ex, op, op.rn), operand(ex, op, op.rd), op.imm as u32);
    let mut c = Sat::default();
    let v = u128::zip(a, d, |a, d| O::lane::<T>(&mut c, a, d, by));
    c.settle(ex);
    put(ex, op, v)
}

/// A scalar shifted by `imm`.
pub fn scalar_by_imm<O: Shift, T: Int>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let mut c = Sat::default();
    let v = O::lane::<T>(&mut c, scalar(ex, op.rn), scalar(ex, op.rd), op.imm as u32);
    c.settle(ex);
    put_scalar(ex, op, v)
}

/// SSHLL, USHLL and their "2" forms; `T` is the narrow element.
pub fn shift_long<T: Int, const SIGNED: bool>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let a = half(op, get(ex, op.rn));
    let v = first::<T::Wide>(8 / T::BYTES, |i| {
        let a: T = a.lane(i);
        Int::of((if SIGNED { a.s() as u64 } else { a.u() }) << op.imm)
    });
    put_whole(ex, op, v)
}

/// SHLL, SHLL2: by the element's width.
pub fn shll<T: Int>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let a = half(op, get(ex, op.rn));
    let v = first::<T::Wide>(8 / T::BYTES, |i| Int::of(a.lane::<T>(i).u() << T::BITS));
    put_whole(ex, op, v)
}

/// A narrowing operation on an element twice as wide as the result.
pub trait Narrow {
    /// One element of `T` from one of twice its width.
    fn lane<T: Int>(c: &mut Sat, a: T::Wide, by: u32) -> T;
}

macro_rules! narrow {
    ($($name:ident = |$c:pat_param, $a:ident, $n:ident| $e:expr;)*) => {$(
        #[doc = concat!("The operation of ", stringify!($name), ".")]
        #[derive(Debug)]
        pub struct $name;
        impl Narrow for $name {
            #[inline(always)]
            fn lane<T: Int>($c: &mut Sat, $a: T::Wide, $n: u32) -> T {
                $e
            }
        }
    )*};
}

/// A right shift by `n`, rounding; by none it changes nothing.
#[inline(always)]
fn rounded(v: i128, n: u32) -> i128 {
    v + (1 << n >> 1) >> n
}

narrow! {
    Shrn = |_, a, n| T::of(a.u() >> n);
    Rshrn = |_, a, n| T::of(rounded(a.u().into(), n) as u64);
    Sqshrn = |c, a, n| c.signed(i128::from(a.s() >> n));
    Sqrshrn = |c, a, n| c.signed(rounded(a.s().into(), n));
    Uqshrn = |c, a, n| c.unsigned(i128::from(a.u() >> n));
    Uqrshrn = |c, a, n| c.unsigned(rounded(a.u().into(), n));
    Sqshrun = |c, a, n| c.unsigned(i128::from(a.s() >> n));
    Sqrshrun = |c, a, n| c.unsigned(rounded(a.s().into(), n));
}

/// A vector narrowed, shifted right by `imm` first: SHRN and its kin, and XTN, SQXTN, UQXTN, SQXTUN by none.
pub fn narrow<O: Narrow, T: Int>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let (a, mut c) = (get(ex, op.rn), Sat::default());
    let v = first(8 / T::BYTES, |i| O::lane::<T>(&mut c, a.lane(i), op.imm as u32));
    c.settle(ex);
    put_half(ex, op, v as u64)
}

/// A scalar narrowed.
pub fn scalar_narrow<O: Narrow, T: Int>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let mut c = Sat::default();
    let v: T = O::lane(&mut c, scalar(ex, op.rn), op.imm as u32);
    c.settle(ex);
    put_scalar(ex, op, v)
}
