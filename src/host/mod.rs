//! The outside: terminal, wall clock, signals, files. The only part of DejaVM that may touch them,
//! and the only one with threads of its own; all that it tells the machine goes through
//! [`crate::replay`].

pub mod clock;
pub mod console;
pub mod files;
pub mod lines;
pub mod live;
pub mod perf;
pub mod signals;
pub mod sink;
pub mod socket;
