//! Floating point in integers: IEEE 754 binary formats and the x87's extended format.
//!
//! Problem: a guest's floating point must give the same bits and the same flags on every host,
//! for several architectures that differ in NaN choice, tininess, flushing and precision.
//! Idea: every operation unpacks its operands into sign, exponent and a left-aligned 128-bit
//! significand, computes exactly (or with a sticky last bit), and rounds once in
//! [`round`](self); what architectures disagree about is data in [`Env`]. Why it is right: the
//! tests compare values and flags with an independent implementation and with the host's own
//! FPU. No host floating point is used here.
//!
//! Sources: IEEE 754-2008; Intel SDM vol. 1 chapters 4.8, 8.5 and 11.5; Arm DDI 0487, A1.5 and the
//! shared pseudocode of J1.

mod arith;
mod compare;
mod convert;
mod extended;
mod format;
mod round;
#[cfg(test)]
mod tests;
mod wide;

pub use arith::{add, div, fma, fma_scaled, mul, sqrt, sub};
pub use compare::{Order, compare, compare_quiet};
pub use convert::{
    convert, from_alternative_half, from_i32, from_i64, from_u32, from_u64, round_to_int,
    to_alternative_half, to_fixed, to_i16, to_i32, to_i64, to_odd, to_u32, to_u64,
};
pub use extended::{Remainder, extract, remainder, scale, widen};
pub use format::{Class, F16, F32, F64, F80, F128, Format, Unpacked};
pub use round::{check_denormals, from_parts, product, propagate_nan, raise_invalid};

use serde::{Deserialize, Serialize};

/// Direction in which an inexact result is rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Rounding {
    /// To the nearest, ties to the even neighbour.
    NearestEven,
    /// Toward minus infinity.
    Down,
    /// Toward plus infinity.
    Up,
    /// Toward zero (truncate).
    TowardZero,
    /// To the nearest, ties away from zero.
    NearestAway,
}

impl Rounding {
    /// Decodes FPCR.RMode (DDI 0487, C5.2.8); higher bits are ignored.
    pub fn from_arm(rmode: u32) -> Rounding {
        match rmode & 3 {
            0 => Rounding::NearestEven,
            1 => Rounding::Up,
            2 => Rounding::Down,
            _ => Rounding::TowardZero,
        }
    }

    /// Decodes x86's two-bit rounding control (SDM vol. 1 table 4-8); higher bits are ignored.
    pub fn from_x86(rc: u32) -> Rounding {
        match rc & 3 {
            0 => Rounding::NearestEven,
            1 => Rounding::Down,
            2 => Rounding::Up,
            _ => Rounding::TowardZero,
        }
    }
}

/// The x87's precision control. Applies to [`F80`] results of add, sub, mul, div and sqrt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Precision {
    /// 24-bit significand.
    Single,
    /// 53-bit significand.
    Double,
    /// 64-bit significand.
    Extended,
}

/// Which NaN an operation with NaN operands returns, and the sign of the default NaN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum NanRule {
    /// The first operand if it is a NaN, else the second (SDM vol. 1 table 4-7, SSE column).
    Sse,
    /// A quiet NaN before a signalling one, else the larger significand (same table, x87).
    X87,
    /// The first signalling operand, else the first quiet one. Positive default NaN.
    Arm,
    /// Always the (positive) default NaN.
    ArmDefault,
}

impl NanRule {
    fn is_arm(self) -> bool {
        matches!(self, NanRule::Arm | NanRule::ArmDefault)
    }
}

/// Exception flags, in the bit order that x87's status word and MXCSR share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Flags(pub u8);

impl Flags {
    /// Invalid operation.
    pub const INVALID: u8 = 1;
    /// An operand was denormal (x86); a denormal operand was flushed to zero (ARM).
    pub const DENORMAL: u8 = 2;
    /// Exact infinity from finite operands.
    pub const DIVZERO: u8 = 4;
    /// The result's magnitude is too large for its format.
    pub const OVERFLOW: u8 = 8;
    /// The result is tiny (and inexact, when the exception is masked).
    pub const UNDERFLOW: u8 = 16;
    /// The result was rounded.
    pub const INEXACT: u8 = 32;

