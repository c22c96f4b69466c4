//! The PL011 UART, revision 1: FIFOs of 16.
//!
//! As with the 16550, nothing that comes from outside is lost: the host asks [`Pl011::room`] and never
//! sends more. Drivers throw away what is there while they set the port up, so bytes count as still
//! being on the wire until somebody listens: a receive interrupt is enabled, or software polls the
//! flags again and again without sending. What is sent when the FIFO is full is sent all the same:
//! guests that never look at the flags lose nothing.
//!
//! Reference: PrimeCell UART (PL011) Technical Reference Manual (DDI 0183), chapter 3.

use super::{Ctx, Device, Line, read_words, write_words};
use crate::machine::events::TimerId;
use crate::machine::time::VirtNs;
use crate::replay::Output;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Registers, bits and times.
pub mod spec {
    #![allow(missing_docs, reason = "the names are the manual's")]
    pub const DR: u64 = 0x00;
    pub const RSR: u64 = 0x04;
    pub const FR: u64 = 0x18;
    pub const ILPR: u64 = 0x20;
    pub const IBRD: u64 = 0x24;
    pub const FBRD: u64 = 0x28;
    pub const LCR_H: u64 = 0x2c;
    pub const CR: u64 = 0x30;
    pub const IFLS: u64 = 0x34;
    pub const IMSC: u64 = 0x38;
    pub const RIS: u64 = 0x3c;
    pub const MIS: u64 = 0x40;
    pub const ICR: u64 = 0x44;
    pub const DMACR: u64 = 0x48;
    pub const PERIPH_ID: u64 = 0xfe0;
    /// UARTPeriphID0 to 3, UARTPCellID0 to 3.
    pub const ID: [u8; 8] = [0x11, 0x10, 0x14, 0x00, 0x0d, 0xf0, 0x05, 0xb1];
    pub const FR_CTS: u32 = 1 << 0;
    pub const FR_DSR: u32 = 1 << 1;
    pub const FR_DCD: u32 = 1 << 2;
    pub const FR_BUSY: u32 = 1 << 3;
    pub const FR_RXFE: u32 = 1 << 4;
    pub const FR_TXFF: u32 = 1 << 5;
    pub const FR_RXFF: u32 = 1 << 6;
    pub const FR_TXFE: u32 = 1 << 7;
    pub const FR_RI: u32 = 1 << 8;
    pub const LCR_FEN: u32 = 1 << 4;
    pub const CR_UARTEN: u32 = 1 << 0;
    pub const CR_LBE: u32 = 1 << 7;
    pub const CR_TXE: u32 = 1 << 8;
    pub const CR_RXE: u32 = 1 << 9;
    pub const CR_DTR: u32 = 1 << 10;
    pub const CR_RTS: u32 = 1 << 11;
    pub const CR_OUT1: u32 = 1 << 12;
    pub const CR_OUT2: u32 = 1 << 13;
    pub const CR_WRITABLE: u32 = 0xff87;
    pub const INT_RX: u32 = 1 << 4;
    pub const INT_TX: u32 = 1 << 5;
    pub const INT_RT: u32 = 1 << 6;
    pub const INTS: u32 = 0x7ff;
    pub const FIFO: usize = 16;
    /// Bytes at which IFLS lets interrupts rise.
    pub const TRIGGER: [usize; 8] = [2, 4, 8, 12, 14, 14, 14, 14];
    pub const IFLS_RESET: u32 = 0x12;
    pub const CR_RESET: u32 = CR_TXE | CR_RXE;
    /// UARTCLK.
    pub const CLOCK_HZ: u64 = 24_000_000;
    /// Bits of silence after which what was received interrupts.
    pub const TIMEOUT_BITS: u64 = 32;
    /// How long the transmitter holds a byte: short, since nobody waits for a wire.
    pub const TX_NS: u64 = 400;
    /// Reads of the flags without a byte sent in between that show a polling receiver.
    pub const POLLS: u8 = 8;
    /// Timers of one port: receive timeout, transmit FIFO.
    pub const TIMERS: u16 = 2;
}

/// A serial port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pl011 {
    port: u8,
    line: Line,
    rx_timer: TimerId,
    tx_timer: TimerId,
    rx: VecDeque<u8>,
    ilpr: u32,
    ibrd: u32,
    fbrd: u32,
    lcr_h: u32,
    cr: u32,
    ifls: u32,
    imsc: u32,
    ris: u32,
    dmacr: u32,
    /// The transmitter is empty from then on; each waiting byte takes [`spec::TX_NS`].
    tx_done: VirtNs,
    /// The transmit FIFO falls to its trigger level then.
    tx_falls: Option<VirtNs>,
    /// Reads of flags that say empty since a byte was sent, up to [`spec::POLLS`].
    polls: u8,
    level: bool,
}

