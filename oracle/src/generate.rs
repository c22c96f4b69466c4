//! Makes cases: an encoding of a random form, then registers and memory that make it do
//! something. What a particular instruction needs is in [`crate::needs`].

use crate::forms::{self, Form, Forms};
use crate::layout::{
    self, BASED, CODE, CODE16, CONST, DATA, DATA16, DOWN, LIMITED, READ_ONLY, STACK, STACK16, gdt,
};
use crate::needs;
use crate::rng::Rng;
use crate::state::{Case, Mode, Patch, State, seg};
use crate::values::{self, Element};
use iced_x86::{
    ConstantOffsets, Decoder, DecoderError, DecoderOptions, Instruction, InstructionInfoFactory, OpKind,
    Register,
};

/// A case being made.
pub struct Draft {
    /// The random numbers of this case.
    pub rng: Rng,
    /// Mode of the code segment.
    pub mode: Mode,
    /// The instruction's bytes.
    pub bytes: Vec<u8>,
    /// The instruction.
    pub i: Instruction,
    /// Where it lies, as a linear address.
    pub addr: u64,
    /// Bytes of code before it.
    pub lead: usize,
    /// Registers before.
    pub state: State,
    /// Memory before.
    pub patches: Vec<Patch>,
}

/// Makes case `number` of `seed`.
pub fn case(forms: &Forms, seed: u64, number: u64) -> Case {
    let mut rng = Rng::new(seed, number);
    if forms.invalid && rng.percent(2) {
        return invalid(&mut rng, forms.legacy, number);
    }
    loop {
        let form = rng.pick(&forms.list);
        if let Some(c) = draft(&mut rng, form, number) {
            return c;
        }
    }
}

/// A case whose bytes are no instruction: it ends with #UD, or with #GP where it is too long.
fn invalid(rng: &mut Rng, legacy: bool, number: u64) -> Case {
    let mode = rng.pick(if legacy { &Mode::ALL[..2] } else { &Mode::ALL });
    let code_addr = CODE.addr + 0x400 + rng.below(CODE.len - 0x800);
    let ip = code_addr - code_base(mode);
    let code = loop {
        let mut b = Vec::new();
        for _ in 0..rng.below(4) {
            b.push(rng.pick(&[0xf0, 0xf0, 0x66, 0xf2, 0xf3, 0x2e, 0x67, 0x48]));
        }
        let at = b.len();
        if rng.percent(70) {
            b.push(0x0f);
        }
        b.extend(rng.bits().to_le_bytes());
        b.extend(rng.bits().to_le_bytes());
        b.truncate(15);
        let mut d = Decoder::with_ip(mode.bits(), &b, ip, DecoderOptions::NONE);
        // The vector prefixes belong to instructions that the host may have.
        let vector = matches!(b[at], 0x62 | 0xc4 | 0xc5 | 0x8f);
        let none = d.decode().is_invalid() && d.last_error() == DecoderError::InvalidInstruction;
        // LOCK MOV CR0 is MOV CR8 on AMD's.
        let control = b[at] == 0x0f && matches!(b[at + 1], 0x20 | 0x22);
        if none && !vector && !control {
            break b;
        }
    };
    let nop = forms::decode(mode, &[0x90], ip);
    let mut state = random_state(rng, mode, &nop);
    state.rflags &= !(1 << 8);
    state.rip = ip;
    let (bytes, i) = (code.clone(), nop);
    let mut d =
        Draft { rng: rng.clone(), mode, bytes, i, addr: code_addr, lead: 0, state, patches: Vec::new() };
    d.narrow();
    Case { number, mode, code, code_addr, lead: 0, state: d.state, patches: Vec::new() }
}

