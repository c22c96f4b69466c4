//! SIMD and floating point.
//!
//! Vector registers lie in the CPU. What instructions may do depends on [`super::regs::Ctx::fp`]: whether they are
//! enabled at the current level, and, for arithmetic, whether FPCR has its usual value and MXCSR holds the
//! cumulative flags that came up since.

use super::block::{Compiler, Plan, Step};
use super::emit::{Rm, load, sized};
use super::regs;
use super::regs::host::{RAX, RCX, RDX};
use dejavm_interp::aarch64::op::Op;
use dejavm_interp::aarch64::regs::Cpu;
use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};
use std::mem::offset_of;

/// SIMD instructions trap, or are not known not to.
pub const UNUSABLE: u8 = 0;
/// They may run, but not arithmetic.
pub const ENABLED: u8 = 1;
/// MXCSR can be loaded.
pub const USABLE: u8 = 2;
/// It is.
pub const LOADED: u8 = 3;

/// Offset of a vector register in the CPU.
pub fn vector(n: u8) -> i32 {
    offset_of!(Cpu, v) as i32 + 16 * i32::from(n)
}

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
pub fn plan(_op: &Op, _usual: bool) -> Option<Plan> {
    None
}

impl Compiler<'_> {
    /// Emits an instruction that [`plan`] accepted.
    pub fn simd(&mut self, _s: &Step) {}

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
        match size {
            16 => dynasm!(self.asm ; .arch x64 ; movups xmm0, [rdx + disp]),
            8 => dynasm!(self.asm ; .arch x64 ; movq xmm0, QWORD [rdx + disp]),
            4 => dynasm!(self.asm ; .arch x64 ; movd xmm0, DWORD [rdx + disp]),
            2 => dynasm!(self.asm ; .arch x64 ; movzx ecx, WORD [rdx + disp] ; movd xmm0, ecx),
            _ => dynasm!(self.asm ; .arch x64 ; movzx ecx, BYTE [rdx + disp] ; movd xmm0, ecx),
        }
        self.cpu();
        dynasm!(self.asm ; .arch x64 ; movaps [rcx + vector(n)], xmm0);
    }

    /// Stores the lowest `size` bytes of a vector register to [RDX + disp].
    pub fn store_vector(&mut self, disp: i32, size: u8, n: u8) {
        self.cpu();
        if size == 16 {
            dynasm!(self.asm ; .arch x64 ; movaps xmm0, [rcx + vector(n)] ; movups [rdx + disp], xmm0);
            return;
        }
        load(self.asm, 8, RAX, Rm::Mem(RCX, vector(n)));
        sized(self.asm, size, &[0x88], RAX, Rm::Mem(RDX, disp));
    }
}
