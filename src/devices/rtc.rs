//! The MC146818 real-time clock and its CMOS memory.
//!
//! The time is the virtual clock plus a base. With a host clock the base is set again, through
//! the log, by a read of the time more than a virtual second after the last such read; alarms
//! and other interrupts follow the virtual clock alone.
//!
//! Reference: Motorola MC146818A data sheet (1984).

use super::{Ctx, Device, Line};
use crate::machine::events::TimerId;
use crate::machine::time::VirtNs;
use serde::{Deserialize, Serialize};

/// Registers, bits and times.
pub mod spec {
    #![allow(missing_docs, reason = "the names are the data sheet's")]
    pub const INDEX: u64 = 0x70;
    pub const SIZE: usize = 128;
    pub const SECONDS: u8 = 0;
    pub const SECONDS_ALARM: u8 = 1;
    pub const MINUTES: u8 = 2;
    pub const MINUTES_ALARM: u8 = 3;
    pub const HOURS: u8 = 4;
    pub const HOURS_ALARM: u8 = 5;
    pub const WEEKDAY: u8 = 6;
    pub const DAY: u8 = 7;
    pub const MONTH: u8 = 8;
    pub const YEAR: u8 = 9;
    pub const A: u8 = 10;
    pub const B: u8 = 11;
    pub const C: u8 = 12;
    pub const D: u8 = 13;
    pub const CENTURY: u8 = 0x32;
    pub const A_UIP: u8 = 0x80;
    /// Divider: 32768 Hz crystal, running.
    pub const A_RUN: u8 = 0x20;
    pub const A_DIVIDER: u8 = 0x70;
    pub const B_SET: u8 = 0x80;
    pub const B_PIE: u8 = 0x40;
    pub const B_AIE: u8 = 0x20;
    pub const B_UIE: u8 = 0x10;
    pub const B_BINARY: u8 = 4;
    pub const B_24H: u8 = 2;
    pub const C_IRQF: u8 = 0x80;
    pub const C_PF: u8 = 0x40;
    pub const C_AF: u8 = 0x20;
    pub const C_UF: u8 = 0x10;
    pub const D_VALID: u8 = 0x80;
    pub const PM: u8 = 0x80;
    /// Alarm bytes from here up match everything.
    pub const DONT_CARE: u8 = 0xc0;
    /// The update-in-progress bit rises so long before the update.
    pub const UIP_NS: u64 = 244_000;
    pub const CRYSTAL_HZ: u64 = 32_768;
    pub const DEFAULT_A: u8 = 0x26;
    pub const DEFAULT_B: u8 = 0x02;
    /// Timers: periodic, update.
    pub const TIMERS: u16 = 2;
    pub const DAY_SECONDS: i64 = 86_400;
}

/// Where the time of day comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RtcBase {
    /// The host's clock, read through the log.
    Host,
    /// This time (seconds since 1970) at power-on, then the virtual clock.
    Fixed(i64),
}

/// A date and time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Date {
    year: i64,
    month: u8,
    day: u8,
    hour: u8,
    minute: u8,
    second: u8,
}

impl Date {
    /// Of a time in seconds since 1970, in the proleptic Gregorian calendar.
    fn of(t: i64) -> Self {
        let days = t.div_euclid(spec::DAY_SECONDS);
        let rest = t.rem_euclid(spec::DAY_SECONDS);
        // Years from March, in eras of 400 years, so that leap days end a year.
        let z = days + 719_468;
        let era = z.div_euclid(146_097);
        let doe = z.rem_euclid(146_097);
        let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
        let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
        let mp = (5 * doy + 2) / 153;
        let month = if mp < 10 { mp + 3 } else { mp - 9 };
        Self {
            year: yoe + era * 400 + i64::from(month <= 2),
            month: month as u8,
            day: (doy - (153 * mp + 2) / 5 + 1) as u8,
            hour: (rest / 3600) as u8,
            minute: (rest / 60 % 60) as u8,
            second: (rest % 60) as u8,
        }
    }

