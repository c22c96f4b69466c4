//! `run` and `record`.

use super::Done;
use super::args::{MachineArgs, RecordArgs, RunArgs};
use super::index::every;
use super::machines;
use super::options;
use super::stats::Stats;
use crate::debug::gdb::live::{Napping, Running};
use crate::host::files::plain;
use crate::host::live::{Host, Input};
use crate::host::sink::Sinks;
use crate::host::socket::Listener;
use crate::machine::Machine;
use crate::machine::any::Any;
use crate::machine::board::Board;
use crate::machine::config::{Arch, MachineConfig, RtcBase, RtcClock};
use crate::machine::fault::Fault;
use crate::replay::log::{Header, Spacing, Writer};
use crate::replay::record::EndReason;
use crate::replay::recorder::{BadFault, Ended, Outside, Recorder};
use crate::replay::runner::Runner;
use crate::replay::saver::Saver;
use std::fs::File;
use std::io::Write;
use std::path::Path;

/// `run`: without recording.
pub fn run(a: &RunArgs) -> Done {
    live(&a.machine, None, None)
}

/// `record`.
pub fn record(a: &RecordArgs) -> Done {
    if let Some(from) = &a.from {
        return super::branch::record(a, from);
    }
    let every = a.save_every.as_deref().map(|text| every("save-every", text)).transpose()?;
    live(&a.machine, Some(&a.output), every)
}

fn live(a: &MachineArgs, output: Option<&Path>, every: Option<u64>) -> Done {
    let (config, images) = options::machine(a)?;
    let (input, serial) = console(a);
    if let Some(output) = output {
        not_an_image(output, &config)?;
    }
    let faults = options::faults(&a.inject)?;
    let session = Session { a, faults, config: &config, input, serial, output, every };
    let engine = options::engine(a.engine.as_deref())?;
    let machine = machines::maker(&config, images)(engine)().map_err(|e| e.to_string())?;
    session.run(machine)
}

/// Where the console's input comes from, and where its output goes.
pub fn console(a: &MachineArgs) -> (Input, &str) {
    match a.serial.as_deref() {
        None => (Input::Terminal, "stdio"),
        Some("stdio") => (Input::Stdin, "stdio"),
        Some(other) => (Input::None, other),
    }
}

/// A recording must not overwrite what it is made from.
pub fn not_an_image(output: &Path, config: &MachineConfig) -> Result<(), String> {
    let Ok(output) = output.canonicalize() else { return Ok(()) };
    match config.images.iter().find(|i| Path::new(&i.file).canonicalize().is_ok_and(|p| p == output)) {
        Some(image) => Err(format!("{}: is the {}, not overwritten", image.file, image.role)),
        None => Ok(()),
    }
}

struct Session<'a> {
    a: &'a MachineArgs,
    faults: Vec<(u64, Fault)>,
    config: &'a MachineConfig,
    input: Input,
    serial: &'a str,
    output: Option<&'a Path>,
    every: Option<u64>,
}

impl Session<'_> {
    fn run(self, mut machine: Machine<Any>) -> Done {
        let Self { a, faults, config, input, serial, output, every } = self;
        possible(&faults, &machine)?;
        let stats = Stats::start(&a.stats, &mut machine)?;
        let sinks = Sinks::new(options::sink("serial", serial)?, options::sink("debugcon", &a.debugcon)?);
        let listener = a.later.gdb.as_deref().map(|addr| super::listen("--gdb", addr)).transpose()?;
        let date = match (config.rtc.base, config.rtc.clock) {
            (RtcBase::Date(date), RtcClock::Host) => Some(date),
            _ => None,
        };
        let file = match output {
            Some(path) => {
                let file = File::create(path).map_err(|e| format!("{}: {}", path.display(), plain(&e)))?;
                Some((path, file))
            }
            None => None,
        };
        let mut host = Host::new(input, date, sinks).map_err(|e| format!("signals: {}", plain(&e)))?;
        let spacing = Spacing::usual(host.live());
        let full = |e: &std::io::Error| match output {
            Some(path) => {
                let text = plain(e);
                format!("{}: cannot write: {text}", path.display())
            }
            None => plain(e),
        };
        let log = match file {
            Some((_, file)) => {
                let header = Header::new(config.clone(), spacing);
                Some(Writer::begin(file, &header).map_err(|e| full(&e))?)
            }
            None => None,
        };
        let saver = every.map(|every| Saver::new(every, &mut machine));
        let mut runner = Runner::new(machine, config.no_reboot, output.map(|_| spacing));
        let max = a.max_icount.unwrap_or(u64::MAX);
        let mut napping = Napping(&mut host);
        let outside: &mut dyn Outside = if listener.is_some() { &mut napping } else { napping.0 };
        let mut recorder = Recorder::new(&mut runner, outside, log).saving(saver).with_faults(faults);
        let result = match &listener {
            Some(listener) => debugged(&mut recorder, listener, max, config.arch)?,
            None => recorder.run(max),
        };
        let (bytes, left) = (recorder.bytes(), recorder.next_fault());
        let at = runner.at();
        // The terminal is as before from here on.
        drop(host);
        stats.print(at.icount, &runner.machine.counters());
        let Ended { at, reason } = result.map_err(|e| {
            let kept = "stopped; the recording up to there is valid";
            match e.get_ref().and_then(|e| e.downcast_ref::<BadFault>()) {
                Some(fault) => format!("{fault}; {kept}"),
                None => format!("{} at step {}; {kept}", full(&e), at.icount),
            }
        })?;
        match output {
            Some(path) => {
                let path = path.display();
                eprintln!("dejavm: {reason} at step {}; {path}: {bytes} bytes", at.icount);
            }
            None => eprintln!("dejavm: {reason} at step {}", at.icount),
        }
        if let Some(left) = left {
            return Err(format!("--inject at step {left}: the run ended before"));
        }
        Ok(status(&reason))
    }
}

/// Runs under a debugger.
fn debugged<B: Board, W: Write>(
    recorder: &mut Recorder<'_, B, W>,
    listener: &Listener,
    max: u64,
    arch: Arch,
) -> Result<std::io::Result<Ended>, String> {
    let mut running = Running::new(recorder, max);
    let left = super::gdb::debug(listener, &mut running, arch);
    let ended = running.ended();
    left?;
    // A debugger that kills the machine stops the run.
    let reason = ended.unwrap_or(Ok(EndReason::Stopped));
    Ok(reason.and_then(|reason| recorder.finish(reason)))
}

/// Refuses faults that can never be injected, before the run begins.
fn possible<B: Board>(faults: &[(u64, Fault)], machine: &Machine<B>) -> Result<(), String> {
    for (at, fault) in faults {
        if let Err(wrong) = fault.check(machine)
            && wrong.is_final()
        {
            return Err(format!("--inject at step {at}: {wrong}"));
        }
    }
    Ok(())
}

/// The exit status of a run that ended like this.
pub fn status(reason: &EndReason) -> u8 {
    match reason {
        EndReason::Unimplemented(_) => 1,
        EndReason::Exit(code) => u8::from(*code != 0),
        EndReason::PowerOff
        | EndReason::Reset
        | EndReason::Halted
        | EndReason::MaxIcount
        | EndReason::Stopped => 0,
    }
}
