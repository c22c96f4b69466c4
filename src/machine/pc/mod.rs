//! The `pc` board: what QEMU's machine of that name is to a guest, with a 440FX host bridge and a
//! PIIX3/PIIX4 south bridge.
//!
//! The board calls one device at a time, at an exact moment. After each call it routes interrupt
//! lines and messages (`interrupts`); when that changes what a CPU sees, or the memory map
//! changes, the engine is stopped at the end of the step and the board carries it out.

mod bus;
mod interrupts;
pub mod lines;
mod memory;
#[cfg(test)]
mod tests;

pub use crate::devices::rtc::RtcBase;
pub use memory::{BIOS_MAX, memory};

use super::board::{Board, Core};
use super::events::TimerId;
use super::loader::{LOW_RAM_MAX, Start};
use crate::devices::acpi_pm::{self, AcpiPm};
use crate::devices::debug::DebugPorts;
use crate::devices::fw_cfg::FwCfg;
use crate::devices::hpet::{self, Hpet};
use crate::devices::i8042::I8042;
use crate::devices::ioapic::IoApic;
use crate::devices::lapic::LocalApic;
use crate::devices::pci::{Mechanism, chipset, config::Config};
use crate::devices::pic::Pic;
use crate::devices::pit::Pit;
use crate::devices::rtc::{self, Rtc};
use crate::devices::uart::{self, Uart};
use crate::devices::{Ctx, Device, Request, World};
use crate::replay::{Input, Source};
use bus::PcBus;
use dejavm_interp::engine::{At, Clock, Exit};
use dejavm_interp::mem::{Memory, PhysAddr};
use dejavm_interp::x86::flags::bit;
use dejavm_interp::x86::model::Model;
use dejavm_interp::x86::regs::Activity;
use dejavm_interp::x86::{Cpu, X86Bus};
use interrupts::Wires;
use serde::{Deserialize, Deserializer, Serialize};

/// CPUID.01H:EDX.APIC.
const CPUID_APIC: u32 = 1 << 9;
/// CPUID.01H:ECX.x2APIC.
const CPUID_X2APIC: u32 = 1 << 21;
/// CPUID.01H:ECX.TSC-Deadline.
const CPUID_TSC_DEADLINE: u32 = 1 << 24;

