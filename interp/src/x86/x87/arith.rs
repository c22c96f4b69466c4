//! Basic arithmetic and comparison (SDM volume 1, sections 8.3.5 and 8.3.6).

use super::state::{Done, sw};
use crate::softfloat::{
    self, Class, Env, F32, F64, F80, Flags, Format, Order, compare, compare_quiet, from_i32, widen,
};
use crate::x86::exec::{Exec, Flow};
use crate::x86::flags::bit;
use crate::x86::op::{Handler, Op};
use crate::x86::trap::Trap;
use iced_x86::{Code, Instruction};

/// The operations, by the reg field that encodes them.
mod kind {
    pub const ADD: u8 = 0;
    pub const MUL: u8 = 1;
    pub const COM: u8 = 2;
    pub const COMP: u8 = 3;
    pub const SUB: u8 = 4;
    pub const SUBR: u8 = 5;
    pub const DIV: u8 = 6;
    pub const DIVR: u8 = 7;
}

/// The formats of a memory operand.
mod format {
    pub const M32: u8 = 0;
    pub const M64: u8 = 1;
    pub const I16: u8 = 2;
    pub const I32: u8 = 3;
}

fn compute<const KIND: u8>(a: F80, b: F80, env: &mut Env) -> F80 {
    match KIND {
        kind::ADD => softfloat::add(a, b, env),
        kind::MUL => softfloat::mul(a, b, env),
        kind::SUB => softfloat::sub(a, b, env),
        kind::SUBR => softfloat::sub(b, a, env),
        kind::DIV => softfloat::div(a, b, env),
        _ => softfloat::div(b, a, env),
    }
}

/// A memory operand widened to the register format; true if it was denormal.
fn load_operand<const FORMAT: u8>(ex: &mut Exec<'_>, op: &Op) -> Result<(F80, bool), Trap> {
    fn widened<A: Format>(a: A) -> (F80, bool) {
        (widen(a), a.unpack().class == Class::Subnormal)
    }
    let mut env = ex.cpu.x87.env();
    Ok(match FORMAT {
        format::M32 => widened(F32(ex.load(op)?)),
        format::M64 => widened(F64(ex.load(op)?)),
        format::I16 => (from_i32((ex.load::<u16>(op)? as i16).into(), &mut env), false),
        _ => (from_i32(ex.load::<u32>(op)? as i32, &mut env), false),
    })
}

/// Adds the denormal flag for a memory operand that became normal by widening. NaNs and
/// division by zero take precedence (SDM volume 1, section 4.9.2).
fn note_denormal(denormal: bool, other: F80, env: &mut Env) {
    let parts = other.unpack();
    let special = parts.is_nan() || parts.class == Class::Unsupported;
    if denormal && !special && !env.flags.any(Flags::DIVZERO | Flags::INVALID) {
        if !env.denormal_masked {
            env.flags = Flags(0);
        }
        env.flags.raise(Flags::DENORMAL);
    }
}

fn arith_mem<const KIND: u8, const FORMAT: u8>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.x87_begin()?;
    let (b, denormal) = load_operand::<FORMAT>(ex, op)?;
    ex.x87_note(op);
    if KIND == kind::COM || KIND == kind::COMP {
        compare_with(ex, (b, denormal), false, false, u8::from(KIND == kind::COMP));
        return Ok(Flow::Next);
    }
    if ex.cpu.x87.empty(0) {
        if ex.x87_stack_fault(false).is_ok() {
            ex.cpu.x87.set_st(0, F80::INDEFINITE);
        }
        return Ok(Flow::Next);
    }
    let a = ex.cpu.x87.st(0);
    let mut env = ex.cpu.x87.env();
    let result = compute::<KIND>(a, b, &mut env);
    note_denormal(denormal, a, &mut env);
    if ex.x87_finish(&env).is_ok() {
        ex.cpu.x87.set_st(0, result);
    }
    Ok(Flow::Next)
}

/// `ST(r0) = ST(r0) op ST(r1)`, and a pop if asked for.
fn arith_st<const KIND: u8, const POP: bool>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.x87_begin()?;
    ex.x87_note(op);
    let x87 = &ex.cpu.x87;
    let result = if x87.empty(op.r0) || x87.empty(op.r1) {
        ex.x87_stack_fault(false).map(|()| F80::INDEFINITE)
    } else {
        let (a, b) = (x87.st(op.r0), x87.st(op.r1));
        let mut env = x87.env();
        let result = compute::<KIND>(a, b, &mut env);
        ex.x87_finish(&env).map(|()| result)
    };
    if let Ok(result) = result {
        ex.cpu.x87.set_st(op.r0, result);
        if POP {
            ex.cpu.x87.pop();
        }
    }
    Ok(Flow::Next)
}

fn order_conditions(order: Order) -> u16 {
    match order {
        Order::Greater => 0,
        Order::Less => sw::C0,
        Order::Equal => sw::C3,
        Order::Unordered => sw::C0 | sw::C2 | sw::C3,
    }
}

