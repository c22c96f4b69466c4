//! What an instruction's handler works on: the CPU, memory, the bus, the time.

use super::mmu::key;
use super::regs::Cpu;
use crate::engine::{At, Bus, Clock};
use crate::mem::Memory;
use crate::probe::{Probes, What};
use crate::x86::tlb::Tlb;

/// What an AArch64 CPU needs of the board besides memory-mapped devices.
pub trait A64Bus: Bus {
    /// Reads a system register that lies outside the CPU: the generic timer's and the interrupt
    /// controller's. `reg` is op0:op1:CRn:CRm:op2 as [`super::sysreg::encoding`] packs it. `None` when
    /// there is none.
    fn system_read(&mut self, mem: &mut Memory, at: At, reg: u16) -> Option<u64>;
    /// Writes such a register.
    fn system_write(&mut self, mem: &mut Memory, at: At, reg: u16, value: u64) -> Option<()>;
    /// A call of the firmware (PSCI) by HVC or SMC: takes X0 to X3, gives X0. `None` when there is
    /// no firmware behind this conduit.
    fn firmware(&mut self, mem: &mut Memory, at: At, smc: bool, x: [u64; 4]) -> Option<u64>;
    /// SEV: every CPU's event register is set.
    fn send_event(&mut self, at: At);
}

/// Why an instruction did not complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trap {
    /// A synchronous exception; the instruction changed nothing.
    Exception {
        /// The exception class, ESR_ELx.EC.
        class: u8,
        /// ESR_ELx.ISS.
        iss: u32,
        /// FAR_ELx, for the classes that have it.
        far: Option<u64>,
    },
    /// The instruction is not implemented; the run stops and names it.
    Unimplemented,
}

/// Exception classes (ESR_ELx.EC, D19.2.37).
pub mod class {
    #![allow(missing_docs, reason = "the names are the manual's")]
    pub const UNKNOWN: u8 = 0x00;
    pub const WFX: u8 = 0x01;
    pub const FP_ACCESS: u8 = 0x07;
    pub const ILLEGAL_STATE: u8 = 0x0e;
    pub const SVC64: u8 = 0x15;
    pub const HVC64: u8 = 0x16;
    pub const SMC64: u8 = 0x17;
    pub const SYSTEM: u8 = 0x18;
    pub const INSTRUCTION_ABORT_LOWER: u8 = 0x20;
    pub const INSTRUCTION_ABORT: u8 = 0x21;
    pub const PC_ALIGNMENT: u8 = 0x22;
    pub const DATA_ABORT_LOWER: u8 = 0x24;
    pub const DATA_ABORT: u8 = 0x25;
    pub const SP_ALIGNMENT: u8 = 0x26;
    pub const BREAKPOINT_LOWER: u8 = 0x30;
    pub const STEP_LOWER: u8 = 0x32;
    pub const WATCHPOINT_LOWER: u8 = 0x34;
    pub const BRK64: u8 = 0x3c;
}

impl Trap {
    /// The instruction is undefined.
    pub const UNDEFINED: Self = Self::Exception { class: class::UNKNOWN, iss: 0, far: None };

    /// An exception without a fault address.
    pub const fn new(class: u8, iss: u32) -> Self {
        Self::Exception { class, iss, far: None }
    }
}

/// How execution goes on after an instruction that completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// With the following instruction.
    Next,
    /// At PC, which the handler changed.
    Jump,
    /// With the following instruction, after looking at pending events and the CPU's mode.
    Event,
    /// At PC, after looking at pending events and the CPU's mode.
    EventJump,
    /// The CPU spins: with several CPUs its turn ends.
    Yield,
}

/// What a handler works on.
pub struct Exec<'a> {
    /// The architectural state.
    pub cpu: &'a mut Cpu,
    /// Cached translations of this CPU.
    pub tlb: &'a mut Tlb,
    /// Guest-physical memory.
    pub mem: &'a mut Memory,
    /// Everything else.
    pub bus: &'a mut dyn A64Bus,
    /// Index of the CPU.
    pub index: usize,
    /// The clock at the start of the run.
    pub clock: Clock,
    /// Steps that may still be made, the current one included.
    pub left: u64,
    /// The run's budget.
    pub budget: u64,
    /// The running block must be left after this instruction.
    pub attention: bool,
    /// What a debugger wants to know.
    pub probes: &'a mut Probes,
    /// Address of the instruction at the current boundary, kept only for active probes.
    pub pc: u64,
}

impl Exec<'_> {
    /// The moment of an access that the current step makes.
    #[inline]
    pub fn at(&self) -> At {
        At { icount: self.clock.icount + (self.budget - self.left), cpu: self.index }
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

    /// A general register; 31 is zero.
    #[inline(always)]
    pub fn x(&self, n: u8) -> u64 {
        self.cpu.x[usize::from(n & 31)]
    }

    /// The low half of a general register.
    #[inline(always)]
    pub fn w(&self, n: u8) -> u32 {
        self.x(n) as u32
    }

    /// Writes a general register; 31 stays zero.
    #[inline(always)]
    pub fn set_x(&mut self, n: u8, v: u64) {
        if n != 31 {
            self.cpu.x[usize::from(n & 31)] = v;
        }
    }

    /// A general register, where 31 is the stack pointer.
    #[inline(always)]
    pub fn xsp(&self, n: u8) -> u64 {
        if n == 31 { self.cpu.sp() } else { self.x(n) }
    }

    /// Writes a general register, where 31 is the stack pointer.
    #[inline(always)]
    pub fn set_xsp(&mut self, n: u8, v: u64) {
        if n == 31 { self.cpu.set_sp(v) } else { self.set_x(n, v) }
    }

    /// Must follow every call of the bus.
    pub fn after_bus(&mut self) {
        self.attention |= self.bus.attention() || self.mem.has_hits();
    }

    /// Selects the cached translations that the CPU's mode asks for. Must follow every change of the
    /// exception level, PSTATE.PAN or a register that translation depends on.
    pub fn mode_changed(&mut self) {
        let key = key(self.cpu, false);
        self.tlb.select(Some(key));
    }
}
