//! Exceptions: entry and return (D1.3, D1.4).

use super::exec::{Exec, Flow, Trap, class};
use super::regs::{Activity, Exclusive, psr, sctlr};
use crate::guest::Boundary;
use crate::probe::What;

/// Offsets in the vector table (D1.3.1.4).
mod vector {
    pub const SYNCHRONOUS: u64 = 0x000;
    pub const IRQ: u64 = 0x080;
    pub const FIQ: u64 = 0x100;
    pub const SERROR: u64 = 0x180;
    pub const CURRENT_SPX: u64 = 0x200;
    pub const LOWER_64: u64 = 0x400;
}

/// Bits of HCR_EL2 and SCR_EL3 that route exceptions.
mod route {
    pub const HCR_FMO: u64 = 1 << 3;
    pub const HCR_IMO: u64 = 1 << 4;
    pub const HCR_AMO: u64 = 1 << 5;
    pub const HCR_TGE: u64 = 1 << 27;
    pub const SCR_IRQ: u64 = 1 << 1;
    pub const SCR_FIQ: u64 = 1 << 2;
    pub const SCR_EA: u64 = 1 << 3;
    pub const SCR_SMD: u64 = 1 << 7;
    pub const SCR_HCE: u64 = 1 << 8;
    pub const HCR_HCD: u64 = 1 << 29;
    pub const HCR_TSC: u64 = 1 << 19;
}

/// Probes know vectors by number: the exception class for synchronous exceptions.
const IRQ_VECTOR: u8 = 0x40;
const FIQ_VECTOR: u8 = 0x41;
const SERROR_VECTOR: u8 = 0x42;

/// An interrupt that is about to be taken.
struct Pending {
    target: u8,
    offset: u64,
    vector: u8,
}