/// Compares ST(0) with `b`; the result goes to the condition codes or to EFLAGS.
fn compare_with(ex: &mut Exec<'_>, b: (F80, bool), quiet: bool, eflags: bool, pops: u8) {
    let empty = ex.cpu.x87.empty(0);
    compare_values(ex, b, empty, quiet, eflags, pops);
}

fn compare_values(
    ex: &mut Exec<'_>,
    (b, denormal): (F80, bool),
    empty: bool,
    quiet: bool,
    eflags: bool,
    pops: u8,
) {
    let (order, outcome) = if empty {
        (Order::Unordered, ex.x87_stack_fault(false))
    } else {
        let a = ex.cpu.x87.st(0);
        let mut env = ex.cpu.x87.env();
        let order = if quiet { compare_quiet(a, b, &mut env) } else { compare(a, b, &mut env) };
        note_denormal(denormal, a, &mut env);
        env.rounded_up = false;
        let c1 = ex.cpu.x87.status & sw::C1;
        let outcome = ex.x87_finish(&env);
        if eflags {
            ex.cpu.x87.set_conditions(sw::C1, c1);
        }
        (order, outcome)
    };
    // An unmasked exception keeps the operands on the stack, but the result of the comparison
    // is delivered, as AMD's processors do; Intel's manual says that it is not.
    let conditions = order_conditions(order);
    if eflags {
        // OF, SF and AF are cleared (SDM volume 2, FCOMI).
        let mut bits = 0;
        for (condition, flag) in [(sw::C0, bit::CF), (sw::C2, bit::PF), (sw::C3, bit::ZF)] {
            if conditions & condition != 0 {
                bits |= flag;
            }
        }
        ex.cpu.flags.set_bits(bits);
    } else {
        ex.cpu.x87.set_conditions(sw::C0 | sw::C2 | sw::C3, conditions);
    }
    if outcome.is_ok() {
        for _ in 0..pops {
            ex.cpu.x87.pop();
        }
    }
}

/// FCOM, FUCOM and their popping and EFLAGS forms between registers.
fn compare_st<const QUIET: bool, const EFLAGS: bool, const POPS: u8>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.x87_begin()?;
    ex.x87_note(op);
    let x87 = &ex.cpu.x87;
    // FCOMPP and FUCOMPP name no operands: they compare with ST(1).
    let i = if POPS == 2 { 1 } else { op.r1 };
    let empty = x87.empty(0) || x87.empty(i);
    let b = x87.st(i);
    compare_values(ex, (b, false), empty, QUIET, EFLAGS, POPS);
    Ok(Flow::Next)
}

fn ftst(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.x87_begin()?;
    ex.x87_note(op);
    compare_with(ex, (F80::zero(false), false), false, false, 0);
    Ok(Flow::Next)
}

/// SDM volume 2, FXAM.
fn fxam(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.x87_begin()?;
    ex.x87_note(op);
    let value = ex.cpu.x87.st(0);
    let class = match value.unpack().class {
        _ if ex.cpu.x87.empty(0) => sw::C3 | sw::C0,
        Class::Unsupported => 0,
        Class::Quiet | Class::Signalling => sw::C0,
        Class::Normal => sw::C2,
        Class::Infinity => sw::C2 | sw::C0,
        Class::Zero => sw::C3,
        Class::Subnormal => sw::C3 | sw::C2,
    };
    let sign = if value.sign() { sw::C1 } else { 0 };
    ex.cpu.x87.set_conditions(sw::CONDITIONS, class | sign);
    Ok(Flow::Next)
}

/// An operation on ST(0) alone.
pub(super) fn unary(ex: &mut Exec<'_>, op: &Op, f: impl FnOnce(F80, &mut Env) -> F80) -> Done {
    ex.x87_begin()?;
    ex.x87_note(op);
    let result = if ex.cpu.x87.empty(0) {
        ex.x87_stack_fault(false).map(|()| F80::INDEFINITE)
    } else {
        let mut env = ex.cpu.x87.env();
        let result = f(ex.cpu.x87.st(0), &mut env);
        ex.x87_finish(&env).map(|()| result)
    };
    if let Ok(result) = result {
        ex.cpu.x87.set_st(0, result);
    }
    Ok(Flow::Next)
}

fn fsqrt(ex: &mut Exec<'_>, op: &Op) -> Done {
    unary(ex, op, softfloat::sqrt)
}

fn frndint(ex: &mut Exec<'_>, op: &Op) -> Done {
    unary(ex, op, |a, env| softfloat::round_to_int(a, env.rounding, true, env))
}

fn fabs(ex: &mut Exec<'_>, op: &Op) -> Done {
    unary(ex, op, |a, _| F80 { sign_exp: a.sign_exp & 0x7fff, ..a })
}

