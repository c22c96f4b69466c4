//! What an instruction's handler works on: the CPU, memory, the bus, the time.

use super::mmu::key;
use crate::engine::{At, Bus};
pub use crate::exec::Flow;
use crate::mem::Memory;

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

/// AArch64 as a guest architecture.
#[derive(Debug)]
pub enum A64 {}

/// What a handler works on.
pub type Exec<'a> = crate::exec::Exec<'a, A64>;

impl Exec<'_> {
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

    /// [`Flow::Event`] with the following instruction.
    #[inline]
    pub fn event_next(&mut self) -> Flow {
        self.cpu.pc = self.cpu.pc.wrapping_add(4);
        Flow::Event
    }

    /// Selects the cached translations that the CPU's mode asks for. Must follow every change of the
    /// exception level, PSTATE.PAN or a register that translation depends on.
    pub fn mode_changed(&mut self) {
        let slow = self.cpu.has_watchpoints();
        self.tlb.select((!slow).then(|| key(self.cpu, false)));
    }
}
