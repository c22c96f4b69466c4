//! Progress of long work, and the user's wish to stop it.

use crate::host::signals::Stop;
use crate::timeline::Control;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;

/// A progress bar on standard error, if that is a terminal.
pub fn progress_bar(steps: u64) -> Option<ProgressBar> {
    if !std::io::stderr().is_terminal() {
        return None;
    }
    let style = ProgressStyle::with_template("{bar:40} {percent}% {human_pos}/{human_len} steps, {eta} left");
    let bar = ProgressBar::new(steps);
    Some(style.map_or_else(|_| bar.clone(), |style| bar.clone().with_style(style)))
}

/// A bar, and Ctrl-C.
pub struct Watched {
    bar: Option<ProgressBar>,
    stop: Stop,
}

impl Watched {
    /// With a bar if that is wanted and standard error is a terminal.
    pub fn new(stop: Stop, bar: bool) -> Self {
        Self { bar: if bar { progress_bar(0) } else { None }, stop }
    }

    /// The bar, for who prints beside it.
    pub fn bar(&self) -> Option<ProgressBar> {
        self.bar.clone()
    }

    /// Takes the bar away.
    pub fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Control for Watched {
    fn progress(&mut self, done: u64, total: u64) {
        if let Some(bar) = &self.bar {
            if bar.length() != Some(total) || bar.is_finished() {
                bar.reset();
                bar.set_length(total);
            }
            bar.set_position(done);
        }
    }

    fn cancelled(&mut self) -> bool {
        self.stop.asked()
    }
}
