//! Two cascaded 8259A interrupt controllers (Intel 8259A datasheet, order 231468).

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Chip {
    irr: u8,
    imr: u8,
    isr: u8,
    level: u8,
    elcr: u8,
    base: u8,
    step: u8,
    icw4: bool,
    aeoi: bool,
    rotate_aeoi: bool,
    read_isr: bool,
    special_mask: bool,
    poll: bool,
    lowest: u8,
}

impl Chip {
    fn set(&mut self, pin: u8, level: bool) {
        let bit = 1 << pin;
        if level {
            if self.elcr & bit != 0 || self.level & bit == 0 {
                self.irr |= bit;
            }
            self.level |= bit;
        } else {
            self.level &= !bit;
            if self.elcr & bit != 0 {
                self.irr &= !bit;
            }
        }
    }
    fn priority(&self, set: u8) -> Option<u8> {
        (1..=8).map(|i| (self.lowest + i) & 7).find(|p| set >> p & 1 != 0)
    }
    fn rank(&self, pin: u8) -> u8 {
        pin.wrapping_sub(self.lowest).wrapping_sub(1) & 7
    }
    fn pending(&self) -> Option<u8> {
        let p = self.priority(self.irr & !self.imr)?;
        let isr = if self.special_mask { self.isr & !self.imr } else { self.isr };
        match self.priority(isr) {
            Some(s) if self.rank(s) <= self.rank(p) => None,
            _ => Some(p),
        }
    }
    fn ack(&mut self) -> u8 {
        let Some(p) = self.pending() else { return 7 };
        if self.elcr & 1 << p == 0 {
            self.irr &= !(1 << p);
        }
        if self.aeoi {
            if self.rotate_aeoi {
                self.lowest = p;
            }
        } else {
            self.isr |= 1 << p;
        }
        p
    }
    fn write0(&mut self, v: u8) {
        if v & 0x10 != 0 {
            let (elcr, level) = (self.elcr, self.level);
            *self = Self { elcr, level, step: 1, icw4: v & 1 != 0, lowest: 7, ..Self::default() };
            self.irr = level & elcr;
        } else if v & 8 != 0 {
            if v & 2 != 0 {
                self.read_isr = v & 1 != 0;
            }
            if v & 4 != 0 {
                self.poll = true;
            }
            if v & 0x40 != 0 {
                self.special_mask = v & 0x20 != 0;
            }
        } else {
            let specific = v & 0x40 != 0;
            let pin = if specific { Some(v & 7) } else { self.priority(self.isr) };
            match v >> 5 {
                1 | 3 | 5 | 7 => {
                    if let Some(p) = pin {
                        self.isr &= !(1 << p);
                        if v & 0x80 != 0 {
                            self.lowest = p;
                        }
                    }
                }
                6 => self.lowest = v & 7,
                4 => self.rotate_aeoi = true,
                0 => self.rotate_aeoi = false,
                _ => {}
            }
        }
    }
    fn write1(&mut self, v: u8) {
        match self.step {
            1 => {
                self.base = v & 0xf8;
                self.step = 2;
            }
            2 => self.step = if self.icw4 { 3 } else { 0 },
            3 => {
                self.aeoi = v & 2 != 0;
                self.step = 0;
            }
            _ => self.imr = v,
        }
    }
}

/// The pair.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pic {
    chips: [Chip; 2],
}

impl Pic {
    /// Sets an ISA interrupt line.
    pub fn set_line(&mut self, irq: u8, level: bool) {
        self.chips[usize::from(irq >> 3)].set(irq & 7, level);
        self.cascade();
    }
    fn cascade(&mut self) {
        let out = self.chips[1].pending().is_some();
        self.chips[0].set(2, out);
        if !out {
            self.chips[0].irr &= !4;
        } else {
            self.chips[0].irr |= 4;
        }
    }
    /// The INT output.
    pub fn output(&self) -> bool {
        self.chips[0].pending().is_some()
    }
    /// The vector for an acknowledge cycle.
    pub fn acknowledge(&mut self) -> u8 {
        let p = self.chips[0].ack();
        let v = if p == 2 { self.chips[1].ack() + self.chips[1].base } else { self.chips[0].base + p };
        self.cascade();
        v
    }
    /// Port read.
    pub fn read(&mut self, port: u16) -> u8 {
        match port {
            0x4d0 => return self.chips[0].elcr,
            0x4d1 => return self.chips[1].elcr,
            _ => {}
        }
        let c = &mut self.chips[usize::from(port >= 0xa0)];
        let v = if port & 1 != 0 {
            c.imr
        } else if std::mem::take(&mut c.poll) {
            match c.pending() {
                Some(_) => 0x80 | c.ack(),
                None => 0,
            }
        } else if c.read_isr {
            c.isr
        } else {
            c.irr
        };
        self.cascade();
        v
    }
    /// Port write.
    pub fn write(&mut self, port: u16, v: u8) {
        match port {
            0x4d0 => self.chips[0].elcr = v & 0xf8,
            0x4d1 => self.chips[1].elcr = v & 0xde,
            _ => {
                let c = &mut self.chips[usize::from(port >= 0xa0)];
                if port & 1 != 0 { c.write1(v) } else { c.write0(v) }
            }
        }
        self.cascade();
    }
}
