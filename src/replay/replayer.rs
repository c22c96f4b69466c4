//! Replaying: feeds a recording's inputs at their exact moments, and compares every checkpoint.

use super::log::{Ending, Recording};
use super::record::{Checkpoint, EndReason, Record};
use super::runner::{Event, Runner};
use super::{Moment, Output, Source};
use crate::machine::board::Board;
use std::collections::VecDeque;

/// What differs at a divergence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// The digest of CPUs and devices.
    State,
    /// The digest of the output.
    Output,
    /// The digest of memory.
    Memory,
    /// Several digests.
    Digests(&'static str),
    /// The machine is not where the recording says; the text says what was found.
    Course(String),
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::State => f.write_str("the digest of CPUs and devices differs"),
            Self::Output => f.write_str("the digest of the output differs"),
            Self::Memory => f.write_str("the digest of memory differs"),
            Self::Digests(which) => write!(f, "the digests of {which} differ"),
            Self::Course(what) => f.write_str(what),
        }
    }
}

/// The first place where a replay differs from its recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// The last checkpoint that held (power-on if none did).
    pub after: Moment,
    /// Where the difference showed.
    pub at: Moment,
    /// What differs.
    pub what: Difference,
}

impl std::fmt::Display for Divergence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (after, at) = (self.after.icount, self.at.icount);
        write!(f, "divergence after step {after}, at or before step {at}: {}", self.what)
    }
}

/// How a replay ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The recording's end was reached and every checkpoint held.
    End(EndReason),
    /// The recording has no end; its last checkpoint or input was reached and all held.
    Cut,
    /// The moment that was asked for was reached.
    Reached,
    /// The machine went another way.
    Diverged(Divergence),
}

/// Gives what the log has for the host's clock.
#[derive(Debug)]
struct LogSource {
    clocks: VecDeque<(u64, u64)>,
    last: u64,
    wrong: Option<String>,
}

impl Source for LogSource {
    fn host_clock(&mut self, icount: u64) -> u64 {
        match self.clocks.front() {
            Some(&(at, ns)) if at == icount => {
                self.clocks.pop_front();
                self.last = ns;
            }
            next => {
                let recorded = match next {
                    Some((at, _)) => format!("the next recorded reading is at step {at}"),
                    None => "the recording has no more readings".to_owned(),
                };
                let text = format!("the host clock was read at step {icount}, {recorded}");
                self.wrong.get_or_insert(text);
            }
        }
        self.last
    }
}

/// Watches a replay.
pub trait Watcher {
    /// Something left the machine.
    fn output(&mut self, _icount: u64, _output: &Output) {}
    /// The replay has come to this moment.
    fn progress(&mut self, _at: Moment) {}
}

/// Watches nothing.
impl Watcher for () {}

/// A replay under way.
pub struct Replayer<'a, B: Board> {
    runner: &'a mut Runner<B>,
    /// Checkpoints, inputs and the end, in order.
    events: VecDeque<&'a Record>,
    source: LogSource,
    watcher: &'a mut dyn Watcher,
    to: u64,
    ending: Ending,
    /// The last checkpoint that held.
    held: Moment,
    /// Number of checkpoints that held.
    pub checkpoints: u64,
}

/// Ends the replay in the middle of something.
type Step<T> = Result<T, Outcome>;

impl<'a, B: Board> Replayer<'a, B> {
    /// A replay of `recording` on a machine at power-on, to its end or to the step `to`.
    pub fn new(
        runner: &'a mut Runner<B>,
        recording: &'a Recording,
        to: Option<u64>,
        watcher: &'a mut dyn Watcher,
    ) -> Self {
        let mut clocks = VecDeque::new();
        let mut events = VecDeque::new();
        for record in &recording.records {
            match record {
                Record::HostClock { icount, ns } => clocks.push_back((*icount, *ns)),
                other => events.push_back(other),
            }
        }
        Self {
            runner,
            events,
            source: LogSource { clocks, last: 0, wrong: None },
            watcher,
            to: to.unwrap_or(u64::MAX),
            ending: recording.ending,
            held: Moment::default(),
            checkpoints: 0,
        }
    }

    /// Replays.
    pub fn run(&mut self) -> Outcome {
        loop {
            if let Err(outcome) = self.next() {
                self.show();
                return outcome;
            }
        }
    }

    /// Goes to the next event of the recording and compares or injects it.
    fn next(&mut self) -> Step<()> {
        let Some(&event) = self.events.front() else { return Err(self.finished()) };
        match event {
            Record::Checkpoint(expected) => {
                let left = self.events.len();
                self.reach(expected.at)?;
                if self.events.len() < left {
                    return Ok(());
                }
                // Not one that comes by itself: it stands before an input or the end.
                if let Some(Record::End { at, reason }) = self.events.get(1).copied()
                    && *at == expected.at
                    && reason.by_guest()
                {
                    return Err(self.end_by_guest(reason));
                }
                let found = self.runner.checkpoint(expected.memory.is_some());
                self.compare(&found)
            }
            Record::Input { at, input } => {
                self.reach(*at)?;
                self.events.pop_front();
                self.runner.inject(input, &mut self.source);
                self.show();
                Ok(())
            }
            Record::End { at, reason } => {
                self.reach(*at)?;
                self.events.pop_front();
                if !self.source.clocks.is_empty() {
                    return Err(
                        self.course("the recording has host clock readings that were not made".into())
                    );
                }
                Err(Outcome::End(reason.clone()))
            }
            // Sorted out in `new`.
            Record::HostClock { .. } => {
                self.events.pop_front();
                Ok(())
            }
        }
    }

