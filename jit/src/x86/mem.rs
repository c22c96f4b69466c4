//! Memory operands: the address, and the software TLB's hit path. A miss calls code that all blocks
//! share; what takes more than a walk through the page tables hands the whole instruction to the
//! interpreter, before it has changed anything.
//!
//! An aligned operand is first looked for in the page that the last one from the same place with the same base lay
//! in ([`Recent`]): that costs half the instructions, and its loads do not wait for the address. What is
//! kept there holds while the TLB drops nothing of the space.
//!
//! RDX goes on pointing to an operand until something else needs it: the next operand with the same
//! base is reached from there when it lies in the same page. A permission to write serves for reading
//! too. After the interpreter ran, the TLB is asked again.

use super::address::{Base, Cached, How, base, lea};
use super::block::Compiler;
use super::emit::{Rm, sized, wide};
use super::regs::host::{RAX, RBP, RCX, RDX};
use super::regs::{self, Recent};
pub use crate::hit::{ENTRY, OFFSET, TAG, table};
use dejavm_interp::mem::PAGE_SIZE;
use dejavm_interp::tlb::{Access, WAYS};
use dejavm_interp::x86::op::Op;
use dynasmrt::{DynamicLabel, DynasmApi, DynasmLabelApi, dynasm};
use std::mem::{offset_of, size_of};

pub(super) const PAGE: i32 = offset_of!(Recent, page) as i32;
pub(super) const DELTA: i32 = offset_of!(Recent, delta) as i32;
/// Offset from RBP of a translation that nobody uses.
const NOWHERE: i32 = regs::RECENT + ((regs::RECENT_BASES - 1) * size_of::<Recent>()) as i32;

/// A way out of line: the translation used last is another one, or the TLB has none.
#[derive(Clone, Copy, Debug)]
pub struct Miss {
    label: DynamicLabel,
    back: DynamicLabel,
    size: u8,
    access: Access,
    /// Place of the translation used last, or 0.
    slot: i32,
    /// Where to go if the access takes more.
    slow: DynamicLabel,
    /// See [`How::aligned`].
    aligned: bool,
    /// The address, unless it is in RAX.
    address: Option<(Base, i32)>,
    /// The address, if the code at `back` expects it in RAX.
    again: Option<(Base, i32)>,
}

