//! Ports, commands and bits of the keyboard controller and its two devices.
//!
//! References: IBM PS/2 Hardware Interface Technical Reference (1988), keyboard and auxiliary
//! device controller; Intel 8042 as in the PC AT; Microsoft's IntelliMouse extension.
#![allow(missing_docs, reason = "the names are the manual's")]

pub const DATA: u64 = 0x60;
pub const COMMAND: u64 = 0x64;

pub mod status {
    pub const OUTPUT_FULL: u8 = 0x01;
    pub const SYSTEM: u8 = 0x04;
    pub const LAST_COMMAND: u8 = 0x08;
    pub const UNLOCKED: u8 = 0x10;
    pub const AUX_FULL: u8 = 0x20;
}

/// Bits of the command byte.
pub mod mode {
    pub const KEYBOARD_INT: u8 = 0x01;
    pub const AUX_INT: u8 = 0x02;
    pub const SYSTEM: u8 = 0x04;
    pub const KEYBOARD_OFF: u8 = 0x10;
    pub const AUX_OFF: u8 = 0x20;
    pub const TRANSLATE: u8 = 0x40;
}

pub mod command {
    pub const READ_RAM: u8 = 0x20;
    pub const WRITE_RAM: u8 = 0x60;
    pub const AUX_DISABLE: u8 = 0xa7;
    pub const AUX_ENABLE: u8 = 0xa8;
    pub const AUX_TEST: u8 = 0xa9;
    pub const SELF_TEST: u8 = 0xaa;
    pub const KEYBOARD_TEST: u8 = 0xab;
    pub const KEYBOARD_DISABLE: u8 = 0xad;
    pub const KEYBOARD_ENABLE: u8 = 0xae;
    pub const READ_INPUT: u8 = 0xc0;
    pub const READ_OUTPUT: u8 = 0xd0;
    pub const WRITE_OUTPUT: u8 = 0xd1;
    pub const WRITE_KEYBOARD_OUTPUT: u8 = 0xd2;
    pub const WRITE_AUX_OUTPUT: u8 = 0xd3;
    pub const WRITE_AUX: u8 = 0xd4;
    pub const DISABLE_A20: u8 = 0xdd;
    pub const ENABLE_A20: u8 = 0xdf;
    pub const READ_TEST: u8 = 0xe0;
    /// F0H to FFH pulse output bits that are zero; bit 0 resets the CPU.
    pub const PULSE: u8 = 0xf0;
}

pub const SELF_TEST_OK: u8 = 0x55;
pub const PORT_TEST_OK: u8 = 0;
/// Input port: keyboard not locked.
pub const INPUT_PORT: u8 = 0x80;
/// Output port bits.
pub const OUT_RESET: u8 = 0x01;
pub const OUT_A20: u8 = 0x02;
pub const OUT_KEYBOARD: u8 = 0x10;
pub const OUT_AUX: u8 = 0x20;

pub const ACK: u8 = 0xfa;
pub const RESEND: u8 = 0xfe;
pub const SELF_TEST_PASSED: u8 = 0xaa;

/// Commands to the devices.
pub mod device {
    pub const LEDS: u8 = 0xed;
    pub const ECHO: u8 = 0xee;
    pub const SCAN_SET: u8 = 0xf0;
    pub const IDENTIFY: u8 = 0xf2;
    pub const RATE: u8 = 0xf3;
    pub const ENABLE: u8 = 0xf4;
    pub const DISABLE: u8 = 0xf5;
    pub const DEFAULTS: u8 = 0xf6;
    pub const RESEND: u8 = 0xfe;
    pub const RESET: u8 = 0xff;
    pub const MOUSE_SCALE1: u8 = 0xe6;
    pub const MOUSE_SCALE2: u8 = 0xe7;
    pub const MOUSE_RESOLUTION: u8 = 0xe8;
    pub const MOUSE_STATUS: u8 = 0xe9;
    pub const MOUSE_STREAM: u8 = 0xea;
    pub const MOUSE_POLL: u8 = 0xeb;
    pub const MOUSE_UNWRAP: u8 = 0xec;
    pub const MOUSE_WRAP: u8 = 0xee;
    pub const MOUSE_REMOTE: u8 = 0xf0;
}

/// Bytes a device can hold back; keys beyond are lost, as with real keyboards.
pub const QUEUE: usize = 64;
/// Time from the controller's being free to the next byte in its buffer, nanoseconds.
pub const BYTE_NS: u64 = 20_000;
/// Typematic default: 500 ms, then 10.9 a second.
pub const RATE_DEFAULT: u8 = 0x2b;
