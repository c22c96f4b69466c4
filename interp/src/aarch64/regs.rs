//! The architectural state.

use serde::{Deserialize, Serialize};

/// Bits of NZCV, and of PSTATE as SPSR shows it (DDI 0487, C5.2.19).
pub mod psr {
    #![allow(missing_docs, reason = "the names are the manual's")]
    pub const N: u64 = 1 << 31;
    pub const Z: u64 = 1 << 30;
    pub const C: u64 = 1 << 29;
    pub const V: u64 = 1 << 28;
    pub const NZCV: u64 = N | Z | C | V;
    pub const UAO: u64 = 1 << 23;
    pub const PAN: u64 = 1 << 22;
    pub const SS: u64 = 1 << 21;
    pub const IL: u64 = 1 << 20;
    pub const D: u64 = 1 << 9;
    pub const A: u64 = 1 << 8;
    pub const I: u64 = 1 << 7;
    pub const F: u64 = 1 << 6;
    pub const DAIF: u64 = D | A | I | F;
    /// The mode is an AArch32 mode.
    pub const AARCH32: u64 = 1 << 4;
}

/// Bits of SCTLR_ELx (D19.2.120).
pub mod sctlr {
    #![allow(missing_docs, reason = "the names are the manual's")]
    pub const M: u64 = 1 << 0;
    pub const A: u64 = 1 << 1;
    pub const C: u64 = 1 << 2;
    pub const SA: u64 = 1 << 3;
    pub const SA0: u64 = 1 << 4;
    pub const UMA: u64 = 1 << 9;
    pub const DZE: u64 = 1 << 14;
    pub const UCT: u64 = 1 << 15;
    pub const NTWI: u64 = 1 << 16;
    pub const NTWE: u64 = 1 << 18;
    pub const WXN: u64 = 1 << 19;
    pub const SPAN: u64 = 1 << 23;
    pub const E0E: u64 = 1 << 24;
    pub const EE: u64 = 1 << 25;
    pub const UCI: u64 = 1 << 26;
}

/// What a CPU does between instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Activity {
    /// Executes instructions.
    Running,
    /// WFI: waits for an interrupt.
    WaitForInterrupt,
    /// Powered off by PSCI.
    Off,
}

/// What the exclusive monitors hold (B2.9): where the last load-exclusive loaded from, and what. Compiled code
/// works on it: its layout is fixed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[repr(C)]
pub struct Exclusive {
    /// What was loaded: a store-exclusive succeeds only while it is still there.
    pub value: u128,
    /// Where it lies: offset of the host's mapping, or physical address with bit 63 set of what is no memory.
    pub place: u64,
    /// Bytes; 0 when nothing is held (open access).
    pub size: u64,
}

/// Optional features of a CPU model, each a flag of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Features {
    /// CRC32 instructions.
    pub crc32: bool,
    /// AES and PMULL.
    pub aes: bool,
    /// SHA1 and SHA256.
    pub sha: bool,
    /// Large System Extensions: atomics.
    pub lse: bool,
    /// Rounding doubling multiply accumulate.
    pub rdm: bool,
    /// Dot products.
    pub dotprod: bool,
    /// Half-precision arithmetic.
    pub fp16: bool,
    /// Privileged Access Never.
    pub pan: bool,
}

/// CPU models.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Model {
    /// Cortex-A53 r0p4.
    CortexA53,
    /// Cortex-A57 r1p0.
    CortexA57,
    /// Everything that is implemented, or what of it is wanted.
    Max(Features),
}

impl Features {
    /// Those of the Cortex-A53 and A57.
    const CORTEX: Self = Self {
        crc32: true,
        aes: true,
        sha: true,
        lse: false,
        rdm: false,
        dotprod: false,
        fp16: false,
        pan: false,
    };

    /// All.
    pub const MAX: Self = Self { lse: true, rdm: true, dotprod: true, fp16: true, pan: true, ..Self::CORTEX };

