//! Where the guest's registers live while compiled code runs, and the memory beside them.
//!
//! Ten of the sixteen general registers are pinned in host registers over all compiled code; the
//! others, and everything else, lie in [`Ctx`], which RBP points into. R15 counts the budget down.
//! RAX, RCX and RDX are scratch, dead between two guest instructions.

use super::x87::Image;
use super::{MODES, Mode};
pub use crate::host;
use dejavm_interp::mem::Hit;
use dejavm_interp::x86::interpreter::Ran;
use std::mem::{offset_of, size_of};

/// The pinned registers: guest number, host number.
pub const PINNED: [(u8, u8); 10] = [
    (0, host::R10),
    (1, host::R11),
    (2, host::R13),
    (3, host::RBX),
    (4, host::R14),
    (5, host::R12),
    (6, host::RSI),
    (7, host::RDI),
    (8, host::R8),
    (9, host::R9),
];

/// The host register of a guest register, if it is pinned.
pub fn pinned(guest: u8) -> Option<u8> {
    PINNED.iter().find(|p| p.0 == guest).map(|p| p.1)
}

/// A translation, ready for use.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Recent {
    /// Linear address of the page.
    pub page: u64,
    /// What to add to a linear address.
    pub delta: u64,
}

impl Recent {
    /// None: compiled code compares with the page and the lowest four bits of an address, no others.
    pub const NONE: Self = Self { page: 0x800, delta: 0 };
}

/// What addresses are counted from: sixteen registers, constants, FS, GS, and one to spare.
pub const RECENT_BASES: usize = 20;
/// Places shared by what lies elsewhere, a power of two.
pub const RECENT_FAR: usize = 256;

/// Translations of one privilege level: for reading and for writing, those of bases, then the others.
const RECENT_LEVEL: usize = 2 * (RECENT_BASES + RECENT_FAR);
/// Translations that are forgotten together.
const RECENT_GROUP: usize = 16;

/// Translations used last: those of levels 0 to 2, then those of level 3.
#[repr(transparent)]
pub struct Recents([Recent; 2 * RECENT_LEVEL]);

impl Default for Recents {
    fn default() -> Self {
        Self([Recent::NONE; 2 * RECENT_LEVEL])
    }
}

/// Translations whose groups' bytes are one word of [`Ctx::recent_used`].
const RECENT_WORD: usize = 8 * RECENT_GROUP;

/// Which groups of translations were used since they were forgotten: a byte for each, in memory's order.
#[repr(transparent)]
#[derive(Default)]
pub struct RecentUsed([u64; (2 * RECENT_LEVEL).div_ceil(RECENT_WORD)]);

/// Binary logarithm of a group's bytes.
pub const RECENT_GROUP_SHIFT: i8 = (RECENT_GROUP * size_of::<Recent>()).trailing_zeros() as i8;

/// What the last change to a privilege level meant for translations.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Pair {
    /// The TLB's space before.
    pub here: u64,
    /// The one after.
    pub there: u64,
    /// Its number.
    pub index: u64,
    /// The TLB's count of changes, after which it may be another one.
    pub changes: u64,
    /// So it may be with another CR4.
    pub cr4: u64,
}

#[allow(missing_docs, reason = "offsets of the fields of these names")]
impl Pair {
    pub const HERE: i32 = offset_of!(Self, here) as i32;
    pub const THERE: i32 = offset_of!(Self, there) as i32;
    pub const INDEX: i32 = offset_of!(Self, index) as i32;
    pub const CHANGES: i32 = offset_of!(Self, changes) as i32;
    pub const CR4: i32 = offset_of!(Self, cr4) as i32;
}

