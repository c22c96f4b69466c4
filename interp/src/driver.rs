//! The loop around every engine: boundaries and events, the caches and their coherence, probes. How straight code
//! is run between two looks at events is a [`Blocks`]; what an instruction means is a [`Guest`].

use crate::cache::{Block, Cache};
use crate::engine::{At, Bus, Clock, CodeSink, Control, Exit, Stop};
use crate::exec::{Exec, Flow};
use crate::guest::{Boundary, Code, Guest, Ran};
use crate::mem::{Hit, Memory};
use crate::probe::Probes;
use crate::tlb::{Size, Tlb, table_hits};
use std::marker::PhantomData;

/// How an engine runs straight code between two looks at events. Everything else is [`Driver`]'s.
pub trait Blocks<G: Guest> {
    /// Runs blocks until an instruction asks for a look at events, attention, or the budget ends.
    /// `PROBED`: some probe is active.
    fn run<const PROBED: bool>(
        &mut self,
        cache: &mut Cache<G::Op>,
        tlbs: &mut [Tlb],
        ex: &mut Exec<'_, G>,
    ) -> Ran<G>;

    /// Stores dropped decoded blocks: [`Cache::dropped`] or a new [`Cache::generation`] tells which.
    fn dropped(&mut self, cache: &mut Cache<G::Op>);

    /// See [`Control::count`].
    fn count(&mut self) {}

    /// See [`Control::tell_code`].
    fn tell_code(&mut self, sink: CodeSink) {
        drop(sink);
    }

    /// See [`Control::counters`].
    fn counters(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }
}

/// Executes decoded instructions one by one.
#[derive(Debug)]
pub struct Interpreted<G>(PhantomData<G>);

impl<G> Default for Interpreted<G> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

/// An engine: events, caches and their coherence, around some way to run blocks.
pub struct Driver<G: Guest, B> {
    /// How code is run.
    pub blocks: B,
    /// Size of the TLBs, to be set before the first run.
    pub tlb_size: Size,
    tlbs: Vec<Tlb>,
    /// An empty one that takes a CPU's place while it runs.
    spare: Option<Tlb>,
    cache: Cache<G::Op>,
    hits: Vec<Hit>,
    epoch: u64,
    write_epoch: u64,
    flush: bool,
    probes: Probes,
}

impl<G: Guest, B: Default> Default for Driver<G, B> {
    fn default() -> Self {
        Self::with(B::default())
    }
}

impl<G: Guest, B: Default> Driver<G, B> {
    /// An engine with nothing cached.
    pub fn new() -> Self {
        Self::default()
    }
}

impl<G: Guest, B> Driver<G, B> {
    /// An engine that runs blocks in this way.
    pub fn with(blocks: B) -> Self {
        Self {
            blocks,
            tlb_size: Size::default(),
            tlbs: Vec::new(),
            spare: None,
            cache: Cache::default(),
            hits: Vec::new(),
            epoch: 0,
            write_epoch: 0,
            flush: false,
            probes: Probes::default(),
        }
    }
}

impl<G: Guest, B: Blocks<G>> Driver<G, B> {
    /// Acts on stores into code that were made before step `now`.
    fn take_code_hits(&mut self, mem: &mut Memory, now: u64) {
        let mut hits = std::mem::take(&mut self.hits);
        mem.take_code_hits(&mut hits);
        for hit in hits.drain(..) {
            self.cache.code_hit(mem, hit, now);
        }
        self.hits = hits;
        self.blocks.dropped(&mut self.cache);
    }

    /// Acts on stores into page tables.
    fn take_table_hits(&mut self, mem: &mut Memory) {
        let mut hits = std::mem::take(&mut self.hits);
        mem.take_table_hits(&mut hits);
        if let Some((own, others)) = self.tlbs.split_first_mut() {
            table_hits(own, others, mem, &hits);
        }
        hits.clear();
        self.hits = hits;
    }

    fn prepare(&mut self, index: usize, mem: &mut Memory, now: u64) {
        if self.tlbs.len() <= index {
            self.tlbs.resize_with(index + 1, || Tlb::with_size(self.tlb_size));
        }
        if self.flush {
            self.flush = false;
            self.cache.clear(mem);
            self.blocks.dropped(&mut self.cache);
            self.epoch = u64::MAX;
        }
        if mem.has_hits() {
            self.take_code_hits(mem, now);
            self.take_table_hits(mem);
        }
        if self.epoch != mem.epoch() {
            self.epoch = mem.epoch();
            self.tlbs.iter_mut().for_each(Tlb::clear);
            mem.forget_tables();
        }
        // Other CPUs walked through them.
        for frame in mem.take_new_tables() {
            self.tlbs.iter_mut().for_each(|tlb| tlb.protect(frame));
        }
        if self.write_epoch != mem.write_epoch() {
            self.write_epoch = mem.write_epoch();
            for tlb in &mut self.tlbs {
                tlb.drop_writes();
            }
        }
    }

