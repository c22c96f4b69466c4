//! The CPU interface: ICC_ system registers (IHI 0069, 12.2), and what they do.

use super::super::gic::{self, Candidate};
use super::{GicV3, spec};
use dejavm_interp::aarch64::sysreg::encoding;
use gic::spec as common;

/// The registers' encodings.
pub mod reg {
    #![allow(missing_docs, reason = "the names are the specification's")]
    use super::encoding;
    pub const ICC_PMR_EL1: u16 = encoding(3, 0, 4, 6, 0);
    pub const ICC_IAR0_EL1: u16 = encoding(3, 0, 12, 8, 0);
    pub const ICC_EOIR0_EL1: u16 = encoding(3, 0, 12, 8, 1);
    pub const ICC_HPPIR0_EL1: u16 = encoding(3, 0, 12, 8, 2);
    pub const ICC_BPR0_EL1: u16 = encoding(3, 0, 12, 8, 3);
    pub const ICC_AP0R0_EL1: u16 = encoding(3, 0, 12, 8, 4);
    pub const ICC_AP1R0_EL1: u16 = encoding(3, 0, 12, 9, 0);
    pub const ICC_DIR_EL1: u16 = encoding(3, 0, 12, 11, 1);
    pub const ICC_RPR_EL1: u16 = encoding(3, 0, 12, 11, 3);
    pub const ICC_SGI1R_EL1: u16 = encoding(3, 0, 12, 11, 5);
    pub const ICC_ASGI1R_EL1: u16 = encoding(3, 0, 12, 11, 6);
    pub const ICC_SGI0R_EL1: u16 = encoding(3, 0, 12, 11, 7);
    pub const ICC_IAR1_EL1: u16 = encoding(3, 0, 12, 12, 0);
    pub const ICC_EOIR1_EL1: u16 = encoding(3, 0, 12, 12, 1);
    pub const ICC_HPPIR1_EL1: u16 = encoding(3, 0, 12, 12, 2);
    pub const ICC_BPR1_EL1: u16 = encoding(3, 0, 12, 12, 3);
    pub const ICC_CTLR_EL1: u16 = encoding(3, 0, 12, 12, 4);
    pub const ICC_SRE_EL1: u16 = encoding(3, 0, 12, 12, 5);
    pub const ICC_IGRPEN0_EL1: u16 = encoding(3, 0, 12, 12, 6);
    pub const ICC_IGRPEN1_EL1: u16 = encoding(3, 0, 12, 12, 7);
    pub const ICC_SRE_EL2: u16 = encoding(3, 4, 12, 9, 5);
    pub const ICC_SRE_EL3: u16 = encoding(3, 6, 12, 12, 5);
}

impl GicV3 {
    /// The binary point that counts for a group, as that group has it.
    fn binary_point(&self, cpu: usize, group: usize) -> u8 {
        let c = &self.cpus[cpu];
        if group == 1 && c.ctlr & spec::CTLR_CBPR != 0 {
            (c.binary_point[0] + 1).min(7)
        } else {
            c.binary_point[group]
        }
    }

    fn group_priority(&self, cpu: usize, group: usize, priority: u8) -> u8 {
        gic::group_priority(priority, group, self.binary_point(cpu, group))
    }

    /// The pending interrupt that is urgent enough to be signalled.
    pub(super) fn signalled(&self, cpu: usize) -> Option<Candidate> {
        let c = &self.cpus[cpu];
        self.pending(cpu).filter(|p| {
            let group = |priority| self.group_priority(cpu, p.group, priority);
            p.priority < c.mask && c.active.preempted_by(p.priority, group)
        })
    }

    /// ICC_IAR0_EL1 and ICC_IAR1_EL1.
    fn acknowledge(&mut self, cpu: usize, group: usize) -> u32 {
        let Some(p) = self.signalled(cpu).filter(|p| p.group == group) else { return common::SPURIOUS };
        let priority = self.group_priority(cpu, p.group, p.priority);
        let c = &mut self.cpus[cpu];
        c.active.push(group, priority);
        if p.intid < common::PRIVATE {
            c.private.activate(p.intid);
        } else {
            self.shared.activate(p.intid);
        }
        p.intid
    }

    /// ICC_HPPIR0_EL1 and ICC_HPPIR1_EL1.
    fn highest(&self, cpu: usize, group: usize) -> u32 {
        self.pending(cpu).filter(|p| p.group == group).map_or(common::SPURIOUS, |p| p.intid)
    }

    /// ICC_EOIR0_EL1 and ICC_EOIR1_EL1: the priority drops, and the interrupt ends unless ICC_DIR_EL1
    /// shall do that.
    fn end(&mut self, cpu: usize, v: u64, group: usize) {
        let intid = (v & 0xff_ffff) as u32;
        let c = &mut self.cpus[cpu];
        if intid >= common::SPECIAL || c.active.group() != Some(group) {
            return;
        }
        c.active.drop_priority(group);
        if c.ctlr & spec::CTLR_EOI_MODE == 0 {
            self.deactivate(cpu, intid);
        }
    }

