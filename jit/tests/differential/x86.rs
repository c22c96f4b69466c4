//! x86 programs, see the [`super::harness`].

use super::harness::{Arch, Random, Subject, breakpoints, number, put, random_programs, settings};
use dejavm_interp::engine::{Clock, Control, Exit};
use dejavm_interp::mem::Memory;
use dejavm_interp::tlb::Size;
use dejavm_interp::x86::model::Model;
use dejavm_interp::x86::regs::{Segment, TableRegister, cr0, cr4, efer, right, seg};
use dejavm_interp::x86::{Cpu, Interpreter, NoBus, X86Bus};
use dejavm_jit::Jit;
use dejavm_jit::x86::{Compiled, Settings};
use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpAccess, Register};

const SIZE: u64 = 0x4_0000;
const TABLES: u64 = 0x1000;
const IDT: u64 = 0x6000;
const GDT: u64 = 0x7000;
const HANDLER: u64 = 0x8000;
/// Where programs begin.
pub const CODE: u64 = 0x1_0000;
const CODE_PAGES: u64 = 3;
const DATA: u64 = 0x2_0000;
/// The top of the stack.
pub const STACK: u64 = 0x3_0000;
/// Not mapped in 64-bit mode.
const HOLE: u64 = 0x2_8000;

fn memory() -> Memory {
    super::harness::memory(SIZE)
}

/// Every exception goes to a handler that starts the program again with a stack and pointers that
/// work, and one register moved on.
/// A CPU in 32-bit or 64-bit mode, and memory without a program.
pub fn machine(long: bool, r: &mut Random) -> (Cpu, Memory) {
    let mut mem = memory();
    let mut cpu = Cpu::new(Model::Max, 7, true);
    let data = right::P | right::S | right::RW | right::ACCESSED | right::DB | right::G;
    for s in [seg::ES, seg::SS, seg::DS, seg::FS, seg::GS] {
        cpu.segs[usize::from(s)] = Segment { selector: 0x10, rights: data, base: 0, limit: u32::MAX };
    }
    let mut code = data | right::CODE;
    if long {
        code = (code | right::L) & !right::DB;
        put(&mut mem, TABLES, &(TABLES + 0x1007).to_le_bytes());
        put(&mut mem, TABLES + 0x1000, &(TABLES + 0x2007).to_le_bytes());
        put(&mut mem, TABLES + 0x2000, &(TABLES + 0x3007).to_le_bytes());
        for page in 0..SIZE >> 12 {
            if page << 12 != HOLE {
                put(&mut mem, TABLES + 0x3000 + page * 8, &(page << 12 | 7).to_le_bytes());
            }
        }
        cpu.cr0 = cr0::PE | cr0::PG | cr0::WP | cr0::ET;
        cpu.cr3 = TABLES;
        cpu.cr4 = cr4::PAE | cr4::OSFXSR;
        cpu.msrs.efer = efer::LME | efer::LMA;
    } else {
        cpu.cr0 = cr0::PE | cr0::ET;
        cpu.cr4 = cr4::OSFXSR;
    }
    cpu.segs[usize::from(seg::CS)] = Segment { selector: 8, rights: code, base: 0, limit: u32::MAX };
    cpu.segs[usize::from(seg::GS)].base = DATA + 0x800;
    if !long && r.one_in(2) {
        cpu.segs[usize::from(seg::FS)].limit = DATA as u32 + 0x7f2;
    }
    let flat_code: u64 = if long { 0x00af_9b00_0000_ffff } else { 0x00cf_9b00_0000_ffff };
    put(&mut mem, GDT + 8, &flat_code.to_le_bytes());
    put(&mut mem, GDT + 16, &0x00cf_9300_0000_ffffu64.to_le_bytes());
    cpu.gdtr = TableRegister { base: GDT, limit: 0x17 };
    let size = if long { 16 } else { 8 };
    for vector in 0..256 {
        let low = (HANDLER & 0xffff) | 8 << 16 | 0x8e00 << 32;
        put(&mut mem, IDT + vector * size, &low.to_le_bytes());
    }
    cpu.idtr = TableRegister { base: IDT, limit: (256 * size - 1) as u16 };
    let jump = |at: u64| (CODE as i64 - (at as i64 + 5)) as i32;
    let mut handler = Vec::new();
    // Operands on both sides of a page's end now and then.
    let edge = |r: &mut Random, inside: u64| if r.one_in(3) { 0x1000 - 12 + r.below(24) } else { inside };
    let (stack, source, destination) = (edge(r, 0x800), edge(r, 0x123), edge(r, 0x7f0));
    let pointers =
        [(4u8, STACK + stack), (6, DATA + source), (7, DATA + destination), (5, STACK + edge(r, 0x400))];
    for (reg, v) in pointers {
        // MOV r32, imm32
        handler.push(0xb8 + reg);
        handler.extend((v as u32).to_le_bytes());
    }
    // ADD EBX, 12345678H; CLD
    handler.extend([0x81, 0xc3, 0x78, 0x56, 0x34, 0x12, 0xfc]);
    handler.push(0xe9);
    let at = HANDLER + handler.len() as u64 - 1;
    handler.extend(jump(at).to_le_bytes());
    put(&mut mem, HANDLER, &handler);
    for reg in 0..16 {
        let v = match r.below(4) {
            0 => r.below(16),
            1 => DATA + r.below(0x1000),
            2 => u64::MAX - r.below(16),
            _ => r.next(),
        };
        cpu.regs[reg] = if long { v } else { v & 0xffff_ffff };
    }
    // Rounding, DAZ and FTZ, and some flags already set; now and then something unmasked.
    cpu.mxcsr = 0x1f80 | (r.next() as u32) & 0xe07f;
    if r.one_in(8) {
        cpu.mxcsr &= !(0x80 << r.below(6));
    }
    for v in &mut cpu.vectors {
        v.0[0] = number(r);
        v.0[1] = number(r);
    }
    // The same of the x87.
    cpu.x87.set_control(0x3f | (r.next() as u16) & 0xf00);
    if r.one_in(8) {
        cpu.x87.set_control(r.next() as u16);
    }
    cpu.x87.status = (r.next() as u16) & 0x7f7f;
    cpu.x87.summarize();
    cpu.x87.used = if r.one_in(2) { 0xff } else { r.next() as u8 };
    for i in 0..8 {
        cpu.x87.mantissa[i] = number(r) | if r.one_in(10) { 0 } else { 1 << 63 };
        let middle = 0x3fc0 + r.below(0x80) as u16;
        let e = [0, 1, 0x3ffe, 0x3fff, 0x7ffe, 0x7fff, middle, middle][r.below(8) as usize];
        cpu.x87.sign_exp[i] = e | (r.next() as u16) & 0x8000;
    }
    cpu.regs[4] = STACK + stack;
    cpu.regs[6] = DATA + source;
    cpu.regs[7] = DATA + destination;
    cpu.set_rip(CODE);
    for at in (DATA..DATA + 0x2000).step_by(8) {
        put(&mut mem, at, &number(r).to_le_bytes());
    }
    (cpu, mem)
}

