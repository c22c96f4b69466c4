//! What lies at which port and address.

use super::Devices;
use super::lines;
use super::memory::shadow_write;
use crate::devices::pci::{self, chipset};
use crate::devices::{Ctx, Device, Request, acpi_pm, debug, fw_cfg, hpet, i8042, ioapic, lapic, pic, pit};
use crate::machine::time::VirtNs;
use crate::replay::Source;
use dejavm_interp::engine::{At, Bus, Clock};
use dejavm_interp::mem::{Memory, PhysAddr};
use dejavm_interp::x86::X86Bus;

/// First ports of COM1 to COM4.
const COM_PORTS: [u64; 4] = [0x3f8, 0x2f8, 0x3e8, 0x2e8];

/// The devices as a CPU sees them during a run.
pub(super) struct PcBus<'a> {
    pub devices: &'a mut Devices,
    pub source: &'a mut dyn Source,
    pub clock: Clock,
}

impl PcBus<'_> {
    /// Calls a device at a moment, and routes what it did to its lines.
    pub fn device<R>(
        &mut self,
        mem: &mut Memory,
        at: At,
        f: impl FnOnce(&mut Devices, &mut Ctx<'_>) -> R,
    ) -> R {
        let mut world = std::mem::take(&mut self.devices.world);
        let mut ctx = Ctx {
            icount: at.icount,
            now: VirtNs(self.clock.virtual_ns(at.icount)),
            mem,
            world: &mut world,
            source: self.source,
        };
        let result = f(self.devices, &mut ctx);
        self.devices.route(&mut ctx);
        self.devices.world = world;
        result
    }
}

/// All ones of a size, what the bus gives where nothing answers.
fn ones(size: u8) -> u64 {
    u64::MAX >> (64 - 8 * u32::from(size.clamp(1, 8)))
}

impl Bus for PcBus<'_> {
    fn mmio_read(&mut self, mem: &mut Memory, at: At, addr: PhysAddr, size: u8) -> u64 {
        self.device(mem, at, |d, ctx| {
            let v = if d.has_apic && d.local_apics[at.cpu].claims(addr) {
                d.local_apics[at.cpu].read(ctx, addr, size)
            } else if addr.wrapping_sub(ioapic::spec::BASE) < ioapic::spec::SIZE && d.has_apic {
                d.io_apic.read(ctx, addr, size)
            } else if addr.wrapping_sub(hpet::spec::BASE) < hpet::spec::SIZE {
                d.hpet.read(ctx, addr, size)
            } else {
                u64::MAX
            };
            v & ones(size)
        })
    }

    fn mmio_write(&mut self, mem: &mut Memory, at: At, addr: PhysAddr, size: u8, value: u64) {
        self.device(mem, at, |d, ctx| {
            if d.has_apic && d.local_apics[at.cpu].claims(addr) {
                d.local_apics[at.cpu].write(ctx, addr, size, value);
            } else if addr.wrapping_sub(ioapic::spec::BASE) < ioapic::spec::SIZE && d.has_apic {
                d.io_apic.write(ctx, addr, size, value);
            } else if addr.wrapping_sub(hpet::spec::BASE) < hpet::spec::SIZE {
                d.hpet.write(ctx, addr, size, value);
                d.rewire();
            } else {
                shadow_write(ctx.mem, chipset::pam(&d.host_bridge), addr, size, value);
            }
        });
    }

    fn attention(&self) -> bool {
        self.devices.world.attention
    }

    fn alone(&self) -> bool {
        self.devices.local_apics.len() == 1
    }
}

impl Devices {
    /// The power management registers that a port means, as the device counts them.
    fn pm_offset(&self, port: u64) -> Option<u64> {
        use acpi_pm::spec;
        if self.pm_config.get8(chipset::spec::PMREGMISC) & chipset::spec::PM_ENABLE != 0 {
            let base = u64::from(self.pm_config.get16(chipset::spec::PMBASE) & 0xffc0);
            if let Some(at) = port.checked_sub(base).filter(|&at| at < spec::PORTS) {
                return Some(at);
            }
        }
        if let Some(at) = port.checked_sub(spec::GPE_BASE).filter(|&at| at < spec::GPE_PORTS) {
            return Some(spec::GPE + at);
        }
        matches!(port, spec::APM_CONTROL | spec::APM_STATUS).then(|| spec::APM + (port & 1))
    }

