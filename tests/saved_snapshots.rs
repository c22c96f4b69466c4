//! Saved snapshots: what they are, that they change nothing but the time it takes, and that damage
//! to them is found. On the toy board and the demo guest.

mod common;

use common::{Random, SPACING, Script, config, replay};
use dejavm::machine::Machine;
use dejavm::machine::board::Board;
use dejavm::machine::build::{self, EngineKind};
use dejavm::machine::config::{Image, Images, Kind, LoadedImage, MachineConfig, Role};
use dejavm::machine::toy::Toy;
use dejavm::replay::copy::Copier;
use dejavm::replay::digest;
use dejavm::replay::error::LogError;
use dejavm::replay::log::{Header, Recording, Spacing, Writer};
use dejavm::replay::record::Record;
use dejavm::replay::recorder::Recorder;
use dejavm::replay::replayer::{Outcome, Replayer};
use dejavm::replay::runner::Runner;
use dejavm::replay::saver::Saver;
use dejavm::replay::tape::Tape;
use dejavm::timeline::verify::{Verified, verify};
use dejavm::timeline::{Make, Options, Timeline};
use std::sync::Arc;

const EVERY: u64 = 100_000;

/// Records, saving each so many steps; 0 for never.
fn record<B: Board>(
    c: &MachineConfig,
    mut machine: Machine<B>,
    spacing: Spacing,
    mut script: Script,
    max: u64,
    every: u64,
) -> Vec<u8> {
    let saver = (every > 0).then(|| Saver::new(every, &mut machine));
    let mut runner = Runner::new(machine, c.no_reboot, Some(spacing));
    let mut bytes = Vec::new();
    let log = Writer::begin(&mut bytes, &Header::new(c.clone(), spacing)).unwrap();
    Recorder::new(&mut runner, &mut script, Some(log)).saving(saver).run(max).unwrap();
    bytes
}

fn toy(c: &MachineConfig) -> Machine<Toy> {
    Toy::build(c, &Images::default()).unwrap()
}

fn toy_session(seed: u64, every: u64) -> Vec<u8> {
    let c = config("busy=3000 clock say");
    let mut script = Script::new(seed, seed.is_multiple_of(2), 60);
    // It is to last to the limit.
    script.rate = 25;
    record(&c, toy(&c), SPACING, script, 1_500_000, every)
}

fn open(bytes: &[u8]) -> Recording {
    let mut recording = Recording::read(bytes).unwrap();
    recording.backing = Some(Arc::new(bytes.to_vec()));
    recording
}

fn make(recording: &Recording) -> Make<Toy> {
    let c = recording.header.machine.clone();
    Arc::new(move || Toy::build(&c, &Images::default()))
}

fn whole<B: Board>(machine: &Machine<B>) -> (u64, u64) {
    (digest::of_state(&machine.state), xxhash_rust::xxh3::xxh3_64(machine.mem.bytes()))
}

/// What a straight replay has at these steps.
fn straight<B: Board>(recording: &Recording, make: &Make<B>, steps: &[u64]) -> Vec<(u64, u64)> {
    let header = &recording.header;
    let runner = Runner::new(make().unwrap(), header.machine.no_reboot, Some(header.checkpoints));
    let mut replayer = Replayer::new(runner, Arc::new(Tape::new(recording)));
    let at = |&step: &u64| {
        assert_eq!(replayer.run(Some(step), &mut ()), Outcome::Reached);
        whole(&replayer.runner.machine)
    };
    steps.iter().map(at).collect()
}

