//! The generic timer of one CPU: counters and comparators as system registers. The count is the
//! virtual clock at 62.5 MHz, the same on every CPU.
//!
//! Access control (CNTKCTL_EL1) is the CPU's. The event stream has nothing to wake: WFE gives up a turn
//! and never waits.
//!
//! Reference: Arm Architecture Reference Manual for A-profile (DDI 0487), D12 and D19.12.

use super::{Ctx, Device, Line};
use crate::machine::events::TimerId;
use crate::machine::time::VirtNs;
use dejavm_interp::aarch64::sysreg::encoding;
use serde::{Deserialize, Serialize};

/// Registers, bits and the frequency.
pub mod spec {
    #![allow(missing_docs, reason = "the names are the manual's")]
    use super::encoding;
    /// As QEMU's `virt` has it with a Cortex-A53.
    pub const HZ: u64 = 62_500_000;
    pub const CNTFRQ_EL0: u16 = encoding(3, 3, 14, 0, 0);
    pub const CNTPCT_EL0: u16 = encoding(3, 3, 14, 0, 1);
    pub const CNTVCT_EL0: u16 = encoding(3, 3, 14, 0, 2);
    pub const CNTP_TVAL_EL0: u16 = encoding(3, 3, 14, 2, 0);
    pub const CNTV_TVAL_EL0: u16 = encoding(3, 3, 14, 3, 0);
    pub const CNTVOFF_EL2: u16 = encoding(3, 4, 14, 0, 3);
    pub const CNTHCTL_EL2: u16 = encoding(3, 4, 14, 1, 0);
    pub const CNTHP_TVAL_EL2: u16 = encoding(3, 4, 14, 2, 0);
    pub const CNTPS_TVAL_EL1: u16 = encoding(3, 7, 14, 2, 0);
    /// The register of a timer, counted from its TVAL.
    pub const TVAL: u16 = 0;
    pub const CTL: u16 = 1;
    pub const CVAL: u16 = 2;
    pub const CTL_ENABLE: u64 = 1;
    pub const CTL_IMASK: u64 = 2;
    pub const CTL_ISTATUS: u64 = 4;
    /// EL1PCTEN, EL1PCEN; EVNTEN, EVNTDIR, EVNTI.
    pub const CNTHCTL_WRITABLE: u64 = 0xff;
    pub const CNTHCTL_RESET: u64 = 3;
    /// Timers of one CPU.
    pub const TIMERS: u16 = 4;
}

/// The comparators, in the order of their timers and lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Which {
    /// CNTP: the physical timer of EL1.
    Physical,
    /// CNTV: the virtual timer.
    Virtual,
    /// CNTHP: the physical timer of EL2.
    Hypervisor,
    /// CNTPS: the secure physical timer.
    Secure,
}

use Which::{Hypervisor, Physical, Secure, Virtual};

const ALL: [Which; spec::TIMERS as usize] = [Physical, Virtual, Hypervisor, Secure];

/// One comparator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Comparator {
    line: Line,
    /// ENABLE and IMASK.
    ctl: u64,
    /// CVAL.
    value: u64,
    level: bool,
}

/// The timer of one CPU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenericTimer {
    timer: TimerId,
    comparators: [Comparator; spec::TIMERS as usize],
    /// CNTFRQ_EL0: what software believes.
    frequency: u32,
    /// CNTVOFF_EL2.
    offset: u64,
    /// CNTHCTL_EL2.
    control: u64,
}

/// The count at a moment.
pub fn count(now: VirtNs) -> u64 {
    now.ticks(spec::HZ)
}

impl GenericTimer {
    /// A timer whose comparators drive these lines (physical, virtual, EL2's, secure); it uses four
    /// timers from `timer` on.
    pub fn new(lines: [Line; spec::TIMERS as usize], timer: TimerId) -> Self {
        let comparator = |line| Comparator { line, ctl: 0, value: 0, level: false };
        Self {
            timer,
            comparators: lines.map(comparator),
            frequency: spec::HZ as u32,
            offset: 0,
            control: spec::CNTHCTL_RESET,
        }
    }

    /// The count that a comparator sees.
    fn count(&self, which: Which, now: VirtNs) -> u64 {
        count(now).wrapping_sub(if which == Virtual { self.offset } else { 0 })
    }

    /// The condition of a comparator is met (ISTATUS, were it enabled).
    fn met(&self, which: Which, now: VirtNs) -> bool {
        self.count(which, now) >= self.comparators[which as usize].value
    }

