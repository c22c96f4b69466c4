//! The block compiler for x86 guests.
//!
//! [`Jit`] is the interpreter's [`Driver`] around another way to run blocks: code that was run a
//! few times is compiled, the rest is interpreted. Boundaries, events, caches and their coherence
//! are the driver's, so that both engines share them.

pub mod block;
pub mod branch;
pub mod emit;
mod entry;
pub mod flags;
mod hot;
pub mod int;
pub mod links;
pub mod mem;
pub mod regs;
pub mod sse;
pub mod x87;

use crate::code::CodeMemory;
use block::{Code as HostCode, OpInfo, Shared, Source, exit};
use dejavm_interp::cache::block_key;
use dejavm_interp::driver::Blocks;
use dejavm_interp::engine::{CodeSink, HostCode as Told};
use dejavm_interp::mem::PAGE_SIZE;
use dejavm_interp::tlb::{Access, Tlb};
use dejavm_interp::x86::interpreter::{Cache, Code, Driver, Interpreted, Ran};
use dejavm_interp::x86::regs::{Cpu, Segment, right, seg};
use dejavm_interp::x86::{Exec, Flow, X86};
use hot::Hot;
use links::Targets;
use regs::Ctx;
use std::collections::BTreeMap;

/// The compiling engine for x86 guests.
pub type Jit = Driver<Compiled>;

/// Settings that tests turn; none of them can be seen by the guest.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How often a block is interpreted before it is compiled.
    pub threshold: u8,
    /// Most instructions of a block.
    pub most: usize,
    /// Bytes of memory for code.
    pub memory: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { threshold: 16, most: usize::MAX, memory: 64 << 20 }
    }
}

/// What the compiler did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Blocks compiled.
    pub blocks: u64,
    /// Guest instructions in them.
    pub instructions: u64,
    /// Bytes of host code made.
    pub bytes: u64,
    /// Times that everything was forgotten.
    pub flushes: u64,
    /// Blocks forgotten because their code was written to.
    pub dropped: u64,
    /// Steps made in compiled code, those handed over included.
    pub steps: u64,
    /// Steps of compiled code that were handed to the interpreter.
    pub handed: u64,
    /// Times that compiled code was left, by reason: budget, unknown direct target, unknown
    /// indirect target, after an instruction of the interpreter.
    pub exits: [u64; 4],
    /// Blocks interpreted.
    pub interpreted: u64,
}

/// A compiled block.
struct Block {
    key: u64,
    rip: u64,
    code: u64,
    /// Bytes of guest code.
    bytes: u64,
    /// Linked jumps that lead here, by number.
    incoming: Vec<u32>,
}

/// A jump in compiled code, by the addresses where it runs.
struct Jump {
    jump: usize,
    stub: usize,
    rip: u64,
    guard: Option<(usize, usize)>,
}

/// Compiled blocks and how to run them.
pub struct Compiled {
    settings: Settings,
    memory: Option<CodeMemory>,
    shared: Shared,
    /// Bytes of `memory` that the shared code takes.
    shared_end: usize,
    blocks: Vec<Block>,
    jumps: Vec<Jump>,
    infos: Vec<OpInfo>,
    by_place: BTreeMap<(u64, u64), u32>,
    /// Of 32-bit and of 64-bit code.
    targets: [Targets; 2],
    hot: Hot,
    generation: u64,
    /// Of the probes that the compiled code was checked against.
    probes: u64,
    ctx: Box<Ctx>,
    /// A jump that was just left for its target, to be linked.
    link: Option<u32>,
    /// Blocks count their runs.
    counting: bool,
    /// Who wants to know of compiled code.
    sink: Option<CodeSink>,
    /// See [`Stats`].
    pub stats: Stats,
}

impl Default for Compiled {
    fn default() -> Self {
        Self::new(Settings::default())
    }
}

impl std::fmt::Debug for Compiled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compiled").field("stats", &self.stats).finish_non_exhaustive()
    }
}

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

