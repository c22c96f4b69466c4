//! The torture harness: random guests and real ones on every engine, with everything done to the
//! engines that no guest may notice, compared with the plain interpreter.
//!
//! `cargo test --release --test torture` runs about a minute, the same programs each time. By hand:
//! `DEJAVM_TORTURE=30 cargo test --release --test torture -- --nocapture` runs for about 30 minutes, other
//! programs each time: real guests in the first part, random programs to the end. A failure prints its seed;
//! `DEJAVM_TORTURE_SEED=SEED` runs that one.

mod common;

#[path = "torture/a64.rs"]
mod a64;
#[path = "torture/a64_kernel.rs"]
mod a64_kernel;
#[path = "torture/chunks.rs"]
mod chunks;
#[path = "torture/code.rs"]
mod code;
#[path = "torture/compare.rs"]
mod compare;
#[path = "torture/engines.rs"]
mod engines;
#[path = "torture/guests.rs"]
mod guests;
#[path = "torture/handlers.rs"]
mod handlers;
#[path = "torture/instructions.rs"]
mod instructions;
#[path = "torture/layout.rs"]
mod layout;
#[path = "torture/program.rs"]
mod program;
#[path = "../jit/tests/differential/words.rs"]
mod words;

use a64::A64Guest;
use compare::{Outcome, Run, compare};
use dejavm::debug::intervals;
use dejavm::debug::lockstep::{Lockstep, Setup, Window};
use dejavm::host::files;
use dejavm::machine::Machine;
use dejavm::machine::board::Board;
use dejavm::machine::build::{self, EngineKind};
use dejavm::machine::config::{Kind, VirtOptions};
use dejavm::machine::pc::Pc;
use dejavm::machine::virt::Virt;
use dejavm::replay::Input;
use dejavm::timeline::Make;
use dejavm_interp::probe::Interest;
use engines::{Fault, Profile, Victim};
use guests::{Guest, Parts};
use instructions::Instructions;
use program::Program;
use rayon::prelude::*;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

/// Programs of a run in CI.
const PROGRAMS: u64 = if cfg!(debug_assertions) { 40 } else { 640 };

impl Run for Program {
    type Board = Pc;

    fn machine(&self, engine: Box<<Pc as Board>::Engine>) -> Machine<Pc> {
        Program::machine(self, engine)
    }
    fn inputs(&self) -> &[(u64, Input)] {
        &self.inputs
    }
    fn stops(&self) -> &[u64] {
        &self.stops
    }
    fn interest(&self) -> Interest {
        layout::interest()
    }
    fn wake(&self) -> Input {
        Input::Nmi
    }
    fn counts(&self) -> Range<usize> {
        let at = layout::COUNTS as usize;
        at..at + 4 * layout::VECTORS as usize
    }
}

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    let number = match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    };
    Some(number.unwrap_or_else(|| panic!("{name}={text}: not a number")))
}

/// One random program; the report of what is wrong. `test`: which test runs it alone.
fn one<R: Run>(run: &R, seed: u64, test: &str, what: &str) -> Result<Outcome, String> {
    let mut outcome = compare(run, &Profile::reference(), &Profile::random(seed));
    match outcome.difference.take() {
        None => Ok(outcome),
        Some(d) => Err(format!(
            "\nDEJAVM_TORTURE_SEED={seed} cargo test --release --test torture {test} -- --nocapture\n{what}: {}",
            d.report
        )),
    }
}

#[test]
fn random_programs() {
    let instructions = Instructions::new();
    eprintln!("torture: {} forms of instructions", instructions.len());
    campaign(|seed| {
        let program = Program::new(&instructions, seed);
        let what = format!("{:?}, {} CPUs", program.kind, program.cpus);
        one(&program, seed, "random_programs", &what)
    });
}

