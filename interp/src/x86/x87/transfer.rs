//! Loads, stores, exchanges, conditional moves and constants (SDM volume 1, sections 8.3.3 and
//! 8.3.4).

use super::state::{Done, Stopped, sw};
use super::tables;
use crate::softfloat::{
    Env, F32, F64, F80, Flags, Format, Rounding, convert, from_i64, from_parts, to_i16, to_i32, to_i64,
};
use crate::x86::exec::{Exec, Flow};
use crate::x86::op::{Handler, Op};
use crate::x86::trap::Trap;
use crate::x86::word::Word;
use iced_x86::{Code, Instruction};

/// Pushes what `f` makes of the value loaded. An unmasked invalid exception leaves the stack
/// alone; an unmasked denormal one does not, as processors do.
fn push_converted(ex: &mut Exec<'_>, op: &Op, f: impl FnOnce(&mut Env) -> F80) -> Done {
    ex.x87_note(op);
    if !ex.cpu.x87.empty(7) {
        ex.x87_push(F80::INDEFINITE);
        return Ok(Flow::Next);
    }
    let mut env = Env { denormal_masked: true, ..ex.cpu.x87.env() };
    let value = f(&mut env);
    env.rounded_up = false;
    let _ = ex.x87_finish(&env);
    let invalid = env.flags.0 & Flags::INVALID & !(ex.cpu.x87.control as u8);
    if invalid == 0 {
        ex.x87_push(value);
    }
    Ok(Flow::Next)
}

fn fld_m32(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.x87_begin()?;
    let v = F32(ex.load(op)?);
    push_converted(ex, op, |env| convert(v, env))
}

fn fld_m64(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.x87_begin()?;
    let v = F64(ex.load(op)?);
    push_converted(ex, op, |env| convert(v, env))
}

fn load_ten(ex: &mut Exec<'_>, op: &Op) -> Result<[u8; 10], Trap> {
    let lin = ex.x87_address(op, 10, 8, false)?;
    let mut bytes = [0; 10];
    ex.read_bytes(op.seg, lin, &mut bytes)?;
    Ok(bytes)
}

fn store_ten(ex: &mut Exec<'_>, op: &Op, bytes: [u8; 10]) -> Result<(), Trap> {
    let lin = ex.x87_address(op, 10, 8, true)?;
    ex.write_bytes(op.seg, lin, &bytes)
}

/// Where an unmasked exception may keep a store from happening, its memory operand's faults come
/// first all the same, as on real processors.
fn check_destination(ex: &mut Exec<'_>, op: &Op, size: u8) -> Result<(), Trap> {
    if ex.cpu.x87.control & 0x3f == 0x3f {
        return Ok(());
    }
    if size == 10 {
        let lin = ex.x87_address(op, 10, 8, true)?;
        ex.check_write(op.seg, lin, 8)?;
        return ex.check_write(op.seg, ex.wrap(lin.wrapping_add(8)), 2);
    }
    let lin = ex.operand(op, size.into(), true)?;
    ex.check_write(op.seg, lin, size)
}

fn fld_m80(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.x87_begin()?;
    let v = F80::from_bytes(load_ten(ex, op)?);
    push_converted(ex, op, |_| v)
}

fn fld_sti(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.x87_begin()?;
    let v = ex.cpu.x87.st(op.r0);
    if ex.cpu.x87.empty(op.r0) {
        // An empty source is reported even if the stack is full too.
        ex.x87_note(op);
        if ex.x87_stack_fault(false).is_ok() {
            ex.cpu.x87.rotate(7);
            ex.cpu.x87.set_st(0, F80::INDEFINITE);
        }
        return Ok(Flow::Next);
    }
    push_converted(ex, op, |_| v)
}

fn fild<T: Word>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.x87_begin()?;
    let v = ex.load::<T>(op)?.to_i64();
    push_converted(ex, op, |env| from_i64(v, env))
}

