//! What the x87's instructions do besides computing: faults, pending exceptions and FERR#, the
//! environment's four images, FXSAVE and XSAVE areas.

use dejavm_interp::engine::{At, Bus, Clock, Engine, Stop};
use dejavm_interp::mem::{Memory, PhysAddr, Region};
use dejavm_interp::probe::Probes;
use dejavm_interp::softfloat::F80;
use dejavm_interp::tlb::Tlb;
use dejavm_interp::x86::exec::Exec;
use dejavm_interp::x86::model::Model;
use dejavm_interp::x86::op::REG_RIP;
use dejavm_interp::x86::regs::{cr0, cr4, efer, gpr, right, seg};
use dejavm_interp::x86::trap::Trap;
use dejavm_interp::x86::{Cpu, Interpreter, X86Bus, decode};

/// A board that notes FERR#.
#[derive(Default)]
struct Board {
    ferr: Vec<bool>,
}

impl Bus for Board {
    fn mmio_read(&mut self, _: &mut Memory, _: At, _: PhysAddr, _: u8) -> u64 {
        0
    }
    fn mmio_write(&mut self, _: &mut Memory, _: At, _: PhysAddr, _: u8, _: u64) {}
    fn attention(&self) -> bool {
        false
    }
}

impl X86Bus for Board {
    fn port_read(&mut self, _: &mut Memory, _: At, _: u16, _: u8) -> u32 {
        0
    }
    fn port_write(&mut self, _: &mut Memory, _: At, _: u16, _: u8, _: u32) {}
    fn acknowledge_interrupt(&mut self, _: &mut Memory, _: At) -> Option<u8> {
        None
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
    fn ferr(&mut self, _: &mut Memory, _: At, level: bool) {
        self.ferr.push(level);
    }
}

const CODE: u64 = 0x1000;
const DATA: u64 = 0x2000;

/// A CPU with memory, without paging.
struct Machine {
    cpu: Cpu,
    mem: Memory,
    board: Board,
}

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Real,
    Protected16,
    Protected32,
    Long,
}

impl Machine {
    fn new(mode: Mode) -> Machine {
        let mut cpu = Cpu::new(Model::Max, 0, true);
        cpu.cr0 = cr0::NE | cr0::ET;
        cpu.cr4 = cr4::OSFXSR | cr4::OSXSAVE;
        cpu.xcr0 = 7;
        let cs = &mut cpu.segs[usize::from(seg::CS)];
        cs.base = 0;
        cs.selector = 0;
        match mode {
            Mode::Real => {}
            Mode::Protected16 => cpu.cr0 |= cr0::PE,
            Mode::Protected32 => {
                cpu.cr0 |= cr0::PE;
                cs.rights |= right::DB;
            }
            Mode::Long => {
                cpu.cr0 |= cr0::PE;
                cpu.msrs.efer = efer::LMA | efer::LME;
                cs.rights |= right::L;
            }
        }
        if mode != Mode::Real {
            cpu.segs[usize::from(seg::CS)].selector = 0x10;
            cpu.segs[usize::from(seg::DS)].selector = 0x18;
        }
        let mut mem = Memory::new(1 << 16).expect("memory");
        mem.set_regions(vec![Region { start: 0, len: 1 << 16, offset: 0, writable: true }])
            .expect("a region");
        Machine { cpu, mem, board: Board::default() }
    }

    /// Executes one instruction; its trap, if it has one.
    fn step(&mut self, code: &[u8]) -> Result<(), Trap> {
        let size = self.cpu.code_size();
        let mut bytes = [0x90; 15];
        bytes[..code.len()].copy_from_slice(code);
        let Some(op) = decode::decode(&bytes, size, self.cpu.model) else {
            panic!("{code:x?} is cut short");
        };
        assert_eq!(usize::from(op.len), code.len(), "{code:x?}");
        self.cpu.regs[usize::from(REG_RIP)] = CODE + code.len() as u64;
        self.cpu.regs[usize::from(gpr::RDI)] = DATA;
        let mut tlb = Tlb::default();
        let mut ex = Exec {
            cpu: &mut self.cpu,
            tlb: &mut tlb,
            mem: &mut self.mem,
            bus: &mut self.board,
            index: 0,
            clock: Clock::default(),
            left: 1,
            budget: 1,
            attention: false,
            probes: &mut Probes::default(),
            pc: 0,
        };
        ex.mode_changed();
        (op.run)(&mut ex, &op).map(|_| ())
    }

    fn run(&mut self, code: &[u8]) {
        assert_eq!(self.step(code), Ok(()), "{code:x?}");
    }

