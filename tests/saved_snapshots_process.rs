//! `index`, `record --save-every`, `verify --jobs` and `record --from` as a user calls them.

use dejavm::replay::log::{Ending, Recording};
use dejavm::replay::record::Record;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const DEJAVM: &str = env!("CARGO_BIN_EXE_dejavm");
const TOY: [&str; 7] = ["record", "--machine", "toy", "--memory", "8M", "--seed", "7"];

/// A folder that goes away with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("dejavm-saved-{name}-{}", std::process::id()));
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

/// Runs with this on standard input.
fn typed(args: &[&str], input: &[u8]) -> Output {
    let mut command = Command::new(DEJAVM);
    let pipes = command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = pipes.spawn().unwrap();
    // A run that ends before it reads all closes the pipe.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

fn expect(status: i32, args: &[&str]) -> (String, String) {
    let out = typed(args, b"");
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    assert_eq!(out.status.code(), Some(status), "{args:?}: {}", text(&out.stderr));
    (text(&out.stdout), text(&out.stderr))
}

fn refused(args: &[&str], words: &[&str]) {
    let (_, err) = expect(2, args);
    assert_eq!(err.lines().count(), 1, "{args:?}: {err}");
    for word in words {
        assert!(err.contains(word), "{args:?}: '{word}' in {err}");
    }
}

fn toy<'a>(more: &[&'a str]) -> Vec<&'a str> {
    TOY.iter().copied().chain(more.iter().copied()).collect()
}

fn read(path: &str) -> Recording {
    Recording::read(std::fs::File::open(path).unwrap()).unwrap()
}

fn json(path: &str) -> serde_json::Value {
    serde_json::from_str(&expect(0, &["info", "--json", path]).0).unwrap()
}

#[test]
fn index_and_save_every() {
    let dir = Folder::new("index");
    let (plain, saving, copy, packed) =
        (dir.file("plain"), dir.file("saving"), dir.file("copy"), dir.file("p"));
    let run = ["--append", "say quit=50000000"];
    expect(0, &toy(&[&run[..], &["-o", &plain]].concat()));
    expect(0, &toy(&[&run[..], &["-o", &saving, "--save-every", "4M"]].concat()));
    let bytes = |path: &str| std::fs::read(path).unwrap();
    expect(0, &["index", &plain, "--every", "4M", "-o", &copy, "--jobs", "1"]);
    assert!(bytes(&copy) == bytes(&saving), "saved while recording or afterwards");
    let info = json(&saving);
    assert_eq!(info["saved_snapshots"]["count"], 11);
    assert_eq!(info["saved_snapshots"]["every"], 4 << 20);
    assert!(info["saved_snapshots"]["bytes"].as_u64().unwrap() > 1000);
    assert!(expect(0, &["info", &saving]).0.contains("11 saved"));
    assert_eq!(expect(0, &["dump", &saving]).0.matches("snapshot").count(), 11);
    assert_eq!(expect(0, &["dump", "--json", &saving]).0.matches("{\"snapshot\":{").count(), 11);
    expect(0, &["diff", &plain, &saving]);
    expect(0, &["pack", &saving, "-o", &packed]);
    assert!(bytes(&packed) == bytes(&saving), "it has no images");
    let serial = expect(0, &["verify", &saving]).0;
    for jobs in ["1", "2", "3"] {
        assert_eq!(expect(0, &["verify", &saving, "--jobs", jobs]).0, serial);
    }
    // Where nothing is shown a replay to a step begins at a saved snapshot, and says the same.
    for to in ["0", "10000000", "40000001", "50000000", "99999999999"] {
        let to = |file: &String| {
            let (out, err) = expect(0, &["replay", file, "--serial", "none", "--to", to]);
            assert_eq!(out, "");
            err.replace(file, "FILE")
        };
        assert_eq!(to(&plain), to(&saving));
    }
    // Nothing is saved where the guest ended its run.
    let (ends, there) = (dir.file("ends"), dir.file("there"));
    expect(0, &toy(&["--append", "quit=8388608", "-o", &ends, "--save-every", "4M"]));
    expect(0, &["index", &ends, "--every", "4M", "-o", &there]);
    assert!(bytes(&ends) == bytes(&there));
    assert_eq!(json(&there)["saved_snapshots"]["count"], 1);
    // In place, twice, and out again.
    let original = bytes(&plain);
    expect(0, &["index", &plain, "--every", "4M"]);
    expect(0, &["index", &plain, "--every", "16M"]);
    assert_eq!(json(&plain)["saved_snapshots"]["count"], 2);
    expect(0, &["index", &plain, "--remove"]);
    assert!(bytes(&plain) == original);
    let left = std::fs::read_dir(&dir.0).unwrap().count();
    assert_eq!(left, 6, "no temporary files");
}

