//! The compiler against the interpreter: random programs, run on both in random slices, must leave
//! the same CPU and the same memory at every stop. A failure prints the seed; `DEJAVM_SEED` runs
//! that one alone, `DEJAVM_ROUNDS` runs more than the usual few seconds' worth.

mod aarch64;
mod harness;
mod levels;
mod returns;
mod rewritten;
mod spaces;
mod words;
mod x86;
