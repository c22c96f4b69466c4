//! Multiplication, division and shifts by a register.

use super::block::{Compiler, Step};
use super::emit::{Rm, extend, get, group1, home, load, load_imm, operand, put, sized, source, target, wide};
use super::int::{ADD, CMP, ROR, SUB, Second};
use super::regs::ZERO;
use super::regs::host::{RAX, RCX, RDX};
use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};

impl Compiler<'_> {
    pub(super) fn three_source(&mut self, s: &Step, size: u8) {
        let op = &s.op;
        self.flags.clobber(self.asm, s.live);
        let subtract = op.bits(15, 15) != 0;
        match op.bits(23, 21) {
            0 => {
                get(self.asm, size, RCX, op.rn);
                let rm = operand(self.asm, op.rm, RAX);
                wide(self.asm, size, &[0x0f, 0xaf], RCX, rm);
            }
            1 | 5 => {
                let signed = op.bits(23, 23) == 0;
                for (reg, guest) in [(RCX, op.rn), (RAX, op.rm)] {
                    if guest == ZERO {
                        load_imm(self.asm, reg, 0);
                    } else {
                        extend(self.asm, signed, 8, 4, reg, home(guest));
                    }
                }
                wide(self.asm, 8, &[0x0f, 0xaf], RCX, Rm::Reg(RAX));
            }
            high => {
                get(self.asm, 8, RAX, op.rn);
                let rm = operand(self.asm, op.rm, RCX);
                wide(self.asm, 8, &[0xf7], if high == 2 { 5 } else { 4 }, rm);
                put(self.asm, op.rd, RDX);
                return;
            }
        }
        if op.ra == ZERO && !subtract {
            put(self.asm, op.rd, RCX);
            return;
        }
        self.binary(if subtract { SUB } else { ADD }, size, op.rd, op.ra, Second::Rm(Rm::Reg(RCX)));
    }

    pub(super) fn two_source(&mut self, s: &Step, size: u8) {
        let op = &s.op;
        match op.bits(15, 10) {
            2 | 3 => self.divide(s, size, op.bits(10, 10) != 0),
            11 => {
                self.flags.clobber(self.asm, s.live);
                get(self.asm, 4, RCX, op.rm);
                get(self.asm, size, RAX, op.rn);
                sized(self.asm, size, &[0xd2], ROR, Rm::Reg(RAX));
                if size == 4 {
                    load(self.asm, 4, RAX, Rm::Reg(RAX));
                }
                put(self.asm, op.rd, RAX);
            }
            kind => {
                // SHLX, SHRX, SARX: EFLAGS stay.
                let by = source(self.asm, 4, op.rm, RCX);
                let r = source(self.asm, size, op.rn, RAX);
                let d = target(op.rd, RAX);
                match (kind, size) {
                    (8, 8) => dynasm!(self.asm ; .arch x64 ; shlx Rq(d), Rq(r), Rq(by)),
                    (8, _) => dynasm!(self.asm ; .arch x64 ; shlx Rd(d), Rd(r), Rd(by)),
                    (9, 8) => dynasm!(self.asm ; .arch x64 ; shrx Rq(d), Rq(r), Rq(by)),
                    (9, _) => dynasm!(self.asm ; .arch x64 ; shrx Rd(d), Rd(r), Rd(by)),
                    (_, 8) => dynasm!(self.asm ; .arch x64 ; sarx Rq(d), Rq(r), Rq(by)),
                    _ => dynasm!(self.asm ; .arch x64 ; sarx Rd(d), Rd(r), Rd(by)),
                }
                put(self.asm, op.rd, d);
            }
        }
    }

    /// UDIV and SDIV: by zero is zero, and the most negative number by -1 itself.
    fn divide(&mut self, s: &Step, size: u8, signed: bool) {
        let op = &s.op;
        self.flags.clobber(self.asm, s.live);
        get(self.asm, size, RCX, op.rm);
        let (zero, end) = (self.asm.new_dynamic_label(), self.asm.new_dynamic_label());
        load_imm(self.asm, RAX, 0);
        sized(self.asm, size, &[0x84], RCX, Rm::Reg(RCX));
        dynasm!(self.asm ; .arch x64 ; jz =>zero);
        get(self.asm, size, RAX, op.rn);
        if signed {
            let divide = self.asm.new_dynamic_label();
            group1(self.asm, size, CMP, Rm::Reg(RCX), -1);
            dynasm!(self.asm ; .arch x64 ; jne =>divide);
            sized(self.asm, size, &[0xf6], 3, Rm::Reg(RAX));
            dynasm!(self.asm ; .arch x64 ; jmp =>end ; =>divide);
            if size == 8 {
                dynasm!(self.asm ; .arch x64 ; cqo ; idiv rcx);
            } else {
                dynasm!(self.asm ; .arch x64 ; cdq ; idiv ecx);
            }
        } else if size == 8 {
            dynasm!(self.asm ; .arch x64 ; xor edx, edx ; div rcx);
        } else {
            dynasm!(self.asm ; .arch x64 ; xor edx, edx ; div ecx);
        }
        dynasm!(self.asm ; .arch x64 ; =>end ; =>zero);
        put(self.asm, op.rd, RAX);
    }
}
