//! x87 basic arithmetic, comparison and transfer: the host's own instruction, on the host's
//! register stack with the guest's control and status word.
//!
//! The guest's stack is in the host's from the first such instruction on until the interpreter or
//! the engine runs again ([`Ctx::x87`] tells). Only while every exception is masked and the
//! precision is not the reserved one: then results, tags, condition codes and flags, those of stack
//! faults too, are the interpreter's to the bit on every vendor's CPU, as the oracle finds.
//! Transcendental functions, FPREM and what works on images of the state are not here.
//!
//! The pointers of the last instruction would be the host's: compiled code notes which instruction
//! it was, and [`save`] looks up what the guest would see.
//!
//! [`Ctx::x87`]: super::regs::Ctx::x87

use super::address::How;
use super::block::{Compiler, OpInfo};
use super::emit::{Rm, encode, group1};
use super::flags::flag::{AF, ALL};
use super::flags::{Kind, State, reads};
use super::int::{Plan, simple_address};
use super::regs::host::{RAX, RBP};
use super::regs::{self, Ctx};
use super::steps::Step;
use dejavm_interp::tlb::Access;
use dejavm_interp::x86::Exec;
use dejavm_interp::x86::op::Op;
use dejavm_interp::x86::regs::{Cpu, X87, cr0, seg};
use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};
use iced_x86::{CpuidFeature, Instruction, Mnemonic, OpKind};
use std::mem::offset_of;

/// The stack cannot be used, or is not known to be usable.
pub const UNUSABLE: u8 = 0;
/// It can be loaded.
pub const USABLE: u8 = 1;
/// It is in the host's.
pub const LOADED: u8 = 2;
/// It was the host's last, and is now in [`Ctx::image`].
pub const SAVED: u8 = 3;

/// No instruction is noted.
pub const NONE: u32 = u32::MAX;

/// Which part of the state XSAVE and XRSTOR move: the x87's alone.
pub const COMPONENT: i32 = 1;

/// Exception masks and precision control of the control word.
mod control {
    pub const MASKS: u16 = 0x3f;
    pub const PRECISION: u16 = 0x300;
    pub const RESERVED_PRECISION: u16 = 0x100;
    /// Bits that can be written, and the one that is always set.
    pub const WRITABLE: i32 = 0x1f3f;
    pub const SET: i32 = 0x40;
}

/// The image that XSAVE writes and XRSTOR reads: the legacy region and the header.
#[repr(C, align(64))]
#[derive(Clone, Copy, Default)]
pub struct Image([[u64; 8]; 9]);

/// Offsets in [`Image`] (SDM volume 1, table 10-2 and section 13.4.2).
pub mod image {
    #![allow(missing_docs, reason = "the names are the manual's")]
    pub const FCW: i32 = 0;
    pub const FSW: i32 = 2;
    pub const FTW: i32 = 4;
    pub const FOP: i32 = 6;
    pub const FIP: i32 = 8;
    pub const FDP: i32 = 16;
    pub const ST: i32 = 32;
    pub const XSTATE_BV: i32 = 512;
    pub const XCOMP_BV: i32 = 520;
}

/// Offsets in the guest's [`X87`], for compiled code.
pub mod guest {
    #![allow(missing_docs, reason = "the names are the structure's")]
    use super::{X87, offset_of};
    pub const MANTISSA: i32 = offset_of!(X87, mantissa) as i32;
    pub const SIGN_EXP: i32 = offset_of!(X87, sign_exp) as i32;
    pub const CONTROL: i32 = offset_of!(X87, control) as i32;
    pub const STATUS: i32 = offset_of!(X87, status) as i32;
    pub const USED: i32 = offset_of!(X87, used) as i32;
}

/// True when the control word lets the host's stack stand for the guest's.
pub fn fits(x87: &X87) -> bool {
    x87.control & control::MASKS == control::MASKS
        && x87.control & control::PRECISION != control::RESERVED_PRECISION
}

/// True when compiled code may load the guest's stack.
pub fn usable(cpu: &Cpu) -> bool {
    cpu.cr0 & (cr0::EM | cr0::TS) == 0 && fits(&cpu.x87) && std::is_x86_feature_detected!("xsave")
}

