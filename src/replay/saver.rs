//! Saves snapshots into a recording, at moments that depend on the timeline alone.

use super::runner::Runner;
use super::saved::{self, PAGE, Packed};
use super::tape::Cursor;
use crate::machine::Machine;
use crate::machine::board::Board;
use dejavm_interp::mem::{Account, Memory};
use rayon::prelude::*;
use xxhash_rust::xxh3::xxh3_64;

/// Knows what was saved last, and uses [`Account::Snapshots`] to find what changed since.
#[derive(Debug)]
pub struct Saver {
    every: u64,
    /// The step at which the next snapshot is due.
    next: u64,
    format: u64,
    /// What each frame held when it was saved last, see [`key`].
    last: Vec<u64>,
    /// Where the account of what was written begins.
    since: u64,
    /// Frames to look at besides the written ones.
    besides: Vec<u32>,
}

/// A number that stands for a page's bytes: 0 for zeros, else their hash.
pub fn key(bytes: &[u8; PAGE]) -> u64 {
    let zero = bytes.chunks_exact(64).all(|c| c.iter().fold(0, |a, b| a | b) == 0);
    if zero { 0 } else { xxh3_64(bytes).max(1) }
}

fn bytes(mem: &Memory, frame: u32) -> &[u8; PAGE] {
    let at = frame as usize * PAGE;
    let page = mem.bytes()[at..at + PAGE].try_into();
    page.unwrap_or_else(|_| unreachable!("the slice has a page's length"))
}

impl Saver {
    /// Saves at the multiples of `every` steps. The machine is at power-on.
    pub fn new<B: Board>(every: u64, machine: &mut Machine<B>) -> Self {
        let mem = &mut machine.mem;
        let mut last = vec![0; (mem.size() / PAGE as u64) as usize];
        for frame in mem.take_dirty(Account::Snapshots) {
            last[frame as usize] = key(bytes(mem, frame));
        }
        Self {
            every,
            next: every,
            format: saved::format_of(&machine.state),
            last,
            since: 0,
            besides: Vec::new(),
        }
    }

    /// Saves at the multiples of `every` steps after `here`, of a machine that was put there:
    /// `power_on` says what its frames held at power-on (see [`key`]), the account of what was
    /// written begins at `since`, and before that at most the frames `besides` changed.
    pub fn from(
        every: u64,
        here: u64,
        format: u64,
        power_on: Vec<u64>,
        since: u64,
        besides: Vec<u32>,
    ) -> Self {
        let next = (here / every + 1).saturating_mul(every);
        Self { every, next, format, last: power_on, since, besides }
    }

    /// The step at which the next snapshot is due.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// The payloads that save the moment where the runner stands, which must be the first of the
    /// step that is due.
    pub fn save<B: Board>(&mut self, runner: &mut Runner<B>, cursor: &Cursor) -> Vec<Vec<u8>> {
        let icount = runner.at().icount;
        self.next = self.next.saturating_add(self.every);
        let mem = &mut runner.machine.mem;
        let written = mem.take_dirty(Account::Snapshots);
        let mut frames = std::mem::take(&mut self.besides);
        frames.extend_from_slice(&written);
        frames.sort_unstable();
        frames.dedup();
        let (mem, last) = (&*mem, &self.last);
        let pack = |&frame: &u32| -> Option<(Packed, u64)> {
            let bytes = bytes(mem, frame);
            let key = key(bytes);
            let page = (key != 0).then(|| (saved::pack(bytes), xxh3_64(bytes) as u32));
            (key != last[frame as usize]).then_some(((frame, page), key))
        };
        let changed: Vec<(Packed, u64)> = frames.par_iter().with_min_len(64).filter_map(pack).collect();
        let pages: Vec<Packed> = changed
            .into_iter()
            .map(|(page, key)| {
                self.last[page.0 as usize] = key;
                page
            })
            .collect();
        let value = (&runner.machine.state, runner.tally(), cursor);
        let state = rmp_serde::to_vec(&value);
        let state = state.unwrap_or_else(|e| unreachable!("a machine's state is plain data: {e}"));
        let mut payloads = saved::put_pages(&pages);
        payloads.extend(saved::put_moment(icount, self.since, self.format, &written, &state));
        self.since = icount;
        payloads
    }
}
