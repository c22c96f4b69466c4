//! Near branches, and how one block goes on to the next.
//!
//! A direct jump within the page goes straight to the next block once that is known: the
//! translation of the page cannot change without the block being left. A jump into another page
//! first compares the TLB's entry for fetches there with what it was linked for. An indirect one
//! looks its target up in a table, which is checked against the TLB in the same way.

use super::address::How;
use super::block::{Compiler, Pending};
use super::emit::{Rm, get, jcc, load_imm, store, wide};
use super::flags::reads;
use super::int::{Plan, STACK, simple_address};
use super::lazy::Recipe;
use super::links;
use super::mem::{ENTRY, OFFSET, TAG, table};
use super::regs;
use super::regs::host::{R14, RAX};
use super::steps::Step;
use dejavm_interp::mem::PAGE_SIZE;
use dejavm_interp::tlb::{Access, way};
use dejavm_interp::x86::Exec;
use dejavm_interp::x86::int::cond::number;
use dejavm_interp::x86::op::Op;
use dynasmrt::{DynamicLabel, DynasmApi, DynasmLabelApi, dynasm};
use iced_x86::{FlowControl, Instruction, Mnemonic, OpKind};

/// True when no instruction of the block follows: it went somewhere.
pub fn is_last(ins: &Instruction) -> bool {
    ins.flow_control() != FlowControl::Next
}

/// How a near branch is compiled, or `None`.
pub fn plan(ins: &Instruction, op: &Op, long: bool) -> Option<Plan> {
    let natural = if long { OpKind::NearBranch64 } else { OpKind::NearBranch32 };
    let direct = ins.op_count() > 0 && ins.op_kind(0) == natural && reachable(ins, long);
    let word = if long { 8 } else { 4 };
    let memory = ins.op_count() > 0 && ins.op_kind(0) == OpKind::Memory;
    let indirect = if memory {
        ins.memory_size().size() == word && simple_address(op, long)
    } else {
        ins.op_count() > 0 && ins.op_kind(0) == OpKind::Register && ins.op0_register().size() == word
    };
    let plan = |reads, exits| Some(Plan { reads, kills: 0, exits });
    match ins.mnemonic() {
        Mnemonic::Jmp if ins.is_jmp_short_or_near() && direct => plan(0, false),
        Mnemonic::Call if ins.is_call_near() && direct => plan(0, true),
        Mnemonic::Jmp if ins.is_jmp_near_indirect() && indirect => plan(0, true),
        Mnemonic::Call if ins.is_call_near_indirect() && indirect => plan(0, true),
        Mnemonic::Ret if ins.code().op_code().operand_size() as usize == word * 8 => plan(0, true),
        _ if ins.is_jcc_short_or_near() && direct => plan(reads(number(ins.condition_code())?), false),
        _ => None,
    }
}

/// True when the branch's target needs no check at run time.
fn reachable(ins: &Instruction, long: bool) -> bool {
    !long || Exec::canonical(ins.near_branch_target())
}

