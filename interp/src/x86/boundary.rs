//! What happens at an instruction boundary before the next instruction: INIT, debug traps, NMI,
//! interrupts (SDM volume 3, section 6.9).

use super::exec::Exec;
use super::flags::bit;
use super::interrupt::Source;
use super::regs::{Activity, Shadow};
use super::trap::{Trap, vector};
use crate::guest::Boundary;

impl Exec<'_> {
    /// Takes the highest-priority pending event, if any.
    ///
    /// # Errors
    /// Shutdown, or something unimplemented on the way.
    pub fn boundary(&mut self) -> Result<Boundary, Trap> {
        if self.cpu.init_pending {
            self.cpu.init_pending = false;
            self.init();
        }
        if let Some(page) = self.cpu.sipi_pending.take()
            && self.cpu.activity == Activity::WaitForSipi
        {
            self.startup(page);
        }
        let shadow = self.cpu.shadow;
        if shadow == Shadow::MovSs {
            // The single-step trap after a load of SS is lost, data breakpoints wait (SDM
            // volume 3, section 6.8.3).
            self.cpu.debug_pending &= !DR6_BS;
        }
        let awake = matches!(self.cpu.activity, Activity::Running | Activity::Halted);
        if self.cpu.debug_pending != 0 && shadow != Shadow::MovSs && awake {
            self.cpu.activity = Activity::Running;
            self.cpu.dr[6] = self.cpu.dr[6] & !15 | std::mem::take(&mut self.cpu.debug_pending);
            self.raise(vector::DB, None)?;
            return Ok(Boundary::Entered);
        }
        if self.cpu.nmi_pending && !self.cpu.nmi_blocked && shadow != Shadow::MovSs && awake {
            self.cpu.nmi_pending = false;
            self.cpu.nmi_blocked = true;
            self.cpu.activity = Activity::Running;
            self.enter(vector::NMI)?;
            return Ok(Boundary::Entered);
        }
        if self.cpu.intr && self.cpu.rflags & bit::IF != 0 && shadow == Shadow::None && awake {
            let at = self.at();
            let vector = self.bus.acknowledge_interrupt(self.mem, at);
            self.after_bus();
            if let Some(vector) = vector {
                self.cpu.activity = Activity::Running;
                self.enter(vector)?;
                return Ok(Boundary::Entered);
            }
            self.cpu.intr = false;
        }
        if self.cpu.activity != Activity::Running {
            return Ok(Boundary::Idle);
        }
        // RF is consumed by one instruction.
        let single = self.cpu.rflags & (bit::TF | bit::RF) != 0
            || shadow != Shadow::None
            || self.instruction_breakpoints();
        Ok(Boundary::Run(single))
    }

    /// True when [`Exec::boundary`] would find nothing to do and let any number of instructions run.
    pub fn quiet(&self) -> bool {
        let cpu = &*self.cpu;
        !(cpu.init_pending || cpu.nmi_pending || cpu.sipi_pending.is_some())
            && cpu.debug_pending == 0
            && !(cpu.intr && cpu.rflags & bit::IF != 0)
            && cpu.activity == Activity::Running
            && cpu.rflags & (bit::TF | bit::RF) == 0
            && cpu.shadow == Shadow::None
            && !self.instruction_breakpoints()
    }

    /// Delivers an external event; a fault on the way is delivered in its place, in the same step.
    fn enter(&mut self, vector: u8) -> Result<(), Trap> {
        match self.deliver(vector, None, Source::External) {
            Err(Trap::Fault { vector, code }) => self.raise(vector, code),
            other => other,
        }
    }

    /// DR7 enables an instruction breakpoint.
    pub fn instruction_breakpoints(&self) -> bool {
        let dr7 = self.cpu.dr[7];
        dr7 & 0xff != 0 && (0..4).any(|i| dr7 >> (2 * i) & 3 != 0 && dr7 >> (16 + 4 * i) & 3 == 0)
    }

    /// INIT (SDM volume 3, section 9.1.4): the reset state, but for caches and the FPU.
    fn init(&mut self) {
        let old = self.cpu.clone();
        let mut new = super::Cpu::new(old.model, old.entropy, self.index == 0);
        new.x87 = old.x87;
        new.vectors = old.vectors;
        new.mxcsr = old.mxcsr;
        new.xcr0 = old.xcr0;
        new.msrs = super::regs::Msrs { efer: 0, ..old.msrs };
        new.intr = old.intr;
        // A SIPI that followed before this boundary is still to come.
        new.sipi_pending = old.sipi_pending;
        new.cr0 |= old.cr0 & (super::regs::cr0::CD | super::regs::cr0::NW);
        *self.cpu = new;
        self.mode_changed();
    }

    /// SIPI (SDM volume 3, section 8.4.3): real mode at page * 4096.
    fn startup(&mut self, page: u8) {
        let cs = &mut self.cpu.segs[usize::from(super::regs::seg::CS)];
        cs.selector = u16::from(page) << 8;
        cs.base = u64::from(page) << 12;
        self.cpu.set_rip(0);
        self.cpu.activity = Activity::Running;
        self.mode_changed();
    }
}

/// DR6.BS: single step.
pub const DR6_BS: u64 = 1 << 14;

impl Exec<'_> {
    /// Raises #DB when an enabled instruction breakpoint lies at RIP and RFLAGS.RF is clear.
    ///
    /// # Errors
    /// #DB, with DR6 set.
    pub fn instruction_breakpoint(&mut self) -> Result<(), Trap> {
        if self.cpu.rflags & bit::RF != 0 || !self.instruction_breakpoints() {
            return Ok(());
        }
        let cs = self.cpu.seg(super::regs::seg::CS);
        let lin = if self.cpu.mode64() {
            self.cpu.rip()
        } else {
            cs.base.wrapping_add(self.cpu.rip()) & 0xffff_ffff
        };
        let dr7 = self.cpu.dr[7];
        let hits = (0..4)
            .filter(|&i| dr7 >> (2 * i) & 3 != 0 && dr7 >> (16 + 4 * i) & 3 == 0 && self.cpu.dr[i] == lin)
            .fold(0, |hits, i| hits | 1 << i);
        if hits == 0 {
            return Ok(());
        }
        self.cpu.dr[6] = self.cpu.dr[6] & !15 | hits;
        Err(Trap::Fault { vector: vector::DB, code: None })
    }
}
