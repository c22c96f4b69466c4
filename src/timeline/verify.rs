//! Checking a recording on several machines at once, from one saved snapshot to the next.
//!
//! Each machine replays intervals and compares every checkpoint there, memory too. At the end of an
//! interval it must stand at the next saved snapshot in everything: state, digests so far, place on
//! the tape, memory. So the intervals together are one replay from power-on, and the answer is that
//! of one machine.

use super::pages::Held;
use super::player::{Player, Ran};
use super::snapshot::Snapshot;
use super::{Error, Make, saved};
use crate::machine::board::Board;
use crate::replay::Moment;
use crate::replay::log::Recording;
use crate::replay::replayer::{Divergence, Outcome};
use crate::replay::saved::{Backing, format_of};
use crate::replay::tape::Tape;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// What the check came to.
#[derive(Clone, Debug)]
pub enum Verified {
    /// The whole recording holds, or differs somewhere: the outcome, where that was, and the number
    /// of checkpoints that hold up to there.
    Whole(Outcome, Moment, u64),
    /// It has to be replayed from the start: it has no saved snapshots that can be used, or the
    /// text says which of them is not what the replay comes to.
    Serial(Option<String>),
}

/// Why an interval does not hold.
enum Failure {
    Diverged(Divergence),
    /// The replay does not come to the saved snapshot of this step.
    Snapshot(u64),
    Other(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Diverged(d) => Self::Diverged(d),
            other => Self::Other(other),
        }
    }
}

/// Where a machine stands and the checkpoints that held.
type Place = (Moment, u64);

struct Check<'a, B: Board> {
    recording: &'a Recording,
    tape: Arc<Tape>,
    make: &'a Make<B>,
    backing: Arc<dyn Backing>,
    held: Held,
    /// The starts of the intervals.
    starts: Vec<Snapshot<B>>,
    /// Intervals that one machine does in a row.
    run: usize,
    next: AtomicUsize,
    /// The first run of intervals that failed.
    failed: Mutex<Option<(usize, Failure)>>,
    end: Mutex<Option<Place>>,
    progress: &'a (dyn Fn(u64) + Sync),
}

/// Checks a recording on `jobs` machines; `progress` is told of steps that were checked.
///
/// # Errors
/// When a machine cannot be built or a saved snapshot not read.
pub fn verify<B: Board>(
    recording: &Recording,
    make: &Make<B>,
    jobs: usize,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Verified, Error> {
    let Some(backing) = recording.backing.clone() else { return Ok(Verified::Serial(None)) };
    let (tape, held) = (Arc::new(Tape::new(recording)), Held::default());
    let mut first = Player::whole(make()?, recording, tape.clone(), held.clone(), backing.clone());
    let format = format_of(&first.look().state);
    first.run(0, &mut ())?;
    let power_on = first.snapshot();
    let (saved, warning) = saved::load(recording, &tape, format, &power_on);
    if saved.is_empty() {
        return Ok(Verified::Serial(warning));
    }
    drop(first);
    let starts: Vec<Snapshot<B>> = [power_on].into_iter().chain(saved).collect();
    let run = starts.len().div_ceil(jobs * 4);
    let (next, failed, end) = (AtomicUsize::new(0), Mutex::default(), Mutex::default());
    let check = Check { recording, tape, make, backing, held, starts, run, next, failed, end, progress };
    rayon::scope(|scope| (0..jobs).for_each(|_| scope.spawn(|_| check.work())));
    let end = check.end.into_inner().unwrap_or_else(|e| e.into_inner());
    let failed = check.failed.into_inner().unwrap_or_else(|e| e.into_inner());
    match (failed, end) {
        (Some((_, Failure::Diverged(d))), _) => {
            let at = d.at;
            Ok(Verified::Whole(Outcome::Diverged(d), at, 0))
        }
        (Some((_, Failure::Snapshot(icount))), _) => {
            let text = format!("the replay does not come to the saved snapshot at step {icount}");
            Ok(Verified::Serial(Some(text)))
        }
        (Some((_, Failure::Other(e))), _) => Err(e),
        (None, Some((at, held))) => {
            let end = recording.end().map_or(Outcome::Cut, |(_, reason)| Outcome::End(reason.clone()));
            Ok(Verified::Whole(end, at, held))
        }
        (None, None) => Ok(Verified::Serial(None)),
    }
}

impl<B: Board> Check<'_, B> {
    /// Does runs of intervals, oldest first, until there is none left that could matter.
    fn work(&self) {
        let mut player = None;
        loop {
            let run = self.next.fetch_add(1, Ordering::Relaxed);
            let past = self.lock().as_ref().is_some_and(|f| f.0 < run);
            if past || run * self.run >= self.starts.len() {
                return;
            }
            if let Err(failure) = self.run(run, &mut player) {
                let mut failed = self.lock();
                if failed.as_ref().is_none_or(|f| run < f.0) {
                    *failed = Some((run, failure));
                }
                return;
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<(usize, Failure)>> {
        self.failed.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn run(&self, run: usize, player: &mut Option<Player<B>>) -> Result<(), Failure> {
        let (first, last) = (run * self.run, ((run + 1) * self.run).min(self.starts.len()));
        let player = match player {
            Some(player) => player,
            None => {
                let machine = (self.make)().map_err(Error::Build)?;
                let (tape, held) = (self.tape.clone(), self.held.clone());
                player.insert(Player::whole(machine, self.recording, tape, held, self.backing.clone()))
            }
        };
        player.restore(&self.starts[first])?;
        for i in first..last {
            let from = player.icount();
            match self.starts.get(i + 1) {
                Some(next) => {
                    let reached = player.run(next.icount(), &mut ())? == Ran::Reached;
                    if !reached || !player.stands_at(next)? {
                        return Err(Failure::Snapshot(next.icount()));
                    }
                }
                None => {
                    player.run(u64::MAX, &mut ())?;
                    let held = player.replayer().cursor().checkpoints;
                    let mut end = self.end.lock().unwrap_or_else(|e| e.into_inner());
                    *end = Some((player.replayer().runner.at(), held));
                }
            }
            (self.progress)(player.icount() - from);
        }
        Ok(())
    }
}
