//! The architectural state of an x86 CPU.

use super::flags::{Flags, bit};
use serde::{Deserialize, Serialize};

/// Segment register numbers as instructions encode them, and the slots behind them.
pub mod seg {
    #![allow(missing_docs, reason = "the names are the manual's")]
    pub const ES: u8 = 0;
    pub const CS: u8 = 1;
    pub const SS: u8 = 2;
    pub const DS: u8 = 3;
    pub const FS: u8 = 4;
    pub const GS: u8 = 5;
    pub const LDTR: u8 = 6;
    pub const TR: u8 = 7;
}

/// General register numbers.
pub mod gpr {
    #![allow(missing_docs, reason = "the names are the manual's")]
    pub const RAX: u8 = 0;
    pub const RCX: u8 = 1;
    pub const RDX: u8 = 2;
    pub const RBX: u8 = 3;
    pub const RSP: u8 = 4;
    pub const RBP: u8 = 5;
    pub const RSI: u8 = 6;
    pub const RDI: u8 = 7;
}

/// Bits of CR0 (SDM volume 3, section 2.5).
pub mod cr0 {
    #![allow(missing_docs, reason = "the names are the manual's")]
    pub const PE: u64 = 1 << 0;
    pub const MP: u64 = 1 << 1;
    pub const EM: u64 = 1 << 2;
    pub const TS: u64 = 1 << 3;
    pub const ET: u64 = 1 << 4;
    pub const NE: u64 = 1 << 5;
    pub const WP: u64 = 1 << 16;
    pub const AM: u64 = 1 << 18;
    pub const NW: u64 = 1 << 29;
    pub const CD: u64 = 1 << 30;
    pub const PG: u64 = 1 << 31;
}

/// Bits of CR4 (SDM volume 3, section 2.5).
pub mod cr4 {
    #![allow(missing_docs, reason = "the names are the manual's")]
    pub const VME: u64 = 1 << 0;
    pub const PVI: u64 = 1 << 1;
    pub const TSD: u64 = 1 << 2;
    pub const DE: u64 = 1 << 3;
    pub const PSE: u64 = 1 << 4;
    pub const PAE: u64 = 1 << 5;
    pub const MCE: u64 = 1 << 6;
    pub const PGE: u64 = 1 << 7;
    pub const PCE: u64 = 1 << 8;
    pub const OSFXSR: u64 = 1 << 9;
    pub const OSXMMEXCPT: u64 = 1 << 10;
    pub const UMIP: u64 = 1 << 11;
    pub const FSGSBASE: u64 = 1 << 16;
    pub const PCIDE: u64 = 1 << 17;
    pub const OSXSAVE: u64 = 1 << 18;
    pub const SMEP: u64 = 1 << 20;
    pub const SMAP: u64 = 1 << 21;
    pub const PKE: u64 = 1 << 22;
}

/// Bits of IA32_EFER (SDM volume 3, section 2.2.1).
pub mod efer {
    #![allow(missing_docs, reason = "the names are the manual's")]
    pub const SCE: u64 = 1 << 0;
    pub const LME: u64 = 1 << 8;
    pub const LMA: u64 = 1 << 10;
    pub const NXE: u64 = 1 << 11;
}

/// A segment register with its hidden part (SDM volume 3, section 3.4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[repr(C)]
pub struct Segment {
    /// The visible selector.
    pub selector: u16,
    /// Access rights as in the descriptor's bytes 5 and 6: type (3:0), S (4), DPL (6:5), P (7),
    /// AVL (12), L (13), D/B (14), G (15). Zero for a segment that holds a null selector.
    pub rights: u16,
    /// The base address.
    pub base: u64,
    /// The limit in bytes: the granularity bit has been applied.
    pub limit: u32,
}

/// Bits of [`Segment::rights`].
pub mod right {
    #![allow(missing_docs, reason = "the names are the manual's")]
    pub const ACCESSED: u16 = 1 << 0;
    /// Data: writable. Code: readable.
    pub const RW: u16 = 1 << 1;
    /// Data: expand-down. Code: conforming.
    pub const DC: u16 = 1 << 2;
    pub const CODE: u16 = 1 << 3;
    pub const S: u16 = 1 << 4;
    pub const P: u16 = 1 << 7;
    pub const L: u16 = 1 << 13;
    pub const DB: u16 = 1 << 14;
    pub const G: u16 = 1 << 15;
}

