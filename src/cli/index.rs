//! `index`: saves snapshots in a recording, so that it opens anywhere at once.

use super::args::IndexArgs;
use super::machines;
use super::progress::progress_bar;
use super::replay::Shown;
use super::stats::{Stats, StatsArgs};
use super::{Done, open, options};
use crate::host::console;
use crate::host::files::{self, Replacement, plain};
use crate::host::sink::{Sink, Sinks};
use crate::machine::Machine;
use crate::machine::any::Any;
use crate::replay::copy::{self, Copier};
use crate::replay::error::semantics_note;
use crate::replay::log::{Ending, Recording, Writer};
use crate::replay::replayer::{Outcome, Replayer};
use crate::replay::runner::Runner;
use crate::replay::saver::Saver;
use crate::replay::tape::Tape;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

/// Steps between saved snapshots if the user does not say: replaying as many takes a fraction of a
/// second. docs/log-format.md has the sizes.
const EVERY: u64 = 1 << 25;
/// Least steps between saved snapshots.
const LEAST: u64 = 1 << 10;

/// `index`.
pub fn index(a: &IndexArgs) -> Done {
    let engine = options::engine(a.engine.as_deref())?;
    let every = a.every.as_deref().map_or(Ok(EVERY), |text| every("every", text))?;
    let recording = open(&a.file)?;
    let output = a.output.as_deref().unwrap_or(&a.file);
    let name = a.file.display().to_string();
    if a.remove {
        let (mut out, mut writer) = begin(output, &recording)?;
        let copied = Copier::new(&recording).rest(&mut writer);
        copied.map_err(|e| out.wrong(&e))?;
        return finish(&mut out, &recording, &writer, 0);
    }
    let config = &recording.header.machine;
    let images = files::find(config, &recording.images, &a.file, a.images.as_deref())
        .map_err(|e| format!("{name}: {e}"))?;
    let cancelled = console::stop_flag().map_err(|e| format!("signals: {}", plain(&e)))?;
    let session = Session { recording: &recording, output, every, stats: &a.stats, name: &name, cancelled };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(a.jobs.into()).build();
    let pool = pool.map_err(|e| format!("--jobs {}: {e}", a.jobs))?;
    let machine = machines::maker(config, images)(engine)().map_err(|e| format!("{name}: {e}"))?;
    pool.install(|| session.run(machine))
}

/// Steps between saved snapshots; `option` is the option's name for messages.
///
/// # Errors
/// One line that names the option.
pub fn every(option: &str, text: &str) -> Result<u64, String> {
    match options::count(text) {
        Some(steps) if steps >= LEAST => Ok(steps),
        Some(_) => Err(format!("--{option} {text}: the least is {LEAST} steps")),
        None => Err(format!("--{option} {text}: not a number of steps such as 32M")),
    }
}

/// Begins the new file with what every copy has.
fn begin<'a>(output: &'a Path, recording: &Recording) -> Result<(Replacement<'a>, Writer<File>), String> {
    let out = Replacement::create(output)?;
    let file = out.file().map_err(|e| out.wrong(&e))?;
    let mut writer = Writer::begin(file, &recording.header).map_err(|e| out.wrong(&e))?;
    copy::images(recording, &mut writer).map_err(|e| out.wrong(&e))?;
    Ok((out, writer))
}

/// Puts the new file in its place.
fn finish(out: &mut Replacement<'_>, recording: &Recording, writer: &Writer<File>, saved: u64) -> Done {
    out.commit()?;
    let (name, bytes) = (out.name(), writer.bytes());
    eprintln!("dejavm: {name}: {bytes} bytes, {saved} saved snapshots");
    if recording.ending != Ending::Whole {
        eprintln!("dejavm: {name} is incomplete: it ends at step {}", recording.last().icount);
    }
    Ok(0)
}

struct Session<'a> {
    recording: &'a Recording,
    output: &'a Path,
    every: u64,
    stats: &'a StatsArgs,
    name: &'a str,
    cancelled: console::StopFlag,
}

impl Session<'_> {
    fn run(self, mut machine: Machine<Any>) -> Done {
        let Self { recording, output, every, stats, name, cancelled } = self;
        let stats = Stats::start(stats, &mut machine)?;
        let header = &recording.header;
        let mut saver = Saver::new(every, &mut machine);
        let runner = Runner::new(machine, header.machine.no_reboot, Some(header.checkpoints));
        let mut replayer = Replayer::new(runner, Arc::new(Tape::new(recording)));
        let bar = progress_bar(recording.last().icount);
        let mut shown = Shown { sinks: Sinks::new(Sink::None, Sink::None), bar };
        let (mut out, mut writer) = begin(output, recording)?;
        let mut copier = Copier::new(recording);
        let mut count = 0;
        let outcome = loop {
            match replayer.run(Some(saver.next()), &mut shown) {
                // As while recording, nothing is saved where the guest ended its run.
                Outcome::Reached if !replayer.at_end() => {}
                other => break other,
            }
            if cancelled.set() {
                return Err(format!("{name}: stopped; nothing was changed"));
            }
            let cursor = *replayer.cursor();
            copier.up_to(cursor.records(), &mut writer).map_err(|e| out.wrong(&e))?;
            let payloads = saver.save(&mut replayer.runner, &cursor);
            writer.snapshot(&payloads).map_err(|e| out.wrong(&e))?;
            count += 1;
        };
        copier.rest(&mut writer).map_err(|e| out.wrong(&e))?;
        if let Some(bar) = shown.bar.take() {
            bar.finish_and_clear();
        }
        stats.print(replayer.runner.at().icount, &replayer.runner.machine.counters());
        if let Outcome::Diverged(d) = outcome {
            eprintln!("dejavm: {name}: {d}{}; nothing was changed", semantics_note(header.semantics));
            return Ok(1);
        }
        finish(&mut out, recording, &writer, count)
    }
}
