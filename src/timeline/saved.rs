//! From the saved snapshots of a recording to snapshots that a timeline can use.

use super::pages::{PageMap, PageRef};
use super::snapshot::Snapshot;
use crate::machine::State;
use crate::machine::board::Board;
use crate::machine::state::StateLike;
use crate::replay::digest;
use crate::replay::log::Recording;
use crate::replay::record::Record;
use crate::replay::runner::Tally;
use crate::replay::saved::Saved;
use crate::replay::tape::{Cursor, Tape};
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use std::fmt::{self, Formatter};

/// The saved snapshots of a recording, and a line that says why some or all were left out: they are
/// a cache, and whoever gets none replays from the start. `format` is that of this build's states,
/// `power_on` the machine there. No page is read.
pub fn load<B: Board>(
    recording: &Recording,
    tape: &Tape,
    format: u64,
    power_on: &Snapshot<B>,
) -> (Vec<Snapshot<B>>, Option<String>) {
    if recording.backing.is_none() || recording.saved.is_empty() && recording.lost.is_none() {
        return (Vec::new(), None);
    }
    let mut snapshots = Vec::new();
    let mut map = power_on.pages.clone();
    for saved in &recording.saved {
        match decode(saved, tape, format, &power_on.state.board, &mut map) {
            Ok(snapshot) => snapshots.push(snapshot),
            Err(why) => {
                let icount = saved.icount;
                let text = format!("the saved snapshot at step {icount} {why}; saved snapshots are not used");
                return (Vec::new(), Some(text));
            }
        }
    }
    let lost = recording.lost.map(|offset| {
        format!("a saved snapshot is damaged at byte {offset}; it and later ones are not used")
    });
    (snapshots, lost)
}

/// Reads state, tally and cursor; the state's board is of the kind of `board`.
fn read<B: Board>(bytes: &[u8], board: &B) -> Result<(State<B>, Tally, Cursor), rmp_serde::decode::Error> {
    rmp_serde::Deserializer::new(bytes).deserialize_tuple(3, Parts(StateLike(board)))
}

/// See [`read`].
struct Parts<'a, B>(StateLike<'a, B>);

impl<'de, B: Board> Visitor<'de> for Parts<'_, B> {
    type Value = (State<B>, Tally, Cursor);

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("state, tally and cursor")
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<Self::Value, S::Error> {
        let short = |n| S::Error::invalid_length(n, &"three parts");
        let state = seq.next_element_seed(self.0)?.ok_or_else(|| short(0))?;
        let tally = seq.next_element()?.ok_or_else(|| short(1))?;
        let cursor = seq.next_element()?.ok_or_else(|| short(2))?;
        Ok((state, tally, cursor))
    }
}

/// One saved snapshot; `map` goes on from the one before.
fn decode<B: Board>(
    saved: &Saved,
    tape: &Tape,
    format: u64,
    board: &B,
    map: &mut PageMap,
) -> Result<Snapshot<B>, &'static str> {
    if saved.format != format {
        return Err("is of another build's format");
    }
    let bytes = saved.state().ok_or("cannot be unpacked")?;
    let (state, tally, cursor) = read(&bytes, board).map_err(|_| "cannot be decoded")?;
    let again = rmp_serde::to_vec(&(&state, &tally, &cursor));
    if again.ok().as_ref() != Some(&bytes) {
        return Err("is not what this build would save");
    }
    if state.icount != saved.icount || cursor.records() != saved.records || !tape.has(&cursor) {
        return Err("does not fit its place in the recording");
    }
    if let Some(Record::Checkpoint(c)) = cursor.event.checked_sub(1).and_then(|i| tape.event(i))
        && (c.at.icount, c.at.warp) == (state.icount, state.warp)
        && c.state != digest::of_state(&state)
    {
        return Err("differs from the checkpoint there");
    }
    let frames = map.frames();
    let last = saved.written.last().copied().max(saved.pages.last().map(|p| p.0));
    if last.is_some_and(|frame| frame as usize >= frames) {
        return Err("has more memory than the machine");
    }
    for &(frame, place) in &saved.pages {
        map.set(frame, place.map_or(PageRef::Zero, PageRef::Saved));
    }
    let (written, since) = (saved.written.clone(), saved.since);
    Ok(Snapshot { state, tally, cursor, pages: map.clone(), written, since })
}
