//! How fast one moves in a recording: prints a table.
//!
//! `DEJAVM_RECORDING=FILE cargo bench --bench timeline` measures a recording of one's own, made
//! where its images still are; by default the demo guest is recorded first. `DEJAVM_JOBS` sets the
//! threads of the parallel search, `DEJAVM_SNAPSHOT_MEMORY` the mebibytes of snapshots.
#![allow(missing_docs, reason = "a program")]

use dejavm::host::clock::Stopwatch;
use dejavm::host::files;
use dejavm::machine::build::{self, EngineKind};
use dejavm::machine::pc::Pc;
use dejavm::replay::log::Recording;
use dejavm::replay::replayer::Replayer;
use dejavm::replay::runner::Runner;
use dejavm::replay::tape::Tape;
use dejavm::timeline::condition::{Condition, Watched};
use dejavm::timeline::demo::Demo;
use dejavm::timeline::search::Searched;
use dejavm::timeline::{Make, Options, Timeline};
use std::path::Path;
use std::sync::Arc;

fn opened(path: &str) -> (Arc<Recording>, Make<Pc>) {
    let file = std::fs::File::open(path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let recording = Recording::read(std::io::BufReader::new(file)).unwrap_or_else(|e| panic!("{path}: {e}"));
    let config = recording.header.machine.clone();
    let images = files::find(&config, &recording.images, Path::new(path), None);
    let images = images.unwrap_or_else(|e| panic!("{path}: {e}"));
    (Arc::new(recording), Arc::new(move || build::pc(&config, &images, EngineKind::default())))
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 16) % n.max(1)
    }
}

/// Median, 99th percentile and most of some times, in milliseconds.
fn times(what: &str, mut ns: Vec<u64>) {
    ns.sort_unstable();
    let at = |q: usize| ns[(ns.len() * q / 100).min(ns.len() - 1)] as f64 / 1e6;
    println!("{what:<44} median {:>9.3} ms   99% {:>9.3} ms   most {:>9.3} ms", at(50), at(99), at(100));
}

fn timed<T>(f: impl FnOnce() -> T) -> (u64, T) {
    let watch = Stopwatch::start();
    let value = f();
    (watch.ns(), value)
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

fn main() {
    let path = std::env::var("DEJAVM_RECORDING");
    let (recording, make) = path.map_or_else(
        |_| {
            let demo = Demo::record("demo", &[], 1 << 28);
            (demo.recording(), demo.make())
        },
        |path| opened(&path),
    );
    let jobs = number("DEJAVM_JOBS", std::thread::available_parallelism().map_or(1, |n| n.get() as u64));
    let memory = number("DEJAVM_SNAPSHOT_MEMORY", 1024) << 20;
    let options = |jobs: u64| Options { memory, jobs: jobs as usize };
    let new = |jobs| Timeline::new(recording.clone(), make.clone(), options(jobs)).expect("it can be built");

    // A plain replay, without the digest of memory, as the timeline's.
    let header = &recording.header;
    let machine = make().expect("it can be built");
    let runner = Runner::without_memory(machine, header.machine.no_reboot, Some(header.checkpoints));
    let mut replayer = Replayer::new(runner, Arc::new(Tape::new(&recording)));
    let end = recording.last().icount;
    let (replay, _) = timed(|| replayer.run(Some(end), &mut ()));
    drop(replayer);
    let seconds = |ns: u64| ns as f64 / 1e9;
    println!("{:<44} {end} steps", "recording");
    println!(
        "{:<44} {:>9.3} s ({:.1} million steps a second)",
        "plain replay",
        seconds(replay),
        end as f64 * 1e3 / replay as f64
    );
    let against = |what: &str, ns: u64| {
        println!("{what:<44} {:>9.3} s ({:.2} times a plain replay)", seconds(ns), ns as f64 / replay as f64);
    };

    // A breakpoint that never hits makes the search run everything.
    let never = Condition { execute: vec![0xdead_beef_0000], ..Condition::default() };
    let nothing = |t: &mut Timeline<Pc>| {
        let found = t.last_match(&never, 0, end, &mut ()).expect("the recording replays");
        assert_eq!(found, Searched::Nothing);
    };
    let mut t = new(1);
    against("full backward search, 1 job, no snapshots", timed(|| nothing(&mut t)).0);
    against("full backward search, 1 job, with them", timed(|| nothing(&mut t)).0);
    drop(t);
    let mut t = new(jobs);
    against("forward to the end, planting", timed(|| t.seek(end, &mut ()).expect("it replays")).0);
    let (number_of, bytes) = t.snapshots();
    println!("{:<44} {number_of} of {} MiB", "snapshots", bytes >> 20);
    let what = format!("full backward search, {jobs} jobs, with them");
    against(&what, timed(|| nothing(&mut t)).0);
    against(&format!("{what}, again"), timed(|| nothing(&mut t)).0);

    let mut random = Random(3);
    let back = |t: &mut Timeline<Pc>, n: u64| {
        let mut one = || timed(|| t.step(-1, &mut ()).expect("it replays")).0;
        (0..n).map(|_| one()).collect::<Vec<_>>()
    };
    let mut cold = Vec::new();
    let mut first = Vec::new();
    let mut repeated = Vec::new();
    for _ in 0..20 {
        let to = random.below(end);
        cold.push(timed(|| t.seek(to, &mut ()).expect("it replays")).0);
        first.extend(back(&mut t, 1));
        repeated.extend(back(&mut t, 500));
    }
    times("cold seek anywhere", cold);
    times("first step back there", first);
    times("500 steps back there, each", repeated);
    let mut plants = Vec::new();
    for _ in 0..100 {
        t.step(1000, &mut ()).expect("it replays");
        plants.push(timed(|| t.plant()).0);
    }
    times("plant after 1000 steps", plants);

    // The last writer of what lies at random places of RAM that were written.
    let ram = t.machine().mem.size();
    let mut writes = Vec::new();
    while writes.len() < 20 {
        let addr = random.below(ram) & !7;
        if t.machine().mem.value(addr, 8) == 0 {
            continue;
        }
        let watched = vec![Watched { addr, len: 8, read: false, write: true }];
        let condition = Condition { memory: watched, ..Condition::default() };
        let here = t.icount();
        writes.push(timed(|| t.last_match(&condition, 0, here, &mut ()).expect("it replays")).0);
    }
    times("last write of 8 bytes anywhere", writes);
    let text = Condition { console: Some((0, b"no such text".to_vec())), ..Condition::default() };
    against(
        "last text that is nowhere",
        timed(|| t.last_match(&text, 0, end, &mut ()).expect("it replays")).0,
    );
}
