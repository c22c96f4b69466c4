//! Searching: forwards and backwards until a condition, and collecting all that matches.

use super::condition::{Condition, Why};
use super::player::{Player, Ran};
use super::snapshot::Snapshot;
use super::{Control, Error, SLICE, Timeline};
use crate::machine::board::Board;
use crate::replay::Output;
use crate::replay::replayer::Watcher;
use dejavm_interp::probe::{Hit, Interest, Keep};
use std::sync::Arc;

/// Hits that are collected before they are handed on.
const BATCH: usize = 1 << 12;

/// Something that matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Match {
    /// The machine did something.
    Hit(Hit),
    /// The step after this one sent the last byte of the text.
    Console(u64),
}

impl Match {
    /// The step before which it is found.
    pub fn icount(&self) -> u64 {
        match self {
            Self::Hit(hit) => hit.icount,
            Self::Console(icount) => *icount,
        }
    }

    fn why(&self) -> Why {
        match self {
            Self::Hit(hit) => Why::Hit(*hit),
            Self::Console(icount) => Why::Console(*icount),
        }
    }

    /// Where a run forwards stops for it.
    fn after(&self) -> u64 {
        match self {
            Self::Hit(hit) => hit.after(),
            Self::Console(icount) => icount + 1,
        }
    }
}

/// Finds a text in a port's output.
#[derive(Clone, Debug, Default)]
struct Finder {
    port: u8,
    text: Vec<u8>,
    tail: Vec<u8>,
    found: Vec<u64>,
}

impl Watcher for Finder {
    fn output(&mut self, icount: u64, output: &Output) {
        if let Output::Serial { port, byte } = output
            && *port == self.port
            && !self.text.is_empty()
        {
            self.tail.push(*byte);
            if self.tail.len() > self.text.len() {
                self.tail.remove(0);
            }
            if self.tail == self.text {
                self.found.push(icount);
            }
        }
    }
}

impl<B: Board> Timeline<B> {
    /// Runs forwards until the condition is met, at most to the step `limit`.
    ///
    /// # Errors
    /// [`Error`].
    pub fn forward(
        &mut self,
        condition: &Condition,
        limit: u64,
        control: &mut dyn Control,
    ) -> Result<Why, Error> {
        let (start, end) = (self.icount(), self.end());
        let limit_here = limit.min(end);
        let mut finder = self.finder(condition, start)?;
        let interest = condition.interest(&self.main.look().mem);
        self.main.machine().probe(interest, Keep::Until(1));
        let result = self.forward_probed(limit_here, &mut finder, control);
        self.main.machine().probe(Interest::default(), Keep::Last);
        let why = match result? {
            Some(found) => {
                let why = found.why();
                // Where it stands may be after the step's first moment, or before it is settled.
                let at = found.after();
                self.settle(at)?;
                why
            }
            None if self.icount() < limit_here => Why::Cancelled,
            None if limit > end => Why::End,
            None => Why::Reached,
        };
        Ok(why)
    }

    fn settle(&mut self, at: u64) -> Result<(), Error> {
        if self.icount() > at {
            self.seek(at, &mut ()).map(|_| ())
        } else {
            self.main.run(at, &mut ()).map(|_| ())
        }
    }

    fn forward_probed(
        &mut self,
        limit: u64,
        finder: &mut Finder,
        control: &mut dyn Control,
    ) -> Result<Option<Match>, Error> {
        let start = self.icount();
        loop {
            let here = self.icount();
            let stop = (here + SLICE).min(super::SPACING * (here / super::SPACING + 1)).min(limit);
            let ran = self.main.run(stop, finder)?;
            let hit = self.main.machine().take_hits().first().copied().map(Match::Hit);
            let text = finder.found.first().copied().map(Match::Console);
            // The earlier of the two.
            if let Some(found) = hit.into_iter().chain(text).min_by_key(Match::after) {
                return Ok(Some(found));
            }
            if ran == Ran::End || self.icount() >= limit {
                return Ok(None);
            }
            self.plant_if_due(limit.max(self.icount()));
            control.progress(self.icount() - start, limit - start);
            if control.cancelled() {
                return Ok(None);
            }
        }
    }

    /// A finder that knows what the port sent just before `start`.
    fn finder(&mut self, condition: &Condition, _start: u64) -> Result<Finder, Error> {
        let Some((port, text)) = condition.console.clone() else { return Ok(Finder::default()) };
        Ok(Finder { port, text, ..Finder::default() })
    }

    /// Runs backwards until the condition is met, at least to the step `limit`, and goes there. When nothing
    /// matches goes to `limit`.
    ///
    /// # Errors
    /// [`Error`].
    pub fn backward(
        &mut self,
        condition: &Condition,
        limit: u64,
        control: &mut dyn Control,
    ) -> Result<Why, Error> {
        let here = self.icount();
        match self.last_match(condition, limit, here, control)? {
            Searched::Found(found) => {
                self.seek(found.icount(), &mut ())?;
                Ok(found.why())
            }
            Searched::Cancelled => Ok(Why::Cancelled),
            Searched::Nothing => {
                self.seek(limit, control)?;
                Ok(if limit == 0 { Why::Begin } else { Why::Reached })
            }
        }
    }