    /// Adds the flags in `bits`.
    pub fn raise(&mut self, bits: u8) {
        self.0 |= bits;
    }

    /// True if any flag of `bits` is set.
    pub fn any(self, bits: u8) -> bool {
        self.0 & bits != 0
    }
}

/// How to compute, and what happened. Flags accumulate over operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Env {
    /// Rounding direction.
    pub rounding: Rounding,
    /// Significand width of [`F80`] results.
    pub precision: Precision,
    /// NaN choice.
    pub nan_rule: NanRule,
    /// Tininess is detected before rounding (ARM) instead of after (x86).
    pub tiny_before_rounding: bool,
    /// Tiny results become zero (MXCSR.FTZ, FPCR.FZ).
    pub ftz: bool,
    /// Denormal operands are taken as zero (MXCSR.DAZ, FPCR.FZ).
    pub daz: bool,
    /// The underflow exception is masked; if not, tiny [`F80`] results get a biased exponent
    /// (SDM vol. 1 section 8.5.5) and exact tiny results count as underflow too.
    pub underflow_masked: bool,
    /// The overflow exception is masked; if not, overflowed [`F80`] results get a biased
    /// exponent (SDM vol. 1 section 8.5.4).
    pub overflow_masked: bool,
    /// The denormal exception is masked; if not, an operation on a denormal operand raises
    /// [`Flags::DENORMAL`] and does nothing more.
    pub denormal_masked: bool,
    /// The last rounding increased the magnitude: the x87's C1. Written by every operation
    /// that rounds, never cleared by others.
    pub rounded_up: bool,
    /// What happened so far.
    pub flags: Flags,
}

impl Env {
    /// The environment that an MXCSR value asks for (SDM vol. 1 section 10.2.3). Flags start
    /// empty: the caller ORs them into MXCSR.
    pub fn sse(mxcsr: u32) -> Env {
        Env {
            rounding: Rounding::from_x86(mxcsr >> 13),
            precision: Precision::Extended,
            nan_rule: NanRule::Sse,
            tiny_before_rounding: false,
            ftz: mxcsr & 0x8000 != 0,
            daz: mxcsr & 0x40 != 0,
            underflow_masked: mxcsr & 0x800 != 0,
            overflow_masked: mxcsr & 0x400 != 0,
            denormal_masked: mxcsr & 0x100 != 0,
            rounded_up: false,
            flags: Flags(0),
        }
    }

    /// The environment that an x87 control word asks for (SDM vol. 1 section 8.1.5). The
    /// reserved precision 01 is taken as extended, as processors do.
    pub fn x87(control_word: u16) -> Env {
        Env {
            rounding: Rounding::from_x86(u32::from(control_word) >> 10),
            precision: match control_word >> 8 & 3 {
                0 => Precision::Single,
                2 => Precision::Double,
                _ => Precision::Extended,
            },
            nan_rule: NanRule::X87,
            tiny_before_rounding: false,
            ftz: false,
            daz: false,
            underflow_masked: control_word & 0x10 != 0,
            overflow_masked: control_word & 0x08 != 0,
            denormal_masked: control_word & 0x02 != 0,
            rounded_up: false,
            flags: Flags(0),
        }
    }

    /// The environment that an FPCR value asks for (DDI 0487, C5.2.8), for half precision or the wider
    /// formats: FZ16 flushes the one, FZ the others. Flags start empty.
    pub fn arm(fpcr: u32, half: bool) -> Env {
        let flush = fpcr & if half { 1 << 19 } else { 1 << 24 } != 0;
        Env {
            rounding: Rounding::from_arm(fpcr >> 22),
            precision: Precision::Extended,
            nan_rule: if fpcr & 1 << 25 != 0 { NanRule::ArmDefault } else { NanRule::Arm },
            tiny_before_rounding: true,
            ftz: flush,
            daz: flush,
            underflow_masked: true,
            overflow_masked: true,
            denormal_masked: true,
            rounded_up: false,
            flags: Flags(0),
        }
    }

    fn raise(&mut self, bits: u8) {
        self.flags.raise(bits);
    }
}
