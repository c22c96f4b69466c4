//! Instructions in words, as the manuals' assemblers write them.

use crate::machine::board::Core;
use dejavm_interp::x86::regs::seg;
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
