//! Segment register moves; LGDT, LIDT, LLDT, LTR and their inverses; LAR, LSL, VERR, VERW, ARPL
//! (SDM volume 2).

use super::segment::{Descriptor, is_null, kind, named, null_segment, rpl};
use crate::x86::exec::{Exec, Flow};
use crate::x86::op::{Handler, Op};
use crate::x86::regs::{Shadow, TableRegister, right, seg};
use crate::x86::trap::{Trap, vector};
use iced_x86::{Code, Instruction, Mnemonic, Register};

type Done = Result<Flow, Trap>;

impl Exec<'_> {
    /// Loads segment register `s`. SS holds interrupts off for one instruction.
    fn load_segment(&mut self, s: u8, selector: u16) -> Done {
        let segment = self.check_segment(s, selector)?;
        self.cpu.segs[usize::from(s & 7)] = segment;
        if s == seg::SS {
            self.cpu.shadow = Shadow::MovSs;
            return Ok(Flow::Event);
        }
        Ok(Flow::Next)
    }
}

fn mov_sreg_r(ex: &mut Exec<'_>, op: &Op) -> Done {
    let v = ex.get(op.r1);
    ex.load_segment(op.r0, v)
}

fn mov_sreg_m(ex: &mut Exec<'_>, op: &Op) -> Done {
    let v = ex.load(op)?;
    ex.load_segment(op.r0, v)
}

fn mov_r_sreg<const SIZE: u8>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let v = ex.cpu.seg(op.r1).selector.into();
    ex.set_sized(op.r0, SIZE, v);
    Ok(Flow::Next)
}

fn mov_m_sreg(ex: &mut Exec<'_>, op: &Op) -> Done {
    let v = ex.cpu.seg(op.r1).selector;
    ex.store(op, v)?;
    Ok(Flow::Next)
}

/// Pushes a segment register. A 32-bit push moves ESP by 4 but writes only 16 bits, as recent
/// processors do (SDM volume 2, PUSH); a 64-bit push writes zeros above.
fn push_sreg<const SIZE: u8>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let v = ex.cpu.seg(op.r0).selector;
    if SIZE == 4 {
        let sp = ex.stack_offset(0u64.wrapping_sub(4));
        ex.write(seg::SS, sp, v)?;
        ex.set_sp(sp);
    } else {
        ex.push(SIZE, v.into())?;
    }
    Ok(Flow::Next)
}

fn pop_sreg<const SIZE: u8>(ex: &mut Exec<'_>, op: &Op) -> Done {
    // Only 16 bits are read whatever the size.
    let v = ex.peek(0, 2)? as u16;
    let segment = ex.check_segment(op.r0, v)?;
    // The old stack's width.
    let sp = ex.stack_offset(SIZE.into());
    ex.set_sp(sp);
    ex.cpu.segs[usize::from(op.r0 & 7)] = segment;
    if op.r0 == seg::SS {
        ex.cpu.shadow = Shadow::MovSs;
        return Ok(Flow::Event);
    }
    Ok(Flow::Next)
}

fn load_far<const S: u8, const SIZE: u8>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let (offset, selector) = ex.load_far(op, SIZE)?;
    let segment = ex.check_segment(S, selector)?;
    ex.cpu.segs[usize::from(S)] = segment;
    ex.set_sized(op.r0, SIZE, offset);
    Ok(if S == seg::SS { Flow::Event } else { Flow::Next })
}

/// Loads GDTR or IDTR from memory; `SIZE` is the base's bytes, of which a 16-bit operand size
/// uses three.
fn load_table(ex: &mut Exec<'_>, op: &Op, size: u8) -> Result<TableRegister, Trap> {
    ex.privileged()?;
    let bytes = if size == 8 { 8 } else { 4 };
    let lin = ex.operand(op, bytes + 2, false)?;
    let mut b = [0; 10];
    ex.read_bytes(op.seg, lin, &mut b[..bytes as usize + 2])?;
    let limit = u16::from_le_bytes([b[0], b[1]]);
    let mut base = [0; 8];
    base[..bytes as usize].copy_from_slice(&b[2..bytes as usize + 2]);
    let mut base = u64::from_le_bytes(base);
    if size == 2 {
        base &= 0xff_ffff;
    }
    if size == 8 && !Exec::canonical(base) {
        return Err(Trap::GP);
    }
    Ok(TableRegister { base, limit })
}

fn lgdt<const SIZE: u8>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.cpu.gdtr = load_table(ex, op, SIZE)?;
    Ok(Flow::Event)
}

fn lidt<const SIZE: u8>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.cpu.idtr = load_table(ex, op, SIZE)?;
    Ok(Flow::Event)
}

