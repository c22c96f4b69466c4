//! SYSCALL, SYSRET and IRETQ, which go on at another privilege level.
//!
//! The first two are done here for 64-bit mode, in code that all blocks share, while nothing unusual goes with them: no
//! probe, no debug register, no event that they let in. What the change of level means for translations is taken from
//! the last time ([`Pair`]); everything else goes to [`super::entry`]'s function.

use super::Mode;
use super::block::Compiler;
use super::emit::{Asm, Rm, load, load_imm, store};
use super::flags::State;
use super::regs::host::{RAX, RBP, RCX, RDX};
use super::regs::{self, Pair};
use super::steps::Step;
use super::system::RFLAGS;
use super::x87;
use dejavm_interp::tlb::Tlb;
use dejavm_interp::x86::flags::bit;
use dejavm_interp::x86::regs::{Cpu, Msrs, Segment, efer, gpr, seg};
use dejavm_interp::x86::system::syscall::{FLAT_CODE_64, FLAT_DATA};
use dynasmrt::{DynamicLabel, DynasmApi, DynasmLabelApi, dynasm};
use iced_x86::{Code, Mnemonic};
use std::mem::{offset_of, size_of};

const CPL: i32 = offset_of!(Cpu, cpl) as i32;
const INTR: i32 = offset_of!(Cpu, intr) as i32;
const CR4: i32 = offset_of!(Cpu, cr4) as i32;
const DR7: i32 = offset_of!(Cpu, dr) as i32 + 7 * 8;
const MSRS: i32 = offset_of!(Cpu, msrs) as i32;
const EFER: i32 = MSRS + offset_of!(Msrs, efer) as i32;
const STAR: i32 = MSRS + offset_of!(Msrs, star) as i32;
const LSTAR: i32 = MSRS + offset_of!(Msrs, lstar) as i32;
const FMASK: i32 = MSRS + offset_of!(Msrs, fmask) as i32;

/// Flags whose change means more than itself: traps, alignment checks, what SMAP excuses.
const RARE: i32 = (bit::TF | bit::RF | bit::AC) as i32;

/// Which of the two it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// SYSCALL.
    In,
    /// SYSRETQ.
    Out,
}

impl Compiler<'_> {
    /// An instruction that ends the block at another privilege level.
    pub fn level(&mut self, s: &Step) {
        let info = self.info_of(s);
        dynasm!(self.asm ; .arch x64 ; mov eax, info as i32);
        let to = match (s.ins.mnemonic(), s.ins.code()) {
            (Mnemonic::Syscall, _) if self.long && self.user => {
                load_imm(self.asm, RDX, s.next);
                self.shared.syscall
            }
            (_, Code::Sysretq) if self.long => self.shared.sysret,
            _ => self.shared.level,
        };
        self.jump_out(to);
    }
}

