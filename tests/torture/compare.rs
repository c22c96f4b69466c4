//! Two sides run the same; where they differ the first step that does is found and described.

use super::engines::{Looks, Profile, Victim};
use dejavm::debug::disassembly::{LONGEST, disassemble};
use dejavm::machine::board::Board;
use dejavm::machine::{Machine, Pause, State};
use dejavm::replay::{Input, Output, Source};
use dejavm::timeline::pages::{Held, PageMap, Pages};
use dejavm_interp::probe::{Hit, Interest, Keep};
use dejavm_oracle::rng::Rng;
use std::fmt::Write;
use std::ops::Range;

/// A run that can be compared: a machine, what comes from outside, and when.
pub trait Run: Sync {
    /// Its board.
    type Board: Victim;

    /// The machine at power-on.
    fn machine(&self, engine: Box<<Self::Board as Board>::Engine>) -> Machine<Self::Board>;
    /// What comes from outside, by step.
    fn inputs(&self) -> &[(u64, Input)];
    /// Steps where both sides are compared; the last ends the run.
    fn stops(&self) -> &[u64];
    /// What a debugger looks for.
    fn interest(&self) -> Interest;
    /// What wakes a guest that no timer wakes.
    fn wake(&self) -> Input;
    /// Where in memory the guest counts its exceptions, four bytes each.
    fn counts(&self) -> Range<usize> {
        0..0
    }
}

/// Timers that fire in a guest's sleep before it is woken by other means.
const NAPS: u32 = 30;

/// A snapshot of a side.
struct Saved<B: Board> {
    icount: u64,
    state: State<B>,
    pages: PageMap,
    input: usize,
    outputs: usize,
    ended: Option<String>,
}

/// One side of a comparison.
pub struct Side<'a, R: Run> {
    run: &'a R,
    pub machine: Machine<R::Board>,
    next_input: usize,
    pub ended: Option<String>,
    pub outputs: Vec<(u64, Output)>,
    /// What the debugger saw; empty where it keeps only the last.
    hits: Vec<Hit>,
    all: bool,
    /// Steps where a snapshot is taken, or gone back to.
    marks: Vec<u64>,
    next_mark: usize,
    pages: Option<Pages>,
    saved: Vec<Saved<R::Board>>,
}

/// The host's clock is no part of these tests: it tells the step.
struct Clock;

impl Source for Clock {
    fn host_clock(&mut self, icount: u64) -> u64 {
        icount
    }
}

impl<'a, R: Run> Side<'a, R> {
    pub fn new(run: &'a R, profile: &Profile) -> Self {
        let mut machine = run.machine(profile.engine::<R::Board>());
        machine.skip_idle = false;
        let all = profile.looks == Looks::All;
        if profile.looks != Looks::Nothing {
            machine.probe(run.interest(), if all { Keep::Until(usize::MAX) } else { Keep::Last });
        }
        let end = run.stops().last().copied().unwrap_or(0);
        let mut marks = Vec::new();
        if profile.restore {
            let mut rng = Rng::new(profile.seed, 7);
            marks = (0..2 + rng.below(8)).map(|_| 1 + rng.below(end)).collect();
            marks.sort_unstable();
            marks.dedup();
        }
        let pages = profile.restore.then(|| Pages::new(&machine.mem, Held::default()));
        let (next_input, next_mark) = (0, 0);
        let (ended, outputs, saved) = (None, Vec::new(), Vec::new());
        let hits = Vec::new();
        Self { run, machine, next_input, ended, outputs, hits, all, marks, next_mark, pages, saved }
    }

    fn icount(&self) -> u64 {
        self.machine.state.icount
    }

    /// Runs to a step, or to the end if that comes before.
    pub fn to(&mut self, step: u64) {
        while let Some(&mark) = self.marks.get(self.next_mark).filter(|m| **m <= step) {
            self.plain(mark);
            self.next_mark += 1;
            self.mark(mark);
        }
        self.plain(step);
        if self.all {
            self.hits.append(&mut self.machine.take_hits());
        }
    }

