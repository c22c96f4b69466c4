//! Everything that moves in time: snapshots, seeking, running forwards and backwards until a
//! condition, collecting what happened. Debugger, monitor and queries are clients.
//!
//! A position is a step count: the first moment of that step, timers fired, what a debugger wrote
//! there done, no other input injected. The answers depend on the recording alone, not on which
//! snapshots exist or how many threads search.

pub mod condition;
pub mod pages;
pub mod player;
pub mod search;
pub mod snapshot;
#[cfg(test)]
mod tests;

use crate::machine::Machine;
use crate::machine::board::Board;
use crate::machine::config::BuildError;
use crate::replay::log::Recording;
use crate::replay::replayer::Divergence;
use crate::replay::tape::Tape;
use crate::replay::{Input, Moment};
use condition::Why;
use pages::{Backing, Held, ReadError};
use player::{Player, Ran};
use snapshot::{Snapshot, Store};
use std::sync::Arc;

/// Steps between snapshots that are planted on the way: a fifth of a second of replaying.
const SPACING: u64 = 1 << 25;
/// Distances before a target at which snapshots are planted while approaching it.
const LADDER: [u64; 5] = [10_000_000, 1_000_000, 100_000, 10_000, 1_000];
/// Steps between looks at the user's wish to stop.
const SLICE: u64 = 1 << 20;

/// Something went wrong on the timeline.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The replay differs from its recording.
    #[error("{0}")]
    Diverged(Divergence),
    /// A saved snapshot could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A further machine could not be built.
    #[error(transparent)]
    Build(#[from] BuildError),
}

/// What the user sees and wants during long work.
pub trait Control {
    /// How far it is: steps done of steps to do.
    fn progress(&mut self, _done: u64, _total: u64) {}
    /// True when it is to stop. Asked every few milliseconds.
    fn cancelled(&mut self) -> bool {
        false
    }
}

/// Nobody watches.
impl Control for () {}

/// What a timeline may use.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Bytes of pages that snapshots may hold in memory.
    pub memory: u64,
    /// Threads for searches.
    pub jobs: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { memory: 1 << 30, jobs: rayon::current_num_threads() }
    }
}

/// Makes further machines like the first, at power-on.
pub type Make<B> = Arc<dyn Fn() -> Result<Machine<B>, BuildError> + Send + Sync>;

/// A recording that can be moved in.
pub struct Timeline<B: Board> {
    recording: Arc<Recording>,
    tape: Arc<Tape>,
    make: Make<B>,
    options: Options,
    held: Held,
    backing: Arc<dyn Backing>,
    store: Store<B>,
    /// The machine that the user sees.
    main: Player<B>,
    /// Machines for searches, kept from one to the next.
    workers: Vec<Player<B>>,
}

impl<B: Board> Timeline<B> {
    /// A timeline at the beginning of a recording.
    ///
    /// # Errors
    /// When the machine cannot be built.
    pub fn new(recording: Arc<Recording>, make: Make<B>, options: Options) -> Result<Self, Error> {
        let tape = Arc::new(Tape::new(&recording));
        let (held, backing) = (Held::default(), Arc::new(()));
        let header = &recording.header;
        let mut main = Player::new(
            make()?,
            header.machine.no_reboot,
            header.checkpoints,
            tape.clone(),
            held.clone(),
            backing.clone(),
        );
        main.run(0, &mut ())?;
        let mut store = Store::default();
        store.add(Arc::new(main.snapshot()));
        Ok(Self { recording, tape, make, options, held, backing, store, main, workers: Vec::new() })
    }

    /// Where the user's machine stands.
    pub fn icount(&self) -> u64 {
        self.main.icount()
    }

    /// Where it stands, with the idle time before.
    pub fn at(&mut self) -> Moment {
        self.main.replayer().runner.at()
    }

    /// The last step that can be gone to; a branch has none.
    pub fn end(&self) -> u64 {
        self.tape.last().map_or(u64::MAX, |m| m.icount)
    }

    /// True after the debugger wrote: the recording is left.
    pub fn branched(&self) -> bool {
        self.tape.last().is_none()
    }

    /// The recording.
    pub fn recording(&self) -> &Arc<Recording> {
        &self.recording
    }

    /// Number of snapshots, and bytes of the pages that they hold.
    pub fn snapshots(&self) -> (usize, u64) {
        (self.store.len(), self.held.bytes())
    }

