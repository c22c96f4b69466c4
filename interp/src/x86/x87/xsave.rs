//! FXSAVE, FXRSTOR, XSAVE, XRSTOR, XSAVEOPT (SDM volume 1, sections 10.5 and 13.4 to 13.9).
//!
//! Components: x87, SSE, and AVX's upper halves. A component is in use if its contents differ
//! from the initial configuration; nothing is remembered between XRSTOR and XSAVEOPT, whose
//! modified optimization is therefore never applied.

use super::state::Done;
use crate::softfloat::F80;
use crate::x86::exec::{Exec, Flow};
use crate::x86::op::{Handler, Op};
use crate::x86::regs::{X87, cr0, cr4, gpr};
use crate::x86::trap::Trap;
use iced_x86::{Code, Instruction};

/// State components, as bits of XCR0.
mod component {
    pub const X87: u64 = 1;
    pub const SSE: u64 = 2;
    pub const AVX: u64 = 4;
    pub const ALL: u64 = X87 | SSE | AVX;
}

/// MXCSR bits that exist.
pub(super) const MXCSR_MASK: u32 = 0xffff;
/// Offset of MXCSR in the legacy area.
const MXCSR_AT: usize = 24;
/// Offset of the x87 registers.
const ST_AT: usize = 32;
/// Offset of the XMM registers.
const XMM_AT: usize = 160;
/// Bytes of the legacy area, and the offset of the XSAVE header.
const LEGACY: usize = 512;
/// Bytes of the XSAVE header.
const HEADER: usize = 64;
/// Offset and size of the AVX component in the standard format.
const AVX_AT: usize = LEGACY + HEADER;
const AVX_BYTES: usize = 256;

/// XMM registers that the mode can name.
fn xmm_count(ex: &Exec<'_>) -> usize {
    if ex.cpu.mode64() { 16 } else { 8 }
}

/// The x87 part of the legacy area: bytes 0 to 23 and 32 to 159. `wide`: REX.W, 64-bit pointers.
fn put_x87(x87: &X87, wide: bool, area: &mut [u8; LEGACY]) {
    area[0..2].copy_from_slice(&x87.control.to_le_bytes());
    area[2..4].copy_from_slice(&x87.status.to_le_bytes());
    area[4] = x87.used;
    area[5] = 0;
    area[6..8].copy_from_slice(&x87.opcode.to_le_bytes());
    if wide {
        area[8..16].copy_from_slice(&x87.ip.to_le_bytes());
        area[16..24].copy_from_slice(&x87.dp.to_le_bytes());
    } else {
        area[8..12].copy_from_slice(&(x87.ip as u32).to_le_bytes());
        area[12..16].copy_from_slice(&u32::from(x87.ip_selector).to_le_bytes());
        area[16..20].copy_from_slice(&(x87.dp as u32).to_le_bytes());
        area[20..24].copy_from_slice(&u32::from(x87.dp_selector).to_le_bytes());
    }
    for i in 0..8 {
        let at = ST_AT + 16 * usize::from(i);
        area[at..at + 10].copy_from_slice(&x87.st(i).to_bytes());
        area[at + 10..at + 16].fill(0);
    }
}

fn word<const N: usize>(area: &[u8], at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&area[at..at + N]);
    bytes
}

/// The reverse of [`put_x87`].
fn get_x87(x87: &mut X87, wide: bool, area: &[u8; LEGACY]) {
    x87.status = u16::from_le_bytes(word(area, 2));
    x87.set_control(u16::from_le_bytes(word(area, 0)));
    x87.opcode = u16::from_le_bytes(word(area, 6)) & 0x7ff;
    if wide {
        x87.ip = u64::from_le_bytes(word(area, 8));
        x87.dp = u64::from_le_bytes(word(area, 16));
        x87.ip_selector = 0;
        x87.dp_selector = 0;
    } else {
        x87.ip = u32::from_le_bytes(word(area, 8)).into();
        x87.ip_selector = u16::from_le_bytes(word(area, 12));
        x87.dp = u32::from_le_bytes(word(area, 16)).into();
        x87.dp_selector = u16::from_le_bytes(word(area, 20));
    }
    for i in 0..8 {
        x87.set_st(i, F80::from_bytes(word(area, ST_AT + 16 * usize::from(i))));
    }
    x87.used = area[4];
}

fn put_mxcsr(mxcsr: u32, area: &mut [u8; LEGACY]) {
    area[MXCSR_AT..MXCSR_AT + 4].copy_from_slice(&mxcsr.to_le_bytes());
    area[MXCSR_AT + 4..MXCSR_AT + 8].copy_from_slice(&MXCSR_MASK.to_le_bytes());
}

/// MXCSR of the area.
///
/// # Errors
/// #GP(0) if a reserved bit is set.
fn get_mxcsr(area: &[u8; LEGACY]) -> Result<u32, Trap> {
    let mxcsr = u32::from_le_bytes(word(area, MXCSR_AT));
    if mxcsr & !MXCSR_MASK != 0 { Err(Trap::GP) } else { Ok(mxcsr) }
}

