//! From what the user said to a machine's configuration.

use super::args::{LaterArgs, MachineArgs, TimelineArgs};
use crate::debug::symbols::Symbols;
use crate::host::sink::Sink;
use crate::host::{clock, files};
use crate::machine::build::EngineKind;
use crate::machine::config::{
    Arch, DEFAULT_SHIFT, Images, Kind, MachineConfig, Role, Rtc, RtcBase, RtcClock, VirtOptions,
};
use crate::machine::fault::Fault;
use crate::timeline;
use std::fs::File;

/// The machine that the options describe, and its images.
///
/// # Errors
/// One line that names the option or file.
pub fn machine(a: &MachineArgs) -> Result<(MachineConfig, Images), String> {
    available(a)?;
    let arch = match a.arch.as_str() {
        "x86_64" => Arch::X86_64,
        "i386" => Arch::I386,
        "aarch64" => Arch::Aarch64,
        "arm" => return Err(format!("--arch {}: not available in this version", a.arch)),
        other => return Err(format!("--arch {other}: unknown architecture (x86_64, i386, aarch64)")),
    };
    let kind = kind(arch, a.machine.as_deref())?;
    let usual = match arch {
        Arch::X86_64 => "qemu64",
        Arch::I386 => "qemu32",
        Arch::Aarch64 => "cortex-a53",
    };
    let cpu = a.cpu.clone().unwrap_or_else(|| usual.to_owned());
    arch.check_cpu(&cpu).map_err(|e| format!("--cpu {cpu}: {e}"))?;
    let memory = size(&a.memory).ok_or_else(|| format!("--memory {}: not a size such as 512M", a.memory))?;
    let smp = a.smp.parse().map_err(|_| format!("--smp {}: not a number of CPUs", a.smp))?;
    let shift = match a.shift.as_str() {
        "auto" => DEFAULT_SHIFT,
        n => n.parse().map_err(|_| format!("--shift {n}: neither 0 to 10 nor auto"))?,
    };
    let mut config = MachineConfig {
        arch,
        machine: kind,
        cpu,
        memory,
        smp,
        images: Vec::new(),
        append: a.append.clone(),
        shift,
        rtc: rtc(&a.rtc)?,
        seed: a.seed.unwrap_or_else(clock::entropy),
        no_reboot: a.no_reboot,
    };
    config.check().map_err(|e| format!("bad machine option: {e}"))?;
    if config.append.contains('\0') {
        return Err("--append: contains a zero byte".to_owned());
    }
    let mut images = Images::default();
    let named = [(Role::Kernel, &a.kernel), (Role::Initrd, &a.initrd), (Role::Bios, &a.bios)];
    let named = named.into_iter().filter_map(|(role, file)| Some((role, file.as_deref()?, "")));
    let modules = a.module.iter().map(|m| {
        let (file, args) = m.split_once(' ').unwrap_or((m, ""));
        (Role::Module, file, args)
    });
    for (role, file, args) in named.chain(modules) {
        let (image, loaded) = files::load(role, file, args)?;
        if image.size > memory {
            return Err(format!("{role} {file}: {} bytes are more than the memory has", image.size));
        }
        config.images.push(image);
        images.0.push(loaded);
    }
    Ok((config, images))
}

/// The board of this name, with its options behind commas.
fn kind(arch: Arch, name: Option<&str>) -> Result<Kind, String> {
    let usual = if arch == Arch::Aarch64 { "virt" } else { "pc" };
    let text = name.unwrap_or(usual);
    let (name, options) = text.split_once(',').map_or((text, None), |(n, o)| (n, Some(o)));
    let wrong = |option: &str| Err(format!("--machine {text}: unknown option '{option}'"));
    match name {
        "virt" => {
            let mut virt = VirtOptions::default();
            for option in options.into_iter().flat_map(|o| o.split(',')) {
                match option.split_once('=') {
                    Some(("gic-version", "2")) => virt.gic_version = 2,
                    Some(("gic-version", "3")) => virt.gic_version = 3,
                    Some(("gic-version", n)) => {
                        return Err(format!("--machine {text}: gic-version={n}: neither 2 nor 3"));
                    }
                    _ => return wrong(option),
                }
            }
            Ok(Kind::Virt(virt))
        }
        "pc" | "toy" if options.is_some() => wrong(options.unwrap_or_default()),
        "pc" => Ok(Kind::Pc),
        "toy" => Ok(Kind::Toy),
        "q35" => Err(format!("--machine {text}: not available in this version")),
        other => Err(format!("--machine {other}: unknown machine (pc, virt)")),
    }
}

