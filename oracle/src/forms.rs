//! Which instructions are tested: every encoding that iced-x86 knows of the features in
//! [`FEATURES`], in every mode and with every kind of operand, less those in [`excluded`].

use crate::rng::Rng;
use crate::state::Mode;
use iced_x86::{
    Code, CodeSize, CpuidFeature, Decoder, DecoderOptions, EncodingKind, FlowControl, Instruction,
    MandatoryPrefix, OpCodeInfo, OpCodeOperandKind as Kind, OpCodeTableKind, OpKind,
};
use std::collections::BTreeMap;

/// The features that are tested where the host has them.
pub const FEATURES: &[CpuidFeature] = {
    use CpuidFeature as F;
    &[
        F::INTEL8086,
        F::INTEL186,
        F::INTEL286,
        F::INTEL386,
        F::INTEL486,
        F::X64,
        F::FPU,
        F::FPU287,
        F::FPU387,
        F::CMOV,
        F::CX8,
        F::CMPXCHG16B,
        F::MMX,
        F::FXSR,
        F::SSE,
        F::SSE2,
        F::SSE3,
        F::SSSE3,
        F::SSE4_1,
        F::SSE4_2,
        F::AES,
        F::PCLMULQDQ,
        F::POPCNT,
        F::CLFSH,
        F::PAUSE,
        F::MULTIBYTENOP,
        F::FSGSBASE,
        F::MOVBE,
        F::SHA,
        F::PREFETCHW,
    ]
};

/// What is not run, with the reason.
pub fn excluded(code: Code) -> Option<&'static str> {
    use iced_x86::Mnemonic as M;
    Some(match code.mnemonic() {
        M::Sgdt | M::Sidt | M::Sldt | M::Smsw | M::Str => "UMIP: Linux answers it in place of the CPU",
        M::Cpuid | M::Rdtsc | M::Rdtscp | M::Rdpmc => "its result is the host's own",
        M::Syscall | M::Sysenter => "enters the host's kernel",
        M::Xgetbv | M::Xsave | M::Xsave64 | M::Xrstor | M::Xrstor64 => "the host's XCR0 is not the guest's",
        M::Sysexit | M::Sysret | M::Sysexitq | M::Sysretq => {
            "privileged; the check's order differs by vendor"
        }
        M::Ud0 if code == Code::Ud0 => "an alias without ModRM that iced-x86 decodes only when asked",
        M::Int1 => "hypervisors hand it on as a fault",
        M::Iret | M::Iretd | M::Iretq => {
            "the host's NT and VM cannot be set by a signal return; see the privileged oracle"
        }
        _ if code.op_code().is_reserved_nop() => "reserved NOP: other features' space",
        _ => return None,
    })
}

/// The kind of operand that a form has where its encoding has a ModRM byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Shape {
    /// No ModRM memory operand.
    Reg,
    /// A ModRM memory operand, or an absolute offset.
    Mem,
}

/// One line of the coverage count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Form {
    /// The mode.
    pub mode: Mode,
    /// iced-x86's name of the encoding.
    pub code: Code,
    /// The kind of operand.
    pub shape: Shape,
}

impl Form {
    /// The form of a decoded instruction.
    pub fn of(mode: Mode, i: &Instruction) -> Form {
        let mem = (0..i.op_count()).any(|n| i.op_kind(n) == OpKind::Memory);
        Form { mode, code: i.code(), shape: if mem { Shape::Mem } else { Shape::Reg } }
    }
}

/// All forms to test, and why others are not.
pub struct Forms {
    /// To test.
    pub list: Vec<Form>,
    /// Bytes that are no instruction are tested too.
    pub invalid: bool,
    /// Only what means the same to a CPU that is not in long mode.
    pub legacy: bool,
    /// Not tested: the reason, and the encodings.
    pub skipped: BTreeMap<String, Vec<Code>>,
}