    fn deactivate(&mut self, cpu: usize, intid: u32) {
        if intid < common::PRIVATE {
            self.cpus[cpu].private.deactivate(intid);
        } else {
            self.shared.deactivate(intid);
        }
    }

    /// ICC_SGI0R_EL1 and ICC_SGI1R_EL1: an interrupt for other CPUs, taken where it is of that group.
    fn send(&mut self, from: usize, v: u64, group: usize) {
        let intid = (v >> 24 & 0xf) as u32;
        let bit = 1 << intid;
        let cluster = (v >> 48 & 0xff) << 24 | (v >> 32 & 0xff) << 16 | (v >> 16 & 0xff) << 8;
        // TargetList counts from 16 times RS.
        let first = (v >> 44 & 0xf) * 16;
        for (i, c) in self.cpus.iter_mut().enumerate() {
            let own = u64::from(c.affinity & 0xff);
            let meant = if v & spec::SGI_IRM != 0 {
                i != from
            } else {
                u64::from(c.affinity) & !0xff == cluster
                    && own.checked_sub(first).is_some_and(|n| n < 16 && v >> n & 1 != 0)
            };
            if meant && c.private.group(intid) == group {
                c.private.words[0].latched |= bit;
            }
        }
    }

    /// Reads a system register of a CPU. `None` when there is none.
    pub fn system_read(&mut self, cpu: usize, register: u16) -> Option<u64> {
        let c = self.cpus.get(cpu)?;
        let v = match register {
            reg::ICC_IAR0_EL1 | reg::ICC_IAR1_EL1 => {
                let v = self.acknowledge(cpu, usize::from(register == reg::ICC_IAR1_EL1));
                self.update();
                v
            }
            reg::ICC_HPPIR0_EL1 => self.highest(cpu, 0),
            reg::ICC_HPPIR1_EL1 => self.highest(cpu, 1),
            reg::ICC_PMR_EL1 => c.mask.into(),
            reg::ICC_BPR0_EL1 => c.binary_point[0].into(),
            reg::ICC_BPR1_EL1 => self.binary_point(cpu, 1).into(),
            reg::ICC_AP0R0_EL1 => c.active.0[0],
            reg::ICC_AP1R0_EL1 => c.active.0[1],
            reg::ICC_RPR_EL1 => c.active.running().into(),
            reg::ICC_CTLR_EL1 => c.ctlr | spec::CTLR_FIXED,
            reg::ICC_SRE_EL1 => return Some(spec::SRE),
            reg::ICC_SRE_EL2 | reg::ICC_SRE_EL3 => return Some(spec::SRE_HIGHER),
            reg::ICC_IGRPEN0_EL1 => c.enabled[0].into(),
            reg::ICC_IGRPEN1_EL1 => c.enabled[1].into(),
            _ => return None,
        };
        Some(v.into())
    }

    /// Writes a system register of a CPU. `None` when there is none.
    pub fn system_write(&mut self, cpu: usize, register: u16, v: u64) -> Option<()> {
        let c = self.cpus.get_mut(cpu)?;
        let binary_point = |group: usize| (v as u8 & 7).max(common::LEAST_BINARY_POINT[group]);
        match register {
            reg::ICC_PMR_EL1 => c.mask = v as u8 & common::PRIORITY,
            reg::ICC_BPR0_EL1 => c.binary_point[0] = binary_point(0),
            // With CBPR there is one binary point, and this one cannot be written.
            reg::ICC_BPR1_EL1 if c.ctlr & spec::CTLR_CBPR != 0 => {}
            reg::ICC_BPR1_EL1 => c.binary_point[1] = binary_point(1),
            reg::ICC_AP0R0_EL1 => c.active.0[0] = v as u32,
            reg::ICC_AP1R0_EL1 => c.active.0[1] = v as u32,
            reg::ICC_CTLR_EL1 => c.ctlr = v as u32 & spec::CTLR_WRITABLE,
            reg::ICC_SRE_EL1 | reg::ICC_SRE_EL2 | reg::ICC_SRE_EL3 => {}
            reg::ICC_IGRPEN0_EL1 => c.enabled[0] = v & 1 != 0,
            reg::ICC_IGRPEN1_EL1 => c.enabled[1] = v & 1 != 0,
            reg::ICC_EOIR0_EL1 => self.end(cpu, v, 0),
            reg::ICC_EOIR1_EL1 => self.end(cpu, v, 1),
            reg::ICC_DIR_EL1 => {
                if c.ctlr & spec::CTLR_EOI_MODE != 0 {
                    self.deactivate(cpu, (v & 0xff_ffff) as u32);
                }
            }
            reg::ICC_SGI0R_EL1 => self.send(cpu, v, 0),
            reg::ICC_SGI1R_EL1 => self.send(cpu, v, 1),
            // There is no other security state.
            reg::ICC_ASGI1R_EL1 => {}
            _ => return None,
        }
        self.update();
        Some(())
    }
}
