//! Decimal arithmetic: AAA, AAS, AAM, AAD, DAA, DAS (SDM volume 1, section 7.3.4).

use crate::x86::exec::{Exec, Flow};
use crate::x86::int::alu::{apply, kind};
use crate::x86::op::{Handler, Op};
use crate::x86::regs::gpr;
use crate::x86::trap::Trap;
use iced_x86::{Instruction, Mnemonic};

type Done = Result<Flow, Trap>;

/// Sets CF and AF, keeps the others.
fn set_carries(ex: &mut Exec<'_>, cf: bool, af: bool) {
    ex.cpu.flags.set_cf(cf);
    ex.cpu.flags.set_af(af);
}

/// AAA and AAS.
///
/// Undefined: OF, SF, ZF and PF are those of adding or subtracting 106H or 0, whichever it is, of
/// all of AX, before the upper half of AL is cleared (AMD's processors do so).
fn ascii_adjust<const K: u8>(ex: &mut Exec<'_>, _: &Op) -> Done {
    let ax = ex.get::<u16>(gpr::RAX);
    let adjust = ax & 15 > 9 || ex.cpu.flags.af();
    let ax = apply::<u16, K>(ex, ax, if adjust { 0x106 } else { 0 });
    set_carries(ex, adjust, adjust);
    ex.set(gpr::RAX, ax & 0xff0f);
    Ok(Flow::Next)
}

/// DAA and DAS.
///
/// Undefined: OF is that of the addition or subtraction made (AMD's processors do so).
fn decimal_adjust<const K: u8>(ex: &mut Exec<'_>, _: &Op) -> Done {
    let old = ex.get::<u8>(gpr::RAX);
    let low = old & 15 > 9 || ex.cpu.flags.af();
    let high = old > 0x99 || ex.cpu.flags.cf();
    let by = if low { 6 } else { 0 } + if high { 0x60 } else { 0 };
    let al = apply::<u8, K>(ex, old, by);
    // The low adjustment of DAS borrows into CF too; that of DAA carries only where the high one
    // is made anyway.
    let cf = high || K == kind::SUB && low && old < 6;
    set_carries(ex, cf, low);
    ex.set(gpr::RAX, al);
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
    ex.cpu.flags.set_logic(i64::from(r as i8) as u64);
    Ok(Flow::Next)
}

/// AAD.
///
/// Undefined: CF, OF and AF are those of the addition of bytes (AMD's processors do so).
fn aad(ex: &mut Exec<'_>, op: &Op) -> Done {
    let [al, ah] = ex.get::<u16>(gpr::RAX).to_le_bytes();
    let al = apply::<u8, { kind::ADD }>(ex, al, ah.wrapping_mul(op.imm as u8));
    ex.set(gpr::RAX, u16::from(al));
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
        Mnemonic::Aaa => Some(ascii_adjust::<{ kind::ADD }>),
        Mnemonic::Aas => Some(ascii_adjust::<{ kind::SUB }>),
        Mnemonic::Daa => Some(decimal_adjust::<{ kind::ADD }>),
        Mnemonic::Das => Some(decimal_adjust::<{ kind::SUB }>),
        Mnemonic::Aam => Some(aam),
        Mnemonic::Aad => Some(aad),
        Mnemonic::Salc => Some(salc),
        _ => None,
    }
}
