//! The one place that knows which board is which type.

use crate::machine::Machine;
use crate::machine::board::Board;
use crate::machine::build;
use crate::machine::config::{BuildError, Images, Kind, MachineConfig};
use crate::machine::toy::Toy;

/// Something to do with a machine of any board.
pub trait Visit {
    /// What comes of it.
    type Out;
    /// Does it.
    fn visit<B: Board>(self, machine: Machine<B>) -> Self::Out;
}

/// Builds the machine and visits it.
///
/// # Errors
/// [`BuildError`] when it cannot be built.
pub fn with_machine<V: Visit>(
    config: &MachineConfig,
    images: &Images,
    visit: V,
) -> Result<V::Out, BuildError> {
    match config.machine {
        Kind::Toy => Ok(visit.visit(Toy::build(config, images)?)),
        Kind::Pc => Ok(visit.visit(build::pc(config, images)?)),
    }
}
