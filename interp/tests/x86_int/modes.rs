//! Models of the arithmetic, and the rules of faults, modes and sizes.

use crate::bench::{Bench, CODE, CODE_PHYS, DATA, DATA_PHYS};
use dejavm_interp::engine::Stop;
use dejavm_interp::x86::flags::bit;
use dejavm_interp::x86::regs::gpr::{RAX, RBP, RBX, RCX, RDX, RSP};
use dejavm_interp::x86::regs::{cr0, cr4, right, seg};
use dejavm_interp::x86::trap::vector;
use dejavm_interp::x86::{Flow, Trap};

fn set(b: &mut Bench, r: u8, v: u64) {
    b.cpu.regs[usize::from(r)] = v;
}

fn get(b: &Bench, r: u8) -> u64 {
    b.cpu.regs[usize::from(r)]
}

/// CF, PF, AF, ZF, SF, OF by the manual's words.
fn model(op: u8, a: u8, b: u8, carry: bool) -> (u8, u64) {
    let c = i32::from(carry && matches!(op, 2 | 3));
    let (ua, ub) = (i32::from(a), i32::from(b));
    let (sa, sb) = (i32::from(a as i8), i32::from(b as i8));
    let (wide, signed, low) = match op {
        0 | 2 => (ua + ub + c, sa + sb + c, (ua & 15) + (ub & 15) + c),
        3 | 5 | 7 => (ua - ub - c, sa - sb - c, (ua & 15) - (ub & 15) - c),
        1 => (ua | ub, 0, 0),
        4 => (ua & ub, 0, 0),
        _ => (ua ^ ub, 0, 0),
    };
    let r = wide as u8;
    let mut f = 0;
    let mut flag = |on: bool, bit: u64| f |= if on { bit } else { 0 };
    flag(!(0..256).contains(&wide), bit::CF);
    flag(r.count_ones().is_multiple_of(2), bit::PF);
    flag(!(0..16).contains(&low), bit::AF);
    flag(r == 0, bit::ZF);
    flag(r >= 0x80, bit::SF);
    flag(!(-128..128).contains(&signed), bit::OF);
    (if op == 7 { a } else { r }, f)
}

#[test]
fn every_pair_of_bytes() {
    let mut bench = Bench::long();
    for op in 0..8u8 {
        // op AL, BL
        let code = [op << 3, 0xd8];
        for a in 0..=255 {
            for b in 0..=255 {
                let carry = (a ^ b) & 1 != 0;
                set(&mut bench, RAX, a.into());
                set(&mut bench, RBX, b.into());
                bench.cpu.flags.set_cf(carry);
                bench.next(&code);
                let (r, f) = model(op, a, b, carry);
                assert_eq!((get(&bench, RAX), bench.cpu.flags.bits()), (r.into(), f), "{op} {a:x} {b:x}");
            }
        }
    }
}

#[test]
fn decimal_adjustments() {
    // DAA and DAS correct every sum and difference of two packed decimal numbers.
    let mut bench = Bench::protected(0);
    let packed = |n: u32| u64::from(n / 10 % 10 * 16 + n % 10);
    for x in 0..100 {
        for y in 0..100 {
            for (code, result, carry) in
                [([0x00, 0xd8], x + y, x + y > 99), ([0x28, 0xd8], 100 + x - y, x < y)]
            {
                set(&mut bench, RAX, packed(x));
                set(&mut bench, RBX, packed(y));
                bench.next(&code);
                bench.next(&[if code[0] == 0 { 0x27 } else { 0x2f }]);
                assert_eq!((get(&bench, RAX), bench.cpu.flags.cf()), (packed(result), carry), "{x} {y}");
            }
        }
    }
    // AAA and AAS with unpacked digits.
    for x in 0..10 {
        for y in 0..10 {
            set(&mut bench, RAX, 0x300 + x);
            set(&mut bench, RBX, y);
            bench.next(&[0x00, 0xd8]);
            bench.next(&[0x37]);
            assert_eq!(get(&bench, RAX), (3 + (x + y) / 10) << 8 | (x + y) % 10);
            assert_eq!(bench.cpu.flags.cf(), x + y > 9);
            set(&mut bench, RAX, 0x300 + x);
            bench.next(&[0x28, 0xd8]);
            bench.next(&[0x3f]);
            let ah = if x < y { 2 } else { 3 };
            assert_eq!(get(&bench, RAX), ah << 8 | (10 + x - y) % 10);
            // AAM and AAD are each other's inverse.
            set(&mut bench, RAX, x * 10 + y);
            bench.next(&[0xd4, 0x0a]);
            assert_eq!(get(&bench, RAX), x << 8 | y);
            bench.next(&[0xd5, 0x0a]);
            assert_eq!(get(&bench, RAX), x * 10 + y);
        }
    }
    assert_eq!(bench.faults(&[0xd4, 0]), Trap::DE);
    bench.cpu.flags.set_cf(true);
    bench.next(&[0xd6]);
    assert_eq!(get(&bench, RAX) & 0xff, 0xff);
}

