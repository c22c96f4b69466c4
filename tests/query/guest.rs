//! The demo guest, recorded with input, and the toy.

use dejavm::debug::expr::Scope;
use dejavm::debug::query::{Ask, Context, Found, QueryError, Row, answer};
use dejavm::debug::symbols::Symbols;
use dejavm::machine::board::Board;
use dejavm::machine::pc::Pc;
use dejavm::timeline::demo::{Demo, LINES};
use dejavm::timeline::{Control, Timeline};
use std::path::PathBuf;
use std::sync::OnceLock;

pub const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/guests/demo/demo.elf");

fn guest() -> &'static Demo {
    static GUEST: OnceLock<Demo> = OnceLock::new();
    GUEST.get_or_init(|| Demo::record(DEMO, &LINES, u64::MAX))
}

/// The bytes of a recording of the demo guest.
pub fn recorded() -> &'static [u8] {
    &guest().log
}

/// A timeline of it.
pub fn demo() -> Timeline<Pc> {
    guest().timeline()
}

#[derive(Debug, clap::Parser)]
#[command(no_binary_name = true)]
struct Line {
    #[command(flatten)]
    ask: Ask,
}

/// Asks in the words of the command line.
pub fn try_ask<B: Board>(
    t: &mut Timeline<B>,
    line: &str,
    control: &mut dyn Control,
) -> Result<(Vec<Row>, Found), QueryError> {
    let words = line.split_whitespace();
    let ask =
        <Line as clap::Parser>::try_parse_from(words).map_err(|e| QueryError::Wrong(e.to_string()))?.ask;
    let symbols = Symbols::default();
    let scope = Scope { symbols: &symbols, register: None };
    let mut rows = Vec::new();
    let found = answer(t, &ask, Context { scope, now: None }, control, &mut |row| {
        rows.push(row.clone());
        true
    })?;
    assert_eq!(found.rows, rows.len() as u64);
    Ok((rows, found))
}

pub fn ask<B: Board>(t: &mut Timeline<B>, line: &str) -> Vec<Row> {
    try_ask(t, line, &mut ()).unwrap_or_else(|e| panic!("{line}: {e}")).0
}

/// A folder that goes away with the test.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("dejavm-query-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn file(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }

    pub fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
