//! A board of any kind as one type, so that everything above boards is compiled once.

use super::board::{Board, Core};
use super::events::TimerId;
use super::pc::Pc;
use super::toy::Toy;
use super::virt::Virt;
use crate::devices::World;
use crate::replay::{Input, Source};
use dejavm_interp::engine::{Clock, CodeSink, Control, Exit};
use dejavm_interp::mem::{Memory, PhysAddr};
use dejavm_interp::probe::Probes;
use serde::{Deserializer, Serialize, Serializer};

/// A board of any kind. As data it is the board alone: what kind it is, the machine's configuration tells.
#[derive(Clone, Debug)]
pub enum Any {
    /// A PC.
    Pc(Box<Pc>),
    /// An AArch64 `virt`.
    Virt(Box<Virt>),
    /// The board that tests the recorder.
    Toy(Box<Toy>),
}

/// The engine of a board of any kind.
pub enum AnyEngine {
    /// A PC's.
    Pc(Box<<Pc as Board>::Engine>),
    /// A `virt`'s.
    Virt(Box<<Virt as Board>::Engine>),
    /// The toy's.
    Toy(Box<<Toy as Board>::Engine>),
}

/// The same expression for the board, or the engine, of each kind.
macro_rules! each {
    ($any:ident in $self:expr => $e:expr) => {
        match $self {
            Self::Pc($any) => $e,
            Self::Virt($any) => $e,
            Self::Toy($any) => $e,
        }
    };
}

impl Serialize for Any {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        each!(board in self => board.serialize(s))
    }
}

impl Control for AnyEngine {
    fn flush(&mut self) {
        each!(engine in self => engine.flush());
    }

    fn probes(&mut self) -> &mut Probes {
        each!(engine in self => engine.probes())
    }

    fn count(&mut self) {
        each!(engine in self => engine.count());
    }

    fn tell_code(&mut self, sink: CodeSink) {
        each!(engine in self => engine.tell_code(sink));
    }

    fn counters(&self) -> Vec<(&'static str, u64)> {
        each!(engine in self => engine.counters())
    }
}

impl Board for Any {
    type Engine = AnyEngine;

    fn read<'de, D: Deserializer<'de>>(&self, from: D) -> Result<Self, D::Error> {
        Ok(match self {
            Self::Pc(board) => Self::Pc(Box::new(board.read(from)?)),
            Self::Virt(board) => Self::Virt(Box::new(board.read(from)?)),
            Self::Toy(board) => Self::Toy(Box::new(board.read(from)?)),
        })
    }

    fn cpus(&self) -> usize {
        each!(board in self => Board::cpus(board.as_ref()))
    }

    fn halted(&self, index: usize) -> bool {
        each!(board in self => board.halted(index))
    }

    fn run(
        &mut self,
        engine: &mut AnyEngine,
        index: usize,
        mem: &mut Memory,
        source: &mut dyn Source,
        clock: Clock,
        budget: u64,
    ) -> Exit {
        match (self, engine) {
            (Self::Pc(board), AnyEngine::Pc(engine)) => {
                board.run(&mut **engine, index, mem, source, clock, budget)
            }
            (Self::Virt(board), AnyEngine::Virt(engine)) => {
                board.run(&mut **engine, index, mem, source, clock, budget)
            }
            (Self::Toy(board), AnyEngine::Toy(engine)) => {
                board.run(&mut **engine, index, mem, source, clock, budget)
            }
            _ => unreachable!("a machine is made of a board and an engine of its kind"),
        }
    }

    fn timer(&mut self, timer: TimerId, mem: &mut Memory, source: &mut dyn Source, clock: Clock) {
        each!(board in self => board.timer(timer, mem, source, clock));
    }

    fn input(&mut self, input: &Input, mem: &mut Memory, source: &mut dyn Source, clock: Clock) {
        each!(board in self => board.input(input, mem, source, clock));
    }

    fn serial_room(&self, port: u8) -> usize {
        each!(board in self => board.serial_room(port))
    }

    fn core(&mut self, index: usize) -> Core<'_> {
        each!(board in self => board.core(index))
    }

    fn device_register(&self, index: usize, name: &str) -> Option<u128> {
        each!(board in self => board.device_register(index, name))
    }

    fn translate(&self, index: usize, mem: &Memory, addr: u64) -> Option<PhysAddr> {
        each!(board in self => board.translate(index, mem, addr))
    }

    fn pc(&self, index: usize) -> u64 {
        each!(board in self => board.pc(index))
    }

    fn remaps(&self, addr: PhysAddr) -> bool {
        each!(board in self => board.remaps(addr))
    }

    fn restored(&self, mem: &mut Memory) {
        each!(board in self => board.restored(mem));
    }

    fn world(&mut self) -> &mut World {
        each!(board in self => board.world())
    }

    fn reset(&mut self, mem: &mut Memory) {
        each!(board in self => board.reset(mem));
    }
}
