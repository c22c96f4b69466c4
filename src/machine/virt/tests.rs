use super::bus::VirtBus;
use super::psci::spec as psci;
use super::{GicVersion, RtcBase, Virt, VirtConfig, fdt, lines, memory};
use crate::devices::{Request, gicv2, pl011};
use crate::machine::board::Board;
use crate::replay::{Input, Source};
use dejavm_interp::aarch64::A64Bus;
use dejavm_interp::aarch64::regs::{Activity, Model, psr};
use dejavm_interp::aarch64::sysreg::encoding;
use dejavm_interp::engine::{At, Bus, Clock};
use dejavm_interp::mem::{Memory, Place};

struct NoSource;

impl Source for NoSource {
    fn host_clock(&mut self, _icount: u64) -> u64 {
        0
    }
}

fn config(cpus: usize, gic: GicVersion) -> VirtConfig {
    VirtConfig {
        model: Model::CortexA53,
        cpus,
        memory: 4 << 20,
        seed: 1,
        rtc: RtcBase::Fixed(0),
        gic,
        entry: lines::RAM,
        x0: 0x1234,
    }
}

/// A board and what its CPUs do to it, without an engine.
struct Bench {
    virt: Virt,
    mem: Memory,
    clock: Clock,
}

impl Bench {
    fn new(cpus: usize, gic: GicVersion) -> Self {
        let config = config(cpus, gic);
        let mem = memory(config.memory).expect("there is room");
        Self { virt: Virt::new(&config), mem, clock: Clock::default() }
    }

