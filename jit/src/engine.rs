//! The compiling engine, whatever the guest: finds, compiles, links and drops blocks.
//!
//! [`Compiled`] is another way for the interpreter's driver to run blocks: code that was run a few
//! times is compiled, the rest is interpreted. Boundaries, events, caches and their coherence are the
//! driver's, so that both engines share them. What a block becomes is a [`Translator`]'s.

use crate::code::CodeMemory;
use crate::hot::Hot;
use crate::links::Targets;
use crate::places::{Place, Places};
use dejavm_interp::cache::{self, Cache, block_key};
use dejavm_interp::driver::{Blocks, Interpreted};
use dejavm_interp::engine::{CodeSink, HostCode};
use dejavm_interp::exec::{Exec, Flow};
use dejavm_interp::guest::{self, Guest};
use dejavm_interp::mem::PAGE_SIZE;
use dejavm_interp::tlb::{Access, Tlb};

/// A guest's instructions, decoded.
pub type OpOf<T> = <<T as Translator>::Guest as Guest>::Op;
/// A guest's CPU.
pub type CpuOf<T> = <<T as Translator>::Guest as Guest>::Cpu;
/// Why a guest's instruction did not complete.
pub type TrapOf<T> = <<T as Translator>::Guest as Guest>::Trap;
/// The outcome of code that ran.
pub type RanOf<T> = guest::Ran<<T as Translator>::Guest>;

/// So few steps are not worth entering compiled code.
const FEW: u64 = 2;
/// So many steps are.
const MANY: u64 = 16;
/// Nor so few before a store into code.
const FEW_TO_STORE: u64 = 8;
/// After so many looks that found nothing compiled, code is new, or rewritten all the time: looks are rarer then.
const COLD: u8 = 32;
/// Blocks that are just interpreted between two of those, and after 255 of them.
const UNSEEN: [u8; 2] = [8, 40];

/// Why compiled code was left: the low byte of what it returns.
pub mod exit {
    /// The budget is smaller than the block whose number is above.
    pub const BUDGET: u64 = 0;
    /// The jump whose number is above leads to code that is not known yet.
    pub const LINK: u64 = 1;
    /// At [`super::Context::pc`], which was not found.
    pub const JUMP: u64 = 2;
    /// The interpreter ran an instruction: [`super::Context::result`] says how.
    pub const RAN: u64 = 3;
}

/// A jump to another block, as it lies in the code at offsets from the block's start.
#[derive(Clone, Copy, Debug)]
pub struct Site {
    /// Offset of the 32-bit distance.
    pub jump: usize,
    /// Offset of the code that it leads to while it is not linked.
    pub stub: usize,
    /// The guest address that it goes to.
    pub rip: u64,
    /// For a jump into another page: offsets of a distance that skips the check of the
    /// translation, and of the 64-bit place of the page that it checks.
    pub guard: Option<(usize, usize)>,
    /// It leaves something undone that not every block asks for.
    pub lazy: Option<Lazy>,
}

/// A way for [`Site`] to go on at once, where the next block does not ask for flags that depend on some registers.
/// Else they are saved first, by code that ends with the site's own jump.
#[derive(Clone, Copy, Debug)]
pub struct Lazy {
    /// Of the jump that leads there or to that code: offset of the 32-bit distance.
    pub jump: usize,
    /// Offset of that code.
    pub save: usize,
    /// The registers, as a set.
    pub registers: u16,
}

/// Host code of a block.
pub struct Code<I> {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// How many of them come before what lies out of line.
    pub hot: usize,
    /// The jumps to other blocks.
    pub sites: Vec<Site>,
    /// What it hands to the interpreter, numbered from the `first_info` that was given.
    pub infos: Vec<I>,
    /// The registers that flags left undone must not depend on, if flags may be left undone at all.
    pub accepts: Option<u16>,
}

