use crate::devices::Line;
use crate::devices::conformance::Bench;
use crate::devices::hpet::{self, Hpet};
use crate::devices::pit::Pit;
use crate::devices::rtc::{Rtc, RtcBase};
use crate::machine::events::TimerId;
use crate::machine::time::VirtNs;

fn pit() -> Bench<Pit> {
    Bench::new(Pit::new(Line(0), TimerId(0)))
}

/// Nanoseconds until counter 0 has made `n` ticks.
fn ticks(n: u64) -> u64 {
    VirtNs::of_ticks(n, 1_193_182).0
}

#[test]
fn pit_mode_2_interrupts_once_a_period() {
    let mut b = pit();
    b.outb(0x43, 0x34);
    b.outb(0x40, (1193u16 & 0xff) as u8);
    b.outb(0x40, (1193u16 >> 8) as u8);
    b.pass(ticks(1193 * 100) - 1);
    assert_eq!(b.rises(0), 1 + 99, "the control word raises the output, then 99 periods end");
    b.pass(1);
    assert_eq!(b.rises(0), 1 + 100);
}

#[test]
fn pit_mode_0_and_4_interrupt_once() {
    for (control, extra) in [(0x30u8, 0), (0x38, 1)] {
        let mut b = pit();
        b.outb(0x43, control);
        let before = b.rises(0);
        b.outb(0x40, 0x10);
        b.outb(0x40, 0x00);
        b.pass(ticks(16 + extra) - 1);
        assert_eq!(b.rises(0), before, "control {control:#x}");
        b.pass(ticks(1000));
        assert_eq!(b.rises(0), before + 1, "control {control:#x}");
    }
}

#[test]
fn pit_latch_holds_the_count_and_read_back_the_status() {
    let mut b = pit();
    b.outb(0x43, 0x34);
    b.outb(0x40, 0x00);
    b.outb(0x40, 0x10);
    b.pass(ticks(0x10));
    b.outb(0x43, 0x00);
    b.pass(ticks(0x100));
    let latched = u16::from_le_bytes([b.inb(0x40), b.inb(0x40)]);
    assert_eq!(latched, 0x1000 - 0x10);
    let live = u16::from_le_bytes([b.inb(0x40), b.inb(0x40)]);
    assert!((0xeee..=0xef0).contains(&live), "{live:#x}");
    // Status and count of counter 0: output high, count loaded, both bytes, mode 2, binary.
    b.outb(0x43, 0xc2);
    assert_eq!(b.inb(0x40), 0xb4);
    let count = u16::from_le_bytes([b.inb(0x40), b.inb(0x40)]);
    assert_eq!(count, live);
}

#[test]
fn pit_counts_in_bcd() {
    let mut b = pit();
    b.outb(0x43, 0x31);
    b.outb(0x40, 0x00);
    b.outb(0x40, 0x01);
    b.pass(ticks(1));
    assert_eq!(u16::from_le_bytes([b.inb(0x40), b.inb(0x40)]), 0x0099);
}

/// Linux's and many boot loaders' calibration: gate counter 2, wait for its output in port 61H.
#[test]
fn pit_counter_2_times_with_its_gate() {
    let mut b = pit();
    b.outb(0x61, 0x00);
    b.outb(0x43, 0xb0);
    b.outb(0x42, 0x00);
    b.outb(0x42, 0x10);
    b.pass(ticks(0x2000));
    assert_eq!(b.inb(0x61) & 0x20, 0, "the closed gate holds it");
    b.outb(0x61, 0x01);
    // Both moments were rounded up to whole nanoseconds.
    b.pass(ticks(0x1000) - 2);
    assert_eq!(b.inb(0x61) & 0x20, 0);
    b.pass(2000);
    assert_eq!(b.inb(0x61) & 0x20, 0x20);
    let toggles = (0..10).map(|_| {
        b.pass(15_085);
        b.inb(0x61) & 0x10
    });
    let toggles: Vec<u8> = toggles.collect();
    assert!(toggles.windows(2).all(|w| w[0] != w[1]), "the refresh bit toggles: {toggles:?}");
}

fn hpet() -> Bench<Hpet> {
    Bench::new(Hpet::new(Line(40), TimerId(0)))
}

#[test]
fn hpet_counts_at_100_mhz_while_enabled() {
    let mut b = hpet();
    assert_eq!(b.inl(4), 10_000_000, "femtoseconds of a tick");
    b.pass(1000);
    assert_eq!(b.inl(0xf0), 0);
    b.outl(0x10, hpet::spec::ENABLE as u32);
    b.pass(1000);
    assert_eq!(b.inl(0xf0), 100);
    b.outl(0x10, 0);
    b.pass(1000);
    assert_eq!(b.inl(0xf0), 100);
}

#[test]
fn hpet_periodic_and_one_shot() {
    let mut b = hpet();
    b.outl(0x10, 1);
    // Enable, periodic, set the value too.
    b.outl(0x100, 0x4c);
    b.outl(0x108, 500);
    b.outl(0x108, 500);
    b.outl(0x120, 0x04);
    b.outl(0x128, 700);
    b.pass(50_000);
    assert_eq!(b.rises(40), 10);
    assert_eq!(b.rises(41), 1);
}

