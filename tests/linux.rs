//! Stock Debian kernels, whole: boot, a session at the serial console, power-off, and the run again.
//!
//! The guests are what `guests/build.sh amd64 i386 arm64` makes. Where they are missing the tests say so
//! and end, but fail in CI, which builds them first. A kernel's start is some billions of steps, so
//! an unoptimised build does not try. By default amd64 and arm64 have the session and are verified, arm64,
//! which starts in seconds, from each engine by the other and with switches between them; i386, and arm64
//! with two CPUs and the other interrupt controller, start without input and are verified and replayed. With
//! `DEJAVM_LINUX=all` in the environment all have everything, are verified twice and replayed with
//! switches of the engine, and the files of both engines are compared for the whole boot instead of its
//! beginning.
#![allow(clippy::disallowed_methods, reason = "a process is driven and waited for in real time")]

#[path = "linux/console.rs"]
mod console;
#[path = "torture/engines.rs"]
#[allow(dead_code, reason = "one profile of many")]
mod engines;

use console::{Console, tail};
use dejavm::host::files;
use dejavm::machine::Machine;
use dejavm::machine::pc::Pc;
use dejavm::machine::virt::Virt;
use dejavm::replay::replayer::{Outcome, Replayer};
use dejavm::replay::runner::Runner;
use dejavm::replay::tape::Tape;
use dejavm_jit::engine::Settings;
use engines::{Choice, Profile, Victim};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

const DEJAVM: &str = env!("CARGO_BIN_EXE_dejavm");
/// The guests' prompt, in the folder where their shell starts.
const PROMPT: &str = "guest:/root# ";
/// What a kernel with trouble prints.
const TROUBLE: [&str; 5] = ["BUG", "Oops", "unchecked MSR", "Call Trace", "overrun"];

/// A guest's kernel, and a folder that goes away with the test.
struct Guest {
    arch: &'static str,
    /// Further options of the machine.
    machine: &'static [&'static str],
    kernel: String,
    initrd: String,
    folder: PathBuf,
}

impl Drop for Guest {
    fn drop(&mut self) {
        // A recording that does not verify is evidence.
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// Says so even where a passed test's output is not shown.
fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "{why}; skipped");
}

