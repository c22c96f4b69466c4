//! The AArch64 guest CPU: ARMv8-A in 64-bit state.
//!
//! [`Cpu`] is the architectural state, plain data. Manual sections are those of the Arm
//! Architecture Reference Manual for A-profile (DDI 0487). [`decode`] is a table in the manual's
//! order with the manual's names; each row leads to a handler in `int`, `ldst` or `system`.

pub mod access;
pub mod branch;
pub mod debug;
pub mod decode;
pub mod exception;
pub mod exec;
pub mod inspect;
pub mod int;
pub mod interpreter;
pub mod ldst;
pub mod mmu;
pub mod op;
pub mod regs;
pub mod sysreg;
pub mod system;

pub use exec::{A64, A64Bus, Exec, Flow, Trap};
pub use interpreter::Interpreter;
pub use regs::Cpu;
