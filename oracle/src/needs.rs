//! What particular instructions need of their inputs to do more than fault.

use crate::generate::{Draft, code_base, gpr_index};
use crate::layout::{
    self, ABSENT, BASED, CODE_LIMITED, CODE16, DATA, DATA16, DOWN, EXEC_ONLY, LIMITED, READ_ONLY, STACK,
    STACK16, gdt,
};
use crate::state::{Mode, Patch, seg};
use crate::values;
use iced_x86::{FlowControl, Mnemonic as M, OpKind, Register};

const RAX: usize = 0;
const RCX: usize = 1;
const RDX: usize = 2;
const RBX: usize = 3;
const RBP: usize = 5;
const RSI: usize = 6;
const RDI: usize = 7;

/// Adjusts registers, memory and immediates to what the instruction needs.
pub fn satisfy(d: &mut Draft) {
    immediates(d);
    strings(d);
    control_flow(d);
    selectors(d);
    match d.i.mnemonic() {
        M::Rol | M::Ror | M::Rcl | M::Rcr | M::Shl | M::Sal | M::Shr | M::Sar | M::Shld | M::Shrd
            if d.rng.percent(60) && !address_uses(d, RCX) =>
        {
            let n = d.rng.below(70);
            d.set_gpr(RCX, 1, n);
        }
        M::Div | M::Idiv => division(d),
        M::Cmpxchg if d.rng.percent(50) => {
            let size = operand_size(d);
            if let Some(v) = operand(d).filter(|_| !address_uses(d, RAX)) {
                d.set_gpr(RAX, size, v as u64);
            }
        }
        M::Cmpxchg8b | M::Cmpxchg16b => {
            let half = if d.i.mnemonic() == M::Cmpxchg8b { 4 } else { 8 };
            if d.rng.percent(50)
                && !address_uses(d, RAX)
                && !address_uses(d, RDX)
                && let Some(v) = operand(d)
            {
                d.set_gpr(RAX, half, v as u64);
                d.set_gpr(RDX, half, (v >> (half * 8)) as u64);
            }
        }
        M::Bt | M::Btc | M::Btr | M::Bts => {
            // A register's bit offset reaches far outside of the operand.
            let r = d.i.op1_register();
            if d.i.op0_kind() == OpKind::Memory
                && d.i.op1_kind() == OpKind::Register
                && let Some(n) = gpr_index(r).filter(|n| !address_uses(d, *n))
                && d.rng.percent(85)
            {
                let bit = d.rng.below(2048).wrapping_sub(1024);
                d.set_gpr(n, 8, bit);
            }
        }
        M::Leave | M::Enter if d.rng.percent(90) => {
            let at = 0x400 + (d.rng.below(0x1800) & !7);
            let base = stack_base(d);
            d.set_gpr(RBP, if base == 0 { 8 } else { 2 }, STACK.addr + at - base);
        }
        M::Bound => {
            let size = d.i.memory_size().size() / 2;
            if let Some(n) = gpr_index(d.i.op0_register()).filter(|_| d.rng.percent(60)) {
                let v = d.state.gpr[n];
                let low = v.wrapping_sub(d.rng.below(3));
                let high = v.wrapping_add(d.rng.below(3));
                let mut bytes = low.to_le_bytes()[..size].to_vec();
                bytes.extend_from_slice(&high.to_le_bytes()[..size]);
                put_operand(d, bytes);
            }
        }
        M::Pcmpestri | M::Pcmpestrm => {
            for n in [RAX, RDX] {
                if d.rng.percent(85) {
                    let v = d.rng.below(40).wrapping_sub(20);
                    d.set_gpr(n, 8, v);
                }
            }
        }
        M::Fxrstor | M::Fxrstor64 => fxrstor(d),
        M::Ldmxcsr => {
            let mut v = (d.rng.bits() as u16).to_le_bytes().to_vec();
            let reserved = if d.rng.percent(15) { reserved_mxcsr(d) } else { 0 };
            v.extend([reserved, 0]);
            put_operand(d, v);
        }
        M::Fldenv | M::Frstor => environment(d),
        M::Fldcw => {
            let v = d.rng.bits() as u16 & 0x1f7f;
            put_operand(d, v.to_le_bytes().to_vec());
        }
        M::Fbld => {
            let mut v = 0;
            for _ in 0..18 {
                v = v << 4 | u128::from(d.rng.below(10));
            }
            v |= u128::from(d.rng.below(2)) << 79;
            if d.rng.percent(20) {
                v >>= d.rng.below(80);
            }
            put_operand(d, v.to_le_bytes()[..10].to_vec());
        }
        M::Fprem | M::Fprem1 => near_exponents(d),
        M::Fscale if d.rng.percent(60) => {
            let n = d.rng.below(200) as u16;
            d.state.st[1] = u128::from(0x3ffb + d.rng.below(20) as u16) << 64
                | u128::from(1 << 63 | d.rng.bits() & u64::MAX << (n % 64))
                | u128::from(d.rng.below(2)) << 79;
        }
        _ => {}
    }
}