    /// The user's machine, to look at and not to change.
    pub fn machine(&mut self) -> &mut Machine<B> {
        self.main.machine()
    }

    /// Goes to a step, or to the end if that comes before.
    ///
    /// # Errors
    /// [`Error`]; the machine stands somewhere in between.
    pub fn seek(&mut self, icount: u64, control: &mut dyn Control) -> Result<Why, Error> {
        let icount = icount.min(self.end());
        let here = self.icount();
        if icount == here {
            return Ok(Why::Reached);
        }
        let best = self.store.before(icount).cloned();
        if let Some(snapshot) = best.filter(|s| icount < here || s.icount() > here) {
            self.main.restore(&snapshot)?;
        }
        self.approach(icount, control)
    }

    /// Goes `steps` on, or back when negative.
    ///
    /// # Errors
    /// See [`Timeline::seek`].
    pub fn step(&mut self, steps: i64, control: &mut dyn Control) -> Result<Why, Error> {
        let (here, end) = (self.icount(), self.end());
        let target = here.saturating_add_signed(steps);
        let why = self.seek(target, control)?;
        Ok(match why {
            Why::Reached if steps < 0 && here < steps.unsigned_abs() => Why::Begin,
            Why::Reached if target > end => Why::End,
            other => other,
        })
    }

    /// Replays forwards to a target at or after the current step, planting snapshots.
    fn approach(&mut self, target: u64, control: &mut dyn Control) -> Result<Why, Error> {
        let start = self.icount();
        loop {
            let here = self.icount();
            if here >= target {
                return Ok(Why::Reached);
            }
            let stop = self.next_plant(here, target).min(here + SLICE);
            if self.main.run(stop, &mut ())? == Ran::End {
                return Ok(Why::End);
            }
            if self.icount() < target {
                self.plant_if_due(target);
            }
            control.progress(self.icount() - start, target - start);
            if control.cancelled() && self.icount() < target {
                return Ok(Why::Cancelled);
            }
        }
    }

    /// The next step at which a snapshot is to be planted on the way to `target`, or `target`.
    fn next_plant(&self, here: u64, target: u64) -> u64 {
        let regular = (here / SPACING + 1) * SPACING;
        let rungs = LADDER.iter().filter_map(|d| target.checked_sub(*d)).filter(|&at| at > here);
        rungs.chain([regular]).min().unwrap_or(target).min(target)
    }

    /// Plants a snapshot where the machine stands, if it is a good place on the way to `target`.
    fn plant_if_due(&mut self, target: u64) {
        let here = self.icount();
        let left = target - here;
        let gap = self.store.before(here).map_or(here, |s| here - s.icount());
        let rung = LADDER.contains(&left) && gap >= left;
        if gap > 0 && (here.is_multiple_of(SPACING) || rung) {
            self.plant();
        }
    }

    /// Plants a snapshot where the machine stands.
    pub fn plant(&mut self) {
        let snapshot = self.main.snapshot();
        self.store.add(Arc::new(snapshot));
        let (held, here) = (self.held.clone(), self.icount());
        self.store.thin(here, self.options.memory, || held.bytes());
    }

    /// Does what a debugger wrote, and leaves the recording for a branch in memory that goes on
    /// from here without its inputs. The recording's file is not touched.
    pub fn write(&mut self, input: Input) {
        let at = self.at();
        let replayer = self.main.replayer();
        let cursor = *replayer.cursor();
        self.tape = Arc::new(self.tape.branch(&cursor, at, input));
        replayer.set_tape(self.tape.clone());
        self.store.forget_after(at.icount);
        self.workers.clear();
        // The moment is the same, with the write done: a run to where it stands does it.
        let done = self.main.run(at.icount, &mut ());
        debug_assert!(done.is_ok(), "an input of the debugger's cannot diverge");
    }

    /// A worker for a search.
    fn worker(&self) -> Result<Player<B>, Error> {
        let header = &self.recording.header;
        Ok(Player::new(
            (self.make)()?,
            header.machine.no_reboot,
            header.checkpoints,
            self.tape.clone(),
            self.held.clone(),
            self.backing.clone(),
        ))
    }

    /// The snapshot to start from for a step.
    fn snapshot_before(&self, icount: u64) -> Arc<Snapshot<B>> {
        let first = self.store.before(icount).cloned();
        first.unwrap_or_else(|| unreachable!("the power-on snapshot is never dropped"))
    }
}
