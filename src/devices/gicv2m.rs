//! The GICv2m frame: messages to GICv2's shared interrupts, for PCI's MSI.
//!
//! Reference: Server Base System Architecture 2.3 (DEN 0029), appendix E.

use super::{Ctx, Device, gic};
use serde::{Deserialize, Serialize};

/// Registers, and the interrupts that QEMU's `virt` gives to messages.
pub mod spec {
    #![allow(missing_docs, reason = "the names are the specification's")]
    pub const MSI_TYPER: u64 = 0x008;
    pub const MSI_SETSPI_NS: u64 = 0x040;
    pub const MSI_IIDR: u64 = 0xfcc;
    /// INTID of the first.
    pub const FIRST: u32 = 80;
    pub const COUNT: u32 = 64;
    /// Architecture version 0 of an implementation by Arm; product 0x53.
    pub const IIDR: u32 = 0x53 << 20 | 0x43b;
}

/// The frame. It has no state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GicV2m {}

impl Device for GicV2m {
    fn read(&mut self, _ctx: &mut Ctx<'_>, addr: u64, size: u8) -> u64 {
        super::read_words(addr, size, |at| match at {
            spec::MSI_TYPER => spec::FIRST << 16 | spec::COUNT,
            spec::MSI_IIDR => spec::IIDR,
            _ => 0,
        })
    }

    fn write(&mut self, ctx: &mut Ctx<'_>, addr: u64, size: u8, value: u64) {
        super::write_words(addr, size, value, |at, v| {
            let intid = v & 0x3ff;
            if at == spec::MSI_SETSPI_NS && (spec::FIRST..spec::FIRST + spec::COUNT).contains(&intid) {
                let line = gic::spi((intid - gic::spec::PRIVATE) as u16);
                ctx.set_line(line, true);
                ctx.set_line(line, false);
            }
        });
    }

    fn reset(&mut self) {}
}
