//! ACPI power management registers as the PIIX4 has them: PM1a event and control blocks, the PM
//! timer, the general-purpose event block, the APM control ports.
//!
//! References: ACPI specification 1.0b, section 4.7; Intel 82371AB (PIIX4) data sheet, section
//! 7.2.

use super::{Ctx, Device, Line, Request, read_bytes, write_bytes};
use crate::machine::events::TimerId;
use crate::machine::time::VirtNs;
use serde::{Deserialize, Serialize};

/// Registers, bits and addresses.
pub mod spec {
    #![allow(missing_docs, reason = "the names are the specification's")]
    /// Where QEMU's firmware puts the registers, and how many ports they take.
    pub const PMBASE: u16 = 0x600;
    pub const PORTS: u64 = 0x40;
    pub const GPE_BASE: u64 = 0xafe0;
    pub const GPE_PORTS: u64 = 4;
    pub const APM_CONTROL: u64 = 0xb2;
    pub const APM_STATUS: u64 = 0xb3;
    pub const ACPI_ENABLE: u8 = 0xf1;
    pub const ACPI_DISABLE: u8 = 0xf0;
    pub const SCI: u8 = 9;
    pub const PM1_STATUS: u64 = 0;
    pub const PM1_ENABLE: u64 = 2;
    pub const PM1_CONTROL: u64 = 4;
    pub const TIMER: u64 = 8;
    /// Offset of the GPE block in the addresses that the device is called with.
    pub const GPE: u64 = 0x100;
    /// Offset of the APM ports in the addresses that the device is called with.
    pub const APM: u64 = 0x200;
    pub const TIMER_HZ: u64 = 3_579_545;
    pub const TIMER_MASK: u64 = 0xff_ffff;
    /// The status bit is set when the timer's highest bit changes.
    pub const TIMER_HALF: u64 = 1 << 23;
    pub const TMR: u16 = 1;
    pub const GBL: u16 = 1 << 5;
    pub const PWRBTN: u16 = 1 << 8;
    pub const SLPBTN: u16 = 1 << 9;
    pub const RTC: u16 = 1 << 10;
    pub const ENABLES: u16 = TMR | GBL | PWRBTN | SLPBTN | RTC;
    /// Status bits that software clears by writing ones.
    pub const STATUSES: u16 = ENABLES | 1 << 4 | 1 << 15;
    pub const SCI_EN: u16 = 1;
    pub const SLP_TYP_SHIFT: u16 = 10;
    pub const SLP_EN: u16 = 1 << 13;
    /// SLP_TYP of soft off, as the DSDT's _S5 says.
    pub const S5: u16 = 0;
}

/// The registers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcpiPm {
    line: Line,
    timer: TimerId,
    status: u16,
    enable: u16,
    control: u16,
    /// Half periods of the PM timer that were acknowledged.
    halves: u64,
    gpe_status: u16,
    gpe_enable: u16,
    apm: [u8; 2],
    level: bool,
}

impl AcpiPm {
    /// Registers after reset. `acpi` is true when no firmware runs that would switch from legacy
    /// to ACPI mode.
    pub fn new(line: Line, timer: TimerId, acpi: bool) -> Self {
        Self {
            line,
            timer,
            status: 0,
            enable: 0,
            control: if acpi { spec::SCI_EN } else { 0 },
            halves: 0,
            gpe_status: 0,
            gpe_enable: 0,
            apm: [0; 2],
            level: false,
        }
    }

    /// The user presses the power button.
    pub fn power_button(&mut self, ctx: &mut Ctx<'_>) {
        self.status |= spec::PWRBTN;
        self.update(ctx);
    }

    fn update(&mut self, ctx: &mut Ctx<'_>) {
        let half = ctx.now.ticks(spec::TIMER_HZ) / spec::TIMER_HALF;
        if half > self.halves {
            self.status |= spec::TMR;
        }
        let pending =
            self.status & self.enable & spec::ENABLES != 0 || self.gpe_status & self.gpe_enable != 0;
        let level = pending && self.control & spec::SCI_EN != 0;
        if level != self.level {
            self.level = level;
            ctx.set_line(self.line, level);
        }
    }

