//! Control and debug registers (SDM volume 3, sections 2.5, 2.8.1 and 17.2).

use crate::x86::exec::{Exec, Flow};
use crate::x86::flags::bit;
use crate::x86::mmu::PHYS_BITS;
use crate::x86::op::{Handler, Op};
use crate::x86::regs::{cr0, cr4, efer, right, seg};
use crate::x86::trap::{Trap, vector};
use iced_x86::{Code, Instruction, Mnemonic, Register};

type Done = Result<Flow, Trap>;

/// Bits of CR0 that software can change; ET reads as one.
const CR0_WRITABLE: u64 =
    cr0::PE | cr0::MP | cr0::EM | cr0::TS | cr0::NE | cr0::WP | cr0::AM | cr0::NW | cr0::CD | cr0::PG;

/// DR6 and DR7: bits that read as one, and bits that can be written (SDM volume 3, figure 17-1).
const DR6_ONES: u64 = 0xffff_0ff0;
const DR6_WRITABLE: u64 = 0xe00f;
const DR7_ONES: u64 = 0x400;
const DR7_WRITABLE: u64 = 0xffff_23ff;
/// DR7.GD: general detect enable.
const DR7_GD: u64 = 1 << 13;
/// DR6.BD: debug registers were accessed while DR7.GD was set.
const DR6_BD: u64 = 1 << 13;