/// Opcodes after no escape, and after 0F, that are worth their frequency.
const ONE: &[u8] = &[
    0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x08, 0x09, 0x0a, 0x0b, 0x10, 0x11, 0x12, 0x13, 0x18, 0x19, 0x1b,
    0x20, 0x21, 0x22, 0x23, 0x25, 0x28, 0x29, 0x2a, 0x2b, 0x30, 0x31, 0x32, 0x33, 0x38, 0x39, 0x3a, 0x3b,
    0x3c, 0x3d, 0x40, 0x41, 0x48, 0x4a, 0x50, 0x51, 0x52, 0x53, 0x56, 0x57, 0x58, 0x5a, 0x5b, 0x63, 0x68,
    0x69, 0x6a, 0x6b, 0x80, 0x81, 0x83, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x89, 0x8a, 0x8b, 0x8b,
    0x8d, 0x8d, 0x8f, 0x90, 0x91, 0x93, 0x98, 0x99, 0x9c, 0x9d, 0x9e, 0x9f, 0xa4, 0xa5, 0xa8, 0xa9, 0xaa,
    0xab, 0xac, 0xae, 0xa6, 0xb0, 0xb4, 0xb8, 0xba, 0xc0, 0xc1, 0xc6, 0xc7, 0xc8, 0xc9, 0xd0, 0xd1, 0xd2,
    0xd3, 0xd7, 0xd8, 0xd9, 0xd9, 0xda, 0xdb, 0xdc, 0xdd, 0xde, 0xdf, 0x9b, 0xf5, 0xf6, 0xf7, 0xf7, 0xf8,
    0xf9, 0xfa, 0xfb, 0xfb, 0xfc, 0xfe, 0xff,
];
const TWO: &[u8] = &[
    0x10, 0x11, 0x14, 0x1f, 0x28, 0x29, 0x2a, 0x2c, 0x2d, 0x2e, 0x2f, 0x31, 0x40, 0x41, 0x42, 0x43, 0x44,
    0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x4b, 0x4c, 0x4d, 0x4e, 0x4f, 0x51, 0x54, 0x57, 0x58, 0x59, 0x5a,
    0x5b, 0x5c, 0x5d, 0x5e, 0x5f, 0x5c, 0x2e, 0x58, 0x59, 0x60, 0x61, 0x67, 0x6b, 0x6c, 0x72, 0x73, 0x74,
    0x62, 0x6e, 0x6f, 0x70, 0x7e, 0x7f, 0x90, 0x91, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a,
    0x9b, 0x9c, 0x9d, 0x9e, 0x9f, 0xa2, 0xa3, 0xae, 0xa4, 0xa5, 0xab, 0xac, 0xad, 0xaf, 0xaf, 0xb0, 0xb1,
    0xb3, 0xb6, 0xb7, 0xb8, 0xba, 0xba, 0xbb, 0xbc, 0xbd, 0xbe, 0xbf, 0xc0, 0xc1, 0xc6, 0xc8, 0xca, 0xcf,
    0x12, 0x16, 0x7c, 0x7d, 0xd0, 0xf0, 0xd4, 0xd6, 0xe6, 0xeb, 0xef, 0xfc, 0xfe,
];

