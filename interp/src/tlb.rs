//! The software TLB: a cache that nobody can see.
//!
//! A translation is a function of the page-table root, of a few mode bits and of the table
//! entries that it was walked through. The first two are the *key* of an address space; the TLB
//! keeps the translations of several spaces, so that neither a context switch nor a change of
//! privilege flushes anything. The entries are watched: frames that were walked through have
//! [`TABLE`](crate::mem::attr::TABLE), and a store to an entry that a cached translation came from drops that
//! translation at the next instruction boundary; the rest of the step looks nothing up. So flush
//! instructions mean nothing here, and a guest behaves as if there were no TLB.
//!
//! An entry for writing exists only for a frame without attributes, whose dirty bit is set. For other frames there are
//! entries of their own: stores through them need no walk, but pass the barrier.

use crate::mem::{Hit, Memory, PAGE_SHIFT, PAGE_SIZE};
use std::mem::offset_of;
use std::sync::atomic::{AtomicU64, Ordering};

/// Entries for one kind of access in one space, a power of two. Large, for whoever follows pointers: what is not
/// used costs nothing.
pub const WAYS: usize = 4096;
/// Kinds of entries: those of [`Access`], and [`BARRED`].
const KINDS: usize = 4;
/// Entries for writing to frames with attributes.
const BARRED: usize = 3;
/// Entries of one space.
const SPACE: usize = WAYS * KINDS;
/// Address spaces kept; the last is never filled.
const SPACES: usize = 16;
/// The space that is never filled: every access takes the slow path.
const UNCACHED: usize = SPACES - 1;
/// Neighbouring entries that are looked at together when translations are dropped.
const GROUP: usize = 16;
/// Words with a bit for each group of entries for one kind of access in one space.
const WORDS: usize = WAYS / GROUP / 64;

/// Kinds of access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Data read.
    Read = 0,
    /// Data write.
    Write = 1,
    /// Instruction fetch.
    Fetch = 2,
}

/// One cached translation. Compiled code reads it: its layout is fixed.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Entry {
    /// Linear address of the page; in an empty entry that of a page which belongs elsewhere.
    pub tag: u64,
    /// Offset of the page's frame in the host mapping.
    pub offset: u64,
}

/// What a translation depends on besides memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Key {
    /// Where the tables begin (x86: CR3, AArch64: TTBR0), or 0 without paging.
    pub root: u64,
    /// Further registers (x86: PAE's page-directory-pointer registers; AArch64: TTBR1, TCR, MAIR).
    pub more: [u64; 4],
    /// Mode bits, see the architectures' `mmu`.
    pub mode: u32,
}

/// Which translations came through a page-table frame.
struct Table {
    /// Linear address that the frame's first entry translates.
    base: u64,
    /// Binary logarithm of the bytes that one entry translates.
    span: u32,
    /// Binary logarithm of an entry's bytes.
    entry: u32,
    /// Seen at another place or level too.
    shared: bool,
    /// Spaces with translations that came through it, one bit each.
    spaces: u16,
    /// Entries that something cached came from, one bit for each four bytes of them.
    used: [u64; 16],
    /// The only entry that everything cached came through on its way to here, by its place, and that
    /// frame's `era` then.
    parent: Parent,
    /// Changes whenever a used entry of the frame is written.
    era: u64,
}

/// See [`Table::parent`].
#[derive(Clone, Copy, PartialEq, Eq)]
enum Parent {
    /// It is where the walks begin.
    None,
    Entry {
        offset: u64,
        era: u64,
    },
    /// There were several, or one that was written since.
    Unknown,
}

/// Where permissions to write to a frame were cached since [`Tlb::protect`].
#[derive(Clone, Copy, PartialEq, Eq)]
enum Writers {
    /// At these ways, in these spaces, one bit each.
    Few([(u16, u16); 4]),
    Many,
}

impl Writers {
    const NONE: Self = Self::Few([(0, 0); 4]);
}

