//! `record --from`: a new recording that branches off a moment of another and goes on live.

use super::args::RecordArgs;
use super::index::every;
use super::live::{console, not_an_image, status};
use super::machines;
use super::progress::progress_bar;
use super::replay::Shown;
use super::stats::Stats;
use super::{Done, open, options};
use crate::host::console::warn;
use crate::host::files::{self, plain};
use crate::host::live::{Host, Input};
use crate::host::sink::{Sink, Sinks};
use crate::machine::Machine;
use crate::machine::any::Any;
use crate::machine::board::Board;
use crate::machine::config::{RtcBase, RtcClock, SEMANTICS};
use crate::machine::time::VirtNs;
use crate::replay::copy::{self, Copier};
use crate::replay::error::semantics_note;
use crate::replay::log::{Header, Recording, Writer};
use crate::replay::record::EndReason;
use crate::replay::recorder::{Ended, Recorder};
use crate::replay::replayer::Outcome;
use crate::replay::saved::format_of;
use crate::replay::saver::Saver;
use crate::replay::tape::Tape;
use crate::timeline::pages::Held;
use crate::timeline::player::Player;
use crate::timeline::saved;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

/// A moment of a recording.
#[derive(Clone, Copy, Debug, PartialEq)]
enum When {
    /// The first moment of this step.
    Step(u64),
    /// The last moment, everything that was recorded done.
    End,
}

/// `record --from`.
pub fn record(a: &RecordArgs, from: &str) -> Done {
    options::available(&a.machine)?;
    let every = a.save_every.as_deref().map(|text| every("save-every", text)).transpose()?;
    let form = || format!("--from {from}: not FILE@ICOUNT, FILE@P% or FILE@end");
    let (file, moment) = from.rsplit_once('@').ok_or_else(form)?;
    let path = Path::new(file);
    let recording = open(path)?;
    let when = when(moment, recording.last().icount).ok_or_else(form)?;
    if let When::Step(step) = when
        && step > recording.last().icount
    {
        return Err(format!("--from {from}: {file} ends at step {}", recording.last().icount));
    }
    if let Some((at, reason)) = recording.end()
        && when == When::End
        && reason.by_guest()
        && *reason != EndReason::Halted
    {
        return Err(format!("--from {from}: {reason} at step {}; nothing goes on from there", at.icount));
    }
    let config = &recording.header.machine;
    not_an_image(&a.output, config)?;
    if a.output.canonicalize().is_ok_and(|o| path.canonicalize().is_ok_and(|f| f == o)) {
        return Err(format!("{file}: the new recording needs another name"));
    }
    let images = files::find(config, &recording.images, path, a.images.as_deref())
        .map_err(|e| format!("{file}: {e}"))?;
    let engine = options::engine(a.machine.engine.as_deref())?;
    let (input, serial) = console(&a.machine);
    let session = Session { a, recording: &recording, from, file, when, every, input, serial };
    let machine = machines::maker(config, images)(engine)().map_err(|e| format!("{file}: {e}"))?;
    session.run(machine)
}

fn when(text: &str, last: u64) -> Option<When> {
    if text == "end" {
        return Some(When::End);
    }
    Some(When::Step(match text.strip_suffix('%') {
        Some(percent) => {
            let percent: f64 = percent.parse().ok().filter(|p| (0.0..=100.0).contains(p))?;
            (last as f64 * percent / 100.0) as u64
        }
        None => text.parse().ok()?,
    }))
}

struct Session<'a> {
    a: &'a RecordArgs,
    recording: &'a Recording,
    from: &'a str,
    file: &'a str,
    when: When,
    every: Option<u64>,
    input: Input,
    serial: &'a str,
}

