//! A machine that replays and can be put to any snapshot.

use super::Error;
use super::pages::{Backing, Held, Pages};
use super::snapshot::Snapshot;
use crate::machine::Machine;
use crate::machine::board::Board;
use crate::replay::log::{Recording, Spacing};
use crate::replay::replayer::{Outcome, Replayer, Watcher};
use crate::replay::runner::Runner;
use crate::replay::tape::Tape;
use std::sync::Arc;

/// A replay with the account of its pages.
pub struct Player<B: Board> {
    replayer: Replayer<B>,
    pages: Pages,
    backing: Arc<dyn Backing>,
    /// Where the pages were captured or restored last.
    since: u64,
    /// No restoration failed half way.
    whole: bool,
}

impl<B: Board> Player<B> {
    /// A player of `tape` on a machine at power-on.
    pub fn new(
        machine: Machine<B>,
        no_reboot: bool,
        spacing: Spacing,
        tape: Arc<Tape>,
        held: Held,
        backing: Arc<dyn Backing>,
    ) -> Self {
        let runner = Runner::without_memory(machine, no_reboot, Some(spacing));
        Self::of(runner, tape, held, backing)
    }

    /// A player whose checkpoints compare memory too, for work that only goes forward.
    pub fn whole(
        machine: Machine<B>,
        recording: &Recording,
        tape: Arc<Tape>,
        held: Held,
        backing: Arc<dyn Backing>,
    ) -> Self {
        let header = &recording.header;
        let runner = Runner::new(machine, header.machine.no_reboot, Some(header.checkpoints));
        Self::of(runner, tape, held, backing)
    }

    fn of(runner: Runner<B>, tape: Arc<Tape>, held: Held, backing: Arc<dyn Backing>) -> Self {
        let pages = Pages::new(&runner.machine.mem, held);
        Self { replayer: Replayer::new(runner, tape), pages, backing, since: 0, whole: true }
    }

    /// Steps since power-on.
    pub fn icount(&self) -> u64 {
        self.replayer.runner.at().icount
    }

    /// The replay.
    pub fn replayer(&mut self) -> &mut Replayer<B> {
        &mut self.replayer
    }

    /// The machine.
    pub fn machine(&mut self) -> &mut Machine<B> {
        &mut self.replayer.runner.machine
    }

    /// The machine, to look at.
    pub fn look(&self) -> &Machine<B> {
        &self.replayer.runner.machine
    }

    /// Takes another tape; the machine stands nowhere on it until it is restored.
    pub fn leave_for(&mut self, tape: Arc<Tape>) {
        self.replayer.set_tape(tape);
        self.whole = false;
    }

    /// Whether saved pages are read by several threads.
    pub fn read_together(&mut self, together: bool) {
        self.pages.together = together;
    }

    /// Goes to a snapshot.
    ///
    /// # Errors
    /// When a saved page cannot be read.
    pub fn restore(&mut self, snapshot: &Snapshot<B>) -> Result<(), Error> {
        self.whole = false;
        let mem = &mut self.replayer.runner.machine.mem;
        self.pages.restore(mem, &snapshot.pages, &*self.backing)?;
        self.replayer.restore(&snapshot.state, &snapshot.tally, &snapshot.cursor);
        (self.since, self.whole) = (snapshot.icount(), true);
        // In a branch a debugger may have written there after the snapshot was made.
        self.run(snapshot.icount(), &mut ()).map(drop)
    }

    /// True when it stands at the first moment of its step, as [`Player::run`] leaves it unless the
    /// probes were full or the end was reached.
    pub fn at_first_moment(&self) -> bool {
        self.whole && self.look().at_first_moment()
    }

    /// True when it stands at a snapshot in everything, having been restored or captured at the
    /// snapshot before that.
    ///
    /// # Errors
    /// When a saved page cannot be read.
    pub fn stands_at(&mut self, snapshot: &Snapshot<B>) -> Result<bool, Error> {
        let Snapshot { state, tally, cursor, pages, written, since } = snapshot;
        let runner = &self.replayer.runner;
        let here = (&runner.machine.state, runner.tally(), self.replayer.cursor());
        let here = rmp_serde::to_vec(&here);
        if here.ok() != rmp_serde::to_vec(&(state, tally, cursor)).ok() || *since > self.since {
            return Ok(false);
        }
        let mem = &mut self.replayer.runner.machine.mem;
        self.since = snapshot.icount();
        Ok(self.pages.holds(mem, pages, written, &*self.backing)?)
    }

    /// A snapshot of the moment, which must be the first of its step.
    pub fn snapshot(&mut self) -> Snapshot<B> {
        let runner = &mut self.replayer.runner;
        let (pages, written) = self.pages.capture(&mut runner.machine.mem);
        let since = std::mem::replace(&mut self.since, runner.at().icount);
        let (state, tally) = (runner.machine.state.clone(), runner.tally().clone());
        Snapshot { state, tally, cursor: *self.replayer.cursor(), pages, written, since }
    }

    /// Replays up to step `to`, or until the probes are full.
    ///
    /// # Errors
    /// A divergence from the recording.
    pub fn run(&mut self, to: u64, watcher: &mut dyn Watcher) -> Result<Ran, Error> {
        match self.replayer.run(Some(to), watcher) {
            Outcome::Reached => Ok(Ran::Reached),
            Outcome::Probed => Ok(Ran::Probed),
            Outcome::End(_) | Outcome::Cut => Ok(Ran::End),
            Outcome::Diverged(d) => Err(Error::Diverged(d)),
        }
    }
}

/// Why a player stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ran {
    /// The step was reached.
    Reached,
    /// The probes are full.
    Probed,
    /// There is nothing further.
    End,
}