/// Seeks to n, then to m, in fresh timelines and in one.
fn seek_everywhere<B: Board>(recording: Recording, make: Make<B>, fresh: u32) {
    let last = recording.last().icount;
    let mut random = Random(last);
    let mut steps: Vec<u64> = (0..20).map(|_| random.below(last)).chain([0, 1, EVERY, EVERY + 1]).collect();
    steps.sort_unstable();
    let expected = straight(&recording, &make, &steps);
    let recording = Arc::new(recording);
    let open = || Timeline::new(recording.clone(), make.clone(), Options::default()).unwrap();
    let mut kept = open();
    let (count, held) = kept.snapshots();
    assert_eq!(count, recording.saved.len() + 1);
    assert!(held <= 1 << 20, "opening holds no saved pages: {held}");
    for i in 0..fresh {
        let mut new = open();
        let a = random.below(steps.len() as u64) as usize;
        let b = a + random.below((steps.len() - a) as u64) as usize;
        for (t, k) in [(0, a), (1, b), (0, b), (1, a)] {
            let t = if t == 0 { &mut new } else { &mut kept };
            t.seek(steps[k], &mut ()).unwrap();
            assert_eq!(whole(t.machine()), expected[k], "{i}: step {}", steps[k]);
        }
    }
}

/// Saves snapshots in a recording that has none, as `dejavm index` does.
fn index(plain: &[u8], every: u64) -> Vec<u8> {
    let recording = open(plain);
    let header = &recording.header;
    let mut machine = toy(&header.machine);
    let mut saver = Saver::new(every, &mut machine);
    let runner = Runner::new(machine, header.machine.no_reboot, Some(header.checkpoints));
    let mut replayer = Replayer::new(runner, Arc::new(Tape::new(&recording)));
    let mut bytes = Vec::new();
    let mut writer = Writer::begin(&mut bytes, header).unwrap();
    let mut copier = Copier::new(&recording);
    while replayer.run(Some(saver.next()), &mut ()) == Outcome::Reached {
        let cursor = *replayer.cursor();
        copier.up_to(cursor.records(), &mut writer).unwrap();
        writer.snapshot(&saver.save(&mut replayer.runner, &cursor)).unwrap();
    }
    copier.rest(&mut writer).unwrap();
    bytes
}

/// The recording without its saved snapshots.
fn strip(saving: &[u8]) -> Vec<u8> {
    let recording = open(saving);
    let mut bytes = Vec::new();
    let mut writer = Writer::begin(&mut bytes, &recording.header).unwrap();
    Copier::new(&recording).rest(&mut writer).unwrap();
    bytes
}

#[test]
fn saving_while_recording_or_afterwards_is_the_same() {
    for seed in 0..6 {
        let saving = toy_session(seed, EVERY);
        assert!(saving == toy_session(seed, EVERY), "the same twice");
        let plain = strip(&saving);
        assert!(index(&plain, EVERY) == saving, "seed {seed}");
        assert!(strip(&index(&plain, EVERY / 3)) == plain);
        let mut copy = Vec::new();
        let recording = open(&saving);
        let mut writer = Writer::begin(&mut copy, &recording.header).unwrap();
        dejavm::replay::copy::all(&recording, &saving, &mut writer).unwrap();
        assert!(copy == saving);
        let steps: Vec<u64> = recording.saved.iter().map(|s| s.icount).collect();
        let last = recording.last().icount;
        assert_eq!(steps, (1..=last / EVERY).map(|k| k * EVERY).collect::<Vec<_>>(), "end at {last}");
        assert_eq!(replay(&open(&plain), None), replay(&recording, None));
    }
}

#[test]
fn saving_does_not_show_in_a_run_without_input() {
    let c = config("busy=3000 clock say");
    let run = |every| record(&c, toy(&c), SPACING, Script::quiet(), 1_500_000, every);
    assert!(strip(&run(EVERY)) == run(0));
}

#[test]
fn any_moment_is_the_same_from_a_saved_snapshot() {
    for seed in 0..4 {
        let recording = open(&toy_session(seed, EVERY));
        let make = make(&recording);
        seek_everywhere(recording, make, 30);
    }
}

