//! System registers (D19): what MRS, MSR and SYS reach.

use super::exec::{Exec, Trap, class};
use super::regs::{Model, psr, sctlr};

/// op0:op1:CRn:CRm:op2 in 16 bits, as MRS and MSR have them in bits 20:5.
pub const fn encoding(op0: u16, op1: u16, crn: u16, crm: u16, op2: u16) -> u16 {
    op0 << 14 | op1 << 11 | crn << 7 | crm << 3 | op2
}

macro_rules! names {
    ($($name:ident $op0:literal $op1:literal $crn:literal $crm:literal $op2:literal;)*) => {
        /// Encodings by the manual's names.
        #[allow(missing_docs, reason = "the names are the manual's")]
        pub mod reg {
            use super::encoding;
            $(pub const $name: u16 = encoding($op0, $op1, $crn, $crm, $op2);)*
        }

        /// The manual's name of a register.
        pub fn name(reg: u16) -> Option<&'static str> {
            match reg {
                $(reg::$name => Some(stringify!($name)),)*
                _ => None,
            }
        }
    };
}

names! {
    OSDTRRX_EL1 2 0 0 0 2;
    MDCCINT_EL1 2 0 0 2 0;
    MDSCR_EL1 2 0 0 2 2;
    OSDTRTX_EL1 2 0 0 3 2;
    OSECCR_EL1 2 0 0 6 2;
    MDCCSR_EL0 2 3 0 1 0;
    DBGDTR_EL0 2 3 0 4 0;
    DBGDTRRX_EL0 2 3 0 5 0;
    MDRAR_EL1 2 0 1 0 0;
    OSLAR_EL1 2 0 1 0 4;
    OSLSR_EL1 2 0 1 1 4;
    OSDLR_EL1 2 0 1 3 4;
    DBGPRCR_EL1 2 0 1 4 4;
    DBGCLAIMSET_EL1 2 0 7 8 6;
    DBGCLAIMCLR_EL1 2 0 7 9 6;
    DBGAUTHSTATUS_EL1 2 0 7 14 6;
    MIDR_EL1 3 0 0 0 0;
    MPIDR_EL1 3 0 0 0 5;
    REVIDR_EL1 3 0 0 0 6;
    ID_AA64PFR0_EL1 3 0 0 4 0;
    ID_AA64DFR0_EL1 3 0 0 5 0;
    ID_AA64ISAR0_EL1 3 0 0 6 0;
    ID_AA64MMFR0_EL1 3 0 0 7 0;
    ID_AA64MMFR1_EL1 3 0 0 7 1;
    SCTLR_EL1 3 0 1 0 0;
    ACTLR_EL1 3 0 1 0 1;
    CPACR_EL1 3 0 1 0 2;
    TTBR0_EL1 3 0 2 0 0;
    TTBR1_EL1 3 0 2 0 1;
    TCR_EL1 3 0 2 0 2;
    SPSR_EL1 3 0 4 0 0;
    ELR_EL1 3 0 4 0 1;
    SP_EL0 3 0 4 1 0;
    SPSEL 3 0 4 2 0;
    CURRENTEL 3 0 4 2 2;
    PAN 3 0 4 2 3;
    AFSR0_EL1 3 0 5 1 0;
    AFSR1_EL1 3 0 5 1 1;
    ESR_EL1 3 0 5 2 0;
    FAR_EL1 3 0 6 0 0;
    PAR_EL1 3 0 7 4 0;
    MAIR_EL1 3 0 10 2 0;
    AMAIR_EL1 3 0 10 3 0;
    VBAR_EL1 3 0 12 0 0;
    RVBAR_EL1 3 0 12 0 1;
    RMR_EL1 3 0 12 0 2;
    ISR_EL1 3 0 12 1 0;
    CONTEXTIDR_EL1 3 0 13 0 1;
    TPIDR_EL1 3 0 13 0 4;
    CNTKCTL_EL1 3 0 14 1 0;
    CNTFRQ_EL0 3 3 14 0 0;
    CCSIDR_EL1 3 1 0 0 0;
    CLIDR_EL1 3 1 0 0 1;
    AIDR_EL1 3 1 0 0 7;
    CSSELR_EL1 3 2 0 0 0;
    CTR_EL0 3 3 0 0 1;
    DCZID_EL0 3 3 0 0 7;
    NZCV 3 3 4 2 0;
    DAIF 3 3 4 2 1;
    FPCR 3 3 4 4 0;
    FPSR 3 3 4 4 1;
    TPIDR_EL0 3 3 13 0 2;
    TPIDRRO_EL0 3 3 13 0 3;
    VPIDR_EL2 3 4 0 0 0;
    VMPIDR_EL2 3 4 0 0 5;
    SCTLR_EL2 3 4 1 0 0;
    ACTLR_EL2 3 4 1 0 1;
    HCR_EL2 3 4 1 1 0;
    MDCR_EL2 3 4 1 1 1;
    CPTR_EL2 3 4 1 1 2;
    HSTR_EL2 3 4 1 1 3;
    HACR_EL2 3 4 1 1 7;
    TTBR0_EL2 3 4 2 0 0;
    TCR_EL2 3 4 2 0 2;
    VTTBR_EL2 3 4 2 1 0;
    VTCR_EL2 3 4 2 1 2;
    SPSR_EL2 3 4 4 0 0;
    ELR_EL2 3 4 4 0 1;
    SP_EL1 3 4 4 1 0;
    AFSR0_EL2 3 4 5 1 0;
    AFSR1_EL2 3 4 5 1 1;
    ESR_EL2 3 4 5 2 0;
    FAR_EL2 3 4 6 0 0;
    HPFAR_EL2 3 4 6 0 4;
    MAIR_EL2 3 4 10 2 0;
    AMAIR_EL2 3 4 10 3 0;
    VBAR_EL2 3 4 12 0 0;
    TPIDR_EL2 3 4 13 0 2;
    SCTLR_EL3 3 6 1 0 0;
    ACTLR_EL3 3 6 1 0 1;
    SCR_EL3 3 6 1 1 0;
    CPTR_EL3 3 6 1 1 2;
    MDCR_EL3 3 6 1 3 1;
    TTBR0_EL3 3 6 2 0 0;
    TCR_EL3 3 6 2 0 2;
    SPSR_EL3 3 6 4 0 0;
    ELR_EL3 3 6 4 0 1;
    SP_EL2 3 6 4 1 0;
    AFSR0_EL3 3 6 5 1 0;
    AFSR1_EL3 3 6 5 1 1;
    ESR_EL3 3 6 5 2 0;
    FAR_EL3 3 6 6 0 0;
    MAIR_EL3 3 6 10 2 0;
    AMAIR_EL3 3 6 10 3 0;
    VBAR_EL3 3 6 12 0 0;
    RMR_EL3 3 6 12 0 2;
    TPIDR_EL3 3 6 13 0 2;
}

