//! Code that is rewritten all the time: by loops that change themselves, or data beside them.
//!
//! A block of such code is dropped when it has hardly run. Where that goes on, no block is kept for a while: each
//! instruction is decoded when it runs, or found by its bytes, which costs less than to decode what does not run, to
//! watch the frame, and to drop blocks.

/// Slots of what is known of granules, a power of two.
const GRANULES: usize = 1 << 10;
/// Instructions that are known, a power of two.
const KNOWN: usize = 1 << 10;
/// A block that is dropped within so many steps had hardly run.
const YOUNG: u64 = 256;
/// So many of them in turn are enough.
const YOUNGS: u8 = 8;

/// What became of the blocks that begin in the 64-byte granules of a slot.
#[derive(Clone, Copy, Default)]
struct Granule {
    /// How many in turn were dropped that had hardly run.
    young: u8,
    /// Instructions to run before a block is kept again.
    once: u8,
}

/// An instruction, and the bytes and the mode that it was decoded from.
#[derive(Clone, Copy)]
struct Known<Op> {
    bytes: [u8; 16],
    len: u8,
    mode: u8,
    op: Op,
}

/// Where blocks are not kept, and what was decoded there.
pub struct Rewritten<Op> {
    granules: Box<[Granule; GRANULES]>,
    known: Vec<Option<Known<Op>>>,
}

impl<Op: Copy> Default for Rewritten<Op> {
    fn default() -> Self {
        Self { granules: Box::new([Granule::default(); GRANULES]), known: vec![None; KNOWN] }
    }
}

/// The slot of the granule at `offset`.
fn slot(offset: u64) -> usize {
    (offset >> 6) as usize & (GRANULES - 1)
}

impl<Op: Copy> Rewritten<Op> {
    /// True while blocks that begin at `offset` are not kept.
    pub fn at(&self, offset: u64) -> bool {
        self.granules[slot(offset)].once > 0
    }

    /// A block that began at `offset` was dropped `age` steps after it was decoded. True if from now on none is kept
    /// there.
    pub fn dropped(&mut self, offset: u64, age: u64) -> bool {
        let granule = &mut self.granules[slot(offset)];
        granule.young = if age < YOUNG { (granule.young + 1).min(YOUNGS) } else { 0 };
        granule.once = if granule.young == YOUNGS { u8::MAX } else { 0 };
        granule.once > 0
    }

    /// The instruction at `offset` that is about to run, if blocks are not kept there. `bytes` is the code from there
    /// on, for `mode`; `decode` decodes one instruction of it and tells its length, or gives none if it has to be kept.
    /// That is not needed while its bytes are those that were seen last.
    pub fn once(
        &mut self,
        offset: u64,
        mode: u8,
        bytes: &[u8],
        decode: impl FnOnce() -> Option<(Op, u8)>,
    ) -> Option<Op> {
        let once = &mut self.granules[slot(offset)].once;
        *once = once.checked_sub(1)?;
        let known = &mut self.known[(offset ^ offset >> 12) as usize & (KNOWN - 1)];
        if let Some(k) = known
            && k.mode == mode
            && bytes.starts_with(&k.bytes[..usize::from(k.len & 15)])
        {
            return Some(k.op);
        }
        let (op, len) = decode()?;
        let mut own = [0; 16];
        own[..usize::from(len)].copy_from_slice(&bytes[..usize::from(len)]);
        *known = Some(Known { bytes: own, len, mode, op });
        Some(op)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn once(r: &mut Rewritten<u32>, offset: u64) -> bool {
        r.once(offset, 4, &[1, 2], || Some((1, 1))).is_some()
    }

    #[test]
    fn code_that_is_rewritten_all_the_time_is_not_kept() {
        let mut r = Rewritten::default();
        for _ in 1..YOUNGS {
            assert!(!r.dropped(0x1010, YOUNG - 1));
            assert!(!r.at(0x1010) && !once(&mut r, 0x1010));
        }
        assert!(r.dropped(0x1010, YOUNG - 1));
        assert!(r.at(0x103f) && !r.at(0x1040));
        assert_eq!((0..1000).filter(|_| once(&mut r, 0x1010)).count(), 255);
        assert!(!r.at(0x1010) && r.dropped(0x1010, 1) && once(&mut r, 0x1010));
        assert!(!r.dropped(0x1010, YOUNG) && !once(&mut r, 0x1010));
    }

    #[test]
    fn an_instruction_is_decoded_anew_when_its_bytes_or_the_mode_differ() {
        let mut r = Rewritten::<u32>::default();
        (0..YOUNGS).for_each(|n| assert_eq!(r.dropped(0x1010, 0), n == YOUNGS - 1));
        let mut once = |mode, bytes: &[u8], op| r.once(0x1010, mode, bytes, || op).unwrap_or(0);
        assert_eq!(once(4, &[1, 2, 3], None), 0);
        assert_eq!(once(4, &[1, 2, 3], Some((1, 2))), 1);
        assert_eq!(once(4, &[1, 2, 4], Some((2, 2))), 1);
        assert_eq!(once(4, &[1, 3, 4], Some((3, 2))), 3);
        assert_eq!(once(8, &[1, 3, 4], Some((4, 2))), 4);
        assert_eq!(once(8, &[1], Some((5, 1))), 5);
    }
}
