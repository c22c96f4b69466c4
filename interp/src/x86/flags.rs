//! The status flags, kept lazily.
//!
//! An arithmetic instruction leaves its sign-extended result and the vector of carries out of
//! each bit position; the flags are computed when somebody reads them. Two words can also hold
//! any combination of the six flags, so that setting one alone stays possible. The formulas
//! stand here once, for both engines.

/// Bits of RFLAGS (SDM volume 1, section 3.4.3).
pub mod bit {
    #![allow(missing_docs, reason = "the names are the manual's")]
    pub const CF: u64 = 1 << 0;
    pub const ONE: u64 = 1 << 1;
    pub const PF: u64 = 1 << 2;
    pub const AF: u64 = 1 << 4;
    pub const ZF: u64 = 1 << 6;
    pub const SF: u64 = 1 << 7;
    pub const TF: u64 = 1 << 8;
    pub const IF: u64 = 1 << 9;
    pub const DF: u64 = 1 << 10;
    pub const OF: u64 = 1 << 11;
    pub const IOPL: u64 = 3 << 12;
    pub const NT: u64 = 1 << 14;
    pub const RF: u64 = 1 << 16;
    pub const VM: u64 = 1 << 17;
    pub const AC: u64 = 1 << 18;
    pub const VIF: u64 = 1 << 19;
    pub const VIP: u64 = 1 << 20;
    pub const ID: u64 = 1 << 21;
    /// The six status flags.
    pub const STATUS: u64 = CF | PF | AF | ZF | SF | OF;
}

/// CF, PF, AF, ZF, SF and OF.
#[derive(Clone, Copy, Debug, Default)]
pub struct Flags {
    /// Sign-extended result: ZF when zero, PF from its low byte (xor `aux` bits 15:8), SF its
    /// bit 63 (xor `aux` bit 0).
    result: u64,
    /// Bit 63: CF. Bit 62: CF xor OF. Bit 3: AF. Bits 15:8 and 0: see `result`.
    aux: u64,
}

const AUX_CF: u64 = 1 << 63;
const AUX_PO: u64 = 1 << 62;
const AUX_AF: u64 = 1 << 3;
const AUX_SFD: u64 = 1;

impl Flags {
    /// After an addition or subtraction of `bits` bits: `result` is sign-extended, `carries` has
    /// the carry (borrow) out of each bit position.
    #[inline(always)]
    pub fn set_arith(&mut self, result: u64, carries: u64, bits: u32) {
        self.result = result;
        self.aux = (carries << (64 - bits)) & (AUX_CF | AUX_PO) | carries & AUX_AF;
        // CF and the carry into the sign bit differ on overflow: bit 62 = CF xor OF already.
    }

    /// After a logical operation: CF, OF and AF are cleared. `result` is sign-extended.
    #[inline(always)]
    pub fn set_logic(&mut self, result: u64) {
        self.result = result;
        self.aux = 0;
    }

    /// Replaces ZF, SF, PF by those of the sign-extended `result`, keeps CF, OF and AF.
    #[inline(always)]
    pub fn set_szp(&mut self, result: u64) {
        self.result = result;
        self.aux &= AUX_CF | AUX_PO | AUX_AF;
    }

    /// The carry flag.
    #[inline(always)]
    pub fn cf(&self) -> bool {
        self.aux & AUX_CF != 0
    }

    /// The overflow flag.
    #[inline(always)]
    pub fn of(&self) -> bool {
        (self.aux ^ (self.aux << 1)) & AUX_CF != 0
    }

    /// The auxiliary carry flag.
    #[inline(always)]
    pub fn af(&self) -> bool {
        self.aux & AUX_AF != 0
    }

    /// The zero flag.
    #[inline(always)]
    pub fn zf(&self) -> bool {
        self.result == 0
    }

    /// The sign flag.
    #[inline(always)]
    pub fn sf(&self) -> bool {
        (self.result >> 63) ^ (self.aux & AUX_SFD) != 0
    }

    /// The parity flag: the low byte has an even number of bits set.
    #[inline(always)]
    pub fn pf(&self) -> bool {
        (self.result as u8 ^ (self.aux >> 8) as u8).count_ones().is_multiple_of(2)
    }

    /// Sets CF, keeps the others.
    #[inline(always)]
    pub fn set_cf(&mut self, cf: bool) {
        let of = self.of();
        self.set_cf_of(cf, of);
    }