fn stack_base(d: &Draft) -> u64 {
    if d.mode == Mode::Bits64 { 0 } else { layout::segment_base(d.state.seg[seg::SS]) }
}

/// True when the memory operand's address is made with register `n`.
fn address_uses(d: &Draft, n: usize) -> bool {
    let memory = (0..d.i.op_count()).any(|k| d.i.op_kind(k) == OpKind::Memory);
    memory && [d.i.memory_base(), d.i.memory_index()].iter().any(|r| gpr_index(*r) == Some(n))
}

fn operand_size(d: &Draft) -> usize {
    match d.i.op0_kind() {
        OpKind::Register => d.i.op0_register().size(),
        _ => d.i.memory_size().size(),
    }
}

/// The value of the first operand, if it is a register or was patched into memory.
fn operand(d: &Draft) -> Option<u128> {
    if d.i.op0_kind() == OpKind::Register {
        return gpr_index(d.i.op0_register()).map(|n| u128::from(d.state.gpr[n]));
    }
    let p = d.patches.last().filter(|p| p.addr == d.effective_address())?;
    let mut bytes = [0; 16];
    let len = p.bytes.len().min(16);
    bytes[..len].copy_from_slice(&p.bytes[..len]);
    Some(u128::from_le_bytes(bytes))
}

fn put_operand(d: &mut Draft, bytes: Vec<u8>) {
    let addr = d.effective_address();
    d.patches.push(Patch { addr, bytes });
}

/// Edge values for immediates, which the encoder made random.
fn immediates(d: &mut Draft) {
    let c = d.redecode();
    if d.i.flow_control() != FlowControl::Next || !d.rng.percent(60) {
        return;
    }
    if d.i.mnemonic() == M::Enter {
        let v = d.rng.below(64);
        d.put_code(c.immediate_offset(), 2, v);
        let v = if d.rng.percent(80) { d.rng.below(4) } else { d.rng.bits() };
        d.put_code(c.immediate_offset2(), 1, v);
    } else if c.has_immediate() {
        let v = values::int(&mut d.rng);
        d.put_code(c.immediate_offset(), c.immediate_size(), v);
    }
    d.redecode();
}

/// Registers of the string instructions, XLAT excepted, and of MASKMOVQ and MASKMOVDQU.
fn strings(d: &mut Draft) {
    let mut width = 0;
    for n in 0..d.i.op_count() {
        let (reg, w) = match d.i.op_kind(n) {
            OpKind::MemorySegSI => (RSI, 2),
            OpKind::MemorySegESI => (RSI, 4),
            OpKind::MemorySegRSI => (RSI, 8),
            OpKind::MemorySegDI | OpKind::MemoryESDI => (RDI, 2),
            OpKind::MemorySegEDI | OpKind::MemoryESEDI => (RDI, 4),
            OpKind::MemorySegRDI | OpKind::MemoryESRDI => (RDI, 8),
            _ => continue,
        };
        let es = matches!(d.i.op_kind(n), OpKind::MemoryESDI | OpKind::MemoryESEDI | OpKind::MemoryESRDI);
        width = w;
        let base = d.base_of(if es { Register::ES } else { d.i.memory_segment() });
        let size = d.i.memory_size().size() as u64;
        let t = d.target(size, base);
        d.set_gpr(reg, w, t.wrapping_sub(base));
        // Equal and unequal runs for CMPS and SCAS.
        if d.rng.percent(40) {
            let fill = d.rng.pick(&[0u8, 0xff, 0x41]);
            let len = d.rng.below(40) as usize;
            let down = d.state.rflags >> 10 & 1 != 0;
            let addr = if down { t.wrapping_sub(len as u64) } else { t };
            d.patches.push(Patch { addr, bytes: vec![fill; len] });
            if d.rng.percent(50) {
                d.set_gpr(RAX, 8, u64::from_le_bytes([fill; 8]));
            }
        }
    }
    if width != 0 && (d.i.has_rep_prefix() || d.i.has_repne_prefix()) {
        let count = match d.rng.below(20) {
            0 | 1 => 0,
            2 => d.rng.below(2000),
            3 => 1,
            _ => d.rng.below(40),
        };
        d.set_gpr(RCX, width, count);
    }
}

