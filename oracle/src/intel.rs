//! Where Intel's CPUs differ from AMD's, which DejaVM's definition follows (docs/undefined-behaviour.md).
//! Each reason looks at what both made of the case, so that nothing else hides behind it.

use crate::state::{Case, End, Mode, Outcome, seg};
use iced_x86::{Instruction, Mnemonic as M, OpKind};

const TF: u64 = 1 << 8;
/// CF, PF, AF, ZF, SF, OF.
const STATUS: u64 = 0x8d5;
const RF: u64 = 1 << 16;
/// The x87 status word's UE, its B and ES, and C1.
const UE: u16 = 1 << 4;
const ES: u16 = 1 << 7;
const SUMMARY: u16 = 0x8280;

/// Why an Intel host ends differently from `subject`, if there is a reason.
pub fn excuse(i: &Instruction, case: &Case, host: &Outcome, subject: &Outcome) -> Option<&'static str> {
    let start = case.state.rip + case.lead as u64;
    let began = |o: &Outcome| o.state.rip == start;
    let memory = (0..i.op_count()).any(|n| i.op_kind(n) == OpKind::Memory);
    if case.mode == Mode::Bits32
        && began(subject)
        && matches!(subject.end, End::Exception { vector: 12 | 13, error: 0, .. })
        && beyond_the_end(host.end)
    {
        return Some("whether an operand goes round the end of a flat segment");
    }
    match i.mnemonic() {
        M::Dpps | M::Dppd if host.end == subject.end && host.state.mxcsr == subject.state.mxcsr => {
            Some("which operand's NaN DPPS and DPPD give")
        }
        M::Retf if faulted(subject, 14) && began(subject) && !began(host) => {
            Some("how many bytes of CS's slot RETF reads")
        }
        M::Retf
            if faulted(subject, 13)
                && began(subject)
                && !began(host)
                && case.mode == Mode::Bits64
                && host.state.seg[seg::CS] != case.state.seg[seg::CS] =>
        {
            Some("whether RETF to compatibility mode looks at the upper half of RIP")
        }
        M::Fst | M::Fstp | M::Fist | M::Fistp | M::Fisttp | M::Fbstp
            if memory && began(subject) && !began(host) && host.state.fsw & ES != 0 =>
        {
            Some("whether the operand of an x87 store that an unmasked exception stops is looked at")
        }
        M::Fstp | M::Fbstp if memory && host.end == subject.end && faulted(host, 14) && began(host) => {
            Some("whether FSTP and FBSTP of 80 bits write the low half before the upper faults")
        }
        M::Bound if faulted(subject, 14) && faulted(host, 5) => {
            Some("whether BOUND reads its upper bound when the lower decides")
        }
        M::Fsin | M::Fsincos | M::Fptan
            if host.end == subject.end
                && (host.state.fsw ^ subject.state.fsw) & !(UE | SUMMARY) == 0
                && tiny(case) =>
        {
            Some("whether the sine of a tiny operand underflows")
        }
        M::Fprem | M::Fprem1 | M::Fscale
            if host.end == subject.end
                && host.state.fsw & (UE | ES) == 0
                && subject.state.fsw & UE != 0
                && (host.state.st[0] >> 64) as u16 & 0x7fff == 0 =>
        {
            Some("whether an exact denormal result of FPREM and FSCALE is an unmasked underflow")
        }
        _ if i.has_rep_prefix() || i.has_repne_prefix() => repeated(i, case, host, subject),
        _ => None,
    }
}

/// A page fault next to the end of 32-bit addresses, or the alignment check that comes before it.
fn beyond_the_end(end: End) -> bool {
    match end {
        End::Exception { vector: 14, cr2, .. } => !(0x10..0xffff_fff0).contains(&cr2),
        End::Exception { vector, .. } => vector == 17,
        _ => false,
    }
}

fn faulted(o: &Outcome, number: u8) -> bool {
    matches!(o.end, End::Exception { vector, .. } if vector == number)
}

/// An operand in ST(0) whose exponent is among the least.
fn tiny(case: &Case) -> bool {
    (case.state.st[0] >> 64) as u16 & 0x7fff <= 64
}

/// REP with string instructions.
fn repeated(i: &Instruction, case: &Case, host: &Outcome, subject: &Outcome) -> Option<&'static str> {
    let (h, s) = (&host.state, &subject.state);
    if host.end != subject.end || h.rip != s.rip {
        return None;
    }
    let began = h.rip == case.state.rip + case.lead as u64;
    let differ = h.rflags ^ s.rflags;
    let same = |n: usize| h.gpr[n] == s.gpr[n];
    let narrow =
        (0..i.op_count()).any(|n| matches!(i.op_kind(n), OpKind::MemorySegESI | OpKind::MemoryESEDI));
    if case.mode == Mode::Bits64
        && narrow
        && differ & !RF == 0
        && !(same(1) && same(6) && same(7))
        && [1, 6, 7].iter().all(|&n| same(n) || h.gpr[n] == s.gpr[n] & 0xffff_ffff)
    {
        return Some(
            "whether REP with 32-bit addresses clears the registers' upper halves when nothing was done",
        );
    }
    let compares = matches!(
        i.mnemonic(),
        M::Scasb | M::Scasw | M::Scasd | M::Scasq | M::Cmpsb | M::Cmpsw | M::Cmpsd | M::Cmpsq
    );
    if began && differ & !(STATUS | RF) == 0 && (differ & STATUS == 0 || compares) {
        // SDM volume 2, REP: EFLAGS are restored when CMPS or SCAS faults after the first iteration.
        if case.state.rflags & TF != 0 {
            return Some("RF and flags in a trap between two iterations of REP");
        }
        if compares && differ & RF == 0 {
            return Some("whether CMPS and SCAS that fault after an iteration keep its flags");
        }
    }
    None
}
