//! I/O APIC.
use serde::{Deserialize, Serialize};
/// IOAPIC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IoApic {
    id: u32,
    sel: u8,
    rte: Vec<u64>,
    level: u32,
}
impl Default for IoApic {
    fn default() -> Self {
        Self { id: 0, sel: 0, rte: vec![0x10000; 24], level: 0 }
    }
}
impl IoApic {
    /// read
    pub fn read(&self, a: u64) -> u32 {
        if a & 0xff == 0 {
            return self.sel.into();
        }
        match self.sel {
            0 | 2 => self.id,
            1 => 0x170011,
            n @ 0x10..=0x3f => {
                let e = self.rte[usize::from(n - 16) / 2];
                if n & 1 == 0 { e as u32 } else { (e >> 32) as u32 }
            }
            _ => 0,
        }
    }
    /// write
    pub fn write(&mut self, a: u64, v: u32) {
        if a & 0xff == 0 {
            self.sel = v as u8;
            return;
        }
        match self.sel {
            0 => self.id = v & 0x0f00_0000,
            n @ 0x10..=0x3f => {
                let e = &mut self.rte[usize::from(n - 16) / 2];
                *e = if n & 1 == 0 {
                    *e & !0xffff_ffff | u64::from(v) & !0x5000 | *e & 0x5000
                } else {
                    *e & 0xffff_ffff | u64::from(v) << 32
                };
                if *e & 0x8000 == 0 {
                    *e &= !0x4000;
                }
            }
            _ => {}
        }
    }
    /// line: returns a message
    pub fn set_line(&mut self, pin: u16, level: bool) -> Option<u64> {
        let b = 1 << pin;
        let old = self.level & b != 0;
        if level {
            self.level |= b
        } else {
            self.level &= !b
        }
        let e = self.rte[usize::from(pin)];
        if e & 0x8000 != 0 {
            self.service(pin)
        } else if level && !old && e & 0x10000 == 0 {
            Some(e)
        } else {
            None
        }
    }
    /// level service
    pub fn service(&mut self, pin: u16) -> Option<u64> {
        let e = &mut self.rte[usize::from(pin)];
        if *e & 0x1c000 == 0x8000 && self.level & 1 << pin != 0 {
            *e |= 0x4000;
            Some(*e)
        } else {
            None
        }
    }
    /// eoi
    pub fn eoi(&mut self, v: u8) -> Vec<u64> {
        let mut out = vec![];
        for p in 0..24u16 {
            let e = &mut self.rte[usize::from(p)];
            if *e as u8 == v && *e & 0x8000 != 0 {
                *e &= !0x4000;
                out.extend(self.service(p));
            }
        }
        out
    }
}
