//! The decoder: a table in the manual's order (C4.1) with the manual's names.
//!
//! A row is a name, a pattern of 32 bits (`0`, `1`, `-` for any; blanks are ignored), and what the
//! instruction becomes: a function of the word that gives the handler and the immediate, or
//! `None` where the encoding is unallocated.

use super::int::{W, X};
use super::op::{Handler, Op, bits, sbits};
use super::regs::Features;
use super::{branch, int, ldst, ldst_simd, system};
use super::{decode_fp, decode_scalar, decode_vector, decode_vector2};
use std::sync::LazyLock;

/// What a row makes of a word.
type Make = fn(u32) -> Option<(Handler, u64)>;

/// A row of the table.
pub struct Row {
    /// The manual's name.
    pub name: &'static str,
    /// Bits that the pattern fixes.
    pub mask: u32,
    /// Their values.
    pub value: u32,
    /// What a model must have.
    pub need: Need,
    make: Make,
}

/// Features that a row's instructions need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// None.
    Nothing,
    /// CRC32.
    Crc32,
    /// AES, and PMULL of 64 bits.
    Aes,
    /// SHA1 and SHA256.
    Sha,
    /// Atomics.
    Lse,
    /// Rounding doubling multiply accumulate.
    Rdm,
    /// Dot products.
    DotProd,
    /// Half-precision arithmetic.
    Fp16,
    /// The same, where ftype (bits 23:22) is 11.
    HalfType,
    /// The same, where immh (bits 22:19) is 001x.
    HalfShift,
}

impl Need {
    /// The features have what `word` of a row with this need needs.
    fn met(self, word: u32, f: Features) -> bool {
        match self {
            Self::Nothing => true,
            Self::Crc32 => f.crc32,
            Self::Aes => f.aes,
            Self::Sha => f.sha,
            Self::Lse => f.lse,
            Self::Rdm => f.rdm,
            Self::DotProd => f.dotprod,
            Self::Fp16 => f.fp16,
            Self::HalfType => f.fp16 || bits(word, 23, 22) != 3,
            Self::HalfShift => f.fp16 || bits(word, 22, 20) != 1,
        }
    }
}

/// The tables, in the manual's order: C4.1.1 to C4.1.96, and the groups of C4.1.97.
static TABLES: [&[Row]; 5] =
    [TABLE, decode_scalar::ROWS, decode_vector::ROWS, decode_vector2::ROWS, decode_fp::ROWS];

/// The table's rows.
pub fn rows() -> impl Iterator<Item = &'static Row> {
    TABLES.into_iter().flatten()
}

/// A row of an instruction that only some models have.
pub(super) const fn row_if(need: Need, name: &'static str, pattern: &str, make: Make) -> Row {
    let mut row = row(name, pattern, make);
    row.need = need;
    row
}

/// A row of an instruction that every model has.
pub(super) const fn row(name: &'static str, pattern: &str, make: Make) -> Row {
    let p = pattern.as_bytes();
    let (mut mask, mut value, mut i, mut n) = (0u32, 0u32, 0, 0);
    while i < p.len() {
        if p[i] != b' ' {
            mask = mask << 1 | (p[i] != b'-') as u32;
            value = value << 1 | (p[i] == b'1') as u32;
            n += 1;
        }
        i += 1;
    }
    assert!(n == 32, "a pattern has 32 bits");
    Row { name, mask, value, need: Need::Nothing, make }
}

/// Handlers of the 32-bit and the 64-bit form.
macro_rules! by_sf {
    ($w:expr, $handler:path) => {{
        use $handler as handler;
        if $w >> 31 != 0 { handler::<X> as Handler } else { handler::<W> as Handler }
    }};
}

/// No immediate, no further check.
macro_rules! plain {
    ($handler:path) => {
        |_| Some(($handler as Handler, 0))
    };
}
pub(super) use plain;

fn imm12(w: u32) -> u64 {
    u64::from(bits(w, 21, 10)) << (12 * bits(w, 22, 22))
}

