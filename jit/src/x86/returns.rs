//! The stack of returns: where CALLs noted lately go on.
//!
//! A compiled CALL calls, and a compiled RET returns, so that the host's own prediction of returns works for the guest's.
//! Beside the host's return address lie the guest's and the TLB's stamp. A RET to another address, or after the
//! translation may have changed, looks its target up as any indirect branch does, and takes the entry off
//! all the same: whatever does not return (a switch of stacks) goes down in time. Behind the host's return
//! address is a jump like all between blocks, linked and unlinked by the engine.
//!
//! Retpolines use CALL and RET as an indirect jump: both are known by what is around them ([`is_thunk`],
//! [`makes_target`]), and leave the stack alone.
//!
//! The stack begins where compiled code was entered, with an entry that no RET fits. It is emptied when compiled code
//! is left, when the mode may have changed, and when it is full. While nothing is cached in the TLB, a stamp means
//! nothing, and it counts as full.

use super::block::Compiler;
use super::emit::load_imm;
use super::regs;
use super::regs::host::RAX;
use super::steps::Step;
use dejavm_interp::x86::Exec;
use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};
use iced_x86::{Mnemonic, OpKind, Register};

/// Bytes of an entry: host address, guest address, stamp, and eight that keep the host's stack aligned.
const ENTRY: i32 = 32;
const RIP: i32 = 8;
/// Offset of the stamp in an entry. That of the first entry is 0, which no TLB has.
pub const STAMP: i32 = 16;
/// What the first entry takes of the host's stack, and what aligns it.
pub const BOTTOM: i32 = ENTRY + 8;
/// Most bytes that the stack takes.
pub const BYTES: u64 = 1024 * ENTRY as u64;

/// True for a CALL over no more than the loop that catches speculation, or over nothing.
fn is_thunk(s: &Step) -> bool {
    s.ins.is_call_near() && s.ins.near_branch_target().wrapping_sub(s.next) < 16
}

/// True for an instruction that makes the address which the RET behind it goes to: it writes where RSP points.
pub fn makes_target(s: &Step) -> bool {
    let stack = s.ins.memory_base().full_register() == Register::RSP && s.ins.memory_displacement64() == 0;
    s.ins.mnemonic() == Mnemonic::Push
        || s.ins.mnemonic() == Mnemonic::Mov && s.ins.op0_kind() == OpKind::Memory && stack
}

impl Compiler<'_> {
    /// Notes where a CALL, which goes on with the code that follows, returns to. Clobbers RAX and EFLAGS.
    pub fn note_return(&mut self, s: &Step) {
        let next = s.next;
        let faults = if self.long { !Exec::canonical(next) } else { u32::try_from(next).is_err() };
        if faults || is_thunk(s) {
            return;
        }
        self.flags.host = 0;
        let (full, over) = (self.asm.new_dynamic_label(), self.asm.new_dynamic_label());
        dynasm!(self.asm
            ; .arch x64
            ; cmp rsp, [rbp + regs::LIMIT]
            ; jb =>full
            ; lea rsp, [rsp - 8]
            ; push QWORD [rbp + regs::STAMP]
        );
        if let Ok(next) = i32::try_from(next as i64) {
            dynasm!(self.asm ; .arch x64 ; push next);
        } else {
            load_imm(self.asm, RAX, next);
            dynasm!(self.asm ; .arch x64 ; push rax);
        }
        dynasm!(self.asm ; .arch x64 ; call =>over);
        self.chain(next, None);
        dynasm!(self.asm ; .arch x64 ; =>over);
        self.full.push((full, over));
    }

    /// Emits what goes on where the stack of returns is full.
    pub fn finish_full(&mut self) {
        for (label, over) in std::mem::take(&mut self.full) {
            dynasm!(self.asm ; .arch x64 ; =>label ; mov rsp, [rbp + regs::STACK] ; jmp =>over);
        }
    }

    /// Returns to the guest address RAX if that is the one noted last, and RSP grows by `by` then. Else what follows
    /// is run. Clobbers RCX and EFLAGS.
    pub fn take_return(&mut self, by: i32) {
        self.flags.host = 0;
        let (other, empty) = (self.asm.new_dynamic_label(), self.asm.new_dynamic_label());
        dynasm!(self.asm
            ; .arch x64
            ; cmp rax, [rsp + RIP]
            ; jne =>other
            ; mov rcx, [rbp + regs::STAMP]
            ; cmp rcx, [rsp + STAMP]
            ; jne =>other
        );
        let cached = self.cached;
        self.move_stack(by);
        self.cached = cached;
        dynasm!(self.asm
            ; .arch x64
            ; ret (ENTRY - 8) as i16
            ; =>other
            ; cmp rsp, [rbp + regs::STACK]
            ; jae =>empty
            // Taken off by a RET, or the host's prediction would be wrong from now on.
            ; lea rcx, [=>empty]
            ; mov [rsp], rcx
            ; ret (ENTRY - 8) as i16
            ; =>empty
        );
    }
}