/// Brings what compiled code did to the x87 state back into the CPU.
pub fn save(ctx: &mut Ctx, ex: &mut Exec<'_>, infos: impl Fn(u32) -> OpInfo) {
    let cpu = &mut *ex.cpu;
    if ctx.note != NONE {
        let info = infos(ctx.note);
        cpu.x87.ip = info.next.wrapping_sub(info.op.len.into());
        cpu.x87.ip_selector = cpu.seg(seg::CS).selector;
        cpu.x87.opcode = info.op.imm2;
        ctx.note = NONE;
    }
    if ctx.note_memory != NONE {
        cpu.x87.dp = ctx.operand;
        cpu.x87.dp_selector = cpu.seg(infos(ctx.note_memory).op.seg).selector;
        ctx.note_memory = NONE;
    }
    if ctx.x87 == SAVED {
        ctx.x87 = UNUSABLE;
        let Image(words) = &ctx.image;
        let (head, x87) = (words[0][0], &mut cpu.x87);
        x87.control = head as u16;
        x87.status = (head >> 16) as u16;
        x87.used = (head >> 32) as u8;
        for i in 0..8 {
            let r = x87.physical(i as u8);
            let at = image::ST as usize / 8 + 2 * i;
            x87.mantissa[r] = words[at / 8][at % 8];
            x87.sign_exp[r] = words[at / 8][at % 8 + 1] as u16;
        }
    }
}

/// What an instruction leaves behind beside its result.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Leaves {
    /// Pointers and opcode.
    Pointers,
    /// Nothing: a control instruction.
    Nothing,
}

fn listed(m: Mnemonic) -> Option<Leaves> {
    use Mnemonic::*;
    Some(match m {
        Fld | Fst | Fstp | Fild | Fist | Fistp | Fisttp | Fadd | Faddp | Fiadd | Fsub | Fsubp | Fisub
        | Fsubr | Fsubrp | Fisubr | Fmul | Fmulp | Fimul | Fdiv | Fdivp | Fidiv | Fdivr | Fdivrp | Fidivr
        | Fsqrt | Frndint | Fabs | Fchs | Fxch | Fcom | Fcomp | Fcompp | Ficom | Ficomp | Fucom | Fucomp
        | Fucompp | Fcomi | Fcomip | Fucomi | Fucomip | Ftst | Fxam | Fld1 | Fldl2t | Fldl2e | Fldpi
        | Fldlg2 | Fldln2 | Fldz | Fcmovb | Fcmove | Fcmovbe | Fcmovu | Fcmovnb | Fcmovne | Fcmovnbe
        | Fcmovnu | Fincstp | Fdecstp => Leaves::Pointers,
        Fldcw | Fnstcw | Fnstsw | Fnclex | Wait => Leaves::Nothing,
        _ => return None,
    })
}

/// True for the memory operands that are written.
fn writes(m: Mnemonic) -> bool {
    use Mnemonic::*;
    matches!(m, Fst | Fstp | Fist | Fistp | Fisttp | Fnstcw | Fnstsw)
}

/// The condition of FCMOVcc.
fn condition(m: Mnemonic) -> Option<u8> {
    Some(match m {
        Mnemonic::Fcmovb => 2,
        Mnemonic::Fcmovnb => 3,
        Mnemonic::Fcmove => 4,
        Mnemonic::Fcmovne => 5,
        Mnemonic::Fcmovbe => 6,
        Mnemonic::Fcmovnbe => 7,
        Mnemonic::Fcmovu => 10,
        Mnemonic::Fcmovnu => 11,
        _ => return None,
    })
}

/// How `ins` is compiled, or `None`.
pub fn plan(ins: &Instruction, op: &Op, long: bool) -> Option<Plan> {
    listed(ins.mnemonic())?;
    let memory = ins.op_count() > 0 && ins.op_kind(0) == OpKind::Memory
        || ins.op_count() > 1 && ins.op_kind(1) == OpKind::Memory;
    let features = ins.cpuid_features();
    let host = !features.contains(&CpuidFeature::SSE3) || std::is_x86_feature_detected!("sse3");
    if memory && !simple_address(op, long) || !host || !std::is_x86_feature_detected!("xsave") {
        return None;
    }
    let compares =
        matches!(ins.mnemonic(), Mnemonic::Fcomi | Mnemonic::Fcomip | Mnemonic::Fucomi | Mnemonic::Fucomip);
    let kills = if compares { ALL } else { 0 };
    let reads = condition(ins.mnemonic()).map_or(0, reads);
    Some(Plan { reads, kills, exits: true })
}

