//! Recording and replaying against a scripted world: the logic of the log, on the toy board.

mod common;

use common::{Random, SPACING, Script, config, record, replay};
use dejavm::replay::log::{Ending, Recording, Spacing};
use dejavm::replay::record::{EndReason, Record};
use dejavm::replay::replayer::{Difference, Outcome};

#[test]
fn random_sessions_replay_exactly() {
    let mut kinds = [0u32; 3];
    for seed in 0..150 {
        let append = ["busy=30000 say", "busy=100 clock say", "busy=500000", "busy=3000 period=300000 clock"];
        let c = config(append[seed as usize % 4]);
        let mut script = Script::new(seed, seed % 3 != 0, 60);
        let (bytes, ended) = record(&c, SPACING, &mut script, 3_000_000);
        let recording = Recording::read(bytes.as_slice()).unwrap();
        assert_eq!(recording.ending, Ending::Whole);
        assert_eq!(recording.end(), Some((ended.at, &ended.reason)));
        for record in &recording.records {
            match record {
                Record::Input { .. } => kinds[0] += 1,
                Record::HostClock { .. } => kinds[1] += 1,
                Record::Checkpoint(_) => kinds[2] += 1,
                Record::End { .. } => {}
            }
        }
        let (outcome, shown, icount) = replay(&recording, None);
        assert_eq!(outcome, Outcome::End(ended.reason), "seed {seed}");
        assert_eq!(icount, ended.at.icount);
        assert_eq!(shown, script.shown, "seed {seed}");
    }
    assert!(kinds.iter().all(|&n| n > 1000), "the sessions had enough of everything: {kinds:?}");
}

#[test]
fn every_kind_of_end_replays() {
    for (typed, no_reboot, reason) in [
        (&b"hi q"[..], false, EndReason::PowerOff),
        (b"hi x", false, EndReason::Exit(3)),
        (b"hi r", true, EndReason::Reset),
        (b"hi z", false, EndReason::Halted),
        (b"hi u", false, EndReason::Unimplemented(String::new())),
        (b"hi r there", false, EndReason::MaxIcount),
    ] {
        let mut c = config("busy=10000 say");
        c.no_reboot = no_reboot;
        let mut script = Typist { script: Script::quiet(), typed: Some(typed.to_vec()) };
        let (bytes, ended) = record_with(&c, SPACING, &mut script, 1_000_000);
        let found = match &ended.reason {
            EndReason::Unimplemented(_) => EndReason::Unimplemented(String::new()),
            other => other.clone(),
        };
        assert_eq!(found, reason);
        let recording = Recording::read(bytes.as_slice()).unwrap();
        assert_eq!(replay(&recording, None).0, Outcome::End(ended.reason));
    }
}

/// Types once.
struct Typist {
    script: Script,
    typed: Option<Vec<u8>>,
}

impl dejavm::replay::recorder::Outside for Typist {
    fn poll(&mut self) -> Option<dejavm::replay::recorder::Live> {
        let bytes = self.typed.take()?;
        Some(dejavm::replay::recorder::Live::Serial { port: 0, bytes })
    }
    fn live(&self) -> bool {
        false
    }
    fn sleep(&mut self, _: dejavm::machine::time::VirtNs, ns: Option<u64>) -> u64 {
        ns.unwrap_or(0)
    }
    fn host_clock(&mut self) -> u64 {
        self.script.host_clock()
    }
    fn output(&mut self, output: &dejavm::replay::Output) {
        self.script.output(output);
    }
}

fn record_with(
    c: &dejavm::machine::config::MachineConfig,
    spacing: Spacing,
    outside: &mut dyn dejavm::replay::recorder::Outside,
    max: u64,
) -> (Vec<u8>, dejavm::replay::recorder::Ended) {
    use dejavm::replay::log::{Header, Writer};
    let machine = dejavm::machine::toy::Toy::build(c, &Default::default()).unwrap();
    let mut runner = dejavm::replay::runner::Runner::new(machine, c.no_reboot, Some(spacing));
    let mut bytes = Vec::new();
    let log = Writer::begin(&mut bytes, &Header::new(c.clone(), spacing)).unwrap();
    let ended = dejavm::replay::recorder::Recorder::new(&mut runner, outside, Some(log)).run(max).unwrap();
    (bytes, ended)
}

