//! AArch64's step loop: exact budgets, exceptions and their return, interrupts, the guest's own debugging, code that
//! rewrites itself.

use dejavm_interp::aarch64::exec::{A64Bus, class};
use dejavm_interp::aarch64::regs::{Features, Model, psr};
use dejavm_interp::aarch64::{Cpu, Interpreter};
use dejavm_interp::engine::{At, Bus, Clock, Engine, Exit, Stop};
use dejavm_interp::mem::{Memory, PhysAddr, Region};

const SIZE: u64 = 0x1_0000;
const CODE: u64 = 0x1000;
const VECTORS: u64 = 0x4000;
const FROM_EL0: u64 = VECTORS + 0x400;
const FROM_EL1: u64 = VECTORS + 0x200;
const IRQ_FROM_EL1: u64 = VECTORS + 0x280;

const NOP: u32 = 0xd503_201f;
const WFI: u32 = 0xd503_207f;
const ERET: u32 = 0xd69f_03e0;
const SVC_5: u32 = 0xd400_00a1;

/// MOVZ Xd, #imm16.
fn movz(rd: u32, imm: u32) -> u32 {
    0xd280_0000 | imm << 5 | rd
}

/// ADD Xd, Xd, #imm12.
fn add(rd: u32, imm: u32) -> u32 {
    0x9100_0000 | imm << 10 | rd << 5 | rd
}

/// STR Wt, [Xn].
fn str_w(rt: u32, rn: u32) -> u32 {
    0xb900_0000 | rn << 5 | rt
}

/// LDR Xt, [Xn].
fn ldr(rt: u32, rn: u32) -> u32 {
    0xf940_0000 | rn << 5 | rt
}

struct NoBus;

impl Bus for NoBus {
    fn mmio_read(&mut self, _: &mut Memory, _: At, _: PhysAddr, _: u8) -> u64 {
        0
    }
    fn mmio_write(&mut self, _: &mut Memory, _: At, _: PhysAddr, _: u8, _: u64) {}
    fn attention(&self) -> bool {
        false
    }
}

impl A64Bus for NoBus {
    fn system_read(&mut self, _: &mut Memory, _: At, _: u16) -> Option<u64> {
        None
    }
    fn system_write(&mut self, _: &mut Memory, _: At, _: u16, _: u64) -> Option<()> {
        None
    }
    fn firmware(&mut self, _: &mut Memory, _: At, _: bool, _: [u64; 4]) -> Option<u64> {
        None
    }
    fn send_event(&mut self, _: At) {}
}

struct Guest {
    cpu: Cpu,
    mem: Memory,
    engine: Interpreter,
    icount: u64,
}

impl Guest {
    /// At EL1 without translation, all interrupts masked, `code` at [`CODE`].
    fn new(code: &[u32]) -> Self {
        let mut mem = Memory::new(SIZE).expect("memory");
        let region = Region { start: 0, len: SIZE, offset: 0, writable: true };
        mem.set_regions(vec![region]).expect("one region");
        let mut cpu = Cpu::new(Model::CortexA53, 0, 1, CODE);
        cpu.sys.vbar[1] = VECTORS;
        let mut guest = Self { cpu, mem, engine: Interpreter::new(), icount: 0 };
        guest.put(CODE, code);
        guest
    }

    fn put(&mut self, at: u64, code: &[u32]) {
        let bytes: Vec<u8> = code.iter().flat_map(|w| w.to_le_bytes()).collect();
        self.mem.write(at, &bytes);
    }

    fn run(&mut self, budget: u64) -> Exit {
        let clock = Clock { icount: self.icount, ..Clock::default() };
        let exit = self.engine.run(&mut self.cpu, 0, &mut self.mem, &mut NoBus, clock, budget);
        self.icount += exit.steps;
        exit
    }

    /// Runs `n` steps and gives PC.
    fn step(&mut self, n: u64) -> u64 {
        assert_eq!(self.run(n), Exit { steps: n, stop: Stop::Budget });
        self.cpu.pc
    }

    fn class(&self) -> u8 {
        (self.cpu.sys.esr[1] >> 26) as u8
    }
}

#[test]
fn budgets_are_exact() {
    let mut g = Guest::new(&[movz(0, 7), add(0, 1), add(0, 1), add(0, 1), NOP]);
    assert_eq!(g.step(2), CODE + 8);
    assert_eq!(g.cpu.x[0], 8);
    assert_eq!(g.step(1), CODE + 12);
    assert_eq!(g.step(0), CODE + 12);
    assert_eq!(g.cpu.x[0], 9);
}

