//! Loads and stores (C4.1.96).
//!
//! Write-back to a register that is also loaded is CONSTRAINED UNPREDICTABLE (K1.2.16): the address wins. A
//! stored register that is the base is stored as it was before.

use super::exec::{Exec, Flow, Trap};
use super::int::extended;
use super::op::Op;
use super::regs::Exclusive;
use crate::mem::{PAGE_SIZE, Place};
use crate::tlb::Access;

type Done = Result<Flow, Trap>;

/// How a loaded value goes into its register.
const SIGN_64: u32 = 2;
const SIGN_32: u32 = 3;

/// Puts a loaded value of `size` bytes into a general register, by the instruction's opc.
#[inline(always)]
fn load_into(ex: &mut Exec<'_>, op: &Op, va: u64, size: u8) -> Result<(), Trap> {
    let v = ex.load(va, size)? as u64;
    extend_into(ex, op.rd, v, size, op.bits(23, 22));
    Ok(())
}

#[inline(always)]
fn extend_into(ex: &mut Exec<'_>, rd: u8, v: u64, size: u8, opc: u32) {
    let shift = 64 - 8 * u32::from(size);
    let v = match opc {
        SIGN_64 => ((v << shift) as i64 >> shift) as u64,
        SIGN_32 => u64::from(((v << shift) as i64 >> shift) as u32),
        _ => v,
    };
    ex.set_x(rd, v);
}

#[inline(always)]
fn general_size(op: &Op) -> u8 {
    1 << op.bits(31, 30)
}

/// Bytes of an FP register operand: size and the upper bit of opc.
#[inline(always)]
fn vector_size(op: &Op) -> u8 {
    if op.bits(23, 23) != 0 { 16 } else { 1 << op.bits(31, 30) }
}

/// Loads or stores the register that a single-register instruction names.
#[inline(always)]
fn transfer<const VECTOR: bool>(ex: &mut Exec<'_>, op: &Op, va: u64) -> Result<(), Trap> {
    if VECTOR {
        let size = vector_size(op);
        if op.bits(22, 22) != 0 {
            ex.cpu.v[usize::from(op.rd)] = ex.load(va, size)?;
            Ok(())
        } else {
            let v = ex.cpu.v[usize::from(op.rd)];
            ex.store(va, size, v)
        }
    } else {
        let size = general_size(op);
        if op.bits(23, 22) == 0 {
            let v = ex.x(op.rd);
            ex.store(va, size, v.into())
        } else {
            load_into(ex, op, va, size)
        }
    }
}

#[inline(always)]
fn fp<const VECTOR: bool>(ex: &Exec<'_>) -> Result<(), Trap> {
    if VECTOR { ex.check_fp() } else { Ok(()) }
}

/// LDR, STR and their kin with an offset: unsigned scaled, or unscaled.
pub fn offset<const VECTOR: bool>(ex: &mut Exec<'_>, op: &Op) -> Done {
    fp::<VECTOR>(ex)?;
    ex.check_sp(op.rn)?;
    let va = ex.xsp(op.rn).wrapping_add(op.imm);
    transfer::<VECTOR>(ex, op, va)?;
    Ok(Flow::Next)
}

/// Post-indexed.
pub fn post<const VECTOR: bool>(ex: &mut Exec<'_>, op: &Op) -> Done {
    fp::<VECTOR>(ex)?;
    ex.check_sp(op.rn)?;
    let base = ex.xsp(op.rn);
    transfer::<VECTOR>(ex, op, base)?;
    ex.set_xsp(op.rn, base.wrapping_add(op.imm));
    Ok(Flow::Next)
}

/// Pre-indexed.
pub fn pre<const VECTOR: bool>(ex: &mut Exec<'_>, op: &Op) -> Done {
    fp::<VECTOR>(ex)?;
    ex.check_sp(op.rn)?;
    let va = ex.xsp(op.rn).wrapping_add(op.imm);
    transfer::<VECTOR>(ex, op, va)?;
    ex.set_xsp(op.rn, va);
    Ok(Flow::Next)
}

/// Register offset.
pub fn register<const VECTOR: bool>(ex: &mut Exec<'_>, op: &Op) -> Done {
    fp::<VECTOR>(ex)?;
    ex.check_sp(op.rn)?;
    let va = ex.xsp(op.rn).wrapping_add(extended(ex.x(op.rm), op.bits(15, 13), op.imm as u32));
    transfer::<VECTOR>(ex, op, va)?;
    Ok(Flow::Next)
}

/// LDTR, STTR: with EL0's rights at EL1.
pub fn unprivileged(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_sp(op.rn)?;
    let va = ex.xsp(op.rn).wrapping_add(op.imm);
    let size = general_size(op);
    if ex.cpu.el != 1 {
        transfer::<false>(ex, op, va)?;
    } else if op.bits(23, 22) == 0 {
        let v = ex.x(op.rd);
        ex.store_unprivileged(va, size, v.into())?;
    } else {
        let v = ex.load_unprivileged(va, size)? as u64;
        extend_into(ex, op.rd, v, size, op.bits(23, 22));
    }
    Ok(Flow::Next)
}

