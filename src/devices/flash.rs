//! NOR flash with the Intel command set (CFI): two chips of 16 bits side by side, as QEMU's `virt`
//! has them.
//!
//! The bytes lie in memory beside RAM. While the flash shows its array the board maps them there for
//! the CPUs to read; after a command that shows something else it asks the board to take them away
//! ([`Flash::array`]). Stores always come here. Programming and erasing take no time: their status is
//! always ready. Both chips get the same commands; each has its half of the data.
//!
//! References: Intel StrataFlash (28F640J3A) data sheet, sections 4 and 5; JEDEC JESD68.01 (CFI).

use super::{Ctx, Device};
use dejavm_interp::mem::{Memory, PAGE_SIZE};
use serde::{Deserialize, Serialize};

/// Commands, status bits, geometry.
pub mod spec {
    #![allow(missing_docs, reason = "the names are the data sheet's")]
    pub const READ_ARRAY: u8 = 0xff;
    pub const READ_ARRAY_AMD: u8 = 0xf0;
    pub const READ_IDENTIFIER: u8 = 0x90;
    pub const READ_QUERY: u8 = 0x98;
    pub const READ_STATUS: u8 = 0x70;
    pub const CLEAR_STATUS: u8 = 0x50;
    pub const PROGRAM: u8 = 0x40;
    pub const PROGRAM_OTHER: u8 = 0x10;
    pub const WRITE_BUFFER: u8 = 0xe8;
    pub const BLOCK_ERASE: u8 = 0x20;
    pub const CONFIRM: u8 = 0xd0;
    pub const LOCK: u8 = 0x60;
    pub const SET_LOCK: u8 = 0x01;
    pub const READY: u8 = 0x80;
    /// A wrong sequence of commands: both bits.
    pub const SEQUENCE_ERROR: u8 = 0x30;
    /// Bytes of an erase block, of both chips together.
    pub const BLOCK: u64 = 0x4_0000;
    /// Bytes of the write buffer, of both chips together.
    pub const BUFFER: u64 = 4096;
    /// Intel, and the device.
    pub const IDENTIFIER: [u16; 2] = [0x89, 0x18];
    /// Both chips.
    pub const BOTH: u32 = 0x1_0001;
}

/// What the flash does with the next accesses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Mode {
    Array,
    Identifier,
    Query,
    Status,
    /// The next write is data.
    Program,
    /// The next write confirms the erasure of a block.
    Erase,
    /// The next write says what is to be done to a lock.
    Lock,
    /// The next write is the count of words less one.
    BufferCount,
    /// So many more writes go into the buffer.
    Buffer(u32),
    /// The next write confirms.
    BufferConfirm,
}

/// One flash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flash {
    /// Where its bytes lie in the host mapping.
    offset: u64,
    size: u64,
    mode: Mode,
    status: u8,
    /// Writes into the buffer that wait for their confirmation: offset, size, value.
    buffer: Vec<(u64, u8, u32)>,
}

impl Flash {
    /// A flash of `size` bytes, which lie at `offset` of the host mapping.
    pub fn new(offset: u64, size: u64) -> Self {
        Self { offset, size, mode: Mode::Array, status: spec::READY, buffer: Vec::new() }
    }

    /// It shows its array: the bytes may be mapped for reading.
    pub fn array(&self) -> bool {
        self.mode == Mode::Array
    }

    fn byte(&self, mem: &Memory, at: u64) -> u8 {
        if at >= self.size {
            return 0xff;
        }
        mem.bytes().get((self.offset + at) as usize).copied().unwrap_or(0xff)
    }

    fn set(&self, mem: &mut Memory, at: u64, v: u8) {
        if at >= self.size {
            return;
        }
        let at = self.offset + at;
        mem.barrier(at, 1);
        if let Some(b) = mem.bytes_mut().get_mut(at as usize) {
            *b = v;
        }
    }

    /// Programs: bits go from one to zero.
    fn program(&self, mem: &mut Memory, at: u64, size: u8, v: u32) {
        for i in 0..u64::from(size.min(4)) {
            let old = self.byte(mem, at.wrapping_add(i));
            self.set(mem, at.wrapping_add(i), old & (v >> (8 * i)) as u8);
        }
    }

    fn erase(&self, mem: &mut Memory, at: u64) {
        let start = at & !(spec::BLOCK - 1);
        for page in (start..(start + spec::BLOCK).min(self.size)).step_by(PAGE_SIZE as usize) {
            let at = self.offset + page;
            mem.barrier(at, PAGE_SIZE as u32);
            if let Some(bytes) = mem.bytes_mut().get_mut(at as usize..(at + PAGE_SIZE) as usize) {
                bytes.fill(0xff);
            }
        }
    }

