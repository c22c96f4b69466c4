//! Near branches: Jcc, JCXZ, LOOP, JMP, CALL, RET (SDM volume 1, section 6.4).
//!
//! In 64-bit mode the operand size of a near branch is 64 bits whatever the prefixes say (SDM
//! volume 1, section 6.3.7); AMD's processors obey the prefix 66 there, this CPU follows Intel's.

use crate::by_condition;
use crate::x86::exec::{Exec, Flow};
use crate::x86::int::cond::number;
use crate::x86::int::stack::{push, release, top};
use crate::x86::int::string::{addr, set_addr};
use crate::x86::op::{Handler, Op};
use crate::x86::regs::{gpr, seg};
use crate::x86::trap::Trap;
use iced_x86::{FlowControl, Instruction, Mnemonic, OpKind};

type Done = Result<Flow, Trap>;

/// The RIP that a near branch of `SIZE` bytes to `target` leads to, checked: 64-bit branches
/// exist only in 64-bit mode, the others only outside.
#[inline(always)]
fn checked<const SIZE: u8>(ex: &Exec<'_>, target: u64) -> Result<u64, Trap> {
    if SIZE == 8 {
        return if Exec::canonical(target) { Ok(target) } else { Err(Trap::GP) };
    }
    let target = if SIZE == 4 { target & 0xffff_ffff } else { target & 0xffff };
    if target > u64::from(ex.cpu.seg(seg::CS).limit) { Err(Trap::GP) } else { Ok(target) }
}

#[inline(always)]
fn relative<const SIZE: u8>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let target = checked::<SIZE>(ex, ex.cpu.rip().wrapping_add(op.imm))?;
    ex.cpu.set_rip(target);
    Ok(Flow::Jump)
}

fn jmp<const SIZE: u8>(ex: &mut Exec<'_>, op: &Op) -> Done {
    relative::<SIZE>(ex, op)
}

fn jcc16<const CC: u8>(ex: &mut Exec<'_>, op: &Op) -> Done {
    if ex.cpu.flags.condition(CC) { relative::<2>(ex, op) } else { Ok(Flow::Next) }
}

fn jcc32<const CC: u8>(ex: &mut Exec<'_>, op: &Op) -> Done {
    if ex.cpu.flags.condition(CC) { relative::<4>(ex, op) } else { Ok(Flow::Next) }
}

fn jcc64<const CC: u8>(ex: &mut Exec<'_>, op: &Op) -> Done {
    if ex.cpu.flags.condition(CC) { relative::<8>(ex, op) } else { Ok(Flow::Next) }
}

fn jcxz<const SIZE: u8, const A: u8>(ex: &mut Exec<'_>, op: &Op) -> Done {
    if addr::<A>(ex, gpr::RCX) == 0 { relative::<SIZE>(ex, op) } else { Ok(Flow::Next) }
}

/// What LOOP asks besides the count: nothing, ZF set, ZF clear.
const ALWAYS: u8 = 0;
const WHILE_EQUAL: u8 = 1;
const WHILE_NOT_EQUAL: u8 = 2;

fn loop_while<const SIZE: u8, const A: u8, const WHEN: u8>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let count = addr::<A>(ex, gpr::RCX).wrapping_sub(1);
    let zf = ex.cpu.flags.zf();
    let go = match A {
        2 => count & 0xffff != 0,
        4 => count & 0xffff_ffff != 0,
        _ => count != 0,
    } && match WHEN {
        WHILE_EQUAL => zf,
        WHILE_NOT_EQUAL => !zf,
        _ => true,
    };
    let flow = if go { relative::<SIZE>(ex, op)? } else { Flow::Next };
    set_addr::<A>(ex, gpr::RCX, count);
    Ok(flow)
}

fn call<const SIZE: u8>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let next = ex.cpu.rip();
    let target = checked::<SIZE>(ex, next.wrapping_add(op.imm))?;
    push::<SIZE>(ex, next)?;
    ex.cpu.set_rip(target);
    Ok(Flow::Jump)
}

#[inline(always)]
fn load_target<const SIZE: u8>(ex: &mut Exec<'_>, op: &Op) -> Result<u64, Trap> {
    Ok(match SIZE {
        2 => ex.load::<u16>(op)?.into(),
        4 => ex.load::<u32>(op)?.into(),
        _ => ex.load::<u64>(op)?,
    })
}

fn jmp_r<const SIZE: u8>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let target = checked::<SIZE>(ex, ex.get::<u64>(op.r0))?;
    ex.cpu.set_rip(target);
    Ok(Flow::Jump)
}

fn jmp_m<const SIZE: u8>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let target = load_target::<SIZE>(ex, op)?;
    let target = checked::<SIZE>(ex, target)?;
    ex.cpu.set_rip(target);
    Ok(Flow::Jump)
}

