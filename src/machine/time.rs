//! Time as the machine counts it.

use serde::{Deserialize, Serialize};

/// Virtual nanoseconds since power-on: `(icount << shift) + warp`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct VirtNs(pub u64);

impl VirtNs {
    /// Nanoseconds in a second.
    pub const SECOND: u64 = 1_000_000_000;

    /// This moment plus `ns` nanoseconds.
    #[must_use]
    pub fn plus(self, ns: u64) -> Self {
        Self(self.0.saturating_add(ns))
    }

    /// Nanoseconds from `earlier` to this moment, 0 if it is not earlier.
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Ticks of a clock of `hz` that have passed at this moment since power-on, rounded down.
    pub fn ticks(self, hz: u64) -> u64 {
        (u128::from(self.0) * u128::from(hz) / u128::from(Self::SECOND)) as u64
    }

    /// The first moment at which a clock of `hz` has made `ticks` ticks since power-on.
    pub fn of_ticks(ticks: u64, hz: u64) -> Self {
        let ns = (u128::from(ticks) * u128::from(Self::SECOND)).div_ceil(u128::from(hz));
        Self(u64::try_from(ns).unwrap_or(u64::MAX))
    }
}
