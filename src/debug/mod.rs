//! Debuggers: thin clients of [`crate::timeline`].

pub mod monitor;
