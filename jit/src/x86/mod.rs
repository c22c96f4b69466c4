//! The block compiler for x86 guests, see [`crate::engine`].

pub mod address;
mod alu;
pub mod block;
pub mod branch;
pub mod emit;
mod entry;
pub mod flags;
pub mod int;
pub mod lazy;
mod level;
pub mod links;
pub mod mem;
mod mov;
mod muldiv;
pub mod regs;
mod returns;
mod shared;
mod shift;
pub mod sse;
mod stack;
pub mod steps;
mod string;
pub mod system;
pub mod x87;

use crate::code::CodeMemory;
use crate::engine::{Code, Context, Source, Target, Translator};
pub use crate::engine::{Settings, Stats};
use crate::links::Targets;
use block::{OpInfo, Shared};
use dejavm_interp::tlb::Tlb;
use dejavm_interp::x86::interpreter::{Driver, Ran};
use dejavm_interp::x86::regs::{Cpu, Segment, right, seg};
use dejavm_interp::x86::{Exec, X86};
use regs::Ctx;

/// The compiling engine for x86 guests.
pub type Jit = Driver<Compiled>;
/// Compiled blocks of x86 guests.
pub type Compiled = crate::engine::Compiled<X64>;

/// x86 guests, compiled.
#[derive(Clone, Copy, Debug)]
pub enum X64 {}

/// True for a writable data segment whose limit is 4 GiB.
fn plain(s: &Segment) -> bool {
    let plain = right::P | right::S | right::RW;
    s.limit == u32::MAX && s.rights & (plain | right::CODE | right::DC) == plain
}

/// What compiled code depends on besides the instructions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mode {
    /// 64-bit mode, else flat 32-bit code.
    pub long: bool,
    /// Privilege level 3.
    pub user: bool,
}

/// The mode of 64-bit code and of 32-bit code with flat segments; other code is not compiled.
fn mode(cpu: &Cpu) -> Option<Mode> {
    let user = cpu.cpl == 3;
    if cpu.mode64() {
        return Some(Mode { long: true, user });
    }
    let cs = cpu.seg(seg::CS);
    let flat = |s: u8| cpu.seg(s).base == 0 && plain(cpu.seg(s));
    let ok = cs.rights & right::DB != 0
        && cs.base == 0
        && cs.limit == u32::MAX
        && !cpu.real_segments()
        && cpu.stack_size() == 4
        && flat(seg::SS)
        && flat(seg::DS)
        && flat(seg::ES);
    ok.then_some(Mode { long: false, user })
}

/// Number of modes.
pub const MODES: usize = 4;

impl Mode {
    fn index(self) -> usize {
        usize::from(self.long) | usize::from(self.user) << 1
    }
}

impl Context<X86> for Ctx {
    fn pc(&self) -> u64 {
        self.rip
    }

    fn result(&mut self) -> Option<Ran> {
        self.result.take()
    }

    fn handed(&self) -> u64 {
        self.handed
    }

    fn missed(&self) -> Option<u64> {
        Some(self.missed)
    }

    fn counted(&self) -> Option<[u64; 2]> {
        Some(self.counted)
    }
}

impl Translator for X64 {
    type Guest = X86;
    type Mode = Mode;
    type Context = Ctx;
    type Info = OpInfo;
    type Shared = Shared;
    const MODES: usize = MODES;
    const ALIGN: u32 = 0;

    fn mode(cpu: &Cpu) -> Option<Mode> {
        mode(cpu)
    }

    fn index(mode: Mode) -> usize {
        mode.index()
    }

    fn decoded_as(mode: Mode) -> u8 {
        if mode.long { 8 } else { 4 }
    }

    fn pc(cpu: &Cpu) -> u64 {
        cpu.rip()
    }

    fn set_pc(cpu: &mut Cpu, pc: u64) {
        cpu.set_rip(pc);
    }

    fn shared_code(memory: &mut CodeMemory) -> Option<Shared> {
        shared::shared_code(memory)
    }

    fn compile(src: &Source<'_, Self>, to: Target<Self>) -> Option<Code<OpInfo>> {
        let source = steps::Source {
            block: src.block,
            ops: src.ops,
            bytes: src.bytes,
            rip: src.pc,
            second: src.second,
            long: src.mode.long,
            user: src.mode.user,
            model: src.cpu.model,
            sse: sse::fits(src.cpu.mxcsr),
            x87: x87::fits(&src.cpu.x87),
            most: src.most,
            count: src.count,
        };
        block::compile(&source, to.shared, to.base, to.number, to.first_site, to.first_info)
    }

    fn enter(
        shared: &Shared,
        ctx: &mut Ctx,
        ex: &mut Exec<'_>,
        tlbs: &mut [Tlb],
        infos: &[OpInfo],
        targets: &mut [Targets],
        (mode, code): (Mode, u64),
    ) -> u64 {
        for (to, from) in ctx.targets.iter_mut().zip(targets) {
            *to = from.address();
        }
        ctx.set_mode(mode);
        (ctx.tlbs, ctx.tlb_count) = (tlbs.as_mut_ptr() as u64, tlbs.len());
        entry::enter(shared, ctx, ex, infos, code)
    }
}
