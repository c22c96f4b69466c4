//! The monitor: commands that people type, in gdb after `monitor`, or on the monitor's own socket.

use crate::machine::board::Board;
use crate::timeline::{Control, Error, Timeline};

/// What a command came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Text to show, lines ended by line feeds.
    pub text: String,
    /// The machine may stand elsewhere, or hold something else, than before.
    pub moved: bool,
}

/// A monitor session: what it remembers from one command to the next.
#[derive(Debug, Default)]
pub struct Monitor {}

impl Monitor {
    /// Runs a command. A command that is wrong answers with a text that says so.
    ///
    /// # Errors
    /// [`Error`] when the timeline fails.
    pub fn command<B: Board>(
        &mut self,
        timeline: &mut Timeline<B>,
        line: &str,
        _control: &mut dyn Control,
    ) -> Result<Answer, Error> {
        let text = match line.trim() {
            "when" => format!("step {} of {}\n", timeline.icount(), timeline.end()),
            other => format!("'{other}' is no command; 'when' is one\n"),
        };
        Ok(Answer { text, moved: false })
    }
}