    /// The CFI query structure, by the address that a chip sees.
    fn query(&self, at: u64) -> u8 {
        let blocks = (self.size / spec::BLOCK).saturating_sub(1) as u16;
        // Each chip has half of everything.
        let block = (spec::BLOCK / 2 / 256) as u16;
        let size = (self.size / 2).trailing_zeros() as u8;
        let buffer = (spec::BUFFER / 2).trailing_zeros() as u8;
        match at {
            0x10..=0x12 => b"QRY"[(at - 0x10) as usize],
            // Intel's extended command set, its table at 31H.
            0x13 => 1,
            0x15 => 0x31,
            // Voltages, then typical and maximum times.
            0x1b => 0x45,
            0x1c => 0x55,
            0x1f | 0x20 => 7,
            0x21 => 10,
            0x23 | 0x24 => 4,
            0x25 => 4,
            0x27 => size,
            // x8 and x16.
            0x28 => 2,
            0x2a => buffer,
            // One region of equal blocks.
            0x2c => 1,
            0x2d => blocks.to_le_bytes()[0],
            0x2e => blocks.to_le_bytes()[1],
            0x2f => block.to_le_bytes()[0],
            0x30 => block.to_le_bytes()[1],
            0x31..=0x33 => b"PRI"[(at - 0x31) as usize],
            0x34 => b'1',
            0x35 => b'0',
            // One protection register field.
            0x3f => 1,
            _ => 0,
        }
    }

    fn first(&mut self, command: u8) {
        self.mode = match command {
            spec::READ_ARRAY | spec::READ_ARRAY_AMD | 0 => Mode::Array,
            spec::READ_IDENTIFIER => Mode::Identifier,
            spec::READ_QUERY => Mode::Query,
            spec::READ_STATUS => Mode::Status,
            spec::CLEAR_STATUS => {
                self.status = spec::READY;
                Mode::Array
            }
            spec::PROGRAM | spec::PROGRAM_OTHER => Mode::Program,
            spec::WRITE_BUFFER => Mode::BufferCount,
            spec::BLOCK_ERASE => Mode::Erase,
            spec::LOCK => Mode::Lock,
            // An unknown command is none.
            _ => Mode::Array,
        };
    }

    fn command(&mut self, ctx: &mut Ctx<'_>, at: u64, size: u8, v: u32) {
        let low = v as u8;
        self.mode = match self.mode {
            Mode::Array | Mode::Identifier | Mode::Query | Mode::Status => {
                self.first(low);
                return;
            }
            Mode::Program => {
                self.program(ctx.mem, at, size, v);
                Mode::Status
            }
            Mode::Erase if low == spec::CONFIRM => {
                self.erase(ctx.mem, at);
                Mode::Status
            }
            Mode::Lock if matches!(low, spec::CONFIRM | spec::SET_LOCK) => Mode::Status,
            Mode::Erase | Mode::Lock => {
                if low == spec::READ_ARRAY {
                    Mode::Array
                } else {
                    self.status |= spec::SEQUENCE_ERROR;
                    Mode::Status
                }
            }
            Mode::BufferCount => {
                // The count is one chip's words less one; a write of both chips at once is one.
                let count = (v & 0xffff) + 1;
                self.buffer.clear();
                if u64::from(count) > spec::BUFFER / 4 {
                    self.status |= spec::SEQUENCE_ERROR;
                    Mode::Status
                } else {
                    Mode::Buffer(count)
                }
            }
            Mode::Buffer(left) => {
                self.buffer.push((at, size, v));
                if left > 1 { Mode::Buffer(left - 1) } else { Mode::BufferConfirm }
            }
            Mode::BufferConfirm => {
                let buffer = std::mem::take(&mut self.buffer);
                if low == spec::CONFIRM {
                    for (at, size, v) in buffer {
                        self.program(ctx.mem, at, size, v);
                    }
                } else {
                    self.status |= spec::SEQUENCE_ERROR;
                }
                Mode::Status
            }
        };
    }
}

impl Device for Flash {
    fn read(&mut self, ctx: &mut Ctx<'_>, addr: u64, size: u8) -> u64 {
        // What one chip gives, both give, in each half of a word.
        let both = |chip: u16| u64::from(u32::from(chip) * spec::BOTH) * 0x1_0000_0001;
        let all = match self.mode {
            Mode::Array => return super::read_bytes(addr, size, |at| self.byte(ctx.mem, at)),
            Mode::Identifier => match addr >> 2 & 0xff {
                n @ 0..=1 => both(spec::IDENTIFIER[n as usize]),
                _ => 0,
            },
            Mode::Query => both(self.query(addr >> 2 & 0xff).into()),
            // After a write into the buffer was begun the extended status says that there is room.
            _ => both(self.status.into()),
        };
        let shifted = all >> (8 * (addr & 3));
        if size >= 8 { shifted } else { shifted & ((1 << (8 * u32::from(size))) - 1) }
    }

    fn write(&mut self, ctx: &mut Ctx<'_>, addr: u64, size: u8, value: u64) {
        self.command(ctx, addr, size.min(4), value as u32);
        if size == 8 {
            self.command(ctx, addr.wrapping_add(4), 4, (value >> 32) as u32);
        }
    }

    /// What the flash holds stays.
    fn reset(&mut self) {
        *self = Self::new(self.offset, self.size);
    }
}
