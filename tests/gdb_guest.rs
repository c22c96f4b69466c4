//! Stock gdb, by source line and variable, on the project's own debug guest: tests/gdb/guest.py says what is
//! done. Both of Debian's debuggers, both widths of the guest.
#![allow(clippy::disallowed_methods, reason = "processes are driven and waited for in real time")]

#[path = "gdb/session.rs"]
mod session;

use session::{DEBUGGERS, Folder, Server, dejavm, drive, installed};
use std::time::Duration;

/// Records the guest of this width.
fn record(folder: &Folder, bits: &str) -> (String, String) {
    let elf = format!("{}/guests/debug/debug{bits}.elf", env!("CARGO_MANIFEST_DIR"));
    let recording = folder.file("recording.dvm");
    let arch = if bits == "64" { "x86_64" } else { "i386" };
    let mut args = vec!["record", "--arch", arch, "--kernel", &elf, "--memory", "16M", "--no-reboot"];
    args.extend(["--seed", "1", "--rtc", "base=2026-01-01,clock=vm", "--max-icount", "10000000"]);
    args.extend(["--serial", "none", "-o", &recording]);
    dejavm(&args);
    (elf, recording)
}

fn debug(bits: &str) {
    let folder = Folder::new(&format!("gdb-guest-{bits}"));
    let (elf, recording) = record(&folder, bits);
    let before = std::fs::read(&recording).unwrap();
    for gdb in DEBUGGERS.into_iter().filter(|gdb| installed(gdb)) {
        let mut server = Server::start(&recording, &folder.file(&format!("{gdb}.socket")), &[]);
        let env = [("BITS", bits)];
        drive(gdb, &mut server, &elf, "guest.py", &env, Duration::from_secs(300));
    }
    assert!(before == std::fs::read(&recording).unwrap(), "a debugger's writes reached the recording");
}

#[test]
fn lines_and_variables_64() {
    debug("64");
}

#[test]
fn lines_and_variables_32() {
    debug("32");
}
