//! ADD, OR, ADC, SBB, AND, SUB, XOR, CMP, TEST (SDM volume 2, chapters 3 and 4).

use crate::x86::exec::{Exec, Flow};
use crate::x86::int::mov::operand_bytes;
use crate::x86::op::{Handler, Op};
use crate::x86::trap::Trap;
use crate::x86::word::Word;
use iced_x86::{Instruction, Mnemonic, OpKind};

type Done = Result<Flow, Trap>;

/// The operations, by the number that the opcode's bits 5:3 hold.
pub mod kind {
    #![allow(missing_docs, reason = "the names are the manual's")]
    pub const ADD: u8 = 0;
    pub const OR: u8 = 1;
    pub const ADC: u8 = 2;
    pub const SBB: u8 = 3;
    pub const AND: u8 = 4;
    pub const SUB: u8 = 5;
    pub const XOR: u8 = 6;
    pub const CMP: u8 = 7;
    pub const TEST: u8 = 8;
}

/// Applies operation `K` to `a` and `b` and sets the flags.
///
/// Undefined: AF after AND, OR, XOR and TEST is cleared.
#[inline(always)]
pub fn apply<T: Word, const K: u8>(ex: &mut Exec<'_>, a: T, b: T) -> T {
    let flags = &mut ex.cpu.flags;
    let (x, y) = (a.to_u64(), b.to_u64());
    match K {
        kind::ADD | kind::ADC => {
            let carry = if K == kind::ADC { u64::from(flags.cf()) } else { 0 };
            let r = x.wrapping_add(y).wrapping_add(carry);
            let carries = (x & y) | ((x | y) & !r);
            let r = T::from_u64(r);
            flags.set_arith(r.to_i64() as u64, carries, T::BITS);
            r
        }
        kind::SUB | kind::SBB | kind::CMP => {
            let borrow = if K == kind::SBB { u64::from(flags.cf()) } else { 0 };
            let r = x.wrapping_sub(y).wrapping_sub(borrow);
            let borrows = (!x & y) | ((!x | y) & r);
            let r = T::from_u64(r);
            flags.set_arith(r.to_i64() as u64, borrows, T::BITS);
            r
        }
        _ => {
            let r = T::from_u64(match K {
                kind::OR => x | y,
                kind::XOR => x ^ y,
                _ => x & y,
            });
            flags.set_logic(r.to_i64() as u64);
            r
        }
    }
}

/// True for the operations that only set flags.
const fn compares(k: u8) -> bool {
    matches!(k, kind::CMP | kind::TEST)
}

fn rr<T: Word, const K: u8>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let (a, b) = (ex.get::<T>(op.r0), ex.get::<T>(op.r1));
    let r = apply::<T, K>(ex, a, b);
    if !compares(K) {
        ex.set(op.r0, r);
    }
    Ok(Flow::Next)
}

fn ri<T: Word, const K: u8>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let a = ex.get::<T>(op.r0);
    let r = apply::<T, K>(ex, a, T::from_u64(op.imm));
    if !compares(K) {
        ex.set(op.r0, r);
    }
    Ok(Flow::Next)
}

fn rm<T: Word, const K: u8>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let b = ex.load::<T>(op)?;
    let a = ex.get::<T>(op.r0);
    let r = apply::<T, K>(ex, a, b);
    if !compares(K) {
        ex.set(op.r0, r);
    }
    Ok(Flow::Next)
}

fn mr<T: Word, const K: u8>(ex: &mut Exec<'_>, op: &Op) -> Done {
    if compares(K) {
        let a = ex.load::<T>(op)?;
        let b = ex.get::<T>(op.r1);
        apply::<T, K>(ex, a, b);
    } else {
        ex.modify::<T>(op, |ex, a| {
            let b = ex.get::<T>(op.r1);
            apply::<T, K>(ex, a, b)
        })?;
    }
    Ok(Flow::Next)
}

fn mi<T: Word, const K: u8>(ex: &mut Exec<'_>, op: &Op) -> Done {
    if compares(K) {
        let a = ex.load::<T>(op)?;
        apply::<T, K>(ex, a, T::from_u64(op.imm));
    } else {
        ex.modify::<T>(op, |ex, a| apply::<T, K>(ex, a, T::from_u64(op.imm)))?;
    }
    Ok(Flow::Next)
}

fn shape<T: Word, const K: u8>(ins: &Instruction) -> Option<Handler> {
    use OpKind::{Memory, Register};
    Some(match (ins.op_kind(0), ins.op_kind(1)) {
        (Register, Register) => rr::<T, K>,
        (Register, Memory) => rm::<T, K>,
        (Memory, Register) => mr::<T, K>,
        (Register, _) => ri::<T, K>,
        (Memory, _) => mi::<T, K>,
        _ => return None,
    })
}

fn width<const K: u8>(ins: &Instruction) -> Option<Handler> {
    match operand_bytes(ins, 0) {
        1 => shape::<u8, K>(ins),
        2 => shape::<u16, K>(ins),
        4 => shape::<u32, K>(ins),
        8 => shape::<u64, K>(ins),
        _ => None,
    }
}

/// The handler for `ins`, if it belongs to this module.
pub fn select(ins: &Instruction) -> Option<Handler> {
    match ins.mnemonic() {
        Mnemonic::Add => width::<{ kind::ADD }>(ins),
        Mnemonic::Or => width::<{ kind::OR }>(ins),
        Mnemonic::Adc => width::<{ kind::ADC }>(ins),
        Mnemonic::Sbb => width::<{ kind::SBB }>(ins),
        Mnemonic::And => width::<{ kind::AND }>(ins),
        Mnemonic::Sub => width::<{ kind::SUB }>(ins),
        Mnemonic::Xor => width::<{ kind::XOR }>(ins),
        Mnemonic::Cmp => width::<{ kind::CMP }>(ins),
        Mnemonic::Test => width::<{ kind::TEST }>(ins),
        _ => None,
    }
}
