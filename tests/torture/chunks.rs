//! Chunks: a hundred or so random instructions with everything around them that an engine can get
//! wrong. What a snippet of each kind is for stands at its function.

use super::code::{Code, Reach, cc};
use super::instructions::{Frame, Instructions, POINTERS};
use super::layout::*;
use dejavm_interp::x86::regs::cr0;
use dejavm_oracle::rng::Rng;
use dejavm_oracle::state::Mode;

/// Where a chunk lies and how it runs.
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    /// 16, 32 or 64.
    pub bits: u32,
    /// Privilege level, 0 or 3.
    pub ring: u8,
    /// Linear address.
    pub at: u64,
    /// Base of its code segment.
    pub base: u64,
    /// Its code selector.
    pub selector: u16,
}

impl Slot {
    /// Offset in its code segment.
    pub fn entry(&self) -> u64 {
        self.at - self.base
    }

    /// The stack segment, and a stack pointer in the middle of the stack.
    pub fn stack(&self, kind: Kind) -> (u16, u64) {
        match (kind, self.bits) {
            (Kind::Real, _) => ((DATA >> 4) as u16, 0xe000),
            (_, 16) => (if self.ring == 0 { sel::DATA16 } else { sel::DATA16_3 }, 0xe000),
            _ => (if self.ring == 0 { sel::DATA0 } else { sel::DATA3 }, STACK + STACK_LEN / 2),
        }
    }

    /// Selectors for ES, DS, FS, GS.
    pub fn data(&self, kind: Kind) -> [(u8, u16); 4] {
        let (data, flat) = match (kind, self.bits) {
            (Kind::Real, _) => ((DATA >> 4) as u16, (self.base >> 4) as u16),
            (_, 16) => (sel::DATA16_3, sel::DATA3),
            _ => (sel::DATA3, sel::DATA3),
        };
        [(0, data), (3, data), (4, flat), (5, data)]
    }

    /// Offset of the data in its data segment.
    pub fn data_offset(&self) -> u64 {
        if self.bits == 16 { 0 } else { DATA }
    }

    pub fn mode(&self) -> Mode {
        match self.bits {
            16 => Mode::Bits16,
            32 => Mode::Bits32,
            _ => Mode::Bits64,
        }
    }
}

/// Values of the registers that point to data: BX aligned, the others anywhere, often at a page's end.
pub fn pointers(rng: &mut Rng, slot: &Slot) -> [(u8, u64); 4] {
    POINTERS.map(|r| {
        let page = (1 + rng.below(10)) << 12;
        let at = match rng.below(4) {
            _ if r == 3 => 0x800 + (rng.below(0x40) << 4),
            0 => 0xff0 + rng.below(16),
            _ => 0x700 + rng.below(0x200),
        };
        (r, slot.data_offset() + page + at)
    })
}

/// What chunks are made with.
pub struct Maker<'a> {
    pub rng: &'a mut Rng,
    pub instructions: &'a Instructions,
    pub kind: Kind,
    pub slots: &'a [Slot],
    pub slot: Slot,
    /// What the pages at [`PLAY`] map to at first.
    pub play: &'a [Vec<u64>; 2],
    pub code: Code,
    pub frame: Frame,
}

/// Sources of bytes that change the map, reset the machine or do nothing, and everything between.
const PORTS: [u16; 20] = [
    0x80, 0xe9, 0x402, 0x3f8, 0x3f9, 0x3fa, 0x3fd, 0x60, 0x61, 0x40, 0x42, 0x43, 0x20, 0x21, 0xa1, 0x70,
    0x71, 0x608, 0xcf8, 0x1234,
];
const MSRS: [u32; 12] = [
    0x10,
    0x1b,
    0xc000_0080,
    0xc000_0081,
    0xc000_0082,
    0xc000_0100,
    0xc000_0101,
    0xc000_0102,
    0xc000_0103,
    0x277,
    0x174,
    0xdead,
];

