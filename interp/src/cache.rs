//! The cache of decoded instructions: straight runs of them, found by where their code lies in
//! memory and the mode that it was decoded for.
//!
//! Frames that blocks were decoded from have [`attr::CODE`](crate::mem::attr::CODE); a store into a [granule](granules)
//! that holds decoded code drops the blocks of that frame which touch it. Ops live in an arena that
//! only grows until everything is dropped at once, so a running block stays valid until the
//! engine looks at the stores, at the next instruction boundary.

use crate::mem::{Hit, Memory, PAGE_SHIFT, PAGE_SIZE, granules};
use crate::rewritten::Rewritten;

/// Slots of the direct-mapped lookup table, a power of two.
const SLOTS: usize = 1 << 16;
/// Ops in the arena before everything is dropped.
const ARENA: usize = 1 << 20;
/// No block.
pub const NONE: u32 = u32::MAX;

/// A straight run of decoded instructions.
#[derive(Clone, Copy, Debug)]
pub struct Block {
    /// Where its code begins and how it was decoded, see [`block_key`].
    pub key: u64,
    /// First op in the arena.
    pub start: u32,
    /// Number of ops.
    pub len: u32,
    /// Bytes of code.
    pub bytes: u32,
    /// For a block of one instruction that crosses into another page: offset of that page's
    /// frame, which must be compared with the current translation. Else `u64::MAX`.
    pub second: u64,
}

#[derive(Clone, Default)]
struct FrameCode {
    blocks: Vec<u32>,
    /// How often the last of the blocks was dropped.
    emptied: u8,
}

/// A frame that was so often left without blocks by stores is no code any more. Watching it again would cost more than
/// a few needless looks at stores into it. Nor is it when blocks are not kept for a while, see [`Rewritten`].
const EMPTIED: u8 = 64;

/// The key of code at host offset `offset`, decoded for `mode`, below 16 (x86: the code size in bytes;
/// AArch64: 0).
#[inline(always)]
pub fn block_key(offset: u64, mode: u8) -> u64 {
    offset << 4 | u64::from(mode)
}

/// Decoded blocks of all CPUs.
pub struct Cache<Op> {
    ops: Vec<Op>,
    /// See [`Cache::buffer`].
    buffer: Vec<Op>,
    blocks: Vec<Block>,
    /// The steps before which the blocks were decoded.
    born: Vec<u64>,
    /// Where blocks are not kept.
    pub rewritten: Rewritten<Op>,
    slots: Box<[u32; SLOTS]>,
    frames: Vec<Option<Box<FrameCode>>>,
    /// Keys of the blocks that stores dropped since somebody emptied this.
    pub dropped: Vec<u64>,
    /// Changes whenever everything is dropped at once.
    pub generation: u64,
}

impl<Op: Copy> Default for Cache<Op> {
    fn default() -> Self {
        let Ok(slots) = vec![NONE; SLOTS].into_boxed_slice().try_into() else {
            unreachable!("the size is the constant's")
        };
        Self {
            ops: Vec::new(),
            buffer: Vec::new(),
            blocks: Vec::new(),
            born: Vec::new(),
            rewritten: Rewritten::default(),
            slots,
            frames: Vec::new(),
            dropped: Vec::new(),
            generation: 0,
        }
    }
}

#[inline(always)]
fn slot(key: u64) -> usize {
    // Offsets differ in bits 4 and up of the key; pages are mixed in.
    ((key >> 4) ^ (key >> 19) ^ key) as usize & (SLOTS - 1)
}

impl<Op: Copy> Cache<Op> {
    /// The block with this key.
    #[inline(always)]
    pub fn find(&self, key: u64) -> Option<&Block> {
        let b = self.blocks.get(self.slots[slot(key)] as usize)?;
        (b.key == key).then_some(b)
    }

    /// The number of the block that [`Cache::find`] finds, [`NONE`] if it finds none.
    pub fn number(&self, key: u64) -> u32 {
        if self.find(key).is_some() { self.slots[slot(key)] } else { NONE }
    }

    /// Block `number` with this key, which lies in one frame, was dropped, and the code is the same again: it need not
    /// be decoded anew. True if the frame became code by it, see [`Cache::insert`].
    pub fn back(&mut self, mem: &mut Memory, number: u32, key: u64) -> bool {
        let Some(block) = self.blocks.get_mut(number as usize).filter(|b| b.key == u64::MAX) else {
            return false;
        };
        block.key = key;
        let len = u64::from(block.bytes);
        self.slots[slot(key)] = number;
        self.add_to_frame(mem, key >> 4, len, number)
    }

    /// The ops of a block.
    #[inline(always)]
    pub fn ops(&self, block: &Block) -> &[Op] {
        self.ops.get(block.start as usize..(block.start + block.len) as usize).unwrap_or(&[])
    }

    /// Somewhere to put the ops of a block that is being decoded, empty.
    pub fn buffer(&mut self) -> Vec<Op> {
        std::mem::take(&mut self.buffer)
    }