impl Exec<'_> {
    /// Privileged instructions: #GP(0) above level 0.
    ///
    /// # Errors
    /// #GP(0).
    pub fn privileged(&self) -> Result<(), Trap> {
        if self.cpu.cpl == 0 { Ok(()) } else { Err(Trap::GP) }
    }

    fn write_cr0(&mut self, v: u64) -> Result<(), Trap> {
        if v >> 32 != 0 {
            return Err(Trap::GP);
        }
        let old = self.cpu.cr0;
        let new = v & CR0_WRITABLE | cr0::ET;
        let turned = old ^ new;
        if new & cr0::PG != 0 && new & cr0::PE == 0 || new & cr0::NW != 0 && new & cr0::CD == 0 {
            return Err(Trap::GP);
        }
        let mut efer = self.cpu.msrs.efer;
        if turned & cr0::PG != 0 {
            if new & cr0::PG != 0 {
                if efer & efer::LME != 0 {
                    // Into long mode (SDM volume 3, section 9.8.5).
                    let cs_l = self.cpu.seg(seg::CS).rights & right::L != 0;
                    let tss16 = self.cpu.seg(seg::TR).rights & 0xd == 1;
                    if self.cpu.cr4 & cr4::PAE == 0 || cs_l || tss16 {
                        return Err(Trap::GP);
                    }
                    efer |= efer::LMA;
                }
            } else {
                if self.cpu.mode64() || self.cpu.cr4 & cr4::PCIDE != 0 {
                    return Err(Trap::GP);
                }
                efer &= !efer::LMA;
            }
        }
        let pae = new & cr0::PG != 0 && self.cpu.cr4 & cr4::PAE != 0 && efer & efer::LMA == 0;
        if pae && turned & (cr0::PG | cr0::CD | cr0::NW) != 0 {
            self.cpu.pdptrs = self.load_pdptrs(self.cpu.cr3)?;
        }
        self.cpu.cr0 = new;
        self.cpu.msrs.efer = efer;
        self.mode_changed();
        Ok(())
    }

    /// Loads CR3, with the page-directory-pointer registers in PAE mode.
    ///
    /// # Errors
    /// #GP(0) for reserved bits.
    pub fn write_cr3(&mut self, v: u64) -> Result<(), Trap> {
        let mut v = v;
        if self.cpu.long_mode() {
            if self.cpu.cr4 & cr4::PCIDE != 0 {
                // Bit 63 only says that nothing needs to be flushed.
                v &= !(1 << 63);
            }
            if v >> PHYS_BITS != 0 {
                return Err(Trap::GP);
            }
        } else {
            v &= 0xffff_ffff;
            if self.cpu.cr0 & cr0::PG != 0 && self.cpu.cr4 & cr4::PAE != 0 {
                self.cpu.pdptrs = self.load_pdptrs(v)?;
            }
        }
        self.cpu.cr3 = v;
        self.mode_changed();
        Ok(())
    }

    /// Reads the four page-directory-pointer entries (SDM volume 3, section 4.4.1).
    ///
    /// # Errors
    /// #GP(0) when a present one has reserved bits set.
    fn load_pdptrs(&self, cr3: u64) -> Result<[u64; 4], Trap> {
        let mut bytes = [0; 32];
        self.mem.read(cr3 & 0xffff_ffe0, &mut bytes);
        let mut pdptrs = [0; 4];
        for (p, b) in pdptrs.iter_mut().zip(bytes.chunks_exact(8)) {
            *p = <u64 as crate::x86::word::Word>::from_bytes(b);
            // Bits 2:1, 8:5 and those above the physical width.
            let reserved = 0x1e6 | !0 << PHYS_BITS;
            if *p & 1 != 0 && *p & reserved != 0 {
                return Err(Trap::GP);
            }
        }
        Ok(pdptrs)
    }

    fn write_cr4(&mut self, v: u64) -> Result<(), Trap> {
        if v & !self.cpu.model.cr4_bits() != 0 {
            return Err(Trap::GP);
        }
        let turned = self.cpu.cr4 ^ v;
        if self.cpu.long_mode() {
            if v & cr4::PAE == 0 {
                return Err(Trap::GP);
            }
            if turned & v & cr4::PCIDE != 0 && self.cpu.cr3 & 0xfff != 0 {
                return Err(Trap::GP);
            }
        } else {
            if v & cr4::PCIDE != 0 {
                return Err(Trap::GP);
            }
            let paging = self.cpu.cr0 & cr0::PG != 0 && v & cr4::PAE != 0;
            if paging && turned & (cr4::PAE | cr4::PGE | cr4::PSE | cr4::SMEP) != 0 {
                self.cpu.pdptrs = self.load_pdptrs(self.cpu.cr3)?;
            }
        }
        self.cpu.cr4 = v;
        self.mode_changed();
        Ok(())
    }

    /// Number 6 or 7 for DR4 and DR5, unless CR4.DE makes them invalid; privilege; DR7.GD.
    fn debug_register(&mut self, r: u8) -> Result<usize, Trap> {
        let n = usize::from(r & 7);
        let n = match n {
            4 | 5 if self.cpu.cr4 & cr4::DE != 0 => return Err(Trap::UD),
            4 | 5 => n + 2,
            _ => n,
        };
        self.privileged()?;
        if self.cpu.dr[7] & DR7_GD != 0 {
            self.cpu.dr[7] &= !DR7_GD;
            self.cpu.dr[6] |= DR6_BD;
            return Err(Trap::Fault { vector: vector::DB, code: None });
        }
        Ok(n)
    }

    /// CR4.UMIP forbids programs to read where system tables lie.
    ///
    /// # Errors
    /// #GP(0).
    pub fn check_umip(&self) -> Result<(), Trap> {
        if self.cpu.cr4 & cr4::UMIP != 0 && self.cpu.cpl > 0 { Err(Trap::GP) } else { Ok(()) }
    }
}

fn mov_from_cr(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.privileged()?;
    let v = match op.r1 {
        0 => ex.cpu.cr0,
        2 => ex.cpu.cr2,
        3 => ex.cpu.cr3,
        4 => ex.cpu.cr4,
        8 => {
            let at = ex.at();
            let v = ex.bus.tpr_read(at).into();
            ex.after_bus();
            v
        }
        _ => return Err(Trap::UD),
    };
    if op.long() {
        ex.set(op.r0, v)
    } else {
        ex.set(op.r0, v as u32)
    }
    Ok(Flow::Next)
}

fn mov_to_cr(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.privileged()?;
    let v: u64 = if op.long() { ex.get(op.r1) } else { ex.get::<u32>(op.r1).into() };
    match op.r0 {
        0 => ex.write_cr0(v)?,
        2 => ex.cpu.cr2 = v,
        3 => ex.write_cr3(v)?,
        4 => ex.write_cr4(v)?,
        8 => {
            if v > 15 {
                return Err(Trap::GP);
            }
            let at = ex.at();
            ex.bus.tpr_write(ex.mem, at, v as u8);
            ex.after_bus();
        }
        _ => return Err(Trap::UD),
    }
    Ok(Flow::Event)
}

