//! Loads and stores: each does what the handler of the same group in `dejavm_interp::aarch64::ldst` does
//! when the TLB's hit path is good enough for it.

use super::block::{Compiler, Plan, Step};
use super::emit::{Rm, extend, get, load, load_imm, put, sized, source, store, wide};
use super::mem::LITERAL;
use super::regs::host::{RAX, RCX, RDX};
use super::regs::{self, SP, ZERO};
use dejavm_interp::aarch64::op::Op;
use dejavm_interp::aarch64::regs::{Cpu, Exclusive};
use dejavm_interp::tlb::Access;
use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};
use std::mem::offset_of;

/// Offsets of the exclusive monitor's fields in the CPU; the place and the size are one unit of 16 bytes.
const VALUE: i32 = (offset_of!(Cpu, exclusive) + offset_of!(Exclusive, value)) as i32;
const PLACE: i32 = (offset_of!(Cpu, exclusive) + offset_of!(Exclusive, place)) as i32;
const SIZE: i32 = (offset_of!(Cpu, exclusive) + offset_of!(Exclusive, size)) as i32;
const _: () = assert!(PLACE % 16 == 0 && SIZE == PLACE + 8);

fn xsp(n: u8) -> u8 {
    if n == 31 { SP } else { n }
}

/// Bytes of a vector register operand of a single-register instruction.
fn vector_size(op: &Op) -> u8 {
    if op.bits(23, 23) != 0 { 16 } else { 1 << op.bits(31, 30) }
}

/// True for the register-pair group.
fn is_pair(op: &Op) -> bool {
    op.bits(29, 27) == 0b101
}

/// True for the group of exclusives, ordered accesses and compare-and-swap.
fn is_ordered(op: &Op) -> bool {
    op.bits(29, 24) == 0b001000
}

/// True for LDR (literal) and its kin.
fn is_literal(op: &Op) -> bool {
    op.bits(29, 27) == 0b011 && op.bits(25, 24) == 0
}

/// Pre-indexed and post-indexed accesses change their base.
fn writes_back(op: &Op) -> bool {
    if is_pair(op) {
        op.bits(23, 23) != 0
    } else {
        op.bits(29, 27) == 0b111 && op.bits(24, 24) == 0 && op.bits(21, 21) == 0 && op.bits(10, 10) != 0
    }
}

/// True for LDADD and its kin.
fn is_atomic(op: &Op) -> bool {
    op.bits(29, 24) == 0b111000 && op.bits(21, 21) != 0 && op.bits(11, 10) == 0
}

/// PRFM and PRFUM.
fn is_prefetch(op: &Op) -> bool {
    op.bits(26, 26) == 0
        && op.bits(31, 30) == 3
        && (is_literal(op) || op.bits(29, 27) == 0b111 && op.bits(23, 22) == 2 && !is_atomic(op))
}

/// LD1 and ST1 of one to four whole registers: how many.
fn multiple(op: &Op) -> Option<u8> {
    let fits = op.word & 0xbf20_0000 == 0x0c00_0000 && (op.bits(23, 23) != 0 || op.rm == 0);
    match op.bits(15, 12) {
        0b0111 if fits => Some(1),
        0b1010 if fits => Some(2),
        0b0110 if fits => Some(3),
        0b0010 if fits => Some(4),
        _ => None,
    }
}

/// LD1R.
fn is_replicate(op: &Op) -> bool {
    op.word & 0xbf60_f000 == 0x0d40_c000 && std::is_x86_feature_detected!("ssse3")
}

