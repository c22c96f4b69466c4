//! Values of the transcendental functions against correctly rounded ones, which were computed with
//! 400 and more bits. Sine, cosine and tangent use the x87's 66-bit π.

use super::math;
use crate::softfloat::{Env, F80, Flags};

#[derive(Clone, Copy, Debug)]
enum Function {
    Sine,
    Cosine,
    Tangent,
    Arctangent,
    Exponential,
    Logarithm,
    LogarithmPlus1,
}
use Function::*;

fn f((sign_exp, mantissa): (u16, u64)) -> F80 {
    F80 { sign_exp, mantissa }
}

fn compute(function: Function, y: F80, x: F80, env: &mut Env) -> F80 {
    match function {
        Sine => math::sine(x, env),
        Cosine => math::cosine(x, env),
        Tangent => math::tangent(x, env),
        Arctangent => math::arctangent(y, x, env),
        Exponential => math::exponential(x, env),
        Logarithm => math::y_log2_x(y, x, env),
        LogarithmPlus1 => math::y_log2_x_plus_1(y, x, env),
    }
}

#[test]
fn values_are_correctly_rounded() {
    for (function, y, x, want) in CASES {
        let mut env = Env::x87(0x37f);
        let got = compute(function, f(y), f(x), &mut env);
        assert_eq!(got, f(want), "{function:?} {y:x?} {x:x?}");
        assert_eq!(env.flags.0, Flags::INEXACT, "{function:?} {y:x?} {x:x?}");
    }
}

/// Directed roundings bracket the value: neighbours, in order.
#[test]
fn directed_roundings_bracket() {
    for (function, y, x, _) in CASES {
        let results = [0x77f, 0xb7f].map(|control| {
            let mut env = Env::x87(control);
            compute(function, f(y), f(x), &mut env)
        });
        let line = |v: F80| {
            let magnitude = i128::from(v.sign_exp & 0x7fff) << 63 | i128::from(v.mantissa & !(1 << 63));
            if v.sign() { -magnitude } else { magnitude }
        };
        assert_eq!(line(results[1]) - line(results[0]), 1, "{function:?} {y:x?} {x:x?}");
    }
}

/// Tiny arguments: no result is exact, the direction is known.
#[test]
fn tiny_arguments() {
    let tiny = F80 { sign_exp: 1, mantissa: 1 << 63 };
    let mut env = Env::x87(0xf7f);
    assert_eq!(math::sine(tiny, &mut env), F80 { sign_exp: 0, mantissa: u64::MAX >> 1 });
    assert_eq!(env.flags.0, Flags::INEXACT | Flags::UNDERFLOW);
    let mut env = Env::x87(0xb7f);
    assert_eq!(math::tangent(tiny, &mut env), F80 { sign_exp: 1, mantissa: 1 << 63 | 1 });
    assert_eq!(env.flags.0, Flags::INEXACT);
    let mut env = Env::x87(0xf7f);
    assert_eq!(math::cosine(tiny, &mut env), F80 { sign_exp: 0x3ffe, mantissa: u64::MAX });
}

/// FYL2X of powers of two and F2XM1 of whole numbers are exact.
#[test]
fn exact_results() {
    let mut env = Env::x87(0x37f);
    let eight = F80 { sign_exp: 0x4002, mantissa: 1 << 63 };
    let three = F80 { sign_exp: 0x4000, mantissa: 3 << 62 };
    assert_eq!(math::y_log2_x(F80::ONE, eight, &mut env), three);
    assert_eq!(math::exponential(F80::ONE, &mut env), F80::ONE);
    assert_eq!(env.flags.0, 0);
}

type Bits = (u16, u64);

