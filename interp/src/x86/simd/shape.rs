//! What the handlers share: checks before an instruction, operands, and one handler per shape
//! of operands, generic over the operation.

use super::pack::Pack;
use crate::mem::PAGE_SIZE;
use crate::tlb::Access;
use crate::x86::exec::{Exec, Flow};
use crate::x86::op::{Handler, Op};
use crate::x86::regs::{cr0, cr4};
use crate::x86::trap::Trap;
use crate::x86::word::Word;
use iced_x86::{Instruction, OpKind};

/// What a handler returns.
pub type Done = Result<Flow, Trap>;

impl Exec<'_> {
    /// What every SSE instruction checks first (SDM volume 3, sections 2.5 and 13.1).
    ///
    /// # Errors
    /// #UD with CR0.EM set or CR4.OSFXSR clear, #NM with CR0.TS set.
    #[inline(always)]
    pub fn check_sse(&self) -> Result<(), Trap> {
        if self.cpu.cr0 & (cr0::EM | cr0::TS) | (self.cpu.cr4 & cr4::OSFXSR ^ cr4::OSFXSR) != 0 {
            return Err(self.no_sse());
        }
        Ok(())
    }

    #[cold]
    fn no_sse(&self) -> Trap {
        if self.cpu.cr0 & cr0::EM != 0 || self.cpu.cr4 & cr4::OSFXSR == 0 { Trap::UD } else { Trap::NM }
    }

    /// An MMX register.
    #[inline(always)]
    pub fn mm(&self, r: u8) -> u64 {
        self.cpu.x87.mantissa[usize::from(r & 7)]
    }

    /// Writes an MMX register: the sign and exponent become all ones (SDM volume 3, section
    /// 12.2). The caller has made the transition.
    #[inline(always)]
    pub fn set_mm(&mut self, r: u8, v: u64) {
        self.cpu.x87.mantissa[usize::from(r & 7)] = v;
        self.cpu.x87.sign_exp[usize::from(r & 7)] = 0xffff;
    }

    /// An XMM register.
    #[inline(always)]
    pub fn xmm(&self, r: u8) -> u128 {
        self.cpu.vectors[usize::from(r & 15)].xmm()
    }

    /// Writes an XMM register as the legacy encodings do: the upper half stays.
    #[inline(always)]
    pub fn set_xmm(&mut self, r: u8, v: u128) {
        self.cpu.vectors[usize::from(r & 15)].set_xmm(v);
    }

    /// The linear address of a 128-bit operand. Outside 64-bit mode by a call: it is inlined in
    /// some hundred handlers.
    #[inline(always)]
    fn operand128(&self, op: &Op, write: bool) -> Result<u64, Trap> {
        if self.cpu.mode64() { self.operand(op, 16, write) } else { self.operand128_legacy(op, write) }
    }

    #[inline(never)]
    fn operand128_legacy(&self, op: &Op, write: bool) -> Result<u64, Trap> {
        self.operand(op, 16, write)
    }

    /// [`Exec::load_xmm`] with the TLB's hit path inline.
    ///
    /// # Errors
    /// The access's fault.
    #[inline(always)]
    pub fn load128<const ALIGNED: bool>(&mut self, op: &Op) -> Result<u128, Trap> {
        let lin = self.operand128(op, false)?;
        if ALIGNED && lin & 15 != 0 {
            return Err(Trap::GP);
        }
        let e = self.tlb.entry(lin, Access::Read);
        let d = lin.wrapping_sub(e.tag);
        if d <= PAGE_SIZE - 16 {
            let o = (e.offset + d) as usize;
            if let Some(b) = self.mem.bytes().get(o..).and_then(|b| b.first_chunk()) {
                return Ok(u128::from_le_bytes(*b));
            }
        }
        let mut b = [0; 16];
        self.read_bytes(op.seg, lin, &mut b)?;
        Ok(u128::from_le_bytes(b))
    }

    /// [`Exec::store_xmm`] with the TLB's hit path inline.
    ///
    /// # Errors
    /// The access's fault.
    #[inline(always)]
    pub fn store128<const ALIGNED: bool>(&mut self, op: &Op, v: u128) -> Result<(), Trap> {
        let lin = self.operand128(op, true)?;
        if ALIGNED && lin & 15 != 0 {
            return Err(Trap::GP);
        }
        let e = self.tlb.entry(lin, Access::Write);
        let d = lin.wrapping_sub(e.tag);
        if d <= PAGE_SIZE - 16 {
            let o = (e.offset + d) as usize;
            if let Some(b) = self.mem.bytes_mut().get_mut(o..).and_then(|b| b.first_chunk_mut()) {
                *b = v.to_le_bytes();
                return Ok(());
            }
        }
        self.write_bytes(op.seg, lin, &v.to_le_bytes())
    }
}

