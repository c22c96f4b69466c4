//! Decimal arithmetic: AAA, AAS, AAM, AAD, DAA, DAS (SDM volume 1, section 7.3.4).

use crate::x86::exec::{Exec, Flow};
use crate::x86::flags::bit;
use crate::x86::op::{Handler, Op};
use crate::x86::regs::gpr;
use crate::x86::trap::Trap;
use iced_x86::{Instruction, Mnemonic};

type Done = Result<Flow, Trap>;

/// Sets SF, ZF and PF from AL, CF and AF as given, clears OF.
fn set_flags(ex: &mut Exec<'_>, cf: bool, af: bool) {
    let al = ex.get::<u8>(gpr::RAX);
    ex.cpu.flags.set_logic(al as i8 as u64);
    let b = ex.cpu.flags.bits() | if cf { bit::CF } else { 0 } | if af { bit::AF } else { 0 };
    ex.cpu.flags.set_bits(b);
}

/// AAA and AAS.
///
/// Undefined: SF, ZF and PF are those of AL, OF is cleared.
fn ascii_adjust<const ADD: bool>(ex: &mut Exec<'_>, _: &Op) -> Done {
    let ax = ex.get::<u16>(gpr::RAX);
    let adjust = ax & 15 > 9 || ex.cpu.flags.af();
    let ax = match (adjust, ADD) {
        (false, _) => ax,
        (true, true) => ax.wrapping_add(0x106),
        (true, false) => ax.wrapping_sub(0x106),
    };
    ex.set(gpr::RAX, ax & 0xff0f);
    set_flags(ex, adjust, adjust);
    Ok(Flow::Next)
}

/// DAA and DAS.
///
/// Undefined: OF is cleared.
fn decimal_adjust<const ADD: bool>(ex: &mut Exec<'_>, _: &Op) -> Done {
    let old = ex.get::<u8>(gpr::RAX);
    let (old_cf, old_af) = (ex.cpu.flags.cf(), ex.cpu.flags.af());
    let low = old & 15 > 9 || old_af;
    let high = old > 0x99 || old_cf;
    let by = if low { 6 } else { 0 } + if high { 0x60 } else { 0 };
    let al = if ADD { old.wrapping_add(by) } else { old.wrapping_sub(by) };
    // The low adjustment of DAS borrows into CF too; that of DAA carries only where the high one
    // is made anyway.
    let cf = high || !ADD && low && old < 6;
    ex.set(gpr::RAX, al);
    set_flags(ex, cf, low);
    Ok(Flow::Next)
}

/// AAM.
///
/// Undefined: CF, OF and AF are cleared.
fn aam(ex: &mut Exec<'_>, op: &Op) -> Done {
    let base = op.imm as u8;
    let al = ex.get::<u8>(gpr::RAX);
    let (Some(q), Some(r)) = (al.checked_div(base), al.checked_rem(base)) else {
        return Err(Trap::DE);
    };
    ex.set(gpr::RAX, u16::from(q) << 8 | u16::from(r));
    set_flags(ex, false, false);
    Ok(Flow::Next)
}

/// AAD.
///
/// Undefined: CF, OF and AF are cleared.
fn aad(ex: &mut Exec<'_>, op: &Op) -> Done {
    let ax = ex.get::<u16>(gpr::RAX);
    let al = (ax >> 8).wrapping_mul(op.imm as u16).wrapping_add(ax) & 0xff;
    ex.set(gpr::RAX, al);
    set_flags(ex, false, false);
    Ok(Flow::Next)
}

/// SALC (in no manual): AL is filled with CF.
fn salc(ex: &mut Exec<'_>, _: &Op) -> Done {
    let v: u8 = if ex.cpu.flags.cf() { 0xff } else { 0 };
    ex.set(gpr::RAX, v);
    Ok(Flow::Next)
}

/// The handler for `ins`, if it belongs to this module.
pub fn select(ins: &Instruction) -> Option<Handler> {
    match ins.mnemonic() {
        Mnemonic::Aaa => Some(ascii_adjust::<true>),
        Mnemonic::Aas => Some(ascii_adjust::<false>),
        Mnemonic::Daa => Some(decimal_adjust::<true>),
        Mnemonic::Das => Some(decimal_adjust::<false>),
        Mnemonic::Aam => Some(aam),
        Mnemonic::Aad => Some(aad),
        Mnemonic::Salc => Some(salc),
        _ => None,
    }
}