/// What a block is compiled from.
pub struct Source<'a, T: Translator> {
    /// The CPU that is about to run it.
    pub cpu: &'a CpuOf<T>,
    /// The block.
    pub block: &'a cache::Block,
    /// Its instructions.
    pub ops: &'a [OpOf<T>],
    /// Its bytes.
    pub bytes: &'a [u8],
    /// The PC at its start.
    pub pc: u64,
    /// Where the page lies in the host mapping that its only instruction goes on in, if it does.
    pub second: Option<u64>,
    /// The mode that it is compiled for.
    pub mode: T::Mode,
    /// Most instructions to take.
    pub most: usize,
    /// Count the block's runs, see [`Context::counted`].
    pub count: bool,
}

/// Where a block's code will run, and the numbers it gets.
pub struct Target<T: Translator> {
    /// The code that all blocks share.
    pub shared: T::Shared,
    /// The address.
    pub base: usize,
    /// The block's number.
    pub number: u32,
    /// Its first jump's number.
    pub first_site: u32,
    /// Its first instruction's number.
    pub first_info: u32,
}

/// What compiled code works on besides registers, as the engine sees it.
pub trait Context<G: Guest>: Default {
    /// The PC after [`exit::JUMP`].
    fn pc(&self) -> u64;
    /// The outcome after [`exit::RAN`].
    fn result(&mut self) -> Option<guest::Ran<G>>;
    /// Instructions that compiled code handed to the interpreter.
    fn handed(&self) -> u64;
    /// Those of them that are compiled, and met a case that is not: a miss of the TLB mostly. None where
    /// that is not counted.
    fn missed(&self) -> Option<u64> {
        None
    }
    /// Runs of blocks with [`Source::count`], and accesses to memory in them.
    fn counted(&self) -> Option<[u64; 2]> {
        None
    }
}

/// How a guest's blocks are compiled and entered.
pub trait Translator: Sized + 'static {
    /// The guest architecture.
    type Guest: Guest;
    /// What compiled code depends on besides the instructions.
    type Mode: Copy + Eq;
    /// What compiled code works on.
    type Context: Context<Self::Guest>;
    /// What the interpreter needs to run one instruction of a block.
    type Info;
    /// Entry points of the code that all blocks share.
    type Shared: Copy + Default;
    /// Number of modes.
    const MODES: usize;
    /// Binary logarithm of what an instruction's address is a multiple of.
    const ALIGN: u32;

    /// The mode of a CPU, if code is compiled for it.
    fn mode(cpu: &CpuOf<Self>) -> Option<Self::Mode>;
    /// The mode's number, below [`Translator::MODES`].
    fn index(mode: Self::Mode) -> usize;
    /// How the interpreter's cache names the mode, see [`block_key`].
    fn decoded_as(mode: Self::Mode) -> u8;
    /// The PC, which is a linear address in every mode that code is compiled for.
    fn pc(cpu: &CpuOf<Self>) -> u64;
    /// Sets the PC.
    fn set_pc(cpu: &mut CpuOf<Self>, pc: u64);
    /// Puts the code that all blocks share into `memory`. `None` when it does not fit.
    fn shared_code(memory: &mut CodeMemory) -> Option<Self::Shared>;
    /// Compiles a block. `None` when it cannot be.
    fn compile(src: &Source<'_, Self>, to: Target<Self>) -> Option<Code<Self::Info>>;
    /// Runs compiled code in a mode, from an address on, until it is left. Returns the reason, see [`exit`].
    /// `targets` are the addresses of the modes' [`Targets`], `tlbs` the other CPUs' TLBs.
    fn enter(
        shared: &Self::Shared,
        ctx: &mut Self::Context,
        ex: &mut Exec<'_, Self::Guest>,
        tlbs: &mut [Tlb],
        infos: &[Self::Info],
        targets: &mut [Targets],
        at: (Self::Mode, u64),
    ) -> u64;
}

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
    /// Those of them that count again, because the same code is back.
    pub back: u64,
    /// Blocks forgotten because they were always left at once.
    pub vain: u64,
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
    code: u64,
    /// The number of its decoded form in the interpreter's cache when it was compiled.
    decoded: u32,
    /// Bytes of guest code.
    bytes: u64,
    /// Those bytes, unless they lie in two pages.
    guest: Box<[u8]>,
    /// See [`Code::accepts`].
    accepts: Option<u16>,
    /// Linked jumps that lead here, by number.
    incoming: Vec<u32>,
}

