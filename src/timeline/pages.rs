//! The contents of memory as a value: pages shared between snapshots.
//!
//! A [`PageMap`] says what every frame holds. Maps are trees of two levels whose leaves are shared,
//! so that a copy is cheap, and two maps that have much in common are compared quickly. [`Pages`]
//! keeps the map of a running machine up to date by what was written, and puts a map back into
//! memory by reverting only what differs.

pub use crate::replay::saved::{Backing, PAGE, Place, ReadError};
use crate::replay::saver::key;
use dejavm_interp::mem::{Account, Memory, PAGE_SIZE};
use rayon::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Frames in a leaf of the tree.
const LEAF: usize = 64;
/// So many pages are worth several threads.
const MANY: usize = 256;
/// Frames that are put back in one piece at most.
const PIECE: usize = 32;
/// Bytes that are read in one piece at most.
const READ: usize = 1 << 15;

/// A page's bytes, counted in the total of its [`Held`].
#[derive(Debug)]
pub struct Page {
    bytes: Box<[u8; PAGE]>,
    held: Held,
}

impl Drop for Page {
    fn drop(&mut self) {
        self.held.0.fetch_sub(PAGE as u64, Ordering::Relaxed);
    }
}

/// How many bytes of pages snapshots hold in memory.
#[derive(Clone, Debug, Default)]
pub struct Held(Arc<AtomicU64>);

impl Held {
    /// The bytes.
    pub fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn page(&self, bytes: &[u8; PAGE]) -> Arc<Page> {
        self.0.fetch_add(PAGE as u64, Ordering::Relaxed);
        let bytes: Box<[u8]> = bytes[..].into();
        let bytes = bytes.try_into().unwrap_or_else(|_| unreachable!("the slice has a page's length"));
        Arc::new(Page { bytes, held: self.clone() })
    }
}

/// What a frame holds.
#[derive(Clone, Debug, Default)]
pub enum PageRef {
    /// Zeros.
    #[default]
    Zero,
    /// A page in the host's memory.
    Held(Arc<Page>),
    /// A page saved in the recording.
    Saved(Place),
}

impl PageRef {
    /// True when both are the same page; two pages of equal bytes may be told to differ.
    pub fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Zero, Self::Zero) => true,
            (Self::Held(a), Self::Held(b)) => Arc::ptr_eq(a, b),
            (Self::Saved(a), Self::Saved(b)) => a == b,
            _ => false,
        }
    }

    /// Its bytes.
    ///
    /// # Errors
    /// When it is saved and cannot be read.
    pub fn read(&self, backing: &dyn Backing, into: &mut [u8; PAGE]) -> Result<(), ReadError> {
        match self {
            Self::Zero => into.fill(0),
            Self::Held(page) => into.copy_from_slice(&*page.bytes),
            Self::Saved(place) => backing.page(*place, into)?,
        }
        Ok(())
    }
}

/// What every frame holds.
#[derive(Clone, Debug, Default)]
pub struct PageMap {
    frames: usize,
    leaves: Vec<Arc<Vec<PageRef>>>,
}

impl PageMap {
    /// A map of `frames` frames of zeros.
    pub fn new(frames: usize) -> Self {
        let leaf = Arc::new(vec![PageRef::Zero; LEAF]);
        Self { frames, leaves: vec![leaf; frames.div_ceil(LEAF)] }
    }

    /// Number of frames.
    pub fn frames(&self) -> usize {
        self.frames
    }

    /// What a frame holds.
    pub fn get(&self, frame: u32) -> &PageRef {
        &self.leaves[frame as usize / LEAF][frame as usize % LEAF]
    }

    /// Sets what a frame holds.
    pub fn set(&mut self, frame: u32, page: PageRef) {
        Arc::make_mut(&mut self.leaves[frame as usize / LEAF])[frame as usize % LEAF] = page;
    }

    /// For each frame a number that stands for its bytes, see [`key`]; 0 for what is saved.
    pub fn keys(&self) -> Vec<u64> {
        let key = |frame| match self.get(frame) {
            PageRef::Held(page) => key(&page.bytes),
            PageRef::Zero | PageRef::Saved(_) => 0,
        };
        (0..self.frames as u32).map(key).collect()
    }

