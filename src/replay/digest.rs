//! Digests of a machine's state, output and memory.
//!
//! They are functions of the timeline alone: no engine, no host, no earlier digest shows in them.

use super::Output;
use crate::machine::State;
use crate::machine::board::Board;
use dejavm_interp::mem::{Account, Memory, PAGE_SIZE};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::hash::Hasher;
use xxhash_rust::xxh3::{Xxh3, xxh3_64, xxh3_64_with_seed};

/// Feeds what is written to it into a hash.
struct Hashing<'a>(&'a mut Xxh3);

impl std::io::Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        Hasher::write(self.0, bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Digest of everything but memory: xxh3 of the state's MessagePack form.
pub fn of_state<B: Board>(state: &State<B>) -> u64 {
    let mut hash = Xxh3::new();
    let written = rmp_serde::encode::write(&mut Hashing(&mut hash), state);
    debug_assert!(written.is_ok(), "a machine's state is plain data: {written:?}");
    hash.digest()
}

/// Digest of all output so far, chained from one checkpoint to the next.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct OutputDigest {
    chain: u64,
    since: Vec<u8>,
}

impl OutputDigest {
    /// Adds what left the machine in the step after `icount`.
    pub fn add(&mut self, icount: u64, output: &Output) {
        super::varint::put(&mut self.since, icount);
        match output {
            Output::Serial { port, byte } => self.since.extend_from_slice(&[0, *port, *byte]),
            Output::Debug { byte } => self.since.extend_from_slice(&[1, *byte]),
        }
    }

    /// The digest at a checkpoint.
    pub fn take(&mut self) -> u64 {
        if !self.since.is_empty() {
            self.chain = xxh3_64_with_seed(&self.since, self.chain);
            self.since.clear();
        }
        self.chain
    }
}

/// Digest of memory, kept up to date over the pages that were written since the last time.
///
/// Each frame's part is the seeded hash of its bytes, the frame's number being the seed, or 0 for
/// a frame of zeros; the digest is the sum of the parts. So it does not matter which frames were
/// looked at, only what they hold.
#[derive(Clone, Debug, Default)]
pub struct MemoryDigest {
    parts: Vec<u64>,
    sum: u64,
}

/// Frames from which on hashing is worth a second thread.
const PARALLEL: usize = 1024;

impl MemoryDigest {
    /// The digest now.
    pub fn take(&mut self, mem: &mut Memory) -> u64 {
        let dirty = mem.take_dirty(Account::Digest);
        self.parts.resize((mem.size() / PAGE_SIZE) as usize, 0);
        let bytes = mem.bytes();
        let part = |&frame: &u32| part(bytes, frame);
        let parts: Vec<u64> = if dirty.len() >= PARALLEL {
            dirty.par_iter().with_min_len(256).map(part).collect()
        } else {
            dirty.iter().map(part).collect()
        };
        for (frame, part) in dirty.into_iter().zip(parts) {
            let old = std::mem::replace(&mut self.parts[frame as usize], part);
            self.sum = self.sum.wrapping_sub(old).wrapping_add(part);
        }
        // The map is part of what memory is.
        let mut map = Vec::new();
        for r in mem.regions() {
            for v in [r.start, r.len, r.offset, u64::from(r.writable)] {
                super::varint::put(&mut map, v);
            }
        }
        self.sum.wrapping_add(xxh3_64(&map))
    }
}

fn part(bytes: &[u8], frame: u32) -> u64 {
    let at = frame as usize * PAGE_SIZE as usize;
    let page = &bytes[at..at + PAGE_SIZE as usize];
    let zero = page.chunks_exact(64).all(|c| c.iter().fold(0, |a, b| a | b) == 0);
    // The seed is never 0, which is what an unseeded hash has.
    if zero { 0 } else { xxh3_64_with_seed(page, u64::from(frame) + 1) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dejavm_interp::mem::Region;

    fn memory() -> Memory {
        let mut mem = Memory::new(1 << 24).unwrap();
        let r = Region { start: 0, len: 1 << 24, offset: 0, writable: true };
        mem.set_regions(vec![r]).unwrap();
        mem
    }

    #[test]
    fn incremental_is_the_same_as_at_once() {
        let (mut a, mut b) = (memory(), memory());
        let (mut da, mut db) = (MemoryDigest::default(), MemoryDigest::default());
        let empty = MemoryDigest::default().take(&mut memory());
        let mut seed = 7u64;
        for round in 0..20 {
            for _ in 0..round * 200 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let addr = seed >> 40;
                a.write(addr, &seed.to_le_bytes());
                b.write(addr, &seed.to_le_bytes());
            }
            da.take(&mut a);
        }
        let full = db.take(&mut b);
        assert_eq!(da.take(&mut a), full);
        assert_ne!(full, empty);
        a.write(5, &[1]);
        assert_ne!(da.take(&mut a), full);
        for at in (0..1 << 24).step_by(4096) {
            a.write(at, &[0; 4096]);
        }
        assert_eq!(da.take(&mut a), empty, "pages of zeros count nothing");
    }

    #[test]
    fn equal_pages_in_other_places_differ() {
        let digest = |at| {
            let mut mem = memory();
            mem.write(at, &[1; 4096]);
            MemoryDigest::default().take(&mut mem)
        };
        assert_ne!(digest(0), digest(4096));
    }

    #[test]
    fn output_counts_bytes_and_moments() {
        let digest = |list: &[(u64, u8)]| {
            let mut d = OutputDigest::default();
            for &(icount, byte) in list {
                d.add(icount, &Output::Serial { port: 0, byte });
            }
            d.take()
        };
        assert_eq!(digest(&[(1, 2), (3, 4)]), digest(&[(1, 2), (3, 4)]));
        assert_ne!(digest(&[(1, 2), (3, 4)]), digest(&[(1, 2), (4, 4)]));
        assert_ne!(digest(&[(1, 2), (3, 4)]), digest(&[(1, 2), (3, 5)]));
        assert_eq!(digest(&[]), 0);
    }
}
