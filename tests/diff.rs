//! The divergence finder: whatever is changed in one of two machines is found where it was changed.

mod common;

use common::{Random, SPACING, Script, config, record};
use dejavm::debug::diff::{Cause, Found};
use dejavm::debug::lockstep::{Compared, Failure, Lockstep, SLICE, Setup, Window};
use dejavm::machine::Machine;
use dejavm::machine::board::Board;
use dejavm::machine::build::{self, EngineKind};
use dejavm::machine::config::{
    Arch, DEFAULT_SHIFT, Image, Images, Kind, LoadedImage, MachineConfig, Role, Rtc, RtcBase, RtcClock,
};
use dejavm::machine::fault::{Fault, of_state};
use dejavm::machine::pc::Pc;
use dejavm::machine::toy::Toy;
use dejavm::machine::tree::Wrong;
use dejavm::replay::log::{Ending, Header, Recording, Spacing, Writer};
use dejavm::replay::record::{EndReason, Record};
use dejavm::replay::recorder::Recorder;
use dejavm::replay::replayer::Outcome;
use dejavm::replay::runner::Runner;
use dejavm::replay::{Input, digest};
use dejavm::timeline::{Make, Options, Timeline};
use dejavm_interp::x86::inspect::registers;
use std::sync::Arc;

const WHOLE: Window = Window { from: 0, to: None, every: false, jobs: 1 };

fn demo_config(bytes: &[u8]) -> MachineConfig {
    MachineConfig {
        arch: Arch::X86_64,
        machine: Kind::Pc,
        cpu: "max".into(),
        memory: 64 << 20,
        smp: 1,
        images: vec![Image::describe(Role::Kernel, "demo", "", bytes)],
        append: String::new(),
        shift: DEFAULT_SHIFT,
        rtc: Rtc { base: RtcBase::Date(0), clock: RtcClock::Host },
        seed: 5,
        no_reboot: true,
    }
}

/// The first steps of the demo guest, recorded.
fn demo(steps: u64) -> (Arc<Recording>, Make<Pc>) {
    let bytes = include_bytes!("../guests/demo/demo.elf");
    let config = demo_config(bytes);
    let (file, args) = ("demo".to_owned(), String::new());
    let images = Images(vec![LoadedImage { role: Role::Kernel, file, args, bytes: bytes.to_vec() }]);
    let spacing = Spacing { steps: 20, memory: 22, idle: None };
    let mut runner =
        Runner::new(build::pc(&config, &images, EngineKind::Interp).unwrap(), true, Some(spacing));
    let mut log = Vec::new();
    let writer = Writer::begin(&mut log, &Header::new(config.clone(), spacing)).unwrap();
    let mut script = Script::quiet();
    Recorder::new(&mut runner, &mut script, Some(writer)).run(steps).unwrap();
    (Arc::new(Recording::read(&log[..]).unwrap()), on(EngineKind::Interp, config, images))
}

fn on(engine: EngineKind, config: MachineConfig, images: Images) -> Make<Pc> {
    Arc::new(move || build::pc(&config, &images, engine))
}

fn toy_make(c: &MachineConfig) -> Make<Toy> {
    let c = c.clone();
    Arc::new(move || Toy::build(&c, &Images::default()))
}

fn toy_recording(c: &MachineConfig, seed: u64) -> Arc<Recording> {
    let (bytes, _) = record(c, SPACING, &mut Script::new(seed, true, 60), 3_000_000);
    Arc::new(Recording::read(bytes.as_slice()).unwrap())
}

fn setup<B: Board>(recording: &Arc<Recording>, make: &Make<B>, faults: Vec<(u64, Fault)>) -> Setup<B> {
    Setup { make: make.clone(), recording: recording.clone(), faults }
}

fn find<B: Board>(first: Setup<B>, second: Setup<B>, window: Window) -> Compared {
    Lockstep::new(first, second).unwrap().find(window, &mut ()).unwrap()
}