#[test]
fn divisions_that_overflow() {
    let mut b = Bench::long();
    assert_eq!(b.faults(&[0xf7, 0xf3]), Trap::DE);
    for (code, rdx, rax, rbx) in [
        (&[0xf6, 0xf3][..], 0, 0x200, 2),
        (&[0xf7, 0xf3], 2, 0, 2),
        (&[0x48, 0xf7, 0xf3], 2, 0, 2),
        // IDIV: the most negative number by -1, in each width.
        (&[0xf6, 0xfb], 0, 0xff80, 0xff),
        (&[0x66, 0xf7, 0xfb], 0xffff, 0x8000, 0xffff),
        (&[0xf7, 0xfb], 0xffff_ffff, 0x8000_0000, 0xffff_ffff),
        (&[0x48, 0xf7, 0xfb], u64::MAX, 1 << 63, u64::MAX),
        (&[0x48, 0xf7, 0xfb], 1 << 63, 0, u64::MAX),
        (&[0xf7, 0xfb], 0x8000_0000, 0, 0xffff_ffff),
    ] {
        set(&mut b, RDX, rdx);
        set(&mut b, RAX, rax);
        set(&mut b, RBX, rbx);
        assert_eq!(b.faults(code), Trap::DE, "{code:02x?}");
    }
    // One below the limit divides.
    set(&mut b, RDX, 1);
    set(&mut b, RAX, u64::MAX);
    set(&mut b, RBX, 2);
    b.next(&[0x48, 0xf7, 0xf3]);
    assert_eq!((get(&b, RAX), get(&b, RDX)), (u64::MAX, 1));
}

#[test]
fn branches_out_of_the_segment_change_nothing() {
    let mut b = Bench::protected(0);
    b.cpu.segs[usize::from(seg::CS)].limit = CODE_PHYS as u32 + 0xff;
    set(&mut b, RSP, DATA_PHYS + 64);
    set(&mut b, RCX, 5);
    set(&mut b, RAX, 0x9000_0000);
    for code in [
        &[0xe9, 0, 1, 0, 0][..],   // JMP
        &[0xe8, 0, 1, 0, 0],       // CALL
        &[0xe2, 0x80],             // LOOP below: see next line
        &[0xff, 0xe0],             // JMP EAX
        &[0xff, 0xd0],             // CALL EAX
        &[0x0f, 0x83, 0, 1, 0, 0], // JNC
    ] {
        if code[0] == 0xe2 {
            b.cpu.set_rip(CODE_PHYS + 0xf0);
            assert_eq!(b.faults(&[0xe2, 0x7f]), Trap::GP);
            b.cpu.set_rip(CODE_PHYS);
            continue;
        }
        assert_eq!(b.faults(code), Trap::GP, "{code:02x?}");
    }
    b.put(DATA_PHYS + 64, &0x9000_0000u32.to_le_bytes());
    assert_eq!(b.faults(&[0xc3]), Trap::GP);
    assert_eq!(b.faults(&[0xc2, 4, 0]), Trap::GP);
    // A conditional branch that is not taken does not care.
    b.next(&[0x0f, 0x82, 0, 1, 0, 0]);
    // With a 16-bit operand the target wraps.
    b.cpu.set_rip(0xfff0);
    assert_eq!(b.execute(&[0x66, 0xeb, 0x10], 1).0, Ok(Flow::Jump));
    assert_eq!(b.cpu.rip(), 3);
}

