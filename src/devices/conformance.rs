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

#[test]
fn fw_cfg_mmio() {
    let mut fw_cfg = super::fw_cfg::FwCfg::new(1 << 20, 2);
    assert!(fw_cfg.add_file("etc/file", b"something to read"));
    check(super::fw_cfg::FwCfgMmio(fw_cfg), &[0, 0, 8, 8, 16, 20, 4, 23]);
}

#[test]
fn gicv2() {
    use super::gicv2::{GicV2, spec};
    for cpus in [1, 3] {
        let distributor = [0, 4, 8, 0xf00, 0xf00, 0xf10, 0xf24, 0xfe0, 0xff0, 0xc04, 0xc08, 0xfff];
        let arrays = [0x80, 0x100, 0x180, 0x200, 0x280, 0x300, 0x380, 0x400, 0x800];
        let arrays = arrays.iter().flat_map(|&a| [a, a + 4, a + 0x20, a + 0x23]);
        let interface = (0..12).map(|n| n * 4).chain([0xd0, 0xe0, 0xfc, 0x1000]);
        let one: Vec<u64> =
            distributor.into_iter().chain(arrays).chain(interface.map(|at| spec::INTERFACE + at)).collect();
        let addrs: Vec<u64> = (0..4).flat_map(|v| one.iter().map(move |a| a + v * spec::VIEW)).collect();
        check(GicV2::new(cpus), &addrs);
    }
}

#[test]
fn gicv2m() {
    check(super::gicv2m::GicV2m::default(), &[8, 0x40, 0x40, 0xfcc]);
}

#[test]
fn gicv3() {
    use super::gicv3::{GicV3, spec};
    use dejavm_interp::aarch64::sysreg::encoding;
    let distributor = [0, 4, 8, 0x84, 0x104, 0x108, 0x204, 0x284, 0x304, 0x384, 0x420, 0xc08, 0x6100, 0x6104];
    let redistributor =
        [0, 4, 8, 12, 0x14, 0x14, 0xffe0, 0x10080, 0x10100, 0x10200, 0x10280, 0x10400, 0x10c04];
    let registers = (8..13).flat_map(|crm| (0..8).map(move |op2| encoding(3, 0, 12, crm, op2)));
    let registers = registers.chain([encoding(3, 0, 4, 6, 0), encoding(3, 4, 12, 9, 5), 0x1234]);
    let system = registers.flat_map(|r| (0..3).map(move |cpu| spec::SYSTEM + (cpu << 16) + u64::from(r)));
    let redistributors =
        (0..3).flat_map(|cpu| redistributor.map(|at| spec::REDISTRIBUTORS + cpu * spec::REDISTRIBUTOR + at));
    let addrs: Vec<u64> = distributor.into_iter().chain(redistributors).chain(system).collect();
    check(GicV3::new([0, 1].into_iter()), &addrs);
}

#[test]
fn generic_timer() {
    use super::generic_timer::GenericTimer;
    use dejavm_interp::aarch64::sysreg::encoding;
    let addrs = [(3, 0), (3, 2), (3, 3), (4, 0), (4, 1), (4, 2), (7, 2)];
    let addrs: Vec<u64> = addrs
        .iter()
        .flat_map(|&(op1, crm)| (0..4).map(move |op2| encoding(3, op1, 14, crm, op2).into()))
        .collect();
    check(GenericTimer::new([30, 27, 26, 29].map(Line), TimerId(0)), &addrs);
}

#[test]
fn pl011() {
    check(super::pl011::Pl011::new(0, Line(33), TimerId(0)), &span(0, 0x4c));
}

#[test]
fn pl031() {
    use super::pl031::Pl031;
    use super::rtc::RtcBase;
    let addrs: Vec<u64> = (0..8).map(|n| n * 4).chain([0xfe0, 0xfff, 3]).collect();
    check(Pl031::new(RtcBase::Host, Line(34), TimerId(0)), &addrs);
    check(Pl031::new(RtcBase::Fixed(1_000_000_000), Line(34), TimerId(0)), &addrs);
}

#[test]
fn pl061() {
    let addrs: Vec<u64> = (0x100..0x109).map(|n| n * 4).chain([0, 0x20, 0x3fc, 0xfe0, 0x401]).collect();
    check(super::pl061::Pl061::new(Line(39), TimerId(0)), &addrs);
}

#[test]
fn virtio_mmio() {
    check(super::virtio_mmio::EmptySlot::default(), &span(0, 16));
}

#[test]
fn flash() {
    // Its bytes are the last quarter of the bench's memory.
    let addrs = [0, 4, 0x40, 0x54, 0x5555, 0x2_0000, 0x3_fffc, 0x3_ffff, 0x4_0000, 0x9_0000];
    check(super::flash::Flash::new(0xc_0000, 0x4_0000), &addrs);
}