/// Finds one fault.
fn find_fault<B: Board>(recording: &Arc<Recording>, make: &Make<B>, at: u64, fault: &Fault) -> Found {
    let faults = vec![(at, fault.clone())];
    let compared = find(setup(recording, make, Vec::new()), setup(recording, make, faults), WHOLE);
    assert_eq!(compared.diverged, [None, None]);
    let found = compared.found.unwrap_or_else(|| panic!("{} at {at} is not found", fault.target()));
    assert_eq!((found.at.icount, found.cause), (at, Cause::Write), "{}: {found:?}", fault.target());
    assert!(found.output.is_none() && found.ended.is_none(), "{found:?}");
    found
}

fn leaves<B: Board>(machine: &Machine<B>) -> Vec<(String, u32)> {
    let mut all = Vec::new();
    of_state(&machine.state).leaves(&mut |path, bits| all.push((path.to_owned(), bits)));
    all
}

#[test]
fn faults_in_registers_and_memory_are_found_where_they_are() {
    let (recording, make) = demo(3_000_000);
    let mut random = Random(3);
    let all: Vec<_> = registers().collect();
    let mut named = ["rax", "rip", "rflags", "st3", "fctrl", "xmm7", "mxcsr", "cr2", "cs_limit"].to_vec();
    named.extend((0..25).map(|_| all[random.below(all.len() as u64) as usize].name));
    for name in named {
        let register = all.iter().find(|r| r.name == name).unwrap();
        // Not every bit of every register can be set.
        let bits = match name {
            "rflags" | "fctrl" => 1,
            "ftag" => continue,
            _ => register.bits.into(),
        };
        let fault = Fault::parse(&format!("cpu0.{name}"), random.below(bits) as u32).unwrap();
        let at = random.below(3_000_000);
        let found = find_fault(&recording, &make, at, &fault);
        let paths: Vec<&str> = found.fields.iter().map(|f| f.path.as_str()).collect();
        assert_eq!(paths, [format!("cpu0.{name}")], "{found:?}");
        assert!(found.fields[0].name.is_some() && found.memory.is_empty());
    }
    for _ in 0..20 {
        let (addr, bit) = (random.below(64 << 20), random.below(8) as u32);
        let fault = Fault::parse(&format!("mem:{addr:#x}"), bit).unwrap();
        let at = random.below(3_000_001);
        let found = find_fault(&recording, &make, at, &fault);
        assert!(found.fields.is_empty());
        assert_eq!((found.memory.len(), found.memory_bytes), (1, 1));
        let range = &found.memory[0];
        assert_eq!((range.addr, range.len, range.mapped), (addr, 1, true));
        let byte = |text: &str| u8::from_str_radix(text, 16).unwrap();
        assert_eq!(byte(&range.first) ^ byte(&range.second), 1 << bit);
    }
}

#[test]
fn faults_in_devices_are_found_where_they_are() {
    let (recording, make) = demo(1_500_000);
    let names = leaves(&make().unwrap());
    let devices: Vec<_> = names.iter().filter(|l| l.0.starts_with("devices.")).collect();
    assert!(devices.len() > 300, "{}", devices.len());
    let mut random = Random(8);
    let mut tested = 0;
    while tested < 40 {
        let (path, bits) = devices[random.below(devices.len() as u64) as usize];
        let fault = Fault::parse(path, random.below((*bits).into()) as u32).unwrap();
        let at = random.below(1_500_000);
        let mut timeline = Timeline::new(recording.clone(), make.clone(), Options::default()).unwrap();
        timeline.seek(at, &mut ()).unwrap();
        if fault.check(timeline.machine()).is_err() {
            continue;
        }
        let found = find_fault(&recording, &make, at, &fault);
        assert_eq!(found.fields.len(), 1, "{found:?}");
        assert_eq!(found.fields[0].path, *path);
        assert!(found.memory.is_empty());
        tested += 1;
    }
}

