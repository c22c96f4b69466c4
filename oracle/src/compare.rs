//! Compares what the host made of a case with what a subject made of it.

use crate::forms;
use crate::intel;
use crate::layout;
use crate::state::{Case, End, Mode, Outcome, State, seg};
use crate::undefined::{self, Approximate, Undefined};
use crate::vendor;
use iced_x86::Instruction;
use std::fmt::Write;

/// What of RFLAGS is compared: the status flags, TF, IF, DF, IOPL, NT, RF, AC, ID.
const FLAGS: u64 = 0x25_7fd5;

/// Differences in words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// In what the manuals define: failures.
    pub defined: Vec<String>,
    /// In what they do not.
    pub undefined: Vec<String>,
}

impl Verdict {
    /// Nothing differs, undefined results included.
    pub fn same(&self) -> bool {
        self.defined.is_empty() && self.undefined.is_empty()
    }
}

/// Compares two outcomes of `case`.
pub fn compare(case: &Case, host: &Outcome, subject: &Outcome) -> Verdict {
    let mut c = Comparison { case, host, v: Verdict::default(), u: None };
    if host.end != subject.end && !same_fault(host.end, subject.end) {
        let text = format!("ends with {}, host: {}", subject.end, host.end);
        c.note(text, false);
    }
    c.integer(&host.state, &subject.state);
    c.x87(&host.state, &subject.state);
    c.sse(&host.state, &subject.state);
    c.memory(host, subject);
    if !c.v.defined.is_empty()
        && let i = tested(case)
        && let Some(reason) =
            vendor::excuse(&i, case, host, subject).or_else(|| intel::excuse(&i, case, host, subject))
    {
        c.v.undefined.append(&mut c.v.defined);
        c.v.undefined.insert(0, reason.into());
    }
    c.v
}

/// The instruction that a case tests.
fn tested(case: &Case) -> Instruction {
    forms::decode(case.mode, &case.code[case.lead..], case.state.rip + case.lead as u64)
}

/// Linux sets the "present" bit of the error code for every address of its own half and of the
/// last page before it, so as not to show which pages it has.
fn same_fault(host: End, subject: End) -> bool {
    match (host, subject) {
        (
            End::Exception { vector: 14, error: e, cr2: a },
            End::Exception { vector: 14, error: f, cr2: b },
        ) => a == b && a >= 0x7fff_ffff_f000 && e & !1 == f & !1,
        _ => false,
    }
}

struct Comparison<'a> {
    case: &'a Case,
    host: &'a Outcome,
    v: Verdict,
    u: Option<Undefined>,
}

