//! The one place that knows which board is which type.

use crate::machine::Machine;
use crate::machine::board::Board;
use crate::machine::build::{self, EngineKind};
use crate::machine::config::{BuildError, Images, Kind, MachineConfig};
use crate::machine::toy::Toy;
pub use crate::timeline::Make;
use std::sync::Arc;

/// Something to do with a machine of any board.
pub trait Visit {
    /// What comes of it.
    type Out;
    /// Does it, with a machine at power-on.
    fn visit<B: Board>(self, machine: Machine<B>, make: Make<B>) -> Self::Out;
}

/// Something to do with machines of any board, on engines of its choice.
pub trait VisitEngines {
    /// What comes of it.
    type Out;
    /// Does it; `make` gives what makes machines at power-on that run on an engine.
    fn visit<B: Board>(self, make: &dyn Fn(EngineKind) -> Make<B>) -> Self::Out;
}

/// Builds the machine, to run on `engine`, and visits it.
///
/// # Errors
/// [`BuildError`] when it cannot be built.
pub fn with_machine<V: Visit>(
    config: &MachineConfig,
    images: Images,
    engine: EngineKind,
    visit: V,
) -> Result<V::Out, BuildError> {
    with_engines(config, images, OnOne { engine, visit })
}

/// Visits what makes machines.
pub fn with_engines<V: VisitEngines>(config: &MachineConfig, images: Images, visit: V) -> V::Out {
    match config.machine {
        Kind::Toy => visit.visit(&maker(config, images, |config, images, _| Toy::build(config, images))),
        Kind::Pc => visit.visit(&maker(config, images, build::pc)),
        Kind::Virt(_) => visit.visit(&maker(config, images, build::virt)),
    }
}

type Build<B> = fn(&MachineConfig, &Images, EngineKind) -> Result<Machine<B>, BuildError>;

fn maker<B: Board>(
    config: &MachineConfig,
    images: Images,
    build: Build<B>,
) -> impl Fn(EngineKind) -> Make<B> + use<B> {
    let parts = Arc::new((config.clone(), images));
    move |engine| {
        let parts = parts.clone();
        Arc::new(move || build(&parts.0, &parts.1, engine))
    }
}

/// A visit of machines that all run on one engine.
struct OnOne<V> {
    engine: EngineKind,
    visit: V,
}

impl<V: Visit> VisitEngines for OnOne<V> {
    type Out = Result<V::Out, BuildError>;

    fn visit<B: Board>(self, make: &dyn Fn(EngineKind) -> Make<B>) -> Self::Out {
        let make = make(self.engine);
        Ok(self.visit.visit(make()?, make))
    }
}
