//! The enhanced configuration access mechanism (PCI Express Base Specification 3.0, section 7.2.2), and
//! the generic host bridge behind it that QEMU's boards without a chipset of their own have.

use super::Slot;
use super::config::{Config, spec as reg};

/// Identity of the host bridge.
pub mod spec {
    #![allow(missing_docs, reason = "the names say it")]
    pub const REDHAT: u16 = 0x1b36;
    pub const PCIE_HOST: u16 = 0x0008;
    pub const CLASS_HOST: u32 = 0x06_0000;
    pub const QEMU_SUBSYSTEM: u32 = 0x1100_1af4;
    /// Bytes of a function's configuration space.
    pub const FUNCTION: u64 = 0x1000;
}

/// 00:00.0.
pub fn host_bridge() -> Config {
    let mut c = Config::new(spec::REDHAT, spec::PCIE_HOST, spec::CLASS_HOST, 0);
    c.set32(reg::SUBSYSTEM_VENDOR, spec::QEMU_SUBSYSTEM);
    c
}

/// The function on bus 0 and the register that an offset means; `None` on other buses.
pub fn target(offset: u64) -> Option<(Slot, u64)> {
    let slot = Slot { device: (offset >> 15 & 31) as u8, function: (offset >> 12 & 7) as u8 };
    (offset >> 20 == 0).then_some((slot, offset % spec::FUNCTION))
}

/// Reads a function's register; there are none from 256 on, and nothing answers without a function.
pub fn read(config: Option<&Config>, at: u64, size: u8) -> u64 {
    let Some(config) = config else { return u64::MAX };
    super::super::read_bytes(at, size, |at| u8::try_from(at).map_or(0, |at| config.get8(at.into())))
}

/// Writes a function's register.
pub fn write(config: &mut Config, at: u64, size: u8, value: u64) {
    super::super::write_bytes(at, size, value, |at, v| {
        if let Ok(at) = u8::try_from(at) {
            config.write(at, 1, v.into());
        }
    });
}
