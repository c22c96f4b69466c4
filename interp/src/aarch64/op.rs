//! Decoded instructions in the form that the interpreter executes.

use super::exec::{Exec, Flow, Trap};

/// Executes one instruction. PC is still that of the instruction; the interpreter advances it after
/// [`Flow::Next`].
pub type Handler = fn(&mut Exec<'_>, &Op) -> Result<Flow, Trap>;

/// One decoded instruction.
#[derive(Clone, Copy)]
pub struct Op {
    /// The function that executes it.
    pub run: Handler,
    /// The immediate, as the instruction uses it.
    pub imm: u64,
    /// The instruction word.
    pub word: u32,
    /// Bits 4:0.
    pub rd: u8,
    /// Bits 9:5.
    pub rn: u8,
    /// Bits 20:16.
    pub rm: u8,
    /// Bits 14:10.
    pub ra: u8,
}

impl Op {
    /// Bits `hi` to `lo` of the instruction.
    #[inline(always)]
    pub fn bits(&self, hi: u32, lo: u32) -> u32 {
        bits(self.word, hi, lo)
    }
}

/// Bits `hi` to `lo` of a word.
#[inline(always)]
pub const fn bits(word: u32, hi: u32, lo: u32) -> u32 {
    word << (31 - hi) >> (31 - hi + lo)
}

/// Bits `hi` to `lo` of a word, sign-extended.
#[inline(always)]
pub const fn sbits(word: u32, hi: u32, lo: u32) -> u64 {
    ((word << (31 - hi)) as i32 >> (31 - hi + lo)) as i64 as u64
}
