//! Answering a question.

use super::ask::{Subject, step};
use super::{Ask, Context, Event, QueryError, Row, What};
use crate::debug::expr::Place;
use crate::machine::board::Board;
use crate::timeline::condition::{Condition, Watched, Why};
use crate::timeline::search::{Match, Searched};
use crate::timeline::{Control, Timeline};
use dejavm_interp::mem::PAGE_SIZE;
use dejavm_interp::probe;

/// Bytes that a question about memory may cover.
const MAX_LEN: u64 = 1 << 30;

/// How a search ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Rows that were handed out.
    pub rows: u64,
    /// The user stopped it.
    pub cancelled: bool,
    /// It ended at the limit; there may be more.
    pub more: bool,
}

/// A question whose names and addresses are resolved.
struct Question<'a> {
    what: What,
    condition: Condition,
    /// Pages of a virtual address: physical address, bytes, virtual address.
    pages: Vec<(u64, u64, u64)>,
    from: u64,
    to: u64,
    limit: u64,
    cpu: Option<usize>,
    context: Context<'a>,
}

/// Answers a question: calls `show` for each row until it answers false. Moves the timeline; who
/// cares goes back.
///
/// # Errors
/// [`QueryError`].
pub fn answer<B: Board>(
    timeline: &mut Timeline<B>,
    ask: &Ask,
    context: Context<'_>,
    control: &mut dyn Control,
    show: &mut dyn FnMut(&Row) -> bool,
) -> Result<Found, QueryError> {
    let subject = ask.subject(context.scope)?;
    // A branch has no end: what it has seen so far is all there is.
    let end = if timeline.branched() { timeline.icount() } else { timeline.end() };
    let cpus = timeline.machine().state.board.cpus();
    if let Some(cpu) = ask.cpu.filter(|&cpu| cpu >= cpus) {
        return Err(format!("--cpu {cpu}: the machine has {cpus}").into());
    }
    let now = context.now.unwrap_or(end);
    let bound = match (&ask.before, &ask.to) {
        (Some(n), _) => Some(step("--before", n, end)?),
        (None, Some(n)) => Some(step("--to", n, end)?),
        (None, None) => None,
    };
    let default_end = if ask.what == What::LastWrite { now } else { end };
    let at = match (&ask.at, &ask.before) {
        (Some(n), _) => step("--at", n, end)?,
        (None, Some(_)) => bound.unwrap_or(end),
        (None, None) => now,
    };
    let mut question = Question {
        what: ask.what,
        condition: Condition::default(),
        pages: Vec::new(),
        from: step("--from", &ask.from, end)?,
        to: bound.unwrap_or(default_end).min(end),
        limit: ask.limit.unwrap_or(if ask.what == What::LastWrite { 1 } else { u64::MAX }),
        cpu: ask.cpu,
        context,
    };
    match subject {
        Subject::Other(condition) => question.condition = condition,
        Subject::Memory { place, len, read } => {
            if len > MAX_LEN {
                return Err(format!("{len} bytes are more than a question may cover ({MAX_LEN})").into());
            }
            if matches!(place, Place::Virtual(_)) && timeline.seek(at.min(end), control)? == Why::Cancelled {
                return Ok(Found { cancelled: true, ..Found::default() });
            }
            question.watch(timeline, place, len, read)?;
        }
    }
    if question.limit == 0 || question.from >= question.to {
        return Ok(Found::default());
    }
    match question.what {
        What::LastWrite => question.backwards(timeline, control, show),
        What::Console => question.console(timeline, control, show),
        _ => question.forwards(timeline, control, show),
    }
}

