//! System instructions that need no more than a few moves: what masks interrupts, flags on the stack,
//! SWAPGS, reading control registers and the time stamp; and what asks for RFLAGS beside the status flags.
//! Without the privilege, and where an event may become deliverable, they are handed over.

use super::address::How;
use super::block::Compiler;
use super::emit::{put, store, wide};
use super::flags::State;
use super::flags::flag::{ALL, ZF};
use super::int::{Plan, STACK, simple_address};
use super::regs;
use super::regs::host::{R10, R11, R13, RAX, RBX, RCX, RDX};
use super::steps::Step;
use crate::emit::Rm;
use dejavm_interp::tlb::Access;
use dejavm_interp::x86::flags::bit;
use dejavm_interp::x86::op::Op;
use dejavm_interp::x86::regs::{Cpu, Msrs, Segment, cr4, seg};
use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};
use iced_x86::{Code, Instruction, Mnemonic};
use std::mem::{offset_of, size_of};

const CPL: i32 = offset_of!(Cpu, cpl) as i32;
const INTR: i32 = offset_of!(Cpu, intr) as i32;
pub(super) const RFLAGS: i32 = offset_of!(Cpu, rflags) as i32;
const GS_BASE: i32 =
    (offset_of!(Cpu, segs) + seg::GS as usize * size_of::<Segment>() + offset_of!(Segment, base)) as i32;
const KERNEL_GS_BASE: i32 = (offset_of!(Cpu, msrs) + offset_of!(Msrs, kernel_gs_base)) as i32;

const CR4: i32 = offset_of!(Cpu, cr4) as i32;
const TSC_OFFSET: i32 = (offset_of!(Cpu, msrs) + offset_of!(Msrs, tsc_offset)) as i32;

/// Flags that POPF may change at level 0 with consequences beyond themselves.
const MATTER: i32 = (bit::TF | bit::NT | bit::AC | bit::ID | bit::IOPL) as i32;

/// Where a control register lies in the CPU.
fn control(number: u8) -> Option<i32> {
    Some(match number {
        0 => offset_of!(Cpu, cr0) as i32,
        2 => offset_of!(Cpu, cr2) as i32,
        3 => offset_of!(Cpu, cr3) as i32,
        4 => offset_of!(Cpu, cr4) as i32,
        _ => return None,
    })
}

/// How `ins` is compiled, or `None`.
pub fn plan(ins: &Instruction, op: &Op, long: bool, user: bool) -> Option<Plan> {
    let plan = |reads, kills| Some(Plan { reads, kills, exits: true });
    let natural = ins.stack_pointer_increment().unsigned_abs() == if long { 8 } else { 4 };
    match ins.mnemonic() {
        Mnemonic::Pushfq | Mnemonic::Pushfd if natural => plan(ALL, 0),
        Mnemonic::Cmpxchg16b if simple_address(op, long) => plan(ALL & !ZF, ZF),
        Mnemonic::Cld | Mnemonic::Std => Some(Plan { reads: 0, kills: 0, exits: false }),
        Mnemonic::Rdtsc | Mnemonic::Pause => plan(0, 0),
        Mnemonic::Syscall => plan(ALL, 0),
        Mnemonic::Iretq if long => plan(ALL, 0),
        _ if user => None,
        Mnemonic::Sysret | Mnemonic::Sysretq => plan(ALL, 0),
        Mnemonic::Cli | Mnemonic::Sti | Mnemonic::Invlpg => plan(0, 0),
        Mnemonic::Swapgs if long => plan(0, 0),
        Mnemonic::Popfq | Mnemonic::Popfd if natural => plan(0, ALL),
        Mnemonic::Mov if matches!(ins.code(), Code::Mov_r32_cr | Code::Mov_r64_cr) => {
            control(op.r1).and(plan(0, 0))
        }
        _ => None,
    }
}

