//! Two machines side by side, and the first step at which they part.
//!
//! Both run to the same steps and are compared there: everything of the state, all of memory, all
//! output. Steps that are compared are the multiples of [`SLICE`], and every step at which the two
//! have different inputs, so the effect of an input is found where it begins. When two machines
//! differ at the end of a slice, halving between there and the last step at which they were equal
//! finds a step before which they are equal and after which they differ. *Guaranteed:* that step
//! is the first of a difference that is still there at the end of its slice, unless several
//! differences came and went in the slice; then it begins one of them. A difference that begins and heals within one
//! slice, with the same inputs on both sides, is found only when every step is compared.

use super::diff::{self, Found};
use crate::machine::board::Board;
use crate::machine::fault::Fault;
use crate::replay::log::{Ending, Recording};
use crate::replay::replayer::{Divergence, Outcome, Watcher};
use crate::replay::saved::Backing;
use crate::replay::tape::Tape;
use crate::replay::{Input, Moment, Output};
use crate::timeline::pages::{Held, frame_bytes};
use crate::timeline::player::Player;
use crate::timeline::snapshot::Snapshot;
use crate::timeline::{Control, Error, Make};
use dejavm_interp::mem::Account;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Steps between comparisons.
pub const SLICE: u64 = 1 << 20;

/// One of the two machines: how it is made and what comes to it.
pub struct Setup<B: Board> {
    /// Makes it, with its engine.
    pub make: Make<B>,
    /// What comes to it.
    pub recording: Arc<Recording>,
    /// What comes to it besides.
    pub faults: Vec<(u64, Fault)>,
}

/// What is compared.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// The first step to compare.
    pub from: u64,
    /// The last one; the end of the shorter recording if none.
    pub to: Option<u64>,
    /// Compare every step.
    pub every: bool,
    /// Threads to use.
    pub jobs: usize,
}

/// What the comparison came to.
#[derive(Clone, Debug)]
pub struct Compared {
    /// The last step that was compared.
    pub reached: u64,
    /// Where the machines part.
    pub found: Option<Found>,
    /// The first checkpoint of each recording that does not hold on this build.
    pub diverged: [Option<Divergence>; 2],
}

/// What left a machine since both were equal last.
#[derive(Clone, Debug, Default)]
struct Outputs(Vec<(u64, Output)>);

impl Watcher for Outputs {
    fn output(&mut self, icount: u64, output: &Output) {
        self.0.push((icount, output.clone()));
    }
}

/// One of the two machines.
pub(super) struct Side<B: Board> {
    pub(super) player: Player<B>,
    tape: Arc<Tape>,
    pub(super) faults: Vec<(u64, Fault)>,
    /// How many of the faults are done.
    done: usize,
    outputs: Outputs,
    /// Why it cannot go on.
    pub(super) ended: Option<String>,
    checked: bool,
    diverged: Option<Divergence>,
    form: Vec<u8>,
}

impl<B: Board> Side<B> {
    fn new(setup: Setup<B>, held: Held, backing: Arc<dyn Backing>) -> Result<Self, Error> {
        let header = &setup.recording.header;
        let tape = Arc::new(Tape::new(&setup.recording));
        // With faults it is another run than the recorded one.
        let checked = setup.faults.is_empty();
        let used = if checked { tape.clone() } else { Arc::new(tape.unchecked()) };
        let machine = (setup.make)()?;
        let (spacing, no_reboot) = (header.checkpoints, header.machine.no_reboot);
        let player = Player::new(machine, no_reboot, spacing, used, held, backing);
        let mut faults = setup.faults;
        faults.sort_by_key(|f| f.0);
        Ok(Self {
            player,
            tape,
            faults,
            done: 0,
            outputs: Outputs::default(),
            ended: None,
            checked,
            diverged: None,
            form: Vec::new(),
        })
    }

