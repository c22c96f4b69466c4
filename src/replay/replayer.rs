//! Replaying: feeds a recording's inputs at their exact moments, and compares every checkpoint.

use super::record::{Checkpoint, EndReason, Record};
use super::runner::{Event, Runner, Tally};
use super::tape::{Cursor, Tape, TapeSource};
use super::{Input, Moment, Output};
use crate::machine::State;
use crate::machine::board::Board;
use std::sync::Arc;

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
    /// The probes want their hits to be taken.
    Probed,
    /// The machine went another way.
    Diverged(Divergence),
}

/// Watches a replay.
pub trait Watcher {
    /// Something left the machine in the step after `icount`.
    fn output(&mut self, _icount: u64, _output: &Output) {}
    /// The replay has come to this moment.
    fn progress(&mut self, _at: Moment) {}
}

/// Watches nothing.
impl Watcher for () {}

/// A replay under way, or one that can go on.
pub struct Replayer<B: Board> {
    /// The machine.
    pub runner: Runner<B>,
    tape: Arc<Tape>,
    cursor: Cursor,
    /// What was wrong with a reading of the host's clock.
    wrong: Option<String>,
    to: u64,
}

/// Virtual nanoseconds (18 minutes) without a step after which a branch is over.
const ASLEEP: u64 = 1 << 40;
/// Timers that fire without a step after which it is, too: with a fast one nobody would wait for 18 minutes.
const FIRED: u32 = 1 << 18;

/// Ends the replay in the middle of something.
type Step<T> = Result<T, Outcome>;

impl<B: Board> Replayer<B> {
    /// A replay of `tape` on a machine at power-on.
    pub fn new(runner: Runner<B>, tape: Arc<Tape>) -> Self {
        Self { runner, tape, cursor: Cursor::default(), wrong: None, to: u64::MAX }
    }

    /// Where it stands on the tape.
    pub fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// Takes over a snapshot; memory has been restored already.
    pub fn restore(&mut self, state: &State<B>, tally: &Tally, cursor: &Cursor) {
        self.runner.restore(state, tally);
        self.cursor = *cursor;
        self.wrong = None;
    }

    /// Goes on with another tape, which is the same up to where the replay stands.
    pub fn set_tape(&mut self, tape: Arc<Tape>) {
        self.tape = tape;
    }

    /// Replays to the end, or to the step `to`: the first moment there, timers fired and what a
    /// debugger wrote there done, but before any other input. Can be called again to go on.
    pub fn run(&mut self, to: Option<u64>, watcher: &mut dyn Watcher) -> Outcome {
        self.drive(to, true, watcher)
    }

    /// [`Replayer::run`] to the step `to`, but leaves undone what a debugger wrote there.
    pub fn run_before_writes(&mut self, to: u64, watcher: &mut dyn Watcher) -> Outcome {
        self.drive(Some(to), false, watcher)
    }

    fn drive(&mut self, to: Option<u64>, writes: bool, watcher: &mut dyn Watcher) -> Outcome {
        self.to = to.unwrap_or(u64::MAX);
        loop {
            let result = self.next(watcher);
            self.show(watcher);
            match result {
                Ok(()) => {}
                Err(Outcome::Reached) if writes => match self.written_here(watcher) {
                    Ok(true) => {}
                    Ok(false) => return Outcome::Reached,
                    Err(outcome) => return outcome,
                },
                Err(outcome) => return outcome,
            }
        }
    }

    /// Replays everything that was recorded up to the last moment, but not the end itself: the
    /// machine could go on.
    pub fn run_to_last(&mut self, watcher: &mut dyn Watcher) -> Outcome {
        self.to = u64::MAX;
        let (events, last) = self.tape.open_end();
        loop {
            let event = self.cursor.event;
            let result = if event < events { self.next(watcher) } else { self.reach(last, watcher) };
            self.show(watcher);
            match result {
                Ok(()) if event >= events && self.cursor.event == event => return Outcome::Reached,
                Ok(()) => {}
                Err(outcome) => return outcome,
            }
        }
    }

    /// True when the end that the guest made was reached: nothing goes on from here.
    pub fn at_end(&self) -> bool {
        self.cursor.event > self.tape.open_end().0
    }

