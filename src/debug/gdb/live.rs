//! A machine that runs now under a debugger, recorded or not.

use super::session::{Go, Session, Stopped};
use crate::machine::Machine;
use crate::machine::board::Board;
use crate::machine::time::VirtNs;
use crate::replay::record::EndReason;
use crate::replay::recorder::{Live, Outside, Recorder, Round};
use crate::replay::{Input, Output};
use crate::timeline::Control;
use crate::timeline::condition::Condition;
use dejavm_interp::probe::{Interest, Keep, What};
use std::io::Write;

/// Longest sleep, in virtual nanoseconds, so that Ctrl-C in the debugger is seen soon.
const NAP: u64 = 20_000_000;

/// The live world of a machine under a debugger: sleeps are short.
pub struct Napping<'a>(pub &'a mut dyn Outside);

impl Outside for Napping<'_> {
    fn poll(&mut self) -> Option<Live> {
        self.0.poll()
    }

    fn live(&self) -> bool {
        self.0.live()
    }

    fn sleep(&mut self, now: VirtNs, ns: Option<u64>) -> u64 {
        self.0.sleep(now, Some(ns.map_or(NAP, |ns| ns.min(NAP))))
    }

    fn host_clock(&mut self) -> u64 {
        self.0.host_clock()
    }

    fn output(&mut self, output: &Output) {
        self.0.output(output);
    }

    fn flush(&mut self) {
        self.0.flush();
    }
}

/// A run under a debugger.
pub struct Running<'a, 'b, B: Board, W: Write> {
    recorder: &'a mut Recorder<'b, B, W>,
    /// The run ends here.
    max: u64,
    ended: Option<std::io::Result<EndReason>>,
}

impl<'a, 'b, B: Board, W: Write> Running<'a, 'b, B, W> {
    /// A session of a machine that stands still, to be run to `max` steps at most.
    pub fn new(recorder: &'a mut Recorder<'b, B, W>, max: u64) -> Self {
        Self { recorder, max, ended: None }
    }

    /// Why the run is over, if it is: the guest's or the user's doing, or the log cannot be written.
    pub fn ended(self) -> Option<std::io::Result<EndReason>> {
        self.ended
    }

    fn icount(&self) -> u64 {
        self.recorder.look().at().icount
    }

    /// Notes the end of the run. True when it is over.
    fn over(&mut self, round: Round) -> bool {
        if let Some(end) = round.transpose() {
            self.ended.get_or_insert(end);
        }
        self.ended.is_some()
    }

    fn exited(&self) -> Stopped {
        match &self.ended {
            Some(Ok(EndReason::Exit(code))) => Stopped::Exited(*code),
            Some(Ok(EndReason::Unimplemented(_)) | Err(_)) => Stopped::Exited(1),
            _ => Stopped::Exited(0),
        }
    }

    /// Runs on until the interest is met, or to a step.
    fn run(&mut self, interest: Interest, limit: u64, stop: &mut dyn FnMut() -> bool) -> Stopped {
        let limit = limit.min(self.max);
        self.recorder.runner().machine.probe(interest, Keep::Until(1));
        let stopped = loop {
            let round = self.recorder.round(limit);
            if self.over(round) {
                break self.exited();
            }
            if let Some(hit) = self.recorder.runner().machine.take_hits().first() {
                break Stopped::Hit(*hit);
            }
            if self.icount() >= limit {
                break Stopped::Stepped;
            }
            if stop() {
                break Stopped::Interrupted;
            }
        };
        self.recorder.runner().machine.probe(Interest::default(), Keep::Last);
        let settled = if self.ended.is_none() { self.recorder.settle() } else { Ok(None) };
        if self.over(settled) { self.exited() } else { stopped }
    }
}

impl<B: Board, W: Write> Session for Running<'_, '_, B, W> {
    type Board = B;

    fn look(&self) -> &Machine<B> {
        &self.recorder.look().machine
    }

    fn machine(&mut self) -> &mut Machine<B> {
        &mut self.recorder.runner().machine
    }

    fn reversible(&self) -> bool {
        false
    }

    fn go(&mut self, how: Go, condition: &Condition, control: &mut dyn Control) -> Stopped {
        if self.ended.is_some() {
            return self.exited();
        }
        let stop = &mut || control.cancelled();
        let all = condition.interest();
        let Go::Step(cpu) = how else {
            let back = how != Go::Forward;
            let text = "only a recording can be run backwards: 'dejavm record', then 'dejavm replay --gdb'";
            return if back { Stopped::Failed(text.to_owned()) } else { self.run(all, u64::MAX, stop) };
        };
        let watched = Interest { execute: Vec::new(), ..all };
        if self.look().state.board.cpus() > 1 {
            let turn = Interest { cpu: Some(cpu), ..watched.clone() };
            match self.run(turn, u64::MAX, stop) {
                // It is at the boundary before its step.
                Stopped::Hit(hit) if hit.what == What::Execute => {}
                other => return other,
            }
        }
        let next = self.icount().saturating_add(1);
        self.run(watched, next, stop)
    }

    fn write(&mut self, input: Input) -> Result<Option<String>, String> {
        let round = self.recorder.inject(input);
        let failed = round.as_ref().err().map(|e| format!("the recording cannot be written: {e}"));
        self.over(round);
        failed.map_or(Ok(None), Err)
    }

    fn monitor(&mut self, line: &str, _control: &mut dyn Control) -> (String, bool) {
        let text = match line.trim() {
            "when" => format!("step {}\n", self.icount()),
            "help" => "when  the number of steps so far\n".to_owned(),
            other => format!(
                "'{other}' needs a recording ('dejavm record', then 'dejavm replay --gdb'); a machine that \
                 runs now knows 'when'\n"
            ),
        };
        (text, false)
    }

    fn waiting(&mut self) -> bool {
        let round = self.recorder.take_in();
        self.over(round)
    }

    fn detached(&mut self, stop: &mut dyn FnMut() -> bool) -> Stopped {
        self.run(Interest::default(), u64::MAX, stop)
    }
}
