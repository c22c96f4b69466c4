//! 16550A.
use super::{Ctx, Line};
use crate::machine::events::TimerId;
use crate::replay::Output;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
/// UART.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uart {
    port: u8,
    irq: u16,
    timer_id: u16,
    ier: u8,
    lcr: u8,
    mcr: u8,
    scr: u8,
    fcr: u8,
    dl: u16,
    rx: VecDeque<u8>,
    thre: bool,
    timeout: bool,
}
impl Uart {
    /// new
    pub fn new(port: u8, irq: u16, timer: TimerId) -> Self {
        Self {
            port,
            irq,
            timer_id: timer.0,
            ier: 0,
            lcr: 0,
            mcr: 0,
            scr: 0,
            fcr: 0,
            dl: 12,
            rx: VecDeque::new(),
            thre: false,
            timeout: false,
        }
    }
    fn trigger(&self) -> usize {
        if self.fcr & 1 == 0 { 1 } else { [1, 4, 8, 14][usize::from(self.fcr >> 6)] }
    }
    fn iir(&self) -> u8 {
        let f = if self.fcr & 1 != 0 { 0xc0 } else { 0 };
        f | if self.ier & 1 != 0 && self.rx.len() >= self.trigger() {
            4
        } else if self.ier & 1 != 0 && self.timeout && !self.rx.is_empty() {
            12
        } else if self.ier & 2 != 0 && self.thre {
            2
        } else {
            1
        }
    }
    fn sync(&self, ctx: &mut Ctx<'_>) {
        ctx.set_line(Line(self.irq), self.iir() & 1 == 0 && self.mcr & 8 != 0);
    }
    /// room
    pub fn room(&self) -> usize {
        16usize.saturating_sub(self.rx.len())
    }
    /// input
    pub fn input(&mut self, ctx: &mut Ctx<'_>, b: &[u8]) {
        self.rx.extend(b);
        ctx.set_timer(TimerId(self.timer_id), Some(ctx.now.plus(300_000)));
        self.sync(ctx);
    }
    /// fire
    pub fn timer(&mut self, ctx: &mut Ctx<'_>) {
        self.timeout = true;
        self.sync(ctx);
    }
    /// read
    pub fn read(&mut self, ctx: &mut Ctx<'_>, r: u16) -> u8 {
        let v = match r {
            0 if self.lcr & 0x80 != 0 => self.dl as u8,
            1 if self.lcr & 0x80 != 0 => (self.dl >> 8) as u8,
            0 => {
                let b = self.rx.pop_front().unwrap_or(0);
                if self.rx.is_empty() {
                    self.timeout = false;
                }
                b
            }
            1 => self.ier,
            2 => {
                let i = self.iir();
                if i & 15 == 2 {
                    self.thre = false;
                }
                i
            }
            3 => self.lcr,
            4 => self.mcr,
            5 => 0x60 | u8::from(!self.rx.is_empty()),
            6 => {
                if self.mcr & 16 != 0 {
                    (self.mcr & 12) << 4 | (self.mcr & 2) << 3 | (self.mcr & 1) << 5
                } else {
                    0xb0
                }
            }
            _ => self.scr,
        };
        self.sync(ctx);
        v
    }
    /// write
    pub fn write(&mut self, ctx: &mut Ctx<'_>, r: u16, v: u8) {
        match r {
            0 if self.lcr & 0x80 != 0 => self.dl = self.dl & 0xff00 | u16::from(v),
            1 if self.lcr & 0x80 != 0 => self.dl = self.dl & 0xff | u16::from(v) << 8,
            0 => {
                if self.mcr & 16 != 0 {
                    self.rx.push_back(v)
                } else {
                    ctx.emit(Output::Serial { port: self.port, byte: v });
                }
                self.thre = true;
            }
            1 => {
                if v & 2 != 0 && self.ier & 2 == 0 {
                    self.thre = true;
                }
                self.ier = v & 15;
            }
            2 => {
                self.fcr = v & 0xc9;
                if v & 2 != 0 {
                    self.rx.clear();
                }
            }
            3 => self.lcr = v,
            4 => self.mcr = v & 31,
            7 => self.scr = v,
            _ => {}
        }
        self.sync(ctx);
    }
}
