//! Multiboot 1 (Multiboot Specification version 0.6.96), with modules and command line.

use super::start::{GDT, Start, gdt};
use super::{ACPI_BYTES, Boot, Image, LOW_RAM_MAX, LoadError, Loaded, e820, elf, u32_at};

const HEADER_MAGIC: u32 = 0x1bad_b002;
const BOOT_MAGIC: u32 = 0x2bad_b002;
/// Where the information structure, its tables and strings go: one page and what follows.
const INFO: u64 = 0x1_0000;
/// Bytes for it.
const INFO_MAX: usize = 0x1_0000;

/// Flags in the header: what the kernel wants.
mod want {
    pub const PAGE_ALIGN: u32 = 1 << 0;
    pub const MEMORY: u32 = 1 << 1;
    pub const VIDEO: u32 = 1 << 2;
    pub const ADDRESSES: u32 = 1 << 16;
    /// Bits 15:0 that are not known must not be set.
    pub const KNOWN: u32 = PAGE_ALIGN | MEMORY | VIDEO;
}

fn header(bytes: &[u8]) -> Option<usize> {
    let end = bytes.len().min(8192);
    (0..end.saturating_sub(11)).step_by(4).find(|&i| {
        let sum = u32_at(bytes, i).wrapping_add(u32_at(bytes, i + 4)).wrapping_add(u32_at(bytes, i + 8));
        u32_at(bytes, i) == HEADER_MAGIC && sum == 0
    })
}

/// True when the file has a multiboot header.
pub fn has_header(bytes: &[u8]) -> bool {
    header(bytes).is_some()
}

/// Loads a multiboot kernel.
pub fn load(boot: &Boot, kernel: &Image, memory: u64) -> Result<Loaded, LoadError> {
    let bytes = &kernel.bytes;
    let at = header(bytes).ok_or_else(|| LoadError::Format(kernel.name.clone()))?;
    let flags = u32_at(bytes, at + 4);
    let unusable = |what: String| LoadError::Unusable { name: kernel.name.clone(), what };
    if flags & 0xffff & !want::KNOWN != 0 {
        return Err(unusable(format!("multiboot flags {flags:#x} ask for something unknown")));
    }
    let low = memory.min(LOW_RAM_MAX) - ACPI_BYTES;
    let mut images: Vec<(u64, Vec<u8>)> = Vec::new();
    let entry = if flags & want::ADDRESSES != 0 {
        // The a.out kludge: addresses in the header.
        let [header_addr, load, load_end, bss_end, entry] =
            [12, 16, 20, 24, 28].map(|o| u32_at(bytes, at + o));
        let start = (at as u64 + u64::from(load)).checked_sub(header_addr.into());
        let start =
            start.ok_or_else(|| unusable("multiboot addresses lie outside the file".into()))? as usize;
        let rest = bytes.get(start..).unwrap_or(&[]);
        let len = if load_end == 0 { rest.len() } else { load_end.wrapping_sub(load) as usize };
        let data = rest.get(..len).ok_or_else(|| LoadError::Truncated {
            name: kernel.name.clone(),
            what: format!("{len} bytes promised by its multiboot header"),
        })?;
        let mut segment = data.to_vec();
        let end = u64::from(bss_end).max(u64::from(load) + len as u64);
        if end > low {
            return Err(LoadError::NoRoom {
                name: kernel.name.clone(),
                what: format!("it ends at {end:#x}"),
                memory: memory >> 20,
            });
        }
        segment.resize((end - u64::from(load)) as usize, 0);
        images.push((load.into(), segment));
        entry
    } else {
        let program = elf::program(kernel, Some(low))?;
        images.extend(program.segments.into_iter().map(|s| (s.addr, s.bytes)));
        program.entry as u32
    };

    let mut top = images.iter().map(|(a, b)| a + b.len() as u64).max().unwrap_or(0).max(0x10_0000);
    let mut info = vec![0u8; 128];
    let mut tail = Tail { bytes: Vec::new(), base: INFO + info.len() as u64 };
    let command_line = tail.string(&format!("{} {}", kernel.name, boot.append));
    let loader = tail.string("DejaVM");
    let mut modules = Vec::new();
    for (image, line) in &boot.initrd {
        top = top.next_multiple_of(4096);
        let end = top + image.bytes.len() as u64;
        if end > low {
            return Err(LoadError::NoRoom {
                name: image.name.clone(),
                what: format!("{} bytes at {top:#x}", image.bytes.len()),
                memory: memory >> 20,
            });
        }
        let string = tail.string(&format!("{} {line}", image.name));
        modules.extend([top as u32, end as u32, string, 0]);
        images.push((top, image.bytes.clone()));
        top = end;
    }
    tail.align();
    let modules_at = tail.words(&modules);
    let mut map = Vec::new();
    for e in e820(memory) {
        // `size` counts what follows it.
        map.extend([20, e.start as u32, (e.start >> 32) as u32, e.len as u32, (e.len >> 32) as u32, e.kind]);
    }
    let map_at = tail.words(&map);
    if tail.bytes.len() + info.len() > INFO_MAX {
        return Err(LoadError::CommandLine { len: boot.append.len(), max: INFO_MAX / 2 });
    }
    // Flags: memory sizes, command line, modules, memory map, boot loader's name.
    let present = 1 | 1 << 2 | u32::from(!boot.initrd.is_empty()) << 3 | 1 << 6 | 1 << 9;
    for (at, v) in [
        (0, present),
        (4, 639),
        (8, ((low - 0x10_0000) >> 10) as u32),
        (16, command_line),
        (20, boot.initrd.len() as u32),
        (24, modules_at),
        (44, 4 * map.len() as u32),
        (48, map_at),
        (64, loader),
    ] {
        info[at..at + 4].copy_from_slice(&v.to_le_bytes());
    }
    info.extend(tail.bytes);
    images.extend([(INFO, info), (GDT, gdt(false))]);
    let start =
        Start::Protected { entry, eax: BOOT_MAGIC, ebx: INFO as u32, esi: 0, selectors: (0x10, 0x18) };
    Ok(Loaded { images, start })
}

/// Strings and tables behind the information structure.
struct Tail {
    bytes: Vec<u8>,
    base: u64,
}

impl Tail {
    fn here(&self) -> u32 {
        (self.base + self.bytes.len() as u64) as u32
    }

    fn string(&mut self, s: &str) -> u32 {
        let at = self.here();
        self.bytes.extend(s.bytes().filter(|b| *b != 0));
        self.bytes.push(0);
        at
    }

    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn words(&mut self, words: &[u32]) -> u32 {
        let at = self.here();
        self.bytes.extend(words.iter().flat_map(|w| w.to_le_bytes()));
        at
    }
}
