//! Advanced SIMD on whole registers: the host's packed instructions that mean the same.

use super::block::{Compiler, Plan, Step};
use super::emit::{Rm, encode, put, source, target};
use super::regs;
use super::regs::ZERO;
use super::regs::host::RAX;
use dejavm_interp::aarch64::op::Op;
use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};

/// What an instruction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// One host instruction after 66 0F (or 66 0F 38): destination rn, source rm.
    Three {
        code: &'static [u8],
    },
    /// The same with the operands the other way round.
    Reversed {
        code: &'static [u8],
    },
    OrNot,
    /// BSL, BIT, BIF.
    Choose(u32),
    Float {
        code: u8,
        tiny: bool,
    },
    Fused {
        subtract: bool,
    },
    Imm,
    DupGeneral,
    DupElement,
    ToGeneral {
        signed: bool,
    },
    Insert,
    /// EXT, by bytes.
    Extract(u8),
    /// MLA and MLS: the multiplication, and the addition or subtraction.
    Accumulate {
        multiply: &'static [u8],
        code: u8,
        subtract: bool,
    },
    /// ZIP1 and ZIP2, and what is the same of UZP and TRN.
    Zip {
        low: u8,
        high: u8,
        second: bool,
    },
    /// UZP1 and UZP2 of words, in whole registers.
    Words {
        second: bool,
    },
    /// A comparison with zero: rn or zero is the first operand.
    Zero {
        code: &'static [u8],
        first: bool,
    },
    Not,
    /// Zero minus the operand.
    Neg(u8),
    /// USHLL: unpack with zeros, shift by an immediate.
    Widen {
        low: u8,
        high: u8,
        shift: u8,
        by: u8,
    },
    /// Shift by an immediate: the group's opcode and number.
    Shift {
        code: u8,
        number: u8,
        by: u8,
    },
}

/// Three registers of the same kind: the opcode by U, opcode and size.
fn three(op: &Op) -> Option<Form> {
    let (u, size) = (op.bits(29, 29), op.bits(23, 22));
    let sse41 = std::is_x86_feature_detected!("sse4.1");
    let sse42 = std::is_x86_feature_detected!("sse4.2");
    let by = |codes: [&'static [u8]; 4]| {
        let code = codes[size as usize];
        let known = match code.len() {
            0 => false,
            1 => true,
            _ => sse41 && (code[1] != 0x37 || sse42),
        };
        known.then_some(Form::Three { code })
    };
    let float = |code, tiny| Some(Form::Float { code, tiny });
    match (u, op.bits(15, 11)) {
        (0, 0b00011) => Some(match size {
            0 => Form::Three { code: &[0xdb] },
            1 => Form::Reversed { code: &[0xdf] },
            2 => Form::Three { code: &[0xeb] },
            _ => Form::OrNot,
        }),
        (_, 0b00011) => Some(if size == 0 { Form::Three { code: &[0xef] } } else { Form::Choose(size) }),
        (0, 0b10000) => by([&[0xfc], &[0xfd], &[0xfe], &[0xd4]]),
        (_, 0b10000) => by([&[0xf8], &[0xf9], &[0xfa], &[0xfb]]),
        (1, 0b10001) => by([&[0x74], &[0x75], &[0x76], &[0x38, 0x29]]),
        (0, 0b00110) => by([&[0x64], &[0x65], &[0x66], &[0x38, 0x37]]),
        (0, 0b01100) => by([&[0x38, 0x3c], &[0xee], &[0x38, 0x3d], &[]]),
        (_, 0b01100) => by([&[0xde], &[0x38, 0x3e], &[0x38, 0x3f], &[]]),
        (0, 0b01101) => by([&[0x38, 0x38], &[0xea], &[0x38, 0x39], &[]]),
        (_, 0b01101) => by([&[0xda], &[0x38, 0x3a], &[0x38, 0x3b], &[]]),
        (_, 0b10010) if size == 1 || size == 2 && sse41 => {
            let multiply: &[u8] = if size == 1 { &[0xd5] } else { &[0x38, 0x40] };
            let code = [[0xfd, 0xfe], [0xf9, 0xfa]][u as usize][size as usize - 1];
            Some(Form::Accumulate { multiply, code, subtract: u != 0 })
        }
        (0, 0b10011) => by([&[], &[0xd5], &[0x38, 0x40], &[]]),
        (0, 0b11010) => float(if size < 2 { 0x58 } else { 0x5c }, false),
        (1, 0b11011) if size < 2 && sse41 => float(0x59, true),
        (1, 0b11111) if size < 2 && sse41 && op.bits(30, 30) != 0 => float(0x5e, true),
        // Of half a register, what lies above in the third operand would count.
        (0, 0b11001) if sse41 && op.bits(30, 30) != 0 && std::is_x86_feature_detected!("fma") => {
            Some(Form::Fused { subtract: size >= 2 })
        }
        _ => None,
    }
}

