//! DejaVM's interpreter as a subject.
//!
//! The guest is what a program sees on a 64-bit kernel: long mode, 4-level paging with the
//! windows at the same addresses, Linux's GDT, our LDT. Every gate of the IDT leads to a HLT of
//! its own; the exception frame on the ring-0 stack is the outcome.

use crate::layout::{self, CODE, CONST, DATA, LDT, LDT_ENTRIES, STACK, Window, gdt};
use crate::state::{Case, End, Failure, Mode, Outcome, State, Subject, seg};
use dejavm_interp::engine::{Clock, Engine, Stop};
use dejavm_interp::mem::{Memory, Region};
use dejavm_interp::x86::model::Model;
use dejavm_interp::x86::regs::{Activity, Segment, Shadow, TableRegister, X87, cr0, cr4, efer};
use dejavm_interp::x86::{Cpu, Interpreter, NoBus};

/// Linear address of physical address 0 for the kernel, in long mode and in legacy mode.
const KERNEL: [u64; 2] = [0xffff_8880_0000_0000, 0xd5a0_0000];
const PML4: u64 = 0x1000;
const PDPT_LOW: u64 = 0x2000;
const PD_LOW: u64 = 0x3000;
const PT_FIRST: u64 = 0x4000;
const PDPT_HIGH: u64 = 0x7000;
const PD_HIGH: u64 = 0x8000;
const PT_HIGH: u64 = 0x9000;
const GDT: u64 = 0xa000;
const LDT_AT: u64 = 0xb000;
const IDT: u64 = 0xc000;
const TSS: u64 = 0xd000;
const HANDLERS: u64 = 0xe000;
const STACK_TOP: u64 = 0x1_0000;
const KERNEL_PAGES: u64 = 16;
/// Where the windows lie in physical memory.
const PLACES: [(Window, u64); 4] = [(CODE, 0x1_0000), (DATA, 0x1_2000), (CONST, 0x1_4000), (STACK, 0x1_6000)];
const MEMORY: u64 = 0x2_0000;
/// Bytes from one handler to the next.
const HANDLER_STEP: u64 = 2;
/// More steps than any case takes.
const BUDGET: u64 = 1 << 20;

/// The interpreter with a prepared guest.
pub struct Interp {
    engine: Interpreter,
    cpu: Cpu,
    mem: Memory,
    background: Vec<u8>,
    descriptors: Vec<u64>,
    legacy: bool,
    dirty_code: (u64, usize),
}

impl Interp {
    /// Sets up the guest: a program under a 64-bit kernel, or, `legacy`, under a 32-bit one with
    /// PAE paging.
    pub fn new(legacy: bool) -> Result<Self, String> {
        let kernel = KERNEL[usize::from(legacy)];
        let mut mem = Memory::new(MEMORY).map_err(|e| e.to_string())?;
        mem.set_regions(vec![Region { start: 0, len: MEMORY, offset: 0, writable: true }])
            .map_err(|e| e.to_string())?;
        let descriptors = global_descriptors(legacy);
        if !load_tables(&mut mem, &descriptors, legacy) {
            return Err("the guest's tables lie outside of its memory".into());
        }
        let mut cpu = Cpu::new(Model::Max, 0, true);
        cpu.cr0 = cr0::PE | cr0::MP | cr0::ET | cr0::NE | cr0::WP | cr0::AM | cr0::PG;
        cpu.cr3 = PML4;
        cpu.cr4 = cr4::PAE | cr4::PGE | cr4::OSFXSR | cr4::OSXMMEXCPT | cr4::FSGSBASE;
        cpu.msrs.efer = if legacy {
            cpu.pdptrs = [PD_LOW | 1, 0, 0, PD_HIGH | 1];
            efer::NXE
        } else {
            efer::SCE | efer::LME | efer::LMA | efer::NXE
        };
        let limit = (descriptors.len() * 8 - 1) as u16;
        cpu.gdtr = TableRegister { base: kernel + GDT, limit };
        cpu.idtr = TableRegister { base: kernel + IDT, limit: if legacy { 0x7ff } else { 0xfff } };
        let system = |selector, base, limit, kind| Segment {
            selector,
            rights: 0x80u16 | kind,
            base: kernel + base,
            limit,
        };
        cpu.segs[6] = system(gdt::LDT, LDT_AT, u32::from(LDT_ENTRIES) * 8 - 1, 2);
        cpu.segs[7] = system(gdt::TSS, TSS, 0x67, 0xb);
        let background = layout::background();
        let dirty_code = (place(CODE), CODE.len as usize);
        let mut i =
            Interp { engine: Interpreter::new(), cpu, mem, background, descriptors, legacy, dirty_code };
        i.clean();
        Ok(i)
    }