impl<'a> Maker<'a> {
    pub fn new(
        rng: &'a mut Rng,
        instructions: &'a Instructions,
        kind: Kind,
        slots: &'a [Slot],
        slot: Slot,
        play: &'a [Vec<u64>; 2],
    ) -> Self {
        let reach = match (kind, slot.bits) {
            (Kind::Real, _) => Reach::RealFs(slot.base),
            (_, 16) => Reach::FlatFs,
            _ => Reach::Flat,
        };
        let mix = match rng.below(6) {
            0 => [10, 0, 0, 0, 0],
            1 => [3, 8, 0, 0, 1],
            2 => [3, 0, 8, 0, 1],
            3 => [4, 1, 1, 0, 6],
            _ => [12, 2, 4, 0, 2],
        };
        let frame = Frame { mode: slot.mode(), counter: None, mix, data: slot.data_offset() + 0x2000 };
        Self {
            code: Code::new(slot.bits, slot.entry(), reach),
            rng,
            instructions,
            kind,
            slots,
            slot,
            play,
            frame,
        }
    }

    /// A chunk of about `len` bytes.
    pub fn chunk(mut self, len: u64) -> Vec<u8> {
        while (self.code.bytes.len() as u64) < len {
            self.snippet(0);
        }
        self.leave();
        self.code.bytes
    }

    /// Nothing but common instructions, `len` bytes of them.
    pub fn straight(mut self, len: usize) -> Vec<u8> {
        self.frame.mix = [30, 1, 3, 0, 0];
        while self.code.bytes.len() < len {
            self.instruction();
        }
        self.leave();
        self.code.bytes
    }

    fn instruction(&mut self) {
        let ip = self.code.ip();
        let bytes = self.instructions.make(self.rng, &self.frame, ip);
        self.code.put(&bytes);
    }

    fn some(&mut self, most: u64) {
        for _ in 0..=self.rng.below(most) {
            self.instruction();
        }
    }

    fn snippet(&mut self, depth: u32) {
        let flat = self.slot.bits != 16;
        match self.rng.below(100) {
            0..=27 => self.some(10),
            28..=41 => self.counted(depth),
            42..=50 => self.skip(),
            51..=55 => self.function(),
            56..=58 => self.indirect(),
            59..=64 => self.rewrite(),
            65..=70 if self.kind.paged() => self.page_table(),
            71..=75 if self.kind.paged() && flat => self.play(),
            76..=79 => self.string(),
            80..=81 => self.far(),
            82..=83 => self.interrupt(),
            84..=85 => self.port(),
            86..=88 if flat => self.device_memory(),
            89 => self.system(),
            90 if self.slot.ring == 0 => self.mode(),
            90 => self.system(),
            91..=92 => self.flags(),
            93..=94 => self.stack(),
            95 => self.segment(),
            96..=97 => self.data_in_code(),
            98 => self.wild(),
            _ => self.reload(),
        }
    }

    /// Pointers afresh: loops and strings moved them.
    fn reload(&mut self) {
        for (r, v) in pointers(self.rng, &self.slot) {
            self.code.mov(r, v);
        }
    }

    /// A counted loop, also with LOOP and with other snippets inside.
    fn counted(&mut self, depth: u32) {
        let counter = self.rng.pick(&[1, 1, 0, 2]);
        let times = match self.rng.below(4) {
            0 => 1 + self.rng.below(4),
            1 => self.rng.below(300),
            _ => 10 + self.rng.below(60),
        };
        self.code.mov32(counter, times as u32);
        let top = self.code.ip();
        let outer = self.frame.counter.replace(counter);
        if depth < 2 && self.rng.percent(30) {
            self.snippet(depth + 1);
        } else {
            self.some(8);
        }
        self.frame.counter = outer;
        if counter == 1 && self.rng.percent(30) && self.code.short_to(0xe2, top) {
            return;
        }
        self.code.put(&[0xff, 0xc8 | counter]);
        if !self.code.short_to(0x75, top) {
            self.code.branch_to(&[0x0f, 0x85], top);
        }
    }

    /// A conditional branch over some instructions.
    fn skip(&mut self) {
        self.instruction();
        let cc = self.rng.below(16) as u8;
        let over = self.code.jcc(cc);
        self.some(5);
        self.code.land(over);
    }

    /// A function and calls of it.
    fn function(&mut self) {
        let over = self.code.jmp();
        let f = self.code.ip();
        self.some(6);
        if self.rng.percent(20) {
            self.code.put(&[0xc2, 0, 0]);
        } else {
            self.code.put(&[0xc3]);
        }
        self.code.land(over);
        for _ in 0..=self.rng.below(3) {
            self.code.branch_to(&[0xe8], f);
            self.some(2);
        }
    }

    /// Another chunk that can be jumped to.
    fn sibling(&mut self) -> Slot {
        for _ in 0..20 {
            let s = self.rng.pick(self.slots);
            if s.selector == self.slot.selector {
                return s;
            }
        }
        self.slot
    }

