//! Where everything lies in the guests, and their tables.

use dejavm_interp::mem::Watch;
use dejavm_interp::probe::{Interest, Vectors};
use dejavm_interp::x86::Cpu;
use dejavm_interp::x86::regs::{Activity, Segment, TableRegister, cr0, cr4, efer, right, seg};

/// Bytes of RAM.
pub const RAM: u64 = 4 << 20;
/// Bytes of ROM; it shows at the top of 4 GiB and below 1 MiB.
pub const ROM: u64 = 0x1_0000;
pub const ROM_AT: u64 = 0xf_0000;
pub const GDT: u64 = 0x1000;
pub const TSS: u64 = 0x1800;
pub const IDT: u64 = 0x2000;
/// How often each vector came, four bytes each.
pub const COUNTS: u64 = 0x3000;
/// Number of the next launcher.
pub const SEQUENCE: u64 = 0x3400;
/// Exceptions to go until the handler starts another chunk.
pub const PATIENCE: u64 = 0x3404;
/// Addresses of the launchers.
pub const LAUNCHERS: u64 = 0x3800;
pub const HANDLERS: u64 = 0x4000;
pub const HANDLER_STEP: u64 = 0x60;
/// Vectors with a handler.
pub const VECTORS: u64 = 0x84;
/// Tops of the handlers' stacks, by CPU.
pub const HANDLER_STACKS: [u64; 2] = [0x8000, 0x8800];
/// The stack of chunks: two pages.
pub const STACK: u64 = 0xa000;
pub const STACK_LEN: u64 = 0x4000;
pub const LAUNCH: u64 = 0x1_0000;
pub const LAUNCH_END: u64 = 0x2_0000;
/// Chunks.
pub const CODE: u64 = 0x2_0000;
/// Data.
pub const DATA: u64 = 0x4_0000;
pub const DATA_LEN: u64 = 0x1_0000;
/// Page tables.
pub const TABLES: u64 = 0x8_0000;
/// A long straight run of code.
pub const LONG_RUN: u64 = 0x20_0000;
/// Linear addresses of pages whose tables the guest edits.
pub const PLAY: u64 = 0x40_0000;
pub const PLAY_PAGES: u64 = 64;
pub const PLAY_LEN: u64 = PLAY_PAGES << 12;
pub const LAPIC: u64 = 0xfee0_0000;
pub const HPET: u64 = 0xfed0_0000;
pub const IOAPIC: u64 = 0xfec0_0000;

/// Selectors. With the privilege level that they are for.
pub mod sel {
    pub const CODE64: u16 = 0x08;
    pub const DATA0: u16 = 0x10;
    pub const CODE32: u16 = 0x18;
    pub const CODE32_3: u16 = 0x23;
    pub const DATA3: u16 = 0x2b;
    pub const CODE64_3: u16 = 0x33;
    pub const CODE16: u16 = 0x38;
    pub const CODE16_3: u16 = 0x43;
    pub const DATA16_3: u16 = 0x4b;
    pub const DOWN_3: u16 = 0x53;
    pub const READ_3: u16 = 0x5b;
    pub const TSS: [u16; 2] = [0x60, 0x70];
    pub const DATA16: u16 = 0x80;
    pub const GATE: u16 = 0x8b;
    /// Data segments that a load does not refuse.
    pub const LOADABLE: [u16; 7] = [0, DATA0, DATA3, DATA16_3, DOWN_3, READ_3, CODE32_3];
}

/// What kind of guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 64-bit mode and its compatibility modes.
    Long,
    /// 32-bit protected mode, 16-bit segments.
    Legacy(Paging),
    /// Real mode.
    Real,
}

/// Paging of a 32-bit guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paging {
    Off,
    /// 4-byte entries, 4 MiB pages.
    Short,
    /// 8-byte entries, 2 MiB pages.
    Pae,
}

impl Kind {
    /// Bits of handlers and launchers.
    pub fn native(self) -> u32 {
        match self {
            Kind::Long => 64,
            Kind::Legacy(_) => 32,
            Kind::Real => 16,
        }
    }

    pub fn paged(self) -> bool {
        !matches!(self, Kind::Real | Kind::Legacy(Paging::Off))
    }

    /// Bytes of a page-table entry.
    pub fn entry(self) -> u64 {
        if self == Kind::Legacy(Paging::Short) { 4 } else { 8 }
    }
}

/// The table of the low identity-mapped pages, shared by all roots.
pub const LOW_TABLE: u64 = TABLES;

/// The root of address space `n`, for CR3.
pub fn root(n: u64) -> u64 {
    TABLES + 0x1000 + n * 0x5000
}

/// The table of the pages at [`PLAY`] in address space `n`.
pub fn play_table(n: u64) -> u64 {
    root(n) + 0x4000
}

/// The directory whose third entry and those behind it the guest edits.
pub fn directory(kind: Kind, n: u64) -> u64 {
    match kind {
        Kind::Legacy(Paging::Short) => root(n),
        _ => root(n) + 0x2000,
    }
}

