//! PVH: an ELF with a Xen note that names a 32-bit entry point (Xen's x86/HVM direct boot ABI).

use super::start::{GDT, Start, gdt};
use super::{ACPI_BYTES, Boot, Image, LOW_RAM_MAX, LoadError, Loaded, acpi, e820, elf, place_high};

/// Where `hvm_start_info` and what it points to go.
const INFO: u64 = 0x1_0000;
const COMMAND_LINE: u64 = 0x2_0000;
const COMMAND_LINE_MAX: usize = 0xffff;
const MAGIC: u32 = 0x336e_c578;

/// True when the file is an ELF with a PVH note.
pub fn has_note(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x7fELF")
        && elf::program(&Image { name: String::new(), bytes: bytes.to_vec() }, None)
            .is_ok_and(|p| p.pvh_entry.is_some())
}

/// Loads a PVH kernel.
pub fn load(boot: &Boot, kernel: &Image, memory: u64) -> Result<Loaded, LoadError> {
    if boot.append.len() > COMMAND_LINE_MAX {
        return Err(LoadError::CommandLine { len: boot.append.len(), max: COMMAND_LINE_MAX });
    }
    let low = memory.min(LOW_RAM_MAX) - ACPI_BYTES;
    let program = elf::program(kernel, Some(low))?;
    let entry = program.pvh_entry.ok_or_else(|| LoadError::Format(kernel.name.clone()))?;
    let mut images: Vec<(u64, Vec<u8>)> = program.segments.into_iter().map(|s| (s.addr, s.bytes)).collect();
    let top = images.iter().map(|(a, b)| a + b.len() as u64).max().unwrap_or(0).max(0x10_0000);

    let mut modules = Vec::new();
    let mut limit = low;
    for (image, _) in &boot.initrd {
        let len = image.bytes.len() as u64;
        let at = place_high(&image.name, len, top, limit, memory)?;
        for v in [at, len, 0, 0] {
            modules.extend(v.to_le_bytes());
        }
        images.push((at, image.bytes.clone()));
        limit = at;
    }
    let mut map = Vec::new();
    for e in e820(memory) {
        map.extend(e.start.to_le_bytes());
        map.extend(e.len.to_le_bytes());
        map.extend(e.kind.to_le_bytes());
        map.extend(0u32.to_le_bytes());
    }
    let modules_at = INFO + 64;
    let map_at = modules_at + modules.len() as u64;
    let mut info = Vec::new();
    for v in [MAGIC, 1, 0, boot.initrd.len() as u32] {
        info.extend(v.to_le_bytes());
    }
    for v in [if boot.initrd.is_empty() { 0 } else { modules_at }, COMMAND_LINE, acpi::RSDP, map_at] {
        info.extend(v.to_le_bytes());
    }
    info.extend((map.len() as u32 / 24).to_le_bytes());
    info.resize(64, 0);
    info.extend(modules);
    info.extend(map);
    let mut line = boot.append.clone().into_bytes();
    line.push(0);
    images.extend([(INFO, info), (COMMAND_LINE, line), (GDT, gdt(false))]);
    let start = Start::Protected { entry, eax: 0, ebx: INFO as u32, esi: 0, selectors: (0x10, 0x18) };
    Ok(Loaded { images, start })
}