    /// Seconds since 1970. Fields out of range count on.
    fn seconds(self) -> i64 {
        let m = i64::from(self.month.clamp(1, 12));
        let y = self.year - i64::from(m <= 2);
        let era = y.div_euclid(400);
        let yoe = y.rem_euclid(400);
        let doy = (153 * ((m + 9) % 12) + 2) / 5 + i64::from(self.day) - 1;
        let days = era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468;
        days * spec::DAY_SECONDS
            + i64::from(self.hour) * 3600
            + i64::from(self.minute) * 60
            + i64::from(self.second)
    }
}

/// Clock and memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rtc {
    base: RtcBase,
    line: Line,
    periodic_timer: TimerId,
    update_timer: TimerId,
    index: u8,
    #[serde(with = "serde_bytes")]
    memory: Vec<u8>,
    /// Register C's flags.
    flags: u8,
    /// The time is this plus the virtual clock, in nanoseconds.
    offset: i128,
    /// What the guest set the clock ahead of the base by, in seconds.
    ahead: i64,
    /// When the host's clock was last read.
    synced: Option<VirtNs>,
    /// The time in seconds while B.SET stops it.
    stopped: Option<i64>,
    level: bool,
}

impl Rtc {
    /// A clock on `line`; its timers are `timer` and the one after it.
    pub fn new(base: RtcBase, line: Line, timer: TimerId) -> Self {
        let mut memory = vec![0; spec::SIZE];
        memory[usize::from(spec::A)] = spec::DEFAULT_A;
        memory[usize::from(spec::B)] = spec::DEFAULT_B;
        let offset = match base {
            RtcBase::Host => 0,
            RtcBase::Fixed(seconds) => i128::from(seconds) * i128::from(VirtNs::SECOND),
        };
        Self {
            base,
            line,
            periodic_timer: timer,
            update_timer: TimerId(timer.0 + 1),
            index: 0,
            memory,
            flags: 0,
            offset,
            ahead: 0,
            synced: None,
            stopped: None,
            level: false,
        }
    }

    /// Tells firmware and old kernels the size of memory, as QEMU does: base memory, extended
    /// memory, memory from 16 MiB to 4 GiB in 64 KiB, memory from 4 GiB in 64 KiB.
    pub fn set_memory_size(&mut self, below_4g: u64, above_4g: u64) {
        let extended = (below_4g >> 10).saturating_sub(1024).min(0xffff) as u16;
        let high = (below_4g.saturating_sub(16 << 20) >> 16).min(0xffff) as u16;
        let m = &mut self.memory;
        m[0x15..0x17].copy_from_slice(&640u16.to_le_bytes());
        m[0x17..0x19].copy_from_slice(&extended.to_le_bytes());
        m[0x30..0x32].copy_from_slice(&extended.to_le_bytes());
        m[0x34..0x36].copy_from_slice(&high.to_le_bytes());
        m[0x5b..0x5e].copy_from_slice(&((above_4g >> 16).min(0xff_ffff) as u32).to_le_bytes()[..3]);
        // Equipment: display, keyboard, FPU; number of CPUs less one is at 5FH.
        m[0x14] = 0x06;
    }

    /// Tells firmware the number of CPUs.
    pub fn set_cpus(&mut self, cpus: usize) {
        self.memory[0x5f] = cpus.saturating_sub(1).min(0xff) as u8;
    }

    fn register(&self, i: u8) -> u8 {
        self.memory[usize::from(i)]
    }

    /// The time in nanoseconds since 1970.
    fn time(&self, now: VirtNs) -> i128 {
        match self.stopped {
            Some(s) => i128::from(s) * i128::from(VirtNs::SECOND),
            None => self.offset + i128::from(now.0),
        }
    }

    fn seconds(&self, now: VirtNs) -> i64 {
        self.time(now).div_euclid(i128::from(VirtNs::SECOND)) as i64
    }

    /// Nanoseconds into the current second.
    fn fraction(&self, now: VirtNs) -> u64 {
        self.time(now).rem_euclid(i128::from(VirtNs::SECOND)) as u64
    }

    /// Follows the host's clock.
    fn sync(&mut self, ctx: &mut Ctx<'_>) {
        if self.base != RtcBase::Host || self.stopped.is_some() {
            return;
        }
        if self.synced.is_some_and(|at| ctx.now.since(at) <= VirtNs::SECOND) {
            return;
        }
        let ahead = i128::from(self.ahead) * i128::from(VirtNs::SECOND);
        self.offset = i128::from(ctx.host_clock()) + ahead - i128::from(ctx.now.0);
        self.synced = Some(ctx.now);
        self.arm_update(ctx);
    }

