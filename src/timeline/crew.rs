//! Machines that run windows of the timeline at the same time.
//!
//! Windows are taken in order by whoever is free, or as [`Shares`] has it; the calling thread works too, and alone
//! looks at the user's wishes. A window's result that makes the later ones needless stops those, and no
//! others: so the first such result in order does not depend on which thread was faster.

use super::condition::Condition;
use super::pages::{Backing, Held};
use super::player::{Player, Ran};
use super::share::Shares;
use super::snapshot::{Store, Window};
use super::{Control, Error, Make, Options, SLICE, SPACING};
use crate::machine::board::Board;
use crate::replay::log::Spacing;
use crate::replay::replayer::Watcher;
use crate::replay::tape::Tape;
use dejavm_interp::probe::{Interest, Keep};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long the calling thread waits for the others before it looks at the user's wishes again.
const PATIENCE: Duration = Duration::from_millis(5);

/// Locks. A thread that panicked ends the program anyway.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits a little for something to change.
pub(super) fn wait<'a, T>(condition: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    condition.wait_timeout(guard, PATIENCE).unwrap_or_else(PoisonError::into_inner).0
}

/// Makes players.
pub(super) struct Workshop<B: Board> {
    pub make: Make<B>,
    pub no_reboot: bool,
    pub spacing: Spacing,
    pub tape: Arc<Tape>,
    pub held: Held,
    pub backing: Arc<dyn Backing>,
    pub options: Options,
}

impl<B: Board> Workshop<B> {
    /// A player at power-on.
    pub fn player(&self) -> Result<Player<B>, Error> {
        let (tape, held) = (self.tape.clone(), self.held.clone());
        Ok(Player::new((self.make)()?, self.no_reboot, self.spacing, tape, held, self.backing.clone()))
    }

    /// True while there is room for snapshots that may be of use later.
    pub fn has_room(&self) -> bool {
        self.held.bytes() < self.options.memory / 16 * 15
    }
}

/// What is looked for in a window.
pub(super) struct Search {
    pub interest: Interest,
    pub keep: Keep,
}

impl Search {
    pub fn new(condition: &Condition, keep: Keep) -> Self {
        Self { interest: condition.interest(), keep }
    }
}

/// Who takes which windows.
enum Deal<'a> {
    /// The next one.
    InOrder(AtomicUsize),
    Shared(Mutex<Shares<'a>>),
}

/// Work on windows.
pub(super) struct Crew<'a, B: Board> {
    shop: &'a Workshop<B>,
    store: Mutex<&'a mut Store<B>>,
    windows: &'a [Window],
    deal: Deal<'a>,
    /// Windows from this one on are needless.
    stop: AtomicUsize,
    cancelled: AtomicBool,
    /// Steps done.
    done: AtomicU64,
    /// Threads at work besides the calling one.
    busy: Mutex<usize>,
    changed: Condvar,
}

/// The indices of windows that one thread takes at once: one, or some that touch.
pub(super) type Run = Range<usize>;

/// Threads that work on windows.
fn threads(jobs: usize, windows: &[Window]) -> usize {
    jobs.min(windows.len()).max(1)
}

/// What a thread does between slices: the calling one looks at the user's wishes.
pub(super) type Pause<'a> = &'a mut dyn FnMut();

impl<'a, B: Board> Crew<'a, B> {
    /// For windows that are taken in order.
    pub fn new(shop: &'a Workshop<B>, store: &'a mut Store<B>, windows: &'a [Window]) -> Self {
        Self::dealt(shop, store, windows, Deal::InOrder(AtomicUsize::new(0)))
    }

    /// For windows, newest first, that `jobs` threads search backwards.
    pub fn backwards(
        shop: &'a Workshop<B>,
        store: &'a mut Store<B>,
        windows: &'a [Window],
        jobs: usize,
    ) -> Self {
        let shares = Shares::new(windows, threads(jobs, windows));
        Self::dealt(shop, store, windows, Deal::Shared(Mutex::new(shares)))
    }

    fn dealt(shop: &'a Workshop<B>, store: &'a mut Store<B>, windows: &'a [Window], deal: Deal<'a>) -> Self {
        Self {
            shop,
            store: Mutex::new(store),
            windows,
            deal,
            stop: AtomicUsize::new(windows.len()),
            cancelled: AtomicBool::new(false),
            done: AtomicU64::new(0),
            busy: Mutex::new(0),
            changed: Condvar::new(),
        }
    }

    /// True while the result of a window, or of one after it, may matter.
    pub fn needed(&self, index: usize) -> bool {
        index < self.stop.load(Ordering::Relaxed) && !self.cancelled.load(Ordering::Relaxed)
    }

    /// Windows from this one on are needless.
    pub fn enough(&self, index: usize) {
        self.stop.fetch_min(index, Ordering::Relaxed);
    }

    /// Nothing is needed any more.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Shows progress and asks for the user's wish.
    pub fn look(&self, control: &mut dyn Control) {
        let total = self.windows.iter().map(|w| w.1 - w.0).sum();
        control.progress(self.done.load(Ordering::Relaxed).min(total), total);
        if control.cancelled() {
            self.cancel();
        }
    }

