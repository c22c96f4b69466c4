use crate::devices::Line;
use crate::devices::conformance::Bench;
use crate::devices::uart::{Uart, spec};
use crate::machine::events::TimerId;
use crate::replay::Output;

fn uart() -> Bench<Uart> {
    let mut b = Bench::new(Uart::new(0, Line(4), TimerId(0)));
    b.outb(spec::LCR, 0x83);
    b.outb(0, 1);
    b.outb(1, 0);
    b.outb(spec::LCR, 0x03);
    b
}

#[test]
fn sends_and_says_when_it_is_empty() {
    let mut b = uart();
    b.outb(spec::MCR, 0x0b);
    b.outb(spec::IER, 2);
    assert!(b.level(4), "enabled while empty: interrupts at once");
    assert_eq!(b.inb(spec::IIR) & 0xf, spec::IIR_TX);
    assert!(!b.level(4), "reading IIR acknowledges it");
    b.outb(0, b'x');
    assert_eq!(b.inb(spec::LSR) & 0x20, 0);
    b.pass(spec::TX_NS);
    assert_eq!(b.inb(spec::LSR) & 0x60, 0x60);
    assert!(b.level(4));
    let sent: Vec<_> = b.world.outputs.iter().map(|o| o.1.clone()).collect();
    assert_eq!(sent, [Output::Serial { port: 0, byte: b'x' }]);
}

#[test]
fn fifo_interrupts_at_its_level_and_after_a_pause() {
    let mut b = uart();
    b.outb(spec::IIR, 0x81);
    b.outb(spec::MCR, 0x0b);
    b.outb(spec::IER, 1);
    b.with(|d, ctx| d.receive(ctx, b"1234567"));
    assert!(!b.level(4));
    // Four characters of ten bits at 115200 baud.
    b.pass(347_000);
    assert!(!b.level(4));
    b.pass(1000);
    assert_eq!(b.inb(spec::IIR) & 0xf, spec::IIR_TIMEOUT);
    assert_eq!(b.inb(0), b'1');
    assert!(!b.level(4), "a read restarts the pause");
    b.with(|d, ctx| d.receive(ctx, b"89"));
    assert_eq!(b.inb(spec::IIR) & 0xf, spec::IIR_RX);
    let read: Vec<u8> = (0..8).map(|_| b.inb(0)).collect();
    assert_eq!(read, b"23456789");
    assert_eq!(b.inb(spec::LSR) & 1, 0);
}

#[test]
fn never_takes_more_than_it_can_hold() {
    let mut b = uart();
    assert_eq!(b.device.room(), 0, "nobody listens");
    b.outb(spec::IER, 1);
    assert_eq!(b.device.room(), 1, "without FIFO");
    b.outb(spec::IIR, 1);
    assert_eq!(b.device.room(), 16);
    b.with(|d, ctx| d.receive(ctx, &[0; 10]));
    assert_eq!(b.device.room(), 6);
    b.inb(0);
    assert_eq!(b.device.room(), 7);
    b.outb(spec::MCR, 0x02);
    b.outb(spec::MCR, 0x00);
    assert_eq!(b.device.room(), 0, "RTS holds the sender back once it was used");
    b.outb(spec::MCR, 0x13);
    assert_eq!(b.device.room(), 0, "loopback is nobody else's");
    assert_eq!(b.inb(spec::LSR) & 2, 0, "no overrun");
}

#[test]
fn a_polling_receiver_is_noticed_and_setting_up_loses_nothing() {
    let mut b = uart();
    for _ in 0..20 {
        // A sender: waits for room, sends.
        b.inb(spec::LSR);
        b.inb(spec::LSR);
        b.outb(0, b'.');
        b.pass(spec::TX_NS);
        assert_eq!(b.device.room(), 0);
    }
    for _ in 0..spec::POLLS {
        b.inb(spec::LSR);
    }
    assert_eq!(b.device.room(), 1);
    b.with(|d, ctx| d.receive(ctx, b"k"));
    b.outb(spec::IIR, 0x07);
    assert_eq!(b.inb(0), b'k', "clearing the FIFO keeps what came from outside");
    b.outb(spec::MCR, 0x10);
    b.outb(0, 0x5a);
    b.outb(spec::IIR, 0x07);
    assert_eq!(b.inb(spec::LSR) & 1, 0, "and loses what was looped back");
}

/// What Linux's 8250 driver tries to find out the chip.
#[test]
fn is_recognised_as_a_16550a() {
    let mut b = uart();
    for v in [0x55, 0xaa] {
        b.outb(spec::SCR, v);
        assert_eq!(b.inb(spec::SCR), v);
    }
    b.outb(spec::IER, 0x0f);
    assert_eq!(b.inb(spec::IER), 0x0f);
    b.outb(spec::IER, 0);
    b.outb(spec::MCR, 0x1a);
    assert_eq!(b.inb(spec::MSR) & 0xf0, 0x90, "looped: RTS to CTS, OUT2 to DCD");
    b.outb(spec::MCR, 0);
    assert_eq!(b.inb(spec::MSR) & 0xf0, 0xb0);
    b.outb(spec::IIR, 1);
    assert_eq!(b.inb(spec::IIR) >> 6, 3);
    b.outb(spec::IIR, 0);
    assert_eq!(b.inb(spec::IIR) >> 6, 0);
}

#[test]
fn loops_back() {
    let mut b = uart();
    b.outb(spec::MCR, 0x10);
    b.outb(0, 0x5a);
    assert_eq!(b.inb(0), 0x5a);
    assert!(b.world.outputs.is_empty());
}
