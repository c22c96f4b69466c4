//! Searching: forwards and backwards until a condition, and collecting all that matches.

use super::condition::{Condition, Why};
use super::crew::{Crew, Run, Search, lock, wait};
use super::player::Ran;
use super::snapshot::Window;
use super::texts::Scanner;
use super::transcript::Listener;
use super::{Control, Error, SLICE, SPACING, Timeline};
use crate::machine::board::Board;
use dejavm_interp::probe::{Hit, Interest, Keep};
use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex};

/// Hits after which the engine is left.
const BATCH: usize = 1 << 12;
/// Hits of a window that may wait for those of earlier windows.
const WAITING: usize = 1 << 16;
/// Steps that one thread searches faster alone than several.
const ALONE: u64 = 1 << 21;
/// Steps between the snapshots that a run forwards leaves behind, but for the last one drops again.
const ROLLING: u64 = 1 << 23;
/// Steps that are collected at once when texts are looked for.
const TEXTS: u64 = 16 * SPACING;

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

/// How a run forwards ended.
enum Stopped {
    At(Match),
    Limit,
    End,
    Cancelled,
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
        let end = self.end();
        self.main.machine().probe(condition.interest(), Keep::Until(1));
        let result = self.forward_probed(condition, limit.min(end), control);
        self.main.machine().probe(Interest::default(), Keep::Last);
        Ok(match result? {
            Stopped::At(found) => {
                // Where it stands may be after the step's first moment, or before it is settled.
                self.settle(found.after())?;
                found.why()
            }
            Stopped::Cancelled => {
                self.settle(self.icount())?;
                Why::Cancelled
            }
            Stopped::End => {
                self.settle(self.icount())?;
                Why::End
            }
            Stopped::Limit if limit > end => Why::End,
            Stopped::Limit => Why::Reached,
        })
    }

    fn forward_probed(
        &mut self,
        condition: &Condition,
        limit: u64,
        control: &mut dyn Control,
    ) -> Result<Stopped, Error> {
        let start = self.icount();
        let mut scanner = condition.console.clone().map(|(port, text)| Scanner::new(port, text, start));
        let mut rolling = None;
        loop {
            let here = self.icount();
            if here >= limit {
                return Ok(Stopped::Limit);
            }
            let stop = (here + SLICE).min(ROLLING * (here / ROLLING + 1)).min(limit);
            let mut listener = Listener::default();
            let ran = self.main.run(stop, &mut listener)?;
            if ran == Ran::Reached {
                self.transcript.learn((here, stop), &listener.0, (here, stop));
            }
            let hit = self.main.machine().take_hits().first().copied().map(Match::Hit);
            let text = match &mut scanner {
                Some(scanner) => match self.scan(scanner, &listener.0, control)? {
                    Some(found) => found.first().copied().map(Match::Console),
                    None => return Ok(Stopped::Cancelled),
                },
                None => None,
            };
            // The earlier of the two.
            if let Some(found) = hit.into_iter().chain(text).min_by_key(Match::after) {
                return Ok(Stopped::At(found));
            }
            if ran == Ran::End {
                return Ok(Stopped::End);
            }
            if stop.is_multiple_of(ROLLING) && stop < limit {
                self.roll(&mut rolling);
            }
            control.progress(self.icount() - start, limit - start);
            if control.cancelled() {
                return Ok(Stopped::Cancelled);
            }
        }
    }

    /// Plants a snapshot on the way forwards: one of the regular ones, or one that stays only until
    /// the next, so that a step back from where the run will stop is fast.
    fn roll(&mut self, rolling: &mut Option<u64>) {
        if let Some(old) = rolling.take() {
            self.store.drop_rung(old);
        }
        let here = self.icount();
        if self.store.at(here).is_some() {
            return;
        }
        if here.is_multiple_of(SPACING) {
            self.plant();
        } else {
            *rolling = Some(here);
            self.plant_rung();
        }
    }

    /// Goes to the first moment of a step that the machine is near.
    fn settle(&mut self, at: u64) -> Result<(), Error> {
        if self.icount() <= at && self.main.at_first_moment() {
            self.main.run(at, &mut ()).map(|_| ())
        } else {
            self.seek(at, &mut ()).map(|_| ())
        }
    }

    /// Runs backwards until the condition is met, at least to the step `limit`, and goes there. When nothing
    /// matches goes to `limit`; when cancelled it stays.
    ///
    /// # Errors
    /// [`Error`]; the machine stands somewhere before.
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
            Searched::Cancelled => {
                self.seek(here, &mut ())?;
                Ok(Why::Cancelled)
            }
            Searched::Nothing => {
                let limit = limit.min(here);
                Ok(match self.seek(limit, control)? {
                    Why::Reached if limit == 0 => Why::Begin,
                    why => why,
                })
            }
        }
    }

    /// The last match in the steps from `from` up to `to`. The machine stands anywhere afterwards.
    ///
    /// # Errors
    /// [`Error`].
    pub fn last_match(
        &mut self,
        condition: &Condition,
        mut from: u64,
        to: u64,
        control: &mut dyn Control,
    ) -> Result<Searched, Error> {
        let to = to.min(self.end());
        let mut result = Searched::Nothing;
        if let Some((port, text)) = &condition.console {
            result = self.last_text(*port, text, (from, to), control)?;
            match &result {
                Searched::Found(text) => from = text.icount() + 1,
                Searched::Nothing => {}
                Searched::Cancelled => return Ok(result),
            }
        }
        let hits = Condition { console: None, ..condition.clone() };
        if hits.interest().is_empty() {
            return Ok(result);
        }
        match self.last_hit(&hits, (from, to), control)? {
            Searched::Nothing => Ok(result),
            other => Ok(other),
        }
    }

    fn last_hit(
        &mut self,
        condition: &Condition,
        (from, to): Window,
        control: &mut dyn Control,
    ) -> Result<Searched, Error> {
        let mut windows = self.windows_for(condition, (from, to));
        windows.reverse();
        let mut near = 0;
        let alone = windows.iter().take_while(|w| {
            near += w.1 - w.0;
            near <= ALONE
        });
        let (alone, others) = windows.split_at(alone.count());
        match self.last_hit_in(condition, alone, None, control)? {
            Searched::Nothing => {
                let jobs = Some(self.shop.options.jobs);
                self.last_hit_in(condition, others, jobs, control)
            }
            other => Ok(other),
        }
    }

    /// The steps in which the condition may be met, cut at the snapshots, in order.
    fn windows_for(&mut self, condition: &Condition, (from, to): Window) -> Vec<Window> {
        let frames = condition.frames(self.main.look());
        if frames.is_some() && to == self.icount() && to - self.snapshot_before(to).icount() > ALONE {
            // So that it is known what was written in the last steps.
            self.plant_rung();
        }
        let mut windows = self.store.windows(from, to);
        if let Some(frames) = frames {
            windows.retain(|&w| self.store.may_have_written(w, &frames));
        }
        windows
    }

    /// The last hit in these windows, newest first. One after the other, unless they are so many that jobs share
    /// them.
    fn last_hit_in(
        &mut self,
        condition: &Condition,
        windows: &[Window],
        jobs: Option<usize>,
        control: &mut dyn Control,
    ) -> Result<Searched, Error> {
        if windows.is_empty() {
            return Ok(Searched::Nothing);
        }
        let search = Search::new(condition, Keep::Last);
        let crew = match jobs {
            Some(jobs) => Crew::backwards(&self.shop, &mut self.store, windows, jobs),
            None => Crew::new(&self.shop, &mut self.store, windows),
        };
        // Of the windows that were searched, by the first of those that were searched at once, and whether to the
        // end or until it was needless.
        let results = Mutex::new(BTreeMap::new());
        let note = |run: Run, result: Result<Option<Hit>, Error>| {
            if !matches!(result, Ok(None)) {
                crew.enough(run.end);
            }
            lock(&results).insert(run.start, (run.end, result));
        };
        crew.work(
            &mut self.main,
            &mut self.workers,
            jobs.unwrap_or(1),
            &|player, run, pause| {
                let mut last = None;
                let ran = crew.run(player, run.clone(), Some(&search), &mut (), &mut |player, ()| {
                    last = player.machine().take_hits().pop().or(last);
                    pause();
                    true
                });
                match ran {
                    Ok(true) => note(run, Ok(last)),
                    Ok(false) => {}
                    Err(e) => note(run, Err(e)),
                }
            },
            &|run, e| note(run, Err(e)),
            &mut || crew.look(control),
        );
        let mut results = results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut next = 0;
        while next < windows.len() {
            match results.remove(&next) {
                Some((end, Ok(None))) => next = end,
                Some((_, Ok(Some(hit)))) => return Ok(Searched::Found(Match::Hit(hit))),
                Some((_, Err(e))) => return Err(e),
                None => return Ok(Searched::Cancelled),
            }
        }
        Ok(Searched::Nothing)
    }

    /// Calls `found` for everything that matches in the steps from `from` up to `to`, oldest first,
    /// until it answers false. The machine stands anywhere afterwards.
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
        let end = to.min(self.end());
        let hits = Condition { console: None, ..condition.clone() };
        let mut scanner = condition.console.clone().map(|(port, text)| Scanner::new(port, text, from));
        let mut start = from;
        while start < end {
            let (mut stop, mut texts) = (end, Vec::new());
            if let Some(scanner) = &mut scanner {
                stop = end.min((start / TEXTS + 1) * TEXTS);
                match self.texts(scanner, (start, stop), control)? {
                    Some(found) => texts = found,
                    None => return Ok(Why::Cancelled),
                }
            }
            let why = self.collect_hits(&hits, (start, stop), texts, control, found)?;
            if let Some(why) = why {
                return Ok(why);
            }
            start = stop;
        }
        Ok(if to > end { Why::End } else { Why::Reached })
    }

    /// Collects hits in one window, and puts the texts between them. `None`: go on.
    fn collect_hits(
        &mut self,
        condition: &Condition,
        window: Window,
        texts: Vec<u64>,
        control: &mut dyn Control,
        found: &mut dyn FnMut(Match) -> bool,
    ) -> Result<Option<Why>, Error> {
        let mut order = Order { texts: texts.into_iter().peekable(), found, enough: false };
        let search = Search::new(condition, Keep::Until(BATCH));
        let mut failure = None;
        let windows = self.windows_for(condition, window);
        if !search.interest.is_empty() && !windows.is_empty() {
            let crew = Crew::new(&self.shop, &mut self.store, &windows);
            let lanes = Lanes::default();
            let mut deliver = || {
                crew.look(control);
                while let Some((hits, ended)) = lanes.take() {
                    hits.into_iter().for_each(|hit| order.hit(hit));
                    failure = ended.err();
                    if order.enough || failure.is_some() {
                        crew.cancel();
                        break;
                    }
                }
            };
            crew.work(
                &mut self.main,
                &mut self.workers,
                self.shop.options.jobs,
                &|player, run, pause| {
                    let index = run.start;
                    let ran = crew.run(player, run, Some(&search), &mut (), &mut |player, ()| {
                        lanes.put(index, player.machine().take_hits());
                        pause();
                        while lanes.is_full(index) && crew.needed(index) {
                            lanes.wait();
                            pause();
                        }
                        true
                    });
                    match ran {
                        Ok(false) => {}
                        other => lanes.end(index, other.map(drop)),
                    }
                },
                &|run, e| lanes.end(run.start, Err(e)),
                &mut deliver,
            );
            if crew.needed(0) {
                deliver();
            }
            let stopped = !crew.needed(0);
            if let Some(e) = failure {
                return Err(e);
            }
            if stopped {
                return Ok(Some(if order.enough { Why::Reached } else { Why::Cancelled }));
            }
        }
        order.texts_before(u64::MAX);
        Ok(order.enough.then_some(Why::Reached))
    }
}

