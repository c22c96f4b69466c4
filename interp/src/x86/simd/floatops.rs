//! Arithmetic, comparison and rounding of single and double precision (SDM volume 1, sections
//! 5.5.1.2, 5.5.1.3, 5.6.1.2, 5.6.1.3, 5.7.2, 5.7.3, 5.10.2 and 5.10.8).

use super::arith::horizontal;
use super::float::{Compute, Computed, Float, FloatOp, double, packed, single, whole};
use super::pack::Pack;
use super::shape::Done;
use crate::softfloat::{
    Class, Env, F32, F64, Order, Rounding, add, compare, compare_quiet, div, mul, round_to_int, sqrt, sub,
};
use crate::x86::exec::{Exec, Flow};
use crate::x86::flags::bit;
use crate::x86::op::{Handler, Op};
use crate::x86::word::Word;
use iced_x86::{Instruction, Mnemonic, OpKind};

macro_rules! float_ops {
    ($($name:ident = |$a:pat_param, $b:pat_param, $imm:pat_param, $env:ident| $e:expr;)*) => {$(
        struct $name;
        impl FloatOp for $name {
            #[inline(always)]
            fn lane<F: Float>($a: F, $b: F, $imm: u8, $env: &mut Env) -> F {
                $e
            }
        }
    )*};
}

float_ops! {
    Add = |a, b, _, env| add(a, b, env);
    Sub = |a, b, _, env| sub(a, b, env);
    Mul = |a, b, _, env| mul(a, b, env);
    Div = |a, b, _, env| div(a, b, env);
    Sqrt = |_, b, _, env| sqrt(b, env);
    // The second operand when one is a NaN (which is invalid, also when it is quiet) and when
    // both are zeros (SDM volume 2, MAXPS).
    Min = |a, b, _, env| if compare(a, b, env) == Order::Less { flushed(a, env) } else { flushed(b, env) };
    Max = |a, b, _, env| if compare(a, b, env) == Order::Greater { flushed(a, env) } else { flushed(b, env) };
    Cmp = |a, b, imm, env| mask(predicate(a, b, imm, env));
    // Bits 1:0 are a rounding mode unless bit 2 says MXCSR's; bit 3 suppresses inexact.
    Round = |_, b, imm, env| {
        let rounding = if imm & 4 != 0 { env.rounding } else { Rounding::from_x86(imm.into()) };
        round_to_int(b, rounding, imm & 8 == 0, env)
    };
}

/// A denormal operand with MXCSR.DAZ set, as the zero that it counts as.
fn flushed<F: Float>(v: F, env: &Env) -> F {
    if env.daz && v.unpack().class == Class::Subnormal { F::zero(v.unpack().sign) } else { v }
}

/// A lane of all ones or zeros.
fn mask<F: Float>(v: bool) -> F {
    let bytes = if v { [0xff; 8] } else { [0; 8] };
    F::load(&bytes[..F::BYTES])
}

/// The predicates of CMPPS (SDM volume 2, table 3-1); the legacy encodings look at three bits.
fn predicate<F: Float>(a: F, b: F, imm: u8, env: &mut Env) -> bool {
    use Order::{Equal, Less, Unordered};
    let order = if matches!(imm & 3, 1 | 2) { compare(a, b, env) } else { compare_quiet(a, b, env) };
    let holds = match imm & 3 {
        0 => order == Equal,
        1 => order == Less,
        2 => order == Less || order == Equal,
        _ => order == Unordered,
    };
    holds != (imm & 4 != 0)
}

/// Subtraction in even lanes, addition in odd ones.
struct AddSub<F>(std::marker::PhantomData<F>);

impl<F: Float> Computed for AddSub<F> {
    #[inline(always)]
    fn compute(a: u128, b: u128, _: u8, c: &mut Compute) -> u128 {
        u128::build(|i| {
            let (a, b) = (a.lane::<F>(i), b.lane::<F>(i));
            if i & 1 == 0 { sub(a, b, &mut c.env) } else { add(a, b, &mut c.env) }
        })
    }
}

/// Sums or differences of neighbours.
struct Horizontal<F, const SUB: bool>(std::marker::PhantomData<F>);

impl<F: Float, const SUB: bool> Computed for Horizontal<F, SUB> {
    #[inline(always)]
    fn compute(a: u128, b: u128, _: u8, c: &mut Compute) -> u128 {
        horizontal(a, b, |a: F, b: F| if SUB { sub(a, b, &mut c.env) } else { add(a, b, &mut c.env) })
    }
}

/// DPPS and DPPD: products of the lanes that bits 7:4 choose, added in pairs, the sum in the
/// lanes that bits 3:0 choose. Exceptions are looked at after each stage (SDM volume 2, DPPS).
struct Dot<F>(std::marker::PhantomData<F>);

