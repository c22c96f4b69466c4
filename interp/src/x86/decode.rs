//! From bytes to [`Op`]s: iced-x86 decodes, the `exec_*` modules choose the handlers.

use super::op::{Handler, Op, REG_RIP, REG_ZERO, opflag};
use super::regs::seg;
use super::trap::Trap;
use super::{int, model::Model, simd, system, x87};
use iced_x86::{
    Code, Decoder, DecoderError, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register,
};
use std::sync::LazyLock;

/// Most bytes of an instruction.
pub const MAX_INSTRUCTION: usize = 15;

/// What decoding some bytes gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// An instruction.
    Op,
    /// An instruction that no other of the same block may follow.
    Last,
    /// The instruction goes on after the bytes given, of which there are less than 15.
    Short,
}

/// The modules that implement instructions, asked in turn for a handler.
const GROUPS: &[fn(&Instruction) -> Option<Handler>] =
    &[int::select, system::select, x87::select, simd::select];

/// Decodes the instruction at the start of `bytes`, for code of `code_size` bytes (2, 4 or 8) on a CPU of
/// `model`. None if it goes on behind them.
pub fn decode(bytes: &[u8], code_size: u8, model: Model) -> Option<Op> {
    let mut op = BLANK;
    let decoded = Decoding::new(bytes, code_size, model).decode(&mut op);
    (decoded != Decoded::Short).then_some(op)
}

/// Decodes instructions that lie one behind the other.
pub struct Decoding<'a> {
    decoder: Decoder<'a>,
    bytes: &'a [u8],
    code_size: u8,
    model: Model,
}

impl<'a> Decoding<'a> {
    /// Begins at the start of `bytes`, for code of `code_size` bytes (2, 4 or 8) on a CPU of `model`.
    pub fn new(bytes: &'a [u8], code_size: u8, model: Model) -> Self {
        let decoder = Decoder::with_ip(u32::from(code_size) * 8, bytes, 0, model.decoder_options());
        Self { decoder, bytes, code_size, model }
    }

    /// Decodes the next instruction into `op`, which is blank. In place: a copy would wait for the many small stores
    /// that make an op.
    pub fn decode(&mut self, op: &mut Op) -> Decoded {
        let rest = self.bytes.get(self.decoder.position()..).unwrap_or_default();
        self.decoder.set_ip(0);
        let mut ins = self.decoder.decode();
        if ins.code() == Code::Pause && self.code_size == 8 && rest[ins.len() - 2] & 0xf1 == 0x41 {
            // REX.B makes it XCHG with R8, as without F3.
            ins = Decoder::with_ip(64, rest, 0, self.model.decoder_options() | DecoderOptions::NO_PAUSE)
                .decode();
        }
        if ins.is_invalid() {
            if self.decoder.last_error() == DecoderError::NoMoreBytes {
                return Decoded::Short;
            }
            op.len = rest.len().min(MAX_INSTRUCTION) as u8;
            op.run = if self.too_long(rest) { too_long } else { invalid };
            return Decoded::Last;
        }
        convert(&ins, self.code_size, op);
        if let Some(opcode) = x87::opcode(&rest[..ins.len()], self.code_size == 8) {
            op.imm2 = opcode;
        }
        op.run = if self.model.supports(ins.code()) {
            GROUPS.iter().find_map(|select| select(&ins)).unwrap_or(unimplemented)
        } else {
            invalid
        };
        if ends_block(&ins) { Decoded::Last } else { Decoded::Op }
    }

