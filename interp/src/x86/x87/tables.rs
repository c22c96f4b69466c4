//! Constants of the transcendental functions, to 113 or 128 bits.
//!
//! They are values of well-known mathematical functions, computed with 400 bits and rounded to
//! nearest; the unit tests of [`super::math`] would notice a wrong digit.

use crate::softfloat::F128;

/// FLD1, FLDL2T, FLDL2E, FLDPI, FLDLG2, FLDLN2: exponent and 128-bit significand.
pub(super) const CONSTANTS: [(i32, u128); 6] = [
    // 1
    (0, 0x8000_0000_0000_0000_0000_0000_0000_0000),
    // log2(10)
    (1, 0xd49a_784b_cd1b_8afe_492b_f6ff_4daf_db4d),
    // log2(e)
    (0, 0xb8aa_3b29_5c17_f0bb_be87_fed0_691d_3e89),
    // pi
    (1, 0xc90f_daa2_2168_c234_c4c6_628b_80dc_1cd1),
    // log10(2)
    (-2, 0x9a20_9a84_fbcf_f798_8f89_59ac_0b7c_9178),
    // ln(2)
    (-1, 0xb172_17f7_d1cf_79ab_c9e3_b398_03f2_f6af),
];

/// ln(2).
pub(super) const LN_2: F128 = F128(0x3ffe_62e4_2fef_a39e_f357_93c7_6730_07e6);

/// log2(e).
pub(super) const LOG2_E: F128 = F128(0x3fff_7154_7652_b82f_e177_7d0f_fda0_d23a);

/// π.
pub(super) const PI: F128 = F128(0x4000_921f_b544_42d1_8469_898c_c517_01b8);

/// π/2.
pub(super) const HALF_PI: F128 = F128(0x3fff_921f_b544_42d1_8469_898c_c517_01b8);

/// π/4.
pub(super) const QUARTER_PI: F128 = F128(0x3ffe_921f_b544_42d1_8469_898c_c517_01b8);

/// 3π/4.
pub(super) const THREE_QUARTER_PI: F128 = F128(0x4000_2d97_c7f3_321d_234f_2729_93d1_414a);

/// Coefficients of (sin(x) - x) / x³ in x²: (-1)ⁿ/(2n+1)!, n from 1.
pub(super) const SINE: [F128; 15] = [
    F128(0xbffc_5555_5555_5555_5555_5555_5555_5555),
    F128(0x3ff8_1111_1111_1111_1111_1111_1111_1111),
    F128(0xbff2_a01a_01a0_1a01_a01a_01a0_1a01_a01a),
    F128(0x3fec_71de_3a55_6c73_38fa_ac1c_88e5_0017),
    F128(0xbfe5_ae64_567f_544e_38fe_747e_4b83_7dc7),
    F128(0x3fde_6124_613a_86d0_97ca_3833_1d23_af68),
    F128(0xbfd6_ae7f_3e73_3b81_f11d_8656_b0ee_8cb0),
    F128(0x3fce_952c_7703_0ad4_a6b2_6051_9777_1b00),
    F128(0xbfc6_2f49_b468_1415_724c_a1ec_3b7b_9675),
    F128(0x3fbd_71b8_ef6d_cf57_18be_f146_fcee_6e45),
    F128(0xbfb4_761b_4131_6381_9d97_b870_4dd7_f628),
    F128(0x3fab_3f3c_cdd1_65fa_8d4e_44a4_1977_6f11),
    F128(0xbfa1_d1ab_1c2d_ccea_320a_9a18_f15d_4277),
    F128(0x3f98_259f_98b4_358a_d7ab_e30e_7766_f129),
    F128(0xbf8e_434d_2e78_3f5b_c42e_1ee4_6fa6_bfc4),
];

