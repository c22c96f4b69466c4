//! General-purpose instructions but for branches: each does what the handler of the same name in
//! `dejavm_interp::x86::int` does.

use super::address::{Base, How};
use super::alu::alu;
use super::block::Compiler;
use super::emit::{Rm, high, home};
use super::flags::flag::{AF, ALL, CF, OF, PF, SF, ZF};
use super::flags::reads;
use super::mov::{is_cmov, is_setcc, uses_high};
use super::shift::{bit_test, count, shift};
use super::stack::bytes_of_leave;
use super::steps::Step;
use dejavm_interp::tlb::Access;
use dejavm_interp::x86::int::cond::number;
use dejavm_interp::x86::int::mov::operand_bytes;
use dejavm_interp::x86::op::Op;
use dejavm_interp::x86::regs::seg;
use iced_x86::{Instruction, Mnemonic, OpKind};

/// What an instruction does to the flags, and whether it may leave the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Flags that it needs.
    pub reads: u8,
    /// Flags that it overwrites whatever happens.
    pub kills: u8,
    /// It may be handed to the interpreter.
    pub exits: bool,
}

/// The top of the stack, as a base of operands.
pub const STACK: Base = Base::register(4);

/// The register that the instruction moves by a constant, in full, and by how much.
pub fn moves(ins: &Instruction, op: &Op, word: u8) -> Option<(u8, i32)> {
    if ins.op_count() == 0 || ins.op_kind(0) != OpKind::Register || operand_bytes(ins, 0) != word.into() {
        return None;
    }
    let immediate =
        || if ins.op_kind(1) == OpKind::Register || has_memory(ins) { None } else { Some(op.imm as i32) };
    let by = match ins.mnemonic() {
        Mnemonic::Add => immediate()?,
        Mnemonic::Sub => immediate()?.checked_neg()?,
        Mnemonic::Inc => 1,
        Mnemonic::Dec => -1,
        _ => return None,
    };
    Some((op.r0, by))
}

/// True for SETcc and CMOVcc.
pub fn asks(ins: &Instruction) -> bool {
    is_setcc(ins) || is_cmov(ins)
}

/// True when an operand lies in memory.
pub(super) fn has_memory(ins: &Instruction) -> bool {
    (0..ins.op_count()).any(|i| ins.op_kind(i) == OpKind::Memory)
}

/// True when the memory operand's address is computed inline. Outside of 64-bit mode code segments
/// are not: they may not be readable.
pub fn simple_address(op: &Op, long: bool) -> bool {
    op.addrsize != 2 && (long || op.seg != seg::CS)
}

