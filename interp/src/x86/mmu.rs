//! Paging: translation of linear to physical addresses (SDM volume 3, chapter 4).

use super::exec::Exec;
use super::regs::{Cpu, cr0, cr4, efer};
use super::tlb::{Access, Key};
use super::trap::Trap;
use crate::mem::{Memory, PAGE_SIZE, PhysAddr, Place, attr};

/// Width of physical addresses that CPUID reports; higher bits of table entries are reserved.
pub const PHYS_BITS: u32 = 40;

/// Bits of paging-structure entries.
mod pte {
    pub const P: u64 = 1 << 0;
    pub const W: u64 = 1 << 1;
    pub const U: u64 = 1 << 2;
    pub const A: u64 = 1 << 5;
    pub const D: u64 = 1 << 6;
    pub const PS: u64 = 1 << 7;
    pub const NX: u64 = 1 << 63;
    /// Physical address bits of a 64-bit entry.
    pub const ADDR: u64 = (1 << super::PHYS_BITS) - 4096;
    /// Reserved: between the physical width and bit 51.
    pub const RESERVED: u64 = (1 << 52) - (1 << super::PHYS_BITS);
}

/// Bits of a page fault's error code (SDM volume 3, section 4.7).
mod code {
    pub const P: u16 = 1 << 0;
    pub const W: u16 = 1 << 1;
    pub const U: u16 = 1 << 2;
    pub const RSVD: u16 = 1 << 3;
    pub const I: u16 = 1 << 4;
}

/// Bits of [`Key::mode`].
mod mode {
    pub const PAGING: u32 = 1 << 0;
    pub const PAE: u32 = 1 << 1;
    pub const LONG: u32 = 1 << 2;
    pub const WP: u32 = 1 << 3;
    pub const NXE: u32 = 1 << 4;
    pub const SMEP: u32 = 1 << 5;
    /// SMAP applies to the accesses: CR4.SMAP is set and RFLAGS.AC does not suspend it.
    pub const SMAP: u32 = 1 << 6;
    pub const PSE: u32 = 1 << 7;
    /// The accesses are user-mode accesses.
    pub const USER: u32 = 1 << 8;
}

/// Whose rights an access has (SDM volume 3, section 4.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// What the current privilege level gives.
    Current,
    /// A supervisor access whatever the privilege level: descriptor tables, TSS, interrupt
    /// delivery.
    Implicit,
}

/// What accesses with `rights` are translated by.
pub fn key(cpu: &Cpu, rights: Rights) -> Key {
    if cpu.cr0 & cr0::PG == 0 {
        return Key::default();
    }
    let mut m = mode::PAGING;
    let mut set = |condition: bool, bit: u32| {
        if condition {
            m |= bit;
        }
    };
    let pae = cpu.cr4 & cr4::PAE != 0;
    let long = cpu.long_mode();
    let user = rights == Rights::Current && cpu.cpl == 3;
    // An implicit access is never excused by RFLAGS.AC (section 4.6.1).
    let excused = rights == Rights::Current && cpu.rflags & super::flags::bit::AC != 0;
    set(pae, mode::PAE);
    set(long, mode::LONG);
    set(cpu.cr0 & cr0::WP != 0, mode::WP);
    set(cpu.msrs.efer & efer::NXE != 0, mode::NXE);
    set(cpu.cr4 & cr4::SMEP != 0, mode::SMEP);
    set(cpu.cr4 & cr4::SMAP != 0 && !user && !excused, mode::SMAP);
    set(cpu.cr4 & cr4::PSE != 0, mode::PSE);
    set(user, mode::USER);
    let pdptrs = if pae && !long { cpu.pdptrs } else { [0; 4] };
    let root = if pae && !long { 0 } else { cpu.cr3 & pte::ADDR };
    Key { root, more: pdptrs, mode: m }
}

/// A translation that was found.
#[derive(Clone, Copy, Debug)]
pub struct Translation {
    /// The physical address of the byte that was asked for.
    pub phys: PhysAddr,
    /// What lies there.
    pub place: Place,
    /// The leaf entry's dirty bit is set and the access rights allow writing: a permission to
    /// write may be cached.
    pub write_ok: bool,
}

/// One level of a walk that was done: where the entry lies and how much it translates.
#[derive(Clone, Copy, Default)]
struct Step {
    /// Offset of the entry in the host mapping.
    offset: u64,
    /// Binary logarithm of the bytes that it translates.
    span: u32,
}

/// How a walk failed: the page fault's error code.
struct Fault(u16);

/// Reads a table entry, and says where it lies in the host mapping. Tables outside memory read as
/// not present: no device is walked.
fn entry(mem: &Memory, addr: PhysAddr, long: bool) -> (u64, Option<u64>) {
    match mem.place(addr) {
        Place::Ram(o) | Place::Rom(o) => (mem.value(o, if long { 8 } else { 4 }), Some(o)),
        Place::Bus => (0, None),
    }
}

