//! PUSH, POP, LEAVE.

use super::address::{Base, How};
use super::block::Compiler;
use super::emit::{Rm, store, wide};
use super::int::STACK;
use super::regs;
use super::regs::host::{R12, R14, RAX};
use super::steps::Step;
use dejavm_interp::tlb::Access;
use dejavm_interp::x86::regs::gpr;
use dynasmrt::{DynasmApi, dynasm};
use iced_x86::{Instruction, OpKind};

pub(super) fn bytes_of_leave(ins: &Instruction) -> u32 {
    match ins.code() {
        iced_x86::Code::Leaveq => 8,
        iced_x86::Code::Leaved => 4,
        _ => 2,
    }
}

impl Compiler<'_> {
    /// Bytes of a stack slot.
    pub fn word(&self) -> u8 {
        if self.long { 8 } else { 4 }
    }

    /// RSP += `by`. Flags stay.
    pub fn move_stack(&mut self, by: i32) {
        wide(self.asm, self.word(), &[0x8d], R14, Rm::Mem(R14, by));
        if let Some(c) = &mut self.cached {
            c.stack_moved(by);
        }
    }

    pub(super) fn push(&mut self, s: &Step) {
        let word = self.word();
        let w = i32::from(word);
        if self.memory(s, 0) {
            let at = self.mem(s, word, Access::Read, How::ONCE);
            self.fetch(word, RAX, at);
            dynasm!(self.asm ; .arch x64 ; mov [rbp + regs::TEMP], rax);
        }
        let at = self.access(STACK, -w, word, Access::Write, How::HELD);
        match s.ins.op_kind(0) {
            OpKind::Memory => {
                dynasm!(self.asm ; .arch x64 ; mov rax, [rbp + regs::TEMP]);
                store(self.asm, word, at, RAX);
            }
            OpKind::Register => {
                let r = self.source(word, s.op.r0);
                store(self.asm, word, at, r);
            }
            _ => {
                wide(self.asm, word, &[0xc7], 0, at);
                self.asm.push_i32(s.op.imm as i32);
            }
        }
        self.move_stack(-w);
    }

    pub(super) fn pop(&mut self, s: &Step) {
        let word = self.word();
        let at = self.access(STACK, 0, word, Access::Read, How::ONCE);
        self.fetch_to(word, s.op.r0, at);
        if s.op.r0 != gpr::RSP {
            self.move_stack(i32::from(word));
        }
    }

    pub(super) fn leave(&mut self) {
        let word = self.word();
        let at = self.access(Base::register(5), 0, word, Access::Read, How::ONCE);
        wide(self.asm, word, &[0x8d], R14, Rm::Mem(R12, i32::from(word)));
        self.fetch(word, R12, at);
    }
}