impl Compiler<'_> {
    /// Emits an instruction that [`plan`] accepted.
    pub fn system(&mut self, s: &Step) {
        match s.ins.mnemonic() {
            Mnemonic::Cli => {
                self.privileged();
                dynasm!(self.asm ; .arch x64 ; and DWORD [rcx + RFLAGS], !(bit::IF as i32));
            }
            Mnemonic::Sti => self.sti(),
            Mnemonic::Invlpg => self.privileged(),
            Mnemonic::Swapgs => self.swapgs(),
            Mnemonic::Pushfq | Mnemonic::Pushfd => self.pushf(),
            Mnemonic::Popfq | Mnemonic::Popfd => self.popf(),
            Mnemonic::Cmpxchg16b => self.cmpxchg16b(s),
            Mnemonic::Cld => self.direction(s, false),
            Mnemonic::Std => self.direction(s, true),
            Mnemonic::Rdtsc => self.rdtsc(),
            Mnemonic::Pause => {
                let slow = self.slow();
                self.flags.host = 0;
                dynasm!(self.asm ; .arch x64 ; cmp BYTE [rbp + regs::ALONE], 0 ; je =>slow);
            }
            _ => {
                let Some(at) = control(s.op.r1) else { return };
                let size = if s.op.long() { 8 } else { 4 };
                self.privileged();
                super::emit::load(self.asm, size, RAX, Rm::Mem(RCX, at));
                put(self.asm, size, s.op.r0, RAX);
            }
        }
    }

    /// Hands the instruction over unless the privilege level is 0. RCX = the CPU.
    fn privileged(&mut self) {
        let slow = self.slow();
        self.flags.host = 0;
        dynasm!(self.asm
            ; .arch x64
            ; mov rcx, [rbp + regs::CPU]
            ; cmp BYTE [rcx + CPL], 0
            ; jne =>slow
        );
    }

    /// No request waits, so that only what is still to come is unmasked. What STI shadows is one
    /// instruction, which then comes whatever happens: it is run before the budget ends, and ends the
    /// shadow by completing, or by a fault.
    fn sti(&mut self) {
        let slow = self.slow();
        self.privileged();
        dynasm!(self.asm ; .arch x64 ; cmp BYTE [rcx + INTR], 0 ; jne =>slow);
        if self.following.is_empty() {
            // A breakpoint may be next, where the shadow shows; there is none within a block.
            dynasm!(self.asm
                ; .arch x64
                ; cmp BYTE [rbp + regs::PROBED], 0
                ; jne =>slow
                ; test r15, r15
                ; jz =>slow
            );
        }
        dynasm!(self.asm ; .arch x64 ; or DWORD [rcx + RFLAGS], bit::IF as i32);
    }

    fn direction(&mut self, s: &Step, down: bool) {
        self.flags.clobber(self.asm, s.live);
        dynasm!(self.asm ; .arch x64 ; mov rcx, [rbp + regs::CPU]);
        if down {
            dynasm!(self.asm ; .arch x64 ; or DWORD [rcx + RFLAGS], bit::DF as i32);
        } else {
            dynasm!(self.asm ; .arch x64 ; and DWORD [rcx + RFLAGS], !(bit::DF as i32));
        }
    }

    /// The clock stands still but for the steps made.
    fn rdtsc(&mut self) {
        let slow = self.slow();
        if self.user {
            self.flags.host = 0;
            dynasm!(self.asm
                ; .arch x64
                ; mov rcx, [rbp + regs::CPU]
                ; test DWORD [rcx + CR4], cr4::TSD as i32
                ; jnz =>slow
            );
        } else {
            self.privileged();
        }
        self.cached = None;
        let rest = self.rest() as i32;
        dynasm!(self.asm
            ; .arch x64
            ; lea rax, [r15 + rest]
            ; mov rdx, [rbp + regs::END]
            ; sub rdx, rax
            ; movzx ecx, BYTE [rbp + regs::SHIFT]
            ; shl rdx, cl
            ; add rdx, [rbp + regs::WARP]
            ; mov rcx, [rbp + regs::CPU]
            ; add rdx, [rcx + TSC_OFFSET]
            ; mov r10d, edx
            ; shr rdx, 32
            ; mov r13, rdx
        );
    }

    fn swapgs(&mut self) {
        self.privileged();
        self.cached = None;
        dynasm!(self.asm
            ; .arch x64
            ; mov rax, [rcx + GS_BASE]
            ; mov rdx, [rcx + KERNEL_GS_BASE]
            ; mov [rcx + GS_BASE], rdx
            ; mov [rcx + KERNEL_GS_BASE], rax
            ; mov [rbp + regs::GS_BASE], rdx
        );
    }

    fn pushf(&mut self) {
        let word = self.word();
        let at = self.access(STACK, -i32::from(word), word, Access::Write, How::HELD);
        State::whole(self.asm);
        self.flags.host = 0;
        store(self.asm, word, at, RAX);
        self.move_stack(-i32::from(word));
    }

    fn popf(&mut self) {
        let word = self.word();
        let slow = self.slow();
        let at = self.access(STACK, 0, word, Access::Read, How::ONCE);
        self.fetch(word, RAX, at);
        self.privileged();
        self.cached = None;
        let masked = self.asm.new_dynamic_label();
        dynasm!(self.asm
            ; .arch x64
            ; mov edx, [rcx + RFLAGS]
            ; xor edx, eax
            ; test edx, MATTER
            ; jnz =>slow
            ; test eax, bit::IF as i32
            ; jz =>masked
            ; cmp BYTE [rcx + INTR], 0
            ; jne =>slow
            ; =>masked
            ; and edx, (bit::IF | bit::DF) as i32
            ; xor [rcx + RFLAGS], edx
        );
        State::set(self.asm);
        self.flags = State::saved();
        self.move_stack(i32::from(word));
    }

    /// The operand is a write whatever the outcome.
    fn cmpxchg16b(&mut self, s: &Step) {
        let how = How { once: false, aligned: true };
        let at = self.operand(&s.op, s.next, 16, Access::Write, how);
        self.point(at);
        let (differs, done) = (self.asm.new_dynamic_label(), self.asm.new_dynamic_label());
        super::emit::load(self.asm, 8, RAX, Rm::Mem(RDX, 0));
        super::emit::load(self.asm, 8, RCX, Rm::Mem(RDX, 8));
        wide(self.asm, 8, &[0x33], RAX, Rm::Reg(R10));
        wide(self.asm, 8, &[0x33], RCX, Rm::Reg(R13));
        dynasm!(self.asm
            ; .arch x64
            ; or rax, rcx
            ; jnz =>differs
        );
        store(self.asm, 8, Rm::Mem(RDX, 0), RBX);
        store(self.asm, 8, Rm::Mem(RDX, 8), R11);
        dynasm!(self.asm
            ; .arch x64
            ; or BYTE [rbp + regs::FLAGS + 1], bit::ZF as i8
            ; jmp =>done
            ; =>differs
            ; and BYTE [rbp + regs::FLAGS + 1], !(bit::ZF as i8)
        );
        super::emit::load(self.asm, 8, R10, Rm::Mem(RDX, 0));
        super::emit::load(self.asm, 8, R13, Rm::Mem(RDX, 8));
        dynasm!(self.asm ; .arch x64 ; =>done);
        self.flags = State::saved();
    }
}