#[test]
fn hpet_level_holds_until_acknowledged() {
    let mut b = hpet();
    b.outl(0x10, 1);
    b.outl(0x100, 0x06);
    b.outl(0x108, 100);
    b.pass(1000);
    assert!(b.level(40));
    assert_eq!(b.inl(0x20), 1);
    b.outl(0x20, 1);
    assert!(!b.level(40));
}

fn rtc(base: i64) -> Bench<Rtc> {
    Bench::new(Rtc::new(RtcBase::Fixed(base), Line(8), TimerId(0)))
}

fn cmos(b: &mut Bench<Rtc>, i: u8) -> u8 {
    b.outb(0x70, i);
    b.inb(0x71)
}

fn set_cmos(b: &mut Bench<Rtc>, i: u8, v: u8) {
    b.outb(0x70, i);
    b.outb(0x71, v);
}

#[test]
fn rtc_shows_the_date_in_all_formats() {
    // 2024-02-29 23:59:58, a Thursday.
    let mut b = rtc(1_709_251_198);
    let read = |b: &mut Bench<Rtc>| [0x32, 9, 8, 7, 6, 4, 2, 0].map(|i| cmos(b, i));
    assert_eq!(read(&mut b), [0x20, 0x24, 0x02, 0x29, 0x05, 0x23, 0x59, 0x58]);
    b.pass(2 * VirtNs::SECOND);
    assert_eq!(read(&mut b), [0x20, 0x24, 0x03, 0x01, 0x06, 0x00, 0x00, 0x00]);
    set_cmos(&mut b, 11, 0x04);
    assert_eq!(cmos(&mut b, 4), 12, "midnight of the 12-hour clock, binary");
    b.pass(13 * 3600 * VirtNs::SECOND);
    assert_eq!(cmos(&mut b, 4), 0x81, "1 p.m.");
}

#[test]
fn rtc_can_be_set() {
    let mut b = rtc(0);
    set_cmos(&mut b, 11, 0x82);
    for (i, v) in [(0x32, 0x19), (9, 0x99), (8, 0x12), (7, 0x31), (4, 0x23), (2, 0x59), (0, 0x59)] {
        set_cmos(&mut b, i, v);
    }
    b.pass(10 * VirtNs::SECOND);
    assert_eq!(cmos(&mut b, 0), 0x59, "SET stops the clock");
    set_cmos(&mut b, 11, 0x02);
    b.pass(VirtNs::SECOND);
    assert_eq!([0x32, 9, 8, 7, 4, 2, 0].map(|i| cmos(&mut b, i)), [0x20, 0, 1, 1, 0, 0, 0]);
}

#[test]
fn rtc_interrupts() {
    let mut b = rtc(1000);
    // Periodic at 1024 Hz.
    set_cmos(&mut b, 11, 0x42);
    for _ in 0..1024 {
        b.pass(VirtNs::SECOND / 1024 + 1);
        cmos(&mut b, 12);
    }
    assert!((1023..=1024).contains(&b.rises(8)), "{}", b.rises(8));
    // Update ended and alarm three seconds on.
    let second = cmos(&mut b, 0);
    let alarm = (second >> 4) * 10 + (second & 15) + 3;
    set_cmos(&mut b, 1, alarm % 60 / 10 << 4 | alarm % 10);
    set_cmos(&mut b, 3, 0xff);
    set_cmos(&mut b, 5, 0xff);
    cmos(&mut b, 12);
    set_cmos(&mut b, 11, 0x22);
    b.pass(2 * VirtNs::SECOND);
    assert!(!b.level(8));
    b.pass(VirtNs::SECOND);
    assert!(b.level(8));
    assert_eq!(cmos(&mut b, 12) & 0xa0, 0xa0);
    assert!(!b.level(8), "reading C acknowledges");
}

#[test]
fn rtc_says_when_an_update_is_near() {
    let mut b = rtc(0);
    assert_eq!(cmos(&mut b, 10) & 0x80, 0);
    b.pass(VirtNs::SECOND - 100_000);
    assert_eq!(cmos(&mut b, 10) & 0x80, 0x80);
    b.pass(100_000);
    assert_eq!(cmos(&mut b, 10) & 0x80, 0);
}

#[test]
fn rtc_tells_the_size_of_memory() {
    let mut rtc = Rtc::new(RtcBase::Fixed(0), Line(8), TimerId(0));
    rtc.set_memory_size(3 << 30, 1 << 30);
    let mut b = Bench::new(rtc);
    let word = |b: &mut Bench<Rtc>, i: u8| u16::from_le_bytes([cmos(b, i), cmos(b, i + 1)]);
    assert_eq!(word(&mut b, 0x15), 640);
    assert_eq!(word(&mut b, 0x30), 0xffff);
    assert_eq!(word(&mut b, 0x34), ((3u32 << 14) - 256) as u16);
    assert_eq!(word(&mut b, 0x5b), 1 << 14);
}
