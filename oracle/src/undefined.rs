//! What the manuals leave undefined, by instruction. The definition that DejaVM chose for each
//! is written in docs/undefined-behaviour.md; a difference from the host in one of these is
//! counted, but is no failure.

use crate::generate::{effective_address, gpr_index};
use crate::state::Case;
use iced_x86::{Instruction, Mnemonic as M, OpKind, Register};

const CF: u64 = 1;
const PF: u64 = 1 << 2;
const AF: u64 = 1 << 4;
const ZF: u64 = 1 << 6;
const SF: u64 = 1 << 7;
const OF: u64 = 1 << 11;
const C0: u16 = 1 << 8;
const C1: u16 = 1 << 9;
const C2: u16 = 1 << 10;
const C3: u16 = 1 << 14;
/// PE, and ES and B which follow from it.
const INEXACT: u16 = 0x80a0;

/// Results that are not defined.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Undefined {
    /// Bits of RFLAGS.
    pub flags: u64,
    /// General registers, by number.
    pub gprs: u16,
    /// Bits of the x87 status word.
    pub fsw: u16,
    /// All of memory that was written.
    pub memory: bool,
    /// Linear addresses.
    pub bytes: Vec<std::ops::Range<u64>>,
    /// All of the x87 registers, tags and top of stack.
    pub x87: bool,
    /// How much a floating-point result may differ (SDM volume 1, section 8.3.10, and the
    /// RCP and RSQRT instructions).
    pub approximate: Option<Approximate>,
    /// x87 last instruction and operand pointers and opcode.
    pub pointers: bool,
}

/// A documented error bound instead of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Approximate {
    /// Units in the last place of a double-extended result.
    Ulps(u64),
    /// Relative error of single-precision elements: 1.5 * 2^-12.
    Reciprocal,
}

/// What `i` leaves undefined with the inputs of `case`.
pub fn of(i: &Instruction, case: &Case) -> Undefined {
    let mut u = Undefined { pointers: true, ..Undefined::default() };
    integer(&mut u, i, case);
    x87(&mut u, i, case);
    let memory = (0..i.op_count()).any(|n| i.op_kind(n) == OpKind::Memory);
    let at = |r: std::ops::Range<u64>| {
        let a = effective_address(i, &case.state, case.mode);
        a.wrapping_add(r.start)..a.wrapping_add(r.end)
    };
    match i.mnemonic() {
        // Pointers, opcode, MXCSR_MASK and what lies behind the registers: the model's own.
        M::Fxsave | M::Fxsave64 => u.bytes = vec![at(6..24), at(28..32), at(416..512)],
        M::Fnstenv | M::Fnsave => {
            let wide = matches!(i.memory_size().size(), 28 | 108);
            u.bytes = vec![if wide { at(12..28) } else { at(6..14) }];
        }
        // Whether the upper half of the slot is written (SDM volume 2, PUSH).
        M::Push if i.op0_register().is_segment_register() => u.memory = true,
        // Intel's EMMS keeps TOP, AMD's clears it.
        M::Emms => u.x87 = true,
        // Whether reading memory is a transition to MMX state.
        M::Cvtpi2ps | M::Cvtpi2pd if memory => u.x87 = true,

        M::Rcpps | M::Rcpss | M::Rsqrtps | M::Rsqrtss => {
            u.approximate = Some(Approximate::Reciprocal);
        }
        _ => {}
    }
    u
}

/// SDM volume 1, appendix A ("EFLAGS cross-reference"), and volume 2.
fn integer(u: &mut Undefined, i: &Instruction, case: &Case) {
    match i.mnemonic() {
        M::Aaa | M::Aas => u.flags = OF | SF | ZF | PF,
        M::Aam | M::Aad => u.flags = OF | AF | CF,
        M::Daa | M::Das => u.flags = OF,
        M::And | M::Or | M::Xor | M::Test => u.flags = AF,
        M::Mul | M::Imul => u.flags = SF | ZF | AF | PF,
        M::Div | M::Idiv => u.flags = CF | OF | SF | ZF | AF | PF,
        M::Bt | M::Btc | M::Btr | M::Bts => u.flags = OF | SF | AF | PF,
        M::Bsf | M::Bsr => {
            u.flags = CF | OF | SF | AF | PF;
            // The destination, when the source is zero.
            u.gprs = destination(i);
        }
        M::Bswap if i.op0_register().size() == 2 => u.gprs = destination(i),
        M::Shl | M::Sal | M::Shr | M::Sar => {
            let (count, size) = shift(i, case);
            if count != 0 {
                u.flags = AF;
                if count != 1 {
                    u.flags |= OF;
                }
                if count >= size && i.mnemonic() != M::Sar {
                    u.flags |= CF;
                }
            }
        }
        M::Rol | M::Ror | M::Rcl | M::Rcr if shift(i, case).0 != 1 => {
            u.flags = OF;
        }
        M::Shld | M::Shrd => {
            let (count, size) = shift(i, case);
            if count != 0 {
                u.flags = AF;
                if count != 1 {
                    u.flags |= OF;
                }
                if count > size {
                    u.flags |= CF | SF | ZF | PF;
                    u.gprs = destination(i);
                    u.memory = true;
                }
            }
        }
        _ => {}
    }
}

