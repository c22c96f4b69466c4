//! A CPU with a little memory, to execute snippets on.

use dejavm_interp::engine::{Clock, Control, Engine, Exit};
use dejavm_interp::mem::{Memory, PAGE_SIZE, Region};
use dejavm_interp::probe::Probes;
use dejavm_interp::tlb::Tlb;
use dejavm_interp::x86::decode::decode;
use dejavm_interp::x86::model::Model;
use dejavm_interp::x86::op::Handler;
use dejavm_interp::x86::regs::{Segment, cr0, cr4, efer, right, seg};
use dejavm_interp::x86::{Cpu, Exec, Flow, Interpreter, NoBus, Trap};

/// Where data and code lie, linear; the frames behind are [`DATA_PHYS`] and [`CODE_PHYS`].
pub const DATA: u64 = 0x1000_0000;
pub const CODE: u64 = 0x2000_0000;
/// The page before [`DATA`] and the one after [`DATA_PAGES`] pages are not mapped.
pub const DATA_PAGES: u64 = 4;
pub const DATA_PHYS: u64 = 0x1_0000;
pub const CODE_PHYS: u64 = 0x2_0000;
const TABLES: u64 = 0x3_0000;
const SIZE: u64 = 0x10_0000;

/// A CPU and its memory.
pub struct Bench {
    pub cpu: Cpu,
    pub mem: Memory,
    engine: Interpreter,
    tlb: Tlb,
}

fn memory() -> Memory {
    let mut mem = Memory::new(SIZE).unwrap();
    mem.set_regions(vec![Region { start: 0, len: SIZE, offset: 0, writable: true }]).unwrap();
    mem
}

impl Bench {
    fn with(cpu: Cpu, mem: Memory) -> Self {
        Self { cpu, mem, engine: Interpreter::new(), tlb: Tlb::default() }
    }

    /// 64-bit mode, CPL 0, with paging.
    pub fn long() -> Self {
        let mut mem = memory();
        let mut entry = |at: u64, v: u64| assert!(mem.load(at, &v.to_le_bytes()));
        entry(TABLES, (TABLES + 0x1000) | 7);
        entry(TABLES + 0x1000, (TABLES + 0x2000) | 7);
        entry(TABLES + 0x2000 + (DATA >> 21) * 8, (TABLES + 0x3000) | 7);
        entry(TABLES + 0x2000 + (CODE >> 21) * 8, (TABLES + 0x4000) | 7);
        for i in 0..DATA_PAGES {
            entry(TABLES + 0x3000 + i * 8, (DATA_PHYS + i * PAGE_SIZE) | 7);
        }
        entry(TABLES + 0x4000, CODE_PHYS | 7);
        let mut cpu = Cpu::new(Model::Max, 0, true);
        cpu.cr0 = cr0::PE | cr0::PG | cr0::WP | cr0::ET;
        cpu.cr3 = TABLES;
        cpu.cr4 = cr4::PAE;
        cpu.msrs.efer = efer::LME | efer::LMA;
        let code = right::P | right::S | right::RW | right::CODE | right::ACCESSED | right::L;
        cpu.segs[usize::from(seg::CS)] = Segment { selector: 8, rights: code, base: 0, limit: u32::MAX };
        cpu.set_rip(CODE);
        Self::with(cpu, mem)
    }

    /// Real mode; code at 2000:0000, data and stack at 1000:0000.
    pub fn real() -> Self {
        let mut cpu = Cpu::new(Model::Max, 0, true);
        let data = right::P | right::S | right::RW | right::ACCESSED;
        for s in [seg::ES, seg::SS, seg::DS, seg::FS, seg::GS] {
            cpu.segs[usize::from(s)] = Segment::real(0x1000, data);
        }
        cpu.segs[usize::from(seg::CS)] = Segment::real(0x2000, data | right::CODE);
        cpu.set_rip(0);
        Self::with(cpu, memory())
    }

