//! BT, BTS, BTR, BTC, BSF, BSR, POPCNT, LZCNT, TZCNT, CRC32.

use crate::x86::exec::{Exec, Flow};
use crate::x86::flags::bit;
use crate::x86::int::mov::operand_bytes;
use crate::x86::op::{Handler, Op};
use crate::x86::trap::Trap;
use crate::x86::word::Word;
use iced_x86::{Instruction, Mnemonic, OpKind};

type Done = Result<Flow, Trap>;

/// The operations, by the number that the opcode's bits 4:3 hold.
mod kind {
    pub const BT: u8 = 0;
    pub const BTS: u8 = 1;
    pub const BTR: u8 = 2;
    pub const BTC: u8 = 3;
}

/// Copies bit `n` to CF and changes it as the operation says.
///
/// Undefined: OF, SF, AF and PF stay as they are.
#[inline(always)]
fn apply<T: Word, const K: u8>(ex: &mut Exec<'_>, v: T, n: u64) -> T {
    let mask = 1 << (n & u64::from(T::BITS - 1));
    let v = v.to_u64();
    ex.cpu.flags.set_cf(v & mask != 0);
    T::from_u64(match K {
        kind::BTS => v | mask,
        kind::BTR => v & !mask,
        kind::BTC => v ^ mask,
        _ => v,
    })
}

fn bit_r<T: Word, const K: u8, const IMM: bool>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let v = ex.get::<T>(op.r0);
    let n = if IMM { op.imm } else { ex.get::<T>(op.r1).to_u64() };
    let r = apply::<T, K>(ex, v, n);
    if K != kind::BT {
        ex.set(op.r0, r);
    }
    Ok(Flow::Next)
}

fn bit_mi<T: Word, const K: u8>(ex: &mut Exec<'_>, op: &Op) -> Done {
    if K == kind::BT {
        let v = ex.load::<T>(op)?;
        apply::<T, K>(ex, v, op.imm);
    } else {
        ex.modify::<T>(op, |ex, v| apply::<T, K>(ex, v, op.imm))?;
    }
    Ok(Flow::Next)
}

/// A register's bit offset is signed and reaches beyond the operand: the operand accessed is the
/// one of a string of operands that holds the bit (SDM volume 2, section 3.1.1.9).
fn bit_mr<T: Word, const K: u8>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let n = ex.get::<T>(op.r1).to_i64();
    let bytes = (n >> T::BITS.trailing_zeros()).wrapping_mul(T::BYTES.into());
    let off = ex.ea(op).wrapping_add(bytes as u64);
    let off = match op.addrsize {
        8 => off,
        4 => off & 0xffff_ffff,
        _ => off & 0xffff,
    };
    if K == kind::BT {
        let v = ex.read::<T>(op.seg, off)?;
        apply::<T, K>(ex, v, n as u64);
    } else {
        let lin = ex.linear(op.seg, off, T::BYTES.into(), true)?;
        ex.modify_lin::<T>(op.seg, lin, |ex, v| apply::<T, K>(ex, v, n as u64))?;
    }
    Ok(Flow::Next)
}

/// The source operand of an instruction `r, r/m`.
#[inline(always)]
fn source<T: Word, const MEM: bool>(ex: &mut Exec<'_>, op: &Op) -> Result<T, Trap> {
    if MEM { ex.load::<T>(op) } else { Ok(ex.get::<T>(op.r1)) }
}

/// Undefined: with a zero source the destination stays as it is, all of it. CF, OF, SF and AF are
/// cleared, PF is that of the bit's number (AMD's processors do so).
fn scan<T: Word, const REVERSE: bool, const MEM: bool>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let v = source::<T, MEM>(ex, op)?.to_u64();
    if v == 0 {
        ex.cpu.flags.set_logic(0);
    } else {
        let n = u64::from(if REVERSE { 63 - v.leading_zeros() } else { v.trailing_zeros() });
        ex.set(op.r0, T::from_u64(n));
        // Not zero above the byte that PF comes from.
        ex.cpu.flags.set_logic(n | 0x100);
    }
    Ok(Flow::Next)
}

fn popcnt<T: Word, const MEM: bool>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let n = source::<T, MEM>(ex, op)?.to_u64().count_ones();
    ex.set(op.r0, T::from_u64(n.into()));
    ex.cpu.flags.set_bits(if n == 0 { bit::ZF } else { 0 });
    Ok(Flow::Next)
}

