//! A random AArch64 guest on a `virt` board: kernel, programs, tables, and what comes from outside while it runs. A
//! function of its seed alone.

use super::a64_kernel::*;
use super::compare::Run;
use super::words;
use dejavm::machine::Machine;
use dejavm::machine::board::Board;
use dejavm::machine::virt::{self, GicVersion, RtcBase, Virt, VirtConfig, lines};
use dejavm::replay::Input;
use dejavm_interp::aarch64::regs::{Features, Model};
use dejavm_interp::mem::Watch;
use dejavm_interp::probe::{Interest, Vectors};
use dejavm_oracle::rng::Rng;
use dejavm_oracle::values;
use std::ops::Range;

/// Programs of a guest.
const PROGRAMS: u64 = 16;

/// A random guest.
pub struct A64Guest {
    seed: u64,
    model: Model,
    pub gic: GicVersion,
    pub cpus: usize,
    images: Vec<(u64, Vec<u8>)>,
    inputs: Vec<(u64, Input)>,
    pub stops: Vec<u64>,
}

impl A64Guest {
    /// The guest of a seed.
    pub fn new(seed: u64) -> Self {
        let rng = &mut Rng::new(seed, 20);
        let mut features = Features::MAX;
        for name in Features::NAMES {
            if rng.percent(15)
                && let Some(flag) = features.flag(name)
            {
                *flag = false;
            }
        }
        let model = rng.pick(&[Model::CortexA53, Model::CortexA57, Model::MAX, Model::Max(features)]);
        let gic = rng.pick(&[GicVersion::V2, GicVersion::V3]);
        let cpus = if rng.percent(30) { 2 } else { 1 };
        let user: Vec<bool> = (0..PROGRAMS).map(|_| rng.percent(50)).collect();
        let mut code = handlers(rng, gic);
        code.extend((0..cpus as u64).map(|n| boot(rng, n, cpus, gic)));
        code.extend(launchers(rng, &user));
        for n in 0..PROGRAMS {
            let most = rng.pick(&[200, 1200, 3000]);
            // What runs at EL0 cannot switch address spaces.
            let switches = !user[n as usize] && rng.percent(50);
            let roots = if switches { (0..6).map(|n| ttbr0(rng, n % 2)).collect() } else { Vec::new() };
            let mut program = words::program(rng, model.features(), most, &roots);
            program.push(LAST);
            code.push((CODE + n * PITCH, program));
        }
        let mut images = tables(rng, &user);
        let bytes = |words: Vec<u32>| words.into_iter().flat_map(u32::to_le_bytes).collect();
        images.extend(code.into_iter().map(|(at, words)| (at, bytes(words))));
        images.push((DATA, (0..DATA_LEN / 8).flat_map(|_| values::int(rng).to_le_bytes()).collect()));
        let steps = rng.pick(&[10_000, 30_000, 100_000, 100_000, 300_000]);
        let mut inputs = Vec::new();
        let mut at = rng.below(20_000);
        while at < steps {
            inputs.push((
                at,
                match rng.below(2) {
                    0 => Input::Serial { port: 0, bytes: vec![rng.bits() as u8; 1 + rng.below(4) as usize] },
                    _ => Input::PowerButton,
                },
            ));
            at += 1 + rng.below(20_000);
        }
        let mut stops: Vec<u64> = (0..4 + rng.below(12)).map(|_| 1 + rng.below(steps)).collect();
        stops.push(steps);
        stops.sort_unstable();
        stops.dedup();
        Self { seed, model, gic, cpus, images, inputs, stops }
    }
}

impl Run for A64Guest {
    type Board = Virt;

    fn machine(&self, engine: Box<<Virt as Board>::Engine>) -> Machine<Virt> {
        let config = VirtConfig {
            model: self.model,
            cpus: self.cpus,
            memory: RAM_LEN,
            seed: self.seed,
            rtc: RtcBase::Fixed(0),
            gic: self.gic,
            entry: BOOT,
            x0: 0,
        };
        let mut mem = virt::memory(RAM_LEN).expect("a few MiB");
        for (at, bytes) in &self.images {
            assert!(mem.load(*at, bytes), "an image at {at:#x} lies outside memory");
        }
        Machine::new(Virt::new(&config), mem, engine, 3, Vec::new())
    }
    fn inputs(&self) -> &[(u64, Input)] {
        &self.inputs
    }
    fn stops(&self) -> &[u64] {
        &self.stops
    }
    fn interest(&self) -> Interest {
        interest()
    }
    fn wake(&self) -> Input {
        Input::PowerButton
    }
    fn counts(&self) -> Range<usize> {
        let at = (COUNTS - lines::RAM) as usize;
        at..at + 4 * 0x41
    }
}

/// Breakpoints in the programs and elsewhere, watched data, tables and code, device memory, events.
pub fn interest() -> Interest {
    let mut execute: Vec<u64> = (0..40).map(|n| CODE + n * 0x1550).collect();
    execute.extend([BOOT + 0x20, 0xffff_ff80_4010_0000, 0x7fff_ffff_0000]);
    execute.sort_unstable();
    let watch = |addr, len, read| Watch { addr, len, read, write: true };
    let memory = [
        watch(DATA + 0xff8, 16, true),
        watch(DATA + 0x3000, 256, false),
        watch(CODE + 0x80, 64, false),
        watch(play_table(0) + 64, 32, true),
    ];
    Interest {
        execute,
        memory: memory.to_vec(),
        changes: false,
        interrupts: Vectors::ALL,
        exceptions: Vectors::ALL,
        ports: Vec::new(),
        mmio: vec![(lines::UART.0, lines::UART.0 + 0xff)],
        cpu: None,
    }
}