    /// A branch through a register or memory, also into other chunks.
    fn indirect(&mut self) {
        let other = self.sibling().entry();
        let target = if self.rng.percent(30) { other } else { 0 };
        let call = if self.rng.percent(40) { 2 } else { 4 };
        if target == 0 {
            // To a place a few bytes ahead.
            let far = self.rng.below(6) as usize;
            let ahead = |c: &mut Code, target| c.mov(0, target);
            let mut trial = self.code.clone();
            ahead(&mut trial, 0);
            let to = trial.ip() + 2 + far as u64;
            ahead(&mut self.code, to);
            self.code.put(&[0xff, 0xe0]);
            self.code.put(&vec![0x90; far]);
        } else if self.rng.percent(50) {
            self.code.mov(0, target);
            self.code.put(&[0xff, 0xc0 | call << 3]);
        } else {
            let cell = self.rng.below(0x100) * 8 + self.reachable_data();
            self.code.store(cell, 4, target as u32);
            if self.slot.bits == 64 {
                self.code.store(cell + 4, 4, 0);
            }
            self.code.absolute(&[], &[0xff], call, cell, &[]);
        }
    }

    /// Data that [`Code::absolute`] reaches in every mode.
    fn reachable_data(&mut self) -> u64 {
        match self.code.reach {
            Reach::RealFs(base) => base + 0xf000,
            _ => DATA + 0x3000,
        }
    }

    /// Linear address of an offset in the code segment.
    fn linear(&self, ip: u64) -> u64 {
        self.slot.base + ip
    }

    /// Code that writes code: into the running loop, ahead, into other chunks, across pages.
    fn rewrite(&mut self) {
        match self.rng.below(6) {
            0 | 1 => {
                // A loop whose immediate operand is its counter.
                self.code.mov32(1, 2 + self.rng.below(40) as u32);
                let top = self.code.ip();
                self.code.mov32(0, 0);
                let immediate = self.linear(self.code.ip()) - 4;
                let outer = self.frame.counter.replace(1);
                self.some(3);
                self.frame.counter = outer;
                let size = self.code.size32();
                self.code.absolute(size, &[0x89], 1, immediate, &[]);
                self.code.put(&[0xff, 0xc9]);
                if !self.code.short_to(0x75, top) {
                    self.code.branch_to(&[0x0f, 0x85], top);
                }
            }
            2 | 3 => {
                // An instruction that comes soon: its immediate, or itself.
                let from = self.code.bytes.len();
                self.code.store(0, 4, 0);
                let to = self.code.bytes.len();
                if self.rng.percent(60) {
                    self.some(3);
                }
                self.code.mov32(2, 0x1122_3344);
                let (at, value) = if self.rng.percent(70) {
                    (self.linear(self.code.ip()) - 4, self.rng.bits() as u32)
                } else {
                    (self.linear(self.code.ip()) - 5, 0x9090_9090)
                };
                let mut store = Code { bytes: Vec::new(), ..self.code.clone() };
                store.store(at, 4, value);
                if store.bytes.len() == to - from {
                    self.code.bytes[from..to].copy_from_slice(&store.bytes);
                }
            }
            4 => {
                // Anything anywhere; often the bytes that are there already.
                let s = self.rng.pick(self.slots);
                let (offset, value) = (self.rng.below(0x200), self.rng.bits() as u32);
                let size = self.rng.pick(&[1, 1, 4]);
                if self.code.reach == Reach::Flat && self.rng.percent(50) {
                    self.code.absolute(&[], &[0x80], 1, s.at + offset, &[0]); // or byte [at],0
                } else if self.kind != Kind::Real || s.base == self.slot.base {
                    self.code.store(s.at + offset, size, value);
                }
            }
            _ => {
                // Across the end of a page of code.
                let page = CODE + (self.rng.below(14) << 12) + 0x1000;
                let at = page - 1 - self.rng.below(3);
                let value = self.rng.bits() as u32;
                if self.kind != Kind::Real || self.slot.base == CODE {
                    self.code.store(at, 4, value);
                }
            }
        }
    }