/// The software TLB of one CPU.
pub struct Tlb {
    /// Each an [`Entry`]: tag and offset. Memory that the host gives zeroed, a page when it is first written.
    entries: Box<[[u64; 2]; SPACE * SPACES]>,
    /// By space and kind of access the groups of entries that may hold something.
    used: Box<[[u64; WORDS]; KINDS * SPACES]>,
    keys: [Option<Key>; SPACES],
    current: usize,
    /// Which will be the current space again after [`Tlb::suspend`].
    suspended: Option<usize>,
    /// The current space before this one.
    before: usize,
    next_victim: usize,
    /// Changes whenever a space gets another key.
    changes: u64,
    /// By frame number.
    tables: Vec<Option<Box<Table>>>,
    /// Room for one, left by the last that ended.
    spare: Option<Box<Table>>,
    last_era: u64,
    /// By frame number.
    writers: Vec<Writers>,
    /// See [`Tlb::stamp`].
    stamps: [u64; SPACES],
    last_stamp: u64,
    /// How often permissions to write were dropped.
    write_drops: u64,
    size: Size,
    /// Translations cached since the start.
    fills: u64,
}

/// How much a TLB holds. Tests make it small: nothing that a guest sees may depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Translations for one kind of access in one space, a power of two up to [`WAYS`].
    pub ways: usize,
    /// Address spaces, from 1 up to 15.
    pub spaces: usize,
}

impl Default for Size {
    fn default() -> Self {
        Self { ways: WAYS, spaces: UNCACHED }
    }
}

impl Default for Tlb {
    fn default() -> Self {
        let mut entries = vec![[0; 2]; SPACE * SPACES].into_boxed_slice();
        for i in (0..SPACE * SPACES).step_by(WAYS) {
            entries[i] = empty(i);
        }
        let Ok(entries) = entries.try_into() else { unreachable!("the size is the constant's") };
        // No two TLBs have a stamp in common. Nobody but compiled code looks at them.
        static TLBS: AtomicU64 = AtomicU64::new(1);
        let last_stamp = TLBS.fetch_add(1, Ordering::Relaxed) << 40;
        Self {
            entries,
            used: Box::new([[0; WORDS]; KINDS * SPACES]),
            keys: [None; SPACES],
            current: UNCACHED,
            suspended: None,
            before: UNCACHED,
            next_victim: 0,
            changes: 0,
            tables: Vec::new(),
            spare: None,
            last_era: 0,
            writers: Vec::new(),
            stamps: [last_stamp; SPACES],
            last_stamp,
            write_drops: 0,
            size: Size::default(),
            fills: 0,
        }
    }
}

/// Which entry for `access` has the translation of `lin`, of one space's. Code has less to choose from than data, and
/// lies at round distances: fetches take more of the address.
#[inline(always)]
pub const fn way(lin: u64, access: Access) -> usize {
    let page = (lin >> PAGE_SHIFT) as usize;
    let page = if matches!(access, Access::Fetch) { page ^ page >> WAYS.trailing_zeros() } else { page };
    page & (WAYS - 1)
}

/// An empty entry: its tag is that of a page whose translations lie elsewhere, the first one's or the second's.
const fn empty(index: usize) -> [u64; 2] {
    [if index.is_multiple_of(WAYS) { PAGE_SIZE } else { 0 }, 0]
}

/// Offsets of what compiled code reads, and of the current space's number, which it may set to that of another space
/// that has a key.
impl Tlb {
    /// Of the current space's number, a `usize`.
    pub const CURRENT: i32 = offset_of!(Self, current) as i32;
    /// Of [`Tlb::changes`].
    pub const CHANGES: i32 = offset_of!(Self, changes) as i32;
    /// Of [`Tlb::write_drops`].
    pub const WRITE_DROPS: i32 = offset_of!(Self, write_drops) as i32;
    /// Of the spaces' [`Tlb::stamp`]s.
    pub const STAMPS: i32 = offset_of!(Self, stamps) as i32;
}

impl Tlb {
    /// A TLB of this size; what is out of bounds is brought into them.
    pub fn with_size(size: Size) -> Self {
        let ways = size.ways.clamp(1, WAYS).next_power_of_two();
        Self { size: Size { ways, spaces: size.spaces.clamp(1, UNCACHED) }, ..Self::default() }
    }

    /// Translations cached since the start: every miss that was no fault.
    pub fn fills(&self) -> u64 {
        self.fills
    }