/// The logical immediate, if it is one.
fn logical(w: u32) -> Option<u64> {
    if w >> 31 == 0 && bits(w, 22, 22) != 0 {
        return None;
    }
    let mask = int::bit_masks(bits(w, 22, 22), bits(w, 15, 10), bits(w, 21, 16), true)?.0;
    Some(if w >> 31 == 0 { mask & 0xffff_ffff } else { mask })
}

fn wide(w: u32) -> Option<u64> {
    let hw = bits(w, 22, 21);
    (w >> 31 != 0 || hw < 2).then(|| u64::from(bits(w, 20, 5)) << (16 * hw))
}

/// Bitfield encodings: N equals sf, and 32-bit forms have small positions.
fn bitfield(w: u32) -> Option<()> {
    let sf = w >> 31;
    (sf == bits(w, 22, 22) && (sf != 0 || bits(w, 21, 21) == 0 && bits(w, 15, 15) == 0)).then_some(())
}

/// The shift amount of a shifted register, if allowed.
fn shift(w: u32, ror: bool) -> Option<u64> {
    let ok = (w >> 31 != 0 || bits(w, 15, 15) == 0) && (ror || bits(w, 23, 22) != 3);
    ok.then(|| bits(w, 15, 10).into())
}

fn extend(w: u32) -> Option<u64> {
    (bits(w, 12, 10) <= 4).then_some(0)
}

fn imm26(w: u32) -> u64 {
    sbits(w, 25, 0) << 2
}

fn imm19(w: u32) -> u64 {
    sbits(w, 23, 5) << 2
}

fn imm9(w: u32) -> u64 {
    sbits(w, 20, 12)
}

/// General loads and stores: sign extensions exist only to a wider register.
fn general(w: u32) -> Option<()> {
    let (size, opc) = (bits(w, 31, 30), bits(w, 23, 22));
    (!(size == 3 && opc >= 2 || size == 2 && opc == 3)).then_some(())
}

/// FP loads and stores: 128 bits are size 00 with the upper bit of opc.
fn vector(w: u32) -> Option<()> {
    (bits(w, 23, 23) == 0 || bits(w, 31, 30) == 0).then_some(())
}

/// PRFM has size 11 and opc 10.
fn is_prefetch(w: u32) -> bool {
    bits(w, 31, 30) == 3 && bits(w, 23, 22) == 2
}

fn vector_scale(w: u32) -> u32 {
    if bits(w, 23, 23) != 0 { 4 } else { bits(w, 31, 30) }
}

fn pair_scaled(w: u32, scale: u32) -> u64 {
    sbits(w, 21, 15) << scale
}

fn pair_general(w: u32) -> Option<(Handler, u64)> {
    let (opc, load, mode) = (bits(w, 31, 30), bits(w, 22, 22) != 0, bits(w, 24, 23));
    let ok = opc == 0 || opc == 2 || opc == 1 && load && mode != 0;
    ok.then(|| (ldst::pair::<false> as Handler, pair_scaled(w, if opc == 2 { 3 } else { 2 })))
}

fn pair_vector(w: u32) -> Option<(Handler, u64)> {
    let opc = bits(w, 31, 30);
    (opc != 3).then(|| (ldst::pair::<true> as Handler, pair_scaled(w, 2 + opc)))
}

fn crc(w: u32, poly: u64) -> Option<(Handler, u64)> {
    ((w >> 31 != 0) == (bits(w, 11, 10) == 3)).then_some((int::crc32 as Handler, poly))
}

/// Without post-index, bits 20:16 are zero; post-indexed (bit 23) they are a register.
fn rm_fits(w: u32) -> bool {
    bits(w, 23, 23) != 0 || bits(w, 20, 16) == 0
}

/// The form of a structure access: loads (bit 22) and post-indexed ones (bit 23).
macro_rules! by_form {
    ($w:expr, $($handler:tt)*) => {
        match bits($w, 23, 22) {
            0 => $($handler)*::<false, false> as Handler,
            1 => $($handler)*::<true, false>,
            2 => $($handler)*::<false, true>,
            _ => $($handler)*::<true, true>,
        }
    };
}

