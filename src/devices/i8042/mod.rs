//! The PS/2 keyboard controller with a keyboard and a mouse.
//!
//! Bytes of the devices come one at a time into the controller's buffer, a fixed virtual time
//! after it became free, and interrupt.

pub mod keyboard;
pub mod mouse;
pub mod scancodes;
pub mod spec;

use super::{Ctx, Device, Line, Request, read_bytes, write_bytes};
use crate::machine::events::TimerId;
use keyboard::Keyboard;
use mouse::Mouse;
use serde::{Deserialize, Serialize};
use spec::{command, mode, status};

/// The controller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct I8042 {
    keyboard_line: Line,
    mouse_line: Line,
    byte_timer: TimerId,
    repeat_timer: TimerId,
    keyboard: Keyboard,
    mouse: Mouse,
    /// The controller's memory; the first byte is its mode.
    #[serde(with = "serde_bytes")]
    ram: Vec<u8>,
    output_port: u8,
    /// The byte in the output buffer, and whether it is the mouse's.
    output: Option<(u8, bool)>,
    /// What the buffer last held: it can be read again.
    last: u8,
    /// Answers of the controller itself that wait for the buffer: byte, for the mouse's side.
    answers: Vec<(u8, bool)>,
    /// The command whose parameter comes to port 60H.
    awaits: Option<u8>,
    last_was_command: bool,
    /// An F0H (break) was seen while translating.
    breaking: bool,
    levels: [bool; 2],
}

impl I8042 {
    /// The controller at power-on; its timers are `timer` and the one after it.
    pub fn new(keyboard_line: Line, mouse_line: Line, timer: TimerId) -> Self {
        let mut ram = vec![0; 32];
        // As firmware leaves it: interrupts on, translation on.
        ram[0] = mode::KEYBOARD_INT | mode::AUX_INT | mode::SYSTEM | mode::TRANSLATE;
        Self {
            keyboard_line,
            mouse_line,
            byte_timer: timer,
            repeat_timer: TimerId(timer.0 + 1),
            keyboard: Keyboard::default(),
            mouse: Mouse::default(),
            ram,
            output_port: spec::OUT_RESET | spec::OUT_A20,
            output: None,
            last: 0,
            answers: Vec::new(),
            awaits: None,
            last_was_command: false,
            breaking: false,
            levels: [false; 2],
        }
    }

    /// The A20 bit of the output port.
    pub fn a20(&self) -> bool {
        self.output_port & spec::OUT_A20 != 0
    }

    /// Sets the A20 bit of the output port (port 92H and it are one gate in the chipset).
    pub fn set_a20(&mut self, open: bool) {
        self.output_port = self.output_port & !spec::OUT_A20 | if open { spec::OUT_A20 } else { 0 };
    }

    fn mode(&self) -> u8 {
        self.ram[0]
    }

    /// A key goes down or up (Linux input event code).
    pub fn key(&mut self, ctx: &mut Ctx<'_>, code: u16, down: bool) {
        self.keyboard.key(code, down);
        let repeats = down && code != scancodes::PAUSE;
        if repeats {
            self.keyboard.repeating = Some(code);
            let (delay, _) = self.keyboard.typematic();
            ctx.set_timer(self.repeat_timer, Some(ctx.now.plus(delay)));
        } else if self.keyboard.repeating == Some(code) {
            self.keyboard.repeating = None;
            ctx.set_timer(self.repeat_timer, None);
        }
        self.pump(ctx);
    }

    /// The pointer moves.
    pub fn pointer(&mut self, ctx: &mut Ctx<'_>, dx: i32, dy: i32, wheel: i32, buttons: u8) {
        self.mouse.pointer(dx, dy, wheel, buttons);
        self.pump(ctx);
    }

    /// Asks for the next byte when there is one and the buffer is free.
    fn pump(&mut self, ctx: &mut Ctx<'_>) {
        let waits = self.output.is_none()
            && (!self.answers.is_empty()
                || self.keyboard.has() && self.mode() & mode::KEYBOARD_OFF == 0
                || self.mouse.has() && self.mode() & mode::AUX_OFF == 0);
        if !waits {
            ctx.set_timer(self.byte_timer, None);
        } else if !self.answers.is_empty() {
            // The controller's own answers are there at once.
            let (byte, aux) = self.answers.remove(0);
            self.fill(ctx, byte, aux);
        } else {
            ctx.set_timer(self.byte_timer, Some(ctx.now.plus(spec::BYTE_NS)));
        }
    }

    fn fill(&mut self, ctx: &mut Ctx<'_>, byte: u8, aux: bool) {
        self.output = Some((byte, aux));
        self.last = byte;
        self.update(ctx);
    }

    fn update(&mut self, ctx: &mut Ctx<'_>) {
        let full = |aux| matches!(self.output, Some((_, a)) if a == aux);
        let wanted = [
            full(false) && self.mode() & mode::KEYBOARD_INT != 0,
            full(true) && self.mode() & mode::AUX_INT != 0,
        ];
        for (i, line) in [self.keyboard_line, self.mouse_line].into_iter().enumerate() {
            if wanted[i] != self.levels[i] {
                self.levels[i] = wanted[i];
                ctx.set_line(line, wanted[i]);
            }
        }
    }