    /// The entry where a translation of `lin` for `access` in the current space would be.
    #[inline(always)]
    pub fn entry(&self, lin: u64, access: Access) -> Entry {
        let [tag, offset] = self.entries[self.index(lin, access)];
        Entry { tag, offset }
    }

    #[inline(always)]
    fn index(&self, lin: u64, access: Access) -> usize {
        (self.current * SPACE + access as usize * WAYS + way(lin, access)) & (SPACE * SPACES - 1)
    }

    /// The first entry of the current space, for compiled code: `access * WAYS + way` from here.
    pub fn space(&self) -> *const Entry {
        self.entries[self.current * SPACE..].as_ptr().cast()
    }

    /// A number that the current space gets whenever a translation in it may have ceased to hold, and
    /// that nothing else ever gets: while it stays, what was once found through the space still holds.
    pub fn stamp(&self) -> u64 {
        self.stamps[self.current]
    }

    /// Changes whenever permissions to write were dropped for any other reason than those.
    pub fn write_drops(&self) -> u64 {
        self.write_drops
    }

    fn new_stamp(&mut self, space: usize) {
        self.last_stamp += 1;
        self.stamps[space] = self.last_stamp;
    }

    /// Makes the space of `key` the current one; `None` for the one that caches nothing.
    pub fn select(&mut self, key: Option<Key>) {
        let suspended = self.suspended.is_some();
        self.resume();
        self.choose(key);
        if suspended {
            self.suspend();
        }
    }

    /// A store hit a table entry that something cached came through. Until [`table_hits`] has dealt with it, at the
    /// next boundary, nothing is looked up: the step's other accesses walk, and find what was stored. What they cache
    /// is dropped by the hit if it came through the entry before.
    pub fn suspend(&mut self) {
        if self.suspended.is_none() {
            self.suspended = Some(std::mem::replace(&mut self.current, UNCACHED));
        }
    }

    fn resume(&mut self) {
        if let Some(space) = self.suspended.take() {
            self.current = space;
        }
    }

    fn choose(&mut self, key: Option<Key>) {
        let Some(key) = key else {
            self.current = UNCACHED;
            return;
        };
        if self.keys[self.current] == Some(key) {
            return;
        }
        // Mostly back to where it came from.
        let before = std::mem::replace(&mut self.before, self.current);
        if self.keys[before] == Some(key) {
            self.current = before;
            return;
        }
        if let Some(i) = self.keys.iter().position(|k| *k == Some(key)) {
            self.current = i;
            return;
        }
        self.changes += 1;
        let victim = self.next_victim;
        self.next_victim = (victim + 1) % self.size.spaces;
        self.clear_space(victim);
        self.keys[victim] = Some(key);
        self.current = victim;
    }

    /// False while nothing is looked up.
    pub fn caches(&self) -> bool {
        self.current != UNCACHED
    }

    /// The space where translations are cached, also while nothing is looked up in it; to come back to with
    /// [`Tlb::set_current`].
    pub fn current(&self) -> usize {
        self.suspended.unwrap_or(self.current)
    }

    /// Goes back to a space that [`Tlb::current`] gave, while no other was selected anew since.
    pub fn set_current(&mut self, space: usize) {
        *self.suspended.as_mut().unwrap_or(&mut self.current) = space;
    }

    /// Empties the entries of one kind in a space whose tag is one of these.
    fn drop_where(&mut self, space: usize, kind: usize, drop: impl Fn(&[u64; 2]) -> bool) {
        let kind = space * KINDS + kind;
        for word in 0..WORDS {
            let mut bits = self.used[kind][word];
            while bits != 0 {
                let group = word * 64 + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                let start = kind * WAYS + group * GROUP;
                for i in start..start + GROUP {
                    if drop(&self.entries[i]) {
                        self.entries[i] = empty(i);
                    }
                }
            }
        }
    }

    /// Empties all entries of one kind in a space.
    fn drop_all(&mut self, space: usize, kind: usize) {
        self.drop_where(space, kind, |_| true);
        self.used[space * KINDS + kind] = [0; WORDS];
    }

