//! From a decoded block to host code.
//!
//! A block begins with taking its number of instructions off the budget. Then comes each
//! instruction in turn: compiled, or a call that hands it to the interpreter's handler. What is
//! rare (TLB misses above all) lies behind the block, out of line, and hands the whole
//! instruction over too: the interpreter does it, faults and devices and all, at its exact place.

use super::emit::Asm;
use super::flags::State;
use super::mem::Other;
use super::regs;
use super::vectors::Vectors;
use super::{Mode, branch, int, ldst, simd, system};
pub use crate::engine::{Code, Site, exit};
use dejavm_interp::aarch64::decode;
use dejavm_interp::aarch64::interpreter::ends_block;
use dejavm_interp::aarch64::op::Op;
use dejavm_interp::aarch64::regs::Features;
use dynasmrt::{DynamicLabel, DynasmApi, DynasmLabelApi, dynasm};

/// What the interpreter needs to run one instruction of a block.
#[derive(Clone, Copy)]
pub struct OpInfo {
    /// The instruction.
    pub op: Op,
    /// Its address.
    pub pc: u64,
    /// Steps of the block that are not made before it, itself included.
    pub rest: u64,
    /// What the code that follows counts on, see [`super::simd`].
    pub fp: u8,
    /// It neither reads nor writes general registers but the stack pointer.
    pub apart: bool,
}

/// What an instruction does to the flags, and whether it may leave the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// It needs NZCV.
    pub reads: bool,
    /// It overwrites NZCV whatever happens.
    pub kills: bool,
    /// It may be handed to the interpreter.
    pub exits: bool,
}

/// Which part of the compiler an instruction belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Integer,
    Memory,
    Branch,
    System,
    Simd,
}

/// One instruction of a block.
pub struct Step {
    /// As the interpreter executes it.
    pub op: Op,
    /// Its address.
    pub pc: u64,
    /// How it is compiled; `None` hands it to the interpreter.
    plan: Option<(Part, Plan)>,
    /// NZCV are needed after it.
    pub live: bool,
}

/// The entry points of the code that all blocks share.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shared {
    /// Into compiled code: context, address.
    pub enter: usize,
    /// Hands instruction EAX to the interpreter, comes back unless the block must be left.
    pub run_op: usize,
    /// Leaves compiled code with the reason in RAX.
    pub exit: usize,
    /// Goes on at the guest address RAX.
    pub indirect: usize,
    /// See [`crate::links::renew`].
    pub renew: usize,
    /// Loads the guest's rounding and flags into MXCSR. Sets ZF if it could. Clobbers nothing else.
    pub load_fp: usize,
}

/// Out-of-line code that hands an instruction to the interpreter.
struct Cold {
    label: DynamicLabel,
    back: DynamicLabel,
    info: u32,
    /// The code at `back` expects the guest's flags in EFLAGS.
    flags: bool,
    /// And MXCSR loaded.
    fp: u8,
    /// Vector registers to store before, and to load after, by guest and host register.
    store: Vec<(u8, u8)>,
    load: Vec<(u8, u8)>,
}

/// A place where a jump waits for its number and stub.
pub struct Pending {
    /// Offset behind the 32-bit distance.
    pub end: usize,
    /// The guest address.
    pub pc: u64,
    /// Its stub.
    pub stub: DynamicLabel,
    /// See [`Site::guard`]; and the label of the guard's other outcome.
    pub guard: Option<(usize, usize, DynamicLabel)>,
}

/// What is being compiled.
pub struct Compiler<'a> {
    /// The assembler.
    pub asm: &'a mut Asm,
    /// The exception level.
    pub el: u8,
    /// Misaligned accesses fault.
    pub strict: bool,
    /// Where the guest's flags are.
    pub flags: State,
    /// The current instruction's way to the interpreter, once it needs one.
    pub slow: Option<DynamicLabel>,
    /// PC at the block's start.
    pub start: u64,
    /// The code that all blocks share.
    pub shared: Shared,
    /// Where the code will run.
    pub base: usize,
    /// Jumps to other blocks.
    pub pending: Vec<Pending>,
    /// Where EFLAGS become the guest's of the saved form given: label, form, where to go on.
    pub constants: Vec<(DynamicLabel, u64, DynamicLabel)>,
    /// Where MXCSR has to be loaded, or a branch's target compared again: label, where to go on, and where if it cannot
    /// be; the code that does it.
    pub loads: Vec<(DynamicLabel, DynamicLabel, DynamicLabel, usize)>,
    /// Operands in other pages than expected.
    pub others: Vec<Other>,
    /// SP is known to be a multiple of 16, or its alignment not to matter.
    pub sp_aligned: bool,
    /// A guest register that the current instruction makes a constant.
    pub known: Option<(u8, u64)>,
    /// The one that the instruction before made.
    pub last_known: Option<(u8, u64)>,
    /// What SIMD instructions may do here, see [`super::simd`].
    pub fp: u8,
    /// Which vector registers are in the host's.
    pub vectors: Vectors,
    cold: Vec<Cold>,
    infos: Vec<OpInfo>,
    first_info: u32,
}

