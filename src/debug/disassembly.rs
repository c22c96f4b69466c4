//! Instructions in words, as the manuals' assemblers write them.

use crate::machine::board::Core;
use dejavm_interp::x86::regs::seg;
use disarm64::InsnDisplay;
use iced_x86::{Decoder, DecoderOptions, Formatter, NasmFormatter};

/// The longest instruction of any architecture, in bytes.
pub const LONGEST: u64 = 15;

/// An instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Bytes, at least 1.
    pub len: usize,
    /// Its text; `None` when the bytes are no instruction.
    pub text: Option<String>,
    /// The linear address that it branches to, if it is a direct branch.
    pub target: Option<u64>,
}

/// The instruction that begins with `bytes` at the linear address `addr`, in the CPU's mode. `None` for a board whose
/// CPU has no instructions.
pub fn disassemble(core: &Core<'_>, addr: u64, bytes: &[u8]) -> Option<Line> {
    match core {
        Core::X86(cpu) => Some(x86(cpu, addr, bytes)),
        Core::A64(_) => Some(a64(addr, bytes)),
        Core::None => None,
    }
}

fn x86(cpu: &dejavm_interp::x86::Cpu, addr: u64, bytes: &[u8]) -> Line {
    let bits = 8 * u32::from(cpu.code_size());
    // Branches count from the segment's beginning.
    let base = if bits == 64 { 0 } else { cpu.segs[usize::from(seg::CS)].base };
    let mut decoder = Decoder::with_ip(bits, bytes, addr.wrapping_sub(base), DecoderOptions::NONE);
    let instruction = decoder.decode();
    let len = instruction.len().max(1);
    if instruction.is_invalid() {
        return Line { len, text: None, target: None };
    }
    let mut text = String::new();
    let mut formatter = NasmFormatter::new();
    let options = formatter.options_mut();
    options.set_space_after_operand_separator(true);
    options.set_hex_prefix("0x");
    options.set_hex_suffix("");
    formatter.format(&instruction, &mut text);
    let target = Some(instruction.near_branch_target()).filter(|&t| t != 0).map(|t| t.wrapping_add(base));
    Line { len, text: Some(text), target }
}

/// A64 instructions are words, little-endian in any case.
fn a64(addr: u64, bytes: &[u8]) -> Line {
    let word = bytes.first_chunk().map(|word| u32::from_le_bytes(*word));
    let text = word.and_then(disarm64::decoder::decode).map(|op| tidy(&op.display_at(addr).to_string()));
    Line { len: bytes.len().clamp(1, 4), text, target: word.and_then(|word| a64_target(addr, word)) }
}

/// One blank behind the mnemonic, none at the end.
fn tidy(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Where B, BL, B.cond, CBZ and TBZ lead (C4.1.94).
fn a64_target(addr: u64, word: u32) -> Option<u64> {
    let offset = |high: u32, low: u32| ((word << (31 - high)) as i32 >> (31 - high + low)) as i64 as u64;
    let words = match word >> 24 {
        0x14..=0x17 | 0x94..=0x97 => offset(25, 0),
        0x54 | 0x34 | 0x35 | 0xb4 | 0xb5 => offset(23, 5),
        0x36 | 0x37 | 0xb6 | 0xb7 => offset(18, 5),
        _ => return None,
    };
    Some(addr.wrapping_add(words << 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a64_branches_name_their_targets() {
        let line = |word: u32| a64(0x1000, &word.to_le_bytes());
        assert_eq!(line(0x9400_0002).target, Some(0x1008), "bl");
        assert_eq!(line(0x54ff_ffe1).target, Some(0xffc), "b.ne");
        assert_eq!(line(0x3608_0040).target, Some(0x1008), "tbz");
        assert_eq!(line(0xb4ff_ffe0).target, Some(0xffc), "cbz");
        assert_eq!(line(0xd65f_03c0).target, None, "ret");
        assert_eq!(line(0xd65f_03c0).text.as_deref(), Some("ret x30"));
        assert_eq!(a64(0, &[0, 1]), Line { len: 2, text: None, target: None });
    }
}
