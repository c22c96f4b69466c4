//! Repeated string instructions: every iteration is a step, and no run of iterations that is made
//! at once differs from single ones.

use crate::bench::{Bench, CODE, DATA, DATA_PAGES, DATA_PHYS};
use dejavm_interp::engine::Stop;
use dejavm_interp::x86::flags::bit;
use dejavm_interp::x86::regs::gpr::{RAX, RCX, RDI, RSI};
use dejavm_interp::x86::trap::vector;
use dejavm_interp::x86::{Flow, Trap};
use proptest::prelude::*;

fn set(b: &mut Bench, r: u8, v: u64) {
    b.cpu.regs[usize::from(r)] = v;
}

fn get(b: &Bench, r: u8) -> u64 {
    b.cpu.regs[usize::from(r)]
}

/// REP prefix bytes.
const REPE: u8 = 0xf3;
const REPNE: u8 = 0xf2;

fn code(prefix: u8, opcode: u8, wide: u8) -> Vec<u8> {
    match wide {
        0 => vec![prefix, opcode],
        1 => vec![0x66, prefix, opcode + 1],
        2 => vec![prefix, opcode + 1],
        _ => vec![prefix, 0x48, opcode + 1],
    }
}

proptest! {
    #[test]
    fn runs_equal_single_steps(
        opcode in prop::sample::select(vec![0xa4u8, 0xa6, 0xaa, 0xac, 0xae]),
        repe in any::<bool>(),
        wide in 0u8..4,
        backwards in any::<bool>(),
        rsi in 0u64..DATA_PAGES * 4096,
        distance in -40i64..400,
        far in prop::option::of(0u64..DATA_PAGES * 4096),
        rcx in 0u64..700,
        rax in prop::sample::select(vec![0u64, 0x0101_0101_0101_0101, 0x1234_5678_9abc_def0]),
        budget in 1u64..300,
        sparse in 1u64..200,
    ) {
        let code = code(if repe { REPE } else { REPNE }, opcode, wide);
        let rdi = far.map_or(DATA.wrapping_add(rsi).wrapping_add(distance as u64), |o| DATA + o);
        let data: Vec<_> =
            (0..DATA_PAGES * 4096).map(|i| if i % sparse == 0 { (i / sparse) as u8 } else { 1 }).collect();
        let make = || {
            let mut b = Bench::long();
            b.put(DATA_PHYS, &data);
            b.code(&code);
            for (r, v) in [(RSI, DATA + rsi), (RDI, rdi), (RCX, rcx), (RAX, rax)] {
                set(&mut b, r, v);
            }
            if backwards {
                b.cpu.rflags |= bit::DF;
            }
            b
        };
        let (mut once, mut single) = (make(), make());
        let mut left = budget;
        let mut result = Ok(Flow::Again);
        while left > 0 && result == Ok(Flow::Again) {
            (result, left) = once.execute(&code, left);
        }
        let mut single_left = budget;
        let mut single_result = Ok(Flow::Again);
        while single_left > 0 && single_result == Ok(Flow::Again) {
            let (r, rest) = single.execute(&code, 1);
            single_result = r;
            single_left -= 1 - rest;
        }
        prop_assert_eq!(result, single_result);
        prop_assert_eq!(left, single_left);
        prop_assert_eq!(&once.cpu, &single.cpu);
        prop_assert!(once.bytes(DATA_PHYS, data.len()) == single.bytes(DATA_PHYS, data.len()));
    }
}

#[test]
fn a_fault_leaves_the_iterations_before_it() {
    let mut b = Bench::long();
    let end = DATA + DATA_PAGES * 4096;
    set(&mut b, RDI, end - 3);
    set(&mut b, RCX, 10);
    set(&mut b, RAX, 0x55);
    let (result, left) = b.execute(&[0xf3, 0xaa], 100);
    assert!(matches!(result, Err(Trap::Fault { vector: vector::PF, code: Some(2) })));
    assert_eq!((get(&b, RDI), get(&b, RCX), left), (end, 7, 97));
    assert_eq!(b.cpu.rip(), CODE);
    assert_eq!(b.cpu.cr2, end);
    assert_eq!(b.bytes(DATA_PHYS + DATA_PAGES * 4096 - 4, 4), [0, 0x55, 0x55, 0x55]);
}

