//! RDMSR and WRMSR (SDM volume 4; AMD64 manual volume 2, appendix A).
//!
//! A register that the model's real counterpart has, but which controls nothing here, reads as
//! its reset value and ignores what is written: kernels touch those without a net.

use crate::x86::exec::{Exec, Flow};
use crate::x86::mmu::PHYS_BITS;
use crate::x86::op::{Handler, Op};
use crate::x86::regs::{cr0, efer, gpr, seg};
use crate::x86::trap::Trap;
use iced_x86::{Instruction, Mnemonic};

type Done = Result<Flow, Trap>;

/// Numbers of model-specific registers, by their names in the manuals.
pub mod number {
    #![allow(missing_docs, reason = "the names are the manual's")]
    pub const P5_MC_ADDR: u32 = 0x0;
    pub const P5_MC_TYPE: u32 = 0x1;
    pub const TSC: u32 = 0x10;
    pub const PLATFORM_ID: u32 = 0x17;
    pub const APIC_BASE: u32 = 0x1b;
    pub const FEATURE_CONTROL: u32 = 0x3a;
    pub const TSC_ADJUST: u32 = 0x3b;
    pub const SPEC_CTRL: u32 = 0x48;
    pub const PRED_CMD: u32 = 0x49;
    pub const BIOS_UPDT_TRIG: u32 = 0x79;
    pub const BIOS_SIGN_ID: u32 = 0x8b;
    pub const PLATFORM_INFO: u32 = 0xce;
    pub const MTRRCAP: u32 = 0xfe;
    pub const BBL_CR_CTL: u32 = 0x119;
    pub const SYSENTER_CS: u32 = 0x174;
    pub const SYSENTER_ESP: u32 = 0x175;
    pub const SYSENTER_EIP: u32 = 0x176;
    pub const MCG_CAP: u32 = 0x179;
    pub const MCG_STATUS: u32 = 0x17a;
    pub const MCG_CTL: u32 = 0x17b;
    pub const MISC_ENABLE: u32 = 0x1a0;
    pub const DEBUGCTL: u32 = 0x1d9;
    pub const MTRR_PHYSBASE0: u32 = 0x200;
    pub const MTRR_PHYSMASK7: u32 = 0x20f;
    pub const MTRR_FIX64K: u32 = 0x250;
    pub const MTRR_FIX16K_80000: u32 = 0x258;
    pub const MTRR_FIX16K_A0000: u32 = 0x259;
    pub const MTRR_FIX4K_C0000: u32 = 0x268;
    pub const MTRR_FIX4K_F8000: u32 = 0x26f;
    pub const PAT: u32 = 0x277;
    pub const MTRR_DEF_TYPE: u32 = 0x2ff;
    pub const MC0_CTL: u32 = 0x400;
    pub const TSC_DEADLINE: u32 = 0x6e0;
    pub const X2APIC_FIRST: u32 = 0x800;
    pub const X2APIC_LAST: u32 = 0x8ff;
    pub const EFER: u32 = 0xc000_0080;
    pub const STAR: u32 = 0xc000_0081;
    pub const LSTAR: u32 = 0xc000_0082;
    pub const CSTAR: u32 = 0xc000_0083;
    pub const FMASK: u32 = 0xc000_0084;
    pub const FS_BASE: u32 = 0xc000_0100;
    pub const GS_BASE: u32 = 0xc000_0101;
    pub const KERNEL_GS_BASE: u32 = 0xc000_0102;
    pub const TSC_AUX: u32 = 0xc000_0103;
}

use number as n;

/// Machine-check banks that IA32_MCG_CAP reports.
const MC_BANKS: u64 = 10;
/// IA32_MTRRCAP: eight variable ranges, fixed ranges, write combining.
const MTRR_CAP: u64 = 8 | 1 << 8 | 1 << 10;
/// MCG_CTL_P in IA32_MCG_CAP.
const MCG_CTL_P: u64 = 1 << 8;

