//! Debuggers: thin clients of [`crate::timeline`].

pub mod diff;
pub mod lockstep;
pub mod monitor;
