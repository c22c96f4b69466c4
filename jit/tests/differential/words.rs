//! Random AArch64 instructions and programs, drawn from the decoder's table. The torture harness of whole machines
//! uses them too.

use dejavm_interp::aarch64::decode::{self, Row};
use dejavm_interp::aarch64::regs::Features;
use dejavm_interp::aarch64::sysreg::{encoding, reg};
use std::sync::LazyLock;

/// Random numbers.
pub trait Draw {
    /// 64 bits.
    fn bits(&mut self) -> u64;

    /// A number below `n`.
    fn below(&mut self, n: u64) -> u64 {
        (self.bits() >> 33) % n
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// One of several.
    fn of<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

/// Registers with addresses in them, mostly, and one with a small number.
pub const POINTERS: [u32; 3] = [19, 20, 25];
pub const SMALL: u32 = 21;

/// How often instructions of a row are drawn, of 8.
fn weight(row: &Row) -> u64 {
    match row.name {
        "UDF" | "HLT" | "BRK" | "SMC" | "HVC" | "YIELD" | "WFE" | "WFI" | "SEV" | "SEVL" | "DRPS"
        | "ERET" | "SYSL" => 1,
        "BR" | "BLR" | "RET" | "SVC" | "SYS" | "MRS" | "MSR (register)" | "MSR (immediate)" => 3,
        _ => 8,
    }
}

/// System registers that a program may meet.
const REGISTERS: &[u16] = &[
    reg::TPIDR_EL0,
    reg::TPIDR_EL0,
    reg::TPIDRRO_EL0,
    reg::TPIDR_EL1,
    reg::SP_EL0,
    reg::NZCV,
    reg::NZCV,
    reg::DAIF,
    reg::FPSR,
    reg::FPSR,
    reg::CURRENTEL,
    reg::ESR_EL1,
    reg::FAR_EL1,
    reg::SPSR_EL1,
    reg::PAR_EL1,
    reg::CTR_EL0,
    reg::DCZID_EL0,
    reg::MIDR_EL1,
    encoding(3, 3, 14, 0, 2),
];

/// Rows of SIMD and floating-point instructions, their loads and stores not among them; the others.
static ROWS: LazyLock<(Vec<&'static Row>, Vec<&'static Row>)> =
    LazyLock::new(|| decode::rows().partition(|row| row.value >> 25 & 7 == 7));

/// Beginnings of the names of instructions on vector registers that are compiled on their own: many of them in a row
/// keep registers in the host's, which any other puts back.
const COMPILED: &[&str] = &[
    "ADD (vector)",
    "SUB (vector)",
    "MUL (vector)",
    "MLA (vector)",
    "MLS (vector)",
    "NEG (vector)",
    "NOT",
    "CMEQ",
    "CMGT",
    "CMLT (zero)",
    "SMAX",
    "SMIN",
    "UMAX",
    "UMIN",
    "AND (vector)",
    "BIC (vector, reg",
    "ORR (vector, reg",
    "ORN (vector)",
    "EOR (vector)",
    "BSL",
    "BIT",
    "BIF",
    "MOVI",
    "MVNI",
    "FMOV",
    "DUP",
    "INS (general)",
    "SMOV",
    "UMOV",
    "EXT",
    "ZIP",
    "UZP",
    "TRN",
    "USHLL",
    "SHL",
    "SSHR",
    "USHR",
    "FADD",
    "FSUB",
    "FMUL",
    "FDIV",
    "FMLA (vector)",
    "FMLS (vector)",
    "FMADD",
    "FMSUB",
    "FNMADD",
    "FNMSUB",
    "FABS (scalar)",
    "FNEG (scalar)",
    "FSQRT (scalar)",
    "FCMP",
    "FCCMP",
    "FCSEL",
    "FMAX (scalar)",
    "FMIN (scalar)",
    "FMAXNM (scalar)",
    "FMINNM (scalar)",
    "FCVT (double to single)",
    "FCVT (single to double)",
    "FRINT",
    "SCVTF (scalar, integer)",
    "UCVTF (scalar, integer)",
    "FCVTZS (scalar, integer)",
    "FNMUL",
];
/// The same of loads and stores.
const COMPILED_ACCESSES: &[&str] = &[
    "ST1, LD1 (multiple",
    "LD1R",
    "STP, LDP (SIMD",
    "STR, LDR (immediate, SIMD",
    "STR, LDR (post-indexed, SIMD",
    "STR, LDR (pre-indexed, SIMD",
    "STR, LDR (register, SIMD",
    "STUR, LDUR (SIMD",
    "LDR (literal, SIMD",
];

/// The rows that a program's instructions are drawn from.
pub struct Rows {
    simd: Vec<&'static Row>,
    general: Vec<&'static Row>,
}

impl Rows {
    /// All of them, or of the SIMD and floating-point ones some that are compiled.
    pub fn new(r: &mut impl Draw) -> Self {
        let (simd, general) = ROWS.clone();
        if r.one_in(2) {
            return Self { simd, general };
        }
        let among = |row: &&Row, names: &[&str]| names.iter().any(|n| row.name.starts_with(n));
        let compiled: Vec<_> = simd.into_iter().filter(|row| among(row, COMPILED)).collect();
        let accesses: Vec<_> = general.iter().copied().filter(|row| among(row, COMPILED_ACCESSES)).collect();
        let mut simd: Vec<_> = (0..12).map(|_| r.of(&compiled)).collect();
        simd.extend((0..4).map(|_| r.of(&accesses)));
        Self { simd, general }
    }
}

/// One random instruction of the table, or `None`.
pub fn instruction(r: &mut impl Draw, rows: &Rows, features: Features) -> Option<u32> {
    // As many of the SIMD and floating-point rows as of the others.
    let rows = if r.one_in(2) { &rows.simd } else { &rows.general };
    let row = rows[r.below(rows.len() as u64) as usize];
    if r.below(8) >= weight(row) || weight(row) == 1 && !r.one_in(8) {
        return None;
    }
    let mut w = row.value | r.bits() as u32 & !row.mask;
    let system = w >> 22 == 0b11_0101_0100;
    if system && w >> 19 & 3 >= 2 {
        // MRS and MSR.
        w = w & !(0xffff << 5) | u32::from(r.of(REGISTERS)) << 5;
        if w >> 5 & 0xffff == u32::from(reg::FPCR) && !r.one_in(10) {
            return None;
        }
    } else if system && w >> 19 & 3 == 1 {
        // DC ZVA, DC CVAU, IC IVAU, TLBI VMALLE1
        let op = r.of(&[encoding(1, 3, 7, 4, 1), encoding(1, 3, 7, 11, 1), encoding(1, 3, 7, 5, 1)]);
        let op = if r.one_in(4) { encoding(1, 0, 8, 7, 0) } else { op };
        w = w & !0x1f_ffff | u32::from(op) << 5 | r.of(&POINTERS);
    }
    let access = w >> 27 & 1 != 0 && w >> 25 & 1 == 0;
    if access {
        if !r.one_in(12) {
            let base = if r.one_in(4) { 31 } else { r.of(&POINTERS) };
            w = w & !(31 << 5) | base << 5;
        }
        // Register offset: a small number in the index.
        if w >> 28 & 3 == 3 && w >> 24 & 1 == 0 && w >> 21 & 1 != 0 && w >> 10 & 3 == 2 && !r.one_in(12) {
            w = w & !(31 << 16) | SMALL << 16;
        }
        // Unsigned offsets: small ones.
        if w >> 28 & 3 == 3 && w >> 24 & 1 != 0 && !r.one_in(12) {
            w &= !(0xff0 << 10);
        }
    }
    // The pointers keep pointing, mostly.
    let pointer = |n: u32| POINTERS.contains(&n) || n == SMALL || n == 31;
    let written = if access { w >> 26 & 1 == 0 && pointer(w & 31) && w & 31 != 31 } else { pointer(w & 31) };
    if written && !r.one_in(12) {
        w = w & !31 | r.below(18) as u32;
    }
    // A word of a pair, or of write-back.
    if access && w >> 28 & 3 == 2 && pointer(w >> 10 & 31) && !r.one_in(12) {
        w = w & !(31 << 10) | (r.below(18) as u32) << 10;
    }
    (decode::allocated(w, features) || r.one_in(50)).then_some(w)
}

/// A program of at most `most` words: random instructions, branches among them. The address is a page's. `roots`: what
/// it writes to TTBR0_EL1 now and then.
pub fn program(r: &mut impl Draw, features: Features, most: usize, roots: &[u64]) -> Vec<u32> {
    let rows = Rows::new(r);
    let mut code: Vec<u32> = Vec::new();
    let mut starts = Vec::new();
    let mut fixes = Vec::new();
    let want = 20 + r.below(120) as usize;
    while starts.len() < want && code.len() < most - 8 {
        if r.one_in(40) {
            // On, somewhere else, near the end of a page now and then.
            let gap = if r.one_in(3) { 1024 - code.len() % 1024 } else { r.below(80) as usize };
            let gap = gap.saturating_sub(r.below(3) as usize).max(1);
            if code.len() + gap + 50 < most {
                code.push(0x1400_0000 | gap as u32);
                code.resize(code.len() + gap - 1, 0xd503_201f);
            }
        }
        if !roots.is_empty() && r.one_in(25) {
            starts.push(code.len());
            code.extend(switch(r.below(18) as u32, r.of(roots)));
            continue;
        }
        let word = if r.one_in(5) {
            fixes.push(code.len());
            let (rt, cond) = (r.below(31) as u32, r.below(16) as u32);
            let sf = (r.bits() as u32) & 1 << 31;
            match r.below(8) {
                0 => 0x9400_0000,
                1 => 0x1400_0000,
                2 => 0x3400_0000 | sf | rt | (r.bits() as u32) & 1 << 24,
                3 => 0x3600_0000 | sf | rt | (r.bits() as u32) & 0x01f8_0000,
                4 => 0xd65f_03c0,
                _ => 0x5400_0000 | cond,
            }
        } else {
            match instruction(r, &rows, features) {
                Some(w) => w,
                None => continue,
            }
        };
        starts.push(code.len());
        code.push(word);
    }
    for at in fixes {
        let to = starts[r.below(starts.len() as u64) as usize];
        let d = (to as i32 - at as i32) as u32;
        code[at] |= match code[at] >> 24 & 0x7f {
            0x14..=0x17 => d & 0x03ff_ffff,
            0x34 | 0x35 | 0x54 => (d & 0x7ffff) << 5,
            0x36 | 0x37 => (d & 0x3fff) << 5,
            _ => 0,
        };
    }
    code
}

/// MOVZ and MOVK of a root below 4 GiB with its ASID, MSR TTBR0_EL1.
fn switch(rt: u32, root: u64) -> [u32; 4] {
    let part = |n: u32| (root >> (16 * n)) as u32 & 0xffff;
    let wide = |op: u32, n| op | n << 21 | part(n) << 5 | rt;
    let msr = 0xd500_0000 | u32::from(reg::TTBR0_EL1) << 5 | rt;
    [wide(0xd280_0000, 0), wide(0xf280_0000, 1), wide(0xf280_0000, 3), msr]
}