    /// Takes a snapshot, or goes back to one and comes here again.
    fn mark(&mut self, mark: u64) {
        let Some(mut pages) = self.pages.take() else { return };
        let mut rng = Rng::new(mark, 9);
        if self.saved.is_empty() || rng.percent(50) {
            self.saved.push(Saved {
                icount: self.icount(),
                state: self.machine.state.clone(),
                pages: pages.capture(&mut self.machine.mem).0,
                input: self.next_input,
                outputs: self.outputs.len(),
                ended: self.ended.clone(),
            });
        } else {
            let s = &self.saved[rng.below(self.saved.len() as u64) as usize];
            pages.restore(&mut self.machine.mem, &s.pages, &()).expect("all pages are held");
            self.machine.restore(&s.state);
            (self.next_input, self.ended) = (s.input, s.ended.clone());
            self.outputs.truncate(s.outputs);
            assert_eq!(self.machine.state.icount, s.icount);
            // Not all the way in one piece.
            let between = s.icount + rng.below(mark - s.icount + 1);
            self.plain(between);
            self.plain(mark);
        }
        self.pages = Some(pages);
    }

    fn plain(&mut self, step: u64) {
        let run = self.run;
        while let Some((at, input)) = run.inputs().get(self.next_input).filter(|i| i.0 <= step) {
            self.advance(*at);
            self.next_input += 1;
            if self.ended.is_none() {
                self.machine.inject(input, &mut Clock);
            }
        }
        self.advance(step);
    }

    fn advance(&mut self, step: u64) {
        let (mut idle, mut since) = (0, self.icount());
        while self.ended.is_none() {
            let pause = self.machine.run(step, &mut Clock);
            self.outputs.extend(self.machine.take_outputs().map(|(icount, _, output)| (icount, output)));
            if self.icount() != since {
                (idle, since) = (0, self.icount());
            }
            match pause {
                Pause::Limit => return,
                Pause::Idle(next) => {
                    idle += 1;
                    match next {
                        Some(deadline) if idle < NAPS => self.machine.warp_to(deadline),
                        _ if idle > 2 * NAPS => self.ended = Some("asleep for ever".to_owned()),
                        // No timer wakes it.
                        _ => self.machine.inject(&self.run.wake(), &mut Clock),
                    }
                }
                Pause::Probed => {
                    self.machine.take_hits();
                }
                other => self.ended = Some(format!("{other:?}")),
            }
        }
    }

    /// The state's bytes.
    fn state(&self) -> Vec<u8> {
        rmp_serde::to_vec(&self.machine.state).expect("plain data")
    }
}

/// True when two sides are the same in everything.
fn same<R: Run>(a: &Side<'_, R>, b: &Side<'_, R>) -> bool {
    a.ended == b.ended
        && a.outputs == b.outputs
        && a.hits == b.hits
        && a.state() == b.state()
        && a.machine.mem.bytes() == b.machine.mem.bytes()
        && a.machine.mem.regions() == b.machine.mem.regions()
}

/// The first difference found.
pub struct Difference {
    /// The step that made it: the boundary before it.
    pub step: u64,
    /// Everything about it.
    pub report: String,
}

/// What a comparison came to.
pub struct Outcome {
    /// The reference at its end.
    pub steps: u64,
    /// Why it ended early.
    pub ended: Option<String>,
    /// The reference's memory, for statistics.
    pub difference: Option<Difference>,
    /// How often each exception and interrupt came, as the guest counted.
    pub counts: Vec<u32>,
}

/// Runs both sides to every stop and compares.
pub fn compare<R: Run>(run: &R, reference: &Profile, subject: &Profile) -> Outcome {
    // The reference sees what is to be seen.
    let looks = if subject.looks == Looks::All { Looks::All } else { Looks::Nothing };
    let reference = &Profile { looks, ..reference.clone() };
    let (mut a, mut b) = (Side::new(run, reference), Side::new(run, subject));
    let mut good = 0;
    let mut difference = None;
    for &stop in run.stops() {
        a.to(stop);
        b.to(stop);
        if !same(&a, &b) {
            difference = Some(locate(run, reference, subject, good, stop));
            break;
        }
        good = stop;
        if a.ended.is_some() {
            break;
        }
    }
    let counts = a.machine.mem.bytes()[run.counts()].chunks_exact(4);
    let counts = counts.map(|c| u32::from_le_bytes([c[0], c[1], c[2], c[3]])).collect();
    Outcome { steps: a.icount(), ended: a.ended.clone(), difference, counts }
}

/// Both sides anew, run to a step.
fn both<'a, R: Run>(
    run: &'a R,
    reference: &Profile,
    subject: &Profile,
    step: u64,
) -> (Side<'a, R>, Side<'a, R>) {
    let (mut a, mut b) = (Side::new(run, reference), Side::new(run, subject));
    a.to(step);
    b.to(step);
    (a, b)
}

