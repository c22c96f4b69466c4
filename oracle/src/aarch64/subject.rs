//! The interpreter's side: one instruction at EL0, in pages like the harness's.

use super::case::{Case, DATA, ENTRY, Outcome, State, WINDOW};
use dejavm_interp::aarch64::exec::{A64Bus, class};
use dejavm_interp::aarch64::regs::{Model, sctlr};
use dejavm_interp::aarch64::{Cpu, Exec, Flow, Trap, decode, mmu::status};
use dejavm_interp::engine::{At, Bus, Clock};
use dejavm_interp::mem::{Memory, PhysAddr, Region};
use dejavm_interp::probe::Probes;
use dejavm_interp::tlb::Tlb;

const SIGILL: u64 = 4;
const SIGTRAP: u64 = 5;
const SIGBUS: u64 = 7;
const SIGSEGV: u64 = 11;
/// Physical places: the tables, the code's 16 pages, the data.
const TABLES: u64 = 0;
const CODE: u64 = 0x10_000;
const PAGE: u64 = 0x20_000;
const SIZE: u64 = 0x21_000;

struct NoBus;

impl Bus for NoBus {
    fn mmio_read(&mut self, _: &mut Memory, _: At, _: PhysAddr, _: u8) -> u64 {
        u64::MAX
    }
    fn mmio_write(&mut self, _: &mut Memory, _: At, _: PhysAddr, _: u8, _: u64) {}
    fn attention(&self) -> bool {
        false
    }
}

impl A64Bus for NoBus {
    fn system_read(&mut self, _: &mut Memory, _: At, _: u16) -> Option<u64> {
        None
    }
    fn system_write(&mut self, _: &mut Memory, _: At, _: u16, _: u64) -> Option<()> {
        None
    }
    fn firmware(&mut self, _: &mut Memory, _: At, _: bool, _: [u64; 4]) -> Option<u64> {
        None
    }
    fn send_event(&mut self, _: At) {}
}

/// The interpreter, set up.
pub struct Subject {
    mem: Memory,
    tlb: Tlb,
}

/// An instruction that is not implemented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotImplemented;

impl Subject {
    /// Memory with page tables that map code and data for EL0.
    ///
    /// # Errors
    /// When the host has no memory.
    pub fn new() -> Result<Self, String> {
        let mut mem = Memory::new(SIZE).map_err(|e| e.to_string())?;
        let region = Region { start: 0, len: SIZE, offset: 0, writable: true };
        mem.set_regions(vec![region]).map_err(|e| e.to_string())?;
        let mut put = |at: u64, v: u64| mem.write(at, &v.to_le_bytes());
        // 48 bits, 4 KiB: level 0 at 0, level 1 at 1000H, level 2 at 2000H, level 3 at 3000H and 4000H.
        put(TABLES, 0x1003);
        put(0x1000, 0x2003);
        put(0x2000 + 8 * (ENTRY >> 21), 0x3003);
        put(0x2000 + 8 * (DATA >> 21), 0x4003);
        let user = 1 << 10 | 3 << 8 | 1 << 6 | 3;
        for i in 0..16 {
            put(0x3000 + 8 * ((ENTRY - 0x8000 >> 12) % 512 + i), CODE + (i << 12) | user);
        }
        put(0x4000 + 8 * ((DATA >> 12) % 512), PAGE | user);
        // BRK everywhere but at the entry.
        for at in (CODE..PAGE).step_by(4) {
            mem.write(at, &0xd420_0000u32.to_le_bytes());
        }
        Ok(Self { mem, tlb: Tlb::default() })
    }

    fn cpu(s: &State) -> Cpu {
        let mut cpu = Cpu::new(Model::MAX, 0, 1, ENTRY);
        cpu.el = 0;
        cpu.sp_sel = false;
        cpu.sys.sctlr[1] |= sctlr::M | sctlr::UCI | sctlr::UCT | sctlr::DZE;
        cpu.sys.tcr[1] = 16 | 16 << 16 | 2 << 30 | 2 << 32 | 1 << 37;
        cpu.sys.mair[1] = 0xff;
        cpu.sys.cpacr = 3 << 20;
        cpu.x[..31].copy_from_slice(&s.x);
        cpu.set_sp(s.sp);
        cpu.nzcv = s.nzcv;
        cpu.fpcr = s.fpcr as u32;
        cpu.fpsr = s.fpsr as u32;
        cpu.v = s.v;
        cpu
    }

    /// Runs a case.
    ///
    /// # Errors
    /// When the instruction is not implemented.
    pub fn run(&mut self, case: &Case) -> Result<Outcome, NotImplemented> {
        let mut cpu = Self::cpu(&case.state);
        let start = PAGE as usize;
        let page = &mut self.mem.bytes_mut()[start..start + 4096];
        page.fill(0);
        page[..WINDOW].copy_from_slice(&case.state.mem);
        let code = CODE as usize + 0x8000;
        self.mem.bytes_mut()[code..code + 4].copy_from_slice(&case.word.to_le_bytes());
        let op = decode::decode(case.word, cpu.model.features());
        let mut ex = Exec {
            cpu: &mut cpu,
            tlb: &mut self.tlb,
            mem: &mut self.mem,
            bus: &mut NoBus,
            index: 0,
            clock: Clock::default(),
            left: 1,
            budget: 1,
            attention: false,
            probes: &mut Probes::default(),
            pc: 0,
        };
        ex.mode_changed();
        let signal = match (op.run)(&mut ex, &op) {
            Ok(flow) => {
                if flow == Flow::Next {
                    ex.cpu.pc += 4;
                }
                landing(ex.cpu.pc)
            }
            Err(Trap::Unimplemented) => return Err(NotImplemented),
            Err(Trap::Exception { class: c, iss, .. }) => match c {
                class::UNKNOWN => SIGILL,
                class::BRK64 => SIGTRAP,
                class::DATA_ABORT_LOWER if iss & 0x3f == status::ALIGNMENT => SIGBUS,
                class::DATA_ABORT_LOWER | class::INSTRUCTION_ABORT_LOWER => SIGSEGV,
                class::SP_ALIGNMENT | class::PC_ALIGNMENT => SIGBUS,
                other => u64::from(other) << 8,
            },
        };
        let mut x = [0; 31];
        x.copy_from_slice(&cpu.x[..31]);
        Ok(Outcome {
            signal,
            pc: cpu.pc,
            state: State {
                x,
                sp: cpu.sp(),
                nzcv: cpu.nzcv,
                fpcr: cpu.fpcr.into(),
                fpsr: cpu.fpsr.into(),
                v: cpu.v,
                mem: self.mem.bytes()[start..start + WINDOW].to_vec(),
            },
        })
    }
}

/// The signal of the instruction where execution goes on.
fn landing(pc: u64) -> u64 {
    let code = ENTRY - 0x8000..ENTRY + 0x8000;
    match () {
        // A branch to itself would run for ever: cases do not have it.
        () if pc & 3 != 0 => SIGBUS,
        () if code.contains(&pc) => SIGTRAP,
        () => SIGSEGV,
    }
}
