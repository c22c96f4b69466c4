//! Guest-physical memory and its write barrier.
//!
//! All bulk memory of a machine (RAM, firmware ROM, video RAM, flash) lies in one host mapping
//! of 4 KiB frames; [`Region`]s place runs of frames in the physical address space. Every frame
//! has attributes. A store may go straight to the bytes only while its frame has none; all other
//! stores, the devices' DMA among them, pass [`Memory::barrier`], which does what each attribute
//! asks. This one mechanism serves self-modifying code, MMU coherence, incremental snapshots
//! and watchpoints.

use memmap2::MmapMut;

/// A guest-physical address.
pub type PhysAddr = u64;
/// Bytes in a frame.
pub const PAGE_SIZE: u64 = 4096;
/// Binary logarithm of [`PAGE_SIZE`].
pub const PAGE_SHIFT: u32 = 12;
/// Bytes in a granule: code and data often share a frame, more rarely so few bytes.
const GRANULE: u64 = PAGE_SIZE / u64::BITS as u64;

/// The granules of a frame that `len` bytes at `offset` touch, of those in that frame: a bit for each.
#[inline]
pub fn granules(offset: u64, len: u64) -> u64 {
    let first = offset % PAGE_SIZE / GRANULE;
    let last = (offset % PAGE_SIZE + len.max(1) - 1).min(PAGE_SIZE - 1) / GRANULE;
    (u64::MAX << first) & (u64::MAX >> (63 - last))
}

/// Attributes of a frame, a set of bits.
pub mod attr {
    /// Decoded or translated code was read from the frame.
    pub const CODE: u8 = 1;
    /// A cached address translation was walked through the frame.
    pub const TABLE: u8 = 2;
    /// The frame was not written since [`super::Memory::take_dirty`].
    pub const CLEAN: u8 = 4;
    /// A debugger's watch lies in the frame: no permission for data is cached, not even to read.
    pub const WATCH: u8 = 8;
}

/// Guest memory could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// The host refused the mapping.
    #[error("cannot reserve {size} bytes for guest memory")]
    Map {
        /// Bytes asked for.
        size: u64,
        /// The host's reason.
        #[source]
        source: std::io::Error,
    },
    /// A region is not made of whole pages, wraps around, overlaps another or lies outside the frames.
    #[error("memory region {start:#x}+{len:#x} does not fit")]
    Region {
        /// First physical address.
        start: PhysAddr,
        /// Bytes.
        len: u64,
    },
}

/// A run of frames in the physical address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Region {
    /// First physical address, page-aligned.
    pub start: PhysAddr,
    /// Bytes, a multiple of the page size.
    pub len: u64,
    /// Offset of its first byte in the host mapping, page-aligned.
    pub offset: u64,
    /// False for ROM: the CPU's and devices' stores go to the bus instead.
    pub writable: bool,
}

/// What lies at a physical address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Memory that can be read and written, at this offset of the host mapping.
    Ram(u64),
    /// Memory that can only be read.
    Rom(u64),
    /// No memory: the bus decides.
    Bus,
}

/// A store that an engine has to know of before the next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    /// Offset of the first byte in the host mapping.
    pub offset: u64,
    /// Bytes, not crossing a frame.
    pub len: u32,
}

/// Physical memory that a debugger watches, whatever the memory map shows there at the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watch {
    /// First physical address.
    pub addr: PhysAddr,
    /// Bytes.
    pub len: u64,
    /// Loads are watched.
    pub read: bool,
    /// Stores are watched.
    pub write: bool,
}

/// A part of a [`Watch`] that is contiguous memory, or no memory.
#[derive(Clone, Copy, Debug)]
struct Watched {
    part: Watch,
    /// Offset of the first byte in the host mapping; `None` on the bus.
    offset: Option<u64>,
}

/// An access to watched memory, cut to what is watched and to 8 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touch {
    /// Physical address.
    pub addr: PhysAddr,
    /// Offset of the first byte in the host mapping.
    pub offset: u64,
    /// Bytes, at most 8.
    pub len: u8,
    /// True for a store.
    pub write: bool,
    /// The little-endian value before the access.
    pub old: u64,
}

