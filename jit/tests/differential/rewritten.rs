//! Loops that rewrite themselves again and again: engines stop keeping blocks of their code, and take it up again.

use super::aarch64::{self, A64};
use super::harness::{Random, Subject, put, random_programs, settings};
use super::x86::{self, X86};
use dejavm_interp::mem::Memory;
use dejavm_interp::{aarch64 as a64, x86 as x};
use dejavm_jit::engine::Settings;

/// Up to so many instructions stand between those of a loop that matter.
const BETWEEN: u64 = 24;

struct X86Loops;

impl Subject for X86Loops {
    type Arch = X86;

    fn setup(seed: u64) -> (Random, x::Cpu, Memory, Settings) {
        let mut r = Random::new(seed);
        let (cpu, mut mem) = x86::machine(!r.one_in(3), &mut r);
        // Somewhere in a page.
        let mut code = vec![0x90; r.below(0x1000) as usize];
        for _ in 0..3 {
            x86_loop(&mut code, &mut r);
        }
        let back = -(code.len() as i32 + 5);
        code.push(0xe9);
        code.extend(back.to_le_bytes());
        put(&mut mem, x86::CODE, &code);
        let settings = settings(&mut r);
        (r, cpu, mem, settings)
    }
}

fn x86_loop(code: &mut Vec<u8>, r: &mut Random) {
    let between = |code: &mut Vec<u8>, r: &mut Random| {
        for _ in 0..r.below(BETWEEN) {
            // NOP; INC ESI; ADD EDX, EAX; XOR EBX, ESI; ROL EBX, 1
            code.extend(r.of::<&[u8]>(&[
                &[0x90],
                &[0xff, 0xc6],
                &[0x01, 0xc2],
                &[0x31, 0xf3],
                &[0xd1, 0xc3],
            ]));
        }
    };
    // MOV ECX, n
    code.push(0xb9);
    code.extend((1 + r.below(400) as u32).to_le_bytes());
    let top = code.len();
    let store = top..top + 8;
    code.extend([0x90; 8]);
    between(code, r);
    // MOV EAX, 0; ADD EBX, EAX
    let opcode = x86::CODE as usize + code.len();
    code.extend([0xb8, 0, 0, 0, 0, 0x01, 0xc3]);
    between(code, r);
    // What is changed: all of the operand (MOV [at], ECX), a byte of it (MOV [at], CL), EAX to EDX (XOR BYTE [at], 2).
    let (bytes, at): (&[u8], usize) = match r.below(3) {
        0 => (&[0x89, 0x0c, 0x25], opcode + 1),
        1 => (&[0x88, 0x0c, 0x25], opcode + 1 + r.below(4) as usize),
        _ => (&[0x80, 0x34, 0x25], opcode),
    };
    let bytes = [bytes, &(at as u32).to_le_bytes(), &[if bytes[0] == 0x80 { 2 } else { 0x90 }]].concat();
    code[store].copy_from_slice(&bytes);
    // DEC ECX; JNZ to the top
    let back = top as i32 - (code.len() as i32 + 8);
    code.extend([0xff, 0xc9, 0x0f, 0x85]);
    code.extend(back.to_le_bytes());
}

struct A64Loops;

impl Subject for A64Loops {
    type Arch = A64;

    fn setup(seed: u64) -> (Random, a64::Cpu, Memory, Settings) {
        let mut r = Random::new(seed);
        let (cpu, mut mem) = aarch64::machine(&mut r);
        // NOP
        let mut code = vec![0xd503_201f; r.below(0x400) as usize];
        for _ in 0..3 {
            a64_loop(&mut code, &mut r);
        }
        code.push(0x1400_0000 | -(code.len() as i32) as u32 & 0x03ff_ffff);
        aarch64::put_words(&mut mem, aarch64::CODE, &code);
        let settings = settings(&mut r);
        (r, cpu, mem, settings)
    }
}

fn a64_loop(code: &mut Vec<u32>, r: &mut Random) {
    let between = |code: &mut Vec<u32>, r: &mut Random| {
        for _ in 0..r.below(BETWEEN) {
            // NOP; ADD X6, X6, X5; EOR X7, X7, X6
            code.push(r.of(&[0xd503_201f, 0x8b05_00c6, 0xca06_00e7]));
        }
    };
    let address = code.len();
    code.extend([0; 2]);
    // W4 = MOVZ X5, #0; W3 = n
    code.extend([0x5280_00a4, 0x72ba_5004, aarch64::movz(3, 1 + r.below(400), 0)]);
    let top = code.len();
    // ADD W1, W4, W3, LSL #5; STR W1, [X2]
    code.extend([0x0b03_1481, 0xb900_0041]);
    between(code, r);
    let at = aarch64::CODE + 4 * code.len() as u64;
    code[address..address + 2].copy_from_slice(&aarch64::address(2, at));
    // MOVZ X5, #0; ADD X6, X6, X5
    code.extend([0xd280_0005, 0x8b05_00c6]);
    between(code, r);
    // SUBS W3, W3, #1; B.NE to the top
    code.push(0x7100_0463);
    code.push(0x5400_0001 | ((top as i32 - code.len() as i32) as u32 & 0x7_ffff) << 5);
}

#[test]
fn x86_loops() {
    random_programs::<X86Loops>();
}

#[test]
fn aarch64_loops() {
    random_programs::<A64Loops>();
}
