//! The rows of an answer: as JSON (docs/queries.md keeps the fields) and as a table.

use super::ask::exception_name;
use crate::debug::symbols::Symbols;
use dejavm_interp::probe::{Hit, What};
use serde::{Serialize, Serializer};

/// A number that JSON has as text, for it may be larger than a reader's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hex(pub u64);

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(&format_args!("{:#x}", self.0))
    }
}

impl std::fmt::Display for Hex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&format!("{:#x}", self.0))
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Event {
    /// Memory was written.
    Write {
        /// The address, of the kind that was asked for.
        addr: Hex,
        /// The physical address.
        phys: Hex,
        /// Bytes.
        len: u8,
        /// The little-endian value before.
        old: Hex,
        /// The value after.
        new: Hex,
    },
    /// Memory was read.
    Read {
        /// The address, of the kind that was asked for.
        addr: Hex,
        /// The physical address.
        phys: Hex,
        /// Bytes.
        len: u8,
        /// The little-endian value.
        value: Hex,
    },
    /// An instruction was executed.
    Execution,
    /// The handler of an interrupt was entered.
    Interrupt {
        /// The vector.
        vector: u8,
        /// By an instruction (INT n).
        software: bool,
    },
    /// The handler of an exception was entered.
    Exception {
        /// The vector.
        vector: u8,
        /// The manual's name.
        name: Option<&'static str>,
        /// The error code.
        code: Option<Hex>,
        /// The address of a page fault.
        address: Option<Hex>,
    },
    /// A port was accessed.
    Port {
        /// The port.
        port: Hex,
        /// Bytes.
        len: u8,
        /// OUT rather than IN.
        write: bool,
        /// The value.
        value: Hex,
    },
    /// Device memory was accessed.
    Mmio {
        /// The physical address.
        addr: Hex,
        /// Bytes.
        len: u8,
        /// A store rather than a load.
        write: bool,
        /// The value.
        value: Hex,
    },
    /// The last byte of a text was sent.
    Console {
        /// The text.
        text: String,
    },
}

/// A row of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The step: seeking here stands right before it.
    pub icount: u64,
    /// The CPU.
    pub cpu: usize,
    /// Linear address of the instruction that the CPU was at.
    pub pc: Hex,
    /// The symbol there.
    pub symbol: Option<String>,
    /// The source line there.
    pub line: Option<String>,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

impl Row {
    /// A row, with names for its address.
    pub fn new(icount: u64, cpu: usize, pc: u64, event: Event, symbols: &Symbols) -> Self {
        Self { icount, cpu, pc: Hex(pc), symbol: symbols.describe(pc), line: symbols.line(pc), event }
    }

    /// The row of a hit; `addr` is what a physical address was asked for as.
    pub fn of(hit: &Hit, addr: impl Fn(u64) -> u64, symbols: &Symbols) -> Self {
        let event = match hit.what {
            What::Execute => Event::Execution,
            What::Memory { addr: phys, len, write: true, old, new } => {
                Event::Write { addr: Hex(addr(phys)), phys: Hex(phys), len, old: Hex(old), new: Hex(new) }
            }
            What::Memory { addr: phys, len, write: false, new, .. } => {
                Event::Read { addr: Hex(addr(phys)), phys: Hex(phys), len, value: Hex(new) }
            }
            What::Port { port, size, write, value } => {
                Event::Port { port: Hex(port.into()), len: size, write, value: Hex(value.into()) }
            }
            What::Mmio { addr, size, write, value } => {
                Event::Mmio { addr: Hex(addr), len: size, write, value: Hex(value) }
            }
            What::Interrupt { vector, software } => Event::Interrupt { vector, software },
            What::Exception { vector, code, address } => Event::Exception {
                vector,
                name: exception_name(vector),
                code: code.map(|c| Hex(c.into())),
                address: (vector == 14).then_some(Hex(address)),
            },
        };
        Self::new(hit.icount, hit.cpu, hit.pc, event, symbols)
    }
}

/// Lays rows out as a table of fixed columns, so that the first can be shown before the last is
/// known.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    steps: usize,
}

impl Table {
    /// A table whose rows are before the step `end`.
    pub fn new(end: u64) -> Self {
        Self { steps: end.to_string().len().max(6) }
    }

    /// The head of the table for rows like this one.
    pub fn head(self, row: &Row) -> String {
        let what = match row.event {
            Event::Write { .. } => format!("{:18} {:3} {:18} {:18}", "addr", "len", "old", "new"),
            Event::Read { .. } => format!("{:18} {:3} {:18}", "addr", "len", "value"),
            Event::Execution => String::new(),
            Event::Interrupt { .. } => format!("{:6} {:8}", "vector", "by"),
            Event::Exception { .. } => format!("{:6} {:4} {:6} {:18}", "vector", "name", "code", "address"),
            Event::Port { .. } | Event::Mmio { .. } => {
                format!("{:3} {:18} {:3} {:18}", "dir", "where", "len", "value")
            }
            Event::Console { .. } => "text".to_owned(),
        };
        self.line("step", "cpu", "pc", &what, "place")
    }

    /// A row.
    pub fn row(self, row: &Row) -> String {
        let hex = |h: Option<Hex>| h.map_or_else(|| "-".to_owned(), |h| h.to_string());
        let what = match &row.event {
            Event::Write { addr, len, old, new, .. } => format!("{addr:18} {len:<3} {old:18} {new:18}"),
            Event::Read { addr, len, value, .. } => format!("{addr:18} {len:<3} {value:18}"),
            Event::Execution => String::new(),
            Event::Interrupt { vector, software } => {
                format!("{:6} {:8}", Hex((*vector).into()), if *software { "INT n" } else { "device" })
            }
            Event::Exception { vector, name, code, address } => {
                format!("{vector:<6} {:4} {:6} {:18}", name.unwrap_or("-"), hex(*code), hex(*address))
            }
            Event::Port { port, len, write, value } => {
                format!("{:3} {port:18} {len:<3} {value:18}", if *write { "out" } else { "in" })
            }
            Event::Mmio { addr, len, write, value } => {
                format!("{:3} {addr:18} {len:<3} {value:18}", if *write { "st" } else { "ld" })
            }
            Event::Console { text } => format!("\"{}\"", text.escape_debug()),
        };
        let place = [row.symbol.as_deref(), row.line.as_deref()];
        let place: Vec<&str> = place.into_iter().flatten().collect();
        self.line(&row.icount.to_string(), &row.cpu.to_string(), &row.pc.to_string(), &what, &place.join(" "))
    }

    fn line(self, icount: &str, cpu: &str, pc: &str, what: &str, place: &str) -> String {
        let steps = self.steps;
        let gap = if what.is_empty() { "" } else { "  " };
        format!("{icount:>steps$}  {cpu:>3}  {pc:18}{gap}{what}  {place}").trim_end().to_owned()
    }
}
