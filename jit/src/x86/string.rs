//! STOS and MOVS, upwards. With a repeat prefix every iteration is a step: compiled code makes all of
//! them at once where they stay in one page, and where the budget has room for them.

use super::address::{Base, How};
use super::block::Compiler;
use super::emit::{Rm, load, store, wide};
use super::int::Plan;
use super::regs;
use super::regs::host::{R10, R11, RAX, RCX, RDI, RDX, RSI};
use super::steps::Step;
use super::system::RFLAGS;
use dejavm_interp::mem::PAGE_SIZE;
use dejavm_interp::tlb::Access;
use dejavm_interp::x86::flags::bit;
use dejavm_interp::x86::op::Op;
use dejavm_interp::x86::regs::{gpr, seg};
use dynasmrt::{DynamicLabel, DynasmApi, DynasmLabelApi, dynasm};
use iced_x86::{Code, Instruction};

/// Bytes of an element, and whether it comes from memory.
fn element(ins: &Instruction) -> Option<(u8, bool)> {
    Some(match ins.code() {
        Code::Stosb_m8_AL => (1, false),
        Code::Stosw_m16_AX => (2, false),
        Code::Stosd_m32_EAX => (4, false),
        Code::Stosq_m64_RAX => (8, false),
        Code::Movsb_m8_m8 => (1, true),
        Code::Movsw_m16_m16 => (2, true),
        Code::Movsd_m32_m32 => (4, true),
        Code::Movsq_m64_m64 => (8, true),
        _ => return None,
    })
}

/// How `ins` is compiled, or `None`.
pub fn plan(ins: &Instruction, op: &Op, long: bool) -> Option<Plan> {
    let natural = op.addrsize == if long { 8 } else { 4 };
    let (_, moves) = element(ins)?;
    // The other segments are flat.
    let flat = !moves || !matches!(op.seg, seg::FS | seg::GS);
    (natural && flat).then_some(Plan { reads: 0, kills: 0, exits: true })
}

impl Compiler<'_> {
    /// Emits an instruction that [`plan`] accepted.
    pub fn string(&mut self, s: &Step) {
        let Some((size, moves)) = element(&s.ins) else { return };
        let slow = self.slow();
        self.flags.host = 0;
        dynasm!(self.asm
            ; .arch x64
            ; mov rcx, [rbp + regs::CPU]
            ; test DWORD [rcx + RFLAGS], bit::DF as i32
            ; jnz =>slow
        );
        if s.op.rep() {
            self.repeated(size, moves, slow);
        } else {
            self.single(size, moves);
        }
    }

    fn single(&mut self, size: u8, moves: bool) {
        let word = self.word();
        let mut value = R10;
        if moves {
            let from = self.access(Base::register(gpr::RSI), 0, size, Access::Read, How::ONCE);
            load(self.asm, size, RAX, from);
            dynasm!(self.asm ; .arch x64 ; mov [rbp + regs::TEMP], rax);
            self.cached = None;
        }
        let to = self.access(Base::register(gpr::RDI), 0, size, Access::Write, How::ONCE);
        if moves {
            // The place may count from RAX.
            value = RCX;
            dynasm!(self.asm ; .arch x64 ; mov rcx, [rbp + regs::TEMP]);
            wide(self.asm, word, &[0x8d], RSI, Rm::Mem(RSI, size.into()));
        }
        store(self.asm, size, to, value);
        wide(self.asm, word, &[0x8d], RDI, Rm::Mem(RDI, size.into()));
    }

    fn repeated(&mut self, size: u8, moves: bool, slow: DynamicLabel) {
        let word = self.word();
        let scale = size.trailing_zeros() as u8;
        let done = self.asm.new_dynamic_label();
        self.cached = None;
        load(self.asm, word, RCX, Rm::Reg(R11));
        dynasm!(self.asm
            ; .arch x64
            ; test rcx, rcx
            ; jz =>done
            ; cmp rcx, PAGE_SIZE as i32 >> scale
            ; ja =>slow
            ; lea rax, [rcx - 1]
            ; cmp r15, rax
            ; jb =>slow
        );
        let pages = if moves { &[RDI, RSI][..] } else { &[RDI] };
        for &r in pages {
            load(self.asm, 4, RAX, Rm::Reg(r));
            dynasm!(self.asm ; .arch x64 ; and eax, PAGE_SIZE as i32 - 1);
            wide(self.asm, 4, &[0x8d], RAX, Rm::Sum(RAX, RCX, scale, 0));
            dynasm!(self.asm ; .arch x64 ; cmp eax, PAGE_SIZE as i32 ; ja =>slow);
        }
        if moves {
            let from = self.access(Base::register(gpr::RSI), 0, size, Access::Read, How::ONCE);
            wide(self.asm, 8, &[0x8d], RAX, from);
            dynasm!(self.asm ; .arch x64 ; mov [rbp + regs::TEMP], rax);
            self.cached = None;
        }
        let to = self.access(Base::register(gpr::RDI), 0, size, Access::Write, How::ONCE);
        wide(self.asm, 8, &[0x8d], RDX, to);
        self.cached = None;
        load(self.asm, word, RCX, Rm::Reg(R11));
        dynasm!(self.asm ; .arch x64 ; sub r15, rcx ; inc r15);
        if moves {
            // The new RSI waits in memory, the new RDI in RAX.
            wide(self.asm, word, &[0x8d], RAX, Rm::Sum(RSI, RCX, scale, 0));
            dynasm!(self.asm ; .arch x64 ; mov rsi, [rbp + regs::TEMP] ; mov [rbp + regs::TEMP], rax);
            wide(self.asm, word, &[0x8d], RAX, Rm::Sum(RDI, RCX, scale, 0));
            dynasm!(self.asm ; .arch x64 ; mov rdi, rdx);
            match size {
                1 => dynasm!(self.asm ; .arch x64 ; rep movsb),
                2 => dynasm!(self.asm ; .arch x64 ; rep movsw),
                4 => dynasm!(self.asm ; .arch x64 ; rep movsd),
                _ => dynasm!(self.asm ; .arch x64 ; rep movsq),
            }
            dynasm!(self.asm ; .arch x64 ; mov rdi, rax ; mov rsi, [rbp + regs::TEMP]);
        } else {
            wide(self.asm, word, &[0x8d], RAX, Rm::Sum(RDI, RCX, scale, 0));
            dynasm!(self.asm ; .arch x64 ; mov [rbp + regs::TEMP], rax ; mov rax, r10 ; mov rdi, rdx);
            match size {
                1 => dynasm!(self.asm ; .arch x64 ; rep stosb),
                2 => dynasm!(self.asm ; .arch x64 ; rep stosw),
                4 => dynasm!(self.asm ; .arch x64 ; rep stosd),
                _ => dynasm!(self.asm ; .arch x64 ; rep stosq),
            }
            dynasm!(self.asm ; .arch x64 ; mov rdi, [rbp + regs::TEMP]);
        }
        dynasm!(self.asm ; .arch x64 ; xor r11d, r11d ; =>done);
    }
}