    fn bus<R>(&mut self, cpu: usize, f: impl FnOnce(&mut VirtBus<'_>, &mut Memory, At) -> R) -> R {
        let mut source = NoSource;
        let mut bus = VirtBus { devices: &mut self.virt.devices, source: &mut source, clock: self.clock };
        let r = f(&mut bus, &mut self.mem, At { icount: self.clock.icount, cpu });
        self.virt.sync(&mut self.mem);
        r
    }

    fn store(&mut self, cpu: usize, addr: u64, v: u32) {
        self.bus(cpu, |b, mem, at| b.mmio_write(mem, at, addr, 4, v.into()));
    }

    fn load(&mut self, addr: u64, size: u8) -> u64 {
        self.bus(0, |b, mem, at| b.mmio_read(mem, at, addr, size))
    }

    fn call(&mut self, cpu: usize, x: [u64; 4]) -> Option<i64> {
        self.bus(cpu, |b, mem, at| b.firmware(mem, at, false, x)).map(|v| v as i64)
    }

    fn input(&mut self, input: &Input) {
        self.virt.input(input, &mut self.mem, &mut NoSource, self.clock);
    }
}

const BOTH: [GicVersion; 2] = [GicVersion::V2, GicVersion::V3];

#[test]
fn the_map_is_qemus() {
    let mut b = Bench::new(1, GicVersion::V2);
    let id =
        |b: &mut Bench, base: u64| (0..4).map(|n| b.load(base + 0xfe0 + 4 * n, 4) << (8 * n)).sum::<u64>();
    assert_eq!(id(&mut b, 0x900_0000), 0x14_1011);
    assert_eq!(id(&mut b, 0x901_0000), 0x4_1031);
    assert_eq!(id(&mut b, 0x903_0000), 0x4_1061);
    assert_eq!(b.load(0x902_0010, 8).to_le_bytes(), *b"QEMU CFG");
    assert_eq!(b.load(0xa00_0000, 4).to_le_bytes()[..4], *b"virt");
    assert_eq!((b.load(0xa00_3e04, 4), b.load(0xa00_3e08, 4)), (2, 0));
    assert_eq!(b.load(0x800_0008, 4), u64::from(gicv2::spec::GICD_IIDR));
    assert_eq!(b.load(0x801_00fc, 4), u64::from(gicv2::spec::GICC_IIDR_VALUE));
    assert_eq!(b.load(0x802_0008, 4), 80 << 16 | 64);
    // The host bridge, an empty slot, another bus, the windows, nothing at all.
    assert_eq!(b.load(0x40_1000_0000, 4), 0x0008_1b36);
    assert_eq!(b.load(0x40_1000_0008, 8), 0x0600_0000);
    assert_eq!(b.load(0x40_1000_0100, 4), 0);
    for addr in [0x40_1000_8000, 0x40_1010_0000, 0x1000_0000, 0x3eff_0000, 0x80_0000_0000] {
        assert_eq!(b.load(addr, 4), 0xffff_ffff, "{addr:#x}");
    }
    assert_eq!(b.load(0xc00_0000, 8), 0);
    let mut b = Bench::new(2, GicVersion::V3);
    assert_eq!(b.load(0x800_ffe8, 4), 0x3b);
    assert_eq!(b.load(0x80c_0008, 8), 1 << 32 | 1 << 8 | 1 << 4);
    assert_eq!(b.load(0x801_0000, 4), 0, "no memory-mapped CPU interface");
}

#[test]
fn every_address_is_safe_at_every_width() {
    for gic in BOTH {
        let mut b = Bench::new(2, gic);
        let pages = [
            0x800_0000,
            0x801_0000,
            0x801_1000,
            0x802_0000,
            0x80a_0000,
            0x80b_0000,
            0x80e_0000,
            0x900_0000,
            0x901_0000,
            0x902_0000,
            0x903_0000,
            0xa00_0000,
            0xa00_3000,
            0xa00_4000,
            0x3fff_f000,
            0x40_1000_0000,
            0,
            0x3ff_f000,
            0x400_0000,
            0x7ff_f000,
            0xffff_ffff_ffff_f000,
        ];
        for page in pages {
            for offset in 0..0x1000u64 {
                for size in [1, 2, 4, 8] {
                    b.bus(1, |b, mem, at| {
                        b.mmio_read(mem, at, page + offset, size);
                        let v = 0x1234_5678_9abc_def0u64.rotate_left(offset as u32);
                        b.mmio_write(mem, at, page + offset, size, v);
                    });
                }
            }
        }
        for reg in 0..=u16::MAX {
            b.bus(1, |b, mem, at| {
                b.system_read(mem, at, reg);
                b.system_write(mem, at, reg, 0x55aa_1234 << (reg % 32));
            });
        }
    }
}

#[test]
fn interrupts_reach_the_cpu() {
    for gic in BOTH {
        let mut b = Bench::new(2, gic);
        // The serial port's interrupt, enabled; with GICv3 in group 1.
        b.store(0, 0x800_0104, 2);
        match gic {
            GicVersion::V2 => {
                b.store(0, 0x800_0000, 1);
                b.bus(0, |b, mem, at| b.mmio_write(mem, at, 0x800_0821, 1, 2));
                b.store(1, 0x801_0004, 0xf0);
                b.store(1, 0x801_0000, 1);
            }
            GicVersion::V3 => {
                b.store(0, 0x800_0000, 2);
                b.store(0, 0x800_0084, 2);
                b.store(0, 0x800_6108, 1);
                b.bus(1, |b, mem, at| {
                    b.system_write(mem, at, encoding(3, 0, 4, 6, 0), 0xf0);
                    b.system_write(mem, at, encoding(3, 0, 12, 12, 7), 1);
                });
            }
        }
        b.store(0, 0x900_0030, 0x301);
        b.store(0, 0x900_002c, 0x70);
        b.store(0, 0x900_0038, pl011::spec::INT_RX | pl011::spec::INT_RT);
        assert_eq!((b.virt.serial_room(0), b.virt.serial_room(1)), (16, 0));
        b.input(&Input::Serial { port: 0, bytes: b"12345678".to_vec() });
        assert_eq!([0, 1].map(|i| b.virt.cpus[i].irq), [false, true], "{gic:?}");
        assert!(!b.virt.cpus[1].fiq);
        for _ in 0..8 {
            b.load(0x900_0000, 1);
        }
        assert!(!b.virt.cpus[1].irq);
    }
}

#[test]
fn a_timer_wakes_a_halted_cpu() {
    let mut b = Bench::new(1, GicVersion::V2);
    b.store(0, 0x800_0000, 1);
    b.store(0, 0x800_0100, 1 << 27);
    b.store(0, 0x801_0004, 0xf0);
    b.store(0, 0x801_0000, 1);
    b.bus(0, |b, mem, at| {
        b.system_write(mem, at, encoding(3, 3, 14, 3, 0), 1000);
        b.system_write(mem, at, encoding(3, 3, 14, 3, 1), 1);
    });
    b.virt.cpus[0].activity = Activity::WaitForInterrupt;
    assert!(b.virt.halted(0));
    let at = b.virt.world().events.next().expect("a deadline");
    assert_eq!(at.0, 16_000);
    b.clock.warp = at.0;
    let timer = b.virt.world().events.take_due(at).expect("it is due");
    b.virt.timer(timer, &mut b.mem, &mut NoSource, b.clock);
    assert!(!b.virt.halted(0) && b.virt.cpus[0].irq);
    assert_eq!(b.bus(0, |b, mem, at| b.mmio_read(mem, at, 0x801_000c, 4)), 27);
}

#[test]
fn psci_starts_and_stops_cpus() {
    let mut b = Bench::new(10, GicVersion::V2);
    let on = u64::from(psci::CPU_ON_64);
    let info = u64::from(psci::AFFINITY_INFO_64);
    assert_eq!(b.call(0, [psci::PSCI_VERSION.into(), 0, 0, 0]), Some(0x1_0001));
    assert_eq!(b.call(0, [psci::SMCCC_VERSION.into(), 0, 0, 0]), Some(0x1_0001));
    assert_eq!(b.call(0, [psci::PSCI_FEATURES.into(), on, 0, 0]), Some(0));
    assert_eq!(b.call(0, [psci::PSCI_FEATURES.into(), 0x8400_0012, 0, 0]), Some(-1));
    assert_eq!(b.call(0, [0x1234, 0, 0, 0]), Some(-1));
    assert_eq!(b.bus(0, |b, mem, at| b.firmware(mem, at, true, [on, 0, 0, 0])), None, "no SMC");
    // CPU 9 is 1.1.
    assert_eq!(b.call(0, [info, 0x101, 0, 0]), Some(psci::OFF));
    assert!(b.virt.halted(9));
    assert_eq!(b.call(0, [on, 0x101, 0x4000_0002, 7]), Some(psci::INVALID_ADDRESS));
    assert_eq!(b.call(0, [on, 0x101, 0x4000_1000, 7]), Some(0));
    let cpu = &b.virt.cpus[9];
    assert_eq!((cpu.pc, cpu.x[0], cpu.el, cpu.daif), (0x4000_1000, 7, 1, psr::DAIF));
    assert!(!b.virt.halted(9));
    assert_eq!(b.call(0, [on, 0x101, 0x4000_1000, 7]), Some(psci::ALREADY_ON));
    assert_eq!(b.call(0, [on, 0x102, 0x4000_1000, 7]), Some(psci::INVALID_PARAMETERS));
    assert_eq!(b.call(9, [info, 0x101, 0, 0]), Some(psci::ON));
    b.call(9, [psci::CPU_OFF.into(), 0, 0, 0]);
    assert!(b.virt.halted(9));
    assert_eq!(b.call(0, [info, 0x101, 0, 0]), Some(psci::OFF));
    // Standing by, also when a deeper state was asked for.
    assert_eq!(b.call(0, [psci::CPU_SUSPEND_64.into(), 0x1_0000, 0, 0]), Some(0));
    assert!(b.virt.halted(0));
    assert_eq!(b.call(0, [psci::CPU_SUSPEND_64.into(), 1 << 31, 0, 0]), Some(psci::INVALID_PARAMETERS));
}

#[test]
fn requests() {
    let ask = |f: &dyn Fn(&mut Bench)| {
        let mut b = Bench::new(1, GicVersion::V2);
        f(&mut b);
        b.virt.world().request
    };
    let call = |function: u32| {
        ask(&|b| {
            b.call(0, [function.into(), 0, 0, 0]);
        })
    };
    assert_eq!(call(psci::SYSTEM_OFF), Some(Request::PowerOff));
    assert_eq!(call(psci::SYSTEM_RESET), Some(Request::Reset));
    assert_eq!(call(psci::PSCI_VERSION), None);
    assert_eq!(ask(&|b| b.input(&Input::Reset)), Some(Request::Reset));
}

#[test]
fn the_power_button_is_a_key() {
    let mut b = Bench::new(1, GicVersion::V2);
    b.store(0, 0x903_0408, 8);
    b.store(0, 0x903_0410, 8);
    b.store(0, 0x800_0104, 1 << 7);
    b.store(0, 0x800_0000, 1);
    b.store(0, 0x801_0004, 0xf0);
    b.store(0, 0x801_0000, 1);
    b.input(&Input::PowerButton);
    assert!(b.virt.cpus[0].irq);
}

#[test]
fn flash_is_memory_until_it_gets_a_command() {
    let mut b = Bench::new(1, GicVersion::V2);
    assert!(b.mem.load(0x40_0000, b"firmware"));
    assert!(matches!(b.mem.place(0x40_0000), Place::Rom(_)));
    let epoch = b.mem.epoch();
    b.store(0, 0x40_0000, 0x70_0070);
    assert_ne!(b.mem.epoch(), epoch);
    assert_eq!((b.mem.place(0x40_0000), b.load(0x40_0000, 4)), (Place::Bus, 0x80_0080));
    assert!(matches!(b.mem.place(0x400_0000), Place::Rom(_)), "the other one");
    // A snapshot taken now has the map with it.
    let virt = b.virt.clone();
    b.store(0, 0x40_0000, 0xff_00ff);
    assert!(matches!(b.mem.place(0x40_0000), Place::Rom(_)));
    b.virt = virt;
    b.virt.restored(&mut b.mem);
    assert_eq!(b.mem.place(0x40_0000), Place::Bus);
    b.virt.reset(&mut b.mem);
    let mut bytes = [0; 8];
    b.mem.read(0x40_0000, &mut bytes);
    assert_eq!(bytes, *b"firmware");
}

#[test]
fn a_reset_is_power_on_but_for_the_clock() {
    let mut b = Bench::new(2, GicVersion::V3);
    b.store(0, 0x901_0008, 5000);
    b.store(0, 0x901_0004, 6000);
    b.store(0, 0x901_0010, 1);
    assert_eq!(b.call(0, [psci::CPU_ON_64.into(), 1, 0x4000_0000, 0]), Some(0));
    assert!(b.virt.world().events.next().is_some());
    b.virt.reset(&mut b.mem);
    assert_eq!(b.virt.world().events.next(), None);
    assert_eq!(b.load(0x901_0000, 4), 5000);
    assert!(b.virt.halted(1));
    assert_eq!((b.virt.cpus[0].pc, b.virt.cpus[0].x[0]), (lines::RAM, 0x1234));
}

#[test]
fn a_saved_board_is_restored_byte_for_byte() {
    for gic in BOTH {
        let mut b = Bench::new(2, gic);
        b.store(0, 0x800_0104, 0x1234_5678);
        b.store(0, 0x900_0038, 0x70);
        let saved = rmp_serde::to_vec(&b.virt).expect("plain data");
        let restored: Virt = rmp_serde::from_slice(&saved).expect("what was saved can be restored");
        assert!(rmp_serde::to_vec(&restored).expect("plain data") == saved);
    }
}

/// The value of a property, by its path: a reader of the format's structure block (Devicetree
/// Specification 0.4, chapter 5).
fn property(tree: &[u8], path: &str) -> Option<Vec<u8>> {
    let word = |at: usize| u32::from_be_bytes(tree[at..at + 4].try_into().expect("four bytes")) as usize;
    let text = |at: usize| {
        let end = tree[at..].iter().position(|&b| b == 0).expect("a final zero");
        std::str::from_utf8(&tree[at..at + end]).expect("text")
    };
    assert_eq!((word(0), word(4)), (0xd00d_feed, tree.len()));
    let (mut at, names) = (word(8), word(12));
    let mut place: Vec<&str> = Vec::new();
    loop {
        match word(at) {
            1 => {
                place.push(text(at + 4));
                at += 4 + (text(at + 4).len() + 4) / 4 * 4;
            }
            2 => {
                place.pop();
                at += 4;
            }
            3 => {
                let (len, name) = (word(at + 4), text(names + word(at + 8)));
                if format!("{}/{name}", place.join("/")) == path {
                    return Some(tree[at + 12..at + 12 + len].to_vec());
                }
                at += 12 + len.next_multiple_of(4);
            }
            4 => at += 4,
            _ => return None,
        }
    }
}

#[test]
fn the_device_tree_says_what_is_there() {
    let chosen = fdt::Chosen { bootargs: Some("quiet".into()), initrd: Some((0x4800_0000, 0x1000)) };
    let tree = |cpus, gic| fdt::tree(&config(cpus, gic), &chosen).expect("a good configuration");
    let t = tree(3, GicVersion::V2);
    let cells = |path: &str| {
        let bytes = property(&t, path).unwrap_or_else(|| panic!("{path} is missing"));
        bytes.chunks(4).map(|c| u32::from_be_bytes(c.try_into().expect("cells"))).collect::<Vec<_>>()
    };
    assert_eq!(cells("/memory@40000000/reg"), [0, 0x4000_0000, 0, 0x40_0000]);
    assert_eq!(cells("/chosen/linux,initrd-end"), [0, 0x4800_1000]);
    assert_eq!(property(&t, "/chosen/bootargs").as_deref(), Some(&b"quiet\0"[..]));
    assert_eq!(cells("/pl011@9000000/interrupts"), [0, 1, 4]);
    assert_eq!(cells("/virtio_mmio@a003e00/interrupts"), [0, 47, 1]);
    assert_eq!(cells("/timer/interrupts")[..3], [1, 13, 0x704]);
    assert_eq!(cells("/cpus/cpu@2/reg"), [2]);
    assert_eq!(property(&t, "/cpus/cpu@3/reg"), None);
    assert_eq!(cells("/intc@8000000/reg"), [0, 0x800_0000, 0, 0x1_0000, 0, 0x801_0000, 0, 0x1_0000]);
    assert_eq!(cells("/pcie@10000000/interrupt-map").len(), 160);
    let seed = property(&t, "/chosen/rng-seed").expect("a seed");
    assert_eq!(seed.len(), 32);
    let other = VirtConfig { seed: 2, ..config(3, GicVersion::V2) };
    let other = fdt::tree(&other, &chosen).expect("a good configuration");
    assert_ne!(property(&other, "/chosen/rng-seed"), Some(seed));
    let t = tree(17, GicVersion::V3);
    assert!(property(&t, "/intc@8000000/v2m@8020000/reg").is_none());
    assert_eq!(property(&t, "/cpus/cpu@10/reg"), Some(vec![0, 0, 1, 0]));
    assert!(t.len() < 0x1_0000);
}

#[test]
fn memory_says_what_does_not_fit() {
    assert!(memory(256 << 30).is_err());
    assert!(memory((4 << 20) + 1).is_err());
}
