//! What a run is to stop for, or a query is about.

use dejavm_interp::mem::{Memory, PAGE_SIZE, PhysAddr, Place, Watch};
use dejavm_interp::probe::{Hit, Interest, Vectors};

/// Physical memory that is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watched {
    /// First physical address.
    pub addr: PhysAddr,
    /// Bytes.
    pub len: u64,
    /// Loads count.
    pub read: bool,
    /// Stores count.
    pub write: bool,
}

/// What a run is to stop for: anything that is named here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// Linear addresses of instructions.
    pub execute: Vec<u64>,
    /// Physical memory; places outside RAM and ROM are watched as device memory.
    pub memory: Vec<Watched>,
    /// Only stores that change what is watched count.
    pub changes: bool,
    /// Interrupts.
    pub interrupts: Vectors,
    /// Exceptions.
    pub exceptions: Vectors,
    /// I/O ports: first and last.
    pub ports: Vec<(u16, u16)>,
    /// Device memory: first and last physical address.
    pub mmio: Vec<(PhysAddr, PhysAddr)>,
    /// Output of a serial port that contains this text.
    pub console: Option<(u8, Vec<u8>)>,
}

impl Condition {
    /// True when nothing is named: a run stops only at its limit.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What an engine has to look for.
    pub fn interest(&self, mem: &Memory) -> Interest {
        let mut interest = Interest {
            execute: self.execute.clone(),
            memory: Vec::new(),
            changes: self.changes,
            interrupts: self.interrupts,
            exceptions: self.exceptions,
            ports: self.ports.clone(),
            mmio: self.mmio.clone(),
        };
        for watched in &self.memory {
            let mut addr = watched.addr;
            let mut left = watched.len;
            while left > 0 {
                let len = left.min(PAGE_SIZE - addr % PAGE_SIZE);
                match mem.place(addr) {
                    Place::Ram(offset) | Place::Rom(offset) => interest.memory.push(Watch {
                        addr,
                        offset,
                        len,
                        read: watched.read,
                        write: watched.write,
                    }),
                    Place::Bus => interest.mmio.push((addr, addr + (len - 1))),
                }
                left -= len;
                addr = addr.wrapping_add(len);
            }
        }
        interest
    }

    /// When only stores to RAM can match: the frames that must have been written.
    pub fn frames(&self, mem: &Memory) -> Option<Vec<u32>> {
        let only_stores = self.memory.iter().all(|w| w.write && !w.read);
        let rest = Self { memory: Vec::new(), changes: false, ..self.clone() };
        if !only_stores || self.memory.is_empty() || !rest.is_empty() {
            return None;
        }
        let interest = self.interest(mem);
        let ram = interest.mmio.is_empty();
        ram.then(|| interest.memory.iter().map(|w| (w.offset / PAGE_SIZE) as u32).collect())
    }
}

/// Why a run through time stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// The moment that was asked for was reached.
    Reached,
    /// The condition was met.
    Hit(Hit),
    /// The console's output contained the text; the step that sent its last byte.
    Console(u64),
    /// The beginning of the recording.
    Begin,
    /// The end of the recording, or of the guest's life in a branch.
    End,
    /// The user asked to stop.
    Cancelled,
}
