//! The toy board: the smallest machine that has everything that a recording has to get right.
//!
//! It computes for a while, writes to memory, sleeps until its timer fires, echoes serial input, reads the
//! host's clock, and obeys one-letter commands: `q` powers off, `r` resets, `t` prints the host's
//! clock, `x` exits with code 3, `u` is an unimplemented instruction, `z` halts for ever. It runs
//! no guest code, so the logic of the log is tested with it in milliseconds
//! (`dejavm record --machine toy -o FILE`).
//!
//! The kernel's command line shapes it: `busy=STEPS` between sleeps, `period=NS` of the timer,
//! `quit=STEPS` powers off there, `say` prints a character at each tick, `clock` reads the host's
//! clock at each tick.

use super::Machine;
use super::board::{Board, Core};
use super::config::{BuildError, Images, MachineConfig, Role};
use super::events::TimerId;
use crate::devices::{Ctx, Request, World};
use crate::replay::{Input, Output, Source};
use dejavm_interp::engine::{Clock, Control, Exit, Stop};
use dejavm_interp::mem::{Memory, PhysAddr, Region};
use dejavm_interp::probe::Probes;
use serde::{Deserialize, Deserializer, Serialize};

/// Bytes of its serial port's FIFO.
const FIFO: usize = 16;
/// Steps between looks at the serial port.
const SERIAL_STEPS: u64 = 64;
const TICK: TimerId = TimerId(0);

/// The toy board's state.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Toy {
    /// A linear congruential generator that stands for computation.
    value: u64,
    seed: u64,
    /// Steps until it sleeps.
    left: u64,
    halted: bool,
    dead: bool,
    ticks: u64,
    fifo: Vec<u8>,
    overruns: u64,
    busy: u64,
    period: u64,
    quit: u64,
    say: bool,
    clock: bool,
    memory: u64,
    /// Mixes everything that ever came from outside; a reset leaves it, as it does a CMOS.
    cmos: u64,
    world: World,
}

/// The toy needs no engine; it tells its probes of its own accesses to memory.
#[derive(Debug, Default)]
pub struct NoEngine(Probes);

impl Control for NoEngine {
    fn flush(&mut self) {}

    fn probes(&mut self) -> &mut Probes {
        &mut self.0
    }
}

impl Toy {
    /// A machine at power-on.
    ///
    /// # Errors
    /// [`BuildError`] for a command line that it does not know or memory that the host lacks.
    pub fn build(config: &MachineConfig, images: &Images) -> Result<Machine<Self>, BuildError> {
        let mut toy = Self {
            value: config.seed,
            seed: config.seed,
            left: 0,
            halted: false,
            dead: false,
            ticks: 0,
            fifo: Vec::new(),
            overruns: 0,
            busy: 100_000,
            period: 4_000_000,
            quit: u64::MAX,
            say: false,
            clock: false,
            memory: config.memory,
            cmos: 0,
            world: World::default(),
        };
        for word in config.append.split_whitespace() {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            let number = || {
                value
                    .parse::<u64>()
                    .map_err(|_| BuildError::Config(format!("--append: '{word}' has no number")))
            };
            match name {
                "busy" => toy.busy = number()?.max(1),
                "period" => toy.period = number()?.max(1000),
                "quit" => toy.quit = number()?,
                "say" => toy.say = true,
                "clock" => toy.clock = true,
                _ => return Err(BuildError::Config(format!("--append: unknown word '{word}' for the toy"))),
            }
        }
        let mut mem = Memory::new(config.memory)?;
        toy.power_on(&mut mem);
        let mut loads = Vec::new();
        if let Some(kernel) = images.get(Role::Kernel) {
            if !mem.load(0, &kernel.bytes) {
                return Err(BuildError::Config(format!("{}: larger than memory", kernel.file)));
            }
            loads.push((0, kernel.bytes.clone()));
        }
        Ok(Machine::new(toy, mem, Box::new(NoEngine::default()), config.shift, loads))
    }

    fn power_on(&mut self, mem: &mut Memory) {
        self.value = self.seed;
        self.left = self.busy;
        self.halted = false;
        self.dead = false;
        self.ticks = 0;
        self.fifo.clear();
        self.world = World::default();
        self.world.events.set(TICK, Some(super::time::VirtNs(self.period)));
        let all = Region { start: 0, len: self.memory, offset: 0, writable: true };
        mem.set_regions(vec![all]).unwrap_or_else(|_| unreachable!("one whole region fits"));
    }

    fn keep(&mut self, value: u64) {
        self.cmos = mix(self.cmos, value);
    }

    fn print(&mut self, icount: u64, bytes: &[u8]) {
        for &byte in bytes {
            self.world.outputs.push((icount, Output::Serial { port: 0, byte }));
        }
    }

