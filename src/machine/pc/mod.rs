//! The `pc` board: what QEMU's machine of that name is to a guest, with a 440FX host bridge and a PIIX3/PIIX4 south
//! bridge.

mod bus;
mod memory;
mod route;

pub use memory::memory;

use super::board::Board;
use super::events::TimerId;
use super::loader::Start;
use crate::devices::World;
use crate::devices::ioapic::IoApic;
use crate::devices::lapic::LocalApic;
use crate::devices::pic::Pic;
use crate::devices::pit::Pit;
use crate::devices::uart::Uart;
use crate::replay::{Input, Source};
use bus::PcBus;
use dejavm_interp::engine::{At, Clock, Engine, Exit};
use dejavm_interp::mem::Memory;
use dejavm_interp::x86::flags::bit;
use dejavm_interp::x86::model::Model;
use dejavm_interp::x86::regs::Activity;
use dejavm_interp::x86::{Cpu, X86Bus};
use serde::{Deserialize, Serialize};

/// Names of the board's timers.
mod timer {
    use crate::machine::events::TimerId;

    pub const PIT: TimerId = TimerId(0);
    /// COM1 to COM4: 1 to 4.
    pub const UART: u16 = 1;
    /// Local APICs, by CPU.
    pub const LOCAL_APIC: u16 = 0x100;
}

/// Where the real-time clock's time comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RtcBase {
    /// The host's clock, read through the log.
    Host,
    /// This time, in seconds since 1970, at power-on, and the virtual clock from there.
    Fixed(i64),
}

/// What a `pc` is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PcConfig {
    /// The CPU model.
    pub model: Model,
    /// Number of CPUs, 1 to 255.
    pub cpus: usize,
    /// Bytes of RAM.
    pub memory: u64,
    /// Seed of everything random.
    pub seed: u64,
    /// The real-time clock's time.
    pub rtc: RtcBase,
    /// How the bootstrap CPU starts.
    pub start: Start,
    /// Bytes of firmware that end at 4 GiB; 0 without firmware.
    pub bios: u64,
}

/// All devices: everything on the board but the CPUs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Devices {
    world: World,
    pic: Pic,
    pit: Pit,
    local_apics: Vec<LocalApic>,
    io_apic: IoApic,
    uarts: [Uart; 4],
    cmos_index: u8,
    pm_control: u16,
}

/// The board.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Pc {
    config: PcConfig,
    cpus: Vec<Cpu>,
    devices: Devices,
}

impl Devices {
    fn new(config: &PcConfig) -> Self {
        Self {
            world: World::default(),
            pic: Pic::default(),
            pit: Pit::new(timer::PIT),
            local_apics: (0..config.cpus)
                .map(|i| LocalApic::new(i as u8, TimerId(timer::LOCAL_APIC + i as u16)))
                .collect(),
            io_apic: IoApic::default(),
            uarts: [(0, 4), (1, 3), (2, 4), (3, 3)]
                .map(|(port, irq)| Uart::new(port, irq, TimerId(timer::UART + u16::from(port)))),
            cmos_index: 0,
            pm_control: 1,
        }
    }
}

impl Pc {
    /// A board at power-on.
    pub fn new(config: &PcConfig) -> Self {
        let cpus = (0..config.cpus)
            .map(|i| {
                let mut cpu = Cpu::new(config.model, config.seed.wrapping_add(i as u64), i == 0);
                if i == 0 {
                    config.start.apply(&mut cpu);
                }
                cpu
            })
            .collect();
        Self { config: config.clone(), cpus, devices: Devices::new(config) }
    }

    /// The CPUs, to inspect.
    pub fn cpus(&self) -> &[Cpu] {
        &self.cpus
    }

    /// Carries line changes to the interrupt controllers and from there to the CPUs.
    fn sync(&mut self) {
        self.devices.route();
        self.devices.signal(&mut self.cpus);
    }

    /// Calls a device outside any CPU's access.
    fn with_bus(
        &mut self,
        mem: &mut Memory,
        source: &mut dyn Source,
        clock: Clock,
        f: impl FnOnce(&mut PcBus<'_>, &mut Memory, At),
    ) {
        let mut bus = PcBus { devices: &mut self.devices, source, clock };
        f(&mut bus, mem, At { icount: clock.icount, cpu: 0 });
        self.sync();
    }
}

impl Board for Pc {
    type Engine = dyn for<'a> Engine<Cpu, dyn X86Bus + 'a>;

    fn cpus(&self) -> usize {
        self.cpus.len()
    }

    fn halted(&self, index: usize) -> bool {
        let cpu = &self.cpus[index];
        match cpu.activity {
            Activity::Running => false,
            Activity::Halted => {
                !(cpu.intr && cpu.rflags & bit::IF != 0
                    || cpu.nmi_pending && !cpu.nmi_blocked
                    || cpu.init_pending
                    || cpu.debug_pending != 0)
            }
            Activity::WaitForSipi => cpu.sipi_pending.is_none(),
            Activity::Shutdown => !cpu.init_pending,
        }
    }

    fn run(
        &mut self,
        engine: &mut Self::Engine,
        index: usize,
        mem: &mut Memory,
        source: &mut dyn Source,
        clock: Clock,
        budget: u64,
    ) -> Exit {
        self.sync();
        let mut bus = PcBus { devices: &mut self.devices, source, clock };
        let bus: &mut (dyn X86Bus + '_) = &mut bus;
        let exit = engine.run(&mut self.cpus[index], index, mem, bus, clock, budget);
        self.sync();
        exit
    }

    fn timer(&mut self, timer: TimerId, mem: &mut Memory, source: &mut dyn Source, clock: Clock) {
        self.with_bus(mem, source, clock, |bus, mem, at| {
            bus.device(mem, at, |d, ctx| match timer {
                timer::PIT => d.pit.timer(ctx),
                TimerId(n @ timer::UART..=4) => d.uarts[usize::from(n - timer::UART)].timer(ctx),
                TimerId(n) => {
                    if let Some(apic) = d.local_apics.get_mut(usize::from(n.wrapping_sub(timer::LOCAL_APIC)))
                    {
                        apic.timer(ctx);
                    }
                }
            });
        });
    }

    fn input(&mut self, input: &Input, mem: &mut Memory, source: &mut dyn Source, clock: Clock) {
        self.with_bus(mem, source, clock, |bus, mem, at| {
            bus.device(mem, at, |d, ctx| match input {
                Input::Serial { port, bytes } => {
                    if let Some(uart) = d.uarts.get_mut(usize::from(*port)) {
                        uart.input(ctx, bytes);
                    }
                }
                Input::Reset => ctx.request(crate::devices::Request::Reset),
                Input::PowerButton => ctx.request(crate::devices::Request::PowerOff),
                Input::Nmi | Input::Key { .. } | Input::Pointer { .. } => {}
            });
        });
        if *input == Input::Nmi {
            for cpu in &mut self.cpus {
                cpu.nmi_pending = true;
            }
        }
    }

    fn serial_room(&self, port: u8) -> usize {
        self.devices.uarts.get(usize::from(port)).map_or(0, Uart::room)
    }

    fn world(&mut self) -> &mut World {
        &mut self.devices.world
    }

    fn reset(&mut self, mem: &mut Memory) {
        *self = Self::new(&self.config);
        self.map(mem);
    }
}