    /// Page tables edited, with and without telling the CPU.
    fn page_table(&mut self) {
        let space = self.rng.below(2);
        let e = self.kind.entry();
        let page = self.rng.below(PLAY_PAGES);
        match self.rng.below(6) {
            0..=2 => {
                let value = play_entry(self.rng, self.kind);
                let at = play_table(space) + page * e;
                if e == 8 && self.rng.percent(80) {
                    self.code.store(at + 4, 4, (value >> 32) as u32);
                }
                self.code.store(at, 4, value as u32);
            }
            3 => {
                // Accessed, dirty, writable, user, present: cleared or set.
                let at = play_table(space) + page * e;
                self.toggle(at);
            }
            4 => {
                // Pages of data and code: never so that they are gone.
                let page = 0x20 + self.rng.below(0x30);
                let at = LOW_TABLE + page * e;
                let bits = self.rng.pick(&[0x60, 0x20, 0x40, 0x42, 2]);
                self.set_or_clear(at, bits);
            }
            _ => {
                let first = if e == 4 { 2 } else { 3 };
                let at = directory(self.kind, space) + first * e;
                if self.rng.percent(50) {
                    self.toggle(at);
                } else {
                    let to = self.rng.pick(&[0u32, 0x20_0000]);
                    self.code.store(at, 4, if e == 4 { 0x87 } else { to | 0x87 });
                }
            }
        }
        if self.slot.ring == 0 {
            match self.rng.below(6) {
                0 => self.code.control(3, root(space)),
                1 | 2 => self.code.absolute(&[], &[0x0f, 0x01], 7, PLAY + (page << 12), &[]),
                _ => {}
            }
        }
        if self.slot.bits != 16 && self.rng.percent(60) {
            self.touch(PLAY + (page << 12));
        }
    }

    fn toggle(&mut self, at: u64) {
        let bits = self.rng.pick(&[1u8, 2, 4, 0x20, 0x40, 0x60]);
        self.set_or_clear(at, bits);
    }

    fn set_or_clear(&mut self, at: u64, bits: u8) {
        if self.rng.percent(50) {
            self.code.absolute(&[], &[0x80], 4, at, &[!bits]);
        } else {
            self.code.absolute(&[], &[0x80], 1, at, &[bits]);
        }
    }

    /// One access to a page, often over its end.
    fn touch(&mut self, page: u64) {
        let offset = if self.rng.percent(30) { 0xffd } else { self.rng.below(0xff8) };
        let at = page + offset;
        match self.rng.below(5) {
            0 | 1 => self.code.absolute(&[], &[0x8b], 1, at, &[]),
            2 => self.code.absolute(&[], &[0x89], 1, at, &[]),
            3 => self.code.absolute(&[], &[0x81], 0, at, &[1, 2, 3, 4]),
            _ => self.code.absolute(&[], &[0xff], 6, at, &[]), // push
        }
    }

    /// Accesses to pages with edited tables, and code executed there.
    fn play(&mut self) {
        let page = self.rng.below(PLAY_PAGES);
        if self.rng.percent(65) {
            for _ in 0..=self.rng.below(4) {
                let large = if self.kind.entry() == 4 { 0x80_0000 } else { 0x60_0000 };
                if self.rng.percent(15) {
                    let at = large + DATA + (self.rng.below(16) << 12);
                    self.touch(at);
                } else {
                    self.touch(PLAY + (page << 12));
                }
            }
            return;
        }
        if self.slot.ring == 0 && self.rng.percent(30) {
            // Here what follows is mapped alike; where this code runs at a page of the tables, often not.
            let to = root(self.rng.below(2));
            self.code.control(3, to);
            return;
        }
        // The same code at another address.
        let other = self.sibling();
        let frame = other.at >> 12 << 12;
        let (space, from) = (self.rng.below(2) as usize, self.rng.below(PLAY_PAGES) as usize);
        let there = |e: u64| e & 0xf_f000 == frame && e & 1 != 0;
        let alias = (from..PLAY_PAGES as usize).chain(0..from).find(|i| there(self.play[space][*i]));
        if let Some(i) = alias.filter(|_| self.code.reach == Reach::Flat) {
            let to = PLAY + ((i as u64) << 12) + (other.at & 0xfff);
            let opcode = self.rng.pick(&[0xe8, 0xe9]);
            self.code.branch_to(&[opcode], to);
        }
    }

