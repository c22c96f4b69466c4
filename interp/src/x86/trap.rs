//! Why an instruction did not complete.

/// Exception vectors, by their mnemonics in SDM volume 3, section 6.3.
pub mod vector {
    #![allow(missing_docs, reason = "the names are the manual's")]
    pub const DE: u8 = 0;
    pub const DB: u8 = 1;
    pub const NMI: u8 = 2;
    pub const BP: u8 = 3;
    pub const OF: u8 = 4;
    pub const BR: u8 = 5;
    pub const UD: u8 = 6;
    pub const NM: u8 = 7;
    pub const DF: u8 = 8;
    pub const TS: u8 = 10;
    pub const NP: u8 = 11;
    pub const SS: u8 = 12;
    pub const GP: u8 = 13;
    pub const PF: u8 = 14;
    pub const MF: u8 = 16;
    pub const AC: u8 = 17;
    pub const XM: u8 = 19;
}

/// An instruction's handler, or the delivery of an interrupt, ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trap {
    /// A fault: the instruction has changed nothing (of REP strings: nothing of this iteration)
    /// and RIP shall be saved as that of the instruction.
    Fault {
        /// The vector, see [`vector`].
        vector: u8,
        /// The error code, for the vectors that push one.
        code: Option<u16>,
    },
    /// The processor enters shutdown (triple fault).
    Shutdown,
    /// The instruction is not implemented; the run stops and names it.
    Unimplemented,
}

impl Trap {
    /// #UD, invalid opcode.
    pub const UD: Trap = Trap::Fault { vector: vector::UD, code: None };
    /// #NM, device not available.
    pub const NM: Trap = Trap::Fault { vector: vector::NM, code: None };
    /// #DE, divide error.
    pub const DE: Trap = Trap::Fault { vector: vector::DE, code: None };
    /// #BR, bound range exceeded.
    pub const BR: Trap = Trap::Fault { vector: vector::BR, code: None };
    /// #MF, x87 floating-point error.
    pub const MF: Trap = Trap::Fault { vector: vector::MF, code: None };
    /// #XM, SIMD floating-point exception.
    pub const XM: Trap = Trap::Fault { vector: vector::XM, code: None };
    /// #AC(0), alignment check.
    pub const AC: Trap = Trap::Fault { vector: vector::AC, code: Some(0) };
    /// #GP(0), general protection.
    pub const GP: Trap = Trap::gp(0);
    /// #SS(0), stack fault.
    pub const SS: Trap = Trap::Fault { vector: vector::SS, code: Some(0) };

    /// #GP with a selector's error code.
    pub const fn gp(code: u16) -> Trap {
        Trap::Fault { vector: vector::GP, code: Some(code) }
    }

    /// #SS with a selector's error code.
    pub const fn ss(code: u16) -> Trap {
        Trap::Fault { vector: vector::SS, code: Some(code) }
    }

    /// #NP with a selector's error code.
    pub const fn np(code: u16) -> Trap {
        Trap::Fault { vector: vector::NP, code: Some(code) }
    }

    /// #TS with a selector's error code.
    pub const fn ts(code: u16) -> Trap {
        Trap::Fault { vector: vector::TS, code: Some(code) }
    }

    /// #PF with its error code. CR2 is set by the MMU.
    pub const fn pf(code: u16) -> Trap {
        Trap::Fault { vector: vector::PF, code: Some(code) }
    }
}