/// A jump in compiled code, by the addresses where it runs.
struct Jump {
    jump: usize,
    stub: usize,
    rip: u64,
    guard: Option<(usize, usize)>,
    lazy: Option<Lazy>,
}

impl Jump {
    /// The jump that leads to where it goes on: its own, or the one that leaves nothing to do.
    fn first(&self) -> usize {
        self.lazy.map_or(self.jump, |l| l.jump)
    }

    /// Where that goes while it is not linked.
    fn unlinked(&self) -> usize {
        self.lazy.map_or(self.stub, |l| l.save)
    }
}

/// Makes the jump whose distance lies at `jump` lead to `to`.
fn direct(memory: &mut CodeMemory, jump: usize, to: usize) {
    memory.patch(jump, &((to as i64 - (jump as i64 + 4)) as i32).to_le_bytes());
}

/// What runs next.
enum Next<T: Translator> {
    /// Compiled code for a mode, and where the block lies.
    Compiled(T::Mode, u64, u64),
    /// A decoded block.
    Decoded(cache::Block),
    /// Code that is decoded each time it runs.
    Rewritten,
    /// Nobody knows yet.
    Unknown,
}

/// Compiled blocks and how to run them.
pub struct Compiled<T: Translator> {
    settings: Settings,
    memory: Option<CodeMemory>,
    shared: T::Shared,
    /// Bytes of `memory` that the shared code takes.
    shared_end: usize,
    blocks: Vec<Block>,
    jumps: Vec<Jump>,
    infos: Vec<T::Info>,
    /// Where they lie. What replaced blocks lead to is kept right, so that they can be used again.
    places: Places,
    /// By mode.
    targets: Vec<Targets>,
    hot: Hot,
    generation: u64,
    /// Of the probes that the compiled code was checked against.
    probes: u64,
    ctx: Box<T::Context>,
    /// A jump that was just left for its target, to be linked.
    link: Option<u32>,
    /// Looks that found nothing compiled, since one did.
    cold: u8,
    /// Blocks to interpret before the next look.
    unseen: u8,
    /// Blocks count their runs.
    counting: bool,
    /// Who wants to know of compiled code.
    sink: Option<CodeSink>,
    /// See [`Stats`].
    pub stats: Stats,
}

impl<T: Translator> Default for Compiled<T> {
    fn default() -> Self {
        Self::new(Settings::default())
    }
}

impl<T: Translator> std::fmt::Debug for Compiled<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compiled").field("stats", &self.stats).finish_non_exhaustive()
    }
}