/// What a block is compiled from.
pub struct Source<'a> {
    /// Its instructions.
    pub ops: &'a [Op],
    /// PC at its start.
    pub pc: u64,
    /// What it depends on besides.
    pub mode: Mode,
    /// The CPU's features.
    pub features: Features,
    /// Floating point is worth compiling: FPCR has its usual value now.
    pub fp: bool,
    /// Most instructions to take.
    pub most: usize,
}

/// Compiles a block. `number` is its own, `first_site` and `first_info` those of its first jump and
/// instruction.
pub fn compile(
    src: &Source<'_>,
    shared: Shared,
    base: usize,
    number: u32,
    first_site: u32,
    first_info: u32,
) -> Option<Code<OpInfo>> {
    let steps = steps(src);
    let n = steps.len() as u64;
    let last = steps.last()?;
    let mut asm = Asm::new(base);
    let mut c = Compiler {
        asm: &mut asm,
        el: src.mode.el,
        strict: src.mode.strict,
        flags: State::saved(),
        slow: None,
        start: src.pc,
        shared,
        base,
        pending: Vec::new(),
        constants: Vec::new(),
        loads: Vec::new(),
        others: Vec::new(),
        sp_aligned: false,
        known: None,
        last_known: None,
        fp: simd::UNUSABLE,
        vectors: Vectors::default(),
        cold: Vec::new(),
        infos: Vec::new(),
        first_info,
    };
    let short = c.asm.new_dynamic_label();
    dynasm!(c.asm ; .arch x64 ; sub r15, n as i32 ; jb =>short);
    for (i, s) in steps.iter().enumerate() {
        c.step(s, n - i as u64);
    }
    if !ends_block(last.op.word) {
        c.flags.save(c.asm);
        c.flush_vectors();
        c.chain(last.pc.wrapping_add(4));
    }
    let hot = c.asm.offset().0;
    c.finish_cold();
    dynasm!(c.asm ; .arch x64 ; =>short ; add r15, n as i32 ; mov eax, (u64::from(number) << 8 | exit::BUDGET) as i32);
    c.jump_out(shared.exit);
    let sites = c.finish_sites(first_site);
    let infos = std::mem::take(&mut c.infos);
    let bytes = asm.finalize().ok()?;
    Some(Code { bytes, hot, sites, infos, accepts: None })
}

/// Which part of the compiler takes an instruction, and how.
fn plan(src: &Source<'_>, op: &Op) -> Option<(Part, Plan)> {
    if !decode::allocated(op.word, src.features) {
        return None;
    }
    let (part, plan) = match op.bits(28, 25) {
        8 | 9 | 5 | 13 => (Part::Integer, int::plan(op)),
        10 | 11 if ends_block(op.word) => (Part::Branch, branch::plan(op)),
        10 | 11 => (Part::System, system::plan(op, src.mode)),
        4 | 6 | 12 | 14 => (Part::Memory, ldst::plan(op)),
        7 | 15 => (Part::Simd, simd::plan(op, src.fp)),
        _ => return None,
    };
    plan.map(|p| (part, p))
}

fn steps(src: &Source<'_>) -> Vec<Step> {
    let ops = src.ops.iter().take(src.most).enumerate();
    let mut steps: Vec<Step> = ops
        .map(|(i, op)| {
            let pc = src.pc.wrapping_add(4 * i as u64);
            Step { op: *op, pc, plan: plan(src, op), live: true }
        })
        .collect();
    let mut live = true;
    for s in steps.iter_mut().rev() {
        s.live = live;
        live = match s.plan {
            Some((_, p)) if !p.exits => live && !p.kills || p.reads,
            _ => true,
        };
    }
    steps
}

