//! System instructions, exception generation, hints and barriers (C4.1.94).

use super::exec::{Exec, Flow, Trap, class};
use super::op::Op;
use super::regs::{Activity, Exclusive, psr, sctlr};
use super::sysreg::{encoding, trapped};
use crate::tlb::Access;

type Done = Result<Flow, Trap>;

/// The register's encoding in MRS, MSR, SYS.
fn register(op: &Op) -> u16 {
    op.bits(20, 5) as u16
}

/// SVC.
pub fn svc(ex: &mut Exec<'_>, op: &Op) -> Done {
    let back = ex.cpu.pc.wrapping_add(4);
    ex.cpu.step_done();
    ex.raise(class::SVC64, op.bits(20, 5), None, back);
    Ok(Flow::Entered)
}

/// HVC: to the firmware behind it, or to EL2.
pub fn hvc(ex: &mut Exec<'_>, op: &Op) -> Done {
    if ex.cpu.el == 0 {
        return Err(Trap::UNDEFINED);
    }
    if let Some(flow) = firmware(ex, false) {
        return Ok(flow);
    }
    if !ex.hvc_enabled() {
        return Err(Trap::UNDEFINED);
    }
    let back = ex.cpu.pc.wrapping_add(4);
    ex.cpu.step_done();
    ex.raise(class::HVC64, op.bits(20, 5), None, back);
    Ok(Flow::Entered)
}

/// SMC: to the firmware behind it, or to EL3.
pub fn smc(ex: &mut Exec<'_>, op: &Op) -> Done {
    if ex.cpu.el == 0 {
        return Err(Trap::UNDEFINED);
    }
    if ex.smc_trapped() {
        return Err(Trap::new(class::SMC64, op.bits(20, 5)));
    }
    if let Some(flow) = firmware(ex, true) {
        return Ok(flow);
    }
    if !ex.smc_enabled() {
        return Err(Trap::UNDEFINED);
    }
    let back = ex.cpu.pc.wrapping_add(4);
    ex.cpu.step_done();
    ex.raise(class::SMC64, op.bits(20, 5), None, back);
    Ok(Flow::Entered)
}

fn firmware(ex: &mut Exec<'_>, smc: bool) -> Option<Flow> {
    let (at, x) = (ex.at(), [ex.x(0), ex.x(1), ex.x(2), ex.x(3)]);
    let answer = ex.bus.firmware(ex.mem, at, smc, x);
    ex.after_bus();
    ex.set_x(0, answer?);
    Some(ex.event_next())
}

/// BRK.
pub fn brk(_ex: &mut Exec<'_>, op: &Op) -> Done {
    Err(Trap::new(class::BRK64, op.bits(20, 5)))
}

/// HLT: no external debugger is attached.
pub fn hlt(_ex: &mut Exec<'_>, _op: &Op) -> Done {
    Err(Trap::UNDEFINED)
}

/// MRS.
pub fn mrs(ex: &mut Exec<'_>, op: &Op) -> Done {
    let v = ex.read_system(register(op), op.rd)?;
    ex.set_x(op.rd, v);
    Ok(Flow::Next)
}

/// MSR (register).
pub fn msr(ex: &mut Exec<'_>, op: &Op) -> Done {
    let v = ex.x(op.rd);
    ex.write_system(register(op), op.rd, v)?;
    Ok(ex.event_next())
}

/// MSR (immediate).
pub fn msr_imm(ex: &mut Exec<'_>, op: &Op) -> Done {
    let (op1, op2, imm) = (op.bits(18, 16), op.bits(7, 5), u64::from(op.bits(11, 8)));
    match (op1, op2) {
        (0, 5) if ex.cpu.el > 0 => ex.cpu.sp_sel = imm & 1 != 0,
        (0, 4) if ex.cpu.el > 0 && ex.cpu.model.features().pan => {
            ex.cpu.pstate = ex.cpu.pstate & !psr::PAN | if imm & 1 != 0 { psr::PAN } else { 0 };
        }
        (3, 6 | 7) => {
            if ex.cpu.el == 0 && ex.cpu.sctlr() & sctlr::UMA == 0 {
                return Err(trapped(encoding(0, op1 as u16, 4, imm as u16, op2 as u16), 31, false));
            }
            let bits = imm << 6;
            ex.cpu.daif = if op2 == 6 { ex.cpu.daif | bits } else { ex.cpu.daif & !bits };
        }
        _ => return Err(Trap::UNDEFINED),
    }
    ex.mode_changed();
    Ok(ex.event_next())
}

/// NOP and the hints that mean nothing here.
pub fn nop(_ex: &mut Exec<'_>, _op: &Op) -> Done {
    Ok(Flow::Next)
}

/// YIELD.
pub fn yield_(ex: &mut Exec<'_>, _op: &Op) -> Done {
    ex.cpu.pc = ex.cpu.pc.wrapping_add(4);
    Ok(Flow::Yield)
}

/// The trap of WFI (0) and WFE (1) at EL0.
fn wait_trap(ex: &Exec<'_>, bit: u64, which: u32) -> Result<(), Trap> {
    if ex.cpu.el == 0 && ex.cpu.sys.sctlr[1] & bit == 0 {
        return Err(Trap::new(class::WFX, 1 << 24 | 0xe << 20 | which));
    }
    Ok(())
}

