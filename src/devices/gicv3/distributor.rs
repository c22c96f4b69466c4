//! The distributor (IHI 0069, 12.9).

use super::super::gic;
use super::{GicV3, spec};
use gic::spec as common;

impl GicV3 {
    /// Offsets whose registers are arrays of bytes, in a distributor and in SGI_base.
    pub(super) fn bytewise(offset: u64) -> bool {
        (common::IPRIORITYR..common::IPRIORITYR_END).contains(&offset)
    }

    pub(super) fn distributor_read(&mut self, at: u64) -> u32 {
        match at {
            common::CTLR => self.ctlr | spec::GICD_CTLR_FIXED,
            common::TYPER => common::SPIS.div_ceil(32) | spec::GICD_TYPER_FIXED,
            common::IIDR => spec::IIDR,
            // The first of each array belongs to the redistributors.
            common::BITS..common::BITS_END => match gic::bits(at) {
                Some((bits, n @ 1..)) => self.shared.words.get(n - 1).map_or(0, |w| w.read(bits)),
                _ => 0,
            },
            common::IPRIORITYR..common::IPRIORITYR_END => {
                let n = (at - common::IPRIORITYR).checked_sub(common::PRIVATE.into());
                n.map_or(0, |n| self.shared.priorities(n as usize))
            }
            common::ICFGR..common::ICFGR_END => {
                (at - common::ICFGR).checked_sub(8).map_or(0, |n| self.shared.config(n as usize / 4))
            }
            spec::GICD_IROUTER..spec::GICD_IROUTER_END => {
                let route = self.routes[(at - spec::GICD_IROUTER) as usize / 8];
                if at & 4 == 0 { route as u32 } else { (route >> 32) as u32 }
            }
            _ => Self::identification(at, 0),
        }
    }

    /// The registers at the end of each frame.
    pub(super) fn identification(at: u64, part: u8) -> u32 {
        match at {
            spec::PIDR4..=0xffef => {
                let i = (at - spec::PIDR4) as usize / 4;
                (spec::PIDR[i] + if i == 4 { part } else { 0 }).into()
            }
            0xfff0..=0xffff => common::CIDR[(at & 0xf) as usize / 4].into(),
            _ => 0,
        }
    }

    pub(super) fn distributor_write(&mut self, at: u64, v: u32) {
        match at {
            common::CTLR => self.ctlr = v & spec::GICD_CTLR_WRITABLE,
            common::BITS..common::BITS_END => {
                if let Some((bits, n @ 1..)) = gic::bits(at)
                    && let Some(w) = self.shared.words.get_mut(n - 1)
                {
                    w.write(bits, v);
                }
            }
            common::ICFGR..common::ICFGR_END => {
                if let Some(n) = (at - common::ICFGR).checked_sub(8) {
                    self.shared.set_config(n as usize / 4, v);
                }
            }
            spec::GICD_IROUTER..spec::GICD_IROUTER_END => {
                let route = &mut self.routes[(at - spec::GICD_IROUTER) as usize / 8];
                let shift = 8 * (at & 4);
                *route = (*route & !(0xffff_ffff << shift) | u64::from(v) << shift) & spec::IROUTER_WRITABLE;
            }
            _ => {}
        }
    }

    pub(super) fn distributor_priority(&mut self, at: u64, v: u8) {
        if let Some(n) = at.checked_sub(common::IPRIORITYR + u64::from(common::PRIVATE)) {
            self.shared.set_priority(n as usize, v);
        }
    }
}