    fn clean(&mut self) {
        let (at, len) = self.dirty_code;
        self.mem.write(at, &vec![0xf4; len]);
        let mut offset = 0;
        for w in layout::WINDOWS {
            let (at, len) = (place(w) as usize, w.len as usize);
            self.mem.bytes_mut()[at..at + len].copy_from_slice(&self.background[offset..offset + len]);
            offset += len;
        }
    }

    /// A segment register with the hidden part that loading it gives.
    fn segment(&self, selector: u16) -> Segment {
        let index = usize::from(selector >> 3);
        let raw = if selector & !3 == 0 {
            0
        } else if selector & 4 != 0 {
            LDT.iter().find(|s| usize::from(s.index) == index).map_or(0, |s| s.descriptor())
        } else {
            self.descriptors.get(index).copied().unwrap_or(0)
        };
        let rights = (raw >> 40 & 0xff) as u16 | (raw >> 40 & 0xf000) as u16;
        let limit = (raw & 0xffff | raw >> 32 & 0xf_0000) as u32;
        let limit = if rights & 1 << 15 != 0 { limit << 12 | 0xfff } else { limit };
        let base = raw >> 16 & 0xff_ffff | raw >> 32 & 0xff00_0000;
        Segment { selector, rights, base, limit }
    }

    fn load(&mut self, case: &Case) {
        let s = &case.state;
        let segs = s.seg.map(|sel| self.segment(sel));
        let cpu = &mut self.cpu;
        cpu.regs[..16].copy_from_slice(&s.gpr);
        cpu.set_rip(s.rip);
        cpu.set_rflags(s.rflags);
        cpu.segs[..6].copy_from_slice(&segs);
        if case.mode == Mode::Bits64 {
            cpu.segs[seg::FS].base = s.fs_gs_base[0];
            cpu.segs[seg::GS].base = s.fs_gs_base[1];
        }
        cpu.cpl = 3;
        cpu.cr2 = 0;
        cpu.dr[6] = 0xffff_0ff0;
        cpu.activity = Activity::Running;
        cpu.shadow = Shadow::None;
        cpu.debug_pending = 0;
        cpu.mxcsr = s.mxcsr;
        for (v, x) in cpu.vectors.iter_mut().zip(s.xmm) {
            v.set_xmm(x);
        }
        let top = usize::from(s.fsw >> 11 & 7);
        cpu.x87 = X87 {
            control: s.fcw,
            status: s.fsw,
            used: s.ftw,
            opcode: s.fop,
            ip: s.fip_fdp[0],
            dp: s.fip_fdp[1],
            ..X87::default()
        };
        for n in 0..8 {
            cpu.x87.mantissa[(top + n) & 7] = s.st[n] as u64;
            cpu.x87.sign_exp[(top + n) & 7] = (s.st[n] >> 64) as u16;
        }
    }

    fn store(&self, out: &mut State) {
        let cpu = &self.cpu;
        out.gpr.copy_from_slice(&cpu.regs[..16]);
        for n in 0..6 {
            out.seg[n] = cpu.segs[n].selector;
        }
        out.fs_gs_base = [cpu.segs[seg::FS].base, cpu.segs[seg::GS].base];
        out.mxcsr = cpu.mxcsr;
        for (v, x) in cpu.vectors.iter().zip(&mut out.xmm) {
            *x = v.xmm();
        }
        let x = &cpu.x87;
        (out.fcw, out.fsw, out.ftw, out.fop) = (x.control, x.status, x.used, x.opcode);
        out.fip_fdp = [x.ip, x.dp];
        let top = usize::from(x.status >> 11 & 7);
        for n in 0..8 {
            let r = (top + n) & 7;
            out.st[n] = u128::from(x.sign_exp[r]) << 64 | u128::from(x.mantissa[r]);
        }
    }