    fn data<const N: usize>(&self, offset: u64) -> [u8; N] {
        let mut bytes = [0; N];
        self.mem.read(DATA + offset, &mut bytes);
        bytes
    }

    fn word(&self, offset: u64) -> u16 {
        u16::from_le_bytes(self.data(offset))
    }

    fn dword(&self, offset: u64) -> u32 {
        u32::from_le_bytes(self.data(offset))
    }
}

const FLD1: &[u8] = &[0xd9, 0xe8];
const FLDZ: &[u8] = &[0xd9, 0xee];
const FLDPI: &[u8] = &[0xd9, 0xeb];
const FDIVP: &[u8] = &[0xde, 0xf9];
const FNSTSW_AX: &[u8] = &[0xdf, 0xe0];
const FNCLEX: &[u8] = &[0xdb, 0xe2];
const FWAIT: &[u8] = &[0x9b];
const EMMS: &[u8] = &[0x0f, 0x77];

/// 1/0 with the exception unmasked.
fn divide_by_zero(m: &mut Machine) {
    m.cpu.x87.control = 0x37b;
    m.run(FLD1);
    m.run(FLDZ);
    m.run(FDIVP);
}

#[test]
fn a_pending_exception_faults_at_the_next_waiting_instruction() {
    let mut m = Machine::new(Mode::Long);
    divide_by_zero(&mut m);
    assert_eq!(m.cpu.x87.status & 0x8084, 0x8084, "ES, B and ZE");
    assert_eq!(m.cpu.x87.status >> 11 & 7, 6, "nothing was popped");
    for waiting in [FLD1, FWAIT, EMMS, &[0xd9, 0x2f], &[0xd9, 0xd0]] {
        assert_eq!(m.step(waiting), Err(Trap::MF), "{waiting:x?}");
    }
    m.run(FNSTSW_AX);
    assert_eq!(m.cpu.regs[0] as u16, m.cpu.x87.status);
    m.run(FNCLEX);
    m.run(FWAIT);
    assert_eq!(m.board.ferr, [], "CR0.NE keeps FERR# quiet");
}

#[test]
fn without_cr0_ne_the_pin_tells() {
    let mut m = Machine::new(Mode::Protected32);
    m.cpu.cr0 &= !cr0::NE;
    divide_by_zero(&mut m);
    assert_eq!((m.board.ferr.as_slice(), m.cpu.ferr), ([true].as_slice(), true));
    m.run(FWAIT);
    m.run(FNCLEX);
    assert_eq!((m.board.ferr.as_slice(), m.cpu.ferr), ([true, false].as_slice(), false));
}

#[test]
fn unmasking_a_raised_flag_makes_it_pending() {
    let mut m = Machine::new(Mode::Long);
    m.run(FLD1);
    m.run(FLDZ);
    m.run(FDIVP);
    m.mem.write(DATA, &0x37bu16.to_le_bytes());
    m.run(&[0xd9, 0x2f]);
    assert_eq!(m.step(FWAIT), Err(Trap::MF));
}

#[test]
fn the_task_switched_and_emulation_bits() {
    let mut m = Machine::new(Mode::Long);
    m.cpu.cr0 |= cr0::TS;
    let fxsave: &[u8] = &[0x0f, 0xae, 0x07];
    for code in [FLD1, FNCLEX, FNSTSW_AX, EMMS, fxsave, &[0x0f, 0xae, 0x27]] {
        assert_eq!(m.step(code), Err(Trap::NM), "{code:x?}");
    }
    m.run(FWAIT);
    m.cpu.cr0 |= cr0::MP;
    assert_eq!(m.step(FWAIT), Err(Trap::NM));
    m.cpu.cr0 = m.cpu.cr0 & !cr0::TS | cr0::EM;
    assert_eq!(m.step(FLD1), Err(Trap::NM));
    assert_eq!(m.step(EMMS), Err(Trap::UD));
    assert_eq!(m.step(fxsave), Err(Trap::UD));
    m.run(FWAIT);
}

#[test]
fn a_faulting_load_or_store_changes_nothing() {
    let mut m = Machine::new(Mode::Protected32);
    m.run(FLDPI);
    m.cpu.segs[usize::from(seg::DS)].limit = DATA as u32 + 3;
    let before = m.cpu.clone();
    // FLD, FSTP, FISTP, FBSTP, FNSAVE, FNSTENV, FXSAVE beyond the limit.
    for code in [[0xdd, 0x07], [0xdd, 0x1f], [0xdf, 0x3f], [0xdf, 0x37], [0xdd, 0x37], [0xd9, 0x37]] {
        assert_eq!(m.step(&code), Err(Trap::GP), "{code:x?}");
        assert_eq!(m.cpu.x87, before.x87, "{code:x?}");
    }
    assert_eq!(m.step(&[0x0f, 0xae, 0x07]), Err(Trap::GP));
    assert_eq!(m.word(0), 0, "nothing was written");
}

