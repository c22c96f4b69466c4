//! From a configuration to a machine at power-on.

use super::Machine;
use super::any::{Any, AnyEngine};
use super::board::Board;
use super::config::{BuildError, Images, Kind, MachineConfig, RtcBase, RtcClock};
use super::loader::{self, arm64};
use super::pc::{self, Pc, PcConfig};
use super::toy::Toy;
use super::virt::{self, GicVersion, Virt, VirtConfig, fdt, lines};
use dejavm_interp::mem::Memory;
use dejavm_interp::{aarch64, x86};

/// What runs a machine's CPUs. No part of a configuration: the guest cannot tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EngineKind {
    /// The interpreter.
    Interp,
    /// The block compiler.
    #[default]
    Jit,
}

/// A machine of any kind.
///
/// # Errors
/// [`BuildError`], naming the option or file.
pub fn any(config: &MachineConfig, images: &Images, engine: EngineKind) -> Result<Machine<Any>, BuildError> {
    Ok(match config.machine {
        Kind::Pc => pc(config, images, engine)?.into_any(Any::Pc, AnyEngine::Pc),
        Kind::Virt(_) => virt(config, images, engine)?.into_any(Any::Virt, AnyEngine::Virt),
        Kind::Toy => Toy::build(config, images)?.into_any(Any::Toy, AnyEngine::Toy),
    })
}

/// A PC.
///
/// # Errors
/// [`BuildError`], naming the option or file.
pub fn pc(config: &MachineConfig, images: &Images, engine: EngineKind) -> Result<Machine<Pc>, BuildError> {
    config.check().map_err(BuildError::Config)?;
    let Some(model) = config.model() else {
        return Err(BuildError::Config(format!("unknown CPU model '{}'", config.cpu)));
    };
    let boot = images.boot(config);
    let bios = boot.bios.as_ref().map_or(0, |b| b.bytes.len() as u64);
    let cpus = config.smp as usize;
    let loaded = loader::load(&boot, config.memory, cpus, model.long_mode())
        .map_err(|e| BuildError::Config(e.to_string()))?;
    let rtc = rtc_base(config);
    let pc_config =
        PcConfig { model, cpus, memory: config.memory, seed: config.seed, rtc, start: loaded.start, bios };
    let mut mem = pc::memory(config.memory, bios)?;
    load(&mut mem, &loaded.images)?;
    let board = Pc::new(&pc_config);
    let engine: Box<<Pc as Board>::Engine> = match engine {
        EngineKind::Interp => x86::engine(),
        EngineKind::Jit => dejavm_jit::x86_engine(),
    };
    Ok(Machine::new(board, mem, engine, config.shift, loaded.images))
}

/// What the real-time clock counts from.
fn rtc_base(config: &MachineConfig) -> pc::RtcBase {
    match (config.rtc.base, config.rtc.clock) {
        (RtcBase::Date(seconds), RtcClock::Vm) => pc::RtcBase::Fixed(seconds as i64),
        _ => pc::RtcBase::Host,
    }
}

fn load(mem: &mut Memory, images: &[(u64, Vec<u8>)]) -> Result<(), BuildError> {
    for (addr, bytes) in images {
        if !mem.load(*addr, bytes) {
            return Err(BuildError::Config(format!("an image at {addr:#x} lies outside the guest's memory")));
        }
    }
    Ok(())
}

