//! The redistributors (IHI 0069, 12.11): RD_base, then SGI_base, of each CPU in turn.

use super::super::gic;
use super::{GicV3, spec};
use gic::spec as common;

/// The CPU, and the offset in its frames.
fn place(at: u64) -> (usize, u64) {
    ((at / spec::REDISTRIBUTOR) as usize, at % spec::REDISTRIBUTOR)
}

impl GicV3 {
    pub(super) fn redistributor_read(&mut self, at: u64) -> u32 {
        let (i, offset) = place(at);
        let last = i + 1 == self.cpus.len();
        let Some(c) = self.cpus.get(i) else { return 0 };
        if let Some(at) = offset.checked_sub(spec::SGI_BASE) {
            return match at {
                common::BITS..common::BITS_END => match gic::bits(at) {
                    Some((bits, 0)) => c.private.words[0].read(bits),
                    _ => 0,
                },
                common::IPRIORITYR..common::IPRIORITYR_END => {
                    c.private.priorities((at - common::IPRIORITYR) as usize)
                }
                common::ICFGR => spec::SGI_CONFIG,
                0xc04 => c.private.config(1),
                _ => 0,
            };
        }
        let typer = u64::from(c.affinity) << 32 | (i as u64) << 8 | if last { spec::TYPER_LAST } else { 0 };
        match offset {
            spec::GICR_IIDR => spec::IIDR,
            spec::GICR_TYPER => typer as u32,
            0xc => (typer >> 32) as u32,
            spec::GICR_WAKER if c.asleep => spec::WAKER_PROCESSOR_SLEEP | spec::WAKER_CHILDREN_ASLEEP,
            spec::GICR_WAKER => 0,
            // No LPIs: GICR_CTLR and what belongs to them are zero.
            _ => Self::identification(offset, 1),
        }
    }

    pub(super) fn redistributor_write(&mut self, at: u64, v: u32) {
        let (i, offset) = place(at);
        let Some(c) = self.cpus.get_mut(i) else { return };
        if let Some(at) = offset.checked_sub(spec::SGI_BASE) {
            match at {
                common::BITS..common::BITS_END => {
                    if let Some((bits, 0)) = gic::bits(at) {
                        c.private.words[0].write(bits, v);
                    }
                }
                0xc04 => c.private.set_config(1, v),
                _ => {}
            }
        } else if offset == spec::GICR_WAKER {
            c.asleep = v & spec::WAKER_PROCESSOR_SLEEP != 0;
        }
    }

    pub(super) fn redistributor_priority(&mut self, at: u64, v: u8) {
        let (i, offset) = place(at);
        if let Some(c) = self.cpus.get_mut(i)
            && let Some(n) = offset.checked_sub(spec::SGI_BASE + common::IPRIORITYR)
        {
            c.private.set_priority(n as usize, v);
        }
    }
}
