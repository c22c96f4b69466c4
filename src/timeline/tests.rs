//! Any walk through a recording ends in the same states.

use super::condition::{Condition, Watched, Why};
use super::demo::{Demo, LINES};
use super::search::{Match, Searched};
use super::{Control, Timeline};
use crate::machine::board::Board;
use crate::machine::pc::Pc;
use crate::replay::{Input, digest};
use dejavm_interp::probe::Keep;

/// A timeline of the demo guest, recorded with input.
pub(super) fn demo() -> Timeline<Pc> {
    Demo::record("demo", &LINES, u64::MAX).timeline()
}

/// A digest of the whole machine.
fn whole(t: &mut Timeline<Pc>) -> (u64, u64) {
    let machine = t.machine();
    let mut memory = xxhash_rust::xxh3::Xxh3::new();
    memory.update(machine.mem.bytes());
    (digest::of_state(&machine.state), memory.digest())
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 20) % n.max(1)
    }
}

#[test]
fn any_walk_ends_in_the_same_states() {
    let mut straight = demo();
    let end = straight.end();
    let mut random = Random(11);
    let mut moments: Vec<u64> = (0..12).map(|_| random.below(end + 1)).chain([0, 1, end]).collect();
    moments.sort_unstable();
    let mut expected = Vec::new();
    for &m in &moments {
        assert_eq!(straight.seek(m, &mut ()).unwrap(), Why::Reached);
        expected.push((m, whole(&mut straight)));
    }
    let mut walker = demo();
    for round in 0..120 {
        if random.below(3) == 0 {
            let steps = random.below(4000) as i64 - 2000;
            walker.step(steps, &mut ()).unwrap();
            continue;
        }
        let (m, digest) = expected[random.below(expected.len() as u64) as usize];
        walker.seek(m, &mut ()).unwrap();
        assert_eq!(whole(&mut walker), digest, "round {round}, step {m}");
    }
}

#[test]
fn backward_finds_what_forward_passed() {
    let mut t = demo();
    let end = t.end();
    t.seek(end / 3, &mut ()).unwrap();
    let pc = t.machine().state.board.cpus()[0].linear_pc();
    let breakpoint = Condition { execute: vec![pc], ..Condition::default() };
    let mut all = Vec::new();
    let mut note = |m: Match| {
        all.push(m.icount());
        true
    };
    t.collect(&breakpoint, 0, end, &mut (), &mut note).unwrap();
    assert!(all.contains(&(end / 3)), "the instruction where it stood");
    let shown: Vec<u64> = all.iter().rev().copied().take(40).collect();
    t.seek(end, &mut ()).unwrap();
    for &at in &shown {
        assert!(matches!(t.backward(&breakpoint, 0, &mut ()).unwrap(), Why::Hit(h) if h.icount == at));
        assert_eq!((t.icount(), t.machine().state.board.cpus()[0].linear_pc()), (at, pc));
    }
    for &at in shown.iter().rev().skip(1) {
        assert!(matches!(t.forward(&breakpoint, u64::MAX, &mut ()).unwrap(), Why::Hit(h) if h.icount == at));
        assert_eq!(t.icount(), at);
    }
}

#[test]
fn watchpoints_find_every_store() {
    let mut t = demo();
    let end = t.end();
    t.seek(end / 2, &mut ()).unwrap();
    let sp = t.machine().state.board.cpus()[0].regs[4];
    let stack = Watched { addr: sp & !7, len: 8, read: false, write: true };
    let condition = Condition { memory: vec![stack], ..Condition::default() };
    let found = t.last_match(&condition, 0, end / 2, &mut ()).unwrap();
    let Searched::Found(Match::Hit(hit)) = found else { panic!("{found:?}") };
    let value = |t: &mut Timeline<Pc>, at| {
        t.seek(at, &mut ()).unwrap();
        t.machine().mem.value(sp & !7, 8)
    };
    let after = value(&mut t, hit.icount + 1);
    assert_eq!(after, value(&mut t, end / 2), "the last store made what is there");
    let mut n = 0;
    t.collect(&condition, 0, end / 2, &mut (), &mut |m| {
        n += usize::from(m.icount() <= hit.icount);
        m.icount() <= hit.icount
    })
    .unwrap();
    assert!(n > 0);
}

