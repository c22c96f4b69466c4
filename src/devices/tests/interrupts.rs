use crate::devices::conformance::Bench;
use crate::devices::ioapic::IoApic;
use crate::devices::lapic::message::{Delivery, Message, Target};
use crate::devices::lapic::{FromPic, LocalApic};
use crate::devices::pic::Pic;
use crate::machine::events::TimerId;

/// Both controllers as Linux sets them up: vectors 30H and 38H, everything unmasked.
fn pics(icw4: u8) -> Bench<Pic> {
    let mut b = Bench::new(Pic::new());
    for (port, v) in [(0x20, 0x11), (0x21, 0x30), (0x21, 4), (0x21, icw4), (0x21, 0)] {
        b.outb(port, v);
    }
    for (port, v) in [(0xa0, 0x11), (0xa1, 0x38), (0xa1, 2), (0xa1, 1), (0xa1, 0)] {
        b.outb(port, v);
    }
    b
}

#[test]
fn pic_nests_by_priority() {
    let mut b = pics(1);
    b.device.set(4, true);
    assert_eq!(b.device.acknowledge(), 0x34);
    b.device.set(6, true);
    assert!(!b.device.intr(), "lower than what is served");
    b.device.set(1, true);
    assert_eq!(b.device.acknowledge(), 0x31);
    b.outb(0x20, 0x20);
    assert!(!b.device.intr(), "4 is still served");
    b.outb(0x20, 0x64);
    assert_eq!(b.device.acknowledge(), 0x36);
    b.outb(0x20, 0x0b);
    assert_eq!(b.inb(0x20), 0x40, "in service");
}

#[test]
fn pic_cascades_and_gives_spurious_vectors() {
    let mut b = pics(1);
    b.device.set(12, true);
    assert_eq!(b.device.acknowledge(), 0x3c);
    b.outb(0xa0, 0x20);
    b.outb(0x20, 0x20);
    assert!(!b.device.intr(), "an edge counts once");
    assert_eq!(b.device.acknowledge(), 0x37, "nothing there: IRQ 7");
    b.outb(0x20, 0x0b);
    assert_eq!(b.inb(0x20), 0, "and nothing is in service");
    // Level-triggered input 11 that goes away in time.
    b.outb(0x4d1, 0x08);
    b.device.set(11, true);
    assert!(b.device.intr());
    b.device.set(11, false);
    let vector = b.device.acknowledge();
    assert!(vector == 0x3f || vector == 0x37, "{vector:#x}");
}

#[test]
fn pic_modes() {
    // Automatic end of interrupt.
    let mut b = pics(3);
    b.device.set(3, true);
    b.device.acknowledge();
    b.outb(0x20, 0x0b);
    assert_eq!(b.inb(0x20), 0);
    // Rotation makes the served input the lowest.
    let mut b = pics(1);
    b.device.set(3, true);
    b.device.acknowledge();
    b.outb(0x20, 0xa0);
    b.device.set(3, false);
    b.device.set(3, true);
    b.device.set(5, true);
    assert_eq!(b.device.acknowledge(), 0x35);
    // Special mask: a masked input in service lets lower ones through.
    let mut b = pics(1);
    b.device.set(1, true);
    b.device.acknowledge();
    b.device.set(6, true);
    b.outb(0x21, 0x02);
    assert!(!b.device.intr());
    b.outb(0x20, 0x68);
    assert_eq!(b.device.acknowledge(), 0x36);
    // Poll.
    let mut b = pics(1);
    b.device.set(6, true);
    b.outb(0x20, 0x0c);
    assert_eq!(b.inb(0x20), 0x86);
    b.outb(0x20, 0x0c);
    assert_eq!(b.inb(0x20), 0);
}

fn write_pin(b: &mut Bench<IoApic>, pin: u32, v: u64) {
    b.outl(0, 0x11 + 2 * pin);
    b.outl(0x10, (v >> 32) as u32);
    b.outl(0, 0x10 + 2 * pin);
    b.outl(0x10, v as u32);
}

