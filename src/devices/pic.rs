//! The two 8259A interrupt controllers of a PC, cascaded, with their edge/level registers.
//!
//! References: Intel 8259A data sheet (1988), Intel 82371SB (PIIX3) data sheet, section 2.3.

use super::{Ctx, Device, read_bytes, write_bytes};
use serde::{Deserialize, Serialize};

/// Ports and bits.
pub mod spec {
    #![allow(missing_docs, reason = "the names are the data sheet's")]
    pub const MASTER: u64 = 0x20;
    pub const SLAVE: u64 = 0xa0;
    pub const ELCR_MASTER: u64 = 0x4d0;
    pub const ELCR_SLAVE: u64 = 0x4d1;
    /// The master's input that the slave drives.
    pub const CASCADE: u8 = 2;
    /// The input whose vector a spurious request gets.
    pub const SPURIOUS: u8 = 7;
    pub const ICW1: u8 = 0x10;
    pub const ICW1_IC4: u8 = 0x01;
    pub const ICW1_SINGLE: u8 = 0x02;
    pub const ICW1_LTIM: u8 = 0x08;
    pub const ICW2_BASE: u8 = 0xf8;
    pub const ICW4_AEOI: u8 = 0x02;
    pub const ICW4_SFNM: u8 = 0x10;
    pub const OCW3: u8 = 0x08;
    pub const OCW3_RIS: u8 = 0x01;
    pub const OCW3_RR: u8 = 0x02;
    pub const OCW3_POLL: u8 = 0x04;
    pub const OCW3_SMM: u8 = 0x20;
    pub const OCW3_ESMM: u8 = 0x40;
    /// Answer to a poll: a request is there.
    pub const POLL_INT: u8 = 0x80;
    /// Inputs that may be level-triggered (PIIX3, 2.3.2): not 0 to 2, 8 and 13.
    pub const ELCR_MASK: [u8; 2] = [0xf8, 0xde];
}

/// The next initialisation word that port base + 1 takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Init {
    Done,
    Icw2,
    Icw3,
    Icw4,
}

/// One 8259A.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Chip {
    /// Levels of the inputs.
    lines: u8,
    irr: u8,
    isr: u8,
    imr: u8,
    /// Level-triggered inputs.
    elcr: u8,
    /// ICW1.LTIM: all inputs are level-triggered.
    level_mode: bool,
    base: u8,
    init: Init,
    needs_icw4: bool,
    single: bool,
    auto_eoi: bool,
    rotate_auto: bool,
    special_mask: bool,
    special_nested: bool,
    read_isr: bool,
    poll: bool,
    /// The input with the lowest priority.
    lowest: u8,
}

impl Chip {
    fn new() -> Self {
        Self {
            lines: 0,
            irr: 0,
            isr: 0,
            imr: 0xff,
            elcr: 0,
            level_mode: false,
            base: 0,
            init: Init::Done,
            needs_icw4: false,
            single: false,
            auto_eoi: false,
            rotate_auto: false,
            special_mask: false,
            special_nested: false,
            read_isr: false,
            poll: false,
            lowest: 7,
        }
    }

    fn set(&mut self, input: u8, level: bool) {
        let bit = 1 << input;
        let level_triggered = self.level_mode || self.elcr & bit != 0;
        if level {
            if level_triggered || self.lines & bit == 0 {
                self.irr |= bit;
            }
            self.lines |= bit;
        } else {
            if level_triggered {
                self.irr &= !bit;
            }
            self.lines &= !bit;
        }
    }

    /// The highest-priority input in `bits`, as its rank (0 is the highest) and its number.
    fn first(&self, bits: u8) -> Option<(u8, u8)> {
        (0..8).map(|rank| (rank, (self.lowest + 1 + rank) & 7)).find(|&(_, i)| bits & 1 << i != 0)
    }

    /// The input that requests an interrupt now.
    fn request(&self) -> Option<u8> {
        let (rank, input) = self.first(self.irr & !self.imr)?;
        let mut serving = self.isr;
        if self.special_mask {
            // Masked inputs in service do not hold back lower ones.
            serving &= !self.imr;
        }
        if self.special_nested {
            // The slave may interrupt again while one of its requests is served.
            serving &= !(1 << spec::CASCADE);
        }
        match self.first(serving) {
            Some((busy, _)) if busy <= rank => None,
            _ => Some(input),
        }
    }

    fn acknowledge(&mut self, input: u8) {
        let bit = 1 << input;
        if self.auto_eoi {
            if self.rotate_auto {
                self.lowest = input;
            }
        } else {
            self.isr |= bit;
        }
        if !(self.level_mode || self.elcr & bit != 0) {
            self.irr &= !bit;
        }
    }

    fn read(&mut self, data: bool) -> u8 {
        if std::mem::take(&mut self.poll) {
            return match self.request() {
                Some(input) => {
                    self.acknowledge(input);
                    spec::POLL_INT | input
                }
                None => 0,
            };
        }
        match (data, self.read_isr) {
            (true, _) => self.imr,
            (false, true) => self.isr,
            (false, false) => self.irr,
        }
    }

