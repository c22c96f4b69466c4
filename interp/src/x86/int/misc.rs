//! Flag control, BOUND, NOP and hints, fences, cache-line instructions, UD (SDM volume 1,
//! section 5.1).

use crate::tlb::Access;
use crate::x86::exec::{Exec, Flow};
use crate::x86::flags::bit;
use crate::x86::mmu::Rights;
use crate::x86::op::{Handler, Op};
use crate::x86::regs::seg;
use crate::x86::trap::Trap;
use crate::x86::word::Word;
use iced_x86::{Instruction, Mnemonic};

type Done = Result<Flow, Trap>;

fn clc(ex: &mut Exec<'_>, _: &Op) -> Done {
    ex.cpu.flags.set_cf(false);
    Ok(Flow::Next)
}

fn stc(ex: &mut Exec<'_>, _: &Op) -> Done {
    ex.cpu.flags.set_cf(true);
    Ok(Flow::Next)
}

fn cmc(ex: &mut Exec<'_>, _: &Op) -> Done {
    let cf = ex.cpu.flags.cf();
    ex.cpu.flags.set_cf(!cf);
    Ok(Flow::Next)
}

fn cld(ex: &mut Exec<'_>, _: &Op) -> Done {
    ex.cpu.rflags &= !bit::DF;
    Ok(Flow::Next)
}

fn std(ex: &mut Exec<'_>, _: &Op) -> Done {
    ex.cpu.rflags |= bit::DF;
    Ok(Flow::Next)
}

fn nop(_: &mut Exec<'_>, _: &Op) -> Done {
    Ok(Flow::Next)
}

fn pause(ex: &mut Exec<'_>, _: &Op) -> Done {
    Ok(if ex.bus.alone() { Flow::Next } else { Flow::Yield })
}

fn ud(_: &mut Exec<'_>, _: &Op) -> Done {
    Err(Trap::UD)
}

/// BOUND: the two bounds are signed and lie side by side.
fn bound<T: Word>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let size = u64::from(T::BYTES);
    let off = ex.ea(op);
    let mask = if op.addrsize == 2 { 0xffff } else { 0xffff_ffff };
    let low = ex.read::<T>(op.seg, off)?.to_i64();
    let high = ex.read::<T>(op.seg, off.wrapping_add(size) & mask)?.to_i64();
    let index = ex.get::<T>(op.r0).to_i64();
    if index < low || index > high { Err(Trap::BR) } else { Ok(Flow::Next) }
}

/// CLFLUSH, CLFLUSHOPT, CLWB: no cache can be seen, but the address is checked as for a load of
/// one byte (an execute-only code segment may be named too, which is not done here).
fn flush_line(ex: &mut Exec<'_>, op: &Op) -> Done {
    let lin = ex.operand(op, 1, false)?;
    if ex.cpu.long_mode() && !Exec::canonical(lin) {
        return Err(if op.seg == seg::SS { Trap::SS } else { Trap::GP });
    }
    ex.translate(Rights::Current, lin, Access::Read)?;
    Ok(Flow::Next)
}

/// The handler for `ins`, if it belongs to this module.
pub fn select(ins: &Instruction) -> Option<Handler> {
    use Mnemonic::*;
    Some(match ins.mnemonic() {
        Clc => clc,
        Stc => stc,
        Cmc => cmc,
        Cld => cld,
        Std => std,
        // Prefetches are hints that never fault.
        Nop | Reservednop | Endbr32 | Endbr64 | Prefetchnta | Prefetcht0 | Prefetcht1 | Prefetcht2
        | Prefetch | Prefetchw | Prefetchwt1 | Prefetchit0 | Prefetchit1 | Cldemote | Lfence | Mfence
        | Sfence => nop,
        Pause => pause,
        Ud0 | Ud1 | Ud2 => ud,
        Bound => match ins.memory_size().size() {
            4 => bound::<u16>,
            8 => bound::<u32>,
            _ => return None,
        },
        Clflush | Clflushopt | Clwb => flush_line,
        _ => return None,
    })
}
