//! What every device has to keep, checked for each of them with random accesses: any access of
//! any width is safe; a state saved and restored in the middle goes on as if nothing had
//! happened; the same accesses give the same outcome; a second reset changes nothing.

use super::{Ctx, Device, Line, World};
use crate::machine::events::TimerId;
use crate::machine::time::VirtNs;
use crate::replay::Source;
use dejavm_interp::mem::{Memory, Region};

/// A host whose clock stands at a fixed moment plus the steps made.
pub struct FixedClock;

impl Source for FixedClock {
    fn host_clock(&mut self, icount: u64) -> u64 {
        1_700_000_000 * VirtNs::SECOND + icount
    }
}

/// A device by itself: memory, timers, the moment.
pub struct Bench<D> {
    /// The device.
    pub device: D,
    /// Timers and effects.
    pub world: World,
    /// 1 MiB of RAM.
    pub mem: Memory,
    /// The virtual clock.
    pub now: VirtNs,
    /// The last level of each line that the device set.
    pub levels: std::collections::BTreeMap<u16, bool>,
    /// Rising edges of each line.
    pub edges: std::collections::BTreeMap<u16, u32>,
}

impl<D: Device> Bench<D> {
    /// A device at time zero.
    pub fn new(device: D) -> Self {
        let mut mem = Memory::new(1 << 20).expect("a MiB is there");
        let ram = Region { start: 0, len: 1 << 20, offset: 0, writable: true };
        mem.set_regions(vec![ram]).expect("it fits");
        Self {
            device,
            world: World::default(),
            mem,
            now: VirtNs(0),
            levels: Default::default(),
            edges: Default::default(),
        }
    }

