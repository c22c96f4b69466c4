//! Where real CPUs differ from each other, or the manuals leave an order open: a case that ends
//! differently for one of these reasons is counted apart, with the reason.

use crate::state::{Case, End, Mode, Outcome, seg};
use iced_x86::{Instruction, Mnemonic as M, OpKind};

/// Why `host` and `subject` may end differently, if there is a reason.
pub fn excuse(i: &Instruction, case: &Case, host: &Outcome, subject: &Outcome) -> Option<&'static str> {
    let memory = (0..i.op_count()).any(|n| i.op_kind(n) == OpKind::Memory);
    let size = i.memory_size().size();
    let faulted = |o: &Outcome| o.state.rip == case.state.rip + case.lead as u64;
    match (host.end, subject.end) {
        (End::Exception { vector: 17, .. }, _) if size >= 10 => {
            return Some("alignment check of an operand of 10 or more bytes");
        }
        // A quarter in the manual's table, aligned as one number on this host.
        (End::Exception { vector: 17, .. }, _) if far_pointer(i) => {
            return Some("alignment check of a far pointer");
        }
        (End::Exception { vector: 14, .. }, End::Exception { vector: 12 | 13, .. })
            if memory && faulted(host) && faulted(subject) =>
        {
            return Some("an operand that is outside of the segment's limit and not mapped");
        }
        (
            End::Exception { vector: 12 | 13, error: 0, .. },
            End::Exception { vector: 12 | 13, error: 0, .. },
        ) if host.end != subject.end && memory && size >= 16 => {
            return Some("misaligned operand outside of the stack segment");
        }
        (
            End::Exception { vector: 14, error: e, cr2: a },
            End::Exception { vector: 14, error: f, cr2: b },
        ) if a != b && (e == f || size > 16) && a.abs_diff(b) < size.max(16) as u64 => {
            return Some("which byte of an operand faults");
        }
        _ => {}
    }
    if i.is_invalid()
        && case.code.contains(&0xf0)
        && matches!(host.end, End::Exception { vector: 12..=14 | 17, .. })
    {
        return Some("whether the operand of an instruction that takes no LOCK faults first");
    }
    match i.mnemonic() {
        M::Pause if case.mode == Mode::Bits64 => Some("whether PAUSE with REX.B exchanges RAX with R8"),
        M::Sha1msg1
        | M::Sha1msg2
        | M::Sha1nexte
        | M::Sha1rnds4
        | M::Sha256msg1
        | M::Sha256msg2
        | M::Sha256rnds2
            if memory && faulted(subject) =>
        {
            Some("whether the SHA instructions' operands have to be aligned")
        }
        M::Maskmovq | M::Maskmovdqu if matches!(host.end, End::Exception { vector: 14 | 17, .. }) => {
            Some("faults of MASKMOV for bytes that are not selected")
        }
        M::Call if faulted(host) && faulted(subject) => Some("CALL: which of several faults comes first"),
        M::Cmpsb | M::Cmpsw | M::Cmpsd | M::Cmpsq if faulted(host) && faulted(subject) => {
            Some("which of two operands faults")
        }
        M::Movsxd if i.op0_register().size() == 2 && faulted(host) => {
            Some("bytes that MOVSXD of 16 bits reads")
        }
        M::Push
            if i.op0_kind() == OpKind::Register
                && i.op0_register().is_segment_register()
                && faulted(host) =>
        {
            Some("bytes that PUSH of a segment register writes")
        }
        M::Bt | M::Btc | M::Btr | M::Bts if memory && faulted(host) && faulted(subject) => {
            Some("whether an effective address without its segment's base has to be canonical")
        }
        M::Fxsave | M::Fxsave64 | M::Fxrstor | M::Fxrstor64
            if matches!(host.end, End::Exception { vector: 14, .. }) =>
        {
            Some("whether the end of FXSAVE's area, which has no contents, is accessed")
        }
        // As with the transition to MMX state, which it need not make.
        M::Cvtpi2ps | M::Cvtpi2pd if memory && matches!(subject.end, End::Exception { vector: 16, .. }) => {
            Some("whether CVTPI2PS of memory waits for x87 exceptions")
        }
        M::Ud0 | M::Ud1 => Some("whether UD0 and UD1 fetch a ModRM operand"),
        M::Retf if faulted(host) && faulted(subject) => Some("RETF: which of several faults comes first"),
        M::Insb | M::Insw | M::Insd | M::Outsb | M::Outsw | M::Outsd
            if (i.has_rep_prefix() || i.has_repne_prefix()) && count(i, case) == 0 =>
        {
            Some("permission check of INS and OUTS with a count of zero")
        }
        M::Pop if i.op0_kind() == OpKind::Register && i.op0_register().is_segment_register() => {
            let wide = i.op_code().operand_size() > 16 || case.mode == Mode::Bits64;
            (wide && faulted(host)).then_some("bytes that POP of a segment register reads")
        }
        _ => None,
    }
}

fn far_pointer(i: &Instruction) -> bool {
    i.is_jmp_far_indirect()
        || i.is_call_far_indirect()
        || matches!(i.mnemonic(), M::Lds | M::Les | M::Lfs | M::Lgs | M::Lss)
}

/// Differences that an instruction which ended in a fault may leave behind.
pub fn fault_residue(i: &Instruction, case: &Case, host: &Outcome) -> Residue {
    let mut r = Residue::default();
    if host.state.rip != case.state.rip + case.lead as u64 {
        return r;
    }
    match i.mnemonic() {
        M::Popa | M::Popad => r.gprs = true,
        M::Call if i.is_call_far() || i.is_call_far_indirect() => r.memory = true,
        M::Pusha | M::Pushad | M::Enter => r.memory = true,
        _ => {}
    }
    // An instruction that makes the transition to MMX state may make it before it faults.
    r.x87 = (0..i.op_count()).any(|n| i.op_kind(n) == OpKind::Register && i.op_register(n).is_mm());
    r
}

/// What need not be as before the instruction.
#[derive(Clone, Copy, Debug, Default)]
pub struct Residue {
    /// General registers already popped.
    pub gprs: bool,
    /// Memory below the stack pointer already written.
    pub memory: bool,
    /// x87 tags and top of stack.
    pub x87: bool,
}

fn count(i: &Instruction, case: &Case) -> u64 {
    let narrow = (0..i.op_count()).any(|n| matches!(i.op_kind(n), OpKind::MemorySegSI | OpKind::MemoryESDI));
    let middle =
        (0..i.op_count()).any(|n| matches!(i.op_kind(n), OpKind::MemorySegESI | OpKind::MemoryESEDI));
    let mask = if narrow {
        0xffff
    } else if middle {
        0xffff_ffff
    } else {
        u64::MAX
    };
    case.state.gpr[1] & mask
}

/// Two selectors that mean the same: the way back from the host's kernel clears the RPL of a
/// null selector (SDM volume 2, IRET).
pub fn same_selector(n: usize, host: u16, subject: u16) -> bool {
    host == subject || host == 0 && subject & !3 == 0 && n != seg::CS
}
