//! Registers by name, for debuggers, reports and tests. Each architecture lists its own in its `inspect`.
//!
//! Names are the manuals', in lower case. Setting one changes the architectural state and nothing
//! else: no check that an instruction would make is made.

/// What a register is for: how debuggers group it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// General registers, the program counter, flags; on x86 segment selectors.
    General,
    /// x86: hidden parts of segment registers, descriptor table registers.
    Segment,
    /// Control and debug registers; on AArch64 all system registers.
    Control,
    /// x86: model-specific registers.
    Model,
    /// x87 and MMX.
    X87,
    /// Vector registers, with their control and status.
    Vector,
}

/// A named register of a CPU `C`.
#[derive(Debug)]
pub struct Register<C> {
    /// Its name.
    pub name: &'static str,
    /// Its group.
    pub group: Group,
    /// Bits.
    pub bits: u32,
    pub(crate) get: fn(&C, usize) -> u128,
    pub(crate) set: fn(&mut C, usize, u128),
    pub(crate) index: usize,
}

impl<C> Clone for Register<C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C> Copy for Register<C> {}

impl<C> Register<C> {
    /// Its value.
    pub fn get(&self, cpu: &C) -> u128 {
        (self.get)(cpu, self.index)
    }

    /// Sets it; bits beyond its size are dropped.
    pub fn set(&self, cpu: &mut C, value: u128) {
        let value = if self.bits < 128 { value & ((1 << self.bits) - 1) } else { value };
        (self.set)(cpu, self.index, value);
    }
}
