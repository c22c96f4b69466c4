//! The 16550A UART.
//!
//! Received bytes wait in the FIFO; the host asks [`Uart::room`] and never sends more, so that
//! nothing is lost and no overrun is ever reported, however fast a text is pasted. Drivers also
//! throw away what is there while they set the port up. So the sender waits until somebody
//! listens: the receiver's interrupt is enabled, or software polls the line status again and
//! again without sending. And clearing the FIFO does not lose what came from outside: it counts
//! as still being on the wire.
//!
//! Reference: National Semiconductor PC16550D data sheet (1995), section 8.

use super::{Ctx, Device, Line, read_bytes, write_bytes};
use crate::machine::events::TimerId;
use crate::machine::time::VirtNs;
use crate::replay::Output;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Registers, bits and times.
pub mod spec {
    #![allow(missing_docs, reason = "the names are the data sheet's")]
    pub const RBR: u64 = 0;
    pub const IER: u64 = 1;
    pub const IIR: u64 = 2;
    pub const LCR: u64 = 3;
    pub const MCR: u64 = 4;
    pub const LSR: u64 = 5;
    pub const MSR: u64 = 6;
    pub const SCR: u64 = 7;
    pub const IER_RX: u8 = 1;
    pub const IER_TX: u8 = 2;
    pub const IER_LINE: u8 = 4;
    pub const IER_MODEM: u8 = 8;
    pub const IIR_NONE: u8 = 1;
    pub const IIR_MODEM: u8 = 0;
    pub const IIR_TX: u8 = 2;
    pub const IIR_RX: u8 = 4;
    pub const IIR_LINE: u8 = 6;
    pub const IIR_TIMEOUT: u8 = 0xc;
    pub const IIR_FIFO: u8 = 0xc0;
    pub const FCR_ENABLE: u8 = 1;
    pub const FCR_CLEAR_RX: u8 = 2;
    pub const FCR_STORED: u8 = 0xc9;
    pub const LCR_DLAB: u8 = 0x80;
    pub const LCR_BREAK: u8 = 0x40;
    pub const MCR_RTS: u8 = 2;
    pub const MCR_OUT2: u8 = 8;
    pub const MCR_LOOP: u8 = 0x10;
    pub const MCR_WRITABLE: u8 = 0x1f;
    pub const LSR_DR: u8 = 1;
    pub const LSR_BI: u8 = 0x10;
    pub const LSR_THRE: u8 = 0x20;
    pub const LSR_TEMT: u8 = 0x40;
    /// CTS, DSR, DCD: somebody is always there.
    pub const MSR_CONNECTED: u8 = 0xb0;
    pub const MSR_TERI: u8 = 4;
    pub const FIFO: usize = 16;
    /// Interrupt trigger levels of FCR bits 7:6.
    pub const TRIGGER: [usize; 4] = [1, 4, 8, 14];
    /// Baud clock divided by 16.
    pub const BAUD_HZ: u64 = 115_200;
    /// Bits of a frame, times the characters of silence after which a timeout interrupts.
    pub const TIMEOUT_BITS: u64 = 40;
    /// How long the transmitter holds a byte: short, since nobody waits for a wire.
    pub const TX_NS: u64 = 400;
    /// Reads of an idle line status without a byte sent in between that show a polling receiver.
    /// Drivers that only send make two or three.
    pub const POLLS: u8 = 8;
    /// Timers of one port: receiver timeout, transmitter empty.
    pub const TIMERS: u16 = 2;
}

/// A serial port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uart {
    port: u8,
    line: Line,
    rx_timer: TimerId,
    tx_timer: TimerId,
    rx: VecDeque<u8>,
    ier: u8,
    fcr: u8,
    lcr: u8,
    mcr: u8,
    scr: u8,
    divisor: u16,
    /// Changes of the modem inputs, MSR bits 3:0.
    modem_delta: u8,
    /// A break was received in loopback.
    break_seen: bool,
    /// The transmitter is empty from then on.
    tx_done: VirtNs,
    /// The transmitter-empty interrupt is pending.
    tx_pending: bool,
    /// The receiver timeout is pending.
    timeout: bool,
    /// RTS was raised since the reset: from then on it holds back the sender while low. Software
    /// that polls and never touches the modem lines still gets its input.
    rts_used: bool,
    /// Reads of an idle line status since a byte was sent, up to [`spec::POLLS`].
    polls: u8,
    /// What is in the FIFO came by loopback.
    own_bytes: bool,
    level: bool,
}

