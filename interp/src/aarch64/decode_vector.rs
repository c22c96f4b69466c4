//! Rows of the decoder: moves, one vector, half precision (Advanced SIMD).

use super::decode::Need::{DotProd, Fp16, Rdm};
use super::decode::{Row, plain, row, row_if};
use super::decode_shape::{copy, float, half, scalar, size, size_q, ty, vector};
use super::fp_convert::{fcvtl, fcvtn};
use super::op::{Handler, bits};
use super::simd_misc::*;
use super::simd_same::*;
use super::simd_shift::*;
use super::simd_wide::*;
use super::{fp_convert, fp_ops as ops, simd_float, simd_move, simd_same};
use crate::softfloat::{F16, F32, F64};

/// Across lanes: of 32 bits only the whole register.
macro_rules! across {
    ($h:expr) => {
        |w| match (bits(w, 23, 22), bits(w, 30, 30)) {
            (0, _) => {
                type T = u8;
                Some(($h as Handler, 0))
            }
            (1, _) => {
                type T = u16;
                Some(($h as Handler, 0))
            }
            (2, 1) => {
                type T = u32;
                Some(($h as Handler, 0))
            }
            _ => None,
        }
    };
}

/// The rows, in the manual's order, one a line.
#[rustfmt::skip]
pub(super) static ROWS: &[Row] = &[
    // Advanced SIMD table lookup
    row("TBL", "0-00 1110 000- ---- 0--0 00-- ---- ----", |w| Some((simd_move::table::<false>, u64::from(bits(w, 14, 13)) + 1))),
    row("TBX", "0-00 1110 000- ---- 0--1 00-- ---- ----", |w| Some((simd_move::table::<true>, u64::from(bits(w, 14, 13)) + 1))),
    // Advanced SIMD permute
    row("UZP1", "0-00 1110 --0- ---- 0001 10-- ---- ----", vector!(B H S D => simd_move::uzp::<T, false>)),
    row("TRN1", "0-00 1110 --0- ---- 0010 10-- ---- ----", vector!(B H S D => simd_move::trn::<T, false>)),
    row("ZIP1", "0-00 1110 --0- ---- 0011 10-- ---- ----", vector!(B H S D => simd_move::zip::<T, false>)),
    row("UZP2", "0-00 1110 --0- ---- 0101 10-- ---- ----", vector!(B H S D => simd_move::uzp::<T, true>)),
    row("TRN2", "0-00 1110 --0- ---- 0110 10-- ---- ----", vector!(B H S D => simd_move::trn::<T, true>)),
    row("ZIP2", "0-00 1110 --0- ---- 0111 10-- ---- ----", vector!(B H S D => simd_move::zip::<T, true>)),
    // Advanced SIMD extract
    row("EXT", "0-10 1110 000- ---- 0--- -0-- ---- ----", |w| {
        let imm4 = bits(w, 14, 11);
        (w >> 30 & 1 != 0 || imm4 < 8).then_some((simd_move::ext, imm4.into()))
    }),
    // Advanced SIMD copy
    row("DUP (element, vector)", "0-00 1110 000- ---- 0000 01-- ---- ----", copy!(|w| bits(w, 19, 16) != 8 || w >> 30 & 1 != 0; B H S D => simd_move::dup_element::<T>)),
    row("DUP (general)", "0-00 1110 000- ---- 0000 11-- ---- ----", copy!(|w| bits(w, 19, 16) != 8 || w >> 30 & 1 != 0; B H S D => simd_move::dup_general::<T>)),
    row("SMOV", "0-00 1110 000- ---- 0010 11-- ---- ----", copy!(|w| bits(w, 17, 16) != 0 || w >> 30 & 1 != 0; B H S => simd_move::smov::<T>)),
    row("UMOV", "0-00 1110 000- ---- 0011 11-- ---- ----", copy!(|w| (bits(w, 18, 16) != 0) != (w >> 30 & 1 != 0); B H S D => simd_move::umov::<T>)),
    row("INS (general)", "0100 1110 000- ---- 0001 11-- ---- ----", copy!(B H S D => simd_move::ins_general::<T>)),
    row("INS (element)", "0110 1110 000- ---- 0--- -1-- ---- ----", copy!(B H S D => simd_move::ins_element::<T>)),
    // Advanced SIMD three same (FP16)
    row_if(Fp16, "FMAXNM (vector, half)", "0-00 1110 010- ---- 0000 01-- ---- ----", half!(simd_float::three::<ops::FMaxNm, F>)),
    row_if(Fp16, "FMLA (vector, half)", "0-00 1110 010- ---- 0000 11-- ---- ----", half!(simd_float::three::<ops::FMla, F>)),
    row_if(Fp16, "FADD (vector, half)", "0-00 1110 010- ---- 0001 01-- ---- ----", half!(simd_float::three::<ops::FAdd, F>)),
    row_if(Fp16, "FMULX (half)", "0-00 1110 010- ---- 0001 11-- ---- ----", half!(simd_float::three::<ops::FMulX, F>)),
    row_if(Fp16, "FCMEQ (register, half)", "0-00 1110 010- ---- 0010 01-- ---- ----", half!(simd_float::three::<ops::FCmEq, F>)),
    row_if(Fp16, "FMAX (vector, half)", "0-00 1110 010- ---- 0011 01-- ---- ----", half!(simd_float::three::<ops::FMax, F>)),
    row_if(Fp16, "FRECPS (half)", "0-00 1110 010- ---- 0011 11-- ---- ----", half!(simd_float::three::<ops::FRecps, F>)),
    row_if(Fp16, "FMINNM (vector, half)", "0-00 1110 110- ---- 0000 01-- ---- ----", half!(simd_float::three::<ops::FMinNm, F>)),
    row_if(Fp16, "FMLS (vector, half)", "0-00 1110 110- ---- 0000 11-- ---- ----", half!(simd_float::three::<ops::FMls, F>)),
    row_if(Fp16, "FSUB (vector, half)", "0-00 1110 110- ---- 0001 01-- ---- ----", half!(simd_float::three::<ops::FSub, F>)),
    row_if(Fp16, "FMIN (vector, half)", "0-00 1110 110- ---- 0011 01-- ---- ----", half!(simd_float::three::<ops::FMin, F>)),
    row_if(Fp16, "FRSQRTS (half)", "0-00 1110 110- ---- 0011 11-- ---- ----", half!(simd_float::three::<ops::FRsqrts, F>)),
    row_if(Fp16, "FMAXNMP (vector, half)", "0-10 1110 010- ---- 0000 01-- ---- ----", half!(simd_float::pairs::<ops::FMaxNm, F>)),
    row_if(Fp16, "FADDP (vector, half)", "0-10 1110 010- ---- 0001 01-- ---- ----", half!(simd_float::pairs::<ops::FAdd, F>)),
    row_if(Fp16, "FMUL (vector, half)", "0-10 1110 010- ---- 0001 11-- ---- ----", half!(simd_float::three::<ops::FMul, F>)),
    row_if(Fp16, "FCMGE (register, half)", "0-10 1110 010- ---- 0010 01-- ---- ----", half!(simd_float::three::<ops::FCmGe, F>)),
    row_if(Fp16, "FACGE (half)", "0-10 1110 010- ---- 0010 11-- ---- ----", half!(simd_float::three::<ops::FAcGe, F>)),
    row_if(Fp16, "FMAXP (vector, half)", "0-10 1110 010- ---- 0011 01-- ---- ----", half!(simd_float::pairs::<ops::FMax, F>)),
    row_if(Fp16, "FDIV (vector, half)", "0-10 1110 010- ---- 0011 11-- ---- ----", half!(simd_float::three::<ops::FDiv, F>)),
    row_if(Fp16, "FMINNMP (vector, half)", "0-10 1110 110- ---- 0000 01-- ---- ----", half!(simd_float::pairs::<ops::FMinNm, F>)),
    row_if(Fp16, "FABD (half)", "0-10 1110 110- ---- 0001 01-- ---- ----", half!(simd_float::three::<ops::FAbd, F>)),
    row_if(Fp16, "FCMGT (register, half)", "0-10 1110 110- ---- 0010 01-- ---- ----", half!(simd_float::three::<ops::FCmGt, F>)),
    row_if(Fp16, "FACGT (half)", "0-10 1110 110- ---- 0010 11-- ---- ----", half!(simd_float::three::<ops::FAcGt, F>)),
    row_if(Fp16, "FMINP (vector, half)", "0-10 1110 110- ---- 0011 01-- ---- ----", half!(simd_float::pairs::<ops::FMin, F>)),
    // Advanced SIMD two-register miscellaneous (FP16)
    row_if(Fp16, "FRINTN (vector, half)", "0-00 1110 0111 1001 1000 10-- ---- ----", half!(simd_float::two::<ops::FRintN, F>)),
    row_if(Fp16, "FRINTM (vector, half)", "0-00 1110 0111 1001 1001 10-- ---- ----", half!(simd_float::two::<ops::FRintM, F>)),
    row_if(Fp16, "FCVTNS (vector, half)", "0-00 1110 0111 1001 1010 10-- ---- ----", half!(simd_float::two::<ops::FCvtNs, F>)),
    row_if(Fp16, "FCVTMS (vector, half)", "0-00 1110 0111 1001 1011 10-- ---- ----", half!(simd_float::two::<ops::FCvtMs, F>)),
    row_if(Fp16, "FCVTAS (vector, half)", "0-00 1110 0111 1001 1100 10-- ---- ----", half!(simd_float::two::<ops::FCvtAs, F>)),
    row_if(Fp16, "SCVTF (vector, integer, half)", "0-00 1110 0111 1001 1101 10-- ---- ----", half!(simd_float::two::<ops::SCvtF, F>)),
    row_if(Fp16, "FCMGT (zero, half)", "0-00 1110 1111 1000 1100 10-- ---- ----", half!(simd_float::two::<ops::FCmGtZ, F>)),
    row_if(Fp16, "FCMEQ (zero, half)", "0-00 1110 1111 1000 1101 10-- ---- ----", half!(simd_float::two::<ops::FCmEqZ, F>)),
    row_if(Fp16, "FCMLT (zero, half)", "0-00 1110 1111 1000 1110 10-- ---- ----", half!(simd_float::two::<ops::FCmLtZ, F>)),
    row_if(Fp16, "FABS (vector, half)", "0-00 1110 1111 1000 1111 10-- ---- ----", half!(simd_float::two::<ops::FAbs, F>)),
    row_if(Fp16, "FRINTP (vector, half)", "0-00 1110 1111 1001 1000 10-- ---- ----", half!(simd_float::two::<ops::FRintP, F>)),
    row_if(Fp16, "FRINTZ (vector, half)", "0-00 1110 1111 1001 1001 10-- ---- ----", half!(simd_float::two::<ops::FRintZ, F>)),
    row_if(Fp16, "FCVTPS (vector, half)", "0-00 1110 1111 1001 1010 10-- ---- ----", half!(simd_float::two::<ops::FCvtPs, F>)),
    row_if(Fp16, "FCVTZS (vector, integer, half)", "0-00 1110 1111 1001 1011 10-- ---- ----", half!(simd_float::two::<ops::FCvtZs, F>)),
    row_if(Fp16, "FRECPE (half)", "0-00 1110 1111 1001 1101 10-- ---- ----", half!(simd_float::two::<ops::FRecpe, F>)),
    row_if(Fp16, "FRINTA (vector, half)", "0-10 1110 0111 1001 1000 10-- ---- ----", half!(simd_float::two::<ops::FRintA, F>)),
    row_if(Fp16, "FRINTX (vector, half)", "0-10 1110 0111 1001 1001 10-- ---- ----", half!(simd_float::two::<ops::FRintX, F>)),
    row_if(Fp16, "FCVTNU (vector, half)", "0-10 1110 0111 1001 1010 10-- ---- ----", half!(simd_float::two::<ops::FCvtNu, F>)),
    row_if(Fp16, "FCVTMU (vector, half)", "0-10 1110 0111 1001 1011 10-- ---- ----", half!(simd_float::two::<ops::FCvtMu, F>)),
    row_if(Fp16, "FCVTAU (vector, half)", "0-10 1110 0111 1001 1100 10-- ---- ----", half!(simd_float::two::<ops::FCvtAu, F>)),
    row_if(Fp16, "UCVTF (vector, integer, half)", "0-10 1110 0111 1001 1101 10-- ---- ----", half!(simd_float::two::<ops::UCvtF, F>)),
    row_if(Fp16, "FCMGE (zero, half)", "0-10 1110 1111 1000 1100 10-- ---- ----", half!(simd_float::two::<ops::FCmGeZ, F>)),
    row_if(Fp16, "FCMLE (zero, half)", "0-10 1110 1111 1000 1101 10-- ---- ----", half!(simd_float::two::<ops::FCmLeZ, F>)),
    row_if(Fp16, "FNEG (vector, half)", "0-10 1110 1111 1000 1111 10-- ---- ----", half!(simd_float::two::<ops::FNeg, F>)),
    row_if(Fp16, "FRINTI (vector, half)", "0-10 1110 1111 1001 1001 10-- ---- ----", half!(simd_float::two::<ops::FRintI, F>)),
    row_if(Fp16, "FCVTPU (vector, half)", "0-10 1110 1111 1001 1010 10-- ---- ----", half!(simd_float::two::<ops::FCvtPu, F>)),
    row_if(Fp16, "FCVTZU (vector, integer, half)", "0-10 1110 1111 1001 1011 10-- ---- ----", half!(simd_float::two::<ops::FCvtZu, F>)),
    row_if(Fp16, "FRSQRTE (half)", "0-10 1110 1111 1001 1101 10-- ---- ----", half!(simd_float::two::<ops::FRsqrte, F>)),
    row_if(Fp16, "FSQRT (vector, half)", "0-10 1110 1111 1001 1111 10-- ---- ----", half!(simd_float::two::<ops::FSqrt, F>)),
    // Advanced SIMD three-register extension
    row_if(DotProd, "SDOT (vector)", "0-00 1110 100- ---- 1001 01-- ---- ----", plain!(simd_same::dot_product::<true>)),
    row_if(Rdm, "SQRDMLAH (vector)", "0-10 1110 --0- ---- 1000 01-- ---- ----", vector!(H S => three::<Sqrdmlah, T>)),
    row_if(Rdm, "SQRDMLSH (vector)", "0-10 1110 --0- ---- 1000 11-- ---- ----", vector!(H S => three::<Sqrdmlsh, T>)),
    row_if(DotProd, "UDOT (vector)", "0-10 1110 100- ---- 1001 01-- ---- ----", plain!(simd_same::dot_product::<false>)),
    // Advanced SIMD two-register miscellaneous
    row("REV64", "0-00 1110 --10 0000 0000 10-- ---- ----", scalar!(B H S => rev::<u64, T>)),
    row("REV16 (vector)", "0-00 1110 --10 0000 0001 10-- ---- ----", scalar!(B => rev::<u16, T>)),
    row("SADDLP", "0-00 1110 --10 0000 0010 10-- ---- ----", scalar!(B H S => add_long_pairs::<T, true, false>)),
    row("SUQADD (vector)", "0-00 1110 --10 0000 0011 10-- ---- ----", vector!(B H S D => accumulate::<Suqadd, T>)),
    row("CLS (vector)", "0-00 1110 --10 0000 0100 10-- ---- ----", vector!(B H S => two::<Cls, T>)),
    row("CNT", "0-00 1110 --10 0000 0101 10-- ---- ----", vector!(B => two::<Cnt, T>)),
    row("SADALP", "0-00 1110 --10 0000 0110 10-- ---- ----", scalar!(B H S => add_long_pairs::<T, true, true>)),
    row("SQABS (vector)", "0-00 1110 --10 0000 0111 10-- ---- ----", vector!(B H S D => two::<Sqabs, T>)),
    row("CMGT (zero)", "0-00 1110 --10 0000 1000 10-- ---- ----", vector!(B H S D => two::<CmGtZ, T>)),
    row("CMEQ (zero)", "0-00 1110 --10 0000 1001 10-- ---- ----", vector!(B H S D => two::<CmEqZ, T>)),
    row("CMLT (zero)", "0-00 1110 --10 0000 1010 10-- ---- ----", vector!(B H S D => two::<CmLtZ, T>)),
    row("ABS (vector)", "0-00 1110 --10 0000 1011 10-- ---- ----", vector!(B H S D => two::<Abs, T>)),
    row("XTN, XTN2", "0-00 1110 --10 0001 0010 10-- ---- ----", scalar!(B H S => narrow::<Shrn, T>)),
    row("SQXTN, SQXTN2", "0-00 1110 --10 0001 0100 10-- ---- ----", scalar!(B H S => narrow::<Sqshrn, T>)),
    row("FCVTN, FCVTN2", "0-00 1110 0-10 0001 0110 10-- ---- ----", |w| {
        let double = bits(w, 22, 22) != 0;
        Some((if double { fcvtn::<F64, F32> as Handler } else { fcvtn::<F32, F16> }, 0))
    }),
    row("FCVTL, FCVTL2", "0-00 1110 0-10 0001 0111 10-- ---- ----", |w| {
        let double = bits(w, 22, 22) != 0;
        Some((if double { fcvtl::<F32, F64> as Handler } else { fcvtl::<F16, F32> }, 0))
    }),
    row("FRINTN (vector)", "0-00 1110 0-10 0001 1000 10-- ---- ----", float!(simd_float::two::<ops::FRintN, F>)),
    row("FRINTM (vector)", "0-00 1110 0-10 0001 1001 10-- ---- ----", float!(simd_float::two::<ops::FRintM, F>)),
    row("FCVTNS (vector)", "0-00 1110 0-10 0001 1010 10-- ---- ----", float!(simd_float::two::<ops::FCvtNs, F>)),
    row("FCVTMS (vector)", "0-00 1110 0-10 0001 1011 10-- ---- ----", float!(simd_float::two::<ops::FCvtMs, F>)),
    row("FCVTAS (vector)", "0-00 1110 0-10 0001 1100 10-- ---- ----", float!(simd_float::two::<ops::FCvtAs, F>)),
    row("SCVTF (vector, integer)", "0-00 1110 0-10 0001 1101 10-- ---- ----", float!(simd_float::two::<ops::SCvtF, F>)),
    row("FCMGT (zero)", "0-00 1110 1-10 0000 1100 10-- ---- ----", float!(simd_float::two::<ops::FCmGtZ, F>)),
    row("FCMEQ (zero)", "0-00 1110 1-10 0000 1101 10-- ---- ----", float!(simd_float::two::<ops::FCmEqZ, F>)),
    row("FCMLT (zero)", "0-00 1110 1-10 0000 1110 10-- ---- ----", float!(simd_float::two::<ops::FCmLtZ, F>)),
    row("FABS (vector)", "0-00 1110 1-10 0000 1111 10-- ---- ----", float!(simd_float::two::<ops::FAbs, F>)),
    row("FRINTP (vector)", "0-00 1110 1-10 0001 1000 10-- ---- ----", float!(simd_float::two::<ops::FRintP, F>)),
    row("FRINTZ (vector)", "0-00 1110 1-10 0001 1001 10-- ---- ----", float!(simd_float::two::<ops::FRintZ, F>)),
    row("FCVTPS (vector)", "0-00 1110 1-10 0001 1010 10-- ---- ----", float!(simd_float::two::<ops::FCvtPs, F>)),
    row("FCVTZS (vector, integer)", "0-00 1110 1-10 0001 1011 10-- ---- ----", float!(simd_float::two::<ops::FCvtZs, F>)),
    row("URECPE", "0-00 1110 1010 0001 1100 10-- ---- ----", vector!(S => two::<Urecpe, T>)),
    row("FRECPE", "0-00 1110 1-10 0001 1101 10-- ---- ----", float!(simd_float::two::<ops::FRecpe, F>)),
    row("REV32 (vector)", "0-10 1110 --10 0000 0000 10-- ---- ----", scalar!(B H => rev::<u32, T>)),
    row("UADDLP", "0-10 1110 --10 0000 0010 10-- ---- ----", scalar!(B H S => add_long_pairs::<T, false, false>)),
    row("USQADD (vector)", "0-10 1110 --10 0000 0011 10-- ---- ----", vector!(B H S D => accumulate::<Usqadd, T>)),
    row("CLZ (vector)", "0-10 1110 --10 0000 0100 10-- ---- ----", vector!(B H S => two::<Clz, T>)),
    row("UADALP", "0-10 1110 --10 0000 0110 10-- ---- ----", scalar!(B H S => add_long_pairs::<T, false, true>)),
    row("SQNEG (vector)", "0-10 1110 --10 0000 0111 10-- ---- ----", vector!(B H S D => two::<Sqneg, T>)),
    row("CMGE (zero)", "0-10 1110 --10 0000 1000 10-- ---- ----", vector!(B H S D => two::<CmGeZ, T>)),
    row("CMLE (zero)", "0-10 1110 --10 0000 1001 10-- ---- ----", vector!(B H S D => two::<CmLeZ, T>)),
    row("NEG (vector)", "0-10 1110 --10 0000 1011 10-- ---- ----", vector!(B H S D => two::<Neg, T>)),
    row("SQXTUN, SQXTUN2", "0-10 1110 --10 0001 0010 10-- ---- ----", scalar!(B H S => narrow::<Sqshrun, T>)),
    row("SHLL, SHLL2", "0-10 1110 --10 0001 0011 10-- ---- ----", scalar!(B H S => shll::<T>)),
    row("UQXTN, UQXTN2", "0-10 1110 --10 0001 0100 10-- ---- ----", scalar!(B H S => narrow::<Uqshrn, T>)),
    row("FCVTXN, FCVTXN2", "0-10 1110 0110 0001 0110 10-- ---- ----", plain!(fp_convert::fcvtxn)),
    row("FRINTA (vector)", "0-10 1110 0-10 0001 1000 10-- ---- ----", float!(simd_float::two::<ops::FRintA, F>)),
    row("FRINTX (vector)", "0-10 1110 0-10 0001 1001 10-- ---- ----", float!(simd_float::two::<ops::FRintX, F>)),
    row("FCVTNU (vector)", "0-10 1110 0-10 0001 1010 10-- ---- ----", float!(simd_float::two::<ops::FCvtNu, F>)),
    row("FCVTMU (vector)", "0-10 1110 0-10 0001 1011 10-- ---- ----", float!(simd_float::two::<ops::FCvtMu, F>)),
    row("FCVTAU (vector)", "0-10 1110 0-10 0001 1100 10-- ---- ----", float!(simd_float::two::<ops::FCvtAu, F>)),
    row("UCVTF (vector, integer)", "0-10 1110 0-10 0001 1101 10-- ---- ----", float!(simd_float::two::<ops::UCvtF, F>)),
    row("NOT", "0-10 1110 0010 0000 0101 10-- ---- ----", plain!(two::<Not, u8>)),
    row("RBIT (vector)", "0-10 1110 0110 0000 0101 10-- ---- ----", plain!(two::<Rbit, u8>)),
    row("FCMGE (zero)", "0-10 1110 1-10 0000 1100 10-- ---- ----", float!(simd_float::two::<ops::FCmGeZ, F>)),
    row("FCMLE (zero)", "0-10 1110 1-10 0000 1101 10-- ---- ----", float!(simd_float::two::<ops::FCmLeZ, F>)),
    row("FNEG (vector)", "0-10 1110 1-10 0000 1111 10-- ---- ----", float!(simd_float::two::<ops::FNeg, F>)),
    row("FRINTI (vector)", "0-10 1110 1-10 0001 1001 10-- ---- ----", float!(simd_float::two::<ops::FRintI, F>)),
    row("FCVTPU (vector)", "0-10 1110 1-10 0001 1010 10-- ---- ----", float!(simd_float::two::<ops::FCvtPu, F>)),
    row("FCVTZU (vector, integer)", "0-10 1110 1-10 0001 1011 10-- ---- ----", float!(simd_float::two::<ops::FCvtZu, F>)),
    row("URSQRTE", "0-10 1110 1010 0001 1100 10-- ---- ----", vector!(S => two::<Ursqrte, T>)),
    row("FRSQRTE", "0-10 1110 1-10 0001 1101 10-- ---- ----", float!(simd_float::two::<ops::FRsqrte, F>)),
    row("FSQRT (vector)", "0-10 1110 1-10 0001 1111 10-- ---- ----", float!(simd_float::two::<ops::FSqrt, F>)),
    // Advanced SIMD across lanes
    row("SADDLV", "0-00 1110 --11 0000 0011 10-- ---- ----", across!(add_long_across::<T, true>)),
    row("SMAXV", "0-00 1110 --11 0000 1010 10-- ---- ----", across!(across::<Smax, T>)),
    row("SMINV", "0-00 1110 --11 0001 1010 10-- ---- ----", across!(across::<Smin, T>)),
    row("ADDV", "0-00 1110 --11 0001 1011 10-- ---- ----", across!(across::<Add, T>)),
    row_if(Fp16, "FMAXNMV (half)", "0-00 1110 0011 0000 1100 10-- ---- ----", half!(simd_float::across::<ops::FMaxNm, F>)),
    row_if(Fp16, "FMAXV (half)", "0-00 1110 0011 0000 1111 10-- ---- ----", half!(simd_float::across::<ops::FMax, F>)),
    row_if(Fp16, "FMINNMV (half)", "0-00 1110 1011 0000 1100 10-- ---- ----", half!(simd_float::across::<ops::FMinNm, F>)),
    row_if(Fp16, "FMINV (half)", "0-00 1110 1011 0000 1111 10-- ---- ----", half!(simd_float::across::<ops::FMin, F>)),
    row("UADDLV", "0-10 1110 --11 0000 0011 10-- ---- ----", across!(add_long_across::<T, false>)),
    row("UMAXV", "0-10 1110 --11 0000 1010 10-- ---- ----", across!(across::<Umax, T>)),
    row("UMINV", "0-10 1110 --11 0001 1010 10-- ---- ----", across!(across::<Umin, T>)),
    row("FMAXNMV", "0110 1110 0011 0000 1100 10-- ---- ----", plain!(simd_float::across::<ops::FMaxNm, F32>)),
    row("FMAXV", "0110 1110 0011 0000 1111 10-- ---- ----", plain!(simd_float::across::<ops::FMax, F32>)),
    row("FMINNMV", "0110 1110 1011 0000 1100 10-- ---- ----", plain!(simd_float::across::<ops::FMinNm, F32>)),
    row("FMINV", "0110 1110 1011 0000 1111 10-- ---- ----", plain!(simd_float::across::<ops::FMin, F32>)),
];
