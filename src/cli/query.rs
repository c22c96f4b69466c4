//! `query`: questions about history. The JSON form is stable and described in docs/queries.md.

use super::args::QueryArgs;
use super::machines::{self, Make};
use super::progress::Watched;
use super::{Done, open, options};
use crate::debug::expr::Scope;
use crate::debug::query::{Ask, Context, Found, Row, Table, answer};
use crate::debug::symbols::Symbols;
use crate::host::files;
use crate::host::signals::Stop;
use crate::machine::any::Any;
use crate::replay::log::Recording;
use crate::timeline::{Options, Timeline};
use indicatif::ProgressBar;
use std::io::{BufWriter, IsTerminal, Stdout, Write};
use std::sync::Arc;

/// `query`.
pub fn query(a: &QueryArgs) -> Done {
    let engine = options::engine(a.engine.as_deref())?;
    let options = options::timeline(&a.time)?;
    let symbols = options::symbols(&a.time)?;
    // What is wrong with the question shows before the recording is read.
    let scope = Scope { symbols: &symbols, register: None };
    a.ask.subject(scope)?;
    let recording = open(&a.file)?;
    let name = a.file.display().to_string();
    let images = files::find(&recording.header.machine, &recording.images, &a.file, a.images.as_deref())
        .map_err(|e| format!("{name}: {e}"))?;
    let config = recording.header.machine.clone();
    let recording = Arc::new(recording);
    let session = Session { recording, options, symbols, ask: &a.ask, json: a.json, name: &name };
    let make = machines::maker(&config, images)(engine);
    session.run(make)
}

struct Session<'a> {
    recording: Arc<Recording>,
    options: Options,
    symbols: Symbols,
    ask: &'a Ask,
    json: bool,
    name: &'a str,
}

/// Prints rows as they are found.
struct Printer {
    out: BufWriter<Stdout>,
    bar: Option<ProgressBar>,
    table: Option<Table>,
    first: bool,
    failed: Option<std::io::Error>,
}

impl Printer {
    /// False when nobody reads it.
    fn row(&mut self, row: &Row) -> bool {
        let bar = self.bar.clone();
        let written = match bar {
            Some(bar) => bar.suspend(|| self.write(row).and_then(|()| self.out.flush())),
            None => self.write(row),
        };
        self.failed = written.err();
        self.failed.is_none()
    }

    fn write(&mut self, row: &Row) -> std::io::Result<()> {
        let Some(table) = self.table else {
            serde_json::to_writer(&mut self.out, row)?;
            return writeln!(self.out);
        };
        if std::mem::take(&mut self.first) {
            writeln!(self.out, "{}", table.head(row))?;
        }
        writeln!(self.out, "{}", table.row(row))
    }
}

impl Session<'_> {
    fn run(self, make: Make<Any>) -> Done {
        let Self { recording, options, symbols, ask, json, name } = self;
        let wrong = |e: &dyn std::fmt::Display| format!("{name}: {e}");
        let stop = Stop::on_signals().map_err(|e| wrong(&files::plain(&e)))?;
        let mut control = Watched::new(stop, true);
        let end = recording.last().icount;
        let table = (!json).then(|| Table::new(end));
        // A terminal wants to see rows at once; they and the bar must not mix.
        let bar = control.bar().filter(|_| std::io::stdout().is_terminal());
        let out = BufWriter::new(std::io::stdout());
        let mut printer = Printer { out, bar, table, first: true, failed: None };
        let mut timeline = Timeline::new(recording, make, options).map_err(|e| wrong(&e))?;
        let scope = Scope { symbols: &symbols, register: None };
        let context = Context { scope, now: None };
        let found = answer(&mut timeline, ask, context, &mut control, &mut |row| printer.row(row));
        control.clear();
        let flushed = printer.out.flush();
        match printer.failed.map_or(flushed, Err) {
            // Who reads has seen enough.
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => return Ok(0),
            Err(e) => return Err(format!("standard output: {}", files::plain(&e))),
            Ok(()) => {}
        }
        match found.map_err(|e| wrong(&e))? {
            Found { cancelled: true, .. } => eprintln!("dejavm: stopped; this is what was found so far"),
            Found { rows: 0, .. } => eprintln!("dejavm: nothing found"),
            Found { .. } => {}
        }
        Ok(0)
    }
}