/// Half of the divisions get a dividend whose quotient is likely to fit.
fn division(d: &mut Draft) {
    if d.rng.percent(30) {
        return;
    }
    let size = operand_size(d);
    let low = d.state.gpr[RAX];
    let signed = d.i.mnemonic() == M::Idiv;
    let bits = size as u32 * 8;
    let sign = if signed && low >> (bits - 1) & 1 != 0 { u64::MAX } else { 0 };
    let high = if d.rng.percent(70) { sign } else { sign ^ d.rng.below(16) };
    if size == 1 {
        if !address_uses(d, RAX) {
            d.set_gpr(RAX, 2, low & 0xff | high << 8);
        }
    } else if !address_uses(d, RDX) {
        d.set_gpr(RDX, size, high);
    }
}

/// Branch targets are HLTs in the code window, mostly.
fn control_flow(d: &mut Draft) {
    let base = code_base(d.mode);
    match d.i.flow_control() {
        FlowControl::ConditionalBranch
        | FlowControl::UnconditionalBranch
        | FlowControl::Call
        | FlowControl::XbeginXabortXend => {
            let c = d.redecode();
            if d.i.is_jmp_far() || d.i.is_call_far() {
                let (sel, offset) = far_target(d);
                d.put_code(c.immediate_offset(), c.immediate_size(), offset);
                d.put_code(c.immediate_offset2(), 2, u64::from(sel));
            } else if c.has_immediate() {
                let size = c.immediate_size();
                let rel = if size == 1 {
                    // Not back into this code, which would never end or run something else.
                    let span = 128 - d.bytes.len() as u64 - d.lead as u64;
                    let r = d.rng.below(128 + span);
                    if r < 128 { r } else { (r - 128).wrapping_sub(128) }
                } else if d.rng.percent(85) {
                    d.landing(base).wrapping_sub(d.next_ip())
                } else {
                    safe_random(d)
                };
                d.put_code(c.immediate_offset(), size, rel);
            }
            d.redecode();
            let counts = d.i.is_jcx_short() || d.i.is_loop() || d.i.is_loopcc();
            if counts && d.rng.percent(60) {
                let v = d.rng.below(3);
                d.set_gpr(RCX, 4, v);
                d.state.gpr[RCX] &= if d.rng.percent(60) { 0xffff_ffff } else { u64::MAX };
            }
        }
        FlowControl::IndirectBranch | FlowControl::IndirectCall => {
            if d.i.is_jmp_far_indirect() || d.i.is_call_far_indirect() {
                let (sel, offset) = far_target(d);
                let size = d.i.memory_size().size() - 2;
                let mut bytes = offset.to_le_bytes()[..size].to_vec();
                bytes.extend_from_slice(&sel.to_le_bytes());
                put_operand(d, bytes);
                return;
            }
            let v = if d.rng.percent(85) { d.landing(base) } else { values::int(&mut d.rng) };
            if d.i.op0_kind() == OpKind::Register {
                if let Some(n) = gpr_index(d.i.op0_register()) {
                    d.set_gpr(n, 8, v);
                }
            } else {
                let size = d.i.memory_size().size();
                put_operand(d, v.to_le_bytes()[..size].to_vec());
            }
        }
        FlowControl::Return => {
            let size = match d.i.op_code().operand_size() {
                0 => d.mode.bits() as usize / 8,
                n => n as usize / 8,
            };
            if d.i.mnemonic() == M::Retf {
                let (sel, offset) = far_target(d);
                let mut bytes = offset.to_le_bytes()[..size].to_vec();
                bytes.extend_from_slice(&u64::from(sel).to_le_bytes()[..size]);
                d.put_stack(0, &bytes);
            } else {
                let v = if d.rng.percent(85) { d.landing(base) } else { values::int(&mut d.rng) };
                d.put_stack(0, &v.to_le_bytes()[..size]);
            }
        }
        _ => {}
    }
}