impl Compiler<'_> {
    /// Emits an instruction that [`plan`] accepted.
    pub fn x87(&mut self, s: &Step) {
        let ins = &s.ins;
        let m = ins.mnemonic();
        self.need_x87();
        match m {
            Mnemonic::Wait => return,
            Mnemonic::Fldcw => return self.fldcw(s),
            Mnemonic::Fnclex => return self.asm.extend(&[0xdb, 0xe2]),
            _ => {}
        }
        let memory = (0..ins.op_count()).any(|i| ins.op_kind(i) == OpKind::Memory);
        let (byte, modrm) = (0xd8 | (s.op.imm2 >> 8) as u8, s.op.imm2 as u8);
        if memory {
            let size = ins.memory_size().size() as u8;
            let access = if writes(m) { Access::Write } else { Access::Read };
            let at = self.operand(&s.op, s.next, size, access, How::ONCE);
            encode(self.asm, false, &[byte], modrm >> 3 & 7, at);
        } else if m == Mnemonic::Fnstsw {
            // AX lies in R10W.
            dynasm!(self.asm ; .arch x64 ; fnstsw ax ; mov r10w, ax);
        } else {
            if s.plan.is_some_and(|p| p.reads & !self.flags.host != 0) {
                State::bring_back(self.asm);
                self.flags.host = ALL & !AF;
            }
            self.asm.extend(&[byte, modrm]);
        }
        if s.plan.is_some_and(|p| p.kills != 0) {
            self.flags.wrote(ALL, Kind::Arith);
        }
        if listed(m) == Some(Leaves::Pointers) {
            let info = self.info_of(s);
            self.notes.0 = Some(info);
            if memory {
                self.note_operand(s);
                self.notes.1 = Some(info);
            }
        }
    }

    /// Stores the operand's offset.
    fn note_operand(&mut self, s: &Step) {
        self.effective(&s.op, s.next);
        dynasm!(self.asm ; .arch x64 ; mov [rbp + regs::OPERAND], rax);
    }

    /// A control word that unmasks something, or has the reserved precision, is the interpreter's.
    fn fldcw(&mut self, s: &Step) {
        let at = self.operand(&s.op, s.next, 2, Access::Read, How::ONCE);
        self.fetch(2, RAX, at);
        let slow = self.slow();
        let masks = i32::from(control::MASKS);
        let precision = i32::from(control::PRECISION);
        dynasm!(self.asm
            ; .arch x64
            ; mov ecx, eax
            ; and ecx, masks
            ; cmp ecx, masks
            ; jne =>slow
            ; mov ecx, eax
            ; and ecx, precision
            ; cmp ecx, i32::from(control::RESERVED_PRECISION)
            ; je =>slow
            ; and eax, control::WRITABLE
            ; or eax, control::SET
            ; mov [rbp + regs::TEMP], eax
            ; fldcw WORD [rbp + regs::TEMP]
        );
    }

    /// Emits the check that the guest's stack is in the host's; where not, it is loaded, or the
    /// instruction is handed over.
    fn need_x87(&mut self) {
        if self.loaded.x87 {
            return;
        }
        self.loaded.x87 = true;
        // Loading takes RDX.
        self.cached = None;
        let slow = self.slow();
        let load = self.asm.new_dynamic_label();
        let back = self.asm.new_dynamic_label();
        self.flags.host = 0;
        group1(self.asm, 1, 7, Rm::Mem(RBP, regs::X87), LOADED.into());
        dynasm!(self.asm
            ; .arch x64
            ; jne =>load
            ; =>back
        );
        self.loads.push((load, back, slow, self.shared.load_x87));
    }

    /// Stores which x87 instructions were the last.
    pub fn store_notes(&mut self, notes: (Option<u32>, Option<u32>)) {
        if let Some(info) = notes.0 {
            dynasm!(self.asm ; .arch x64 ; mov DWORD [rbp + regs::NOTE], info as i32);
        }
        if let Some(info) = notes.1 {
            dynasm!(self.asm ; .arch x64 ; mov DWORD [rbp + regs::NOTE_MEMORY], info as i32);
        }
    }
}