/// Who keeps an account of the frames that were written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Account {
    /// The digest of memory.
    Digest,
    /// Snapshots.
    Snapshots,
}

/// Guest-physical memory.
#[derive(Debug)]
pub struct Memory {
    bytes: MmapMut,
    attrs: Vec<u8>,
    regions: Vec<Region>,
    /// Stores into [`attr::CODE`] frames, for the engines to drop what they decoded there.
    code_hits: Vec<Hit>,
    /// Stores into [`attr::TABLE`] frames, for the TLBs to drop what was walked through there.
    table_hits: Vec<Hit>,
    /// Frames that lost [`attr::CLEAN`] since the last [`Memory::take_dirty`].
    dirty: Vec<u32>,
    /// For each [`Account`] the frames, one bit each, that it has still to be told of.
    pending: [Vec<u64>; 2],
    /// By frame: the table entries that some TLB may have translations through, one bit for each four bytes.
    tables: Vec<Option<Box<[u64; 16]>>>,
    /// One that was released last, all zeros: a page of tables comes and goes with each fault of some guests.
    spare_table: Option<Box<[u64; 16]>>,
    /// Frames that got [`attr::TABLE`] since [`Memory::take_new_tables`].
    new_tables: Vec<u64>,
    watches: Vec<Watch>,
    /// What the memory map makes of the watches.
    watched: Vec<Watched>,
    /// Accesses to watched memory, for the engines to report.
    touches: Vec<Touch>,
    /// By frame with [`attr::CODE`]: its [`granules`] with code.
    code: Vec<u64>,
    /// Counts changes that engines' cached places must not outlive.
    epoch: u64,
    /// Counts changes that engines' cached write permissions must not outlive.
    write_epoch: u64,
}

impl Memory {
    /// Memory of `size` bytes of zeroed frames, with nothing mapped yet.
    ///
    /// # Errors
    /// [`MemoryError`] when the host cannot provide it.
    pub fn new(size: u64) -> Result<Self, MemoryError> {
        let map = |source| MemoryError::Map { size, source };
        let len =
            usize::try_from(size.next_multiple_of(PAGE_SIZE)).map_err(|e| map(std::io::Error::other(e)))?;
        let bytes = memmap2::MmapOptions::new().len(len.max(1)).no_reserve_swap().map_anon().map_err(map)?;
        // Fewer page faults when a snapshot is restored, and fewer misses of the host's TLB. A host that
        // has none does without.
        #[cfg(target_os = "linux")]
        let _ = bytes.advise(memmap2::Advice::HugePage);
        Ok(Self {
            attrs: vec![attr::CLEAN; len >> PAGE_SHIFT],
            bytes,
            regions: Vec::new(),
            code_hits: Vec::new(),
            table_hits: Vec::new(),
            dirty: Vec::new(),
            pending: Default::default(),
            tables: Vec::new(),
            spare_table: None,
            new_tables: Vec::new(),
            watches: Vec::new(),
            watched: Vec::new(),
            touches: Vec::new(),
            code: Vec::new(),
            epoch: 0,
            write_epoch: 0,
        })
    }

    /// Replaces the memory map. Regions must not overlap.
    ///
    /// # Errors
    /// [`MemoryError::Region`] for a region that does not fit.
    pub fn set_regions(&mut self, mut regions: Vec<Region>) -> Result<(), MemoryError> {
        regions.sort_by_key(|r| r.start);
        let mut end = 0;
        for r in &regions {
            let bad = MemoryError::Region { start: r.start, len: r.len };
            let aligned = (r.start | r.len | r.offset) % PAGE_SIZE == 0;
            let fits = r.offset.checked_add(r.len).is_some_and(|e| e <= self.size());
            if !aligned || !fits || r.start < end {
                return Err(bad);
            }
            end = r.start.checked_add(r.len).ok_or(bad)?;
        }
        if regions != self.regions {
            self.regions = regions;
            self.epoch += 1;
            self.place_watches();
        }
        Ok(())
    }

    /// The memory map, sorted by address.
    pub fn regions(&self) -> &[Region] {
        &self.regions
    }