#[test]
fn random_a64_programs() {
    campaign(|seed| {
        let guest = A64Guest::new(seed);
        let what = format!("{:?}, {} CPUs", guest.gic, guest.cpus);
        one(&guest, seed, "random_a64_programs", &what)
    });
}

/// True when this part of `DEJAVM_TORTURE`'s minutes is over, in per cent; false without it.
#[allow(clippy::disallowed_methods, reason = "the run is limited in real time")]
fn over(part: u64) -> bool {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    let elapsed = START.elapsed();
    variable("DEJAVM_TORTURE").is_some_and(|m| elapsed * 100 >= Duration::from_secs(60 * m * part))
}

/// Seeds for what is repeated until this part of the minutes is over, and the number of each. Without a time, and with
/// a given seed, there is one.
fn rounds(part: u64) -> impl Iterator<Item = (u64, u64)> {
    let limited = variable("DEJAVM_TORTURE").is_some();
    let first = match variable("DEJAVM_TORTURE_SEED") {
        None if limited => u64::from(std::process::id()) << 16,
        seed => seed.unwrap_or(1),
    };
    let repeated = limited && variable("DEJAVM_TORTURE_SEED").is_none();
    (0..).take_while(move |n| *n == 0 || repeated && !over(part)).map(move |n| (n, first + n))
}

/// Random programs, a given number of them or for a given time.
#[allow(clippy::disallowed_methods, reason = "the run's time is told")]
fn campaign(one: impl Fn(u64) -> Result<Outcome, String> + Sync) {
    if let Some(seed) = variable("DEJAVM_TORTURE_SEED") {
        let outcome = one(seed).unwrap_or_else(|e| panic!("{e}"));
        eprintln!("torture: seed {seed}: {} steps, {:?}: no difference", outcome.steps, outcome.ended);
        return;
    }
    let (start, minutes) = (Instant::now(), variable("DEJAVM_TORTURE"));
    let first = match minutes {
        None => 1,
        Some(_) => std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(1, |d| d.as_secs() << 16),
    };
    let failures = AtomicUsize::new(0);
    let mut counts = vec![0u64; 0x100];
    let (mut steps, mut programs, mut ended) = (0, 0, std::collections::BTreeMap::new());
    for batch in 0.. {
        let size = 64;
        let done = minutes.is_none() && batch * size >= PROGRAMS;
        if done || over(100) || failures.load(Ordering::Relaxed) > 3 {
            break;
        }
        let seeds = first + batch * size..first + (batch + 1) * size;
        // A batch may take minutes: the time is looked at before each program.
        let outcomes: Vec<_> =
            seeds.into_par_iter().filter_map(|seed| (!over(100)).then(|| one(seed))).collect();
        for outcome in outcomes {
            match outcome {
                Ok(o) => {
                    steps += o.steps;
                    programs += 1;
                    // Unless the guest wrote over its counters.
                    if o.counts.iter().map(|n| u64::from(*n)).sum::<u64>() < o.steps {
                        counts.iter_mut().zip(&o.counts).for_each(|(c, n)| *c += u64::from(*n));
                    }
                    *ended.entry(o.ended.unwrap_or_default()).or_insert(0) += 1;
                }
                Err(report) => {
                    failures.fetch_add(1, Ordering::Relaxed);
                    eprintln!("{report}");
                }
            }
        }
    }
    let vectors: Vec<_> = counts.iter().enumerate().filter(|c| *c.1 > 0).collect();
    eprintln!("torture: {programs} programs from seed {first}, {steps} steps, {:?}", start.elapsed());
    eprintln!("torture: ends {ended:?}; vectors {vectors:?}");
    assert_eq!(failures.into_inner(), 0, "programs differ between engines");
}