#[test]
fn the_demo_guest_is_the_same_from_a_saved_snapshot() {
    let bytes = include_bytes!("../guests/demo/demo.elf");
    let mut c = config("");
    (c.machine, c.cpu, c.memory, c.no_reboot) = (Kind::Pc, "max".to_owned(), 64 << 20, true);
    c.images = vec![Image::describe(Role::Kernel, "demo", "", bytes)];
    let (file, args) = ("demo".to_owned(), String::new());
    let images = Images(vec![LoadedImage { role: Role::Kernel, file, args, bytes: bytes.to_vec() }]);
    let spacing = Spacing { steps: 20, memory: 22, idle: None };
    let machine = build::pc(&c, &images, EngineKind::default()).unwrap();
    let log = record(&c, machine, spacing, Script::quiet(), 30_000_000, 5 << 20);
    let config = c.clone();
    let make: Make<_> = Arc::new(move || build::pc(&config, &images, EngineKind::default()));
    let recording = open(&log);
    assert!(recording.saved.len() >= 2, "{}", recording.saved.len());
    let serial = verify(&recording, &make, 2, &|_| ()).unwrap();
    assert!(matches!(serial, Verified::Whole(Outcome::End(_), ..)), "{serial:?}");
    seek_everywhere(recording, make, 6);
}

#[test]
fn those_of_another_build_are_left_out() {
    let good = open(&toy_session(1, EVERY));
    let last = good.last().icount;
    let expected = straight(&good, &make(&good), &[last - 5]);
    let with = |change: &dyn Fn(&mut Recording)| {
        let mut bad = good.clone();
        change(&mut bad);
        let make = make(&bad);
        let mut t = Timeline::new(Arc::new(bad), make, Options::default()).unwrap();
        let count = t.snapshots().0;
        t.seek(last - 5, &mut ()).unwrap();
        assert_eq!(whole(t.machine()), expected[0]);
        count
    };
    assert_eq!(with(&|_| ()), good.saved.len() + 1);
    assert_eq!(with(&|r| r.saved[3].format ^= 1), 1);
    assert_eq!(with(&|r| r.saved[3].icount += 1), 1);
    assert_eq!(with(&|r| r.saved[3].records += 1), 1);
    assert_eq!(with(&|r| r.saved[3].written = vec![1 << 30]), 1);
    assert_eq!(with(&|r| r.backing = None), 1);
}

#[test]
fn several_machines_verify_as_one_does() {
    let good = open(&toy_session(2, EVERY));
    let make = make(&good);
    let (outcome, _, icount) = replay(&good, None);
    let checkpoints = good.records.iter().filter(|r| matches!(r, Record::Checkpoint(_))).count() as u64;
    for jobs in [1, 2, 5] {
        let Verified::Whole(found, at, held) = verify(&good, &make, jobs, &|_| ()).unwrap() else { panic!() };
        assert_eq!((found, at.icount, held), (outcome.clone(), icount, checkpoints));
    }
    let mut random = Random(3);
    let mut memory = 0;
    for round in 0..40 {
        let mut bad = good.clone();
        let index = random.below(bad.records.len() as u64) as usize;
        match &mut bad.records[index] {
            Record::Checkpoint(c) => match &mut c.memory {
                Some(m) => {
                    memory += 1;
                    *m ^= 1;
                }
                None => c.output ^= 1,
            },
            Record::HostClock { ns, .. } => *ns ^= 1,
            _ => continue,
        }
        let (expected, ..) = replay(&bad, None);
        match verify(&bad, &make, 3, &|_| ()).unwrap() {
            Verified::Whole(found, ..) => assert_eq!(found, expected, "round {round}"),
            // The snapshot behind a reading of the clock that was another.
            Verified::Serial(text) => assert!(text.unwrap().contains("saved snapshot"), "round {round}"),
        }
    }
    assert!(memory > 0);
    // A snapshot that is not what the replay comes to.
    let mut bad = good.clone();
    bad.saved[4].pages.pop();
    let Verified::Serial(Some(text)) = verify(&bad, &make, 2, &|_| ()).unwrap() else { panic!() };
    assert!(text.contains(&bad.saved[4].icount.to_string()), "{text}");
}

