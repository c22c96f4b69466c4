//! The guest's own debug exceptions (D2): breakpoints, watchpoints, software step.
//!
//! Where the architecture leaves the order open, a pending software step is taken before an interrupt
//! (D2.12.6), and FAR of a watchpoint is the lowest watched byte of the access (D2.10.5).

use super::exec::{Exec, Trap, class};
use super::regs::{Cpu, psr};
use crate::tlb::Access;

/// Bits of MDSCR_EL1 and MDCR_EL2 (D19.3.20, D19.3.16).
mod mdscr {
    pub const SS: u64 = 1 << 0;
    pub const KDE: u64 = 1 << 13;
    pub const MDE: u64 = 1 << 15;
    /// MDCR_EL2.
    pub const TDE: u64 = 1 << 8;
}

/// ESR_ELx.ISS: the status code of debug exceptions, and the fields of a software step's.
mod iss {
    pub const DEBUG: u32 = 0x22;
    pub const ISV: u32 = 1 << 24;
    pub const EX: u32 = 1 << 6;
    pub const WNR: u32 = 1 << 6;
}

/// Bits `hi` to `lo` of a control register.
fn field(v: u64, hi: u32, lo: u32) -> u64 {
    v << (63 - hi) >> (63 - hi + lo)
}

impl Cpu {
    /// The level that debug exceptions are taken to (D2.4).
    pub(super) fn debug_target(&self) -> u8 {
        const HCR_TGE: u64 = 1 << 27;
        let to_el2 = self.highest >= 2 && (self.sys.mdcr[2] & mdscr::TDE != 0 || self.sys.hcr & HCR_TGE != 0);
        if to_el2 { 2 } else { 1 }
    }

    /// Debug exceptions are taken from level `el` with PSTATE.D as in `daif` (D2.4).
    fn debug_enabled(&self, el: u8, daif: u64) -> bool {
        let s = &self.sys;
        if s.oslar_locked || s.osdlr & 1 != 0 {
            return false;
        }
        let target = self.debug_target();
        el < target || el == target && s.mdscr & mdscr::KDE != 0 && daif & psr::D == 0
    }

    /// Software step is active: MDSCR_EL1.SS.
    #[inline]
    pub fn stepping(&self) -> bool {
        self.sys.mdscr & mdscr::SS != 0 && self.debug_enabled(self.el, self.daif)
    }

    /// PSTATE.SS after an exception's return to the state in `spsr` (`DebugExceptionReturnSS`).
    pub(super) fn step_after_return(&self, spsr: u64) -> u64 {
        let starts = self.sys.mdscr & mdscr::SS != 0
            && !self.debug_enabled(self.el, self.daif)
            && self.debug_enabled((spsr >> 2 & 3) as u8, spsr);
        if starts { spsr & psr::SS } else { 0 }
    }

    /// The instruction that software step let through is done (`SSAdvance`).
    pub fn step_done(&mut self) {
        if self.stepping() {
            self.pstate &= !psr::SS;
        }
    }

    fn monitored(&self) -> bool {
        self.sys.mdscr & mdscr::MDE != 0 && self.debug_enabled(self.el, self.daif)
    }

    /// Some breakpoint may hit at the current level.
    #[inline]
    pub fn has_breakpoints(&self) -> bool {
        self.sys.mdscr & mdscr::MDE != 0 && self.sys.dbgbcr.iter().any(|c| c & 1 != 0) && self.monitored()
    }

    /// Some watchpoint may hit at the current level: no access takes the fast path.
    #[inline]
    pub fn has_watchpoints(&self) -> bool {
        self.sys.mdscr & mdscr::MDE != 0 && self.sys.dbgwcr.iter().any(|c| c & 1 != 0) && self.monitored()
    }

    /// The level matches HMC, SSC and PMC or PAC of a control register (D2.8.3); there is one security state.
    fn level_matches(control: u64, el: u8) -> bool {
        let (hmc, ssc, pmc) = (field(control, 13, 13), field(control, 15, 14), field(control, 2, 1));
        match el {
            0 => pmc & 2 != 0,
            1 => pmc & 1 != 0,
            2 => hmc != 0 && ssc != 2,
            _ => hmc != 0 && ssc & 1 == 0,
        }
    }