#[test]
fn ioapic_edges_and_levels() {
    let mut b = Bench::new(IoApic::new());
    b.outl(0, 1);
    assert_eq!(b.inl(0x10), 0x0017_0020);
    b.device.set(4, true);
    write_pin(&mut b, 4, 0x0200_0000_0000_0041);
    assert!(b.device.out.is_empty(), "an edge at a masked pin is lost");
    b.device.set(4, false);
    b.device.set(4, true);
    let sent = std::mem::take(&mut b.device.out);
    assert_eq!(
        sent,
        [Message {
            target: Target::Apic { id: 2, logical: false },
            delivery: Delivery::Fixed,
            vector: 0x41,
            level: false,
            assert: true,
        }]
    );
    write_pin(&mut b, 9, 0x8059);
    b.device.set(9, true);
    b.device.set(9, false);
    b.device.set(9, true);
    assert_eq!(std::mem::take(&mut b.device.out).len(), 1, "until the EOI once");
    b.device.end_of_interrupt(0x59);
    assert_eq!(std::mem::take(&mut b.device.out).len(), 1, "still high");
    b.device.set(9, false);
    b.device.end_of_interrupt(0x59);
    assert!(b.device.out.is_empty());
}

fn lapic() -> Bench<LocalApic> {
    let mut b = Bench::new(LocalApic::new(0, true, true, TimerId(0)));
    b.outl(0xf0, 0x1ff);
    b
}

fn fixed(vector: u8, level: bool) -> Message {
    let target = Target::Apic { id: 0, logical: false };
    Message { target, delivery: Delivery::Fixed, vector, level, assert: true }
}

#[test]
fn lapic_priorities_and_eoi() {
    let mut b = lapic();
    b.with(|d, ctx| d.accept(ctx, &fixed(0x41, false)));
    b.with(|d, ctx| d.accept(ctx, &fixed(0x52, true)));
    b.outl(0x80, 0x50);
    assert!(!b.device.intr(false), "52H is not above task priority 50H");
    b.device.set_cr8(4);
    assert_eq!(b.device.acknowledge(false), Some(Ok(0x52)));
    assert_eq!(b.inl(0xa0), 0x50);
    assert!(!b.device.intr(false));
    b.outl(0xb0, 0);
    assert_eq!(std::mem::take(&mut b.device.eois), [0x52], "level: broadcast");
    b.device.set_cr8(0);
    assert_eq!(b.device.acknowledge(false), Some(Ok(0x41)));
    b.outl(0xb0, 0);
    assert!(b.device.eois.is_empty());
    assert_eq!(b.device.acknowledge(false), None);
}

#[test]
fn lapic_timer_one_shot_periodic_deadline() {
    let mut b = lapic();
    b.outl(0x3e0, 0xb);
    b.outl(0x320, 0x40);
    b.outl(0x380, 1000);
    b.pass(400);
    assert_eq!(b.inl(0x390), 600);
    b.pass(599);
    assert!(!b.device.intr(false));
    b.pass(1);
    assert_eq!(b.device.acknowledge(false), Some(Ok(0x40)));
    b.outl(0xb0, 0);
    assert_eq!(b.inl(0x390), 0);
    b.pass(10_000);
    assert!(!b.device.intr(false), "once");

    b.outl(0x3e0, 0x3); // by 16
    b.outl(0x320, 0x2_0040);
    b.outl(0x380, 100);
    for i in 0..5 {
        b.pass(1600);
        assert_eq!(b.device.acknowledge(false), Some(Ok(0x40)), "period {i}");
        b.outl(0xb0, 0);
    }
    b.outl(0x380, 0);
    b.pass(10_000);
    assert!(!b.device.intr(false), "stopped");

    b.outl(0x320, 0x4_0040);
    let deadline = b.now.0 + 500 + 7;
    assert!(b.with(|d, ctx| d.msr_write(ctx, 0x10, 7)).is_some());
    assert!(b.with(|d, ctx| d.msr_write(ctx, 0x6e0, deadline)).is_some());
    b.pass(499);
    assert!(!b.device.intr(false));
    b.pass(1);
    assert!(b.device.intr(false));
    assert_eq!(b.with(|d, ctx| d.msr_read(ctx, 0x6e0)), Some(0), "it disarms itself");
}