#[test]
fn targets_in_64_bit_mode() {
    let mut b = Bench::long();
    set(&mut b, RSP, DATA + 64);
    set(&mut b, RAX, 1 << 47);
    assert_eq!(b.faults(&[0xff, 0xe0]), Trap::GP);
    assert_eq!(b.faults(&[0xff, 0xd0]), Trap::GP);
    b.put(DATA_PHYS + 64, &(1u64 << 47).to_le_bytes());
    assert_eq!(b.faults(&[0xc3]), Trap::GP);
    // A fault of the push comes with RIP at the CALL.
    set(&mut b, RSP, DATA);
    assert!(matches!(b.faults(&[0xe8, 0, 0, 0, 0]), Trap::Fault { vector: vector::PF, .. }));
    assert_eq!(b.cpu.rip(), CODE);
    // A non-canonical stack is a stack fault, a non-canonical operand is not.
    set(&mut b, RSP, 1 << 50);
    assert_eq!(b.faults(&[0x50]), Trap::SS);
    set(&mut b, RBX, 1 << 50);
    assert_eq!(b.faults(&[0x8b, 0x03]), Trap::GP);
    // 66 does not make a near branch shorter.
    set(&mut b, RAX, CODE + 5);
    assert_eq!(b.execute(&[0x66, 0xff, 0xe0], 1).0, Ok(Flow::Jump));
    assert_eq!(b.cpu.rip(), CODE + 5);
    // JECXZ looks at ECX alone, LOOP with 67 counts it.
    set(&mut b, RCX, 0xff_0000_0000);
    assert_eq!(b.execute(&[0x67, 0xe3, 0x10], 1).0, Ok(Flow::Jump));
    b.cpu.set_rip(CODE);
    assert_eq!(b.execute(&[0x67, 0xe2, 0x10], 1).0, Ok(Flow::Jump));
    assert_eq!(get(&b, RCX), 0xffff_ffff);
}

#[test]
fn stacks_of_16_bits() {
    let mut b = Bench::real();
    set(&mut b, RSP, 0xdead_0002);
    set(&mut b, RAX, 0x1234);
    b.next(&[0x50]);
    assert_eq!(get(&b, RSP), 0xdead_0000);
    b.next(&[0x50]);
    assert_eq!(get(&b, RSP), 0xdead_fffe);
    b.next(&[0x66, 0x6a, 0xff]);
    assert_eq!((get(&b, RSP), b.bytes(DATA_PHYS + 0xfffa, 4)), (0xdead_fffa, vec![0xff; 4]));
    // PUSH SP pushes the old value, POP SP takes the popped one.
    b.next(&[0x54]);
    assert_eq!(b.bytes(DATA_PHYS + 0xfff8, 2), [0xfa, 0xff]);
    b.next(&[0x5c]);
    assert_eq!(get(&b, RSP), 0xdead_fffa);
    // A word that would cross the end of the segment.
    set(&mut b, RSP, 1);
    assert_eq!(b.faults(&[0x50]), Trap::SS);
    // PUSHA and POPA.
    for r in 0..8 {
        set(&mut b, r, 0x1111_0000 * u64::from(r) + u64::from(r));
    }
    set(&mut b, RSP, 0x100);
    b.next(&[0x60]);
    let pushed: Vec<_> =
        (0..8u8).rev().flat_map(|r| [if r == RSP { 0 } else { r }, u8::from(r == RSP)]).collect();
    assert_eq!((get(&b, RSP), b.bytes(DATA_PHYS + 0xf0, 16)), (0xf0, pushed));
    b.put(DATA_PHYS + 0xf0, &[9; 16]);
    b.next(&[0x61]);
    assert_eq!((get(&b, RSP), get(&b, RAX), get(&b, 7)), (0x100, 0x909, 0x7777_0909));
    set(&mut b, RSP, 0xf);
    assert_eq!(b.faults(&[0x60]), Trap::SS);
}

#[test]
fn frames() {
    let mut b = Bench::protected(0);
    set(&mut b, RSP, DATA_PHYS + 0x100);
    set(&mut b, RBP, DATA_PHYS + 0x200);
    b.put(DATA_PHYS + 0x1f8, &[1, 0, 0, 0, 2, 0, 0, 0]);
    b.next(&[0xc8, 0x10, 0, 3]);
    let frame = DATA_PHYS + 0xfc;
    assert_eq!((get(&b, RBP), get(&b, RSP)), (frame, frame - 12 - 0x10));
    let frame_bytes = (frame as u32).to_le_bytes();
    let bytes = b.bytes(frame - 12, 12);
    assert_eq!(bytes, [&frame_bytes[..], &[1, 0, 0, 0, 2, 0, 0, 0]].concat());
    b.next(&[0xc9]);
    assert_eq!((get(&b, RBP), get(&b, RSP)), (DATA_PHYS + 0x200, DATA_PHYS + 0x100));
    // A stack that ends inside the new frame.
    b.cpu.segs[usize::from(seg::SS)].rights |= right::DC;
    b.cpu.segs[usize::from(seg::SS)].limit = DATA_PHYS as u32 + 0x7f;
    assert_eq!(b.faults(&[0xc8, 0x80, 0, 0]), Trap::SS);
    b.next(&[0xc8, 0x7c, 0, 0]);
}