    /// The frames in which two maps differ, in order.
    pub fn differing(&self, other: &Self) -> Vec<u32> {
        let mut frames = Vec::new();
        for (i, (a, b)) in self.leaves.iter().zip(&other.leaves).enumerate() {
            if !Arc::ptr_eq(a, b) {
                let differ = (0..LEAF).filter(|&k| !a[k].same(&b[k]));
                frames.extend(differ.map(|k| (i * LEAF + k) as u32));
            }
        }
        frames
    }
}

/// The pages of a machine that runs.
#[derive(Debug)]
pub struct Pages {
    /// What memory held when it was last captured or restored.
    map: PageMap,
    held: Held,
    /// Many pages are put back by several threads. Needless where all of them are at work anyway.
    pub together: bool,
}

impl Pages {
    /// The account of a machine whose memory was never captured: all that was ever written differs.
    pub fn new(mem: &Memory, held: Held) -> Self {
        let map = PageMap::new((mem.size() / PAGE_SIZE) as usize);
        Self { map, held, together: true }
    }

    /// What memory holds now, and the frames written since the last capture or restoration, in
    /// order. A page that was written with what it held already stays shared.
    pub fn capture(&mut self, mem: &mut Memory) -> (PageMap, Vec<u32>) {
        let written = mem.take_dirty(Account::Snapshots);
        for &frame in &written {
            let bytes = frame_bytes(mem, frame);
            match self.map.get(frame) {
                PageRef::Held(page) if *page.bytes == *bytes => {}
                _ if is_zero(bytes) => self.map.set(frame, PageRef::Zero),
                _ => self.map.set(frame, PageRef::Held(self.held.page(bytes))),
            }
        }
        (self.map.clone(), written)
    }

    /// True when memory holds what `target` says, and nothing was written since the last capture or
    /// restoration but `written`.
    ///
    /// # Errors
    /// When a saved page cannot be read.
    pub fn holds(
        &mut self,
        mem: &mut Memory,
        target: &PageMap,
        written: &[u32],
        backing: &dyn Backing,
    ) -> Result<bool, ReadError> {
        let mut frames = mem.take_dirty(Account::Snapshots);
        let listed = frames.iter().all(|frame| written.binary_search(frame).is_ok());
        frames.extend(self.map.differing(target));
        let mut bytes = [0; PAGE];
        for &frame in &frames {
            target.get(frame).read(backing, &mut bytes)?;
            if bytes != *frame_bytes(mem, frame) {
                return Ok(false);
            }
        }
        self.map = target.clone();
        Ok(listed)
    }

    /// Makes memory hold what `target` says, touching only what differs.
    ///
    /// # Errors
    /// When a saved page cannot be read; memory is then in between, and must be restored again.
    pub fn restore(
        &mut self,
        mem: &mut Memory,
        target: &PageMap,
        backing: &dyn Backing,
    ) -> Result<(), ReadError> {
        let mut frames = mem.take_dirty(Account::Snapshots);
        frames.extend(self.map.differing(target));
        frames.sort_unstable();
        frames.dedup();
        // Before, whether it matters that one changes; then whether it does.
        let mut changed: Vec<bool> = frames.iter().map(|&frame| mem.is_cached(frame)).collect();
        let mut bytes = mem.frames_mut(&frames);
        let mut pieces = pieces(&frames, target, &mut bytes, &mut changed);
        let put = |buffer: &mut Vec<u8>, piece: &mut Piece<'_, '_>| piece.put_back(target, backing, buffer);
        let result = if self.together && frames.len() >= MANY {
            pieces.par_iter_mut().try_for_each_init(Vec::new, put)
        } else {
            let mut buffer = Vec::new();
            pieces.iter_mut().try_for_each(|piece| put(&mut buffer, piece))
        };
        if let Err(e) = result {
            // Some hold the one, some the other: all stay on the account.
            for &either in &frames {
                mem.barrier(u64::from(either) * PAGE_SIZE, 1);
            }
            return Err(e);
        }
        for (&frame, _) in frames.iter().zip(changed).filter(|f| f.1) {
            mem.put_back(frame);
        }
        self.map = target.clone();
        Ok(())
    }
}

