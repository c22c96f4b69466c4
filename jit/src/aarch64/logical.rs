//! Logical operations, with immediates and shifted registers.

use super::block::{Compiler, Step};
use super::emit::{Rm, extend, get, home, load, put, shift_imm, sized, target};
use super::flags::Kind;
use super::int::{AND, OR, ROR, SAR, SHL, SHR, Second, XOR, xsp};
use super::regs::host::{RAX, RCX};
use super::regs::{SP, ZERO};
use dejavm_interp::aarch64::op::Op;

impl Compiler<'_> {
    pub(super) fn logical_imm(&mut self, s: &Step, size: u8) {
        let op = &s.op;
        let k = [AND, OR, XOR, AND][op.bits(30, 29) as usize];
        if op.bits(30, 29) == 3 {
            let second = self.immediate(size, op.imm);
            return self.logical_flags(size, op.rd, op.rn, second);
        }
        let rd = xsp(op.rd);
        if rd == SP {
            self.sp_aligned = false;
        }
        if k == OR && op.rn == ZERO {
            return self.constant(rd, op.imm);
        }
        if k == AND && op.rn != ZERO && matches!(op.imm, 0xff | 0xffff | 0xffff_ffff) {
            let d = target(rd, RAX);
            let from = [1, 2, 4][(op.imm.count_ones() as usize).ilog2() as usize - 3];
            extend(self.asm, false, 4, from, d, home(op.rn));
            put(self.asm, rd, d);
            return;
        }
        self.flags.clobber(self.asm, s.live);
        let second = self.immediate(size, op.imm);
        self.binary(k, size, rd, op.rn, second);
    }

    /// ANDS, BICS, TST.
    fn logical_flags(&mut self, size: u8, rd: u8, rn: u8, second: Second) {
        if rd == ZERO {
            self.compare(AND, size, rn, second);
        } else {
            self.binary(AND, size, rd, rn, second);
        }
        self.flags.wrote(Kind::Carry);
    }

    /// The shifted register, in RCX unless it is one as it is. `invert`: its complement. Flags are clobbered only
    /// by a shift.
    pub(super) fn shifted(&mut self, op: &Op, size: u8, invert: bool) -> Second {
        let by = op.imm as u8;
        if op.rm == ZERO {
            return Second::Imm(if invert { -1 } else { 0 });
        }
        if by == 0 && !invert {
            return Second::Rm(home(op.rm));
        }
        get(self.asm, size, RCX, op.rm);
        shift_imm(self.asm, size, [SHL, SHR, SAR, ROR][op.bits(23, 22) as usize], RCX, by);
        if invert {
            sized(self.asm, size, &[0xf6], 2, Rm::Reg(RCX));
        }
        Second::Rm(Rm::Reg(RCX))
    }

    pub(super) fn logical_reg(&mut self, s: &Step, size: u8) {
        let op = &s.op;
        let invert = op.bits(21, 21) != 0;
        let k = [AND, OR, XOR, AND][op.bits(30, 29) as usize];
        if op.bits(30, 29) == 3 {
            // The shift's flags are overwritten by the operation's.
            let second = self.shifted(op, size, invert);
            return self.logical_flags(size, op.rd, op.rn, second);
        }
        if k == OR && op.rn == ZERO && op.imm == 0 {
            // MOV and MVN leave EFLAGS.
            if op.rm == ZERO {
                let full = if size == 4 { 0xffff_ffff } else { u64::MAX };
                return self.constant(op.rd, if invert { full } else { 0 });
            }
            let d = target(op.rd, RAX);
            load(self.asm, size, d, home(op.rm));
            if invert {
                sized(self.asm, size, &[0xf6], 2, Rm::Reg(d));
            }
            put(self.asm, op.rd, d);
            return;
        }
        self.flags.clobber(self.asm, s.live);
        let second = self.shifted(op, size, invert);
        self.binary(k, size, op.rd, op.rn, second);
    }
}
