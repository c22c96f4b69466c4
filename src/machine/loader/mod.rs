//! Putting what the user wants to boot into memory, as a boot loader would.
//!
//! On a PC four ways: the Linux boot protocol (bzImage), multiboot 1 and PVH (ELF), and raw firmware at
//! the reset vector. Each gives the bytes to load and the state in which the bootstrap CPU starts.
//! [`arm64`] is the same for 64-bit ARM boards.

pub mod acpi;
pub mod arm64;
mod elf;
mod linux;
mod multiboot;
mod pvh;
pub mod start;

pub use start::Start;

/// First byte above the memory that the tables at the top of low RAM and the loaders use: below
/// the PCI hole.
pub const LOW_RAM_MAX: u64 = 0xc000_0000;
/// Bytes at the top of low RAM that hold the ACPI tables.
pub const ACPI_BYTES: u64 = 0x1_0000;
/// The extended BIOS data area: the RSDP lies here, no RAM for the guest from here to 640 KiB.
const EBDA: u64 = 0x9_fc00;

/// A file that the guest is booted from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Its name, for messages.
    pub name: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// What to boot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Boot {
    /// A kernel: bzImage, or an ELF with a multiboot header or a PVH note.
    pub kernel: Option<Image>,
    /// The initial RAM disk; for multiboot kernels the modules, separated as the user gave them.
    pub initrd: Vec<(Image, String)>,
    /// The kernel's command line.
    pub append: String,
    /// Firmware that ends at 4 GiB.
    pub bios: Option<Image>,
}

/// What a loader made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// Physical addresses and bytes to load at power-on.
    pub images: Vec<(u64, Vec<u8>)>,
    /// How the bootstrap CPU starts.
    pub start: Start,
}

/// What the user gave cannot be booted. Each names the file and what is wrong with it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LoadError {
    /// Neither a kernel nor firmware was given.
    #[error("nothing to boot: give --kernel FILE or --bios FILE")]
    Nothing,
    /// The kernel's format is not known.
    #[error(
        "{0}: not a kernel that can be booted (x86: a bzImage, or an ELF with a multiboot header or a PVH note; AArch64: an Image, Image.gz or ELF)"
    )]
    Format(String),
    /// The file ends before what its header promises.
    #[error("{name}: truncated: {what}")]
    Truncated {
        /// The file.
        name: String,
        /// What is missing.
        what: String,
    },
    /// The file asks for something that is not possible.
    #[error("{name}: {what}")]
    Unusable {
        /// The file.
        name: String,
        /// What is wrong.
        what: String,
    },
    /// The file does not fit into the guest's memory.
    #[error("{name}: does not fit into the guest's memory of {memory} MiB ({what}); give more with --memory")]
    NoRoom {
        /// The file.
        name: String,
        /// What was tried.
        what: String,
        /// The guest's memory in MiB.
        memory: u64,
    },
    /// The command line is longer than the kernel takes.
    #[error("--append: {len} bytes, but the kernel takes {max}")]
    CommandLine {
        /// Bytes given.
        len: usize,
        /// Bytes possible.
        max: usize,
    },
}

/// One run of the E820 memory map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct E820 {
    /// First byte.
    pub start: u64,
    /// Bytes.
    pub len: u64,
    /// 1 RAM, 2 reserved, 3 ACPI tables.
    pub kind: u32,
}

/// The memory map that a PC's firmware would report for `memory` bytes of RAM.
pub fn e820(memory: u64) -> Vec<E820> {
    let low = memory.min(LOW_RAM_MAX);
    let mut map = vec![
        E820 { start: 0, len: EBDA, kind: 1 },
        E820 { start: EBDA, len: 0xa_0000 - EBDA, kind: 2 },
        E820 { start: 0xf_0000, len: 0x1_0000, kind: 2 },
        E820 { start: 0x10_0000, len: low - ACPI_BYTES - 0x10_0000, kind: 1 },
        E820 { start: low - ACPI_BYTES, len: ACPI_BYTES, kind: 3 },
        E820 { start: 0xfeff_c000, len: 0x4000, kind: 2 },
        E820 { start: 0xfffc_0000, len: 0x4_0000, kind: 2 },
    ];
    if memory > LOW_RAM_MAX {
        map.push(E820 { start: 1 << 32, len: memory - LOW_RAM_MAX, kind: 1 });
    }
    map
}

/// The least memory that a machine can have, in bytes.
pub const MIN_MEMORY: u64 = 2 << 20;

/// Loads `boot` for a PC of `memory` bytes and `cpus` CPUs; `long_mode` tells whether the CPU has
/// it.
///
/// # Errors
/// [`LoadError`], naming the file.
pub fn load(boot: &Boot, memory: u64, cpus: usize, long_mode: bool) -> Result<Loaded, LoadError> {
    if let Some(bios) = &boot.bios {
        return firmware(bios);
    }
    let kernel = boot.kernel.as_ref().ok_or(LoadError::Nothing)?;
    if memory < MIN_MEMORY {
        return Err(LoadError::NoRoom {
            name: kernel.name.clone(),
            what: "a PC needs 2 MiB at least".into(),
            memory: memory >> 20,
        });
    }
    let mut loaded = if linux::is_bzimage(&kernel.bytes) {
        linux::load(boot, kernel, memory, long_mode)?
    } else if multiboot::has_header(&kernel.bytes) {
        multiboot::load(boot, kernel, memory)?
    } else if pvh::has_note(&kernel.bytes) {
        pvh::load(boot, kernel, memory)?
    } else {
        return Err(LoadError::Format(kernel.name.clone()));
    };
    loaded.images.extend(acpi::tables(memory.min(LOW_RAM_MAX), cpus));
    Ok(loaded)
}

/// Raw firmware: its last byte lies at 4 GiB - 1; the board shows its end below 1 MiB too.
fn firmware(bios: &Image) -> Result<Loaded, LoadError> {
    let len = bios.bytes.len() as u64;
    if len == 0 || !len.is_multiple_of(0x1000) || len > 16 << 20 {
        return Err(LoadError::Unusable {
            name: bios.name.clone(),
            what: format!("firmware of {len} bytes: must be a multiple of 4 KiB up to 16 MiB"),
        });
    }
    Ok(Loaded { images: vec![((1 << 32) - len, bios.bytes.clone())], start: Start::Reset })
}

/// A little-endian field of a header.
fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    field(bytes, at).map_or(0, u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    field(bytes, at).map_or(0, u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    field(bytes, at).map_or(0, u64::from_le_bytes)
}

/// The highest page-aligned address for `len` bytes below `top`, and not below `bottom`.
fn place_high(name: &str, len: u64, bottom: u64, top: u64, memory: u64) -> Result<u64, LoadError> {
    top.checked_sub(len).map(|a| a & !0xfff).filter(|a| *a >= bottom).ok_or_else(|| LoadError::NoRoom {
        name: name.to_owned(),
        what: format!("{len} bytes between {bottom:#x} and {top:#x}"),
        memory: memory >> 20,
    })
}

#[cfg(test)]
mod tests;
