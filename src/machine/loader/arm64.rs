//! The arm64 boot protocol (Documentation/arch/arm64/booting.rst): `Image`, compressed by gzip or as an
//! EFI zboot file or not at all; an ELF for bare-metal guests; firmware in flash.

use super::{Boot, Image, LoadError, elf, u32_at, u64_at};
use std::io::Read;

/// Offsets and bits of an Image's header.
mod hdr {
    pub const TEXT_OFFSET: usize = 8;
    pub const IMAGE_SIZE: usize = 16;
    pub const FLAGS: usize = 24;
    pub const MAGIC: usize = 56;
    pub const SIZE: usize = 64;
    pub const MAGIC_VALUE: u32 = 0x644d_5241;
    pub const BIG_ENDIAN: u64 = 1;
}

/// Offsets in the header of an EFI zboot file (drivers/firmware/efi/libstub/zboot-header.S).
mod zboot {
    pub const MAGIC: usize = 4;
    pub const OFFSET: usize = 8;
    pub const LENGTH: usize = 12;
    pub const TYPE: usize = 24;
}

const GZIP: [u8; 2] = [0x1f, 0x8b];
/// Where kernels before 3.17 want to be, which do not say so.
const OLD_TEXT_OFFSET: u64 = 0x8_0000;
/// What Images are aligned to.
const ALIGN: u64 = 2 << 20;
/// The initial RAM disk lies so far behind the beginning of RAM, or at half of it.
const INITRD: u64 = 128 << 20;
/// Space for the device tree.
pub const DTB_MAX: u64 = 2 << 20;
/// The longest command line that kernels take.
const COMMAND_LINE_MAX: usize = 2047;
const PAGE: u64 = 0x1000;

/// What the loader made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// Physical addresses and bytes to load at power-on.
    pub images: Vec<(u64, Vec<u8>)>,
    /// Where the first CPU starts.
    pub entry: u64,
    /// Where the device tree goes.
    pub dtb: u64,
    /// What X0 is at the start: the device tree's address for a kernel.
    pub x0: u64,
    /// Where the initial RAM disk lies, and its bytes.
    pub initrd: Option<(u64, u64)>,
}

/// Loads `boot` into `memory` bytes of RAM that begin at `base`. Firmware goes to `flash`, of
/// `flash_size` bytes.
///
/// # Errors
/// [`LoadError`], naming the file.
pub fn load(boot: &Boot, base: u64, memory: u64, flash: u64, flash_size: u64) -> Result<Loaded, LoadError> {
    if boot.append.len() > COMMAND_LINE_MAX {
        return Err(LoadError::CommandLine { len: boot.append.len(), max: COMMAND_LINE_MAX });
    }
    if let Some(bios) = &boot.bios {
        return firmware(boot, bios, base, flash, flash_size);
    }
    let kernel = boot.kernel.as_ref().ok_or(LoadError::Nothing)?;
    if kernel.bytes.starts_with(b"\x7fELF") {
        return bare_metal(boot, kernel, base, memory);
    }
    let unpacked = unpack(kernel, memory)?;
    let bytes = unpacked.as_deref().unwrap_or(&kernel.bytes);
    let (offset, size) = header(kernel, bytes)?;
    // A kernel at the very beginning would leave no space for who loads it; kernels are used to that.
    let offset = if offset < PAGE { offset + ALIGN } else { offset };
    let no_room = |what: String| LoadError::NoRoom { name: kernel.name.clone(), what, memory: memory >> 20 };
    let end = offset.checked_add(size).filter(|&end| end <= memory);
    let end = end.ok_or_else(|| no_room(format!("it needs {} MiB from {:#x}", size >> 20, base + offset)))?;
    let mut images = vec![(base + offset, bytes.to_vec())];
    let mut top = INITRD.min(memory / 2).max(end).next_multiple_of(PAGE);
    let mut initrd = None;
    match boot.initrd.as_slice() {
        [] => {}
        [(image, _)] => {
            let len = image.bytes.len() as u64;
            if top + len > memory {
                return Err(LoadError::NoRoom {
                    name: image.name.clone(),
                    what: format!("{len} bytes from {:#x}", base + top),
                    memory: memory >> 20,
                });
            }
            initrd = Some((base + top, len));
            images.push((base + top, image.bytes.clone()));
            top += len;
        }
        _ => {
            return Err(LoadError::Unusable {
                name: kernel.name.clone(),
                what: "a Linux kernel takes one --initrd".into(),
            });
        }
    }
    let dtb = top.next_multiple_of(ALIGN);
    if dtb + DTB_MAX > memory {
        return Err(no_room(format!("the device tree behind everything else, at {:#x}", base + dtb)));
    }
    let dtb = base + dtb;
    Ok(Loaded { images, entry: base + offset, dtb, x0: dtb, initrd })
}