    /// Runs to the step `to`, or to the end. `writes` tells whether what a debugger wrote at the
    /// step `to`, and faults there, are done.
    fn go(&mut self, to: Option<u64>, writes: bool) {
        while self.ended.is_none() {
            let goal = to.unwrap_or(u64::MAX);
            let fault = self.faults.get(self.done).cloned();
            let fault = fault.filter(|f| f.0 < goal || f.0 == goal && writes);
            let stop = fault.as_ref().map(|f| f.0).or(to);
            let replayer = self.player.replayer();
            let outcome = match stop {
                Some(stop) if fault.is_none() && !writes => {
                    replayer.run_before_writes(stop, &mut self.outputs)
                }
                _ => replayer.run(stop, &mut self.outputs),
            };
            // The last checkpoint of a cut recording may stand where it is to stop.
            let stops = outcome == Outcome::Cut && stop == Some(replayer.runner.at().icount);
            match (if stops { Outcome::Reached } else { outcome }, fault) {
                (Outcome::Reached, Some((_, fault))) => {
                    replayer.inject(&fault.input());
                    self.done += 1;
                }
                (Outcome::Reached, None) => return,
                (Outcome::Probed, _) => {}
                (Outcome::End(reason), _) => self.ended = Some(reason.to_string()),
                (Outcome::Cut, _) => self.ended = Some("the recording is cut there".to_owned()),
                (Outcome::Diverged(d), _) if self.checked => {
                    // Goes on, to see where this comes from.
                    self.checked = false;
                    self.diverged = Some(d);
                    replayer.set_tape(Arc::new(self.tape.unchecked()));
                }
                (Outcome::Diverged(d), _) => self.ended = Some(d.what.to_string()),
            }
        }
    }

    /// Puts the state into bytes.
    fn encode(&mut self) {
        self.form.clear();
        let written = rmp_serde::encode::write(&mut self.form, &self.player.look().state);
        debug_assert!(written.is_ok(), "a machine's state is plain data: {written:?}");
    }

    /// What comes to it from outside at step `icount`, by debuggers and tests or from elsewhere.
    pub(super) fn inputs(&self, icount: u64, by_debugger: bool) -> Vec<Input> {
        let taped = self.tape.inputs().filter(|(at, _)| at.icount == icount).map(|(_, i)| i.clone());
        let faults = self.faults.iter().filter(|f| f.0 == icount).map(|f| f.1.input());
        taped.chain(faults).filter(|i| i.by_debugger() == by_debugger).collect()
    }

    /// The readings of the host's clock by step `icount` and the timers at its end.
    pub(super) fn clocks(&self, icount: u64) -> &[(u64, u64)] {
        let clocks = self.tape.clocks();
        let first = clocks.partition_point(|c| c.0 < icount);
        let end = clocks.partition_point(|c| c.0 <= icount + 1);
        &clocks[first..end]
    }

    /// What left it since both were equal last.
    pub(super) fn outputs(&self) -> &[(u64, Output)] {
        &self.outputs.0
    }

    fn mark(&mut self) -> (Arc<Snapshot<B>>, usize) {
        (Arc::new(self.player.snapshot()), self.done)
    }

    fn restore(&mut self, mark: &(Arc<Snapshot<B>>, usize)) -> Result<(), Error> {
        self.player.restore(&mark.0)?;
        self.done = mark.1;
        self.ended = None;
        self.outputs.0.clear();
        Ok(())
    }
}

/// A step at which both machines are equal.
struct Mark<B> {
    at: u64,
    sides: [(Arc<Snapshot<B>>, usize); 2],
}

/// Where the two were seen to part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// At the first step that was compared.
    Start,
    /// In this step.
    Step(u64),
    /// By what was written at this step.
    Write(u64),
    /// After this last step.
    End(u64),
}

/// Two machines side by side.
pub struct Lockstep<B: Board> {
    pub(super) sides: [Side<B>; 2],
    /// Frames that differed when they were last compared.
    frames: BTreeSet<u32>,
    /// Steps at which the two have different inputs, and the steps after these.
    events: BTreeSet<u64>,
    /// Steps at which a debugger or a test wrote.
    writes: BTreeSet<u64>,
    /// The last step of the shorter recording.
    last: u64,
    /// Both recordings are whole and end at the same step.
    ends: bool,
    parallel: bool,
}

impl<B: Board> Lockstep<B> {
    /// Two machines at power-on. They must be of the same configuration.
    ///
    /// # Errors
    /// When one cannot be built.
    pub fn new(first: Setup<B>, second: Setup<B>) -> Result<Self, Error> {
        let nothing: Arc<dyn Backing> = Arc::new(());
        Self::over(first, second, &Held::default(), &nothing)
    }

    /// The same, with somewhere to find the pages of saved snapshots.
    ///
    /// # Errors
    /// When one cannot be built.
    pub(super) fn over(
        first: Setup<B>,
        second: Setup<B>,
        held: &Held,
        backing: &Arc<dyn Backing>,
    ) -> Result<Self, Error> {
        let lasts = [&first, &second].map(|s| s.recording.last().icount);
        let whole = [&first, &second].map(|s| s.recording.ending == Ending::Whole);
        let side = |setup| Side::new(setup, held.clone(), backing.clone());
        let sides = [side(first)?, side(second)?];
        let (events, writes) = events(&sides);
        let ends = lasts[0] == lasts[1] && whole == [true, true];
        let last = lasts[0].min(lasts[1]);
        Ok(Self { sides, frames: BTreeSet::new(), events, writes, last, ends, parallel: false })
    }