    /// Tells the probes of accesses to watched memory in the step after `icount`.
    fn take_touches(&mut self, mem: &mut Memory, icount: u64, cpu: usize, pc: u64) {
        let touches = mem.take_touches();
        if !touches.is_empty() {
            self.probes.touched(icount, cpu, pc, touches, |offset, len| mem.value(offset, len));
        }
    }

    /// What [`crate::engine::Engine::run`] is, for each architecture.
    pub(crate) fn run_cpu(
        &mut self,
        cpu: &mut G::Cpu,
        index: usize,
        mem: &mut Memory,
        bus: &mut G::Bus<'_>,
        clock: Clock,
        budget: u64,
    ) -> Exit {
        self.prepare(index, mem, clock.icount);
        // A TLB is large: making one for each run would cost more than many runs do.
        let spare = self.spare.take().unwrap_or_default();
        let mut tlb = std::mem::replace(&mut self.tlbs[index], spare);
        let mut left = budget;
        let stop = loop {
            // Lifetimes: the context is rebuilt after every look at stores into code and tables.
            let mut ex = Exec {
                cpu: &mut *cpu,
                tlb: &mut tlb,
                mem: &mut *mem,
                bus: G::shorter(&mut *bus),
                index,
                clock,
                left,
                budget,
                attention: false,
                probes: &mut self.probes,
                pc: 0,
            };
            G::mode_changed(&mut ex);
            let (blocks, cache, tlbs) = (&mut self.blocks, &mut self.cache, &mut self.tlbs);
            let stop = if ex.probes.active() {
                Self::run_until_attention::<true>(blocks, cache, tlbs, &mut ex)
            } else {
                Self::run_until_attention::<false>(blocks, cache, tlbs, &mut ex)
            };
            let pc = ex.pc;
            left = ex.left;
            if mem.has_hits() {
                let now = clock.icount + budget - left;
                self.take_code_hits(mem, now);
                // A TLB is large, and stores into code matter to none.
                if mem.has_hits() {
                    std::mem::swap(&mut tlb, &mut self.tlbs[index]);
                    self.take_table_hits(mem);
                    std::mem::swap(&mut tlb, &mut self.tlbs[index]);
                }
                // The last step made them.
                self.take_touches(mem, now.saturating_sub(1), index, pc);
            }
            if self.epoch != mem.epoch() {
                self.epoch = mem.epoch();
                tlb.clear();
                self.tlbs.iter_mut().for_each(Tlb::clear);
                mem.forget_tables();
            }
            if let Some(stop) = stop {
                break stop;
            }
            if bus.attention() || self.probes.full() {
                break Stop::Attention;
            }
        };
        self.spare = Some(std::mem::replace(&mut self.tlbs[index], tlb));
        Exit { steps: budget - left, stop }
    }

    /// Runs to a stop (`Some`), or until stores, the bus or the probes want to be looked at
    /// (`None`). `PROBED`: some probe is active.
    fn run_until_attention<const PROBED: bool>(
        blocks: &mut B,
        cache: &mut Cache<G::Op>,
        tlbs: &mut [Tlb],
        ex: &mut Exec<'_, G>,
    ) -> Option<Stop> {
        loop {
            if ex.attention || PROBED && ex.probes.full() {
                return None;
            }
            if PROBED {
                ex.pc = G::linear_pc(ex.cpu);
            }
            if ex.left == 0 {
                return Some(Stop::Budget);
            }
            let single = match G::boundary(ex) {
                Ok(Boundary::Run(single)) => single,
                Ok(Boundary::Entered) => {
                    ex.left -= 1;
                    continue;
                }
                Ok(Boundary::Idle) => return Some(G::idle(ex.cpu)),
                Err(trap) => match G::trapped(ex, trap, None) {
                    Some(stop) => return Some(stop),
                    None => continue,
                },
            };
            let result = if single {
                if PROBED && Interpreted::at_breakpoint(ex) {
                    return None;
                }
                G::run_one(cache, tlbs, ex)
            } else {
                blocks.run::<PROBED>(cache, tlbs, ex)
            };
            match result {
                Ok(Flow::Halt) => G::halt(ex.cpu),
                Ok(Flow::Yield) => return Some(Stop::Yield),
                Ok(_) => {}
                Err((trap, op)) => {
                    if let Some(stop) = G::trapped(ex, trap, op) {
                        return Some(stop);
                    }
                }
            }
        }
    }
}