    /// Protected mode without paging, flat 32-bit segments, at `cpl`.
    pub fn protected(cpl: u8) -> Self {
        let mut cpu = Cpu::new(Model::Max, 0, true);
        cpu.cr0 |= cr0::PE;
        cpu.cpl = cpl;
        let data =
            right::P | right::S | right::RW | right::ACCESSED | right::DB | right::G | u16::from(cpl) << 5;
        for s in [seg::ES, seg::SS, seg::DS, seg::FS, seg::GS] {
            cpu.segs[usize::from(s)] =
                Segment { selector: 16 | u16::from(cpl), rights: data, base: 0, limit: u32::MAX };
        }
        cpu.segs[usize::from(seg::CS)] =
            Segment { selector: 8 | u16::from(cpl), rights: data | right::CODE, base: 0, limit: u32::MAX };
        cpu.set_rip(CODE_PHYS);
        Self::with(cpu, memory())
    }

    /// Virtual-8086 mode with the segments of [`Bench::real`].
    pub fn v86(iopl: u64) -> Self {
        let mut b = Self::real();
        b.cpu.cr0 |= cr0::PE;
        b.cpu.cpl = 3;
        b.cpu.rflags |= dejavm_interp::x86::flags::bit::VM | iopl << 12;
        b
    }

    /// Puts code where RIP points to.
    pub fn code(&mut self, bytes: &[u8]) {
        assert!(self.mem.load(CODE_PHYS, bytes));
        self.engine.flush();
    }

    /// Runs the interpreter from RIP on.
    pub fn run(&mut self, steps: u64) -> Exit {
        self.engine.run(&mut self.cpu, 0, &mut self.mem, &mut NoBus, Clock::default(), steps)
    }

    /// Executes one instruction as the interpreter's loop does, and shows what the handler said
    /// and how many of `left` steps are left then.
    pub fn execute(&mut self, bytes: &[u8], left: u64) -> (Result<Flow, Trap>, u64) {
        self.execute_with(bytes, left, None)
    }

    /// [`Bench::execute`] with another handler than the decoder's.
    pub fn execute_with(
        &mut self,
        bytes: &[u8],
        left: u64,
        handler: Option<Handler>,
    ) -> (Result<Flow, Trap>, u64) {
        let Some(mut op) = decode(bytes, self.cpu.code_size(), self.cpu.model) else {
            panic!("{bytes:02x?} is cut short")
        };
        op.run = handler.unwrap_or(op.run);
        assert_eq!(usize::from(op.len), bytes.len(), "one instruction: {bytes:02x?}");
        let mut ex = Exec {
            cpu: &mut self.cpu,
            tlb: &mut self.tlb,
            mem: &mut self.mem,
            bus: &mut NoBus,
            index: 0,
            clock: Clock::default(),
            left,
            budget: left,
            attention: false,
            probes: &mut Probes::default(),
            pc: 0,
        };
        ex.mode_changed();
        let next = ex.cpu.rip() + u64::from(op.len);
        ex.cpu.set_rip(next);
        let result = (op.run)(&mut ex, &op);
        match result {
            Ok(_) => ex.left -= 1,
            Err(_) => {
                let rip = ex.cpu.rip() - u64::from(op.len);
                ex.cpu.set_rip(rip);
            }
        }
        (result, ex.left)
    }

    /// Executes one instruction that must go on to the next.
    pub fn next(&mut self, bytes: &[u8]) {
        assert_eq!(self.execute(bytes, 1), (Ok(Flow::Next), 0), "{bytes:02x?}");
    }

    /// Executes one instruction that must fault and leave the CPU as it was.
    pub fn faults(&mut self, bytes: &[u8]) -> Trap {
        let before = self.cpu.clone();
        let (result, left) = self.execute(bytes, 5);
        let trap = result.unwrap_err();
        assert_eq!(left, 5);
        assert_eq!(self.cpu.regs, before.regs, "{bytes:02x?}");
        assert_eq!(self.cpu.rflags(), before.rflags(), "{bytes:02x?}");
        trap
    }

    /// Bytes of physical memory.
    pub fn bytes(&self, addr: u64, n: usize) -> Vec<u8> {
        let mut v = vec![0; n];
        self.mem.read(addr, &mut v);
        v
    }

    /// Writes physical memory.
    pub fn put(&mut self, addr: u64, bytes: &[u8]) {
        self.mem.write(addr, bytes);
    }
}