/// How `ins` is compiled, or `None` when it is handed to the interpreter.
pub fn plan(ins: &Instruction, op: &Op, long: bool) -> Option<Plan> {
    use Mnemonic::*;
    let memory = has_memory(ins);
    if memory && !simple_address(op, long) && ins.mnemonic() != Nop {
        return None;
    }
    let gpr = |i: u32| ins.op_kind(i) != OpKind::Register || ins.op_register(i).is_gpr();
    if !(0..ins.op_count()).all(gpr) {
        return None;
    }
    let plan = |reads, kills| Some(Plan { reads, kills, exits: memory });
    let bytes = operand_bytes(ins, 0);
    let m = ins.mnemonic();
    if let Some(k) = alu(m) {
        return plan(if matches!(k, 2 | 3) { CF } else { 0 }, ALL);
    }
    if let Some(k) = shift(m) {
        if uses_high(ins) {
            return None;
        }
        if ins.op_kind(1) == OpKind::Register {
            return plan(0, 0);
        }
        if count(ins, op) == 0 {
            return None;
        }
        return plan(0, if k < 4 { CF | OF } else { ALL });
    }
    if bit_test(m).is_some() {
        // A register's bit offset reaches beyond a memory operand.
        return if memory && ins.op_kind(1) == OpKind::Register { None } else { plan(0, CF) };
    }
    match m {
        Mov => plan(0, 0),
        Movzx | Movsx | Movsxd => plan(0, 0),
        Lea if bytes >= 4 && op.addrsize >= 4 => Some(Plan { reads: 0, kills: 0, exits: false }),
        Xchg if !uses_high(ins) => plan(0, 0),
        Bswap if bytes >= 4 => plan(0, 0),
        Inc | Dec => plan(0, ALL & !CF),
        Neg => plan(0, ALL),
        Not => plan(0, 0),
        Imul if ins.op_count() > 1 => plan(0, CF | OF),
        Imul | Mul if bytes >= 4 => plan(0, CF | OF),
        Div if bytes >= 4 => Some(Plan { reads: 0, kills: AF | ZF | SF | PF, exits: true }),
        Bsf | Bsr if bytes >= 4 => plan(0, ALL),
        Popcnt if bytes >= 4 && std::is_x86_feature_detected!("popcnt") => plan(0, ALL),
        Cbw | Cwde | Cdqe | Cwd | Cdq | Cqo => plan(0, 0),
        Clc | Stc => plan(0, CF),
        Cmc => plan(CF, CF),
        Xadd if !uses_high(ins) => plan(0, ALL),
        Cmpxchg if !uses_high(ins) => plan(0, ALL),
        Push | Pop | Leave => {
            // The stack's width and the operand's are the mode's.
            let size = ins.stack_pointer_increment().unsigned_abs();
            let natural = m == Leave && bytes_of_leave(ins) == if long { 8 } else { 4 }
                || size == if long { 8 } else { 4 };
            let simple = m != Pop || !memory;
            (natural && simple).then_some(Plan { reads: 0, kills: 0, exits: true })
        }
        Nop | Reservednop | Endbr32 | Endbr64 | Prefetchnta | Prefetcht0 | Prefetcht1 | Prefetcht2
        | Prefetch | Prefetchw | Lfence | Mfence | Sfence => Some(Plan { reads: 0, kills: 0, exits: false }),
        _ if is_setcc(ins) || is_cmov(ins) => plan(reads(number(ins.condition_code())?), 0),
        _ => None,
    }
}

/// How an operand is wanted while another one is taken out of a general register.
pub(super) fn beside(guest: u8) -> How {
    How { once: !high(guest) && matches!(home(guest), Rm::Reg(_)), aligned: false }
}

impl Compiler<'_> {
    /// Emits an instruction that [`plan`] accepted.
    pub fn integer(&mut self, s: &Step) {
        use Mnemonic::*;
        let ins = &s.ins;
        let m = ins.mnemonic();
        let size = operand_bytes(ins, 0) as u8;
        if let Some(k) = alu(m) {
            return self.alu(s, k, size);
        }
        if let Some(k) = shift(m) {
            return self.shift(s, k, size);
        }
        if let Some(k) = bit_test(m) {
            return self.bit_test(s, k, size);
        }
        match m {
            Mov => self.mov(s, size),
            Movzx => self.movx(s, size, false),
            Movsx | Movsxd => self.movx(s, size, true),
            Lea => self.lea(s, size),
            Xchg => self.xchg(s, size),
            Bswap => self.bswap(s, size),
            Inc => self.unary(s, size, 0xfe, 0),
            Dec => self.unary(s, size, 0xfe, 1),
            Not => self.unary(s, size, 0xf6, 2),
            Neg => self.unary(s, size, 0xf6, 3),
            Imul if ins.op_count() > 1 => self.imul(s, size),
            Mul => self.multiply(s, size, 4),
            Imul => self.multiply(s, size, 5),
            Div => self.div(s, size),
            Bsf => self.scan(s, size, 0xbc),
            Bsr => self.scan(s, size, 0xbd),
            Popcnt => self.popcnt(s, size),
            Cbw | Cwde | Cdqe => self.extend_a(m),
            Cwd | Cdq | Cqo => self.extend_d(m),
            Clc | Stc | Cmc => self.carry(m),
            Xadd => self.xadd(s, size),
            Cmpxchg => self.cmpxchg(s, size),
            Push => self.push(s),
            Pop => self.pop(s),
            Leave => self.leave(),
            _ if is_setcc(ins) => self.setcc(s),
            _ if is_cmov(ins) => self.cmov(s, size),
            // No operation: hints and fences.
            _ => {}
        }
    }

    pub(super) fn memory(&self, s: &Step, i: u32) -> bool {
        s.ins.op_kind(i) == OpKind::Memory
    }

    pub(super) fn mem(&mut self, s: &Step, size: u8, access: Access, how: How) -> Rm {
        self.operand(&s.op, s.next, size, access, how)
    }
}