/// Some frames that are put back at once.
struct Piece<'a, 'm> {
    frames: &'a [u32],
    bytes: &'a mut [&'m mut [u8; PAGE]],
    changed: &'a mut [bool],
}

/// Frames in pieces: what lies in the recording without a gap is read together.
fn pieces<'a, 'm>(
    mut frames: &'a [u32],
    target: &PageMap,
    mut bytes: &'a mut [&'m mut [u8; PAGE]],
    mut changed: &'a mut [bool],
) -> Vec<Piece<'a, 'm>> {
    let mut pieces = Vec::new();
    while !frames.is_empty() {
        let (mut read, mut end) = (0, None);
        let fits = |frame: &&u32| match target.get(**frame) {
            PageRef::Saved(place) => {
                read += place.len as usize;
                let touches = end.is_none_or(|end| end == place.offset);
                end = Some(place.offset + u64::from(place.len));
                touches && read <= READ
            }
            PageRef::Zero | PageRef::Held(_) => true,
        };
        let n = frames.iter().take(PIECE).take_while(fits).count().max(1);
        let (these, others) = frames.split_at(n);
        let (its, rest) = std::mem::take(&mut bytes).split_at_mut(n);
        let (flags, left) = std::mem::take(&mut changed).split_at_mut(n);
        pieces.push(Piece { frames: these, bytes: its, changed: flags });
        (frames, bytes, changed) = (others, rest, left);
    }
    pieces
}

