//! The Linux boot protocol (Documentation/arch/x86/boot.rst): bzImage by its 64-bit or 32-bit
//! entry.

use super::start::{GDT, PAGE_TABLES, Start, gdt, identity_tables};
use super::{
    ACPI_BYTES, Boot, E820, Image, LOW_RAM_MAX, LoadError, Loaded, e820, place_high, u16_at, u32_at, u64_at,
};

/// Where the boot parameters ("zero page") go.
const BOOT_PARAMS: u64 = 0x1_0000;
/// Where the command line goes.
const COMMAND_LINE: u64 = 0x2_0000;
/// Longest command line that fits there.
const COMMAND_LINE_MAX: usize = 0x1_0000;

/// Offsets in the setup header, which are those in the boot parameters.
mod hdr {
    pub const SETUP_SECTS: usize = 0x1f1;
    pub const BOOT_FLAG: usize = 0x1fe;
    pub const JUMP: usize = 0x201;
    pub const MAGIC: usize = 0x202;
    pub const VERSION: usize = 0x206;
    pub const TYPE_OF_LOADER: usize = 0x210;
    pub const LOADFLAGS: usize = 0x211;
    pub const CODE32_START: usize = 0x214;
    pub const RAMDISK_IMAGE: usize = 0x218;
    pub const RAMDISK_SIZE: usize = 0x21c;
    pub const HEAP_END_PTR: usize = 0x224;
    pub const CMD_LINE_PTR: usize = 0x228;
    pub const INITRD_ADDR_MAX: usize = 0x22c;
    pub const KERNEL_ALIGNMENT: usize = 0x230;
    pub const RELOCATABLE: usize = 0x234;
    pub const XLOADFLAGS: usize = 0x236;
    pub const CMDLINE_SIZE: usize = 0x238;
    pub const PREF_ADDRESS: usize = 0x258;
    pub const INIT_SIZE: usize = 0x260;
}

/// Offsets in the boot parameters outside the setup header.
mod params {
    pub const ALT_MEM_K: usize = 0x1e0;
    pub const E820_ENTRIES: usize = 0x1e8;
    pub const E820_TABLE: usize = 0x2d0;
    pub const ACPI_RSDP: usize = 0x70;
    pub const EXT_MEM_K: usize = 0x02;
    pub const ORIG_VIDEO_MODE: usize = 0x06;
    pub const ORIG_VIDEO_COLS: usize = 0x07;
    pub const ORIG_VIDEO_LINES: usize = 0x0e;
    pub const ORIG_VIDEO_POINTS: usize = 0x10;
}

const LOADED_HIGH: u8 = 1;
const CAN_USE_HEAP: u8 = 0x80;
const XLF_KERNEL_64: u16 = 1;

/// True for a bzImage or zImage.
pub fn is_bzimage(bytes: &[u8]) -> bool {
    u16_at(bytes, hdr::BOOT_FLAG) == 0xaa55 && bytes.get(hdr::MAGIC..hdr::MAGIC + 4) == Some(b"HdrS")
}

