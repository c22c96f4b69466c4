//! Encoding of host instructions on the guest's registers, beside [`crate::emit`].

use super::regs::host::RBP;
use super::regs::{ZERO, pinned, slot};
pub use crate::emit::*;
use dynasmrt::DynasmApi;

/// Where a guest register lives.
pub fn home(guest: u8) -> Rm {
    match pinned(guest) {
        Some(r) => Rm::Reg(r),
        None => Rm::Mem(RBP, slot(guest)),
    }
}

/// Loads a guest register into a host register; of 4 bytes zero-extended, except into its own. EFLAGS stay.
pub fn get(asm: &mut Asm, size: u8, reg: u8, guest: u8) {
    if guest == ZERO {
        load_imm(asm, reg, 0);
    } else if home(guest) != Rm::Reg(reg) {
        load(asm, size, reg, home(guest));
    }
}

/// Writes a host register to a guest register; words must be zero-extended already. EFLAGS stay.
pub fn put(asm: &mut Asm, guest: u8, reg: u8) {
    if guest != ZERO {
        store(asm, 8, home(guest), reg);
    }
}

/// The host register in which to make a guest register's new value: its own, or `scratch`.
pub fn target(guest: u8, scratch: u8) -> u8 {
    pinned(guest).unwrap_or(scratch)
}

/// A host register that holds a guest register: its own, or `scratch`. EFLAGS stay.
pub fn source(asm: &mut Asm, size: u8, guest: u8, scratch: u8) -> u8 {
    let r = target(guest, scratch);
    get(asm, size, r, guest);
    r
}

/// Reads a guest register as an operand: in a register or in memory, zero by `scratch`. EFLAGS stay.
pub fn operand(asm: &mut Asm, guest: u8, scratch: u8) -> Rm {
    if guest == ZERO {
        load_imm(asm, scratch, 0);
        return Rm::Reg(scratch);
    }
    home(guest)
}

/// LEA reg, [base + disp]; EFLAGS stay.
pub fn lea(asm: &mut Asm, size: u8, reg: u8, base: u8, disp: i32) {
    wide(asm, size, &[0x8d], reg, Rm::Mem(base, disp));
}

/// A shift by an immediate: 1 ROR, 4 SHL, 5 SHR, 7 SAR.
pub fn shift_imm(asm: &mut Asm, size: u8, kind: u8, reg: u8, by: u8) {
    if by != 0 {
        sized(asm, size, &[0xc0], kind, Rm::Reg(reg));
        asm.push(by);
    }
}
