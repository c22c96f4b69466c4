//! MOV between general registers, memory and immediates; MOVZX, MOVSX, MOVSXD, LEA, XCHG, BSWAP,
//! MOVBE, XLAT.
//!
//! The pattern that every module of the group follows: short generic handlers by operand shape,
//! and `select`, which names the encodings by iced-x86's mnemonic and chooses one.

use crate::x86::exec::{Exec, Flow};
use crate::x86::op::{Handler, Op};
use crate::x86::regs::gpr;
use crate::x86::trap::Trap;
use crate::x86::word::Word;
use iced_x86::{Instruction, Mnemonic, OpKind};

type Done = Result<Flow, Trap>;

fn mov_rr<T: Word>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let v = ex.get::<T>(op.r1);
    ex.set(op.r0, v);
    Ok(Flow::Next)
}

fn mov_rm<T: Word>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let v = ex.load::<T>(op)?;
    ex.set(op.r0, v);
    Ok(Flow::Next)
}

fn mov_mr<T: Word>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let v = ex.get::<T>(op.r1);
    ex.store(op, v)?;
    Ok(Flow::Next)
}

fn mov_ri<T: Word>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.set(op.r0, T::from_u64(op.imm));
    Ok(Flow::Next)
}

fn mov_mi<T: Word>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.store(op, T::from_u64(op.imm))?;
    Ok(Flow::Next)
}

fn movzx_rr<D: Word, S: Word>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let v = ex.get::<S>(op.r1);
    ex.set(op.r0, D::from_u64(v.to_u64()));
    Ok(Flow::Next)
}

fn movzx_rm<D: Word, S: Word>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let v = ex.load::<S>(op)?;
    ex.set(op.r0, D::from_u64(v.to_u64()));
    Ok(Flow::Next)
}

fn movsx_rr<D: Word, S: Word>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let v = ex.get::<S>(op.r1);
    ex.set(op.r0, D::from_u64(v.to_i64() as u64));
    Ok(Flow::Next)
}

fn movsx_rm<D: Word, S: Word>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let v = ex.load::<S>(op)?;
    ex.set(op.r0, D::from_u64(v.to_i64() as u64));
    Ok(Flow::Next)
}

fn lea<T: Word>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let ea = ex.ea(op);
    ex.set(op.r0, T::from_u64(ea));
    Ok(Flow::Next)
}

fn xchg_rr<T: Word>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let (a, b) = (ex.get::<T>(op.r0), ex.get::<T>(op.r1));
    ex.set(op.r0, b);
    ex.set(op.r1, a);
    Ok(Flow::Next)
}

/// XCHG with memory locks the bus always; with one CPU at a time running, it always does here.
fn xchg_mr<T: Word>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.modify::<T>(op, |ex, old| {
        let new = ex.get::<T>(op.r1);
        ex.set(op.r1, old);
        new
    })?;
    Ok(Flow::Next)
}

fn swap<T: Word>(v: T) -> T {
    T::from_u64(v.to_u64().swap_bytes() >> (64 - T::BITS))
}

/// Undefined: BSWAP of a 16-bit register clears it.
fn bswap<T: Word>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let v = ex.get::<T>(op.r0);
    ex.set(op.r0, if T::BYTES == 2 { T::from_u64(0) } else { swap(v) });
    Ok(Flow::Next)
}

fn movbe_rm<T: Word>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let v = ex.load::<T>(op)?;
    ex.set(op.r0, swap(v));
    Ok(Flow::Next)
}

fn movbe_mr<T: Word>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let v = ex.get::<T>(op.r1);
    ex.store(op, swap(v))?;
    Ok(Flow::Next)
}

