//! Recording: runs a machine against the live world and logs what comes from there.

use super::log::Writer;
use super::record::{EndReason, Record};
use super::runner::{Event, Runner};
use super::saver::Saver;
use super::tape::Cursor;
use super::{Input, Moment, Output, Source};
use crate::machine::board::Board;
use crate::machine::fault::Fault;
use crate::machine::time::VirtNs;
use crate::machine::tree::Wrong;
use std::collections::VecDeque;
use std::io::Write;

/// Steps between looks at the live world: a few milliseconds of host time.
const SLICE: u64 = 1 << 18;
/// Virtual nanoseconds that a serial byte takes while the guest is busy: 115,200 baud. Guests that
/// are faster than their own interrupt handlers lose input on real hardware too.
const BYTE_NS: u64 = 86_800;

/// Something that the live world brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Live {
    /// An input to inject now.
    Input(Input),
    /// Bytes for a serial port, to inject as the port has room.
    Serial {
        /// Port number.
        port: u8,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// Ctrl-C or a signal: the first presses the power button, the second stops the run.
    Interrupt,
    /// The user stops the run.
    Quit,
}

/// The live world. [`crate::host`] has the real one.
pub trait Outside {
    /// What has arrived, if anything. Never waits.
    fn poll(&mut self) -> Option<Live>;

    /// True while input can still come from a person or a program: idle time is then slept.
    fn live(&self) -> bool;

    /// Sleeps until something arrives, but no more than `ns` virtual nanoseconds after `now`
    /// (`None`: any time). Returns the virtual nanoseconds that passed, at most `ns`.
    fn sleep(&mut self, now: VirtNs, ns: Option<u64>) -> u64;

    /// The host's wall clock in nanoseconds since 1970.
    fn host_clock(&mut self) -> u64;

    /// Something left the machine.
    fn output(&mut self, output: &Output);

    /// A slice has ended: show what was output.
    fn flush(&mut self) {}
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// When.
    pub at: Moment,
    /// Why.
    pub reason: EndReason,
}

/// A fault that cannot be injected at its step.
#[derive(Debug, thiserror::Error)]
#[error("--inject at step {at}: {wrong}")]
pub struct BadFault {
    at: u64,
    wrong: Wrong,
}

/// Reads the host's clock and logs it.
struct LiveSource<'a, W: Write> {
    outside: &'a mut dyn Outside,
    log: Option<&'a mut Writer<W>>,
    cursor: &'a mut Cursor,
    result: std::io::Result<()>,
}

impl<W: Write> Source for LiveSource<'_, W> {
    fn host_clock(&mut self, icount: u64) -> u64 {
        let ns = self.outside.host_clock();
        if let Some(log) = &mut self.log
            && self.result.is_ok()
        {
            let record = Record::HostClock { icount, ns };
            self.cursor.pass(&record);
            self.result = log.put(&record);
        }
        ns
    }
}

/// Serial bytes that wait for room.
#[derive(Debug, Default)]
struct Queue {
    port: u8,
    bytes: VecDeque<u8>,
    /// While the guest is busy, no more before this moment.
    next: VirtNs,
}

/// A run against the live world, with or without a log.
pub struct Recorder<'a, B: Board, W: Write> {
    runner: &'a mut Runner<B>,
    outside: &'a mut dyn Outside,
    log: Option<Writer<W>>,
    saver: Option<Saver>,
    /// The place after what was recorded so far.
    cursor: Cursor,
    queues: Vec<Queue>,
    interrupted: bool,
    /// Faults that are still to come, by step.
    faults: VecDeque<(u64, Fault)>,
}

/// What one round of the loop came to: the reason if the run is to end.
pub type Round = std::io::Result<Option<EndReason>>;

impl<'a, B: Board, W: Write> Recorder<'a, B, W> {
    /// A run of a machine at power-on, its log begun.
    pub fn new(runner: &'a mut Runner<B>, outside: &'a mut dyn Outside, log: Option<Writer<W>>) -> Self {
        Self {
            runner,
            outside,
            log,
            saver: None,
            cursor: Cursor::default(),
            queues: Vec::new(),
            interrupted: false,
            faults: VecDeque::new(),
        }
    }

    /// Saves snapshots in the log.
    #[must_use]
    pub fn saving(mut self, saver: Option<Saver>) -> Self {
        self.saver = saver;
        self
    }

    /// The machine was put to a moment, and the log holds everything up to there: so much.
    #[must_use]
    pub fn after(mut self, cursor: Cursor) -> Self {
        self.cursor = cursor;
        self
    }

    /// Injects these faults, each at the first moment of its step.
    #[must_use]
    pub fn with_faults(mut self, mut faults: Vec<(u64, Fault)>) -> Self {
        faults.sort_by_key(|f| f.0);
        self.faults = faults.into();
        self
    }

