//! The differential test of AArch64 user-level instructions: the interpreter against qemu-aarch64, or
//! a real machine, which runs `aarch64/harness.c`.

pub mod case;
pub mod known;
pub mod peer;
pub mod subject;
pub mod values;