#[test]
fn both_engines_make_the_same_steps() {
    let (recording, make) = demo(3_000_000);
    let bytes = include_bytes!("../guests/demo/demo.elf").to_vec();
    let (file, args) = ("demo".to_owned(), String::new());
    let images = Images(vec![LoadedImage { role: Role::Kernel, file, args, bytes }]);
    let jit = on(EngineKind::Jit, recording.header.machine.clone(), images);
    let compare = |window| {
        let compared =
            find(setup(&recording, &make, Vec::new()), setup(&recording, &jit, Vec::new()), window);
        assert!(compared.found.is_none(), "{:?}", compared.found);
        assert_eq!(compared.diverged, [None, None]);
    };
    compare(WHOLE);
    compare(Window { from: 1_000_000, to: Some(1_003_000), every: true, jobs: 1 });
    let fault = Fault::parse("cpu0.rbx", 40).unwrap();
    let sides = [setup(&recording, &make, Vec::new()), setup(&recording, &jit, vec![(1_234_567, fault)])];
    let [a, b] = sides;
    assert_eq!(find(a, b, WHOLE).found.unwrap().at.icount, 1_234_567);
}

#[test]
fn faults_in_a_toy_are_found_between_its_inputs() {
    let c = config("busy=3000 clock say");
    let recording = toy_recording(&c, 11);
    let make = toy_make(&c);
    let end = recording.last().icount;
    let mut random = Random(4);
    for target in ["value", "cmos", "ticks", "overruns", "mem:0x1234", "world.events.created"] {
        for _ in 0..6 {
            let (at, bit) = (random.below(end + 1), random.below(8) as u32);
            let fault = Fault::parse(target, bit).unwrap();
            let found = find_fault(&recording, &make, at, &fault);
            match target.strip_prefix("mem:") {
                Some(_) => assert_eq!(found.memory[0].addr, 0x1234),
                None => assert_eq!(found.fields[0].path, target),
            }
        }
    }
}

#[test]
fn every_leaf_of_a_pc_flips_and_flips_back() {
    let (recording, make) = demo(400_000);
    let mut timeline = Timeline::new(recording, make, Options::default()).unwrap();
    timeline.seek(300_000, &mut ()).unwrap();
    let machine = timeline.machine();
    let (before, state) = (of_state(&machine.state), digest::of_state(&machine.state));
    let (mut flipped, mut refused) = (0, 0);
    for (path, bits) in leaves(machine) {
        let top = bits - 1;
        for bit in [0, top] {
            let fault = Fault::parse(&path, bit).unwrap();
            match fault.apply(machine) {
                Ok(()) => {
                    let unequal = before.unequal(&of_state(&machine.state));
                    let paths: Vec<&str> = unequal.iter().map(|u| u.path.as_str()).collect();
                    if !paths.is_empty() {
                        assert_eq!(paths, [path.as_str()]);
                    }
                    let now = digest::of_state(&machine.state) != state;
                    assert_eq!(now, !paths.is_empty(), "{path} bit {bit}");
                    if paths.is_empty() {
                        refused += 1;
                        continue;
                    }
                    flipped += 1;
                    let back = fault.apply(machine);
                    let choice = unequal[0].first.starts_with(char::is_alphabetic);
                    if back.is_err() || digest::of_state(&machine.state) != state {
                        assert!(choice, "{path} bit {bit}: {back:?}");
                    }
                }
                Err(Wrong::Value { .. }) => refused += 1,
                Err(Wrong::Name { place, .. }) => assert_eq!(place, "what can be changed"),
                Err(e) => panic!("{path} bit {bit}: {e}"),
            }
            assert_eq!(digest::of_state(&machine.state), state, "{path} bit {bit}");
        }
        let beyond = Fault::parse(&path, bits).unwrap().check(machine);
        assert!(matches!(beyond, Err(Wrong::Bit { .. } | Wrong::Name { .. })), "{path}: {beyond:?}");
    }
    assert!(flipped > 1000 && refused < flipped / 10, "{flipped} flipped, {refused} refused");
}

