//! Machines: boards, memory and time, and the loop that moves them.

pub mod any;
pub mod board;
pub mod build;
pub mod config;
pub mod cpu;
pub mod events;
pub mod fault;
pub mod loader;
pub mod pc;
pub mod state;
pub mod time;
pub mod toy;
pub mod tree;
pub mod virt;

use crate::devices::Request;
use crate::replay::{Input, Output, Source};
use any::{Any, AnyEngine};
use board::Board;
use dejavm_interp::engine::{CodeSink, Control, Exit, Stop};
use dejavm_interp::mem::Memory;
use dejavm_interp::probe::{Hit, Interest, Keep};
pub use state::State;
use state::Turn;
use time::VirtNs;

/// Steps of one CPU's turn while several CPUs share the timeline.
const QUANTUM: u64 = 4096;

/// Why [`Machine::run`] returned. The machine stands at an exact boundary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pause {
    /// The limit was reached.
    Limit,
    /// Every CPU waits; nothing happens before the given deadline (`None`: ever).
    Idle(Option<VirtNs>),
    /// The guest asked for something; [`Machine::reset`] does a reset.
    Request(Request),
    /// An instruction is not implemented; the text names it and where.
    Unimplemented(String),
    /// The probes have as many hits as they have room for.
    Probed,
}

/// A machine that runs.
pub struct Machine<B: Board> {
    /// Everything but memory.
    pub state: State<B>,
    /// Guest-physical memory.
    pub mem: Memory,
    /// What is loaded into memory at power-on and again at reset: physical address and bytes.
    pub images: Vec<(u64, Vec<u8>)>,
    engine: Box<B::Engine>,
    /// Nothing happened at the current step but what belongs to its first moment: timers that
    /// were due fired, a request was acted on, a debugger wrote.
    first_moment: bool,
    /// Which of the outputs that wait were sent at the first moment of a step.
    early: Vec<std::ops::Range<usize>>,
    /// Skip idle time to the next timer instead of pausing.
    pub skip_idle: bool,
}

impl<B: Board> Machine<B> {
    /// A machine at power-on, its images loaded into memory already.
    pub fn new(
        board: B,
        mem: Memory,
        engine: Box<B::Engine>,
        shift: u8,
        images: Vec<(u64, Vec<u8>)>,
    ) -> Self {
        let state = State { icount: 0, warp: 0, shift, turn: Turn::default(), board };
        Self { state, mem, images, engine, first_moment: true, early: Vec::new(), skip_idle: true }
    }

    /// The same machine with its board and engine as any kind's.
    pub fn into_any(self, board: fn(Box<B>) -> Any, engine: fn(Box<B::Engine>) -> AnyEngine) -> Machine<Any> {
        let State { icount, warp, shift, turn, board: own } = self.state;
        Machine {
            state: State { icount, warp, shift, turn, board: board(Box::new(own)) },
            mem: self.mem,
            images: self.images,
            engine: Box::new(engine(self.engine)),
            first_moment: self.first_moment,
            early: self.early,
            skip_idle: self.skip_idle,
        }
    }