fn call_r<const SIZE: u8>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let target = checked::<SIZE>(ex, ex.get::<u64>(op.r0))?;
    let next = ex.cpu.rip();
    push::<SIZE>(ex, next)?;
    ex.cpu.set_rip(target);
    Ok(Flow::Jump)
}

fn call_m<const SIZE: u8>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let target = load_target::<SIZE>(ex, op)?;
    let target = checked::<SIZE>(ex, target)?;
    let next = ex.cpu.rip();
    push::<SIZE>(ex, next)?;
    ex.cpu.set_rip(target);
    Ok(Flow::Jump)
}

/// RET and RET imm16: `op.imm` is zero in the first.
fn ret<const SIZE: u8>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let target = top::<SIZE>(ex)?;
    let target = checked::<SIZE>(ex, target)?;
    release::<SIZE>(ex, op.imm);
    ex.cpu.set_rip(target);
    Ok(Flow::Jump)
}

/// Bytes of a relative branch's operand size.
fn branch_bytes(ins: &Instruction) -> Option<u8> {
    match ins.op_kind(0) {
        OpKind::NearBranch16 => Some(2),
        OpKind::NearBranch32 => Some(4),
        OpKind::NearBranch64 => Some(8),
        _ => None,
    }
}

/// Bytes of the target of an indirect near branch.
fn indirect_bytes(ins: &Instruction) -> usize {
    match ins.op_kind(0) {
        OpKind::Register => ins.op_register(0).size(),
        _ => ins.memory_size().size(),
    }
}

macro_rules! by_size {
    ($size:expr, $f:ident) => {
        match $size {
            2 => Some($f::<2> as Handler),
            4 => Some($f::<4> as Handler),
            8 => Some($f::<8> as Handler),
            _ => None,
        }
    };
}

fn select_loop<const WHEN: u8>(size: u8, a: u32) -> Option<Handler> {
    Some(match (size, a) {
        (2, 16) => loop_while::<2, 2, WHEN>,
        (4, 16) => loop_while::<4, 2, WHEN>,
        (2, 32) => loop_while::<2, 4, WHEN>,
        (4, 32) => loop_while::<4, 4, WHEN>,
        (8, 32) => loop_while::<8, 4, WHEN>,
        (8, 64) => loop_while::<8, 8, WHEN>,
        _ => return None,
    })
}

fn jcc<const CC: u8>(size: u8) -> Handler {
    match size {
        2 => jcc16::<CC>,
        4 => jcc32::<CC>,
        _ => jcc64::<CC>,
    }
}

/// The handler for `ins`, if it belongs to this module.
pub fn select(ins: &Instruction) -> Option<Handler> {
    let register = ins.op_kind(0) == OpKind::Register;
    let a = || ins.code().op_code().address_size();
    match ins.mnemonic() {
        Mnemonic::Jmp if ins.is_jmp_short_or_near() => by_size!(branch_bytes(ins)?, jmp),
        Mnemonic::Jmp if ins.is_jmp_near_indirect() && register => by_size!(indirect_bytes(ins), jmp_r),
        Mnemonic::Jmp if ins.is_jmp_near_indirect() => by_size!(indirect_bytes(ins), jmp_m),
        Mnemonic::Call if ins.is_call_near() => by_size!(branch_bytes(ins)?, call),
        Mnemonic::Call if ins.is_call_near_indirect() && register => by_size!(indirect_bytes(ins), call_r),
        Mnemonic::Call if ins.is_call_near_indirect() => by_size!(indirect_bytes(ins), call_m),
        Mnemonic::Ret => by_size!(ins.code().op_code().operand_size() / 8, ret),
        Mnemonic::Jcxz | Mnemonic::Jecxz | Mnemonic::Jrcxz => {
            Some(match (branch_bytes(ins)?, ins.mnemonic()) {
                (2, Mnemonic::Jcxz) => jcxz::<2, 2>,
                (4, Mnemonic::Jcxz) => jcxz::<4, 2>,
                (2, Mnemonic::Jecxz) => jcxz::<2, 4>,
                (4, Mnemonic::Jecxz) => jcxz::<4, 4>,
                (8, Mnemonic::Jecxz) => jcxz::<8, 4>,
                (8, Mnemonic::Jrcxz) => jcxz::<8, 8>,
                _ => return None,
            })
        }
        Mnemonic::Loop => select_loop::<ALWAYS>(branch_bytes(ins)?, a()),
        Mnemonic::Loope => select_loop::<WHILE_EQUAL>(branch_bytes(ins)?, a()),
        Mnemonic::Loopne => select_loop::<WHILE_NOT_EQUAL>(branch_bytes(ins)?, a()),
        _ if ins.flow_control() == FlowControl::ConditionalBranch => {
            let cc = number(ins.condition_code())?;
            let size = branch_bytes(ins)?;
            Some(by_condition!(cc, jcc, size))
        }
        _ => None,
    }
}
