//! The generic interrupt controller, version 3: a distributor, a redistributor for each CPU, and the
//! CPUs' interfaces as system registers. Affinity routing is always on, and there is one security state
//! (GICD_CTLR.ARE and DS read as one), so group 0 is signalled as FIQ and group 1 as IRQ. There are no
//! LPIs and no ITS.
//!
//! GICR_WAKER.ProcessorSleep is clear from the start, as secure firmware leaves it: software that runs
//! without any, like EDK II, does not touch it and expects interrupts.
//!
//! What the specification leaves UNPREDICTABLE: an end of interrupt of a group that is not the one being
//! handled does nothing; a narrow access to a register that is no array of bytes reads its part, and
//! writes nothing. An interrupt for any one CPU goes to the first that takes its group.
//!
//! Reference: Arm Generic Interrupt Controller Architecture Specification, versions 3 and 4 (IHI 0069).

mod distributor;
mod interface;
mod redistributor;
pub mod spec;

use super::gic::{self, ActivePriorities, Candidate, Interrupts};
use super::{Ctx, Device, Line};
use serde::{Deserialize, Serialize};

/// What each CPU has for itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Cpu {
    /// Aff3.Aff2.Aff1.Aff0.
    affinity: u32,
    private: Interrupts,
    /// GICR_WAKER.ProcessorSleep: nothing is forwarded to the CPU.
    asleep: bool,
    /// ICC_CTLR_EL1's writable bits.
    ctlr: u32,
    /// ICC_PMR_EL1.
    mask: u8,
    /// ICC_BPR0_EL1, ICC_BPR1_EL1.
    binary_point: [u8; 2],
    active: ActivePriorities,
    /// ICC_IGRPEN0_EL1, ICC_IGRPEN1_EL1.
    enabled: [bool; 2],
    irq: bool,
    fiq: bool,
}

impl Cpu {
    fn new(affinity: u32) -> Self {
        let mut private = Interrupts::new(0, gic::spec::PRIVATE);
        private.words[0].edge = spec::SGI_BITS;
        Self {
            affinity,
            private,
            asleep: false,
            ctlr: 0,
            mask: 0,
            binary_point: gic::spec::LEAST_BINARY_POINT,
            active: ActivePriorities::default(),
            enabled: [false; 2],
            irq: false,
            fiq: false,
        }
    }
}

/// The controller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GicV3 {
    cpus: Vec<Cpu>,
    shared: Interrupts,
    /// GICD_IROUTER of each shared interrupt.
    routes: Vec<u64>,
    /// GICD_CTLR's writable bits.
    ctlr: u32,
}

impl GicV3 {
    /// A controller for CPUs with these affinities, as MPIDR_EL1 packs them.
    pub fn new(affinities: impl Iterator<Item = u64>) -> Self {
        let cpu = |a: u64| Cpu::new((a & 0xff_ffff) as u32 | (a >> 32 & 0xff) as u32 * (1 << 24));
        Self {
            cpus: affinities.map(cpu).collect(),
            shared: Interrupts::new(gic::spec::PRIVATE, gic::spec::SPIS),
            routes: vec![0; gic::spec::SPIS as usize],
            ctlr: 0,
        }
    }

    /// A line changes, numbered as [`gic::spi`] and [`gic::ppi`] say.
    pub fn set(&mut self, line: Line, level: bool) {
        match gic::interrupt(line) {
            (None, intid) => self.shared.set(intid, level),
            (Some(cpu), intid) => {
                if let Some(cpu) = self.cpus.get_mut(cpu) {
                    cpu.private.set(intid, level);
                }
            }
        }
        self.update();
    }

    /// The interrupt request that a CPU sees, and the fast one.
    pub fn outputs(&self, cpu: usize) -> (bool, bool) {
        self.cpus.get(cpu).map_or((false, false), |c| (c.irq, c.fiq))
    }

    /// A CPU takes interrupts of a group.
    fn takes(&self, cpu: &Cpu, group: usize) -> bool {
        !cpu.asleep && cpu.enabled[group] && self.ctlr & 1 << group != 0
    }

    /// The CPU that a shared interrupt goes to.
    fn target(&self, intid: u32) -> Option<usize> {
        let route = self.routes[(intid - gic::spec::PRIVATE) as usize];
        if route & spec::IROUTER_MODE != 0 {
            let group = self.shared.group(intid);
            return self.cpus.iter().position(|c| self.takes(c, group));
        }
        let affinity = (route & 0xff_ffff) as u32 | (route >> 32 & 0xff) as u32 * (1 << 24);
        self.cpus.iter().position(|c| c.affinity == affinity)
    }

    /// The most urgent interrupt that waits for a CPU.
    fn pending(&self, cpu: usize) -> Option<Candidate> {
        let c = &self.cpus[cpu];
        let groups = [0, 1].map(|g| self.takes(c, g));
        let own = c.private.best(groups, |_| true);
        let shared = self.shared.best(groups, |n| self.target(n) == Some(cpu));
        match (own, shared) {
            (Some(a), Some(b)) if b.priority < a.priority => Some(b),
            (Some(a), _) => Some(a),
            (None, b) => b,
        }
    }

    /// Computes what the CPUs see.
    fn update(&mut self) {
        for i in 0..self.cpus.len() {
            let group = self.signalled(i).map(|p| p.group);
            let c = &mut self.cpus[i];
            c.fiq = group == Some(0);
            c.irq = group == Some(1);
        }
    }
}

impl Device for GicV3 {
    /// Offsets in the distributor; from [`spec::REDISTRIBUTORS`] on in the redistributors; from
    /// [`spec::SYSTEM`] on system registers.
    fn read(&mut self, _ctx: &mut Ctx<'_>, addr: u64, size: u8) -> u64 {
        if let Some(at) = addr.checked_sub(spec::SYSTEM) {
            return self.system_read((at >> 16) as usize, at as u16).unwrap_or(u64::MAX);
        }
        super::read_words(addr, size, |at| match at.checked_sub(spec::REDISTRIBUTORS) {
            Some(at) => self.redistributor_read(at),
            None => self.distributor_read(at),
        })
    }

    fn write(&mut self, _ctx: &mut Ctx<'_>, addr: u64, size: u8, value: u64) {
        if let Some(at) = addr.checked_sub(spec::SYSTEM) {
            let _ = self.system_write((at >> 16) as usize, at as u16, value);
            return;
        }
        let narrow = size < 4;
        match addr.checked_sub(spec::REDISTRIBUTORS) {
            Some(at) if Self::bytewise(at.wrapping_sub(spec::SGI_BASE) % spec::REDISTRIBUTOR) => {
                super::write_bytes(at, size, value, |at, v| self.redistributor_priority(at, v));
            }
            Some(at) if !narrow => {
                super::write_words(at, size, value, |at, v| self.redistributor_write(at, v))
            }
            None if Self::bytewise(addr) => {
                super::write_bytes(addr, size, value, |at, v| self.distributor_priority(at, v));
            }
            None if !narrow => super::write_words(addr, size, value, |at, v| self.distributor_write(at, v)),
            _ => {}
        }
        self.update();
    }

    fn reset(&mut self) {
        let affinities: Vec<u32> = self.cpus.iter().map(|c| c.affinity).collect();
        *self =
            Self { cpus: affinities.into_iter().map(Cpu::new).collect(), ..Self::new(std::iter::empty()) };
    }
}
