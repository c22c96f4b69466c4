//! The CPU interface (IHI 0048B, 4.4).

use super::super::gic::{self, Candidate};
use super::{GicV2, spec};
use gic::spec as common;

impl GicV2 {
    /// The binary point that counts for a group.
    fn binary_point(&self, cpu: usize, group: usize) -> u8 {
        let c = &self.cpus[cpu];
        // GICC_CTLR.CBPR: GICC_BPR counts for both, as group 0 has it.
        if group == 1 && c.ctlr & spec::CTLR_CBPR != 0 {
            (c.binary_point[0] + 1).min(7)
        } else {
            c.binary_point[group]
        }
    }

    /// The pending interrupt that is urgent enough to be signalled.
    pub(super) fn signalled(&self, cpu: usize) -> Option<Candidate> {
        let c = &self.cpus[cpu];
        self.pending(cpu).filter(|p| {
            let group = |priority| gic::group_priority(priority, p.group, self.binary_point(cpu, p.group));
            p.priority < c.mask && c.active.preempted_by(p.priority, group)
        })
    }

    /// GICC_IAR and GICC_AIAR: takes the most urgent interrupt.
    fn acknowledge(&mut self, cpu: usize, alias: bool) -> u32 {
        let Some(p) = self.signalled(cpu) else { return common::SPURIOUS };
        match p.group {
            0 if alias => return common::SPURIOUS,
            1 if !alias && self.cpus[cpu].ctlr & spec::CTLR_ACK_CTL == 0 => return common::GROUP1_PENDING,
            _ => {}
        }
        let priority = gic::group_priority(p.priority, p.group, self.binary_point(cpu, p.group));
        let c = &mut self.cpus[cpu];
        c.active.push(p.group, priority);
        if p.intid >= common::PRIVATE {
            self.shared.activate(p.intid);
            return p.intid;
        }
        c.private.activate(p.intid);
        let Some(sources) = c.sources.get_mut(p.intid as usize) else { return p.intid };
        // One sender at a time; the others' stays pending.
        let source = sources.trailing_zeros() & 7;
        *sources &= sources.wrapping_sub(1);
        if *sources != 0 {
            c.private.words[0].latched |= 1 << p.intid;
        }
        p.intid | source << 10
    }

    /// What GICC_HPPIR and GICC_AHPPIR tell.
    fn highest(&self, cpu: usize, alias: bool) -> u32 {
        match self.pending(cpu) {
            None => common::SPURIOUS,
            Some(p) if p.group == 0 && alias => common::SPURIOUS,
            Some(p) if p.group == 1 && !alias && self.cpus[cpu].ctlr & spec::CTLR_ACK_CTL == 0 => {
                common::GROUP1_PENDING
            }
            Some(p) if p.intid < common::SGIS => {
                p.intid | (self.cpus[cpu].sources[p.intid as usize].trailing_zeros() & 7) << 10
            }
            Some(p) => p.intid,
        }
    }

    /// GICC_EOIR and GICC_AEOIR: the priority drops, and the interrupt ends unless GICC_DIR shall do that.
    fn end(&mut self, cpu: usize, v: u32, alias: bool) {
        let intid = v & 0x3ff;
        let c = &mut self.cpus[cpu];
        let Some(group) = c.active.group() else { return };
        if intid >= common::SPECIAL || alias && group == 0 {
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

    pub(super) fn interface_read(&mut self, cpu: usize, at: u64) -> u32 {
        match at {
            spec::GICC_IAR => return self.acknowledge(cpu, false),
            spec::GICC_AIAR => return self.acknowledge(cpu, true),
            spec::GICC_HPPIR => return self.highest(cpu, false),
            spec::GICC_AHPPIR => return self.highest(cpu, true),
            _ => {}
        }
        let c = &self.cpus[cpu];
        match at {
            spec::GICC_CTLR => c.ctlr,
            spec::GICC_PMR => c.mask.into(),
            spec::GICC_BPR => c.binary_point[0].into(),
            spec::GICC_ABPR => c.binary_point[1].into(),
            spec::GICC_RPR => c.active.running().into(),
            spec::GICC_APR0 => c.active.0[0],
            spec::GICC_NSAPR0 => c.active.0[1],
            spec::GICC_IIDR => spec::GICC_IIDR_VALUE,
            _ => 0,
        }
    }

    pub(super) fn interface_write(&mut self, cpu: usize, at: u64, v: u32) {
        let c = &mut self.cpus[cpu];
        let binary_point = |group: usize| (v as u8 & 7).max(common::LEAST_BINARY_POINT[group]);
        match at {
            spec::GICC_CTLR => c.ctlr = v & spec::CTLR_WRITABLE,
            spec::GICC_PMR => c.mask = v as u8 & common::PRIORITY,
            spec::GICC_BPR => c.binary_point[0] = binary_point(0),
            spec::GICC_ABPR => c.binary_point[1] = binary_point(1),
            spec::GICC_APR0 => c.active.0[0] = v,
            spec::GICC_NSAPR0 => c.active.0[1] = v,
            spec::GICC_EOIR => self.end(cpu, v, false),
            spec::GICC_AEOIR => self.end(cpu, v, true),
            spec::GICC_DIR if c.ctlr & spec::CTLR_EOI_MODE != 0 => self.deactivate(cpu, v & 0x3ff),
            _ => {}
        }
    }
}
