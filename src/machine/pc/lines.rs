//! The board's numbers: interrupt lines and timers.

use crate::devices::Line;
use crate::machine::events::TimerId;

/// Lines of ISA devices are their interrupt numbers, but where two devices share one.
pub const PIT: Line = Line(0);
/// The keyboard.
pub const KEYBOARD: Line = Line(1);
/// The real-time clock.
pub const RTC: Line = Line(8);
/// The power management's SCI.
pub const SCI: Line = Line(9);
/// The mouse.
pub const MOUSE: Line = Line(12);
/// The x87's errors.
pub const FERR: Line = Line(13);
/// COM1 to COM4: IRQ 4, 3, and 4, 3 again.
pub const COM: [Line; 4] = [Line(4), Line(3), Line(32), Line(33)];
/// The HPET's comparators.
pub const HPET: u16 = 40;
/// INTA# to INTD# of PCI devices 0 to 31: this plus four times the device plus the pin.
pub const PCI: u16 = 64;
/// How many those are.
pub const PCI_PINS: u16 = 128;

/// The ISA interrupt of a device's line.
pub fn isa(line: Line) -> Option<u8> {
    match line.0 {
        n @ 0..16 => Some(n as u8),
        32 => Some(4),
        33 => Some(3),
        _ => None,
    }
}

/// Timer of the 8254.
pub const T_PIT: TimerId = TimerId(0);
/// Timers of the real-time clock: two.
pub const T_RTC: TimerId = TimerId(1);
/// Timer of the power management.
pub const T_PM: TimerId = TimerId(3);
/// Timers of the HPET: three.
pub const T_HPET: TimerId = TimerId(4);
/// Timers of the keyboard controller: two.
pub const T_I8042: TimerId = TimerId(8);
/// Timers of the serial ports: two each.
pub const T_UART: TimerId = TimerId(16);
/// Timers of the local APICs, by CPU.
pub const T_APIC: TimerId = TimerId(0x100);