/// An operation on XMM registers: destination, source, immediate.
pub trait Whole {
    /// The new destination.
    fn whole(a: u128, b: u128, imm: u8) -> u128;
}

/// An operation that exists for MMX and XMM registers.
pub trait Lanes {
    /// The new destination.
    fn apply<V: Pack>(a: V, b: V, imm: u8) -> V;
}

impl<O: Lanes> Whole for O {
    #[inline(always)]
    fn whole(a: u128, b: u128, imm: u8) -> u128 {
        O::apply(a, b, imm)
    }
}

/// Defines operations: `Name: lane type = |a, b| expression;` on each pair of lanes.
macro_rules! zip {
    ($($name:ident: $t:ty = |$a:ident, $b:ident| $e:expr;)*) => {$(
        struct $name;
        impl $crate::x86::simd::shape::Lanes for $name {
            #[inline(always)]
            fn apply<V: $crate::x86::simd::pack::Pack>(a: V, b: V, _: u8) -> V {
                V::zip(a, b, |$a: $t, $b: $t| $e)
            }
        }
    )*};
}

/// Defines operations on both widths: `Name = |a, b, imm| expression with V;`.
macro_rules! lanes {
    ($v:ident; $($name:ident = |$a:pat_param, $b:pat_param, $imm:pat_param| $e:expr;)*) => {$(
        struct $name;
        impl $crate::x86::simd::shape::Lanes for $name {
            #[inline(always)]
            fn apply<$v: $crate::x86::simd::pack::Pack>($a: $v, $b: $v, $imm: u8) -> $v {
                $e
            }
        }
    )*};
}

/// Defines operations on XMM registers only: `Name = |a, b, imm| expression;`.
macro_rules! whole {
    ($($name:ident = |$a:pat_param, $b:pat_param, $imm:pat_param| $e:expr;)*) => {$(
        struct $name;
        impl $crate::x86::simd::shape::Whole for $name {
            #[inline(always)]
            fn whole($a: u128, $b: u128, $imm: u8) -> u128 {
                $e
            }
        }
    )*};
}

/// Chooses by mnemonic: `table!(ins; selector: Name Name; ...)`, each operation having the name
/// of its mnemonic.
macro_rules! table {
    ($ins:expr; $($f:ident: $($name:ident)*;)*) => {
        match $ins.mnemonic() {
            $($(iced_x86::Mnemonic::$name => $f::<$name>($ins),)*)*
            _ => None,
        }
    };
}
pub(super) use {lanes, table, whole, zip};

fn xmm_xmm<O: Whole>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_sse()?;
    let v = O::whole(ex.xmm(op.r0), ex.xmm(op.r1), op.imm as u8);
    ex.set_xmm(op.r0, v);
    Ok(Flow::Next)
}

fn xmm_mem<O: Whole>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_sse()?;
    let b = ex.load128::<true>(op)?;
    let v = O::whole(ex.xmm(op.r0), b, op.imm as u8);
    ex.set_xmm(op.r0, v);
    Ok(Flow::Next)
}

/// A memory operand narrower than 128 bits, in the low lanes.
fn xmm_narrow<O: Whole, M: Word>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_sse()?;
    let b = ex.load::<M>(op)?.to_u64();
    let v = O::whole(ex.xmm(op.r0), b.into(), op.imm as u8);
    ex.set_xmm(op.r0, v);
    Ok(Flow::Next)
}