#[test]
fn a_write_branches_and_stays() {
    let mut t = demo();
    let end = t.end();
    t.seek(end / 2, &mut ()).unwrap();
    let before = whole(&mut t);
    t.write(Input::WriteRegister { cpu: 0, name: "r15".into(), value: 0x1234 });
    t.write(Input::WriteMemory { addr: 0x1000, bytes: vec![1, 2, 3] });
    assert!(t.branched());
    assert_eq!(t.icount(), end / 2);
    let written = whole(&mut t);
    assert_ne!(before, written);
    t.step(1000, &mut ()).unwrap();
    let on = whole(&mut t);
    t.step(-2000, &mut ()).unwrap();
    t.seek(end / 2, &mut ()).unwrap();
    assert_eq!(whole(&mut t), written);
    t.step(1000, &mut ()).unwrap();
    assert_eq!(whole(&mut t), on);
}

#[test]
fn a_second_write_and_the_snapshots_before_it() {
    let mut t = demo();
    let at = t.end() / 2;
    t.seek(at, &mut ()).unwrap();
    t.plant();
    t.write(Input::WriteRegister { cpu: 0, name: "r15".into(), value: 1 });
    let once = whole(&mut t);
    t.step(500, &mut ()).unwrap();
    t.seek(at, &mut ()).unwrap();
    assert_eq!(whole(&mut t), once, "the snapshot of that step was planted before the write");
    t.write(Input::WriteRegister { cpu: 0, name: "r15".into(), value: 2 });
    t.plant();
    let twice = whole(&mut t);
    assert_ne!(once, twice);
    t.step(-500, &mut ()).unwrap();
    t.step(500, &mut ()).unwrap();
    assert_eq!(whole(&mut t), twice);
}

#[test]
fn each_iteration_of_a_repeated_instruction_hits() {
    let mut t = demo();
    let at = t.end() / 2;
    t.seek(at, &mut ()).unwrap();
    let cpu = t.machine().state.board.cpus()[0].clone();
    let (pc, target) = (cpu.linear_pc(), (cpu.regs[4] & !7) - 0x800);
    let physical = t.look().state.board.translate(0, &t.look().mem, pc).unwrap();
    // REP STOSB
    t.write(Input::WriteMemory { addr: physical, bytes: vec![0xf3, 0xaa] });
    for (name, value) in [("rcx", 100), ("rdi", target), ("rax", 0x55)] {
        t.write(Input::WriteRegister { cpu: 0, name: name.into(), value: value.into() });
    }
    let breakpoint = Condition { execute: vec![pc], ..Condition::default() };
    let collect = |t: &mut Timeline<Pc>, from, to| {
        let mut all = Vec::new();
        t.collect(&breakpoint, from, to, &mut (), &mut |m| {
            all.push(m.icount());
            all.len() < 100
        })
        .unwrap();
        all
    };
    let all = collect(&mut t, at, at + 5000);
    assert_eq!(all.len(), 100);
    t.seek(all[37], &mut ()).unwrap();
    t.plant();
    assert_eq!(collect(&mut t, at, at + 5000), all);
    let found = t.last_match(&breakpoint, at, all[37], &mut ()).unwrap();
    assert!(matches!(found, Searched::Found(m) if m.icount() == all[36]));
    t.seek(at, &mut ()).unwrap();
    for &next in &all[1..5] {
        t.forward(&breakpoint, u64::MAX, &mut ()).unwrap();
        assert_eq!(t.icount(), next);
    }
}