fn fchs(ex: &mut Exec<'_>, op: &Op) -> Done {
    unary(ex, op, |a, _| F80 { sign_exp: a.sign_exp ^ 0x8000, ..a })
}

macro_rules! by_operands {
    ($kind:expr, $code:expr, $m32:ident, $m64:ident, $i16:ident, $i32:ident, $st0:ident, $sti:ident, $pop:ident) => {
        match $code {
            Code::$m32 => Some(arith_mem::<{ $kind }, { format::M32 }> as Handler),
            Code::$m64 => Some(arith_mem::<{ $kind }, { format::M64 }> as Handler),
            Code::$i16 => Some(arith_mem::<{ $kind }, { format::I16 }> as Handler),
            Code::$i32 => Some(arith_mem::<{ $kind }, { format::I32 }> as Handler),
            Code::$st0 | Code::$sti => Some(arith_st::<{ $kind }, false> as Handler),
            Code::$pop => Some(arith_st::<{ $kind }, true> as Handler),
            _ => None,
        }
    };
}

/// The handler for `ins`, if it belongs to this group.
pub fn select(ins: &Instruction) -> Option<Handler> {
    let code = ins.code();
    let basic = by_operands!(
        kind::ADD,
        code,
        Fadd_m32fp,
        Fadd_m64fp,
        Fiadd_m16int,
        Fiadd_m32int,
        Fadd_st0_sti,
        Fadd_sti_st0,
        Faddp_sti_st0
    )
    .or(by_operands!(
        kind::MUL,
        code,
        Fmul_m32fp,
        Fmul_m64fp,
        Fimul_m16int,
        Fimul_m32int,
        Fmul_st0_sti,
        Fmul_sti_st0,
        Fmulp_sti_st0
    ))
    .or(by_operands!(
        kind::SUB,
        code,
        Fsub_m32fp,
        Fsub_m64fp,
        Fisub_m16int,
        Fisub_m32int,
        Fsub_st0_sti,
        Fsub_sti_st0,
        Fsubp_sti_st0
    ))
    .or(by_operands!(
        kind::SUBR,
        code,
        Fsubr_m32fp,
        Fsubr_m64fp,
        Fisubr_m16int,
        Fisubr_m32int,
        Fsubr_st0_sti,
        Fsubr_sti_st0,
        Fsubrp_sti_st0
    ))
    .or(by_operands!(
        kind::DIV,
        code,
        Fdiv_m32fp,
        Fdiv_m64fp,
        Fidiv_m16int,
        Fidiv_m32int,
        Fdiv_st0_sti,
        Fdiv_sti_st0,
        Fdivp_sti_st0
    ))
    .or(by_operands!(
        kind::DIVR,
        code,
        Fdivr_m32fp,
        Fdivr_m64fp,
        Fidivr_m16int,
        Fidivr_m32int,
        Fdivr_st0_sti,
        Fdivr_sti_st0,
        Fdivrp_sti_st0
    ));
    if basic.is_some() {
        return basic;
    }
    Some(match code {
        Code::Fcom_m32fp => arith_mem::<{ kind::COM }, { format::M32 }>,
        Code::Fcom_m64fp => arith_mem::<{ kind::COM }, { format::M64 }>,
        Code::Ficom_m16int => arith_mem::<{ kind::COM }, { format::I16 }>,
        Code::Ficom_m32int => arith_mem::<{ kind::COM }, { format::I32 }>,
        Code::Fcomp_m32fp => arith_mem::<{ kind::COMP }, { format::M32 }>,
        Code::Fcomp_m64fp => arith_mem::<{ kind::COMP }, { format::M64 }>,
        Code::Ficomp_m16int => arith_mem::<{ kind::COMP }, { format::I16 }>,
        Code::Ficomp_m32int => arith_mem::<{ kind::COMP }, { format::I32 }>,
        Code::Fcom_st0_sti | Code::Fcom_st0_sti_DCD0 => compare_st::<false, false, 0>,
        Code::Fcomp_st0_sti | Code::Fcomp_st0_sti_DCD8 | Code::Fcomp_st0_sti_DED0 => {
            compare_st::<false, false, 1>
        }
        Code::Fcompp => compare_st::<false, false, 2>,
        Code::Fucom_st0_sti => compare_st::<true, false, 0>,
        Code::Fucomp_st0_sti => compare_st::<true, false, 1>,
        Code::Fucompp => compare_st::<true, false, 2>,
        Code::Fcomi_st0_sti => compare_st::<false, true, 0>,
        Code::Fcomip_st0_sti => compare_st::<false, true, 1>,
        Code::Fucomi_st0_sti => compare_st::<true, true, 0>,
        Code::Fucomip_st0_sti => compare_st::<true, true, 1>,
        Code::Ftst => ftst,
        Code::Fxam => fxam,
        Code::Fsqrt => fsqrt,
        Code::Frndint => frndint,
        Code::Fabs => fabs,
        Code::Fchs => fchs,
        _ => return None,
    })
}
