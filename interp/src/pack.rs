//! Vectors as plain integers: their lanes, and the usual ways to go over them.
//!
//! An operation on lanes is written once for every width: an MMX register is a `u64`, an XMM or AArch64 V
//! register a `u128`. The 256-bit forms of AVX work on two 128-bit halves alike.

use crate::softfloat::{F16, F32, F64};

/// An element of a vector.
pub trait Lane: Copy {
    /// Bytes.
    const BYTES: usize;
    /// From exactly `BYTES` little-endian bytes.
    fn load(b: &[u8]) -> Self;
    /// Into exactly `BYTES` little-endian bytes.
    fn store(self, b: &mut [u8]);
}

macro_rules! integer_lane {
    ($($t:ty)*) => {$(
        impl Lane for $t {
            const BYTES: usize = size_of::<$t>();
            #[inline(always)]
            fn load(b: &[u8]) -> Self {
                let mut a = [0; size_of::<$t>()];
                a.copy_from_slice(b);
                <$t>::from_le_bytes(a)
            }
            #[inline(always)]
            fn store(self, b: &mut [u8]) {
                b.copy_from_slice(&self.to_le_bytes());
            }
        }
    )*};
}
integer_lane!(u8 u16 u32 u64 i8 i16 i32 i64);

macro_rules! float_lane {
    ($f:ident, $t:ty) => {
        impl Lane for $f {
            const BYTES: usize = size_of::<$t>();
            #[inline(always)]
            fn load(b: &[u8]) -> Self {
                $f(<$t>::load(b))
            }
            #[inline(always)]
            fn store(self, b: &mut [u8]) {
                self.0.store(b);
            }
        }
    };
}
float_lane!(F16, u16);
float_lane!(F32, u32);
float_lane!(F64, u64);

/// A vector: `u64` for MMX, `u128` for XMM.
pub trait Pack: Copy {
    /// Bytes.
    const BYTES: usize;
    /// All bits clear.
    const ZERO: Self;
    /// The vector in memory order.
    type Bytes: Copy + AsRef<[u8]> + AsMut<[u8]>;
    /// To memory order.
    fn bytes(self) -> Self::Bytes;
    /// From memory order.
    fn from_bytes(b: Self::Bytes) -> Self;
    /// `v` in the low 64 bits, zeros above.
    fn from_low(v: u64) -> Self;
    /// Bitwise `f` on the whole vector, 64 bits at a time.
    fn bitwise(a: Self, b: Self, f: impl Fn(u64, u64) -> u64) -> Self;

    /// Number of lanes of type `T`.
    #[inline(always)]
    fn count<T: Lane>() -> usize {
        Self::BYTES / T::BYTES
    }

    /// Lane `i`, counted from the low end. `i` is taken modulo the number of lanes.
    #[inline(always)]
    fn lane<T: Lane>(self, i: usize) -> T {
        let i = i & (Self::count::<T>() - 1);
        T::load(&self.bytes().as_ref()[i * T::BYTES..(i + 1) * T::BYTES])
    }

    /// The vector with lane `i` (modulo the number of lanes) replaced.
    #[inline(always)]
    fn with_lane<T: Lane>(self, i: usize, v: T) -> Self {
        let i = i & (Self::count::<T>() - 1);
        let mut b = self.bytes();
        v.store(&mut b.as_mut()[i * T::BYTES..(i + 1) * T::BYTES]);
        Self::from_bytes(b)
    }

    /// The vector whose lane `i` is `f(i)`.
    #[inline(always)]
    fn build<T: Lane>(mut f: impl FnMut(usize) -> T) -> Self {
        let mut r = Self::ZERO.bytes();
        for (i, r) in r.as_mut().chunks_exact_mut(T::BYTES).enumerate() {
            f(i).store(r);
        }
        Self::from_bytes(r)
    }

    /// `f` of each lane.
    #[inline(always)]
    fn map<T: Lane>(a: Self, mut f: impl FnMut(T) -> T) -> Self {
        let a = a.bytes();
        let mut r = Self::ZERO.bytes();
        for (r, a) in r.as_mut().chunks_exact_mut(T::BYTES).zip(a.as_ref().chunks_exact(T::BYTES)) {
            f(T::load(a)).store(r);
        }
        Self::from_bytes(r)
    }

    /// `f` of each pair of lanes at the same place.
    #[inline(always)]
    fn zip<T: Lane>(a: Self, b: Self, mut f: impl FnMut(T, T) -> T) -> Self {
        let (a, b) = (a.bytes(), b.bytes());
        let mut r = Self::ZERO.bytes();
        for ((r, a), b) in r
            .as_mut()
            .chunks_exact_mut(T::BYTES)
            .zip(a.as_ref().chunks_exact(T::BYTES))
            .zip(b.as_ref().chunks_exact(T::BYTES))
        {
            f(T::load(a), T::load(b)).store(r);
        }
        Self::from_bytes(r)
    }
}

impl Pack for u64 {
    const BYTES: usize = 8;
    const ZERO: Self = 0;
    type Bytes = [u8; 8];
    #[inline(always)]
    fn bytes(self) -> [u8; 8] {
        self.to_le_bytes()
    }
    #[inline(always)]
    fn from_bytes(b: [u8; 8]) -> Self {
        Self::from_le_bytes(b)
    }
    #[inline(always)]
    fn from_low(v: u64) -> Self {
        v
    }
    #[inline(always)]
    fn bitwise(a: Self, b: Self, f: impl Fn(u64, u64) -> u64) -> Self {
        f(a, b)
    }
}

impl Pack for u128 {
    const BYTES: usize = 16;
    const ZERO: Self = 0;
    type Bytes = [u8; 16];
    #[inline(always)]
    fn bytes(self) -> [u8; 16] {
        self.to_le_bytes()
    }
    #[inline(always)]
    fn from_bytes(b: [u8; 16]) -> Self {
        Self::from_le_bytes(b)
    }
    #[inline(always)]
    fn from_low(v: u64) -> Self {
        v.into()
    }
    #[inline(always)]
    fn bitwise(a: Self, b: Self, f: impl Fn(u64, u64) -> u64) -> Self {
        u128::from(f(a as u64, b as u64)) | u128::from(f((a >> 64) as u64, (b >> 64) as u64)) << 64
    }
}
