//! The physical address map of a PC.
//!
//! RAM lies below the PCI hole and from 4 GiB on, firmware at the top of 4 GiB. From C0000H to
//! FFFFFH the host bridge's PAM registers choose, in thirteen areas, between RAM and what lies on
//! the bus: the last 128 KiB of the firmware at E0000H, nothing below. The A20 gate, when
//! closed, shows the first MiB again in the second: the one wrap that software knows of (the
//! other odd MiBs are left alone).

use super::Pc;
use crate::devices::pci::chipset;
use crate::machine::loader::LOW_RAM_MAX;
use dejavm_interp::mem::{Memory, MemoryError, PhysAddr, Region};

/// First byte of the legacy video window.
const VIDEO: u64 = 0xa_0000;
/// First byte of the areas that the host bridge shows as RAM or not.
const SHADOW: u64 = 0xc_0000;
/// First byte of the firmware's mirror.
const MIRROR: u64 = 0xe_0000;
/// First byte of the last of those areas, which is larger.
const BIOS: u64 = 0xf_0000;
/// Bytes of the other areas.
const AREA: u64 = 0x4000;
/// First byte of extended memory.
const HIGH: u64 = 0x10_0000;
const FOUR_GIB: u64 = 1 << 32;
/// The largest firmware image.
pub const BIOS_MAX: u64 = 16 << 20;

/// Memory for a PC with `ram` bytes of RAM and firmware of `bios` bytes, mapped as at power-on.
/// RAM lies at the beginning of the host mapping, the firmware behind it.
///
/// # Errors
/// [`MemoryError`] when the host cannot provide it, or the sizes do not fit: less than 1 MiB of
/// RAM and no whole pages, firmware of more than [`BIOS_MAX`].
pub fn memory(ram: u64, bios: u64) -> Result<Memory, MemoryError> {
    if ram <= HIGH {
        return Err(MemoryError::Region { start: 0, len: ram });
    }
    if bios > BIOS_MAX {
        return Err(MemoryError::Region { start: FOUR_GIB - BIOS_MAX, len: bios });
    }
    let mut mem = Memory::new(ram + bios)?;
    let pam = chipset::pam(&chipset::i440fx(bios == 0));
    mem.set_regions(regions(ram, bios, pam, true))?;
    Ok(mem)
}

/// What an area from C0000H shows to reads, and whether stores reach it too.
fn area(ram: u64, bios: u64, start: u64, pam: u8) -> Option<(u64, bool)> {
    if pam & chipset::spec::PAM_READ != 0 {
        return Some((start, pam & chipset::spec::PAM_WRITE != 0));
    }
    // Stores that go to RAM while reads do not take the bus: see `shadow_write`.
    let from_top = HIGH - start;
    (start >= MIRROR && from_top <= bios).then(|| (ram + bios - from_top, false))
}

/// The map for a state of the PAM registers and the A20 gate.
fn regions(ram: u64, bios: u64, pam: [u8; 13], a20: bool) -> Vec<Region> {
    let low = ram.min(LOW_RAM_MAX);
    let mut first_mib = vec![Region { start: 0, len: VIDEO, offset: 0, writable: true }];
    for (i, pam) in pam.into_iter().enumerate() {
        let start = SHADOW + AREA * i as u64;
        let len = if start == BIOS { HIGH - BIOS } else { AREA };
        if let Some((offset, writable)) = area(ram, bios, start, pam) {
            match first_mib.last_mut() {
                // Fewer regions are found faster.
                Some(r)
                    if r.start + r.len == start && r.offset + r.len == offset && r.writable == writable =>
                {
                    r.len += len;
                }
                _ => first_mib.push(Region { start, len, offset, writable }),
            }
        }
    }
    let mut regions = first_mib.clone();
    if a20 {
        regions.push(Region { start: HIGH, len: low - HIGH, offset: HIGH, writable: true });
    } else {
        let reachable = low.min(2 * HIGH);
        for mut r in first_mib {
            r.start += HIGH;
            r.len = r.len.min(reachable.saturating_sub(r.start));
            if r.len > 0 {
                regions.push(r);
            }
        }
        if low > 2 * HIGH {
            let len = low - 2 * HIGH;
            regions.push(Region { start: 2 * HIGH, len, offset: 2 * HIGH, writable: true });
        }
    }
    if ram > low {
        regions.push(Region { start: FOUR_GIB, len: ram - low, offset: low, writable: true });
    }
    if bios > 0 {
        regions.push(Region { start: FOUR_GIB - bios, len: bios, offset: ram, writable: false });
    }
    // The largest region first would be found fastest, but the map is sorted by address.
    regions
}

/// True where the PAM registers and the A20 gate choose what is shown.
pub(super) fn remaps(addr: PhysAddr) -> bool {
    (SHADOW..2 * HIGH).contains(&addr)
}

impl Pc {
    /// Puts the memory map in force that the board's registers ask for. Needed after a state was
    /// restored; the board itself does it when they change.
    pub fn map(&self, mem: &mut Memory) {
        let d = &self.devices;
        let map = regions(self.config.memory, self.config.bios, chipset::pam(&d.host_bridge), d.a20());
        let fits = mem.set_regions(map);
        debug_assert!(fits.is_ok(), "the map was set once");
    }
}

/// A store to an area whose reads show the bus and whose stores reach RAM.
pub(super) fn shadow_write(mem: &mut Memory, pam: [u8; 13], addr: PhysAddr, size: u8, value: u64) -> bool {
    if !(SHADOW..HIGH).contains(&addr) {
        return false;
    }
    let i = ((addr - SHADOW) / AREA).min(12) as usize;
    if pam[i] & (chipset::spec::PAM_READ | chipset::spec::PAM_WRITE) != chipset::spec::PAM_WRITE {
        return false;
    }
    let n = usize::from(size.min(8));
    mem.barrier(addr, n as u32);
    let at = addr as usize;
    if let Some(bytes) = mem.bytes_mut().get_mut(at..at + n) {
        bytes.copy_from_slice(&value.to_le_bytes()[..n]);
    }
    true
}
