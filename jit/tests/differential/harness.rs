//! What the tests of all architectures share: slices, switches of the engine, comparison, reports.

use dejavm_interp::engine::{Clock, Control, Engine, Exit, Stop};
use dejavm_interp::mem::{Memory, Region};
use dejavm_interp::probe::{Hit, Interest, Keep};
use dejavm_interp::tlb::Size;
use dejavm_jit::engine::Settings;
use serde::Serialize;

/// A random sequence.
pub struct Random(u64);

impl Random {
    /// The sequence of a seed.
    pub fn new(seed: u64) -> Self {
        let mut r = Self(seed | 1);
        for _ in 0..8 {
            r.next();
        }
        r
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 33) % n
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// One of several.
    pub fn of<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

/// Guest memory of `size` bytes at address 0.
pub fn memory(size: u64) -> Memory {
    let mut mem = Memory::new(size).unwrap();
    mem.set_regions(vec![Region { start: 0, len: size, offset: 0, writable: true }]).unwrap();
    mem
}

pub fn put(mem: &mut Memory, at: u64, bytes: &[u8]) {
    assert!(mem.load(at, bytes));
}

/// Eight bytes that are often interesting as one double or two singles.
pub fn number(r: &mut Random) -> u64 {
    let single = |r: &mut Random| {
        let specials =
            [0, 1, 0x7f_ffff, 0x80_0000, 0x7f80_0000, 0x7f80_0001, 0x7fc0_0000, 0x3f80_0000, 0x7f7f_ffff];
        specials[r.below(9) as usize] | (r.next() as u32) << 31
    };
    match r.below(4) {
        0 => {
            let e = [0, 1, 0x3fe, 0x3ff, 0x400, 0x41e, 0x43f, 0x7fe, 0x7ff][r.below(9) as usize];
            let m = [0, 1, 1 << 51, (1 << 52) - 1, r.next() >> 12][r.below(5) as usize];
            e << 52 | m | r.next() << 63
        }
        1 => u64::from(single(r)) << 32 | u64::from(single(r)),
        2 => {
            u64::from((r.below(200) as f32 / 7.0).to_bits()) << 32 | u64::from((r.below(99) as f32).to_bits())
        }
        _ => r.next(),
    }
}

/// How to compile a program.
pub fn settings(r: &mut Random) -> Settings {
    Settings {
        threshold: if r.one_in(2) { 0 } else { r.below(4) as u8 },
        most: if r.one_in(2) { 64 } else { 1 + r.below(8) as usize },
        memory: if r.one_in(4) { 1 << 15 } else { 1 << 20 },
    }
}

/// How much the TLB of the engine under test holds: at times one address space takes over another's place.
fn tlb(seed: u64) -> Size {
    match seed % 4 {
        0 => Size { spaces: 1, ..Size::default() },
        1 => Size { ways: 1, spaces: 2 },
        _ => Size::default(),
    }
}

/// An architecture under test: its engines and what a report says of its CPU.
pub trait Arch {
    /// Its CPU.
    type Cpu: Clone + Serialize;
    /// What lies around it.
    type Bus: ?Sized;
    /// The reference.
    type Interpreter: Engine<Self::Cpu, Self::Bus> + Default;
    /// What is compared with it.
    type Jit: Engine<Self::Cpu, Self::Bus>;

    fn jit(settings: Settings, tlb: Size) -> Self::Jit;
    /// Lends the bus.
    fn with_bus(run: &mut dyn FnMut(&mut Self::Bus) -> Exit) -> Exit;
    /// The instruction that comes next, for a report.
    fn next(cpu: &Self::Cpu, mem: &Memory) -> String;
    /// The CPU, for a report.
    fn show(cpu: &Self::Cpu) -> String;
    /// The linear address of the instruction that comes next.
    fn pc(cpu: &Self::Cpu) -> u64;

    /// Runs either engine.
    fn run(
        engine: &mut impl Engine<Self::Cpu, Self::Bus>,
        cpu: &mut Self::Cpu,
        mem: &mut Memory,
        clock: Clock,
        budget: u64,
    ) -> Exit {
        Self::with_bus(&mut |bus| engine.run(cpu, 0, mem, bus, clock, budget))
    }
}

/// Programs of a kind.
pub trait Subject {
    /// Their architecture.
    type Arch: Arch;

