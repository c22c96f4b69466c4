//! The interpreter: finds decoded blocks and runs them, one exact step at a time.

use super::boundary::Boundary;
use super::cache::{Cache, block_key};
use super::decode::{Decoded, decode};
use super::exec::{Exec, Flow, X86Bus};
use super::flags::bit;
use super::mmu::Rights;
use super::op::{Op, REG_RIP};
use super::regs::{Activity, Cpu, Shadow, seg};
use super::tlb::{Access, Size, Tlb};
use super::trap::Trap;
use crate::engine::{At, Clock, Control, Engine, Exit, Stop};
use crate::mem::{Hit, Memory, PAGE_SIZE, Place};
use crate::probe::Probes;

/// The longest run of instructions that is decoded at once.
const BLOCK_OPS: usize = 64;
/// The longest instruction, in bytes.
const MAX_INSTRUCTION: usize = 15;

/// The reference engine for x86 guests.
pub type Interpreter = Driver<Interpreted>;

/// The outcome of code that ran: how to go on, or what stopped it and, if it was known, the
/// instruction that did.
pub type Ran = Result<Flow, (Trap, Option<Op>)>;

/// How an engine runs straight code between two looks at events. Everything else is [`Driver`]'s.
pub trait Blocks {
    /// Runs blocks until an instruction asks for a look at events, attention, or the budget ends.
    /// `PROBED`: some probe is active.
    fn run<const PROBED: bool>(&mut self, cache: &mut Cache, tlbs: &mut [Tlb], ex: &mut Exec<'_>) -> Ran;

    /// Stores dropped decoded blocks: [`Cache::dropped`] or a new [`Cache::generation`] tells which.
    fn dropped(&mut self, cache: &mut Cache);

    /// See [`Control::counters`].
    fn counters(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }
}

/// Executes decoded instructions one by one.
#[derive(Debug, Default)]
pub struct Interpreted;

/// An engine for x86 guests: events, caches and their coherence, around some way to run blocks.
#[derive(Default)]
pub struct Driver<B> {
    /// How code is run.
    pub blocks: B,
    /// Size of the TLBs, to be set before the first run.
    pub tlb_size: Size,
    tlbs: Vec<Tlb>,
    /// An empty one that takes a CPU's place while it runs.
    spare: Option<Tlb>,
    cache: Cache,
    hits: Vec<Hit>,
    epoch: u64,
    write_epoch: u64,
    flush: bool,
    probes: Probes,
}

/// Instructions that are about to be executed.
pub enum Code {
    /// A cached block: first op and number of ops in the arena.
    Block(super::cache::Block),
    /// One instruction from outside memory, decoded for this time only.
    Once(Op),
}

impl<B: Blocks + Default> Driver<B> {
    /// An engine with nothing cached.
    pub fn new() -> Self {
        Self::default()
    }

    /// An engine that runs blocks in this way.
    pub fn with(blocks: B) -> Self {
        Self { blocks, ..Self::default() }
    }
}

impl<B: Blocks> Driver<B> {
    /// Acts on stores into code and page tables.
    fn take_hits(&mut self, mem: &mut Memory) {
        let mut hits = std::mem::take(&mut self.hits);
        mem.take_code_hits(&mut hits);
        for hit in hits.drain(..) {
            self.cache.code_hit(mem, hit);
        }
        mem.take_table_hits(&mut hits);
        for hit in hits.drain(..) {
            for tlb in &mut self.tlbs {
                tlb.table_hit(mem, hit);
            }
        }
        self.hits = hits;
        self.blocks.dropped(&mut self.cache);
    }

