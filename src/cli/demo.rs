//! `demo`: records the embedded guest, with input, replays it, and shows what to try next.

use super::Done;
use crate::host::clock::{self, Stopwatch};
use crate::host::files::plain;
use crate::host::sink::{Sink, Sinks};
use crate::machine::build::{self, EngineKind};
use crate::machine::config::{
    Arch, DEFAULT_SHIFT, Image, Images, Kind, LoadedImage, MachineConfig, Role, Rtc, RtcBase, RtcClock,
};
use crate::machine::time::VirtNs;
use crate::replay::log::{Header, Recording, Spacing, Writer};
use crate::replay::record::Record;
use crate::replay::recorder::{Live, Outside, Recorder};
use crate::replay::replayer::{Outcome, Replayer};
use crate::replay::runner::Runner;
use crate::replay::tape::Tape;
use crate::replay::{Input, Output};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

/// The guest: see guests/demo.
const GUEST: &[u8] = include_bytes!("../../guests/demo/demo.elf");
const GUEST_NAME: &str = "demo.elf";
/// What the guest prints when it waits for a line.
const PROMPT: &[u8] = b"(or wait 5 seconds): ";
/// What is typed then.
const LINE: &[u8] = b"this line is in the log\r";
/// KEY_ENTER, KEY_SPACE.
const KEYS: [u16; 2] = [28, 57];

/// A person at the machine: sees what it prints, and types when asked to.
struct Typist {
    sinks: Sinks,
    tail: Vec<u8>,
    typed: bool,
    waiting: Vec<Live>,
}

impl Outside for Typist {
    fn poll(&mut self) -> Option<Live> {
        if !self.typed && self.tail.ends_with(PROMPT) {
            self.typed = true;
            // The last is the first to come.
            self.waiting.push(Live::Serial { port: 0, bytes: LINE.to_vec() });
            for code in KEYS {
                for down in [false, true] {
                    self.waiting.push(Live::Input(Input::Key { code, down }));
                }
            }
        }
        self.waiting.pop()
    }

    fn live(&self) -> bool {
        false
    }

    fn sleep(&mut self, _now: VirtNs, ns: Option<u64>) -> u64 {
        ns.unwrap_or(0)
    }

    fn host_clock(&mut self) -> u64 {
        clock::wall()
    }

    fn output(&mut self, output: &Output) {
        if let Output::Serial { byte, .. } = output {
            self.tail.push(*byte);
            if self.tail.len() > 256 {
                self.tail.drain(..128);
            }
        }
        self.sinks.put(output);
    }

    fn flush(&mut self) {
        self.sinks.flush();
    }
}

/// `demo`: records and replays the embedded guest.
pub fn demo() -> Done {
    let path = std::env::temp_dir().join("dejavm-demo.dvm");
    let name = path.display().to_string();
    println!(
        "Recording a small guest that does what makes replay hard; a line and two keys are typed for it.\n"
    );
    let watch = Stopwatch::start();
    let steps = record(&path).map_err(|e| format!("{name}: {e}"))?;
    let recorded = watch.elapsed().as_secs_f64();
    let recording = super::open(&path)?;
    let count = |f: fn(&Record) -> bool| recording.records.iter().filter(|r| f(r)).count();
    let inputs = count(|r| matches!(r, Record::Input { .. }));
    let clocks = count(|r| matches!(r, Record::HostClock { .. }));
    println!(
        "\nRecorded {steps} steps in {recorded:.1} s: {inputs} inputs, {clocks} reading(s) of this computer's clock."
    );
    let watch = Stopwatch::start();
    match replay(&recording)? {
        Ok(checkpoints) => println!(
            "Replayed them in {:.1} s: all {checkpoints} checkpoints hold, every register, byte of memory and output.",
            watch.elapsed().as_secs_f64()
        ),
        Err(what) => {
            eprintln!("dejavm: {name}: {what}");
            return Ok(1);
        }
    }
    println!("\nThe recording is {name}; it carries the guest. Try next:");
    for line in [
        "replay FILE                  see the run again, byte for byte",
        "replay FILE --to 20000000    only to that step",
        "verify FILE                  compare with every checkpoint",
        "dump FILE                    what came from outside, and when",
        "record --kernel vmlinuz --initrd initrd.img --append console=ttyS0 -o linux.dvm",
    ] {
        println!("  dejavm {}", line.replace("FILE", &name));
    }
    Ok(0)
}

fn machine() -> (MachineConfig, Images) {
    let config = MachineConfig {
        arch: Arch::X86_64,
        machine: Kind::Pc,
        cpu: "qemu64".to_owned(),
        memory: 64 << 20,
        smp: 1,
        images: vec![Image::describe(Role::Kernel, GUEST_NAME, "", GUEST)],
        append: String::new(),
        shift: DEFAULT_SHIFT,
        rtc: Rtc { base: RtcBase::Utc, clock: RtcClock::Host },
        seed: clock::entropy(),
        no_reboot: true,
    };
    let file = GUEST_NAME.to_owned();
    let image = LoadedImage { role: Role::Kernel, file, args: String::new(), bytes: GUEST.to_vec() };
    (config, Images(vec![image]))
}

fn record(path: &Path) -> Result<u64, String> {
    let (config, images) = machine();
    let machine = build::pc(&config, &images, EngineKind::default()).map_err(|e| e.to_string())?;
    let spacing = Spacing::usual(false);
    let file = File::create(path).map_err(|e| plain(&e))?;
    let mut log = Writer::begin(file, &Header::new(config, spacing)).map_err(|e| plain(&e))?;
    for (index, image) in images.0.iter().enumerate() {
        log.image(index, &image.bytes).map_err(|e| plain(&e))?;
    }
    let sinks = Sinks::new(Sink::Stdout, Sink::None);
    let mut typist = Typist { sinks, tail: Vec::new(), typed: false, waiting: Vec::new() };
    let mut runner = Runner::new(machine, true, Some(spacing));
    let ended = Recorder::new(&mut runner, &mut typist, Some(log)).run(u64::MAX).map_err(|e| plain(&e))?;
    Ok(ended.at.icount)
}

/// Replays on a machine made from the recording alone: the checkpoints that hold, or what differs.
fn replay(recording: &Recording) -> Result<Result<u64, String>, String> {
    let config = &recording.header.machine;
    let images = recording.images.iter().zip(&config.images).map(|(bytes, image)| LoadedImage {
        role: image.role,
        file: image.file.clone(),
        args: image.args.clone(),
        bytes: bytes.clone().unwrap_or_default(),
    });
    let machine =
        build::pc(config, &Images(images.collect()), EngineKind::default()).map_err(|e| e.to_string())?;
    let runner = Runner::new(machine, config.no_reboot, Some(recording.header.checkpoints));
    let mut replayer = Replayer::new(runner, Arc::new(Tape::new(recording)));
    let outcome = replayer.run(None, &mut ());
    Ok(match outcome {
        Outcome::End(_) => Ok(replayer.cursor().checkpoints),
        Outcome::Diverged(d) => Err(d.to_string()),
        Outcome::Cut | Outcome::Reached | Outcome::Probed => Err("the recording has no end".to_owned()),
    })
}