/// LDR (literal) and LDRSW (literal).
pub fn literal(ex: &mut Exec<'_>, op: &Op) -> Done {
    let va = ex.cpu.pc.wrapping_add(op.imm);
    let v = match op.bits(31, 30) {
        0 => ex.load(va, 4)? as u64,
        1 => ex.load(va, 8)? as u64,
        _ => ex.load(va, 4)? as i32 as u64,
    };
    ex.set_x(op.rd, v);
    Ok(Flow::Next)
}

/// LDR (literal, SIMD&FP).
pub fn literal_vector(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let va = ex.cpu.pc.wrapping_add(op.imm);
    ex.cpu.v[usize::from(op.rd)] = ex.load(va, 4 << op.bits(31, 30))?;
    Ok(Flow::Next)
}

/// PRFM and PRFUM: hints.
pub fn prefetch(_ex: &mut Exec<'_>, _op: &Op) -> Done {
    Ok(Flow::Next)
}

/// LDP, STP, LDPSW, LDNP, STNP: the mode is in bits 24:23.
pub fn pair<const VECTOR: bool>(ex: &mut Exec<'_>, op: &Op) -> Done {
    fp::<VECTOR>(ex)?;
    ex.check_sp(op.rn)?;
    let base = ex.xsp(op.rn);
    let moved = base.wrapping_add(op.imm);
    let mode = op.bits(24, 23);
    let va = if mode == 1 { base } else { moved };
    let (opc, load) = (op.bits(31, 30), op.bits(22, 22) != 0);
    if VECTOR {
        let size = 4 << opc;
        let (a, b) = (usize::from(op.rd), usize::from(op.ra));
        if load {
            let (x, y) = ex.load_pair(va, size)?;
            (ex.cpu.v[a], ex.cpu.v[b]) = (x, y);
        } else {
            let (x, y) = (ex.cpu.v[a], ex.cpu.v[b]);
            ex.store_pair(va, size, x, y)?;
        }
    } else {
        let size = if opc == 2 { 8 } else { 4 };
        if load {
            let (x, y) = ex.load_pair(va, size)?;
            let signed = |v: u128| if opc == 1 { v as i32 as u64 } else { v as u64 };
            ex.set_x(op.rd, signed(x));
            ex.set_x(op.ra, signed(y));
        } else {
            let (x, y) = (ex.x(op.rd).into(), ex.x(op.ra).into());
            ex.store_pair(va, size, x, y)?;
        }
    }
    if mode & 1 != 0 {
        ex.set_xsp(op.rn, moved);
    }
    Ok(Flow::Next)
}

/// Exclusives, acquire and release accesses and compare-and-swap must be aligned (B2.9.3).
fn aligned(ex: &Exec<'_>, va: u64, size: u8, access: Access) -> Result<(), Trap> {
    if va & (u64::from(size) - 1) != 0 { Err(ex.misaligned(va, access)) } else { Ok(()) }
}

/// LDAR, LDLAR.
pub fn load_acquire(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_sp(op.rn)?;
    let (va, size) = (ex.xsp(op.rn), general_size(op));
    aligned(ex, va, size, Access::Read)?;
    let v = ex.load(va, size)? as u64;
    ex.set_x(op.rd, v);
    Ok(Flow::Next)
}

/// STLR, STLLR.
pub fn store_release(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_sp(op.rn)?;
    let (va, size) = (ex.xsp(op.rn), general_size(op));
    aligned(ex, va, size, Access::Write)?;
    let v = ex.x(op.rd);
    ex.store(va, size, v.into())?;
    Ok(Flow::Next)
}

/// True for LDXR, LDAXR, LDXP, LDAXP.
pub fn is_load_exclusive(word: u32) -> bool {
    word & 0x3f40_0000 == 0x0840_0000 && word >> 23 & 1 == 0
}

/// What is no memory, in [`Exclusive::place`].
const ON_BUS: u64 = 1 << 63;

/// The place that an access is made to, as the monitor has it.
#[inline]
fn monitored(ex: &mut Exec<'_>, va: u64, access: Access) -> Result<u64, Trap> {
    let e = ex.tlb.entry(va, access);
    let d = va.wrapping_sub(e.tag);
    if d < PAGE_SIZE {
        return Ok(e.offset + d);
    }
    let t = ex.translate(false, va, access)?;
    Ok(match t.place {
        Place::Ram(o) | Place::Rom(o) => o,
        Place::Bus => t.phys | ON_BUS,
    })
}

/// LDXR, LDAXR.
pub fn load_exclusive(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_sp(op.rn)?;
    let (va, size) = (ex.xsp(op.rn), general_size(op));
    aligned(ex, va, size, Access::Read)?;
    let value = ex.load(va, size)?;
    let (place, size) = (monitored(ex, va, Access::Read)?, size.into());
    ex.cpu.exclusive = Exclusive { value, place, size };
    ex.set_x(op.rd, value as u64);
    Ok(Flow::Next)
}