impl Comparison<'_> {
    /// What the case leaves undefined; found only when something differs.
    fn undefined(&mut self) -> &Undefined {
        let (case, host) = (self.case, self.host);
        self.u.get_or_insert_with(|| {
            let i = tested(case);
            let mut u = undefined::of(&i, case);
            let r = vendor::fault_residue(&i, case, host);
            u.gprs |= if r.gprs { u16::MAX } else { 0 };
            u.memory |= r.memory;
            u.x87 |= r.x87;
            u
        })
    }

    fn note(&mut self, text: String, undefined: bool) {
        if undefined { self.v.undefined.push(text) } else { self.v.defined.push(text) }
    }

    fn integer(&mut self, host: &State, subject: &State) {
        let wide = self.case.mode == Mode::Bits64 && host.seg[seg::CS] == self.case.state.seg[seg::CS];
        let m = if wide { u64::MAX } else { 0xffff_ffff };
        const NAMES: [&str; 8] = ["rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi"];
        for n in 0..if wide { 16 } else { 8 } {
            let (h, s) = (host.gpr[n] & m, subject.gpr[n] & m);
            if h != s {
                let name = NAMES.get(n).map_or_else(|| format!("r{n}"), |s| (*s).to_string());
                let free = self.undefined().gprs >> n & 1 != 0;
                self.note(format!("{name} {s:#x}, host: {h:#x}"), free);
            }
        }
        if host.rip != subject.rip {
            self.note(format!("rip {:#x}, host: {:#x}", subject.rip, host.rip), false);
        }
        let differ = (host.rflags ^ subject.rflags) & FLAGS;
        if differ != 0 {
            let free = self.undefined().flags;
            for undefined in [false, true] {
                let d = differ & if undefined { free } else { !free };
                if d != 0 {
                    let mut text = String::from("flags");
                    const NAMES: [&str; 22] = [
                        "CF", "1", "PF", "3", "AF", "5", "ZF", "SF", "TF", "IF", "DF", "OF", "IOPL", "IOPL",
                        "NT", "15", "RF", "VM", "AC", "VIF", "VIP", "ID",
                    ];
                    for (n, name) in NAMES.iter().enumerate().filter(|(n, _)| d >> n & 1 != 0) {
                        let _ = write!(text, " {name}={}", subject.rflags >> n & 1);
                    }
                    self.note(format!("{text}, host: the opposite"), undefined);
                }
            }
        }
        for (n, name) in ["es", "cs", "ss", "ds", "fs", "gs"].iter().enumerate() {
            if !vendor::same_selector(n, host.seg[n], subject.seg[n]) {
                let text = format!("{name} {:#x}, host: {:#x}", subject.seg[n], host.seg[n]);
                self.note(text, false);
            }
        }
        for (n, name) in ["fs.base", "gs.base"].iter().enumerate() {
            // What a null selector leaves in the base differs by vendor.
            let null = self.case.state.seg[seg::FS + n] != host.seg[seg::FS + n];
            let (h, s) = (host.fs_gs_base[n], subject.fs_gs_base[n]);
            if h != s {
                self.note(format!("{name} {s:#x}, host: {h:#x}"), null);
            }
        }
    }

    fn x87(&mut self, host: &State, subject: &State) {
        if host.fcw != subject.fcw {
            self.note(format!("fcw {:#x}, host: {:#x}", subject.fcw, host.fcw), false);
        }
        let differ = host.fsw ^ subject.fsw;
        if differ != 0 {
            let free = self.undefined().fsw | if self.undefined().x87 { 0x3800 } else { 0 };
            let text = format!("fsw {:#06x}, host: {:#06x}", subject.fsw, host.fsw);
            if differ & !free != 0 {
                self.note(text.clone(), false);
            }
            if differ & free != 0 {
                self.note(text, true);
            }
        }
        if host.ftw != subject.ftw {
            let free = self.undefined().x87;
            self.note(format!("ftw {:#04x}, host: {:#04x}", subject.ftw, host.ftw), free);
        }
        for n in 0..8 {
            let (h, s) = (host.st[n], subject.st[n]);
            if h != s {
                let u = self.undefined();
                let close = match u.approximate {
                    _ if u.x87 => true,
                    Some(Approximate::Ulps(most)) => close80(h, s, most),
                    _ => false,
                };
                let text = format!("st{n} {}, host: {}", hex80(s), hex80(h));
                self.note(text, close);
            }
        }
        let pointers = (host.fop, host.fip_fdp) != (subject.fop, subject.fip_fdp);
        if pointers {
            let free = self.undefined().pointers;
            let text = format!(
                "fop {:#x} fip, fdp {:#x?}, host: {:#x} {:#x?}",
                subject.fop, subject.fip_fdp, host.fop, host.fip_fdp
            );
            self.note(text, free);
        }
    }

    fn sse(&mut self, host: &State, subject: &State) {
        if host.mxcsr != subject.mxcsr {
            self.note(format!("mxcsr {:#x}, host: {:#x}", subject.mxcsr, host.mxcsr), false);
        }
        for n in 0..16 {
            let (h, s) = (host.xmm[n], subject.xmm[n]);
            if h != s {
                let close = self.undefined().approximate == Some(Approximate::Reciprocal)
                    && (0..4).all(|e| close32((h >> (32 * e)) as u32, (s >> (32 * e)) as u32));
                self.note(format!("xmm{n} {s:#034x}, host: {h:#034x}"), close);
            }
        }
    }

    fn memory(&mut self, host: &Outcome, subject: &Outcome) {
        if host.mem == subject.mem {
            return;
        }
        for free in [false, true] {
            self.memory_part(host, subject, free);
        }
    }

    fn memory_part(&mut self, host: &Outcome, subject: &Outcome, free: bool) {
        let u = self.undefined().clone();
        let mut differ = (0..host.mem.len()).filter(|n| {
            host.mem[*n] != subject.mem[*n]
                && free == {
                    let a = layout::mem_addr(*n);
                    u.memory || u.bytes.iter().any(|r| r.contains(&a))
                }
        });
        let Some(first) = differ.next() else { return };
        let last = differ.next_back().unwrap_or(first).min(first + 31);
        let hex = |m: &[u8]| m.iter().fold(String::new(), |s, b| s + &format!("{b:02x}"));
        let text = format!(
            "memory at {:#x}: {}, host: {}",
            layout::mem_addr(first),
            hex(&subject.mem[first..=last]),
            hex(&host.mem[first..=last])
        );
        self.note(text, free);
    }
}

/// An 80-bit pattern in words.
fn hex80(v: u128) -> String {
    format!("{:04x}.{:016x}", (v >> 64) as u16, v as u64)
}

/// Within `most` units in the last place, as ordered bit patterns of the same sign.
fn close80(a: u128, b: u128, most: u64) -> bool {
    let order = |v: u128| {
        // The integer bit is redundant in numbers: without it, patterns follow each other.
        let e = v >> 64 & 0x7fff;
        (e << 63) + (v & ((1 << 63) - 1)) + if e == 0 { v & 1 << 63 } else { 0 }
    };
    a >> 79 == b >> 79 && order(a).abs_diff(order(b)) <= u128::from(most)
}

/// Within twice the documented relative error of RCPPS and RSQRTPS.
fn close32(a: u32, b: u32) -> bool {
    let (x, y) = (f32::from_bits(a), f32::from_bits(b));
    a == b || (x - y).abs() <= x.abs() * 3.0 / 4096.0
}