impl Compiler<'_> {
    /// Where the memory operand of `size` bytes lies in the host. Clobbers RAX, RCX, RDX, EFLAGS; the place
    /// counts from RDX, and where `how` says so from RAX.
    pub fn operand(&mut self, op: &Op, next: u64, size: u8, access: Access, how: How) -> Rm {
        if let Some((base, disp)) = base(op, next, self.long) {
            return self.access(base, disp, size, access, how);
        }
        self.linear(op, next, size);
        self.translate(size, access);
        self.cached = None;
        if how.aligned {
            self.check_alignment(Rm::Mem(RDX, 0));
        }
        Rm::Mem(RDX, 0)
    }

    /// Where `size` bytes at `disp` from `base` lie in the host, as for [`Compiler::operand`].
    pub fn access(&mut self, base: Base, disp: i32, size: u8, access: Access, how: How) -> Rm {
        let end = |by: i32| by + i32::from(size);
        if let Some(c) = self.cached.filter(|c| c.write || access == Access::Read)
            && let Some(by) = c.distance(base, disp)
        {
            if by >= 0 && end(by) <= c.size {
                if how.aligned && !(c.aligned && by % 16 == 0) {
                    self.address(base, disp);
                    self.check_alignment(Rm::Mem(RAX, 0));
                }
                return if c.delta { self.direct(base, disp) } else { None }.unwrap_or(Rm::Mem(RDX, by));
            }
            if !c.delta && (by >= 0 || end(by) <= c.size) {
                // In the same page? The host's page is the guest's.
                let far = self.asm.new_dynamic_label();
                let back = self.asm.new_dynamic_label();
                let edge = if by < 0 { by } else { end(by) - 1 };
                self.flags.host = 0;
                dynasm!(self.asm
                    ; .arch x64
                    ; lea ecx, [rdx + edge]
                    ; xor ecx, edx
                    ; test ecx, -(PAGE_SIZE as i32)
                    ; jnz =>far
                    ; lea rdx, [rdx + by]
                    ; =>back
                );
                let cached =
                    Cached { base, disp, size: size.into(), write: c.write, delta: false, aligned: false };
                let slow = self.slow();
                self.far.push((far, back, cached, slow));
                self.cached = Some(cached);
                if how.aligned {
                    self.check_alignment(Rm::Mem(RDX, 0));
                }
                return Rm::Mem(RDX, 0);
            }
        }
        let access = if self.written_next(base) { Access::Write } else { access };
        self.recent(base, disp, size, access, how)
    }

    /// Hands the instruction over unless the address is a multiple of 16. Clobbers RCX.
    fn check_alignment(&mut self, at: Rm) {
        let slow = self.slow();
        self.flags.host = 0;
        wide(self.asm, 8, &[0x8d], RCX, at);
        dynasm!(self.asm ; .arch x64 ; test cl, 15 ; jnz =>slow);
    }

    /// Makes RDX point to an operand.
    pub fn point(&mut self, at: Rm) {
        self.cached = None;
        if at != Rm::Mem(RDX, 0) {
            wide(self.asm, 8, &[0x8d], RDX, at);
        }
    }

    /// True when one of the next instructions writes there too: then the permission to write is asked
    /// for at once.
    fn written_next(&self, base: Base) -> bool {
        for s in self.following.iter().take(12) {
            match s.touch {
                _ if s.plan.is_none() => return false,
                Some(t) if t.base != base => return false,
                Some(t) if t.write => return true,
                _ => {}
            }
            if base.counts_from(s.writes) {
                return false;
            }
        }
        false
    }

    /// Emits what translates a cached operand anew, and sets ZF if it could.
    pub fn again(&mut self, c: Cached) {
        self.address(c.base, c.disp);
        self.ask(c.size, if c.write { Access::Write } else { Access::Read }, 0);
    }

    /// Makes RDX the distance that [`Compiler::direct`] counts from, after [`Compiler::again`].
    pub fn restore(&mut self, c: Cached) {
        if c.delta {
            self.address(c.base, c.disp);
            dynasm!(self.asm ; .arch x64 ; sub rdx, rax);
        }
    }

    /// Emits the way out of line of [`Compiler::recent`] and [`Compiler::translate`].
    pub fn miss(&mut self, m: Miss) {
        dynasm!(self.asm ; .arch x64 ; =>m.label);
        if let Some((base, disp)) = m.address {
            self.address(base, disp);
        }
        if m.aligned {
            dynasm!(self.asm ; .arch x64 ; test al, 15 ; jnz =>m.slow);
        }
        self.ask(m.size.into(), m.access, m.slot);
        if let Some((base, disp)) = m.again {
            dynasm!(self.asm ; .arch x64 ; jnz =>m.slow);
            self.address(base, disp);
            dynasm!(self.asm ; .arch x64 ; jmp =>m.back);
        } else {
            dynasm!(self.asm ; .arch x64 ; jz =>m.back ; jmp =>m.slow);
        }
    }

    /// Emits a call of [`super::block::Shared::miss_read`] or `miss_write`.
    pub fn ask(&mut self, size: i32, access: Access, slot: i32) {
        let slot = if slot == 0 { NOWHERE } else { slot };
        let limit = PAGE_SIZE as i32 - size;
        dynasm!(self.asm ; .arch x64 ; mov ecx, slot ; mov edx, limit);
        self.call(if access == Access::Write { self.shared.miss_write } else { self.shared.miss_read });
    }

    /// RDX = where the `size` bytes at linear address RAX lie in the host. Clobbers RCX, EFLAGS.
    pub fn translate(&mut self, size: u8, access: Access) {
        self.flags.host = 0;
        let slow = self.slow();
        let (miss, back) = (self.asm.new_dynamic_label(), self.asm.new_dynamic_label());
        self.probe(size, access, miss);
        dynasm!(self.asm ; .arch x64 ; =>back);
        let none = None;
        let m = Miss {
            label: miss,
            back,
            size,
            access,
            slot: 0,
            slow,
            aligned: false,
            address: none,
            again: none,
        };
        self.misses.push(m);
    }

    /// The place of an operand, through the translation that was used last with this base.
    fn recent(&mut self, base: Base, disp: i32, size: u8, access: Access, how: How) -> Rm {
        self.flags.host = 0;
        let slow = self.slow();
        let (label, back) = (self.asm.new_dynamic_label(), self.asm.new_dynamic_label());
        let slot = base.slot(disp, access, self.user, |register| {
            let written = self.written.get(usize::from(register)).copied().unwrap_or(0);
            (self.start ^ self.start >> 5 ^ self.start >> 10) as u32 ^ u32::from(written) * 37
        });
        // Aligned to a power of two it does not cross a page.
        let bits = -(PAGE_SIZE as i32) | i32::from(size.next_power_of_two() - 1);
        let write = access == Access::Write;
        let aligned = how.aligned;
        let mut m = Miss { label, back, size, access, slot, slow, aligned, address: None, again: None };
        let mut cached =
            Cached { base, disp, size: size.into(), write, delta: true, aligned: size == 16 && aligned };
        let direct = self.direct(base, disp);
        let constant = if let Some(Rm::Mem(_, at)) = direct { Some(at) } else { None };
        let inside = |at: i32| (at as u32 as u64 & (PAGE_SIZE - 1)) + u64::from(size) <= PAGE_SIZE;
        match (direct, constant) {
            (Some(rm), Some(at)) if inside(at) && (!aligned || at % 16 == 0) => {
                let within = at & (PAGE_SIZE as i32 - 1);
                dynasm!(self.asm
                    ; .arch x64
                    ; cmp QWORD [rbp + slot + PAGE], at - within
                    ; jne =>label
                    ; =>back
                    ; mov rdx, [rbp + slot + DELTA]
                );
                m.address = Some((base, disp));
                self.misses.push(m);
                // All of the page.
                self.cached = disp.checked_sub(within).map(|disp| Cached {
                    disp,
                    size: PAGE_SIZE as i32,
                    aligned: true,
                    ..cached
                });
                rm
            }
            (Some(rm @ Rm::Sum(_, r, scale, disp)), None) => {
                lea(self.asm, RCX, r, scale, disp);
                dynasm!(self.asm
                    ; .arch x64
                    ; and rcx, bits
                    ; cmp rcx, [rbp + slot + PAGE]
                    ; jne =>label
                    ; =>back
                    ; mov rdx, [rbp + slot + DELTA]
                );
                m.address = Some((base, disp));
                self.misses.push(m);
                self.cached = Some(cached);
                rm
            }
            _ => {
                self.address(base, disp);
                dynasm!(self.asm
                    ; .arch x64
                    ; mov rcx, rax
                    ; and rcx, bits
                    ; cmp rcx, [rbp + slot + PAGE]
                    ; jne =>label
                );
                if how.once {
                    dynasm!(self.asm ; .arch x64 ; =>back ; mov rdx, [rbp + slot + DELTA]);
                    m.again = Some((base, disp));
                    self.misses.push(m);
                    self.cached = None;
                    return Rm::Sum(RDX, RAX, 0, 0);
                }
                dynasm!(self.asm ; .arch x64 ; mov rdx, [rbp + slot + DELTA] ; add rdx, rax ; =>back);
                self.misses.push(m);
                cached.delta = false;
                self.cached = Some(cached);
                Rm::Mem(RDX, 0)
            }
        }
    }

    fn probe(&mut self, size: u8, access: Access, miss: DynamicLabel) {
        let table = table(access);
        let asm = &mut *self.asm;
        dynasm!(asm ; .arch x64 ; mov ecx, eax ; shr ecx, 8 ; and ecx, ((WAYS - 1) * ENTRY) as i32);
        wide(asm, 8, &[0x03], RCX, Rm::Mem(RBP, regs::TLB));
        dynasm!(asm ; .arch x64 ; mov rdx, rax);
        wide(asm, 8, &[0x2b], RDX, Rm::Mem(RCX, table + TAG));
        dynasm!(asm ; .arch x64 ; cmp rdx, PAGE_SIZE as i32 - i32::from(size) ; ja =>miss);
        wide(asm, 8, &[0x03], RDX, Rm::Mem(RCX, table + OFFSET));
        wide(asm, 8, &[0x03], RDX, Rm::Mem(RBP, regs::MEMORY));
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

    /// Loads from memory into a host register: words and bytes into its lower part.
    pub fn fetch(&mut self, size: u8, reg: u8, at: Rm) {
        sized(self.asm, size, &[0x8a], reg, at);
    }
}
