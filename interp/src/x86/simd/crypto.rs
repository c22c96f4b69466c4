//! AES-NI, PCLMULQDQ and SHA (SDM volume 1, sections 5.12, 5.13 and 5.17).
//!
//! The tables and what other guests share are in [`crate::crypto`].

use super::pack::Pack;
use super::shape::{Done, table, whole, xmm};
use crate::crypto::{DECRYPT, ENCRYPT, INV_MIX, INV_SUB, SUB, carryless, last_round, mix, round};
use crate::x86::exec::{Exec, Flow};
use crate::x86::op::{Handler, Op};
use iced_x86::{Instruction, Mnemonic, OpKind};

fn sub_word(v: u32) -> u32 {
    u32::from_le_bytes(v.to_le_bytes().map(|b| SUB[usize::from(b)]))
}

whole! {
    Aesenc = |a, b, _| round(a, b, &ENCRYPT, 1);
    Aesdec = |a, b, _| round(a, b, &DECRYPT, 3);
    Aesenclast = |a, b, _| last_round(a, b, &SUB, 1);
    Aesdeclast = |a, b, _| last_round(a, b, &INV_SUB, 3);
    Aesimc = |_, b, _| mix(b, &INV_MIX);
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
