//! SIMD and floating point.
//!
//! What instructions may do depends on [`super::regs::Ctx::fp`]: whether they are
//! enabled at the current level, and, for arithmetic, whether FPCR has its usual value and MXCSR holds the
//! cumulative flags that came up since.

use super::block::{Compiler, Plan, Step};
use super::{fp, lanes, regs};
use dejavm_interp::aarch64::op::Op;
use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};

/// SIMD instructions trap, or are not known not to.
pub const UNUSABLE: u8 = 0;
/// They may run, but not arithmetic.
pub const ENABLED: u8 = 1;
/// MXCSR can be loaded.
pub const USABLE: u8 = 2;
/// It is.
pub const LOADED: u8 = 3;

/// What SIMD instructions may do on a CPU, see [`UNUSABLE`].
pub fn usable(ex: &dejavm_interp::aarch64::Exec<'_>) -> u8 {
    if ex.check_fp().is_err() {
        UNUSABLE
    } else if ex.cpu.fpcr != 0 {
        ENABLED
    } else {
        USABLE
    }
}

/// MXCSR's flags as FPSR has them: the order is the same, without the denormal operand's.
pub fn flags(mxcsr: u32) -> u32 {
    mxcsr & 1 | mxcsr >> 1 & 0x1e
}

/// How an instruction is compiled, or `None`. The word is allocated. `usual`: FPCR has its usual value now.
pub fn plan(op: &Op, usual: bool) -> Option<Plan> {
    fp::plan(op, usual).or_else(|| lanes::plan(op, usual))
}

impl Compiler<'_> {
    /// Emits an instruction that [`plan`] accepted.
    pub fn simd(&mut self, s: &Step) {
        if !self.floating(s) {
            self.lanes(s);
        }
    }

    /// Hands the instruction over unless SIMD instructions are enabled.
    pub fn need_simd(&mut self) {
        if self.fp != UNUSABLE {
            return;
        }
        let slow = self.slow();
        self.flags.host = false;
        dynasm!(self.asm ; .arch x64 ; cmp BYTE [rbp + regs::FP], UNUSABLE as i8 ; je =>slow);
        self.fp = ENABLED;
    }

    /// Loads a vector register from [RDX + disp]; what is beyond `size` bytes becomes zero.
    pub fn load_vector(&mut self, disp: i32, size: u8, n: u8) {
        let x = self.new_vector(n, size);
        match size {
            16 => dynasm!(self.asm ; .arch x64 ; movups Rx(x), [rdx + disp]),
            8 => dynasm!(self.asm ; .arch x64 ; movq Rx(x), QWORD [rdx + disp]),
            4 => dynasm!(self.asm ; .arch x64 ; movd Rx(x), DWORD [rdx + disp]),
            2 => dynasm!(self.asm ; .arch x64 ; movzx ecx, WORD [rdx + disp] ; movd Rx(x), ecx),
            _ => dynasm!(self.asm ; .arch x64 ; movzx ecx, BYTE [rdx + disp] ; movd Rx(x), ecx),
        }
    }

    /// Stores the lowest `size` bytes of a vector register to [RDX + disp].
    pub fn store_vector(&mut self, disp: i32, size: u8, n: u8) {
        let x = self.vector(n);
        match size {
            16 => dynasm!(self.asm ; .arch x64 ; movups [rdx + disp], Rx(x)),
            8 => dynasm!(self.asm ; .arch x64 ; movq QWORD [rdx + disp], Rx(x)),
            4 => dynasm!(self.asm ; .arch x64 ; movd DWORD [rdx + disp], Rx(x)),
            2 => dynasm!(self.asm ; .arch x64 ; movd ecx, Rx(x) ; mov [rdx + disp], cx),
            _ => dynasm!(self.asm ; .arch x64 ; movd ecx, Rx(x) ; mov [rdx + disp], cl),
        }
    }
}