#[test]
fn lapic_takes_the_8259s_interrupts_by_lint0() {
    let mut b = Bench::new(LocalApic::new(0, false, false, TimerId(0)));
    assert!(b.device.intr(true), "virtual wire mode after reset");
    b.outl(0x350, 0x1_0700);
    assert!(!b.device.intr(true), "masked");
    assert!(!LocalApic::new(1, false, false, TimerId(0)).intr(true), "the bootstrap CPU's only");
    b.outl(0xf0, 0x1ff);
    b.outl(0x350, 0x700);
    assert_eq!(b.device.acknowledge(true), Some(Err(FromPic)));
    // Off altogether: the pin is INTR.
    assert!(b.with(|d, ctx| d.msr_write(ctx, 0x1b, 0xfee0_0100)).is_some());
    assert!(b.device.intr(true));
    assert!(b.with(|d, ctx| d.msr_write(ctx, 0x1b, 0xfee0_0d00)).is_none(), "no x2APIC here");
}

#[test]
fn lapic_logical_destinations() {
    let mut b = lapic();
    b.outl(0xd0, 0x0400_0000);
    assert!(b.device.matches(0x06, true));
    assert!(!b.device.matches(0x03, true));
    b.outl(0xe0, 0x0fff_ffff);
    b.outl(0xd0, 0x2400_0000);
    assert!(b.device.matches(0x24, true));
    assert!(!b.device.matches(0x14, true));
    assert!(b.device.matches(0xf4, true));
    assert!(b.device.matches(0xff, false) && b.device.matches(0, false) && !b.device.matches(1, false));
}

#[test]
fn lapic_sends_ipis_and_tells_errors() {
    let mut b = lapic();
    b.outl(0x310, 0x0300_0000);
    b.outl(0x300, 0x4612);
    let startup = Message {
        target: Target::Apic { id: 3, logical: false },
        delivery: Delivery::StartUp,
        vector: 0x12,
        level: false,
        assert: true,
    };
    assert_eq!(std::mem::take(&mut b.device.out), [startup]);
    b.outl(0x300, 0x4005);
    assert!(b.device.out.is_empty(), "vector 5 is illegal");
    b.outl(0x280, 0);
    assert_eq!(b.inl(0x280), 0x20);
    b.with(|d, ctx| d.accept(ctx, &Message { delivery: Delivery::Init, ..fixed(0, false) }));
    assert!(b.device.signals.init);
    assert_eq!(b.inl(0xf0), 0xff, "INIT disables by software");
}

#[test]
fn lapic_x2apic_registers_are_msrs() {
    let mut b = lapic();
    assert_eq!(b.with(|d, ctx| d.msr_read(ctx, 0x802)), None);
    assert!(b.with(|d, ctx| d.msr_write(ctx, 0x1b, 0xfee0_0d00)).is_some());
    assert!(!b.device.claims(0xfee0_0000));
    assert_eq!(b.with(|d, ctx| d.msr_read(ctx, 0x80d)), Some(1), "cluster 0, first CPU");
    assert!(b.with(|d, ctx| d.msr_write(ctx, 0x83f, 0x45)).is_some());
    assert_eq!(b.device.out.len(), 1);
    assert!(b.with(|d, ctx| d.msr_write(ctx, 0x80b, 1)).is_none(), "EOI takes 0 only");
    assert!(b.with(|d, ctx| d.msr_write(ctx, 0x1b, 0xfee0_0900)).is_none(), "not back at once");
}
