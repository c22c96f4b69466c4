//! Memory operands: the address, and the software TLB's hit path. A miss hands the whole
//! instruction to the interpreter, before it has changed anything.

use super::block::Compiler;
use super::emit::{Rm, home, load, load_imm, sized, wide};
use super::regs;
use super::regs::host::{RAX, RCX, RDX};
pub use crate::hit::{ENTRY, OFFSET, TAG, table};
use dejavm_interp::mem::PAGE_SIZE;
use dejavm_interp::tlb::{Access, WAYS};
use dejavm_interp::x86::op::{Op, REG_RIP, REG_ZERO};
use dejavm_interp::x86::regs::seg;
use dynasmrt::{DynamicLabel, DynasmApi, DynasmLabelApi, dynasm};

impl Compiler<'_> {
    /// RAX = the offset of the memory operand in its segment, as LEA gives it.
    pub fn effective(&mut self, op: &Op, next: u64) {
        let asm = &mut *self.asm;
        let size = if op.addrsize == 8 { 8 } else { 4 };
        let disp = op.disp as i64 as i32;
        if op.base == REG_RIP {
            let at = next.wrapping_add(op.disp);
            load_imm(asm, RAX, if size == 8 { at } else { at & 0xffff_ffff });
            return;
        }
        if op.base == REG_ZERO && op.index == REG_ZERO {
            load_imm(asm, RAX, if size == 8 { op.disp } else { op.disp & 0xffff_ffff });
            return;
        }
        let mut place = |guest: u8, scratch: u8| match home(guest) {
            Rm::Reg(r) => r,
            m @ Rm::Mem(..) => {
                load(asm, size, scratch, m);
                scratch
            }
        };
        let base = (op.base != REG_ZERO).then(|| place(op.base, RAX));
        let index = (op.index != REG_ZERO).then(|| place(op.index, RCX));
        match (base, index) {
            (Some(b), None) => {
                if disp == 0 {
                    load(asm, size, RAX, Rm::Reg(b));
                } else {
                    wide(asm, size, &[0x8d], RAX, Rm::Mem(b, disp));
                }
            }
            (Some(b), Some(i)) => match (size, op.scale) {
                (8, 0) => dynasm!(asm ; .arch x64 ; lea rax, [Rq(b) + Rq(i) + disp]),
                (8, 1) => dynasm!(asm ; .arch x64 ; lea rax, [Rq(b) + Rq(i) * 2 + disp]),
                (8, 2) => dynasm!(asm ; .arch x64 ; lea rax, [Rq(b) + Rq(i) * 4 + disp]),
                (8, _) => dynasm!(asm ; .arch x64 ; lea rax, [Rq(b) + Rq(i) * 8 + disp]),
                (_, 0) => dynasm!(asm ; .arch x64 ; lea eax, [Rq(b) + Rq(i) + disp]),
                (_, 1) => dynasm!(asm ; .arch x64 ; lea eax, [Rq(b) + Rq(i) * 2 + disp]),
                (_, 2) => dynasm!(asm ; .arch x64 ; lea eax, [Rq(b) + Rq(i) * 4 + disp]),
                _ => dynasm!(asm ; .arch x64 ; lea eax, [Rq(b) + Rq(i) * 8 + disp]),
            },
            (None, Some(i)) => match (size, op.scale) {
                (8, 0) => dynasm!(asm ; .arch x64 ; lea rax, [Rq(i) + disp]),
                (8, 1) => dynasm!(asm ; .arch x64 ; lea rax, [Rq(i) * 2 + disp]),
                (8, 2) => dynasm!(asm ; .arch x64 ; lea rax, [Rq(i) * 4 + disp]),
                (8, _) => dynasm!(asm ; .arch x64 ; lea rax, [Rq(i) * 8 + disp]),
                (_, 0) => dynasm!(asm ; .arch x64 ; lea eax, [Rq(i) + disp]),
                (_, 1) => dynasm!(asm ; .arch x64 ; lea eax, [Rq(i) * 2 + disp]),
                (_, 2) => dynasm!(asm ; .arch x64 ; lea eax, [Rq(i) * 4 + disp]),
                _ => dynasm!(asm ; .arch x64 ; lea eax, [Rq(i) * 8 + disp]),
            },
            (None, None) => {}
        }
    }

    /// RDX = where the memory operand of `size` bytes lies in the host. Clobbers RAX, RCX, EFLAGS.
    pub fn operand(&mut self, op: &Op, next: u64, size: u8, access: Access) {
        self.linear(op, next, size);
        self.translate(size, access);
    }

    /// RAX = the linear address of the memory operand. Clobbers RCX and EFLAGS.
    pub fn linear(&mut self, op: &Op, next: u64, size: u8) {
        self.effective(op, next);
        let (base, plain) = match op.seg {
            seg::FS => (regs::FS_BASE, regs::PLAIN),
            seg::GS => (regs::GS_BASE, regs::PLAIN + 1),
            _ => return,
        };
        if self.long {
            dynasm!(self.asm ; .arch x64 ; add rax, [rbp + base]);
            return;
        }
        // The other segments are flat; of these two only the base may differ. An operand that
        // wraps around 4 GiB is beyond the limit.
        let slow = self.slow();
        dynasm!(self.asm
            ; .arch x64
            ; cmp BYTE [rbp + plain], 0
            ; je =>slow
            ; cmp eax, -i32::from(size)
            ; ja =>slow
            ; add eax, [rbp + base]
        );
    }

    /// RDX = where the `size` bytes at linear address RAX lie in the host. Clobbers RCX, EFLAGS.
    pub fn translate(&mut self, size: u8, access: Access) {
        self.flags.host = 0;
        let slow = self.slow();
        let table = table(access);
        dynasm!(self.asm
            ; .arch x64
            ; mov ecx, eax
            ; shr ecx, 8
            ; and ecx, ((WAYS - 1) * ENTRY) as i32
            ; add rcx, [rbp + regs::TLB]
            ; mov rdx, rax
            ; sub rdx, [rcx + table + TAG]
            ; cmp rdx, PAGE_SIZE as i32 - i32::from(size)
            ; ja =>slow
            ; add rdx, [rcx + table + OFFSET]
            ; add rdx, [rbp + regs::MEMORY]
        );
    }

    /// The label of the code that hands the current instruction to the interpreter.
    pub fn slow(&mut self) -> DynamicLabel {
        match self.slow {
            Some(label) => label,
            None => {
                let label = self.asm.new_dynamic_label();
                self.slow = Some(label);
                label
            }
        }
    }

    /// Loads from [RDX] into a host register: words and bytes into its lower part.
    pub fn fetch(&mut self, size: u8, reg: u8) {
        sized(self.asm, size, &[0x8a], reg, Rm::Mem(RDX, 0));
    }
}
