//! Fast system calls, SWAPGS, RDFSBASE and its kin (SDM volume 2; AMD64 manual volume 3 where
//! the vendors differ).

use crate::x86::boundary::DR6_BS;
use crate::x86::exec::{Exec, Flow};
use crate::x86::flags::bit;
use crate::x86::op::{Handler, Op};
use crate::x86::regs::{Segment, cr4, efer, gpr, right, seg};
use crate::x86::trap::Trap;
use iced_x86::{Code, Instruction};

type Done = Result<Flow, Trap>;

const FLAT_CODE: u16 = right::P | right::S | right::CODE | right::RW | right::ACCESSED | right::G;
/// Rights of CS of a kernel in 64-bit mode.
pub const FLAT_CODE_64: u16 = FLAT_CODE | right::L;
/// Rights of SS of a kernel.
pub const FLAT_DATA: u16 = right::P | right::S | right::RW | right::ACCESSED | right::G | right::DB;

/// A flat code segment, 64-bit or 32-bit.
fn flat_code(selector: u16, long: bool) -> Segment {
    let rights = FLAT_CODE | (selector & 3) << 5 | if long { right::L } else { right::DB };
    Segment { selector, rights, base: 0, limit: u32::MAX }
}

fn flat_data(selector: u16) -> Segment {
    Segment { selector, rights: FLAT_DATA | (selector & 3) << 5, base: 0, limit: u32::MAX }
}

impl Exec<'_> {
    fn flat(&mut self, cs: u16, ss: u16, long: bool, rip: u64) {
        self.cpu.segs[usize::from(seg::SS)] = flat_data(ss);
        self.set_code(flat_code(cs, long), (cs & 3) as u8, rip);
    }

    /// SYSCALL and SYSRET look at RFLAGS.TF after the instruction: with TF masked a kernel is
    /// not entered with a trap pending, with TF restored the trap comes at once.
    fn trap_by_new_flags(&mut self) -> Flow {
        if self.cpu.rflags & bit::TF != 0 {
            self.cpu.debug_pending |= DR6_BS;
        }
        Flow::Entered
    }

    /// SYSCALL and SYSRET exist: EFER.SCE, and on Intel 64-bit mode.
    fn check_syscall(&self) -> Result<(), Trap> {
        let there = self.cpu.model.amd() || self.cpu.mode64();
        if self.cpu.msrs.efer & efer::SCE == 0 || !there || !self.cpu.protected() {
            return Err(Trap::UD);
        }
        Ok(())
    }
}

fn syscall(ex: &mut Exec<'_>, _: &Op) -> Done {
    ex.check_syscall()?;
    let star = ex.cpu.msrs.star;
    let cs = (star >> 32) as u16 & 0xfffc;
    let ss = cs.wrapping_add(8);
    let rip = ex.cpu.rip();
    if ex.cpu.long_mode() {
        let target = if ex.cpu.mode64() { ex.cpu.msrs.lstar } else { ex.cpu.msrs.cstar };
        let flags = ex.cpu.rflags() & !bit::RF;
        ex.set(gpr::RCX, rip);
        ex.set(11, flags);
        ex.cpu.set_rflags(flags & !ex.cpu.msrs.fmask);
        ex.flat(cs, ss, true, target);
    } else {
        ex.set(gpr::RCX, rip as u32);
        ex.cpu.rflags &= !(bit::IF | bit::VM | bit::RF);
        ex.flat(cs, ss, false, star & 0xffff_ffff);
    }
    Ok(ex.trap_by_new_flags())
}

fn sysret<const SIZE: u8>(ex: &mut Exec<'_>, _: &Op) -> Done {
    ex.check_syscall()?;
    ex.privileged()?;
    let star = (ex.cpu.msrs.star >> 48) as u16;
    let ss = star.wrapping_add(8) | 3;
    let rcx: u64 = ex.get(gpr::RCX);
    if ex.cpu.long_mode() {
        // AMD's processors fault at the target instead, see the fetch.
        if SIZE == 8 && !ex.cpu.model.amd() && !Exec::canonical(rcx) {
            return Err(Trap::GP);
        }
        let flags: u64 = ex.get(11);
        ex.cpu.set_rflags(flags & !(bit::RF | bit::VM));
        if SIZE == 8 {
            ex.flat(star.wrapping_add(16) | 3, ss, true, rcx);
        } else {
            ex.flat(star | 3, ss, false, rcx & 0xffff_ffff);
        }
    } else {
        ex.cpu.rflags |= bit::IF;
        ex.flat(star | 3, ss, false, rcx & 0xffff_ffff);
    }
    Ok(ex.trap_by_new_flags())
}

