//! The host's performance counters, and names of compiled code for its profiler.

use super::files::plain;
use perf_event::events::Hardware;
use perf_event::{Builder, Counter};
use std::cell::RefCell;
use std::fs::File;
use std::io::Write;

/// Counts the instructions that this thread executes outside the kernel.
pub struct Instructions(Result<RefCell<Counter>, String>);

impl Instructions {
    /// Begins to count, where the kernel and the CPU let it.
    pub fn count() -> Self {
        let counter = Builder::new(Hardware::INSTRUCTIONS).build().and_then(|mut c| c.enable().map(|()| c));
        Self(counter.map(RefCell::new).map_err(|e| format!("the host has no counter ({})", plain(&e))))
    }

    /// Counts nothing.
    pub fn not_wanted() -> Self {
        Self(Err("not counted".to_owned()))
    }

    /// Instructions so far, or why there are none.
    ///
    /// # Errors
    /// The reason.
    pub fn read(&self) -> Result<u64, String> {
        let counter = self.0.as_ref().map_err(Clone::clone)?;
        counter.borrow_mut().read().map_err(|e| plain(&e))
    }
}

/// The file in which Linux perf looks for the names of code that no file holds.
pub struct PerfMap(File);

impl PerfMap {
    /// Makes this process's file, `/tmp/perf-PID.map`.
    ///
    /// # Errors
    /// The host's reason, with the file's name.
    pub fn create() -> Result<Self, String> {
        let path = format!("/tmp/perf-{}.map", std::process::id());
        let file = File::create(&path).map_err(|e| format!("{path}: {}", plain(&e)))?;
        Ok(Self(file))
    }

    /// Names `len` bytes of code. A name may be given anew; where code is overwritten, perf knows
    /// the last names.
    pub fn add(&mut self, at: usize, len: usize, name: &str) {
        // Whole lines at once, so that a run that is killed leaves them. A full disk costs names, not the run.
        let _ = self.0.write_all(format!("{at:x} {len:x} {name}\n").as_bytes());
    }
}
