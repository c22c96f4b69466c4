//! The one place that knows which board is which type.

use crate::machine::Machine;
use crate::machine::board::Board;
use crate::machine::build;
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

/// Builds the machine and visits it.
///
/// # Errors
/// [`BuildError`] when it cannot be built.
pub fn with_machine<V: Visit>(
    config: &MachineConfig,
    images: Images,
    visit: V,
) -> Result<V::Out, BuildError> {
    match config.machine {
        Kind::Toy => with(Toy::build, config, images, visit),
        Kind::Pc => with(build::pc, config, images, visit),
    }
}

/// What makes machines like those of `make`, with the named engine.
///
/// # Errors
/// When there is no such engine.
pub fn with_engine<B: Board>(make: &Make<B>, engine: &str) -> Result<Make<B>, String> {
    match engine {
        "interp" => Ok(make.clone()),
        "jit" => Err("engine jit: not available in this version".to_owned()),
        other => Err(format!("unknown engine '{other}' (interp)")),
    }
}

fn with<B: Board, V: Visit>(
    build: fn(&MachineConfig, &Images) -> Result<Machine<B>, BuildError>,
    config: &MachineConfig,
    images: Images,
    visit: V,
) -> Result<V::Out, BuildError> {
    let config = config.clone();
    let make: Make<B> = Arc::new(move || build(&config, &images));
    Ok(visit.visit(make()?, make))
}
