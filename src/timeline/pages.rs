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
/// Pages that are read before they are put into memory; so many are worth several threads.
const AHEAD: usize = 256;

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
    /// For saved pages on their way into memory.
    buffer: Vec<[u8; PAGE]>,
    /// Many saved pages are read by several threads. Needless where all of them are at work anyway.
    pub together: bool,
}

impl Pages {
    /// The account of a machine whose memory was never captured: all that was ever written differs.
    pub fn new(mem: &Memory, held: Held) -> Self {
        let map = PageMap::new((mem.size() / PAGE_SIZE) as usize);
        Self { map, held, buffer: Vec::new(), together: true }
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
        self.buffer.resize(AHEAD.min(frames.len()).max(self.buffer.len()), [0; PAGE]);
        for some in frames.chunks(AHEAD) {
            let saved = &mut self.buffer[..some.len()];
            match read(some, target, backing, saved, self.together) {
                Ok(()) => {
                    for (&frame, saved) in some.iter().zip(saved) {
                        let bytes = match target.get(frame) {
                            PageRef::Zero => &[0; PAGE],
                            PageRef::Held(page) => &*page.bytes,
                            PageRef::Saved(_) => saved,
                        };
                        mem.restore_frame(frame, bytes);
                    }
                }
                Err(e) => {
                    // Some hold the one, some the other: all stay on the account.
                    for &either in &frames {
                        mem.barrier(u64::from(either) * PAGE_SIZE, 1);
                    }
                    return Err(e);
                }
            }
        }
        self.map = target.clone();
        Ok(())
    }
}

/// Reads what some frames hold, where it is saved.
fn read(
    frames: &[u32],
    map: &PageMap,
    backing: &dyn Backing,
    into: &mut [[u8; PAGE]],
    together: bool,
) -> Result<(), ReadError> {
    let read = |(&frame, into): (&u32, &mut [u8; PAGE])| match map.get(frame) {
        PageRef::Saved(place) => backing.page(*place, into),
        PageRef::Zero | PageRef::Held(_) => Ok(()),
    };
    if frames.len() < AHEAD || !together {
        frames.iter().zip(into).try_for_each(read)
    } else {
        frames.par_iter().zip(into).try_for_each(read)
    }
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
    use dejavm_interp::mem::Region;

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
}
