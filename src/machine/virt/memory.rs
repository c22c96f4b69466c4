//! The physical address map: flash from 0 on, RAM from 1 GiB on. In the host mapping RAM comes first.

use super::Virt;
use super::lines::{FLASH, RAM, RAM_MAX, within};
use dejavm_interp::mem::{Memory, MemoryError, PhysAddr, Region};

/// Memory for a board with `ram` bytes of RAM, mapped as at power-on. Untouched flash is zero.
///
/// # Errors
/// [`MemoryError`] when the host cannot provide it, or the size is none that the board can have.
pub fn memory(ram: u64) -> Result<Memory, MemoryError> {
    if ram > RAM_MAX {
        return Err(MemoryError::Region { start: RAM, len: ram });
    }
    let mut mem = Memory::new(ram + FLASH.iter().map(|f| f.1).sum::<u64>())?;
    mem.set_regions(regions(ram, [true; 2]))?;
    Ok(mem)
}

/// Where a flash lies in the host mapping.
pub(super) fn flash_offset(ram: u64, n: usize) -> u64 {
    ram + FLASH[..n].iter().map(|f| f.1).sum::<u64>()
}

/// The map, with the flashes that show their arrays.
fn regions(ram: u64, shown: [bool; 2]) -> Vec<Region> {
    let mut regions = vec![Region { start: RAM, len: ram, offset: 0, writable: true }];
    for (i, (start, len)) in FLASH.into_iter().enumerate() {
        if shown[i] {
            regions.push(Region { start, len, offset: flash_offset(ram, i), writable: false });
        }
    }
    regions
}

/// True where the flashes choose what is shown.
pub(super) fn remaps(addr: PhysAddr) -> bool {
    FLASH.iter().any(|&f| within(f, addr).is_some())
}

impl Virt {
    /// Puts the memory map in force that the flashes ask for.
    pub(super) fn map(&self, mem: &mut Memory) {
        let shown = self.devices.flashes.each_ref().map(crate::devices::flash::Flash::array);
        let fits = mem.set_regions(regions(self.config.memory, shown));
        debug_assert!(fits.is_ok(), "the map was set once");
    }
}
