//! Multiplication, division, and what scans and counts bits.

use super::address::How;
use super::block::Compiler;
use super::emit::{Rm, get, home, load, push_imm, put, sized, wide};
use super::flags::flag::{ALL, CF, OF};
use super::flags::{Kind, State};
use super::regs;
use super::regs::host::{R10, R13, RAX, RCX, RDX};
use super::steps::Step;
use dejavm_interp::tlb::Access;
use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};

impl Compiler<'_> {
    /// The source operand of an instruction `r, r/m`.
    pub(super) fn rm_source(&mut self, s: &Step, size: u8, how: How) -> Rm {
        if self.memory(s, 1) { self.mem(s, size, Access::Read, how) } else { home(s.op.r1) }
    }

    pub(super) fn imul(&mut self, s: &Step, size: u8) {
        if s.live & !(CF | OF) != 0 {
            self.flags.save(self.asm);
        }
        let rm = self.rm_source(s, size, How::ONCE);
        let d = match home(s.op.r0) {
            Rm::Reg(r) => r,
            _ => {
                self.cached = None;
                RDX
            }
        };
        if s.ins.op_count() == 3 {
            // The product replaces all of the destination, of a word its lower part.
            let imm = s.op.imm as i32;
            wide(self.asm, size, &[0x69], d, rm);
            push_imm(self.asm, size, imm);
        } else if d == RDX {
            let rm = if rm.counts_from(RDX) {
                load(self.asm, size, RCX, rm);
                Rm::Reg(RCX)
            } else {
                rm
            };
            get(self.asm, size, RDX, s.op.r0);
            wide(self.asm, size, &[0x0f, 0xaf], d, rm);
        } else {
            wide(self.asm, size, &[0x0f, 0xaf], d, rm);
        }
        if d == RDX {
            put(self.asm, size, s.op.r0, RDX);
        }
        self.flags.wrote_carry_overflow(self.asm, s.live);
    }

    /// MUL (4) and IMUL (5) with one operand.
    pub(super) fn multiply(&mut self, s: &Step, size: u8, number: u8) {
        if s.live & !(CF | OF) != 0 {
            self.flags.save(self.asm);
        }
        let rm = if self.memory(s, 0) { self.mem(s, size, Access::Read, How::HELD) } else { home(s.op.r0) };
        self.cached = None;
        get(self.asm, size, RAX, 0);
        wide(self.asm, size, &[0xf7], number, rm);
        put(self.asm, size, 0, RAX);
        put(self.asm, size, 2, RDX);
        self.flags.wrote_carry_overflow(self.asm, s.live);
    }

    pub(super) fn div(&mut self, s: &Step, size: u8) {
        // CF and OF stay: the others are known.
        let rm = if self.memory(s, 0) {
            let at = self.mem(s, size, Access::Read, How::ONCE);
            load(self.asm, size, RCX, at);
            Rm::Reg(RCX)
        } else {
            get(self.asm, size, RCX, s.op.r0);
            Rm::Reg(RCX)
        };
        let slow = self.slow();
        self.cached = None;
        // #DE unless the upper half is below the divisor, which a divisor of zero never is.
        load(self.asm, size, RDX, Rm::Reg(R13));
        sized(self.asm, size, &[0x38], RCX, Rm::Reg(RDX));
        dynasm!(self.asm ; .arch x64 ; jae =>slow);
        load(self.asm, size, RAX, Rm::Reg(R10));
        wide(self.asm, size, &[0xf7], 6, rm);
        put(self.asm, size, 0, RAX);
        put(self.asm, size, 2, RDX);
        // AF set; ZF, SF, PF clear; CF and OF as they were.
        dynasm!(self.asm
            ; .arch x64
            ; and WORD [rbp + regs::FLAGS], 0x0101
            ; or BYTE [rbp + regs::FLAGS + 1], 0x10
        );
        self.flags = State::saved();
    }

    pub(super) fn scan(&mut self, s: &Step, size: u8, opcode: u8) {
        let rm = self.rm_source(s, size, How::ONCE);
        load(self.asm, size, RCX, rm);
        let zero = self.asm.new_dynamic_label();
        sized(self.asm, size, &[0x84], RCX, Rm::Reg(RCX));
        dynasm!(self.asm ; .arch x64 ; jz =>zero);
        wide(self.asm, size, &[0x0f, opcode], RCX, Rm::Reg(RCX));
        put(self.asm, size, s.op.r0, RCX);
        // PF is that of the number, ZF is clear.
        dynasm!(self.asm ; .arch x64 ; or ecx, 0x100 ; =>zero);
        self.flags.wrote(ALL, Kind::Logic);
    }

    pub(super) fn popcnt(&mut self, s: &Step, size: u8) {
        let rm = self.rm_source(s, size, How::ONCE);
        self.asm.push(0xf3);
        wide(self.asm, size, &[0x0f, 0xb8], RCX, rm);
        put(self.asm, size, s.op.r0, RCX);
        self.flags.wrote(ALL, Kind::Arith);
    }
}
