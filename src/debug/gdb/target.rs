//! What gdb asks for, as the protocol's library wants it answered.

use super::layout::Layout;
use super::points::Points;
use super::session::{Go, Session, Stopped};
use crate::machine::board::Board;
use crate::replay::Input;
use crate::timeline::Control;
use crate::timeline::condition::Condition;
use dejavm_interp::mem::{PAGE_SIZE, PhysAddr, Place};
use dejavm_interp::probe::{Hit, Vectors, What};
use gdbstub::arch::{Arch, RegId, Registers};
use gdbstub::common::{Signal, Tid};
use gdbstub::stub::MultiThreadStopReason;
use gdbstub::target::ext::base::BaseOps;
use gdbstub::target::ext::base::multithread::{
    MultiThreadBase, MultiThreadRangeStepping, MultiThreadRangeSteppingOps, MultiThreadResume,
    MultiThreadResumeOps, MultiThreadSchedulerLocking, MultiThreadSchedulerLockingOps, MultiThreadSingleStep,
    MultiThreadSingleStepOps,
};
use gdbstub::target::ext::base::reverse_exec::{
    ReplayLogPosition, ReverseCont, ReverseContOps, ReverseStep, ReverseStepOps,
};
use gdbstub::target::ext::base::single_register_access::{SingleRegisterAccess, SingleRegisterAccessOps};
use gdbstub::target::ext::breakpoints::{
    Breakpoints, BreakpointsOps, HwBreakpoint, HwBreakpointOps, HwWatchpoint, HwWatchpointOps, SwBreakpoint,
    SwBreakpointOps, WatchKind,
};
use gdbstub::target::ext::target_description_xml_override::{
    TargetDescriptionXmlOverride, TargetDescriptionXmlOverrideOps,
};
use gdbstub::target::ext::thread_extra_info::{ThreadExtraInfo, ThreadExtraInfoOps};
use gdbstub::target::{Target, TargetError, TargetResult};
use std::convert::Infallible;
use std::num::NonZeroUsize;
use std::ops::Range;

/// Error numbers that gdb shows.
const EFAULT: u8 = 14;
const EINVAL: u8 = 22;
/// Steps of a range between looks at the user's wish to stop.
const LOOK: u64 = 1 << 10;

/// The guest, to the protocol's library: addresses of 64 bits, and registers as bytes.
#[derive(Debug)]
pub enum Guest {}

/// The registers that are read together, as bytes in gdb's order; `None` when there are none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Together(Option<Vec<u8>>, usize);

impl Registers for Together {
    type ProgramCounter = u64;

    fn pc(&self) -> u64 {
        0
    }

    fn gdb_serialize(&self, mut write_byte: impl FnMut(Option<u8>)) {
        match &self.0 {
            Some(bytes) => bytes.iter().for_each(|&b| write_byte(Some(b))),
            None => (0..self.1).for_each(|_| write_byte(None)),
        }
    }

    fn gdb_deserialize(&mut self, bytes: &[u8]) -> Result<(), ()> {
        self.0 = Some(bytes.to_vec());
        Ok(())
    }
}

/// A register's number.
#[derive(Clone, Copy, Debug)]
pub struct Number(pub usize);

impl RegId for Number {
    fn from_raw_id(id: usize) -> Option<(Self, Option<NonZeroUsize>)> {
        Some((Self(id), None))
    }

    fn to_raw_id(&self) -> Option<usize> {
        Some(self.0)
    }
}

impl Arch for Guest {
    type Usize = u64;
    type Registers = Together;
    type BreakpointKind = usize;
    type RegId = Number;
}

/// How gdb wants the machine to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Action {
    Continue,
    Step(usize),
    Range(usize, Range<u64>),
    StepBack,
    Back,
}

/// What tells one run of a function from another: linear address of the next instruction, stack pointer, page
/// tables.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Context {
    linear: u64,
    stack: Option<Vec<u8>>,
    space: Option<u128>,
}

/// Why it stopped, in the library's words.
pub type Reason = MultiThreadStopReason<u64>;