/// Refuses what is not there yet, by name.
///
/// # Errors
/// One line that names the option.
pub fn available(a: &MachineArgs) -> Result<(), String> {
    engine(a.engine.as_deref())?;
    later(&a.later)?;
    let display = a.display.as_deref().filter(|d| *d != "none");
    let net = a.net.iter().find(|n| *n != "none").map(String::as_str);
    let drive = a.drive.first().map(String::as_str);
    for (name, value) in [("drive", drive), ("net", net), ("display", display), ("keep", a.keep.as_deref())] {
        if let Some(value) = value {
            return Err(format!("--{name} {value}: not available in this version"));
        }
    }
    Ok(())
}

/// The engine of this name.
///
/// # Errors
/// One line that names the option.
pub fn engine(name: Option<&str>) -> Result<EngineKind, String> {
    match name {
        None => Ok(EngineKind::default()),
        Some("interp") => Ok(EngineKind::Interp),
        Some("jit") => Ok(EngineKind::Jit),
        Some(other) => Err(format!("--engine {other}: unknown engine (interp, jit)")),
    }
}

/// Refuses debuggers, which are not there yet.
///
/// # Errors
/// One line that names the option.
pub fn later(a: &LaterArgs) -> Result<(), String> {
    if let Some(value) = &a.monitor {
        return Err(format!("--monitor {value}: 'run' and 'record' have no monitor in this version"));
    }
    not_yet(a)
}

/// Refuses the debuggers that no command has yet.
///
/// # Errors
/// One line that names the option.
pub fn not_yet(a: &LaterArgs) -> Result<(), String> {
    for (name, value) in [("qmp", &a.qmp)] {
        if let Some(value) = value {
            return Err(format!("--{name} {value}: not available in this version"));
        }
    }
    Ok(())
}

/// What a timeline may use.
///
/// # Errors
/// One line that names the option.
pub fn timeline(a: &TimelineArgs) -> Result<timeline::Options, String> {
    let memory = size(&a.snapshot_memory)
        .ok_or_else(|| format!("--snapshot-memory {}: not a size such as 512M", a.snapshot_memory))?;
    let usual = timeline::Options::default();
    Ok(timeline::Options { memory, jobs: a.jobs.map_or(usual.jobs, usize::from) })
}

/// The symbols of all files that were named.
///
/// # Errors
/// One line that names the file.
pub fn symbols(a: &TimelineArgs) -> Result<Symbols, String> {
    let mut symbols = Symbols::default();
    for spec in &a.symbols {
        symbols.add(spec).map_err(|e| format!("--symbols {e}"))?;
    }
    Ok(symbols)
}

/// The faults that `--inject` asks for, by step.
///
/// # Errors
/// One line that names the option.
pub fn faults(options: &[String]) -> Result<Vec<(u64, Fault)>, String> {
    let mut faults = options.iter().map(|o| fault(o)).collect::<Result<Vec<_>, _>>()?;
    faults.sort_by_key(|f| f.0);
    Ok(faults)
}

/// `ICOUNT:TARGET[:BIT]`; the target of memory has a colon itself.
fn fault(text: &str) -> Result<(u64, Fault), String> {
    let wrong = || format!("--inject {text}: not ICOUNT:TARGET[:BIT]");
    let (at, rest) = text.split_once(':').ok_or_else(wrong)?;
    let at = at.parse().map_err(|_| wrong())?;
    let colon = match rest.strip_prefix("mem:") {
        Some(addr) => addr.find(':').map(|i| i + 4),
        None => rest.find(':'),
    };
    let (target, bit) = colon.map_or((rest, "0"), |i| (&rest[..i], &rest[i + 1..]));
    let bit = bit.parse().map_err(|_| format!("--inject {text}: '{bit}' is no number of a bit"))?;
    Ok((at, Fault::parse(target, bit).map_err(|e| format!("--inject {text}: {e}"))?))
}

