//! The queue of timers: what fires when, in an order that is a function of state alone.

use super::time::VirtNs;
use serde::{Deserialize, Serialize};

/// Names one timer of a board. The board gives the numbers; a timer has at most one deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimerId(pub u16);

/// Timers by deadline, then by the order in which they were set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventQueue {
    /// Deadline, order of creation, timer. Sorted descending, so that the next is last.
    queue: Vec<(VirtNs, u64, TimerId)>,
    created: u64,
}

impl EventQueue {
    /// Sets the one deadline of `timer`, or cancels it.
    pub fn set(&mut self, timer: TimerId, deadline: Option<VirtNs>) {
        self.queue.retain(|e| e.2 != timer);
        if let Some(at) = deadline {
            self.created += 1;
            let entry = (at, self.created, timer);
            let i = self.queue.partition_point(|e| (e.0, e.1) > (entry.0, entry.1));
            self.queue.insert(i, entry);
        }
    }

    /// The earliest deadline.
    pub fn next(&self) -> Option<VirtNs> {
        self.queue.last().map(|e| e.0)
    }

    /// Takes the next timer that is due at `now`.
    pub fn take_due(&mut self, now: VirtNs) -> Option<TimerId> {
        if self.next()? <= now { self.queue.pop().map(|e| e.2) } else { None }
    }

    /// Cancels everything.
    pub fn clear(&mut self) {
        self.queue.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fires_by_deadline_then_by_creation() {
        let mut q = EventQueue::default();
        q.set(TimerId(1), Some(VirtNs(20)));
        q.set(TimerId(2), Some(VirtNs(10)));
        q.set(TimerId(3), Some(VirtNs(10)));
        q.set(TimerId(1), Some(VirtNs(10)));
        q.set(TimerId(4), Some(VirtNs(5)));
        q.set(TimerId(4), None);
        assert_eq!(q.next(), Some(VirtNs(10)));
        assert_eq!(q.take_due(VirtNs(9)), None);
        let order: Vec<_> = std::iter::from_fn(|| q.take_due(VirtNs(10))).collect();
        assert_eq!(order, [TimerId(2), TimerId(3), TimerId(1)]);
    }
}
