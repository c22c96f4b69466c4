//! A server for gdb: the remote serial protocol over TCP or a Unix socket, one debugger at a time.
//!
//! [`link`] frames packets, the `gdbstub` crate knows what they mean, [`target`] answers, and
//! [`session`] moves the machine. Packets that the crate cannot read end in an error answer and
//! leave the session as it was.

pub mod aarch64;
pub mod layout;
pub mod link;
pub mod live;
pub mod points;
pub mod session;
pub mod target;
pub mod x86;

use crate::host::socket::{Listener, Stream};
use crate::machine::config::Arch;
use crate::timeline::Control;
use gdbstub::stub::GdbStub;
use gdbstub::stub::state_machine::GdbStubStateMachine as Machine;
use gdbstub::stub::{DisconnectReason, GdbStubError};
use layout::Layout;
use link::{Answers, Link, PACKET, Packet, frame};
use session::{Session, Stopped};
use std::convert::Infallible;
use std::time::Duration;
use target::{Debuggee, Reason};

/// How a debugger's visit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// The connection ended.
    Gone,
    /// It let the machine go on without it.
    Detached,
    /// It wants the program to end.
    Killed,
    /// The guest's life is over.
    Exited(u8),
    /// The user wants the program to end.
    Quit,
}

/// Serves one debugger after another until one kills the machine or the guest's life is over.
///
/// # Errors
/// When no connections can be accepted any more.
pub fn serve<S: Session>(listener: &Listener, session: &mut S, arch: Arch) -> std::io::Result<Left> {
    let layout = Layout::new(arch);
    let mut next = None;
    loop {
        let stream = match next.take() {
            Some(stream) => stream,
            None if listener.ready(PATIENCE) => match listener.poll()? {
                Some(stream) => stream,
                None => continue,
            },
            None if session.waiting() => return Ok(Left::Quit),
            None => continue,
        };
        match attend(stream, session, layout.clone()) {
            Left::Gone => {}
            Left::Detached => {
                let stopped = session.detached(&mut || {
                    next = listener.poll().unwrap_or_default();
                    next.is_some()
                });
                if let Stopped::Exited(status) = stopped {
                    return Ok(Left::Exited(status));
                }
            }
            left => return Ok(left),
        }
    }
}

/// How long no debugger may come before the user's wish to quit is looked at.
const PATIENCE: Duration = Duration::from_millis(100);

/// Asks the connection whether the user wants to stop.
struct Asked<'a>(&'a mut Link);

impl Control for Asked<'_> {
    fn cancelled(&mut self) -> bool {
        self.0.interrupted()
    }
}

type State<'a, S> = Machine<'static, Debuggee<'a, S>, Answers>;
type Failed = GdbStubError<Infallible, Infallible>;

/// Serves one debugger.
pub fn attend<S: Session>(stream: Stream, session: &mut S, layout: Layout) -> Left {
    let mut visit = Visit {
        link: Link::new(stream),
        last: Vec::new(),
        acks: true,
        target: Debuggee::new(session, layout),
    };
    let mut state = visit.fresh();
    loop {
        state = match state {
            Machine::Idle(idle) => {
                let Visit { link, target, .. } = &mut visit;
                match link.next(&mut || target.session.waiting()) {
                    Some(packet) => visit.packet(idle.into(), &packet),
                    None if link.gone() => return Left::Gone,
                    None => return Left::Quit,
                }
            }
            Machine::Running(running) => {
                let reason = visit.run();
                if visit.link.gone() {
                    return Left::Gone;
                }
                visit.report(running.into(), reason)
            }
            Machine::CtrlCInterrupt(interrupt) => {
                // Never comes: Ctrl-C is taken out of the stream before.
                let none: Option<Reason> = None;
                let handled = interrupt.interrupt_handled(&mut visit.target, none);
                handled.unwrap_or_else(|_| visit.fresh())
            }
            Machine::Disconnected(end) => {
                return match end.get_reason() {
                    DisconnectReason::Disconnect => Left::Detached,
                    DisconnectReason::Kill => Left::Killed,
                    DisconnectReason::TargetExited(status) => Left::Exited(status),
                    DisconnectReason::TargetTerminated(_) => Left::Exited(1),
                };
            }
        };
    }
}

