//! What lies at which address, and which system registers lie outside the CPUs.

use super::Devices;
use super::interrupts::Gic;
use super::lines::{self, within};
use crate::devices::flash::Flash;
use crate::devices::pci::{Slot, config::Config, ecam};
use crate::devices::{Ctx, Device, gicv2, gicv3, virtio_mmio};
use crate::machine::time::VirtNs;
use crate::replay::Source;
use dejavm_interp::aarch64::A64Bus;
use dejavm_interp::engine::{At, Bus, Clock};
use dejavm_interp::mem::{Memory, PhysAddr};

/// The devices as a CPU sees them during a run.
pub(super) struct VirtBus<'a> {
    pub devices: &'a mut Devices,
    pub source: &'a mut dyn Source,
    pub clock: Clock,
}

impl VirtBus<'_> {
    /// Calls a device at a moment, and routes what it did to its lines.
    pub fn device<R>(
        &mut self,
        mem: &mut Memory,
        at: At,
        f: impl FnOnce(&mut Devices, &mut Ctx<'_>) -> R,
    ) -> R {
        let mut world = std::mem::take(&mut self.devices.world);
        let mut ctx =
            Ctx { icount: at.icount, now: self.now(at), mem, world: &mut world, source: self.source };
        let result = f(self.devices, &mut ctx);
        self.devices.route(&mut ctx);
        self.devices.world = world;
        result
    }

    fn now(&self, at: At) -> VirtNs {
        VirtNs(self.clock.virtual_ns(at.icount))
    }
}

/// All ones of a size, what PCI gives where nothing answers.
fn ones(size: u8) -> u64 {
    u64::MAX >> (64 - 8 * u32::from(size.clamp(1, 8)))
}

/// Calls a method of the device at an address, with the offset that it counts from: `$call` is
/// `|device, offset| ...`. The places where no device lies have answers of their own.
macro_rules! at_device {
    ($d:expr, $at:expr, $addr:expr, |$device:ident, $offset:ident| $call:expr, $nothing:expr) => {{
        let (d, addr): (&mut Devices, PhysAddr) = ($d, $addr);
        if let Some($offset) = within(lines::UART, addr) {
            let $device = &mut d.uart;
            $call
        } else if let Some($offset) = d.gic_offset($at.cpu, addr) {
            match &mut d.gic {
                Gic::V2($device) => $call,
                Gic::V3($device) => $call,
            }
        } else if let Some($offset) = within(lines::RTC, addr) {
            let $device = &mut d.rtc;
            $call
        } else if let Some($offset) = within(lines::GPIO, addr) {
            let $device = &mut d.gpio;
            $call
        } else if let Some($offset) = within(lines::FW_CFG, addr) {
            let $device = &mut d.fw_cfg;
            $call
        } else if let Some(offset) = within(lines::VIRTIO, addr) {
            let ($device, $offset) = (&mut d.virtio, offset % virtio_mmio::spec::SIZE);
            $call
        } else if let Some($offset) = within(lines::GICV2M, addr).filter(|_| matches!(d.gic, Gic::V2(_))) {
            let $device = &mut d.gicv2m;
            $call
        } else {
            $nothing
        }
    }};
}

impl Devices {
    /// The offset of an address in the interrupt controller, as its version counts.
    fn gic_offset(&self, cpu: usize, addr: PhysAddr) -> Option<u64> {
        match &self.gic {
            Gic::V2(_) => {
                let at = within(lines::GICD, addr)
                    .or_else(|| within(lines::GICC, addr).map(|at| at + gicv2::spec::INTERFACE))?;
                Some(at + cpu as u64 * gicv2::spec::VIEW)
            }
            Gic::V3(_) => within(lines::GICD, addr)
                .or_else(|| within(lines::GICR, addr).map(|at| at + gicv3::spec::REDISTRIBUTORS)),
        }
    }

    /// A PCI function's configuration.
    fn config(&mut self, slot: Slot) -> Option<&mut Config> {
        match (slot.device, slot.function) {
            (0, 0) => Some(&mut self.host_bridge),
            _ => None,
        }
    }