impl<T: Translator> Compiled<T> {
    /// Nothing compiled yet.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            memory: None,
            shared: T::Shared::default(),
            shared_end: 0,
            blocks: Vec::new(),
            jumps: Vec::new(),
            infos: Vec::new(),
            places: Places::default(),
            targets: (0..T::MODES).map(|_| Targets::new(T::ALIGN)).collect(),
            hot: Hot::new(T::ALIGN),
            generation: 0,
            probes: 0,
            ctx: Box::default(),
            link: None,
            cold: 0,
            unseen: 0,
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
        self.places.clear();
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
            self.shared = T::shared_code(&mut memory)?;
            self.shared_end = memory.used();
            if let Some(sink) = &mut self.sink {
                let at = memory.next() - memory.used();
                sink(HostCode { at, len: memory.used(), pc: None });
            }
            self.memory = Some(memory);
        }
        self.memory.as_mut()
    }

    /// Forgets the blocks whose decoded form was dropped.
    fn drop_key(&mut self, key: u64) {
        while let Some(number) = self.places.live_with(key) {
            let kept = !self.blocks[number as usize].guest.is_empty();
            self.hot.written(self.places.place(number).rip, key >> 4, kept);
            self.drop_block(number, kept);
        }
    }

    /// `kept`: it can be used again.
    fn drop_block(&mut self, number: u32, kept: bool) {
        let Place { rip, mode, .. } = self.places.place(number);
        if kept {
            self.places.replace(number);
        } else {
            self.places.remove(number);
        }
        self.targets[mode].remove(rip);
        let block = &mut self.blocks[number as usize];
        self.stats.dropped += 1;
        let Some(memory) = &mut self.memory else { return };
        for jump in block.incoming.drain(..) {
            let j = &self.jumps[jump as usize];
            // A guarded jump is diverted before its check.
            direct(memory, j.guard.map_or(j.first(), |(skip, _)| skip), j.unlinked());
            if j.lazy.is_some() {
                direct(memory, j.jump, j.stub);
            }
        }
    }

    /// Forgets blocks that breakpoints lie in: those are interpreted.
    fn heed_probes(&mut self, ex: &Exec<'_, T::Guest>) {
        if self.probes == ex.probes.version() {
            return;
        }
        self.probes = ex.probes.version();
        let hit = |n: &u32| ex.probes.breaks_in(self.places.place(*n).rip, self.blocks[*n as usize].bytes);
        let found: Vec<u32> = self.places.all_live().filter(hit).collect();
        for number in found {
            self.drop_block(number, false);
        }
    }

    /// Makes jump `number` lead to block `to`, whose page lies at `page`.
    fn connect(&mut self, number: u32, to: u32, page: u64) {
        let (Some(j), Some(memory)) = (self.jumps.get(number as usize), &mut self.memory) else { return };
        if j.rip != self.places.place(to).rip {
            return;
        }
        let block = &mut self.blocks[to as usize];
        let code = block.code as usize;
        match j.lazy {
            Some(l) if block.accepts.is_some_and(|hidden| hidden & l.registers == 0) => {
                direct(memory, l.jump, code)
            }
            Some(l) => {
                direct(memory, l.jump, l.save);
                direct(memory, j.jump, code);
            }
            None => direct(memory, j.jump, code),
        }
        if let Some((skip, place)) = j.guard {
            memory.patch(place, &page.to_le_bytes());
            memory.patch(skip, &[0; 4]);
        }
        block.incoming.push(number);
    }

    /// Notes that the compiled block at `pc` was left at once.
    fn left_at_once(&mut self, pc: u64, offset: u64, mode: T::Mode) {
        if self.hot.vain(pc, offset)
            && let key = block_key(offset, T::decoded_as(mode))
            && let Some(number) = self.places.live(Place { key, rip: pc, mode: T::index(mode) })
        {
            self.stats.vain += 1;
            self.drop_block(number, false);
        }
    }

    /// What runs next, at RIP.
    fn find(
        &mut self,
        cache: &mut Cache<OpOf<T>>,
        tlbs: &mut [Tlb],
        ex: &mut Exec<'_, T::Guest>,
        mode: T::Mode,
    ) -> Result<Next<T>, TrapOf<T>> {
        let rip = T::pc(ex.cpu);
        let link = self.link.take();
        let flushes = self.stats.flushes;
        let mut e = ex.tlb.entry(rip, Access::Fetch);
        if rip.wrapping_sub(e.tag) >= PAGE_SIZE {
            T::Guest::code(cache, tlbs, ex)?;
            self.dropped(cache);
            e = ex.tlb.entry(rip, Access::Fetch);
            if rip.wrapping_sub(e.tag) >= PAGE_SIZE {
                return Ok(Next::Unknown);
            }
        }
        let found = self.targets[T::index(mode)].find(rip, e.offset);
        let offset = e.offset + rip.wrapping_sub(e.tag);
        if let Some(code) = found
            && link.is_none()
        {
            return Ok(Next::Compiled(mode, code, offset));
        }
        let page = e.offset;
        let key = block_key(offset, T::decoded_as(mode));
        let place = Place { key, rip, mode: T::index(mode) };
        let known = found.is_some() || self.hot.compiled(rip, offset);
        let number = match known.then(|| self.places.live(place)).flatten() {
            Some(n) => Some(n),
            None => {
                let back = known && self.hot.may_be_back(rip, offset);
                match back.then(|| self.again(cache, tlbs, ex, place)).flatten() {
                    None if self.hot.count(rip, offset, self.settings.threshold) => {
                        self.compile(cache, tlbs, ex, place, mode)?
                    }
                    again => again,
                }
            }
        };
        let Some(number) = number else {
            return Ok(match cache.find(key) {
                Some(b) if b.second == u64::MAX => Next::Decoded(*b),
                None if cache.rewritten.at(offset) => Next::Rewritten,
                _ => Next::Unknown,
            });
        };
        let code = self.blocks[number as usize].code;
        self.targets[T::index(mode)].add(rip, page, code);
        if let Some(jump) = link
            && self.stats.flushes == flushes
        {
            self.connect(jump, number, page);
        }
        Ok(Next::Compiled(mode, code, offset))
    }

    /// The block at RIP, compiled now, or before if its code was the same then.
    fn compile(
        &mut self,
        cache: &mut Cache<OpOf<T>>,
        tlbs: &mut [Tlb],
        ex: &mut Exec<'_, T::Guest>,
        place: Place,
        mode: T::Mode,
    ) -> Result<Option<u32>, TrapOf<T>> {
        if let Some(number) = self.again(cache, tlbs, ex, place) {
            return Ok(Some(number));
        }
        if cache.rewritten.at(place.key >> 4) {
            return Ok(None);
        }
        let guest::Code::Block(decoded) = T::Guest::code(cache, tlbs, ex)? else { return Ok(None) };
        self.dropped(cache);
        let Place { key, rip, .. } = place;
        let breaks = ex.probes.breaks_in(rip, decoded.bytes.into());
        if decoded.key != key || breaks {
            return Ok(None);
        }
        let (offset, len) = ((key >> 4) as usize, decoded.bytes as usize);
        let room = (PAGE_SIZE - (key >> 4) % PAGE_SIZE) as usize;
        let Some(mut bytes) = ex.mem.bytes().get(offset..offset + len.min(room)) else { return Ok(None) };
        // One instruction that goes on in another page.
        let second = (decoded.second != u64::MAX).then_some(decoded.second);
        let crossing;
        if let Some(at) = second {
            let Some(rest) = ex.mem.bytes().get(at as usize..at as usize + len.saturating_sub(room)) else {
                return Ok(None);
            };
            crossing = [bytes, rest].concat();
            bytes = &crossing;
        }
        let src = Source::<T> {
            cpu: ex.cpu,
            block: &decoded,
            ops: cache.ops(&decoded),
            bytes,
            pc: rip,
            second,
            mode,
            most: self.settings.most,
            count: self.counting,
        };
        for _ in 0..2 {
            let Some(base) = self.memory().map(|m| m.next()) else { return Ok(None) };
            let number = self.blocks.len() as u32;
            let to = Target {
                shared: self.shared,
                base,
                number,
                first_site: self.jumps.len() as u32,
                first_info: self.infos.len() as u32,
            };
            let Some(code) = T::compile(&src, to) else { return Ok(None) };
            let Some(memory) = &mut self.memory else { return Ok(None) };
            if memory.add(&code.bytes).is_some() {
                self.stats.instructions += src.ops.len().min(self.settings.most) as u64;
                let guest = if second.is_some() { Box::default() } else { bytes.into() };
                let block = Block {
                    code: base as u64,
                    decoded: cache.number(key),
                    bytes: decoded.bytes.into(),
                    guest,
                    accepts: code.accepts,
                    incoming: Vec::new(),
                };
                self.add(code, base, place, block);
                return Ok(Some(number));
            }
            // Full: everything starts anew.
            self.forget();
        }
        Ok(None)
    }

    /// The block that was at this place when its bytes were there last, if they are now.
    fn again(
        &mut self,
        cache: &mut Cache<OpOf<T>>,
        tlbs: &mut [Tlb],
        ex: &mut Exec<'_, T::Guest>,
        place: Place,
    ) -> Option<u32> {
        let number = self.places.replaced(place)?;
        let block = &self.blocks[number as usize];
        let offset = place.key >> 4;
        let bytes = ex.mem.bytes().get(offset as usize..)?.get(..block.guest.len())?;
        if *block.guest != *bytes || ex.probes.breaks_in(place.rip, block.bytes) {
            return None;
        }
        if cache.find(place.key).is_none() && cache.back(ex.mem, block.decoded, place.key) {
            // The permissions to write there end.
            ex.tlb.protect(offset);
            tlbs.iter_mut().for_each(|tlb| tlb.protect(offset));
        }
        cache.find(place.key)?;
        self.places.back(number);
        self.hot.back(place.rip, offset);
        self.stats.back += 1;
        Some(number)
    }

    fn add(&mut self, code: Code<T::Info>, base: usize, place: Place, block: Block) {
        self.stats.blocks += 1;
        self.stats.bytes += code.bytes.len() as u64;
        if let Some(sink) = &mut self.sink {
            sink(HostCode { at: base, len: code.bytes.len(), pc: Some(place.rip) });
        }
        self.places.add(place);
        self.hot.add(place.rip, place.key >> 4);
        self.blocks.push(block);
        self.jumps.extend(code.sites.into_iter().map(|s| Jump {
            jump: base + s.jump,
            stub: base + s.stub,
            rip: s.rip,
            guard: s.guard.map(|(skip, page)| (base + skip, base + page)),
            lazy: s.lazy.map(|l| Lazy { jump: base + l.jump, save: base + l.save, ..l }),
        }));
        self.infos.extend(code.infos);
    }

    /// Runs compiled code from `code` on.
    fn execute<const PROBED: bool>(
        &mut self,
        cache: &mut Cache<OpOf<T>>,
        tlbs: &mut [Tlb],
        ex: &mut Exec<'_, T::Guest>,
        mode: T::Mode,
        (code, offset): (u64, u64),
    ) -> RanOf<T> {
        let (before, pc) = (ex.left, T::pc(ex.cpu));
        let at = (mode, code);
        let reason = T::enter(&self.shared, &mut self.ctx, ex, tlbs, &self.infos, &mut self.targets, at);
        let number = (reason >> 8) as usize;
        self.stats.exits[(reason & 3) as usize] += 1;
        let few = if ex.mem.has_code_hits() { FEW_TO_STORE } else { FEW };
        let steps = before - ex.left;
        self.stats.steps += steps;
        if reason & 0xff != exit::BUDGET && steps <= few {
            self.left_at_once(pc, offset, mode);
        } else if steps >= MANY {
            self.hot.worth(pc, offset);
        }
        match reason & 0xff {
            exit::BUDGET => {
                T::set_pc(ex.cpu, self.places.place(number as u32).rip);
                if ex.left == 0 {
                    return Ok(Flow::Next);
                }
                self.stats.interpreted += 1;
                Interpreted::<T::Guest>::run_block::<PROBED>(cache, tlbs, ex)
            }
            exit::LINK => {
                T::set_pc(ex.cpu, self.jumps[number].rip);
                self.link = Some(number as u32);
                Ok(Flow::Next)
            }
            exit::JUMP => {
                T::set_pc(ex.cpu, self.ctx.pc());
                Ok(Flow::Next)
            }
            _ => self.ctx.result().unwrap_or(Ok(Flow::Next)),
        }
    }
}