    /// The names of the flags.
    pub const NAMES: [&'static str; 8] = ["crc32", "aes", "sha", "lse", "rdm", "dotprod", "fp16", "pan"];

    /// The flag of a name.
    pub fn flag(&mut self, name: &str) -> Option<&mut bool> {
        Some(match name {
            "crc32" => &mut self.crc32,
            "aes" => &mut self.aes,
            "sha" => &mut self.sha,
            "lse" => &mut self.lse,
            "rdm" => &mut self.rdm,
            "dotprod" => &mut self.dotprod,
            "fp16" => &mut self.fp16,
            "pan" => &mut self.pan,
            _ => return None,
        })
    }
}

impl Model {
    /// Everything that is implemented.
    pub const MAX: Self = Self::Max(Features::MAX);

    /// Its features.
    pub fn features(self) -> Features {
        match self {
            Self::CortexA53 | Self::CortexA57 => Features::CORTEX,
            Self::Max(features) => features,
        }
    }

    /// MIDR_EL1.
    pub fn midr(self) -> u64 {
        match self {
            Self::CortexA53 => 0x410f_d034,
            Self::CortexA57 => 0x411f_d070,
            // Architecture by ID registers, implementer 0, part 0x51.
            Self::Max(_) => 0x000f_0510,
        }
    }
}

/// System registers. Those that exist at several exception levels are arrays by level; entry 0
/// is unused but for [`Sys::tpidr`] and [`Sys::sp`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the manual's")]
pub struct Sys {
    pub sp: [u64; 4],
    pub elr: [u64; 4],
    pub spsr: [u64; 4],
    pub esr: [u64; 4],
    pub far: [u64; 4],
    pub afsr0: [u64; 4],
    pub afsr1: [u64; 4],
    pub vbar: [u64; 4],
    pub sctlr: [u64; 4],
    pub actlr: [u64; 4],
    pub ttbr0: [u64; 4],
    pub tcr: [u64; 4],
    pub mair: [u64; 4],
    pub amair: [u64; 4],
    pub tpidr: [u64; 4],
    pub contextidr: [u64; 4],
    pub rmr: [u64; 4],
    pub ttbr1: u64,
    pub tpidrro: u64,
    pub par: u64,
    pub cpacr: u64,
    pub csselr: u64,
    pub mdscr: u64,
    pub mdccint: u64,
    pub oslar_locked: bool,
    pub osdlr: u64,
    pub dbgbvr: [u64; 6],
    pub dbgbcr: [u64; 6],
    pub dbgwvr: [u64; 4],
    pub dbgwcr: [u64; 4],
    pub cntkctl: u64,
    pub hcr: u64,
    pub scr: u64,
    pub mdcr: [u64; 4],
    pub cptr: [u64; 4],
    pub hstr: u64,
    pub vttbr: u64,
    pub vtcr: u64,
    pub vpidr: u64,
    pub vmpidr: u64,
    pub hpfar: u64,
}

/// The architectural state of one CPU. Plain data: a clone is a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cpu {
    /// X0 to X30, then zero (XZR).
    pub x: [u64; 32],
    /// The program counter.
    pub pc: u64,
    /// The condition flags, at their places in SPSR.
    pub nzcv: u64,
    /// D, A, I, F, at their places in SPSR.
    pub daif: u64,
    /// The current exception level.
    pub el: u8,
    /// PSTATE.SP: the stack pointer of the current level, not of EL0.
    pub sp_sel: bool,
    /// PSTATE.PAN, UAO, SS and IL, at their places in SPSR.
    pub pstate: u64,
    /// V0 to V31.
    pub v: [u128; 32],
    /// FPCR.
    pub fpcr: u32,
    /// FPSR.
    pub fpsr: u32,
    /// See [`Sys`].
    pub sys: Sys,
    /// The local exclusive monitor.
    pub exclusive: Exclusive,
    /// The event register (WFE).
    pub event: bool,
    /// See [`Activity`].
    pub activity: Activity,
    /// What software step let through last: was it a load-exclusive? `None` for an exception's return.
    pub stepped_exclusive: Option<bool>,
    /// The interrupt request line.
    pub irq: bool,
    /// The fast interrupt request line.
    pub fiq: bool,
    /// A virtual or physical SError is pending.
    pub serror: bool,
    /// The highest implemented exception level: 1, 2 or 3.
    pub highest: u8,
    /// MPIDR_EL1's affinity.
    pub affinity: u64,
    /// The interrupt controller's CPU interface has system registers (GICv3).
    pub gic_registers: bool,
    /// The model.
    pub model: Model,
}

