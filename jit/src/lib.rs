//! The block compiler for x86-64 hosts.
//!
//! An accelerator of the interpreter, never a second definition: what it does not compile, it
//! hands to the interpreter's handlers, and what it does compile gives the same state, bit for
//! bit. Knows the guest CPUs and nothing else of the machine.
//!
//! *Unsafe code* lives in two places: [`code`] (memory that can be executed) and the
//! translators' `entry` (the way into compiled code and back).

#![allow(clippy::useless_conversion, reason = "in what dynasm makes of dynamic registers")]

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub mod aarch64;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub mod code;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub mod emit;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub mod engine;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub mod hit;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub mod host;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod hot;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub mod links;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod places;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub mod x86;

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub use {aarch64::Jit as A64Jit, x86::Jit};

/// Hosts without a compiler run the interpreter in its place: the guest cannot tell.
#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
pub use dejavm_interp::{aarch64::Interpreter as A64Jit, x86::Interpreter as Jit};

/// The compiling engine for x86 guests, compiled in this crate.
pub fn x86_engine() -> Box<dejavm_interp::x86::AnyEngine> {
    Box::new(Jit::new())
}

/// The compiling engine for AArch64 guests, compiled in this crate.
pub fn a64_engine() -> Box<dejavm_interp::aarch64::AnyEngine> {
    Box::new(A64Jit::new())
}