/// Coefficients of cos(x) - 1 over x², in x²: (-1)ⁿ/(2n)!, n from 1.
pub(super) const COSINE: [F128; 15] = [
    F128(0xbffe_0000_0000_0000_0000_0000_0000_0000),
    F128(0x3ffa_5555_5555_5555_5555_5555_5555_5555),
    F128(0xbff5_6c16_c16c_16c1_6c16_c16c_16c1_6c17),
    F128(0x3fef_a01a_01a0_1a01_a01a_01a0_1a01_a01a),
    F128(0xbfe9_27e4_fb77_89f5_c72e_f016_d3ea_6679),
    F128(0x3fe2_1eed_8eff_8d89_7b54_4da9_87ac_fe85),
    F128(0xbfda_9397_4a8c_07c9_d20b_adf1_45df_a3e5),
    F128(0x3fd2_ae7f_3e73_3b81_f11d_8656_b0ee_8cb0),
    F128(0xbfca_6827_863b_97d9_77bb_0048_86a2_c2ab),
    F128(0x3fc1_e542_ba40_2022_507a_9cad_2bf8_f0bb),
    F128(0xbfb9_0ce3_96db_7f85_2945_0c90_b7f3_38ec),
    F128(0x3faf_f2cf_0197_2f57_7cca_4b40_67ca_9d8a),
    F128(0xbfa6_88e8_5fc6_a4e5_9a38_f205_0ba6_b015),
    F128(0x3f9d_0a18_a263_5085_d373_c5c5_1c35_4a8d),
    F128(0xbf93_3932_c504_7d60_e60c_aded_4c29_89c5),
];

/// Coefficients of (atan(x) - x) / x³ in x²: (-1)ⁿ/(2n+1), n from 1.
pub(super) const ARCTANGENT: [F128; 12] = [
    F128(0xbffd_5555_5555_5555_5555_5555_5555_5555),
    F128(0x3ffc_9999_9999_9999_9999_9999_9999_999a),
    F128(0xbffc_2492_4924_9249_2492_4924_9249_2492),
    F128(0x3ffb_c71c_71c7_1c71_c71c_71c7_1c71_c71c),
    F128(0xbffb_745d_1745_d174_5d17_45d1_745d_1746),
    F128(0x3ffb_3b13_b13b_13b1_3b13_b13b_13b1_3b14),
    F128(0xbffb_1111_1111_1111_1111_1111_1111_1111),
    F128(0x3ffa_e1e1_e1e1_e1e1_e1e1_e1e1_e1e1_e1e2),
    F128(0xbffa_af28_6bca_1af2_86bc_a1af_286b_ca1b),
    F128(0x3ffa_8618_6186_1861_8618_6186_1861_8618),
    F128(0xbffa_642c_8590_b216_42c8_590b_2164_2c86),
    F128(0x3ffa_47ae_147a_e147_ae14_7ae1_47ae_147b),
];

/// atan(k/16), k from 0 to 16.
pub(super) const ARCTANGENTS: [F128; 17] = [
    F128(0x0000_0000_0000_0000_0000_0000_0000_0000),
    F128(0x3ffa_ff55_bb72_cfde_9c6d_964f_25b8_1c5c),
    F128(0x3ffb_fd5b_a9aa_c2f6_dc65_912f_313e_7d11),
    F128(0x3ffc_7b97_b4bc_e5b0_2268_f616_9f10_3939),
    F128(0x3ffc_f5b7_5f92_c80d_d62a_db8f_3deb_ef44),
    F128(0x3ffd_3627_7370_7ebc_bcd3_8b57_6931_a4f6),
    F128(0x3ffd_6f61_941e_4def_08e7_1546_4245_b9fd),
    F128(0x3ffd_a64e_ec3c_c23f_cb6c_84f9_2bd2_003d),
    F128(0x3ffd_dac6_7056_1bb4_f68a_dfc8_8bd9_7875),
    F128(0x3ffe_0657_e94d_b30c_fc54_96d4_1396_c34a),
    F128(0x3ffe_1e00_babd_efeb_3f36_b906_bc2c_cb88),
    F128(0x3ffe_345f_01cc_e37b_b440_844d_f1c4_40a0),
    F128(0x3ffe_4978_fa32_69ee_1248_3350_fe54_8afb),
    F128(0x3ffe_5d58_9871_69b1_8100_28e4_bc5e_7ca4),
    F128(0x3ffe_700a_7c57_8463_3ce7_965b_4aa4_2149),
    F128(0x3ffe_819d_0b71_58a4_cc81_13ba_c588_dd26),
    F128(0x3ffe_921f_b544_42d1_8469_898c_c517_01b8),
];

