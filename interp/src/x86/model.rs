//! CPU models: what CPUID says and which instructions exist.

use super::mmu::PHYS_BITS;
use super::regs::{Cpu, cr4};
use iced_x86::{Code, CpuidFeature, DecoderOptions, Mnemonic};
use serde::{Deserialize, Serialize};
use std::sync::OnceLock;

/// A CPU model by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Model {
    /// `qemu64`-like, the default.
    Qemu64,
    /// `qemu32`-like: the default without 64-bit mode.
    Qemu32,
    /// `486`-like, for old kernels.
    I486,
    /// `pentium3`-like, for old kernels.
    Pentium3,
    /// `Nehalem`-like: to SSE4.2.
    Nehalem,
    /// Everything that is implemented.
    Max,
}

/// Number of models.
const MODELS: usize = Model::Max as usize + 1;

/// Results of CPUID.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leaf {
    /// EAX.
    pub eax: u32,
    /// EBX.
    pub ebx: u32,
    /// ECX.
    pub ecx: u32,
    /// EDX.
    pub edx: u32,
}

impl Leaf {
    const fn new(eax: u32, ebx: u32, ecx: u32, edx: u32) -> Self {
        Self { eax, ebx, ecx, edx }
    }
}

/// Bits of CPUID.01H:EDX (SDM volume 2, CPUID).
mod f1d {
    pub const FPU: u32 = 1 << 0;
    pub const VME: u32 = 1 << 1;
    pub const DE: u32 = 1 << 2;
    pub const PSE: u32 = 1 << 3;
    pub const TSC: u32 = 1 << 4;
    pub const MSR: u32 = 1 << 5;
    pub const PAE: u32 = 1 << 6;
    pub const MCE: u32 = 1 << 7;
    pub const CX8: u32 = 1 << 8;
    pub const APIC: u32 = 1 << 9;
    pub const SEP: u32 = 1 << 11;
    pub const MTRR: u32 = 1 << 12;
    pub const PGE: u32 = 1 << 13;
    pub const MCA: u32 = 1 << 14;
    pub const CMOV: u32 = 1 << 15;
    pub const PAT: u32 = 1 << 16;
    pub const PSE36: u32 = 1 << 17;
    pub const CLFSH: u32 = 1 << 19;
    pub const MMX: u32 = 1 << 23;
    pub const FXSR: u32 = 1 << 24;
    pub const SSE: u32 = 1 << 25;
    pub const SSE2: u32 = 1 << 26;
}

/// Bits of CPUID.01H:ECX.
mod f1c {
    pub const SSE3: u32 = 1 << 0;
    pub const PCLMULQDQ: u32 = 1 << 1;
    pub const MONITOR: u32 = 1 << 3;
    pub const SSSE3: u32 = 1 << 9;
    pub const CX16: u32 = 1 << 13;
    pub const PCID: u32 = 1 << 17;
    pub const SSE41: u32 = 1 << 19;
    pub const SSE42: u32 = 1 << 20;
    pub const MOVBE: u32 = 1 << 22;
    pub const POPCNT: u32 = 1 << 23;
    pub const AES: u32 = 1 << 25;
    pub const XSAVE: u32 = 1 << 26;
    pub const OSXSAVE: u32 = 1 << 27;
    pub const RDRAND: u32 = 1 << 30;
    pub const HYPERVISOR: u32 = 1 << 31;
}

/// Bits of CPUID.07H.0:EBX.
mod f7b {
    pub const FSGSBASE: u32 = 1 << 0;
    pub const TSC_ADJUST: u32 = 1 << 1;
    pub const SMEP: u32 = 1 << 7;
    pub const ERMS: u32 = 1 << 9;
    pub const INVPCID: u32 = 1 << 10;
    pub const RDSEED: u32 = 1 << 18;
    pub const SMAP: u32 = 1 << 20;
    pub const SHA: u32 = 1 << 29;
}

/// Bits of CPUID.07H.0:ECX.
mod f7c {
    pub const UMIP: u32 = 1 << 2;
    pub const RDPID: u32 = 1 << 22;
}

/// Bits of CPUID.80000001H:EDX that are not copies of leaf 1's.
mod e1d {
    pub const SYSCALL: u32 = 1 << 11;
    pub const NX: u32 = 1 << 20;
    pub const PDPE1GB: u32 = 1 << 26;
    pub const RDTSCP: u32 = 1 << 27;
    pub const LM: u32 = 1 << 29;
    /// What AMD repeats of leaf 1.
    pub const COPIED: u32 = 0x0183_f3ff;
}

