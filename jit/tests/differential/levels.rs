//! x86 programs of two privilege levels that change from one to the other all the time: by SYSCALL, SYSRET, IRET,
//! interrupts and faults, with flags and targets of all kinds.

use super::harness::{Arch, Random, Subject, breakpoints, put, random_programs, settings};
use super::x86::X86;
use dejavm_interp::mem::Memory;
use dejavm_interp::x86::Cpu;
use dejavm_interp::x86::flags::bit;
use dejavm_interp::x86::model::Model;
use dejavm_interp::x86::regs::{Segment, TableRegister, cr0, cr4, efer, right, seg};
use dejavm_jit::x86::Settings;

const SIZE: u64 = 0x4_0000;
const TABLES: u64 = 0x1000;
/// Other tables that map the same, but for one page of code.
const TABLES_TOO: u64 = 0x5000;
/// What they map there.
const OTHER: u64 = 0x2_0000;
const IDT: u64 = 0x9000;
const GDT: u64 = 0xa000;
const TSS: u64 = 0xb000;
const KERNEL: u64 = 0x1_0000;
const USER: u64 = 0x1_4000;
const USER_32: u64 = 0x1_8000;
const STACK: u64 = 0x3_0000;
const USER_STACK: u64 = 0x3_8000;

/// What either level does between two changes.
const ANYWHERE: &[&[u8]] = &[
    // ADD EAX, 7BH; CLC; STC; TEST EAX, EAX; INC EBX; CMP EBX, EBP; XOR EDX, EAX
    &[0x83, 0xc0, 0x7b],
    &[0xf8],
    &[0xf9],
    &[0x85, 0xc0],
    &[0xff, 0xc3],
    &[0x39, 0xeb],
    &[0x31, 0xc2],
    // ADDPS XMM0, XMM1; FADD ST, ST(1); PUSH RAX, POP RAX; PUSHF, POP RAX
    &[0x0f, 0x58, 0xc1],
    &[0xd8, 0xc1],
    &[0x50, 0x58],
    &[0x9c, 0x58],
];
const KERNEL_ONLY: &[&[u8]] = &[
    // CLI; STI; STD, CLD; SWAPGS; PUSHF, POPF; MOV RAX, CR3 and back; CR3 of each table
    &[0xfa],
    &[0xfb],
    &[0xfd, 0xfc],
    &[0x0f, 0x01, 0xf8],
    &[0x9c, 0x9d],
    &[0x0f, 0x20, 0xd8, 0x0f, 0x22, 0xd8],
    &[0xb8, 0, (TABLES >> 8) as u8, 0, 0, 0x0f, 0x22, 0xd8],
    &[0xb8, 0, (TABLES_TOO >> 8) as u8, 0, 0, 0x0f, 0x22, 0xd8],
];

fn flags(r: &mut Random) -> u32 {
    let rare = [bit::TF, bit::RF, bit::NT, bit::AC, bit::VM, bit::ID, bit::IOPL, bit::DF];
    let rare = if r.one_in(4) { r.of(&rare) } else { 0 };
    (rare | r.next() & (bit::STATUS | bit::IF)) as u32 | 2
}

fn some(code: &mut Vec<u8>, r: &mut Random, from: &[&[&[u8]]]) {
    for _ in 0..r.below(5) {
        let group = r.of(from);
        code.extend(r.of(group));
    }
}

/// A CALL of what lies behind it, which returns, or goes elsewhere in one of several ways. At times it has the shape of
/// a thunk.
fn call(code: &mut Vec<u8>, r: &mut Random, from: &[&[&[u8]]]) {
    let mut body = Vec::new();
    some(&mut body, r, from);
    // LEA RAX, [RIP + where the instruction after RET lies]
    let lea = |body: &mut Vec<u8>, by: u8| body.extend([0x48, 0x8d, 0x05, by, 0, 0, 0]);
    match r.below(6) {
        // XCHG [RSP], RAX; RET
        0 => {
            lea(&mut body, 5);
            body.extend([0x48, 0x87, 0x04, 0x24, 0xc3]);
        }
        // MOV [RSP], RAX; RET
        1 => {
            lea(&mut body, 5);
            body.extend([0x48, 0x89, 0x04, 0x24, 0xc3]);
        }
        // PUSH RAX; RET 8
        2 => {
            lea(&mut body, 4);
            body.extend([0x50, 0xc2, 8, 0]);
        }
        // ADD RSP, 8: does not return.
        3 => body.extend([0x48, 0x83, 0xc4, 8]),
        _ => body.push(0xc3),
    }
    let pad = r.of(&[0, 2, 11, 20]);
    code.push(0xe8);
    code.extend((5 + pad as u32).to_le_bytes());
    code.push(0xe9);
    code.extend((pad as u32 + body.len() as u32).to_le_bytes());
    code.extend(std::iter::repeat_n(0x90, pad as usize));
    code.extend(body);
}

