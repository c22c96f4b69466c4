//! Conditional compares and selections.

use super::block::{Compiler, Step};
use super::emit::{Rm, extend, get, home, lea, load, put, sized, source, target, wide};
use super::flags::Kind;
use super::int::{ADD, CMP, Second, subtracts};
use super::regs::ZERO;
use super::regs::host::{RAX, RCX};
use dynasmrt::{DynasmLabelApi, dynasm};

impl Compiler<'_> {
    pub(super) fn conditional_compare(&mut self, s: &Step, size: u8) {
        let op = &s.op;
        let cond = op.bits(15, 12) as u8;
        let end = self.asm.new_dynamic_label();
        if cond < 14 {
            let cc = self.flags.condition(self.asm, cond);
            let other = self.asm.new_dynamic_label();
            super::emit::jcc(self.asm, cc ^ 1, other);
            self.constants.push((other, super::flags::save(u64::from(op.bits(3, 0)) << 28), end));
        }
        let second = match op.bits(11, 11) {
            0 if op.rm == ZERO => Second::Imm(0),
            0 => Second::Rm(home(op.rm)),
            _ => Second::Imm(op.rm.into()),
        };
        if subtracts(op) {
            self.compare(CMP, size, op.rn, second);
        } else {
            get(self.asm, size, RAX, op.rn);
            self.apply(ADD, size, RAX, second);
            dynasm!(self.asm ; .arch x64 ; cmc);
        }
        dynasm!(self.asm ; .arch x64 ; =>end);
        self.flags.wrote(Kind::Borrow);
    }

    /// CSEL, CSINC, CSINV, CSNEG. EFLAGS stay.
    pub(super) fn conditional_select(&mut self, s: &Step, size: u8) {
        let op = &s.op;
        let cond = op.bits(15, 12) as u8;
        let (invert, increment) = (op.bits(30, 30) != 0, op.bits(10, 10) != 0);
        if cond >= 14 {
            let d = target(op.rd, RAX);
            get(self.asm, size, d, op.rn);
            if size == 4 {
                load(self.asm, 4, d, Rm::Reg(d));
            }
            put(self.asm, op.rd, d);
            return;
        }
        let cc = self.flags.condition(self.asm, cond);
        if op.rn == ZERO && op.rm == ZERO && !invert && increment {
            // CSET has the inverse condition.
            self.asm.extend(&[0x0f, 0x90 | cc ^ 1, 0xc1]);
            let d = target(op.rd, RCX);
            extend(self.asm, false, 4, 1, d, Rm::Reg(RCX));
            put(self.asm, op.rd, d);
            return;
        }
        get(self.asm, size, RCX, op.rm);
        if invert {
            sized(self.asm, size, &[0xf6], 2, Rm::Reg(RCX));
        }
        if increment {
            lea(self.asm, size, RCX, RCX, 1);
        }
        let r = source(self.asm, size, op.rn, RAX);
        wide(self.asm, size, &[0x0f, 0x40 | cc], RCX, Rm::Reg(r));
        put(self.asm, op.rd, RCX);
    }
}
