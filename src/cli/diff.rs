//! `diff`: where two recordings, two engines, or a run and one with a fault part. The JSON form is
//! stable and described in docs/diff.md.

use super::args::DiffArgs;
use super::info::{line, print};
use super::machines::{self, Make};
use super::progress::progress_bar;
use super::{Done, open, options};
use crate::debug::diff::{Found, Outputs};
use crate::debug::intervals;
use crate::debug::lockstep::{Compared, Failure, Lockstep, Setup, Window};
use crate::host::files;
use crate::machine::any::Any;
use crate::machine::build::EngineKind;
use crate::machine::fault::Fault;
use crate::replay::compare::{Comparison, Parting, compare, same_machine};
use crate::replay::error::semantics_note;
use crate::replay::log::Recording;
use crate::replay::replayer::Divergence;
use crate::replay::{Moment, Output};
use crate::timeline::{self, Control};
use indicatif::ProgressBar;
use serde::Serialize;
use std::io::Write;
use std::sync::Arc;

/// `diff --json`.
#[derive(Serialize)]
struct Report {
    same: bool,
    headers: Vec<crate::machine::tree::Unequal>,
    records: Option<Parting>,
    lockstep: Option<Ran>,
}

/// What running both machines came to.
#[derive(Serialize)]
struct Ran {
    engines: [String; 2],
    from: u64,
    reached: u64,
    diverged: [Option<Diverged>; 2],
    first: Option<Found>,
}

/// A recording whose own checkpoints do not hold on this build.
#[derive(Serialize)]
struct Diverged {
    after: Moment,
    at: Moment,
    what: String,
}

impl From<Divergence> for Diverged {
    fn from(d: Divergence) -> Self {
        Self { after: d.after, at: d.at, what: d.what.to_string() }
    }
}

/// `diff`.
pub fn diff(a: &DiffArgs) -> Done {
    let faults = options::faults(&a.inject)?;
    let engines = engines(a)?;
    if let Some(early) = faults.first().filter(|f| f.0 < a.from) {
        return Err(format!("--inject at step {}: lies before --from {}", early.0, a.from));
    }
    if let Some(to) = a.to.filter(|&to| to < a.from) {
        return Err(format!("--to {to}: lies before --from {}", a.from));
    }
    let first = Arc::new(open(&a.first)?);
    let second = a.second.as_deref().map(open).transpose()?.map(Arc::new);
    let other = second.as_ref().unwrap_or(&first);
    let Comparison { headers, records } = compare(&first, other);
    // Equal inputs make equal runs: nothing is to be seen by running them.
    let run = second.is_none() || records.is_some() || !faults.is_empty() || engines[0] != engines[1];
    let lockstep = if run && same_machine(&first.header, &other.header) {
        Some(lockstep(a, engines, faults, [first.clone(), other.clone()])?)
    } else {
        None
    };
    let differs = |r: &Ran| r.first.is_some() || a.second.is_none() && r.diverged.iter().any(Option::is_some);
    let same = headers.is_empty() && records.is_none() && !lockstep.as_ref().is_some_and(differs);
    let report = Report { same, headers, records, lockstep };
    print(|out| {
        if a.json {
            serde_json::to_writer(&mut *out, &report)?;
            return writeln!(out);
        }
        report.write(out, a, [&first, other])
    })?;
    Ok(u8::from(!same))
}

/// One recording alone is run on both engines; all else on the one that is the reference.
fn engines(a: &DiffArgs) -> Result<[String; 2], String> {
    let alone = a.second.is_none() && a.inject.is_empty();
    let text = a.engines.as_deref().unwrap_or(if alone { "interp,jit" } else { "interp,interp" });
    let names: Vec<String> = text.split(',').map(str::to_owned).collect();
    names.try_into().map_err(|_| format!("--engines {text}: not two names such as interp,interp"))
}

fn lockstep(
    a: &DiffArgs,
    engines: [String; 2],
    faults: Vec<(u64, Fault)>,
    recordings: [Arc<Recording>; 2],
) -> Result<Ran, String> {
    let name = a.first.display();
    let config = recordings[0].header.machine.clone();
    let carried = &recordings[0].images;
    let images = files::find(&config, carried, &a.first, a.images.as_deref());
    let images = match (images, &a.second) {
        // The second recording may know them under names that still hold.
        (Err(e), Some(second)) => {
            let config = &recordings[1].header.machine;
            let found = files::find(config, &recordings[1].images, second, a.images.as_deref());
            found.map_err(|_| format!("{name}: {e}"))?
        }
        (images, _) => images.map_err(|e| format!("{name}: {e}"))?,
    };
    let session = Session { a, engines, faults, recordings };
    session.run(machines::maker(&config, images))
}

struct Session<'a> {
    a: &'a DiffArgs,
    engines: [String; 2],
    faults: Vec<(u64, Fault)>,
    recordings: [Arc<Recording>; 2],
}

/// Shows progress.
struct Bar(Option<ProgressBar>);

impl Control for Bar {
    fn progress(&mut self, done: u64, _total: u64) {
        if let Some(bar) = &self.0 {
            bar.set_position(done);
        }
    }
}

