//! The board's numbers: addresses, interrupts and timers, as QEMU's `virt` has them.

use crate::devices::gic::{ppi, spi};
use crate::devices::{Line, virtio_mmio};
use crate::machine::events::TimerId;

/// A part of the physical address space: first byte, bytes.
pub type Span = (u64, u64);

/// The two flashes.
pub const FLASH: [Span; 2] = [(0, 0x400_0000), (0x400_0000, 0x400_0000)];
/// The interrupt controller's distributor.
pub const GICD: Span = (0x800_0000, 0x1_0000);
/// GICv2's CPU interface.
pub const GICC: Span = (0x801_0000, 0x1_0000);
/// GICv2's frame for messages.
pub const GICV2M: Span = (0x802_0000, 0x1000);
/// GICv3's redistributors.
pub const GICR: Span = (0x80a_0000, 0xf6_0000);
/// The serial port.
pub const UART: Span = (0x900_0000, 0x1000);
/// The real-time clock.
pub const RTC: Span = (0x901_0000, 0x1000);
/// The firmware configuration device.
pub const FW_CFG: Span = (0x902_0000, 0x18);
/// The GPIO.
pub const GPIO: Span = (0x903_0000, 0x1000);
/// The virtio transports, one behind the other.
pub const VIRTIO: Span = (0xa00_0000, VIRTIO_SLOTS * virtio_mmio::spec::SIZE);
/// How many those are.
pub const VIRTIO_SLOTS: u64 = 32;
/// The bus for devices that are given from outside; there are none.
pub const PLATFORM_BUS: Span = (0xc00_0000, 0x200_0000);
/// PCI's windows: memory below 4 GiB, ports, memory above, configuration space.
pub const PCI_MMIO: Span = (0x1000_0000, 0x2eff_0000);
/// PCI's ports.
pub const PCI_PIO: Span = (0x3eff_0000, 0x1_0000);
/// PCI's memory above 4 GiB.
pub const PCI_HIGH: Span = (0x80_0000_0000, 0x80_0000_0000);
/// PCI's configuration space.
pub const PCI_ECAM: Span = (0x40_1000_0000, 0x1000_0000);
/// First byte of RAM.
pub const RAM: u64 = 0x4000_0000;
/// Most RAM: what lies behind begins there.
pub const RAM_MAX: u64 = 0x40_0000_0000 - RAM;

/// Numbers of shared interrupts.
pub const SPI_UART: u16 = 1;
/// Of the real-time clock.
pub const SPI_RTC: u16 = 2;
/// INTA to INTD of PCI.
pub const SPI_PCI: u16 = 3;
/// Of the GPIO.
pub const SPI_GPIO: u16 = 7;
/// Of the first virtio transport.
pub const SPI_VIRTIO: u16 = 16;

/// Numbers of the CPUs' private interrupts: the timers of EL1 (physical, virtual), of EL2, and of the
/// secure state, less 16.
pub const PPI_TIMERS: [u16; 4] = [14, 11, 10, 13];
/// The first INTID of those.
pub const PPI: u16 = 16;

/// The serial port's line.
pub const L_UART: Line = spi(SPI_UART);
/// The real-time clock's.
pub const L_RTC: Line = spi(SPI_RTC);
/// The GPIO's.
pub const L_GPIO: Line = spi(SPI_GPIO);

/// The lines of a CPU's generic timer.
pub fn timers(cpu: usize) -> [Line; 4] {
    PPI_TIMERS.map(|n| ppi(cpu, PPI + n))
}

/// The power button's line of the GPIO.
pub const POWER_BUTTON: u8 = 3;

/// Timers of the serial port: two.
pub const T_UART: TimerId = TimerId(0);
/// Timer of the real-time clock.
pub const T_RTC: TimerId = TimerId(2);
/// Timer of the GPIO.
pub const T_GPIO: TimerId = TimerId(3);
/// Timers of the CPUs' generic timers: four each.
pub const T_GENERIC: TimerId = TimerId(0x100);

/// The offset of an address in a span.
pub fn within(span: Span, addr: u64) -> Option<u64> {
    addr.checked_sub(span.0).filter(|&at| at < span.1)
}
