//! The distributor (IHI 0048B, 4.3).

use super::super::gic::{self, Bits};
use super::{GicV2, spec};
use gic::spec as common;

impl GicV2 {
    /// Offsets whose registers are arrays of bytes.
    pub(super) fn bytewise(offset: u64) -> bool {
        matches!(offset, common::IPRIORITYR..=0xbff | spec::GICD_CPENDSGIR..=0xf2f)
    }

    pub(super) fn distributor_read(&mut self, cpu: usize, at: u64) -> u32 {
        match at {
            common::CTLR => self.ctlr,
            // Interrupts in units of 32, CPUs.
            common::TYPER => common::SPIS.div_ceil(32) | (self.cpus.len() as u32 - 1) << 5,
            common::IIDR => spec::GICD_IIDR,
            common::BITS..common::BITS_END => match gic::bits(at) {
                Some((bits, 0)) => self.cpus[cpu].private.words[0].read(bits),
                Some((bits, n)) => self.shared.words.get(n - 1).map_or(0, |w| w.read(bits)),
                None => 0,
            },
            common::IPRIORITYR..common::IPRIORITYR_END => {
                match (at - common::IPRIORITYR).checked_sub(common::PRIVATE.into()) {
                    None => self.cpus[cpu].private.priorities((at - common::IPRIORITYR) as usize),
                    Some(n) => self.shared.priorities(n as usize),
                }
            }
            spec::GICD_ITARGETSR..spec::GICD_ITARGETSR_END => {
                if self.cpus.len() == 1 {
                    return 0;
                }
                match (at - spec::GICD_ITARGETSR).checked_sub(common::PRIVATE.into()) {
                    // Private interrupts go to the CPU that reads.
                    None => 0x0101_0101 << cpu,
                    Some(n) => (0..4).fold(0, |v, i| {
                        v | u32::from(self.targets.get(n as usize + i).copied().unwrap_or(0)) << (8 * i)
                    }),
                }
            }
            common::ICFGR => spec::SGI_CONFIG,
            0xc04 => self.cpus[cpu].private.config(1),
            0xc08..common::ICFGR_END => self.shared.config((at - 0xc08) as usize / 4),
            spec::GICD_CPENDSGIR..spec::GICD_SPENDSGIR_END => {
                let n = (at & 0xf) as usize;
                u32::from_le_bytes(std::array::from_fn(|i| self.cpus[cpu].sources[n + i]))
            }
            spec::GICD_PIDR4..=0xfef => spec::PIDR[(at - spec::GICD_PIDR4) as usize / 4].into(),
            0xff0..=0xfff => common::CIDR[(at & 0xf) as usize / 4].into(),
            _ => 0,
        }
    }

    /// Writes a word to a register that is no array of bytes.
    pub(super) fn distributor_write(&mut self, cpu: usize, at: u64, v: u32) {
        match at {
            common::CTLR => self.ctlr = v & spec::GICD_CTLR_WRITABLE,
            common::BITS..common::BITS_END => match gic::bits(at) {
                Some((bits, 0)) => {
                    // Software-generated interrupts are always enabled, and pend by their own registers.
                    let own = matches!(
                        bits,
                        Bits::SetEnable | Bits::ClearEnable | Bits::SetPending | Bits::ClearPending
                    );
                    let v = if own { v & !spec::SGI_BITS } else { v };
                    self.cpus[cpu].private.words[0].write(bits, v);
                }
                Some((bits, n)) => {
                    if let Some(w) = self.shared.words.get_mut(n - 1) {
                        w.write(bits, v);
                    }
                }
                None => {}
            },
            common::ICFGR => {}
            0xc04 => self.cpus[cpu].private.set_config(1, v),
            0xc08..common::ICFGR_END => self.shared.set_config((at - 0xc08) as usize / 4, v),
            spec::GICD_SGIR => {
                let all = (1u32 << self.cpus.len()) - 1;
                let targets = match v >> 24 & 3 {
                    0 => v >> 16 & 0xff & all,
                    1 => all & !(1 << cpu),
                    2 => 1 << cpu,
                    _ => 0,
                };
                for i in (0..self.cpus.len()).filter(|i| targets & 1 << i != 0) {
                    self.send(i, (v & 0xf) as usize, 1 << cpu);
                }
            }
            _ => {}
        }
    }

    pub(super) fn distributor_write_byte(&mut self, cpu: usize, at: u64, v: u8) {
        match at {
            common::IPRIORITYR..common::IPRIORITYR_END => {
                match (at - common::IPRIORITYR).checked_sub(common::PRIVATE.into()) {
                    None => self.cpus[cpu].private.set_priority((at - common::IPRIORITYR) as usize, v),
                    Some(n) => self.shared.set_priority(n as usize, v),
                }
            }
            spec::GICD_ITARGETSR..spec::GICD_ITARGETSR_END => {
                let n = (at - spec::GICD_ITARGETSR).checked_sub(common::PRIVATE.into());
                let all = ((1u32 << self.cpus.len()) - 1) as u8;
                if let Some(target) = n.and_then(|n| self.targets.get_mut(n as usize))
                    && all != 1
                {
                    *target = v & all;
                }
            }
            spec::GICD_CPENDSGIR..spec::GICD_SPENDSGIR => {
                let n = (at & 0xf) as usize;
                let c = &mut self.cpus[cpu];
                c.sources[n] &= !v;
                if c.sources[n] == 0 {
                    c.private.words[0].latched &= !(1 << n);
                }
            }
            spec::GICD_SPENDSGIR..spec::GICD_SPENDSGIR_END => self.send(cpu, (at & 0xf) as usize, v),
            _ => {}
        }
    }

    /// CPUs send a software-generated interrupt to a CPU.
    fn send(&mut self, to: usize, n: usize, sources: u8) {
        let c = &mut self.cpus[to];
        c.sources[n] |= sources;
        if sources != 0 {
            c.private.words[0].latched |= 1 << n;
        }
    }
}