/// One random instruction other than a branch, or `None`.
fn instruction(r: &mut Random, long: bool) -> Option<Vec<u8>> {
    let mut b = Vec::new();
    if r.one_in(40) {
        // MOV ECX, small; REP MOVS or STOS.
        b.push(0xb9);
        b.extend((r.below(60) as u32 * if r.one_in(4) { 20 } else { 1 }).to_le_bytes());
        b.extend(r.of::<&[u8]>(&[&[0xf3], &[0xf2], &[0x66, 0xf3], if long { &[0xf3, 0x48] } else { &[] }]));
        b.push(r.of(&[0xa4, 0xa5, 0xaa, 0xab]));
        return Some(b);
    }
    if r.one_in(8) {
        b.push(0x66);
    }
    if r.one_in(10) {
        b.push(*[0xf2, 0xf3, 0xf3].get(r.below(3) as usize)?);
    }
    if r.one_in(16) {
        b.push(*[0x64, 0x65, 0x65, 0x67, 0x2e, 0xf0].get(r.below(6) as usize)?);
    }
    if long && r.below(3) != 0 {
        b.push(0x40 | r.below(16) as u8);
    }
    if r.one_in(12) {
        // SSSE3 to SSE4.2, AES, PCLMULQDQ.
        b.insert(0, 0x66);
        b.extend([0x0f, if r.one_in(3) { 0x3a } else { 0x38 }]);
        let opcode = if b.ends_with(&[0x3a]) {
            [0x08 + r.below(8) as u8, 0x14 + r.below(4) as u8, 0x20 + r.below(3) as u8, 0x44, 0xdf]
                [r.below(5) as usize]
        } else {
            [
                r.below(0x0c) as u8,
                0x1c + r.below(9) as u8,
                0x28 + r.below(24) as u8,
                0xdb + r.below(5) as u8,
                0x17,
            ][r.below(5) as usize]
        };
        b.push(opcode);
    } else if r.below(3) == 0 {
        b.push(0x0f);
        b.push(TWO[r.below(TWO.len() as u64) as usize]);
    } else {
        b.push(ONE[r.below(ONE.len() as u64) as usize]);
    }
    let reg = (r.below(8) as u8) << 3;
    match r.below(12) {
        0..=5 => b.push(0xc0 | reg | r.below(8) as u8),
        6 | 7 => {
            // [RSI or RDI + disp8]
            b.push(0x40 | reg | 6 | r.below(2) as u8);
        }
        8 => b.extend([0x44 | reg, 0x24]),
        9 => {
            // [RDI + small register * scale + disp8]
            b.extend([0x44 | reg, (r.below(4) as u8) << 6 | (r.below(8) as u8) << 3 | 7]);
        }
        10 if long => {
            // RIP-relative, somewhere near: mostly reads, now and then a store into code.
            b.push(reg | 5);
            b.extend(((r.below(0x3000) as i32) - 0x400).to_le_bytes());
        }
        _ => b.push(r.next() as u8),
    }
    b.extend(r.next().to_le_bytes());
    b.extend(r.next().to_le_bytes());
    b.truncate(15);
    let mut d = Decoder::with_ip(if long { 64 } else { 32 }, &b, CODE, DecoderOptions::NONE);
    let ins = d.decode();
    if ins.is_invalid() {
        return r.one_in(50).then(|| b[..2].to_vec());
    }
    let keep = ins.flow_control() == FlowControl::Next && fitting(&ins, r);
    keep.then(|| b[..ins.len()].to_vec())
}

