//! Interrupt messages between I/O APIC and local APICs (SDM volume 3, sections 10.6 and 10.11).

use serde::{Deserialize, Serialize};

/// Who gets a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    /// By APIC id or logical destination.
    Apic {
        /// The destination field.
        id: u32,
        /// True for logical destination mode.
        logical: bool,
    },
    /// The sender.
    Myself,
    /// Every local APIC.
    All,
    /// Every local APIC but the sender.
    Others,
}

/// Delivery modes (SDM volume 3, section 10.6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Delivery {
    /// The vector, to all targets.
    Fixed,
    /// The vector, to the target with the lowest priority.
    LowestPriority,
    /// System management interrupt.
    Smi,
    /// Reserved.
    Reserved,
    /// Non-maskable interrupt.
    Nmi,
    /// INIT.
    Init,
    /// Start-up IPI.
    StartUp,
    /// The vector comes from the 8259A.
    ExtInt,
}

impl Delivery {
    /// From the three bits of a register.
    pub fn from_bits(bits: u64) -> Self {
        match bits & 7 {
            0 => Self::Fixed,
            1 => Self::LowestPriority,
            2 => Self::Smi,
            3 => Self::Reserved,
            4 => Self::Nmi,
            5 => Self::Init,
            6 => Self::StartUp,
            _ => Self::ExtInt,
        }
    }
}

/// An interrupt message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who gets it.
    pub target: Target,
    /// How.
    pub delivery: Delivery,
    /// The vector; for start-up IPIs the page.
    pub vector: u8,
    /// Level-triggered.
    pub level: bool,
    /// False for the INIT level de-assert.
    pub assert: bool,
}
