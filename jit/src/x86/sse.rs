//! SSE to SSE4.2, AES and PCLMULQDQ: the host's own instruction, with the guest's operands, where the
//! host has it.
//!
//! Guest XMM registers are in the host's of the same number, and MXCSR is the guest's, from the
//! first such instruction on until the interpreter or the engine runs again ([`Ctx::fp`] tells).
//! Only while every exception is masked: then results and flags are the interpreter's, whose
//! software arithmetic is tested against the host's. RCPPS and RSQRTPS are not here: hosts differ.
//!
//! [`Ctx::fp`]: super::regs::Ctx::fp

use super::address::How;
use super::block::Compiler;
use super::emit::{Rm, encode, group1, home, put};
use super::flags::Kind;
use super::flags::flag::ALL;
use super::int::{Plan, simple_address};
use super::regs;
use super::regs::host::{RBP, RCX};
use super::steps::Step;
use dejavm_interp::tlb::Access;
use dejavm_interp::x86::op::Op;
use dejavm_interp::x86::regs::{Cpu, cr0, cr4};
use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};
use iced_x86::{
    CpuidFeature, EncodingKind, Instruction, MandatoryPrefix, Mnemonic, OpCodeOperandKind, OpCodeTableKind,
    OpKind,
};

/// XMM registers and MXCSR cannot be used, or are not known to be usable.
pub const UNUSABLE: u8 = 0;
/// They can be loaded.
pub const USABLE: u8 = 1;
/// They are in the host's.
pub const LOADED: u8 = 2;

/// True when the host's instruction may stand for the guest's.
fn listed(m: Mnemonic) -> bool {
    use Mnemonic::*;
    matches!(
        m,
        Addps
            | Addpd
            | Addss
            | Addsd
            | Subps
            | Subpd
            | Subss
            | Subsd
            | Mulps
            | Mulpd
            | Mulss
            | Mulsd
            | Divps
            | Divpd
            | Divss
            | Divsd
            | Minps
            | Minpd
            | Minss
            | Minsd
            | Maxps
            | Maxpd
            | Maxss
            | Maxsd
            | Sqrtps
            | Sqrtpd
            | Sqrtss
            | Sqrtsd
            | Cmpps
            | Cmppd
            | Cmpss
            | Cmpsd
            | Comiss
            | Comisd
            | Ucomiss
            | Ucomisd
            | Cvtsi2ss
            | Cvtsi2sd
            | Cvtss2si
            | Cvtsd2si
            | Cvttss2si
            | Cvttsd2si
            | Cvtss2sd
            | Cvtsd2ss
            | Cvtps2pd
            | Cvtpd2ps
            | Cvtdq2ps
            | Cvtps2dq
            | Cvttps2dq
            | Cvtdq2pd
            | Cvtpd2dq
            | Cvttpd2dq
            | Andps
            | Andpd
            | Andnps
            | Andnpd
            | Orps
            | Orpd
            | Xorps
            | Xorpd
            | Pand
            | Pandn
            | Por
            | Pxor
            | Movaps
            | Movapd
            | Movups
            | Movupd
            | Movdqa
            | Movdqu
            | Movss
            | Movsd
            | Movd
            | Movq
            | Movlps
            | Movlpd
            | Movhps
            | Movhpd
            | Movhlps
            | Movlhps
            | Movmskps
            | Movmskpd
            | Pmovmskb
            | Movntps
            | Movntpd
            | Movntdq
            | Shufps
            | Shufpd
            | Unpcklps
            | Unpckhps
            | Unpcklpd
            | Unpckhpd
            | Pshufd
            | Pshufhw
            | Pshuflw
            | Punpcklbw
            | Punpcklwd
            | Punpckldq
            | Punpcklqdq
            | Punpckhbw
            | Punpckhwd
            | Punpckhdq
            | Punpckhqdq
            | Packsswb
            | Packssdw
            | Packuswb
            | Paddb
            | Paddw
            | Paddd
            | Paddq
            | Paddsb
            | Paddsw
            | Paddusb
            | Paddusw
            | Psubb
            | Psubw
            | Psubd
            | Psubq
            | Psubsb
            | Psubsw
            | Psubusb
            | Psubusw
            | Pmullw
            | Pmulhw
            | Pmulhuw
            | Pmuludq
            | Pmaddwd
            | Pavgb
            | Pavgw
            | Pminub
            | Pminsw
            | Pmaxub
            | Pmaxsw
            | Psadbw
            | Pcmpeqb
            | Pcmpeqw
            | Pcmpeqd
            | Pcmpgtb
            | Pcmpgtw
            | Pcmpgtd
            | Psllw
            | Pslld
            | Psllq
            | Psrlw
            | Psrld
            | Psrlq
            | Psraw
            | Psrad
            | Pslldq
            | Psrldq
            | Pextrw
            | Pinsrw
    ) || later(m)
}