    /// Puts both to a snapshot.
    ///
    /// # Errors
    /// When a saved page cannot be read.
    pub(super) fn begin_at(&mut self, snapshot: &Snapshot<B>) -> Result<(), Error> {
        for side in &mut self.sides {
            side.restore(&(Arc::new(snapshot.clone()), 0))?;
        }
        Ok(())
    }

    /// True when both, put to the snapshot before that, stand at this one in everything.
    ///
    /// # Errors
    /// When a saved page cannot be read.
    pub(super) fn stand_at(&mut self, snapshot: &Snapshot<B>) -> Result<bool, Error> {
        let [a, b] = &mut self.sides;
        Ok(a.player.stands_at(snapshot)? && b.player.stands_at(snapshot)?)
    }

    /// The last step that both can be compared at.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// Tells whether the second machine's faults can be injected, as far as that is known at power-on.
    ///
    /// # Errors
    /// One line about the first that cannot.
    pub fn check_faults(&self) -> Result<(), String> {
        let side = &self.sides[1];
        for (at, fault) in &side.faults {
            let name = format!("--inject {at}:{}", fault.target());
            if *at > self.last {
                return Err(format!("{name}: the recording ends at step {}", self.last));
            }
            if let Err(wrong) = fault.check(side.player.look())
                && (*at == 0 || wrong.is_final())
            {
                return Err(format!("{name}: {wrong}"));
            }
        }
        Ok(())
    }

    /// Runs both and says where they part.
    ///
    /// # Errors
    /// [`Error`], or one line about a fault that cannot be injected at its step.
    pub fn find(&mut self, window: Window, control: &mut dyn Control) -> Result<Compared, Failure> {
        self.parallel = window.jobs > 1;
        let to = window.to.unwrap_or(self.last).min(self.last);
        let from = window.from.min(to);
        self.go(Some(from), false);
        let mut reached = from;
        if !self.equal() {
            return self.found(Part::Start, from);
        }
        if let Some(part) = self.write(from)? {
            return self.found(part, from);
        }
        let mut mark = self.mark(from);
        while reached < to {
            let next = self.next(reached, to, window.every);
            self.go(Some(next), false);
            if !self.equal() {
                let part = self.narrow(mark, next)?;
                return self.found(part, next);
            }
            if let Some(part) = self.write(next)? {
                return self.found(part, next);
            }
            reached = next;
            if reached < to || self.ends {
                mark = self.mark(next);
            }
            control.progress(reached - from, to - from);
        }
        if window.to.is_none() && self.ends {
            self.go(None, true);
            if !self.equal() {
                return self.found(Part::End(reached), reached);
            }
        }
        Ok(self.compared(reached, None))
    }

    /// Does what is written at a step; true when that tells the two apart.
    fn write(&mut self, at: u64) -> Result<Option<Part>, Failure> {
        if !self.writes.contains(&at) {
            return Ok(None);
        }
        let side = &self.sides[1];
        for (_, fault) in side.faults[side.done..].iter().filter(|f| f.0 == at) {
            let checked = fault.check(side.player.look());
            checked.map_err(|w| Failure::Fault(format!("--inject {at}:{}: {w}", fault.target())))?;
        }
        self.go(Some(at), true);
        Ok((!self.equal()).then_some(Part::Write(at)))
    }

    /// The next step to compare.
    fn next(&self, here: u64, to: u64, every: bool) -> u64 {
        if every {
            return here + 1;
        }
        let slice = (here / SLICE + 1) * SLICE;
        let after = |set: &BTreeSet<u64>| set.range(here + 1..).next().copied();
        [after(&self.events), after(&self.writes), Some(to), Some(slice)]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(to)
    }

    /// Both run to a step, or to their ends.
    fn go(&mut self, to: Option<u64>, writes: bool) {
        let [a, b] = &mut self.sides;
        if self.parallel {
            let run = |side: &mut Side<B>| {
                side.go(to, writes);
                side.encode();
            };
            rayon::join(|| run(a), || run(b));
        } else {
            for side in [a, b] {
                side.go(to, writes);
                side.encode();
            }
        }
    }

