//! The high precision event timer: a 100 MHz counter and three comparators.
//!
//! Reference: IA-PC HPET specification 1.0a (2004), section 2.3.

use super::{Ctx, Device, Line};
use crate::machine::events::TimerId;
use crate::machine::time::VirtNs;
use serde::{Deserialize, Serialize};

/// Registers, bits and rates.
pub mod spec {
    #![allow(missing_docs, reason = "the names are the specification's")]
    pub const BASE: u64 = 0xfed0_0000;
    pub const SIZE: u64 = 0x400;
    pub const TIMERS: usize = 3;
    /// Nanoseconds of a tick.
    pub const TICK_NS: u64 = 10;
    /// The same in femtoseconds, for the capabilities.
    pub const PERIOD_FS: u64 = 10_000_000;
    pub const CAPABILITIES: u64 = 0x000;
    pub const CONFIGURATION: u64 = 0x010;
    pub const STATUS: u64 = 0x020;
    pub const COUNTER: u64 = 0x0f0;
    pub const TIMER0: u64 = 0x100;
    pub const TIMER_STRIDE: u64 = 0x20;
    /// Vendor 8086H, legacy routing, 64 bits, three timers, revision 1.
    pub const CAPABILITY_VALUE: u64 = PERIOD_FS << 32 | 0x8086_a001 | (TIMERS as u64 - 1) << 8;
    pub const ENABLE: u64 = 1;
    pub const LEGACY: u64 = 2;
    pub const T_LEVEL: u64 = 1 << 1;
    pub const T_ENABLE: u64 = 1 << 2;
    pub const T_PERIODIC: u64 = 1 << 3;
    /// Periodic capable, 64 bits.
    pub const T_CAPABLE: u64 = 1 << 4 | 1 << 5;
    pub const T_SET: u64 = 1 << 6;
    pub const T_32: u64 = 1 << 8;
    pub const T_ROUTE_SHIFT: u64 = 9;
    pub const T_WRITABLE: u64 = 0x3f4e;
    /// I/O APIC inputs a timer may use: QEMU's `pc` has input 2 only.
    pub const T_ROUTES: u64 = 0x4;
}

/// One comparator.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Comparator {
    config: u64,
    value: u64,
    period: u64,
    /// The counter at which the armed timer fires.
    target: u64,
    /// The interrupt route register for messages; storage, since they are not offered.
    fsb: u64,
}

/// The timer block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hpet {
    line: Line,
    timer: TimerId,
    config: u64,
    status: u64,
    /// The counter while stopped; while running, what to add to the clock's ticks.
    counter: u64,
    comparators: [Comparator; spec::TIMERS],
    levels: [bool; spec::TIMERS],
}

impl Hpet {
    /// Stopped, at zero. Comparator i raises line `line` + i; the board asks [`Hpet::route`] where
    /// that goes. Its timers begin with `timer`.
    pub fn new(line: Line, timer: TimerId) -> Self {
        Self {
            line,
            timer,
            config: 0,
            status: 0,
            counter: 0,
            comparators: std::array::from_fn(|_| Comparator::default()),
            levels: [false; spec::TIMERS],
        }
    }

    /// Legacy replacement: comparators 0 and 1 take the place of the 8254 and the RTC.
    pub fn legacy(&self) -> bool {
        self.config & (spec::LEGACY | spec::ENABLE) == spec::LEGACY | spec::ENABLE
    }

    /// The I/O APIC input of comparator `i` outside legacy replacement.
    pub fn route(&self, i: usize) -> usize {
        self.comparators.get(i).map_or(0, |c| (c.config >> spec::T_ROUTE_SHIFT & 31) as usize)
    }

    fn enabled(&self) -> bool {
        self.config & spec::ENABLE != 0
    }

    fn now(&self, ctx: &Ctx<'_>) -> u64 {
        if self.enabled() { (ctx.now.0 / spec::TICK_NS).wrapping_add(self.counter) } else { self.counter }
    }

    fn width(&self, i: usize) -> u64 {
        if self.comparators[i].config & spec::T_32 != 0 { 0xffff_ffff } else { u64::MAX }
    }

    /// Computes when comparator `i` matches next.
    fn arm(&mut self, ctx: &mut Ctx<'_>, i: usize) {
        let id = TimerId(self.timer.0 + i as u16);
        if !self.enabled() {
            ctx.set_timer(id, None);
            return;
        }
        let (now, mask) = (self.now(ctx), self.width(i));
        let c = &mut self.comparators[i];
        if c.config & spec::T_PERIODIC != 0 && c.period != 0 {
            // Matches that lie in the past (within half the range) were passed already.
            let behind = now.wrapping_sub(c.value) & mask;
            if behind <= mask >> 1 {
                c.value = c.value.wrapping_add((behind / c.period + 1).wrapping_mul(c.period)) & mask;
            }
        }
        let mut ahead = c.value.wrapping_sub(now) & mask;
        if ahead == 0 {
            // A match at this moment has fired; the next comes after a round of the counter.
            ahead = mask;
        }
        c.target = now.wrapping_add(ahead);
        let ticks = ctx.now.0 / spec::TICK_NS;
        let at = ticks.checked_add(ahead).and_then(|t| t.checked_mul(spec::TICK_NS));
        ctx.set_timer(id, at.map(VirtNs));
    }

