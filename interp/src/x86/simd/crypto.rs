//! AES-NI, PCLMULQDQ and SHA (SDM volume 1, sections 5.12, 5.13 and 5.17).
//!
//! AES's tables are computed from the field GF(2^8) at compile time (FIPS 197, section 4.2 and
//! figure 7). A state is 16 bytes, column after column.

use super::pack::Pack;
use super::shape::{Done, table, whole, xmm};
use crate::x86::exec::{Exec, Flow};
use crate::x86::op::{Handler, Op};
use iced_x86::{Instruction, Mnemonic, OpKind};

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
static SUB: [u8; 256] = sbox();
/// InvSubBytes.
static INV_SUB: [u8; 256] = inverted(&sbox());
/// SubBytes and MixColumns.
static ENCRYPT: [u32; 256] = columns(&sbox(), [2, 1, 1, 3]);
/// InvSubBytes and InvMixColumns.
static DECRYPT: [u32; 256] = columns(&inverted(&sbox()), [14, 9, 13, 11]);
/// InvMixColumns.
static INV_MIX: [u32; 256] = columns(&identity(), [14, 9, 13, 11]);

/// The byte that ShiftRows (`turn` 1) or InvShiftRows (`turn` 3) brings to `row` of `column`.
#[inline(always)]
fn shifted(state: &[u8; 16], row: usize, column: usize, turn: usize) -> usize {
    usize::from(state[4 * ((column + turn * row) & 3) + row])
}

/// A round with its columns mixed by `table`.
#[inline(always)]
fn round(a: u128, key: u128, table: &[u32; 256], turn: usize) -> u128 {
    let state = a.to_le_bytes();
    let mixed = u128::build(|column| {
        (0..4).fold(0u32, |v, row| v ^ table[shifted(&state, row, column, turn)].rotate_left(8 * row as u32))
    });
    mixed ^ key
}

/// The last round: no mixing.
#[inline(always)]
fn last_round(a: u128, key: u128, table: &[u8; 256], turn: usize) -> u128 {
    let state = a.to_le_bytes();
    u128::build(|i| table[shifted(&state, i & 3, i >> 2, turn)]) ^ key
}

fn sub_word(v: u32) -> u32 {
    u32::from_le_bytes(v.to_le_bytes().map(|b| SUB[usize::from(b)]))
}

/// Carry-less product of 64-bit polynomials over GF(2).
fn carryless(a: u64, b: u64) -> u128 {
    (0..64).filter(|i| b >> i & 1 != 0).fold(0, |v, i| v ^ u128::from(a) << i)
}

whole! {
    Aesenc = |a, b, _| round(a, b, &ENCRYPT, 1);
    Aesdec = |a, b, _| round(a, b, &DECRYPT, 3);
    Aesenclast = |a, b, _| last_round(a, b, &SUB, 1);
    Aesdeclast = |a, b, _| last_round(a, b, &INV_SUB, 3);
    Aesimc = |_, b, _| {
        let state = b.to_le_bytes();
        u128::build(|column| {
            (0..4).fold(0u32, |v, row| {
                v ^ INV_MIX[usize::from(state[4 * column + row])].rotate_left(8 * row as u32)
            })
        })
    };
    Aeskeygenassist = |_, b, imm| u128::build(|i| {
        let word = sub_word(b.lane::<u32>(i | 1));
        if i & 1 == 0 { word } else { word.rotate_right(8) ^ u32::from(imm) }
    });
    Pclmulqdq = |a, b, imm| carryless(a.lane((imm & 1).into()), b.lane((imm >> 4 & 1).into()));
    Sha1nexte = |a, b, _| b.with_lane(3, b.lane::<u32>(3).wrapping_add(a.lane::<u32>(3).rotate_left(30)));
    // Lanes 3 to 0 are the manual's W0 to W3.
    Sha1msg1 = |a, b, _| {
        let next = a << 64 | b >> 64;
        a ^ next
    };
    Sha1msg2 = |a, b, _| {
        let x = a ^ b << 32;
        let w19 = x.lane::<u32>(0) ^ (x.lane::<u32>(3)).rotate_left(1);
        u128::build(|i| if i == 0 { w19.rotate_left(1) } else { x.lane::<u32>(i).rotate_left(1) })
    };
    Sha1rnds4 = |a, b, imm| sha1_rounds(a, b, imm & 3);
    Sha256msg1 = |a, b, _| u128::build(|i| {
        let next = if i < 3 { a.lane::<u32>(i + 1) } else { b.lane(0) };
        let s0 = next.rotate_right(7) ^ next.rotate_right(18) ^ next >> 3;
        a.lane::<u32>(i).wrapping_add(s0)
    });
    Sha256msg2 = |a, b, _| {
        let s1 = |v: u32| v.rotate_right(17) ^ v.rotate_right(19) ^ v >> 10;
        let w16 = a.lane::<u32>(0).wrapping_add(s1(b.lane(2)));
        let w17 = a.lane::<u32>(1).wrapping_add(s1(b.lane(3)));
        let w18 = a.lane::<u32>(2).wrapping_add(s1(w16));
        let w19 = a.lane::<u32>(3).wrapping_add(s1(w17));
        u128::build(|i| [w16, w17, w18, w19][i])
    };
}

