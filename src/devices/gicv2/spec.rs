//! Registers and bits (IHI 0048B, chapter 4), beside those in [`super::super::gic::spec`].
#![allow(missing_docs, reason = "the names are the specification's")]

/// What the board adds to a distributor's offset to mean the CPU interface.
pub const INTERFACE: u64 = 0x1_0000;
/// Addresses of another CPU's view begin at this distance.
pub const VIEW: u64 = 1 << 32;
/// Most CPUs.
pub const CPUS: usize = 8;

// Distributor.
pub const GICD_CTLR_WRITABLE: u32 = 3;
pub const GICD_ITARGETSR: u64 = 0x800;
pub const GICD_ITARGETSR_END: u64 = 0xc00;
pub const GICD_SGIR: u64 = 0xf00;
pub const GICD_CPENDSGIR: u64 = 0xf10;
pub const GICD_SPENDSGIR: u64 = 0xf20;
pub const GICD_SPENDSGIR_END: u64 = 0xf30;
pub const GICD_PIDR4: u64 = 0xfd0;
/// A GIC-400, r0p1.
pub const GICD_IIDR: u32 = 0x0200_143b;
/// PIDR4 to 7, PIDR0 to 3 of a GIC-400.
pub const PIDR: [u8; 8] = [0x04, 0, 0, 0, 0x90, 0xb4, 0x2b, 0];
/// Software-generated interrupts are edge-triggered.
pub const SGI_CONFIG: u32 = 0xaaaa_aaaa;
pub const SGI_BITS: u32 = 0xffff;

// CPU interface.
pub const GICC_CTLR: u64 = 0x00;
pub const GICC_PMR: u64 = 0x04;
pub const GICC_BPR: u64 = 0x08;
pub const GICC_IAR: u64 = 0x0c;
pub const GICC_EOIR: u64 = 0x10;
pub const GICC_RPR: u64 = 0x14;
pub const GICC_HPPIR: u64 = 0x18;
pub const GICC_ABPR: u64 = 0x1c;
pub const GICC_AIAR: u64 = 0x20;
pub const GICC_AEOIR: u64 = 0x24;
pub const GICC_AHPPIR: u64 = 0x28;
pub const GICC_APR0: u64 = 0xd0;
pub const GICC_NSAPR0: u64 = 0xe0;
pub const GICC_IIDR: u64 = 0xfc;
pub const GICC_DIR: u64 = 0x1000;
pub const GICC_IIDR_VALUE: u32 = 0x0202_143b;
pub const CTLR_ACK_CTL: u32 = 1 << 2;
pub const CTLR_FIQ_EN: u32 = 1 << 3;
pub const CTLR_CBPR: u32 = 1 << 4;
pub const CTLR_EOI_MODE: u32 = 1 << 9;
/// Enables of both groups, the bits above, and four of bypasses that are not wired here.
pub const CTLR_WRITABLE: u32 = 0x3ff;
