//! Values that matter, among random ones.

use super::case::{DATA, WINDOW};
use crate::rng::Rng;

/// A general register's value.
pub fn general(rng: &mut Rng) -> u64 {
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

/// What the elements of V registers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Floating point of this many bits: 16, 32 or 64.
    Float(u32),
    /// Integers of this many bits.
    Int(u32),
}

impl Kind {
    /// Any of them.
    pub fn any(rng: &mut Rng) -> Self {
        match rng.below(7) {
            0 => Self::Float(16),
            1 => Self::Float(32),
            2 => Self::Float(64),
            n => Self::Int(8 << (n - 3)),
        }
    }
}

/// A floating-point number of `bits` bits.
fn float(rng: &mut Rng, bits: u32) -> u64 {
    let fraction_bits = match bits {
        16 => 10,
        32 => 23,
        _ => 52,
    };
    let fraction_mask = (1u64 << fraction_bits) - 1;
    let special = (1 << (bits - 1 - fraction_bits)) - 1;
    let bias = special >> 1;
    let fraction = match rng.below(6) {
        0 => 0,
        1 => 1,
        2 => fraction_mask,
        3 => 1 << rng.below(fraction_bits.into()),
        4 => fraction_mask << rng.below(fraction_bits.into()),
        _ => rng.bits(),
    } & fraction_mask;
    let exponent = match rng.below(12) {
        0 => 0,
        1 => special,
        2 => 1 + rng.below(3),
        3 => special - 1 - rng.below(3),
        // Near one, near the sizes of integers, near half of the range: products at its ends.
        4 => bias + rng.below(5) - 2,
        5 => bias + rng.below(70),
        6 => bias / 2 + rng.below(5) - 2,
        7 => bias + bias / 2 + rng.below(5) - 2,
        8 => bias + rng.below(2 * u64::from(fraction_bits)) - u64::from(fraction_bits),
        9 => rng.below(u64::from(fraction_bits) + 3),
        _ => rng.bits(),
    };
    let exponent = exponent.min(special) & special;
    (rng.bits() & 1) << (bits - 1) | exponent << fraction_bits | fraction
}

fn integer(rng: &mut Rng, bits: u32) -> u64 {
    let v = match rng.below(8) {
        0 => 0,
        1 => u64::MAX,
        2 => 1 << (bits - 1),
        3 => (1 << (bits - 1)) - 1,
        4 => rng.below(u64::from(bits) + 3),
        5 => (rng.below(u64::from(bits) + 3)).wrapping_neg(),
        _ => rng.bits(),
    };
    v & (u64::MAX >> (64 - bits))
}

/// A V register's value.
pub fn vector(rng: &mut Rng, kind: Kind) -> u128 {
    let (Kind::Float(bits) | Kind::Int(bits)) = kind;
    (0..128 / bits).fold(0, |v, i| {
        let e = if matches!(kind, Kind::Float(_)) { float(rng, bits) } else { integer(rng, bits) };
        v | u128::from(e) << (bits * i)
    })
}

/// A value that nearly cancels `v`, or is equal to it.
pub fn neighbour(rng: &mut Rng, kind: Kind, v: u128) -> u128 {
    let (Kind::Float(bits) | Kind::Int(bits)) = kind;
    let mut other = v;
    for i in 0..128 / bits {
        match rng.below(4) {
            0 => other ^= 1 << (bits * i + bits - 1),
            1 => other ^= 1 << (bits * i),
            2 => other ^= 1 << (bits * i + rng.below(bits.into()) as u32),
            _ => {}
        }
    }
    other
}