fn destination(i: &Instruction) -> u16 {
    gpr_index(i.op0_register()).map_or(0, |n| 1 << n)
}

/// The masked count of a shift and the operand's size in bits.
fn shift(i: &Instruction, case: &Case) -> (u32, u32) {
    let size = match i.op0_kind() {
        OpKind::Register => i.op0_register().size(),
        _ => i.memory_size().size(),
    } as u32
        * 8;
    let last = i.op_count() - 1;
    let count = match i.op_kind(last) {
        OpKind::Register if i.op_register(last) == Register::CL => case.state.gpr[1] as u32,
        _ => i.immediate(last) as u32,
    };
    (count & if size == 64 { 63 } else { 31 }, size)
}

/// SDM volume 2's "FPU Flags Affected" sections.
fn x87(u: &mut Undefined, i: &Instruction, case: &Case) {
    let all = C0 | C2 | C3;
    match i.mnemonic() {
        M::Fld
        | M::Fild
        | M::Fbld
        | M::Fst
        | M::Fstp
        | M::Fist
        | M::Fistp
        | M::Fisttp
        | M::Fbstp
        | M::Fadd
        | M::Faddp
        | M::Fiadd
        | M::Fsub
        | M::Fsubp
        | M::Fisub
        | M::Fsubr
        | M::Fsubrp
        | M::Fisubr
        | M::Fmul
        | M::Fmulp
        | M::Fimul
        | M::Fdiv
        | M::Fdivp
        | M::Fidiv
        | M::Fdivr
        | M::Fdivrp
        | M::Fidivr
        | M::Fsqrt
        | M::Frndint
        | M::Fscale
        | M::Fxtract
        | M::Fabs
        | M::Fchs
        | M::Fxch
        | M::Fld1
        | M::Fldl2t
        | M::Fldl2e
        | M::Fldpi
        | M::Fldlg2
        | M::Fldln2
        | M::Fldz
        | M::Fcmovb
        | M::Fcmove
        | M::Fcmovbe
        | M::Fcmovu
        | M::Fcmovnb
        | M::Fcmovne
        | M::Fcmovnbe
        | M::Fcmovnu
        | M::Fdecstp
        | M::Fincstp => u.fsw = all,
        M::Ffree | M::Ffreep | M::Fstpnce => u.fsw = all | C1,
        M::Fldcw | M::Fnstcw | M::Fnstsw | M::Fnclex | M::Fnop | M::Fdisi | M::Feni | M::Fnsetpm => {
            u.fsw = all | C1
        }
        // Outside of -1 to 1, and of -(1 - sqrt(1/2)) to sqrt(2) - 1 (as 0.29), undefined.
        M::F2xm1 if magnitude(case) > 0x3fff_8000 => (u.fsw, u.x87) = (0xc7ff, true),
        M::Fyl2xp1 if magnitude(case) > 0x3ffd_9400 => (u.fsw, u.x87) = (0xc7ff, true),
        M::F2xm1 | M::Fyl2x | M::Fyl2xp1 | M::Fpatan => {
            // Whether the result was rounded, and up, depends on its last bit.
            u.fsw = all | C1 | INEXACT;
            u.approximate = Some(Approximate::Ulps(2));
        }
        M::Fsin | M::Fcos | M::Fsincos | M::Fptan => {
            u.fsw = C0 | C3 | C1 | INEXACT;
            u.approximate = Some(Approximate::Ulps(2));
        }
        // C0, C2 and C3 are the result; C1 is cleared, or set by a stack fault.
        M::Fcomi | M::Fcomip | M::Fucomi | M::Fucomip => u.fsw = all,
        _ => {}
    }
}

/// Exponent and upper 16 significand bits of ST(0).
fn magnitude(case: &Case) -> u32 {
    (case.state.st[0] >> 48) as u32 & 0x7fff_ffff
}