    /// String instructions, forwards and backwards, over pages' ends, into code.
    fn string(&mut self) {
        let count = match self.rng.below(5) {
            0 => 0,
            1 => self.rng.below(3000),
            _ => self.rng.below(80),
        };
        self.code.mov(1, count);
        for r in [6, 7] {
            let at = match self.rng.below(8) {
                0 if self.slot.bits != 16 => PLAY + self.rng.below(PLAY_LEN),
                1 if self.slot.bits != 16 => CODE + self.rng.below(0xf000),
                2 | 3 => self.slot.data_offset() + ((1 + self.rng.below(8)) << 12) - self.rng.below(40),
                _ => self.slot.data_offset() + 0x1000 + self.rng.below(0x8000),
            };
            self.code.mov(r, at);
        }
        self.code.put(&[if self.rng.percent(75) { 0xfc } else { 0xfd }]);
        for _ in 0..=self.rng.below(2) {
            let bytes = self.instructions.string(self.rng, self.frame.mode, self.code.ip());
            self.code.put(&bytes);
        }
        self.code.put(&[0xfc]);
        self.reload();
    }

    /// A far transfer into another chunk, also of another code size.
    fn far(&mut self) {
        let to = self.rng.pick(self.slots);
        if to.ring < self.slot.ring || self.kind == Kind::Real && to.bits != 16 {
            return;
        }
        let (selector, entry) = (to.selector, to.entry());
        let wide: &[u8] = if self.slot.bits == 16 { &[0x66] } else { &[] };
        let push = |c: &mut Code, v: u64| {
            c.put(wide);
            c.put(&[0x68]);
            c.put(&(v as u32).to_le_bytes());
        };
        match self.rng.below(3) {
            0 if to.ring == self.slot.ring => {
                if self.slot.bits == 64 {
                    let cell = self.reachable_data() + 0x800;
                    self.code.store(cell, 4, entry as u32);
                    self.code.store(cell + 4, 2, selector.into());
                    self.code.absolute(&[], &[0xff], 5, cell, &[]);
                } else {
                    let opcode = self.rng.pick(&[0xea, 0xea, 0x9a]);
                    self.code.put(wide);
                    self.code.put(&[opcode]);
                    self.code.put(&(entry as u32).to_le_bytes());
                    self.code.put(&selector.to_le_bytes());
                }
            }
            1 => {
                let (ss, sp) = to.stack(self.kind);
                if self.slot.bits == 64 || to.ring != self.slot.ring {
                    push(&mut self.code, ss.into());
                    push(&mut self.code, sp);
                }
                push(&mut self.code, 0x3202);
                push(&mut self.code, selector.into());
                push(&mut self.code, entry);
                self.code.put(if self.slot.bits == 64 { &[0x48] } else { wide });
                self.code.put(&[0xcf]);
            }
            _ => {
                if to.ring != self.slot.ring {
                    let (ss, sp) = to.stack(self.kind);
                    push(&mut self.code, ss.into());
                    push(&mut self.code, sp);
                }
                push(&mut self.code, selector.into());
                push(&mut self.code, entry);
                self.code.put(if self.slot.bits == 64 { &[0x48] } else { wide });
                self.code.put(&[0xcb]);
            }
        }
    }

    /// Software interrupts and exceptions on purpose; system calls.
    fn interrupt(&mut self) {
        let n = 0x50 + self.rng.below(16) as u8;
        match self.rng.below(10) {
            0..=3 => self.code.put(&[0xcd, n]),
            4 => self.code.put(&[0xcc]),
            5 => self.code.put(&[0x0f, 0x0b]),
            6 => self.code.put(&[0xf1]),
            7 if self.slot.bits == 64 => self.code.put(&[0x0f, 0x05]),
            7 if self.slot.bits == 32 => {
                let [low, high] = sel::GATE.to_le_bytes();
                self.code.put(&[0x9a, 0, 0, 0, 0, low, high]);
            }
            8 if self.kind != Kind::Real => self.code.put(&[0x0f, 0x34]),
            9 => self.code.put(&[0x31, 0xc9, 0xf7, 0xf1]), // xor ecx,ecx; div ecx
            _ => self.code.put(&[0xcd, 0x81]),
        }
    }

    /// Port I/O, single and repeated.
    fn port(&mut self) {
        let port = self.rng.pick(&PORTS);
        let value = self.rng.bits() as u8;
        let wide = self.rng.below(2) as u8;
        match self.rng.below(5) {
            0 | 1 => {
                self.code.mov32(2, port.into());
                self.code.put(&[0xec | wide]);
            }
            2 | 3 => self.code.out8(port, value),
            _ => {
                // Only ports where a mass of bytes does no harm.
                self.code.mov32(2, u32::from(self.rng.pick(&[0x80u16, 0x402, 0x71, 0x3fd])));
                self.code.mov(1, self.rng.below(20));
                let string = 0x6c + self.rng.below(4) as u8;
                self.code.put(&[0xf3, string]);
                self.reload();
            }
        }
    }