    /// Moves a device's byte into the buffer, translated to set 1 when the mode asks for it.
    fn take_byte(&mut self, ctx: &mut Ctx<'_>) {
        if self.output.is_some() {
            return;
        }
        if self.mode() & mode::KEYBOARD_OFF == 0 {
            while let Some(byte) = self.keyboard.pop() {
                if self.mode() & mode::TRANSLATE == 0 {
                    return self.fill(ctx, byte, false);
                }
                if byte == 0xf0 {
                    self.breaking = true;
                    continue;
                }
                let up = if std::mem::take(&mut self.breaking) { 0x80 } else { 0 };
                return self.fill(ctx, scancodes::translate(byte) | up, false);
            }
        }
        if self.mode() & mode::AUX_OFF == 0
            && let Some(byte) = self.mouse.pop()
        {
            self.fill(ctx, byte, true);
        }
    }

    fn set_output_port(&mut self, ctx: &mut Ctx<'_>, v: u8) {
        self.output_port = v | spec::OUT_RESET;
        if v & spec::OUT_RESET == 0 {
            ctx.request(Request::Reset);
        }
    }

    fn command(&mut self, ctx: &mut Ctx<'_>, v: u8) {
        self.last_was_command = true;
        self.awaits = None;
        match v {
            command::READ_RAM..=0x3f => self.answers.push((self.ram[usize::from(v & 31)], false)),
            command::WRITE_RAM..=0x7f
            | command::WRITE_OUTPUT
            | command::WRITE_KEYBOARD_OUTPUT
            | command::WRITE_AUX_OUTPUT
            | command::WRITE_AUX => self.awaits = Some(v),
            command::AUX_DISABLE => self.ram[0] |= mode::AUX_OFF,
            command::AUX_ENABLE => self.ram[0] &= !mode::AUX_OFF,
            command::AUX_TEST | command::KEYBOARD_TEST => self.answers.push((spec::PORT_TEST_OK, false)),
            command::SELF_TEST => {
                self.output = None;
                self.ram[0] |= mode::SYSTEM;
                self.answers.push((spec::SELF_TEST_OK, false));
            }
            command::KEYBOARD_DISABLE => self.ram[0] |= mode::KEYBOARD_OFF,
            command::KEYBOARD_ENABLE => self.ram[0] &= !mode::KEYBOARD_OFF,
            command::READ_INPUT => self.answers.push((spec::INPUT_PORT, false)),
            command::READ_OUTPUT => {
                let full = match self.output {
                    Some((_, true)) => spec::OUT_AUX,
                    Some((_, false)) => spec::OUT_KEYBOARD,
                    None => 0,
                };
                self.answers.push((self.output_port | full, false));
            }
            command::DISABLE_A20 => self.set_a20(false),
            command::ENABLE_A20 => self.set_a20(true),
            command::READ_TEST => self.answers.push((0, false)),
            command::PULSE..=0xff if v & 1 == 0 => ctx.request(Request::Reset),
            _ => {}
        }
    }

    fn data(&mut self, v: u8) -> Option<u8> {
        self.last_was_command = false;
        match self.awaits.take() {
            None => {
                // Sending to the keyboard turns its clock on.
                self.ram[0] &= !mode::KEYBOARD_OFF;
                self.keyboard.write(v);
            }
            Some(command::WRITE_OUTPUT) => return Some(v),
            Some(command::WRITE_KEYBOARD_OUTPUT) => self.answers.push((v, false)),
            Some(command::WRITE_AUX_OUTPUT) => self.answers.push((v, true)),
            Some(command::WRITE_AUX) => {
                self.ram[0] &= !mode::AUX_OFF;
                self.mouse.write(v);
            }
            Some(c) => self.ram[usize::from(c & 31)] = v,
        }
        None
    }

    fn status(&self) -> u8 {
        let full = match self.output {
            Some((_, true)) => status::OUTPUT_FULL | status::AUX_FULL,
            Some((_, false)) => status::OUTPUT_FULL,
            None => 0,
        };
        let command = if self.last_was_command { status::LAST_COMMAND } else { 0 };
        full | command | status::UNLOCKED | self.mode() & status::SYSTEM
    }
}

impl Device for I8042 {
    fn read(&mut self, ctx: &mut Ctx<'_>, addr: u64, size: u8) -> u64 {
        read_bytes(addr, size, |port| match port {
            spec::DATA => {
                if self.output.take().is_some() {
                    self.update(ctx);
                    self.pump(ctx);
                }
                self.last
            }
            spec::COMMAND => self.status(),
            _ => 0xff,
        })
    }

    fn write(&mut self, ctx: &mut Ctx<'_>, addr: u64, size: u8, value: u64) {
        write_bytes(addr, size, value, |port, v| {
            match port {
                spec::DATA => {
                    if let Some(v) = self.data(v) {
                        self.set_output_port(ctx, v);
                    }
                }
                spec::COMMAND => self.command(ctx, v),
                _ => return,
            }
            self.update(ctx);
            self.pump(ctx);
        });
    }

    fn timer(&mut self, ctx: &mut Ctx<'_>, timer: TimerId) {
        if timer == self.byte_timer {
            self.take_byte(ctx);
            if self.output.is_none() {
                self.pump(ctx);
            }
        } else if let Some(key) = self.keyboard.repeating {
            self.keyboard.key(key, true);
            let (_, period) = self.keyboard.typematic();
            ctx.set_timer(self.repeat_timer, Some(ctx.now.plus(period)));
            self.pump(ctx);
        }
    }

    fn reset(&mut self) {
        *self = Self::new(self.keyboard_line, self.mouse_line, self.byte_timer);
    }
}