    fn arm(&mut self, ctx: &mut Ctx<'_>) {
        let waits = self.enable & spec::TMR != 0 && self.status & spec::TMR == 0;
        let half = ctx.now.ticks(spec::TIMER_HZ) / spec::TIMER_HALF;
        let at = VirtNs::of_ticks((half + 1) * spec::TIMER_HALF, spec::TIMER_HZ);
        ctx.set_timer(self.timer, waits.then_some(at));
    }

    fn register(&self, ctx: &Ctx<'_>, at: u64) -> u8 {
        let word = match at & !1 {
            spec::PM1_STATUS => self.status,
            spec::PM1_ENABLE => self.enable,
            spec::PM1_CONTROL => self.control,
            spec::TIMER => (ctx.now.ticks(spec::TIMER_HZ) & spec::TIMER_MASK) as u16,
            0xa => ((ctx.now.ticks(spec::TIMER_HZ) & spec::TIMER_MASK) >> 16) as u16,
            spec::GPE => self.gpe_status,
            0x102 => self.gpe_enable,
            spec::APM => u16::from_le_bytes(self.apm),
            _ => 0,
        };
        word.to_le_bytes()[(at & 1) as usize]
    }

    fn set_register(&mut self, ctx: &mut Ctx<'_>, at: u64, v: u8) {
        let shift = 8 * (at & 1);
        let (bits, mask) = (u16::from(v) << shift, 0xffu16 << shift);
        match at & !1 {
            spec::PM1_STATUS => {
                self.status &= !(bits & spec::STATUSES);
                if bits & spec::TMR != 0 {
                    self.halves = ctx.now.ticks(spec::TIMER_HZ) / spec::TIMER_HALF;
                }
            }
            spec::PM1_ENABLE => self.enable = (self.enable & !mask | bits) & spec::ENABLES,
            spec::PM1_CONTROL => {
                self.control = (self.control & !mask | bits) & !spec::SLP_EN;
                // Other sleep states are not offered by the tables.
                if bits & spec::SLP_EN != 0 && self.control >> spec::SLP_TYP_SHIFT & 7 == spec::S5 {
                    ctx.request(Request::PowerOff);
                }
            }
            spec::GPE => self.gpe_status &= !bits,
            0x102 => self.gpe_enable = self.gpe_enable & !mask | bits,
            spec::APM => {
                self.apm[(at & 1) as usize] = v;
                if at & 1 == 0 {
                    match v {
                        spec::ACPI_ENABLE => self.control |= spec::SCI_EN,
                        spec::ACPI_DISABLE => self.control &= !spec::SCI_EN,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
}

impl Device for AcpiPm {
    /// Offsets from PMBASE; [`spec::GPE`] and [`spec::APM`] for the other two blocks.
    fn read(&mut self, ctx: &mut Ctx<'_>, addr: u64, size: u8) -> u64 {
        // The usual access, on which many kernels spin.
        if addr == spec::TIMER && size == 4 {
            return ctx.now.ticks(spec::TIMER_HZ) & spec::TIMER_MASK;
        }
        self.update(ctx);
        read_bytes(addr, size, |at| self.register(ctx, at))
    }

    fn write(&mut self, ctx: &mut Ctx<'_>, addr: u64, size: u8, value: u64) {
        self.update(ctx);
        write_bytes(addr, size, value, |at, v| self.set_register(ctx, at, v));
        self.update(ctx);
        self.arm(ctx);
    }

    fn timer(&mut self, ctx: &mut Ctx<'_>, _timer: TimerId) {
        self.update(ctx);
        self.arm(ctx);
    }

    fn reset(&mut self) {
        let halves = self.halves;
        *self = Self { halves, ..Self::new(self.line, self.timer, false) };
    }
}
