//! Any way through a recording leads to the same states and finds the same things: whatever
//! snapshots there are, however many threads search.
//!
//! With `DEJAVM_LINUX=all` in the environment the Debian kernels' boots are walked through too.
#![allow(clippy::disallowed_methods, reason = "a process is driven and waited for in real time")]

mod common;

use common::{Random, SPACING, Script, config, record};
use dejavm::host::files;
use dejavm::machine::board::Board;
use dejavm::machine::build::{self, EngineKind};
use dejavm::machine::config::{Image, Images, Kind, LoadedImage, MachineConfig, Role};
use dejavm::machine::pc::Pc;
use dejavm::machine::toy::Toy;
use dejavm::replay::digest;
use dejavm::replay::log::{Header, Recording, Writer};
use dejavm::replay::record::Record;
use dejavm::replay::recorder::Recorder;
use dejavm::replay::runner::Runner;
use dejavm::timeline::condition::{Condition, Watched, Why};
use dejavm::timeline::search::{Match, Searched};
use dejavm::timeline::{Make, Options, Timeline};
use dejavm_interp::probe::Vectors;
use std::path::Path;
use std::sync::Arc;

const ENGINES: [EngineKind; 2] = [EngineKind::Jit, EngineKind::Interp];

/// A recording and how to make its machine.
struct Case<B: Board> {
    recording: Arc<Recording>,
    make: Make<B>,
}

impl<B: Board> Case<B> {
    fn timeline(&self, memory: u64, jobs: usize) -> Timeline<B> {
        Timeline::new(self.recording.clone(), self.make.clone(), Options { memory, jobs }).unwrap()
    }

    /// Moments where something came from outside, and random ones.
    fn moments(&self, random: &mut Random, n: usize) -> Vec<u64> {
        let end = self.recording.last().icount;
        let mut all = vec![0, 1, end];
        for record in &self.recording.records {
            if let Record::Input { at, .. } = record {
                all.extend([at.icount.saturating_sub(1), at.icount, (at.icount + 1).min(end)]);
            }
        }
        while all.len() > n {
            all.swap_remove(random.below(all.len() as u64) as usize);
        }
        all.extend((0..n).map(|_| random.below(end + 1)));
        all.sort_unstable();
        all.dedup();
        all
    }
}

fn toy(append: &str, seed: u64) -> Case<Toy> {
    let config = config(append);
    let mut script = Script::new(seed, true, 60);
    let (bytes, _) = record(&config, SPACING, &mut script, 1_000_000);
    let recording = Arc::new(Recording::read(&bytes[..]).unwrap());
    Case { recording, make: Arc::new(move || Toy::build(&config, &Images::default())) }
}

fn demo(smp: usize, seed: u64, engine: EngineKind) -> Case<Pc> {
    let bytes = include_bytes!("../guests/demo/demo.elf");
    let config = MachineConfig {
        machine: Kind::Pc,
        cpu: "max".into(),
        memory: 64 << 20,
        smp: smp as _,
        images: vec![Image::describe(Role::Kernel, "demo", "", bytes)],
        no_reboot: false,
        ..config("")
    };
    let (file, args) = ("demo".to_owned(), String::new());
    let images = Images(vec![LoadedImage { role: Role::Kernel, file, args, bytes: bytes.to_vec() }]);
    let mut log = Vec::new();
    let header = Header::new(config.clone(), SPACING);
    let writer = Writer::begin(&mut log, &header).unwrap();
    let mut runner =
        Runner::new(build::pc(&config, &images, engine).unwrap(), false, Some(header.checkpoints));
    let mut script = Script { rate: 3, ..Script::new(seed, true, 60) };
    Recorder::new(&mut runner, &mut script, Some(writer)).run(1_000_000).unwrap();
    let recording = Arc::new(Recording::read(&log[..]).unwrap());
    Case { recording, make: Arc::new(move || build::pc(&config, &images, engine)) }
}

