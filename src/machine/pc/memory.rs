//! The physical address map of a PC.

use super::Pc;
use crate::machine::loader::LOW_RAM_MAX;
use dejavm_interp::mem::{Memory, MemoryError, Region};

/// First byte of the legacy video window.
const VIDEO: u64 = 0xa_0000;
/// First byte of the option ROMs, which the 440FX shows as RAM or not, in parts.
const SHADOW: u64 = 0xc_0000;
/// First byte of extended memory.
const HIGH: u64 = 0x10_0000;

/// Memory for a PC with `ram` bytes of RAM and firmware of `bios` bytes.
///
/// # Errors
/// [`MemoryError`] when the host cannot provide it.
pub fn memory(ram: u64, bios: u64) -> Result<Memory, MemoryError> {
    let mut mem = Memory::new(ram + bios)?;
    mem.set_regions(regions(ram, bios))?;
    Ok(mem)
}

/// RAM in front of the PCI hole and above 4 GiB; the area that firmware shadows; the firmware at 4 GiB.
fn regions(ram: u64, bios: u64) -> Vec<Region> {
    let low = ram.min(LOW_RAM_MAX);
    let mut regions = vec![
        Region { start: 0, len: VIDEO, offset: 0, writable: true },
        Region { start: SHADOW, len: HIGH - SHADOW, offset: SHADOW, writable: true },
        Region { start: HIGH, len: low - HIGH, offset: HIGH, writable: true },
    ];
    if ram > low {
        regions.push(Region { start: 1 << 32, len: ram - low, offset: low, writable: true });
    }
    if bios > 0 {
        regions.push(Region { start: (1 << 32) - bios, len: bios, offset: ram, writable: false });
        // Below 1 MiB the firmware's end shows until it shadows itself.
        let shown = bios.min(0x2_0000);
        regions[1].len = HIGH - shown - SHADOW;
        regions.push(Region { start: HIGH - shown, len: shown, offset: ram + bios - shown, writable: false });
    }
    regions
}

impl Pc {
    /// Puts the memory map in force that the board's registers ask for.
    pub(super) fn map(&self, mem: &mut Memory) {
        let fits = mem.set_regions(regions(self.config.memory, self.config.bios));
        debug_assert!(fits.is_ok(), "the map was set once");
    }
}