/// Eighteen decimal digits and a sign (SDM volume 1, section 4.7). Digits above nine are
/// undefined; here each nibble counts as its value.
fn fbld(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.x87_begin()?;
    let bytes = load_ten(ex, op)?;
    let value =
        bytes[..9].iter().rev().fold(0u64, |v, b| v * 100 + u64::from(b >> 4) * 10 + u64::from(b & 15));
    let negative = bytes[9] & 0x80 != 0;
    push_converted(ex, op, |env| from_parts(negative, 127, value.into(), env))
}

/// Pops if asked for.
fn popped<const POP: bool>(ex: &mut Exec<'_>) -> Done {
    if POP {
        ex.cpu.x87.pop();
    }
    Ok(Flow::Next)
}

/// The value to store, made by `f`, or `indefinite` for an empty register. `Err` if there is
/// nothing to store, after raising why; flags of a store that will take place are left in the
/// environment, to be raised once memory was written.
fn store_value<T>(
    ex: &mut Exec<'_>,
    op: &Op,
    indefinite: T,
    f: impl FnOnce(F80, &mut Env) -> T,
) -> Result<(T, Option<Env>), Stopped> {
    let x87 = &ex.cpu.x87;
    let mut env = x87.env();
    if x87.empty(0) {
        if x87.control & u16::from(Flags::INVALID) != 0 {
            return Ok((indefinite, None));
        }
        ex.x87_note(op);
        ex.x87_stack_fault(false)?;
        return Err(Stopped);
    }
    let value = f(x87.st(0), &mut env);
    // All exceptions but precision keep the memory operand as it was (SDM volume 1, sections
    // 8.5.1.2, 8.5.4 and 8.5.5).
    let stopping = env.flags.0 & !Flags::INEXACT & !(x87.control as u8);
    if stopping != 0 {
        ex.x87_note(op);
        if stopping & (Flags::OVERFLOW | Flags::UNDERFLOW) != 0 {
            // Nothing was rounded for the program: precision is not reported.
            env.flags.0 &= !Flags::INEXACT;
        }
        let _ = ex.x87_finish(&env);
        return Err(Stopped);
    }
    Ok((value, Some(env)))
}

/// Raises what a completed store left.
fn stored(ex: &mut Exec<'_>, op: &Op, env: Option<Env>) {
    ex.x87_note(op);
    match env {
        // Masked, or the store would not have happened.
        None => drop(ex.x87_stack_fault(false)),
        Some(env) => drop(ex.x87_finish(&env)),
    }
}

fn store_word<T: Word, const POP: bool>(
    ex: &mut Exec<'_>,
    op: &Op,
    indefinite: T,
    f: impl FnOnce(F80, &mut Env) -> T,
) -> Done {
    ex.x87_begin()?;
    check_destination(ex, op, T::BYTES)?;
    match store_value(ex, op, indefinite, f) {
        Ok((value, env)) => {
            ex.store(op, value)?;
            stored(ex, op, env);
            popped::<POP>(ex)
        }
        Err(Stopped) => Ok(Flow::Next),
    }
}

fn fst_m32<const POP: bool>(ex: &mut Exec<'_>, op: &Op) -> Done {
    store_word::<u32, POP>(ex, op, 0xffc0_0000, |a, env| convert::<F80, F32>(a, env).0)
}

fn fst_m64<const POP: bool>(ex: &mut Exec<'_>, op: &Op) -> Done {
    store_word::<u64, POP>(ex, op, 0xfff8 << 48, |a, env| convert::<F80, F64>(a, env).0)
}

fn rounding<const TRUNCATE: bool>(env: &Env) -> Rounding {
    if TRUNCATE { Rounding::TowardZero } else { env.rounding }
}

fn fist_m16<const POP: bool, const TRUNCATE: bool>(ex: &mut Exec<'_>, op: &Op) -> Done {
    store_word::<u16, POP>(ex, op, 1 << 15, |a, env| {
        to_i16(a, rounding::<TRUNCATE>(env), env).map_or(1 << 15, |v| v as u16)
    })
}

