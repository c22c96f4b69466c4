//! Packing, unpacking, shuffling, blending, inserting and extracting, widening (SDM volume 1,
//! sections 5.4.2, 5.5.1.4, 5.6.1.4, 5.7.4, 5.10).

use super::pack::{Lane, Pack};
use super::shape::{Done, both, both_low, lanes, narrow16, narrow32, narrow64, table, whole, xmm};
use crate::x86::exec::{Exec, Flow};
use crate::x86::op::{Handler, Op};
use crate::x86::word::Word;
use iced_x86::{Instruction, Mnemonic, OpKind};

/// Lanes of both operands alternate, from the low or the high half.
#[inline(always)]
fn interleave<T: Lane, V: Pack>(a: V, b: V, high: bool) -> V {
    let first = if high { V::count::<T>() / 2 } else { 0 };
    V::build(|i| if i & 1 == 0 { a.lane::<T>(first + i / 2) } else { b.lane(first + i / 2) })
}

/// Lanes of twice the width, the destination's and then the source's, narrowed by `f`.
#[inline(always)]
fn narrow<W: Lane, N: Lane, V: Pack>(a: V, b: V, f: impl Fn(W) -> N) -> V {
    let half = V::count::<W>();
    V::build(|i| f(if i < half { a.lane(i) } else { b.lane(i - half) }))
}

/// Two bits of the immediate.
#[inline(always)]
fn two(imm: u8, i: usize) -> usize {
    usize::from(imm >> (2 * (i & 3)) & 3)
}

lanes! { V;
    Punpcklbw = |a, b, _| interleave::<u8, V>(a, b, false);
    Punpcklwd = |a, b, _| interleave::<u16, V>(a, b, false);
    Punpckldq = |a, b, _| interleave::<u32, V>(a, b, false);
    Punpckhbw = |a, b, _| interleave::<u8, V>(a, b, true);
    Punpckhwd = |a, b, _| interleave::<u16, V>(a, b, true);
    Punpckhdq = |a, b, _| interleave::<u32, V>(a, b, true);
    Packsswb = |a, b, _| narrow(a, b, |v: i16| v.clamp(i8::MIN.into(), i8::MAX.into()) as i8);
    Packuswb = |a, b, _| narrow(a, b, |v: i16| v.clamp(0, u8::MAX.into()) as u8);
    Packssdw = |a, b, _| narrow(a, b, |v: i32| v.clamp(i16::MIN.into(), i16::MAX.into()) as i16);
    Pshufw = |_, b, imm| V::build(|i| b.lane::<u16>(two(imm, i)));
    Pshufb = |a, b, _| V::zip(b, V::ZERO, |j: u8, _| if j & 0x80 != 0 { 0 } else { a.lane::<u8>(j.into()) });
    // The destination above the source, moved down by bytes.
    Palignr = |a, b, imm| {
        // Two operands and the zeros that larger counts bring in.
        let mut bytes = [0; 48];
        bytes[..V::BYTES].copy_from_slice(b.bytes().as_ref());
        bytes[V::BYTES..2 * V::BYTES].copy_from_slice(a.bytes().as_ref());
        let first = usize::from(imm).min(2 * V::BYTES);
        V::build(|i| bytes[first + i])
    };
}

