//! System registers, hints, barriers and cache maintenance that need no more than a move.

use super::Mode;
use super::block::{Compiler, Plan, Step};
use super::emit::{Rm, get, home, load_imm, put, source};
use super::flags;
use super::regs::host::{RAX, RCX};
use super::regs::{self, ZERO};
use dejavm_interp::aarch64::op::Op;
use dejavm_interp::aarch64::regs::{Cpu, Sys, psr, sctlr};
use dejavm_interp::aarch64::sysreg::reg;
use dejavm_interp::tlb::Access;
use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};
use std::mem::offset_of;

/// The register that MRS, MSR and SYS name.
fn register(op: &Op) -> u16 {
    op.bits(20, 5) as u16
}

fn offset(at: usize) -> i32 {
    at as i32
}

/// Where a 64-bit register lies in the CPU, if the level may read it (and write it, if `write`) with no further
/// effect and no check.
fn place(r: u16, el: u8, write: bool) -> Option<i32> {
    let sys = offset_of!(Cpu, sys);
    macro_rules! at {
        ($field:ident, $i:expr) => {
            offset(sys + offset_of!(Sys, $field) + 8 * $i)
        };
    }
    Some(match r {
        reg::TPIDR_EL0 => at!(tpidr, 0),
        reg::TPIDRRO_EL0 if !write || el > 0 => at!(tpidrro, 0),
        _ if el == 0 => return None,
        // The stack pointer in use is that of the level itself.
        reg::SP_EL0 => at!(sp, 0),
        reg::TPIDR_EL1 => at!(tpidr, 1),
        reg::ELR_EL1 => at!(elr, 1),
        reg::ESR_EL1 if !write => at!(esr, 1),
        reg::FAR_EL1 => at!(far, 1),
        reg::SPSR_EL1 => at!(spsr, 1),
        reg::TTBR0_EL1 if !write => at!(ttbr0, 1),
        reg::TTBR1_EL1 if !write => at!(ttbr1, 0),
        reg::SCTLR_EL1 if !write => at!(sctlr, 1),
        reg::PAR_EL1 => at!(par, 0),
        reg::DAIF if !write => offset(offset_of!(Cpu, daif)),
        _ => return None,
    })
}

/// MSR (immediate): DAIFSet (6) or DAIFClr (7).
fn daif_imm(op: &Op) -> Option<u32> {
    let which = op.bits(7, 5);
    (op.bits(31, 19) == 0b1_1010_1010_0000 && op.bits(15, 12) == 4 && op.bits(18, 16) == 3 && which >= 6)
        .then_some(which)
}

/// DC ZVA.
const ZVA: u16 = dejavm_interp::aarch64::sysreg::encoding(1, 3, 7, 4, 1);

/// MDSCR_EL1.SS and MDE: without them PSTATE.D masks nothing.
const DEBUGS: i32 = 0x8001;

/// SVC and ERET.
pub fn is_apart(op: &Op) -> bool {
    op.word & 0xffe0_001f == 0xd400_0001 || op.word == 0xd69f_03e0
}

/// How an instruction is compiled, or `None`. The word is allocated.
pub fn plan(op: &Op, mode: Mode) -> Option<Plan> {
    let plan = |reads, kills, exits| Some(Plan { reads, kills, exits });
    let nop = plan(false, false, false);
    let r = register(op);
    match op.bits(31, 19) {
        0b1_1010_1010_0000 => match op.bits(18, 12) {
            // HINT: the waiting, yielding and event instructions are the interpreter's.
            0b011_0010 if !(1..=5).contains(&op.bits(11, 5)) => nop,
            // DSB, DMB, ISB
            0b011_0011 if matches!(op.bits(7, 5), 4..=6) => nop,
            _ if mode.el > 0 && daif_imm(op) == Some(6) => nop,
            _ if mode.el > 0 && daif_imm(op) == Some(7) => plan(false, false, true),
            _ => None,
        },
        // SYS: TLB maintenance and DC ZVA.
        0b1_1010_1010_0001 if r == ZVA => plan(false, false, true),
        0b1_1010_1010_0001
            if mode.el > 0
                && op.bits(18, 16) == 0
                && op.bits(15, 12) == 8
                && matches!((op.bits(11, 8), op.bits(7, 5)), (3 | 7, 0..=3 | 5 | 7)) =>
        {
            nop
        }
        // MSR (register), MRS
        0b1_1010_1010_0010 | 0b1_1010_1010_0011 => match r {
            reg::NZCV => plan(false, true, false),
            reg::DAIF if mode.el > 0 => plan(false, false, true),
            _ => place(r, mode.el, true).and(nop),
        },
        0b1_1010_1010_0110 | 0b1_1010_1010_0111 => match r {
            reg::NZCV => plan(true, false, false),
            reg::CURRENTEL if mode.el > 0 => nop,
            _ => place(r, mode.el, false).filter(|_| r != reg::DAIF || mode.el > 0).and(nop),
        },
        _ => None,
    }
}