/// The bare-metal guests: all of them, and one with two CPUs.
#[test]
fn bare_metal_guests() {
    let names = ["exceptions", "exceptions64", "icount", "paging", "realmode", "smc", "taskswitch", "v86"];
    let mut list: Vec<_> = names.iter().map(|n| (format!("guests/tests/{n}.elf"), 1)).collect();
    list.extend([("guests/demo/demo.elf".to_owned(), 1), ("guests/demo/demo.elf".to_owned(), 2)]);
    for (_, seed) in rounds(10) {
        let failures: Vec<String> = list
            .par_iter()
            .filter_map(|(name, cpus)| {
                let (kernel, initrd, append, cpu) = (guests::file(name), None, "", "max");
                let (machine, memory, steps) = (Kind::Pc, 16 << 20, 3_000_000);
                let parts = Parts { machine, kernel, initrd, append, cpu, cpus: *cpus, memory, steps };
                tortured(&Guest::<Pc>::load(&parts, seed)?, seed).err()
            })
            .collect();
        assert!(failures.is_empty(), "{}", failures.join("\n"));
    }
}

/// The starts of Debian's kernels; by hand farther each time, to power-off if the time is long enough.
#[test]
fn debian_kernels() {
    if cfg!(debug_assertions) {
        eprintln!("torture: this build is not optimised: Debian's kernels are left out");
        return;
    }
    let virt = |gic_version| Kind::Virt(VirtOptions { gic_version });
    let guests = [
        ("amd64", "qemu64", Kind::Pc, 1),
        ("i386", "qemu32", Kind::Pc, 1),
        ("arm64", "cortex-a53", virt(2), 1),
        ("arm64", "max", virt(3), 2),
    ];
    for (round, seed) in rounds(33) {
        let steps = 12_000_000 << round.min(9);
        let failures: Vec<String> = guests
            .into_par_iter()
            .filter_map(|(name, cpu, machine, cpus)| {
                let kernel = guests::file(&format!("guests/build/{name}/vmlinuz"));
                let initrd = Some(guests::file(&format!("guests/build/{name}/initrd.img")));
                let pc = machine == Kind::Pc;
                let console = if pc { "ttyS0" } else { "ttyAMA0" };
                let append = &format!("console={console} dejavm.run=boot");
                let parts = Parts { machine, kernel, initrd, append, cpu, cpus, memory: 256 << 20, steps };
                if pc {
                    tortured(&Guest::<Pc>::load(&parts, seed)?, seed).err()
                } else {
                    tortured(&Guest::<Virt>::load(&parts, seed)?, seed).err()
                }
            })
            .collect();
        assert!(failures.is_empty(), "{}", failures.join("\n"));
    }
}

/// A real guest's states and recordings.
fn tortured<B: Victim>(guest: &Guest<B>, seed: u64) -> Result<(), String> {
    // Stepping through hundreds of millions would take the day.
    let profile = Profile { piece: [0, 100, 1000, 5000][seed as usize % 4], ..Profile::random(seed) };
    let again =
        |e| format!("\nDEJAVM_TORTURE_SEED={seed} cargo test --release --test torture -- --nocapture\n{e}");
    let steps = guest.states(&profile).map_err(again)?;
    let bytes = guest.recordings(&profile, &common::Script::new(seed, false, 20)).map_err(again)?;
    eprintln!("torture: {}: {steps} steps, a recording of {bytes} bytes: no difference", guest.name);
    Ok(())
}