impl Forms {
    /// The forms that a host with `features` can run and whose mnemonic contains `only`.
    pub fn new(features: &[CpuidFeature], only: Option<&str>) -> Forms {
        let mut forms =
            Forms { list: Vec::new(), invalid: only.is_none(), legacy: false, skipped: BTreeMap::new() };
        let base = &FEATURES[..6];
        for code in Code::values() {
            let op = code.op_code();
            if !op.is_instruction() || op.encoding() != EncodingKind::Legacy {
                continue;
            }
            let needs = code.cpuid_features();
            if !needs.iter().all(|f| FEATURES.contains(f)) || op.fwait() {
                continue;
            }
            if let Some(only) = only {
                let name = format!("{:?} {code:?}", code.mnemonic()).to_lowercase();
                if !name.contains(&only.to_lowercase()) {
                    continue;
                }
            }
            let lacks = needs.iter().find(|f| !base.contains(f) && !has(features, **f));
            let reason = match lacks {
                Some(f) => Some(format!("the host has no {f:?}")),
                None => excluded(code).map(String::from),
            };
            if let Some(reason) = reason {
                forms.skipped.entry(reason).or_default().push(code);
                continue;
            }
            for mode in Mode::ALL {
                let there = match mode {
                    Mode::Bits16 => op.mode16(),
                    Mode::Bits32 => op.mode32(),
                    Mode::Bits64 => op.mode64(),
                };
                if there && !vendor_specific(mode, code) {
                    let (reg, mem) = shapes(op);
                    if reg {
                        forms.list.push(Form { mode, code, shape: Shape::Reg });
                    }
                    if mem {
                        forms.list.push(Form { mode, code, shape: Shape::Mem });
                    }
                }
            }
        }
        forms
    }
}

impl Forms {
    /// Without 64-bit mode, and without far branches, which could lead into it.
    pub fn into_legacy(mut self) -> Forms {
        self.legacy = true;
        self.list.retain(|f| {
            let text = f.code.op_code().instruction_string();
            let far = text.contains("m16:") || text.contains("ptr16:");
            let load = matches!(f.code.flow_control(), FlowControl::Next);
            f.mode != Mode::Bits64 && (!far || load) && f.code.mnemonic() != iced_x86::Mnemonic::Retf
        });
        self
    }
}

fn has(features: &[CpuidFeature], f: CpuidFeature) -> bool {
    use CpuidFeature as F;
    matches!(f, F::FPU287 | F::FPU387 | F::PAUSE | F::MULTIBYTENOP) || features.contains(&f)
}

/// Encodings that AMD's and Intel's CPUs decode differently. DejaVM decodes as Intel's.
fn vendor_specific(mode: Mode, code: Code) -> bool {
    use Code as C;
    let far64 =
        matches!(code, C::Lss_r64_m1664 | C::Lfs_r64_m1664 | C::Lgs_r64_m1664 | C::Call_m1664 | C::Jmp_m1664);
    // A near branch with 66 in 64-bit mode: Intel ignores the prefix.
    let near16 = mode == Mode::Bits64
        && matches!(
            code.flow_control(),
            FlowControl::UnconditionalBranch
                | FlowControl::ConditionalBranch
                | FlowControl::Return
                | FlowControl::Call
                | FlowControl::IndirectBranch
                | FlowControl::IndirectCall
        )
        && code.op_code().operand_size() == 16
        && !code.op_code().instruction_string().contains("m16:");
    far64 || near16
}

/// Whether the ModRM operand can be a register (or there is none), and memory.
fn shapes(op: &OpCodeInfo) -> (bool, bool) {
    let (mut reg, mut mem) = (true, false);
    for k in op.op_kinds() {
        match k {
            Kind::mem | Kind::mem_offs | Kind::seg_rBX_al => (reg, mem) = (false, true),
            Kind::r8_or_mem
            | Kind::r16_or_mem
            | Kind::r32_or_mem
            | Kind::r64_or_mem
            | Kind::mm_or_mem
            | Kind::xmm_or_mem => mem = true,
            _ => {}
        }
    }
    (reg, mem)
}

