//! Calls deeper than the compiler's stack of returns.

use super::harness::{Arch, Random, put};
use super::x86::{CODE, STACK, X86, machine};
use dejavm_interp::engine::Clock;
use dejavm_jit::Jit;
use dejavm_jit::x86::{Compiled, Settings};

/// A function calls itself 3,000 times before it returns, again and again.
#[test]
fn deep_recursion() {
    for long in [true, false] {
        let (mut cpu, mut mem) = machine(long, &mut Random::new(1));
        #[rustfmt::skip]
        let code: &[u8] = &[
            // MOV EBX, 3000; CALL f; INC ESI; JMP to the start
            0xbb, 0xb8, 0x0b, 0, 0, 0xe8, 20, 0, 0, 0, 0xff, 0xc6, 0xeb, 0xf2,
            0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90,
            // f: DEC EBX; JZ to the end; CALL f; INC EDI; RET
            0xff, 0xcb, 0x74, 0x07, 0xe8, 0xf7, 0xff, 0xff, 0xff, 0xff, 0xc7, 0xc3,
        ];
        put(&mut mem, CODE, code);
        cpu.set_rip(CODE);
        cpu.regs[4] = STACK;
        (cpu.regs[6], cpu.regs[7]) = (0, 0);
        let mut jit = Jit::with(Compiled::new(Settings::default()));
        // A round: 4 steps around it, 3,000 times DEC, JZ and RET, 2,999 times CALL and INC; the last JZ skips them.
        let round = 4 + 3000 * 3 + 2999 * 2;
        let mut icount = 0;
        while icount < 10 * round {
            let clock = Clock { icount, shift: 1, warp: 0 };
            icount += X86::run(&mut jit, &mut cpu, &mut mem, clock, (10 * round - icount).min(7_777)).steps;
        }
        assert_eq!((cpu.rip(), cpu.regs[4], cpu.regs[6], cpu.regs[7]), (CODE, STACK, 10, 29_990));
    }
}