impl<G: Guest, B: Blocks<G>> Control for Driver<G, B> {
    fn flush(&mut self) {
        self.flush = true;
    }

    fn probes(&mut self) -> &mut Probes {
        &mut self.probes
    }

    fn count(&mut self) {
        self.blocks.count();
    }

    fn tell_code(&mut self, sink: CodeSink) {
        self.blocks.tell_code(sink);
    }

    fn counters(&self) -> Vec<(&'static str, u64)> {
        let mut counters = self.blocks.counters();
        counters.push(("translations cached", self.tlbs.iter().map(Tlb::fills).sum()));
        counters
    }
}

impl<G: Guest> Blocks<G> for Interpreted<G> {
    fn run<const PROBED: bool>(
        &mut self,
        cache: &mut Cache<G::Op>,
        tlbs: &mut [Tlb],
        ex: &mut Exec<'_, G>,
    ) -> Ran<G> {
        loop {
            let flow = Self::run_block::<PROBED>(cache, tlbs, ex)?;
            if !flow.goes_on() || ex.attention || ex.left == 0 || PROBED && ex.probes.full() {
                return Ok(flow);
            }
        }
    }

    fn dropped(&mut self, cache: &mut Cache<G::Op>) {
        cache.dropped.clear();
    }
}

impl<G: Guest> Interpreted<G> {
    /// See [`Guest::code`].
    ///
    /// # Errors
    /// The fetch's fault.
    #[inline]
    pub fn code(
        cache: &mut Cache<G::Op>,
        tlbs: &mut [Tlb],
        ex: &mut Exec<'_, G>,
    ) -> Result<Code<G::Op>, G::Trap> {
        G::code(cache, tlbs, ex)
    }

    /// Runs the block at the PC, or its first instructions if the budget ends or something asks
    /// for it.
    ///
    /// # Errors
    /// What stopped an instruction, or its fetch.
    #[inline(always)]
    pub fn run_block<const PROBED: bool>(
        cache: &mut Cache<G::Op>,
        tlbs: &mut [Tlb],
        ex: &mut Exec<'_, G>,
    ) -> Ran<G> {
        // Before the code is fetched: that may be a fault, or an access to a device.
        if PROBED && Self::at_breakpoint(ex) {
            return Ok(Flow::Next);
        }
        let block = match G::code(cache, tlbs, ex).map_err(|t| (t, None))? {
            Code::Block(block) => block,
            Code::Once(op) => {
                return Self::step(ex, &op).unwrap_or(Ok(Flow::Next));
            }
        };
        Self::run_decoded::<PROBED>(cache, ex, &block)
    }

    /// Runs a block that lies at the PC.
    ///
    /// # Errors
    /// What stopped an instruction.
    #[inline(always)]
    pub fn run_decoded<const PROBED: bool>(
        cache: &Cache<G::Op>,
        ex: &mut Exec<'_, G>,
        block: &Block,
    ) -> Ran<G> {
        let ops = cache.ops(block);
        let n = ops.len().min(ex.left as usize);
        let breaks = PROBED && ex.probes.breaks_in(G::linear_pc(ex.cpu), block.bytes.into());
        for op in &ops[..n] {
            if PROBED {
                if breaks && Self::at_breakpoint(ex) {
                    return Ok(Flow::Next);
                }
                ex.pc = G::linear_pc(ex.cpu);
            }
            if let Some(result) = Self::step(ex, op) {
                return result;
            }
        }
        Ok(Flow::Next)
    }

    /// See [`Guest::step`].
    #[inline(always)]
    fn step(ex: &mut Exec<'_, G>, op: &G::Op) -> Option<Ran<G>> {
        let result = G::step(ex, op)?;
        Some(result.map_err(|trap| {
            G::undone(ex);
            (trap, Some(*op))
        }))
    }

    /// Notes a breakpoint at the instruction that comes next. True when the engine has to leave.
    pub fn at_breakpoint(ex: &mut Exec<'_, G>) -> bool {
        ex.pc = G::linear_pc(ex.cpu);
        let At { icount, cpu } = ex.at();
        ex.probes.execute(icount, cpu, ex.pc);
        ex.probes.full()
    }
}