/// Multiple structures: single 64-bit elements exist only one by one.
fn structures(w: u32, repeat: u64, parts: u64) -> Option<(Handler, u64)> {
    let ok = rm_fits(w) && bits(w, 21, 21) == 0 && (parts == 1 || bits(w, 11, 10) != 3 || w >> 30 & 1 != 0);
    ok.then(|| (by_form!(w, ldst_simd::multiple), repeat | parts << 8))
}

/// A single structure: the index is Q:S:size, as far as the element's size leaves bits of it.
fn structure(w: u32, registers: u64) -> Option<(Handler, u64)> {
    let index = bits(w, 30, 30) << 3 | bits(w, 12, 10);
    let scale = match (bits(w, 15, 14), index & 3, index >> 2 & 1) {
        (0, ..) => 0u32,
        (1, 0 | 2, _) => 1,
        (2, 0, _) => 2,
        (2, 1, 0) => 3,
        _ => return None,
    };
    rm_fits(w).then(|| {
        (by_form!(w, ldst_simd::single), u64::from(index >> scale) | u64::from(scale) << 8 | registers << 16)
    })
}

/// LD1R (`first` 1) and LD3R, by R also LD2R and LD4R.
fn replicated(w: u32, first: u64) -> Option<(Handler, u64)> {
    let handler: Handler =
        if bits(w, 23, 23) != 0 { ldst_simd::replicate::<true> } else { ldst_simd::replicate::<false> };
    rm_fits(w).then(|| (handler, first + u64::from(bits(w, 21, 21))))
}

