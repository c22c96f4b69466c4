//! From a configuration to machines, for whoever does something with them.

use crate::machine::Machine;
use crate::machine::any::Any;
use crate::machine::board::Board;
use crate::machine::build::{self, EngineKind};
use crate::machine::config::{BuildError, Images, MachineConfig};
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
    let parts = Arc::new((config.clone(), images));
    visit.visit(&|engine| -> Make<Any> {
        let parts = parts.clone();
        Arc::new(move || build::any(&parts.0, &parts.1, engine))
    })
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