    fn encode(&self, v: u8) -> u8 {
        if self.register(spec::B) & spec::B_BINARY != 0 { v } else { v / 10 << 4 | v % 10 }
    }

    fn decode(&self, v: u8) -> u8 {
        if self.register(spec::B) & spec::B_BINARY != 0 {
            v
        } else {
            (v >> 4).wrapping_mul(10).wrapping_add(v & 15)
        }
    }

    fn encode_hour(&self, h: u8) -> u8 {
        if self.register(spec::B) & spec::B_24H != 0 {
            return self.encode(h);
        }
        let pm = if h >= 12 { spec::PM } else { 0 };
        self.encode(if h.is_multiple_of(12) { 12 } else { h % 12 }) | pm
    }

    fn decode_hour(&self, v: u8) -> u8 {
        if self.register(spec::B) & spec::B_24H != 0 {
            return self.decode(v);
        }
        self.decode(v & !spec::PM) % 12 + if v & spec::PM != 0 { 12 } else { 0 }
    }

    fn time_register(&self, reg: u8, now: VirtNs) -> u8 {
        let t = self.seconds(now);
        let date = Date::of(t);
        match reg {
            spec::SECONDS => self.encode(date.second),
            spec::MINUTES => self.encode(date.minute),
            spec::HOURS => self.encode_hour(date.hour),
            // 1970-01-01 was a Thursday; Sunday is 1.
            spec::WEEKDAY => self.encode(((t.div_euclid(spec::DAY_SECONDS) + 4).rem_euclid(7) + 1) as u8),
            spec::DAY => self.encode(date.day),
            spec::MONTH => self.encode(date.month),
            spec::YEAR => self.encode(date.year.rem_euclid(100) as u8),
            _ => self.encode(date.year.div_euclid(100).rem_euclid(100) as u8),
        }
    }

    fn set_time_register(&mut self, ctx: &mut Ctx<'_>, reg: u8, v: u8) {
        self.sync(ctx);
        let old = self.seconds(ctx.now);
        let mut date = Date::of(old);
        match reg {
            spec::SECONDS => date.second = self.decode(v),
            spec::MINUTES => date.minute = self.decode(v),
            spec::HOURS => date.hour = self.decode_hour(v),
            spec::DAY => date.day = self.decode(v),
            spec::MONTH => date.month = self.decode(v),
            spec::YEAR => date.year = date.year.div_euclid(100) * 100 + i64::from(self.decode(v)),
            spec::CENTURY => date.year = i64::from(self.decode(v)) * 100 + date.year.rem_euclid(100),
            // The weekday follows from the date.
            _ => return,
        }
        let delta = date.seconds() - old;
        self.ahead += delta;
        match &mut self.stopped {
            Some(s) => *s += delta,
            None => {
                self.offset += i128::from(delta) * i128::from(VirtNs::SECOND);
                self.arm_update(ctx);
            }
        }
    }

    /// Arms the timer of the update cycle where something waits for it.
    fn arm_update(&mut self, ctx: &mut Ctx<'_>) {
        let waits = self.register(spec::B) & (spec::B_AIE | spec::B_UIE) != 0 && self.stopped.is_none();
        let at = ctx.now.plus(VirtNs::SECOND - self.fraction(ctx.now));
        ctx.set_timer(self.update_timer, waits.then_some(at));
    }

    /// The period of the periodic interrupt in crystal ticks (table 5).
    fn period(&self) -> Option<u64> {
        match self.register(spec::A) & 0xf {
            0 => None,
            // 1 and 2 give the rates of 8 and 9 with this crystal.
            rate @ 1..=2 => Some(1 << (rate + 6)),
            rate => Some(1 << (rate - 1)),
        }
    }

    fn arm_periodic(&mut self, ctx: &mut Ctx<'_>) {
        let running = self.register(spec::A) & spec::A_DIVIDER == spec::A_RUN;
        let waits = running && self.register(spec::B) & spec::B_PIE != 0;
        let at = self.period().filter(|_| waits).map(|period| {
            let ticks = ctx.now.ticks(spec::CRYSTAL_HZ);
            VirtNs::of_ticks((ticks / period + 1) * period, spec::CRYSTAL_HZ)
        });
        ctx.set_timer(self.periodic_timer, at);
    }