/// Type of RAM in an E820 map.
const E820_RAM: u32 = 1;

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
    wires: Wires,
    /// What each CPU's interrupt input was set to last.
    seen: Vec<bool>,
    has_apic: bool,
    pic: Pic,
    pit: Pit,
    local_apics: Vec<LocalApic>,
    io_apic: IoApic,
    hpet: Hpet,
    rtc: Rtc,
    uarts: [Uart; 4],
    pci: Mechanism,
    host_bridge: Config,
    piix3: Config,
    pm_config: Config,
    pm: AcpiPm,
    debug: DebugPorts,
    i8042: I8042,
    fw_cfg: FwCfg,
    /// A CPU without local APIC got an NMI; false between steps.
    nmi_pin: bool,
    /// The memory map has to follow the registers; false between steps.
    remap: bool,
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
        let firmware = config.bios > 0;
        let features = config.model.cpuid(1, 0);
        let low = config.memory.min(LOW_RAM_MAX);
        let mut rtc = Rtc::new(config.rtc, lines::RTC, lines::T_RTC);
        rtc.set_memory_size(low, config.memory - low);
        rtc.set_cpus(config.cpus);
        let local_apic = |i: usize| {
            let timer = TimerId(lines::T_APIC.0 + i as u16);
            let x2apic = features.ecx & CPUID_X2APIC != 0;
            LocalApic::new(i as u8, x2apic, features.ecx & CPUID_TSC_DEADLINE != 0, timer)
        };
        Self {
            world: World::default(),
            wires: Wires::default(),
            seen: vec![false; config.cpus],
            has_apic: features.edx & CPUID_APIC != 0,
            pic: Pic::new(),
            pit: Pit::new(lines::PIT, lines::T_PIT),
            local_apics: (0..config.cpus).map(local_apic).collect(),
            io_apic: IoApic::new(),
            hpet: Hpet::new(crate::devices::Line(lines::HPET), lines::T_HPET),
            rtc,
            uarts: std::array::from_fn(|i| {
                let timer = TimerId(lines::T_UART.0 + i as u16 * uart::spec::TIMERS);
                Uart::new(i as u8, lines::COM[i], timer)
            }),
            pci: Mechanism::default(),
            host_bridge: chipset::i440fx(!firmware),
            piix3: chipset::piix3(!firmware),
            pm_config: chipset::piix4_pm((!firmware).then_some(acpi_pm::spec::PMBASE)),
            pm: AcpiPm::new(lines::SCI, lines::T_PM, !firmware),
            debug: DebugPorts::default(),
            i8042: I8042::new(lines::KEYBOARD, lines::MOUSE, lines::T_I8042),
            fw_cfg: firmware_config(config),
            nmi_pin: false,
            remap: false,
        }
    }

    /// Devices after a reset: what lies on the battery or counts time goes on.
    fn reset(&mut self, config: &PcConfig) {
        let mut rtc = self.rtc.clone();
        rtc.reset();
        let mut world = std::mem::take(&mut self.world);
        world.events.clear();
        world.lines.clear();
        world.attention = true;
        let mut fw_cfg = self.fw_cfg.clone();
        fw_cfg.reset();
        *self = Self { world, rtc, fw_cfg, ..Self::new(config) };
    }

    fn timer(&mut self, ctx: &mut Ctx<'_>, timer: TimerId) {
        const RTC: u16 = lines::T_RTC.0;
        const HPET: u16 = lines::T_HPET.0;
        const I8042: u16 = lines::T_I8042.0;
        const UART: u16 = lines::T_UART.0;
        const UARTS: u16 = 4 * uart::spec::TIMERS;
        match timer.0 {
            n if n == lines::T_PIT.0 => self.pit.timer(ctx, timer),
            n if n.wrapping_sub(RTC) < rtc::spec::TIMERS => self.rtc.timer(ctx, timer),
            n if n.wrapping_sub(I8042) < 2 => self.i8042.timer(ctx, timer),
            n if n == lines::T_PM.0 => self.pm.timer(ctx, timer),
            n if n.wrapping_sub(HPET) < hpet::spec::TIMERS as u16 => self.hpet.timer(ctx, timer),
            n if n.wrapping_sub(UART) < UARTS => {
                self.uarts[usize::from((n - UART) / uart::spec::TIMERS)].timer(ctx, timer);
            }
            n => {
                let i = usize::from(n.wrapping_sub(lines::T_APIC.0));
                if let Some(apic) = self.local_apics.get_mut(i) {
                    apic.timer(ctx, timer);
                }
            }
        }
    }

    fn input(&mut self, ctx: &mut Ctx<'_>, input: &Input) {
        match input {
            Input::Serial { port, bytes } => {
                if let Some(uart) = self.uarts.get_mut(usize::from(*port)) {
                    uart.receive(ctx, bytes);
                }
            }
            Input::Key { code, down } => self.i8042.key(ctx, *code, *down),
            Input::Pointer { dx, dy, wheel, buttons } => {
                self.i8042.pointer(ctx, *dx, *dy, *wheel, *buttons);
            }
            Input::PowerButton => self.pm.power_button(ctx),
            Input::Reset => ctx.request(Request::Reset),
            Input::WriteRegister { cpu, name, value } if name == TASK_PRIORITY => {
                if let Some(apic) = self.local_apics.get_mut(usize::from(*cpu)) {
                    apic.set_cr8(*value as u8 & 0xf);
                }
            }
            // The machine's own.
            Input::WriteMemory { .. } | Input::WriteRegister { .. } | Input::Fault { .. } => {}
            Input::Nmi if !self.has_apic => self.nmi_pin = true,
            Input::Nmi => {
                for apic in &mut self.local_apics {
                    apic.pulse_nmi();
                }
            }
        }
    }
}

