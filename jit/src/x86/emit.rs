//! Encoding of host instructions on the guest's registers, beside [`crate::emit`].

use super::regs::host::{RAX, RBP, RCX};
use super::regs::{pinned, slot};
pub use crate::emit::*;

/// Where a guest register lives. Byte registers AH to BH (20 to 23) have no place of their own.
pub fn home(guest: u8) -> Rm {
    match pinned(guest) {
        Some(r) => Rm::Reg(r),
        None => Rm::Mem(RBP, slot(guest)),
    }
}

/// True for AH, CH, DH, BH.
pub fn high(guest: u8) -> bool {
    guest >= 20
}

/// Loads a guest register, as wide as wanted or wider, into a host register. Flags stay.
pub fn get(asm: &mut Asm, size: u8, reg: u8, guest: u8) {
    if high(guest) {
        load(asm, 4, RAX, home(guest - 20));
        // MOVZX reg, AH.
        asm.extend(&[0x0f, 0xb6, 0xc4]);
        if reg != RAX {
            load(asm, 4, reg, Rm::Reg(RAX));
        }
        return;
    }
    match home(guest) {
        // No more than what may have been stored there last: else the host waits for that.
        from @ Rm::Mem(..) if size < 4 => extend(asm, false, 4, size, reg, from),
        from => load(asm, if size == 8 { 8 } else { 4 }, reg, from),
    }
}

/// Writes a host register to a guest register of `size` bytes; doublewords must be zero-extended
/// already. For AH to BH RAX is clobbered and must not be `reg`. Flags stay.
pub fn put(asm: &mut Asm, size: u8, guest: u8, reg: u8) {
    if high(guest) {
        debug_assert_eq!(reg, RCX);
        load(asm, 8, RAX, home(guest - 20));
        // MOV AH, CL.
        asm.extend(&[0x88, 0xcc]);
        store(asm, 8, home(guest - 20), RAX);
        return;
    }
    store(asm, if size == 4 { 8 } else { size }, home(guest), reg);
}
