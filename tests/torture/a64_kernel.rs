//! The kernel of random AArch64 guests: layout, tables, boot code, exception handlers that go on after anything,
//! launchers that start a program.

use super::words::Draw;
use dejavm::machine::virt::{GicVersion, lines};
use dejavm_interp::aarch64::regs::{psr, sctlr};
use dejavm_interp::aarch64::sysreg::{encoding, reg};
use dejavm_oracle::rng::Rng;

/// Bytes of RAM.
pub const RAM_LEN: u64 = 4 << 20;
const RAM: u64 = lines::RAM;
const VECTORS: u64 = RAM + 0x1000;
const HANDLERS: u64 = RAM + 0x2000;
/// How often each exception class came, then IRQ, four bytes each.
pub const COUNTS: u64 = RAM + 0x4000;
/// Number of the next launcher, and exceptions until it starts.
const SEQUENCE: u64 = RAM + 0x4200;
const PATIENCE: u64 = RAM + 0x4204;
/// Addresses of the launchers.
const LAUNCHERS: u64 = RAM + 0x4400;
/// How many there are, a power of two.
pub const LAUNCHES: u64 = 64;
const LAUNCH: u64 = RAM + 0x8000;
const LAUNCH_STEP: u64 = 0x600;
pub const BOOT: u64 = RAM + 0x2_0000;
const TABLES: u64 = RAM + 0x3_0000;
pub const DATA: u64 = RAM + 0x4_0000;
pub const DATA_LEN: u64 = 0x1_0000;
const STACK: u64 = RAM + 0x6_0000;
pub const CODE: u64 = RAM + 0x10_0000;
/// Bytes between programs.
pub const PITCH: u64 = 0x4000;
/// Pages whose tables the guest edits.
pub const PLAY: u64 = 0x8000_0000;
pub const PLAY_PAGES: u64 = 64;
/// Those at the beginning that hold code.
const PLAY_CODE: u64 = 16;
/// What TTBR1 translates: everything once more.
const HIGH: u64 = 0xffff_ff80_0000_0000;

const AF: u64 = 1 << 10;
const USER: u64 = 1 << 6;
const READ_ONLY: u64 = 1 << 7;
const DEVICE: u64 = 1 << 2;
const NO_EXECUTE: u64 = 3 << 53;

/// System registers that the interpreter names by their encoding alone.
mod name {
    use super::encoding;
    pub const CNTP_TVAL: u16 = encoding(3, 3, 14, 2, 0);
    pub const CNTP_CTL: u16 = encoding(3, 3, 14, 2, 1);
    pub const CNTV_TVAL: u16 = encoding(3, 3, 14, 3, 0);
    pub const CNTV_CTL: u16 = encoding(3, 3, 14, 3, 1);
    pub const ICC_PMR: u16 = encoding(3, 0, 4, 6, 0);
    pub const ICC_IAR1: u16 = encoding(3, 0, 12, 12, 0);
    pub const ICC_EOIR1: u16 = encoding(3, 0, 12, 12, 1);
    pub const ICC_IGRPEN1: u16 = encoding(3, 0, 12, 12, 7);
    pub const DBGBVR0: u16 = encoding(2, 0, 0, 0, 4);
    pub const DBGBCR0: u16 = encoding(2, 0, 0, 0, 5);
    pub const DBGWVR0: u16 = encoding(2, 0, 0, 0, 6);
    pub const DBGWCR0: u16 = encoding(2, 0, 0, 0, 7);
}

