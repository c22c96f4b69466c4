//! Conversions (SDM volume 1, sections 5.5.1.6, 5.6.1.6 and 5.6.2). A value that has no integer
//! is invalid and becomes the integer indefinite, the most negative number.

use super::float::{Compute, Computed, Float, from_gpr, narrow, whole};
use super::pack::{Lane, Pack};
use super::shape::Done;
use crate::softfloat::{Env, F32, F64, Rounding, convert, from_i32, from_i64, to_i32, to_i64};
use crate::x86::exec::{Exec, Flow};
use crate::x86::op::{Handler, Op};
use crate::x86::word::Word;
use iced_x86::{Instruction, Mnemonic, OpKind};

/// A signed integer that floating-point numbers are converted from and to.
trait Integer: Lane {
    /// The unsigned type of that width.
    type Bits: Word;
    fn to<F: Float>(self, env: &mut Env) -> F;
    fn from<F: Float>(v: F, rounding: Rounding, env: &mut Env) -> Self;
    fn bits(self) -> Self::Bits;
}

impl Integer for i32 {
    type Bits = u32;
    fn to<F: Float>(self, env: &mut Env) -> F {
        from_i32(self, env)
    }
    fn from<F: Float>(v: F, rounding: Rounding, env: &mut Env) -> Self {
        to_i32(v, rounding, env).unwrap_or(i32::MIN)
    }
    fn bits(self) -> u32 {
        self as u32
    }
}

impl Integer for i64 {
    type Bits = u64;
    fn to<F: Float>(self, env: &mut Env) -> F {
        from_i64(self, env)
    }
    fn from<F: Float>(v: F, rounding: Rounding, env: &mut Env) -> Self {
        to_i64(v, rounding, env).unwrap_or(i64::MIN)
    }
    fn bits(self) -> u64 {
        self as u64
    }
}

fn rounding<const TRUNCATE: bool>(env: &Env) -> Rounding {
    if TRUNCATE { Rounding::TowardZero } else { env.rounding }
}

macro_rules! conversions {
    ($($(#[$m:meta])* $name:ident $(<const $t:ident>)? = |$a:pat_param, $b:ident, $c:ident| $e:expr;)*) => {$(
        $(#[$m])*
        struct $name$(<const $t: bool>)?;
        impl$(<const $t: bool>)? Computed for $name$(<$t>)? {
            #[inline(always)]
            fn compute($a: u128, $b: u128, _: u8, $c: &mut Compute) -> u128 {
                $e
            }
        }
    )*};
}

/// The low two lanes of `T`, made by `f`; zeros above.
fn low_two<T: Lane>(mut f: impl FnMut(usize) -> T) -> u128 {
    0.with_lane(0, f(0)).with_lane(1, f(1))
}

conversions! {
    Ss2sd = |a, b, c| a.with_lane::<F64>(0, convert(b.lane::<F32>(0), &mut c.env));
    Sd2ss = |a, b, c| a.with_lane::<F32>(0, convert(b.lane::<F64>(0), &mut c.env));
    Ps2pd = |_, b, c| u128::build::<F64>(|i| convert(b.lane::<F32>(i), &mut c.env));
    Pd2ps = |_, b, c| low_two::<F32>(|i| convert(b.lane::<F64>(i), &mut c.env));
    Dq2ps = |_, b, c| u128::map::<F32>(b, |v| Integer::to(v.0 as i32, &mut c.env));
    Dq2pd = |_, b, c| u128::build::<F64>(|i| b.lane::<i32>(i).to(&mut c.env));
    Ps2dq<const TRUNCATE> = |_, b, c| {
        let rounding = rounding::<TRUNCATE>(&c.env);
        u128::build::<i32>(|i| Integer::from(b.lane::<F32>(i), rounding, &mut c.env))
    };
    Pd2dq<const TRUNCATE> = |_, b, c| {
        let rounding = rounding::<TRUNCATE>(&c.env);
        low_two::<i32>(|i| Integer::from(b.lane::<F64>(i), rounding, &mut c.env))
    };
    Ps2pi<const TRUNCATE> = |_, b, c| {
        let rounding = rounding::<TRUNCATE>(&c.env);
        low_two::<i32>(|i| Integer::from(b.lane::<F32>(i), rounding, &mut c.env))
    };
    Pi2ps = |a, b, c| {
        let low = low_two::<F32>(|i| b.lane::<i32>(i).to(&mut c.env));
        a >> 64 << 64 | low
    };
    Si2ss = |a, b, c| a.with_lane::<F32>(0, b.lane::<i32>(0).to(&mut c.env));
    Si2sd = |a, b, c| a.with_lane::<F64>(0, b.lane::<i32>(0).to(&mut c.env));
    Sq2ss = |a, b, c| a.with_lane::<F32>(0, b.lane::<i64>(0).to(&mut c.env));
    Sq2sd = |a, b, c| a.with_lane::<F64>(0, b.lane::<i64>(0).to(&mut c.env));
}

/// CVTxS2SI and CVTTxS2SI: to a general register.
fn to_gpr<F: Float, I: Integer, const TRUNCATE: bool>(ex: &mut Exec<'_>, op: &Op, b: F) -> Done {
    let mut c = ex.compute();
    let v = I::from(b, rounding::<TRUNCATE>(&c.env), &mut c.env);
    ex.settle(&c)?;
    ex.set(op.r0, v.bits());
    Ok(Flow::Next)
}

fn to_gpr_rr<F: Float, I: Integer, const TRUNCATE: bool>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_sse()?;
    let b = ex.xmm(op.r1).lane(0);
    to_gpr::<F, I, TRUNCATE>(ex, op, b)
}

fn to_gpr_rm<F: Float, M: Word, I: Integer, const TRUNCATE: bool>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_sse()?;
    let b = u128::from(ex.load::<M>(op)?.to_u64()).lane(0);
    to_gpr::<F, I, TRUNCATE>(ex, op, b)
}

