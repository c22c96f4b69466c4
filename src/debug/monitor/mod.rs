//! The monitor: commands that people type, in gdb after `monitor`, or on the monitor's own socket.

mod history;
mod look;
mod memory;
mod questions;
mod table;
use super::expr::Scope;
use super::query::QueryError;
use super::symbols::Symbols;
use crate::machine::board::{Board, Core};
use crate::timeline::{Control, Error, Timeline};
use history::{Checkpoint, Places};

/// What a command came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Text to show, lines ended by line feeds.
    pub text: String,
    /// The machine may stand elsewhere, or hold something else, than before.
    pub moved: bool,
    /// The user wants to leave.
    pub quit: bool,
}

/// A monitor session: what it remembers from one command to the next.
#[derive(Debug, Default)]
pub struct Monitor {
    /// Names of addresses.
    symbols: Symbols,
    /// What the recording is called.
    recording: String,
    /// Where the user was.
    places: Places,
    checkpoints: Vec<Checkpoint>,
    /// The number of the next checkpoint.
    next: u64,
    /// The step that `last` found last.
    last: Option<u64>,
}

/// Why a command has no answer.
enum Failure {
    /// Its arguments make no sense: its usage is the answer.
    Usage,
    /// It cannot be done; the text says why.
    Text(String),
    /// The timeline failed.
    Timeline(Error),
}

impl From<Error> for Failure {
    fn from(e: Error) -> Self {
        Self::Timeline(e)
    }
}

impl From<String> for Failure {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<QueryError> for Failure {
    fn from(e: QueryError) -> Self {
        match e {
            QueryError::Wrong(text) => Self::Text(text),
            QueryError::Timeline(e) => Self::Timeline(e),
        }
    }
}

/// A command under way.
struct Call<'a, B: Board> {
    timeline: &'a mut Timeline<B>,
    control: &'a mut dyn Control,
    /// The command's name.
    name: &'static str,
    /// What stands after a `/` in the command, as in `x/4i`.
    format: &'a str,
    args: &'a [&'a str],
    out: String,
    quit: bool,
}

impl<B: Board> Call<'_, B> {
    /// Adds a line to the answer.
    fn say(&mut self, line: impl AsRef<str>) {
        self.out.push_str(line.as_ref());
        self.out.push('\n');
    }

    /// The CPU that makes the next step.
    fn cpu(&mut self) -> usize {
        self.timeline.machine().current_cpu()
    }

    /// Goes to a step.
    fn seek(&mut self, icount: u64) -> Result<(), Failure> {
        let why = self.timeline.seek(icount, self.control)?;
        if why == crate::timeline::condition::Why::Cancelled {
            self.say("stopped on the way");
        }
        Ok(())
    }
}

impl Monitor {
    /// A session on a recording of this name.
    pub fn new(recording: &str, symbols: Symbols) -> Self {
        Self { recording: recording.to_owned(), symbols, ..Self::default() }
    }

    /// Tells that the user was shown this step: `back` comes here again.
    pub fn visited(&mut self, icount: u64) {
        self.places.visited(icount);
    }

    /// Runs a command. A command that is wrong answers with a text that says so.
    ///
    /// # Errors
    /// [`Error`] when the timeline fails.
    pub fn command<B: Board>(
        &mut self,
        timeline: &mut Timeline<B>,
        line: &str,
        control: &mut dyn Control,
    ) -> Result<Answer, Error> {
        let words = match split(line) {
            Ok(words) => words,
            Err(text) => return Ok(Answer { text: format!("{text}\n"), ..Answer::default() }),
        };
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        if words.is_empty() {
            return Ok(Answer::default());
        }
        let Some((command, format, args)) = table::find::<B>(&words) else {
            let text = format!("'{}' is no command; 'help' lists them\n", words[0]);
            return Ok(Answer { text, ..Answer::default() });
        };
        let (before, branched) = (timeline.icount(), timeline.branched());
        self.places.visited(before);
        let (name, out) = (command.name, String::new());
        let mut call = Call { timeline, control, name, format, args, out, quit: false };
        let done = (command.run)(self, &mut call);
        let (mut text, quit) = (call.out, call.quit);
        match done {
            Ok(()) => {}
            Err(Failure::Usage) => text.push_str(&format!("usage: {}\n", command.usage)),
            Err(Failure::Text(why)) => text.push_str(&format!("{why}\n")),
            Err(Failure::Timeline(e)) => return Err(e),
        }
        let moved = timeline.icount() != before || timeline.branched() != branched;
        Ok(Answer { text, moved, quit })
    }

    /// Calls `f` with what names mean where the machine stands.
    fn scoped<B: Board, T>(&self, call: &mut Call<'_, B>, f: impl FnOnce(Scope<'_>) -> T) -> T {
        let cpu = call.cpu();
        let board = std::cell::RefCell::new(&mut call.timeline.machine().state.board);
        let register = |name: &str| {
            let mut board = board.borrow_mut();
            let pc = board.pc(cpu);
            register(&board.core(cpu), pc, name)
        };
        f(Scope { symbols: &self.symbols, register: Some(&register) })
    }

    /// `name+0x12 file:line` of an address, with a space before, or nothing.
    fn label(&self, addr: u64) -> String {
        let parts = [self.symbols.describe(addr), self.symbols.line(addr)];
        parts.into_iter().flatten().map(|p| format!(" {p}")).collect()
    }
}

/// A register's value for an expression: besides the manual's names `pc`, `sp`, and the 32-bit
/// names.
fn register(core: &Core<'_>, pc: u64, name: &str) -> Option<u64> {
    let full = |name: &str| core.get(name).map(|v| v as u64);
    match name {
        "pc" => Some(pc),
        "sp" => full("rsp"),
        "fp" => full("rbp"),
        "eflags" => full("rflags"),
        _ => full(name).or_else(|| {
            let long = format!("r{}", name.strip_prefix('e')?);
            full(&long).map(|v| v & 0xffff_ffff)
        }),
    }
}

/// The words of a line. Double quotes keep spaces together; in them `\n`, `\r`, `\t`, `\"` and `\\`
/// are what they are in C.
fn split(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut chars = line.trim().chars().peekable();
    while let Some(&first) = chars.peek() {
        if first.is_whitespace() {
            chars.next();
            continue;
        }
        let mut word = String::new();
        let mut quoted = false;
        while let Some(&c) = chars.peek() {
            if c.is_whitespace() && !quoted {
                break;
            }
            chars.next();
            match c {
                '"' => quoted = !quoted,
                '\\' if quoted => match chars.next() {
                    Some('n') => word.push('\n'),
                    Some('r') => word.push('\r'),
                    Some('t') => word.push('\t'),
                    Some(c @ ('"' | '\\')) => word.push(c),
                    _ => return Err("a backslash needs n, r, t, \" or \\ after it".to_owned()),
                },
                _ => word.push(c),
            }
        }
        if quoted {
            return Err("a quotation mark is missing".to_owned());
        }
        words.push(word);
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        let split = |line| split(line).unwrap();
        assert_eq!(split("  seek  10 "), ["seek", "10"]);
        assert_eq!(split(r#"console "a b\n\"c\\" d"#), ["console", "a b\n\"c\\", "d"]);
        assert_eq!(split("console \"\""), ["console", ""]);
        assert_eq!(split(""), [""; 0]);
        for bad in ["\"", "a \"b", r#""\x""#, "\"\\"] {
            assert!(super::split(bad).is_err(), "{bad}");
        }
    }
}
