//! Stock gdb on a replayed boot of a Debian kernel: tests/gdb/linux.py says what is done.
//!
//! The guests are what `guests/build.sh amd64 i386 arm64` makes; where they are missing the tests say so, but
//! fail in CI. By default the first billion steps of amd64's kernel are recorded, started by PVH from the ELF
//! file inside its bzImage, because that skips three billion steps of unpacking, and all of arm64's boot, which
//! has nothing to unpack. With `DEJAVM_LINUX=all` it is the stock bzImage from power-on to power-off, of i386
//! too, and both debuggers.
#![allow(clippy::disallowed_methods, reason = "processes are driven and waited for in real time")]

#[path = "gdb/session.rs"]
mod session;

use session::{DEBUGGERS, Folder, Server, dejavm, drive, installed, skipped};
use std::path::Path;
use std::time::Duration;

/// A guest, and how much is done.
struct Form {
    arch: &'static str,
    console: &'static str,
    kernel: &'static str,
    steps: &'static str,
    functions: &'static str,
    place: &'static str,
    debuggers: &'static [&'static str],
}

const SHORT: Form = Form {
    arch: "x86_64",
    console: "ttyS0",
    kernel: "vmlinux",
    steps: "1000000000",
    functions: "kernel_clone",
    place: "70%",
    debuggers: &["gdb"],
};

const LONG: Form = Form {
    kernel: "vmlinuz",
    steps: "20000000000",
    functions: "kernel_clone do_timer",
    place: "80%",
    debuggers: &DEBUGGERS,
    ..SHORT
};

/// Debian's gdb knows its own architecture alone.
const ARM: Form = Form {
    arch: "aarch64",
    console: "ttyAMA0",
    kernel: "vmlinuz",
    steps: "20000000000",
    functions: "kernel_clone",
    place: "70%",
    debuggers: &["gdb-multiarch"],
};

fn boot(guest: &str, form: &Form) {
    if cfg!(debug_assertions) {
        skipped(&format!(
            "gdb on {guest}: this build is not optimised: cargo test --release --test gdb_linux"
        ));
        return;
    }
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("guests/build").join(guest);
    let [kernel, initrd, symbols] =
        [form.kernel, "initrd.img", "vmlinux"].map(|f| built.join(f).to_str().unwrap().to_owned());
    if let Some(missing) = [&kernel, &initrd, &symbols].into_iter().find(|f| !Path::new(f).is_file()) {
        skipped(&format!("gdb on {guest}: {missing} is missing: guests/build.sh {guest} makes it"));
        return;
    }
    let folder = Folder::new(&format!("gdb-{guest}-{}", form.kernel));
    let recording = folder.file("boot.dvm");
    let append = format!("console={} nokaslr dejavm.run=boot", form.console);
    dejavm(&[
        "record",
        "--arch",
        form.arch,
        "--kernel",
        &kernel,
        "--initrd",
        &initrd,
        "--append",
        &append,
        "--memory",
        "256M",
        "--seed",
        "1",
        "--rtc",
        "base=2026-01-01,clock=vm",
        "--serial",
        "none",
        "--max-icount",
        form.steps,
        "-o",
        &recording,
    ]);
    for gdb in form.debuggers.iter().filter(|gdb| installed(gdb)) {
        let mut server = Server::start(&recording, &folder.file(&format!("{gdb}.socket")), &[]);
        let env = [("FUNCTIONS", form.functions), ("PLACE", form.place)];
        drive(gdb, &mut server, &symbols, "linux.py", &env, Duration::from_secs(3000));
    }
}

fn everything() -> bool {
    std::env::var("DEJAVM_LINUX").is_ok_and(|v| v == "all")
}

#[test]
fn amd64() {
    boot("amd64", &SHORT);
}

#[test]
fn amd64_whole() {
    if everything() {
        boot("amd64", &LONG);
    }
}

#[test]
fn i386_whole() {
    if everything() {
        boot("i386", &Form { arch: "i386", ..LONG });
    }
}

#[test]
fn arm64() {
    boot("arm64", if everything() { &Form { functions: LONG.functions, ..ARM } } else { &ARM });
}