#[test]
fn a_fault_that_heals_is_still_found() {
    let (recording, make) = demo(3_000_000);
    let mut healed = 0;
    for at in (1_200_000..1_200_400).step_by(13) {
        let fault = Fault::parse("cpu0.rdx", 1).unwrap();
        find_fault(&recording, &make, at, &fault);
        let later = Window { from: 2 * SLICE, ..WHOLE };
        let (a, b) = (setup(&recording, &make, Vec::new()), setup(&recording, &make, vec![(at, fault)]));
        healed += u32::from(find(a, b, later).found.is_none());
    }
    assert!(healed > 3, "{healed}");
}

/// A kernel that the toy loads again at reset.
fn reset_toy(flip: bool) -> Make<Toy> {
    let c = config("busy=3000 say");
    let (file, args) = ("kernel".to_owned(), String::new());
    let images = Images(vec![LoadedImage { role: Role::Kernel, file, args, bytes: vec![7; 5000] }]);
    Arc::new(move || {
        let mut machine = Toy::build(&c, &images)?;
        machine.images[0].1[4321] ^= u8::from(flip) << 4;
        Ok(machine)
    })
}

#[test]
fn halving_finds_the_step_that_makes_a_difference() {
    // The difference is in nothing that is compared, until a reset brings it into memory.
    let reset = Input::Serial { port: 0, bytes: b"abr".to_vec() };
    let c = config("busy=3000 say");
    let good = {
        let mut typist = Typist(Some(reset));
        let spacing = Spacing { steps: 20, memory: 22, idle: None };
        let mut runner = Runner::new(reset_toy(false)().unwrap(), false, Some(spacing));
        let mut log = Vec::new();
        let writer = Writer::begin(&mut log, &Header::new(c, spacing)).unwrap();
        Recorder::new(&mut runner, &mut typist, Some(writer)).run(4_000_000).unwrap();
        Arc::new(Recording::read(&log[..]).unwrap())
    };
    let whole = |window| {
        let sides = [false, true].map(|flip| setup(&good, &reset_toy(flip), Vec::new()));
        let [a, b] = sides;
        find(a, b, window)
    };
    let found = whole(WHOLE).found.unwrap();
    assert_eq!(found.cause, Cause::Instruction);
    assert_eq!((found.memory.len(), found.memory[0].addr, found.memory_bytes), (1, 4321, 1));
    assert_eq!((found.memory[0].first.as_str(), found.memory[0].second.as_str()), ("07", "17"));
    let n = found.at.icount;
    assert!(n > 0 && n % SLICE != 0);
    let near = Window { from: n.saturating_sub(200), to: Some(n + 200), every: true, jobs: 2 };
    assert_eq!(whole(near).found.unwrap().at, found.at);
    assert!(whole(Window { to: Some(n), ..WHOLE }).found.is_none());
    let late = whole(Window { from: n + 1, ..WHOLE }).found.unwrap();
    assert_eq!((late.cause, late.at.icount), (Cause::Start, n + 1));
    assert_eq!(whole(Window { jobs: 2, ..WHOLE }).found.unwrap().at, found.at);
}

/// Sends one input after some steps.
struct Typist(Option<Input>);

impl dejavm::replay::recorder::Outside for Typist {
    fn poll(&mut self) -> Option<dejavm::replay::recorder::Live> {
        self.0.take().map(dejavm::replay::recorder::Live::Input)
    }
    fn live(&self) -> bool {
        false
    }
    fn sleep(&mut self, _: dejavm::machine::time::VirtNs, ns: Option<u64>) -> u64 {
        ns.unwrap_or(0)
    }
    fn host_clock(&mut self) -> u64 {
        0
    }
    fn output(&mut self, _: &dejavm::replay::Output) {}
}

