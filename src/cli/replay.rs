//! `replay`, and replays in general.

use super::args::{InputArgs, ReplayArgs};
use super::machines::{Make, Visit, with_machine};
use super::progress::progress_bar;
use super::stats::{Stats, StatsArgs};
use super::{Done, monitor, open, options};
use crate::host::files;
use crate::host::sink::Sinks;
use crate::machine::Machine;
use crate::machine::board::Board;
use crate::replay::error::semantics_note;
use crate::replay::log::{Ending, Recording};
use crate::replay::replayer::{Outcome, Replayer, Watcher};
use crate::replay::runner::Runner;
use crate::replay::tape::Tape;
use crate::replay::{Moment, Output};
use indicatif::ProgressBar;
use std::io::IsTerminal;
use std::sync::Arc;

/// `replay`: shows what the recorded run printed.
pub fn replay(a: &ReplayArgs) -> Done {
    options::not_yet(&a.later)?;
    let to = match a.to.as_deref() {
        None | Some("end") => None,
        Some(n) => Some(n.parse().map_err(|_| format!("--to {n}: neither a step nor 'end'"))?),
    };
    if let Some(addr) = &a.later.gdb {
        let start = if a.to.is_none() { 0 } else { to.unwrap_or(u64::MAX) };
        return super::gdb::replay(a, addr, start);
    }
    if let Some(addr) = &a.later.monitor {
        let start = if a.to.is_none() { 0 } else { to.unwrap_or(u64::MAX) };
        return monitor::serve(a, addr, start);
    }
    let sinks = Sinks::new(options::sink("serial", &a.serial)?, options::sink("debugcon", &a.debugcon)?);
    // A bar and the guest's output would overwrite each other.
    let bar = a.serial != "stdio" || !std::io::stdout().is_terminal();
    again(&a.input, to, sinks, bar, false)
}

/// Replays from the start.
pub fn again(a: &InputArgs, to: Option<u64>, sinks: Sinks, bar: bool, report: bool) -> Done {
    let engine = options::engine(a.engine.as_deref())?;
    let recording = open(&a.file)?;
    let config = &recording.header.machine;
    let name = a.file.display().to_string();
    let images = files::find(config, &recording.images, &a.file, a.images.as_deref())
        .map_err(|e| format!("{name}: {e}"))?;
    let session = Session { recording: &recording, to, sinks, bar, stats: &a.stats, report, name: &name };
    with_machine(config, images, engine, session).map_err(|e| format!("{name}: {e}"))?
}

struct Session<'a> {
    recording: &'a Recording,
    to: Option<u64>,
    sinks: Sinks,
    bar: bool,
    stats: &'a StatsArgs,
    report: bool,
    name: &'a str,
}

/// Shows a replay's output and how far it is.
pub struct Shown {
    /// Where the output goes.
    pub sinks: Sinks,
    /// How far it is.
    pub bar: Option<ProgressBar>,
}

impl Watcher for Shown {
    fn output(&mut self, _icount: u64, output: &Output) {
        self.sinks.put(output);
    }

    fn progress(&mut self, at: Moment) {
        self.sinks.flush();
        if let Some(bar) = &self.bar {
            bar.set_position(at.icount);
        }
    }
}

impl Visit for Session<'_> {
    type Out = Done;

    fn visit<B: Board>(self, mut machine: Machine<B>, _: Make<B>) -> Done {
        let Self { recording, to, sinks, bar, stats, report, name } = self;
        let stats = Stats::start(stats, &mut machine)?;
        let header = &recording.header;
        let runner = Runner::new(machine, header.machine.no_reboot, Some(header.checkpoints));
        let last = recording.last();
        let goal = to.map_or(last.icount, |to| to.min(last.icount));
        let mut shown = Shown { sinks, bar: bar.then(|| progress_bar(goal)).flatten() };
        let mut replayer = Replayer::new(runner, Arc::new(Tape::new(recording)));
        let outcome = replayer.run(to, &mut shown);
        let held = replayer.cursor().checkpoints;
        let at = replayer.runner.at();
        if let Some(bar) = shown.bar.take() {
            bar.finish_and_clear();
        }
        drop(shown);
        stats.print(at.icount, &replayer.runner.machine.counters());
        if outcome == Outcome::Cut {
            say_cut(name, recording, at.icount);
        }
        if report {
            return Ok(verdict(name, recording, &outcome, at.icount, held));
        }
        match outcome {
            Outcome::Diverged(d) => {
                println_error(&format!("{name}: {d}{}", semantics_note(header.semantics)));
                return Ok(1);
            }
            Outcome::End(_) | Outcome::Cut if to.is_some_and(|to| to > at.icount) => {
                eprintln!("dejavm: {name} ends at step {}", at.icount);
            }
            Outcome::End(_) | Outcome::Cut => {}
            Outcome::Reached | Outcome::Probed => eprintln!("dejavm: at step {}", at.icount),
        }
        Ok(0)
    }
}

/// Says why a recording has no end.
pub fn say_cut(name: &str, recording: &Recording, icount: u64) {
    let cut = match recording.ending {
        Ending::Whole => return,
        Ending::NoEnd => "has no end record (its recorder was killed, or it was cut)".to_owned(),
        Ending::Cut(offset) => format!("is cut at byte {offset}"),
    };
    eprintln!("dejavm: {name} {cut}: replayed to its last whole frame, step {icount}");
}

/// Says what a verification came to; the exit status.
pub fn verdict(name: &str, recording: &Recording, outcome: &Outcome, icount: u64, held: u64) -> u8 {
    match outcome {
        Outcome::Diverged(d) => {
            println_error(&format!("{name}: {d}{}", semantics_note(recording.header.semantics)));
            return 1;
        }
        Outcome::End(reason) => {
            println!("{name}: verified: {held} checkpoints hold to the end at step {icount} ({reason})");
        }
        Outcome::Cut | Outcome::Reached | Outcome::Probed => {
            println!("{name}: verified: {held} checkpoints hold to step {icount}, incomplete");
        }
    }
    0
}

fn println_error(text: &str) {
    eprintln!("dejavm: {text}");
}
