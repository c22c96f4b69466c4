//! The `dejavm` command as a process: files, signals, exit statuses. On the toy board.
#![allow(clippy::disallowed_methods, reason = "processes are killed at moments of real time")]

mod common;

use common::Random;
use dejavm::replay::log::{Ending, Recording};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// A folder that goes away with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("dejavm-{name}-{}", std::process::id()));
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

const DEJAVM: &str = env!("CARGO_BIN_EXE_dejavm");

fn dejavm(args: &[&str]) -> Output {
    Command::new(DEJAVM).args(args).stdin(Stdio::null()).output().unwrap()
}

/// Runs, and checks the status; returns standard output and the one line on standard error.
fn expect(status: i32, args: &[&str]) -> (Vec<u8>, String) {
    let out = dejavm(args);
    let err = String::from_utf8(out.stderr).unwrap();
    assert_eq!(out.status.code(), Some(status), "{args:?}: {err}");
    (out.stdout, err)
}

/// Runs what must fail as bad usage or input, with one line that has these words.
fn refused(args: &[&str], words: &[&str]) {
    let (_, err) = expect(2, args);
    assert_eq!(err.lines().count(), 1, "{args:?}: {err}");
    for word in words {
        assert!(err.contains(word), "{args:?}: '{word}' in {err}");
    }
}

const TOY: [&str; 6] = ["--machine", "toy", "--memory", "8M", "--seed", "7"];

fn toy<'a>(command: &'a str, rest: &[&'a str]) -> Vec<&'a str> {
    let mut v = vec![command];
    v.extend(TOY);
    v.extend(rest);
    v
}

#[test]
fn records_twice_the_same_and_verifies_in_a_fresh_process() {
    let dir = Folder::new("twice");
    let (a, b) = (dir.file("a"), dir.file("b"));
    let append = "say quit=60000000";
    let (printed, _) = expect(0, &toy("record", &["--append", append, "-o", &a]));
    expect(0, &toy("record", &["--append", append, "-o", &b]));
    assert_eq!(std::fs::read(&a).unwrap(), std::fs::read(&b).unwrap());
    expect(0, &["diff", &a, &b]);
    for _ in 0..2 {
        let (out, _) = expect(0, &["verify", &a]);
        assert!(String::from_utf8(out).unwrap().contains("powered off"));
    }
    let (again, _) = expect(0, &["replay", &a]);
    assert_eq!(printed, again);
    expect(0, &["replay", &a, "--serial", "none", "--to", "1234567"]);
    let (run, _) = expect(0, &toy("run", &["--append", append]));
    assert_eq!(printed, run);
    let (json, _) = expect(0, &["info", "--json", &a]);
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(json["icount"], 60_000_000);
    assert_eq!(json["complete"], true);
    assert_eq!(json["machine"]["machine"], "toy");
    assert!(json["engine_semantics"].is_u64() && json["images"].is_array());
    let (dump, _) = expect(0, &["dump", "--json", &a]);
    let lines: Vec<serde_json::Value> = dump
        .split(|&b| b == b'\n')
        .filter(|l| !l.is_empty())
        .map(|l| serde_json::from_slice(l).unwrap())
        .collect();
    assert!(lines.last().unwrap()["end"]["reason"] == "power-off");
    let other = dir.file("c");
    expect(0, &toy("record", &["--append", "say quit=50000000", "-o", &other]));
    expect(1, &["diff", &a, &other]);
}

#[test]
fn a_killed_recorder_leaves_what_happened() {
    let dir = Folder::new("kill");
    let mut random = Random(std::process::id().into());
    for round in 0..20 {
        let (file, printed) = (dir.file("log"), dir.file("printed"));
        let append = if round % 2 == 0 { "say busy=100000" } else { "say clock busy=100000" };
        let mut child = Command::new(DEJAVM)
            .args(toy("record", &["--append", append, "-o", &file]))
            .stdin(Stdio::null())
            .stdout(std::fs::File::create(&printed).unwrap())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(100 + random.below(700)));
        child.kill().unwrap();
        child.wait().unwrap();
        let bytes = std::fs::read(&file).unwrap();
        if bytes.is_empty() {
            // Killed before the first write, on a very busy host.
            continue;
        }
        let recording = Recording::read(bytes.as_slice()).unwrap();
        assert_ne!(recording.ending, Ending::Whole);
        // Each tick prints a character, and computes for 100,000 steps.
        let ticks = std::fs::metadata(&printed).unwrap().len();
        let (end, lost) = (recording.last().icount, 2 << 24);
        assert!(end + lost >= ticks * 100_000, "ends at {end}, {ticks} ticks were printed");
        if round % 5 == 0 {
            let (out, err) = expect(0, &["verify", &file]);
            assert!(String::from_utf8(out).unwrap().contains("incomplete"));
            assert!(err.contains("last whole frame"), "{err}");
        }
    }
}

