//! The x86 guest CPU: i386 to x86-64.
//!
//! [`Cpu`] is the architectural state, plain data. [`Interpreter`] runs it: guest code is decoded
//! by iced-x86 once into [`op::Op`]s, cached by physical page, and each `Op` is executed by one
//! handler function found in the `int`, `system`, `x87` and `simd` modules by [`decode`].

pub mod access;
pub mod boundary;
pub mod decode;
pub mod exec;
pub mod flags;
pub mod inspect;
pub mod int;
pub mod interpreter;
pub mod interrupt;
pub mod mmu;
pub mod model;
pub mod nobus;
pub mod op;
pub mod regs;
pub mod simd;
pub mod system;
pub mod trap;
pub mod word;
pub mod x87;

pub use crate::{cache, tlb};
pub use exec::{Exec, Flow, X86, X86Bus};
pub use interpreter::{AnyEngine, Interpreter, engine};
pub use nobus::NoBus;
pub use regs::Cpu;
pub use trap::Trap;
