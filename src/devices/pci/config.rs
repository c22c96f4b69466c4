//! A function's configuration space: bytes, which of their bits are writable, base addresses.

use serde::{Deserialize, Serialize};

/// Registers of the header (PCI 2.1, section 6.1).
pub mod spec {
    #![allow(missing_docs, reason = "the names are the specification's")]
    pub const VENDOR: usize = 0x00;
    pub const DEVICE: usize = 0x02;
    pub const COMMAND: usize = 0x04;
    pub const STATUS: usize = 0x06;
    pub const REVISION: usize = 0x08;
    pub const CLASS: usize = 0x09;
    pub const HEADER_TYPE: usize = 0x0e;
    pub const BAR0: usize = 0x10;
    pub const SUBSYSTEM_VENDOR: usize = 0x2c;
    pub const ROM: usize = 0x30;
    pub const INTERRUPT_LINE: usize = 0x3c;
    pub const INTERRUPT_PIN: usize = 0x3d;
    pub const COMMAND_IO: u16 = 1;
    pub const COMMAND_MEMORY: u16 = 2;
    pub const COMMAND_MASTER: u16 = 4;
    pub const COMMAND_INTX_DISABLE: u16 = 0x400;
    pub const BAR_IO: u32 = 1;
    pub const BAR_64: u32 = 4;
    pub const BAR_PREFETCH: u32 = 8;
    pub const SIZE: usize = 256;
}

/// What a base address register asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BarKind {
    /// I/O ports.
    Io,
    /// Memory below 4 GiB.
    Memory32,
    /// Memory anywhere; takes two registers.
    Memory64,
}

/// Configuration space of one function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    #[serde(with = "serde_bytes")]
    bytes: Vec<u8>,
    /// Bits that software may write.
    #[serde(with = "serde_bytes")]
    writable: Vec<u8>,
    /// Bits that software clears by writing ones.
    #[serde(with = "serde_bytes")]
    clears: Vec<u8>,
    bars: [Option<(BarKind, u64)>; 6],
}

impl Config {
    /// A header of type 0; `class` is class, subclass and programming interface.
    pub fn new(vendor: u16, device: u16, class: u32, revision: u8) -> Self {
        let mut c = Self {
            bytes: vec![0; spec::SIZE],
            writable: vec![0; spec::SIZE],
            clears: vec![0; spec::SIZE],
            bars: [None; 6],
        };
        c.set16(spec::VENDOR, vendor);
        c.set16(spec::DEVICE, device);
        c.bytes[spec::REVISION] = revision;
        c.bytes[spec::CLASS..spec::CLASS + 3].copy_from_slice(&class.to_le_bytes()[..3]);
        let command =
            spec::COMMAND_IO | spec::COMMAND_MEMORY | spec::COMMAND_MASTER | spec::COMMAND_INTX_DISABLE;
        c.allow(spec::COMMAND, &(command | 0x140).to_le_bytes());
        c.allow(spec::INTERRUPT_LINE, &[0xff]);
        c
    }

    /// Declares the bits at `at` that software may write.
    pub fn allow(&mut self, at: usize, mask: &[u8]) {
        self.writable[at..at + mask.len()].copy_from_slice(mask);
    }

    /// Declares the bits at `at` that software clears by writing ones.
    pub fn allow_clear(&mut self, at: usize, mask: &[u8]) {
        self.clears[at..at + mask.len()].copy_from_slice(mask);
    }

    /// Declares base address register `i` with `size` bytes, a power of two of at least 4 (I/O)
    /// or 16. Software finds the size by writing ones.
    pub fn bar(&mut self, i: usize, kind: BarKind, size: u64, prefetch: bool) {
        debug_assert!(size.is_power_of_two() && i < 6, "base address registers are powers of two");
        self.bars[i] = Some((kind, size));
        let at = spec::BAR0 + 4 * i;
        let mask = !(size - 1);
        let flags = match kind {
            BarKind::Io => spec::BAR_IO,
            BarKind::Memory32 => 0,
            BarKind::Memory64 => spec::BAR_64,
        } | if prefetch { spec::BAR_PREFETCH } else { 0 };
        self.set32(at, flags);
        match kind {
            BarKind::Io => self.allow(at, &(mask as u32 & !3).to_le_bytes()),
            BarKind::Memory32 => self.allow(at, &(mask as u32 & !15).to_le_bytes()),
            BarKind::Memory64 => self.allow(at, &(mask & !15).to_le_bytes()),
        }
    }

    /// Where base address register `i` lies and its size, while its kind of access is enabled.
    pub fn bar_range(&self, i: usize) -> Option<(BarKind, u64, u64)> {
        let (kind, size) = *self.bars.get(i)?.as_ref()?;
        let at = spec::BAR0 + 4 * i;
        let low = self.get32(at);
        let (enable, addr) = match kind {
            BarKind::Io => (spec::COMMAND_IO, u64::from(low & !3)),
            BarKind::Memory32 => (spec::COMMAND_MEMORY, u64::from(low & !15)),
            BarKind::Memory64 => {
                (spec::COMMAND_MEMORY, u64::from(low & !15) | u64::from(self.get32(at + 4)) << 32)
            }
        };
        (self.get16(spec::COMMAND) & enable != 0).then_some((kind, addr, size))
    }

    /// A byte.
    pub fn get8(&self, at: usize) -> u8 {
        self.bytes[at & 0xff]
    }

    /// A word.
    pub fn get16(&self, at: usize) -> u16 {
        u16::from_le_bytes([self.get8(at), self.get8(at + 1)])
    }

    /// A doubleword.
    pub fn get32(&self, at: usize) -> u32 {
        u32::from(self.get16(at)) | u32::from(self.get16(at + 2)) << 16
    }

    /// Sets a byte, whatever software may write.
    pub fn set8(&mut self, at: usize, v: u8) {
        self.bytes[at & 0xff] = v;
    }

    /// Sets a word.
    pub fn set16(&mut self, at: usize, v: u16) {
        for (i, b) in v.to_le_bytes().into_iter().enumerate() {
            self.set8(at + i, b);
        }
    }

    /// Sets a doubleword.
    pub fn set32(&mut self, at: usize, v: u32) {
        for (i, b) in v.to_le_bytes().into_iter().enumerate() {
            self.set8(at + i, b);
        }
    }

    /// Software's read. Registers end at the space's end.
    pub fn read(&self, reg: u8, size: u8) -> u32 {
        super::super::read_bytes(reg.into(), size, |at| self.bytes.get(at as usize).copied().unwrap_or(0xff))
            as u32
    }

    /// Software's write.
    pub fn write(&mut self, reg: u8, size: u8, value: u32) {
        super::super::write_bytes(reg.into(), size, value.into(), |at, v| {
            let at = at as usize;
            if let Some(b) = self.bytes.get_mut(at) {
                let w = self.writable[at];
                *b = *b & !w & !(v & self.clears[at]) | v & w;
            }
        });
    }
}
