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
    match config.machine {
        Kind::Toy => with(Toy::build, config, images, visit),
        Kind::Pc => with(move |c, i| build::pc(c, i, engine), config, images, visit),
    }
}

fn with<B: Board, V: Visit>(
    build: impl Fn(&MachineConfig, &Images) -> Result<Machine<B>, BuildError> + Send + Sync + 'static,
    config: &MachineConfig,
    images: Images,
    visit: V,
) -> Result<V::Out, BuildError> {
    let config = config.clone();
    let make: Make<B> = Arc::new(move || build(&config, &images));
    Ok(visit.visit(make()?, make))
}