impl Pl011 {
    /// Port number `port` on `line`; its timers are `timer` and the one after it.
    pub fn new(port: u8, line: Line, timer: TimerId) -> Self {
        Self {
            port,
            line,
            rx_timer: timer,
            tx_timer: TimerId(timer.0 + 1),
            rx: VecDeque::new(),
            ilpr: 0,
            ibrd: 0,
            fbrd: 0,
            lcr_h: 0,
            cr: spec::CR_RESET,
            ifls: spec::IFLS_RESET,
            imsc: 0,
            ris: 0,
            dmacr: 0,
            tx_done: VirtNs(0),
            tx_falls: None,
            polls: 0,
            level: false,
        }
    }

    fn size(&self) -> usize {
        if self.lcr_h & spec::LCR_FEN != 0 { spec::FIFO } else { 1 }
    }

    /// The bytes at which an interrupt rises, of the field of IFLS that begins at a bit.
    fn trigger(&self, shift: u32) -> usize {
        if self.size() == 1 { 1 } else { spec::TRIGGER[(self.ifls >> shift & 7) as usize] }
    }

    fn looped(&self) -> bool {
        self.cr & spec::CR_LBE != 0
    }

    /// Somebody wants what arrives.
    fn listens(&self) -> bool {
        self.imsc & (spec::INT_RX | spec::INT_RT) != 0 || self.polls >= spec::POLLS || self.looped()
    }

    /// Bytes that software can see: others are still on the wire.
    fn received(&self) -> usize {
        if self.listens() { self.rx.len() } else { 0 }
    }

    /// How many bytes it takes now without losing one.
    pub fn room(&self) -> usize {
        let on = self.cr & (spec::CR_UARTEN | spec::CR_RXE) == spec::CR_UARTEN | spec::CR_RXE;
        if self.looped() || !on || !self.listens() { 0 } else { self.size().saturating_sub(self.rx.len()) }
    }

    /// Bytes arrive.
    pub fn receive(&mut self, ctx: &mut Ctx<'_>, bytes: &[u8]) {
        let before = self.received();
        self.rx.extend(bytes);
        self.rx_grew(ctx, before);
        self.update(ctx);
    }

    /// More can be seen than before.
    fn rx_grew(&mut self, ctx: &mut Ctx<'_>, before: usize) {
        let now = self.received();
        if before < self.trigger(3) && now >= self.trigger(3) {
            self.ris |= spec::INT_RX;
        }
        self.arm_rx(ctx);
    }

    /// Restarts the receive timeout: 32 bits without a byte coming or going.
    fn arm_rx(&mut self, ctx: &mut Ctx<'_>) {
        let waits = self.received() > 0 && self.imsc & spec::INT_RT != 0 && self.ris & spec::INT_RT == 0;
        // A bit lasts 16 times the divisor, which counts in 64ths.
        let divisor = u64::from(self.ibrd << 6 | self.fbrd).max(64);
        let ns = VirtNs::SECOND * spec::TIMEOUT_BITS * divisor / 4 / spec::CLOCK_HZ;
        ctx.set_timer(self.rx_timer, waits.then(|| ctx.now.plus(ns)));
    }

    /// Bytes in the transmit FIFO.
    fn sending(&self, now: VirtNs) -> usize {
        self.tx_done.since(now).div_ceil(spec::TX_NS) as usize
    }

    /// What time did to the transmitter.
    fn catch_up(&mut self, now: VirtNs) {
        if self.tx_falls.is_some_and(|at| at <= now) {
            self.tx_falls = None;
            self.ris |= spec::INT_TX;
        }
    }

    /// The FIFO's fall matters only to who waits for the interrupt.
    fn arm_tx(&mut self, ctx: &mut Ctx<'_>) {
        let waits = self.imsc & spec::INT_TX != 0;
        ctx.set_timer(self.tx_timer, self.tx_falls.filter(|_| waits));
    }

    fn update(&mut self, ctx: &mut Ctx<'_>) {
        let level = self.ris & self.imsc != 0;
        if level != self.level {
            self.level = level;
            ctx.set_line(self.line, level);
        }
    }

    fn transmit(&mut self, ctx: &mut Ctx<'_>, byte: u8) {
        self.polls = 0;
        if self.looped() {
            let before = self.received();
            if self.rx.len() < self.size() {
                self.rx.push_back(byte);
            }
            self.rx_grew(ctx, before);
        } else {
            ctx.emit(Output::Serial { port: self.port, byte });
        }
        let from = self.tx_done.max(ctx.now);
        let full = ctx.now.plus(spec::TX_NS * self.size() as u64);
        self.tx_done = from.plus(spec::TX_NS).min(full);
        // Without FIFOs the interrupt rises when the one place is free again.
        let trigger = if self.size() == 1 { 0 } else { self.trigger(0) };
        if self.sending(ctx.now) > trigger {
            self.ris &= !spec::INT_TX;
            self.tx_falls = Some(VirtNs(self.tx_done.0 - spec::TX_NS * trigger as u64));
        }
        self.arm_tx(ctx);
    }

