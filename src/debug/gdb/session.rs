//! What a debugger drives: a recording that is moved in, or a machine that runs now.

use crate::debug::monitor::Monitor;
use crate::machine::Machine;
use crate::machine::board::Board;
use crate::replay::Input;
use crate::timeline::condition::{Condition, Why};
use crate::timeline::{Control, Timeline};
use dejavm_interp::probe::{Hit, What};

/// How the machine is to move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Go {
    /// Forwards.
    Forward,
    /// Backwards.
    Backward,
    /// Until this CPU has made a step.
    Step(usize),
    /// Until a step of this CPU is undone.
    StepBack(usize),
}

/// Why it stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// The step was made.
    Stepped,
    /// A breakpoint or watchpoint.
    Hit(Hit),
    /// The beginning of history.
    Begin,
    /// The end of history.
    End,
    /// The debugger asked for it, or is gone.
    Interrupted,
    /// The guest's life is over, with this status.
    Exited(u8),
    /// The run cannot go on; the text says why.
    Failed(String),
}

/// A machine under a debugger.
pub trait Session {
    /// Its board.
    type Board: Board;

    /// The machine, to look at.
    fn look(&self) -> &Machine<Self::Board>;

    /// The machine, to read registers of; nothing is changed.
    fn machine(&mut self) -> &mut Machine<Self::Board>;

    /// True when it can go backwards.
    fn reversible(&self) -> bool;

    /// Moves until one of the conditions is met.
    fn go(&mut self, how: Go, condition: &Condition, control: &mut dyn Control) -> Stopped;

    /// Writes to memory or a register. Returns what the user has to know.
    ///
    /// # Errors
    /// What went wrong, in words.
    fn write(&mut self, input: Input) -> Result<Option<String>, String>;

    /// Runs a monitor command. Returns what it says, and true if the machine may have moved.
    fn monitor(&mut self, line: &str, control: &mut dyn Control) -> (String, bool);

    /// The machine stands and nothing is heard of a debugger. True when the user wants to quit.
    fn waiting(&mut self) -> bool;

    /// The debugger left and lets the machine go on without it, until `stop` says that another
    /// one has come. A recording stays where it is.
    fn detached(&mut self, stop: &mut dyn FnMut() -> bool) -> Stopped;
}

/// A recording under a debugger.
pub struct Replay<'a, B: Board> {
    timeline: &'a mut Timeline<B>,
    monitor: Monitor,
}

impl<'a, B: Board> Replay<'a, B> {
    /// A session that begins where the timeline stands.
    pub fn new(timeline: &'a mut Timeline<B>, monitor: Monitor) -> Self {
        Self { timeline, monitor }
    }
}

impl<B: Board> Session for Replay<'_, B> {
    type Board = B;

    fn look(&self) -> &Machine<B> {
        self.timeline.look()
    }

    fn machine(&mut self) -> &mut Machine<B> {
        self.timeline.machine()
    }

    fn reversible(&self) -> bool {
        true
    }

    fn go(&mut self, how: Go, condition: &Condition, control: &mut dyn Control) -> Stopped {
        let timeline = &mut *self.timeline;
        let here = timeline.icount();
        let one = timeline.look().state.board.cpus() == 1;
        let why = match how {
            Go::Forward => timeline.forward(condition, u64::MAX, control),
            Go::Backward => timeline.backward(condition, 0, control),
            Go::Step(_) if one && watched(condition, None).is_empty() => timeline.step(1, control),
            Go::Step(_) if one => {
                timeline.forward(&watched(condition, None), here.saturating_add(1), control)
            }
            Go::StepBack(_) if one && watched(condition, None).is_empty() => timeline.step(-1, control),
            Go::StepBack(_) if one && here > 0 => {
                timeline.backward(&watched(condition, None), here - 1, control)
            }
            Go::StepBack(cpu) => timeline.backward(&watched(condition, Some(cpu)), 0, control),
            Go::Step(cpu) => match timeline.forward(&watched(condition, Some(cpu)), u64::MAX, control) {
                // It is at the boundary before its step.
                Ok(Why::Hit(hit)) if hit.what == What::Execute => {
                    let here = timeline.icount();
                    timeline.forward(&watched(condition, None), here.saturating_add(1), control)
                }
                other => other,
            },
        };
        let step = matches!(how, Go::Step(_) | Go::StepBack(_));
        match why {
            Ok(Why::Hit(hit)) if step && hit.what == What::Execute => Stopped::Stepped,
            Ok(Why::Hit(hit)) => Stopped::Hit(hit),
            // Back by one step to the first moment is a step like others.
            Ok(Why::Begin) if step && here == 1 => Stopped::Stepped,
            Ok(Why::Begin) => Stopped::Begin,
            Ok(Why::End) => Stopped::End,
            Ok(Why::Cancelled) => Stopped::Interrupted,
            Ok(Why::Reached | Why::Console(_)) => Stopped::Stepped,
            Err(e) => Stopped::Failed(e.to_string()),
        }
    }

    fn write(&mut self, input: Input) -> Result<Option<String>, String> {
        let first = !self.timeline.branched();
        let here = self.timeline.icount();
        self.timeline.write(input);
        Ok(first.then(|| {
            format!(
                "history branches here, at step {here}: what follows was not recorded. The recording \
                 stays as it is.\n"
            )
        }))
    }

    fn monitor(&mut self, line: &str, control: &mut dyn Control) -> (String, bool) {
        match self.monitor.command(self.timeline, line, control) {
            Ok(answer) => (answer.text, answer.moved),
            Err(e) => (format!("{e}\n"), true),
        }
    }

    fn waiting(&mut self) -> bool {
        false
    }

    fn detached(&mut self, _stop: &mut dyn FnMut() -> bool) -> Stopped {
        Stopped::Interrupted
    }
}

/// The watchpoints and interrupts of a condition alone, and the steps of a CPU.
fn watched(condition: &Condition, cpu: Option<usize>) -> Condition {
    let Condition { memory, changes, interrupts, .. } = condition;
    let (memory, changes, interrupts) = (memory.clone(), *changes, *interrupts);
    Condition { memory, changes, interrupts, cpu, ..Condition::default() }
}
