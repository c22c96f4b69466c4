//! Data processing on general registers: each does what the handler of the same group in
//! `dejavm_interp::aarch64::int` does.

use super::block::{Compiler, Plan, Step};
use super::emit::{
    Rm, extend, get, group1, home, lea, load, load_imm, operand, put, shift_imm, sized, source, target, wide,
};
use super::flags::Kind;
use super::regs::host::{RAX, RCX, RDX};
use super::regs::{SP, ZERO};
use dejavm_interp::aarch64::op::Op;
use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};

const ADD: u8 = 0;
const OR: u8 = 1;
const ADC: u8 = 2;
const SBB: u8 = 3;
const AND: u8 = 4;
const SUB: u8 = 5;
const XOR: u8 = 6;
const CMP: u8 = 7;

const ROR: u8 = 1;
const SHL: u8 = 4;
const SHR: u8 = 5;
const SAR: u8 = 7;

/// A second operand.
#[derive(Clone, Copy)]
enum Second {
    Imm(i32),
    Rm(Rm),
}

fn xsp(n: u8) -> u8 {
    if n == 31 { SP } else { n }
}

fn size_of(op: &Op) -> u8 {
    if op.bits(31, 31) != 0 { 8 } else { 4 }
}

/// SF and its kin: bits 30:29 of arithmetic say SUB and S.
fn subtracts(op: &Op) -> bool {
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
    fn compare(&mut self, k: u8, size: u8, rn: u8, second: Second) {
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
    fn binary(&mut self, k: u8, size: u8, rd: u8, rn: u8, second: Second) {
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
    fn immediate(&mut self, size: u8, v: u64) -> Second {
        let fits = if size == 4 { Some(v as i32) } else { i32::try_from(v as i64).ok() };
        match fits {
            Some(v) => Second::Imm(v),
            None => {
                load_imm(self.asm, RCX, v);
                Second::Rm(Rm::Reg(RCX))
            }
        }
    }

    fn logical_imm(&mut self, s: &Step, size: u8) {
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

    fn move_wide(&mut self, s: &Step, size: u8) {
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

    fn apply(&mut self, k: u8, size: u8, d: u8, second: Second) {
        match second {
            Second::Imm(v) => group1(self.asm, size, k, Rm::Reg(d), v),
            Second::Rm(rm) => sized(self.asm, size, &[k << 3 | 2], d, rm),
        }
    }

    /// SBFM, BFM, UBFM by what they do: extract a field to bit 0, or insert one at a bit.
    fn bitfield(&mut self, s: &Step, size: u8) {
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

    fn extract(&mut self, s: &Step, size: u8) {
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

    /// The shifted register, in RCX unless it is one as it is. `invert`: its complement. Flags are clobbered only
    /// by a shift.
    fn shifted(&mut self, op: &Op, size: u8, invert: bool) -> Second {
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

    fn logical_reg(&mut self, s: &Step, size: u8) {
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

    fn three_source(&mut self, s: &Step, size: u8) {
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

    fn two_source(&mut self, s: &Step, size: u8) {
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

    fn one_source(&mut self, s: &Step, size: u8) {
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

    fn conditional_compare(&mut self, s: &Step, size: u8) {
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
    fn conditional_select(&mut self, s: &Step, size: u8) {
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