    /// True when nothing differs.
    fn equal(&mut self) -> bool {
        let memory = self.memory();
        let [a, b] = &mut self.sides;
        let equal = memory && a.ended == b.ended && a.outputs.0 == b.outputs.0 && a.form == b.form;
        if equal {
            a.outputs.0.clear();
            b.outputs.0.clear();
        }
        equal
    }

    /// True when memory is the same. Only what was written since the last time is looked at, and
    /// what differed then.
    fn memory(&mut self) -> bool {
        for side in &mut self.sides {
            self.frames.extend(side.player.machine().mem.take_dirty(Account::Digest));
        }
        let [a, b] = self.sides.each_ref().map(|s| &s.player.look().mem);
        self.frames.retain(|&f| frame_bytes(a, f) != frame_bytes(b, f));
        self.frames.is_empty()
    }

    fn mark(&mut self, at: u64) -> Mark<B> {
        Mark { at, sides: self.sides.each_mut().map(Side::mark) }
    }

    fn restore(&mut self, mark: &Mark<B>) -> Result<(), Error> {
        let [a, b] = &mut self.sides;
        a.restore(&mark.sides[0])?;
        b.restore(&mark.sides[1])
    }

    /// Halves between a step at which both are equal and a later one at which they differ, until
    /// one step is left. Leaves both before that step.
    fn narrow(&mut self, mut mark: Mark<B>, mut differ: u64) -> Result<Part, Failure> {
        while differ - mark.at > 1 {
            let middle = mark.at + (differ - mark.at) / 2;
            self.restore(&mark)?;
            self.go(Some(middle), true);
            if self.equal() {
                mark = self.mark(middle);
            } else {
                differ = middle;
            }
        }
        self.restore(&mark)?;
        Ok(Part::Step(mark.at))
    }

    /// Describes what differs. Before a step that makes the difference both are equal.
    fn found(&mut self, part: Part, reached: u64) -> Result<Compared, Failure> {
        let mut found = diff::before(self, part);
        if let Part::Step(at) = part {
            diff::probe(self);
            self.go(Some(at + 1), false);
            diff::probed(self, &mut found);
            let parted = !self.equal();
            debug_assert!(parted, "the same run differs again");
        }
        diff::after(self, &mut found);
        Ok(self.compared(reached, Some(found)))
    }

    /// Frames that differ.
    pub(super) fn frames(&self) -> impl Iterator<Item = u32> + '_ {
        self.frames.iter().copied()
    }

    fn compared(&self, reached: u64, found: Option<Found>) -> Compared {
        Compared { reached, found, diverged: self.sides.each_ref().map(|s| s.diverged.clone()) }
    }
}

/// A comparison could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A machine failed.
    #[error(transparent)]
    Machine(#[from] Error),
    /// A fault cannot be injected.
    #[error("{0}")]
    Fault(String),
}

/// The steps at which two machines have different inputs and those after these, and the steps at
/// which a debugger or a test wrote.
fn events<B: Board>(sides: &[Side<B>; 2]) -> (BTreeSet<u64>, BTreeSet<u64>) {
    let mut events = BTreeSet::new();
    let inputs = sides.each_ref().map(|s| s.tape.inputs().collect::<Vec<(Moment, &Input)>>());
    differing(&inputs[0], &inputs[1], |i| i.0, |at| events.extend([at.icount, at.icount + 1]));
    let clocks = sides.each_ref().map(|s| s.tape.clocks());
    // A timer reads it at the end of the step before.
    let mut clock = |at: u64| events.extend([at.saturating_sub(1), at, at + 1]);
    differing(clocks[0], clocks[1], |c| c.0, &mut clock);
    let mut writes = BTreeSet::new();
    for (side, inputs) in sides.iter().zip(&inputs) {
        writes.extend(inputs.iter().filter(|i| i.1.by_debugger()).map(|i| i.0.icount));
        writes.extend(side.faults.iter().map(|f| f.0));
    }
    (events, writes)
}

/// Calls `note` with the key of each element that only one of two sorted lists has.
fn differing<T: PartialEq, K: Ord + Copy>(a: &[T], b: &[T], key: fn(&T) -> K, mut note: impl FnMut(K)) {
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    loop {
        match (a.peek(), b.peek()) {
            (None, None) => return,
            (Some(x), Some(y)) if x == y => {
                a.next();
                b.next();
            }
            (Some(x), Some(y)) => {
                let (x, y) = (key(x), key(y));
                note(x.min(y));
                if x <= y {
                    a.next();
                }
                if y <= x {
                    b.next();
                }
            }
            (Some(x), None) => {
                note(key(x));
                a.next();
            }
            (None, Some(y)) => {
                note(key(y));
                b.next();
            }
        }
    }
}
