//! Where compiled blocks lie in guest memory, by their numbers.
//!
//! A block whose code was written to is kept for its place, the last of each: it can be used again when the same bytes
//! are back, because a program is loaded anew, say, or a snapshot restored.

/// Heads of chains, a power of two.
const HEADS: usize = 1 << 16;
/// No block.
const NONE: u32 = u32::MAX;

/// What a block is found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// See [`dejavm_interp::cache::block_key`].
    pub key: u64,
    /// The PC at its start.
    pub rip: u64,
    /// The number of the mode that it was compiled for.
    pub mode: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It may run.
    Live,
    /// Its code was written to.
    Replaced,
    /// It is never used again.
    Gone,
}

struct Entry {
    place: Place,
    state: State,
    /// The next block with the same head.
    next: u32,
}

/// The places of all blocks since everything was forgotten.
pub struct Places {
    heads: Box<[u32]>,
    entries: Vec<Entry>,
}

impl Default for Places {
    fn default() -> Self {
        Self { heads: vec![NONE; HEADS].into_boxed_slice(), entries: Vec::new() }
    }
}

#[inline]
fn head(key: u64) -> usize {
    (key >> 4 ^ key >> 20) as usize & (HEADS - 1)
}

impl Places {
    fn search(&self, key: u64, wanted: impl Fn(&Entry) -> bool) -> Option<u32> {
        let mut n = self.heads[head(key)];
        while let Some(entry) = self.entries.get(n as usize) {
            if wanted(entry) {
                return Some(n);
            }
            n = entry.next;
        }
        None
    }

    /// The block that may run at `place`.
    pub fn live(&self, place: Place) -> Option<u32> {
        self.search(place.key, |e| e.place == place && e.state == State::Live)
    }

    /// Some block that may run and has this key.
    pub fn live_with(&self, key: u64) -> Option<u32> {
        self.search(key, |e| e.place.key == key && e.state == State::Live)
    }

    /// The last block at `place` whose code was written to.
    pub fn replaced(&self, place: Place) -> Option<u32> {
        self.search(place.key, |e| e.place == place && e.state == State::Replaced)
    }

    /// All blocks that may run.
    pub fn all_live(&self) -> impl Iterator<Item = u32> {
        (0..).zip(&self.entries).filter(|(_, e)| e.state == State::Live).map(|(n, _)| n)
    }

    /// The place of block `number`.
    pub fn place(&self, number: u32) -> Place {
        self.entries[number as usize].place
    }

    /// The number of the block that will be added next.
    fn next(&self) -> u32 {
        self.entries.len() as u32
    }

    /// A block that may run at a place where none may.
    pub fn add(&mut self, place: Place) {
        let number = self.next();
        let next = std::mem::replace(&mut self.heads[head(place.key)], number);
        self.entries.push(Entry { place, state: State::Live, next });
    }

    /// The block's code was written to. Another one at its place gives way.
    pub fn replace(&mut self, number: u32) {
        if let Some(old) = self.replaced(self.place(number)) {
            self.remove(old);
        }
        self.entries[number as usize].state = State::Replaced;
    }

    /// The code of a block that [`Places::replaced`] told is back.
    pub fn back(&mut self, number: u32) {
        self.entries[number as usize].state = State::Live;
    }

    /// The block is not found any more.
    pub fn remove(&mut self, number: u32) {
        let Entry { place, next, .. } = self.entries[number as usize];
        self.entries[number as usize].state = State::Gone;
        let head = &mut self.heads[head(place.key)];
        if *head == number {
            *head = next;
            return;
        }
        let mut n = *head;
        while let Some(entry) = self.entries.get_mut(n as usize) {
            if entry.next == number {
                entry.next = next;
                return;
            }
            n = entry.next;
        }
    }

    /// Everything is forgotten.
    pub fn clear(&mut self) {
        self.heads.fill(NONE);
        self.entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_found_by_place() {
        let mut places = Places::default();
        let place = |key, rip| Place { key, rip, mode: 1 };
        // The first three share a head.
        let all =
            [place(0x1238, 1), place(0x1238, 2), place(0x1238 + (1 << 24) + (1 << 8), 3), place(0x1248, 4)];
        assert_eq!(head(all[0].key), head(all[2].key));
        all.iter().for_each(|p| places.add(*p));
        let found = |places: &Places| all.map(|p| places.live(p));
        assert_eq!(found(&places), [Some(0), Some(1), Some(2), Some(3)]);
        assert_eq!(places.live(Place { mode: 0, ..all[0] }), None);

        places.replace(1);
        assert_eq!(found(&places), [Some(0), None, Some(2), Some(3)]);
        assert_eq!((places.replaced(all[1]), places.live_with(0x1238)), (Some(1), Some(0)));
        places.add(all[1]);
        assert_eq!(places.live(all[1]), Some(4));
        places.replace(4);
        assert_eq!(places.replaced(all[1]), Some(4), "the last one");
        places.back(4);
        assert_eq!((places.live(all[1]), places.replaced(all[1])), (Some(4), None));

        places.remove(2);
        assert_eq!(found(&places), [Some(0), Some(4), None, Some(3)]);
        assert_eq!(places.all_live().collect::<Vec<_>>(), [0, 3, 4]);
        places.remove(4);
        places.remove(0);
        assert_eq!(places.live_with(0x1238), None);
        places.clear();
        assert_eq!((found(&places), places.next()), ([None; 4], 0));
    }
}
