//! Every encoding of the general-purpose instructions has a handler.

use dejavm_interp::x86::{int, simd, system, x87};
use iced_x86::{Code, CpuidFeature, Decoder, DecoderOptions, Instruction};
use std::collections::BTreeSet;

/// What the general-purpose instructions came with.
const FEATURES: &[CpuidFeature] = &[
    CpuidFeature::INTEL8086,
    CpuidFeature::INTEL186,
    CpuidFeature::INTEL286,
    CpuidFeature::INTEL386,
    CpuidFeature::INTEL486,
    CpuidFeature::X64,
    CpuidFeature::CMOV,
    CpuidFeature::CX8,
    CpuidFeature::CMPXCHG16B,
    CpuidFeature::POPCNT,
    CpuidFeature::MOVBE,
    CpuidFeature::MULTIBYTENOP,
    CpuidFeature::PAUSE,
    CpuidFeature::CLFSH,
    CpuidFeature::CET_IBT,
    CpuidFeature::PREFETCHW,
];

/// Calls `f` with every instruction of one- and two-byte opcodes and 0F 38 Fx.
fn for_each(mut f: impl FnMut(&Instruction)) {
    let mut opcodes: Vec<Vec<u8>> = (0..=255u8).filter(|b| *b != 0x0f).map(|b| vec![b]).collect();
    opcodes.extend((0..=255u8).map(|b| vec![0x0f, b]));
    opcodes.extend((0xf0..=0xffu8).map(|b| vec![0x0f, 0x38, b]));
    let prefixes: [&[u8]; 10] = [
        &[],
        &[0x66],
        &[0x67],
        &[0xf2],
        &[0xf3],
        &[0x48],
        &[0x66, 0xf2],
        &[0x66, 0x67],
        &[0xf2, 0x48],
        &[0xf3, 0x48],
    ];
    for bits in [16, 32, 64] {
        for prefix in prefixes {
            for opcode in &opcodes {
                for modrm in 0..=255u8 {
                    let mut bytes = [prefix, opcode, &[modrm]].concat();
                    bytes.resize(15, 0);
                    let ins = Decoder::new(bits, &bytes, DecoderOptions::NONE).decode();
                    if !ins.is_invalid() {
                        f(&ins);
                    }
                }
            }
        }
    }
}

#[test]
fn every_general_encoding_has_a_handler() {
    let mut missing = BTreeSet::<String>::new();
    let mut ours = BTreeSet::<Code>::new();
    for_each(|ins| {
        if !ins.cpuid_features().iter().all(|f| FEATURES.contains(f)) {
            return;
        }
        if int::select(ins).is_some() {
            ours.insert(ins.code());
            return;
        }
        if [system::select, x87::select, simd::select].iter().all(|select| select(ins).is_none()) {
            missing.insert(format!("{:?}", ins.code()));
        }
    });
    assert!(missing.is_empty(), "{missing:?}");
    // Fewer would mean that the loop above looks at nothing.
    assert!(ours.len() > 500, "{}", ours.len());
}
