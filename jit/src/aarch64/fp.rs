//! Scalar floating point, while FPCR has its usual value: rounding to nearest, nothing flushed, no default NaN.
//!
//! Results and cumulative flags are the host's, with these exceptions, which are handed to the interpreter before
//! anything changed: a result that is no number (which NaN it is differs), and a result that is the smallest normal
//! number, which Arm may call tiny before rounding and the host not. What the host noted in MXCSR by then the
//! interpreter notes again.

use super::block::{Compiler, Plan, Step};
use super::emit::{Rm, encode, jcc, put, source, target};
use super::flags::Kind;
use super::regs;
use super::regs::ZERO;
use super::regs::host::{RAX, RCX};
use super::simd::LOADED;
use dejavm_interp::aarch64::op::Op;
use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};

/// What an instruction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// The opcode of ADDSS and its kin; check for tiny results; negate.
    Binary(u8, bool, bool),
    Max(bool),
    Move,
    Abs,
    Neg,
    Sqrt,
    Convert,
    Round(u8),
    Compare {
        zero: bool,
    },
    ConditionalCompare,
    Select,
    Imm,
    ToGeneral,
    FromGeneral,
    FromInteger {
        signed: bool,
    },
    ToInteger,
    Fused,
}

/// The size of the operands: 4 or 8 bytes.
fn size(op: &Op) -> Option<u8> {
    match op.bits(23, 22) {
        0 => Some(4),
        1 => Some(8),
        _ => None,
    }
}

fn kind(op: &Op) -> Option<Form> {
    let w = op.word;
    size(op)?;
    if w >> 24 == 0x1f {
        return std::is_x86_feature_detected!("fma").then_some(Form::Fused);
    }
    if w >> 24 & 0x7f != 0x1e || op.bits(21, 21) == 0 {
        return None;
    }
    let general = op.bits(15, 10) == 0;
    if general {
        let wide = op.bits(31, 31) != 0;
        return match (op.bits(20, 16), op.bits(23, 22) == u32::from(wide)) {
            (0b00110, true) => Some(Form::ToGeneral),
            (0b00111, true) => Some(Form::FromGeneral),
            (0b00010, _) => Some(Form::FromInteger { signed: true }),
            (0b00011, _) => Some(Form::FromInteger { signed: false }),
            (0b11000, _) => Some(Form::ToInteger),
            _ => None,
        };
    }
    if op.bits(31, 31) != 0 {
        return None;
    }
    match (op.bits(11, 10), op.bits(15, 12)) {
        (2, 0) => Some(Form::Binary(0x59, true, false)),
        (2, 1) => Some(Form::Binary(0x5e, true, false)),
        (2, 2) => Some(Form::Binary(0x58, false, false)),
        (2, 3) => Some(Form::Binary(0x5c, false, false)),
        (2, 4 | 6) => Some(Form::Max(true)),
        (2, 5 | 7) => Some(Form::Max(false)),
        (2, 8) => Some(Form::Binary(0x59, true, true)),
        (1, _) => Some(Form::ConditionalCompare),
        (3, _) => Some(Form::Select),
        (0, _) if op.bits(12, 12) != 0 => Some(Form::Imm),
        (0, _) if op.bits(13, 13) != 0 => Some(Form::Compare { zero: op.bits(3, 3) != 0 }),
        (0, _) if op.bits(14, 10) == 0b10000 => match op.bits(20, 15) {
            0 => Some(Form::Move),
            1 => Some(Form::Abs),
            2 => Some(Form::Neg),
            3 => Some(Form::Sqrt),
            4 | 5 => Some(Form::Convert),
            _ if !std::is_x86_feature_detected!("sse4.1") => None,
            // To nearest, up, down, to zero; exactly; by FPCR.
            8 => Some(Form::Round(8)),
            9 => Some(Form::Round(8 | 2)),
            10 => Some(Form::Round(8 | 1)),
            11 => Some(Form::Round(8 | 3)),
            14 => Some(Form::Round(0)),
            15 => Some(Form::Round(8)),
            _ => None,
        },
        _ => None,
    }
}

/// How an instruction is compiled, or `None`.
pub fn plan(op: &Op, usual: bool) -> Option<Plan> {
    let kind = kind(op)?;
    let moves = matches!(
        kind,
        Form::Move | Form::Abs | Form::Neg | Form::Select | Form::Imm | Form::ToGeneral | Form::FromGeneral
    );
    // Those that may be handed over always save the flags before: what they kill is not dead.
    (moves || usual).then_some(Plan {
        reads: matches!(kind, Form::Select | Form::ConditionalCompare),
        kills: matches!(kind, Form::Compare { .. } | Form::ConditionalCompare),
        exits: true,
    })
}