impl<T: Translator> Blocks<T::Guest> for Compiled<T> {
    fn run<const PROBED: bool>(
        &mut self,
        cache: &mut Cache<OpOf<T>>,
        tlbs: &mut [Tlb],
        ex: &mut Exec<'_, T::Guest>,
    ) -> RanOf<T> {
        self.dropped(cache);
        self.heed_probes(ex);
        self.link = None;
        loop {
            if self.unseen > 0 && !PROBED {
                self.unseen -= 1;
                self.stats.interpreted += 1;
                let flow = Interpreted::<T::Guest>::run_block::<PROBED>(cache, tlbs, ex)?;
                if !flow.goes_on() || ex.attention || ex.left == 0 {
                    return Ok(flow);
                }
                continue;
            }
            self.dropped(cache);
            // Before the code is looked for: its fetch may be a fault.
            if PROBED && Interpreted::<T::Guest>::at_breakpoint(ex) {
                return Ok(Flow::Next);
            }
            let next = match T::mode(ex.cpu) {
                Some(mode) => self.find(cache, tlbs, ex, mode).map_err(|t| (t, None))?,
                None => Next::Unknown,
            };
            let flow = match next {
                Next::Compiled(mode, code, offset) => {
                    self.cold = 0;
                    self.execute::<PROBED>(cache, tlbs, ex, mode, (code, offset))?
                }
                other => {
                    self.stats.interpreted += 1;
                    self.cold = self.cold.saturating_add(1);
                    if self.cold > COLD && self.settings.threshold > 1 {
                        self.unseen = UNSEEN[usize::from(self.cold == u8::MAX)];
                    }
                    match other {
                        Next::Decoded(block) if !PROBED => {
                            Interpreted::<T::Guest>::run_decoded::<PROBED>(cache, ex, &block)?
                        }
                        // Instruction by instruction: nothing else is to be found before a jump.
                        Next::Rewritten if !PROBED => loop {
                            let flow = Interpreted::<T::Guest>::run_block::<PROBED>(cache, tlbs, ex)?;
                            if flow != Flow::Next || ex.attention || ex.left == 0 {
                                break flow;
                            }
                        },
                        _ => Interpreted::<T::Guest>::run_block::<PROBED>(cache, tlbs, ex)?,
                    }
                }
            };
            let goes_on = flow.goes_on();
            if !goes_on || ex.attention || ex.left == 0 || PROBED && ex.probes.full() {
                return Ok(flow);
            }
        }
    }

