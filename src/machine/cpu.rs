//! A CPU's registers by name, whatever its architecture.

use super::tree::Tree;
use dejavm_interp::inspect::{Group, Register};
use dejavm_interp::{aarch64, x86};

/// A CPU's registers, by architecture.
pub enum Core<'a> {
    /// An x86 CPU.
    X86(&'a mut x86::Cpu),
    /// A 64-bit ARM CPU.
    A64(&'a mut aarch64::Cpu),
    /// No CPU of any architecture: a board for tests.
    None,
}

/// A register that a CPU has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named {
    /// The manual's name, in lower case.
    pub name: &'static str,
    /// What it is for.
    pub group: Group,
    /// Bits.
    pub bits: u32,
}

impl<C> From<Register<C>> for Named {
    fn from(r: Register<C>) -> Self {
        Self { name: r.name, group: r.group, bits: r.bits }
    }
}

impl Core<'_> {
    /// All registers, in the order in which reports list them.
    pub fn registers(&self) -> Vec<Named> {
        match self {
            Self::X86(_) => x86::inspect::registers().map(Named::from).collect(),
            Self::A64(_) => aarch64::inspect::registers().map(Named::from).collect(),
            Self::None => Vec::new(),
        }
    }

    /// The register's value, by its name in the manuals, in lower case.
    pub fn get(&self, name: &str) -> Option<u128> {
        match self {
            Self::X86(cpu) => cpu.register(name),
            Self::A64(cpu) => cpu.register(name),
            Self::None => None,
        }
    }

    /// Sets a register. False when there is none of this name, or it cannot be set.
    #[must_use]
    pub fn set(&mut self, name: &str, value: u128) -> bool {
        match self {
            Self::X86(cpu) => cpu.set_register(name, value),
            Self::A64(cpu) => cpu.set_register(name, value),
            Self::None => false,
        }
    }

    /// Bits of a register.
    pub fn width(&self, name: &str) -> Option<u32> {
        self.registers().into_iter().find(|r| r.name == name).map(|r| r.bits)
    }

    /// Paths of the fields in the CPU's state that a register is made of.
    pub fn parts(&self, name: &str) -> Vec<String> {
        match self {
            Self::X86(cpu) => parts(*cpu, |other| other.set_register(name, !cpu.register(name).unwrap_or(0))),
            Self::A64(cpu) => parts(*cpu, |other| other.set_register(name, !cpu.register(name).unwrap_or(0))),
            Self::None => Vec::new(),
        }
    }
}

/// The fields that `change` changes in a copy.
fn parts<C: Clone + serde::Serialize>(cpu: &C, change: impl FnOnce(&mut C) -> bool) -> Vec<String> {
    let mut other = cpu.clone();
    if !change(&mut other) {
        return Vec::new();
    }
    Tree::of(cpu).unequal(&Tree::of(&other)).into_iter().map(|u| u.path).collect()
}
