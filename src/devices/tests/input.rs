use crate::devices::conformance::Bench;
use crate::devices::i8042::I8042;
use crate::devices::{Line, Request};
use crate::machine::events::TimerId;

/// KEY_A, KEY_UP, KEY_PAUSE of Linux.
const KEY_A: u16 = 30;
const KEY_UP: u16 = 103;
const KEY_PAUSE: u16 = 119;

fn controller() -> Bench<I8042> {
    Bench::new(I8042::new(Line(1), Line(12), TimerId(0)))
}

/// Reads what the devices send until nothing comes any more.
fn drain(b: &mut Bench<I8042>) -> Vec<u8> {
    let mut bytes = Vec::new();
    b.pass(100_000);
    while b.inb(0x64) & 1 != 0 {
        bytes.push(b.inb(0x60));
        b.pass(100_000);
    }
    bytes
}

#[test]
fn keys_are_translated_to_set_1() {
    let mut b = controller();
    for (code, down) in [(KEY_A, true), (KEY_A, false), (KEY_UP, true), (KEY_UP, false), (KEY_PAUSE, true)] {
        b.with(|d, ctx| d.key(ctx, code, down));
    }
    b.pass(20_000);
    assert!(b.level(1), "IRQ 1 with the byte");
    assert_eq!(drain(&mut b), [0x1e, 0x9e, 0xe0, 0x48, 0xe0, 0xc8, 0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5]);
    // Untranslated.
    b.outb(0x64, 0x60);
    b.outb(0x60, 0x05);
    b.with(|d, ctx| d.key(ctx, KEY_A, true));
    b.with(|d, ctx| d.key(ctx, KEY_A, false));
    assert_eq!(drain(&mut b), [0x1c, 0xf0, 0x1c]);
}

#[test]
fn a_held_key_repeats() {
    let mut b = controller();
    b.with(|d, ctx| d.key(ctx, KEY_A, true));
    assert_eq!(drain(&mut b), [0x1e]);
    b.pass(499_000_000);
    assert!(drain(&mut b).is_empty());
    b.pass(1_000_000);
    assert_eq!(drain(&mut b), [0x1e], "after half a second");
    for _ in 0..3 {
        // 10.9 a second.
        b.pass(91_740_000 - 200_000);
        assert_eq!(drain(&mut b), [0x1e]);
    }
    b.with(|d, ctx| d.key(ctx, KEY_A, false));
    assert_eq!(drain(&mut b), [0x9e]);
    b.pass(1_000_000_000);
    assert!(drain(&mut b).is_empty());
}

#[test]
fn keyboard_answers_commands() {
    let mut b = controller();
    let mut command = |bytes: &[u8]| {
        let mut replies = Vec::new();
        for &byte in bytes {
            b.outb(0x60, byte);
            replies.extend(drain(&mut b));
        }
        replies
    };
    // Replies pass the translation, but for those that it leaves alone.
    assert_eq!(command(&[0xff]), [0xfa, 0xaa]);
    assert_eq!(command(&[0xf2]), [0xfa, 0xab, 0x41]);
    assert_eq!(command(&[0xed, 7]), [0xfa, 0xfa]);
    assert_eq!(command(&[0xf3, 0]), [0xfa, 0xfa]);
    assert_eq!(command(&[0xee]), [0xee]);
    assert_eq!(command(&[0x00]), [0xfe]);
}

#[test]
fn controller_tests_and_resets() {
    let mut b = controller();
    b.outb(0x64, 0xaa);
    assert_eq!(b.inb(0x60), 0x55);
    b.outb(0x64, 0xab);
    assert_eq!(b.inb(0x60), 0);
    b.outb(0x64, 0x20);
    assert_eq!(b.inb(0x60) & 0x47, 0x47);
    b.outb(0x64, 0xdd);
    assert!(!b.device.a20());
    b.outb(0x64, 0xd1);
    b.outb(0x60, 0x03);
    assert!(b.device.a20());
    assert_eq!(b.world.request, None);
    b.outb(0x64, 0xfe);
    assert_eq!(b.world.request, Some(Request::Reset));
}

fn mouse(b: &mut Bench<I8042>, bytes: &[u8]) -> Vec<u8> {
    let mut replies = Vec::new();
    for &byte in bytes {
        b.outb(0x64, 0xd4);
        b.outb(0x60, byte);
        replies.extend(drain(b));
    }
    replies
}

#[test]
fn mouse_moves_and_grows_a_wheel() {
    let mut b = controller();
    assert_eq!(mouse(&mut b, &[0xff]), [0xfa, 0xaa, 0x00]);
    assert_eq!(mouse(&mut b, &[0xf4]), [0xfa]);
    b.with(|d, ctx| d.pointer(ctx, 5, 3, 0, 1));
    b.pass(20_000);
    assert!(b.level(12));
    assert_eq!(b.inb(0x64) & 0x21, 0x21);
    assert_eq!(drain(&mut b), [0x29, 5, 0xfd]);
    mouse(&mut b, &[0xf3, 200, 0xf3, 100, 0xf3, 80]);
    assert_eq!(mouse(&mut b, &[0xf2]), [0xfa, 3]);
    b.with(|d, ctx| d.pointer(ctx, 0, 0, 1, 0));
    assert_eq!(drain(&mut b), [0x08, 0, 0, 0xff]);
    b.with(|d, ctx| d.pointer(ctx, -300, 0, 0, 0));
    assert_eq!(drain(&mut b), [0x18, 1, 0, 0, 0x18, 0xd3, 0, 0], "in two packets");
    assert_eq!(mouse(&mut b, &[0xe9]), [0xfa, 0x20, 2, 80]);
}
