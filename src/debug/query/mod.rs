//! Questions about the history of a recording: who wrote this, when was that executed.
//!
//! Command line and monitor ask the same [`Ask`]s and show the same [`Row`]s.

mod ask;
mod row;
mod search;

pub use ask::{Ask, What};
pub use row::{Event, Hex, Row, Table};
pub use search::{Found, answer};

use crate::debug::expr::Scope;
use crate::timeline::Error;

/// A question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The question is wrong; the text says how.
    #[error("{0}")]
    Wrong(String),
    /// The timeline failed.
    #[error(transparent)]
    Timeline(#[from] Error),
}

impl From<String> for QueryError {
    fn from(text: String) -> Self {
        Self::Wrong(text)
    }
}

/// Where a question is asked, and what names mean in it.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Symbols and registers.
    pub scope: Scope<'a>,
    /// What the question means by "now": the end of what `last-write` looks at, and the moment
    /// whose page tables translate addresses. The end of the recording if there is none.
    pub now: Option<u64>,
}
