//! The formats: bits to sign, exponent and significand, and back.

use std::fmt::Debug;

use serde::{Deserialize, Serialize};

/// What kind of datum an encoding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Plus or minus zero.
    Zero,
    /// Below the smallest normal number. Includes the x87's pseudo-denormals.
    Subnormal,
    /// A normal number.
    Normal,
    /// Plus or minus infinity.
    Infinity,
    /// A quiet NaN.
    Quiet,
    /// A signalling NaN.
    Signalling,
    /// An x87 encoding that the 80387 and later reject: unnormal, pseudo-infinity, pseudo-NaN
    /// (SDM vol. 1 section 8.2.2).
    Unsupported,
}

/// A datum taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unpacked {
    /// What it is.
    pub class: Class,
    /// True if negative.
    pub sign: bool,
    /// Exponent of the significand's top bit, for finite numbers other than zero.
    pub exp: i32,
    /// The significand, its leading one at bit 127 (subnormals are normalised). For NaNs the
    /// significand with the quiet bit at bit 126.
    pub sig: u128,
}

impl Unpacked {
    /// True for both kinds of NaN.
    pub fn is_nan(&self) -> bool {
        matches!(self.class, Class::Quiet | Class::Signalling)
    }

    /// True for zeros, subnormals and normals.
    pub fn is_finite(&self) -> bool {
        matches!(self.class, Class::Zero | Class::Subnormal | Class::Normal)
    }
}

mod sealed {
    pub trait Sealed {}
}

/// A binary floating-point format.
pub trait Format: Copy + Debug + PartialEq + Eq + sealed::Sealed {
    /// Bits of the significand, the leading one included.
    const PRECISION: u32;
    /// Exponent of the largest binade; also the bias.
    const MAX_EXP: i32;
    /// Exponent of the smallest normal binade.
    const MIN_EXP: i32 = 1 - Self::MAX_EXP;
    /// The all-ones biased exponent of infinities and NaNs.
    const SPECIAL: u32 = (2 * Self::MAX_EXP + 1) as u32;

    /// Takes a datum apart.
    fn unpack(self) -> Unpacked;

    /// Puts a datum together from its sign, its biased exponent and the low
    /// [`Format::PRECISION`] bits of `significand`, leading one included.
    fn assemble(sign: bool, biased: u32, significand: u128) -> Self;

    /// Plus or minus zero.
    fn zero(sign: bool) -> Self {
        Self::assemble(sign, 0, 0)
    }

    /// Plus or minus infinity.
    fn infinity(sign: bool) -> Self {
        Self::assemble(sign, Self::SPECIAL, 1 << (Self::PRECISION - 1))
    }

    /// The quiet NaN without payload.
    fn default_nan(sign: bool) -> Self {
        Self::assemble(sign, Self::SPECIAL, 3 << (Self::PRECISION - 2))
    }
}

macro_rules! ieee_format {
    ($name:ident, $bits:ty, $precision:expr, $max_exp:expr, $doc:expr) => {
        #[doc = $doc]
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub struct $name(pub $bits);

        impl sealed::Sealed for $name {}

        impl Format for $name {
            const PRECISION: u32 = $precision;
            const MAX_EXP: i32 = $max_exp;

            #[inline]
            fn unpack(self) -> Unpacked {
                const FRACTION: u32 = $precision - 1;
                let sign = self.0 >> (<$bits>::BITS - 1) != 0;
                let biased = (self.0 >> FRACTION) as u32 & Self::SPECIAL;
                // The fraction's top bit goes to bit 126, below the implicit one.
                let fraction = u128::from(self.0 & ((1 << FRACTION) - 1)) << (127 - FRACTION);
                if biased.wrapping_sub(1) < Self::SPECIAL - 1 {
                    return Unpacked {
                        class: Class::Normal,
                        sign,
                        exp: biased as i32 - Self::MAX_EXP,
                        sig: fraction | 1 << 127,
                    };
                }
                let (class, exp, sig) = if biased == 0 {
                    if fraction == 0 {
                        (Class::Zero, 0, 0)
                    } else {
                        let shift = fraction.leading_zeros();
                        (Class::Subnormal, Self::MIN_EXP - shift as i32, fraction << shift)
                    }
                } else if fraction == 0 {
                    (Class::Infinity, 0, 1 << 127)
                } else if fraction >> 126 != 0 {
                    (Class::Quiet, 0, fraction | 1 << 127)
                } else {
                    (Class::Signalling, 0, fraction | 1 << 127)
                };
                Unpacked { class, sign, exp, sig }
            }

            #[inline]
            fn assemble(sign: bool, biased: u32, significand: u128) -> Self {
                const FRACTION: u32 = $precision - 1;
                let fraction = significand as $bits & ((1 << FRACTION) - 1);
                $name((sign as $bits) << (<$bits>::BITS - 1) | (biased as $bits) << FRACTION | fraction)
            }
        }
    };
}

