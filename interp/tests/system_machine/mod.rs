//! A bare machine for the tests of system instructions: 4 MiB of RAM, tables, a recording bus.

use dejavm_interp::engine::{At, Bus, Clock, Engine, Exit, Stop};
use dejavm_interp::mem::{Memory, Region};
use dejavm_interp::x86::model::Model;
use dejavm_interp::x86::regs::{Activity, Segment, TableRegister, cr0, cr4, efer, gpr, seg};
use dejavm_interp::x86::{Cpu, Interpreter, X86Bus};

pub const IDT: u64 = 0x2000;
pub const TSS_BASE: u64 = 0x3000;
pub const TSS2_BASE: u64 = 0x3800;
pub const GDT: u64 = 0x6000;
pub const HANDLERS: u64 = 0x7000;
pub const CODE: u64 = 0xa000;
pub const IST2: u64 = 0xc000;
pub const USER_STACK: u64 = 0xd000;
pub const KERNEL_STACK: u64 = 0xe000;
pub const STACK: u64 = 0xf000;
pub const PML4: u64 = 0x2_0000;
const IDENTITY_TABLE: u64 = PML4 + 0x3000;
const TEST_TABLE: u64 = PML4 + 0x4000;
const TEST_FRAME: u64 = 0x3_0000;
pub const TEST_PAGE: u64 = 0x40_0000;
pub const PT_WINDOW: u64 = 0x40_5000;

pub const CODE32: u64 = 0x08;
pub const DATA32: u64 = 0x10;
pub const CODE32_USER: u64 = 0x18;
pub const DATA_USER: u64 = 0x20;
pub const CODE64: u64 = 0x28;
pub const CODE64_USER: u64 = 0x30;
pub const TSS: u64 = 0x38;
pub const NOT_PRESENT: u64 = 0x48;
pub const EXECUTE_ONLY: u64 = 0x50;
pub const CALL_GATE: u64 = 0x58;
pub const TASK_GATE: u64 = 0x68;
pub const TSS2: u64 = 0x70;

pub const PTE_P: u64 = 1;
pub const PTE_W: u64 = 2;
pub const PTE_U: u64 = 4;
pub const PTE_NX: u64 = 1 << 63;

/// Where the handler of `vector` lies: HLT.
pub fn handler(vector: u64) -> u64 {
    HANDLERS + vector * 4
}

/// A descriptor: `rights` as in `Segment::rights`.
fn descriptor(base: u64, limit: u64, rights: u64) -> u64 {
    limit & 0xffff
        | (base & 0xff_ffff) << 16
        | (rights & 0xff) << 40
        | (limit >> 16 & 15) << 48
        | (rights >> 12) << 52
        | (base >> 24 & 0xff) << 56
}

#[derive(Default)]
pub struct TestBus {
    /// (icount, port, value)
    pub out: Vec<(u64, u16, u32)>,
    pub vector: Option<u8>,
}

impl Bus for TestBus {
    fn mmio_read(&mut self, _: &mut Memory, _: At, _: u64, _: u8) -> u64 {
        u64::MAX
    }
    fn mmio_write(&mut self, _: &mut Memory, _: At, _: u64, _: u8, _: u64) {}
    fn attention(&self) -> bool {
        false
    }
}

impl X86Bus for TestBus {
    fn port_read(&mut self, _: &mut Memory, _: At, port: u16, _: u8) -> u32 {
        port.into()
    }
    fn port_write(&mut self, _: &mut Memory, at: At, port: u16, _: u8, value: u32) {
        self.out.push((at.icount, port, value));
    }
    fn acknowledge_interrupt(&mut self, _: &mut Memory, _: At) -> Option<u8> {
        self.vector
    }
    fn apic_msr_read(&mut self, _: &mut Memory, _: At, _: u32) -> Option<u64> {
        None
    }
    fn apic_msr_write(&mut self, _: &mut Memory, _: At, _: u32, _: u64) -> Option<()> {
        None
    }
    fn tpr_read(&mut self, _: At) -> u8 {
        0
    }
    fn tpr_write(&mut self, _: &mut Memory, _: At, _: u8) {}
    fn ferr(&mut self, _: &mut Memory, _: At, _: bool) {}
}