#[test]
fn pop_to_memory_addresses_with_the_new_stack_pointer() {
    let mut b = Bench::protected(0);
    set(&mut b, RSP, DATA_PHYS);
    b.put(DATA_PHYS, &[1, 2, 3, 4]);
    // POP DWORD [ESP+4]
    b.next(&[0x8f, 0x44, 0x24, 4]);
    assert_eq!(b.bytes(DATA_PHYS + 8, 4), [1, 2, 3, 4]);
    // A fault of the store leaves ESP.
    b.cpu.segs[usize::from(seg::DS)].limit = 0xfff;
    b.faults(&[0x8f, 0x05, 0, 0x10, 0, 0]);
}

fn popf(b: &mut Bench, code: &[u8], image: u64) -> Result<Flow, Trap> {
    let sp = get(b, RSP);
    let base = b.cpu.seg(seg::SS).base;
    b.put(base + sp, &image.to_le_bytes());
    let result = b.execute(code, 1).0;
    set(b, RSP, sp);
    result
}

#[test]
fn popf_changes_what_the_privilege_allows() {
    let all = 0x3f_7fd7;
    let always = bit::STATUS | bit::TF | bit::DF | bit::NT;
    let wide = bit::AC | bit::ID;
    // Bits that may become set, by CPL, IOPL and operand size.
    for (cpl, iopl, size, may) in [
        (0, 0, 4, always | wide | bit::IF | bit::IOPL),
        (0, 0, 2, always | bit::IF | bit::IOPL),
        (3, 0, 4, always | wide),
        (3, 0, 2, always),
        (3, 3, 4, always | wide | bit::IF | bit::IOPL),
        (1, 1, 4, always | wide | bit::IF | 1 << 12),
        (2, 1, 4, always | wide | 1 << 12),
    ] {
        let mut b = Bench::protected(cpl);
        set(&mut b, RSP, DATA_PHYS);
        b.cpu.rflags |= iopl << 12 | bit::RF;
        let code = if size == 2 { &[0x66, 0x9d][..] } else { &[0x9d] };
        assert_eq!(popf(&mut b, code, all), Ok(Flow::Event));
        let rf = if size == 2 { bit::RF } else { 0 };
        assert_eq!(b.cpu.rflags(), may | bit::ONE | rf, "CPL {cpl}, IOPL {iopl}, {size} bytes");
        // IF and IOPL cannot be cleared either where they cannot be set.
        b.cpu.rflags |= bit::IF;
        popf(&mut b, code, 0).unwrap();
        let kept = if cpl == 0 { 0 } else { b.cpu.rflags & bit::IOPL };
        let kept_if = if u64::from(cpl) > iopl { bit::IF } else { 0 };
        assert_eq!(b.cpu.rflags() & (bit::IOPL | bit::IF), kept | kept_if);
    }
}

