//! The state of a machine, memory apart: plain data.

use super::board::Board;
use super::time::VirtNs;
use dejavm_interp::engine::Clock;
use serde::de::{DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use std::fmt::{self, Formatter};

/// Whose turn it is when several CPUs share the timeline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Turn {
    pub cpu: usize,
    pub left: u64,
}

/// Everything of a machine but its memory: plain data, cloned for a snapshot, digested for a
/// checkpoint.
#[derive(Clone, Debug, Serialize)]
pub struct State<B> {
    /// Steps since power-on.
    pub icount: u64,
    /// Virtual nanoseconds skipped or slept while all CPUs were halted.
    pub warp: u64,
    /// Binary logarithm of the virtual nanoseconds of one step.
    pub shift: u8,
    pub(super) turn: Turn,
    /// CPUs and devices.
    pub board: B,
}

impl<B> State<B> {
    /// The clock at the current boundary.
    pub fn clock(&self) -> Clock {
        Clock { icount: self.icount, shift: self.shift, warp: self.warp }
    }

    /// The virtual clock at the current boundary.
    pub fn now(&self) -> VirtNs {
        VirtNs(self.clock().virtual_ns(self.icount))
    }
}

/// Reads a board of the same kind as another, see [`Board::read`].
struct Like<'a, B>(&'a B);

impl<'de, B: Board> DeserializeSeed<'de> for Like<'_, B> {
    type Value = B;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<B, D::Error> {
        self.0.read(from)
    }
}

/// Reads the state of a machine whose board is of the same kind as this one.
pub struct StateLike<'a, B>(pub &'a B);

impl<'de, B: Board> DeserializeSeed<'de> for StateLike<'_, B> {
    type Value = State<B>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<State<B>, D::Error> {
        from.deserialize_tuple(5, self)
    }
}

impl<'de, B: Board> Visitor<'de> for StateLike<'_, B> {
    type Value = State<B>;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("the state of a machine")
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<State<B>, S::Error> {
        let short = |n| S::Error::invalid_length(n, &"the five parts of a machine's state");
        let icount = seq.next_element()?.ok_or_else(|| short(0))?;
        let warp = seq.next_element()?.ok_or_else(|| short(1))?;
        let shift = seq.next_element()?.ok_or_else(|| short(2))?;
        let turn = seq.next_element()?.ok_or_else(|| short(3))?;
        let board = seq.next_element_seed(Like(self.0))?.ok_or_else(|| short(4))?;
        Ok(State { icount, warp, shift, turn, board })
    }
}