/// Brings hits and texts into order.
struct Order<'a> {
    texts: std::iter::Peekable<std::vec::IntoIter<u64>>,
    found: &'a mut dyn FnMut(Match) -> bool,
    enough: bool,
}

impl Order<'_> {
    fn hit(&mut self, hit: Hit) {
        self.texts_before(hit.icount);
        self.enough = self.enough || !(self.found)(Match::Hit(hit));
    }

    fn texts_before(&mut self, icount: u64) {
        while !self.enough
            && let Some(at) = self.texts.next_if(|&at| at < icount)
        {
            self.enough = !(self.found)(Match::Console(at));
        }
    }
}

/// The hits of one window that wait, and how the window ended.
#[derive(Default)]
struct Lane {
    hits: Vec<Hit>,
    ended: Option<Result<(), Error>>,
}

/// The hits that wait, by window.
#[derive(Default)]
struct Lanes {
    /// The first window that was not delivered, and the lanes from it on.
    state: Mutex<(usize, BTreeMap<usize, Lane>)>,
    changed: Condvar,
}

impl Lanes {
    fn put(&self, index: usize, hits: Vec<Hit>) {
        if !hits.is_empty() {
            lock(&self.state).1.entry(index).or_default().hits.extend(hits);
        }
    }

    fn end(&self, index: usize, result: Result<(), Error>) {
        lock(&self.state).1.entry(index).or_default().ended = Some(result);
    }

    fn is_full(&self, index: usize) -> bool {
        lock(&self.state).1.get(&index).is_some_and(|lane| lane.hits.len() >= WAITING)
    }

    fn wait(&self) {
        drop(wait(&self.changed, lock(&self.state)));
    }

    /// The hits that are next in order, if there is anything new.
    fn take(&self) -> Option<(Vec<Hit>, Result<(), Error>)> {
        let mut state = lock(&self.state);
        let current = state.0;
        let lane = state.1.get_mut(&current)?;
        let (hits, ended) = (std::mem::take(&mut lane.hits), lane.ended.take());
        if ended.is_some() {
            state.1.remove(&current);
            state.0 += 1;
        } else if hits.is_empty() {
            return None;
        }
        self.changed.notify_all();
        Some((hits, ended.unwrap_or(Ok(()))))
    }
}
