//! Integer arithmetic, comparison and logic (SDM volume 1, sections 5.4.3 to 5.4.5, 5.6.3, 5.8,
//! 5.10 and 5.11), and the logic instructions of single and double precision.

use super::pack::Pack;
use super::shape::{Done, both, lanes, table, whole, xmm, zip};
use super::swar;
use crate::x86::exec::{Exec, Flow};
use crate::x86::flags::bit;
use crate::x86::op::{Handler, Op};
use iced_x86::{Instruction, Mnemonic, OpKind};

zip! {
    Paddd: u32 = |a, b| a.wrapping_add(b);
    Paddq: u64 = |a, b| a.wrapping_add(b);
    Psubd: u32 = |a, b| a.wrapping_sub(b);
    Psubq: u64 = |a, b| a.wrapping_sub(b);
    Pmullw: u16 = |a, b| a.wrapping_mul(b);
    Pmulld: u32 = |a, b| a.wrapping_mul(b);
    Pmulhw: i16 = |a, b| (i32::from(a) * i32::from(b) >> 16) as i16;
    Pmulhuw: u16 = |a, b| (u32::from(a) * u32::from(b) >> 16) as u16;
    // A product with 14 fraction bits, rounded at the lowest and brought to 15 of 16 bits.
    Pmulhrsw: i16 = |a, b| ((i32::from(a) * i32::from(b) >> 14) + 1 >> 1) as i16;
    Pmuludq: u64 = |a, b| (a & 0xffff_ffff) * (b & 0xffff_ffff);
    Pmuldq: i64 = |a, b| i64::from(a as i32) * i64::from(b as i32);
    Pmaxud: u32 = |a, b| a.max(b);
    Pmaxsd: i32 = |a, b| a.max(b);
    Pminud: u32 = |a, b| a.min(b);
    Pminsd: i32 = |a, b| a.min(b);
    Pcmpeqd: u32 = |a, b| if a == b { !0 } else { 0 };
    Pcmpeqq: u64 = |a, b| if a == b { !0 } else { 0 };
    Pcmpgtd: i32 = |a, b| -i32::from(a > b);
    Pcmpgtq: i64 = |a, b| -i64::from(a > b);
    Psignb: i8 = |a, b| a.wrapping_mul(b.signum());
    Psignw: i16 = |a, b| a.wrapping_mul(b.signum());
    Psignd: i32 = |a, b| a.wrapping_mul(b.signum());
}

lanes! { V;
    Paddb = |a, b, _| V::bitwise(a, b, swar::add::<8>);
    Paddw = |a, b, _| V::bitwise(a, b, swar::add::<16>);
    Paddsb = |a, b, _| V::bitwise(a, b, swar::add_signed::<8>);
    Paddsw = |a, b, _| V::bitwise(a, b, swar::add_signed::<16>);
    Paddusb = |a, b, _| V::bitwise(a, b, swar::add_unsigned::<8>);
    Paddusw = |a, b, _| V::bitwise(a, b, swar::add_unsigned::<16>);
    Psubb = |a, b, _| V::bitwise(a, b, swar::sub::<8>);
    Psubw = |a, b, _| V::bitwise(a, b, swar::sub::<16>);
    Psubsb = |a, b, _| V::bitwise(a, b, swar::sub_signed::<8>);
    Psubsw = |a, b, _| V::bitwise(a, b, swar::sub_signed::<16>);
    Psubusb = |a, b, _| V::bitwise(a, b, swar::sub_unsigned::<8>);
    Psubusw = |a, b, _| V::bitwise(a, b, swar::sub_unsigned::<16>);
    Pavgb = |a, b, _| V::bitwise(a, b, swar::average::<8>);
    Pavgw = |a, b, _| V::bitwise(a, b, swar::average::<16>);
    Pmaxub = |a, b, _| V::bitwise(a, b, swar::max_unsigned::<8>);
    Pmaxuw = |a, b, _| V::bitwise(a, b, swar::max_unsigned::<16>);
    Pmaxsb = |a, b, _| V::bitwise(a, b, swar::max_signed::<8>);
    Pmaxsw = |a, b, _| V::bitwise(a, b, swar::max_signed::<16>);
    Pminub = |a, b, _| V::bitwise(a, b, swar::min_unsigned::<8>);
    Pminuw = |a, b, _| V::bitwise(a, b, swar::min_unsigned::<16>);
    Pminsb = |a, b, _| V::bitwise(a, b, swar::min_signed::<8>);
    Pminsw = |a, b, _| V::bitwise(a, b, swar::min_signed::<16>);
    Pcmpeqb = |a, b, _| V::bitwise(a, b, swar::equal::<8>);
    Pcmpeqw = |a, b, _| V::bitwise(a, b, swar::equal::<16>);
    Pcmpgtb = |a, b, _| V::bitwise(a, b, |a, b| swar::less::<8>(b, a));
    Pcmpgtw = |a, b, _| V::bitwise(a, b, |a, b| swar::less::<16>(b, a));
    Pand = |a, b, _| V::bitwise(a, b, |a, b| a & b);
    Pandn = |a, b, _| V::bitwise(a, b, |a, b| !a & b);
    Por = |a, b, _| V::bitwise(a, b, |a, b| a | b);
    Pxor = |a, b, _| V::bitwise(a, b, |a, b| a ^ b);
    Pabsb = |_, b, _| V::bitwise(b, b, |b, _| swar::absolute::<8>(b));
    Pabsw = |_, b, _| V::bitwise(b, b, |b, _| swar::absolute::<16>(b));
    Pabsd = |_, b, _| V::map(b, |b: i32| b.wrapping_abs());
    Pmaddwd = |a, b, _| V::build(|i| {
        let product = |j| i32::from(a.lane::<i16>(j)) * i32::from(b.lane::<i16>(j));
        // Only four times 8000H overflows, to 80000000H.
        product(2 * i).wrapping_add(product(2 * i + 1))
    });
    Pmaddubsw = |a, b, _| V::build(|i| {
        let product = |j| i32::from(a.lane::<u8>(j)) * i32::from(b.lane::<i8>(j));
        saturate_i16(product(2 * i) + product(2 * i + 1))
    });
    Psadbw = |a, b, _| V::build(|i| {
        let sum: u16 = (8 * i..8 * i + 8).map(|j| u16::from(a.lane::<u8>(j).abs_diff(b.lane(j)))).sum();
        u64::from(sum)
    });
    Phaddw = |a, b, _| horizontal(a, b, i16::wrapping_add);
    Phaddd = |a, b, _| horizontal(a, b, i32::wrapping_add);
    Phaddsw = |a, b, _| horizontal(a, b, i16::saturating_add);
    Phsubw = |a, b, _| horizontal(a, b, i16::wrapping_sub);
    Phsubd = |a, b, _| horizontal(a, b, i32::wrapping_sub);
    Phsubsw = |a, b, _| horizontal(a, b, i16::saturating_sub);
}