fn fist_m32<const POP: bool, const TRUNCATE: bool>(ex: &mut Exec<'_>, op: &Op) -> Done {
    store_word::<u32, POP>(ex, op, 1 << 31, |a, env| {
        to_i32(a, rounding::<TRUNCATE>(env), env).map_or(1 << 31, |v| v as u32)
    })
}

fn fistp_m64<const TRUNCATE: bool>(ex: &mut Exec<'_>, op: &Op) -> Done {
    store_word::<u64, true>(ex, op, 1 << 63, |a, env| {
        to_i64(a, rounding::<TRUNCATE>(env), env).map_or(1 << 63, |v| v as u64)
    })
}

fn fstp_m80(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.x87_begin()?;
    check_destination(ex, op, 10)?;
    if let Ok((value, env)) = store_value(ex, op, F80::INDEFINITE, |a, _| a) {
        store_ten(ex, op, value.to_bytes())?;
        stored(ex, op, env);
        ex.cpu.x87.pop();
    }
    Ok(Flow::Next)
}

/// The packed BCD indefinite (SDM volume 1, table 4-4).
const BCD_INDEFINITE: [u8; 10] = [0, 0, 0, 0, 0, 0, 0, 0xc0, 0xff, 0xff];

fn to_bcd(a: F80, env: &mut Env) -> [u8; 10] {
    const LIMIT: u64 = 1_000_000_000_000_000_000;
    let before = (env.flags, env.rounded_up);
    let mut rest = match to_i64(a, env.rounding, env) {
        Some(v) if v.unsigned_abs() < LIMIT => v.unsigned_abs(),
        _ => {
            (env.flags, env.rounded_up) = before;
            env.flags.raise(Flags::INVALID);
            return BCD_INDEFINITE;
        }
    };
    let mut bytes = [0; 10];
    for byte in &mut bytes[..9] {
        *byte = (rest % 10 | (rest / 10 % 10) << 4) as u8;
        rest /= 100;
    }
    bytes[9] = if a.sign() { 0x80 } else { 0 };
    bytes
}

fn fbstp(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.x87_begin()?;
    check_destination(ex, op, 10)?;
    if let Ok((value, env)) = store_value(ex, op, BCD_INDEFINITE, to_bcd) {
        store_ten(ex, op, value)?;
        stored(ex, op, env);
        ex.cpu.x87.pop();
    }
    Ok(Flow::Next)
}

fn fst_sti<const POP: bool>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.x87_begin()?;
    ex.x87_note(op);
    let value = if ex.cpu.x87.empty(0) {
        match ex.x87_stack_fault(false) {
            Ok(()) => F80::INDEFINITE,
            Err(Stopped) => return Ok(Flow::Next),
        }
    } else {
        ex.cpu.x87.set_conditions(sw::C1, 0);
        ex.cpu.x87.st(0)
    };
    ex.cpu.x87.set_st(op.r0, value);
    popped::<POP>(ex)
}

/// FSTPNCE (D9 D8+i): FSTP ST(i) that takes an empty ST(0) without a fault and without a store.
fn fstpnce(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.x87_begin()?;
    ex.x87_note(op);
    ex.cpu.x87.set_conditions(sw::C1, 0);
    if !ex.cpu.x87.empty(0) {
        let value = ex.cpu.x87.st(0);
        ex.cpu.x87.set_st(op.r0, value);
    }
    popped::<true>(ex)
}

fn fxch(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.x87_begin()?;
    ex.x87_note(op);
    let i = op.r1;
    let (mut a, mut b) = (ex.cpu.x87.st(0), ex.cpu.x87.st(i));
    let (empty_a, empty_b) = (ex.cpu.x87.empty(0), ex.cpu.x87.empty(i));
    ex.cpu.x87.set_conditions(sw::C1, 0);
    if empty_a || empty_b {
        if ex.x87_stack_fault(false).is_err() {
            return Ok(Flow::Next);
        }
        if empty_a {
            a = F80::INDEFINITE;
        }
        if empty_b {
            b = F80::INDEFINITE;
        }
    }
    ex.cpu.x87.set_st(0, b);
    ex.cpu.x87.set_st(i, a);
    Ok(Flow::Next)
}

