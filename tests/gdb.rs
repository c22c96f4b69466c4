//! The server for gdb: a client that speaks the protocol, and stock gdb, at recordings of the demo
//! guest and of the toy board, and at machines that run now.
#![allow(clippy::disallowed_methods, reason = "real time bounds how long a client waits")]

mod common;

use common::{Random, Script};
use dejavm::debug::gdb::layout::Layout;
use dejavm::debug::gdb::live::Running;
use dejavm::debug::gdb::session::{Replay, Session};
use dejavm::debug::gdb::{Left, attend, serve};
use dejavm::debug::monitor::Monitor;
use dejavm::host::socket::{Address, Listener, Stream};
use dejavm::machine::board::Board;
use dejavm::machine::build::{self, EngineKind};
use dejavm::machine::config::{
    Arch, DEFAULT_SHIFT, Image, Images, Kind, LoadedImage, MachineConfig, Role, Rtc, RtcBase, RtcClock,
    VirtOptions,
};
use dejavm::machine::pc::Pc;
use dejavm::machine::toy::Toy;
use dejavm::replay::Input;
use dejavm::replay::log::{Header, Recording, Spacing, Writer};
use dejavm::replay::record::{EndReason, Record};
use dejavm::replay::recorder::Recorder;
use dejavm::replay::replayer::{Outcome, Replayer};
use dejavm::replay::runner::Runner;
use dejavm::replay::tape::Tape;
use dejavm::timeline::condition::{Condition, Watched};
use dejavm::timeline::search::Match;
use dejavm::timeline::{Options, Timeline};
use dejavm_interp::probe::What;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

const DEMO: &[u8] = include_bytes!("../guests/demo/demo.elf");
const SPACES: Spacing = Spacing { steps: 20, memory: 22, idle: None };

fn config(smp: u32) -> MachineConfig {
    MachineConfig {
        arch: Arch::X86_64,
        machine: Kind::Pc,
        cpu: "max".into(),
        memory: 64 << 20,
        smp,
        images: vec![Image::describe(Role::Kernel, "demo", "", DEMO)],
        append: String::new(),
        shift: DEFAULT_SHIFT,
        rtc: Rtc { base: RtcBase::Date(0), clock: RtcClock::Host },
        seed: 5,
        no_reboot: true,
    }
}

fn images() -> Images {
    let (file, args) = ("demo".to_owned(), String::new());
    Images(vec![LoadedImage { role: Role::Kernel, file, args, bytes: DEMO.to_vec() }])
}

fn record(smp: u32) -> Arc<Recording> {
    let config = config(smp);
    let mut log = Vec::new();
    let writer = Writer::begin(&mut log, &Header::new(config.clone(), SPACES)).unwrap();
    let machine = build::pc(&config, &images(), EngineKind::default()).unwrap();
    let mut runner = Runner::new(machine, true, Some(SPACES));
    Recorder::new(&mut runner, &mut Script::quiet(), Some(writer)).run(u64::MAX).unwrap();
    Arc::new(Recording::read(&log[..]).unwrap())
}

/// A timeline of the demo guest.
fn demo() -> Timeline<Pc> {
    static ONCE: OnceLock<Arc<Recording>> = OnceLock::new();
    timeline(ONCE.get_or_init(|| record(1)).clone())
}

fn timeline(recording: Arc<Recording>) -> Timeline<Pc> {
    let config = recording.header.machine.clone();
    let make = Arc::new(move || build::pc(&config, &images(), EngineKind::default()));
    Timeline::new(recording, make, Options { memory: 1 << 28, jobs: 2 }).unwrap()
}

/// A timeline of the toy board of so many steps.
fn toy(steps: u64) -> Timeline<Toy> {
    let config = common::config(&format!("quit={steps}"));
    let spacing = Spacing { steps: 24, memory: 28, idle: None };
    let (bytes, _) = common::record(&config, spacing, &mut Script::quiet(), u64::MAX);
    let recording = Arc::new(Recording::read(&bytes[..]).unwrap());
    let make = Arc::new(move || Toy::build(&config, &Images::default()));
    Timeline::new(recording, make, Options::default()).unwrap()
}

/// A client that speaks the protocol.
struct Client {
    stream: UnixStream,
    acks: bool,
    /// What was shown on the console.
    console: String,
}

impl Client {
    fn new(stream: UnixStream) -> Self {
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Self { stream, acks: true, console: String::new() }
    }

    /// As gdb begins.
    fn greeted(stream: UnixStream) -> Self {
        let mut client = Self::new(stream);
        let features = client.ask("qSupported:multiprocess+;swbreak+;hwbreak+;xmlRegisters=i386");
        assert!(
            features.contains("qXfer:features:read+") && features.contains("PacketSize=4000"),
            "{features}"
        );
        assert_eq!(client.ask("QStartNoAckMode"), "OK");
        client.acks = false;
        client
    }

    fn raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    fn send(&mut self, body: &str) {
        let sum = body.bytes().fold(0u8, |s, b| s.wrapping_add(b));
        self.raw(format!("${body}#{sum:02x}").as_bytes());
    }

    fn byte(&mut self) -> u8 {
        let mut byte = [0];
        self.stream.read_exact(&mut byte).unwrap();
        byte[0]
    }

