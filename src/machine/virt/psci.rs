//! The firmware behind HVC: PSCI 1.1 by the SMC calling convention 1.1, as the board has it when no
//! firmware of its own runs.
//!
//! References: Arm Power State Coordination Interface (DEN 0022F), chapter 5; SMC Calling Convention
//! (DEN 0028), chapters 5 and 7.

use crate::devices::{Ctx, Request};
use serde::{Deserialize, Serialize};

/// Functions and results.
pub mod spec {
    #![allow(missing_docs, reason = "the names are the specification's")]
    pub const SMCCC_VERSION: u32 = 0x8000_0000;
    pub const SMCCC_ARCH_FEATURES: u32 = 0x8000_0001;
    pub const PSCI_VERSION: u32 = 0x8400_0000;
    pub const CPU_SUSPEND_32: u32 = 0x8400_0001;
    pub const CPU_SUSPEND_64: u32 = 0xc400_0001;
    pub const CPU_OFF: u32 = 0x8400_0002;
    pub const CPU_ON_32: u32 = 0x8400_0003;
    pub const CPU_ON_64: u32 = 0xc400_0003;
    pub const AFFINITY_INFO_32: u32 = 0x8400_0004;
    pub const AFFINITY_INFO_64: u32 = 0xc400_0004;
    pub const MIGRATE_64: u32 = 0xc400_0005;
    pub const MIGRATE_INFO_TYPE: u32 = 0x8400_0006;
    pub const SYSTEM_OFF: u32 = 0x8400_0008;
    pub const SYSTEM_RESET: u32 = 0x8400_0009;
    pub const PSCI_FEATURES: u32 = 0x8400_000a;
    /// Functions of 64 bits.
    pub const SMC64: u32 = 1 << 30;
    pub const VERSION_1_1: i64 = 0x1_0001;
    pub const SUCCESS: i64 = 0;
    pub const NOT_SUPPORTED: i64 = -1;
    pub const INVALID_PARAMETERS: i64 = -2;
    pub const ALREADY_ON: i64 = -4;
    pub const INVALID_ADDRESS: i64 = -9;
    /// AFFINITY_INFO's answers.
    pub const ON: i64 = 0;
    pub const OFF: i64 = 1;
    /// There is no trusted operating system that would have to move.
    pub const NO_MIGRATION: i64 = 2;
    /// CPU_SUSPEND's state: what lies outside its fields must be zero.
    pub const POWER_STATE_RESERVED: u64 = 0xfcfe_0000;
    /// Aff3, Aff2, Aff1, Aff0 of a CPU's name.
    pub const AFFINITY: u64 = 0xff_00ff_ffff;
}

/// What is to be done to a CPU at the end of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Order {
    /// Start, at an address and with X0.
    On { cpu: usize, entry: u64, context: u64 },
    /// Stop.
    Off(usize),
    /// Wait for an interrupt.
    Suspend(usize),
}

/// Which CPUs run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Psci {
    /// By CPU: its affinity, and whether it is on.
    cpus: Vec<(u64, bool)>,
    /// Empty between steps.
    pub orders: Vec<Order>,
}

impl Psci {
    /// The first CPU is on.
    pub fn new(affinities: impl Iterator<Item = u64>) -> Self {
        Self { cpus: affinities.enumerate().map(|(i, a)| (a, i == 0)).collect(), orders: Vec::new() }
    }

    /// A call by a CPU: the result in X0.
    pub fn call(&mut self, ctx: &mut Ctx<'_>, cpu: usize, x: [u64; 4]) -> u64 {
        let function = x[0] as u32;
        // A function of 32 bits gets words.
        let mask = if function & spec::SMC64 != 0 { u64::MAX } else { u32::MAX.into() };
        let [_, a, b, c] = x.map(|v| v & mask);
        let result = match function {
            spec::SMCCC_VERSION | spec::PSCI_VERSION => spec::VERSION_1_1,
            spec::SMCCC_ARCH_FEATURES => match a as u32 {
                spec::SMCCC_VERSION | spec::SMCCC_ARCH_FEATURES => spec::SUCCESS,
                _ => spec::NOT_SUPPORTED,
            },
            spec::CPU_SUSPEND_32 | spec::CPU_SUSPEND_64 => {
                if a & spec::POWER_STATE_RESERVED != 0 {
                    spec::INVALID_PARAMETERS
                } else {
                    // Also a request to power down may be met by standing by (5.4.5).
                    self.order(ctx, Order::Suspend(cpu));
                    spec::SUCCESS
                }
            }
            spec::CPU_OFF => {
                self.cpus[cpu].1 = false;
                self.order(ctx, Order::Off(cpu));
                spec::SUCCESS
            }
            spec::CPU_ON_32 | spec::CPU_ON_64 => self.on(ctx, a, b, c),
            spec::AFFINITY_INFO_32 | spec::AFFINITY_INFO_64 => self.info(a, b),
            spec::MIGRATE_INFO_TYPE => spec::NO_MIGRATION,
            spec::SYSTEM_OFF => {
                ctx.request(Request::PowerOff);
                spec::SUCCESS
            }
            spec::SYSTEM_RESET => {
                ctx.request(Request::Reset);
                spec::SUCCESS
            }
            spec::PSCI_FEATURES => match a as u32 {
                spec::SMCCC_VERSION
                | spec::PSCI_VERSION
                | spec::CPU_SUSPEND_32
                | spec::CPU_SUSPEND_64
                | spec::CPU_OFF
                | spec::CPU_ON_32
                | spec::CPU_ON_64
                | spec::AFFINITY_INFO_32
                | spec::AFFINITY_INFO_64
                | spec::MIGRATE_INFO_TYPE
                | spec::SYSTEM_OFF
                | spec::SYSTEM_RESET
                | spec::PSCI_FEATURES => spec::SUCCESS,
                _ => spec::NOT_SUPPORTED,
            },
            _ => spec::NOT_SUPPORTED,
        };
        result as u64
    }

    fn order(&mut self, ctx: &mut Ctx<'_>, order: Order) {
        self.orders.push(order);
        ctx.world.attention = true;
    }

    fn find(&self, target: u64) -> Option<usize> {
        self.cpus.iter().position(|c| c.0 == target & spec::AFFINITY)
    }

    fn on(&mut self, ctx: &mut Ctx<'_>, target: u64, entry: u64, context: u64) -> i64 {
        let Some(cpu) = self.find(target) else { return spec::INVALID_PARAMETERS };
        if self.cpus[cpu].1 {
            return spec::ALREADY_ON;
        }
        if entry & 3 != 0 {
            return spec::INVALID_ADDRESS;
        }
        self.cpus[cpu].1 = true;
        self.order(ctx, Order::On { cpu, entry, context });
        spec::SUCCESS
    }

    fn info(&self, target: u64, level: u64) -> i64 {
        match level {
            0 => match self.find(target) {
                Some(cpu) if self.cpus[cpu].1 => spec::ON,
                Some(_) => spec::OFF,
                None => spec::INVALID_PARAMETERS,
            },
            // Clusters are always on.
            1..=3 => spec::ON,
            _ => spec::INVALID_PARAMETERS,
        }
    }
}