    /// Device memory in the middle of other work.
    fn device_memory(&mut self) {
        let lapic = self.rng.pick(&[0x20, 0x80, 0xf0, 0x300, 0x320, 0x380, 0x390, 0x3e0, 0x100]);
        let hpet = self.rng.pick(&[0u64, 0x10, 0xf0, 0x100, 0x108]);
        let (at, value) = match self.rng.below(6) {
            0 => (HPET + hpet, self.rng.below(4)),
            1 => (IOAPIC + self.rng.pick(&[0, 0x10]), self.rng.below(0x20)),
            2 => (0xc_0000 + self.rng.below(0x1000), self.rng.bits()),
            _ => {
                let value = match lapic {
                    0x80 => self.rng.below(16) << 4,
                    0xf0 => 0x1ff,
                    0x300 => 0x4_0000 | (0x50 + self.rng.below(16)),
                    0x320 => 0x40 | self.rng.below(2) << 17 | self.rng.below(2) << 16,
                    0x380 => 100 + self.rng.below(20_000),
                    _ => self.rng.below(16),
                };
                (LAPIC + lapic, value)
            }
        };
        self.code.mov32(0, at as u32);
        match self.rng.below(4) {
            0 | 1 => self.code.put(&[0x8b, 0x08]),
            2 => {
                self.code.mov32(1, value as u32);
                self.code.put(&[0x89, 0x08]);
            }
            _ => self.code.put(&[0x83, 0x08, 0]), // or dword [rax],0
        }
    }

    /// What asks or tells the CPU about itself.
    fn system(&mut self) {
        let leaf =
            self.rng.pick(&[0u32, 1, 2, 4, 7, 0xb, 0xd, 0x8000_0000, 0x8000_0001, 0x8000_0008, 0x4000_0000]);
        let ring0 = self.slot.ring == 0;
        match self.rng.below(14) {
            0 | 1 => {
                self.code.mov32(0, leaf);
                self.code.mov32(1, 0);
                self.code.put(&[0x0f, 0xa2]);
                self.reload();
            }
            2 | 3 => self.code.put(&[0x0f, 0x31]),
            4 => self.code.put(&[0x0f, 0x01, 0xf9]),
            5 => self.code.put(&[0x0f, 0xc7, 0xf0 | self.rng.below(2) as u8 * 8]),
            6 => self.code.put(&[0x0f, 0x01, 0xe0]), // smsw eax
            7 => {
                let n = self.rng.below(2) as u8;
                let at = self.reachable_data() + 0x900;
                self.code.absolute(&[], &[0x0f, 0x01], n, at, &[]);
            }
            8 if ring0 => {
                self.code.mov32(1, self.rng.pick(&MSRS));
                self.code.put(&[0x0f, 0x32]);
            }
            9 if ring0 => {
                let value = self.rng.below(1 << 20);
                let msr = self.rng.pick(&[0x10, 0xc000_0103, 0xc000_0102, 0x3b]);
                self.code.wrmsr(msr, value);
            }
            10 if ring0 => self.code.put(&[0x0f, 0x06]),
            11 if ring0 => self.code.put(&[0x0f, 0x20, 0xc0 | self.rng.pick(&[0u8, 2, 3, 4]) << 3]),
            12 if ring0 && self.kind != Kind::Real => {
                let value = super::program::cr0_of(self.rng, self.kind);
                self.code.control(0, value);
            }
            13 if ring0 => self.code.put(&[0x0f, 0x09]), // wbinvd
            _ => self.code.put(&[0xf3, 0x90]),
        }
    }