/// Registers of AMD's K8 that kernels read and write without checking, and their reset values:
/// SYSCFG, HWCR, TOP_MEM, TOP_MEM2, the patch level's neighbours, configuration of caches and
/// buses, C1E (interrupt pending).
const AMD_PLAIN: &[(u32, u64)] = &[
    (0xc001_0010, 0),
    (0xc001_0015, 0),
    (0xc001_0016, 0),
    (0xc001_0017, 0),
    (0xc001_0018, 0),
    (0xc001_0019, 0),
    (0xc001_001a, 0),
    (0xc001_001d, 0),
    (0xc001_001f, 0),
    (0xc001_0055, 0),
    (0xc001_0111, 0x3_0000),
    (0xc001_0112, 0),
    (0xc001_0113, 0),
    (0xc001_1020, 0),
    (0xc001_1021, 0),
    (0xc001_1022, 0),
    (0xc001_1023, 0),
    (0xc001_1029, 0),
    (0xc001_102a, 0),
];

/// Registers of Intel's processors of the same kind: FEATURE_CONTROL, the platform's identity,
/// power and performance control, offcore and debug registers.
const INTEL_PLAIN: &[(u32, u64)] = &[
    (n::P5_MC_ADDR, 0),
    (n::P5_MC_TYPE, 0),
    (n::PLATFORM_ID, 0),
    (0x2a, 0),
    (0x2c, 0),
    (0x33, 0),
    (0x34, 0),
    (n::FEATURE_CONTROL, 1),
    (n::BBL_CR_CTL, 0),
    (0xc1, 0),
    (0xc2, 0),
    (0xe7, 0),
    (0xe8, 0),
    (0x140, 0),
    (0x186, 0),
    (0x187, 0),
    (0x198, 0),
    (0x199, 0),
    (0x19a, 0),
    (0x19b, 0),
    (0x19c, 0),
    (0x1aa, 0),
    (0x1ad, 0),
    (0x1b0, 0),
    (0x1c9, 0),
    (n::DEBUGCTL, 0),
    (0x1db, 0),
    (0x1dc, 0),
];

/// Index in [`crate::x86::regs::Msrs::mtrr_fixed`].
fn fixed_mtrr(msr: u32) -> Option<usize> {
    Some(match msr {
        n::MTRR_FIX64K => 0,
        n::MTRR_FIX16K_80000 => 1,
        n::MTRR_FIX16K_A0000 => 2,
        n::MTRR_FIX4K_C0000..=n::MTRR_FIX4K_F8000 => (msr - n::MTRR_FIX4K_C0000) as usize + 3,
        _ => return None,
    })
}

/// Memory types that MTRRs can hold (SDM volume 3, table 11-8).
fn memory_type(t: u64) -> bool {
    matches!(t, 0 | 1 | 4 | 5 | 6)
}