/// Translates `lin` as the current mode would for the supervisor, with no side effect at all, for
/// a debugger.
pub fn probe(cpu: &Cpu, mem: &Memory, lin: u64) -> Option<PhysAddr> {
    let key = key(cpu, Rights::Implicit);
    let key = Key { mode: key.mode & !mode::SMAP, ..key };
    // No instruction's access comes so far with another address.
    if key.mode & mode::LONG != 0 && !Exec::canonical(lin) {
        return None;
    }
    find(cpu, mem, &key, lin, Access::Read).ok().map(|found| found.translation.phys)
}

/// What a walk found.
struct Found {
    translation: Translation,
    steps: [Step; 4],
    /// Number of steps; the last is the leaf.
    n: usize,
    /// Binary logarithm of an entry's bytes.
    entry: u32,
    /// The accessed bits, and for a write the dirty bit, are all set.
    settled: bool,
}

impl Exec<'_> {
    fn set_entry_bits(&mut self, step: Step, bits: u64) {
        // A and D lie in the entry's low byte. Tables in ROM stay as they are.
        let o = step.offset as usize;
        if bits & !u64::from(self.mem.bytes()[o]) != 0 && self.mem.writable(step.offset) {
            self.mem.barrier_walker(step.offset, 1);
            self.mem.bytes_mut()[o] |= bits as u8;
            self.attention |= self.mem.has_hits();
        }
    }

    /// Translates `lin` for an access with the rights of `key`, sets accessed and dirty bits,
    /// raises #PF. Nothing is cached.
    ///
    /// # Errors
    /// The page fault, with CR2 set.
    pub fn walk(&mut self, key: &Key, lin: u64, access: Access) -> Result<Translation, Trap> {
        match self.find(key, lin, access) {
            Ok(found) => Ok(found.translation),
            Err(Fault(code)) => {
                self.cpu.cr2 = lin;
                Err(Trap::pf(code))
            }
        }
    }

    /// Translates for an access and caches the result.
    ///
    /// # Errors
    /// The page fault, with CR2 set.
    pub fn translate(&mut self, rights: Rights, lin: u64, access: Access) -> Result<Translation, Trap> {
        let key = key(self.cpu, rights);
        let Found { translation: t, steps, n, entry, .. } = match self.find(&key, lin, access) {
            Ok(found) => found,
            Err(Fault(code)) => {
                self.cpu.cr2 = lin;
                return Err(Trap::pf(code));
            }
        };
        let offset = match t.place {
            Place::Ram(o) => o,
            Place::Rom(o) if access != Access::Write => o,
            _ => return Ok(t),
        };
        self.tlb.note_walk(self.mem, lin, entry, steps[..n].iter().map(|s| (s.offset, s.span)));
        // A write permission is given after the store passed the barrier, see `access`.
        let watched = access == Access::Read && self.mem.attrs(offset) & attr::WATCH != 0;
        if access != Access::Write && !watched {
            self.tlb.fill(lin, access, offset);
        }
        Ok(t)
    }

    /// Caches the translation of `lin` for an access with the current rights, if that takes nothing but
    /// looking: no fault, no bit to set, no store that somebody wants to know of. False if it does not, or
    /// if it is cached already.
    pub fn fill(&mut self, lin: u64, access: Access) -> bool {
        let cached = lin.wrapping_sub(self.tlb.entry(lin, access).tag) < PAGE_SIZE;
        if cached || !self.tlb.caches() || self.cpu.long_mode() && !Self::canonical(lin) {
            return false;
        }
        if access == Access::Write
            && let Some(offset) = self.tlb.barred(lin, 1)
        {
            let free = self.mem.attrs(offset) == 0;
            if free {
                self.tlb.fill(lin, access, offset);
            }
            return free;
        }
        let key = key(self.cpu, Rights::Current);
        let Ok(found) = find(self.cpu, self.mem, &key, lin, access) else { return false };
        let t = found.translation;
        let (offset, banned) = match (t.place, access) {
            (Place::Ram(o), Access::Write) if t.write_ok => (o, u8::MAX),
            (Place::Ram(o) | Place::Rom(o), Access::Read) => (o, attr::WATCH),
            (Place::Ram(o) | Place::Rom(o), Access::Fetch) => (o, 0),
            _ => return false,
        };
        if !found.settled || self.mem.attrs(offset) & banned != 0 {
            return false;
        }
        let steps = found.steps[..found.n].iter().map(|s| (s.offset, s.span));
        self.tlb.note_walk(self.mem, lin, found.entry, steps);
        // The walk may have made a table of the very frame.
        if self.mem.attrs(offset) & banned != 0 {
            return false;
        }
        self.tlb.fill(lin, access, offset);
        true
    }

    /// Walks, and sets accessed and dirty bits.
    fn find(&mut self, key: &Key, lin: u64, access: Access) -> Result<Found, Fault> {
        let found = find(self.cpu, self.mem, key, lin, access)?;
        let write = access == Access::Write;
        if let Some(leaf) = found.n.checked_sub(1) {
            for step in &found.steps[..leaf] {
                self.set_entry_bits(*step, pte::A);
            }
            self.set_entry_bits(found.steps[leaf], if write { pte::A | pte::D } else { pte::A });
        }
        Ok(found)
    }

    /// True when `lin` is canonical: bits 63:47 are equal (48-bit linear addresses).
    pub fn canonical(lin: u64) -> bool {
        (lin as i64) << 16 >> 16 == lin as i64
    }
}

