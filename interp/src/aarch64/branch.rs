//! Branches (C4.1.94).

use super::exec::{Exec, Flow, Trap};
use super::int::Reg;
use super::op::Op;

type Done = Result<Flow, Trap>;

#[inline(always)]
fn by(ex: &mut Exec<'_>, op: &Op, taken: bool) -> Done {
    if taken {
        ex.cpu.pc = ex.cpu.pc.wrapping_add(op.imm);
        Ok(Flow::Jump)
    } else {
        Ok(Flow::Next)
    }
}

/// B.
pub fn b(ex: &mut Exec<'_>, op: &Op) -> Done {
    by(ex, op, true)
}

/// BL.
pub fn bl(ex: &mut Exec<'_>, op: &Op) -> Done {
    let link = ex.cpu.pc.wrapping_add(4);
    ex.set_x(30, link);
    by(ex, op, true)
}

/// B.cond.
pub fn b_cond(ex: &mut Exec<'_>, op: &Op) -> Done {
    let taken = ex.cpu.condition(op.bits(3, 0) as u8);
    by(ex, op, taken)
}

/// CBZ, CBNZ.
pub fn cbz<R: Reg>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let zero = ex.x(op.rd) & R::MASK == 0;
    by(ex, op, zero != (op.bits(24, 24) != 0))
}

/// TBZ, TBNZ.
pub fn tbz(ex: &mut Exec<'_>, op: &Op) -> Done {
    let bit = op.bits(31, 31) << 5 | op.bits(23, 19);
    let zero = ex.x(op.rd) >> bit & 1 == 0;
    by(ex, op, zero != (op.bits(24, 24) != 0))
}

/// BR and RET.
pub fn br(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.cpu.pc = ex.branch_target(ex.x(op.rn));
    Ok(Flow::Jump)
}

/// BLR.
pub fn blr(ex: &mut Exec<'_>, op: &Op) -> Done {
    let link = ex.cpu.pc.wrapping_add(4);
    ex.cpu.pc = ex.branch_target(ex.x(op.rn));
    ex.set_x(30, link);
    Ok(Flow::Jump)
}
