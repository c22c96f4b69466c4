//! Where the guest's output goes.

use crate::replay::Output;
use std::fs::File;
use std::io::Write;

/// A place for bytes.
#[derive(Debug)]
pub enum Sink {
    /// Nowhere.
    None,
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A file.
    File(File),
}

impl Sink {
    fn write(&mut self, bytes: &[u8]) {
        // A console that goes away must not stop the machine.
        let _ = match self {
            Self::None => Ok(()),
            Self::Stdout => {
                let mut out = std::io::stdout().lock();
                out.write_all(bytes).and_then(|()| out.flush())
            }
            Self::Stderr => std::io::stderr().write_all(bytes),
            Self::File(file) => file.write_all(bytes),
        };
    }
}

/// The sinks of a machine's outputs, buffered.
#[derive(Debug)]
pub struct Sinks {
    serial: Sink,
    debug: Sink,
    serial_bytes: Vec<u8>,
    debug_bytes: Vec<u8>,
}

impl Sinks {
    /// Sinks for the first serial port and for the debug console.
    pub fn new(serial: Sink, debug: Sink) -> Self {
        Self { serial, debug, serial_bytes: Vec::new(), debug_bytes: Vec::new() }
    }

    /// True when all of it goes nowhere.
    pub fn silent(&self) -> bool {
        matches!((&self.serial, &self.debug), (Sink::None, Sink::None))
    }

    /// Takes an output.
    pub fn put(&mut self, output: &Output) {
        match output {
            Output::Serial { port: 0, byte } => self.serial_bytes.push(*byte),
            Output::Serial { .. } => {}
            Output::Debug { byte } => self.debug_bytes.push(*byte),
        }
        if self.serial_bytes.len() + self.debug_bytes.len() >= 1 << 16 {
            self.flush();
        }
    }

    /// Writes out what was taken.
    pub fn flush(&mut self) {
        for (sink, bytes) in
            [(&mut self.serial, &mut self.serial_bytes), (&mut self.debug, &mut self.debug_bytes)]
        {
            if !bytes.is_empty() {
                sink.write(bytes);
                bytes.clear();
            }
        }
    }
}

impl Drop for Sinks {
    fn drop(&mut self) {
        self.flush();
    }
}