whole! {
    Punpcklqdq = |a, b, _| u128::from(a as u64) | b << 64;
    Punpckhqdq = |a, b, _| a >> 64 | b >> 64 << 64;
    Packusdw = |a, b, _| narrow(a, b, |v: i32| v.clamp(0, u16::MAX.into()) as u16);
    Pshufd = |_, b, imm| u128::build(|i| b.lane::<u32>(two(imm, i)));
    Pshuflw = |_, b, imm| u128::build(|i| b.lane::<u16>(if i < 4 { two(imm, i) } else { i }));
    Pshufhw = |_, b, imm| u128::build(|i| b.lane::<u16>(if i < 4 { i } else { 4 + two(imm, i) }));
    Shufps = |a, b, imm| u128::build(|i| {
        let j = two(imm, i);
        if i < 2 { a.lane::<u32>(j) } else { b.lane(j) }
    });
    Shufpd = |a, b, imm| u128::from(a.lane::<u64>((imm & 1).into()))
        | u128::from(b.lane::<u64>((imm >> 1 & 1).into())) << 64;
    Blendps = |a, b, imm| u128::build(|i| if imm >> i & 1 != 0 { b.lane::<u32>(i) } else { a.lane(i) });
    Blendpd = |a, b, imm| u128::build(|i| if imm >> i & 1 != 0 { b.lane::<u64>(i) } else { a.lane(i) });
    Pblendw = |a, b, imm| u128::build(|i| if imm >> i & 1 != 0 { b.lane::<u16>(i) } else { a.lane(i) });
    Pmovsxbw = |_, b, _| u128::build(|i| i16::from(b.lane::<i8>(i)));
    Pmovsxbd = |_, b, _| u128::build(|i| i32::from(b.lane::<i8>(i)));
    Pmovsxbq = |_, b, _| u128::build(|i| i64::from(b.lane::<i8>(i)));
    Pmovsxwd = |_, b, _| u128::build(|i| i32::from(b.lane::<i16>(i)));
    Pmovsxwq = |_, b, _| u128::build(|i| i64::from(b.lane::<i16>(i)));
    Pmovsxdq = |_, b, _| u128::build(|i| i64::from(b.lane::<i32>(i)));
    Pmovzxbw = |_, b, _| u128::build(|i| u16::from(b.lane::<u8>(i)));
    Pmovzxbd = |_, b, _| u128::build(|i| u32::from(b.lane::<u8>(i)));
    Pmovzxbq = |_, b, _| u128::build(|i| u64::from(b.lane::<u8>(i)));
    Pmovzxwd = |_, b, _| u128::build(|i| u32::from(b.lane::<u16>(i)));
    Pmovzxwq = |_, b, _| u128::build(|i| u64::from(b.lane::<u16>(i)));
    Pmovzxdq = |_, b, _| u128::build(|i| u64::from(b.lane::<u32>(i)));
}

/// INSERTPS: the chosen lane of a register, or the loaded one, to a lane; lanes cleared.
fn insertps(ex: &mut Exec<'_>, op: &Op, v: u32) -> Done {
    let imm = op.imm as u8;
    let a = ex.xmm(op.r0).with_lane(two(imm, 2), v);
    let v = u128::build(|i| if imm >> i & 1 != 0 { 0 } else { a.lane::<u32>(i) });
    ex.set_xmm(op.r0, v);
    Ok(Flow::Next)
}

fn insertps_rr(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_sse()?;
    let v = ex.xmm(op.r1).lane(two(op.imm as u8, 3));
    insertps(ex, op, v)
}

fn insertps_rm(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_sse()?;
    let v = ex.load(op)?;
    insertps(ex, op, v)
}

/// PINSRx from a general register, whose low bits are taken.
fn insert_rr<T: Lane + Word>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_sse()?;
    let v = T::from_u64(ex.get::<u64>(op.r1));
    let v = ex.xmm(op.r0).with_lane(op.imm as usize, v);
    ex.set_xmm(op.r0, v);
    Ok(Flow::Next)
}

fn insert_rm<T: Lane + Word>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_sse()?;
    let v = ex.load::<T>(op)?;
    let v = ex.xmm(op.r0).with_lane(op.imm as usize, v);
    ex.set_xmm(op.r0, v);
    Ok(Flow::Next)
}

fn pinsrw_mm_r(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.mmx_begin()?;
    let v = ex.get::<u64>(op.r1) as u16;
    let v = ex.mm(op.r0).with_lane(op.imm as usize, v);
    ex.mmx_state();
    ex.set_mm(op.r0, v);
    Ok(Flow::Next)
}

fn pinsrw_mm_m(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.mmx_begin()?;
    let v = ex.load::<u16>(op)?;
    let v = ex.mm(op.r0).with_lane(op.imm as usize, v);
    ex.mmx_state();
    ex.set_mm(op.r0, v);
    Ok(Flow::Next)
}

fn insert<T: Lane + Word>(ins: &Instruction) -> Option<Handler> {
    match (ins.op0_register().is_mm(), ins.op1_kind() == OpKind::Memory) {
        (true, true) => Some(pinsrw_mm_m),
        (true, false) => Some(pinsrw_mm_r),
        (false, true) => Some(insert_rm::<T>),
        (false, false) => Some(insert_rr::<T>),
    }
}