impl Uart {
    /// Port number `port` (0 is COM1) on `line`; its timers are `timer` and the one after it.
    pub fn new(port: u8, line: Line, timer: TimerId) -> Self {
        Self {
            port,
            line,
            rx_timer: timer,
            tx_timer: TimerId(timer.0 + 1),
            rx: VecDeque::new(),
            ier: 0,
            fcr: 0,
            lcr: 0,
            mcr: 0,
            scr: 0,
            divisor: 12,
            modem_delta: 0,
            break_seen: false,
            tx_done: VirtNs(0),
            tx_pending: false,
            timeout: false,
            rts_used: false,
            polls: 0,
            own_bytes: false,
            level: false,
        }
    }

    fn fifo(&self) -> bool {
        self.fcr & spec::FCR_ENABLE != 0
    }

    fn looped(&self) -> bool {
        self.mcr & spec::MCR_LOOP != 0
    }

    /// How many bytes it takes now without losing one.
    pub fn room(&self) -> usize {
        let listens = self.ier & spec::IER_RX != 0 || self.polls >= spec::POLLS;
        let held = self.rts_used && self.mcr & spec::MCR_RTS == 0;
        if self.looped() || held || !listens {
            return 0;
        }
        let size = if self.fifo() { spec::FIFO } else { 1 };
        size.saturating_sub(self.rx.len())
    }

    /// Bytes arrive.
    pub fn receive(&mut self, ctx: &mut Ctx<'_>, bytes: &[u8]) {
        self.rx.extend(bytes);
        self.rx_changed(ctx);
        self.update(ctx);
    }

    fn trigger(&self) -> usize {
        if self.fifo() { spec::TRIGGER[usize::from(self.fcr >> 6)] } else { 1 }
    }

    /// Restarts the receiver's timeout: four characters without a byte coming or going.
    fn rx_changed(&mut self, ctx: &mut Ctx<'_>) {
        self.timeout = false;
        let waits = self.fifo() && !self.rx.is_empty() && self.ier & spec::IER_RX != 0;
        let ns = VirtNs::SECOND * spec::TIMEOUT_BITS * u64::from(self.divisor.max(1)) / spec::BAUD_HZ;
        ctx.set_timer(self.rx_timer, waits.then(|| ctx.now.plus(ns)));
    }

    /// The highest-priority pending interrupt (table III).
    fn source(&self) -> u8 {
        if self.ier & spec::IER_LINE != 0 && self.break_seen {
            spec::IIR_LINE
        } else if self.ier & spec::IER_RX != 0 && self.rx.len() >= self.trigger() {
            spec::IIR_RX
        } else if self.ier & spec::IER_RX != 0 && self.timeout && !self.rx.is_empty() {
            spec::IIR_TIMEOUT
        } else if self.ier & spec::IER_TX != 0 && self.tx_pending {
            spec::IIR_TX
        } else if self.ier & spec::IER_MODEM != 0 && self.modem_delta != 0 {
            spec::IIR_MODEM
        } else {
            spec::IIR_NONE
        }
    }

    /// The interrupt line, which OUT2 connects on a PC.
    fn update(&mut self, ctx: &mut Ctx<'_>) {
        let connected = self.mcr & (spec::MCR_OUT2 | spec::MCR_LOOP) == spec::MCR_OUT2;
        let level = connected && self.source() != spec::IIR_NONE;
        if level != self.level {
            self.level = level;
            ctx.set_line(self.line, level);
        }
    }

    /// The modem inputs; in loopback the outputs (data sheet, MCR bit 4).
    fn modem(&self, mcr: u8) -> u8 {
        if mcr & spec::MCR_LOOP == 0 {
            return spec::MSR_CONNECTED;
        }
        // DTR to DSR, RTS to CTS, OUT1 to RI, OUT2 to DCD.
        (mcr & 1) << 5 | (mcr & 2) << 3 | (mcr & 4) << 4 | (mcr & 8) << 4
    }

    fn set_mcr(&mut self, v: u8) {
        let old = self.modem(self.mcr);
        self.mcr = v & spec::MCR_WRITABLE;
        let new = self.modem(self.mcr);
        let changed = (old ^ new) >> 4;
        // RI tells only its trailing edge.
        let ring_ended = if old & !new & 0x40 != 0 { spec::MSR_TERI } else { 0 };
        self.modem_delta |= changed & !spec::MSR_TERI | ring_ended;
        if !self.looped() {
            self.rts_used |= self.mcr & spec::MCR_RTS != 0;
        }
    }

    fn transmit(&mut self, ctx: &mut Ctx<'_>, byte: u8) {
        self.tx_pending = false;
        self.polls = 0;
        if self.looped() {
            self.own_bytes = true;
            let size = if self.fifo() { spec::FIFO } else { 1 };
            if self.rx.len() < size {
                self.rx.push_back(byte);
            }
            self.rx_changed(ctx);
        } else {
            ctx.emit(Output::Serial { port: self.port, byte });
        }
        self.tx_done = ctx.now.plus(spec::TX_NS);
        self.arm_tx(ctx);
    }