/// A session as gdb sees it.
pub struct Debuggee<'a, S: Session> {
    /// What is debugged.
    pub session: &'a mut S,
    layout: Layout,
    points: Points,
    action: Action,
    /// The step that gdb will make for a watchpoint's sake: see [`Debuggee::go`].
    owed: Option<Go>,
    /// The CPU that gdb looks at.
    pub selected: usize,
    /// Addresses are physical.
    pub physical: bool,
    /// What is to be shown at the next opportunity.
    pub console: String,
}

/// The thread that stands for a CPU.
pub fn tid(cpu: usize) -> Tid {
    Tid::MIN.saturating_add(cpu)
}

impl<'a, S: Session> Debuggee<'a, S> {
    /// Nothing set, nothing shown.
    pub fn new(session: &'a mut S, layout: Layout) -> Self {
        let selected = session.look().current_cpu();
        let (points, action) = (Points::default(), Action::Continue);
        Self {
            session,
            layout,
            points,
            action,
            owed: None,
            selected,
            physical: false,
            console: String::new(),
        }
    }

    fn cpu(&self, tid: Tid) -> Result<usize, TargetError<Infallible>> {
        let cpu = tid.get() - 1;
        if cpu < self.session.look().state.board.cpus() { Ok(cpu) } else { Err(TargetError::Errno(EINVAL)) }
    }

    /// Where an address lies in RAM or ROM.
    fn place(&self, cpu: usize, addr: u64) -> Option<PhysAddr> {
        let machine = self.session.look();
        let addr = addr & self.layout.mask;
        let found =
            if self.physical { Some(addr) } else { machine.state.board.translate(cpu, &machine.mem, addr) };
        found.filter(|&a| machine.mem.place(a) != Place::Bus)
    }

    /// The pieces of an area, page by page: physical address and bytes; ends before what is not
    /// there.
    fn pieces(&self, cpu: usize, addr: u64, len: u64) -> Vec<(PhysAddr, u64)> {
        let mut pieces = Vec::new();
        let mut done = 0;
        while done < len {
            let at = addr.wrapping_add(done);
            let n = (PAGE_SIZE - at % PAGE_SIZE).min(len - done);
            let Some(place) = self.place(cpu, at) else { break };
            pieces.push((place, n));
            done += n;
        }
        pieces
    }

    fn write(&mut self, input: Input) -> TargetResult<(), Self> {
        match self.session.write(input) {
            Ok(notice) => {
                self.console.extend(notice);
                Ok(())
            }
            Err(text) => {
                self.console.push_str(&format!("{text}\n"));
                Err(TargetError::NonFatal)
            }
        }
    }

    fn set_register(&mut self, cpu: usize, number: usize, bytes: &[u8]) -> TargetResult<(), Self> {
        let register = self.layout.registers.get(number).ok_or(TargetError::Errno(EINVAL))?;
        if bytes.len() != register.bytes || cpu > u8::MAX.into() {
            return Err(TargetError::Errno(EINVAL));
        }
        let mut value = [0; 16];
        value[..bytes.len()].copy_from_slice(bytes);
        let (name, value) = (register.source.to_owned(), u128::from_le_bytes(value));
        self.write(Input::WriteRegister { cpu: cpu as u8, name, value })
    }

    fn register(&mut self, cpu: usize, number: usize) -> TargetResult<Vec<u8>, Self> {
        let register = self.layout.registers.get(number).ok_or(TargetError::Errno(EINVAL))?;
        let board = &mut self.session.machine().state.board;
        let own = register.get(&board.core(cpu));
        let kept = || board.device_register(cpu, register.source).map(|value| register.cut(value));
        own.or_else(kept).ok_or(TargetError::Errno(EINVAL))
    }

    /// Registers that every stop reports: number and bytes.
    pub fn hot_registers(&mut self) -> Vec<(Number, Vec<u8>)> {
        let numbers = self.layout.hot;
        let cpu = self.selected;
        numbers.into_iter().filter_map(|n| Some((Number(n), self.register(cpu, n).ok()?))).collect()
    }

    /// Something else than gdb moved the machine.
    pub fn moved(&mut self) {
        self.owed = None;
    }