pub struct Frame {
    pub rip: u64,
    pub cs: u64,
    pub flags: u64,
    pub rsp: u64,
    pub ss: u64,
}

pub struct Machine {
    pub cpu: Cpu,
    pub mem: Memory,
    pub bus: TestBus,
    engine: Interpreter,
}

impl Machine {
    fn new(model: Model) -> Self {
        let size = 4 << 20;
        let mut mem = Memory::new(size).unwrap();
        mem.set_regions(vec![Region { start: 0, len: size, offset: 0, writable: true }]).unwrap();
        let cpu = Cpu::new(model, 1, true);
        Self { cpu, mem, bus: TestBus::default(), engine: Interpreter::new() }
    }

    /// Real mode, at CODE.
    pub fn real() -> Self {
        let mut m = Self::new(Model::Qemu64);
        let cs = &mut m.cpu.segs[usize::from(seg::CS)];
        cs.selector = 0;
        cs.base = 0;
        m.cpu.idtr.limit = 0x3ff;
        m.start(STACK);
        m
    }

    fn start(&mut self, sp: u64) {
        self.cpu.set_rip(CODE);
        self.cpu.regs[usize::from(gpr::RSP)] = sp;
    }

    /// 32-bit protected mode without paging.
    pub fn protected(cpl: u8) -> Self {
        let mut m = Self::new(Model::Qemu64);
        m.tables(false);
        m.cpu.cr0 = cr0::PE | cr0::ET;
        m.load_segments(cpl, CODE32, CODE32_USER);
        m
    }

    pub fn long(cpl: u8) -> Self {
        Self::long_with(cpl, Model::Qemu64)
    }

    /// 64-bit mode; the first 2 MiB are mapped as they are, for `cpl`.
    pub fn long_with(cpl: u8, model: Model) -> Self {
        let mut m = Self::new(model);
        m.tables(true);
        m.paging_identity();
        if cpl == 3 {
            for i in 0..512 {
                m.put64(IDENTITY_TABLE + i * 8, i << 12 | PTE_P | PTE_W | PTE_U);
            }
        }
        m.cpu.cr0 = cr0::PE | cr0::ET | cr0::PG | cr0::WP | cr0::NE;
        m.cpu.cr3 = PML4;
        m.cpu.cr4 = cr4::PAE;
        m.cpu.msrs.efer = efer::LME | efer::LMA | efer::NXE | efer::SCE;
        m.load_segments(cpl, CODE64, CODE64_USER);
        m
    }

    fn load_segments(&mut self, cpl: u8, kernel: u64, user: u64) {
        let (cs, ss) = if cpl == 3 { (user | 3, DATA_USER | 3) } else { (kernel, DATA32) };
        self.cpu.segs = std::array::from_fn(|_| self.hidden(ss));
        self.cpu.segs[usize::from(seg::CS)] = self.hidden(cs);
        self.cpu.segs[usize::from(seg::TR)] = self.hidden(TSS);
        self.cpu.segs[usize::from(seg::LDTR)] = Segment { selector: 0, rights: 0, base: 0, limit: 0 };
        self.cpu.cpl = cpl;
        self.start(if cpl == 3 { USER_STACK } else { STACK });
    }

    fn hidden(&self, selector: u64) -> Segment {
        let raw = self.u64(GDT + (selector & !7));
        let rights = (raw >> 40) as u16 & 0xf0ff;
        let limit = (raw & 0xffff | raw >> 32 & 0xf_0000) as u32;
        Segment {
            selector: selector as u16,
            rights: rights | u16::from(rights & 0x10 != 0),
            base: raw >> 16 & 0xff_ffff,
            limit: if rights >> 15 != 0 { limit << 12 | 0xfff } else { limit },
        }
    }