/// The lowest exception level that may access a register: op1 says so (C5.1.1).
fn lowest(reg: u16) -> u8 {
    match reg >> 11 & 7 {
        0..=2 => 1,
        3 => 0,
        4 | 5 => 2,
        6 => 3,
        _ => 1,
    }
}

/// The trap of a system instruction (ESR_ELx.ISS for class 18H).
pub fn trapped(reg: u16, rt: u8, read: bool) -> Trap {
    let r = u32::from(reg);
    let (op0, op1, crn, crm, op2) = (r >> 14 & 3, r >> 11 & 7, r >> 7 & 15, r >> 3 & 15, r & 7);
    let iss = op0 << 20 | op2 << 17 | op1 << 14 | crn << 10 | u32::from(rt) << 5 | crm << 1 | u32::from(read);
    Trap::new(class::SYSTEM, iss)
}

/// Registers that lie outside the CPU: the generic timer's (CRn 14 but CNTKCTL) and the interrupt
/// controller's.
fn outside(ex: &Exec<'_>, reg: u16) -> bool {
    let (op0, op1, crn, crm) = (reg >> 14 & 3, reg >> 11 & 7, reg >> 7 & 15, reg >> 3 & 15);
    let timer = op0 == 3 && crn == 14 && matches!(op1, 3 | 4 | 7) && crm < 4;
    let gic = op0 == 3
        && (crn == 12 && (8..=13).contains(&crm) || crn == 4 && crm == 6 && op1 == 0)
        && ex.cpu.gic_registers;
    timer || gic
}

