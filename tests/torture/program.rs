//! A random guest: kernel, chunks, tables, and what comes from outside while it runs. A function
//! of its seed alone.

use super::chunks::{Maker, Slot, play_entries, pointers};
use super::code::Code;
use super::handlers::{APIC_VECTOR, PIC_VECTOR, dispatch_address, handlers, native};
use super::instructions::Instructions;
use super::layout::*;
use dejavm::machine::Machine;
use dejavm::machine::board::{Board, Core};
use dejavm::machine::loader::Start;
use dejavm::machine::pc::{self, Pc, PcConfig};
use dejavm::replay::Input;
use dejavm_interp::x86::model::Model;
use dejavm_interp::x86::regs::{cr0, cr4};
use dejavm_oracle::rng::Rng;
use dejavm_oracle::values;

/// Bytes between chunks.
const PITCH: u64 = 0xa00;
/// Chunks in RAM, and in ROM.
const CHUNKS: u64 = 24;
const ROM_CHUNKS: u64 = 4;

/// A random guest.
pub struct Program {
    pub seed: u64,
    pub kind: Kind,
    pub cpus: usize,
    /// Physical addresses and bytes.
    images: Vec<(u64, Vec<u8>)>,
    /// Where the CPUs begin.
    entry: [u64; 2],
    /// Steps to run.
    pub steps: u64,
    /// What comes from outside, by step.
    pub inputs: Vec<(u64, Input)>,
    /// Steps at which both sides are compared.
    pub stops: Vec<u64>,
}

/// A value for CR0 that keeps the mode.
pub fn cr0_of(rng: &mut Rng, kind: Kind) -> u64 {
    let mut v = cr0::ET | cr0::MP;
    if kind != Kind::Real {
        v |= cr0::PE;
    }
    if kind.paged() {
        v |= cr0::PG;
    }
    for (bit, percent) in [(cr0::NE, 85), (cr0::WP, 60), (cr0::AM, 40), (cr0::TS, 6), (cr0::EM, 3)] {
        if rng.percent(percent) {
            v |= bit;
        }
    }
    v
}

fn cr4_of(rng: &mut Rng, kind: Kind, closed: bool) -> u64 {
    let mut v = 0;
    if kind == Kind::Long || kind == Kind::Legacy(Paging::Pae) {
        v |= cr4::PAE;
    }
    let mut chances = vec![
        (cr4::PSE, 90),
        (cr4::PGE, 60),
        (cr4::OSFXSR, 95),
        (cr4::OSXMMEXCPT, 70),
        (cr4::TSD, 8),
        (cr4::DE, 30),
        (cr4::PCE, 50),
        (cr4::UMIP, 10),
    ];
    if kind == Kind::Long {
        chances.push((cr4::FSGSBASE, 80));
    }
    if closed {
        chances.push((cr4::SMEP, 4));
        chances.push((cr4::SMAP, 4));
    }
    for (bit, percent) in chances {
        if rng.percent(percent) {
            v |= bit;
        }
    }
    v
}

impl Program {
    /// The guest of a seed.
    pub fn new(instructions: &Instructions, seed: u64) -> Self {
        let rng = &mut Rng::new(seed, 0);
        let kind = match rng.below(100) {
            0..=44 => Kind::Long,
            45..=59 => Kind::Legacy(Paging::Short),
            60..=74 => Kind::Legacy(Paging::Pae),
            75..=84 => Kind::Legacy(Paging::Off),
            _ => Kind::Real,
        };
        let cpus = if kind == Kind::Long && rng.percent(25) { 2 } else { 1 };
        let closed = rng.percent(40);
        let play = [0, 1].map(|_| play_entries(rng, kind));
        let mut images = vec![(0xffff_0000, vec![0xf4; ROM as usize])];
        if kind == Kind::Real {
            images.push((0, idt(kind)));
        } else {
            images.push((GDT, gdt(kind).iter().flat_map(|d| d.to_le_bytes()).collect()));
            images.push((IDT, idt(kind)));
            images.extend((0..2).map(|n| (tss(n), tss_bytes(kind, n))));
            images.extend(page_tables(kind, !closed, &play));
        }
        let slots = slots(rng, kind);
        let launchers = slots.len() as u32 + rng.below(20) as u32;
        images.extend(handlers(rng, kind, launchers));
        let entry = Self::launchers(rng, kind, &slots, launchers, closed, &mut images);
        let mut rom = vec![0xf4; ROM as usize];
        for slot in &slots {
            let maker = Maker::new(rng, instructions, kind, &slots, *slot, &play);
            let bytes = if slot.at == LONG_RUN {
                maker.straight(100_000)
            } else {
                let len = 100 + maker.rng.below(1400);
                maker.chunk(len)
            };
            if slot.at >= ROM_AT && slot.at < ROM_AT + ROM {
                let at = (slot.at - ROM_AT) as usize;
                rom[at..at + bytes.len()].copy_from_slice(&bytes);
            } else {
                images.push((slot.at, bytes));
            }
        }
        images[0].1 = rom;
        // Data: patterns that are edges of something.
        let data = (0..DATA_LEN / 8).flat_map(|_| values::int(rng).to_le_bytes()).collect();
        images.push((DATA, data));
        let steps = rng.pick(&[10_000, 30_000, 100_000, 100_000, 300_000]);
        let inputs = inputs(rng, steps);
        let mut stops: Vec<u64> = (0..4 + rng.below(12)).map(|_| 1 + rng.below(steps)).collect();
        stops.push(steps);
        stops.sort_unstable();
        stops.dedup();
        Self { seed, kind, cpus, images, entry, steps, inputs, stops }
    }