#[test]
fn zero_iterations_are_one_step() {
    let mut b = Bench::long();
    set(&mut b, RCX, 0xffff_ffff_0000_0000);
    b.next(&[0x67, 0xf3, 0xa4]);
    assert_eq!(get(&b, RCX), 0xffff_ffff_0000_0000);
    assert_eq!(get(&b, RDI), 0);
}

#[test]
fn budgets_cut_anywhere() {
    let mut b = Bench::long();
    set(&mut b, RDI, DATA + 100);
    set(&mut b, RCX, 5000);
    b.code(&[0xf3, 0xaa, 0x90]);
    let mut done = 0;
    for n in [1, 2, 1000, 3, 3994] {
        let exit = b.run(n);
        done += n;
        assert_eq!((exit.steps, exit.stop), (n, Stop::Budget));
        assert_eq!((get(&b, RCX), get(&b, RDI)), (5000 - done, DATA + 100 + done));
        assert_eq!(b.cpu.rip(), if done == 5000 { CODE + 2 } else { CODE });
    }
}

#[test]
fn short_addresses_wrap() {
    let mut b = Bench::real();
    b.put(DATA_PHYS, b"head");
    b.put(DATA_PHYS + 0xfffc, b"tail");
    // REP MOVSB from FFFC to 8000 goes on at 0; registers keep their upper halves.
    set(&mut b, RSI, 0xaaaa_fffc);
    set(&mut b, RDI, 0xbbbb_8000);
    set(&mut b, RCX, 0xcccc_0008);
    let (mut result, mut left) = (Ok(Flow::Again), 100);
    while result == Ok(Flow::Again) {
        (result, left) = b.execute(&[0xf3, 0xa4], left);
    }
    assert_eq!((result, left), (Ok(Flow::Next), 92));
    assert_eq!(b.bytes(DATA_PHYS + 0x8000, 8), b"tailhead");
    assert_eq!((get(&b, RSI), get(&b, RDI), get(&b, RCX)), (0xaaaa_0004, 0xbbbb_8008, 0xcccc_0000));
    // A word across the end of the segment is beyond its limit.
    set(&mut b, RSI, 0xffff);
    assert_eq!(b.faults(&[0xad]), Trap::GP);
    set(&mut b, RDI, 0xffff);
    assert_eq!(b.faults(&[0xab]), Trap::GP);
    // DS overridden by SS.
    set(&mut b, RSI, 0xffff);
    assert_eq!(b.faults(&[0x36, 0xad]), Trap::SS);
}

#[test]
fn the_trap_flag_stops_after_each_iteration() {
    let mut b = Bench::long();
    b.cpu.rflags |= bit::TF;
    set(&mut b, RDI, DATA);
    set(&mut b, RCX, 3);
    for left in [2, 1] {
        assert_eq!(b.execute(&[0xf3, 0xab], 50), (Ok(Flow::Again), 49));
        assert_eq!((get(&b, RCX), b.cpu.rip()), (left, CODE));
    }
    assert_eq!(b.execute(&[0xf3, 0xab], 50), (Ok(Flow::Next), 49));
}

#[test]
fn a_segment_base_applies_to_the_source_alone() {
    let mut b = Bench::long();
    b.cpu.segs[4].base = DATA;
    b.put(DATA_PHYS + 8, &[7]);
    set(&mut b, RSI, 8);
    set(&mut b, RDI, DATA + 64);
    b.next(&[0x64, 0xa4]);
    assert_eq!(b.bytes(DATA_PHYS + 64, 1), [7]);
}
