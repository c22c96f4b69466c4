//! What the manuals of the ARM board's devices promise.

use super::super::conformance::Bench;
use super::super::flash::Flash;
use super::super::generic_timer::{GenericTimer, spec as timer};
use super::super::gic::{ppi, spi};
use super::super::gicv2::{GicV2, spec as v2};
use super::super::gicv3::{GicV3, spec as v3};
use super::super::pl011::{Pl011, spec as uart};
use super::super::pl031::Pl031;
use super::super::pl061::Pl061;
use super::super::rtc::RtcBase;
use super::super::{Device, Line};
use crate::machine::events::TimerId;
use crate::machine::time::VirtNs;
use crate::replay::Output;
use dejavm_interp::aarch64::sysreg::encoding;

const GICC: u64 = v2::INTERFACE;

/// A GICv2 with everything enabled, priorities at A0H.
fn gicv2(cpus: usize) -> Bench<GicV2> {
    let mut b = Bench::new(GicV2::new(cpus));
    b.outl(0, 3);
    for n in 0..9 {
        b.outl(0x100 + 4 * n, u32::MAX);
    }
    for cpu in 0..cpus as u64 {
        for n in (0..288).step_by(4) {
            b.outl(cpu * v2::VIEW + 0x400 + n, 0xa0a0_a0a0);
        }
        b.outl(cpu * v2::VIEW + GICC + v2::GICC_PMR, 0xff);
        b.outl(cpu * v2::VIEW + GICC + v2::GICC_CTLR, 1);
    }
    b
}

#[test]
fn gicv2_takes_a_level_until_it_falls() {
    let mut b = gicv2(1);
    b.device.set(spi(1), true);
    assert_eq!(b.device.outputs(0), (true, false));
    assert_eq!(b.inl(GICC + v2::GICC_HPPIR), 33);
    assert_eq!(b.inl(GICC + v2::GICC_IAR), 33);
    assert_eq!(b.device.outputs(0), (false, false), "being handled");
    assert_eq!((b.inl(0x304), b.inl(0x204)), (2, 2), "active and pending");
    assert_eq!(b.inl(GICC + v2::GICC_RPR), 0xa0);
    b.outl(GICC + v2::GICC_EOIR, 33);
    assert_eq!(b.device.outputs(0), (true, false), "still high");
    assert_eq!(b.inl(GICC + v2::GICC_IAR), 33);
    b.device.set(spi(1), false);
    b.outl(GICC + v2::GICC_EOIR, 33);
    assert_eq!(b.device.outputs(0), (false, false));
    assert_eq!(b.inl(GICC + v2::GICC_IAR), 1023);
}

#[test]
fn gicv2_preempts_by_group_priority() {
    let mut b = gicv2(1);
    b.device.set(ppi(0, 27), true);
    assert_eq!(b.inl(GICC + v2::GICC_IAR), 27);
    b.outb(0x400 + 34, 0x98);
    b.device.set(spi(2), true);
    assert!(b.device.outputs(0).0, "98H is more urgent than A0H");
    b.outl(GICC + v2::GICC_BPR, 6);
    assert!(!b.device.outputs(0).0, "not in bit 7");
    b.outb(0x400 + 34, 0x78);
    assert_eq!(b.inl(GICC + v2::GICC_IAR), 34);
    b.outl(GICC + v2::GICC_EOIR, 34);
    assert_eq!(b.inl(GICC + v2::GICC_RPR), 0xa0, "back to the first");
    b.outl(GICC + v2::GICC_PMR, 0xa0);
    b.outl(GICC + v2::GICC_EOIR, 27);
    assert!(!b.device.outputs(0).0 || b.inl(GICC + v2::GICC_HPPIR) == 34, "A0H is masked by A0H");
}