    /// Bytes in the host mapping.
    pub fn size(&self) -> u64 {
        (self.attrs.len() as u64) << PAGE_SHIFT
    }

    /// Changes whenever an engine must forget every cached physical place.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Changes whenever an engine must forget every cached permission to write.
    pub fn write_epoch(&self) -> u64 {
        self.write_epoch
    }

    /// What lies at `addr`.
    #[inline]
    pub fn place(&self, addr: PhysAddr) -> Place {
        for r in &self.regions {
            if addr.wrapping_sub(r.start) < r.len {
                let offset = addr - r.start + r.offset;
                return if r.writable { Place::Ram(offset) } else { Place::Rom(offset) };
            }
        }
        Place::Bus
    }

    /// The whole host mapping, to read.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes at `offset`, to write without the barrier. Only for stores through a cached
    /// permission that was given while the frame had no attribute, and for set-up before power-on.
    #[inline]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// True when some writable region shows the frame at `offset`.
    pub fn writable(&self, offset: u64) -> bool {
        self.regions.iter().any(|r| r.writable && offset.wrapping_sub(r.offset) < r.len)
    }

    /// Attributes of the frame at `offset`.
    #[inline]
    pub fn attrs(&self, offset: u64) -> u8 {
        self.attrs[(offset >> PAGE_SHIFT) as usize]
    }

    /// Notes that code was read from `granules` of the frame at `offset`. True when that makes it code: the caller
    /// drops cached write permissions.
    pub fn add_code(&mut self, offset: u64, granules: u64) -> bool {
        let frame = (offset >> PAGE_SHIFT) as usize;
        if frame >= self.code.len() {
            self.code.resize(frame + 1, 0);
        }
        self.code[frame] |= granules;
        let fresh = self.attrs[frame] & attr::CODE == 0;
        self.attrs[frame] |= attr::CODE;
        fresh
    }

    /// Notes that only these granules of a frame with code still hold some. Where none do, every store is told: the
    /// engine decides when it is no code any more.
    pub fn keep_code(&mut self, offset: u64, granules: u64) {
        if let Some(code) = self.code.get_mut((offset >> PAGE_SHIFT) as usize) {
            *code = granules;
        }
    }

    /// The frame at `offset` is no code any more.
    pub fn forget_code(&mut self, offset: u64) {
        self.keep_code(offset, 0);
        self.attrs[(offset >> PAGE_SHIFT) as usize] &= !attr::CODE;
    }

    /// The granules with code of the frame at `offset`.
    #[inline]
    pub fn code(&self, offset: u64) -> u64 {
        self.code.get((offset >> PAGE_SHIFT) as usize).copied().unwrap_or(0)
    }

    /// Tells that `len` bytes at `offset`, inside one frame, are being stored to. Must be called
    /// for every store that does not go through a cached write permission.
    pub fn barrier(&mut self, offset: u64, len: u32) {
        let attrs = self.barrier_walker(offset, len);
        if attrs & attr::TABLE != 0 && self.uses_table(offset, len) {
            self.table_hits.push(Hit { offset, len });
        }
    }

    /// Notes that a TLB has a translation that came through the table entry of `1 << entry` bytes at `offset`.
    /// Returns true when the frame became a table by this: the caller drops its TLB's permissions to write,
    /// [`Memory::take_new_tables`] tells it to the others.
    pub fn use_table(&mut self, offset: u64, entry: u32) -> bool {
        let frame = (offset >> PAGE_SHIFT) as usize;
        if frame >= self.tables.len() {
            self.tables.resize_with(frame + 1, || None);
        }
        let (word, bits) = crate::tlb::slots(offset, entry);
        let table = self.tables[frame].get_or_insert_with(|| self.spare_table.take().unwrap_or_default());
        table[word] |= bits;
        let new = self.attrs[frame] & attr::TABLE == 0;
        if new {
            self.attrs[frame] |= attr::TABLE;
            self.new_tables.push(offset);
        }
        new
    }

