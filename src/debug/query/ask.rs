//! What can be asked, and in which words.

use super::QueryError;
use crate::debug::expr::{Place, Scope, number};
use crate::timeline::condition::Condition;
use dejavm_interp::probe::Vectors;

/// A kind of question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum What {
    /// ADDR[:LEN]: the last store to memory
    LastWrite,
    /// ADDR[:LEN]: all stores to memory
    Writes,
    /// ADDR[:LEN]: all loads from memory
    Reads,
    /// PC|SYMBOL: when an instruction was executed
    Executions,
    /// [VECTOR]: interrupts whose handlers were entered
    Interrupts,
    /// [VECTOR|NAME]: exceptions whose handlers were entered
    Exceptions,
    /// [PORT[-PORT]|ADDR[:LEN]]...: accesses to ports and device memory
    Io,
    /// TEXT: when the first serial port's output contained a text
    Console,
}

impl What {
    /// Its name and arguments.
    pub fn usage(self) -> &'static str {
        match self {
            Self::LastWrite => "last-write ADDR[:LEN]",
            Self::Writes => "writes ADDR[:LEN]",
            Self::Reads => "reads ADDR[:LEN]",
            Self::Executions => "executions PC|SYMBOL",
            Self::Interrupts => "interrupts [VECTOR]",
            Self::Exceptions => "exceptions [VECTOR|NAME]",
            Self::Io => "io [PORT[-PORT]|ADDR[:LEN]]...",
            Self::Console => "console TEXT",
        }
    }
}

/// A question, as it was asked.
#[derive(Clone, Debug, clap::Args)]
pub struct Ask {
    /// What to look for
    pub what: What,
    /// What the question is about
    #[arg(value_name = "ARG")]
    pub args: Vec<String>,
    /// Only from this step on
    #[arg(long, value_name = "N", default_value = "0")]
    pub from: String,
    /// Only before this step; the default is the end of the recording
    #[arg(long, value_name = "N|end", conflicts_with = "before")]
    pub to: Option<String>,
    /// Only before this step, whose page tables translate the address, too
    #[arg(long, value_name = "N")]
    pub before: Option<String>,
    /// At most so many rows (last-write: 1 if not given)
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,
    /// Only what this CPU did
    #[arg(long, value_name = "N")]
    pub cpu: Option<usize>,
    /// The step whose page tables translate the address
    #[arg(long, value_name = "N|end")]
    pub at: Option<String>,
}

/// What a question is about, before page tables are looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Accesses to memory.
    Memory {
        /// Where.
        place: Place,
        /// Bytes.
        len: u64,
        /// Loads rather than stores.
        read: bool,
    },
    /// Anything else.
    Other(Condition),
}

/// A step as it was asked for: `end` is the end of the recording.
pub fn step(option: &str, text: &str, end: u64) -> Result<u64, QueryError> {
    if text == "end" {
        return Ok(end);
    }
    number(text).ok_or_else(|| QueryError::Wrong(format!("{option} {text}: neither a step nor 'end'")))
}

impl Ask {
    /// What the question is about.
    pub fn subject(&self, scope: Scope<'_>) -> Result<Subject, String> {
        let usage = || format!("usage: {}", self.what.usage());
        let arg = match self.args.as_slice() {
            [] => None,
            [arg] => Some(arg.as_str()),
            _ if self.what == What::Io => None,
            _ => return Err(usage()),
        };
        let needed = || arg.ok_or_else(usage);
        let other = |c: Condition| Ok(Subject::Other(c));
        match self.what {
            What::LastWrite | What::Writes | What::Reads => {
                let (place, len) = scope.range(needed()?)?;
                Ok(Subject::Memory { place, len, read: self.what == What::Reads })
            }
            What::Executions => match scope.place(needed()?)? {
                Place::Virtual(pc) => other(Condition { execute: vec![pc], ..Condition::default() }),
                Place::Physical(_) => Err("executions are found by virtual address only".to_owned()),
            },
            What::Interrupts => other(Condition { interrupts: vectors(arg)?, ..Condition::default() }),
            What::Exceptions => other(Condition { exceptions: vectors(arg)?, ..Condition::default() }),
            What::Io => other(io(&self.args, scope)?),
            What::Console => {
                let text = needed()?.as_bytes().to_vec();
                if text.is_empty() {
                    return Err("an empty text is everywhere".to_owned());
                }
                other(Condition { console: Some((0, text)), ..Condition::default() })
            }
        }
    }
}

