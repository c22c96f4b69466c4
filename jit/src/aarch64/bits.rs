//! Bitfields, wide moves, and operations on the bits and bytes of one register.

use super::block::{Compiler, Step};
use super::emit::{
    Rm, extend, get, group1, home, load, operand, put, shift_imm, sized, source, target, wide,
};
use super::int::{AND, OR, ROR, SAR, SHL, SHR};
use super::regs::ZERO;
use super::regs::host::{RAX, RCX, RDX};
use dynasmrt::{DynasmApi, dynasm};

impl Compiler<'_> {
    pub(super) fn move_wide(&mut self, s: &Step, size: u8) {
        let op = &s.op;
        if op.bits(30, 29) != 3 {
            return self.constant(op.rd, op.imm);
        }
        let shift = 16 * op.bits(22, 21);
        let mask = !(0xffff << shift);
        let value = op.imm << shift;
        let full = if size == 4 { 0xffff_ffff } else { u64::MAX };
        if let Some((g, v)) = self.last_known
            && g == op.rd
        {
            return self.constant(op.rd, (v & mask | value) & full);
        }
        if op.rd == ZERO {
            return;
        }
        self.flags.clobber(self.asm, s.live);
        let d = target(op.rd, RAX);
        get(self.asm, size, d, op.rd);
        let second = self.immediate(size, mask & full);
        self.apply(AND, size, d, second);
        let second = self.immediate(size, value);
        self.apply(OR, size, d, second);
        put(self.asm, op.rd, d);
    }

    /// SBFM, BFM, UBFM by what they do: extract a field to bit 0, or insert one at a bit.
    pub(super) fn bitfield(&mut self, s: &Step, size: u8) {
        let op = &s.op;
        let n = size * 8;
        let (r, last) = (op.bits(21, 16) as u8, op.bits(15, 10) as u8);
        let (kind, rd, rn) = (op.bits(30, 29), op.rd, op.rn);
        if rd == ZERO {
            return;
        }
        if kind == 1 {
            return self.insert(s, size, r, last);
        }
        let signed = kind == 0;
        let d = target(rd, RAX);
        if r == 0 && matches!(last, 7 | 15 | 31) && last < n - 1 && rn != ZERO {
            let from = (last + 1) / 8;
            extend(self.asm, signed, size, from, d, home(rn));
            put(self.asm, rd, d);
            return;
        }
        self.flags.clobber(self.asm, s.live);
        get(self.asm, size, d, rn);
        let left = n - 1 - last;
        let right = if last >= r { left + r } else { r - 1 - last };
        // A shift right by a whole field that begins at bit 0 needs none to the left.
        let width = if last >= r { last - r + 1 } else { last + 1 };
        if !signed && last >= r && left != 0 && width <= 31 {
            shift_imm(self.asm, size, SHR, d, r);
            group1(self.asm, size, AND, Rm::Reg(d), (1i64 << width).wrapping_sub(1) as i32);
        } else {
            shift_imm(self.asm, size, SHL, d, left);
            shift_imm(self.asm, size, if signed { SAR } else { SHR }, d, right);
            if size == 4 && left == 0 && right == 0 {
                load(self.asm, 4, d, Rm::Reg(d));
            }
        }
        put(self.asm, rd, d);
    }

    /// BFM.
    fn insert(&mut self, s: &Step, size: u8, r: u8, last: u8) {
        let op = &s.op;
        self.flags.clobber(self.asm, s.live);
        let n = size * 8;
        let full = if size == 4 { 0xffff_ffff } else { u64::MAX };
        let (width, lsb) = if last >= r { (last - r + 1, 0) } else { (last + 1, n - r) };
        let mask = if width == 64 { u64::MAX } else { (1 << width) - 1 };
        get(self.asm, size, RAX, op.rn);
        if last >= r {
            shift_imm(self.asm, size, SHR, RAX, r);
        }
        if width < n {
            let second = self.immediate(size, mask);
            self.apply(AND, size, RAX, second);
        }
        shift_imm(self.asm, size, SHL, RAX, lsb);
        let d = target(op.rd, RDX);
        get(self.asm, size, d, op.rd);
        let second = self.immediate(size, !(mask << lsb) & full);
        self.apply(AND, size, d, second);
        sized(self.asm, size, &[OR << 3 | 2], d, Rm::Reg(RAX));
        put(self.asm, op.rd, d);
    }

    pub(super) fn extract(&mut self, s: &Step, size: u8) {
        let op = &s.op;
        let lsb = op.bits(15, 10) as u8;
        self.flags.clobber(self.asm, s.live);
        get(self.asm, size, RAX, op.rm);
        if op.rn == op.rm {
            shift_imm(self.asm, size, ROR, RAX, lsb);
        } else if lsb != 0 {
            let r = source(self.asm, size, op.rn, RCX);
            // SHRD: the upper part comes from the register.
            wide(self.asm, size, &[0x0f, 0xac], r, Rm::Reg(RAX));
            self.asm.push(lsb);
        }
        if size == 4 {
            load(self.asm, 4, RAX, Rm::Reg(RAX));
        }
        put(self.asm, op.rd, RAX);
    }

    pub(super) fn one_source(&mut self, s: &Step, size: u8) {
        let op = &s.op;
        let kind = op.bits(15, 10);
        if kind == 4 {
            self.flags.clobber(self.asm, s.live);
            let rm = operand(self.asm, op.rn, RAX);
            self.asm.push(0xf3);
            wide(self.asm, size, &[0x0f, 0xbd], RAX, rm);
            put(self.asm, op.rd, RAX);
            return;
        }
        if kind != 3 && !(kind == 2 && size == 4) {
            self.flags.clobber(self.asm, s.live);
        }
        get(self.asm, size, RAX, op.rn);
        match kind {
            0 => {
                self.swap_bytes(size);
                for (mask, by) in
                    [(0x0f0f_0f0f_0f0f_0f0fu64, 4), (0x3333_3333_3333_3333, 2), (0x5555_5555_5555_5555, 1)]
                {
                    self.swap_fields(size, mask, by);
                }
            }
            1 => self.swap_fields(size, 0x00ff_00ff_00ff_00ff, 8),
            2 if size == 8 => {
                self.swap_bytes(8);
                shift_imm(self.asm, 8, ROR, RAX, 32);
            }
            _ => self.swap_bytes(size),
        }
        put(self.asm, op.rd, RAX);
    }

    fn swap_bytes(&mut self, size: u8) {
        if size == 8 {
            dynasm!(self.asm ; .arch x64 ; bswap rax);
        } else {
            dynasm!(self.asm ; .arch x64 ; bswap eax);
        }
    }

    /// RAX = (RAX >> by) & mask | (RAX & mask) << by.
    fn swap_fields(&mut self, size: u8, mask: u64, by: u8) {
        if size == 8 {
            dynasm!(self.asm
                ; .arch x64
                ; mov rcx, QWORD mask as i64
                ; mov rdx, rax
                ; shr rax, by as i8
                ; and rdx, rcx
                ; and rax, rcx
                ; shl rdx, by as i8
                ; or rax, rdx
            );
        } else {
            let mask = mask as i32;
            dynasm!(self.asm
                ; .arch x64
                ; mov edx, eax
                ; shr eax, by as i8
                ; and edx, mask
                ; and eax, mask
                ; shl edx, by as i8
                ; or eax, edx
            );
        }
    }
}
