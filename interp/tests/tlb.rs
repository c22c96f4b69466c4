//! The TLB's account of page tables: a store is told of exactly while some TLB has something that came through
//! the entry.

use dejavm_interp::mem::{Hit, Memory, Region, attr};
use dejavm_interp::tlb::{Access, Key, Size, Tlb, WAYS, table_hits};

/// Frames of tables, and a page's linear address.
const TOP: u64 = 0x1000;
const LOW: u64 = 0x2000;
const OTHER: u64 = 0x3000;
const PAGE: u64 = 0x40_0000;

fn memory() -> Memory {
    let mut mem = Memory::new(0x10_0000).unwrap();
    mem.set_regions(vec![Region { start: 0, len: 0x10_0000, offset: 0, writable: true }]).unwrap();
    mem
}

fn tlb() -> Tlb {
    let mut tlb = Tlb::default();
    tlb.select(Some(Key { root: TOP, ..Key::default() }));
    tlb
}

/// Caches that page `n` was walked to through entry 2 of the top table and entry `n` of the table `low`.
fn walk(tlb: &mut Tlb, mem: &mut Memory, low: u64, n: u64) {
    let lin = PAGE + (n << 12);
    tlb.note_walk(mem, lin, 3, [(TOP + 16, 21), (low + 8 * n, 12)]);
    tlb.fill(lin, Access::Read, 0x8000 + (n << 12));
}

fn cached(tlb: &Tlb, n: u64) -> bool {
    tlb.entry(PAGE + (n << 12), Access::Read).tag == PAGE + (n << 12)
}

/// A store; true when it was told of.
fn store(own: &mut Tlb, others: &mut [Tlb], mem: &mut Memory, offset: u64) -> bool {
    mem.barrier(offset, 8);
    let mut hits: Vec<Hit> = Vec::new();
    mem.take_table_hits(&mut hits);
    table_hits(own, others, mem, &hits);
    !hits.is_empty()
}

#[test]
fn a_table_that_one_cpu_needs_no_more_is_watched_for_another() {
    let (mut mem, mut a, mut others) = (memory(), tlb(), [tlb()]);
    walk(&mut a, &mut mem, LOW, 0);
    walk(&mut others[0], &mut mem, LOW, 1);
    assert!(store(&mut a, &mut others, &mut mem, LOW));
    assert!(!cached(&a, 0) && cached(&others[0], 1));
    assert!(store(&mut a, &mut others, &mut mem, LOW + 8));
    assert!(!cached(&others[0], 1));
    assert_eq!(mem.attrs(LOW) & attr::TABLE, 0);
}

#[test]
fn a_new_table_is_told_to_other_cpus() {
    let (mut mem, mut a, mut b) = (memory(), tlb(), tlb());
    b.fill(PAGE, Access::Write, LOW);
    walk(&mut a, &mut mem, LOW, 0);
    let told = mem.take_new_tables();
    assert!(told.iter().any(|o| o & !0xfff == LOW));
    told.iter().for_each(|o| b.protect(*o));
    assert_ne!(b.entry(PAGE, Access::Write).tag, PAGE);
}

#[test]
fn entries_that_nothing_came_through_are_not_told_of() {
    let (mut mem, mut a) = (memory(), tlb());
    walk(&mut a, &mut mem, LOW, 0);
    assert!(!store(&mut a, &mut [], &mut mem, LOW + 8) && cached(&a, 0));
    assert!(!store(&mut a, &mut [], &mut mem, TOP) && cached(&a, 0));
    assert!(store(&mut a, &mut [], &mut mem, TOP + 16) && !cached(&a, 0));
}

/// A table that is emptied ends the use of the entry that led to it.
#[test]
fn an_empty_table_ends_what_is_above() {
    let (mut mem, mut a) = (memory(), tlb());
    (0..2).for_each(|n| walk(&mut a, &mut mem, LOW, n));
    assert!(store(&mut a, &mut [], &mut mem, LOW));
    assert_eq!(mem.attrs(TOP) & attr::TABLE, attr::TABLE);
    assert!(store(&mut a, &mut [], &mut mem, LOW + 8));
    assert_eq!((mem.attrs(TOP) | mem.attrs(LOW)) & attr::TABLE, 0);
    assert!(!store(&mut a, &mut [], &mut mem, TOP + 16));
}

/// But not if that entry leads elsewhere by now.
#[test]
fn a_table_that_is_left_behind_ends_nothing() {
    let (mut mem, mut a) = (memory(), tlb());
    walk(&mut a, &mut mem, LOW, 0);
    assert!(store(&mut a, &mut [], &mut mem, TOP + 16));
    walk(&mut a, &mut mem, OTHER, 1);
    assert!(store(&mut a, &mut [], &mut mem, LOW), "its bits are not known to be stale");
    assert!(cached(&a, 1));
    assert!(store(&mut a, &mut [], &mut mem, TOP + 16));
    assert!(!cached(&a, 1));
}

#[test]
fn an_empty_tlb_has_no_page() {
    let mut a = tlb();
    let pages = [0, 0x1000, 0x2000, (WAYS as u64) << 12, (WAYS as u64 + 1) << 12, u64::MAX - 0xfff];
    let found = |a: &Tlb, access| pages.iter().filter(|p| a.entry(**p, access).tag == **p).count();
    for access in [Access::Read, Access::Write, Access::Fetch] {
        assert_eq!(found(&a, access), 0);
        for page in pages {
            a.fill(page, access, 0x5000);
            assert_eq!(found(&a, access), 1, "one at a time: {page:#x}");
            a.clear();
            a.select(Some(Key { root: TOP, ..Key::default() }));
        }
        assert_eq!(found(&a, access), 0);
    }
}