    /// Moves the machine as gdb wants, until it stops.
    ///
    /// Of some architectures gdb knows that a watchpoint is told before the access is made ([`Layout::before`]). It
    /// then makes a step in the direction that it was going in, without the watchpoint, and only then looks at the
    /// memory. Here a stop is after the access, or before it when going back, on all of them, and a machine that is
    /// no recording cannot stop before: so that step has been made already.
    pub fn go(&mut self, control: &mut dyn Control) -> Reason {
        if let Some(owed) = self.owed.take() {
            let asked = match self.action {
                Action::Step(cpu) | Action::Range(cpu, _) => Some(Go::Step(cpu)),
                Action::StepBack => Some(Go::StepBack(self.selected)),
                Action::Continue | Action::Back => None,
            };
            if asked == Some(owed) {
                return Reason::SignalWithThread { tid: tid(self.selected), signal: Signal::SIGTRAP };
            }
        }
        let how = match self.action.clone() {
            Action::Continue => Go::Forward,
            Action::Back => Go::Backward,
            Action::StepBack => Go::StepBack(self.selected),
            Action::Step(cpu) => Go::Step(cpu),
            Action::Range(cpu, range) => return self.go_through(cpu, &range, control),
        };
        let stopped = self.session.go(how, self.points.condition(), control);
        self.reason(how, stopped)
    }

    /// Steps while the CPU is in a range of addresses. This is gdb's `step` and `next`: who goes through a
    /// function's lines does not want the handler of an interrupt that comes in between, so the
    /// handler is run up to where it returns, unless something in it stops the machine.
    fn go_through(&mut self, cpu: usize, range: &Range<u64>, control: &mut dyn Control) -> Reason {
        let how = Go::Step(cpu);
        let condition = Condition { interrupts: Vectors::ALL, ..self.points.condition().clone() };
        let mut steps = 0u64;
        loop {
            let before = self.context(cpu);
            let mut stopped = self.session.go(how, &condition, control);
            steps += 1;
            if let Stopped::Hit(Hit { cpu: entered, what: What::Interrupt { software, .. }, .. }) = stopped {
                stopped = Stopped::Stepped;
                if entered == cpu && !software {
                    match self.go_out_of_handler(cpu, &before, control) {
                        Some(other) => return self.reason(Go::Forward, other),
                        None => continue,
                    }
                } else if entered != cpu {
                    continue;
                }
            }
            let (pc, linear) = self.program_counter(cpu);
            if stopped != Stopped::Stepped || !range.contains(&pc) || self.points.breaks(linear) {
                return self.reason(how, stopped);
            }
            if steps.is_multiple_of(LOOK) && control.cancelled() {
                return self.reason(how, Stopped::Interrupted);
            }
        }
    }

    /// Runs until a CPU is back where an interrupt took it from; `None` when it is. Otherwise what stopped
    /// it before.
    fn go_out_of_handler(
        &mut self,
        cpu: usize,
        before: &Context,
        control: &mut dyn Control,
    ) -> Option<Stopped> {
        let mut condition = self.points.condition().clone();
        condition.execute.push(before.linear);
        condition.execute.sort_unstable();
        condition.execute.dedup();
        loop {
            match self.session.go(Go::Forward, &condition, control) {
                Stopped::Hit(Hit { what: What::Execute, pc, cpu: there, .. }) if pc == before.linear => {
                    if there == cpu && self.context(cpu) == *before {
                        return None;
                    }
                    // Another task, or the handler itself, at the same instruction.
                    if self.points.breaks(pc) {
                        let icount = self.session.look().state.icount;
                        return Some(Stopped::Hit(Hit { icount, cpu: there, pc, what: What::Execute }));
                    }
                }
                other => return Some(other),
            }
        }
    }

    /// Where a CPU is in which program.
    fn context(&mut self, cpu: usize) -> Context {
        let (_, linear) = self.program_counter(cpu);
        let stack = self.register(cpu, self.layout.hot[1]).ok();
        let core = self.session.machine().state.board.core(cpu);
        // Bits 11:0 of CR3 are flags, or a number that Linux gives a space anew; so are bits 63:48 of TTBR0.
        let x86 = core.get("cr3").map(|cr3| cr3 >> 12);
        let space = x86.or_else(|| core.get("ttbr0_el1").map(|ttbr0| ttbr0 & ((1 << 48) - 1)));
        Context { linear, stack, space }
    }

