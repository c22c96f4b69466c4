//! PCI: configuration mechanism #1, the functions of the i440FX chipset, and ECAM.
//!
//! References: PCI Local Bus Specification 2.1, section 3.7.4 (mechanism #1); Intel 82441FX,
//! 82371SB (PIIX3) and 82371AB (PIIX4) data sheets.

pub mod chipset;
pub mod config;
pub mod ecam;

use serde::{Deserialize, Serialize};

/// Ports and bits of configuration mechanism #1.
pub mod spec {
    #![allow(missing_docs, reason = "the names are the specification's")]
    pub const ADDRESS: u64 = 0xcf8;
    pub const DATA: u64 = 0xcfc;
    pub const ENABLE: u32 = 1 << 31;
    pub const ADDRESS_WRITABLE: u32 = 0x80ff_fffc;
    pub const RESET_CONTROL: u64 = 0xcf9;
    /// Reset control: a full reset, and the bit that triggers one.
    pub const RESET_TRIGGER: u8 = 0x04;
    pub const RESET_WRITABLE: u8 = 0x02;
}

/// A function's place: bus 0, device, function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Slot {
    /// Device, 0 to 31.
    pub device: u8,
    /// Function, 0 to 7.
    pub function: u8,
}

/// CONFIG_ADDRESS and the reset control register beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mechanism {
    address: u32,
    /// Reset control, port CF9H.
    pub reset_control: u8,
}

impl Mechanism {
    /// CONFIG_ADDRESS.
    pub fn address(&self) -> u32 {
        self.address
    }

    /// Writes CONFIG_ADDRESS; only doublewords reach it.
    pub fn set_address(&mut self, v: u32) {
        self.address = v & spec::ADDRESS_WRITABLE;
    }

    /// Writes the reset control register; true when that resets.
    pub fn set_reset_control(&mut self, v: u8) -> bool {
        let triggered = v & !self.reset_control & spec::RESET_TRIGGER != 0;
        self.reset_control = v & spec::RESET_WRITABLE;
        triggered
    }

    /// The function and register that an access at offset 0 to 3 of the data port means; `None`
    /// when disabled or on another bus.
    pub fn target(&self, offset: u64) -> Option<(Slot, u8)> {
        let a = self.address;
        if a & spec::ENABLE == 0 || a >> 16 & 0xff != 0 {
            return None;
        }
        let slot = Slot { device: (a >> 11 & 31) as u8, function: (a >> 8 & 7) as u8 };
        Some((slot, (a & 0xfc) as u8 | (offset & 3) as u8))
    }
}
