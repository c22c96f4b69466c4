//! The `virt` board: what QEMU's machine of that name is to a 64-bit ARM guest.
//!
//! The board calls one device at a time, at an exact moment. After each call it routes interrupt
//! lines (`interrupts`); when that changes what a CPU sees, or the memory map changes, the engine is
//! stopped at the end of the step and the board carries it out. CPUs have EL1 and EL0; the board
//! itself is the firmware that HVC calls (`psci`). Addresses where nothing lies read as zero, but for
//! PCI's windows, which read as all ones.

mod bus;
pub mod fdt;
mod interrupts;
pub mod lines;
mod memory;
pub mod psci;
#[cfg(test)]
mod tests;

pub use crate::devices::rtc::RtcBase;
pub use interrupts::GicVersion;
pub use memory::memory;

use super::board::{Board, Core};
use super::events::TimerId;
use crate::devices::flash::Flash;
use crate::devices::fw_cfg::{FwCfg, FwCfgMmio};
use crate::devices::generic_timer::{self, GenericTimer};
use crate::devices::gicv2m::GicV2m;
use crate::devices::pci::{config::Config, ecam};
use crate::devices::pl011::{self, Pl011};
use crate::devices::pl031::Pl031;
use crate::devices::pl061::Pl061;
use crate::devices::virtio_mmio::EmptySlot;
use crate::devices::{Ctx, Device, Request, World};
use crate::replay::{Input, Source};
use bus::VirtBus;
use dejavm_interp::aarch64::regs::{Activity, Model};
use dejavm_interp::aarch64::{A64Bus, Cpu};
use dejavm_interp::engine::{At, Clock, Exit};
use dejavm_interp::mem::{Memory, PhysAddr};
use interrupts::Gic;
use psci::Psci;
use serde::{Deserialize, Deserializer, Serialize};

/// The highest exception level.
const HIGHEST: u8 = 1;

/// What a `virt` is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VirtConfig {
    /// The CPU model.
    pub model: Model,
    /// Number of CPUs.
    pub cpus: usize,
    /// Bytes of RAM.
    pub memory: u64,
    /// Seed of everything random.
    pub seed: u64,
    /// The real-time clock's time.
    pub rtc: RtcBase,
    /// The interrupt controller.
    pub gic: GicVersion,
    /// Where the first CPU starts.
    pub entry: u64,
    /// X0 of the first CPU.
    pub x0: u64,
}

impl VirtConfig {
    /// A CPU's affinity, as MPIDR_EL1 packs it.
    pub fn affinity(&self, cpu: usize) -> u64 {
        let (n, cluster) = (cpu as u64, self.gic.cluster());
        n / cluster << 8 | n % cluster
    }

    /// A CPU after reset, off.
    fn cpu(&self, i: usize) -> Cpu {
        let mut cpu = Cpu::new(self.model, self.affinity(i), HIGHEST, 0);
        cpu.gic_registers = self.gic == GicVersion::V3;
        cpu.activity = Activity::Off;
        cpu
    }
}

/// All devices: everything on the board but the CPUs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Devices {
    world: World,
    /// What each CPU's interrupt inputs were set to last.
    seen: Vec<(bool, bool)>,
    gic: Gic,
    gicv2m: GicV2m,
    timers: Vec<GenericTimer>,
    flashes: [Flash; 2],
    uart: Pl011,
    rtc: Pl031,
    gpio: Pl061,
    fw_cfg: FwCfgMmio,
    virtio: EmptySlot,
    host_bridge: Config,
    psci: Psci,
    /// SEV was executed; false between steps.
    event: bool,
    /// The memory map has to follow the flashes; false between steps.
    remap: bool,
}

/// The board.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Virt {
    config: VirtConfig,
    cpus: Vec<Cpu>,
    devices: Devices,
}

impl Devices {
    fn new(config: &VirtConfig) -> Self {
        let timer = |i: usize| {
            let first = lines::T_GENERIC.0 + i as u16 * generic_timer::spec::TIMERS;
            GenericTimer::new(lines::timers(i), TimerId(first))
        };
        Self {
            world: World::default(),
            seen: vec![(false, false); config.cpus],
            gic: Gic::new(config),
            gicv2m: GicV2m::default(),
            timers: (0..config.cpus).map(timer).collect(),
            flashes: std::array::from_fn(|n| {
                Flash::new(memory::flash_offset(config.memory, n), lines::FLASH[n].1)
            }),
            uart: Pl011::new(0, lines::L_UART, lines::T_UART),
            rtc: Pl031::new(config.rtc, lines::L_RTC, lines::T_RTC),
            gpio: Pl061::new(lines::L_GPIO, lines::T_GPIO),
            fw_cfg: FwCfgMmio(FwCfg::new(config.memory, config.cpus)),
            virtio: EmptySlot::default(),
            host_bridge: ecam::host_bridge(),
            psci: Psci::new((0..config.cpus).map(|i| config.affinity(i))),
            event: false,
            remap: false,
        }
    }

    /// Devices after a reset: what counts time goes on.
    fn reset(&mut self, config: &VirtConfig) {
        let mut rtc = self.rtc.clone();
        rtc.reset();
        let mut world = std::mem::take(&mut self.world);
        world.events.clear();
        world.lines.clear();
        world.attention = true;
        *self = Self { world, rtc, ..Self::new(config) };
    }

