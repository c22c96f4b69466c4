//! AES, SHA1 and SHA256 (C4.1.97: Cryptographic AES, three-register SHA, two-register SHA).

use super::exec::Exec;
use super::op::Op;
use super::vector::{Done, get, put_whole};
use crate::crypto::{INV_MIX, INV_SUB, MIX, SUB, last_round, mix};
use crate::pack::Pack;

/// AESE: AddRoundKey, ShiftRows, SubBytes.
pub fn aese(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let v = last_round(get(ex, op.rd) ^ get(ex, op.rn), 0, &SUB, 1);
    put_whole(ex, op, v)
}

/// AESD.
pub fn aesd(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let v = last_round(get(ex, op.rd) ^ get(ex, op.rn), 0, &INV_SUB, 3);
    put_whole(ex, op, v)
}

/// AESMC.
pub fn aesmc(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let v = mix(get(ex, op.rn), &MIX);
    put_whole(ex, op, v)
}

/// AESIMC.
pub fn aesimc(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let v = mix(get(ex, op.rn), &INV_MIX);
    put_whole(ex, op, v)
}

type Words = [u32; 4];

fn words(v: u128) -> Words {
    std::array::from_fn(|i| v.lane(i))
}

fn vector(v: Words) -> u128 {
    u128::build(|i| v[i])
}

/// SHA1C (0), SHA1P (1), SHA1M (2): four rounds; E is in Sn.
pub fn sha1_rounds<const F: u8>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let [mut a, mut b, mut c, mut d] = words(get(ex, op.rd));
    let mut e = get(ex, op.rn).lane::<u32>(0);
    for w in words(get(ex, op.rm)) {
        let t = match F {
            0 => d ^ b & (c ^ d),
            1 => b ^ c ^ d,
            _ => b & c | d & (b | c),
        };
        let sum = e.wrapping_add(a.rotate_left(5)).wrapping_add(t).wrapping_add(w);
        (a, b, c, d, e) = (sum, a, b.rotate_left(30), c, d);
    }
    put_whole(ex, op, vector([a, b, c, d]))
}

/// SHA1SU0.
pub fn sha1su0(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let (d, n) = (get(ex, op.rd), get(ex, op.rn));
    let v = (d >> 64 | n << 64) ^ d ^ get(ex, op.rm);
    put_whole(ex, op, v)
}

/// SHA1H.
pub fn sha1h(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let v = get(ex, op.rn).lane::<u32>(0).rotate_left(30);
    put_whole(ex, op, v.into())
}

/// SHA1SU1.
pub fn sha1su1(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let t = words(get(ex, op.rd) ^ get(ex, op.rn) >> 32);
    let mut r = t.map(|w| w.rotate_left(1));
    r[3] ^= t[0].rotate_left(2);
    put_whole(ex, op, vector(r))
}

/// SHA256hash (J1): A to D, E to H and four words.
fn sha256_hash(x: u128, y: u128, w: u128) -> (u128, u128) {
    let ([mut a, mut b, mut c, mut d], [mut e, mut f, mut g, mut h]) = (words(x), words(y));
    for w in words(w) {
        let choose = g ^ e & (f ^ g);
        let majority = a & b | c & (a | b);
        let s1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
        let s0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
        let t = h.wrapping_add(s1).wrapping_add(choose).wrapping_add(w);
        (a, b, c, d, e, f, g, h) =
            (t.wrapping_add(s0).wrapping_add(majority), a, b, c, d.wrapping_add(t), e, f, g);
    }
    (vector([a, b, c, d]), vector([e, f, g, h]))
}

/// SHA256H.
pub fn sha256h(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let v = sha256_hash(get(ex, op.rd), get(ex, op.rn), get(ex, op.rm)).0;
    put_whole(ex, op, v)
}

/// SHA256H2.
pub fn sha256h2(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let v = sha256_hash(get(ex, op.rn), get(ex, op.rd), get(ex, op.rm)).1;
    put_whole(ex, op, v)
}

/// SHA256SU0.
pub fn sha256su0(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let (d, n) = (get(ex, op.rd), get(ex, op.rn));
    let next = words(d >> 32 | n << 96);
    let mut r = words(d);
    for (r, t) in r.iter_mut().zip(next) {
        *r = r.wrapping_add(t.rotate_right(7) ^ t.rotate_right(18) ^ t >> 3);
    }
    put_whole(ex, op, vector(r))
}

/// SHA256SU1.
pub fn sha256su1(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let (d, n, m) = (words(get(ex, op.rd)), words(get(ex, op.rn)), words(get(ex, op.rm)));
    let before = [n[1], n[2], n[3], m[0]];
    let s1 = |v: u32| v.rotate_right(17) ^ v.rotate_right(19) ^ v >> 10;
    let mut r = [0u32; 4];
    for i in 0..4 {
        let t = if i < 2 { m[2 + i] } else { r[i - 2] };
        r[i] = s1(t).wrapping_add(d[i]).wrapping_add(before[i]);
    }
    put_whole(ex, op, vector(r))
}
