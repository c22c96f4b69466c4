//! The PL031 real-time clock: seconds since 1970 in one register.
//!
//! The time is the virtual clock plus a base. With a host clock the base is set again, through the
//! log, by a read of the time more than a virtual second after the last such read; the match
//! interrupt follows the virtual clock alone.
//!
//! Reference: PrimeCell Real Time Clock (PL031) Technical Reference Manual (DDI 0224), chapter 3.

use super::rtc::RtcBase;
use super::{Ctx, Device, Line, read_words, write_words};
use crate::machine::events::TimerId;
use crate::machine::time::VirtNs;
use serde::{Deserialize, Serialize};

/// Registers.
pub mod spec {
    #![allow(missing_docs, reason = "the names are the manual's")]
    pub const DR: u64 = 0x00;
    pub const MR: u64 = 0x04;
    pub const LR: u64 = 0x08;
    pub const CR: u64 = 0x0c;
    pub const IMSC: u64 = 0x10;
    pub const RIS: u64 = 0x14;
    pub const MIS: u64 = 0x18;
    pub const ICR: u64 = 0x1c;
    pub const PERIPH_ID: u64 = 0xfe0;
    /// RTCPeriphID0 to 3, RTCPCellID0 to 3.
    pub const ID: [u8; 8] = [0x31, 0x10, 0x04, 0x00, 0x0d, 0xf0, 0x05, 0xb1];
}

/// The clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pl031 {
    base: RtcBase,
    line: Line,
    timer: TimerId,
    /// The time is this plus the virtual clock, in nanoseconds.
    offset: i128,
    /// What the guest set the clock ahead of the base by, in seconds.
    ahead: i64,
    /// When the host's clock was last read.
    synced: Option<VirtNs>,
    /// MR.
    match_at: u32,
    /// LR: the value loaded last.
    load: u32,
    /// When the time will be that of MR.
    due: Option<VirtNs>,
    imsc: bool,
    ris: bool,
    level: bool,
}

impl Pl031 {
    /// A clock on `line`.
    pub fn new(base: RtcBase, line: Line, timer: TimerId) -> Self {
        let offset = match base {
            RtcBase::Host => 0,
            RtcBase::Fixed(seconds) => i128::from(seconds) * i128::from(VirtNs::SECOND),
        };
        Self {
            base,
            line,
            timer,
            offset,
            ahead: 0,
            synced: None,
            match_at: 0,
            load: 0,
            due: None,
            imsc: false,
            ris: false,
            level: false,
        }
    }

    fn time(&self, now: VirtNs) -> i128 {
        self.offset + i128::from(now.0)
    }

    fn seconds(&self, now: VirtNs) -> u32 {
        self.time(now).div_euclid(i128::from(VirtNs::SECOND)) as u32
    }

    /// Follows the host's clock.
    fn sync(&mut self, ctx: &mut Ctx<'_>) {
        if self.base != RtcBase::Host || self.synced.is_some_and(|at| ctx.now.since(at) <= VirtNs::SECOND) {
            return;
        }
        let ahead = i128::from(self.ahead) * i128::from(VirtNs::SECOND);
        self.offset = i128::from(ctx.host_clock()) + ahead - i128::from(ctx.now.0);
        self.synced = Some(ctx.now);
        if self.due.is_some() {
            self.wait(ctx.now);
        }
    }

    /// Finds out when the time is MR's next: at once, if it is.
    fn wait(&mut self, now: VirtNs) {
        let seconds = self.match_at.wrapping_sub(self.seconds(now));
        if seconds == 0 {
            self.ris = true;
            self.due = None;
            return;
        }
        let fraction = self.time(now).rem_euclid(i128::from(VirtNs::SECOND)) as u64;
        self.due = Some(now.plus(u64::from(seconds) * VirtNs::SECOND - fraction));
    }

    /// What time did, then the line and the timer, which matters only to who waits for the interrupt.
    fn update(&mut self, ctx: &mut Ctx<'_>) {
        if self.due.is_some_and(|at| at <= ctx.now) {
            self.due = None;
            self.ris = true;
        }
        let level = self.ris && self.imsc;
        if level != self.level {
            self.level = level;
            ctx.set_line(self.line, level);
        }
        ctx.set_timer(self.timer, self.due.filter(|_| self.imsc));
    }

    fn register(&mut self, ctx: &mut Ctx<'_>, at: u64) -> u32 {
        match at {
            spec::DR => {
                self.sync(ctx);
                self.seconds(ctx.now)
            }
            spec::MR => self.match_at,
            spec::LR => self.load,
            // The clock is started and cannot be stopped.
            spec::CR => 1,
            spec::IMSC => self.imsc.into(),
            spec::RIS => self.ris.into(),
            spec::MIS => (self.ris && self.imsc).into(),
            spec::PERIPH_ID..=0xfff => spec::ID[(at - spec::PERIPH_ID) as usize / 4].into(),
            _ => 0,
        }
    }

    fn set_register(&mut self, ctx: &mut Ctx<'_>, at: u64, v: u32) {
        match at {
            spec::MR => {
                self.match_at = v;
                self.wait(ctx.now);
            }
            spec::LR => {
                self.sync(ctx);
                self.load = v;
                let delta = i64::from(v) - i64::from(self.seconds(ctx.now));
                self.ahead += delta;
                self.offset += i128::from(delta) * i128::from(VirtNs::SECOND);
                self.wait(ctx.now);
            }
            spec::IMSC => self.imsc = v & 1 != 0,
            spec::ICR if v & 1 != 0 => self.ris = false,
            _ => {}
        }
    }
}

impl Device for Pl031 {
    fn read(&mut self, ctx: &mut Ctx<'_>, addr: u64, size: u8) -> u64 {
        self.update(ctx);
        let v = read_words(addr, size, |at| self.register(ctx, at));
        self.update(ctx);
        v
    }

    fn write(&mut self, ctx: &mut Ctx<'_>, addr: u64, size: u8, value: u64) {
        self.update(ctx);
        write_words(addr, size, value, |at, v| self.set_register(ctx, at, v));
        self.update(ctx);
    }

    fn timer(&mut self, ctx: &mut Ctx<'_>, _timer: TimerId) {
        self.update(ctx);
    }

    /// Reset clears the interrupt; the time is on the battery.
    fn reset(&mut self) {
        self.match_at = 0;
        self.due = None;
        self.imsc = false;
        self.ris = false;
        self.level = false;
    }
}