    /// Does what a debugger wrote at the moment that was reached. True when there was something.
    fn written_here(&mut self, watcher: &mut dyn Watcher) -> Step<bool> {
        let at = self.runner.at();
        let mut next = self.cursor.event;
        if let Some(Record::Checkpoint(c)) = self.tape.event(next)
            && c.at == at
        {
            next += 1;
        }
        let tape = self.tape.clone();
        match tape.event(next) {
            Some(Record::Input { at: when, input }) if *when == at && input.by_debugger() => {
                if next > self.cursor.event && tape.checked() {
                    let found = self.runner.checkpoint(false);
                    self.compare(&found, watcher)?;
                }
                self.cursor.event = next;
                self.cursor.event += 1;
                self.inject(input);
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Injects an input that is not on the tape where the machine stands.
    pub fn inject(&mut self, input: &Input) {
        let mut source = TapeSource { tape: &self.tape, cursor: &mut self.cursor, wrong: &mut self.wrong };
        self.runner.inject(input, &mut source);
    }

    fn advance(&mut self, limit: u64) -> Event {
        let mut source = TapeSource { tape: &self.tape, cursor: &mut self.cursor, wrong: &mut self.wrong };
        self.runner.advance(limit, &mut source)
    }

    /// Goes to the next event of the recording and compares or injects it.
    fn next(&mut self, watcher: &mut dyn Watcher) -> Step<()> {
        let tape = self.tape.clone();
        let Some(event) = tape.event(self.cursor.event) else { return self.beyond(watcher) };
        match event {
            Record::Checkpoint(_) if !tape.checked() => {
                self.cursor.event += 1;
                Ok(())
            }
            Record::Checkpoint(expected) => {
                let left = self.cursor.event;
                self.reach(expected.at, watcher)?;
                if self.cursor.event > left {
                    return Ok(());
                }
                // Not one that comes by itself: it stands before an input or the end.
                if let Some(Record::End { at, reason }) = tape.event(self.cursor.event + 1)
                    && *at == expected.at
                    && reason.by_guest()
                {
                    return Err(self.end_by_guest(reason, watcher));
                }
                let found = self.runner.checkpoint(expected.memory.is_some());
                self.compare(&found, watcher)
            }
            Record::Input { at, input } => {
                self.reach(*at, watcher)?;
                self.cursor.event += 1;
                self.inject(input);
                self.show(watcher);
                Ok(())
            }
            Record::End { at, reason } => {
                self.reach(*at, watcher)?;
                self.cursor.event += 1;
                if !self.tape.clocks_read(&self.cursor) {
                    return Err(
                        self.course("the recording has host clock readings that were not made".into())
                    );
                }
                Err(Outcome::End(reason.clone()))
            }
            // The tape keeps them apart.
            Record::HostClock { .. } => {
                self.cursor.event += 1;
                Ok(())
            }
        }
    }

    /// After the last event: a recording is over, a branch goes on without input, and skips idle
    /// time. So does a replay that is not compared, up to the step of the recording's last moment.
    fn beyond(&mut self, watcher: &mut dyn Watcher) -> Step<()> {
        let last = match self.tape.last() {
            None => u64::MAX,
            Some(_) if self.tape.checked() => return Err(Outcome::Cut),
            Some(last) => last.icount,
        };
        let (mut asleep, mut fired) = (self.runner.at(), 0);
        loop {
            let event = self.advance(self.to.min(last));
            self.show(watcher);
            let at = self.runner.at();
            if at.icount > asleep.icount {
                (asleep, fired) = (at, 0);
            }
            match event {
                Event::Limit if self.to > last => return Err(Outcome::Cut),
                Event::Limit => return Err(Outcome::Reached),
                Event::Checkpoint(_) => watcher.progress(self.runner.at()),
                Event::Probed => return Err(Outcome::Probed),
                Event::End(reason) => return Err(Outcome::End(reason)),
                Event::Idle(None) => return Err(Outcome::End(EndReason::Halted)),
                // Timers fire, but nothing wakes it.
                Event::Idle(_) if at.warp - asleep.warp > ASLEEP || fired > FIRED => {
                    return Err(Outcome::End(EndReason::Halted));
                }
                Event::Idle(Some(deadline)) => {
                    fired += 1;
                    self.runner.machine.warp_to(deadline);
                }
            }
        }
    }

    /// Goes to a moment of the recording, comparing the checkpoints on the way. Returns early when
    /// one of them was the next event.
    fn reach(&mut self, goal: Moment, watcher: &mut dyn Watcher) -> Step<()> {
        let mut ended = None;
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
            let event = self.advance(limit);
            self.show(watcher);
            if let Some(text) = self.wrong.take() {
                return Err(self.course(text));
            }
            let at = self.runner.at();
            match event {
                Event::Checkpoint(found) if self.is_next(&found, watcher)? => return Ok(()),
                Event::Checkpoint(_) => {}
                Event::Probed => return Err(Outcome::Probed),
                // In a branch the debugger wrote after the guest's end, there or further on.
                Event::End(_) if self.tape.last().is_none() && ended != Some(at) => ended = Some(at),
                Event::End(reason) => return Err(self.ended(reason, watcher)),
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
                    let mut source =
                        TapeSource { tape: &self.tape, cursor: &mut self.cursor, wrong: &mut self.wrong };
                    let event = self.runner.idle_to(target, &mut source);
                    self.show(watcher);
                    match event {
                        Some(Event::Checkpoint(found)) if self.is_next(&found, watcher)? => return Ok(()),
                        Some(Event::End(reason)) => return Err(self.ended(reason, watcher)),
                        _ => {}
                    }
                }
            }
        }
    }

    /// The guest ended its run.
    fn ended(&mut self, reason: EndReason, watcher: &mut dyn Watcher) -> Outcome {
        let at = self.runner.at();
        if !self.tape.checked()
            && let Some(Record::End { at: end, reason: recorded }) = self.tape.event(self.cursor.event)
            && *end == at
            && *recorded == reason
        {
            return Outcome::End(reason);
        }
        if let Some(Record::Checkpoint(expected)) = self.tape.event(self.cursor.event)
            && let Some(Record::End { at: end, reason: recorded }) = self.tape.event(self.cursor.event + 1)
            && expected.at == at
            && *end == at
            && *recorded == reason
        {
            let found = self.runner.checkpoint(true);
            return match self.compare(&found, watcher) {
                Ok(()) => self.next(watcher).err().unwrap_or(Outcome::Cut),
                Err(outcome) => outcome,
            };
        }
        self.course(format!("the run ended there ({reason}), the recording goes on"))
    }

    /// At the moment of an end that the guest itself made but that needs one more try to show.
    fn end_by_guest(&mut self, reason: &EndReason, watcher: &mut dyn Watcher) -> Outcome {
        let limit = self.runner.at().icount + 1;
        let event = self.advance(limit);
        self.show(watcher);
        let found = match event {
            Event::Idle(None) if self.runner.at().icount + 1 == limit => EndReason::Halted,
            Event::End(found) => found,
            _ => return self.course(format!("the recorded run ended there ({reason}), this one goes on")),
        };
        self.ended(found, watcher)
    }

    /// Compares a checkpoint; true when it was the next event of the recording. In a replay that is
    /// not compared it is none.
    fn is_next(&mut self, found: &Checkpoint, watcher: &mut dyn Watcher) -> Step<bool> {
        let event = self.cursor.event;
        self.compare(found, watcher)?;
        Ok(self.cursor.event > event)
    }

    /// Compares a checkpoint with the next event of the recording.
    fn compare(&mut self, found: &Checkpoint, watcher: &mut dyn Watcher) -> Step<()> {
        if let Some(text) = self.wrong.take() {
            return Err(self.course(text));
        }
        let Some(Record::Checkpoint(expected)) = self.tape.event(self.cursor.event) else {
            if !self.tape.checked() {
                // A branch's own checkpoints were never recorded.
                return Ok(());
            }
            return Err(self.course("a checkpoint came where the recording has none".into()));
        };
        if expected.at != found.at {
            let at = expected.at;
            let text = format!("the recorded checkpoint is at step {} with {} ns idle", at.icount, at.warp);
            return Err(self.course(text));
        }
        let state = expected.state != found.state;
        let output = expected.output != found.output;
        let memory = self.runner.digests_memory() && expected.memory != found.memory;
        let what = match (state, output, memory) {
            (false, false, false) => {
                self.cursor.event += 1;
                self.cursor.held = found.at;
                self.cursor.checkpoints += 1;
                watcher.progress(found.at);
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
        Err(Outcome::Diverged(Divergence { after: self.cursor.held, at: found.at, what }))
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
        Outcome::Diverged(Divergence { after: self.cursor.held, at, what: Difference::Course(text) })
    }

    fn show(&mut self, watcher: &mut dyn Watcher) {
        for (icount, output) in self.runner.outputs.drain(..) {
            watcher.output(icount, &output);
        }
    }
}