/// F3 for singles, F2 for doubles.
fn prefix(size: u8) -> u8 {
    if size == 4 { 0xf3 } else { 0xf2 }
}

impl Compiler<'_> {
    /// Emits a scalar instruction if it is one that [`plan`] accepted.
    pub fn floating(&mut self, s: &Step) -> bool {
        let op = &s.op;
        let (Some(kind), Some(size)) = (kind(op), size(op)) else { return false };
        match kind {
            Form::Move | Form::Abs | Form::Neg => {
                self.need_simd();
                self.scalar(0, op.rn, size);
                match kind {
                    Form::Abs => self.mask(0x54, size, i64::MAX),
                    Form::Neg => self.mask(0x57, size, i64::MIN),
                    _ => {}
                }
                self.set_vector(op.rd, size, 0);
            }
            Form::Select => self.select(op, size),
            Form::Imm => {
                self.need_simd();
                super::emit::load_imm(self.asm, RAX, op.imm);
                let x = self.new_vector(op.rd, size);
                dynasm!(self.asm ; .arch x64 ; movq Rx(x), rax);
            }
            Form::ToGeneral => {
                self.need_simd();
                let x = self.vector(op.rn);
                if op.rd != ZERO {
                    let d = target(op.rd, RAX);
                    if size == 4 {
                        dynasm!(self.asm ; .arch x64 ; movd Rd(d), Rx(x));
                    } else {
                        dynasm!(self.asm ; .arch x64 ; movq Rq(d), Rx(x));
                    }
                    put(self.asm, op.rd, d);
                }
            }
            Form::FromGeneral => {
                self.need_simd();
                let r = source(self.asm, size, op.rn, RAX);
                let x = self.new_vector(op.rd, size);
                if size == 4 {
                    dynasm!(self.asm ; .arch x64 ; movd Rx(x), Rd(r));
                } else {
                    dynasm!(self.asm ; .arch x64 ; movq Rx(x), Rq(r));
                }
            }
            _ => {
                self.need_fp();
                self.arithmetic_fp(s, kind, size);
            }
        }
        true
    }

    fn arithmetic_fp(&mut self, s: &Step, kind: Form, size: u8) {
        let op = &s.op;
        match kind {
            Form::Binary(code, tiny, negate) => {
                let to =
                    self.three_operands(code, size, op.rn, op.rm, if negate { None } else { Some(op.rd) });
                self.check(to, size, tiny);
                if negate {
                    self.mask(0x57, size, i64::MIN);
                }
                self.settle(op.rd, size, to);
            }
            Form::Max(max) => self.extreme(op, size, max),
            Form::Sqrt => {
                let to = self.three_operands(0x51, size, op.rn, op.rn, Some(op.rd));
                self.check(to, size, false);
                self.settle(op.rd, size, to);
            }
            Form::Convert => {
                // The operand's size is the instruction's type, the result's the opcode's.
                let to = if op.bits(16, 15) == 0 { 4 } else { 8 };
                // The result leaves what is above it in the destination.
                self.scalar(1, op.rn, size);
                dynasm!(self.asm ; .arch x64 ; xorps xmm0, xmm0);
                self.sse(prefix(size), 0x5a, 0, 1);
                self.check(0, to, to == 4);
                self.set_vector(op.rd, to, 0);
            }
            Form::Round(mode) => {
                self.scalar(0, op.rn, size);
                if size == 4 {
                    dynasm!(self.asm ; .arch x64 ; roundss xmm0, xmm0, mode as i8);
                } else {
                    dynasm!(self.asm ; .arch x64 ; roundsd xmm0, xmm0, mode as i8);
                }
                self.check(0, size, false);
                self.set_vector(op.rd, size, 0);
            }
            Form::Compare { zero } => {
                self.compare_fp(op, size, zero);
                self.flags.wrote(Kind::Float);
                // What comes back from the interpreter is unordered: no such form has that.
                self.flags.save(self.asm);
            }
            Form::ConditionalCompare => self.conditional_compare_fp(op, size),
            Form::FromInteger { signed } => self.integer_to_fp(op, size, signed),
            Form::ToInteger => {
                let wide = op.bits(31, 31) != 0;
                let x = self.vector(op.rn);
                self.asm.push(prefix(size));
                encode(self.asm, wide, &[0x0f, 0x2c], RAX, Rm::Reg(x));
                // What does not fit gives the most negative number.
                let slow = self.slow();
                self.flags.host = false;
                if wide {
                    dynasm!(self.asm ; .arch x64 ; mov rcx, rax ; neg rcx ; jo =>slow);
                } else {
                    dynasm!(self.asm ; .arch x64 ; mov ecx, eax ; neg ecx ; jo =>slow);
                }
                put(self.asm, op.rd, RAX);
            }
            _ => self.fused(op, size),
        }
    }

    /// An SSE instruction between registers; without a prefix if that is 0.
    pub fn sse(&mut self, prefix: u8, code: u8, reg: u8, rm: u8) {
        if prefix != 0 {
            self.asm.push(prefix);
        }
        encode(self.asm, false, &[0x0f, code], reg, Rm::Reg(rm));
    }

    /// XMM0 = XMM0 and (54) or xor (57) a mask of 64 bits, or of a single's 32. Clobbers RAX and XMM1.
    fn mask(&mut self, code: u8, size: u8, mask: i64) {
        let mask = if size == 4 { mask as u64 >> 32 } else { mask as u64 };
        super::emit::load_imm(self.asm, RAX, mask);
        dynasm!(self.asm ; .arch x64 ; movq xmm1, rax);
        self.sse(0, code, 0, 1);
    }

    /// A scalar operation on two guest registers. Returns the host register with the result, which is the home of `rd`
    /// where that may have it before the result is known to be good, else XMM0: [`Compiler::settle`] must follow.
    fn three_operands(&mut self, code: u8, size: u8, rn: u8, rm: u8, rd: Option<u8>) -> u8 {
        let (n, m) = (self.vector(rn), self.vector(rm));
        if !self.zero_above(rn, size) || !std::is_x86_feature_detected!("avx") {
            self.scalar(0, rn, size);
            self.sse(prefix(size), code, 0, m);
            return 0;
        }
        let to = rd.and_then(|rd| self.early_vector(rd, size)).unwrap_or(0);
        // VEX.LIG.0F, F3 or F2: what is above comes from the first operand.
        let (r, b) = (if to < 8 { 0x80 } else { 0 }, if m < 8 { 0x20 } else { 0 });
        let pp = if size == 4 { 2 } else { 3 };
        self.asm.extend(&[0xc4, r | 0x40 | b | 1, (!n & 15) << 3 | pp, code, 0xc0 | (to & 7) << 3 | m & 7]);
        to
    }

    /// The guest register becomes a result that is good.
    fn settle(&mut self, rd: u8, size: u8, from: u8) {
        if from == 0 {
            self.set_vector(rd, size, 0);
        }
    }

    /// Hands the instruction over when XMM register `x` is no number or, for operations that round `tiny` results,
    /// the smallest normal one. Clobbers RAX and EFLAGS.
    fn check(&mut self, x: u8, size: u8, tiny: bool) {
        let slow = self.slow();
        self.flags.host = false;
        if size == 4 {
            dynasm!(self.asm ; .arch x64 ; ucomiss Rx(x), Rx(x) ; jp =>slow);
            if tiny {
                dynasm!(self.asm ; .arch x64 ; movd eax, Rx(x) ; add eax, eax ; cmp eax, 0x0100_0000 ; je =>slow);
            }
        } else {
            dynasm!(self.asm ; .arch x64 ; ucomisd Rx(x), Rx(x) ; jp =>slow);
            if tiny {
                dynasm!(self.asm
                    ; .arch x64
                    ; movq rax, Rx(x)
                    ; add rax, rax
                    ; cmp rax, [rbp + regs::SMALLEST_DOUBLES]
                    ; je =>slow
                );
            }
        }
    }

    /// EFLAGS of a comparison; the unordered is handed over.
    fn compare_fp(&mut self, op: &Op, size: u8, zero: bool) {
        let slow = self.slow();
        let n = self.vector(op.rn);
        let m = if zero {
            dynasm!(self.asm ; .arch x64 ; xorps xmm1, xmm1);
            1
        } else {
            self.vector(op.rm)
        };
        self.sse(if size == 8 { 0x66 } else { 0 }, 0x2e, n, m);
        dynasm!(self.asm ; .arch x64 ; jp =>slow);
    }

    fn conditional_compare_fp(&mut self, op: &Op, size: u8) {
        let cond = op.bits(15, 12) as u8;
        let (other, end) = (self.asm.new_dynamic_label(), self.asm.new_dynamic_label());
        // Both ways see the same registers.
        let (n, m) = (self.vector(op.rn), self.vector(op.rm));
        if cond < 14 {
            let cc = self.flags.condition(self.asm, cond);
            jcc(self.asm, cc ^ 1, other);
        }
        let slow = self.slow();
        self.sse(if size == 8 { 0x66 } else { 0 }, 0x2e, n, m);
        dynasm!(self.asm ; .arch x64 ; jp =>slow);
        self.flags.wrote(Kind::Float);
        self.flags.save(self.asm);
        self.flags.host = false;
        dynasm!(self.asm ; .arch x64 ; jmp =>end ; =>other);
        if cond < 14 {
            let form = super::flags::save(u64::from(op.bits(3, 0)) << 28);
            dynasm!(self.asm ; .arch x64 ; mov WORD [rbp + regs::FLAGS], form as i16);
        }
        dynasm!(self.asm ; .arch x64 ; =>end);
    }

    /// FMAX, FMIN and their forms for numbers: of two zeros the sum of the signs decides.
    fn extreme(&mut self, op: &Op, size: u8, max: bool) {
        let slow = self.slow();
        self.flags.host = false;
        self.scalar(0, op.rn, size);
        self.scalar(1, op.rm, size);
        self.sse(if size == 8 { 0x66 } else { 0 }, 0x2e, 0, 1);
        let (equal, end) = (self.asm.new_dynamic_label(), self.asm.new_dynamic_label());
        dynasm!(self.asm ; .arch x64 ; jp =>slow ; je =>equal);
        self.sse(prefix(size), if max { 0x5f } else { 0x5d }, 0, 1);
        dynasm!(self.asm ; .arch x64 ; jmp =>end ; =>equal);
        self.sse(0, if max { 0x54 } else { 0x56 }, 0, 1);
        dynasm!(self.asm ; .arch x64 ; =>end);
        self.set_vector(op.rd, size, 0);
    }

    fn select(&mut self, op: &Op, size: u8) {
        self.need_simd();
        let cond = op.bits(15, 12) as u8;
        self.scalar(0, op.rn, size);
        if cond < 14 {
            self.scalar(1, op.rm, size);
            let cc = self.flags.condition(self.asm, cond);
            let end = self.asm.new_dynamic_label();
            jcc(self.asm, cc, end);
            dynasm!(self.asm ; .arch x64 ; movaps xmm0, xmm1 ; =>end);
        }
        self.set_vector(op.rd, size, 0);
    }

    fn integer_to_fp(&mut self, op: &Op, size: u8, signed: bool) {
        let wide = op.bits(31, 31) != 0;
        let r = source(self.asm, 8, op.rn, RAX);
        // The upper lanes are zero, and the conversion waits for nothing.
        dynasm!(self.asm ; .arch x64 ; xorps xmm0, xmm0);
        let (r, w) = match (signed, wide) {
            (true, _) => (r, wide),
            (false, true) => {
                let slow = self.slow();
                self.flags.host = false;
                dynasm!(self.asm ; .arch x64 ; test Rq(r), Rq(r) ; js =>slow);
                (r, true)
            }
            (false, false) => {
                dynasm!(self.asm ; .arch x64 ; mov ecx, Rd(r));
                (RCX, true)
            }
        };
        self.asm.push(prefix(size));
        encode(self.asm, w, &[0x0f, 0x2a], 0, Rm::Reg(r));
        self.set_vector(op.rd, size, 0);
    }

    /// FMADD, FMSUB, FNMADD, FNMSUB.
    fn fused(&mut self, op: &Op, size: u8) {
        let (n, m) = (self.vector(op.rn), self.vector(op.rm));
        self.vector(op.ra);
        // In its place at once, if no operand is there.
        let apart = op.rd != op.rn && op.rd != op.rm;
        let to = if apart && op.rd != op.ra { self.early_vector(op.rd, size).unwrap_or(0) } else { 0 };
        self.scalar(to, op.ra, size);
        // VFMADD231, VFNMADD231, VFNMSUB231, VFMSUB231 of scalars.
        let code = match (op.bits(21, 21), op.bits(15, 15)) {
            (0, 0) => 0xb9,
            (0, _) => 0xbd,
            (_, 0) => 0xbf,
            _ => 0xbb,
        };
        self.fma(code, size == 8, to, n, m);
        self.check(to, size, true);
        self.settle(op.rd, size, to);
    }

    /// A fused multiplication and addition to an XMM register, of doubles or singles.
    pub fn fma(&mut self, code: u8, double: bool, to: u8, n: u8, m: u8) {
        let (r, b) = (if to < 8 { 0x80 } else { 0 }, if m < 8 { 0x20 } else { 0 });
        let w = if double { 0x80 } else { 0 };
        // VEX.128.66.0F38
        self.asm.extend(&[
            0xc4,
            r | 0x40 | b | 2,
            w | (!n & 15) << 3 | 1,
            code,
            0xc0 | (to & 7) << 3 | m & 7,
        ]);
    }

    /// Makes MXCSR the guest's, or hands the instruction over when FPCR is not as usual.
    pub fn need_fp(&mut self) {
        if self.fp == LOADED {
            return;
        }
        let slow = self.slow();
        let (load, back) = (self.asm.new_dynamic_label(), self.asm.new_dynamic_label());
        self.flags.host = false;
        dynasm!(self.asm
            ; .arch x64
            ; cmp BYTE [rbp + regs::FP], LOADED as i8
            ; jne =>load
            ; =>back
        );
        self.loads.push((load, back, slow, self.shared.load_fp));
        self.fp = LOADED;
    }
}
