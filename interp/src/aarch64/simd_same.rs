//! Integer operations on two vectors of the same type (C4.1.97: AdvSIMD three same, three same extra, scalar
//! forms, and by element).

use super::exec::Exec;
use super::op::Op;
use super::simd_shift::{shift, shifted_saturating};
use super::vector::{Done, Int, Sat, count, first, get, operand, put, put_scalar, scalar};
use crate::pack::Pack;

/// An operation on two elements and what the destination held.
pub trait Binary {
    /// One element.
    fn lane<T: Int>(c: &mut Sat, a: T, b: T, d: T) -> T;
}

macro_rules! binary {
    ($($name:ident = |$c:pat_param, $a:pat_param, $b:pat_param, $d:pat_param| $e:expr;)*) => {$(
        #[doc = concat!("The operation of ", stringify!($name), ".")]
        #[derive(Debug)]
        pub struct $name;
        impl Binary for $name {
            #[inline(always)]
            fn lane<T: Int>($c: &mut Sat, $a: T, $b: T, $d: T) -> T {
                $e
            }
        }
    )*};
}

binary! {
    Shadd = |_, a, b, _| of(a.s().wrapping_add(b.s()) >> 1);
    Uhadd = |_, a, b, _| T::of(a.u().wrapping_add(b.u()) >> 1);
    Srhadd = |_, a, b, _| of(a.s().wrapping_add(b.s()).wrapping_add(1) >> 1);
    Urhadd = |_, a, b, _| T::of(a.u().wrapping_add(b.u()).wrapping_add(1) >> 1);
    Shsub = |_, a, b, _| of(a.s().wrapping_sub(b.s()) >> 1);
    Uhsub = |_, a, b, _| T::of(a.u().wrapping_sub(b.u()) >> 1);
    Sqadd = |c, a, b, _| c.signed(i128::from(a.s()) + i128::from(b.s()));
    Uqadd = |c, a, b, _| c.unsigned(i128::from(a.u()) + i128::from(b.u()));
    Sqsub = |c, a, b, _| c.signed(i128::from(a.s()) - i128::from(b.s()));
    Uqsub = |c, a, b, _| c.unsigned(i128::from(a.u()) - i128::from(b.u()));
    CmGt = |_, a, b, _| mask(a.s() > b.s());
    CmGe = |_, a, b, _| mask(a.s() >= b.s());
    CmHi = |_, a, b, _| mask(a.u() > b.u());
    CmHs = |_, a, b, _| mask(a.u() >= b.u());
    CmTst = |_, a, b, _| mask(a.u() & b.u() != 0);
    CmEq = |_, a, b, _| mask(a == b);
    Sshl = |_, a, b, _| T::of(shift(a.s().into(), amount(b), false) as u64);
    Ushl = |_, a, b, _| T::of(shift(a.u().into(), amount(b), false) as u64);
    Srshl = |_, a, b, _| T::of(shift(a.s().into(), amount(b), true) as u64);
    Urshl = |_, a, b, _| T::of(shift(a.u().into(), amount(b), true) as u64);
    Sqshl = |c, a, b, _| shifted_saturating(c, a.s().into(), amount(b), false, true);
    Uqshl = |c, a, b, _| shifted_saturating(c, a.u().into(), amount(b), false, false);
    Sqrshl = |c, a, b, _| shifted_saturating(c, a.s().into(), amount(b), true, true);
    Uqrshl = |c, a, b, _| shifted_saturating(c, a.u().into(), amount(b), true, false);
    Smax = |_, a, b, _| if a.s() > b.s() { a } else { b };
    Smin = |_, a, b, _| if a.s() < b.s() { a } else { b };
    Umax = |_, a, b, _| if a.u() > b.u() { a } else { b };
    Umin = |_, a, b, _| if a.u() < b.u() { a } else { b };
    Sabd = |_, a, b, _| T::of(a.s().abs_diff(b.s()));
    Uabd = |_, a, b, _| T::of(a.u().abs_diff(b.u()));
    Saba = |_, a, b, d| T::of(d.u().wrapping_add(a.s().abs_diff(b.s())));
    Uaba = |_, a, b, d| T::of(d.u().wrapping_add(a.u().abs_diff(b.u())));
    Add = |_, a, b, _| T::of(a.u().wrapping_add(b.u()));
    Sub = |_, a, b, _| T::of(a.u().wrapping_sub(b.u()));
    Mul = |_, a, b, _| T::of(a.u().wrapping_mul(b.u()));
    Mla = |_, a, b, d| T::of(d.u().wrapping_add(a.u().wrapping_mul(b.u())));
    Mls = |_, a, b, d| T::of(d.u().wrapping_sub(a.u().wrapping_mul(b.u())));
    Pmul = |_, a, b, _| T::of((0..8).filter(|i| b.u() >> i & 1 != 0).fold(0, |v, i| v ^ a.u() << i));
    Sqdmulh = |c, a, b, _| c.signed(2 * product(a, b) >> T::BITS);
    Sqrdmulh = |c, a, b, _| c.signed(2 * product(a, b) + round::<T>() >> T::BITS);
    Sqrdmlah = |c, a, b, d| c.signed((i128::from(d.s()) << T::BITS) + 2 * product(a, b) + round::<T>() >> T::BITS);
    Sqrdmlsh = |c, a, b, d| c.signed((i128::from(d.s()) << T::BITS) - 2 * product(a, b) + round::<T>() >> T::BITS);
    // In two registers: a is the source, d what is added to.
    Suqadd = |c, a, _, d| c.signed(i128::from(d.s()) + i128::from(a.u()));
    Usqadd = |c, a, _, d| c.unsigned(i128::from(d.u()) + i128::from(a.s()));
}

