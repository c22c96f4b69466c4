//! Ctrl-C as a wish: work that can be stopped looks at it, a prompt that waits ends the program.

use signal_hook::consts::{SIGINT, SIGTERM};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Exit status of a program that ended by Ctrl-C.
const INTERRUPTED: i32 = 130;

/// Whether the user wants the work to stop. Clones tell the same.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    asked: Arc<AtomicBool>,
    idle: Arc<AtomicBool>,
}

impl Stop {
    /// Set by SIGINT and SIGTERM from now on.
    ///
    /// # Errors
    /// What the host answers.
    pub fn on_signals() -> std::io::Result<Self> {
        let stop = Self::default();
        for signal in [SIGINT, SIGTERM] {
            signal_hook::flag::register_conditional_shutdown(signal, INTERRUPTED, stop.idle.clone())?;
            signal_hook::flag::register(signal, stop.asked.clone())?;
        }
        Ok(stop)
    }

    /// True when the user wants to stop.
    pub fn asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    /// Asks for a stop, as a signal does.
    pub fn ask(&self) {
        self.asked.store(true, Ordering::Relaxed);
    }

    /// Work begins, or has ended: the wish is forgotten. While there is no work a signal ends the
    /// program.
    pub fn working(&self, working: bool) {
        self.asked.store(false, Ordering::Relaxed);
        self.idle.store(!working, Ordering::Relaxed);
    }
}
