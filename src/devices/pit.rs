//! 8254 interval timer.
use super::{Ctx, Line};
use crate::machine::events::TimerId;
use crate::machine::time::VirtNs;
use serde::{Deserialize, Serialize};
const HZ: u64 = 1_193_182;
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Chan {
    mode: u8,
    rw: u8,
    reload: u32,
    start: u64,
    latch: Option<u16>,
    flip: bool,
    wlow: u8,
    wflip: bool,
    status: Option<u8>,
    gate: bool,
    armed: bool,
}
/// PIT.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pit {
    c: [Chan; 3],
    port61: u8,
    timer_id: u16,
}
impl Chan {
    fn n(&self) -> u64 {
        if self.reload == 0 { 65536 } else { u64::from(self.reload) }
    }
    fn count(&self, t: u64) -> u16 {
        if !self.armed {
            return self.reload as u16;
        }
        let d = t.saturating_sub(self.start);
        (match self.mode {
            2 => self.n() - d % self.n(),
            3 => {
                let p = d * 2 % self.n();
                self.n() - p
            }
            _ => self.n().wrapping_sub(d),
        }) as u16
    }
    fn out(&self, t: u64) -> bool {
        let d = t.saturating_sub(self.start);
        match self.mode {
            0 | 1 => self.armed && d >= self.n(),
            2 => !self.armed || d % self.n() != self.n() - 1,
            3 => !self.armed || d % self.n() < self.n().div_ceil(2),
            _ => d != self.n(),
        }
    }
    fn next(&self, t: u64) -> Option<u64> {
        if !self.armed {
            return None;
        }
        let d = t.saturating_sub(self.start);
        match self.mode {
            2 | 3 => Some(self.start + (d / self.n() + 1) * self.n()),
            _ => (d < self.n()).then(|| self.start + self.n()),
        }
    }
}
impl Pit {
    /// New.
    pub fn new(timer: TimerId) -> Self {
        let mut p = Self { timer_id: timer.0, ..Self::default() };
        p.c[0].gate = true;
        p.c[1].gate = true;
        p
    }
    fn arm(&mut self, ctx: &mut Ctx<'_>) {
        let t = ctx.now.ticks(HZ);
        let d = self.c[0].next(t).map(|k| VirtNs::of_ticks(k, HZ));
        ctx.set_timer(TimerId(self.timer_id), d);
    }
    /// Fires.
    pub fn timer(&mut self, ctx: &mut Ctx<'_>) {
        ctx.set_line(Line(0), false);
        ctx.set_line(Line(0), true);
        self.arm(ctx);
    }
    /// Read.
    pub fn read(&mut self, ctx: &mut Ctx<'_>, port: u16) -> u8 {
        let t = ctx.now.ticks(HZ);
        if port == 0x61 {
            let refresh = (ctx.now.0 / 15_085) & 1;
            return self.port61 & 0xf | (refresh as u8) << 4 | u8::from(self.c[2].out(t)) << 5;
        }
        let i = usize::from(port & 3);
        if i == 3 {
            return 0xff;
        }
        let c = &mut self.c[i];
        if let Some(s) = c.status.take() {
            return s;
        }
        let v = c.latch.unwrap_or_else(|| c.count(t));
        match c.rw {
            1 => {
                c.latch = None;
                v as u8
            }
            2 => {
                c.latch = None;
                (v >> 8) as u8
            }
            _ => {
                c.flip = !c.flip;
                if c.flip {
                    if c.latch.is_none() {
                        c.latch = None;
                    }
                    v as u8
                } else {
                    c.latch = None;
                    (v >> 8) as u8
                }
            }
        }
    }
    /// Write.
    pub fn write(&mut self, ctx: &mut Ctx<'_>, port: u16, v: u8) {
        let t = ctx.now.ticks(HZ);
        if port == 0x61 {
            let gate = v & 1 != 0;
            if gate && !self.c[2].gate {
                self.c[2].start = t;
            }
            self.c[2].gate = gate;
            self.port61 = v & 0xf;
            return;
        }
        if port & 3 == 3 {
            let sel = v >> 6;
            if sel == 3 {
                for i in 0..3 {
                    if v >> (i + 1) & 1 != 0 {
                        let c = &mut self.c[i];
                        if v & 0x20 == 0 {
                            c.latch.get_or_insert(c.count(t));
                        }
                        if v & 0x10 == 0 {
                            c.status = Some(u8::from(c.out(t)) << 7 | c.rw << 4 | c.mode << 1);
                        }
                    }
                }
            } else {
                let c = &mut self.c[usize::from(sel)];
                if v >> 4 & 3 == 0 {
                    c.latch = Some(c.count(t));
                } else {
                    c.rw = v >> 4 & 3;
                    c.mode = v >> 1 & 7;
                    if c.mode > 5 {
                        c.mode &= 3;
                    }
                    c.flip = false;
                    c.wflip = false;
                    c.armed = false;
                    c.latch = None;
                    if sel == 0 {
                        self.arm(ctx);
                    }
                }
            }
            return;
        }
        let i = usize::from(port & 3);
        let c = &mut self.c[i];
        match c.rw {
            1 => c.reload = v.into(),
            2 => c.reload = u32::from(v) << 8,
            _ => {
                c.wflip = !c.wflip;
                if c.wflip {
                    c.wlow = v;
                    return;
                }
                c.reload = u32::from(v) << 8 | u32::from(c.wlow);
            }
        }
        c.armed = true;
        c.start = t;
        if i == 0 {
            if c.mode == 0 || c.mode == 4 {
                ctx.set_line(Line(0), false);
            }
            self.arm(ctx);
        }
    }
}