/// The guest of this name for a test of its own, if it can be run here, on a machine with these options.
fn guest(name: &str, arch: &'static str, machine: &'static [&'static str], test: &str) -> Option<Guest> {
    if cfg!(debug_assertions) {
        skipped(&format!("linux {name}: this build is not optimised: cargo test --release --test linux"));
        return None;
    }
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("guests/build").join(name);
    let files = ["vmlinuz", "initrd.img"].map(|f| built.join(f));
    if let Some(missing) = files.iter().find(|f| !f.is_file()) {
        let text = format!("linux {name}: {} is missing: guests/build.sh {name} makes it", missing.display());
        assert!(std::env::var_os("CI").is_none(), "{text}");
        skipped(&text);
        return None;
    }
    let this = format!("dejavm-linux-{name}{}-{test}-{}", machine.len(), std::process::id());
    let folder = std::env::temp_dir().join(this);
    std::fs::create_dir_all(&folder).unwrap();
    let [kernel, initrd] = files.map(|f| f.to_str().unwrap().to_owned());
    Some(Guest { arch, machine, kernel, initrd, folder })
}

fn everything() -> bool {
    std::env::var("DEJAVM_LINUX").is_ok_and(|v| v == "all")
}

impl Guest {
    fn file(&self, name: &str) -> String {
        self.folder.join(name).to_str().unwrap().to_owned()
    }

    /// Starts a recording; the console is on the process's pipes.
    fn record(&self, append: &str, more: &[&str], recording: &str) -> Console {
        let console = if self.arch == "aarch64" { "ttyAMA0" } else { "ttyS0" };
        let append = format!("console={console} {append}");
        let mut args = vec!["record", "--arch", self.arch, "--kernel", &self.kernel];
        args.extend(["--initrd", &self.initrd, "--append", &append, "--memory", "256M"]);
        args.extend(["-o", recording]);
        args.extend(self.machine);
        args.extend(more);
        Console::start(DEJAVM, &args)
    }

    /// Checks the recording in a fresh process, on this engine.
    fn verify(&self, recording: &str, engine: &str) {
        let out = Command::new(DEJAVM).args(["verify", recording, "--engine", engine]).output().unwrap();
        let (said, err) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        eprint!("{said}{err}");
        assert_eq!(out.status.code(), Some(0), "verify {recording}: {said}{err}");
        assert!(said.contains("verified") && said.contains("(the guest powered off)"), "verify: {said}{err}");
    }

    /// Replays, the engines taking turns at random steps: every checkpoint has to hold.
    fn replay_switching(&self, recording: &str, profile: &Profile) {
        match self.arch {
            "aarch64" => self.replay_switching_on::<Virt>(recording, profile),
            _ => self.replay_switching_on::<Pc>(recording, profile),
        }
    }

    fn replay_switching_on<B: Victim>(&self, recording: &str, profile: &Profile) {
        let path = Path::new(recording);
        let recording = files::open(path).unwrap();
        let header = &recording.header;
        let images = files::find(&header.machine, &recording.images, path, None).unwrap();
        let machine = B::build(&header.machine, &images).unwrap();
        let engine = profile.engine::<B>();
        let machine =
            Machine::new(machine.state.board, machine.mem, engine, header.machine.shift, machine.images);
        let runner = Runner::new(machine, header.machine.no_reboot, Some(header.checkpoints));
        let mut replayer = Replayer::new(runner, Arc::new(Tape::new(&recording)));
        let outcome = replayer.run(None, &mut ());
        assert!(matches!(outcome, Outcome::End(_)), "{profile:?}: {outcome:?}");
    }

    /// An input-free boot on each engine, the first steps of it or all: the files are the same.
    fn same_files(&self, steps: Option<u64>) {
        let [interp, jit] = ["interp", "jit"].map(|engine| {
            let recording = self.file(engine);
            let limit = steps.unwrap_or(u64::MAX).to_string();
            let more = ["--rtc", "base=2026-01-01T00:00:00,clock=vm", "--seed", "1", "--engine", engine];
            let more = [&more[..], &["--serial", "none", "--max-icount", &limit]].concat();
            let console = self.record("dejavm.run=boot", &more, &recording);
            let (status, _, said) = console.end();
            assert_eq!(status, Some(0), "{engine}: {said}");
            assert!(steps.is_some() || said.contains("powered off"), "{engine}: {said}");
            eprint!("{engine}: {said}");
            std::fs::read(recording).unwrap()
        });
        let same = interp.iter().zip(&jit).take_while(|(a, b)| a == b).count();
        let (a, b) = (interp.len(), jit.len());
        assert!(interp == jit, "recordings of {a} (interp) and {b} (jit) bytes differ from byte {same} on");
    }

    /// Replays in a fresh process, which must print the same.
    fn replay(&self, recording: &str, printed: &[u8]) {
        let again = self.file("again");
        let serial = format!("file:{again}");
        let out = Command::new(DEJAVM).args(["replay", recording, "--serial", &serial]).output().unwrap();
        let err = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(0), "replay {recording}: {err}");
        let again = std::fs::read(again).unwrap();
        let same = again.iter().zip(printed).take_while(|(a, b)| a == b).count();
        assert!(
            again == printed,
            "of {} and {} bytes the first {same} are the same; recorded:\n{}\nreplayed:\n{}",
            printed.len(),
            again.len(),
            tail(&printed[..printed.len().min(same + 200)]),
            tail(&again[..again.len().min(same + 200)])
        );
    }
}