/// Coefficients of (exp(x) - 1) / x: 1/n!, n from 1.
pub(super) const EXPONENTIAL: [F128; 17] = [
    F128(0x3fff_0000_0000_0000_0000_0000_0000_0000),
    F128(0x3ffe_0000_0000_0000_0000_0000_0000_0000),
    F128(0x3ffc_5555_5555_5555_5555_5555_5555_5555),
    F128(0x3ffa_5555_5555_5555_5555_5555_5555_5555),
    F128(0x3ff8_1111_1111_1111_1111_1111_1111_1111),
    F128(0x3ff5_6c16_c16c_16c1_6c16_c16c_16c1_6c17),
    F128(0x3ff2_a01a_01a0_1a01_a01a_01a0_1a01_a01a),
    F128(0x3fef_a01a_01a0_1a01_a01a_01a0_1a01_a01a),
    F128(0x3fec_71de_3a55_6c73_38fa_ac1c_88e5_0017),
    F128(0x3fe9_27e4_fb77_89f5_c72e_f016_d3ea_6679),
    F128(0x3fe5_ae64_567f_544e_38fe_747e_4b83_7dc7),
    F128(0x3fe2_1eed_8eff_8d89_7b54_4da9_87ac_fe85),
    F128(0x3fde_6124_613a_86d0_97ca_3833_1d23_af68),
    F128(0x3fda_9397_4a8c_07c9_d20b_adf1_45df_a3e5),
    F128(0x3fd6_ae7f_3e73_3b81_f11d_8656_b0ee_8cb0),
    F128(0x3fd2_ae7f_3e73_3b81_f11d_8656_b0ee_8cb0),
    F128(0x3fce_952c_7703_0ad4_a6b2_6051_9777_1b00),
];

/// 2^(k/16) - 1, k from -16 to 16.
pub(super) const POWERS: [F128; 33] = [
    F128(0xbffe_0000_0000_0000_0000_0000_0000_0000),
    F128(0xbffd_e954_f260_cede_13ac_e8da_91cf_7aad),
    F128(0xbffd_d1a8_f870_55d0_a464_106e_75e2_9d6b),
    F128(0xbffd_b8f0_b231_53b8_f327_c0a4_9c7d_4695),
    F128(0xbffd_9f20_3eb9_c91d_5a42_e54b_739f_46f4),
    F128(0xbffd_842b_367d_b97b_b949_7dbb_83d8_5118),
    F128(0xbffd_6804_a559_3abb_1c57_8d0a_0277_a3be),
    F128(0xbffd_4a9f_0456_f57a_d4e6_d9fd_5cdc_2997),
    F128(0xbffd_2bec_3330_1886_6dee_9a09_d932_2ad5),
    F128(0xbffd_0bdd_7182_9fcf_2505_5dfb_8126_4bc1),
    F128(0xbffc_d4c6_af75_57c9_2916_0ea9_79b4_d913),
    F128(0xbffc_8edb_9f57_03db_f8e0_ee53_e383_506a),
    F128(0xbffc_45d8_19a9_4b14_a85e_32cb_a233_7e96),
    F128(0xbffb_f332_113d_56b1_eeef_9a76_afb7_22cd),
    F128(0xbffb_53f3_9182_2dbc_6d12_fd28_a4c8_f91b),
    F128(0xbffa_5b50_5d5b_6f26_7a70_8c5e_70a2_4cfe),
    F128(0x0000_0000_0000_0000_0000_0000_0000_0000),
    F128(0x3ffa_6ab0_d9f3_121e_c531_7256_e308_5530),
    F128(0x3ffb_72b8_3c7d_517a_dcdf_7c8c_50eb_14a8),
    F128(0x3ffc_1c3d_373a_b11c_3360_fd6d_8e0a_e5ad),
    F128(0x3ffc_837f_0518_db8a_96f4_6ad2_3182_e42f),
    F128(0x3ffc_ef53_2609_1a11_1ada_0911_f09e_bba0),
    F128(0x3ffd_2ff6_b54d_8a89_c750_e5eb_fb10_b884),
    F128(0x3ffd_6ac1_f752_150a_5632_4c05_4647_acd1),
    F128(0x3ffd_a827_999f_cef3_2422_cbec_4d9b_aa56),
    F128(0x3ffd_e845_1cfa_c061_b5f5_4408_fdb3_687d),
    F128(0x3ffe_159c_a845_541b_6b74_f8ab_4325_9376),
    F128(0x3ffe_3892_3054_7e12_038f_88d6_0e3e_57cb),
    F128(0x3ffe_5d13_f32b_5a75_abd0_e69a_2ee6_40b5),
    F128(0x3ffe_8333_7bb0_aa53_8444_1962_5412_374d),
    F128(0x3ffe_ab03_1b9f_7490_e4bb_40b5_d6cd_c1b9),
    F128(0x3ffe_d495_f454_921b_30b1_ee74_31eb_b660),
    F128(0x3fff_0000_0000_0000_0000_0000_0000_0000),
];

