//! The demo guest with somebody who types, recorded: what tests and benches move in.

use super::{Make, Options, Timeline};
use crate::machine::build::{self, EngineKind};
use crate::machine::config::{
    Arch, DEFAULT_SHIFT, Image, Images, Kind, LoadedImage, MachineConfig, Role, Rtc, RtcBase, RtcClock,
};
use crate::machine::pc::Pc;
use crate::machine::time::VirtNs;
use crate::replay::Output;
use crate::replay::log::{Header, Recording, Spacing, Writer};
use crate::replay::recorder::{Live, Outside, Recorder};
use crate::replay::runner::Runner;
use std::sync::Arc;

/// The guest: see guests/demo.
const GUEST: &[u8] = include_bytes!("../../guests/demo/demo.elf");

/// What is typed, and how many bytes the guest has printed then.
pub const LINES: [(usize, &[u8]); 3] = [(40, b"hello\n"), (400, b"world\n"), (900, b"\n")];

/// Types lines when the guest has printed so many bytes.
struct Typist<'a> {
    printed: usize,
    lines: &'a [(usize, &'a [u8])],
}

impl Outside for Typist<'_> {
    fn poll(&mut self) -> Option<Live> {
        let (&(at, line), rest) = self.lines.split_first()?;
        if self.printed < at {
            return None;
        }
        self.lines = rest;
        Some(Live::Serial { port: 0, bytes: line.to_vec() })
    }

    fn live(&self) -> bool {
        false
    }

    fn sleep(&mut self, _now: VirtNs, ns: Option<u64>) -> u64 {
        ns.unwrap_or(0)
    }

    fn host_clock(&mut self) -> u64 {
        1_700_000_000_000_000_000 + self.printed as u64
    }

    fn output(&mut self, _output: &Output) {
        self.printed += 1;
    }
}

/// A recording of the demo guest.
#[derive(Debug)]
pub struct Demo {
    config: MachineConfig,
    images: Images,
    /// Its bytes.
    pub log: Vec<u8>,
}

impl Demo {
    /// Records the guest, at most so many steps, with lines as in [`LINES`]. `file` is the guest's
    /// name in the recording.
    pub fn record(file: &str, lines: &[(usize, &[u8])], max: u64) -> Self {
        let config = MachineConfig {
            arch: Arch::X86_64,
            machine: Kind::Pc,
            cpu: "max".into(),
            memory: 64 << 20,
            smp: 1,
            images: vec![Image::describe(Role::Kernel, file, "", GUEST)],
            append: String::new(),
            shift: DEFAULT_SHIFT,
            rtc: Rtc { base: RtcBase::Date(0), clock: RtcClock::Host },
            seed: 5,
            no_reboot: true,
        };
        let (file, args) = (file.to_owned(), String::new());
        let images = Images(vec![LoadedImage { role: Role::Kernel, file, args, bytes: GUEST.to_vec() }]);
        let mut log = Vec::new();
        let header = Header::new(config.clone(), Spacing { steps: 20, memory: 22, idle: None });
        let ours = "the guest is our own, and memory can be written to";
        let writer = Writer::begin(&mut log, &header).unwrap_or_else(|e| unreachable!("{ours}: {e}"));
        let machine = build::pc(&config, &images, EngineKind::default());
        let machine = machine.unwrap_or_else(|e| unreachable!("{ours}: {e}"));
        let mut runner = Runner::new(machine, config.no_reboot, Some(header.checkpoints));
        let mut typist = Typist { printed: 0, lines };
        let recorded = Recorder::new(&mut runner, &mut typist, Some(writer)).run(max);
        recorded.unwrap_or_else(|e| unreachable!("{ours}: {e}"));
        Self { config, images, log }
    }

    /// The recording, as read back.
    pub fn recording(&self) -> Arc<Recording> {
        let recording = Recording::read(&self.log[..]);
        Arc::new(recording.unwrap_or_else(|e| unreachable!("it was just written: {e}")))
    }

    /// What makes its machine.
    pub fn make(&self) -> Make<Pc> {
        let (config, images) = (self.config.clone(), self.images.clone());
        Arc::new(move || build::pc(&config, &images, EngineKind::default()))
    }

    /// A timeline of it.
    pub fn timeline(&self) -> Timeline<Pc> {
        let timeline = Timeline::new(self.recording(), self.make(), Options::default());
        timeline.unwrap_or_else(|e| unreachable!("the guest is our own: {e}"))
    }
}
