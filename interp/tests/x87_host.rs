//! Every x87 encoding, executed by the interpreter and natively, from random states: registers,
//! control, status and tag words, memory, EFLAGS and AX are compared.
//!
//! Not compared: instruction and operand pointers and the opcode (processors differ in when they
//! keep them); the last bit of transcendental functions (the host's are not correctly rounded).
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]
#![allow(unsafe_code, reason = "the host executes the instructions under test")]

use std::collections::BTreeMap;

use dejavm_interp::engine::{Clock, Engine, Stop};
use dejavm_interp::mem::{Memory, Region};
use dejavm_interp::softfloat::F80;
use dejavm_interp::x86::model::Model;
use dejavm_interp::x86::op::REG_RIP;
use dejavm_interp::x86::regs::{cr0, efer, gpr, right, seg};
use dejavm_interp::x86::{Cpu, Interpreter, NoBus};

/// A fixed-seed generator (xorshift64*).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 8) % n
    }

    /// A register value: all classes, exponents mostly near one.
    fn f80(&mut self) -> F80 {
        let mut mantissa = self.next() | 1 << 63;
        match self.below(8) {
            0 => mantissa = 1 << 63,
            1 => mantissa = u64::MAX,
            2 => mantissa &= u64::MAX << self.below(64),
            _ => {}
        }
        mantissa |= 1 << 63;
        let sign = (self.below(2) << 15) as u16;
        let exp = match self.below(12) {
            0 => {
                if self.below(2) == 0 {
                    mantissa = if self.below(2) == 0 { 0 } else { mantissa & !(1 << 63) };
                }
                0
            }
            1 => 0x7fff,
            2 => self.below(0x8000),
            3 => 0x7ffe - self.below(70),
            4 => 1 + self.below(70),
            5 => 0x3fff - self.below(4),
            6 => 0x3fff + self.below(64),
            _ => 0x3fff - 64 + self.below(128),
        };
        if self.below(64) == 0 {
            mantissa &= !(1 << 63);
        }
        F80 { sign_exp: sign | exp as u16, mantissa }
    }
}

/// The state before and after.
#[derive(Clone, PartialEq, Eq)]
struct State {
    control: u16,
    status: u16,
    used: u8,
    /// ST(0) to ST(7).
    st: [F80; 8],
    memory: [u8; 128],
    rflags: u64,
    ax: u16,
}

impl State {
    fn random(random: &mut Random, memory_format: u64) -> State {
        let control = 0x40 | (random.below(4) << 10 | [0, 2, 3][random.below(3) as usize] << 8) as u16;
        let masks = if random.below(3) == 0 { random.next() as u16 & 0x3f } else { 0x3f };
        let mut st = [F80::default(); 8];
        st.fill_with(|| random.f80());
        let mut memory = [0; 128];
        for chunk in memory.chunks_mut(8) {
            chunk.copy_from_slice(&random.next().to_le_bytes());
        }
        match memory_format {
            0 => memory[..10].copy_from_slice(&random.f80().to_bytes()),
            // Singles and doubles with exponents near one, near zero and special.
            1 => {
                let exp = [127 + random.below(60) - 30, 0, 255, random.below(256)][random.below(4) as usize];
                let mut v = random.next() as u32 & 0x807f_ffff | (exp as u32) << 23;
                if random.below(4) == 0 {
                    v &= 0xff80_0000;
                }
                memory[..4].copy_from_slice(&v.to_le_bytes());
            }
            2 => {
                let exp =
                    [1023 + random.below(120) - 60, 0, 2047, random.below(2048)][random.below(4) as usize];
                let mut v = random.next() & 0x800f_ffff_ffff_ffff | exp << 52;
                if random.below(4) == 0 {
                    v &= 0xfff0 << 48;
                }
                memory[..8].copy_from_slice(&v.to_le_bytes());
            }
            3 => {
                for b in &mut memory[..9] {
                    *b = (random.below(10) << 4 | random.below(10)) as u8;
                }
            }
            _ => {}
        }
        State {
            control: control | masks,
            status: random.next() as u16 & 0x7f00 | random.next() as u16 & masks,
            used: match random.below(4) {
                0 => random.next() as u8,
                1 => 0xff,
                _ => 0,
            },
            st,
            memory,
            rflags: random.next() & 0x8d5 | 2,
            ax: 0,
        }
    }

