//! The PL061 GPIO: eight lines. On the `virt` board line 3 is the power button.
//!
//! Reference: PrimeCell General Purpose Input/Output (PL061) Technical Reference Manual (DDI 0190),
//! chapter 3.

use super::{Ctx, Device, Line, read_words, write_words};
use crate::machine::events::TimerId;
use serde::{Deserialize, Serialize};

/// Registers.
pub mod spec {
    #![allow(missing_docs, reason = "the names are the manual's")]
    /// GPIODATA lies at 256 words: address bits 9 to 2 say which lines are meant.
    pub const DATA_END: u64 = 0x400;
    pub const DIR: u64 = 0x400;
    pub const IS: u64 = 0x404;
    pub const IBE: u64 = 0x408;
    pub const IEV: u64 = 0x40c;
    pub const IE: u64 = 0x410;
    pub const RIS: u64 = 0x414;
    pub const MIS: u64 = 0x418;
    pub const IC: u64 = 0x41c;
    pub const AFSEL: u64 = 0x420;
    pub const PERIPH_ID: u64 = 0xfe0;
    /// GPIOPeriphID0 to 3, GPIOPCellID0 to 3.
    pub const ID: [u8; 8] = [0x61, 0x10, 0x04, 0x00, 0x0d, 0xf0, 0x05, 0xb1];
    /// How long a button stays pressed.
    pub const PRESS_NS: u64 = 100_000_000;
}

/// The port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pl061 {
    line: Line,
    timer: TimerId,
    /// Levels of the lines from outside.
    inputs: u8,
    /// What was written to GPIODATA.
    data: u8,
    /// Lines that are outputs.
    dir: u8,
    /// Interrupt sense: levels, not edges.
    is: u8,
    /// Both edges.
    ibe: u8,
    /// Rising edges or high levels.
    iev: u8,
    /// Interrupt mask.
    ie: u8,
    /// Edges that were seen.
    edges: u8,
    afsel: u8,
    level: bool,
}

impl Pl061 {
    /// A port on `line`; its timer releases buttons.
    pub fn new(line: Line, timer: TimerId) -> Self {
        Self {
            line,
            timer,
            inputs: 0,
            data: 0,
            dir: 0,
            is: 0,
            ibe: 0,
            iev: 0,
            ie: 0,
            edges: 0,
            afsel: 0,
            level: false,
        }
    }

    /// The user presses the button on a line, for a moment.
    pub fn press(&mut self, ctx: &mut Ctx<'_>, n: u8) {
        self.set_inputs(self.inputs | 1 << (n & 7));
        ctx.set_timer(self.timer, Some(ctx.now.plus(spec::PRESS_NS)));
        self.update(ctx);
    }

    /// Levels of all lines.
    fn levels(&self) -> u8 {
        self.data & self.dir | self.inputs & !self.dir
    }

    fn set_inputs(&mut self, inputs: u8) {
        let old = self.levels();
        self.inputs = inputs;
        self.changed(old);
    }

    /// Notes edges of inputs since the levels were `old`.
    fn changed(&mut self, old: u8) {
        let new = self.levels();
        let seen = (old ^ new) & (self.ibe | !(self.iev ^ new));
        self.edges |= seen & !self.is & !self.dir;
    }

    /// Interrupts before the mask.
    fn raw(&self) -> u8 {
        let by_level = !(self.levels() ^ self.iev) & self.is & !self.dir;
        self.edges & !self.is | by_level
    }

    fn update(&mut self, ctx: &mut Ctx<'_>) {
        let level = self.raw() & self.ie != 0;
        if level != self.level {
            self.level = level;
            ctx.set_line(self.line, level);
        }
    }

    fn register(&self, at: u64) -> u32 {
        let v = match at {
            0..spec::DATA_END => self.levels() & (at >> 2) as u8,
            spec::DIR => self.dir,
            spec::IS => self.is,
            spec::IBE => self.ibe,
            spec::IEV => self.iev,
            spec::IE => self.ie,
            spec::RIS => self.raw(),
            spec::MIS => self.raw() & self.ie,
            spec::AFSEL => self.afsel,
            spec::PERIPH_ID..=0xfff => spec::ID[(at - spec::PERIPH_ID) as usize / 4],
            _ => 0,
        };
        v.into()
    }

    fn set_register(&mut self, at: u64, v: u8) {
        let old = self.levels();
        match at {
            0..spec::DATA_END => {
                let mask = (at >> 2) as u8;
                self.data = self.data & !mask | v & mask;
            }
            spec::DIR => {
                self.dir = v;
                // A line that becomes an input has its level from the outside: that is no edge.
                return;
            }
            spec::IS => self.is = v,
            spec::IBE => self.ibe = v,
            spec::IEV => self.iev = v,
            spec::IE => self.ie = v,
            spec::IC => self.edges &= !v,
            spec::AFSEL => self.afsel = v,
            _ => {}
        }
        self.changed(old);
    }
}

impl Device for Pl061 {
    fn read(&mut self, _ctx: &mut Ctx<'_>, addr: u64, size: u8) -> u64 {
        read_words(addr, size, |at| self.register(at))
    }

    fn write(&mut self, ctx: &mut Ctx<'_>, addr: u64, size: u8, value: u64) {
        write_words(addr, size, value, |at, v| self.set_register(at, v as u8));
        self.update(ctx);
    }

    fn timer(&mut self, ctx: &mut Ctx<'_>, _timer: TimerId) {
        self.set_inputs(0);
        self.update(ctx);
    }

    fn reset(&mut self) {
        *self = Self::new(self.line, self.timer);
    }
}
