//! The demo guest, recorded with input, and the toy.

use dejavm::debug::expr::Scope;
use dejavm::debug::query::{Ask, Context, Found, QueryError, Row, answer};
use dejavm::debug::symbols::Symbols;
use dejavm::machine::board::Board;
use dejavm::machine::build::{self, EngineKind};
use dejavm::machine::config::{
    Arch, DEFAULT_SHIFT, Image, Images, Kind, LoadedImage, MachineConfig, Role, Rtc, RtcBase, RtcClock,
};
use dejavm::machine::pc::Pc;
use dejavm::machine::time::VirtNs;
use dejavm::replay::Output;
use dejavm::replay::log::{Header, Recording, Spacing, Writer};
use dejavm::replay::recorder::{Live, Outside, Recorder};
use dejavm::replay::runner::Runner;
use dejavm::timeline::{Control, Options, Timeline};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

/// Types a line when the guest has printed this many bytes.
struct Typist {
    printed: usize,
    lines: Vec<(usize, &'static [u8])>,
}

impl Outside for Typist {
    fn poll(&mut self) -> Option<Live> {
        let &(at, line) = self.lines.first()?;
        if self.printed < at {
            return None;
        }
        self.lines.remove(0);
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

pub const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/guests/demo/demo.elf");

fn parts() -> (MachineConfig, Images) {
    let bytes = std::fs::read(DEMO).unwrap();
    let config = MachineConfig {
        arch: Arch::X86_64,
        machine: Kind::Pc,
        cpu: "max".into(),
        memory: 64 << 20,
        smp: 1,
        images: vec![Image::describe(Role::Kernel, DEMO, "", &bytes)],
        append: String::new(),
        shift: DEFAULT_SHIFT,
        rtc: Rtc { base: RtcBase::Date(0), clock: RtcClock::Host },
        seed: 5,
        no_reboot: true,
    };
    let (file, args) = (DEMO.to_owned(), String::new());
    (config, Images(vec![LoadedImage { role: Role::Kernel, file, args, bytes }]))
}

/// The bytes of a recording of the demo guest.
pub fn recorded() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| {
        let (config, images) = parts();
        let mut log = Vec::new();
        let header = Header::new(config.clone(), Spacing { steps: 20, memory: 30, idle: None });
        let writer = Writer::begin(&mut log, &header).unwrap();
        let mut runner = Runner::new(
            build::pc(&config, &images, EngineKind::default()).unwrap(),
            true,
            Some(header.checkpoints),
        );
        let lines: Vec<(usize, &[u8])> = vec![(40, b"hello\n"), (400, b"world\n"), (900, b"\n")];
        let mut typist = Typist { printed: 0, lines };
        Recorder::new(&mut runner, &mut typist, Some(writer)).run(u64::MAX).unwrap();
        log
    })
}

/// A timeline of it.
pub fn demo() -> Timeline<Pc> {
    let recording = Arc::new(Recording::read(recorded()).unwrap());
    let (config, images) = parts();
    Timeline::new(
        recording,
        Arc::new(move || build::pc(&config, &images, EngineKind::default())),
        Options::default(),
    )
    .unwrap()
}

#[derive(Debug, clap::Parser)]
#[command(no_binary_name = true)]
struct Line {
    #[command(flatten)]
    ask: Ask,
}

/// Asks in the words of the command line.
pub fn try_ask<B: Board>(
    t: &mut Timeline<B>,
    line: &str,
    control: &mut dyn Control,
) -> Result<(Vec<Row>, Found), QueryError> {
    let words = line.split_whitespace();
    let ask =
        <Line as clap::Parser>::try_parse_from(words).map_err(|e| QueryError::Wrong(e.to_string()))?.ask;
    let symbols = Symbols::default();
    let scope = Scope { symbols: &symbols, register: None };
    let mut rows = Vec::new();
    let found = answer(t, &ask, Context { scope, now: None }, control, &mut |row| {
        rows.push(row.clone());
        true
    })?;
    assert_eq!(found.rows, rows.len() as u64);
    Ok((rows, found))
}

pub fn ask<B: Board>(t: &mut Timeline<B>, line: &str) -> Vec<Row> {
    try_ask(t, line, &mut ()).unwrap_or_else(|e| panic!("{line}: {e}")).0
}

/// A folder that goes away with the test.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("dejavm-query-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn file(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }

    pub fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