    /// Runs until the boundary `limit`, or until something else has to be decided outside.
    ///
    /// Timers due at the boundary where it returns have not necessarily fired;
    /// [`Machine::inject`] and the next run fire them first.
    pub fn run(&mut self, limit: u64, source: &mut dyn Source) -> Pause {
        loop {
            self.state.board.world().attention = false;
            self.fire_timers(source);
            if let Some(request) = self.state.board.world().request.take() {
                return Pause::Request(request);
            }
            if self.state.icount >= limit {
                return Pause::Limit;
            }
            let Some(index) = self.choose_cpu() else {
                let next = self.state.board.world().events.next();
                match next {
                    Some(deadline) if self.skip_idle => self.warp_to(deadline),
                    _ => return Pause::Idle(next),
                }
                continue;
            };
            let mut budget = limit - self.state.icount;
            if self.state.board.cpus() > 1 {
                budget = budget.min(self.state.turn.left);
            }
            if let Some(deadline) = self.state.board.world().events.next() {
                // The first boundary at which the clock has reached the deadline.
                let ns = deadline.since(self.state.now());
                budget = budget.min(ns.div_ceil(1 << self.state.shift));
            }
            let pc = self.state.board.pc(index);
            if self.engine.probes().turn_begins(self.state.icount, index, pc) {
                return Pause::Probed;
            }
            let clock = self.state.clock();
            let Exit { steps, stop } =
                self.state.board.run(&mut self.engine, index, &mut self.mem, source, clock, budget);
            self.state.icount += steps;
            self.first_moment |= steps > 0;
            if steps > 0 {
                self.engine.probes().turn_ends(self.state.icount - 1, index, pc);
            }
            if self.state.board.cpus() > 1 {
                self.state.turn.left -= steps;
            }
            match stop {
                Stop::Budget | Stop::Halted | Stop::Attention => {}
                Stop::Yield => self.state.turn.left = 0,
                // Shutdown resets a PC; the board's chipset would see the special cycle.
                Stop::Shutdown => return Pause::Request(Request::Reset),
                Stop::Unimplemented(what) => return Pause::Unimplemented(what),
            }
            if self.engine.probes().full() {
                return Pause::Probed;
            }
        }
    }

    /// Looks for `interest` in the runs that follow. Breakpoints do not hit at the boundary where
    /// the machine stands.
    pub fn probe(&mut self, interest: Interest, keep: Keep) {
        self.mem.set_watches(&interest.memory);
        self.engine.probes().set(interest, keep, Some(self.state.icount));
    }

    /// [`Machine::probe`], but a breakpoint where the machine stands hits.
    pub fn probe_from_here(&mut self, interest: Interest, keep: Keep) {
        self.mem.set_watches(&interest.memory);
        self.engine.probes().set(interest, keep, None);
    }

    /// Has the engine count more than usual, see [`Control::count`].
    pub fn count(&mut self) {
        self.engine.count();
    }

    /// Has `sink` told of the host code that the engine makes.
    pub fn tell_code(&mut self, sink: CodeSink) {
        self.engine.tell_code(sink);
    }

    /// What the engine did so far.
    pub fn counters(&self) -> Vec<(&'static str, u64)> {
        self.engine.counters()
    }

    /// Takes what the probes noted, oldest first.
    pub fn take_hits(&mut self) -> Vec<Hit> {
        self.engine.probes().take()
    }

    /// The CPU whose turn it is, skipping those that are halted.
    fn choose_cpu(&mut self) -> Option<usize> {
        let n = self.state.board.cpus();
        if n == 1 {
            // One CPU takes no turns: where the engine stopped must not show in the state.
            return (!self.state.board.halted(0)).then_some(0);
        }
        let turn = self.state.turn;
        if turn.left > 0 && !self.state.board.halted(turn.cpu) {
            return Some(turn.cpu);
        }
        let next = (1..=n).map(|i| (turn.cpu + i) % n).find(|&i| !self.state.board.halted(i))?;
        self.state.turn = Turn { cpu: next, left: QUANTUM };
        Some(next)
    }

    /// The CPU that makes the next step; when all are halted, the one whose turn it was.
    pub fn current_cpu(&self) -> usize {
        let (n, turn) = (self.state.board.cpus(), self.state.turn);
        let mut order = (0..n).map(|i| (turn.cpu + usize::from(turn.left == 0) + i) % n);
        order.find(|&i| !self.state.board.halted(i)).unwrap_or(turn.cpu)
    }

    fn fire_timers(&mut self, source: &mut dyn Source) {
        let (now, clock) = (self.state.now(), self.state.clock());
        let before = self.state.board.world().outputs.len();
        while let Some(timer) = self.state.board.world().events.take_due(now) {
            self.state.board.timer(timer, &mut self.mem, source, clock);
        }
        let after = self.state.board.world().outputs.len();
        if self.first_moment && after > before {
            self.early.push(before..after);
        }
        self.note_touches();
    }

