//! Which vector registers are in the host's XMM registers.
//!
//! They lie in the CPU; within a block, those that are used stay in XMM2 to XMM15, and what changed there is
//! stored before the block is left or an instruction is handed over. XMM0 and XMM1 are scratch.
//!
//! An instruction that may be handed over halfway counts on what was changed before it being where it was at its
//! start: so some registers are stored at each start, and only those that are in the CPU too make room.

use super::block::Compiler;
use super::regs;
use super::regs::host::RCX;
use dejavm_interp::aarch64::regs::Cpu;
use dynasmrt::{DynasmApi, dynasm};
use std::mem::offset_of;

/// The first XMM register that holds guest registers.
const FIRST: usize = 2;
/// How many do.
const COUNT: usize = 14;
/// As many as an instruction may need at most.
const ROOM: usize = 6;

/// A guest register in a host register.
#[derive(Clone, Copy, Debug)]
struct Slot {
    guest: u8,
    /// It differs from the CPU's.
    dirty: bool,
    /// Bytes beyond which all are zero.
    size: u8,
    /// When it was used last.
    used: u32,
}

/// The state at a place in the code.
#[derive(Clone, Debug, Default)]
pub struct Vectors {
    slots: [Option<Slot>; COUNT],
    clock: u32,
}

impl Vectors {
    /// Guest and host register of what is in the host; `dirty`: only what is not in the CPU too.
    pub fn held(&self, dirty: bool) -> Vec<(u8, u8)> {
        let slots = self.slots.iter().enumerate();
        slots
            .filter_map(|(i, s)| s.filter(|s| s.dirty || !dirty).map(|s| (s.guest, (i + FIRST) as u8)))
            .collect()
    }

    fn find(&self, guest: u8) -> Option<usize> {
        self.slots.iter().position(|s| s.is_some_and(|s| s.guest == guest))
    }
}

/// Offset of a vector register in the CPU.
pub fn offset(n: u8) -> i32 {
    offset_of!(Cpu, v) as i32 + 16 * i32::from(n)
}

impl Compiler<'_> {
    /// Before an instruction: makes room for the registers that it needs.
    pub fn make_room(&mut self) {
        let clean = |s: &Option<Slot>| s.is_none_or(|s| !s.dirty);
        while self.vectors.slots.iter().filter(|s| clean(s)).count() < ROOM {
            let oldest = (0..COUNT).filter(|&i| !clean(&self.vectors.slots[i]));
            let Some(i) = oldest.min_by_key(|&i| self.vectors.slots[i].map_or(0, |s| s.used)) else { return };
            if let Some(s) = &mut self.vectors.slots[i] {
                s.dirty = false;
                let guest = s.guest;
                self.store_whole(guest, (i + FIRST) as u8);
            }
        }
    }

    fn store_whole(&mut self, guest: u8, xmm: u8) {
        self.cpu();
        dynasm!(self.asm ; .arch x64 ; movaps [Rq(RCX) + offset(guest)], Rx(xmm));
    }

    /// Stores what changed and forgets what is held.
    pub fn flush_vectors(&mut self) {
        let held = self.vectors.held(true);
        self.store_vectors(&held);
        self.vectors = Vectors::default();
    }

    /// Stores registers, given by guest and host register.
    pub fn store_vectors(&mut self, held: &[(u8, u8)]) {
        if held.is_empty() {
            return;
        }
        dynasm!(self.asm ; .arch x64 ; mov rcx, [rbp + regs::CPU]);
        for &(guest, xmm) in held {
            dynasm!(self.asm ; .arch x64 ; movaps [rcx + offset(guest)], Rx(xmm));
        }
    }

    /// Loads registers, given by guest and host register.
    pub fn load_vectors(&mut self, held: &[(u8, u8)]) {
        if held.is_empty() {
            return;
        }
        dynasm!(self.asm ; .arch x64 ; mov rcx, [rbp + regs::CPU]);
        for &(guest, xmm) in held {
            dynasm!(self.asm ; .arch x64 ; movaps Rx(xmm), [rcx + offset(guest)]);
        }
    }

    /// A host register for a guest register, which is not loaded.
    fn claim(&mut self, guest: u8) -> u8 {
        self.vectors.clock += 1;
        let used = self.vectors.clock;
        let i = self.vectors.find(guest).or_else(|| self.vectors.slots.iter().position(Option::is_none));
        let i = i.unwrap_or_else(|| {
            let clean = (0..COUNT).filter(|&i| self.vectors.slots[i].is_none_or(|s| !s.dirty));
            clean.min_by_key(|&i| self.vectors.slots[i].map_or(0, |s| s.used)).unwrap_or(0)
        });
        let old = self.vectors.slots[i].filter(|s| s.guest == guest);
        let (dirty, size) = old.map_or((false, 16), |s| (s.dirty, s.size));
        self.vectors.slots[i] = Some(Slot { guest, dirty, size, used });
        (i + FIRST) as u8
    }

    /// The host register that holds a guest register. May clobber RCX.
    pub fn vector(&mut self, guest: u8) -> u8 {
        let held = self.vectors.find(guest).is_some();
        let xmm = self.claim(guest);
        if !held {
            self.cpu();
            dynasm!(self.asm ; .arch x64 ; movaps Rx(xmm), [rcx + offset(guest)]);
        }
        xmm
    }

    /// The host register that is about to get a guest register's new value, of which all beyond `size` bytes is zero.
    /// Nothing that may leave the block follows.
    pub fn new_vector(&mut self, guest: u8, size: u8) -> u8 {
        let xmm = self.claim(guest);
        if let Some(s) = &mut self.vectors.slots[usize::from(xmm) - FIRST] {
            s.dirty = true;
            s.size = size;
        }
        xmm
    }

    /// As [`Compiler::new_vector`], before it is known whether the instruction is handed over: only where the guest
    /// register's old value is in the CPU too. After the operands.
    pub fn early_vector(&mut self, guest: u8, size: u8) -> Option<u8> {
        let dirty = self.vectors.find(guest).and_then(|i| self.vectors.slots[i]).is_some_and(|s| s.dirty);
        (!dirty).then(|| self.new_vector(guest, size))
    }

    /// True when a held register is known to be zero beyond `size` bytes.
    pub fn zero_above(&self, guest: u8, size: u8) -> bool {
        self.vectors.find(guest).and_then(|i| self.vectors.slots[i]).is_some_and(|s| s.size <= size)
    }

    /// The guest register becomes a scratch register's value. Nothing that may leave the block follows.
    pub fn set_vector(&mut self, guest: u8, size: u8, from: u8) {
        let xmm = self.new_vector(guest, size);
        dynasm!(self.asm ; .arch x64 ; movaps Rx(xmm), Rx(from));
    }

    /// A scratch register becomes the lowest `size` (4, 8, 16) bytes of a guest register, with zeros above.
    pub fn scalar(&mut self, to: u8, guest: u8, size: u8) {
        let xmm = self.vector(guest);
        let known = self.vectors.slots[usize::from(xmm) - FIRST].map_or(16, |s| s.size);
        match size {
            _ if known <= size => dynasm!(self.asm ; .arch x64 ; movaps Rx(to), Rx(xmm)),
            8 => dynasm!(self.asm ; .arch x64 ; movq Rx(to), Rx(xmm)),
            _ => {
                // No move of a single clears what is above it.
                dynasm!(self.asm ; .arch x64 ; xorps Rx(to), Rx(to) ; movss Rx(to), Rx(xmm));
            }
        }
    }
}