ieee_format!(F16, u16, 11, 15, "IEEE 754 binary16.");
ieee_format!(F32, u32, 24, 127, "IEEE 754 binary32.");
ieee_format!(F64, u64, 53, 1023, "IEEE 754 binary64.");
ieee_format!(F128, u128, 113, 16383, "IEEE 754 binary128.");

/// The x87's double extended-precision format, with an explicit leading one (SDM vol. 1
/// section 4.2.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct F80 {
    /// Sign in bit 15, biased exponent below.
    pub sign_exp: u16,
    /// The significand, its integer bit in bit 63.
    pub mantissa: u64,
}

impl F80 {
    /// The value one.
    pub const ONE: F80 = F80 { sign_exp: 0x3fff, mantissa: 1 << 63 };
    /// The "real indefinite": the default quiet NaN.
    pub const INDEFINITE: F80 = F80 { sign_exp: 0xffff, mantissa: 3 << 62 };

    /// True if the sign bit is set.
    pub fn sign(self) -> bool {
        self.sign_exp >> 15 != 0
    }

    /// The ten bytes in memory order.
    pub fn to_bytes(self) -> [u8; 10] {
        let mut bytes = [0; 10];
        bytes[..8].copy_from_slice(&self.mantissa.to_le_bytes());
        bytes[8..].copy_from_slice(&self.sign_exp.to_le_bytes());
        bytes
    }

    /// From the ten bytes in memory order.
    pub fn from_bytes(bytes: [u8; 10]) -> F80 {
        let [m @ .., s0, s1] = bytes;
        F80 { sign_exp: u16::from_le_bytes([s0, s1]), mantissa: u64::from_le_bytes(m) }
    }
}

impl sealed::Sealed for F80 {}

impl Format for F80 {
    const PRECISION: u32 = 64;
    const MAX_EXP: i32 = 16383;

    #[inline]
    fn unpack(self) -> Unpacked {
        let sign = self.sign();
        let biased = u32::from(self.sign_exp) & Self::SPECIAL;
        let sig = u128::from(self.mantissa) << 64;
        let integer = self.mantissa >> 63 != 0;
        let (class, exp, sig) = match biased {
            0 if self.mantissa == 0 => (Class::Zero, 0, 0),
            0 => {
                // A pseudo-denormal has its integer bit set and the same exponent.
                let shift = sig.leading_zeros();
                (Class::Subnormal, Self::MIN_EXP - shift as i32, sig << shift)
            }
            _ if !integer => (Class::Unsupported, 0, sig),
            Self::SPECIAL if self.mantissa << 1 == 0 => (Class::Infinity, 0, sig),
            Self::SPECIAL if self.mantissa >> 62 & 1 != 0 => (Class::Quiet, 0, sig),
            Self::SPECIAL => (Class::Signalling, 0, sig),
            _ => (Class::Normal, biased as i32 - Self::MAX_EXP, sig),
        };
        Unpacked { class, sign, exp, sig }
    }

    #[inline]
    fn assemble(sign: bool, biased: u32, significand: u128) -> Self {
        F80 { sign_exp: u16::from(sign) << 15 | biased as u16, mantissa: significand as u64 }
    }
}
