//! Real guests under torture: state and memory compared at random stops, recordings byte for byte.

use super::common::Script;
use super::compare::{Run, compare};
use super::engines::{Profile, Victim};
use super::{a64, layout};
use dejavm::machine::Machine;
use dejavm::machine::config::{
    Arch, DEFAULT_SHIFT, Image, Images, Kind, LoadedImage, MachineConfig, Role, Rtc, RtcBase, RtcClock,
};
use dejavm::replay::Input;
use dejavm::replay::log::{Header, Recording, Spacing, Writer};
use dejavm::replay::recorder::Recorder;
use dejavm::replay::replayer::{Outcome, Replayer};
use dejavm::replay::runner::Runner;
use dejavm::replay::tape::Tape;
use dejavm_interp::probe::Interest;
use dejavm_oracle::rng::Rng;
use std::io::Write;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A guest that is built, and how far it is run.
pub struct Guest<B> {
    pub name: String,
    config: MachineConfig,
    images: Images,
    stops: Vec<u64>,
    board: PhantomData<fn() -> B>,
}

impl<B: Victim> Run for Guest<B> {
    type Board = B;

    fn machine(&self, engine: Box<B::Engine>) -> Machine<B> {
        let m = B::build(&self.config, &self.images).expect("a guest that boots");
        Machine::new(m.state.board, m.mem, engine, m.state.shift, m.images)
    }
    fn inputs(&self) -> &[(u64, Input)] {
        &[]
    }
    fn stops(&self) -> &[u64] {
        &self.stops
    }
    fn interest(&self) -> Interest {
        if self.config.arch == Arch::Aarch64 { a64::interest() } else { layout::interest() }
    }
    fn wake(&self) -> Input {
        if self.config.arch == Arch::Aarch64 { Input::PowerButton } else { Input::Nmi }
    }
}

/// What a guest is made of.
pub struct Parts<'a> {
    pub machine: Kind,
    pub kernel: PathBuf,
    pub initrd: Option<PathBuf>,
    pub append: &'a str,
    pub cpu: &'a str,
    pub cpus: u32,
    pub memory: u64,
    pub steps: u64,
}

impl<B: Victim> Guest<B> {
    /// A guest from files; `None`, and a word on it, where they are not built.
    pub fn load(parts: &Parts<'_>, seed: u64) -> Option<Self> {
        let (mut images, mut loaded) = (Vec::new(), Vec::new());
        let files = [(Role::Kernel, Some(&parts.kernel)), (Role::Initrd, parts.initrd.as_ref())];
        for (role, path) in files.into_iter().filter_map(|(r, p)| Some((r, p?))) {
            let Ok(bytes) = std::fs::read(path) else {
                let text = format!("torture: {} is missing: guests/build.sh makes it", path.display());
                assert!(std::env::var_os("CI").is_none(), "{text}");
                let _ = writeln!(std::io::stderr(), "{text}; skipped");
                return None;
            };
            let file = path.display().to_string();
            images.push(Image::describe(role, &file, "", &bytes));
            loaded.push(LoadedImage { role, file, args: String::new(), bytes });
        }
        let arch = match parts.machine {
            Kind::Virt(_) => Arch::Aarch64,
            _ if parts.cpu == "qemu32" => Arch::I386,
            _ => Arch::X86_64,
        };
        let config = MachineConfig {
            arch,
            machine: parts.machine,
            cpu: parts.cpu.to_owned(),
            memory: parts.memory,
            smp: parts.cpus,
            images,
            append: parts.append.to_owned(),
            shift: DEFAULT_SHIFT,
            rtc: Rtc { base: RtcBase::Date(0), clock: RtcClock::Vm },
            seed,
            no_reboot: true,
        };
        let rng = &mut Rng::new(seed, 3);
        let mut stops: Vec<u64> = (0..6).map(|n| 1 + (rng.below(parts.steps) >> (2 * n))).collect();
        stops.push(parts.steps);
        stops.sort_unstable();
        let name = format!("{} on {} x {}", parts.kernel.display(), parts.cpus, parts.cpu);
        Some(Self { name, config, images: Images(loaded), stops, board: PhantomData })
    }

    /// Compares states and memory along the way.
    pub fn states(&self, profile: &Profile) -> Result<u64, String> {
        let outcome = compare(self, &Profile::reference(), profile);
        match outcome.difference {
            Some(d) => Err(format!("{}: {}", self.name, d.report)),
            None => Ok(outcome.steps),
        }
    }

    /// Records with a script of inputs on both, compares the bytes, and replays them with switches of the engine.
    pub fn recordings(&self, profile: &Profile, script: &Script) -> Result<usize, String> {
        let (a, b) = (self.record(&Profile::reference(), script), self.record(profile, script));
        let same = a.iter().zip(&b).take_while(|(x, y)| x == y).count();
        if a == b {
            // Switched at other moments than those it was recorded with.
            let other = Profile { seed: profile.seed ^ 0x5a5a, ..profile.switching() };
            replays(&a, &other, |engine| self.machine(engine)).map_err(|e| format!("{}: {e}", self.name))?;
            return Ok(a.len());
        }
        let sizes = (a.len(), b.len());
        Err(format!(
            "{}: recordings of {sizes:?} bytes differ from byte {same} on\nsubject: {profile:?}",
            self.name
        ))
    }

    fn record(&self, profile: &Profile, script: &Script) -> Vec<u8> {
        let spacing = Spacing { steps: 16, memory: 20, idle: None };
        let machine = self.machine(profile.engine::<B>());
        let mut runner = Runner::new(machine, true, Some(spacing));
        let mut bytes = Vec::new();
        let writer =
            Writer::begin(&mut bytes, &Header::new(self.config.clone(), spacing)).expect("memory takes it");
        let mut script = Script { random: script.random.clone(), shown: Vec::new(), ..*script };
        let limit = self.stops.last().copied().unwrap_or(0);
        Recorder::new(&mut runner, &mut script, Some(writer)).run(limit).expect("memory takes it");
        bytes
    }
}

/// Replays a recording of a guest under perturbations: every checkpoint has to hold, to the end.
pub fn replays<B: Victim>(
    bytes: &[u8],
    profile: &Profile,
    machine: impl FnOnce(Box<B::Engine>) -> Machine<B>,
) -> Result<(), String> {
    let recording = Recording::read(bytes).map_err(|e| e.to_string())?;
    let header = &recording.header;
    let runner =
        Runner::new(machine(profile.engine::<B>()), header.machine.no_reboot, Some(header.checkpoints));
    let mut replayer = Replayer::new(runner, Arc::new(Tape::new(&recording)));
    match replayer.run(None, &mut ()) {
        Outcome::End(_) => Ok(()),
        Outcome::Diverged(d) => Err(format!("a replay diverges: {d}\nsubject: {profile:?}")),
        other => Err(format!("a replay ends with {other:?}\nsubject: {profile:?}")),
    }
}

/// A file of the source tree.
pub fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}