/// Entries of upper tables translate more than a page.
#[test]
fn a_store_to_an_upper_entry_drops_all_that_came_through_it() {
    let (mut mem, mut a) = (memory(), tlb());
    let far = PAGE + (1 << 21);
    for lin in [PAGE, PAGE + 0x1f_f000, far] {
        a.note_walk(&mut mem, lin, 3, [(TOP + 8 * (lin >> 21), 21)]);
        for access in [Access::Read, Access::Write, Access::Fetch] {
            a.fill(lin, access, 0x8000);
        }
    }
    let left = |a: &Tlb| [PAGE, PAGE + 0x1f_f000, far].map(|p| a.entry(p, Access::Fetch).tag == p);
    assert!(store(&mut a, &mut [], &mut mem, TOP + 16));
    assert_eq!(left(&a), [false, false, true]);
    a.drop_writes();
    assert_ne!(a.entry(far, Access::Write).tag, far);
    assert_eq!(a.entry(far, Access::Read).tag, far);
}

/// However many pages show a frame.
#[test]
fn every_permission_to_write_to_a_table_is_dropped() {
    for many in 1..8 {
        let mut a = tlb();
        let other = Some(Key { root: OTHER, ..Key::default() });
        for n in 0..many {
            a.select(if n % 2 == 0 { other } else { Some(Key { root: TOP, ..Key::default() }) });
            a.fill(PAGE + (n << 12), Access::Write, LOW);
            a.fill(PAGE + (n << 12), Access::Read, LOW);
        }
        a.protect(LOW);
        for n in 0..many {
            a.select(if n % 2 == 0 { other } else { Some(Key { root: TOP, ..Key::default() }) });
            let page = PAGE + (n << 12);
            assert_ne!(a.entry(page, Access::Write).tag, page);
            assert_eq!(a.entry(page, Access::Read).tag, page);
        }
    }
}

#[test]
fn stores_to_a_table_find_their_place_until_its_own_entry_changes() {
    let (mut mem, mut a) = (memory(), tlb());
    // The table's page is mapped through itself, by entry 1 of it.
    let lin = PAGE + 0x1000;
    let map = |tlb: &mut Tlb, mem: &mut Memory| {
        tlb.note_walk(mem, lin, 3, [(TOP + 16, 21), (LOW + 8, 12)]);
        tlb.fill_stored(mem, lin, LOW + 0x18);
    };
    map(&mut a, &mut mem);
    assert_eq!((a.barred(lin + 0xff8, 8), a.barred(lin + 0xff9, 8)), (Some(LOW + 0xff8), None));
    assert_ne!(a.entry(lin, Access::Write).tag, lin, "the store has to pass the barrier");
    assert!(!store(&mut a, &mut [], &mut mem, LOW + 16) && a.barred(lin, 8).is_some());
    assert!(store(&mut a, &mut [], &mut mem, LOW + 8));
    assert_eq!(a.barred(lin, 8), None);
    // By way of the table above, of a whole flush, and of a smaller TLB's other page.
    map(&mut a, &mut mem);
    assert!(store(&mut a, &mut [], &mut mem, TOP + 16));
    assert_eq!(a.barred(lin, 8), None);
    map(&mut a, &mut mem);
    a.clear();
    a.select(Some(Key { root: TOP, ..Key::default() }));
    assert_eq!(a.barred(lin, 8), None);
    let mut small = Tlb::with_size(Size { ways: 1, ..Size::default() });
    small.select(Some(Key { root: TOP, ..Key::default() }));
    map(&mut small, &mut mem);
    small.fill_stored(&mem, PAGE, LOW);
    assert_eq!((small.barred(lin, 8), small.barred(PAGE, 8)), (None, Some(LOW)));
    // A frame without attributes needs no barrier.
    mem.barrier(OTHER, 1);
    small.fill_stored(&mem, PAGE, OTHER);
    assert_eq!(small.entry(PAGE, Access::Write).offset, OTHER);
}

/// Between a store into a table entry in use and the boundary nothing is found; what is cached then stays only if it
/// came through other entries.
#[test]
fn what_is_cached_after_a_hit_in_the_same_step_outlives_it_unless_it_was_hit() {
    let (mut mem, mut a) = (memory(), tlb());
    (0..2).for_each(|n| walk(&mut a, &mut mem, LOW, n));
    let space = a.current();
    mem.barrier(LOW, 8);
    a.suspend();
    assert!(!a.caches() && !cached(&a, 0) && !cached(&a, 1));
    assert_eq!(a.current(), space);
    [0, 2].iter().for_each(|&n| walk(&mut a, &mut mem, LOW, n));
    assert!(!cached(&a, 0) && !cached(&a, 2));
    let mut hits: Vec<Hit> = Vec::new();
    mem.take_table_hits(&mut hits);
    table_hits(&mut a, &mut [], &mut mem, &hits);
    assert!(!cached(&a, 0) && cached(&a, 1) && cached(&a, 2));
}

/// Accesses with another's rights are cached in that one's space, also while nothing is looked up.
#[test]
fn another_space_is_filled_while_nothing_is_looked_up() {
    let (mut mem, mut a) = (memory(), tlb());
    let other = a.current();
    let key = Key { root: TOP, mode: 1, ..Key::default() };
    a.select(Some(key));
    let own = a.current();
    walk(&mut a, &mut mem, LOW, 0);
    a.suspend();
    a.set_current(other);
    walk(&mut a, &mut mem, LOW, 1);
    a.set_current(own);
    table_hits(&mut a, &mut [], &mut mem, &[]);
    assert!(a.current() == own && cached(&a, 0) && !cached(&a, 1));
    a.set_current(other);
    assert!(!cached(&a, 0) && cached(&a, 1));
}