/// FLD dword [data], so that all pointers are known; then FNSTENV to data.
fn environment(mode: Mode, prefix: &[u8]) -> Machine {
    let mut m = Machine::new(mode);
    let fld: &[u8] =
        if matches!(mode, Mode::Real | Mode::Protected16) { &[0xd9, 0x05] } else { &[0xd9, 0x07] };
    m.run(fld);
    // FNSTENV masks the exceptions only after storing.
    m.cpu.x87.control = 0x37e;
    let fnstenv: Vec<u8> = prefix
        .iter()
        .copied()
        .chain([0xd9, if matches!(mode, Mode::Real | Mode::Protected16) { 0x35 } else { 0x37 }])
        .collect();
    m.run(&fnstenv);
    assert_eq!(m.cpu.x87.control, 0x37f);
    m
}

#[test]
fn environment_images() {
    // SDM volume 1, figures 8-9 to 8-12. R7 holds zero: tag 01.
    let m = environment(Mode::Protected32, &[]);
    let image: [u32; 7] = std::array::from_fn(|i| m.dword(4 * i as u64));
    assert_eq!(
        image,
        [0xffff_037e, 0xffff_3800, 0xffff_7fff, CODE as u32, 0x0107_0010, DATA as u32, 0xffff_0018]
    );
    let m = environment(Mode::Protected32, &[0x66]);
    let image: [u16; 7] = std::array::from_fn(|i| m.word(2 * i as u64));
    assert_eq!(image, [0x37e, 0x3800, 0x7fff, CODE as u16, 0x10, DATA as u16, 0x18]);
    let m = environment(Mode::Protected16, &[]);
    let image: [u16; 7] = std::array::from_fn(|i| m.word(2 * i as u64));
    assert_eq!(image, [0x37e, 0x3800, 0x7fff, CODE as u16, 0x10, DATA as u16, 0x18]);
}

#[test]
fn real_mode_environment_images() {
    let mut m = Machine::new(Mode::Real);
    m.run(&[0xd9, 0x05]);
    // Pointers whose linear addresses need twenty bits.
    m.cpu.x87.ip_selector = 0x1234;
    m.cpu.x87.ip = 0x1000;
    m.cpu.x87.dp_selector = 0xfff0;
    m.cpu.x87.dp = 0x20;
    let saved = m.cpu.x87.clone();
    m.run(&[0xd9, 0x35]);
    let image: [u16; 7] = std::array::from_fn(|i| m.word(2 * i as u64));
    assert_eq!(image, [0x37f, 0x3800, 0x7fff, 0x3340, 0x1105, 0xff20, 0xf000]);
    m.run(&[0x66, 0xd9, 0x35]);
    let image: [u32; 7] = std::array::from_fn(|i| m.dword(4 * i as u64));
    assert_eq!(image, [0xffff_037f, 0xffff_3800, 0xffff_7fff, 0xffff_3340, 0x1105, 0xffff_ff20, 0xf000]);
    // Loading keeps the linear addresses.
    m.run(&[0xdb, 0xe3]);
    m.run(&[0x66, 0xd9, 0x25]);
    assert_eq!((m.cpu.x87.ip, m.cpu.x87.dp), (0x13340, 0xfff20));
    assert_eq!(m.cpu.x87.opcode, saved.opcode);
    assert_eq!((m.cpu.x87.status, m.cpu.x87.used), (saved.status, saved.used));
}

#[test]
fn fnsave_and_frstor_are_inverse() {
    for (mode, rm) in [(Mode::Real, 5), (Mode::Protected16, 5), (Mode::Protected32, 7), (Mode::Long, 7)] {
        for prefix in [&[][..], &[0x66]] {
            let mut m = Machine::new(mode);
            m.run(FLDPI);
            m.run(FLD1);
            m.cpu.x87.control = 0xc7f;
            m.cpu.x87.status |= 0x4721;
            let saved = m.cpu.x87.clone();
            let code = |reg: u8| [prefix, &[0xdd, reg << 3 | rm]].concat();
            m.run(&code(6));
            assert_eq!((m.cpu.x87.control, m.cpu.x87.status, m.cpu.x87.used), (0x37f, 0, 0));
            m.cpu.x87.mantissa = [0; 8];
            m.run(&code(4));
            assert_eq!(
                (m.cpu.x87.control, m.cpu.x87.status, m.cpu.x87.used),
                (saved.control, saved.status, saved.used)
            );
            assert_eq!((m.cpu.x87.mantissa, m.cpu.x87.sign_exp), (saved.mantissa, saved.sign_exp));
        }
    }
}