    fn write(&mut self, data: bool, v: u8) {
        if data {
            self.write_data(v);
        } else if v & spec::ICW1 != 0 {
            *self = Self {
                lines: self.lines,
                elcr: self.elcr,
                base: self.base,
                level_mode: v & spec::ICW1_LTIM != 0,
                imr: 0,
                init: Init::Icw2,
                needs_icw4: v & spec::ICW1_IC4 != 0,
                single: v & spec::ICW1_SINGLE != 0,
                ..Self::new()
            };
            // The edge sense circuit is reset; level inputs request on.
            self.irr = if self.level_mode { self.lines } else { self.lines & self.elcr };
        } else if v & spec::OCW3 != 0 {
            if v & spec::OCW3_POLL != 0 {
                self.poll = true;
            } else if v & spec::OCW3_RR != 0 {
                self.read_isr = v & spec::OCW3_RIS != 0;
            }
            if v & spec::OCW3_ESMM != 0 {
                self.special_mask = v & spec::OCW3_SMM != 0;
            }
        } else {
            self.ocw2(v);
        }
    }

    /// OCW2: end of interrupt and rotation (data sheet, figure 8).
    fn ocw2(&mut self, v: u8) {
        let (rotate, specific, eoi) = (v & 0x80 != 0, v & 0x40 != 0, v & 0x20 != 0);
        let level = v & 7;
        match (rotate, specific, eoi) {
            (_, false, true) => {
                let mut serving = self.isr;
                if self.special_mask {
                    serving &= !self.imr;
                }
                if let Some((_, input)) = self.first(serving) {
                    self.isr &= !(1 << input);
                    if rotate {
                        self.lowest = input;
                    }
                }
            }
            (_, true, true) => {
                self.isr &= !(1 << level);
                if rotate {
                    self.lowest = level;
                }
            }
            (true, true, false) => self.lowest = level,
            (_, false, false) => self.rotate_auto = rotate,
            (false, true, false) => {}
        }
    }

    fn write_data(&mut self, v: u8) {
        match self.init {
            Init::Done => self.imr = v,
            Init::Icw2 => {
                self.base = v & spec::ICW2_BASE;
                self.init = match (self.single, self.needs_icw4) {
                    (false, _) => Init::Icw3,
                    (true, true) => Init::Icw4,
                    (true, false) => Init::Done,
                };
            }
            // The cascade is wired; what software says of it changes nothing.
            Init::Icw3 => self.init = if self.needs_icw4 { Init::Icw4 } else { Init::Done },
            Init::Icw4 => {
                self.auto_eoi = v & spec::ICW4_AEOI != 0;
                self.special_nested = v & spec::ICW4_SFNM != 0;
                self.init = Init::Done;
            }
        }
    }
}

/// Master and slave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pic {
    chips: [Chip; 2],
}

impl Default for Pic {
    fn default() -> Self {
        Self::new()
    }
}

impl Pic {
    /// Both controllers after power-on: everything masked until they are initialised.
    pub fn new() -> Self {
        Self { chips: [Chip::new(), Chip::new()] }
    }

    /// Sets the level of ISA interrupt `irq`, 0 to 15.
    pub fn set(&mut self, irq: u8, level: bool) {
        // The cascade input belongs to the slave.
        if irq != spec::CASCADE {
            self.chips[usize::from(irq >> 3 & 1)].set(irq & 7, level);
            self.cascade();
        }
    }

    /// The slave's output follows its requests.
    fn cascade(&mut self) {
        let level = self.chips[1].request().is_some();
        if level != (self.chips[0].lines & 1 << spec::CASCADE != 0) {
            self.chips[0].set(spec::CASCADE, level);
        }
    }

    /// The INT output to the CPU.
    pub fn intr(&self) -> bool {
        self.chips[0].request().is_some()
    }

    /// Answers an acknowledge cycle with a vector.
    pub fn acknowledge(&mut self) -> u8 {
        let Some(input) = self.chips[0].request() else {
            // The request went away: IRQ 7's vector without a bit in service.
            return self.chips[0].base | spec::SPURIOUS;
        };
        self.chips[0].acknowledge(input);
        let vector = if input == spec::CASCADE {
            let slave = &mut self.chips[1];
            match slave.request() {
                Some(input) => {
                    slave.acknowledge(input);
                    slave.base | input
                }
                None => slave.base | spec::SPURIOUS,
            }
        } else {
            self.chips[0].base | input
        };
        // The slave drops its output in the cycle and raises it for a further request.
        self.chips[0].set(spec::CASCADE, false);
        self.cascade();
        vector
    }
}

impl Device for Pic {
    fn read(&mut self, _ctx: &mut Ctx<'_>, addr: u64, size: u8) -> u64 {
        let v = read_bytes(addr, size, |port| match port {
            spec::ELCR_MASTER => self.chips[0].elcr,
            spec::ELCR_SLAVE => self.chips[1].elcr,
            _ if port & !1 == spec::MASTER => self.chips[0].read(port & 1 != 0),
            _ if port & !1 == spec::SLAVE => self.chips[1].read(port & 1 != 0),
            _ => 0xff,
        });
        self.cascade();
        v
    }

    fn write(&mut self, _ctx: &mut Ctx<'_>, addr: u64, size: u8, value: u64) {
        write_bytes(addr, size, value, |port, v| match port {
            spec::ELCR_MASTER => self.chips[0].elcr = v & spec::ELCR_MASK[0],
            spec::ELCR_SLAVE => self.chips[1].elcr = v & spec::ELCR_MASK[1],
            _ if port & !1 == spec::MASTER => self.chips[0].write(port & 1 != 0, v),
            _ if port & !1 == spec::SLAVE => self.chips[1].write(port & 1 != 0, v),
            _ => {}
        });
        self.cascade();
    }

    fn reset(&mut self) {
        *self = Self::new();
    }
}
