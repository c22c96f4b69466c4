//! The live world for a recorder.
#![allow(clippy::disallowed_methods, reason = "the host's events come over a channel with time-outs")]

use super::clock::{RtcSource, Stopwatch};
use super::console::{self, HELP, HostEvent, RawMode};
use super::sink::Sinks;
use crate::machine::time::VirtNs;
use crate::replay::Output;
use crate::replay::recorder::{Live, Outside};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// Real time that the machine may lag behind before pacing starts afresh.
const LAG: u64 = 100_000_000;

/// Where the console's input comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// From standard input if that is a terminal, else from nowhere.
    Terminal,
    /// From standard input, whatever it is.
    Stdin,
    /// From nowhere.
    None,
}

/// Terminal, signals and clocks of the host.
#[derive(Debug)]
pub struct Host {
    events: Receiver<HostEvent>,
    /// An event that ended a sleep.
    next: Option<HostEvent>,
    live: bool,
    rtc: RtcSource,
    sinks: Sinks,
    watch: Stopwatch,
    /// A moment of real time, and the virtual moment that goes with it.
    anchor: Option<(u64, VirtNs)>,
    raw: Option<RawMode>,
}

impl Host {
    /// The host's console and clocks; `rtc` is the date that the real-time clock starts from.
    ///
    /// # Errors
    /// When signals cannot be caught.
    pub fn new(input: Input, rtc: Option<u64>, sinks: Sinks) -> std::io::Result<Self> {
        let (sender, events) = channel();
        console::catch_signals(sender.clone())?;
        let raw = if input == Input::None { None } else { RawMode::enter() };
        let live = raw.is_some() || input == Input::Stdin;
        if live {
            console::read_stdin(raw.is_some(), sender);
        }
        let (rtc, watch) = (RtcSource::new(rtc), Stopwatch::start());
        Ok(Self { events, next: None, live, rtc, sinks, watch, anchor: None, raw })
    }

    fn take(&mut self, event: HostEvent) -> Option<Live> {
        match event {
            HostEvent::Bytes(bytes) => Some(Live::Serial { port: 0, bytes }),
            HostEvent::Quit => Some(Live::Quit),
            HostEvent::Interrupt => Some(Live::Interrupt),
            HostEvent::Help => {
                if self.raw.is_some() {
                    eprint!("{HELP}");
                }
                None
            }
            HostEvent::Eof => {
                self.live = false;
                None
            }
        }
    }
}

impl Outside for Host {
    fn poll(&mut self) -> Option<Live> {
        loop {
            let event = match self.next.take() {
                Some(event) => event,
                None => self.events.try_recv().ok()?,
            };
            if let Some(live) = self.take(event) {
                return Some(live);
            }
        }
    }

    fn live(&self) -> bool {
        self.live
    }

    fn sleep(&mut self, now: VirtNs, ns: Option<u64>) -> u64 {
        let real = self.watch.ns();
        // Where real time is on the virtual clock, if the machine kept up; at most a little behind.
        let (anchor_real, anchor_virtual) = match self.anchor {
            Some((r, v)) if (real - r).abs_diff(now.since(v)) <= LAG => (r, v),
            _ => (real, now),
        };
        self.anchor = Some((anchor_real, anchor_virtual));
        let passed = |real: u64| anchor_virtual.plus(real - anchor_real).since(now);
        let wait = ns.map(|ns| ns.saturating_sub(passed(real)));
        let received = match wait {
            Some(0) => self.events.try_recv().map_err(|_| RecvTimeoutError::Timeout),
            // Never longer than the deadline, even when the machine is ahead of real time.
            Some(wait) => self.events.recv_timeout(Duration::from_nanos(wait.min(ns.unwrap_or(wait)))),
            None => self.events.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match received {
            Ok(event) => {
                self.next = Some(event);
                ns.map_or_else(|| passed(self.watch.ns()), |ns| passed(self.watch.ns()).min(ns))
            }
            Err(RecvTimeoutError::Timeout) => ns.unwrap_or(0),
            Err(RecvTimeoutError::Disconnected) => {
                self.live = false;
                0
            }
        }
    }

    fn host_clock(&mut self) -> u64 {
        self.rtc.now()
    }

    fn output(&mut self, output: &Output) {
        self.sinks.put(output);
    }

    fn flush(&mut self) {
        self.sinks.flush();
    }
}