/// A CPU with something in every component.
fn filled(mode: Mode) -> Machine {
    let mut m = Machine::new(mode);
    m.run(FLDPI);
    m.run(FLD1);
    m.cpu.mxcsr = 0x9fc0;
    for (i, v) in m.cpu.vectors.iter_mut().enumerate() {
        v.0 = [1 + i as u64, 2 << i, 3 << i, 4 << i];
    }
    m
}

#[test]
fn fxsave_and_fxrstor_are_inverse() {
    for (mode, wide) in [(Mode::Long, true), (Mode::Long, false), (Mode::Protected32, false)] {
        let mut m = filled(mode);
        m.cpu.x87.dp = 0x1234_5678_9abc;
        m.cpu.x87.dp_selector = 0x18;
        m.mem.write(DATA, &[0xee; 512]);
        let prefix: &[u8] = if wide { &[0x48] } else { &[] };
        m.run(&[prefix, &[0x0f, 0xae, 0x07]].concat());
        assert_eq!((m.word(0), m.word(2), m.data::<1>(4), m.dword(24)), (0x37f, 0x3000, [0xc0], 0x9fc0));
        assert_eq!(m.dword(28), 0xffff);
        assert_eq!(F80::from_bytes(m.data(32)), F80::ONE, "ST(0) first");
        assert_eq!(m.dword(8), CODE as u32);
        assert_eq!(m.dword(20), if wide { 0x1234 } else { 0x18 });
        let last = if mode == Mode::Long { 416 } else { 288 };
        assert_eq!(m.data::<16>(last), [0xee; 16], "nothing is written after the registers");
        let saved = m.cpu.clone();
        m.cpu.x87 = Default::default();
        m.cpu.vectors = Default::default();
        m.cpu.mxcsr = 0x1f80;
        m.run(&[prefix, &[0x0f, 0xae, 0x0f]].concat());
        assert_eq!(m.cpu.x87.mantissa, saved.x87.mantissa);
        assert_eq!((m.cpu.x87.status, m.cpu.x87.used), (saved.x87.status, saved.x87.used));
        assert_eq!((m.cpu.x87.ip, m.cpu.mxcsr), (saved.x87.ip, saved.mxcsr));
        let n = if mode == Mode::Long { 16 } else { 8 };
        for i in 0..16 {
            let want = if i < n { saved.vectors[i].xmm() } else { 0 };
            assert_eq!(m.cpu.vectors[i].xmm(), want, "xmm{i}");
        }
    }
}

#[test]
fn fxrstor_checks_alignment_and_mxcsr() {
    let mut m = filled(Mode::Long);
    let before = m.cpu.clone();
    assert_eq!(m.step(&[0x0f, 0xae, 0x4f, 0x08]), Err(Trap::GP), "8 bytes off");
    m.mem.write(DATA + 24, &0x10000u32.to_le_bytes());
    assert_eq!(m.step(&[0x0f, 0xae, 0x0f]), Err(Trap::GP), "reserved MXCSR bit");
    assert_eq!((m.cpu.x87, m.cpu.mxcsr), (before.x87, before.mxcsr));
}

const XSAVE64: &[u8] = &[0x48, 0x0f, 0xae, 0x27];
const XSAVEOPT64: &[u8] = &[0x48, 0x0f, 0xae, 0x37];
const XRSTOR64: &[u8] = &[0x48, 0x0f, 0xae, 0x2f];

fn ask(m: &mut Machine, components: u64) {
    m.cpu.regs[usize::from(gpr::RAX)] = components;
    m.cpu.regs[usize::from(gpr::RDX)] = 0;
}

#[test]
fn xsave_and_xrstor_are_inverse() {
    let mut m = filled(Mode::Long);
    ask(&mut m, u64::MAX);
    m.run(XSAVE64);
    assert_eq!(m.dword(512), 7);
    let saved = m.cpu.clone();
    m.cpu.x87 = Default::default();
    m.cpu.vectors = Default::default();
    m.cpu.mxcsr = 0x1f80;
    m.run(XRSTOR64);
    assert_eq!(m.cpu.vectors, saved.vectors);
    assert_eq!((m.cpu.x87.mantissa, m.cpu.x87.status), (saved.x87.mantissa, saved.x87.status));
    assert_eq!(m.cpu.mxcsr, saved.mxcsr);
}

