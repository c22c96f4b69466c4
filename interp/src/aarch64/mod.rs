//! The AArch64 guest CPU: ARMv8-A in 64-bit state.
//!
//! [`Cpu`] is the architectural state, plain data. Manual sections are those of the Arm
//! Architecture Reference Manual for A-profile (DDI 0487). [`decode`] is a table in the manual's
//! order with the manual's names; each row leads to a handler: in `int`, `branch`, `ldst`, `system`, `fp*`, `simd_*`, `ldst_simd` or
//! `crypto`.

pub mod access;
pub mod branch;
mod crypto;
pub mod debug;
pub mod decode;
mod decode_fp;
mod decode_scalar;
mod decode_shape;
mod decode_vector;
mod decode_vector2;
pub mod exception;
pub mod exec;
mod fp;
mod fp_convert;
mod fp_estimate;
mod fp_ops;
pub mod inspect;
pub mod int;
pub mod interpreter;
pub mod ldst;
mod ldst_simd;
pub mod mmu;
pub mod op;
pub mod regs;
mod simd_float;
mod simd_misc;
mod simd_move;
mod simd_same;
mod simd_shift;
mod simd_wide;
pub mod sysreg;
pub mod system;
mod vector;

pub use exec::{A64, A64Bus, Exec, Flow, Trap};
pub use interpreter::{AnyEngine, Interpreter, engine};
pub use regs::Cpu;
