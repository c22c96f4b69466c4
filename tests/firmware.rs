//! Debian's firmware for QEMU's `virt` board as far as its own prompt: U-Boot, and EDK2 with its UEFI shell.
//!
//! A person's session is recorded on one engine and verified on the other; U-Boot's both ways, EDK2's, of two billion
//! steps, only with `DEJAVM_LINUX=all` in the environment. What the firmware prints in it is compared, command by
//! command, with what it prints on qemu-system-aarch64. The firmware is in Debian's packages u-boot-qemu and
//! qemu-efi-aarch64; where one or QEMU is missing the test says so.
#![allow(clippy::disallowed_methods, reason = "a process is driven and waited for in real time")]

#[path = "linux/console.rs"]
mod console;

use console::{Console, tail};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

const DEJAVM: &str = env!("CARGO_BIN_EXE_dejavm");
const QEMU: &str = "qemu-system-aarch64";

/// A firmware, and what is typed to it.
struct Firmware {
    name: &'static str,
    package: &'static str,
    file: &'static str,
    /// Options of the machine, the same for both emulators.
    cpus: &'static str,
    /// What it waits for a key with, and the key.
    waits: &'static str,
    key: &'static [u8],
    prompt: &'static str,
    commands: &'static [&'static str],
    /// Further commands, here alone, each with a text that it has to print.
    more: &'static [(&'static str, &'static str)],
    /// The last command.
    off: &'static str,
    /// A recording on the interpreter takes little time.
    quick: bool,
}

const U_BOOT: Firmware = Firmware {
    name: "u-boot",
    package: "u-boot-qemu",
    file: "/usr/lib/u-boot/qemu_arm64/u-boot.bin",
    cpus: "1",
    waits: "Hit any key to stop autoboot",
    key: b" ",
    prompt: "\n=> ",
    commands: &[
        "version",
        "dm uclass",
        "pci enum; pci",
        "virtio info",
        "sleep 1",
        // The reset vector, and both flashes' identifiers and query structures.
        "md.b 0 20; crc32 0 10000",
        "flinfo",
        "mw.l 0 00980098; md.l 0 60; mw.l 0 00ff00ff",
        "mw.l 4000000 00900090; md.l 4000000 2; mw.l 4000000 00ff00ff",
    ],
    // QEMU's flash fails U-Boot's writes by the buffer in Debian 12. What was written is there after a reset.
    more: &[
        ("setenv dejavm kept; saveenv", "Writing to Flash... done"),
        ("reset", "Loading Environment from Flash... OK"),
        ("x", "Unknown command 'x'"),
        ("printenv dejavm", "dejavm=kept"),
    ],
    off: "poweroff",
    quick: true,
};

const EDK2: Firmware = Firmware {
    name: "edk2",
    package: "qemu-efi-aarch64",
    file: "/usr/share/qemu-efi-aarch64/QEMU_EFI.fd",
    cpus: "2",
    waits: "seconds to skip",
    key: b"\x1b",
    prompt: "Shell> \x1b[0m",
    commands: &["ver", "map", "drivers", "pci", "pci 00 00 00 -i", "set x 1", "echo %x%", "dblk", "date"],
    more: &[("set x 2", "Shell> \x1b[0m"), ("echo [%x%]", "[2]\r\n")],
    off: "reset -s",
    quick: false,
};

/// Says so even where a passed test's output is not shown.
fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "{why}; skipped");
}

/// A folder that goes away with the test, unless that failed.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

/// What was printed, line by line, without the terminal's commands and what differs from machine to machine:
/// addresses of U-Boot's objects, and EDK2's handles, which it counts.
fn plain(printed: &str) -> Vec<String> {
    let mut text = String::new();
    let mut chars = printed.chars();
    while let Some(c) = chars.next() {
        match c {
            '\x1b' => {
                let command = chars.by_ref().skip(1).find(char::is_ascii_alphabetic);
                if command == Some('H') {
                    text.push('\n');
                }
            }
            '\r' => {}
            c => text.push(c),
        }
    }
    let stable = |line: &str| {
        let line = line.split_once(" @ ").map_or(line, |l| l.0);
        let handle = line.split_once(' ').filter(|(n, rest)| {
            let hex = |text: &str| text.bytes().all(|b| b.is_ascii_hexdigit());
            (2..=3).contains(&n.len()) && hex(n) && rest.len() > 8 && hex(&rest[..8])
        });
        handle.map_or(line, |(_, rest)| rest).trim_end().to_owned()
    };
    text.lines().map(stable).filter(|l| !l.is_empty()).collect()
}

