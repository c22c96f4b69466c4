//! MUL, IMUL, DIV, IDIV.

use crate::by_width;
use crate::x86::exec::{Exec, Flow};
use crate::x86::int::mov::operand_bytes;
use crate::x86::op::{Handler, Op};
use crate::x86::regs::gpr;
use crate::x86::trap::Trap;
use crate::x86::word::Word;
use iced_x86::{Instruction, Mnemonic, OpKind};

type Done = Result<Flow, Trap>;

/// Writes a double-width product to AX or D:A.
#[inline(always)]
fn set_wide<T: Word>(ex: &mut Exec<'_>, low: T, high: T) {
    if T::BYTES == 1 {
        ex.set(gpr::RAX, (low.to_u64() | high.to_u64() << 8) as u16);
    } else {
        ex.set(gpr::RAX, low);
        ex.set(gpr::RDX, high);
    }
}

/// Flags of a multiplication: CF and OF tell that the upper half means something.
///
/// Undefined: SF, ZF, AF and PF stay as they are after MUL and IMUL (AMD's processors do so).
#[inline(always)]
fn set_flags(ex: &mut Exec<'_>, overflow: bool) {
    ex.cpu.flags.set_cf_of(overflow, overflow);
}

#[inline(always)]
fn mul<T: Word>(ex: &mut Exec<'_>, b: T) {
    let a = ex.get::<T>(gpr::RAX);
    let (low, high) = if T::BYTES == 8 {
        let p = u128::from(a.to_u64()) * u128::from(b.to_u64());
        (T::from_u64(p as u64), T::from_u64((p >> 64) as u64))
    } else {
        let p = a.to_u64() * b.to_u64();
        (T::from_u64(p), T::from_u64(p >> T::BITS))
    };
    set_wide(ex, low, high);
    set_flags(ex, high.to_u64() != 0);
}

/// The signed product: lower half, upper half, and whether the lower half alone is it.
#[inline(always)]
fn signed<T: Word>(a: T, b: T) -> (T, T, bool) {
    if T::BYTES == 8 {
        let p = i128::from(a.to_i64()) * i128::from(b.to_i64());
        let low = T::from_u64(p as u64);
        (low, T::from_u64((p >> 64) as u64), i128::from(low.to_i64()) != p)
    } else {
        let p = a.to_i64() * b.to_i64();
        let low = T::from_u64(p as u64);
        (low, T::from_u64((p >> T::BITS) as u64), low.to_i64() != p)
    }
}

#[inline(always)]
fn imul<T: Word>(ex: &mut Exec<'_>, b: T) {
    let (low, high, overflow) = signed(ex.get::<T>(gpr::RAX), b);
    set_wide(ex, low, high);
    set_flags(ex, overflow);
}

fn div<T: Word>(ex: &mut Exec<'_>, b: T) -> Result<(), Trap> {
    let d = b.to_u64();
    if d == 0 {
        return Err(Trap::DE);
    }
    let (q, r) = if T::BYTES == 8 {
        let (low, high) = (ex.get::<u64>(gpr::RAX), ex.get::<u64>(gpr::RDX));
        if high == 0 {
            (low / d, low % d)
        } else if high >= d {
            return Err(Trap::DE);
        } else {
            let n = u128::from(high) << 64 | u128::from(low);
            ((n / u128::from(d)) as u64, (n % u128::from(d)) as u64)
        }
    } else {
        let n = dividend::<T>(ex);
        let q = n / d;
        if q > T::MASK {
            return Err(Trap::DE);
        }
        (q, n % d)
    };
    set_quotient(ex, T::from_u64(q), T::from_u64(r));
    Ok(())
}

/// AX, DX:AX or EDX:EAX.
#[inline(always)]
fn dividend<T: Word>(ex: &Exec<'_>) -> u64 {
    if T::BYTES == 1 {
        ex.get::<u16>(gpr::RAX).into()
    } else {
        ex.get::<T>(gpr::RDX).to_u64() << T::BITS | ex.get::<T>(gpr::RAX).to_u64()
    }
}

/// Undefined: DIV and IDIV set AF, clear SF, ZF and PF, leave CF and OF (AMD's processors do so).
#[inline(always)]
fn set_quotient<T: Word>(ex: &mut Exec<'_>, q: T, r: T) {
    set_wide(ex, q, r);
    // A result of 1 is not zero, not negative, and of odd parity.
    ex.cpu.flags.set_szp(1);
    ex.cpu.flags.set_af(true);
}