/// CPUID.80000001H:ECX: LAHF and SAHF in 64-bit mode.
const LAHF64: u32 = 1 << 0;
/// CPUID.80000001H:ECX: PREFETCH and PREFETCHW.
const PREFETCHW: u32 = 1 << 8;
/// CPUID.0DH.1:EAX: XSAVEOPT.
const XSAVEOPT: u32 = 1 << 0;

/// The feature words of a model.
struct Words {
    f1d: u32,
    f1c: u32,
    f7b: u32,
    f7c: u32,
    e1d: u32,
    e1c: u32,
}

/// What Pentium II and later have.
const P6: u32 = f1d::FPU
    | f1d::VME
    | f1d::DE
    | f1d::PSE
    | f1d::TSC
    | f1d::MSR
    | f1d::PAE
    | f1d::MCE
    | f1d::CX8
    | f1d::APIC
    | f1d::SEP
    | f1d::MTRR
    | f1d::PGE
    | f1d::MCA
    | f1d::CMOV
    | f1d::PAT
    | f1d::PSE36
    | f1d::MMX
    | f1d::FXSR;
const X64: u32 = P6 | f1d::CLFSH | f1d::SSE | f1d::SSE2;

/// Which MSRs and modes a model has.
#[derive(Clone, Copy, Debug)]
pub struct Features {
    /// SYSENTER and its MSRs.
    pub sep: bool,
    /// MTRRs and PAT.
    pub mtrr: bool,
    /// Machine-check banks.
    pub mca: bool,
    /// IA32_EFER.
    pub efer: bool,
    /// SYSCALL and its MSRs.
    pub syscall: bool,
    /// Execute-disable.
    pub nx: bool,
    /// Long mode.
    pub long: bool,
    /// RDTSCP and IA32_TSC_AUX.
    pub rdtscp: bool,
    /// 1-GiB pages.
    pub pages_1g: bool,
    /// IA32_TSC_ADJUST.
    pub tsc_adjust: bool,
    /// IA32_SPEC_CTRL.
    pub spec_ctrl: bool,
}

impl Model {
    /// The processor signature, CPUID.01H:EAX.
    pub fn signature(self) -> u32 {
        match self {
            // AMD family 15, model 107, stepping 1.
            Model::Qemu64 | Model::Qemu32 | Model::Max => 0x0006_0fb1,
            Model::I486 => 0x480,
            Model::Pentium3 => 0x683,
            // Intel family 6, model 26, stepping 3.
            Model::Nehalem => 0x0001_06a3,
        }
    }

    /// True when the model has 64-bit mode.
    pub fn long_mode(self) -> bool {
        self.words().e1d & e1d::LM != 0
    }

    /// AMD's rules where the vendors differ.
    pub fn amd(self) -> bool {
        matches!(self, Model::Qemu64 | Model::Qemu32 | Model::Max)
    }

    fn words(self) -> Words {
        let none = Words { f1d: 0, f1c: 0, f7b: 0, f7c: 0, e1d: 0, e1c: 0 };
        match self {
            Model::I486 => Words { f1d: f1d::FPU | f1d::VME | f1d::PSE, ..none },
            Model::Pentium3 => Words { f1d: P6 | f1d::SSE, f1c: f1c::HYPERVISOR, ..none },
            Model::Qemu64 => Words {
                f1d: X64,
                f1c: f1c::SSE3 | f1c::CX16 | f1c::HYPERVISOR,
                e1d: X64 & e1d::COPIED | e1d::SYSCALL | e1d::NX | e1d::LM,
                e1c: LAHF64,
                ..none
            },
            Model::Qemu32 => {
                Words { f1d: X64, f1c: f1c::SSE3 | f1c::HYPERVISOR, e1d: X64 & e1d::COPIED | e1d::NX, ..none }
            }
            Model::Nehalem => Words {
                f1d: X64,
                f1c: f1c::SSE3
                    | f1c::SSSE3
                    | f1c::CX16
                    | f1c::SSE41
                    | f1c::SSE42
                    | f1c::POPCNT
                    | f1c::HYPERVISOR,
                e1d: e1d::SYSCALL | e1d::NX | e1d::LM,
                e1c: LAHF64,
                ..none
            },
            Model::Max => Words {
                f1d: X64,
                f1c: f1c::SSE3
                    | f1c::PCLMULQDQ
                    | f1c::MONITOR
                    | f1c::SSSE3
                    | f1c::CX16
                    | f1c::PCID
                    | f1c::SSE41
                    | f1c::SSE42
                    | f1c::MOVBE
                    | f1c::POPCNT
                    | f1c::AES
                    | f1c::XSAVE
                    | f1c::RDRAND
                    | f1c::HYPERVISOR,
                f7b: f7b::FSGSBASE
                    | f7b::TSC_ADJUST
                    | f7b::SMEP
                    | f7b::ERMS
                    | f7b::INVPCID
                    | f7b::RDSEED
                    | f7b::SMAP
                    | f7b::SHA,
                f7c: f7c::UMIP | f7c::RDPID,
                e1d: X64 & e1d::COPIED | e1d::SYSCALL | e1d::NX | e1d::PDPE1GB | e1d::RDTSCP | e1d::LM,
                e1c: LAHF64 | PREFETCHW,
            },
        }
    }

