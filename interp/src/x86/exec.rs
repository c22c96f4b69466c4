//! What an instruction's handler works on: the CPU, memory, the bus, the time.

use super::mmu::{Rights, key};
use super::op::{Op, REG_RIP};
use super::regs::{Cpu, cr0, seg};
use super::trap::Trap;
use super::word::Word;
use crate::engine::{At, Bus};
pub use crate::exec::Flow;
use crate::mem::Memory;

/// What an x86 CPU needs of the board besides memory-mapped devices.
pub trait X86Bus: Bus {
    /// Reads an I/O port; `size` is 1, 2 or 4.
    fn port_read(&mut self, mem: &mut Memory, at: At, port: u16, size: u8) -> u32;
    /// Writes an I/O port.
    fn port_write(&mut self, mem: &mut Memory, at: At, port: u16, size: u8, value: u32);
    /// The interrupt controllers' answer to an acknowledge cycle: the vector to deliver.
    /// `None` when the request went away.
    fn acknowledge_interrupt(&mut self, mem: &mut Memory, at: At) -> Option<u8>;
    /// Reads a register that lies in the local APIC: IA32_APIC_BASE (1BH), the x2APIC MSRs
    /// (800H to 8FFH), IA32_TSC_DEADLINE (6E0H). `None` raises #GP.
    fn apic_msr_read(&mut self, mem: &mut Memory, at: At, msr: u32) -> Option<u64>;
    /// Writes a register that lies in the local APIC. `None` raises #GP. MSR 10H tells the offset
    /// of the CPU's TSC from the virtual clock after it changed; its answer has no effect.
    fn apic_msr_write(&mut self, mem: &mut Memory, at: At, msr: u32, value: u64) -> Option<()>;
    /// The task priority that CR8 shows (TPR bits 7:4).
    fn tpr_read(&mut self, at: At) -> u8;
    /// Writes CR8.
    fn tpr_write(&mut self, mem: &mut Memory, at: At, tpr: u8);
    /// The x87's FERR# pin changed: IRQ 13.
    fn ferr(&mut self, mem: &mut Memory, at: At, level: bool);
}

/// x86 as a guest architecture.
#[derive(Debug)]
pub enum X86 {}

/// What a handler works on.
pub type Exec<'a> = crate::exec::Exec<'a, X86>;

impl Exec<'_> {
    /// The time-stamp counter: virtual nanoseconds (1 GHz) plus what software added.
    pub fn tsc(&self) -> u64 {
        self.clock.virtual_ns(self.icount()).wrapping_add(self.cpu.msrs.tsc_offset)
    }

    /// A general register. Bytes: 20 to 23 are AH, CH, DH, BH.
    #[inline(always)]
    pub fn get<T: Word>(&self, r: u8) -> T {
        if T::BYTES == 1 && r >= 20 {
            return T::from_u64(self.cpu.regs[usize::from(r - 20)] >> 8);
        }
        T::from_u64(self.cpu.regs[usize::from(r & 15)])
    }

    /// Writes a general register: bytes and words keep the rest, doublewords clear the upper half.
    #[inline(always)]
    pub fn set<T: Word>(&mut self, r: u8, v: T) {
        if T::BYTES == 1 && r >= 20 {
            let reg = &mut self.cpu.regs[usize::from(r & 3)];
            *reg = *reg & !0xff00 | v.to_u64() << 8;
            return;
        }
        let reg = &mut self.cpu.regs[usize::from(r & 15)];
        *reg = if T::BYTES >= 4 { v.to_u64() } else { *reg & !T::MASK | v.to_u64() };
    }

    /// A general register by a size in bytes known only at run time, zero-extended.
    pub fn get_sized(&self, r: u8, size: u8) -> u64 {
        match size {
            1 => self.get::<u8>(r).into(),
            2 => self.get::<u16>(r).into(),
            4 => self.get::<u32>(r).into(),
            _ => self.get::<u64>(r),
        }
    }

    /// Writes a general register by a size in bytes known only at run time.
    pub fn set_sized(&mut self, r: u8, size: u8, v: u64) {
        match size {
            1 => self.set(r, v as u8),
            2 => self.set(r, v as u16),
            4 => self.set(r, v as u32),
            _ => self.set(r, v),
        }
    }

    /// The offset of the memory operand in its segment, wrapped to the address size.
    #[inline(always)]
    pub fn ea(&self, op: &Op) -> u64 {
        // Bases up to REG_RIP; the mask keeps the index inside without a check.
        let base = self.cpu.regs[usize::from(op.base).min(17)];
        let index = self.cpu.regs[usize::from(op.index).min(17)];
        let ea = base.wrapping_add(index << op.scale).wrapping_add(op.disp);
        match op.addrsize {
            8 => ea,
            4 => ea & 0xffff_ffff,
            _ => ea & 0xffff,
        }
    }

    /// Sets RIP for a near branch to `target`, wrapped to the operand size. Checks the code
    /// segment's limit or canonicality, so that the branch faults before anything changed.
    ///
    /// # Errors
    /// #GP(0) when the target lies outside.
    #[inline(always)]
    pub fn jump_near(&mut self, target: u64, size: u8) -> Result<(), Trap> {
        let target = match size {
            8 => target,
            4 => target & 0xffff_ffff,
            _ => target & 0xffff,
        };
        if self.cpu.mode64() {
            if !Self::canonical(target) {
                return Err(Trap::GP);
            }
        } else if target > u64::from(self.cpu.seg(seg::CS).limit) {
            return Err(Trap::GP);
        }
        self.cpu.regs[usize::from(REG_RIP)] = target;
        Ok(())
    }

    /// Selects the cached translations that the CPU's mode asks for. Must follow every change of
    /// CPL, CR0, CR3, CR4, EFER, RFLAGS.AC/VM or DR7, before the next memory access.
    pub fn mode_changed(&mut self) {
        let slow = self.cpu.alignment_checked() || self.cpu.data_breakpoints();
        let key = (!slow).then(|| key(self.cpu, Rights::Current));
        self.tlb.select(key);
    }

    /// Changes the privilege level.
    pub fn set_cpl(&mut self, cpl: u8) {
        if self.cpu.cpl != cpl {
            self.cpu.cpl = cpl;
            self.mode_changed();
        }
    }

    /// Checks CR0.EM and CR0.TS before an x87 instruction.
    ///
    /// # Errors
    /// #NM.
    #[inline]
    pub fn check_x87(&self) -> Result<(), Trap> {
        if self.cpu.cr0 & (cr0::EM | cr0::TS) != 0 { Err(Trap::NM) } else { Ok(()) }
    }
}

impl Cpu {
    /// Linear address of the next instruction.
    pub fn linear_pc(&self) -> u64 {
        if self.mode64() { self.rip() } else { self.seg(seg::CS).base.wrapping_add(self.rip()) & 0xffff_ffff }
    }

    /// #AC is raised for misaligned user accesses: CR0.AM, RFLAGS.AC, CPL 3.
    pub fn alignment_checked(&self) -> bool {
        self.cpl == 3 && self.cr0 & cr0::AM != 0 && self.rflags & super::flags::bit::AC != 0
    }

    /// DR7 enables a data or I/O breakpoint.
    pub fn data_breakpoints(&self) -> bool {
        let dr7 = self.dr[7];
        (0..4).any(|i| dr7 >> (2 * i) & 3 != 0 && dr7 >> (16 + 4 * i) & 3 != 0)
    }
}