fn draft(rng: &mut Rng, form: Form, number: u64) -> Option<Case> {
    let lead = if rng.percent(15) { 2 * (1 + rng.below(3)) as usize } else { 0 };
    let offset = if rng.percent(2) {
        CODE.len - 1 - rng.below(15) - lead as u64
    } else {
        0x400 + rng.below(CODE.len - 0x800)
    };
    let code_addr = CODE.addr + offset;
    let addr = code_addr + lead as u64;
    let (bytes, i) = forms::encode(rng, form, addr - code_base(form.mode))?;
    let state = random_state(rng, form.mode, &i);
    let mut d = Draft { rng: rng.clone(), mode: form.mode, bytes, i, addr, lead, state, patches: Vec::new() };
    d.place_memory();
    needs::satisfy(&mut d);
    if Form::of(d.mode, &d.i) != form {
        return None;
    }
    let mut code = d.leading_code();
    d.lead = code.len();
    // The lead can only be there in full: the instruction's address counts on it.
    code.extend_from_slice(&d.bytes);
    d.state.rip = code_addr - code_base(d.mode);
    d.narrow();
    Some(Case { number, mode: d.mode, code, code_addr, lead: d.lead, state: d.state, patches: d.patches })
}

/// Base of the code segment that cases of a mode use.
pub fn code_base(mode: Mode) -> u64 {
    if mode == Mode::Bits16 { CODE.addr } else { 0 }
}

fn random_state(rng: &mut Rng, mode: Mode, i: &Instruction) -> State {
    let mut s = State::default();
    for r in &mut s.gpr {
        *r = values::int(rng);
    }
    s.rflags = 0x202 | rng.bits() & 0x8d5;
    s.rflags |= u64::from(rng.percent(25)) << 10;
    s.rflags |= u64::from(rng.percent(4)) << 18;
    s.rflags |= u64::from(rng.percent(2)) << 8;
    segments(rng, mode, &mut s);
    random_fpu(rng, &mut s);
    let element = element(i.op_code().memory_size());
    let same = rng.percent(70);
    for x in &mut s.xmm {
        let e = if same {
            element
        } else {
            rng.pick(&[Element::Int(8), Element::Int(32), Element::F32, Element::F64])
        };
        *x = values::vector(rng, e);
    }
    s
}

fn segments(rng: &mut Rng, mode: Mode, s: &mut State) {
    let d = gdt::USER_DS;
    match mode {
        Mode::Bits64 => {
            s.seg = [d, gdt::USER_CS, d, d, 0, 0];
            for base in &mut s.fs_gs_base {
                *base = match rng.below(4) {
                    0 => 0,
                    1 => DATA.addr,
                    2 => rng.below(1 << 47),
                    _ => rng.below(DATA.addr),
                };
            }
        }
        Mode::Bits32 => {
            s.seg = [d, gdt::USER_CS32, d, d, BASED.selector(), d];
            let odd = [LIMITED, DOWN, READ_ONLY, BASED, DATA16].map(|s| s.selector());
            for n in [seg::ES, seg::DS, seg::FS, seg::GS] {
                if rng.percent(12) {
                    s.seg[n] = rng.pick(&odd);
                }
            }
            if rng.percent(6) {
                s.seg[seg::SS] = STACK16.selector();
            }
            if rng.percent(2) {
                s.seg[rng.pick(&[seg::ES, seg::DS, seg::FS, seg::GS])] = 0;
            }
        }
        Mode::Bits16 => {
            let w = DATA16.selector();
            s.seg = [w, CODE16.selector(), STACK16.selector(), w, w, LIMITED.selector()];
            for n in [seg::ES, seg::DS] {
                if rng.percent(8) {
                    s.seg[n] = rng.pick(&[d, LIMITED.selector(), READ_ONLY.selector()]);
                }
            }
            if rng.percent(6) {
                s.seg[seg::SS] = d;
            }
        }
    }
    // RSP points into the stack, mostly with room.
    let at = match rng.below(40) {
        0 => rng.below(20),
        1 => STACK.len - rng.below(20),
        2 => PAGE_MIDDLE - rng.below(16),
        3 | 4 => 0xa00 + rng.below(0x800),
        _ => (0xa00 + rng.below(0x800)) & !7,
    };
    let base = if mode == Mode::Bits64 { 0 } else { layout::segment_base(s.seg[seg::SS]) };
    let sp = STACK.addr + at - base;
    s.gpr[4] = if base == 0 { sp } else { s.gpr[4] & !0xffff | sp };
    if rng.percent(1) {
        s.gpr[4] = values::int(rng);
    }
}

const PAGE_MIDDLE: u64 = layout::PAGE;

