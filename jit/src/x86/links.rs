//! Where indirect branches find their targets, see [`crate::links`].

use super::emit::Asm;
use super::regs;
pub use crate::links::CODE;
use dynasmrt::DynamicLabel;

/// RAX holds a guest address: RDX = its entry. Jumps to `miss` when there is none that counts.
/// Clobbers RCX and EFLAGS.
pub fn look_up(asm: &mut Asm, miss: DynamicLabel) {
    crate::links::look_up(asm, regs::JUMPS, regs::TLB, 0, miss);
}
