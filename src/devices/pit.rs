//! The 8254 programmable interval timer and port 61H: gate and output of counter 2, the speaker.
//!
//! A counter's state is when it was started; output and count are functions of the virtual clock.
//!
//! References: Intel 8254 data sheet (1993), Intel 82371SB (PIIX3) data sheet, section 2.5.4 (NMI
//! status and control register).

use super::{Ctx, Device, Line, read_bytes, write_bytes};
use crate::machine::events::TimerId;
use crate::machine::time::VirtNs;
use serde::{Deserialize, Serialize};

/// Ports, bits and rates.
pub mod spec {
    #![allow(missing_docs, reason = "the names are the data sheet's")]
    pub const HZ: u64 = 1_193_182;
    pub const COUNTER0: u64 = 0x40;
    pub const COUNTER2: u64 = 0x42;
    pub const CONTROL: u64 = 0x43;
    pub const NMI_SC: u64 = 0x61;
    /// Control word: counter latch command when the access bits are zero.
    pub const ACCESS_SHIFT: u8 = 4;
    pub const BCD: u8 = 1;
    /// Read-back command: do not latch the count, the status.
    pub const READ_BACK: u8 = 3;
    pub const NO_COUNT: u8 = 0x20;
    pub const NO_STATUS: u8 = 0x10;
    pub const STATUS_OUT: u8 = 0x80;
    pub const STATUS_NULL: u8 = 0x40;
    pub const SC_GATE2: u8 = 0x01;
    pub const SC_SPEAKER: u8 = 0x02;
    /// Writable bits of port 61H.
    pub const SC_WRITABLE: u8 = 0x0f;
    pub const SC_REFRESH: u8 = 0x10;
    pub const SC_OUT2: u8 = 0x20;
    /// Nanoseconds between two DRAM refreshes: 18 ticks.
    pub const REFRESH_NS: u64 = 15_085;
}

/// How the bytes of a count are transferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Access {
    Low,
    High,
    Both,
}

/// One counter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Counter {
    mode: u8,
    bcd: bool,
    access: Access,
    /// The initial count in binary, 1 to 10000H; `None` after a control word.
    count: Option<u32>,
    /// Tick at which counting began; `None` before the trigger of modes 1 and 5.
    start: Option<u64>,
    /// Ticks counted when the gate stopped counting.
    frozen: u64,
    gate: bool,
    /// A count that takes over at the tick, the end of the period (modes 2 and 3).
    reload: Option<(u32, u64)>,
    /// The low byte of a two-byte write.
    low: Option<u8>,
    /// The next read of a two-byte count is the high byte.
    read_high: bool,
    latch: Option<u16>,
    status: Option<u8>,
}

impl Counter {
    fn new(gate: bool) -> Self {
        Self {
            mode: 0,
            bcd: false,
            access: Access::Both,
            count: None,
            start: None,
            frozen: 0,
            gate,
            reload: None,
            low: None,
            read_high: false,
            latch: None,
            status: None,
        }
    }

    /// Takes over a new count whose time has come.
    fn settle(&mut self, t: u64) {
        if let Some((count, at)) = self.reload
            && t >= at
        {
            self.count = Some(count);
            self.start = Some(at);
            self.reload = None;
        }
    }

    /// True when the gate's level (not its edge) lets the counter count.
    fn gated(&self) -> bool {
        matches!(self.mode, 0 | 2 | 3 | 4)
    }

    /// Ticks counted; `None` when not started.
    fn elapsed(&self, t: u64) -> Option<u64> {
        let start = self.start?;
        Some(if self.gated() && !self.gate { self.frozen } else { t.saturating_sub(start) })
    }

    /// The counting element.
    fn value(&self, t: u64) -> u16 {
        let n = u64::from(self.count.unwrap_or(0));
        let modulus = if self.bcd { 10_000 } else { 0x1_0000 };
        let v = match (self.elapsed(t), self.mode) {
            (None, _) => n,
            (Some(_), _) if n == 0 => 0,
            (Some(d), 2) => n - d % n,
            // Counts down by two, twice a period; odd counts lose one first.
            (Some(d), 3) => {
                let d = d % n;
                let half = n.div_ceil(2);
                let even = n & !1;
                let d = if d < half { d } else { d - half };
                even - (2 * d).min(even.saturating_sub(2))
            }
            (Some(d), _) => (n + modulus - d % modulus) % modulus,
        } % modulus;
        if self.bcd { to_bcd(v) } else { v as u16 }
    }

