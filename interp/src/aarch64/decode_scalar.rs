//! Rows of the decoder: cryptography and the scalar forms of Advanced SIMD.

use super::decode::Need::{Aes, Fp16, HalfShift, Rdm, Sha};
use super::decode::{Row, plain, row, row_if};
use super::decode_shape::{
    copy, element, fixed, float_element, float_scalar, half, half_element, index_h, index_s, left_amount,
    left_scalar, right_amount, right_scalar, scalar, shift_row, size, ty,
};
use super::fp_convert::scalar_fixed;
use super::op::{Handler, bits};
use super::simd_misc::*;
use super::simd_same::*;
use super::simd_shift::*;
use super::simd_wide::*;
use super::{crypto, fp, fp_convert, fp_ops as ops, simd_float, simd_misc, simd_move};
use crate::softfloat::{F16, F32, F64};

/// The rows, in the manual's order.
pub(super) static ROWS: &[Row] = &[
    // C4.1.97 Data Processing - Scalar Floating-Point and Advanced SIMD: Cryptographic AES
    row_if(Aes, "AESE", "0100 1110 0010 1000 0100 10-- ---- ----", plain!(crypto::aese)),
    row_if(Aes, "AESD", "0100 1110 0010 1000 0101 10-- ---- ----", plain!(crypto::aesd)),
    row_if(Aes, "AESMC", "0100 1110 0010 1000 0110 10-- ---- ----", plain!(crypto::aesmc)),
    row_if(Aes, "AESIMC", "0100 1110 0010 1000 0111 10-- ---- ----", plain!(crypto::aesimc)),
    // Cryptographic three-register SHA
    row_if(Sha, "SHA1C", "0101 1110 000- ---- 0000 00-- ---- ----", plain!(crypto::sha1_rounds::<0>)),
    row_if(Sha, "SHA1P", "0101 1110 000- ---- 0001 00-- ---- ----", plain!(crypto::sha1_rounds::<1>)),
    row_if(Sha, "SHA1M", "0101 1110 000- ---- 0010 00-- ---- ----", plain!(crypto::sha1_rounds::<2>)),
    row_if(Sha, "SHA1SU0", "0101 1110 000- ---- 0011 00-- ---- ----", plain!(crypto::sha1su0)),
    row_if(Sha, "SHA256H", "0101 1110 000- ---- 0100 00-- ---- ----", plain!(crypto::sha256h)),
    row_if(Sha, "SHA256H2", "0101 1110 000- ---- 0101 00-- ---- ----", plain!(crypto::sha256h2)),
    row_if(Sha, "SHA256SU1", "0101 1110 000- ---- 0110 00-- ---- ----", plain!(crypto::sha256su1)),
    // Cryptographic two-register SHA
    row_if(Sha, "SHA1H", "0101 1110 0010 1000 0000 10-- ---- ----", plain!(crypto::sha1h)),
    row_if(Sha, "SHA1SU1", "0101 1110 0010 1000 0001 10-- ---- ----", plain!(crypto::sha1su1)),
    row_if(Sha, "SHA256SU0", "0101 1110 0010 1000 0010 10-- ---- ----", plain!(crypto::sha256su0)),
    // Advanced SIMD scalar copy
    row(
        "DUP (element, scalar)",
        "0101 1110 000- ---- 0000 01-- ---- ----",
        copy!(B H S D => simd_move::dup_scalar::<T>),
    ),
    // Advanced SIMD scalar three same FP16
    row_if(
        Fp16,
        "FMULX (scalar, half)",
        "0101 1110 010- ---- 0001 11-- ---- ----",
        half!(fp::two::<ops::FMulX, F>),
    ),
    row_if(
        Fp16,
        "FCMEQ (register, scalar, half)",
        "0101 1110 010- ---- 0010 01-- ---- ----",
        half!(fp::two::<ops::FCmEq, F>),
    ),
    row_if(
        Fp16,
        "FRECPS (scalar, half)",
        "0101 1110 010- ---- 0011 11-- ---- ----",
        half!(fp::two::<ops::FRecps, F>),
    ),
    row_if(
        Fp16,
        "FRSQRTS (scalar, half)",
        "0101 1110 110- ---- 0011 11-- ---- ----",
        half!(fp::two::<ops::FRsqrts, F>),
    ),
    row_if(
        Fp16,
        "FCMGE (register, scalar, half)",
        "0111 1110 010- ---- 0010 01-- ---- ----",
        half!(fp::two::<ops::FCmGe, F>),
    ),
    row_if(
        Fp16,
        "FACGE (scalar, half)",
        "0111 1110 010- ---- 0010 11-- ---- ----",
        half!(fp::two::<ops::FAcGe, F>),
    ),
    row_if(
        Fp16,
        "FABD (scalar, half)",
        "0111 1110 110- ---- 0001 01-- ---- ----",
        half!(fp::two::<ops::FAbd, F>),
    ),
    row_if(
        Fp16,
        "FCMGT (register, scalar, half)",
        "0111 1110 110- ---- 0010 01-- ---- ----",
        half!(fp::two::<ops::FCmGt, F>),
    ),
    row_if(
        Fp16,
        "FACGT (scalar, half)",
        "0111 1110 110- ---- 0010 11-- ---- ----",
        half!(fp::two::<ops::FAcGt, F>),
    ),
    // Advanced SIMD scalar two-register miscellaneous FP16
    row_if(
        Fp16,
        "FCVTNS (vector, scalar, half)",
        "0101 1110 0111 1001 1010 10-- ---- ----",
        half!(fp::one::<ops::FCvtNs, F>),
    ),
    row_if(
        Fp16,
        "FCVTMS (vector, scalar, half)",
        "0101 1110 0111 1001 1011 10-- ---- ----",
        half!(fp::one::<ops::FCvtMs, F>),
    ),
    row_if(
        Fp16,
        "FCVTAS (vector, scalar, half)",
        "0101 1110 0111 1001 1100 10-- ---- ----",
        half!(fp::one::<ops::FCvtAs, F>),
    ),
    row_if(
        Fp16,
        "SCVTF (vector, integer, scalar, half)",
        "0101 1110 0111 1001 1101 10-- ---- ----",
        half!(fp::one::<ops::SCvtF, F>),
    ),
    row_if(
        Fp16,
        "FCMGT (zero, scalar, half)",
        "0101 1110 1111 1000 1100 10-- ---- ----",
        half!(fp::one::<ops::FCmGtZ, F>),
    ),
    row_if(
        Fp16,
        "FCMEQ (zero, scalar, half)",
        "0101 1110 1111 1000 1101 10-- ---- ----",
        half!(fp::one::<ops::FCmEqZ, F>),
    ),
    row_if(
        Fp16,
        "FCMLT (zero, scalar, half)",
        "0101 1110 1111 1000 1110 10-- ---- ----",
        half!(fp::one::<ops::FCmLtZ, F>),
    ),
    row_if(
        Fp16,
        "FCVTPS (vector, scalar, half)",
        "0101 1110 1111 1001 1010 10-- ---- ----",
        half!(fp::one::<ops::FCvtPs, F>),
    ),
    row_if(
        Fp16,
        "FCVTZS (vector, integer, scalar, half)",
        "0101 1110 1111 1001 1011 10-- ---- ----",
        half!(fp::one::<ops::FCvtZs, F>),
    ),
    row_if(
        Fp16,
        "FRECPE (scalar, half)",
        "0101 1110 1111 1001 1101 10-- ---- ----",
        half!(fp::one::<ops::FRecpe, F>),
    ),
    row_if(
        Fp16,
        "FRECPX (scalar, half)",
        "0101 1110 1111 1001 1111 10-- ---- ----",
        half!(fp::one::<ops::FRecpx, F>),
    ),
    row_if(
        Fp16,
        "FCVTNU (vector, scalar, half)",
        "0111 1110 0111 1001 1010 10-- ---- ----",
        half!(fp::one::<ops::FCvtNu, F>),
    ),
    row_if(
        Fp16,
        "FCVTMU (vector, scalar, half)",
        "0111 1110 0111 1001 1011 10-- ---- ----",
        half!(fp::one::<ops::FCvtMu, F>),
    ),
    row_if(
        Fp16,
        "FCVTAU (vector, scalar, half)",
        "0111 1110 0111 1001 1100 10-- ---- ----",
        half!(fp::one::<ops::FCvtAu, F>),
    ),
    row_if(
        Fp16,
        "UCVTF (vector, integer, scalar, half)",
        "0111 1110 0111 1001 1101 10-- ---- ----",
        half!(fp::one::<ops::UCvtF, F>),
    ),
    row_if(
        Fp16,
        "FCMGE (zero, scalar, half)",
        "0111 1110 1111 1000 1100 10-- ---- ----",
        half!(fp::one::<ops::FCmGeZ, F>),
    ),
    row_if(
        Fp16,
        "FCMLE (zero, scalar, half)",
        "0111 1110 1111 1000 1101 10-- ---- ----",
        half!(fp::one::<ops::FCmLeZ, F>),
    ),
    row_if(
        Fp16,
        "FCVTPU (vector, scalar, half)",
        "0111 1110 1111 1001 1010 10-- ---- ----",
        half!(fp::one::<ops::FCvtPu, F>),
    ),
    row_if(
        Fp16,
        "FCVTZU (vector, integer, scalar, half)",
        "0111 1110 1111 1001 1011 10-- ---- ----",
        half!(fp::one::<ops::FCvtZu, F>),
    ),
    row_if(
        Fp16,
        "FRSQRTE (scalar, half)",
        "0111 1110 1111 1001 1101 10-- ---- ----",
        half!(fp::one::<ops::FRsqrte, F>),
    ),
    // Advanced SIMD scalar three same extra
    row_if(
        Rdm,
        "SQRDMLAH (vector, scalar)",
        "0111 1110 --0- ---- 1000 01-- ---- ----",
        scalar!(H S => scalar_three::<Sqrdmlah, T>),
    ),
    row_if(
        Rdm,
        "SQRDMLSH (vector, scalar)",
        "0111 1110 --0- ---- 1000 11-- ---- ----",
        scalar!(H S => scalar_three::<Sqrdmlsh, T>),
    ),
    // Advanced SIMD scalar two-register miscellaneous
    row(
        "SUQADD (scalar)",
        "0101 1110 --10 0000 0011 10-- ---- ----",
        scalar!(B H S D => scalar_accumulate::<Suqadd, T>),
    ),
    row(
        "SQABS (scalar)",
        "0101 1110 --10 0000 0111 10-- ---- ----",
        scalar!(B H S D => scalar_two::<Sqabs, T>),
    ),
    row(
        "CMGT (zero, scalar)",
        "0101 1110 --10 0000 1000 10-- ---- ----",
        scalar!(D => scalar_two::<CmGtZ, T>),
    ),
    row(
        "CMEQ (zero, scalar)",
        "0101 1110 --10 0000 1001 10-- ---- ----",
        scalar!(D => scalar_two::<CmEqZ, T>),
    ),
    row(
        "CMLT (zero, scalar)",
        "0101 1110 --10 0000 1010 10-- ---- ----",
        scalar!(D => scalar_two::<CmLtZ, T>),
    ),
    row("ABS (scalar)", "0101 1110 --10 0000 1011 10-- ---- ----", scalar!(D => scalar_two::<Abs, T>)),
    row(
        "SQXTN (scalar)",
        "0101 1110 --10 0001 0100 10-- ---- ----",
        scalar!(B H S => scalar_narrow::<Sqshrn, T>),
    ),
    row(
        "FCVTNS (vector, scalar)",
        "0101 1110 0-10 0001 1010 10-- ---- ----",
        float_scalar!(fp::one::<ops::FCvtNs, F>),
    ),
    row(
        "FCVTMS (vector, scalar)",
        "0101 1110 0-10 0001 1011 10-- ---- ----",
        float_scalar!(fp::one::<ops::FCvtMs, F>),
    ),
    row(
        "FCVTAS (vector, scalar)",
        "0101 1110 0-10 0001 1100 10-- ---- ----",
        float_scalar!(fp::one::<ops::FCvtAs, F>),
    ),
    row(
        "SCVTF (vector, integer, scalar)",
        "0101 1110 0-10 0001 1101 10-- ---- ----",
        float_scalar!(fp::one::<ops::SCvtF, F>),
    ),
    row(
        "FCMGT (zero, scalar)",
        "0101 1110 1-10 0000 1100 10-- ---- ----",
        float_scalar!(fp::one::<ops::FCmGtZ, F>),
    ),
    row(
        "FCMEQ (zero, scalar)",
        "0101 1110 1-10 0000 1101 10-- ---- ----",
        float_scalar!(fp::one::<ops::FCmEqZ, F>),
    ),
    row(
        "FCMLT (zero, scalar)",
        "0101 1110 1-10 0000 1110 10-- ---- ----",
        float_scalar!(fp::one::<ops::FCmLtZ, F>),
    ),
    row(
        "FCVTPS (vector, scalar)",
        "0101 1110 1-10 0001 1010 10-- ---- ----",
        float_scalar!(fp::one::<ops::FCvtPs, F>),
    ),
    row(
        "FCVTZS (vector, integer, scalar)",
        "0101 1110 1-10 0001 1011 10-- ---- ----",
        float_scalar!(fp::one::<ops::FCvtZs, F>),
    ),
    row(
        "FRECPE (scalar)",
        "0101 1110 1-10 0001 1101 10-- ---- ----",
        float_scalar!(fp::one::<ops::FRecpe, F>),
    ),
    row(
        "FRECPX (scalar)",
        "0101 1110 1-10 0001 1111 10-- ---- ----",
        float_scalar!(fp::one::<ops::FRecpx, F>),
    ),
    row(
        "USQADD (scalar)",
        "0111 1110 --10 0000 0011 10-- ---- ----",
        scalar!(B H S D => scalar_accumulate::<Usqadd, T>),
    ),
    row(
        "SQNEG (scalar)",
        "0111 1110 --10 0000 0111 10-- ---- ----",
        scalar!(B H S D => scalar_two::<Sqneg, T>),
    ),
    row(
        "CMGE (zero, scalar)",
        "0111 1110 --10 0000 1000 10-- ---- ----",
        scalar!(D => scalar_two::<CmGeZ, T>),
    ),
    row(
        "CMLE (zero, scalar)",
        "0111 1110 --10 0000 1001 10-- ---- ----",
        scalar!(D => scalar_two::<CmLeZ, T>),
    ),
    row(
        "NEG (vector, scalar)",
        "0111 1110 --10 0000 1011 10-- ---- ----",
        scalar!(D => scalar_two::<Neg, T>),
    ),
    row(
        "SQXTUN (scalar)",
        "0111 1110 --10 0001 0010 10-- ---- ----",
        scalar!(B H S => scalar_narrow::<Sqshrun, T>),
    ),
    row(
        "UQXTN (scalar)",
        "0111 1110 --10 0001 0100 10-- ---- ----",
        scalar!(B H S => scalar_narrow::<Uqshrn, T>),
    ),
    row("FCVTXN (scalar)", "0111 1110 0110 0001 0110 10-- ---- ----", plain!(fp_convert::fcvtxn_scalar)),
    row(
        "FCVTNU (vector, scalar)",
        "0111 1110 0-10 0001 1010 10-- ---- ----",
        float_scalar!(fp::one::<ops::FCvtNu, F>),
    ),
    row(
        "FCVTMU (vector, scalar)",
        "0111 1110 0-10 0001 1011 10-- ---- ----",
        float_scalar!(fp::one::<ops::FCvtMu, F>),
    ),
    row(
        "FCVTAU (vector, scalar)",
        "0111 1110 0-10 0001 1100 10-- ---- ----",
        float_scalar!(fp::one::<ops::FCvtAu, F>),
    ),
    row(
        "UCVTF (vector, integer, scalar)",
        "0111 1110 0-10 0001 1101 10-- ---- ----",
        float_scalar!(fp::one::<ops::UCvtF, F>),
    ),
    row(
        "FCMGE (zero, scalar)",
        "0111 1110 1-10 0000 1100 10-- ---- ----",
        float_scalar!(fp::one::<ops::FCmGeZ, F>),
    ),
    row(
        "FCMLE (zero, scalar)",
        "0111 1110 1-10 0000 1101 10-- ---- ----",
        float_scalar!(fp::one::<ops::FCmLeZ, F>),
    ),
    row(
        "FCVTPU (vector, scalar)",
        "0111 1110 1-10 0001 1010 10-- ---- ----",
        float_scalar!(fp::one::<ops::FCvtPu, F>),
    ),
    row(
        "FCVTZU (vector, integer, scalar)",
        "0111 1110 1-10 0001 1011 10-- ---- ----",
        float_scalar!(fp::one::<ops::FCvtZu, F>),
    ),
    row(
        "FRSQRTE (scalar)",
        "0111 1110 1-10 0001 1101 10-- ---- ----",
        float_scalar!(fp::one::<ops::FRsqrte, F>),
    ),
    // Advanced SIMD scalar pairwise
    row("ADDP (scalar)", "0101 1110 1111 0001 1011 10-- ---- ----", plain!(simd_misc::add_pair)),
    row_if(
        Fp16,
        "FMAXNMP (scalar, half)",
        "0101 1110 0011 0000 1100 10-- ---- ----",
        half!(simd_float::pair::<ops::FMaxNm, F>),
    ),
    row_if(
        Fp16,
        "FADDP (scalar, half)",
        "0101 1110 0011 0000 1101 10-- ---- ----",
        half!(simd_float::pair::<ops::FAdd, F>),
    ),
    row_if(
        Fp16,
        "FMAXP (scalar, half)",
        "0101 1110 0011 0000 1111 10-- ---- ----",
        half!(simd_float::pair::<ops::FMax, F>),
    ),
    row_if(
        Fp16,
        "FMINNMP (scalar, half)",
        "0101 1110 1011 0000 1100 10-- ---- ----",
        half!(simd_float::pair::<ops::FMinNm, F>),
    ),
    row_if(
        Fp16,
        "FMINP (scalar, half)",
        "0101 1110 1011 0000 1111 10-- ---- ----",
        half!(simd_float::pair::<ops::FMin, F>),
    ),
    row(
        "FMAXNMP (scalar)",
        "0111 1110 0-11 0000 1100 10-- ---- ----",
        float_scalar!(simd_float::pair::<ops::FMaxNm, F>),
    ),
    row(
        "FADDP (scalar)",
        "0111 1110 0-11 0000 1101 10-- ---- ----",
        float_scalar!(simd_float::pair::<ops::FAdd, F>),
    ),
    row(
        "FMAXP (scalar)",
        "0111 1110 0-11 0000 1111 10-- ---- ----",
        float_scalar!(simd_float::pair::<ops::FMax, F>),
    ),
    row(
        "FMINNMP (scalar)",
        "0111 1110 1-11 0000 1100 10-- ---- ----",
        float_scalar!(simd_float::pair::<ops::FMinNm, F>),
    ),
    row(
        "FMINP (scalar)",
        "0111 1110 1-11 0000 1111 10-- ---- ----",
        float_scalar!(simd_float::pair::<ops::FMin, F>),
    ),
    // Advanced SIMD scalar three different
    row(
        "SQDMLAL (vector, scalar)",
        "0101 1110 --1- ---- 1001 00-- ---- ----",
        scalar!(H S => scalar_long::<Sqdmlal, T>),
    ),
    row(
        "SQDMLSL (vector, scalar)",
        "0101 1110 --1- ---- 1011 00-- ---- ----",
        scalar!(H S => scalar_long::<Sqdmlsl, T>),
    ),
    row(
        "SQDMULL (vector, scalar)",
        "0101 1110 --1- ---- 1101 00-- ---- ----",
        scalar!(H S => scalar_long::<Sqdmull, T>),
    ),
    // Advanced SIMD scalar three same
    row(
        "SQADD (scalar)",
        "0101 1110 --1- ---- 0000 11-- ---- ----",
        scalar!(B H S D => scalar_three::<Sqadd, T>),
    ),
    row(
        "SQSUB (scalar)",
        "0101 1110 --1- ---- 0010 11-- ---- ----",
        scalar!(B H S D => scalar_three::<Sqsub, T>),
    ),
    row(
        "CMGT (register, scalar)",
        "0101 1110 --1- ---- 0011 01-- ---- ----",
        scalar!(D => scalar_three::<CmGt, T>),
    ),
    row(
        "CMGE (register, scalar)",
        "0101 1110 --1- ---- 0011 11-- ---- ----",
        scalar!(D => scalar_three::<CmGe, T>),
    ),
    row("SSHL (scalar)", "0101 1110 --1- ---- 0100 01-- ---- ----", scalar!(D => scalar_three::<Sshl, T>)),
    row(
        "SQSHL (register, scalar)",
        "0101 1110 --1- ---- 0100 11-- ---- ----",
        scalar!(B H S D => scalar_three::<Sqshl, T>),
    ),
    row("SRSHL (scalar)", "0101 1110 --1- ---- 0101 01-- ---- ----", scalar!(D => scalar_three::<Srshl, T>)),
    row(
        "SQRSHL (scalar)",
        "0101 1110 --1- ---- 0101 11-- ---- ----",
        scalar!(B H S D => scalar_three::<Sqrshl, T>),
    ),
    row(
        "ADD (vector, scalar)",
        "0101 1110 --1- ---- 1000 01-- ---- ----",
        scalar!(D => scalar_three::<Add, T>),
    ),
    row("CMTST (scalar)", "0101 1110 --1- ---- 1000 11-- ---- ----", scalar!(D => scalar_three::<CmTst, T>)),
    row(
        "SQDMULH (vector, scalar)",
        "0101 1110 --1- ---- 1011 01-- ---- ----",
        scalar!(H S => scalar_three::<Sqdmulh, T>),
    ),
    row("FMULX (scalar)", "0101 1110 0-1- ---- 1101 11-- ---- ----", float_scalar!(fp::two::<ops::FMulX, F>)),
    row(
        "FCMEQ (register, scalar)",
        "0101 1110 0-1- ---- 1110 01-- ---- ----",
        float_scalar!(fp::two::<ops::FCmEq, F>),
    ),
    row(
        "FRECPS (scalar)",
        "0101 1110 0-1- ---- 1111 11-- ---- ----",
        float_scalar!(fp::two::<ops::FRecps, F>),
    ),
    row(
        "FRSQRTS (scalar)",
        "0101 1110 1-1- ---- 1111 11-- ---- ----",
        float_scalar!(fp::two::<ops::FRsqrts, F>),
    ),
    row(
        "UQADD (scalar)",
        "0111 1110 --1- ---- 0000 11-- ---- ----",
        scalar!(B H S D => scalar_three::<Uqadd, T>),
    ),
    row(
        "UQSUB (scalar)",
        "0111 1110 --1- ---- 0010 11-- ---- ----",
        scalar!(B H S D => scalar_three::<Uqsub, T>),
    ),
    row(
        "CMHI (register, scalar)",
        "0111 1110 --1- ---- 0011 01-- ---- ----",
        scalar!(D => scalar_three::<CmHi, T>),
    ),
    row(
        "CMHS (register, scalar)",
        "0111 1110 --1- ---- 0011 11-- ---- ----",
        scalar!(D => scalar_three::<CmHs, T>),
    ),
    row("USHL (scalar)", "0111 1110 --1- ---- 0100 01-- ---- ----", scalar!(D => scalar_three::<Ushl, T>)),
    row(
        "UQSHL (register, scalar)",
        "0111 1110 --1- ---- 0100 11-- ---- ----",
        scalar!(B H S D => scalar_three::<Uqshl, T>),
    ),
    row("URSHL (scalar)", "0111 1110 --1- ---- 0101 01-- ---- ----", scalar!(D => scalar_three::<Urshl, T>)),
    row(
        "UQRSHL (scalar)",
        "0111 1110 --1- ---- 0101 11-- ---- ----",
        scalar!(B H S D => scalar_three::<Uqrshl, T>),
    ),
    row(
        "SUB (vector, scalar)",
        "0111 1110 --1- ---- 1000 01-- ---- ----",
        scalar!(D => scalar_three::<Sub, T>),
    ),
    row(
        "CMEQ (register, scalar)",
        "0111 1110 --1- ---- 1000 11-- ---- ----",
        scalar!(D => scalar_three::<CmEq, T>),
    ),
    row(
        "SQRDMULH (vector, scalar)",
        "0111 1110 --1- ---- 1011 01-- ---- ----",
        scalar!(H S => scalar_three::<Sqrdmulh, T>),
    ),
    row(
        "FCMGE (register, scalar)",
        "0111 1110 0-1- ---- 1110 01-- ---- ----",
        float_scalar!(fp::two::<ops::FCmGe, F>),
    ),
    row("FACGE (scalar)", "0111 1110 0-1- ---- 1110 11-- ---- ----", float_scalar!(fp::two::<ops::FAcGe, F>)),
    row("FABD (scalar)", "0111 1110 1-1- ---- 1101 01-- ---- ----", float_scalar!(fp::two::<ops::FAbd, F>)),
    row(
        "FCMGT (register, scalar)",
        "0111 1110 1-1- ---- 1110 01-- ---- ----",
        float_scalar!(fp::two::<ops::FCmGt, F>),
    ),
    row("FACGT (scalar)", "0111 1110 1-1- ---- 1110 11-- ---- ----", float_scalar!(fp::two::<ops::FAcGt, F>)),
    // Advanced SIMD scalar shift by immediate
    row(
        "SSHR (scalar)",
        "0101 1111 0--- ---- 0000 01-- ---- ----",
        right_scalar!(D => scalar_by_imm::<Sshr, T>),
    ),
    row(
        "SSRA (scalar)",
        "0101 1111 0--- ---- 0001 01-- ---- ----",
        right_scalar!(D => scalar_by_imm::<Ssra, T>),
    ),
    row(
        "SRSHR (scalar)",
        "0101 1111 0--- ---- 0010 01-- ---- ----",
        right_scalar!(D => scalar_by_imm::<Srshr, T>),
    ),
    row(
        "SRSRA (scalar)",
        "0101 1111 0--- ---- 0011 01-- ---- ----",
        right_scalar!(D => scalar_by_imm::<Srsra, T>),
    ),
    row(
        "SHL (scalar)",
        "0101 1111 0--- ---- 0101 01-- ---- ----",
        left_scalar!(D => scalar_by_imm::<Shl, T>),
    ),
    row(
        "SQSHL (immediate, scalar)",
        "0101 1111 0--- ---- 0111 01-- ---- ----",
        left_scalar!(B H S D => scalar_by_imm::<SqshlI, T>),
    ),
    row(
        "SQSHRN (scalar)",
        "0101 1111 0--- ---- 1001 01-- ---- ----",
        right_scalar!(B H S => scalar_narrow::<Sqshrn, T>),
    ),
    row(
        "SQRSHRN (scalar)",
        "0101 1111 0--- ---- 1001 11-- ---- ----",
        right_scalar!(B H S => scalar_narrow::<Sqrshrn, T>),
    ),
    row_if(
        HalfShift,
        "SCVTF (vector, fixed-point, scalar)",
        "0101 1111 0--- ---- 1110 01-- ---- ----",
        fixed!(false, scalar_fixed::<F, false, true>),
    ),
    row_if(
        HalfShift,
        "FCVTZS (vector, fixed-point, scalar)",
        "0101 1111 0--- ---- 1111 11-- ---- ----",
        fixed!(false, scalar_fixed::<F, true, true>),
    ),
    row(
        "USHR (scalar)",
        "0111 1111 0--- ---- 0000 01-- ---- ----",
        right_scalar!(D => scalar_by_imm::<Ushr, T>),
    ),
    row(
        "USRA (scalar)",
        "0111 1111 0--- ---- 0001 01-- ---- ----",
        right_scalar!(D => scalar_by_imm::<Usra, T>),
    ),
    row(
        "URSHR (scalar)",
        "0111 1111 0--- ---- 0010 01-- ---- ----",
        right_scalar!(D => scalar_by_imm::<Urshr, T>),
    ),
    row(
        "URSRA (scalar)",
        "0111 1111 0--- ---- 0011 01-- ---- ----",
        right_scalar!(D => scalar_by_imm::<Ursra, T>),
    ),
    row(
        "SRI (scalar)",
        "0111 1111 0--- ---- 0100 01-- ---- ----",
        right_scalar!(D => scalar_by_imm::<Sri, T>),
    ),
    row(
        "SLI (scalar)",
        "0111 1111 0--- ---- 0101 01-- ---- ----",
        left_scalar!(D => scalar_by_imm::<Sli, T>),
    ),
    row(
        "SQSHLU (scalar)",
        "0111 1111 0--- ---- 0110 01-- ---- ----",
        left_scalar!(B H S D => scalar_by_imm::<Sqshlu, T>),
    ),
    row(
        "UQSHL (immediate, scalar)",
        "0111 1111 0--- ---- 0111 01-- ---- ----",
        left_scalar!(B H S D => scalar_by_imm::<UqshlI, T>),
    ),
    row(
        "SQSHRUN (scalar)",
        "0111 1111 0--- ---- 1000 01-- ---- ----",
        right_scalar!(B H S => scalar_narrow::<Sqshrun, T>),
    ),
    row(
        "SQRSHRUN (scalar)",
        "0111 1111 0--- ---- 1000 11-- ---- ----",
        right_scalar!(B H S => scalar_narrow::<Sqrshrun, T>),
    ),
    row(
        "UQSHRN (scalar)",
        "0111 1111 0--- ---- 1001 01-- ---- ----",
        right_scalar!(B H S => scalar_narrow::<Uqshrn, T>),
    ),
    row(
        "UQRSHRN (scalar)",
        "0111 1111 0--- ---- 1001 11-- ---- ----",
        right_scalar!(B H S => scalar_narrow::<Uqrshrn, T>),
    ),
    row_if(
        HalfShift,
        "UCVTF (vector, fixed-point, scalar)",
        "0111 1111 0--- ---- 1110 01-- ---- ----",
        fixed!(false, scalar_fixed::<F, false, false>),
    ),
    row_if(
        HalfShift,
        "FCVTZU (vector, fixed-point, scalar)",
        "0111 1111 0--- ---- 1111 11-- ---- ----",
        fixed!(false, scalar_fixed::<F, true, false>),
    ),
    // Advanced SIMD scalar x indexed element
    row(
        "SQDMLAL (by element, scalar)",
        "0101 1111 ---- ---- 0011 -0-- ---- ----",
        element!(scalar_long_by_element::<Sqdmlal, T>),
    ),
    row(
        "SQDMLSL (by element, scalar)",
        "0101 1111 ---- ---- 0111 -0-- ---- ----",
        element!(scalar_long_by_element::<Sqdmlsl, T>),
    ),
    row(
        "SQDMULL (by element, scalar)",
        "0101 1111 ---- ---- 1011 -0-- ---- ----",
        element!(scalar_long_by_element::<Sqdmull, T>),
    ),
    row(
        "SQDMULH (by element, scalar)",
        "0101 1111 ---- ---- 1100 -0-- ---- ----",
        element!(scalar_by_element::<Sqdmulh, T>),
    ),
    row(
        "SQRDMULH (by element, scalar)",
        "0101 1111 ---- ---- 1101 -0-- ---- ----",
        element!(scalar_by_element::<Sqrdmulh, T>),
    ),
    row_if(
        Fp16,
        "FMLA (by element, scalar, half)",
        "0101 1111 00-- ---- 0001 -0-- ---- ----",
        half_element!(simd_float::scalar_by_element::<ops::FMla, F>),
    ),
    row_if(
        Fp16,
        "FMLS (by element, scalar, half)",
        "0101 1111 00-- ---- 0101 -0-- ---- ----",
        half_element!(simd_float::scalar_by_element::<ops::FMls, F>),
    ),
    row_if(
        Fp16,
        "FMUL (by element, scalar, half)",
        "0101 1111 00-- ---- 1001 -0-- ---- ----",
        half_element!(simd_float::scalar_by_element::<ops::FMul, F>),
    ),
    row(
        "FMLA (by element, scalar)",
        "0101 1111 1--- ---- 0001 -0-- ---- ----",
        float_element!(false, simd_float::scalar_by_element::<ops::FMla, F>),
    ),
    row(
        "FMLS (by element, scalar)",
        "0101 1111 1--- ---- 0101 -0-- ---- ----",
        float_element!(false, simd_float::scalar_by_element::<ops::FMls, F>),
    ),
    row(
        "FMUL (by element, scalar)",
        "0101 1111 1--- ---- 1001 -0-- ---- ----",
        float_element!(false, simd_float::scalar_by_element::<ops::FMul, F>),
    ),
    row_if(
        Rdm,
        "SQRDMLAH (by element, scalar)",
        "0111 1111 ---- ---- 1101 -0-- ---- ----",
        element!(scalar_by_element::<Sqrdmlah, T>),
    ),
    row_if(
        Rdm,
        "SQRDMLSH (by element, scalar)",
        "0111 1111 ---- ---- 1111 -0-- ---- ----",
        element!(scalar_by_element::<Sqrdmlsh, T>),
    ),
    row_if(
        Fp16,
        "FMULX (by element, scalar, half)",
        "0111 1111 00-- ---- 1001 -0-- ---- ----",
        half_element!(simd_float::scalar_by_element::<ops::FMulX, F>),
    ),
    row(
        "FMULX (by element, scalar)",
        "0111 1111 1--- ---- 1001 -0-- ---- ----",
        float_element!(false, simd_float::scalar_by_element::<ops::FMulX, F>),
    ),
];
