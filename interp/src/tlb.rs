//! The software TLB: a cache that nobody can see.
//!
//! A translation is a function of the page-table root, of a few mode bits and of the table
//! entries that it was walked through. The first two are the *key* of an address space; the TLB
//! keeps the translations of several spaces, so that neither a context switch nor a change of
//! privilege flushes anything. The entries are watched: frames that were walked through have
//! [`attr::TABLE`], and a store to an entry that a cached translation came from drops that
//! translation at the next instruction boundary. So flush instructions mean nothing here, and a
//! guest behaves as if there were no TLB.
//!
//! An entry for writing exists only for a frame without attributes, whose dirty bit is set.

use crate::mem::{Hit, Memory, PAGE_SHIFT, PAGE_SIZE, attr};
use std::sync::atomic::{AtomicU64, Ordering};

/// Entries for one kind of access in one space, a power of two.
pub const WAYS: usize = 512;
/// Entries of one space: reads, writes, fetches, and a quarter unused to keep powers of two.
const SPACE: usize = WAYS * 4;
/// Address spaces kept; the last is never filled.
const SPACES: usize = 16;
/// The space that is never filled: every access takes the slow path.
const UNCACHED: usize = SPACES - 1;

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
#[derive(Clone)]
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
    /// Entries that something cached came from.
    used: [u64; 16],
    /// How often the last of those was overwritten.
    emptied: u8,
}

/// A frame that was so often overwritten where something came through it, and is left without anything that does, is
/// no table any more. Watching it again would cost more than a few needless looks at stores into it.
const EMPTIED: u8 = 64;

/// The software TLB of one CPU.
pub struct Tlb {
    entries: Box<[Entry; SPACE * SPACES]>,
    keys: [Option<Key>; SPACES],
    current: usize,
    next_victim: usize,
    /// Changes whenever a space gets another key.
    changes: u64,
    /// By frame number.
    tables: Vec<Option<Box<Table>>>,
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
        let mut entries = vec![Entry { tag: 0, offset: 0 }; SPACE * SPACES].into_boxed_slice();
        for (i, e) in entries.iter_mut().enumerate() {
            e.tag = empty_tag(i);
        }
        let Ok(entries) = entries.try_into() else { unreachable!("the size is the constant's") };
        // No two TLBs have a stamp in common. Nobody but compiled code looks at them.
        static TLBS: AtomicU64 = AtomicU64::new(1);
        let last_stamp = TLBS.fetch_add(1, Ordering::Relaxed) << 40;
        Self {
            entries,
            keys: [None; SPACES],
            current: UNCACHED,
            next_victim: 0,
            changes: 0,
            tables: Vec::new(),
            stamps: [last_stamp; SPACES],
            last_stamp,
            write_drops: 0,
            size: Size::default(),
            fills: 0,
        }
    }
}