/// The register that the local APIC keeps for its CPU.
const TASK_PRIORITY: &str = "cr8";

/// What firmware finds in the configuration device before the loader adds to it.
fn firmware_config(config: &PcConfig) -> FwCfg {
    let mut fw_cfg = FwCfg::new(config.memory, config.cpus);
    let low = config.memory.min(LOW_RAM_MAX);
    let mut e820 = Vec::new();
    for (start, len) in [(0, low), (1 << 32, config.memory - low)] {
        if len > 0 {
            e820.extend(u64::to_le_bytes(start));
            e820.extend(len.to_le_bytes());
            e820.extend(E820_RAM.to_le_bytes());
        }
    }
    let added = fw_cfg.add_file("etc/e820", &e820);
    debug_assert!(added, "the name is short");
    fw_cfg
}

impl Pc {
    /// The firmware configuration device, for a loader to add files and a kernel before power-on.
    pub fn fw_cfg(&mut self) -> &mut FwCfg {
        &mut self.devices.fw_cfg
    }

    /// A board at power-on.
    pub fn new(config: &PcConfig) -> Self {
        Self { cpus: Self::new_cpus(config), devices: Devices::new(config), config: config.clone() }
    }

    fn new_cpus(config: &PcConfig) -> Vec<Cpu> {
        let cpu = |i: usize| {
            let mut cpu = Cpu::new(config.model, config.seed.wrapping_add(i as u64), i == 0);
            if i == 0 {
                config.start.apply(&mut cpu);
            }
            cpu
        };
        (0..config.cpus).map(cpu).collect()
    }

    /// The CPUs, to inspect.
    pub fn cpus(&self) -> &[Cpu] {
        &self.cpus
    }

    /// Carries to CPUs and memory what the devices ask for.
    fn sync(&mut self, mem: &mut Memory) {
        debug_assert!(interrupts::settled(&self.devices.world), "lines are routed after each access");
        self.devices.signal(&mut self.cpus);
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
        let mut bus = PcBus { devices: &mut self.devices, source, clock };
        bus.device(mem, At { icount: clock.icount, cpu: 0 }, f);
        self.sync(mem);
    }
}

impl Board for Pc {
    type Engine = dejavm_interp::x86::AnyEngine;

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
            Activity::Halted => {
                !(cpu.intr && cpu.rflags & bit::IF != 0
                    || cpu.nmi_pending && !cpu.nmi_blocked
                    || cpu.init_pending
                    || cpu.debug_pending != 0)
            }
            Activity::WaitForSipi => !cpu.init_pending && cpu.sipi_pending.is_none(),
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
        let mut bus = PcBus { devices: &mut self.devices, source, clock };
        let bus: &mut (dyn X86Bus + '_) = &mut bus;
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
        self.devices.uarts.get(usize::from(port)).map_or(0, Uart::room)
    }

    fn core(&mut self, index: usize) -> Core<'_> {
        Core::X86(&mut self.cpus[index])
    }

    fn device_register(&self, index: usize, name: &str) -> Option<u128> {
        let apic = self.devices.local_apics.get(index)?;
        (name == TASK_PRIORITY).then(|| apic.cr8().into())
    }

    fn translate(&self, index: usize, mem: &Memory, addr: u64) -> Option<PhysAddr> {
        dejavm_interp::x86::mmu::probe(&self.cpus[index], mem, addr)
    }

    fn pc(&self, index: usize) -> u64 {
        self.cpus[index].linear_pc()
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
        // Entropy goes on: a reset guest must not see the same numbers again.
        let entropy: Vec<u64> = self.cpus.iter().map(|c| c.entropy).collect();
        self.cpus = Self::new_cpus(&self.config);
        for (cpu, entropy) in self.cpus.iter_mut().zip(entropy) {
            cpu.entropy = entropy;
        }
        self.devices.reset(&self.config);
        self.map(mem);
    }
}