impl Segment {
    /// A real-mode segment of 64 KiB.
    pub fn real(selector: u16, rights: u16) -> Self {
        Self { selector, rights, base: u64::from(selector) << 4, limit: 0xffff }
    }

    /// The descriptor privilege level.
    pub fn dpl(&self) -> u8 {
        (self.rights >> 5 & 3) as u8
    }

    /// True when the descriptor is present and usable.
    pub fn present(&self) -> bool {
        self.rights & right::P != 0
    }

    /// The first and the last offset that lie inside the segment's limit (SDM volume 3,
    /// section 5.3). Empty (first above last) for an unusable segment.
    pub fn bounds(&self) -> (u32, u32) {
        let expand_down = self.rights & (right::CODE | right::DC | right::S) == right::DC | right::S;
        if !self.present() {
            (1, 0)
        } else if !expand_down {
            (0, self.limit)
        } else if self.limit == u32::MAX {
            (1, 0)
        } else {
            let top = if self.rights & right::DB != 0 { u32::MAX } else { 0xffff };
            (self.limit + 1, top)
        }
    }
}

/// GDTR or IDTR.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableRegister {
    /// Linear address of the table.
    pub base: u64,
    /// Last valid offset.
    pub limit: u16,
}

/// A vector register: 256 bits as little-endian quadwords, of which the low 128 are XMM.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[repr(C, align(32))]
pub struct Vector(pub [u64; 4]);

impl Vector {
    /// The XMM part.
    #[inline(always)]
    pub fn xmm(&self) -> u128 {
        u128::from(self.0[0]) | u128::from(self.0[1]) << 64
    }

    /// Replaces the XMM part, keeps the rest (legacy SSE encodings).
    #[inline(always)]
    pub fn set_xmm(&mut self, v: u128) {
        self.0[0] = v as u64;
        self.0[1] = (v >> 64) as u64;
    }
}

/// The x87 state (SDM volume 1, chapter 8). MMX registers are the significands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct X87 {
    /// Significands of the physical registers R0 to R7.
    pub mantissa: [u64; 8],
    /// Sign and exponent of the physical registers R0 to R7.
    pub sign_exp: [u16; 8],
    /// Control word.
    pub control: u16,
    /// Status word, with TOP at its place (bits 13:11).
    pub status: u16,
    /// Abridged tag word: bit i set when physical register Ri is not empty.
    pub used: u8,
    /// Last instruction's opcode, 11 bits.
    pub opcode: u16,
    /// Last instruction pointer: selector and offset.
    pub ip_selector: u16,
    /// See `ip_selector`.
    pub ip: u64,
    /// Last operand pointer: selector and offset.
    pub dp_selector: u16,
    /// See `dp_selector`.
    pub dp: u64,
}

impl Default for X87 {
    /// The state after reset; FNINIT differs only in the registers' contents.
    fn default() -> Self {
        Self {
            mantissa: [0; 8],
            sign_exp: [0; 8],
            control: 0x37f,
            status: 0,
            used: 0,
            opcode: 0,
            ip_selector: 0,
            ip: 0,
            dp_selector: 0,
            dp: 0,
        }
    }
}

/// Model-specific registers that are plain storage or belong to the CPU itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[repr(C)]
pub struct Msrs {
    /// IA32_EFER.
    pub efer: u64,
    /// IA32_STAR.
    pub star: u64,
    /// IA32_LSTAR.
    pub lstar: u64,
    /// IA32_CSTAR.
    pub cstar: u64,
    /// IA32_FMASK.
    pub fmask: u64,
    /// IA32_KERNEL_GS_BASE.
    pub kernel_gs_base: u64,
    /// IA32_TSC_AUX.
    pub tsc_aux: u64,
    /// Added to the virtual clock to give the time-stamp counter (WRMSR to IA32_TSC or
    /// IA32_TSC_ADJUST).
    pub tsc_offset: u64,
    /// IA32_TSC_ADJUST.
    pub tsc_adjust: u64,
    /// IA32_SYSENTER_CS.
    pub sysenter_cs: u64,
    /// IA32_SYSENTER_ESP.
    pub sysenter_esp: u64,
    /// IA32_SYSENTER_EIP.
    pub sysenter_eip: u64,
    /// IA32_PAT.
    pub pat: u64,
    /// IA32_MTRR_DEF_TYPE.
    pub mtrr_def_type: u64,
    /// Fixed-range MTRRs, in the order of their numbers.
    pub mtrr_fixed: [u64; 11],
    /// IA32_MTRR_PHYSBASE0, IA32_MTRR_PHYSMASK0, and so on.
    pub mtrr_variable: [u64; 16],
    /// IA32_MISC_ENABLE.
    pub misc_enable: u64,
    /// IA32_BIOS_SIGN_ID.
    pub microcode: u64,
    /// IA32_MCG_STATUS.
    pub mcg_status: u64,
    /// IA32_MCG_CTL.
    pub mcg_ctl: u64,
    /// IA32_MCi_CTL, STATUS, ADDR, MISC of ten banks.
    pub mc_banks: Vec<u64>,
    /// IA32_SPEC_CTRL.
    pub spec_ctrl: u64,
}