    /// Empties all entries of a space.
    fn drop_space(&mut self, space: usize) {
        self.new_stamp(space);
        (0..KINDS).for_each(|kind| self.drop_all(space, kind));
    }

    fn clear_space(&mut self, space: usize) {
        self.drop_space(space);
        self.keys[space] = None;
    }

    /// The space of `key`, if it has one.
    pub fn find(&self, key: &Key) -> Option<usize> {
        self.keys.iter().position(|k| k.as_ref() == Some(key))
    }

    /// As [`Tlb::space`], of a space that [`Tlb::find`] gave, until [`Tlb::changes`] gives something else; of `None`
    /// one that is never filled.
    pub fn space_at(&self, space: Option<usize>) -> *const Entry {
        self.entries[space.unwrap_or(UNCACHED) * SPACE..].as_ptr().cast()
    }

    /// Changes whenever a space gets another key.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Drops every translation. With the other CPUs' TLBs cleared too, [`Memory::forget_tables`] follows.
    pub fn clear(&mut self) {
        self.changes += 1;
        for s in 0..UNCACHED {
            if self.keys[s].is_some() {
                self.clear_space(s);
            }
        }
        self.tables.clear();
        self.current = UNCACHED;
        self.suspended = None;
    }

    /// Drops every translation, keeps the current space.
    fn clear_entries(&mut self) {
        (0..UNCACHED).for_each(|s| self.drop_space(s));
        self.tables.clear();
    }

    /// Caches that `lin`'s page lies at `offset` for `access`.
    pub fn fill(&mut self, lin: u64, access: Access, offset: u64) {
        if self.current() == UNCACHED {
            return;
        }
        self.fills += 1;
        self.put(lin, access as usize, way(lin, access), offset);
        if access == Access::Write {
            self.note_writer(lin, offset);
        }
    }

    fn put(&mut self, lin: u64, kind: usize, way: usize, offset: u64) {
        let space = self.current();
        if self.size.ways < WAYS {
            // The entries that a smaller table would have in this place.
            let pages = (self.size.ways as u64 - 1) << PAGE_SHIFT;
            self.drop_where(space, kind, |e| (e[0] ^ lin) & pages == 0);
        }
        let kind = space * KINDS + kind;
        self.entries[kind * WAYS + way] = [lin & !(PAGE_SIZE - 1), offset & !(PAGE_SIZE - 1)];
        let group = way / GROUP;
        self.used[kind][group / 64] |= 1 << (group % 64);
    }

    /// Caches what follows a store to `lin` whose dirty bit is set: the permission to write to its page's frame, or
    /// while that has attributes the place alone.
    pub fn fill_stored(&mut self, mem: &Memory, lin: u64, offset: u64) {
        if mem.attrs(offset) == 0 {
            self.fill(lin, Access::Write, offset);
        } else if self.current() != UNCACHED {
            self.put(lin, BARRED, way(lin, Access::Write), offset);
        }
    }

    /// Where `size` bytes at `lin` lie that may be stored to by way of the barrier, if they lie in one page and that is
    /// known.
    #[inline]
    pub fn barred(&self, lin: u64, size: u8) -> Option<u64> {
        let i = self.current * SPACE + BARRED * WAYS + way(lin, Access::Write);
        let [tag, offset] = self.entries[i & (SPACE * SPACES - 1)];
        let d = lin.wrapping_sub(tag);
        (d <= PAGE_SIZE - u64::from(size)).then(|| offset + d)
    }

    fn note_writer(&mut self, lin: u64, offset: u64) {
        let frame = (offset >> PAGE_SHIFT) as usize;
        if frame >= self.writers.len() {
            self.writers.resize(frame + 1, Writers::NONE);
        }
        let way = way(lin, Access::Write) as u16;
        let space = 1 << self.current();
        let Writers::Few(few) = &mut self.writers[frame] else { return };
        match few.iter_mut().find(|(w, spaces)| *w == way || *spaces == 0) {
            Some(place) => *place = (way, place.1 | space),
            None => self.writers[frame] = Writers::Many,
        }
    }