    /// The output pin.
    fn out(&self, t: u64) -> bool {
        let n = u64::from(self.count.unwrap_or(0));
        let Some(d) = self.elapsed(t) else { return self.mode != 0 };
        match self.mode {
            0 | 1 => d >= n,
            2 => !self.gate || n == 0 || d % n != n - 1,
            3 => !self.gate || n == 0 || d % n < n.div_ceil(2),
            _ => d != n,
        }
    }

    /// The next tick after `t` at which the output rises.
    fn next_rise(&self, t: u64) -> Option<u64> {
        if self.gated() && !self.gate {
            return None;
        }
        let (start, n) = (self.start?, u64::from(self.count?));
        let rise = match self.mode {
            0 | 1 => start + n,
            2 | 3 => start + (t.saturating_sub(start) / n + 1) * n,
            _ => start + n + 1,
        };
        (rise > t).then_some(rise)
    }

    fn set_gate(&mut self, gate: bool, t: u64) {
        if gate == self.gate {
            return;
        }
        self.settle(t);
        if gate {
            match self.mode {
                // Rising edge: trigger.
                1 | 5 if self.count.is_some() => self.start = Some(t),
                2 | 3 if self.count.is_some() => self.start = Some(t),
                _ if self.start.is_some() => self.start = Some(t.saturating_sub(self.frozen)),
                _ => {}
            }
        } else if self.gated() {
            self.frozen = self.elapsed(t).unwrap_or(0);
        }
        self.gate = gate;
    }

    fn control(&mut self, v: u8) {
        self.access = match v >> spec::ACCESS_SHIFT & 3 {
            1 => Access::Low,
            2 => Access::High,
            _ => Access::Both,
        };
        // Modes 6 and 7 are 2 and 3.
        self.mode = match v >> 1 & 7 {
            m @ 6..=7 => m & 3,
            m => m,
        };
        self.bcd = v & spec::BCD != 0;
        self.count = None;
        self.start = None;
        self.frozen = 0;
        self.reload = None;
        self.low = None;
        self.read_high = false;
        self.latch = None;
        self.status = None;
    }

    fn load(&mut self, raw: u16, t: u64) {
        let n = match (raw, self.bcd) {
            (0, false) => 0x1_0000,
            (0, true) => 10_000,
            (raw, true) => from_bcd(raw),
            (raw, false) => u32::from(raw),
        };
        self.settle(t);
        match (self.mode, self.count, self.start) {
            // A running period is finished first.
            (2 | 3, Some(old), Some(start)) if self.gate => {
                let old = u64::from(old);
                let end = start + (t.saturating_sub(start) / old + 1) * old;
                self.reload = Some((n, end));
            }
            (1 | 5, _, _) => self.count = Some(n),
            _ => {
                self.count = Some(n);
                self.start = Some(t);
                self.frozen = 0;
            }
        }
    }

    fn write(&mut self, v: u8, t: u64) {
        match self.access {
            Access::Low => self.load(v.into(), t),
            Access::High => self.load(u16::from(v) << 8, t),
            Access::Both => match self.low.take() {
                None => {
                    self.low = Some(v);
                    if self.mode == 0 {
                        // The first byte stops counting (data sheet, mode 0).
                        self.count = None;
                        self.start = None;
                    }
                }
                Some(low) => self.load(u16::from_le_bytes([low, v]), t),
            },
        }
    }

    fn read(&mut self, t: u64) -> u8 {
        if let Some(status) = self.status.take() {
            return status;
        }
        let [low, high] = self.latch.unwrap_or_else(|| self.value(t)).to_le_bytes();
        match self.access {
            Access::Low => {
                self.latch = None;
                low
            }
            Access::High => {
                self.latch = None;
                high
            }
            Access::Both => {
                self.read_high = !self.read_high;
                if self.read_high {
                    return low;
                }
                self.latch = None;
                high
            }
        }
    }

    fn status(&self, t: u64) -> u8 {
        let access = match self.access {
            Access::Low => 1,
            Access::High => 2,
            Access::Both => 3,
        };
        let out = if self.out(t) { spec::STATUS_OUT } else { 0 };
        let null = if self.count.is_none() || self.reload.is_some() { spec::STATUS_NULL } else { 0 };
        out | null | access << spec::ACCESS_SHIFT | self.mode << 1 | u8::from(self.bcd)
    }
}