impl<F: Float> Computed for Dot<F> {
    fn compute(a: u128, b: u128, imm: u8, c: &mut Compute) -> u128 {
        let products = u128::build(|i| {
            if imm >> (4 + i) & 1 != 0 { mul(a.lane::<F>(i), b.lane(i), &mut c.env) } else { F::zero(false) }
        });
        if !c.stage() {
            return 0;
        }
        let pair = |i: usize, c: &mut Compute| add(products.lane::<F>(i), products.lane(i + 1), &mut c.env);
        let mut sum = pair(0, c);
        if u128::count::<F>() == 4 {
            let high = pair(2, c);
            if !c.stage() {
                return 0;
            }
            sum = add(sum, high, &mut c.env);
        }
        u128::build(|i| if imm >> i & 1 != 0 { sum } else { F::zero(false) })
    }
}

/// COMISx (a quiet NaN is invalid) and UCOMISx: ZF, PF, CF; the others are cleared.
fn comi<F: Float, const QUIET: bool>(ex: &mut Exec<'_>, op: &Op, b: F) -> Done {
    let mut c = ex.compute();
    let a = ex.xmm(op.r0).lane::<F>(0);
    let order = if QUIET { compare_quiet(a, b, &mut c.env) } else { compare(a, b, &mut c.env) };
    ex.settle(&c)?;
    ex.cpu.flags.set_bits(match order {
        Order::Greater => 0,
        Order::Less => bit::CF,
        Order::Equal => bit::ZF,
        Order::Unordered => bit::ZF | bit::PF | bit::CF,
    });
    Ok(Flow::Next)
}

fn comi_rr<F: Float, const QUIET: bool>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_sse()?;
    let b = ex.xmm(op.r1).lane(0);
    comi::<F, QUIET>(ex, op, b)
}

fn comi_rm<F: Float, M: Word, const QUIET: bool>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_sse()?;
    let b = u128::from(ex.load::<M>(op)?.to_u64()).lane(0);
    comi::<F, QUIET>(ex, op, b)
}

/// The handler for `ins`, if it is here.
pub fn select(ins: &Instruction) -> Option<Handler> {
    use Mnemonic::*;
    let memory = ins.op1_kind() == OpKind::Memory;
    match ins.mnemonic() {
        Addps => packed::<self::Add, F32>(ins),
        Addpd => packed::<self::Add, F64>(ins),
        Addss => single::<self::Add>(ins),
        Addsd => double::<self::Add>(ins),
        Subps => packed::<self::Sub, F32>(ins),
        Subpd => packed::<self::Sub, F64>(ins),
        Subss => single::<self::Sub>(ins),
        Subsd => double::<self::Sub>(ins),
        Mulps => packed::<self::Mul, F32>(ins),
        Mulpd => packed::<self::Mul, F64>(ins),
        Mulss => single::<self::Mul>(ins),
        Mulsd => double::<self::Mul>(ins),
        Divps => packed::<self::Div, F32>(ins),
        Divpd => packed::<self::Div, F64>(ins),
        Divss => single::<self::Div>(ins),
        Divsd => double::<self::Div>(ins),
        Sqrtps => packed::<Sqrt, F32>(ins),
        Sqrtpd => packed::<Sqrt, F64>(ins),
        Sqrtss => single::<Sqrt>(ins),
        Sqrtsd => double::<Sqrt>(ins),
        Minps => packed::<Min, F32>(ins),
        Minpd => packed::<Min, F64>(ins),
        Minss => single::<Min>(ins),
        Minsd => double::<Min>(ins),
        Maxps => packed::<Max, F32>(ins),
        Maxpd => packed::<Max, F64>(ins),
        Maxss => single::<Max>(ins),
        Maxsd => double::<Max>(ins),
        Cmpps => packed::<self::Cmp, F32>(ins),
        Cmppd => packed::<self::Cmp, F64>(ins),
        Cmpss => single::<self::Cmp>(ins),
        // The string instruction has the same mnemonic.
        Cmpsd if ins.op0_register().is_xmm() => double::<self::Cmp>(ins),
        Roundps => packed::<Round, F32>(ins),
        Roundpd => packed::<Round, F64>(ins),
        Roundss => single::<Round>(ins),
        Roundsd => double::<Round>(ins),
        Addsubps => whole::<AddSub<F32>>(ins),
        Addsubpd => whole::<AddSub<F64>>(ins),
        Haddps => whole::<Horizontal<F32, false>>(ins),
        Haddpd => whole::<Horizontal<F64, false>>(ins),
        Hsubps => whole::<Horizontal<F32, true>>(ins),
        Hsubpd => whole::<Horizontal<F64, true>>(ins),
        Dpps => whole::<Dot<F32>>(ins),
        Dppd => whole::<Dot<F64>>(ins),
        Comiss if memory => Some(comi_rm::<F32, u32, false>),
        Comiss => Some(comi_rr::<F32, false>),
        Comisd if memory => Some(comi_rm::<F64, u64, false>),
        Comisd => Some(comi_rr::<F64, false>),
        Ucomiss if memory => Some(comi_rm::<F32, u32, true>),
        Ucomiss => Some(comi_rr::<F32, true>),
        Ucomisd if memory => Some(comi_rm::<F64, u64, true>),
        Ucomisd => Some(comi_rr::<F64, true>),
        _ => None,
    }
}