/// Waits for the power-off, and looks for the words of trouble; returns what was printed.
fn powered_off(console: Console) -> Vec<u8> {
    let (status, printed, said) = console.end();
    eprint!("{said}");
    assert_eq!(status, Some(0), "{said}{}", tail(&printed));
    assert!(said.contains("the guest powered off at step"), "{said}{}", tail(&printed));
    let text = String::from_utf8_lossy(&printed);
    for line in text.lines() {
        for word in TROUBLE {
            // As a word: 'DEBUG' is no trouble.
            let bad = line
                .match_indices(word)
                .any(|(at, _)| !line[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_'));
            assert!(!bad, "'{word}' in: {line}\n{}", tail(&printed));
        }
    }
    printed
}

/// The host's own digest, in hexadecimal.
fn sha256(bytes: &[u8]) -> String {
    let mut child = Command::new("sha256sum")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("sha256sum of coreutils is needed");
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success());
    String::from_utf8(out.stdout).unwrap()[..64].to_owned()
}

/// 500 lines of 64 bytes, no two the same.
fn long_text() -> Vec<u8> {
    let mut x: u64 = 0x0123_4567_89ab_cdef;
    let mut text = Vec::new();
    for line in 0..500 {
        let mut words = format!("{line:03}");
        while words.len() < 63 {
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            words += &format!("{:015x}", x >> 4);
        }
        assert_eq!(words.len(), 63);
        text.extend(words.into_bytes());
        text.push(b'\n');
    }
    assert_eq!(text.len(), 32_000);
    text
}

/// Types a command at the prompt; returns what was printed up to the next prompt.
fn command(console: &mut Console, line: &str) -> String {
    console.send(format!("{line}\n").as_bytes());
    console.wait_for(PROMPT)
}

/// A person's session, recorded; returns all that was printed.
fn session(guest: &Guest, machine: &str, engine: &str, recording: &str) -> Vec<u8> {
    let mut console = guest.record("", &["--serial", "stdio", "--engine", engine], recording);
    console.wait_for("DejaVM guest: ready");
    console.wait_for(PROMPT);
    let c = &mut console;
    let uname = command(c, "uname -a");
    assert!(uname.contains("Linux guest") && uname.contains(machine), "{uname}");
    let cpus = command(c, "cat /proc/cpuinfo");
    let features = if machine == "aarch64" { "Features\t" } else { "flags\t" };
    assert!(cpus.contains("processor\t: 0") && cpus.contains(features), "{cpus}");

    let numbers: String = (1..=20_000).map(|n| format!("{n}\n")).collect();
    let digest = command(c, "seq 1 20000 >/tmp/n; sha256sum /tmp/n");
    assert!(digest.contains(&format!("{}  /tmp/n", sha256(numbers.as_bytes()))), "{digest}");

    // All at once, much more than the port, the driver and the line discipline hold; the terminal is
    // the command's, no more the shell's, from the word on.
    let text = long_text();
    c.send(b"echo go; cat >/tmp/p\n");
    c.wait_for("\ngo\r\n");
    let mut paste = text.clone();
    paste.push(4);
    c.send(&paste);
    c.wait_for(PROMPT);
    let count = command(c, "wc -c /tmp/p; sha256sum /tmp/p");
    assert!(count.contains("32000 /tmp/p"), "{count}");
    assert!(count.contains(&format!("{}  /tmp/p", sha256(&text))), "{count}");

    let log = command(c, "dmesg | tail");
    assert!(log.lines().filter(|l| l.starts_with('[')).count() >= 5, "{log}");
    c.send(b"poweroff\n");
    c.wait_for("DejaVM guest: power off");
    powered_off(console)
}

/// A start and a power-off with no input, the clock virtual: a function of the options alone.
fn without_input(guest: &Guest, recording: &str) -> Vec<u8> {
    let more = ["--serial", "stdio", "--rtc", "base=2026-01-01T00:00:00,clock=vm", "--seed", "1"];
    let mut console = guest.record("dejavm.run=boot", &more, recording);
    console.leave();
    let printed = powered_off(console);
    let text = String::from_utf8_lossy(&printed);
    assert!(text.contains("DejaVM guest: boot ended, status 0"), "{}", tail(&printed));
    let out = Command::new(DEJAVM).args(["info", "--json", recording]).output().unwrap();
    let info: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!((&info["inputs"], &info["host_clock_reads"]), (&0.into(), &0.into()), "{info}");
    let (steps, bytes) = (info["icount"].as_u64().unwrap(), info["bytes"].as_u64().unwrap());
    eprintln!("linux {}: {bytes} bytes for {steps} steps", guest.arch);
    // The header, which names the images, does not grow with the steps.
    assert!(bytes <= 2048 + 10 * steps / 1_000_000, "{bytes} bytes for {steps} steps");
    printed
}

/// Both engines as users have them, in turns of some ten million steps.
fn often() -> Profile {
    let engines = vec![Choice::Jit(Settings::default()), Choice::Interp];
    Profile { engines, piece: 200_000, flush: 200_000_000, switch: 20_000_000, ..Profile::reference() }
}

fn whole_machine(guest: &Guest, machine: &str, interactive: bool) {
    let recording = guest.file("recording.dvm");
    if interactive || everything() {
        let printed = session(guest, machine, "jit", &recording);
        guest.verify(&recording, "interp");
        let quick = guest.arch == "aarch64";
        if quick {
            guest.replay_switching(&recording, &Profile { seed: 1, ..often() });
        }
        if everything() {
            guest.verify(&recording, "jit");
            guest.replay(&recording, &printed);
            for seed in 1..3 {
                // Short pieces would take hours.
                let profile =
                    Profile { piece: 20_000, flush: 50_000_000, switch: 5_000_000, ..Profile::random(seed) };
                guest.replay_switching(&recording, &profile.switching());
            }
        }
        if quick {
            let printed = session(guest, machine, "interp", &recording);
            guest.verify(&recording, "jit");
            guest.replay(&recording, &printed);
        }
    }
    if !interactive || everything() {
        let printed = without_input(guest, &recording);
        guest.verify(&recording, "interp");
        guest.replay(&recording, &printed);
        if everything() {
            let first = std::fs::read(&recording).unwrap();
            without_input(guest, &recording);
            assert!(first == std::fs::read(&recording).unwrap(), "two recordings of the same run differ");
        }
    }
}

#[test]
fn amd64_session() {
    if let Some(guest) = guest("amd64", "x86_64", &[], "whole") {
        whole_machine(&guest, "x86_64", true);
    }
}

#[test]
fn i386_without_input() {
    if let Some(guest) = guest("i386", "i386", &[], "whole") {
        whole_machine(&guest, "i686", false);
    }
}

#[test]
fn arm64_session() {
    if let Some(guest) = guest("arm64", "aarch64", &[], "whole") {
        whole_machine(&guest, "aarch64", true);
    }
}

#[test]
fn arm64_two_cpus_without_input() {
    if let Some(guest) =
        guest("arm64", "aarch64", &["--machine", "virt,gic-version=3", "--smp", "2"], "whole")
    {
        whole_machine(&guest, "aarch64", false);
    }
}

/// The first 100 million steps of a boot, or all of them: both engines write the same file.
fn engines_agree(name: &str, arch: &'static str) {
    if let Some(guest) = guest(name, arch, &[], "engines") {
        guest.same_files(if everything() { None } else { Some(100_000_000) });
    }
}

#[test]
fn amd64_files_of_both_engines() {
    engines_agree("amd64", "x86_64");
}

#[test]
fn i386_files_of_both_engines() {
    engines_agree("i386", "i386");
}

#[test]
fn arm64_files_of_both_engines() {
    engines_agree("arm64", "aarch64");
}