/// The tag of an empty entry: a page whose translations lie in the neighbouring entry.
const fn empty_tag(index: usize) -> u64 {
    ((index as u64 & (WAYS as u64 - 1)) ^ 1) << PAGE_SHIFT
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
    pub fn entry(&self, lin: u64, access: Access) -> &Entry {
        &self.entries[self.index(lin, access)]
    }

    #[inline(always)]
    fn index(&self, lin: u64, access: Access) -> usize {
        let way = (lin >> PAGE_SHIFT) as usize & (WAYS - 1);
        (self.current * SPACE + access as usize * WAYS + way) & (SPACE * SPACES - 1)
    }

    /// The first entry of the current space, for compiled code: `access * WAYS + way` from here.
    pub fn space(&self) -> *const Entry {
        self.entries[self.current * SPACE..].as_ptr()
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
        let Some(key) = key else {
            self.current = UNCACHED;
            return;
        };
        if self.keys[self.current] == Some(key) {
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

    /// The current space, to come back to with [`Tlb::set_current`].
    pub fn current(&self) -> usize {
        self.current
    }

    /// Goes back to a space that [`Tlb::current`] gave, while no other was selected anew since.
    pub fn set_current(&mut self, space: usize) {
        self.current = space;
    }

    fn clear_space(&mut self, space: usize) {
        for i in space * SPACE..(space + 1) * SPACE {
            self.entries[i].tag = empty_tag(i);
        }
        self.keys[space] = None;
        self.new_stamp(space);
    }

    /// The space of `key`, if it has one.
    pub fn find(&self, key: &Key) -> Option<usize> {
        self.keys.iter().position(|k| k.as_ref() == Some(key))
    }

    /// As [`Tlb::space`], of a space that [`Tlb::find`] gave, until [`Tlb::changes`] gives something else; of `None`
    /// one that is never filled.
    pub fn space_at(&self, space: Option<usize>) -> *const Entry {
        self.entries[space.unwrap_or(UNCACHED) * SPACE..].as_ptr()
    }

    /// Changes whenever a space gets another key.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Drops every translation.
    pub fn clear(&mut self, mem: &mut Memory) {
        self.changes += 1;
        for s in 0..UNCACHED {
            if self.keys[s].is_some() {
                self.clear_space(s);
            }
        }
        for (frame, table) in self.tables.iter().enumerate() {
            if table.is_some() {
                mem.clear_attrs((frame as u64) << PAGE_SHIFT, attr::TABLE);
            }
        }
        self.tables.clear();
        self.current = UNCACHED;
    }

    /// Drops every translation, keeps the current space.
    fn clear_entries(&mut self) {
        for (i, e) in self.entries.iter_mut().enumerate() {
            e.tag = empty_tag(i);
        }
        for s in 0..UNCACHED {
            self.new_stamp(s);
        }
        for t in self.tables.iter_mut().flatten() {
            t.used = [0; 16];
        }
    }

    /// Caches that `lin`'s page lies at `offset` for `access`.
    pub fn fill(&mut self, lin: u64, access: Access, offset: u64) {
        if self.current == UNCACHED {
            return;
        }
        self.fills += 1;
        let i = self.index(lin, access);
        if self.size.ways < WAYS {
            // The entries that a smaller table would have in this place.
            let start = i & !(WAYS - 1);
            for j in (start + (i & (self.size.ways - 1))..start + WAYS).step_by(self.size.ways) {
                self.entries[j].tag = empty_tag(j);
            }
        }
        self.entries[i] = Entry { tag: lin & !(PAGE_SIZE - 1), offset: offset & !(PAGE_SIZE - 1) };
    }

    /// Notes that a translation of `lin`, about to be cached, came through the table entry of
    /// `1 << entry` bytes at host offset `pte`, which translates `1 << span` bytes. Returns true
    /// when the frame has become a watched table by this: writers must drop their permissions.
    pub fn note_table(&mut self, mem: &mut Memory, lin: u64, pte: u64, entry: u32, span: u32) -> bool {
        let frame = (pte >> PAGE_SHIFT) as usize;
        let index = (pte & (PAGE_SIZE - 1)) >> entry;
        let base = (lin >> span << span).wrapping_sub(index << span);
        if frame >= self.tables.len() {
            self.tables.resize(frame + 1, None);
        }
        let table = self.tables[frame].get_or_insert_with(|| {
            Box::new(Table { base, span, entry, shared: false, spaces: 0, used: [0; 16], emptied: 0 })
        });
        table.spaces |= 1 << self.current;
        if (table.base, table.span, table.entry) != (base, span, entry) {
            table.shared = true;
        }
        // 4-byte entries are the smallest: 1,024 of them.
        let bit = (pte & (PAGE_SIZE - 1)) >> 2;
        table.used[(bit >> 6) as usize] |= 1 << (bit & 63);
        let new = mem.attrs(pte) & attr::TABLE == 0;
        mem.add_attrs(pte, attr::TABLE);
        new
    }

    /// Drops what came from the table entries that `hit` overwrote.
    pub fn table_hit(&mut self, mem: &mut Memory, hit: Hit) {
        let frame = (hit.offset >> PAGE_SHIFT) as usize;
        let Some(Some(table)) = self.tables.get_mut(frame) else { return };
        let first = hit.offset & (PAGE_SIZE - 1);
        let last = first + u64::from(hit.len) - 1;
        let spaces = table.spaces;
        let mut drop = [(0, 0); 2];
        let mut drops = 0;
        let mut index = first >> table.entry;
        let mut all = false;
        while index <= last >> table.entry {
            let bit = index << table.entry >> 2;
            let word = &mut table.used[(bit >> 6) as usize];
            if *word >> (bit & 63) & 1 != 0 {
                if table.shared || drops == 2 {
                    all = true;
                    break;
                }
                *word &= !(1 << (bit & 63));
                drop[drops] = (table.base.wrapping_add(index << table.span), table.span);
                drops += 1;
            }
            index += 1;
        }
        if table.shared && !all {
            // Entries of other sizes may have their bits elsewhere in the words that were hit.
            all = (first >> 2..=last >> 2).any(|b| table.used[(b >> 6) as usize] >> (b & 63) & 1 != 0);
        }
        if all {
            self.clear_entries();
        } else {
            for &(base, span) in &drop[..drops] {
                self.drop_range(base, span, spaces);
            }
        }
        // Nothing comes through the frame any more: it may be in other use by now.
        if let Some(Some(table)) = self.tables.get_mut(frame)
            && table.used == [0; 16]
        {
            table.emptied += 1;
            if table.emptied == EMPTIED {
                self.tables[frame] = None;
                mem.clear_attrs(hit.offset, attr::TABLE);
            }
        }
    }

    /// Drops the translations of `1 << span` bytes at `base` in these spaces.
    fn drop_range(&mut self, base: u64, span: u32, spaces: u16) {
        for s in (0..UNCACHED).filter(|s| spaces >> s & 1 != 0) {
            self.new_stamp(s);
            if span == PAGE_SHIFT {
                let way = (base >> PAGE_SHIFT) as usize & (WAYS - 1);
                for access in [Access::Read, Access::Write, Access::Fetch] {
                    let i = s * SPACE + access as usize * WAYS + way;
                    // Addresses are compared as 48 bits: a table does not know the sign extension.
                    if (self.entries[i].tag ^ base) << 16 == 0 {
                        self.entries[i].tag = empty_tag(i);
                    }
                }
            } else {
                for i in s * SPACE..(s + 1) * SPACE {
                    if (self.entries[i].tag ^ base) << 16 >> 16 >> span == 0 {
                        self.entries[i].tag = empty_tag(i);
                    }
                }
            }
        }
    }

    /// Drops every permission to write.
    pub fn drop_writes(&mut self) {
        self.write_drops += 1;
        for s in 0..UNCACHED {
            if self.keys[s].is_some() {
                let start = s * SPACE + Access::Write as usize * WAYS;
                for i in start..start + WAYS {
                    self.entries[i].tag = empty_tag(i);
                }
            }
        }
    }

    /// Drops every permission to write to the frame at `offset`, which got an attribute.
    pub fn protect(&mut self, offset: u64) {
        self.write_drops += 1;
        let frame = offset & !(PAGE_SIZE - 1);
        for s in 0..UNCACHED {
            if self.keys[s].is_none() {
                continue;
            }
            let start = s * SPACE + Access::Write as usize * WAYS;
            for i in start..start + WAYS {
                if self.entries[i].offset == frame {
                    self.entries[i].tag = empty_tag(i);
                }
            }
        }
    }
}

impl std::fmt::Debug for Tlb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tlb").field("current", &self.current).finish_non_exhaustive()
    }
}