fn has_modrm(op: &OpCodeInfo) -> bool {
    use Kind as K;
    op.is_group()
        || op.is_rm_group()
        || op.op_kinds().iter().any(|k| {
            !matches!(
                k,
                K::None
                    | K::farbr2_2
                    | K::farbr4_2
                    | K::mem_offs
                    | K::r8_opcode
                    | K::r16_opcode
                    | K::r32_opcode
                    | K::r64_opcode
                    | K::es
                    | K::cs
                    | K::ss
                    | K::ds
                    | K::fs
                    | K::gs
                    | K::al
                    | K::cl
                    | K::ax
                    | K::dx
                    | K::eax
                    | K::rax
                    | K::st0
                    | K::sti_opcode
                    | K::imm4_m2z
                    | K::imm8
                    | K::imm8_const_1
                    | K::imm8sex16
                    | K::imm8sex32
                    | K::imm8sex64
                    | K::imm16
                    | K::imm32
                    | K::imm32sex64
                    | K::imm64
                    | K::seg_rSI
                    | K::es_rDI
                    | K::seg_rDI
                    | K::seg_rBX_al
                    | K::br16_1
                    | K::br32_1
                    | K::br64_1
                    | K::br16_2
                    | K::br32_4
                    | K::br64_4
            )
        })
}

/// Decodes what is at `ip` (an offset in the code segment).
pub fn decode(mode: Mode, bytes: &[u8], ip: u64) -> Instruction {
    Decoder::with_ip(mode.bits(), bytes, ip, DecoderOptions::NONE).decode()
}

/// A random encoding of `form`, its immediate and displacement random too. None when the tries
/// gave something else: the caller tries another form or again.
pub fn encode(rng: &mut Rng, form: Form, ip: u64) -> Option<(Vec<u8>, Instruction)> {
    let op = form.code.op_code();
    for _ in 0..24 {
        let bytes = attempt(rng, form, op);
        let i = decode(form.mode, &bytes, ip);
        if !i.is_invalid() && Form::of(form.mode, &i) == form && same_everywhere(&bytes, &i) {
            return Some((bytes[..i.len()].to_vec(), i));
        }
    }
    None
}

/// False for prefix uses on which vendors differ though the encoding as such is common.
fn same_everywhere(bytes: &[u8], i: &Instruction) -> bool {
    let near = i.is_jmp_short_or_near()
        || i.is_jcc_short_or_near()
        || i.is_call_near()
        || i.is_jmp_near_indirect()
        || i.is_call_near_indirect()
        || i.is_loop()
        || i.is_loopcc()
        || i.is_jcx_short()
        || i.mnemonic() == iced_x86::Mnemonic::Ret;
    // REP on these is reserved, and does something on some.
    let rep = prefixes(bytes).iter().any(|p| *p == 0xf2 || *p == 0xf3);
    if rep && i.is_loopcc() {
        return false;
    }
    !(near && i.code_size() == CodeSize::Code64 && prefixes(bytes).contains(&0x66))
}

/// The prefixes at the head of `bytes`, with what is a REX in 64-bit mode.
fn prefixes(bytes: &[u8]) -> &[u8] {
    const LEGACY: &[u8] = &[0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3];
    let n = bytes.iter().take_while(|b| LEGACY.contains(b) || **b & 0xf0 == 0x40).count();
    &bytes[..n]
}