    fn update_line(&mut self, ctx: &mut Ctx<'_>) {
        let active = self.flags & self.register(spec::B) & (spec::C_PF | spec::C_AF | spec::C_UF) != 0;
        if active {
            self.flags |= spec::C_IRQF;
        }
        if active != self.level {
            self.level = active;
            ctx.set_line(self.line, active);
        }
    }

    fn alarm_matches(&self, now: VirtNs) -> bool {
        [spec::SECONDS, spec::MINUTES, spec::HOURS].iter().all(|&reg| {
            let alarm = self.register(reg + 1);
            alarm >= spec::DONT_CARE || alarm == self.time_register(reg, now)
        })
    }

    fn uip(&self, now: VirtNs) -> bool {
        self.stopped.is_none() && self.fraction(now) >= VirtNs::SECOND - spec::UIP_NS
    }

    fn read_data(&mut self, ctx: &mut Ctx<'_>) -> u8 {
        match self.index {
            spec::SECONDS | spec::MINUTES | spec::HOURS | spec::WEEKDAY..=spec::YEAR | spec::CENTURY => {
                self.sync(ctx);
                self.time_register(self.index, ctx.now)
            }
            spec::A => {
                self.sync(ctx);
                self.register(spec::A) | if self.uip(ctx.now) { spec::A_UIP } else { 0 }
            }
            spec::C => {
                let flags = std::mem::take(&mut self.flags);
                self.update_line(ctx);
                flags
            }
            spec::D => spec::D_VALID,
            i => self.register(i),
        }
    }

    fn write_data(&mut self, ctx: &mut Ctx<'_>, v: u8) {
        let i = self.index;
        match i {
            spec::SECONDS | spec::MINUTES | spec::HOURS | spec::WEEKDAY..=spec::YEAR | spec::CENTURY => {
                self.set_time_register(ctx, i, v);
            }
            spec::A => {
                self.memory[usize::from(i)] = v & !spec::A_UIP;
                self.arm_periodic(ctx);
            }
            spec::B => {
                let set = v & spec::B_SET != 0;
                match self.stopped {
                    None if set => self.stopped = Some(self.seconds(ctx.now)),
                    Some(s) if !set => {
                        self.stopped = None;
                        let ns = i128::from(s) * i128::from(VirtNs::SECOND);
                        self.offset = ns - i128::from(ctx.now.0);
                    }
                    _ => {}
                }
                // SET clears the update-ended interrupt.
                self.memory[usize::from(i)] = if set { v & !spec::B_UIE } else { v };
                self.arm_periodic(ctx);
                self.arm_update(ctx);
                self.update_line(ctx);
            }
            spec::C | spec::D => {}
            _ => self.memory[usize::from(i)] = v,
        }
    }
}

impl Device for Rtc {
    fn read(&mut self, ctx: &mut Ctx<'_>, addr: u64, size: u8) -> u64 {
        super::read_bytes(addr, size, |port| if port & 1 == 0 { 0xff } else { self.read_data(ctx) })
    }

    fn write(&mut self, ctx: &mut Ctx<'_>, addr: u64, size: u8, value: u64) {
        super::write_bytes(addr, size, value, |port, v| {
            if port & 1 == 0 {
                // Bit 7 masks NMI on old boards; like QEMU's it does nothing here.
                self.index = v & 0x7f;
            } else {
                self.write_data(ctx, v);
            }
        });
    }

    fn timer(&mut self, ctx: &mut Ctx<'_>, timer: TimerId) {
        if timer == self.periodic_timer {
            self.flags |= spec::C_PF;
            self.arm_periodic(ctx);
        } else {
            self.flags |= spec::C_UF;
            if self.alarm_matches(ctx.now) {
                self.flags |= spec::C_AF;
            }
            self.arm_update(ctx);
        }
        self.update_line(ctx);
    }

    /// RESET clears the interrupt enables and flags; time and memory are on the battery.
    fn reset(&mut self) {
        self.index = 0;
        self.memory[usize::from(spec::B)] &= !(spec::B_PIE | spec::B_AIE | spec::B_UIE);
        self.flags = 0;
        self.level = false;
    }
}