#[test]
fn xsave_writes_what_was_asked_for() {
    let mut m = filled(Mode::Long);
    m.mem.write(DATA, &[0xee; 896]);
    m.mem.write(DATA + 512, &[0; 64]);
    m.mem.write(DATA + 512, &[4]);
    ask(&mut m, 2);
    m.run(XSAVE64);
    assert_eq!(m.dword(512), 6, "the bits not asked for stay");
    assert_eq!(m.word(0), 0xeeee, "no x87");
    assert_eq!(m.dword(24), 0x9fc0, "MXCSR goes with SSE");
    assert_eq!(m.dword(160), 1);
    assert_eq!(m.dword(576), 0xeeee_eeee, "no AVX");
    // XSAVEOPT leaves out components in their initial configuration.
    m.cpu.vectors = Default::default();
    m.mem.write(DATA, &[0xee; 416]);
    ask(&mut m, 3);
    m.run(XSAVEOPT64);
    assert_eq!(m.dword(512), 5);
    assert_eq!((m.word(0), m.dword(160)), (0x37f, 0xeeee_eeee));
    // XRSTOR of a component whose bit is clear initialises it.
    m.cpu.vectors[3].0 = [1, 2, 3, 4];
    ask(&mut m, 2);
    m.run(XRSTOR64);
    assert_eq!(m.cpu.vectors[3].0, [0, 0, 3, 4]);
}

#[test]
fn xrstor_rejects_bad_headers() {
    let mut m = filled(Mode::Long);
    ask(&mut m, 7);
    m.run(XSAVE64);
    let before = m.cpu.clone();
    for (offset, byte) in [(512, 0x08), (519, 0x80), (520, 1), (527, 0x80), (575, 1), (26, 1)] {
        let old = m.data::<1>(offset);
        m.mem.write(DATA + offset, &[byte]);
        assert_eq!(m.step(XRSTOR64), Err(Trap::GP), "byte {offset}");
        assert_eq!((&m.cpu.x87, &m.cpu.vectors), (&before.x87, &before.vectors));
        m.mem.write(DATA + offset, &old);
    }
    assert_eq!(m.step(&[0x48, 0x0f, 0xae, 0x6f, 0x20]), Err(Trap::GP), "32 bytes off");
    m.cpu.cr4 &= !cr4::OSXSAVE;
    assert_eq!(m.step(XRSTOR64), Err(Trap::UD));
    assert_eq!(m.step(XSAVE64), Err(Trap::UD));
}

#[test]
fn alignment_is_checked_for_users() {
    let mut m = Machine::new(Mode::Long);
    m.run(FLDPI);
    m.cpu.cr0 |= cr0::AM;
    m.cpu.cpl = 3;
    m.cpu.set_rflags(m.cpu.rflags() | 1 << 18);
    // FLD m32, FLD m64, FLD m80, FSTP m80, FNSTENV at odd addresses; FLD m80 at 4.
    for code in [[0xd9, 0x47, 2], [0xdd, 0x47, 4], [0xdb, 0x6f, 2], [0xdb, 0x7f, 4], [0xd9, 0x77, 2]] {
        assert_eq!(m.step(&code), Err(Trap::AC), "{code:x?}");
    }
    m.run(&[0xdb, 0x7f, 8]);
    m.run(&[0xd9, 0x77, 4]);
}

#[test]
fn emms_empties_all_registers() {
    let mut m = filled(Mode::Long);
    m.run(EMMS);
    assert_eq!(m.cpu.x87.used, 0);
}

/// The whole engine: a loop of FADD is exact and counted.
#[test]
fn the_engine_runs_x87_code() {
    let mut m = Machine::new(Mode::Long);
    // fld1; fldz; then fadd st, st(1) twenty times.
    let mut code = [FLD1, FLDZ].concat();
    for _ in 0..20 {
        code.extend([0xd8, 0xc1]);
    }
    m.mem.write(CODE, &code);
    m.cpu.regs[usize::from(REG_RIP)] = CODE;
    let exit = Interpreter::new().run(&mut m.cpu, 0, &mut m.mem, &mut m.board, Clock::default(), 22);
    assert_eq!((exit.steps, exit.stop), (22, Stop::Budget));
    assert_eq!(m.cpu.x87.st(0), F80 { sign_exp: 0x4003, mantissa: 20 << 59 });
}