fn put_xmm(ex: &Exec<'_>, area: &mut [u8; LEGACY]) {
    for (i, v) in ex.cpu.vectors.iter().enumerate().take(xmm_count(ex)) {
        let at = XMM_AT + 16 * i;
        area[at..at + 16].copy_from_slice(&v.xmm().to_le_bytes());
    }
}

fn get_xmm(ex: &mut Exec<'_>, area: &[u8; LEGACY]) {
    let n = xmm_count(ex);
    for (i, v) in ex.cpu.vectors.iter_mut().enumerate().take(n) {
        v.set_xmm(u128::from_le_bytes(word(area, XMM_AT + 16 * i)));
    }
}

/// #UD with CR0.EM, #NM with CR0.TS; then the operand's linear address, #GP(0) unless aligned
/// to 16 bytes.
fn fxsave_address(ex: &Exec<'_>, op: &Op, write: bool) -> Result<u64, Trap> {
    if ex.cpu.cr0 & cr0::EM != 0 {
        return Err(Trap::UD);
    }
    if ex.cpu.cr0 & cr0::TS != 0 {
        return Err(Trap::NM);
    }
    let lin = ex.operand(op, LEGACY as u64, write)?;
    if lin & 15 != 0 { Err(Trap::GP) } else { Ok(lin) }
}

fn fxsave<const WIDE: bool>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let lin = fxsave_address(ex, op, true)?;
    let mut area = [0; LEGACY];
    put_x87(&ex.cpu.x87, WIDE, &mut area);
    put_mxcsr(ex.cpu.mxcsr, &mut area);
    // Without CR4.OSFXSR the XMM registers are not saved. What lies above the last register
    // saved is not written.
    let end = if ex.cpu.cr4 & cr4::OSFXSR != 0 {
        put_xmm(ex, &mut area);
        XMM_AT + 16 * xmm_count(ex)
    } else {
        XMM_AT
    };
    ex.write_bytes(op.seg, lin, &area[..end])?;
    Ok(Flow::Next)
}

fn fxrstor<const WIDE: bool>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let lin = fxsave_address(ex, op, false)?;
    let mut area = [0; LEGACY];
    ex.read_bytes(op.seg, lin, &mut area)?;
    let mxcsr = get_mxcsr(&area)?;
    get_x87(&mut ex.cpu.x87, WIDE, &area);
    if ex.cpu.cr4 & cr4::OSFXSR != 0 {
        ex.cpu.mxcsr = mxcsr;
        get_xmm(ex, &area);
    }
    ex.update_ferr();
    Ok(Flow::Next)
}

/// #UD without CR4.OSXSAVE, #NM with CR0.TS; the operand's linear address, #GP(0) unless
/// aligned to 64 bytes; and the components asked for by EDX:EAX.
fn xsave_address(ex: &Exec<'_>, op: &Op, write: bool) -> Result<(u64, u64), Trap> {
    if ex.cpu.cr4 & cr4::OSXSAVE == 0 || op.lock() {
        return Err(Trap::UD);
    }
    if ex.cpu.cr0 & cr0::TS != 0 {
        return Err(Trap::NM);
    }
    let mask = u64::from(ex.get::<u32>(gpr::RDX)) << 32 | u64::from(ex.get::<u32>(gpr::RAX));
    let asked = mask & ex.cpu.xcr0 & component::ALL;
    let bytes = if ex.cpu.xcr0 & component::AVX != 0 { AVX_AT + AVX_BYTES } else { AVX_AT };
    let lin = ex.operand(op, bytes as u64, write)?;
    if lin & 63 != 0 { Err(Trap::GP) } else { Ok((lin, asked)) }
}

/// The components whose contents differ from their initial configuration (SDM volume 1,
/// section 13.6).
fn in_use(ex: &Exec<'_>) -> u64 {
    let x87 = &ex.cpu.x87;
    let n = xmm_count(ex);
    let vectors = &ex.cpu.vectors[..n];
    let mut used = 0;
    if *x87 != X87::default() {
        used |= component::X87;
    }
    if vectors.iter().any(|v| v.xmm() != 0) {
        used |= component::SSE;
    }
    if vectors.iter().any(|v| v.0[2] | v.0[3] != 0) {
        used |= component::AVX;
    }
    used
}