/// A displacement that does not lead back into the code.
fn safe_random(d: &mut Draft) -> u64 {
    let r = values::int(&mut d.rng);
    let back = (r as i32).wrapping_neg();
    let back16 = (r as i16).wrapping_neg();
    if (0..64).contains(&back) || (0..64).contains(&back16) { 0x100 } else { r }
}

/// A selector for CS, and an offset that is a HLT if it is one of a code segment.
fn far_target(d: &mut Draft) -> (u16, u64) {
    let code =
        [gdt::USER_CS32, gdt::USER_CS, CODE16.selector(), EXEC_ONLY.selector(), CODE_LIMITED.selector()];
    let mut sel = if d.rng.percent(75) { d.rng.pick(&code) } else { any_selector(d) };
    // From compatibility mode such a call pushes with RSP. Where that faults above 4 GiB, Linux
    // takes it for an erratum of old CPUs and tries again for ever.
    if d.mode != Mode::Bits64
        && d.i.is_call_far() | d.i.is_call_far_indirect()
        && sel & !3 == gdt::USER_CS & !3
    {
        sel = gdt::USER_CS32;
    }
    let offset =
        if d.rng.percent(90) { d.landing(layout::segment_base(sel)) } else { values::int(&mut d.rng) };
    (sel, offset)
}

/// Any selector that means the same to the host and to a subject.
fn any_selector(d: &mut Draft) -> u16 {
    let sel = match d.rng.below(8) {
        0 => d.rng.bits() as u16,
        1 => d.rng.below(4) as u16,
        2 | 3 => d.rng.pick(&[
            gdt::KERNEL_CS,
            gdt::KERNEL_CS32,
            gdt::KERNEL_DS,
            gdt::USER_CS,
            gdt::USER_CS32,
            gdt::USER_DS,
            gdt::TSS,
            gdt::LDT,
            gdt::TSS | 3,
            0x60,
        ]),
        _ => d.rng.pick(&[
            CODE16.selector(),
            DATA16.selector(),
            STACK16.selector(),
            LIMITED.selector(),
            DOWN.selector(),
            READ_ONLY.selector(),
            EXEC_ONLY.selector(),
            CODE_LIMITED.selector(),
            ABSENT.selector(),
            BASED.selector(),
        ]),
    };
    let sel = if d.rng.percent(10) { sel & !3 | d.rng.below(4) as u16 } else { sel };
    // Linux keeps the number of the CPU in the limit of the GDT's last entry.
    if sel & 0xfff8 == 0x78 { gdt::USER_DS } else { sel }
}

/// Selector operands.
fn selectors(d: &mut Draft) {
    let sel = any_selector(d);
    match d.i.mnemonic() {
        M::Lar | M::Lsl | M::Verr | M::Verw | M::Arpl | M::Mov => {
            let k = match d.i.mnemonic() {
                M::Lar | M::Lsl => 1,
                M::Mov => {
                    let to_segment =
                        d.i.op0_kind() == OpKind::Register && d.i.op0_register().is_segment_register();
                    if !to_segment {
                        return;
                    }
                    1
                }
                _ => 0,
            };
            if d.i.op_kind(k) == OpKind::Memory {
                put_operand(d, sel.to_le_bytes().to_vec());
            } else if let Some(n) = gpr_index(d.i.op_register(k)) {
                d.set_gpr(n, 2, u64::from(sel));
            }
        }
        M::Lds | M::Les | M::Lfs | M::Lgs | M::Lss => {
            let size = d.i.memory_size().size() - 2;
            let mut bytes = values::int(&mut d.rng).to_le_bytes()[..size].to_vec();
            bytes.extend_from_slice(&sel.to_le_bytes());
            put_operand(d, bytes);
        }
        M::Pop if d.i.op0_kind() == OpKind::Register && d.i.op0_register().is_segment_register() => {
            d.put_stack(0, &sel.to_le_bytes());
        }
        M::Wrfsbase | M::Wrgsbase => {
            if let Some(n) = gpr_index(d.i.op0_register()).filter(|_| d.rng.percent(50)) {
                d.set_gpr(n, 8, DATA.addr);
            }
        }
        M::Xlatb if d.rng.percent(90) => {
            let base = d.base_of(d.i.memory_segment());
            let t = d.target(1, base).wrapping_sub(base).wrapping_sub(d.state.gpr[RAX] & 0xff);
            let width = d.i.memory_base().size();
            d.set_gpr(RBX, width, t);
        }
        _ => {}
    }
}