#[test]
fn an_exception_is_entered_by_its_instruction_and_left_by_eret() {
    let mut g = Guest::new(&[NOP, SVC_5, NOP]);
    g.put(FROM_EL0, &[ERET]);
    g.cpu.el = 0;
    g.cpu.sp_sel = false;
    assert_eq!(g.step(2), FROM_EL0, "SVC is one step");
    assert_eq!((g.class(), g.cpu.sys.esr[1] & 0xffff), (class::SVC64, 5));
    assert_eq!((g.cpu.el, g.cpu.sys.elr[1]), (1, CODE + 8));
    assert_eq!(g.step(1), CODE + 8);
    assert_eq!(g.cpu.el, 0);
}

/// LDADD, SQRDMLAH, SDOT, FADD of half-precision numbers, MSR PAN: what a flag of `max` turns off is undefined, and
/// nothing else.
#[test]
fn each_feature_is_a_flag() {
    let words = [
        ("lse", 0xb820_0000),
        ("rdm", 0x6e80_8400),
        ("dotprod", 0x4e80_9400),
        ("fp16", 0x1ee0_2800),
        ("pan", 0xd500_409f),
        ("crc32", 0x1ac0_4000),
        ("aes", 0x4e28_4800),
        ("sha", 0x5e28_0800),
    ];
    for (off, _) in words {
        let mut features = Features::MAX;
        *features.flag(off).expect("a flag") = false;
        for (name, word) in words {
            let mut g = Guest::new(&[word]);
            g.cpu.model = Model::Max(features);
            g.cpu.sys.cpacr = 3 << 20;
            let to = if name == off { FROM_EL1 } else { CODE + 4 };
            assert_eq!(g.step(1), to, "{name} without {off}");
        }
    }
    assert_eq!(Features::NAMES.len(), words.len());
}

#[test]
fn an_undefined_instruction_is_one_step_that_does_nothing_but_enter() {
    let mut g = Guest::new(&[NOP, 0]);
    assert_eq!(g.step(2), FROM_EL1);
    assert_eq!((g.class(), g.cpu.sys.elr[1]), (class::UNKNOWN, CODE + 4));
}

#[test]
fn a_misaligned_pc_faults_with_its_address() {
    let mut g = Guest::new(&[NOP]);
    g.cpu.pc = CODE + 2;
    assert_eq!(g.step(1), FROM_EL1);
    assert_eq!((g.class(), g.cpu.sys.far[1]), (class::PC_ALIGNMENT, CODE + 2));
}

#[test]
fn an_illegal_return_faults_at_the_next_instruction() {
    let mut g = Guest::new(&[ERET]);
    g.cpu.sys.spsr[1] = psr::AARCH32;
    g.cpu.sys.elr[1] = CODE;
    assert_eq!(g.step(1), CODE);
    assert_eq!(g.step(1), FROM_EL1);
    assert_eq!(g.class(), class::ILLEGAL_STATE);
    assert_ne!(g.cpu.sys.spsr[1] & psr::IL, 0);
}

#[test]
fn interrupts_wait_for_the_mask_and_wake_from_wfi_in_any_case() {
    let mut g = Guest::new(&[WFI, NOP, NOP]);
    assert_eq!(g.run(10), Exit { steps: 1, stop: Stop::Halted });
    g.cpu.irq = true;
    assert_eq!(g.step(1), CODE + 8, "masked: it goes on behind WFI");
    g.cpu.daif = 0;
    assert_eq!(g.step(1), IRQ_FROM_EL1);
    assert_eq!((g.cpu.sys.elr[1], g.cpu.daif), (CODE + 8, psr::DAIF));
}

#[test]
fn rewritten_code_is_executed_as_it_is_now() {
    // The store rewrites the instruction right behind it, in the same block.
    let mut g = Guest::new(&[str_w(1, 2), NOP, NOP]);
    g.cpu.x[1] = movz(5, 77).into();
    g.cpu.x[2] = CODE + 4;
    g.step(2);
    assert_eq!(g.cpu.x[5], 77);
}