/// EL0's accesses to the timer are let through by CNTKCTL_EL1 (D19.12.16).
fn timer_allowed(ex: &Exec<'_>, reg: u16) -> bool {
    let k = ex.cpu.sys.cntkctl;
    let (crm, op2) = (reg >> 3 & 15, reg & 7);
    match (crm, op2) {
        (0, 0) => k & 3 != 0,
        (0, 1) => k & 1 != 0,
        (0, 2) => k & 2 != 0,
        (2, _) => k >> 9 & 1 != 0,
        (3, _) => k >> 8 & 1 != 0,
        _ => false,
    }
}

impl Exec<'_> {
    /// MRS.
    ///
    /// # Errors
    /// UNDEFINED, or a trap.
    pub fn read_system(&mut self, reg: u16, rt: u8) -> Result<u64, Trap> {
        if self.cpu.el < lowest(reg) {
            return Err(Trap::UNDEFINED);
        }
        if outside(self, reg) {
            if self.cpu.el == 0 && !timer_allowed(self, reg) {
                return Err(trapped(reg, rt, true));
            }
            let at = self.at();
            let v = self.bus.system_read(self.mem, at, reg);
            self.after_bus();
            return v.ok_or(Trap::UNDEFINED);
        }
        let el = usize::from(self.cpu.el);
        let c = &*self.cpu;
        let s = &c.sys;
        Ok(match reg {
            reg::MDSCR_EL1 => s.mdscr,
            reg::MDCCINT_EL1 => s.mdccint,
            reg::OSDTRRX_EL1
            | reg::OSDTRTX_EL1
            | reg::OSECCR_EL1
            | reg::MDCCSR_EL0
            | reg::DBGDTR_EL0
            | reg::DBGDTRRX_EL0
            | reg::MDRAR_EL1
            | reg::DBGPRCR_EL1
            | reg::DBGCLAIMSET_EL1
            | reg::DBGCLAIMCLR_EL1
            | reg::DBGAUTHSTATUS_EL1 => 0,
            reg::OSLSR_EL1 => 8 | u64::from(s.oslar_locked) << 1,
            reg::OSDLR_EL1 => s.osdlr,
            reg::MIDR_EL1 if el == 1 && c.highest >= 2 && s.vpidr != 0 => s.vpidr,
            reg::MIDR_EL1 => c.model.midr(),
            reg::MPIDR_EL1 if el == 1 && c.highest >= 2 && s.vmpidr != 0 => s.vmpidr,
            reg::MPIDR_EL1 => 1 << 31 | c.affinity,
            reg::ID_AA64PFR0_EL1 => self.pfr0(),
            // Debug v8, 6 breakpoints, 4 watchpoints, 2 of them context-aware, no PMU.
            reg::ID_AA64DFR0_EL1 => 6 | 5 << 12 | 3 << 20 | 1 << 28,
            reg::ID_AA64ISAR0_EL1 => self.isar0(),
            // Physical size, 16-bit ASIDs, mixed endianness, all granules.
            reg::ID_AA64MMFR0_EL1 => {
                (if c.model == Model::CortexA53 { 2 } else { 4 }) | 2 << 4 | 1 << 8 | 1 << 16 | 1 << 20
            }
            reg::ID_AA64MMFR1_EL1 => u64::from(c.model.features().pan) << 20,
            reg::REVIDR_EL1 | reg::AIDR_EL1 => 0,
            // The ID space reads as zero where nothing is defined (D19.1.3).
            r if (encoding(3, 0, 0, 1, 0)..=encoding(3, 0, 0, 7, 7)).contains(&r) => 0,
            reg::SCTLR_EL1 => s.sctlr[1],
            reg::SCTLR_EL2 => s.sctlr[2],
            reg::SCTLR_EL3 => s.sctlr[3],
            reg::ACTLR_EL1 => s.actlr[1],
            reg::ACTLR_EL2 => s.actlr[2],
            reg::ACTLR_EL3 => s.actlr[3],
            reg::CPACR_EL1 => s.cpacr,
            reg::TTBR0_EL1 => s.ttbr0[1],
            reg::TTBR0_EL2 => s.ttbr0[2],
            reg::TTBR0_EL3 => s.ttbr0[3],
            reg::TTBR1_EL1 => s.ttbr1,
            reg::TCR_EL1 => s.tcr[1],
            reg::TCR_EL2 => s.tcr[2],
            reg::TCR_EL3 => s.tcr[3],
            reg::SPSR_EL1 => s.spsr[1],
            reg::SPSR_EL2 => s.spsr[2],
            reg::SPSR_EL3 => s.spsr[3],
            reg::ELR_EL1 => s.elr[1],
            reg::ELR_EL2 => s.elr[2],
            reg::ELR_EL3 => s.elr[3],
            // SP_EL0 is no system register while it is the stack pointer.
            reg::SP_EL0 if !c.sp_sel => return Err(Trap::UNDEFINED),
            reg::SP_EL0 => s.sp[0],
            reg::SP_EL1 => s.sp[1],
            reg::SP_EL2 => s.sp[2],
            reg::SPSEL => c.sp_sel.into(),
            reg::CURRENTEL => u64::from(c.el) << 2,
            reg::PAN if c.model.features().pan => c.pstate & psr::PAN,
            reg::AFSR0_EL1 => s.afsr0[1],
            reg::AFSR0_EL2 => s.afsr0[2],
            reg::AFSR0_EL3 => s.afsr0[3],
            reg::AFSR1_EL1 => s.afsr1[1],
            reg::AFSR1_EL2 => s.afsr1[2],
            reg::AFSR1_EL3 => s.afsr1[3],
            reg::ESR_EL1 => s.esr[1],
            reg::ESR_EL2 => s.esr[2],
            reg::ESR_EL3 => s.esr[3],
            reg::FAR_EL1 => s.far[1],
            reg::FAR_EL2 => s.far[2],
            reg::FAR_EL3 => s.far[3],
            reg::HPFAR_EL2 => s.hpfar,
            reg::PAR_EL1 => s.par,
            reg::MAIR_EL1 => s.mair[1],
            reg::MAIR_EL2 => s.mair[2],
            reg::MAIR_EL3 => s.mair[3],
            reg::AMAIR_EL1 => s.amair[1],
            reg::AMAIR_EL2 => s.amair[2],
            reg::AMAIR_EL3 => s.amair[3],
            reg::VBAR_EL1 => s.vbar[1],
            reg::VBAR_EL2 => s.vbar[2],
            reg::VBAR_EL3 => s.vbar[3],
            reg::RVBAR_EL1 => 0,
            reg::RMR_EL1 => s.rmr[1],
            reg::RMR_EL3 => s.rmr[3],
            reg::ISR_EL1 => u64::from(c.serror) << 8 | u64::from(c.irq) << 7 | u64::from(c.fiq) << 6,
            reg::CONTEXTIDR_EL1 => s.contextidr[1],
            reg::TPIDR_EL0 => s.tpidr[0],
            reg::TPIDR_EL1 => s.tpidr[1],
            reg::TPIDR_EL2 => s.tpidr[2],
            reg::TPIDR_EL3 => s.tpidr[3],
            reg::TPIDRRO_EL0 => s.tpidrro,
            reg::CNTKCTL_EL1 => s.cntkctl,
            // 32 KiB of L1, 512 KiB of L2, lines of 64 bytes, as a Cortex-A53 has.
            reg::CLIDR_EL1 => 0x0a20_0023,
            reg::CCSIDR_EL1 => match s.csselr {
                0 => 0x700f_e01a,
                1 => 0x201f_e00a,
                2 => 0x707f_e07a,
                _ => 0,
            },
            reg::CSSELR_EL1 => s.csselr,
            reg::CTR_EL0 if el == 0 && s.sctlr[1] & sctlr::UCT == 0 => return Err(trapped(reg, rt, true)),
            reg::CTR_EL0 => 0x8444_8004,
            // DC ZVA clears 64 bytes; DZP tells EL0 that it may not.
            reg::DCZID_EL0 => 4 | u64::from(el == 0 && s.sctlr[1] & sctlr::DZE == 0) << 4,
            reg::NZCV => c.nzcv,
            reg::DAIF if el == 0 && s.sctlr[1] & sctlr::UMA == 0 => return Err(trapped(reg, rt, true)),
            reg::DAIF => c.daif,
            reg::FPCR | reg::FPSR => {
                self.check_fp()?;
                if reg == reg::FPCR { c.fpcr.into() } else { c.fpsr.into() }
            }
            reg::VPIDR_EL2 => s.vpidr,
            reg::VMPIDR_EL2 => s.vmpidr,
            reg::HCR_EL2 => s.hcr,
            reg::MDCR_EL2 => s.mdcr[2],
            reg::MDCR_EL3 => s.mdcr[3],
            reg::CPTR_EL2 => s.cptr[2],
            reg::CPTR_EL3 => s.cptr[3],
            reg::HSTR_EL2 => s.hstr,
            reg::HACR_EL2 => 0,
            reg::VTTBR_EL2 => s.vttbr,
            reg::VTCR_EL2 => s.vtcr,
            reg::SCR_EL3 => s.scr,
            r => match debug_register(r) {
                Some((0, i)) => s.dbgbvr[i],
                Some((1, i)) => s.dbgbcr[i],
                Some((2, i)) => s.dbgwvr[i],
                Some((_, i)) => s.dbgwcr[i],
                None => return Err(Trap::UNDEFINED),
            },
        })
    }

    /// MSR (register).
    ///
    /// # Errors
    /// UNDEFINED, or a trap.
    pub fn write_system(&mut self, reg: u16, rt: u8, v: u64) -> Result<(), Trap> {
        if self.cpu.el < lowest(reg) {
            return Err(Trap::UNDEFINED);
        }
        // Only the highest level sets the counter's frequency (D19.12.7).
        if reg == reg::CNTFRQ_EL0 && self.cpu.el < self.cpu.highest {
            return Err(Trap::UNDEFINED);
        }
        if outside(self, reg) {
            if self.cpu.el == 0 && !timer_allowed(self, reg) {
                return Err(trapped(reg, rt, false));
            }
            let at = self.at();
            let done = self.bus.system_write(self.mem, at, reg, v);
            self.after_bus();
            return done.ok_or(Trap::UNDEFINED);
        }
        if matches!(reg, reg::FPCR | reg::FPSR) {
            self.check_fp()?;
        }
        let el = self.cpu.el;
        let features = self.cpu.model.features();
        let c = &mut *self.cpu;
        let s = &mut c.sys;
        let low = v & 0xffff_ffff;
        match reg {
            reg::MDSCR_EL1 => s.mdscr = low,
            reg::MDCCINT_EL1 => s.mdccint = low,
            reg::OSDTRRX_EL1
            | reg::OSDTRTX_EL1
            | reg::OSECCR_EL1
            | reg::DBGDTR_EL0
            | reg::DBGDTRRX_EL0
            | reg::DBGPRCR_EL1
            | reg::DBGCLAIMSET_EL1
            | reg::DBGCLAIMCLR_EL1 => {}
            reg::OSLAR_EL1 => s.oslar_locked = v & 1 != 0,
            reg::OSDLR_EL1 => s.osdlr = v & 1,
            reg::SCTLR_EL1 => s.sctlr[1] = low,
            reg::SCTLR_EL2 => s.sctlr[2] = low,
            reg::SCTLR_EL3 => s.sctlr[3] = low,
            reg::ACTLR_EL1 => s.actlr[1] = v,
            reg::ACTLR_EL2 => s.actlr[2] = v,
            reg::ACTLR_EL3 => s.actlr[3] = v,
            reg::CPACR_EL1 => s.cpacr = v & 0x1030_0000,
            reg::TTBR0_EL1 => s.ttbr0[1] = v,
            reg::TTBR0_EL2 => s.ttbr0[2] = v,
            reg::TTBR0_EL3 => s.ttbr0[3] = v,
            reg::TTBR1_EL1 => s.ttbr1 = v,
            reg::TCR_EL1 => s.tcr[1] = v,
            reg::TCR_EL2 => s.tcr[2] = low,
            reg::TCR_EL3 => s.tcr[3] = low,
            reg::SPSR_EL1 => s.spsr[1] = low,
            reg::SPSR_EL2 => s.spsr[2] = low,
            reg::SPSR_EL3 => s.spsr[3] = low,
            reg::ELR_EL1 => s.elr[1] = v,
            reg::ELR_EL2 => s.elr[2] = v,
            reg::ELR_EL3 => s.elr[3] = v,
            reg::SP_EL0 if !c.sp_sel => return Err(Trap::UNDEFINED),
            reg::SP_EL0 => s.sp[0] = v,
            reg::SP_EL1 => s.sp[1] = v,
            reg::SP_EL2 => s.sp[2] = v,
            reg::SPSEL => c.sp_sel = v & 1 != 0,
            reg::PAN if features.pan => c.pstate = c.pstate & !psr::PAN | v & psr::PAN,
            reg::AFSR0_EL1 => s.afsr0[1] = v,
            reg::AFSR0_EL2 => s.afsr0[2] = v,
            reg::AFSR0_EL3 => s.afsr0[3] = v,
            reg::AFSR1_EL1 => s.afsr1[1] = v,
            reg::AFSR1_EL2 => s.afsr1[2] = v,
            reg::AFSR1_EL3 => s.afsr1[3] = v,
            reg::ESR_EL1 => s.esr[1] = low,
            reg::ESR_EL2 => s.esr[2] = low,
            reg::ESR_EL3 => s.esr[3] = low,
            reg::FAR_EL1 => s.far[1] = v,
            reg::FAR_EL2 => s.far[2] = v,
            reg::FAR_EL3 => s.far[3] = v,
            reg::HPFAR_EL2 => s.hpfar = v,
            reg::PAR_EL1 => s.par = v,
            reg::MAIR_EL1 => s.mair[1] = v,
            reg::MAIR_EL2 => s.mair[2] = v,
            reg::MAIR_EL3 => s.mair[3] = v,
            reg::AMAIR_EL1 => s.amair[1] = v,
            reg::AMAIR_EL2 => s.amair[2] = v,
            reg::AMAIR_EL3 => s.amair[3] = v,
            reg::VBAR_EL1 => s.vbar[1] = v & !0x7ff,
            reg::VBAR_EL2 => s.vbar[2] = v & !0x7ff,
            reg::VBAR_EL3 => s.vbar[3] = v & !0x7ff,
            reg::RMR_EL1 => s.rmr[1] = v & 3,
            reg::RMR_EL3 => s.rmr[3] = v & 3,
            reg::CONTEXTIDR_EL1 => s.contextidr[1] = low,
            reg::TPIDR_EL0 => s.tpidr[0] = v,
            reg::TPIDR_EL1 => s.tpidr[1] = v,
            reg::TPIDR_EL2 => s.tpidr[2] = v,
            reg::TPIDR_EL3 => s.tpidr[3] = v,
            // EL0 may read it and not write it.
            reg::TPIDRRO_EL0 if el == 0 => return Err(Trap::UNDEFINED),
            reg::TPIDRRO_EL0 => s.tpidrro = v,
            reg::CNTKCTL_EL1 => s.cntkctl = v & 0x3ff,
            reg::CSSELR_EL1 => s.csselr = v & 0xf,
            reg::NZCV => c.nzcv = v & psr::NZCV,
            reg::DAIF if el == 0 && s.sctlr[1] & sctlr::UMA == 0 => return Err(trapped(reg, rt, false)),
            reg::DAIF => c.daif = v & psr::DAIF,
            // AHP, DN, FZ, RMode; FZ16 with half-precision arithmetic.
            reg::FPCR => {
                c.fpcr = v as u32 & (0x07c0_0000 | if features.fp16 { 1 << 19 } else { 0 });
            }
            // QC and the cumulative exception flags; the AArch32 flags are RES0 here.
            reg::FPSR => c.fpsr = v as u32 & 0x0800_009f,
            reg::VPIDR_EL2 => s.vpidr = v,
            reg::VMPIDR_EL2 => s.vmpidr = v,
            reg::HCR_EL2 => s.hcr = v,
            reg::MDCR_EL2 => s.mdcr[2] = low,
            reg::MDCR_EL3 => s.mdcr[3] = low,
            reg::CPTR_EL2 => s.cptr[2] = low,
            reg::CPTR_EL3 => s.cptr[3] = low,
            reg::HSTR_EL2 => s.hstr = low,
            reg::HACR_EL2 => {}
            reg::VTTBR_EL2 => s.vttbr = v,
            reg::VTCR_EL2 => s.vtcr = low,
            reg::SCR_EL3 => s.scr = low,
            r => match debug_register(r) {
                Some((0, i)) => s.dbgbvr[i] = v,
                Some((1, i)) => s.dbgbcr[i] = low,
                Some((2, i)) => s.dbgwvr[i] = v,
                Some((_, i)) => s.dbgwcr[i] = low,
                None => return Err(Trap::UNDEFINED),
            },
        }
        self.mode_changed();
        Ok(())
    }

    fn pfr0(&self) -> u64 {
        let c = &*self.cpu;
        let level = |el: u8| u64::from(c.highest >= el);
        let fp16 = u64::from(c.model.features().fp16);
        1 | 1 << 4
            | level(2) << 8
            | level(3) << 12
            | fp16 << 16
            | fp16 << 20
            | u64::from(c.gic_registers) << 24
    }

    fn isar0(&self) -> u64 {
        let f = self.cpu.model.features();
        (if f.aes { 2 } else { 0 }) << 4
            | u64::from(f.sha) << 8
            | u64::from(f.sha) << 12
            | u64::from(f.crc32) << 16
            | (if f.lse { 2 } else { 0 }) << 20
            | u64::from(f.rdm) << 28
            | u64::from(f.dotprod) << 44
    }
}

/// Breakpoint and watchpoint registers: kind (value, control, watch value, watch control), number.
fn debug_register(reg: u16) -> Option<(u16, usize)> {
    let (high, crm, op2) = (reg >> 7, usize::from(reg >> 3 & 15), reg & 7);
    let kind = op2.checked_sub(4).filter(|&k| k < 4)?;
    let count = if kind < 2 { 6 } else { 4 };
    (high == 2 << 7 && crm < count).then_some((kind, crm))
}
