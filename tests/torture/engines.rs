//! Engines, and one engine that does what no guest may notice: it runs in pieces, forgets its
//! caches, and hands over to another engine, all at steps that a seed gives.

use dejavm::machine::board::Board;
use dejavm::machine::pc::Pc;
use dejavm::machine::virt::Virt;
use dejavm_interp::aarch64::{self, A64, A64Bus};
use dejavm_interp::driver::{Driver, Interpreted};
use dejavm_interp::engine::{Clock, Control, Engine, Exit, Stop};
use dejavm_interp::guest::Guest;
use dejavm_interp::mem::Memory;
use dejavm_interp::probe::Probes;
use dejavm_interp::tlb::Size;
use dejavm_interp::x86::{self, X86, X86Bus};
use dejavm_jit::engine::Settings;
use dejavm_oracle::rng::Rng;

/// A board's engine.
pub type PcEngine = <Pc as Board>::Engine;
pub type VirtEngine = <Virt as Board>::Engine;

/// Steps that one list of cuts covers.
const SPAN: u64 = 4096;

/// What a side of a comparison runs on.
#[derive(Clone, Debug)]
pub struct Profile {
    /// For the cuts and what is done at them.
    pub seed: u64,
    /// Engines to switch between.
    pub engines: Vec<Choice>,
    /// How much TLBs hold.
    pub tlb: Size,
    /// Mean steps of a piece; 0 for no pieces.
    pub piece: u64,
    /// Mean steps between flushes of the caches; 0 for none.
    pub flush: u64,
    /// Mean steps between switches of the engine; 0 for none.
    pub switch: u64,
    /// Snapshots are taken and gone back to.
    pub restore: bool,
    /// What a debugger looks for meanwhile.
    pub looks: Looks,
    /// A fault to inject, to see that it is found.
    pub fault: Option<(u64, Fault)>,
}

/// An engine with its settings.
#[derive(Clone, Copy, Debug)]
pub enum Choice {
    Interp,
    Jit(Settings),
}

/// What a debugger looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looks {
    /// Nothing.
    Nothing,
    /// All kinds of things, of which only the last is kept.
    Last,
    /// All kinds of things; both sides have to see the same.
    All,
}

/// What goes wrong on purpose.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// A bit of a general register.
    Register(u8, u8),
    /// A bit of memory, at a physical address.
    Memory(u64, u8),
}

impl Profile {
    /// The interpreter and nothing else: what everything is compared with.
    pub fn reference() -> Self {
        let engines = vec![Choice::Interp];
        let (looks, tlb) = (Looks::Nothing, Size::default());
        Self { seed: 0, engines, tlb, piece: 0, flush: 0, switch: 0, restore: false, looks, fault: None }
    }

    /// Random perturbations.
    pub fn random(seed: u64) -> Self {
        let mut rng = Rng::new(seed, 1);
        let jit = |rng: &mut Rng| {
            Choice::Jit(Settings {
                threshold: rng.pick(&[0, 0, 1, 3, 16]),
                most: rng.pick(&[1, 2, 3, 7, 64, usize::MAX, usize::MAX]),
                memory: rng.pick(&[96 << 10, 256 << 10, 64 << 20]),
            })
        };
        let engines = match rng.below(10) {
            0 => vec![Choice::Interp],
            1..=6 => vec![jit(&mut rng)],
            _ => vec![jit(&mut rng), Choice::Interp, jit(&mut rng)],
        };
        let looks = rng.pick(&[Looks::Nothing, Looks::Nothing, Looks::Nothing, Looks::Last, Looks::All]);
        let usual = Size::default();
        let tlb = match rng.below(8) {
            0 => Size { ways: 1, spaces: 1 },
            1 => Size { ways: 1, ..usual },
            2 => Size { ways: 1 << rng.below(5), spaces: 1 + rng.below(3) as usize },
            3 => Size { spaces: 1, ..usual },
            _ => usual,
        };
        Self {
            seed,
            engines,
            tlb,
            looks,
            piece: rng.pick(&[0, 0, 1, 2, 5, 30, 300, 3000]),
            flush: rng.pick(&[0, 0, 500, 5000, 50_000]),
            switch: rng.pick(&[1000, 10_000, 100_000]),
            // What is seen twice is no difference.
            restore: looks != Looks::All && rng.percent(40),
            fault: None,
        }
    }

    /// The same with the interpreter too, and switches between the engines.
    pub fn switching(&self) -> Self {
        let mut engines = self.engines.clone();
        engines.push(Choice::Interp);
        engines.push(Choice::Jit(Settings { threshold: 1, ..Settings::default() }));
        Self { engines, piece: self.piece.max(500), switch: 100_000, ..self.clone() }
    }

    /// The engine of a PC.
    pub fn engine(&self) -> Box<PcEngine> {
        Box::new(self.perturbed(|choice| -> Box<PcEngine> {
            match choice {
                Choice::Interp => Box::new(self.driver(Interpreted::<X86>::default())),
                Choice::Jit(settings) => Box::new(self.driver(dejavm_jit::x86::Compiled::new(settings))),
            }
        }))
    }

    /// The engine of a `virt`.
    #[allow(dead_code, reason = "guests of the torture are PCs")]
    pub fn virt_engine(&self) -> Box<VirtEngine> {
        Box::new(self.perturbed(|choice| -> Box<VirtEngine> {
            match choice {
                Choice::Interp => Box::new(self.driver(Interpreted::<A64>::default())),
                Choice::Jit(settings) => Box::new(self.driver(dejavm_jit::aarch64::Compiled::new(settings))),
            }
        }))
    }