    /// The next packet that is no console output, run lengths written out.
    fn answer(&mut self) -> String {
        loop {
            while self.byte() != b'$' {}
            let mut body = Vec::new();
            let mut sum = 0u8;
            loop {
                let byte = self.byte();
                match byte {
                    b'#' => break,
                    b'*' => {
                        let n = self.byte();
                        sum = sum.wrapping_add(byte).wrapping_add(n);
                        let last = *body.last().unwrap();
                        body.extend(std::iter::repeat_n(last, usize::from(n - 29)));
                        continue;
                    }
                    _ => body.push(byte),
                }
                sum = sum.wrapping_add(byte);
            }
            let digits = [self.byte(), self.byte()];
            assert_eq!(digits, *format!("{sum:02x}").as_bytes());
            if self.acks {
                self.raw(b"+");
            }
            let text = String::from_utf8_lossy(&body).into_owned();
            match text.strip_prefix('O') {
                Some(digits) if text != "OK" => {
                    self.console.push_str(&String::from_utf8_lossy(&bytes(digits)))
                }
                _ => return text,
            }
        }
    }

    fn ask(&mut self, body: &str) -> String {
        self.send(body);
        self.answer()
    }

    /// The registers that are read together.
    fn registers(&mut self) -> String {
        self.ask("g")
    }

    fn monitor(&mut self, line: &str) -> String {
        let digits: String = line.bytes().map(|b| format!("{b:02x}")).collect();
        self.console.clear();
        assert_eq!(self.ask(&format!("qRcmd,{digits}")), "OK");
        self.console.clone()
    }

    /// Where the machine stands.
    fn when(&mut self) -> u64 {
        let text = self.monitor("when");
        let number = text.split(|c: char| !c.is_ascii_digit()).find(|w| !w.is_empty());
        number.unwrap().parse().unwrap()
    }
}

