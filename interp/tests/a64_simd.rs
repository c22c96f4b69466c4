//! What the comparison with another emulator does not see of AArch64's floating point and SIMD: traps, and what a
//! model has.

use dejavm_interp::aarch64::decode::{Need, Row, rows};
use dejavm_interp::aarch64::exec::{A64Bus, class};
use dejavm_interp::aarch64::regs::Model;
use dejavm_interp::aarch64::{Cpu, Interpreter};
use dejavm_interp::engine::{At, Bus, Clock, Engine, Exit, Stop};
use dejavm_interp::mem::{Memory, PhysAddr, Region};

const SIZE: u64 = 0x1_0000;
const CODE: u64 = 0x1000;
/// VBAR of EL1, EL2 and EL3.
const VECTORS: [u64; 4] = [0, 0x4000, 0x5000, 0x6000];
const FPEN: u64 = 3 << 20;
const TFP: u64 = 1 << 10;
/// FADD D0, D1, D2.
const FADD: u32 = 0x1e62_2820;

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

/// The outcome of one instruction: the level and class of its exception, or none.
type Outcome = Option<(u8, u8)>;

/// A CPU at EL1 without translation, floating point enabled.
fn cpu(model: Model, highest: u8) -> Cpu {
    let mut cpu = Cpu::new(model, 0, highest, CODE);
    cpu.el = 1;
    cpu.sys.vbar = VECTORS;
    cpu.sys.cpacr = FPEN;
    // Bases that lie in memory and are aligned.
    cpu.x[..31].fill(0x8000);
    cpu.sys.sp = [0x8000; 4];
    cpu
}

/// Runs `word` on `cpu`.
fn run(cpu: &mut Cpu, word: u32) -> Outcome {
    let mut mem = Memory::new(SIZE).expect("memory");
    mem.set_regions(vec![Region { start: 0, len: SIZE, offset: 0, writable: true }]).expect("one region");
    mem.write(CODE, &word.to_le_bytes());
    let exit = Interpreter::new().run(cpu, 0, &mut mem, &mut NoBus, Clock::default(), 1);
    assert_eq!(exit, Exit { steps: 1, stop: Stop::Budget }, "{word:08x}");
    let entered = |el: &usize| cpu.pc & !0x7ff == VECTORS[*el] && cpu.sys.elr[*el] == CODE;
    (1..=3).find(entered).map(|el| (el as u8, (cpu.sys.esr[el] >> 26) as u8))
}

fn alone(model: Model, word: u32) -> Outcome {
    run(&mut cpu(model, 1), word)
}

/// A word of the row that is allocated on a CPU that has everything.
fn sample(row: &Row) -> u32 {
    sample_with(row, row.mask, row.value)
}

/// A word of the row with these bits fixed that is allocated on a CPU that has everything.
fn sample_with(row: &Row, mask: u32, value: u32) -> u32 {
    let mut state = 0x9e37_79b9_7f4a_7c15u64 ^ u64::from(row.value);
    let word = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        value | (state >> 20) as u32 & !mask
    })
    .take(1000)
    .find(|word| alone(Model::MAX, *word) != Some((1, class::UNKNOWN)));
    word.unwrap_or_else(|| panic!("no word of {} is allocated", row.name))
}

/// Data processing on V registers (op0 x111), and loads and stores of them (x1x0 with bit 26).
fn uses_v(row: &Row) -> bool {
    let group = row.value >> 25 & 15;
    group & 7 == 7 || group & 5 == 4 && row.value >> 26 & 1 != 0
}

#[test]
fn every_instruction_on_v_registers_is_trapped() {
    let mut count = 0;
    for row in rows().filter(|r| uses_v(r)) {
        let word = sample(row);
        let mut off = cpu(Model::MAX, 1);
        off.sys.cpacr = 0;
        assert_eq!(run(&mut off, word), Some((1, class::FP_ACCESS)), "{}: {word:08x}", row.name);
        assert_eq!(off.sys.esr[1] & 0x1ff_ffff, 0x1e0_0000, "{}", row.name);
        count += 1;
    }
    assert!(count > 500, "{count}");
}