    fn finished(&self) -> Outcome {
        debug_assert!(self.ending != Ending::Whole);
        Outcome::Cut
    }

    /// Goes to a moment of the recording, comparing the checkpoints on the way. Returns early when
    /// one of them was the next event.
    fn reach(&mut self, goal: Moment) -> Step<()> {
        loop {
            let at = self.runner.at();
            if at.icount > goal.icount || at.warp > goal.warp {
                return Err(self.missed(goal));
            }
            let stop = self.to <= goal.icount;
            // At the goal's step but before its moment the machine has to be idle: one more step
            // would show that it is not.
            let wait = at.icount == goal.icount && at.warp < goal.warp;
            let limit = if stop { self.to } else { goal.icount + u64::from(wait) };
            let event = self.runner.advance(limit, &mut self.source);
            self.show();
            if let Some(text) = self.source.wrong.take() {
                return Err(self.course(text));
            }
            let at = self.runner.at();
            match event {
                Event::Checkpoint(found) => return self.compare(&found),
                Event::End(reason) => return Err(self.ended(reason)),
                Event::Limit if stop => return Err(Outcome::Reached),
                Event::Limit if at == goal => return Ok(()),
                Event::Limit => {}
                Event::Idle(next) => {
                    let now = self.runner.machine.state.now();
                    let mut target = next;
                    if at.icount == goal.icount {
                        let goal = now.plus(goal.warp.saturating_sub(at.warp));
                        target = Some(target.map_or(goal, |t| t.min(goal)));
                    }
                    // With checkpoints in idle time even an endless sleep passes some.
                    let target = target.or_else(|| self.runner.next_idle_checkpoint());
                    let Some(target) = target else {
                        return Err(self.course("the machine sleeps for ever".into()));
                    };
                    let event = self.runner.idle_to(target, &mut self.source);
                    self.show();
                    match event {
                        Some(Event::Checkpoint(found)) => return self.compare(&found),
                        Some(Event::End(reason)) => return Err(self.ended(reason)),
                        _ => {}
                    }
                }
            }
        }
    }

    /// The guest ended its run.
    fn ended(&mut self, reason: EndReason) -> Outcome {
        let at = self.runner.at();
        if let Some(Record::Checkpoint(expected)) = self.events.front().copied()
            && let Some(Record::End { at: end, reason: recorded }) = self.events.get(1).copied()
            && expected.at == at
            && *end == at
            && *recorded == reason
        {
            let found = self.runner.checkpoint(true);
            return match self.compare(&found) {
                Ok(()) => self.next().err().unwrap_or(Outcome::Cut),
                Err(outcome) => outcome,
            };
        }
        self.course(format!("the run ended there ({reason}), the recording goes on"))
    }

    /// At the moment of an end that the guest itself made but that needs one more try to show.
    fn end_by_guest(&mut self, reason: &EndReason) -> Outcome {
        let limit = self.runner.at().icount + 1;
        let event = self.runner.advance(limit, &mut self.source);
        self.show();
        let found = match event {
            Event::Idle(None) if self.runner.at().icount + 1 == limit => EndReason::Halted,
            Event::End(found) => found,
            _ => return self.course(format!("the recorded run ended there ({reason}), this one goes on")),
        };
        self.ended(found)
    }

    /// Compares a checkpoint with the next event of the recording.
    fn compare(&mut self, found: &Checkpoint) -> Step<()> {
        if let Some(text) = self.source.wrong.take() {
            return Err(self.course(text));
        }
        let Some(Record::Checkpoint(expected)) = self.events.front().copied() else {
            return Err(self.course("a checkpoint came where the recording has none".into()));
        };
        if expected.at != found.at {
            let at = expected.at;
            let text = format!("the recorded checkpoint is at step {} with {} ns idle", at.icount, at.warp);
            return Err(self.course(text));
        }
        let state = expected.state != found.state;
        let output = expected.output != found.output;
        let memory = expected.memory != found.memory;
        let what = match (state, output, memory) {
            (false, false, false) => {
                self.events.pop_front();
                self.held = found.at;
                self.checkpoints += 1;
                self.watcher.progress(found.at);
                return Ok(());
            }
            (true, false, false) => Difference::State,
            (false, true, false) => Difference::Output,
            (false, false, true) => Difference::Memory,
            (true, true, false) => Difference::Digests("CPUs, devices and output"),
            (true, false, true) => Difference::Digests("CPUs, devices and memory"),
            (false, true, true) => Difference::Digests("output and memory"),
            (true, true, true) => Difference::Digests("CPUs, devices, output and memory"),
        };
        Err(Outcome::Diverged(Divergence { after: self.held, at: found.at, what }))
    }

    fn missed(&self, goal: Moment) -> Outcome {
        let at = self.runner.at();
        self.course(format!(
            "the next recorded event is at step {} with {} ns idle, the machine passed it to step {} with {} ns",
            goal.icount, goal.warp, at.icount, at.warp
        ))
    }

    fn course(&self, text: String) -> Outcome {
        let at = self.runner.at();
        Outcome::Diverged(Divergence { after: self.held, at, what: Difference::Course(text) })
    }

    fn show(&mut self) {
        for (icount, output) in self.runner.outputs.drain(..) {
            self.watcher.output(icount, &output);
        }
    }
}
