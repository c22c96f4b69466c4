//! DejaVM: a full-system emulator whose runs are recorded once and replayed exactly.
//!
//! The crate's parts, from the inside out: [`devices`] are pure state machines, [`machine`] puts
//! them on boards with CPUs and memory and moves them through time, [`replay`] records and replays
//! what came from outside, [`timeline`] moves in a recording, [`debug`] has the debuggers,
//! [`host`] is everything that touches the outside, [`cli`] is the command
//! line.

pub mod cli;
pub mod debug;
pub mod devices;
pub mod host;
pub mod machine;
pub mod replay;
pub mod timeline;
