//! The guest's status flags in compiled code.
//!
//! Between instructions they are in the host's EFLAGS, or saved in [`super::regs::Ctx::flags`], or
//! both. The saved form is what LAHF and SETO give: bits 15:8 are SF, ZF, AF, PF and CF at
//! LAHF's places, bit 0 is OF. The host leaves AF undefined after logical operations and shifts,
//! where the guest has it cleared or set: bits 1 and 2 say so in place of bit 12.

use super::emit::{Asm, Rm, store};
use super::lazy::Recipe;
use super::regs;
use super::regs::host::{RAX, RBP};
use super::system::RFLAGS;
use dejavm_interp::x86::flags::bit;
use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};

/// Bits of a set of flags.
pub mod flag {
    #![allow(missing_docs, reason = "the names are the manual's")]
    pub const CF: u8 = 1;
    pub const PF: u8 = 2;
    pub const AF: u8 = 4;
    pub const ZF: u8 = 8;
    pub const SF: u8 = 16;
    pub const OF: u8 = 32;
    pub const ALL: u8 = 63;
}
use flag::{AF, ALL, CF, OF, PF, SF, ZF};

/// AF is clear, whatever bit 12 says.
pub const AF_CLEAR: u64 = 2;
/// AF is set, whatever bit 12 says.
pub const AF_SET: u64 = 4;

/// The saved form of the status flags at their places in RFLAGS.
pub fn save(bits: u64) -> u64 {
    (bits & 0xd5) << 8 | bits >> 11 & 1
}

/// The status flags at their places in RFLAGS, of their saved form.
pub fn restore(saved: u64) -> u64 {
    let bits = saved >> 8 & 0xd5 | (saved & 1) << 11;
    if saved & AF_CLEAR != 0 {
        bits & !bit::AF
    } else if saved & AF_SET != 0 {
        bits | bit::AF
    } else {
        bits
    }
}

/// What the host's AF and OF are worth after an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// All flags are the guest's.
    Arith,
    /// AF is cleared in the guest; OF is clear.
    Logic,
    /// AF is set in the guest.
    Shift,
}

/// Where the guest's flags are.
#[derive(Clone, Copy, Debug)]
pub struct State {
    /// The flags that EFLAGS holds (AF: as `kind` says).
    pub host: u8,
    /// How to read them.
    pub kind: Kind,
    /// All flags are saved.
    pub saved: bool,
    /// How they can be made again, if they can.
    pub again: Option<Recipe>,
}

impl State {
    /// Saved and nowhere else, as at the start of a block.
    pub fn saved() -> Self {
        Self { host: 0, kind: Kind::Arith, saved: true, again: None }
    }

    /// Saves the flags, unless they are. EFLAGS stays as it is. RAX is clobbered, and RCX where the flags
    /// have to be made again.
    pub fn save(&mut self, asm: &mut Asm) {
        if self.saved {
            return;
        }
        self.remake(asm);
        dynasm!(asm ; .arch x64 ; lahf);
        match self.kind {
            Kind::Arith => dynasm!(asm ; .arch x64 ; seto al),
            Kind::Logic => dynasm!(asm ; .arch x64 ; mov al, AF_CLEAR as i8),
            Kind::Shift => {
                dynasm!(asm ; .arch x64 ; seto al ; lea eax, [rax + AF_SET as i32]);
            }
        }
        store(asm, 2, Rm::Mem(RBP, regs::FLAGS), RAX);
        self.saved = true;
    }

    /// Makes the flags again in EFLAGS if they are neither saved nor all there.
    fn remake(&mut self, asm: &mut Asm) {
        if self.host != ALL
            && !self.saved
            && let Some(recipe) = self.again
        {
            recipe.make(asm);
            (self.host, self.kind) = (ALL, recipe.kind());
        }
    }

    /// EFLAGS is about to be overwritten; `live` are the flags still needed.
    pub fn clobber(&mut self, asm: &mut Asm, live: u8) {
        if live != 0 {
            self.save(asm);
        }
        self.host = 0;
    }

    /// An instruction wrote `written` into EFLAGS.
    pub fn wrote(&mut self, written: u8, kind: Kind) {
        *self = Self { host: written, kind, saved: false, again: None };
    }

    /// Emits code that saves flags that `recipe` makes again. RAX and RCX are clobbered.
    pub fn make(asm: &mut Asm, recipe: Recipe) {
        Self { again: Some(recipe), saved: false, ..Self::saved() }.save(asm);
    }