    fn timer(&mut self, ctx: &mut Ctx<'_>, timer: TimerId) {
        const UART: u16 = lines::T_UART.0;
        match timer.0 {
            n if n.wrapping_sub(UART) < pl011::spec::TIMERS => self.uart.timer(ctx, timer),
            n if n == lines::T_RTC.0 => self.rtc.timer(ctx, timer),
            n if n == lines::T_GPIO.0 => self.gpio.timer(ctx, timer),
            n => {
                let i = n.wrapping_sub(lines::T_GENERIC.0) / generic_timer::spec::TIMERS;
                if let Some(t) = self.timers.get_mut(usize::from(i)) {
                    t.timer(ctx, timer);
                }
            }
        }
    }

    fn input(&mut self, ctx: &mut Ctx<'_>, input: &Input) {
        match input {
            Input::Serial { port: 0, bytes } => self.uart.receive(ctx, bytes),
            Input::PowerButton => self.gpio.press(ctx, lines::POWER_BUTTON),
            Input::Reset => ctx.request(Request::Reset),
            // No such devices, and no such interrupt.
            Input::Serial { .. } | Input::Key { .. } | Input::Pointer { .. } | Input::Nmi => {}
            // The machine's own.
            Input::WriteMemory { .. } | Input::WriteRegister { .. } | Input::Fault { .. } => {}
        }
    }
}

impl Virt {
    /// A board at power-on.
    pub fn new(config: &VirtConfig) -> Self {
        Self { cpus: Self::new_cpus(config), devices: Devices::new(config), config: config.clone() }
    }

    fn new_cpus(config: &VirtConfig) -> Vec<Cpu> {
        let mut cpus: Vec<Cpu> = (0..config.cpus).map(|i| config.cpu(i)).collect();
        if let Some(first) = cpus.first_mut() {
            first.activity = Activity::Running;
            first.pc = config.entry;
            first.x[0] = config.x0;
        }
        cpus
    }

    /// The CPUs, to inspect.
    pub fn cpus(&self) -> &[Cpu] {
        &self.cpus
    }

    /// Carries to CPUs and memory what the devices ask for.
    fn sync(&mut self, mem: &mut Memory) {
        debug_assert!(interrupts::settled(&self.devices.world), "lines are routed after each access");
        self.signal();
        if std::mem::take(&mut self.devices.remap) {
            self.map(mem);
        }
    }

    /// Calls a device outside any CPU's access.
    fn call(
        &mut self,
        mem: &mut Memory,
        source: &mut dyn Source,
        clock: Clock,
        f: impl FnOnce(&mut Devices, &mut Ctx<'_>),
    ) {
        let mut bus = VirtBus { devices: &mut self.devices, source, clock };
        bus.device(mem, At { icount: clock.icount, cpu: 0 }, f);
        self.sync(mem);
    }
}

impl Board for Virt {
    type Engine = dejavm_interp::aarch64::AnyEngine;

    fn read<'de, D: Deserializer<'de>>(&self, from: D) -> Result<Self, D::Error> {
        Self::deserialize(from)
    }

    fn cpus(&self) -> usize {
        self.cpus.len()
    }

    fn halted(&self, index: usize) -> bool {
        let cpu = &self.cpus[index];
        match cpu.activity {
            Activity::Running => false,
            Activity::WaitForInterrupt => !cpu.interrupted(),
            Activity::Off => true,
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
        let mut bus = VirtBus { devices: &mut self.devices, source, clock };
        let bus: &mut (dyn A64Bus + '_) = &mut bus;
        let exit = engine.run(&mut self.cpus[index], index, mem, bus, clock, budget);
        self.sync(mem);
        exit
    }

    fn timer(&mut self, timer: TimerId, mem: &mut Memory, source: &mut dyn Source, clock: Clock) {
        self.call(mem, source, clock, |d, ctx| d.timer(ctx, timer));
    }

    fn input(&mut self, input: &Input, mem: &mut Memory, source: &mut dyn Source, clock: Clock) {
        self.call(mem, source, clock, |d, ctx| d.input(ctx, input));
    }

    fn serial_room(&self, port: u8) -> usize {
        if port == 0 { self.devices.uart.room() } else { 0 }
    }

    fn core(&mut self, index: usize) -> Core<'_> {
        Core::A64(&mut self.cpus[index])
    }

    fn translate(&self, index: usize, mem: &Memory, addr: u64) -> Option<PhysAddr> {
        dejavm_interp::aarch64::mmu::probe(&self.cpus[index], mem, addr)
    }

    fn pc(&self, index: usize) -> u64 {
        self.cpus[index].pc
    }

    fn remaps(&self, addr: PhysAddr) -> bool {
        memory::remaps(addr)
    }

    fn restored(&self, mem: &mut Memory) {
        self.map(mem);
    }

    fn world(&mut self) -> &mut World {
        &mut self.devices.world
    }

    fn reset(&mut self, mem: &mut Memory) {
        self.cpus = Self::new_cpus(&self.config);
        self.devices.reset(&self.config);
        self.map(mem);
    }
}
