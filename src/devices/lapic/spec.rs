//! Registers of the local APIC (SDM volume 3, chapter 10).
#![allow(missing_docs, reason = "the names are the manual's")]

/// Where the registers lie after reset.
pub const BASE: u64 = 0xfee0_0000;
pub const SIZE: u64 = 0x1000;
/// Rate of the timer before the divider, as QEMU has it.
pub const TIMER_HZ: u64 = 1_000_000_000;

pub const ID: u16 = 0x20;
pub const VERSION: u16 = 0x30;
pub const TPR: u16 = 0x80;
pub const APR: u16 = 0x90;
pub const PPR: u16 = 0xa0;
pub const EOI: u16 = 0xb0;
pub const LDR: u16 = 0xd0;
pub const DFR: u16 = 0xe0;
pub const SVR: u16 = 0xf0;
pub const ISR: u16 = 0x100;
pub const TMR: u16 = 0x180;
pub const IRR: u16 = 0x200;
pub const ESR: u16 = 0x280;
pub const ICR_LOW: u16 = 0x300;
pub const ICR_HIGH: u16 = 0x310;
pub const LVT_TIMER: u16 = 0x320;
pub const LVT_ERROR: u16 = 0x370;
pub const INITIAL_COUNT: u16 = 0x380;
pub const CURRENT_COUNT: u16 = 0x390;
pub const DIVIDE: u16 = 0x3e0;
pub const SELF_IPI: u16 = 0x3f0;

/// Version 14H, six LVT entries.
pub const VERSION_VALUE: u32 = 0x0005_0014;

/// Indices into the local vector table, in the order of the registers.
pub mod lvt {
    pub const TIMER: usize = 0;
    pub const THERMAL: usize = 1;
    pub const PERFORMANCE: usize = 2;
    pub const LINT0: usize = 3;
    pub const LINT1: usize = 4;
    pub const ERROR: usize = 5;
    pub const COUNT: usize = 6;
}
/// A local vector table entry that takes the 8259's vector (delivery mode ExtINT), not masked.
pub const VIRTUAL_WIRE: u32 = 7 << 8;
/// Writable bits of each LVT entry (figure 10-8).
pub const LVT_WRITABLE: [u32; lvt::COUNT] = [0x7_00ff, 0x1_07ff, 0x1_07ff, 0x1_a7ff, 0x1_a7ff, 0x1_00ff];
pub const LVT_MASKED: u32 = 1 << 16;
pub const LVT_LEVEL: u32 = 1 << 15;
pub const LVT_REMOTE_IRR: u32 = 1 << 14;
pub const TIMER_MODE_SHIFT: u32 = 17;
pub const TIMER_ONE_SHOT: u32 = 0;
pub const TIMER_PERIODIC: u32 = 1;
pub const TIMER_TSC_DEADLINE: u32 = 2;

pub const SVR_ENABLE: u32 = 1 << 8;
pub const SVR_WRITABLE: u32 = 0x3ff;
pub const DFR_FLAT: u32 = 0xf;

pub const ESR_SEND_ILLEGAL: u32 = 1 << 5;
pub const ESR_RECEIVE_ILLEGAL: u32 = 1 << 6;
pub const ESR_ILLEGAL_REGISTER: u32 = 1 << 7;

pub const ICR_LOGICAL: u64 = 1 << 11;
pub const ICR_PENDING: u64 = 1 << 12;
pub const ICR_ASSERT: u64 = 1 << 14;
pub const ICR_LEVEL: u64 = 1 << 15;
pub const ICR_SHORTHAND_SHIFT: u64 = 18;
/// Writable bits of the ICR's low half.
pub const ICR_LOW_WRITABLE: u64 = 0xc_cfff;

/// MSRs.
pub const MSR_TSC: u32 = 0x10;
pub const MSR_APIC_BASE: u32 = 0x1b;
pub const MSR_TSC_DEADLINE: u32 = 0x6e0;
pub const MSR_X2APIC: u32 = 0x800;
pub const MSR_X2APIC_LAST: u32 = 0x8ff;
pub const BASE_BSP: u64 = 1 << 8;
pub const BASE_X2APIC: u64 = 1 << 10;
pub const BASE_ENABLE: u64 = 1 << 11;
/// Address bits of IA32_APIC_BASE for 40 physical address bits.
pub const BASE_ADDRESS: u64 = 0xff_ffff_f000;
/// Vectors below are reserved (section 10.5.2).
pub const FIRST_VECTOR: u8 = 16;