    /// Which MSRs and modes exist.
    pub fn features(self) -> Features {
        let w = self.words();
        Features {
            sep: w.f1d & f1d::SEP != 0,
            mtrr: w.f1d & f1d::MTRR != 0,
            mca: w.f1d & f1d::MCA != 0,
            efer: w.e1d != 0,
            syscall: w.e1d & e1d::SYSCALL != 0,
            nx: w.e1d & e1d::NX != 0,
            long: w.e1d & e1d::LM != 0,
            rdtscp: w.e1d & e1d::RDTSCP != 0,
            pages_1g: w.e1d & e1d::PDPE1GB != 0,
            tsc_adjust: w.f7b & f7b::TSC_ADJUST != 0,
            spec_ctrl: false,
        }
    }

    /// The bits of CR4 that can be set.
    pub fn cr4_bits(self) -> u64 {
        let w = self.words();
        [
            (w.f1d & f1d::VME, cr4::VME | cr4::PVI),
            (w.f1d & f1d::TSC, cr4::TSD),
            (w.f1d & f1d::DE, cr4::DE),
            (w.f1d & f1d::PSE, cr4::PSE),
            (w.f1d & f1d::PAE, cr4::PAE),
            (w.f1d & f1d::MCE, cr4::MCE),
            (w.f1d & f1d::PGE, cr4::PGE),
            (w.f1d & f1d::MMX, cr4::PCE),
            (w.f1d & f1d::FXSR, cr4::OSFXSR),
            (w.f1d & f1d::SSE, cr4::OSXMMEXCPT),
            (w.f7c & f7c::UMIP, cr4::UMIP),
            (w.f7b & f7b::FSGSBASE, cr4::FSGSBASE),
            (w.f1c & f1c::PCID, cr4::PCIDE),
            (w.f1c & f1c::XSAVE, cr4::OSXSAVE),
            (w.f7b & f7b::SMEP, cr4::SMEP),
            (w.f7b & f7b::SMAP, cr4::SMAP),
        ]
        .iter()
        .filter(|(there, _)| *there != 0)
        .fold(0, |bits, (_, bit)| bits | bit)
    }

    /// The bits of XCR0 that can be set: x87 and SSE.
    pub fn xcr0_bits(self) -> u64 {
        if self.words().f1c & f1c::XSAVE != 0 { 3 } else { 0 }
    }

    /// CPUID for a leaf and subleaf. Values that depend on the CPU's state (OSXSAVE, APIC id)
    /// are filled in by [`Cpu::cpuid`].
    pub fn cpuid(self, leaf: u32, subleaf: u32) -> Leaf {
        let w = self.words();
        let top = match self {
            Model::I486 => 1,
            Model::Pentium3 => 2,
            Model::Qemu64 | Model::Qemu32 => 1,
            Model::Nehalem => 0xb,
            Model::Max => 0xd,
        };
        let top_extended = 0x8000_0008;
        let hypervisor = w.f1c & f1c::HYPERVISOR != 0;
        match leaf {
            0x4000_0000 if hypervisor => text(0x4000_0000, b"DejaVMDejaVM", false),
            0x8000_0000.. if w.e1d != 0 && leaf <= top_extended => self.cpuid_extended(leaf, &w),
            _ if leaf > top => Leaf::default(),
            0 => text(top, self.vendor(), true),
            1 => Leaf::new(
                self.signature(),
                // CLFLUSH's line of 8 quadwords.
                if w.f1d & f1d::CLFSH != 0 { 8 << 8 } else { 0 },
                w.f1c,
                w.f1d,
            ),
            // Instruction TLB of 4 KiB pages, data TLB, 32 KiB L1, 512 KiB L2.
            2 if !self.amd() => Leaf::new(0x0302_0101, 0, 0, 0x0c04_0843),
            4 if !self.amd() => cache_parameters(subleaf),
            7 if subleaf == 0 => Leaf::new(0, w.f7b, w.f7c, 0),
            0xd if w.f1c & f1c::XSAVE != 0 => match subleaf {
                // x87 and SSE lie in the legacy area; the header follows it.
                0 => Leaf::new(self.xcr0_bits() as u32, 0x240, 0x240, 0),
                1 => Leaf::new(XSAVEOPT, 0, 0, 0),
                _ => Leaf::default(),
            },
            _ => Leaf::default(),
        }
    }