    /// Writes GDT, IDT and TSS, and loads their registers.
    pub fn tables(&mut self, long: bool) {
        let tss_limit = 0x88 + 0x100;
        for (selector, d) in [
            (CODE32, descriptor(0, 0xf_ffff, 0xc09b)),
            (DATA32, descriptor(0, 0xf_ffff, 0xc093)),
            (CODE32_USER, descriptor(0, 0xf_ffff, 0xc0fb)),
            (DATA_USER, descriptor(0, 0xf_ffff, 0xc0f2)),
            (CODE64, descriptor(0, 0xf_ffff, 0xa09b)),
            (CODE64_USER, descriptor(0, 0xf_ffff, 0xa0fb)),
            (TSS, descriptor(TSS_BASE, tss_limit, 0x8b)),
            (NOT_PRESENT, descriptor(0, 0xf_ffff, 0xc013)),
            (EXECUTE_ONLY, descriptor(0, 0xf_ffff, 0xc099)),
        ] {
            self.put64(GDT + selector, d);
        }
        self.cpu.gdtr = TableRegister { base: GDT, limit: 0x7f };
        self.put(TSS_BASE, &vec![0; tss_limit as usize + 1]);
        if long {
            self.put64(TSS_BASE + 4, KERNEL_STACK);
            self.put64(TSS_BASE + 0x2c, IST2);
        } else {
            self.put64(TSS_BASE + 4, KERNEL_STACK | DATA32 << 32);
        }
        self.put(TSS_BASE + 0x66, &0x88u16.to_le_bytes());
        self.put(TSS_BASE + 0x88, &[0xff; 0x101]);
        for vector in 0..=255 {
            self.put(handler(vector), &[0xf4]);
            if long {
                self.idt(vector, 0x8e, handler(vector));
            } else {
                self.idt32(vector, 0x8e, CODE32, handler(vector));
            }
        }
        self.cpu.idtr = TableRegister { base: IDT, limit: if long { 0xfff } else { 0x7ff } };
    }

    pub fn paging_identity(&mut self) {
        let link = PTE_P | PTE_W | PTE_U;
        self.put64(PML4, PML4 + 0x1000 | link);
        self.put64(PML4 + 0x1000, PML4 + 0x2000 | link);
        self.put64(PML4 + 0x2000, IDENTITY_TABLE | link);
        self.put64(PML4 + 0x2010, TEST_TABLE | link);
        for i in 0..512 {
            self.put64(IDENTITY_TABLE + i * 8, i << 12 | PTE_P | PTE_W);
        }
    }

    /// Sets a 64-bit gate: type byte, IST from bit 8.
    pub fn idt(&mut self, vector: u64, attributes: u64, target: u64) {
        let low = target & 0xffff
            | CODE64 << 16
            | (attributes >> 8 & 7) << 32
            | (attributes & 0xff) << 40
            | (target >> 16 & 0xffff) << 48;
        self.put64(IDT + vector * 16, low);
        self.put64(IDT + vector * 16 + 8, target >> 32);
    }

    pub fn idt32(&mut self, vector: u64, kind: u64, selector: u64, target: u64) {
        let gate = target & 0xffff | selector << 16 | kind << 40 | (target >> 16) << 48;
        self.put64(IDT + vector * 8, gate);
    }

    pub fn call_gate(&mut self, at: u64, kind: u64, selector: u64, target: u64, parameters: u64) {
        let gate = target & 0xffff | selector << 16 | parameters << 32 | kind << 40 | (target >> 16) << 48;
        self.put64(GDT + at, gate);
    }

    /// A second 32-bit task, and a task gate to it. SS is `ss`, or a good one for zero.
    pub fn second_task(&mut self, eip: u64, ss: u64) {
        self.put64(GDT + TSS2, descriptor(TSS2_BASE, 0x67, 0x89));
        self.put64(GDT + TASK_GATE, TSS2 << 16 | 0x85 << 40);
        self.put(TSS2_BASE, &[0; 0x68]);
        self.put32(TSS2_BASE + 0x20, eip as u32);
        self.put32(TSS2_BASE + 0x24, 2);
        self.put32(TSS2_BASE + 0x38, 0xb800);
        let ss = if ss == 0 { DATA32 } else { ss };
        for (i, s) in [DATA32, CODE32, ss, DATA32, 0, 0].iter().enumerate() {
            self.put32(TSS2_BASE + 0x48 + 4 * i as u64, *s as u32);
        }
    }

    /// Sets a bit of the interrupt redirection bitmap.
    pub fn set_redirection(&mut self, vector: u64) {
        let at = TSS_BASE + 0x68 + vector / 8;
        let byte = self.u8(at) | 1 << (vector % 8);
        self.put(at, &[byte]);
    }