impl Exec<'_> {
    fn in_apic(msr: u32) -> bool {
        matches!(msr, n::APIC_BASE | n::TSC_DEADLINE | n::X2APIC_FIRST..=n::X2APIC_LAST)
    }

    /// Reads a model-specific register.
    ///
    /// # Errors
    /// #GP(0) for one that does not exist.
    pub fn read_msr(&mut self, msr: u32) -> Result<u64, Trap> {
        if Self::in_apic(msr) {
            let at = self.at();
            let v = self.bus.apic_msr_read(self.mem, at, msr);
            self.after_bus();
            return v.ok_or(Trap::GP);
        }
        let tsc = self.tsc();
        let cpu = &*self.cpu;
        let m = &cpu.msrs;
        let has = cpu.model.features();
        Ok(match msr {
            n::TSC => tsc,
            n::TSC_ADJUST if has.tsc_adjust => m.tsc_adjust,
            n::SPEC_CTRL if has.spec_ctrl => m.spec_ctrl,
            n::BIOS_SIGN_ID => m.microcode,
            n::MTRRCAP if has.mtrr => MTRR_CAP,
            n::SYSENTER_CS if has.sep => m.sysenter_cs,
            n::SYSENTER_ESP if has.sep => m.sysenter_esp,
            n::SYSENTER_EIP if has.sep => m.sysenter_eip,
            n::MCG_CAP if has.mca => MC_BANKS | MCG_CTL_P,
            n::MCG_STATUS if has.mca => m.mcg_status,
            n::MCG_CTL if has.mca => m.mcg_ctl,
            n::MISC_ENABLE if !cpu.model.amd() => m.misc_enable,
            // A bus ratio of ten at 100 MHz: the TSC's 1 GHz.
            n::PLATFORM_INFO if !cpu.model.amd() => 10 << 8,
            n::MTRR_PHYSBASE0..=n::MTRR_PHYSMASK7 if has.mtrr => {
                m.mtrr_variable[(msr - n::MTRR_PHYSBASE0) as usize]
            }
            n::PAT if has.mtrr => m.pat,
            n::MTRR_DEF_TYPE if has.mtrr => m.mtrr_def_type,
            n::MC0_CTL..0x428 if has.mca => m.mc_banks.get((msr - n::MC0_CTL) as usize).copied().unwrap_or(0),
            n::EFER if has.efer => m.efer,
            n::STAR if has.syscall => m.star,
            n::LSTAR if has.syscall => m.lstar,
            n::CSTAR if has.syscall => m.cstar,
            n::FMASK if has.syscall => m.fmask,
            n::FS_BASE if has.long => cpu.seg(seg::FS).base,
            n::GS_BASE if has.long => cpu.seg(seg::GS).base,
            n::KERNEL_GS_BASE if has.long => m.kernel_gs_base,
            n::TSC_AUX if has.rdtscp => m.tsc_aux,
            _ => {
                if let Some(i) = fixed_mtrr(msr).filter(|_| has.mtrr) {
                    return Ok(m.mtrr_fixed[i]);
                }
                return Self::plain(cpu.model, msr).ok_or(Trap::GP);
            }
        })
    }

    /// The reset value of a register that controls nothing.
    fn plain(model: crate::x86::model::Model, msr: u32) -> Option<u64> {
        let table = if model.amd() { AMD_PLAIN } else { INTEL_PLAIN };
        table.iter().find(|(number, _)| *number == msr).map(|(_, v)| *v)
    }

    /// Tells the local APIC, whose deadlines are in terms of the TSC, its new offset.
    fn tsc_moved(&mut self) {
        let (at, offset) = (self.at(), self.cpu.msrs.tsc_offset);
        // A board without local APIC has nothing to move.
        let _ = self.bus.apic_msr_write(self.mem, at, n::TSC, offset);
        self.after_bus();
    }

    /// Writes a model-specific register.
    ///
    /// # Errors
    /// #GP(0) for one that does not exist or is read-only, for reserved bits and addresses that
    /// are not canonical.
    pub fn write_msr(&mut self, msr: u32, v: u64) -> Result<(), Trap> {
        if Self::in_apic(msr) {
            let at = self.at();
            let done = self.bus.apic_msr_write(self.mem, at, msr, v);
            self.after_bus();
            return done.ok_or(Trap::GP);
        }
        let tsc = self.tsc();
        let cpu = &mut *self.cpu;
        let has = cpu.model.features();
        let amd = cpu.model.amd();
        let canonical = if Self::canonical(v) { Ok(v) } else { Err(Trap::GP) };
        let wide = |v: u64, reserved: u64| if v & reserved == 0 { Ok(v) } else { Err(Trap::GP) };
        let m = &mut cpu.msrs;
        match msr {
            n::TSC => {
                // IA32_TSC_ADJUST moves with it (SDM volume 3, section 17.17.3).
                let delta = v.wrapping_sub(tsc);
                m.tsc_offset = m.tsc_offset.wrapping_add(delta);
                m.tsc_adjust = m.tsc_adjust.wrapping_add(delta);
                self.tsc_moved();
            }
            n::TSC_ADJUST if has.tsc_adjust => {
                m.tsc_offset = m.tsc_offset.wrapping_add(v.wrapping_sub(m.tsc_adjust));
                m.tsc_adjust = v;
                self.tsc_moved();
            }
            n::SPEC_CTRL if has.spec_ctrl => m.spec_ctrl = wide(v, !7)?,
            n::PRED_CMD if has.spec_ctrl => {
                wide(v, !1)?;
            }
            n::BIOS_UPDT_TRIG => {}
            n::BIOS_SIGN_ID => m.microcode = v,
            n::SYSENTER_CS if has.sep => m.sysenter_cs = v & 0xffff_ffff,
            n::SYSENTER_ESP if has.sep => m.sysenter_esp = canonical?,
            n::SYSENTER_EIP if has.sep => m.sysenter_eip = canonical?,
            n::MCG_STATUS if has.mca => m.mcg_status = wide(v, !7)?,
            n::MCG_CTL if has.mca => {
                if v != 0 && v != u64::MAX {
                    return Err(Trap::GP);
                }
                m.mcg_ctl = v;
            }
            n::MISC_ENABLE if !amd => m.misc_enable = v,
            n::PLATFORM_INFO if !amd => {}
            n::MTRR_PHYSBASE0..=n::MTRR_PHYSMASK7 if has.mtrr => {
                // Bits above the physical width, and those beside type or valid bit.
                let base = msr & 1 == 0;
                wide(v, !0 << PHYS_BITS | if base { 0xf00 } else { 0x7ff })?;
                if base && !memory_type(v & 0xff) {
                    return Err(Trap::GP);
                }
                m.mtrr_variable[(msr - n::MTRR_PHYSBASE0) as usize] = v;
            }
            n::PAT if has.mtrr => {
                if v.to_le_bytes().iter().any(|&t| !memory_type(t.into()) && t != 7) {
                    return Err(Trap::GP);
                }
                m.pat = v;
            }
            n::MTRR_DEF_TYPE if has.mtrr => {
                wide(v, !0xcff)?;
                if !memory_type(v & 0xff) {
                    return Err(Trap::GP);
                }
                m.mtrr_def_type = v;
            }
            n::MC0_CTL..0x428 if has.mca => {
                // Only CTL takes every value; the others are cleared by software (SDM volume 3,
                // section 15.3.2), though AMD's let it set them with HWCR.
                if !(msr - n::MC0_CTL).is_multiple_of(4) && v != 0 && v != u64::MAX {
                    return Err(Trap::GP);
                }
                if let Some(bank) = m.mc_banks.get_mut((msr - n::MC0_CTL) as usize) {
                    *bank = v;
                }
            }
            n::EFER if has.efer => {
                let mut known = 0;
                for (there, bits) in
                    [(has.syscall, efer::SCE), (has.long, efer::LME | efer::LMA), (has.nx, efer::NXE)]
                {
                    known |= if there { bits } else { 0 };
                }
                wide(v, !known)?;
                let turned = v ^ m.efer;
                if turned & efer::LME != 0 && cpu.cr0 & cr0::PG != 0 {
                    return Err(Trap::GP);
                }
                // LMA is read-only.
                m.efer = v & !efer::LMA | m.efer & efer::LMA;
                self.mode_changed();
            }
            n::STAR if has.syscall => m.star = v,
            n::LSTAR if has.syscall => m.lstar = canonical?,
            n::CSTAR if has.syscall => m.cstar = canonical?,
            n::FMASK if has.syscall => m.fmask = v & 0xffff_ffff,
            n::FS_BASE if has.long => cpu.segs[usize::from(seg::FS)].base = canonical?,
            n::GS_BASE if has.long => cpu.segs[usize::from(seg::GS)].base = canonical?,
            n::KERNEL_GS_BASE if has.long => m.kernel_gs_base = canonical?,
            n::TSC_AUX if has.rdtscp => m.tsc_aux = wide(v, !0xffff_ffff)?,
            _ => {
                if let Some(i) = fixed_mtrr(msr).filter(|_| has.mtrr) {
                    if v.to_le_bytes().iter().any(|&t| !memory_type((t & 7).into())) {
                        return Err(Trap::GP);
                    }
                    m.mtrr_fixed[i] = v;
                    return Ok(());
                }
                Self::plain(cpu.model, msr).ok_or(Trap::GP)?;
            }
        }
        Ok(())
    }
}

fn rdmsr(ex: &mut Exec<'_>, _: &Op) -> Done {
    ex.privileged()?;
    let msr = ex.get(gpr::RCX);
    let v = ex.read_msr(msr)?;
    ex.set(gpr::RAX, v as u32);
    ex.set(gpr::RDX, (v >> 32) as u32);
    Ok(Flow::Next)
}

fn wrmsr(ex: &mut Exec<'_>, _: &Op) -> Done {
    ex.privileged()?;
    let msr = ex.get(gpr::RCX);
    let v = u64::from(ex.get::<u32>(gpr::RAX)) | u64::from(ex.get::<u32>(gpr::RDX)) << 32;
    ex.write_msr(msr, v)?;
    Ok(Flow::Event)
}

/// The handler for `ins`, if it belongs to this group.
pub fn select(ins: &Instruction) -> Option<Handler> {
    Some(match ins.mnemonic() {
        Mnemonic::Rdmsr => rdmsr,
        Mnemonic::Wrmsr => wrmsr,
        _ => return None,
    })
}