    /// The step of the next fault that was not injected.
    pub fn next_fault(&self) -> Option<u64> {
        self.faults.front().map(|f| f.0)
    }

    /// Runs until the end, at most to `max_icount` steps.
    ///
    /// # Errors
    /// What the log's file answers, or [`BadFault`]; what was written before is a valid recording.
    pub fn run(&mut self, max_icount: u64) -> std::io::Result<Ended> {
        let reason = loop {
            if let Some(reason) = self.round(max_icount)? {
                break reason;
            }
        };
        self.finish(reason)
    }

    /// Ends the run where it stands.
    ///
    /// # Errors
    /// See [`Recorder::run`].
    pub fn finish(&mut self, mut reason: EndReason) -> std::io::Result<Ended> {
        // The end is at a settled moment, as everything in the log.
        if !reason.by_guest()
            && let Some(by_guest) = self.settle()?
        {
            reason = by_guest;
        }
        self.show();
        self.outside.flush();
        let at = self.runner.at();
        if self.log.is_some() {
            let last = self.runner.checkpoint(true);
            self.put(&Record::Checkpoint(last))?;
            self.put(&Record::End { at, reason: reason.clone() })?;
            self.end_frame()?;
        }
        Ok(Ended { at, reason })
    }

    /// Bytes of the log so far.
    pub fn bytes(&self) -> u64 {
        self.log.as_ref().map_or(0, Writer::bytes)
    }

    /// The machine and its digests.
    pub fn runner(&mut self) -> &mut Runner<B> {
        self.runner
    }

    /// The machine and its digests, to look at.
    pub fn look(&self) -> &Runner<B> {
        self.runner
    }

    /// Takes in what has arrived from the live world, without a step.
    ///
    /// # Errors
    /// See [`Recorder::run`].
    pub fn take_in(&mut self) -> Round {
        if let Some(reason) = self.inject_faults()? {
            return Ok(Some(reason));
        }
        while let Some(live) = self.outside.poll() {
            if let Some(reason) = self.arrived(live)? {
                return Ok(Some(reason));
            }
        }
        self.feed_serial(false)
    }

    /// Takes in what has arrived, and runs on for a while, at most to `max_icount` steps. Answers
    /// the reason if the run is to end.
    ///
    /// # Errors
    /// See [`Recorder::run`].
    pub fn round(&mut self, max_icount: u64) -> Round {
        if let Some(reason) = self.take_in()? {
            return Ok(Some(reason));
        }
        let icount = self.runner.at().icount;
        if icount >= max_icount {
            return Ok(Some(EndReason::MaxIcount));
        }
        let due = self.saver.as_ref().map_or(u64::MAX, Saver::next);
        let fault = self.next_fault().unwrap_or(u64::MAX);
        let limit = icount.saturating_add(self.slice()).min(max_icount).min(due).min(fault);
        let ended = match self.with_source(|runner, source| runner.advance(limit, source))? {
            Event::Limit | Event::Probed => None,
            Event::Checkpoint(c) => {
                self.put(&Record::Checkpoint(c))?;
                self.end_frame()?;
                None
            }
            Event::Idle(next) => self.idle(next)?,
            Event::End(reason) => Some(reason),
        };
        if ended.is_none() && self.runner.at().icount == due {
            self.save()?;
        }
        Ok(ended)
    }

    /// Saves a snapshot, at the first moment of its step: settled, before any input.
    fn save(&mut self) -> std::io::Result<()> {
        if let (Some(saver), Some(log)) = (&mut self.saver, &mut self.log) {
            log.snapshot(&saver.save(self.runner, &self.cursor))?;
        }
        Ok(())
    }

    /// Injects the faults of this step, before anything else comes there.
    fn inject_faults(&mut self) -> Round {
        let here = self.runner.at().icount;
        while let Some((at, fault)) = self.faults.pop_front_if(|f| f.0 <= here) {
            if let Event::End(reason) = self.with_source(|runner, source| runner.advance(here, source))? {
                return Ok(Some(reason));
            }
            let checked = fault.check(&self.runner.machine);
            checked.map_err(|wrong| std::io::Error::other(BadFault { at, wrong }))?;
            if let Some(reason) = self.inject(fault.input())? {
                return Ok(Some(reason));
            }
        }
        Ok(None)
    }

    /// Steps until the next look at the live world.
    fn slice(&self) -> u64 {
        let state = &self.runner.machine.state;
        let waiting = self.queues.iter().filter(|q| !q.bytes.is_empty());
        let steps = waiting.map(|q| (q.next.since(state.now()) >> state.shift) + 1);
        steps.min().map_or(SLICE, |steps| steps.clamp(1 << 10, SLICE))
    }

