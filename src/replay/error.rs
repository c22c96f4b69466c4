//! What can be wrong with a recording.

use super::frame::FORMAT;
use crate::machine::config::SEMANTICS;

/// A recording could not be read. The text does not name the file.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The host could not read the file.
    #[error("cannot read: {0}")]
    Read(#[source] std::io::Error),
    /// The file does not begin like a recording.
    #[error("not a DejaVM recording")]
    NotARecording,
    /// Nothing of the recording but a part of its header is there.
    #[error("cut inside its header: nothing to replay")]
    CutInHeader,
    /// Written by another version.
    #[error("recording format {found}, this build reads format {FORMAT}")]
    Format {
        /// The file's format.
        found: u32,
    },
    /// A check failed.
    #[error("damaged at byte {offset}: {what} does not match its checksum or rules")]
    Damaged {
        /// Where the damaged piece begins.
        offset: u64,
        /// What it is.
        what: &'static str,
    },
    /// The header is whole but asks for something that this build does not have.
    #[error("unsupported machine in the header: {0}")]
    Header(String),
}

/// What a divergence of another semantics version adds to the message.
pub fn semantics_note(recorded: u32) -> String {
    if recorded == SEMANTICS {
        String::new()
    } else {
        format!(" (recorded with guest semantics {recorded}, this build has {SEMANTICS})")
    }
}
