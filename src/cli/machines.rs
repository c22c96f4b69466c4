//! From a configuration to machines, for whoever does something with them.

use crate::machine::any::Any;
use crate::machine::build::{self, EngineKind};
use crate::machine::config::{Images, MachineConfig};
pub use crate::timeline::Make;
use std::sync::Arc;

/// For each engine, what makes machines at power-on that run on it.
pub fn maker(config: &MachineConfig, images: Images) -> impl Fn(EngineKind) -> Make<Any> + use<> {
    let parts = Arc::new((config.clone(), images));
    move |engine| {
        let parts = parts.clone();
        Arc::new(move || build::any(&parts.0, &parts.1, engine))
    }
}