/// A `virt`.
///
/// # Errors
/// [`BuildError`], naming the option or file.
pub fn virt(config: &MachineConfig, images: &Images, kind: EngineKind) -> Result<Machine<Virt>, BuildError> {
    config.check().map_err(BuildError::Config)?;
    let (Kind::Virt(options), Some(model)) = (config.machine, config.a64_model()) else {
        return Err(BuildError::Config(format!("a machine '{}' is no virt", config.machine)));
    };
    let boot = images.boot(config);
    let (flash, flash_size) = lines::FLASH[0];
    let loaded = arm64::load(&boot, lines::RAM, config.memory, flash, flash_size)
        .map_err(|e| BuildError::Config(e.to_string()))?;
    let virt_config = VirtConfig {
        model,
        cpus: config.smp as usize,
        memory: config.memory,
        seed: config.seed,
        rtc: rtc_base(config),
        gic: if options.gic_version == 2 { GicVersion::V2 } else { GicVersion::V3 },
        entry: loaded.entry,
        x0: loaded.x0,
    };
    let bootargs = boot.bios.is_none().then(|| config.append.clone());
    let chosen = fdt::Chosen { bootargs, initrd: loaded.initrd };
    let tree = fdt::tree(&virt_config, &chosen)
        .map_err(|e| BuildError::Config(format!("the device tree cannot be written: {e}")))?;
    let mut images = loaded.images;
    images.push((loaded.dtb, tree));
    let mut mem = virt::memory(config.memory)?;
    load(&mut mem, &images)?;
    let board = Virt::new(&virt_config);
    let engine: Box<<Virt as Board>::Engine> = match kind {
        EngineKind::Interp => aarch64::engine(),
        EngineKind::Jit => dejavm_jit::a64_engine(),
    };
    Ok(Machine::new(board, mem, engine, config.shift, images))
}

#[cfg(test)]
mod tests {
    use super::super::Pause;
    use super::super::config::{Arch, DEFAULT_SHIFT, Image, Kind, LoadedImage, Role, Rtc};
    use super::*;
    use crate::devices::Request;
    use crate::replay::Source;

    struct NoSource;

    impl Source for NoSource {
        fn host_clock(&mut self, _icount: u64) -> u64 {
            0
        }
    }

    fn demo(cpus: u32, engine: EngineKind) -> Machine<Pc> {
        let bytes = include_bytes!("../../guests/demo/demo.elf");
        let config = MachineConfig {
            arch: Arch::X86_64,
            machine: Kind::Pc,
            cpu: "max".into(),
            memory: 64 << 20,
            smp: cpus,
            images: vec![Image::describe(Role::Kernel, "demo", "", bytes)],
            append: String::new(),
            shift: DEFAULT_SHIFT,
            rtc: Rtc { base: RtcBase::Date(0), clock: RtcClock::Vm },
            seed: 5,
            no_reboot: true,
        };
        let (file, args) = ("demo".to_owned(), String::new());
        let image = LoadedImage { role: Role::Kernel, file, args, bytes: bytes.to_vec() };
        pc(&config, &Images(vec![image]), engine).expect("a good configuration")
    }

    /// Stopping anywhere is invisible: the state is the same byte for byte, whatever slices it was reached in,
    /// and whichever engine ran them.
    #[test]
    fn slices_do_not_show() {
        use EngineKind::{Interp, Jit};
        for (cpus, one, other) in [(1, Interp, Jit), (2, Interp, Jit), (1, Jit, Interp)] {
            let (mut whole, mut sliced) = (demo(cpus, one), demo(cpus, other));
            let mut random = 12345u64;
            for at in (1..).map(|i| i * 1_234_567) {
                let paused = whole.run(at, &mut NoSource);
                loop {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let limit = at.min(sliced.state.icount + 1 + (random >> 33) % 20_000);
                    let pause = sliced.run(limit, &mut NoSource);
                    if pause != Pause::Limit || limit == at {
                        assert_eq!(pause, paused);
                        break;
                    }
                }
                let bytes = |m: &Machine<Pc>| rmp_serde::to_vec(&m.state).expect("plain data");
                assert!(
                    bytes(&whole) == bytes(&sliced),
                    "{cpus} CPUs, {one:?} and {other:?} in slices, differ at step {at}"
                );
                if paused == Pause::Request(Request::PowerOff) {
                    break;
                }
                assert_eq!(paused, Pause::Limit);
            }
            assert!(whole.mem.bytes() == sliced.mem.bytes());
        }
    }
}