impl Compiled {
    /// Nothing compiled yet.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            memory: None,
            shared: Shared::default(),
            shared_end: 0,
            blocks: Vec::new(),
            jumps: Vec::new(),
            infos: Vec::new(),
            by_place: BTreeMap::new(),
            targets: [Targets::default(), Targets::default()],
            hot: Hot::default(),
            generation: 0,
            probes: 0,
            ctx: Box::default(),
            link: None,
            counting: false,
            sink: None,
            stats: Stats::default(),
        }
    }

    /// Forgets all compiled code.
    pub fn forget(&mut self) {
        self.blocks.clear();
        self.jumps.clear();
        self.infos.clear();
        self.by_place.clear();
        self.hot.forget();
        self.targets.iter_mut().for_each(Targets::clear);
        self.link = None;
        if let Some(memory) = &mut self.memory {
            memory.truncate(self.shared_end);
        }
        self.stats.flushes += 1;
    }

    /// The memory for code, if the host gives it.
    fn memory(&mut self) -> Option<&mut CodeMemory> {
        if self.memory.is_none() {
            let mut memory = CodeMemory::new(self.settings.memory).ok()?;
            self.shared = entry::shared_code(&mut memory)?;
            self.shared_end = memory.used();
            if let Some(sink) = &mut self.sink {
                let at = memory.next() - memory.used();
                sink(Told { at, len: memory.used(), pc: None });
            }
            self.memory = Some(memory);
        }
        self.memory.as_mut()
    }

    /// Forgets the blocks whose decoded form was dropped.
    fn drop_key(&mut self, key: u64) {
        let found: Vec<u32> = self.by_place.range((key, 0)..=(key, u64::MAX)).map(|(_, b)| *b).collect();
        for number in found {
            self.hot.written(self.blocks[number as usize].rip, key >> 4);
            self.drop_block(number);
        }
    }

    fn drop_block(&mut self, number: u32) {
        let block = &mut self.blocks[number as usize];
        self.by_place.remove(&(block.key, block.rip));
        self.targets[usize::from(block.key & 15 == 8)].remove(block.rip);
        self.stats.dropped += 1;
        let Some(memory) = &mut self.memory else { return };
        for jump in block.incoming.drain(..) {
            let j = &self.jumps[jump as usize];
            // A guarded jump is diverted before its check.
            let at = j.guard.map_or(j.jump, |(skip, _)| skip);
            memory.patch(at, &((j.stub as i64 - (at as i64 + 4)) as i32).to_le_bytes());
        }
    }

    /// Forgets blocks that breakpoints lie in: those are interpreted.
    fn heed_probes(&mut self, ex: &Exec<'_>) {
        if self.probes == ex.probes.version() {
            return;
        }
        self.probes = ex.probes.version();
        let hit = |n: &&u32| {
            let b = &self.blocks[**n as usize];
            ex.probes.breaks_in(b.rip, b.bytes)
        };
        let found: Vec<u32> = self.by_place.values().filter(hit).copied().collect();
        for number in found {
            self.drop_block(number);
        }
    }

    /// Makes jump `number` lead to block `to`, whose page lies at `page`.
    fn connect(&mut self, number: u32, to: u32, page: u64) {
        let (Some(j), Some(memory)) = (self.jumps.get(number as usize), &mut self.memory) else { return };
        let block = &mut self.blocks[to as usize];
        if j.rip != block.rip {
            return;
        }
        memory.patch(j.jump, &((block.code as i64 - (j.jump as i64 + 4)) as i32).to_le_bytes());
        if let Some((skip, place)) = j.guard {
            memory.patch(place, &page.to_le_bytes());
            memory.patch(skip, &[0; 4]);
        }
        block.incoming.push(number);
    }

    /// The code for the block at RIP, if it is compiled or may be now.
    fn find(
        &mut self,
        cache: &mut Cache,
        tlbs: &mut [Tlb],
        ex: &mut Exec<'_>,
        long: bool,
    ) -> Result<Option<u64>, dejavm_interp::x86::Trap> {
        let rip = ex.cpu.rip();
        let link = self.link.take();
        let flushes = self.stats.flushes;
        let mut e = *ex.tlb.entry(rip, Access::Fetch);
        if rip.wrapping_sub(e.tag) >= PAGE_SIZE {
            Interpreted::code(cache, tlbs, ex)?;
            self.dropped(cache);
            e = *ex.tlb.entry(rip, Access::Fetch);
            if rip.wrapping_sub(e.tag) >= PAGE_SIZE {
                return Ok(None);
            }
        }
        let found = self.targets[usize::from(long)].find(rip, e.offset);
        if found.is_some() && link.is_none() {
            return Ok(found);
        }
        let offset = e.offset + rip.wrapping_sub(e.tag);
        let key = block_key(offset, if long { 8 } else { 4 });
        let known = found.is_some() || self.hot.compiled(rip, offset);
        let number = match known.then(|| self.by_place.get(&(key, rip))).flatten() {
            Some(n) => *n,
            None if !self.hot.count(rip, offset, self.settings.threshold) => return Ok(None),
            None => match self.compile(cache, tlbs, ex, key, long)? {
                Some(n) => n,
                None => return Ok(None),
            },
        };
        let code = self.blocks[number as usize].code;
        self.targets[usize::from(long)].add(rip, e.offset, code);
        if let Some(jump) = link
            && self.stats.flushes == flushes
        {
            self.connect(jump, number, e.offset);
        }
        Ok(Some(code))
    }

    fn compile(
        &mut self,
        cache: &mut Cache,
        tlbs: &mut [Tlb],
        ex: &mut Exec<'_>,
        key: u64,
        long: bool,
    ) -> Result<Option<u32>, dejavm_interp::x86::Trap> {
        let Code::Block(decoded) = Interpreted::code(cache, tlbs, ex)? else { return Ok(None) };
        self.dropped(cache);
        let rip = ex.cpu.rip();
        let breaks = ex.probes.breaks_in(rip, decoded.bytes.into());
        if decoded.second != u64::MAX || decoded.key != key || breaks {
            return Ok(None);
        }
        let offset = (key >> 4) as usize;
        let Some(bytes) = ex.mem.bytes().get(offset..offset + decoded.bytes as usize) else {
            return Ok(None);
        };
        let src = Source {
            block: &decoded,
            ops: cache.ops(&decoded),
            bytes,
            rip,
            long,
            model: ex.cpu.model,
            sse: sse::fits(ex.cpu.mxcsr),
            x87: x87::fits(&ex.cpu.x87),
            most: self.settings.most,
            count: self.counting,
        };
        for _ in 0..2 {
            let Some(base) = self.memory().map(|m| m.next()) else { return Ok(None) };
            let number = self.blocks.len() as u32;
            let (sites, infos) = (self.jumps.len() as u32, self.infos.len() as u32);
            let Some(code) = block::compile(&src, self.shared, base, number, sites, infos) else {
                return Ok(None);
            };
            let Some(memory) = &mut self.memory else { return Ok(None) };
            if memory.add(&code.bytes).is_some() {
                let (ops, bytes) = (src.ops.len(), decoded.bytes.into());
                self.add(code, base, key, rip, ops, bytes);
                return Ok(Some(number));
            }
            // Full: everything starts anew.
            self.forget();
        }
        Ok(None)
    }

    fn add(&mut self, code: HostCode, base: usize, key: u64, rip: u64, instructions: usize, bytes: u64) {
        self.stats.blocks += 1;
        self.stats.instructions += instructions.min(self.settings.most) as u64;
        self.stats.bytes += code.bytes.len() as u64;
        if let Some(sink) = &mut self.sink {
            sink(Told { at: base, len: code.bytes.len(), pc: Some(rip) });
        }
        self.by_place.insert((key, rip), self.blocks.len() as u32);
        self.hot.add(rip, key >> 4);
        self.blocks.push(Block { key, rip, code: base as u64, bytes, incoming: Vec::new() });
        self.jumps.extend(code.sites.into_iter().map(|s| Jump {
            jump: base + s.jump,
            stub: base + s.stub,
            rip: s.rip,
            guard: s.guard.map(|(skip, page)| (base + skip, base + page)),
        }));
        self.infos.extend(code.infos);
    }

    /// Runs compiled code from `code` on.
    fn execute<const PROBED: bool>(
        &mut self,
        cache: &mut Cache,
        tlbs: &mut [Tlb],
        ex: &mut Exec<'_>,
        long: bool,
        code: u64,
    ) -> Ran {
        let before = ex.left;
        let targets = self.targets[usize::from(long)].address();
        let reason = entry::enter(&self.shared, &mut self.ctx, ex, &self.infos, targets, long, code);
        self.stats.steps += before - ex.left;
        let number = (reason >> 8) as usize;
        self.stats.exits[(reason & 3) as usize] += 1;
        match reason & 0xff {
            exit::BUDGET => {
                ex.cpu.set_rip(self.blocks[number].rip);
                if ex.left == 0 {
                    return Ok(Flow::Next);
                }
                self.stats.interpreted += 1;
                Interpreted::run_block::<PROBED>(cache, tlbs, ex)
            }
            exit::LINK => {
                ex.cpu.set_rip(self.jumps[number].rip);
                self.link = Some(number as u32);
                Ok(Flow::Next)
            }
            exit::JUMP => {
                ex.cpu.set_rip(self.ctx.rip);
                Ok(Flow::Next)
            }
            _ => self.ctx.result.take().unwrap_or(Ok(Flow::Next)),
        }
    }
}

