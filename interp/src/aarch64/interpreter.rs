//! The interpreter: finds or decodes code, executes single instructions, takes their exceptions.

use super::decode::{self, decode};
use super::exec::{A64, A64Bus, Exec, Flow, Trap, class};
use super::ldst;
use super::op::{Op, bits};
use super::regs::{Activity, Cpu, psr};
use crate::cache::block_key;
use crate::driver::{Blocks, Driver, Interpreted};
use crate::engine::{Clock, Engine, Exit, Stop};
use crate::guest::{Boundary, Guest, Ran};
use crate::mem::{Memory, PAGE_SIZE, Place};
use crate::tlb::{Access, Tlb};

/// The longest run of instructions that is decoded at once.
const BLOCK_OPS: usize = 64;

/// The reference engine for AArch64 guests.
pub type Interpreter = Driver<A64, Interpreted<A64>>;
/// An engine of any kind for AArch64 guests.
pub type AnyEngine = dyn for<'a> Engine<Cpu, dyn A64Bus + 'a> + Send;

/// The reference engine, compiled in this crate.
pub fn engine() -> Box<AnyEngine> {
    Box::new(Interpreter::new())
}

/// Instructions that are about to be executed.
pub type Code = crate::guest::Code<Op>;
/// The cache of decoded instructions.
pub type Cache = crate::cache::Cache<Op>;

impl<B: Blocks<A64>> Engine<Cpu, dyn A64Bus + '_> for Driver<A64, B> {
    fn run(
        &mut self,
        cpu: &mut Cpu,
        index: usize,
        mem: &mut Memory,
        bus: &mut (dyn A64Bus + '_),
        clock: Clock,
        budget: u64,
    ) -> Exit {
        self.run_cpu(cpu, index, mem, bus, clock, budget)
    }
}

/// True when nothing that follows `word` in memory is executed right after it, or rarely: a branch, an
/// exception, an exception's return. (C4.1.94; system instructions and hints go on.)
pub fn ends_block(word: u32) -> bool {
    bits(word, 28, 26) == 0b101 && bits(word, 31, 22) != 0b11_0101_0100
}

impl Guest for A64 {
    type Cpu = Cpu;
    type Bus<'a> = dyn A64Bus + 'a;
    type Op = Op;
    type Trap = Trap;

    fn shorter<'a, 'b: 'a>(bus: &'a mut (dyn A64Bus + 'b)) -> &'a mut (dyn A64Bus + 'a) {
        bus
    }

    #[inline]
    fn linear_pc(cpu: &Cpu) -> u64 {
        cpu.pc
    }

    fn mode_changed(ex: &mut Exec<'_>) {
        ex.mode_changed();
    }

    #[inline]
    fn boundary(ex: &mut Exec<'_>) -> Result<Boundary, Trap> {
        ex.boundary()
    }

    fn idle(_cpu: &Cpu) -> Stop {
        Stop::Halted
    }

    fn halt(cpu: &mut Cpu) {
        cpu.activity = Activity::WaitForInterrupt;
    }

    fn code(cache: &mut Cache, tlbs: &mut [Tlb], ex: &mut Exec<'_>) -> Result<Code, Trap> {
        let pc = ex.cpu.pc;
        if pc & 3 != 0 {
            return Err(Trap::Exception { class: class::PC_ALIGNMENT, iss: 0, far: Some(pc) });
        }
        let e = ex.tlb.entry(pc, Access::Fetch);
        let d = pc.wrapping_sub(e.tag);
        let offset = if d < PAGE_SIZE {
            e.offset + d
        } else {
            let t = ex.translate(false, pc, Access::Fetch)?;
            match t.place {
                Place::Ram(o) | Place::Rom(o) => o,
                Place::Bus => {
                    let at = ex.at();
                    let word = ex.bus.mmio_read(ex.mem, at, t.phys, 4) as u32;
                    ex.after_bus();
                    return Ok(Code::Once(decode(word, ex.cpu.model.features())));
                }
            }
        };
        if let Some(block) = cache.find(block_key(offset, 0)) {
            return Ok(Code::Block(*block));
        }
        let features = ex.cpu.model.features();
        let page = &ex.mem.bytes()[offset as usize..(offset | (PAGE_SIZE - 1)) as usize + 1];
        let (words, _) = page.as_chunks();
        let decode = |word: [u8; 4]| decode(u32::from_le_bytes(word), features);
        if let Some(op) = cache.rewritten.once(offset, 0, &words[0], || Some((decode(words[0]), 4))) {
            return Ok(Code::Once(op));
        }
        let mut ops = cache.buffer();
        for &word in words.iter().take(BLOCK_OPS) {
            ops.push(decode(word));
            if ends_block(u32::from_le_bytes(word)) {
                break;
            }
        }
        let bytes = 4 * ops.len() as u32;
        let now = ex.icount();
        let (block, fresh) = cache.insert(ex.mem, offset, 0, ops, bytes, u64::MAX, now);
        if fresh {
            // The other CPUs' permissions to write there end too.
            ex.tlb.protect(offset);
            for tlb in &mut *tlbs {
                tlb.protect(offset);
            }
        }
        Ok(Code::Block(block))
    }

    #[inline(always)]
    fn step(ex: &mut Exec<'_>, op: &Op) -> Option<Result<Flow, Trap>> {
        match (op.run)(ex, op) {
            Ok(Flow::Next) => {
                ex.cpu.pc = ex.cpu.pc.wrapping_add(4);
                ex.left -= 1;
                ex.attention.then_some(Ok(Flow::Next))
            }
            Ok(flow) => {
                ex.left -= 1;
                Some(Ok(flow))
            }
            Err(trap) => Some(Err(trap)),
        }
    }

    fn undone(_ex: &mut Exec<'_>) {}

    fn run_one(cache: &mut Cache, tlbs: &mut [Tlb], ex: &mut Exec<'_>) -> Ran<Self> {
        let op = match Self::code(cache, tlbs, ex).map_err(|t| (t, None))? {
            Code::Block(block) => cache.ops(&block).first().copied(),
            Code::Once(op) => Some(op),
        };
        let Some(op) = op else { return Err((Trap::Unimplemented, None)) };
        ex.breakpoint().map_err(|t| (t, Some(op)))?;
        if ex.cpu.pstate & psr::IL != 0 {
            return Err((Trap::new(class::ILLEGAL_STATE, 0), Some(op)));
        }
        ex.cpu.stepped_exclusive = Some(ldst::is_load_exclusive(op.word));
        let flow = Self::step(ex, &op).unwrap_or(Ok(Flow::Next)).map_err(|t| (t, Some(op)))?;
        if flow == Flow::Entered {
            // An exception's return begins a step anew; other entries have counted theirs.
            ex.cpu.stepped_exclusive = None;
        } else {
            ex.cpu.step_done();
        }
        Ok(flow)
    }

    fn trapped(ex: &mut Exec<'_>, trap: Trap, op: Option<Op>) -> Option<Stop> {
        match trap {
            // The entry into the exception is one step; the instruction made none.
            Trap::Exception { class, iss, far } => {
                let back = ex.cpu.pc;
                ex.raise(class, iss, far, back);
                ex.left -= 1;
                None
            }
            Trap::Unimplemented => {
                let name = op.map_or("event delivery", |op| decode::name(op.word));
                let word = op.map_or(0, |op| op.word);
                Some(Stop::Unimplemented(format!("{name} ({word:08x}) at PC {:#x}", ex.cpu.pc)))
            }
        }
    }
}
