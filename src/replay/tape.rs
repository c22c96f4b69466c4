//! A recording as a replay reads it, and where on it a replay stands.

use super::log::{Ending, Recording};
use super::record::Record;
use super::{Input, Moment, Source};
use serde::{Deserialize, Serialize};

/// The events and clock readings of a recording, in order.
#[derive(Clone, Debug)]
pub struct Tape {
    /// Checkpoints, inputs and the end.
    events: Vec<Record>,
    /// Readings of the host's clock: step and nanoseconds.
    clocks: Vec<(u64, u64)>,
    /// How the recording's file ends.
    pub ending: Ending,
    /// The last moment to which it can be replayed; none for a branch, which goes on by itself.
    last: Option<Moment>,
    /// The checkpoints of a replay are compared with the recording's.
    checked: bool,
}

/// Where on a tape a replay stands: part of a snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The next event.
    pub event: usize,
    /// The next reading of the host's clock.
    clock: usize,
    /// The last reading, and the step that made it.
    last: (u64, u64),
    /// The last checkpoint that held.
    pub held: Moment,
    /// Number of checkpoints that held.
    pub checkpoints: u64,
}

impl Cursor {
    /// Goes past a record.
    pub fn pass(&mut self, record: &Record) {
        match record {
            Record::HostClock { icount, ns } => {
                self.clock += 1;
                self.last = (*icount, *ns);
                return;
            }
            Record::Checkpoint(c) => {
                self.held = c.at;
                self.checkpoints += 1;
            }
            Record::Input { .. } | Record::End { .. } => {}
        }
        self.event += 1;
    }

    /// Number of the recording's records before it.
    pub fn records(&self) -> usize {
        self.event.saturating_add(self.clock)
    }
}

impl Tape {
    /// The tape of a recording.
    pub fn new(recording: &Recording) -> Self {
        let (mut events, mut clocks) = (Vec::new(), Vec::new());
        for record in &recording.records {
            match record {
                Record::HostClock { icount, ns } => clocks.push((*icount, *ns)),
                other => events.push(other.clone()),
            }
        }
        Self { events, clocks, ending: recording.ending, last: Some(recording.last()), checked: true }
    }

    /// The last moment to which it can be replayed; `None` for a branch.
    pub fn last(&self) -> Option<Moment> {
        self.last
    }

    /// The number of events but for the end and its checkpoint, and the last moment.
    pub fn open_end(&self) -> (usize, Moment) {
        match &self.events[..] {
            [head @ .., Record::Checkpoint(c), Record::End { at, .. }] if c.at == *at => (head.len(), *at),
            [head @ .., Record::End { at, .. }] => (head.len(), *at),
            all => (all.len(), self.last.unwrap_or_default()),
        }
    }

    /// The same tape for a replay that may go another way: its checkpoints are passed over, places on
    /// it stay the same.
    pub fn unchecked(&self) -> Self {
        Self { checked: false, ..self.clone() }
    }

    /// True when every checkpoint has to be on the tape.
    pub fn checked(&self) -> bool {
        self.checked
    }

    /// The inputs, in order.
    pub fn inputs(&self) -> impl Iterator<Item = (Moment, &Input)> {
        self.events.iter().filter_map(|r| match r {
            Record::Input { at, input } => Some((*at, input)),
            _ => None,
        })
    }

    /// The readings of the host's clock, in order: step and nanoseconds.
    pub fn clocks(&self) -> &[(u64, u64)] {
        &self.clocks
    }

    /// The event at a place.
    pub fn event(&self, index: usize) -> Option<&Record> {
        self.events.get(index)
    }

    /// True for a cursor that stands on this tape.
    pub fn has(&self, cursor: &Cursor) -> bool {
        cursor.event <= self.events.len() && cursor.clock <= self.clocks.len()
    }

    /// True when every reading of the clock was made.
    pub fn clocks_read(&self, cursor: &Cursor) -> bool {
        cursor.clock >= self.clocks.len()
    }

    /// A branch: what was recorded up to the cursor, then `input` at `at`, then nothing. Further
    /// inputs are added the same way.
    pub fn branch(&self, cursor: &Cursor, at: Moment, input: Input) -> Self {
        let mut events = self.events[..cursor.event].to_vec();
        events.push(Record::Input { at, input });
        let clocks = self.clocks[..cursor.clock].to_vec();
        Self { events, clocks, ending: Ending::NoEnd, last: None, checked: false }
    }

    /// The records up to the cursor, in their order in the file.
    pub fn records_before<'a>(
        &self,
        recording: &'a Recording,
        cursor: &Cursor,
    ) -> impl Iterator<Item = &'a Record> {
        recording.records.iter().take(cursor.records())
    }
}

/// Gives what the tape has for the host's clock.
#[derive(Debug)]
pub struct TapeSource<'a> {
    /// The tape.
    pub tape: &'a Tape,
    /// Where it stands.
    pub cursor: &'a mut Cursor,
    /// What was wrong first.
    pub wrong: &'a mut Option<String>,
}

impl Source for TapeSource<'_> {
    fn host_clock(&mut self, icount: u64) -> u64 {
        match self.tape.clocks.get(self.cursor.clock) {
            Some(&(at, ns)) if at == icount => {
                self.cursor.clock += 1;
                self.cursor.last = (at, ns);
                ns
            }
            // A branch has a clock of its own from its beginning on, a nanosecond a step.
            None if self.tape.last.is_none() => {
                let (at, ns) = self.cursor.last;
                ns.wrapping_add(icount - at)
            }
            next => {
                let recorded = match next {
                    Some((at, _)) => format!("the next recorded reading is at step {at}"),
                    None => "the recording has no more readings".to_owned(),
                };
                let text = format!("the host clock was read at step {icount}, {recorded}");
                self.wrong.get_or_insert(text);
                self.cursor.last.1
            }
        }
    }
}
