//! DejaVM's guest CPUs: registers, decoding, semantics, MMU, floating point and guest memory.
//!
//! This crate is the reference engine: what an instruction means and how much time it takes is
//! defined here. It knows no device, no file, no clock and no log; everything outside a CPU is
//! reached through the [`engine::Bus`] that the caller hands in.
#![forbid(unsafe_code)]

pub mod aarch64;
pub mod cache;
mod crypto;
pub mod driver;
pub mod engine;
pub mod exec;
pub mod guest;
pub mod inspect;
pub mod mem;
pub mod pack;
pub mod probe;
pub mod rewritten;
pub mod softfloat;
pub mod tlb;
pub mod x86;
