//! A machine that replays and can be put to any snapshot.

use super::Error;
use super::pages::{Backing, Held, Pages};
use super::snapshot::Snapshot;
use crate::machine::Machine;
use crate::machine::board::Board;
use crate::replay::log::Spacing;
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
        let pages = Pages::new(&machine.mem, held);
        let runner = Runner::without_memory(machine, no_reboot, Some(spacing));
        Self { replayer: Replayer::new(runner, tape), pages, backing, since: 0 }
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

    /// Goes to a snapshot.
    ///
    /// # Errors
    /// When a saved page cannot be read.
    pub fn restore(&mut self, snapshot: &Snapshot<B>) -> Result<(), Error> {
        let mem = &mut self.replayer.runner.machine.mem;
        self.pages.restore(mem, &snapshot.pages, &*self.backing)?;
        self.replayer.restore(&snapshot.state, &snapshot.tally, &snapshot.cursor);
        self.since = snapshot.icount();
        Ok(())
    }

    /// A snapshot of the moment, which must be the first of its step (as [`Player::run`] leaves it).
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
