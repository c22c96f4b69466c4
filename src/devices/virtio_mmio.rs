//! A virtio-mmio transport with no device behind it: software reads the device ID 0 and goes on.
//!
//! Reference: Virtual I/O Device (VIRTIO) 1.2, section 4.2.2. The transport is not legacy.

use super::{Ctx, Device, read_words};
use serde::{Deserialize, Serialize};

/// Registers.
pub mod spec {
    #![allow(missing_docs, reason = "the names are the specification's")]
    pub const MAGIC: u64 = 0x000;
    pub const VERSION: u64 = 0x004;
    pub const DEVICE_ID: u64 = 0x008;
    pub const VENDOR_ID: u64 = 0x00c;
    /// "virt".
    pub const MAGIC_VALUE: u32 = 0x7472_6976;
    pub const VERSION_VALUE: u32 = 2;
    /// "QEMU".
    pub const VENDOR_VALUE: u32 = 0x554d_4551;
    /// Bytes of one transport's registers.
    pub const SIZE: u64 = 0x200;
}

/// An empty slot. It has no state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmptySlot {}

impl Device for EmptySlot {
    fn read(&mut self, _ctx: &mut Ctx<'_>, addr: u64, size: u8) -> u64 {
        read_words(addr, size, |at| match at {
            spec::MAGIC => spec::MAGIC_VALUE,
            spec::VERSION => spec::VERSION_VALUE,
            spec::VENDOR_ID => spec::VENDOR_VALUE,
            _ => 0,
        })
    }

    fn write(&mut self, _ctx: &mut Ctx<'_>, _addr: u64, _size: u8, _value: u64) {}

    fn reset(&mut self) {}
}
