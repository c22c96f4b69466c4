//! The contract between an engine and the machine that drives it.
//!
//! An engine runs one CPU from an instruction boundary to an instruction boundary and says why
//! it stopped. Budgets are exact: asked to stop after `n` steps, every engine stops there in the
//! same state, bit for bit. A step is one retired instruction, one iteration of a repeated
//! string instruction, or the entry into one exception or interrupt.

use crate::mem::{Memory, PhysAddr};
use crate::probe::Probes;

/// The moment and the originator of an access that leaves the CPU.
#[derive(Clone, Copy, Debug)]
pub struct At {
    /// The boundary before the step that makes the access.
    pub icount: u64,
    /// Index of the CPU.
    pub cpu: usize,
}

/// What an engine needs of the machine around a CPU. Implemented by the boards.
///
/// Values are little-endian integers of `size` bytes (1, 2, 4 or 8). Accesses never cross a
/// page. An access may change interrupt lines, deadlines or the memory map; the board then
/// answers true from [`Bus::attention`] and the engine stops after the current step.
pub trait Bus {
    /// Reads device memory.
    fn mmio_read(&mut self, mem: &mut Memory, at: At, addr: PhysAddr, size: u8) -> u64;
    /// Writes device memory.
    fn mmio_write(&mut self, mem: &mut Memory, at: At, addr: PhysAddr, size: u8, value: u64);
    /// True when the machine has to look at its state before the next step. Stays true until
    /// the machine has looked.
    fn attention(&self) -> bool;
    /// The machine has no other CPU: giving up a turn means nothing.
    fn alone(&self) -> bool {
        false
    }
}

/// The clock that a guest's time-stamp counter derives from: virtual nanoseconds are
/// `(icount << shift) + warp`, and warp only changes while every CPU is halted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    /// Steps since power-on, of all CPUs together, at the start of the run.
    pub icount: u64,
    /// Binary logarithm of the virtual nanoseconds that one step takes.
    pub shift: u8,
    /// Virtual nanoseconds skipped or slept while all CPUs were halted.
    pub warp: u64,
}

impl Clock {
    /// Virtual nanoseconds at `icount`.
    pub fn virtual_ns(&self, icount: u64) -> u64 {
        (icount << self.shift).wrapping_add(self.warp)
    }
}

/// Why an engine returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Exactly the asked number of steps was made.
    Budget,
    /// The CPU waits for an interrupt.
    Halted,
    /// The CPU spins (PAUSE, YIELD): with several CPUs it gives up the rest of its turn.
    Yield,
    /// The bus asked for attention, or the probes have as many hits as they have room for.
    Attention,
    /// The CPU shut down (x86: triple fault); the board decides what that does.
    Shutdown,
    /// The guest used something that is not implemented; the text names it.
    Unimplemented(String),
}

/// The outcome of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Steps made, at most the budget.
    pub steps: u64,
    /// Why the engine returned.
    pub stop: Stop,
}

/// Host code that an engine made, for profilers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostCode {
    /// Where it runs.
    pub at: usize,
    /// Bytes.
    pub len: usize,
    /// The guest code's address, as the guest's instruction pointer had it; none for code that all shares.
    pub pc: Option<u64>,
}

/// Who wants to know of host code.
pub type CodeSink = Box<dyn FnMut(HostCode) + Send>;

/// What the machine wants of its engine besides running CPUs, whatever they are.
pub trait Control {
    /// Drops everything cached from guest memory and CPU state. Never visible to the guest.
    fn flush(&mut self);

    /// What a debugger wants to know of the next runs.
    fn probes(&mut self) -> &mut Probes;

    /// Counts more than usual from the first run on, at some cost in speed.
    fn count(&mut self) {}

    /// Has `sink` told of all host code that is made from here on.
    fn tell_code(&mut self, sink: CodeSink) {
        drop(sink);
    }

    /// What the engine did so far, for a report: names and numbers.
    fn counters(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }
}

/// An engine: runs CPUs of type `C` against buses of type `B`.
pub trait Engine<C, B: ?Sized>: Control {
    /// Runs `cpu` for at most `budget` steps.
    fn run(
        &mut self,
        cpu: &mut C,
        index: usize,
        mem: &mut Memory,
        bus: &mut B,
        clock: Clock,
        budget: u64,
    ) -> Exit;
}
