//! Addresses to be reached at, and lines from whoever comes.
#![allow(clippy::disallowed_methods, reason = "a connection is read on a thread of its own")]

use super::files::plain;
use super::signals::Stop;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, sync_channel};

/// Lines that wait for the one before them to be answered.
const WAITING: usize = 64;
/// Bytes of the longest line.
const LONGEST: u64 = 1 << 16;
/// What a terminal sends for Ctrl-C.
const CTRL_C: u8 = 3;

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// Host and port.
    Tcp(String, u16),
    /// A Unix socket.
    Unix(PathBuf),
}

impl Address {
    /// `PORT` and `:PORT` (on the loopback interface), `HOST:PORT` or `unix:PATH`.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(path) = text.strip_prefix("unix:") {
            return (!path.is_empty()).then(|| Self::Unix(PathBuf::from(path)));
        }
        let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
        let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        let host = if host.is_empty() { "127.0.0.1" } else { host };
        let digits = port.bytes().all(|b| b.is_ascii_digit());
        Some(Self::Tcp(host.to_owned(), port.parse().ok().filter(|_| digits)?))
    }
}

/// Listens at an address.
#[derive(Debug)]
pub enum Listener {
    /// On TCP.
    Tcp(TcpListener),
    /// On a Unix socket, whose file goes away with it.
    Unix(UnixListener, PathBuf),
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Self::Unix(_, path) = self {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Two ways of one connection.
pub type Connection = (Box<dyn Read + Send>, Box<dyn Write + Send>);

impl Listener {
    /// Listens. A socket's file that nobody listens at any more is replaced.
    ///
    /// # Errors
    /// What the host answers.
    pub fn bind(address: &Address) -> Result<Self, String> {
        match address {
            Address::Tcp(host, port) => {
                TcpListener::bind((host.as_str(), *port)).map(Self::Tcp).map_err(|e| plain(&e))
            }
            Address::Unix(path) => {
                let socket = std::fs::symlink_metadata(path).is_ok_and(|m| m.file_type().is_socket());
                if socket && UnixStream::connect(path).is_err() {
                    let _ = std::fs::remove_file(path);
                }
                let listener = UnixListener::bind(path).map_err(|e| plain(&e))?;
                Ok(Self::Unix(listener, path.clone()))
            }
        }
    }

    /// Where it can be reached, as [`Address::parse`] takes it.
    pub fn name(&self) -> String {
        match self {
            Self::Tcp(listener) => listener.local_addr().map_or_else(|e| plain(&e), |a| a.to_string()),
            Self::Unix(_, path) => format!("unix:{}", path.display()),
        }
    }

    /// Waits for somebody.
    ///
    /// # Errors
    /// What the host answers.
    pub fn accept(&self) -> std::io::Result<Connection> {
        match self {
            Self::Tcp(listener) => {
                let stream = listener.accept()?.0;
                stream.set_nodelay(true)?;
                let read: TcpStream = stream.try_clone()?;
                Ok((Box::new(read), Box::new(stream)))
            }
            Self::Unix(listener, _) => {
                let stream = listener.accept()?.0;
                Ok((Box::new(stream.try_clone()?), Box::new(stream)))
            }
        }
    }
}

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
    fn addresses() {
        let tcp = |host: &str, port| Some(Address::Tcp(host.to_owned(), port));
        assert_eq!(Address::parse("1234"), tcp("127.0.0.1", 1234));
        assert_eq!(Address::parse(":1234"), tcp("127.0.0.1", 1234));
        assert_eq!(Address::parse("0.0.0.0:1"), tcp("0.0.0.0", 1));
        assert_eq!(Address::parse("[::1]:1"), tcp("::1", 1));
        assert_eq!(Address::parse("unix:/tmp/x"), Some(Address::Unix("/tmp/x".into())));
        for bad in ["", "unix:", "x", "host:", "1:99999", "-1", "+1"] {
            assert_eq!(Address::parse(bad), None, "{bad}");
        }
    }

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

    #[test]
    fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let path = std::env::temp_dir().join(format!("dejavm-listen-{}", std::process::id()));
        let address = Address::Unix(path.clone());
        // Dropping the standard library's listener leaves the file.
        drop(UnixListener::bind(&path).unwrap());
        let listener = Listener::bind(&address).unwrap();
        assert!(Listener::bind(&address).is_err());
        drop(listener);
        assert!(!path.exists());
    }
}