fn store_table(ex: &mut Exec<'_>, op: &Op, table: TableRegister) -> Done {
    ex.check_umip()?;
    // Both operand sizes store 32 bits outside 64-bit mode.
    let bytes = if op.long() { 8 } else { 4 };
    let lin = ex.operand(op, bytes + 2, true)?;
    let mut b = [0; 10];
    b[..2].copy_from_slice(&table.limit.to_le_bytes());
    b[2..].copy_from_slice(&table.base.to_le_bytes());
    ex.write_bytes(op.seg, lin, &b[..bytes as usize + 2])?;
    Ok(Flow::Next)
}

fn sgdt(ex: &mut Exec<'_>, op: &Op) -> Done {
    store_table(ex, op, ex.cpu.gdtr)
}

fn sidt(ex: &mut Exec<'_>, op: &Op) -> Done {
    store_table(ex, op, ex.cpu.idtr)
}

/// The 16-bit source of LLDT, LTR, VERR, VERW, LAR, LSL: operand `I`, a register or memory.
fn source<const I: u8, const MEMORY: bool>(ex: &mut Exec<'_>, op: &Op) -> Result<u16, Trap> {
    if MEMORY { ex.load(op) } else { Ok(ex.get(if I == 0 { op.r0 } else { op.r1 })) }
}

/// These exist in protected mode only.
fn protected(ex: &Exec<'_>) -> Result<(), Trap> {
    if ex.cpu.real_segments() { Err(Trap::UD) } else { Ok(()) }
}

fn lldt<const MEMORY: bool>(ex: &mut Exec<'_>, op: &Op) -> Done {
    protected(ex)?;
    ex.privileged()?;
    let selector = source::<0, MEMORY>(ex, op)?;
    if is_null(selector) {
        ex.cpu.segs[usize::from(seg::LDTR)] = null_segment(selector);
        return Ok(Flow::Event);
    }
    let refused = Trap::gp(named(selector));
    if selector & 4 != 0 {
        return Err(refused);
    }
    let mut d = ex.descriptor(selector, vector::GP, 0)?;
    if d.kind() != kind::LDT {
        return Err(refused);
    }
    if !d.present() {
        return Err(Trap::np(named(selector)));
    }
    if ex.cpu.long_mode() {
        ex.descriptor_high(&mut d, vector::GP, 0)?;
        if !Exec::canonical(d.base()) {
            return Err(refused);
        }
    }
    ex.cpu.segs[usize::from(seg::LDTR)] = d.segment();
    Ok(Flow::Event)
}

fn ltr<const MEMORY: bool>(ex: &mut Exec<'_>, op: &Op) -> Done {
    protected(ex)?;
    ex.privileged()?;
    let selector = source::<0, MEMORY>(ex, op)?;
    if is_null(selector) {
        return Err(Trap::GP);
    }
    let refused = Trap::gp(named(selector));
    if selector & 4 != 0 {
        return Err(refused);
    }
    let mut d = ex.descriptor(selector, vector::GP, 0)?;
    let long = ex.cpu.long_mode();
    if d.kind() != kind::TSS && (long || d.kind() != kind::TSS16) {
        return Err(refused);
    }
    if !d.present() {
        return Err(Trap::np(named(selector)));
    }
    if long {
        ex.descriptor_high(&mut d, vector::GP, 0)?;
        if !Exec::canonical(d.base()) {
            return Err(refused);
        }
    }
    ex.set_busy(&d, true)?;
    let mut segment = d.segment();
    segment.rights |= kind::BUSY;
    ex.cpu.segs[usize::from(seg::TR)] = segment;
    Ok(Flow::Event)
}

fn store_selector_r<const S: u8, const SIZE: u8>(ex: &mut Exec<'_>, op: &Op) -> Done {
    protected(ex)?;
    ex.check_umip()?;
    let v = ex.cpu.seg(S).selector.into();
    ex.set_sized(op.r0, SIZE, v);
    Ok(Flow::Next)
}

fn store_selector_m<const S: u8>(ex: &mut Exec<'_>, op: &Op) -> Done {
    protected(ex)?;
    ex.check_umip()?;
    let v = ex.cpu.seg(S).selector;
    ex.store(op, v)?;
    Ok(Flow::Next)
}

/// Reads a descriptor for LAR, LSL, VERR and VERW: what a load would refuse with #GP gives
/// `None`; page faults are raised.
fn look(ex: &mut Exec<'_>, selector: u16) -> Result<Option<Descriptor>, Trap> {
    if is_null(selector) {
        return Ok(None);
    }
    match ex.descriptor(selector, vector::GP, 0) {
        Ok(d) => Ok(Some(d)),
        Err(Trap::Fault { vector: vector::GP, .. }) => Ok(None),
        Err(trap) => Err(trap),
    }
}

