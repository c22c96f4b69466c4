//! Branches, and how one block goes on to the next.
//!
//! A direct jump within the page goes straight to the next block once that is known: the
//! translation of the page cannot change without the block being left. A jump into another page
//! first compares the TLB's entry for fetches there with what it was linked for. An indirect one
//! looks its target up in a table, which is checked against the TLB in the same way.

use super::block::{Compiler, Pending, Plan, Step};
use super::emit::{Rm, get, group1, home, jcc, load_imm, sized, source};
use super::regs;
use super::regs::ZERO;
use super::regs::host::{RAX, RCX};
use crate::hit::{ENTRY, OFFSET, TAG, table};
use crate::links;
use dejavm_interp::aarch64::op::Op;
use dejavm_interp::mem::PAGE_SIZE;
use dejavm_interp::tlb::{Access, way};
use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};

/// The bit that tells BLR from BR and RET.
fn links(op: &Op) -> bool {
    op.bits(22, 21) == 1
}

/// How a branch is compiled, or `None`. The word is allocated.
pub fn plan(op: &Op) -> Option<Plan> {
    let plan = |reads, exits| Some(Plan { reads, kills: false, exits });
    match op.bits(31, 25) {
        // B.cond
        0b0101010 => plan(op.bits(3, 0) < 14, false),
        // CBZ, CBNZ, TBZ, TBNZ
        0b0011010 | 0b1011010 | 0b0011011 | 0b1011011 => plan(false, false),
        // BR, BLR, RET
        0b1101011 if op.bits(24, 23) == 0 => plan(false, true),
        // B, BL
        _ if op.bits(30, 26) == 0b00101 => plan(false, false),
        _ => None,
    }
}

impl Compiler<'_> {
    /// Emits a branch that [`plan`] accepted.
    pub fn branch(&mut self, s: &Step) {
        let op = &s.op;
        self.flags.save(self.asm);
        let target = s.pc.wrapping_add(op.imm);
        let next = s.pc.wrapping_add(4);
        match op.bits(31, 25) {
            0b0101010 => {
                let cond = op.bits(3, 0) as u8;
                if cond >= 14 {
                    return self.chain(target);
                }
                let cc = self.flags.condition(self.asm, cond);
                self.conditional(cc, target, next);
            }
            0b0011010 | 0b1011010 => {
                let size = if op.bits(31, 31) != 0 { 8 } else { 4 };
                let not = op.bits(24, 24) != 0;
                if op.rd == ZERO {
                    return self.chain(if not { next } else { target });
                }
                match home(op.rd) {
                    Rm::Reg(r) => sized(self.asm, size, &[0x84], r, Rm::Reg(r)),
                    m => group1(self.asm, size, 7, m, 0),
                }
                self.conditional(if not { 5 } else { 4 }, target, next);
            }
            0b0011011 | 0b1011011 => {
                let not = op.bits(24, 24) != 0;
                let bit = (op.bits(31, 31) << 5 | op.bits(23, 19)) as u8;
                if op.rd == ZERO {
                    return self.chain(if not { next } else { target });
                }
                let r = source(self.asm, 8, op.rd, RAX);
                if bit < 31 {
                    sized(self.asm, 4, &[0xf6], 0, Rm::Reg(r));
                    self.asm.push_i32(1 << bit);
                    self.conditional(if not { 5 } else { 4 }, target, next);
                } else {
                    dynasm!(self.asm ; .arch x64 ; bt Rq(r), bit as i8);
                    self.conditional(if not { 2 } else { 3 }, target, next);
                }
            }
            0b1101011 => {
                get(self.asm, 8, RAX, op.rn);
                let slow = self.slow();
                let (other, back) = (self.asm.new_dynamic_label(), self.asm.new_dynamic_label());
                links::look_up_stamped(self.asm, regs::JUMPS, regs::STAMP, super::ALIGN, slow, other);
                dynasm!(self.asm ; .arch x64 ; =>back);
                self.loads.push((other, back, slow, self.shared.renew));
                if links(op) {
                    self.link(next);
                }
                dynasm!(self.asm ; .arch x64 ; jmp QWORD [rdx + links::CODE]);
            }
            _ => {
                if op.bits(31, 31) != 0 {
                    self.link(next);
                }
                self.chain(target);
            }
        }
    }

    /// X30 = the address after a branch with link. RDX stays.
    fn link(&mut self, next: u64) {
        self.constant(30, next);
    }

    fn conditional(&mut self, cc: u8, target: u64, next: u64) {
        if self.near(target) {
            let stub = self.asm.new_dynamic_label();
            jcc(self.asm, cc, stub);
            let end = self.asm.offset().0;
            self.pending.push(Pending { end, pc: target, stub, guard: None });
            self.chain(next);
        } else {
            let taken = self.asm.new_dynamic_label();
            jcc(self.asm, cc, taken);
            self.chain(next);
            dynasm!(self.asm ; .arch x64 ; =>taken);
            self.chain(target);
        }
    }

    /// True when `pc` lies in the page where the block starts.
    fn near(&self, pc: u64) -> bool {
        (pc ^ self.start) & !(PAGE_SIZE - 1) == 0
    }

    /// Goes on at guest address `pc`. The flags are saved.
    pub fn chain(&mut self, pc: u64) {
        let stub = self.asm.new_dynamic_label();
        if self.near(pc) {
            dynasm!(self.asm ; .arch x64 ; jmp =>stub);
            let end = self.asm.offset().0;
            self.pending.push(Pending { end, pc, stub, guard: None });
            return;
        }
        let other = self.asm.new_dynamic_label();
        // Unlinked, this first jump goes to the stub; linked, it goes nowhere.
        dynasm!(self.asm ; .arch x64 ; jmp =>stub);
        let skip = self.asm.offset().0 - 4;
        let way = way(pc, Access::Fetch);
        let entry = table(Access::Fetch) + (way * ENTRY) as i32;
        dynasm!(self.asm ; .arch x64 ; mov rax, [rbp + regs::TLB]);
        load_imm(self.asm, RCX, pc & !(PAGE_SIZE - 1));
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
            ; jmp =>stub
        );
        let end = self.asm.offset().0;
        self.pending.push(Pending { end, pc, stub, guard: Some((skip, page, other)) });
    }
}