    fn prepare(&mut self, index: usize, mem: &mut Memory) {
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
            self.take_hits(mem);
        }
        if self.epoch != mem.epoch() {
            self.epoch = mem.epoch();
            for tlb in &mut self.tlbs {
                tlb.clear(mem);
            }
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
}

impl Interpreted {
    /// Finds or decodes the code at RIP.
    ///
    /// # Errors
    /// The fetch's fault.
    pub fn code(cache: &mut Cache, tlbs: &mut [Tlb], ex: &mut Exec<'_>) -> Result<Code, Trap> {
        let rip = ex.cpu.rip();
        let code_size = ex.cpu.code_size();
        let cs = ex.cpu.seg(seg::CS);
        let (lin, room) = if code_size == 8 {
            (rip, u64::MAX)
        } else {
            if rip > u64::from(cs.limit) {
                return Err(Trap::GP);
            }
            (cs.base.wrapping_add(rip) & 0xffff_ffff, u64::from(cs.limit) - rip + 1)
        };
        let e = ex.tlb.entry(lin, Access::Fetch);
        let d = lin.wrapping_sub(e.tag);
        let offset = if d < PAGE_SIZE {
            e.offset + d
        } else {
            if code_size == 8 && !Exec::canonical(lin) {
                return Err(Trap::GP);
            }
            match ex.translate(Rights::Current, lin, Access::Fetch)?.place {
                Place::Ram(o) | Place::Rom(o) => o,
                Place::Bus => return Self::code_from_bus(ex, lin, code_size, room),
            }
        };
        if let Some(block) = cache.find(block_key(offset, code_size))
            && u64::from(block.bytes) <= room
        {
            if block.second == u64::MAX {
                return Ok(Code::Block(*block));
            }
            let next = ex.wrap((lin | (PAGE_SIZE - 1)).wrapping_add(1));
            if let Place::Ram(o) | Place::Rom(o) = ex.translate(Rights::Current, next, Access::Fetch)?.place
                && o == block.second
            {
                return Ok(Code::Block(*block));
            }
        }
        Self::decode_block(cache, tlbs, ex, lin, offset, code_size, room)
    }

    fn decode_block(
        cache: &mut Cache,
        tlbs: &mut [Tlb],
        ex: &mut Exec<'_>,
        lin: u64,
        offset: u64,
        code_size: u8,
        room: u64,
    ) -> Result<Code, Trap> {
        let mut ops = Vec::with_capacity(16);
        let page = (PAGE_SIZE - offset % PAGE_SIZE).min(room) as usize;
        let mut done = 0;
        let mut second = u64::MAX;
        while ops.len() < BLOCK_OPS && done < page {
            let at = offset as usize + done;
            let n = MAX_INSTRUCTION.min(page - done);
            let bytes = &ex.mem.bytes()[at..at + n];
            match decode(bytes, code_size, ex.cpu.model) {
                Decoded::Op(op, ends) => {
                    done += usize::from(op.len);
                    ops.push(op);
                    if ends {
                        break;
                    }
                }
                Decoded::Short if !ops.is_empty() => break,
                Decoded::Short => {
                    if room < MAX_INSTRUCTION as u64 && room as usize == n {
                        // The limit of the code segment cuts the instruction.
                        return Err(Trap::GP);
                    }
                    // The instruction goes on in the next page.
                    let mut buffer = [0; MAX_INSTRUCTION];
                    buffer[..n].copy_from_slice(bytes);
                    let next = ex.wrap(lin.wrapping_add(n as u64));
                    if code_size == 8 && !Exec::canonical(next) {
                        return Err(Trap::GP);
                    }
                    match ex.translate(Rights::Current, next, Access::Fetch)?.place {
                        Place::Ram(o) | Place::Rom(o) => {
                            second = o;
                            let o = o as usize;
                            buffer[n..].copy_from_slice(&ex.mem.bytes()[o..o + MAX_INSTRUCTION - n]);
                        }
                        Place::Bus => return Self::code_from_bus(ex, lin, code_size, room),
                    }
                    let have = (room.min(MAX_INSTRUCTION as u64)) as usize;
                    match decode(&buffer[..have], code_size, ex.cpu.model) {
                        Decoded::Op(op, _) => {
                            done += usize::from(op.len);
                            ops.push(op);
                        }
                        Decoded::Short => return Err(Trap::GP),
                    }
                    break;
                }
            }
        }
        let (block, fresh) = cache.insert(ex.mem, offset, code_size, &ops, done as u32, second);
        if fresh {
            // The other CPUs' permissions to write there end too.
            for frame in [offset, second] {
                if frame != u64::MAX {
                    ex.tlb.protect(frame);
                    for tlb in &mut *tlbs {
                        tlb.protect(frame);
                    }
                }
            }
        }
        Ok(Code::Block(block))
    }

