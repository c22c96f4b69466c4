//! A board with nothing on it, for tests and benches of the CPU alone.

use super::exec::X86Bus;
use crate::engine::{At, Bus};
use crate::mem::{Memory, PhysAddr};

/// A board with nothing on it: reads give all ones, no interrupt ever comes.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoBus;

impl Bus for NoBus {
    fn mmio_read(&mut self, _: &mut Memory, _: At, _: PhysAddr, _: u8) -> u64 {
        u64::MAX
    }
    fn mmio_write(&mut self, _: &mut Memory, _: At, _: PhysAddr, _: u8, _: u64) {}
    fn attention(&self) -> bool {
        false
    }
}

impl X86Bus for NoBus {
    fn port_read(&mut self, _: &mut Memory, _: At, _: u16, _: u8) -> u32 {
        u32::MAX
    }
    fn port_write(&mut self, _: &mut Memory, _: At, _: u16, _: u8, _: u32) {}
    fn acknowledge_interrupt(&mut self, _: &mut Memory, _: At) -> Option<u8> {
        None
    }
    fn apic_msr_read(&mut self, _: &mut Memory, _: At, _: u32) -> Option<u64> {
        None
    }
    fn apic_msr_write(&mut self, _: &mut Memory, _: At, _: u32, _: u64) -> Option<()> {
        None
    }
    fn tpr_read(&mut self, _: At) -> u8 {
        0
    }
    fn tpr_write(&mut self, _: &mut Memory, _: At, _: u8) {}
    fn ferr(&mut self, _: &mut Memory, _: At, _: bool) {}
}