/// WFI.
pub fn wfi(ex: &mut Exec<'_>, _op: &Op) -> Done {
    wait_trap(ex, sctlr::NTWI, 0)?;
    ex.cpu.activity = Activity::WaitForInterrupt;
    Ok(ex.event_next())
}

/// WFE. It may wake for any reason (D1.6.1): here it always does, after giving up the CPU's turn, so that
/// nobody has to know which event would wake it.
pub fn wfe(ex: &mut Exec<'_>, _op: &Op) -> Done {
    wait_trap(ex, sctlr::NTWE, 1)?;
    let flow = ex.event_next();
    Ok(if std::mem::take(&mut ex.cpu.event) { flow } else { Flow::Yield })
}

/// SEV.
pub fn sev(ex: &mut Exec<'_>, _op: &Op) -> Done {
    ex.cpu.event = true;
    let at = ex.at();
    ex.bus.send_event(at);
    ex.after_bus();
    Ok(Flow::Next)
}

/// SEVL.
pub fn sevl(ex: &mut Exec<'_>, _op: &Op) -> Done {
    ex.cpu.event = true;
    Ok(Flow::Next)
}

/// CLREX.
pub fn clrex(ex: &mut Exec<'_>, _op: &Op) -> Done {
    ex.cpu.exclusive = Exclusive::default();
    Ok(Flow::Next)
}

/// DSB, DMB: everything is in order already.
pub fn barrier(_ex: &mut Exec<'_>, _op: &Op) -> Done {
    Ok(Flow::Next)
}

/// ISB.
pub fn isb(_ex: &mut Exec<'_>, _op: &Op) -> Done {
    Ok(Flow::Next)
}

/// ERET.
pub fn eret(ex: &mut Exec<'_>, _op: &Op) -> Done {
    if ex.cpu.el == 0 { Err(Trap::UNDEFINED) } else { Ok(ex.exception_return()) }
}

/// Bytes that DC ZVA clears.
const ZVA: u64 = 64;

/// SYS and SYSL: cache and TLB maintenance, address translation. Caches and TLB are invisible, so most
/// do nothing but check rights and addresses.
pub fn sys(ex: &mut Exec<'_>, op: &Op) -> Done {
    let reg = register(op);
    let (op1, crn, crm, op2) = (op.bits(18, 16), op.bits(15, 12), op.bits(11, 8), op.bits(7, 5));
    if op.bits(21, 21) != 0 {
        return Err(Trap::UNDEFINED);
    }
    let el = ex.cpu.el;
    let user_cache = |ex: &Exec<'_>| {
        if el == 0 && ex.cpu.sys.sctlr[1] & sctlr::UCI == 0 {
            Err(trapped(reg, op.rd, false))
        } else {
            Ok(())
        }
    };
    let va = ex.x(op.rd);
    match (op1, crn, crm, op2) {
        // IC IALLUIS, IC IALLU, DC IVAC, DC ISW, DC CSW, DC CISW
        (0, 7, 1 | 5, 0) | (0, 7, 6 | 10 | 14, 2) if el >= 1 => {}
        (0, 7, 6, 1) if el >= 1 => ex.check_store(va)?,
        // IC IVAU, DC CVAC, CVAU, CIVAC
        (3, 7, 5 | 10 | 11 | 14, 1) => {
            user_cache(ex)?;
            ex.translate(false, va, Access::Read)?;
        }
        // DC ZVA
        (3, 7, 4, 1) => {
            if el == 0 && ex.cpu.sys.sctlr[1] & sctlr::DZE == 0 {
                return Err(trapped(reg, op.rd, false));
            }
            let start = va & !(ZVA - 1);
            for at in (0..ZVA).step_by(16) {
                ex.store(start.wrapping_add(at), 16, 0)?;
            }
        }
        // AT S1E1R, S1E1W, S1E0R, S1E0W
        (0, 7, 8, 0..=3) if el >= 1 => {
            ex.cpu.sys.par = match ex.address_translate(op2 >= 2, op2 & 1 != 0, va) {
                Ok((pa, attributes)) => pa & 0x0000_ffff_ffff_f000 | attributes << 56 | 1 << 11 | 0b10 << 7,
                Err(code) => u64::from(code) << 1 | 1 | 1 << 11,
            };
        }
        // TLBI at EL1; at EL2 and EL3
        (0, 8, 3 | 7, 0..=3 | 5 | 7) if el >= 1 => {}
        (4, 8, 0 | 3 | 4 | 7, _) if el >= 2 => {}
        (6, 8, 3 | 7, 0 | 1 | 5) if el >= 3 => {}
        // AT S1E2R, S1E2W and combined stages belong to a hypervisor.
        (4 | 6, 7, 8, _) if el >= 2 => return Err(Trap::Unimplemented),
        _ => return Err(Trap::UNDEFINED),
    }
    Ok(Flow::Next)
}

/// UDF.
pub fn udf(_ex: &mut Exec<'_>, _op: &Op) -> Done {
    Err(Trap::UNDEFINED)
}

/// An instruction of an implemented group that has no handler: the run stops and names it.
pub fn unimplemented(_ex: &mut Exec<'_>, _op: &Op) -> Done {
    Err(Trap::Unimplemented)
}
