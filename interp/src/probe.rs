//! Probes: what a debugger or a query wants to know of a run.
//!
//! An engine notes a [`Hit`] for everything that an [`Interest`] names, and goes on. It leaves
//! only when as many hits wait as the probes have room for. Nothing here is visible to the guest.

use crate::mem::{PAGE_SHIFT, PhysAddr, Touch, Watch};

/// A set of interrupt or exception vectors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vectors([u64; 4]);

impl Vectors {
    /// Every vector.
    pub const ALL: Self = Self([u64::MAX; 4]);

    /// Adds a vector.
    pub fn insert(&mut self, vector: u8) {
        self.0[usize::from(vector >> 6)] |= 1 << (vector & 63);
    }

    /// True when the vector is in the set.
    pub fn contains(self, vector: u8) -> bool {
        self.0[usize::from(vector >> 6)] >> (vector & 63) & 1 != 0
    }

    /// True when no vector is in the set.
    pub fn is_empty(self) -> bool {
        self.0 == [0; 4]
    }
}

/// What to look for. Memory is watched by [`crate::mem::Memory::set_watches`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interest {
    /// Linear addresses of instructions, sorted.
    pub execute: Vec<u64>,
    /// Memory.
    pub memory: Vec<Watch>,
    /// Note only stores that change what is watched.
    pub changes: bool,
    /// Interrupts (requests, NMI and software interrupts).
    pub interrupts: Vectors,
    /// Exceptions.
    pub exceptions: Vectors,
    /// I/O ports: first and last.
    pub ports: Vec<(u16, u16)>,
    /// Device memory: first and last physical address.
    pub mmio: Vec<(PhysAddr, PhysAddr)>,
    /// Every step of this CPU, whatever it is. Told as if a breakpoint were hit.
    pub cpu: Option<usize>,
}

impl Interest {
    /// True when it names nothing.
    pub fn is_empty(&self) -> bool {
        self.execute.is_empty()
            && self.memory.is_empty()
            && self.interrupts.is_empty()
            && self.exceptions.is_empty()
            && self.ports.is_empty()
            && self.mmio.is_empty()
            && self.cpu.is_none()
    }
}

/// Something that was looked for happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The boundary before the step that did it.
    pub icount: u64,
    /// Index of the CPU.
    pub cpu: usize,
    /// Linear address of the instruction that the CPU was at.
    pub pc: u64,
    /// What happened.
    pub what: What,
}

impl Hit {
    /// Where a run forwards stops for it: before an instruction with a breakpoint, after any
    /// other step.
    pub fn after(&self) -> u64 {
        if self.what == What::Execute { self.icount } else { self.icount + 1 }
    }
}

/// What a hit tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The instruction at a breakpoint is executed next.
    Execute,
    /// Watched memory was read or written. A part of at most 8 bytes of what was accessed.
    Memory {
        /// Physical address.
        addr: PhysAddr,
        /// Bytes.
        len: u8,
        /// True for a store.
        write: bool,
        /// The little-endian value before the step.
        old: u64,
        /// The value after it.
        new: u64,
    },
    /// An I/O port was accessed.
    Port {
        /// The port.
        port: u16,
        /// Bytes.
        size: u8,
        /// True for OUT.
        write: bool,
        /// The value.
        value: u32,
    },
    /// Device memory was accessed.
    Mmio {
        /// Physical address.
        addr: PhysAddr,
        /// Bytes.
        size: u8,
        /// True for a store.
        write: bool,
        /// The value.
        value: u64,
    },
    /// The handler of an interrupt was entered.
    Interrupt {
        /// The vector.
        vector: u8,
        /// True for an instruction's interrupt (INT n).
        software: bool,
    },
    /// The handler of an exception was entered.
    Exception {
        /// The vector.
        vector: u8,
        /// The error code, if it has one.
        code: Option<u16>,
        /// The address that a page fault was about, else 0.
        address: u64,
    },
}