/// How an access is compiled, or `None`. The word is allocated.
pub fn plan(op: &Op) -> Option<Plan> {
    let plan = Some(Plan { reads: false, kills: false, exits: true });
    let vector = op.bits(26, 26) != 0;
    if is_prefetch(op) {
        return Some(Plan { reads: false, kills: false, exits: false });
    }
    if is_ordered(op) {
        // LDXR, STXR; LDAR, STLR; CAS.
        return match (op.bits(23, 23), op.bits(21, 21)) {
            (0, 0) => plan,
            (1, 0) => plan,
            (1, 1) if op.bits(31, 30) >= 2 => plan,
            _ => None,
        };
    }
    if is_literal(op) {
        return plan;
    }
    if is_pair(op) {
        // A register that is loaded and written back keeps the address.
        let lost = !vector
            && op.bits(22, 22) != 0
            && writes_back(op)
            && op.rn != 31
            && (op.rd == op.rn || op.ra == op.rn);
        return if lost { None } else { plan };
    }
    if op.bits(29, 27) != 0b111 {
        let structure = multiple(op).is_some() || is_replicate(op);
        return if structure { plan } else { None };
    }
    if op.bits(24, 24) == 0 {
        let register = op.bits(21, 21) != 0;
        match (register, op.bits(11, 10)) {
            // Atomics: not the minimum and maximum.
            (true, 0) => {
                let fits = op.imm <= 3 || op.imm == 8;
                return if fits && op.bits(31, 30) >= 2 { plan } else { None };
            }
            (true, 2) | (false, _) => {}
            _ => return None,
        }
        let loads = vector || op.bits(23, 22) != 0;
        if writes_back(op) && !vector && loads && op.rd == op.rn && op.rn != 31 {
            return None;
        }
    }
    plan
}

