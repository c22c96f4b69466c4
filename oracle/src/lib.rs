//! The differential test of user-level x86 instructions.
//!
//! Random instructions with random operands ([`generate`]) are run by the host's CPU
//! ([`native`]) and by DejaVM's interpreter ([`interp`]), and everything a program can see is
//! compared ([`compare`]): registers, flags, floating-point state, memory, and the exception
//! with its error code and address. What the manuals leave undefined ([`undefined`]) is counted
//! apart. A case is a function of its seed and number alone.

pub mod aarch64;
pub mod compare;
pub mod forms;
pub mod generate;
pub mod intel;
pub mod interp;
pub mod layout;
pub mod native;
mod needs;
pub mod report;
pub mod rng;
pub mod run;
pub mod state;
pub mod undefined;
pub mod values;
pub mod vendor;
