//! Moves a machine through time and takes its checkpoints at moments that depend on the timeline
//! alone. Recording and replaying drive the same runner, so what it does at a moment is the same.
//!
//! The order at a moment, everywhere: timers that are due fire and the guest's requests are acted
//! on ("settling"); then a checkpoint, if one is due; then inputs, each after a checkpoint and
//! another settling of its own.

use super::digest::{self, MemoryDigest, OutputDigest};
use super::log::Spacing;
use super::record::{Checkpoint, EndReason};
use super::{Input, Moment, Output, Source};
use crate::devices::Request;
use crate::machine::board::Board;
use crate::machine::time::VirtNs;
use crate::machine::{Machine, Pause, State};
use serde::{Deserialize, Serialize};

/// Why [`Runner::advance`] returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The limit was reached and the machine is settled there.
    Limit,
    /// A checkpoint was due.
    Checkpoint(Checkpoint),
    /// Every CPU waits; nothing happens before the given deadline (`None`: ever).
    Idle(Option<VirtNs>),
    /// The probes want their hits to be taken.
    Probed,
    /// The run is over.
    End(EndReason),
}

/// A machine with its digests.
pub struct Runner<B: Board> {
    /// The machine.
    pub machine: Machine<B>,
    /// What left the machine, each with the boundary before the step that sent it; whoever drives the runner takes it.
    pub outputs: Vec<(u64, Output)>,
    spacing: Option<Spacing>,
    no_reboot: bool,
    tally: Tally,
    /// None when memory is not digested.
    memory: Option<MemoryDigest>,
}

/// What a runner knows of the run so far besides the machine: part of a snapshot.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Tally {
    /// The next step count at which a checkpoint is due.
    next: u64,
    output: OutputDigest,
}

impl<B: Board> Runner<B> {
    /// A runner for a machine at power-on; without a spacing there are no checkpoints.
    pub fn new(mut machine: Machine<B>, no_reboot: bool, spacing: Option<Spacing>) -> Self {
        machine.skip_idle = false;
        let next = spacing.map_or(u64::MAX, |s| 1 << s.steps);
        let tally = Tally { next, output: OutputDigest::default() };
        let memory = Some(MemoryDigest::default());
        Self { machine, outputs: Vec::new(), spacing, no_reboot, tally, memory }
    }

    /// A runner whose checkpoints leave memory out: going back and forth, the account of what was
    /// written is kept for snapshots.
    pub fn without_memory(machine: Machine<B>, no_reboot: bool, spacing: Option<Spacing>) -> Self {
        Self { memory: None, ..Self::new(machine, no_reboot, spacing) }
    }

    /// What belongs into a snapshot besides the machine.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Takes over a snapshot; memory has been restored already.
    pub fn restore(&mut self, state: &State<B>, tally: &Tally) {
        self.machine.restore(state);
        self.tally.clone_from(tally);
        self.outputs.clear();
    }

    /// Where the machine stands.
    pub fn at(&self) -> Moment {
        Moment { icount: self.machine.state.icount, warp: self.machine.state.warp }
    }

    /// Runs to `limit` steps, or until something has to be decided. At the limit, or beyond it, it
    /// only settles.
    pub fn advance(&mut self, limit: u64, source: &mut dyn Source) -> Event {
        loop {
            let pause = self.machine.run(limit.min(self.tally.next), source);
            self.take_outputs();
            match pause {
                Pause::Limit if self.machine.state.icount == self.tally.next => {
                    let spacing = self.spacing.unwrap_or_else(|| Spacing::usual(false));
                    let memory = self.tally.next.trailing_zeros() >= u32::from(spacing.memory);
                    self.tally.next = self.tally.next.saturating_add(1 << spacing.steps);
                    return Event::Checkpoint(self.checkpoint(memory));
                }
                Pause::Limit => return Event::Limit,
                Pause::Idle(next) => return Event::Idle(next),
                Pause::Probed => return Event::Probed,
                Pause::Unimplemented(what) => return Event::End(EndReason::Unimplemented(what)),
                Pause::Request(Request::PowerOff) => return Event::End(EndReason::PowerOff),
                Pause::Request(Request::Exit(code)) => return Event::End(EndReason::Exit(code)),
                Pause::Request(Request::Reset) if self.no_reboot => return Event::End(EndReason::Reset),
                Pause::Request(Request::Reset) => self.machine.reset(),
            }
        }
    }

    /// The next checkpoint in idle time, a moment on the virtual clock.
    pub fn next_idle_checkpoint(&self) -> Option<VirtNs> {
        let shift = self.spacing?.idle?;
        Some(VirtNs((self.machine.state.now().0 >> shift).checked_add(1)? << shift))
    }

    /// While the machine is idle, moves its clock on to `target`, or to a checkpoint that is due
    /// before or then.
    pub fn idle_to(&mut self, target: VirtNs, source: &mut dyn Source) -> Option<Event> {
        match self.next_idle_checkpoint().filter(|&t| t <= target) {
            Some(at) => {
                self.machine.warp_to(at);
                match self.advance(self.machine.state.icount, source) {
                    Event::End(reason) => Some(Event::End(reason)),
                    _ => Some(Event::Checkpoint(self.checkpoint(false))),
                }
            }
            None => {
                self.machine.warp_to(target);
                None
            }
        }
    }

    /// Injects an input at the settled moment where the machine stands.
    pub fn inject(&mut self, input: &Input, source: &mut dyn Source) {
        self.machine.inject(input, source);
        self.take_outputs();
    }

    /// The machine's digests here.
    pub fn checkpoint(&mut self, memory: bool) -> Checkpoint {
        Checkpoint {
            at: self.at(),
            state: digest::of_state(&self.machine.state),
            output: self.tally.output.take(),
            memory: if memory { self.memory.as_mut().map(|m| m.take(&mut self.machine.mem)) } else { None },
        }
    }

    /// True when checkpoints can digest memory.
    pub fn digests_memory(&self) -> bool {
        self.memory.is_some()
    }

    fn take_outputs(&mut self) {
        for (icount, step, output) in self.machine.take_outputs() {
            if self.spacing.is_some() {
                self.tally.output.add(icount, &output);
            }
            self.outputs.push((step, output));
        }
    }
}