fn saturate_i16(v: i32) -> i16 {
    v.clamp(i16::MIN.into(), i16::MAX.into()) as i16
}

/// `f` of neighbours: those of the destination, then those of the source.
pub(super) fn horizontal<T: super::pack::Lane, V: Pack>(a: V, b: V, mut f: impl FnMut(T, T) -> T) -> V {
    let half = V::count::<T>() / 2;
    V::build(|i| {
        let from = if i < half { a } else { b };
        let j = i % half * 2;
        f(from.lane(j), from.lane(j + 1))
    })
}

whole! {
    // The minimum in the low word, its index above, then zeros.
    Phminposuw = |_, b, _| {
        let (min, at) = (0..8).map(|i| (b.lane::<u16>(i), i)).min().unwrap_or((0, 0));
        u128::from(min) | (at as u128) << 16
    };
    // Sums of absolute differences of four bytes of the source with those at eight offsets.
    Mpsadbw = |a, b, imm| {
        let (first, block) = (usize::from(imm >> 2 & 1) * 4, usize::from(imm & 3) * 4);
        u128::build(|i| {
            (0..4)
                .map(|j| u16::from(a.lane::<u8>(first + i + j).abs_diff(b.lane(block + j))))
                .sum::<u16>()
        })
    };
}

/// PTEST: ZF when no bit of the source is set in the destination, CF when all are.
fn ptest(ex: &mut Exec<'_>, a: u128, b: u128) -> Done {
    let zf = if a & b == 0 { bit::ZF } else { 0 };
    let cf = if !a & b == 0 { bit::CF } else { 0 };
    ex.cpu.flags.set_bits(zf | cf);
    Ok(Flow::Next)
}

fn ptest_rr(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_sse()?;
    ptest(ex, ex.xmm(op.r0), ex.xmm(op.r1))
}

fn ptest_rm(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_sse()?;
    let b = ex.load128::<true>(op)?;
    ptest(ex, ex.xmm(op.r0), b)
}

/// The handler for `ins`, if it is here.
pub fn select(ins: &Instruction) -> Option<Handler> {
    match ins.mnemonic() {
        Mnemonic::Andps | Mnemonic::Andpd => xmm::<Pand>(ins),
        Mnemonic::Andnps | Mnemonic::Andnpd => xmm::<Pandn>(ins),
        Mnemonic::Orps | Mnemonic::Orpd => xmm::<Por>(ins),
        Mnemonic::Xorps | Mnemonic::Xorpd => xmm::<Pxor>(ins),
        Mnemonic::Ptest if ins.op1_kind() == OpKind::Memory => Some(ptest_rm),
        Mnemonic::Ptest => Some(ptest_rr),
        _ => table!(ins;
            both:
                Paddb Paddw Paddd Paddq Paddsb Paddsw Paddusb Paddusw
                Psubb Psubw Psubd Psubq Psubsb Psubsw Psubusb Psubusw
                Pmullw Pmulhw Pmulhuw Pmulhrsw Pmuludq Pmaddwd Pmaddubsw Psadbw
                Pavgb Pavgw Pmaxub Pmaxsw Pminub Pminsw
                Pcmpeqb Pcmpeqw Pcmpeqd Pcmpgtb Pcmpgtw Pcmpgtd
                Psignb Psignw Psignd Pabsb Pabsw Pabsd
                Phaddw Phaddd Phaddsw Phsubw Phsubd Phsubsw
                Pand Pandn Por Pxor;
            xmm:
                Pmulld Pmuldq Pmaxuw Pmaxud Pmaxsb Pmaxsd Pminuw Pminud Pminsb Pminsd
                Pcmpeqq Pcmpgtq Phminposuw Mpsadbw;
        ),
    }
}
