//! Moves, with extension, on a condition, and exchanges.

use super::address::How;
use super::block::Compiler;
use super::emit::{Rm, extend, get, high, home, load, load_imm, push_imm, put, sized, store, wide};
use super::int::beside;
use super::regs::host::{R10, RAX, RCX, RDX};
use super::steps::Step;
use dejavm_interp::tlb::Access;
use dejavm_interp::x86::int::cond::number;
use dejavm_interp::x86::int::mov::operand_bytes;
use dynasmrt::{DynasmApi, dynasm};
use iced_x86::{Instruction, Mnemonic, OpKind};

pub(super) fn uses_high(ins: &Instruction) -> bool {
    use iced_x86::Register::{AH, BH, CH, DH};
    (0..ins.op_count())
        .any(|i| ins.op_kind(i) == OpKind::Register && matches!(ins.op_register(i), AH | BH | CH | DH))
}

pub(super) fn is_setcc(ins: &Instruction) -> bool {
    use Mnemonic::*;
    matches!(
        ins.mnemonic(),
        Seta | Setae
            | Setb
            | Setbe
            | Sete
            | Setg
            | Setge
            | Setl
            | Setle
            | Setne
            | Setno
            | Setnp
            | Setns
            | Seto
            | Setp
            | Sets
    )
}

pub(super) fn is_cmov(ins: &Instruction) -> bool {
    use Mnemonic::*;
    matches!(
        ins.mnemonic(),
        Cmova
            | Cmovae
            | Cmovb
            | Cmovbe
            | Cmove
            | Cmovg
            | Cmovge
            | Cmovl
            | Cmovle
            | Cmovne
            | Cmovno
            | Cmovnp
            | Cmovns
            | Cmovo
            | Cmovp
            | Cmovs
    )
}