impl Session<'_> {
    fn run(self, mut machine: Machine<Any>) -> Done {
        let stats = Stats::start(&self.a.machine.stats, &mut machine)?;
        let (mut player, saver) = match self.go_there(machine)? {
            Ok(there) => there,
            Err(status) => return Ok(status),
        };
        let here = player.icount();
        let now = player.look().state.now();
        let cursor = *player.replayer().cursor();
        let runner = &mut player.replayer().runner;

        let Self { a, recording, file, input, serial, .. } = self;
        let m = &a.machine;
        let sinks = Sinks::new(options::sink("serial", serial)?, options::sink("debugcon", &m.debugcon)?);
        let path = a.output.display();
        let wrong = |e: std::io::Error| format!("{path}: cannot write: {}", plain(&e));
        let out = File::create(&a.output).map_err(|e| format!("{path}: {}", plain(&e)))?;
        let mut host = Host::new(input, date(recording, now), sinks);
        let host = host.as_mut().map_err(|e| format!("signals: {}", plain(e)))?;
        // What goes on is made by this build; what was before, it has replayed.
        let header = Header { semantics: SEMANTICS, ..recording.header.clone() };
        let mut log = Writer::begin(out, &header).map_err(wrong)?;
        copy::images(recording, &mut log).map_err(wrong)?;
        Copier::new(recording).up_to(cursor.records(), &mut log).map_err(wrong)?;
        eprintln!("dejavm: {file} at step {here}; recording to {path} from here");
        let mut recorder = Recorder::new(runner, host, Some(log)).saving(saver).after(cursor);
        let result = recorder.run(m.max_icount.unwrap_or(u64::MAX));
        let bytes = recorder.bytes();
        stats.print(player.icount(), &player.look().counters());
        let Ended { at, reason } =
            result.map_err(|e| format!("{}; the recording up to there is valid", wrong(e)))?;
        eprintln!("dejavm: {reason} at step {}; {path}: {bytes} bytes", at.icount);
        Ok(status(&reason))
    }
}

/// A machine at the moment, and what saves snapshots from there on.
type There<B> = (Player<B>, Option<Saver>);

impl Session<'_> {
    /// Replays to the moment, from the nearest saved snapshot if there is one. An exit status where
    /// the replay diverges.
    fn go_there<B: Board>(&self, machine: Machine<B>) -> Result<Result<There<B>, u8>, String> {
        let Self { recording, from, file, when, every, .. } = *self;
        let format = format_of(&machine.state);
        let tape = Arc::new(Tape::new(recording));
        let backing = recording.backing.clone().unwrap_or_else(|| Arc::new(()));
        let mut player = Player::whole(machine, recording, tape.clone(), Held::default(), backing);
        let failed = |e: crate::timeline::Error| format!("{file}: {e}");
        player.run(0, &mut ()).map_err(failed)?;
        let power_on = player.snapshot();
        let mut saved = Vec::new();
        // Under other semantics the whole beginning has to be seen to hold.
        if recording.header.semantics == SEMANTICS {
            let warning;
            (saved, warning) = saved::load(recording, &tape, format, &power_on);
            warning.iter().for_each(|text| warn(text));
        }
        let last = recording.last().icount;
        let target = if let When::Step(step) = when { step } else { last };
        let start = saved.iter().rev().find(|s| s.icount() <= target);
        if let Some(start) = start {
            player.restore(start).map_err(failed)?;
        }
        let bar = progress_bar(target);
        let mut shown = Shown { sinks: Sinks::new(Sink::None, Sink::None), bar };
        let outcome = match when {
            When::Step(step) => player.replayer().run(Some(step), &mut shown),
            When::End => player.replayer().run_to_last(&mut shown),
        };
        if let Some(bar) = shown.bar.take() {
            bar.finish_and_clear();
        }
        if let Outcome::Diverged(d) = outcome {
            eprintln!("dejavm: {file}: {d}{}", semantics_note(recording.header.semantics));
            return Ok(Err(1));
        }
        if let Some((_, reason)) = recording.end()
            && (player.replayer().at_end() || matches!(outcome, Outcome::End(_)))
        {
            return Err(format!("--from {from}: {reason} at step {last}; nothing goes on from there"));
        }
        let start = start.unwrap_or(&power_on);
        let besides = power_on.pages.differing(&start.pages);
        let (here, since) = (player.icount(), start.icount());
        let saver =
            every.map(|every| Saver::from(every, here, format, power_on.pages.keys(), since, besides));
        Ok(Ok((player, saver)))
    }
}

/// Where the host's clock starts for a machine whose clock began at a date.
fn date(recording: &Recording, now: VirtNs) -> Option<u64> {
    let rtc = recording.header.machine.rtc;
    match (rtc.base, rtc.clock) {
        (RtcBase::Date(date), RtcClock::Host) => Some(date.saturating_add(now.0 / VirtNs::SECOND)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments() {
        assert_eq!(when("end", 1000), Some(When::End));
        assert_eq!(when("123", 1000), Some(When::Step(123)));
        assert_eq!(when("50%", 1001), Some(When::Step(500)));
        assert_eq!(when("12.5%", 1000), Some(When::Step(125)));
        for bad in ["", "-1", "101%", "%", "NaN%", "x", "1e3"] {
            assert_eq!(when(bad, 1000), None, "{bad}");
        }
    }
}