fn random_fpu(rng: &mut Rng, s: &mut State) {
    s.fcw = 0x37f & !0xf00 | (rng.below(16) as u16) << 8;
    if rng.percent(50) {
        s.fcw = 0x37f;
    }
    if rng.percent(25) {
        s.fcw &= !0x3f | rng.bits() as u16;
    }
    let top = rng.below(8) as u16;
    s.fsw = top << 11 | rng.bits() as u16 & 0x4700;
    if rng.percent(25) {
        s.fsw |= rng.bits() as u16 & 0x7f;
    }
    if rng.percent(92) {
        // No exception is pending, else hardly anything else would be tested.
        s.fsw &= s.fcw & 0x3f | !0x3f;
    }
    if s.fsw & !s.fcw & 0x3f != 0 {
        s.fsw |= 0x8080;
    }
    s.ftw = match rng.below(10) {
        0 => 0,
        1 | 2 => 0xff,
        3 => rng.bits() as u8,
        _ => {
            let depth = 1 + rng.below(7);
            (0..depth).fold(0, |t, n| t | 1 << ((u64::from(top) + n) & 7))
        }
    };
    // The last instruction's pointers stay zero: AMD's CPUs load and store them only while an
    // exception is pending.
    for r in &mut s.st {
        *r = values::f80(rng);
    }
    s.mxcsr = 0x1f80;
    if rng.percent(50) {
        s.mxcsr |= (rng.below(4) as u32) << 13;
        s.mxcsr |= if rng.percent(30) { rng.bits() as u32 & 0x8040 } else { 0 };
        s.mxcsr |= if rng.percent(30) { rng.bits() as u32 & 0x3f } else { 0 };
        s.mxcsr &= if rng.percent(40) { !0x1f80 | rng.bits() as u32 } else { u32::MAX };
    }
}

/// What an operand of this kind is made of.
pub fn element(size: iced_x86::MemorySize) -> Element {
    use iced_x86::MemorySize as S;
    match size.element_type() {
        S::Float32 => Element::F32,
        S::Float64 => Element::F64,
        S::Float80 => Element::F80,
        other => match other.size() {
            n @ (1 | 2 | 4 | 8) => Element::Int(n as u32 * 8),
            _ => Element::Int(128),
        },
    }
}

/// Position in [`State::gpr`] of a general register or a part of it.
pub fn gpr_index(r: Register) -> Option<usize> {
    r.is_gpr().then(|| r.full_register() as usize - Register::RAX as usize)
}

/// Position in [`State::seg`].
pub fn seg_index(r: Register) -> usize {
    r as usize - Register::ES as usize
}

fn mask(bytes: usize) -> u64 {
    if bytes >= 8 { u64::MAX } else { (1 << (bytes * 8)) - 1 }
}

fn base_of(segment: Register, state: &State, mode: Mode) -> u64 {
    let n = seg_index(segment);
    match mode {
        Mode::Bits64 if n >= seg::FS => state.fs_gs_base[n - seg::FS],
        Mode::Bits64 => 0,
        _ => layout::segment_base(state.seg[n]),
    }
}

fn index_part(i: &Instruction, state: &State) -> u64 {
    let index = i.memory_index();
    let Some(n) = gpr_index(index) else { return 0 };
    (state.gpr[n] & mask(index.size())).wrapping_mul(u64::from(i.memory_index_scale()))
}

/// The linear address of the memory operand of `i`.
pub fn effective_address(i: &Instruction, state: &State, mode: Mode) -> u64 {
    let (base, index) = (i.memory_base(), i.memory_index());
    let width = match (gpr_index(base), gpr_index(index)) {
        (Some(_), _) => base.size(),
        (_, Some(_)) => index.size(),
        _ if base == Register::RIP => 8,
        _ if base == Register::EIP => 4,
        _ => i.memory_displ_size() as usize,
    };
    // iced-x86 gives the target itself as the displacement of an RIP-relative operand.
    let mut a = i.memory_displacement64().wrapping_add(index_part(i, state));
    if let Some(b) = gpr_index(base) {
        a = a.wrapping_add(state.gpr[b]);
    }
    let linear = (a & mask(width)).wrapping_add(base_of(i.memory_segment(), state, mode));
    if mode == Mode::Bits64 { linear } else { linear & mask(4) }
}

impl Draft {
    /// Offset of the next instruction in the code segment.
    pub fn next_ip(&self) -> u64 {
        self.addr + self.bytes.len() as u64 - code_base(self.mode)
    }

