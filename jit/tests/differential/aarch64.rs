//! AArch64 programs, see the [`super::harness`].

use super::harness::{Arch, Random, Subject, breakpoints, memory, number, put, random_programs, settings};
use super::words::{Draw, program};
use dejavm_interp::aarch64::decode;
use dejavm_interp::aarch64::exec::A64Bus;
use dejavm_interp::aarch64::regs::{Model, psr, sctlr};
use dejavm_interp::aarch64::sysreg::reg;
use dejavm_interp::aarch64::{Cpu, Interpreter};
use dejavm_interp::engine::{At, Bus, Exit};
use dejavm_interp::mem::{Memory, PhysAddr};
use dejavm_interp::tlb::Size;
use dejavm_jit::aarch64::{Compiled, Jit, Settings};

const SIZE: u64 = 0x4_0000;
const TABLES: u64 = 0x1000;
const VECTORS: u64 = 0x8000;
/// Where programs begin.
pub const CODE: u64 = 0x1_0000;
const CODE_WORDS: usize = 3 * 1024;
const DATA: u64 = 0x2_0000;
const STACK: u64 = 0x3_0000;
/// Not mapped.
const HOLE: u64 = 0x2_8000;
/// Device memory.
const DEVICE: u64 = 0x2_9000;

impl Draw for Random {
    fn bits(&mut self) -> u64 {
        self.next()
    }
}

/// A board whose devices give numbers that depend on place and time.
struct Board;

impl Bus for Board {
    fn mmio_read(&mut self, _: &mut Memory, at: At, addr: PhysAddr, _: u8) -> u64 {
        addr ^ at.icount
    }
    fn mmio_write(&mut self, _: &mut Memory, _: At, _: PhysAddr, _: u8, _: u64) {}
    fn attention(&self) -> bool {
        false
    }
}

impl A64Bus for Board {
    fn system_read(&mut self, _: &mut Memory, at: At, reg: u16) -> Option<u64> {
        Some(at.icount << 8 | u64::from(reg))
    }
    fn system_write(&mut self, _: &mut Memory, _: At, _: u16, _: u64) -> Option<()> {
        Some(())
    }
    fn firmware(&mut self, _: &mut Memory, at: At, _: bool, x: [u64; 4]) -> Option<u64> {
        Some(x[1] ^ at.icount)
    }
    fn send_event(&mut self, _: At) {}
}

pub fn movz(rd: u32, imm: u64, shift: u32) -> u32 {
    0xd280_0000 | shift / 16 << 21 | (imm as u32 & 0xffff) << 5 | rd
}

fn movk(rd: u32, imm: u64, shift: u32) -> u32 {
    movz(rd, imm, shift) | 0x6000_0000
}

fn mrs(rt: u32, r: u16) -> u32 {
    0xd520_0000 | u32::from(r) << 5 | rt
}

fn msr(rt: u32, r: u16) -> u32 {
    0xd500_0000 | u32::from(r) << 5 | rt
}

/// RT = an address below 2^32.
pub fn address(rt: u32, v: u64) -> [u32; 2] {
    [movz(rt, v, 0), movk(rt, v >> 16, 16)]
}

const ERET: u32 = 0xd69f_03e0;

/// What each vector does. A system call returns at once; another synchronous exception starts the program again
/// with pointers that work; an interrupt returns with interrupts masked.
fn handlers(mem: &mut Memory, el: u8) {
    let mut sync = vec![
        mrs(16, reg::ESR_EL1),
        // LSR X16, X16, #26; SUB X16, X16, #15H
        0xd35a_fe10,
        0xd100_5610,
        // CBZ to the ERET, below
        0,
    ];
    for (rt, v) in [(19, DATA + 0x120), (20, DATA + 0x7f0), (25, STACK - 0x40), (16, STACK + 0x800)] {
        sync.extend(address(rt, v));
    }
    // ADD SP, X16, #0, or SP_EL0
    sync.push(if el == 0 { msr(16, reg::SP_EL0) } else { 0x9100_021f });
    sync.extend(address(16, CODE));
    sync.push(msr(16, reg::ELR_EL1));
    // ADD X3, X3, #123H; SPSR: interrupts unmasked
    sync.push(0x9104_8c63);
    sync.push(movz(16, if el == 0 { 0 } else { 5 }, 0));
    sync.push(msr(16, reg::SPSR_EL1));
    let end = sync.len();
    sync.push(ERET);
    sync[3] = 0xb400_0010 | ((end - 3) as u32) << 5;
    // ORR X16, X16, #80H
    let irq = [mrs(16, reg::SPSR_EL1), 0xb279_0210, msr(16, reg::SPSR_EL1), ERET];
    for from in [0x200, 0x400] {
        put_words(mem, VECTORS + from, &sync);
        for kind in [0x80, 0x100, 0x180] {
            put_words(mem, VECTORS + from + kind, &irq);
        }
    }
}

pub fn put_words(mem: &mut Memory, at: u64, words: &[u32]) {
    let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
    put(mem, at, &bytes);
}

