//! MOV between general registers, memory and immediates; MOVZX, MOVSX, MOVSXD, LEA, XCHG.
//!
//! The pattern that every `exec_*` module follows: short generic handlers by operand shape, and
//! `select`, which names the encodings by iced-x86's `Code` or mnemonic and chooses one.

use crate::x86::exec::{Exec, Flow};
use crate::x86::op::{Handler, Op};
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

/// Bytes of operand `i`: a register, a memory operand, or an immediate as wide as operand 0.
pub fn operand_bytes(ins: &Instruction, i: u32) -> usize {
    match ins.op_kind(i) {
        OpKind::Register => ins.op_register(i).size(),
        OpKind::Memory => ins.memory_size().size(),
        _ => operand_bytes(ins, 0),
    }
}

/// The handler for `ins`, if it belongs to this group.
pub fn select(ins: &Instruction) -> Option<Handler> {
    use OpKind::{Memory, Register};
    let bytes = operand_bytes(ins, 0);
    match ins.mnemonic() {
        Mnemonic::Mov => {
            let special = |i| {
                let r = ins.op_register(i);
                ins.op_kind(i) == Register && !r.is_gpr()
            };
            if special(0) || special(1) {
                return None;
            }
            match (ins.op_kind(0), ins.op_kind(1)) {
                (Register, Register) => by_width!(bytes, mov_rr),
                (Register, Memory) => by_width!(bytes, mov_rm),
                (Memory, Register) => by_width!(bytes, mov_mr),
                (Register, _) => by_width!(bytes, mov_ri),
                (Memory, _) => by_width!(bytes, mov_mi),
                _ => None,
            }
        }
        _ => None,
    }
}