/// A session as far as it is compared: what was printed up to the first prompt, and by each command.
fn session(console: &mut Console, firmware: &Firmware) -> Vec<Vec<String>> {
    let mut printed = vec![plain(&console.wait_for(firmware.waits))];
    console.send(firmware.key);
    console.wait_for(firmware.prompt);
    for command in firmware.commands {
        console.send(format!("{command}\r").as_bytes());
        printed.push(plain(&console.wait_for(firmware.prompt)));
    }
    printed
}

impl Firmware {
    fn machine(&self) -> [&str; 8] {
        ["--arch", "aarch64", "--memory", "256M", "--smp", self.cpus, "--bios", self.file]
    }

    fn verify(&self, recording: &str, engine: &str) {
        let out = Command::new(DEJAVM).args(["verify", recording, "--engine", engine]).output().unwrap();
        let (said, err) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        eprint!("{}: {said}{err}", self.name);
        assert_eq!(out.status.code(), Some(0), "verify {recording}: {said}{err}");
        assert!(said.contains("verified") && said.contains("(the guest powered off)"), "verify: {said}{err}");
    }

    /// A session recorded on this engine.
    fn record(&self, engine: &str, recording: &str) -> Vec<Vec<String>> {
        let mut args = vec!["record", "--serial", "stdio", "--engine", engine, "-o", recording];
        args.extend(self.machine());
        args.extend(["--rtc", "base=2026-01-01,clock=vm", "--seed", "1"]);
        let mut console = Console::start(DEJAVM, &args);
        let printed = session(&mut console, self);
        for (command, text) in self.more {
            console.send(format!("{command}\r").as_bytes());
            console.wait_for(text);
            if command == &"reset" {
                console.wait_for(self.waits);
                console.send(self.key);
                console.wait_for(self.prompt);
            }
        }
        console.send(format!("{}\r", self.off).as_bytes());
        let (status, all, said) = console.end();
        assert_eq!(status, Some(0), "{said}{}", tail(&all));
        assert!(said.contains("the guest powered off at step"), "{said}{}", tail(&all));
        eprint!("{} {engine}: {said}", self.name);
        printed
    }

    /// The same session on QEMU.
    fn qemu(&self) -> Option<Vec<Vec<String>>> {
        if !Command::new(QEMU).arg("--version").output().is_ok_and(|o| o.status.success()) {
            skipped(&format!("{}: {QEMU} is not installed: nothing to compare with", self.name));
            return None;
        }
        // ACPI tables, which there are none of here, would give EDK2 more drivers.
        let mut args =
            vec!["-machine", "virt,acpi=off", "-cpu", "cortex-a53", "-m", "256M", "-smp", self.cpus];
        args.extend(["-bios", self.file, "-nic", "none", "-display", "none", "-serial", "stdio"]);
        args.extend(["-rtc", "base=2026-01-01,clock=vm"]);
        let mut console = Console::start(QEMU, &args);
        let printed = session(&mut console, self);
        console.send(format!("{}\r", self.off).as_bytes());
        let (status, all, said) = console.end();
        assert_eq!(status, Some(0), "{said}{}", tail(&all));
        Some(printed)
    }

    fn test(&self) {
        if cfg!(debug_assertions) {
            skipped(&format!(
                "{}: this build is not optimised: cargo test --release --test firmware",
                self.name
            ));
            return;
        }
        if !Path::new(self.file).is_file() {
            skipped(&format!(
                "{}: {} is missing, of Debian's package {}",
                self.name, self.file, self.package
            ));
            return;
        }
        let folder = std::env::temp_dir().join(format!("dejavm-{}-{}", self.name, std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let folder = Folder(folder);
        let reference = self.qemu();
        let both = self.quick || std::env::var("DEJAVM_LINUX").is_ok_and(|v| v == "all");
        for (engine, other) in [("jit", "interp"), ("interp", "jit")] {
            if engine == "interp" && !both {
                continue;
            }
            let recording = folder.0.join(engine).to_str().unwrap().to_owned();
            let printed = self.record(engine, &recording);
            self.verify(&recording, other);
            let Some(reference) = &reference else { continue };
            assert_eq!(printed.len(), reference.len());
            let commands = ["(start)"].iter().chain(self.commands);
            for ((command, ours), theirs) in commands.zip(&printed).zip(reference) {
                assert_eq!(ours, theirs, "{} {engine}: {command}: ours and QEMU's", self.name);
            }
        }
    }
}

#[test]
fn u_boot() {
    U_BOOT.test();
}

#[test]
fn edk2() {
    EDK2.test();
}
