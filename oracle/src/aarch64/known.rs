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