    /// An engine that runs blocks in this way.
    fn driver<G: Guest, B>(&self, blocks: B) -> Driver<G, B> {
        let mut driver = Driver::with(blocks);
        driver.tlb_size = self.tlb;
        driver
    }

    fn perturbed<E: ?Sized>(&self, make: impl Fn(Choice) -> Box<E>) -> Perturbed<E> {
        Perturbed {
            engines: self.engines.iter().map(|&choice| make(choice)).collect(),
            current: 0,
            profile: self.clone(),
            span: u64::MAX,
            cuts: Vec::new(),
        }
    }
}

/// Engines that take turns.
struct Perturbed<E: ?Sized> {
    engines: Vec<Box<E>>,
    current: usize,
    profile: Profile,
    /// What `cuts` are for: steps from `span * SPAN` on.
    span: u64,
    cuts: Vec<u64>,
}

impl<E: Control + ?Sized> Perturbed<E> {
    /// The first cut after a step. Depends on the step alone, so that going back changes nothing.
    fn next_cut(&mut self, at: u64) -> u64 {
        if self.profile.piece == 0 {
            return u64::MAX;
        }
        let span = at / SPAN;
        if span != self.span {
            self.span = span;
            self.cuts.clear();
            let mut rng = Rng::new(self.profile.seed, 2 + span);
            let mut cut = span * SPAN;
            while cut < (span + 1) * SPAN {
                cut += 1 + rng.below(2 * self.profile.piece - 1);
                self.cuts.push(cut.min((span + 1) * SPAN));
            }
        }
        let next = self.cuts.partition_point(|c| *c <= at);
        self.cuts[next]
    }

    /// Does what the seed says for a cut.
    fn cut(&mut self, at: u64) {
        let mut rng = Rng::new(self.profile.seed ^ 0x5555, at);
        let piece = self.profile.piece;
        let mut now = |mean: u64| mean > 0 && rng.below(mean.max(piece)) < piece;
        if now(self.profile.flush) {
            self.engines[self.current].flush();
        }
        if self.engines.len() > 1 && now(self.profile.switch) {
            let next = (self.current + 1) % self.engines.len();
            let mut probes = std::mem::take(self.engines[self.current].probes());
            std::mem::swap(self.engines[next].probes(), &mut probes);
            // What it cached is of another time.
            self.engines[next].flush();
            self.current = next;
        }
    }
}

impl<E: Control + ?Sized> Control for Perturbed<E> {
    fn flush(&mut self) {
        self.engines[self.current].flush();
    }

    fn probes(&mut self) -> &mut Probes {
        self.engines[self.current].probes()
    }
}

impl<E: Control + ?Sized> Perturbed<E> {
    /// Runs in pieces. `register` finds a general register, for faults.
    #[allow(clippy::too_many_arguments, reason = "those of an engine, and one")]
    fn pieces<C, B: ?Sized>(
        &mut self,
        cpu: &mut C,
        index: usize,
        mem: &mut Memory,
        bus: &mut B,
        clock: Clock,
        budget: u64,
        register: fn(&mut C, u8) -> &mut u64,
    ) -> Exit
    where
        E: Engine<C, B>,
    {
        let mut done = 0;
        loop {
            let at = clock.icount + done;
            let mut cut = self.next_cut(at);
            if let Some((fault, _)) = self.profile.fault.filter(|f| f.0 > at) {
                cut = cut.min(fault);
            }
            let piece = (budget - done).min(cut - at);
            let now = Clock { icount: at, ..clock };
            let exit = self.engines[self.current].run(cpu, index, mem, bus, now, piece);
            done += exit.steps;
            if let Some((_, fault)) = self.profile.fault.filter(|f| f.0 == at + exit.steps && exit.steps > 0)
            {
                match fault {
                    Fault::Register(r, bit) => *register(cpu, r) ^= 1 << bit,
                    Fault::Memory(addr, bit) => {
                        let mut byte = [0];
                        mem.read(addr, &mut byte);
                        mem.write(addr, &[byte[0] ^ 1 << bit]);
                    }
                }
            }
            if exit.stop != Stop::Budget {
                return Exit { steps: done, stop: exit.stop };
            }
            if clock.icount + done == cut {
                self.cut(cut);
            }
            if done == budget {
                return Exit { steps: done, stop: Stop::Budget };
            }
        }
    }
}

impl Engine<x86::Cpu, dyn X86Bus + '_> for Perturbed<PcEngine> {
    fn run(
        &mut self,
        cpu: &mut x86::Cpu,
        index: usize,
        mem: &mut Memory,
        bus: &mut (dyn X86Bus + '_),
        clock: Clock,
        budget: u64,
    ) -> Exit {
        self.pieces(cpu, index, mem, bus, clock, budget, |cpu, r| &mut cpu.regs[usize::from(r)])
    }
}

impl Engine<aarch64::Cpu, dyn A64Bus + '_> for Perturbed<VirtEngine> {
    fn run(
        &mut self,
        cpu: &mut aarch64::Cpu,
        index: usize,
        mem: &mut Memory,
        bus: &mut (dyn A64Bus + '_),
        clock: Clock,
        budget: u64,
    ) -> Exit {
        self.pieces(cpu, index, mem, bus, clock, budget, |cpu, r| &mut cpu.x[usize::from(r)])
    }
}