/// Function, y, x, result.
const CASES: [(Function, Bits, Bits, Bits); 131] = [
    (Sine, (0x3fff, 0x8000_0000_0000_0000), (0xbffe, 0xade4_7dde_bde5_c099), (0xbffe, 0xa0d3_4111_3e17_4054)),
    (Sine, (0x3fff, 0x8000_0000_0000_0000), (0xc001, 0xebb6_a198_f144_6bea), (0xbffe, 0xe220_0c50_462f_28c8)),
    (Sine, (0x3fff, 0x8000_0000_0000_0000), (0xc001, 0xc3d8_5892_ec1d_7da0), (0x3ffc, 0xa633_3498_39fa_cc0e)),
    (Sine, (0x3fff, 0x8000_0000_0000_0000), (0x4002, 0xe352_9c3b_7733_0bdb), (0x3ffe, 0xff5d_31ea_06c8_61e9)),
    (Sine, (0x3fff, 0x8000_0000_0000_0000), (0xbffd, 0x86a3_209c_a623_3255), (0xbffd, 0x8517_4440_a540_7073)),
    (Sine, (0x3fff, 0x8000_0000_0000_0000), (0xbffd, 0xaf96_ecbf_1cfb_10f6), (0xbffd, 0xac2a_f3c7_58c2_b1b8)),
    (Sine, (0x3fff, 0x8000_0000_0000_0000), (0x4002, 0xb0bc_ace7_3f1f_65a8), (0xbffe, 0xffac_7cc6_cd46_ee53)),
    (Sine, (0x3fff, 0x8000_0000_0000_0000), (0xbffc, 0x9fea_11ac_92ed_cf45), (0xbffc, 0x9f43_df6b_3dbe_2e6d)),
    (Sine, (0x3fff, 0x8000_0000_0000_0000), (0x3fdd, 0xa3c6_140e_687c_966c), (0x3fdd, 0xa3c6_140e_687c_966c)),
    (Sine, (0x3fff, 0x8000_0000_0000_0000), (0x3fe3, 0xe186_c5bb_28db_d25e), (0x3fe3, 0xe186_c5bb_28db_d1e9)),
    (Sine, (0x3fff, 0x8000_0000_0000_0000), (0xc017, 0xcf18_348e_2386_42ea), (0xbffd, 0xc21a_7da9_582f_a3d7)),
    (Sine, (0x3fff, 0x8000_0000_0000_0000), (0xc02f, 0x90ed_44bc_206f_5c66), (0xbffe, 0xe185_8d5b_0e71_f374)),
    (Sine, (0x3fff, 0x8000_0000_0000_0000), (0x4013, 0xe305_1e55_359e_eefb), (0x3ffd, 0xaa37_733d_11a4_caeb)),
    (Sine, (0x3fff, 0x8000_0000_0000_0000), (0x401d, 0x954f_5d06_df56_1d80), (0xbffc, 0xb105_ac9f_1c60_5aca)),
    (Sine, (0x3fff, 0x8000_0000_0000_0000), (0x4027, 0x9975_3494_f623_6bf2), (0xbffe, 0x8074_4bbb_6c17_33ca)),
    (Sine, (0x3fff, 0x8000_0000_0000_0000), (0x4000, 0xc90f_daa2_2168_c235), (0xbfbf, 0x8000_0000_0000_0000)),
    (
        Cosine,
        (0x3fff, 0x8000_0000_0000_0000),
        (0xbffe, 0xade4_7dde_bde5_c099),
        (0x3ffe, 0xc72d_2ab0_4c1c_22ec),
    ),
    (
        Cosine,
        (0x3fff, 0x8000_0000_0000_0000),
        (0xc001, 0xebb6_a198_f144_6bea),
        (0x3ffd, 0xf007_406a_bfcd_fbce),
    ),
    (
        Cosine,
        (0x3fff, 0x8000_0000_0000_0000),
        (0xc001, 0xc3d8_5892_ec1d_7da0),
        (0x3ffe, 0xfc9b_09a0_928d_efe8),
    ),
    (
        Cosine,
        (0x3fff, 0x8000_0000_0000_0000),
        (0x4002, 0xe352_9c3b_7733_0bdb),
        (0xbffb, 0x9044_8594_64f4_edd1),
    ),
    (
        Cosine,
        (0x3fff, 0x8000_0000_0000_0000),
        (0xbffd, 0x86a3_209c_a623_3255),
        (0x3ffe, 0xf733_212e_7377_0bc8),
    ),
    (
        Cosine,
        (0x3fff, 0x8000_0000_0000_0000),
        (0xbffd, 0xaf96_ecbf_1cfb_10f6),
        (0x3ffe, 0xf117_aa05_36ac_603d),
    ),
    (
        Cosine,
        (0x3fff, 0x8000_0000_0000_0000),
        (0x4002, 0xb0bc_ace7_3f1f_65a8),
        (0x3ffa, 0xceb7_1c01_44d5_b9f9),
    ),
    (
        Cosine,
        (0x3fff, 0x8000_0000_0000_0000),
        (0xbffc, 0x9fea_11ac_92ed_cf45),
        (0x3ffe, 0xfce2_7ab0_244c_73de),
    ),
    (
        Cosine,
        (0x3fff, 0x8000_0000_0000_0000),
        (0x3fdd, 0xa3c6_140e_687c_966c),
        (0x3fff, 0x8000_0000_0000_0000),
    ),
    (
        Cosine,
        (0x3fff, 0x8000_0000_0000_0000),
        (0x3fe3, 0xe186_c5bb_28db_d25e),
        (0x3ffe, 0xffff_ffff_ffff_fe73),
    ),
    (
        Cosine,
        (0x3fff, 0x8000_0000_0000_0000),
        (0xc017, 0xcf18_348e_2386_42ea),
        (0x3ffe, 0xece3_e32a_b4be_9fdc),
    ),
    (
        Cosine,
        (0x3fff, 0x8000_0000_0000_0000),
        (0xc02f, 0x90ed_44bc_206f_5c66),
        (0xbffd, 0xf249_f028_4be5_a2cc),
    ),
    (
        Cosine,
        (0x3fff, 0x8000_0000_0000_0000),
        (0x4013, 0xe305_1e55_359e_eefb),
        (0x3ffe, 0xf170_454f_4f1c_97f2),
    ),
    (
        Cosine,
        (0x3fff, 0x8000_0000_0000_0000),
        (0x401d, 0x954f_5d06_df56_1d80),
        (0x3ffe, 0xfc25_4bb0_a51d_463a),
    ),
    (
        Cosine,
        (0x3fff, 0x8000_0000_0000_0000),
        (0x4027, 0x9975_3494_f623_6bf2),
        (0x3ffe, 0xdd70_89d3_62be_a440),
    ),
    (
        Cosine,
        (0x3fff, 0x8000_0000_0000_0000),
        (0x4000, 0xc90f_daa2_2168_c235),
        (0xbfff, 0x8000_0000_0000_0000),
    ),
    (
        Tangent,
        (0x3fff, 0x8000_0000_0000_0000),
        (0xbffe, 0xade4_7dde_bde5_c099),
        (0xbffe, 0xceb5_1bff_0b30_8253),
    ),
    (
        Tangent,
        (0x3fff, 0x8000_0000_0000_0000),
        (0xc001, 0xebb6_a198_f144_6bea),
        (0xbfff, 0xf12b_f6da_a1b3_36bf),
    ),
    (
        Tangent,
        (0x3fff, 0x8000_0000_0000_0000),
        (0xc001, 0xc3d8_5892_ec1d_7da0),
        (0x3ffc, 0xa86e_eed3_615c_f2e3),
    ),
    (
        Tangent,
        (0x3fff, 0x8000_0000_0000_0000),
        (0x4002, 0xe352_9c3b_7733_0bdb),
        (0xc002, 0xe291_b1d6_a999_1b23),
    ),
    (
        Tangent,
        (0x3fff, 0x8000_0000_0000_0000),
        (0xbffd, 0x86a3_209c_a623_3255),
        (0xbffd, 0x89d4_32e7_45c6_20ba),
    ),
    (
        Tangent,
        (0x3fff, 0x8000_0000_0000_0000),
        (0xbffd, 0xaf96_ecbf_1cfb_10f6),
        (0xbffd, 0xb6d0_417d_d11b_ac90),
    ),
    (
        Tangent,
        (0x3fff, 0x8000_0000_0000_0000),
        (0x4002, 0xb0bc_ace7_3f1f_65a8),
        (0xc003, 0x9e50_c87a_5ee1_fa26),
    ),
    (
        Tangent,
        (0x3fff, 0x8000_0000_0000_0000),
        (0xbffc, 0x9fea_11ac_92ed_cf45),
        (0xbffc, 0xa13a_2567_30be_e9de),
    ),
    (
        Tangent,
        (0x3fff, 0x8000_0000_0000_0000),
        (0x3fdd, 0xa3c6_140e_687c_966c),
        (0x3fdd, 0xa3c6_140e_687c_966c),
    ),
    (
        Tangent,
        (0x3fff, 0x8000_0000_0000_0000),
        (0x3fe3, 0xe186_c5bb_28db_d25e),
        (0x3fe3, 0xe186_c5bb_28db_d347),
    ),
    (
        Tangent,
        (0x3fff, 0x8000_0000_0000_0000),
        (0xc017, 0xcf18_348e_2386_42ea),
        (0xbffd, 0xd1c2_ff95_7dba_f7fe),
    ),
    (
        Tangent,
        (0x3fff, 0x8000_0000_0000_0000),
        (0xc02f, 0x90ed_44bc_206f_5c66),
        (0x3fff, 0xee48_b4fb_8881_ff7d),
    ),
    (
        Tangent,
        (0x3fff, 0x8000_0000_0000_0000),
        (0x4013, 0xe305_1e55_359e_eefb),
        (0x3ffd, 0xb47b_8960_679d_008f),
    ),
    (
        Tangent,
        (0x3fff, 0x8000_0000_0000_0000),
        (0x401d, 0x954f_5d06_df56_1d80),
        (0xbffc, 0xb3ba_6727_302b_fc6b),
    ),
    (
        Tangent,
        (0x3fff, 0x8000_0000_0000_0000),
        (0x4027, 0x9975_3494_f623_6bf2),
        (0xbffe, 0x9480_9859_933a_75a3),
    ),
    (
        Tangent,
        (0x3fff, 0x8000_0000_0000_0000),
        (0x4000, 0xc90f_daa2_2168_c235),
        (0x3fbf, 0x8000_0000_0000_0000),
    ),
    (
        Arctangent,
        (0xbffe, 0xf871_e6cb_2e81_d66d),
        (0xbffe, 0xfb88_474b_f770_c226),
        (0xc000, 0x9731_0fe5_54ed_2ebf),
    ),
    (
        Arctangent,
        (0xc001, 0x82c2_d00e_4c7d_6df0),
        (0x4001, 0xf7c8_0dc9_2a7c_1880),
        (0xbffd, 0xf89e_4306_bf93_d714),
    ),
    (
        Arctangent,
        (0x3fff, 0xaa7a_3534_10ac_ff00),
        (0x3ffb, 0xd6c6_8ca5_9892_1396),
        (0x3fff, 0xbf00_ff78_a83e_a75b),
    ),
    (
        Arctangent,
        (0xc000, 0xa7ac_b393_10e6_d8e6),
        (0x3fff, 0xd924_48c8_7b12_1dc5),
        (0xbffe, 0xff05_433b_591a_439c),
    ),
    (
        Arctangent,
        (0x3ffd, 0xbc7c_22fa_7b31_20df),
        (0xbffd, 0xa0ca_90ff_0e97_9cf3),
        (0x4000, 0x91bb_8999_0aef_f603),
    ),
    (
        Arctangent,
        (0xbffb, 0xdff9_4880_f300_1cee),
        (0x4001, 0xc647_caf7_04a0_12e8),
        (0xbff9, 0x9092_421b_820e_e14a),
    ),
    (
        Arctangent,
        (0xc001, 0xb02c_bdee_5dbe_4409),
        (0xbffb, 0x85fb_277b_73ec_28d0),
        (0xbfff, 0xca95_3650_753c_61f5),
    ),
    (
        Arctangent,
        (0xbffd, 0xfa43_55b9_9fab_a827),
        (0xbffe, 0xe0bb_f889_1e78_2196),
        (0xc000, 0xa88c_025c_ecf2_3abf),
    ),
    (
        Arctangent,
        (0x4002, 0xc199_782d_5829_6818),
        (0x4003, 0xe346_f5ae_403a_960a),
        (0x3ffd, 0xce27_0aae_a201_6e51),
    ),
    (
        Arctangent,
        (0x3ffc, 0xdfcb_81e0_96fa_bb7b),
        (0xc000, 0xa5de_dd80_dc14_ed57),
        (0x4000, 0xc3ad_84f8_2d6d_749e),
    ),
    (
        Arctangent,
        (0x4001, 0xfd3a_4b49_f21f_f5eb),
        (0x3ffe, 0xc1a6_0db4_573a_c59a),
        (0x3fff, 0xbcdd_0b30_8d24_1adf),
    ),
    (
        Arctangent,
        (0xc000, 0x92f8_1314_eb07_c30d),
        (0x3fff, 0xd9ef_047c_ec98_3704),
        (0xbffe, 0xeecc_4650_d191_b4ed),
    ),
    (
        Arctangent,
        (0xbffc, 0xd7cd_ba7c_4ffc_bf42),
        (0x3fff, 0xe63e_36c0_2d6f_2efc),
        (0xbffb, 0xeedb_3a76_e7e4_7a8a),
    ),
    (
        Arctangent,
        (0x3ffd, 0xd836_df70_b89c_4e56),
        (0x4002, 0xdc2d_2e69_2959_fea3),
        (0x3ff9, 0xfb50_7812_ee0b_19a1),
    ),
    (
        Arctangent,
        (0x3ffc, 0xcce2_12c5_fc98_5000),
        (0xc001, 0x9e61_0bbc_0825_c7cc),
        (0x4000, 0xc679_e0ee_3e4d_c553),
    ),
    (
        Arctangent,
        (0xc000, 0xa006_d806_d388_1a50),
        (0x4001, 0x8721_6a1e_2547_f19c),
        (0xbffe, 0x88db_d87b_6b15_ab07),
    ),
    (
        Arctangent,
        (0xbffb, 0xbf2d_1c98_cd39_e158),
        (0x3ffe, 0xfd9b_4110_216d_27a2),
        (0xbffb, 0xc069_9319_97e4_cecf),
    ),
    (
        Arctangent,
        (0xbffd, 0xf2c0_61af_a161_d909),
        (0xc001, 0x959b_ec0b_1b4c_24c2),
        (0xc000, 0xc298_004b_932b_3427),
    ),
    (
        Arctangent,
        (0x3ffa, 0x8785_cba9_2634_f16f),
        (0xc006, 0x9212_ebad_4b78_dc3d),
        (0x4000, 0xc90c_2499_6d23_df23),
    ),
    (
        Arctangent,
        (0x4039, 0x95ab_4aae_da2d_3b3d),
        (0xc020, 0xfae5_957e_741b_324d),
        (0x3fff, 0xc90f_db0d_6a9e_517e),
    ),
    (
        Arctangent,
        (0x404b, 0xa8aa_77af_bac0_d757),
        (0x3fe1, 0xbc2b_9bcb_4a80_7546),
        (0x3fff, 0xc90f_daa2_2168_c235),
    ),
    (
        Arctangent,
        (0x3fc0, 0xb041_8f79_1cd0_c151),
        (0xc023, 0x96f6_74ad_f5b6_7e6e),
        (0x4000, 0xc90f_daa2_2168_c235),
    ),
    (
        Arctangent,
        (0xc01a, 0xab53_45a0_de28_123c),
        (0x3fb1, 0xa2db_0ef9_7dea_ab64),
        (0xbfff, 0xc90f_daa2_2168_c235),
    ),
    (
        Arctangent,
        (0xc063, 0xef06_87e2_8c50_50ea),
        (0xbff7, 0xe49c_6346_1027_e5d3),
        (0xbfff, 0xc90f_daa2_2168_c235),
    ),
    (
        Exponential,
        (0x3fff, 0x8000_0000_0000_0000),
        (0xbffc, 0xcb32_af91_b1d1_17b7),
        (0xbffc, 0x8396_c9b6_a7d6_8be3),
    ),
    (
        Exponential,
        (0x3fff, 0x8000_0000_0000_0000),
        (0xbff7, 0xa721_25c9_c277_af32),
        (0xbff6, 0xe748_1664_5139_ecdb),
    ),
    (
        Exponential,
        (0x3fff, 0x8000_0000_0000_0000),
        (0x3ffb, 0xbe2a_eef0_d5d1_cbd0),
        (0x3ffb, 0x8826_0d5e_a818_4f14),
    ),
    (
        Exponential,
        (0x3fff, 0x8000_0000_0000_0000),
        (0x3ffb, 0xf907_b3c6_f4f6_717c),
        (0x3ffb, 0xb418_fd0e_3366_355b),
    ),
    (
        Exponential,
        (0x3fff, 0x8000_0000_0000_0000),
        (0x3ff9, 0xed08_80d5_94a6_300c),
        (0x3ff9, 0xa5f5_2312_0c32_48cc),
    ),
    (
        Exponential,
        (0x3fff, 0x8000_0000_0000_0000),
        (0x3ffe, 0xe309_28c8_8c07_985b),
        (0x3ffe, 0xd961_945b_a409_c36e),
    ),
    (
        Exponential,
        (0x3fff, 0x8000_0000_0000_0000),
        (0x3ffc, 0xa308_1d15_abf0_ca69),
        (0x3ffb, 0xeef3_d21b_9d6c_6a9e),
    ),
    (
        Exponential,
        (0x3fff, 0x8000_0000_0000_0000),
        (0x3ffb, 0xc00b_70a6_d111_eb37),
        (0x3ffb, 0x8989_5e55_3d6d_27b5),
    ),
    (
        Exponential,
        (0x3fff, 0x8000_0000_0000_0000),
        (0xbffc, 0xa30e_5b70_590e_f594),
        (0xbffb, 0xd604_0757_7149_2a25),
    ),
    (
        Exponential,
        (0x3fff, 0x8000_0000_0000_0000),
        (0xbffc, 0xf800_7f58_bce2_40c6),
        (0xbffc, 0x9e3f_656f_47a1_4b64),
    ),
    (
        Exponential,
        (0x3fff, 0x8000_0000_0000_0000),
        (0xbffd, 0xf60f_03eb_599c_8f1c),
        (0xbffd, 0x910e_4c19_2b7d_19b5),
    ),
    (
        Exponential,
        (0x3fff, 0x8000_0000_0000_0000),
        (0xbff9, 0xeef8_ebcf_deb2_80e6),
        (0xbff9, 0xa3fa_c5d5_90c5_6388),
    ),
    (
        Exponential,
        (0x3fff, 0x8000_0000_0000_0000),
        (0xbffe, 0xaea0_8d86_f9e3_24de),
        (0xbffd, 0xc0e6_856c_ca6b_2f29),
    ),
    (
        Exponential,
        (0x3fff, 0x8000_0000_0000_0000),
        (0xbffc, 0x9228_68e1_84a4_c93f),
        (0xbffb, 0xc0ea_d998_6005_6b94),
    ),
    (
        Exponential,
        (0x3fff, 0x8000_0000_0000_0000),
        (0xbff9, 0xeb16_5f92_32da_ef9f),
        (0xbff9, 0xa157_17c3_fba3_69e0),
    ),
    (
        Exponential,
        (0x3fff, 0x8000_0000_0000_0000),
        (0x3ffe, 0xd880_a235_4869_650e),
        (0x3ffe, 0xcc12_2ec9_15de_7894),
    ),
    (
        Exponential,
        (0x3fff, 0x8000_0000_0000_0000),
        (0x3ffd, 0xcef2_a96e_2bfc_d686),
        (0x3ffd, 0xa58e_2f04_dd36_7ddd),
    ),
    (
        Exponential,
        (0x3fff, 0x8000_0000_0000_0000),
        (0xbffd, 0xcfd6_9dfa_4d7b_8661),
        (0xbffc, 0xfb23_8180_dfb2_648e),
    ),
    (
        Exponential,
        (0x3fff, 0x8000_0000_0000_0000),
        (0xbfbd, 0xff7d_7aac_b86d_152d),
        (0xbfbd, 0xb117_9f9d_a5e8_ee7a),
    ),
    (
        Exponential,
        (0x3fff, 0x8000_0000_0000_0000),
        (0x3fb4, 0xcb10_bc3e_28f7_4587),
        (0x3fb4, 0x8cc1_129d_e27d_a791),
    ),
    (
        Exponential,
        (0x3fff, 0x8000_0000_0000_0000),
        (0x3fea, 0x9722_9415_a66e_1277),
        (0x3fe9, 0xd184_8a8c_8d2d_355d),
    ),
    (
        Logarithm,
        (0x3ffd, 0xdbf6_92ed_a180_6108),
        (0x3ffb, 0xbc5c_e9eb_fc89_3150),
        (0xbfff, 0xbd50_1938_7818_48ac),
    ),
    (
        Logarithm,
        (0xbffe, 0x86ee_287d_2a6e_4bd6),
        (0x3ffd, 0xa89e_f3c0_1c5f_4755),
        (0x3ffe, 0xd834_fc65_4ffb_e385),
    ),
    (
        Logarithm,
        (0xbffd, 0x98c0_0610_7b8f_ba72),
        (0x4003, 0xb52e_c4de_0920_da71),
        (0xbfff, 0xabe4_bf9a_f1fa_e80b),
    ),
    (
        Logarithm,
        (0x4000, 0xd4cd_9614_615b_43f3),
        (0x3ffc, 0x9a28_ac6d_9715_03bd),
        (0xc002, 0x9154_7500_8f9b_8aa1),
    ),
    (
        Logarithm,
        (0x4000, 0xacdd_da1b_002b_4b4c),
        (0x4001, 0xa3a6_cec7_f3bd_423e),
        (0x4001, 0xcb81_7d50_d38d_07fc),
    ),
    (
        Logarithm,
        (0xc001, 0x8eba_c256_ddcc_78de),
        (0x4003, 0xfb70_7f82_5fb6_93a6),
        (0xc003, 0xb17c_8f8a_eb5c_b2a3),
    ),
    (
        Logarithm,
        (0x4003, 0xa693_b33e_9d12_8945),
        (0x3ffc, 0xc5c9_cc1e_4b97_8eaf),
        (0xc004, 0xc593_6a0a_587a_fb55),
    ),
    (
        Logarithm,
        (0xc000, 0xca5a_ced8_f37b_7afb),
        (0x3fff, 0xad01_d309_f553_2e9c),
        (0xbfff, 0xafec_1514_d7d0_8704),
    ),
    (
        Logarithm,
        (0xbffd, 0xb462_1153_6b4a_4399),
        (0x4003, 0xbbd6_21af_5e93_cc57),
        (0xbfff, 0xcd56_0861_4199_c971),
    ),
    (
        Logarithm,
        (0x3ffd, 0xb0fd_d53d_988f_5e88),
        (0x4002, 0x997d_fd38_f50b_e271),
        (0x3fff, 0x9056_6828_982b_6f5d),
    ),
    (
        Logarithm,
        (0xbffd, 0x8ba0_5b57_9bcd_dba3),
        (0x4000, 0xf25d_206a_d23c_6940),
        (0xbffe, 0x861c_feee_9de1_ff1e),
    ),
    (
        Logarithm,
        (0xbffb, 0x8dd0_44ae_61c1_2c05),
        (0x4000, 0xf54f_16f4_90d9_0e5a),
        (0xbffc, 0x8973_1d22_792d_4230),
    ),
    (
        Logarithm,
        (0xc003, 0xa9a8_02e9_2404_f266),
        (0x4001, 0xb741_6a12_6de0_1c19),
        (0xc004, 0xd592_aad3_076a_c119),
    ),
    (
        Logarithm,
        (0xbffe, 0xa54f_b1cb_7e50_2193),
        (0x4002, 0xdaa9_86c7_f8f2_c944),
        (0xc000, 0x9be9_65df_3231_1067),
    ),
    (
        Logarithm,
        (0x3ffd, 0xed6f_7a73_f60d_3626),
        (0x4366, 0xcc43_8056_28b6_04bf),
        (0x4007, 0xca1d_98d0_0140_d32b),
    ),
    (
        Logarithm,
        (0xbfdd, 0xfd90_c560_bdb3_e4fa),
        (0x3e7f, 0xa023_0168_7f0d_e0a1),
        (0x3fe6, 0xbe03_9b69_1a68_2c65),
    ),
    (
        Logarithm,
        (0x3fa0, 0xf8fb_877d_51b3_fb36),
        (0x3e8c, 0xf6fb_50cc_7de3_a31c),
        (0xbfa9, 0xb3f4_35d7_c4a7_a4ce),
    ),
    (
        Logarithm,
        (0x3fbf, 0x830b_0e80_7a18_755f),
        (0x3d10, 0xcf93_6d59_a8f9_9dd1),
        (0xbfc8, 0xc009_0451_774a_5cb0),
    ),
    (
        Logarithm,
        (0xc002, 0xa584_6708_3ed9_1bb9),
        (0x3fff, 0x8000_0000_0000_a3be),
        (0xbfd3, 0x98bc_2269_0f46_93aa),
    ),
    (
        Logarithm,
        (0xc000, 0xb239_cc4a_d3a9_8330),
        (0x3ffe, 0xffff_ffff_ffff_c9eb),
        (0x3fce, 0xd947_76d8_35bd_9560),
    ),
    (
        LogarithmPlus1,
        (0x4003, 0xa30b_7901_8f70_d465),
        (0x3ffd, 0x84b4_a5ec_c82b_12a6),
        (0x4001, 0xd8d8_f83f_dae7_a6b0),
    ),
    (
        LogarithmPlus1,
        (0x4002, 0xec05_5f80_4487_3bea),
        (0x3ffa, 0xbf02_8164_4b0e_62be),
        (0x3ffe, 0xf851_1496_72bd_04b8),
    ),
    (
        LogarithmPlus1,
        (0xc002, 0xd28b_5139_84aa_0116),
        (0xbff7, 0xe154_be71_0423_e5e2),
        (0x3ffc, 0x8624_7b01_4858_3de4),
    ),
    (
        LogarithmPlus1,
        (0x3fff, 0xc449_a8e6_4847_ec0e),
        (0xbffb, 0xa5fe_44c1_9d13_05f5),
        (0xbffc, 0xbf7d_1df0_5b7f_43cb),
    ),
    (
        LogarithmPlus1,
        (0xc003, 0xbb6f_62e7_06d0_4b90),
        (0x3ffb, 0xdf5c_b915_ae87_eb6f),
        (0xc000, 0xdfef_8123_343a_6c1b),
    ),
    (
        LogarithmPlus1,
        (0xbffd, 0x805c_ef57_0953_67c2),
        (0x3ffd, 0xf552_4576_af8c_30a0),
        (0xbffc, 0x90fd_3426_80cb_3fd6),
    ),
    (
        LogarithmPlus1,
        (0x4003, 0x81dd_1e7a_30f1_209f),
        (0x3ffc, 0xc9ae_a147_984a_d8fa),
        (0x4001, 0x86bb_099b_c8e5_5b0f),
    ),
    (
        LogarithmPlus1,
        (0xc002, 0xf4b3_1651_dbd3_4bec),
        (0xbffc, 0xb228_a7a1_79c8_c490),
        (0x4001, 0x86f4_89cb_85f6_6157),
    ),
    (
        LogarithmPlus1,
        (0xbffe, 0xa5f2_0717_e61e_2017),
        (0x3ff7, 0xeb0b_2da7_4dbc_03c2),
        (0xbff7, 0xdb06_a062_0940_a49d),
    ),
    (
        LogarithmPlus1,
        (0x4001, 0xa4a7_7ad7_9505_54f8),
        (0xbffd, 0xa7cd_3b34_e922_098f),
        (0xc000, 0xbca9_7bd9_0284_018a),
    ),
    (
        LogarithmPlus1,
        (0x3ffd, 0xd8fd_6322_7a79_3fbe),
        (0xbffd, 0xaa55_9714_f911_67e3),
        (0xbffc, 0xfd40_a390_4f74_3f4a),
    ),
    (
        LogarithmPlus1,
        (0xbffd, 0xcafd_34cd_6cf1_8ca8),
        (0xbff6, 0xddc6_f5bf_1183_ed80),
        (0x3ff5, 0xfe21_e3eb_46ae_2110),
    ),
    (
        LogarithmPlus1,
        (0x3fff, 0x8ae7_b57a_d1d0_e536),
        (0xbff7, 0xf898_e694_a9e1_c814),
        (0xbff8, 0xc358_430f_194c_066e),
    ),
    (
        LogarithmPlus1,
        (0x4000, 0xb6f4_7ce0_b8fc_388f),
        (0xbff7, 0xb3df_8154_ff92_d93f),
        (0xbff9, 0xb9f7_fadc_2a0c_c890),
    ),
    (
        LogarithmPlus1,
        (0xc017, 0x8fca_c0be_0c84_3f2b),
        (0xbc94, 0xcea9_c13e_381f_9869),
        (0x3cad, 0xa777_d995_41e8_194c),
    ),
    (
        LogarithmPlus1,
        (0xbfb7, 0xf28a_54bd_b662_b035),
        (0x3d42, 0xf580_f3ee_b4ad_9979),
        (0xbcfc, 0xa7c8_521c_82d2_84a3),
    ),
    (
        LogarithmPlus1,
        (0x3fc1, 0xce28_8838_2ede_b6cd),
        (0x3dbe, 0x94a1_8af5_cd53_80da),
        (0x3d81, 0xacae_5fef_3716_b2a6),
    ),
    (
        LogarithmPlus1,
        (0x403a, 0x8593_77ff_3690_43d5),
        (0xbc85, 0xb089_9834_a903_a256),
        (0xbcc1, 0x84e4_7337_4ce7_560d),
    ),
];
