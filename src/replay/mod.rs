//! Recording and replaying: the one funnel for everything that comes from outside.
//!
//! [`frame`] is the file as a chain of checked frames, [`record`] what they say, [`log`] whole
//! recordings, [`saved`] the snapshots inside them; [`runner`] moves a machine and takes its checkpoints, [`recorder`] and [`replayer`]
//! are the two ways to drive it. Nothing here touches the host but through [`recorder::Outside`].

pub mod compare;
pub mod copy;
pub mod digest;
pub mod error;
pub mod frame;
pub mod log;
pub mod record;
pub mod recorder;
pub mod replayer;
pub mod runner;
pub mod saved;
pub mod saver;
pub mod tape;
pub mod varint;

use serde::{Deserialize, Serialize};

/// A point of the timeline: the number of steps before it, and the virtual nanoseconds that were
/// skipped or slept before it. Idle machines pass through many moments with the same step count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Moment {
    /// Steps since power-on.
    pub icount: u64,
    /// Virtual nanoseconds skipped or slept since power-on.
    pub warp: u64,
}

/// Something that came from outside at a boundary. The stable vocabulary of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Input {
    /// Bytes arrived on a serial port, no more than its FIFO has room for.
    Serial {
        /// Port number, 0 for COM1.
        port: u8,
        /// The bytes.
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
    },
    /// A key went down or up: a PS/2 set-2 independent key number (Linux input event code).
    Key {
        /// Linux input event code (KEY_*).
        code: u16,
        /// True when it went down.
        down: bool,
    },
    /// The pointer moved, its buttons changed.
    Pointer {
        /// Relative motion to the right.
        dx: i32,
        /// Relative motion downwards.
        dy: i32,
        /// Relative motion of the wheel, upwards.
        wheel: i32,
        /// Buttons held: bit 0 left, 1 right, 2 middle.
        buttons: u8,
    },
    /// The user pressed the power button (ACPI), for instance by Ctrl-C.
    PowerButton,
    /// The user asked for a reset.
    Reset,
    /// A non-maskable interrupt was asked for.
    Nmi,
    /// A debugger wrote to memory, RAM or ROM.
    WriteMemory {
        /// Physical address.
        addr: u64,
        /// The bytes.
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
    },
    /// A debugger wrote to a register.
    WriteRegister {
        /// Index of the CPU.
        cpu: u8,
        /// The register's name in the manuals, in lower case.
        name: String,
        /// Its new value.
        value: u128,
    },
    /// A test flipped one bit.
    Fault {
        /// What, as `machine::fault` names it.
        target: String,
        /// Which bit of it.
        bit: u32,
    },
}

impl Input {
    /// True for what a debugger or a test did: such a change belongs to the moment where the machine
    /// stood.
    pub fn by_debugger(&self) -> bool {
        matches!(self, Self::WriteMemory { .. } | Self::WriteRegister { .. } | Self::Fault { .. })
    }
}

/// Something that left the machine. Compared in replay, shown or dropped by the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Output {
    /// A byte left a serial port.
    Serial {
        /// Port number, 0 for COM1.
        port: u8,
        /// The byte.
        byte: u8,
    },
    /// A byte was written to the debug console (port E9H or 402H).
    Debug {
        /// The byte.
        byte: u8,
    },
}

/// Values that a step needs from outside at once. Recording takes them from the host and logs
/// them, replaying takes them from the log.
pub trait Source {
    /// The host's wall clock in nanoseconds since 1970, for a read in the step after `icount`.
    fn host_clock(&mut self, icount: u64) -> u64;
}