/// LDXP, LDAXP: single-copy atomic as a whole.
pub fn load_exclusive_pair(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_sp(op.rn)?;
    let (va, half) = (ex.xsp(op.rn), general_size(op));
    aligned(ex, va, 2 * half, Access::Read)?;
    let (a, b) = ex.load_pair(va, half)?;
    let place = monitored(ex, va, Access::Read)?;
    let value = a | b << (8 * u32::from(half));
    ex.cpu.exclusive = Exclusive { value, place, size: 2 * u64::from(half) };
    ex.set_x(op.rd, a as u64);
    ex.set_x(op.ra, b as u64);
    Ok(Flow::Next)
}

/// True when a store-exclusive may store: the monitor holds the place, and what was loaded from it
/// is still there. Permission is checked in any case.
fn may_store(
    ex: &mut Exec<'_>,
    va: u64,
    size: u8,
    now: impl FnOnce(&mut Exec<'_>) -> Result<u128, Trap>,
) -> Result<bool, Trap> {
    let here = monitored(ex, va, Access::Write)?;
    let Exclusive { value, place, size: held } = std::mem::take(&mut ex.cpu.exclusive);
    if (place, held) != (here, size.into()) {
        return Ok(false);
    }
    Ok(place & ON_BUS != 0 || now(ex)? == value)
}

/// STXR, STLXR.
pub fn store_exclusive(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_sp(op.rn)?;
    let (va, size) = (ex.xsp(op.rn), general_size(op));
    aligned(ex, va, size, Access::Write)?;
    let good = may_store(ex, va, size, |ex| ex.load(va, size))?;
    if good {
        let v = ex.x(op.rd);
        ex.store(va, size, v.into())?;
    }
    ex.set_x(op.rm, u64::from(!good));
    Ok(Flow::Next)
}

/// STXP, STLXP.
pub fn store_exclusive_pair(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_sp(op.rn)?;
    let (va, half) = (ex.xsp(op.rn), general_size(op));
    aligned(ex, va, 2 * half, Access::Write)?;
    let good = may_store(ex, va, 2 * half, |ex| {
        let (a, b) = ex.load_pair(va, half)?;
        Ok(a | b << (8 * u32::from(half)))
    })?;
    if good {
        let (a, b) = (ex.x(op.rd).into(), ex.x(op.ra).into());
        ex.store_pair(va, half, a, b)?;
    }
    ex.set_x(op.rm, u64::from(!good));
    Ok(Flow::Next)
}

/// CAS and its kin: one step, so atomic.
pub fn cas(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_sp(op.rn)?;
    let (va, size) = (ex.xsp(op.rn), general_size(op));
    aligned(ex, va, size, Access::Write)?;
    ex.check_store(va)?;
    let old = ex.load(va, size)? as u64;
    let mask = u64::MAX >> (64 - 8 * u32::from(size));
    if old == ex.x(op.rm) & mask {
        let new = ex.x(op.rd);
        ex.store(va, size, new.into())?;
    }
    ex.set_x(op.rm, old);
    Ok(Flow::Next)
}

/// CASP and its kin.
pub fn casp(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_sp(op.rn)?;
    let half: u8 = 4 << op.bits(30, 30);
    let va = ex.xsp(op.rn);
    aligned(ex, va, 2 * half, Access::Write)?;
    ex.check_store(va)?;
    let (a, b) = ex.load_pair(va, half)?;
    let mask = u64::MAX >> (64 - 8 * u32::from(half));
    if (a as u64, b as u64) == (ex.x(op.rm) & mask, ex.x(op.rm | 1) & mask) {
        let (x, y) = (ex.x(op.rd).into(), ex.x(op.rd | 1).into());
        ex.store_pair(va, half, x, y)?;
    }
    ex.set_x(op.rm, a as u64);
    ex.set_x(op.rm | 1, b as u64);
    Ok(Flow::Next)
}

/// LDADD, LDCLR, LDEOR, LDSET, LDSMAX, LDSMIN, LDUMAX, LDUMIN, SWP: `imm` is o3:opc.
pub fn atomic(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_sp(op.rn)?;
    let (va, size) = (ex.xsp(op.rn), general_size(op));
    aligned(ex, va, size, Access::Write)?;
    ex.check_store(va)?;
    let shift = 64 - 8 * u32::from(size);
    let old = ex.load(va, size)? as u64;
    let operand = ex.x(op.rm) << shift >> shift;
    let signed = |v: u64| (v << shift) as i64;
    let new = match op.imm {
        0 => old.wrapping_add(operand),
        1 => old & !operand,
        2 => old ^ operand,
        3 => old | operand,
        4 => {
            if signed(old) > signed(operand) {
                old
            } else {
                operand
            }
        }
        5 => {
            if signed(old) > signed(operand) {
                operand
            } else {
                old
            }
        }
        6 => old.max(operand),
        7 => old.min(operand),
        _ => operand,
    };
    ex.store(va, size, new.into())?;
    ex.set_x(op.rd, old);
    Ok(Flow::Next)
}