/// The table, in the manual's order.
static TABLE: &[Row] = &[
    // C4.1.1 Reserved
    row("UDF", "0000 0000 0000 0000 ---- ---- ---- ----", plain!(system::udf)),
    // C4.1.93 Data Processing - Immediate: PC-rel. addressing
    row("ADR", "0--1 0000 ---- ---- ---- ---- ---- ----", |w| {
        Some((int::adr, sbits(w, 23, 5) << 2 | u64::from(bits(w, 30, 29))))
    }),
    row("ADRP", "1--1 0000 ---- ---- ---- ---- ---- ----", |w| {
        Some((int::adrp, (sbits(w, 23, 5) << 2 | u64::from(bits(w, 30, 29))) << 12))
    }),
    // Add/subtract (immediate)
    row("ADD (immediate)", "-001 0001 0--- ---- ---- ---- ---- ----", |w| {
        Some((by_sf!(w, int::add_imm), imm12(w)))
    }),
    row("ADDS (immediate)", "-011 0001 0--- ---- ---- ---- ---- ----", |w| {
        Some((by_sf!(w, int::adds_imm), imm12(w)))
    }),
    row("SUB (immediate)", "-101 0001 0--- ---- ---- ---- ---- ----", |w| {
        Some((by_sf!(w, int::add_imm), imm12(w).wrapping_neg()))
    }),
    row("SUBS (immediate)", "-111 0001 0--- ---- ---- ---- ---- ----", |w| {
        Some((by_sf!(w, int::subs_imm), imm12(w)))
    }),
    // Logical (immediate)
    row("AND (immediate)", "-001 0010 0--- ---- ---- ---- ---- ----", |w| {
        Some((by_sf!(w, int::and_imm), logical(w)?))
    }),
    row("ORR (immediate)", "-011 0010 0--- ---- ---- ---- ---- ----", |w| {
        Some((by_sf!(w, int::orr_imm), logical(w)?))
    }),
    row("EOR (immediate)", "-101 0010 0--- ---- ---- ---- ---- ----", |w| {
        Some((by_sf!(w, int::eor_imm), logical(w)?))
    }),
    row("ANDS (immediate)", "-111 0010 0--- ---- ---- ---- ---- ----", |w| {
        Some((by_sf!(w, int::ands_imm), logical(w)?))
    }),
    // Move wide (immediate)
    row("MOVN", "-001 0010 1--- ---- ---- ---- ---- ----", |w| {
        let v = !wide(w)?;
        Some((int::mov_imm, if w >> 31 != 0 { v } else { v & 0xffff_ffff }))
    }),
    row("MOVZ", "-101 0010 1--- ---- ---- ---- ---- ----", |w| Some((int::mov_imm, wide(w)?))),
    row("MOVK", "-111 0010 1--- ---- ---- ---- ---- ----", |w| {
        wide(w)?;
        Some((by_sf!(w, int::movk), bits(w, 20, 5).into()))
    }),
    // Bitfield
    row("SBFM", "-001 0011 0--- ---- ---- ---- ---- ----", |w| {
        bitfield(w)?;
        Some((by_sf!(w, int::sbfm), 0))
    }),
    row("BFM", "-011 0011 0--- ---- ---- ---- ---- ----", |w| {
        bitfield(w)?;
        Some((by_sf!(w, int::bfm), 0))
    }),
    row("UBFM", "-101 0011 0--- ---- ---- ---- ---- ----", |w| {
        bitfield(w)?;
        Some((by_sf!(w, int::ubfm), 0))
    }),
    // Extract
    row("EXTR", "-001 0011 1-0- ---- ---- ---- ---- ----", |w| {
        let ok = w >> 31 == bits(w, 22, 22) && (w >> 31 != 0 || bits(w, 15, 15) == 0);
        ok.then(|| (by_sf!(w, int::extr), 0))
    }),
    // C4.1.94 Branches, Exception Generating and System instructions: Conditional branch (immediate)
    row("B.cond", "0101 0100 ---- ---- ---- ---- ---0 ----", |w| Some((branch::b_cond, imm19(w)))),
    // Exception generation
    row("SVC", "1101 0100 000- ---- ---- ---- ---0 0001", plain!(system::svc)),
    row("HVC", "1101 0100 000- ---- ---- ---- ---0 0010", plain!(system::hvc)),
    row("SMC", "1101 0100 000- ---- ---- ---- ---0 0011", plain!(system::smc)),
    row("BRK", "1101 0100 001- ---- ---- ---- ---0 0000", plain!(system::brk)),
    row("HLT", "1101 0100 010- ---- ---- ---- ---0 0000", plain!(system::hlt)),
    // Hints
    row("YIELD", "1101 0101 0000 0011 0010 0000 0011 1111", plain!(system::yield_)),
    row("WFE", "1101 0101 0000 0011 0010 0000 0101 1111", plain!(system::wfe)),
    row("WFI", "1101 0101 0000 0011 0010 0000 0111 1111", plain!(system::wfi)),
    row("SEV", "1101 0101 0000 0011 0010 0000 1001 1111", plain!(system::sev)),
    row("SEVL", "1101 0101 0000 0011 0010 0000 1011 1111", plain!(system::sevl)),
    row("HINT", "1101 0101 0000 0011 0010 ---- ---1 1111", plain!(system::nop)),
    // Barriers
    row("CLREX", "1101 0101 0000 0011 0011 ---- 0101 1111", plain!(system::clrex)),
    row("DSB", "1101 0101 0000 0011 0011 ---- 1001 1111", plain!(system::barrier)),
    row("DMB", "1101 0101 0000 0011 0011 ---- 1011 1111", plain!(system::barrier)),
    row("ISB", "1101 0101 0000 0011 0011 ---- 1101 1111", plain!(system::isb)),
    // PSTATE
    row("MSR (immediate)", "1101 0101 0000 0--- 0100 ---- ---1 1111", plain!(system::msr_imm)),
    // System instructions
    row("SYS", "1101 0101 0000 1--- ---- ---- ---- ----", plain!(system::sys)),
    row("SYSL", "1101 0101 0010 1--- ---- ---- ---- ----", plain!(system::udf)),
    // System register move
    row("MSR (register)", "1101 0101 0001 ---- ---- ---- ---- ----", plain!(system::msr)),
    row("MRS", "1101 0101 0011 ---- ---- ---- ---- ----", plain!(system::mrs)),
    // Unconditional branch (register)
    row("BR", "1101 0110 0001 1111 0000 00-- ---0 0000", plain!(branch::br)),
    row("BLR", "1101 0110 0011 1111 0000 00-- ---0 0000", plain!(branch::blr)),
    row("RET", "1101 0110 0101 1111 0000 00-- ---0 0000", plain!(branch::br)),
    row("ERET", "1101 0110 1001 1111 0000 0011 1110 0000", plain!(system::eret)),
    row("DRPS", "1101 0110 1011 1111 0000 0011 1110 0000", plain!(system::udf)),
    // Unconditional branch (immediate)
    row("B", "0001 01-- ---- ---- ---- ---- ---- ----", |w| Some((branch::b, imm26(w)))),
    row("BL", "1001 01-- ---- ---- ---- ---- ---- ----", |w| Some((branch::bl, imm26(w)))),
    // Compare and branch, test and branch (immediate)
    row("CBZ, CBNZ", "-011 010- ---- ---- ---- ---- ---- ----", |w| Some((by_sf!(w, branch::cbz), imm19(w)))),
    row("TBZ, TBNZ", "-011 011- ---- ---- ---- ---- ---- ----", |w| {
        Some((branch::tbz, sbits(w, 18, 5) << 2))
    }),
    // C4.1.95 Data Processing - Register: Data-processing (2 source)
    row("UDIV", "-001 1010 110- ---- 0000 10-- ---- ----", |w| Some((by_sf!(w, int::udiv), 0))),
    row("SDIV", "-001 1010 110- ---- 0000 11-- ---- ----", |w| Some((by_sf!(w, int::sdiv), 0))),
    row("LSLV, LSRV, ASRV, RORV", "-001 1010 110- ---- 0010 ---- ---- ----", |w| {
        Some((by_sf!(w, int::shift_variable), 0))
    }),
    row_if(Need::Crc32, "CRC32B, CRC32H, CRC32W, CRC32X", "-001 1010 110- ---- 0100 ---- ---- ----", |w| {
        crc(w, 0xedb8_8320)
    }),
    row_if(
        Need::Crc32,
        "CRC32CB, CRC32CH, CRC32CW, CRC32CX",
        "-001 1010 110- ---- 0101 ---- ---- ----",
        |w| crc(w, 0x82f6_3b78),
    ),
    // Data-processing (1 source)
    row("RBIT", "-101 1010 1100 0000 0000 00-- ---- ----", |w| Some((by_sf!(w, int::rbit), 0))),
    row("REV16", "-101 1010 1100 0000 0000 01-- ---- ----", |w| Some((by_sf!(w, int::rev16), 0))),
    row("REV, REV32", "-101 1010 1100 0000 0000 10-- ---- ----", plain!(int::rev32)),
    row("REV", "1101 1010 1100 0000 0000 11-- ---- ----", plain!(int::rev64)),
    row("CLZ", "-101 1010 1100 0000 0001 00-- ---- ----", |w| Some((by_sf!(w, int::clz), 0))),
    row("CLS", "-101 1010 1100 0000 0001 01-- ---- ----", |w| Some((by_sf!(w, int::cls), 0))),
    // Logical (shifted register)
    row("AND (shifted register)", "-000 1010 --0- ---- ---- ---- ---- ----", |w| {
        Some((by_sf!(w, int::and_reg), shift(w, true)?))
    }),
    row("BIC (shifted register)", "-000 1010 --1- ---- ---- ---- ---- ----", |w| {
        Some((by_sf!(w, int::bic_reg), shift(w, true)?))
    }),
    row("ORR (shifted register)", "-010 1010 --0- ---- ---- ---- ---- ----", |w| {
        Some((by_sf!(w, int::orr_reg), shift(w, true)?))
    }),
    row("ORN (shifted register)", "-010 1010 --1- ---- ---- ---- ---- ----", |w| {
        Some((by_sf!(w, int::orn_reg), shift(w, true)?))
    }),
    row("EOR (shifted register)", "-100 1010 --0- ---- ---- ---- ---- ----", |w| {
        Some((by_sf!(w, int::eor_reg), shift(w, true)?))
    }),
    row("EON (shifted register)", "-100 1010 --1- ---- ---- ---- ---- ----", |w| {
        Some((by_sf!(w, int::eon_reg), shift(w, true)?))
    }),
    row("ANDS (shifted register)", "-110 1010 --0- ---- ---- ---- ---- ----", |w| {
        Some((by_sf!(w, int::ands_reg), shift(w, true)?))
    }),
    row("BICS (shifted register)", "-110 1010 --1- ---- ---- ---- ---- ----", |w| {
        Some((by_sf!(w, int::bics_reg), shift(w, true)?))
    }),
    // Add/subtract (shifted register)
    row("ADD (shifted register)", "-000 1011 --0- ---- ---- ---- ---- ----", |w| {
        Some((by_sf!(w, int::add_reg), shift(w, false)?))
    }),
    row("ADDS (shifted register)", "-010 1011 --0- ---- ---- ---- ---- ----", |w| {
        Some((by_sf!(w, int::adds_reg), shift(w, false)?))
    }),
    row("SUB (shifted register)", "-100 1011 --0- ---- ---- ---- ---- ----", |w| {
        Some((by_sf!(w, int::sub_reg), shift(w, false)?))
    }),
    row("SUBS (shifted register)", "-110 1011 --0- ---- ---- ---- ---- ----", |w| {
        Some((by_sf!(w, int::subs_reg), shift(w, false)?))
    }),
    // Add/subtract (extended register)
    row("ADD (extended register)", "-000 1011 001- ---- ---- ---- ---- ----", |w| {
        Some((by_sf!(w, int::add_ext), extend(w)?))
    }),
    row("ADDS (extended register)", "-010 1011 001- ---- ---- ---- ---- ----", |w| {
        Some((by_sf!(w, int::adds_ext), extend(w)?))
    }),
    row("SUB (extended register)", "-100 1011 001- ---- ---- ---- ---- ----", |w| {
        Some((by_sf!(w, int::sub_ext), extend(w)?))
    }),
    row("SUBS (extended register)", "-110 1011 001- ---- ---- ---- ---- ----", |w| {
        Some((by_sf!(w, int::subs_ext), extend(w)?))
    }),
    // Add/subtract (with carry)
    row("ADC, ADCS, SBC, SBCS", "---1 1010 000- ---- 0000 00-- ---- ----", |w| {
        Some((by_sf!(w, int::adc), 0))
    }),
    // Conditional compare
    row("CCMN, CCMP", "--11 1010 010- ---- ---- -0-- ---0 ----", |w| Some((by_sf!(w, int::ccmp), 0))),
    // Conditional select
    row("CSEL, CSINC, CSINV, CSNEG", "--01 1010 100- ---- ---- 0--- ---- ----", |w| {
        Some((by_sf!(w, int::csel), 0))
    }),
    // Data-processing (3 source)
    row("MADD", "-001 1011 000- ---- 0--- ---- ---- ----", |w| Some((by_sf!(w, int::madd), 0))),
    row("MSUB", "-001 1011 000- ---- 1--- ---- ---- ----", |w| Some((by_sf!(w, int::msub), 0))),
    row("SMADDL, UMADDL", "1001 1011 -01- ---- 0--- ---- ---- ----", plain!(int::maddl)),
    row("SMSUBL, UMSUBL", "1001 1011 -01- ---- 1--- ---- ---- ----", plain!(int::msubl)),
    row("SMULH", "1001 1011 010- ---- 0--- ---- ---- ----", plain!(int::smulh)),
    row("UMULH", "1001 1011 110- ---- 0--- ---- ---- ----", plain!(int::umulh)),
    // C4.1.96 Loads and Stores: Compare and swap pair; load/store exclusive pair
    row_if(Need::Lse, "CASP", "0-00 1000 0-1- ---- -111 11-- ---- ----", |w| {
        (bits(w, 16, 16) | bits(w, 0, 0) == 0).then_some((ldst::casp, 0))
    }),
    // Advanced SIMD load/store multiple structures, and post-indexed
    row("ST4, LD4 (multiple structures)", "0-00 1100 --0- ---- 0000 ---- ---- ----", |w| structures(w, 1, 4)),
    row("ST1, LD1 (multiple structures, four registers)", "0-00 1100 --0- ---- 0010 ---- ---- ----", |w| {
        structures(w, 4, 1)
    }),
    row("ST3, LD3 (multiple structures)", "0-00 1100 --0- ---- 0100 ---- ---- ----", |w| structures(w, 1, 3)),
    row("ST1, LD1 (multiple structures, three registers)", "0-00 1100 --0- ---- 0110 ---- ---- ----", |w| {
        structures(w, 3, 1)
    }),
    row("ST1, LD1 (multiple structures, one register)", "0-00 1100 --0- ---- 0111 ---- ---- ----", |w| {
        structures(w, 1, 1)
    }),
    row("ST2, LD2 (multiple structures)", "0-00 1100 --0- ---- 1000 ---- ---- ----", |w| structures(w, 1, 2)),
    row("ST1, LD1 (multiple structures, two registers)", "0-00 1100 --0- ---- 1010 ---- ---- ----", |w| {
        structures(w, 2, 1)
    }),
    // Advanced SIMD load/store single structure, and post-indexed
    row("LD1R, LD2R", "0-00 1101 -1-- ---- 1100 ---- ---- ----", |w| replicated(w, 1)),
    row("LD3R, LD4R", "0-00 1101 -1-- ---- 1110 ---- ---- ----", |w| replicated(w, 3)),
    row("ST1, LD1 (single structure)", "0-00 1101 --0- ---- --0- ---- ---- ----", |w| structure(w, 1)),
    row("ST2, LD2 (single structure)", "0-00 1101 --1- ---- --0- ---- ---- ----", |w| structure(w, 2)),
    row("ST3, LD3 (single structure)", "0-00 1101 --0- ---- --1- ---- ---- ----", |w| structure(w, 3)),
    row("ST4, LD4 (single structure)", "0-00 1101 --1- ---- --1- ---- ---- ----", |w| structure(w, 4)),
    row("STXP, STLXP", "1-00 1000 001- ---- ---- ---- ---- ----", plain!(ldst::store_exclusive_pair)),
    row("LDXP, LDAXP", "1-00 1000 011- ---- ---- ---- ---- ----", plain!(ldst::load_exclusive_pair)),
    // Load/store exclusive register
    row("STXR, STLXR", "--00 1000 000- ---- ---- ---- ---- ----", plain!(ldst::store_exclusive)),
    row("LDXR, LDAXR", "--00 1000 010- ---- ---- ---- ---- ----", plain!(ldst::load_exclusive)),
    // Load/store ordered
    row("STLR, STLLR", "--00 1000 100- ---- ---- ---- ---- ----", plain!(ldst::store_release)),
    row("LDAR, LDLAR", "--00 1000 110- ---- ---- ---- ---- ----", plain!(ldst::load_acquire)),
    // Compare and swap
    row_if(Need::Lse, "CAS", "--00 1000 1-1- ---- -111 11-- ---- ----", plain!(ldst::cas)),
    // Load register (literal)
    row("LDR (literal)", "--01 1000 ---- ---- ---- ---- ---- ----", |w| {
        let handler: Handler = if bits(w, 31, 30) == 3 { ldst::prefetch } else { ldst::literal };
        Some((handler, imm19(w)))
    }),
    row("LDR (literal, SIMD&FP)", "--01 1100 ---- ---- ---- ---- ---- ----", |w| {
        (bits(w, 31, 30) != 3).then(|| (ldst::literal_vector as Handler, imm19(w)))
    }),
    // Load/store register pair: no-allocate, post-indexed, offset, pre-indexed
    row("STP, LDP, LDPSW, STNP, LDNP", "--10 100- ---- ---- ---- ---- ---- ----", pair_general),
    row("STP, LDP (SIMD&FP)", "--10 110- ---- ---- ---- ---- ---- ----", pair_vector),
    // Load/store register (unscaled immediate)
    row("STUR, LDUR", "--11 1000 --0- ---- ---- 00-- ---- ----", |w| {
        if is_prefetch(w) {
            return Some((ldst::prefetch, 0));
        }
        general(w)?;
        Some((ldst::offset::<false>, imm9(w)))
    }),
    row("STUR, LDUR (SIMD&FP)", "--11 1100 --0- ---- ---- 00-- ---- ----", |w| {
        vector(w)?;
        Some((ldst::offset::<true>, imm9(w)))
    }),
    // Load/store register (immediate post-indexed)
    row("STR, LDR (post-indexed)", "--11 1000 --0- ---- ---- 01-- ---- ----", |w| {
        general(w)?;
        Some((ldst::post::<false>, imm9(w)))
    }),
    row("STR, LDR (post-indexed, SIMD&FP)", "--11 1100 --0- ---- ---- 01-- ---- ----", |w| {
        vector(w)?;
        Some((ldst::post::<true>, imm9(w)))
    }),
    // Load/store register (unprivileged)
    row("STTR, LDTR", "--11 1000 --0- ---- ---- 10-- ---- ----", |w| {
        general(w)?;
        Some((ldst::unprivileged, imm9(w)))
    }),
    // Load/store register (immediate pre-indexed)
    row("STR, LDR (pre-indexed)", "--11 1000 --0- ---- ---- 11-- ---- ----", |w| {
        general(w)?;
        Some((ldst::pre::<false>, imm9(w)))
    }),
    row("STR, LDR (pre-indexed, SIMD&FP)", "--11 1100 --0- ---- ---- 11-- ---- ----", |w| {
        vector(w)?;
        Some((ldst::pre::<true>, imm9(w)))
    }),
    // Atomic memory operations
    row_if(
        Need::Lse,
        "LDADD, LDCLR, LDEOR, LDSET, LDSMAX, LDSMIN, LDUMAX, LDUMIN",
        "--11 1000 --1- ---- 0--- 00-- ---- ----",
        |w| Some((ldst::atomic, bits(w, 14, 12).into())),
    ),
    row_if(Need::Lse, "SWP", "--11 1000 --1- ---- 1000 00-- ---- ----", |_| Some((ldst::atomic, 8))),
    // Load/store register (register offset)
    row("STR, LDR (register)", "--11 1000 --1- ---- -1-- 10-- ---- ----", |w| {
        if is_prefetch(w) {
            return Some((ldst::prefetch, 0));
        }
        general(w)?;
        Some((ldst::register::<false>, u64::from(bits(w, 12, 12) * bits(w, 31, 30))))
    }),
    row("STR, LDR (register, SIMD&FP)", "--11 1100 --1- ---- -1-- 10-- ---- ----", |w| {
        vector(w)?;
        Some((ldst::register::<true>, u64::from(bits(w, 12, 12) * vector_scale(w))))
    }),
    // Load/store register (unsigned immediate)
    row("STR, LDR (immediate)", "--11 1001 ---- ---- ---- ---- ---- ----", |w| {
        if is_prefetch(w) {
            return Some((ldst::prefetch, 0));
        }
        general(w)?;
        Some((ldst::offset::<false>, u64::from(bits(w, 21, 10)) << bits(w, 31, 30)))
    }),
    row("STR, LDR (immediate, SIMD&FP)", "--11 1101 ---- ---- ---- ---- ---- ----", |w| {
        vector(w)?;
        Some((ldst::offset::<true>, u64::from(bits(w, 21, 10)) << vector_scale(w)))
    }),
];

