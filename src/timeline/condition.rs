//! What a run is to stop for, or a query is about.

use crate::machine::Machine;
use crate::machine::board::Board;
use dejavm_interp::mem::{PAGE_SIZE, PhysAddr, Place, Watch};
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
    /// Physical memory; where there is none, the bus is watched.
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
    /// Every step of this CPU, told as if a breakpoint were hit.
    pub cpu: Option<usize>,
}

impl Condition {
    /// True when nothing is named: a run stops only at its limit.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What an engine has to look for.
    pub fn interest(&self) -> Interest {
        let watch = |w: &Watched| Watch { addr: w.addr, len: w.len, read: w.read, write: w.write };
        Interest {
            execute: self.execute.clone(),
            memory: self.memory.iter().map(watch).collect(),
            changes: self.changes,
            interrupts: self.interrupts,
            exceptions: self.exceptions,
            ports: self.ports.clone(),
            mmio: self.mmio.clone(),
            cpu: self.cpu,
        }
    }

    /// When only stores to RAM can match, wherever on the timeline: the frames that must have been
    /// written, in order.
    pub fn frames<B: Board>(&self, machine: &Machine<B>) -> Option<Vec<u32>> {
        let only_stores = self.memory.iter().all(|w| w.write && !w.read);
        let rest = Self { memory: Vec::new(), changes: false, ..self.clone() };
        if !only_stores || self.memory.is_empty() || !rest.is_empty() {
            return None;
        }
        let mut frames = Vec::new();
        for watched in self.memory.iter().filter(|w| w.len > 0) {
            let last = watched.addr.checked_add(watched.len - 1)?;
            for page in watched.addr / PAGE_SIZE..=last / PAGE_SIZE {
                let addr = page * PAGE_SIZE;
                match machine.mem.place(addr) {
                    Place::Ram(offset) if !machine.state.board.remaps(addr) => {
                        frames.push((offset / PAGE_SIZE) as u32);
                    }
                    _ => return None,
                }
            }
        }
        frames.sort_unstable();
        frames.dedup();
        Some(frames)
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