    /// Sets CF and OF, keeps the others.
    #[inline(always)]
    pub fn set_cf_of(&mut self, cf: bool, of: bool) {
        self.aux &= !(AUX_CF | AUX_PO);
        self.aux |= u64::from(cf) << 63 | u64::from(cf ^ of) << 62;
    }

    /// Sets OF, keeps the others.
    #[inline(always)]
    pub fn set_of(&mut self, of: bool) {
        let cf = self.cf();
        self.set_cf_of(cf, of);
    }

    /// Sets AF, keeps the others.
    #[inline(always)]
    pub fn set_af(&mut self, af: bool) {
        self.aux = self.aux & !AUX_AF | u64::from(af) << 3;
    }

    /// Sets ZF, keeps the others.
    pub fn set_zf(&mut self, zf: bool) {
        let b = self.bits() & !bit::ZF;
        self.set_bits(b | if zf { bit::ZF } else { 0 });
    }

    /// The six flags at their places in RFLAGS.
    pub fn bits(&self) -> u64 {
        u64::from(self.cf()) * bit::CF
            | u64::from(self.pf()) * bit::PF
            | u64::from(self.af()) * bit::AF
            | u64::from(self.zf()) * bit::ZF
            | u64::from(self.sf()) * bit::SF
            | u64::from(self.of()) * bit::OF
    }

    /// Sets the six flags from their places in RFLAGS.
    pub fn set_bits(&mut self, b: u64) {
        let (zf, sf, pf) = (b & bit::ZF != 0, b & bit::SF != 0, b & bit::PF != 0);
        // ZF wants result 0 or not; SF and PF are then corrected by the deltas.
        self.result = u64::from(!zf);
        let even = zf;
        self.aux = u64::from(sf) * AUX_SFD | u64::from(pf != even) << 8;
        self.set_cf_of(b & bit::CF != 0, b & bit::OF != 0);
        self.set_af(b & bit::AF != 0);
    }

    /// Condition `cc` of Jcc, SETcc and CMOVcc, by its number in the opcode's low four bits
    /// (SDM volume 1, appendix B).
    #[inline(always)]
    pub fn condition(&self, cc: u8) -> bool {
        let value = match cc >> 1 {
            0 => self.of(),
            1 => self.cf(),
            2 => self.zf(),
            3 => self.cf() || self.zf(),
            4 => self.sf(),
            5 => self.pf(),
            6 => self.sf() != self.of(),
            _ => self.zf() || self.sf() != self.of(),
        };
        value != (cc & 1 != 0)
    }
}

// Saved as their architectural bits: the lazy form depends on what was executed last and must
// not show in a digest.
impl serde::Serialize for Flags {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.bits().serialize(s)
    }
}

impl<'de> serde::Deserialize<'de> for Flags {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let mut f = Self::default();
        f.set_bits(u64::deserialize(d)?);
        Ok(f)
    }
}

impl PartialEq for Flags {
    fn eq(&self, other: &Self) -> bool {
        self.bits() == other.bits()
    }
}

impl Eq for Flags {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_survives() {
        for combination in 0..64u64 {
            let b = (0..6)
                .filter(|i| combination >> i & 1 != 0)
                .fold(0, |b, i| b | [bit::CF, bit::PF, bit::AF, bit::ZF, bit::SF, bit::OF][i]);
            let mut f = Flags::default();
            f.set_bits(b);
            assert_eq!(f.bits(), b);
        }
    }

    #[test]
    fn additions_and_subtractions_of_bytes() {
        for a in 0..=255u8 {
            for b in 0..=255u8 {
                let mut f = Flags::default();
                let (sum, carry) = a.overflowing_add(b);
                let carries = u64::from((a & b) | ((a | b) & !sum));
                f.set_arith(sum as i8 as u64, carries, 8);
                assert_eq!(f.cf(), carry);
                assert_eq!(f.of(), (a as i8).checked_add(b as i8).is_none());
                assert_eq!(f.af(), (a & 15) + (b & 15) > 15);
                assert_eq!((f.zf(), f.sf()), (sum == 0, sum >= 128));
                let (diff, borrow) = a.overflowing_sub(b);
                let borrows = u64::from((!a & b) | ((!a | b) & diff));
                f.set_arith(diff as i8 as u64, borrows, 8);
                assert_eq!(f.cf(), borrow);
                assert_eq!(f.of(), (a as i8).checked_sub(b as i8).is_none());
                assert_eq!(f.af(), a & 15 < b & 15);
                assert_eq!((f.zf(), f.sf()), (diff == 0, diff >= 128));
            }
        }
    }
}