fn shift(op: &Op) -> Option<Form> {
    let (u, code, immh, imm) = (op.bits(29, 29), op.bits(15, 11), op.bits(22, 19), op.bits(22, 16));
    let size = immh.checked_ilog2()?;
    let bits = 8 << size;
    let opcode = match size {
        1 => 0x71,
        2 => 0x72,
        3 => 0x73,
        _ => return None,
    };
    match (u, code) {
        // SHL
        (0, 0b01010) => Some(Form::Shift { code: opcode, number: 6, by: (imm - bits) as u8 }),
        // SSHR, USHR
        (0, 0) if size < 3 => Some(Form::Shift { code: opcode, number: 4, by: (2 * bits - imm) as u8 }),
        (1, 0) => Some(Form::Shift { code: opcode, number: 2, by: (2 * bits - imm) as u8 }),
        _ => None,
    }
}

/// USHLL: the size is the narrow elements'.
fn widen(op: &Op) -> Option<Form> {
    let size = op.bits(22, 19).checked_ilog2().filter(|&s| s < 3)?;
    let by = (op.bits(22, 16) - (8 << size)) as u8;
    let (low, high, shift) = [(0x60, 0x68, 0x71), (0x61, 0x69, 0x72), (0x62, 0x6a, 0x73)][size as usize];
    Some(Form::Widen { low, high, shift, by })
}

/// ZIP, UZP, TRN.
fn permute(op: &Op) -> Option<Form> {
    let (size, second, whole) = (op.bits(23, 22) as usize, op.bits(14, 14) != 0, op.bits(30, 30) != 0);
    let zip = |size: usize| {
        let (low, high) = [(0x60, 0x68), (0x61, 0x69), (0x62, 0x6a), (0x6c, 0x6d)][size];
        Some(Form::Zip { low, high, second })
    };
    match op.bits(13, 12) {
        3 => zip(size),
        // Of two elements all three are the same.
        _ if size == 3 || size == 2 && !whole => zip(size),
        1 if size == 2 => Some(Form::Words { second }),
        _ => None,
    }
}

/// Two-register miscellaneous.
fn two(op: &Op) -> Option<Form> {
    let size = op.bits(23, 22) as usize;
    let sse42 = size < 3 || std::is_x86_feature_detected!("sse4.2");
    let equal: [&[u8]; 4] = [&[0x74], &[0x75], &[0x76], &[0x38, 0x29]];
    let greater: [&[u8]; 4] = [&[0x64], &[0x65], &[0x66], &[0x38, 0x37]];
    match (op.bits(29, 29), op.bits(16, 12)) {
        (0, 0b01000) if sse42 => Some(Form::Zero { code: greater[size], first: false }),
        (0, 0b01001) if sse42 => Some(Form::Zero { code: equal[size], first: true }),
        (0, 0b01010) if sse42 => Some(Form::Zero { code: greater[size], first: true }),
        (1, 0b00101) if size == 0 => Some(Form::Not),
        (1, 0b01011) => Some(Form::Neg([0xf8, 0xf9, 0xfa, 0xfb][size])),
        _ => None,
    }
}

fn form(op: &Op) -> Option<Form> {
    let w = op.word;
    if w & 0x9f20_0400 == 0x0e20_0400 {
        return three(op);
    }
    // Modified immediate: MOVI and MVNI, FMOV; ORR and BIC change the register.
    if w & 0x9ff8_0c00 == 0x0f00_0400 {
        let cmode = op.bits(15, 12);
        let changes = cmode < 12 && cmode & 1 != 0;
        return (!changes).then_some(Form::Imm);
    }
    if w & 0xbf80_fc00 == 0x2f00_a400 {
        return widen(op);
    }
    if w & 0x9f80_0400 == 0x0f00_0400 {
        return shift(op);
    }
    if w & 0xbfe0_8400 == 0x2e00_0000 && std::is_x86_feature_detected!("ssse3") {
        return Some(Form::Extract(op.bits(14, 11) as u8));
    }
    if w & 0xbf20_8c00 == 0x0e00_0800 {
        return permute(op);
    }
    if w & 0x9f3e_0c00 == 0x0e20_0800 {
        return two(op);
    }
    // Copy
    if w & 0x9fe0_8400 == 0x0e00_0400 {
        let sse41 = std::is_x86_feature_detected!("sse4.1");
        let wide = op.bits(18, 16) == 0 || op.bits(17, 16) == 0;
        return match (op.bits(29, 29), op.bits(14, 11)) {
            (0, 0) if wide => Some(Form::DupElement),
            (0, 1) if std::is_x86_feature_detected!("ssse3") => Some(Form::DupGeneral),
            (0, 5) if sse41 => Some(Form::ToGeneral { signed: true }),
            (0, 7) if sse41 => Some(Form::ToGeneral { signed: false }),
            (0, 3) if sse41 => Some(Form::Insert),
            _ => None,
        };
    }
    None
}

