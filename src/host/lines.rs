//! Lines from whoever is connected, or types.
#![allow(clippy::disallowed_methods, reason = "a connection is read on a thread of its own")]

use super::signals::Stop;
use std::io::{BufRead, BufReader, Read};
use std::sync::mpsc::{Receiver, sync_channel};

/// Lines that wait for the one before them to be answered.
const WAITING: usize = 64;
/// Bytes of the longest line.
const LONGEST: u64 = 1 << 16;
/// What a terminal sends for Ctrl-C.
const CTRL_C: u8 = 3;

/// Reads lines on a thread of its own until the connection ends, so that a Ctrl-C byte can stop
/// what the line before it began. What is longer than 64 KiB ends the connection.
pub fn lines(from: impl Read + Send + 'static, stop: Stop) -> Receiver<String> {
    let (sender, lines) = sync_channel(WAITING);
    std::thread::spawn(move || {
        let mut from = BufReader::new(from);
        loop {
            let mut line = Vec::new();
            let ended = loop {
                // A line may come in pieces, and Ctrl-C without a line's end.
                let buffer = match from.fill_buf() {
                    Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                    Ok(buffer) if !buffer.is_empty() => buffer,
                    _ => break true,
                };
                let end = buffer.iter().position(|&b| b == b'\n');
                let used = end.map_or(buffer.len(), |n| n + 1);
                if buffer[..used].contains(&CTRL_C) {
                    stop.ask();
                }
                line.extend(buffer[..used].iter().filter(|&&b| b != CTRL_C));
                from.consume(used);
                if line.len() as u64 > LONGEST {
                    return;
                }
                if end.is_some() {
                    break false;
                }
            };
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_end_matches(['\n', '\r']);
            let silent = ended && text.is_empty();
            let gone = !silent && sender.send(text.to_owned()).is_err();
            if gone || ended {
                return;
            }
        }
    });
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_wishes() {
        let stop = Stop::default();
        let all: Vec<String> = lines(&b"one\r\ntwo\n\nfour"[..], stop.clone()).iter().collect();
        assert_eq!(all, ["one", "two", "", "four"]);
        assert!(!stop.asked());
        let all: Vec<String> = lines(&b"a\x03b\n"[..], stop.clone()).iter().collect();
        assert_eq!(all, ["ab"]);
        assert!(stop.asked());
        assert_eq!(lines(std::io::repeat(b'x'), Stop::default()).iter().count(), 0);
    }
}
