//! What no debugger sends: random, broken and cut packets against the gdb stub of a replay, and peers that go
//! away at bad moments. The stub must answer on, and the recording's moments must stay what they are.
//!
//! Every packet follows from a seed. `DEJAVM_FUZZ=SECONDS` in the environment goes on for so long with new
//! seeds; a failure names its seed, and `DEJAVM_FUZZ_SEED=N` begins there.
#![allow(clippy::disallowed_methods, reason = "a process is driven and waited for in real time")]

mod common;
#[path = "gdb/session.rs"]
mod session;

use common::Random;
use session::{Folder, Server, dejavm};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// No answer takes longer, also on a busy host.
const PATIENCE: Duration = Duration::from_secs(60);
const CTRL_C: u8 = 3;

/// A packet around a body.
fn frame(body: &[u8]) -> Vec<u8> {
    let sum = body.iter().fold(0u8, |sum, &b| sum.wrapping_add(b));
    [b"$", body, format!("#{sum:02x}").as_bytes()].concat()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// The text that hexadecimal digits stand for.
fn text(digits: &[u8]) -> String {
    let digits = std::str::from_utf8(digits).unwrap();
    let byte = |i| u8::from_str_radix(&digits[i..i + 2], 16).unwrap();
    let bytes: Vec<u8> = (0..digits.len()).step_by(2).map(byte).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A body without run lengths: `c*n` stands for c and as many more as n is above 29.
fn expanded(body: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::new();
    let mut bytes = body.iter();
    while let Some(&b) = bytes.next() {
        match (b, out.last().copied()) {
            (b'*', Some(last)) => {
                let more = bytes.next().expect("a run has a length") - 29;
                out.resize(out.len() + usize::from(more), last);
            }
            _ => out.push(b),
        }
    }
    out
}

/// A connection to the stub.
struct Client {
    stream: UnixStream,
    seen: Vec<u8>,
    nonce: u32,
    /// What it said for the user before the last stop.
    said: String,
}

impl Client {
    fn new(server: &Server) -> Self {
        // The path of a server that is gone stays until the next one takes it.
        let begun = Instant::now();
        let stream = loop {
            match UnixStream::connect(&server.socket) {
                Err(e) if e.kind() == ErrorKind::ConnectionRefused && begun.elapsed() < PATIENCE => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                connected => break connected.unwrap(),
            }
        };
        stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        Self { stream, seen: Vec::new(), nonce: 0, said: String::new() }
    }

    /// A client that behaves, without acknowledgements.
    fn polite(server: &Server) -> Self {
        let mut client = Self::new(server);
        client.send(b"+");
        client.ask(b"qSupported:multiprocess+;swbreak+;hwbreak+");
        assert_eq!(client.ask(b"QStartNoAckMode"), b"OK");
        client.send(b"+");
        client
    }

    /// Sends; false if the stub has closed the connection.
    fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Takes what has come; false at the connection's end.
    fn receive(&mut self) -> bool {
        let mut buffer = [0; 1 << 16];
        match self.stream.read(&mut buffer) {
            Ok(0) => false,
            Ok(n) => {
                self.seen.extend(&buffer[..n]);
                true
            }
            Err(e) => {
                matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
            }
        }
    }

    /// The body of the next packet.
    fn answer(&mut self) -> Vec<u8> {
        let begun = Instant::now();
        loop {
            if let Some(start) = self.seen.iter().position(|&b| b == b'$') {
                let end = self.seen[start..].iter().position(|&b| b == b'#').map(|n| start + n);
                if let Some(end) = end.filter(|end| end + 3 <= self.seen.len()) {
                    let body = expanded(&self.seen[start + 1..end]);
                    self.seen.drain(..end + 3);
                    return body;
                }
            }
            assert!(self.receive(), "the stub closed the connection");
            assert!(begun.elapsed() < PATIENCE, "no answer");
        }
    }

    fn ask(&mut self, body: &[u8]) -> Vec<u8> {
        assert!(self.send(&frame(body)), "the stub closed the connection");
        self.answer()
    }

    /// Moves and waits for the stop; text for the user is passed over.
    fn go(&mut self, body: &[u8]) -> Vec<u8> {
        assert!(self.send(&frame(body)), "the stub closed the connection");
        self.stop()
    }

    /// The next stop, or another answer that is no text.
    fn stop(&mut self) -> Vec<u8> {
        self.said.clear();
        loop {
            let answer = self.answer();
            if !answer.starts_with(b"O") || answer == b"OK" {
                return answer;
            }
            self.said.push_str(&text(&answer[1..]));
        }
    }

    /// A monitor command's text.
    fn monitor(&mut self, command: &str) -> String {
        let mut answer = self.ask(format!("qRcmd,{}", hex(command.as_bytes())).as_bytes());
        let mut said = String::new();
        while answer != b"OK" {
            assert!(answer.starts_with(b"O"), "monitor {command}: {}", answer.escape_ascii());
            said.push_str(&text(&answer[1..]));
            answer = self.answer();
        }
        said
    }

    fn when(&mut self) -> u64 {
        let text = self.monitor("when");
        let digits = text.split(|c: char| !c.is_ascii_digit()).find(|w| !w.is_empty());
        digits.and_then(|d| d.parse().ok()).unwrap_or_else(|| panic!("when: {text}"))
    }

    /// Waits until everything sent has been answered, whatever it was; false if the connection ended.
    fn settle(&mut self) -> bool {
        self.nonce += 1;
        let word = format!("nonce-{}", self.nonce);
        let echo = hex(word.as_bytes()).into_bytes();
        self.seen.clear();
        let ask = frame(format!("qRcmd,{}", hex(word.as_bytes())).as_bytes());
        // The machine may run; what waits may start it again.
        if !self.send(&[CTRL_C]) || !self.send(b"#00") || !self.send(&ask) {
            return false;
        }
        let begun = Instant::now();
        let mut asked = begun;
        while !self.seen.windows(echo.len()).any(|w| w == echo) {
            if !self.receive() {
                return false;
            }
            assert!(begun.elapsed() < PATIENCE, "the stub hangs");
            if asked.elapsed() > Duration::from_millis(20) {
                asked = Instant::now();
                if !self.send(&[CTRL_C]) {
                    return false;
                }
            }
        }
        self.seen.clear();
        true
    }
}

/// Numbers that matter: small, around the guest's addresses, and the largest.
fn number(r: &mut Random) -> String {
    let n = match r.below(8) {
        0 => r.below(4),
        1 | 2 => 0x10_0000 + r.below(0x8000),
        3 => u64::MAX - r.below(3),
        4 => 0x8000_0000_0000 + r.below(3),
        5 => 1 << r.below(64),
        6 => r.below(1 << 16),
        _ => r.below(u64::MAX),
    };
    format!("{n:x}")
}

fn command(r: &mut Random) -> String {
    const WORDS: [&str; 16] = [
        "when",
        "help",
        "info replay",
        "info",
        "checkpoint",
        "seek end",
        "seek 0",
        "seek 50%",
        "back",
        "forward",
        "back 7",
        "forward 100",
        "seek",
        "seek 18446744073709551616",
        "last",
        "no such",
    ];
    match r.below(4) {
        0 => format!("seek {}", r.below(300_000)),
        1 => format!("last 0x{}:{}", number(r), number(r)),
        _ => WORDS[r.below(16) as usize].to_owned(),
    }
}

/// A packet's body that a debugger could send. Writes only if asked for.
fn body(r: &mut Random, writes: bool) -> Vec<u8> {
    let (a, b, c) = (number(r), number(r), number(r));
    let text = match r.below(if writes { 34 } else { 28 }) {
        0 => "?".to_owned(),
        1 => "g".to_owned(),
        2 => format!("p{a}"),
        3 | 4 => format!("m{a},{b}"),
        5 => format!("m{a},{:x}", r.below(64)),
        6 => "c".to_owned(),
        7 => "s".to_owned(),
        8 => "bc".to_owned(),
        9 => "bs".to_owned(),
        10 => format!("vCont;s:{a}"),
        11 => "vCont;c".to_owned(),
        12 => format!("vCont;r{a},{b}:1"),
        13 => "vCont?".to_owned(),
        14 | 15 => format!("Z{},{a},{:x}", r.below(6), r.below(17)),
        16 => format!("Z{},{a},{b}", r.below(6)),
        17 => format!("z{},{a},{b}", r.below(6)),
        18 => "qSupported:multiprocess+;swbreak+".to_owned(),
        19 => format!("qXfer:features:read:target.xml:{a},{b}"),
        20 => format!("qXfer:{a}:read:{b}:{c}"),
        21 => format!("qRcmd,{}", hex(command(r).as_bytes())),
        22 => format!("H{}{a}", ['g', 'c', 'x'][r.below(3) as usize]),
        23 => format!("T{a}"),
        24 => ["qfThreadInfo", "qsThreadInfo", "qC", "qAttached", "qOffsets", "qTStatus"]
            [r.below(6) as usize]
            .into(),
        25 => ["vMustReplyEmpty", "QStartNoAckMode", "!", "QThreadEvents:1", "vKill;1", "R00"]
            [r.below(6) as usize]
            .into(),
        26 => format!("qThreadExtraInfo,{a}"),
        27 => format!("Qqemu.PhyMemMode:{}", r.below(3)),
        28 => format!("M{a},4:{:08x}", r.below(1 << 32)),
        29 => format!("M{a},{b}:{c}"),
        30 => format!("X{a},4:{}", "abcd"),
        31 => format!("P{:x}={:016x}", r.below(80), r.below(u64::MAX)),
        32 => format!("P{a}={b}"),
        _ => format!("G{}", c.repeat(1 + r.below(80) as usize)),
    };
    text.into_bytes()
}

/// Breaks a packet's body in one of many ways.
fn mutate(r: &mut Random, body: &mut Vec<u8>) {
    for _ in 0..r.below(4) {
        let at = r.below(body.len() as u64 + 1) as usize;
        match r.below(6) {
            0 if at < body.len() => body[at] ^= 1 << r.below(8),
            1 => body.truncate(at),
            2 => body.insert(at, r.below(256) as u8),
            3 if at < body.len() => drop(body.remove(at)),
            4 => body
                .insert(at, *[b'}', b'*', b',', b':', b';', b'=', b'-', 0].get(r.below(8) as usize).unwrap()),
            _ => {
                let tail = body[at..].to_vec();
                body.extend(tail);
            }
        }
    }
}

/// The bytes of one packet: mostly with a right checksum.
fn packet(r: &mut Random, writes: bool) -> Vec<u8> {
    let mut body = if r.below(20) == 0 {
        (0..r.below(200)).map(|_| r.below(256) as u8).collect()
    } else {
        body(r, writes)
    };
    if r.below(2) == 0 {
        mutate(r, &mut body);
    }
    let mut bytes = frame(&body);
    match r.below(16) {
        0 => {
            let n = bytes.len();
            bytes[n - 1] ^= 1;
        }
        1 => bytes.truncate(r.below(bytes.len() as u64) as usize),
        2 => bytes.insert(0, [b'+', b'-', CTRL_C, b'#', 0xff][r.below(5) as usize]),
        _ => {}
    }
    bytes
}

/// True if the stub could take a part of these bytes for a write.
fn could_write(bytes: &[u8]) -> bool {
    bytes.windows(2).any(|w| w[0] == b'$' && b"GPMX".contains(&w[1]))
}

/// True if it could take a part for the wish to end.
fn could_end(bytes: &[u8]) -> bool {
    let starts = |what: &[u8]| bytes.windows(what.len() + 1).any(|w| w[0] == b'$' && &w[1..] == what);
    starts(b"k") || starts(b"vKill") || starts(b"D")
}

struct Guest {
    folder: Folder,
    recording: String,
}

impl Guest {
    fn new(name: &str) -> Self {
        let folder = Folder::new(name);
        let recording = folder.file("recording.dvm");
        let elf = format!("{}/guests/debug/debug64.elf", env!("CARGO_MANIFEST_DIR"));
        let mut args = vec!["record", "--kernel", &elf, "--memory", "16M", "--seed", "1", "--no-reboot"];
        args.extend(["--rtc", "base=2026-01-01,clock=vm", "--serial", "none", "-o", &recording]);
        dejavm(&args);
        Self { folder, recording }
    }

    fn server(&self) -> Server {
        Server::start(&self.recording, &self.folder.file("socket"), &[])
    }
}

/// Registers and some memory at moments all over the recording.
fn moments(client: &mut Client) -> Vec<(u64, Vec<u8>, Vec<u8>)> {
    let places = [0, 1, 1000, 5000, 50_000, 100_000, 123_456, 200_000, 250_000];
    let look = |n: &u64| {
        client.monitor(&format!("seek {n}"));
        assert_eq!(client.when(), *n);
        (*n, client.ask(b"g"), client.ask(b"m100000,800"))
    };
    places.iter().rev().map(look).collect()
}

/// How long (`few` without a wish), and from which seed.
fn seeds(few: u64) -> impl Iterator<Item = u64> {
    let number = |name| std::env::var(name).ok().map(|v| v.parse::<u64>().expect(name));
    let (time, first) = (number("DEJAVM_FUZZ"), number("DEJAVM_FUZZ_SEED").unwrap_or(1));
    let begun = Instant::now();
    (first..).take_while(move |n| match time {
        Some(seconds) => begun.elapsed().as_secs() < seconds,
        None => *n < first + few,
    })
}

/// Sends a storm; false if the stub ended the connection in it.
fn storm(client: &mut Client, seed: u64, writes: bool) -> bool {
    let mut r = Random(seed);
    for _ in 0..24 {
        for _ in 0..12 {
            let bytes = packet(&mut r, writes);
            if could_end(&bytes) || (!writes && could_write(&bytes)) {
                continue;
            }
            if !client.send(&bytes) {
                return false;
            }
        }
        if !client.settle() {
            return false;
        }
    }
    true
}

/// Storms without writes: afterwards every moment is what it was.
#[test]
fn moments_survive_any_packets() {
    let guest = Guest::new("gdb-fuzz-read");
    let mut server = guest.server();
    let before = moments(&mut Client::polite(&server));
    for seed in seeds(12) {
        let mut client = Client::new(&server);
        let stayed = storm(&mut client, seed, false);
        assert!(server.running(), "seed {seed}: the stub has ended: {}", server.end());
        assert!(stayed, "seed {seed}: the stub closed the connection");
        drop(client);
        let after = moments(&mut Client::polite(&server));
        assert!(before == after, "seed {seed}: a moment is not what it was");
    }
}

/// Storms with writes, which leave the recording: the stub goes on, and the file is untouched.
#[test]
fn writes_branch_whatever_is_sent() {
    let guest = Guest::new("gdb-fuzz-write");
    let file = std::fs::read(&guest.recording).unwrap();
    let before = moments(&mut Client::polite(&guest.server()));
    for seed in seeds(3) {
        let mut server = guest.server();
        let mut client = Client::new(&server);
        let stayed = storm(&mut client, seed, true);
        assert!(server.running(), "seed {seed}: the stub has ended: {}", server.end());
        assert!(stayed, "seed {seed}: the stub closed the connection");
        drop(client);
        let mut client = Client::polite(&server);
        let here = client.when();
        let stopped = client.go(b"vCont;s:p1.1");
        assert!(stopped.starts_with(b"T05"), "seed {seed}: {} {}", client.said, stopped.escape_ascii());
        let end = stopped.windows(9).any(|w| w == b"replaylog");
        assert_eq!(client.when(), if end { here } else { here + 1 }, "seed {seed}");
    }
    assert!(file == std::fs::read(&guest.recording).unwrap(), "a write reached the recording");
    let after = moments(&mut Client::polite(&guest.server()));
    assert!(before == after, "the recording's moments are not what they were");
}

/// Peers that go away in the middle of a packet, of an answer, of a run.
#[test]
fn peers_that_go_away() {
    let guest = Guest::new("gdb-fuzz-gone");
    let mut server = guest.server();
    let before = moments(&mut Client::polite(&server));
    for bytes in [&b""[..], b"$", b"$m1000", b"$g#6", b"+$g#67", b"\x03", b"$c#63", b"$bc#c5", b"$?#3f$?#3f"]
    {
        let mut client = Client::new(&server);
        client.send(bytes);
        drop(client);
        assert!(server.running(), "after {}: {}", bytes.escape_ascii(), server.end());
    }
    // Much that is no packet at all, and a packet that has no end.
    let mut client = Client::new(&server);
    let junk: Vec<u8> = (0..1 << 20).map(|n: u32| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    client.send(&junk);
    drop(client);
    let mut client = Client::new(&server);
    client.send(&[&b"$m"[..], &vec![b'0'; 1 << 20]].concat());
    drop(client);
    let after = moments(&mut Client::polite(&server));
    assert!(server.running() && before == after, "{}", server.end());
}

/// Ctrl-C, and a peer that goes away, while a branch runs in an endless loop.
#[test]
fn an_endless_run_is_stopped() {
    let guest = Guest::new("gdb-fuzz-endless");
    let server = guest.server();
    let mut client = Client::polite(&server);
    client.monitor("seek 100000");
    // RIP is the first of the registers that a stop reports, number 16 in gdb's order: 16 times 8 bytes on.
    let registers = client.go(b"g");
    let digits = std::str::from_utf8(&registers[256..272]).unwrap();
    let pc = u64::from_str_radix(digits, 16).unwrap().swap_bytes();
    // JMP to itself, and no interrupts.
    assert_eq!(client.go(format!("M{pc:x},3:faebfe").as_bytes()), b"OK");
    for _ in 0..3 {
        assert!(client.send(&frame(b"vCont;c")));
        std::thread::sleep(Duration::from_millis(50));
        assert!(client.send(&[CTRL_C]));
        let stopped = client.stop();
        assert!(stopped.starts_with(b"T02"), "{}", stopped.escape_ascii());
    }
    assert!(client.send(&frame(b"vCont;c")));
    std::thread::sleep(Duration::from_millis(50));
    drop(client);
    let mut client = Client::polite(&server);
    let here = client.when();
    assert!(here > 100_000);
    assert!(client.go(b"bs").starts_with(b"T05"));
    assert_eq!(client.when(), here - 1);
}

/// Packets sent into a run that does not end: Ctrl-C behind them is seen.
#[test]
fn chatter_does_not_hide_a_ctrl_c() {
    let guest = Guest::new("gdb-fuzz-chatter");
    let server = guest.server();
    let mut client = Client::polite(&server);
    client.monitor("seek 100000");
    let registers = client.go(b"g");
    let digits = std::str::from_utf8(&registers[256..272]).unwrap();
    let pc = u64::from_str_radix(digits, 16).unwrap().swap_bytes();
    assert_eq!(client.go(format!("M{pc:x},3:faebfe").as_bytes()), b"OK");
    assert!(client.send(&frame(b"vCont;c")));
    let chatter = frame(b"m0,4").repeat(2000);
    assert!(client.send(&chatter));
    assert!(client.send(&[CTRL_C]));
    let stopped = client.stop();
    assert!(stopped.starts_with(b"T02"), "{}", stopped.escape_ascii());
}

/// A peer that goes away in the middle of a search through all of the recording, and one that comes then.
#[test]
fn a_search_ends_with_its_peer() {
    let guest = Guest::new("gdb-fuzz-search");
    let mut server = guest.server();
    let mut client = Client::polite(&server);
    let before = moments(&mut client);
    for _ in 0..5 {
        client.monitor("seek end");
        let end = client.when();
        assert_eq!(client.go(b"Z1,1,1"), b"OK");
        assert!(client.send(&frame(b"bc")));
        drop(client);
        client = Client::polite(&server);
        // It went away, or the search was over before.
        let here = client.when();
        assert!(here == end || here == 0, "{here}");
    }
    assert!(server.running() && before == moments(&mut client), "{}", server.end());
}

/// 500 breakpoints of both kinds, mapped and not: those that are passed stop the machine, in both directions
/// alike, and all of them go again.
#[test]
fn five_hundred_breakpoints() {
    let guest = Guest::new("gdb-fuzz-breakpoints");
    let server = guest.server();
    let mut client = Client::polite(&server);
    let places: Vec<u64> = (0..500).map(|i| if i % 5 == 4 { i << 40 } else { 0x10_0000 + i }).collect();
    // The second time changes nothing.
    for (i, place) in places.iter().enumerate().chain(places.iter().enumerate()) {
        assert_eq!(client.ask(format!("Z{},{place:x},1", i % 2).as_bytes()), b"OK", "{place:x}");
    }
    let mut forwards = Vec::new();
    client.monitor("seek 0");
    for _ in 0..40 {
        let stopped = client.go(b"c");
        if stopped.windows(9).any(|w| w == b"replaylog") {
            break;
        }
        forwards.push(client.when());
    }
    assert!(forwards.len() > 5 && forwards.is_sorted(), "{forwards:?}");
    let mut backwards = Vec::new();
    for _ in 1..forwards.len() {
        client.go(b"bc");
        backwards.push(client.when());
    }
    backwards.reverse();
    assert_eq!(forwards[..forwards.len() - 1], backwards);
    for (i, place) in places.iter().enumerate() {
        assert_eq!(client.ask(format!("z{},{place:x},1", i % 2).as_bytes()), b"OK", "{place:x}");
    }
    client.monitor("seek 0");
    let stopped = client.go(b"c");
    assert!(stopped.windows(13).any(|w| w == b"replaylog:end"), "{}", stopped.escape_ascii());
}

/// Memory that is not there is an error, partly there a short answer; neither moves anything.
#[test]
fn unmapped_memory_is_an_error() {
    let guest = Guest::new("gdb-fuzz-unmapped");
    let server = guest.server();
    let mut client = Client::polite(&server);
    let before = moments(&mut client);
    client.monitor("seek 200000");
    let here = client.when();
    for address in ["800000000000", "ffff000000000000", "ffffffffffffffff", "7ffffffff000"] {
        for packet in [format!("m{address},8"), format!("M{address},2:1234"), format!("Z2,{address},8")] {
            let answer = client.go(packet.as_bytes());
            assert!(answer.starts_with(b"E"), "{packet}: {}", answer.escape_ascii());
        }
        assert_eq!(client.ask(format!("Z0,{address},1").as_bytes()), b"OK", "a breakpoint may come early");
        assert_eq!(client.ask(format!("z0,{address},1").as_bytes()), b"OK");
    }
    assert_eq!(client.when(), here);
    assert!(before == moments(&mut client), "a moment is not what it was");
}
