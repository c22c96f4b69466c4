//! Code that changes its own page tables: what follows lies elsewhere, also where one address space takes over the
//! other's place in the TLB.

use super::aarch64::{self, A64};
use super::harness::{Arch, Random, put};
use super::x86::{self, X86};
use dejavm_interp::aarch64::regs::sctlr;
use dejavm_interp::engine::Clock;
use dejavm_interp::mem::Memory;
use dejavm_interp::tlb::Size;
use dejavm_jit::engine::Settings;

/// Where the second tables lie, from the first level on, and the page that they map instead of the program's.
const TABLES: u64 = 0x3_8000;
const OTHER: u64 = 0x3_c000;

/// Rounds of a program, each of four steps.
const ROUNDS: u64 = 1000;

/// Runs a program on both engines, with TLBs of all sizes. `value` is what it computes.
fn same_everywhere<A: Arch>(machine: impl Fn() -> (A::Cpu, Memory), value: impl Fn(&A::Cpu) -> u32) {
    // Each round comes from one page to the other, and doubles and adds what that adds.
    let expected = (0..ROUNDS).fold(1u32, |x, round| x.wrapping_mul(2).wrapping_add(2 - round as u32 % 2));
    for spaces in 1..=3 {
        let (mut cpu_a, mut mem_a) = machine();
        let (mut cpu_b, mut mem_b) = machine();
        let mut reference = A::Interpreter::default();
        let settings = Settings { threshold: 0, ..Settings::default() };
        let mut jit = A::jit(settings, Size { spaces, ..Size::default() });
        for icount in (0..4 * ROUNDS).step_by(40) {
            let clock = Clock { icount, shift: 1, warp: 0 };
            assert_eq!(A::run(&mut reference, &mut cpu_a, &mut mem_a, clock, 40).steps, 40);
            assert_eq!(A::run(&mut jit, &mut cpu_b, &mut mem_b, clock, 40).steps, 40);
            assert_eq!(A::show(&cpu_a), A::show(&cpu_b), "{spaces} spaces, at {icount}");
        }
        assert_eq!(value(&cpu_b), expected);
    }
}

/// Makes tables like those at `from`, of so many levels in as many pages, but for the program's page.
fn tables(mem: &mut Memory, from: u64, levels: u64, code: u64) {
    let mut all = vec![0; (levels as usize) << 12];
    mem.read(from, &mut all);
    for level in 0..levels - 1 {
        let at = (level << 12) as usize;
        let next = u64::from_le_bytes(all[at..at + 8].try_into().unwrap()) - from + TABLES;
        all[at..at + 8].copy_from_slice(&next.to_le_bytes());
    }
    let at = ((levels - 1 << 12) + (code >> 12) * 8) as usize;
    let page = u64::from_le_bytes(all[at..at + 8].try_into().unwrap()) - code + OTHER;
    all[at..at + 8].copy_from_slice(&page.to_le_bytes());
    put(mem, TABLES, &all);
}

#[test]
fn x86_tables_are_changed_by_the_code_they_map() {
    same_everywhere::<X86>(
        || {
            let (mut cpu, mut mem) = x86::machine(true, &mut Random::new(1));
            let from = cpu.cr3;
            tables(&mut mem, from, 4, x86::CODE);
            for (page, n) in [(x86::CODE, 1), (OTHER, 2)] {
                // MOV CR3, RAX; LEA EBX, [RBX+RBX+n]; XOR RAX, RSI; JMP back
                put(&mut mem, page, &[0x0f, 0x22, 0xd8, 0x8d, 0x5c, 0x1b, n, 0x48, 0x31, 0xf0, 0xeb, 0xf4]);
            }
            (cpu.regs[0], cpu.regs[3], cpu.regs[6]) = (TABLES, 1, from ^ TABLES);
            cpu.set_rip(x86::CODE);
            (cpu, mem)
        },
        |cpu| cpu.regs[3] as u32,
    );
}

#[test]
fn aarch64_tables_are_changed_by_the_code_they_map() {
    same_everywhere::<A64>(
        || {
            let machines = (0..).map(|seed| aarch64::machine(&mut Random::new(seed)));
            let usual = sctlr::M | sctlr::EE;
            let mut usual = machines
                .filter(|(cpu, _)| cpu.el == 1 && cpu.sys.sctlr[1] & usual == sctlr::M && cpu.sys.mdscr == 0);
            let (mut cpu, mut mem) = usual.next().unwrap();
            let from = cpu.sys.ttbr0[1];
            tables(&mut mem, from, 3, aarch64::CODE);
            for (page, rn) in [(aarch64::CODE, 2), (OTHER, 3)] {
                // MSR TTBR0_EL1, X0; ADD X1, Xn, X1, LSL #1; EOR X0, X0, X4; B back
                let code = [0xd518_2000, 0x8b01_0401 | rn << 5, 0xca04_0000, 0x17ff_fffd];
                aarch64::put_words(&mut mem, page, &code);
            }
            cpu.x[..5].copy_from_slice(&[TABLES, 1, 1, 2, from ^ TABLES]);
            (cpu, mem)
        },
        |cpu| cpu.x[1] as u32,
    );
}
