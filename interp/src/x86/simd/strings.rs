//! PCMPESTRI, PCMPESTRM, PCMPISTRI, PCMPISTRM (SDM volume 2, section 4.1).

use super::pack::{Lane, Pack};
use super::shape::Done;
use crate::x86::exec::{Exec, Flow};
use crate::x86::flags::bit;
use crate::x86::op::{Handler, Op};
use crate::x86::regs::gpr;
use crate::x86::word::Word;
use iced_x86::{Instruction, Mnemonic, OpKind};

/// Two strings of at most 16 bytes or 8 words; elements from the lengths on are invalid.
struct Strings {
    a: u128,
    b: u128,
    a_len: usize,
    b_len: usize,
}

/// Element `i`, extended to an order-preserving number.
fn element(v: u128, i: usize, imm: u8) -> i32 {
    match imm & 3 {
        0 => v.lane::<u8>(i).into(),
        1 => v.lane::<u16>(i).into(),
        2 => v.lane::<i8>(i).into(),
        _ => v.lane::<i16>(i).into(),
    }
}

/// Elements of an operand.
fn elements(imm: u8) -> usize {
    if imm & 1 == 0 { 16 } else { 8 }
}

/// The length that a zero element ends.
fn implicit_length(v: u128, imm: u8) -> usize {
    let n = elements(imm);
    (0..n).find(|&i| element(v, i, imm) == 0).unwrap_or(n)
}

/// The length in a register: its magnitude, at most the number of elements.
fn explicit_length(v: i64, imm: u8) -> usize {
    v.unsigned_abs().min(elements(imm) as u64) as usize
}

impl Strings {
    /// IntRes1: one bit for each element of `b`; invalid elements compare as section 4.1.6
    /// says.
    fn aggregate(&self, imm: u8) -> u32 {
        let n = elements(imm);
        let (a, b) = (|i| element(self.a, i, imm), |i| element(self.b, i, imm));
        let holds = |j: usize| match imm >> 2 & 3 {
            // Equal any: in the set.
            0 => j < self.b_len && (0..self.a_len).any(|i| a(i) == b(j)),
            // Ranges: in one of the pairs; a pair cut off by the end holds nothing.
            1 => j < self.b_len && (0..self.a_len / 2).any(|i| a(2 * i) <= b(j) && b(j) <= a(2 * i + 1)),
            // Equal each: both past their ends are equal.
            2 => match (j < self.a_len, j < self.b_len) {
                (true, true) => a(j) == b(j),
                (false, false) => true,
                _ => false,
            },
            // Equal ordered: the whole of `a` is found at `j`, as far as the operand reaches.
            _ => (0..self.a_len.min(n - j)).all(|i| j + i < self.b_len && a(i) == b(j + i)),
        };
        (0..n).map(|j| u32::from(holds(j)) << j).sum()
    }

    /// IntRes2, with the polarity applied.
    fn result(&self, imm: u8) -> u32 {
        let all = (1 << elements(imm)) - 1;
        let r = self.aggregate(imm);
        match imm >> 4 & 3 {
            1 => r ^ all,
            // Masked negative: only valid elements are inverted.
            3 => r ^ ((1 << self.b_len) - 1),
            _ => r,
        }
    }
}

/// CF: any result. ZF: `b` ended. SF: `a` ended. OF: result for the first element.
fn set_flags(ex: &mut Exec<'_>, s: &Strings, r: u32, imm: u8) {
    let n = elements(imm);
    let flag = |on: bool, bit: u64| if on { bit } else { 0 };
    ex.cpu.flags.set_bits(
        flag(r != 0, bit::CF)
            | flag(s.b_len < n, bit::ZF)
            | flag(s.a_len < n, bit::SF)
            | flag(r & 1 != 0, bit::OF),
    );
}

/// The index forms: ECX.
fn index(ex: &mut Exec<'_>, s: &Strings, imm: u8) {
    let r = s.result(imm);
    let none = elements(imm) as u32;
    let i = match r {
        0 => none,
        _ if imm & 0x40 != 0 => r.ilog2(),
        _ => r.trailing_zeros(),
    };
    ex.set(gpr::RCX, i);
    set_flags(ex, s, r, imm);
}

/// The mask forms: XMM0, as bits or as elements.
fn mask(ex: &mut Exec<'_>, s: &Strings, imm: u8) {
    fn expand<T: Lane + Word>(r: u32) -> u128 {
        u128::build(|i| T::from_u64(if r >> i & 1 != 0 { u64::MAX } else { 0 }))
    }
    let r = s.result(imm);
    let v = match (imm & 0x40 != 0, imm & 1) {
        (false, _) => r.into(),
        (true, 0) => expand::<u8>(r),
        (true, _) => expand::<u16>(r),
    };
    ex.set_xmm(0, v);
    set_flags(ex, s, r, imm);
}

/// A register's whole 64 bits as the length with REX.W, else its low 32.
fn length(ex: &Exec<'_>, r: u8, wide: bool) -> i64 {
    if wide { ex.get::<u64>(r) as i64 } else { (ex.get::<u32>(r) as i32).into() }
}

fn compare<const EXPLICIT: bool, const WIDE: bool, const MASK: bool>(
    ex: &mut Exec<'_>,
    op: &Op,
    b: u128,
) -> Done {
    let imm = op.imm as u8;
    let a = ex.xmm(op.r0);
    let (a_len, b_len) = if EXPLICIT {
        let (a, b) = (length(ex, gpr::RAX, WIDE), length(ex, gpr::RDX, WIDE));
        (explicit_length(a, imm), explicit_length(b, imm))
    } else {
        (implicit_length(a, imm), implicit_length(b, imm))
    };
    let s = Strings { a, b, a_len, b_len };
    if MASK {
        mask(ex, &s, imm);
    } else {
        index(ex, &s, imm);
    }
    Ok(Flow::Next)
}

fn rr<const EXPLICIT: bool, const WIDE: bool, const MASK: bool>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_sse()?;
    let b = ex.xmm(op.r1);
    compare::<EXPLICIT, WIDE, MASK>(ex, op, b)
}

/// The memory operand needs no alignment (SDM volume 2, section 2.4, table 2-20).
fn rm<const EXPLICIT: bool, const WIDE: bool, const MASK: bool>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_sse()?;
    let b = ex.load128::<false>(op)?;
    compare::<EXPLICIT, WIDE, MASK>(ex, op, b)
}

fn form<const EXPLICIT: bool, const WIDE: bool, const MASK: bool>(ins: &Instruction) -> Option<Handler> {
    Some(if ins.op1_kind() == OpKind::Memory {
        rm::<EXPLICIT, WIDE, MASK>
    } else {
        rr::<EXPLICIT, WIDE, MASK>
    })
}

/// The handler for `ins`, if it is here.
pub fn select(ins: &Instruction) -> Option<Handler> {
    match ins.mnemonic() {
        Mnemonic::Pcmpestri => form::<true, false, false>(ins),
        Mnemonic::Pcmpestri64 => form::<true, true, false>(ins),
        Mnemonic::Pcmpestrm => form::<true, false, true>(ins),
        Mnemonic::Pcmpestrm64 => form::<true, true, true>(ins),
        Mnemonic::Pcmpistri => form::<false, false, false>(ins),
        Mnemonic::Pcmpistrm => form::<false, false, true>(ins),
        _ => None,
    }
}
