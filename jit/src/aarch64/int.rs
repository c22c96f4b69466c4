//! Data processing on general registers: each does what the handler of the same group in
//! `dejavm_interp::aarch64::int` does.

use super::block::{Compiler, Plan, Step};
use super::emit::{
    Rm, extend, get, group1, home, lea, load, load_imm, operand, put, shift_imm, sized, source, target, wide,
};
use super::flags::Kind;
use super::regs::host::{RAX, RCX};
use super::regs::{SP, ZERO};
use dejavm_interp::aarch64::op::Op;
use dynasmrt::{DynasmApi, dynasm};

pub(super) const ADD: u8 = 0;
pub(super) const OR: u8 = 1;
const ADC: u8 = 2;
const SBB: u8 = 3;
pub(super) const AND: u8 = 4;
pub(super) const SUB: u8 = 5;
pub(super) const XOR: u8 = 6;
pub(super) const CMP: u8 = 7;

pub(super) const ROR: u8 = 1;
pub(super) const SHL: u8 = 4;
pub(super) const SHR: u8 = 5;
pub(super) const SAR: u8 = 7;

/// A second operand.
#[derive(Clone, Copy)]
pub(super) enum Second {
    Imm(i32),
    Rm(Rm),
}

pub(super) fn xsp(n: u8) -> u8 {
    if n == 31 { SP } else { n }
}

pub(super) fn size_of(op: &Op) -> u8 {
    if op.bits(31, 31) != 0 { 8 } else { 4 }
}

/// SF and its kin: bits 30:29 of arithmetic say SUB and S.
pub(super) fn subtracts(op: &Op) -> bool {
    op.bits(30, 30) != 0
}

fn lzcnt() -> bool {
    std::is_x86_feature_detected!("lzcnt")
}

fn bmi2() -> bool {
    std::is_x86_feature_detected!("bmi2")
}

/// How an instruction of these groups is compiled, or `None` when it is handed to the interpreter. The word is
/// allocated.
pub fn plan(op: &Op) -> Option<Plan> {
    let plan = |reads, kills| Some(Plan { reads, kills, exits: false });
    let sets = op.bits(29, 29) != 0;
    match op.bits(28, 23) {
        // PC-relative; move wide; bitfield
        0b100000 | 0b100001 | 0b100101 | 0b100110 | 0b100111 => plan(false, false),
        // Add/subtract (immediate)
        0b100010 => plan(false, sets),
        // Logical (immediate)
        0b100100 => plan(false, op.bits(30, 29) == 3),
        _ => match op.bits(28, 24) {
            // Logical (shifted register)
            0b01010 => plan(false, op.bits(30, 29) == 3),
            // Add/subtract (shifted or extended register)
            0b01011 => plan(false, sets),
            // Data processing (3 source)
            0b11011 => plan(false, false),
            0b11010 => match op.bits(23, 21) {
                0b000 => plan(true, sets),
                0b010 => plan(op.bits(15, 12) < 14, true),
                0b100 => plan(op.bits(15, 12) < 14, false),
                0b110 if op.bits(30, 30) == 0 => match op.bits(15, 10) {
                    2 | 3 => plan(false, false),
                    8..=10 if bmi2() => plan(false, false),
                    11 => plan(false, false),
                    _ => None,
                },
                0b110 => match op.bits(15, 10) {
                    0..=3 => plan(false, false),
                    4 if lzcnt() => plan(false, false),
                    _ => None,
                },
                _ => None,
            },
            _ => None,
        },
    }
}