impl Compiler<'_> {
    fn step(&mut self, s: &Step, rest: u64) {
        self.last_known = self.known.take();
        let exits = s.plan.is_none_or(|(_, p)| p.exits);
        if exits {
            self.flags.save(self.asm);
        }
        self.slow = None;
        match s.plan {
            Some((Part::Branch, _)) | None => self.flush_vectors(),
            Some((Part::Simd | Part::Memory, _)) => self.make_room(),
            _ => {}
        }
        let store = self.vectors.held(true);
        match s.plan {
            Some((Part::Integer, _)) => self.integer(s),
            Some((Part::Memory, _)) => self.memory(s),
            Some((Part::Branch, _)) => self.branch(s),
            Some((Part::System, _)) => self.system(s),
            Some((Part::Simd, _)) => self.simd(s),
            None => {
                // What comes back may have made everything else than it was.
                self.fp = simd::UNUSABLE;
                self.sp_aligned = false;
                let info = self.info(s, rest);
                self.call_run_op(info);
                self.flags.host = false;
                if ends_block(s.op.word) {
                    // None comes back; the jump is for the reader of the code.
                    self.chain(s.pc.wrapping_add(4));
                }
                return;
            }
        }
        if let Some(label) = self.slow {
            let info = self.info(s, rest);
            let back = self.asm.new_dynamic_label();
            dynasm!(self.asm ; .arch x64 ; =>back);
            let load = self.vectors.held(false);
            self.cold.push(Cold { label, back, info, flags: self.flags.host, fp: self.fp, store, load });
        }
    }

    fn info(&mut self, s: &Step, rest: u64) -> u32 {
        let apart = system::is_apart(&s.op);
        self.infos.push(OpInfo { op: s.op, pc: s.pc, rest, fp: self.fp, apart });
        self.first_info + self.infos.len() as u32 - 1
    }

    fn call_run_op(&mut self, info: u32) {
        dynasm!(self.asm ; .arch x64 ; mov eax, info as i32);
        self.call(self.shared.run_op);
    }

    /// CALL of shared code.
    fn call(&mut self, to: usize) {
        self.asm.push(0xe8);
        self.distance(to);
    }

    /// JMP to shared code.
    pub fn jump_out(&mut self, to: usize) {
        self.asm.push(0xe9);
        self.distance(to);
    }

    /// The 32-bit distance from behind it to `to`.
    fn distance(&mut self, to: usize) {
        let end = self.base + self.asm.offset().0 + 4;
        self.asm.push_i32((to as i64 - end as i64) as i32);
    }

    fn finish_cold(&mut self) {
        for (label, form, end) in std::mem::take(&mut self.constants) {
            // SF, ZF, CF out of AH; OF by an addition that overflows or not.
            let form = form & 0xff00 | (form & 1) << 7;
            dynasm!(self.asm
                ; .arch x64
                ; =>label
                ; mov eax, form as i32
                ; add al, al
                ; sahf
                ; jmp =>end
            );
        }
        for (label, back, slow, function) in std::mem::take(&mut self.loads) {
            dynasm!(self.asm ; .arch x64 ; =>label);
            self.call(function);
            dynasm!(self.asm ; .arch x64 ; jz =>back ; jmp =>slow);
        }
        for other in std::mem::take(&mut self.others) {
            self.find_other(&other);
        }
        for cold in std::mem::take(&mut self.cold) {
            dynasm!(self.asm ; .arch x64 ; =>cold.label);
            self.store_vectors(&cold.store);
            self.call_run_op(cold.info);
            if cold.fp == simd::LOADED {
                // It would not have come back if it could not be loaded.
                self.call(self.shared.load_fp);
            }
            self.load_vectors(&cold.load);
            if cold.flags {
                State::bring_back(self.asm);
            }
            dynasm!(self.asm ; .arch x64 ; jmp =>cold.back);
        }
    }

    fn finish_sites(&mut self, first: u32) -> Vec<Site> {
        let mut sites = Vec::new();
        for (i, p) in std::mem::take(&mut self.pending).into_iter().enumerate() {
            let number = u64::from(first) + i as u64;
            if let Some((.., other)) = p.guard {
                dynasm!(self.asm ; .arch x64 ; =>other ; mov rax, QWORD p.pc as i64);
                self.jump_out(self.shared.indirect);
            }
            let stub = self.asm.offset().0;
            dynasm!(self.asm ; .arch x64 ; =>p.stub ; mov eax, (number << 8 | exit::LINK) as i32);
            self.jump_out(self.shared.exit);
            let guard = p.guard.map(|(skip, page, _)| (skip, page));
            sites.push(Site { jump: p.end - 4, stub, rip: p.pc, guard, lazy: None });
        }
        sites
    }

    /// RCX = the CPU.
    pub fn cpu(&mut self) {
        dynasm!(self.asm ; .arch x64 ; mov rcx, [rbp + regs::CPU]);
    }
}
