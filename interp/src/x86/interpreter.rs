//! The interpreter: finds or decodes code, executes single instructions, takes their exceptions.

use super::boundary::DR6_BS;
use super::decode::{BLANK, Decoded, Decoding, MAX_INSTRUCTION, decode};
use super::exec::{Exec, Flow, X86, X86Bus};
use super::flags::bit;
use super::mmu::Rights;
use super::op::{Op, REG_RIP, opflag};
use super::regs::{Activity, Cpu, Shadow, seg};
use super::trap::Trap;
use crate::cache::block_key;
use crate::engine::{Clock, Engine, Exit, Stop};
use crate::guest::{Boundary, Guest};
use crate::mem::{Memory, PAGE_SIZE, Place};
use crate::tlb::{Access, Tlb};

/// The longest run of instructions that is decoded at once.
const BLOCK_OPS: usize = 64;

/// The reference engine for x86 guests.
pub type Interpreter = Driver<Interpreted>;
/// An engine for x86 guests around some way to run blocks.
pub type Driver<B> = crate::driver::Driver<X86, B>;
/// Executes decoded instructions one by one.
pub type Interpreted = crate::driver::Interpreted<X86>;
/// An engine of any kind for x86 guests.
pub type AnyEngine = dyn for<'a> Engine<Cpu, dyn X86Bus + 'a> + Send;

/// The reference engine, compiled in this crate.
pub fn engine() -> Box<AnyEngine> {
    Box::new(Interpreter::new())
}

/// The outcome of code that ran.
pub type Ran = crate::guest::Ran<X86>;
/// Instructions that are about to be executed.
pub type Code = crate::guest::Code<Op>;
/// The cache of decoded instructions.
pub type Cache = crate::cache::Cache<Op>;

impl<B: crate::driver::Blocks<X86>> Engine<Cpu, dyn X86Bus + '_> for Driver<B> {
    fn run(
        &mut self,
        cpu: &mut Cpu,
        index: usize,
        mem: &mut Memory,
        bus: &mut (dyn X86Bus + '_),
        clock: Clock,
        budget: u64,
    ) -> Exit {
        self.run_cpu(cpu, index, mem, bus, clock, budget)
    }
}

impl Guest for X86 {
    type Cpu = Cpu;
    type Bus<'a> = dyn X86Bus + 'a;
    type Op = Op;
    type Trap = Trap;