    /// Adds a block whose code begins at host offset `offset`, decoded into [`Cache::buffer`] before step `now`. Returns
    /// it, and whether frames became code by it: cached permissions to write to them must be dropped.
    pub fn insert(
        &mut self,
        mem: &mut Memory,
        offset: u64,
        mode: u8,
        mut ops: Vec<Op>,
        bytes: u32,
        second: u64,
        now: u64,
    ) -> (Block, bool) {
        if self.ops.len() + ops.len() > ARENA {
            self.clear(mem);
        }
        let index = self.blocks.len() as u32;
        let block = Block {
            key: block_key(offset, mode),
            start: self.ops.len() as u32,
            len: ops.len() as u32,
            bytes,
            second,
        };
        self.ops.append(&mut ops);
        self.buffer = ops;
        self.blocks.push(block);
        self.born.push(now);
        self.slots[slot(block.key)] = index;
        let room = PAGE_SIZE - offset % PAGE_SIZE;
        let mut fresh = self.add_to_frame(mem, offset, u64::from(bytes).min(room), index);
        if second != u64::MAX {
            fresh |= self.add_to_frame(mem, second, u64::from(bytes).saturating_sub(room), index);
        }
        (block, fresh)
    }

    fn add_to_frame(&mut self, mem: &mut Memory, offset: u64, len: u64, block: u32) -> bool {
        let frame = (offset >> PAGE_SHIFT) as usize;
        if frame >= self.frames.len() {
            self.frames.resize(frame + 1, None);
        }
        let code = self.frames[frame].get_or_insert_default();
        code.blocks.push(block);
        mem.add_code(offset, granules(offset, len))
    }

    /// Drops the blocks whose code `hit` overwrote before step `now`.
    pub fn code_hit(&mut self, mem: &mut Memory, hit: Hit, now: u64) {
        let frame = (hit.offset >> PAGE_SHIFT) as usize;
        let Some(Some(code)) = self.frames.get_mut(frame) else { return };
        let touched = granules(hit.offset, hit.len.into());
        if mem.code(hit.offset) & touched == 0 && !code.blocks.is_empty() {
            return;
        }
        let base = (frame as u64) << PAGE_SHIFT;
        let (mut left, mut once) = (0, false);
        let blocks = &mut self.blocks;
        let slots = &mut self.slots;
        let dropped = &mut self.dropped;
        let (born, rewritten) = (&self.born, &mut self.rewritten);
        code.blocks.retain(|&i| {
            let b = &mut blocks[i as usize];
            if b.key == u64::MAX {
                return false;
            }
            let start = b.key >> 4;
            // The parts of the block's code that lie in this frame: of a page that follows itself, both.
            let room = PAGE_SIZE - start % PAGE_SIZE;
            let mut own = 0;
            if start & !(PAGE_SIZE - 1) == base {
                own |= granules(start, u64::from(b.bytes).min(room));
            }
            if b.second == base {
                own |= granules(base, u64::from(b.bytes).saturating_sub(room));
            }
            if own & touched == 0 {
                left |= own;
                return true;
            }
            if slots[slot(b.key)] == i {
                slots[slot(b.key)] = NONE;
            }
            dropped.push(b.key);
            once |= rewritten.dropped(start, now.wrapping_sub(born[i as usize]));
            b.key = u64::MAX;
            false
        });
        mem.keep_code(base, left);
        if code.blocks.is_empty() {
            code.emptied += 1;
            if once || code.emptied == EMPTIED {
                self.frames[frame] = None;
                mem.forget_code(base);
            }
        }
    }

    /// Drops everything.
    pub fn clear(&mut self, mem: &mut Memory) {
        for (frame, code) in self.frames.iter().enumerate() {
            if code.is_some() {
                mem.forget_code((frame as u64) << PAGE_SHIFT);
            }
        }
        self.ops.clear();
        self.blocks.clear();
        self.born.clear();
        self.slots.fill(NONE);
        self.frames.clear();
        self.dropped.clear();
        self.generation += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mem::Region;

    #[test]
    fn a_dropped_block_comes_back_without_decoding() {
        let mut mem = Memory::new(0x4000).unwrap();
        mem.set_regions(vec![Region { start: 0, len: 0x4000, offset: 0, writable: true }]).unwrap();
        let mut cache = Cache::<u32>::default();
        let hit = |cache: &mut Cache<u32>, mem: &mut Memory, at| {
            mem.write(at, &[1]);
            let mut hits = Vec::new();
            mem.take_code_hits(&mut hits);
            hits.iter().for_each(|h| cache.code_hit(mem, *h, 1000));
            hits.len()
        };
        assert!(cache.insert(&mut mem, 0x1010, 4, vec![1, 2], 8, u64::MAX, 0).1);
        cache.insert(&mut mem, 0x1080, 4, vec![3], 8, u64::MAX, 0);
        let key = block_key(0x1010, 4);
        let number = cache.number(key);
        assert!(!cache.back(&mut mem, number, key), "it was not dropped");
        assert_eq!(hit(&mut cache, &mut mem, 0x1040), 0, "beside code");
        assert_eq!((hit(&mut cache, &mut mem, 0x1017), &*cache.dropped), (1, &[key][..]));
        assert!(cache.find(key).is_none() && cache.number(key) == NONE);
        assert_eq!(hit(&mut cache, &mut mem, 0x1017), 0, "there is no code any more");
        assert!(!cache.back(&mut mem, number, key), "the frame is code by another block");
        assert_eq!(cache.find(key).map(|b| cache.ops(b)), Some(&[1, 2][..]));
        assert_eq!(hit(&mut cache, &mut mem, 0x1010), 1);
        assert!(cache.find(key).is_none());
    }
}
