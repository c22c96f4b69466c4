//! The PS/2 keyboard (101/102 keys), scan code set 2.

use super::scancodes;
use super::spec::{self, device};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// The keyboard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keyboard {
    queue: VecDeque<u8>,
    scanning: bool,
    leds: u8,
    rate: u8,
    scan_set: u8,
    /// The command whose parameter is awaited.
    awaits: Option<u8>,
    last: u8,
    /// The key that repeats while held.
    pub repeating: Option<u16>,
}

impl Default for Keyboard {
    fn default() -> Self {
        Self {
            queue: VecDeque::new(),
            scanning: true,
            leds: 0,
            rate: spec::RATE_DEFAULT,
            scan_set: 2,
            awaits: None,
            last: 0,
            repeating: None,
        }
    }
}

impl Keyboard {
    /// Takes the next byte that it sends.
    pub fn pop(&mut self) -> Option<u8> {
        let byte = self.queue.pop_front()?;
        self.last = byte;
        Some(byte)
    }

    /// True when it has a byte to send.
    pub fn has(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Nanoseconds until a held key repeats first, and then.
    pub fn typematic(&self) -> (u64, u64) {
        // Delay 250 ms times 1 to 4; period (8 + A) * 2^B * 4.17 ms (PS/2 reference, F3H).
        let delay = (u64::from(self.rate >> 5 & 3) + 1) * 250_000_000;
        let period = ((8 + u64::from(self.rate & 7)) << (self.rate >> 3 & 3)) * 4_170_000;
        (delay, period)
    }

    fn send_codes(&mut self, codes: &[u8]) {
        // A code is sent whole or not at all.
        if self.queue.len() + codes.len() <= spec::QUEUE {
            self.queue.extend(codes);
        }
    }

    /// A key goes down, repeats, or goes up.
    pub fn key(&mut self, key: u16, down: bool) {
        if !self.scanning {
            return;
        }
        if key == scancodes::PAUSE {
            if down {
                self.send_codes(&scancodes::PAUSE_CODES);
            }
            return;
        }
        let Some(code) = scancodes::set2(key) else { return };
        let mut codes = Vec::with_capacity(3);
        let byte = if self.scan_set == 1 { scancodes::translate(code as u8) } else { code as u8 };
        if code & scancodes::EXTENDED != 0 {
            codes.push(0xe0);
        }
        match (self.scan_set, down) {
            (1, false) => codes.push(byte | 0x80),
            (_, false) => codes.extend([0xf0, byte]),
            (_, true) => codes.push(byte),
        }
        self.send_codes(&codes);
    }

    fn reply(&mut self, bytes: &[u8]) {
        self.queue.extend(bytes);
    }

    fn defaults(&mut self) {
        self.rate = spec::RATE_DEFAULT;
        self.scan_set = 2;
        self.queue.clear();
        self.repeating = None;
    }

    /// A byte from the controller.
    pub fn write(&mut self, v: u8) {
        if let Some(command) = self.awaits.take()
            && v < device::LEDS
        {
            match command {
                device::LEDS => self.leds = v & 7,
                device::RATE => self.rate = v & 0x7f,
                device::SCAN_SET if v == 0 => {
                    let set = self.scan_set;
                    self.reply(&[spec::ACK, set]);
                    return;
                }
                device::SCAN_SET if v <= 2 => self.scan_set = v,
                _ => {
                    self.reply(&[spec::RESEND]);
                    return;
                }
            }
            self.reply(&[spec::ACK]);
            return;
        }
        match v {
            device::LEDS | device::RATE | device::SCAN_SET => {
                self.awaits = Some(v);
                self.reply(&[spec::ACK]);
            }
            device::ECHO => self.reply(&[device::ECHO]),
            device::IDENTIFY => self.reply(&[spec::ACK, 0xab, 0x83]),
            device::ENABLE => {
                self.queue.clear();
                self.scanning = true;
                self.reply(&[spec::ACK]);
            }
            device::DISABLE | device::DEFAULTS => {
                self.defaults();
                self.scanning = v == device::DEFAULTS;
                self.reply(&[spec::ACK]);
            }
            // All keys typematic, make/break or make: set 3 only.
            0xf7..=0xfa => self.reply(&[spec::ACK]),
            device::RESEND => {
                let last = self.last;
                self.reply(&[last]);
            }
            device::RESET => {
                self.defaults();
                self.scanning = true;
                self.leds = 0;
                self.reply(&[spec::ACK, spec::SELF_TEST_PASSED]);
            }
            _ => self.reply(&[spec::RESEND]),
        }
    }
}
