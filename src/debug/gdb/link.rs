//! The connection to a debugger: packets are framed and checked here, so that the protocol's code
//! sees whole ones only. What is no packet is skipped.

use crate::host::socket::Stream;
use gdbstub::conn::Connection;
use std::collections::VecDeque;
use std::time::Duration;

/// Most bytes of a packet, frame included.
pub const PACKET: usize = 0x4000;
/// Packets that may wait; the rest stays with the sender.
const WAITING: usize = 256;
/// Buffers that are read at once while the machine runs.
const READS: usize = 64;
/// How long nothing may come before the user's wish to quit is looked at.
const PATIENCE: Duration = Duration::from_millis(100);
const INTERRUPT: u8 = 3;

/// What a debugger sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    /// A whole packet with a right checksum, frame included.
    Command(Vec<u8>),
    /// A packet that is too long.
    Long,
    /// A packet with a wrong checksum.
    Wrong,
    /// The last answer did not arrive.
    Again,
    /// Ctrl-C.
    Interrupt,
}

/// Finds packets in a stream of bytes.
#[derive(Debug, Default)]
struct Framer {
    /// The packet so far, from `$` on; empty between packets.
    bytes: Vec<u8>,
    /// The packet is too long, and its rest is skipped.
    long: bool,
    /// Digits of the checksum that are still to come.
    digits: Option<u8>,
}

impl Framer {
    fn take(&mut self, byte: u8) -> Option<Packet> {
        if self.bytes.is_empty() {
            return match byte {
                b'$' => {
                    self.bytes.push(byte);
                    None
                }
                b'-' => Some(Packet::Again),
                INTERRUPT => Some(Packet::Interrupt),
                _ => None,
            };
        }
        match self.digits {
            None if byte == b'$' => {
                // A new packet begins; the old one was cut.
                *self = Self { bytes: vec![byte], ..Self::default() };
                return None;
            }
            None if byte == b'#' => self.digits = Some(2),
            None => {}
            Some(n) => self.digits = Some(n - 1),
        }
        // The frame's end fits always.
        if self.bytes.len() < PACKET - 3 || self.digits.is_some() {
            self.bytes.push(byte);
        } else {
            self.long = true;
        }
        (self.digits == Some(0)).then(|| {
            let Self { bytes, long, .. } = std::mem::take(self);
            match (long, sum_is_right(&bytes)) {
                (true, _) => Packet::Long,
                (_, false) => Packet::Wrong,
                _ => Packet::Command(bytes),
            }
        })
    }
}

fn sum_is_right(packet: &[u8]) -> bool {
    let (body, sum) = packet[1..].split_at(packet.len() - 4);
    let expected = std::str::from_utf8(&sum[1..]).ok().and_then(|s| u8::from_str_radix(s, 16).ok());
    expected == Some(checksum(body))
}

fn checksum(body: &[u8]) -> u8 {
    body.iter().fold(0, |sum: u8, &b| sum.wrapping_add(b))
}

/// A frame around a body.
pub fn frame(body: &[u8]) -> Vec<u8> {
    let mut packet = vec![b'$'];
    packet.extend_from_slice(body);
    packet.extend_from_slice(format!("#{:02x}", checksum(body)).as_bytes());
    packet
}

/// The connection's two directions.
#[derive(Debug)]
pub struct Link {
    stream: Stream,
    framer: Framer,
    waiting: VecDeque<Packet>,
    gone: bool,
}

impl Link {
    /// A link over a new connection.
    pub fn new(stream: Stream) -> Self {
        Self { stream, framer: Framer::default(), waiting: VecDeque::new(), gone: false }
    }

    /// The next packet; waits for it, and asks `quit` now and then. `None` when the debugger is
    /// gone, or `quit` says so.
    pub fn next(&mut self, quit: &mut dyn FnMut() -> bool) -> Option<Packet> {
        loop {
            if let Some(packet) = self.waiting.pop_front() {
                return Some(packet);
            }
            if self.gone {
                return None;
            }
            if self.stream.ready(PATIENCE) {
                self.receive();
            } else if quit() {
                return None;
            }
        }
    }

