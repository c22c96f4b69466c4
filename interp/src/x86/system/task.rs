//! Hardware task switches (SDM volume 3, chapter 8).

use crate::x86::exec::{Exec, Flow};
use crate::x86::op::Op;
use crate::x86::trap::Trap;

impl Exec<'_> {
    /// An interrupt or exception through a task gate.
    ///
    /// # Errors
    /// The switch's fault.
    pub fn task_interrupt(&mut self, _selector: u16, _code: Option<u16>, _ext: u16) -> Result<(), Trap> {
        Err(Trap::Unimplemented)
    }

    /// JMP or CALL to a TSS.
    ///
    /// # Errors
    /// The switch's fault.
    pub fn task_jump(&mut self, _op: &Op, _selector: u16, _call: bool, _gate: bool) -> Result<Flow, Trap> {
        Err(Trap::Unimplemented)
    }

    /// IRET with RFLAGS.NT.
    ///
    /// # Errors
    /// The switch's fault.
    pub fn task_return(&mut self, _op: &Op) -> Result<Flow, Trap> {
        Err(Trap::Unimplemented)
    }
}
