//! From a configuration to a machine at power-on.

use super::Machine;
use super::config::{BuildError, Images, MachineConfig, RtcBase, RtcClock};
use super::loader;
use super::pc::{self, Pc, PcConfig};
use dejavm_interp::x86::Interpreter;

/// A PC.
///
/// # Errors
/// [`BuildError`], naming the option or file.
pub fn pc(config: &MachineConfig, images: &Images) -> Result<Machine<Pc>, BuildError> {
    config.check().map_err(BuildError::Config)?;
    let Some(model) = config.model() else {
        return Err(BuildError::Config(format!("unknown CPU model '{}'", config.cpu)));
    };
    let boot = images.boot(config);
    let bios = boot.bios.as_ref().map_or(0, |b| b.bytes.len() as u64);
    let cpus = config.smp as usize;
    let loaded = loader::load(&boot, config.memory, cpus, model.long_mode())
        .map_err(|e| BuildError::Config(e.to_string()))?;
    let rtc = match (config.rtc.base, config.rtc.clock) {
        (RtcBase::Date(seconds), RtcClock::Vm) => pc::RtcBase::Fixed(seconds as i64),
        _ => pc::RtcBase::Host,
    };
    let pc_config =
        PcConfig { model, cpus, memory: config.memory, seed: config.seed, rtc, start: loaded.start, bios };
    let mut mem = pc::memory(config.memory, bios)?;
    for (addr, bytes) in &loaded.images {
        if !mem.load(*addr, bytes) {
            return Err(BuildError::Config(format!("an image at {addr:#x} lies outside the guest's memory")));
        }
    }
    let board = Pc::new(&pc_config);
    Ok(Machine::new(board, mem, Box::new(Interpreter::new()), config.shift, loaded.images))
}
