//! What an instruction's handler works on, for guests of every architecture: the CPU, memory, the bus, the time.

use crate::engine::{At, Bus, Clock};
use crate::guest::Guest;
use crate::mem::Memory;
use crate::probe::{Probes, What};
use crate::tlb::Tlb;

/// How execution goes on after an instruction that completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// With the following instruction.
    Next,
    /// At the PC, which the handler changed.
    Jump,
    /// The same instruction again: the PC is back at it (REP strings).
    Again,
    /// At the PC, after looking at pending events and the CPU's mode.
    Event,
    /// At the PC, in a handler that the instruction entered: like `Event`, but a single step that was asked
    /// for before the instruction causes no trap.
    Entered,
    /// The CPU halted, after a look at pending events.
    Halt,
    /// The CPU spins: with several CPUs its turn ends.
    Yield,
}

impl Flow {
    /// Straight on: nothing but the PC decides what comes next.
    #[inline(always)]
    pub fn goes_on(self) -> bool {
        matches!(self, Self::Next | Self::Jump | Self::Again)
    }
}

/// What a handler works on.
pub struct Exec<'a, G: Guest> {
    /// The architectural state.
    pub cpu: &'a mut G::Cpu,
    /// Cached translations of this CPU.
    pub tlb: &'a mut Tlb,
    /// Guest-physical memory.
    pub mem: &'a mut Memory,
    /// Everything else.
    pub bus: &'a mut G::Bus<'a>,
    /// Index of the CPU.
    pub index: usize,
    /// The clock at the start of the run.
    pub clock: Clock,
    /// Steps that may still be made, the current one included.
    pub left: u64,
    /// The run's budget.
    pub budget: u64,
    /// The running block must be left after this instruction: a store hit code or page tables,
    /// or the bus wants attention.
    pub attention: bool,
    /// What a debugger wants to know.
    pub probes: &'a mut Probes,
    /// Linear address of the instruction at the current boundary, kept only for active probes.
    pub pc: u64,
}

impl<G: Guest> Exec<'_, G> {
    /// The boundary before the current step.
    #[inline]
    pub fn icount(&self) -> u64 {
        self.clock.icount + (self.budget - self.left)
    }

    /// The moment of an access that the current step makes.
    #[inline]
    pub fn at(&self) -> At {
        At { icount: self.icount(), cpu: self.index }
    }

    /// Tells the probes of an event in the current step.
    #[inline]
    pub fn event(&mut self, what: What) {
        if self.probes.active() {
            let At { icount, cpu } = self.at();
            let watched = match what {
                What::Mmio { addr, size, write, .. } => self.mem.watched_on_bus(addr, size, write),
                _ => false,
            };
            self.probes.event(icount, cpu, self.pc, what, watched);
            self.attention |= self.probes.full();
        }
    }

    /// Must follow every call of the bus.
    pub fn after_bus(&mut self) {
        self.attention |= self.bus.attention();
        self.heed_hits();
    }

    /// Stores `size` bytes (1 to 8) at an offset in the host mapping, by way of the barrier.
    pub fn store_at(&mut self, offset: u64, size: u8, v: u64) {
        self.mem.barrier(offset, size.into());
        let (o, n) = (offset as usize, usize::from(size));
        self.mem.bytes_mut()[o..o + n].copy_from_slice(&v.to_le_bytes()[..n]);
        self.heed_hits();
    }

    /// Must follow what stores.
    fn heed_hits(&mut self) {
        if self.mem.has_hits() {
            self.attention = true;
            if self.mem.has_table_hits() {
                self.tlb.suspend();
            }
        }
    }
}