#[inline(always)]
fn of<T: Int>(v: i64) -> T {
    T::of(v as u64)
}

#[inline(always)]
pub(super) fn mask<T: Int>(v: bool) -> T {
    T::of(if v { u64::MAX } else { 0 })
}

/// The signed low byte of an element.
#[inline(always)]
fn amount<T: Int>(b: T) -> i32 {
    (b.u() as i8).into()
}

#[inline(always)]
fn product<T: Int>(a: T, b: T) -> i128 {
    i128::from(a.s()) * i128::from(b.s())
}

#[inline(always)]
const fn round<T: Int>() -> i128 {
    1 << (T::BITS - 1)
}

/// Three registers of the same type.
pub fn three<O: Binary, T: Int>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let (a, b, d) = (operand(ex, op, op.rn), operand(ex, op, op.rm), operand(ex, op, op.rd));
    let mut c = Sat::default();
    let (a, b) = (a.to_le_bytes(), b.to_le_bytes());
    let mut r = d.to_le_bytes();
    for ((r, a), b) in
        r.chunks_exact_mut(T::BYTES).zip(a.chunks_exact(T::BYTES)).zip(b.chunks_exact(T::BYTES))
    {
        O::lane(&mut c, T::load(a), T::load(b), T::load(r)).store(r);
    }
    c.settle(ex);
    put(ex, op, u128::from_le_bytes(r))
}

/// As [`three`], in the lowest elements.
pub fn scalar_three<O: Binary, T: Int>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let mut c = Sat::default();
    let v = O::lane::<T>(&mut c, scalar(ex, op.rn), scalar(ex, op.rm), scalar(ex, op.rd));
    c.settle(ex);
    put_scalar(ex, op, v)
}

/// Pairs of neighbours, of Vn and then of Vm.
pub fn pairs<O: Binary, T: Int>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let (a, b, n) = (get(ex, op.rn), get(ex, op.rm), count::<T>(op));
    let v = first(n, |i| {
        let (from, i) = if 2 * i < n { (a, 2 * i) } else { (b, 2 * i - n) };
        O::lane::<T>(&mut Sat::default(), from.lane(i), from.lane(i + 1), T::of(0))
    });
    put(ex, op, v)
}

/// The register of an indexed element: of 16 bits only the lower sixteen.
#[inline(always)]
pub(super) fn indexed<T: Int>(ex: &Exec<'_>, op: &Op) -> T {
    get(ex, if T::BITS == 16 { op.rm & 15 } else { op.rm }).lane(op.imm as usize)
}

/// A vector by an element; `imm` is its index.
pub fn by_element<O: Binary, T: Int>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let (a, b, d) = (operand(ex, op, op.rn), indexed::<T>(ex, op), operand(ex, op, op.rd));
    let mut c = Sat::default();
    let v = first(count::<T>(op), |i| O::lane::<T>(&mut c, a.lane(i), b, d.lane(i)));
    c.settle(ex);
    put(ex, op, v)
}

/// A scalar by an element.
pub fn scalar_by_element<O: Binary, T: Int>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let mut c = Sat::default();
    let v = O::lane::<T>(&mut c, scalar(ex, op.rn), indexed(ex, op), scalar(ex, op.rd));
    c.settle(ex);
    put_scalar(ex, op, v)
}

macro_rules! logic {
    ($($name:ident = |$a:ident, $b:ident, $d:ident| $e:expr;)*) => {$(
        #[doc = concat!(stringify!($name), " of whole vectors.")]
        pub fn $name(ex: &mut Exec<'_>, op: &Op) -> Done {
            ex.check_fp()?;
            let ($a, $b, $d) = (get(ex, op.rn), get(ex, op.rm), get(ex, op.rd));
            put(ex, op, $e)
        }
    )*};
}

logic! {
    and = |a, b, _d| a & b;
    bic = |a, b, _d| a & !b;
    orr = |a, b, _d| a | b;
    orn = |a, b, _d| a | !b;
    eor = |a, b, _d| a ^ b;
    bsl = |a, b, d| b ^ (b ^ a) & d;
    bit = |a, b, d| d ^ (d ^ a) & b;
    bif = |a, b, d| d ^ (d ^ a) & !b;
}

fn dot<const SIGNED: bool>(a: u32, b: u32, d: u32) -> u32 {
    a.to_le_bytes().into_iter().zip(b.to_le_bytes()).fold(d, |d, (a, b)| {
        let p = if SIGNED { i32::from(a as i8) * i32::from(b as i8) } else { i32::from(a) * i32::from(b) };
        d.wrapping_add(p as u32)
    })
}

/// SDOT and UDOT (vector).
pub fn dot_product<const SIGNED: bool>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let (a, b, d) = (get(ex, op.rn), get(ex, op.rm), get(ex, op.rd));
    let v = first(count::<u32>(op), |i| dot::<SIGNED>(a.lane(i), b.lane(i), d.lane(i)));
    put(ex, op, v)
}

/// SDOT and UDOT (by element).
pub fn dot_product_by_element<const SIGNED: bool>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let (a, b, d) = (get(ex, op.rn), indexed::<u32>(ex, op), get(ex, op.rd));
    let v = first(count::<u32>(op), |i| dot::<SIGNED>(a.lane(i), b, d.lane(i)));
    put(ex, op, v)
}
