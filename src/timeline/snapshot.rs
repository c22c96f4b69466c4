//! Snapshots, and the store that keeps them within a budget.

use super::pages::PageMap;
use crate::machine::State;
use crate::replay::runner::Tally;
use crate::replay::tape::Cursor;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Steps: from the first one up to the other, which is not part of it.
pub type Window = (u64, u64);

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

/// Rungs that are kept; see [`Store::add_rung`].
const RUNGS: usize = 64;

/// Snapshots by step.
#[derive(Debug)]
pub struct Store<B> {
    all: BTreeMap<u64, Arc<Snapshot<B>>>,
    /// Those that only help to move near where they were planted.
    rungs: BTreeSet<u64>,
    /// Those that hold no memory worth freeing.
    saved: BTreeSet<u64>,
}

impl<B> Default for Store<B> {
    fn default() -> Self {
        Self { all: BTreeMap::new(), rungs: BTreeSet::new(), saved: BTreeSet::new() }
    }
}

impl<B: Clone> Store<B> {
    /// Adds a snapshot; one of the same step stays as it is.
    pub fn add(&mut self, snapshot: Arc<Snapshot<B>>) {
        self.rungs.remove(&snapshot.icount());
        self.all.entry(snapshot.icount()).or_insert(snapshot);
    }

    /// Adds a snapshot whose pages are saved in the recording: dropping it would free nothing.
    pub fn add_saved(&mut self, snapshot: Arc<Snapshot<B>>) {
        self.saved.insert(snapshot.icount());
        self.all.insert(snapshot.icount(), snapshot);
    }

    /// Adds a snapshot that makes moving near `here` fast. Only so many of them are kept.
    pub fn add_rung(&mut self, snapshot: Arc<Snapshot<B>>, here: u64) {
        if self.all.contains_key(&snapshot.icount()) {
            return;
        }
        self.rungs.insert(snapshot.icount());
        self.all.insert(snapshot.icount(), snapshot);
        if self.rungs.len() > RUNGS
            && let Some(victim) = self.least_worth(here, |icount| self.rungs.contains(&icount))
        {
            self.remove(victim);
        }
    }

    /// Drops a rung.
    pub fn drop_rung(&mut self, icount: u64) {
        if self.rungs.contains(&icount) {
            self.remove(icount);
        }
    }

    /// The last snapshot at or before a step.
    pub fn before(&self, icount: u64) -> Option<&Arc<Snapshot<B>>> {
        self.all.range(..=icount).next_back().map(|e| e.1)
    }

