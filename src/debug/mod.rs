//! Debuggers: thin clients of [`crate::timeline`].

pub mod expr;
pub mod gdb;
pub mod monitor;
pub mod query;
pub mod symbols;