/// FCMOVcc; `CC` is the number that Jcc would use.
fn fcmov<const CC: u8>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.x87_begin()?;
    ex.x87_note(op);
    if ex.cpu.x87.empty(0) || ex.cpu.x87.empty(op.r1) {
        // Whether the condition holds or not.
        if ex.x87_stack_fault(false).is_ok() {
            ex.cpu.x87.set_st(0, F80::INDEFINITE);
        }
        return Ok(Flow::Next);
    }
    if ex.cpu.flags.condition(CC) {
        let value = ex.cpu.x87.st(op.r1);
        ex.cpu.x87.set_st(0, value);
    }
    Ok(Flow::Next)
}

/// The constants: rounded as the control word says, without raising precision (SDM volume 2,
/// FLD1 and the others).
fn constant<const WHICH: usize>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.x87_begin()?;
    push_converted(ex, op, |env| {
        let (exp, sig) = tables::CONSTANTS[WHICH];
        let value = from_parts(false, exp, sig, env);
        env.flags = Flags(0);
        value
    })
}

fn fldz(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.x87_begin()?;
    push_converted(ex, op, |_| F80::zero(false))
}

/// The handler for `ins`, if it belongs to this group.
pub fn select(ins: &Instruction) -> Option<Handler> {
    Some(match ins.code() {
        Code::Fld_m32fp => fld_m32,
        Code::Fld_m64fp => fld_m64,
        Code::Fld_m80fp => fld_m80,
        Code::Fld_sti => fld_sti,
        Code::Fild_m16int => fild::<u16>,
        Code::Fild_m32int => fild::<u32>,
        Code::Fild_m64int => fild::<u64>,
        Code::Fbld_m80bcd => fbld,
        Code::Fst_m32fp => fst_m32::<false>,
        Code::Fstp_m32fp => fst_m32::<true>,
        Code::Fst_m64fp => fst_m64::<false>,
        Code::Fstp_m64fp => fst_m64::<true>,
        Code::Fstp_m80fp => fstp_m80,
        Code::Fist_m16int => fist_m16::<false, false>,
        Code::Fistp_m16int => fist_m16::<true, false>,
        Code::Fisttp_m16int => fist_m16::<true, true>,
        Code::Fist_m32int => fist_m32::<false, false>,
        Code::Fistp_m32int => fist_m32::<true, false>,
        Code::Fisttp_m32int => fist_m32::<true, true>,
        Code::Fistp_m64int => fistp_m64::<false>,
        Code::Fisttp_m64int => fistp_m64::<true>,
        Code::Fbstp_m80bcd => fbstp,
        Code::Fst_sti => fst_sti::<false>,
        Code::Fstp_sti | Code::Fstp_sti_DFD0 | Code::Fstp_sti_DFD8 => fst_sti::<true>,
        Code::Fstpnce_sti => fstpnce,
        Code::Fxch_st0_sti | Code::Fxch_st0_sti_DDC8 | Code::Fxch_st0_sti_DFC8 => fxch,
        Code::Fcmovb_st0_sti => fcmov::<2>,
        Code::Fcmovnb_st0_sti => fcmov::<3>,
        Code::Fcmove_st0_sti => fcmov::<4>,
        Code::Fcmovne_st0_sti => fcmov::<5>,
        Code::Fcmovbe_st0_sti => fcmov::<6>,
        Code::Fcmovnbe_st0_sti => fcmov::<7>,
        Code::Fcmovu_st0_sti => fcmov::<10>,
        Code::Fcmovnu_st0_sti => fcmov::<11>,
        Code::Fld1 => constant::<0>,
        Code::Fldl2t => constant::<1>,
        Code::Fldl2e => constant::<2>,
        Code::Fldpi => constant::<3>,
        Code::Fldlg2 => constant::<4>,
        Code::Fldln2 => constant::<5>,
        Code::Fldz => fldz,
        _ => return None,
    })
}