#[test]
fn gicv2_sends_between_cpus() {
    let mut b = gicv2(3);
    let (cpu1, cpu2) = (v2::VIEW, 2 * v2::VIEW);
    b.outl(0xf00, 0x2_0005);
    b.outl(cpu2 + 0xf00, 0x100_0005);
    assert_eq!([0, 1, 2].map(|c| b.device.outputs(c).0), [true, true, false]);
    assert_eq!(b.inl(cpu1 + GICC + v2::GICC_IAR), 5, "from CPU 0");
    assert!(!b.device.outputs(1).0, "the same interrupt waits");
    b.outl(cpu1 + GICC + v2::GICC_EOIR, 5);
    assert_eq!(b.inl(cpu1 + GICC + v2::GICC_IAR), 5 | 2 << 10, "from CPU 2");
    // A shared interrupt goes to its targets, and to nobody without one.
    b.device.set(spi(7), true);
    b.outb(0x800 + 39, 2);
    assert_eq!(b.inl(0x800 + 36) >> 24, 2);
    assert_eq!(b.inl(cpu1 + 0x800), 0x0202_0202, "private ones are one's own");
    assert_eq!([0, 2].map(|c| b.inl(c * v2::VIEW + GICC + v2::GICC_HPPIR) & 0x3ff), [5, 1023]);
}

#[test]
fn gicv2_groups_and_deactivation() {
    let mut b = gicv2(1);
    b.outl(GICC + v2::GICC_CTLR, 3 | v2::CTLR_FIQ_EN | v2::CTLR_EOI_MODE);
    b.outl(0x84, 2);
    b.device.set(spi(1), true);
    assert_eq!(b.device.outputs(0), (true, false), "group 1 is IRQ");
    assert_eq!(b.inl(GICC + v2::GICC_IAR), 1022);
    assert_eq!(b.inl(GICC + v2::GICC_AIAR), 33);
    b.outl(GICC + v2::GICC_AEOIR, 33);
    assert_eq!((b.inl(GICC + v2::GICC_RPR), b.inl(0x304)), (0xff, 2), "dropped and active");
    b.outl(GICC + v2::GICC_DIR, 33);
    assert_eq!(b.inl(0x304), 0);
    b.device.set(spi(1), false);
    b.device.set(spi(2), true);
    assert_eq!(b.device.outputs(0), (false, true), "group 0 is FIQ");
}

const fn icc(crm: u16, op2: u16) -> u16 {
    encoding(3, 0, 12, crm, op2)
}
const IAR1: u16 = icc(12, 0);
const EOIR1: u16 = icc(12, 1);
const SGI1R: u16 = icc(11, 5);

/// A GICv3 as Linux sets it up: everything of group 1, awake.
fn gicv3(cpus: u64) -> Bench<GicV3> {
    let affinity = |n: u64| n / 16 << 8 | n % 16;
    let mut b = Bench::new(GicV3::new((0..cpus).map(affinity)));
    b.outl(0, 0x12);
    for n in 1..9 {
        b.outl(0x80 + 4 * n, u32::MAX);
        b.outl(0x100 + 4 * n, u32::MAX);
    }
    for n in (32..288).step_by(4) {
        b.outl(0x400 + n, 0xa0a0_a0a0);
    }
    for cpu in 0..cpus {
        let base = v3::REDISTRIBUTORS + cpu * v3::REDISTRIBUTOR;
        assert_eq!(b.inl(base + v3::GICR_WAKER), 0, "awake");
        b.outl(base + v3::SGI_BASE + 0x80, u32::MAX);
        b.outl(base + v3::SGI_BASE + 0x100, u32::MAX);
        for n in (0..32).step_by(4) {
            b.outl(base + v3::SGI_BASE + 0x400 + n, 0xa0a0_a0a0);
        }
        let gic = &mut b.device;
        for (reg, v) in [(encoding(3, 0, 4, 6, 0), 0xf0), (icc(12, 7), 1)] {
            assert_eq!(gic.system_write(cpu as usize, reg, v), Some(()));
        }
    }
    b
}

