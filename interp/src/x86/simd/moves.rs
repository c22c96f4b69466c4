//! Data transfer (SDM volume 1, sections 5.4.1, 5.5.1.1, 5.6.1.1, 5.6.3, 5.7.1 and 5.8.3).

use super::pack::{Lane, Pack};
use super::shape::{Done, narrow64, table, whole, xmm};
use crate::x86::exec::{Exec, Flow};
use crate::x86::op::{Handler, Op};
use crate::x86::regs::{gpr, seg};
use crate::x86::trap::Trap;
use crate::x86::word::Word;
use iced_x86::{Instruction, Mnemonic, OpKind};

fn load<const ALIGNED: bool>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_sse()?;
    let v = ex.load128::<ALIGNED>(op)?;
    ex.set_xmm(op.r0, v);
    Ok(Flow::Next)
}

fn store<const ALIGNED: bool>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_sse()?;
    let v = ex.xmm(op.r1);
    ex.store128::<ALIGNED>(op, v)?;
    Ok(Flow::Next)
}

fn copy(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_sse()?;
    let v = ex.xmm(op.r1);
    ex.set_xmm(op.r0, v);
    Ok(Flow::Next)
}

/// All 128 bits between registers and memory.
fn whole_move<const ALIGNED: bool>(ins: &Instruction) -> Option<Handler> {
    match (ins.op0_kind(), ins.op1_kind()) {
        (OpKind::Register, OpKind::Register) => Some(copy),
        (OpKind::Register, OpKind::Memory) => Some(load::<ALIGNED>),
        (OpKind::Memory, OpKind::Register) => Some(store::<ALIGNED>),
        _ => None,
    }
}

/// Load of a low element, the rest becomes zero: MOVD, MOVQ, MOVSS, MOVSD.
fn low_load<T: Word>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_sse()?;
    let v = ex.load::<T>(op)?.to_u64();
    ex.set_xmm(op.r0, v.into());
    Ok(Flow::Next)
}

fn low_store<T: Word>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_sse()?;
    let v = T::from_u64(ex.xmm(op.r1) as u64);
    ex.store(op, v)?;
    Ok(Flow::Next)
}

fn low_from_gpr<T: Word>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_sse()?;
    let v = ex.get::<T>(op.r1).to_u64();
    ex.set_xmm(op.r0, v.into());
    Ok(Flow::Next)
}

fn low_to_gpr<T: Word>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_sse()?;
    let v = T::from_u64(ex.xmm(op.r1) as u64);
    ex.set(op.r0, v);
    Ok(Flow::Next)
}

/// MOVQ between XMM registers: the upper half becomes zero.
fn low_copy(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_sse()?;
    let v = ex.xmm(op.r1) as u64;
    ex.set_xmm(op.r0, v.into());
    Ok(Flow::Next)
}

/// MOVSS and MOVSD between registers: the rest stays.
fn low_merge<T: Lane>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_sse()?;
    let v = ex.xmm(op.r0).with_lane(0, ex.xmm(op.r1).lane::<T>(0));
    ex.set_xmm(op.r0, v);
    Ok(Flow::Next)
}

fn mm_load<T: Word>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.mmx_begin()?;
    let v = ex.load::<T>(op)?.to_u64();
    ex.mmx_state();
    ex.set_mm(op.r0, v);
    Ok(Flow::Next)
}

fn mm_store<T: Word>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.mmx_begin()?;
    let v = T::from_u64(ex.mm(op.r1));
    ex.store(op, v)?;
    ex.mmx_state();
    Ok(Flow::Next)
}

fn mm_from_gpr<T: Word>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.mmx_begin()?;
    let v = ex.get::<T>(op.r1).to_u64();
    ex.mmx_state();
    ex.set_mm(op.r0, v);
    Ok(Flow::Next)
}

fn mm_to_gpr<T: Word>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.mmx_begin()?;
    let v = T::from_u64(ex.mm(op.r1));
    ex.mmx_state();
    ex.set(op.r0, v);
    Ok(Flow::Next)
}

fn mm_copy(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.mmx_begin()?;
    let v = ex.mm(op.r1);
    ex.mmx_state();
    ex.set_mm(op.r0, v);
    Ok(Flow::Next)
}