    fn arrived(&mut self, live: Live) -> Round {
        match live {
            Live::Input(input) => self.inject(input),
            Live::Serial { port, bytes } => {
                match self.queues.iter_mut().find(|q| q.port == port) {
                    Some(queue) => queue.bytes.extend(bytes),
                    None => self.queues.push(Queue { port, bytes: bytes.into(), next: VirtNs(0) }),
                }
                Ok(None)
            }
            Live::Interrupt if self.interrupted => Ok(Some(EndReason::Stopped)),
            Live::Interrupt => {
                self.interrupted = true;
                self.inject(Input::PowerButton)
            }
            Live::Quit => Ok(Some(EndReason::Stopped)),
        }
    }

    /// Injects waiting serial bytes that the ports have room for.
    fn feed_serial(&mut self, idle: bool) -> Round {
        for i in 0..self.queues.len() {
            let queue = &mut self.queues[i];
            let now = self.runner.machine.state.now();
            if queue.bytes.is_empty() || !idle && now < queue.next {
                continue;
            }
            let port = queue.port;
            let room = self.runner.machine.state.board.serial_room(port).min(queue.bytes.len());
            if room == 0 {
                queue.next = now.plus(BYTE_NS);
                continue;
            }
            let bytes: Vec<u8> = queue.bytes.drain(..room).collect();
            queue.next = now.plus(BYTE_NS * room as u64);
            if let Some(reason) = self.inject(Input::Serial { port, bytes })? {
                return Ok(Some(reason));
            }
        }
        Ok(None)
    }

    fn idle(&mut self, next: Option<VirtNs>) -> Round {
        let ports = self.queues.iter().filter(|q| !q.bytes.is_empty());
        let mut ports = ports.map(|q| q.port);
        if ports.any(|p| self.runner.machine.state.board.serial_room(p) > 0) {
            return self.feed_serial(true);
        }
        let now = self.runner.machine.state.now();
        let target = if self.outside.live() {
            let checkpoint = self.runner.next_idle_checkpoint();
            let ns = [next, checkpoint].into_iter().flatten().min().map(|t| t.since(now));
            self.outside.flush();
            let slept = self.outside.sleep(now, ns);
            now.plus(ns.map_or(slept, |ns| slept.min(ns)))
        } else if let Some(deadline) = next {
            deadline
        } else {
            return Ok(Some(EndReason::Halted));
        };
        match self.with_source(|runner, source| runner.idle_to(target, source))? {
            Some(Event::Checkpoint(c)) => {
                self.put(&Record::Checkpoint(c))?;
                self.end_frame()?;
                Ok(None)
            }
            Some(Event::End(reason)) => Ok(Some(reason)),
            _ => Ok(None),
        }
    }

    /// Makes the moment a settled one: timers that are due fire, a checkpoint that is due is taken.
    ///
    /// # Errors
    /// See [`Recorder::run`].
    pub fn settle(&mut self) -> Round {
        let here = self.runner.at().icount;
        loop {
            match self.with_source(|runner, source| runner.advance(here, source))? {
                Event::Checkpoint(c) => {
                    self.put(&Record::Checkpoint(c))?;
                    self.end_frame()?;
                }
                Event::End(reason) => return Ok(Some(reason)),
                _ => return Ok(None),
            }
        }
    }

    /// Injects and records an input.
    ///
    /// # Errors
    /// See [`Recorder::run`].
    pub fn inject(&mut self, input: Input) -> Round {
        if let Some(reason) = self.settle()? {
            return Ok(Some(reason));
        }
        if self.log.is_some() {
            let at = self.runner.at();
            let before = self.runner.checkpoint(false);
            self.put(&Record::Checkpoint(before))?;
            self.put(&Record::Input { at, input: input.clone() })?;
            self.end_frame()?;
        }
        self.with_source(|runner, source| runner.inject(&input, source))?;
        Ok(None)
    }

    /// Calls `f` with the live source, then shows what was output.
    fn with_source<T>(&mut self, f: impl FnOnce(&mut Runner<B>, &mut dyn Source) -> T) -> std::io::Result<T> {
        let (outside, log, cursor) = (&mut *self.outside, self.log.as_mut(), &mut self.cursor);
        let mut source = LiveSource { outside, log, cursor, result: Ok(()) };
        let value = f(self.runner, &mut source);
        source.result?;
        self.show();
        Ok(value)
    }

    fn show(&mut self) {
        if self.runner.outputs.is_empty() {
            return;
        }
        for (_, output) in self.runner.outputs.drain(..) {
            self.outside.output(&output);
        }
        self.outside.flush();
    }

    fn put(&mut self, record: &Record) -> std::io::Result<()> {
        self.cursor.pass(record);
        self.log.as_mut().map_or(Ok(()), |log| log.put(record))
    }

    fn end_frame(&mut self) -> std::io::Result<()> {
        self.log.as_mut().map_or(Ok(()), Writer::end_frame)
    }
}