    /// With the stack's top three registers used and the next four free, unless random.
    fn with_room(mut self, random: &mut Random) -> State {
        if self.used == 0 {
            let top = u32::from(self.status >> 11 & 7);
            self.used = (0b0000_0111u8 | random.next() as u8 & 0x18).rotate_left(top);
        }
        self
    }
}

/// The host as the machine: instruction bytes in an executable page.
struct Native {
    page: memmap2::Mmap,
}

#[repr(C, align(16))]
struct Area([u8; 512]);

impl Native {
    fn new(code: &[u8]) -> Native {
        let mut page = memmap2::MmapMut::map_anon(4096).expect("a page");
        let mut bytes = Vec::new();
        bytes.extend([0x48, 0x0f, 0xae, 0x0f]); // fxrstor64 [rdi]
        bytes.extend([0x31, 0xc0]); // xor eax, eax
        bytes.extend([0x51, 0x9d]); // push rcx; popfq
        bytes.extend(code);
        bytes.extend([0x49, 0x89, 0xc0]); // mov r8, rax
        bytes.extend([0x9c, 0x58]); // pushfq; pop rax
        bytes.extend([0x48, 0x0f, 0xae, 0x06]); // fxsave64 [rsi]
        bytes.extend([0xdb, 0xe2, 0xdb, 0xe3]); // fnclex; fninit
        bytes.extend([0x49, 0xc1, 0xe0, 0x20]); // shl r8, 32
        bytes.extend([0x4c, 0x09, 0xc0, 0xc3]); // or rax, r8; ret
        page[..bytes.len()].copy_from_slice(&bytes);
        Native { page: page.make_exec().expect("an executable page") }
    }

    fn run(&self, before: &State) -> State {
        let mut from = Area([0; 512]);
        let mut to = Area([0; 512]);
        from.0[0..2].copy_from_slice(&before.control.to_le_bytes());
        from.0[2..4].copy_from_slice(&before.status.to_le_bytes());
        from.0[4] = before.used;
        from.0[24..28].copy_from_slice(&0x1f80u32.to_le_bytes());
        for (i, v) in before.st.iter().enumerate() {
            from.0[32 + 16 * i..42 + 16 * i].copy_from_slice(&v.to_bytes());
        }
        let mut after = before.clone();
        // SAFETY: the page holds the code above, which keeps to the C calling convention
        // (FXRSTOR loads zeros into XMM registers, all of them the caller's to save), reads
        // and writes the two areas and 128 bytes of memory, and leaves the x87 initialised.
        let result = unsafe {
            let f: extern "sysv64" fn(*const u8, *mut u8, *mut u8, u64) -> u64 =
                std::mem::transmute(self.page.as_ptr());
            f(from.0.as_ptr(), to.0.as_mut_ptr(), after.memory.as_mut_ptr(), before.rflags)
        };
        after.rflags = result & 0x8d5 | 2;
        after.ax = (result >> 32) as u16;
        after.control = u16::from_le_bytes([to.0[0], to.0[1]]);
        after.status = u16::from_le_bytes([to.0[2], to.0[3]]);
        after.used = to.0[4];
        for (i, v) in after.st.iter_mut().enumerate() {
            let mut bytes = [0; 10];
            bytes.copy_from_slice(&to.0[32 + 16 * i..42 + 16 * i]);
            *v = F80::from_bytes(bytes);
        }
        after
    }
}

const CODE: u64 = 0x1000;
const DATA: u64 = 0x2000;

/// The interpreter in 64-bit mode, without paging so that addresses are physical.
struct Guest {
    cpu: Cpu,
    mem: Memory,
    engine: Interpreter,
}

impl Guest {
    fn new() -> Guest {
        let mut cpu = Cpu::new(Model::Max, 0, true);
        cpu.cr0 = cr0::PE | cr0::NE | cr0::ET;
        cpu.msrs.efer = efer::LMA | efer::LME;
        cpu.segs[usize::from(seg::CS)].rights |= right::L;
        cpu.segs[usize::from(seg::CS)].base = 0;
        let mut mem = Memory::new(1 << 16).expect("memory");
        let all = Region { start: 0, len: 1 << 16, offset: 0, writable: true };
        mem.set_regions(vec![all]).expect("a region that fits");
        Guest { cpu, mem, engine: Interpreter::new() }
    }