    /// Base of a segment as the address computation sees it.
    pub fn base_of(&self, segment: Register) -> u64 {
        base_of(segment, &self.state, self.mode)
    }

    /// Sets the low `bytes` of a general register.
    pub fn set_gpr(&mut self, n: usize, bytes: usize, value: u64) {
        let m = mask(bytes);
        self.state.gpr[n] = self.state.gpr[n] & !m | value & m;
    }

    /// Decodes again after the bytes changed.
    pub fn redecode(&mut self) -> ConstantOffsets {
        let ip = self.addr - code_base(self.mode);
        let mut d = Decoder::with_ip(self.mode.bits(), &self.bytes, ip, DecoderOptions::NONE);
        self.i = d.decode();
        d.get_constant_offsets(&self.i)
    }

    /// Overwrites `size` bytes of the instruction.
    pub fn put_code(&mut self, at: usize, size: usize, value: u64) {
        self.bytes[at..at + size].copy_from_slice(&value.to_le_bytes()[..size]);
    }

    /// A random linear address for an operand of `size` bytes that a segment with `base`
    /// reaches; sometimes one that faults.
    pub fn target(&mut self, size: u64, base: u64) -> u64 {
        let rng = &mut self.rng;
        let far = self.mode != Mode::Bits16;
        let size = size.max(1);
        let part = 1 + rng.below(size);
        if base == CODE.addr && !far {
            return CODE.addr + rng.below(CODE.len);
        }
        let window = if base == STACK.addr || far && rng.percent(8) { STACK } else { DATA };
        match rng.below(100) {
            0 if far => values::int(rng),
            1 if far => CODE.addr + rng.below(CODE.len),
            2..=4 => CONST.addr + (rng.below(CONST.len) & !15),
            5 | 6 => CONST.addr + CONST.len - part,
            7 => DATA.addr - part,
            8 | 9 => STACK.addr + STACK.len - part,
            10..=12 => CONST.addr - part,
            13..=17 => window.addr + layout::PAGE - part,
            18..=30 => window.addr + 0x100 + rng.below(window.len - 0x400),
            31..=45 => {
                let align = size.next_power_of_two().min(64);
                window.addr + 0x100 + (rng.below(window.len - 0x400) & !(align - 1))
            }
            _ => window.addr + 0x100 + (rng.below(window.len - 0x400) & !15),
        }
    }

    /// Makes the ModRM memory operand hit a target and puts a value there.
    fn place_memory(&mut self) {
        if !(0..self.i.op_count()).any(|n| self.i.op_kind(n) == OpKind::Memory) {
            return;
        }
        let size = self.i.memory_size().size() as u64;
        let segbase = self.base_of(self.i.memory_segment());
        let t = self.target(size, segbase);
        let offset = t.wrapping_sub(segbase);
        let (base, index) = (self.i.memory_base(), self.i.memory_index());
        let disp = self.i.memory_displacement64();
        let scale = u64::from(self.i.memory_index_scale());
        if base == Register::RIP || base == Register::EIP {
            self.set_displacement(offset.wrapping_sub(self.next_ip()));
        } else if let Some(b) = gpr_index(base) {
            let w = base.size();
            if base == index {
                let o = offset.wrapping_sub(disp) & mask(w);
                self.set_gpr(b, w, o / (1 + scale));
            } else {
                if self.rng.percent(70) && index != Register::None {
                    // A small index keeps 32-bit sums from wrapping all the time.
                    if let Some(n) = gpr_index(index).filter(|_| index != Register::AL) {
                        let v = self.rng.below(64);
                        self.set_gpr(n, index.size(), v);
                    }
                }
                let o = offset.wrapping_sub(disp).wrapping_sub(self.index_part());
                self.set_gpr(b, w, o);
            }
        } else if let Some(n) = gpr_index(index) {
            if scale == 1 && self.rng.percent(50) {
                self.set_gpr(n, index.size(), offset.wrapping_sub(disp));
            } else {
                if self.mode == Mode::Bits64 {
                    let v = self.rng.below(1 << 20);
                    self.set_gpr(n, index.size(), v);
                }
                self.set_displacement(offset.wrapping_sub(self.index_part()));
            }
        } else {
            self.set_displacement(offset);
        }
        self.fill_operand();
    }