/// Bytes of code and a gap, so that ends of pages are crossed at all kinds of places.
fn places(r: &mut Random, start: u64, n: u64) -> Vec<u64> {
    let mut at = start + r.below(64);
    (0..n)
        .map(|_| {
            let here = at;
            at += 200 + r.below(200);
            if r.one_in(4) {
                at = (at | 0xfff) - r.below(60);
            }
            here
        })
        .collect()
}

/// A way out of the kernel.
fn leave(code: &mut Vec<u8>, r: &mut Random, kernel: &[u64], user: &[u64], user_32: &[u64]) {
    let push = |code: &mut Vec<u8>, v: u64| {
        code.push(0x68);
        code.extend((v as u32).to_le_bytes());
    };
    let long = !r.one_in(4);
    let target = r.of(if long { user } else { user_32 });
    match r.below(4) {
        0 => {
            // MOV R11D, flags; MOV ECX, target
            code.extend([0x41, 0xbb]);
            code.extend(flags(r).to_le_bytes());
            code.push(0xb9);
            code.extend((target as u32).to_le_bytes());
            if r.one_in(10) {
                // SHL RCX, 31: not mapped, or not canonical.
                code.extend([0x48, 0xc1, 0xe1, 31]);
            }
            code.extend(if long { &[0x48, 0x0f, 0x07][..] } else { &[0x0f, 0x07] });
        }
        1 if long => code.extend([0x48, 0x0f, 0x07]),
        _ => {
            let same = r.one_in(4);
            let (cs, ss, target) = match (same, long) {
                (true, _) => (8, 0x10, r.of(kernel)),
                (_, true) => (0x2b, 0x23, target),
                _ => (0x1b, 0x23, target),
            };
            let stack = if same { STACK } else { USER_STACK };
            push(code, if r.one_in(20) { 0x53 } else { ss });
            push(code, stack - r.below(4) * 8);
            push(code, flags(r).into());
            push(code, if r.one_in(20) { 0x53 } else { cs });
            push(code, target);
            code.extend([0x48, 0xcf]);
        }
    }
}