#[test]
fn gicv3_takes_and_ends() {
    let mut b = gicv3(2);
    assert_eq!(b.inl(0) & 0x50, 0x50, "affinity routing, one security state");
    b.device.set(ppi(1, 27), true);
    assert_eq!([0, 1].map(|c| b.device.outputs(c)), [(false, false), (true, false)]);
    let g = &mut b.device;
    assert_eq!((g.system_read(1, icc(8, 0)), g.system_read(1, IAR1)), (Some(1023), Some(27)));
    assert_eq!((g.system_read(1, icc(11, 3)), g.outputs(1)), (Some(0xa0), (false, false)));
    g.system_write(1, icc(8, 1), 27);
    assert_eq!(g.system_read(1, icc(11, 3)), Some(0xa0), "not of that group");
    g.set(ppi(1, 27), false);
    g.system_write(1, EOIR1, 27);
    assert_eq!((g.system_read(1, icc(11, 3)), g.system_read(1, IAR1)), (Some(0xff), Some(1023)));
    // A CPU that sleeps gets nothing.
    let waker = v3::REDISTRIBUTORS + v3::GICR_WAKER;
    b.device.set(spi(1), true);
    assert!(b.device.outputs(0).0);
    b.outl(waker, v3::WAKER_PROCESSOR_SLEEP);
    assert_eq!((b.inl(waker), b.device.outputs(0).0), (6, false));
    b.outl(waker, 0);
    // Priority drop and deactivation apart.
    let g = &mut b.device;
    g.system_write(0, icc(12, 4), 2);
    assert_eq!(g.system_read(0, IAR1), Some(33));
    g.system_write(0, EOIR1, 33);
    assert_eq!((g.system_read(0, icc(11, 3)), g.outputs(0).0), (Some(0xff), false));
    g.system_write(0, icc(11, 1), 33);
    assert!(g.outputs(0).0);
    assert_eq!(g.system_read(0, icc(8, 5)), None, "AP0R1 is for more than five bits");
}

#[test]
fn gicv3_routes_by_affinity() {
    let mut b = gicv3(18);
    b.with(|d, ctx| d.write(ctx, 0x6000 + 8 * 33, 8, 0x101));
    assert_eq!(b.with(|d, ctx| d.read(ctx, 0x6000 + 8 * 33, 8)), 0x101);
    b.device.set(spi(1), true);
    assert_eq!((b.device.outputs(0).0, b.device.outputs(17).0), (false, true));
    b.with(|d, ctx| d.write(ctx, 0x6000 + 8 * 33, 8, 1 << 31));
    assert!(b.device.outputs(0).0, "any one: the first");
    let g = &mut b.device;
    g.set(spi(1), false);
    // INTID 3 to 1.0 and 1.1; then to all others.
    g.system_write(2, SGI1R, 3 << 24 | 1 << 16 | 3);
    let who = |g: &GicV3| (0..18).filter(|&c| g.outputs(c).0).collect::<Vec<_>>();
    assert_eq!(who(g), [16, 17]);
    assert_eq!(g.system_read(16, IAR1), Some(3));
    g.system_write(17, SGI1R, v3::SGI_IRM | 4 << 24);
    assert_eq!(who(g), (0..18).filter(|&c| c != 16).collect::<Vec<_>>(), "16 handles the same priority");
    let typer = v3::REDISTRIBUTORS + 17 * v3::REDISTRIBUTOR + v3::GICR_TYPER;
    assert_eq!(b.with(|d, ctx| d.read(ctx, typer, 8)), 0x101 << 32 | 17 << 8 | v3::TYPER_LAST);
}

#[test]
fn generic_timer_fires_at_its_count() {
    let mut b = Bench::new(GenericTimer::new([30, 27, 26, 29].map(Line), TimerId(0)));
    let read = |b: &mut Bench<GenericTimer>, r: u16| b.with(|d, ctx| d.read(ctx, r.into(), 8));
    let write = |b: &mut Bench<GenericTimer>, r: u16, v| b.with(|d, ctx| d.write(ctx, r.into(), 8, v));
    assert_eq!(read(&mut b, timer::CNTFRQ_EL0), 62_500_000);
    b.pass(1600);
    assert_eq!((read(&mut b, timer::CNTPCT_EL0), read(&mut b, timer::CNTVCT_EL0)), (100, 100));
    write(&mut b, timer::CNTV_TVAL_EL0, 50);
    write(&mut b, timer::CNTV_TVAL_EL0 + timer::CTL, 1);
    assert_eq!(read(&mut b, timer::CNTV_TVAL_EL0 + timer::CVAL), 150);
    b.pass(799);
    assert!(!b.level(27));
    b.pass(1);
    assert!(b.level(27) && !b.level(30));
    assert_eq!(read(&mut b, timer::CNTV_TVAL_EL0 + timer::CTL), 5);
    b.pass(32);
    assert_eq!(read(&mut b, timer::CNTV_TVAL_EL0), 0xffff_fffe);
    write(&mut b, timer::CNTV_TVAL_EL0 + timer::CTL, 3);
    assert!(!b.level(27), "masked");
    write(&mut b, timer::CNTV_TVAL_EL0 + timer::CTL, 1);
    write(&mut b, timer::CNTV_TVAL_EL0, 10);
    assert!(!b.level(27));
    // The virtual count is behind by the offset, and so is its comparator.
    write(&mut b, timer::CNTVOFF_EL2, 100);
    assert_eq!(read(&mut b, timer::CNTVCT_EL0), 52);
    b.pass(110 * 16);
    assert!(b.level(27));
    write(&mut b, timer::CNTP_TVAL_EL0 + timer::CVAL, u64::MAX);
    write(&mut b, timer::CNTP_TVAL_EL0 + timer::CTL, 1);
    b.pass(VirtNs::SECOND);
    assert!(!b.level(30), "in 9,000 years");
}