    /// Fetches and decodes one instruction from a device (or from nothing).
    fn code_from_bus(ex: &mut Exec<'_>, lin: u64, code_size: u8, room: u64) -> Result<Code, Trap> {
        let mut buffer = [0; MAX_INSTRUCTION];
        for n in 0..MAX_INSTRUCTION {
            if n as u64 >= room {
                return Err(Trap::GP);
            }
            let at = ex.wrap(lin.wrapping_add(n as u64));
            let t = ex.translate(Rights::Current, at, Access::Fetch)?;
            buffer[n] = match t.place {
                Place::Ram(o) | Place::Rom(o) => ex.mem.bytes()[o as usize],
                Place::Bus => {
                    let when = ex.at();
                    let v = ex.bus.mmio_read(ex.mem, when, t.phys, 1) as u8;
                    ex.after_bus();
                    v
                }
            };
            if let Decoded::Op(op, _) = decode(&buffer[..=n], code_size, ex.cpu.model)
                && usize::from(op.len) <= n + 1
                && (op.len > 0)
            {
                return Ok(Code::Once(op));
            }
        }
        Err(Trap::GP)
    }

    /// Executes `op`, the instruction at RIP. `Some` ends the block.
    #[inline(always)]
    fn step(ex: &mut Exec<'_>, op: &Op) -> Option<Result<Flow, Trap>> {
        let rip = &mut ex.cpu.regs[usize::from(REG_RIP)];
        *rip = rip.wrapping_add(op.len.into());
        match (op.run)(ex, op) {
            Ok(Flow::Next) => {
                ex.left -= 1;
                ex.attention.then_some(Ok(Flow::Next))
            }
            Ok(flow) => {
                ex.left -= 1;
                Some(Ok(flow))
            }
            Err(trap) => {
                let rip = &mut ex.cpu.regs[usize::from(REG_RIP)];
                *rip = rip.wrapping_sub(op.len.into());
                Some(Err(trap))
            }
        }
    }
}

impl<B: Blocks> Engine<Cpu, dyn X86Bus + '_> for Driver<B> {
    fn run(
        &mut self,
        cpu: &mut Cpu,
        index: usize,
        mem: &mut Memory,
        bus: &mut (dyn X86Bus + '_),
        clock: Clock,
        budget: u64,
    ) -> Exit {
        self.prepare(index, mem);
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
                bus: &mut *bus,
                index,
                clock,
                left,
                budget,
                attention: false,
                probes: &mut self.probes,
                pc: 0,
            };
            ex.mode_changed();
            let (blocks, cache, tlbs) = (&mut self.blocks, &mut self.cache, &mut self.tlbs);
            let stop = if ex.probes.active() {
                Self::run_until_attention::<true>(blocks, cache, tlbs, &mut ex)
            } else {
                Self::run_until_attention::<false>(blocks, cache, tlbs, &mut ex)
            };
            let pc = ex.pc;
            left = ex.left;
            std::mem::swap(&mut tlb, &mut self.tlbs[index]);
            if mem.has_hits() {
                self.take_hits(mem);
                // The last step made them.
                self.take_touches(mem, (clock.icount + budget - left).saturating_sub(1), index, pc);
            }
            std::mem::swap(&mut tlb, &mut self.tlbs[index]);
            if self.epoch != mem.epoch() {
                self.epoch = mem.epoch();
                tlb.clear(mem);
                for other in &mut self.tlbs {
                    other.clear(mem);
                }
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
}

impl<B: Blocks> Control for Driver<B> {
    fn flush(&mut self) {
        self.flush = true;
    }

    fn probes(&mut self) -> &mut Probes {
        &mut self.probes
    }

    fn counters(&self) -> Vec<(&'static str, u64)> {
        self.blocks.counters()
    }
}

impl<B: Blocks> Driver<B> {
    /// Runs to a stop (`Some`), or until stores, the bus or the probes want to be looked at
    /// (`None`). `PROBED`: some probe is active.
    fn run_until_attention<const PROBED: bool>(
        blocks: &mut B,
        cache: &mut Cache,
        tlbs: &mut [Tlb],
        ex: &mut Exec<'_>,
    ) -> Option<Stop> {
        loop {
            if ex.attention || PROBED && ex.probes.full() {
                return None;
            }
            if PROBED {
                ex.pc = ex.cpu.linear_pc();
            }
            if ex.left == 0 {
                return Some(Stop::Budget);
            }
            let single = match ex.boundary() {
                Ok(Boundary::Run(single)) => single,
                Ok(Boundary::Entered) => {
                    ex.left -= 1;
                    continue;
                }
                Ok(Boundary::Idle) => {
                    return Some(match ex.cpu.activity {
                        Activity::Shutdown => Stop::Shutdown,
                        _ => Stop::Halted,
                    });
                }
                Err(trap) => match Self::give_up(ex, trap, None) {
                    Some(stop) => return Some(stop),
                    None => continue,
                },
            };
            let result = if single {
                if PROBED && Interpreted::at_breakpoint(ex) {
                    return None;
                }
                Interpreted::run_one(cache, tlbs, ex)
            } else {
                blocks.run::<PROBED>(cache, tlbs, ex)
            };
            match result {
                Ok(Flow::Halt) => {
                    if ex.cpu.activity == Activity::Running {
                        ex.cpu.activity = Activity::Halted;
                    }
                }
                Ok(Flow::Yield) => return Some(Stop::Yield),
                Ok(_) => {}
                Err((Trap::Fault { vector, code }, op)) => {
                    // The entry into the exception is one step; the instruction made none.
                    match ex.raise(vector, code) {
                        Ok(()) => ex.left -= 1,
                        Err(trap) => {
                            if let Some(stop) = Self::give_up(ex, trap, op) {
                                return Some(stop);
                            }
                        }
                    }
                }
                Err((trap, op)) => {
                    if let Some(stop) = Self::give_up(ex, trap, op) {
                        return Some(stop);
                    }
                }
            }
        }
    }

    /// Handles what is no fault: shutdown and unimplemented instructions.
    fn give_up(ex: &mut Exec<'_>, trap: Trap, op: Option<Op>) -> Option<Stop> {
        match trap {
            Trap::Fault { vector, code } => match ex.raise(vector, code) {
                Ok(()) => {
                    ex.left -= 1;
                    None
                }
                Err(Trap::Fault { .. } | Trap::Shutdown) => Self::give_up(ex, Trap::Shutdown, op),
                Err(Trap::Unimplemented) => Self::give_up(ex, Trap::Unimplemented, op),
            },
            Trap::Shutdown => {
                ex.cpu.activity = Activity::Shutdown;
                ex.left -= 1;
                Some(Stop::Shutdown)
            }
            Trap::Unimplemented => {
                let name = op.and_then(|op| iced_x86::Code::try_from(usize::from(op.code)).ok()).map_or_else(
                    || String::from("event delivery"),
                    |code| code.op_code().instruction_string().to_owned(),
                );
                Some(Stop::Unimplemented(format!("{name} at RIP {:#x}", ex.cpu.rip())))
            }
        }
    }
}

impl Blocks for Interpreted {
    fn run<const PROBED: bool>(&mut self, cache: &mut Cache, tlbs: &mut [Tlb], ex: &mut Exec<'_>) -> Ran {
        loop {
            let flow = Self::run_block::<PROBED>(cache, tlbs, ex)?;
            let goes_on = matches!(flow, Flow::Next | Flow::Jump | Flow::Again);
            if !goes_on || ex.attention || ex.left == 0 || PROBED && ex.probes.full() {
                return Ok(flow);
            }
        }
    }

    fn dropped(&mut self, cache: &mut Cache) {
        cache.dropped.clear();
    }
}

impl Interpreted {
    /// Runs the block at RIP, or its first instructions if the budget ends or something asks
    /// for it.
    ///
    /// # Errors
    /// What stopped an instruction, or its fetch.
    #[inline(always)]
    pub fn run_block<const PROBED: bool>(cache: &mut Cache, tlbs: &mut [Tlb], ex: &mut Exec<'_>) -> Ran {
        // Before the code is fetched: that may be a fault, or an access to a device.
        if PROBED && Self::at_breakpoint(ex) {
            return Ok(Flow::Next);
        }
        let block = match Self::code(cache, tlbs, ex).map_err(|t| (t, None))? {
            Code::Block(block) => block,
            Code::Once(op) => {
                return Self::step(ex, &op).unwrap_or(Ok(Flow::Next)).map_err(|t| (t, Some(op)));
            }
        };
        let ops = cache.ops(&block);
        let n = ops.len().min(ex.left as usize);
        let breaks = PROBED && ex.probes.breaks_in(ex.cpu.linear_pc(), block.bytes.into());
        for op in &ops[..n] {
            if PROBED {
                if breaks && Self::at_breakpoint(ex) {
                    return Ok(Flow::Next);
                }
                ex.pc = ex.cpu.linear_pc();
            }
            if let Some(result) = Self::step(ex, op) {
                return result.map_err(|trap| {
                    // The access is made again, and its data breakpoint hit again.
                    ex.cpu.debug_pending = 0;
                    (trap, Some(*op))
                });
            }
        }
        Ok(Flow::Next)
    }

    /// Notes a breakpoint at the instruction that comes next. True when the engine has to leave.
    pub fn at_breakpoint(ex: &mut Exec<'_>) -> bool {
        ex.pc = ex.cpu.linear_pc();
        let At { icount, cpu } = ex.at();
        ex.probes.execute(icount, cpu, ex.pc);
        ex.probes.full()
    }

    /// Runs one instruction: single-step traps, interrupt shadows, instruction breakpoints.
    fn run_one(cache: &mut Cache, tlbs: &mut [Tlb], ex: &mut Exec<'_>) -> Ran {
        let trap_flag = ex.cpu.rflags & bit::TF != 0;
        ex.instruction_breakpoint().map_err(|t| (t, None))?;
        let shadow = std::mem::replace(&mut ex.cpu.shadow, Shadow::None);
        let code = Self::code(cache, tlbs, ex).map_err(|t| (t, None));
        let op = match code {
            Ok(Code::Block(block)) => cache.ops(&block).first().copied(),
            Ok(Code::Once(op)) => Some(op),
            Err(e) => return Err(e),
        };
        let Some(op) = op else { return Err((Trap::Unimplemented, None)) };
        // A second STI or MOV SS in the shadow of the first casts a shadow of its own: the manual
        // leaves that open (SDM volume 3, section 6.8.3).
        // RF suppresses the breakpoints of one instruction, which may set it anew (IRET).
        let resume = ex.cpu.rflags & bit::RF;
        ex.cpu.rflags &= !bit::RF;
        let result = Self::step(ex, &op).unwrap_or(Ok(Flow::Next));
        match result {
            Err(_) => {
                ex.cpu.rflags |= resume;
                ex.cpu.shadow = shadow;
                if shadow != Shadow::MovSs {
                    ex.cpu.debug_pending = 0;
                }
            }
            // Not the next iteration's breakpoint again (SDM volume 3, section 17.3.1.1).
            Ok(Flow::Again) if ex.instruction_breakpoints() => ex.cpu.rflags |= bit::RF,
            Ok(_) => {}
        }
        if trap_flag && result.is_ok_and(|flow| flow != Flow::Entered) {
            ex.cpu.debug_pending |= super::boundary::DR6_BS;
        }
        result.map_err(|t| (t, Some(op)))
    }
}
