//! History questions as commands.

use super::{Call, Failure, Monitor};
use crate::debug::query::{Ask, Context, Found, QueryError, Row, Table, What, answer};
use crate::machine::board::Board;
use clap::{Parser, ValueEnum};

/// Rows that a command shows if it is not told how many.
const ROWS: u64 = 100;

/// What the options of a question are.
pub const OPTIONS: &str = "options: --from N, --to N|end, --before N, --limit N (100), --cpu N, \
    --at N|end (page tables; default: now)";

/// A question as a line.
#[derive(Debug, Parser)]
#[command(no_binary_name = true, disable_help_flag = true, disable_version_flag = true)]
struct Line {
    #[command(flatten)]
    ask: Ask,
}

impl Monitor {
    /// Asks, and goes back to where the machine stood.
    fn ask<B: Board>(
        &mut self,
        call: &mut Call<'_, B>,
        ask: &Ask,
        show: &mut dyn FnMut(&Row) -> bool,
    ) -> Result<Found, Failure> {
        let here = call.timeline.icount();
        let cpu = call.cpu();
        // Registers are those of now, wherever the search goes.
        let mut args = Vec::new();
        for arg in &ask.args {
            args.push(if ask.what == What::Console { arg.clone() } else { self.fix(call, cpu, arg)? });
        }
        let ask = Ask { args, ..ask.clone() };
        let scope = crate::debug::expr::Scope { symbols: &self.symbols, register: None };
        let context = Context { scope, now: Some(here) };
        let found = answer(call.timeline, &ask, context, call.control, show);
        // Back, even if the user wants the search to stop.
        call.timeline.seek(here, &mut ())?;
        match found {
            Err(QueryError::Wrong(text)) if text.starts_with("usage: ") => Err(Failure::Usage),
            other => Ok(other?),
        }
    }

    /// An argument with the values of its registers in their places.
    fn fix<B: Board>(&self, call: &mut Call<'_, B>, cpu: usize, arg: &str) -> Result<String, Failure> {
        let mut fixed = String::new();
        let mut rest = arg;
        while let Some(start) = rest.find('$') {
            let name = &rest[start + 1..];
            let end = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(name.len());
            let board = &mut call.timeline.machine().state.board;
            let pc = board.pc(cpu);
            let value = super::register(&board.core(cpu), pc, &name[..end]);
            let value = value.ok_or_else(|| format!("'${}' is not a register", &name[..end]))?;
            fixed.push_str(&format!("{}{value:#x}", &rest[..start]));
            rest = &name[end..];
        }
        Ok(fixed + rest)
    }

    /// Shows the rows of a question as a table.
    fn list<B: Board>(&mut self, call: &mut Call<'_, B>, ask: &Ask) -> Result<Option<u64>, Failure> {
        let end = if call.timeline.branched() { call.timeline.icount() } else { call.timeline.end() };
        let table = Table::new(end);
        let mut text = String::new();
        let mut first = None;
        let found = self.ask(call, ask, &mut |row| {
            if first.is_none() {
                first = Some(row.icount);
                text.push_str(&format!("{}\n", table.head(row)));
            }
            text.push_str(&format!("{}\n", table.row(row)));
            true
        })?;
        call.out.push_str(&text);
        match found {
            Found { cancelled: true, .. } => call.say("stopped; this is what was found so far"),
            Found { rows: 0, .. } => call.say("nothing found"),
            Found { more: true, .. } if ask.what != What::LastWrite => {
                call.say("there may be more (--limit N)");
            }
            _ => {}
        }
        Ok(first)
    }

    pub(super) fn query<B: Board>(&mut self, call: &mut Call<'_, B>) -> Result<(), Failure> {
        let words = std::iter::once(call.name).chain(call.args.iter().copied());
        let mut ask = Line::try_parse_from(words).map_err(|_| Failure::Usage)?.ask;
        if ask.what != What::LastWrite {
            ask.limit.get_or_insert(ROWS);
        }
        let first = self.list(call, &ask)?;
        if ask.what == What::LastWrite {
            self.last = first.or(self.last);
        }
        Ok(())
    }

    pub(super) fn last<B: Board>(&mut self, call: &mut Call<'_, B>) -> Result<(), Failure> {
        let (go, addr) = match call.args {
            ["-g"] => {
                let at = self.last.ok_or_else(|| "'last' has found nothing yet".to_owned())?;
                return self.go(call, at);
            }
            ["-g", addr] | [addr, "-g"] => (true, *addr),
            [addr] => (false, *addr),
            _ => return Err(Failure::Usage),
        };
        let name = What::LastWrite.to_possible_value();
        let name = name.as_ref().map_or("", |v| v.get_name());
        let ask = Line::try_parse_from([name, addr]).map_err(|_| Failure::Usage)?.ask;
        let found = self.list(call, &ask)?;
        self.last = found.or(self.last);
        match found {
            Some(at) if go => self.go(call, at),
            _ => Ok(()),
        }
    }
}
