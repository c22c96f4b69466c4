//! Segment registers, far transfers, control and debug registers, MSRs, I/O (SDM volume 1, section 5.20).

use super::op::Handler;
use iced_x86::Instruction;

/// The handler for `ins`, if it belongs to this group.
pub fn select(_ins: &Instruction) -> Option<Handler> {
    None
}
