//! Operand values: random ones are hardly ever interesting, so most are drawn from the edges.

use crate::rng::Rng;

/// A 64-bit pattern whose low 8, 16, 32 or 64 bits are likely an edge of something.
pub fn int(rng: &mut Rng) -> u64 {
    match rng.below(16) {
        0 => 0,
        1 => 1,
        2 => u64::MAX,
        3 => 1 << rng.below(64),
        4 => (1 << rng.below(64)) - 1,
        5 => !(1 << rng.below(64)),
        6 => rng.pick(&[
            0x80,
            0x8000,
            0x8000_0000,
            1 << 63,
            0x8000_8000_8000_8000,
            0x8080_8080_8080_8080,
            0x8000_0000_8000_0000,
        ]),
        7 => rng.pick(&[
            0x7f,
            0x7fff,
            0x7fff_ffff,
            u64::MAX >> 1,
            0x7fff_7fff_7fff_7fff,
            0x7f7f_7f7f_7f7f_7f7f,
            0x7fff_ffff_7fff_ffff,
        ]),
        8 => rng.below(256),
        9 => rng.below(256).wrapping_neg(),
        10 => rng.bits() >> rng.below(64),
        11 => (rng.bits() as i64 >> rng.below(64)) as u64,
        _ => rng.bits(),
    }
}

/// A single-precision pattern.
pub fn f32(rng: &mut Rng) -> u32 {
    let sign = (rng.bits() as u32) & 1 << 31;
    sign | match rng.below(16) {
        0 => 0,
        1 => 0x7f80_0000,
        2 => 0x7fc0_0000 | rng.bits() as u32 & 0x3f_ffff,
        3 => 0x7f80_0001 + rng.below(0x3f_ffff) as u32,
        4 => rng.pick(&[1, 0x7f_ffff, 0x40_0000]),
        5 => rng.bits() as u32 & 0x7f_ffff,
        6 => rng.pick(&[0x80_0000, 0x7f7f_ffff, 0x80_0001]),
        7 => 0x3f80_0000,
        8 => (rng.below(100) as f32).to_bits(),
        9 => (rng.below(1000) as f32 / 2.0).to_bits(),
        // Near the limits of the integers that conversions go to.
        10 => (rng.pick(&[31u32, 32, 63, 64, 15]) + 127) << 23 | rng.below(4) as u32,
        11 => (rng.below(40) as u32 + 107) << 23 | rng.bits() as u32 & 0x7f_ffff,
        12 => (rng.below(8) as u32 + 120) << 23 | (rng.bits() as u32 & 7) << 20,
        13 => rng.below(60) as u32 * 0x10_0000,
        _ => rng.bits() as u32 & 0x7fff_ffff,
    }
}

/// A double-precision pattern.
pub fn f64(rng: &mut Rng) -> u64 {
    let sign = rng.bits() & 1 << 63;
    sign | match rng.below(18) {
        0 => 0,
        1 => 0x7ff << 52,
        2 => 0x7ff8 << 48 | rng.bits() >> 13,
        3 => (0x7ff << 52) + 1 + rng.below((1 << 51) - 1),
        4 => rng.pick(&[1, (1 << 52) - 1, 1 << 51]),
        5 => rng.bits() >> 12,
        6 => rng.pick(&[1 << 52, (0x7ff << 52) - 1, (1 << 52) + 1]),
        7 => 0x3ff << 52,
        8 => (rng.below(100) as f64).to_bits(),
        9 => (rng.below(1000) as f64 / 2.0).to_bits(),
        10 => (rng.pick(&[31u64, 32, 63, 64, 15]) + 1023) << 52 | rng.below(4),
        11 => (rng.below(80) + 983) << 52 | rng.bits() >> 12,
        // Around the limits of single precision.
        12 => (rng.below(60) + 1023 - 155) << 52 | rng.bits() >> 12,
        13 => (rng.below(4) + 1023 + 126) << 52 | rng.bits() >> 12,
        14 => ((rng.bits() >> 33) as f64 + 0.5).to_bits(),
        _ => rng.bits() >> 1,
    }
}