fn sysenter(ex: &mut Exec<'_>, _: &Op) -> Done {
    let long = ex.cpu.long_mode();
    if long && ex.cpu.model.amd() {
        return Err(Trap::UD);
    }
    let cs = ex.cpu.msrs.sysenter_cs as u16 & 0xfffc;
    if !ex.cpu.protected() || cs == 0 {
        return Err(Trap::GP);
    }
    let (mut rip, mut rsp) = (ex.cpu.msrs.sysenter_eip, ex.cpu.msrs.sysenter_esp);
    if !long {
        rip &= 0xffff_ffff;
        rsp &= 0xffff_ffff;
    }
    ex.cpu.rflags &= !(bit::VM | bit::IF | bit::RF);
    ex.set(gpr::RSP, rsp);
    ex.flat(cs, cs.wrapping_add(8), long, rip);
    Ok(Flow::Event)
}

fn sysexit<const SIZE: u8>(ex: &mut Exec<'_>, _: &Op) -> Done {
    let long = ex.cpu.long_mode();
    if long && ex.cpu.model.amd() {
        return Err(Trap::UD);
    }
    let cs = ex.cpu.msrs.sysenter_cs as u16 & 0xfffc;
    if !ex.cpu.protected() || ex.cpu.cpl != 0 || cs == 0 {
        return Err(Trap::GP);
    }
    let (rip, rsp): (u64, u64) = (ex.get(gpr::RDX), ex.get(gpr::RCX));
    if SIZE == 8 {
        if !Exec::canonical(rip) || !Exec::canonical(rsp) {
            return Err(Trap::GP);
        }
        ex.set(gpr::RSP, rsp);
        ex.flat(cs.wrapping_add(32) | 3, cs.wrapping_add(40) | 3, true, rip);
    } else {
        ex.set(gpr::RSP, rsp as u32);
        ex.flat(cs.wrapping_add(16) | 3, cs.wrapping_add(24) | 3, false, rip & 0xffff_ffff);
    }
    Ok(Flow::Event)
}

fn swapgs(ex: &mut Exec<'_>, _: &Op) -> Done {
    ex.privileged()?;
    let gs = &mut ex.cpu.segs[usize::from(seg::GS)].base;
    std::mem::swap(gs, &mut ex.cpu.msrs.kernel_gs_base);
    Ok(Flow::Next)
}

fn check_fsgsbase(ex: &Exec<'_>) -> Result<(), Trap> {
    if ex.cpu.cr4 & cr4::FSGSBASE == 0 { Err(Trap::UD) } else { Ok(()) }
}

fn rdbase<const S: u8, const SIZE: u8>(ex: &mut Exec<'_>, op: &Op) -> Done {
    check_fsgsbase(ex)?;
    let base = ex.cpu.seg(S).base;
    ex.set_sized(op.r0, SIZE, base);
    Ok(Flow::Next)
}

fn wrbase<const S: u8, const SIZE: u8>(ex: &mut Exec<'_>, op: &Op) -> Done {
    check_fsgsbase(ex)?;
    let base = ex.get_sized(op.r0, SIZE);
    if !Exec::canonical(base) {
        return Err(Trap::GP);
    }
    ex.cpu.segs[usize::from(S)].base = base;
    Ok(Flow::Next)
}

/// The handler for `ins`, if it belongs to this group.
pub fn select(ins: &Instruction) -> Option<Handler> {
    Some(match ins.code() {
        Code::Syscall => syscall,
        Code::Sysretd => sysret::<4>,
        Code::Sysretq => sysret::<8>,
        Code::Sysenter => sysenter,
        Code::Sysexitd => sysexit::<4>,
        Code::Sysexitq => sysexit::<8>,
        Code::Swapgs => swapgs,
        Code::Rdfsbase_r32 => rdbase::<{ seg::FS }, 4>,
        Code::Rdfsbase_r64 => rdbase::<{ seg::FS }, 8>,
        Code::Rdgsbase_r32 => rdbase::<{ seg::GS }, 4>,
        Code::Rdgsbase_r64 => rdbase::<{ seg::GS }, 8>,
        Code::Wrfsbase_r32 => wrbase::<{ seg::FS }, 4>,
        Code::Wrfsbase_r64 => wrbase::<{ seg::FS }, 8>,
        Code::Wrgsbase_r32 => wrbase::<{ seg::GS }, 4>,
        Code::Wrgsbase_r64 => wrbase::<{ seg::GS }, 8>,
        _ => return None,
    })
}
