//! Interrupts on their way: from devices' lines through the controller to the CPUs.

use super::psci::Order;
use super::{Devices, Virt, VirtConfig};
use crate::devices::gicv2::GicV2;
use crate::devices::gicv3::GicV3;
use crate::devices::{Ctx, Line, World};
use dejavm_interp::aarch64::regs::Activity;
use serde::{Deserialize, Serialize};

/// Versions of the interrupt controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GicVersion {
    /// GICv2.
    V2,
    /// GICv3.
    V3,
}

impl GicVersion {
    /// CPUs of a cluster: as many as a software-generated interrupt reaches at once.
    pub fn cluster(self) -> u64 {
        match self {
            Self::V2 => 8,
            Self::V3 => 16,
        }
    }
}

/// The interrupt controller.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Gic {
    V2(GicV2),
    V3(GicV3),
}

impl Gic {
    pub fn new(config: &VirtConfig) -> Self {
        match config.gic {
            GicVersion::V2 => Self::V2(GicV2::new(config.cpus)),
            GicVersion::V3 => Self::V3(GicV3::new((0..config.cpus).map(|i| config.affinity(i)))),
        }
    }

    fn set(&mut self, line: Line, level: bool) {
        match self {
            Self::V2(gic) => gic.set(line, level),
            Self::V3(gic) => gic.set(line, level),
        }
    }

    /// IRQ and FIQ of a CPU.
    fn outputs(&self, cpu: usize) -> (bool, bool) {
        match self {
            Self::V2(gic) => gic.outputs(cpu),
            Self::V3(gic) => gic.outputs(cpu),
        }
    }
}

impl Devices {
    /// Carries changed lines to the controller.
    pub(super) fn route(&mut self, ctx: &mut Ctx<'_>) {
        for (line, level) in std::mem::take(&mut ctx.world.lines) {
            self.gic.set(line, level);
        }
        ctx.world.attention |= (0..self.seen.len()).any(|i| self.gic.outputs(i) != self.seen[i]);
    }
}

impl Virt {
    /// Sets the CPUs' interrupt inputs, and does to them what the firmware and SEV ask for.
    pub(super) fn signal(&mut self) {
        for (i, cpu) in self.cpus.iter_mut().enumerate() {
            let outputs = self.devices.gic.outputs(i);
            self.devices.seen[i] = outputs;
            (cpu.irq, cpu.fiq) = outputs;
            cpu.event |= self.devices.event;
        }
        self.devices.event = false;
        for order in std::mem::take(&mut self.devices.psci.orders) {
            match order {
                Order::Suspend(i) => self.cpus[i].activity = Activity::WaitForInterrupt,
                Order::Off(i) => self.cpus[i].activity = Activity::Off,
                Order::On { cpu: i, entry, context } => {
                    let mut cpu = self.config.cpu(i);
                    cpu.activity = Activity::Running;
                    cpu.pc = entry;
                    cpu.x[0] = context;
                    (cpu.irq, cpu.fiq) = self.devices.seen[i];
                    self.cpus[i] = cpu;
                }
            }
        }
    }
}

/// True when nothing waits to be routed: holds between steps.
pub(super) fn settled(world: &World) -> bool {
    world.lines.is_empty()
}