fn to_bcd(v: u64) -> u16 {
    (0..4).fold(0, |bcd, i| bcd | ((v / 10u64.pow(i) % 10) as u16) << (4 * i))
}

fn from_bcd(raw: u16) -> u32 {
    (0..4).rev().fold(0, |v, i| v * 10 + u32::from(raw >> (4 * i) & 0xf)).max(1)
}

/// The timer chip and port 61H.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pit {
    counters: [Counter; 3],
    /// Writable bits of port 61H.
    control: u8,
    line: Line,
    timer: TimerId,
}

impl Pit {
    /// The chip before it is programmed. Counter 0 drives `line`.
    pub fn new(line: Line, timer: TimerId) -> Self {
        Self {
            counters: [Counter::new(true), Counter::new(true), Counter::new(false)],
            control: 0,
            line,
            timer,
        }
    }

    fn rearm(&mut self, ctx: &mut Ctx<'_>) {
        let t = ctx.now.ticks(spec::HZ);
        let c = &mut self.counters[0];
        c.settle(t);
        let next = c.next_rise(t).map(|tick| VirtNs::of_ticks(tick, spec::HZ));
        ctx.set_timer(self.timer, next);
    }

    fn port_write(&mut self, ctx: &mut Ctx<'_>, port: u64, v: u8) {
        let t = ctx.now.ticks(spec::HZ);
        match port {
            spec::COUNTER0..=spec::COUNTER2 => {
                let i = (port - spec::COUNTER0) as usize;
                self.counters[i].settle(t);
                self.counters[i].write(v, t);
                if i == 0 {
                    self.rearm(ctx);
                }
            }
            spec::CONTROL => match v >> 6 {
                spec::READ_BACK => {
                    for (i, c) in self.counters.iter_mut().enumerate() {
                        if v & 2 << i != 0 {
                            c.settle(t);
                            if v & spec::NO_STATUS == 0 && c.status.is_none() {
                                c.status = Some(c.status(t));
                            }
                            if v & spec::NO_COUNT == 0 && c.latch.is_none() {
                                c.latch = Some(c.value(t));
                            }
                        }
                    }
                }
                i => {
                    let c = &mut self.counters[usize::from(i)];
                    c.settle(t);
                    if v >> spec::ACCESS_SHIFT & 3 == 0 {
                        c.latch.get_or_insert(c.value(t));
                        return;
                    }
                    c.control(v);
                    if i == 0 {
                        // Mode 0 drives the output low at once, the others high.
                        let out = c.mode != 0;
                        ctx.set_line(self.line, out);
                        self.rearm(ctx);
                    }
                }
            },
            spec::NMI_SC => {
                self.control = v & spec::SC_WRITABLE;
                self.counters[2].set_gate(v & spec::SC_GATE2 != 0, t);
            }
            _ => {}
        }
    }

    fn port_read(&mut self, ctx: &mut Ctx<'_>, port: u64) -> u8 {
        let t = ctx.now.ticks(spec::HZ);
        match port {
            spec::COUNTER0..=spec::COUNTER2 => {
                let c = &mut self.counters[(port - spec::COUNTER0) as usize];
                c.settle(t);
                c.read(t)
            }
            spec::NMI_SC => {
                self.counters[2].settle(t);
                let refresh = if ctx.now.0 / spec::REFRESH_NS & 1 != 0 { spec::SC_REFRESH } else { 0 };
                let out = if self.counters[2].out(t) { spec::SC_OUT2 } else { 0 };
                self.control | refresh | out
            }
            _ => 0xff,
        }
    }
}

impl Device for Pit {
    fn read(&mut self, ctx: &mut Ctx<'_>, addr: u64, size: u8) -> u64 {
        read_bytes(addr, size, |port| self.port_read(ctx, port))
    }

    fn write(&mut self, ctx: &mut Ctx<'_>, addr: u64, size: u8, value: u64) {
        write_bytes(addr, size, value, |port, v| self.port_write(ctx, port, v));
    }

    /// Counter 0's output rises. Its falling edge has no effect anywhere, so that it has no
    /// timer of its own: the line falls just before it rises.
    fn timer(&mut self, ctx: &mut Ctx<'_>, _timer: TimerId) {
        ctx.set_line(self.line, false);
        ctx.set_line(self.line, true);
        self.rearm(ctx);
    }

    fn reset(&mut self) {
        *self = Self::new(self.line, self.timer);
    }
}
