//! The x87 FPU, and saving of the extended state (SDM volume 1, chapters 8 and 13).
//!
//! Arithmetic is [`crate::softfloat`]'s; here are the register stack, the exceptions and the
//! memory images. Every instruction follows one order: #NM and a pending #MF first, then memory
//! faults, then the stack check, then the operation, whose exceptions decide whether a result
//! is delivered. So a faulting instruction has changed nothing.
//!
//! Left undefined by the manual and defined here: C0, C2 and C3 are unchanged by instructions
//! that do not define them; C1 is cleared by every instruction that computes or moves a value
//! and does not define it otherwise; FBLD takes invalid digits by their value; transcendental
//! instructions give the value of [`math`], on every host.

mod arith;
mod control;
mod functions;
pub mod math;
#[cfg(test)]
mod math_tests;
pub mod state;
mod tables;
mod transfer;
mod xsave;

use super::op::Handler;
use iced_x86::Instruction;

/// The handler for `ins`, if it belongs to this group.
pub fn select(ins: &Instruction) -> Option<Handler> {
    arith::select(ins)
        .or_else(|| transfer::select(ins))
        .or_else(|| functions::select(ins))
        .or_else(|| control::select(ins))
        .or_else(|| xsave::select(ins))
}

/// The 11-bit opcode that an x87 instruction leaves in the FPU: the low bits of the first byte
/// and the ModR/M byte (SDM volume 1, section 8.1.9). Nothing for other instructions.
pub fn opcode(bytes: &[u8], long: bool) -> Option<u16> {
    let prefix = |b: u8| {
        matches!(b, 0x26 | 0x2e | 0x36 | 0x3e | 0x64..=0x67 | 0xf0 | 0xf2 | 0xf3) || long && b & 0xf0 == 0x40
    };
    let start = bytes.iter().position(|&b| !prefix(b))?;
    match bytes[start..] {
        [escape @ 0xd8..=0xdf, modrm, ..] => Some(u16::from(escape & 7) << 8 | u16::from(modrm)),
        _ => None,
    }
}
