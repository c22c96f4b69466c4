//! The generic interrupt controller, version 2: a distributor and a memory-mapped CPU interface for
//! each CPU, as a GIC-400 without Security and Virtualization Extensions has them.
//!
//! Both groups are there: group 0 is signalled as FIQ where the CPU interface says so, else as IRQ.
//! What the specification leaves UNPREDICTABLE: an end of interrupt when nothing is being handled does
//! nothing; a narrow access to a register that is no array of bytes reads its part, and writes nothing.
//!
//! Reference: ARM Generic Interrupt Controller Architecture Specification, version 2.0 (IHI 0048B).

mod distributor;
mod interface;
pub mod spec;

use super::gic::{self, ActivePriorities, Candidate, Interrupts};
use super::{Ctx, Device, Line};
use serde::{Deserialize, Serialize};

/// What each CPU has for itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Cpu {
    private: Interrupts,
    /// The CPUs that sent each pending software-generated interrupt.
    sources: [u8; gic::spec::SGIS as usize],
    /// GICC_CTLR.
    ctlr: u32,
    /// GICC_PMR.
    mask: u8,
    /// GICC_BPR and GICC_ABPR.
    binary_point: [u8; 2],
    active: ActivePriorities,
    irq: bool,
    fiq: bool,
}

impl Cpu {
    fn new() -> Self {
        let mut private = Interrupts::new(0, gic::spec::PRIVATE);
        private.words[0].enabled = spec::SGI_BITS;
        private.words[0].edge = spec::SGI_BITS;
        Self {
            private,
            sources: [0; gic::spec::SGIS as usize],
            ctlr: 0,
            mask: 0,
            binary_point: gic::spec::LEAST_BINARY_POINT,
            active: ActivePriorities::default(),
            irq: false,
            fiq: false,
        }
    }
}

/// The controller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GicV2 {
    cpus: Vec<Cpu>,
    shared: Interrupts,
    /// The CPUs that each shared interrupt goes to.
    #[serde(with = "serde_bytes")]
    targets: Vec<u8>,
    /// GICD_CTLR.
    ctlr: u32,
}

impl GicV2 {
    /// A controller for so many CPUs, at most 8.
    pub fn new(cpus: usize) -> Self {
        debug_assert!(cpus <= spec::CPUS, "GICv2 has 8 CPU interfaces");
        Self {
            cpus: vec![Cpu::new(); cpus.min(spec::CPUS)],
            shared: Interrupts::new(gic::spec::PRIVATE, gic::spec::SPIS),
            targets: vec![0; gic::spec::SPIS as usize],
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

    /// The most urgent interrupt that waits for a CPU.
    fn pending(&self, cpu: usize) -> Option<Candidate> {
        let c = &self.cpus[cpu];
        let groups = [0, 1].map(|g| self.ctlr & c.ctlr & 1 << g != 0);
        let own = c.private.best(groups, |_| true);
        let bit = 1 << cpu;
        // With one CPU all interrupts are its own (4.3.12).
        let one = self.cpus.len() == 1;
        let target = |n: u32| one || self.targets[(n - gic::spec::PRIVATE) as usize] & bit != 0;
        let shared = self.shared.best(groups, target);
        match (own, shared) {
            (Some(a), Some(b)) if b.priority < a.priority => Some(b),
            (Some(a), _) => Some(a),
            (None, b) => b,
        }
    }

    /// Computes what the CPUs see.
    fn update(&mut self) {
        for i in 0..self.cpus.len() {
            let signalled = self.signalled(i);
            let c = &mut self.cpus[i];
            c.fiq = signalled.is_some_and(|p| p.group == 0 && c.ctlr & spec::CTLR_FIQ_EN != 0);
            c.irq = signalled.is_some() && !c.fiq;
        }
    }
}

impl Device for GicV2 {
    /// Offsets in the distributor; [`spec::INTERFACE`] more in the CPU interface; [`spec::VIEW`] more
    /// for each CPU.
    fn read(&mut self, _ctx: &mut Ctx<'_>, addr: u64, size: u8) -> u64 {
        let cpu = (addr / spec::VIEW) as usize;
        if cpu >= self.cpus.len() {
            return 0;
        }
        let v = super::read_words(addr % spec::VIEW, size, |at| match at.checked_sub(spec::INTERFACE) {
            Some(at) => self.interface_read(cpu, at),
            None => self.distributor_read(cpu, at),
        });
        self.update();
        v
    }

    fn write(&mut self, _ctx: &mut Ctx<'_>, addr: u64, size: u8, value: u64) {
        let (cpu, offset) = ((addr / spec::VIEW) as usize, addr % spec::VIEW);
        if cpu >= self.cpus.len() {
            return;
        }
        if Self::bytewise(offset) {
            super::write_bytes(offset, size.min(4), value, |at, v| self.distributor_write_byte(cpu, at, v));
        } else if size >= 4 {
            super::write_words(offset, size, value, |at, v| match at.checked_sub(spec::INTERFACE) {
                Some(at) => self.interface_write(cpu, at, v),
                None => self.distributor_write(cpu, at, v),
            });
        }
        self.update();
    }

    fn reset(&mut self) {
        *self = Self::new(self.cpus.len());
    }
}
