//! From bytes to [`Op`]s: iced-x86 decodes, the `exec_*` modules choose the handlers.

use super::op::{Handler, Op, REG_RIP, REG_ZERO, opflag};
use super::regs::seg;
use super::trap::Trap;
use super::{int, model::Model, simd, system, x87};
use iced_x86::{
    Code, Decoder, DecoderError, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register,
};

/// What decoding some bytes gave.
pub enum Decoded {
    /// An instruction and its op; true when no op of the same block may follow it.
    Op(Op, bool),
    /// The instruction goes on after the bytes given.
    Short,
}

/// The modules that implement instructions, asked in turn for a handler.
const GROUPS: &[fn(&Instruction) -> Option<Handler>] =
    &[int::select, system::select, x87::select, simd::select];

/// Decodes the instruction at the start of `bytes` (at most 15), for code of `code_size` bytes
/// (2, 4 or 8) on a CPU of `model`.
pub fn decode(bytes: &[u8], code_size: u8, model: Model) -> Decoded {
    let options = model.decoder_options();
    let mut decoder = Decoder::with_ip(u32::from(code_size) * 8, bytes, 0, options);
    let mut ins = decoder.decode();
    if ins.code() == Code::Pause && code_size == 8 && bytes[ins.len() - 2] & 0xf1 == 0x41 {
        // REX.B makes it XCHG with R8, as without F3.
        ins = Decoder::with_ip(64, bytes, 0, options | DecoderOptions::NO_PAUSE).decode();
    }
    if ins.is_invalid() {
        if decoder.last_error() == DecoderError::NoMoreBytes && bytes.len() < 15 {
            return Decoded::Short;
        }
        let mut op = blank(invalid);
        op.len = bytes.len().min(15) as u8;
        // More than 15 bytes is #GP(0), not #UD (SDM volume 2, section 2.3.11).
        if decoder.last_error() == DecoderError::NoMoreBytes {
            op.run = too_long;
        }
        return Decoded::Op(op, true);
    }
    let mut op = convert(&ins, code_size);
    if let Some(opcode) = x87::opcode(&bytes[..ins.len()], code_size == 8) {
        op.imm2 = opcode;
    }
    op.run = if model.supports(&ins) {
        GROUPS.iter().find_map(|select| select(&ins)).unwrap_or(unimplemented)
    } else {
        invalid
    };
    Decoded::Op(op, ends_block(&ins))
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

fn blank(run: Handler) -> Op {
    Op {
        run,
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
    }
}

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

fn convert(ins: &Instruction, code_size: u8) -> Op {
    let mut op = blank(unimplemented);
    op.len = ins.len() as u8;
    op.code = ins.code() as u16;
    op.opsize = operand_size(ins, code_size);
    op.addrsize = code_size;
    let mut seg_register = Register::DS;
    for i in 0..ins.op_count() {
        let number = register_number(ins.op_register(i));
        match ins.op_kind(i) {
            OpKind::Register => match i {
                0 => op.r0 = number,
                1 => op.r1 = number,
                _ => op.r2 = number,
            },
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
    op
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
    match ins.code().op_code().operand_size() {
        16 => 2,
        32 => 4,
        64 => 8,
        _ => code_size,
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
