//! Registers and bits (IHI 0069, chapter 12), beside those in [`super::super::gic::spec`].
#![allow(missing_docs, reason = "the names are the specification's")]

/// What the board adds to the offset of a redistributor to mean it and not the distributor.
pub const REDISTRIBUTORS: u64 = 0xa_0000;
/// Bytes of one CPU's redistributor: RD_base and SGI_base.
pub const REDISTRIBUTOR: u64 = 0x2_0000;
pub const SGI_BASE: u64 = 0x1_0000;
/// Addresses from here on mean system registers, for tests: the CPU at bits 31:16, the register below.
pub const SYSTEM: u64 = 1 << 32;

// Distributor.
/// ARE and DS: affinity routing always, one security state.
pub const GICD_CTLR_FIXED: u32 = 1 << 4 | 1 << 6;
/// EnableGrp0, EnableGrp1, E1NWF.
pub const GICD_CTLR_WRITABLE: u32 = 3 | 1 << 7;
/// IDbits 16, A3V, No1N not set, RSS.
pub const GICD_TYPER_FIXED: u32 = 15 << 19 | 1 << 24 | 1 << 26;
pub const GICD_IROUTER: u64 = 0x6100;
pub const GICD_IROUTER_END: u64 = 0x6100 + 8 * 256;
/// Interrupt routing mode: any one CPU.
pub const IROUTER_MODE: u64 = 1 << 31;
pub const IROUTER_WRITABLE: u64 = 0xff_80ff_ffff;
pub const PIDR4: u64 = 0xffd0;
/// A GIC-500.
pub const IIDR: u32 = 0x0000_043b;
/// PIDR4 to 7, PIDR0 to 3; the redistributor's PIDR0 is one more.
pub const PIDR: [u8; 8] = [0x44, 0, 0, 0, 0x92, 0xb4, 0x3b, 0];
pub const SGI_CONFIG: u32 = 0xaaaa_aaaa;
pub const SGI_BITS: u32 = 0xffff;

// Redistributor.
pub const GICR_IIDR: u64 = 0x04;
pub const GICR_TYPER: u64 = 0x08;
pub const GICR_WAKER: u64 = 0x14;
pub const WAKER_PROCESSOR_SLEEP: u32 = 1 << 1;
pub const WAKER_CHILDREN_ASLEEP: u32 = 1 << 2;
pub const TYPER_LAST: u64 = 1 << 4;

// CPU interface.
pub const CTLR_CBPR: u32 = 1 << 0;
pub const CTLR_EOI_MODE: u32 = 1 << 1;
pub const CTLR_PMHE: u32 = 1 << 6;
pub const CTLR_WRITABLE: u32 = CTLR_CBPR | CTLR_EOI_MODE | CTLR_PMHE;
/// Five bits of priority, 16 bits of INTID, A3V, RSS.
pub const CTLR_FIXED: u32 = 4 << 8 | 1 << 15 | 1 << 18;
/// System registers are in use, and no bypass.
pub const SRE: u64 = 7;
/// ... and the lower level may use ICC_SRE_EL1.
pub const SRE_HIGHER: u64 = 0xf;

/// Fields of ICC_SGI1R_EL1.
pub const SGI_IRM: u64 = 1 << 40;