    /// Notes that a translation of `lin`, about to be cached, came through these table entries of
    /// `1 << entry` bytes, from the first to the last: the host offset of each, and the binary logarithm
    /// of the bytes that it translates.
    pub fn note_walk(
        &mut self,
        mem: &mut Memory,
        lin: u64,
        entry: u32,
        steps: impl IntoIterator<Item = (u64, u32)>,
    ) {
        let mut parent = Parent::None;
        let space = 1 << self.current();
        for (pte, span) in steps {
            let frame = (pte >> PAGE_SHIFT) as usize;
            // As 48 bits: the halves of the address space have one table at the top.
            let base = (lin >> span << span).wrapping_sub(((pte & (PAGE_SIZE - 1)) >> entry) << span);
            let base = base << 16 >> 16;
            if frame >= self.tables.len() {
                self.tables.resize_with(frame + 1, || None);
            }
            let table = self.tables[frame].get_or_insert_with(|| {
                self.last_era += 1;
                let era = self.last_era;
                let new = Table { base, span, entry, shared: false, spaces: 0, used: [0; 16], parent, era };
                match self.spare.take() {
                    Some(mut room) => {
                        *room = new;
                        room
                    }
                    None => Box::new(new),
                }
            });
            table.spaces |= space;
            if (table.base, table.span, table.entry) != (base, span, entry) {
                table.shared = true;
            }
            if table.parent != parent {
                table.parent = Parent::Unknown;
            }
            parent = Parent::Entry { offset: pte, era: table.era };
            let (word, bits) = slots(pte, entry);
            if table.used[word] & bits != bits {
                table.used[word] |= bits;
                if mem.use_table(pte, entry) {
                    self.protect(pte);
                }
            }
        }
    }

    /// True when something cached came from the table entry whose four bytes at `offset` these are.
    fn uses(&self, offset: u64) -> bool {
        let (word, bits) = slots(offset, 2);
        let table = self.tables.get((offset >> PAGE_SHIFT) as usize);
        matches!(table, Some(Some(t)) if t.used[word] & bits != 0)
    }

    /// Drops what came from the table entries that `hit` overwrote. Adds to `ended` the entries further up
    /// that nothing comes through any more by this: place, and binary logarithm of the size.
    fn table_hit(&mut self, hit: Hit, ended: &mut Vec<(u64, u32)>) {
        let frame = (hit.offset >> PAGE_SHIFT) as usize;
        let Some(Some(table)) = self.tables.get_mut(frame) else { return };
        let (first, last) = (hit.offset, hit.offset + u64::from(hit.len) - 1);
        let entry = table.entry;
        let (spaces, shared) = (table.spaces, table.shared);
        if shared {
            // Entries of other sizes may have their bits elsewhere in the words that were hit.
            if (first >> 2..=last >> 2).any(|slot| {
                let (word, bits) = slots(slot << 2, 2);
                table.used[word] & bits != 0
            }) {
                self.clear_entries();
            }
            return;
        }
        let mut drop = [0; 4];
        let mut drops = 0;
        for index in first >> entry..=last >> entry {
            let (word, bits) = slots(index << entry, entry);
            if table.used[word] & bits != 0 {
                table.used[word] &= !bits;
                if let Some(to) = drop.get_mut(drops) {
                    *to = table.base.wrapping_add((index & (PAGE_SIZE >> entry) - 1) << table.span);
                }
                drops += 1;
            }
        }
        if drops == 0 {
            return;
        }
        self.last_era += 1;
        table.era = self.last_era;
        let (span, empty) = (table.span, table.used == [0; 16]);
        if drops > drop.len() {
            self.clear_spaces(spaces);
        } else {
            drop[..drops].iter().for_each(|base| self.drop_range(*base, span, spaces));
        }
        if empty {
            self.end_table(frame, ended);
        }
    }

    /// Nothing comes through the frame any more: it may be in other use by now. If it was the only one
    /// behind an entry, nothing comes through that either.
    fn end_table(&mut self, mut frame: usize, ended: &mut Vec<(u64, u32)>) {
        while let Some(table) = self.tables[frame].take() {
            let parent = table.parent;
            self.spare = Some(table);
            let Parent::Entry { offset, era } = parent else { return };
            frame = (offset >> PAGE_SHIFT) as usize;
            let Some(Some(above)) = self.tables.get_mut(frame) else { return };
            if above.shared || above.era != era {
                return;
            }
            let (word, bits) = slots(offset, above.entry);
            above.used[word] &= !bits;
            ended.push((offset, above.entry));
            if above.used != [0; 16] {
                return;
            }
        }
    }