#[test]
fn a_failed_index_leaves_the_recording() {
    let dir = Folder::new("failed");
    let (file, other) = (dir.file("log"), dir.file("no/dir"));
    expect(0, &toy(&["--append", "clock quit=20000000", "-o", &file]));
    let original = std::fs::read(&file).unwrap();
    refused(&["index", &file, "-o", &other], &["no/dir", "No such file"]);
    refused(&["index", &file, "-o", "/dev/full"], &["/dev/full", "not a regular file"]);
    refused(&["index", &file, "--every", "12"], &["--every 12", "least"]);
    refused(&["index", &file, "--every", "x"], &["--every x"]);
    refused(&["index", &file, "--remove", "--every", "1M"], &["--every"]);
    refused(&toy(&["-o", &other, "--save-every", "0"]), &["--save-every 0"]);
    let out = Command::new("bash")
        .args(["-c", "ulimit -f 2; exec \"$@\"", "bash", DEJAVM, "index", &file, "--every", "1M"])
        .output()
        .unwrap();
    let err = String::from_utf8(out.stderr).unwrap();
    assert_eq!(out.status.code(), Some(2), "{err}");
    assert!(err.contains("cannot write") && err.contains("nothing was changed"), "{err}");
    assert!(std::fs::read(&file).unwrap() == original);
    assert_eq!(std::fs::read_dir(&dir.0).unwrap().count(), 1, "no temporary files");
    // A damaged saved snapshot is said and left out; the recording stands.
    expect(0, &["index", &file, "--every", "4M"]);
    let mut bytes = std::fs::read(&file).unwrap();
    let place = read(&file).saved[1].payloads[0].0;
    bytes[place as usize + 3] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    assert!(expect(0, &["info", &file]).0.contains("damaged at byte"));
    let (said, warned) = expect(0, &["verify", &file, "--jobs", "2"]);
    assert!(said.contains("powered off"), "{said}{warned}");
    expect(0, &["index", &file, "--remove"]);
    assert!(std::fs::read(&file).unwrap() == original);
}

/// Number of leading records that are the same, and those of the first before a step.
fn prefix(a: &Recording, b: &Recording, step: u64) -> (usize, usize) {
    let same = a.records.iter().zip(&b.records).take_while(|(a, b)| a == b).count();
    (same, a.records.iter().take_while(|r| r.icount() < step).count())
}

