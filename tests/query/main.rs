//! History questions, symbols and the monitor, on the demo guest and the toy, against what single
//! steps show.

mod guest;
mod monitor;
mod oracle;
mod process;
mod toy;