    /// True when what `bytes` begin with and is no instruction has more than 15 bytes: that is #GP(0), not #UD
    /// (SDM volume 2, section 2.3.11).
    fn too_long(&self, bytes: &[u8]) -> bool {
        let Some(bytes) = bytes.get(..MAX_INSTRUCTION) else { return false };
        let rex = |b: u8| self.code_size == 8 && b & 0xf0 == 0x40;
        let repeat = |b: u8| matches!(b, 0xf2 | 0xf3);
        let prefix =
            |b: u8| matches!(b, 0x26 | 0x2e | 0x36 | 0x3e | 0x64..=0x67 | 0xf0) || repeat(b) || rex(b);
        let prefixes = &bytes[..bytes.iter().position(|&b| !prefix(b)).unwrap_or(bytes.len())];
        // Is it cut short without the prefixes that do not matter to the length? With none such it cannot be too long.
        let matters = |i: usize, b: u8| {
            let behind = &prefixes[i + 1..];
            match b {
                0x66 | 0x67 => !behind.contains(&b),
                _ if repeat(b) => !behind.iter().any(|&b| repeat(b)),
                _ => rex(b) && behind.is_empty(),
            }
        };
        let kept = bytes.iter().enumerate().filter(|&(i, &b)| i >= prefixes.len() || matters(i, b));
        let mut short: Vec<u8> = kept.map(|(_, b)| *b).collect();
        if short.len() == MAX_INSTRUCTION {
            return false;
        }
        let bits = u32::from(self.code_size) * 8;
        let mut decoder = Decoder::new(bits, &short, self.model.decoder_options());
        if !decoder.decode().is_invalid() || decoder.last_error() != DecoderError::NoMoreBytes {
            return false;
        }
        // Unless it is no instruction anyway: iced asks for a ModR/M byte that undefined opcodes do not have.
        let len = short.len();
        [0xc0, 0x08].iter().any(|&next| {
            short.truncate(len);
            short.push(next);
            short.resize(2 * MAX_INSTRUCTION, 0);
            !Decoder::new(bits, &short, self.model.decoder_options()).decode().is_invalid()
        })
    }
}

fn invalid(_: &mut super::Exec<'_>, _: &Op) -> Result<super::Flow, Trap> {
    Err(Trap::UD)
}

fn too_long(_: &mut super::Exec<'_>, _: &Op) -> Result<super::Flow, Trap> {
    Err(Trap::GP)
}

fn unimplemented(_: &mut super::Exec<'_>, _: &Op) -> Result<super::Flow, Trap> {
    Err(Trap::Unimplemented)
}

/// Nothing decoded yet.
pub const BLANK: Op = Op {
    run: unimplemented,
    imm: 0,
    disp: 0,
    imm2: 0,
    code: 0,
    len: 0,
    r0: 0,
    r1: 0,
    r2: 0,
    base: REG_ZERO,
    index: REG_ZERO,
    scale: 0,
    seg: seg::DS,
    opsize: 0,
    addrsize: 0,
    flags: 0,
};

/// The number of a register inside its file; bytes AH to BH are 20 to 23.
pub fn register_number(r: Register) -> u8 {
    match r {
        Register::AH => 20,
        Register::CH => 21,
        Register::DH => 22,
        Register::BH => 23,
        Register::None => REG_ZERO,
        Register::RIP | Register::EIP => REG_RIP,
        // DIL is numbered after the high bytes by iced.
        Register::SPL => 4,
        Register::BPL => 5,
        Register::SIL => 6,
        Register::DIL => 7,
        r if r.is_gpr8() => {
            let i = r as u32;
            if i >= Register::R8L as u32 {
                (i - Register::R8L as u32 + 8) as u8
            } else {
                (i - Register::AL as u32) as u8
            }
        }
        r => r.number() as u8,
    }
}

fn register_bytes(r: Register) -> Option<u8> {
    match r.size() {
        8 => Some(8),
        4 => Some(4),
        2 => Some(2),
        _ => None,
    }
}