    fn config(&mut self, slot: pci::Slot) -> Option<&mut pci::config::Config> {
        match (slot.device, slot.function) {
            (0, 0) => Some(&mut self.host_bridge),
            (1, 0) => Some(&mut self.piix3),
            (1, 3) => Some(&mut self.pm_config),
            _ => None,
        }
    }

    fn config_write(&mut self, ctx: &mut Ctx<'_>, offset: u64, size: u8, value: u32) {
        let Some((slot, reg)) = self.pci.target(offset) else { return };
        let pam = chipset::pam(&self.host_bridge);
        if let Some(config) = self.config(slot) {
            config.write(reg, size, value);
        }
        if chipset::pam(&self.host_bridge) != pam {
            self.remap = true;
            ctx.world.attention = true;
        }
        if (slot.device, slot.function) == (1, 0) && Self::pirq_register(reg) {
            self.rewire();
        }
    }

    /// Reads a port.
    fn port_in(&mut self, ctx: &mut Ctx<'_>, port: u64, size: u8) -> u64 {
        match port {
            pic::spec::MASTER..=0x21 | pic::spec::SLAVE..=0xa1 | pic::spec::ELCR_MASTER..=0x4d1 => {
                self.pic.read(ctx, port, size)
            }
            pit::spec::COUNTER0..=pit::spec::CONTROL | pit::spec::NMI_SC => self.pit.read(ctx, port, size),
            0x70 | 0x71 => self.rtc.read(ctx, port, size),
            PORT_92 => {
                if self.a20() {
                    PORT_92_A20.into()
                } else {
                    0
                }
            }
            i8042::spec::DATA | i8042::spec::COMMAND => self.i8042.read(ctx, port, size),
            fw_cfg::spec::SELECTOR..=0x51b => self.fw_cfg.read(ctx, port, size),
            debug::spec::POST | debug::spec::BOCHS | debug::spec::SEABIOS | debug::spec::EXIT => {
                self.debug.read(ctx, port, size)
            }
            pci::spec::ADDRESS if size == 4 => self.pci.address().into(),
            pci::spec::RESET_CONTROL if size == 1 => self.pci.reset_control.into(),
            pci::spec::DATA..=0xcff => match self.pci.target(port & 3) {
                Some((slot, reg)) => self.config(slot).map_or(u64::MAX, |c| c.read(reg, size).into()),
                None => u64::MAX,
            },
            _ => {
                if let Some(i) = COM_PORTS.iter().position(|&base| port & !7 == base) {
                    return self.uarts[i].read(ctx, port & 7, size);
                }
                match self.pm_offset(port) {
                    Some(at) => self.pm.read(ctx, at, size),
                    None => u64::MAX,
                }
            }
        }
    }

