//! The general-purpose instructions (SDM volume 1, section 5.1), but for those that load segment
//! registers, branch far or touch the system.

pub mod mov;

use super::op::Handler;
use iced_x86::Instruction;

/// The handler for `ins`, if it belongs to this group.
pub fn select(ins: &Instruction) -> Option<Handler> {
    mov::select(ins)
}