#[test]
fn a_reset_writes_to_what_is_watched() {
    let mut t = demo();
    t.seek(t.end() / 2, &mut ()).unwrap();
    let (addr, at) = (t.machine().images[0].0, t.icount());
    let watched = Watched { addr, len: 16, read: false, write: true };
    let condition = Condition { memory: vec![watched], ..Condition::default() };
    let machine = t.machine();
    machine.probe(condition.interest(), Keep::Until(100));
    machine.reset();
    let hits = machine.take_hits();
    assert_eq!(hits.len(), 4, "zeroed and loaded again, 8 bytes each: {hits:?}");
    assert!(hits.iter().all(|h| h.icount == at - 1), "at this step it is done: {hits:?}");
    let machine = t.machine();
    machine.mem.write(addr, &[1]);
    assert!(machine.mem.has_touches(), "the watch is still there");
}

#[test]
fn a_branch_that_ends_says_so() {
    let mut t = demo();
    let at = t.end() / 2;
    t.seek(at, &mut ()).unwrap();
    let pc = t.machine().state.board.cpus()[0].linear_pc();
    let physical = t.look().state.board.translate(0, &t.look().mem, pc).unwrap();
    // CLI, HLT
    t.write(Input::WriteMemory { addr: physical, bytes: vec![0xfa, 0xf4] });
    let never = Condition { execute: vec![0xdead_0000], ..Condition::default() };
    let why = t.forward(&never, u64::MAX, &mut ()).unwrap();
    let (last, state) = (t.icount(), whole(&mut t));
    assert_eq!((why, last), (Why::End, at + 2));
    t.step(-1, &mut ()).unwrap();
    assert_eq!(t.step(1, &mut ()).unwrap(), Why::Reached);
    assert_eq!(whole(&mut t), state, "the end is the first moment of its step");
    assert_eq!(t.seek(last + 1, &mut ()).unwrap(), Why::End);
    assert_eq!(whole(&mut t), state);
}

#[test]
fn a_write_after_the_end_of_a_branch_is_found_again() {
    let mut t = demo();
    let at = t.end() / 2;
    t.seek(at, &mut ()).unwrap();
    let pc = t.machine().state.board.cpus()[0].linear_pc();
    let physical = t.look().state.board.translate(0, &t.look().mem, pc).unwrap();
    // MOV AL, FEh; OUT 64h, AL: the keyboard controller resets the machine.
    t.write(Input::WriteMemory { addr: physical, bytes: vec![0xb0, 0xfe, 0xe6, 0x64] });
    let never = Condition { execute: vec![0xdead_0000], ..Condition::default() };
    assert_eq!((t.forward(&never, u64::MAX, &mut ()).unwrap(), t.icount()), (Why::End, at + 2));
    t.write(Input::WriteRegister { cpu: 0, name: "r15".into(), value: 0x1234 });
    let state = whole(&mut t);
    t.step(-1, &mut ()).unwrap();
    assert_eq!(t.step(1, &mut ()).unwrap(), Why::Reached);
    assert_eq!((t.machine().state.board.cpus()[0].regs[15], whole(&mut t)), (0x1234, state));
}

/// Wants to stop after some looks.
struct Impatient(u32);

impl Control for Impatient {
    fn cancelled(&mut self) -> bool {
        self.0 = self.0.saturating_sub(1);
        self.0 == 0
    }
}

#[test]
fn searches_can_be_cancelled() {
    let mut t = demo();
    let end = t.end();
    t.seek(end, &mut ()).unwrap();
    let never = Condition { execute: vec![0xdead_0000], ..Condition::default() };
    assert_eq!(t.last_match(&never, 0, end, &mut Impatient(1)).unwrap(), Searched::Cancelled);
    assert_eq!(t.backward(&never, 0, &mut Impatient(1)).unwrap(), Why::Cancelled);
    assert_eq!(t.icount(), end);
    let why = t.collect(&never, 0, end, &mut Impatient(1), &mut |_| true).unwrap();
    assert_eq!(why, Why::Cancelled);
    let text = Condition { console: Some((0, b"nowhere".to_vec())), ..Condition::default() };
    assert_eq!(t.last_match(&text, 0, end, &mut Impatient(1)).unwrap(), Searched::Nothing, "it is all known");
}