    /// The snapshot of a step.
    pub fn at(&self, icount: u64) -> Option<&Arc<Snapshot<B>>> {
        self.all.get(&icount)
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

    /// The steps from `from` up to `to`, cut at the snapshots, in order.
    pub fn windows(&self, from: u64, to: u64) -> Vec<Window> {
        if from >= to {
            return Vec::new();
        }
        let inner = self.all.range(from + 1..to).map(|e| *e.0);
        let borders: Vec<u64> = [from].into_iter().chain(inner).chain([to]).collect();
        borders.windows(2).map(|w| (w[0], w[1])).collect()
    }

    /// True when a frame may have been written in the steps of a window.
    pub fn may_have_written(&self, window: Window, frames: &[u32]) -> bool {
        self.at(window.1).is_none_or(|s| s.may_have_written(window.0, frames))
    }

    /// Drops all snapshots after a step.
    pub fn forget_after(&mut self, icount: u64) {
        self.all.split_off(&(icount + 1));
        self.rungs.split_off(&(icount + 1));
        self.saved.split_off(&(icount + 1));
    }

    /// Drops snapshots until `held` is within `budget`: first those whose gap, once they are gone,
    /// is smallest beside their distance from `here`. The first and the saved ones stay.
    pub fn thin(&mut self, here: u64, budget: u64, held: impl Fn() -> u64) {
        while held() > budget {
            let Some(victim) = self.least_worth(here, |icount| !self.saved.contains(&icount)) else { return };
            self.remove(victim);
        }
    }

    /// Of those that may go (never the first) the one that is missed least.
    fn least_worth(&self, here: u64, may_go: impl Fn(u64) -> bool) -> Option<u64> {
        let steps: Vec<u64> = self.icounts().chain([here.max(self.last())]).collect();
        let worth = |w: &&[u64]| (w[2] - w[0]) as f64 / (w[1].abs_diff(here) as f64 + 1.0);
        let least = steps.windows(3).filter(|w| may_go(w[1])).min_by(|a, b| worth(a).total_cmp(&worth(b)));
        least.map(|w| w[1])
    }

    fn last(&self) -> u64 {
        self.all.keys().next_back().copied().unwrap_or(0)
    }

    /// Drops a snapshot; the next one takes over what was written before it.
    fn remove(&mut self, icount: u64) {
        self.rungs.remove(&icount);
        self.saved.remove(&icount);
        let Some(gone) = self.all.remove(&icount) else { return };
        let Some((_, next)) = self.all.range_mut(icount..).next() else { return };
        // Only two accounts without a hole between them are one.
        if next.since > gone.since && next.since <= icount {
            // One that a search holds is left to it, and replaced here.
            let next = Arc::make_mut(next);
            next.written.extend_from_slice(&gone.written);
            next.written.sort_unstable();
            next.written.dedup();
            next.since = gone.since;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::demo;
    use super::*;

    #[test]
    fn what_was_written_stays_known_when_snapshots_go() {
        let mut t = demo();
        let end = t.end();
        for i in 1..=8 {
            t.seek(end * i / 8, &mut ()).unwrap();
            t.plant();
        }
        // As searches under way hold them.
        let held: Vec<Arc<Snapshot<_>>> = t.store.all.values().cloned().collect();
        let before: Vec<(u64, usize)> = held.iter().map(|s| (s.since, s.written.len())).collect();
        for gone in held.iter().skip(1).step_by(2) {
            t.store.remove(gone.icount());
        }
        let left: Vec<u64> = t.store.icounts().collect();
        assert!(left.len() < held.len());
        for pair in left.windows(2) {
            let next = t.store.at(pair[1]).unwrap();
            assert!(next.since <= pair[0]);
            let between = held.iter().filter(|s| s.icount() > pair[0] && s.icount() <= pair[1]);
            for frame in between.flat_map(|s| &s.written) {
                assert!(t.store.may_have_written((pair[0], pair[1]), &[*frame]));
            }
        }
        let after: Vec<(u64, usize)> = held.iter().map(|s| (s.since, s.written.len())).collect();
        assert_eq!(before, after, "what a search holds does not change under it");
    }

    #[test]
    fn an_account_with_a_hole_says_nothing() {
        let mut t = demo();
        t.seek(30_000, &mut ()).unwrap();
        let like = |icount, since, written: &[u32]| {
            let mut s = (**t.store.before(0).unwrap()).clone();
            (s.state.icount, s.since, s.written) = (icount, since, written.to_vec());
            Arc::new(s)
        };
        let mut store = Store::default();
        for s in [like(0, 0, &[]), like(100, 0, &[1]), like(200, 150, &[2]), like(300, 200, &[3])] {
            store.add(s);
        }
        assert!(!store.may_have_written((200, 300), &[1, 2]) && store.may_have_written((200, 300), &[3]));
        store.remove(100);
        assert!(store.may_have_written((0, 200), &[9]), "nothing is known of steps 100 to 150");
        store.remove(200);
        assert!(store.may_have_written((0, 300), &[9]));
        assert!(!store.may_have_written((150, 300), &[1]) && store.may_have_written((150, 300), &[2]));
    }

    #[test]
    fn rungs_are_few_and_the_first_and_saved_snapshots_stay() {
        let mut t = demo();
        t.seek(50_000, &mut ()).unwrap();
        let first = t.store.before(0).unwrap().clone();
        let like = |icount| {
            let mut s = (*first).clone();
            s.state.icount = icount;
            Arc::new(s)
        };
        let mut store = Store::default();
        store.add(first.clone());
        store.add_saved(like(500));
        for i in 0..1000 {
            store.add_rung(like(1_000_000 - i * 1000), 1_000_000 - i * 1000);
        }
        assert_eq!(store.len(), RUNGS + 2);
        assert!(store.at(1000).is_some(), "those near the place stay");
        store.thin(0, 0, || 1);
        assert_eq!(store.icounts().collect::<Vec<_>>(), [0, 500]);
    }
}