#[test]
fn traps_go_to_the_level_that_asks_for_them() {
    for (el, cpacr, cptr2, cptr3, want) in [
        (0, 1 << 20, 0, 0, Some(1)),
        (1, 1 << 20, 0, 0, None),
        (1, 2 << 20, TFP, TFP, Some(1)),
        (0, FPEN, TFP, TFP, Some(2)),
        (1, FPEN, TFP, 0, Some(2)),
        (2, 0, TFP, 0, Some(2)),
        (1, FPEN, 0, TFP, Some(3)),
        (3, 0, TFP, TFP, Some(3)),
        (3, 0, TFP, 0, None),
    ] {
        let mut cpu = cpu(Model::MAX, 3);
        cpu.el = el;
        cpu.sys.cpacr = cpacr;
        (cpu.sys.cptr[2], cpu.sys.cptr[3]) = (cptr2, cptr3);
        let got = run(&mut cpu, FADD);
        assert_eq!(got, want.map(|el| (el, class::FP_ACCESS)), "EL{el} {cpacr:x} {cptr2:x} {cptr3:x}");
    }
    // HCR_EL2.TGE: EL0's trap goes to EL2 without a syndrome.
    let mut cpu = cpu(Model::MAX, 2);
    (cpu.el, cpu.sys.cpacr, cpu.sys.hcr) = (0, 0, 1 << 27);
    assert_eq!(run(&mut cpu, FADD), Some((2, class::UNKNOWN)));
}

/// MRS X0, ID_AA64PFR0_EL1 and ID_AA64ISAR0_EL1.
const PFR0: u32 = 0xd538_0400;
const ISAR0: u32 = 0xd538_0600;

/// The ID register that shows a need, its field, and the field's value with it and without it.
fn shown(need: Need) -> Option<(u32, u32, u64, u64)> {
    Some(match need {
        Need::Nothing => return None,
        Need::Fp16 | Need::HalfType | Need::HalfShift => (PFR0, 20, 1, 0),
        Need::Aes => (ISAR0, 4, 2, 0),
        Need::Sha => (ISAR0, 12, 1, 0),
        Need::Crc32 => (ISAR0, 16, 1, 0),
        Need::Lse => (ISAR0, 20, 2, 0),
        Need::Rdm => (ISAR0, 28, 1, 0),
        Need::DotProd => (ISAR0, 44, 1, 0),
    })
}

/// A word of the row that needs its feature.
fn needing(row: &Row) -> u32 {
    match row.need {
        Need::HalfType => sample_with(row, row.mask | 3 << 22, row.value | 3 << 22),
        Need::HalfShift => sample_with(row, row.mask | 7 << 20, row.value | 1 << 20),
        _ => sample(row),
    }
}

#[test]
fn models_have_what_their_id_registers_show() {
    for model in [Model::CortexA53, Model::CortexA57, Model::MAX] {
        for row in rows() {
            let Some((register, field, with, without)) = shown(row.need) else { continue };
            let mut cpu = cpu(model, 1);
            assert_eq!(run(&mut cpu, register), None);
            let value = cpu.x[0] >> field & 15;
            assert!(value == with || value == without, "{model:?} {}: {value}", row.name);
            let word = needing(row);
            let has = alone(model, word) != Some((1, class::UNKNOWN));
            assert_eq!(has, value == with, "{model:?} {}: {word:08x}", row.name);
        }
    }
    let old = Model::CortexA53;
    // FADD H0, H1, H2; SQRDMLAH V0.4S, V1.4S, V2.4S; SDOT V0.4S, V1.16B, V2.16B; LDADD W0, W1, [X2].
    for word in [0x1ee2_2820, 0x6e82_8420, 0x4e82_9420, 0xb820_0041] {
        assert_eq!(alone(old, word), Some((1, class::UNKNOWN)), "{word:08x}");
        assert_eq!(alone(Model::MAX, word), None, "{word:08x}");
    }
}

/// FCVT between half and other precisions is in every model (C7.2.69).
#[test]
fn conversions_of_half_precision_need_no_feature() {
    // FCVT S0, H1; FCVT H0, D1; FCVTL V0.4S, V1.4H.
    for word in [0x1ee2_4020, 0x1e63_c020, 0x0e21_7820] {
        assert_eq!(alone(Model::CortexA53, word), None, "{word:08x}");
    }
}