    /// The program counter as gdb knows it, and its linear address.
    fn program_counter(&mut self, cpu: usize) -> (u64, u64) {
        let number = self.layout.hot[0];
        let bytes = self.register(cpu, number).unwrap_or_default();
        let pc = bytes.iter().rev().fold(0, |pc, &b| pc << 8 | u64::from(b));
        (pc, self.session.look().state.board.pc(cpu))
    }

    fn reason(&mut self, how: Go, stopped: Stopped) -> Reason {
        let cpu = match (&stopped, how) {
            (Stopped::Hit(hit), _) => hit.cpu,
            (Stopped::Stepped, Go::Step(cpu) | Go::StepBack(cpu)) => cpu,
            _ => self.session.look().current_cpu(),
        };
        self.selected = cpu;
        let tid = tid(cpu);
        let trap = Reason::SignalWithThread { tid, signal: Signal::SIGTRAP };
        match stopped {
            Stopped::Hit(hit) => {
                let reason = self.hit(&hit, tid).unwrap_or(trap);
                if self.layout.before && matches!(reason, Reason::Watch { .. }) {
                    let back = matches!(how, Go::Backward | Go::StepBack(_));
                    self.owed = Some(if back { Go::StepBack(cpu) } else { Go::Step(cpu) });
                }
                reason
            }
            Stopped::Stepped => trap,
            Stopped::Begin => Reason::ReplayLog { tid: Some(tid), pos: ReplayLogPosition::Begin },
            Stopped::End => Reason::ReplayLog { tid: Some(tid), pos: ReplayLogPosition::End },
            Stopped::Interrupted => Reason::SignalWithThread { tid, signal: Signal::SIGINT },
            Stopped::Exited(status) => Reason::Exited(status),
            Stopped::Failed(text) => {
                self.console.push_str(&format!("{text}\n"));
                Reason::SignalWithThread { tid, signal: Signal::SIGABRT }
            }
        }
    }

    /// What a hit is to gdb, if it is more than a trap.
    fn hit(&mut self, hit: &Hit, tid: Tid) -> Option<Reason> {
        match hit.what {
            What::Execute => {
                let (pc, linear) = self.program_counter(hit.cpu);
                // Where a segment's base makes them differ gdb would take it for another's.
                (pc == linear && self.points.breaks(linear)).then_some(())?;
                let software = self.points.software(linear);
                Some(if software { Reason::SwBreak(tid) } else { Reason::HwBreak(tid) })
            }
            What::Memory { addr, len, write, .. } => {
                let (kind, addr) = self.points.watch(addr, len.into(), write)?;
                Some(Reason::Watch { tid, kind, addr })
            }
            // Watched device memory.
            What::Mmio { addr, size, write, .. } => {
                let (kind, addr) = self.points.watch(addr, size.into(), write)?;
                Some(Reason::Watch { tid, kind, addr })
            }
            _ => None,
        }
    }
}

impl<S: Session> Target for Debuggee<'_, S> {
    type Arch = Guest;
    type Error = Infallible;

    fn base_ops(&mut self) -> BaseOps<'_, Guest, Infallible> {
        BaseOps::MultiThread(self)
    }

    fn support_breakpoints(&mut self) -> Option<BreakpointsOps<'_, Self>> {
        Some(self)
    }

    fn support_target_description_xml_override(
        &mut self,
    ) -> Option<TargetDescriptionXmlOverrideOps<'_, Self>> {
        Some(self)
    }
}

