//! The table of guest addresses that indirect branches go to.
//!
//! An entry tells where the code for a guest address lies and which translation of its page that
//! code was found through. It counts only while the TLB has the same translation for fetches.

use crate::emit::Asm;
use crate::hit::{ENTRY, OFFSET, TAG, table};
use dejavm_interp::mem::PAGE_SIZE;
use dejavm_interp::tlb::{Access, WAYS};
use dynasmrt::{DynamicLabel, DynasmApi, DynasmLabelApi, dynasm};
use std::mem::{offset_of, size_of};

/// Entries, a power of two.
const TARGETS: usize = 1 << 14;

/// Where the code for a guest address lies.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The guest address.
    rip: u64,
    /// Its page.
    page: u64,
    /// The page's place in the host mapping of guest memory.
    offset: u64,
    /// The host address of the code.
    code: u64,
}
const _: () = assert!(size_of::<Target>() == 32);

/// Offset of [`Target::code`].
pub const CODE: i32 = offset_of!(Target, code) as i32;

/// No code has an odd page.
const EMPTY: Target = Target { rip: 0, page: 1, offset: 0, code: 0 };

/// Targets of one mode.
pub struct Targets {
    entries: Box<[Target]>,
    /// Binary logarithm of what guest addresses of code are multiples of.
    align: u32,
    /// Something was noted since the table was empty.
    used: bool,
}

impl Targets {
    /// An empty table.
    pub fn new(align: u32) -> Self {
        Self { entries: vec![EMPTY; TARGETS].into_boxed_slice(), align, used: false }
    }

    fn index(&self, rip: u64) -> usize {
        ((rip ^ rip >> 12) >> self.align) as usize & (TARGETS - 1)
    }

    /// The code for `rip`, whose page lies at `page` now.
    pub fn find(&self, rip: u64, page: u64) -> Option<u64> {
        let t = &self.entries[self.index(rip)];
        (t.rip == rip && t.page == rip & !(PAGE_SIZE - 1) && t.offset == page).then_some(t.code)
    }

    /// Notes the code for `rip`.
    pub fn add(&mut self, rip: u64, page: u64, code: u64) {
        self.used = true;
        let i = self.index(rip);
        self.entries[i] = Target { rip, page: rip & !(PAGE_SIZE - 1), offset: page, code };
    }

    /// Forgets the code for `rip`.
    pub fn remove(&mut self, rip: u64) {
        let i = self.index(rip);
        let t = &mut self.entries[i];
        if t.rip == rip {
            *t = EMPTY;
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        if std::mem::take(&mut self.used) {
            self.entries.fill(EMPTY);
        }
    }

    /// Where the table lies, for compiled code.
    pub fn address(&self) -> u64 {
        self.entries.as_ptr() as u64
    }
}

/// RAX holds a guest address: RDX = its entry. Jumps to `miss` when there is none that counts.
/// Clobbers RCX and EFLAGS. `jumps` and `tlb`: offsets of the table's and the TLB's addresses from RBP.
pub fn look_up(asm: &mut Asm, jumps: i32, tlb: i32, align: u32, miss: DynamicLabel) {
    let fetch = table(Access::Fetch);
    dynasm!(asm
        ; .arch x64
        ; mov rdx, rax
        ; shr rdx, 12
        ; xor edx, eax
        ; and edx, ((TARGETS - 1) << align) as i32
        ; shl edx, 5 - align as i8
        ; add rdx, [rbp + jumps]
        ; cmp [rdx + offset_of!(Target, rip) as i32], rax
        ; jne =>miss
        ; mov ecx, eax
        ; shr ecx, 8
        ; and ecx, ((WAYS - 1) * ENTRY) as i32
        ; add rcx, [rbp + tlb]
        ; mov rax, [rdx + offset_of!(Target, page) as i32]
        ; cmp [rcx + fetch + TAG], rax
        ; jne =>miss
        ; mov rax, [rdx + offset_of!(Target, offset) as i32]
        ; cmp [rcx + fetch + OFFSET], rax
        ; jne =>miss
    );
}
