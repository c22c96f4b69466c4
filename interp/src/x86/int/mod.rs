//! The general-purpose instructions (SDM volume 1, section 5.1), but for those that load segment
//! registers, branch far or touch the system.
//!
//! Where the manual leaves a flag or a register undefined, the handler's documentation has a line
//! that starts with `Undefined:` and says what happens here.

pub mod alu;
pub mod atomic;
pub mod bcd;
pub mod bit;
pub mod branch;
pub mod cond;
pub mod incdec;
pub mod misc;
pub mod mov;
pub mod muldiv;
pub mod shift;
pub mod stack;
pub mod string;

use super::op::Handler;
use iced_x86::Instruction;

/// The modules of the group, asked in turn for a handler.
const MODULES: &[fn(&Instruction) -> Option<Handler>] = &[
    mov::select,
    alu::select,
    incdec::select,
    cond::select,
    branch::select,
    stack::select,
    shift::select,
    muldiv::select,
    bit::select,
    string::select,
    atomic::select,
    bcd::select,
    misc::select,
];

/// The handler for `ins`, if it belongs to this group.
pub fn select(ins: &Instruction) -> Option<Handler> {
    MODULES.iter().find_map(|select| select(ins))
}