    /// The registers and the exception as the handler at `vector` finds them.
    fn exception(&self, vector: u8, out: &mut Outcome) {
        let word = |n: u64| {
            let mut b = [0; 8];
            let size = if self.legacy { 4 } else { 8 };
            self.mem.read(STACK_TOP - size * n, &mut b[..size as usize]);
            u64::from_le_bytes(b)
        };
        self.store(&mut out.state);
        out.state.seg[seg::SS] = word(1) as u16;
        out.state.gpr[4] = word(2);
        out.state.rflags = word(3);
        out.state.seg[seg::CS] = word(4) as u16;
        out.state.rip = word(5);
        let coded = matches!(vector, 8 | 10..=14 | 17);
        let error = if coded { word(6) as u32 } else { 0 };
        let cr2 = if vector == 14 { self.cpu.cr2 } else { 0 };
        out.end = End::Exception { vector, error, cr2 };
    }
}

impl Subject for Interp {
    fn name(&self) -> String {
        let under = if self.legacy { "legacy" } else { "long" };
        format!("DejaVM's interpreter in {under} mode")
    }

    fn run(&mut self, case: &Case, out: &mut Outcome) -> Result<(), Failure> {
        self.clean();
        let at = case.code_addr - CODE.addr;
        let len = case.code.len().min((CODE.len - at) as usize);
        self.dirty_code = (place(CODE) + at, len);
        self.mem.write(place(CODE) + at, &case.code[..len]);
        for p in &case.patches {
            for (i, b) in p.bytes.iter().enumerate() {
                let addr = p.addr.wrapping_add(i as u64);
                if let Some(w) = layout::WINDOWS.iter().find(|w| w.holds(addr, 1)) {
                    self.mem.bytes_mut()[(place(*w) + addr - w.addr) as usize] = *b;
                }
            }
        }
        self.load(case);
        let mut left = BUDGET;
        let stop = loop {
            let exit = self.engine.run(&mut self.cpu, 0, &mut self.mem, &mut NoBus, Clock::default(), left);
            left -= exit.steps;
            if exit.stop != Stop::Yield || left == 0 {
                break exit.stop;
            }
        };
        match stop {
            Stop::Halted if self.cpu.cpl == 0 => {
                let vector = (self.cpu.rip() - KERNEL[usize::from(self.legacy)] - HANDLERS) / HANDLER_STEP;
                self.exception(vector as u8, out);
            }
            Stop::Unimplemented(what) => return Err(Failure::Unimplemented(what)),
            Stop::Budget => out.end = End::Timeout,
            other => return Err(Failure::Stuck(format!("{other:?}"))),
        }
        let mut offset = 0;
        for w in layout::WINDOWS {
            let (at, len) = (place(w) as usize, w.len as usize);
            out.mem[offset..offset + len].copy_from_slice(&self.mem.bytes()[at..at + len]);
            offset += len;
        }
        Ok(())
    }
}

/// Physical address of a window.
fn place(w: Window) -> u64 {
    PLACES.iter().find(|(x, _)| x.addr == w.addr).map_or(0, |(_, p)| *p)
}

/// Linux's GDT. The descriptors of 64-bit system segments take two entries.
fn global_descriptors(legacy: bool) -> Vec<u64> {
    let kernel = KERNEL[usize::from(legacy)];
    let mut d = vec![0; 16];
    d[1] = 0x00cf_9b00_0000_ffff;
    d[2] = 0x00af_9b00_0000_ffff;
    d[3] = 0x00cf_9300_0000_ffff;
    d[4] = 0x00cf_fb00_0000_ffff;
    d[5] = 0x00cf_f300_0000_ffff;
    d[6] = 0x00af_fb00_0000_ffff;
    let system = |base: u64, limit: u64, kind: u64| {
        let a = kernel + base;
        [limit | (a & 0xff_ffff) << 16 | (0x80 | kind) << 40 | (a >> 24 & 0xff) << 56, a >> 32]
    };
    d[8..10].copy_from_slice(&system(TSS, 0x67, 0xb));
    d[10..12].copy_from_slice(&system(LDT_AT, u64::from(LDT_ENTRIES) * 8 - 1, 2));
    d
}