    /// Calls the device.
    pub fn with<R>(&mut self, f: impl FnOnce(&mut D, &mut Ctx<'_>) -> R) -> R {
        let mut ctx = Ctx {
            icount: self.now.0,
            now: self.now,
            mem: &mut self.mem,
            world: &mut self.world,
            source: &mut FixedClock,
        };
        let r = f(&mut self.device, &mut ctx);
        for (line, level) in std::mem::take(&mut self.world.lines) {
            let old = self.levels.insert(line.0, level).unwrap_or(false);
            *self.edges.entry(line.0).or_default() += u32::from(level && !old);
        }
        r
    }

    /// Reads a byte.
    pub fn inb(&mut self, addr: u64) -> u8 {
        self.with(|d, ctx| d.read(ctx, addr, 1)) as u8
    }

    /// Writes a byte.
    pub fn outb(&mut self, addr: u64, v: u8) {
        self.with(|d, ctx| d.write(ctx, addr, 1, v.into()));
    }

    /// Reads a doubleword.
    pub fn inl(&mut self, addr: u64) -> u32 {
        self.with(|d, ctx| d.read(ctx, addr, 4)) as u32
    }

    /// Writes a doubleword.
    pub fn outl(&mut self, addr: u64, v: u32) {
        self.with(|d, ctx| d.write(ctx, addr, 4, v.into()));
    }

    /// Moves the clock on, firing timers at their deadlines.
    pub fn pass(&mut self, ns: u64) {
        let end = self.now.plus(ns);
        // A device that re-arms without progress would never end.
        for _ in 0..1_000_000 {
            let Some(at) = self.world.events.next().filter(|&at| at <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(at);
            let timer = self.world.events.take_due(self.now).expect("it is due");
            self.with(|d, ctx| d.timer(ctx, timer));
        }
        panic!("a million timers in {ns} ns");
    }

    /// The level of a line.
    pub fn level(&self, line: u16) -> bool {
        self.levels.get(&line).copied().unwrap_or(false)
    }

    /// Rising edges of a line so far.
    pub fn rises(&self, line: u16) -> u32 {
        self.edges.get(&line).copied().unwrap_or(0)
    }

    fn state(&self) -> Vec<u8> {
        rmp_serde::to_vec(&(&self.device, &self.world)).expect("plain data")
    }
}

/// A sequence of random numbers (xorshift64*).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

/// One random access or passage of time, its visible outcome into `log`.
fn step<D: Device>(bench: &mut Bench<D>, addrs: &[u64], random: &mut Random, log: &mut Vec<u64>) {
    let addr = addrs[random.next() as usize % addrs.len()];
    let size = [1, 1, 1, 2, 4, 8][random.next() as usize % 6];
    let value = random.next() >> (random.next() % 64);
    match random.next() % 8 {
        0 => bench.pass(random.next() % 200_000),
        1..=4 => bench.with(|d, ctx| d.write(ctx, addr, size, value)),
        _ => log.push(bench.with(|d, ctx| d.read(ctx, addr, size))),
    }
    log.extend(bench.levels.iter().map(|(&l, &v)| u64::from(l) << 1 | u64::from(v)));
    log.push(bench.world.outputs.len() as u64);
}

/// Runs the suite for a device whose registers lie at `addrs`.
pub fn check<D: Device>(device: D, addrs: &[u64]) {
    const STEPS: usize = 2000;
    for seed in 1..=8u64 {
        let run = |restore_at: Option<usize>| {
            let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let mut bench = Bench::new(device.clone());
            let mut log = Vec::new();
            for i in 0..STEPS {
                if Some(i) == restore_at {
                    let saved = bench.state();
                    let (device, mut world): (D, World) =
                        rmp_serde::from_slice(&saved).expect("what was saved can be restored");
                    // Outputs are no part of the state.
                    world.outputs = std::mem::take(&mut bench.world.outputs);
                    (bench.device, bench.world) = (device, world);
                    assert_eq!(bench.state(), saved, "save, restore, save");
                }
                step(&mut bench, addrs, &mut random, &mut log);
            }
            (bench.state(), log)
        };
        let straight = run(None);
        assert!(run(None) == straight, "the same accesses gave another outcome, seed {seed}");
        assert!(
            run(Some(STEPS / 2)) == straight,
            "restored in the middle it went on differently, seed {seed}"
        );
        assert!(run(Some(seed as usize)) == straight, "restored early it went on differently, seed {seed}");

        let mut random = Random(seed);
        let mut bench = Bench::new(device.clone());
        let mut log = Vec::new();
        for _ in 0..STEPS {
            step(&mut bench, addrs, &mut random, &mut log);
        }
        bench.device.reset();
        let once = rmp_serde::to_vec(&bench.device).expect("plain data");
        bench.device.reset();
        assert!(rmp_serde::to_vec(&bench.device).expect("plain data") == once, "a second reset changed it");
    }
}

fn span(first: u64, n: u64) -> Vec<u64> {
    (first..first + n).collect()
}

#[test]
fn pic() {
    check(super::pic::Pic::new(), &[0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1]);
}

#[test]
fn pit() {
    check(super::pit::Pit::new(Line(0), TimerId(0)), &[0x40, 0x41, 0x42, 0x43, 0x43, 0x61]);
}

#[test]
fn ioapic() {
    check(super::ioapic::IoApic::new(), &[0, 0x10, 0x10, 0x40, 3, 0xff8]);
}

#[test]
fn lapic() {
    let addrs: Vec<u64> = (0..64).map(|i| i * 16).chain([0x383, 0xb1, 0xff8]).collect();
    check(super::lapic::LocalApic::new(0, true, true, TimerId(0)), &addrs);
}

#[test]
fn hpet() {
    let addrs: Vec<u64> = (0..0x40).map(|i| i * 8).chain([4, 0x14, 0xf4, 0x10c, 0x3ff]).collect();
    check(super::hpet::Hpet::new(Line(40), TimerId(0)), &addrs);
}

#[test]
fn rtc() {
    use super::rtc::{Rtc, RtcBase};
    check(Rtc::new(RtcBase::Host, Line(8), TimerId(0)), &[0x70, 0x71]);
    check(Rtc::new(RtcBase::Fixed(1_000_000_000), Line(8), TimerId(0)), &[0x70, 0x71]);
}

#[test]
fn uart() {
    check(super::uart::Uart::new(0, Line(4), TimerId(0)), &span(0, 8));
}

#[test]
fn acpi_pm() {
    let addrs: Vec<u64> = span(0, 12).into_iter().chain(span(0x100, 4)).chain([0x200, 0x201]).collect();
    check(super::acpi_pm::AcpiPm::new(Line(9), TimerId(0), true), &addrs);
}

#[test]
fn i8042() {
    check(super::i8042::I8042::new(Line(1), Line(12), TimerId(0)), &[0x60, 0x64]);
}

#[test]
fn debug() {
    check(super::debug::DebugPorts::default(), &[0x80, 0xe9, 0x402, 0x501]);
}

#[test]
fn fw_cfg() {
    check(super::fw_cfg::FwCfg::new(1 << 20, 2), &[0x510, 0x511, 0x514, 0x515, 0x51b]);
}
