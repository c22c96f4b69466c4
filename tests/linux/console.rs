//! A `dejavm` process with a guest at its serial console, on pipes.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// No wait takes longer, also on a very busy host.
const PATIENCE: Duration = Duration::from_secs(1200);

/// What is typed to a guest, and all that it printed.
pub struct Console {
    child: Child,
    /// Open while there is a person at the console.
    typed: Option<ChildStdin>,
    printed: Receiver<Vec<u8>>,
    said: Receiver<Vec<u8>>,
    seen: Vec<u8>,
    /// Everything before was looked at by a wait.
    mark: usize,
}

/// Sends what a pipe brings.
fn follow(mut pipe: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(n @ 1..) = pipe.read(&mut buffer) {
            if sender.send(buffer[..n].to_vec()).is_err() {
                return;
            }
        }
    });
    receiver
}

/// The end of what a guest printed, for messages.
pub fn tail(printed: &[u8]) -> String {
    String::from_utf8_lossy(&printed[printed.len().saturating_sub(3000)..]).into_owned()
}

impl Console {
    /// Starts `program`, whose standard output is the console.
    pub fn start(program: &str, args: &[&str]) -> Self {
        let mut child = Command::new(program)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let typed = child.stdin.take();
        let printed = follow(child.stdout.take().unwrap());
        let said = follow(child.stderr.take().unwrap());
        Self { child, typed, printed, said, seen: Vec::new(), mark: 0 }
    }

    /// Types bytes, as fast as the program takes them.
    pub fn send(&mut self, bytes: &[u8]) {
        let typed = self.typed.as_mut().expect("the console is open");
        if let Err(e) = typed.write_all(bytes).and_then(|()| typed.flush()) {
            panic!("typing: {e}; the guest's last words:\n{}", tail(&self.seen));
        }
    }

    /// Waits for a text after what earlier waits saw; returns everything up to its end.
    pub fn wait_for(&mut self, text: &str) -> String {
        let begun = Instant::now();
        loop {
            let new = &self.seen[self.mark..];
            if let Some(at) = new.windows(text.len()).position(|w| w == text.as_bytes()) {
                let end = self.mark + at + text.len();
                let found = String::from_utf8_lossy(&self.seen[self.mark..end]).into_owned();
                self.mark = end;
                return found;
            }
            let left = PATIENCE.saturating_sub(begun.elapsed());
            match self.printed.recv_timeout(left) {
                Ok(bytes) => self.seen.extend(bytes),
                Err(e) => {
                    let how = match e {
                        RecvTimeoutError::Timeout => "did not come in time",
                        RecvTimeoutError::Disconnected => "did not come before the end",
                    };
                    let _ = self.child.kill();
                    let last = tail(&self.seen);
                    panic!("'{text}' {how}: {}; the guest's last words:\n{last}", self.messages());
                }
            }
        }
    }

    /// Everything that the program said on standard error; it must have ended.
    fn messages(&mut self) -> String {
        String::from_utf8_lossy(&self.said.iter().flatten().collect::<Vec<u8>>()).into_owned()
    }

    /// Nobody types any more: idle time is skipped from here on.
    pub fn leave(&mut self) {
        self.typed = None;
    }

    /// Waits for the program's end; returns its status, all that the guest printed, and what the
    /// program said.
    pub fn end(mut self) -> (Option<i32>, Vec<u8>, String) {
        self.leave();
        let begun = Instant::now();
        loop {
            match self.printed.recv_timeout(PATIENCE.saturating_sub(begun.elapsed())) {
                Ok(bytes) => self.seen.extend(bytes),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    let _ = self.child.kill();
                    panic!("the run did not end in time; the guest's last words:\n{}", tail(&self.seen));
                }
            }
        }
        let status = self.child.wait().unwrap();
        let messages = self.messages();
        (status.code(), std::mem::take(&mut self.seen), messages)
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        // Where a test has failed; otherwise it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
