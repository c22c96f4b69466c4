//! CMPXCHG, CMPXCHG8B, CMPXCHG16B, XADD. CPUs take turns, so that every instruction is atomic and
//! the LOCK prefix needs nothing more.

use crate::by_width;
use crate::mem::PAGE_SIZE;
use crate::tlb::Access;
use crate::x86::exec::{Exec, Flow};
use crate::x86::int::alu::{apply, kind};
use crate::x86::int::mov::operand_bytes;
use crate::x86::op::{Handler, Op};
use crate::x86::regs::gpr;
use crate::x86::trap::Trap;
use crate::x86::word::Word;
use iced_x86::{Instruction, Mnemonic, OpKind};

type Done = Result<Flow, Trap>;

fn cmpxchg_r<T: Word>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let (a, d) = (ex.get::<T>(gpr::RAX), ex.get::<T>(op.r0));
    apply::<T, { kind::CMP }>(ex, a, d);
    if a == d {
        let v = ex.get::<T>(op.r1);
        ex.set(op.r0, v);
    } else {
        ex.set(gpr::RAX, d);
    }
    Ok(Flow::Next)
}

fn cmpxchg_m<T: Word>(ex: &mut Exec<'_>, op: &Op) -> Done {
    // The destination is written in either case.
    ex.modify::<T>(op, |ex, d| {
        let a = ex.get::<T>(gpr::RAX);
        apply::<T, { kind::CMP }>(ex, a, d);
        if a == d {
            ex.get::<T>(op.r1)
        } else {
            ex.set(gpr::RAX, d);
            d
        }
    })?;
    Ok(Flow::Next)
}

fn cmpxchg8b(ex: &mut Exec<'_>, op: &Op) -> Done {
    let pair =
        |ex: &Exec<'_>, high, low| u64::from(ex.get::<u32>(high)) << 32 | u64::from(ex.get::<u32>(low));
    ex.modify::<u64>(op, |ex, d| {
        let equal = d == pair(ex, gpr::RDX, gpr::RAX);
        ex.cpu.flags.set_zf(equal);
        if equal {
            pair(ex, gpr::RCX, gpr::RBX)
        } else {
            ex.set(gpr::RAX, d as u32);
            ex.set(gpr::RDX, (d >> 32) as u32);
            d
        }
    })?;
    Ok(Flow::Next)
}

fn cmpxchg16b(ex: &mut Exec<'_>, op: &Op) -> Done {
    let lin = ex.operand(op, 16, true)?;
    if lin & 15 != 0 {
        return Err(Trap::GP);
    }
    // The operand is a write whatever the outcome: its permission is checked first.
    let hit = lin.wrapping_sub(ex.tlb.entry(lin, Access::Write).tag) < PAGE_SIZE;
    if !hit {
        ex.check_write(op.seg, lin, 16)?;
    }
    let mut b = [0; 16];
    ex.read_bytes(op.seg, lin, &mut b)?;
    let d = u128::from_le_bytes(b);
    let pair =
        |ex: &Exec<'_>, high, low| u128::from(ex.get::<u64>(high)) << 64 | u128::from(ex.get::<u64>(low));
    let equal = d == pair(ex, gpr::RDX, gpr::RAX);
    let v = if equal { pair(ex, gpr::RCX, gpr::RBX) } else { d };
    ex.write_bytes(op.seg, lin, &v.to_le_bytes())?;
    ex.cpu.flags.set_zf(equal);
    if !equal {
        ex.set(gpr::RAX, d as u64);
        ex.set(gpr::RDX, (d >> 64) as u64);
    }
    Ok(Flow::Next)
}

fn xadd_r<T: Word>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let (d, s) = (ex.get::<T>(op.r0), ex.get::<T>(op.r1));
    let sum = apply::<T, { kind::ADD }>(ex, d, s);
    // With one register twice the sum wins.
    ex.set(op.r1, d);
    ex.set(op.r0, sum);
    Ok(Flow::Next)
}

fn xadd_m<T: Word>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.modify::<T>(op, |ex, d| {
        let s = ex.get::<T>(op.r1);
        ex.set(op.r1, d);
        apply::<T, { kind::ADD }>(ex, d, s)
    })?;
    Ok(Flow::Next)
}

/// The handler for `ins`, if it belongs to this module.
pub fn select(ins: &Instruction) -> Option<Handler> {
    let mem = ins.op_kind(0) == OpKind::Memory;
    match ins.mnemonic() {
        Mnemonic::Cmpxchg if mem => by_width!(operand_bytes(ins, 0), cmpxchg_m),
        Mnemonic::Cmpxchg => by_width!(operand_bytes(ins, 0), cmpxchg_r),
        Mnemonic::Cmpxchg8b => Some(cmpxchg8b),
        Mnemonic::Cmpxchg16b => Some(cmpxchg16b),
        Mnemonic::Xadd if mem => by_width!(operand_bytes(ins, 0), xadd_m),
        Mnemonic::Xadd => by_width!(operand_bytes(ins, 0), xadd_r),
        _ => None,
    }
}