fn bytes(digits: &str) -> Vec<u8> {
    (0..digits.len() / 2).map(|i| u8::from_str_radix(&digits[2 * i..2 * i + 2], 16).unwrap()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Runs a client at a PC's session until it leaves.
fn client_at<S: Session>(session: &mut S, client: impl FnOnce(&mut Client) + Send) -> Left {
    client_of(Arch::X86_64, session, client)
}

/// Runs a client at a session until it leaves.
fn client_of<S: Session>(arch: Arch, session: &mut S, client: impl FnOnce(&mut Client) + Send) -> Left {
    let (ours, theirs) = UnixStream::pair().unwrap();
    std::thread::scope(|scope| {
        let client = scope.spawn(|| client(&mut Client::greeted(ours)));
        let left = attend(Stream::of(theirs).unwrap(), session, Layout::new(arch));
        client.join().unwrap_or_else(|failed| std::panic::resume_unwind(failed));
        left
    })
}

/// Runs a client at the demo guest's recording.
fn at_demo(client: impl FnOnce(&mut Client) + Send) {
    let mut timeline = demo();
    assert_eq!(client_at(&mut Replay::new(&mut timeline, Monitor::default()), client), Left::Gone);
}

/// What the client must see of the machine.
fn expected(timeline: &mut Timeline<Pc>) -> String {
    let layout = Layout::new(Arch::X86_64);
    let core = timeline.machine().state.board.core_of(0);
    layout.registers[..layout.together].iter().map(|r| hex(&r.get(&core).unwrap())).collect()
}

trait CoreOf {
    fn core_of(&mut self, cpu: usize) -> dejavm::machine::board::Core<'_>;
}

impl<B: dejavm::machine::board::Board> CoreOf for B {
    fn core_of(&mut self, cpu: usize) -> dejavm::machine::board::Core<'_> {
        self.core(cpu)
    }
}

/// The steps at which the instruction at `pc` is executed.
fn executions(timeline: &mut Timeline<Pc>, pc: u64) -> Vec<u64> {
    let condition = Condition { execute: vec![pc], ..Condition::default() };
    let mut all = Vec::new();
    let end = timeline.end();
    timeline
        .collect(&condition, 0, end, &mut (), &mut |m| {
            all.push(m.icount());
            true
        })
        .unwrap();
    all
}

#[test]
fn registers_and_description() {
    let mut truth = demo();
    at_demo(|c| {
        let supported = c.ask("qSupported:multiprocess+");
        assert!(supported.contains("ReverseStep+") && supported.contains("ReverseContinue+"));
        let mut xml = String::new();
        loop {
            let part = c.ask(&format!("qXfer:features:read:target.xml:{:x},3fb", xml.len()));
            xml.push_str(&part[1..]);
            if part.starts_with('l') {
                break;
            }
        }
        let layout = Layout::new(Arch::X86_64);
        assert_eq!(xml, layout.xml);
        assert!(c.ask("qXfer:features:read:other.xml:0,10").starts_with('E'));
        for (at, steps) in [(0, 0), (777, 777)] {
            (0..steps).for_each(|_| assert!(c.ask("vCont;s:p1.1").starts_with("T05")));
            truth.seek(at, &mut ()).unwrap();
            assert_eq!(c.registers(), expected(&mut truth));
            for (number, register) in layout.registers.iter().enumerate() {
                let board = &mut truth.machine().state.board;
                let own = register.get(&board.core_of(0));
                let kept = || Some(register.cut(Board::device_register(board, 0, register.source)?));
                let value = own.or_else(kept).unwrap();
                assert_eq!(c.ask(&format!("p{number:x}")), hex(&value), "{}", register.name);
            }
        }
        assert!(c.ask(&format!("p{:x}", layout.registers.len())).starts_with('E'));
        assert!(c.ask("pffffffffffffffff").starts_with('E'));
    });
}

#[test]
fn steps_forwards_and_back() {
    at_demo(|c| {
        let mut seen = vec![c.registers()];
        for _ in 0..200 {
            let stop = c.ask("vCont;s:p1.1;c:p1.-1");
            assert!(stop.starts_with("T05thread:p01.01;"), "{stop}");
            seen.push(c.registers());
            // The program counter comes with the stop.
            assert!(stop.contains(&format!("10:{};", &seen[seen.len() - 1][256..272])), "{stop}");
        }
        assert_eq!(c.when(), 200);
        seen.pop();
        for state in seen.iter().rev() {
            let stop = c.ask("bs");
            assert!(stop.starts_with("T05thread:p01.01;") && !stop.contains("replaylog"), "{stop}");
            assert_eq!(c.registers(), *state);
        }
        assert!(c.ask("bs").contains("replaylog:begin;"));
        assert!(c.ask("bc").contains("replaylog:begin;"));
        assert_eq!(c.when(), 0);
        assert!(c.ask("vCont;c").contains("replaylog:end;"));
        let end = c.when();
        assert!(c.ask("vCont;c").contains("replaylog:end;") && c.ask("vCont;s:1").contains("replaylog:end;"));
        assert_eq!(c.when(), end);
        assert!(c.ask("bs").starts_with("T05"));
        assert_eq!(c.when(), end - 1);
    });
}

#[test]
fn a_range_is_stepped_through() {
    let mut truth = demo();
    // Somewhere in the middle: a range around the program counter, and how far it is followed.
    let start = truth.end() / 2;
    truth.seek(start, &mut ()).unwrap();
    let pc = |t: &mut Timeline<Pc>| t.machine().state.board.cpus()[0].rip();
    let here = pc(&mut truth);
    let range = here..here + 40;
    let mut steps = 0;
    loop {
        truth.step(1, &mut ()).unwrap();
        steps += 1;
        if !range.contains(&pc(&mut truth)) {
            break;
        }
    }
    let mut timeline = demo();
    timeline.seek(start, &mut ()).unwrap();
    client_at(&mut Replay::new(&mut timeline, Monitor::default()), |c| {
        let stop = c.ask(&format!("vCont;r{:x},{:x}:p1.1;c", range.start, range.end));
        assert!(stop.starts_with("T05"), "{stop}");
        assert_eq!(c.when(), start + steps);
    });
}

#[test]
fn breakpoints_forwards_and_backwards() {
    let mut truth = demo();
    truth.seek(truth.end() / 3, &mut ()).unwrap();
    let pc = truth.machine().state.board.cpus()[0].linear_pc();
    let all = executions(&mut truth, pc);
    assert!(all.len() > 3);
    for (kind, word) in [(0, "swbreak"), (1, "hwbreak")] {
        at_demo(|c| {
            assert_eq!(c.ask(&format!("Z{kind},{pc:x},1")), "OK");
            for &at in all.iter().take(20) {
                let stop = c.ask("vCont;c");
                assert!(stop.contains(word), "{stop}");
                assert_eq!(c.when(), at);
            }
            assert_eq!(c.ask(&format!("z{kind},{pc:x},1")), "OK");
            assert!(c.ask("vCont;c").contains("replaylog:end"));
            assert_eq!(c.ask(&format!("Z{kind},{pc:x},1")), "OK");
            for &at in all.iter().rev().take(20) {
                let stop = c.ask("bc");
                assert!(stop.contains(word), "{stop}");
                assert_eq!(c.when(), at);
            }
        });
    }
}

#[test]
fn watchpoints_find_the_writer() {
    let mut timeline = demo();
    let middle = timeline.end() / 2;
    timeline.seek(middle, &mut ()).unwrap();
    let mut truth = demo();
    let changes = |t: &mut Timeline<Pc>, addr, len| {
        let watched = Watched { addr, len, read: false, write: true };
        let condition = Condition { memory: vec![watched], changes: true, ..Condition::default() };
        let mut all = Vec::new();
        let found = &mut |m: Match| {
            let Match::Hit(hit) = m else { panic!("{m:?}") };
            let What::Memory { addr, .. } = hit.what else { panic!("{hit:?}") };
            all.push((hit.icount, addr));
            true
        };
        t.collect(&condition, 0, middle, &mut (), found).unwrap();
        all
    };
    // The word of the stack that was changed last.
    let stack = timeline.machine().state.board.cpus()[0].regs[4] - 0x400;
    let sp = changes(&mut truth, stack, 0x800).last().unwrap().1 & !7;
    let mut all: Vec<u64> = changes(&mut truth, sp, 8).into_iter().map(|c| c.0).collect();
    all.dedup();
    let value = |t: &mut Timeline<Pc>, at: u64| {
        t.seek(at, &mut ()).unwrap();
        let mut bytes = [0; 8];
        t.machine().mem.read(sp, &mut bytes);
        bytes
    };
    client_at(&mut Replay::new(&mut timeline, Monitor::default()), |c| {
        assert_eq!(c.ask(&format!("Z2,{sp:x},8")), "OK");
        let mut before = middle;
        for &expected in all.iter().rev().take(10) {
            let stop = c.ask("bc");
            assert!(stop.contains("watch:"), "{stop}");
            let at = c.when();
            assert_eq!(at, expected);
            assert_ne!(value(&mut truth, at), value(&mut truth, at + 1), "a store that changes it");
            assert_eq!(value(&mut truth, at + 1), value(&mut truth, before), "the last one");
            before = at;
        }
        // A step over the store, forwards and back, tells it too.
        let (stop, at) = (c.ask("vCont;s:1"), c.when());
        assert!(stop.contains("watch:") && at == before + 1, "{stop} {at}");
        assert!(c.ask("bs").contains("watch:"));
        assert_eq!(c.ask(&format!("z2,{sp:x},8")), "OK");
        // Reads.
        assert_eq!(c.ask(&format!("Z3,{sp:x},8")), "OK");
        assert!(c.ask("vCont;c").contains("rwatch:"));
        assert!(c.ask("Z2,ffffffffff000000,8").starts_with('E'), "not mapped");
        assert!(c.ask(&format!("Z2,{sp:x},0")).starts_with('E'));
        assert!(c.ask(&format!("Z2,{sp:x},ffffffffffffffff")).starts_with('E'));
    });
}

/// gdb takes AArch64's watchpoints to stop before the access, and makes the step over it itself: that one goes
/// nowhere, but the next does.
#[test]
fn watchpoints_of_aarch64_owe_a_step() {
    // MOVZ X1, #0x4010, LSL #16; loop: STR W0, [X1]; ADD W0, W0, #1; B loop.
    let code = [0xd2a8_0201u32, 0xb900_0020, 0x1100_0400, 0x17ff_fffe];
    let mut kernel = vec![0; 64];
    kernel.splice(..4, 0x1400_0010u32.to_le_bytes());
    kernel.splice(16..24, 0x1000u64.to_le_bytes());
    kernel.splice(56..60, *b"ARMd");
    kernel.extend(code.iter().flat_map(|word| word.to_le_bytes()));
    let config = MachineConfig {
        arch: Arch::Aarch64,
        machine: Kind::Virt(VirtOptions::default()),
        cpu: "cortex-a53".into(),
        images: vec![Image::describe(Role::Kernel, "loop", "", &kernel)],
        ..config(1)
    };
    let image = LoadedImage { role: Role::Kernel, file: "loop".into(), args: String::new(), bytes: kernel };
    let make = Arc::new({
        let config = config.clone();
        move || build::virt(&config, &Images(vec![image.clone()]), EngineKind::default())
    });
    let mut log = Vec::new();
    let writer = Writer::begin(&mut log, &Header::new(config, SPACES)).unwrap();
    let mut runner = Runner::new(make().unwrap(), true, Some(SPACES));
    Recorder::new(&mut runner, &mut Script::quiet(), Some(writer)).run(1000).unwrap();
    let recording = Arc::new(Recording::read(&log[..]).unwrap());
    let mut timeline = Timeline::new(recording, make, Options { memory: 1 << 28, jobs: 1 }).unwrap();
    client_of(Arch::Aarch64, &mut Replay::new(&mut timeline, Monitor::default()), |c| {
        let mut go = |packet: &str| {
            let stop = c.ask(packet);
            (stop.contains("watch:"), c.when())
        };
        assert_eq!(go("Z2,40100000,4"), (false, 0));
        // Steps 2, 5, 8 store.
        assert_eq!(go("vCont;c"), (true, 3));
        assert_eq!([go("vCont;s:1"), go("vCont;s:1")], [(false, 3), (false, 4)]);
        assert_eq!([go("vCont;c"), go("vCont;c")], [(true, 6), (true, 9)]);
        assert_eq!([go("bc"), go("bs"), go("bs")], [(true, 8), (false, 8), (false, 7)]);
        assert_eq!([go("vCont;s:1"), go("vCont;s:1"), go("bs")], [(false, 8), (true, 9), (true, 8)]);
        assert_eq!([go("bs"), go("vCont;r40200044,4020004c:1")], [(false, 8), (true, 9)]);
        assert_eq!(go("vCont;r40200044,4020004c:1"), (false, 9));
    });
    // A move by other means ends it.
    client_of(Arch::Aarch64, &mut Replay::new(&mut timeline, Monitor::default()), |c| {
        assert_eq!(c.ask("Z2,40100000,4"), "OK");
        c.monitor("seek 0");
        assert!(c.ask("vCont;c").contains("watch:"));
        c.monitor("seek 10");
        assert!(!c.ask("vCont;s:1").contains("watch:"));
        assert_eq!(c.when(), 11);
    });
}

#[test]
fn memory_and_its_errors() {
    let mut truth = demo();
    let at = truth.end() / 2;
    truth.seek(at, &mut ()).unwrap();
    let mut timeline = demo();
    timeline.seek(at, &mut ()).unwrap();
    client_at(&mut Replay::new(&mut timeline, Monitor::default()), |c| {
        let mut expected = [0; 0x100];
        truth.machine().mem.read(0x10_0f80, &mut expected);
        assert_eq!(c.ask("m100f80,100"), hex(&expected), "across pages");
        for bad in
            ["mffff800000000000,10", "mfffffffffffffff8,10", "M ffff800000000000,1:00", "m100000,ffffffff"]
        {
            assert!(c.ask(bad).starts_with('E'), "{bad}");
        }
        assert!(c.ask("Mffff800000000000,1:00").starts_with('E'));
        assert_eq!(c.ask("Qqemu.PhyMemMode:1"), "OK");
        assert_eq!(c.ask("qqemu.PhyMemMode"), "1");
        assert_eq!(c.ask("m100f80,100"), hex(&expected));
        assert!(c.ask("mfee00000,4").starts_with('E'), "devices are not read");
        assert_eq!(c.ask("Qqemu.PhyMemMode:0"), "OK");
        assert!(c.console.is_empty());
    });
}

#[test]
fn a_write_branches_once() {
    let mut timeline = demo();
    let middle = timeline.end() / 2;
    timeline.seek(middle, &mut ()).unwrap();
    client_at(&mut Replay::new(&mut timeline, Monitor::default()), |c| {
        assert_eq!(c.ask("Pf=8877665544332211"), "OK");
        assert_eq!(c.ask("pf"), "8877665544332211");
        assert_eq!(c.ask("M100ffe,4:01020304"), "OK");
        assert_eq!(c.ask("m100ffe,4"), "01020304");
        let mut registers = c.registers();
        registers.replace_range(..16, "efcdab8967452301");
        assert_eq!(c.ask(&format!("G{registers}")), "OK");
        assert_eq!(c.registers(), registers);
        assert!(c.ask("P0=00").starts_with('E'), "too short");
        assert!(c.ask("Pfff=0000000000000000").starts_with('E'));
        assert!(c.ask("bs").starts_with("T05"));
        assert_eq!(c.console.matches("history branches here").count(), 1);
        assert_ne!(c.ask("pf"), "8877665544332211");
        assert!(c.ask("vCont;s:1").starts_with("T05"));
        assert_eq!(c.ask("pf"), "8877665544332211");
        assert_eq!(c.console.matches("history branches here").count(), 1);
    });
    assert!(timeline.branched());
}

#[test]
fn two_cpus_are_two_threads() {
    let mut timeline = timeline(record(2));
    client_at(&mut Replay::new(&mut timeline, Monitor::default()), |c| {
        assert_eq!(c.ask("qfThreadInfo"), "mp01.01,p01.02");
        assert_eq!(c.ask("qsThreadInfo"), "l");
        assert_eq!(bytes(&c.ask("qThreadExtraInfo,p1.1")), b"CPU 0 [running]");
        assert_eq!(bytes(&c.ask("qThreadExtraInfo,p1.2")), b"CPU 1 [halted]");
        assert!(c.ask("Tp1.2") == "OK" && c.ask("Tp1.3").starts_with('E'));
        let first = c.registers();
        assert_eq!(c.ask("Hgp1.2"), "OK");
        assert_ne!(c.registers(), first);
        assert_eq!(c.ask("Hgp1.7f"), "OK");
        assert!(c.registers().starts_with('E'));
        assert_eq!(c.ask("Hgp1.1"), "OK");
        for n in 1..=50 {
            assert!(c.ask("vCont;s:p1.1;c").starts_with("T05thread:p01.01;"));
            assert_eq!(c.when(), n);
        }
        for n in (0..50).rev() {
            assert!(c.ask("bs").starts_with("T05thread:p01.01;"));
            assert_eq!(c.when(), n);
        }
        // The second one is never started.
        assert!(c.ask("vCont;s:p1.2;c").contains("replaylog:end;"));
    });
}

#[test]
fn garbage_breaks_nothing() {
    at_demo(|c| {
        let state = c.registers();
        let mut random = Random(7);
        c.raw(b"\x03\x03++--$");
        c.raw(b"$g#00$#00$#zz$}#}}");
        for _ in 0..50 {
            let junk: Vec<u8> = (0..random.below(300)).map(|_| random.below(256) as u8).collect();
            // Whole packets of junk that could be commands would be acted on: no frame is closed.
            c.raw(&junk.iter().map(|&b| if b == b'#' { b'!' } else { b }).collect::<Vec<_>>());
        }
        c.raw(&vec![b'$'; 100_000]);
        c.raw(&vec![b'x'; 100_000]);
        c.raw(b"#00");
        // The packet without a body is right, and means nothing.
        assert_eq!((c.answer(), c.answer()), (String::new(), "E07".to_owned()));
        assert_eq!(c.registers(), state);
        let odd = [
            "m",
            "m,",
            "m1",
            "mx,y",
            "M",
            "M0,4:1",
            "p",
            "pzz",
            "P",
            "P=",
            "P1",
            "G",
            "G00",
            "Gzz",
            "Z",
            "Z0",
            "Z0,",
            "Z9,1,1",
            "Z0,1",
            "z0,1,1",
            "Z2,1",
            "vCont",
            "vCont;",
            "vCont;q",
            "vCont;s",
            "vCont;s:-1",
            "vCont;r1:1",
            "vCont;t",
            "H",
            "Hg",
            "Hgp",
            "Hc-1",
            "Hgzz",
            "T",
            "Tzz",
            "qXfer:features:read:",
            "qSupported",
            "qXfer:features:read:target.xml:ffffffffffffffff,ffffffffffffffff",
            "qRcmd,",
            "qRcmd,zz",
            "qRcmd,1",
            "qThreadExtraInfo,",
            "qThreadExtraInfo,zz",
            "X",
            "X0,4:1",
            "nonsense",
            "?",
            "!",
            "vMustReplyEmpty",
            "qTStatus",
            "vFile:setfs:0",
            "QPassSignals:",
            "qOffsets",
            "qC",
            "QTDP:",
            "m0,0",
            "mffffffffffffffff,2",
        ];
        for packet in odd {
            let answer = c.ask(packet);
            assert!(answer.len() < 100_000, "{packet}");
            assert!(c.ask("m0,4").len() == 8, "after {packet}");
        }
        assert_eq!(c.registers(), state);
        // A packet in pieces.
        for &byte in b"$g#67" {
            c.raw(&[byte]);
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(c.answer(), state);
    });
}

#[test]
fn acknowledged_packets_are_sent_again() {
    let mut timeline = demo();
    let (ours, theirs) = UnixStream::pair().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let session = &mut Replay::new(&mut timeline, Monitor::default());
            attend(Stream::of(theirs).unwrap(), session, Layout::new(Arch::X86_64))
        });
        let mut c = Client::new(ours);
        let first = c.ask("m100000,4");
        c.raw(b"-");
        assert_eq!(c.answer(), first);
        c.raw(b"$m100000,4#00");
        assert_eq!(c.byte(), b'-', "asked to send it again");
    });
}

