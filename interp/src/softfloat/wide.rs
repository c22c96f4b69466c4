//! 128- and 256-bit helpers: shifts that keep a sticky last bit, and the full product.

/// Shifts right; any bit shifted out sets the last bit of the result.
#[inline]
pub(super) fn shift_right_jam(value: u128, count: u32) -> u128 {
    match count {
        0 => value,
        1..=127 => value >> count | u128::from(value << (128 - count) != 0),
        _ => u128::from(value != 0),
    }
}

/// A 256-bit integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Wide {
    pub(super) hi: u128,
    pub(super) lo: u128,
}

impl Wide {
    /// The product of two 128-bit integers.
    pub(super) fn product(a: u128, b: u128) -> Wide {
        const LOW: u128 = u64::MAX as u128;
        let (a1, a0, b1, b0) = (a >> 64, a & LOW, b >> 64, b & LOW);
        let low = a0 * b0;
        let mid1 = a1 * b0 + (low >> 64);
        let mid2 = a0 * b1 + (mid1 & LOW);
        Wide { hi: a1 * b1 + (mid1 >> 64) + (mid2 >> 64), lo: mid2 << 64 | low & LOW }
    }

    /// True for zero.
    pub(super) fn is_zero(self) -> bool {
        self.hi == 0 && self.lo == 0
    }

    /// Sum modulo 2^256.
    pub(super) fn add(self, other: Wide) -> Wide {
        let (lo, carry) = self.lo.overflowing_add(other.lo);
        Wide { hi: self.hi.wrapping_add(other.hi).wrapping_add(u128::from(carry)), lo }
    }

    /// Difference modulo 2^256.
    pub(super) fn sub(self, other: Wide) -> Wide {
        let (lo, borrow) = self.lo.overflowing_sub(other.lo);
        Wide { hi: self.hi.wrapping_sub(other.hi).wrapping_sub(u128::from(borrow)), lo }
    }

    /// Leading zero bits.
    pub(super) fn leading_zeros(self) -> u32 {
        if self.hi != 0 { self.hi.leading_zeros() } else { 128 + self.lo.leading_zeros() }
    }

    /// Shifts left by less than 256.
    pub(super) fn shl(self, count: u32) -> Wide {
        match count {
            0 => self,
            1..=127 => Wide { hi: self.hi << count | self.lo >> (128 - count), lo: self.lo << count },
            _ => Wide { hi: self.lo << (count - 128), lo: 0 },
        }
    }

    /// Shifts right, keeping a sticky last bit.
    pub(super) fn shift_right_jam(self, count: u32) -> Wide {
        match count {
            0 => self,
            1..=127 => {
                let lo = self.lo >> count | self.hi << (128 - count);
                Wide { hi: self.hi >> count, lo: lo | u128::from(self.lo << (128 - count) != 0) }
            }
            _ => Wide { hi: 0, lo: shift_right_jam(self.hi, count - 128) | u128::from(self.lo != 0) },
        }
    }

    /// The upper half with the lower half folded into its last bit.
    pub(super) fn jam(self) -> u128 {
        self.hi | u128::from(self.lo != 0)
    }
}
