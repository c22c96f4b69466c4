//! Narrow lanes, eight or four at a time in a 64-bit word. Written lane by lane, bytes cost some
//! two hundred host instructions for one of the guest's; string functions live on them.
//!
//! `BITS` is the width of a lane. H stands for the top bits of all lanes: with them out of the
//! way, a sum or difference of words carries into no neighbour.

/// The lowest bit of every lane.
const fn low<const BITS: u32>() -> u64 {
    u64::MAX / ((1 << BITS) - 1)
}

/// H.
const fn high<const BITS: u32>() -> u64 {
    low::<BITS>() << (BITS - 1)
}

/// Lanes of ones where `m`, a subset of H, has a bit.
#[inline(always)]
fn fill<const BITS: u32>(m: u64) -> u64 {
    m - (m >> (BITS - 1)) | m
}

/// `a` where `m` has ones, else `b`.
#[inline(always)]
fn choose(m: u64, a: u64, b: u64) -> u64 {
    b ^ (a ^ b) & m
}

/// a + b.
#[inline(always)]
pub fn add<const BITS: u32>(a: u64, b: u64) -> u64 {
    let h = high::<BITS>();
    (a & !h) + (b & !h) ^ (a ^ b) & h
}

/// a - b.
#[inline(always)]
pub fn sub<const BITS: u32>(a: u64, b: u64) -> u64 {
    let h = high::<BITS>();
    ((a | h) - (b & !h)) ^ (a ^ !b) & h
}

/// All ones where a = b.
#[inline(always)]
pub fn equal<const BITS: u32>(a: u64, b: u64) -> u64 {
    let (h, t) = (high::<BITS>(), a ^ b);
    // The top bit of a sum is set when any lower bit of t is.
    fill::<BITS>(!((t & !h) + !h | t) & h)
}

/// All ones where a < b, unsigned: where a - b borrows.
#[inline(always)]
pub fn below<const BITS: u32>(a: u64, b: u64) -> u64 {
    fill::<BITS>((!a & b | (!a | b) & sub::<BITS>(a, b)) & high::<BITS>())
}

/// All ones where a < b, signed.
#[inline(always)]
pub fn less<const BITS: u32>(a: u64, b: u64) -> u64 {
    below::<BITS>(a ^ high::<BITS>(), b ^ high::<BITS>())
}

/// The smaller, unsigned.
#[inline(always)]
pub fn min_unsigned<const BITS: u32>(a: u64, b: u64) -> u64 {
    choose(below::<BITS>(a, b), a, b)
}

/// The greater, unsigned.
#[inline(always)]
pub fn max_unsigned<const BITS: u32>(a: u64, b: u64) -> u64 {
    choose(below::<BITS>(a, b), b, a)
}

/// The smaller, signed.
#[inline(always)]
pub fn min_signed<const BITS: u32>(a: u64, b: u64) -> u64 {
    choose(less::<BITS>(a, b), a, b)
}

/// The greater, signed.
#[inline(always)]
pub fn max_signed<const BITS: u32>(a: u64, b: u64) -> u64 {
    choose(less::<BITS>(a, b), b, a)
}

/// a + b, at most all ones.
#[inline(always)]
pub fn add_unsigned<const BITS: u32>(a: u64, b: u64) -> u64 {
    let sum = add::<BITS>(a, b);
    sum | fill::<BITS>((a & b | (a | b) & !sum) & high::<BITS>())
}

/// a - b, at least zero.
#[inline(always)]
pub fn sub_unsigned<const BITS: u32>(a: u64, b: u64) -> u64 {
    sub::<BITS>(a, b) & !below::<BITS>(a, b)
}

/// `v`, or where `overflow` has a top bit the limit on the side of `a`.
#[inline(always)]
fn saturate<const BITS: u32>(v: u64, overflow: u64, a: u64) -> u64 {
    let (l, h) = (low::<BITS>(), high::<BITS>());
    choose(fill::<BITS>(overflow & h), (a >> (BITS - 1) & l) + !h, v)
}

/// a + b, signed, with saturation.
#[inline(always)]
pub fn add_signed<const BITS: u32>(a: u64, b: u64) -> u64 {
    let sum = add::<BITS>(a, b);
    saturate::<BITS>(sum, !(a ^ b) & (a ^ sum), a)
}

/// a - b, signed, with saturation.
#[inline(always)]
pub fn sub_signed<const BITS: u32>(a: u64, b: u64) -> u64 {
    let difference = sub::<BITS>(a, b);
    saturate::<BITS>(difference, (a ^ b) & (a ^ difference), a)
}

/// (a + b + 1) / 2, unsigned.
#[inline(always)]
pub fn average<const BITS: u32>(a: u64, b: u64) -> u64 {
    // a + b = 2 (a | b) - (a ^ b).
    (a | b) - ((a ^ b) >> 1 & !high::<BITS>())
}

/// |a|, the most negative number unchanged.
#[inline(always)]
pub fn absolute<const BITS: u32>(a: u64) -> u64 {
    let m = fill::<BITS>(a & high::<BITS>());
    sub::<BITS>(a ^ m, m)
}