    fn cpuid_extended(self, leaf: u32, w: &Words) -> Leaf {
        match leaf {
            0x8000_0000 => text(0x8000_0008, if self.amd() { self.vendor() } else { &[0; 12] }, true),
            0x8000_0001 => Leaf::new(if self.amd() { self.signature() } else { 0 }, 0, w.e1c, w.e1d),
            0x8000_0002..=0x8000_0004 => {
                let mut name = [0; 48];
                let source = self.brand().as_bytes();
                name[..source.len().min(47)].copy_from_slice(&source[..source.len().min(47)]);
                let at = (leaf - 0x8000_0002) as usize * 16;
                let word = |i: usize| {
                    let b = &name[at + 4 * i..at + 4 * i + 4];
                    u32::from_le_bytes([b[0], b[1], b[2], b[3]])
                };
                Leaf::new(word(0), word(1), word(2), word(3))
            }
            // L1: 64 KiB each, two ways, lines of 64 bytes. L2: 512 KiB, 16 ways.
            0x8000_0005 if self.amd() => Leaf::new(0x01ff_01ff, 0x01ff_01ff, 0x4002_0140, 0x4002_0140),
            0x8000_0006 => Leaf::new(0, 0x4200_4200 * u32::from(self.amd()), 0x0200_8140, 0),
            // The TSC is invariant: it is the virtual clock.
            0x8000_0007 => Leaf::new(0, 0, 0, 1 << 8),
            0x8000_0008 => Leaf::new(48 << 8 | PHYS_BITS, 0, 0, 0),
            _ => Leaf::default(),
        }
    }