    /// Tells the probes what was done to watched memory outside the CPUs' steps. What belongs to
    /// the first moment of a step is there when one goes to that step: the step before did it.
    fn note_touches(&mut self) {
        if !self.mem.has_touches() {
            return;
        }
        let touches = self.mem.take_touches();
        let icount = self.state.icount.saturating_sub(self.first_moment.into());
        let cpu = self.current_cpu();
        let (pc, mem) = (self.state.board.pc(cpu), &self.mem);
        self.engine.probes().touched(icount, cpu, pc, touches, |offset, len| mem.value(offset, len));
    }

    /// True when the machine stands at the first moment of its step, once timers that are due fired.
    pub fn at_first_moment(&self) -> bool {
        self.first_moment
    }

    /// Moves the virtual clock on to `deadline` while every CPU is halted.
    pub fn warp_to(&mut self, deadline: VirtNs) {
        self.warp_by(deadline.since(self.state.now()));
    }

    /// Moves the virtual clock on by `ns` while every CPU is halted.
    pub fn warp_by(&mut self, ns: u64) {
        self.state.warp += ns;
        self.first_moment &= ns == 0;
    }

    /// Injects an input at the current boundary, after the timers that are due there.
    pub fn inject(&mut self, input: &Input, source: &mut dyn Source) {
        self.fire_timers(source);
        self.first_moment &= input.by_debugger();
        match input {
            // What does not exist is dropped: an input never fails.
            Input::WriteMemory { addr, bytes } => {
                let _ = self.mem.load(*addr, bytes);
            }
            Input::WriteRegister { cpu, name, value } => {
                let (cpu, there) = (usize::from(*cpu), self.state.board.cpus());
                if cpu < there && !self.state.board.core(cpu).set(name, *value) {
                    // It may be one that a device keeps.
                    let clock = self.state.clock();
                    self.state.board.input(input, &mut self.mem, source, clock);
                }
            }
            Input::Fault { target, bit } => {
                let _ = fault::Fault::parse(target, *bit).and_then(|f| f.apply(self));
            }
            _ => {
                let clock = self.state.clock();
                self.state.board.input(input, &mut self.mem, source, clock);
            }
        }
        self.note_touches();
    }

    /// Takes over a state from a snapshot; memory has been restored already.
    pub fn restore(&mut self, state: &State<B>) {
        self.state.clone_from(state);
        self.state.board.restored(&mut self.mem);
        self.first_moment = true;
        self.early.clear();
    }

    /// Takes what left the machine since the last call: the step count when it was sent, the step
    /// that sent it (the one before, if it was there at the first moment), and what.
    pub fn take_outputs(&mut self) -> impl Iterator<Item = (u64, u64, Output)> + use<B> {
        let outputs = std::mem::take(&mut self.state.board.world().outputs);
        let early = std::mem::take(&mut self.early);
        outputs.into_iter().enumerate().map(move |(i, (icount, output))| {
            let before = early.iter().any(|range| range.contains(&i));
            (icount, icount.saturating_sub(before.into()), output)
        })
    }

    /// Resets the machine: zeroed memory, the images loaded again, CPUs and devices at power-on.
    /// Time goes on.
    pub fn reset(&mut self) {
        let regions = self.mem.regions().to_vec();
        for r in regions.iter().filter(|r| r.writable) {
            let zero = vec![0; 1 << 16];
            for at in (0..r.len).step_by(zero.len()) {
                let n = (r.len - at).min(zero.len() as u64) as usize;
                self.mem.write(r.start + at, &zero[..n]);
            }
        }
        self.state.board.reset(&mut self.mem);
        for (addr, bytes) in &self.images {
            let fits = self.mem.load(*addr, bytes);
            debug_assert!(fits, "the image was loaded once");
        }
        self.state.turn = Turn::default();
        self.note_touches();
    }
}