    /// Allows `ports` in the I/O permission bitmap.
    pub fn io_bitmap(&mut self, ports: &[u64]) {
        for port in ports {
            let at = TSS_BASE + 0x88 + port / 8;
            let byte = self.u8(at) & !(1 << (port % 8));
            self.put(at, &[byte]);
        }
    }

    /// Maps a page near [`TEST_PAGE`] to a frame of its own with the leaf entry's `flags`.
    pub fn map(&mut self, lin: u64, flags: u64) {
        self.set_leaf(lin, TEST_FRAME + (lin & 0xf000) | flags);
    }

    pub fn set_leaf(&mut self, lin: u64, entry: u64) {
        self.put64(TEST_TABLE + (lin >> 12 & 511) * 8, entry);
    }

    pub fn leaf(&self, lin: u64) -> u64 {
        self.u64(TEST_TABLE + (lin >> 12 & 511) * 8)
    }

    /// Lets a page show the frame at `phys`.
    pub fn point(&mut self, lin: u64, phys: u64) {
        let flags = self.leaf(lin) & (0xfff | PTE_NX);
        self.set_leaf(lin, phys | flags);
    }

    pub fn table_of(&self, _: u64) -> u64 {
        TEST_TABLE
    }

    pub fn frame_of_test_page(&self) -> u64 {
        TEST_FRAME
    }

    pub fn copy_page(&mut self, from: u64, to: u64) {
        let mut b = [0; 4096];
        self.mem.read(from & !0xfff, &mut b);
        self.put(to, &b);
    }

    pub fn put(&mut self, addr: u64, bytes: &[u8]) {
        self.mem.write(addr, bytes);
    }

    pub fn put32(&mut self, addr: u64, v: u32) {
        self.put(addr, &v.to_le_bytes());
    }

    pub fn put64(&mut self, addr: u64, v: u64) {
        self.put(addr, &v.to_le_bytes());
    }

    fn get<const N: usize>(&self, addr: u64) -> [u8; N] {
        let mut b = [0; N];
        self.mem.read(addr, &mut b);
        b
    }

    pub fn u8(&self, addr: u64) -> u8 {
        self.get::<1>(addr)[0]
    }

    pub fn u16(&self, addr: u64) -> u16 {
        u16::from_le_bytes(self.get(addr))
    }

    pub fn u32(&self, addr: u64) -> u32 {
        u32::from_le_bytes(self.get(addr))
    }

    pub fn u64(&self, addr: u64) -> u64 {
        u64::from_le_bytes(self.get(addr))
    }

    pub fn run(&mut self, steps: u64) -> Exit {
        self.engine.run(&mut self.cpu, 0, &mut self.mem, &mut self.bus, Clock::default(), steps)
    }

    pub fn after(&mut self, bytes: &[u8]) -> Exit {
        self.put(CODE, bytes);
        self.run(1000)
    }

    /// Runs to HLT; gives the number of steps.
    pub fn halted(&mut self) -> u64 {
        let exit = self.run(1000);
        assert_eq!(exit.stop, Stop::Halted, "RIP {:#x}", self.cpu.rip());
        exit.steps
    }

    /// Goes on after HLT, to the next.
    pub fn resume(&mut self) {
        self.cpu.activity = Activity::Running;
        self.halted();
    }

    fn vector(&self) -> (u8, bool) {
        let vector = (self.cpu.rip() - 1 - HANDLERS) / 4;
        assert!(vector < 256, "RIP {:#x} is in no handler", self.cpu.rip());
        (vector as u8, matches!(vector, 8 | 10..=14 | 17))
    }

    /// The vector whose handler was entered in long mode, and its error code.
    pub fn taken(&self) -> (u8, Option<u64>) {
        let (vector, code) = self.vector();
        (vector, code.then(|| self.u64(self.cpu.regs[4])))
    }

    pub fn taken32(&self) -> (u8, Option<u64>) {
        let (vector, code) = self.vector();
        (vector, code.then(|| self.u32(self.cpu.regs[4]).into()))
    }

    pub fn frame64(&self, code: bool) -> Frame {
        let at = self.cpu.regs[4] + if code { 8 } else { 0 };
        Frame {
            rip: self.u64(at),
            cs: self.u64(at + 8),
            flags: self.u64(at + 16),
            rsp: self.u64(at + 24),
            ss: self.u64(at + 32),
        }
    }
}