    /// EAX = RFLAGS as PUSHF stores it, of saved flags. RCX = the CPU. Clobbers EFLAGS.
    pub fn whole(asm: &mut Asm) {
        let (not_clear, not_set) = (asm.new_dynamic_label(), asm.new_dynamic_label());
        dynasm!(asm
            ; .arch x64
            ; movzx ecx, WORD [rbp + regs::FLAGS]
            ; mov eax, ecx
            ; shr eax, 8
            ; and eax, 0xd5
            ; test cl, AF_CLEAR as i8
            ; jz =>not_clear
            ; and eax, !(bit::AF as i32)
            ; =>not_clear
            ; test cl, AF_SET as i8
            ; jz =>not_set
            ; or eax, bit::AF as i32
            ; =>not_set
            ; and ecx, 1
            ; shl ecx, 11
            ; or eax, ecx
            ; mov rcx, [rbp + regs::CPU]
            ; or eax, [rcx + RFLAGS]
            ; and eax, !((bit::RF | bit::VM) as i32)
        );
    }

    /// Saves the status flags that EAX holds at their places in RFLAGS. Clobbers RAX, RDX and EFLAGS.
    pub fn set(asm: &mut Asm) {
        dynasm!(asm
            ; .arch x64
            ; mov edx, eax
            ; and edx, 0xd5
            ; shl edx, 8
            ; shr eax, 11
            ; and eax, 1
            ; or edx, eax
            ; mov [rbp + regs::FLAGS], dx
        );
    }

    /// Brings the saved flags back into EFLAGS. RAX is clobbered.
    pub fn bring_back(asm: &mut Asm) {
        dynasm!(asm
            ; .arch x64
            ; movzx eax, WORD [rbp + regs::FLAGS]
            ; shl al, 7
            ; add al, al
            ; sahf
        );
    }

    /// Makes EFLAGS such that the condition returned tells whether guest condition `cc` holds.
    /// RAX and RCX are clobbered.
    pub fn condition(&mut self, asm: &mut Asm, cc: u8) -> u8 {
        let needs = reads(cc);
        if needs & !self.host != 0 {
            self.remake(asm);
        }
        if needs & !self.host == 0 {
            return cc;
        }
        let mask = match cc >> 1 {
            1 => bit::CF,
            2 => bit::ZF,
            3 => bit::CF | bit::ZF,
            4 => bit::SF,
            5 => bit::PF,
            0 => {
                dynasm!(asm ; .arch x64 ; test BYTE [rbp + regs::FLAGS], 1);
                self.host = 0;
                return 5 ^ (cc & 1);
            }
            _ => {
                Self::bring_back(asm);
                self.host = ALL & !AF;
                return cc;
            }
        };
        dynasm!(asm ; .arch x64 ; test BYTE [rbp + regs::FLAGS + 1], mask as i8);
        self.host = 0;
        5 ^ (cc & 1)
    }

    /// Makes the host's CF the guest's.
    pub fn carry(&mut self, asm: &mut Asm) {
        if self.host & CF == 0 {
            self.remake(asm);
        }
        if self.host & CF == 0 {
            dynasm!(asm ; .arch x64 ; bt WORD [rbp + regs::FLAGS], 8);
            self.host = 0;
        }
    }

    /// After an operation that set CF in EFLAGS and keeps the guest's other flags, which are saved.
    pub fn wrote_carry(&mut self, asm: &mut Asm, live: u8) {
        if live & !CF == 0 {
            self.wrote(CF, Kind::Arith);
            return;
        }
        dynasm!(asm
            ; .arch x64
            ; setc al
            ; and BYTE [rbp + regs::FLAGS + 1], -2
            ; or [rbp + regs::FLAGS + 1], al
        );
        *self = Self::saved();
    }

    /// After an operation that set CF and OF in EFLAGS and keeps the guest's other flags, which are
    /// saved.
    pub fn wrote_carry_overflow(&mut self, asm: &mut Asm, live: u8) {
        if live & !(CF | OF) == 0 {
            self.wrote(CF | OF, Kind::Arith);
            return;
        }
        dynasm!(asm
            ; .arch x64
            ; setc al
            ; seto cl
            ; and BYTE [rbp + regs::FLAGS + 1], -2
            ; or [rbp + regs::FLAGS + 1], al
            ; and BYTE [rbp + regs::FLAGS], -2
            ; or [rbp + regs::FLAGS], cl
        );
        *self = Self::saved();
    }
}

/// The flags that condition `cc` reads.
pub fn reads(cc: u8) -> u8 {
    match cc >> 1 {
        0 => OF,
        1 => CF,
        2 => ZF,
        3 => CF | ZF,
        4 => SF,
        5 => PF,
        6 => SF | OF,
        _ => ZF | SF | OF,
    }
}