    /// Reads one byte from the serial port and obeys it.
    fn serial(&mut self, icount: u64, source: &mut dyn Source) -> Option<Stop> {
        let byte = *self.fifo.first()?;
        if byte == b'u' {
            // Like an instruction that is not implemented: nothing changes.
            return Some(Stop::Unimplemented(format!("toy command 'u' at step {icount}")));
        }
        self.fifo.remove(0);
        match byte {
            b'q' => self.world.request = Some(Request::PowerOff),
            b'r' => self.world.request = Some(Request::Reset),
            b'x' => self.world.request = Some(Request::Exit(3)),
            b't' => {
                let now = source.host_clock(icount);
                self.keep(now);
                self.print(icount, format!("[{now}]").as_bytes());
            }
            b'z' => (self.halted, self.dead) = (true, true),
            _ => self.print(icount, &[byte]),
        }
        None
    }
}

fn mix(state: u64, value: u64) -> u64 {
    (state.rotate_left(7) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl Board for Toy {
    type Engine = NoEngine;

    fn read<'de, D: Deserializer<'de>>(&self, from: D) -> Result<Self, D::Error> {
        Self::deserialize(from)
    }

    fn cpus(&self) -> usize {
        1
    }

    fn halted(&self, _index: usize) -> bool {
        self.halted
    }

    fn run(
        &mut self,
        engine: &mut NoEngine,
        _index: usize,
        mem: &mut Memory,
        source: &mut dyn Source,
        clock: Clock,
        budget: u64,
    ) -> Exit {
        let mut steps = 0;
        while steps < budget {
            let icount = clock.icount + steps;
            if icount.is_multiple_of(SERIAL_STEPS)
                && let Some(stop) = self.serial(icount, source)
            {
                return Exit { steps, stop };
            }
            steps += 1;
            self.value = self.value.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            if self.value >> 54 == 0 {
                let addr = self.value % self.memory & !7;
                let mut old = [0; 8];
                mem.barrier_read(addr, 8);
                mem.read(addr, &mut old);
                self.value ^= u64::from_le_bytes(old);
                mem.write(addr, &self.value.to_le_bytes());
            }
            if mem.has_touches() {
                let touches = mem.take_touches();
                engine.0.touched(icount, 0, 0, touches, |offset, len| mem.value(offset, len));
            }
            if icount + 1 >= self.quit {
                self.world.request = Some(Request::PowerOff);
            }
            self.left = self.left.saturating_sub(1);
            if self.left == 0 {
                self.halted = true;
            }
            if self.halted || self.world.request.is_some() {
                return Exit { steps, stop: Stop::Halted };
            }
            if engine.0.full() {
                return Exit { steps, stop: Stop::Attention };
            }
        }
        Exit { steps, stop: Stop::Budget }
    }

    fn timer(&mut self, _timer: TimerId, mem: &mut Memory, source: &mut dyn Source, clock: Clock) {
        let now = super::time::VirtNs(clock.virtual_ns(clock.icount));
        let mut ctx = Ctx { icount: clock.icount, now, mem, world: &mut self.world, source };
        if self.dead {
            return;
        }
        ctx.set_timer(TICK, Some(now.plus(self.period)));
        self.ticks += 1;
        if self.clock {
            let read = ctx.host_clock();
            self.value ^= read;
            self.cmos = mix(self.cmos, read);
        }
        if self.say {
            ctx.emit(Output::Serial { port: 0, byte: b'a' + (self.value >> 40) as u8 % 26 });
        }
        self.halted = false;
        self.left = self.busy;
    }

    fn input(&mut self, input: &Input, _mem: &mut Memory, _source: &mut dyn Source, clock: Clock) {
        self.keep(clock.virtual_ns(clock.icount));
        match input {
            Input::Serial { bytes, .. } => {
                let room = FIFO - self.fifo.len();
                self.overruns += bytes.len().saturating_sub(room) as u64;
                self.fifo.extend_from_slice(&bytes[..bytes.len().min(room)]);
            }
            Input::PowerButton => self.world.request = Some(Request::PowerOff),
            Input::Reset => self.world.request = Some(Request::Reset),
            Input::Key { code, .. } => self.value ^= u64::from(*code),
            Input::Pointer { dx, dy, .. } => self.value ^= *dx as u64 ^ (*dy as u64) << 32,
            Input::Nmi => self.value = !self.value,
            Input::WriteMemory { .. } | Input::WriteRegister { .. } | Input::Fault { .. } => {}
        }
        if !self.dead {
            self.halted = false;
            self.left = self.left.max(SERIAL_STEPS * 2);
        }
    }

    fn serial_room(&self, _port: u8) -> usize {
        FIFO - self.fifo.len()
    }

    fn core(&mut self, _index: usize) -> Core<'_> {
        Core::None
    }

    fn translate(&self, _index: usize, _mem: &Memory, addr: u64) -> Option<PhysAddr> {
        Some(addr)
    }

    fn pc(&self, _index: usize) -> u64 {
        0
    }

    fn remaps(&self, _addr: PhysAddr) -> bool {
        false
    }

    fn restored(&self, _mem: &mut Memory) {}

    fn world(&mut self) -> &mut World {
        &mut self.world
    }

    fn reset(&mut self, mem: &mut Memory) {
        let outputs = std::mem::take(&mut self.world.outputs);
        self.power_on(mem);
        self.world.outputs = outputs;
    }
}