impl Blocks<X86> for Compiled {
    fn run<const PROBED: bool>(&mut self, cache: &mut Cache, tlbs: &mut [Tlb], ex: &mut Exec<'_>) -> Ran {
        self.dropped(cache);
        self.heed_probes(ex);
        self.link = None;
        loop {
            // Before the code is looked for: its fetch may be a fault.
            if PROBED && Interpreted::at_breakpoint(ex) {
                return Ok(Flow::Next);
            }
            let mut code = None;
            let mode = mode(ex.cpu);
            if let Some(long) = mode {
                code = self.find(cache, tlbs, ex, long).map_err(|t| (t, None))?.map(|c| (long, c));
            }
            let flow = match code {
                Some((long, code)) => self.execute::<PROBED>(cache, tlbs, ex, long, code)?,
                None => {
                    self.stats.interpreted += 1;
                    let flow = Interpreted::run_block::<PROBED>(cache, tlbs, ex)?;
                    self.dropped(cache);
                    flow
                }
            };
            let goes_on = flow.goes_on();
            if !goes_on || ex.attention || ex.left == 0 || PROBED && ex.probes.full() {
                return Ok(flow);
            }
        }
    }

    fn counters(&self) -> Vec<(&'static str, u64)> {
        let s = Stats { handed: self.ctx.handed, ..self.stats };
        let mut counters = vec![
            ("blocks compiled", s.blocks),
            ("instructions compiled", s.instructions),
            ("bytes of code", s.bytes),
            ("blocks dropped", s.dropped),
            ("flushes", s.flushes),
            ("steps in compiled code", s.steps),
            ("of those, handed to the interpreter", s.handed),
            ("of those, compiled but for this case", self.ctx.missed),
            ("exits for the budget", s.exits[0]),
            ("exits for unknown direct targets", s.exits[1]),
            ("exits for unknown indirect targets", s.exits[2]),
            ("exits after an instruction of the interpreter", s.exits[3]),
            ("blocks interpreted", s.interpreted),
        ];
        if self.counting {
            counters.push(("compiled blocks run", self.ctx.counted[0]));
            counters.push(("accesses to memory of compiled code", self.ctx.counted[1]));
        }
        counters
    }

    fn count(&mut self) {
        self.counting = true;
    }

    fn tell_code(&mut self, sink: CodeSink) {
        self.sink = Some(sink);
    }

    fn dropped(&mut self, cache: &mut Cache) {
        if self.generation != cache.generation {
            self.generation = cache.generation;
            self.forget();
            return;
        }
        for key in std::mem::take(&mut cache.dropped) {
            self.drop_key(key);
        }
    }
}
