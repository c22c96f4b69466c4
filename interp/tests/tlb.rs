//! The TLB's account of page tables: a store is told of exactly while some TLB has something that came through
//! the entry.

use dejavm_interp::mem::{Hit, Memory, Region, attr};
use dejavm_interp::tlb::{Access, Key, Tlb, table_hits};

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