#[test]
fn two_recordings_part_at_their_first_different_input() {
    let c = config("busy=3000 clock say");
    let make = toy_make(&c);
    let mut random = Random(21);
    for seed in 0..12 {
        let one = toy_recording(&c, seed);
        let mut other = (*one).clone();
        // A reset in the same idle time would hide what came before it.
        let alone = |i: usize, records: &[Record]| {
            let here = records[i].icount();
            let inputs = records.iter().filter(|r| matches!(r, Record::Input { .. }));
            inputs.filter(|r| r.icount() == here).count() == 1 && here < one.last().icount
        };
        let inputs: Vec<usize> = (0..other.records.len())
            .filter(|&i| {
                matches!(&other.records[i], Record::Input { input: Input::Serial { .. } | Input::Nmi, .. })
            })
            .filter(|&i| alone(i, &other.records))
            .collect();
        let chosen = inputs[random.below(inputs.len() as u64) as usize];
        let Record::Input { at, input } = &mut other.records[chosen] else { unreachable!() };
        let at = *at;
        *input = Input::Key { code: 0x155, down: true };
        let compared =
            find(setup(&one, &make, Vec::new()), setup(&Arc::new(other), &make, Vec::new()), WHOLE);
        let found = compared.found.unwrap();
        assert_eq!((found.cause, found.at.icount), (Cause::Input, at.icount), "seed {seed}: {found:?}");
        assert!(found.text.contains("Key"), "{}", found.text);
        assert_eq!(compared.diverged[0], None);
    }
}

#[test]
fn two_recordings_part_at_their_first_different_clock() {
    let c = config("busy=3000 clock say");
    let make = toy_make(&c);
    let one = toy_recording(&c, 5);
    let mut other = (*one).clone();
    let clocks = other.records.iter_mut().filter(|r| matches!(r, Record::HostClock { .. }));
    let Some(Record::HostClock { icount, ns }) = clocks.into_iter().nth(3) else {
        panic!("it reads the clock")
    };
    *ns ^= 64;
    let icount = *icount;
    let compared = find(setup(&one, &make, Vec::new()), setup(&Arc::new(other), &make, Vec::new()), WHOLE);
    let found = compared.found.unwrap();
    assert_eq!(found.cause, Cause::Clock);
    // A timer reads it at the end of the step before.
    assert!((icount - 1..=icount).contains(&found.at.icount), "{icount}: {found:?}");
}

#[test]
fn a_recording_that_diverges_from_this_build_is_named() {
    let c = config("busy=3000 clock say");
    let make = toy_make(&c);
    let one = toy_recording(&c, 2);
    let mut other = (*one).clone();
    let middle = other.records.len() / 2;
    let checkpoint = other.records[middle..].iter_mut().find_map(|r| match r {
        Record::Checkpoint(c) => Some(c),
        _ => None,
    });
    checkpoint.unwrap().state ^= 1;
    let compared = find(setup(&one, &make, Vec::new()), setup(&Arc::new(other), &make, Vec::new()), WHOLE);
    assert!(compared.found.is_none(), "{:?}", compared.found);
    assert!(compared.diverged[0].is_none() && compared.diverged[1].is_some());
    assert_eq!(compared.reached, one.last().icount);
}

