//! Everything that moves in time: snapshots, seeking, running forwards and backwards until a
//! condition, collecting what happened. Debugger, monitor and queries are clients.
//!
//! A position is a step count: the first moment of that step, timers fired, what a debugger wrote
//! there done, no other input injected. The answers depend on the recording alone, not on which
//! snapshots exist or how many threads search.

pub mod condition;
mod crew;
pub mod demo;
pub mod pages;
pub mod player;
pub mod saved;
pub mod search;
mod share;
pub mod snapshot;
#[cfg(test)]
mod tests;
mod texts;
mod transcript;
pub mod verify;

use crate::host::console;
use crate::machine::Machine;
use crate::machine::board::Board;
use crate::machine::config::BuildError;
use crate::replay::log::Recording;
use crate::replay::replayer::Divergence;
use crate::replay::saved::format_of;
use crate::replay::tape::Tape;
use crate::replay::{Input, Moment};
use condition::Why;
use crew::Workshop;
use pages::{Held, ReadError};
use player::{Player, Ran};
use snapshot::{Snapshot, Store};
use std::sync::Arc;
use transcript::{Listener, Transcript};

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
    shop: Workshop<B>,
    store: Store<B>,
    transcript: Transcript,
    /// The machine that the user sees; searches move it too.
    main: Player<B>,
    /// Machines of the other threads for searches, kept from one to the next.
    workers: Vec<Player<B>>,
}

impl<B: Board> Timeline<B> {
    /// A timeline at the beginning of a recording.
    ///
    /// # Errors
    /// When the machine cannot be built.
    pub fn new(recording: Arc<Recording>, make: Make<B>, options: Options) -> Result<Self, Error> {
        let held = Held::default();
        let backing = recording.backing.clone().unwrap_or_else(|| Arc::new(()));
        let header = &recording.header;
        let (no_reboot, spacing) = (header.machine.no_reboot, header.checkpoints);
        let tape = Arc::new(Tape::new(&recording));
        let shop = Workshop { make, no_reboot, spacing, tape, held, backing, options };
        let mut main = shop.player()?;
        let format = format_of(&main.look().state);
        main.run(0, &mut ())?;
        let mut store = Store::default();
        let power_on = main.snapshot();
        let (saved, warning) = saved::load(&recording, &shop.tape, format, &power_on);
        store.add(Arc::new(power_on));
        saved.into_iter().for_each(|snapshot| store.add_saved(Arc::new(snapshot)));
        if let Some(text) = warning {
            console::warn(&text);
        }
        Ok(Self { recording, shop, store, transcript: Transcript::default(), main, workers: Vec::new() })
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
        self.shop.tape.last().map_or(u64::MAX, |m| m.icount)
    }

    /// True after the debugger wrote: the recording is left.
    pub fn branched(&self) -> bool {
        self.shop.tape.last().is_none()
    }

    /// The recording.
    pub fn recording(&self) -> &Arc<Recording> {
        &self.recording
    }

    /// Number of snapshots, and bytes of the pages that they hold.
    pub fn snapshots(&self) -> (usize, u64) {
        (self.store.len(), self.shop.held.bytes())
    }

    /// The user's machine, to look at and not to change.
    pub fn machine(&mut self) -> &mut Machine<B> {
        self.main.machine()
    }

    /// The user's machine, to look at.
    pub fn look(&self) -> &Machine<B> {
        self.main.look()
    }

    /// Goes to a step, or to the end if that comes before.
    ///
    /// # Errors
    /// [`Error`]; the machine stands somewhere in between.
    pub fn seek(&mut self, icount: u64, control: &mut dyn Control) -> Result<Why, Error> {
        let icount = icount.min(self.end());
        let here = self.icount();
        let settled = self.main.at_first_moment();
        if icount == here && settled {
            return Ok(Why::Reached);
        }
        let best = self.snapshot_before(icount);
        if icount < here || best.icount() > here || !settled {
            self.main.restore(&best)?;
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
            let mut listener = Listener::default();
            if self.main.run(stop, &mut listener)? == Ran::End {
                let last = self.icount();
                if !self.main.at_first_moment() {
                    self.main.restore(&self.snapshot_before(last))?;
                    self.main.run(last, &mut ())?;
                }
                return Ok(Why::End);
            }
            self.transcript.learn((here, stop), &listener.0, (here, stop));
            self.plant_if_due(target);
            control.progress(self.icount() - start, target - start);
            if self.icount() < target && control.cancelled() {
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
        let gap = here - self.snapshot_before(here).icount();
        if gap > 0 && here.is_multiple_of(SPACING) {
            self.plant();
        } else if LADDER.contains(&(target - here)) && gap >= target - here {
            self.plant_rung();
        }
    }

    /// Plants a snapshot where the machine stands.
    pub fn plant(&mut self) {
        let snapshot = self.main.snapshot();
        self.store.add(Arc::new(snapshot));
        self.thin();
    }

    /// Plants a snapshot that helps to move near here, and may be dropped later.
    fn plant_rung(&mut self) {
        let here = self.icount();
        if self.store.at(here).is_none() {
            let snapshot = self.main.snapshot();
            self.store.add_rung(Arc::new(snapshot), here);
            self.thin();
        }
    }

    fn thin(&mut self) {
        let (held, here) = (self.shop.held.clone(), self.icount());
        self.store.thin(here, self.shop.options.memory, || held.bytes());
    }

    /// Does what a debugger wrote, and leaves the recording for a branch in memory that goes on
    /// from here without its inputs. The recording's file is not touched.
    pub fn write(&mut self, input: Input) {
        let at = self.at();
        let replayer = self.main.replayer();
        let tape = Arc::new(self.shop.tape.branch(replayer.cursor(), at, input));
        replayer.set_tape(tape.clone());
        for worker in &mut self.workers {
            worker.leave_for(tape.clone());
        }
        self.shop.tape = tape;
        self.store.forget_after(at.icount);
        self.transcript.forget_from(at.icount);
        // The moment is the same, with the write done: a run to where it stands does it.
        let done = self.main.run(at.icount, &mut ());
        debug_assert!(done.is_ok(), "an input of the debugger's cannot diverge");
    }

    /// The snapshot to start from for a step.
    fn snapshot_before(&self, icount: u64) -> Arc<Snapshot<B>> {
        let first = self.store.before(icount).cloned();
        first.unwrap_or_else(|| unreachable!("the power-on snapshot is never dropped"))
    }
}
