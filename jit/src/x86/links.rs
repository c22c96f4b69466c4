//! Where indirect branches find their targets, see [`crate::links`].

use super::emit::Asm;
use super::regs;
pub use crate::links::CODE;
use dynasmrt::DynamicLabel;

/// RAX holds a guest address: RDX = its entry. Jumps to `miss` when there is none that counts, to
/// `other` when [`renew`] has to tell. Clobbers RCX and EFLAGS.
pub fn look_up(asm: &mut Asm, miss: DynamicLabel, other: DynamicLabel) {
    crate::links::look_up_stamped(asm, regs::JUMPS, regs::STAMP, 0, miss, other);
}

/// See [`crate::links::renew`].
pub fn renew(asm: &mut Asm) {
    crate::links::renew(asm, regs::TLB, regs::STAMP);
}