fn sent<D>(b: &mut Bench<D>) -> Vec<u8> {
    let outputs = std::mem::take(&mut b.world.outputs);
    outputs
        .into_iter()
        .map(|(_, o)| match o {
            Output::Serial { byte, .. } => byte,
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn pl011_sends_and_tells_when_its_fifo_falls() {
    let mut b = Bench::new(Pl011::new(0, Line(33), TimerId(0)));
    b.outl(uart::LCR_H, 0x70);
    b.outl(uart::CR, 0x301);
    b.outl(uart::IMSC, uart::INT_TX);
    assert!(!b.level(33), "no transition yet");
    for n in 0..16 {
        assert_eq!(b.inl(uart::FR) & uart::FR_TXFF, 0);
        b.outl(uart::DR, n);
    }
    assert_eq!(
        b.inl(uart::FR) & (uart::FR_TXFF | uart::FR_BUSY | uart::FR_TXFE),
        uart::FR_TXFF | uart::FR_BUSY
    );
    assert_eq!(sent(&mut b), (0..16).collect::<Vec<u8>>());
    b.pass(8 * uart::TX_NS - 1);
    assert!(!b.level(33));
    b.pass(1);
    assert!(b.level(33), "half empty");
    b.outl(uart::ICR, uart::INT_TX);
    assert!(!b.level(33));
    b.pass(8 * uart::TX_NS);
    assert_eq!(b.inl(uart::FR) & (uart::FR_BUSY | uart::FR_TXFE), uart::FR_TXFE);
    assert!(!b.level(33), "one transition, one interrupt");
}

#[test]
fn pl011_loses_nothing_that_comes_early() {
    let mut b = Bench::new(Pl011::new(0, Line(33), TimerId(0)));
    b.outl(uart::LCR_H, 0x70);
    b.outl(uart::CR, 0x301);
    assert_eq!(b.device.room(), 0, "nobody listens");
    b.outl(uart::IMSC, uart::INT_RX | uart::INT_RT);
    assert_eq!(b.device.room(), 16);
    b.with(|d, ctx| d.receive(ctx, b"abc"));
    assert!(!b.level(33), "below the trigger");
    // As drivers do: masked, what is there thrown away, and again.
    b.outl(uart::IMSC, 0);
    assert_eq!(b.inl(uart::FR) & uart::FR_RXFE, uart::FR_RXFE);
    assert_eq!(b.inl(uart::DR), 0);
    b.outl(uart::IMSC, uart::INT_RX | uart::INT_RT);
    b.pass(VirtNs::SECOND);
    assert!(b.level(33), "the timeout");
    assert_eq!([b.inl(uart::DR), b.inl(uart::DR), b.inl(uart::DR)], [97, 98, 99]);
    assert!(!b.level(33));
    b.with(|d, ctx| d.receive(ctx, b"12345678"));
    assert!(b.level(33), "half full");
    assert_eq!(b.device.room(), 8);
}

#[test]
fn pl011_serves_a_poller() {
    let mut b = Bench::new(Pl011::new(0, Line(33), TimerId(0)));
    b.outl(uart::CR, 0x301);
    for _ in 0..uart::POLLS {
        assert_eq!(b.device.room(), 0);
        b.inl(uart::FR);
    }
    assert_eq!(b.device.room(), 1, "no FIFO");
    b.with(|d, ctx| d.receive(ctx, b"x"));
    assert_eq!(b.inl(uart::FR) & uart::FR_RXFE, 0);
    assert_eq!(b.inl(uart::DR), 120);
    // Loopback.
    b.outl(uart::CR, 0x301 | uart::CR_LBE | uart::CR_RTS);
    b.outl(uart::DR, 7);
    assert_eq!(b.inl(uart::FR) & 0x107, uart::FR_CTS);
    assert_eq!(b.inl(uart::DR), 7);
    assert!(sent(&mut b).is_empty());
}

#[test]
fn pl031_counts_and_matches() {
    let mut b = Bench::new(Pl031::new(RtcBase::Fixed(1000), Line(34), TimerId(0)));
    assert_eq!(b.inl(0), 1000);
    b.pass(VirtNs::SECOND * 5 / 2);
    assert_eq!(b.inl(0), 1002);
    b.outl(4, 1005);
    b.outl(0x10, 1);
    b.pass(VirtNs::SECOND * 5 / 2 - 1);
    assert!(!b.level(34));
    b.pass(1);
    assert!(b.level(34));
    b.outl(0x1c, 1);
    assert!(!b.level(34));
    b.outl(8, 0x8000_0000);
    assert_eq!((b.inl(0), b.inl(8)), (0x8000_0000, 0x8000_0000));
    // Masked it is noticed all the same.
    b.outl(0x10, 0);
    b.outl(4, 0x8000_0001);
    b.pass(VirtNs::SECOND);
    assert_eq!((b.inl(0x14), b.inl(0x18)), (1, 0));
}

#[test]
fn pl061_tells_edges_and_levels() {
    let mut b = Bench::new(Pl061::new(Line(39), TimerId(0)));
    b.outl(0x408, 8);
    b.outl(0x410, 8);
    b.with(|d, ctx| d.press(ctx, 3));
    assert!(b.level(39));
    assert_eq!((b.inl(0x3fc), b.inl(0x20), b.inl(0x10)), (8, 8, 0));
    b.outl(0x41c, 8);
    assert!(!b.level(39));
    b.pass(100_000_000);
    assert!(b.level(39), "the release is an edge too");
    b.outl(0x41c, 8);
    // A level.
    b.outl(0x404, 8);
    assert!(b.level(39), "low");
    b.outl(0x40c, 8);
    assert!(!b.level(39));
    // Outputs show what was written, under the address's mask.
    b.outl(0x400, 3);
    b.outl(1 << 2, 0xff);
    assert_eq!(b.inl(0x3fc), 1);
}

#[test]
fn flash_programs_and_erases() {
    let mut b = Bench::new(Flash::new(0x8_0000, 0x8_0000));
    let both = |v: u32| v | v << 16;
    assert!(b.device.array());
    b.outl(0x4_0000, both(0x20));
    assert!(!b.device.array());
    b.outl(0x4_0000, both(0xd0));
    assert_eq!(b.inl(0x4_0000), both(0x80), "ready");
    b.outl(0, both(0xff));
    assert_eq!((b.inl(0x3_fffc), b.inl(0x4_0000), b.inl(0x7_fffc)), (0, u32::MAX, u32::MAX));
    for v in [0x1234_5678, 0xffff_00ff] {
        b.outl(0x4_0010, both(0x40));
        b.outl(0x4_0010, v);
    }
    b.outl(0, both(0xff));
    assert_eq!(b.inl(0x4_0010), 0x1234_0078, "bits only fall");
    // The buffer: two words, confirmed.
    b.outl(0x4_0100, both(0xe8));
    assert_eq!(b.inl(0x4_0100), both(0x80));
    b.outl(0x4_0100, both(1));
    b.outl(0x4_0100, 1);
    b.outl(0x4_0104, 2);
    b.outl(0x4_0100, both(0xd0));
    b.outl(0, both(0xff));
    assert_eq!((b.inl(0x4_0100), b.inl(0x4_0104)), (1, 2));
    // A wrong confirmation changes nothing and is told until the status is cleared.
    b.outl(0x4_0000, both(0x20));
    b.outl(0x4_0000, both(0x77));
    assert_eq!(b.inl(0), both(0xb0));
    b.outl(0, both(0x50));
    assert_eq!(b.inl(0x4_0010), 0x1234_0078);
    // Query and identifier.
    b.outl(0x154, both(0x98));
    assert_eq!([0x40, 0x44, 0x48].map(|a| b.inl(a)), [both(0x51), both(0x52), both(0x59)]);
    assert_eq!(b.inl(0x27 * 4), both(18), "each chip has half");
    b.outl(0, both(0x90));
    assert_eq!((b.inl(0), b.inl(4)), (both(0x89), both(0x18)));
}
