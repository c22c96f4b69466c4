//! What goes into a case and what comes out of it.

use std::fmt;

/// The mode in which a case's code segment makes the CPU run. All are modes of a CPU that is in
/// long mode, because that is what a 64-bit host offers to its programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mode {
    /// Compatibility mode, 16-bit code segment with a base.
    Bits16,
    /// Compatibility mode, flat 32-bit code segment.
    Bits32,
    /// 64-bit mode.
    Bits64,
}

impl Mode {
    /// All modes.
    pub const ALL: [Mode; 3] = [Mode::Bits16, Mode::Bits32, Mode::Bits64];

    /// 16, 32 or 64.
    pub fn bits(self) -> u32 {
        match self {
            Mode::Bits16 => 16,
            Mode::Bits32 => 32,
            Mode::Bits64 => 64,
        }
    }
}

/// Indices of [`State::seg`], in the order of the segment registers' encodings.
pub mod seg {
    #![allow(missing_docs, reason = "the names are the manual's")]
    pub const ES: usize = 0;
    pub const CS: usize = 1;
    pub const SS: usize = 2;
    pub const DS: usize = 3;
    pub const FS: usize = 4;
    pub const GS: usize = 5;
}

/// Registers that a user-level program can see. General registers are in the order of their
/// encodings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8 to R15.
    pub gpr: [u64; 16],
    /// The instruction pointer: an offset in the code segment.
    pub rip: u64,
    /// RFLAGS.
    pub rflags: u64,
    /// Selectors, indexed by [`seg`].
    pub seg: [u16; 6],
    /// FS.base and GS.base. Inputs in 64-bit mode; elsewhere they follow from the selectors.
    pub fs_gs_base: [u64; 2],
    /// x87 control word.
    pub fcw: u16,
    /// x87 status word.
    pub fsw: u16,
    /// x87 tags in FXSAVE's form: bit n set when physical register n is not empty.
    pub ftw: u8,
    /// x87 opcode of the last instruction.
    pub fop: u16,
    /// x87 pointers to the last instruction and operand.
    pub fip_fdp: [u64; 2],
    /// ST(0) to ST(7), 80 bits each.
    pub st: [u128; 8],
    /// SSE control and status.
    pub mxcsr: u32,
    /// XMM0 to XMM15.
    pub xmm: [u128; 16],
}

impl Default for State {
    fn default() -> Self {
        State {
            gpr: [0; 16],
            rip: 0,
            rflags: 0x202,
            seg: [0; 6],
            fs_gs_base: [0; 2],
            fcw: 0x37f,
            fsw: 0,
            ftw: 0,
            fop: 0,
            fip_fdp: [0; 2],
            st: [0; 8],
            mxcsr: 0x1f80,
            xmm: [0; 16],
        }
    }
}

/// Bytes to be put into the windows before the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch {
    /// Linear address.
    pub addr: u64,
    /// The bytes; those outside of the writable windows are dropped.
    pub bytes: Vec<u8>,
}

/// One test: code, registers and memory.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its number under its seed.
    pub number: u64,
    /// The mode.
    pub mode: Mode,
    /// The code; everything around it in the code window is HLT.
    pub code: Vec<u8>,
    /// Linear address of the code's first byte.
    pub code_addr: u64,
    /// Length of the instructions before the one that is tested.
    pub lead: usize,
    /// Registers before.
    pub state: State,
    /// Memory before, on top of [`crate::layout::background`].
    pub patches: Vec<Patch>,
}

/// How a run ended. A case without a fault of its own ends at a HLT, which is #GP(0) at
/// privilege level 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// An exception was delivered.
    Exception {
        /// Its vector.
        vector: u8,
        /// Its error code, 0 if it has none.
        error: u32,
        /// CR2 after a page fault, else 0.
        cr2: u64,
    },
    /// No exception for a long time.
    Timeout,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Exception { vector: 14, error, cr2 } => write!(f, "#PF({error:#x}) at {cr2:#x}"),
            End::Exception { vector, error, .. } => {
                const NAMES: [&str; 20] = [
                    "DE", "DB", "NMI", "BP", "OF", "BR", "UD", "NM", "DF", "9", "TS", "NP", "SS", "GP", "PF",
                    "15", "MF", "AC", "MC", "XM",
                ];
                let name = NAMES.get(usize::from(*vector)).unwrap_or(&"?");
                write!(f, "#{name}({error:#x})")
            }
            End::Timeout => f.write_str("timeout"),
        }
    }
}

/// Everything observable after a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How it ended.
    pub end: End,
    /// Registers, as the exception's handler finds them.
    pub state: State,
    /// The writable windows, in the order of [`crate::layout::WINDOWS`].
    pub mem: Vec<u8>,
}

impl Default for Outcome {
    fn default() -> Self {
        Outcome { end: End::Timeout, state: State::default(), mem: vec![0; crate::layout::MEM_LEN] }
    }
}

/// Why a subject could not say how a case ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It names what it does not implement.
    Unimplemented(String),
    /// It stopped in a way that no program can make a CPU stop.
    Stuck(String),
}

/// Something that runs cases.
pub trait Subject {
    /// What it is, for reports.
    fn name(&self) -> String;
    /// Runs `case` and fills in `out`, whose contents are left over from an earlier case.
    fn run(&mut self, case: &Case, out: &mut Outcome) -> Result<(), Failure>;
}
