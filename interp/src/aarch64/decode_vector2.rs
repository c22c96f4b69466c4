//! Rows of the decoder: two vectors, immediates, by element (Advanced SIMD).

use super::decode::Need::{Aes, DotProd, Fp16, HalfShift, Rdm};
use super::decode::{Row, plain, row, row_if};
use super::decode_shape::{
    element, fixed, float, float_element, half_element, index_h, index_s, left, left_amount, right,
    right_amount, scalar, shift_row, size, size_q, ty, vector,
};
use super::fp_convert::vector_fixed;
use super::op::{Handler, bits};
use super::simd_same::*;
use super::simd_shift::*;
use super::simd_wide::*;
use super::{fp_ops as ops, simd_float, simd_move, simd_same, simd_wide};
use crate::softfloat::{F16, F32, F64};

/// The rows, in the manual's order.
pub(super) static ROWS: &[Row] = &[
    // Advanced SIMD three different
    row("SADDL, SADDL2", "0-00 1110 --1- ---- 0000 00-- ---- ----", scalar!(B H S => long::<Saddl, T>)),
    row("SADDW, SADDW2", "0-00 1110 --1- ---- 0001 00-- ---- ----", scalar!(B H S => wide::<T, true, false>)),
    row("SSUBL, SSUBL2", "0-00 1110 --1- ---- 0010 00-- ---- ----", scalar!(B H S => long::<Ssubl, T>)),
    row("SSUBW, SSUBW2", "0-00 1110 --1- ---- 0011 00-- ---- ----", scalar!(B H S => wide::<T, true, true>)),
    row(
        "ADDHN, ADDHN2",
        "0-00 1110 --1- ---- 0100 00-- ---- ----",
        scalar!(B H S => high_narrow::<T, false, false>),
    ),
    row("SABAL, SABAL2", "0-00 1110 --1- ---- 0101 00-- ---- ----", scalar!(B H S => long::<Sabal, T>)),
    row(
        "SUBHN, SUBHN2",
        "0-00 1110 --1- ---- 0110 00-- ---- ----",
        scalar!(B H S => high_narrow::<T, false, true>),
    ),
    row("SABDL, SABDL2", "0-00 1110 --1- ---- 0111 00-- ---- ----", scalar!(B H S => long::<Sabdl, T>)),
    row(
        "SMLAL, SMLAL2 (vector)",
        "0-00 1110 --1- ---- 1000 00-- ---- ----",
        scalar!(B H S => long::<Smlal, T>),
    ),
    row(
        "SQDMLAL, SQDMLAL2 (vector)",
        "0-00 1110 --1- ---- 1001 00-- ---- ----",
        scalar!(H S => long::<Sqdmlal, T>),
    ),
    row(
        "SMLSL, SMLSL2 (vector)",
        "0-00 1110 --1- ---- 1010 00-- ---- ----",
        scalar!(B H S => long::<Smlsl, T>),
    ),
    row(
        "SQDMLSL, SQDMLSL2 (vector)",
        "0-00 1110 --1- ---- 1011 00-- ---- ----",
        scalar!(H S => long::<Sqdmlsl, T>),
    ),
    row(
        "SMULL, SMULL2 (vector)",
        "0-00 1110 --1- ---- 1100 00-- ---- ----",
        scalar!(B H S => long::<Smull, T>),
    ),
    row(
        "SQDMULL, SQDMULL2 (vector)",
        "0-00 1110 --1- ---- 1101 00-- ---- ----",
        scalar!(H S => long::<Sqdmull, T>),
    ),
    row("PMULL, PMULL2", "0-00 1110 001- ---- 1110 00-- ---- ----", scalar!(B => long::<Pmull, T>)),
    row_if(
        Aes,
        "PMULL, PMULL2 (64-bit)",
        "0-00 1110 111- ---- 1110 00-- ---- ----",
        plain!(simd_wide::pmull64),
    ),
    row("UADDL, UADDL2", "0-10 1110 --1- ---- 0000 00-- ---- ----", scalar!(B H S => long::<Uaddl, T>)),
    row(
        "UADDW, UADDW2",
        "0-10 1110 --1- ---- 0001 00-- ---- ----",
        scalar!(B H S => wide::<T, false, false>),
    ),
    row("USUBL, USUBL2", "0-10 1110 --1- ---- 0010 00-- ---- ----", scalar!(B H S => long::<Usubl, T>)),
    row("USUBW, USUBW2", "0-10 1110 --1- ---- 0011 00-- ---- ----", scalar!(B H S => wide::<T, false, true>)),
    row(
        "RADDHN, RADDHN2",
        "0-10 1110 --1- ---- 0100 00-- ---- ----",
        scalar!(B H S => high_narrow::<T, true, false>),
    ),
    row("UABAL, UABAL2", "0-10 1110 --1- ---- 0101 00-- ---- ----", scalar!(B H S => long::<Uabal, T>)),
    row(
        "RSUBHN, RSUBHN2",
        "0-10 1110 --1- ---- 0110 00-- ---- ----",
        scalar!(B H S => high_narrow::<T, true, true>),
    ),
    row("UABDL, UABDL2", "0-10 1110 --1- ---- 0111 00-- ---- ----", scalar!(B H S => long::<Uabdl, T>)),
    row(
        "UMLAL, UMLAL2 (vector)",
        "0-10 1110 --1- ---- 1000 00-- ---- ----",
        scalar!(B H S => long::<Umlal, T>),
    ),
    row(
        "UMLSL, UMLSL2 (vector)",
        "0-10 1110 --1- ---- 1010 00-- ---- ----",
        scalar!(B H S => long::<Umlsl, T>),
    ),
    row(
        "UMULL, UMULL2 (vector)",
        "0-10 1110 --1- ---- 1100 00-- ---- ----",
        scalar!(B H S => long::<Umull, T>),
    ),
    // Advanced SIMD three same
    row("SHADD", "0-00 1110 --1- ---- 0000 01-- ---- ----", vector!(B H S => three::<Shadd, T>)),
    row("SQADD (vector)", "0-00 1110 --1- ---- 0000 11-- ---- ----", vector!(B H S D => three::<Sqadd, T>)),
    row("SRHADD", "0-00 1110 --1- ---- 0001 01-- ---- ----", vector!(B H S => three::<Srhadd, T>)),
    row("SHSUB", "0-00 1110 --1- ---- 0010 01-- ---- ----", vector!(B H S => three::<Shsub, T>)),
    row("SQSUB (vector)", "0-00 1110 --1- ---- 0010 11-- ---- ----", vector!(B H S D => three::<Sqsub, T>)),
    row("CMGT (register)", "0-00 1110 --1- ---- 0011 01-- ---- ----", vector!(B H S D => three::<CmGt, T>)),
    row("CMGE (register)", "0-00 1110 --1- ---- 0011 11-- ---- ----", vector!(B H S D => three::<CmGe, T>)),
    row("SSHL (vector)", "0-00 1110 --1- ---- 0100 01-- ---- ----", vector!(B H S D => three::<Sshl, T>)),
    row("SQSHL (register)", "0-00 1110 --1- ---- 0100 11-- ---- ----", vector!(B H S D => three::<Sqshl, T>)),
    row("SRSHL (vector)", "0-00 1110 --1- ---- 0101 01-- ---- ----", vector!(B H S D => three::<Srshl, T>)),
    row("SQRSHL (vector)", "0-00 1110 --1- ---- 0101 11-- ---- ----", vector!(B H S D => three::<Sqrshl, T>)),
    row("SMAX", "0-00 1110 --1- ---- 0110 01-- ---- ----", vector!(B H S => three::<Smax, T>)),
    row("SMIN", "0-00 1110 --1- ---- 0110 11-- ---- ----", vector!(B H S => three::<Smin, T>)),
    row("SABD", "0-00 1110 --1- ---- 0111 01-- ---- ----", vector!(B H S => three::<Sabd, T>)),
    row("SABA", "0-00 1110 --1- ---- 0111 11-- ---- ----", vector!(B H S => three::<Saba, T>)),
    row("ADD (vector)", "0-00 1110 --1- ---- 1000 01-- ---- ----", vector!(B H S D => three::<Add, T>)),
    row("CMTST (vector)", "0-00 1110 --1- ---- 1000 11-- ---- ----", vector!(B H S D => three::<CmTst, T>)),
    row("MLA (vector)", "0-00 1110 --1- ---- 1001 01-- ---- ----", vector!(B H S => three::<Mla, T>)),
    row("MUL (vector)", "0-00 1110 --1- ---- 1001 11-- ---- ----", vector!(B H S => three::<Mul, T>)),
    row("SMAXP", "0-00 1110 --1- ---- 1010 01-- ---- ----", vector!(B H S => pairs::<Smax, T>)),
    row("SMINP", "0-00 1110 --1- ---- 1010 11-- ---- ----", vector!(B H S => pairs::<Smin, T>)),
    row("SQDMULH (vector)", "0-00 1110 --1- ---- 1011 01-- ---- ----", vector!(H S => three::<Sqdmulh, T>)),
    row("ADDP (vector)", "0-00 1110 --1- ---- 1011 11-- ---- ----", vector!(B H S D => pairs::<Add, T>)),
    row(
        "FMAXNM (vector)",
        "0-00 1110 0-1- ---- 1100 01-- ---- ----",
        float!(simd_float::three::<ops::FMaxNm, F>),
    ),
    row(
        "FMLA (vector)",
        "0-00 1110 0-1- ---- 1100 11-- ---- ----",
        float!(simd_float::three::<ops::FMla, F>),
    ),
    row(
        "FADD (vector)",
        "0-00 1110 0-1- ---- 1101 01-- ---- ----",
        float!(simd_float::three::<ops::FAdd, F>),
    ),
    row("FMULX", "0-00 1110 0-1- ---- 1101 11-- ---- ----", float!(simd_float::three::<ops::FMulX, F>)),
    row(
        "FCMEQ (register)",
        "0-00 1110 0-1- ---- 1110 01-- ---- ----",
        float!(simd_float::three::<ops::FCmEq, F>),
    ),
    row(
        "FMAX (vector)",
        "0-00 1110 0-1- ---- 1111 01-- ---- ----",
        float!(simd_float::three::<ops::FMax, F>),
    ),
    row("FRECPS", "0-00 1110 0-1- ---- 1111 11-- ---- ----", float!(simd_float::three::<ops::FRecps, F>)),
    row(
        "FMINNM (vector)",
        "0-00 1110 1-1- ---- 1100 01-- ---- ----",
        float!(simd_float::three::<ops::FMinNm, F>),
    ),
    row(
        "FMLS (vector)",
        "0-00 1110 1-1- ---- 1100 11-- ---- ----",
        float!(simd_float::three::<ops::FMls, F>),
    ),
    row(
        "FSUB (vector)",
        "0-00 1110 1-1- ---- 1101 01-- ---- ----",
        float!(simd_float::three::<ops::FSub, F>),
    ),
    row(
        "FMIN (vector)",
        "0-00 1110 1-1- ---- 1111 01-- ---- ----",
        float!(simd_float::three::<ops::FMin, F>),
    ),
    row("FRSQRTS", "0-00 1110 1-1- ---- 1111 11-- ---- ----", float!(simd_float::three::<ops::FRsqrts, F>)),
    row("AND (vector)", "0-00 1110 001- ---- 0001 11-- ---- ----", plain!(simd_same::and)),
    row("BIC (vector, register)", "0-00 1110 011- ---- 0001 11-- ---- ----", plain!(simd_same::bic)),
    row("ORR (vector, register)", "0-00 1110 101- ---- 0001 11-- ---- ----", plain!(simd_same::orr)),
    row("ORN (vector)", "0-00 1110 111- ---- 0001 11-- ---- ----", plain!(simd_same::orn)),
    row("UHADD", "0-10 1110 --1- ---- 0000 01-- ---- ----", vector!(B H S => three::<Uhadd, T>)),
    row("UQADD (vector)", "0-10 1110 --1- ---- 0000 11-- ---- ----", vector!(B H S D => three::<Uqadd, T>)),
    row("URHADD", "0-10 1110 --1- ---- 0001 01-- ---- ----", vector!(B H S => three::<Urhadd, T>)),
    row("UHSUB", "0-10 1110 --1- ---- 0010 01-- ---- ----", vector!(B H S => three::<Uhsub, T>)),
    row("UQSUB (vector)", "0-10 1110 --1- ---- 0010 11-- ---- ----", vector!(B H S D => three::<Uqsub, T>)),
    row("CMHI (register)", "0-10 1110 --1- ---- 0011 01-- ---- ----", vector!(B H S D => three::<CmHi, T>)),
    row("CMHS (register)", "0-10 1110 --1- ---- 0011 11-- ---- ----", vector!(B H S D => three::<CmHs, T>)),
    row("USHL (vector)", "0-10 1110 --1- ---- 0100 01-- ---- ----", vector!(B H S D => three::<Ushl, T>)),
    row("UQSHL (register)", "0-10 1110 --1- ---- 0100 11-- ---- ----", vector!(B H S D => three::<Uqshl, T>)),
    row("URSHL (vector)", "0-10 1110 --1- ---- 0101 01-- ---- ----", vector!(B H S D => three::<Urshl, T>)),
    row("UQRSHL (vector)", "0-10 1110 --1- ---- 0101 11-- ---- ----", vector!(B H S D => three::<Uqrshl, T>)),
    row("UMAX", "0-10 1110 --1- ---- 0110 01-- ---- ----", vector!(B H S => three::<Umax, T>)),
    row("UMIN", "0-10 1110 --1- ---- 0110 11-- ---- ----", vector!(B H S => three::<Umin, T>)),
    row("UABD", "0-10 1110 --1- ---- 0111 01-- ---- ----", vector!(B H S => three::<Uabd, T>)),
    row("UABA", "0-10 1110 --1- ---- 0111 11-- ---- ----", vector!(B H S => three::<Uaba, T>)),
    row("SUB (vector)", "0-10 1110 --1- ---- 1000 01-- ---- ----", vector!(B H S D => three::<Sub, T>)),
    row("CMEQ (register)", "0-10 1110 --1- ---- 1000 11-- ---- ----", vector!(B H S D => three::<CmEq, T>)),
    row("MLS (vector)", "0-10 1110 --1- ---- 1001 01-- ---- ----", vector!(B H S => three::<Mls, T>)),
    row("PMUL", "0-10 1110 --1- ---- 1001 11-- ---- ----", vector!(B => three::<Pmul, T>)),
    row("UMAXP", "0-10 1110 --1- ---- 1010 01-- ---- ----", vector!(B H S => pairs::<Umax, T>)),
    row("UMINP", "0-10 1110 --1- ---- 1010 11-- ---- ----", vector!(B H S => pairs::<Umin, T>)),
    row("SQRDMULH (vector)", "0-10 1110 --1- ---- 1011 01-- ---- ----", vector!(H S => three::<Sqrdmulh, T>)),
    row(
        "FMAXNMP (vector)",
        "0-10 1110 0-1- ---- 1100 01-- ---- ----",
        float!(simd_float::pairs::<ops::FMaxNm, F>),
    ),
    row(
        "FADDP (vector)",
        "0-10 1110 0-1- ---- 1101 01-- ---- ----",
        float!(simd_float::pairs::<ops::FAdd, F>),
    ),
    row(
        "FMUL (vector)",
        "0-10 1110 0-1- ---- 1101 11-- ---- ----",
        float!(simd_float::three::<ops::FMul, F>),
    ),
    row(
        "FCMGE (register)",
        "0-10 1110 0-1- ---- 1110 01-- ---- ----",
        float!(simd_float::three::<ops::FCmGe, F>),
    ),
    row("FACGE", "0-10 1110 0-1- ---- 1110 11-- ---- ----", float!(simd_float::three::<ops::FAcGe, F>)),
    row(
        "FMAXP (vector)",
        "0-10 1110 0-1- ---- 1111 01-- ---- ----",
        float!(simd_float::pairs::<ops::FMax, F>),
    ),
    row(
        "FDIV (vector)",
        "0-10 1110 0-1- ---- 1111 11-- ---- ----",
        float!(simd_float::three::<ops::FDiv, F>),
    ),
    row(
        "FMINNMP (vector)",
        "0-10 1110 1-1- ---- 1100 01-- ---- ----",
        float!(simd_float::pairs::<ops::FMinNm, F>),
    ),
    row("FABD", "0-10 1110 1-1- ---- 1101 01-- ---- ----", float!(simd_float::three::<ops::FAbd, F>)),
    row(
        "FCMGT (register)",
        "0-10 1110 1-1- ---- 1110 01-- ---- ----",
        float!(simd_float::three::<ops::FCmGt, F>),
    ),
    row("FACGT", "0-10 1110 1-1- ---- 1110 11-- ---- ----", float!(simd_float::three::<ops::FAcGt, F>)),
    row(
        "FMINP (vector)",
        "0-10 1110 1-1- ---- 1111 01-- ---- ----",
        float!(simd_float::pairs::<ops::FMin, F>),
    ),
    row("EOR (vector)", "0-10 1110 001- ---- 0001 11-- ---- ----", plain!(simd_same::eor)),
    row("BSL", "0-10 1110 011- ---- 0001 11-- ---- ----", plain!(simd_same::bsl)),
    row("BIT", "0-10 1110 101- ---- 0001 11-- ---- ----", plain!(simd_same::bit)),
    row("BIF", "0-10 1110 111- ---- 0001 11-- ---- ----", plain!(simd_same::bif)),
    // Advanced SIMD modified immediate
    row("MOVI (32-bit)", "0-00 1111 0000 0--- 0--0 01-- ---- ----", |w| {
        Some((simd_move::movi, simd_move::expand(w)?))
    }),
    row("ORR (vector, immediate, 32-bit)", "0-00 1111 0000 0--- 0--1 01-- ---- ----", |w| {
        Some((simd_move::orr_imm, simd_move::expand(w)?))
    }),
    row("MOVI (16-bit)", "0-00 1111 0000 0--- 10-0 01-- ---- ----", |w| {
        Some((simd_move::movi, simd_move::expand(w)?))
    }),
    row("ORR (vector, immediate, 16-bit)", "0-00 1111 0000 0--- 10-1 01-- ---- ----", |w| {
        Some((simd_move::orr_imm, simd_move::expand(w)?))
    }),
    row("MOVI (32-bit shifting ones)", "0-00 1111 0000 0--- 110- 01-- ---- ----", |w| {
        Some((simd_move::movi, simd_move::expand(w)?))
    }),
    row("MOVI (8-bit)", "0-00 1111 0000 0--- 1110 01-- ---- ----", |w| {
        Some((simd_move::movi, simd_move::expand(w)?))
    }),
    row("FMOV (vector, immediate)", "0-00 1111 0000 0--- 1111 01-- ---- ----", |w| {
        Some((simd_move::movi, simd_move::expand(w)?))
    }),
    row_if(Fp16, "FMOV (vector, immediate, half)", "0-00 1111 0000 0--- 1111 11-- ---- ----", |w| {
        Some((simd_move::movi, simd_move::expand(w)?))
    }),
    row("MVNI (32-bit)", "0-10 1111 0000 0--- 0--0 01-- ---- ----", |w| {
        Some((simd_move::movi, !simd_move::expand(w)?))
    }),
    row("BIC (vector, immediate, 32-bit)", "0-10 1111 0000 0--- 0--1 01-- ---- ----", |w| {
        Some((simd_move::bic_imm, simd_move::expand(w)?))
    }),
    row("MVNI (16-bit)", "0-10 1111 0000 0--- 10-0 01-- ---- ----", |w| {
        Some((simd_move::movi, !simd_move::expand(w)?))
    }),
    row("BIC (vector, immediate, 16-bit)", "0-10 1111 0000 0--- 10-1 01-- ---- ----", |w| {
        Some((simd_move::bic_imm, simd_move::expand(w)?))
    }),
    row("MVNI (32-bit shifting ones)", "0-10 1111 0000 0--- 110- 01-- ---- ----", |w| {
        Some((simd_move::movi, !simd_move::expand(w)?))
    }),
    row("MOVI (64-bit, scalar)", "0010 1111 0000 0--- 1110 01-- ---- ----", |w| {
        Some((simd_move::movi_scalar, simd_move::expand(w)?))
    }),
    row("MOVI (64-bit, vector)", "0110 1111 0000 0--- 1110 01-- ---- ----", |w| {
        Some((simd_move::movi, simd_move::expand(w)?))
    }),
    row("FMOV (vector, immediate, double)", "0110 1111 0000 0--- 1111 01-- ---- ----", |w| {
        Some((simd_move::movi, simd_move::expand(w)?))
    }),
    // Advanced SIMD shift by immediate
    row("SSHR", "0-00 1111 0--- ---- 0000 01-- ---- ----", right!(B H S D => by_imm::<Sshr, T>)),
    row("SSRA", "0-00 1111 0--- ---- 0001 01-- ---- ----", right!(B H S D => by_imm::<Ssra, T>)),
    row("SRSHR", "0-00 1111 0--- ---- 0010 01-- ---- ----", right!(B H S D => by_imm::<Srshr, T>)),
    row("SRSRA", "0-00 1111 0--- ---- 0011 01-- ---- ----", right!(B H S D => by_imm::<Srsra, T>)),
    row("SHL", "0-00 1111 0--- ---- 0101 01-- ---- ----", left!(B H S D => by_imm::<Shl, T>)),
    row(
        "SQSHL (immediate)",
        "0-00 1111 0--- ---- 0111 01-- ---- ----",
        left!(B H S D => by_imm::<SqshlI, T>),
    ),
    row("SHRN, SHRN2", "0-00 1111 0--- ---- 1000 01-- ---- ----", right!(B H S => narrow::<Shrn, T>)),
    row("RSHRN, RSHRN2", "0-00 1111 0--- ---- 1000 11-- ---- ----", right!(B H S => narrow::<Rshrn, T>)),
    row("SQSHRN, SQSHRN2", "0-00 1111 0--- ---- 1001 01-- ---- ----", right!(B H S => narrow::<Sqshrn, T>)),
    row(
        "SQRSHRN, SQRSHRN2",
        "0-00 1111 0--- ---- 1001 11-- ---- ----",
        right!(B H S => narrow::<Sqrshrn, T>),
    ),
    row("SSHLL, SSHLL2", "0-00 1111 0--- ---- 1010 01-- ---- ----", left!(B H S => shift_long::<T, true>)),
    row_if(
        HalfShift,
        "SCVTF (vector, fixed-point)",
        "0-00 1111 0--- ---- 1110 01-- ---- ----",
        fixed!(true, vector_fixed::<F, false, true>),
    ),
    row_if(
        HalfShift,
        "FCVTZS (vector, fixed-point)",
        "0-00 1111 0--- ---- 1111 11-- ---- ----",
        fixed!(true, vector_fixed::<F, true, true>),
    ),
    row("USHR", "0-10 1111 0--- ---- 0000 01-- ---- ----", right!(B H S D => by_imm::<Ushr, T>)),
    row("USRA", "0-10 1111 0--- ---- 0001 01-- ---- ----", right!(B H S D => by_imm::<Usra, T>)),
    row("URSHR", "0-10 1111 0--- ---- 0010 01-- ---- ----", right!(B H S D => by_imm::<Urshr, T>)),
    row("URSRA", "0-10 1111 0--- ---- 0011 01-- ---- ----", right!(B H S D => by_imm::<Ursra, T>)),
    row("SRI", "0-10 1111 0--- ---- 0100 01-- ---- ----", right!(B H S D => by_imm::<Sri, T>)),
    row("SLI", "0-10 1111 0--- ---- 0101 01-- ---- ----", left!(B H S D => by_imm::<Sli, T>)),
    row("SQSHLU", "0-10 1111 0--- ---- 0110 01-- ---- ----", left!(B H S D => by_imm::<Sqshlu, T>)),
    row(
        "UQSHL (immediate)",
        "0-10 1111 0--- ---- 0111 01-- ---- ----",
        left!(B H S D => by_imm::<UqshlI, T>),
    ),
    row(
        "SQSHRUN, SQSHRUN2",
        "0-10 1111 0--- ---- 1000 01-- ---- ----",
        right!(B H S => narrow::<Sqshrun, T>),
    ),
    row(
        "SQRSHRUN, SQRSHRUN2",
        "0-10 1111 0--- ---- 1000 11-- ---- ----",
        right!(B H S => narrow::<Sqrshrun, T>),
    ),
    row("UQSHRN, UQSHRN2", "0-10 1111 0--- ---- 1001 01-- ---- ----", right!(B H S => narrow::<Uqshrn, T>)),
    row(
        "UQRSHRN, UQRSHRN2",
        "0-10 1111 0--- ---- 1001 11-- ---- ----",
        right!(B H S => narrow::<Uqrshrn, T>),
    ),
    row("USHLL, USHLL2", "0-10 1111 0--- ---- 1010 01-- ---- ----", left!(B H S => shift_long::<T, false>)),
    row_if(
        HalfShift,
        "UCVTF (vector, fixed-point)",
        "0-10 1111 0--- ---- 1110 01-- ---- ----",
        fixed!(true, vector_fixed::<F, false, false>),
    ),
    row_if(
        HalfShift,
        "FCVTZU (vector, fixed-point)",
        "0-10 1111 0--- ---- 1111 11-- ---- ----",
        fixed!(true, vector_fixed::<F, true, false>),
    ),
    // Advanced SIMD vector x indexed element
    row(
        "SMLAL, SMLAL2 (by element)",
        "0-00 1111 ---- ---- 0010 -0-- ---- ----",
        element!(long_by_element::<Smlal, T>),
    ),
    row(
        "SQDMLAL, SQDMLAL2 (by element)",
        "0-00 1111 ---- ---- 0011 -0-- ---- ----",
        element!(long_by_element::<Sqdmlal, T>),
    ),
    row(
        "SMLSL, SMLSL2 (by element)",
        "0-00 1111 ---- ---- 0110 -0-- ---- ----",
        element!(long_by_element::<Smlsl, T>),
    ),
    row(
        "SQDMLSL, SQDMLSL2 (by element)",
        "0-00 1111 ---- ---- 0111 -0-- ---- ----",
        element!(long_by_element::<Sqdmlsl, T>),
    ),
    row("MUL (by element)", "0-00 1111 ---- ---- 1000 -0-- ---- ----", element!(by_element::<Mul, T>)),
    row(
        "SMULL, SMULL2 (by element)",
        "0-00 1111 ---- ---- 1010 -0-- ---- ----",
        element!(long_by_element::<Smull, T>),
    ),
    row(
        "SQDMULL, SQDMULL2 (by element)",
        "0-00 1111 ---- ---- 1011 -0-- ---- ----",
        element!(long_by_element::<Sqdmull, T>),
    ),
    row(
        "SQDMULH (by element)",
        "0-00 1111 ---- ---- 1100 -0-- ---- ----",
        element!(by_element::<Sqdmulh, T>),
    ),
    row(
        "SQRDMULH (by element)",
        "0-00 1111 ---- ---- 1101 -0-- ---- ----",
        element!(by_element::<Sqrdmulh, T>),
    ),
    row_if(DotProd, "SDOT (by element)", "0-00 1111 10-- ---- 1110 -0-- ---- ----", |w| {
        Some((simd_same::dot_product_by_element::<true>, index_s(w)))
    }),
    row_if(
        Fp16,
        "FMLA (by element, half)",
        "0-00 1111 00-- ---- 0001 -0-- ---- ----",
        half_element!(simd_float::by_element::<ops::FMla, F>),
    ),
    row_if(
        Fp16,
        "FMLS (by element, half)",
        "0-00 1111 00-- ---- 0101 -0-- ---- ----",
        half_element!(simd_float::by_element::<ops::FMls, F>),
    ),
    row_if(
        Fp16,
        "FMUL (by element, half)",
        "0-00 1111 00-- ---- 1001 -0-- ---- ----",
        half_element!(simd_float::by_element::<ops::FMul, F>),
    ),
    row(
        "FMLA (by element)",
        "0-00 1111 1--- ---- 0001 -0-- ---- ----",
        float_element!(true, simd_float::by_element::<ops::FMla, F>),
    ),
    row(
        "FMLS (by element)",
        "0-00 1111 1--- ---- 0101 -0-- ---- ----",
        float_element!(true, simd_float::by_element::<ops::FMls, F>),
    ),
    row(
        "FMUL (by element)",
        "0-00 1111 1--- ---- 1001 -0-- ---- ----",
        float_element!(true, simd_float::by_element::<ops::FMul, F>),
    ),
    row("MLA (by element)", "0-10 1111 ---- ---- 0000 -0-- ---- ----", element!(by_element::<Mla, T>)),
    row(
        "UMLAL, UMLAL2 (by element)",
        "0-10 1111 ---- ---- 0010 -0-- ---- ----",
        element!(long_by_element::<Umlal, T>),
    ),
    row("MLS (by element)", "0-10 1111 ---- ---- 0100 -0-- ---- ----", element!(by_element::<Mls, T>)),
    row(
        "UMLSL, UMLSL2 (by element)",
        "0-10 1111 ---- ---- 0110 -0-- ---- ----",
        element!(long_by_element::<Umlsl, T>),
    ),
    row(
        "UMULL, UMULL2 (by element)",
        "0-10 1111 ---- ---- 1010 -0-- ---- ----",
        element!(long_by_element::<Umull, T>),
    ),
    row_if(
        Rdm,
        "SQRDMLAH (by element)",
        "0-10 1111 ---- ---- 1101 -0-- ---- ----",
        element!(by_element::<Sqrdmlah, T>),
    ),
    row_if(
        Rdm,
        "SQRDMLSH (by element)",
        "0-10 1111 ---- ---- 1111 -0-- ---- ----",
        element!(by_element::<Sqrdmlsh, T>),
    ),
    row_if(DotProd, "UDOT (by element)", "0-10 1111 10-- ---- 1110 -0-- ---- ----", |w| {
        Some((simd_same::dot_product_by_element::<false>, index_s(w)))
    }),
    row_if(
        Fp16,
        "FMULX (by element, half)",
        "0-10 1111 00-- ---- 1001 -0-- ---- ----",
        half_element!(simd_float::by_element::<ops::FMulX, F>),
    ),
    row(
        "FMULX (by element)",
        "0-10 1111 1--- ---- 1001 -0-- ---- ----",
        float_element!(true, simd_float::by_element::<ops::FMulX, F>),
    ),
];
