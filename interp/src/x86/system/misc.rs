//! CLI, STI, HLT, MONITOR, CPUID, time stamps, RDRAND, TLB and cache control (SDM volume 2).

use crate::x86::exec::{Exec, Flow};
use crate::x86::flags::bit;
use crate::x86::op::{Handler, Op};
use crate::x86::regs::{Shadow, cr0, cr4, gpr};
use crate::x86::trap::Trap;
use iced_x86::{Code, Instruction, Mnemonic};

type Done = Result<Flow, Trap>;

/// What CLI and STI act on (SDM volume 2, CLI's table).
enum InterruptFlag {
    Real,
    Virtual,
}

fn interrupt_flag(ex: &Exec<'_>) -> Result<InterruptFlag, Trap> {
    let cpu = &ex.cpu;
    if !cpu.protected() || cpu.cpl <= cpu.iopl() {
        return Ok(InterruptFlag::Real);
    }
    let extension = if cpu.v86() { cr4::VME } else { cr4::PVI };
    if cpu.cpl == 3 && cpu.cr4 & extension != 0 { Ok(InterruptFlag::Virtual) } else { Err(Trap::GP) }
}

fn cli(ex: &mut Exec<'_>, _: &Op) -> Done {
    match interrupt_flag(ex)? {
        InterruptFlag::Real => ex.cpu.rflags &= !bit::IF,
        InterruptFlag::Virtual => ex.cpu.rflags &= !bit::VIF,
    }
    // Nothing can become deliverable: no look at events is needed.
    Ok(Flow::Jump)
}

fn sti(ex: &mut Exec<'_>, _: &Op) -> Done {
    match interrupt_flag(ex)? {
        InterruptFlag::Real => {
            if ex.cpu.rflags & bit::IF != 0 {
                return Ok(Flow::Jump);
            }
            ex.cpu.rflags |= bit::IF;
            ex.cpu.shadow = Shadow::Sti;
        }
        InterruptFlag::Virtual => {
            if ex.cpu.rflags & bit::VIP != 0 {
                return Err(Trap::GP);
            }
            ex.cpu.rflags |= bit::VIF;
        }
    }
    Ok(Flow::Event)
}

fn hlt(ex: &mut Exec<'_>, _: &Op) -> Done {
    ex.privileged()?;
    Ok(Flow::Halt)
}

/// MONITOR: the address is checked like a byte load and remembered for the record.
fn monitor(ex: &mut Exec<'_>, op: &Op) -> Done {
    if ex.cpu.cpl != 0 {
        return Err(Trap::UD);
    }
    if ex.get::<u32>(gpr::RCX) != 0 {
        return Err(Trap::GP);
    }
    let off = ex.get_sized(gpr::RAX, op.addrsize);
    let lin = ex.linear(op.seg, off, 1, false)?;
    let _: u8 = ex.read_lin(op.seg, lin)?;
    ex.cpu.monitor = Some(lin);
    Ok(Flow::Next)
}

/// MWAIT may end for any reason (SDM volume 2): here it ends at once and gives up the CPU's turn,
/// so that a store by another CPU needs no watching.
fn mwait(ex: &mut Exec<'_>, _: &Op) -> Done {
    if ex.cpu.cpl != 0 {
        return Err(Trap::UD);
    }
    // No extensions are reported by CPUID.05H.
    if ex.get::<u32>(gpr::RCX) != 0 {
        return Err(Trap::GP);
    }
    ex.cpu.monitor = None;
    Ok(Flow::Yield)
}

fn cpuid(ex: &mut Exec<'_>, _: &Op) -> Done {
    let (leaf, subleaf) = (ex.get(gpr::RAX), ex.get(gpr::RCX));
    let l = ex.cpu.cpuid(leaf, subleaf, ex.index);
    ex.set(gpr::RAX, l.eax);
    ex.set(gpr::RBX, l.ebx);
    ex.set(gpr::RCX, l.ecx);
    ex.set(gpr::RDX, l.edx);
    Ok(Flow::Next)
}

fn check_tsc(ex: &Exec<'_>) -> Result<(), Trap> {
    let forbidden = ex.cpu.cr4 & cr4::TSD != 0 && ex.cpu.cpl != 0;
    if forbidden && ex.cpu.cr0 & cr0::PE != 0 { Err(Trap::GP) } else { Ok(()) }
}

fn rdtsc(ex: &mut Exec<'_>, _: &Op) -> Done {
    check_tsc(ex)?;
    let tsc = ex.tsc();
    ex.set(gpr::RAX, tsc as u32);
    ex.set(gpr::RDX, (tsc >> 32) as u32);
    Ok(Flow::Next)
}

fn rdtscp(ex: &mut Exec<'_>, op: &Op) -> Done {
    rdtsc(ex, op)?;
    let aux = ex.cpu.msrs.tsc_aux as u32;
    ex.set(gpr::RCX, aux);
    Ok(Flow::Next)
}

