//! Searching the output of a serial port for a text.

use super::crew::{Crew, lock};
use super::search::{Match, Searched};
use super::snapshot::Window;
use super::transcript::{Listener, Sent, ends, may_straddle};
use super::{Control, Error, SPACING, Timeline};
use crate::machine::board::Board;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// The most steps whose output is made known at once.
const MOST: u64 = 16 * SPACING;

/// Finds a text in output that comes piece by piece, forwards.
pub(super) struct Scanner {
    port: u8,
    text: Vec<u8>,
    /// Where the output begins that it was shown.
    start: u64,
    /// The last bytes that a text may have begun with.
    tail: Vec<Sent>,
    /// What was sent before `start` is part of `tail`, or does not matter any more.
    complete: bool,
}

impl Scanner {
    pub fn new(port: u8, text: Vec<u8>, start: u64) -> Self {
        let complete = start == 0 || text.len() < 2;
        Self { port, text, start, tail: Vec::new(), complete }
    }
}

impl<B: Board> Timeline<B> {
    /// The steps that ended the text in the output that comes next. `None` when cancelled.
    pub(super) fn scan(
        &mut self,
        scanner: &mut Scanner,
        sent: &[Sent],
        control: &mut dyn Control,
    ) -> Result<Option<Vec<u64>>, Error> {
        let Scanner { port, text, start, .. } = scanner;
        let keep = text.len().saturating_sub(1);
        let mut all = std::mem::take(&mut scanner.tail);
        all.extend(sent.iter().filter(|s| s.port == *port));
        // What came before is looked for only if it may matter: that may take a while.
        if !scanner.complete && may_straddle(text, &all, 0) {
            let Some(mut before) = self.sent_before(*port, *start, keep, control)? else { return Ok(None) };
            before.append(&mut all);
            all = before;
            scanner.complete = true;
        }
        let found = ends(text, &all);
        scanner.complete |= all.len() >= keep;
        scanner.tail = all.split_off(all.len() - keep.min(all.len()));
        Ok(Some(found))
    }

    /// The steps of the window that ended the text. `None` when cancelled.
    pub(super) fn texts(
        &mut self,
        scanner: &mut Scanner,
        window: Window,
        control: &mut dyn Control,
    ) -> Result<Option<Vec<u64>>, Error> {
        if !self.hear(window, control)? {
            return Ok(None);
        }
        let sent = self.transcript.sent(scanner.port, window);
        self.scan(scanner, &sent, control)
    }

    /// The last step of the window that ended the text.
    pub(super) fn last_text(
        &mut self,
        port: u8,
        text: &[u8],
        (from, to): Window,
        control: &mut dyn Control,
    ) -> Result<Searched, Error> {
        let keep = text.len().saturating_sub(1);
        // The first bytes after `end`, for a text that ends in them.
        let (mut end, mut after) = (to, Vec::new());
        let mut size = SPACING * self.shop.options.jobs.max(1) as u64;
        while end > from || end > 0 && may_straddle(text, &after, from) {
            let start = end.saturating_sub(size).max(if end > from { from } else { 0 });
            if !self.hear((start, end), control)? {
                return Ok(Searched::Cancelled);
            }
            let mut sent = self.transcript.sent(port, (start, end));
            sent.append(&mut after);
            match ends(text, &sent).last() {
                Some(&at) if at >= from => return Ok(Searched::Found(Match::Console(at))),
                Some(_) => break,
                None => {}
            }
            sent.truncate(keep);
            // Below `from` only the bytes that a text in the window may end in matter.
            (end, after) = (start, sent);
            size = (size * 2).min(MOST);
        }
        Ok(Searched::Nothing)
    }

    /// The last `n` bytes, or fewer at the beginning, that a port sent before a step.
    fn sent_before(
        &mut self,
        port: u8,
        step: u64,
        n: usize,
        control: &mut dyn Control,
    ) -> Result<Option<Vec<Sent>>, Error> {
        let (mut end, mut tail) = (step, Vec::new());
        let mut size = SPACING;
        while end > 0 && tail.len() < n {
            let start = end.saturating_sub(size);
            if !self.hear((start, end), control)? {
                return Ok(None);
            }
            let mut sent = self.transcript.sent(port, (start, end));
            sent.append(&mut tail);
            tail = sent.split_off(sent.len() - n.min(sent.len()));
            (end, size) = (start, (size * 2).min(MOST));
        }
        Ok(Some(tail))
    }

    /// Makes known what was sent in the steps of a window. False when cancelled. The user's machine, which may be
    /// in the middle of a run, stays where it is.
    fn hear(&mut self, window: Window, control: &mut dyn Control) -> Result<bool, Error> {
        let gaps = self.transcript.gaps(window);
        let windows: Vec<Window> = gaps.iter().flat_map(|&(from, to)| self.store.windows(from, to)).collect();
        if windows.is_empty() {
            return Ok(true);
        }
        let mut own = self.workers.pop().map_or_else(|| self.shop.player(), Ok)?;
        let crew = Crew::new(&self.shop, &mut self.store, &windows);
        let results = Mutex::new(BTreeMap::new());
        let note = |index: usize, result: Result<Vec<Sent>, Error>| {
            if result.is_err() {
                crew.enough(index + 1);
            }
            lock(&results).insert(index, result);
        };
        crew.work(
            &mut own,
            &mut self.workers,
            self.shop.options.jobs,
            &|player, run, pause| {
                let index = run.start;
                let mut listener = Listener::default();
                let ran = crew.run(player, run, None, &mut listener, &mut |_, _| {
                    pause();
                    true
                });
                match ran {
                    Ok(true) => note(index, Ok(listener.0)),
                    Ok(false) => {}
                    Err(e) => note(index, Err(e)),
                }
            },
            &|run, e| note(run.start, Err(e)),
            &mut || crew.look(control),
        );
        self.workers.push(own);
        let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut complete = true;
        for (index, &steps) in windows.iter().enumerate() {
            match results.remove(&index) {
                Some(Ok(sent)) => self.transcript.learn(steps, &sent, window),
                Some(Err(e)) => return Err(e),
                None => complete = false,
            }
        }
        Ok(complete)
    }
}