/// A digest of the whole machine.
fn whole<B: Board>(t: &mut Timeline<B>) -> (u64, u64) {
    let machine = t.machine();
    (digest::of_state(&machine.state), xxhash_rust::xxh3::xxh3_64(machine.mem.bytes()))
}

/// The state of some moments, as one run from the beginning passes them.
fn passed<B: Board>(case: &Case<B>, seed: u64, n: usize) -> Vec<(u64, (u64, u64))> {
    let mut straight = case.timeline(1 << 30, 1);
    let moments = case.moments(&mut Random(seed), n);
    let mut at = |m| {
        assert_eq!(straight.seek(m, &mut ()).unwrap(), Why::Reached);
        (m, whole(&mut straight))
    };
    moments.into_iter().map(&mut at).collect()
}

/// Seeks and steps in thousands, snapshots planted and thinned on the way: each moment is what `expected`
/// says, whichever engine that is from.
fn walk<B: Board>(case: &Case<B>, expected: &[(u64, (u64, u64))], seed: u64, rounds: usize, budgets: &[u64]) {
    let mut random = Random(!seed);
    for &memory in budgets {
        let mut t = case.timeline(memory, 1);
        for round in 0..rounds {
            match random.below(8) {
                0 => t.plant(),
                1..=3 => {
                    let steps = random.below(2000) as i64 - 1000;
                    t.step(steps, &mut ()).unwrap();
                    continue;
                }
                _ => {}
            }
            let (m, digest) = expected[random.below(expected.len() as u64) as usize];
            t.seek(m, &mut ()).unwrap();
            assert_eq!(t.icount(), m);
            assert_eq!(whole(&mut t), digest, "budget {memory}, round {round}, step {m}");
        }
    }
}

/// All matches, found in one run from the beginning.
fn all<B: Board>(t: &mut Timeline<B>, condition: &Condition, from: u64, to: u64) -> Vec<Match> {
    let mut found = Vec::new();
    let why = t.collect(condition, from, to, &mut (), &mut |m| {
        found.push(m);
        true
    });
    assert_eq!(why.unwrap(), Why::Reached);
    found
}

/// Searches in random windows, with random snapshots and numbers of threads, find what one run from
/// the beginning passed.
fn searches<B: Board>(case: &Case<B>, conditions: &[Condition], seed: u64, rounds: usize) {
    let mut random = Random(seed);
    let end = case.recording.last().icount;
    let reference: Vec<Vec<Match>> =
        conditions.iter().map(|c| all(&mut case.timeline(1 << 30, 1), c, 0, end)).collect();
    for (condition, matches) in conditions.iter().zip(&reference) {
        assert!(!matches.is_empty(), "{condition:?} never happens");
    }
    for jobs in [1, 2, 4] {
        let mut t = case.timeline(if jobs == 2 { 4 << 20 } else { 1 << 30 }, jobs);
        for round in 0..rounds {
            let i = random.below(conditions.len() as u64) as usize;
            let (condition, matches) = (&conditions[i], &reference[i]);
            // Borders at hits, beside them, and anywhere.
            let hit = |r: &mut Random| matches[r.below(matches.len() as u64) as usize].icount();
            let border = |r: &mut Random| match r.below(4) {
                0 => hit(r),
                1 => (hit(r) + 1).min(end),
                _ => r.below(end + 1),
            };
            let at = border(&mut random);
            t.seek(at, &mut ()).unwrap();
            if random.below(2) == 0 {
                t.plant();
            }
            let from = if random.below(3) == 0 { 0 } else { border(&mut random).min(at) };
            let inside: Vec<&Match> =
                matches.iter().filter(|m| m.icount() >= from && m.icount() < at).collect();
            let what = format!("{jobs} jobs, round {round}, {condition:?} from {from} to {at}");
            let found = t.last_match(condition, from, at, &mut ()).unwrap();
            let last = inside.last().map_or(Searched::Nothing, |&m| Searched::Found(m.clone()));
            assert_eq!(found, last, "{what}");
            let some = all(&mut t, condition, from, at);
            t.seek(at, &mut ()).unwrap();
            let before = whole(&mut t);
            assert_eq!(some.iter().collect::<Vec<_>>(), inside, "{what}");
            // Forwards from `from` to the first, and back to the last before `at`.
            t.seek(from, &mut ()).unwrap();
            let first = matches.iter().find(|m| m.icount() >= from && !is_breakpoint_at(m, from));
            let why = t.forward(condition, end, &mut ()).unwrap();
            match first {
                Some(first) => {
                    assert_eq!((&why, t.icount()), (&why_of(first), after(first)), "forward, {what}")
                }
                None => assert_eq!((&why, t.icount()), (&Why::Reached, end), "forward, {what}"),
            }
            let (here, there) = (t.icount(), whole(&mut t));
            t.seek(at, &mut ()).unwrap();
            assert_eq!(whole(&mut t), before, "{what}");
            t.seek(here, &mut ()).unwrap();
            assert_eq!(whole(&mut t), there, "a stop forwards is the first moment of its step: {what}");
            t.seek(at, &mut ()).unwrap();
            match (t.backward(condition, from, &mut ()).unwrap(), inside.last()) {
                (why, Some(m)) => assert_eq!((why, t.icount()), (why_of(m), m.icount()), "backward, {what}"),
                (why, None) => {
                    let limit = if from == 0 { Why::Begin } else { Why::Reached };
                    assert_eq!((why, t.icount()), (limit, from), "backward, {what}");
                }
            }
        }
    }
}