    fn vendor(self) -> &'static [u8; 12] {
        if self.amd() { b"AuthenticAMD" } else { b"GenuineIntel" }
    }

    fn brand(self) -> &'static str {
        match self {
            Model::Nehalem => "Intel Core i7 9xx (DejaVM Nehalem)",
            Model::Max => "DejaVM Virtual CPU max",
            _ => "DejaVM Virtual CPU",
        }
    }

    /// How iced-x86 shall decode for the model: prefixes that mean nothing to it are ignored.
    pub fn decoder_options(self) -> u32 {
        let mut options = DecoderOptions::NO_WBNOINVD;
        // REP BSF and REP BSR, which compilers emit, are not TZCNT and LZCNT here.
        options |= DecoderOptions::NO_MPFX_0FBC | DecoderOptions::NO_MPFX_0FBD;
        if self.words().e1c & LAHF64 == 0 {
            options |= DecoderOptions::NO_LAHF_SAHF_64;
        }
        options
    }

    /// True when the model has the features that an instruction needs; else it is an invalid opcode.
    pub fn supports(self, code: Code) -> bool {
        static SUPPORTED: [OnceLock<Box<[bool]>>; MODELS] = [const { OnceLock::new() }; MODELS];
        let table =
            SUPPORTED[self as usize].get_or_init(|| Code::values().map(|c| self.find_support(c)).collect());
        table[code as usize]
    }

    fn find_support(self, code: Code) -> bool {
        // Hints: encoded as NOPs that every processor has, or harmless prefetches.
        if matches!(
            code.mnemonic(),
            Mnemonic::Endbr32
                | Mnemonic::Endbr64
                | Mnemonic::Rdsspd
                | Mnemonic::Rdsspq
                | Mnemonic::Cldemote
                | Mnemonic::Pause
        ) {
            return true;
        }
        if matches!(code.mnemonic(), Mnemonic::Prefetch | Mnemonic::Prefetchw) {
            return self.features().long;
        }
        let w = self.words();
        code.cpuid_features().iter().all(|f| self.has(*f, &w))
    }

    fn has(self, feature: CpuidFeature, w: &Words) -> bool {
        use CpuidFeature as F;
        match feature {
            F::INTEL8086 | F::INTEL186 | F::INTEL286 | F::INTEL386 | F::INTEL486 => true,
            F::FPU | F::FPU287 | F::FPU387 | F::CPUID => true,
            F::X64 => w.e1d & e1d::LM != 0,
            F::PAUSE => true,
            F::TSC => w.f1d & f1d::TSC != 0,
            F::MSR => w.f1d & f1d::MSR != 0,
            F::CX8 => w.f1d & f1d::CX8 != 0,
            F::SEP => w.f1d & f1d::SEP != 0,
            F::CMOV => w.f1d & f1d::CMOV != 0,
            // Both came with the Pentium Pro.
            F::RDPMC | F::MULTIBYTENOP => w.f1d & f1d::CMOV != 0,
            F::CLFSH => w.f1d & f1d::CLFSH != 0,
            F::MMX => w.f1d & f1d::MMX != 0,
            F::FXSR => w.f1d & f1d::FXSR != 0,
            F::SSE => w.f1d & f1d::SSE != 0,
            F::SSE2 => w.f1d & f1d::SSE2 != 0,
            F::SSE3 => w.f1c & f1c::SSE3 != 0,
            F::SSSE3 => w.f1c & f1c::SSSE3 != 0,
            F::SSE4_1 => w.f1c & f1c::SSE41 != 0,
            F::SSE4_2 => w.f1c & f1c::SSE42 != 0,
            F::PCLMULQDQ => w.f1c & f1c::PCLMULQDQ != 0,
            F::MONITOR => w.f1c & f1c::MONITOR != 0,
            F::CMPXCHG16B => w.f1c & f1c::CX16 != 0,
            F::MOVBE => w.f1c & f1c::MOVBE != 0,
            F::POPCNT => w.f1c & f1c::POPCNT != 0,
            F::AES => w.f1c & f1c::AES != 0,
            F::XSAVE | F::XSAVEOPT => w.f1c & f1c::XSAVE != 0,
            F::RDRAND => w.f1c & f1c::RDRAND != 0,
            F::RDSEED => w.f7b & f7b::RDSEED != 0,
            F::FSGSBASE => w.f7b & f7b::FSGSBASE != 0,
            F::INVPCID => w.f7b & f7b::INVPCID != 0,
            F::SMAP => w.f7b & f7b::SMAP != 0,
            F::SHA => w.f7b & f7b::SHA != 0,
            F::RDPID => w.f7c & f7c::RDPID != 0,
            F::SYSCALL => w.e1d & e1d::SYSCALL != 0,
            F::RDTSCP => w.e1d & e1d::RDTSCP != 0,
            F::PREFETCHW => w.e1c & PREFETCHW != 0,
            _ => false,
        }
    }
}

/// A leaf whose EBX, EDX, ECX (or, for hypervisors, EBX, ECX, EDX) spell twelve characters.
fn text(eax: u32, s: &[u8; 12], vendor: bool) -> Leaf {
    let word = |i: usize| u32::from_le_bytes([s[i], s[i + 1], s[i + 2], s[i + 3]]);
    if vendor { Leaf::new(eax, word(0), word(8), word(4)) } else { Leaf::new(eax, word(0), word(4), word(8)) }
}

/// Intel's deterministic cache parameters: 32 KiB L1 data and instruction, 512 KiB L2.
fn cache_parameters(subleaf: u32) -> Leaf {
    let (kind, level, ways, sets) = match subleaf {
        0 => (1, 1, 8, 64),
        1 => (2, 1, 8, 64),
        2 => (3, 2, 16, 512),
        _ => return Leaf::default(),
    };
    Leaf::new(kind | level << 5 | 1 << 8, 63 | (ways - 1) << 22, sets - 1, 1)
}

impl Cpu {
    /// CPUID as the instruction shows it on the CPU of number `index`.
    pub fn cpuid(&self, leaf: u32, subleaf: u32, index: usize) -> Leaf {
        let mut l = self.model.cpuid(leaf, subleaf);
        match leaf {
            1 => {
                l.ebx |= (index as u32) << 24;
                if self.cr4 & cr4::OSXSAVE != 0 {
                    l.ecx |= f1c::OSXSAVE;
                }
                // IA32_APIC_BASE's enable bit lies in the local APIC, which is always there.
            }
            0xb if l != Leaf::default() => l.edx = index as u32,
            0xd if subleaf == 0 && l != Leaf::default() => {
                // The area for what XCR0 enables now: always the legacy part and the header.
                l.ebx = 0x240;
            }
            _ => {}
        }
        l
    }
}
