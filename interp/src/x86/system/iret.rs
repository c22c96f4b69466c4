//! IRET in every mode, and the INT instructions (SDM volume 2).

use super::segment::{rpl, v86_segment};
use crate::x86::boundary::DR6_BS;
use crate::x86::exec::{Exec, Flow};
use crate::x86::flags::bit;
use crate::x86::interrupt::Source;
use crate::x86::op::{Handler, Op};
use crate::x86::regs::{cr4, gpr, seg};
use crate::x86::trap::{Trap, vector};
use iced_x86::{Code, Instruction};

type Done = Result<Flow, Trap>;

/// What every IRET may change of the low 16 bits.
const LOW: u64 = bit::STATUS | bit::TF | bit::IF | bit::DF | bit::IOPL | bit::NT;
/// And of the rest, but for VM, VIF and VIP.
const WIDE: u64 = LOW | bit::RF | bit::AC | bit::ID;

impl Exec<'_> {
    /// Replaces the bits of RFLAGS that `mask` names.
    fn change_flags(&mut self, new: u64, mask: u64) {
        let old = self.cpu.rflags();
        self.cpu.set_rflags(old & !mask | new & mask);
    }

    fn iret(&mut self, op: &Op, size: u8) -> Done {
        if self.cpu.real_segments() {
            return self.iret_real(size);
        }
        if self.cpu.rflags & bit::NT != 0 {
            if self.cpu.long_mode() {
                return Err(Trap::GP);
            }
            return self.task_return(op);
        }
        let mut stack = self.stack();
        let ip = self.pop_off(&mut stack, size)?;
        let selector = self.pop_off(&mut stack, size)? as u16;
        let flags = self.pop_off(&mut stack, size)?;
        let cpl = self.cpu.cpl;
        if size == 4 && flags & bit::VM != 0 && cpl == 0 && !self.cpu.long_mode() {
            return self.iret_to_v86(stack, ip, selector, flags);
        }
        let cs = self.return_code(selector)?;
        let target = self.branch_target(&cs, ip)?;
        let level = rpl(selector);
        let mut mask = if size == 2 { LOW } else { WIDE };
        mask &= !(bit::IOPL | bit::IF);
        if cpl <= self.cpu.iopl() {
            mask |= bit::IF;
        }
        if cpl == 0 {
            mask |= bit::IOPL;
            if size != 2 {
                mask |= bit::VIF | bit::VIP;
            }
        }
        if level == cpl && !self.cpu.mode64() {
            self.set_sp(stack.sp);
            self.change_flags(flags, mask);
            self.set_code(cs, level, target);
        } else {
            let sp = self.pop_off(&mut stack, size)?;
            let ss = self.pop_off(&mut stack, size)? as u16;
            let ss = self.return_stack(ss, &cs, level)?;
            self.change_flags(flags, mask);
            self.leave(cs, ss, level, target, sp, 0);
        }
        Ok(Flow::Event)
    }

    fn iret_real(&mut self, size: u8) -> Done {
        let v86 = self.cpu.v86();
        let virtual_if = v86 && self.cpu.iopl() < 3;
        if virtual_if && (size != 2 || self.cpu.cr4 & cr4::VME == 0) {
            return Err(Trap::GP);
        }
        let mut stack = self.stack();
        let ip = self.pop_off(&mut stack, size)?;
        let selector = self.pop_off(&mut stack, size)? as u16;
        let flags = self.pop_off(&mut stack, size)?;
        if ip > self.cpu.seg(seg::CS).limit.into() {
            return Err(Trap::GP);
        }
        let mut mask = if size == 2 { LOW } else { WIDE };
        if v86 {
            mask &= !bit::IOPL;
        }
        let mut flags = flags;
        if virtual_if {
            // SDM volume 3, section 20.3.3.4.
            let pending = self.cpu.rflags & bit::VIP != 0 && flags & bit::IF != 0;
            if pending || flags & bit::TF != 0 {
                return Err(Trap::GP);
            }
            mask = mask & !bit::IF | bit::VIF;
            flags = flags & !bit::VIF | if flags & bit::IF != 0 { bit::VIF } else { 0 };
        }
        self.set_real_cs(selector);
        self.cpu.set_rip(ip);
        self.set_sp(stack.sp);
        self.change_flags(flags, mask);
        self.mode_changed();
        Ok(Flow::Event)
    }

    fn iret_to_v86(&mut self, mut stack: super::stack::Stack, ip: u64, cs: u16, flags: u64) -> Done {
        let sp = self.pop_off(&mut stack, 4)?;
        let mut selectors = [0; 5];
        for s in &mut selectors {
            *s = self.pop_off(&mut stack, 4)? as u16;
        }
        let [ss, es, ds, fs, gs] = selectors;
        self.cpu.set_rflags(flags);
        for (s, selector) in
            [(seg::CS, cs), (seg::SS, ss), (seg::ES, es), (seg::DS, ds), (seg::FS, fs), (seg::GS, gs)]
        {
            self.cpu.segs[usize::from(s)] = v86_segment(selector);
        }
        // An EIP above the limit faults when it is fetched from.
        self.cpu.set_rip(ip & 0xffff_ffff);
        self.set(gpr::RSP, sp as u32);
        self.cpu.cpl = 3;
        self.mode_changed();
        Ok(Flow::Event)
    }
}

fn iret<const SIZE: u8>(ex: &mut Exec<'_>, op: &Op) -> Done {
    // Even an IRET that faults ends the blocking (SDM volume 3, section 6.7.1).
    ex.cpu.nmi_blocked = false;
    ex.iret(op, SIZE)
}

fn int_n(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.deliver_from(op, op.imm as u8, Source::IntN)
}

fn int3(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.deliver_from(op, vector::BP, Source::Int3)
}

fn int1(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.deliver_from(op, vector::DB, Source::Int1)
}

fn into(ex: &mut Exec<'_>, op: &Op) -> Done {
    if !ex.cpu.flags.of() {
        return Ok(Flow::Next);
    }
    ex.deliver_from(op, vector::OF, Source::Int3)
}

impl Exec<'_> {
    fn deliver_from(&mut self, op: &Op, vector: u8, source: Source) -> Done {
        let before = self.cpu.segs[usize::from(seg::TR)].selector;
        match self.deliver(vector, None, source) {
            Ok(()) => {
                // A new task whose image has TF set traps after its first instruction.
                self.cpu.debug_pending &= !DR6_BS;
                Ok(Flow::Entered)
            }
            Err(trap) => {
                self.task_fault_at(op, before);
                Err(trap)
            }
        }
    }

    /// After a fault in the middle of a task switch, at a time when the new task was in place
    /// already: the loop takes RIP back by the length of `op`, which is no part of that task.
    pub fn task_fault_at(&mut self, op: &Op, old_task: u16) {
        if self.cpu.seg(seg::TR).selector != old_task {
            let rip = self.cpu.rip().wrapping_add(op.len.into());
            self.cpu.set_rip(rip);
        }
    }
}

/// The handler for `ins`, if it belongs to this group.
pub fn select(ins: &Instruction) -> Option<Handler> {
    Some(match ins.code() {
        Code::Iretw => iret::<2>,
        Code::Iretd => iret::<4>,
        Code::Iretq => iret::<8>,
        Code::Int_imm8 => int_n,
        Code::Int3 => int3,
        Code::Int1 => int1,
        Code::Into => into,
        _ => return None,
    })
}