#[test]
fn damage_gives_an_error_or_the_right_replay() {
    let good = toy_session(5, EVERY);
    let recording = open(&good);
    let last = recording.last().icount;
    let expected = straight(&recording, &make(&recording), &[last - 1]);
    let mut random = Random(6);
    let inside = |at: usize| {
        let mut payloads = recording.saved.iter().flat_map(|s| &s.payloads);
        payloads.any(|&(offset, len)| (offset..offset + u64::from(len)).contains(&(at as u64)))
    };
    let (mut lost, mut refused, mut replayed) = (0, 0, 0);
    for round in 0..2000 {
        let at = random.below(good.len() as u64) as usize;
        let mut bad = good.clone();
        bad[at] ^= 1 + random.below(255) as u8;
        match Recording::read(bad.as_slice()) {
            Err(LogError::NotARecording | LogError::Damaged { .. }) => {
                assert!(!inside(at), "byte {at} is in a saved snapshot");
                refused += 1;
            }
            Err(e) => panic!("byte {at}: {e}"),
            Ok(mut bad_recording) => {
                assert!(inside(at), "byte {at}");
                assert_eq!(bad_recording.records, recording.records);
                let offset = bad_recording.lost.unwrap();
                assert!(offset <= at as u64);
                lost += 1;
                if round % 100 == 0 {
                    replayed += 1;
                    bad_recording.backing = Some(Arc::new(bad));
                    let make = make(&bad_recording);
                    let mut t = Timeline::new(Arc::new(bad_recording), make, Options::default()).unwrap();
                    t.seek(last - 1, &mut ()).unwrap();
                    assert_eq!(whole(t.machine()), expected[0]);
                }
            }
        }
    }
    assert!(lost > 500 && refused > 20 && replayed > 5, "{lost} {refused} {replayed}");
}

#[test]
fn every_cut_replays_to_its_last_whole_frame() {
    let good = toy_session(5, 4 * EVERY);
    let whole_recording = open(&good);
    let mut random = Random(7);
    let mut replayed = 0;
    let step = (good.len() / 2000).max(1);
    for length in (1..good.len()).step_by(step) {
        match Recording::read(&good[..length]) {
            Err(LogError::NotARecording | LogError::CutInHeader) => assert!(length < 700),
            Err(e) => panic!("cut at {length}: {e}"),
            Ok(mut cut) => {
                assert_eq!(cut.records, whole_recording.records[..cut.records.len()]);
                if random.below(60) == 0 && cut.last().icount > 0 {
                    replayed += 1;
                    let last = cut.last().icount;
                    let (outcome, _, icount) = replay(&cut, None);
                    assert_eq!((outcome, icount), (Outcome::Cut, last));
                    let expected = straight(&cut, &make(&cut), &[last - 1]);
                    cut.backing = Some(Arc::new(good[..length].to_vec()));
                    let make = make(&cut);
                    let mut t = Timeline::new(Arc::new(cut), make, Options::default()).unwrap();
                    t.seek(last - 1, &mut ()).unwrap();
                    assert_eq!(whole(t.machine()), expected[0], "cut at {length}");
                }
            }
        }
    }
    assert!(replayed > 10, "{replayed}");
}

#[test]
fn a_page_that_changed_after_opening_is_an_error() {
    let bytes = toy_session(1, EVERY);
    let mut recording = open(&bytes);
    let make = make(&recording);
    let mut other = bytes.clone();
    let (offset, len) = recording.saved[6].payloads[0];
    other[offset as usize + len as usize - 40..offset as usize + len as usize].fill(0x55);
    recording.backing = Some(Arc::new(other));
    let goal = recording.saved[6].icount + 10;
    let mut t = Timeline::new(Arc::new(recording), make, Options::default()).unwrap();
    let text = t.seek(goal, &mut ()).unwrap_err().to_string();
    assert!(text.contains("saved snapshot") && text.contains("has changed"), "{text}");
}