/// Where an Image wants to lie behind a 2 MiB boundary, and the bytes that it needs there.
fn header(kernel: &Image, bytes: &[u8]) -> Result<(u64, u64), LoadError> {
    if bytes.len() < hdr::SIZE || u32_at(bytes, hdr::MAGIC) != hdr::MAGIC_VALUE {
        return Err(LoadError::Format(kernel.name.clone()));
    }
    let unusable = |what: String| LoadError::Unusable { name: kernel.name.clone(), what };
    if u64_at(bytes, hdr::FLAGS) & hdr::BIG_ENDIAN != 0 {
        return Err(unusable("a big-endian kernel".into()));
    }
    let len = bytes.len() as u64;
    match u64_at(bytes, hdr::IMAGE_SIZE) {
        0 => Ok((OLD_TEXT_OFFSET, len)),
        size => {
            let offset = u64_at(bytes, hdr::TEXT_OFFSET);
            if offset >= ALIGN {
                return Err(unusable(format!("its text offset {offset:#x} is not below 2 MiB")));
            }
            Ok((offset, size.max(len)))
        }
    }
}

/// The kernel inside a compressed file; `None` when it is not compressed.
fn unpack(kernel: &Image, memory: u64) -> Result<Option<Vec<u8>>, LoadError> {
    let bytes = kernel.bytes.as_slice();
    if bytes.starts_with(&GZIP) {
        return gunzip(kernel, bytes, memory).map(Some);
    }
    if bytes.get(zboot::MAGIC..zboot::MAGIC + 4) != Some(b"zimg") {
        return Ok(None);
    }
    let (offset, len) = (u32_at(bytes, zboot::OFFSET) as usize, u32_at(bytes, zboot::LENGTH) as usize);
    let payload = offset.checked_add(len).and_then(|end| bytes.get(offset..end));
    let payload = payload.ok_or_else(|| LoadError::Truncated {
        name: kernel.name.clone(),
        what: format!("a compressed kernel of {len} bytes at {offset:#x}"),
    })?;
    match bytes.get(zboot::TYPE..zboot::TYPE + 5) {
        Some(b"gzip\0") => gunzip(kernel, payload, memory).map(Some),
        other => Err(LoadError::Unusable {
            name: kernel.name.clone(),
            what: format!(
                "a kernel compressed by '{}': only gzip is known",
                String::from_utf8_lossy(other.unwrap_or_default()).trim_end_matches('\0')
            ),
        }),
    }
}

fn gunzip(kernel: &Image, packed: &[u8], memory: u64) -> Result<Vec<u8>, LoadError> {
    let mut bytes = Vec::new();
    let mut reader = flate2::read::GzDecoder::new(packed).take(memory + 1);
    reader.read_to_end(&mut bytes).map_err(|e| LoadError::Unusable {
        name: kernel.name.clone(),
        what: format!("damaged gzip data: {e}"),
    })?;
    if bytes.len() as u64 > memory {
        return Err(LoadError::NoRoom {
            name: kernel.name.clone(),
            what: "unpacked it is larger".into(),
            memory: memory >> 20,
        });
    }
    Ok(bytes)
}

/// An ELF: loaded where its segments say and started at its entry; the device tree lies at the
/// beginning of RAM, unless the program does.
fn bare_metal(boot: &Boot, kernel: &Image, base: u64, memory: u64) -> Result<Loaded, LoadError> {
    /// AArch64, in the header's e_machine.
    const EM_AARCH64: u16 = 183;
    let unusable = |what: &str| LoadError::Unusable { name: kernel.name.clone(), what: what.into() };
    if super::u16_at(&kernel.bytes, 18) != EM_AARCH64 {
        return Err(unusable("an ELF for another architecture than AArch64"));
    }
    if !boot.initrd.is_empty() {
        return Err(unusable("an ELF takes no --initrd and no --module"));
    }
    let program = elf::program(kernel, Some(base + memory))?;
    let images: Vec<(u64, Vec<u8>)> = program.segments.into_iter().map(|s| (s.addr, s.bytes)).collect();
    if images.iter().any(|(addr, _)| *addr < base) {
        return Err(unusable("a segment lies below RAM"));
    }
    // Behind the program where it lies in the way.
    let top = images.iter().map(|(addr, bytes)| addr + bytes.len() as u64).max().unwrap_or(base);
    let low = images.iter().map(|(addr, _)| *addr).min().unwrap_or(u64::MAX);
    let dtb = if low >= base + DTB_MAX { base } else { top.next_multiple_of(ALIGN) };
    if dtb + DTB_MAX > base + memory {
        return Err(LoadError::NoRoom {
            name: kernel.name.clone(),
            what: "the device tree".into(),
            memory: memory >> 20,
        });
    }
    Ok(Loaded { images, entry: program.entry, dtb, x0: dtb, initrd: None })
}

