//! Machines that run windows of the timeline at the same time.
//!
//! Windows are taken in order by whoever is free; the calling thread works too, and alone looks at
//! the user's wishes. A window's result that makes the later ones needless stops those, and no
//! others: so the first such result in order does not depend on which thread was faster.

use super::condition::Condition;
use super::pages::{Backing, Held};
use super::player::{Player, Ran};
use super::snapshot::{Store, Window};
use super::{Control, Error, Make, Options, SLICE, SPACING};
use crate::machine::board::Board;
use crate::replay::log::Spacing;
use crate::replay::replayer::Watcher;
use crate::replay::tape::Tape;
use dejavm_interp::probe::{Interest, Keep};
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

/// Work on windows.
pub(super) struct Crew<'a, B: Board> {
    shop: &'a Workshop<B>,
    store: Mutex<&'a mut Store<B>>,
    windows: &'a [Window],
    /// The next window that nobody took.
    next: AtomicUsize,
    /// Windows from this one on are needless.
    stop: AtomicUsize,
    cancelled: AtomicBool,
    /// Steps done.
    done: AtomicU64,
    /// Threads at work besides the calling one.
    busy: Mutex<usize>,
    changed: Condvar,
}

/// What a thread does between slices: the calling one looks at the user's wishes.
pub(super) type Pause<'a> = &'a mut dyn FnMut();

impl<'a, B: Board> Crew<'a, B> {
    pub fn new(shop: &'a Workshop<B>, store: &'a mut Store<B>, windows: &'a [Window]) -> Self {
        Self {
            shop,
            store: Mutex::new(store),
            windows,
            next: AtomicUsize::new(0),
            stop: AtomicUsize::new(windows.len()),
            cancelled: AtomicBool::new(false),
            done: AtomicU64::new(0),
            busy: Mutex::new(0),
            changed: Condvar::new(),
        }
    }

    /// True while a window's result may matter.
    pub fn needed(&self, index: usize) -> bool {
        index < self.stop.load(Ordering::Relaxed) && !self.cancelled.load(Ordering::Relaxed)
    }

    /// Windows after this one are needless.
    pub fn enough(&self, index: usize) {
        self.stop.fetch_min(index + 1, Ordering::Relaxed);
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
    /// other threads, `jobs` in all. `work` is called with a player and the window's index. `pause` is called now
    /// and then on this thread, and passed on to its work. `own` stands anywhere afterwards.
    pub fn work(
        &self,
        own: &mut Player<B>,
        others: &mut Vec<Player<B>>,
        jobs: usize,
        work: &(dyn Fn(&mut Player<B>, usize, Pause<'_>) + Sync),
        failed: &(dyn Fn(usize, Error) + Sync),
        pause: Pause<'_>,
    ) {
        let threads = jobs.min(self.windows.len()).max(1);
        let mut kept = others.drain(..(threads - 1).min(others.len())).collect::<Vec<_>>();
        *lock(&self.busy) = threads - 1;
        std::thread::scope(|scope| {
            let helping: Vec<_> = (1..threads)
                .map(|_| {
                    let player = kept.pop();
                    scope.spawn(move || {
                        let player = self.help(player, work, failed);
                        *lock(&self.busy) -= 1;
                        self.changed.notify_all();
                        player
                    })
                })
                .collect();
            // All threads are at work anyway.
            own.read_together(false);
            if let Some(first) = self.take() {
                self.serve(own, first, work, pause);
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

    /// Takes the next window, if that is needed.
    fn take(&self) -> Option<usize> {
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        (index < self.windows.len() && self.needed(index)).then_some(index)
    }

    /// Another thread's work; gives its player back.
    fn help(
        &self,
        player: Option<Player<B>>,
        work: &dyn Fn(&mut Player<B>, usize, Pause<'_>),
        failed: &dyn Fn(usize, Error),
    ) -> Option<Player<B>> {
        let Some(first) = self.take() else { return player };
        let mut player = match player.map_or_else(|| self.shop.player(), Ok) {
            Ok(player) => player,
            Err(e) => {
                failed(first, e);
                return None;
            }
        };
        player.read_together(false);
        self.serve(&mut player, first, work, &mut || {});
        Some(player)
    }

    /// Works on a window and on further ones.
    fn serve(
        &self,
        player: &mut Player<B>,
        first: usize,
        work: &dyn Fn(&mut Player<B>, usize, Pause<'_>),
        pause: Pause<'_>,
    ) {
        let mut next = Some(first);
        while let Some(index) = next {
            work(player, index, pause);
            next = self.take();
        }
        player.machine().probe(Interest::default(), Keep::Last);
    }

    /// Runs a window, planting snapshots where there are none. `slice` is called between slices and
    /// answers false to end. False when the window was not run to its end.
    pub fn run<W: Watcher>(
        &self,
        player: &mut Player<B>,
        index: usize,
        search: Option<&Search>,
        watcher: &mut W,
        slice: &mut dyn FnMut(&mut Player<B>, &mut W) -> bool,
    ) -> Result<bool, Error> {
        let (from, to) = self.windows[index];
        let Some(snapshot) = lock(&self.store).before(from).cloned() else {
            unreachable!("the power-on snapshot is never dropped")
        };
        player.machine().probe(Interest::default(), Keep::Last);
        // It may stand there from the window before.
        if player.icount() != snapshot.icount() || !player.at_first_moment() {
            player.restore(&snapshot)?;
        }
        drop(snapshot);
        while player.icount() < from {
            let ran = self.advance(player, from, &mut ())?;
            if ran == Ran::End || !self.needed(index) {
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
            if !slice(player, watcher) || !self.needed(index) {
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