/// MOVD and MOVQ.
fn low_move<T: Word>(ins: &Instruction) -> Option<Handler> {
    let (a, b) = (ins.op0_register(), ins.op1_register());
    let memory = |i| ins.op_kind(i) == OpKind::Memory;
    if a.is_mm() {
        return match b {
            _ if memory(1) => Some(mm_load::<T>),
            _ if b.is_mm() => Some(mm_copy),
            _ if b.is_gpr() => Some(mm_from_gpr::<T>),
            _ => None,
        };
    }
    if a.is_xmm() {
        return match b {
            _ if memory(1) => Some(low_load::<T>),
            _ if b.is_xmm() => Some(low_copy),
            _ if b.is_gpr() => Some(low_from_gpr::<T>),
            _ => None,
        };
    }
    if b.is_mm() {
        return if memory(0) { Some(mm_store::<T>) } else { Some(mm_to_gpr::<T>) };
    }
    if b.is_xmm() {
        return if memory(0) { Some(low_store::<T>) } else { Some(low_to_gpr::<T>) };
    }
    None
}

/// MOVSS, and MOVSD other than the string instruction.
fn scalar_move<T: Word + Lane>(ins: &Instruction) -> Option<Handler> {
    match (ins.op0_kind(), ins.op1_kind()) {
        (OpKind::Register, OpKind::Register) => Some(low_merge::<T>),
        (OpKind::Register, OpKind::Memory) => Some(low_load::<T>),
        (OpKind::Memory, OpKind::Register) => Some(low_store::<T>),
        _ => None,
    }
}

fn half_load<const HIGH: bool>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_sse()?;
    let v = ex.load::<u64>(op)?;
    let v = ex.xmm(op.r0).with_lane(HIGH.into(), v);
    ex.set_xmm(op.r0, v);
    Ok(Flow::Next)
}

fn half_store<const HIGH: bool>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_sse()?;
    let v: u64 = ex.xmm(op.r1).lane(HIGH.into());
    ex.store(op, v)?;
    Ok(Flow::Next)
}

/// MOVLPS, MOVLPD, MOVHPS, MOVHPD.
fn half_move<const HIGH: bool>(ins: &Instruction) -> Option<Handler> {
    if ins.op0_kind() == OpKind::Memory { Some(half_store::<HIGH>) } else { Some(half_load::<HIGH>) }
}

whole! {
    Movhlps = |a, b, _| a >> 64 << 64 | b >> 64;
    Movlhps = |a, b, _| u128::from(a as u64) | b << 64;
    Movddup = |_, b, _| u128::from(b as u64) | b << 64;
    Movshdup = |_, b, _| u128::build(|i| b.lane::<u32>(i | 1));
    Movsldup = |_, b, _| u128::build(|i| b.lane::<u32>(i & !1));
}

/// MOVQ2DQ.
fn mm_to_xmm(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_sse()?;
    ex.mmx_begin()?;
    let v = ex.mm(op.r1);
    ex.mmx_state();
    ex.set_xmm(op.r0, v.into());
    Ok(Flow::Next)
}

/// MOVDQ2Q.
fn xmm_to_mm(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_sse()?;
    ex.mmx_begin()?;
    let v = ex.xmm(op.r1) as u64;
    ex.mmx_state();
    ex.set_mm(op.r0, v);
    Ok(Flow::Next)
}

/// MOVNTI is a store of a general register: CR0.EM and CR0.TS do not concern it.
fn movnti<T: Word>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let v = ex.get::<T>(op.r1);
    ex.store(op, v)?;
    Ok(Flow::Next)
}

/// The sign bits of the lanes.
fn signs<T: Lane + Word, V: Pack>(v: V) -> u32 {
    (0..V::count::<T>()).map(|i| u32::from(v.lane::<T>(i).to_i64() < 0) << i).sum()
}

/// MOVMSKPS, MOVMSKPD, PMOVMSKB of an XMM register.
fn xmm_signs<T: Lane + Word>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_sse()?;
    let v = signs::<T, u128>(ex.xmm(op.r1));
    ex.set(op.r0, v);
    Ok(Flow::Next)
}

/// PMOVMSKB of an XMM register: eight sign bits at a time gathered by a multiplication. It is
/// what string functions spend their time with.
fn pmovmskb(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_sse()?;
    let v = ex.xmm(op.r1);
    let v = byte_signs(v as u64) | byte_signs((v >> 64) as u64) << 8;
    ex.set(op.r0, v);
    Ok(Flow::Next)
}

fn pmovmskb_mm(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.mmx_begin()?;
    let v = byte_signs(ex.mm(op.r1));
    ex.mmx_state();
    ex.set(op.r0, v);
    Ok(Flow::Next)
}

/// Bit 7 of each byte. The factor moves the bit of byte i, at 8 * i, to 56 + i; no two products
/// meet, so nothing carries.
fn byte_signs(v: u64) -> u32 {
    let bits = v >> 7 & 0x0101_0101_0101_0101;
    (bits.wrapping_mul(0x0102_0408_1020_4080) >> 56) as u32
}