/// Finds the first step that differs between a good one and a bad one.
fn locate<R: Run>(run: &R, reference: &Profile, subject: &Profile, good: u64, bad: u64) -> Difference {
    let (mut low, mut high) = (good, bad);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        let (a, b) = both(run, reference, subject, middle);
        if same(&a, &b) { low = middle } else { high = middle }
    }
    let (mut a, mut b) = both(run, reference, subject, high);
    let again = !same(&a, &b);
    let (mut before, _) = both(run, reference, subject, low);
    let mut report = String::new();
    let _ = writeln!(
        report,
        "the first step that differs: {low}{}",
        if again { "" } else { " (not the second time!)" }
    );
    let _ = writeln!(report, "subject: {subject:?}");
    describe_place(&mut report, &mut before);
    describe_difference(&mut report, &mut a, &mut b);
    Difference { step: low, report }
}

/// The instructions that come next.
fn describe_place<R: Run>(out: &mut String, side: &mut Side<'_, R>) {
    let index = side.machine.current_cpu();
    let mut pc = side.machine.state.board.pc(index);
    let mut bytes = Vec::new();
    for i in 0..3 * LONGEST {
        let Some(at) = side.machine.state.board.translate(index, &side.machine.mem, pc + i) else { break };
        let mut byte = [0];
        side.machine.mem.read(at, &mut byte);
        bytes.push(byte[0]);
    }
    let core = side.machine.state.board.core(index);
    let _ = writeln!(out, "CPU {index}, linear {pc:#x}:");
    let mut bytes = &bytes[..];
    for _ in 0..3 {
        let Some(line) = disassemble(&core, pc, bytes).filter(|l| l.len <= bytes.len()) else { break };
        let (these, rest) = bytes.split_at(line.len);
        let _ = writeln!(out, "  {pc:#x}  {these:02x?} {}", line.text.as_deref().unwrap_or("?"));
        (pc, bytes) = (pc + line.len as u64, rest);
    }
    for r in core.registers() {
        if let Some(v) = core.get(r.name).filter(|v| *v != 0) {
            let _ = write!(out, " {}={v:x}", r.name);
        }
    }
    let _ = writeln!(out);
}

fn describe_difference<R: Run>(out: &mut String, a: &mut Side<'_, R>, b: &mut Side<'_, R>) {
    let _ = writeln!(out, "after it (reference, subject):");
    if a.ended != b.ended {
        let _ = writeln!(out, "  ended: {:?} {:?}", a.ended, b.ended);
    }
    if a.icount() != b.icount() {
        let _ = writeln!(out, "  icount: {} {}", a.icount(), b.icount());
    }
    for n in 0..a.machine.state.board.cpus() {
        let (x, y) = (a.machine.state.board.core(n), b.machine.state.board.core(n));
        for r in x.registers() {
            if let (Some(v), Some(w)) = (x.get(r.name), y.get(r.name))
                && v != w
            {
                let _ = writeln!(out, "  CPU {n} {}: {v:#x} {w:#x}", r.name);
            }
        }
    }
    if a.outputs != b.outputs {
        let same = a.outputs.iter().zip(&b.outputs).take_while(|(x, y)| x == y).count();
        let _ = writeln!(out, "  output {same}: {:?} {:?}", a.outputs.get(same), b.outputs.get(same));
    }
    if a.hits != b.hits {
        let same = a.hits.iter().zip(&b.hits).take_while(|(x, y)| x == y).count();
        let _ = writeln!(out, "  hit {same}: {:?} {:?}", a.hits.get(same), b.hits.get(same));
    }
    if a.state() != b.state() {
        let value = |s: &Side<'_, R>| serde_json::to_value(&s.machine.state).unwrap_or_default();
        tree(out, "", &value(a), &value(b));
    }
    let (x, y) = (a.machine.mem.bytes(), b.machine.mem.bytes());
    let differ: Vec<usize> = (0..x.len()).filter(|&i| x[i] != y[i]).take(16).collect();
    for i in differ {
        let _ = writeln!(out, "  memory {i:#x}: {:#04x} {:#04x}", x[i], y[i]);
    }
}

/// Where two states differ, as paths.
fn tree(out: &mut String, path: &str, a: &serde_json::Value, b: &serde_json::Value) {
    use serde_json::Value as V;
    match (a, b) {
        (V::Object(x), V::Object(y)) => {
            for (k, v) in x {
                tree(out, &format!("{path}.{k}"), v, y.get(k).unwrap_or(&V::Null));
            }
        }
        (V::Array(x), V::Array(y)) if x.len() == y.len() => {
            for (i, (v, w)) in x.iter().zip(y).enumerate() {
                tree(out, &format!("{path}[{i}]"), v, w);
            }
        }
        _ if a != b => {
            let _ = writeln!(out, "  state{path}: {a} {b}");
        }
        _ => {}
    }
}