/// What compiled code works on besides registers. RBP points [`BIAS`] bytes into it.
#[repr(C)]
#[derive(Default)]
pub struct Ctx {
    /// General registers; of the pinned ones only outside of compiled code.
    pub regs: [u64; 16],
    /// The status flags, see [`super::flags`].
    pub flags: u64,
    /// The current space of the TLB.
    pub tlb: u64,
    /// The host mapping of guest memory.
    pub memory: u64,
    /// Base of FS.
    pub fs_base: u64,
    /// Base of GS.
    pub gs_base: u64,
    /// FS and GS are writable data segments without a limit below 4 GiB (32-bit code asks).
    pub plain: [bool; 2],
    /// The TLB's stamp, see [`crate::links`].
    pub stamp: u64,
    /// Where the stack of returns is full, see [`super::returns`].
    pub limit: u64,
    /// Where it begins.
    pub stack: u64,
    /// The cache of indirect branches' targets.
    pub jumps: u64,
    /// An operand that flags can be made again from, see [`super::lazy`].
    pub kept: u64,
    /// A value kept over an access to memory.
    pub temp: u64,
    /// What R15 was when compiled code was left.
    pub budget: u64,
    /// The function that runs one instruction in the interpreter.
    pub run_op: u64,
    /// The one that runs an instruction which changes the privilege level.
    pub level: u64,
    /// The function that fills the TLB.
    pub fill: u64,
    /// Target of a branch that left compiled code.
    pub rip: u64,
    /// The [`dejavm_interp::x86::Exec`] of the run.
    pub exec: u64,
    /// The table of [`super::block::OpInfo`]s.
    pub infos: u64,
    /// The guest's XMM registers, in the CPU.
    pub vectors: u64,
    /// MXCSR of the guest, unless it is loaded.
    pub mxcsr: u32,
    /// MXCSR of the host.
    pub host_mxcsr: u32,
    /// Where XMM registers and MXCSR are, see [`super::sse`].
    pub fp: u8,
    /// Where the x87 stack is, see [`super::x87`].
    pub x87: u8,
    /// The last x87 instruction that was run since [`super::x87::save`], by number.
    pub note: u32,
    /// The last one with an operand in memory.
    pub note_memory: u32,
    /// That operand's offset in its segment.
    pub operand: u64,
    /// The guest's x87 state, in the CPU.
    pub x87_state: u64,
    /// The [`dejavm_interp::x86::Cpu`] of the run.
    pub cpu: u64,
    /// The other CPUs' [`dejavm_interp::tlb::Tlb`]s, and their number.
    pub tlbs: u64,
    /// See `tlbs`.
    pub tlb_count: usize,
    /// Stores into page tables, while they are dealt with.
    pub hits: Vec<Hit>,
    /// The boundary where the budget ends.
    pub end: u64,
    /// The clock's.
    pub warp: u64,
    /// The clock's.
    pub shift: u8,
    /// There is no other CPU.
    pub alone: bool,
    /// Some probe is active.
    pub probed: bool,
    /// The mode that the code is compiled for.
    pub mode: Mode,
    /// Of each mode the cache of indirect branches' targets.
    pub targets: [u64; MODES],
    /// Set by `run_op` when it ends the stay in compiled code.
    pub result: Option<Ran>,
    /// Instructions that compiled code handed to the interpreter.
    pub handed: u64,
    /// Those of them that are compiled, and met a case that is not: a miss of the TLB mostly.
    pub missed: u64,
    /// Blocks run, and accesses to memory in them, where [`super::block::Source::count`] is set.
    pub counted: [u64; 2],
    /// Translations used last, see [`super::mem`], of privilege level 3 apart from the others'.
    pub recent: Recents,
    /// Those that compiled code filled in.
    pub recent_used: RecentUsed,
    /// What they hold for: the TLB's stamp and count of drops, and the place of guest memory.
    pub recent_for: [[u64; 3]; 2],
    /// The run's [`dejavm_interp::tlb::Tlb`].
    pub tlb_state: u64,
    /// Where the stack of returns is full if it is in use, see `limit`.
    pub lowest: u64,
    /// Of changes to level 0, and to level 3.
    pub pairs: [Pair; 2],
    /// The x87 state on its way into the host and out of it.
    pub image: Image,
    /// By kind of access: calls of `fill` that did not fill anything, more than twice as many as those that did, see
    /// [`VAIN`].
    pub vain: [u8; 3],
}

/// After so many calls of [`Ctx::fill`] in vain the guest does little but faults: as many go to the interpreter at
/// once, which walks through the page tables itself.
pub const VAIN: u8 = 16;

impl Ctx {
    /// Code of this mode is about to run.
    pub fn set_mode(&mut self, mode: Mode) {
        self.mode = mode;
        self.jumps = self.targets[mode.index()];
    }

    /// Forgets the translations used last unless they hold for this number of permissions dropped, and for the stamp
    /// and the place of memory that are here.
    pub fn check_recent(&mut self, write_drops: u64) {
        let set = usize::from(self.mode.user);
        let now = [self.stamp, write_drops, self.memory];
        // One by one: the host waits for stores before it loads several of them at once.
        if self.recent_for[set].iter().zip(now).any(|(then, now)| *then != now) {
            self.recent_for[set] = now;
            let level = set * RECENT_LEVEL..(set + 1) * RECENT_LEVEL;
            // What the other level has a part in is forgotten there too.
            let words = level.start / RECENT_WORD..level.end.div_ceil(RECENT_WORD);
            for word in words {
                let mut used = std::mem::take(&mut self.recent_used.0[word]).to_le();
                while used != 0 {
                    let group = used.trailing_zeros() as usize / 8;
                    used &= !(0xff << (8 * group));
                    let start = word * RECENT_WORD + group * RECENT_GROUP;
                    let end = self.recent.0.len().min(start + RECENT_GROUP);
                    self.recent.0[start..end].fill(Recent::NONE);
                }
            }
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
    FS_BASE: fs_base,
    GS_BASE: gs_base,
    PLAIN: plain,
    STAMP: stamp,
    JUMPS: jumps,
    KEPT: kept,
    TEMP: temp,
    BUDGET: budget,
    RUN_OP: run_op,
    LEVEL: level,
    FILL: fill,
    RIP: rip,
    VECTORS: vectors,
    MXCSR: mxcsr,
    HOST_MXCSR: host_mxcsr,
    FP: fp,
    X87: x87,
    RECENT: recent,
    RECENT_FOR: recent_for,
    RECENT_USED: recent_used,
    TLB_STATE: tlb_state,
    PAIRS: pairs,
    MODE: mode,
    STACK: stack,
    LIMIT: limit,
    TARGETS: targets,
    NOTE: note,
    NOTE_MEMORY: note_memory,
    OPERAND: operand,
    X87_STATE: x87_state,
    IMAGE: image,
    COUNTED: counted,
    CPU: cpu,
    PROBED: probed,
    END: end,
    WARP: warp,
    SHIFT: shift,
    ALONE: alone,
}

/// Offset of a guest register's place in [`Ctx`] from RBP.
pub fn slot(guest: u8) -> i32 {
    i32::from(guest) * 8 - BIAS
}
