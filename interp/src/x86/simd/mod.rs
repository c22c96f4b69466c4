//! MMX, SSE to SSE4.2, AES, PCLMULQDQ (SDM volume 1, chapters 9 to 12).

use super::op::Handler;
use iced_x86::Instruction;

/// The handler for `ins`, if it belongs to this group.
pub fn select(_ins: &Instruction) -> Option<Handler> {
    None
}