/// How hits are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Up to this many; the engine leaves when they are there.
    Until(usize),
    /// Only the last one; the engine never leaves.
    Last,
}

/// An engine's probes.
#[derive(Clone, Debug)]
pub struct Probes {
    interest: Interest,
    active: bool,
    /// More than breakpoints is looked for.
    listening: bool,
    /// The pages of breakpoints: bits of their numbers modulo 64.
    pages: u64,
    keep: Keep,
    hits: Vec<Hit>,
    /// The boundary at which breakpoints were looked at last: not twice, and not where a run that
    /// begins at a breakpoint starts.
    looked: u64,
    /// Counts changes of the interest.
    version: u64,
}

impl Default for Probes {
    fn default() -> Self {
        let (interest, keep) = (Interest::default(), Keep::Last);
        let hits = Vec::new();
        Self { interest, active: false, listening: false, pages: 0, keep, hits, looked: u64::MAX, version: 0 }
    }
}

impl Probes {
    /// Looks for `interest` from now on; what was noted before is forgotten. Breakpoints do not
    /// hit at the boundary `start`.
    pub fn set(&mut self, mut interest: Interest, keep: Keep, start: Option<u64>) {
        interest.execute.sort_unstable();
        interest.execute.dedup();
        self.active = !interest.is_empty();
        let others = Interest { execute: Vec::new(), ..interest.clone() };
        self.listening = !others.is_empty();
        self.pages = interest.execute.iter().fold(0, |bits, a| bits | page_bit(*a));
        if self.interest != interest {
            self.interest = interest;
            self.version += 1;
        }
        self.keep = keep;
        self.hits.clear();
        self.looked = start.unwrap_or(u64::MAX);
    }

    /// Changes whenever something else is looked for.
    #[inline]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// True when anything is looked for.
    #[inline]
    pub fn active(&self) -> bool {
        self.active
    }

    /// True when something else than breakpoints is looked for, which may happen in any step.
    #[inline]
    pub fn listening(&self) -> bool {
        self.listening
    }

    /// Takes the hits, oldest first.
    pub fn take(&mut self) -> Vec<Hit> {
        std::mem::take(&mut self.hits)
    }

    /// True when the engine has to leave for the hits to be taken.
    #[inline]
    pub fn full(&self) -> bool {
        matches!(self.keep, Keep::Until(n) if self.hits.len() >= n)
    }

    /// True when a breakpoint lies in `len` bytes from `pc` on, which are in one page.
    #[inline]
    pub fn breaks_in(&self, pc: u64, len: u64) -> bool {
        self.pages & page_bit(pc) != 0 && self.first_in(pc, len)
    }

    fn first_in(&self, pc: u64, len: u64) -> bool {
        let list = &self.interest.execute;
        let i = list.partition_point(|&a| a < pc);
        list.get(i).is_some_and(|a| a - pc < len)
    }

    /// Notes that the instruction at `pc` is about to be executed, if there is a breakpoint.
    #[inline]
    pub fn execute(&mut self, icount: u64, cpu: usize, pc: u64) {
        if self.breaks_in(pc, 1) && self.looked != icount {
            self.looked = icount;
            self.note(Hit { icount, cpu, pc, what: What::Execute });
        }
    }

    /// Notes that a CPU has the turn, if its steps are looked for. True when the machine has to
    /// leave before its step.
    #[inline]
    pub fn turn_begins(&mut self, icount: u64, cpu: usize, pc: u64) -> bool {
        let leave = self.active && self.interest.cpu == Some(cpu) && self.keep != Keep::Last;
        if leave {
            self.note(Hit { icount, cpu, pc, what: What::Execute });
        }
        leave && self.full()
    }

    /// Notes the last step that a CPU made, if its steps are looked for. `icount` is the boundary
    /// before it.
    #[inline]
    pub fn turn_ends(&mut self, icount: u64, cpu: usize, pc: u64) {
        let wanted = self.active && self.interest.cpu == Some(cpu) && self.keep == Keep::Last;
        // What is known of the step already says more.
        if wanted && self.hits.last().is_none_or(|h| h.icount < icount) {
            self.note(Hit { icount, cpu, pc, what: What::Execute });
        }
    }