    /// The last match in the steps from `from` up to `to`. The machine stays where it is.
    ///
    /// # Errors
    /// [`Error`].
    pub fn last_match(
        &mut self,
        condition: &Condition,
        from: u64,
        to: u64,
        control: &mut dyn Control,
    ) -> Result<Searched, Error> {
        let frames = condition.frames(&self.main.look().mem);
        let mut worker = match self.workers.pop() {
            Some(worker) => worker,
            None => self.worker()?,
        };
        let mut end = to.min(self.end());
        let total = end.saturating_sub(from);
        let mut result = Ok(Searched::Nothing);
        while end > from {
            let snapshot = self.snapshot_before(end - 1);
            let start = snapshot.icount();
            let next = self.store.after(end - 1).filter(|s| s.icount() == end);
            let skip = match (&frames, next) {
                (Some(frames), Some(next)) => !next.may_have_written(start, frames),
                _ => false,
            };
            if !skip {
                let window = (start.max(from), end);
                let last =
                    search_interval(&mut worker, &snapshot, window, condition, &mut || control.cancelled());
                match last {
                    Ok(Searched::Nothing) => {}
                    other => {
                        result = other;
                        break;
                    }
                }
            }
            end = start.max(from);
            control.progress(total - (end - from), total);
        }
        self.workers.push(worker);
        result
    }

    /// Calls `found` for everything that matches in the steps from `from` up to `to`, oldest first,
    /// until it answers false. The machine stays where it is.
    ///
    /// # Errors
    /// [`Error`].
    pub fn collect(
        &mut self,
        condition: &Condition,
        from: u64,
        to: u64,
        control: &mut dyn Control,
        found: &mut dyn FnMut(Match) -> bool,
    ) -> Result<Why, Error> {
        let mut worker = match self.workers.pop() {
            Some(worker) => worker,
            None => self.worker()?,
        };
        let snapshot = self.snapshot_before(from);
        let to = to.min(self.end());
        let result = collect_from(&mut worker, &snapshot, (from, to), condition, control, found);
        self.workers.push(worker);
        result
    }
}

/// What a search found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Searched {
    /// A match.
    Found(Match),
    /// Nothing.
    Nothing,
    /// The user stopped it.
    Cancelled,
}

fn prepare<B: Board>(
    worker: &mut Player<B>,
    snapshot: &Arc<Snapshot<B>>,
    from: u64,
    condition: &Condition,
    keep: Keep,
) -> Result<Finder, Error> {
    worker.machine().probe(Interest::default(), Keep::Last);
    worker.restore(snapshot)?;
    let (port, text) = condition.console.clone().unwrap_or_default();
    let mut finder = Finder { port, text, ..Finder::default() };
    worker.run(from, &mut finder)?;
    finder.found.clear();
    let interest = condition.interest(&worker.look().mem);
    // A breakpoint where the window begins counts.
    let machine = worker.machine();
    machine.probe_from_here(interest, keep);
    Ok(finder)
}

/// The last match in a window that begins at or after the snapshot.
fn search_interval<B: Board>(
    worker: &mut Player<B>,
    snapshot: &Arc<Snapshot<B>>,
    (from, to): (u64, u64),
    condition: &Condition,
    cancelled: &mut dyn FnMut() -> bool,
) -> Result<Searched, Error> {
    let mut finder = prepare(worker, snapshot, from, condition, Keep::Last)?;
    let mut last = None;
    while worker.icount() < to {
        let stop = (worker.icount() + SLICE).min(to);
        let ran = worker.run(stop, &mut finder)?;
        let hits = worker.machine().take_hits().into_iter().map(Match::Hit);
        let texts = finder.found.drain(..).map(Match::Console);
        if let Some(found) = hits.chain(texts).max_by_key(Match::icount) {
            last = Some(found);
        }
        if ran == Ran::End {
            break;
        }
        if cancelled() {
            return Ok(Searched::Cancelled);
        }
    }
    Ok(last.map_or(Searched::Nothing, Searched::Found))
}

fn collect_from<B: Board>(
    worker: &mut Player<B>,
    snapshot: &Arc<Snapshot<B>>,
    (from, to): (u64, u64),
    condition: &Condition,
    control: &mut dyn Control,
    found: &mut dyn FnMut(Match) -> bool,
) -> Result<Why, Error> {
    let mut finder = prepare(worker, snapshot, from, condition, Keep::Until(BATCH))?;
    while worker.icount() < to {
        let stop = (worker.icount() + SLICE).min(to);
        let ran = worker.run(stop, &mut finder)?;
        let hits = worker.machine().take_hits().into_iter().map(Match::Hit);
        let texts = finder.found.drain(..).map(Match::Console);
        let mut all: Vec<Match> = hits.chain(texts).collect();
        all.sort_by_key(Match::icount);
        for m in all {
            if !found(m) {
                return Ok(Why::Reached);
            }
        }
        control.progress(worker.icount() - from, to - from);
        if ran == Ran::End {
            return Ok(Why::End);
        }
        if control.cancelled() {
            return Ok(Why::Cancelled);
        }
    }
    Ok(Why::Reached)
}
