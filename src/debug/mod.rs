//! Debuggers: thin clients of [`crate::timeline`].

pub mod diff;
pub mod disassembly;
pub mod expr;
pub mod gdb;
pub mod intervals;
pub mod lockstep;
pub mod monitor;
pub mod query;
pub mod symbols;