#[test]
fn five_hundred_breakpoints() {
    let mut truth = demo();
    let pc = truth.machine().state.board.cpus()[0].linear_pc();
    truth.seek(truth.end() / 2, &mut ()).unwrap();
    let hit = truth.machine().state.board.cpus()[0].linear_pc();
    let first = executions(&mut truth, hit)[0];
    at_demo(|c| {
        // Where nothing is executed, and once where something is.
        for i in 0..500 {
            assert_eq!(c.ask(&format!("Z0,{:x},1", 0x7000_0000 + i * 3)), "OK");
        }
        assert_eq!(c.ask(&format!("Z0,{hit:x},1")), "OK");
        assert!(c.ask("vCont;c").contains("swbreak"));
        assert_eq!(c.when(), first);
        for i in 0..500 {
            assert_eq!(c.ask(&format!("z0,{:x},1", 0x7000_0000 + i * 3)), "OK");
        }
        assert_eq!(c.ask(&format!("z0,{hit:x},1")), "OK");
        assert!(c.ask("bc").contains("replaylog:begin"));
        assert_eq!(bytes(&c.ask("p10")), pc.to_le_bytes());
    });
}

/// A path for a socket or file that goes away with the test.
struct Temporary(PathBuf);

impl Temporary {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("dejavm-gdb-{name}-{}", std::process::id())))
    }

    fn name(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Connects as soon as somebody listens.
fn connect(path: &Temporary) -> UnixStream {
    let start = Instant::now();
    loop {
        match UnixStream::connect(&path.0) {
            Ok(stream) => return stream,
            Err(e) => assert!(start.elapsed() < Duration::from_secs(60), "{e}"),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn clients_come_and_go() {
    let path = Temporary::new("clients");
    let listener = Listener::bind(&Address::Unix(path.0.clone())).unwrap();
    let mut timeline = toy(400_000_000);
    std::thread::scope(|scope| {
        let server = scope.spawn(|| {
            let session = &mut Replay::new(&mut timeline, Monitor::default());
            serve(&listener, session, Arch::X86_64).unwrap()
        });
        // Ctrl-C in a long run, forwards and backwards.
        let mut c = Client::greeted(connect(&path));
        c.send("vCont;c");
        c.raw(b"\x03");
        assert!(c.answer().starts_with("T02"));
        let here = c.when();
        assert!(here < 400_000_000);
        assert_eq!(c.ask("Z2,1000,8"), "OK");
        assert_eq!(c.ask("Z0,12345678,1"), "OK");
        c.send("vCont;c");
        // Gone in the middle.
        drop(c);
        let mut c = Client::greeted(connect(&path));
        let kept = c.when();
        assert!(kept >= here && kept < 400_000_000, "{kept}");
        c.send("bc");
        c.raw(b"\x03");
        let stop = c.answer();
        assert!(stop.starts_with("T02") || stop.contains("replaylog:begin"), "{stop}");
        let here = c.when();
        assert_eq!(c.ask("D;1"), "OK");
        drop(c);
        let mut c = Client::greeted(connect(&path));
        assert_eq!(c.when(), here, "the position is kept");
        c.send("k");
        assert_eq!(server.join().unwrap(), Left::Killed);
    });
}

/// Runs a client at a machine that runs now and is recorded; checks that the recording replays.
fn at_live(smp: u32, client: impl FnOnce(&mut Client) + Send) -> (Recording, Left) {
    let config = config(smp);
    let mut log = Vec::new();
    let writer = Writer::begin(&mut log, &Header::new(config.clone(), SPACES)).unwrap();
    let machine = build::pc(&config, &images(), EngineKind::default()).unwrap();
    let mut runner = Runner::new(machine, true, Some(SPACES));
    let mut script = Script::quiet();
    let mut recorder = Recorder::new(&mut runner, &mut script, Some(writer));
    let left;
    let reason = {
        let mut running = Running::new(&mut recorder, u64::MAX);
        left = client_at(&mut running, client);
        running.ended().unwrap_or(Ok(EndReason::Stopped)).unwrap()
    };
    recorder.finish(reason).unwrap();
    let recording = Recording::read(&log[..]).unwrap();
    let runner =
        Runner::new(build::pc(&config, &images(), EngineKind::default()).unwrap(), true, Some(SPACES));
    let mut replayer = Replayer::new(runner, Arc::new(Tape::new(&recording)));
    let outcome = replayer.run(None, &mut ());
    assert!(matches!(outcome, Outcome::End(_)), "{outcome:?}");
    (recording, left)
}

#[test]
fn a_live_machine_stops_and_its_recording_replays() {
    let mut truth = demo();
    truth.seek(truth.end() / 3, &mut ()).unwrap();
    let pc = truth.machine().state.board.cpus()[0].linear_pc();
    let sp = truth.machine().state.board.cpus()[0].regs[4] & !7;
    let all = executions(&mut truth, pc);
    let (recording, left) = at_live(1, |c| {
        assert!(!c.ask("qSupported:multiprocess+").contains("Reverse"));
        for n in 1..=100 {
            assert!(c.ask("vCont;s:p1.1;c").starts_with("T05"));
            truth.seek(n, &mut ()).unwrap();
            assert_eq!(c.registers(), expected(&mut truth), "step {n}");
        }
        assert_eq!(c.ask(&format!("Z0,{pc:x},1")), "OK");
        for &at in all.iter().take(5) {
            assert!(c.ask("vCont;c").contains("swbreak"));
            assert_eq!(c.when(), at);
            truth.seek(at, &mut ()).unwrap();
            assert_eq!(c.registers(), expected(&mut truth));
        }
        assert_eq!(c.ask(&format!("z0,{pc:x},1")), "OK");
        assert_eq!(c.ask(&format!("Z2,{sp:x},8")), "OK");
        assert!(c.ask("vCont;c").contains("watch:"));
        assert_eq!(c.ask(&format!("z2,{sp:x},8")), "OK");
        assert_eq!(c.ask("bc"), "", "no way back");
        assert!(c.monitor("seek 1").contains("recording"));
        assert_eq!(c.ask("M500000,4:01020304"), "OK");
        assert_eq!(c.ask("m500000,4"), "01020304");
        assert_eq!(c.ask("Pf=1122334455667788"), "OK");
        assert_eq!(c.ask("pf"), "1122334455667788");
        let end = c.ask("vCont;c");
        assert!(end.starts_with('W'), "{end}");
    });
    assert!(matches!(left, Left::Exited(_)), "{left:?}");
    let written = |r: &&Record| matches!(r, Record::Input { input, .. } if input.by_debugger());
    let writes: Vec<_> = recording.records.iter().filter(written).collect();
    assert_eq!(writes.len(), 2);
    let Record::Input { input: Input::WriteMemory { addr, bytes }, .. } = writes[0] else { panic!() };
    assert_eq!((*addr, &bytes[..]), (0x50_0000, &[1, 2, 3, 4][..]));
}

#[test]
fn a_debugger_that_only_looks_leaves_no_trace() {
    let (recording, _) = at_live(1, |c| {
        for _ in 0..300 {
            assert!(c.ask("vCont;s:p1.1;c").starts_with("T05"));
        }
        assert_eq!(c.ask("Z2,100000,8"), "OK");
        assert!(c.ask("vCont;c").starts_with('W'));
    });
    assert_eq!(recording.records, record(1).records);
}

#[test]
fn killing_a_live_machine_ends_its_recording() {
    let (recording, left) = at_live(2, |c| {
        (0..10).for_each(|_| assert!(c.ask("vCont;s:p1.1").starts_with("T05")));
        c.send("k");
        // Until the server has seen it.
        let mut byte = [0];
        assert_eq!(c.stream.read(&mut byte).unwrap(), 0);
    });
    assert_eq!((recording.last().icount, left), (10, Left::Killed));
}

const DEJAVM: &str = env!("CARGO_BIN_EXE_dejavm");

/// The program, waiting for a debugger.
struct Program(Child);

impl Program {
    fn start(args: &[&str]) -> Self {
        let mut command = Command::new(DEJAVM);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        Self(command.spawn().unwrap())
    }

    /// The address that it prints.
    fn address(&mut self) -> String {
        let mut text = Vec::new();
        let stderr = self.0.stderr.as_mut().unwrap();
        let mut byte = [0];
        while stderr.read(&mut byte).unwrap() > 0 && byte != *b"\n" {
            text.push(byte[0]);
        }
        let text = String::from_utf8(text).unwrap();
        let address = text.rsplit("target remote ").next().unwrap();
        assert!(text.starts_with("dejavm: gdb: listening on "), "{text}");
        address.to_owned()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// True when gdb is there; under CI it has to be.
fn gdb_is_there() -> bool {
    let there =
        Command::new("gdb").arg("--version").stdout(Stdio::null()).status().is_ok_and(|s| s.success());
    assert!(there || std::env::var_os("CI").is_none(), "gdb is not installed");
    if !there {
        eprintln!("skipped: gdb is not installed");
    }
    there
}

/// Runs gdb with a script; what it printed.
fn gdb(address: &str, script: &str) -> String {
    let file = Temporary::new(&format!("script-{}", address.replace(['/', ':', '.'], "-")));
    let head = format!("set confirm off\nset pagination off\nset height 0\ntarget remote {address}\n");
    std::fs::write(&file.0, head + script).unwrap();
    let mut command = Command::new("timeout");
    command.args(["-s", "KILL", "120", "gdb", "-nx", "-batch", "-x", file.name()]);
    let out = command.stdin(Stdio::null()).output().unwrap();
    String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr)
}

#[test]
fn stock_gdb_goes_both_ways() {
    if !gdb_is_there() {
        return;
    }
    let file = Temporary::new("recording");
    let done = Command::new(DEJAVM)
        .args(["record", "--kernel", "guests/demo/demo.elf", "--seed", "5", "--rtc"])
        .args(["base=2026-01-01,clock=vm", "-o", file.name()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    assert!(done.unwrap().success());
    let mut program = Program::start(&["replay", file.name(), "--gdb", "0"]);
    let address = program.address();
    let script = "\
        set $i = 0\n\
        while $i < 60\n\
        printf \"at %lx %lx %x\\n\", $rip, $rsp, $eflags\n\
        stepi\n\
        set $i = $i + 1\n\
        end\n\
        hbreak *$pc\n\
        while $i > 0\n\
        reverse-stepi\n\
        printf \"back %lx %lx %x\\n\", $rip, $rsp, $eflags\n\
        set $i = $i - 1\n\
        end\n\
        reverse-stepi\n\
        continue\n\
        delete\n\
        reverse-continue\n\
        info threads\n\
        print $cr0\n\
        print $k_gs_base\n\
        print $xmm15\n\
        print $st0\n\
        x/4i $pc\n\
        monitor when\n\
        continue\n\
        kill\n";
    let text = gdb(&address, script);
    let lines = |word: &str| -> Vec<String> {
        text.lines().filter_map(|l| l.strip_prefix(word)).map(str::to_owned).collect()
    };
    let (forth, mut back) = (lines("at "), lines("back "));
    back.reverse();
    assert_eq!(forth.len(), 60, "{text}");
    assert_eq!(forth, back, "{text}");
    assert_eq!(text.matches("No more reverse-execution history").count(), 3, "{text}");
    for word in ["Breakpoint 1, ", "CPU 0 [running]", " = [ PE ", "uint128", "step 0 ("] {
        assert!(text.contains(word), "'{word}' in {text}");
    }
    // Nothing but what it says without a program's file.
    let text = text.replacen("warning: No executable has been specified", "", 1);
    for word in ["warning", "rror", "annot"] {
        assert!(!text.contains(word), "'{word}' in {text}");
    }
    // The kill ended the program.
    assert!(program.0.wait().unwrap().success());
}

#[test]
fn stock_gdb_records() {
    if !gdb_is_there() {
        return;
    }
    let (file, socket) = (Temporary::new("live"), Temporary::new("live-socket"));
    let address = format!("unix:{}", socket.name());
    let args = ["record", "--kernel", "guests/demo/demo.elf", "--seed", "5", "--rtc"];
    let rest = ["base=2026-01-01,clock=vm", "-o", file.name(), "--gdb", &address];
    let mut program = Program::start(&[&args[..], &rest[..]].concat());
    assert_eq!(program.address(), socket.name());
    let script =
        "stepi 100\nset $r15 = 0x1234\nset {int}0x500000 = 77\nprint {int}0x500000\nstepi\ncontinue\n";
    let text = gdb(socket.name(), script);
    assert!(text.contains("$1 = 77") && text.contains("exited"), "{text}");
    assert!(program.0.wait().unwrap().success());
    assert!(!socket.0.exists());
    let verified = Command::new(DEJAVM).args(["verify", file.name()]).output().unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
}

#[test]
fn bad_addresses_are_refused() {
    for (addr, word) in
        [("x", "neither"), ("1:2:3", "brackets"), ("unix:/no/such/dir/s", "/no/such/dir"), ("", "neither")]
    {
        let args = ["run", "--machine", "toy", "--gdb", addr];
        let out = Command::new(DEJAVM).args(args).stdin(Stdio::null()).output().unwrap();
        let text = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(2), "{text}");
        assert!(text.contains("--gdb") && text.contains(word) && text.lines().count() == 1, "{text}");
    }
}
