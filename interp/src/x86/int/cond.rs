//! CMOVcc, SETcc and the conversions CBW to CQO.

use crate::x86::exec::{Exec, Flow};
use crate::x86::int::mov::operand_bytes;
use crate::x86::op::{Handler, Op};
use crate::x86::regs::gpr;
use crate::x86::trap::Trap;
use crate::x86::word::Word;
use iced_x86::{ConditionCode, Instruction, Mnemonic, OpKind};

type Done = Result<Flow, Trap>;

fn cmov_rr<T: Word, const CC: u8>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let from = if ex.cpu.flags.condition(CC) { op.r1 } else { op.r0 };
    // A doubleword destination loses its upper half whatever the condition.
    let v = ex.get::<T>(from);
    ex.set(op.r0, v);
    Ok(Flow::Next)
}

fn cmov_rm<T: Word, const CC: u8>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let loaded = ex.load::<T>(op)?;
    let v = if ex.cpu.flags.condition(CC) { loaded } else { ex.get::<T>(op.r0) };
    ex.set(op.r0, v);
    Ok(Flow::Next)
}

fn set_r<const CC: u8>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let v = u8::from(ex.cpu.flags.condition(CC));
    ex.set(op.r0, v);
    Ok(Flow::Next)
}

fn set_m<const CC: u8>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let v = u8::from(ex.cpu.flags.condition(CC));
    ex.store(op, v)?;
    Ok(Flow::Next)
}

fn cmov<const CC: u8>(ins: &Instruction) -> Option<Handler> {
    Some(match (operand_bytes(ins, 0), ins.op_kind(1)) {
        (2, OpKind::Memory) => cmov_rm::<u16, CC>,
        (4, OpKind::Memory) => cmov_rm::<u32, CC>,
        (8, OpKind::Memory) => cmov_rm::<u64, CC>,
        (2, _) => cmov_rr::<u16, CC>,
        (4, _) => cmov_rr::<u32, CC>,
        (8, _) => cmov_rr::<u64, CC>,
        _ => return None,
    })
}

fn setcc<const CC: u8>(ins: &Instruction) -> Option<Handler> {
    Some(if ins.op_kind(0) == OpKind::Memory { set_m::<CC> } else { set_r::<CC> })
}

/// Sign-extends the lower half of the accumulator into all of it: CBW, CWDE, CDQE.
fn extend_a<D: Word, S: Word>(ex: &mut Exec<'_>, _: &Op) -> Done {
    let v = ex.get::<S>(gpr::RAX).to_i64() as u64;
    ex.set(gpr::RAX, D::from_u64(v));
    Ok(Flow::Next)
}

/// Fills D with the accumulator's sign: CWD, CDQ, CQO.
fn extend_d<T: Word>(ex: &mut Exec<'_>, _: &Op) -> Done {
    let v = (ex.get::<T>(gpr::RAX).to_i64() >> 63) as u64;
    ex.set(gpr::RDX, T::from_u64(v));
    Ok(Flow::Next)
}

/// The condition's number in the opcode's low four bits (SDM volume 1, appendix B).
pub fn number(cc: ConditionCode) -> Option<u8> {
    Some(match cc {
        ConditionCode::o => 0,
        ConditionCode::no => 1,
        ConditionCode::b => 2,
        ConditionCode::ae => 3,
        ConditionCode::e => 4,
        ConditionCode::ne => 5,
        ConditionCode::be => 6,
        ConditionCode::a => 7,
        ConditionCode::s => 8,
        ConditionCode::ns => 9,
        ConditionCode::p => 10,
        ConditionCode::np => 11,
        ConditionCode::l => 12,
        ConditionCode::ge => 13,
        ConditionCode::le => 14,
        ConditionCode::g => 15,
        _ => return None,
    })
}

/// Calls a function that is generic in the condition.
#[macro_export]
macro_rules! by_condition {
    ($cc:expr, $f:ident, $($arg:expr),*) => {
        match $cc {
            0 => $f::<0>($($arg),*),
            1 => $f::<1>($($arg),*),
            2 => $f::<2>($($arg),*),
            3 => $f::<3>($($arg),*),
            4 => $f::<4>($($arg),*),
            5 => $f::<5>($($arg),*),
            6 => $f::<6>($($arg),*),
            7 => $f::<7>($($arg),*),
            8 => $f::<8>($($arg),*),
            9 => $f::<9>($($arg),*),
            10 => $f::<10>($($arg),*),
            11 => $f::<11>($($arg),*),
            12 => $f::<12>($($arg),*),
            13 => $f::<13>($($arg),*),
            14 => $f::<14>($($arg),*),
            _ => $f::<15>($($arg),*),
        }
    };
}

/// The handler for `ins`, if it belongs to this module.
pub fn select(ins: &Instruction) -> Option<Handler> {
    use Mnemonic::*;
    match ins.mnemonic() {
        Cbw => Some(extend_a::<u16, u8>),
        Cwde => Some(extend_a::<u32, u16>),
        Cdqe => Some(extend_a::<u64, u32>),
        Cwd => Some(extend_d::<u16>),
        Cdq => Some(extend_d::<u32>),
        Cqo => Some(extend_d::<u64>),
        Seta | Setae | Setb | Setbe | Sete | Setg | Setge | Setl | Setle | Setne | Setno | Setnp | Setns
        | Seto | Setp | Sets => {
            let cc = number(ins.condition_code())?;
            by_condition!(cc, setcc, ins)
        }
        Cmova | Cmovae | Cmovb | Cmovbe | Cmove | Cmovg | Cmovge | Cmovl | Cmovle | Cmovne | Cmovno
        | Cmovnp | Cmovns | Cmovo | Cmovp | Cmovs => {
            let cc = number(ins.condition_code())?;
            by_condition!(cc, cmov, ins)
        }
        _ => None,
    }
}
