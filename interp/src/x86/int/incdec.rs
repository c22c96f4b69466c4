//! INC, DEC, NEG, NOT.

use crate::by_width;
use crate::x86::exec::{Exec, Flow};
use crate::x86::int::alu::{apply, kind};
use crate::x86::int::mov::operand_bytes;
use crate::x86::op::{Handler, Op};
use crate::x86::trap::Trap;
use crate::x86::word::Word;
use iced_x86::{Instruction, Mnemonic, OpKind};

type Done = Result<Flow, Trap>;

fn inc<T: Word>(ex: &mut Exec<'_>, a: T) -> T {
    let cf = ex.cpu.flags.cf();
    let r = apply::<T, { kind::ADD }>(ex, a, T::from_u64(1));
    ex.cpu.flags.set_cf(cf);
    r
}

fn dec<T: Word>(ex: &mut Exec<'_>, a: T) -> T {
    let cf = ex.cpu.flags.cf();
    let r = apply::<T, { kind::SUB }>(ex, a, T::from_u64(1));
    ex.cpu.flags.set_cf(cf);
    r
}

fn neg<T: Word>(ex: &mut Exec<'_>, a: T) -> T {
    apply::<T, { kind::SUB }>(ex, T::from_u64(0), a)
}

fn not<T: Word>(_: &mut Exec<'_>, a: T) -> T {
    T::from_u64(!a.to_u64())
}

macro_rules! handlers {
    ($f:ident, $reg:ident, $mem:ident) => {
        fn $reg<T: Word>(ex: &mut Exec<'_>, op: &Op) -> Done {
            let a = ex.get::<T>(op.r0);
            let r = $f(ex, a);
            ex.set(op.r0, r);
            Ok(Flow::Next)
        }

        fn $mem<T: Word>(ex: &mut Exec<'_>, op: &Op) -> Done {
            ex.modify::<T>(op, |ex, a| $f(ex, a))?;
            Ok(Flow::Next)
        }
    };
}
handlers!(inc, inc_r, inc_m);
handlers!(dec, dec_r, dec_m);
handlers!(neg, neg_r, neg_m);
handlers!(not, not_r, not_m);

/// The handler for `ins`, if it belongs to this module.
pub fn select(ins: &Instruction) -> Option<Handler> {
    let bytes = || operand_bytes(ins, 0);
    let reg = ins.op_count() > 0 && ins.op_kind(0) == OpKind::Register;
    match (ins.mnemonic(), reg) {
        (Mnemonic::Inc, true) => by_width!(bytes(), inc_r),
        (Mnemonic::Inc, false) => by_width!(bytes(), inc_m),
        (Mnemonic::Dec, true) => by_width!(bytes(), dec_r),
        (Mnemonic::Dec, false) => by_width!(bytes(), dec_m),
        (Mnemonic::Neg, true) => by_width!(bytes(), neg_r),
        (Mnemonic::Neg, false) => by_width!(bytes(), neg_m),
        (Mnemonic::Not, true) => by_width!(bytes(), not_r),
        (Mnemonic::Not, false) => by_width!(bytes(), not_m),
        _ => None,
    }
}