/// Puts page tables, descriptor tables, handlers and constants into memory. False when one of
/// them does not lie in memory.
fn load_tables(mem: &mut Memory, descriptors: &[u64], legacy: bool) -> bool {
    let kernel = KERNEL[usize::from(legacy)];
    let mut loaded = true;
    let mut put = |at: u64, v: u64| {
        loaded &= mem.load(at, &v.to_le_bytes());
    };
    // Present, writable, user, accessed, dirty; and present, writable, accessed, dirty.
    const USER: u64 = 0x67;
    const SUPERVISOR: u64 = 0x63;
    const NX: u64 = 1 << 63;
    if legacy {
        // The root is the page-directory-pointer table, whose entries have no rights.
        put(PML4, PD_LOW | 1);
        put(PML4 + (kernel >> 30) * 8, PD_HIGH | 1);
    } else {
        put(PML4, PDPT_LOW | USER);
        put(PML4 + (kernel >> 39 & 511) * 8, PDPT_HIGH | SUPERVISOR);
        put(PDPT_LOW, PD_LOW | USER);
        put(PDPT_HIGH + (kernel >> 30 & 511) * 8, PD_HIGH | SUPERVISOR);
    }
    let mut tables: Vec<u64> = Vec::new();
    for (w, phys) in PLACES {
        let pd = w.addr >> 21;
        let n = tables.iter().position(|x| *x == pd).unwrap_or_else(|| {
            tables.push(pd);
            tables.len() - 1
        });
        let pt = PT_FIRST + n as u64 * layout::PAGE;
        put(PD_LOW + pd * 8, pt | USER);
        for page in 0..w.len / layout::PAGE {
            let rights = match w.addr {
                a if a == CODE.addr => USER & !2,
                a if a == CONST.addr => USER & !2 | NX,
                _ => USER | NX,
            };
            let index = (w.addr >> 12 & 511) + page;
            put(pt + index * 8, (phys + page * layout::PAGE) | rights);
        }
    }
    put(PD_HIGH + (kernel >> 21 & 511) * 8, PT_HIGH | SUPERVISOR);
    for page in 0..KERNEL_PAGES {
        put(PT_HIGH + (kernel >> 12 & 511) * 8 + page * 8, page * layout::PAGE | SUPERVISOR);
    }
    for (n, d) in descriptors.iter().enumerate() {
        put(GDT + n as u64 * 8, *d);
    }
    for s in LDT {
        put(LDT_AT + u64::from(s.index) * 8, s.descriptor());
    }
    let code = if legacy { gdt::KERNEL_CS32 } else { gdt::KERNEL_CS };
    for vector in 0..256 {
        let to = kernel + HANDLERS + vector * HANDLER_STEP;
        let dpl = if vector == 3 || vector == 4 { 3 } else { 0 };
        let low = to & 0xffff | u64::from(code) << 16 | (0x8e | dpl << 5) << 40 | (to >> 16 & 0xffff) << 48;
        if legacy {
            put(IDT + vector * 8, low);
        } else {
            put(IDT + vector * 16, low);
            put(IDT + vector * 16 + 8, to >> 32);
        }
    }
    put(TSS + 4, kernel + STACK_TOP);
    if legacy {
        put(TSS + 8, gdt::KERNEL_DS.into());
    }
    loaded &= mem.load(TSS + 0x66, &0x68u16.to_le_bytes());
    loaded &= mem.load(HANDLERS, &[0xf4; 0x200]);
    loaded & mem.load(place(CONST), &layout::constants())
}
