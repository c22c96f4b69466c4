//! Segment registers, far transfers, control and debug registers, MSRs, I/O (SDM volume 1, section 5.20).

pub mod control;
pub mod far;
pub mod io;
pub mod iret;
pub mod misc;
pub mod msr;
pub mod segment;
pub mod stack;
pub mod syscall;
pub mod tables;
pub mod task;

use super::op::Handler;
use iced_x86::Instruction;

/// The handler for `ins`, if it belongs to this group.
pub fn select(ins: &Instruction) -> Option<Handler> {
    [
        tables::select,
        far::select,
        iret::select,
        control::select,
        syscall::select,
        io::select,
        msr::select,
        misc::select,
    ]
    .iter()
    .find_map(|select| select(ins))
}
