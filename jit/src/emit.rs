//! Encoding of host instructions whose operands' size and place are only known at run time.
//! Fixed sequences are written with dynasm beside this.

use dynasmrt::x64::X64Relocation;
use dynasmrt::{DynamicLabel, DynasmApi, DynasmLabelApi, VecAssembler, dynasm};

/// The assembler.
pub type Asm = VecAssembler<X64Relocation>;

/// A register or memory operand of a host instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rm {
    /// A register.
    Reg(u8),
    /// Memory at a register plus a displacement.
    Mem(u8, i32),
    /// Memory at the sum of a register, another one shifted by some bits, and a displacement.
    Sum(u8, u8, u8, i32),
}

impl Rm {
    /// True when it is memory whose address depends on the register.
    pub fn counts_from(self, reg: u8) -> bool {
        match self {
            Self::Reg(_) => false,
            Self::Mem(base, _) => base == reg,
            Self::Sum(base, index, ..) => base == reg || index == reg,
        }
    }
}

/// Emits `opcode` with a ModRM byte. `bytes` tells that `reg` (bit 0) or `rm` (bit 1) are bytes.
fn modrm(asm: &mut Asm, w: bool, bytes: u8, opcode: &[u8], reg: u8, rm: Rm) {
    let (base, is_reg) = match rm {
        Rm::Reg(r) => (r, true),
        Rm::Mem(b, _) | Rm::Sum(b, ..) => (b, false),
    };
    let index = if let Rm::Sum(_, i, ..) = rm { i } else { 0 };
    let mut rex = if w { 0x48 } else { 0 };
    if reg >= 8 {
        rex |= 0x44;
    }
    if base >= 8 {
        rex |= 0x41;
    }
    if index >= 8 {
        rex |= 0x42;
    }
    // SPL, BPL, SIL and DIL in place of AH to BH.
    if bytes & 1 != 0 && (4..8).contains(&reg) || bytes & 2 != 0 && is_reg && (4..8).contains(&base) {
        rex |= 0x40;
    }
    if rex != 0 {
        asm.push(rex);
    }
    asm.extend(opcode);
    let low = (reg & 7) << 3 | base & 7;
    match rm {
        Rm::Reg(_) => asm.push(0xc0 | low),
        Rm::Mem(_, disp) | Rm::Sum(.., disp) => {
            let short = i8::try_from(disp);
            let mode = match short {
                Ok(0) if base & 7 != 5 => 0,
                Ok(_) => 0x40,
                Err(_) => 0x80,
            };
            if let Rm::Sum(_, _, scale, _) = rm {
                asm.push(mode | low & 0x38 | 4);
                asm.push(scale << 6 | (index & 7) << 3 | base & 7);
            } else {
                asm.push(mode | low);
                if base & 7 == 4 {
                    asm.push(0x24);
                }
            }
            match (mode, short) {
                (0, _) => {}
                (_, Ok(d)) => asm.push_i8(d),
                _ => asm.push_i32(disp),
            }
        }
    }
}

/// An instruction whose prefix, if it has one, is there already; REX comes between.
pub fn encode(asm: &mut Asm, w: bool, opcode: &[u8], reg: u8, rm: Rm) {
    modrm(asm, w, 0, opcode, reg, rm);
}

/// An instruction of one opcode byte, or two after 0F, whose lowest bit is the width: clear for bytes.
pub fn sized(asm: &mut Asm, size: u8, opcode: &[u8], reg: u8, rm: Rm) {
    if size == 2 {
        asm.push(0x66);
    }
    let mut op = [0; 2];
    let op = &mut op[..opcode.len()];
    op.copy_from_slice(opcode);
    if size != 1 {
        op[opcode.len() - 1] |= 1;
    }
    modrm(asm, size == 8, if size == 1 { 3 } else { 0 }, op, reg, rm);
}

/// An instruction whose opcode does not tell the width: 66 and REX.W do. Not for bytes.
pub fn wide(asm: &mut Asm, size: u8, opcode: &[u8], reg: u8, rm: Rm) {
    if size == 2 {
        asm.push(0x66);
    }
    modrm(asm, size == 8, 0, opcode, reg, rm);
}

/// MOVZX (`signed` false) or MOVSX into all of a 32-bit or 64-bit register.
pub fn extend(asm: &mut Asm, signed: bool, to: u8, from: u8, reg: u8, rm: Rm) {
    let w = to == 8 && signed;
    match (from, signed) {
        (1, _) => modrm(asm, w, 2, &[0x0f, if signed { 0xbe } else { 0xb6 }], reg, rm),
        (2, _) => modrm(asm, w, 0, &[0x0f, if signed { 0xbf } else { 0xb7 }], reg, rm),
        (4, true) if w => modrm(asm, true, 0, &[0x63], reg, rm),
        (4, _) => modrm(asm, false, 0, &[0x8b], reg, rm),
        _ => modrm(asm, true, 0, &[0x8b], reg, rm),
    }
}

/// MOV reg, rm.
pub fn load(asm: &mut Asm, size: u8, reg: u8, rm: Rm) {
    if rm != Rm::Reg(reg) || size == 4 {
        sized(asm, size, &[0x8a], reg, rm);
    }
}

/// MOV rm, reg.
pub fn store(asm: &mut Asm, size: u8, rm: Rm, reg: u8) {
    if rm != Rm::Reg(reg) || size == 4 {
        sized(asm, size, &[0x88], reg, rm);
    }
}

/// An operation of the group 80 to 83 with an immediate.
pub fn group1(asm: &mut Asm, size: u8, kind: u8, rm: Rm, imm: i32) {
    if size == 1 {
        sized(asm, 1, &[0x80], kind, rm);
        asm.push(imm as u8);
    } else if let Ok(short) = i8::try_from(imm) {
        wide(asm, size, &[0x83], kind, rm);
        asm.push_i8(short);
    } else {
        wide(asm, size, &[0x81], kind, rm);
        push_imm(asm, size, imm);
    }
}

/// The immediate of an instruction with an operand of `size` bytes.
pub fn push_imm(asm: &mut Asm, size: u8, imm: i32) {
    match size {
        1 => asm.push(imm as u8),
        2 => asm.push_i16(imm as i16),
        _ => asm.push_i32(imm),
    }
}

/// MOV reg, imm in the shortest form. Flags stay.
pub fn load_imm(asm: &mut Asm, reg: u8, imm: u64) {
    if let Ok(v) = u32::try_from(imm) {
        dynasm!(asm ; .arch x64 ; mov Rd(reg), DWORD v as i32);
    } else if let Ok(v) = i32::try_from(imm as i64) {
        dynasm!(asm ; .arch x64 ; mov Rq(reg), DWORD v);
    } else {
        dynasm!(asm ; .arch x64 ; mov Rq(reg), QWORD imm as i64);
    }
}

/// Jcc to a label.
pub fn jcc(asm: &mut Asm, cc: u8, to: DynamicLabel) {
    macro_rules! by {
        ($($n:literal $i:ident)*) => { match cc { $($n => dynasm!(asm ; .arch x64 ; $i =>to),)* _ => unreachable!("a condition has four bits") } };
    }
    by!(0 jo 1 jno 2 jb 3 jae 4 jz 5 jnz 6 jbe 7 ja 8 js 9 jns 10 jp 11 jnp 12 jl 13 jge 14 jle 15 jg);
}
