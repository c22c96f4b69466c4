//! Memory operands: the address, and the software TLB's hit path. A miss hands the whole
//! instruction to the interpreter, before it has changed anything.
//!
//! An aligned operand is first looked for in the page that the last one with the same base register lay in
//! ([`Recent`]): that costs half the instructions, and its loads do not wait for the address. What is kept there
//! holds while the TLB drops nothing of the space, see `fill` in [`super::entry`].

use super::block::Compiler;
use super::emit::{Rm, extend, get, lea, load, load_imm, put, sized, source, store, target, wide};
use super::regs;
use super::regs::host::{RAX, RCX, RDX};
use super::regs::{Recent, SP, ZERO};
use crate::hit::{ENTRY, OFFSET, TAG, table};
use dejavm_interp::mem::PAGE_SIZE;
use dejavm_interp::tlb::{Access, WAYS};
use dynasmrt::{DynamicLabel, DynasmApi, DynasmLabelApi, dynasm};
use std::mem::{offset_of, size_of};

const PAGE: i32 = offset_of!(Recent, page) as i32;
const DELTA: i32 = offset_of!(Recent, delta) as i32;

/// What stands for a base register where the address is a constant.
pub const LITERAL: u8 = ZERO;

/// An operand whose page is not the one that the base register pointed to last.
pub struct Other {
    /// The code that finds it.
    pub label: DynamicLabel,
    /// Where that goes on with RDX.
    pub back: DynamicLabel,
    size: u8,
    access: Access,
    /// Where what it finds is kept.
    slot: i32,
    /// Where it goes when the TLB does not have it.
    slow: DynamicLabel,
}

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

    /// RDX = where the `size` bytes at address RAX lie in the host, which was counted from register `base`. Accesses of
    /// which each part has `align` bytes must be aligned where the guest asked for it. Clobbers RAX, RCX and EFLAGS.
    pub fn translate(&mut self, base: u8, size: u8, align: u8, access: Access) {
        if self.el > 1 || !size.is_power_of_two() || size > 16 {
            return self.translate_by(regs::TLB, size, align, access);
        }
        self.check_alignment(align);
        let slow = self.slow();
        let (label, back) = (self.asm.new_dynamic_label(), self.asm.new_dynamic_label());
        let number = (usize::from(self.el) * 2 + access as usize) * regs::SLOTS + usize::from(base);
        let slot = regs::RECENT + (number * size_of::<Recent>()) as i32;
        // Aligned to its size it does not cross a page.
        let bits = -(PAGE_SIZE as i32) | i32::from(size - 1);
        dynasm!(self.asm
            ; .arch x64
            ; mov rcx, rax
            ; and rcx, bits
            ; cmp rcx, [rbp + slot + PAGE]
            ; jne =>label
            ; mov rdx, [rbp + slot + DELTA]
            ; add rdx, rax
            ; =>back
        );
        self.others.push(Other { label, back, size, access, slot, slow });
    }

    /// Emits what finds an operand by the TLB, and keeps its page.
    pub fn find_other(&mut self, o: &Other) {
        dynasm!(self.asm ; .arch x64 ; =>o.label);
        self.probe(regs::TLB, o.size, o.access, o.slow);
        let table = table(o.access);
        dynasm!(self.asm
            ; .arch x64
            ; mov rax, [rcx + table + TAG]
            ; mov [rbp + o.slot + PAGE], rax
            ; neg rax
            ; add rax, [rcx + table + OFFSET]
            ; add rax, [rbp + regs::MEMORY]
            ; mov [rbp + o.slot + DELTA], rax
            ; jmp =>o.back
        );
    }

    /// The same by the space of the TLB whose address lies at `tlb` in the context, and without looking at the base.
    pub fn translate_by(&mut self, tlb: i32, size: u8, align: u8, access: Access) {
        self.check_alignment(align);
        let slow = self.slow();
        self.probe(tlb, size, access, slow);
    }

    /// Hands the instruction over when the address RAX is misaligned and the guest asked for that to be a fault.
    fn check_alignment(&mut self, align: u8) {
        self.flags.host = false;
        if self.strict && align > 1 {
            let slow = self.slow();
            dynasm!(self.asm ; .arch x64 ; test al, align as i8 - 1 ; jnz =>slow);
        }
    }

    fn probe(&mut self, tlb: i32, size: u8, access: Access, miss: DynamicLabel) {
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
            ; ja =>miss
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
            m => {
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