    /// Notes an event other than the execution of an instruction, if it is looked for or `watched`
    /// memory is not there.
    #[inline]
    pub fn event(&mut self, icount: u64, cpu: usize, pc: u64, what: What, watched: bool) {
        if self.active && (watched || self.wants(&what)) {
            self.note(Hit { icount, cpu, pc, what });
        }
    }

    /// Notes accesses to watched memory; `new` reads what lies at a host offset now.
    pub fn touched(
        &mut self,
        icount: u64,
        cpu: usize,
        pc: u64,
        touches: Vec<Touch>,
        new: impl Fn(u64, u8) -> u64,
    ) {
        for t in touches {
            let now = new(t.offset, t.len);
            if t.write && self.interest.changes && now == t.old {
                continue;
            }
            let what = What::Memory { addr: t.addr, len: t.len, write: t.write, old: t.old, new: now };
            self.note(Hit { icount, cpu, pc, what });
        }
    }

    fn wants(&self, what: &What) -> bool {
        let i = &self.interest;
        match *what {
            What::Execute | What::Memory { .. } => false,
            What::Port { port, size, .. } => {
                let last = port.saturating_add(u16::from(size.max(1)) - 1);
                i.ports.iter().any(|r| r.0 <= last && port <= r.1)
            }
            What::Mmio { addr, size, .. } => {
                let last = addr.saturating_add(u64::from(size.max(1)) - 1);
                i.mmio.iter().any(|r| r.0 <= last && addr <= r.1)
            }
            What::Interrupt { vector, .. } => i.interrupts.contains(vector),
            What::Exception { vector, .. } => i.exceptions.contains(vector),
        }
    }

    fn note(&mut self, hit: Hit) {
        if self.keep == Keep::Last {
            self.hits.clear();
        }
        self.hits.push(hit);
    }
}

#[inline]
fn page_bit(pc: u64) -> u64 {
    1 << (pc >> PAGE_SHIFT & 63)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn breakpoints_hit_once_a_boundary_and_not_at_the_start() {
        let mut p = Probes::default();
        p.set(Interest { execute: vec![30, 10, 10], ..Interest::default() }, Keep::Until(2), Some(5));
        assert!(p.breaks_in(8, 3) && !p.breaks_in(8, 2) && !p.breaks_in(11, 19) && !p.breaks_in(31, 100));
        p.execute(5, 0, 10);
        assert_eq!(p.take(), []);
        p.execute(6, 0, 10);
        p.execute(6, 0, 10);
        p.execute(7, 0, 11);
        assert!(!p.full());
        p.execute(8, 1, 30);
        assert!(p.full());
        assert_eq!(
            p.take().iter().map(|h| (h.icount, h.cpu, h.pc)).collect::<Vec<_>>(),
            [(6, 0, 10), (8, 1, 30)]
        );
    }

    #[test]
    fn the_last_is_kept() {
        let mut p = Probes::default();
        let mut vectors = Vectors::default();
        vectors.insert(200);
        p.set(
            Interest { interrupts: vectors, ports: vec![(0x60, 0x64)], ..Interest::default() },
            Keep::Last,
            None,
        );
        p.event(1, 0, 0, What::Interrupt { vector: 200, software: false }, false);
        p.event(2, 0, 0, What::Port { port: 0x5e, size: 4, write: false, value: 1 }, false);
        p.event(3, 0, 0, What::Port { port: 0x65, size: 1, write: false, value: 1 }, false);
        p.event(3, 0, 0, What::Interrupt { vector: 136, software: false }, false);
        assert!(!p.full());
        assert_eq!(p.take().iter().map(|h| h.icount).collect::<Vec<_>>(), [2]);
    }
}
