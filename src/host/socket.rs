//! Sockets that debuggers and monitors connect to.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvFlags, SendFlags, recv, send};
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{TcpListener, ToSocketAddrs};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a peer may leave an answer unread before it counts as gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A TCP port of a host; port 0 is any free one.
    Tcp(String, u16),
    /// A Unix socket.
    Unix(PathBuf),
}

impl std::str::FromStr for Address {
    type Err = String;

    /// `PORT`, `:PORT` (both on the loopback interface), `HOST:PORT` or `unix:PATH`.
    fn from_str(text: &str) -> std::result::Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return match path {
                "" => Err("no path after unix:".to_owned()),
                path => Ok(Self::Unix(path.into())),
            };
        }
        let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let host = match bare {
            Some(host) => host,
            None if host.contains(':') => {
                return Err("an IPv6 address goes in brackets: [::1]:1234".to_owned());
            }
            None if host.is_empty() => "127.0.0.1",
            None => host,
        };
        let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
        match port.parse() {
            Ok(port) if digits => Ok(Self::Tcp(host.to_owned(), port)),
            _ => Err("neither PORT, HOST:PORT nor unix:PATH".to_owned()),
        }
    }
}

/// A socket that waits for peers.
#[derive(Debug)]
pub enum Listener {
    /// On a TCP port.
    Tcp(TcpListener),
    /// On a path, which goes away with it.
    Unix(UnixListener, PathBuf),
}

impl Listener {
    /// Listens on an address.
    ///
    /// # Errors
    /// What the host answers.
    pub fn bind(address: &Address) -> Result<Self> {
        match address {
            Address::Tcp(host, port) => {
                let resolved: Vec<_> = (host.as_str(), *port).to_socket_addrs()?.collect();
                TcpListener::bind(&resolved[..]).map(Self::Tcp)
            }
            Address::Unix(path) => {
                let listener = match UnixListener::bind(path) {
                    Err(e) if e.kind() == ErrorKind::AddrInUse && abandoned(path) => {
                        std::fs::remove_file(path)?;
                        UnixListener::bind(path)
                    }
                    other => other,
                };
                listener.map(|l| Self::Unix(l, path.clone()))
            }
        }
    }

    /// The address as [`Address::from_str`] takes it.
    ///
    /// [`Address::from_str`]: std::str::FromStr::from_str
    pub fn address(&self) -> String {
        match self {
            Self::Tcp(_) => self.name(),
            Self::Unix(..) => format!("unix:{}", self.name()),
        }
    }

    /// The address as gdb's `target remote` takes it.
    pub fn name(&self) -> String {
        match self {
            Self::Tcp(listener) => listener.local_addr().map_or_else(|e| e.to_string(), |a| a.to_string()),
            Self::Unix(_, path) => path.display().to_string(),
        }
    }

    /// True when a peer waits; waits for one for a while.
    pub fn ready(&self, wait: Duration) -> bool {
        match self {
            Self::Tcp(listener) => ready(listener, wait),
            Self::Unix(listener, _) => ready(listener, wait),
        }
    }

    /// The next peer; waits for it.
    ///
    /// # Errors
    /// What the host answers.
    pub fn accept(&self) -> Result<Stream> {
        loop {
            if self.ready(PATIENCE)
                && let Some(stream) = self.poll()?
            {
                return Ok(stream);
            }
        }
    }

    /// A peer that waits, if there is one.
    ///
    /// # Errors
    /// What the host answers.
    pub fn poll(&self) -> Result<Option<Stream>> {
        match self {
            Self::Tcp(listener) => listener.set_nonblocking(true)?,
            Self::Unix(listener, _) => listener.set_nonblocking(true)?,
        }
        match self.take() {
            Ok(stream) => Ok(Some(stream)),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(None),
            Err(e) if e.kind() == ErrorKind::ConnectionAborted => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn take(&self) -> Result<Stream> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(false)?;
                // Packets are small, and each waits for an answer.
                stream.set_nodelay(true)?;
                stream.set_write_timeout(Some(PATIENCE))?;
                Ok(Stream(stream.into()))
            }
            Self::Unix(listener, _) => {
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(false)?;
                Stream::of(stream)
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Self::Unix(_, path) = self {
            // It may be gone already.
            let _ = std::fs::remove_file(path);
        }
    }
}

fn ready(socket: &impl AsFd, wait: Duration) -> bool {
    let mut fds = [PollFd::new(socket, PollFlags::IN)];
    let wait = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: wait.subsec_nanos().into() };
    poll(&mut fds, Some(&wait)).is_ok_and(|n| n > 0)
}

