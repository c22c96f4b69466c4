//! What the run loop needs of a board.

pub use super::cpu::Core;
use crate::devices::World;
use crate::machine::events::TimerId;
use crate::replay::{Input, Source};
use dejavm_interp::engine::{Clock, Control, Exit};
use dejavm_interp::mem::{Memory, PhysAddr};
use serde::Deserializer;

/// A board: CPUs and devices as one plain value. A clone is a snapshot (memory apart).
pub trait Board: Clone + Send + Sync + serde::Serialize + 'static {
    /// What runs the CPUs: a trait object of [`dejavm_interp::engine::Engine`] for this board.
    type Engine: ?Sized + Control + Send;

    /// Reads a board of the same kind and configuration.
    ///
    /// # Errors
    /// What was read is no such board.
    fn read<'de, D: Deserializer<'de>>(&self, from: D) -> Result<Self, D::Error>;

    /// Number of CPUs.
    fn cpus(&self) -> usize;

    /// True when CPU `index` waits for an interrupt and none is deliverable.
    fn halted(&self, index: usize) -> bool;

    /// Runs CPU `index` for at most `budget` steps. On return lines have been routed.
    fn run(
        &mut self,
        engine: &mut Self::Engine,
        index: usize,
        mem: &mut Memory,
        source: &mut dyn Source,
        clock: Clock,
        budget: u64,
    ) -> Exit;

    /// A timer fired at the boundary that `clock` gives.
    fn timer(&mut self, timer: TimerId, mem: &mut Memory, source: &mut dyn Source, clock: Clock);

    /// An input is injected at the boundary that `clock` gives.
    fn input(&mut self, input: &Input, mem: &mut Memory, source: &mut dyn Source, clock: Clock);

    /// How many bytes serial port `port` takes now: less than that and no byte is lost.
    fn serial_room(&self, port: u8) -> usize;

    /// The registers of CPU `index`, for a debugger.
    fn core(&mut self, index: usize) -> Core<'_>;

    /// A register of CPU `index` that a device keeps, by its name in the manuals.
    fn device_register(&self, _index: usize, _name: &str) -> Option<u128> {
        None
    }

    /// Where `addr` of CPU `index` lies in physical memory now, with no side effect.
    fn translate(&self, index: usize, mem: &Memory, addr: u64) -> Option<PhysAddr>;

    /// Linear address of the next instruction of CPU `index`.
    fn pc(&self, index: usize) -> u64;

    /// True when the memory map may show something else at `addr` at another time.
    fn remaps(&self, addr: PhysAddr) -> bool;

    /// Puts in force what lies outside the state: the memory map. Called after a state was restored.
    fn restored(&self, mem: &mut Memory);

    /// Timers, requests, outputs.
    fn world(&mut self) -> &mut World;

    /// Back to power-on: CPUs and devices, and the memory map. Memory contents are the machine's.
    fn reset(&mut self, mem: &mut Memory);
}