fn rdpid<const SIZE: u8>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let aux = ex.cpu.msrs.tsc_aux;
    ex.set_sized(op.r0, SIZE, aux);
    Ok(Flow::Next)
}

/// There are no performance counters: every number is invalid.
fn rdpmc(_: &mut Exec<'_>, _: &Op) -> Done {
    Err(Trap::GP)
}

/// RDRAND and RDSEED: splitmix64 from the recorded seed; always succeed.
fn random<const SIZE: u8>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.cpu.entropy = ex.cpu.entropy.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = ex.cpu.entropy;
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    ex.set_sized(op.r0, SIZE, z);
    ex.cpu.flags.set_bits(bit::CF);
    Ok(Flow::Next)
}

/// INVD, WBINVD, INVLPG: caches and TLB are invisible; only the privilege counts.
fn invalidate(ex: &mut Exec<'_>, _: &Op) -> Done {
    ex.privileged()?;
    Ok(Flow::Next)
}

fn invpcid(ex: &mut Exec<'_>, op: &Op) -> Done {
    if ex.cpu.real_segments() && ex.cpu.v86() {
        return Err(Trap::GP);
    }
    ex.privileged()?;
    let kind = ex.get_sized(op.r0, if op.long() { 8 } else { 4 });
    let d = ex.load_xmm(op, false)?;
    let (pcid, lin) = (d as u64, (d >> 64) as u64);
    let pcids = ex.cpu.cr4 & cr4::PCIDE != 0;
    let bad_pcid = pcid >> 12 != 0 || !pcids && pcid != 0;
    let bad = match kind {
        0 => bad_pcid || !Exec::canonical(lin),
        1 => bad_pcid,
        2 | 3 => pcid >> 12 != 0,
        _ => true,
    };
    if bad { Err(Trap::GP) } else { Ok(Flow::Next) }
}

fn xgetbv(ex: &mut Exec<'_>, _: &Op) -> Done {
    if ex.cpu.cr4 & cr4::OSXSAVE == 0 {
        return Err(Trap::UD);
    }
    if ex.get::<u32>(gpr::RCX) != 0 {
        return Err(Trap::GP);
    }
    let v = ex.cpu.xcr0;
    ex.set(gpr::RAX, v as u32);
    ex.set(gpr::RDX, (v >> 32) as u32);
    Ok(Flow::Next)
}

fn xsetbv(ex: &mut Exec<'_>, _: &Op) -> Done {
    if ex.cpu.cr4 & cr4::OSXSAVE == 0 {
        return Err(Trap::UD);
    }
    ex.privileged()?;
    let v = u64::from(ex.get::<u32>(gpr::RAX)) | u64::from(ex.get::<u32>(gpr::RDX)) << 32;
    if ex.get::<u32>(gpr::RCX) != 0 || v & 1 == 0 || v & !ex.cpu.model.xcr0_bits() != 0 {
        return Err(Trap::GP);
    }
    ex.cpu.xcr0 = v;
    Ok(Flow::Event)
}

/// What every model without the extension executes as a NOP: ENDBR, RDSSP, CLDEMOTE.
fn hint(_: &mut Exec<'_>, _: &Op) -> Done {
    Ok(Flow::Next)
}

/// RSM outside system-management mode, which does not exist here.
fn undefined(_: &mut Exec<'_>, _: &Op) -> Done {
    Err(Trap::UD)
}

/// The handler for `ins`, if it belongs to this group.
pub fn select(ins: &Instruction) -> Option<Handler> {
    Some(match ins.code() {
        Code::Rdrand_r16 | Code::Rdseed_r16 => random::<2>,
        Code::Rdrand_r32 | Code::Rdseed_r32 => random::<4>,
        Code::Rdrand_r64 | Code::Rdseed_r64 => random::<8>,
        Code::Rdpid_r32 => rdpid::<4>,
        Code::Rdpid_r64 => rdpid::<8>,
        _ => match ins.mnemonic() {
            Mnemonic::Cli => cli,
            Mnemonic::Sti => sti,
            Mnemonic::Hlt => hlt,
            Mnemonic::Monitor => monitor,
            Mnemonic::Mwait => mwait,
            Mnemonic::Cpuid => cpuid,
            Mnemonic::Rdtsc => rdtsc,
            Mnemonic::Rdtscp => rdtscp,
            Mnemonic::Rdpmc => rdpmc,
            Mnemonic::Invd | Mnemonic::Wbinvd | Mnemonic::Wbnoinvd | Mnemonic::Invlpg => invalidate,
            Mnemonic::Invpcid => invpcid,
            Mnemonic::Xgetbv => xgetbv,
            Mnemonic::Xsetbv => xsetbv,
            Mnemonic::Endbr32
            | Mnemonic::Endbr64
            | Mnemonic::Rdsspd
            | Mnemonic::Rdsspq
            | Mnemonic::Cldemote
            | Mnemonic::Reservednop => hint,
            Mnemonic::Rsm | Mnemonic::Ud0 | Mnemonic::Ud1 | Mnemonic::Ud2 => undefined,
            _ => return None,
        },
    })
}