fn convert(ins: &Instruction, code_size: u8, op: &mut Op) {
    op.len = ins.len() as u8;
    op.code = ins.code() as u16;
    op.opsize = operand_size(ins, code_size);
    op.addrsize = code_size;
    let mut seg_register = Register::DS;
    for i in 0..ins.op_count() {
        match ins.op_kind(i) {
            OpKind::Register => {
                let number = register_number(ins.op_register(i));
                match i {
                    0 => op.r0 = number,
                    1 => op.r1 = number,
                    _ => op.r2 = number,
                }
            }
            OpKind::Memory => {
                op.base = register_number(ins.memory_base());
                op.index = register_number(ins.memory_index());
                op.scale = ins.memory_index_scale().trailing_zeros() as u8;
                op.disp = ins.memory_displacement64();
                seg_register = memory_segment(ins, code_size);
                op.addrsize = [ins.memory_base(), ins.memory_index()]
                    .iter()
                    .find_map(|r| match r {
                        Register::EIP => Some(4),
                        Register::RIP => Some(8),
                        Register::None => None,
                        r => register_bytes(*r),
                    })
                    .unwrap_or(match ins.memory_displ_size() {
                        0 | 1 => code_size,
                        n => n as u8,
                    });
                if ins.is_ip_rel_memory_operand() {
                    // iced resolves the target; RIP is that of the next instruction already.
                    op.disp = op.disp.wrapping_sub(ins.next_ip());
                }
            }
            OpKind::NearBranch16 | OpKind::NearBranch32 | OpKind::NearBranch64 => {
                let target = ins.near_branch_target();
                let delta = target.wrapping_sub(ins.next_ip());
                op.imm = match ins.op_kind(i) {
                    OpKind::NearBranch16 => delta as i16 as u64,
                    OpKind::NearBranch32 => delta as i32 as u64,
                    _ => delta,
                };
            }
            OpKind::FarBranch16 => {
                op.imm = ins.far_branch16().into();
                op.imm2 = ins.far_branch_selector();
            }
            OpKind::FarBranch32 => {
                op.imm = ins.far_branch32().into();
                op.imm2 = ins.far_branch_selector();
            }
            OpKind::Immediate8_2nd => op.imm2 = ins.immediate8_2nd().into(),
            OpKind::MemorySegSI | OpKind::MemorySegDI | OpKind::MemoryESDI => op.addrsize = 2,
            OpKind::MemorySegESI | OpKind::MemorySegEDI | OpKind::MemoryESEDI => op.addrsize = 4,
            OpKind::MemorySegRSI | OpKind::MemorySegRDI | OpKind::MemoryESRDI => op.addrsize = 8,
            kind if is_immediate(kind) => op.imm = ins.immediate(i),
            _ => {}
        }
        if matches!(
            ins.op_kind(i),
            OpKind::MemorySegSI
                | OpKind::MemorySegESI
                | OpKind::MemorySegRSI
                | OpKind::MemorySegDI
                | OpKind::MemorySegEDI
                | OpKind::MemorySegRDI
        ) {
            seg_register = memory_segment(ins, code_size);
        }
    }
    op.seg = seg_register.number() as u8;
    for (set, bit) in [
        (ins.has_lock_prefix(), opflag::LOCK),
        (ins.has_rep_prefix(), opflag::REP),
        (ins.has_repne_prefix(), opflag::REPNE),
        (code_size == 8, opflag::LONG),
    ] {
        if set {
            op.flags |= bit;
        }
    }
}

/// The segment of the memory operand. In 64-bit mode overrides other than FS and GS are ignored,
/// also where the stack segment would mean #SS in place of #GP (SDM volume 1, section 3.3.4).
fn memory_segment(ins: &Instruction, code_size: u8) -> Register {
    let segment = ins.memory_segment();
    if code_size != 8 || matches!(segment, Register::FS | Register::GS) {
        return segment;
    }
    match ins.memory_base() {
        Register::RSP | Register::ESP | Register::RBP | Register::EBP => Register::SS,
        _ => Register::DS,
    }
}

fn is_immediate(kind: OpKind) -> bool {
    use OpKind::*;
    matches!(
        kind,
        Immediate8
            | Immediate16
            | Immediate32
            | Immediate64
            | Immediate8to16
            | Immediate8to32
            | Immediate8to64
            | Immediate32to64
    )
}

/// What 66 and REX.W select for this encoding, in bytes; the default code size's for encodings
/// that have no operand size.
fn operand_size(ins: &Instruction, code_size: u8) -> u8 {
    static SIZES: LazyLock<Box<[u8]>> =
        LazyLock::new(|| Code::values().map(|c| (c.op_code().operand_size() / 8) as u8).collect());
    match SIZES[ins.code() as usize] {
        0 => code_size,
        size => size,
    }
}

/// True when the op is the last of its block: it branches, repeats, or may change the mode, what
/// is interrupted, or the map.
fn ends_block(ins: &Instruction) -> bool {
    use Mnemonic::*;
    if ins.flow_control() != FlowControl::Next || ins.code() == Code::INVALID {
        return true;
    }
    if ins.has_rep_prefix() || ins.has_repne_prefix() {
        // A string instruction may take more of the budget than its one step.
        return true;
    }
    let writes_ss = ins.op0_register() == Register::SS && matches!(ins.mnemonic(), Mov | Pop | Lss);
    writes_ss
        || matches!(
            ins.mnemonic(),
            Sti | Cli
                | Popf
                | Popfd
                | Popfq
                | Hlt
                | Mwait
                | Wrmsr
                | Lmsw
                | Clts
                | Stac
                | Clac
                | Xsetbv
                | Ltr
                | Lldt
                | Lgdt
                | Lidt
                | Invlpg
                | Invd
                | Wbinvd
                | Pause
                | Swapgs
        )
        || ins.mnemonic() == Mov && (ins.op0_register().is_cr() || ins.op0_register().is_dr())
}
