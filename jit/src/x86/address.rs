//! Addresses of memory operands: what they are counted from, and how they are computed.

use super::block::Compiler;
use super::emit::{Asm, Rm, home, load, load_imm, wide};
use super::regs::host::{RAX, RCX, RDX};
use super::regs::{self, Recent};
use dejavm_interp::mem::{PAGE_SHIFT, PAGE_SIZE};
use dejavm_interp::tlb::Access;
use dejavm_interp::x86::op::{Op, REG_RIP, REG_ZERO};
use dejavm_interp::x86::regs::{gpr, seg};
use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};
use std::mem::size_of;

/// What an operand's address is counted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// General registers, or none.
    Registers {
        /// The base.
        base: u8,
        /// What is added, shifted.
        index: u8,
        /// By how many bits.
        scale: u8,
    },
    /// The address of the next instruction.
    Next(u64),
    /// The base of FS or GS.
    Segment(u8),
}

impl Base {
    /// A register alone.
    pub const fn register(base: u8) -> Self {
        Self::Registers { base, index: REG_ZERO, scale: 0 }
    }

    /// Offset from RBP of the translation to try first: for constants and segments that of the page, for the stack that
    /// of about this distance; for other registers, which change between one function and the next, as
    /// `value` says.
    pub fn slot(self, disp: i32, access: Access, user: bool, value: impl Fn(u8) -> u32) -> i32 {
        let near = disp.wrapping_add(0x800) >> PAGE_SHIFT;
        let (number, apart) = match self {
            Self::Registers { base: gpr::RSP, .. } => (gpr::RSP, near as u32),
            Self::Registers { base: REG_ZERO, index, .. } => (index, near as u32 ^ value(index)),
            Self::Registers { base, .. } => (base, near as u32 ^ value(base)),
            Self::Next(next) => (16, (next.wrapping_add(i64::from(disp) as u64) >> PAGE_SHIFT) as u32),
            Self::Segment(seg::FS) => (17, (disp >> PAGE_SHIFT) as u32),
            Self::Segment(_) => (18, (disp >> PAGE_SHIFT) as u32),
        };
        let number = usize::from(number);
        let number = if apart == 0 {
            number
        } else {
            let mixed = (apart ^ apart >> 4) as usize ^ number << 2;
            regs::RECENT_BASES + mixed % regs::RECENT_FAR
        };
        let set = usize::from(user) * 2 + usize::from(access == Access::Write);
        let number = number + set * (regs::RECENT_BASES + regs::RECENT_FAR);
        regs::RECENT + (number * size_of::<Recent>()) as i32
    }

    /// True when it depends on one of the general registers in the set.
    pub fn counts_from(self, set: u16) -> bool {
        let has = |r: u8| r < 16 && set >> r & 1 != 0;
        matches!(self, Self::Registers { base, index, .. } if has(base) || has(index))
    }
}

/// An operand that RDX still points to.
#[derive(Clone, Copy, Debug)]
pub struct Cached {
    /// What its address is counted from; a register has not changed since.
    pub base: Base,
    /// Its distance from there.
    pub disp: i32,
    /// Bytes that are known to lie in the page.
    pub size: i32,
    /// They may be written, not only read.
    pub write: bool,
    /// RDX is not where it lies, but what to add to its linear address.
    pub delta: bool,
    /// Its address is a multiple of 16.
    pub aligned: bool,
}

/// What an operand is wanted for.
#[derive(Clone, Copy, Debug, Default)]
pub struct How {
    /// RAX stays as it is until the operand is not needed any more.
    pub once: bool,
    /// Its address must be a multiple of 16.
    pub aligned: bool,
}

impl How {
    /// See [`How::once`].
    pub const ONCE: Self = Self { once: true, aligned: false };
    /// RAX may be needed for something else.
    pub const HELD: Self = Self { once: false, aligned: false };
}

/// REG = an address.
pub fn lea(asm: &mut Asm, reg: u8, from: u8, scale: u8, disp: i32) {
    match scale {
        0 if disp == 0 => load(asm, 8, reg, Rm::Reg(from)),
        0 => wide(asm, 8, &[0x8d], reg, Rm::Mem(from, disp)),
        1 => dynasm!(asm ; .arch x64 ; lea Rq(reg), [Rq(from) * 2 + disp]),
        2 => dynasm!(asm ; .arch x64 ; lea Rq(reg), [Rq(from) * 4 + disp]),
        _ => dynasm!(asm ; .arch x64 ; lea Rq(reg), [Rq(from) * 8 + disp]),
    }
}

impl Cached {
    /// How far the operand at `disp` from `base` lies from this one, if that is known.
    pub fn distance(&self, base: Base, disp: i32) -> Option<i32> {
        let by = match (self.base, base) {
            (Base::Next(a), Base::Next(b)) => {
                let from = a.wrapping_add(i64::from(self.disp) as u64);
                b.wrapping_add(i64::from(disp) as u64).wrapping_sub(from) as i64
            }
            (a, b) if a == b => i64::from(disp) - i64::from(self.disp),
            _ => return None,
        };
        i32::try_from(by).ok().filter(|by| by.unsigned_abs() < PAGE_SIZE as u32)
    }

    /// True when its address depends on one of these registers.
    pub fn counts_from(&self, set: u16) -> bool {
        self.base.counts_from(set)
    }