    fn set_level(&mut self, ctx: &mut Ctx<'_>, i: usize, level: bool) {
        if self.levels[i] != level {
            self.levels[i] = level;
            ctx.set_line(Line(self.line.0 + i as u16), level);
        }
    }

    fn update(&mut self, ctx: &mut Ctx<'_>, i: usize) {
        let c = &self.comparators[i];
        let level = c.config & (spec::T_LEVEL | spec::T_ENABLE) == spec::T_LEVEL | spec::T_ENABLE
            && self.status & 1 << i != 0
            && self.enabled();
        self.set_level(ctx, i, level);
    }

    fn register(&self, ctx: &Ctx<'_>, reg: u64) -> u64 {
        match reg {
            spec::CAPABILITIES => spec::CAPABILITY_VALUE,
            spec::CONFIGURATION => self.config,
            spec::STATUS => self.status,
            spec::COUNTER => self.now(ctx),
            _ => {
                let Some((i, part)) = Self::split(reg) else { return 0 };
                let c = &self.comparators[i];
                match part {
                    0 => c.config | spec::T_CAPABLE | spec::T_ROUTES << 32,
                    8 => c.value & self.width(i),
                    0x10 => c.fsb,
                    _ => 0,
                }
            }
        }
    }

    /// Comparator and its register of an offset.
    fn split(reg: u64) -> Option<(usize, u64)> {
        let at = reg.checked_sub(spec::TIMER0)?;
        let i = (at / spec::TIMER_STRIDE) as usize;
        (i < spec::TIMERS).then_some((i, at % spec::TIMER_STRIDE & !7))
    }

    /// Writes the bits of `mask` of a 64-bit register.
    fn set_register(&mut self, ctx: &mut Ctx<'_>, reg: u64, v: u64, mask: u64) {
        match reg {
            spec::CONFIGURATION => {
                let now = self.now(ctx);
                let was = self.enabled();
                self.config = (self.config & !mask | v & mask) & (spec::ENABLE | spec::LEGACY);
                match (was, self.enabled()) {
                    (false, true) => self.counter = now.wrapping_sub(ctx.now.0 / spec::TICK_NS),
                    (true, false) => self.counter = now,
                    _ => {}
                }
                for i in 0..spec::TIMERS {
                    self.update(ctx, i);
                    if was != self.enabled() {
                        self.arm(ctx, i);
                    }
                }
            }
            spec::STATUS => {
                self.status &= !(v & mask);
                for i in 0..spec::TIMERS {
                    self.update(ctx, i);
                }
            }
            // Software writes the counter only while it is stopped (section 2.3.7).
            spec::COUNTER if !self.enabled() => self.counter = self.counter & !mask | v & mask,
            _ => {
                let Some((i, part)) = Self::split(reg) else { return };
                let width = self.width(i);
                let c = &mut self.comparators[i];
                match part {
                    0 => {
                        let writable = spec::T_WRITABLE & mask;
                        c.config = c.config & !writable | v & writable;
                        if c.config & spec::T_32 != 0 {
                            c.value &= 0xffff_ffff;
                            c.period &= 0xffff_ffff;
                        }
                        self.update(ctx, i);
                        self.arm(ctx, i);
                    }
                    8 => {
                        // Without VAL_SET a periodic comparator's write sets its period only
                        // (section 2.3.9.2.2); the bit clears itself.
                        let periodic = c.config & spec::T_PERIODIC != 0;
                        if !periodic || c.config & spec::T_SET != 0 {
                            c.value = (c.value & !mask | v & mask) & width;
                        }
                        if periodic {
                            c.period = (c.period & !mask | v & mask) & width;
                        }
                        // A 64-bit value comes in two halves; the second still sets.
                        if mask >> 32 != 0 || c.config & spec::T_32 != 0 || v >> 32 == 0 {
                            c.config &= !spec::T_SET;
                        }
                        self.arm(ctx, i);
                    }
                    0x10 => c.fsb = c.fsb & !mask | v & mask,
                    _ => {}
                }
            }
        }
    }
}

impl Device for Hpet {
    fn read(&mut self, ctx: &mut Ctx<'_>, addr: u64, _size: u8) -> u64 {
        let at = addr & (spec::SIZE - 1);
        self.register(ctx, at & !7) >> (8 * (at & 7))
    }

    /// Only doublewords and quadwords are defined; bytes and words write their part.
    fn write(&mut self, ctx: &mut Ctx<'_>, addr: u64, size: u8, value: u64) {
        let at = addr & (spec::SIZE - 1);
        let shift = 8 * (at & 7);
        let mask = (u64::MAX >> (64 - 8 * u64::from(size.clamp(1, 8)))) << shift;
        self.set_register(ctx, at & !7, value << shift, mask);
    }

    fn timer(&mut self, ctx: &mut Ctx<'_>, timer: TimerId) {
        let i = usize::from(timer.0.wrapping_sub(self.timer.0));
        let Some(c) = self.comparators.get(i) else { return };
        let (config, matched) = (c.config, self.now(ctx) >= c.target);
        if matched {
            if config & spec::T_LEVEL != 0 {
                self.status |= 1 << i;
                self.update(ctx, i);
            } else if config & spec::T_ENABLE != 0 {
                self.set_level(ctx, i, true);
                self.set_level(ctx, i, false);
            }
        }
        self.arm(ctx, i);
    }

    fn reset(&mut self) {
        *self = Self::new(self.line, self.timer);
    }
}
