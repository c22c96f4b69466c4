//! Where the guest's registers live while compiled code runs, and the memory beside them.
//!
//! Ten of the general registers are pinned in host registers over all compiled code; the others, and
//! everything else, lie in [`Ctx`], which RBP points into, and in the CPU. R15 counts the budget down.
//! RAX, RCX and RDX are scratch, dead between two guest instructions.

pub use crate::host;
use dejavm_interp::aarch64::A64;
use dejavm_interp::guest::Ran;
use std::mem::offset_of;

/// The zero register.
pub const ZERO: u8 = 31;
/// The stack pointer in use.
pub const SP: u8 = 32;
/// General registers with their places in [`Ctx`].
pub const SLOTS: usize = 33;

/// The pinned registers: guest number, host number.
pub const PINNED: [(u8, u8); 10] = [
    (0, host::R10),
    (1, host::R11),
    (2, host::R13),
    (3, host::RBX),
    (4, host::RSI),
    (5, host::RDI),
    (6, host::R12),
    (19, host::R8),
    (20, host::R9),
    (SP, host::R14),
];

/// The host register of a guest register, if it is pinned.
pub fn pinned(guest: u8) -> Option<u8> {
    PINNED.iter().find(|p| p.0 == guest).map(|p| p.1)
}

/// A translation, ready for use.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Recent {
    /// Address of the page in the guest.
    pub page: u64,
    /// What to add to an address in it.
    pub delta: u64,
}

/// Translations by level (EL0, EL1), access (reading, writing) and base register.
pub type Recents = [[[Recent; SLOTS]; 2]; 2];

/// No translation: compiled code compares with the page and the lowest four bits of an address, no others.
pub const NO_RECENT: Recent = Recent { page: 0x800, delta: 0 };

/// What compiled code works on besides registers. RBP points [`BIAS`] bytes into it.
#[repr(C, align(16))]
pub struct Ctx {
    /// NZCV, see [`super::flags`].
    pub flags: u64,
    /// The current space of the TLB.
    pub tlb: u64,
    /// The host mapping of guest memory.
    pub memory: u64,
    /// The CPU.
    pub cpu: u64,
    /// Twice the bits of the smallest normal double, in each lane.
    pub smallest_doubles: [u64; 2],
    /// Twice the bits of the smallest normal single, in each lane.
    pub smallest_singles: [u64; 2],
    /// General registers, zero, SP; of the pinned ones only outside of compiled code.
    pub regs: [u64; SLOTS],
    /// The current mode's table of indirect branches' targets.
    pub jumps: u64,
    /// The TLB's stamp, see [`crate::links`].
    pub stamp: u64,
    /// EL0's space of the TLB, for accesses with its rights.
    pub user_tlb: u64,
    /// The space and the TLB's changes that this was found for.
    pub user_for: (u64, u64),
    /// What R15 was when compiled code was left.
    pub budget: u64,
    /// The function that runs one instruction in the interpreter.
    pub run_op: u64,
    /// Target of a branch that left compiled code.
    pub pc: u64,
    /// The [`dejavm_interp::aarch64::Exec`] of the run.
    pub exec: u64,
    /// The table of [`super::block::OpInfo`]s.
    pub infos: u64,
    /// The tables of targets, by mode.
    pub targets: [u64; super::MODES],
    /// The guest's rounding and flags, as MXCSR has them.
    pub mxcsr: u32,
    /// MXCSR of the host.
    pub host_mxcsr: u32,
    /// What SIMD and floating-point instructions may do, see [`super::simd`].
    pub fp: u8,
    /// The mode that the code is compiled for.
    pub mode: u8,
    /// The pages that base registers pointed to last.
    pub recent: Recents,
    /// What those of each level were found through: the space's stamp, the TLB's dropped permissions, and where memory
    /// lies.
    pub recent_for: [(u64, u64, u64); 2],
    /// Set by `run_op` when it ends the stay in compiled code.
    pub result: Option<Ran<A64>>,
    /// Instructions that compiled code handed to the interpreter.
    pub handed: u64,
}

impl Default for Ctx {
    fn default() -> Self {
        Self {
            flags: 0,
            tlb: 0,
            memory: 0,
            cpu: 0,
            regs: [0; SLOTS],
            jumps: 0,
            stamp: 0,
            user_tlb: 0,
            user_for: (0, 0),
            recent: [[[NO_RECENT; SLOTS]; 2]; 2],
            recent_for: [(0, 0, 0); 2],
            budget: 0,
            run_op: 0,
            pc: 0,
            exec: 0,
            infos: 0,
            targets: [0; super::MODES],
            mxcsr: 0,
            host_mxcsr: 0,
            smallest_doubles: [1 << 53; 2],
            smallest_singles: [0x0100_0000_0100_0000; 2],
            fp: 0,
            mode: 0,
            result: None,
            handed: 0,
        }
    }
}

/// What RBP is beyond the start of [`Ctx`]: the most used fields are reached with short offsets.
pub const BIAS: i32 = 128;

macro_rules! field {
    ($($name:ident: $field:ident,)*) => { $(
        #[doc = concat!("Offset of `", stringify!($field), "` from RBP.")]
        pub const $name: i32 = offset_of!(Ctx, $field) as i32 - BIAS;
    )* };
}
field! {
    FLAGS: flags,
    TLB: tlb,
    MEMORY: memory,
    CPU: cpu,
    REGS: regs,
    JUMPS: jumps,
    STAMP: stamp,
    USER_TLB: user_tlb,
    RECENT: recent,
    BUDGET: budget,
    RUN_OP: run_op,
    PC: pc,
    MXCSR: mxcsr,
    HOST_MXCSR: host_mxcsr,
    FP: fp,
    SMALLEST_DOUBLES: smallest_doubles,
    SMALLEST_SINGLES: smallest_singles,
}

const _: () = assert!(SMALLEST_DOUBLES % 16 == 0 && SMALLEST_SINGLES % 16 == 0);

/// Offset of a guest register's place in [`Ctx`] from RBP.
pub fn slot(guest: u8) -> i32 {
    i32::from(guest) * 8 + REGS
}