    fn counters(&self) -> Vec<(&'static str, u64)> {
        let s = Stats { handed: self.ctx.handed(), ..self.stats };
        let mut counters = vec![
            ("blocks compiled", s.blocks),
            ("instructions compiled", s.instructions),
            ("bytes of code", s.bytes),
            ("blocks dropped", s.dropped),
            ("of those, used again", s.back),
            ("blocks always left at once", s.vain),
            ("flushes", s.flushes),
            ("steps in compiled code", s.steps),
            ("of those, handed to the interpreter", s.handed),
            ("exits for the budget", s.exits[0]),
            ("exits for unknown direct targets", s.exits[1]),
            ("exits for unknown indirect targets", s.exits[2]),
            ("exits after an instruction of the interpreter", s.exits[3]),
            ("blocks interpreted", s.interpreted),
        ];
        if let Some(missed) = self.ctx.missed() {
            counters.push(("of those, compiled but for this case", missed));
        }
        if let Some([runs, accesses]) = self.ctx.counted().filter(|_| self.counting) {
            counters.push(("compiled blocks run", runs));
            counters.push(("accesses to memory of compiled code", accesses));
        }
        counters
    }

    fn count(&mut self) {
        self.counting = true;
    }

    fn tell_code(&mut self, sink: CodeSink) {
        self.sink = Some(sink);
    }

    #[inline]
    fn dropped(&mut self, cache: &mut Cache<OpOf<T>>) {
        if self.generation != cache.generation {
            self.generation = cache.generation;
            self.forget();
        } else if !cache.dropped.is_empty() {
            for key in cache.dropped.drain(..) {
                self.drop_key(key);
            }
        }
    }
}