impl Session<'_> {
    fn run(self, make: impl Fn(EngineKind) -> Make<Any>) -> Result<Ran, String> {
        let Self { a, engines, faults, recordings: [first, second] } = self;
        let made = |name: &str| options::engine(Some(name)).map(&make);
        let makes = [made(&engines[0])?, made(&engines[1])?];
        let name = a.first.display();
        let failed = |e: timeline::Error| format!("{name}: {e}");
        let window = Window { from: a.from, to: a.to, every: a.step, jobs: a.jobs.into() };
        let wrong = |e| match e {
            Failure::Machine(e) => failed(e),
            Failure::Fault(text) => text,
        };
        let last = first.last().icount;
        let from = a.from;
        if Arc::ptr_eq(&first, &second) && faults.is_empty() && a.jobs > 1 && from <= last {
            let bar = progress_bar(a.to.map_or(last, |to| to.min(last)) - from);
            let progress = |steps| bar.iter().for_each(|bar| bar.inc(steps));
            let pool = rayon::ThreadPoolBuilder::new().num_threads(a.jobs.into()).build();
            let pool = pool.map_err(|e| format!("--jobs {}: {e}", a.jobs))?;
            let [left, right] = &makes;
            let compared = pool.install(|| intervals::find(&first, [left, right], window, &progress));
            if let Some(bar) = &bar {
                bar.finish_and_clear();
            }
            if let Some(Compared { reached, found, diverged }) = compared.map_err(wrong)? {
                let diverged = diverged.map(|d| d.map(Diverged::from));
                return Ok(Ran { engines, from, reached, diverged, first: found });
            }
        }
        let [left, right] = makes;
        let first = Setup { make: left, recording: first, faults: Vec::new() };
        let second = Setup { make: right, recording: second, faults };
        let mut pair = Lockstep::new(first, second).map_err(failed)?;
        pair.check_faults()?;
        let last = pair.last();
        if a.from > last {
            return Err(format!("--from {}: the recording ends at step {last}", a.from));
        }
        let mut bar = Bar(progress_bar(a.to.map_or(last, |to| to.min(last)) - a.from));
        let compared = pair.find(window, &mut bar);
        if let Some(bar) = bar.0 {
            bar.finish_and_clear();
        }
        let Compared { reached, found, diverged } = compared.map_err(wrong)?;
        let diverged = diverged.map(|d| d.map(Diverged::from));
        Ok(Ran { engines, from: a.from, reached, diverged, first: found })
    }
}

impl Report {
    fn write(&self, out: &mut dyn Write, a: &DiffArgs, recordings: [&Recording; 2]) -> std::io::Result<()> {
        for field in &self.headers {
            writeln!(out, "header {}: {} or {}", field.path, field.first, field.second)?;
        }
        if let Some(Parting { same, first, second }) = &self.records {
            writeln!(out, "the first {same} records are the same, then")?;
            for (sign, record, recording) in [('<', first, recordings[0]), ('>', second, recordings[1])] {
                let nothing = || format!("nothing: ends at step {}", recording.last().icount);
                writeln!(out, "{sign} {}", record.as_ref().map_or_else(nothing, line))?;
            }
        }
        let Some(ran) = &self.lockstep else {
            let end = if self.same { "the same" } else { "different machines: not run" };
            return writeln!(out, "{end}");
        };
        let names = [&a.first, a.second.as_ref().unwrap_or(&a.first)];
        for ((d, name), recording) in ran.diverged.iter().zip(names).zip(recordings) {
            if let Some(d) = d {
                let (after, at) = (d.after.icount, d.at.icount);
                let note = semantics_note(recording.header.semantics);
                let name = name.display();
                writeln!(
                    out,
                    "{name} diverges from this build after step {after}, at or before step {at}: {}{note}",
                    d.what
                )?;
            }
        }
        match &ran.first {
            Some(found) => write_found(out, found),
            None => writeln!(out, "no difference in steps {} to {}", ran.from, ran.reached),
        }
    }
}

fn write_found(out: &mut dyn Write, f: &Found) -> std::io::Result<()> {
    let Moment { icount, warp } = f.at;
    writeln!(
        out,
        "first difference in step {icount} (+{warp} ns idle), CPU {}, PC {:#x}: {}",
        f.cpu, f.pc, f.text
    )?;
    for field in &f.fields {
        let name = field.name.as_ref().map_or_else(String::new, |n| format!(" ({n})"));
        writeln!(out, "  {}{name}: {} or {}", field.path, field.first, field.second)?;
    }
    for r in &f.memory {
        let (what, last) = (if r.mapped { "memory" } else { "RAM, not mapped," }, r.addr + (r.len - 1));
        let dots = if r.first.len() < 2 * r.len as usize { "..." } else { "" };
        writeln!(out, "  {what} {:#x} to {last:#x}: {}{dots} or {}{dots}", r.addr, r.first, r.second)?;
    }
    let shown: u64 = f.memory.iter().map(|r| r.len).sum();
    if shown < f.memory_bytes {
        writeln!(out, "  and {} more bytes of memory", f.memory_bytes - shown)?;
    }
    if let Some(Outputs { first, second }) = &f.output {
        writeln!(out, "  output: {} or {}", sent(first.as_ref()), sent(second.as_ref()))?;
    }
    if let Some(ended) = &f.ended {
        let say = |e: &Option<String>| e.clone().unwrap_or_else(|| "goes on".to_owned());
        writeln!(out, "  end: {} or {}", say(&ended.first), say(&ended.second))?;
    }
    Ok(())
}

fn sent(output: Option<&(u64, Output)>) -> String {
    match output {
        None => "nothing".to_owned(),
        Some((at, Output::Serial { port, byte })) => {
            format!("serial {port} \"{}\" in step {at}", byte.escape_ascii())
        }
        Some((at, Output::Debug { byte })) => format!("debug \"{}\" in step {at}", byte.escape_ascii()),
    }
}
