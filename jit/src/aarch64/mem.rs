//! Memory operands: the address, and the software TLB's hit path. A miss hands the whole
//! instruction to the interpreter, before it has changed anything.

use super::block::Compiler;
use super::emit::{Rm, extend, get, lea, load, load_imm, put, sized, source, store, target, wide};
use super::regs;
use super::regs::host::{RAX, RCX, RDX};
use super::regs::{SP, ZERO};
use crate::hit::{ENTRY, OFFSET, TAG, table};
use dejavm_interp::mem::PAGE_SIZE;
use dejavm_interp::tlb::{Access, WAYS};
use dynasmrt::{DynamicLabel, DynasmApi, DynasmLabelApi, dynasm};

impl Compiler<'_> {
    /// Hands the instruction over when the base register is a misaligned SP: whether that faults is the
    /// interpreter's business.
    pub fn check_sp(&mut self, base: u8) {
        if base == SP && !self.sp_aligned {
            let slow = self.slow();
            dynasm!(self.asm ; .arch x64 ; test r14b, 15 ; jnz =>slow);
            self.flags.host = false;
            self.sp_aligned = true;
        }
    }

    /// RAX = a base register plus a displacement.
    pub fn address(&mut self, base: u8, disp: u64) {
        self.check_sp(base);
        let r = source(self.asm, 8, base, RAX);
        match i32::try_from(disp as i64) {
            Ok(0) => load(self.asm, 8, RAX, Rm::Reg(r)),
            Ok(d) => lea(self.asm, 8, RAX, r, d),
            Err(_) => {
                load_imm(self.asm, RCX, disp);
                dynasm!(self.asm ; .arch x64 ; lea rax, [Rq(r) + rcx]);
            }
        }
    }

    /// RDX = where the `size` bytes at address RAX lie in the host. Accesses of which each part has `align`
    /// bytes must be aligned where the guest asked for it. Clobbers RCX and EFLAGS; RAX stays.
    pub fn translate(&mut self, size: u8, align: u8, access: Access) {
        self.translate_by(regs::TLB, size, align, access);
    }

    /// The same by the space of the TLB whose address lies at `tlb` in the context.
    pub fn translate_by(&mut self, tlb: i32, size: u8, align: u8, access: Access) {
        self.flags.host = false;
        let slow = self.slow();
        if self.strict && align > 1 {
            dynasm!(self.asm ; .arch x64 ; test al, align as i8 - 1 ; jnz =>slow);
        }
        let table = table(access);
        dynasm!(self.asm
            ; .arch x64
            ; mov ecx, eax
            ; shr ecx, 8
            ; and ecx, ((WAYS - 1) * ENTRY) as i32
            ; add rcx, [rbp + tlb]
            ; mov rdx, rax
            ; sub rdx, [rcx + table + TAG]
            ; cmp rdx, PAGE_SIZE as i32 - i32::from(size)
            ; ja =>slow
            ; add rdx, [rcx + table + OFFSET]
            ; add rdx, [rbp + regs::MEMORY]
        );
    }

    /// Hands the instruction over when the address RAX is not a multiple of `size`, which always faults.
    pub fn must_align(&mut self, size: u8) {
        if size > 1 {
            let slow = self.slow();
            self.flags.host = false;
            dynasm!(self.asm ; .arch x64 ; test al, size as i8 - 1 ; jnz =>slow);
        }
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

    /// Loads a guest register from [RDX + disp]; `opc` as in the instruction: 1 zero-extends, 2 sign-extends
    /// to 64 bits, 3 to 32.
    pub fn load_from(&mut self, disp: i32, size: u8, opc: u32, guest: u8) {
        if guest == ZERO {
            return;
        }
        let r = target(guest, RCX);
        extend(self.asm, opc >= 2, if opc == 2 { 8 } else { 4 }, size, r, Rm::Mem(RDX, disp));
        put(self.asm, guest, r);
    }

    /// Stores a guest register to [RDX + disp].
    pub fn store_to(&mut self, disp: i32, size: u8, guest: u8) {
        let at = Rm::Mem(RDX, disp);
        if guest == ZERO {
            sized(self.asm, size, &[0xc6], 0, at);
            match size {
                1 => self.asm.push(0),
                2 => self.asm.push_i16(0),
                _ => self.asm.push_i32(0),
            }
            return;
        }
        let r = source(self.asm, 8, guest, RCX);
        store(self.asm, size, at, r);
    }

    /// Adds a displacement to a base register.
    pub fn write_back(&mut self, base: u8, disp: u64) {
        let Ok(d) = i32::try_from(disp as i64) else { return };
        match super::emit::home(base) {
            Rm::Reg(r) => lea(self.asm, 8, r, r, d),
            m @ Rm::Mem(..) => {
                wide(self.asm, 8, &[0x81], 0, m);
                self.asm.push_i32(d);
            }
        }
        if base == SP {
            self.sp_aligned &= d & 15 == 0;
        }
    }

    /// RAX = a base register plus an extended and shifted index register.
    pub fn address_indexed(&mut self, base: u8, index: u8, option: u32, shift: u32) {
        self.check_sp(base);
        if index == ZERO {
            return self.address(base, 0);
        }
        let r = match option {
            2 => {
                get(self.asm, 4, RCX, index);
                RCX
            }
            6 => {
                extend(self.asm, true, 8, 4, RCX, super::emit::home(index));
                RCX
            }
            _ => source(self.asm, 8, index, RCX),
        };
        let b = source(self.asm, 8, base, RAX);
        match shift {
            0 => dynasm!(self.asm ; .arch x64 ; lea rax, [Rq(b) + Rq(r)]),
            1 => dynasm!(self.asm ; .arch x64 ; lea rax, [Rq(b) + Rq(r) * 2]),
            2 => dynasm!(self.asm ; .arch x64 ; lea rax, [Rq(b) + Rq(r) * 4]),
            3 => dynasm!(self.asm ; .arch x64 ; lea rax, [Rq(b) + Rq(r) * 8]),
            _ => {
                load(self.asm, 8, RCX, Rm::Reg(r));
                dynasm!(self.asm ; .arch x64 ; add rcx, rcx ; lea rax, [Rq(b) + rcx * 8]);
                self.flags.host = false;
            }
        }
    }
}