/// One debugger's visit.
struct Visit<'a, S: Session> {
    link: Link,
    /// The last answers, to send again.
    last: Vec<u8>,
    /// Packets are acknowledged.
    acks: bool,
    target: Debuggee<'a, S>,
}

impl<'a, S: Session> Visit<'a, S> {
    /// The library's state at the beginning.
    fn fresh(&mut self) -> State<'a, S> {
        let built = GdbStub::builder(Answers::default()).packet_buffer_size(PACKET).build();
        let stub = built.unwrap_or_else(|_| unreachable!("the buffer is the library's own"));
        let state = stub.run_state_machine(&mut self.target);
        state.unwrap_or_else(|_| unreachable!("software breakpoints are there"))
    }

    /// The library's state after a packet that it could not read: as it was before, but for the
    /// threads that were selected.
    fn again(&mut self) -> State<'a, S> {
        let mut state = self.fresh();
        let mode: &[&[u8]] = if self.acks { &[] } else { &[b"QStartNoAckMode"] };
        for packet in mode.iter().chain(&[b"qSupported:multiprocess+".as_slice()]) {
            state = match self.feed(state, &frame(packet)) {
                Ok(state) => state,
                Err(_) => unreachable!("the packet is right"),
            };
        }
        if let Machine::Idle(idle) = &mut state {
            drop(idle.borrow_conn().take());
        }
        state
    }

    fn feed(&mut self, mut state: State<'a, S>, packet: &[u8]) -> Result<State<'a, S>, Failed> {
        for &byte in packet {
            state = match state {
                Machine::Idle(idle) => idle.incoming_data(&mut self.target, byte)?,
                other => other,
            };
        }
        Ok(state)
    }

    /// Answers a packet.
    fn packet(&mut self, state: State<'a, S>, packet: &Packet) -> State<'a, S> {
        match packet {
            Packet::Command(bytes) => {
                if let Some(answer) = self.own(&bytes[1..bytes.len() - 3]) {
                    self.answer(&answer);
                    return state;
                }
                if bytes.starts_with(b"$vKill;") {
                    // The library ends without a word here; gdb waits for one.
                    self.answer(b"OK");
                }
                let state = self.feed(state, bytes);
                self.acks &= bytes != b"$QStartNoAckMode#b0";
                match state {
                    Ok(state) => self.sent(state),
                    Err(_) => {
                        self.answer(b"E16");
                        self.again()
                    }
                }
            }
            Packet::Long => {
                self.answer(b"E07");
                state
            }
            Packet::Wrong => {
                if self.acks {
                    self.link.send(b"-");
                }
                state
            }
            // Without acknowledgements a minus is junk.
            Packet::Again if !self.acks => state,
            Packet::Again => {
                let last = std::mem::take(&mut self.last);
                self.link.send(&last);
                self.last = last;
                state
            }
            Packet::Interrupt => state,
        }
    }

    /// Packets that the library does not know, or takes too literally. `None`: it is the library's.
    fn own(&mut self, body: &[u8]) -> Option<Vec<u8>> {
        if let Some(thread) = body.strip_prefix(b"Hg") {
            self.select(thread);
            return None;
        }
        if let Some(area) = body.strip_prefix(b"m") {
            // A length that no answer has room for.
            let len = area.split(|&b| b == b',').nth(1).and_then(hex)?;
            return (len > PACKET as u64 / 2).then(|| b"E07".to_vec());
        }
        if let Some(line) = body.strip_prefix(b"qRcmd,") {
            return Some(self.monitor(line));
        }
        match body {
            // Without an action the library would let the machine go on.
            b"vCont" => Some(b"E16".to_vec()),
            b"qqemu.PhyMemMode" => Some(vec![b'0' + u8::from(self.target.physical)]),
            b"Qqemu.PhyMemMode:0" | b"Qqemu.PhyMemMode:1" => {
                self.target.physical = body.ends_with(b"1");
                Some(b"OK".to_vec())
            }
            _ => None,
        }
    }

    /// Notes the thread that gdb looks at: `TID` or `pPID.TID`.
    fn select(&mut self, thread: &[u8]) {
        let tid = thread.rsplit(|&b| b == b'.').next().and_then(hex);
        let cpu = tid.and_then(|t| usize::try_from(t).ok()?.checked_sub(1));
        let mut cpus = 0;
        let _ = gdbstub::target::ext::base::multithread::MultiThreadBase::list_active_threads(
            &mut self.target,
            &mut |_| cpus += 1,
        );
        self.target.selected = cpu.filter(|&c| c < cpus).unwrap_or(self.target.selected);
    }

    fn monitor(&mut self, line: &[u8]) -> Vec<u8> {
        let digits = line.chunks(2).map(|pair| hex(pair).filter(|_| pair.len() == 2));
        let Some(bytes) = digits.map(|d| d.map(|v| v as u8)).collect::<Option<Vec<u8>>>() else {
            return b"E16".to_vec();
        };
        let line = String::from_utf8_lossy(&bytes).into_owned();
        let (text, moved) = self.target.session.monitor(&line, &mut Asked(&mut self.link));
        if moved {
            self.target.moved();
        }
        self.target.console.push_str(&text);
        if moved {
            self.target.selected = self.target.session.look().current_cpu();
            self.target.console.push_str(STALE);
        }
        if self.acks {
            self.link.send(b"+");
        }
        self.show();
        b"OK".to_vec()
    }

    /// Sends an answer of our own.
    fn answer(&mut self, body: &[u8]) {
        self.last = frame(body);
        if self.acks {
            self.last.insert(0, b'+');
        }
        self.link.send(&self.last);
    }

    /// Sends what the library answered.
    fn sent(&mut self, mut state: State<'a, S>) -> State<'a, S> {
        let answers = match &mut state {
            Machine::Idle(s) => s.borrow_conn().take(),
            Machine::Running(s) => s.borrow_conn().take(),
            Machine::CtrlCInterrupt(s) => s.borrow_conn().take(),
            Machine::Disconnected(s) => s.borrow_conn().take(),
        };
        if !answers.is_empty() {
            self.link.send(&answers);
            self.last = answers;
        }
        state
    }

    /// Shows text on gdb's console.
    fn show(&mut self) {
        let text = std::mem::take(&mut self.target.console);
        for part in text.as_bytes().chunks(PACKET / 4) {
            let digits: String = part.iter().map(|b| format!("{b:02x}")).collect();
            self.link.send(&frame(format!("O{digits}").as_bytes()));
        }
    }

    fn run(&mut self) -> Reason {
        self.target.go(&mut Asked(&mut self.link))
    }

    fn report(&mut self, state: State<'a, S>, reason: Reason) -> State<'a, S> {
        let Machine::Running(running) = state else { return state };
        self.show();
        let hot = self.target.hot_registers();
        let mut hot = hot.iter().map(|(number, bytes)| (*number, bytes.as_slice()));
        match running.report_stop_with_regs(&mut self.target, reason, &mut hot) {
            Ok(state) => self.sent(state),
            Err(_) => {
                self.answer(b"S05");
                self.again()
            }
        }
    }
}

/// gdb cannot be told that a monitor command moved the machine.
const STALE: &str = "(gdb still has the old registers: type 'maintenance flush register-cache')\n";

fn hex(digits: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(digits).ok().filter(|t| !t.starts_with('+'))?;
    u64::from_str_radix(text, 16).ok()
}