    fn shorter<'a, 'b: 'a>(bus: &'a mut (dyn X86Bus + 'b)) -> &'a mut (dyn X86Bus + 'a) {
        bus
    }

    #[inline]
    fn linear_pc(cpu: &Cpu) -> u64 {
        cpu.linear_pc()
    }

    fn mode_changed(ex: &mut Exec<'_>) {
        ex.mode_changed();
    }

    #[inline]
    fn boundary(ex: &mut Exec<'_>) -> Result<Boundary, Trap> {
        ex.boundary()
    }

    fn idle(cpu: &Cpu) -> Stop {
        if cpu.activity == Activity::Shutdown { Stop::Shutdown } else { Stop::Halted }
    }

    fn halt(cpu: &mut Cpu) {
        if cpu.activity == Activity::Running {
            cpu.activity = Activity::Halted;
        }
    }

    fn code(cache: &mut Cache, tlbs: &mut [Tlb], ex: &mut Exec<'_>) -> Result<Code, Trap> {
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
                Place::Bus => return code_from_bus(ex, lin, code_size, room),
            }
        };
        if let Some(block) = cache.find(block_key(offset, code_size))
            && u64::from(block.bytes) <= room
        {
            if block.second == u64::MAX {
                return Ok(Code::Block(*block));
            }
            let next = ex.wrap((lin | (PAGE_SIZE - 1)).wrapping_add(1));
            let e = ex.tlb.entry(next, Access::Fetch);
            let place = if next.wrapping_sub(e.tag) < PAGE_SIZE {
                Place::Ram(e.offset)
            } else {
                ex.translate(Rights::Current, next, Access::Fetch)?.place
            };
            if let Place::Ram(o) | Place::Rom(o) = place
                && o == block.second
            {
                return Ok(Code::Block(*block));
            }
        }
        decode_block(cache, tlbs, ex, lin, offset, code_size, room)
    }

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

    fn undone(ex: &mut Exec<'_>) {
        // The access is made again, and its data breakpoint hit again.
        ex.cpu.debug_pending = 0;
    }

    // Single-step traps, interrupt shadows, instruction breakpoints.
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
            ex.cpu.debug_pending |= DR6_BS;
        }
        result.map_err(|t| (t, Some(op)))
    }

    fn trapped(ex: &mut Exec<'_>, trap: Trap, op: Option<Op>) -> Option<Stop> {
        match trap {
            // The entry into the exception is one step; the instruction made none.
            Trap::Fault { vector, code } => match ex.raise(vector, code) {
                Ok(()) => {
                    ex.left -= 1;
                    None
                }
                Err(Trap::Fault { .. } | Trap::Shutdown) => Self::trapped(ex, Trap::Shutdown, op),
                Err(Trap::Unimplemented) => Self::trapped(ex, Trap::Unimplemented, op),
            },
            Trap::Shutdown => {
                ex.cpu.activity = Activity::Shutdown;
                // As after every other delivery: engines need not keep these up to here.
                ex.cpu.shadow = Shadow::None;
                ex.cpu.rflags &= !bit::RF;
                ex.left -= 1;
                Some(Stop::Shutdown)
            }
            Trap::Unimplemented => {
                ex.cpu.shadow = Shadow::None;
                ex.cpu.rflags &= !bit::RF;
                let name = op.and_then(|op| iced_x86::Code::try_from(usize::from(op.code)).ok()).map_or_else(
                    || String::from("event delivery"),
                    |code| code.op_code().instruction_string().to_owned(),
                );
                Some(Stop::Unimplemented(format!("{name} at RIP {:#x}", ex.cpu.rip())))
            }
        }
    }
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
    let page = (PAGE_SIZE - offset % PAGE_SIZE).min(room) as usize;
    let bytes = &ex.mem.bytes()[offset as usize..offset as usize + page];
    // What repeats may make many steps at once, until it stores into code that is watched: itself, maybe.
    let repeats = |op: &Op| op.flags & (opflag::REP | opflag::REPNE) != 0;
    let decode_one =
        || decode(bytes, code_size, ex.cpu.model).filter(|op| !repeats(op)).map(|op| (op, op.len));
    if let Some(op) = cache.rewritten.once(offset, code_size, bytes, decode_one) {
        return Ok(Code::Once(op));
    }
    let mut ops = cache.buffer();
    let mut decoding = Decoding::new(bytes, code_size, ex.cpu.model);
    let mut done = 0;
    let mut second = u64::MAX;
    while ops.len() < BLOCK_OPS && done < page {
        let op = ops.push_mut(BLANK);
        let decoded = decoding.decode(op);
        done += usize::from(op.len);
        match decoded {
            Decoded::Op => {}
            Decoded::Last => break,
            Decoded::Short => {
                ops.pop();
                if !ops.is_empty() {
                    break;
                }
                if room as usize == page {
                    // The limit of the code segment cuts the instruction.
                    return Err(Trap::GP);
                }
                // The instruction goes on in the next page.
                let mut buffer = [0; MAX_INSTRUCTION];
                buffer[..page].copy_from_slice(bytes);
                let next = ex.wrap(lin.wrapping_add(page as u64));
                if code_size == 8 && !Exec::canonical(next) {
                    return Err(Trap::GP);
                }
                match ex.translate(Rights::Current, next, Access::Fetch)?.place {
                    Place::Ram(o) | Place::Rom(o) => {
                        second = o;
                        let o = o as usize;
                        buffer[page..].copy_from_slice(&ex.mem.bytes()[o..o + MAX_INSTRUCTION - page]);
                    }
                    Place::Bus => return code_from_bus(ex, lin, code_size, room),
                }
                let have = (room.min(MAX_INSTRUCTION as u64)) as usize;
                let Some(op) = decode(&buffer[..have], code_size, ex.cpu.model) else {
                    return Err(Trap::GP);
                };
                done += usize::from(op.len);
                ops.push(op);
                break;
            }
        }
    }
    let now = ex.icount();
    let (block, fresh) = cache.insert(ex.mem, offset, code_size, ops, done as u32, second, now);
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
        if let Some(op) = decode(&buffer[..=n], code_size, ex.cpu.model)
            && usize::from(op.len) <= n + 1
            && (op.len > 0)
        {
            return Ok(Code::Once(op));
        }
    }
    Err(Trap::GP)
}