/// MASKMOVQ and MASKMOVDQU: a store of the bytes whose mask has its top bit set. Segment limit,
/// canonical form and (MASKMOVQ) alignment are those of the whole operand. The manual leaves
/// open whether the page of a byte that is not written can fault; here it cannot.
fn masked_store(ex: &mut Exec<'_>, op: &Op, data: &[u8], mask: &[u8]) -> Result<(), Trap> {
    let size = data.len() as u64;
    let rdi = ex.cpu.regs[usize::from(gpr::RDI)];
    let offset = match op.addrsize {
        8 => rdi,
        4 => rdi & 0xffff_ffff,
        _ => rdi & 0xffff,
    };
    let first = ex.linear(op.seg, offset, size, true)?;
    let last = first.wrapping_add(size - 1);
    if ex.cpu.long_mode() && !(Exec::canonical(first) && Exec::canonical(last)) {
        return Err(if op.seg == seg::SS { Trap::SS } else { Trap::GP });
    }
    if size == 8 && first & 7 != 0 && ex.cpu.alignment_checked() {
        return Err(Trap::AC);
    }
    let chosen = || (0..data.len()).filter(|&i| mask[i] & 0x80 != 0);
    let at = |ex: &Exec<'_>, i: usize| ex.wrap(first.wrapping_add(i as u64));
    for i in chosen() {
        ex.check_write(op.seg, at(ex, i), 1)?;
    }
    for i in chosen() {
        ex.write_lin(op.seg, at(ex, i), data[i])?;
    }
    Ok(())
}

fn maskmovdqu(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_sse()?;
    let (data, mask) = (ex.xmm(op.r1).to_le_bytes(), ex.xmm(op.r2).to_le_bytes());
    masked_store(ex, op, &data, &mask)?;
    Ok(Flow::Next)
}

fn maskmovq(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.mmx_begin()?;
    let (data, mask) = (ex.mm(op.r1).to_le_bytes(), ex.mm(op.r2).to_le_bytes());
    masked_store(ex, op, &data, &mask)?;
    ex.mmx_state();
    Ok(Flow::Next)
}

/// The bits of MXCSR that exist (what FXSAVE reports as MXCSR_MASK): all of the low word.
const MXCSR_MASK: u32 = 0xffff;

fn ldmxcsr(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_sse()?;
    let v = ex.load::<u32>(op)?;
    if v & !MXCSR_MASK != 0 {
        return Err(Trap::GP);
    }
    ex.cpu.mxcsr = v;
    Ok(Flow::Next)
}

fn stmxcsr(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_sse()?;
    let v = ex.cpu.mxcsr;
    ex.store(op, v)?;
    Ok(Flow::Next)
}

fn copies(ins: &Instruction) -> Option<Handler> {
    table!(ins; xmm: Movhlps Movlhps Movshdup Movsldup; narrow64: Movddup;)
}

/// The handler for `ins`, if it is here.
pub fn select(ins: &Instruction) -> Option<Handler> {
    use Mnemonic::*;
    let memory = ins.op0_kind() == OpKind::Memory;
    match ins.mnemonic() {
        Movaps | Movapd | Movdqa | Movntps | Movntpd | Movntdq | Movntdqa => whole_move::<true>(ins),
        Movups | Movupd | Movdqu | Lddqu => whole_move::<false>(ins),
        Movd => low_move::<u32>(ins),
        Movq | Movntq => low_move::<u64>(ins),
        Movss => scalar_move::<u32>(ins),
        Movsd if ins.op0_register().is_xmm() || ins.op1_register().is_xmm() => scalar_move::<u64>(ins),
        Movlps | Movlpd => half_move::<false>(ins),
        Movhps | Movhpd => half_move::<true>(ins),
        Movq2dq => Some(mm_to_xmm),
        Movdq2q => Some(xmm_to_mm),
        Movnti if memory && ins.op1_register().size() == 8 => Some(movnti::<u64>),
        Movnti if memory => Some(movnti::<u32>),
        Movmskps => Some(xmm_signs::<u32>),
        Movmskpd => Some(xmm_signs::<u64>),
        Pmovmskb if ins.op1_register().is_mm() => Some(pmovmskb_mm),
        Pmovmskb => Some(pmovmskb),
        Maskmovdqu => Some(maskmovdqu),
        Maskmovq => Some(maskmovq),
        Ldmxcsr => Some(ldmxcsr),
        Stmxcsr => Some(stmxcsr),
        _ => copies(ins),
    }
}