/// The same for SSE3 to SSE4.2, AES and PCLMULQDQ. Not the dot products, whose order of additions
/// is each maker's, nor the string comparisons.
fn later(m: Mnemonic) -> bool {
    use Mnemonic::*;
    matches!(
        m,
        Addsubps
            | Addsubpd
            | Haddps
            | Haddpd
            | Hsubps
            | Hsubpd
            | Lddqu
            | Movddup
            | Movshdup
            | Movsldup
            | Pshufb
            | Phaddw
            | Phaddd
            | Phaddsw
            | Phsubw
            | Phsubd
            | Phsubsw
            | Pmaddubsw
            | Pmulhrsw
            | Psignb
            | Psignw
            | Psignd
            | Palignr
            | Pabsb
            | Pabsw
            | Pabsd
            | Blendps
            | Blendpd
            | Pblendw
            | Extractps
            | Insertps
            | Mpsadbw
            | Packusdw
            | Pcmpeqq
            | Pcmpgtq
            | Pextrb
            | Pextrd
            | Pextrq
            | Pinsrb
            | Pinsrd
            | Pinsrq
            | Phminposuw
            | Pmaxsb
            | Pmaxsd
            | Pmaxuw
            | Pmaxud
            | Pminsb
            | Pminsd
            | Pminuw
            | Pminud
            | Pmovsxbw
            | Pmovsxbd
            | Pmovsxbq
            | Pmovsxwd
            | Pmovsxwq
            | Pmovsxdq
            | Pmovzxbw
            | Pmovzxbd
            | Pmovzxbq
            | Pmovzxwd
            | Pmovzxwq
            | Pmovzxdq
            | Pmuldq
            | Pmulld
            | Ptest
            | Roundps
            | Roundpd
            | Roundss
            | Roundsd
            | Aesenc
            | Aesenclast
            | Aesdec
            | Aesdeclast
            | Aesimc
            | Aeskeygenassist
            | Pclmulqdq
    )
}

/// True when the host has what the instruction needs.
fn host_has(f: CpuidFeature) -> bool {
    match f {
        CpuidFeature::SSE | CpuidFeature::SSE2 => true,
        CpuidFeature::SSE3 => std::is_x86_feature_detected!("sse3"),
        CpuidFeature::SSSE3 => std::is_x86_feature_detected!("ssse3"),
        CpuidFeature::SSE4_1 => std::is_x86_feature_detected!("sse4.1"),
        CpuidFeature::SSE4_2 => std::is_x86_feature_detected!("sse4.2"),
        CpuidFeature::AES => std::is_x86_feature_detected!("aes"),
        CpuidFeature::PCLMULQDQ => std::is_x86_feature_detected!("pclmulqdq"),
        _ => false,
    }
}

/// True when compiled code may load XMM registers and MXCSR.
pub fn usable(cpu: &Cpu) -> bool {
    cpu.cr0 & (cr0::EM | cr0::TS) == 0 && cpu.cr4 & cr4::OSFXSR != 0 && fits(cpu.mxcsr)
}

/// True when MXCSR masks all exceptions.
pub fn fits(mxcsr: u32) -> bool {
    mxcsr & MASKS == MASKS
}

/// The exception masks of MXCSR.
const MASKS: u32 = 0x1f80;

/// The opcode bytes before the last.
fn escape(table: OpCodeTableKind) -> Option<&'static [u8]> {
    Some(match table {
        OpCodeTableKind::T0F => &[0x0f],
        OpCodeTableKind::T0F38 => &[0x0f, 0x38],
        OpCodeTableKind::T0F3A => &[0x0f, 0x3a],
        _ => return None,
    })
}