    /// The transmitter's end matters only to who waits for the interrupt.
    fn arm_tx(&mut self, ctx: &mut Ctx<'_>) {
        let waits = self.ier & spec::IER_TX != 0 && self.tx_done > ctx.now;
        ctx.set_timer(self.tx_timer, waits.then_some(self.tx_done));
    }

    fn set_ier(&mut self, ctx: &mut Ctx<'_>, v: u8) {
        let old = self.ier;
        self.ier = v & 0xf;
        if self.ier & !old & spec::IER_TX != 0 {
            // Enabling it while the holding register is empty interrupts at once.
            self.tx_pending = ctx.now >= self.tx_done;
            self.arm_tx(ctx);
        }
        if self.ier & !old & spec::IER_RX != 0 {
            self.rx_changed(ctx);
        }
    }

    fn set_fcr(&mut self, ctx: &mut Ctx<'_>, v: u8) {
        let toggled = (self.fcr ^ v) & spec::FCR_ENABLE != 0;
        self.fcr = if v & spec::FCR_ENABLE != 0 { v & spec::FCR_STORED } else { 0 };
        if toggled || v & (spec::FCR_CLEAR_RX | spec::FCR_ENABLE) == spec::FCR_CLEAR_RX | spec::FCR_ENABLE {
            if std::mem::take(&mut self.own_bytes) {
                self.rx.clear();
            }
            self.rx_changed(ctx);
        }
    }

    fn lsr(&mut self, now: VirtNs) -> u8 {
        let ready = if self.rx.is_empty() { 0 } else { spec::LSR_DR };
        let empty = if now >= self.tx_done { spec::LSR_THRE | spec::LSR_TEMT } else { 0 };
        if self.rx.is_empty() && empty != 0 {
            self.polls = (self.polls + 1).min(spec::POLLS);
        }
        let broken = if std::mem::take(&mut self.break_seen) { spec::LSR_BI } else { 0 };
        ready | empty | broken
    }

    fn read_register(&mut self, ctx: &mut Ctx<'_>, reg: u64) -> u8 {
        let dlab = self.lcr & spec::LCR_DLAB != 0;
        let v = match reg & 7 {
            spec::RBR if dlab => self.divisor as u8,
            spec::RBR => {
                let byte = self.rx.pop_front().unwrap_or(0);
                self.own_bytes &= !self.rx.is_empty();
                self.rx_changed(ctx);
                byte
            }
            spec::IER if dlab => (self.divisor >> 8) as u8,
            spec::IER => self.ier,
            spec::IIR => {
                let source = self.source();
                if source == spec::IIR_TX {
                    self.tx_pending = false;
                }
                source | if self.fifo() { spec::IIR_FIFO } else { 0 }
            }
            spec::LCR => self.lcr,
            spec::MCR => self.mcr,
            spec::LSR => self.lsr(ctx.now),
            spec::MSR => self.modem(self.mcr) | std::mem::take(&mut self.modem_delta),
            _ => self.scr,
        };
        self.update(ctx);
        v
    }

    fn write_register(&mut self, ctx: &mut Ctx<'_>, reg: u64, v: u8) {
        let dlab = self.lcr & spec::LCR_DLAB != 0;
        match reg & 7 {
            spec::RBR if dlab => self.divisor = self.divisor & 0xff00 | u16::from(v),
            spec::RBR => self.transmit(ctx, v),
            spec::IER if dlab => self.divisor = self.divisor & 0xff | u16::from(v) << 8,
            spec::IER => self.set_ier(ctx, v),
            spec::IIR => self.set_fcr(ctx, v),
            spec::LCR => {
                if self.looped() && v & !self.lcr & spec::LCR_BREAK != 0 {
                    self.break_seen = true;
                }
                self.lcr = v;
            }
            spec::MCR => self.set_mcr(v),
            spec::SCR => self.scr = v,
            // LSR and MSR are read-only (writing LSR is for factory tests).
            _ => {}
        }
        self.update(ctx);
    }
}

impl Device for Uart {
    fn read(&mut self, ctx: &mut Ctx<'_>, addr: u64, size: u8) -> u64 {
        read_bytes(addr, size, |reg| self.read_register(ctx, reg))
    }

    fn write(&mut self, ctx: &mut Ctx<'_>, addr: u64, size: u8, value: u64) {
        write_bytes(addr, size, value, |reg, v| self.write_register(ctx, reg, v));
    }

    fn timer(&mut self, ctx: &mut Ctx<'_>, timer: TimerId) {
        if timer == self.rx_timer {
            self.timeout = true;
        } else {
            self.tx_pending = true;
        }
        self.update(ctx);
    }

    fn reset(&mut self) {
        *self = Self::new(self.port, self.line, self.rx_timer);
    }
}
