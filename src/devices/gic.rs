//! What the versions of the generic interrupt controller share: runs of interrupts with their
//! states and priorities, and the active priorities of a CPU interface.
//!
//! Reference: ARM Generic Interrupt Controller Architecture Specification, version 2.0 (IHI 0048B)
//! and versions 3 and 4 (IHI 0069).

use serde::{Deserialize, Serialize};

/// Numbers of interrupts, and offsets that both versions' distributors have.
pub mod spec {
    #![allow(missing_docs, reason = "the names are the specification's")]
    /// Software-generated interrupts.
    pub const SGIS: u32 = 16;
    /// SGIs and private peripheral interrupts: each CPU has its own.
    pub const PRIVATE: u32 = 32;
    /// Shared peripheral interrupts.
    pub const SPIS: u32 = 256;
    /// The first of the INTIDs that mean something else.
    pub const SPECIAL: u32 = 1020;
    /// The pending interrupt is one of group 1.
    pub const GROUP1_PENDING: u32 = 1022;
    /// Nothing is pending.
    pub const SPURIOUS: u32 = 1023;
    pub const CTLR: u64 = 0x000;
    pub const TYPER: u64 = 0x004;
    pub const IIDR: u64 = 0x008;
    /// Registers of one bit an interrupt.
    pub const BITS: u64 = 0x080;
    pub const BITS_END: u64 = 0x400;
    pub const IPRIORITYR: u64 = 0x400;
    pub const IPRIORITYR_END: u64 = 0x800;
    pub const ICFGR: u64 = 0xc00;
    pub const ICFGR_END: u64 = 0xd00;
    /// Five bits of a priority are there.
    pub const PRIORITY: u8 = 0xf8;
    pub const PRIORITY_SHIFT: u32 = 3;
    /// Priority of a CPU that handles nothing.
    pub const IDLE: u8 = 0xff;
    /// Least binary points with five bits of priority: of group 0, of group 1.
    pub const LEAST_BINARY_POINT: [u8; 2] = [2, 3];
    /// Component identification (IHI 0048B, 4.3.18).
    pub const CIDR: [u8; 4] = [0x0d, 0xf0, 0x05, 0xb1];
}

/// An interrupt's number of a line for shared peripheral interrupt `n`.
pub const fn spi(n: u16) -> crate::devices::Line {
    crate::devices::Line(spec::PRIVATE as u16 + n)
}

/// First line of the CPUs' private interrupts.
const PRIVATE_LINES: u16 = 0x400;

/// The line of the private interrupt with this INTID of a CPU.
pub const fn ppi(cpu: usize, intid: u16) -> crate::devices::Line {
    crate::devices::Line(PRIVATE_LINES + (cpu as u16) * spec::PRIVATE as u16 + intid)
}

/// Whose interrupt a line is: a CPU's own, or a shared one; and its INTID.
pub fn interrupt(line: crate::devices::Line) -> (Option<usize>, u32) {
    match line.0.checked_sub(PRIVATE_LINES) {
        Some(n) => (Some(usize::from(n / spec::PRIVATE as u16)), u32::from(n) % spec::PRIVATE),
        None => (None, line.0.into()),
    }
}

/// The registers of one bit an interrupt, in the order of their offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bits {
    /// IGROUPR.
    Group,
    /// ISENABLER.
    SetEnable,
    /// ICENABLER.
    ClearEnable,
    /// ISPENDR.
    SetPending,
    /// ICPENDR.
    ClearPending,
    /// ISACTIVER.
    SetActive,
    /// ICACTIVER.
    ClearActive,
}

/// The register at an offset from [`spec::BITS`] on, and which word of it.
pub fn bits(offset: u64) -> Option<(Bits, usize)> {
    let which = match offset >> 7 {
        1 => Bits::Group,
        2 => Bits::SetEnable,
        3 => Bits::ClearEnable,
        4 => Bits::SetPending,
        5 => Bits::ClearPending,
        6 => Bits::SetActive,
        7 => Bits::ClearActive,
        _ => return None,
    };
    Some((which, (offset as usize & 0x7f) / 4))
}

/// The states of 32 interrupts, a bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Word {
    /// Forwarded to CPU interfaces.
    pub enabled: u32,
    /// Pending by an edge, or by software.
    pub latched: u32,
    /// The input's level.
    pub level: u32,
    /// Being handled.
    pub active: u32,
    /// Of group 1.
    pub group: u32,
    /// Edge-triggered.
    pub edge: u32,
}

