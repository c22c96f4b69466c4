//! Cases: an instruction, registers and memory. A function of seed and number.

use super::known::fatal;
use super::values::{Kind, general, neighbour, vector};
use crate::rng::Rng;
use dejavm_interp::aarch64::decode::{Row, find, rows};

/// Where the instruction lies: in the middle of 64 KiB of BRKs, where no case's data accesses go.
pub const ENTRY: u64 = 0x1359_8000;
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

/// Why no cases are made from a row.
pub fn excluded(name: &str) -> Option<&'static str> {
    Some(match name {
        "SVC" | "HVC" | "SMC" | "HLT" => "calls what is around the program",
        "WFE" | "WFI" | "YIELD" | "SEV" | "SEVL" | "HINT" => {
            "waits, or is a hint that the peer has a use for"
        }
        "SYS" | "SYSL" | "MSR (register)" | "MSR (immediate)" | "MRS" | "ERET" | "DRPS" => {
            "belongs to the system: interp/tests/a64_system.rs"
        }
        "STXR, STLXR" | "STXP, STLXP" => "needs a load-exclusive before it: never succeeds alone",
        "UDF" => "completes never",
        _ => return None,
    })
}

/// The rows that cases are made from.
pub fn table() -> Vec<&'static Row> {
    rows().filter(|r| excluded(r.name).is_none()).collect()
}

/// The name of cases whose words are random, allocated or not.
pub const ANY: &str = "any word";

/// A word of the groups that programs' data processing, loads and stores have (C4.1, op0 x101, x1x0, 100x, x111).
fn any_word(rng: &mut Rng) -> u32 {
    loop {
        let group =
            rng.pick(&[0b0101, 0b1101, 0b0100, 0b0110, 0b1100, 0b1110, 0b1000, 0b1001, 0b0111, 0b1111]);
        // Half of them in the largest group.
        let group = if rng.percent(50) { group | 0b0111 } else { group };
        let word = rng.bits() as u32 & 0xe1ff_ffff | group << 25;
        if find(word).is_none_or(|r| excluded(r.name).is_none()) && !fatal(word) {
            return word;
        }
    }
}

/// What the elements are that an instruction works on, as far as its place in C4.1.97 says.
fn kind(word: u32, row: &str) -> Option<Kind> {
    let (scalar, size) = (word >> 24 & 0x5e == 0x1e, word >> 22 & 3);
    let float = row.starts_with('F') || row.contains("CVTF");
    match () {
        () if word >> 25 & 7 != 7 => None,
        () if row.contains("half") => Some(Kind::Float(16)),
        () if scalar => Some(Kind::Float([32, 64, 16, 16][size as usize])),
        () if float => Some(Kind::Float(if size & 1 != 0 { 64 } else { 32 })),
        () => Some(Kind::Int(8 << size)),
    }
}

/// Case `number` of `seed`.
pub fn case(table: &[&'static Row], seed: u64, number: u64) -> Case {
    let mut rng = Rng::new(seed, number);
    let (row, mut word) = if number % 16 == 15 {
        let word = any_word(&mut rng);
        (find(word).map_or(ANY, |r| r.name), word)
    } else {
        let row = table[rng.below(table.len() as u64) as usize];
        (row.name, row.value | rng.bits() as u32 & !row.mask)
    };
    let mut x = std::array::from_fn(|_| general(&mut rng));
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
    if matches!(row, "B" | "BL") && rng.percent(75) {
        // 1 to 1000H instructions on, or back.
        let by = 1 + rng.below(0x1000) as u32;
        let by = if rng.percent(50) { by } else { by.wrapping_neg() };
        word = word & 0xfc00_0000 | by & 0x03ff_ffff;
    }
    // A branch's target mostly lies around it; to itself it would run for ever.
    if matches!(row, "BR" | "BLR" | "RET") && rng.percent(75) && rn < 31 {
        let target = ENTRY - 0x8000 + rng.below(0x1_0000);
        let target = if rng.percent(80) { target & !3 } else { target };
        x[rn] = if target == ENTRY { ENTRY + 4 } else { target };
    }
    let fpcr = if rng.percent(40) { 0 } else { rng.bits() & 0x07c8_0000 };
    let kind = kind(word, row).filter(|_| rng.percent(80)).unwrap_or_else(|| Kind::any(&mut rng));
    let mut v = std::array::from_fn(|_| vector(&mut rng, kind));
    if rng.percent(15) {
        let a: u128 = v[rn];
        v[rm] = neighbour(&mut rng, kind, a);
    }
    Case {
        word,
        row,
        state: State {
            x,
            sp,
            nzcv: rng.bits() & 0xf000_0000,
            fpcr,
            fpsr: rng.bits() & 0x0800_009f & if rng.percent(50) { 0 } else { u64::MAX },
            v,
            mem: (0..WINDOW / 8).flat_map(|_| general(&mut rng).to_le_bytes()).collect(),
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