#[test]
fn pasted_input_is_never_lost() {
    let text: Vec<u8> = (0..500).flat_map(|i| format!("{i:04} {}\n", "-".repeat(58)).into_bytes()).collect();
    for append in ["busy=10000", "busy=100", "busy=100000000"] {
        let mut script = Typist { script: Script::quiet(), typed: Some(text.clone()) };
        let (bytes, _) = record_with(&config(append), SPACING, &mut script, 500_000_000);
        assert_eq!(script.script.shown.len(), text.len(), "{append}");
        assert_eq!(script.script.shown, text);
        let recording = Recording::read(bytes.as_slice()).unwrap();
        let sizes = recording.records.iter().filter_map(|r| match r {
            Record::Input { input: dejavm::replay::Input::Serial { bytes, .. }, .. } => Some(bytes.len()),
            _ => None,
        });
        assert!(sizes.max() <= Some(16), "no more than the port has room for");
    }
}

#[test]
fn recording_twice_gives_the_same_bytes() {
    for seed in 0..10 {
        let once =
            || record(&config("busy=3000 clock say"), SPACING, &mut Script::new(seed, true, 40), 2_000_000);
        assert_eq!(once(), once());
    }
}

#[test]
fn a_run_without_input_needs_little() {
    let size = |steps| {
        let spacing = Spacing::usual(false);
        let mut c = config("busy=30000 say");
        c.rtc.clock = dejavm::machine::config::RtcClock::Vm;
        c.rtc.base = dejavm::machine::config::RtcBase::Date(0);
        record(&c, spacing, &mut Script::quiet(), steps).0.len()
    };
    let (small, large) = (size(50_000_000), size(250_000_000));
    assert!(large < 2000, "{large}");
    assert!((large - small) * 5 < 10_000, "{small} and {large} bytes");
}

#[test]
fn any_change_of_what_happened_is_found() {
    let mut script = Script::new(5, true, 80);
    script.rate = 30;
    let (bytes, _) = record(&config("busy=3000 period=100000 clock say"), SPACING, &mut script, 3_000_000);
    let good = Recording::read(bytes.as_slice()).unwrap();
    let mut random = Random(9);
    let mut seen = [0; 4];
    for index in 0..good.records.len() {
        if random.below(6) != 0 {
            continue;
        }
        let mut bad = good.clone();
        match &mut bad.records[index] {
            Record::Input { .. } => {
                seen[0] += 1;
                bad.records.remove(index);
            }
            Record::HostClock { ns, .. } => {
                seen[1] += 1;
                *ns ^= 1;
            }
            Record::Checkpoint(c) => {
                seen[2] += 1;
                let expected = match (random.below(3), &mut c.memory) {
                    (0, Some(memory)) => {
                        *memory ^= 1 << 63;
                        Difference::Memory
                    }
                    (1, _) => {
                        c.output ^= 1;
                        Difference::Output
                    }
                    _ => {
                        c.state ^= 1 << 17;
                        Difference::State
                    }
                };
                let at = c.at;
                match replay(&bad, None).0 {
                    Outcome::Diverged(d) => {
                        assert_eq!(d.what, expected);
                        assert_eq!(d.at, at);
                        assert!(d.after <= d.at);
                    }
                    other => panic!("record {index}: {other:?}"),
                }
                continue;
            }
            Record::End { at, .. } => {
                seen[3] += 1;
                at.icount += 1;
            }
        }
        let outcome = replay(&bad, None).0;
        assert!(matches!(outcome, Outcome::Diverged(_)), "record {index}: {outcome:?}");
    }
    assert!(seen[0] > 5 && seen[1] > 20 && seen[2] > 5, "{seen:?}");
}

#[test]
fn replay_to_a_step_stops_there() {
    let mut script = Script::new(3, true, 40);
    let (bytes, ended) = record(&config("busy=3000 clock say"), SPACING, &mut script, 2_000_000);
    let recording = Recording::read(bytes.as_slice()).unwrap();
    let mut random = Random(1);
    for _ in 0..20 {
        let to = random.below(ended.at.icount);
        let (outcome, shown, icount) = replay(&recording, Some(to));
        assert_eq!((outcome, icount), (Outcome::Reached, to));
        assert!(script.shown.starts_with(&shown));
    }
}