#[test]
fn flags_in_virtual_8086_mode() {
    let (pushf, popf16, popf32) = ([0x9c], [0x9d], [0x66, 0x9d]);
    // IOPL 3: as without virtualisation, but IOPL stays.
    let mut b = Bench::v86(3);
    set(&mut b, RSP, 0x100);
    assert_eq!(popf(&mut b, &popf16, 0x200), Ok(Flow::Event));
    assert_eq!(b.cpu.rflags(), bit::VM | bit::IOPL | bit::IF | bit::ONE);
    b.next(&pushf);
    assert_eq!(b.bytes(DATA_PHYS + 0xfe, 2), [0x02, 0x32]);
    // IOPL below 3 without VME.
    let mut b = Bench::v86(0);
    set(&mut b, RSP, 0x100);
    assert_eq!(b.faults(&pushf), Trap::GP);
    assert_eq!(b.faults(&popf16), Trap::GP);
    // With VME, of 16 bits only: VIF takes the place of IF.
    b.cpu.cr4 |= cr4::VME;
    assert_eq!(b.faults(&popf32), Trap::GP);
    assert_eq!(popf(&mut b, &popf16, 0x201), Ok(Flow::Event));
    assert_eq!(b.cpu.rflags(), bit::VM | bit::VIF | bit::CF | bit::ONE);
    b.next(&pushf);
    assert_eq!(b.bytes(DATA_PHYS + 0xfe, 2), [0x03, 0x32]);
    set(&mut b, RSP, 0x100);
    assert_eq!(popf(&mut b, &popf16, 0x100), Err(Trap::GP));
    b.cpu.rflags |= bit::VIP;
    assert_eq!(popf(&mut b, &popf16, 0x200), Err(Trap::GP));
    assert_eq!(popf(&mut b, &popf16, 0), Ok(Flow::Event));
    assert_eq!(b.cpu.rflags(), bit::VM | bit::VIP | bit::ONE);
}

#[test]
fn alignment_is_checked_after_popf_set_ac() {
    let mut b = Bench::protected(3);
    b.cpu.cr0 |= cr0::AM;
    set(&mut b, RSP, DATA_PHYS);
    set(&mut b, RBX, DATA_PHYS + 1);
    b.code(&[0x8b, 0x03, 0x9d, 0x8b, 0x03]);
    b.put(DATA_PHYS, &bit::AC.to_le_bytes());
    assert_eq!(b.run(2).stop, Stop::Budget);
    assert_eq!(b.faults(&[0x8b, 0x03]), Trap::AC);
    set(&mut b, RBX, DATA_PHYS + 4);
    b.next(&[0x8b, 0x03]);
}

#[test]
fn bounds() {
    let mut b = Bench::protected(0);
    b.put(DATA_PHYS, &[0xf6, 0xff, 0xff, 0xff, 10, 0, 0, 0]);
    set(&mut b, RBX, DATA_PHYS);
    for (v, inside) in [(0, true), (10, true), (11, false), (0xffff_fff6, true), (0xffff_fff5, false)] {
        set(&mut b, RAX, v);
        if inside {
            b.next(&[0x62, 0x03]);
        } else {
            assert_eq!(b.faults(&[0x62, 0x03]), Trap::BR);
        }
    }
}

#[test]
fn misaligned_cmpxchg16b_and_read_only_pages() {
    let mut b = Bench::long();
    set(&mut b, RBX, DATA + 8);
    assert_eq!(b.faults(&[0x48, 0x0f, 0xc7, 0x0b]), Trap::GP);
    // The second page read-only: CMPXCHG faults as a write even if nothing would be stored.
    b.put(0x3_3000 + 8, &((DATA_PHYS + 0x1000) | 1).to_le_bytes());
    set(&mut b, RBX, DATA + 0x1000);
    set(&mut b, RAX, 1);
    set(&mut b, RDX, 1);
    let denied = Trap::pf(3);
    assert_eq!(b.faults(&[0x0f, 0xb1, 0x0b]), denied);
    assert_eq!(b.faults(&[0x48, 0x0f, 0xc7, 0x0b]), denied);
    assert_eq!(b.faults(&[0x0f, 0xc7, 0x0b]), denied);
    // So does a shift by nothing, and XADD, which keeps its register.
    set(&mut b, RCX, 0);
    assert_eq!(b.faults(&[0xd3, 0x23]), denied);
    assert_eq!(b.faults(&[0x0f, 0xc1, 0x03]), denied);
    assert_eq!(b.faults(&[0x87, 0x03]), denied);
    // BT only reads.
    b.next(&[0x0f, 0xa3, 0x03]);
    assert_eq!(b.faults(&[0x0f, 0xab, 0x03]), denied);
}

#[test]
fn bit_offsets_wrap_with_the_address_size() {
    let mut b = Bench::real();
    set(&mut b, RBX, 0xfffe);
    set(&mut b, RAX, 33);
    // BTS [BX], AX: bit 33 lies 4 bytes further on.
    b.next(&[0x0f, 0xab, 0x07]);
    assert_eq!(b.bytes(DATA_PHYS + 2, 1), [2]);
    set(&mut b, RAX, 0xffff);
    b.next(&[0x0f, 0xab, 0x07]);
    assert_eq!(b.bytes(DATA_PHYS + 0xfffc, 2), [0, 0x80]);
}

