//! MMX, SSE to SSE4.2, AES, PCLMULQDQ, SHA (SDM volume 1, chapters 9 to 12).
//!
//! An operation is a type that implements [`shape::Lanes`] (MMX and XMM) or [`shape::Whole`]
//! (XMM): a pure function of destination, source and immediate. [`shape`] has one handler for
//! each shape of operands, generic over the operation, so that an instruction is one line in a
//! table and VEX forms are more shapes, not more operations.

mod approx;
mod arith;
mod convert;
mod crypto;
pub mod float;
mod floatops;
mod moves;
pub mod shape;
mod shift;
mod shuffle;
mod strings;
mod swar;

use super::op::Handler;
pub use crate::pack;
use iced_x86::Instruction;

/// The files of this group, asked in turn.
const FILES: &[fn(&Instruction) -> Option<Handler>] = &[
    moves::select,
    arith::select,
    shift::select,
    shuffle::select,
    floatops::select,
    convert::select,
    approx::select,
    strings::select,
    crypto::select,
];

/// The handler for `ins`, if it belongs to this group.
pub fn select(ins: &Instruction) -> Option<Handler> {
    FILES.iter().find_map(|select| select(ins))
}