    /// The launchers and the boot code; returns where the CPUs begin.
    fn launchers(
        rng: &mut Rng,
        kind: Kind,
        slots: &[Slot],
        launchers: u32,
        closed: bool,
        images: &mut Vec<(u64, Vec<u8>)>,
    ) -> [u64; 2] {
        let mut at = LAUNCH;
        let mut table = Vec::new();
        for n in 0..launchers {
            let slot = slots.get(n as usize).copied().unwrap_or_else(|| rng.pick(slots));
            let base = if kind == Kind::Real { LAUNCH } else { 0 };
            let mut c = native(kind, at - base);
            launch(rng, kind, &slot, closed, &mut c);
            if kind == Kind::Real {
                table.extend(((at - base) as u16).to_le_bytes());
                table.extend(((LAUNCH >> 4) as u16).to_le_bytes());
                table.extend([0; 4]);
            } else {
                table.extend(at.to_le_bytes());
            }
            let len = c.bytes.len() as u64;
            images.push((at, c.bytes));
            at += len + rng.below(20);
        }
        images.push((LAUNCHERS, table));
        let boot = at;
        assert!(boot + 0x200 < LAUNCH_END, "launchers are too long");
        // CPU 0 begins at the boot code; in real mode code segment 0 does not reach that far.
        let boot = if kind == Kind::Real { 0x600 } else { boot };
        let mut c = native(kind, boot);
        devices(rng, kind, &mut c);
        c.branch_to(&[0xe9], dispatch_address());
        images.push((boot, c.bytes));
        [boot, dispatch_address()]
    }

    /// The guest at power-on.
    pub fn machine(&self, engine: Box<<Pc as Board>::Engine>) -> Machine<Pc> {
        let config = PcConfig {
            model: Model::Max,
            cpus: self.cpus,
            memory: RAM,
            seed: self.seed,
            rtc: pc::RtcBase::Fixed(0),
            start: Start::Reset,
            bios: ROM,
        };
        let mut mem = pc::memory(RAM, ROM).expect("a few MiB");
        for (at, bytes) in &self.images {
            assert!(mem.load(*at, bytes), "an image at {at:#x} lies outside memory");
        }
        let mut board = Pc::new(&config);
        for n in 0..self.cpus {
            if let Core::X86(cpu) = board.core(n) {
                start(self.kind, n, self.entry[n], cpu);
            }
        }
        Machine::new(board, mem, engine, 3, Vec::new())
    }
}

fn slots(rng: &mut Rng, kind: Kind) -> Vec<Slot> {
    let mut slots = Vec::new();
    let mut add = |rng: &mut Rng, at: u64, base16: u64, wide: bool| {
        let bits = match kind {
            Kind::Real => 16,
            Kind::Long => rng.pick(&[64, 64, 64, 64, 32, if wide { 32 } else { 16 }]),
            Kind::Legacy(_) => rng.pick(&[32, 32, 32, if wide { 32 } else { 16 }]),
        };
        let ring = if kind != Kind::Real && rng.percent(45) { 3 } else { 0 };
        let (base, selector) = match (kind, bits, ring) {
            (Kind::Real, ..) => (base16, (base16 >> 4) as u16),
            (_, 16, 0) => (CODE, sel::CODE16),
            (_, 16, _) => (CODE, sel::CODE16_3),
            (_, 32, 0) => (0, sel::CODE32),
            (_, 32, _) => (0, sel::CODE32_3),
            (_, _, 0) => (0, sel::CODE64),
            _ => (0, sel::CODE64_3),
        };
        slots.push(Slot { bits, ring, at, base, selector });
    };
    for n in 0..CHUNKS {
        // Somewhere, or right before the end of a page.
        let mut at = CODE + n * PITCH + rng.below(0x100);
        if rng.percent(25) && at >> 12 != (at + 0x400) >> 12 {
            at = ((at >> 12) + 1 << 12) - 1 - rng.below(30);
        }
        add(rng, at, CODE, false);
    }
    for n in 0..ROM_CHUNKS {
        let at = ROM_AT + n * PITCH + rng.below(0x100);
        add(rng, at, ROM_AT, true);
    }
    if kind != Kind::Real && rng.percent(4) {
        add(rng, LONG_RUN, 0, true);
    }
    slots
}