/// True for a socket that nobody listens on any more.
fn abandoned(path: &Path) -> bool {
    let socket = std::fs::metadata(path).is_ok_and(|m| m.file_type().is_socket());
    socket && UnixStream::connect(path).is_err_and(|e| e.kind() == ErrorKind::ConnectionRefused)
}

/// A connection.
#[derive(Debug)]
pub struct Stream(OwnedFd);

impl Stream {
    /// One end of a pair of Unix sockets, or a connected one.
    ///
    /// # Errors
    /// What the host answers.
    pub fn of(stream: UnixStream) -> Result<Self> {
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self(stream.into()))
    }

    /// The same connection once more, for another thread.
    ///
    /// # Errors
    /// What the host answers.
    pub fn try_clone(&self) -> Result<Self> {
        self.0.try_clone().map(Self)
    }

    /// Sends all of `bytes`.
    ///
    /// # Errors
    /// When the peer is gone.
    pub fn send(&self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            match send(&self.0, bytes, SendFlags::NOSIGNAL) {
                Ok(n) => bytes = &bytes[n..],
                Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }

    /// True when there is something to receive, or the peer is gone; waits for it for a while.
    pub fn ready(&self, wait: Duration) -> bool {
        ready(&self.0, wait)
    }

    /// Receives what is there; `None` when nothing is.
    ///
    /// # Errors
    /// When the peer is gone.
    pub fn receive(&self, into: &mut [u8]) -> Result<Option<usize>> {
        loop {
            match recv(&self.0, &mut *into, RecvFlags::DONTWAIT) {
                Ok((0, _)) => return Err(Error::from(ErrorKind::UnexpectedEof)),
                Ok((n, _)) => return Ok(Some(n)),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => return Ok(None),
                Err(e) => return Err(e.into()),
            }
        }
    }
}

/// Waits for bytes; 0 at the connection's end.
impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        loop {
            match recv(&self.0, &mut *into, RecvFlags::empty()) {
                Ok((n, _)) => return Ok(n),
                Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.send(bytes).map(|()| bytes.len())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let tcp = |host: &str, port| Ok(Address::Tcp(host.to_owned(), port));
        assert_eq!("1234".parse(), tcp("127.0.0.1", 1234));
        assert_eq!(":1234".parse(), tcp("127.0.0.1", 1234));
        assert_eq!("0".parse(), tcp("127.0.0.1", 0));
        assert_eq!("0.0.0.0:9".parse(), tcp("0.0.0.0", 9));
        assert_eq!("localhost:9".parse(), tcp("localhost", 9));
        assert_eq!("[::1]:9".parse(), tcp("::1", 9));
        assert_eq!("unix:/tmp/a:b".parse(), Ok(Address::Unix("/tmp/a:b".into())));
        for bad in ["", "x", "65536", "-1", "+1", "a:", "::1:9", "::1", "unix:", "1 "] {
            assert!(bad.parse::<Address>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_abandoned_path_is_taken_and_a_used_one_is_not() {
        let path = std::env::temp_dir().join(format!("dejavm-socket-{}", std::process::id()));
        let address = Address::Unix(path.clone());
        drop(UnixListener::bind(&path).unwrap());
        let first = Listener::bind(&address).unwrap();
        assert_eq!(Listener::bind(&address).unwrap_err().kind(), ErrorKind::AddrInUse);
        // The second asked whether somebody listens, and went.
        drop(first.poll().unwrap());
        assert!(first.poll().unwrap().is_none());
        let client = UnixStream::connect(&path).unwrap();
        let server = first.poll().unwrap().unwrap();
        let mut buffer = [0; 8];
        assert_eq!(server.receive(&mut buffer).unwrap(), None);
        assert!(!server.ready(Duration::ZERO));
        // The other half reads and writes, and waits for it.
        let mut half = server.try_clone().unwrap();
        (&client).write_all(b"ab").unwrap();
        assert_eq!((half.read(&mut buffer).unwrap(), &buffer[..2]), (2, &b"ab"[..]));
        half.write_all(b"cd").unwrap();
        (&client).read_exact(&mut buffer[..2]).unwrap();
        assert_eq!(&buffer[..2], b"cd");
        drop(client);
        assert_eq!(half.read(&mut buffer).unwrap(), 0);
        assert!(server.ready(PATIENCE) && server.receive(&mut buffer).is_err());
        drop(first);
        assert!(!path.exists());
    }
}