impl Word {
    /// Interrupts that are pending: an input of a level-sensitive one is high, or it was latched.
    pub fn pending(&self) -> u32 {
        self.latched | self.level & !self.edge
    }

    /// Reads a register.
    pub fn read(&self, bits: Bits) -> u32 {
        match bits {
            Bits::Group => self.group,
            Bits::SetEnable | Bits::ClearEnable => self.enabled,
            Bits::SetPending | Bits::ClearPending => self.pending(),
            Bits::SetActive | Bits::ClearActive => self.active,
        }
    }

    /// Writes a register.
    pub fn write(&mut self, bits: Bits, v: u32) {
        match bits {
            Bits::Group => self.group = v,
            Bits::SetEnable => self.enabled |= v,
            Bits::ClearEnable => self.enabled &= !v,
            Bits::SetPending => self.latched |= v,
            Bits::ClearPending => self.latched &= !v,
            Bits::SetActive => self.active |= v,
            Bits::ClearActive => self.active &= !v,
        }
    }
}

/// A pending interrupt that could be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its number.
    pub intid: u32,
    /// Its priority; lower is more urgent.
    pub priority: u8,
    /// Its group, 0 or 1.
    pub group: usize,
}

/// A run of interrupts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interrupts {
    /// INTID of the first.
    first: u32,
    /// Their states.
    pub words: Vec<Word>,
    #[serde(with = "serde_bytes")]
    priority: Vec<u8>,
}

impl Interrupts {
    /// Interrupts as after a reset.
    pub fn new(first: u32, count: u32) -> Self {
        Self { first, words: vec![Word::default(); count as usize / 32], priority: vec![0; count as usize] }
    }

    fn place(&self, intid: u32) -> Option<(usize, u32)> {
        let n = intid.checked_sub(self.first)?;
        ((n / 32) < self.words.len() as u32).then_some(((n / 32) as usize, 1 << (n % 32)))
    }

    /// An input changes; a rising edge latches an edge-triggered interrupt.
    pub fn set(&mut self, intid: u32, level: bool) {
        let Some((i, bit)) = self.place(intid) else { return };
        let w = &mut self.words[i];
        if level {
            if w.level & bit == 0 {
                w.latched |= bit & w.edge;
            }
            w.level |= bit;
        } else {
            w.level &= !bit;
        }
    }

    /// The most urgent interrupt of the groups that are enabled and that the filter lets through;
    /// of equals the one with the lowest number.
    pub fn best(&self, groups: [bool; 2], mut filter: impl FnMut(u32) -> bool) -> Option<Candidate> {
        let mut best: Option<Candidate> = None;
        for (i, w) in self.words.iter().enumerate() {
            let of_groups = if groups[0] { !w.group } else { 0 } | if groups[1] { w.group } else { 0 };
            let mut bits = w.pending() & w.enabled & !w.active & of_groups;
            while bits != 0 {
                let b = bits.trailing_zeros();
                bits &= bits - 1;
                let n = i as u32 * 32 + b;
                let priority = self.priority[n as usize];
                if best.is_none_or(|c| priority < c.priority) && filter(self.first + n) {
                    let group = (w.group >> b & 1) as usize;
                    best = Some(Candidate { intid: self.first + n, priority, group });
                }
            }
        }
        best
    }

    /// The interrupt is being handled from now on.
    pub fn activate(&mut self, intid: u32) {
        if let Some((i, bit)) = self.place(intid) {
            self.words[i].active |= bit;
            self.words[i].latched &= !bit;
        }
    }

    /// The interrupt was handled.
    pub fn deactivate(&mut self, intid: u32) {
        if let Some((i, bit)) = self.place(intid) {
            self.words[i].active &= !bit;
        }
    }

    /// The interrupt's group, 0 or 1.
    pub fn group(&self, intid: u32) -> usize {
        self.place(intid).map_or(0, |(i, bit)| usize::from(self.words[i].group & bit != 0))
    }

    /// Priorities of four interrupts, of the run's `at`-th and those after it.
    pub fn priorities(&self, at: usize) -> u32 {
        (0..4).fold(0, |v, i| v | u32::from(self.priority.get(at + i).copied().unwrap_or(0)) << (8 * i))
    }

    /// Sets the priority of the run's `at`-th interrupt.
    pub fn set_priority(&mut self, at: usize, v: u8) {
        if let Some(p) = self.priority.get_mut(at) {
            *p = v & spec::PRIORITY;
        }
    }

