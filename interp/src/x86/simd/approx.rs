//! RCPPS, RCPSS, RSQRTPS, RSQRTSS: approximations, which differ from processor to processor.
//!
//! The definition here, for both engines: the reciprocal (of the root) rounded to nearest, ties
//! up, with 13 fraction bits. The relative error is below 2^-13, inside the manual's bound of
//! 1.5 * 2^-12 (SDM volume 2, RCPPS and RSQRTPS), and powers of two (of four) are exact.
//! Denormal operands count as zeros and tiny results become zeros, whatever MXCSR says; nothing
//! is reported in it.

use super::shape::{narrow32, table, whole, xmm};
use crate::x86::op::Handler;
use crate::x86::simd::pack::Pack;
use iced_x86::Instruction;

const SIGN: u32 = 1 << 31;
const INFINITY: u32 = 0x7f80_0000;
const QUIET: u32 = 1 << 22;
const INDEFINITE: u32 = 0xffc0_0000;
const SMALLEST_NORMAL: u32 = 0x0080_0000;
/// The largest operand of which the manual says that its reciprocal is not tiny:
/// 1.00000000000110000000001B * 2^126.
const LAST_NOT_TINY: u32 = 0x7e80_0c01;

/// What zeros, infinities and NaNs give; nothing for normal numbers.
fn special(x: u32) -> Option<u32> {
    let magnitude = x & !SIGN;
    match magnitude {
        0..SMALLEST_NORMAL => Some(x & SIGN | INFINITY),
        INFINITY => Some(x & SIGN),
        _ if magnitude > INFINITY => Some(x | QUIET),
        _ => None,
    }
}

/// A number with 13 fraction bits in 1.0 to 2.0 (both included), times a power of two.
fn assemble(biased: u32, q: u32) -> u32 {
    // A carry out of the fraction makes the next power of two.
    (biased << 23) + ((q - (1 << 13)) << 10)
}

fn reciprocal(x: u32) -> u32 {
    if let Some(v) = special(x) {
        return v;
    }
    let (sign, biased) = (x & SIGN, x >> 23 & 0xff);
    let significand = u64::from(x & 0x7f_ffff | 0x80_0000);
    // 2^24 / significand is in 1.0 to 2.0.
    let q = ((1 << 37) + significand / 2) / significand;
    let exponent = 253 - biased as i32;
    if exponent > 0 || q == 1 << 14 && exponent == 0 {
        return sign | assemble(exponent as u32, q as u32);
    }
    if x & !SIGN <= LAST_NOT_TINY { sign | SMALLEST_NORMAL } else { sign }
}

fn root(x: u32) -> u32 {
    // Negative numbers, infinity included.
    if matches!(x, 0x8080_0000..=0xff80_0000) {
        return INDEFINITE;
    }
    if let Some(v) = special(x) {
        return v;
    }
    let biased = x >> 23;
    let significand = u64::from(x & 0x7f_ffff | 0x80_0000);
    // The exponent made even, the significand is in 1.0 to 4.0 and the root's in 1.0 to 2.0:
    // its reciprocal, doubled, with one bit more for rounding.
    let (even, significand) =
        if biased & 1 != 0 { (biased, significand) } else { (biased - 1, significand << 1) };
    let q = ((1u64 << 53) / significand).isqrt().div_ceil(2) as u32;
    let halved = (even as i32 - 127) / 2;
    assemble((126 - halved) as u32, q)
}

whole! {
    Rcpps = |_, b, _| u128::map(b, reciprocal);
    Rcpss = |a, b, _| a.with_lane(0, reciprocal(b.lane(0)));
    Rsqrtps = |_, b, _| u128::map(b, root);
    Rsqrtss = |a, b, _| a.with_lane(0, root(b.lane(0)));
}

/// The handler for `ins`, if it is here.
pub fn select(ins: &Instruction) -> Option<Handler> {
    table!(ins; xmm: Rcpps Rsqrtps; narrow32: Rcpss Rsqrtss;)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The manual's bound, 1.5 * 2^-12, on what should be one, with 40 fraction bits.
    fn within(product: u128) -> bool {
        product.abs_diff(1 << 40) <= 3 << 27
    }

    #[test]
    fn every_significand_is_within_the_bound() {
        for fraction in 0..1u32 << 23 {
            let x = 127 << 23 | fraction;
            let r = reciprocal(x);
            // Numbers with 40 fraction bits.
            let value = |v: u32| u128::from(v & 0x7f_ffff | 0x80_0000) << ((v >> 23) - 110);
            assert!(within(value(x) * value(r) >> 40), "{x:#x} {r:#x}");
            for x in [x, x + (1 << 23)] {
                let r = value(root(x));
                assert!(within(value(x) * (r * r >> 40) >> 40), "{x:#x}");
            }
        }
    }

    #[test]
    fn edges() {
        for (x, rcp, rsqrt) in [
            (0, INFINITY, INFINITY),
            (SIGN, SIGN | INFINITY, SIGN | INFINITY),
            (1, INFINITY, INFINITY),
            (SIGN | 0x7f_ffff, SIGN | INFINITY, SIGN | INFINITY),
            (INFINITY, 0, 0),
            (SIGN | INFINITY, SIGN, INDEFINITE),
            (0x7f80_0001, 0x7fc0_0001, 0x7fc0_0001),
            (0xffc0_1234, 0xffc0_1234, 0xffc0_1234),
            (0x3f80_0000, 0x3f80_0000, 0x3f80_0000),
            (0xbf80_0000, 0xbf80_0000, INDEFINITE),
            (0x4080_0000, 0x3e80_0000, 0x3f00_0000),
            (0x0080_0000, 0x7e80_0000, 0x5f00_0000),
            (0x7e80_0000, 0x0080_0000, 0x2000_0000),
        ] {
            assert_eq!(reciprocal(x), rcp, "1 / {x:#x}");
            assert_eq!(root(x), rsqrt, "1 / sqrt {x:#x}");
        }
        // Just below and above the operands whose reciprocal becomes zero.
        assert_eq!(reciprocal(0x7e80_0c01), SMALLEST_NORMAL);
        assert_eq!(reciprocal(SIGN | 0x7e80_0c02), SIGN);
    }
}