impl Exec<'_> {
    /// Takes the highest-priority pending event that is not masked.
    ///
    /// # Errors
    /// A software step exception that pends.
    pub fn boundary(&mut self) -> Result<Boundary, Trap> {
        match self.cpu.activity {
            Activity::Off => return Ok(Boundary::Idle),
            Activity::Running => {}
            // A pending interrupt wakes even when it is masked (D1.6.2).
            Activity::WaitForInterrupt if self.cpu.interrupted() => self.cpu.activity = Activity::Running,
            Activity::WaitForInterrupt => return Ok(Boundary::Idle),
        }
        if let Some(step) = self.pending_step() {
            return Err(step);
        }
        let Some(Pending { target, offset, vector }) = self.deliverable() else {
            return Ok(Boundary::Run(self.one_at_a_time()));
        };
        if vector == SERROR_VECTOR {
            self.cpu.serror = false;
        }
        let back = self.cpu.pc;
        self.enter(target, offset, back);
        self.event(What::Interrupt { vector, software: false });
        Ok(Boundary::Entered)
    }

    /// The interrupt that is taken now: the first that pends and is not masked (D1.3.6).
    #[inline]
    fn deliverable(&self) -> Option<Pending> {
        let cpu = &*self.cpu;
        if !cpu.interrupted() {
            return None;
        }
        let (hcr, scr) = (cpu.sys.hcr, cpu.sys.scr);
        let lines = [
            (cpu.fiq, psr::F, vector::FIQ, FIQ_VECTOR, route::HCR_FMO, route::SCR_FIQ),
            (cpu.irq, psr::I, vector::IRQ, IRQ_VECTOR, route::HCR_IMO, route::SCR_IRQ),
            (cpu.serror, psr::A, vector::SERROR, SERROR_VECTOR, route::HCR_AMO, route::SCR_EA),
        ];
        lines.into_iter().find_map(|(line, mask, offset, vector, to_el2, to_el3)| {
            let target = match () {
                () if cpu.highest == 3 && scr & to_el3 != 0 => 3,
                () if cpu.highest >= 2 && hcr & (to_el2 | route::HCR_TGE) != 0 => 2,
                () => 1,
            };
            // PSTATE masks what goes to the current level, or to EL1 from EL0; what goes higher is never
            // masked, what would go lower always.
            let masked = target < cpu.el || (target == cpu.el || target == 1) && cpu.daif & mask != 0;
            (line && !masked).then_some(Pending { target, offset, vector })
        })
    }

    /// Each instruction needs a look before or after it.
    #[inline]
    fn one_at_a_time(&self) -> bool {
        self.cpu.pstate & psr::IL != 0 || self.cpu.stepping() || self.cpu.has_breakpoints()
    }

    /// True when [`Exec::boundary`] would find nothing to do and let any number of instructions run.
    pub fn quiet(&self) -> bool {
        self.cpu.activity == Activity::Running && self.deliverable().is_none() && !self.one_at_a_time()
    }

    /// Takes a synchronous exception; PC is what shall be returned to.
    pub fn raise(&mut self, class: u8, iss: u32, far: Option<u64>, back: u64) {
        let target = self.target(class);
        let i = usize::from(target);
        // ISS of an instruction abort or data abort at the same level as the target has its own class.
        let class = match class {
            class::INSTRUCTION_ABORT_LOWER if self.cpu.el == target => class::INSTRUCTION_ABORT,
            class::DATA_ABORT_LOWER if self.cpu.el == target => class::DATA_ABORT,
            class::INSTRUCTION_ABORT if self.cpu.el < target => class::INSTRUCTION_ABORT_LOWER,
            class::DATA_ABORT if self.cpu.el < target => class::DATA_ABORT_LOWER,
            // The classes of debug exceptions from the same level follow those from a lower one.
            class::BREAKPOINT_LOWER | class::STEP_LOWER | class::WATCHPOINT_LOWER
                if self.cpu.el == target =>
            {
                class + 1
            }
            other => other,
        };
        self.cpu.sys.esr[i] = u64::from(class) << 26 | 1 << 25 | u64::from(iss);
        if let Some(far) = far {
            self.cpu.sys.far[i] = far;
        }
        self.enter(target, vector::SYNCHRONOUS, back);
        let what = match class {
            class::SVC64 | class::HVC64 | class::SMC64 => What::Interrupt { vector: class, software: true },
            _ => What::Exception { vector: class, code: Some(iss as u16), address: far.unwrap_or(0) },
        };
        self.event(what);
    }

    /// The level that a synchronous exception is taken to.
    fn target(&self, class: u8) -> u8 {
        let el = self.cpu.el;
        match class {
            class::FP_ACCESS => self.fp_trap().unwrap_or(1),
            class::HVC64 => 2.max(el),
            class::SMC64 if self.cpu.highest == 3 => 3,
            class::BREAKPOINT_LOWER | class::STEP_LOWER | class::WATCHPOINT_LOWER | class::BRK64 => {
                self.cpu.debug_target().max(el)
            }
            _ if el == 0 && self.cpu.highest >= 2 && self.cpu.sys.hcr & route::HCR_TGE != 0 => 2,
            _ => el.max(1),
        }
    }

    /// Enters the handler at `offset` of the vector table of `target`.
    fn enter(&mut self, target: u8, offset: u64, back: u64) {
        let i = usize::from(target & 3);
        let from = match () {
            () if target > self.cpu.el => vector::LOWER_64,
            () if self.cpu.sp_sel => vector::CURRENT_SPX,
            () => 0,
        };
        self.cpu.sys.spsr[i] = self.cpu.spsr();
        self.cpu.sys.elr[i] = back;
        self.cpu.el = target;
        self.cpu.sp_sel = true;
        self.cpu.daif = psr::DAIF;
        self.cpu.pstate &= psr::PAN;
        if self.cpu.model.features().pan && self.cpu.sys.sctlr[i] & sctlr::SPAN == 0 && target <= 2 {
            self.cpu.pstate |= psr::PAN;
        }
        self.cpu.pc = self.cpu.sys.vbar[i].wrapping_add(from + offset);
        self.cpu.exclusive = Exclusive::default();
        self.mode_changed();
    }

    /// ERET: an illegal return sets PSTATE.IL and keeps the level (D1.4.4).
    pub fn exception_return(&mut self) -> Flow {
        let i = usize::from(self.cpu.el & 3);
        let (spsr, target) = (self.cpu.sys.spsr[i], self.cpu.sys.elr[i]);
        let el = (spsr >> 2 & 3) as u8;
        let illegal = spsr & psr::AARCH32 != 0
            || el > self.cpu.el
            || el > self.cpu.highest
            || spsr & 2 != 0
            || el == 0 && spsr & 1 != 0
            || el == 2 && self.cpu.highest < 2
            || el == 1 && self.cpu.el == 2 && self.cpu.sys.hcr & route::HCR_TGE != 0;
        if illegal {
            self.cpu.nzcv = spsr & psr::NZCV;
            self.cpu.daif = spsr & psr::DAIF;
            self.cpu.pstate |= psr::IL;
            self.cpu.pc = target;
        } else {
            self.cpu.set_spsr(spsr);
            self.cpu.pc = self.branch_target(target);
        }
        self.cpu.exclusive = Exclusive::default();
        self.cpu.event = true;
        self.mode_changed();
        Flow::Entered
    }

    /// HVC is enabled (D1.3.2).
    pub fn hvc_enabled(&self) -> bool {
        let (hcr, scr) = (self.cpu.sys.hcr, self.cpu.sys.scr);
        match self.cpu.highest {
            3 => scr & route::SCR_HCE != 0,
            2 => hcr & route::HCR_HCD == 0,
            _ => false,
        }
    }

    /// SMC reaches EL3.
    pub fn smc_enabled(&self) -> bool {
        self.cpu.highest == 3 && self.cpu.sys.scr & route::SCR_SMD == 0
    }

    /// SMC from EL1 is trapped to EL2.
    pub fn smc_trapped(&self) -> bool {
        self.cpu.el == 1 && self.cpu.highest >= 2 && self.cpu.sys.hcr & route::HCR_TSC != 0
    }

    /// The level that FP and SIMD instructions are trapped to (D1.3.7): by CPACR_EL1.FPEN, then CPTR_EL2.TFP, then
    /// CPTR_EL3.TFP.
    #[inline(always)]
    fn fp_trap(&self) -> Option<u8> {
        let (c, fpen) = (&*self.cpu, self.cpu.sys.cpacr >> 20 & 3);
        match c.el {
            0 if fpen != 3 => return Some(1),
            1 if fpen & 1 == 0 => return Some(1),
            _ => {}
        }
        let traps = |level: u8| c.highest >= level && c.sys.cptr[usize::from(level)] >> 10 & 1 != 0;
        match () {
            () if c.el <= 2 && traps(2) => Some(2),
            () if traps(3) => Some(3),
            () => None,
        }
    }

    /// FP and SIMD instructions are enabled.
    ///
    /// # Errors
    /// The trap.
    #[inline(always)]
    pub fn check_fp(&self) -> Result<(), Trap> {
        match self.fp_trap() {
            None => Ok(()),
            Some(target) => Err(self.fp_access(target)),
        }
    }

    /// AArch64.AdvSIMDFPAccessTrap (J1): what would go to EL1 goes to EL2 without a syndrome where EL2 takes
    /// EL0's exceptions.
    #[cold]
    fn fp_access(&self, target: u8) -> Trap {
        if target == 1 && self.cpu.highest >= 2 && self.cpu.sys.hcr & route::HCR_TGE != 0 {
            return Trap::UNDEFINED;
        }
        // CV is set and COND is 1110 for A64.
        Trap::new(class::FP_ACCESS, 1 << 24 | 0xe << 20)
    }
}