fn mov_from_dr(ex: &mut Exec<'_>, op: &Op) -> Done {
    let n = ex.debug_register(op.r1)?;
    let v = ex.cpu.dr[n];
    if op.long() {
        ex.set(op.r0, v)
    } else {
        ex.set(op.r0, v as u32)
    }
    Ok(Flow::Next)
}

fn mov_to_dr(ex: &mut Exec<'_>, op: &Op) -> Done {
    let n = ex.debug_register(op.r0)?;
    let v: u64 = if op.long() { ex.get(op.r1) } else { ex.get::<u32>(op.r1).into() };
    if n >= 6 && v >> 32 != 0 {
        return Err(Trap::GP);
    }
    ex.cpu.dr[n] = match n {
        6 => v & DR6_WRITABLE | DR6_ONES,
        7 => v & DR7_WRITABLE | DR7_ONES,
        _ => v,
    };
    ex.mode_changed();
    Ok(Flow::Event)
}

fn clts(ex: &mut Exec<'_>, _: &Op) -> Done {
    ex.privileged()?;
    ex.cpu.cr0 &= !cr0::TS;
    Ok(Flow::Event)
}

fn lmsw(ex: &mut Exec<'_>, op: &Op, v: u16) -> Done {
    let _ = op;
    let v = u64::from(v) & 15;
    // PE can be set, not cleared.
    let new = ex.cpu.cr0 & !(cr0::MP | cr0::EM | cr0::TS) | v;
    ex.write_cr0(new)?;
    Ok(Flow::Event)
}

fn lmsw_r(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.privileged()?;
    let v = ex.get(op.r0);
    lmsw(ex, op, v)
}

fn lmsw_m(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.privileged()?;
    let v = ex.load(op)?;
    lmsw(ex, op, v)
}

fn smsw_r<const SIZE: u8>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_umip()?;
    let v = ex.cpu.cr0;
    ex.set_sized(op.r0, SIZE, v);
    Ok(Flow::Next)
}

fn smsw_m(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_umip()?;
    let v = ex.cpu.cr0 as u16;
    ex.store(op, v)?;
    Ok(Flow::Next)
}

fn stac(ex: &mut Exec<'_>, _: &Op) -> Done {
    set_ac(ex, true)
}

fn clac(ex: &mut Exec<'_>, _: &Op) -> Done {
    set_ac(ex, false)
}

fn set_ac(ex: &mut Exec<'_>, ac: bool) -> Done {
    if ex.cpu.cpl != 0 {
        return Err(Trap::UD);
    }
    ex.cpu.rflags = ex.cpu.rflags & !bit::AC | if ac { bit::AC } else { 0 };
    ex.mode_changed();
    // Neither interrupts nor the debugger's mode changed: the block goes on after a new look.
    Ok(Flow::Jump)
}

/// The handler for `ins`, if it belongs to this group.
pub fn select(ins: &Instruction) -> Option<Handler> {
    let register = ins.op0_register() != Register::None;
    Some(match ins.code() {
        Code::Mov_r32_cr | Code::Mov_r64_cr => mov_from_cr,
        Code::Mov_cr_r32 | Code::Mov_cr_r64 => mov_to_cr,
        Code::Mov_r32_dr | Code::Mov_r64_dr => mov_from_dr,
        Code::Mov_dr_r32 | Code::Mov_dr_r64 => mov_to_dr,
        Code::Smsw_rm16 if register => smsw_r::<2>,
        Code::Smsw_r32m16 if register => smsw_r::<4>,
        Code::Smsw_r64m16 if register => smsw_r::<8>,
        _ => match ins.mnemonic() {
            Mnemonic::Smsw => smsw_m,
            Mnemonic::Lmsw if register => lmsw_r,
            Mnemonic::Lmsw => lmsw_m,
            Mnemonic::Clts => clts,
            Mnemonic::Stac => stac,
            Mnemonic::Clac => clac,
            _ => return None,
        },
    })
}