impl<S: Session> MultiThreadBase for Debuggee<'_, S> {
    fn read_registers(&mut self, regs: &mut Together, tid: Tid) -> TargetResult<(), Self> {
        let cpu = self.cpu(tid)?;
        let core = self.session.machine().state.board.core(cpu);
        let registers = &self.layout.registers[..self.layout.together];
        let bytes: Option<Vec<Vec<u8>>> = registers.iter().map(|r| r.get(&core)).collect();
        *regs = Together(bytes.map(|b| b.concat()), registers.iter().map(|r| r.bytes).sum());
        Ok(())
    }

    fn write_registers(&mut self, regs: &Together, tid: Tid) -> TargetResult<(), Self> {
        let cpu = self.cpu(tid)?;
        let mut rest = regs.0.as_deref().unwrap_or_default();
        for number in 0..self.layout.together {
            let Some((bytes, tail)) = rest.split_at_checked(self.layout.registers[number].bytes) else {
                break;
            };
            rest = tail;
            if self.register(cpu, number)? != bytes {
                self.set_register(cpu, number, bytes)?;
            }
        }
        Ok(())
    }

    fn support_single_register_access(&mut self) -> Option<SingleRegisterAccessOps<'_, Tid, Self>> {
        Some(self)
    }

    fn read_addrs(&mut self, start: u64, data: &mut [u8], tid: Tid) -> TargetResult<usize, Self> {
        let cpu = self.cpu(tid)?;
        let mut done = 0;
        for (addr, n) in self.pieces(cpu, start, data.len() as u64) {
            let end = done + n as usize;
            self.session.look().mem.read(addr, &mut data[done..end]);
            done = end;
        }
        if done == 0 && !data.is_empty() { Err(TargetError::Errno(EFAULT)) } else { Ok(done) }
    }

    fn write_addrs(&mut self, start: u64, data: &[u8], tid: Tid) -> TargetResult<(), Self> {
        let cpu = self.cpu(tid)?;
        let pieces = self.pieces(cpu, start, data.len() as u64);
        if pieces.iter().map(|p| p.1).sum::<u64>() < data.len() as u64 {
            return Err(TargetError::Errno(EFAULT));
        }
        let mut rest = data;
        for (addr, n) in pieces {
            let (bytes, tail) = rest.split_at(n as usize);
            rest = tail;
            self.write(Input::WriteMemory { addr, bytes: bytes.to_vec() })?;
        }
        Ok(())
    }

    fn list_active_threads(&mut self, found: &mut dyn FnMut(Tid)) -> Result<(), Infallible> {
        (0..self.session.look().state.board.cpus()).for_each(|cpu| found(tid(cpu)));
        Ok(())
    }

    fn support_resume(&mut self) -> Option<MultiThreadResumeOps<'_, Self>> {
        Some(self)
    }

    fn support_thread_extra_info(&mut self) -> Option<ThreadExtraInfoOps<'_, Self>> {
        Some(self)
    }
}

impl<S: Session> SingleRegisterAccess<Tid> for Debuggee<'_, S> {
    fn read_register(&mut self, tid: Tid, number: Number, buf: &mut [u8]) -> TargetResult<usize, Self> {
        let cpu = self.cpu(tid)?;
        let bytes = self.register(cpu, number.0)?;
        buf.get_mut(..bytes.len()).ok_or(TargetError::NonFatal)?.copy_from_slice(&bytes);
        Ok(bytes.len())
    }

    fn write_register(&mut self, tid: Tid, number: Number, val: &[u8]) -> TargetResult<(), Self> {
        let cpu = self.cpu(tid)?;
        self.set_register(cpu, number.0, val)
    }
}

impl<S: Session> ThreadExtraInfo for Debuggee<'_, S> {
    fn thread_extra_info(&self, tid: Tid, buf: &mut [u8]) -> Result<usize, Infallible> {
        let Ok(cpu) = self.cpu(tid) else { return Ok(0) };
        let state = if self.session.look().state.board.halted(cpu) { "halted" } else { "running" };
        let text = format!("CPU {cpu} [{state}]");
        let n = text.len().min(buf.len());
        buf[..n].copy_from_slice(&text.as_bytes()[..n]);
        Ok(n)
    }
}

impl<S: Session> MultiThreadResume for Debuggee<'_, S> {
    fn resume(&mut self) -> Result<(), Infallible> {
        Ok(())
    }

    fn clear_resume_actions(&mut self) -> Result<(), Infallible> {
        self.action = Action::Continue;
        Ok(())
    }

    fn set_resume_action_continue(&mut self, _tid: Tid, _signal: Option<Signal>) -> Result<(), Infallible> {
        Ok(())
    }

    fn support_single_step(&mut self) -> Option<MultiThreadSingleStepOps<'_, Self>> {
        Some(self)
    }

    fn support_range_step(&mut self) -> Option<MultiThreadRangeSteppingOps<'_, Self>> {
        Some(self)
    }

    fn support_reverse_step(&mut self) -> Option<ReverseStepOps<'_, Tid, Self>> {
        if self.session.reversible() { Some(self) } else { None }
    }

    fn support_reverse_cont(&mut self) -> Option<ReverseContOps<'_, Tid, Self>> {
        if self.session.reversible() { Some(self) } else { None }
    }

    fn support_scheduler_locking(&mut self) -> Option<MultiThreadSchedulerLockingOps<'_, Self>> {
        Some(self)
    }
}