/// The current privilege level and the selector's may see the descriptor.
fn visible(ex: &Exec<'_>, d: &Descriptor) -> bool {
    d.code() && d.conforming() || d.dpl() >= ex.cpu.cpl.max(rpl(d.selector))
}

fn lar<const SIZE: u8, const MEMORY: bool>(ex: &mut Exec<'_>, op: &Op) -> Done {
    protected(ex)?;
    let selector = source::<1, MEMORY>(ex, op)?;
    let found = look(ex, selector)?.filter(|d| {
        let long = ex.cpu.long_mode();
        let known = match d.kind() {
            kind::CALL => true,
            kind::TSS | kind::LDT => true,
            k if k == kind::TSS + kind::BUSY => true,
            kind::TSS16 | kind::CALL16 | kind::TASK => !long,
            k if k == kind::TSS16 + kind::BUSY => !long,
            k => k >= 16,
        };
        known && visible(ex, d)
    });
    if let Some(d) = found {
        let v = d.raw >> 32 & 0x00ff_ff00;
        ex.set_sized(op.r0, SIZE, if SIZE == 2 { v & 0xff00 } else { v });
    }
    ex.cpu.flags.set_zf(found.is_some());
    Ok(Flow::Next)
}

fn lsl<const SIZE: u8, const MEMORY: bool>(ex: &mut Exec<'_>, op: &Op) -> Done {
    protected(ex)?;
    let selector = source::<1, MEMORY>(ex, op)?;
    let found = look(ex, selector)?.filter(|d| {
        let long = ex.cpu.long_mode();
        let known = match d.kind() & !kind::BUSY {
            // LDT is type 2: TSS types with the busy bit apart.
            0 => d.kind() == kind::LDT,
            kind::TSS => true,
            kind::TSS16 => !long,
            _ => d.kind() >= 16,
        };
        known && visible(ex, d)
    });
    if let Some(d) = found {
        ex.set_sized(op.r0, SIZE, d.limit().into());
    }
    ex.cpu.flags.set_zf(found.is_some());
    Ok(Flow::Next)
}

fn verify<const WRITE: bool, const MEMORY: bool>(ex: &mut Exec<'_>, op: &Op) -> Done {
    protected(ex)?;
    let selector = source::<0, MEMORY>(ex, op)?;
    let ok = look(ex, selector)?.is_some_and(|d| {
        let r = d.rights();
        let code = r & right::CODE != 0;
        let fits = if WRITE { !code && r & right::RW != 0 } else { !code || r & right::RW != 0 };
        r & right::S != 0 && fits && visible(ex, &d)
    });
    ex.cpu.flags.set_zf(ok);
    Ok(Flow::Next)
}

/// The selector with an RPL of at least that of `source`, if that changes it.
fn arpl_result(selector: u16, source: u16) -> Option<u16> {
    (selector & 3 < source & 3).then_some(selector & !3 | source & 3)
}

fn arpl_r(ex: &mut Exec<'_>, op: &Op) -> Done {
    protected(ex)?;
    let result = arpl_result(ex.get(op.r0), ex.get(op.r1));
    if let Some(v) = result {
        ex.set(op.r0, v);
    }
    ex.cpu.flags.set_zf(result.is_some());
    Ok(Flow::Next)
}

fn arpl_m(ex: &mut Exec<'_>, op: &Op) -> Done {
    protected(ex)?;
    // Memory is written only where the selector changes (SDM volume 2, ARPL).
    let result = arpl_result(ex.load(op)?, ex.get(op.r1));
    if let Some(v) = result {
        ex.store(op, v)?;
    }
    ex.cpu.flags.set_zf(result.is_some());
    Ok(Flow::Next)
}

fn by_source(ins: &Instruction, operand: u32, register: Handler, memory: Handler) -> Handler {
    if ins.op_register(operand) != Register::None { register } else { memory }
}

