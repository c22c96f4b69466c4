//! What a guest architecture is to the engines: everything else about running it is [`crate::driver`]'s.

use crate::cache::{Block, Cache};
use crate::engine::{Bus, Stop};
use crate::exec::{Exec, Flow};
use crate::tlb::Tlb;

/// The outcome of code that ran: how to go on, or what stopped it and, if it was known, the
/// instruction that did.
pub type Ran<G> = Result<Flow, (<G as Guest>::Trap, Option<<G as Guest>::Op>)>;

/// What happens at a boundary before the next instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boundary {
    /// Nothing pends: run instructions. True when only one may run before the next look.
    Run(bool),
    /// An event was entered: one step.
    Entered,
    /// The CPU is not running.
    Idle,
}

/// Instructions that are about to be executed.
pub enum Code<Op> {
    /// A cached block: first op and number of ops in the arena.
    Block(Block),
    /// One instruction, decoded for this time only: from outside memory, or rewritten all the time.
    Once(Op),
}

/// A guest architecture.
pub trait Guest: Sized + 'static {
    /// The architectural state of one CPU.
    type Cpu;
    /// What a CPU needs of the board.
    type Bus<'a>: ?Sized + Bus + 'a;
    /// A decoded instruction.
    type Op: Copy;
    /// Why an instruction did not complete.
    type Trap: Copy;

    /// The bus, for a shorter time.
    fn shorter<'a, 'b: 'a>(bus: &'a mut Self::Bus<'b>) -> &'a mut Self::Bus<'a>;

    /// Linear address of the next instruction.
    fn linear_pc(cpu: &Self::Cpu) -> u64;

    /// Selects the cached translations that the CPU's mode asks for.
    fn mode_changed(ex: &mut Exec<'_, Self>);

    /// Takes the highest-priority pending event, if any.
    ///
    /// # Errors
    /// What stopped the entry.
    fn boundary(ex: &mut Exec<'_, Self>) -> Result<Boundary, Self::Trap>;

    /// Why an engine returns when [`Guest::boundary`] found the CPU idle.
    fn idle(cpu: &Self::Cpu) -> Stop;

    /// [`Flow::Halt`]: the CPU waits from now on.
    fn halt(cpu: &mut Self::Cpu);

    /// Finds or decodes the code at the PC.
    ///
    /// # Errors
    /// The fetch's fault.
    fn code(
        cache: &mut Cache<Self::Op>,
        tlbs: &mut [Tlb],
        ex: &mut Exec<'_, Self>,
    ) -> Result<Code<Self::Op>, Self::Trap>;

    /// Executes `op`, the instruction at the PC. `Some` ends the block.
    fn step(ex: &mut Exec<'_, Self>, op: &Self::Op) -> Option<Result<Flow, Self::Trap>>;

    /// A block ended with a trap at one of its instructions, which changed nothing.
    fn undone(ex: &mut Exec<'_, Self>);

    /// Runs one instruction where [`Boundary::Run`] says that only one may run.
    ///
    /// # Errors
    /// What stopped it, or its fetch.
    fn run_one(cache: &mut Cache<Self::Op>, tlbs: &mut [Tlb], ex: &mut Exec<'_, Self>) -> Ran<Self>;

    /// Takes the exception that `trap` asks for, which is one step, or gives up.
    fn trapped(ex: &mut Exec<'_, Self>, trap: Self::Trap, op: Option<Self::Op>) -> Option<Stop>;
}
