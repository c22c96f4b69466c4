//! Rows of the decoder: scalar floating point.

use super::decode::Need::{Fp16, HalfType};
use super::decode::{Row, plain, row, row_if};
use super::decode_shape::ftype;
use super::fp_convert::{AWAY, from_general, to_general};
use super::int::{W, X};
use super::op::{Handler, bits};
use super::{fp, fp_convert, fp_ops as ops};
use crate::softfloat::{F16, F32, F64};

/// By sf and ftype; the immediate by `$imm`.
macro_rules! general {
    ($imm:expr, $h:ident, $($p:tt)*) => {
        |w| {
            let imm = $imm(w)?;
            let handler: Handler = match (w >> 31, bits(w, 23, 22)) {
                (0, 0) => $h::<W, F32, $($p)*>,
                (0, 1) => $h::<W, F64, $($p)*>,
                (0, 3) => $h::<W, F16, $($p)*>,
                (1, 0) => $h::<X, F32, $($p)*>,
                (1, 1) => $h::<X, F64, $($p)*>,
                (1, 3) => $h::<X, F16, $($p)*>,
                _ => return None,
            };
            Some((handler, imm))
        }
    };
}

/// Fraction bits: at most as many as the general register has.
fn fraction(w: u32) -> Option<u64> {
    let scale = bits(w, 15, 10);
    (w >> 31 != 0 || scale >= 32).then(|| u64::from(64 - scale))
}

fn none(_: u32) -> Option<u64> {
    Some(0)
}

macro_rules! to_fixed {
    ($signed:literal) => {
        general!(fraction, to_general, 3, $signed)
    };
}

macro_rules! from_fixed {
    ($signed:literal) => {
        general!(fraction, from_general, $signed)
    };
}

macro_rules! to_integer {
    ($mode:tt, $signed:literal) => {
        general!(none, to_general, $mode, $signed)
    };
}

macro_rules! from_integer {
    ($signed:literal) => {
        general!(none, from_general, $signed)
    };
}

fn mov_imm(w: u32) -> Option<(Handler, u64)> {
    let imm8 = bits(w, 20, 13);
    let v = match bits(w, 23, 22) {
        0 => fp::expand_imm::<F32>(imm8),
        1 => fp::expand_imm::<F64>(imm8),
        3 => fp::expand_imm::<F16>(imm8),
        _ => return None,
    };
    Some((fp::mov_imm, v))
}

