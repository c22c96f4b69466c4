//! CPU models: what CPUID says and which instructions exist.

use serde::{Deserialize, Serialize};

/// A CPU model by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Model {
    /// `qemu64`-like, the default.
    Qemu64,
    /// `486`-like, for old kernels.
    I486,
    /// `pentium3`-like, for old kernels.
    Pentium3,
    /// `Nehalem`-like: to SSE4.2.
    Nehalem,
    /// Everything that is implemented.
    Max,
}

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

impl Model {
    /// The processor signature, CPUID.01H:EAX.
    pub fn signature(self) -> u32 {
        self.cpuid(1, 0).eax
    }
}

impl Model {
    /// CPUID for a leaf and subleaf. Values that depend on the CPU's state (OSXSAVE, APIC id)
    /// are filled in by the instruction.
    pub fn cpuid(self, leaf: u32, _subleaf: u32) -> Leaf {
        match leaf {
            1 => Leaf { eax: 0x0006_0f00, ..Leaf::default() },
            _ => Leaf::default(),
        }
    }

    /// True when the model has the features that `ins` needs; else it is an invalid opcode.
    pub fn supports(self, _ins: &iced_x86::Instruction) -> bool {
        true
    }
}
