use crate::devices::acpi_pm::{AcpiPm, spec};
use crate::devices::conformance::Bench;
use crate::devices::debug::DebugPorts;
use crate::devices::fw_cfg::FwCfg;
use crate::devices::pci::config::{BarKind, Config};
use crate::devices::pci::{Mechanism, Slot, chipset};
use crate::devices::{Device, Line, Request};
use crate::machine::events::TimerId;
use crate::replay::Output;

fn pm() -> Bench<AcpiPm> {
    Bench::new(AcpiPm::new(Line(9), TimerId(0), true))
}

#[test]
fn pm_timer_runs_at_its_rate_and_overflows() {
    let mut b = pm();
    b.pass(1_000_000_000);
    assert_eq!(b.inl(spec::TIMER), 3_579_545);
    b.with(|d, ctx| d.write(ctx, spec::PM1_ENABLE, 2, 1));
    b.pass(1_343_000_000);
    assert!(!b.level(9));
    b.pass(1_000_000);
    assert!(b.level(9), "bit 23 changed");
    assert_eq!(b.inb(0) & 1, 1);
    b.with(|d, ctx| d.write(ctx, spec::PM1_STATUS, 2, 1));
    assert!(!b.level(9));
    b.pass(2_344_000_000);
    assert!(b.level(9), "and back");
}

#[test]
fn power_button_and_soft_off() {
    let mut b = pm();
    b.with(|d, ctx| d.write(ctx, spec::PM1_ENABLE, 2, spec::PWRBTN.into()));
    b.with(|d, ctx| d.power_button(ctx));
    assert!(b.level(9));
    b.with(|d, ctx| d.write(ctx, spec::PM1_STATUS, 2, spec::PWRBTN.into()));
    assert!(!b.level(9));
    b.with(|d, ctx| d.write(ctx, spec::PM1_CONTROL, 2, 0x2401));
    assert_eq!(b.world.request, None, "another sleep type");
    b.with(|d, ctx| d.write(ctx, spec::PM1_CONTROL, 2, 0x2001));
    assert_eq!(b.world.request, Some(Request::PowerOff));
}

#[test]
fn acpi_mode_is_switched_by_the_apm_port() {
    let mut b = Bench::new(AcpiPm::new(Line(9), TimerId(0), false));
    assert_eq!(b.inb(spec::PM1_CONTROL) & 1, 0);
    b.outb(spec::APM, spec::ACPI_ENABLE);
    assert_eq!(b.inb(spec::PM1_CONTROL) & 1, 1);
    b.outb(spec::APM, spec::ACPI_DISABLE);
    assert_eq!(b.inb(spec::PM1_CONTROL) & 1, 0);
}

#[test]
fn debug_exit_gives_qemus_status() {
    let mut b = Bench::new(DebugPorts::default());
    b.outb(0xe9, b'!');
    assert_eq!(b.world.outputs[0].1, Output::Debug { byte: b'!' });
    assert_eq!(b.inb(0xe9), 0xe9);
    b.outb(0x501, 0x10);
    assert_eq!(b.world.request, Some(Request::Exit(0x21)));
}

#[test]
fn pci_mechanism_finds_functions() {
    let mut m = Mechanism::default();
    assert_eq!(m.target(0), None);
    m.set_address(0x8000_0b42);
    assert_eq!(m.target(3), Some((Slot { device: 1, function: 3 }, 0x43)));
    m.set_address(0x8001_0000);
    assert_eq!(m.target(0), None, "there is one bus");
    assert!(!m.set_reset_control(2));
    assert!(m.set_reset_control(6));
}

#[test]
fn pci_bars_tell_their_size_and_identity_is_fixed() {
    let mut c = Config::new(0x8086, 0x1237, 0x06_0000, 2);
    c.bar(0, BarKind::Memory32, 0x1000, false);
    c.bar(1, BarKind::Io, 0x20, false);
    c.bar(2, BarKind::Memory64, 1 << 33, true);
    for reg in (0..0x40).step_by(4) {
        c.write(reg, 4, u32::MAX);
    }
    assert_eq!(c.read(0, 4), 0x1237_8086);
    assert_eq!(c.read(8, 4), 0x0600_0002);
    assert_eq!(c.read(0x10, 4), 0xffff_f000);
    assert_eq!(c.read(0x14, 4), 0xffff_ffe1);
    assert_eq!((c.read(0x18, 4), c.read(0x1c, 4)), (0xc, 0xffff_fffe));
    c.write(4, 2, 1);
    c.write(0x14, 4, 0xc000);
    assert_eq!(c.bar_range(1), Some((BarKind::Io, 0xc000, 0x20)));
    assert_eq!(c.bar_range(0), None, "memory is not enabled");
    assert_eq!(c.read(0xff, 4) >> 8, 0xff_ffff, "nothing behind the end");
}

#[test]
fn pam_areas_and_pirq_routes() {
    let mut host = chipset::i440fx(false);
    assert_eq!(chipset::pam(&host), [0; 13]);
    host.write(0x59, 1, 0x10);
    host.write(0x5a, 1, 0x31);
    let pam = chipset::pam(&host);
    assert_eq!((pam[12], pam[0], pam[1], pam[2]), (1, 1, 3, 0));
    let piix3 = chipset::piix3(true);
    let mut router = chipset::Router::default();
    router.set(3, 0, true);
    assert_eq!(router.irqs(&piix3), 1 << 11);
    router.set(7, 0, true);
    router.set(3, 0, false);
    assert_eq!(router.irqs(&piix3), 1 << 11, "another device still pulls it");
}

#[test]
fn fw_cfg_by_port_and_by_dma() {
    let mut f = FwCfg::new(1 << 30, 2);
    assert!(f.add_file("opt/b", b"second"));
    assert!(f.add_file("etc/a", b"first"));
    assert!(!f.add_file(&"n".repeat(56), b""));
    let mut b = Bench::new(f);
    let select = |b: &mut Bench<FwCfg>, key: u64| b.with(|d, ctx| d.write(ctx, 0x510, 2, key));
    select(&mut b, 0);
    assert_eq!([b.inb(0x511), b.inb(0x511), b.inb(0x511), b.inb(0x511), b.inb(0x511)], *b"QEMU\0");
    select(&mut b, 0x19);
    let directory: Vec<u8> = (0..4 + 2 * 64).map(|_| b.inb(0x511)).collect();
    assert_eq!(directory[..4], [0, 0, 0, 2]);
    assert_eq!(directory[4..8], [0, 0, 0, 5], "sorted by name");
    assert_eq!(&directory[12..17], b"etc/a");
    let key = u16::from_be_bytes([directory[8], directory[9]]);
    // Select and read four bytes, skip none, to 2000H.
    let mut command = Vec::new();
    command.extend((u32::from(key) << 16 | 8 | 2).to_be_bytes());
    command.extend(8u32.to_be_bytes());
    command.extend(0x2000u64.to_be_bytes());
    b.mem.write(0x1000, &command);
    b.outl(0x514, 0);
    b.outl(0x518, 0x1000u32.swap_bytes());
    let (mut status, mut data) = ([0xff; 4], [0xff; 8]);
    b.mem.read(0x1000, &mut status);
    b.mem.read(0x2000, &mut data);
    assert_eq!(status, [0; 4]);
    assert_eq!(&data, b"first\0\0\0", "zero beyond the end");
}
