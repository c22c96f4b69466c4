//! Random instructions of the whole implemented set, with operands that mostly make sense.

use dejavm_interp::x86::model::Model;
use dejavm_oracle::forms::{self, Form, Shape};
use dejavm_oracle::rng::Rng;
use dejavm_oracle::state::Mode;
use iced_x86::{
    Code, CpuidFeature, Encoder, EncodingKind, FlowControl, Instruction, InstructionInfoFactory, Mnemonic,
    OpAccess, OpCodeOperandKind, OpKind, Register,
};

/// Kinds of instructions, by how often they are wanted.
const CLASSES: usize = 5;
/// Common integer, x87, MMX and SSE, strings, the rest.
const STRING: usize = 3;

/// Everything that can be chosen from, by mode and class.
pub struct Instructions {
    forms: [[Vec<Form>; CLASSES]; 3],
}

/// What an instruction may use.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    pub mode: Mode,
    /// The register that counts a loop: not written to, an index into memory.
    pub counter: Option<u8>,
    /// Weights of the classes without strings.
    pub mix: [u64; CLASSES],
    /// An absolute address of data, as an offset in its segment.
    pub data: u64,
}

/// Registers that point to data, by number: BX, BP, SI, DI.
pub const POINTERS: [u8; 4] = [3, 5, 6, 7];

/// Instructions that compilers make all the time.
fn common(m: Mnemonic) -> bool {
    use Mnemonic as M;
    let name = format!("{m:?}");
    name.starts_with("Cmov")
        || name.starts_with("Set")
        || matches!(
            m,
            M::Mov
                | M::Add
                | M::Adc
                | M::Sub
                | M::Sbb
                | M::And
                | M::Or
                | M::Xor
                | M::Cmp
                | M::Test
                | M::Lea
                | M::Inc
                | M::Dec
                | M::Neg
                | M::Not
                | M::Shl
                | M::Shr
                | M::Sar
                | M::Rol
                | M::Ror
                | M::Rcl
                | M::Rcr
                | M::Shld
                | M::Shrd
                | M::Imul
                | M::Mul
                | M::Movzx
                | M::Movsx
                | M::Movsxd
                | M::Xchg
                | M::Bt
                | M::Bts
                | M::Btr
                | M::Btc
                | M::Bsf
                | M::Bsr
                | M::Cdq
                | M::Cdqe
                | M::Cwde
                | M::Cqo
                | M::Cwd
                | M::Cbw
                | M::Bswap
                | M::Xadd
                | M::Cmpxchg
                | M::Push
                | M::Pop
                | M::Nop
                | M::Popcnt
        )
}

/// Instructions that fault with nearly any operand, or change what all others do: rarely chosen.
fn rough(m: Mnemonic) -> bool {
    use Mnemonic as M;
    matches!(
        m,
        M::Popf
            | M::Popfd
            | M::Popfq
            | M::Fldcw
            | M::Fldenv
            | M::Frstor
            | M::Fxrstor
            | M::Fxrstor64
            | M::Ldmxcsr
            | M::Xrstor
            | M::Xrstor64
            | M::Div
            | M::Idiv
            | M::Bound
            | M::Aam
            | M::Cli
            | M::Enter
            | M::Leave
            | M::Verr
            | M::Verw
            | M::Lar
            | M::Lsl
            | M::Wrfsbase
            | M::Wrgsbase
    )
}

/// Where an instruction belongs; `None` for those that are made elsewhere on purpose.
fn class(code: Code) -> Option<usize> {
    let op = code.op_code();
    let m = code.mnemonic();
    if !op.is_instruction() || op.encoding() != EncodingKind::Legacy || op.fwait() {
        return None;
    }
    if code.flow_control() != FlowControl::Next || !op.cpl3() {
        return None;
    }
    let mut probe = Instruction::default();
    probe.set_code(code);
    if !Model::Max.supports(probe.code()) {
        return None;
    }
    let port = matches!(m, Mnemonic::In | Mnemonic::Out | Mnemonic::Insb | Mnemonic::Insd | Mnemonic::Insw)
        || matches!(m, Mnemonic::Outsb | Mnemonic::Outsd | Mnemonic::Outsw);
    let segment = op.op_kinds().contains(&OpCodeOperandKind::seg_reg)
        || matches!(m, Mnemonic::Lds | Mnemonic::Les | Mnemonic::Lfs | Mnemonic::Lgs | Mnemonic::Lss)
        || matches!(m, Mnemonic::Pop) && op.instruction_string().len() == 6;
    if port || segment {
        return None;
    }
    let features = code.cpuid_features();
    let x87 =
        features.iter().any(|f| matches!(f, CpuidFeature::FPU | CpuidFeature::FPU287 | CpuidFeature::FPU387));
    let integer = features.iter().all(|f| {
        use CpuidFeature as F;
        matches!(f, F::INTEL8086 | F::INTEL186 | F::INTEL286 | F::INTEL386 | F::INTEL486 | F::X64 | F::CMOV)
    });
    Some(if probe.is_string_instruction() {
        STRING
    } else if common(m) {
        0
    } else if x87 {
        1
    } else if !integer {
        2
    } else {
        4
    })
}

