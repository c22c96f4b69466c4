//! `demo`.

use super::Done;

/// `demo`: records and replays the embedded guest.
pub fn demo() -> Done {
    Err("demo: this build has no embedded guest".to_owned())
}
