use super::bus::PcBus;
use super::{Pc, PcConfig, RtcBase, memory};
use crate::devices::Request;
use crate::machine::board::Board;
use crate::machine::loader::Start;
use crate::replay::{Input, Source};
use dejavm_interp::engine::{At, Bus, Clock};
use dejavm_interp::mem::{Memory, Place};
use dejavm_interp::x86::X86Bus;
use dejavm_interp::x86::model::Model;

struct NoSource;

impl Source for NoSource {
    fn host_clock(&mut self, _icount: u64) -> u64 {
        0
    }
}

/// A PC and what its CPUs do to it, without an engine.
struct Bench {
    pc: Pc,
    mem: Memory,
    clock: Clock,
}

impl Bench {
    fn new(cpus: usize, bios: u64) -> Self {
        let ram = 4 << 20;
        let config = PcConfig {
            model: Model::Max,
            cpus,
            memory: ram,
            seed: 1,
            rtc: RtcBase::Fixed(0),
            start: Start::Reset,
            bios,
        };
        let mem = memory(ram, bios).expect("there is room");
        Self { pc: Pc::new(&config), mem, clock: Clock::default() }
    }

    fn bus<R>(&mut self, cpu: usize, f: impl FnOnce(&mut PcBus<'_>, &mut Memory, At) -> R) -> R {
        let mut source = NoSource;
        let mut bus = PcBus { devices: &mut self.pc.devices, source: &mut source, clock: self.clock };
        let r = f(&mut bus, &mut self.mem, At { icount: self.clock.icount, cpu });
        self.pc.sync(&mut self.mem);
        r
    }

    fn out(&mut self, port: u16, size: u8, v: u32) {
        self.bus(0, |b, mem, at| b.port_write(mem, at, port, size, v));
    }

    fn inp(&mut self, port: u16, size: u8) -> u32 {
        self.bus(0, |b, mem, at| b.port_read(mem, at, port, size))
    }

    fn store(&mut self, cpu: usize, addr: u64, v: u32) {
        self.bus(cpu, |b, mem, at| b.mmio_write(mem, at, addr, 4, v.into()));
    }

    fn input(&mut self, input: &Input) {
        self.pc.input(input, &mut self.mem, &mut NoSource, self.clock);
    }
}

#[test]
fn nothing_answers_with_all_ones() {
    let mut b = Bench::new(1, 0);
    assert_eq!(b.inp(0x1234, 1), 0xff);
    assert_eq!(b.inp(0x1234, 2), 0xffff);
    assert_eq!(b.inp(0x1234, 4), u32::MAX);
    let v = b.bus(0, |b, mem, at| b.mmio_read(mem, at, 0xd000_0000, 8));
    assert_eq!(v, u64::MAX);
    // An empty PCI slot.
    b.out(0xcf8, 4, 0x8000_f800);
    assert_eq!(b.inp(0xcfc, 4), u32::MAX);
    b.out(0xcf8, 4, 0x8000_0000);
    assert_eq!((b.inp(0xcfc, 4), b.inp(0xcfe, 2), b.inp(0xcff, 1)), (0x1237_8086, 0x1237, 0x12));
}

#[test]
fn every_port_is_safe_at_every_width() {
    let mut b = Bench::new(2, 0);
    for port in 0..=u16::MAX {
        for size in [1, 2, 4] {
            b.inp(port, size);
            b.out(port, size, 0x55aa_1234u32.rotate_left(port.into()));
        }
    }
    for page in [0xfee0_0000u64, 0xfec0_0000, 0xfed0_0000] {
        for offset in 0..0x1000 {
            for size in [1, 2, 4, 8] {
                b.bus(1, |b, mem, at| {
                    b.mmio_read(mem, at, page + offset, size);
                    b.mmio_write(
                        mem,
                        at,
                        page + offset,
                        size,
                        0x1234_5678_9abc_def0u64.rotate_left(offset as u32),
                    );
                });
            }
        }
    }
}

#[test]
fn firmware_shadows_itself() {
    let mut b = Bench::new(1, 0x2_0000);
    assert!(b.mem.load(0xffff_fff0, &[0xea]));
    assert_eq!(b.mem.place(0xf_fff0), b.mem.place(0xffff_fff0), "the mirror");
    assert_eq!(b.mem.place(0xc_0000), Place::Bus);
    // F0000H: reads from the bus, writes to RAM.
    b.out(0xcf8, 4, 0x8000_0058);
    b.out(0xcfd, 1, 0x20);
    b.bus(0, |bus, mem, at| bus.mmio_write(mem, at, 0xf_0000, 4, 0x1122_3344));
    assert_eq!(b.mem.bytes()[0xf_0000..0xf_0004], 0x1122_3344u32.to_le_bytes());
    assert!(matches!(b.mem.place(0xf_0000), Place::Rom(o) if o >= 4 << 20));
    // Reads and writes, then reads only.
    b.out(0xcfd, 1, 0x30);
    assert_eq!(b.mem.place(0xf_0000), Place::Ram(0xf_0000));
    b.out(0xcfd, 1, 0x10);
    assert_eq!(b.mem.place(0xf_0000), Place::Rom(0xf_0000));
    b.pc.reset(&mut b.mem);
    assert!(matches!(b.mem.place(0xf_0000), Place::Rom(o) if o >= 4 << 20));
}

#[test]
fn the_a20_gate_wraps_the_first_mib() {
    let mut b = Bench::new(1, 0);
    assert_eq!(b.mem.place(0x10_0000), Place::Ram(0x10_0000));
    b.out(0x92, 1, 0);
    assert_eq!(b.mem.place(0x10_0000), Place::Ram(0));
    assert_eq!(b.mem.place(0x20_0000), Place::Ram(0x20_0000));
    b.out(0x64, 1, 0xdf);
    assert_eq!(b.mem.place(0x10_0000), Place::Ram(0x10_0000));
    assert_eq!(b.inp(0x92, 1), 2, "one gate, two controls");
}

#[test]
fn an_isa_interrupt_reaches_the_cpu_by_pic_and_by_io_apic() {
    let mut b = Bench::new(2, 0);
    // The 8259s at 30H and 38H; LINT0 as ExtINT.
    for (port, v) in [(0x20, 0x11), (0x21, 0x30), (0x21, 4), (0x21, 1), (0x21, 0)] {
        b.out(port, 1, v);
    }
    b.store(0, 0xfee0_00f0, 0x1ff);
    b.store(0, 0xfee0_0350, 0x700);
    b.out(0x3fc, 1, 0x0b);
    b.out(0x3f9, 1, 1);
    b.input(&Input::Serial { port: 0, bytes: b"x".to_vec() });
    assert!(b.pc.cpus[0].intr && !b.pc.cpus[1].intr);
    assert_eq!(b.bus(0, |b, mem, at| b.acknowledge_interrupt(mem, at)), Some(0x34));
    assert!(!b.pc.cpus[0].intr);
    assert_eq!(b.inp(0x3f8, 1), u32::from(b'x'));
    // Now I/O APIC pin 4 to CPU 1.
    b.out(0x21, 1, 0xff);
    b.store(1, 0xfee0_00f0, 0x1ff);
    b.store(0, 0xfec0_0000, 0x19);
    b.store(0, 0xfec0_0010, 0x0100_0000);
    b.store(0, 0xfec0_0000, 0x18);
    b.store(0, 0xfec0_0010, 0x41);
    b.input(&Input::Serial { port: 0, bytes: b"y".to_vec() });
    assert!(!b.pc.cpus[0].intr && b.pc.cpus[1].intr);
    assert_eq!(b.bus(1, |b, mem, at| b.acknowledge_interrupt(mem, at)), Some(0x41));
    assert!(!b.pc.cpus[1].intr);
}

#[test]
fn init_and_startup_start_the_second_cpu() {
    let mut b = Bench::new(2, 0);
    assert!(b.pc.halted(1));
    b.store(0, 0xfee0_0310, 0x0100_0000);
    b.store(0, 0xfee0_0300, 0x4500);
    assert!(b.pc.cpus[1].init_pending);
    b.pc.cpus[1].init_pending = false;
    b.store(0, 0xfee0_0300, 0x4608);
    assert_eq!(b.pc.cpus[1].sipi_pending, Some(8));
    assert!(!b.pc.halted(1));
}

#[test]
fn requests() {
    let ask = |f: &dyn Fn(&mut Bench)| {
        let mut b = Bench::new(1, 0);
        f(&mut b);
        b.pc.world().request
    };
    assert_eq!(ask(&|b| b.out(0x604, 2, 0x2001)), Some(Request::PowerOff));
    assert_eq!(ask(&|b| b.out(0xcf9, 1, 6)), Some(Request::Reset));
    assert_eq!(ask(&|b| b.out(0x92, 1, 3)), Some(Request::Reset));
    assert_eq!(ask(&|b| b.out(0x64, 1, 0xfe)), Some(Request::Reset));
    assert_eq!(ask(&|b| b.out(0x501, 1, 0)), Some(Request::Exit(1)));
    assert_eq!(ask(&|b| b.input(&Input::Reset)), Some(Request::Reset));
    assert_eq!(ask(&|b| b.out(0xcf9, 1, 0)), None);
}

#[test]
fn power_button_raises_the_sci_and_nmi_its_pin() {
    let mut b = Bench::new(1, 0);
    b.out(0x602, 2, 0x100);
    b.store(0, 0xfee0_00f0, 0x1ff);
    b.store(0, 0xfec0_0000, 0x22);
    b.store(0, 0xfec0_0010, 0x8059);
    b.input(&Input::PowerButton);
    assert!(b.pc.cpus[0].intr);
    b.store(0, 0xfee0_0360, 0x400);
    b.input(&Input::Nmi);
    assert!(b.pc.cpus[0].nmi_pending);
}

#[test]
fn a_reset_is_power_on_but_for_the_battery() {
    let mut b = Bench::new(2, 0);
    b.out(0x70, 1, 0x40);
    b.out(0x71, 1, 0x77);
    b.out(0x43, 1, 0x34);
    b.out(0x40, 1, 0);
    b.out(0x40, 1, 0x10);
    assert!(b.pc.world().events.next().is_some());
    b.pc.reset(&mut b.mem);
    assert_eq!(b.pc.world().events.next(), None);
    b.out(0x70, 1, 0x40);
    assert_eq!(b.inp(0x71, 1), 0x77);
}

#[test]
fn a_saved_board_is_restored_byte_for_byte() {
    let mut b = Bench::new(2, 0x1_0000);
    b.out(0x43, 1, 0x34);
    b.out(0x64, 1, 0xd4);
    let saved = rmp_serde::to_vec(&b.pc).expect("plain data");
    let restored: Pc = rmp_serde::from_slice(&saved).expect("what was saved can be restored");
    assert!(rmp_serde::to_vec(&restored).expect("plain data") == saved);
}

#[test]
fn memory_says_what_does_not_fit() {
    assert!(memory(1 << 20, 0).is_err());
    assert!(memory(4 << 20, 17 << 20).is_err());
    assert!(memory((4 << 20) + 1, 0).is_err());
}
