//! The x87 FPU, and saving of the extended state (SDM volume 1, chapters 8 and 13).

use super::op::Handler;
use iced_x86::Instruction;

/// The handler for `ins`, if it belongs to this group.
pub fn select(_ins: &Instruction) -> Option<Handler> {
    None
}
