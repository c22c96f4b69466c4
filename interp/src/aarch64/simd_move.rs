//! Moves of elements (C4.1.97: AdvSIMD table lookup, permute, extract, copy, modified immediate).

use super::exec::{Exec, Flow};
use super::fp::expand_imm;
use super::op::{Op, bits};
use super::simd_misc::elements;
use super::vector::{Done, Int, count, full, get, part, put, put_scalar, put_whole};
use crate::pack::Pack;
use crate::softfloat::{F16, F32, F64};

/// TBL and TBX: `imm` registers of table, from Vn on and around.
pub fn table<const KEEP: bool>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let mut bytes = [0; 64];
    let n = op.imm as usize & 7;
    for (i, b) in bytes.chunks_exact_mut(16).take(n).enumerate() {
        b.copy_from_slice(&get(ex, op.rn + i as u8).to_le_bytes());
    }
    let (index, old) = (get(ex, op.rm), get(ex, op.rd));
    let v = elements::<u8>(op, |i| match bytes[..16 * n].get(usize::from(index.lane::<u8>(i))) {
        Some(b) => *b,
        None if KEEP => old.lane(i),
        None => 0,
    });
    put(ex, op, v)
}

/// UZP1, UZP2.
pub fn uzp<T: Int, const SECOND: bool>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let (a, b, n) = (get(ex, op.rn), get(ex, op.rm), count::<T>(op));
    let v = elements::<T>(op, |i| {
        let i = 2 * i + usize::from(SECOND);
        if i < n { a.lane(i) } else { b.lane(i - n) }
    });
    put(ex, op, v)
}

/// TRN1, TRN2.
pub fn trn<T: Int, const SECOND: bool>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let (a, b) = (get(ex, op.rn), get(ex, op.rm));
    let v = elements::<T>(op, |i| (if i & 1 == 0 { a } else { b }).lane(i & !1 | usize::from(SECOND)));
    put(ex, op, v)
}

/// ZIP1, ZIP2.
pub fn zip<T: Int, const SECOND: bool>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let (a, b) = (get(ex, op.rn), get(ex, op.rm));
    let from = if SECOND { count::<T>(op) / 2 } else { 0 };
    let v = elements::<T>(op, |i| (if i & 1 == 0 { a } else { b }).lane(from + i / 2));
    put(ex, op, v)
}

/// EXT: `imm` is the first byte.
pub fn ext(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let (a, b, from) = (get(ex, op.rn), get(ex, op.rm), op.imm as usize);
    let n = count::<u8>(op);
    let v = elements::<u8>(op, |i| if i + from < n { a.lane(i + from) } else { b.lane(i + from - n) });
    put(ex, op, v)
}

/// DUP (element): `imm` is its index.
pub fn dup_element<T: Int>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let v: T = get(ex, op.rn).lane(op.imm as usize);
    put(ex, op, u128::build(|_| v))
}

/// DUP (element), scalar.
pub fn dup_scalar<T: Int>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let v: T = get(ex, op.rn).lane(op.imm as usize);
    put_scalar(ex, op, v)
}

/// DUP (general).
pub fn dup_general<T: Int>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let v = T::of(ex.x(op.rn));
    put(ex, op, u128::build(|_| v))
}

/// INS (general).
pub fn ins_general<T: Int>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let v = get(ex, op.rd).with_lane(op.imm as usize, T::of(ex.x(op.rn)));
    put_whole(ex, op, v)
}

/// INS (element): the source's index is imm4.
pub fn ins_element<T: Int>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let from = op.bits(14, 11) as usize / T::BYTES;
    let v: T = get(ex, op.rn).lane(from);
    let v = get(ex, op.rd).with_lane(op.imm as usize, v);
    put_whole(ex, op, v)
}

/// SMOV, to 64 bits if Q is set.
pub fn smov<T: Int>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let v = get(ex, op.rn).lane::<T>(op.imm as usize).s() as u64;
    ex.set_x(op.rd, if full(op) { v } else { v & 0xffff_ffff });
    Ok(Flow::Next)
}

/// UMOV.
pub fn umov<T: Int>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let v = get(ex, op.rn).lane::<T>(op.imm as usize).u();
    ex.set_x(op.rd, v);
    Ok(Flow::Next)
}

/// `AdvSIMDExpandImm` (J1), and the FMOV of half precision.
pub fn expand(w: u32) -> Option<u64> {
    let (op, cmode, o2) = (bits(w, 29, 29), bits(w, 15, 12), bits(w, 11, 11));
    let imm8 = bits(w, 18, 16) << 5 | bits(w, 9, 5);
    let v = u64::from(imm8);
    let (words, halves) = (0x0000_0001_0000_0001, 0x0001_0001_0001_0001);
    if o2 != 0 {
        // FMOV (vector, immediate) of half precision.
        return (cmode == 15 && op == 0).then(|| expand_imm::<F16>(imm8) * halves);
    }
    Some(match cmode >> 1 {
        shift @ 0..=3 => (v << (8 * shift)) * words,
        shift @ 4..=5 => (v << (8 * (shift & 1))) * halves,
        6 if cmode & 1 == 0 => (v << 8 | 0xff) * words,
        6 => (v << 16 | 0xffff) * words,
        _ => match (cmode & 1, op) {
            (0, 0) => v * 0x0101_0101_0101_0101,
            (0, _) => (0..8).fold(0, |r, i| r | if v >> i & 1 != 0 { 0xff << (8 * i) } else { 0 }),
            (_, 0) => expand_imm::<F32>(imm8) * words,
            // Only the whole register holds two doubles.
            (_, _) if w >> 30 & 1 == 0 => return None,
            _ => expand_imm::<F64>(imm8),
        },
    })
}

fn twice(imm: u64) -> u128 {
    u128::from(imm) | u128::from(imm) << 64
}

/// MOVI, MVNI and FMOV (vector, immediate): the 64-bit pattern is in the immediate.
pub fn movi(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    put(ex, op, twice(op.imm))
}

/// MOVI of a 64-bit scalar.
pub fn movi_scalar(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    put_whole(ex, op, op.imm.into())
}

/// ORR (vector, immediate).
pub fn orr_imm(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let v = part(op, get(ex, op.rd)) | twice(op.imm);
    put(ex, op, v)
}

/// BIC (vector, immediate).
pub fn bic_imm(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_fp()?;
    let v = part(op, get(ex, op.rd)) & !twice(op.imm);
    put(ex, op, v)
}