/// Exceptions by vector (SDM volume 3, table 6-1).
const EXCEPTIONS: [(u8, &str); 19] = [
    (0, "#DE"),
    (1, "#DB"),
    (2, "NMI"),
    (3, "#BP"),
    (4, "#OF"),
    (5, "#BR"),
    (6, "#UD"),
    (7, "#NM"),
    (8, "#DF"),
    (10, "#TS"),
    (11, "#NP"),
    (12, "#SS"),
    (13, "#GP"),
    (14, "#PF"),
    (16, "#MF"),
    (17, "#AC"),
    (18, "#MC"),
    (19, "#XM"),
    (20, "#VE"),
];

/// The manual's name of an exception.
pub fn exception_name(vector: u8) -> Option<&'static str> {
    EXCEPTIONS.iter().find(|e| e.0 == vector).map(|e| e.1)
}

fn vectors(text: Option<&str>) -> Result<Vectors, String> {
    let Some(text) = text else { return Ok(Vectors::ALL) };
    let named =
        |e: &&(u8, &str)| e.1.trim_start_matches('#').eq_ignore_ascii_case(text.trim_start_matches('#'));
    let name = EXCEPTIONS.iter().find(named).map(|e| e.0);
    let vector = name.or_else(|| number(text).and_then(|n| u8::try_from(n).ok()));
    let mut vectors = Vectors::default();
    vectors.insert(vector.ok_or_else(|| format!("'{text}' is not a vector"))?);
    Ok(vectors)
}

/// Ports are numbers up to ffffH, all other places are device memory.
fn io(args: &[String], scope: Scope<'_>) -> Result<Condition, String> {
    let mut condition = Condition::default();
    if args.is_empty() {
        condition.ports.push((0, u16::MAX));
        condition.mmio.push((0, u64::MAX));
    }
    for arg in args {
        let port = |text: &str| number(text).and_then(|n| u16::try_from(n).ok());
        if let Some((first, last)) = arg.split_once('-') {
            let (Some(first), Some(last)) = (port(first), port(last)) else {
                return Err(format!("'{arg}' is not a range of ports"));
            };
            if first > last {
                return Err(format!("'{arg}': the first port is after the last"));
            }
            condition.ports.push((first, last));
        } else if let Some(port) = port(arg) {
            condition.ports.push((port, port));
        } else {
            let (place, len) = scope.range(arg)?;
            condition.mmio.push((place.addr(), place.addr() + (len - 1)));
        }
    }
    Ok(condition)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::debug::symbols::Symbols;

    #[test]
    fn ports_and_vectors() {
        let symbols = Symbols::default();
        let scope = Scope { symbols: &symbols, register: None };
        let io = |args: &[&str]| io(&args.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>(), scope);
        let found = io(&["0x60", "0x70-0x71", "0xfee00000:0x1000", "phys:0xb8000"]).unwrap();
        assert_eq!(found.ports, [(0x60, 0x60), (0x70, 0x71)]);
        assert_eq!(found.mmio, [(0xfee0_0000, 0xfee0_0fff), (0xb8000, 0xb8007)]);
        for bad in ["1-", "-1", "2-1", "1-0x10000", "x", "0xfee00000:0", ""] {
            assert!(io(&[bad]).is_err(), "{bad}");
        }
        let vector =
            |text| (0..=255).filter(|&v| vectors(Some(text)).unwrap().contains(v)).collect::<Vec<u8>>();
        assert_eq!((vector("#PF"), vector("gp"), vector("0xef")), (vec![14], vec![13], vec![0xef]));
        assert!(vectors(Some("256")).is_err() && vectors(Some("#QQ")).is_err() && vectors(Some("")).is_err());
        assert_eq!(vectors(None), Ok(Vectors::ALL));
    }
}