    fn run(&mut self, code: &[u8], before: &State) -> State {
        self.mem.write(CODE, code);
        self.mem.write(DATA, &before.memory);
        let cpu = &mut self.cpu;
        cpu.regs[usize::from(REG_RIP)] = CODE;
        cpu.regs[usize::from(gpr::RDX)] = DATA;
        cpu.regs[usize::from(gpr::RAX)] = 0;
        cpu.set_rflags(before.rflags);
        cpu.x87.control = before.control;
        cpu.x87.status = before.status;
        for (i, v) in before.st.iter().enumerate() {
            cpu.x87.set_st(i as u8, *v);
        }
        cpu.x87.used = before.used;
        let exit = self.engine.run(&mut self.cpu, 0, &mut self.mem, &mut NoBus, Clock::default(), 1);
        assert_eq!(exit.stop, Stop::Budget, "{code:x?}");
        let cpu = &self.cpu;
        assert_eq!(cpu.rip(), CODE + code.len() as u64, "{code:x?} faulted");
        let mut after = before.clone();
        self.mem.read(DATA, &mut after.memory);
        after.rflags = cpu.rflags() & 0x8d5 | 2;
        after.ax = cpu.regs[0] as u16;
        after.control = cpu.x87.control;
        after.status = cpu.x87.status;
        after.used = cpu.x87.used;
        for (i, v) in after.st.iter_mut().enumerate() {
            *v = cpu.x87.st(i as u8);
        }
        after
    }
}

/// What differs, in words; nothing if all is well.
fn difference(
    host: &State,
    guest: &State,
    transcendental: bool,
    tolerated: u16,
    ignore: &dyn Fn(usize) -> bool,
) -> Option<String> {
    let mut out = String::new();
    let mut note = |what: &str, host: &dyn std::fmt::Debug, guest: &dyn std::fmt::Debug| {
        out.push_str(&format!(" {what}: host {host:x?} guest {guest:x?};"));
    };
    // Precision, C1 and what an unmasked precision exception adds follow the last bit.
    let unmasked = host.control & 0x20 == 0;
    let mask = match transcendental {
        true if unmasked => !0x82a0,
        true => !0x220,
        false => !0,
    };
    // The host calls exact results inexact (FYL2X of powers of two), and so underflowed.
    let exact = transcendental && guest.status & 0x20 == 0;
    let mask = mask & !tolerated & if exact { !0x10 } else { !0 };
    if (host.status ^ guest.status) & mask != 0 {
        note("status", &host.status, &guest.status);
    }
    if host.control != guest.control {
        note("control", &host.control, &guest.control);
    }
    if host.used != guest.used {
        note("used", &host.used, &guest.used);
    }
    for i in 0..8 {
        let (h, g) = (host.st[i], guest.st[i]);
        if h != g && !(transcendental && close(h, g)) {
            note(&format!("st{i}"), &h, &g);
        }
    }
    if (0..128).any(|i| host.memory[i] != guest.memory[i] && !ignore(i)) {
        note("memory", &&host.memory[..32], &&guest.memory[..32]);
    }
    if host.rflags != guest.rflags {
        note("rflags", &host.rflags, &guest.rflags);
    }
    if host.ax != guest.ax {
        note("ax", &host.ax, &guest.ax);
    }
    (!out.is_empty()).then_some(out)
}

/// Neighbours, or equal: what a host's transcendental function may differ by.
fn close(a: F80, b: F80) -> bool {
    let line = |v: F80| {
        let magnitude = i128::from(v.sign_exp & 0x7fff) << 63 | i128::from(v.mantissa & !(1 << 63));
        if v.sign() { -magnitude } else { magnitude }
    };
    (line(a) - line(b)).abs() <= 1
}

/// The guest follows AMD's processors where vendors differ.
fn host_is_amd() -> bool {
    std::arch::x86_64::__cpuid(0).ecx == u32::from_le_bytes(*b"cAMD")
}

