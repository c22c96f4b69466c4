//! `verify`: shows nothing but whether all checkpoints hold.

use super::args::VerifyArgs;
use super::machines::{self, Make};
use super::progress::progress_bar;
use super::replay::{again, say_cut, verdict};
use super::stats::Stats;
use super::{Done, open, options};
use crate::host::console::warn;
use crate::host::files;
use crate::host::sink::{Sink, Sinks};
use crate::machine::any::Any;
use crate::replay::log::Recording;
use crate::replay::replayer::Outcome;
use crate::timeline::verify::{Verified, verify as check};

/// `verify`.
pub fn verify(a: &VerifyArgs) -> Done {
    if a.jobs > 1 {
        let recording = open(&a.input.file)?;
        if !recording.saved.is_empty()
            && let Some(status) = parallel(a, &recording)?
        {
            return Ok(status);
        }
    }
    again(&a.input, None, Sinks::new(Sink::None, Sink::None), true, true)
}

/// Verifies over saved snapshots; none when that cannot be done.
fn parallel(a: &VerifyArgs, recording: &Recording) -> Result<Option<u8>, String> {
    let name = a.input.file.display().to_string();
    let engine = options::engine(a.input.engine.as_deref())?;
    let config = &recording.header.machine;
    let images = files::find(config, &recording.images, &a.input.file, a.input.images.as_deref())
        .map_err(|e| format!("{name}: {e}"))?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(a.jobs.into()).build();
    let pool = pool.map_err(|e| format!("--jobs {}: {e}", a.jobs))?;
    let session = Session { a, recording, name: &name };
    let make = machines::maker(config, images)(engine);
    pool.install(|| session.run(make))
}

struct Session<'a> {
    a: &'a VerifyArgs,
    recording: &'a Recording,
    name: &'a str,
}

impl Session<'_> {
    fn run(self, make: Make<Any>) -> Result<Option<u8>, String> {
        let Self { a, recording, name } = self;
        let bar = progress_bar(recording.last().icount);
        let stats = Stats::of(&a.input.stats);
        let progress = |steps| bar.iter().for_each(|bar| bar.inc(steps));
        let verified =
            check(recording, &make, a.jobs.into(), &progress).map_err(|e| format!("{name}: {e}"))?;
        if let Some(bar) = &bar {
            bar.finish_and_clear();
        }
        let (outcome, at, held) = match verified {
            Verified::Whole(outcome, at, held) => (outcome, at.icount, held),
            Verified::Serial(text) => {
                text.iter().for_each(|text| warn(&format!("{name}: {text}")));
                return Ok(None);
            }
        };
        stats.print(at, &[]);
        if outcome == Outcome::Cut {
            say_cut(name, recording, at);
        }
        Ok(Some(verdict(name, recording, &outcome, at, held)))
    }
}
