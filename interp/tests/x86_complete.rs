//! Every encoding that a model says it supports has a handler.

use dejavm_interp::x86::model::Model;
use dejavm_interp::x86::{int, simd, system, x87};
use iced_x86::{Decoder, Instruction};
use std::collections::BTreeSet;

fn handled(ins: &Instruction) -> bool {
    [int::select, system::select, x87::select, simd::select].iter().any(|select| select(ins).is_some())
}

#[test]
fn every_supported_encoding_has_a_handler() {
    let mut missing = BTreeSet::new();
    // Registers of every number, and one memory operand with each opcode extension.
    let modrm: Vec<u8> = (0xc0..=0xff).chain((0..8).map(|reg| reg << 3 | 1)).collect();
    let maps: [&[u8]; 4] = [&[], &[0x0f], &[0x0f, 0x38], &[0x0f, 0x3a]];
    for model in [Model::I486, Model::Pentium3, Model::Qemu64, Model::Nehalem, Model::Max] {
        for bits in [16, 32, 64] {
            for prefix in [&[][..], &[0x66], &[0xf2], &[0xf3], &[0x48], &[0xf3, 0x48], &[0x66, 0x48]] {
                for map in maps {
                    for opcode in 0..=255 {
                        for &m in &modrm {
                            let bytes = [prefix, map, &[opcode, m, 0, 0, 0, 0, 0, 0, 0, 0]].concat();
                            let ins = Decoder::with_ip(bits, &bytes, 0, model.decoder_options()).decode();
                            if !ins.is_invalid() && model.supports(ins.code()) && !handled(&ins) {
                                missing.insert(format!("{:?}", ins.code()));
                            }
                        }
                    }
                }
            }
        }
    }
    assert!(missing.is_empty(), "{missing:?}");
}