#[test]
fn signals_press_the_power_button() {
    let dir = Folder::new("signal");
    let file = dir.file("log");
    let mut child = Command::new(DEJAVM)
        .args(toy("record", &["-o", &file]))
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begun = || std::fs::metadata(&file).is_ok_and(|m| m.len() > 0);
    while !begun() {
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(Duration::from_millis(100));
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let (dump, _) = expect(0, &["dump", &file]);
    assert!(String::from_utf8(dump).unwrap().contains("PowerButton"));
    expect(0, &["verify", &file]);
}

#[test]
fn typed_input_comes_back() {
    use std::io::Write;
    let dir = Folder::new("typed");
    let file = dir.file("log");
    let mut child = Command::new(DEJAVM)
        .args(toy("record", &["--serial", "stdio", "-o", &file]))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    for text in ["hello\n", "wold t ", "\x01\x03", "end q"] {
        std::thread::sleep(Duration::from_millis(150));
        stdin.write_all(text.as_bytes()).unwrap();
    }
    drop(stdin);
    let out = child.wait_with_output().unwrap();
    assert_eq!(out.status.code(), Some(0));
    let text = String::from_utf8(out.stdout.clone()).unwrap();
    assert!(text.starts_with("hello\nwold [") && text.ends_with("end "), "{text:?}");
    expect(0, &["verify", &file]);
    assert_eq!(expect(0, &["replay", &file]).0, out.stdout);
}

#[test]
fn a_full_disk_keeps_what_fits() {
    let dir = Folder::new("full");
    let file = dir.file("log");
    let script = "ulimit -f 4; exec \"$@\"";
    let out = Command::new("bash")
        .args(["-c", script, "bash", DEJAVM])
        .args(toy("record", &["--append", "clock busy=3000", "-o", &file]))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let err = String::from_utf8(out.stderr).unwrap();
    assert_eq!(out.status.code(), Some(2), "{err}");
    assert!(err.lines().count() == 1 && err.contains(&file) && err.contains("cannot write"), "{err}");
    expect(0, &["verify", &file]);
    refused(&toy("record", &["--append", "quit=9", "-o", "/dev/full"]), &["/dev/full", "No space"]);
}

#[test]
fn bad_input_gets_one_line() {
    let dir = Folder::new("bad");
    let out = dir.file("out");
    let kernel = dir.file("kernel");
    std::fs::write(&kernel, vec![7; 10_000]).unwrap();
    let missing = dir.file("missing");
    let no_dir = dir.file("no/dir");
    for (args, words) in [
        (&["--kernel", &missing][..], &["kernel", "missing", "No such file"][..]),
        (&["--initrd", &missing], &["initrd", "missing"]),
        (&["--kernel", dir.0.to_str().unwrap()], &["is a directory"]),
        (&["--kernel", "/dev/zero"], &["not a regular file"]),
        (&["--memory", "0"], &["memory of 0"]),
        (&["--memory", "4K"], &["too little"]),
        (&["--memory", "much"], &["--memory much"]),
        (&["--memory", "2T"], &["too much"]),
        (&["--arch", "vax"], &["--arch vax"]),
        (&["--machine", "q35"], &["--machine q35"]),
        (&["--cpu", "z80"], &["--cpu z80"]),
        (&["--smp", "0"], &["CPUs"]),
        (&["--shift", "11"], &["shift"]),
        (&["--shift", "x"], &["--shift x"]),
        (&["--rtc", "base=yesterday"], &["--rtc", "base"]),
        (&["--rtc", "clock=sun"], &["--rtc", "clock"]),
        (&["--seed", "-"], &["--seed"]),
        (&["--engine", "warp"], &["--engine warp"]),
        (&["--drive", "file=x"], &["--drive"]),
        (&["--net", "user"], &["--net"]),
        (&["--display", "vnc"], &["--display"]),
        (&["--gdb", "nowhere"], &["--gdb nowhere"]),
        (&["--monitor", "0"], &["--monitor"]),
        (&["--qmp", "0"], &["--qmp"]),
        (&["--serial", "pigeon"], &["--serial pigeon"]),
        (&["--nonsense"], &["--nonsense"]),
        (&["--append", "fnord"], &["--append", "fnord"]),
    ] {
        let mut all = toy("record", &["-o", &out]);
        // The option under test replaces the usual one.
        if let Some(at) = all.iter().position(|a| *a == args[0]) {
            all.drain(at..at + 2);
        }
        all.extend(args);
        refused(&all, words);
        assert!(!Path::new(&out).exists(), "{args:?} left an output file");
    }
    let large = dir.file("large");
    std::fs::File::create(&large).unwrap().set_len(9 << 20).unwrap();
    refused(&toy("run", &["--initrd", &large]), &["initrd", "large", "memory"]);
    refused(&toy("record", &["--append", "quit=9", "-o", &no_dir]), &["no/dir", "No such file"]);
    refused(&toy("record", &["--kernel", &kernel, "-o", &kernel]), &["kernel", "not overwritten"]);
    assert_eq!(std::fs::read(&kernel).unwrap().len(), 10_000);
    refused(&["verify", &missing], &["missing", "No such file"]);
    refused(&["verify", &kernel], &["kernel", "not a DejaVM recording"]);
    refused(&["info", dir.0.to_str().unwrap()], &["directory"]);
    refused(&["replay", &kernel, "--to", "x"], &["--to x"]);
    refused(&["record"], &["--output"]);
}

#[test]
fn changed_images_and_damage_are_named() {
    let dir = Folder::new("images");
    let (kernel, log, packed) = (dir.file("kernel"), dir.file("log"), dir.file("packed"));
    let mut random = Random(3);
    let bytes: Vec<u8> = (0..700_000).map(|_| random.below(256) as u8).collect();
    std::fs::write(&kernel, &bytes).unwrap();
    let kernel_args = ["--kernel", &kernel, "--append", "clock quit=20000000", "-o", &log];
    expect(0, &toy("record", &kernel_args));
    expect(0, &["verify", &log]);
    expect(0, &["pack", &log, "-o", &packed]);
    for _ in 0..5 {
        let mut changed = bytes.clone();
        changed[random.below(bytes.len() as u64) as usize] ^= 1;
        std::fs::write(&kernel, &changed).unwrap();
        refused(&["verify", &log], &["log", "kernel", "not the recorded image"]);
        refused(&["pack", &log, "-o", &dir.file("p2")], &["not the recorded image"]);
    }
    std::fs::write(&kernel, &bytes[..1000]).unwrap();
    refused(&["replay", &log], &["not the recorded image", "1000 bytes"]);
    std::fs::remove_file(&kernel).unwrap();
    refused(&["replay", &log], &["kernel", "No such file"]);
    expect(0, &["verify", &packed]);
    expect(0, &["diff", &log, &packed]);
    // Beside the recording, or in a folder that is named.
    std::fs::create_dir(dir.file("elsewhere")).unwrap();
    std::fs::write(dir.file("elsewhere/kernel"), &bytes).unwrap();
    expect(0, &["verify", &log, "--images", &dir.file("elsewhere")]);

    let good = std::fs::read(&log).unwrap();
    for _ in 0..10 {
        let mut bad = good.clone();
        bad[random.below(good.len() as u64) as usize] ^= 1 << random.below(8);
        std::fs::write(&log, &bad).unwrap();
        for command in ["verify", "replay", "info", "dump", "pack"] {
            refused(&[command, &log], &["log: "]);
        }
    }
    std::fs::write(dir.file("kernel"), &bytes).unwrap();
    for _ in 0..10 {
        let length = random.below(good.len() as u64) as usize;
        std::fs::write(&log, &good[..length]).unwrap();
        let out = dejavm(&["verify", &log]);
        let err = String::from_utf8(out.stderr).unwrap();
        assert_eq!(err.lines().count(), 1, "{err}");
        let words = if out.status.code() == Some(0) { "last whole frame" } else { "recording" };
        assert!(err.contains(words) || err.contains("cut inside its header"), "{err}");
    }
}