/// A double-extended pattern, of 80 bits; invalid ones included (SDM volume 1, table 8-3).
pub fn f80(rng: &mut Rng) -> u128 {
    const INTEGER: u64 = 1 << 63;
    let sign = (rng.bits() as u16) & 0x8000;
    let (exponent, significand): (u16, u64) = match rng.below(22) {
        0 => (0, 0),
        1 => (0x7fff, INTEGER),
        2 => (0x7fff, 3 << 62 | rng.bits() >> 2),
        3 => (0x7fff, INTEGER | 1 + rng.below((1 << 62) - 1)),
        4 => (0, rng.pick(&[1, INTEGER - 1, 1 << 62])),
        5 => (0, rng.bits() >> 1),
        // Pseudo-denormal, pseudo-infinity, pseudo-NaN, unnormal.
        6 => (0, INTEGER | rng.bits()),
        7 => (0x7fff, rng.bits() >> (1 + rng.below(63))),
        8 => (1 + rng.below(0x7ffe) as u16, rng.bits() >> (1 + rng.below(63))),
        9 => (0x3fff, INTEGER),
        10 => (rng.pick(&[1, 0x7ffe]), rng.pick(&[INTEGER, u64::MAX])),
        11 => small_integer(rng.below(1000)),
        12 => {
            let (e, s) = small_integer(1 + rng.below(1000));
            (e - 1, s)
        }
        13 => (0x3fff + rng.pick(&[15, 31, 63, 64]), INTEGER | rng.below(4)),
        14 => (0x3fff + rng.below(80) as u16 - 20, INTEGER | rng.bits()),
        // Around the limits of single and double precision.
        15 => (0x3fff - 160 + rng.below(60) as u16, INTEGER | rng.bits()),
        16 => (0x3fff - 1080 + rng.below(80) as u16, INTEGER | rng.bits()),
        17 => (0x3fff + rng.pick(&[126, 127, 128, 1022, 1023, 1024]), INTEGER | rng.bits()),
        18 => {
            // An integer and a half or so: rounding.
            let n = 1 + rng.below(62);
            (0x3fff + n as u16, INTEGER | rng.bits() & u64::MAX << (62 - n))
        }
        19 => (0x3fff - 1 + rng.below(3) as u16, INTEGER | rng.bits()),
        _ => (rng.below(0x7fff) as u16, INTEGER | rng.bits()),
    };
    u128::from(sign | exponent) << 64 | u128::from(significand)
}

fn small_integer(n: u64) -> (u16, u64) {
    if n == 0 {
        return (0, 0);
    }
    let z = n.leading_zeros();
    (0x3fff + 63 - z as u16, n << z)
}

/// What the elements of a vector or memory operand are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// Integers of 8 to 64 bits.
    Int(u32),
    /// Single precision.
    F32,
    /// Double precision.
    F64,
    /// Double-extended precision.
    F80,
}

/// 16 bytes made of `element`s.
pub fn vector(rng: &mut Rng, element: Element) -> u128 {
    match element {
        Element::Int(bits) if bits <= 64 => {
            let mut v = 0;
            for _ in 0..128 / bits {
                v = (v << (bits - 1) << 1) | u128::from(int(rng) & (u64::MAX >> (64 - bits)));
            }
            v
        }
        Element::Int(_) => u128::from(rng.bits()) << 64 | u128::from(rng.bits()),
        Element::F32 => (0..4).fold(0, |v, _| v << 32 | u128::from(f32(rng))),
        Element::F64 => u128::from(f64(rng)) << 64 | u128::from(f64(rng)),
        Element::F80 => f80(rng) | u128::from(rng.bits()) << 80,
    }
}