    /// RSP, which is no index, has grown by `by`.
    pub fn stack_moved(&mut self, by: i32) {
        if matches!(self.base, Base::Registers { base: 4, .. }) {
            self.disp = self.disp.wrapping_sub(by);
        }
    }

    /// A register has grown by `by`: the same operand, counted from there. None if that cannot be said.
    pub fn moved(self, register: u8, by: i32) -> Option<Self> {
        let Base::Registers { base, index, scale } = self.base else { return Some(self) };
        let times = i32::from(base == register) + if index == register { 1 << scale } else { 0 };
        Some(Self { disp: self.disp.checked_sub(by.checked_mul(times)?)?, ..self })
    }
}

/// The operand's address as a base that may be used again.
pub fn base(op: &Op, next: u64, long: bool) -> Option<(Base, i32)> {
    let segment = matches!(op.seg, seg::FS | seg::GS);
    if op.addrsize != if long { 8 } else { 4 } || segment && !long {
        return None;
    }
    let disp = op.disp as i64 as i32;
    let whole = i64::from(disp) as u64 == op.disp || !long;
    match (op.base, op.index) {
        (REG_RIP, _) if segment || !whole => None,
        (REG_RIP, _) => Some((Base::Next(next), disp)),
        (REG_ZERO, REG_ZERO) if segment && whole => Some((Base::Segment(op.seg), disp)),
        (REG_ZERO, REG_ZERO) => None,
        _ if segment => None,
        (base, index) => Some((Base::Registers { base, index, scale: op.scale }, disp)),
    }
}

/// What an instruction does to memory, as far as the operand before it cares.
#[derive(Clone, Copy, Debug)]
pub struct Touch {
    /// Where.
    pub base: Base,
    /// It writes.
    pub write: bool,
}

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
        self.sum(size, op.base, op.index, op.scale, disp);
    }

    /// RAX = the sum of base, scaled index and displacement. Clobbers RCX.
    fn sum(&mut self, size: u8, base: u8, index: u8, scale: u8, disp: i32) {
        let asm = &mut *self.asm;
        let mut place = |guest: u8, scratch: u8| match home(guest) {
            Rm::Reg(r) => r,
            m => {
                load(asm, size, scratch, m);
                scratch
            }
        };
        let base = (base != REG_ZERO).then(|| place(base, RAX));
        let index = (index != REG_ZERO).then(|| place(index, RCX));
        match (base, index) {
            (Some(b), None) => {
                if disp == 0 {
                    load(asm, size, RAX, Rm::Reg(b));
                } else {
                    wide(asm, size, &[0x8d], RAX, Rm::Mem(b, disp));
                }
            }
            (Some(b), Some(i)) => match (size, scale) {
                (8, 0) => dynasm!(asm ; .arch x64 ; lea rax, [Rq(b) + Rq(i) + disp]),
                (8, 1) => dynasm!(asm ; .arch x64 ; lea rax, [Rq(b) + Rq(i) * 2 + disp]),
                (8, 2) => dynasm!(asm ; .arch x64 ; lea rax, [Rq(b) + Rq(i) * 4 + disp]),
                (8, _) => dynasm!(asm ; .arch x64 ; lea rax, [Rq(b) + Rq(i) * 8 + disp]),
                (_, 0) => dynasm!(asm ; .arch x64 ; lea eax, [Rq(b) + Rq(i) + disp]),
                (_, 1) => dynasm!(asm ; .arch x64 ; lea eax, [Rq(b) + Rq(i) * 2 + disp]),
                (_, 2) => dynasm!(asm ; .arch x64 ; lea eax, [Rq(b) + Rq(i) * 4 + disp]),
                _ => dynasm!(asm ; .arch x64 ; lea eax, [Rq(b) + Rq(i) * 8 + disp]),
            },
            (None, Some(i)) => match (size, scale) {
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

    /// The operand's place where RDX is the distance of its page in the host: none if it does not count from one
    /// pinned register or a constant.
    pub fn direct(&self, base: Base, disp: i32) -> Option<Rm> {
        if !self.long {
            // Addresses wrap around at 4 GiB.
            return None;
        }
        match base {
            Base::Registers { base, index: REG_ZERO, .. } => {
                Some(Rm::Sum(RDX, super::regs::pinned(base)?, 0, disp))
            }
            Base::Registers { base: REG_ZERO, index, scale } => {
                Some(Rm::Sum(RDX, super::regs::pinned(index)?, scale, disp))
            }
            Base::Next(next) => {
                let at = next.wrapping_add(i64::from(disp) as u64);
                Some(Rm::Mem(RDX, i32::try_from(at as i64).ok()?))
            }
            _ => None,
        }
    }

    /// RAX = the linear address `disp` from `base`.
    pub fn address(&mut self, base: Base, disp: i32) {
        let size = self.word();
        match base {
            Base::Registers { base, index, scale } => self.sum(size, base, index, scale, disp),
            Base::Next(next) => {
                let at = next.wrapping_add(i64::from(disp) as u64);
                load_imm(self.asm, RAX, if self.long { at } else { at & 0xffff_ffff });
            }
            Base::Segment(s) => {
                load_imm(self.asm, RAX, i64::from(disp) as u64);
                let base = if s == seg::FS { regs::FS_BASE } else { regs::GS_BASE };
                dynasm!(self.asm ; .arch x64 ; add rax, [rbp + base]);
            }
        }
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
}