    fn take(&mut self, ctx: &mut Ctx<'_>) -> u8 {
        if self.received() == 0 {
            return 0;
        }
        let byte = self.rx.pop_front().unwrap_or(0);
        if self.rx.len() < self.trigger(3) {
            self.ris &= !spec::INT_RX;
        }
        if self.rx.is_empty() {
            self.ris &= !spec::INT_RT;
        }
        self.arm_rx(ctx);
        byte
    }

    fn flags(&mut self, now: VirtNs) -> u32 {
        let sending = self.sending(now);
        let modem = if self.looped() {
            // DTR to DSR, RTS to CTS, OUT1 to DCD, OUT2 to RI.
            let pairs = [
                (spec::CR_DTR, spec::FR_DSR),
                (spec::CR_RTS, spec::FR_CTS),
                (spec::CR_OUT1, spec::FR_DCD),
                (spec::CR_OUT2, spec::FR_RI),
            ];
            pairs.iter().filter(|p| self.cr & p.0 != 0).fold(0, |v, p| v | p.1)
        } else {
            // Somebody is always there.
            spec::FR_CTS | spec::FR_DSR | spec::FR_DCD
        };
        let received = self.received();
        if received == 0 && sending == 0 {
            self.polls = (self.polls + 1).min(spec::POLLS);
        }
        let rx = match received {
            0 => spec::FR_RXFE,
            n if n >= self.size() => spec::FR_RXFF,
            _ => 0,
        };
        let tx = match sending {
            0 => spec::FR_TXFE,
            n if n >= self.size() => spec::FR_TXFF | spec::FR_BUSY,
            _ => spec::FR_BUSY,
        };
        modem | rx | tx
    }

    fn register(&mut self, ctx: &mut Ctx<'_>, at: u64) -> u32 {
        match at {
            spec::DR => self.take(ctx).into(),
            spec::FR => self.flags(ctx.now),
            spec::ILPR => self.ilpr,
            spec::IBRD => self.ibrd,
            spec::FBRD => self.fbrd,
            spec::LCR_H => self.lcr_h,
            spec::CR => self.cr,
            spec::IFLS => self.ifls,
            spec::IMSC => self.imsc,
            spec::RIS => self.ris,
            spec::MIS => self.ris & self.imsc,
            spec::DMACR => self.dmacr,
            spec::PERIPH_ID..=0xfff => spec::ID[(at - spec::PERIPH_ID) as usize / 4].into(),
            // No receive errors happen: RSR is zero.
            _ => 0,
        }
    }

    fn set_register(&mut self, ctx: &mut Ctx<'_>, at: u64, v: u32) {
        match at {
            spec::DR => self.transmit(ctx, v as u8),
            spec::ILPR => self.ilpr = v & 0xff,
            spec::IBRD => self.ibrd = v & 0xffff,
            spec::FBRD => self.fbrd = v & 0x3f,
            spec::LCR_H => self.lcr_h = v & 0xff,
            spec::CR => self.cr = v & spec::CR_WRITABLE,
            spec::IFLS => self.ifls = v & 0x3f,
            spec::IMSC => {
                let before = self.received();
                self.imsc = v & spec::INTS;
                self.rx_grew(ctx, before);
                self.arm_tx(ctx);
            }
            spec::ICR => {
                self.ris &= !v;
                self.arm_rx(ctx);
            }
            spec::DMACR => self.dmacr = v & 7,
            _ => {}
        }
    }
}

impl Device for Pl011 {
    fn read(&mut self, ctx: &mut Ctx<'_>, addr: u64, size: u8) -> u64 {
        self.catch_up(ctx.now);
        let v = read_words(addr, size, |at| self.register(ctx, at));
        self.update(ctx);
        v
    }

    fn write(&mut self, ctx: &mut Ctx<'_>, addr: u64, size: u8, value: u64) {
        self.catch_up(ctx.now);
        write_words(addr, size, value, |at, v| self.set_register(ctx, at, v));
        self.update(ctx);
    }

    fn timer(&mut self, ctx: &mut Ctx<'_>, timer: TimerId) {
        self.catch_up(ctx.now);
        if timer == self.rx_timer && self.received() > 0 {
            self.ris |= spec::INT_RT;
        }
        self.update(ctx);
    }

    fn reset(&mut self) {
        *self = Self::new(self.port, self.line, self.rx_timer);
    }
}