/// A page table's bytes, entry by entry.
fn table(entry: u64, entries: &[(u64, u64)]) -> Vec<u8> {
    let mut bytes = vec![0; 4096];
    for &(index, value) in entries {
        let at = (index * entry) as usize;
        bytes[at..at + entry as usize].copy_from_slice(&value.to_le_bytes()[..entry as usize]);
    }
    bytes
}

/// The page tables, with what the pages at [`PLAY`] map to at first in each space. `user`: the
/// kernel's pages are open to programs too.
pub fn page_tables(kind: Kind, user: bool, play: &[Vec<u64>; 2]) -> Vec<(u64, Vec<u8>)> {
    let e = kind.entry();
    let numbered = |v: &[u64]| v.iter().enumerate().map(|(i, x)| (i as u64, *x)).collect::<Vec<_>>();
    let pages = 4096 / e;
    let open = |page: u64| if user || page >= LAUNCH_END >> 12 { 7 } else { 3 };
    let identity: Vec<u64> = (0..pages).map(|i| i << 12 | open(i)).collect();
    let mut tables = vec![(LOW_TABLE, table(e, &numbered(&identity)))];
    for n in 0..2 {
        let (r, d) = (root(n), directory(kind, n));
        tables.push((play_table(n), table(e, &numbered(&play[n as usize]))));
        let large = |at: u64| at | 0x87;
        if kind == Kind::Legacy(Paging::Short) {
            let entries =
                [(0, LOW_TABLE | 7), (1, play_table(n) | 7), (2, large(0)), (0x3fb, large(0xfec0_0000))];
            tables.push((r, table(e, &entries)));
            continue;
        }
        let entries = [
            (0, LOW_TABLE | 7),
            (1, large(0x20_0000)),
            (2, play_table(n) | 7),
            (3, large(0)),
            (4, large(0x20_0000)),
        ];
        tables.push((d, table(e, &entries)));
        let high = root(n) + 0x3000;
        let entries = [(0x1f6, large(0xfec0_0000)), (0x1f7, large(0xfee0_0000)), (0x1ff, large(0xffe0_0000))];
        tables.push((high, table(e, &entries)));
        if kind == Kind::Long {
            tables.push((r, table(e, &[(0, (r + 0x1000) | 7)])));
            tables.push((r + 0x1000, table(e, &[(0, d | 7), (3, high | 7)])));
        } else {
            tables.push((r, table(e, &[(0, d | 1), (3, high | 1)])));
        }
    }
    tables
}

fn descriptor(base: u64, limit: u64, access: u64, flags: u64) -> u64 {
    limit & 0xffff
        | (base & 0xff_ffff) << 16
        | access << 40
        | (limit >> 16 & 15) << 48
        | flags << 52
        | (base >> 24 & 0xff) << 56
}

/// The global descriptor table.
pub fn gdt(kind: Kind) -> Vec<u64> {
    let (code0, code3, data0, data3) = (0x9b, 0xfb, 0x93, 0xf3);
    let mut d = vec![0; 20];
    d[1] = if kind == Kind::Long {
        descriptor(0, 0xf_ffff, code0, 0xa)
    } else {
        descriptor(0, 0xf_ffff, code0, 0xc)
    };
    d[2] = descriptor(0, 0xf_ffff, data0, 0xc);
    d[3] = descriptor(0, 0xf_ffff, code0, 0xc);
    d[4] = descriptor(0, 0xf_ffff, code3, 0xc);
    d[5] = descriptor(0, 0xf_ffff, data3, 0xc);
    d[6] = if kind == Kind::Long { descriptor(0, 0xf_ffff, code3, 0xa) } else { d[4] };
    d[7] = descriptor(CODE, 0xffff, code0, 0);
    d[8] = descriptor(CODE, 0xffff, code3, 0);
    d[9] = descriptor(DATA, 0xffff, data3, 0);
    d[10] = descriptor(DATA, 0x1fff, 0xf7, 4);
    d[11] = descriptor(DATA, 0xffff, 0xf1, 4);
    for (n, selector) in sel::TSS.into_iter().enumerate() {
        d[usize::from(selector >> 3)] = descriptor(tss(n), 0x67, 0x8b, 0);
    }
    d[16] = descriptor(DATA, 0xffff, data0, 0);
    // A call gate into the handlers' first: it starts another chunk.
    let kind_bits = if kind == Kind::Long { CODE_GATE_SELECTOR } else { u64::from(sel::CODE32) };
    let to = HANDLERS + 0x81 * HANDLER_STEP;
    d[17] = to & 0xffff | kind_bits << 16 | 0xec << 40 | (to >> 16) << 48;
    d
}

const CODE_GATE_SELECTOR: u64 = sel::CODE64 as u64;

/// The task state segment of a CPU.
pub fn tss(cpu: usize) -> u64 {
    TSS + cpu as u64 * 0x100
}

/// The task state segments' bytes.
pub fn tss_bytes(kind: Kind, cpu: usize) -> Vec<u8> {
    let mut b = vec![0; 0x68];
    let stack = HANDLER_STACKS[cpu];
    if kind == Kind::Long {
        b[4..12].copy_from_slice(&stack.to_le_bytes());
        b[0x24..0x2c].copy_from_slice(&stack.to_le_bytes());
    } else {
        b[4..8].copy_from_slice(&(stack as u32).to_le_bytes());
        b[8..10].copy_from_slice(&sel::DATA0.to_le_bytes());
    }
    b[0x66] = 0x68;
    b
}