/// `dejavm diff` over saved snapshots finds a fault of an engine where one pair of machines finds it.
#[test]
fn diff_over_intervals_finds_an_engine_s_fault() {
    let folder = std::env::temp_dir().join(format!("dejavm-torture-diff-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("demo.dvm");
    let out = std::process::Command::new(env!("CARGO_BIN_EXE_dejavm"))
        .args(["record", "--kernel", guests::file("guests/demo/demo.elf").to_str().unwrap()])
        .args(["--memory", "16M", "--seed", "1", "--rtc", "base=2026-01-01,clock=vm", "--serial", "none"])
        .args(["--max-icount", "12000000", "--save-every", "2M", "-o", path.to_str().unwrap()])
        .output()
        .unwrap();
    assert!(out.status.success(), "{out:?}");
    let recording = Arc::new(files::open(&path).unwrap());
    assert!(recording.saved.len() >= 3, "{} snapshots", recording.saved.len());
    let images = files::find(&recording.header.machine, &recording.images, &path, None).unwrap();
    let make = |fault: Option<(u64, Fault)>| -> Make<Pc> {
        let (config, images) = (recording.header.machine.clone(), images.clone());
        Arc::new(move || {
            let m = build::pc(&config, &images, EngineKind::Interp)?;
            let engine = Profile { fault, ..Profile::reference() }.engine::<Pc>();
            Ok(Machine::new(m.state.board, m.mem, engine, m.state.shift, m.images))
        })
    };
    let good = make(None);
    let window = |jobs| Window { from: 0, to: None, every: false, jobs };
    let over = |bad: &Make<Pc>| intervals::find(&recording, [&good, bad], window(2), &|_| ()).unwrap();
    let whole = over(&make(None)).expect("the snapshots hold");
    assert!(whole.found.is_none() && whole.reached == recording.last().icount, "{whole:?}");
    // In the interval in the middle and in the first one; the last bytes of memory stay as they are.
    for step in [5_500_000, 1_200_000] {
        let bad = make(Some((step, Fault::Memory((16 << 20) - 3, 5))));
        let found = over(&bad).expect("it is found before a snapshot does not hold").found.unwrap();
        assert_eq!(found.at.icount, step - 1, "{found:?}");
        assert_eq!((found.memory[0].addr, found.memory_bytes), ((16 << 20) - 3, 1), "{found:?}");
        let setup =
            |make: &Make<Pc>| Setup { make: make.clone(), recording: recording.clone(), faults: Vec::new() };
        let mut pair = Lockstep::new(setup(&good), setup(&bad)).unwrap();
        let one = pair.find(window(1), &mut ()).unwrap().found.unwrap();
        assert_eq!(format!("{found:?}"), format!("{one:?}"));
    }
    std::fs::remove_dir_all(folder).unwrap();
}

/// The harness finds what is wrong, at its step: a bit of a register, a bit of memory.
#[test]
fn injected_faults_are_found() {
    let instructions = Instructions::new();
    let mut found = 0;
    for seed in 100..105 {
        let mut program = Program::new(&instructions, seed);
        let step = program.steps / 7 * 3;
        // What is lost again before it is looked at is not seen.
        program.stops.push(step);
        program.stops.sort_unstable();
        found += faults(
            &program,
            step,
            [
                (Fault::Register(15, 40), "r15:".to_owned()),
                (Fault::Memory(layout::DATA + 0xffff, 3), "memory 0x4ffff:".to_owned()),
            ],
        );
        let mut guest = A64Guest::new(seed);
        guest.stops.push(step);
        guest.stops.sort_unstable();
        let last = a64_kernel::DATA + 0xffff;
        let shown = format!("memory {:#x}:", last - dejavm::machine::virt::lines::RAM);
        found += faults(
            &guest,
            step,
            [(Fault::Register(28, 40), "x28:".to_owned()), (Fault::Memory(last, 3), shown)],
        );
    }
    assert!(found >= 8, "only {found} faults were looked for");
}

/// Injects faults at a step, if the run goes that far; how many were found.
fn faults<R: Run>(run: &R, step: u64, faults: [(Fault, String); 2]) -> u32 {
    if compare(run, &Profile::reference(), &Profile::reference()).steps <= step {
        return 0;
    }
    for (fault, named) in &faults {
        let subject = Profile { fault: Some((step, *fault)), ..Profile::reference() };
        let found = compare(run, &Profile::reference(), &subject).difference.expect("a difference");
        assert_eq!(found.step, step - 1, "{}", found.report);
        assert!(found.report.contains(named), "{named} is not in {}", found.report);
    }
    2
}