impl Cpu {
    /// A CPU after reset in the highest exception level (D1.9), at `pc`.
    pub fn new(model: Model, affinity: u64, highest: u8, pc: u64) -> Self {
        let mut sys = Sys::default();
        for el in 1..=3 {
            sys.sctlr[el] = 0x30d0_0800 & !(sctlr::M | sctlr::C);
        }
        sys.sctlr[1] |= sctlr::SPAN;
        Self {
            x: [0; 32],
            pc,
            nzcv: 0,
            daif: psr::DAIF,
            el: highest,
            sp_sel: true,
            pstate: 0,
            v: [0; 32],
            fpcr: 0,
            fpsr: 0,
            sys,
            exclusive: Exclusive::default(),
            event: false,
            activity: Activity::Running,
            stepped_exclusive: None,
            irq: false,
            fiq: false,
            serror: false,
            highest,
            affinity,
            gic_registers: false,
            model,
        }
    }

    /// The stack pointer in use.
    #[inline(always)]
    pub fn sp(&self) -> u64 {
        self.sys.sp[self.sp_index()]
    }

    /// Sets the stack pointer in use.
    #[inline(always)]
    pub fn set_sp(&mut self, v: u64) {
        let i = self.sp_index();
        self.sys.sp[i] = v;
    }

    #[inline(always)]
    fn sp_index(&self) -> usize {
        if self.sp_sel { usize::from(self.el & 3) } else { 0 }
    }

    /// An interrupt pends, masked or not.
    pub fn interrupted(&self) -> bool {
        self.irq || self.fiq || self.serror
    }

    /// PSTATE as SPSR shows it.
    pub fn spsr(&self) -> u64 {
        self.nzcv | self.daif | self.pstate | u64::from(self.el) << 2 | u64::from(self.sp_sel)
    }

    /// Sets PSTATE from an SPSR that names a 64-bit state which exists.
    pub fn set_spsr(&mut self, v: u64) {
        let step = self.step_after_return(v);
        self.nzcv = v & psr::NZCV;
        self.daif = v & psr::DAIF;
        let pan = if self.model.features().pan { psr::PAN } else { 0 };
        self.pstate = v & (psr::IL | pan) | step;
        self.el = (v >> 2 & 3) as u8;
        self.sp_sel = v & 1 != 0;
    }

    /// SCTLR of the level that controls the current one: EL1's for EL0.
    #[inline(always)]
    pub fn sctlr(&self) -> u64 {
        self.sys.sctlr[usize::from(self.el.max(1) & 3)]
    }

    /// Data accesses are big-endian.
    #[inline(always)]
    pub fn big_endian(&self) -> bool {
        self.sctlr() & if self.el == 0 { sctlr::E0E } else { sctlr::EE } != 0
    }

    /// The condition holds (C1.2.4).
    #[inline(always)]
    pub fn condition(&self, cond: u8) -> bool {
        let f = self.nzcv;
        let (n, z, c, v) = (f & psr::N != 0, f & psr::Z != 0, f & psr::C != 0, f & psr::V != 0);
        let holds = match cond >> 1 & 7 {
            0 => z,
            1 => c,
            2 => n,
            3 => v,
            4 => c && !z,
            5 => n == v,
            6 => n == v && !z,
            _ => return true,
        };
        holds != (cond & 1 != 0)
    }
}
