//! The I/O APIC: 24 inputs to interrupt messages.
//!
//! References: Intel 82093AA data sheet (1996), section 3; Intel ICH9 data sheet, section 13.5
//! for the version and the EOI register.

use super::lapic::message::{Delivery, Message, Target};
use super::{Ctx, Device};
use serde::{Deserialize, Serialize};

/// Registers and bits.
pub mod spec {
    #![allow(missing_docs, reason = "the names are the data sheet's")]
    pub const BASE: u64 = 0xfec0_0000;
    pub const SIZE: u64 = 0x1000;
    pub const PINS: usize = 24;
    pub const IOREGSEL: u64 = 0x00;
    pub const IOWIN: u64 = 0x10;
    pub const EOI: u64 = 0x40;
    pub const ID: u8 = 0x00;
    pub const VERSION: u8 = 0x01;
    pub const ARBITRATION: u8 = 0x02;
    pub const TABLE: u8 = 0x10;
    /// Version 20H, 24 entries.
    pub const VERSION_VALUE: u32 = 0x20 | (PINS as u32 - 1) << 16;
    pub const ID_MASK: u32 = 0x0f00_0000;
    pub const LOGICAL: u64 = 1 << 11;
    pub const STATUS: u64 = 1 << 12;
    pub const REMOTE_IRR: u64 = 1 << 14;
    pub const LEVEL: u64 = 1 << 15;
    pub const MASKED: u64 = 1 << 16;
    /// Bits of an entry that exist.
    pub const ENTRY: u64 = 0xff00_0000_0001_ffff;
}

/// The I/O APIC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IoApic {
    select: u8,
    id: u32,
    table: [u64; spec::PINS],
    /// Levels of the inputs, one bit each.
    lines: u32,
    /// Edges that were not delivered yet.
    edges: u32,
    /// Messages that the board has not delivered yet; empty between steps.
    pub out: Vec<Message>,
}

impl Default for IoApic {
    fn default() -> Self {
        Self::new()
    }
}

impl IoApic {
    /// Everything masked.
    pub fn new() -> Self {
        Self { select: 0, id: 0, table: [spec::MASKED; spec::PINS], lines: 0, edges: 0, out: Vec::new() }
    }

    /// Sets the level of input `pin`.
    pub fn set(&mut self, pin: usize, level: bool) {
        let Some(entry) = self.table.get(pin) else { return };
        let bit = 1 << pin;
        let rises = level && self.lines & bit == 0;
        self.lines = if level { self.lines | bit } else { self.lines & !bit };
        // Edges at a masked input are lost (82093AA, section 3.2.4).
        if rises && entry & (spec::LEVEL | spec::MASKED) == 0 {
            self.edges |= bit;
        }
        self.service(pin);
    }

    /// Sends what pin `pin` has to send.
    fn service(&mut self, pin: usize) {
        let entry = &mut self.table[pin];
        let bit = 1 << pin;
        if *entry & spec::MASKED != 0 {
            return;
        }
        let level = *entry & spec::LEVEL != 0;
        if level {
            if self.lines & bit == 0 || *entry & spec::REMOTE_IRR != 0 {
                return;
            }
        } else if self.edges & bit == 0 {
            return;
        }
        let delivery = Delivery::from_bits(*entry >> 8);
        // Only fixed and lowest-priority interrupts are answered with an EOI.
        if level && matches!(delivery, Delivery::Fixed | Delivery::LowestPriority) {
            *entry |= spec::REMOTE_IRR;
        }
        self.edges &= !bit;
        self.out.push(Message {
            target: Target::Apic { id: (*entry >> 56) as u32, logical: *entry & spec::LOGICAL != 0 },
            delivery,
            vector: *entry as u8,
            level,
            assert: true,
        });
    }

    /// A local APIC broadcast the end of interrupt `vector`.
    pub fn end_of_interrupt(&mut self, vector: u8) {
        for pin in 0..spec::PINS {
            let entry = &mut self.table[pin];
            if *entry as u8 == vector && *entry & spec::LEVEL != 0 && *entry & spec::REMOTE_IRR != 0 {
                *entry &= !spec::REMOTE_IRR;
                self.service(pin);
            }
        }
    }

    fn register(&self) -> u32 {
        match self.select {
            spec::ID | spec::ARBITRATION => self.id,
            spec::VERSION => spec::VERSION_VALUE,
            s => match self.table.get(usize::from(s.wrapping_sub(spec::TABLE) >> 1)) {
                Some(e) if s >= spec::TABLE => (e >> (32 * (s & 1))) as u32,
                _ => 0,
            },
        }
    }

    fn set_register(&mut self, v: u32) {
        if self.select == spec::ID {
            self.id = v & spec::ID_MASK;
        }
        let pin = usize::from(self.select.wrapping_sub(spec::TABLE) >> 1);
        if self.select < spec::TABLE || pin >= spec::PINS {
            return;
        }
        let old = self.table[pin];
        let read_only = spec::STATUS | spec::REMOTE_IRR;
        let new = if self.select & 1 == 0 {
            old & !0xffff_ffff | u64::from(v) & !read_only | old & read_only
        } else {
            old & 0xffff_ffff | u64::from(v) << 32
        };
        let mut new = new & spec::ENTRY;
        if new & spec::LEVEL == 0 {
            // Edge-triggered entries have no remote IRR; software clears it by this.
            new &= !spec::REMOTE_IRR;
        }
        self.table[pin] = new;
        self.service(pin);
    }
}

impl Device for IoApic {
    fn read(&mut self, _ctx: &mut Ctx<'_>, addr: u64, _size: u8) -> u64 {
        match addr & 0xff {
            spec::IOREGSEL => self.select.into(),
            spec::IOWIN => self.register().into(),
            _ => 0,
        }
    }

    fn write(&mut self, _ctx: &mut Ctx<'_>, addr: u64, _size: u8, value: u64) {
        match addr & 0xff {
            spec::IOREGSEL => self.select = value as u8,
            spec::IOWIN => self.set_register(value as u32),
            spec::EOI => self.end_of_interrupt(value as u8),
            _ => {}
        }
    }

    fn reset(&mut self) {
        *self = Self { lines: self.lines, ..Self::new() };
    }
}