/// PEXTRx to a general register, zero-extended.
fn extract_rr<T: Lane + Word>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_sse()?;
    let v = ex.xmm(op.r1).lane::<T>(op.imm as usize).to_u64();
    ex.set(op.r0, v);
    Ok(Flow::Next)
}

fn extract_mr<T: Lane + Word>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_sse()?;
    let v = ex.xmm(op.r1).lane::<T>(op.imm as usize);
    ex.store(op, v)?;
    Ok(Flow::Next)
}

fn pextrw_mm(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.mmx_begin()?;
    let v = ex.mm(op.r1).lane::<u16>(op.imm as usize);
    ex.mmx_state();
    ex.set(op.r0, u64::from(v));
    Ok(Flow::Next)
}

fn extract<T: Lane + Word>(ins: &Instruction) -> Option<Handler> {
    if ins.op1_register().is_mm() {
        Some(pextrw_mm)
    } else if ins.op0_kind() == OpKind::Memory {
        Some(extract_mr::<T>)
    } else {
        Some(extract_rr::<T>)
    }
}

/// BLENDVPS, BLENDVPD, PBLENDVB: lanes of the source where XMM0's lane is negative.
#[inline(always)]
fn blendv<T: Lane + Word>(ex: &mut Exec<'_>, op: &Op, b: u128) -> Done {
    let (a, mask) = (ex.xmm(op.r0), ex.xmm(0));
    let v = u128::build(|i| if mask.lane::<T>(i).to_i64() < 0 { b.lane::<T>(i) } else { a.lane(i) });
    ex.set_xmm(op.r0, v);
    Ok(Flow::Next)
}

fn blendv_rr<T: Lane + Word>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_sse()?;
    let b = ex.xmm(op.r1);
    blendv::<T>(ex, op, b)
}

fn blendv_rm<T: Lane + Word>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_sse()?;
    let b = ex.load128::<true>(op)?;
    blendv::<T>(ex, op, b)
}

fn select_blendv<T: Lane + Word>(ins: &Instruction) -> Option<Handler> {
    if ins.op1_kind() == OpKind::Memory { Some(blendv_rm::<T>) } else { Some(blendv_rr::<T>) }
}

/// The handler for `ins`, if it is here.
pub fn select(ins: &Instruction) -> Option<Handler> {
    match ins.mnemonic() {
        Mnemonic::Unpcklps => xmm::<Punpckldq>(ins),
        Mnemonic::Unpckhps => xmm::<Punpckhdq>(ins),
        Mnemonic::Unpcklpd => xmm::<Punpcklqdq>(ins),
        Mnemonic::Unpckhpd => xmm::<Punpckhqdq>(ins),
        Mnemonic::Insertps if ins.op1_kind() == OpKind::Memory => Some(insertps_rm),
        Mnemonic::Insertps => Some(insertps_rr),
        Mnemonic::Pinsrb => insert::<u8>(ins),
        Mnemonic::Pinsrw => insert::<u16>(ins),
        Mnemonic::Pinsrd => insert::<u32>(ins),
        Mnemonic::Pinsrq => insert::<u64>(ins),
        Mnemonic::Pextrb => extract::<u8>(ins),
        Mnemonic::Pextrw => extract::<u16>(ins),
        Mnemonic::Pextrd | Mnemonic::Extractps => extract::<u32>(ins),
        Mnemonic::Pextrq => extract::<u64>(ins),
        Mnemonic::Pblendvb => select_blendv::<u8>(ins),
        Mnemonic::Blendvps => select_blendv::<u32>(ins),
        Mnemonic::Blendvpd => select_blendv::<u64>(ins),
        _ => table!(ins;
            both_low: Punpcklbw Punpcklwd Punpckldq;
            both: Punpckhbw Punpckhwd Punpckhdq Packsswb Packuswb Packssdw Pshufw Pshufb Palignr;
            xmm:
                Punpcklqdq Punpckhqdq Packusdw Pshufd Pshuflw Pshufhw Shufps Shufpd
                Blendps Blendpd Pblendw;
            narrow64: Pmovsxbw Pmovsxwd Pmovsxdq Pmovzxbw Pmovzxwd Pmovzxdq;
            narrow32: Pmovsxbd Pmovsxwq Pmovzxbd Pmovzxwq;
            narrow16: Pmovsxbq Pmovzxbq;
        ),
    }
}
