//! `replay`, and replays in general.

use super::args::{InputArgs, ReplayArgs};
use super::machines::{self, Make};
use super::progress::{Watched, progress_bar};
use super::stats::{Stats, StatsArgs};
use super::{Done, monitor, open, options};
use crate::host::files;
use crate::host::signals::Stop;
use crate::host::sink::Sinks;
use crate::machine::Machine;
use crate::machine::any::Any;
use crate::machine::board::Board;
use crate::replay::error::semantics_note;
use crate::replay::log::{Ending, Recording};
use crate::replay::replayer::{Outcome, Replayer, Watcher};
use crate::replay::runner::Runner;
use crate::replay::tape::Tape;
use crate::replay::{Moment, Output};
use crate::timeline::{Error, Options, Timeline};
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
    if a.later.gdb.is_some() && a.later.monitor.is_some() {
        let text =
            "--gdb and --monitor exclude each other: gdb has the monitor's commands as 'monitor COMMAND'";
        return Err(text.to_owned());
    }
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

/// Replays from the start; from a saved snapshot if only where it ends is to be seen.
pub fn again(a: &InputArgs, to: Option<u64>, sinks: Sinks, bar: bool, report: bool) -> Done {
    let engine = options::engine(a.engine.as_deref())?;
    let recording = open(&a.file)?;
    let config = recording.header.machine.clone();
    let name = a.file.display().to_string();
    let images = files::find(&config, &recording.images, &a.file, a.images.as_deref())
        .map_err(|e| format!("{name}: {e}"))?;
    let recording = Arc::new(recording);
    let session = Session { recording, to, sinks, bar, stats: &a.stats, report, name: &name };
    let make = machines::maker(&config, images)(engine);
    let machine = make().map_err(|e| format!("{name}: {e}"))?;
    session.run(machine, make)
}

struct Session<'a> {
    recording: Arc<Recording>,
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

impl Session<'_> {
    fn run(self, mut machine: Machine<Any>, make: Make<Any>) -> Done {
        let Self { recording, to, sinks, bar, stats, report, name } = self;
        if let Some(to) = to
            && sinks.silent()
            && !(stats.stats || stats.perf_map.is_some() || report || recording.saved.is_empty())
        {
            drop(machine);
            return jump(recording, make, to, bar, name);
        }
        let stats = Stats::start(stats, &mut machine)?;
        let recording = &*recording;
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

/// Goes to a step by the last saved snapshot before it.
fn jump<B: Board>(recording: Arc<Recording>, make: Make<B>, to: u64, bar: bool, name: &str) -> Done {
    let failed = |e: Error| format!("{name}: {e}");
    let stop = Stop::on_signals().map_err(|e| format!("signals: {}", files::plain(&e)))?;
    stop.working(true);
    let mut control = Watched::new(stop, bar);
    let options = Options { jobs: 1, ..Options::default() };
    let mut timeline = Timeline::new(recording.clone(), make, options).map_err(failed)?;
    let reached = timeline.seek(to, &mut control);
    control.clear();
    match reached {
        Err(Error::Diverged(d)) => {
            println_error(&format!("{name}: {d}{}", semantics_note(recording.header.semantics)));
            return Ok(1);
        }
        Err(e) => return Err(failed(e)),
        Ok(_) => {}
    }
    match timeline.icount() {
        at if at < to && timeline.end() == at => {
            say_cut(name, &recording, at);
            eprintln!("dejavm: {name} ends at step {at}");
        }
        at => eprintln!("dejavm: at step {at}"),
    }
    Ok(0)
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
