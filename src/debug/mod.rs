//! Debuggers: thin clients of [`crate::timeline`].

pub mod gdb;
pub mod monitor;