    /// Sixteen interrupts' configuration, two bits each: the higher says edge-triggered.
    pub fn config(&self, half: usize) -> u32 {
        let edge = self.words.get(half / 2).map_or(0, |w| w.edge) >> (16 * (half & 1)) & 0xffff;
        (0..16).fold(0, |v, i| v | (edge >> i & 1) << (2 * i + 1))
    }

    /// Sets sixteen interrupts' configuration.
    pub fn set_config(&mut self, half: usize, v: u32) {
        let edge = (0..16).fold(0, |e, i| e | (v >> (2 * i + 1) & 1) << i);
        if let Some(w) = self.words.get_mut(half / 2) {
            let shift = 16 * (half & 1);
            w.edge = w.edge & !(0xffff << shift) | edge << shift;
        }
    }
}

/// The priorities that a CPU handles now: a bit for each, of each group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActivePriorities(pub [u32; 2]);

impl ActivePriorities {
    /// The priority of what is being handled.
    pub fn running(&self) -> u8 {
        match self.0[0] | self.0[1] {
            0 => spec::IDLE,
            bits => (bits.trailing_zeros() << spec::PRIORITY_SHIFT) as u8,
        }
    }

    /// True when an interrupt of this priority preempts what is being handled: `group` gives the part of a priority
    /// that decides (IHI 0048B, 3.3.3).
    pub fn preempted_by(&self, priority: u8, group: impl Fn(u8) -> u8) -> bool {
        self.group().is_none() || group(priority) < group(self.running())
    }

    /// The group of what is being handled.
    pub fn group(&self) -> Option<usize> {
        let [a, b] = self.0.map(u32::trailing_zeros);
        match (a, b) {
            (32, 32) => None,
            _ => Some(usize::from(b < a)),
        }
    }

    /// An interrupt with this group priority is being handled from now on.
    pub fn push(&mut self, group: usize, priority: u8) {
        self.0[group & 1] |= 1 << (priority >> spec::PRIORITY_SHIFT);
    }

    /// What a group handled last is done (priority drop).
    pub fn drop_priority(&mut self, group: usize) {
        let bits = &mut self.0[group & 1];
        *bits &= bits.wrapping_sub(1);
    }
}

/// The part of a priority that decides on preemption: for group 0, binary point n stands for bits 7
/// to n+1; for group 1 for bits 7 to n.
pub fn group_priority(priority: u8, group: usize, binary_point: u8) -> u8 {
    let low = u32::from(binary_point & 7) + 1 - group as u32;
    priority & ((0xff_u32 << low) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_urgent_first_then_the_lowest_number() {
        let mut run = Interrupts::new(32, 64);
        for n in [40, 41, 70] {
            run.set(n, true);
            run.words[(n as usize - 32) / 32].enabled |= 1 << (n % 32);
        }
        run.set_priority(8, 0x80);
        run.set_priority(9, 0x40);
        run.set_priority(38, 0x47);
        let both = [true, true];
        assert_eq!(run.best(both, |_| true).map(|c| (c.intid, c.priority)), Some((41, 0x40)));
        assert_eq!(run.best(both, |n| n != 41).map(|c| c.intid), Some(70));
        assert_eq!(run.best([false, true], |_| true), None);
        run.activate(41);
        run.set(70, false);
        assert_eq!(run.best(both, |_| true).map(|c| c.intid), Some(40));
    }

    #[test]
    fn edges_are_latched_and_levels_are_not() {
        let mut run = Interrupts::new(32, 32);
        run.set_config(0, 0b10);
        assert_eq!(run.config(0), 0b10);
        run.set(32, true);
        run.set(33, true);
        run.set(32, false);
        run.set(33, false);
        assert_eq!(run.words[0].pending(), 1);
        run.set(32, true);
        run.activate(32);
        assert_eq!(run.words[0].pending(), 0, "an edge counts once");
    }

    #[test]
    fn binary_points() {
        assert_eq!(group_priority(0xff, 0, 2), 0xf8);
        assert_eq!(group_priority(0xff, 1, 3), 0xf8);
        assert_eq!(group_priority(0xff, 0, 7), 0);
        assert_eq!(group_priority(0xff, 1, 7), 0x80);
        let mut active = ActivePriorities::default();
        assert_eq!((active.running(), active.group()), (spec::IDLE, None));
        active.push(1, 0xa0);
        active.push(0, 0x40);
        assert_eq!((active.running(), active.group()), (0x40, Some(0)));
        active.drop_priority(0);
        assert_eq!((active.running(), active.group()), (0xa0, Some(1)));
    }
}
