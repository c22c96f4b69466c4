//! Snapshots, and the store that keeps them within a budget.

use super::pages::PageMap;
use crate::machine::State;
use crate::replay::runner::Tally;
use crate::replay::tape::Cursor;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A moment of a replay, whole: the first moment of its step.
#[derive(Clone, Debug)]
pub struct Snapshot<B> {
    /// CPUs and devices.
    pub state: State<B>,
    /// Digests so far.
    pub tally: Tally,
    /// Place on the tape.
    pub cursor: Cursor,
    /// Memory.
    pub pages: PageMap,
    /// Frames written in the steps from `since` up to here, in order.
    pub written: Vec<u32>,
    /// See `written`.
    pub since: u64,
}

impl<B> Snapshot<B> {
    /// Steps since power-on.
    pub fn icount(&self) -> u64 {
        self.state.icount
    }

    /// True when a frame may have been written in the steps from `from` up to here.
    pub fn may_have_written(&self, from: u64, frames: &[u32]) -> bool {
        self.since > from || frames.iter().any(|f| self.written.binary_search(f).is_ok())
    }
}

/// Snapshots by step.
#[derive(Debug)]
pub struct Store<B> {
    all: BTreeMap<u64, Arc<Snapshot<B>>>,
}

impl<B> Default for Store<B> {
    fn default() -> Self {
        Self { all: BTreeMap::new() }
    }
}

impl<B> Store<B> {
    /// Adds a snapshot; one of the same step stays as it is.
    pub fn add(&mut self, snapshot: Arc<Snapshot<B>>) {
        self.all.entry(snapshot.icount()).or_insert(snapshot);
    }

    /// The last snapshot at or before a step.
    pub fn before(&self, icount: u64) -> Option<&Arc<Snapshot<B>>> {
        self.all.range(..=icount).next_back().map(|e| e.1)
    }

    /// The first snapshot after a step.
    pub fn after(&self, icount: u64) -> Option<&Arc<Snapshot<B>>> {
        self.all.range(icount + 1..).next().map(|e| e.1)
    }

    /// The steps of all snapshots, in order.
    pub fn icounts(&self) -> impl DoubleEndedIterator<Item = u64> + '_ {
        self.all.keys().copied()
    }

    /// Number of snapshots.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Drops all snapshots after a step.
    pub fn forget_after(&mut self, icount: u64) {
        self.all.split_off(&(icount + 1));
    }

    /// Drops snapshots until `held` is within `budget`: first those whose gap, once they are gone,
    /// is smallest beside their distance from `here`. The first stays.
    pub fn thin(&mut self, here: u64, budget: u64, held: impl Fn() -> u64) {
        while held() > budget && self.all.len() > 2 {
            let steps: Vec<u64> = self.icounts().collect();
            let victim = steps.windows(3).min_by(|a, b| {
                let worth = |w: &[u64]| (w[2] - w[0]) as f64 / (w[1].abs_diff(here) as f64 + 1.0);
                worth(a).total_cmp(&worth(b))
            });
            let Some(&[_, victim, next]) = victim else { return };
            self.remove(victim, next);
        }
    }

    /// Drops a snapshot; the next one takes over what was written before it.
    fn remove(&mut self, icount: u64, next: u64) {
        let Some(gone) = self.all.remove(&icount) else { return };
        if let Some(next) = self.all.get_mut(&next)
            && next.since >= gone.since
        {
            // Shared with a search that is under way: that one keeps the old.
            let mut merged = gone.written.clone();
            merged.extend_from_slice(&next.written);
            merged.sort_unstable();
            merged.dedup();
            let next: &mut Snapshot<B> = match Arc::get_mut(next) {
                Some(next) => next,
                None => return,
            };
            next.written = merged;
            next.since = gone.since;
        }
    }
}