impl Compiler<'_> {
    /// Emits a branch that [`plan`] accepted.
    pub fn branch(&mut self, s: &Step) {
        let ins = &s.ins;
        match ins.mnemonic() {
            Mnemonic::Jmp if ins.is_jmp_short_or_near() => {
                let lazy = self.leave_flags(s);
                self.chain(ins.near_branch_target(), lazy);
            }
            Mnemonic::Call if ins.is_call_near() => {
                self.push_return(s.next);
                self.note_return(s);
                let lazy = self.leave_flags(s);
                self.chain(ins.near_branch_target(), lazy);
            }
            Mnemonic::Jmp => {
                self.target(s);
                self.look_up();
                dynasm!(self.asm ; .arch x64 ; jmp QWORD [rdx + links::CODE]);
            }
            Mnemonic::Call => {
                self.target(s);
                self.look_up();
                dynasm!(self.asm ; .arch x64 ; mov rax, [rdx + links::CODE] ; mov [rbp + regs::TEMP], rax);
                self.push_return(s.next);
                self.note_return(s);
                dynasm!(self.asm ; .arch x64 ; jmp QWORD [rbp + regs::TEMP]);
            }
            Mnemonic::Ret => {
                let word = self.word();
                let at = self.access(STACK, 0, word, Access::Read, How::ONCE);
                self.fetch(word, RAX, at);
                let by = i32::from(word) + s.op.imm as i32;
                if !self.target_made {
                    self.take_return(by);
                }
                self.look_up();
                self.move_stack(by);
                dynasm!(self.asm ; .arch x64 ; jmp QWORD [rdx + links::CODE]);
            }
            _ if ins.is_jcc_short_or_near() => self.conditional(s),
            _ => self.level(s),
        }
    }

    fn conditional(&mut self, s: &Step) {
        let Some(cc) = number(s.ins.condition_code()) else { return };
        let lazy = self.leave_flags(s);
        let cc = self.flags.condition(self.asm, cc);
        let target = s.ins.near_branch_target();
        if self.near(target) {
            let (stub, lazy_stub) = self.stub(lazy);
            jcc(self.asm, cc, lazy_stub.map_or(stub, |l| l.1));
            let end = self.asm.offset().0;
            self.pending.push(Pending { end, rip: target, stub, guard: None, lazy: lazy_stub });
            self.chain(s.next, lazy);
        } else {
            let taken = self.asm.new_dynamic_label();
            jcc(self.asm, cc, taken);
            self.chain(s.next, lazy);
            dynasm!(self.asm ; .arch x64 ; =>taken);
            self.chain(target, lazy);
        }
    }

    /// Labels for the stub of a jump to another block, and for where flags are saved before.
    fn stub(&mut self, lazy: Option<Recipe>) -> (DynamicLabel, Option<(Recipe, DynamicLabel)>) {
        (self.asm.new_dynamic_label(), lazy.map(|r| (r, self.asm.new_dynamic_label())))
    }

    /// RAX = the target of an indirect branch.
    fn target(&mut self, s: &Step) {
        let word = self.word();
        if s.ins.op_kind(0) == OpKind::Memory {
            let at = self.operand(&s.op, s.next, word, Access::Read, How::ONCE);
            self.fetch(word, RAX, at);
        } else {
            get(self.asm, word, RAX, s.op.r0);
        }
    }

    fn look_up(&mut self) {
        let slow = self.slow();
        let other = self.asm.new_dynamic_label();
        let back = self.asm.new_dynamic_label();
        self.cached = None;
        links::look_up(self.asm, slow, other);
        dynasm!(self.asm ; .arch x64 ; =>back);
        self.loads.push((other, back, slow, self.shared.renew));
    }

    /// Pushes the address that a call returns to. Nothing that may leave the block follows.
    fn push_return(&mut self, next: u64) {
        let word = self.word();
        let at = self.access(STACK, -i32::from(word), word, Access::Write, How::HELD);
        if word == 4 || i32::try_from(next as i64).is_ok() {
            wide(self.asm, word, &[0xc7], 0, at);
            self.asm.push_i32(next as i32);
        } else {
            load_imm(self.asm, RAX, next);
            store(self.asm, 8, at, RAX);
        }
        wide(self.asm, word, &[0x8d], R14, Rm::Mem(R14, -i32::from(word)));
    }

    /// True when `rip` lies in the page where the block starts.
    fn near(&self, rip: u64) -> bool {
        (rip ^ self.start) & !(PAGE_SIZE - 1) == 0
    }

    /// Goes to `other` unless the TLB has the page at `rip` for fetches, at this place. Clobbers RAX, RCX and EFLAGS.
    pub fn compare_page(&mut self, rip: u64, offset: u64, other: DynamicLabel) {
        let entry = table(Access::Fetch) + (way(rip, Access::Fetch) * ENTRY) as i32;
        dynasm!(self.asm ; .arch x64 ; mov rax, [rbp + regs::TLB]);
        load_imm(self.asm, super::regs::host::RCX, rip & !(PAGE_SIZE - 1));
        dynasm!(self.asm ; .arch x64 ; cmp [rax + entry + TAG], rcx ; jne =>other);
        load_imm(self.asm, super::regs::host::RCX, offset);
        dynasm!(self.asm ; .arch x64 ; cmp [rax + entry + OFFSET], rcx ; jne =>other);
    }

    /// Goes on at guest address `rip`. The flags are saved, or made again by `lazy`.
    pub fn chain(&mut self, rip: u64, lazy: Option<Recipe>) {
        let (stub, lazy) = self.stub(lazy);
        let first = lazy.map_or(stub, |l| l.1);
        if self.near(rip) {
            dynasm!(self.asm ; .arch x64 ; jmp =>first);
            let end = self.asm.offset().0;
            self.pending.push(Pending { end, rip, stub, guard: None, lazy });
            return;
        }
        let other = self.asm.new_dynamic_label();
        // Unlinked, this first jump goes to the stub; linked, it goes nowhere.
        dynasm!(self.asm ; .arch x64 ; jmp =>first);
        let skip = self.asm.offset().0 - 4;
        let entry = table(Access::Fetch) + (way(rip, Access::Fetch) * ENTRY) as i32;
        dynasm!(self.asm ; .arch x64 ; mov rax, [rbp + regs::TLB]);
        load_imm(self.asm, super::regs::host::RCX, rip & !(PAGE_SIZE - 1));
        dynasm!(self.asm
            ; .arch x64
            ; cmp [rax + entry + TAG], rcx
            ; jne =>other
            ; mov rcx, QWORD -1
        );
        let page = self.asm.offset().0 - 8;
        dynasm!(self.asm
            ; .arch x64
            ; cmp [rax + entry + OFFSET], rcx
            ; jne =>other
            ; jmp =>first
        );
        let end = self.asm.offset().0;
        self.pending.push(Pending { end, rip, stub, guard: Some((skip, page, other)), lazy });
    }
}
