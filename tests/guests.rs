//! The bare-metal test guests on the `pc` board: each prints PASS and FAIL lines on the debug console and
//! `ALL PASS` at its end.

use std::collections::BTreeMap;
use std::process::{Command, Output};

fn dejavm(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_dejavm")).args(args).output().expect("the binary starts")
}

/// The command that runs a test guest.
fn guest(name: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dejavm"));
    command.args(["run", "--kernel", &format!("guests/tests/{name}.elf")]);
    command.args(["--cpu", "max", "--memory", "64M", "--serial", "none", "--no-reboot"]);
    command
}

/// Runs a test guest to a step; what comes of it, with what it printed on the debug console.
fn run_to(name: &str, engine: &str, limit: &str) -> Output {
    let end = ["--engine", engine, "--debugcon", "stdio", "--max-icount", limit];
    guest(name).args(end).output().expect("the binary starts")
}

/// Runs a test guest to its end; what it printed on the debug console.
fn run(name: &str, engine: &str) -> String {
    let out = run_to(name, engine, "100000000");
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(text.ends_with("ALL PASS\n"), "{name}:\n{text}\n{}", String::from_utf8_lossy(&out.stderr));
    assert!(!text.contains("FAIL"), "{name}:\n{text}");
    text
}

macro_rules! guests {
    ($($name:ident)*) => { $(#[test] fn $name() {
        for engine in ["interp", "jit"] {
            run(stringify!($name), engine);
        }
    })* };
}
guests!(exceptions exceptions64 paging realmode smc taskswitch v86);

/// Every rule of the step count: the guest is stopped one step before each of its marks, where the
/// mark has not been printed, and at it, where it has.
#[test]
fn icount() {
    for engine in ["interp", "jit"] {
        steps_on(engine);
    }
}

fn steps_on(engine: &str) {
    let text = run("icount", engine);
    // What the guest counted itself: iterations of its two spin loops.
    let spins: BTreeMap<&str, u64> = text
        .lines()
        .filter_map(|l| l.trim().split_once('='))
        .filter_map(|(k, v)| Some((k, u64::from_str_radix(v.trim(), 16).ok()?)))
        .collect();
    let mut expected = Vec::new();
    for line in include_str!("../guests/tests/icount.expect").lines().filter(|l| !l.starts_with('#')) {
        let mut words = line.split_whitespace();
        let (Some(from), Some(to), Some(steps)) = (words.next(), words.next(), words.next()) else {
            continue;
        };
        let steps = match steps.split_once('+') {
            None => steps.parse().expect("a number"),
            Some((fixed, spin)) => {
                let each: u64 = spin.trim_end_matches("*N").parse().expect("a factor");
                fixed.parse::<u64>().expect("a number") + each * spins[format!("{from}{to}").as_str()]
            }
        };
        expected.push((to.to_owned(), steps));
    }
    assert!(expected.len() > 20);
    // The step that the first mark's OUT is: the least limit at which it has been printed.
    let printed = |limit: u64| {
        let out = run_to("icount", engine, &limit.to_string());
        String::from_utf8_lossy(&out.stdout).trim().to_owned()
    };
    let (mut low, mut high) = (0, 100_000);
    while high - low > 1 {
        let middle = (low + high) / 2;
        if printed(middle).is_empty() { low = middle } else { high = middle }
    }
    let mut at = high;
    let mut marks = String::from("A");
    for (mark, steps) in expected {
        assert_eq!(printed(at + steps - 1), marks, "before mark {mark}");
        at += steps;
        marks.push_str(&mark);
        assert_eq!(printed(at), marks, "at mark {mark}");
    }
}

/// The demo guest, recorded without input, twice the same, and verified.
#[test]
fn demo_guest_records_the_same_twice() {
    let dir = std::env::temp_dir().join(format!("dejavm-guests-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a temporary directory");
    let files = ["one", "two"].map(|n| dir.join(n));
    for file in &files {
        let file = file.to_str().expect("a plain path");
        let out = dejavm(&[
            "record",
            "--kernel",
            "guests/demo/demo.elf",
            "--memory",
            "64M",
            "--serial",
            "none",
            "--no-reboot",
            "--seed",
            "7",
            "--rtc",
            "base=2026-01-01T00:00:00,clock=vm",
            "-o",
            file,
        ]);
        assert_eq!(out.status.code(), Some(0), "{}", String::from_utf8_lossy(&out.stderr));
        let out = dejavm(&["verify", file]);
        assert_eq!(out.status.code(), Some(0), "{}", String::from_utf8_lossy(&out.stderr));
    }
    let [one, two] = files.map(|f| std::fs::read(f).expect("a recording"));
    assert!(one == two, "two input-free recordings differ");
    std::fs::remove_dir_all(&dir).expect("the directory is ours");
}

/// `demo` ends well.
#[test]
fn demo() {
    let out = dejavm(&["demo"]);
    let text = String::from_utf8_lossy(&out.stdout);
    assert_eq!(out.status.code(), Some(0), "{text}{}", String::from_utf8_lossy(&out.stderr));
    assert!(text.contains("this line is in the log") && text.contains("checkpoints hold"), "{text}");
}

/// The compiler counts what `--stats` asks for, and names its code for perf.
#[test]
fn compiled_code_is_counted_and_named() {
    let mut child = guest("icount")
        .args(["--max-icount", "100000000", "--stats", "--perf-map"])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let map = format!("/tmp/perf-{}.map", child.id());
    let mut said = String::new();
    let read = std::io::Read::read_to_string(child.stderr.as_mut().expect("it is piped"), &mut said);
    read.expect("it is text");
    child.wait().expect("it ends");
    for counted in ["compiled blocks run", "accesses to memory of compiled code"] {
        let line = said.lines().find(|l| l.contains(counted)).unwrap_or_else(|| panic!("{counted}: {said}"));
        let n: u64 = line.rsplit(' ').next().and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("{line}"));
        assert!(n > 0, "{line}");
    }
    let names = std::fs::read_to_string(&map).expect("the map is there");
    let _ = std::fs::remove_file(&map);
    let blocks =
        names.lines().filter(|l| l.split(' ').nth(2).is_some_and(|name| name.starts_with("0x"))).count();
    assert!(blocks > 3 && names.contains("dejavm: entry and exit"), "{names}");
}