#[test]
fn invalid_opcodes_and_pause() {
    let mut b = Bench::long();
    assert_eq!(b.faults(&[0x0f, 0x0b]), Trap::UD);
    assert_eq!(b.faults(&[0x0f, 0xb9, 0xc0]), Trap::UD);
    assert_eq!(b.faults(&[0x0f, 0xff, 0xc0]), Trap::UD);
    // LOCK with a register, and with an instruction that has none.
    assert_eq!(b.execute(&[0xf0, 0x01, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 1).0, Err(Trap::UD));
    b.code(&[0xf3, 0x90]);
    let exit = b.run(5);
    assert_eq!((exit.steps, exit.stop), (1, Stop::Yield));
}

/// As the host has it (an Intel CPU).
#[test]
fn more_than_15_bytes_are_a_general_protection_fault() {
    let mut b = Bench::long();
    let mut padded = |prefix: &[u8], n: usize, rest: &[u8]| {
        let mut bytes = [prefix, &vec![0x66; n], rest].concat();
        bytes.truncate(15);
        b.execute(&bytes, 1).0
    };
    for (prefix, n, rest, result) in [
        (&[][..], 14, &[0x90][..], Ok(Flow::Next)),
        (&[], 15, &[0x90], Err(Trap::GP)),
        (&[], 13, &[0x0f, 0x0b], Err(Trap::UD)),
        (&[], 14, &[0x0f, 0x0b], Err(Trap::GP)),
        (&[], 14, &[0x06], Err(Trap::UD)),
        (&[], 12, &[0x0f, 0xff, 0xc0], Err(Trap::UD)),
        (&[], 13, &[0x0f, 0xff, 0xc0], Err(Trap::GP)),
        (&[0xf0], 13, &[0x90], Err(Trap::UD)),
        (&[0xf0], 13, &[0x81, 0xc0], Err(Trap::GP)),
        (&[], 11, &[0xb8, 0, 0], Ok(Flow::Next)),
        (&[], 13, &[0xb8, 0, 0], Err(Trap::GP)),
        // REX prefixes before the last one count, and mean nothing.
        (&[0x48, 0x48], 11, &[0x0f, 0x0b], Err(Trap::UD)),
        (&[0x48, 0x48], 12, &[0x0f, 0x0b], Err(Trap::GP)),
        (&[0xf2, 0xf3, 0x2e], 10, &[0x0f, 0x0b], Err(Trap::UD)),
        (&[0xf2, 0xf3, 0x2e], 11, &[0x0f, 0x0b], Err(Trap::GP)),
    ] {
        assert_eq!(padded(prefix, n, rest), result, "{prefix:02x?}, {n} of 66, {rest:02x?}");
    }
}

#[test]
fn counts_of_zeros_where_the_decoder_knows_them() {
    // The models decode F3 0F BC and F3 0F BD as BSF and BSR: the handlers are chosen by hand.
    let mut b = Bench::long();
    for (bytes, v, n, flags) in [
        (&[0xf3, 0x0f, 0xbc, 0xc3][..], 8u64, 3u64, bit::OF),
        (&[0xf3, 0x0f, 0xbc, 0xc3], 1, 0, bit::OF | bit::ZF),
        (&[0xf3, 0x0f, 0xbc, 0xc3], 0, 32, bit::OF | bit::CF),
        (&[0x66, 0xf3, 0x0f, 0xbd, 0xc3], 1, 15, bit::OF),
        (&[0x66, 0xf3, 0x0f, 0xbd, 0xc3], 0, 16, bit::OF | bit::CF),
        (&[0xf3, 0x48, 0x0f, 0xbd, 0xc3], 1 << 63, 0, bit::OF | bit::ZF),
        (&[0xf3, 0x48, 0x0f, 0xbd, 0xc3], 0, 64, bit::OF | bit::CF),
    ] {
        let ins = iced_x86::Decoder::new(64, bytes, 0).decode();
        let handler = dejavm_interp::x86::int::select(&ins).unwrap();
        set(&mut b, RBX, v);
        set(&mut b, RAX, 0);
        b.cpu.flags.set_bits(bit::STATUS);
        assert_eq!(b.execute_with(bytes, 1, Some(handler)), (Ok(Flow::Next), 0));
        assert_eq!((get(&b, RAX), b.cpu.flags.bits()), (n, flags), "{bytes:02x?} {v:x}");
    }
}
