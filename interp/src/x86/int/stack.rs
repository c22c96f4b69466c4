//! PUSH, POP, PUSHA, POPA, PUSHF, POPF, ENTER, LEAVE, LAHF, SAHF (SDM volume 1, chapter 6).

use crate::x86::exec::{Exec, Flow};
use crate::x86::flags::bit;
use crate::x86::op::{Handler, Op};
use crate::x86::regs::{cr4, gpr, seg};
use crate::x86::trap::Trap;
use iced_x86::{Instruction, Mnemonic, OpKind};

type Done = Result<Flow, Trap>;

/// Pushes `SIZE` bytes. Eight bytes are pushed in 64-bit mode only: no segment, no wrapping.
///
/// # Errors
/// The access's fault; RSP is unchanged then.
#[inline(always)]
pub fn push<const SIZE: u8>(ex: &mut Exec<'_>, v: u64) -> Result<(), Trap> {
    if SIZE != 8 {
        return ex.push(SIZE, v);
    }
    let sp = ex.cpu.regs[usize::from(gpr::RSP)].wrapping_sub(8);
    ex.write_lin(seg::SS, sp, v)?;
    ex.cpu.regs[usize::from(gpr::RSP)] = sp;
    Ok(())
}

/// Reads `SIZE` bytes at the top of the stack.
///
/// # Errors
/// The access's fault.
#[inline(always)]
pub fn top<const SIZE: u8>(ex: &mut Exec<'_>) -> Result<u64, Trap> {
    if SIZE != 8 {
        return ex.peek(0, SIZE);
    }
    let sp = ex.cpu.regs[usize::from(gpr::RSP)];
    ex.read_lin(seg::SS, sp)
}

/// Moves the stack pointer up by `SIZE` bytes and `more`.
#[inline(always)]
pub fn release<const SIZE: u8>(ex: &mut Exec<'_>, more: u64) {
    if SIZE == 8 {
        let sp = &mut ex.cpu.regs[usize::from(gpr::RSP)];
        *sp = sp.wrapping_add(8 + more);
    } else {
        let sp = ex.stack_offset(u64::from(SIZE) + more);
        ex.set_sp(sp);
    }
}

fn push_r<const SIZE: u8>(ex: &mut Exec<'_>, op: &Op) -> Done {
    // PUSH of the stack pointer pushes its old value.
    let v = ex.get::<u64>(op.r0);
    push::<SIZE>(ex, v)?;
    Ok(Flow::Next)
}

fn push_i<const SIZE: u8>(ex: &mut Exec<'_>, op: &Op) -> Done {
    push::<SIZE>(ex, op.imm)?;
    Ok(Flow::Next)
}

fn push_m<const SIZE: u8>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let v = match SIZE {
        2 => ex.load::<u16>(op)?.into(),
        4 => ex.load::<u32>(op)?.into(),
        _ => ex.load::<u64>(op)?,
    };
    push::<SIZE>(ex, v)?;
    Ok(Flow::Next)
}

fn pop_r<const SIZE: u8>(ex: &mut Exec<'_>, op: &Op) -> Done {
    // POP of the stack pointer: the value popped wins.
    let v = top::<SIZE>(ex)?;
    release::<SIZE>(ex, 0);
    match SIZE {
        2 => ex.set(op.r0, v as u16),
        4 => ex.set(op.r0, v as u32),
        _ => ex.set(op.r0, v),
    }
    Ok(Flow::Next)
}

fn pop_m<const SIZE: u8>(ex: &mut Exec<'_>, op: &Op) -> Done {
    // An address that uses the stack pointer uses the incremented one.
    let old = ex.get::<u64>(gpr::RSP);
    let v = top::<SIZE>(ex)?;
    release::<SIZE>(ex, 0);
    let stored = match SIZE {
        2 => ex.store(op, v as u16),
        4 => ex.store(op, v as u32),
        _ => ex.store(op, v),
    };
    if let Err(trap) = stored {
        ex.set(gpr::RSP, old);
        return Err(trap);
    }
    Ok(Flow::Next)
}

/// PUSHA, PUSHAD.
fn push_all<const SIZE: u8>(ex: &mut Exec<'_>, _: &Op) -> Done {
    let old = ex.get::<u64>(gpr::RSP);
    for r in 0..8 {
        let v = if r == gpr::RSP { old } else { ex.get::<u64>(r) };
        if let Err(trap) = ex.push(SIZE, v) {
            ex.set(gpr::RSP, old);
            return Err(trap);
        }
    }
    Ok(Flow::Next)
}