impl Piece<'_, '_> {
    /// Makes the frames hold what `target` says.
    fn put_back(
        &mut self,
        target: &PageMap,
        backing: &dyn Backing,
        buffer: &mut Vec<u8>,
    ) -> Result<(), ReadError> {
        let saved = |frame: &u32| match target.get(*frame) {
            PageRef::Saved(place) => Some(*place),
            PageRef::Zero | PageRef::Held(_) => None,
        };
        let len = self.frames.iter().filter_map(saved).map(|place| place.len as usize).sum();
        if buffer.len() < len {
            buffer.resize(len, 0);
        }
        let mut packed = &mut buffer[..len];
        if let Some(first) = self.frames.iter().find_map(saved) {
            backing.read(first.offset, packed)?;
        }
        let mut page = [0; PAGE];
        for ((frame, bytes), changed) in self.frames.iter().zip(&mut *self.bytes).zip(&mut *self.changed) {
            match target.get(*frame) {
                PageRef::Zero if is_zero(bytes) => *changed = false,
                PageRef::Zero => {
                    bytes.fill(0);
                    *changed = true;
                }
                PageRef::Held(page) => *changed = put(bytes, &page.bytes),
                PageRef::Saved(place) => {
                    let (its, rest) = std::mem::take(&mut packed).split_at_mut(place.len as usize);
                    packed = rest;
                    if *changed {
                        place.unpack(its, &mut page)?;
                        *changed = put(bytes, &page);
                    } else {
                        place.unpack(its, bytes)?;
                        *changed = true;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Makes a frame's bytes these. True when they changed.
fn put(bytes: &mut [u8; PAGE], new: &[u8; PAGE]) -> bool {
    let changed = bytes != new;
    if changed {
        *bytes = *new;
    }
    changed
}

fn is_zero(bytes: &[u8; PAGE]) -> bool {
    bytes.chunks_exact(64).all(|c| c.iter().fold(0, |a, b| a | b) == 0)
}

/// The bytes of a frame.
pub fn frame_bytes(mem: &Memory, frame: u32) -> &[u8; PAGE] {
    let at = frame as usize * PAGE;
    let bytes = mem.bytes()[at..at + PAGE].try_into();
    bytes.unwrap_or_else(|_| unreachable!("the slice has a page's length"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::saved::pack;
    use dejavm_interp::mem::{Region, attr};
    use xxhash_rust::xxh3::xxh3_64;

    #[test]
    fn captures_come_back_in_any_order() {
        let size = 4 << 20;
        let mut mem = Memory::new(size).unwrap();
        mem.set_regions(vec![Region { start: 0, len: size, offset: 0, writable: true }]).unwrap();
        let held = Held::default();
        let mut pages = Pages::new(&mem, held.clone());
        let mut random = 3u64;
        let mut next = || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            random >> 33
        };
        let mut seen = Vec::new();
        for round in 0..60 {
            for _ in 0..next() % 200 {
                let value = if next() % 4 == 0 { 0 } else { next() };
                mem.write(next() % (size - 8), &value.to_le_bytes());
            }
            if round % 3 == 2 {
                let (map, bytes): &(PageMap, Vec<u8>) = &seen[next() as usize % seen.len()];
                pages.restore(&mut mem, map, &()).unwrap();
                assert!(mem.bytes() == bytes);
            } else {
                let (map, _) = pages.capture(&mut mem);
                seen.push((map, mem.bytes().to_vec()));
            }
        }
        let before = held.bytes();
        drop(seen);
        assert!(held.bytes() < before, "pages are freed");
        drop(pages);
        assert_eq!(held.bytes(), 0);
    }

    #[test]
    fn saved_pages_come_back_in_pieces() {
        const FRAMES: u32 = 1024;
        let size = u64::from(FRAMES) * PAGE_SIZE;
        let mut random = 5u64;
        let mut below = |n: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) % n
        };
        // Maps, what they stand for, and a file with most of their pages, some of which lie next to each other.
        let (mut file, held, mut maps) = (vec![7u8; 100], Held::default(), Vec::new());
        for _ in 0..6 {
            let (mut map, mut all) = (PageMap::new(FRAMES as usize), vec![0; size as usize]);
            for frame in 0..FRAMES {
                let mut bytes = [0; PAGE];
                if below(8) > 0 {
                    let packs = below(3) > 0;
                    bytes.iter_mut().for_each(|b| *b = if packs { frame as u8 } else { below(256) as u8 });
                }
                all[frame as usize * PAGE..][..PAGE].copy_from_slice(&bytes);
                let packed = pack(&bytes);
                let (offset, len) = (file.len() as u64, packed.len() as u32);
                let page = match below(10) {
                    _ if is_zero(&bytes) => PageRef::Zero,
                    0 => PageRef::Held(held.page(&bytes)),
                    _ => PageRef::Saved(Place { offset, len, check: xxh3_64(&bytes) as u32 }),
                };
                map.set(frame, page);
                file.extend(packed);
                file.extend(vec![9; if below(20) == 0 { 5 } else { 0 }]);
            }
            maps.push((map, all));
        }
        let mut mem = Memory::new(size).unwrap();
        mem.set_regions(vec![Region { start: 0, len: size, offset: 0, writable: true }]).unwrap();
        let mut pages = Pages::new(&mem, held.clone());
        let packed = (0..FRAMES).rev().find_map(|frame| match maps[0].0.get(frame) {
            PageRef::Saved(place) if place.len < 100 => Some((frame, *place)),
            _ => None,
        });
        let (frame, place) = packed.unwrap();
        let mut damaged = file.clone();
        damaged[place.offset as usize + 2] ^= 1;
        let damaged_at = u64::from(frame) * PAGE_SIZE;
        for round in 0..40 {
            pages.together = round % 2 == 0;
            for frame in 0..FRAMES {
                if below(2) == 0 {
                    mem.add_code(u64::from(frame) * PAGE_SIZE, u64::MAX);
                }
            }
            for _ in 0..below(50) {
                mem.write(below(size), &[1]);
            }
            if round % 5 == 1 {
                mem.write(damaged_at, &[1]);
                pages.restore(&mut mem, &maps[0].0, &damaged).unwrap_err();
            }
            let mut hits = Vec::new();
            mem.take_code_hits(&mut hits);
            hits.clear();
            let (map, bytes) = &maps[below(6) as usize];
            let between = mem.bytes().to_vec();
            pages.restore(&mut mem, map, &file).unwrap();
            assert!(mem.bytes() == bytes, "round {round}");
            mem.take_code_hits(&mut hits);
            let offset = |frame: u32| u64::from(frame) * PAGE_SIZE;
            let differs = |frame: &u32| {
                let at = offset(*frame) as usize;
                mem.attrs(offset(*frame)) & attr::CODE != 0 && between[at..at + PAGE] != bytes[at..at + PAGE]
            };
            let expected: Vec<u64> = (0..FRAMES).filter(differs).map(offset).collect();
            assert_eq!(hits.iter().map(|h| h.offset).collect::<Vec<_>>(), expected, "round {round}");
        }
    }
}
