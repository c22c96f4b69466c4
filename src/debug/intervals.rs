//! One recording on two engines, several pairs of machines at once, from one saved snapshot to the
//! next.
//!
//! Each pair begins at a saved snapshot and is compared up to the next one as [`Lockstep`] does it;
//! there both must stand at that snapshot in everything: state, digests so far, place on the tape,
//! memory. So the intervals together are one comparison from power-on, and its first difference is
//! that of the first interval that has one. *Guaranteed:* the answer is that of one pair. Where a
//! snapshot is not what the machines come to, or a checkpoint does not hold, there is no answer, and
//! one pair has to go all the way.

use super::lockstep::{Compared, Failure, Lockstep, Setup, Window};
use crate::machine::board::Board;
use crate::replay::log::Recording;
use crate::replay::saved::{Backing, format_of};
use crate::replay::tape::Tape;
use crate::timeline::pages::Held;
use crate::timeline::player::Player;
use crate::timeline::snapshot::Snapshot;
use crate::timeline::{Error, Make, saved};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

/// What ended the work.
enum Event {
    /// The machines part in this interval.
    Found(Box<Compared>),
    /// It is to be left to one pair.
    Serial,
    Failed(Failure),
}

struct Work<'a, B: Board> {
    recording: &'a Arc<Recording>,
    makes: [&'a Make<B>; 2],
    held: Held,
    backing: Arc<dyn Backing>,
    window: Window,
    /// Where the intervals begin.
    starts: Vec<Snapshot<B>>,
    next: AtomicUsize,
    /// The first interval that was not plainly equal.
    first: Mutex<Option<(usize, Event)>>,
    progress: &'a (dyn Fn(u64) + Sync),
}

/// Compares the engines over the window with `window.jobs` pairs; `progress` is told of steps that
/// were compared. `None` where one pair has to do it.
///
/// # Errors
/// When a machine cannot be built, or a saved snapshot not read.
pub fn find<B: Board>(
    recording: &Arc<Recording>,
    makes: [&Make<B>; 2],
    window: Window,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Option<Compared>, Failure> {
    let Some(backing) = recording.backing.clone() else { return Ok(None) };
    let (tape, held) = (Arc::new(Tape::new(recording)), Held::default());
    let header = &recording.header;
    let (spacing, no_reboot) = (header.checkpoints, header.machine.no_reboot);
    let machine = (makes[0])().map_err(Error::Build)?;
    let mut first = Player::new(machine, no_reboot, spacing, tape.clone(), held.clone(), backing.clone());
    let format = format_of(&first.look().state);
    first.run(0, &mut ())?;
    let power_on = first.snapshot();
    let (saved, _) = saved::load(recording, &tape, format, &power_on);
    drop(first);
    let last = recording.last().icount;
    let to = window.to.unwrap_or(last).min(last);
    let mut starts: Vec<Snapshot<B>> = vec![power_on];
    starts.extend(saved.into_iter().filter(|s| s.icount() < to));
    let before = starts.iter().rposition(|s| s.icount() <= window.from).unwrap_or(0);
    starts.drain(..before);
    if starts.len() < 2 {
        return Ok(None);
    }
    let (next, first) = (AtomicUsize::new(0), Mutex::default());
    let work = Work { recording, makes, held, backing, window, starts, next, first, progress };
    rayon::scope(|scope| (0..window.jobs).for_each(|_| scope.spawn(|_| work.work())));
    match work.first.into_inner().unwrap_or_else(|e| e.into_inner()) {
        None => Ok(Some(Compared { reached: to, found: None, diverged: [None, None] })),
        Some((_, Event::Found(compared))) => Ok(Some(*compared)),
        Some((_, Event::Serial)) => Ok(None),
        Some((_, Event::Failed(failure))) => Err(failure),
    }
}

impl<B: Board> Work<'_, B> {
    /// Does intervals, oldest first, until there is none left that could matter.
    fn work(&self) {
        let mut pair = None;
        loop {
            let n = self.next.fetch_add(1, Ordering::Relaxed);
            let past = self.lock().as_ref().is_some_and(|f| f.0 < n);
            if past || n >= self.starts.len() {
                return;
            }
            let event = match self.interval(n, &mut pair) {
                Ok(None) => continue,
                Ok(Some(event)) => event,
                Err(failure) => Event::Failed(failure),
            };
            let mut first = self.lock();
            if first.as_ref().is_none_or(|f| n < f.0) {
                *first = Some((n, event));
            }
            return;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<(usize, Event)>> {
        self.first.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn interval(&self, n: usize, pair: &mut Option<Lockstep<B>>) -> Result<Option<Event>, Failure> {
        let pair = match pair {
            Some(pair) => pair,
            None => {
                let setup = |make: &Make<B>| Setup {
                    make: make.clone(),
                    recording: self.recording.clone(),
                    faults: Vec::new(),
                };
                let [a, b] = self.makes.map(setup);
                pair.insert(Lockstep::over(a, b, &self.held, &self.backing)?)
            }
        };
        let start = &self.starts[n];
        pair.begin_at(start)?;
        let next = self.starts.get(n + 1);
        let from = self.window.from.max(start.icount());
        let to = next.map(Snapshot::icount).or(self.window.to);
        let compared = pair.find(Window { from, to, jobs: 1, ..self.window }, &mut ())?;
        if compared.diverged.iter().any(Option::is_some) {
            return Ok(Some(Event::Serial));
        }
        (self.progress)(compared.reached - from);
        if compared.found.is_some() {
            return Ok(Some(Event::Found(Box::new(compared))));
        }
        match next {
            Some(next) if !pair.stand_at(next)? => Ok(Some(Event::Serial)),
            _ => Ok(None),
        }
    }
}