impl Compiler<'_> {
    /// Emits an instruction that [`plan`] accepted.
    pub fn integer(&mut self, s: &Step) {
        let op = &s.op;
        let size = size_of(op);
        match op.bits(28, 23) {
            0b100000 | 0b100001 => {
                let base = if op.bits(31, 31) != 0 { s.pc & !0xfff } else { s.pc };
                self.constant(op.rd, base.wrapping_add(op.imm));
            }
            0b100010 => self.add_sub_imm(s, size),
            0b100100 => self.logical_imm(s, size),
            0b100101 => self.move_wide(s, size),
            0b100110 => self.bitfield(s, size),
            0b100111 => self.extract(s, size),
            _ => match op.bits(28, 24) {
                0b01010 => self.logical_reg(s, size),
                0b01011 if op.bits(21, 21) == 0 => self.add_sub_reg(s, size),
                0b01011 => self.add_sub_ext(s, size),
                0b11011 => self.three_source(s, size),
                _ => match op.bits(23, 21) {
                    0b000 => self.carry(s, size),
                    0b010 => self.conditional_compare(s, size),
                    0b100 => self.conditional_select(s, size),
                    _ if op.bits(30, 30) == 0 => self.two_source(s, size),
                    _ => self.one_source(s, size),
                },
            },
        }
    }

    /// Puts a constant into a guest register. EFLAGS stay.
    pub fn constant(&mut self, guest: u8, value: u64) {
        if guest == ZERO {
            return;
        }
        match home(guest) {
            Rm::Reg(r) => load_imm(self.asm, r, value),
            m => match i32::try_from(value as i64) {
                Ok(v) => {
                    wide(self.asm, 8, &[0xc7], 0, m);
                    self.asm.push_i32(v);
                }
                Err(_) => {
                    load_imm(self.asm, RAX, value);
                    put(self.asm, guest, RAX);
                }
            },
        }
        self.known = Some((guest, value));
    }

    /// EFLAGS = those of `rn k second`, for which nothing is written.
    pub(super) fn compare(&mut self, k: u8, size: u8, rn: u8, second: Second) {
        let lhs = operand(self.asm, rn, RAX);
        match (lhs, second) {
            (Rm::Reg(r), Second::Imm(0)) if k == CMP => sized(self.asm, size, &[0x84], r, lhs),
            (_, Second::Imm(v)) if k == AND => {
                sized(self.asm, size, &[0xf6], 0, lhs);
                self.asm.push_i32(v);
            }
            (_, Second::Imm(v)) => group1(self.asm, size, k, lhs, v),
            (_, Second::Rm(Rm::Reg(r))) => {
                sized(self.asm, size, &[if k == AND { 0x84 } else { k << 3 }], r, lhs);
            }
            (Rm::Reg(r), Second::Rm(m)) => {
                sized(self.asm, size, &[if k == AND { 0x84 } else { k << 3 | 2 }], r, m);
            }
            (_, Second::Rm(m)) => {
                get(self.asm, size, RAX, rn);
                sized(self.asm, size, &[if k == AND { 0x84 } else { k << 3 | 2 }], RAX, m);
            }
        }
    }

    /// rd = rn k second, with the host's flags of it.
    pub(super) fn binary(&mut self, k: u8, size: u8, rd: u8, rn: u8, second: Second) {
        let mut d = target(rd, RAX);
        if let Second::Rm(Rm::Reg(r)) = second
            && r == d
            && home(rn) != Rm::Reg(d)
        {
            d = RAX;
        }
        get(self.asm, size, d, rn);
        match second {
            Second::Imm(v) => group1(self.asm, size, k, Rm::Reg(d), v),
            Second::Rm(rm) => sized(self.asm, size, &[k << 3 | 2], d, rm),
        }
        put(self.asm, rd, d);
    }

    /// An addition or subtraction. `rn` and, without flags, `rd` may be SP.
    fn arithmetic(&mut self, s: &Step, size: u8, rd: u8, rn: u8, second: Second) {
        let sub = subtracts(&s.op);
        if s.op.bits(29, 29) == 0 {
            self.flags.clobber(self.asm, s.live);
            self.binary(if sub { SUB } else { ADD }, size, rd, rn, second);
            return;
        }
        if rd == ZERO && sub {
            self.compare(CMP, size, rn, second);
        } else {
            self.binary(if sub { SUB } else { ADD }, size, rd, rn, second);
        }
        self.flags.wrote(if sub { Kind::Borrow } else { Kind::Carry });
    }

    fn add_sub_imm(&mut self, s: &Step, size: u8) {
        let op = &s.op;
        let rn = xsp(op.rn);
        if op.bits(29, 29) != 0 {
            return self.arithmetic(s, size, op.rd, rn, Second::Imm(op.imm as i32));
        }
        // SUB has the negated immediate. LEA leaves EFLAGS.
        let rd = xsp(op.rd);
        let d = target(rd, RAX);
        let r = source(self.asm, size, rn, RAX);
        let by = op.imm as i32;
        if by == 0 {
            if d != r || size == 4 {
                load(self.asm, size, d, Rm::Reg(r));
            }
        } else {
            lea(self.asm, size, d, r, by);
        }
        put(self.asm, rd, d);
        if rd == SP {
            self.sp_aligned &= rn == SP && size == 8 && by & 15 == 0;
        }
    }

    /// The immediate as an operand: itself, or in RCX.
    pub(super) fn immediate(&mut self, size: u8, v: u64) -> Second {
        let fits = if size == 4 { Some(v as i32) } else { i32::try_from(v as i64).ok() };
        match fits {
            Some(v) => Second::Imm(v),
            None => {
                load_imm(self.asm, RCX, v);
                Second::Rm(Rm::Reg(RCX))
            }
        }
    }

    pub(super) fn apply(&mut self, k: u8, size: u8, d: u8, second: Second) {
        match second {
            Second::Imm(v) => group1(self.asm, size, k, Rm::Reg(d), v),
            Second::Rm(rm) => sized(self.asm, size, &[k << 3 | 2], d, rm),
        }
    }

    fn add_sub_reg(&mut self, s: &Step, size: u8) {
        let op = &s.op;
        let (by, kind) = (op.imm as u8, op.bits(23, 22));
        let plain = op.bits(30, 29) == 0;
        if plain && kind == 0 && by <= 3 && op.rn != ZERO && op.rm != ZERO {
            // LEA leaves EFLAGS.
            let b = source(self.asm, size, op.rn, RAX);
            let i = source(self.asm, size, op.rm, RCX);
            let d = target(op.rd, RAX);
            self.scaled(size, d, b, i, by);
            put(self.asm, op.rd, d);
            return;
        }
        if op.bits(29, 29) == 0 {
            self.flags.clobber(self.asm, s.live);
        }
        let second = self.shifted(op, size, false);
        self.arithmetic(s, size, op.rd, op.rn, second);
    }

    /// LEA d, [base + index << by].
    fn scaled(&mut self, size: u8, d: u8, b: u8, i: u8, by: u8) {
        match (size, by) {
            (8, 0) => dynasm!(self.asm ; .arch x64 ; lea Rq(d), [Rq(b) + Rq(i)]),
            (8, 1) => dynasm!(self.asm ; .arch x64 ; lea Rq(d), [Rq(b) + Rq(i) * 2]),
            (8, 2) => dynasm!(self.asm ; .arch x64 ; lea Rq(d), [Rq(b) + Rq(i) * 4]),
            (8, _) => dynasm!(self.asm ; .arch x64 ; lea Rq(d), [Rq(b) + Rq(i) * 8]),
            (_, 0) => dynasm!(self.asm ; .arch x64 ; lea Rd(d), [Rq(b) + Rq(i)]),
            (_, 1) => dynasm!(self.asm ; .arch x64 ; lea Rd(d), [Rq(b) + Rq(i) * 2]),
            (_, 2) => dynasm!(self.asm ; .arch x64 ; lea Rd(d), [Rq(b) + Rq(i) * 4]),
            _ => dynasm!(self.asm ; .arch x64 ; lea Rd(d), [Rq(b) + Rq(i) * 8]),
        }
    }

    fn add_sub_ext(&mut self, s: &Step, size: u8) {
        let op = &s.op;
        let sets = op.bits(29, 29) != 0;
        if !sets {
            self.flags.clobber(self.asm, s.live);
        }
        let (option, by) = (op.bits(15, 13), op.bits(12, 10) as u8);
        let from = 1 << (option & 3);
        if op.rm == ZERO {
            load_imm(self.asm, RCX, 0);
        } else if from == 8 {
            load(self.asm, 8, RCX, home(op.rm));
        } else {
            extend(self.asm, option >= 4, 8, from, RCX, home(op.rm));
        }
        shift_imm(self.asm, 8, SHL, RCX, by);
        let rd = if sets { op.rd } else { xsp(op.rd) };
        self.arithmetic(s, size, rd, xsp(op.rn), Second::Rm(Rm::Reg(RCX)));
        if rd == SP {
            self.sp_aligned = false;
        }
    }

    /// ADC, ADCS, SBC, SBCS.
    fn carry(&mut self, s: &Step, size: u8) {
        let op = &s.op;
        let (sub, sets) = (subtracts(op), op.bits(29, 29) != 0);
        if !sets && s.live {
            self.flags.save(self.asm);
        }
        let kind = if sub { Kind::Borrow } else { Kind::Carry };
        self.flags.carry(self.asm, kind);
        let second = if op.rm == ZERO { Second::Imm(0) } else { Second::Rm(home(op.rm)) };
        self.binary(if sub { SBB } else { ADC }, size, op.rd, op.rn, second);
        if sets {
            self.flags.wrote(kind);
        }
    }
}
