//! The state in which a boot loader leaves the bootstrap CPU.

use dejavm_interp::x86::Cpu;
use dejavm_interp::x86::flags::bit;
use dejavm_interp::x86::regs::{Segment, TableRegister, cr0, cr4, efer, gpr, right, seg};
use serde::{Deserialize, Serialize};

/// Where the loaders put a GDT for the protocols that promise one.
pub const GDT: u64 = 0x8000;
/// Where the loaders put identity-mapping page tables for the 64-bit entry: six pages.
pub const PAGE_TABLES: u64 = 0x9000;

/// How the bootstrap CPU starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Start {
    /// At the reset vector.
    Reset,
    /// 32-bit protected mode without paging, flat segments.
    Protected {
        /// EIP.
        entry: u32,
        /// EAX.
        eax: u32,
        /// EBX.
        ebx: u32,
        /// ESI.
        esi: u32,
        /// Code and data selectors.
        selectors: (u16, u16),
    },
    /// 64-bit mode, the first 4 GiB mapped to themselves.
    Long {
        /// RIP.
        entry: u64,
        /// RSI.
        rsi: u64,
    },
}

impl Start {
    /// Applies it to a CPU after reset.
    pub fn apply(self, cpu: &mut Cpu) {
        let data_rights = right::P | right::S | right::RW | right::ACCESSED | right::DB | right::G;
        let (code_rights, selectors) = match self {
            Start::Reset => return,
            Start::Protected { selectors, .. } => (data_rights | right::CODE, selectors),
            Start::Long { .. } => ((data_rights | right::CODE | right::L) & !right::DB, (0x10, 0x18)),
        };
        for s in [seg::ES, seg::SS, seg::DS, seg::FS, seg::GS] {
            cpu.segs[usize::from(s)] =
                Segment { selector: selectors.1, rights: data_rights, base: 0, limit: u32::MAX };
        }
        cpu.segs[usize::from(seg::CS)] =
            Segment { selector: selectors.0, rights: code_rights, base: 0, limit: u32::MAX };
        cpu.gdtr = TableRegister { base: GDT, limit: 0x1f };
        cpu.idtr = TableRegister { base: 0, limit: 0 };
        cpu.regs[..16].fill(0);
        cpu.set_rflags(bit::ONE);
        cpu.cr0 = cr0::PE | cr0::ET;
        match self {
            Start::Reset => {}
            Start::Protected { entry, eax, ebx, esi, .. } => {
                cpu.regs[usize::from(gpr::RAX)] = eax.into();
                cpu.regs[usize::from(gpr::RBX)] = ebx.into();
                cpu.regs[usize::from(gpr::RSI)] = esi.into();
                cpu.set_rip(entry.into());
            }
            Start::Long { entry, rsi } => {
                cpu.cr0 |= cr0::PG;
                cpu.cr3 = PAGE_TABLES;
                cpu.cr4 = cr4::PAE;
                cpu.msrs.efer = efer::LME | efer::LMA;
                cpu.regs[usize::from(gpr::RSI)] = rsi;
                cpu.set_rip(entry);
            }
        }
    }
}

/// A GDT with flat 4 GiB code and data segments: 10H and 18H, and 08H as a copy of 10H. The code
/// segment has L set for `long`.
pub fn gdt(long: bool) -> Vec<u8> {
    let code: u64 = if long { 0x00af_9b00_0000_ffff } else { 0x00cf_9b00_0000_ffff };
    let data: u64 = 0x00cf_9300_0000_ffff;
    [0, code, code, data].iter().flat_map(|d| d.to_le_bytes()).collect()
}

/// Page tables that map the first 4 GiB to themselves in 2 MiB pages.
pub fn identity_tables() -> Vec<u8> {
    const PRESENT_WRITABLE: u64 = 3;
    const LARGE: u64 = 1 << 7;
    let mut tables = vec![0u64; 6 * 512];
    tables[0] = (PAGE_TABLES + 0x1000) | PRESENT_WRITABLE;
    for i in 0..4 {
        tables[512 + i] = (PAGE_TABLES + 0x2000 + 0x1000 * i as u64) | PRESENT_WRITABLE;
    }
    for (i, e) in tables[1024..].iter_mut().enumerate() {
        *e = (i as u64) << 21 | LARGE | PRESENT_WRITABLE;
    }
    tables.iter().flat_map(|e| e.to_le_bytes()).collect()
}