/// Condition codes that other vendors' processors leave differently.
fn vendor_specific(mnemonic: iced_x86::Mnemonic, host: &State) -> u16 {
    use iced_x86::Mnemonic::*;
    match mnemonic {
        Fcom | Fcomp | Fcompp | Ficom | Ficomp | Fucom | Fucomp | Fucompp | Ftst
            if host.status & 0x80 != 0 =>
        {
            0x4700
        }
        Fcmovb | Fcmove | Fcmovbe | Fcmovu | Fcmovnb | Fcmovne | Fcmovnbe | Fcmovnu => 0x200,
        Fcomi | Fcomip | Fucomi | Fucomip | Ffree | Ffreep => 0x200,
        _ => 0,
    }
}

/// Operands whose result the manual leaves undefined.
fn undefined(mnemonic: iced_x86::Mnemonic, before: &State) -> bool {
    let magnitude = before.st[0].sign_exp & 0x7fff;
    match mnemonic {
        // Beyond [-1, 1].
        iced_x86::Mnemonic::F2xm1 => magnitude >= 0x3fff,
        // Beyond 1 - √½, a little less here.
        iced_x86::Mnemonic::Fyl2xp1 => magnitude >= 0x3ffd,
        _ => false,
    }
}

#[test]
fn every_encoding() {
    let count: u32 = std::env::var("X87_CASES").ok().and_then(|v| v.parse().ok()).unwrap_or(60);
    let mut guest = Guest::new();
    let seed = std::env::var("X87_SEED").ok().and_then(|v| v.parse().ok()).unwrap_or(9);
    let mut random = Random(seed);
    let mut failures: BTreeMap<String, (u32, String)> = BTreeMap::new();
    let mut encodings = 0;
    let amd = host_is_amd();
    for escape in 0xd8..=0xdfu8 {
        for modrm in (0x02..0x40).step_by(8).chain(0xc0..=0xff) {
            let code = [escape, modrm];
            let mut decoder = iced_x86::Decoder::new(64, &code, 0);
            let ins = decoder.decode();
            if ins.is_invalid() {
                continue;
            }
            encodings += 1;
            let native = Native::new(&code);
            use iced_x86::Mnemonic::*;
            let mnemonic = ins.mnemonic();
            let transcendental =
                matches!(mnemonic, Fsin | Fcos | Fsincos | Fptan | Fpatan | F2xm1 | Fyl2x | Fyl2xp1);
            // Pointers and opcode in the 28-byte image.
            let pointers = matches!(mnemonic, Fnstenv | Fnsave);
            let ignore = move |i: usize| pointers && (12..28).contains(&i);
            for case in 0..count {
                let format = match mnemonic {
                    Fbld => 3,
                    _ if escape & 6 == 0 => 1,
                    _ if escape == 0xdc || escape == 0xdd => 2,
                    _ => u64::from(case % 2) * 4,
                };
                let before = State::random(&mut random, format).with_room(&mut random);
                if undefined(mnemonic, &before) {
                    continue;
                }
                let host = native.run(&before);
                let tolerated = if amd { 0 } else { vendor_specific(mnemonic, &host) };
                let after = guest.run(&code, &before);
                if let Some(text) = difference(&host, &after, transcendental, tolerated, &ignore) {
                    let entry = failures.entry(format!("{mnemonic:?} {:?}", ins.code())).or_default();
                    entry.0 += 1;
                    if entry.1.is_empty() {
                        entry.1 = format!(
                            "{code:x?} control {:x} status {:x} used {:x} st0 {:x?} st1 {:x?} st(i) {:x?} st7 {:x?} memory {:x?}:{text}",
                            before.control,
                            before.status,
                            before.used,
                            before.st[0],
                            before.st[1],
                            before.st[usize::from(modrm & 7)],
                            before.st[7],
                            &before.memory[..10]
                        );
                    }
                }
            }
        }
    }
    assert!(encodings > 400, "{encodings} encodings");
    for (name, (n, text)) in &failures {
        println!("{name}: {n} of {count}: {text}");
    }
    assert!(failures.is_empty(), "{} encodings differ from the host", failures.len());
}
