//! Remainders, scaling, extraction and the transcendental instructions on the register stack.

use super::arith::unary;
use super::math;
use super::state::{Done, Stopped, sw};
use crate::softfloat::{Env, F80, Format, extract, remainder, scale};
use crate::x86::exec::{Exec, Flow};
use crate::x86::op::{Handler, Op};
use iced_x86::{Code, Instruction};

/// Condition codes from the quotient's low bits (SDM volume 2, FPREM): C0, C3, C1 are its bits
/// 2, 1, 0; C2 tells that the reduction is partial.
fn remainder_conditions(quotient: u64, complete: bool) -> u16 {
    let bit = |n: u64, c: u16| if quotient >> n & 1 != 0 { c } else { 0 };
    bit(2, sw::C0) | bit(1, sw::C3) | bit(0, sw::C1) | if complete { 0 } else { sw::C2 }
}

fn fprem<const NEAREST: bool>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.x87_begin()?;
    ex.x87_note(op);
    ex.cpu.x87.set_conditions(sw::C2, 0);
    if ex.cpu.x87.empty(0) || ex.cpu.x87.empty(1) {
        if ex.x87_stack_fault(false).is_ok() {
            ex.cpu.x87.set_st(0, F80::INDEFINITE);
        }
        return Ok(Flow::Next);
    }
    let x87 = &ex.cpu.x87;
    let mut env = x87.env();
    let result = remainder(x87.st(0), x87.st(1), NEAREST, &mut env);
    if ex.x87_finish(&env).is_ok() {
        ex.cpu.x87.set_st(0, result.value);
        if result.value.unpack().is_nan() {
            // There is no quotient; C0 and C3 stay.
            return Ok(Flow::Next);
        }
        let conditions = remainder_conditions(result.quotient, result.complete);
        ex.cpu.x87.set_conditions(sw::CONDITIONS, conditions);
    }
    Ok(Flow::Next)
}

fn fscale(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.x87_begin()?;
    ex.x87_note(op);
    let result = binary(ex, scale);
    if let Ok(value) = result {
        ex.cpu.x87.set_st(0, value);
    }
    Ok(Flow::Next)
}

/// `f(ST(0), ST(1))`, with the stack check and the exceptions raised.
fn binary(ex: &mut Exec<'_>, f: impl FnOnce(F80, F80, &mut Env) -> F80) -> Result<F80, Stopped> {
    let x87 = &ex.cpu.x87;
    if x87.empty(0) || x87.empty(1) {
        return ex.x87_stack_fault(false).map(|()| F80::INDEFINITE);
    }
    let mut env = x87.env();
    let value = f(x87.st(0), x87.st(1), &mut env);
    ex.x87_finish(&env).map(|()| value)
}

/// `ST(1) = f(ST(1), ST(0))`, then a pop: FPATAN, FYL2X, FYL2XP1.
fn binary_pop(ex: &mut Exec<'_>, op: &Op, f: fn(F80, F80, &mut Env) -> F80) -> Done {
    ex.x87_begin()?;
    ex.x87_note(op);
    if let Ok(value) = binary(ex, |x, y, env| f(y, x, env)) {
        ex.cpu.x87.set_st(1, value);
        ex.cpu.x87.pop();
    }
    Ok(Flow::Next)
}

fn fpatan(ex: &mut Exec<'_>, op: &Op) -> Done {
    binary_pop(ex, op, math::arctangent)
}

fn fyl2x(ex: &mut Exec<'_>, op: &Op) -> Done {
    binary_pop(ex, op, math::y_log2_x)
}

fn fyl2xp1(ex: &mut Exec<'_>, op: &Op) -> Done {
    binary_pop(ex, op, math::y_log2_x_plus_1)
}

fn f2xm1(ex: &mut Exec<'_>, op: &Op) -> Done {
    unary(ex, op, math::exponential)
}

/// C2 says that the argument was out of range and nothing was done.
fn out_of_range(ex: &mut Exec<'_>) -> bool {
    let out = math::out_of_range(ex.cpu.x87.st(0));
    ex.cpu.x87.set_conditions(sw::C1 | sw::C2, if out { sw::C2 } else { 0 });
    out
}

fn sine_or_cosine(ex: &mut Exec<'_>, op: &Op, f: fn(F80, &mut Env) -> F80) -> Done {
    ex.x87_begin()?;
    ex.cpu.x87.set_conditions(sw::C2, 0);
    if !ex.cpu.x87.empty(0) && out_of_range(ex) {
        ex.x87_note(op);
        return Ok(Flow::Next);
    }
    unary(ex, op, f)
}

fn fsin(ex: &mut Exec<'_>, op: &Op) -> Done {
    sine_or_cosine(ex, op, math::sine)
}

fn fcos(ex: &mut Exec<'_>, op: &Op) -> Done {
    sine_or_cosine(ex, op, math::cosine)
}

/// Replaces ST(0) by one value and pushes another: FSINCOS, FPTAN, FXTRACT.
fn split(ex: &mut Exec<'_>, f: impl FnOnce(F80, &mut Env) -> (F80, F80)) -> Done {
    let (empty, full) = (ex.cpu.x87.empty(0), !ex.cpu.x87.empty(7));
    let values = if empty || full {
        ex.x87_stack_fault(!empty).map(|()| (F80::INDEFINITE, F80::INDEFINITE))
    } else {
        let mut env = ex.cpu.x87.env();
        let values = f(ex.cpu.x87.st(0), &mut env);
        ex.x87_finish(&env).map(|()| values)
    };
    if let Ok((replaced, pushed)) = values {
        ex.cpu.x87.set_st(0, replaced);
        ex.cpu.x87.rotate(7);
        ex.cpu.x87.set_st(0, pushed);
    }
    Ok(Flow::Next)
}

fn fsincos(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.x87_begin()?;
    ex.x87_note(op);
    // Stack faults come before the range.
    ex.cpu.x87.set_conditions(sw::C2, 0);
    let room = !ex.cpu.x87.empty(0) && ex.cpu.x87.empty(7);
    if room && out_of_range(ex) {
        return Ok(Flow::Next);
    }
    split(ex, |a, env| {
        let sine = math::sine(a, env);
        // An unmasked denormal stops both; the flags are the same.
        (sine, math::cosine(a, env))
    })
}

fn fptan(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.x87_begin()?;
    ex.x87_note(op);
    // Stack faults come before the range.
    ex.cpu.x87.set_conditions(sw::C2, 0);
    let room = !ex.cpu.x87.empty(0) && ex.cpu.x87.empty(7);
    if room && out_of_range(ex) {
        return Ok(Flow::Next);
    }
    split(ex, |a, env| {
        let tangent = math::tangent(a, env);
        // A NaN is pushed in place of one.
        (tangent, if tangent.sign_exp & 0x7fff == 0x7fff { tangent } else { F80::ONE })
    })
}

fn fxtract(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.x87_begin()?;
    ex.x87_note(op);
    split(ex, extract)
}

/// The handler for `ins`, if it belongs to this group.
pub fn select(ins: &Instruction) -> Option<Handler> {
    Some(match ins.code() {
        Code::Fprem => fprem::<false>,
        Code::Fprem1 => fprem::<true>,
        Code::Fscale => fscale,
        Code::Fxtract => fxtract,
        Code::F2xm1 => f2xm1,
        Code::Fyl2x => fyl2x,
        Code::Fyl2xp1 => fyl2xp1,
        Code::Fpatan => fpatan,
        Code::Fptan => fptan,
        Code::Fsin => fsin,
        Code::Fcos => fcos,
        Code::Fsincos => fsincos,
        _ => return None,
    })
}
