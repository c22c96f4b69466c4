//! Devices: pure state machines.
//!
//! A device is plain data. It is called with an access, a timer or an input, and a [`Ctx`] through
//! which it raises lines, sets timers, does DMA and emits output. It has no threads, no clock of
//! its own, no randomness and no host I/O; its whole state derives serialisation, and a clone of it
//! is a snapshot.
#![forbid(unsafe_code)]

pub mod acpi_pm;
#[cfg(test)]
mod conformance;
pub mod debug;
pub mod flash;
pub mod fw_cfg;
pub mod generic_timer;
pub mod gic;
pub mod gicv2;
pub mod gicv2m;
pub mod gicv3;
pub mod hpet;
pub mod i8042;
pub mod ioapic;
pub mod lapic;
pub mod pci;
pub mod pic;
pub mod pit;
pub mod pl011;
pub mod pl031;
pub mod pl061;
pub mod rtc;
#[cfg(test)]
mod tests;
pub mod uart;
pub mod virtio_mmio;

use crate::machine::events::{EventQueue, TimerId};
use crate::machine::time::VirtNs;
use crate::replay::{Output, Source};
use dejavm_interp::mem::Memory;
use serde::{Deserialize, Serialize};

/// An interrupt line into the board's interrupt controllers; the board says what the numbers mean
/// (on PCs: the global system interrupt, 0 to 23, of which 0 to 15 are the ISA interrupts).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Line(pub u16);

/// What a device, or the guest through one, asks of the whole machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Switch off (ACPI S5).
    PowerOff,
    /// Reset everything.
    Reset,
    /// End the run with this exit code (isa-debug-exit).
    Exit(u8),
}

/// What devices share: timers, and the effects of an access that the board and the machine act on.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct World {
    /// The board's timers.
    pub events: EventQueue,
    /// Line changes that the board has not routed yet; empty between steps.
    pub lines: Vec<(Line, bool)>,
    /// A request that the machine has not acted on; taken at the next boundary.
    pub request: Option<Request>,
    /// Output since the machine last took it, with the icount of each. Not part of the state.
    #[serde(skip)]
    pub outputs: Vec<(u64, Output)>,
    /// The machine has to look at lines, deadlines, requests or the memory map before the next
    /// step. Not part of the state: stopping is invisible.
    #[serde(skip)]
    pub attention: bool,
}

/// What a device is called with.
pub struct Ctx<'a> {
    /// The boundary before the step in which the device is called.
    pub icount: u64,
    /// The virtual clock there.
    pub now: VirtNs,
    /// Guest memory, for DMA.
    pub mem: &'a mut Memory,
    /// Timers and effects.
    pub world: &'a mut World,
    /// Values that come from outside through the log.
    pub source: &'a mut dyn Source,
}

impl Ctx<'_> {
    /// Sets the level of an interrupt line. The board routes it right after the call and asks for
    /// attention when that changes what a CPU sees.
    pub fn set_line(&mut self, line: Line, level: bool) {
        self.world.lines.push((line, level));
    }

    /// Sets the one deadline of `timer`, or cancels it.
    pub fn set_timer(&mut self, timer: TimerId, deadline: Option<VirtNs>) {
        self.world.events.set(timer, deadline);
        self.world.attention = true;
    }

    /// Sends something out of the machine.
    pub fn emit(&mut self, output: Output) {
        self.world.outputs.push((self.icount, output));
    }

    /// Asks something of the whole machine, at the end of this step.
    pub fn request(&mut self, request: Request) {
        self.world.request.get_or_insert(request);
        self.world.attention = true;
    }

    /// The host's wall clock in nanoseconds since 1970, read through the log.
    pub fn host_clock(&mut self) -> u64 {
        self.source.host_clock(self.icount)
    }
}

/// What all devices have in common, for the boards and for the conformance tests.
pub trait Device: Clone + Serialize + serde::de::DeserializeOwned {
    /// Reads `size` bytes (1, 2, 4 or 8) at `addr`: a port, or an offset into the device's
    /// memory. What does not exist reads as all ones or zero, as the device has it.
    fn read(&mut self, ctx: &mut Ctx<'_>, addr: u64, size: u8) -> u64;

    /// Writes `size` bytes at `addr`.
    fn write(&mut self, ctx: &mut Ctx<'_>, addr: u64, size: u8, value: u64);

    /// One of the device's timers fired.
    fn timer(&mut self, _ctx: &mut Ctx<'_>, _timer: TimerId) {}

    /// Back to the state after a reset. The board cancels the timers and lowers the lines.
    fn reset(&mut self);
}

/// Splits a wide read of a device whose registers are bytes, lowest address first (as the ISA
/// bus does for 8-bit devices).
pub fn read_bytes(addr: u64, size: u8, mut read: impl FnMut(u64) -> u8) -> u64 {
    (0..u64::from(size)).fold(0, |v, i| v | u64::from(read(addr.wrapping_add(i))) << (8 * i))
}

/// Splits a wide write of a device whose registers are bytes, lowest address first.
pub fn write_bytes(addr: u64, size: u8, value: u64, mut write: impl FnMut(u64, u8)) {
    for i in 0..u64::from(size) {
        write(addr.wrapping_add(i), (value >> (8 * i)) as u8);
    }
}

/// Reads a device whose registers are words of 32 bits: what lies at the address, as wide as asked.
pub fn read_words(addr: u64, size: u8, mut read: impl FnMut(u64) -> u32) -> u64 {
    let low = u64::from(read(addr & !3)) >> (8 * (addr & 3));
    match size {
        8 if addr & 3 == 0 => low | u64::from(read(addr.wrapping_add(4))) << 32,
        4 | 8 => low,
        _ => low & ((1 << (8 * u32::from(size))) - 1),
    }
}

/// Writes a device whose registers are words of 32 bits. A narrow write gives the whole register its
/// value, zero-extended; one that does not begin at a register is dropped.
pub fn write_words(addr: u64, size: u8, value: u64, mut write: impl FnMut(u64, u32)) {
    if addr & 3 != 0 {
        return;
    }
    write(addr, if size < 4 { value as u32 & ((1 << (8 * u32::from(size))) - 1) } else { value as u32 });
    if size == 8 {
        write(addr.wrapping_add(4), (value >> 32) as u32);
    }
}