    /// Does `work` on all windows, with `own` on this thread and, where they are of use, with others' players on
    /// other threads, `jobs` in all. `work` is called with a player and the indices of the windows, one or some that
    /// touch. `pause` is called now and then on this thread, and passed on to its work. `own` stands anywhere
    /// afterwards.
    pub fn work(
        &self,
        own: &mut Player<B>,
        others: &mut Vec<Player<B>>,
        jobs: usize,
        work: &(dyn Fn(&mut Player<B>, Run, Pause<'_>) + Sync),
        failed: &(dyn Fn(Run, Error) + Sync),
        pause: Pause<'_>,
    ) {
        let threads = threads(jobs, self.windows);
        let mut kept = others.drain(..(threads - 1).min(others.len())).collect::<Vec<_>>();
        *lock(&self.busy) = threads - 1;
        std::thread::scope(|scope| {
            let helping: Vec<_> = (1..threads)
                .map(|thread| {
                    let player = kept.pop();
                    scope.spawn(move || {
                        let player = self.help(thread, player, work, failed);
                        *lock(&self.busy) -= 1;
                        self.changed.notify_all();
                        player
                    })
                })
                .collect();
            // All threads are at work anyway.
            own.read_together(false);
            if let Some(first) = self.take(0) {
                self.serve(own, 0, first, work, pause);
            }
            own.read_together(true);
            let mut busy = lock(&self.busy);
            while *busy > 0 {
                busy = wait(&self.changed, busy);
                drop(busy);
                pause();
                busy = lock(&self.busy);
            }
            drop(busy);
            for other in helping {
                match other.join() {
                    Ok(player) => others.extend(player),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
        });
    }

    /// Takes the next window or windows, if they are needed.
    fn take(&self, thread: usize) -> Option<Run> {
        match &self.deal {
            Deal::InOrder(next) => {
                let index = next.fetch_add(1, Ordering::Relaxed);
                (index < self.windows.len() && self.needed(index)).then_some(index..index + 1)
            }
            // One that goes forwards comes to those that are needed.
            Deal::Shared(shares) => {
                let mut shares = lock(shares);
                std::iter::from_fn(|| shares.take(thread)).find(|run| self.needed(run.start))
            }
        }
    }

    /// Another thread's work; gives its player back.
    fn help(
        &self,
        thread: usize,
        player: Option<Player<B>>,
        work: &dyn Fn(&mut Player<B>, Run, Pause<'_>),
        failed: &dyn Fn(Run, Error),
    ) -> Option<Player<B>> {
        let Some(first) = self.take(thread) else { return player };
        let mut player = match player.map_or_else(|| self.shop.player(), Ok) {
            Ok(player) => player,
            Err(e) => {
                failed(first, e);
                return None;
            }
        };
        player.read_together(false);
        self.serve(&mut player, thread, first, work, &mut || {});
        Some(player)
    }

    /// Works on a window and on further ones.
    fn serve(
        &self,
        player: &mut Player<B>,
        thread: usize,
        first: Run,
        work: &dyn Fn(&mut Player<B>, Run, Pause<'_>),
        pause: Pause<'_>,
    ) {
        let mut next = Some(first);
        while let Some(run) = next {
            work(player, run, pause);
            next = self.take(thread);
        }
        player.machine().probe(Interest::default(), Keep::Last);
    }

    /// Runs a window, or some that touch, newest first, planting snapshots where there are none. `slice` is called
    /// between slices and answers false to end. False when they were not run to their end.
    pub fn run<W: Watcher>(
        &self,
        player: &mut Player<B>,
        run: Run,
        search: Option<&Search>,
        watcher: &mut W,
        slice: &mut dyn FnMut(&mut Player<B>, &mut W) -> bool,
    ) -> Result<bool, Error> {
        let ((_, to), (from, _)) = (self.windows[run.start], self.windows[run.end - 1]);
        // It may stand there from the window before.
        if player.icount() != from || !player.at_first_moment() {
            let Some(snapshot) = lock(&self.store).before(from).cloned() else {
                unreachable!("the power-on snapshot is never dropped")
            };
            player.machine().probe(Interest::default(), Keep::Last);
            if player.icount() != snapshot.icount() || !player.at_first_moment() {
                player.restore(&snapshot)?;
            }
        }
        while player.icount() < from {
            let ran = self.advance(player, from, &mut ())?;
            if ran == Ran::End || !self.needed(run.start) {
                return Ok(ran == Ran::End);
            }
        }
        if let Some(Search { interest, keep }) = search {
            // A breakpoint where the window begins counts.
            player.machine().probe_from_here(interest.clone(), *keep);
        }
        while player.icount() < to {
            let before = player.icount();
            let ran = self.advance(player, to, watcher)?;
            self.done.fetch_add(player.icount() - before, Ordering::Relaxed);
            if !slice(player, watcher) || !self.needed(run.start) {
                return Ok(false);
            }
            if ran == Ran::End {
                break;
            }
        }
        Ok(true)
    }

    /// Runs to the end of a slice.
    fn advance(&self, player: &mut Player<B>, to: u64, watcher: &mut dyn Watcher) -> Result<Ran, Error> {
        let here = player.icount();
        let stop = to.min(here + SLICE).min((here / SPACING + 1) * SPACING);
        let ran = player.run(stop, watcher)?;
        if ran == Ran::Reached
            && stop.is_multiple_of(SPACING)
            && self.shop.has_room()
            && lock(&self.store).at(stop).is_none()
        {
            let snapshot = Arc::new(player.snapshot());
            lock(&self.store).add(snapshot);
        }
        Ok(ran)
    }
}