fn machine(r: &mut Random) -> (Cpu, Memory) {
    let mut mem = super::harness::memory(SIZE);
    let mut cpu = Cpu::new(if r.one_in(2) { Model::Max } else { Model::Qemu64 }, 7, true);
    for root in [TABLES, TABLES_TOO] {
        for level in 0..3 {
            put(&mut mem, root + level * 0x1000, &(root + (level + 1) * 0x1000 | 7).to_le_bytes());
        }
        for page in 0..SIZE >> 12 {
            let other = root == TABLES_TOO && page << 12 == KERNEL + 0x1000;
            let frame = if other { OTHER } else { page << 12 };
            put(&mut mem, root + 0x3000 + page * 8, &(frame | 7).to_le_bytes());
        }
    }
    cpu.cr0 = cr0::PE | cr0::PG | cr0::WP | cr0::ET | if r.one_in(2) { cr0::AM } else { 0 };
    cpu.cr3 = TABLES;
    cpu.cr4 = cr4::PAE | cr4::OSFXSR;
    cpu.msrs.efer = efer::LME | efer::LMA | if r.one_in(12) { 0 } else { efer::SCE };
    let data = right::P | right::S | right::RW | right::ACCESSED | right::DB | right::G;
    for s in [seg::ES, seg::SS, seg::DS, seg::FS, seg::GS] {
        cpu.segs[usize::from(s)] = Segment { selector: 0x10, rights: data, base: 0, limit: u32::MAX };
    }
    let code = (data | right::CODE | right::L) & !right::DB;
    cpu.segs[usize::from(seg::CS)] = Segment { selector: 8, rights: code, base: 0, limit: u32::MAX };
    cpu.segs[usize::from(seg::TR)] =
        Segment { selector: 0x30, rights: right::P | 0xb, base: TSS, limit: 0x67 };
    put(&mut mem, TSS + 4, &STACK.to_le_bytes());
    let descriptors: [u64; 6] = [
        0,
        0x00af_9b00_0000_ffff,
        0x00cf_9300_0000_ffff,
        0x00cf_fb00_0000_ffff,
        0x00cf_f300_0000_ffff,
        0x00af_fb00_0000_ffff,
    ];
    for (i, d) in descriptors.iter().enumerate() {
        put(&mut mem, GDT + 8 * i as u64, &d.to_le_bytes());
    }
    cpu.gdtr = TableRegister { base: GDT, limit: 0x2f };
    cpu.idtr = TableRegister { base: IDT, limit: 256 * 16 - 1 };

    let kernel = places(r, KERNEL, 8);
    let user = places(r, USER, 6);
    let user_32 = places(r, USER_32, 2);
    for vector in 0..256 {
        let to = r.of(&kernel);
        let level = if r.one_in(2) { 0xee00 } else { 0x8e00 };
        let low = (to & 0xffff) | 8 << 16 | (level | r.below(2) << 8) << 32 | (to >> 16) << 48;
        put(&mut mem, IDT + vector * 16, &low.to_le_bytes());
    }
    cpu.msrs.star = 8 << 32 | 0x18 << 48;
    cpu.msrs.lstar = r.of(&kernel);
    cpu.msrs.cstar = r.of(&kernel);
    cpu.msrs.fmask =
        if r.one_in(3) { r.next() & 0x3f_7fd7 } else { bit::TF | bit::IF | bit::DF | bit::AC | bit::NT };
    for &at in &kernel {
        // MOV ESP, STACK
        let mut code = vec![0xbc];
        code.extend((STACK as u32 - 0x100).to_le_bytes());
        some(&mut code, r, &[ANYWHERE, KERNEL_ONLY]);
        for _ in 0..r.below(3) {
            call(&mut code, r, &[ANYWHERE, KERNEL_ONLY]);
        }
        for _ in 0..2 {
            // INC EBP; TEST EBP, bit; JNZ over
            code.extend([0xff, 0xc5, 0xf7, 0xc5]);
            code.extend((1u32 << r.below(3)).to_le_bytes());
            let mut way = Vec::new();
            some(&mut way, r, &[ANYWHERE]);
            leave(&mut way, r, &kernel, &user, &user_32);
            code.extend([0x75, way.len() as u8]);
            code.extend(way);
        }
        leave(&mut code, r, &kernel, &user, &user_32);
        put(&mut mem, at, &code);
    }
    for (places, long) in [(&user, true), (&user_32, false)] {
        for &at in places {
            let mut code = vec![0xbc];
            code.extend((USER_STACK as u32 - 0x100).to_le_bytes());
            for _ in 0..1 + r.below(4) {
                some(&mut code, r, &[ANYWHERE]);
                if r.one_in(2) {
                    call(&mut code, r, &[ANYWHERE]);
                }
                match r.below(if long { 8 } else { 3 }) {
                    // INT 80H; UD2; SYSCALL
                    0 => code.extend([0xcd, 0x80]),
                    1 => code.extend([0x0f, 0x0b]),
                    _ => code.extend([0x0f, 0x05]),
                }
            }
            code.extend([0xcd, 0x80]);
            put(&mut mem, at, &code);
        }
    }
    // An instruction that begins in the page before goes on in another way here.
    let page = KERNEL as usize + 0x1000;
    let mut page = mem.bytes()[page..page + 0x1000].to_vec();
    page[..4].iter_mut().for_each(|b| *b ^= if r.one_in(2) { 1 << r.below(8) } else { 0 });
    put(&mut mem, OTHER, &page);
    for reg in 0..16 {
        cpu.regs[reg] = r.next();
    }
    cpu.regs[4] = STACK - 0x100;
    cpu.set_rip(kernel[0]);
    (cpu, mem)
}

struct Levels;

impl Subject for Levels {
    type Arch = X86;

    fn setup(seed: u64) -> (Random, Cpu, Memory, Settings) {
        let mut r = Random::new(seed);
        let (cpu, mem) = machine(&mut r);
        let settings = settings(&mut r);
        (r, cpu, mem, settings)
    }

    /// A request that goes away when it is acknowledged, so that the moment shows; an NMI.
    fn disturb(r: &mut Random, cpu: &mut Cpu) {
        cpu.intr |= r.one_in(2);
        cpu.nmi_pending |= r.one_in(16);
    }

    fn show(cpu: &Cpu) -> String {
        format!("{} intr {} {:x?}", X86::show(cpu), cpu.intr, cpu.segs)
    }
}

#[test]
fn levels() {
    random_programs::<Levels>();
}

#[test]
fn levels_breakpoints() {
    breakpoints::<Levels>();
}