    /// True when the debugger wants the machine to stop, or is gone. Never waits. A debugger has nothing
    /// else to say while the machine runs: of packets that come then only so many are kept, so that
    /// they cannot hide its wish, or that it is gone.
    pub fn interrupted(&mut self) -> bool {
        for _ in 0..READS {
            let before = self.waiting.len();
            if !self.receive_some() {
                break;
            }
            while self.waiting.len() > WAITING.max(before) {
                let last = self.waiting.pop_back();
                if last == Some(Packet::Interrupt) {
                    return true;
                }
            }
        }
        let place = self.waiting.iter().position(|p| *p == Packet::Interrupt);
        if let Some(place) = place {
            self.waiting.remove(place);
        }
        place.is_some() || self.gone
    }

    /// True when the debugger is gone.
    pub fn gone(&self) -> bool {
        self.gone
    }

    /// Sends bytes. Who does not take them in time is gone, and what waits from it with it: each
    /// answer to that would wait as long again.
    pub fn send(&mut self, bytes: &[u8]) {
        if !self.gone && self.stream.send(bytes).is_err() {
            self.gone = true;
            self.waiting.clear();
        }
    }

    fn receive(&mut self) {
        while self.waiting.len() < WAITING && self.receive_some() {}
    }

    /// Receives what is there, at most a buffer of it. False when there is nothing.
    fn receive_some(&mut self) -> bool {
        let mut buffer = [0; 4096];
        match self.stream.receive(&mut buffer) {
            Ok(Some(n)) => {
                let Self { framer, waiting, .. } = self;
                waiting.extend(buffer[..n].iter().filter_map(|&b| framer.take(b)));
                true
            }
            Ok(None) => false,
            Err(_) => {
                self.gone = true;
                false
            }
        }
    }
}

/// What the protocol's code writes: answers, collected until they are whole.
#[derive(Debug, Default)]
pub struct Answers {
    bytes: Vec<u8>,
    whole: usize,
}

impl Answers {
    /// Takes the whole answers.
    pub fn take(&mut self) -> Vec<u8> {
        let rest = self.bytes.split_off(self.whole);
        self.whole = 0;
        std::mem::replace(&mut self.bytes, rest)
    }
}

impl Connection for Answers {
    type Error = std::convert::Infallible;

    fn write(&mut self, byte: u8) -> Result<(), Self::Error> {
        self.bytes.push(byte);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        self.whole = self.bytes.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packets(bytes: &[u8]) -> Vec<Packet> {
        let mut framer = Framer::default();
        bytes.iter().filter_map(|&b| framer.take(b)).collect()
    }

    #[test]
    fn packets_are_found_in_garbage() {
        let command = |b: &[u8]| Packet::Command(b.to_vec());
        assert_eq!(frame(b"g"), b"$g#67");
        assert_eq!(
            packets(b"++junk#00$g#67\x03+$?#3f"),
            [command(b"$g#67"), Packet::Interrupt, command(b"$?#3f")]
        );
        assert_eq!(packets(b"$g#68$g#zz$#00"), [Packet::Wrong, Packet::Wrong, command(b"$#00")]);
        assert_eq!(packets(b"$m12,$g#67-"), [command(b"$g#67"), Packet::Again]);
        assert_eq!(packets(b"$g#6"), []);
        let mut long = vec![b'$'];
        long.resize(PACKET * 3, b'x');
        long.extend_from_slice(b"#00$g#67");
        assert_eq!(packets(&long), [Packet::Long, command(b"$g#67")]);
        let just = frame(&[b'x'; PACKET - 4]);
        assert_eq!(packets(&just), [command(&just)]);
        assert_eq!(packets(&frame(&[b'x'; PACKET - 3])), [Packet::Long]);
    }
}