impl Compiler<'_> {
    /// Emits an instruction that [`plan`] accepted.
    pub fn system(&mut self, s: &Step) {
        let op = &s.op;
        let daif = offset(offset_of!(Cpu, daif));
        let r = register(op);
        match (op.bits(31, 19), daif_imm(op)) {
            (_, Some(6)) => {
                self.flags.clobber(self.asm, s.live);
                self.cpu();
                dynasm!(self.asm ; .arch x64 ; or DWORD [rcx + daif], (op.bits(11, 8) << 6) as i32);
            }
            (_, Some(_)) => {
                self.quiet();
                dynasm!(self.asm ; .arch x64 ; and DWORD [rcx + daif], !(op.bits(11, 8) << 6) as i32);
            }
            (0b1_1010_1010_0001, _) if r == ZVA => self.clear_line(op),
            (0b1_1010_1010_0010 | 0b1_1010_1010_0011, _) => self.write(s, r),
            (0b1_1010_1010_0110 | 0b1_1010_1010_0111, _) => self.read(s, r),
            _ => {}
        }
    }

    /// Hands the instruction over when an interrupt line is raised or debug exceptions are set up: what is unmasked
    /// may be taken then. RCX = the CPU.
    fn quiet(&mut self) {
        let slow = self.slow();
        self.flags.host = false;
        self.cpu();
        let (irq, fiq, serror) =
            (offset(offset_of!(Cpu, irq)), offset(offset_of!(Cpu, fiq)), offset(offset_of!(Cpu, serror)));
        let mdscr = offset(offset_of!(Cpu, sys) + offset_of!(Sys, mdscr));
        dynasm!(self.asm
            ; .arch x64
            ; movzx eax, BYTE [rcx + irq]
            ; or al, [rcx + fiq]
            ; or al, [rcx + serror]
            ; jnz =>slow
            ; test DWORD [rcx + mdscr], DEBUGS
            ; jnz =>slow
        );
    }

    fn read(&mut self, s: &Step, r: u16) {
        let op = &s.op;
        match r {
            reg::NZCV => {
                // PSTATE's form out of the saved one.
                self.flags.save(self.asm);
                self.flags.host = false;
                dynasm!(self.asm
                    ; .arch x64
                    ; movzx eax, BYTE [rbp + regs::FLAGS + 1]
                    ; mov ecx, eax
                    ; and eax, 0xc0
                    ; shl eax, 24
                    ; not ecx
                    ; and ecx, 1
                    ; shl ecx, 29
                    ; or eax, ecx
                    ; movzx ecx, BYTE [rbp + regs::FLAGS]
                    ; and ecx, 1
                    ; shl ecx, 28
                    ; or eax, ecx
                );
                put(self.asm, op.rd, RAX);
            }
            reg::CURRENTEL => self.constant(op.rd, u64::from(self.el) << 2),
            _ => {
                let Some(at) = place(r, self.el, false) else { return };
                if op.rd == ZERO {
                    return;
                }
                self.cpu();
                let d = super::emit::target(op.rd, RAX);
                super::emit::load(self.asm, 8, d, Rm::Mem(RCX, at));
                put(self.asm, op.rd, d);
            }
        }
    }

    fn write(&mut self, s: &Step, r: u16) {
        let op = &s.op;
        match r {
            reg::NZCV => {
                // The saved form out of PSTATE's: N and Z to bits 15 and 14, C's complement to 8, V to 0.
                get(self.asm, 4, RCX, op.rd);
                dynasm!(self.asm
                    ; .arch x64
                    ; mov eax, ecx
                    ; shr eax, 16
                    ; and eax, 0xc000
                    ; mov edx, ecx
                    ; not edx
                    ; shr edx, 21
                    ; and edx, 0x100
                    ; or eax, edx
                    ; shr ecx, 28
                    ; and ecx, 1
                    ; or eax, ecx
                    ; mov [rbp + regs::FLAGS], ax
                );
                self.flags = flags::State::saved();
            }
            reg::DAIF => {
                self.quiet();
                get(self.asm, 4, RAX, op.rd);
                let daif = offset(offset_of!(Cpu, daif));
                dynasm!(self.asm ; .arch x64 ; and eax, psr::DAIF as i32 ; mov [rcx + daif], rax);
            }
            _ => {
                let Some(at) = place(r, self.el, true) else { return };
                self.cpu();
                let v = if op.rd == ZERO || r == reg::SPSR_EL1 {
                    // Of SPSR_EL1 only the lower half exists.
                    get(self.asm, 4, RAX, op.rd);
                    RAX
                } else {
                    source(self.asm, 8, op.rd, RAX)
                };
                super::emit::store(self.asm, 8, Rm::Mem(RCX, at), v);
            }
        }
    }

    /// DC ZVA.
    fn clear_line(&mut self, op: &Op) {
        if self.el == 0 {
            let at = offset(offset_of!(Cpu, sys) + offset_of!(Sys, sctlr) + 8);
            let slow = self.slow();
            self.flags.host = false;
            self.cpu();
            dynasm!(self.asm ; .arch x64 ; test DWORD [rcx + at], sctlr::DZE as i32 ; jz =>slow);
        }
        match home(op.rd) {
            _ if op.rd == ZERO => load_imm(self.asm, RAX, 0),
            rm => super::emit::load(self.asm, 8, RAX, rm),
        }
        dynasm!(self.asm ; .arch x64 ; and rax, -64);
        self.translate_by(regs::TLB, 64, 1, Access::Write);
        dynasm!(self.asm ; .arch x64 ; xor eax, eax);
        for i in 0..8 {
            dynasm!(self.asm ; .arch x64 ; mov [rdx + 8 * i], rax);
        }
    }
}