/// Coefficients of log2((1+s)/(1-s)) / s in s²: 2/(ln(2)(2n+1)), n from 0.
pub(super) const LOGARITHM: [F128; 24] = [
    F128(0x4000_7154_7652_b82f_e177_7d0f_fda0_d23a),
    F128(0x3ffe_ec70_9dc3_a03f_d749_fc15_522b_c2f9),
    F128(0x3ffe_2776_c50e_f9bf_e792_ca73_314d_74fc),
    F128(0x3ffd_a617_62a7_aded_93f6_45c9_21dc_5dfa),
    F128(0x3ffd_484b_13d7_c02a_8f86_a80e_36c7_d750),
    F128(0x3ffd_0c9a_8499_4022_d285_723a_2cd2_0d42),
    F128(0x3ffc_c68f_568d_3176_01ce_23c4_e963_78e6),
    F128(0x3ffc_89f3_b169_4cff_df6e_6344_41bc_9bfa),
    F128(0x3ffc_5b9a_c9b7_43f0_d434_3978_763d_0219),
    F128(0x3ffc_3703_c1f4_d0ff_e649_acaf_266c_7b24),
    F128(0x3ffc_1964_ec6f_c949_0d4e_d930_c13d_93fc),
    F128(0x3ffc_00ec_d7e0_8021_4eee_f2d3_78c8_eb4a),
    F128(0x3ffb_d8be_0817_f5ff_d8ea_dd85_1baf_2193),
    F128(0x3ffb_b5b9_6fca_558e_14b3_8abd_9e5f_c9c1),
    F128(0x3ffb_9789_566c_ee8d_1c19_eb1a_78f8_141d),
    F128(0x3ffb_7d3e_699f_b5de_d839_474a_5021_e145),
    F128(0x3ffb_6623_5b77_002e_6e07_42f8_3bc2_bc58),
    F128(0x3ffb_51ac_4eec_8b24_765e_9e3a_817d_17fb),
    F128(0x3ffb_3f6b_a49a_9175_84ba_5e53_04de_1d9a),
    F128(0x3ffb_2f0a_39b3_764e_abde_c283_4642_5099),
    F128(0x3ffb_2041_ebf5_a27c_c8f3_1ced_42d4_ef02),
    F128(0x3ffb_12d9_a573_23dc_30b8_2d71_1c00_9c73),
    F128(0x3ffb_06a2_7646_3355_3f9e_ecd8_2bd3_12a7),
    F128(0x3ffa_f6ea_d796_c456_fc8c_eba8_d6a4_85c2),
];
