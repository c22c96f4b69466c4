//! What floating-point handlers share: the environment that MXCSR asks for, exceptions, and one
//! handler per shape of operands, generic over the computation.

use super::pack::{Lane, Pack};
use super::shape::Done;
use crate::softfloat::{Env, F32, F64, Flags, Format};
use crate::x86::exec::{Exec, Flow};
use crate::x86::op::{Handler, Op};
use crate::x86::regs::cr4;
use crate::x86::trap::Trap;
use crate::x86::word::Word;
use iced_x86::{Instruction, OpKind};
use std::marker::PhantomData;

/// A format that lies in vectors.
pub trait Float: Format + Lane {}
impl<F: Format + Lane> Float for F {}

/// Exceptions that are detected before the computation (SDM volume 1, section 11.5.2): when one
/// of any lane is unmasked, no lane is computed and none reports what follows from computing.
const BEFORE: u8 = Flags::INVALID | Flags::DENORMAL | Flags::DIVZERO;

/// The computation of one instruction.
pub struct Compute {
    /// How to compute, and the exceptions of the current stage in all lanes.
    pub env: Env,
    /// Exceptions of completed stages.
    done: u8,
    /// Exceptions that MXCSR does not mask.
    unmasked: u8,
}

impl Compute {
    /// Ends a stage of an instruction that rounds several times (the dot products). False when
    /// the instruction ends here, with an exception.
    pub fn stage(&mut self) -> bool {
        if self.env.flags.any(self.unmasked) {
            return false;
        }
        self.done |= std::mem::take(&mut self.env.flags).0;
        true
    }
}

impl Exec<'_> {
    /// The computation that MXCSR asks for.
    #[inline(always)]
    pub fn compute(&self) -> Compute {
        let mxcsr = self.cpu.mxcsr;
        Compute { env: Env::sse(mxcsr), done: 0, unmasked: !(mxcsr >> 7) as u8 & 0x3f }
    }

    /// Reports the exceptions of a computation in MXCSR; the destination may be written after it.
    ///
    /// # Errors
    /// #XM for an unmasked exception, #UD for it with CR4.OSXMMEXCPT clear.
    #[inline(always)]
    pub fn settle(&mut self, c: &Compute) -> Result<(), Trap> {
        let flags = c.env.flags.0;
        if flags & c.unmasked != 0 {
            return Err(self.unmasked(c));
        }
        self.cpu.mxcsr |= u32::from(flags | c.done);
        Ok(())
    }

    #[cold]
    fn unmasked(&mut self, c: &Compute) -> Trap {
        let flags = c.env.flags.0;
        let flags = if flags & c.unmasked & BEFORE != 0 { flags & BEFORE } else { flags };
        self.cpu.mxcsr |= u32::from(flags | c.done);
        if self.cpu.cr4 & cr4::OSXMMEXCPT != 0 { Trap::XM } else { Trap::UD }
    }
}

/// A computation on XMM registers: destination, source, immediate.
pub trait Computed {
    /// The new destination.
    fn compute(a: u128, b: u128, imm: u8, c: &mut Compute) -> u128;
}

/// A computation on one lane of each operand.
pub trait FloatOp {
    /// The new lane.
    fn lane<F: Float>(a: F, b: F, imm: u8, env: &mut Env) -> F;
}

/// `O` in every lane.
struct Packed<O, F>(PhantomData<(O, F)>);

impl<O: FloatOp, F: Float> Computed for Packed<O, F> {
    #[inline(always)]
    fn compute(a: u128, b: u128, imm: u8, c: &mut Compute) -> u128 {
        u128::zip(a, b, |a: F, b: F| O::lane(a, b, imm, &mut c.env))
    }
}

/// `O` in the low lane; the destination's others stay.
struct Scalar<O, F>(PhantomData<(O, F)>);

impl<O: FloatOp, F: Float> Computed for Scalar<O, F> {
    #[inline(always)]
    fn compute(a: u128, b: u128, imm: u8, c: &mut Compute) -> u128 {
        a.with_lane(0, O::lane::<F>(a.lane(0), b.lane(0), imm, &mut c.env))
    }
}

fn finish<O: Computed>(ex: &mut Exec<'_>, op: &Op, b: u128) -> Done {
    let mut c = ex.compute();
    let v = O::compute(ex.xmm(op.r0), b, op.imm as u8, &mut c);
    ex.settle(&c)?;
    ex.set_xmm(op.r0, v);
    Ok(Flow::Next)
}

fn computed_rr<O: Computed>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_sse()?;
    let b = ex.xmm(op.r1);
    finish::<O>(ex, op, b)
}

fn computed_rm<O: Computed>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_sse()?;
    let b = ex.load128::<true>(op)?;
    finish::<O>(ex, op, b)
}

fn computed_narrow<O: Computed, M: Word>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_sse()?;
    let b = ex.load::<M>(op)?.to_u64();
    finish::<O>(ex, op, b.into())
}

fn computed_gpr<O: Computed, M: Word>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_sse()?;
    let b = ex.get::<M>(op.r1).to_u64();
    finish::<O>(ex, op, b.into())
}

/// The handler of `O` for an XMM destination and an XMM register or 128 bits of memory.
pub fn whole<O: Computed>(ins: &Instruction) -> Option<Handler> {
    if ins.op1_kind() == OpKind::Memory { Some(computed_rm::<O>) } else { Some(computed_rr::<O>) }
}

/// The handler of `O` for an XMM destination and an XMM register or a narrower `M` in memory.
pub fn narrow<O: Computed, M: Word>(ins: &Instruction) -> Option<Handler> {
    if ins.op1_kind() == OpKind::Memory { Some(computed_narrow::<O, M>) } else { Some(computed_rr::<O>) }
}

/// The handler of `O` for an XMM destination and a general register or memory as wide.
pub fn from_gpr<O: Computed, M: Word>(ins: &Instruction) -> Option<Handler> {
    if ins.op1_kind() == OpKind::Memory { Some(computed_narrow::<O, M>) } else { Some(computed_gpr::<O, M>) }
}

/// The handler of `O` in every lane of type `F`.
pub fn packed<O: FloatOp, F: Float>(ins: &Instruction) -> Option<Handler> {
    whole::<Packed<O, F>>(ins)
}

/// The handler of `O` in the low lane, of single precision.
pub fn single<O: FloatOp>(ins: &Instruction) -> Option<Handler> {
    narrow::<Scalar<O, F32>, u32>(ins)
}

/// The handler of `O` in the low lane, of double precision.
pub fn double<O: FloatOp>(ins: &Instruction) -> Option<Handler> {
    narrow::<Scalar<O, F64>, u64>(ins)
}
