//! What the cryptographic instructions of several guests share.
//!
//! AES's tables are computed from the field GF(2^8) at compile time (FIPS 197, section 4.2 and
//! figure 7). A state is 16 bytes, column after column.

use crate::pack::Pack;

/// Product in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1.
const fn product(mut a: u8, mut b: u8) -> u8 {
    let mut p = 0;
    while b != 0 {
        if b & 1 != 0 {
            p ^= a;
        }
        a = a << 1 ^ if a & 0x80 != 0 { 0x1b } else { 0 };
        b >>= 1;
    }
    p
}

/// The inverse in GF(2^8), a^254; zero for zero.
const fn inverse(a: u8) -> u8 {
    let (mut power, mut result, mut i) = (a, 1, 1);
    // 254 = 2 + 4 + ... + 128.
    while i < 8 {
        power = product(power, power);
        result = product(result, power);
        i += 1;
    }
    result
}

const fn sbox() -> [u8; 256] {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let b = inverse(i as u8);
        table[i] = b ^ b.rotate_left(1) ^ b.rotate_left(2) ^ b.rotate_left(3) ^ b.rotate_left(4) ^ 0x63;
        i += 1;
    }
    table
}

const fn inverted(table: &[u8; 256]) -> [u8; 256] {
    let mut inverse = [0; 256];
    let mut i = 0;
    while i < 256 {
        inverse[table[i] as usize] = i as u8;
        i += 1;
    }
    inverse
}

/// For each byte, the column that MixColumns makes of it in row 0 under `factors` (those of
/// rows 0 to 3, from the low byte up), after `table`.
const fn columns(table: &[u8; 256], factors: [u8; 4]) -> [u32; 256] {
    let mut columns = [0; 256];
    let mut i = 0;
    while i < 256 {
        let s = table[i];
        columns[i] = u32::from_le_bytes([
            product(s, factors[0]),
            product(s, factors[1]),
            product(s, factors[2]),
            product(s, factors[3]),
        ]);
        i += 1;
    }
    columns
}

const fn identity() -> [u8; 256] {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        table[i] = i as u8;
        i += 1;
    }
    table
}

/// SubBytes.
pub static SUB: [u8; 256] = sbox();
/// InvSubBytes.
pub static INV_SUB: [u8; 256] = inverted(&sbox());
/// SubBytes and MixColumns.
pub static ENCRYPT: [u32; 256] = columns(&sbox(), [2, 1, 1, 3]);
/// InvSubBytes and InvMixColumns.
pub static DECRYPT: [u32; 256] = columns(&inverted(&sbox()), [14, 9, 13, 11]);
/// MixColumns.
pub static MIX: [u32; 256] = columns(&identity(), [2, 1, 1, 3]);
/// InvMixColumns.
pub static INV_MIX: [u32; 256] = columns(&identity(), [14, 9, 13, 11]);

/// The byte that ShiftRows (`turn` 1) or InvShiftRows (`turn` 3) brings to `row` of `column`.
#[inline(always)]
fn shifted(state: &[u8; 16], row: usize, column: usize, turn: usize) -> usize {
    usize::from(state[4 * ((column + turn * row) & 3) + row])
}

/// A round with its columns mixed by `table`.
#[inline(always)]
pub fn round(a: u128, key: u128, table: &[u32; 256], turn: usize) -> u128 {
    let state = a.to_le_bytes();
    let mixed = u128::build(|column| {
        (0..4).fold(0u32, |v, row| v ^ table[shifted(&state, row, column, turn)].rotate_left(8 * row as u32))
    });
    mixed ^ key
}

/// The last round: no mixing.
#[inline(always)]
pub fn last_round(a: u128, key: u128, table: &[u8; 256], turn: usize) -> u128 {
    let state = a.to_le_bytes();
    u128::build(|i| table[shifted(&state, i & 3, i >> 2, turn)]) ^ key
}

/// The columns mixed by `table`, nothing else.
#[inline(always)]
pub fn mix(a: u128, table: &[u32; 256]) -> u128 {
    let state = a.to_le_bytes();
    u128::build(|column| {
        (0..4)
            .fold(0u32, |v, row| v ^ table[usize::from(state[4 * column + row])].rotate_left(8 * row as u32))
    })
}

/// Carry-less product of 64-bit polynomials over GF(2).
pub fn carryless(a: u64, b: u64) -> u128 {
    (0..64).filter(|i| b >> i & 1 != 0).fold(0, |v, i| v ^ u128::from(a) << i)
}