impl Compiler<'_> {
    pub(super) fn mov(&mut self, s: &Step, size: u8) {
        let op = &s.op;
        match (s.ins.op_kind(0), s.ins.op_kind(1)) {
            (OpKind::Register, OpKind::Register) => {
                if !high(op.r0) && !high(op.r1) {
                    match (home(op.r0), home(op.r1)) {
                        (Rm::Reg(d), rm) => return load(self.asm, size, d, rm),
                        (rm, Rm::Reg(r)) if size != 4 => return store(self.asm, size, rm, r),
                        _ => {}
                    }
                }
                get(self.asm, size, RCX, op.r1);
                put(self.asm, size, op.r0, RCX);
            }
            (OpKind::Register, OpKind::Memory) => {
                let at = self.mem(s, size, Access::Read, How::ONCE);
                self.fetch_to(size, op.r0, at);
            }
            (OpKind::Memory, OpKind::Register) => {
                let at = self.mem(s, size, Access::Write, beside(op.r1));
                let r = self.source(size, op.r1);
                store(self.asm, size, at, r);
            }
            (OpKind::Memory, _) => {
                let at = self.mem(s, size, Access::Write, How { once: size != 8, aligned: false });
                if let Ok(imm) = i32::try_from(op.imm as i64)
                    && size == 8
                {
                    wide(self.asm, 8, &[0xc7], 0, at);
                    self.asm.push_i32(imm);
                } else if size == 8 {
                    load_imm(self.asm, RAX, op.imm);
                    store(self.asm, 8, at, RAX);
                } else {
                    sized(self.asm, size, &[0xc6], 0, at);
                    push_imm(self.asm, size, op.imm as i32);
                }
            }
            _ => {
                let imm = match size {
                    1 => op.imm & 0xff,
                    2 => op.imm & 0xffff,
                    4 => op.imm & 0xffff_ffff,
                    _ => op.imm,
                };
                match home(op.r0 % 20) {
                    Rm::Reg(r) if size >= 4 => load_imm(self.asm, r, imm),
                    _ => {
                        load_imm(self.asm, RCX, imm);
                        put(self.asm, size, op.r0, RCX);
                    }
                }
            }
        }
    }

    /// Loads from memory into a guest register.
    pub(super) fn fetch_to(&mut self, size: u8, guest: u8, at: Rm) {
        match home(guest % 20) {
            Rm::Reg(r) if !high(guest) => self.fetch(size, r, at),
            _ => {
                self.fetch(size, RCX, at);
                put(self.asm, size, guest, RCX);
            }
        }
    }

    /// A host register that holds a guest register: its own, or RAX.
    pub fn source(&mut self, size: u8, guest: u8) -> u8 {
        match home(guest % 20) {
            Rm::Reg(r) if !high(guest) => r,
            _ => {
                get(self.asm, size, RAX, guest);
                RAX
            }
        }
    }

    pub(super) fn movx(&mut self, s: &Step, size: u8, signed: bool) {
        let from = operand_bytes(&s.ins, 1) as u8;
        let rm = if self.memory(s, 1) {
            self.mem(s, from, Access::Read, How::ONCE)
        } else if high(s.op.r1) {
            get(self.asm, 1, RAX, s.op.r1);
            Rm::Reg(RAX)
        } else {
            home(s.op.r1)
        };
        match home(s.op.r0) {
            Rm::Reg(r) if size >= 4 => extend(self.asm, signed, size, from, r, rm),
            _ => {
                extend(self.asm, signed, size, from, RCX, rm);
                put(self.asm, size, s.op.r0, RCX);
            }
        }
    }

    pub(super) fn lea(&mut self, s: &Step, size: u8) {
        self.effective(&s.op, s.next);
        if size == 4 {
            load(self.asm, 4, RAX, Rm::Reg(RAX));
        }
        put(self.asm, size, s.op.r0, RAX);
    }

    pub(super) fn xchg(&mut self, s: &Step, size: u8) {
        let op = &s.op;
        if self.memory(s, 0) || self.memory(s, 1) {
            let at = self.mem(s, size, Access::Write, beside(op.r1));
            let r = self.source(size, op.r1);
            self.fetch(size, RCX, at);
            store(self.asm, size, at, r);
            put(self.asm, size, op.r1, RCX);
            return;
        }
        get(self.asm, size, RCX, op.r0);
        get(self.asm, size, RAX, op.r1);
        put(self.asm, size, op.r0, RAX);
        put(self.asm, size, op.r1, RCX);
    }

    pub(super) fn bswap(&mut self, s: &Step, size: u8) {
        get(self.asm, size, RAX, s.op.r0);
        if size == 8 {
            dynasm!(self.asm ; .arch x64 ; bswap rax);
        } else {
            dynasm!(self.asm ; .arch x64 ; bswap eax);
        }
        put(self.asm, size, s.op.r0, RAX);
    }

    pub(super) fn extend_a(&mut self, m: Mnemonic) {
        match m {
            Mnemonic::Cbw => {
                extend(self.asm, true, 4, 1, RAX, Rm::Reg(R10));
                put(self.asm, 2, 0, RAX);
            }
            Mnemonic::Cwde => extend(self.asm, true, 4, 2, R10, Rm::Reg(R10)),
            _ => extend(self.asm, true, 8, 4, R10, Rm::Reg(R10)),
        }
    }

    pub(super) fn extend_d(&mut self, m: Mnemonic) {
        self.cached = None;
        load(self.asm, 8, RAX, Rm::Reg(R10));
        match m {
            Mnemonic::Cwd => dynasm!(self.asm ; .arch x64 ; cwd ; mov r13w, dx),
            Mnemonic::Cdq => dynasm!(self.asm ; .arch x64 ; cdq ; mov r13d, edx),
            _ => dynasm!(self.asm ; .arch x64 ; cqo ; mov r13, rdx),
        }
    }

    pub(super) fn setcc(&mut self, s: &Step) {
        let Some(cc) = number(s.ins.condition_code()) else { return };
        if self.memory(s, 0) {
            let at = self.mem(s, 1, Access::Write, How::HELD);
            let cc = self.flags.condition(self.asm, cc);
            wide(self.asm, 4, &[0x0f, 0x90 | cc], 0, at);
            return;
        }
        let cc = self.flags.condition(self.asm, cc);
        self.setcc_cl(cc);
        put(self.asm, 1, s.op.r0, RCX);
    }

    /// SETcc CL.
    fn setcc_cl(&mut self, cc: u8) {
        self.asm.extend(&[0x0f, 0x90 | cc, 0xc1]);
    }

    pub(super) fn cmov(&mut self, s: &Step, size: u8) {
        let Some(cc) = number(s.ins.condition_code()) else { return };
        let mut rm = self.rm_source(s, size, How::HELD);
        let cc = self.flags.condition(self.asm, cc);
        match home(s.op.r0) {
            Rm::Reg(r) => wide(self.asm, size, &[0x0f, 0x40 | cc], r, rm),
            m => {
                if rm.counts_from(RDX) {
                    load(self.asm, size, RAX, rm);
                    rm = Rm::Reg(RAX);
                }
                load(self.asm, if size == 8 { 8 } else { 4 }, RCX, m);
                wide(self.asm, size, &[0x0f, 0x40 | cc], RCX, rm);
                put(self.asm, size, s.op.r0, RCX);
            }
        }
    }
}
