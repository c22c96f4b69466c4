//! The general-purpose instructions: rows measured on a processor, models, and the rules of
//! faults, modes and step accounting.

mod bench;
mod coverage;
mod modes;
mod rows;
mod strings;