/// Source and immediate are both the immediate: the shifts by a constant.
fn xmm_imm<O: Whole>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_sse()?;
    let imm = op.imm as u8;
    let v = O::whole(ex.xmm(op.r0), imm.into(), imm);
    ex.set_xmm(op.r0, v);
    Ok(Flow::Next)
}

fn mm_mm<O: Lanes>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.mmx_begin()?;
    let v = O::apply(ex.mm(op.r0), ex.mm(op.r1), op.imm as u8);
    ex.mmx_state();
    ex.set_mm(op.r0, v);
    Ok(Flow::Next)
}

fn mm_mem<O: Lanes, M: Word>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.mmx_begin()?;
    let b = ex.load::<M>(op)?.to_u64();
    let v = O::apply(ex.mm(op.r0), b, op.imm as u8);
    ex.mmx_state();
    ex.set_mm(op.r0, v);
    Ok(Flow::Next)
}

fn mm_imm<O: Lanes>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.mmx_begin()?;
    let imm = op.imm as u8;
    let v = O::apply(ex.mm(op.r0), imm.into(), imm);
    ex.mmx_state();
    ex.set_mm(op.r0, v);
    Ok(Flow::Next)
}

/// The handler of `O` for an XMM destination and an XMM register or 128 bits of memory.
pub fn xmm<O: Whole>(ins: &Instruction) -> Option<Handler> {
    if !ins.op0_register().is_xmm() {
        return None;
    }
    match ins.op1_kind() {
        OpKind::Register if ins.op1_register().is_xmm() => Some(xmm_xmm::<O>),
        OpKind::Memory if ins.memory_size().size() == 16 => Some(xmm_mem::<O>),
        _ => None,
    }
}

/// The handler of `O` for an XMM destination and an XMM register or less of memory.
fn narrow<O: Whole, M: Word>(ins: &Instruction) -> Option<Handler> {
    match ins.op1_kind() {
        OpKind::Register => Some(xmm_xmm::<O>),
        OpKind::Memory if ins.memory_size().size() == usize::from(M::BYTES) => Some(xmm_narrow::<O, M>),
        _ => None,
    }
}

/// [`narrow`] with 64 bits of memory.
pub fn narrow64<O: Whole>(ins: &Instruction) -> Option<Handler> {
    narrow::<O, u64>(ins)
}

/// [`narrow`] with 32 bits of memory.
pub fn narrow32<O: Whole>(ins: &Instruction) -> Option<Handler> {
    narrow::<O, u32>(ins)
}

/// [`narrow`] with 16 bits of memory.
pub fn narrow16<O: Whole>(ins: &Instruction) -> Option<Handler> {
    narrow::<O, u16>(ins)
}

/// The handler of `O` for an XMM destination and an immediate.
pub fn xmm_by_imm<O: Whole>(_: &Instruction) -> Option<Handler> {
    Some(xmm_imm::<O>)
}

/// The handler of `O` for an MMX or XMM destination.
pub fn both<O: Lanes>(ins: &Instruction) -> Option<Handler> {
    if !ins.op0_register().is_mm() {
        return xmm::<O>(ins);
    }
    match ins.op1_kind() {
        OpKind::Register if ins.op1_register().is_mm() => Some(mm_mm::<O>),
        OpKind::Memory if ins.memory_size().size() == 8 => Some(mm_mem::<O, u64>),
        _ => None,
    }
}

/// As [`both`]; the MMX form reads 32 bits of memory.
pub fn both_low<O: Lanes>(ins: &Instruction) -> Option<Handler> {
    if ins.op0_register().is_mm() && ins.op1_kind() == OpKind::Memory {
        Some(mm_mem::<O, u32>)
    } else {
        both::<O>(ins)
    }
}

/// As [`both`], or by an immediate: shifts.
pub fn both_or_imm<O: Lanes>(ins: &Instruction) -> Option<Handler> {
    match ins.op1_kind() {
        OpKind::Immediate8 if ins.op0_register().is_mm() => Some(mm_imm::<O>),
        OpKind::Immediate8 => Some(xmm_imm::<O>),
        _ => both::<O>(ins),
    }
}
