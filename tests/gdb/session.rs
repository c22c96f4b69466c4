//! A replay that waits for a debugger, and stock gdb that drives it by a script of tests/gdb.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const DEJAVM: &str = env!("CARGO_BIN_EXE_dejavm");
/// The debuggers that a user has.
pub const DEBUGGERS: [&str; 2] = ["gdb", "gdb-multiarch"];

/// A folder that goes away with the test, unless that failed.
pub struct Folder(pub PathBuf);

impl Folder {
    /// An empty folder.
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("dejavm-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// A file in it.
    pub fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

/// Says so even where a passed test's output is not shown; in CI nothing is skipped.
pub fn skipped(why: &str) {
    assert!(std::env::var_os("CI").is_none(), "{why}");
    let _ = writeln!(std::io::stderr(), "{why}; skipped");
}

/// True if the debugger is installed.
pub fn installed(gdb: &str) -> bool {
    let found = Command::new(gdb).arg("--version").output().is_ok_and(|o| o.status.success());
    if !found {
        skipped(&format!("{gdb} is not installed"));
    }
    found
}

/// Runs `dejavm`, which must succeed.
pub fn dejavm(args: &[&str]) -> Output {
    let out = Command::new(DEJAVM).args(args).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(0), "dejavm {}: {said}", args.join(" "));
    out
}

/// A replay that waits for a debugger at a Unix socket.
pub struct Server {
    child: Child,
    /// The socket.
    pub socket: String,
}

impl Server {
    /// Starts one; returns when it listens.
    pub fn start(recording: &str, socket: &str, more: &[&str]) -> Self {
        let address = format!("unix:{socket}");
        let child = Command::new(DEJAVM)
            .args(["replay", recording, "--gdb", &address, "--serial", "none"])
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut server = Self { child, socket: socket.to_owned() };
        let begun = Instant::now();
        while !Path::new(socket).exists() {
            if server.child.try_wait().unwrap().is_some() || begun.elapsed() > Duration::from_secs(60) {
                panic!("dejavm replay {recording} --gdb {address} does not listen: {}", server.end());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        server
    }

    /// True while the process lives.
    pub fn running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Ends it; returns what it said.
    pub fn end(&mut self) -> String {
        let _ = self.child.kill();
        let mut said = String::new();
        if let Some(mut pipe) = self.child.stderr.take() {
            let _ = pipe.read_to_string(&mut said);
        }
        let _ = self.child.wait();
        said
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// Runs a script of tests/gdb in a debugger on a symbol file; every test in it must pass.
/// Returns what it printed.
pub fn drive(
    gdb: &str,
    server: &mut Server,
    elf: &str,
    script: &str,
    more: &[(&str, &str)],
    limit: Duration,
) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gdb").join(script);
    let mut child = Command::new(gdb)
        .args(["-nx", "-batch", "-x", path.to_str().unwrap(), elf])
        .env("TARGET", &server.socket)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .envs(more.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let read = |mut pipe: Box<dyn Read + Send>| {
        std::thread::spawn(move || {
            let mut text = Vec::new();
            let _ = pipe.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        })
    };
    let printed = read(Box::new(child.stdout.take().unwrap()));
    let complained = read(Box::new(child.stderr.take().unwrap()));
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break Some(status);
        }
        if begun.elapsed() > limit {
            let _ = child.kill();
            let _ = child.wait();
            break None;
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let (printed, complained) = (printed.join().unwrap(), complained.join().unwrap());
    let all = || format!("{gdb} {script}:\n{printed}\n{complained}");
    let Some(status) = status else { panic!("no end after {limit:?}; {}{}", all(), server.end()) };
    let wanted = std::fs::read_to_string(&path).unwrap().matches("\n@test\n").count();
    let passed = printed.lines().filter(|l| l.starts_with("PASS ")).count();
    assert!(
        status.success() && passed == wanted && wanted > 0,
        "{passed} of {wanted} passed, {status}; {}{}",
        all(),
        server.end()
    );
    let said: String = printed.lines().filter(|l| l.starts_with("PASS ")).map(|l| format!("{l}\n")).collect();
    let _ = write!(std::io::stderr(), "{gdb} {script}\n{said}");
}