impl Question<'_> {
    /// Watches a place; page tables are those of where the timeline stands.
    fn watch<B: Board>(
        &mut self,
        timeline: &mut Timeline<B>,
        place: Place,
        len: u64,
        read: bool,
    ) -> Result<(), QueryError> {
        let icount = timeline.icount();
        let machine = timeline.machine();
        let cpu = self.cpu.unwrap_or_else(|| machine.current_cpu());
        let mut watch = |addr, len| {
            self.condition.memory.push(Watched { addr, len, read, write: !read });
        };
        let mut addr = match place {
            Place::Physical(addr) => {
                watch(addr, len);
                return Ok(());
            }
            Place::Virtual(addr) => addr,
        };
        let mut left = len;
        while left > 0 {
            let part = left.min(PAGE_SIZE - addr % PAGE_SIZE);
            let Some(phys) = machine.state.board.translate(cpu, &machine.mem, addr) else {
                let hint = "--at N takes another step's page tables, phys:ADDR needs none";
                return Err(format!("address {addr:#x} is not mapped at step {icount} ({hint})").into());
            };
            watch(phys, part);
            self.pages.push((phys, part, addr));
            addr = addr.wrapping_add(part);
            left -= part;
        }
        Ok(())
    }

    /// What a physical address was asked for as.
    fn asked(&self, phys: u64) -> u64 {
        let page = self.pages.iter().find(|p| phys.wrapping_sub(p.0) < p.1);
        page.map_or(phys, |&(start, _, addr)| addr.wrapping_add(phys - start))
    }

    /// The row of a match, if that is one that was asked for. Watched device memory is reported for
    /// loads and stores alike.
    fn row(&self, found: &Match) -> Option<Row> {
        let Match::Hit(hit) = found else { return None };
        if self.cpu.is_some_and(|cpu| cpu != hit.cpu) {
            return None;
        }
        if let (probe::What::Mmio { write, .. }, Some(watched)) = (hit.what, self.condition.memory.first())
            && write != watched.write
        {
            return None;
        }
        Some(Row::of(hit, |phys| self.asked(phys), self.context.scope.symbols))
    }

    fn forwards<B: Board>(
        &self,
        timeline: &mut Timeline<B>,
        control: &mut dyn Control,
        show: &mut dyn FnMut(&Row) -> bool,
    ) -> Result<Found, QueryError> {
        let mut found = Found::default();
        let why = timeline.collect(&self.condition, self.from, self.to, control, &mut |m| {
            let Some(row) = self.row(&m).filter(|r| r.icount < self.to) else { return true };
            found.rows += 1;
            found.more = found.rows >= self.limit;
            show(&row) && !found.more
        })?;
        found.cancelled = why == Why::Cancelled;
        Ok(found)
    }

    fn backwards<B: Board>(
        &self,
        timeline: &mut Timeline<B>,
        control: &mut dyn Control,
        show: &mut dyn FnMut(&Row) -> bool,
    ) -> Result<Found, QueryError> {
        // Going there plants the snapshots that the search starts from.
        let cancelled = timeline.seek(self.to, control)? == Why::Cancelled;
        let mut found = Found { cancelled, ..Found::default() };
        let mut end = self.to;
        while !found.cancelled && found.rows < self.limit {
            let last = match timeline.last_match(&self.condition, self.from, end, control)? {
                Searched::Found(last) => last,
                Searched::Cancelled => {
                    found.cancelled = true;
                    break;
                }
                Searched::Nothing => return Ok(found),
            };
            end = last.icount();
            let row = match self.row(&last) {
                Some(row) => Some(row),
                None => self.other(timeline, end)?,
            };
            if let Some(row) = row {
                found.rows += 1;
                if !show(&row) {
                    return Ok(found);
                }
            }
        }
        found.more = !found.cancelled;
        Ok(found)
    }

    /// The last row in one step whose last match is not one that was asked for.
    fn other<B: Board>(&self, timeline: &mut Timeline<B>, icount: u64) -> Result<Option<Row>, QueryError> {
        let mut last = None;
        timeline.collect(&self.condition, icount, icount + 1, &mut (), &mut |m| {
            last = self.row(&m).filter(|r| r.icount == icount).or(last.take());
            true
        })?;
        Ok(last)
    }

    /// Console output does not tell which instruction sent it: the machine is looked at there.
    fn console<B: Board>(
        &self,
        timeline: &mut Timeline<B>,
        control: &mut dyn Control,
        show: &mut dyn FnMut(&Row) -> bool,
    ) -> Result<Found, QueryError> {
        let mut found = Found::default();
        let text = self.condition.console.as_ref().map_or(&[][..], |c| &c.1);
        let text = String::from_utf8_lossy(text).into_owned();
        let mut steps = Vec::new();
        let why = timeline.collect(&self.condition, self.from, self.to, control, &mut |m| {
            steps.push(m.icount());
            self.cpu.is_some() || (steps.len() as u64) < self.limit
        })?;
        found.cancelled = why == Why::Cancelled;
        for icount in steps.into_iter().filter(|&icount| icount < self.to) {
            // What was found is shown even if the user wants no more of the search.
            timeline.seek(icount, &mut ())?;
            let machine = timeline.machine();
            let cpu = machine.current_cpu();
            if self.cpu.is_some_and(|asked| asked != cpu) {
                continue;
            }
            let pc = machine.state.board.pc(cpu);
            let event = Event::Console { text: text.clone() };
            found.rows += 1;
            found.more = found.rows >= self.limit;
            if !show(&Row::new(icount, cpu, pc, event, self.context.scope.symbols)) || found.more {
                break;
            }
        }
        Ok(found)
    }
}