#[test]
fn a_recorded_fault_replays_and_is_found() {
    let c = config("busy=3000 clock say");
    let make = toy_make(&c);
    let run = |faults: Vec<(u64, Fault)>| {
        let mut script = Script::new(6, true, 40);
        script.rate = 100;
        let mut runner = Runner::new(make().unwrap(), false, Some(SPACING));
        let mut log = Vec::new();
        let writer = Writer::begin(&mut log, &Header::new(c.clone(), SPACING)).unwrap();
        let mut recorder = Recorder::new(&mut runner, &mut script, Some(writer)).with_faults(faults);
        let ended = recorder.run(600_000).unwrap();
        assert_eq!(recorder.next_fault(), None);
        (Arc::new(Recording::read(&log[..]).unwrap()), ended)
    };
    let faults = [(65_536, "value", 3), (65_536, "mem:0x40", 7), (400_001, "cmos", 63)];
    let faults = faults.map(|(at, target, bit)| (at, Fault::parse(target, bit).unwrap())).to_vec();
    let (with, ended) = run(faults.clone());
    assert_eq!(with.ending, Ending::Whole);
    assert_eq!(common::replay(&with, None).0, Outcome::End(ended.reason));
    // Stopping where the faults are and going on changes nothing, and they are done there.
    let mut timeline = Timeline::new(with.clone(), make.clone(), Options::default()).unwrap();
    for at in [65_535, 65_536, 400_001, 400_002, 65_536, ended.at.icount] {
        timeline.seek(at, &mut ()).unwrap();
    }
    // Against the same world without faults: the first fault is the first difference.
    let mut without = (*with).clone();
    without.records.retain(|r| !matches!(r, Record::Input { input: Input::Fault { .. }, .. }));
    let sides = [setup(&Arc::new(without), &make, Vec::new()), setup(&with, &make, Vec::new())];
    let [a, b] = sides;
    let found = find(a, b, WHOLE).found.unwrap();
    assert_eq!((found.at.icount, found.cause), (65_536, Cause::Write));
    assert_eq!(found.fields.iter().map(|f| f.path.as_str()).collect::<Vec<_>>(), ["value"]);
    assert_eq!((found.memory[0].addr, found.memory_bytes), (0x40, 1));
}

#[test]
fn an_impossible_fault_is_refused() {
    let c = config("busy=3000 say");
    let recording = toy_recording(&c, 1);
    let make = toy_make(&c);
    for (target, bit, words) in [
        ("cpu0.rax", 0, "no registers"),
        ("cpu3.rax", 0, "it has cpu0"),
        ("value", 64, "bits 0 to 63"),
        ("mem:0x400000", 0, "outside RAM and ROM"),
        ("mem:0x10", 8, "bits 0 to 7"),
        ("world.lines", 0, "no single value"),
        ("world.request", 0, "empty now"),
        ("icount", 0, "what can be changed"),
        ("fifo[99]", 0, "fifo has no '[99]'"),
        ("turn.cpu", 5, "no such CPU"),
    ] {
        let fault = Fault::parse(target, bit).unwrap();
        let faults = vec![(7, fault.clone())];
        let mut pair =
            Lockstep::new(setup(&recording, &make, Vec::new()), setup(&recording, &make, faults)).unwrap();
        let text = match (pair.check_faults(), fault.check(&make().unwrap()).unwrap_err().is_final()) {
            (Err(text), true) => text,
            (Ok(()), false) => match pair.find(WHOLE, &mut ()) {
                Err(Failure::Fault(text)) => text,
                other => panic!("{target}: {other:?}"),
            },
            other => panic!("{target}: {other:?}"),
        };
        assert!(text.contains(words) && text.contains("--inject 7:"), "{target}: {text}");
        let mut script = Script::quiet();
        let mut runner = Runner::new(make().unwrap(), false, Some(SPACING));
        let mut recorder = Recorder::<_, Vec<u8>>::new(&mut runner, &mut script, None);
        recorder = recorder.with_faults(vec![(7, fault)]);
        let error = recorder.run(1000).unwrap_err().to_string();
        assert!(error.contains(words) && error.contains("at step 7"), "{target}: {error}");
    }
}

#[test]
fn a_branch_writes_at_its_moments_whatever_checkpoints_lie_between() {
    let (recording, make) = demo(3_000_000);
    let mut timeline = Timeline::new(recording, make, Options::default()).unwrap();
    timeline.seek(500_000, &mut ()).unwrap();
    timeline.write(Input::WriteRegister { cpu: 0, name: "cr2".into(), value: 1 });
    timeline.seek(2_900_000, &mut ()).unwrap();
    timeline.write(Input::WriteRegister { cpu: 0, name: "cr2".into(), value: 2 });
    let cr2 = |t: &mut Timeline<Pc>, at| {
        t.seek(at, &mut ()).unwrap();
        t.machine().state.board.cpus()[0].cr2
    };
    assert_eq!(cr2(&mut timeline, 2_900_000), 2);
    timeline.seek(0, &mut ()).unwrap();
    assert_eq!(cr2(&mut timeline, 2_899_999), 1);
    assert_eq!(cr2(&mut timeline, 2_900_000), 2);
}