impl Instructions {
    /// Looks through every encoding that there is.
    pub fn new() -> Self {
        let mut all = Self { forms: Default::default() };
        let mut rng = Rng::new(1, 1);
        for code in Code::values() {
            let Some(class) = class(code) else { continue };
            for (m, mode) in Mode::ALL.into_iter().enumerate() {
                for shape in [Shape::Reg, Shape::Mem] {
                    let form = Form { mode, code, shape };
                    if forms::encode(&mut rng, form, 0x1000).is_some() {
                        all.forms[m][class].push(form);
                    }
                }
            }
        }
        all
    }

    /// How many forms there are.
    pub fn len(&self) -> usize {
        self.forms.iter().flatten().map(Vec::len).sum()
    }

    fn form(&self, rng: &mut Rng, frame: &Frame) -> Form {
        let classes = &self.forms[frame.mode as usize];
        loop {
            let mut at = rng.below(frame.mix.iter().sum());
            let class = frame.mix.iter().position(|w| {
                let here = at < *w;
                at = at.wrapping_sub(*w);
                here
            });
            let form = rng.pick(&classes[class.unwrap_or(0)]);
            if !rough(form.code.mnemonic()) || rng.percent(4) {
                return form;
            }
        }
    }

    /// An instruction at `ip`.
    pub fn make(&self, rng: &mut Rng, frame: &Frame, ip: u64) -> Vec<u8> {
        let mut info = InstructionInfoFactory::new();
        for _ in 0..16 {
            let form = self.form(rng, frame);
            let Some((raw, mut ins)) = forms::encode(rng, form, ip) else { continue };
            if rng.percent(1) {
                return raw;
            }
            let keeps = !info.info(&ins).used_registers().iter().any(|u| {
                let write =
                    !matches!(u.access(), OpAccess::Read | OpAccess::CondRead | OpAccess::NoMemAccess);
                write && reserved(u.register(), frame.counter) && ins.stack_pointer_increment() == 0
            });
            if !keeps || writes_stack_pointer(&mut info, &ins) {
                continue;
            }
            if (0..ins.op_count()).any(|n| ins.op_kind(n) == OpKind::Memory) {
                place(rng, frame, &mut ins);
                let mut encoder = Encoder::new(frame.mode.bits());
                if encoder.encode(&ins, ip).is_ok() {
                    return encoder.take_buffer();
                }
                continue;
            }
            return raw;
        }
        vec![0x90]
    }

    /// A string instruction with whatever prefix, at `ip`.
    pub fn string(&self, rng: &mut Rng, mode: Mode, ip: u64) -> Vec<u8> {
        let form = rng.pick(&self.forms[mode as usize][STRING]);
        forms::encode(rng, form, ip).map_or_else(|| vec![0x90], |(raw, _)| raw)
    }
}

fn reserved(r: Register, counter: Option<u8>) -> bool {
    r.is_gpr() && {
        let n = (r.full_register() as u32 - Register::RAX as u32) as u8;
        n == 4 || POINTERS.contains(&n) || counter == Some(n)
    }
}

/// Pushes and pops may; everything else would lose the stack.
fn writes_stack_pointer(info: &mut InstructionInfoFactory, ins: &Instruction) -> bool {
    if ins.stack_pointer_increment() != 0 {
        // POP into a pointer.
        return ins.op_count() > 0
            && ins.op_kind(0) == OpKind::Register
            && ins.mnemonic() == Mnemonic::Pop
            && { reserved(ins.op_register(0), None) };
    }
    let used = info.info(ins).used_registers().to_vec();
    used.iter().any(|u| {
        u.register().full_register() == Register::RSP
            && !matches!(u.access(), OpAccess::Read | OpAccess::CondRead | OpAccess::NoMemAccess)
    })
}

/// Makes the memory operand hit data.
fn place(rng: &mut Rng, frame: &Frame, ins: &mut Instruction) {
    let bits = frame.mode.bits();
    let size = ins.memory_size().size().max(1) as u64;
    let offsets = ins.code().op_code().op_kinds().contains(&OpCodeOperandKind::mem_offs);
    let wide = if bits == 16 { 2 } else { bits / 8 };
    if offsets {
        ins.set_memory_displacement64(frame.data + rng.below(0x1000));
        ins.set_memory_displ_size(wide);
        return;
    }
    ins.set_memory_index(Register::None);
    ins.set_memory_index_scale(1);
    if bits == 64 && rng.percent(8) {
        ins.set_memory_base(Register::RIP);
        ins.set_memory_displ_size(8);
        ins.set_memory_displacement64(frame.data + rng.below(0x3000));
        return;
    }
    let first = match bits {
        16 => Register::AX,
        32 => Register::EAX,
        _ => Register::RAX,
    };
    let base = if rng.percent(60) { 3 } else { rng.pick(&POINTERS) };
    ins.set_memory_base(first + u32::from(base));
    if let Some(n) = frame.counter
        && bits != 16
        && rng.percent(30)
    {
        ins.set_memory_index(first + u32::from(n));
        ins.set_memory_index_scale(1 << rng.below(4));
    }
    let near = rng.percent(70);
    let reach = if near { 0x70 } else { 0x700 };
    let mut offset = rng.below(2 * reach) as i64 - reach as i64;
    if rng.percent(60) {
        offset &= !(size.next_power_of_two().min(16) as i64 - 1);
    }
    let short = i8::try_from(offset).is_ok();
    let offset = match bits {
        16 => u64::from(offset as u16),
        32 => u64::from(offset as u32),
        _ => offset as u64,
    };
    ins.set_memory_displacement64(offset);
    ins.set_memory_displ_size(if short { 1 } else { wide });
}
