//! The console on standard input: a terminal in raw mode, or a pipe.
#![allow(clippy::disallowed_methods, reason = "standard input is read on a thread of its own")]

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use std::io::{IsTerminal, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;

/// What comes from the host's side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostEvent {
    /// Bytes typed.
    Bytes(Vec<u8>),
    /// Ctrl-A x.
    Quit,
    /// Ctrl-A h.
    Help,
    /// SIGINT or SIGTERM.
    Interrupt,
    /// No more input will come.
    Eof,
}

/// What Ctrl-A h shows.
pub const HELP: &str = "\r\n\
    Ctrl-A h  this help\r\n\
    Ctrl-A x  stop the run (a recording stays valid)\r\n\
    Ctrl-A c  send Ctrl-C to the guest (so does Ctrl-C)\r\n\
    Ctrl-A Ctrl-A  send Ctrl-A to the guest\r\n";

/// Tells the user something that is no error.
pub fn warn(text: &str) {
    eprintln!("dejavm: {text}");
}

const CTRL_A: u8 = 1;
const CTRL_C: u8 = 3;

/// Holds the terminal in raw mode; restores it when dropped, also while a panic unwinds.
pub struct RawMode {
    before: Termios,
}

impl std::fmt::Debug for RawMode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RawMode")
    }
}

impl RawMode {
    /// Puts the terminal on standard input into raw mode; `None` when there is none.
    pub fn enter() -> Option<Self> {
        let stdin = std::io::stdin();
        if !stdin.is_terminal() {
            return None;
        }
        let before = tcgetattr(&stdin).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(&stdin, OptionalActions::Drain, &raw).ok()?;
        Some(Self { before })
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        let _ = std::io::stdout().flush();
        // Nothing can be done if the terminal is gone.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Drain, &self.before);
    }
}

/// Splits what is typed at a raw terminal into the guest's bytes and the escapes.
#[derive(Debug, Default)]
pub struct Escapes {
    escaped: bool,
}

impl Escapes {
    /// Takes typed bytes.
    pub fn take(&mut self, typed: &[u8]) -> Vec<HostEvent> {
        let mut events = Vec::new();
        let mut bytes = Vec::new();
        for &byte in typed {
            let escaped = std::mem::replace(&mut self.escaped, false);
            let event = match (escaped, byte) {
                (false, CTRL_A) => {
                    self.escaped = true;
                    continue;
                }
                (true, b'x') => HostEvent::Quit,
                (true, b'h' | b'?') => HostEvent::Help,
                (true, b'c') => {
                    bytes.push(CTRL_C);
                    continue;
                }
                _ => {
                    bytes.push(byte);
                    continue;
                }
            };
            if !bytes.is_empty() {
                events.push(HostEvent::Bytes(std::mem::take(&mut bytes)));
            }
            events.push(event);
        }
        if !bytes.is_empty() {
            events.push(HostEvent::Bytes(bytes));
        }
        events
    }
}

/// Reads standard input on a thread until it ends. A terminal's escapes are acted on; bytes from a
/// pipe are the guest's, all of them.
pub fn read_stdin(terminal: bool, to: Sender<HostEvent>) {
    std::thread::spawn(move || {
        let mut escapes = Escapes::default();
        let mut buffer = [0; 4096];
        let mut stdin = std::io::stdin().lock();
        loop {
            let events = match stdin.read(&mut buffer) {
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                Ok(0) | Err(_) => break,
                Ok(n) if terminal => escapes.take(&buffer[..n]),
                Ok(n) => vec![HostEvent::Bytes(buffer[..n].to_vec())],
            };
            for event in events {
                if to.send(event).is_err() {
                    return;
                }
            }
        }
        let _ = to.send(HostEvent::Eof);
    });
}

/// Sends SIGINT and SIGTERM as events instead of dying of them. A full file is an error, not a
/// signal.
///
/// # Errors
/// What the host answers.
pub fn catch_signals(to: Sender<HostEvent>) -> std::io::Result<()> {
    use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGXFSZ])?;
    std::thread::spawn(move || {
        for signal in signals.forever() {
            if signal != SIGXFSZ && to.send(HostEvent::Interrupt).is_err() {
                return;
            }
        }
    });
    Ok(())
}

/// Set by SIGINT and SIGTERM, for work that cleans up when it is stopped.
#[derive(Debug)]
pub struct StopFlag(Arc<AtomicBool>);

impl StopFlag {
    /// True from the signal on.
    pub fn set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Notes SIGINT and SIGTERM instead of dying of them; a second one kills.
///
/// # Errors
/// What the host answers.
pub fn stop_flag() -> std::io::Result<StopFlag> {
    use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 130, flag.clone())?;
        signal_hook::flag::register(signal, flag.clone())?;
    }
    // A full file is an error, not a signal.
    signal_hook::flag::register(SIGXFSZ, Arc::default())?;
    Ok(StopFlag(flag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_taken_out() {
        let mut e = Escapes::default();
        let bytes = |b: &[u8]| HostEvent::Bytes(b.to_vec());
        assert_eq!(e.take(b"ls\r\x03"), [bytes(b"ls\r\x03")]);
        assert_eq!(e.take(b"a\x01"), [bytes(b"a")]);
        assert_eq!(e.take(b"xb\x01\x01\x01c"), [HostEvent::Quit, bytes(b"b\x01\x03")]);
        assert_eq!(e.take(b"\x01h"), [HostEvent::Help]);
    }
}