/// Loads a bzImage.
pub fn load(boot: &Boot, kernel: &Image, memory: u64, long_mode: bool) -> Result<Loaded, LoadError> {
    let bytes = &kernel.bytes;
    let name = &kernel.name;
    let version = u16_at(bytes, hdr::VERSION);
    let unusable = |what: &str| LoadError::Unusable { name: name.clone(), what: what.to_owned() };
    if version < 0x202 || bytes.get(hdr::LOADFLAGS).is_none_or(|f| f & LOADED_HIGH == 0) {
        return Err(unusable("a zImage or a kernel before 2.4 (boot protocol below 2.02)"));
    }
    let sectors = match bytes.get(hdr::SETUP_SECTS) {
        Some(0) | None => 4,
        Some(n) => usize::from(*n),
    };
    let setup = (sectors + 1) * 512;
    let Some(code) = bytes.get(setup..).filter(|c| !c.is_empty()) else {
        return Err(LoadError::Truncated {
            name: name.clone(),
            what: format!("{} bytes, but its set-up code alone has {setup}", bytes.len()),
        });
    };
    // syssize counts 16-byte paragraphs of protected-mode code.
    let promised = u64::from(u32_at(bytes, 0x1f4)) * 16;
    if promised > code.len() as u64 + 15 {
        return Err(LoadError::Truncated {
            name: name.clone(),
            what: format!("{} bytes of code, but its header promises {promised}", code.len()),
        });
    }
    let max = match u32_at(bytes, hdr::CMDLINE_SIZE) {
        n if version >= 0x206 && n != 0 => (n as usize).min(COMMAND_LINE_MAX - 1),
        _ => 255,
    };
    if boot.append.len() > max {
        return Err(LoadError::CommandLine { len: boot.append.len(), max });
    }
    if boot.append.contains('\0') {
        return Err(unusable("--append holds a zero byte"));
    }

    let low = memory.min(LOW_RAM_MAX) - ACPI_BYTES;
    let mut address = 0x10_0000;
    let mut span = code.len() as u64;
    if version >= 0x20a {
        let preferred = u64_at(bytes, hdr::PREF_ADDRESS);
        span = span.max(u32_at(bytes, hdr::INIT_SIZE).into());
        if bytes.get(hdr::RELOCATABLE).is_some_and(|r| *r != 0) {
            address = preferred.max(0x10_0000);
            let align = u64::from(u32_at(bytes, hdr::KERNEL_ALIGNMENT)).max(0x1000);
            if address.checked_add(span).is_none_or(|e| e > low) && align.is_power_of_two() {
                address = 0x10_0000_u64.next_multiple_of(align);
            }
        }
    }
    if address.checked_add(span).is_none_or(|end| end > low) {
        return Err(LoadError::NoRoom {
            name: name.clone(),
            what: format!("it needs {} MiB from {address:#x}", span >> 20),
            memory: memory >> 20,
        });
    }

    // The zero page begins with the kernel's own header.
    let mut zero = vec![0u8; 4096];
    let header_end = (hdr::MAGIC + usize::from(bytes[hdr::JUMP])).min(zero.len()).min(bytes.len());
    zero[hdr::SETUP_SECTS..header_end].copy_from_slice(&bytes[hdr::SETUP_SECTS..header_end]);
    let mut put = |at: usize, v: &[u8]| zero[at..at + v.len()].copy_from_slice(v);
    put(hdr::TYPE_OF_LOADER, &[0xff]);
    put(hdr::LOADFLAGS, &[bytes[hdr::LOADFLAGS] | CAN_USE_HEAP]);
    put(hdr::HEAP_END_PTR, &0xfe00u16.to_le_bytes());
    put(hdr::CODE32_START, &(address as u32).to_le_bytes());
    put(hdr::CMD_LINE_PTR, &(COMMAND_LINE as u32).to_le_bytes());
    let mut images = vec![(address, code.to_vec())];
    match boot.initrd.as_slice() {
        [] => {}
        [(initrd, _)] => {
            let limit =
                if version >= 0x203 { u64::from(u32_at(bytes, hdr::INITRD_ADDR_MAX)) } else { 0x37ff_ffff };
            let top = low.min(limit + 1);
            let len = initrd.bytes.len() as u64;
            let at = place_high(&initrd.name, len, address + span, top, memory)?;
            put(hdr::RAMDISK_IMAGE, &(at as u32).to_le_bytes());
            put(hdr::RAMDISK_SIZE, &(len as u32).to_le_bytes());
            images.push((at, initrd.bytes.clone()));
        }
        _ => return Err(unusable("a Linux kernel takes one --initrd")),
    }
    // 80x25 text, as a BIOS would have left it; kernels then take port 3D4H for the CRTC.
    put(params::ORIG_VIDEO_MODE, &[3]);
    put(params::ORIG_VIDEO_COLS, &[80]);
    put(params::ORIG_VIDEO_LINES, &[25]);
    put(params::ORIG_VIDEO_POINTS, &16u16.to_le_bytes());
    let above_1m = (memory.min(LOW_RAM_MAX) - 0x10_0000) >> 10;
    put(params::EXT_MEM_K, &(above_1m.min(0xfc00) as u16).to_le_bytes());
    put(params::ALT_MEM_K, &(above_1m as u32).to_le_bytes());
    put(params::ACPI_RSDP, &super::acpi::RSDP.to_le_bytes());
    let map = e820(memory);
    put(params::E820_ENTRIES, &[map.len() as u8]);
    for (i, E820 { start, len, kind }) in map.iter().enumerate() {
        let at = params::E820_TABLE + i * 20;
        put(at, &start.to_le_bytes());
        put(at + 8, &len.to_le_bytes());
        put(at + 16, &kind.to_le_bytes());
    }

    let long = long_mode && version >= 0x20c && u16_at(bytes, hdr::XLOADFLAGS) & XLF_KERNEL_64 != 0;
    let mut line = boot.append.clone().into_bytes();
    line.push(0);
    images.extend([(BOOT_PARAMS, zero), (COMMAND_LINE, line), (GDT, gdt(long))]);
    let start = if long {
        images.push((PAGE_TABLES, identity_tables()));
        Start::Long { entry: address + 0x200, rsi: BOOT_PARAMS }
    } else {
        Start::Protected {
            entry: address as u32,
            eax: 0,
            ebx: 0,
            esi: BOOT_PARAMS as u32,
            selectors: (0x10, 0x18),
        }
    };
    Ok(Loaded { images, start })
}