    /// Another mode for some instructions: paging or protection switched off or on, with the segments
    /// as they are, or 64-bit mode left altogether. Interrupts are shut out: their tables are of this mode.
    fn mode(&mut self) {
        let (pe, pg) = (cr0::PE as u32, cr0::PG as u32);
        let away = match (self.kind, self.slot.bits) {
            (Kind::Real, _) => pe,
            (Kind::Legacy(Paging::Off), _) => pe,
            // All of a chunk and its data is mapped to where it lies.
            (Kind::Legacy(_), _) if self.rng.percent(50) => pe | pg,
            (Kind::Legacy(_), _) | (Kind::Long, 16 | 32) => pg,
            _ => return self.system(),
        };
        let switch = |c: &mut Code, wide: &[u8], bits: u32, set: bool| {
            c.put(&[0x0f, 0x20, 0xc0]); // mov eax,cr0
            c.put(wide);
            c.put(&[if set { 0x0d } else { 0x25 }]); // or, and
            c.put(&if set { bits } else { !bits }.to_le_bytes());
            c.put(&[0x0f, 0x22, 0xc0]);
        };
        let wide = self.code.size32();
        self.code.put(&[0xfa]);
        switch(&mut self.code, wide, away, self.kind == Kind::Real);
        self.some(6);
        if self.kind != Kind::Real && self.rng.percent(30) {
            // A branch there, so that it is a block of its own.
            let over = self.code.jmp();
            self.code.land(over);
            self.some(4);
        }
        switch(&mut self.code, wide, away, self.kind != Kind::Real);
        self.code.put(&[0xfb]);
    }

    /// Interrupts let in and shut out, single-stepping, shadows, sleep.
    fn flags(&mut self) {
        match self.rng.below(8) {
            0 => self.code.put(&[0xfb]),
            1 => self.code.put(&[0xfa, 0x90, 0xfb]),
            2 => self.code.put(&[0xfb, 0xf4]),
            3 => {
                // pushf; or word [sp],100h; popf: single-step for some instructions.
                let set: &[u8] = match self.slot.bits {
                    64 => &[0x9c, 0x80, 0x4c, 0x24, 1, 1, 0x9d],
                    32 => &[0x9c, 0x80, 0x4c, 0x24, 1, 1, 0x9d],
                    _ => &[0x9c, 0x58, 0x80, 0xcc, 1, 0x50, 0x9d],
                };
                let clear: &[u8] = match self.slot.bits {
                    16 => &[0x9c, 0x58, 0x80, 0xe4, 0xfe, 0x50, 0x9d],
                    _ => &[0x9c, 0x80, 0x64, 0x24, 1, 0xfe, 0x9d],
                };
                self.code.put(set);
                self.some(5);
                self.code.put(clear);
            }
            4 => {
                let (ss, _) = self.slot.stack(self.kind);
                self.code.mov_sreg(2, ss);
                self.some(2);
            }
            5 => self.code.put(&[0xfb, 0xf3, 0x90]),
            6 => self.code.put(&[0x9c, 0x9d]),
            _ => self.code.put(&[0xfb, 0xfa]),
        }
    }

    /// Pushes and pops, frames.
    fn stack(&mut self) {
        let n = 1 + self.rng.below(6);
        match self.rng.below(4) {
            0 | 1 => {
                for _ in 0..n {
                    let r = self.rng.pick(&[0u8, 1, 2, 3, 5, 6, 7]);
                    self.code.put(&[0x50 | r]);
                }
                self.some(3);
                for _ in 0..n {
                    self.code.put(&[0x58 | self.rng.below(3) as u8]);
                }
            }
            2 if self.slot.bits != 64 => self.code.put(&[0x60, 0x61]),
            3 => {
                let level = if self.rng.percent(20) { self.rng.below(4) as u8 } else { 0 };
                self.code.put(&[0xc8, self.rng.below(100) as u8, 0, level]);
                self.some(3);
                self.code.put(&[0xc9]);
            }
            _ => {
                self.code.put(&[0x6a, n as u8]);
                self.code.put(&[0x5a]);
            }
        }
    }

    /// Segment registers loaded, then as they were.
    fn segment(&mut self) {
        if self.kind == Kind::Real {
            self.code.mov_sreg(0, (DATA >> 4) as u16 + self.rng.below(16) as u16);
            self.some(2);
            self.code.mov_sreg(0, (DATA >> 4) as u16);
            return;
        }
        let s = self.rng.pick(&[0u8, 3, 5, 5]);
        let selector = self.rng.pick(&sel::LOADABLE);
        self.code.mov_sreg(s, selector);
        if self.slot.bits == 32 && self.rng.percent(60) {
            self.limit(s);
        } else {
            self.some(3);
        }
        for (s, selector) in self.slot.data(self.kind) {
            self.code.mov_sreg(s, selector);
        }
    }