fn is_breakpoint_at(m: &Match, icount: u64) -> bool {
    after(m) == icount
}

fn after(m: &Match) -> u64 {
    match m {
        Match::Hit(hit) => hit.after(),
        Match::Console(icount) => icount + 1,
    }
}

fn why_of(m: &Match) -> Why {
    match m {
        Match::Hit(hit) => Why::Hit(*hit),
        Match::Console(icount) => Why::Console(*icount),
    }
}

fn text(text: &[u8]) -> Condition {
    Condition { console: Some((0, text.to_vec())), ..Condition::default() }
}

fn stores(addr: u64, len: u64) -> Condition {
    Condition { memory: vec![Watched { addr, len, read: false, write: true }], ..Condition::default() }
}

#[test]
fn toy_walks() {
    for (seed, append) in [
        (1, "busy=1000 period=60000 say clock"),
        (2, "busy=100000 period=4000 say clock"),
        (3, "busy=300 period=1000"),
        (4, "busy=5000 period=100000 clock"),
    ] {
        let case = toy(append, seed);
        walk(&case, &passed(&case, seed, 40), seed, 120, &[1 << 30, 200_000, 0]);
    }
}

#[test]
fn toy_searches() {
    for (seed, append) in [(5, "busy=1000 period=60000 say clock"), (6, "busy=100000 period=4000 say")] {
        let case = toy(append, seed);
        let letters =
            all(&mut case.timeline(1 << 30, 1), &stores(0, 4 << 20), 0, case.recording.last().icount);
        assert!(letters.len() > 100, "the toy writes");
        let pairs = (b'a'..=b'z').flat_map(|a| (b'a'..=b'z').map(move |b| [a, b]));
        let mut t = case.timeline(1 << 30, 1);
        let end = case.recording.last().icount;
        let mut conditions = vec![stores(0, 1 << 20), stores(0x1000, 0x8000), stores(0, 4 << 20)];
        for pair in pairs.take(400) {
            if all(&mut t, &text(&pair), 0, end).len() > 1 {
                conditions.push(text(&pair));
                conditions.push(Condition { console: Some((0, pair.to_vec())), ..stores(0x2000, 0x20000) });
                break;
            }
        }
        assert_eq!(conditions.len(), 5, "some pair of letters comes twice");
        searches(&case, &conditions, seed, 20);
    }
}

