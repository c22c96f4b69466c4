//! The local APIC's timer (SDM volume 3, section 10.5.4).

use super::spec;
use crate::devices::Ctx;
use crate::machine::events::TimerId;
use crate::machine::time::VirtNs;
use serde::{Deserialize, Serialize};

/// The timer: when it was started says what it shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timer {
    /// The board's name for it.
    pub id: TimerId,
    initial: u32,
    divide: u8,
    /// When the initial count was loaded, in ticks of the undivided clock (nanoseconds).
    start: VirtNs,
    /// IA32_TSC_DEADLINE; 0 when disarmed.
    deadline: u64,
    /// What the CPU adds to the virtual clock for its TSC.
    pub tsc_offset: u64,
}

impl Timer {
    /// Stopped.
    pub fn new(id: TimerId) -> Self {
        Self { id, initial: 0, divide: 0, start: VirtNs(0), deadline: 0, tsc_offset: 0 }
    }

    fn mode(entry: u32) -> u32 {
        entry >> spec::TIMER_MODE_SHIFT & 3
    }

    /// Nanoseconds a count takes: 2 to 128, or 1 (figure 10-10).
    fn unit(&self) -> u64 {
        let bits = self.divide & 3 | self.divide >> 1 & 4;
        1 << ((bits + 1) & 7)
    }

    /// The initial count.
    pub fn initial(&self) -> u32 {
        self.initial
    }

    /// The divide configuration register.
    pub fn divide(&self) -> u32 {
        self.divide.into()
    }

    /// IA32_TSC_DEADLINE.
    pub fn deadline(&self) -> u64 {
        self.deadline
    }

    /// The current count.
    pub fn current(&self, now: VirtNs, entry: u32) -> u32 {
        let counted = now.since(self.start) / self.unit();
        let initial = u64::from(self.initial);
        match Self::mode(entry) {
            _ if initial == 0 => 0,
            spec::TIMER_PERIODIC => (initial - counted % initial) as u32,
            spec::TIMER_ONE_SHOT => initial.saturating_sub(counted) as u32,
            _ => 0,
        }
    }

    /// Sets the board's timer for the next event.
    fn arm(&self, ctx: &mut Ctx<'_>, entry: u32) {
        let period = u64::from(self.initial) * self.unit();
        let at = match Self::mode(entry) {
            spec::TIMER_TSC_DEADLINE => {
                (self.deadline != 0).then(|| VirtNs(self.deadline.wrapping_sub(self.tsc_offset)))
            }
            _ if period == 0 => None,
            spec::TIMER_PERIODIC => {
                let periods = ctx.now.since(self.start) / period + 1;
                Some(self.start.plus(periods.saturating_mul(period)))
            }
            spec::TIMER_ONE_SHOT => Some(self.start.plus(period)).filter(|&at| at > ctx.now),
            _ => None,
        };
        // A deadline further in the past than the clock is old wrapped below zero: it is due.
        let at = at.map(|at| if at.0 > i64::MAX as u64 { ctx.now } else { at });
        ctx.set_timer(self.id, at);
    }

    /// Writes the initial count, which starts the timer. Ignored in TSC-deadline mode.
    pub fn set_initial(&mut self, ctx: &mut Ctx<'_>, entry: u32, v: u32) {
        if Self::mode(entry) != spec::TIMER_TSC_DEADLINE {
            self.initial = v;
            self.start = ctx.now;
            self.arm(ctx, entry);
        }
    }

    /// Writes the divide configuration. The count goes on from where it is.
    pub fn set_divide(&mut self, ctx: &mut Ctx<'_>, entry: u32, v: u32) {
        let left = self.current(ctx.now, entry);
        self.divide = (v & 0xb) as u8;
        if self.initial != 0 && left != 0 {
            let counted = u64::from(self.initial - left) * self.unit();
            self.start = VirtNs(ctx.now.0.saturating_sub(counted));
            self.arm(ctx, entry);
        }
    }

    /// The LVT entry changed.
    pub fn mode_changed(&mut self, ctx: &mut Ctx<'_>, old: u32, new: u32) {
        if Self::mode(old) == Self::mode(new) {
            return;
        }
        let deadline = |e| Self::mode(e) == spec::TIMER_TSC_DEADLINE;
        if deadline(old) || deadline(new) {
            // Into or out of deadline mode disarms (section 10.5.4.1).
            self.initial = 0;
            self.deadline = 0;
        }
        self.arm(ctx, new);
    }

    /// Writes IA32_TSC_DEADLINE. Ignored in the other modes.
    pub fn set_deadline(&mut self, ctx: &mut Ctx<'_>, entry: u32, v: u64) {
        if Self::mode(entry) == spec::TIMER_TSC_DEADLINE {
            self.deadline = v;
            self.arm(ctx, entry);
        }
    }

    /// The TSC's offset changed: deadlines are in its terms.
    pub fn set_tsc_offset(&mut self, ctx: &mut Ctx<'_>, offset: u64) {
        self.tsc_offset = offset;
        if self.deadline != 0 {
            self.arm(ctx, spec::TIMER_TSC_DEADLINE << spec::TIMER_MODE_SHIFT);
        }
    }

    /// The board's timer fired. True when the LVT entry is to be delivered.
    pub fn fire(&mut self, ctx: &mut Ctx<'_>, entry: u32) -> bool {
        match Self::mode(entry) {
            spec::TIMER_TSC_DEADLINE => std::mem::take(&mut self.deadline) != 0,
            spec::TIMER_PERIODIC => {
                self.arm(ctx, entry);
                self.initial != 0
            }
            _ => self.initial != 0,
        }
    }
}