fn xlat(ex: &mut Exec<'_>, op: &Op) -> Done {
    let al = ex.cpu.regs[usize::from(gpr::RAX)] & 0xff;
    let off = ex.cpu.regs[usize::from(gpr::RBX)].wrapping_add(al);
    let off = match op.addrsize {
        8 => off,
        4 => off & 0xffff_ffff,
        _ => off & 0xffff,
    };
    let v = ex.read::<u8>(op.seg, off)?;
    ex.set(gpr::RAX, v);
    Ok(Flow::Next)
}

/// Chooses a handler by the width of an operand.
#[macro_export]
macro_rules! by_width {
    ($bytes:expr, $f:ident) => {
        match $bytes {
            1 => Some($f::<u8> as $crate::x86::op::Handler),
            2 => Some($f::<u16> as $crate::x86::op::Handler),
            4 => Some($f::<u32> as $crate::x86::op::Handler),
            8 => Some($f::<u64> as $crate::x86::op::Handler),
            _ => None,
        }
    };
}

/// Chooses a handler by the widths of destination and source.
macro_rules! by_widths {
    ($d:expr, $s:expr, $f:ident) => {
        match ($d, $s) {
            (2, 1) => Some($f::<u16, u8> as Handler),
            (4, 1) => Some($f::<u32, u8> as Handler),
            (8, 1) => Some($f::<u64, u8> as Handler),
            (2, 2) => Some($f::<u16, u16> as Handler),
            (4, 2) => Some($f::<u32, u16> as Handler),
            (8, 2) => Some($f::<u64, u16> as Handler),
            (4, 4) => Some($f::<u32, u32> as Handler),
            (8, 4) => Some($f::<u64, u32> as Handler),
            _ => None,
        }
    };
}

/// Bytes of operand `i`: a register, a memory operand, or an immediate as wide as operand 0.
pub fn operand_bytes(ins: &Instruction, i: u32) -> usize {
    match ins.op_kind(i) {
        OpKind::Register => ins.op_register(i).size(),
        OpKind::Memory => ins.memory_size().size(),
        _ if i > 0 => operand_bytes(ins, 0),
        _ => 0,
    }
}

/// The handler for `ins`, if it belongs to this module.
pub fn select(ins: &Instruction) -> Option<Handler> {
    use OpKind::{Memory, Register};
    let kinds = (ins.op_kind(0), ins.op_kind(1));
    let bytes = |i| operand_bytes(ins, i);
    match ins.mnemonic() {
        Mnemonic::Mov => {
            let special = |i| {
                let r = ins.op_register(i);
                ins.op_kind(i) == Register && !r.is_gpr()
            };
            if special(0) || special(1) {
                return None;
            }
            match kinds {
                (Register, Register) => by_width!(bytes(0), mov_rr),
                (Register, Memory) => by_width!(bytes(0), mov_rm),
                (Memory, Register) => by_width!(bytes(0), mov_mr),
                (Register, _) => by_width!(bytes(0), mov_ri),
                (Memory, _) => by_width!(bytes(0), mov_mi),
                _ => None,
            }
        }
        Mnemonic::Movzx => match kinds {
            (_, Memory) => by_widths!(bytes(0), bytes(1), movzx_rm),
            _ => by_widths!(bytes(0), bytes(1), movzx_rr),
        },
        Mnemonic::Movsx | Mnemonic::Movsxd => match kinds {
            (_, Memory) => by_widths!(bytes(0), bytes(1), movsx_rm),
            _ => by_widths!(bytes(0), bytes(1), movsx_rr),
        },
        Mnemonic::Lea => by_width!(bytes(0), lea),
        Mnemonic::Xchg => match kinds {
            (Memory, _) => by_width!(bytes(0), xchg_mr),
            _ => by_width!(bytes(0), xchg_rr),
        },
        Mnemonic::Bswap => by_width!(bytes(0), bswap),
        Mnemonic::Movbe => match kinds {
            (Memory, _) => by_width!(bytes(0), movbe_mr),
            _ => by_width!(bytes(0), movbe_rm),
        },
        Mnemonic::Xlatb => Some(xlat),
        _ => None,
    }
}