    /// Puts a value where the memory operand is.
    fn fill_operand(&mut self) {
        let size = self.i.memory_size().size();
        if size > 0 && size <= 64 {
            let e = element(self.i.memory_size());
            let mut bytes = Vec::new();
            while bytes.len() < size {
                bytes.extend(values::vector(&mut self.rng, e).to_le_bytes());
            }
            bytes.truncate(size);
            let addr = self.effective_address();
            self.patches.push(Patch { addr, bytes });
        }
    }

    fn index_part(&self) -> u64 {
        index_part(&self.i, &self.state)
    }

    fn set_displacement(&mut self, value: u64) {
        let c = self.redecode();
        if c.has_displacement() {
            self.put_code(c.displacement_offset(), c.displacement_size(), value);
            self.redecode();
        }
    }

    /// The linear address of the memory operand.
    pub fn effective_address(&self) -> u64 {
        effective_address(&self.i, &self.state, self.mode)
    }

    /// Puts bytes at the top of the stack.
    pub fn put_stack(&mut self, offset: u64, bytes: &[u8]) {
        let addr = self.stack_address(offset);
        self.patches.push(Patch { addr, bytes: bytes.to_vec() });
    }

    /// The linear address `offset` bytes above the top of the stack.
    pub fn stack_address(&self, offset: u64) -> u64 {
        let sp = self.state.gpr[4].wrapping_add(offset);
        if self.mode == Mode::Bits64 {
            return sp;
        }
        let base = layout::segment_base(self.state.seg[seg::SS]);
        let m = if self.state.seg[seg::SS] == STACK16.selector() { 0xffff } else { 0xffff_ffff };
        (base + (sp & m)) & 0xffff_ffff
    }

    /// An offset in a code segment with `base` where a HLT is.
    pub fn landing(&mut self, base: u64) -> u64 {
        let (from, to) = (self.addr - self.lead as u64, self.addr + 16);
        loop {
            let a = CODE.addr + self.rng.below(CODE.len);
            if a < from || a > to {
                return a.wrapping_sub(base);
            }
        }
    }

    /// A few additions and subtractions before the instruction, so that it finds the flags as
    /// an instruction leaves them and not as they are loaded. They write registers that it does
    /// not use.
    fn leading_code(&mut self) -> Vec<u8> {
        let mut factory = InstructionInfoFactory::new();
        let mut used = 1u32 << 4;
        for u in factory.info(&self.i).used_registers() {
            if let Some(n) = gpr_index(u.register()) {
                used |= 1 << n;
            }
        }
        for m in factory.info(&self.i).used_memory() {
            for r in [m.base(), m.index()] {
                used |= gpr_index(r).map_or(0, |n| 1 << n);
            }
        }
        let free: Vec<u8> = (0..8).filter(|n| used >> n & 1 == 0).collect();
        let mut code = Vec::new();
        for _ in 0..self.lead / 2 {
            let source = self.rng.below(8) as u8;
            let Some(to) = (!free.is_empty()).then(|| self.rng.pick(&free)) else {
                // CMP writes nothing.
                let op = self.rng.pick(&[0x38, 0x39, 0x3a, 0x3b]);
                code.extend([op, 0xc0 | source << 3 | self.rng.below(8) as u8]);
                continue;
            };
            match self.rng.below(10) {
                0 => code.extend([0xff, 0xc0 | to]),
                1 => code.extend([0xff, 0xc8 | to]),
                2 => code.extend([0xf7, 0xd8 | to]),
                3 => code.extend([0x39, 0xc0 | source << 3 | to]),
                4 => code.extend([0x38, 0xc0 | source << 3 | to]),
                _ => {
                    let op = self.rng.pick(&[0x01, 0x29, 0x11, 0x19]);
                    code.extend([op, 0xc0 | source << 3 | to]);
                }
            }
        }
        code
    }

    /// Outside of 64-bit mode there are eight registers of 32 bits, and no bases to choose.
    fn narrow(&mut self) {
        if self.mode != Mode::Bits64 {
            for r in &mut self.state.gpr[..8] {
                *r &= 0xffff_ffff;
            }
            self.state.gpr[8..].fill(0);
            for n in 0..2 {
                self.state.fs_gs_base[n] = layout::segment_base(self.state.seg[seg::FS + n]);
            }
        }
    }
}
