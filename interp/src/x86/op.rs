//! Decoded instructions in the form that the interpreter executes.

use super::exec::{Exec, Flow};
use super::trap::Trap;

/// Executes one instruction. RIP is already that of the next instruction. On a fault the caller
/// takes RIP back to this instruction's.
pub type Handler = fn(&mut Exec<'_>, &Op) -> Result<Flow, Trap>;

/// Index in [`super::regs::Cpu::regs`] of the slot that is always zero: no base, no index.
pub const REG_ZERO: u8 = 16;
/// Index in [`super::regs::Cpu::regs`] of RIP.
pub const REG_RIP: u8 = 17;

/// Bits of [`Op::flags`].
pub mod opflag {
    /// LOCK prefix.
    pub const LOCK: u8 = 1;
    /// F3 prefix: REP or REPE.
    pub const REP: u8 = 2;
    /// F2 prefix: REPNE.
    pub const REPNE: u8 = 4;
    /// The instruction was decoded in 64-bit mode.
    pub const LONG: u8 = 8;
}

/// One decoded instruction.
///
/// Register operands are indices into the file that the instruction uses: general registers
/// 0 to 15 (as bytes: 20 to 23 are AH, CH, DH, BH), segment registers as [`super::regs::seg`],
/// control, debug, MMX, x87 and XMM registers by their number.
#[derive(Clone, Copy)]
pub struct Op {
    /// The function that executes it.
    pub run: Handler,
    /// The immediate, sign-extended as the instruction does; near branches: the displacement
    /// from the next instruction, sign-extended; far pointers: the offset. A second immediate
    /// (ENTER, EXTRQ) and a far pointer's selector lie in bits 47:32 and above it in `imm2`.
    pub imm: u64,
    /// Displacement of the memory operand, sign-extended.
    pub disp: u64,
    /// Far pointer's selector, or second immediate. x87: the 11-bit opcode.
    pub imm2: u16,
    /// iced-x86's code, for reports and for handlers shared by several encodings.
    pub code: u16,
    /// Length in bytes, 1 to 15.
    pub len: u8,
    /// Register of operand 0, if it is one.
    pub r0: u8,
    /// Register of operand 1, if it is one.
    pub r1: u8,
    /// Register of operand 2, if it is one.
    pub r2: u8,
    /// Base register of the memory operand, [`REG_ZERO`] for none.
    pub base: u8,
    /// Index register of the memory operand, [`REG_ZERO`] for none.
    pub index: u8,
    /// Shift of the index, 0 to 3.
    pub scale: u8,
    /// Segment of the memory operand with prefixes applied, see [`super::regs::seg`].
    pub seg: u8,
    /// Operand size in bytes: 2, 4 or 8 (what 66 and REX.W select).
    pub opsize: u8,
    /// Address size in bytes: 2, 4 or 8 (what 67 selects).
    pub addrsize: u8,
    /// See [`opflag`].
    pub flags: u8,
}

impl Op {
    /// True when the instruction has a LOCK prefix.
    pub fn lock(&self) -> bool {
        self.flags & opflag::LOCK != 0
    }

    /// True when the instruction has a REP, REPE or REPNE prefix.
    pub fn rep(&self) -> bool {
        self.flags & (opflag::REP | opflag::REPNE) != 0
    }

    /// True when the instruction was decoded in 64-bit mode.
    pub fn long(&self) -> bool {
        self.flags & opflag::LONG != 0
    }
}