/// How `ins` is compiled, or `None`.
pub fn plan(ins: &Instruction, op: &Op, long: bool) -> Option<Plan> {
    let code = ins.code().op_code();
    let sse = ins.cpuid_features().iter().all(|f| host_has(*f));
    let form = code.encoding() == EncodingKind::Legacy && escape(code.table()).is_some();
    let operands = (0..ins.op_count()).all(|i| match ins.op_kind(i) {
        OpKind::Register => ins.op_register(i).is_xmm() || ins.op_register(i).is_gpr(),
        OpKind::Memory => simple_address(op, long),
        _ => true,
    });
    if !(listed(ins.mnemonic()) && sse && form && operands) {
        return None;
    }
    let compares = matches!(
        ins.mnemonic(),
        Mnemonic::Comiss | Mnemonic::Comisd | Mnemonic::Ucomiss | Mnemonic::Ucomisd | Mnemonic::Ptest
    );
    Some(Plan { reads: 0, kills: if compares { ALL } else { 0 }, exits: true })
}

impl Compiler<'_> {
    /// Emits an instruction that [`plan`] accepted.
    pub fn sse(&mut self, s: &Step) {
        use OpCodeOperandKind as K;
        let ins = &s.ins;
        let code = ins.code().op_code();
        self.need_sse();
        let mut reg = code.group_index().max(0) as u8;
        let mut rm = Rm::Reg(0);
        // A general register that the result goes to, and its place if that is memory.
        let mut result = None;
        for i in 0..ins.op_count() {
            let guest = [s.op.r0, s.op.r1, s.op.r2][i.min(2) as usize];
            let general = ins.op_kind(i) == OpKind::Register && ins.op_register(i).is_gpr();
            let place = if ins.op_kind(i) == OpKind::Memory {
                self.sse_memory(s, i == 0)
            } else if general {
                let size = ins.op_register(i).size() as u8;
                match (i, home(guest)) {
                    (0, Rm::Mem(..)) => {
                        result = Some((size, guest));
                        Rm::Reg(RCX)
                    }
                    _ => Rm::Reg(self.source(size, guest)),
                }
            } else {
                Rm::Reg(guest)
            };
            match (code.op_kind(i), place) {
                (K::imm8, _) => {}
                (K::xmm_reg | K::r32_reg | K::r64_reg, Rm::Reg(r)) => reg = r,
                _ => rm = place,
            }
        }
        let prefix = match code.mandatory_prefix() {
            MandatoryPrefix::P66 => 0x66,
            MandatoryPrefix::PF3 => 0xf3,
            MandatoryPrefix::PF2 => 0xf2,
            _ => 0,
        };
        if prefix != 0 {
            self.asm.push(prefix);
        }
        let mut opcode = escape(code.table()).unwrap_or(&[]).to_vec();
        opcode.push(code.op_code() as u8);
        encode(self.asm, code.operand_size() == 64, &opcode, reg, rm);
        if code.op_kind(ins.op_count() - 1) == K::imm8 {
            self.asm.push(s.op.imm as u8);
        }
        if let Some((size, guest)) = result {
            put(self.asm, size, guest, RCX);
        }
        if s.plan.is_some_and(|p| p.kills != 0) {
            self.flags.wrote(ALL, Kind::Arith);
        }
    }

    /// Where the memory operand lies. Operands of 16 bytes have to be aligned, but for the
    /// moves that say otherwise.
    fn sse_memory(&mut self, s: &Step, write: bool) -> Rm {
        use Mnemonic::{Lddqu, Movdqu, Movupd, Movups};
        let size = s.ins.memory_size().size() as u8;
        let aligned = size == 16 && !matches!(s.ins.mnemonic(), Movups | Movupd | Movdqu | Lddqu);
        let access = if write { Access::Write } else { Access::Read };
        self.operand(&s.op, s.next, size, access, How { once: true, aligned })
    }

    /// Emits the check that XMM registers and MXCSR are in the host's; where not, they are loaded, or
    /// the instruction is handed over.
    fn need_sse(&mut self) {
        if self.loaded.sse {
            return;
        }
        self.loaded.sse = true;
        let slow = self.slow();
        let load = self.asm.new_dynamic_label();
        let back = self.asm.new_dynamic_label();
        self.flags.host = 0;
        group1(self.asm, 1, 7, Rm::Mem(RBP, regs::FP), LOADED.into());
        dynasm!(self.asm
            ; .arch x64
            ; jne =>load
            ; =>back
        );
        self.loads.push((load, back, slow, self.shared.load_sse));
    }
}