/// Rows by bits 28:24 of the word, in the table's order.
static GROUPS: LazyLock<[Vec<&'static Row>; 32]> = LazyLock::new(|| {
    std::array::from_fn(|group| {
        let (mask, value) = (0x1f00_0000, (group as u32) << 24);
        rows().filter(|r| (r.value ^ value) & r.mask & mask == 0).collect()
    })
});

/// The row that a word belongs to.
pub fn find(word: u32) -> Option<&'static Row> {
    GROUPS[bits(word, 28, 24) as usize].iter().copied().find(|r| word & r.mask == r.value)
}

/// The manual's name of the instruction.
pub fn name(word: u32) -> &'static str {
    find(word).map_or("unallocated", |r| r.name)
}

/// Decodes a word.
pub fn decode(word: u32, features: Features) -> Op {
    let made = find(word).filter(|row| row.need.met(word, features)).and_then(|row| (row.make)(word));
    let (run, imm) = made.unwrap_or((system::udf, 0));
    let field = |hi, lo| bits(word, hi, lo) as u8;
    Op { run, imm, word, rd: field(4, 0), rn: field(9, 5), rm: field(20, 16), ra: field(14, 10) }
}

/// True when the word is an instruction that CPUs with these features have.
pub fn allocated(word: u32, features: Features) -> bool {
    find(word).is_some_and(|row| row.need.met(word, features) && (row.make)(word).is_some())
}
