//! Guest integers of 8 to 64 bits.

/// An operand of 1, 2, 4 or 8 bytes. Values travel as zero-extended `u64`s where the width is
/// not known to the compiler.
pub trait Word: Copy + Eq + Ord + std::fmt::Debug + 'static {
    /// Bytes.
    const BYTES: u8;
    /// Bits.
    const BITS: u32;
    /// All bits set, zero-extended.
    const MASK: u64;
    /// The sign bit, zero-extended.
    const SIGN: u64;
    /// The low bits of `v`.
    fn from_u64(v: u64) -> Self;
    /// Zero-extended.
    fn to_u64(self) -> u64;
    /// Sign-extended.
    fn to_i64(self) -> i64;
    /// From exactly `BYTES` little-endian bytes.
    fn from_bytes(b: &[u8]) -> Self;
    /// Into exactly `BYTES` little-endian bytes.
    fn put_bytes(self, b: &mut [u8]);
}

macro_rules! word {
    ($u:ty, $i:ty) => {
        impl Word for $u {
            const BYTES: u8 = size_of::<$u>() as u8;
            const BITS: u32 = <$u>::BITS;
            const MASK: u64 = <$u>::MAX as u64;
            const SIGN: u64 = 1 << (<$u>::BITS - 1);
            #[inline(always)]
            fn from_u64(v: u64) -> Self {
                v as $u
            }
            #[inline(always)]
            fn to_u64(self) -> u64 {
                u64::from(self)
            }
            #[inline(always)]
            fn to_i64(self) -> i64 {
                i64::from(self as $i)
            }
            #[inline(always)]
            fn from_bytes(b: &[u8]) -> Self {
                let mut a = [0; size_of::<$u>()];
                a.copy_from_slice(b);
                <$u>::from_le_bytes(a)
            }
            #[inline(always)]
            fn put_bytes(self, b: &mut [u8]) {
                b.copy_from_slice(&self.to_le_bytes());
            }
        }
    };
}
word!(u8, i8);
word!(u16, i16);
word!(u32, i32);
word!(u64, i64);