pub fn machine(r: &mut Random) -> (Cpu, Memory) {
    let mut mem = memory(SIZE);
    let model = if r.one_in(2) { Model::MAX } else { Model::CortexA53 };
    let mut cpu = Cpu::new(model, 0, 1, CODE);
    let el = u8::from(!r.one_in(2));
    cpu.el = el;
    cpu.sp_sel = el > 0;
    cpu.daif = if r.one_in(2) { 0 } else { psr::DAIF };
    // Tables of 4 KiB for 39 bits of address.
    put(&mut mem, TABLES, &(TABLES + 0x1003).to_le_bytes());
    put(&mut mem, TABLES + 0x1000, &(TABLES + 0x2003).to_le_bytes());
    for page in 0..SIZE >> 12 {
        let at = page << 12;
        let user = if el == 0 && at >= CODE { 1 << 6 } else { 0 };
        let device = if at == DEVICE { 1 << 2 } else { 0 };
        if at != HOLE {
            put(&mut mem, TABLES + 0x2000 + page * 8, &(at | 1 << 10 | user | device | 3).to_le_bytes());
        }
    }
    cpu.sys.ttbr0[1] = TABLES;
    cpu.sys.tcr[1] = 25 | 25 << 16;
    cpu.sys.mair[1] = 0x00ff;
    cpu.sys.vbar[1] = VECTORS;
    cpu.sys.sctlr[1] |= sctlr::M | sctlr::UMA | sctlr::UCI | sctlr::DZE;
    for (bit, n) in [(sctlr::A, 6), (sctlr::SA, 2), (sctlr::SA0, 2), (sctlr::UMA, 4), (sctlr::DZE, 4)] {
        if r.one_in(n) {
            cpu.sys.sctlr[1] ^= bit;
        }
    }
    if r.one_in(16) {
        cpu.sys.sctlr[1] ^= r.of(&[sctlr::M, sctlr::EE, sctlr::E0E]);
    }
    if r.one_in(16) {
        cpu.sys.mdscr = r.of(&[1, 1 << 15, 1 << 12]);
    }
    handlers(&mut mem, el);
    for x in &mut cpu.x[..31] {
        *x = match r.below(4) {
            0 => r.below(16),
            1 => DATA + r.below(0x1000),
            2 => u64::MAX - r.below(16),
            _ => r.next(),
        };
    }
    for v in &mut cpu.v {
        *v = u128::from(number(r)) << 64 | u128::from(number(r));
    }
    cpu.x[19] = DATA + 0x120;
    cpu.x[20] = DATA + 0x7f0;
    cpu.x[25] = STACK - 0x40;
    cpu.x[21] = r.below(16);
    cpu.x[30] = CODE;
    cpu.set_sp(STACK + 0x800);
    if el == 0 {
        cpu.sys.sp[1] = STACK + 0xf00;
    }
    cpu.sys.cpacr = if r.one_in(10) { 0 } else { 3 << 20 };
    if r.one_in(6) {
        // DN, FZ, rounding.
        cpu.fpcr = (r.next() as u32) & 0x03c0_0000;
    }
    cpu.fpsr = (r.next() as u32) & 0x0800_009f;
    for at in (DATA..DATA + 0x2000).step_by(8) {
        put(&mut mem, at, &number(r).to_le_bytes());
    }
    (cpu, mem)
}

/// AArch64 at EL0 and EL1.
struct Programs;

impl Subject for Programs {
    type Arch = A64;

    fn setup(seed: u64) -> (Random, Cpu, Memory, Settings) {
        let mut r = Random::new(seed);
        let (cpu, mut mem) = machine(&mut r);
        let mut code = program(&mut r, cpu.model.features(), CODE_WORDS - 1, &[]);
        // And from its end back to its start.
        code.push(0x1400_0000 | -(code.len() as i32) as u32 & 0x03ff_ffff);
        put_words(&mut mem, CODE, &code);
        let settings = settings(&mut r);
        (r, cpu, mem, settings)
    }

    fn disturb(r: &mut Random, cpu: &mut Cpu) {
        cpu.irq = r.one_in(4);
        cpu.fiq = r.one_in(10);
    }
}

/// Both engines for AArch64.
pub struct A64;

impl Arch for A64 {
    type Cpu = Cpu;
    type Bus = dyn A64Bus;
    type Interpreter = Interpreter;
    type Jit = Jit;

    fn jit(settings: Settings, tlb: Size) -> Jit {
        let mut jit = Jit::with(Compiled::new(settings));
        jit.tlb_size = tlb;
        jit
    }

    fn with_bus(run: &mut dyn FnMut(&mut Self::Bus) -> Exit) -> Exit {
        run(&mut Board)
    }

    fn next(cpu: &Cpu, mem: &Memory) -> String {
        let pc = cpu.pc;
        let word = mem
            .bytes()
            .get(pc as usize..pc as usize + 4)
            .map_or(0, |b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        format!("{pc:x} {} {word:08x}", decode::name(word))
    }

    fn pc(cpu: &Cpu) -> u64 {
        cpu.pc
    }

    fn show(cpu: &Cpu) -> String {
        format!("{cpu:x?}")
    }
}

#[test]
fn aarch64() {
    random_programs::<Programs>();
}

#[test]
fn aarch64_breakpoints() {
    breakpoints::<Programs>();
}