    /// Breakpoint `n` is a context breakpoint that a linked one refers to, and the context matches (D2.8.4).
    fn context_matches(&self, n: u64, kind: u64) -> bool {
        // The last two are context-aware (ID_AA64DFR0_EL1.CTX_CMPs).
        let first = self.sys.dbgbcr.len() - 2;
        let Some(&control) = self.sys.dbgbcr.get(n as usize).filter(|_| n as usize >= first) else {
            return false;
        };
        let wanted = self.sys.dbgbvr[n as usize] as u32;
        control & 1 != 0 && field(control, 23, 20) == kind && self.sys.contextidr[1] as u32 == wanted
    }

    /// A breakpoint hits at `pc` (D2.8).
    fn breakpoint_at(&self, pc: u64) -> bool {
        let registers = self.sys.dbgbvr.iter().zip(&self.sys.dbgbcr).enumerate();
        registers.into_iter().any(|(i, (&value, &control))| {
            if control & 1 == 0 || !Self::level_matches(control, self.el) {
                return false;
            }
            // A64 instructions are 4 bytes: BAS other than 1111 is CONSTRAINED UNPREDICTABLE and taken as it.
            let here = (value ^ pc) & 0x001f_ffff_ffff_fffc == 0;
            match field(control, 23, 20) {
                0 => here,
                1 => here && self.context_matches(field(control, 19, 16), 3),
                2 => self.context_matches(i as u64, 2),
                _ => false,
            }
        })
    }

    /// The lowest byte of an access that a watchpoint hits (D2.10).
    fn watchpoint_in(&self, va: u64, size: u64, write: bool, el: u8) -> Option<u64> {
        let registers = self.sys.dbgwvr.iter().zip(&self.sys.dbgwcr);
        let hits = registers.filter_map(|(&value, &control)| {
            let kind = field(control, 4, 3);
            if control & 1 == 0
                || kind & if write { 2 } else { 1 } == 0
                || !Self::level_matches(control, el)
                || field(control, 20, 20) != 0 && !self.context_matches(field(control, 19, 16), 3)
            {
                return None;
            }
            let (bas, mask) = (field(control, 12, 5), field(control, 28, 24));
            (0..size).map(|i| va.wrapping_add(i)).find(|&byte| {
                if mask >= 3 {
                    return (byte ^ value) >> mask == 0;
                }
                // A value that is not a multiple of 8 leaves the upper four selections unused.
                let (base, bas) = if value & 4 != 0 { (value & !3, bas & 15) } else { (value & !7, bas) };
                let at = byte.wrapping_sub(base);
                at < 8 && bas >> at & 1 != 0
            })
        });
        hits.min()
    }
}

impl Exec<'_> {
    /// The software step exception that pends, if one does (D2.12).
    pub(super) fn pending_step(&self) -> Option<Trap> {
        (self.cpu.stepping() && self.cpu.pstate & psr::SS == 0).then(|| {
            let iss = match self.cpu.stepped_exclusive {
                None => iss::DEBUG,
                Some(exclusive) => iss::DEBUG | iss::ISV | if exclusive { iss::EX } else { 0 },
            };
            Trap::new(class::STEP_LOWER, iss)
        })
    }

    /// Raises a breakpoint exception when an enabled breakpoint is at PC.
    ///
    /// # Errors
    /// The exception.
    pub(super) fn breakpoint(&self) -> Result<(), Trap> {
        if self.cpu.has_breakpoints() && self.cpu.breakpoint_at(self.cpu.pc) {
            return Err(Trap::new(class::BREAKPOINT_LOWER, iss::DEBUG));
        }
        Ok(())
    }

    /// Raises a watchpoint exception when an enabled watchpoint lies in an access that is about to be made.
    ///
    /// # Errors
    /// The exception.
    pub(super) fn watchpoint(
        &self,
        va: u64,
        size: u8,
        access: Access,
        unprivileged: bool,
    ) -> Result<(), Trap> {
        if !self.cpu.has_watchpoints() {
            return Ok(());
        }
        let (write, el) = (access == Access::Write, if unprivileged { 0 } else { self.cpu.el });
        match self.cpu.watchpoint_in(va, size.into(), write, el) {
            None => Ok(()),
            Some(byte) => Err(Trap::Exception {
                class: class::WATCHPOINT_LOWER,
                iss: iss::DEBUG | if write { iss::WNR } else { 0 },
                far: Some(byte),
            }),
        }
    }
}