fn xsave<const WIDE: bool, const OPTIMIZE: bool>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let (lin, asked) = xsave_address(ex, op, true)?;
    let used = in_use(ex);
    let write = if OPTIMIZE { asked & used } else { asked };
    let mut area = [0; LEGACY];
    put_x87(&ex.cpu.x87, WIDE, &mut area);
    put_mxcsr(ex.cpu.mxcsr, &mut area);
    put_xmm(ex, &mut area);
    let xmm_end = XMM_AT + 16 * xmm_count(ex);
    let mut upper = [0; AVX_BYTES];
    for (i, v) in ex.cpu.vectors.iter().enumerate().take(xmm_count(ex)) {
        upper[16 * i..16 * i + 8].copy_from_slice(&v.0[2].to_le_bytes());
        upper[16 * i + 8..16 * i + 16].copy_from_slice(&v.0[3].to_le_bytes());
    }
    // The header is always written; both ends are checked first, so that a fault in the
    // second page of the area leaves the first alone.
    let at = |offset: usize| lin.wrapping_add(offset as u64);
    let last = if write & component::AVX != 0 { AVX_AT + AVX_BYTES - 1 } else { AVX_AT - 1 };
    for offset in [0, LEGACY, last] {
        let address = ex.wrap(at(offset));
        ex.check_write(op.seg, address, 1)?;
    }
    let mut header = [0; 8];
    ex.read_bytes(op.seg, ex.wrap(at(LEGACY)), &mut header)?;
    let old = u64::from_le_bytes(header);
    let parts: [(bool, usize, &[u8]); 5] = [
        (write & component::X87 != 0, 0, &area[..MXCSR_AT]),
        (asked & (component::SSE | component::AVX) != 0, MXCSR_AT, &area[MXCSR_AT..ST_AT]),
        (write & component::X87 != 0, ST_AT, &area[ST_AT..XMM_AT]),
        (write & component::SSE != 0, XMM_AT, &area[XMM_AT..xmm_end]),
        (write & component::AVX != 0, AVX_AT, &upper[..16 * xmm_count(ex)]),
    ];
    for (wanted, offset, bytes) in parts {
        if wanted {
            ex.write_bytes(op.seg, ex.wrap(at(offset)), bytes)?;
        }
    }
    let new = old & !asked | asked & used;
    ex.write_bytes(op.seg, ex.wrap(at(LEGACY)), &new.to_le_bytes())?;
    Ok(Flow::Next)
}

fn xrstor<const WIDE: bool>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let (lin, asked) = xsave_address(ex, op, false)?;
    let at = |offset: usize| lin.wrapping_add(offset as u64);
    let mut header = [0; HEADER];
    ex.read_bytes(op.seg, ex.wrap(at(LEGACY)), &mut header)?;
    let present = u64::from_le_bytes(word(&header, 0));
    // The compacted format (XCOMP_BV bit 63) is XSAVEC's, which no model has.
    if present & !ex.cpu.xcr0 != 0 || header[8..].iter().any(|&b| b != 0) {
        return Err(Trap::GP);
    }
    let load = asked & present;
    let mut area = [0; LEGACY];
    ex.read_bytes(op.seg, lin, &mut area)?;
    let mut upper = [0; AVX_BYTES];
    if load & component::AVX != 0 {
        let n = 16 * xmm_count(ex);
        ex.read_bytes(op.seg, ex.wrap(at(AVX_AT)), &mut upper[..n])?;
    }
    let mxcsr = if asked & (component::SSE | component::AVX) != 0 { get_mxcsr(&area)? } else { ex.cpu.mxcsr };
    // Nothing can fault any more.
    ex.cpu.mxcsr = mxcsr;
    if load & component::X87 != 0 {
        get_x87(&mut ex.cpu.x87, WIDE, &area);
    } else if asked & component::X87 != 0 {
        ex.cpu.x87 = X87::default();
    }
    if load & component::SSE == 0 {
        area[XMM_AT..].fill(0);
    }
    if asked & component::SSE != 0 {
        get_xmm(ex, &area);
    }
    if asked & component::AVX != 0 {
        let n = xmm_count(ex);
        for (i, v) in ex.cpu.vectors.iter_mut().enumerate().take(n) {
            v.0[2] = u64::from_le_bytes(word(&upper, 16 * i));
            v.0[3] = u64::from_le_bytes(word(&upper, 16 * i + 8));
        }
    }
    ex.update_ferr();
    Ok(Flow::Next)
}

/// The handler for `ins`, if it belongs to this group.
pub fn select(ins: &Instruction) -> Option<Handler> {
    Some(match ins.code() {
        Code::Fxsave_m512byte => fxsave::<false>,
        Code::Fxsave64_m512byte => fxsave::<true>,
        Code::Fxrstor_m512byte => fxrstor::<false>,
        Code::Fxrstor64_m512byte => fxrstor::<true>,
        Code::Xsave_mem => xsave::<false, false>,
        Code::Xsave64_mem => xsave::<true, false>,
        Code::Xsaveopt_mem => xsave::<false, true>,
        Code::Xsaveopt64_mem => xsave::<true, true>,
        Code::Xrstor_mem => xrstor::<false>,
        Code::Xrstor64_mem => xrstor::<true>,
        _ => return None,
    })
}
