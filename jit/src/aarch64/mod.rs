//! The block compiler for AArch64 guests, see [`crate::engine`].

mod bits;
pub mod block;
pub mod branch;
mod cond;
pub mod emit;
mod entry;
pub mod flags;
pub mod fp;
pub mod int;
pub mod lanes;
pub mod ldst;
mod logical;
pub mod mem;
mod muldiv;
pub mod regs;
pub mod simd;
pub mod system;
pub mod vectors;

use crate::code::CodeMemory;
use crate::engine::{Code, Context, Source, Target, Translator};
pub use crate::engine::{Settings, Stats};
use crate::links::Targets;
use block::{OpInfo, Shared};
use dejavm_interp::aarch64::regs::{Cpu, sctlr};
use dejavm_interp::aarch64::{A64, Exec};
use dejavm_interp::driver::Driver;
use dejavm_interp::guest::Ran;
use dejavm_interp::tlb::Tlb;
use regs::Ctx;

/// The compiling engine for AArch64 guests.
pub type Jit = Driver<A64, Compiled>;
/// Compiled blocks of AArch64 guests.
pub type Compiled = crate::engine::Compiled<AArch64>;

/// AArch64 guests, compiled.
#[derive(Clone, Copy, Debug)]
pub enum AArch64 {}

/// What compiled code depends on: a level with its own stack pointer, little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    /// The exception level.
    pub el: u8,
    /// Misaligned accesses fault (SCTLR_ELx.A).
    pub strict: bool,
}

/// Number of modes.
pub const MODES: usize = 8;
/// Binary logarithm of an instruction's bytes.
pub const ALIGN: u32 = 2;

/// The mode of a CPU, if code is compiled for it.
pub fn mode(cpu: &Cpu) -> Option<Mode> {
    (cpu.sp_sel == (cpu.el > 0) && !cpu.big_endian())
        .then(|| Mode { el: cpu.el & 3, strict: cpu.sctlr() & sctlr::A != 0 })
}

/// A mode's number.
pub fn index(mode: Mode) -> usize {
    usize::from(mode.el) | usize::from(mode.strict) << 2
}

/// The mode of a number.
pub fn by_index(n: usize) -> Mode {
    Mode { el: n as u8 & 3, strict: n & 4 != 0 }
}

impl Context<A64> for Ctx {
    fn pc(&self) -> u64 {
        self.pc
    }

    fn result(&mut self) -> Option<Ran<A64>> {
        self.result.take()
    }

    fn handed(&self) -> u64 {
        self.handed
    }
}

impl Translator for AArch64 {
    type Guest = A64;
    type Mode = Mode;
    type Context = Ctx;
    type Info = OpInfo;
    type Shared = Shared;
    const MODES: usize = MODES;
    const ALIGN: u32 = ALIGN;

    fn mode(cpu: &Cpu) -> Option<Mode> {
        mode(cpu)
    }

    fn index(mode: Mode) -> usize {
        index(mode)
    }

    fn decoded_as(_mode: Mode) -> u8 {
        0
    }

    fn pc(cpu: &Cpu) -> u64 {
        cpu.pc
    }

    fn set_pc(cpu: &mut Cpu, pc: u64) {
        cpu.pc = pc;
    }

    fn shared_code(memory: &mut CodeMemory) -> Option<Shared> {
        entry::shared_code(memory)
    }

    fn compile(src: &Source<'_, Self>, to: Target<Self>) -> Option<Code<OpInfo>> {
        let source = block::Source {
            ops: src.ops,
            pc: src.pc,
            mode: src.mode,
            features: src.cpu.model.features(),
            fp: src.cpu.fpcr == 0,
            most: src.most,
        };
        block::compile(&source, to.shared, to.base, to.number, to.first_site, to.first_info)
    }

    fn enter(
        shared: &Shared,
        ctx: &mut Ctx,
        ex: &mut Exec<'_>,
        _: &mut [Tlb],
        infos: &[OpInfo],
        targets: &mut [Targets],
        (mode, code): (Mode, u64),
    ) -> u64 {
        entry::enter(shared, ctx, ex, infos, targets, mode, code)
    }
}
