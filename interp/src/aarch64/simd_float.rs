//! The vector shapes of floating-point operations (C4.1.97: AdvSIMD three same, two-register
//! miscellaneous, pairwise, across lanes, by element; of half, single and double precision).

use super::exec::Exec;
use super::fp_ops::{FBinary, FUnary};
use super::op::Op;
use super::vector::{Done, Float, count, env, first, get, put, put_scalar, scalar, settle};
use crate::pack::Pack;

/// Three registers of the same type.
pub fn three<O: FBinary, F: Float>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let mut e = env::<F>(ex);
    let (a, b, d) = (get(ex, op.rn), get(ex, op.rm), get(ex, op.rd));
    let v = first(count::<F>(op), |i| O::lane::<F>(a.lane(i), b.lane(i), d.lane(i), &mut e));
    settle(ex, &e);
    put(ex, op, v)
}

/// Pairs of neighbours, of Vn and then of Vm.
pub fn pairs<O: FBinary, F: Float>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let mut e = env::<F>(ex);
    let (a, b, n) = (get(ex, op.rn), get(ex, op.rm), count::<F>(op));
    let v = first(n, |i| {
        let (from, i) = if 2 * i < n { (a, 2 * i) } else { (b, 2 * i - n) };
        O::lane::<F>(from.lane(i), from.lane(i + 1), F::zero(false), &mut e)
    });
    settle(ex, &e);
    put(ex, op, v)
}

/// The two lowest elements (scalar pairwise).
pub fn pair<O: FBinary, F: Float>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let mut e = env::<F>(ex);
    let a = get(ex, op.rn);
    let v = O::lane::<F>(a.lane(0), a.lane(1), F::zero(false), &mut e);
    settle(ex, &e);
    put_scalar(ex, op, v)
}

/// Two registers of the same type.
pub fn two<O: FUnary, F: Float>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let mut e = env::<F>(ex);
    let a = get(ex, op.rn);
    let v = first(count::<F>(op), |i| O::lane::<F>(a.lane(i), &mut e));
    settle(ex, &e);
    put(ex, op, v)
}

/// All elements to one: halves against halves (J1, Reduce).
pub fn across<O: FBinary, F: Float>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let mut e = env::<F>(ex);
    let (mut v, mut n) = (get(ex, op.rn), count::<F>(op));
    while n > 1 {
        // Reducing neighbours level by level is what the recursion over halves does.
        v = first(n / 2, |i| O::lane::<F>(v.lane(2 * i), v.lane(2 * i + 1), F::zero(false), &mut e));
        n /= 2;
    }
    settle(ex, &e);
    put_scalar(ex, op, v.lane::<F>(0))
}

/// The register of an indexed element: of half precision only the lower sixteen.
#[inline(always)]
fn indexed<F: Float>(ex: &Exec<'_>, op: &Op) -> F {
    get(ex, if F::HALF { op.rm & 15 } else { op.rm }).lane(op.imm as usize)
}

/// A vector by an element; `imm` is its index.
pub fn by_element<O: FBinary, F: Float>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let mut e = env::<F>(ex);
    let (a, b, d) = (get(ex, op.rn), indexed::<F>(ex, op), get(ex, op.rd));
    let v = first(count::<F>(op), |i| O::lane::<F>(a.lane(i), b, d.lane(i), &mut e));
    settle(ex, &e);
    put(ex, op, v)
}

/// A scalar by an element.
pub fn scalar_by_element<O: FBinary, F: Float>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let mut e = env::<F>(ex);
    let v = O::lane::<F>(scalar(ex, op.rn), indexed(ex, op), scalar(ex, op.rd), &mut e);
    settle(ex, &e);
    put_scalar(ex, op, v)
}