    /// A program and how to compile it, by its seed.
    fn setup(seed: u64) -> (Random, CpuOf<Self>, Memory, Settings);
    /// Something from outside happens to the CPU.
    fn disturb(_r: &mut Random, _cpu: &mut CpuOf<Self>) {}
    /// The CPU, for a report.
    fn show(cpu: &CpuOf<Self>) -> String {
        Self::Arch::show(cpu)
    }
}

/// The CPU of a kind of programs.
pub type CpuOf<S> = <<S as Subject>::Arch as Arch>::Cpu;

/// Runs to the boundary `to`, or to where the CPU stops for good.
fn run(
    icount: &mut u64,
    to: u64,
    slice: &mut dyn FnMut(u64) -> u64,
    engine: &mut dyn FnMut(Clock, u64) -> Exit,
) -> Option<Stop> {
    while *icount < to {
        let budget = slice(to - *icount).clamp(1, to - *icount);
        let exit = engine(Clock { icount: *icount, shift: 1, warp: 0 }, budget);
        *icount += exit.steps;
        match exit.stop {
            Stop::Budget => assert_eq!(exit.steps, budget),
            Stop::Attention | Stop::Yield => {}
            other => return Some(other),
        }
    }
    None
}

fn same<C: Serialize>(a: &C, b: &C) -> bool {
    rmp_serde::to_vec(a).unwrap() == rmp_serde::to_vec(b).unwrap()
}

/// Where two texts differ: the words of both.
fn differences(a: &str, b: &str) -> String {
    let words = a.split_whitespace().zip(b.split_whitespace()).enumerate();
    let differ = words.filter(|(_, (a, b))| a != b).map(|(i, (a, b))| format!("  word {i}: {a} {b}"));
    differ.take(20).collect::<Vec<_>>().join("\n")
}

/// Looks for the first step at which a run in one go differs, and prints what led there. What comes from outside
/// does not happen in it.
fn locate<S: Subject>(seed: u64, up_to: u64) {
    let (_, cpu, mem, _) = S::setup(seed);
    let mut trace = vec![format!("0: {}", S::Arch::next(&cpu, &mem))];
    for n in 1..=up_to {
        let (_, mut cpu_a, mut mem_a, settings) = S::setup(seed);
        let (_, mut cpu_b, mut mem_b, _) = S::setup(seed);
        let (mut at_a, mut at_b) = (0, 0);
        let mut interpreter = <S::Arch as Arch>::Interpreter::default();
        run(&mut at_a, n, &mut |n| n, &mut |clock, budget| {
            S::Arch::run(&mut interpreter, &mut cpu_a, &mut mem_a, clock, budget)
        });
        let mut jit = S::Arch::jit(Settings { threshold: 0, ..settings }, tlb(seed));
        run(&mut at_b, n, &mut |n| n, &mut |clock, budget| {
            S::Arch::run(&mut jit, &mut cpu_b, &mut mem_b, clock, budget)
        });
        if at_a != at_b || !same(&cpu_a, &cpu_b) || mem_a.bytes() != mem_b.bytes() {
            let first = trace.len().saturating_sub(14);
            eprintln!("first difference after {n} steps: {}", trace[first..].join("\n"));
            eprintln!("{}", differences(&S::show(&cpu_a), &S::show(&cpu_b)));
            return;
        }
        trace.push(format!("{n}: {}", S::Arch::next(&cpu_a, &mem_a)));
    }
}

/// Compares both engines on one program. Returns the steps made in compiled code.
fn round<S: Subject>(seed: u64) -> u64 {
    let (mut r, cpu, mut mem, settings) = S::setup(seed);
    let mut other = memory(mem.bytes().len() as u64);
    put(&mut other, 0, mem.bytes());
    let (mut cpu_a, mut cpu_b) = (cpu.clone(), cpu);
    let mut reference = <S::Arch as Arch>::Interpreter::default();
    let mut second = <S::Arch as Arch>::Interpreter::default();
    let mut jit = S::Arch::jit(settings, tlb(seed));
    let (mut at_a, mut at_b) = (0, 0);
    let switches = r.one_in(4);
    for _ in 0..30 {
        let to = at_a + 1 + if r.one_in(3) { r.below(20) } else { r.below(800) };
        let stop_a = run(&mut at_a, to, &mut |n| n, &mut |clock, budget| {
            S::Arch::run(&mut reference, &mut cpu_a, &mut mem, clock, budget)
        });
        let small = r.one_in(3);
        let mut slices = Random(r.next() | 1);
        let mut slice = |n: u64| {
            if small {
                1 + slices.below(9)
            } else if slices.one_in(2) {
                n
            } else {
                1 + slices.below(200)
            }
        };
        let interpreted = switches && r.one_in(3);
        if switches || r.one_in(10) {
            jit.flush();
            second.flush();
        }
        let stop_b = run(&mut at_b, to, &mut slice, &mut |clock, budget| {
            if interpreted {
                S::Arch::run(&mut second, &mut cpu_b, &mut other, clock, budget)
            } else {
                S::Arch::run(&mut jit, &mut cpu_b, &mut other, clock, budget)
            }
        });
        let alike = (at_a, &stop_a) == (at_b, &stop_b) && same(&cpu_a, &cpu_b);
        if !alike || mem.bytes() != other.bytes() {
            locate::<S>(seed, at_a.max(at_b));
            let memory = mem.bytes().iter().zip(other.bytes()).position(|(a, b)| a != b);
            panic!(
                "seed {seed}, {settings:?}: at {at_a} {stop_a:?} and {at_b} {stop_b:?}, memory {memory:x?}\n{}",
                differences(&S::show(&cpu_a), &S::show(&cpu_b)),
            );
        }
        if stop_a.is_some_and(|s| s != Stop::Halted) {
            break;
        }
        let mut again = Random(r.next() | 1);
        let mut twice = Random(again.0);
        S::disturb(&mut again, &mut cpu_a);
        S::disturb(&mut twice, &mut cpu_b);
    }
    let counters = jit.counters();
    let of = |name| counters.iter().find(|c| c.0 == name).map_or(0, |c| c.1);
    of("steps in compiled code") - of("of those, handed to the interpreter")
}

/// Runs to the next breakpoint, at most to the boundary `to`: the hits, and the stop if it is for good.
fn to_breakpoint(
    icount: &mut u64,
    to: u64,
    engine: &mut dyn FnMut(Clock, u64) -> (Exit, Vec<Hit>),
) -> (Vec<Hit>, Option<Stop>) {
    while *icount < to {
        let (exit, hits) = engine(Clock { icount: *icount, shift: 1, warp: 0 }, to - *icount);
        *icount += exit.steps;
        if !hits.is_empty() {
            return (hits, None);
        }
        if !matches!(exit.stop, Stop::Budget | Stop::Attention | Stop::Yield) {
            return (hits, Some(exit.stop));
        }
    }
    (Vec::new(), None)
}

/// Compares where both engines stop for breakpoints, and as what. Returns how often they did.
fn stops<S: Subject>(seed: u64) -> u64 {
    let (mut r, cpu, mut mem, settings) = S::setup(seed);
    let mut other = memory(mem.bytes().len() as u64);
    put(&mut other, 0, mem.bytes());
    let (mut passed, mut at) = (Vec::new(), 0);
    let (mut walker, mut walking) = (<S::Arch as Arch>::Interpreter::default(), cpu.clone());
    let mut walked = memory(mem.bytes().len() as u64);
    put(&mut walked, 0, mem.bytes());
    while at < 1500 {
        passed.push(S::Arch::pc(&walking));
        let stop = run(&mut at, passed.len() as u64, &mut |n| n, &mut |clock, budget| {
            S::Arch::run(&mut walker, &mut walking, &mut walked, clock, budget)
        });
        if stop.is_some() {
            break;
        }
    }
    let execute = (0..1 + r.below(6)).map(|_| r.of(&passed)).collect();
    let interest = Interest { execute, ..Interest::default() };
    let (mut cpu_a, mut cpu_b) = (cpu.clone(), cpu);
    let (mut reference, mut jit) =
        (<S::Arch as Arch>::Interpreter::default(), S::Arch::jit(settings, tlb(seed)));
    reference.probes().set(interest.clone(), Keep::Until(1), None);
    jit.probes().set(interest.clone(), Keep::Until(1), None);
    let (mut at_a, mut at_b, mut stops) = (0, 0, 0);
    while at_a < 20_000 && stops < 200 {
        let a = to_breakpoint(&mut at_a, 20_000, &mut |clock, budget| {
            let exit = S::Arch::run(&mut reference, &mut cpu_a, &mut mem, clock, budget);
            (exit, reference.probes().take())
        });
        let b = to_breakpoint(&mut at_b, 20_000, &mut |clock, budget| {
            let exit = S::Arch::run(&mut jit, &mut cpu_b, &mut other, clock, budget);
            (exit, jit.probes().take())
        });
        let alike = (at_a, &a) == (at_b, &b) && same(&cpu_a, &cpu_b) && mem.bytes() == other.bytes();
        assert!(
            alike,
            "seed {seed}, {settings:?}, {interest:x?}: at {at_a} {a:x?} and {at_b} {b:x?}, next {}\n{}",
            S::Arch::next(&cpu_a, &mem),
            differences(&S::show(&cpu_a), &S::show(&cpu_b)),
        );
        if a.1.is_some() {
            break;
        }
        stops += a.0.len() as u64;
    }
    stops
}

/// The test of stops at breakpoints.
pub fn breakpoints<S: Subject>() {
    if let Ok(seed) = std::env::var("DEJAVM_SEED") {
        stops::<S>(seed.parse().expect("a seed"));
        return;
    }
    let stopped: u64 = (1..=rounds() / 2).map(|i| stops::<S>(i * 0x9e37_79b9)).sum();
    assert!(stopped > rounds(), "only {stopped} stops");
}

fn rounds() -> u64 {
    std::env::var("DEJAVM_ROUNDS").map_or(400, |n| n.parse().expect("a number of rounds"))
}

/// The test of random programs.
pub fn random_programs<S: Subject>() {
    if let Ok(seed) = std::env::var("DEJAVM_SEED") {
        round::<S>(seed.parse().expect("a seed"));
        return;
    }
    let rounds = rounds();
    let (mut steps, mut failures) = (0u64, 0);
    for i in 1..=rounds {
        match std::panic::catch_unwind(|| round::<S>(i * 0x9e37_79b9)) {
            Ok(n) => steps += n,
            Err(_) => failures += 1,
        }
        assert!(failures < 10, "{failures} programs of {i} differ");
    }
    assert_eq!(failures, 0, "programs that differ");
    // A test that runs next to nothing would not be one.
    assert!(steps > rounds * 500, "only {steps} steps in compiled code");
    eprintln!("{steps}");
}
