//! The host's clocks.
#![allow(clippy::disallowed_methods, reason = "this is the one place that reads the host's clocks")]

use std::time::{Duration, Instant, SystemTime};

/// The wall clock: nanoseconds since 1970, 0 if the host is older than that.
pub fn wall() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// A monotonic clock since it was made.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// A clock that begins at 0.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Nanoseconds since then.
    pub fn ns(self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Time since then.
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// The real-time clock's source: the wall clock, or one that began at a given date.
#[derive(Clone, Copy, Debug)]
pub struct RtcSource {
    base: Option<u64>,
    since: Stopwatch,
}

impl RtcSource {
    /// A clock that shows `date` (seconds since 1970) now, or the host's time.
    pub fn new(date: Option<u64>) -> Self {
        Self { base: date.map(|d| d.saturating_mul(1_000_000_000)), since: Stopwatch::start() }
    }

    /// Nanoseconds since 1970.
    pub fn now(self) -> u64 {
        self.base.map_or_else(wall, |base| base.saturating_add(self.since.ns()))
    }
}

/// A number that nobody can guess, for a seed. Small enough for every reader of JSON.
pub fn entropy() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    // The standard library seeds its hashers from the operating system.
    let mut hasher = std::collections::hash_map::RandomState::new().build_hasher();
    hasher.write_u64(wall());
    hasher.finish() >> 11
}