/// Bytes: a number with K, M, G or T; mebibytes without.
fn size(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match &text[digits.len()..] {
        "" | "M" | "m" | "MiB" => 20,
        "K" | "k" | "KiB" => 10,
        "G" | "g" | "GiB" => 30,
        "T" | "t" | "TiB" => 40,
        "B" => 0,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// A number, with K, M or G.
pub fn count(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match &text[digits.len()..] {
        "" => 0,
        "K" | "k" => 10,
        "M" | "m" => 20,
        "G" | "g" => 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

fn rtc(text: &str) -> Result<Rtc, String> {
    let wrong = |what: &str| Err(format!("--rtc {text}: {what}"));
    let mut rtc = Rtc { base: RtcBase::Utc, clock: RtcClock::Host };
    for part in text.split(',') {
        match part.split_once('=') {
            Some(("base", "utc")) => rtc.base = RtcBase::Utc,
            Some(("base", date)) => match seconds(date) {
                Some(s) => rtc.base = RtcBase::Date(s),
                None => return wrong("base is neither utc nor a date such as 2026-01-01T00:00:00"),
            },
            Some(("clock", "host")) => rtc.clock = RtcClock::Host,
            Some(("clock", "vm")) => rtc.clock = RtcClock::Vm,
            Some(("clock", _)) => return wrong("clock is neither host nor vm"),
            _ => return wrong("only base= and clock= are known"),
        }
    }
    if rtc == (Rtc { base: RtcBase::Utc, clock: RtcClock::Vm }) {
        // From here on the run does not depend on the host's clock.
        rtc.base = RtcBase::Date(clock::wall() / 1_000_000_000);
    }
    Ok(rtc)
}

/// Seconds from 1970 to a date of the years 1970 to 9999, `YYYY-MM-DD` or `YYYY-MM-DDTHH:MM:SS`.
fn seconds(text: &str) -> Option<u64> {
    let (date, time) = text.split_once('T').unwrap_or((text, "00:00:00"));
    let numbers = |text: &str, by: char, lengths: [usize; 3]| -> Option<[u64; 3]> {
        let parts: Vec<&str> = text.split(by).collect();
        let parts: [&str; 3] = parts.try_into().ok()?;
        let mut out = [0; 3];
        for i in 0..3 {
            let digits = parts[i].len() == lengths[i] && parts[i].bytes().all(|b| b.is_ascii_digit());
            out[i] = if digits { parts[i].parse().ok()? } else { return None };
        }
        Some(out)
    };
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
    let leap = |y: u64| y.is_multiple_of(4) && (!y.is_multiple_of(100) || y.is_multiple_of(400));
    let february = if leap(year) { 29 } else { 28 };
    let months = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let length = *months.get(month.checked_sub(1)? as usize)?;
    if year < 1970 || day == 0 || day > length || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let years: u64 = (1970..year).map(|y| if leap(y) { 366 } else { 365 }).sum();
    let days = years + months[..month as usize - 1].iter().sum::<u64>() + day - 1;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

/// Where an output goes; `option` is its name for messages.
///
/// # Errors
/// One line that names the option or file.
pub fn sink(option: &str, value: &str) -> Result<Sink, String> {
    match value {
        "none" => Ok(Sink::None),
        "stdio" => Ok(Sink::Stdout),
        "stderr" => Ok(Sink::Stderr),
        _ => match value.strip_prefix("file:") {
            Some(path) => {
                let file = File::create(path).map_err(|e| format!("{path}: {}", files::plain(&e)))?;
                Ok(Sink::File(file))
            }
            None => Err(format!("--{option} {value}: neither stdio, stderr, none nor file:PATH")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(size("512M"), Some(512 << 20));
        assert_eq!(size("512"), Some(512 << 20));
        assert_eq!(size("2G"), Some(2 << 30));
        assert_eq!(size("0"), Some(0));
        for bad in ["", "M", "-1M", "12Q", "1.5G", "99999999999999999999", "9999999999999T"] {
            assert_eq!(size(bad), None, "{bad}");
        }
    }

    #[test]
    fn counts() {
        assert_eq!(count("32M"), Some(1 << 25));
        assert_eq!(count("1000"), Some(1000));
        for bad in ["", "M", "1T", "-1", "0x10", "99999999999G"] {
            assert_eq!(count(bad), None, "{bad}");
        }
    }

    #[test]
    fn dates() {
        assert_eq!(seconds("1970-01-01"), Some(0));
        assert_eq!(seconds("2026-01-01T00:00:00"), Some(1_767_225_600));
        assert_eq!(seconds("2000-02-29T23:59:59"), Some(951_868_799));
        for bad in ["", "2026", "2026-13-01", "2026-02-29", "2026-1-1", "2026-01-01T24:00:00", "+026-01-01"] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }
}
