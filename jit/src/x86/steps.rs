//! What a block consists of: its instructions, how each is compiled, and what it has to do with those around it.

use super::address::{self, Touch};
use super::flags::flag::ALL;
use super::int::{self, Plan};
use super::lazy::Use;
use super::{branch, shift, sse, string, system, x87};
use dejavm_interp::cache::Block;
use dejavm_interp::x86::model::Model;
use dejavm_interp::x86::op::Op;
use iced_x86::{
    Decoder, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind, Register,
};

/// What a block is compiled from.
pub struct Source<'a> {
    /// The block.
    pub block: &'a Block,
    /// Its instructions.
    pub ops: &'a [Op],
    /// Its bytes.
    pub bytes: &'a [u8],
    /// RIP at its start.
    pub rip: u64,
    /// See [`crate::engine::Source::second`].
    pub second: Option<u64>,
    /// 64-bit mode; else flat 32-bit code.
    pub long: bool,
    /// Privilege level 3.
    pub user: bool,
    /// The CPU's model.
    pub model: Model,
    /// SSE instructions are worth compiling: no exception is unmasked now.
    pub sse: bool,
    /// x87 instructions are.
    pub x87: bool,
    /// Most instructions to take.
    pub most: usize,
    /// Count the block's runs in [`regs::Ctx::counted`].
    pub count: bool,
}

/// One instruction of a block.
pub struct Step {
    /// As iced-x86 decodes it.
    pub ins: Instruction,
    /// As the interpreter executes it.
    pub op: Op,
    /// RIP after it.
    pub next: u64,
    /// How it is compiled; `None` hands it to the interpreter.
    pub plan: Option<Plan>,
    /// Flags that are needed after it.
    pub live: u8,
    /// What it has to do with those before it.
    pub flags: Use,
    /// General registers that it writes, but for what moves RSP by a constant.
    pub writes: u16,
    /// What it does to memory.
    pub touch: Option<Touch>,
}

/// Decodes the block's instructions again, for what the interpreter's form does not tell.
pub fn steps(src: &Source<'_>) -> Vec<Step> {
    let mut steps = Vec::with_capacity(src.ops.len());
    let mut rip = src.rip;
    let mut at = 0;
    let mut factory = InstructionInfoFactory::new();
    for op in src.ops.iter().take(src.most) {
        let Some(bytes) = src.bytes.get(at..) else { break };
        let bits = if src.long { 64 } else { 32 };
        let ins = Decoder::with_ip(bits, bytes, rip, src.model.decoder_options()).decode();
        let same = ins.len() == usize::from(op.len) && ins.code() as u16 == op.code;
        let next = rip.wrapping_add(op.len.into());
        let plan = if same && src.model.supports(ins.code()) {
            int::plan(&ins, op, src.long)
                .or_else(|| branch::plan(&ins, op, src.long))
                .or_else(|| string::plan(&ins, op, src.long))
                .or_else(|| system::plan(&ins, op, src.long, src.user))
                .or_else(|| if src.sse { sse::plan(&ins, op, src.long) } else { None })
                .or_else(|| if src.x87 { x87::plan(&ins, op, src.long) } else { None })
        } else {
            None
        };
        let leaves = !src.long && plan.is_none() && writes_segment(&ins);
        let (writes, touch) = effects(&mut factory, &ins, op, next, src.long);
        let flags = Use::of(&ins, op, plan, src.long, src.user);
        steps.push(Step { ins, op: *op, next, plan, live: ALL, flags, writes, touch });
        rip = next;
        at += usize::from(op.len);
        if leaves {
            // Later instructions may see other segments.
            break;
        }
    }
    let mut live = ALL;
    for s in steps.iter_mut().rev() {
        s.live = live;
        live = match s.plan {
            Some(p) if !p.exits => live & !p.kills | p.reads,
            _ => ALL,
        };
    }
    steps
}

/// [`Step::writes`] and [`Step::touch`].
fn effects(
    factory: &mut InstructionInfoFactory,
    ins: &Instruction,
    op: &Op,
    next: u64,
    long: bool,
) -> (u16, Option<Touch>) {
    let info = factory.info(ins);
    use Mnemonic::{Call, Pop, Popfd, Popfq, Push, Pushfd, Pushfq, Ret};
    let stack = matches!(ins.mnemonic(), Push | Pop | Call | Ret | Pushfq | Pushfd | Popfq | Popfd);
    let reads = |a| matches!(a, OpAccess::Read | OpAccess::CondRead | OpAccess::NoMemAccess | OpAccess::None);
    let mut writes = 0;
    for used in info.used_registers() {
        let full = used.register().full_register();
        if !reads(used.access()) && full.is_gpr() && !(stack && full == Register::RSP) {
            writes |= 1 << full.number();
        }
    }
    if stack && ins.op_kind(0) == OpKind::Register && ins.op0_register().full_register() == Register::RSP {
        // POP into it.
        writes |= 1 << 4;
    }
    let write = info.used_memory().iter().any(|m| !reads(m.access()));
    let touch = if stack {
        Some(Touch { base: int::STACK, write })
    } else if info.used_memory().iter().all(|m| m.access() == OpAccess::NoMemAccess) {
        None
    } else {
        let base = address::base(op, next, long).map_or(address::Base::Next(0), |b| b.0);
        Some(Touch { base, write })
    };
    (writes, touch)
}

/// Accesses to memory of an instruction that is compiled.
pub fn accesses(ins: &Instruction) -> i32 {
    let operands = (0..ins.op_count()).filter(|&i| ins.op_kind(i) == OpKind::Memory).count() as i32;
    let address_only = matches!(ins.mnemonic(), Mnemonic::Lea | Mnemonic::Nop);
    i32::from(ins.stack_pointer_increment() != 0) + if address_only { 0 } else { operands }
}

/// True when it loads a segment register.
pub fn writes_segment(ins: &Instruction) -> bool {
    use Mnemonic::{Lds, Les, Lfs, Lgs, Lss};
    ins.op0_register().is_segment_register() && ins.mnemonic() != Mnemonic::Push
        || matches!(ins.mnemonic(), Lds | Les | Lfs | Lgs | Lss)
        || ins.op_kind(0) == OpKind::Register && ins.op0_register() == Register::SS
}

/// True when the handler neither looks at nor changes the status flags, nor enters anything.
pub fn leaves_flags(ins: &Instruction, plan: Option<Plan>) -> bool {
    match plan {
        Some(p) => p.reads == 0 && p.kills == 0 && !shift::shifts(ins),
        None => {
            let mut simd = false;
            for f in ins.cpuid_features() {
                use iced_x86::CpuidFeature::{FPU, MMX, SSE, SSE2, SSE3, SSE4_1, SSSE3};
                simd |= matches!(f, FPU | MMX | SSE | SSE2 | SSE3 | SSE4_1 | SSSE3);
            }
            simd && ins.rflags_read() == 0
                && ins.rflags_modified() == 0
                && ins.flow_control() == FlowControl::Next
        }
    }
}