/// Runs instruction EAX; RDX is what follows SYSCALL. Goes to `slow` with EAX if there is more to it, else to `go` with
/// the target in RAX.
pub fn change(asm: &mut Asm, way: Way, slow: DynamicLabel, go: DynamicLabel) {
    let to = usize::from(way == Way::Out);
    let pair = regs::PAIRS + (to * size_of::<Pair>()) as i32;
    let recent_for = regs::RECENT_FOR + (to * 3 * 8) as i32;
    let unusual = asm.new_dynamic_label();
    dynasm!(asm
        ; .arch x64
        ; mov [rbp + regs::TEMP], rax
        ; mov [rbp + regs::RIP], rdx
        ; mov rcx, [rbp + regs::CPU]
        ; cmp BYTE [rbp + regs::PROBED], 0
        ; jne =>unusual
        ; test r15, r15
        ; jz =>unusual
        ; test BYTE [rcx + EFER], efer::SCE as i8
        ; jz =>unusual
        ; cmp BYTE [rcx + INTR], 0
        ; jne =>unusual
        ; cmp BYTE [rcx + DR7], 0
        ; jne =>unusual
        ; test DWORD [rcx + RFLAGS], RARE
        ; jnz =>unusual
        // x87 instructions note CS.
        ; cmp DWORD [rbp + regs::NOTE], x87::NONE as i32
        ; jne =>unusual
        ; cmp DWORD [rbp + regs::NOTE_MEMORY], x87::NONE as i32
        ; jne =>unusual
    );
    if way == Way::Out {
        load(asm, 8, RDX, super::emit::home(gpr::RCX));
        load(asm, 8, RAX, super::emit::home(11));
        dynasm!(asm
            ; .arch x64
            ; cmp BYTE [rcx + CPL], 0
            ; jne =>unusual
            ; test eax, (bit::TF | bit::AC) as i32
            ; jnz =>unusual
            // Canonical, see `Exec::canonical`.
            ; mov rax, rdx
            ; shl rdx, 16
            ; sar rdx, 16
            ; cmp rax, rdx
            ; jne =>unusual
        );
    }
    // The other level's translations are those of the last time.
    for (at, is) in [(Rm::Mem(RBP, regs::TLB), Pair::HERE), (Rm::Mem(RCX, CR4), Pair::CR4)] {
        load(asm, 8, RAX, at);
        dynasm!(asm ; .arch x64 ; cmp rax, [rbp + pair + is] ; jne =>unusual);
    }
    dynasm!(asm
        ; .arch x64
        ; mov rax, [rbp + regs::TLB_STATE]
        ; mov rdx, [rax + Tlb::CHANGES]
        ; cmp rdx, [rbp + pair + Pair::CHANGES]
        ; jne =>unusual
        // So are those that were used last there.
        ; mov rdx, [rax + Tlb::WRITE_DROPS]
        ; cmp rdx, [rbp + recent_for + 8]
        ; jne =>unusual
        ; mov rdx, [rbp + regs::MEMORY]
        ; cmp rdx, [rbp + recent_for + 16]
        ; jne =>unusual
        ; mov rdx, [rbp + pair + Pair::INDEX]
        ; mov rdx, [rax + rdx * 8 + Tlb::STAMPS]
        ; cmp rdx, [rbp + recent_for]
        ; jne =>unusual
        // From here on it is done.
        ; mov [rbp + regs::STAMP], rdx
        ; mov rdx, [rbp + pair + Pair::INDEX]
        ; mov [rax + Tlb::CURRENT], rdx
        ; mov rax, [rbp + pair + Pair::THERE]
        ; mov [rbp + regs::TLB], rax
    );
    let mode = Mode { long: true, user: way == Way::Out };
    dynasm!(asm
        ; .arch x64
        ; mov rax, [rbp + regs::TARGETS + mode.index() as i32 * 8]
        ; mov [rbp + regs::JUMPS], rax
        ; mov BYTE [rbp + regs::MODE + offset_of!(Mode, user) as i32], i8::from(mode.user)
        ; mov BYTE [rcx + CPL], if mode.user { 3 } else { 0 }
    );
    match way {
        Way::In => {
            dynasm!(asm ; .arch x64 ; mov rax, [rbp + regs::RIP]);
            store(asm, 8, super::emit::home(gpr::RCX), RAX);
            State::whole(asm);
            store(asm, 8, super::emit::home(11), RAX);
            dynasm!(asm
                ; .arch x64
                ; mov rdx, [rcx + FMASK]
                ; not edx
                ; and eax, edx
            );
        }
        Way::Out => load(asm, 8, RAX, super::emit::home(11)),
    }
    // RFLAGS = EAX, as `Cpu::set_rflags` sets it.
    dynasm!(asm
        ; .arch x64
        ; mov edx, eax
        ; and edx, 0x3f_7fd7 & !(bit::STATUS | bit::RF | bit::VM) as i32
        ; or edx, bit::ONE as i32
        ; mov [rcx + RFLAGS], rdx
    );
    State::set(asm);
    dynasm!(asm ; .arch x64 ; mov rdx, [rcx + STAR]);
    // CS and SS, see the interpreter's handlers.
    let (code, data) = match way {
        Way::In => {
            dynasm!(asm ; .arch x64 ; shr rdx, 32 ; and edx, 0xfffc ; lea eax, [rdx + 8] ; movzx eax, ax);
            (FLAT_CODE_64, FLAT_DATA)
        }
        Way::Out => {
            dynasm!(asm
                ; .arch x64
                ; shr rdx, 48
                ; lea eax, [rdx + 8]
                ; add edx, 16
                ; movzx eax, ax
                ; movzx edx, dx
                ; or eax, 3
                ; or edx, 3
            );
            (FLAT_CODE_64 | 3 << 5, FLAT_DATA | 3 << 5)
        }
    };
    for (reg, number, rights) in [(RDX, seg::CS, code), (RAX, seg::SS, data)] {
        let at = (offset_of!(Cpu, segs) + usize::from(number) * size_of::<Segment>()) as i32;
        const { assert!(offset_of!(Segment, selector) == 0 && offset_of!(Segment, rights) == 2) };
        dynasm!(asm
            ; .arch x64
            ; or Rd(reg), (i32::from(rights)) << 16
            ; mov [rcx + at], Rd(reg)
            ; mov QWORD [rcx + at + offset_of!(Segment, base) as i32], 0
            ; mov DWORD [rcx + at + offset_of!(Segment, limit) as i32], -1
        );
    }
    match way {
        Way::In => dynasm!(asm ; .arch x64 ; mov rax, [rcx + LSTAR]),
        Way::Out => load(asm, 8, RAX, super::emit::home(gpr::RCX)),
    }
    dynasm!(asm
        ; .arch x64
        ; jmp =>go
        ; =>unusual
        ; mov rax, [rbp + regs::TEMP]
        ; jmp =>slow
    );
}
