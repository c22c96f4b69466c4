//! The chipset of QEMU's `pc`: i440FX host bridge, PIIX3 ISA bridge; the PIIX4 power management
//! function's configuration space.

use super::config::{Config, spec as reg};
use serde::{Deserialize, Serialize};

/// Identities and registers.
pub mod spec {
    #![allow(missing_docs, reason = "the names are the data sheets'")]
    pub const INTEL: u16 = 0x8086;
    pub const I440FX: u16 = 0x1237;
    pub const PIIX3_ISA: u16 = 0x7000;
    pub const PIIX4_PM: u16 = 0x7113;
    pub const CLASS_HOST: u32 = 0x06_0000;
    pub const CLASS_ISA: u32 = 0x06_0100;
    pub const CLASS_OTHER_BRIDGE: u32 = 0x06_8000;
    pub const QEMU_SUBSYSTEM: u32 = 0x1100_1af4;
    /// 82441FX, 3.2.17: programmable attribute map, seven registers.
    pub const PAM: usize = 0x59;
    pub const PAM_COUNT: usize = 7;
    pub const PAM_READ: u8 = 1;
    pub const PAM_WRITE: u8 = 2;
    /// PIIX3, 2.2.4: PIRQ route control, four registers.
    pub const PIRQ: usize = 0x60;
    pub const PIRQ_DISABLE: u8 = 0x80;
    /// PIIX4, 7.1: power management base, miscellaneous, enable bit.
    pub const PMBASE: usize = 0x40;
    pub const PMREGMISC: usize = 0x80;
    pub const PM_ENABLE: u8 = 1;
}

/// The i440FX host bridge, 00:00.0.
pub fn i440fx(shadowed: bool) -> Config {
    let mut c = Config::new(spec::INTEL, spec::I440FX, spec::CLASS_HOST, 2);
    c.set32(reg::SUBSYSTEM_VENDOR, spec::QEMU_SUBSYSTEM);
    c.allow(spec::PAM, &[0x30, 0x33, 0x33, 0x33, 0x33, 0x33, 0x33]);
    // SMRAM control: storage only, there is no system management mode.
    c.set8(0x72, 0x02);
    c.allow(0x72, &[0x78]);
    if shadowed {
        // As firmware leaves it: the BIOS area is RAM.
        c.set8(spec::PAM, 0x30);
        for i in 1..spec::PAM_COUNT {
            c.set8(spec::PAM + i, 0x33);
        }
    }
    c
}

/// The attributes of the thirteen areas from C0000H (twelve of 16 KiB, then F0000H of 64 KiB).
pub fn pam(host: &Config) -> [u8; 13] {
    std::array::from_fn(|i| {
        if i == 12 {
            return host.get8(spec::PAM) >> 4 & 3;
        }
        host.get8(spec::PAM + 1 + i / 2) >> (4 * (i % 2)) & 3
    })
}

/// The PIIX3 ISA bridge, 00:01.0.
pub fn piix3(routed: bool) -> Config {
    let mut c = Config::new(spec::INTEL, spec::PIIX3_ISA, spec::CLASS_ISA, 0);
    c.set32(reg::SUBSYSTEM_VENDOR, spec::QEMU_SUBSYSTEM);
    c.set8(reg::HEADER_TYPE, 0x80);
    c.set16(reg::COMMAND, 7);
    c.allow(reg::COMMAND, &[0, 0]);
    c.set16(reg::STATUS, 0x200);
    for i in 0..4 {
        // As QEMU's firmware routes them: 10, 10, 11, 11.
        let irq = if i < 2 { 10 } else { 11 };
        c.set8(spec::PIRQ + i, if routed { irq } else { spec::PIRQ_DISABLE });
    }
    c.allow(spec::PIRQ, &[0x8f; 4]);
    // ISA clock, X-bus chip select, top of memory, miscellaneous: storage.
    c.set8(0x4c, 0x4d);
    c.set8(0x4e, 0x03);
    c.allow(0x4c, &[0x7f, 0, 0xff, 0x07]);
    c.set8(0x69, 0x02);
    c.allow(0x69, &[0xfe]);
    c
}

/// The PIIX4 power management function, 00:01.3, with its registers at `base` when given.
pub fn piix4_pm(base: Option<u16>) -> Config {
    let mut c = Config::new(spec::INTEL, spec::PIIX4_PM, spec::CLASS_OTHER_BRIDGE, 3);
    c.set32(reg::SUBSYSTEM_VENDOR, spec::QEMU_SUBSYSTEM);
    c.set16(reg::STATUS, 0x280);
    c.set8(reg::INTERRUPT_PIN, 1);
    c.set8(reg::INTERRUPT_LINE, 9);
    c.set32(spec::PMBASE, 1);
    c.allow(spec::PMBASE, &[0xc0, 0xff]);
    c.allow(spec::PMREGMISC, &[spec::PM_ENABLE]);
    // Device activity B: APMC enabled tells firmware that system management mode was set up, so
    // that it does not wait for an SMI that never comes.
    c.set8(0x5b, 0x02);
    // SMBus base and host configuration: storage, no host controller behind them.
    c.set32(0x90, 1);
    c.allow(0x90, &[0xf0, 0xff]);
    c.allow(0xd2, &[0x0f]);
    if let Some(base) = base {
        c.set16(spec::PMBASE, base | 1);
        c.set8(spec::PMREGMISC, spec::PM_ENABLE);
        c.set16(reg::COMMAND, reg::COMMAND_IO);
    }
    c
}

/// Interrupt pins of PCI devices, through the PIIX3's router to ISA interrupts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Router {
    /// A bit for each device that pulls PIRQ A to D.
    pulls: [u32; 4],
}

impl Router {
    /// Pin `pin` (0 is INTA#) of `device` changes. Returns the PIRQ it is wired to (QEMU's
    /// swizzle).
    pub fn set(&mut self, device: u8, pin: u8, level: bool) {
        let pirq = usize::from((pin.wrapping_add(device).wrapping_sub(1)) & 3);
        let bit = 1 << (device & 31);
        self.pulls[pirq] = if level { self.pulls[pirq] | bit } else { self.pulls[pirq] & !bit };
    }

    /// The ISA interrupts that are pulled, one bit each.
    pub fn irqs(&self, piix3: &Config) -> u16 {
        (0..4).filter(|&i| self.pulls[i] != 0).fold(0, |irqs, i| {
            let route = piix3.get8(spec::PIRQ + i);
            if route & spec::PIRQ_DISABLE != 0 { irqs } else { irqs | 1 << (route & 15) }
        })
    }
}