    /// Writes a port.
    fn port_out(&mut self, ctx: &mut Ctx<'_>, port: u64, size: u8, value: u64) {
        match port {
            pic::spec::MASTER..=0x21 | pic::spec::SLAVE..=0xa1 | pic::spec::ELCR_MASTER..=0x4d1 => {
                self.pic.write(ctx, port, size, value);
            }
            pit::spec::COUNTER0..=pit::spec::CONTROL | pit::spec::NMI_SC => {
                self.pit.write(ctx, port, size, value);
            }
            0x70 | 0x71 => self.rtc.write(ctx, port, size, value),
            PORT_92 => {
                if value as u8 & PORT_92_RESET != 0 {
                    ctx.request(Request::Reset);
                }
                let open = value as u8 & PORT_92_A20 != 0;
                self.change_a20(ctx, |i8042, _| i8042.set_a20(open));
            }
            i8042::spec::DATA | i8042::spec::COMMAND => {
                self.change_a20(ctx, |i8042, ctx| i8042.write(ctx, port, size, value));
            }
            debug::spec::POST | debug::spec::BOCHS | debug::spec::SEABIOS | debug::spec::EXIT => {
                self.debug.write(ctx, port, size, value);
            }
            fw_cfg::spec::SELECTOR..=0x51b => self.fw_cfg.write(ctx, port, size, value),
            pci::spec::ADDRESS if size == 4 => self.pci.set_address(value as u32),
            pci::spec::RESET_CONTROL if size == 1 => {
                if self.pci.set_reset_control(value as u8) {
                    ctx.request(Request::Reset);
                }
            }
            pci::spec::DATA..=0xcff => self.config_write(ctx, port & 3, size, value as u32),
            _ => {
                if let Some(i) = COM_PORTS.iter().position(|&base| port & !7 == base) {
                    self.uarts[i].write(ctx, port & 7, size, value);
                } else if let Some(at) = self.pm_offset(port) {
                    self.pm.write(ctx, at, size, value);
                }
            }
        }
    }

    /// Does something to the keyboard controller, which holds the A20 gate: its output port and
    /// system control port A (PIIX3, 2.5.5.2) are one latch here.
    fn change_a20(&mut self, ctx: &mut Ctx<'_>, f: impl FnOnce(&mut i8042::I8042, &mut Ctx<'_>)) {
        let old = self.a20();
        f(&mut self.i8042, ctx);
        if self.a20() != old {
            self.remap = true;
            ctx.world.attention = true;
        }
    }

    /// The A20 gate is open.
    pub(super) fn a20(&self) -> bool {
        self.i8042.a20()
    }
}

/// System control port A.
const PORT_92: u64 = 0x92;
const PORT_92_RESET: u8 = 1;
/// Opens the A20 gate.
const PORT_92_A20: u8 = 2;

impl X86Bus for PcBus<'_> {
    fn port_read(&mut self, mem: &mut Memory, at: At, port: u16, size: u8) -> u32 {
        self.device(mem, at, |d, ctx| (d.port_in(ctx, port.into(), size) & ones(size)) as u32)
    }

    fn port_write(&mut self, mem: &mut Memory, at: At, port: u16, size: u8, value: u32) {
        let value = u64::from(value) & ones(size);
        self.device(mem, at, |d, ctx| d.port_out(ctx, port.into(), size, value));
    }

    fn acknowledge_interrupt(&mut self, mem: &mut Memory, at: At) -> Option<u8> {
        let vector = self.device(mem, at, |d, _| d.acknowledge(at.cpu));
        // The CPU's request line has to be computed again.
        self.devices.world.attention = true;
        vector
    }

    fn apic_msr_read(&mut self, mem: &mut Memory, at: At, msr: u32) -> Option<u64> {
        self.device(
            mem,
            at,
            |d, ctx| {
                if d.has_apic { d.local_apics[at.cpu].msr_read(ctx, msr) } else { None }
            },
        )
    }

    fn apic_msr_write(&mut self, mem: &mut Memory, at: At, msr: u32, value: u64) -> Option<()> {
        self.device(mem, at, |d, ctx| {
            if d.has_apic || msr == lapic::spec::MSR_TSC {
                d.local_apics[at.cpu].msr_write(ctx, msr, value)
            } else {
                None
            }
        })
    }

    fn tpr_read(&mut self, at: At) -> u8 {
        self.devices.local_apics[at.cpu].cr8()
    }

    fn tpr_write(&mut self, mem: &mut Memory, at: At, tpr: u8) {
        self.device(mem, at, |d, _| d.local_apics[at.cpu].set_cr8(tpr));
    }

    fn ferr(&mut self, mem: &mut Memory, at: At, level: bool) {
        self.device(mem, at, |_, ctx| ctx.set_line(lines::FERR, level));
    }
}
