//! The PS/2 mouse with three buttons, and Microsoft's wheel when the driver knocks for it.

use super::spec::{self, device};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Sample rates that turn the mouse into an IntelliMouse.
const KNOCK: [u8; 3] = [200, 100, 80];
/// Identities: standard, with a wheel.
const ID_STANDARD: u8 = 0;
const ID_WHEEL: u8 = 3;
/// Bit 3 of a packet's first byte is always set.
const PACKET: u8 = 0x08;
const X_SIGN: u8 = 0x10;
const Y_SIGN: u8 = 0x20;
/// The largest motion of one packet.
const MOTION: i32 = 255;

/// The mouse.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mouse {
    queue: VecDeque<u8>,
    reporting: bool,
    remote: bool,
    wrap: bool,
    scale2: bool,
    resolution: u8,
    rate: u8,
    /// The last three sample rates.
    knock: [u8; 3],
    id: u8,
    awaits: Option<u8>,
    dx: i32,
    dy: i32,
    wheel: i32,
    buttons: u8,
    last: u8,
}

impl Default for Mouse {
    fn default() -> Self {
        Self {
            queue: VecDeque::new(),
            reporting: false,
            remote: false,
            wrap: false,
            scale2: false,
            resolution: 2,
            rate: 100,
            knock: [0; 3],
            id: ID_STANDARD,
            awaits: None,
            dx: 0,
            dy: 0,
            wheel: 0,
            buttons: 0,
            last: 0,
        }
    }
}

impl Mouse {
    /// Takes the next byte that it sends.
    pub fn pop(&mut self) -> Option<u8> {
        let byte = self.queue.pop_front()?;
        self.last = byte;
        if self.queue.is_empty() && self.moved() {
            // What moved while the queue was full follows.
            self.report();
        }
        Some(byte)
    }

    /// True when it has a byte to send.
    pub fn has(&self) -> bool {
        !self.queue.is_empty()
    }

    fn moved(&self) -> bool {
        self.dx != 0 || self.dy != 0 || self.wheel != 0
    }

    /// It moves, or its buttons change.
    pub fn pointer(&mut self, dx: i32, dy: i32, wheel: i32, buttons: u8) {
        let changed = self.buttons != buttons & 7;
        self.buttons = buttons & 7;
        self.dx = self.dx.saturating_add(dx);
        // Up is positive here.
        self.dy = self.dy.saturating_sub(dy);
        self.wheel = self.wheel.saturating_sub(wheel);
        if !self.reporting || self.remote {
            return;
        }
        if changed || self.moved() {
            self.report();
        }
        while self.moved() && self.queue.len() + 8 <= spec::QUEUE {
            self.report();
        }
    }

    /// Queues packets for the motion so far, unless the queue is full: then it accumulates.
    fn report(&mut self) {
        if self.reporting && !self.remote && self.queue.len() + 4 <= spec::QUEUE {
            self.packet();
        }
    }

    fn packet(&mut self) {
        let dx = self.dx.clamp(-MOTION, MOTION);
        let dy = self.dy.clamp(-MOTION, MOTION);
        self.dx -= dx;
        self.dy -= dy;
        let signs = if dx < 0 { X_SIGN } else { 0 } | if dy < 0 { Y_SIGN } else { 0 };
        self.queue.extend([PACKET | signs | self.buttons, dx as u8, dy as u8]);
        if self.id == ID_WHEEL {
            let wheel = self.wheel.clamp(-8, 7);
            self.wheel -= wheel;
            self.queue.push_back(wheel as u8);
        } else {
            self.wheel = 0;
        }
    }

    fn reply(&mut self, bytes: &[u8]) {
        self.queue.extend(bytes);
    }

    fn defaults(&mut self) {
        *self = Self { id: self.id, buttons: self.buttons, last: self.last, ..Self::default() };
    }

    /// A byte from the controller.
    pub fn write(&mut self, v: u8) {
        if self.wrap && v != device::RESET && v != device::MOUSE_UNWRAP {
            self.reply(&[v]);
            return;
        }
        if let Some(command) = self.awaits.take() {
            if command == device::RATE {
                self.rate = v;
                self.knock = [self.knock[1], self.knock[2], v];
                if self.knock == KNOCK {
                    self.id = ID_WHEEL;
                }
            } else {
                self.resolution = v & 3;
            }
            self.reply(&[spec::ACK]);
            return;
        }
        // A command clears what was not sent.
        self.queue.clear();
        self.reply(&[spec::ACK]);
        match v {
            device::MOUSE_SCALE1 => self.scale2 = false,
            device::MOUSE_SCALE2 => self.scale2 = true,
            device::MOUSE_RESOLUTION | device::RATE => self.awaits = Some(v),
            device::MOUSE_STATUS => {
                let flags = u8::from(self.remote) << 6
                    | u8::from(self.reporting) << 5
                    | u8::from(self.scale2) << 4
                    // Left, middle, right from bit 2 down.
                    | (self.buttons & 1) << 2
                    | (self.buttons & 4) >> 1
                    | (self.buttons & 2) >> 1;
                let (resolution, rate) = (self.resolution, self.rate);
                self.reply(&[flags, resolution, rate]);
            }
            device::MOUSE_STREAM => self.remote = false,
            device::MOUSE_POLL => self.packet(),
            device::MOUSE_UNWRAP => self.wrap = false,
            device::MOUSE_WRAP => self.wrap = true,
            device::MOUSE_REMOTE => self.remote = true,
            device::IDENTIFY => {
                let id = self.id;
                self.reply(&[id]);
            }
            device::ENABLE => {
                self.reporting = true;
                (self.dx, self.dy, self.wheel) = (0, 0, 0);
            }
            device::DISABLE => self.reporting = false,
            device::DEFAULTS => {
                self.defaults();
                self.reply(&[spec::ACK]);
            }
            device::RESEND => {
                self.queue.clear();
                let last = self.last;
                self.reply(&[last]);
            }
            device::RESET => {
                self.defaults();
                self.id = ID_STANDARD;
                self.reply(&[spec::ACK, spec::SELF_TEST_PASSED, ID_STANDARD]);
            }
            _ => {
                self.queue.clear();
                self.reply(&[spec::RESEND]);
            }
        }
    }
}
