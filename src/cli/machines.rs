//! The one place that knows which board is which type.

use crate::machine::Machine;
use crate::machine::board::Board;
use crate::machine::config::{Arch, BuildError, Images, Kind, MachineConfig, RtcBase, RtcClock};
use crate::machine::loader;
use crate::machine::pc::{self, Pc, PcConfig};
use crate::machine::toy::Toy;
use dejavm_interp::x86::interpreter::Interpreter;
use dejavm_interp::x86::model::Model;

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
        Kind::Pc => Ok(visit.visit(pc(config, images)?)),
    }
}

/// A `pc` at power-on.
fn pc(config: &MachineConfig, images: &Images) -> Result<Machine<Pc>, BuildError> {
    let wrong = |e: &dyn std::fmt::Display| BuildError::Config(e.to_string());
    let model = config.model().ok_or_else(|| wrong(&"unknown CPU model"))?;
    let long_mode =
        config.arch == Arch::X86_64 && matches!(model, Model::Qemu64 | Model::Nehalem | Model::Max);
    let cpus = config.smp as usize;
    let boot = images.boot(config);
    let loaded = loader::load(&boot, config.memory, cpus, long_mode).map_err(|e| wrong(&e))?;
    let bios = boot.bios.map_or(0, |b| b.bytes.len() as u64);
    let mut mem = pc::memory(config.memory, bios)?;
    for (addr, bytes) in &loaded.images {
        if !mem.load(*addr, bytes) {
            return Err(wrong(&format!("{} bytes at {addr:#x} do not fit into memory", bytes.len())));
        }
    }
    let rtc = match (config.rtc.clock, config.rtc.base) {
        (RtcClock::Vm, RtcBase::Date(date)) => {
            pc::RtcBase::Fixed(i64::try_from(date).map_err(|_| wrong(&"date out of range"))?)
        }
        _ => pc::RtcBase::Host,
    };
    let board =
        PcConfig { model, cpus, memory: config.memory, seed: config.seed, rtc, start: loaded.start, bios };
    Ok(Machine::new(Pc::new(&board), mem, Box::new(Interpreter::new()), config.shift, loaded.images))
}