/// LZCNT and TZCNT: CF tells of a zero source, ZF of a zero result.
///
/// Undefined: OF stays as it is, SF, PF and AF are cleared (AMD's processors do so).
fn count_zeros<T: Word, const LEADING: bool, const MEM: bool>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let v = source::<T, MEM>(ex, op)?.to_u64();
    let n = if v == 0 {
        T::BITS
    } else if LEADING {
        v.leading_zeros() - (64 - T::BITS)
    } else {
        v.trailing_zeros()
    };
    ex.set(op.r0, T::from_u64(n.into()));
    let of = ex.cpu.flags.bits() & bit::OF;
    let zf = if n == 0 { bit::ZF } else { 0 };
    let cf = if v == 0 { bit::CF } else { 0 };
    ex.cpu.flags.set_bits(of | zf | cf);
    Ok(Flow::Next)
}

/// CRC32 with the polynomial 11EDC6F41H, bits reflected.
fn crc32<S: Word, const MEM: bool>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let v = source::<S, MEM>(ex, op)?.to_u64();
    let mut crc = ex.get::<u32>(op.r0);
    for i in 0..u32::from(S::BYTES) {
        crc = crc >> 8 ^ CRC_TABLE[((crc ^ (v >> (8 * i)) as u32) & 0xff) as usize];
    }
    // A quadword destination gets its upper half cleared, as a doubleword's does.
    ex.set(op.r0, crc);
    Ok(Flow::Next)
}

const CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let mut crc = i as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = crc >> 1 ^ if crc & 1 != 0 { 0x82f6_3b78 } else { 0 };
            bit += 1;
        }
        table[i] = crc;
        i += 1;
    }
    table
};

fn bit_shape<T: Word, const K: u8>(ins: &Instruction) -> Handler {
    let mem = ins.op_kind(0) == OpKind::Memory;
    let reg = ins.op_kind(1) == OpKind::Register;
    match (mem, reg) {
        (false, false) => bit_r::<T, K, true>,
        (false, true) => bit_r::<T, K, false>,
        (true, false) => bit_mi::<T, K>,
        (true, true) => bit_mr::<T, K>,
    }
}

fn bit_width<const K: u8>(ins: &Instruction) -> Option<Handler> {
    Some(match operand_bytes(ins, 0) {
        2 => bit_shape::<u16, K>(ins),
        4 => bit_shape::<u32, K>(ins),
        8 => bit_shape::<u64, K>(ins),
        _ => return None,
    })
}

macro_rules! two {
    ($ins:expr, $f:ident $(, $more:expr)*) => {
        Some(match (operand_bytes($ins, 0), $ins.op_kind(1) == OpKind::Memory) {
            (2, false) => $f::<u16, $({ $more },)* false>,
            (4, false) => $f::<u32, $({ $more },)* false>,
            (8, false) => $f::<u64, $({ $more },)* false>,
            (2, true) => $f::<u16, $({ $more },)* true>,
            (4, true) => $f::<u32, $({ $more },)* true>,
            (8, true) => $f::<u64, $({ $more },)* true>,
            _ => return None,
        })
    };
}

/// The handler for `ins`, if it belongs to this module.
pub fn select(ins: &Instruction) -> Option<Handler> {
    match ins.mnemonic() {
        Mnemonic::Bt => bit_width::<{ kind::BT }>(ins),
        Mnemonic::Bts => bit_width::<{ kind::BTS }>(ins),
        Mnemonic::Btr => bit_width::<{ kind::BTR }>(ins),
        Mnemonic::Btc => bit_width::<{ kind::BTC }>(ins),
        Mnemonic::Bsf => two!(ins, scan, false),
        Mnemonic::Bsr => two!(ins, scan, true),
        Mnemonic::Popcnt => two!(ins, popcnt),
        Mnemonic::Lzcnt => two!(ins, count_zeros, true),
        Mnemonic::Tzcnt => two!(ins, count_zeros, false),
        Mnemonic::Crc32 => {
            let mem = ins.op_kind(1) == OpKind::Memory;
            Some(match (operand_bytes(ins, 1), mem) {
                (1, false) => crc32::<u8, false>,
                (2, false) => crc32::<u16, false>,
                (4, false) => crc32::<u32, false>,
                (8, false) => crc32::<u64, false>,
                (1, true) => crc32::<u8, true>,
                (2, true) => crc32::<u16, true>,
                (4, true) => crc32::<u32, true>,
                (8, true) => crc32::<u64, true>,
                _ => return None,
            })
        }
        _ => None,
    }
}