/// So often that it is not kept in any cache.
#[test]
fn a_loop_that_rewrites_itself_runs_as_it_is_each_time() {
    // ADD W1, W4, W3, LSL #5; STR W1, [X2]; MOVZ X5, #0; ADD X6, X6, X5; SUBS W3, W3, #1; B.NE to the start
    let add = |rd: u32, rn: u32, rm: u32| 0x8b00_0000 | rm << 16 | rn << 5 | rd;
    let code = [0x0b03_1481, str_w(1, 2), movz(5, 0), add(6, 6, 5), 0x7100_0463, 0x54ff_ff61];
    let mut g = Guest::new(&code);
    (g.cpu.x[2], g.cpu.x[3], g.cpu.x[4], g.cpu.x[6]) = (CODE + 8, 1000, movz(5, 0).into(), 0);
    assert_eq!(g.step(6000), CODE + 24);
    assert_eq!(g.cpu.x[6], 500_500);
}

/// At EL0, to be stepped: MDSCR_EL1.SS is set, and the return to EL0 sets PSTATE.SS.
fn stepped(code: &[u32]) -> Guest {
    let mut g = Guest::new(&[ERET]);
    g.put(0x2000, code);
    g.cpu.sys.mdscr = 1;
    g.cpu.sys.elr[1] = 0x2000;
    g.cpu.sys.spsr[1] = psr::SS;
    g.step(1);
    g
}

#[test]
fn software_step_lets_one_instruction_through() {
    let mut g = stepped(&[NOP, NOP]);
    assert_eq!((g.cpu.pc, g.cpu.pstate & psr::SS), (0x2000, psr::SS));
    assert_eq!(g.step(1), 0x2004);
    assert_eq!(g.step(1), FROM_EL0, "the step exception is a step of its own");
    assert_eq!((g.class(), g.cpu.sys.elr[1]), (class::STEP_LOWER, 0x2004));
    assert_eq!(g.cpu.sys.esr[1] & 1 << 24, 1 << 24, "ISV");
    assert_eq!(g.cpu.sys.spsr[1] & psr::SS, 0);
}

#[test]
fn software_step_over_a_system_call_is_done_when_it_returns() {
    let mut g = stepped(&[SVC_5, NOP]);
    g.put(FROM_EL0, &[ERET]);
    assert_eq!(g.step(1), FROM_EL0);
    assert_eq!((g.class(), g.cpu.sys.spsr[1] & psr::SS), (class::SVC64, 0));
    assert_eq!(g.step(1), 0x2004);
    assert_eq!(g.step(1), FROM_EL0);
    assert_eq!((g.class(), g.cpu.sys.elr[1]), (class::STEP_LOWER, 0x2004));
}

#[test]
fn a_fault_while_stepping_keeps_the_step() {
    let mut g = stepped(&[0]);
    assert_eq!(g.step(1), FROM_EL0);
    assert_eq!((g.class(), g.cpu.sys.spsr[1] & psr::SS), (class::UNKNOWN, psr::SS));
}

#[test]
fn breakpoints_hit_before_their_instruction() {
    let mut g = Guest::new(&[NOP, movz(0, 1)]);
    g.cpu.sys.mdscr = 1 << 15 | 1 << 13;
    g.cpu.daif = 0;
    g.cpu.sys.dbgbvr[2] = CODE + 4;
    // EL1, all four bytes.
    g.cpu.sys.dbgbcr[2] = 1 | 1 << 1 | 15 << 5;
    assert_eq!(g.step(2), FROM_EL1);
    assert_eq!((g.class(), g.cpu.sys.elr[1], g.cpu.x[0]), (class::BREAKPOINT_LOWER + 1, CODE + 4, 0));
}

#[test]
fn watchpoints_hit_before_their_access() {
    let mut g = Guest::new(&[ldr(3, 2), str_w(1, 2)]);
    g.cpu.sys.mdscr = 1 << 15 | 1 << 13;
    g.cpu.daif = 0;
    (g.cpu.x[1], g.cpu.x[2]) = (5, 0x8000);
    // Stores at EL1 to the third byte.
    g.cpu.sys.dbgwvr[0] = 0x8000;
    g.cpu.sys.dbgwcr[0] = 1 | 1 << 1 | 2 << 3 | 1 << (5 + 2);
    assert_eq!(g.step(1), CODE + 4, "a load is not watched");
    assert_eq!(g.step(1), FROM_EL1);
    assert_eq!((g.class(), g.cpu.sys.far[1]), (class::WATCHPOINT_LOWER + 1, 0x8002));
    assert_ne!(g.cpu.sys.esr[1] & 1 << 6, 0, "WnR");
    assert_eq!(g.mem.value(0x8000, 4), 0, "nothing was stored");
}
