//! What lies at which port and address.

use super::Devices;
use crate::devices::{Ctx, Line, Request};
use crate::machine::time::VirtNs;
use crate::replay::{Output, Source};
use dejavm_interp::engine::{At, Bus, Clock};
use dejavm_interp::mem::{Memory, PhysAddr};
use dejavm_interp::x86::X86Bus;

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
        self.devices.world = world;
        if self.devices.world.attention {
            self.devices.route();
        }
        result
    }
}

impl Bus for PcBus<'_> {
    fn mmio_read(&mut self, mem: &mut Memory, at: At, addr: PhysAddr, _size: u8) -> u64 {
        self.device(mem, at, |d, ctx| match addr >> 12 {
            0xfee00 => d.local_apics[at.cpu].read(ctx, addr & 0xfff).into(),
            0xfec00 => d.io_apic.read(addr).into(),
            _ => u64::MAX,
        })
    }

    fn mmio_write(&mut self, mem: &mut Memory, at: At, addr: PhysAddr, _size: u8, value: u64) {
        self.device(mem, at, |d, ctx| match addr >> 12 {
            0xfee00 => d.local_apics[at.cpu].write(ctx, addr & 0xfff, value as u32),
            0xfec00 => {
                d.io_apic.write(addr, value as u32);
                ctx.world.attention = true;
            }
            _ => {}
        });
    }

    fn attention(&self) -> bool {
        self.devices.world.attention
    }
}

impl X86Bus for PcBus<'_> {
    fn port_read(&mut self, mem: &mut Memory, at: At, port: u16, size: u8) -> u32 {
        self.device(mem, at, |d, ctx| match port {
            0x20 | 0x21 | 0xa0 | 0xa1 | 0x4d0 | 0x4d1 => d.pic.read(port).into(),
            0x40..=0x43 | 0x61 => d.pit.read(ctx, port).into(),
            0x3f8..=0x3ff => d.uarts[0].read(ctx, port & 7).into(),
            0x2f8..=0x2ff => d.uarts[1].read(ctx, port & 7).into(),
            0x3e8..=0x3ef => d.uarts[2].read(ctx, port & 7).into(),
            0x2e8..=0x2ef => d.uarts[3].read(ctx, port & 7).into(),
            0x71 => cmos(d.cmos_index & 0x7f, ctx.now),
            0xe9 => 0xe9,
            0x600 | 0x602 => 0,
            0x604 => d.pm_control.into(),
            0x608 => ctx.now.ticks(3_579_545) as u32 & 0xff_ffff,
            _ => match size {
                1 => 0xff,
                2 => 0xffff,
                _ => u32::MAX,
            },
        })
    }

    fn port_write(&mut self, mem: &mut Memory, at: At, port: u16, _size: u8, value: u32) {
        let byte = value as u8;
        self.device(mem, at, |d, ctx| match port {
            0x20 | 0x21 | 0xa0 | 0xa1 | 0x4d0 | 0x4d1 => {
                d.pic.write(port, byte);
                ctx.world.attention = true;
            }
            0x40..=0x43 | 0x61 => d.pit.write(ctx, port, byte),
            0x3f8..=0x3ff => d.uarts[0].write(ctx, port & 7, byte),
            0x2f8..=0x2ff => d.uarts[1].write(ctx, port & 7, byte),
            0x3e8..=0x3ef => d.uarts[2].write(ctx, port & 7, byte),
            0x2e8..=0x2ef => d.uarts[3].write(ctx, port & 7, byte),
            0x70 => d.cmos_index = byte,
            0xe9 | 0x402 => ctx.emit(Output::Debug { byte }),
            0x501 => ctx.request(Request::Exit(byte << 1 | 1)),
            0x604 => {
                d.pm_control = value as u16 | 1;
                if value & 0x2000 != 0 {
                    ctx.request(Request::PowerOff);
                }
            }
            0xcf9 if value & 4 != 0 => ctx.request(Request::Reset),
            _ => {}
        });
    }

    fn acknowledge_interrupt(&mut self, _mem: &mut Memory, at: At) -> Option<u8> {
        self.devices.world.attention = true;
        let apic = &mut self.devices.local_apics[at.cpu];
        if let Some(vector) = apic.acknowledge() {
            return Some(vector);
        }
        let legacy = at.cpu == 0 && apic.extint() && self.devices.pic.output();
        legacy.then(|| self.devices.pic.acknowledge())
    }

    fn apic_msr_read(&mut self, _mem: &mut Memory, at: At, msr: u32) -> Option<u64> {
        (msr == 0x1b).then_some(self.devices.local_apics[at.cpu].base)
    }

    fn apic_msr_write(&mut self, _mem: &mut Memory, at: At, msr: u32, value: u64) -> Option<()> {
        (msr == 0x1b).then(|| self.devices.local_apics[at.cpu].base = value)
    }

    fn tpr_read(&mut self, at: At) -> u8 {
        self.devices.local_apics[at.cpu].tpr() >> 4
    }

    fn tpr_write(&mut self, _mem: &mut Memory, at: At, tpr: u8) {
        self.devices.local_apics[at.cpu].set_tpr(tpr << 4);
        self.devices.world.attention = true;
    }

    fn ferr(&mut self, mem: &mut Memory, at: At, level: bool) {
        self.device(mem, at, |_, ctx| ctx.set_line(Line(13), level));
    }
}

/// The real-time clock, for now: a running clock without interrupts.
fn cmos(index: u8, now: VirtNs) -> u32 {
    let seconds = 1_700_000_000 + now.0 / VirtNs::SECOND;
    let bcd = |v: u64| (v / 10 * 16 + v % 10) as u32;
    match index {
        0 => bcd(seconds % 60),
        2 => bcd(seconds / 60 % 60),
        4 => bcd(seconds / 3600 % 24),
        6 => 1,
        7 => 0x14,
        8 => 0x11,
        9 => 0x23,
        0x32 => 0x20,
        10 => 0x26,
        11 => 2,
        13 => 0x80,
        _ => 0,
    }
}
