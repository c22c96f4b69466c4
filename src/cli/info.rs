//! `info` and `dump`. The JSON forms are stable and described in docs/log-format.md.

use super::args::FileArgs;
use super::{Done, open};
use crate::machine::config::RtcBase;
use crate::replay::Moment;
use crate::replay::compare::describe as input;
use crate::replay::log::{Ending, Recording};
use crate::replay::record::Record;
use crate::replay::saved::Saved;
use serde::Serialize;
use std::io::Write;

/// `info --json`.
#[derive(Serialize)]
struct Info<'a> {
    format: u32,
    engine_semantics: u32,
    complete: bool,
    end: Option<String>,
    icount: u64,
    warp: u64,
    virtual_ns: u64,
    bytes: u64,
    frames: u64,
    inputs: usize,
    host_clock_reads: usize,
    checkpoints: usize,
    checkpoint_steps: u64,
    memory_digest_steps: u64,
    idle_checkpoint_ns: Option<u64>,
    saved_snapshots: SavedInfo,
    machine: &'a crate::machine::config::MachineConfig,
    images: Vec<ImageInfo<'a>>,
}

#[derive(Serialize)]
struct SavedInfo {
    count: usize,
    every: Option<u64>,
    bytes: u64,
    damaged: Option<u64>,
}

#[derive(Serialize)]
struct ImageInfo<'a> {
    #[serde(flatten)]
    image: &'a crate::machine::config::Image,
    carried: bool,
}

fn describe(r: &Recording) -> Info<'_> {
    let count = |f: fn(&Record) -> bool| r.records.iter().filter(|x| f(x)).count();
    let at = r.last();
    let h = &r.header;
    let images = h.machine.images.iter().zip(&r.images);
    Info {
        format: crate::replay::frame::FORMAT,
        engine_semantics: h.semantics,
        complete: r.ending == Ending::Whole,
        end: r.end().map(|(_, reason)| reason.to_string()),
        icount: at.icount,
        warp: at.warp,
        virtual_ns: (at.icount << h.machine.shift).saturating_add(at.warp),
        bytes: r.bytes,
        frames: r.frames,
        inputs: count(|r| matches!(r, Record::Input { .. })),
        host_clock_reads: count(|r| matches!(r, Record::HostClock { .. })),
        checkpoints: count(|r| matches!(r, Record::Checkpoint(_))),
        checkpoint_steps: 1 << h.checkpoints.steps,
        memory_digest_steps: 1 << h.checkpoints.memory,
        idle_checkpoint_ns: h.checkpoints.idle.map(|i| 1 << i),
        saved_snapshots: saved_info(r),
        machine: &h.machine,
        images: images.map(|(image, bytes)| ImageInfo { image, carried: bytes.is_some() }).collect(),
    }
}

/// The saved snapshots, and the least distance between two of them.
fn saved_info(r: &Recording) -> SavedInfo {
    let steps: Vec<u64> = [0].into_iter().chain(r.saved.iter().map(|s| s.icount)).collect();
    SavedInfo {
        count: r.saved.len(),
        every: steps.windows(2).map(|w| w[1] - w[0]).min(),
        bytes: r.saved.iter().map(Saved::bytes).sum(),
        damaged: r.lost,
    }
}

/// Writes to standard output; a reader that goes away is not an error.
pub fn print(write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> Done {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    match write(&mut out).and_then(|()| out.flush()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(format!("standard output: {e}")),
        _ => Ok(0),
    }
}

/// `info`.
pub fn info(a: &FileArgs) -> Done {
    let recording = open(&a.file)?;
    let i = describe(&recording);
    if a.json {
        return print(|out| {
            serde_json::to_writer_pretty(&mut *out, &i)?;
            writeln!(out)
        });
    }
    let m = i.machine;
    print(|out| {
        let end = i.end.as_deref().unwrap_or("no end record: the recorder was killed, or the file was cut");
        writeln!(
            out,
            "end         step {}, {:.3} s of virtual time; {end}",
            i.icount,
            i.virtual_ns as f64 / 1e9
        )?;
        writeln!(out, "file        {} bytes, {} frames, format {}", i.bytes, i.frames, i.format)?;
        writeln!(
            out,
            "records     {} inputs, {} host clock reads, {} checkpoints",
            i.inputs, i.host_clock_reads, i.checkpoints
        )?;
        let saved = &i.saved_snapshots;
        if let Some(every) = saved.every {
            writeln!(out, "snapshots   {} saved, each {every} steps, {} bytes", saved.count, saved.bytes)?;
        }
        if let Some(offset) = saved.damaged {
            writeln!(out, "snapshots   damaged at byte {offset}; from there on not used")?;
        }
        writeln!(out, "semantics   {}", i.engine_semantics)?;
        let base = match m.rtc.base {
            RtcBase::Utc => "utc".to_owned(),
            RtcBase::Date(s) => format!("{s} s after 1970"),
        };
        writeln!(
            out,
            "machine     {} ({:?}), CPU {} x {}, {} KiB, shift {}, seed {}, RTC {base} ({:?})",
            m.machine,
            m.arch,
            m.cpu,
            m.smp,
            m.memory >> 10,
            m.shift,
            m.seed,
            m.rtc.clock
        )?;
        if !m.append.is_empty() {
            writeln!(out, "append      {}", m.append)?;
        }
        for image in &i.images {
            let carried = if image.carried { ", carried" } else { "" };
            let x = image.image;
            writeln!(
                out,
                "{:11} {} ({} bytes, BLAKE3 {}{carried})",
                x.role.to_string(),
                x.file,
                x.size,
                x.blake3
            )?;
        }
        Ok(())
    })
}

fn moment(at: Moment) -> String {
    format!("{:>14} +{}", at.icount, at.warp)
}

/// A record as a line of text.
pub fn line(record: &Record) -> String {
    match record {
        Record::Input { at, input: what } => {
            format!("{}  input       {}", moment(*at), input(what))
        }
        Record::HostClock { icount, ns } => format!("{icount:>14}     host-clock  {ns}"),
        Record::Checkpoint(c) => {
            let memory = c.memory.map_or_else(String::new, |m| format!(" memory {m:016x}"));
            let at = moment(c.at);
            format!("{at}  checkpoint  state {:016x} output {:016x}{memory}", c.state, c.output)
        }
        Record::End { at, reason } => format!("{}  end         {reason}", moment(*at)),
    }
}

/// A saved snapshot, for `dump --json`.
#[derive(Serialize)]
struct SnapshotLine {
    icount: u64,
    pages: usize,
    bytes: u64,
}

/// `dump`.
pub fn dump(a: &FileArgs) -> Done {
    let recording = open(&a.file)?;
    print(|out| {
        let mut saved = recording.saved.iter().peekable();
        for index in 0..=recording.records.len() {
            while let Some(s) = saved.next_if(|s| s.records <= index) {
                let (icount, pages, bytes) = (s.icount, s.pages.len(), s.bytes());
                if a.json {
                    let line = SnapshotLine { icount, pages, bytes };
                    serde_json::to_writer(&mut *out, &serde_json::json!({ "snapshot": line }))?;
                    writeln!(out)?;
                } else {
                    writeln!(out, "{icount:>14}     snapshot    {pages} pages, {bytes} bytes")?;
                }
            }
            let Some(record) = recording.records.get(index) else { continue };
            if a.json {
                serde_json::to_writer(&mut *out, record)?;
                writeln!(out)?;
            } else {
                writeln!(out, "{}", line(record))?;
            }
        }
        Ok(())
    })
}