fn attempt(rng: &mut Rng, form: Form, op: &OpCodeInfo) -> Vec<u8> {
    let mut prefix = Vec::with_capacity(8);
    let long = form.mode == Mode::Bits64;
    let mut wide = long && rng.percent(20);
    match (op.operand_size(), form.mode) {
        (16, Mode::Bits32 | Mode::Bits64) | (32, Mode::Bits16) => prefix.push(0x66),
        (64, _) => wide = rng.percent(70),
        (0, _) if op.mandatory_prefix() == MandatoryPrefix::None && rng.percent(5) => {
            prefix.push(0x66);
        }
        (32, Mode::Bits64) => wide = false,
        _ => {}
    }
    match op.mandatory_prefix() {
        MandatoryPrefix::P66 => prefix.push(0x66),
        MandatoryPrefix::PF3 => prefix.push(0xf3),
        MandatoryPrefix::PF2 => prefix.push(0xf2),
        _ => {}
    }
    let native = if long { 64 } else { form.mode.bits() };
    if op.address_size() != 0 && op.address_size() != native
        || op.address_size() == 0 && rng.percent(if form.shape == Shape::Mem { 12 } else { 4 })
    {
        prefix.push(0x67);
    }
    let strings = op.can_use_rep_prefix() || op.can_use_repne_prefix();
    if strings && rng.percent(65) {
        prefix.push(if rng.percent(50) { 0xf3 } else { 0xf2 });
    }
    if rng.percent(if form.shape == Shape::Mem || strings { 20 } else { 3 }) {
        prefix.push(rng.pick(&[0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x64, 0x65]));
    }
    if op.can_use_lock_prefix() && form.shape == Shape::Mem && rng.percent(20) {
        prefix.push(0xf0);
    }
    if rng.percent(3) {
        let n = 1 + rng.below(3);
        for _ in 0..n {
            prefix.push(rng.pick(&[0x2e, 0x3e, 0x66, 0xf2, 0xf3, 0x67, 0x64]));
        }
        // A REX that is not directly before the opcode is ignored.
        if long && rng.percent(30) {
            prefix.push(0x40 | rng.below(16) as u8);
        }
    }
    for n in (1..prefix.len()).rev() {
        prefix.swap(n, rng.below(n as u64 + 1) as usize);
    }
    let mut b = prefix;
    if b.last().is_some_and(|p| p & 0xf0 == 0x40) {
        b.push(0x3e);
    }
    if long && (wide || rng.percent(50)) {
        b.push(0x40 | rng.below(8) as u8 | if wide { 8 } else { 0 });
    }
    match op.table() {
        OpCodeTableKind::T0F => b.push(0x0f),
        OpCodeTableKind::T0F38 => b.extend([0x0f, 0x38]),
        OpCodeTableKind::T0F3A => b.extend([0x0f, 0x3a]),
        _ => {}
    }
    let mut opcode = op.op_code();
    if op.op_kinds().iter().any(|k| {
        matches!(
            k,
            Kind::r8_opcode | Kind::r16_opcode | Kind::r32_opcode | Kind::r64_opcode | Kind::sti_opcode
        )
    }) {
        opcode += rng.below(8) as u32;
    }
    if op.op_code_len() == 2 {
        b.push((opcode >> 8) as u8);
    }
    b.push(opcode as u8);
    if has_modrm(op) {
        let reg = if op.is_group() { op.group_index() as u8 } else { rng.below(8) as u8 };
        let rm = if op.is_rm_group() { op.rm_group_index() as u8 } else { rng.below(8) as u8 };
        let mode = match form.shape {
            Shape::Mem => rng.below(3) as u8,
            Shape::Reg => 3,
        };
        b.push(mode << 6 | reg << 3 | rm);
    }
    for _ in 0..2 {
        b.extend(rng.bits().to_le_bytes());
    }
    if form.code == Code::Int_imm8 {
        // INT 80 is Linux's system call; every other vector has a gate that is closed to
        // programs, or is INT3's or INTO's.
        if let Some(n) = b.iter().position(|x| *x == 0xcd) {
            b[n + 1] = if b[n + 1] == 0x80 { 0x81 } else { b[n + 1] };
        }
    }
    b.truncate(15);
    b
}