/// The rows, in the manual's order, one a line.
#[rustfmt::skip]
pub(super) static ROWS: &[Row] = &[
    // Conversion between floating-point and fixed-point
    row_if(HalfType, "SCVTF (scalar, fixed-point)", "-001 1110 --00 0010 ---- ---- ---- ----", from_fixed!(true)),
    row_if(HalfType, "UCVTF (scalar, fixed-point)", "-001 1110 --00 0011 ---- ---- ---- ----", from_fixed!(false)),
    row_if(HalfType, "FCVTZS (scalar, fixed-point)", "-001 1110 --01 1000 ---- ---- ---- ----", to_fixed!(true)),
    row_if(HalfType, "FCVTZU (scalar, fixed-point)", "-001 1110 --01 1001 ---- ---- ---- ----", to_fixed!(false)),
    // Conversion between floating-point and integer
    row_if(HalfType, "FCVTNS (scalar)", "-001 1110 --10 0000 0000 00-- ---- ----", to_integer!(0, true)),
    row_if(HalfType, "FCVTNU (scalar)", "-001 1110 --10 0001 0000 00-- ---- ----", to_integer!(0, false)),
    row_if(HalfType, "SCVTF (scalar, integer)", "-001 1110 --10 0010 0000 00-- ---- ----", from_integer!(true)),
    row_if(HalfType, "UCVTF (scalar, integer)", "-001 1110 --10 0011 0000 00-- ---- ----", from_integer!(false)),
    row_if(HalfType, "FCVTAS (scalar)", "-001 1110 --10 0100 0000 00-- ---- ----", to_integer!(AWAY, true)),
    row_if(HalfType, "FCVTAU (scalar)", "-001 1110 --10 0101 0000 00-- ---- ----", to_integer!(AWAY, false)),
    row_if(HalfType, "FCVTPS (scalar)", "-001 1110 --10 1000 0000 00-- ---- ----", to_integer!(1, true)),
    row_if(HalfType, "FCVTPU (scalar)", "-001 1110 --10 1001 0000 00-- ---- ----", to_integer!(1, false)),
    row_if(HalfType, "FCVTMS (scalar)", "-001 1110 --11 0000 0000 00-- ---- ----", to_integer!(2, true)),
    row_if(HalfType, "FCVTMU (scalar)", "-001 1110 --11 0001 0000 00-- ---- ----", to_integer!(2, false)),
    row_if(HalfType, "FCVTZS (scalar, integer)", "-001 1110 --11 1000 0000 00-- ---- ----", to_integer!(3, true)),
    row_if(HalfType, "FCVTZU (scalar, integer)", "-001 1110 --11 1001 0000 00-- ---- ----", to_integer!(3, false)),
    row("FMOV (32-bit to general)", "0001 1110 0010 0110 0000 00-- ---- ----", plain!(fp::mov_to_general::<u32>)),
    row("FMOV (general to 32-bit)", "0001 1110 0010 0111 0000 00-- ---- ----", plain!(fp::mov_from_general::<u32>)),
    row("FMOV (64-bit to general)", "1001 1110 0110 0110 0000 00-- ---- ----", plain!(fp::mov_to_general::<u64>)),
    row("FMOV (general to 64-bit)", "1001 1110 0110 0111 0000 00-- ---- ----", plain!(fp::mov_from_general::<u64>)),
    row("FMOV (top half to general)", "1001 1110 1010 1110 0000 00-- ---- ----", plain!(fp::mov_top_to_general)),
    row("FMOV (general to top half)", "1001 1110 1010 1111 0000 00-- ---- ----", plain!(fp::mov_top_from_general)),
    row_if(Fp16, "FMOV (16-bit to general)", "-001 1110 1110 0110 0000 00-- ---- ----", plain!(fp::mov_to_general::<u16>)),
    row_if(Fp16, "FMOV (general to 16-bit)", "-001 1110 1110 0111 0000 00-- ---- ----", plain!(fp::mov_from_general::<u16>)),
    // Floating-point data-processing (1 source)
    row_if(HalfType, "FMOV (register)", "0001 1110 --10 0000 0100 00-- ---- ----", ftype!(fp::one::<ops::FMov, F>)),
    row_if(HalfType, "FABS (scalar)", "0001 1110 --10 0000 1100 00-- ---- ----", ftype!(fp::one::<ops::FAbs, F>)),
    row_if(HalfType, "FNEG (scalar)", "0001 1110 --10 0001 0100 00-- ---- ----", ftype!(fp::one::<ops::FNeg, F>)),
    row_if(HalfType, "FSQRT (scalar)", "0001 1110 --10 0001 1100 00-- ---- ----", ftype!(fp::one::<ops::FSqrt, F>)),
    row("FCVT (single to double)", "0001 1110 0010 0010 1100 00-- ---- ----", plain!(fp_convert::fcvt::<F32, F64>)),
    row("FCVT (single to half)", "0001 1110 0010 0011 1100 00-- ---- ----", plain!(fp_convert::fcvt::<F32, F16>)),
    row("FCVT (double to single)", "0001 1110 0110 0010 0100 00-- ---- ----", plain!(fp_convert::fcvt::<F64, F32>)),
    row("FCVT (double to half)", "0001 1110 0110 0011 1100 00-- ---- ----", plain!(fp_convert::fcvt::<F64, F16>)),
    row("FCVT (half to single)", "0001 1110 1110 0010 0100 00-- ---- ----", plain!(fp_convert::fcvt::<F16, F32>)),
    row("FCVT (half to double)", "0001 1110 1110 0010 1100 00-- ---- ----", plain!(fp_convert::fcvt::<F16, F64>)),
    row_if(HalfType, "FRINTN (scalar)", "0001 1110 --10 0100 0100 00-- ---- ----", ftype!(fp::one::<ops::FRintN, F>)),
    row_if(HalfType, "FRINTP (scalar)", "0001 1110 --10 0100 1100 00-- ---- ----", ftype!(fp::one::<ops::FRintP, F>)),
    row_if(HalfType, "FRINTM (scalar)", "0001 1110 --10 0101 0100 00-- ---- ----", ftype!(fp::one::<ops::FRintM, F>)),
    row_if(HalfType, "FRINTZ (scalar)", "0001 1110 --10 0101 1100 00-- ---- ----", ftype!(fp::one::<ops::FRintZ, F>)),
    row_if(HalfType, "FRINTA (scalar)", "0001 1110 --10 0110 0100 00-- ---- ----", ftype!(fp::one::<ops::FRintA, F>)),
    row_if(HalfType, "FRINTX (scalar)", "0001 1110 --10 0111 0100 00-- ---- ----", ftype!(fp::one::<ops::FRintX, F>)),
    row_if(HalfType, "FRINTI (scalar)", "0001 1110 --10 0111 1100 00-- ---- ----", ftype!(fp::one::<ops::FRintI, F>)),
    // Floating-point compare
    row_if(HalfType, "FCMP", "0001 1110 --1- ---- 0010 00-- ---0 0000", ftype!(fp::cmp::<F, false>)),
    row_if(HalfType, "FCMP (zero)", "0001 1110 --1- ---- 0010 00-- ---0 1000", ftype!(fp::cmp_zero::<F, false>)),
    row_if(HalfType, "FCMPE", "0001 1110 --1- ---- 0010 00-- ---1 0000", ftype!(fp::cmp::<F, true>)),
    row_if(HalfType, "FCMPE (zero)", "0001 1110 --1- ---- 0010 00-- ---1 1000", ftype!(fp::cmp_zero::<F, true>)),
    // Floating-point immediate
    row_if(HalfType, "FMOV (scalar, immediate)", "0001 1110 --1- ---- ---1 0000 000- ----", mov_imm),
    // Floating-point conditional compare
    row_if(HalfType, "FCCMP", "0001 1110 --1- ---- ---- 01-- ---0 ----", ftype!(fp::ccmp::<F, false>)),
    row_if(HalfType, "FCCMPE", "0001 1110 --1- ---- ---- 01-- ---1 ----", ftype!(fp::ccmp::<F, true>)),
    // Floating-point data-processing (2 source)
    row_if(HalfType, "FMUL (scalar)", "0001 1110 --1- ---- 0000 10-- ---- ----", ftype!(fp::two::<ops::FMul, F>)),
    row_if(HalfType, "FDIV (scalar)", "0001 1110 --1- ---- 0001 10-- ---- ----", ftype!(fp::two::<ops::FDiv, F>)),
    row_if(HalfType, "FADD (scalar)", "0001 1110 --1- ---- 0010 10-- ---- ----", ftype!(fp::two::<ops::FAdd, F>)),
    row_if(HalfType, "FSUB (scalar)", "0001 1110 --1- ---- 0011 10-- ---- ----", ftype!(fp::two::<ops::FSub, F>)),
    row_if(HalfType, "FMAX (scalar)", "0001 1110 --1- ---- 0100 10-- ---- ----", ftype!(fp::two::<ops::FMax, F>)),
    row_if(HalfType, "FMIN (scalar)", "0001 1110 --1- ---- 0101 10-- ---- ----", ftype!(fp::two::<ops::FMin, F>)),
    row_if(HalfType, "FMAXNM (scalar)", "0001 1110 --1- ---- 0110 10-- ---- ----", ftype!(fp::two::<ops::FMaxNm, F>)),
    row_if(HalfType, "FMINNM (scalar)", "0001 1110 --1- ---- 0111 10-- ---- ----", ftype!(fp::two::<ops::FMinNm, F>)),
    row_if(HalfType, "FNMUL (scalar)", "0001 1110 --1- ---- 1000 10-- ---- ----", ftype!(fp::two::<ops::FNMul, F>)),
    // Floating-point conditional select
    row_if(HalfType, "FCSEL", "0001 1110 --1- ---- ---- 11-- ---- ----", ftype!(fp::csel::<F>)),
    // Floating-point data-processing (3 source)
    row_if(HalfType, "FMADD", "0001 1111 --0- ---- 0--- ---- ---- ----", ftype!(fp::madd::<F, false, false>)),
    row_if(HalfType, "FMSUB", "0001 1111 --0- ---- 1--- ---- ---- ----", ftype!(fp::madd::<F, false, true>)),
    row_if(HalfType, "FNMADD", "0001 1111 --1- ---- 0--- ---- ---- ----", ftype!(fp::madd::<F, true, true>)),
    row_if(HalfType, "FNMSUB", "0001 1111 --1- ---- 1--- ---- ---- ----", ftype!(fp::madd::<F, true, false>)),
];