/// False for what would only derail the program.
fn fitting(ins: &Instruction, r: &mut Random) -> bool {
    use Mnemonic::*;
    let special = (0..ins.op_count()).any(|i| {
        let reg = ins.op_register(i);
        reg.is_cr() || reg.is_dr() || reg.is_segment_register() && !r.one_in(20)
    });
    if special || matches!(ins.mnemonic(), Hlt | Popf | Popfd | Popfq) && !r.one_in(10) {
        return false;
    }
    // The pointers mostly keep pointing.
    let mut info = iced_x86::InstructionInfoFactory::new();
    let lost = info.info(ins).used_registers().iter().any(|u| {
        let pointer = matches!(u.register().full_register(), Register::RSP | Register::RSI | Register::RDI);
        let written = matches!(
            u.access(),
            OpAccess::Write | OpAccess::ReadWrite | OpAccess::CondWrite | OpAccess::ReadCondWrite
        );
        pointer && written && !ins.is_string_instruction() && ins.stack_pointer_increment() == 0
    });
    let store_into_code = ins.is_ip_rel_memory_operand()
        && info.info(ins).used_memory().iter().any(|m| m.access() != OpAccess::Read);
    (!lost || r.one_in(12)) && (!store_into_code || r.one_in(30))
}

/// A program of some pages: random instructions, branches among them, and a jump back at the end.
fn program(mem: &mut Memory, r: &mut Random, long: bool) {
    let mut starts = Vec::new();
    let mut code: Vec<u8> = Vec::new();
    let mut fixes = Vec::new();
    let want = 20 + r.below(120) as usize;
    for _ in 0..want {
        if r.one_in(40) {
            // On, somewhere else, near the end of a page now and then.
            let gap = if r.one_in(3) { 4096 - code.len() % 4096 } else { r.below(300) as usize };
            let gap = gap.saturating_sub(r.below(8) as usize).max(5);
            if code.len() + gap + 200 < (CODE_PAGES * 4096) as usize {
                code.push(0xe9);
                code.extend((gap as i32 - 5).to_le_bytes());
                code.resize(code.len() + gap - 5, 0x90);
            }
        }
        starts.push(code.len());
        if r.one_in(5) {
            match r.below(8) {
                0 => code.extend([0xe8, 0, 0, 0, 0]),
                1 => code.push(0xc3),
                2 => code.extend([0xe9, 0, 0, 0, 0]),
                3 if r.one_in(3) => code.extend([0xff, 0xd0 | r.below(8) as u8]),
                // MOV EAX, imm32; PUSH RDX; CALL RAX
                3 => code.extend([0xb8, 0, 0, 0, 0, 0x52, 0xff, 0xd0]),
                4 => code.extend([0xe0 | r.below(4) as u8, r.below(8) as u8]),
                _ => code.extend([0x0f, 0x80 | r.below(16) as u8, 0, 0, 0, 0]),
            }
            match code[*starts.last().unwrap()] {
                0xe8 | 0xe9 | 0x0f => fixes.push((code.len(), 0)),
                0xb8 => fixes.push((code.len() - 3, CODE + code.len() as u64 - 3)),
                _ => {}
            }
        } else if let Some(bytes) = instruction(r, long) {
            code.extend(bytes);
        }
    }
    code.push(0xe9);
    code.extend((-(code.len() as i32 + 4)).to_le_bytes());
    for (at, absolute) in fixes {
        // Relative to its end, or not.
        let to = starts[r.below(starts.len() as u64) as usize] as i32 - at as i32 + absolute as i32;
        code[at - 4..at].copy_from_slice(&to.to_le_bytes());
    }
    code.truncate((CODE_PAGES * 4096) as usize);
    put(mem, CODE, &code);
}

/// x86, 32-bit and 64-bit.
struct Programs;

impl Subject for Programs {
    type Arch = X86;

