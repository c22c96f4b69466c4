//! Breakpoints and watchpoints: what gdb set, and what the timeline is to look for.

use crate::timeline::condition::{Condition, Watched};
use dejavm_interp::mem::PhysAddr;
use gdbstub::target::ext::breakpoints::WatchKind;
use std::collections::BTreeSet;

/// Most breakpoints, and most watchpoints.
const MOST: usize = 1 << 16;
/// Most bytes of a watchpoint.
pub const LONGEST: u64 = 1 << 20;

/// A watchpoint, where it lay when it was set.
#[derive(Clone, Debug)]
struct Watch {
    addr: u64,
    len: u64,
    kind: WatchKind,
    /// Physical address and bytes, in order.
    pieces: Vec<(PhysAddr, u64)>,
}

/// What gdb set.
#[derive(Clone, Debug, Default)]
pub struct Points {
    /// Linear addresses; true for software breakpoints. None of them is written to memory.
    breaks: BTreeSet<(u64, bool)>,
    watches: Vec<Watch>,
    /// What to look for; made when it is asked for.
    condition: Option<Condition>,
}

impl Points {
    /// Sets a breakpoint. False when there are too many.
    pub fn add(&mut self, software: bool, addr: u64) -> bool {
        self.condition = None;
        if self.breaks.len() < MOST {
            self.breaks.insert((addr, software));
        }
        self.breaks.contains(&(addr, software))
    }

    /// Removes a breakpoint. False when there is none.
    pub fn remove(&mut self, software: bool, addr: u64) -> bool {
        self.condition = None;
        self.breaks.remove(&(addr, software))
    }

    /// Sets a watchpoint. False when there are too many.
    pub fn add_watch(&mut self, addr: u64, len: u64, kind: WatchKind, pieces: Vec<(PhysAddr, u64)>) -> bool {
        self.remove_watch(addr, len, kind);
        let room = self.watches.len() < MOST;
        if room {
            self.watches.push(Watch { addr, len, kind, pieces });
        }
        room
    }

    /// Removes a watchpoint. False when there is none.
    pub fn remove_watch(&mut self, addr: u64, len: u64, kind: WatchKind) -> bool {
        self.condition = None;
        let before = self.watches.len();
        self.watches.retain(|w| (w.addr, w.len, w.kind) != (addr, len, kind));
        self.watches.len() < before
    }

    /// What to look for.
    pub fn condition(&mut self) -> &Condition {
        let Self { breaks, watches, condition } = self;
        condition.get_or_insert_with(|| {
            let mut execute: Vec<u64> = breaks.iter().map(|b| b.0).collect();
            execute.dedup();
            let watched = |w: &Watch| {
                let (read, write) = (w.kind != WatchKind::Write, w.kind != WatchKind::Read);
                let piece = move |&(addr, len): &(PhysAddr, u64)| Watched { addr, len, read, write };
                w.pieces.iter().map(piece).collect::<Vec<_>>()
            };
            // Where only changes are asked for gdb drops other stores anyway.
            let changes = watches.iter().all(|w| w.kind == WatchKind::Write);
            let memory: Vec<Watched> = watches.iter().flat_map(watched).collect();
            Condition { execute, changes: changes && !memory.is_empty(), memory, ..Condition::default() }
        })
    }

    /// True when a breakpoint is set there.
    pub fn breaks(&self, addr: u64) -> bool {
        self.software(addr) || self.breaks.contains(&(addr, false))
    }

    /// True when a software breakpoint is set there.
    pub fn software(&self, addr: u64) -> bool {
        self.breaks.contains(&(addr, true))
    }

    /// The watchpoint that an access touches, and the first address of it that is touched.
    pub fn watch(&self, addr: PhysAddr, len: u64, write: bool) -> Option<(WatchKind, u64)> {
        let wants = |w: &&Watch| w.kind != if write { WatchKind::Read } else { WatchKind::Write };
        self.watches.iter().filter(wants).find_map(|w| {
            let mut virt = w.addr;
            for &(start, n) in &w.pieces {
                let first = addr.max(start);
                if first < addr.saturating_add(len).min(start.saturating_add(n)) {
                    return Some((w.kind, virt.wrapping_add(first - start)));
                }
                virt = virt.wrapping_add(n);
            }
            None
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn breakpoints_of_both_kinds() {
        let mut p = Points::default();
        assert!(p.condition().is_empty());
        assert!(p.add(true, 5) && p.add(true, 5) && p.add(false, 5) && p.add(false, 3));
        assert_eq!(p.condition().execute, [3, 5]);
        assert!(p.remove(true, 5) && !p.remove(true, 5));
        assert!(p.breaks(5) && !p.software(5));
        assert!(p.remove(false, 5) && !p.breaks(5));
        assert_eq!(p.condition().execute, [3]);
    }

    #[test]
    fn watchpoints_are_found_by_what_is_touched() {
        let mut p = Points::default();
        let pieces = vec![(0x5ffe, 2), (0x9000, 6)];
        assert!(p.add_watch(0xfff_fffe, 8, WatchKind::Write, pieces));
        assert!(p.condition().changes);
        assert_eq!(p.watch(0x9004, 8, true), Some((WatchKind::Write, 0x1000_0004)));
        assert_eq!(p.watch(0x5ff8, 8, true), Some((WatchKind::Write, 0xfff_fffe)));
        assert_eq!(p.watch(0x9006, 8, true), None);
        assert_eq!(p.watch(0x9004, 8, false), None);
        assert!(p.add_watch(4, 4, WatchKind::Read, vec![(4, 4)]));
        assert!(!p.condition().changes && p.condition().memory.len() == 3);
        assert_eq!(p.watch(4, 1, false), Some((WatchKind::Read, 4)));
        assert!(p.remove_watch(4, 4, WatchKind::Read) && !p.remove_watch(4, 4, WatchKind::Read));
        assert!(p.condition().changes);
    }
}
