//! Interrupts on their way: from devices' lines through the controllers to the CPUs.

use super::Devices;
use super::lines::{HPET, PCI, PCI_PINS, isa};
use crate::devices::lapic::FromPic;
use crate::devices::lapic::message::{Delivery, Message, Target};
use crate::devices::pci::chipset::{self, Router};
use crate::devices::{Ctx, Line, World, hpet, ioapic};
use dejavm_interp::x86::Cpu;
use serde::{Deserialize, Serialize};

/// The pin of the I/O APIC that IRQ 0 is wired to.
const IRQ0_PIN: usize = 2;

const HPET_LAST: u16 = HPET + hpet::spec::TIMERS as u16 - 1;
const PCI_LAST: u16 = PCI + PCI_PINS - 1;

/// Levels of the wires between devices and interrupt controllers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Wires {
    /// Devices that pull each ISA interrupt, by line; a PC's serial ports share theirs.
    pulled: u64,
    /// ISA interrupts that are pulled.
    isa: u16,
    router: Router,
}

impl Wires {
    /// ISA interrupts that are pulled now. The HPET's legacy replacement cuts the 8254 and the
    /// RTC off.
    fn compute(&self, legacy: bool, piix3: &crate::devices::pci::config::Config) -> u16 {
        let mut irqs = self.router.irqs(piix3);
        for line in 0..64 {
            if self.pulled & 1 << line != 0
                && let Some(irq) = isa(Line(line))
                && !(legacy && (line == 0 || line == 8))
            {
                irqs |= 1 << irq;
            }
        }
        irqs
    }
}

impl Devices {
    /// Carries changed lines to the 8259s and the I/O APIC, and messages to local APICs, until
    /// nothing moves any more.
    pub(super) fn route(&mut self, ctx: &mut Ctx<'_>) {
        loop {
            let mut moved = false;
            if !ctx.world.lines.is_empty() {
                for (line, level) in std::mem::take(&mut ctx.world.lines) {
                    self.line(line, level);
                }
                moved = true;
            }
            for message in std::mem::take(&mut self.io_apic.out) {
                moved = true;
                self.message(ctx, usize::MAX, &message);
            }
            for i in 0..self.local_apics.len() {
                for vector in std::mem::take(&mut self.local_apics[i].eois) {
                    moved = true;
                    self.io_apic.end_of_interrupt(vector);
                }
                for message in std::mem::take(&mut self.local_apics[i].out) {
                    moved = true;
                    self.message(ctx, i, &message);
                }
            }
            if !moved {
                break;
            }
        }
        let pic = self.pic.intr();
        for apic in &mut self.local_apics {
            apic.set_lint0(pic);
        }
        let fresh = (0..self.local_apics.len()).any(|i| {
            let signals = self.local_apics[i].signals;
            signals != Default::default() || self.interrupts(i) != self.seen[i]
        });
        ctx.world.attention |= fresh;
    }

    /// True when CPU `i` has an interrupt to take.
    fn interrupts(&self, i: usize) -> bool {
        let pic = self.pic.intr();
        if self.has_apic { self.local_apics[i].intr(pic) } else { pic && i == 0 }
    }

    /// One line changes.
    fn line(&mut self, line: Line, level: bool) {
        match line.0 {
            n @ HPET..=HPET_LAST => {
                let i = usize::from(n - HPET);
                if self.hpet.legacy() && i < 2 {
                    self.isa(if i == 0 { 0 } else { 8 }, level);
                } else {
                    self.io_apic.set(self.hpet.route(i), level);
                }
                return;
            }
            n @ PCI..=PCI_LAST => {
                let pin = n - PCI;
                self.wires.router.set((pin >> 2) as u8, (pin & 3) as u8, level);
            }
            n @ 0..64 => {
                let bit = 1 << n;
                self.wires.pulled = if level { self.wires.pulled | bit } else { self.wires.pulled & !bit };
            }
            _ => return,
        }
        self.rewire();
    }

    /// Sets the ISA interrupts to what their devices pull (also after a change of the routing).
    pub(super) fn rewire(&mut self) {
        let new = self.wires.compute(self.hpet.legacy(), &self.piix3);
        let changed = std::mem::replace(&mut self.wires.isa, new) ^ new;
        for irq in (0..16).filter(|i| changed & 1 << i != 0) {
            self.isa(irq, new & 1 << irq != 0);
        }
    }

    fn isa(&mut self, irq: u8, level: bool) {
        self.pic.set(irq, level);
        match irq {
            0 => self.io_apic.set(IRQ0_PIN, level),
            // The cascade is no interrupt.
            2 => {}
            n => self.io_apic.set(usize::from(n), level),
        }
    }

    fn message(&mut self, ctx: &mut Ctx<'_>, from: usize, message: &Message) {
        let hit = |i: usize, apic: &crate::devices::lapic::LocalApic| match message.target {
            Target::Apic { id, logical } => apic.matches(id, logical),
            Target::Myself => i == from,
            Target::All => true,
            Target::Others => i != from,
        };
        let targets: Vec<usize> =
            (0..self.local_apics.len()).filter(|&i| hit(i, &self.local_apics[i])).collect();
        if message.delivery == Delivery::LowestPriority {
            // The lowest arbitration priority, of equals the first CPU.
            if let Some(&i) = targets.iter().min_by_key(|&&i| self.local_apics[i].arbitration_priority()) {
                self.local_apics[i].accept(ctx, message);
            }
            return;
        }
        for i in targets {
            self.local_apics[i].accept(ctx, message);
        }
    }

    /// Answers the acknowledge cycle of CPU `i`.
    pub(super) fn acknowledge(&mut self, i: usize) -> Option<u8> {
        let pic = self.pic.intr();
        if !self.has_apic {
            return (pic && i == 0).then(|| self.pic.acknowledge());
        }
        match self.local_apics[i].acknowledge(pic)? {
            Ok(vector) => Some(vector),
            Err(FromPic) => Some(self.pic.acknowledge()),
        }
    }

    /// Sets the CPUs' interrupt inputs.
    pub(super) fn signal(&mut self, cpus: &mut [Cpu]) {
        if std::mem::take(&mut self.nmi_pin)
            && let Some(cpu) = cpus.first_mut()
        {
            cpu.nmi_pending = true;
        }
        for (i, cpu) in cpus.iter_mut().enumerate() {
            let intr = self.interrupts(i);
            cpu.intr = intr;
            self.seen[i] = intr;
            let signals = std::mem::take(&mut self.local_apics[i].signals);
            cpu.nmi_pending |= signals.nmi;
            if signals.init {
                cpu.init_pending = true;
                cpu.sipi_pending = None;
            }
            if signals.startup.is_some() {
                cpu.sipi_pending = signals.startup;
            }
        }
    }

    /// The chipset routes a PCI interrupt elsewhere.
    pub(super) fn pirq_register(reg: u8) -> bool {
        let first = chipset::spec::PIRQ as u8;
        (first.saturating_sub(3)..first + 4).contains(&reg)
    }
}

/// The I/O APIC has as many pins as there are global system interrupts.
const _: () = assert!(ioapic::spec::PINS == 24, "lines 0 to 23 are the I/O APIC's pins");

/// True when nothing waits to be routed: holds between steps.
pub(super) fn settled(world: &World) -> bool {
    world.lines.is_empty()
}