/// A little assembler.
#[derive(Default)]
pub struct Code {
    at: u64,
    pub words: Vec<u32>,
    /// Places of conditional branches that go to the address given.
    fixes: Vec<(usize, &'static str)>,
    labels: Vec<(&'static str, u64)>,
}

const EQ: u32 = 0;
const LE: u32 = 13;

impl Code {
    pub fn at(at: u64) -> Self {
        Self { at, ..Self::default() }
    }

    fn here(&self) -> u64 {
        self.at + 4 * self.words.len() as u64
    }

    fn put(&mut self, word: u32) {
        self.words.push(word);
    }

    fn label(&mut self, name: &'static str) {
        self.labels.push((name, self.here()));
    }

    /// B.cond, to be filled in.
    fn branch_if(&mut self, cond: u32, to: &'static str) {
        self.fixes.push((self.words.len(), to));
        self.put(0x5400_0000 | cond);
    }

    /// B.
    pub fn branch(&mut self, to: u64) {
        let d = (to.wrapping_sub(self.here()) as i64 >> 2) as u32 & 0x03ff_ffff;
        self.put(0x1400_0000 | d);
    }

    fn finish(mut self) -> (Vec<u32>, Vec<(&'static str, u64)>) {
        for (i, to) in std::mem::take(&mut self.fixes) {
            let target = self.labels.iter().find(|l| l.0 == to).expect("a label").1;
            let d = (target.wrapping_sub(self.at + 4 * i as u64) as i64 >> 2) as u32;
            self.words[i] |= (d & 0x7ffff) << 5;
        }
        (self.words, self.labels)
    }

    /// Xt = a constant.
    fn mov(&mut self, rt: u32, v: u64) {
        self.put(0xd280_0000 | (v as u32 & 0xffff) << 5 | rt);
        for n in 1..4 {
            let part = (v >> (16 * n)) as u32 & 0xffff;
            if part != 0 {
                self.put(0xf280_0000 | n << 21 | part << 5 | rt);
            }
        }
    }

    fn mrs(&mut self, rt: u32, r: u16) {
        self.put(0xd520_0000 | u32::from(r) << 5 | rt);
    }

    fn msr(&mut self, r: u16, rt: u32) {
        self.put(0xd500_0000 | u32::from(r) << 5 | rt);
    }

    /// A system register = a constant. X17 is lost.
    fn set(&mut self, r: u16, v: u64) {
        self.mov(17, v);
        self.msr(r, 17);
    }

    /// A word in memory = a constant. X16 and X17 are lost.
    fn store(&mut self, at: u64, v: u32) {
        self.mov(16, at);
        self.mov(17, v.into());
        self.put(0xb900_0000 | 16 << 5 | 17);
    }

    /// A word in memory changes by one, in W17; `set`: with the flags. X18 is its place.
    fn step(&mut self, set: bool) {
        self.put(0xb940_0000 | 18 << 5 | 17);
        self.put(if set { 0x7100_0400 } else { 0x1100_0400 } | 17 << 5 | 17);
        self.put(0xb900_0000 | 18 << 5 | 17);
    }

    /// CMP X16, #v; B.EQ.
    fn if_equal(&mut self, v: u32, to: &'static str) {
        self.put(0xf100_001f | v << 10 | 16 << 5);
        self.branch_if(EQ, to);
    }
}

const ERET: u32 = 0xd69f_03e0;
const ISB: u32 = 0xd503_3fdf;
/// TLBI VMALLE1
const TLBI: u32 = 0xd508_871f;

/// Translation tables of address space `n`: the root, the table of [`PLAY`], its pages.
fn root(n: u64) -> u64 {
    TABLES + n * 0x3000
}

/// The entries of the pages at [`PLAY`] in address space `n`.
pub fn play_table(n: u64) -> u64 {
    root(n) + 0x2000
}

/// TTBR0_EL1 for address space `n`, with any ASID.
pub fn ttbr0(rng: &mut Rng, n: u64) -> u64 {
    root(n) | rng.below(4) << 48
}

/// The entries of those pages. In the first of them is code, in others now and then; neighbours often are neighbours
/// in memory too, or lie in one frame.
fn play_entries(rng: &mut Rng) -> Vec<u64> {
    let mut page = CODE;
    let one = |n| {
        let code = n < PLAY_CODE;
        page = match rng.below(10) {
            0 | 1 if n > 0 => page,
            2..=5 if code => page + 0x1000,
            _ if code || rng.percent(20) => CODE + rng.below(16) * PITCH,
            _ => DATA + (rng.below(16) << 12),
        };
        page | play_attributes(rng, code)
    };
    (0..PLAY_PAGES).map(one).collect()
}

/// The attributes of one of those pages, as a guest might make them. EL1 runs no code that EL0 may write.
fn play_attributes(rng: &mut Rng, code: bool) -> u64 {
    let mut v = 3;
    let (read_only, no_execute) = if code { (80, 5) } else { (20, 30) };
    for (bit, percent) in [
        (AF, 85),
        (USER, 70),
        (READ_ONLY, read_only),
        (DEVICE, 5),
        (NO_EXECUTE, no_execute),
        (1 << 8, 50),
        (1 << 51, 5),
    ] {
        if rng.percent(percent) {
            v |= bit;
        }
    }
    if rng.percent(8) { v & !1 } else { v }
}

/// All tables: addresses and bytes. `user`: for each program, whether it runs at EL0.
pub fn tables(rng: &mut Rng, user: &[bool]) -> Vec<(u64, Vec<u8>)> {
    let low = TABLES + 0x6000;
    let mut low_pages = Vec::new();
    for page in 0..RAM_LEN >> 12 {
        let at = RAM + (page << 12);
        let open = (DATA..STACK + 0x4000).contains(&at)
            || at.checked_sub(CODE).is_some_and(|d| user.get((d / PITCH) as usize) == Some(&true));
        low_pages.push(at | 3 | AF | if open { USER } else { 0 });
    }
    let low_tables = [low + 0x1000 | 3, low + 0x2000 | 3];
    let bytes = |v: &[u64]| v.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let mut all = vec![(low, bytes(&low_tables)), (low + 0x1000, bytes(&low_pages))];
    for n in 0..2 {
        let devices = 1 | AF | DEVICE | NO_EXECUTE | if rng.percent(50) { USER } else { 0 };
        all.push((root(n), bytes(&[devices, low | 3, root(n) + 0x1000 | 3])));
        all.push((root(n) + 0x1000, bytes(&[root(n) + 0x2000 | 3])));
        all.push((play_table(n), bytes(&play_entries(rng))));
    }
    all
}

/// The handlers and the vectors.
pub fn handlers(rng: &mut Rng, gic: GicVersion) -> Vec<(u64, Vec<u32>)> {
    let mut c = Code::at(HANDLERS);
    c.label("sync");
    c.mrs(16, reg::ESR_EL1);
    // LSR X16, X16, #26; X18 = COUNTS + 4 * X16
    c.put(0xd35a_fe10);
    c.mov(18, COUNTS);
    c.put(0x8b10_0a52);
    c.step(false);
    c.if_equal(0x15, "call");
    c.if_equal(0x24, "data");
    c.if_equal(0x25, "data");
    // What cannot be fetched will not be for a second time; an illegal state goes on with an ERET.
    c.if_equal(0x20, "next");
    c.if_equal(0x21, "next");
    c.if_equal(0x0e, "next");
    for class in 0x30..0x36 {
        c.if_equal(class, "debug");
    }
    c.label("skip");
    c.mov(18, PATIENCE);
    c.step(true);
    c.branch_if(LE, "next");
    c.mrs(17, reg::ELR_EL1);
    c.put(0x9100_1231);
    c.msr(reg::ELR_EL1, 17);
    c.put(ERET);
    // SVC #77H ends a program.
    c.label("call");
    c.mrs(16, reg::ESR_EL1);
    // AND X16, X16, #FFFFH
    c.put(0x9240_3e10);
    c.if_equal(END, "next");
    c.put(ERET);
    c.label("debug");
    c.msr(reg::MDSCR_EL1, 31);
    c.put(ERET);
    // Of a page at PLAY: the entry becomes good.
    c.label("data");
    c.mrs(16, reg::FAR_EL1);
    // X17 = X16 >> 30
    c.put(0xd35e_fe11);
    c.put(0xf100_0a3f);
    // B.NE skip
    c.branch_if(1, "skip");
    // UBFX X16, X16, #12, #6; X17 = TTBR0_EL1 without the ASID, + 2000H + 8 * X16
    c.put(0xd34c_4610);
    c.mrs(17, reg::TTBR0_EL1);
    c.put(0x9240_be31);
    c.put(0x9140_0a31);
    c.put(0x8b10_0e31);
    c.mov(16, DATA + 0x3000 | 3 | AF | USER);
    c.put(0xf900_0000 | 17 << 5 | 16);
    c.put(TLBI);
    c.mov(18, PATIENCE);
    c.step(true);
    c.branch_if(LE, "next");
    c.put(ERET);
    c.label("irq");
    c.mov(18, COUNTS + 0x100);
    c.step(false);
    match gic {
        GicVersion::V2 => {
            c.mov(16, lines::GICC.0);
            c.put(0xb940_0e11);
            c.put(0xb900_1211);
        }
        GicVersion::V3 => {
            c.mrs(17, name::ICC_IAR1);
            c.msr(name::ICC_EOIR1, 17);
        }
    }
    // The serial port's byte, the power button.
    c.mov(16, lines::UART.0);
    c.put(0xb940_0211);
    c.store(lines::GPIO.0 + 0x41c, 0xff);
    for timer in [name::CNTP_TVAL, name::CNTV_TVAL] {
        let ticks = 30 + rng.below(3000);
        c.set(timer, ticks);
    }
    c.mov(18, PATIENCE);
    c.step(true);
    c.branch_if(LE, "next");
    c.put(ERET);
    c.label("next");
    c.mov(18, SEQUENCE);
    c.step(false);
    // W17 & 63; X18 = LAUNCHERS; LDR X17, [X18, X17, LSL #3]; BR X17
    c.put(0x9240_1631);
    c.mov(18, LAUNCHERS);
    c.put(0xf871_7a51);
    c.put(0xd61f_0220);
    let (words, labels) = c.finish();
    let label = |name| labels.iter().find(|l| l.0 == name).expect("a label").1;
    let mut all = vec![(HANDLERS, words)];
    for from in [0, 0x200, 0x400] {
        for (offset, to) in [(0, "sync"), (0x80, "irq"), (0x100, "irq"), (0x180, "next")] {
            let mut c = Code::at(VECTORS + from + offset);
            c.branch(label(to));
            all.push((VECTORS + from + offset, c.words));
        }
    }
    all
}

/// The immediate of the SVC that ends a program.
const END: u32 = 0x77;
/// That instruction.
pub const LAST: u32 = 0xd400_0001 | END << 5;

/// The code where CPU `n` starts, and with which it starts the other one.
pub fn boot(rng: &mut Rng, n: u64, cpus: usize, gic: GicVersion) -> (u64, Vec<u32>) {
    let at = BOOT + n * 0x1000;
    let mut c = Code::at(at);
    if n == 0 && cpus > 1 {
        c.mov(0, 0xc400_0003);
        c.mov(1, 1);
        c.mov(2, BOOT + 0x1000);
        c.put(0xd400_0002);
    }
    c.set(reg::VBAR_EL1, VECTORS);
    c.set(reg::MAIR_EL1, 0x00ff);
    c.set(reg::TCR_EL1, 25 | 25 << 16 | 2 << 30 | 1 << 32 | rng.below(2) << 37);
    c.set(reg::TTBR0_EL1, root(0));
    c.set(reg::TTBR1_EL1, root(1));
    c.put(ISB);
    c.set(reg::SCTLR_EL1, 0x30d0_0800 | sctlr::M);
    c.put(ISB);
    match gic {
        GicVersion::V2 => {
            c.store(lines::GICD.0, 1);
            c.store(lines::GICD.0 + 0x100, u32::MAX);
            c.store(lines::GICD.0 + 0x104, 1 << lines::SPI_UART | 1 << lines::SPI_GPIO);
            c.store(lines::GICD.0 + 0x820, 0x0100);
            c.store(lines::GICD.0 + 0x824, 0x0100_0000);
            c.store(lines::GICC.0 + 4, 0xff);
            c.store(lines::GICC.0, 1);
        }
        GicVersion::V3 => {
            let own = lines::GICR.0 + n * 0x2_0000;
            c.store(lines::GICD.0, 2);
            c.store(lines::GICD.0 + 0x84, u32::MAX);
            c.store(lines::GICD.0 + 0x104, 1 << lines::SPI_UART | 1 << lines::SPI_GPIO);
            c.store(own + 0x14, 0);
            c.store(own + 0x1_0080, u32::MAX);
            c.store(own + 0x1_0100, u32::MAX);
            c.set(name::ICC_PMR, 0xff);
            c.set(name::ICC_IGRPEN1, 1);
        }
    }
    c.msr(reg::OSLAR_EL1, 31);
    c.store(lines::UART.0 + 0x30, 0x301);
    c.store(lines::UART.0 + 0x38, 0x50);
    c.store(lines::GPIO.0 + 0x408, 0xff);
    c.store(lines::GPIO.0 + 0x410, 0xff);
    for control in [name::CNTP_CTL, name::CNTV_CTL] {
        c.set(control, u64::from(rng.percent(80)));
    }
    // The first launcher.
    c.mov(17, LAUNCH);
    c.put(0xd61f_0220);
    (at, c.words)
}

/// The launchers and their table. `user`: for each program, whether it runs at EL0.
pub fn launchers(rng: &mut Rng, user: &[bool]) -> Vec<(u64, Vec<u32>)> {
    let mut all = Vec::new();
    let mut table = Vec::new();
    for n in 0..LAUNCHES {
        let at = LAUNCH + n * LAUNCH_STEP;
        table.extend([at as u32, (at >> 32) as u32]);
        let program = rng.below(user.len() as u64);
        let words = launch(rng, at, program, user[program as usize]);
        assert!(4 * words.len() as u64 <= LAUNCH_STEP, "a launcher has {} words", words.len());
        all.push((at, words));
    }
    all.push((LAUNCHERS, table));
    all
}

/// Starts a program: control registers, registers, ERET.
fn launch(rng: &mut Rng, at: u64, program: u64, user: bool) -> Vec<u32> {
    let mut c = Code::at(at);
    let patience = 1 + rng.below(60) as u32;
    c.store(PATIENCE, patience);
    let mut control = 0x30d0_0800 | sctlr::M;
    for (bit, percent) in [
        (sctlr::A, 15),
        (sctlr::SA, 50),
        (sctlr::SA0, 50),
        (sctlr::UMA, 70),
        (sctlr::UCI, 80),
        (sctlr::DZE, 80),
        (sctlr::NTWI, 50),
        (sctlr::NTWE, 50),
        (sctlr::UCT, 50),
    ] {
        control = if rng.percent(percent) { control | bit } else { control & !bit };
    }
    if rng.percent(3) {
        control |= sctlr::E0E;
    }
    c.set(reg::SCTLR_EL1, control);
    let space = rng.below(2);
    c.set(reg::TTBR0_EL1, ttbr0(rng, space));
    c.set(reg::CPACR_EL1, 3 << 20);
    c.put(ISB);
    // Vector registers out of the data.
    c.mov(17, DATA + rng.below(0xc0) * 0x100);
    for n in 0..32 {
        c.put(0x3dc0_0000 | (rng.below(0x100) as u32) << 10 | 17 << 5 | n);
    }
    c.set(reg::FPCR, if rng.percent(20) { rng.bits() & 0x03c0_0000 } else { 0 });
    c.msr(reg::FPSR, 31);
    if rng.percent(10) {
        c.set(reg::CPACR_EL1, rng.below(4) << 20);
    }
    let entry = CODE + program * PITCH;
    let entry = match rng.below(8) {
        0 | 1 => HIGH + entry,
        2 => PLAY + (rng.below(PLAY_CODE) << 12) + 4 * rng.below(100),
        _ => entry,
    };
    match rng.below(12) {
        0 => {
            c.set(name::DBGBVR0, entry + 4 * rng.below(60));
            c.set(name::DBGBCR0, 0x1e7);
            c.set(reg::MDSCR_EL1, 1 << 15 | 1 << 13);
        }
        1 => {
            c.set(name::DBGWVR0, DATA + 0x100 + 8 * rng.below(16));
            c.set(name::DBGWCR0, 0x1ff7);
            c.set(reg::MDSCR_EL1, 1 << 15 | 1 << 13);
        }
        2 => c.set(reg::MDSCR_EL1, 1),
        _ => c.msr(reg::MDSCR_EL1, 31),
    }
    c.mov(17, STACK + 0x2000 - 16 * rng.below(8));
    c.put(0x9100_023f);
    c.set(reg::SP_EL0, STACK + 0x3f00);
    c.set(reg::ELR_EL1, entry);
    let mut state = rng.bits() & psr::NZCV | if user { 0 } else { rng.pick(&[5, 5, 5, 4]) };
    for (bit, percent) in
        [(psr::I, 10), (psr::F, 20), (psr::A, 20), (psr::D, 50), (psr::SS, 30), (psr::PAN, 10)]
    {
        if rng.percent(percent) {
            state |= bit;
        }
    }
    c.set(reg::SPSR_EL1, state);
    for timer in [name::CNTP_TVAL, name::CNTV_TVAL] {
        c.set(timer, 30 + rng.below(3000));
    }
    for n in (0..31).filter(|n| *n != 17) {
        let v = match rng.below(4) {
            0 => rng.below(16),
            1 => DATA + rng.below(0x1000),
            2 => u64::from(rng.bits() as u32),
            _ => rng.bits() & 0xffff,
        };
        c.mov(n, v);
    }
    for (n, v) in [(19, pointer(rng, space)), (20, pointer(rng, space)), (25, pointer(rng, space))] {
        c.mov(n, v);
    }
    c.mov(21, rng.below(16));
    c.mov(30, entry);
    c.mov(17, rng.below(0x1000));
    c.put(ERET);
    c.words
}

/// An address worth pointing to.
fn pointer(rng: &mut Rng, space: u64) -> u64 {
    match rng.below(20) {
        0..=8 => DATA + 0x120 + 8 * rng.below(0x200),
        9..=10 => DATA + 0x0ff0 + rng.below(0x20),
        11..=14 => PLAY + rng.below(PLAY_PAGES << 12),
        15 => play_table(space) + 8 * rng.below(PLAY_PAGES),
        16 => CODE + rng.below(8) * PITCH + 4 * rng.below(200),
        17 => HIGH + DATA + rng.below(DATA_LEN),
        18 => rng.pick(&[lines::UART.0, lines::RTC.0, lines::GPIO.0, lines::FW_CFG.0, lines::GICD.0 + 0x400]),
        _ => STACK + 0x3000,
    }
}

impl Draw for Rng {
    fn bits(&mut self) -> u64 {
        Rng::bits(self)
    }
}
