//! Where the peer is known to differ, with the manual's section.

use super::case::{Case, Outcome};
use dejavm_interp::aarch64::decode::find;

/// Instructions that the peer has and no model of ours: the ID registers do not show their features either.
const FEATURES: &[(&str, &[&str])] = &[
    (
        "PAuth",
        &[
            "1101 1010 1100 0001 ---- ---- ---- ----",
            "1001 1010 110- ---- 0011 00-- ---- ----",
            "1111 1000 --1- ---- ---- -1-- ---- ----",
        ],
    ),
    ("FlagM", &["1011 1010 000- ---- -000 01-- ---0 ----", "0011 1010 0000 0000 0-00 10-- ---0 1101"]),
    (
        "MTE",
        &[
            "1-01 0001 10-- ---- ---- ---- ---- ----",
            "1-01 1010 110- ---- 0000 00-- ---- ----",
            "1001 1010 110- ---- 0001 0--- ---- ----",
            "1101 1001 --1- ---- ---- ---- ---- ----",
            "0110 100- -0-- ---- ---- ---- ---- ----",
        ],
    ),
    ("LRCPC", &["--11 1000 101- ---- 1100 00-- ---- ----", "--01 1001 --0- ---- ---- 00-- ---- ----"]),
    (
        "FCMA",
        &[
            "0-10 1110 --0- ---- 110- -1-- ---- ----",
            "0-10 1110 --0- ---- 111- 01-- ---- ----",
            "0-10 1111 ---- ---- 0--1 -0-- ---- ----",
        ],
    ),
    (
        "FHM",
        &[
            "0-00 1110 -01- ---- 1110 11-- ---- ----",
            "0-10 1110 -01- ---- 1100 11-- ---- ----",
            "0-00 1111 10-- ---- 0-00 -0-- ---- ----",
            "0-10 1111 10-- ---- 1-00 -0-- ---- ----",
        ],
    ),
    (
        "BF16",
        &[
            "0-10 1110 -10- ---- 1111 11-- ---- ----",
            "0110 1110 010- ---- 1110 11-- ---- ----",
            "0-00 1111 -1-- ---- 1111 -0-- ---- ----",
            "0001 1110 0110 0011 0100 00-- ---- ----",
            "0-00 1110 1010 0001 0110 10-- ---- ----",
        ],
    ),
    (
        "I8MM",
        &[
            "01-0 1110 100- ---- 1010 01-- ---- ----",
            "0100 1110 100- ---- 1010 11-- ---- ----",
            "0-00 1110 100- ---- 1001 11-- ---- ----",
            "0-00 1111 -0-- ---- 1111 -0-- ---- ----",
        ],
    ),
    ("SHA512, SHA3, SM3, SM4", &["1100 1110 ---- ---- ---- ---- ---- ----"]),
    ("JSCVT", &["0001 1110 0111 1110 0000 00-- ---- ----"]),
    ("FRINTTS", &["0001 1110 0-10 100- -100 00-- ---- ----", "0--0 1110 0-10 0001 111- 10-- ---- ----"]),
];

/// Words that end the peer: qemu 7.2 aborts at what is unallocated in AdvSIMD (scalar) two-register miscellaneous
/// FP16 (C4.1.97), where an exception is due.
pub fn fatal(word: u32) -> bool {
    matches(word, "0--- 1110 -111 100- ---- --10 ---- ----") && find(word).is_none()
}

fn matches(word: u32, pattern: &str) -> bool {
    let bits = pattern.bytes().filter(|b| *b != b' ');
    bits.zip((0..32).rev()).all(|(b, i)| b == b'-' || word >> i & 1 == u32::from(b - b'0'))
}

/// Nothing differs but bits 31:16 of Vd.
fn only_upper_half(case: &Case, peer: &Outcome, subject: &Outcome) -> bool {
    let mut peer = peer.clone();
    peer.state.v[(case.word & 31) as usize] &= 0xffff;
    peer == *subject
}

/// Differences that are excused.
pub fn excused(case: &Case, peer: &Outcome, subject: &Outcome) -> Option<&'static str> {
    const SIGILL: u64 = 4;
    const SIGBUS: u64 = 7;
    const SIGSEGV: u64 = 11;
    if matches!(case.row, "BR" | "BLR" | "RET") && (subject.signal, peer.signal) == (SIGBUS, SIGSEGV) {
        return Some("qemu-user gives SIGSEGV for a misaligned PC, Linux gives SIGBUS");
    }
    let (rt, rt2) = (case.word & 31, case.word >> 10 & 31);
    if case.row.contains("LDP") && case.word >> 22 & 1 != 0 && rt == rt2 {
        return Some(
            "a pair loaded into one register is CONSTRAINED UNPREDICTABLE (K1.2.16): the second wins here",
        );
    }
    if subject.signal == SIGILL && peer.signal != SIGILL {
        let has = |(_, patterns): &&(_, &[&str])| patterns.iter().any(|p| matches(case.word, p));
        if let Some((name, _)) = FEATURES.iter().find(has) {
            return Some(name);
        }
        if matches(case.word, "0--0 1110 -111 0000 11-- 10-- ---- ----") {
            return Some(
                "qemu takes half-precision across lanes and scalar pairwise with size x1, unallocated in C4.1.97",
            );
        }
        if matches(case.word, "0-10 1111 0000 0--- 1111 11-- ---- ----") {
            return Some(
                "qemu takes FMOV (vector, immediate) with op 1, o2 1, which C4.1.97 leaves unallocated",
            );
        }
    }
    if matches(case.word, "01-1 1111 0001 ---- 1111 11-- ---- ----") && only_upper_half(case, peer, subject) {
        return Some(
            "qemu sign-extends a half-precision FCVTZS (scalar, fixed-point) to 32 bits; C7.2.165: V[d] is 16 bits",
        );
    }
    let faulted = peer.signal == SIGSEGV && subject.signal == SIGSEGV;
    if faulted && case.row.starts_with("ST") && peer.state.mem != subject.state.mem {
        // K1.2: how much of an access that crosses into a page which faults was stored is open.
        return Some("part of a pair or structure was stored before the fault");
    }
    None
}
