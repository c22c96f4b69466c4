//! The block compiler for x86 guests, see [`crate::engine`].

pub mod block;
pub mod branch;
pub mod emit;
mod entry;
pub mod flags;
pub mod int;
pub mod links;
pub mod mem;
pub mod regs;
pub mod sse;
pub mod x87;

use crate::code::CodeMemory;
use crate::engine::{Code, Context, Source, Target, Translator};
pub use crate::engine::{Settings, Stats};
use crate::links::Targets;
use block::{OpInfo, Shared};
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

/// `Some(true)` in 64-bit mode, `Some(false)` in 32-bit code with flat segments; other code is not
/// compiled.
fn mode(cpu: &Cpu) -> Option<bool> {
    if cpu.mode64() {
        return Some(true);
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
    ok.then_some(false)
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
    /// 64-bit mode, else flat 32-bit code.
    type Mode = bool;
    type Context = Ctx;
    type Info = OpInfo;
    type Shared = Shared;
    const MODES: usize = 2;
    const ALIGN: u32 = 0;

    fn mode(cpu: &Cpu) -> Option<bool> {
        mode(cpu)
    }

    fn index(long: bool) -> usize {
        long.into()
    }

    fn decoded_as(long: bool) -> u8 {
        if long { 8 } else { 4 }
    }

    fn pc(cpu: &Cpu) -> u64 {
        cpu.rip()
    }

    fn set_pc(cpu: &mut Cpu, pc: u64) {
        cpu.set_rip(pc);
    }

    fn shared_code(memory: &mut CodeMemory) -> Option<Shared> {
        entry::shared_code(memory)
    }

    fn compile(src: &Source<'_, Self>, to: Target<Self>) -> Option<Code<OpInfo>> {
        let source = block::Source {
            block: src.block,
            ops: src.ops,
            bytes: src.bytes,
            rip: src.pc,
            long: src.mode,
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
        infos: &[OpInfo],
        targets: &mut [Targets],
        long: bool,
        code: u64,
    ) -> u64 {
        entry::enter(shared, ctx, ex, infos, targets[Self::index(long)].address(), long, code)
    }
}