impl<S: Session> MultiThreadSingleStep for Debuggee<'_, S> {
    fn set_resume_action_step(&mut self, tid: Tid, _signal: Option<Signal>) -> Result<(), Infallible> {
        self.action = Action::Step(self.cpu(tid).unwrap_or(self.selected));
        Ok(())
    }
}

impl<S: Session> MultiThreadRangeStepping for Debuggee<'_, S> {
    fn set_resume_action_range_step(&mut self, tid: Tid, start: u64, end: u64) -> Result<(), Infallible> {
        self.action = Action::Range(self.cpu(tid).unwrap_or(self.selected), start..end);
        Ok(())
    }
}

impl<S: Session> MultiThreadSchedulerLocking for Debuggee<'_, S> {
    /// Whose turn it is belongs to the machine: the other CPUs go on as they do.
    fn set_resume_action_scheduler_lock(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

impl<S: Session> ReverseCont<Tid> for Debuggee<'_, S> {
    fn reverse_cont(&mut self) -> Result<(), Infallible> {
        self.action = Action::Back;
        Ok(())
    }
}

impl<S: Session> ReverseStep<Tid> for Debuggee<'_, S> {
    /// gdb names no thread here: it is the one that it looks at.
    fn reverse_step(&mut self, _tid: Tid) -> Result<(), Infallible> {
        self.action = Action::StepBack;
        Ok(())
    }
}

impl<S: Session> Breakpoints for Debuggee<'_, S> {
    fn support_sw_breakpoint(&mut self) -> Option<SwBreakpointOps<'_, Self>> {
        Some(self)
    }

    fn support_hw_breakpoint(&mut self) -> Option<HwBreakpointOps<'_, Self>> {
        Some(self)
    }

    fn support_hw_watchpoint(&mut self) -> Option<HwWatchpointOps<'_, Self>> {
        Some(self)
    }
}

impl<S: Session> SwBreakpoint for Debuggee<'_, S> {
    fn add_sw_breakpoint(&mut self, addr: u64, _kind: usize) -> TargetResult<bool, Self> {
        Ok(self.points.add(true, addr & self.layout.mask))
    }

    fn remove_sw_breakpoint(&mut self, addr: u64, _kind: usize) -> TargetResult<bool, Self> {
        Ok(self.points.remove(true, addr & self.layout.mask))
    }
}

impl<S: Session> HwBreakpoint for Debuggee<'_, S> {
    fn add_hw_breakpoint(&mut self, addr: u64, _kind: usize) -> TargetResult<bool, Self> {
        Ok(self.points.add(false, addr & self.layout.mask))
    }

    fn remove_hw_breakpoint(&mut self, addr: u64, _kind: usize) -> TargetResult<bool, Self> {
        Ok(self.points.remove(false, addr & self.layout.mask))
    }
}

impl<S: Session> HwWatchpoint for Debuggee<'_, S> {
    fn add_hw_watchpoint(&mut self, addr: u64, len: u64, kind: WatchKind) -> TargetResult<bool, Self> {
        if len == 0 || len > super::points::LONGEST {
            return Ok(false);
        }
        let pieces = self.pieces(self.selected, addr, len);
        if pieces.iter().map(|p| p.1).sum::<u64>() < len {
            return Err(TargetError::Errno(EFAULT));
        }
        Ok(self.points.add_watch(addr, len, kind, pieces))
    }

    fn remove_hw_watchpoint(&mut self, addr: u64, len: u64, kind: WatchKind) -> TargetResult<bool, Self> {
        Ok(self.points.remove_watch(addr, len, kind))
    }
}

impl<S: Session> TargetDescriptionXmlOverride for Debuggee<'_, S> {
    fn target_description_xml(
        &self,
        annex: &[u8],
        offset: u64,
        length: usize,
        buf: &mut [u8],
    ) -> TargetResult<usize, Self> {
        if annex != b"target.xml" {
            return Err(TargetError::Errno(2));
        }
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = self.layout.xml.as_bytes().get(offset..).unwrap_or_default();
        let n = rest.len().min(length).min(buf.len());
        buf[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }
}
