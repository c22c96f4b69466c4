//! A scripted live world and recordings of the toy board.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use dejavm::machine::config::{Arch, Images, Kind, MachineConfig, Rtc, RtcBase, RtcClock};
use dejavm::machine::time::VirtNs;
use dejavm::machine::toy::Toy;
use dejavm::replay::log::{Header, Recording, Spacing, Writer};
use dejavm::replay::recorder::{Ended, Live, Outside, Recorder};
use dejavm::replay::replayer::{Outcome, Replayer, Watcher};
use dejavm::replay::runner::Runner;
use dejavm::replay::tape::Tape;
use dejavm::replay::{Input, Output};
use std::sync::Arc;

/// A small generator of numbers that are the same in every run.
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// A number below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let x = (self.0 ^ (self.0 >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (x ^ (x >> 32)) % n
    }
}

/// A live world that acts at random, but the same way for the same seed.
#[derive(Debug)]
pub struct Script {
    pub random: Random,
    pub live: bool,
    pub clock: u64,
    /// Events that are still to come.
    pub left: u64,
    /// One event in so many looks.
    pub rate: u64,
    pub shown: Vec<u8>,
}

impl Script {
    pub fn new(seed: u64, live: bool, left: u64) -> Self {
        Self {
            random: Random(seed),
            live,
            clock: 1_700_000_000_000_000_000,
            left,
            rate: 4,
            shown: Vec::new(),
        }
    }

    /// No events, idle time skipped.
    pub fn quiet() -> Self {
        Self::new(0, false, 0)
    }

    fn event(&mut self) -> Option<Live> {
        self.left = self.left.checked_sub(1)?;
        if self.left == 0 {
            return Some(Live::Quit);
        }
        let r = &mut self.random;
        Some(match r.below(12) {
            0..=5 => {
                let text = b"hello, world! t 0123456789 abc t t def t pqr ";
                // Without q; r resets the toy, which the text has at its end.
                let n = 1 + r.below(40) as usize;
                let bytes = text[..n].iter().map(|&b| if b == b'q' { b'-' } else { b });
                Live::Serial { port: 0, bytes: bytes.collect() }
            }
            6 => Live::Input(Input::Key { code: r.below(256) as u16, down: r.below(2) == 0 }),
            7 => {
                let mut v = || r.below(2001) as i32 - 1000;
                let (dx, dy, wheel) = (v(), v(), v());
                Live::Input(Input::Pointer { dx, dy, wheel, buttons: 1 })
            }
            8 => Live::Input(Input::Nmi),
            9 => Live::Input(Input::Reset),
            10 => Live::Serial { port: 0, bytes: b"t".to_vec() },
            _ => Live::Serial { port: 0, bytes: vec![b'x' - 1; 100] },
        })
    }
}

impl Outside for Script {
    fn poll(&mut self) -> Option<Live> {
        if self.left > 0 && self.random.below(self.rate) == 0 { self.event() } else { None }
    }

    fn live(&self) -> bool {
        self.live
    }

    fn sleep(&mut self, _now: VirtNs, ns: Option<u64>) -> u64 {
        let ns = ns.unwrap_or(50_000_000);
        match self.random.below(4) {
            0 => 0,
            1 => self.random.below(ns + 1),
            _ => ns,
        }
    }

    fn host_clock(&mut self) -> u64 {
        // Now and then it steps back, as real ones do.
        self.clock = self.clock.wrapping_add(self.random.below(1_000_000)).wrapping_sub(1000);
        self.clock
    }

    fn output(&mut self, output: &Output) {
        if let Output::Serial { byte, .. } = output {
            self.shown.push(*byte);
        }
    }
}

/// A toy machine.
pub fn config(append: &str) -> MachineConfig {
    MachineConfig {
        arch: Arch::X86_64,
        machine: Kind::Toy,
        cpu: "qemu64".to_owned(),
        memory: 4 << 20,
        smp: 1,
        images: Vec::new(),
        append: append.to_owned(),
        shift: 3,
        rtc: Rtc { base: RtcBase::Utc, clock: RtcClock::Host },
        seed: 42,
        no_reboot: false,
    }
}

/// Small intervals, so that short runs have many checkpoints.
pub const SPACING: Spacing = Spacing { steps: 16, memory: 18, idle: Some(24) };

/// Records a toy.
pub fn record(config: &MachineConfig, spacing: Spacing, script: &mut Script, max: u64) -> (Vec<u8>, Ended) {
    let machine = Toy::build(config, &Images::default()).unwrap();
    let mut runner = Runner::new(machine, config.no_reboot, Some(spacing));
    let mut bytes = Vec::new();
    let log = Writer::begin(&mut bytes, &Header::new(config.clone(), spacing)).unwrap();
    let ended = Recorder::new(&mut runner, script, Some(log)).run(max).unwrap();
    (bytes, ended)
}

/// What a replay printed.
#[derive(Debug, Default)]
pub struct Shown(pub Vec<u8>);

impl Watcher for Shown {
    fn output(&mut self, _icount: u64, output: &Output) {
        if let Output::Serial { byte, .. } = output {
            self.0.push(*byte);
        }
    }
}

/// Replays a recording of a toy; returns the outcome, what was printed and the last step.
pub fn replay(recording: &Recording, to: Option<u64>) -> (Outcome, Vec<u8>, u64) {
    let config = &recording.header.machine;
    let machine = Toy::build(config, &Images::default()).unwrap();
    let runner = Runner::new(machine, config.no_reboot, Some(recording.header.checkpoints));
    let mut shown = Shown::default();
    let mut replayer = Replayer::new(runner, Arc::new(Tape::new(recording)));
    let outcome = replayer.run(to, &mut shown);
    (outcome, shown.0, replayer.runner.at().icount)
}
