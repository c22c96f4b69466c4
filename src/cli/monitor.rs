//! `replay --monitor`: a prompt on standard input, or on a socket.

use super::args::ReplayArgs;
use super::machines::{self, Make};
use super::progress::Watched;
use super::{Done, open, options};
use crate::debug::monitor::Monitor;
use crate::debug::symbols::Symbols;
use crate::host::files;
use crate::host::lines::lines;
use crate::host::signals::Stop;
use crate::host::socket::Listener;
use crate::machine::any::Any;
use crate::machine::board::Board;
use crate::replay::log::Recording;
use crate::timeline::{Error, Options, Timeline};
use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::mpsc::Receiver;

const PROMPT: &str = "(dejavm) ";

/// A monitor of a recording, which begins at the step `start`.
pub fn serve(a: &ReplayArgs, addr: &str, start: u64) -> Done {
    let engine = options::engine(a.input.engine.as_deref())?;
    let options = options::timeline(&a.time)?;
    let symbols = options::symbols(&a.time)?;
    let recording = open(&a.input.file)?;
    let name = a.input.file.display().to_string();
    let config = recording.header.machine.clone();
    let images = files::find(&config, &recording.images, &a.input.file, a.input.images.as_deref())
        .map_err(|e| format!("{name}: {e}"))?;
    let listener = match addr {
        "stdio" => None,
        _ => Some(super::listen("--monitor", addr)?),
    };
    let recording = Arc::new(recording);
    let session = Session { recording, options, symbols, listener, start, name: &name };
    let make = machines::maker(&config, images)(engine);
    session.run(make)
}

struct Session<'a> {
    recording: Arc<Recording>,
    options: Options,
    symbols: Symbols,
    listener: Option<Listener>,
    start: u64,
    name: &'a str,
}

/// How a conversation ended.
enum Ended {
    /// The other side went away.
    Left,
    /// With `quit`.
    Quit,
}

impl Session<'_> {
    fn run(self, make: Make<Any>) -> Done {
        let Self { recording, options, symbols, listener, start, name } = self;
        let plain = |e: std::io::Error| format!("{name}: {}", files::plain(&e));
        let stop = Stop::on_signals().map_err(plain)?;
        let mut monitor = Monitor::new(name, symbols);
        let mut timeline = Timeline::new(recording, make, options).map_err(|e| format!("{name}: {e}"))?;
        let done = (|| {
            let mut control = Watched::new(stop.clone(), true);
            timeline.seek(start, &mut control)?;
            control.clear();
            let Some(listener) = &listener else {
                let bar = std::io::stdin().is_terminal();
                let input = lines(std::io::stdin(), stop.clone());
                return talk(&mut monitor, &mut timeline, &stop, bar, &input, &mut std::io::stdout())
                    .map(|_| ());
            };
            eprintln!("dejavm: monitor at {}", listener.address());
            loop {
                stop.working(false);
                let Ok((read, mut write)) = listener.accept().and_then(|s| Ok((s.try_clone()?, s))) else {
                    continue;
                };
                let input = lines(read, stop.clone());
                let ended = talk(&mut monitor, &mut timeline, &stop, false, &input, &mut write)?;
                if matches!(ended, Ended::Quit) {
                    return Ok(());
                }
            }
        })();
        match done {
            Ok(()) => Ok(0),
            Err(Error::Diverged(d)) => {
                eprintln!("dejavm: {name}: {d}");
                Ok(1)
            }
            Err(e) => Err(format!("{name}: {e}")),
        }
    }
}

/// Answers lines until there are no more.
fn talk<B: Board>(
    monitor: &mut Monitor,
    timeline: &mut Timeline<B>,
    stop: &Stop,
    bar: bool,
    input: &Receiver<String>,
    out: &mut dyn Write,
) -> Result<Ended, Error> {
    let mut put = |text: &str| out.write_all(text.as_bytes()).and_then(|()| out.flush());
    if put(PROMPT).is_err() {
        return Ok(Ended::Left);
    }
    loop {
        stop.working(false);
        let Ok(line) = input.recv() else {
            let _ = put("\n");
            return Ok(Ended::Left);
        };
        stop.working(true);
        let mut control = Watched::new(stop.clone(), bar);
        let answer = monitor.command(timeline, &line, &mut control)?;
        control.clear();
        if put(&answer.text).is_err() {
            return Ok(Ended::Left);
        }
        if answer.quit {
            return Ok(Ended::Quit);
        }
        if put(PROMPT).is_err() {
            return Ok(Ended::Left);
        }
    }
}