/// Bits 23:16 of an MXCSR, one of them set; not 17, which AMD's CPUs have.
fn reserved_mxcsr(d: &mut Draft) -> u8 {
    d.rng.pick(&[1, 4, 8, 16, 32, 64, 128])
}

/// An image that FXRSTOR accepts, mostly.
fn fxrstor(d: &mut Draft) {
    let fcw = d.rng.bits() as u16 & 0x1f3f | 0x40;
    let mut fsw = d.rng.bits() as u16 & 0x7f7f;
    fsw |= if fsw & !fcw & 0x3f != 0 { 0x8080 } else { 0 };
    let mut image = vec![0; 512];
    image[0..2].copy_from_slice(&fcw.to_le_bytes());
    image[2..4].copy_from_slice(&fsw.to_le_bytes());
    image[4] = d.rng.bits() as u8;
    image[6] = d.rng.bits() as u8;
    image[8] = d.rng.bits() as u8;
    image[16] = d.rng.bits() as u8;
    image[24] = d.rng.bits() as u8;
    image[25] = d.rng.bits() as u8;
    if d.rng.percent(5) {
        image[26] = reserved_mxcsr(d);
    }
    for n in 0..8 {
        let v = values::f80(&mut d.rng);
        image[32 + 16 * n..48 + 16 * n].copy_from_slice(&v.to_le_bytes());
    }
    for n in 0..32 {
        let v = values::int(&mut d.rng);
        image[160 + 8 * n..168 + 8 * n].copy_from_slice(&v.to_le_bytes());
    }
    put_operand(d, image);
}

/// An x87 environment whose reserved bits are as FNSTENV leaves them.
fn environment(d: &mut Draft) {
    let size = d.i.memory_size().size();
    let wide = matches!(size, 28 | 108);
    let step = if wide { 4 } else { 2 };
    let fcw = d.rng.bits() as u16 & 0x1f3f | 0x40;
    let mut fsw = d.rng.bits() as u16 & 0x7f7f;
    if d.rng.percent(80) {
        fsw &= fcw & 0x3f | !0x3f;
    }
    fsw |= if fsw & !fcw & 0x3f != 0 { 0x8080 } else { 0 };
    let mut image = vec![0xff; size.max(14)];
    for (n, v) in [fcw, fsw, d.rng.bits() as u16, 0, 0, 0, 0].into_iter().enumerate() {
        image[n * step..n * step + 2].copy_from_slice(&v.to_le_bytes());
        if wide && n >= 3 {
            image[n * step + 2..n * step + 4].copy_from_slice(&[0, 0]);
        }
    }
    let head = 7 * step;
    if size > head {
        for n in 0..8 {
            let v = values::f80(&mut d.rng);
            image[head + 10 * n..head + 10 * n + 10].copy_from_slice(&v.to_le_bytes()[..10]);
        }
    }
    put_operand(d, image);
}

/// FPREM reduces by at most 63 bits at once: exponents near each other make it finish.
fn near_exponents(d: &mut Draft) {
    if d.rng.percent(60) {
        let e = 0x3fff + d.rng.below(100) as u16 - 50;
        for n in 0..2 {
            let e = e + d.rng.below(80) as u16 * (1 - n as u16);
            d.state.st[n] =
                u128::from(e) << 64 | u128::from(1 << 63 | d.rng.bits()) | u128::from(d.rng.below(2)) << 79;
        }
    }
}
