//! Shifts, rotates and bit tests.

use super::address::How;
use super::block::Compiler;
use super::emit::{Rm, get, home, load, put, sized, store, wide};
use super::flags::Kind;
use super::flags::flag::{ALL, CF, OF};
use super::lazy::{KEPT, Recipe, lasts};
use super::regs::host::{RCX, RDX};
use super::steps::Step;
use dejavm_interp::tlb::Access;
use dejavm_interp::x86::int::mov::operand_bytes;
use dejavm_interp::x86::op::Op;
use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};
use iced_x86::{Instruction, Mnemonic, OpKind};

/// The ModRM number of a shift or rotate.
pub(super) fn shift(m: Mnemonic) -> Option<u8> {
    Some(match m {
        Mnemonic::Rol => 0,
        Mnemonic::Ror => 1,
        Mnemonic::Shl | Mnemonic::Sal => 4,
        Mnemonic::Shr => 5,
        Mnemonic::Sar => 7,
        _ => return None,
    })
}

/// The ModRM number of BT, BTS, BTR, BTC with an immediate.
pub(super) fn bit_test(m: Mnemonic) -> Option<u8> {
    Some(match m {
        Mnemonic::Bt => 4,
        Mnemonic::Bts => 5,
        Mnemonic::Btr => 6,
        Mnemonic::Btc => 7,
        _ => return None,
    })
}

/// True for a shift or rotate: it may change flags without always doing so.
pub fn shifts(ins: &Instruction) -> bool {
    shift(ins.mnemonic()).is_some()
}

/// True for one whose count is in CL: it may leave the flags as they are.
pub fn shifts_by_cl(ins: &Instruction) -> bool {
    shifts(ins) && ins.op_kind(1) == OpKind::Register
}

/// The count of a shift by an immediate, as the processor uses it.
pub(super) fn count(ins: &Instruction, op: &Op) -> u8 {
    op.imm as u8 & if operand_bytes(ins, 0) == 8 { 63 } else { 31 }
}

impl Compiler<'_> {
    pub(super) fn shift(&mut self, s: &Step, k: u8, size: u8) {
        let op = &s.op;
        let by_cl = s.ins.op_kind(1) == OpKind::Register;
        let rotate = k < 4;
        let written = if rotate { CF | OF } else { ALL };
        let wanted = s.live & written;
        // A rotate leaves the other flags, a count of zero all of them: those must be saved.
        if (by_cl && wanted != 0) || rotate && s.live != 0 {
            self.flags.save(self.asm);
        }
        let mut scratch = false;
        let rm = if self.memory(s, 0) {
            self.mem(s, size, Access::Write, How::HELD)
        } else if size == 4 && matches!(home(op.r0), Rm::Mem(..)) {
            scratch = true;
            self.cached = None;
            get(self.asm, size, RDX, op.r0);
            Rm::Reg(RDX)
        } else {
            home(op.r0)
        };
        if by_cl {
            self.shift_by_cl(k, size, rm, wanted);
        } else {
            let c = count(&s.ins, op);
            let recipe = Recipe::of_shift(k, size, c);
            if wanted != 0 && !rotate && !self.memory(s, 0) && lasts(&recipe, self.following) {
                let r = if let Rm::Reg(r) = rm { r } else { RCX };
                load(self.asm, 8, r, rm);
                store(self.asm, 8, KEPT, r);
                sized(self.asm, size, &[0xc0], k, rm);
                self.asm.push(c);
                // OF is made again with the others, where it is asked for.
                self.flags.wrote(if c == 1 { ALL } else { ALL & !OF }, Kind::Shift);
                self.flags.again = Some(recipe);
                if scratch {
                    put(self.asm, size, op.r0, RDX);
                }
                return;
            }
            if wanted != 0 && c > 1 {
                // The host's OF is defined for the last step alone.
                sized(self.asm, size, &[0xc0], k, rm);
                self.asm.push(c - 1);
                sized(self.asm, size, &[0xd0], k, rm);
            } else if c == 1 {
                sized(self.asm, size, &[0xd0], k, rm);
            } else {
                sized(self.asm, size, &[0xc0], k, rm);
                self.asm.push(c);
            }
            if !rotate {
                self.flags.wrote(ALL, Kind::Shift);
            } else if s.live == 0 {
                self.flags.host = 0;
            }
        }
        if scratch {
            put(self.asm, size, op.r0, RDX);
        }
        if rotate && !by_cl && s.live != 0 {
            self.flags.wrote_carry_overflow(self.asm, s.live);
        }
    }

    /// Shifts `rm` by CL. When flags are wanted they are saved, before and after.
    fn shift_by_cl(&mut self, k: u8, size: u8, rm: Rm, wanted: u8) {
        get(self.asm, 4, RCX, 1);
        if let Rm::Reg(r) = rm
            && size == 4
        {
            // The upper half is cleared whatever the count.
            load(self.asm, 4, r, rm);
        }
        if wanted == 0 {
            sized(self.asm, size, &[0xd2], k, rm);
            self.flags.host = 0;
            return;
        }
        let done = self.asm.new_dynamic_label();
        let mask = if size == 8 { 63 } else { 31 };
        dynasm!(self.asm ; .arch x64 ; and ecx, mask ; jz =>done ; dec ecx);
        sized(self.asm, size, &[0xd2], k, rm);
        sized(self.asm, size, &[0xd0], k, rm);
        if k < 4 {
            // Force the saved form: the other path has nothing else.
            self.flags.wrote_carry_overflow(self.asm, ALL);
        } else {
            self.flags.wrote(ALL, Kind::Shift);
            self.flags.save(self.asm);
        }
        self.flags.host = 0;
        dynasm!(self.asm ; .arch x64 ; =>done);
    }

    pub(super) fn bit_test(&mut self, s: &Step, k: u8, size: u8) {
        let op = &s.op;
        if s.live & !CF != 0 {
            self.flags.save(self.asm);
        }
        let mut scratch = false;
        let rm = if self.memory(s, 0) {
            self.mem(s, size, if k == 4 { Access::Read } else { Access::Write }, How::HELD)
        } else if matches!(home(op.r0), Rm::Mem(..)) {
            // The host's form with memory would reach beyond it.
            scratch = true;
            self.cached = None;
            get(self.asm, size, RDX, op.r0);
            Rm::Reg(RDX)
        } else {
            home(op.r0)
        };
        if s.ins.op_kind(1) == OpKind::Register {
            let r = self.source(size, op.r1);
            wide(self.asm, size, &[0x0f, 0x83 | k << 3], r, rm);
        } else {
            wide(self.asm, size, &[0x0f, 0xba], k, rm);
            self.asm.push(op.imm as u8 & (size * 8 - 1));
        }
        if scratch && k != 4 {
            put(self.asm, size, op.r0, RDX);
        }
        self.flags.wrote_carry(self.asm, s.live);
    }
}
