//! `--gdb`: a debugger at a recording, or at a machine that runs now.

use super::args::ReplayArgs;
use super::machines::{self, Make};
use super::{Done, open, options};
use crate::debug::gdb::session::{Replay, Session as Debugged};
use crate::debug::gdb::{Left, serve};
use crate::debug::monitor::Monitor;
use crate::debug::symbols::Symbols;
use crate::host::files::{self, plain};
use crate::host::socket::Listener;
use crate::machine::any::Any;
use crate::machine::config::Arch;
use crate::replay::log::Recording;
use crate::timeline::{Error, Options, Timeline};
use std::sync::Arc;

/// `replay --gdb`: the machine stands at the step `start` when the debugger comes.
pub fn replay(a: &ReplayArgs, addr: &str, start: u64) -> Done {
    let engine = options::engine(a.input.engine.as_deref())?;
    let options = options::timeline(&a.time)?;
    let symbols = options::symbols(&a.time)?;
    let listener = super::listen("--gdb", addr)?;
    let recording = open(&a.input.file)?;
    let name = a.input.file.display().to_string();
    let config = recording.header.machine.clone();
    let images = files::find(&config, &recording.images, &a.input.file, a.input.images.as_deref())
        .map_err(|e| format!("{name}: {e}"))?;
    let session = Session { recording: Arc::new(recording), options, symbols, listener, start, name: &name };
    let make = machines::maker(&config, images)(engine);
    session.run(make)
}

/// Says where a debugger is waited for, and serves it.
pub fn debug<S: Debugged>(listener: &Listener, session: &mut S, arch: Arch) -> Result<Left, String> {
    let name = listener.name();
    eprintln!("dejavm: gdb: listening on {name}; in gdb: target remote {name}");
    serve(listener, session, arch).map_err(|e| format!("--gdb: {}", plain(&e)))
}

struct Session<'a> {
    recording: Arc<Recording>,
    options: Options,
    symbols: Symbols,
    listener: Listener,
    start: u64,
    name: &'a str,
}

impl Session<'_> {
    fn run(self, make: Make<Any>) -> Done {
        let Self { recording, options, symbols, listener, start, name } = self;
        let arch = recording.header.machine.arch;
        let mut timeline = Timeline::new(recording, make, options).map_err(|e| format!("{name}: {e}"))?;
        match timeline.seek(start, &mut ()) {
            Ok(_) => {}
            Err(Error::Diverged(d)) => {
                eprintln!("dejavm: {name}: {d}");
                return Ok(1);
            }
            Err(e) => return Err(format!("{name}: {e}")),
        }
        debug(&listener, &mut Replay::new(&mut timeline, Monitor::new(name, symbols)), arch)?;
        Ok(0)
    }
}
