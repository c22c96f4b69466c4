//! The guests' kernel: handlers that go on after anything, and launchers that start chunks.
//!
//! A handler counts its vector. Then it repairs and goes back, skips some bytes and goes back, or
//! starts the next chunk, at the latest when the patience that the launcher gave is used up.

use super::code::{Code, Reach, cc};
use super::layout::*;
use dejavm_oracle::rng::Rng;

/// What a handler does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Goes back.
    Back,
    /// Goes back some bytes further on.
    Skip(u8),
    /// Acknowledges the interrupt at the 8259s, goes back.
    Pic,
    /// Acknowledges the interrupt at the local APIC, goes back.
    Apic,
    /// Makes the page present, goes back.
    Page,
    /// Starts the next chunk.
    Next,
}

/// Vectors of the 8259s' interrupts.
pub const PIC_VECTOR: u8 = 0x20;
/// Vector of the local APIC's timer.
pub const APIC_VECTOR: u8 = 0x40;

fn way(rng: &mut Rng, kind: Kind, vector: u8) -> Way {
    match vector {
        1 | 3 | 4 => Way::Back,
        0 | 6 | 13 if kind != Kind::Real || vector != 13 => Way::Skip(1 + rng.below(4) as u8),
        5 | 7 | 16 | 19 => Way::Next,
        14 if kind.paged() => Way::Page,
        0x20..0x30 => Way::Pic,
        0x40 => Way::Apic,
        0x50..0x60 => Way::Back,
        _ => Way::Next,
    }
}

/// How native code reaches memory.
pub fn native(kind: Kind, base: u64) -> Code {
    let reach = if kind == Kind::Real { Reach::RealDs } else { Reach::Flat };
    Code::new(kind.native(), base, reach)
}

/// The code that starts the next chunk, and the handlers: addresses and bytes.
pub fn handlers(rng: &mut Rng, kind: Kind, launchers: u32) -> Vec<(u64, Vec<u8>)> {
    let dispatch_at = dispatch_address();
    let mut all = vec![(dispatch_at, dispatch(kind, launchers))];
    for vector in 0..VECTORS as u8 {
        let at = HANDLERS + u64::from(vector) * HANDLER_STEP;
        let way = way(rng, kind, vector);
        let bytes = handler(kind, vector, way, at, dispatch_at);
        assert!(bytes.len() as u64 <= HANDLER_STEP, "handler {vector} has {} bytes", bytes.len());
        all.push((at, bytes));
    }
    all
}

/// Where [`dispatch`] lies: behind the handlers.
pub fn dispatch_address() -> u64 {
    HANDLERS + VECTORS * HANDLER_STEP
}

fn dispatch(kind: Kind, launchers: u32) -> Vec<u8> {
    let mut c = native(kind, dispatch_address());
    if kind == Kind::Real {
        c.put(&[0x31, 0xc0, 0x8e, 0xd8]); // xor ax,ax; mov ds,ax
    }
    c.absolute(c.size32(), &[0x8b], 0, SEQUENCE, &[]);
    c.put(c.size32());
    c.put(&[0xff, 0xc0]); // inc eax
    c.put(c.size32());
    c.put(&[0x3d]);
    c.put(&launchers.to_le_bytes());
    let below = c.jcc(cc::B);
    c.put(c.size32());
    c.put(&[0x31, 0xc0]);
    c.land(below);
    c.absolute(c.size32(), &[0x89], 0, SEQUENCE, &[]);
    match kind {
        Kind::Long => c.put(&[0xff, 0x24, 0xc5]),
        Kind::Legacy(_) => c.put(&[0xff, 0x24, 0xc5]),
        // mov bx,ax; shl bx,3; jmp far [bx+LAUNCHERS]
        Kind::Real => c.put(&[0x89, 0xc3, 0xc1, 0xe3, 3, 0xff, 0xaf]),
    }
    let displacement = LAUNCHERS.to_le_bytes();
    c.put(&displacement[..if kind == Kind::Real { 2 } else { 4 }]);
    c.bytes
}

fn handler(kind: Kind, vector: u8, way: Way, at: u64, dispatch: u64) -> Vec<u8> {
    let mut c = native(kind, at);
    let coded = matches!(vector, 8 | 10..=14 | 17) && kind != Kind::Real;
    match kind {
        Kind::Long if coded => c.put(&[0x48, 0x83, 0xc4, 8]),
        Kind::Legacy(_) if coded => c.put(&[0x83, 0xc4, 4]),
        _ => {}
    }
    c.put(&[0x50]); // push rax
    match kind {
        Kind::Long => {}
        Kind::Legacy(_) => {
            c.put(&[0x1e]); // push ds
            c.mov_sreg(3, sel::DATA0);
        }
        Kind::Real => c.put(&[0x1e, 0x31, 0xc0, 0x8e, 0xd8]),
    }
    c.absolute(c.size32(), &[0xff], 0, COUNTS + 4 * u64::from(vector), &[]);
    let mut leave = Vec::new();
    match way {
        Way::Pic => {
            if vector >= PIC_VECTOR + 8 {
                c.out8(0xa0, 0x20);
            }
            c.out8(0x20, 0x20);
        }
        Way::Apic if kind != Kind::Real => {
            c.mov32(0, LAPIC as u32 + 0xb0);
            c.put(&[0xc7, 0, 0, 0, 0, 0]); // mov dword [rax],0
        }
        Way::Page => {
            let rex: &[u8] = if kind == Kind::Long { &[0x48] } else { &[] };
            c.put(&[0x0f, 0x20, 0xd0]); // mov rax,cr2
            c.put(rex);
            c.put(&[0x2d]);
            c.put(&(PLAY as u32).to_le_bytes());
            c.put(rex);
            c.put(&[0x3d]);
            c.put(&(PLAY_LEN as u32).to_le_bytes());
            leave.push(c.jcc(cc::AE));
            c.put(&[0xc1, 0xe8, 12]); // shr eax,12
            for n in 0..2 {
                // or byte [rax*entry+table],7
                c.put(&[0x80, 0x0c, if kind.entry() == 8 { 0xc5 } else { 0x85 }]);
                c.put(&(play_table(n) as u32).to_le_bytes());
                c.put(&[7]);
            }
        }
        _ => {}
    }
    if way != Way::Next {
        c.absolute(&[], &[0xfe], 1, PATIENCE, &[]); // dec byte
        leave.push(c.jcc(cc::E));
        if kind != Kind::Long {
            c.put(&[0x1f]); // pop ds
        }
        c.put(&[0x58]); // pop rax
        if let Way::Skip(n) = way {
            match kind {
                Kind::Long => c.put(&[0x48, 0x83, 4, 0x24, n]),
                Kind::Legacy(_) => c.put(&[0x83, 4, 0x24, n]),
                Kind::Real => c.put(&[0x55, 0x89, 0xe5, 0x83, 0x46, 2, n, 0x5d]),
            }
        }
        if kind == Kind::Long {
            c.put(&[0x48]);
        }
        c.put(&[0xcf]);
    }
    for jump in leave {
        c.land(jump);
    }
    if kind == Kind::Long {
        c.put(&[0x58]);
    }
    c.branch_to(&[0xe9], dispatch);
    c.bytes
}
