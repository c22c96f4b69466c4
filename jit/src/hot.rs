//! Which code is worth compiling: counters of how often blocks were interpreted.
//!
//! Compiling a block costs as much as some hundred runs of it in the interpreter. So code that runs
//! now and then must not add up to hot code in the long run, and code that is written to again and
//! again must earn each new compilation: by twice as many runs every time, until it is left alone.

/// Slots, a power of two.
const SLOTS: usize = 1 << 16;
/// Counted runs after which everything counts half.
const HALF_LIFE: u32 = 1 << 17;
/// How often the needed number of runs is doubled at most.
const DOUBLINGS: u8 = 8;
/// Looks whether code that was written to is back.
const LOOKS: u8 = 4;
/// Runs in vain after which a block is interpreted again.
const VAIN: u8 = 64;

/// What is known of the blocks that share a slot; together, so that a look at it is one access to memory.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// How often they were interpreted.
    runs: u16,
    /// How often compiled code was written to.
    written: u8,
    /// How often compiled code was left as soon as it was entered.
    vain: u8,
    /// Blocks with these counters may be compiled.
    compiled: bool,
    /// One was, and it was not looked so often yet whether its code is back.
    replaced: u8,
}

/// Counters of blocks that are not compiled.
pub struct Hot {
    slots: Box<[Slot]>,
    counted: u32,
    /// Binary logarithm of what guest addresses of code are multiples of.
    align: u32,
}

impl Hot {
    /// Nothing was run yet.
    pub fn new(align: u32) -> Self {
        let slots = vec![Slot::default(); SLOTS].into_boxed_slice();
        Self { slots, counted: 0, align }
    }

    fn slot(&mut self, rip: u64, offset: u64) -> &mut Slot {
        &mut self.slots[(rip >> self.align ^ rip >> 16 ^ offset >> 12) as usize & (SLOTS - 1)]
    }

    /// Counts a run of the block at `rip`, whose code lies at `offset` in the host. True when it is
    /// worth compiling after `threshold` runs.
    pub fn count(&mut self, rip: u64, offset: u64, threshold: u8) -> bool {
        let slot = self.slot(rip, offset);
        if slot.runs >= u16::from(threshold) << slot.written.min(DOUBLINGS) {
            return true;
        }
        slot.runs += 1;
        self.counted += 1;
        if self.counted == HALF_LIFE {
            self.counted = 0;
            for slot in &mut self.slots {
                let Slot { runs, written, vain, .. } = *slot;
                *slot = Slot { runs: runs / 2, written: written / 2, vain: vain / 2, ..*slot };
            }
        }
        false
    }

    /// False when the block is not compiled for sure.
    pub fn compiled(&mut self, rip: u64, offset: u64) -> bool {
        self.slot(rip, offset).compiled
    }

    /// The block was compiled.
    pub fn add(&mut self, rip: u64, offset: u64) {
        self.slot(rip, offset).compiled = true;
    }

    /// All compiled code was forgotten.
    pub fn forget(&mut self) {
        self.slots.iter_mut().for_each(|slot| (slot.compiled, slot.replaced) = (false, 0));
    }

    /// Compiled code was entered here, and left after an instruction or two: entering costs more than it gives. True
    /// when that happened so often that the block shall be interpreted; to be compiled again it has to run as often as
    /// if it had been written to.
    pub fn vain(&mut self, rip: u64, offset: u64) -> bool {
        let slot = self.slot(rip, offset);
        slot.vain += 1;
        if slot.vain < VAIN {
            return false;
        }
        slot.vain = 0;
        self.written(rip, offset, false);
        true
    }

    /// Compiled code was entered here, and ran for a while.
    pub fn worth(&mut self, rip: u64, offset: u64) {
        self.slot(rip, offset).vain = 0;
    }

    /// True a few times after a compiled block was written to that is kept: its code may be back.
    pub fn may_be_back(&mut self, rip: u64, offset: u64) -> bool {
        let slot = self.slot(rip, offset);
        let left = slot.replaced > 0;
        slot.replaced = slot.replaced.saturating_sub(1);
        left
    }

    /// The code is back: that it was written to is forgiven.
    pub fn back(&mut self, rip: u64, offset: u64) {
        let slot = self.slot(rip, offset);
        slot.written = slot.written.saturating_sub(1);
    }

    /// The block's code was written to after it was compiled. `kept`: it can be used again.
    pub fn written(&mut self, rip: u64, offset: u64, kept: bool) {
        let slot = self.slot(rip, offset);
        slot.runs = 0;
        if kept {
            slot.replaced = LOOKS;
        }
        slot.written = slot.written.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs_needed(hot: &mut Hot, rip: u64) -> u32 {
        (0..).find(|_| hot.count(rip, 0x5000, 16)).unwrap_or(u32::MAX)
    }

    #[test]
    fn code_that_is_written_to_has_to_run_more_often() {
        let mut hot = Hot::new(0);
        for needed in [16, 32, 64, 128] {
            assert_eq!(runs_needed(&mut hot, 0x1234), needed);
            assert!(hot.count(0x1234, 0x5000, 16));
            hot.written(0x1234, 0x5000, false);
        }
        // Its neighbour does not.
        assert_eq!(runs_needed(&mut hot, 0x1235), 16);
    }

    #[test]
    fn code_that_is_always_left_at_once_is_interpreted() {
        let mut hot = Hot::new(0);
        assert_eq!(runs_needed(&mut hot, 0x1234), 16);
        for _ in 1..VAIN {
            assert!(!hot.vain(0x1234, 0x5000));
        }
        assert!(hot.vain(0x1234, 0x5000));
        assert_eq!(runs_needed(&mut hot, 0x1234), 32);
        assert!(!hot.vain(0x1234, 0x5000));
        hot.worth(0x1234, 0x5000);
        for _ in 1..VAIN {
            assert!(!hot.vain(0x1234, 0x5000));
        }
        assert!(hot.vain(0x1234, 0x5000));
    }

    #[test]
    fn compiled_blocks_are_found() {
        let mut hot = Hot::new(0);
        hot.add(0xffff_8000_1234, 0x12_3234);
        assert!(hot.compiled(0xffff_8000_1234, 0x12_3234));
        assert!(!hot.compiled(0xffff_8000_1235, 0x12_3235));
        hot.forget();
        assert!(!hot.compiled(0xffff_8000_1234, 0x12_3234));
    }

    /// 100 MB of code in blocks of 64 bytes, run through 40 times.
    #[test]
    fn long_code_is_never_hot() {
        let mut hot = Hot::new(0);
        let mut compiled = 0;
        for _ in 0..40 {
            for at in (0x100_0000..0x740_0000u64).step_by(64) {
                compiled += u32::from(hot.count(at, at, 16));
            }
        }
        assert_eq!(compiled, 0);
    }

    /// What is written to once in a while is compiled again after some time.
    #[test]
    fn writes_are_forgotten() {
        let mut hot = Hot::new(0);
        (0..20).for_each(|_| hot.written(8, 0, false));
        for at in 0..20u64 * u64::from(HALF_LIFE) {
            hot.count(0x8000 + (at << 20 >> 20) % 512 * 64, at >> 9 << 12, 255);
        }
        assert!(runs_needed(&mut hot, 8) <= 32);
    }
}