    /// A loop of accesses through a segment, around its limit.
    fn limit(&mut self, s: u8) {
        let prefix: &[u8] = match s {
            0 => &[0x26],
            3 => &[0x3e],
            _ => &[0x65],
        };
        let near = self.rng.pick(&[0xfffcu64, 0x1_0000, DATA + 0xfffc, 0xffff_fffc, DATA + 0x1000]);
        let at = near.wrapping_add(self.rng.below(9)).wrapping_sub(4);
        self.code.mov32(1, 1 + self.rng.below(30) as u32);
        let top = self.code.ip();
        let outer = self.frame.counter.replace(1);
        for _ in 0..=self.rng.below(2) {
            let opcode = self.rng.pick(&[0x8bu8, 0x8b, 0x89, 0x8a, 0x01, 0x03]);
            self.code.absolute(prefix, &[opcode], 0, at, &[]);
        }
        self.frame.counter = outer;
        self.code.put(&[0xff, 0xc9]);
        let back = self.code.short_to(0x75, top);
        debug_assert!(back, "a short loop");
    }

    /// Data between instructions, written to in a loop.
    fn data_in_code(&mut self) {
        let over = self.code.jmp();
        let at = self.linear(self.code.ip());
        let n = self.rng.below(150) as usize;
        self.code.put(&vec![0x90; n + 4]);
        self.code.land(over);
        self.code.mov32(1, 1 + self.rng.below(60) as u32);
        let top = self.code.ip();
        let place = at + self.rng.below(n as u64 + 1);
        let size = self.code.size32();
        self.code.absolute(size, &[0xff], 0, place, &[]);
        let outer = self.frame.counter.replace(1);
        self.some(2);
        self.frame.counter = outer;
        self.code.put(&[0xff, 0xc9]);
        if !self.code.short_to(0x75, top) {
            self.code.branch_to(&[0x0f, 0x85], top);
        }
    }

    /// Bytes that are no instruction of anyone's, or a jump into the middle of one.
    fn wild(&mut self) {
        if self.rng.percent(50) {
            let bytes = self.rng.bits().to_le_bytes();
            let n = self.rng.below(8) as usize;
            self.code.put(&bytes[..n]);
        } else {
            let to = self.sibling().entry() + self.rng.below(0x100);
            let cc = self.rng.below(16) as u8;
            self.code.branch_to(&[0x0f, 0x80 | cc], to);
        }
    }

    /// The end of a chunk.
    fn leave(&mut self) {
        let own = self.slot.entry();
        let to = self.sibling().entry();
        match self.rng.below(10) {
            0..=4 => self.code.branch_to(&[0xe9], to),
            5 => self.code.branch_to(&[0xe9], own),
            6 => {
                let cc = self.rng.pick(&[cc::B, cc::AE, cc::E, cc::NE]);
                self.code.branch_to(&[0x0f, 0x80 | cc], own);
                self.code.put(&[0xcd, 0x81]);
            }
            7 => self.code.put(&[0xc3]),
            _ => self.code.put(&[0xcd, 0x81]),
        }
    }
}

/// The entries of a table at [`PLAY`]: neighbours often lie in one frame, or in neighbouring ones.
pub fn play_entries(rng: &mut Rng, kind: Kind) -> Vec<u64> {
    let mut entries: Vec<u64> = Vec::new();
    for _ in 0..PLAY_PAGES {
        let entry = match (rng.below(8), entries.last()) {
            (0, Some(last)) => *last,
            (1, Some(last)) => last + 0x1000,
            _ => play_entry(rng, kind),
        };
        entries.push(entry);
    }
    entries
}

/// A random entry of the tables at [`PLAY`].
fn play_entry(rng: &mut Rng, kind: Kind) -> u64 {
    let frame = match rng.below(16) {
        0..=5 => DATA + (rng.below(16) << 12),
        6..=10 => CODE + (rng.below(16) << 12),
        11 => ROM_AT + (rng.below(4) << 12),
        12 => rng.pick(&[LAPIC, HPET, 0xc_0000, 0x5000_0000]),
        13 => STACK,
        14 => 0x20_0000 + (rng.below(64) << 12),
        _ => DATA,
    };
    let mut flags = rng.pick(&[7u64, 7, 7, 0x67, 0x27, 5, 0x65, 3, 1, 0, 6]);
    if kind.entry() == 8 && rng.percent(10) {
        flags |= 1 << 63;
    }
    if rng.percent(10) {
        flags |= 1 << 8;
    }
    frame | flags
}
