//! Engines, and one engine that does what no guest may notice: it runs in pieces, forgets its
//! caches, and hands over to another engine, all at steps that a seed gives.

use dejavm::machine::Machine;
use dejavm::machine::board::Board;
use dejavm::machine::build::{self, EngineKind};
use dejavm::machine::config::{BuildError, Images, MachineConfig};
use dejavm::machine::pc::Pc;
use dejavm::machine::virt::Virt;
use dejavm_interp::aarch64::{self, A64Bus};
use dejavm_interp::engine::{Clock, Control, Engine, Exit, Stop};
use dejavm_interp::mem::Memory;
use dejavm_interp::probe::Probes;
use dejavm_interp::tlb::Size;
use dejavm_interp::x86::{self, X86Bus};
use dejavm_jit::engine::Settings;
use dejavm_oracle::rng::Rng;

/// A board whose engines are tortured.
pub trait Victim: Board {
    /// An engine.
    fn engine(choice: Choice, tlb: Size) -> Box<Self::Engine>;
    /// Engines that take turns as one.
    fn together(engines: Perturbed<Self>) -> Box<Self::Engine>;
    /// A machine with the interpreter.
    ///
    /// # Errors
    /// The configuration is none of this board.
    fn build(config: &MachineConfig, images: &Images) -> Result<Machine<Self>, BuildError>;
}

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
            2..=4 => Size { ways: 1 << rng.below(5), spaces: 1 + rng.below(3) as usize },
            5 => Size { spaces: 1, ..usual },
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
        Self { engines, piece: self.piece.max(500), switch: self.switch.max(100_000), ..self.clone() }
    }

    /// The engine.
    pub fn engine<B: Victim>(&self) -> Box<B::Engine> {
        B::together(Perturbed {
            engines: self.engines.iter().map(|c| B::engine(*c, self.tlb)).collect(),
            current: 0,
            profile: self.clone(),
            span: u64::MAX,
            cuts: Vec::new(),
        })
    }
}

/// Engines that take turns.
pub struct Perturbed<B: Board> {
    engines: Vec<Box<B::Engine>>,
    current: usize,
    profile: Profile,
    /// What `cuts` are for: steps from `span * SPAN` on.
    span: u64,
    cuts: Vec<u64>,
}

impl<B: Board> Perturbed<B> {
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

impl<B: Board> Control for Perturbed<B> {
    fn flush(&mut self) {
        self.engines[self.current].flush();
    }

    fn probes(&mut self) -> &mut Probes {
        self.engines[self.current].probes()
    }
}

/// Injects a fault into a CPU's registers or memory.
fn inject(fault: Fault, registers: &mut [u64], mem: &mut Memory) {
    match fault {
        Fault::Register(r, bit) => registers[usize::from(r)] ^= 1 << bit,
        Fault::Memory(addr, bit) => {
            let mut byte = [0];
            mem.read(addr, &mut byte);
            mem.write(addr, &[byte[0] ^ 1 << bit]);
        }
    }
}

/// The engines of an architecture, on a board that has it.
macro_rules! victim {
    ($board:ty, $arch:ident, $bus:ident, $registers:ident, $build:path) => {
        impl Victim for $board {
            fn engine(choice: Choice, tlb: Size) -> Box<Self::Engine> {
                match choice {
                    Choice::Interp => {
                        let mut interp = $arch::Interpreter::new();
                        interp.tlb_size = tlb;
                        Box::new(interp)
                    }
                    Choice::Jit(settings) => {
                        let mut jit =
                            dejavm_jit::$arch::Jit::with(dejavm_jit::$arch::Compiled::new(settings));
                        jit.tlb_size = tlb;
                        Box::new(jit)
                    }
                }
            }

            fn together(engines: Perturbed<Self>) -> Box<Self::Engine> {
                Box::new(engines)
            }

            fn build(config: &MachineConfig, images: &Images) -> Result<Machine<Self>, BuildError> {
                $build(config, images, EngineKind::Interp)
            }
        }

        impl Engine<$arch::Cpu, dyn $bus + '_> for Perturbed<$board> {
            fn run(
                &mut self,
                cpu: &mut $arch::Cpu,
                index: usize,
                mem: &mut Memory,
                bus: &mut (dyn $bus + '_),
                clock: Clock,
                budget: u64,
            ) -> Exit {
                let mut done = 0;
                loop {
                    let at = clock.icount + done;
                    let mut cut = self.next_cut(at);
                    let fault = self.profile.fault.filter(|f| f.0 > at);
                    if let Some((fault, _)) = fault {
                        cut = cut.min(fault);
                    }
                    let piece = (budget - done).min(cut - at);
                    let now = Clock { icount: at, ..clock };
                    let exit = self.engines[self.current].run(cpu, index, mem, bus, now, piece);
                    done += exit.steps;
                    if let Some((_, fault)) = fault.filter(|f| f.0 == at + exit.steps) {
                        inject(fault, &mut cpu.$registers, mem);
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
    };
}

victim!(Pc, x86, X86Bus, regs, build::pc);
victim!(Virt, aarch64, A64Bus, x, build::virt);