#[test]
fn demo_walks() {
    for smp in [1, 2] {
        let [jit, interp] = ENGINES.map(|engine| demo(smp, 7, engine));
        let expected = passed(&interp, 9, 12);
        walk(&jit, &expected, 9, 60, &[1 << 30, 1 << 20]);
        walk(&interp, &expected, 10, 20, &[1 << 20]);
    }
}

#[test]
fn demo_searches() {
    for smp in [1, 2] {
        let case = demo(smp, 8, EngineKind::default());
        let end = case.recording.last().icount;
        let mut t = case.timeline(1 << 30, 1);
        let mut conditions = vec![
            Condition { interrupts: Vectors::ALL, ..Condition::default() },
            Condition { ports: vec![(0x3f8, 0x3ff)], ..Condition::default() },
            text(b"e"),
            text(b" "),
        ];
        let mut random = Random(4);
        for _ in 0..4 {
            t.seek(random.below(end), &mut ()).unwrap();
            let cpu = &t.machine().state.board.cpus()[0];
            let (pc, sp) = (cpu.linear_pc(), cpu.regs[4]);
            conditions.push(Condition { execute: vec![pc], ..Condition::default() });
            let machine = t.machine();
            let stack = machine.state.board.translate(0, &machine.mem, sp).unwrap_or(sp);
            let watched = Watched { addr: stack & !7, len: 8, read: true, write: true };
            conditions.push(Condition { memory: vec![watched], execute: vec![pc], ..Condition::default() });
        }
        conditions.retain(|c| !all(&mut t, c, 0, end).is_empty());
        assert!(conditions.len() > 5, "{conditions:?}");
        searches(&case, &conditions, 11 + smp as u64, 6);
    }
}

#[test]
fn linux_walks_and_searches() {
    if std::env::var("DEJAVM_LINUX").as_deref() != Ok("all") {
        eprintln!("timeline over Linux: only with DEJAVM_LINUX=all; skipped");
        return;
    }
    for (name, arch) in [("amd64", "x86_64"), ("i386", "i386")] {
        let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("guests/build").join(name);
        let [kernel, initrd] = ["vmlinuz", "initrd.img"].map(|f| built.join(f).to_str().unwrap().to_owned());
        let file = std::env::temp_dir().join(format!("dejavm-timeline-{name}-{}.dvm", std::process::id()));
        let status = std::process::Command::new(env!("CARGO_BIN_EXE_dejavm"))
            .args(["record", "--arch", arch, "--kernel", &kernel, "--initrd", &initrd, "--memory", "256M"])
            .args(["--append", "console=ttyS0 dejavm.run=boot", "--serial", "none", "-o"])
            .arg(&file)
            .status()
            .unwrap();
        assert!(status.success(), "recording {name}");
        let recording =
            Recording::read(std::io::BufReader::new(std::fs::File::open(&file).unwrap())).unwrap();
        let config = recording.header.machine.clone();
        let images = files::find(&config, &recording.images, &file, None).unwrap();
        std::fs::remove_file(&file).unwrap();
        let (recording, images) = (Arc::new(recording), Arc::new(images));
        let [case, interp] = ENGINES.map(|engine| {
            let (config, images) = (config.clone(), images.clone());
            let make: Make<Pc> = Arc::new(move || build::pc(&config, &images, engine));
            Case { recording: recording.clone(), make }
        });
        let expected = passed(&case, 21, 12);
        say(name, "walks");
        walk(&case, &expected, 21, 500, &[1 << 30, 64 << 20]);
        say(name, "walks, interpreted");
        walk(&interp, &expected, 22, 100, &[1 << 30]);
        say(name, "searches");
        let mut exceptions = Vectors::default();
        exceptions.insert(14);
        let conditions = [
            text(b"Linux version"),
            text(b"\r\n"),
            stores(0x100_0000, 8),
            Condition { exceptions, ..Condition::default() },
            Condition { ports: vec![(0x70, 0x71)], ..Condition::default() },
        ];
        searches(&case, &conditions, 22, 1);
    }
}

/// How far a long test is.
fn say(guest: &str, what: &str) {
    eprintln!("timeline: {guest}: {what}");
}
