//! Local APIC.
use super::Ctx;
use crate::machine::events::TimerId;
use crate::machine::time::VirtNs;
use serde::{Deserialize, Serialize};
/// LAPIC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalApic {
    id: u8,
    timer_id: u16,
    /// base
    pub base: u64,
    tpr: u8,
    ldr: u32,
    dfr: u32,
    svr: u32,
    isr: [u32; 8],
    tmr: [u32; 8],
    irr: [u32; 8],
    esr: u32,
    icr: u64,
    lvt: [u32; 6],
    init: u32,
    div: u32,
    start: u64,
    /// eoi
    pub eoi: Option<u8>,
    /// ipi
    pub ipi: Option<u64>,
}
fn top(r: &[u32; 8]) -> Option<u8> {
    (0..8).rev().find(|&i| r[i] != 0).map(|i| (i * 32) as u8 + 31 - r[i].leading_zeros() as u8)
}
impl LocalApic {
    /// New.
    pub fn new(id: u8, timer: TimerId) -> Self {
        Self {
            id,
            timer_id: timer.0,
            base: 0xfee0_0900,
            tpr: 0,
            ldr: 0,
            dfr: !0,
            svr: 0xff,
            isr: [0; 8],
            tmr: [0; 8],
            irr: [0; 8],
            esr: 0,
            icr: 0,
            lvt: [0x10000; 6],
            init: 0,
            div: 0,
            start: 0,
            eoi: None,
            ipi: None,
        }
    }
    /// enabled
    pub fn enabled(&self) -> bool {
        self.svr & 0x100 != 0
    }
    /// ExtINT accepted
    pub fn extint(&self) -> bool {
        !self.enabled() || self.lvt[3] & 0x10700 == 0x700
    }
    fn ppr(&self) -> u8 {
        let s = top(&self.isr).unwrap_or(0) & 0xf0;
        if self.tpr & 0xf0 >= s { self.tpr } else { s }
    }
    /// pending
    pub fn pending(&self) -> Option<u8> {
        if !self.enabled() {
            return None;
        }
        top(&self.irr).filter(|v| v & 0xf0 > self.ppr() & 0xf0)
    }
    /// accept
    pub fn accept(&mut self, v: u8, level: bool) {
        let (i, b) = (usize::from(v >> 5), 1 << (v & 31));
        self.irr[i] |= b;
        if level { self.tmr[i] |= b } else { self.tmr[i] &= !b }
    }
    /// ack
    pub fn acknowledge(&mut self) -> Option<u8> {
        let v = self.pending()?;
        let (i, b) = (usize::from(v >> 5), 1 << (v & 31));
        self.irr[i] &= !b;
        self.isr[i] |= b;
        Some(v)
    }
    /// logical match
    pub fn matches(&self, dest: u8, logical: bool) -> bool {
        if !logical {
            dest == 0xff || dest == self.id
        } else if self.dfr >> 28 == 0xf {
            dest & (self.ldr >> 24) as u8 != 0
        } else {
            let l = (self.ldr >> 24) as u8;
            dest >> 4 == l >> 4 && dest & l & 15 != 0
        }
    }
    fn shift(&self) -> u32 {
        let d = self.div & 3 | (self.div >> 1) & 4;
        (d + 1) & 7
    }
    fn current(&self, now: VirtNs) -> u32 {
        if self.init == 0 {
            return 0;
        }
        let d = (now.0 - self.start) >> self.shift();
        if self.lvt[0] & 0x20000 != 0 {
            self.init - (d % u64::from(self.init)) as u32
        } else {
            u64::from(self.init).saturating_sub(d) as u32
        }
    }
    fn arm(&mut self, ctx: &mut Ctx<'_>) {
        let d = (self.init != 0)
            .then(|| {
                let d = (ctx.now.0 - self.start) >> self.shift();
                let n = u64::from(self.init);
                let k = if self.lvt[0] & 0x20000 != 0 {
                    d / n + 1
                } else if d >= n {
                    return None;
                } else {
                    1
                };
                Some(VirtNs(self.start + ((k * n) << self.shift())))
            })
            .flatten();
        ctx.set_timer(TimerId(self.timer_id), d);
    }
    /// fire
    pub fn timer(&mut self, ctx: &mut Ctx<'_>) {
        if self.lvt[0] & 0x10000 == 0 && self.enabled() {
            self.accept(self.lvt[0] as u8, false);
        }
        self.arm(ctx);
    }
    /// read
    pub fn read(&mut self, ctx: &mut Ctx<'_>, r: u64) -> u32 {
        match r >> 4 {
            2 => u32::from(self.id) << 24,
            3 => 0x50014,
            8 => self.tpr.into(),
            0xa => self.ppr().into(),
            0xd => self.ldr,
            0xe => self.dfr,
            0xf => self.svr,
            n @ 0x10..=0x17 => self.isr[n as usize - 16],
            n @ 0x18..=0x1f => self.tmr[n as usize - 24],
            n @ 0x20..=0x27 => self.irr[n as usize - 32],
            0x28 => self.esr,
            0x30 => self.icr as u32,
            0x31 => (self.icr >> 32) as u32,
            n @ 0x32..=0x37 => self.lvt[n as usize - 0x32],
            0x38 => self.init,
            0x39 => self.current(ctx.now),
            0x3e => self.div,
            _ => 0,
        }
    }
    /// tpr
    pub fn tpr(&self) -> u8 {
        self.tpr
    }
    /// set tpr
    pub fn set_tpr(&mut self, v: u8) {
        self.tpr = v;
    }
    /// write
    pub fn write(&mut self, ctx: &mut Ctx<'_>, r: u64, v: u32) {
        match r >> 4 {
            2 => self.id = (v >> 24) as u8,
            8 => self.tpr = v as u8,
            0xb => {
                if let Some(t) = top(&self.isr) {
                    let (i, b) = (usize::from(t >> 5), 1u32 << (t & 31));
                    self.isr[i] &= !b;
                    if self.tmr[i] & b != 0 {
                        self.eoi = Some(t);
                    }
                }
            }
            0xd => self.ldr = v & 0xff00_0000,
            0xe => self.dfr = v | 0x0fff_ffff,
            0xf => {
                self.svr = v & 0x1ff;
                if v & 0x100 == 0 {
                    for l in &mut self.lvt {
                        *l |= 0x10000;
                    }
                }
            }
            0x28 => self.esr = 0,
            0x31 => self.icr = self.icr & 0xffff_ffff | u64::from(v) << 32,
            0x30 => {
                self.icr = self.icr & !0xffff_ffff | u64::from(v & !0x1000);
                self.ipi = Some(self.icr);
            }
            n @ 0x32..=0x37 => {
                self.lvt[n as usize - 0x32] = v & !0x1000 | if self.enabled() { 0 } else { 0x10000 };
                if n == 0x32 {
                    self.arm(ctx);
                }
            }
            0x38 => {
                self.init = v;
                self.start = ctx.now.0;
                self.arm(ctx);
            }
            0x3e => {
                self.div = v & 0xb;
                self.arm(ctx);
            }
            _ => {}
        }
        ctx.world.attention = true;
    }
}