fn select_to_gpr<F: Float, M: Word, const TRUNCATE: bool>(ins: &Instruction) -> Option<Handler> {
    match (ins.op1_kind() == OpKind::Memory, ins.op0_register().size()) {
        (false, 4) => Some(to_gpr_rr::<F, i32, TRUNCATE>),
        (false, 8) => Some(to_gpr_rr::<F, i64, TRUNCATE>),
        (true, 4) => Some(to_gpr_rm::<F, M, i32, TRUNCATE>),
        (true, 8) => Some(to_gpr_rm::<F, M, i64, TRUNCATE>),
        _ => None,
    }
}

/// CVTxx2PI: XMM or memory to an MMX register.
fn to_mm<O: Computed>(ex: &mut Exec<'_>, op: &Op, b: u128) -> Done {
    let mut c = ex.compute();
    let v = O::compute(0, b, 0, &mut c);
    ex.settle(&c)?;
    ex.mmx_state();
    ex.set_mm(op.r0, v as u64);
    Ok(Flow::Next)
}

fn to_mm_rr<O: Computed>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_sse()?;
    ex.mmx_begin()?;
    let b = ex.xmm(op.r1);
    to_mm::<O>(ex, op, b)
}

fn to_mm_m64<O: Computed>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_sse()?;
    ex.mmx_begin()?;
    let b = ex.load::<u64>(op)?;
    to_mm::<O>(ex, op, b.into())
}

fn to_mm_m128<O: Computed>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_sse()?;
    ex.mmx_begin()?;
    let b = ex.load128::<true>(op)?;
    to_mm::<O>(ex, op, b)
}

fn select_to_mm<O: Computed>(ins: &Instruction) -> Option<Handler> {
    if ins.op1_kind() == OpKind::Register {
        return Some(to_mm_rr::<O>);
    }
    if ins.memory_size().size() == 16 { Some(to_mm_m128::<O>) } else { Some(to_mm_m64::<O>) }
}

/// CVTPI2PS and CVTPI2PD from an MMX register.
fn from_mm<O: Computed>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_sse()?;
    ex.mmx_begin()?;
    let mut c = ex.compute();
    let v = O::compute(ex.xmm(op.r0), ex.mm(op.r1).into(), 0, &mut c);
    ex.settle(&c)?;
    ex.mmx_state();
    ex.set_xmm(op.r0, v);
    Ok(Flow::Next)
}

/// The handler for `ins`, if it is here.
pub fn select(ins: &Instruction) -> Option<Handler> {
    use Mnemonic::*;
    let memory = ins.op1_kind() == OpKind::Memory;
    let wide = if memory { ins.memory_size().size() == 8 } else { ins.op1_register().size() == 8 };
    match ins.mnemonic() {
        Cvtss2sd => narrow::<Ss2sd, u32>(ins),
        Cvtsd2ss => narrow::<Sd2ss, u64>(ins),
        Cvtps2pd => narrow::<Ps2pd, u64>(ins),
        Cvtpd2ps => whole::<Pd2ps>(ins),
        Cvtdq2ps => whole::<Dq2ps>(ins),
        Cvtdq2pd => narrow::<Dq2pd, u64>(ins),
        Cvtps2dq => whole::<Ps2dq<false>>(ins),
        Cvttps2dq => whole::<Ps2dq<true>>(ins),
        Cvtpd2dq => whole::<Pd2dq<false>>(ins),
        Cvttpd2dq => whole::<Pd2dq<true>>(ins),
        Cvtsi2ss if wide => from_gpr::<Sq2ss, u64>(ins),
        Cvtsi2ss => from_gpr::<Si2ss, u32>(ins),
        Cvtsi2sd if wide => from_gpr::<Sq2sd, u64>(ins),
        Cvtsi2sd => from_gpr::<Si2sd, u32>(ins),
        Cvtss2si => select_to_gpr::<F32, u32, false>(ins),
        Cvttss2si => select_to_gpr::<F32, u32, true>(ins),
        Cvtsd2si => select_to_gpr::<F64, u64, false>(ins),
        Cvttsd2si => select_to_gpr::<F64, u64, true>(ins),
        Cvtps2pi => select_to_mm::<Ps2pi<false>>(ins),
        Cvttps2pi => select_to_mm::<Ps2pi<true>>(ins),
        Cvtpd2pi => select_to_mm::<Pd2dq<false>>(ins),
        Cvttpd2pi => select_to_mm::<Pd2dq<true>>(ins),
        // The manual makes the transition to MMX state whatever CVTPI2PS reads; processors do not
        // for memory, as with CVTPI2PD, and neither look at pending x87 exceptions then.
        Cvtpi2ps if memory => narrow::<Pi2ps, u64>(ins),
        Cvtpi2ps => Some(from_mm::<Pi2ps>),
        Cvtpi2pd if memory => narrow::<Dq2pd, u64>(ins),
        Cvtpi2pd => Some(from_mm::<Dq2pd>),
        _ => None,
    }
}