    /// Drops all translations in these spaces.
    fn clear_spaces(&mut self, spaces: u16) {
        (0..UNCACHED).filter(|s| spaces >> s & 1 != 0).for_each(|s| self.drop_space(s));
    }

    /// Drops the translations of `1 << span` bytes at `base` in these spaces.
    fn drop_range(&mut self, base: u64, span: u32, spaces: u16) {
        for s in (0..UNCACHED).filter(|s| spaces >> s & 1 != 0) {
            self.new_stamp(s);
            if span == PAGE_SHIFT {
                // The last are the barred ones, which lie where those for writing do.
                let kinds: [Access; KINDS] = [Access::Read, Access::Write, Access::Fetch, Access::Write];
                for (kind, access) in kinds.into_iter().enumerate() {
                    let i = s * SPACE + kind * WAYS + way(base, access);
                    // Addresses are compared as 48 bits: a table does not know the sign extension.
                    if (self.entries[i][0] ^ base) << 16 == 0 {
                        self.entries[i] = empty(i);
                    }
                }
            } else {
                for kind in 0..KINDS {
                    self.drop_where(s, kind, |e| (e[0] ^ base) << 16 >> 16 >> span == 0);
                }
            }
        }
    }

    /// Drops every permission to write.
    pub fn drop_writes(&mut self) {
        self.write_drops += 1;
        for s in 0..UNCACHED {
            self.drop_all(s, Access::Write as usize);
        }
    }

    /// Drops every permission to write to the frame at `offset`, which got an attribute.
    pub fn protect(&mut self, offset: u64) {
        let frame = offset & !(PAGE_SIZE - 1);
        let Some(writers) = self.writers.get_mut((offset >> PAGE_SHIFT) as usize) else { return };
        let writers = std::mem::replace(writers, Writers::NONE);
        if writers == Writers::NONE {
            return;
        }
        self.write_drops += 1;
        let Writers::Few(few) = writers else {
            for s in 0..UNCACHED {
                self.drop_where(s, Access::Write as usize, |e| e[1] == frame);
            }
            return;
        };
        for (way, spaces) in few {
            for s in (0..UNCACHED).filter(|s| spaces >> s & 1 != 0) {
                let i = s * SPACE + Access::Write as usize * WAYS + usize::from(way);
                if self.entries[i][1] == frame {
                    self.entries[i] = empty(i);
                }
            }
        }
    }
}

/// The bits of [`Table::used`] for the table entry of `1 << entry` bytes at `offset`: word, and mask.
pub(crate) fn slots(offset: u64, entry: u32) -> (usize, u64) {
    let slot = (offset & (PAGE_SIZE - 1)) >> 2;
    ((slot >> 6) as usize, (if entry == 3 { 3 } else { 1 }) << (slot & 63))
}

/// Drops what came from the table entries that stores hit, from every TLB of a machine.
pub fn table_hits(own: &mut Tlb, others: &mut [Tlb], mem: &mut Memory, hits: &[Hit]) {
    own.resume();
    others.iter_mut().for_each(Tlb::resume);
    let mut ended = Vec::new();
    for &hit in hits {
        own.table_hit(hit, &mut ended);
        others.iter_mut().for_each(|tlb| tlb.table_hit(hit, &mut ended));
        for slot in hit.offset >> 2..=hit.offset + u64::from(hit.len) - 1 >> 2 {
            ended.push((slot << 2, 2));
        }
    }
    for (offset, entry) in ended {
        for at in (offset..offset + (1 << entry)).step_by(4) {
            if mem.uses_table(at, 1) && !own.uses(at) && !others.iter().any(|tlb| tlb.uses(at)) {
                mem.release_table(at);
            }
        }
    }
}

impl std::fmt::Debug for Tlb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tlb").field("current", &self.current).finish_non_exhaustive()
    }
}
