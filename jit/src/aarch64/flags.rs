//! NZCV in compiled code.
//!
//! Between instructions they are in the host's EFLAGS, or saved in [`super::regs::Ctx::flags`], or both.
//! N, Z and V are SF, ZF and OF. The host's CF is a borrow after subtractions and comparisons, where the
//! guest's C is its complement, and equal to C after additions and logical operations: [`Kind`] tells. The
//! saved form is what LAHF and SETO give with CF as a borrow: bits 15:8 are SF, ZF and CF at LAHF's places,
//! bit 0 is OF. So the host's conditions hold for it as they do after a comparison.

use super::emit::Asm;
use super::regs;
use dejavm_interp::aarch64::regs::psr;
use dynasmrt::{DynasmApi, dynasm};

const SF: u64 = 0x80;
const ZF: u64 = 0x40;
const CF: u64 = 0x01;

/// The saved form of NZCV at their places in SPSR.
pub fn save(nzcv: u64) -> u64 {
    let bit = |mask: u64, to: u64| if nzcv & mask != 0 { to } else { 0 };
    (bit(psr::N, SF) | bit(psr::Z, ZF) | (CF ^ bit(psr::C, CF))) << 8 | bit(psr::V, 1)
}

/// NZCV at their places in SPSR, of the saved form.
pub fn restore(saved: u64) -> u64 {
    let bit = |mask: u64, to: u64| if saved & mask != 0 { to } else { 0 };
    bit(SF << 8, psr::N) | bit(ZF << 8, psr::Z) | (psr::C ^ bit(CF << 8, psr::C)) | bit(1, psr::V)
}

/// What the host's CF is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The complement of C.
    Borrow,
    /// C.
    Carry,
    /// The complement of C, and N: so floating-point comparisons have it. SF counts for nothing.
    Float,
}

/// Where NZCV are.
#[derive(Clone, Copy, Debug)]
pub struct State {
    /// In EFLAGS.
    pub host: bool,
    /// How to read CF there.
    pub kind: Kind,
    /// Saved.
    pub saved: bool,
}

impl State {
    /// Saved and nowhere else, as at the start of a block.
    pub fn saved() -> Self {
        Self { host: false, kind: Kind::Borrow, saved: true }
    }

    /// Makes the host's CF a borrow.
    fn borrow(&mut self, asm: &mut Asm) {
        if self.kind == Kind::Carry {
            dynasm!(asm ; .arch x64 ; cmc);
            self.kind = Kind::Borrow;
        }
    }

    /// Saves the flags, unless they are. EFLAGS stays but for what [`Kind`] names. RAX is clobbered.
    pub fn save(&mut self, asm: &mut Asm) {
        if self.saved {
            return;
        }
        self.borrow(asm);
        if self.kind == Kind::Float {
            // OF is clear, and stays so.
            dynasm!(asm
                ; .arch x64
                ; lahf
                ; mov al, ah
                ; shl al, 7
                ; or ah, al
                ; sahf
                ; mov al, 0
                ; mov [rbp + regs::FLAGS], ax
            );
            self.kind = Kind::Borrow;
        } else {
            dynasm!(asm ; .arch x64 ; lahf ; seto al ; mov [rbp + regs::FLAGS], ax);
        }
        self.saved = true;
    }

    /// EFLAGS is about to be overwritten; `live` tells that NZCV are still needed. RAX is clobbered.
    pub fn clobber(&mut self, asm: &mut Asm, live: bool) {
        if live {
            self.save(asm);
        }
        self.host = false;
    }

    /// An instruction wrote EFLAGS as the guest's flags.
    pub fn wrote(&mut self, kind: Kind) {
        *self = Self { host: true, kind, saved: false };
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

    /// Makes EFLAGS such that the host's condition returned tells whether the guest's condition `cond` (not
    /// AL) holds. RAX is clobbered.
    pub fn condition(&mut self, asm: &mut Asm, cond: u8) -> u8 {
        let inverse = cond & 1;
        if self.host {
            if self.kind == Kind::Carry {
                if cond >> 1 == 1 {
                    return 2 ^ inverse;
                }
                if cond >> 1 == 4 {
                    self.borrow(asm);
                }
            }
            let table = if self.kind == Kind::Float { &FLOAT } else { &HOST };
            return table[usize::from(cond >> 1 & 7)] ^ inverse;
        }
        let (offset, mask, holds) = match cond >> 1 {
            0 => (1, ZF, 5),
            1 => (1, CF, 4),
            2 => (1, SF, 5),
            3 => (0, 1, 5),
            4 => (1, CF | ZF, 4),
            _ => {
                Self::bring_back(asm);
                self.host = true;
                self.kind = Kind::Borrow;
                return HOST[usize::from(cond >> 1 & 7)] ^ inverse;
            }
        };
        dynasm!(asm ; .arch x64 ; test BYTE [rbp + regs::FLAGS + offset], mask as i8);
        holds ^ inverse
    }

    /// Makes the host's CF the guest's C, or its complement. Other flags are lost.
    pub fn carry(&mut self, asm: &mut Asm, kind: Kind) {
        if !self.host {
            dynasm!(asm ; .arch x64 ; bt WORD [rbp + regs::FLAGS], 8);
            self.kind = Kind::Borrow;
        }
        if (self.kind == Kind::Carry) != (kind == Kind::Carry) {
            dynasm!(asm ; .arch x64 ; cmc);
        }
        self.host = false;
    }
}

/// The host's conditions for EQ, CS, MI, VS, HI, GE, GT after a comparison.
const HOST: [u8; 8] = [4, 3, 8, 0, 7, 13, 15, 15];
/// The same after one of floating-point numbers.
const FLOAT: [u8; 8] = [4, 3, 2, 0, 7, 3, 7, 7];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn saved_and_restored() {
        for n in 0..16 {
            assert_eq!(restore(save(n << 28)), n << 28);
        }
    }
}