/// What a CPU does between instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Activity {
    /// Executes instructions.
    Running,
    /// HLT or MWAIT: waits for an interrupt.
    Halted,
    /// After a triple fault.
    Shutdown,
    /// An application processor that waits for INIT and SIPI.
    WaitForSipi,
}

/// What inhibits interrupts for one instruction (SDM volume 3, section 6.8.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shadow {
    /// Nothing.
    None,
    /// STI: maskable interrupts.
    Sti,
    /// MOV SS, POP SS: interrupts, NMI and debug traps.
    MovSs,
}

/// The architectural state of one CPU. Plain data: a clone is a snapshot. Compiled code reads it: its layout
/// is fixed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[repr(C)]
pub struct Cpu {
    /// RAX to R15, then zero ([`super::op::REG_ZERO`]), then RIP ([`super::op::REG_RIP`]).
    pub regs: [u64; 18],
    /// CF, PF, AF, ZF, SF, OF.
    pub flags: Flags,
    /// RFLAGS without the status flags; bit 1 is set.
    pub rflags: u64,
    /// ES, CS, SS, DS, FS, GS, LDTR, TR.
    pub segs: [Segment; 8],
    /// The current privilege level. 3 in virtual-8086 mode, 0 in real mode.
    pub cpl: u8,
    /// The global descriptor table register.
    pub gdtr: TableRegister,
    /// The interrupt descriptor table register.
    pub idtr: TableRegister,
    /// Control register 0.
    pub cr0: u64,
    /// Page-fault linear address.
    pub cr2: u64,
    /// Page-table root.
    pub cr3: u64,
    /// Control register 4.
    pub cr4: u64,
    /// PAE page-directory-pointer registers (SDM volume 3, section 4.4.1).
    pub pdptrs: [u64; 4],
    /// DR0 to DR7; 4 and 5 unused.
    pub dr: [u64; 8],
    /// XCR0.
    pub xcr0: u64,
    /// See [`Msrs`].
    pub msrs: Msrs,
    /// x87 and MMX.
    pub x87: X87,
    /// XMM0 to XMM15 and their upper halves.
    pub vectors: [Vector; 16],
    /// MXCSR.
    pub mxcsr: u32,
    /// See [`Activity`].
    pub activity: Activity,
    /// See [`Shadow`].
    pub shadow: Shadow,
    /// The interrupt request line from the interrupt controllers.
    pub intr: bool,
    /// A non-maskable interrupt is pending.
    pub nmi_pending: bool,
    /// An NMI is being handled: further ones wait for IRET.
    pub nmi_blocked: bool,
    /// An INIT is pending.
    pub init_pending: bool,
    /// A SIPI's vector is pending.
    pub sipi_pending: Option<u8>,
    /// DR6 bits of debug traps to be taken at the next boundary.
    pub debug_pending: u64,
    /// State of the generator behind RDRAND and RDSEED, from the recorded seed.
    pub entropy: u64,
    /// FERR#: an unmasked x87 exception waits with CR0.NE clear (drives IRQ 13).
    pub ferr: bool,
    /// Linear address range that MONITOR armed, for the record; MWAIT is a hint.
    pub monitor: Option<u64>,
    /// The model: CPUID table and feature rules.
    pub model: super::model::Model,
}

