//! Cases and differences in words.

use crate::compare::Verdict;
use crate::forms;
use crate::state::{Case, Mode, Outcome, State};
use iced_x86::{Decoder, DecoderOptions, Formatter, NasmFormatter};
use std::fmt::Write;

/// The instructions of a case, one line each: bytes and text.
pub fn disassembly(case: &Case) -> String {
    let mut out = String::new();
    let mut decoder = Decoder::with_ip(case.mode.bits(), &case.code, case.state.rip, DecoderOptions::NONE);
    let mut formatter = NasmFormatter::new();
    while decoder.can_decode() {
        let from = decoder.position();
        let i = decoder.decode();
        let mut text = String::new();
        formatter.format(&i, &mut text);
        let bytes =
            case.code[from..decoder.position()].iter().fold(String::new(), |s, b| s + &format!("{b:02x}"));
        let _ = writeln!(out, "  {:#x}: {bytes:30} {text}   ; {:?}", i.ip(), i.code());
    }
    out
}

/// The tested instruction's encoding, for grouping.
pub fn form(case: &Case) -> forms::Form {
    let ip = case.state.rip + case.lead as u64;
    forms::Form::of(case.mode, &forms::decode(case.mode, &case.code[case.lead..], ip))
}

/// The registers of a state.
pub fn registers(s: &State, mode: Mode) -> String {
    let mut out = String::new();
    const NAMES: [&str; 16] = [
        "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13",
        "r14", "r15",
    ];
    let n = if mode == Mode::Bits64 { 16 } else { 8 };
    for (k, (name, v)) in NAMES.iter().zip(s.gpr).take(n).enumerate() {
        let end = if k % 4 == 3 { "\n" } else { "" };
        let _ = write!(out, "  {name:>3} {v:016x}{end}");
    }
    let _ = writeln!(
        out,
        "  rip {:x} rflags {:x} es/cs/ss/ds/fs/gs {:x?} bases {:x?}",
        s.rip, s.rflags, s.seg, s.fs_gs_base
    );
    let _ = writeln!(out, "  fcw {:04x} fsw {:04x} ftw {:02x} mxcsr {:x}", s.fcw, s.fsw, s.ftw, s.mxcsr);
    for (k, v) in s.st.iter().enumerate() {
        let end = if k % 4 == 3 { "\n" } else { "" };
        let _ = write!(out, "  st{k} {:04x}.{:016x}{end}", (v >> 64) as u16, *v as u64);
    }
    for (k, v) in s.xmm.iter().enumerate().take(if n == 16 { 16 } else { 8 }) {
        let end = if k % 2 == 1 { "\n" } else { "" };
        let _ = write!(out, "  xmm{k:<2} {v:032x}{end}");
    }
    out
}

/// Everything about a case that failed.
pub fn failure(case: &Case, host: &Outcome, subject: &Outcome, verdict: &Verdict) -> String {
    let mut out = format!("case {} in {:?}\n{}", case.number, case.mode, disassembly(case));
    out += &registers(&case.state, case.mode);
    for p in &case.patches {
        let hex = p.bytes.iter().take(32).fold(String::new(), |s, b| s + &format!("{b:02x}"));
        let _ = writeln!(out, "  memory at {:#x}: {hex}", p.addr);
    }
    let _ = writeln!(out, "  -> host {}, subject {}", host.end, subject.end);
    for d in &verdict.defined {
        let _ = writeln!(out, "  WRONG {d}");
    }
    for d in &verdict.undefined {
        let _ = writeln!(out, "  (undefined) {d}");
    }
    out
}