/// The handler for `ins`, if it belongs to this group.
pub fn select(ins: &Instruction) -> Option<Handler> {
    let register = ins.op0_register() != Register::None;
    let segment = |i| ins.op_register(i).is_segment_register();
    Some(match ins.code() {
        Code::Mov_Sreg_rm16 | Code::Mov_Sreg_r32m16 | Code::Mov_Sreg_r64m16 => {
            by_source(ins, 1, mov_sreg_r, mov_sreg_m)
        }
        Code::Mov_rm16_Sreg if register => mov_r_sreg::<2>,
        Code::Mov_r32m16_Sreg if register => mov_r_sreg::<4>,
        Code::Mov_r64m16_Sreg if register => mov_r_sreg::<8>,
        Code::Mov_rm16_Sreg | Code::Mov_r32m16_Sreg | Code::Mov_r64m16_Sreg => mov_m_sreg,
        Code::Pushq_FS | Code::Pushq_GS => push_sreg::<8>,
        Code::Popq_FS | Code::Popq_GS => pop_sreg::<8>,
        Code::Lds_r16_m1616 => load_far::<{ seg::DS }, 2>,
        Code::Lds_r32_m1632 => load_far::<{ seg::DS }, 4>,
        Code::Les_r16_m1616 => load_far::<{ seg::ES }, 2>,
        Code::Les_r32_m1632 => load_far::<{ seg::ES }, 4>,
        Code::Lss_r16_m1616 => load_far::<{ seg::SS }, 2>,
        Code::Lss_r32_m1632 => load_far::<{ seg::SS }, 4>,
        Code::Lss_r64_m1664 => load_far::<{ seg::SS }, 8>,
        Code::Lfs_r16_m1616 => load_far::<{ seg::FS }, 2>,
        Code::Lfs_r32_m1632 => load_far::<{ seg::FS }, 4>,
        Code::Lfs_r64_m1664 => load_far::<{ seg::FS }, 8>,
        Code::Lgs_r16_m1616 => load_far::<{ seg::GS }, 2>,
        Code::Lgs_r32_m1632 => load_far::<{ seg::GS }, 4>,
        Code::Lgs_r64_m1664 => load_far::<{ seg::GS }, 8>,
        Code::Lgdt_m1632_16 => lgdt::<2>,
        Code::Lgdt_m1632 => lgdt::<4>,
        Code::Lgdt_m1664 => lgdt::<8>,
        Code::Lidt_m1632_16 => lidt::<2>,
        Code::Lidt_m1632 => lidt::<4>,
        Code::Lidt_m1664 => lidt::<8>,
        Code::Sldt_rm16 if register => store_selector_r::<{ seg::LDTR }, 2>,
        Code::Sldt_r32m16 if register => store_selector_r::<{ seg::LDTR }, 4>,
        Code::Sldt_r64m16 if register => store_selector_r::<{ seg::LDTR }, 8>,
        Code::Str_rm16 if register => store_selector_r::<{ seg::TR }, 2>,
        Code::Str_r32m16 if register => store_selector_r::<{ seg::TR }, 4>,
        Code::Str_r64m16 if register => store_selector_r::<{ seg::TR }, 8>,
        Code::Lar_r16_rm16 => by_source(ins, 1, lar::<2, false>, lar::<2, true>),
        Code::Lar_r32_r32m16 => by_source(ins, 1, lar::<4, false>, lar::<4, true>),
        Code::Lar_r64_r64m16 => by_source(ins, 1, lar::<8, false>, lar::<8, true>),
        Code::Lsl_r16_rm16 => by_source(ins, 1, lsl::<2, false>, lsl::<2, true>),
        Code::Lsl_r32_r32m16 => by_source(ins, 1, lsl::<4, false>, lsl::<4, true>),
        Code::Lsl_r64_r64m16 => by_source(ins, 1, lsl::<8, false>, lsl::<8, true>),
        code => match ins.mnemonic() {
            Mnemonic::Push if segment(0) => {
                if code.op_code().operand_size() == 16 {
                    push_sreg::<2>
                } else {
                    push_sreg::<4>
                }
            }
            Mnemonic::Pop if segment(0) => {
                if code.op_code().operand_size() == 16 {
                    pop_sreg::<2>
                } else {
                    pop_sreg::<4>
                }
            }
            Mnemonic::Sgdt => sgdt,
            Mnemonic::Sidt => sidt,
            Mnemonic::Sldt => store_selector_m::<{ seg::LDTR }>,
            Mnemonic::Str => store_selector_m::<{ seg::TR }>,
            Mnemonic::Lldt => by_source(ins, 0, lldt::<false>, lldt::<true>),
            Mnemonic::Ltr => by_source(ins, 0, ltr::<false>, ltr::<true>),
            Mnemonic::Verr => by_source(ins, 0, verify::<false, false>, verify::<false, true>),
            Mnemonic::Verw => by_source(ins, 0, verify::<true, false>, verify::<true, true>),
            Mnemonic::Arpl => by_source(ins, 0, arpl_r, arpl_m),
            _ => return None,
        },
    })
}