#[test]
fn branches_go_on_live() {
    let dir = Folder::new("branch");
    let (file, new) = (dir.file("log@1"), dir.file("new"));
    let more = ["--append", "clock say busy=30000", "--serial", "stdio", "--max-icount", "8000000"];
    let out = typed(&toy(&[&more[..], &["-o", &file]].concat()), b"hello t abc");
    assert_eq!(out.status.code(), Some(0), "{}", String::from_utf8_lossy(&out.stderr));
    let old = read(&file);
    for indexed in [false, true] {
        if indexed {
            expect(0, &["index", &file, "--every", "1M"]);
        }
        for (moment, step) in [("0", 0), ("1234567", 1_234_567), ("50%", 4_000_000), ("8000000", 8_000_000)] {
            let from = format!("{file}@{moment}");
            let args = ["record", "--from", &from, "-o", &new, "--serial", "stdio", "--save-every", "2M"];
            let args = [&args[..], &["--max-icount", "80000000"]].concat();
            let out = typed(&args, b"b t 45 q");
            let err = String::from_utf8_lossy(&out.stderr);
            assert_eq!(out.status.code(), Some(0), "{moment}: {err}");
            let branch = read(&new);
            assert_eq!(branch.header, old.header);
            let (same, before) = prefix(&old, &branch, step);
            assert!(same >= before, "{moment}: {same} of {before} records are the same");
            let typed = branch.records.iter().any(|r| {
                matches!(r, Record::Input { at, input: dejavm::replay::Input::Serial { .. } } if at.icount >= step)
            });
            assert!(typed, "{moment}");
            let serial = expect(0, &["verify", &new]).0;
            assert!(serial.contains("powered off"), "{moment}: {serial}");
            assert_eq!(expect(0, &["verify", &new, "--jobs", "2"]), (serial, String::new()), "{moment}");
        }
    }
    // A branch of a branch, and without its saved snapshots.
    let second = dir.file("second");
    let from = format!("{new}@8000001");
    let out = typed(&["record", "--from", &from, "-o", &second, "--serial", "stdio"], b"q");
    assert_eq!(out.status.code(), Some(0), "{}", String::from_utf8_lossy(&out.stderr));
    expect(0, &["verify", &second]);

    refused(&["record", "--from", &format!("{file}@8000001"), "-o", &new], &["ends at step 8000000"]);
    refused(&["record", "--from", &format!("{new}@end"), "-o", &second], &["powered off", "nothing goes on"]);
    let end = read(&new).last().icount;
    refused(
        &["record", "--from", &format!("{new}@{end}"), "-o", &second],
        &["powered off", "nothing goes on"],
    );
    refused(&["record", "--from", "x", "-o", &new], &["--from x", "FILE@ICOUNT"]);
    refused(&["record", "--from", &format!("{file}@1.5"), "-o", &new], &["FILE@ICOUNT"]);
    refused(&["record", "--from", &format!("{file}@0"), "-o", &file], &["another name"]);
    refused(&["record", "--from", &format!("{file}@0"), "-o", &new, "--memory", "8M"], &["--memory"]);
    refused(&["record", "--from", &format!("{file}@0"), "-o", &new, "--no-reboot"], &["--no-reboot"]);
    refused(&["record", "--from", &format!("{file}@0"), "-o", &new, "--gdb", "0"], &["--gdb"]);
    assert!(read(&new).ending == Ending::Whole, "refused before it was touched");
}

#[test]
fn the_end_of_a_recording_goes_on() {
    let dir = Folder::new("goes-on");
    let (file, new, cut) = (dir.file("log"), dir.file("new"), dir.file("cut"));
    let more = ["--append", "clock busy=30000", "--serial", "stdio", "--max-icount", "5000000"];
    assert_eq!(typed(&toy(&[&more[..], &["-o", &file]].concat()), b"hello").status.code(), Some(0));
    let go_on = |from: &str| {
        let out = typed(&["record", "--from", from, "-o", &new, "--serial", "stdio"], b"on q");
        assert_eq!(out.status.code(), Some(0), "{}", String::from_utf8_lossy(&out.stderr));
        expect(0, &["verify", &new]);
        read(&new)
    };
    let old = read(&file);
    let longer = go_on(&format!("{file}@end"));
    // All but the end and its checkpoint.
    assert_eq!(prefix(&old, &longer, u64::MAX).0, old.records.len() - 2);
    assert!(longer.last() > old.last());
    let bytes = std::fs::read(&file).unwrap();
    for part in [3, 2] {
        std::fs::write(&cut, &bytes[..bytes.len() * (part - 1) / part]).unwrap();
        let old = read(&cut);
        let longer = go_on(&format!("{cut}@end"));
        assert_eq!(prefix(&old, &longer, u64::MAX).0, old.records.len());
    }
}

#[test]
fn the_demo_guest_branches() {
    let dir = Folder::new("demo");
    let (file, new) = (dir.file("log"), dir.file("new"));
    let kernel = Path::new(env!("CARGO_MANIFEST_DIR")).join("guests/demo/demo.elf");
    let guest = ["record", "--kernel", kernel.to_str().unwrap(), "--memory", "64M", "--seed", "5"];
    let more = ["--rtc", "base=2026-01-01,clock=vm", "--save-every", "4M", "--serial", "stdio", "-o", &file];
    assert_eq!(typed(&[&guest[..], &more].concat(), b"one\n").status.code(), Some(0));
    let serial = expect(0, &["verify", &file, "--jobs", "2"]).0;
    assert_eq!(expect(0, &["verify", &file]).0, serial);
    for moment in ["20%", "70%"] {
        let from = format!("{file}@{moment}");
        let out = typed(&["record", "--from", &from, "--serial", "stdio", "-o", &new], b"another\n");
        assert_eq!(out.status.code(), Some(0), "{}", String::from_utf8_lossy(&out.stderr));
        expect(0, &["verify", &new]);
    }
}
