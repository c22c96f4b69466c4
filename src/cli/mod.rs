//! The command line: thin clients of the library.
//!
//! Exit status: 0 ended as asked; 1 divergence or guest-visible failure; 2 bad usage or bad input,
//! with one line on standard error that names the option or file and says what is wrong.

mod args;
mod branch;
mod demo;
mod diff;
mod gdb;
mod index;
mod info;
mod live;
mod machines;
mod monitor;
mod options;
mod pack;
mod progress;
mod query;
mod replay;
mod stats;
mod verify;

use crate::host::files::{open, plain};
use crate::host::socket::{Address, Listener};
use args::{Cli, Command};
use clap::Parser;
use std::process::ExitCode;

/// How a command ends: an exit status, or one line and exit status 2.
type Done = Result<u8, String>;

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) if !e.use_stderr() => {
            let _ = e.print();
            return ExitCode::SUCCESS;
        }
        Err(e) => return fail(&one_line(&e.to_string())),
    };
    let done = match &cli.command {
        Command::Run(a) => live::run(a),
        Command::Record(a) => live::record(a),
        Command::Replay(a) => replay::replay(a),
        Command::Verify(a) => verify::verify(a),
        Command::Query(a) => query::query(a),
        Command::Diff(a) => diff::diff(a),
        Command::Info(a) => info::info(a),
        Command::Dump(a) => info::dump(a),
        Command::Pack(a) => pack::pack(a),
        Command::Index(a) => index::index(a),
        Command::Demo => demo::demo(),
    };
    done.map_or_else(|text| fail(&text), ExitCode::from)
}

/// Listens where the user wants; `option` is the option that says so.
fn listen(option: &str, addr: &str) -> Result<Listener, String> {
    let address: Address = addr.parse().map_err(|e| format!("{option} {addr}: {e}"))?;
    Listener::bind(&address).map_err(|e| format!("{option} {addr}: {}", plain(&e)))
}

fn fail(text: &str) -> ExitCode {
    eprintln!("dejavm: {text}");
    ExitCode::from(2)
}

/// The message of a usage error without clap's paragraphs.
fn one_line(text: &str) -> String {
    let head: Vec<&str> = text.lines().take_while(|l| !l.is_empty()).map(str::trim).collect();
    let head = head.join(" ");
    head.strip_prefix("error: ").unwrap_or(&head).to_owned()
}
