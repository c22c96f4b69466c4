//! The table of guest addresses that indirect branches go to.
//!
//! An entry tells where the code for a guest address lies and which translation of its page that
//! code was found through. It counts only while the TLB has the same translation for fetches: while
//! the TLB's stamp is the one noted in the entry, or when both are compared.

use crate::emit::{Asm, Rm, wide};
use crate::hit::{ENTRY, OFFSET, TAG, table};
use crate::host::{RAX, RBP, RCX, RDX};
use dejavm_interp::mem::PAGE_SIZE;
use dejavm_interp::tlb::{Access, WAYS};
use dynasmrt::{DynamicLabel, DynasmApi, DynasmLabelApi, dynasm};
use std::mem::{offset_of, size_of};

/// Entries, a power of two.
const TARGETS: usize = 1 << 15;

/// Where the code for a guest address lies.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The guest address.
    rip: u64,
    /// The TLB's [`stamp`](dejavm_interp::tlb::Tlb::stamp) when compiled code last compared the
    /// translation.
    stamp: u64,
    /// The page's place in the host mapping of guest memory.
    offset: u64,
    /// The host address of the code.
    code: u64,
}
const _: () = assert!(size_of::<Target>() == 32);

/// Offset of [`Target::code`].
pub const CODE: i32 = offset_of!(Target, code) as i32;

/// Offset of [`Target::stamp`].
pub const STAMP: i32 = offset_of!(Target, stamp) as i32;
/// Offset of [`Target::offset`].
pub const PAGE: i32 = offset_of!(Target, offset) as i32;

/// No page lies at an odd place, and no TLB has the stamp 0.
const EMPTY: Target = Target { rip: 0, stamp: 0, offset: 1, code: 0 };

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
        (t.rip == rip && t.offset == page).then_some(t.code)
    }

    /// Notes the code for `rip`.
    pub fn add(&mut self, rip: u64, page: u64, code: u64) {
        self.used = true;
        let i = self.index(rip);
        self.entries[i] = Target { rip, stamp: 0, offset: page, code };
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
    pub fn address(&mut self) -> u64 {
        self.entries.as_mut_ptr() as u64
    }
}

/// RAX holds a guest address: RDX = its entry. Jumps to `miss` when there is none that counts.
/// Clobbers RAX, RCX and EFLAGS. `jumps` and `tlb`: offsets of the table's and the TLB's addresses from RBP; `align` as
/// for [`Targets::new`].
pub fn look_up(asm: &mut Asm, jumps: i32, tlb: i32, align: u32, miss: DynamicLabel) {
    find(asm, jumps, align, miss);
    compare(asm, tlb, miss);
}

/// The same, where the TLB's stamp at offset `stamp` from RBP tells most often that the entry counts.
/// If it does not, goes to `other` with RAX and RDX as [`renew`] wants them.
pub fn look_up_stamped(
    asm: &mut Asm,
    jumps: i32,
    stamp: i32,
    align: u32,
    miss: DynamicLabel,
    other: DynamicLabel,
) {
    find(asm, jumps, align, miss);
    wide(asm, 8, &[0x8b], RCX, Rm::Mem(RBP, stamp));
    wide(asm, 8, &[0x39], RCX, Rm::Mem(RDX, offset_of!(Target, stamp) as i32));
    dynasm!(asm ; .arch x64 ; jne =>other);
}

/// A function: compares the translation that the entry at RDX for the guest address RAX was found
/// through. Sets ZF if it counts, and notes the stamp. Clobbers RAX and RCX.
pub fn renew(asm: &mut Asm, tlb: i32, stamp: i32) {
    let fail = asm.new_dynamic_label();
    compare(asm, tlb, fail);
    dynasm!(asm
        ; .arch x64
        ; mov rcx, [rbp + stamp]
        ; mov [rdx + offset_of!(Target, stamp) as i32], rcx
        ; xor eax, eax
        ; =>fail
        ; ret
    );
}

/// RDX = the entry of guest address RAX, if that is what it is for.
fn find(asm: &mut Asm, jumps: i32, align: u32, miss: DynamicLabel) {
    dynasm!(asm
        ; .arch x64
        ; mov rdx, rax
        ; shr rdx, 12
        ; xor edx, eax
        ; and edx, ((TARGETS - 1) << align) as i32
        ; shl edx, 5 - align as i8
    );
    wide(asm, 8, &[0x03], RDX, Rm::Mem(RBP, jumps));
    wide(asm, 8, &[0x39], RAX, Rm::Mem(RDX, offset_of!(Target, rip) as i32));
    dynasm!(asm ; .arch x64 ; jne =>miss);
}

/// RCX = the offset of the TLB's entry for a fetch from RAX, see [`dejavm_interp::tlb::way`].
pub fn fetch_way(asm: &mut Asm) {
    const { assert!(WAYS == 1 << 12 && ENTRY == 1 << 4) };
    dynasm!(asm
        ; .arch x64
        ; mov rcx, rax
        ; shr rcx, 12
        ; xor rcx, rax
        ; shr ecx, 8
        ; and ecx, ((WAYS - 1) * ENTRY) as i32
    );
}

/// Goes to `miss` unless the TLB has the translation that the entry at RDX for RAX was found through.
fn compare(asm: &mut Asm, tlb: i32, miss: DynamicLabel) {
    let fetch = table(Access::Fetch);
    fetch_way(asm);
    dynasm!(asm
        ; .arch x64
        ; add rcx, [rbp + tlb]
        ; and rax, -(PAGE_SIZE as i32)
        ; cmp [rcx + fetch + TAG], rax
        ; jne =>miss
        ; mov rax, [rdx + offset_of!(Target, offset) as i32]
        ; cmp [rcx + fetch + OFFSET], rax
        ; jne =>miss
    );
}