/// The interrupt controllers and timers.
fn devices(rng: &mut Rng, kind: Kind, c: &mut Code) {
    let mask = if rng.percent(20) { 0xff } else { 0xe8 & rng.bits() as u8 };
    for (port, value) in [
        (0x20, 0x11),
        (0xa0, 0x11),
        (0x21, PIC_VECTOR),
        (0xa1, PIC_VECTOR + 8),
        (0x21, 4),
        (0xa1, 2),
        (0x21, 1),
        (0xa1, 1),
        (0x21, mask),
        (0xa1, rng.bits() as u8),
    ] {
        c.out8(port, value);
    }
    // The timer's divisor: from a few steps to a few thousand.
    let divisor = 20 + rng.below(1000);
    for (port, value) in [(0x43, 0x34), (0x40, divisor as u8), (0x40, (divisor >> 8) as u8), (0x3f9, 7)] {
        c.out8(port, value);
    }
    // The 8259s' request comes in at pin LINT0, the NMI at LINT1.
    for (register, value) in [(0xf0, 0x1ff), (0x350, 0x700), (0x360, 0x400)] {
        apic(kind, c, register, value);
    }
    if kind != Kind::Real {
        timer(rng, kind, c);
    }
}

/// A store to a register of the local APIC. In real mode GS begins at 0 and has no limit.
fn apic(kind: Kind, c: &mut Code, register: u32, value: u32) {
    if kind == Kind::Real {
        c.put(&[0x65, 0x67, 0x66, 0xc7, 0x05]);
        c.put(&(LAPIC as u32 + register).to_le_bytes());
    } else {
        c.mov32(0, LAPIC as u32 + register);
        c.put(&[0xc7, 0]);
    }
    c.put(&value.to_le_bytes());
}

/// The local APIC's timer, periodic or once.
fn timer(rng: &mut Rng, kind: Kind, c: &mut Code) {
    let vector = u32::from(APIC_VECTOR) | (rng.below(2) as u32) << 17;
    let count = 500 + rng.below(60_000) as u32;
    for (register, value) in [(0x3e0, 0xb), (0x320, vector), (0x380, count)] {
        apic(kind, c, register, value);
    }
}

