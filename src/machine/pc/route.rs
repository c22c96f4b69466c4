//! Interrupts on their way: from devices' lines through the controllers to the CPUs.

use super::Devices;
use dejavm_interp::x86::Cpu;

/// The pin of the I/O APIC that IRQ 0 is wired to.
const IRQ0_PIN: u16 = 2;

impl Devices {
    /// Carries changed lines to the 8259s and the I/O APIC, their messages and the local APICs' to local APICs.
    pub(super) fn route(&mut self) {
        loop {
            for (line, level) in std::mem::take(&mut self.world.lines) {
                if line.0 < 16 {
                    self.pic.set_line(line.0 as u8, level);
                }
                let pin = if line.0 == 0 { IRQ0_PIN } else { line.0 };
                if let Some(message) = self.io_apic.set_line(pin, level) {
                    self.message(message);
                }
            }
            let mut more = false;
            for i in 0..self.local_apics.len() {
                if let Some(vector) = self.local_apics[i].eoi.take() {
                    more = true;
                    for message in self.io_apic.eoi(vector) {
                        self.message(message);
                    }
                }
                if let Some(command) = self.local_apics[i].ipi.take() {
                    more = true;
                    self.ipi(i, command);
                }
            }
            if !more && self.world.lines.is_empty() {
                break;
            }
        }
    }

    fn message(&mut self, m: u64) {
        let destination = (m >> 56) as u8;
        for apic in &mut self.local_apics {
            if apic.matches(destination, m & 0x800 != 0) {
                apic.accept(m as u8, m & 0x8000 != 0);
                if m & 0x700 == 0x100 {
                    break;
                }
            }
        }
    }

    fn ipi(&mut self, from: usize, command: u64) {
        if command & 0x700 != 0 {
            return;
        }
        for i in 0..self.local_apics.len() {
            let hit = match command >> 18 & 3 {
                0 => self.local_apics[i].matches((command >> 56) as u8, command & 0x800 != 0),
                1 => i == from,
                2 => true,
                _ => i != from,
            };
            if hit {
                self.local_apics[i].accept(command as u8, false);
            }
        }
    }

    /// Sets the CPUs' interrupt inputs.
    pub(super) fn signal(&mut self, cpus: &mut [Cpu]) {
        for (i, cpu) in cpus.iter_mut().enumerate() {
            let apic = &self.local_apics[i];
            cpu.intr = apic.pending().is_some() || i == 0 && apic.extint() && self.pic.output();
        }
    }
}