    fn setup(seed: u64) -> (Random, Cpu, Memory, Settings) {
        let mut r = Random::new(seed);
        let long = !r.one_in(3);
        let (cpu, mut mem) = machine(long, &mut r);
        program(&mut mem, &mut r, long);
        let settings = settings(&mut r);
        (r, cpu, mem, settings)
    }
}

/// Both engines for x86.
pub struct X86;

impl Arch for X86 {
    type Cpu = Cpu;
    type Bus = dyn X86Bus;
    type Interpreter = Interpreter;
    type Jit = Jit;

    fn jit(settings: Settings, tlb: Size) -> Jit {
        let mut jit = Jit::with(Compiled::new(settings));
        jit.tlb_size = tlb;
        jit
    }

    fn with_bus(run: &mut dyn FnMut(&mut Self::Bus) -> Exit) -> Exit {
        run(&mut NoBus)
    }

    fn next(cpu: &Cpu, mem: &Memory) -> String {
        let rip = cpu.rip();
        let bytes = mem.bytes().get(rip as usize..rip as usize + 15).unwrap_or(&[]);
        let bits = u32::from(cpu.code_size()) * 8;
        let ins = Decoder::with_ip(bits, bytes, rip, DecoderOptions::NONE).decode();
        let mut text = String::new();
        iced_x86::Formatter::format(&mut iced_x86::NasmFormatter::new(), &ins, &mut text);
        format!("{rip:x} {text} {:02x?}", &bytes[..ins.len().min(bytes.len())])
    }

    fn pc(cpu: &Cpu) -> u64 {
        cpu.linear_pc()
    }

    fn show(cpu: &Cpu) -> String {
        format!("{:?}", Seen(cpu))
    }
}

struct Seen<'a>(&'a Cpu);

impl std::fmt::Debug for Seen<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let c = self.0;
        write!(f, "{:x?} flags {:x} cr2 {:x} {:x?} {:x?}", c.regs, c.rflags(), c.cr2, c.x87, c.mxcsr)?;
        write!(f, " {:x?}", c.vectors.map(|v| v.xmm()))
    }
}

#[test]
fn x86() {
    random_programs::<Programs>();
}

#[test]
fn x86_breakpoints() {
    breakpoints::<Programs>();
}

/// A function is changed, called once and changed back, again and again: its code is compiled once.
#[test]
fn code_that_is_back_is_used_again() {
    let (mut cpu, mut mem) = machine(true, &mut Random::new(1));
    let function = CODE + 0x1800;
    let mut code = vec![0xbd, 20, 0, 0, 0];
    let call = |code: &mut Vec<u8>| {
        let next = CODE + code.len() as u64 + 5;
        code.push(0xe8);
        code.extend(((function - next) as u32).to_le_bytes());
    };
    let change = |code: &mut Vec<u8>, value: u8| {
        let next = CODE + code.len() as u64 + 7;
        code.extend([0xc6, 0x05]);
        code.extend(((function + 1 - next) as u32).to_le_bytes());
        code.push(value);
    };
    // MOV ECX, 100; CALL, DEC ECX, JNZ to the CALL
    let outer = code.len();
    code.extend([0xb9, 100, 0, 0, 0]);
    call(&mut code);
    code.extend([0xff, 0xc9, 0x75, 0xf7]);
    change(&mut code, 7);
    call(&mut code);
    change(&mut code, 3);
    // DEC EBP; JNZ to the outer loop; JMP to itself
    let back = outer as i32 - (code.len() as i32 + 8);
    code.extend([0xff, 0xcd, 0x0f, 0x85]);
    code.extend(back.to_le_bytes());
    code.extend([0xeb, 0xfe]);
    put(&mut mem, CODE, &code);
    // MOV EAX, 3; ADD EBX, EAX; RET
    put(&mut mem, function, &[0xb8, 3, 0, 0, 0, 0x01, 0xc3, 0xc3]);
    cpu.set_rip(CODE);
    let start = cpu.regs[3] as u32;
    let mut jit = Jit::with(Compiled::new(Settings::default()));
    let exit = X86::run(&mut jit, &mut cpu, &mut mem, Clock { icount: 0, shift: 1, warp: 0 }, 20_000);
    assert_eq!((exit.steps, cpu.rip()), (20_000, CODE + code.len() as u64 - 2));
    assert_eq!(cpu.regs[3] as u32, start.wrapping_add(20 * (100 * 3 + 7)));
    let counters = jit.counters();
    let again = counters.iter().find(|c| c.0 == "of those, used again").map_or(0, |c| c.1);
    assert!(again > 10, "{counters:?}");
}