/// Walks the page tables (SDM volume 3, section 4.5) without side effects.
fn find(cpu: &Cpu, mem: &Memory, key: &Key, lin: u64, access: Access) -> Result<Found, Fault> {
    let m = key.mode;
    let mut steps = [Step::default(); 4];
    if m & mode::PAGING == 0 {
        let phys = lin & 0xffff_ffff;
        let place = mem.place(phys);
        let translation = Translation { phys, place, write_ok: true };
        return Ok(Found { translation, steps, n: 0, entry: 3, settled: true });
    }
    let (long, pae) = (m & mode::LONG != 0, m & mode::PAE != 0);
    let user = m & mode::USER != 0;
    let write = access == Access::Write;
    let fetch = access == Access::Fetch;
    let nx_on = m & mode::NXE != 0;
    let mut base_code = 0;
    if write {
        base_code |= code::W;
    }
    if user {
        base_code |= code::U;
    }
    if fetch && (nx_on && pae || m & mode::SMEP != 0) {
        base_code |= code::I;
    }
    let gigantic = long && cpu.model.features().pages_1g;
    let absent = Fault(base_code);
    let reserved = || Fault(base_code | code::P | code::RSVD);
    let denied = || Fault(base_code | code::P);

    let wide = pae || long;
    let entry_log = if wide { 3 } else { 2 };
    // (table, highest address bit plus one of this level's index)
    let (mut table, mut span) = if long {
        (key.root, 39)
    } else if pae {
        let pdpte = key.more[(lin >> 30 & 3) as usize];
        if pdpte & pte::P == 0 {
            return Err(absent);
        }
        (pdpte & pte::ADDR, 21)
    } else {
        (key.root & 0xffff_f000, 22)
    };
    let index_bits = if wide { 9 } else { 10 };
    let mut writable = true;
    let mut user_ok = true;
    let mut executable = true;
    let mut settled = true;
    let mut n = 0;
    let (phys, leaf_dirty) = loop {
        let index = lin >> span & ((1 << index_bits) - 1);
        let (e, offset) = entry(mem, table + (index << entry_log), wide);
        if e & pte::P == 0 {
            return Err(absent);
        }
        let Some(offset) = offset else { return Err(absent) };
        steps[n] = Step { offset, span };
        n += 1;
        let mut bad = wide && (e & pte::RESERVED != 0 || !nx_on && e & pte::NX != 0);
        let can_be_large = if wide { span == 21 || span == 30 && gigantic } else { m & mode::PSE != 0 };
        let leaf = span == 12 || e & pte::PS != 0 && span > 12 && can_be_large;
        // The page-size bit is reserved where no large page exists.
        let no_large = span == 39 || span == 30 && !gigantic;
        if long && no_large && e & pte::PS != 0 || pae && !long && e >> 52 & 0x7ff != 0 {
            bad = true;
        }
        settled &= e & pte::A != 0;
        writable &= e & pte::W != 0;
        user_ok &= e & pte::U != 0;
        executable &= e & pte::NX == 0 || !nx_on || !wide;
        if leaf {
            let low = (1u64 << span) - 1;
            let base = if span == 12 {
                if wide { e & pte::ADDR } else { e & 0xffff_f000 }
            } else if wide {
                // Bits between the PAT bit 12 and the page size are reserved.
                bad |= e & low & !0x1fff != 0;
                e & pte::ADDR & !low
            } else {
                // PSE-36: bits 20:13 are physical bits 39:32; bit 21 is reserved.
                bad |= e >> 21 & 1 != 0;
                e & 0xffc0_0000 | (e >> 13 & 0xff) << 32
            };
            if bad {
                return Err(reserved());
            }
            break (base | lin & low, e & pte::D != 0);
        }
        if bad {
            return Err(reserved());
        }
        table = if wide { e & pte::ADDR } else { e & 0xffff_f000 };
        span -= index_bits;
    };

    let write_allowed = writable || !user && m & mode::WP == 0;
    let allowed = if user {
        user_ok && (!write || writable) && (!fetch || executable)
    } else if fetch {
        executable && !(user_ok && m & mode::SMEP != 0)
    } else {
        !(user_ok && m & mode::SMAP != 0) && (!write || write_allowed)
    };
    if !allowed {
        return Err(denied());
    }
    let place = mem.place(phys);
    let write_ok = write_allowed && (leaf_dirty || write);
    settled &= leaf_dirty || !write;
    let translation = Translation { phys, place, write_ok };
    Ok(Found { translation, steps, n, entry: entry_log, settled })
}