/// Starts a chunk: control registers, debug registers, floating point, segments, registers, IRET.
fn launch(rng: &mut Rng, kind: Kind, slot: &Slot, closed: bool, c: &mut Code) {
    c.store(PATIENCE, 1, 1 + rng.below(60) as u32);
    if kind != Kind::Real {
        let v = cr0_of(rng, kind) & !(cr0::TS | cr0::EM);
        c.control(0, v);
    }
    let v = cr4_of(rng, kind, closed);
    c.control(4, v);
    if kind.paged() && rng.percent(50) {
        let to = root(rng.below(2));
        c.control(3, to);
    }
    if rng.percent(20) {
        for n in 0..4 {
            let near =
                if rng.percent(50) { slot.at + rng.below(0x80) } else { DATA + 0x1000 + rng.below(0x2000) };
            c.debug(n, near);
        }
        let kinds = rng.bits() << 16 & 0xffff_0000;
        c.debug(7, 0x400 | kinds | rng.bits() & 0xff);
    } else if rng.percent(50) {
        c.debug(7, 0x400);
    }
    c.put(&[0xdb, 0xe3]); // fninit
    if rng.percent(40) {
        let scratch = 0x3700;
        c.store(scratch, 2, rng.pick(&[0x37f, 0x27f, 0x7f, 0xf7f, 0xb7f, 0x372, 0x340]));
        c.absolute(&[], &[0xd9], 5, scratch, &[]);
        let rounding = rng.below(4) as u32 * 0x2000;
        let v = rounding | rng.pick(&[0x1f80, 0x1f80, 0x9fc0, 0x1d80, 0x9f80]);
        c.store(scratch + 4, 4, v);
        c.absolute(&[], &[0x0f, 0xae], 2, scratch + 4, &[]);
    }
    if kind == Kind::Long {
        let base = rng.below(0x1000) << rng.pick(&[0, 4, 12]);
        c.wrmsr(0xc000_0100, base);
        c.wrmsr(0xc000_0081, u64::from(sel::CODE64) << 32 | 0x23 << 48);
        c.wrmsr(0xc000_0082, HANDLERS + 0x50 * HANDLER_STEP);
        c.wrmsr(0xc000_0084, rng.pick(&[0x100, 0x700, 0x4_7700]));
    }
    if kind != Kind::Real {
        c.wrmsr(0x174, u64::from(sel::CODE64));
        c.wrmsr(0x175, HANDLER_STACKS[0] - 40);
        c.wrmsr(0x176, dispatch_address());
        if rng.percent(25) {
            timer(rng, kind, c);
        }
    }
    if rng.percent(15) {
        let divisor = 20 + rng.below(2000);
        c.out8(0x43, rng.pick(&[0x34, 0x30, 0x36]));
        c.out8(0x40, divisor as u8);
        c.out8(0x40, (divisor >> 8) as u8);
    }
    let flags = flags(rng);
    let (ss, sp) = slot.stack(kind);
    if kind != Kind::Long {
        // On a stack that is good for sure.
        c.mov_sreg(2, if kind == Kind::Real { ss } else { sel::DATA0 });
        if kind == Kind::Real {
            c.put(&[0xbc]);
            c.put(&(sp as u16).to_le_bytes());
        } else {
            c.put(&[0xbc]);
            let own = slot.ring == 0 && slot.bits == 32;
            c.put(&(if own { sp } else { HANDLER_STACKS[0] } as u32).to_le_bytes());
        }
    }
    for (s, selector) in slot.data(kind) {
        c.mov_sreg(s, selector);
    }
    for r in (0..if kind == Kind::Long { 16 } else { 8 }).filter(|r| *r != 4) {
        let v = values::int(rng);
        c.mov(r, v);
    }
    for (r, v) in pointers(rng, slot) {
        c.mov(r, v);
    }
    if slot.ring == 0 && slot.bits == 16 && matches!(kind, Kind::Legacy(_)) {
        // IRET to the same level leaves the stack as it is.
        c.mov_sreg(2, ss);
        c.put(&[0xbc]);
        c.put(&(sp as u32).to_le_bytes());
    }
    let push = |c: &mut Code, v: u64| {
        c.put(&[0x68]);
        c.put(&(v as u32).to_le_bytes()[..if kind == Kind::Real { 2 } else { 4 }]);
    };
    match kind {
        Kind::Long => {
            // In the frame of the exception that led here.
            for (n, v) in [slot.entry(), slot.selector.into(), flags, sp, ss.into()].into_iter().enumerate() {
                c.put(&[0x48, 0xc7, 0x44, 0x24, n as u8 * 8]);
                c.put(&(v as u32).to_le_bytes());
            }
            c.put(&[0x48, 0xcf]);
        }
        _ => {
            if slot.ring == 3 {
                push(c, ss.into());
                push(c, sp);
            }
            push(c, flags);
            push(c, slot.selector.into());
            push(c, slot.entry());
            c.put(&[0xcf]);
        }
    }
}

fn flags(rng: &mut Rng) -> u64 {
    let mut v = 2 | rng.bits() & 0x8d5;
    for (bit, percent) in
        [(0x100, 5), (0x200, 80), (0x400, 8), (0x3000, 60), (0x1_0000, 10), (0x4_0000, 10), (1 << 21, 20)]
    {
        if rng.percent(percent) {
            v |= bit;
        }
    }
    v
}

/// What comes from outside: now and then an NMI, which ends whatever the guest got stuck in.
fn inputs(rng: &mut Rng, steps: u64) -> Vec<(u64, Input)> {
    let mut inputs = Vec::new();
    let mut at = 0;
    let gap = rng.pick(&[1000, 4000, 10_000]);
    loop {
        at += 1 + rng.below(2 * gap);
        if at >= steps {
            return inputs;
        }
        inputs.push((
            at,
            match rng.below(6) {
                0 => Input::Serial { port: 0, bytes: vec![rng.bits() as u8; 1 + rng.below(4) as usize] },
                1 => Input::Key { code: 30, down: rng.percent(50) },
                _ => Input::Nmi,
            },
        ));
    }
}