/// POPA, POPAD.
fn pop_all<const SIZE: u8>(ex: &mut Exec<'_>, _: &Op) -> Done {
    let mut values = [0; 8];
    for (i, v) in values.iter_mut().enumerate() {
        *v = ex.peek(i as u64 * u64::from(SIZE), SIZE)?;
    }
    let sp = ex.stack_offset(8 * u64::from(SIZE));
    ex.set_sp(sp);
    for (i, v) in values.iter().rev().enumerate() {
        let r = i as u8;
        if r != gpr::RSP {
            ex.set_sized(r, SIZE, *v);
        }
    }
    Ok(Flow::Next)
}

/// PUSHF, PUSHFD, PUSHFQ. RF and VM are pushed as zero.
fn pushf<const SIZE: u8>(ex: &mut Exec<'_>, _: &Op) -> Done {
    let flags = ex.cpu.rflags();
    let mut image = flags & !(bit::RF | bit::VM);
    if ex.cpu.v86() && ex.cpu.iopl() < 3 {
        if SIZE != 2 || ex.cpu.cr4 & cr4::VME == 0 {
            return Err(Trap::GP);
        }
        // Virtual-8086 mode extensions: VIF stands in the place of IF, IOPL reads as 3.
        image = image & !bit::IF | bit::IOPL | if flags & bit::VIF != 0 { bit::IF } else { 0 };
    }
    push::<SIZE>(ex, image)?;
    Ok(Flow::Next)
}

/// POPF, POPFD, POPFQ (SDM volume 2, POPF: table 4-16).
fn popf<const SIZE: u8>(ex: &mut Exec<'_>, _: &Op) -> Done {
    let mut image = top::<SIZE>(ex)?;
    let old = ex.cpu.rflags();
    // VM, VIP and VIF never change; what else does depends on the privilege.
    let mut may = bit::STATUS | bit::TF | bit::IF | bit::DF | bit::NT | bit::AC | bit::ID;
    if ex.cpu.v86() {
        if ex.cpu.iopl() < 3 {
            if SIZE != 2 || ex.cpu.cr4 & cr4::VME == 0 {
                return Err(Trap::GP);
            }
            if image & bit::TF != 0 || image & bit::IF != 0 && old & bit::VIP != 0 {
                return Err(Trap::GP);
            }
            may = may & !bit::IF | bit::VIF;
            image = image & !bit::VIF | if image & bit::IF != 0 { bit::VIF } else { 0 };
        }
    } else if ex.cpu.protected() {
        if ex.cpu.cpl == 0 {
            may |= bit::IOPL;
        } else if ex.cpu.cpl > ex.cpu.iopl() {
            may &= !bit::IF;
        }
    } else {
        may |= bit::IOPL;
    }
    if SIZE == 2 {
        may &= 0xffff | bit::VIF;
    } else {
        // RF is cleared.
        may |= bit::RF;
        image &= !bit::RF;
    }
    release::<SIZE>(ex, 0);
    let new = old & !may | image & may;
    ex.cpu.set_rflags(new);
    let changed = old ^ new;
    if changed & bit::AC != 0 {
        ex.mode_changed();
    }
    let looks = changed & (bit::TF | bit::IF | bit::AC | bit::VIF) != 0 || new & bit::TF != 0;
    Ok(if looks { Flow::Event } else { Flow::Next })
}

/// Reads `SIZE` bytes at an offset in the stack segment.
fn read_stack<const SIZE: u8>(ex: &mut Exec<'_>, off: u64) -> Result<u64, Trap> {
    Ok(match SIZE {
        2 => ex.read::<u16>(seg::SS, off)?.into(),
        4 => ex.read::<u32>(seg::SS, off)?.into(),
        _ => ex.read::<u64>(seg::SS, off)?,
    })
}

fn write_stack<const SIZE: u8>(ex: &mut Exec<'_>, off: u64, v: u64) -> Result<(), Trap> {
    match SIZE {
        2 => ex.write(seg::SS, off, v as u16),
        4 => ex.write(seg::SS, off, v as u32),
        _ => ex.write(seg::SS, off, v),
    }
}

