//! Where the peer is known to differ, with the manual's section.

use super::case::{Case, Outcome};

/// Differences that are excused.
pub fn excused(case: &Case, peer: &Outcome, subject: &Outcome) -> Option<&'static str> {
    const SIGILL: u64 = 4;
    const SIGBUS: u64 = 7;
    const SIGSEGV: u64 = 11;
    if matches!(case.row, "BR" | "BLR" | "RET") && (subject.signal, peer.signal) == (SIGBUS, SIGSEGV) {
        return Some("qemu-user gives SIGSEGV for a misaligned PC, Linux gives SIGBUS");
    }
    if matches!(case.row, "BR" | "BLR" | "RET") && subject.pc >> 20 == 4 {
        return Some("the branch went into the harness's own pages");
    }
    let (rt, rt2) = (case.word & 31, case.word >> 10 & 31);
    if case.row.contains("LDP") && case.word >> 22 & 1 != 0 && rt == rt2 {
        return Some(
            "a pair loaded into one register is CONSTRAINED UNPREDICTABLE (K1.2.16): the second wins here",
        );
    }
    if case.word >> 22 & 0x3f9 == 0x1a0 && subject.signal == SIGILL && peer.signal != SIGILL {
        return Some("STGP belongs to the Memory Tagging Extension");
    }
    let faulted = peer.signal == SIGSEGV && subject.signal == SIGSEGV;
    if faulted && case.row.contains("STP") && peer.state.mem != subject.state.mem {
        // K1.2: how much of an access that crosses into a page which faults was stored is open.
        return Some("part of a pair was stored before the fault");
    }
    None
}