impl Cpu {
    /// A CPU after reset (SDM volume 3, table 9-1). `bootstrap` is false for application
    /// processors, which wait for a SIPI.
    pub fn new(model: super::model::Model, seed: u64, bootstrap: bool) -> Self {
        let data = right::P | right::S | right::RW | right::ACCESSED;
        let mut segs = [Segment::real(0, data); 8];
        segs[usize::from(seg::CS)] =
            Segment { selector: 0xf000, rights: data | right::CODE, base: 0xffff_0000, limit: 0xffff };
        segs[usize::from(seg::LDTR)].rights = right::P | 2;
        segs[usize::from(seg::TR)].rights = right::P | 0xb;
        let mut regs = [0; 18];
        regs[usize::from(gpr::RDX)] = u64::from(model.signature());
        regs[usize::from(super::op::REG_RIP)] = 0xfff0;
        let mut dr = [0; 8];
        dr[6] = 0xffff_0ff0;
        dr[7] = 0x400;
        Self {
            regs,
            flags: Flags::default(),
            rflags: bit::ONE,
            segs,
            cpl: 0,
            gdtr: TableRegister { base: 0, limit: 0xffff },
            idtr: TableRegister { base: 0, limit: 0xffff },
            cr0: cr0::CD | cr0::NW | cr0::ET,
            cr2: 0,
            cr3: 0,
            cr4: 0,
            pdptrs: [0; 4],
            dr,
            xcr0: 1,
            msrs: Msrs {
                pat: 0x0007_0406_0007_0406,
                misc_enable: 1,
                mc_banks: vec![0; 40],
                ..Msrs::default()
            },
            x87: X87::default(),
            vectors: [Vector::default(); 16],
            mxcsr: 0x1f80,
            activity: if bootstrap { Activity::Running } else { Activity::WaitForSipi },
            shadow: Shadow::None,
            intr: false,
            nmi_pending: false,
            nmi_blocked: false,
            init_pending: false,
            sipi_pending: None,
            debug_pending: 0,
            entropy: seed,
            ferr: false,
            monitor: None,
            model,
        }
    }

    /// The instruction pointer.
    #[inline(always)]
    pub fn rip(&self) -> u64 {
        self.regs[usize::from(super::op::REG_RIP)]
    }

    /// Sets the instruction pointer.
    #[inline(always)]
    pub fn set_rip(&mut self, rip: u64) {
        self.regs[usize::from(super::op::REG_RIP)] = rip;
    }

    /// All of RFLAGS.
    pub fn rflags(&self) -> u64 {
        self.rflags | self.flags.bits()
    }

    /// Sets all of RFLAGS. The caller has decided which bits may change; reserved bits are forced.
    pub fn set_rflags(&mut self, v: u64) {
        self.flags.set_bits(v);
        self.rflags = v & 0x3f_7fd7 & !bit::STATUS | bit::ONE;
    }

    /// The I/O privilege level.
    pub fn iopl(&self) -> u8 {
        (self.rflags >> 12 & 3) as u8
    }

    /// One of ES to TR, by [`seg`].
    #[inline(always)]
    pub fn seg(&self, s: u8) -> &Segment {
        &self.segs[usize::from(s & 7)]
    }

    /// CR0.PE: protected mode (also in virtual-8086 and long mode).
    #[inline(always)]
    pub fn protected(&self) -> bool {
        self.cr0 & cr0::PE != 0
    }

    /// Virtual-8086 mode.
    #[inline(always)]
    pub fn v86(&self) -> bool {
        self.rflags & bit::VM != 0
    }

    /// Real mode or virtual-8086 mode: segments are 16 * selector.
    #[inline(always)]
    pub fn real_segments(&self) -> bool {
        !self.protected() || self.v86()
    }

    /// IA32_EFER.LMA: long mode, 64-bit or compatibility.
    #[inline(always)]
    pub fn long_mode(&self) -> bool {
        self.msrs.efer & efer::LMA != 0
    }

    /// 64-bit mode: long mode with CS.L.
    #[inline(always)]
    pub fn mode64(&self) -> bool {
        self.long_mode() && self.segs[usize::from(seg::CS)].rights & right::L != 0
    }

    /// Bytes of the default code size: 8 in 64-bit mode, else 4 or 2 by CS.D.
    pub fn code_size(&self) -> u8 {
        if self.mode64() {
            8
        } else if self.segs[usize::from(seg::CS)].rights & right::DB != 0 {
            4
        } else {
            2
        }
    }

    /// Bytes of the stack pointer: 8 in 64-bit mode, else 4 or 2 by SS.B.
    #[inline(always)]
    pub fn stack_size(&self) -> u8 {
        if self.mode64() {
            8
        } else if self.segs[usize::from(seg::SS)].rights & right::DB != 0 {
            4
        } else {
            2
        }
    }
}