    /// Moves out the frames that became tables.
    pub fn take_new_tables(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.new_tables)
    }

    /// True when some TLB may have a translation through the table entries in `len` bytes at `offset`, inside
    /// one frame.
    pub fn uses_table(&self, offset: u64, len: u32) -> bool {
        let Some(Some(used)) = self.tables.get((offset >> PAGE_SHIFT) as usize) else { return false };
        (offset >> 2..=offset + u64::from(len) - 1 >> 2).any(|slot| {
            let (word, bits) = crate::tlb::slots(slot << 2, 2);
            used[word] & bits != 0
        })
    }

    /// How many of `len` bytes at `offset`, inside one frame, can be stored to before a store that matters to
    /// an engine: to code, to a table entry in use, to what is watched.
    pub fn unheard(&self, offset: u64, len: u64) -> u64 {
        let attrs = self.attrs(offset);
        if attrs & attr::WATCH != 0 {
            return 0;
        }
        let mut len = len;
        if attrs & attr::CODE != 0 {
            let code = self.code(offset);
            if code == 0 {
                return 0;
            }
            let at = offset % PAGE_SIZE;
            let next = code & (u64::MAX << (at / GRANULE));
            if next != 0 {
                len = len.min((u64::from(next.trailing_zeros()) * GRANULE).saturating_sub(at));
            }
        }
        if len == 0 || attrs & attr::TABLE == 0 || !self.uses_table(offset, len as u32) {
            return len;
        }
        (0..len).step_by(4).find(|at| self.uses_table(offset + at, 4)).unwrap_or(len)
    }

    /// No TLB has a translation through the table entry with the four bytes at `offset` any more.
    pub fn release_table(&mut self, offset: u64) {
        let frame = (offset >> PAGE_SHIFT) as usize;
        let Some(Some(used)) = self.tables.get_mut(frame) else { return };
        let (word, bits) = crate::tlb::slots(offset, 2);
        used[word] &= !bits;
        if **used == [0; 16] {
            self.spare_table = self.tables[frame].take();
            self.attrs[frame] &= !attr::TABLE;
        }
    }

    /// All TLBs are empty.
    pub fn forget_tables(&mut self) {
        for (frame, table) in self.tables.iter_mut().enumerate() {
            if table.take().is_some() {
                self.attrs[frame] &= !attr::TABLE;
            }
        }
        self.new_tables.clear();
    }

    /// [`Memory::barrier`] for a page walker that sets an accessed or dirty bit, which outdates
    /// no cached translation. Returns the frame's attributes.
    pub fn barrier_walker(&mut self, offset: u64, len: u32) -> u8 {
        let frame = (offset >> PAGE_SHIFT) as usize;
        let attrs = self.attrs[frame];
        if attrs & attr::CLEAN != 0 {
            self.attrs[frame] &= !attr::CLEAN;
            self.dirty.push(frame as u32);
        }
        if attrs & attr::CODE != 0 {
            let code = self.code(offset);
            if code == 0 || code & granules(offset, len.into()) != 0 {
                self.code_hits.push(Hit { offset, len });
            }
        }
        if attrs & attr::WATCH != 0 {
            self.touch(offset, len, true);
        }
        attrs
    }

    /// Tells that `len` bytes at `offset`, inside one frame with [`attr::WATCH`], are being loaded.
    pub fn barrier_read(&mut self, offset: u64, len: u32) {
        self.touch(offset, len, false);
    }

    #[cold]
    fn touch(&mut self, offset: u64, len: u32, write: bool) {
        for Watched { part, offset: at } in &self.watched {
            let Some(at) = *at else { continue };
            let mut start = offset.max(at);
            let end = (offset + u64::from(len)).min(at + part.len);
            if !(if write { part.write } else { part.read }) {
                continue;
            }
            while start < end {
                let len = (end - start).min(8) as u8;
                let (addr, old) = (part.addr + (start - at), self.value(start, len));
                self.touches.push(Touch { addr, offset: start, len, write, old });
                start += u64::from(len);
            }
        }
    }

    /// The little-endian value of `len` (at most 8) bytes at `offset`.
    pub fn value(&self, offset: u64, len: u8) -> u64 {
        let mut b = [0; 8];
        let n = usize::from(len);
        b[..n].copy_from_slice(&self.bytes[offset as usize..offset as usize + n]);
        u64::from_le_bytes(b)
    }

    /// Watches these places from now on, and no others.
    pub fn set_watches(&mut self, watches: &[Watch]) {
        self.touches.clear();
        if self.watches == watches {
            return;
        }
        self.watches = watches.to_vec();
        self.epoch += 1;
        self.place_watches();
    }

    /// Finds out where the watches lie in the memory map.
    fn place_watches(&mut self) {
        let frames = |w: &Watched| {
            let first = w.offset.map_or(1, |o| o >> PAGE_SHIFT);
            first..=w.offset.map_or(0, |o| (o + w.part.len - 1) >> PAGE_SHIFT)
        };
        for frame in self.watched.iter().flat_map(frames) {
            self.attrs[frame as usize] &= !attr::WATCH;
        }
        self.watched.clear();
        for &watch in &self.watches {
            let (mut addr, mut left) = (watch.addr, watch.len);
            while left > 0 {
                let len = left.min(PAGE_SIZE - addr % PAGE_SIZE);
                let offset = match self.place(addr) {
                    Place::Ram(o) | Place::Rom(o) => Some(o),
                    Place::Bus => None,
                };
                match self.watched.last_mut() {
                    Some(w)
                        if left < watch.len
                            && w.part.addr.wrapping_add(w.part.len) == addr
                            && w.offset.map(|o| o + w.part.len) == offset =>
                    {
                        w.part.len += len;
                    }
                    _ => self.watched.push(Watched { part: Watch { addr, len, ..watch }, offset }),
                }
                left -= len;
                addr = addr.wrapping_add(len);
            }
        }
        for frame in self.watched.iter().flat_map(frames) {
            self.attrs[frame as usize] |= attr::WATCH;
        }
    }

    /// True when an access to the bus is one to what is watched.
    #[must_use]
    pub fn watched_on_bus(&self, addr: PhysAddr, size: u8, write: bool) -> bool {
        self.watched.iter().any(|Watched { part, offset }| {
            let wanted = if write { part.write } else { part.read };
            let last = addr.saturating_add(u64::from(size.max(1)) - 1);
            offset.is_none() && wanted && part.addr <= last && addr <= part.addr.saturating_add(part.len - 1)
        })
    }

    /// Moves the accesses to watched memory since the last call out.
    pub fn take_touches(&mut self) -> Vec<Touch> {
        std::mem::take(&mut self.touches)
    }

    /// True when accesses to watched memory wait to be reported.
    #[inline]
    pub fn has_touches(&self) -> bool {
        !self.touches.is_empty()
    }

    /// True when accesses wait for an engine to act on.
    #[inline]
    pub fn has_hits(&self) -> bool {
        !self.code_hits.is_empty() || !self.table_hits.is_empty() || !self.touches.is_empty()
    }

    /// True when stores into code wait.
    #[inline]
    pub fn has_code_hits(&self) -> bool {
        !self.code_hits.is_empty()
    }

    /// True when stores into page tables wait.
    #[inline]
    pub fn has_table_hits(&self) -> bool {
        !self.table_hits.is_empty()
    }

    /// True when stores into page tables wait, and nothing else.
    #[inline]
    pub fn only_table_hits(&self) -> bool {
        !self.table_hits.is_empty() && self.code_hits.is_empty() && self.touches.is_empty()
    }

    /// Moves the stores into code frames since the last call into `into`.
    pub fn take_code_hits(&mut self, into: &mut Vec<Hit>) {
        into.append(&mut self.code_hits);
    }

    /// Moves the stores into page tables since the last call into `into`.
    pub fn take_table_hits(&mut self, into: &mut Vec<Hit>) {
        into.append(&mut self.table_hits);
    }

    /// Marks every frame clean and returns the frames written since `account` asked last (the
    /// first time: since they were zero), sorted.
    pub fn take_dirty(&mut self, account: Account) -> Vec<u32> {
        let words = self.attrs.len().div_ceil(64);
        for pending in &mut self.pending {
            pending.resize(words, 0);
            for &frame in &self.dirty {
                pending[frame as usize / 64] |= 1 << (frame % 64);
            }
        }
        if !self.dirty.is_empty() {
            self.write_epoch += 1;
            for frame in self.dirty.drain(..) {
                self.attrs[frame as usize] |= attr::CLEAN;
            }
        }
        let mut frames = Vec::new();
        for (i, word) in self.pending[account as usize].iter_mut().enumerate() {
            let mut bits = std::mem::take(word);
            while bits != 0 {
                frames.push(i as u32 * 64 + bits.trailing_zeros());
                bits &= bits - 1;
            }
        }
        frames
    }

    /// The bytes of some frames, in order, to put back what a snapshot holds. [`Memory::put_back`] must be told of
    /// each that changed.
    pub fn frames_mut(&mut self, frames: &[u32]) -> Vec<&mut [u8; PAGE_SIZE as usize]> {
        let (mut rest, mut passed) = (&mut self.bytes[..], 0);
        let take = |&frame: &u32| {
            let (_, from) = std::mem::take(&mut rest).split_at_mut((frame as usize - passed) << PAGE_SHIFT);
            let (bytes, after) = from.split_first_chunk_mut()?;
            (rest, passed) = (after, frame as usize + 1);
            Some(bytes)
        };
        frames.iter().map_while(take).collect()
    }

    /// True when something cached depends on the frame's bytes: of such a one it matters to [`Memory::put_back`]
    /// whether they changed.
    pub fn is_cached(&self, frame: u32) -> bool {
        self.attrs[frame as usize] & (attr::CODE | attr::TABLE) != 0
    }

    /// Tells that a frame's bytes were put back as they were in a snapshot. Everything cached from the old bytes
    /// is dropped, watches are not told. Snapshots' account must be empty, and stays so.
    pub fn put_back(&mut self, frame: u32) {
        let attrs = self.attrs[frame as usize];
        let all = Hit { offset: u64::from(frame) << PAGE_SHIFT, len: PAGE_SIZE as u32 };
        if attrs & attr::CODE != 0 {
            self.code_hits.push(all);
        }
        if attrs & attr::TABLE != 0 {
            self.table_hits.push(all);
        }
        let digest = &mut self.pending[Account::Digest as usize];
        if let Some(word) = digest.get_mut(frame as usize / 64) {
            *word |= 1 << (frame % 64);
        }
    }

    /// Reads physical memory for a device or a debugger. Bytes outside memory read as 0xff.
    pub fn read(&self, mut addr: PhysAddr, mut into: &mut [u8]) {
        while !into.is_empty() {
            let n = into.len().min((PAGE_SIZE - addr % PAGE_SIZE) as usize);
            let (head, rest) = into.split_at_mut(n);
            match self.place(addr) {
                Place::Ram(o) | Place::Rom(o) => {
                    head.copy_from_slice(&self.bytes[o as usize..o as usize + n]);
                }
                Place::Bus => head.fill(0xff),
            }
            into = rest;
            addr = addr.wrapping_add(n as u64);
        }
    }

    /// Writes physical memory for a device, through the barrier. Bytes outside RAM are dropped.
    pub fn write(&mut self, mut addr: PhysAddr, mut data: &[u8]) {
        while !data.is_empty() {
            let n = data.len().min((PAGE_SIZE - addr % PAGE_SIZE) as usize);
            let (head, rest) = data.split_at(n);
            if let Place::Ram(o) = self.place(addr) {
                self.barrier(o, n as u32);
                self.bytes[o as usize..o as usize + n].copy_from_slice(head);
            }
            data = rest;
            addr = addr.wrapping_add(n as u64);
        }
    }

    /// Puts bytes into RAM or ROM, before power-on or when a state is restored.
    /// Returns false when part of the range is not memory.
    #[must_use]
    pub fn load(&mut self, mut addr: PhysAddr, mut data: &[u8]) -> bool {
        while !data.is_empty() {
            let n = data.len().min((PAGE_SIZE - addr % PAGE_SIZE) as usize);
            let (head, rest) = data.split_at(n);
            match self.place(addr) {
                Place::Ram(o) | Place::Rom(o) => {
                    self.barrier(o, n as u32);
                    self.bytes[o as usize..o as usize + n].copy_from_slice(head);
                }
                Place::Bus => return false,
            }
            data = rest;
            addr = addr.wrapping_add(n as u64);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_follows_the_memory_map() {
        let mut mem = Memory::new(0x4000).unwrap();
        let region = |start, offset| Region { start, len: 0x1000, offset, writable: true };
        mem.set_regions(vec![region(0, 0)]).unwrap();
        mem.set_watches(&[Watch { addr: 0x2ff8, len: 16, read: false, write: true }]);
        assert!(mem.watched_on_bus(0x2ff0, 16, true) && mem.watched_on_bus(0x3007, 1, true));
        assert!(!mem.watched_on_bus(0x2ff0, 8, true) && !mem.watched_on_bus(0x3008, 1, true));
        assert!(!mem.watched_on_bus(0x3000, 1, false), "loads are not watched");
        for offset in [0x1000, 0x3000] {
            let epoch = mem.epoch();
            mem.set_regions(vec![region(0, 0), region(0x2000, offset)]).unwrap();
            assert_ne!(mem.epoch(), epoch);
            mem.write(0x2ff0, &[7; 16]);
            let touches = mem.take_touches();
            assert_eq!(
                touches.iter().map(|t| (t.addr, t.offset, t.len)).collect::<Vec<_>>(),
                [(0x2ff8, offset + 0xff8, 8)]
            );
            assert_eq!(mem.attrs(offset) & attr::WATCH, attr::WATCH);
            assert!(!mem.watched_on_bus(0x2ff8, 8, true) && mem.watched_on_bus(0x3000, 8, true));
        }
        assert_eq!(mem.attrs(0x1000) & attr::WATCH, 0, "the old place is free");
        mem.set_watches(&[]);
        assert_eq!(mem.attrs(0x3000) & attr::WATCH, 0);
    }

    #[test]
    fn stores_beside_code_are_not_told() {
        let mut mem = Memory::new(0x4000).unwrap();
        mem.set_regions(vec![Region { start: 0, len: 0x4000, offset: 0, writable: true }]).unwrap();
        let hits = |mem: &mut Memory| {
            let mut hits = Vec::new();
            mem.take_code_hits(&mut hits);
            hits.len()
        };
        assert!(mem.add_code(0x1000, granules(0x1100, 0x50)), "it becomes code");
        assert!(!mem.add_code(0x1000, granules(0x1f80, 0x40)), "it is code");
        assert_eq!(mem.code(0x1234), 3 << 4 | 1 << 62);
        for (at, len, told) in
            [(0x10ff, 1, 0), (0x10ff, 2, 1), (0x117f, 1, 1), (0x1180, 0xe00, 0), (0x1000, 0x1000, 1)]
        {
            mem.write(at, &vec![1; len]);
            assert_eq!(hits(&mut mem), told, "{len} at {at:#x}");
        }
        assert_eq!(mem.unheard(0x10f0, 0x100), 0x10);
        assert_eq!(mem.unheard(0x1104, 8), 0);
        assert_eq!(mem.unheard(0x1180, 0xe80), 0xe00);
        assert_eq!(mem.unheard(0x1fc0, 0x40), 0x40);
        // The engine decides about a frame without any.
        mem.keep_code(0x1000, 0);
        mem.write(0x1000, &[1]);
        assert_eq!((hits(&mut mem), mem.unheard(0x1000, 8)), (1, 0));
        mem.forget_code(0x1000);
        mem.write(0x1000, &[1]);
        assert_eq!((hits(&mut mem), mem.unheard(0x1000, 8)), (0, 8));
        assert!(mem.add_code(0x1000, 1), "it becomes code again");
    }

    #[test]
    fn a_long_store_is_told_in_parts() {
        let mut mem = Memory::new(0x4000).unwrap();
        let all = Region { start: 0, len: 0x4000, offset: 0, writable: true };
        mem.set_regions(vec![all]).unwrap();
        mem.set_watches(&[Watch { addr: 0xffc, len: 20, read: false, write: true }]);
        mem.write(0xff0, &[1; 64]);
        let touches: Vec<_> = mem.take_touches().iter().map(|t| (t.addr, t.len)).collect();
        assert_eq!(touches, [(0xffc, 4), (0x1000, 8), (0x1008, 8)]);
    }
}