/// How an instruction is compiled, or `None`.
pub fn plan(op: &Op, usual: bool) -> Option<Plan> {
    let form = form(op)?;
    let float = matches!(form, Form::Float { .. } | Form::Fused { .. });
    (!float || usual).then_some(Plan { reads: false, kills: false, exits: true })
}

impl Compiler<'_> {
    /// Emits an instruction that [`plan`] accepted.
    pub fn lanes(&mut self, s: &Step) {
        let op = &s.op;
        let Some(form) = form(op) else { return };
        let size = if op.bits(30, 30) != 0 { 16 } else { 8 };
        if matches!(form, Form::Float { .. } | Form::Fused { .. }) {
            self.need_fp();
        } else {
            self.need_simd();
        }
        match form {
            Form::Three { code } => {
                self.scalar(0, op.rn, size);
                let m = self.vector(op.rm);
                self.packed(code, 0, m);
                self.finish(op.rd, size);
            }
            Form::Reversed { code } => {
                self.scalar(0, op.rm, size);
                let n = self.vector(op.rn);
                self.packed(code, 0, n);
                self.finish(op.rd, size);
            }
            Form::OrNot => {
                self.scalar(0, op.rm, size);
                dynasm!(self.asm ; .arch x64 ; pcmpeqd xmm1, xmm1 ; pxor xmm0, xmm1);
                let n = self.vector(op.rn);
                self.packed(&[0xeb], 0, n);
                self.finish(op.rd, size);
            }
            Form::Choose(which) => {
                // BSL: where rd, rn else rm. BIT: where rm, rn else rd. BIF: where rm, rd else rn.
                let (d, n, m) = (self.vector(op.rd), self.vector(op.rn), self.vector(op.rm));
                let (by, yes, no) = match which {
                    1 => (d, n, m),
                    2 => (m, n, d),
                    _ => (m, d, n),
                };
                dynasm!(self.asm
                    ; .arch x64
                    ; movaps xmm0, Rx(yes)
                    ; xorps xmm0, Rx(no)
                    ; andps xmm0, Rx(by)
                    ; xorps xmm0, Rx(no)
                );
                self.finish(op.rd, size);
            }
            Form::Float { code, tiny } => {
                self.scalar(0, op.rn, size);
                self.scalar(1, op.rm, size);
                self.sse(if op.bits(22, 22) != 0 { 0x66 } else { 0 }, code, 0, 1);
                self.check_lanes(op, tiny);
                self.finish(op.rd, size);
            }
            Form::Fused { subtract } => {
                self.scalar(0, op.rd, size);
                self.scalar(1, op.rn, size);
                let m = self.vector(op.rm);
                self.fma(if subtract { 0xbc } else { 0xb8 }, op.bits(22, 22) != 0, 0, 1, m);
                self.check_lanes(op, true);
                self.finish(op.rd, size);
            }
            Form::Imm => {
                let x = self.new_vector(op.rd, size);
                if op.imm == 0 {
                    dynasm!(self.asm ; .arch x64 ; pxor Rx(x), Rx(x));
                    return;
                }
                super::emit::load_imm(self.asm, RAX, op.imm);
                dynasm!(self.asm ; .arch x64 ; movq Rx(x), rax);
                if size == 16 {
                    dynasm!(self.asm ; .arch x64 ; punpcklqdq Rx(x), Rx(x));
                }
            }
            Form::DupGeneral => {
                let r = source(self.asm, 8, op.rn, RAX);
                let x = self.new_vector(op.rd, size);
                dynasm!(self.asm ; .arch x64 ; movq Rx(x), Rq(r));
                self.replicate_in(x, 1 << op.bits(19, 16).trailing_zeros(), size);
            }
            Form::DupElement => {
                let n = self.vector(op.rn);
                let imm5 = op.bits(20, 16);
                let order = if imm5 & 7 == 4 {
                    (imm5 >> 3) * 0x55
                } else if imm5 >> 4 != 0 {
                    0xee
                } else {
                    0x44
                };
                dynasm!(self.asm ; .arch x64 ; pshufd xmm0, Rx(n), order as i8);
                self.finish(op.rd, size);
            }
            Form::ToGeneral { signed } => self.move_to_general(op, signed),
            Form::Insert => self.insert_general(op),
            Form::Extract(by) => {
                if size == 16 {
                    // The second register is the upper half.
                    let n = self.vector(op.rn);
                    self.scalar(0, op.rm, 16);
                    dynasm!(self.asm ; .arch x64 ; palignr xmm0, Rx(n), by as i8);
                } else {
                    self.scalar(0, op.rn, 8);
                    let m = self.vector(op.rm);
                    dynasm!(self.asm ; .arch x64 ; punpcklqdq xmm0, Rx(m) ; psrldq xmm0, by as i8);
                }
                self.finish(op.rd, size);
            }
            Form::Accumulate { multiply, code, subtract } => {
                let (n, m, d) = (self.vector(op.rn), self.vector(op.rm), self.vector(op.rd));
                dynasm!(self.asm ; .arch x64 ; movaps xmm0, Rx(n));
                self.packed(multiply, 0, m);
                if subtract {
                    dynasm!(self.asm ; .arch x64 ; movaps xmm1, Rx(d));
                    self.packed(&[code], 1, 0);
                    dynasm!(self.asm ; .arch x64 ; movaps xmm0, xmm1);
                } else {
                    self.packed(&[code], 0, d);
                }
                self.finish(op.rd, size);
            }
            Form::Zip { low, high, second } => {
                let (n, m) = (self.vector(op.rn), self.vector(op.rm));
                dynasm!(self.asm ; .arch x64 ; movaps xmm0, Rx(n));
                if size == 16 {
                    self.packed(&[if second { high } else { low }], 0, m);
                } else {
                    self.packed(&[low], 0, m);
                    if second {
                        dynasm!(self.asm ; .arch x64 ; psrldq xmm0, 8);
                    }
                }
                self.finish(op.rd, size);
            }
            Form::Words { second } => {
                let (n, m) = (self.vector(op.rn), self.vector(op.rm));
                let order = if second { 0xdd } else { 0x88u8 };
                dynasm!(self.asm ; .arch x64 ; movaps xmm0, Rx(n) ; shufps xmm0, Rx(m), order as i8);
                self.finish(op.rd, size);
            }
            Form::Zero { code, first } => {
                let n = self.vector(op.rn);
                dynasm!(self.asm ; .arch x64 ; pxor xmm0, xmm0);
                if first {
                    self.packed(code, 0, n);
                } else {
                    dynasm!(self.asm ; .arch x64 ; pxor xmm1, xmm1 ; movaps xmm0, Rx(n));
                    self.packed(code, 0, 1);
                }
                self.finish(op.rd, size);
            }
            Form::Not => {
                let n = self.vector(op.rn);
                dynasm!(self.asm ; .arch x64 ; pcmpeqd xmm0, xmm0 ; pxor xmm0, Rx(n));
                self.finish(op.rd, size);
            }
            Form::Neg(code) => {
                let n = self.vector(op.rn);
                dynasm!(self.asm ; .arch x64 ; pxor xmm0, xmm0);
                self.packed(&[code], 0, n);
                self.finish(op.rd, size);
            }
            Form::Widen { low, high, shift, by } => {
                let n = self.vector(op.rn);
                dynasm!(self.asm ; .arch x64 ; movaps xmm0, Rx(n) ; pxor xmm1, xmm1);
                self.packed(&[if size == 16 { high } else { low }], 0, 1);
                self.asm.push(0x66);
                encode(self.asm, false, &[0x0f, shift], 6, Rm::Reg(0));
                self.asm.push(by);
                self.finish(op.rd, 16);
            }
            Form::Shift { code, number, by } => {
                self.scalar(0, op.rn, size);
                self.asm.push(0x66);
                encode(self.asm, false, &[0x0f, code], number, Rm::Reg(0));
                self.asm.push(by);
                self.finish(op.rd, size);
            }
        }
    }

    /// A guest register, which was just loaded: its lowest element goes to all of its first `size` bytes.
    pub fn replicate(&mut self, n: u8, element: u8, size: u8) {
        let x = self.new_vector(n, size);
        self.replicate_in(x, element, size);
    }

    /// The lowest element goes to all others. Clobbers XMM0.
    fn replicate_in(&mut self, x: u8, element: u8, size: u8) {
        match element {
            1 => dynasm!(self.asm ; .arch x64 ; pxor xmm0, xmm0 ; pshufb Rx(x), xmm0),
            2 => dynasm!(self.asm ; .arch x64 ; pshuflw Rx(x), Rx(x), 0 ; punpcklqdq Rx(x), Rx(x)),
            4 => dynasm!(self.asm ; .arch x64 ; pshufd Rx(x), Rx(x), 0),
            _ => dynasm!(self.asm ; .arch x64 ; punpcklqdq Rx(x), Rx(x)),
        }
        if size == 8 {
            dynasm!(self.asm ; .arch x64 ; movq Rx(x), Rx(x));
        }
    }

    /// A packed integer instruction.
    fn packed(&mut self, code: &[u8], reg: u8, rm: u8) {
        self.asm.push(0x66);
        match code {
            [a] => encode(self.asm, false, &[0x0f, *a], reg, Rm::Reg(rm)),
            [a, b] => encode(self.asm, false, &[0x0f, *a, *b], reg, Rm::Reg(rm)),
            _ => {}
        }
    }

    /// The guest register becomes XMM0, of 8 bytes without what is above.
    fn finish(&mut self, rd: u8, size: u8) {
        if size == 8 {
            dynasm!(self.asm ; .arch x64 ; movq xmm0, xmm0);
        }
        self.set_vector(rd, size, 0);
    }

    /// As the scalar check, of each lane of XMM0. Clobbers XMM1, RAX and EFLAGS.
    fn check_lanes(&mut self, op: &Op, tiny: bool) {
        let slow = self.slow();
        self.flags.host = false;
        let double = op.bits(22, 22) != 0;
        dynasm!(self.asm ; .arch x64 ; movaps xmm1, xmm0);
        if double {
            dynasm!(self.asm ; .arch x64 ; cmppd xmm1, xmm0, 3);
        } else {
            dynasm!(self.asm ; .arch x64 ; cmpps xmm1, xmm0, 3);
        }
        dynasm!(self.asm ; .arch x64 ; movmskps eax, xmm1 ; test eax, eax ; jnz =>slow);
        if tiny {
            dynasm!(self.asm ; .arch x64 ; movaps xmm1, xmm0);
            if double {
                dynasm!(self.asm ; .arch x64 ; paddq xmm1, xmm1 ; pcmpeqq xmm1, [rbp + regs::SMALLEST_DOUBLES]);
            } else {
                dynasm!(self.asm ; .arch x64 ; paddd xmm1, xmm1 ; pcmpeqd xmm1, [rbp + regs::SMALLEST_SINGLES]);
            }
            dynasm!(self.asm ; .arch x64 ; movmskps eax, xmm1 ; test eax, eax ; jnz =>slow);
        }
    }

    /// UMOV and SMOV.
    fn move_to_general(&mut self, op: &Op, signed: bool) {
        let n = self.vector(op.rn);
        if op.rd == ZERO {
            return;
        }
        let d = target(op.rd, RAX);
        let imm5 = op.bits(20, 16);
        let scale = imm5.trailing_zeros();
        let lane = (imm5 >> (scale + 1)) as i8;
        match scale {
            0 => dynasm!(self.asm ; .arch x64 ; pextrb Rd(d), Rx(n), lane),
            1 => dynasm!(self.asm ; .arch x64 ; pextrw Rd(d), Rx(n), lane),
            2 => dynasm!(self.asm ; .arch x64 ; pextrd Rd(d), Rx(n), lane),
            _ => dynasm!(self.asm ; .arch x64 ; pextrq Rq(d), Rx(n), lane),
        }
        if signed {
            let to = if op.bits(30, 30) != 0 { 8 } else { 4 };
            super::emit::extend(self.asm, true, to, 1 << scale, d, Rm::Reg(d));
        }
        put(self.asm, op.rd, d);
    }

    /// INS (general).
    fn insert_general(&mut self, op: &Op) {
        let d = self.vector(op.rd);
        let r = source(self.asm, 8, op.rn, RAX);
        let imm5 = op.bits(20, 16);
        let scale = imm5.trailing_zeros();
        let lane = (imm5 >> (scale + 1)) as i8;
        dynasm!(self.asm ; .arch x64 ; movaps xmm0, Rx(d));
        match scale {
            0 => dynasm!(self.asm ; .arch x64 ; pinsrb xmm0, Rd(r), lane),
            1 => dynasm!(self.asm ; .arch x64 ; pinsrw xmm0, Rd(r), lane),
            2 => dynasm!(self.asm ; .arch x64 ; pinsrd xmm0, Rd(r), lane),
            _ => dynasm!(self.asm ; .arch x64 ; pinsrq xmm0, Rq(r), lane),
        }
        self.set_vector(op.rd, 16, 0);
    }
}