mod process {
    //! The command itself.

    use super::{EndReason, Record, Recording};
    use serde_json::Value;
    use std::process::{Command, Stdio};

    struct Folder(std::path::PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("dejavm-diff-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn file(&self, name: &str) -> String {
            self.0.join(name).to_str().unwrap().to_owned()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn dejavm(status: i32, args: &[&str]) -> (String, String) {
        let out =
            Command::new(env!("CARGO_BIN_EXE_dejavm")).args(args).stdin(Stdio::null()).output().unwrap();
        let (stdout, stderr) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        assert_eq!(out.status.code(), Some(status), "{args:?}: {stdout}{stderr}");
        (stdout.into_owned(), stderr.into_owned())
    }

    fn json(status: i32, args: &[&str]) -> Value {
        let mut all = vec!["diff", "--json"];
        all.extend(args);
        serde_json::from_str(&dejavm(status, &all).0).unwrap()
    }

    fn toy(file: &str, rest: &[&str]) {
        let mut args = vec!["record", "--machine", "toy", "--memory", "8M", "--append", "say", "-o", file];
        args.extend(["--rtc", "base=2026-01-01,clock=vm"]);
        args.extend(rest);
        dejavm(0, &args);
    }

    #[test]
    fn recordings_are_compared() {
        let dir = Folder::new("recordings");
        let names = ["a", "b", "seed", "long", "cut", "image", "fault", "halt"].map(|n| dir.file(n));
        let [a, b, seed, long, cut, image, fault, stopped] = names.each_ref().map(String::as_str);
        toy(a, &["--seed", "1", "--max-icount", "40000000"]);
        toy(b, &["--seed", "1", "--max-icount", "40000000"]);
        toy(seed, &["--seed", "2", "--max-icount", "40000000"]);
        toy(long, &["--seed", "1", "--max-icount", "60000000"]);
        let report = json(0, &[a, b]);
        assert_eq!(report["same"], true);
        assert!(dejavm(0, &["diff", a, b]).0.contains("the same"));

        let report = json(1, &[a, seed]);
        assert_eq!(report["headers"][0]["path"], "machine.seed");
        assert_eq!(
            (&report["headers"][0]["first"], &report["headers"][0]["second"]),
            (&"0x1".into(), &"0x2".into())
        );
        assert_eq!(report["lockstep"], Value::Null);
        assert!(dejavm(1, &["diff", a, seed]).0.contains("header machine.seed: 0x1 or 0x2"));

        // One is a prefix of the other, or nearly: the records differ, the steps do not.
        let report = json(1, &[a, long]);
        assert!(report["headers"].as_array().unwrap().is_empty());
        assert_eq!(report["records"]["first"]["checkpoint"]["at"]["icount"], 40_000_000);
        assert_eq!(report["lockstep"]["reached"], 40_000_000);
        assert_eq!(report["lockstep"]["first"], Value::Null);
        let bytes = std::fs::read(a).unwrap();
        std::fs::write(cut, &bytes[..bytes.len() - 3]).unwrap();
        let report = json(1, &[a, cut]);
        assert_eq!(report["records"]["second"], Value::Null);
        assert_eq!(report["lockstep"]["first"], Value::Null);
        assert!(dejavm(1, &["diff", cut, a]).0.contains("< nothing: ends at step"));

        // The end's reason alone.
        let mut recording = Recording::read(bytes.as_slice()).unwrap();
        if let Some(Record::End { reason, .. }) = recording.records.last_mut() {
            *reason = EndReason::Stopped;
        }
        let mut writer =
            dejavm::replay::log::Writer::begin(std::fs::File::create(stopped).unwrap(), &recording.header)
                .unwrap();
        for record in &recording.records {
            writer.put(record).unwrap();
        }
        writer.end_frame().unwrap();
        let report = json(1, &[a, stopped]);
        assert_eq!(report["records"]["second"]["end"]["reason"], "stopped");
        assert_eq!(report["lockstep"]["first"]["cause"], "end");

        // Another image.
        std::fs::write(dir.file("kernel"), [1; 100]).unwrap();
        toy(image, &["--seed", "1", "--max-icount", "40000000", "--kernel", &dir.file("kernel")]);
        let report = json(1, &[a, image]);
        assert_eq!(report["headers"][0]["path"], "machine.images");

        // A fault in a recording.
        toy(fault, &["--seed", "1", "--max-icount", "40000000", "--inject", "12345678:value:5"]);
        dejavm(0, &["verify", fault]);
        let report = json(1, &[a, fault]);
        let first = &report["lockstep"]["first"];
        assert_eq!((&first["icount"], &first["cause"]), (&12_345_678.into(), &"write".into()));
        assert_eq!(first["fields"][0]["path"], "value");
        for name in ["warp", "cpu", "pc", "text", "memory", "memory_bytes", "output", "ended"] {
            assert!(first.get(name).is_some(), "{name}");
        }
    }

    #[test]
    fn one_recording_is_compared_with_itself() {
        let dir = Folder::new("one");
        let a = &dir.file("a")[..];
        toy(a, &["--seed", "1", "--max-icount", "30000000"]);
        let report = json(0, &[a, "--engines", "interp,interp"]);
        assert_eq!(report["lockstep"]["engines"], serde_json::json!(["interp", "interp"]));
        assert_eq!(report["lockstep"]["reached"], 30_000_000);
        for jobs in ["1", "2"] {
            let report = json(1, &[a, "--inject", "20000000:mem:0x20:6", "--jobs", jobs]);
            let first = &report["lockstep"]["first"];
            assert_eq!(first["icount"], 20_000_000);
            assert_eq!(
                (&first["memory"][0]["addr"], &first["memory"][0]["len"]),
                (&"0x20".into(), &1.into())
            );
            assert_eq!(
                (&first["memory"][0]["first"], &first["memory"][0]["second"]),
                (&"00".into(), &"40".into())
            );
        }
        json(0, &[a, "--engines", "interp,interp", "--from", "1000", "--to", "3000", "--step"]);
        let (text, _) = dejavm(1, &["diff", a, "--inject", "25000000:ticks:2"]);
        assert!(
            text.contains("first difference in step 25000000") && text.contains("\n  ticks: 0x"),
            "{text}"
        );
        for (args, words) in [
            (&["--engines", "interp"][..], "not two names"),
            (&["--engines", "interp,warp"], "warp: unknown engine"),
            (&["--inject", "5"], "not ICOUNT:TARGET[:BIT]"),
            (&["--inject", "x:value"], "not ICOUNT:TARGET[:BIT]"),
            (&["--inject", "5:value:x"], "no number of a bit"),
            (&["--inject", "5:mem:zz"], "mem:zz"),
            (&["--inject", "5:world.nothing"], "world has no 'nothing' (it has events, lines, request)"),
            (&["--inject", "30000001:value"], "ends at step 30000000"),
            (&["--inject", "5:value", "--from", "6"], "before --from"),
            (&["--engines", "interp,interp", "--from", "6", "--to", "5"], "before --from"),
            (&["--engines", "interp,interp", "--from", "30000001"], "ends at step 30000000"),
        ] {
            let mut all = vec!["diff", a];
            all.extend(args);
            let (_, error) = dejavm(2, &all);
            assert!(error.contains(words) && error.lines().count() == 1, "{args:?}: {error}");
        }
        let run = ["run", "--machine", "toy", "--max-icount", "1000", "--inject"];
        let with = |fault: &'static str| [&run[..], &[fault]].concat();
        dejavm(0, &with("500:value:3"));
        assert!(
            dejavm(2, &with("500:valu:3"))
                .1
                .contains("what can be changed has no 'valu' (it has turn, value, ")
        );
        assert!(dejavm(2, &with("5000:value:3")).1.contains("the run ended before"));
    }
}
