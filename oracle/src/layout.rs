//! The addresses and segments that every case sees, on the host and in a subject alike.
//!
//! All windows lie below 4 GiB, so that 32-bit code reaches them, and 16 pages or more apart, so
//! that what is next to one is unmapped. The GDT holds what Linux has at the same selectors; the
//! LDT is ours ([`LDT`]).

use crate::rng::Rng;

/// Bytes of a page.
pub const PAGE: u64 = 4096;

/// A mapped range of linear addresses.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// First address.
    pub addr: u64,
    /// Length in bytes, whole pages.
    pub len: u64,
}

impl Window {
    /// True when all of `len` bytes at `addr` lie inside.
    pub fn holds(&self, addr: u64, len: u64) -> bool {
        addr >= self.addr && addr.wrapping_sub(self.addr).saturating_add(len) <= self.len
    }
}

/// Executable and readable.
pub const CODE: Window = Window { addr: 0x1000_0000, len: 2 * PAGE };
/// Readable and writable.
pub const DATA: Window = Window { addr: 0x2000_0000, len: 2 * PAGE };
/// Readable only; follows [`DATA`] directly.
pub const CONST: Window = Window { addr: 0x2000_2000, len: PAGE };
/// Readable and writable.
pub const STACK: Window = Window { addr: 0x3000_0000, len: 2 * PAGE };

/// The writable windows.
pub const WINDOWS: [Window; 2] = [DATA, STACK];
/// Bytes in all of [`WINDOWS`].
pub const MEM_LEN: usize = (DATA.len + STACK.len) as usize;

/// The offset in an image of the writable windows of `addr`, if it is in one.
pub fn mem_offset(addr: u64) -> Option<usize> {
    let mut offset = 0;
    for w in WINDOWS {
        if w.holds(addr, 1) {
            return Some((offset + addr - w.addr) as usize);
        }
        offset += w.len;
    }
    None
}

/// The linear address of an offset in an image of the writable windows.
pub fn mem_addr(mut offset: usize) -> u64 {
    for w in WINDOWS {
        if offset < w.len as usize {
            return w.addr + offset as u64;
        }
        offset -= w.len as usize;
    }
    u64::MAX
}

/// What the writable windows hold before a case's patches: random bytes, the same always.
pub fn background() -> Vec<u8> {
    let mut rng = Rng::new(0x6261_636b, 0);
    (0..MEM_LEN / 8).flat_map(|_| rng.bits().to_le_bytes()).collect()
}

/// What [`CONST`] holds.
pub fn constants() -> Vec<u8> {
    let mut rng = Rng::new(0x636f_6e73, 0);
    (0..CONST.len / 8).flat_map(|_| rng.bits().to_le_bytes()).collect()
}

/// A segment of the LDT, in the terms of Linux's `modify_ldt`.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    /// Index in the LDT.
    pub index: u16,
    /// Base address.
    pub base: u32,
    /// Limit, in pages if `pages`.
    pub limit: u32,
    /// D/B.
    pub big: bool,
    /// 0 data, 1 expand-down data, 2 code.
    pub contents: u8,
    /// Data: not writable. Code: not readable.
    pub restricted: bool,
    /// G.
    pub pages: bool,
    /// Not P.
    pub absent: bool,
}

impl Segment {
    /// The selector, with TI and RPL 3.
    pub const fn selector(&self) -> u16 {
        self.index << 3 | 7
    }

    /// The descriptor that Linux makes of it (SDM volume 3, section 3.4.5): DPL 3, accessed.
    pub const fn descriptor(&self) -> u64 {
        let kind = 0x11 | (!self.restricted as u64) << 1 | (self.contents as u64) << 2;
        let access = kind | 3 << 5 | (!self.absent as u64) << 7;
        let upper = (self.big as u64) << 2 | (self.pages as u64) << 3;
        (self.limit as u64 & 0xffff)
            | (self.base as u64 & 0xff_ffff) << 16
            | access << 40
            | (self.limit as u64 >> 16 & 0xf) << 48
            | upper << 52
            | (self.base as u64 >> 24) << 56
    }
}

const fn segment(index: u16, base: u64, limit: u32, big: bool, contents: u8) -> Segment {
    let pages = limit == 0xf_ffff;
    Segment { index, base: base as u32, limit, big, contents, restricted: false, pages, absent: false }
}

/// 16-bit code over [`CODE`].
pub const CODE16: Segment = segment(1, CODE.addr, 0xffff, false, 2);
/// 16-bit data over [`DATA`].
pub const DATA16: Segment = segment(2, DATA.addr, 0xffff, false, 0);
/// 16-bit stack over [`STACK`].
pub const STACK16: Segment = segment(3, STACK.addr, 0xffff, false, 0);
/// 32-bit data over [`DATA`] with a limit inside.
pub const LIMITED: Segment = segment(4, DATA.addr, 0x17ff, true, 0);
/// Expand-down over [`DATA`]: offsets from 0x1000.
pub const DOWN: Segment = segment(5, DATA.addr, 0xfff, true, 1);
/// 32-bit data over [`DATA`], not writable.
pub const READ_ONLY: Segment = Segment { restricted: true, ..segment(6, DATA.addr, 0xf_ffff, true, 0) };
/// Flat 32-bit code, not readable.
pub const EXEC_ONLY: Segment = Segment { restricted: true, ..segment(7, 0, 0xf_ffff, true, 2) };
/// 32-bit code over [`CODE`] with a limit inside.
pub const CODE_LIMITED: Segment = segment(8, CODE.addr, 0x17ff, true, 2);
/// Data, not present.
pub const ABSENT: Segment = Segment { absent: true, ..segment(9, DATA.addr, 0xf_ffff, true, 0) };
/// 32-bit data over [`DATA`].
pub const BASED: Segment = segment(10, DATA.addr, 0xf_ffff, true, 0);

/// The LDT; every other entry of its [`LDT_ENTRIES`] is zero.
pub const LDT: [Segment; 10] =
    [CODE16, DATA16, STACK16, LIMITED, DOWN, READ_ONLY, EXEC_ONLY, CODE_LIMITED, ABSENT, BASED];
/// Entries in the LDT, by its limit.
pub const LDT_ENTRIES: u16 = 11;

/// Selectors of the GDT (Linux, arch/x86/include/asm/segment.h, which a program can read with
/// LAR and LSL).
pub mod gdt {
    /// 32-bit kernel code.
    pub const KERNEL_CS32: u16 = 0x08;
    /// 64-bit kernel code.
    pub const KERNEL_CS: u16 = 0x10;
    /// Kernel data.
    pub const KERNEL_DS: u16 = 0x18;
    /// Flat 32-bit user code.
    pub const USER_CS32: u16 = 0x23;
    /// Flat user data.
    pub const USER_DS: u16 = 0x2b;
    /// 64-bit user code.
    pub const USER_CS: u16 = 0x33;
    /// The TSS.
    pub const TSS: u16 = 0x40;
    /// The LDT.
    pub const LDT: u16 = 0x50;
}

/// Base of the segment that `selector` names, for address computation.
pub fn segment_base(selector: u16) -> u64 {
    match LDT.iter().find(|s| s.selector() | 3 == selector | 3) {
        Some(s) => u64::from(s.base),
        None => 0,
    }
}