    /// The count by itself, the access that kernels make all the time. `None` for other registers.
    pub fn counter(&self, now: VirtNs, reg: u16) -> Option<u64> {
        match reg {
            spec::CNTPCT_EL0 => Some(count(now)),
            spec::CNTVCT_EL0 => Some(self.count(Virtual, now)),
            _ => None,
        }
    }

    /// Drives the line, and sets the moment when it would rise by itself.
    fn update(&mut self, ctx: &mut Ctx<'_>, which: Which) {
        let met = self.met(which, ctx.now);
        let offset = if which == Virtual { self.offset } else { 0 };
        let c = &mut self.comparators[which as usize];
        let enabled = c.ctl & (spec::CTL_ENABLE | spec::CTL_IMASK) == spec::CTL_ENABLE;
        let level = enabled && met;
        // A deadline that the counter passes only by wrapping around is none.
        let at = c.value.checked_add(offset).map(|ticks| VirtNs::of_ticks(ticks, spec::HZ));
        let at = at.filter(|&at| enabled && !met && at.0 < u64::MAX);
        if level != c.level {
            c.level = level;
            ctx.set_line(c.line, level);
        }
        ctx.set_timer(TimerId(self.timer.0 + which as u16), at);
    }

    /// Which comparator a register belongs to, and which of its registers it is.
    fn place(reg: u16) -> Option<(Which, u16)> {
        let bases = [spec::CNTP_TVAL_EL0, spec::CNTV_TVAL_EL0, spec::CNTHP_TVAL_EL2, spec::CNTPS_TVAL_EL1];
        ALL.into_iter().zip(bases).find_map(|(which, base)| match reg.wrapping_sub(base) {
            n @ 0..=2 => Some((which, n)),
            _ => None,
        })
    }

    /// Reads a system register. `None` when there is none.
    pub fn read_register(&self, now: VirtNs, reg: u16) -> Option<u64> {
        if let Some(v) = self.counter(now, reg) {
            return Some(v);
        }
        match reg {
            spec::CNTFRQ_EL0 => return Some(self.frequency.into()),
            spec::CNTVOFF_EL2 => return Some(self.offset),
            spec::CNTHCTL_EL2 => return Some(self.control),
            _ => {}
        }
        let (which, register) = Self::place(reg)?;
        let c = &self.comparators[which as usize];
        Some(match register {
            spec::TVAL => c.value.wrapping_sub(self.count(which, now)) & 0xffff_ffff,
            spec::CTL => {
                let status = c.ctl & spec::CTL_ENABLE != 0 && self.met(which, now);
                c.ctl | if status { spec::CTL_ISTATUS } else { 0 }
            }
            _ => c.value,
        })
    }

    /// Writes a system register. `None` when there is none.
    pub fn write_register(&mut self, ctx: &mut Ctx<'_>, reg: u16, v: u64) -> Option<()> {
        match reg {
            spec::CNTFRQ_EL0 => {
                self.frequency = v as u32;
                return Some(());
            }
            spec::CNTVOFF_EL2 => {
                self.offset = v;
                self.update(ctx, Virtual);
                return Some(());
            }
            spec::CNTHCTL_EL2 => {
                self.control = v & spec::CNTHCTL_WRITABLE;
                return Some(());
            }
            _ => {}
        }
        let (which, register) = Self::place(reg)?;
        let count = self.count(which, ctx.now);
        let c = &mut self.comparators[which as usize];
        match register {
            // A signed number of ticks from now.
            spec::TVAL => c.value = count.wrapping_add(v as u32 as i32 as i64 as u64),
            spec::CTL => c.ctl = v & (spec::CTL_ENABLE | spec::CTL_IMASK),
            _ => c.value = v,
        }
        self.update(ctx, which);
        Some(())
    }
}

impl Device for GenericTimer {
    /// The address is the register's encoding.
    fn read(&mut self, ctx: &mut Ctx<'_>, addr: u64, _size: u8) -> u64 {
        self.read_register(ctx.now, addr as u16).unwrap_or(u64::MAX)
    }

    fn write(&mut self, ctx: &mut Ctx<'_>, addr: u64, _size: u8, value: u64) {
        let _ = self.write_register(ctx, addr as u16, value);
    }

    fn timer(&mut self, ctx: &mut Ctx<'_>, timer: TimerId) {
        if let Some(&which) = ALL.get(usize::from(timer.0.wrapping_sub(self.timer.0))) {
            self.update(ctx, which);
        }
    }

    fn reset(&mut self) {
        *self = Self::new(self.comparators.map(|c| c.line), self.timer);
    }
}