/// Four rounds of SHA-1 (FIPS 180-4, section 6.1.2) with the function and constant that `f`
/// chooses. Lanes 3 to 0 of `state` are A to D; E is in lane 3 of `words`, added to W0.
fn sha1_rounds(state: u128, words: u128, f: u8) -> u128 {
    let k = [0x5a82_7999u32, 0x6ed9_eba1, 0x8f1b_bcdc, 0xca62_c1d6][usize::from(f)];
    let [mut d, mut c, mut b, mut a]: [u32; 4] = std::array::from_fn(|i| state.lane(i));
    // E is part of the first word already (SHA1NEXTE).
    let mut e = 0u32;
    for i in 0..4 {
        let mix = match f {
            0 => b & c ^ !b & d,
            2 => b & c ^ b & d ^ c & d,
            _ => b ^ c ^ d,
        };
        let sum = mix
            .wrapping_add(a.rotate_left(5))
            .wrapping_add(words.lane(3 - i))
            .wrapping_add(e)
            .wrapping_add(k);
        (a, b, c, d, e) = (sum, a, b.rotate_left(30), c, d);
    }
    u128::build(|i| [d, c, b, a][i])
}

/// Two rounds of SHA-256 (FIPS 180-4, section 6.2.2): `old` is C, D, G, H, `new` A, B, E, F,
/// from the high lane down; `wk` has message words plus constants in its low lanes.
fn sha256_rounds(old: u128, new: u128, wk: u128) -> u128 {
    let [mut h, mut g, mut d, mut c]: [u32; 4] = std::array::from_fn(|i| old.lane(i));
    let [mut f, mut e, mut b, mut a]: [u32; 4] = std::array::from_fn(|i| new.lane(i));
    for i in 0..2 {
        let choose = e & f ^ !e & g;
        let majority = a & b ^ a & c ^ b & c;
        let s1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
        let s0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
        let t = choose.wrapping_add(s1).wrapping_add(wk.lane(i)).wrapping_add(h);
        (a, b, c, d, e, f, g, h) =
            (t.wrapping_add(majority).wrapping_add(s0), a, b, c, t.wrapping_add(d), e, f, g);
    }
    u128::build(|i| [f, e, b, a][i])
}

/// SHA256RNDS2: the words are in XMM0.
fn sha256rnds2_rr(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_sse()?;
    let v = sha256_rounds(ex.xmm(op.r0), ex.xmm(op.r1), ex.xmm(0));
    ex.set_xmm(op.r0, v);
    Ok(Flow::Next)
}

fn sha256rnds2_rm(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_sse()?;
    let b = ex.load128::<true>(op)?;
    let v = sha256_rounds(ex.xmm(op.r0), b, ex.xmm(0));
    ex.set_xmm(op.r0, v);
    Ok(Flow::Next)
}

/// The handler for `ins`, if it is here.
pub fn select(ins: &Instruction) -> Option<Handler> {
    match ins.mnemonic() {
        Mnemonic::Sha256rnds2 if ins.op1_kind() == OpKind::Memory => Some(sha256rnds2_rm),
        Mnemonic::Sha256rnds2 => Some(sha256rnds2_rr),
        _ => table!(ins;
            xmm:
                Aesenc Aesenclast Aesdec Aesdeclast Aesimc Aeskeygenassist Pclmulqdq
                Sha1nexte Sha1msg1 Sha1msg2 Sha1rnds4 Sha256msg1 Sha256msg2;
        ),
    }
}