impl Compiler<'_> {
    /// Emits an access that [`plan`] accepted.
    pub fn memory(&mut self, s: &Step) {
        let op = &s.op;
        if is_prefetch(op) {
            return;
        }
        if op.bits(26, 26) != 0 {
            self.need_simd();
        }
        if is_ordered(op) {
            return match (op.bits(23, 21) & 5, op.bits(22, 22)) {
                (0, 0) => self.store_exclusive(op),
                (0, _) => self.load_exclusive(op),
                (4, _) => self.ordered(op),
                _ => self.compare_and_swap(op),
            };
        }
        if is_literal(op) {
            load_imm(self.asm, RAX, s.pc.wrapping_add(op.imm));
            return self.literal(op);
        }
        if is_pair(op) {
            return self.pair(op);
        }
        if op.bits(29, 27) != 0b111 {
            return self.structure(op);
        }
        self.single(op);
    }

    /// LD1 and ST1 of whole registers, LD1R.
    fn structure(&mut self, op: &Op) {
        let rn = xsp(op.rn);
        let (load, post) = (op.bits(22, 22) != 0, op.bits(23, 23) != 0);
        let access = if load { Access::Read } else { Access::Write };
        let element = 1 << op.bits(11, 10);
        let whole = if op.bits(30, 30) != 0 { 16 } else { 8 };
        self.address(rn, 0);
        let total = match multiple(op) {
            Some(n) => {
                self.translate_by(regs::TLB, n * whole, element, access);
                for i in 0..n {
                    let (at, register) = (i32::from(i * whole), op.rd.wrapping_add(i) & 31);
                    if load {
                        self.load_vector(at, whole, register);
                    } else {
                        self.store_vector(at, whole, register);
                    }
                }
                n * whole
            }
            None => {
                self.translate(rn, element, element, access);
                self.load_vector(0, element, op.rd);
                self.replicate(op.rd, element, whole);
                element
            }
        };
        if !post {
            return;
        }
        if op.rm == 31 {
            return self.write_back(rn, total.into());
        }
        let by = source(self.asm, 8, op.rm, RAX);
        sized(self.asm, 8, &[0x00], by, super::emit::home(rn));
        self.sp_aligned &= rn != SP;
    }

    fn literal(&mut self, op: &Op) {
        if op.bits(26, 26) != 0 {
            let size = 4 << op.bits(31, 30);
            self.translate(LITERAL, size, size, Access::Read);
            self.load_vector(0, size, op.rd);
            return;
        }
        let (size, opc) = match op.bits(31, 30) {
            0 => (4, 1),
            1 => (8, 1),
            _ => (4, 2),
        };
        self.translate(LITERAL, size, size, Access::Read);
        self.load_from(0, size, opc, op.rd);
    }

    fn single(&mut self, op: &Op) {
        let rn = xsp(op.rn);
        let register = op.bits(24, 24) == 0 && op.bits(21, 21) != 0;
        if register && op.bits(11, 10) == 0 {
            return self.atomic(op);
        }
        let vector = op.bits(26, 26) != 0;
        let back = writes_back(op);
        let post = back && op.bits(11, 10) == 1;
        if register {
            self.address_indexed(rn, op.rm, op.bits(15, 13), op.imm as u32);
        } else {
            self.address(rn, if post { 0 } else { op.imm });
        }
        let opc = op.bits(23, 22);
        if vector {
            let size = vector_size(op);
            let access = if opc & 1 != 0 { Access::Read } else { Access::Write };
            self.translate(rn, size, size, access);
            if opc & 1 != 0 {
                self.load_vector(0, size, op.rd);
            } else {
                self.store_vector(0, size, op.rd);
            }
        } else {
            let size = 1 << op.bits(31, 30);
            let access = if opc == 0 { Access::Write } else { Access::Read };
            // LDTR and STTR have EL0's rights at EL1.
            let unprivileged = self.el == 1 && op.bits(24, 24) == 0 && !register && op.bits(11, 10) == 2;
            if unprivileged {
                self.translate_by(regs::USER_TLB, size, size, access);
            } else {
                self.translate(rn, size, size, access);
            }
            if opc == 0 {
                self.store_to(0, size, op.rd);
            } else {
                self.load_from(0, size, opc, op.rd);
            }
        }
        if back {
            self.write_back(rn, op.imm);
        }
    }

    fn pair(&mut self, op: &Op) {
        let rn = xsp(op.rn);
        let (vector, load) = (op.bits(26, 26) != 0, op.bits(22, 22) != 0);
        let post = op.bits(24, 23) == 1;
        let opc = op.bits(31, 30);
        let size: u8 = match (vector, opc) {
            (true, _) => 4 << opc,
            (false, 2) => 8,
            _ => 4,
        };
        self.address(rn, if post { 0 } else { op.imm });
        let access = if load { Access::Read } else { Access::Write };
        if size == 4 || size == 8 && rn == SP && (post || op.imm & 15 == 0) {
            self.translate(rn, 2 * size, size, access);
        } else {
            // Often not aligned to the size of both.
            self.translate_by(regs::TLB, 2 * size, size, access);
        }
        for (disp, guest) in [(0, op.rd), (i32::from(size), op.ra)] {
            match (vector, load) {
                (true, true) => self.load_vector(disp, size, guest),
                (true, false) => self.store_vector(disp, size, guest),
                (false, true) => self.load_from(disp, size, if opc == 1 { 2 } else { 1 }, guest),
                (false, false) => self.store_to(disp, size, guest),
            }
        }
        if writes_back(op) {
            self.write_back(rn, op.imm);
        }
    }

    /// LDAR, LDLAR, STLR, STLLR.
    fn ordered(&mut self, op: &Op) {
        let size = 1 << op.bits(31, 30);
        self.address(xsp(op.rn), 0);
        self.must_align(size);
        if op.bits(22, 22) != 0 {
            self.translate(xsp(op.rn), size, 1, Access::Read);
            self.load_from(0, size, 1, op.rd);
        } else {
            self.translate(xsp(op.rn), size, 1, Access::Write);
            self.store_to(0, size, op.rd);
        }
    }

    /// LDXR, LDAXR.
    fn load_exclusive(&mut self, op: &Op) {
        let size = 1 << op.bits(31, 30);
        self.address(xsp(op.rn), 0);
        self.must_align(size);
        self.translate(xsp(op.rn), size, 1, Access::Read);
        extend(self.asm, false, 4, size, RAX, Rm::Mem(RDX, 0));
        self.cpu();
        dynasm!(self.asm
            ; .arch x64
            ; sub rdx, [rbp + regs::MEMORY]
            ; mov [rcx + VALUE], rax
            ; mov QWORD [rcx + VALUE + 8], 0
            ; mov [rcx + PLACE], rdx
            ; mov QWORD [rcx + SIZE], i32::from(size)
        );
        put(self.asm, op.rd, RAX);
    }

    /// STXR, STLXR: the monitor is open afterwards in any case.
    fn store_exclusive(&mut self, op: &Op) {
        let size = 1 << op.bits(31, 30);
        self.address(xsp(op.rn), 0);
        self.must_align(size);
        self.translate(xsp(op.rn), size, 1, Access::Write);
        self.cpu();
        let (fail, end) = (self.asm.new_dynamic_label(), self.asm.new_dynamic_label());
        dynasm!(self.asm
            ; .arch x64
            ; mov rax, rdx
            ; sub rax, [rbp + regs::MEMORY]
            ; cmp rax, [rcx + PLACE]
            ; jne =>fail
            ; cmp QWORD [rcx + SIZE], i32::from(size)
            ; jne =>fail
        );
        extend(self.asm, false, 4, size, RAX, Rm::Mem(RDX, 0));
        dynasm!(self.asm ; .arch x64 ; cmp rax, [rcx + VALUE] ; jne =>fail);
        get(self.asm, 8, RAX, op.rd);
        sized(self.asm, size, &[0x88], RAX, Rm::Mem(RDX, 0));
        dynasm!(self.asm
            ; .arch x64
            ; xor eax, eax
            ; jmp =>end
            ; =>fail
            ; mov eax, 1
            ; =>end
            ; xorps xmm0, xmm0
            ; movaps [rcx + VALUE], xmm0
            ; movaps [rcx + PLACE], xmm0
        );
        put(self.asm, op.rm, RAX);
    }

    /// CAS of 4 and 8 bytes.
    fn compare_and_swap(&mut self, op: &Op) {
        let size = 1 << op.bits(31, 30);
        self.address(xsp(op.rn), 0);
        self.must_align(size);
        self.translate(xsp(op.rn), size, 1, Access::Write);
        get(self.asm, size, RAX, op.rm);
        get(self.asm, 8, RCX, op.rd);
        // CMPXCHG leaves what was there in RAX, unless it is that already.
        wide(self.asm, size, &[0x0f, 0xb1], RCX, Rm::Mem(RDX, 0));
        if size == 4 {
            load(self.asm, 4, RAX, Rm::Reg(RAX));
        }
        put(self.asm, op.rm, RAX);
    }

    /// LDADD, LDCLR, LDEOR, LDSET, SWP of 4 and 8 bytes.
    fn atomic(&mut self, op: &Op) {
        let size = 1 << op.bits(31, 30);
        self.address(xsp(op.rn), 0);
        self.must_align(size);
        self.translate(xsp(op.rn), size, 1, Access::Write);
        let at = Rm::Mem(RDX, 0);
        load(self.asm, size, RAX, at);
        get(self.asm, size, RCX, op.rm);
        match op.imm {
            0 => sized(self.asm, size, &[0x02], RCX, Rm::Reg(RAX)),
            1 => {
                sized(self.asm, size, &[0xf6], 2, Rm::Reg(RCX));
                sized(self.asm, size, &[0x22], RCX, Rm::Reg(RAX));
            }
            2 => sized(self.asm, size, &[0x32], RCX, Rm::Reg(RAX)),
            3 => sized(self.asm, size, &[0x0a], RCX, Rm::Reg(RAX)),
            _ => {}
        }
        store(self.asm, size, at, RCX);
        if op.rd != ZERO {
            put(self.asm, op.rd, RAX);
        }
    }
}
