//! Debuggers: thin clients of [`crate::timeline`].

pub mod expr;
pub mod monitor;
pub mod query;
pub mod symbols;