fn idiv<T: Word>(ex: &mut Exec<'_>, b: T) -> Result<(), Trap> {
    let d = b.to_i64();
    if d == 0 {
        return Err(Trap::DE);
    }
    let (q, r) = if T::BYTES == 8 {
        let n = i128::from(ex.get::<u64>(gpr::RDX) as i64) << 64 | i128::from(ex.get::<u64>(gpr::RAX));
        // The most negative dividend by -1 overflows even 128 bits.
        let (Some(q), Some(r)) = (n.checked_div(d.into()), n.checked_rem(d.into())) else {
            return Err(Trap::DE);
        };
        if i128::from(q as i64) != q {
            return Err(Trap::DE);
        }
        (q as u64, r as u64)
    } else {
        let unused = 64 - 2 * T::BITS;
        let n = (dividend::<T>(ex) << unused) as i64 >> unused;
        let (Some(q), Some(r)) = (n.checked_div(d), n.checked_rem(d)) else {
            return Err(Trap::DE);
        };
        if T::from_u64(q as u64).to_i64() != q {
            return Err(Trap::DE);
        }
        (q as u64, r as u64)
    };
    set_quotient(ex, T::from_u64(q), T::from_u64(r));
    Ok(())
}

fn mul_r<T: Word>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let b = ex.get::<T>(op.r0);
    mul(ex, b);
    Ok(Flow::Next)
}

fn mul_m<T: Word>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let b = ex.load::<T>(op)?;
    mul(ex, b);
    Ok(Flow::Next)
}

fn imul_r<T: Word>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let b = ex.get::<T>(op.r0);
    imul(ex, b);
    Ok(Flow::Next)
}

fn imul_m<T: Word>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let b = ex.load::<T>(op)?;
    imul(ex, b);
    Ok(Flow::Next)
}

#[inline(always)]
fn imul_to<T: Word>(ex: &mut Exec<'_>, op: &Op, a: T, b: T) -> Done {
    let (low, _, overflow) = signed(a, b);
    ex.set(op.r0, low);
    set_flags(ex, overflow);
    Ok(Flow::Next)
}

fn imul_rr<T: Word>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let (a, b) = (ex.get::<T>(op.r0), ex.get::<T>(op.r1));
    imul_to(ex, op, a, b)
}

fn imul_rm<T: Word>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let b = ex.load::<T>(op)?;
    let a = ex.get::<T>(op.r0);
    imul_to(ex, op, a, b)
}

fn imul_rri<T: Word>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let a = ex.get::<T>(op.r1);
    imul_to(ex, op, a, T::from_u64(op.imm))
}

fn imul_rmi<T: Word>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let a = ex.load::<T>(op)?;
    imul_to(ex, op, a, T::from_u64(op.imm))
}

fn div_r<T: Word>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let b = ex.get::<T>(op.r0);
    div(ex, b)?;
    Ok(Flow::Next)
}

fn div_m<T: Word>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let b = ex.load::<T>(op)?;
    div(ex, b)?;
    Ok(Flow::Next)
}

fn idiv_r<T: Word>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let b = ex.get::<T>(op.r0);
    idiv(ex, b)?;
    Ok(Flow::Next)
}

fn idiv_m<T: Word>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let b = ex.load::<T>(op)?;
    idiv(ex, b)?;
    Ok(Flow::Next)
}

/// The handler for `ins`, if it belongs to this module.
pub fn select(ins: &Instruction) -> Option<Handler> {
    let bytes = || operand_bytes(ins, 0);
    let mem = |i| ins.op_kind(i) == OpKind::Memory;
    match (ins.mnemonic(), ins.op_count()) {
        (Mnemonic::Mul, _) if mem(0) => by_width!(bytes(), mul_m),
        (Mnemonic::Mul, _) => by_width!(bytes(), mul_r),
        (Mnemonic::Div, _) if mem(0) => by_width!(bytes(), div_m),
        (Mnemonic::Div, _) => by_width!(bytes(), div_r),
        (Mnemonic::Idiv, _) if mem(0) => by_width!(bytes(), idiv_m),
        (Mnemonic::Idiv, _) => by_width!(bytes(), idiv_r),
        (Mnemonic::Imul, 1) if mem(0) => by_width!(bytes(), imul_m),
        (Mnemonic::Imul, 1) => by_width!(bytes(), imul_r),
        (Mnemonic::Imul, 2) if mem(1) => by_width!(bytes(), imul_rm),
        (Mnemonic::Imul, 2) => by_width!(bytes(), imul_rr),
        (Mnemonic::Imul, _) if mem(1) => by_width!(bytes(), imul_rmi),
        (Mnemonic::Imul, _) => by_width!(bytes(), imul_rri),
        _ => None,
    }
}