    /// Calls a flash; the memory map follows when it shows something else afterwards.
    fn flash<R>(
        &mut self,
        ctx: &mut Ctx<'_>,
        addr: PhysAddr,
        f: impl FnOnce(&mut Flash, &mut Ctx<'_>, u64) -> R,
    ) -> Option<R> {
        let n = usize::from(addr >= lines::FLASH[1].0);
        let at = within(lines::FLASH[n], addr)?;
        let shown = self.flashes[n].array();
        let result = f(&mut self.flashes[n], ctx, at);
        if self.flashes[n].array() != shown {
            self.remap = true;
            ctx.world.attention = true;
        }
        Some(result)
    }

    /// Reads where no device lies that is one span of registers.
    fn read_elsewhere(&mut self, ctx: &mut Ctx<'_>, addr: PhysAddr, size: u8) -> u64 {
        if let Some(at) = within(lines::PCI_ECAM, addr) {
            let target = ecam::target(at);
            let at = target.map_or(0, |t| t.1);
            return ecam::read(target.and_then(|t| self.config(t.0)).map(|c| &*c), at, size);
        }
        if [lines::PCI_MMIO, lines::PCI_PIO, lines::PCI_HIGH].iter().any(|&w| within(w, addr).is_some()) {
            return u64::MAX;
        }
        self.flash(ctx, addr, |flash, ctx, at| flash.read(ctx, at, size)).unwrap_or(0)
    }

    fn write_elsewhere(&mut self, ctx: &mut Ctx<'_>, addr: PhysAddr, size: u8, value: u64) {
        if let Some((slot, at)) = within(lines::PCI_ECAM, addr).and_then(ecam::target) {
            if let Some(config) = self.config(slot) {
                ecam::write(config, at, size, value);
            }
            return;
        }
        self.flash(ctx, addr, |flash, ctx, at| flash.write(ctx, at, size, value));
    }
}

impl Bus for VirtBus<'_> {
    fn mmio_read(&mut self, mem: &mut Memory, at: At, addr: PhysAddr, size: u8) -> u64 {
        self.device(mem, at, |d, ctx| {
            let v = at_device!(d, at, addr, |device, offset| device.read(ctx, offset, size), {
                d.read_elsewhere(ctx, addr, size)
            });
            v & ones(size)
        })
    }

    fn mmio_write(&mut self, mem: &mut Memory, at: At, addr: PhysAddr, size: u8, value: u64) {
        self.device(mem, at, |d, ctx| {
            at_device!(d, at, addr, |device, offset| device.write(ctx, offset, size, value), {
                d.write_elsewhere(ctx, addr, size, value);
            });
        });
    }

    fn attention(&self) -> bool {
        self.devices.world.attention
    }
}

impl A64Bus for VirtBus<'_> {
    fn system_read(&mut self, mem: &mut Memory, at: At, reg: u16) -> Option<u64> {
        let now = self.now(at);
        if let Some(v) = self.devices.timers[at.cpu].read_register(now, reg) {
            return Some(v);
        }
        self.device(mem, at, |d, _| match &mut d.gic {
            Gic::V2(_) => None,
            Gic::V3(gic) => gic.system_read(at.cpu, reg),
        })
    }

    fn system_write(&mut self, mem: &mut Memory, at: At, reg: u16, value: u64) -> Option<()> {
        self.device(mem, at, |d, ctx| {
            if let Some(done) = d.timers[at.cpu].write_register(ctx, reg, value) {
                return Some(done);
            }
            match &mut d.gic {
                Gic::V2(_) => None,
                Gic::V3(gic) => gic.system_write(at.cpu, reg, value),
            }
        })
    }

    fn firmware(&mut self, mem: &mut Memory, at: At, smc: bool, x: [u64; 4]) -> Option<u64> {
        if smc {
            return None;
        }
        Some(self.device(mem, at, |d, ctx| d.psci.call(ctx, at.cpu, x)))
    }

    fn send_event(&mut self, _at: At) {
        self.devices.event = true;
        self.devices.world.attention = true;
    }
}