/// The interrupt descriptor table: every vector has a handler of its own.
pub fn idt(kind: Kind) -> Vec<u8> {
    let mut b = Vec::new();
    for vector in 0..256u64 {
        let there = vector < VECTORS;
        let to = HANDLERS + vector.min(0x81) * HANDLER_STEP;
        // Interrupt gates, some trap gates; the vectors without a handler are not present.
        let rights = if there { 0xee + vector % 7 / 6 } else { 0x6e };
        let gate = |selector: u16| {
            to & 0xffff | u64::from(selector) << 16 | rights << 40 | (to >> 16 & 0xffff) << 48
        };
        match kind {
            // All on the first stack of the interrupt stack table.
            Kind::Long => {
                b.extend((gate(sel::CODE64) | 1 << 32).to_le_bytes());
                b.extend([0; 8]);
            }
            Kind::Legacy(_) => b.extend(gate(sel::CODE32).to_le_bytes()),
            Kind::Real => {
                b.extend((to as u16).to_le_bytes());
                b.extend([0; 2]);
            }
        }
    }
    b
}

/// Puts CPU `n` where the guest begins: at `entry`, in the mode.
pub fn start(kind: Kind, n: usize, entry: u64, cpu: &mut Cpu) {
    cpu.activity = Activity::Running;
    cpu.set_rip(entry);
    cpu.set_rflags(2);
    let stack = HANDLER_STACKS[n] - 40;
    cpu.regs[..16].fill(0);
    cpu.regs[4] = stack;
    if kind == Kind::Real {
        for s in &mut cpu.segs[..6] {
            s.selector = 0;
            s.base = 0;
            s.limit = 0xffff;
        }
        // So that the boot code reaches the local APIC.
        cpu.segs[usize::from(seg::GS)].limit = u32::MAX;
        cpu.idtr = TableRegister { base: 0, limit: 0x3ff };
        return;
    }
    let flat = right::P | right::S | right::RW | right::ACCESSED | right::G;
    for s in [seg::ES, seg::SS, seg::DS, seg::FS, seg::GS] {
        cpu.segs[usize::from(s)] =
            Segment { selector: sel::DATA0, rights: flat | right::DB, base: 0, limit: u32::MAX };
    }
    let size = if kind == Kind::Long { right::L } else { right::DB };
    cpu.segs[usize::from(seg::CS)] =
        Segment { selector: sel::CODE64, rights: flat | right::CODE | size, base: 0, limit: u32::MAX };
    cpu.segs[usize::from(seg::TR)] =
        Segment { selector: sel::TSS[n], rights: right::P | 0xb, base: tss(n), limit: 0x67 };
    cpu.gdtr = TableRegister { base: GDT, limit: 20 * 8 - 1 };
    cpu.idtr = TableRegister { base: IDT, limit: if kind == Kind::Long { 0xfff } else { 0x7ff } };
    cpu.cr0 = cr0::PE | cr0::ET | cr0::NE | cr0::MP | cr0::WP;
    cpu.cr4 = cr4::OSFXSR | cr4::OSXMMEXCPT | cr4::PSE | cr4::PGE;
    if kind.paged() {
        cpu.cr0 |= cr0::PG;
        cpu.cr3 = root(0);
    }
    match kind {
        Kind::Long => {
            cpu.cr4 |= cr4::PAE | cr4::FSGSBASE;
            cpu.msrs.efer = efer::LME | efer::LMA | efer::NXE | efer::SCE;
        }
        Kind::Legacy(Paging::Pae) => {
            cpu.cr4 |= cr4::PAE;
            let (d, high) = (directory(kind, 0), root(0) + 0x3000);
            cpu.pdptrs = [d | 1, 0, 0, high | 1];
        }
        _ => {}
    }
}

/// Breakpoints in the chunks and in the kernel, watched data and code, ports, device memory, events.
pub fn interest() -> Interest {
    let mut execute: Vec<u64> = (0..40).map(|n| CODE + n * 0x155).collect();
    execute.extend([HANDLERS + 14 * HANDLER_STEP, ROM_AT + 0x40, 0x7fff_ffff_0000]);
    execute.sort_unstable();
    let watch = |addr, len, read| Watch { addr, len, read, write: true };
    let memory = [
        watch(DATA + 0x1ff8, 16, true),
        watch(DATA + 0x3000, 256, false),
        watch(CODE + 0x800, 64, false),
        watch(STACK + STACK_LEN / 2 - 64, 32, true),
    ];
    Interest {
        execute,
        memory: memory.to_vec(),
        changes: false,
        interrupts: Vectors::ALL,
        exceptions: Vectors::ALL,
        ports: vec![(0x80, 0x80), (0x20, 0x21)],
        mmio: vec![(LAPIC, LAPIC + 0xff)],
        cpu: None,
    }
}