/// ENTER: `op.imm` bytes of locals, nesting level `op.imm2`. The registers change only after
/// everything was pushed, so that a fault finds them as they were.
fn enter<const SIZE: u8>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let mask = match ex.cpu.stack_size() {
        8 => u64::MAX,
        4 => 0xffff_ffff,
        _ => 0xffff,
    };
    let size = u64::from(SIZE);
    let level = op.imm2 & 31;
    let mut bp = ex.get::<u64>(gpr::RBP);
    let mut sp = ex.stack_offset(0u64.wrapping_sub(size));
    write_stack::<SIZE>(ex, sp, bp)?;
    // A 32-bit operand takes all of ESP, also where the stack is a 16-bit one.
    let frame = if SIZE == 4 { ex.get::<u64>(gpr::RSP) & !mask | sp } else { sp };
    if level > 0 {
        for _ in 1..level {
            bp = bp.wrapping_sub(size);
            let pointer = read_stack::<SIZE>(ex, bp & mask)?;
            sp = sp.wrapping_sub(size) & mask;
            write_stack::<SIZE>(ex, sp, pointer)?;
        }
        sp = sp.wrapping_sub(size) & mask;
        write_stack::<SIZE>(ex, sp, frame)?;
    }
    sp = sp.wrapping_sub(op.imm & 0xffff) & mask;
    // The instruction faults if a write at the final stack pointer would.
    let lin = ex.linear(seg::SS, sp, size, true)?;
    ex.check_write(seg::SS, lin, SIZE)?;
    match SIZE {
        2 => ex.set(gpr::RBP, frame as u16),
        4 => ex.set(gpr::RBP, frame as u32),
        _ => ex.set(gpr::RBP, frame),
    }
    ex.set_sp(sp);
    Ok(Flow::Next)
}

fn leave<const SIZE: u8>(ex: &mut Exec<'_>, _: &Op) -> Done {
    let bp = ex.get::<u64>(gpr::RBP);
    let bp = match ex.cpu.stack_size() {
        8 => bp,
        4 => bp & 0xffff_ffff,
        _ => bp & 0xffff,
    };
    let v = read_stack::<SIZE>(ex, bp)?;
    ex.set_sp(bp);
    let sp = ex.stack_offset(SIZE.into());
    ex.set_sp(sp);
    match SIZE {
        2 => ex.set(gpr::RBP, v as u16),
        4 => ex.set(gpr::RBP, v as u32),
        _ => ex.set(gpr::RBP, v),
    }
    Ok(Flow::Next)
}

/// The flags that LAHF and SAHF move.
const LOW: u64 = bit::CF | bit::PF | bit::AF | bit::ZF | bit::SF;

fn lahf(ex: &mut Exec<'_>, _: &Op) -> Done {
    let v = ex.cpu.flags.bits() & LOW | bit::ONE;
    let rax = ex.get::<u64>(gpr::RAX);
    ex.set(gpr::RAX, rax & !0xff00 | u64::from(v as u8) << 8);
    Ok(Flow::Next)
}

fn sahf(ex: &mut Exec<'_>, _: &Op) -> Done {
    let ah = ex.get::<u64>(gpr::RAX) >> 8;
    let kept = ex.cpu.flags.bits() & !LOW;
    ex.cpu.flags.set_bits(kept | ah & LOW);
    Ok(Flow::Next)
}

macro_rules! by_size {
    ($size:expr, $f:ident) => {
        match $size {
            2 => Some($f::<2> as Handler),
            4 => Some($f::<4> as Handler),
            8 => Some($f::<8> as Handler),
            _ => None,
        }
    };
}

/// Bytes that one push or pop moves.
fn moved(ins: &Instruction) -> i32 {
    ins.stack_pointer_increment().abs()
}

/// The handler for `ins`, if it belongs to this module.
pub fn select(ins: &Instruction) -> Option<Handler> {
    let kind = ins.op_kind(0);
    let segment = kind == OpKind::Register && !ins.op_register(0).is_gpr();
    let operand = || ins.code().op_code().operand_size() / 8;
    match ins.mnemonic() {
        Mnemonic::Push | Mnemonic::Pop if segment => None,
        Mnemonic::Push => match kind {
            OpKind::Register => by_size!(moved(ins), push_r),
            OpKind::Memory => by_size!(moved(ins), push_m),
            _ => by_size!(moved(ins), push_i),
        },
        Mnemonic::Pop => match kind {
            OpKind::Register => by_size!(moved(ins), pop_r),
            _ => by_size!(moved(ins), pop_m),
        },
        Mnemonic::Pusha => Some(push_all::<2>),
        Mnemonic::Pushad => Some(push_all::<4>),
        Mnemonic::Popa => Some(pop_all::<2>),
        Mnemonic::Popad => Some(pop_all::<4>),
        Mnemonic::Pushf => Some(pushf::<2>),
        Mnemonic::Pushfd => Some(pushf::<4>),
        Mnemonic::Pushfq => Some(pushf::<8>),
        Mnemonic::Popf => Some(popf::<2>),
        Mnemonic::Popfd => Some(popf::<4>),
        Mnemonic::Popfq => Some(popf::<8>),
        Mnemonic::Enter => by_size!(operand(), enter),
        Mnemonic::Leave => by_size!(operand(), leave),
        Mnemonic::Lahf => Some(lahf),
        Mnemonic::Sahf => Some(sahf),
        _ => None,
    }
}
