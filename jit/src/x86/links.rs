//! Where indirect branches find their targets, see [`crate::links`].

use super::emit::Asm;
use super::regs;
pub use crate::links::{CODE, PAGE, STAMP};
use dynasmrt::DynamicLabel;

/// RAX holds a guest address: RDX = its entry. Jumps to `miss` when there is none that counts, to
/// `other` when [`crate::links::renew`] has to tell. Clobbers RCX and EFLAGS.
pub fn look_up(asm: &mut Asm, miss: DynamicLabel, other: DynamicLabel) {
    crate::links::look_up_stamped(asm, regs::JUMPS, regs::STAMP, 0, miss, other);
}
