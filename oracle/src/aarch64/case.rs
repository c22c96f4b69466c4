//! Cases: an instruction, registers and memory. A function of seed and number.

use crate::rng::Rng;
use dejavm_interp::aarch64::decode::{Row, rows};

/// Where the instruction lies.
pub const ENTRY: u64 = 0x1000_8000;
/// The page of data; the pages around it are not mapped.
pub const DATA: u64 = 0x2000_1000;
/// Bytes of the page that are filled and compared; the rest is zero.
pub const WINDOW: usize = 512;

/// Registers and memory, before or after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// X0 to X30.
    pub x: [u64; 31],
    /// SP.
    pub sp: u64,
    /// NZCV, FPCR, FPSR.
    pub nzcv: u64,
    /// See `nzcv`.
    pub fpcr: u64,
    /// See `nzcv`.
    pub fpsr: u64,
    /// V0 to V31.
    pub v: [u128; 32],
    /// The window.
    pub mem: Vec<u8>,
}

/// What an instruction did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The signal that ended it: 5 (SIGTRAP) when it completed.
    pub signal: u64,
    /// PC afterwards.
    pub pc: u64,
    /// Everything else.
    pub state: State,
}

/// A case.
#[derive(Clone, Debug)]
pub struct Case {
    /// The instruction.
    pub word: u32,
    /// The table's row that it was made from.
    pub row: &'static str,
    /// The state before.
    pub state: State,
}

/// Instructions that have no place in a user's program, or whose results belong to the machine.
fn excluded(name: &str) -> bool {
    matches!(
        name,
        "SVC"
            | "HVC"
            | "SMC"
            | "HLT"
            | "WFE"
            | "WFI"
            | "YIELD"
            | "SEV"
            | "SEVL"
            | "HINT"
            | "SYS"
            | "SYSL"
            | "MSR (register)"
            | "MSR (immediate)"
            | "MRS"
            | "ERET"
            | "DRPS"
            | "STXR, STLXR"
            | "STXP, STLXP"
            | "UDF"
    )
}

/// The rows that cases are made from.
pub fn table() -> Vec<&'static Row> {
    rows().filter(|r| !excluded(r.name)).collect()
}

fn value(rng: &mut Rng) -> u64 {
    match rng.below(8) {
        0 => rng.below(70),
        1 => !rng.below(70),
        2 => 1 << rng.below(64),
        3 => (1 << rng.below(64)) - 1,
        4 => DATA + rng.below(WINDOW as u64),
        5 => rng.bits() >> rng.below(64),
        _ => rng.bits(),
    }
}

/// Doubles and singles that matter, among random bits.
fn vector(rng: &mut Rng) -> u128 {
    let lane32 = |rng: &mut Rng| -> u32 {
        match rng.below(6) {
            0 => [
                0,
                0x8000_0000,
                0x3f80_0000,
                0xbf80_0000,
                0x7f80_0000,
                0xff80_0000,
                0x7fc0_0000,
                0x7f80_0001,
                0x0000_0001,
                0x007f_ffff,
                0x0080_0000,
                0x7f7f_ffff,
                0x4f00_0000,
                0xcf00_0000,
                0x5f00_0000,
            ][rng.below(15) as usize],
            1 => (rng.below(64) as u32 + 96) << 23 | rng.bits() as u32 & 0x807f_ffff,
            _ => rng.bits() as u32,
        }
    };
    let lane64 = |rng: &mut Rng| -> u64 {
        match rng.below(6) {
            0 => [
                0,
                1 << 63,
                0x3ff0_0000_0000_0000,
                0x7ff0_0000_0000_0000,
                0xfff0_0000_0000_0000,
                0x7ff8_0000_0000_0000,
                0x7ff0_0000_0000_0001,
                1,
                0x000f_ffff_ffff_ffff,
                0x0010_0000_0000_0000,
                0x7fef_ffff_ffff_ffff,
                0x43e0_0000_0000_0000,
                0x41e0_0000_0000_0000,
            ][rng.below(13) as usize],
            1 => (rng.below(128) + 960) << 52 | rng.bits() & 0x800f_ffff_ffff_ffff,
            _ => rng.bits(),
        }
    };
    match rng.below(3) {
        0 => (0..4).fold(0, |v, i| v | u128::from(lane32(rng)) << (32 * i)),
        1 => u128::from(lane64(rng)) | u128::from(lane64(rng)) << 64,
        _ => u128::from(rng.bits()) | u128::from(rng.bits()) << 64,
    }
}

/// Case `number` of `seed`.
pub fn case(table: &[&'static Row], seed: u64, number: u64) -> Case {
    let mut rng = Rng::new(seed, number);
    let row = table[(number % table.len() as u64) as usize];
    let mut word = row.value | rng.bits() as u32 & !row.mask;
    let mut x = std::array::from_fn(|_| value(&mut rng));
    let sp = DATA + 16 * rng.below(WINDOW as u64 / 16);
    // The base of a load or store, if it is one, mostly lies in the window.
    let (rn, rm) = ((word >> 5 & 31) as usize, (word >> 16 & 31) as usize);
    if word >> 27 & 1 != 0 && word >> 25 & 1 == 0 {
        if rng.percent(95) && rn < 31 {
            x[rn] = DATA + rng.below(WINDOW as u64 / 2) & !(if rng.percent(70) { 15 } else { 0 });
        }
        if rng.percent(90) && rm < 31 && rm != rn {
            x[rm] = rng.below(64);
        }
        // Unsigned offsets are small ones.
        if word >> 24 & 1 != 0 && rng.percent(90) {
            word &= !(0x3f << 16);
        }
    }
    let fpcr = if rng.percent(50) { 0 } else { rng.bits() & 0x07c0_0000 };
    Case {
        word,
        row: row.name,
        state: State {
            x,
            sp,
            nzcv: rng.bits() & 0xf000_0000,
            fpcr,
            fpsr: rng.bits() & 0x0800_009f & if rng.percent(50) { 0 } else { u64::MAX },
            v: std::array::from_fn(|_| vector(&mut rng)),
            mem: (0..WINDOW / 8).flat_map(|_| value(&mut rng).to_le_bytes()).collect(),
        },
    }
}

impl State {
    /// What differs from another, by name.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let mut all = Vec::new();
        let mut number = |name: String, a: u128, b: u128| {
            if a != b {
                all.push(format!("{name}: {a:#x}, {b:#x}"));
            }
        };
        for (i, (a, b)) in self.x.iter().zip(&other.x).enumerate() {
            number(format!("x{i}"), (*a).into(), (*b).into());
        }
        for (i, (a, b)) in self.v.iter().zip(&other.v).enumerate() {
            number(format!("v{i}"), *a, *b);
        }
        number("sp".into(), self.sp.into(), other.sp.into());
        number("nzcv".into(), self.nzcv.into(), other.nzcv.into());
        number("fpcr".into(), self.fpcr.into(), other.fpcr.into());
        number("fpsr".into(), self.fpsr.into(), other.fpsr.into());
        for (i, (a, b)) in self.mem.iter().zip(&other.mem).enumerate() {
            number(format!("mem[{i:#x}]"), (*a).into(), (*b).into());
        }
        all
    }
}
