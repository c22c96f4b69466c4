//! Arithmetic and logic of two operands and of one, and their locked kin.

use super::address::How;
use super::block::Compiler;
use super::emit::{Rm, extend, get, group1, high, home, push_imm, put, sized, store};
use super::flags::Kind;
use super::flags::flag::{ALL, CF};
use super::int::beside;
use super::lazy::{KEPT, Recipe, lasts};
use super::regs;
use super::regs::host::{RAX, RCX, RDX};
use super::steps::Step;
use dejavm_interp::tlb::Access;
use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};
use iced_x86::{Mnemonic, OpKind};

/// The number of an operation of the group ADD to CMP; 8 is TEST.
pub(super) fn alu(m: Mnemonic) -> Option<u8> {
    Some(match m {
        Mnemonic::Add => 0,
        Mnemonic::Or => 1,
        Mnemonic::Adc => 2,
        Mnemonic::Sbb => 3,
        Mnemonic::And => 4,
        Mnemonic::Sub => 5,
        Mnemonic::Xor => 6,
        Mnemonic::Cmp => 7,
        Mnemonic::Test => TEST,
        _ => return None,
    })
}

pub(super) const TEST: u8 = 8;

pub(super) const CMP: u8 = 7;

impl Compiler<'_> {
    /// What an operation leaves in EFLAGS.
    fn wrote_alu(&mut self, k: u8) {
        let logic = matches!(k, 1 | 4 | 6 | TEST);
        self.flags.wrote(ALL, if logic { Kind::Logic } else { Kind::Arith });
    }

    pub(super) fn alu(&mut self, s: &Step, k: u8, size: u8) {
        let op = &s.op;
        if self.memory(s, 0) || self.memory(s, 1) {
            return self.alu_memory(s, k, size);
        }
        let immediate = s.ins.op_kind(1) != OpKind::Register;
        if matches!(k, 2 | 3) {
            self.flags.carry(self.asm);
        }
        let zero = !immediate && op.r0 == op.r1 && matches!(k, 5 | 6) && size >= 4 && !high(op.r0);
        // The result goes to a scratch register where the guest's has no place that fits.
        let direct = !high(op.r0) && (k >= CMP || size != 4 || matches!(home(op.r0), Rm::Reg(_)));
        let rm = if direct {
            home(op.r0)
        } else {
            get(self.asm, size, RCX, op.r0);
            Rm::Reg(RCX)
        };
        if zero && let Rm::Reg(r) = rm {
            // The host knows this form to depend on nothing.
            sized(self.asm, 4, &[k << 3], r, rm);
        } else if immediate {
            self.alu_immediate(k, size, rm, op.imm);
        } else {
            match (rm, home(op.r1 % 20)) {
                (Rm::Reg(d), m @ Rm::Mem(..)) if !high(op.r1) && k != TEST => {
                    sized(self.asm, size, &[k << 3 | 2], d, m);
                }
                _ => {
                    let r = self.source(size, op.r1);
                    self.alu_register(k, size, rm, r);
                }
            }
        }
        if !direct && k < CMP {
            put(self.asm, size, op.r0, RCX);
        }
        self.wrote_alu(k);
        self.flags.again = Recipe::of(k, size, op, immediate);
    }

    fn alu_register(&mut self, k: u8, size: u8, rm: Rm, r: u8) {
        sized(self.asm, size, &[if k == TEST { 0x84 } else { k << 3 }], r, rm);
    }

    fn alu_immediate(&mut self, k: u8, size: u8, rm: Rm, imm: u64) {
        if k == TEST {
            sized(self.asm, size, &[0xf6], 0, rm);
            push_imm(self.asm, size, imm as i32);
        } else {
            let imm = match size {
                1 => i32::from(imm as i8),
                2 => i32::from(imm as i16),
                _ => imm as i32,
            };
            group1(self.asm, size, k, rm, imm);
        }
    }

    fn alu_memory(&mut self, s: &Step, k: u8, size: u8) {
        let op = &s.op;
        let carry = matches!(k, 2 | 3);
        let to_memory = self.memory(s, 0);
        let how = match s.ins.op_kind(1) {
            OpKind::Register => beside(op.r1),
            OpKind::Memory if high(op.r0) => How::HELD,
            _ => How::ONCE,
        };
        let access = if to_memory && k < CMP { Access::Write } else { Access::Read };
        let at = self.mem(s, size, access, how);
        if carry {
            self.flags.carry(self.asm);
        }
        let register = s.ins.op_kind(1) == OpKind::Register || !to_memory;
        let other = register.then_some(if to_memory { op.r1 } else { op.r0 });
        if let Some(recipe) = Recipe::of_memory(k, size, op, other, to_memory)
            && lasts(&recipe, self.following)
        {
            extend(self.asm, false, if size == 8 { 8 } else { 4 }, size, RCX, at);
            store(self.asm, 8, KEPT, RCX);
            let kept = Rm::Reg(RCX);
            match other.map(|r| self.source(size, r)) {
                Some(r) if to_memory => self.alu_register(k, size, kept, r),
                Some(r) => sized(self.asm, size, &[k << 3 | 2], r, kept),
                None => self.alu_immediate(k, size, kept, op.imm),
            }
            self.wrote_alu(k);
            self.flags.again = Some(recipe);
            return;
        }
        if !to_memory {
            // TEST has no such form.
            let (r, in_place) = match home(op.r0 % 20) {
                Rm::Reg(r) if !high(op.r0) => (r, true),
                _ => {
                    get(self.asm, size, RCX, op.r0);
                    (RCX, false)
                }
            };
            sized(self.asm, size, &[k << 3 | 2], r, at);
            if !in_place && k < CMP {
                put(self.asm, size, op.r0, RCX);
            }
        } else if s.ins.op_kind(1) == OpKind::Register {
            let r = self.source(size, op.r1);
            self.alu_register(k, size, at, r);
        } else {
            self.alu_immediate(k, size, at, op.imm);
        }
        self.wrote_alu(k);
        if !to_memory {
            self.flags.again = Recipe::of_result(k, size, op.r0);
        }
    }

    pub(super) fn unary(&mut self, s: &Step, size: u8, opcode: u8, number: u8) {
        let op = &s.op;
        let in_memory = self.memory(s, 0);
        let counts = opcode == 0xfe;
        let keep = counts && s.live & CF != 0;
        let mut scratch = false;
        let rm = if in_memory {
            self.mem(s, size, Access::Write, How::ONCE)
        } else if high(op.r0) || size == 4 && matches!(home(op.r0), Rm::Mem(..)) {
            scratch = true;
            get(self.asm, size, RCX, op.r0);
            Rm::Reg(RCX)
        } else {
            home(op.r0)
        };
        if keep {
            self.flags.carry(self.asm);
        }
        sized(self.asm, size, &[opcode], number, rm);
        if scratch {
            put(self.asm, size, op.r0, RCX);
        }
        if number != 2 || !matches!(opcode, 0xf6) {
            self.flags.wrote(if counts && !keep { ALL & !CF } else { ALL }, Kind::Arith);
        }
    }

    pub(super) fn carry(&mut self, m: Mnemonic) {
        self.flags.save(self.asm);
        match m {
            Mnemonic::Clc => dynasm!(self.asm ; .arch x64 ; and BYTE [rbp + regs::FLAGS + 1], -2),
            Mnemonic::Stc => dynasm!(self.asm ; .arch x64 ; or BYTE [rbp + regs::FLAGS + 1], 1),
            _ => dynasm!(self.asm ; .arch x64 ; xor BYTE [rbp + regs::FLAGS + 1], 1),
        }
        self.flags.host = 0;
    }

    pub(super) fn xadd(&mut self, s: &Step, size: u8) {
        let op = &s.op;
        let in_memory = self.memory(s, 0);
        let rm = if in_memory {
            self.mem(s, size, Access::Write, How::HELD)
        } else {
            self.cached = None;
            get(self.asm, size, RDX, op.r0);
            Rm::Reg(RDX)
        };
        get(self.asm, size, RCX, op.r1);
        sized(self.asm, size, &[0x0f, 0xc0], RCX, rm);
        // With one register twice the sum wins.
        put(self.asm, size, op.r1, RCX);
        if !in_memory {
            put(self.asm, size, op.r0, RDX);
        }
        self.flags.wrote(ALL, Kind::Arith);
    }

    pub(super) fn cmpxchg(&mut self, s: &Step, size: u8) {
        let op = &s.op;
        let in_memory = self.memory(s, 0);
        let rm = if in_memory {
            self.mem(s, size, Access::Write, How::HELD)
        } else {
            self.cached = None;
            get(self.asm, size, RDX, op.r0);
            Rm::Reg(RDX)
        };
        get(self.asm, size, RCX, op.r1);
        get(self.asm, size, RAX, 0);
        sized(self.asm, size, &[0x0f, 0xb0], RCX, rm);
        let equal = self.asm.new_dynamic_label();
        let end = self.asm.new_dynamic_label();
        dynasm!(self.asm ; .arch x64 ; jz =>equal);
        put(self.asm, size, 0, RAX);
        if in_memory {
            dynasm!(self.asm ; .arch x64 ; =>equal ; =>end);
        } else {
            dynasm!(self.asm ; .arch x64 ; jmp =>end ; =>equal);
            put(self.asm, size, op.r0, RDX);
            dynasm!(self.asm ; .arch x64 ; =>end);
        }
        self.flags.wrote(ALL, Kind::Arith);
    }
}