/// Firmware begins at the reset vector, which is where the flash begins; it looks for the device tree
/// at the beginning of RAM.
fn firmware(boot: &Boot, bios: &Image, base: u64, flash: u64, size: u64) -> Result<Loaded, LoadError> {
    let len = bios.bytes.len() as u64;
    if len == 0 || len > size {
        return Err(LoadError::Unusable {
            name: bios.name.clone(),
            what: format!("firmware of {len} bytes: the flash takes 1 to {size}"),
        });
    }
    if let Some(kernel) = &boot.kernel {
        return Err(LoadError::Unusable {
            name: kernel.name.clone(),
            what: "--kernel and --bios together are not possible on this board".into(),
        });
    }
    let images = vec![(flash, bios.bytes.clone())];
    Ok(Loaded { images, entry: flash, dtb: base, x0: 0, initrd: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const BASE: u64 = 1 << 30;

    fn load(boot: &Boot, memory: u64) -> Result<Loaded, LoadError> {
        super::load(boot, BASE, memory, 0, 1 << 26)
    }

    fn kernel(text_offset: u64, image_size: u64) -> Vec<u8> {
        let mut b = vec![0x5a; 5000];
        b[8..16].copy_from_slice(&text_offset.to_le_bytes());
        b[16..24].copy_from_slice(&image_size.to_le_bytes());
        b[24..32].copy_from_slice(&0xau64.to_le_bytes());
        b[56..60].copy_from_slice(b"ARMd");
        b
    }

    fn boot(kernel: Vec<u8>) -> Boot {
        Boot { kernel: Some(Image { name: "k".into(), bytes: kernel }), ..Boot::default() }
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut e = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        e.write_all(bytes).expect("into memory");
        e.finish().expect("into memory")
    }

    #[test]
    fn an_image_with_a_ram_disk() {
        let mut b = boot(kernel(0, 0x10_0000));
        b.initrd = vec![(Image { name: "i".into(), bytes: vec![1; 5000] }, String::new())];
        let l = load(&b, 512 << 20).expect("it fits");
        assert_eq!((l.entry, l.x0), (BASE + (2 << 20), l.dtb));
        assert_eq!(l.initrd, Some((BASE + (128 << 20), 5000)));
        assert_eq!(l.dtb, BASE + (130 << 20));
        // In little memory everything is closer together, and too little is told.
        let l = load(&b, 16 << 20).expect("it fits");
        assert_eq!((l.initrd, l.dtb), (Some((BASE + (8 << 20), 5000)), BASE + (10 << 20)));
        assert!(matches!(load(&b, 3 << 20), Err(LoadError::NoRoom { .. })));
    }

    #[test]
    fn text_offsets() {
        let entry = |k| load(&boot(k), 64 << 20).map(|l| l.entry - BASE);
        assert_eq!(entry(kernel(0x8_0000, 0x1000)), Ok(0x8_0000));
        assert_eq!(entry(kernel(0x1234, 0)), Ok(0x8_0000), "an old kernel");
        assert!(entry(kernel(2 << 20, 0x1000)).is_err());
        assert!(entry(kernel(0, u64::MAX)).is_err());
        let mut big = kernel(0, 0x1000);
        big[24] |= 1;
        assert!(entry(big).is_err());
        assert_eq!(entry(vec![0; 100]), Err(LoadError::Format("k".into())));
    }

    #[test]
    fn compressed_kernels() {
        let plain = kernel(0, 0x1000);
        let packed = gzip(&plain);
        let whole = load(&boot(plain.clone()), 64 << 20);
        assert_eq!(load(&boot(packed.clone()), 64 << 20), whole);
        let mut z = vec![0; 64];
        z[..8].copy_from_slice(b"MZ\0\0zimg");
        z[8..12].copy_from_slice(&64u32.to_le_bytes());
        z[12..16].copy_from_slice(&(packed.len() as u32).to_le_bytes());
        z[24..28].copy_from_slice(b"gzip");
        z.extend(&packed);
        assert_eq!(load(&boot(z.clone()), 64 << 20), whole);
        z.truncate(70);
        assert!(matches!(load(&boot(z), 64 << 20), Err(LoadError::Truncated { .. })));
        let mut damaged = packed;
        damaged.truncate(20);
        assert!(load(&boot(damaged), 64 << 20).is_err());
        // A file that unpacks to more than the memory costs no more than that.
        assert!(matches!(load(&boot(gzip(&vec![0; 8 << 20])), 4 << 20), Err(LoadError::NoRoom { .. })));
    }

    #[test]
    fn firmware_and_kernel() {
        let bios = Some(Image { name: "b".into(), bytes: vec![1; 100] });
        let l = load(&Boot { bios: bios.clone(), ..Boot::default() }, 64 << 20).expect("it fits");
        assert_eq!((l.entry, l.x0, l.dtb), (0, 0, BASE));
        assert!(load(&Boot { bios, ..boot(kernel(0, 1)) }, 64 << 20).is_err());
        assert_eq!(load(&Boot::default(), 64 << 20), Err(LoadError::Nothing));
    }
}
