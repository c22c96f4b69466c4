//! IN, OUT, INS, OUTS (SDM volume 1, chapter 19). A repeated INS or OUTS makes one iteration a
//! step, so that every access has a moment of its own.

use crate::probe::What;
use crate::x86::exec::{Exec, Flow};
use crate::x86::flags::bit;
use crate::x86::op::{Handler, Op};
use crate::x86::regs::{cr4, gpr, seg};
use crate::x86::trap::Trap;
use iced_x86::{Code, Instruction, Mnemonic};

type Done = Result<Flow, Trap>;

impl Exec<'_> {
    /// Checks IOPL and the TSS's I/O permission bitmap (SDM volume 1, section 19.5).
    ///
    /// # Errors
    /// #GP(0).
    fn check_port(&mut self, port: u16, size: u8) -> Result<(), Trap> {
        if !self.cpu.protected() || !self.cpu.v86() && self.cpu.cpl <= self.cpu.iopl() {
            return Ok(());
        }
        let tr = *self.cpu.seg(seg::TR);
        if tr.rights & 0x8f & !2 != 0x89 || tr.limit < 103 {
            return Err(Trap::GP);
        }
        self.implicit(|ex| {
            let lin = ex.wrap(tr.base.wrapping_add(102));
            let map = u64::from(ex.read_lin::<u16>(seg::DS, lin)?);
            let at = map + u64::from(port >> 3);
            // Two bytes are always read.
            if at + 1 > u64::from(tr.limit) {
                return Err(Trap::GP);
            }
            let lin = ex.wrap(tr.base.wrapping_add(at));
            let bits: u16 = ex.read_lin(seg::DS, lin)?;
            let mask = ((1u16 << size) - 1) << (port & 7);
            if bits & mask != 0 { Err(Trap::GP) } else { Ok(()) }
        })
    }

    fn port_in(&mut self, port: u16, size: u8) -> u64 {
        self.note_io_breakpoints(port, size);
        let at = self.at();
        let value = self.bus.port_read(self.mem, at, port, size);
        self.event(What::Port { port, size, write: false, value });
        self.after_bus();
        value.into()
    }

    fn port_out(&mut self, port: u16, size: u8, v: u64) {
        self.note_io_breakpoints(port, size);
        let at = self.at();
        self.bus.port_write(self.mem, at, port, size, v as u32);
        self.event(What::Port { port, size, write: true, value: v as u32 });
        self.after_bus();
    }

    /// Records hits of I/O breakpoints, which exist with CR4.DE (SDM volume 3, section 17.2.4).
    fn note_io_breakpoints(&mut self, port: u16, size: u8) {
        let dr7 = self.cpu.dr[7];
        if dr7 & 0xff == 0 || self.cpu.cr4 & cr4::DE == 0 {
            return;
        }
        for i in 0..4 {
            let control = dr7 >> (16 + 4 * i) & 15;
            let len = [1, 2, 8, 4][(control >> 2) as usize];
            let start = self.cpu.dr[i] & !(len - 1);
            let port = u64::from(port);
            let overlap = port.wrapping_sub(start) < len || start.wrapping_sub(port) < size.into();
            if dr7 >> (2 * i) & 3 != 0 && control & 3 == 2 && overlap {
                self.cpu.debug_pending |= 1 << i;
                self.attention = true;
            }
        }
    }

    /// Moves a string index register by one element, in the direction of RFLAGS.DF.
    fn advance(&mut self, op: &Op, r: u8, size: u8) {
        let delta = if self.cpu.rflags & bit::DF != 0 { 0u64.wrapping_sub(size.into()) } else { size.into() };
        let v = self.get_sized(r, op.addrsize).wrapping_add(delta);
        self.set_sized(r, op.addrsize, v);
    }

    /// Counts an iteration; goes back to the instruction while some are left.
    fn repeat(&mut self, op: &Op) -> Flow {
        if !op.rep() {
            return Flow::Next;
        }
        let left = self.get_sized(gpr::RCX, op.addrsize).wrapping_sub(1);
        self.set_sized(gpr::RCX, op.addrsize, left);
        if self.get_sized(gpr::RCX, op.addrsize) == 0 {
            return Flow::Next;
        }
        let rip = self.cpu.rip().wrapping_sub(op.len.into());
        self.cpu.set_rip(rip);
        Flow::Again
    }

    /// A repeated string instruction has nothing to do.
    fn no_iterations(&self, op: &Op) -> bool {
        op.rep() && self.get_sized(gpr::RCX, op.addrsize) == 0
    }
}

fn in_imm<const SIZE: u8>(ex: &mut Exec<'_>, op: &Op) -> Done {
    read_port::<SIZE>(ex, op.imm as u16 & 0xff)
}

fn in_dx<const SIZE: u8>(ex: &mut Exec<'_>, _: &Op) -> Done {
    let port = ex.get(gpr::RDX);
    read_port::<SIZE>(ex, port)
}

fn read_port<const SIZE: u8>(ex: &mut Exec<'_>, port: u16) -> Done {
    ex.check_port(port, SIZE)?;
    let v = ex.port_in(port, SIZE);
    ex.set_sized(gpr::RAX, SIZE, v);
    Ok(Flow::Next)
}

fn out_imm<const SIZE: u8>(ex: &mut Exec<'_>, op: &Op) -> Done {
    write_port::<SIZE>(ex, op.imm as u16 & 0xff)
}

fn out_dx<const SIZE: u8>(ex: &mut Exec<'_>, _: &Op) -> Done {
    let port = ex.get(gpr::RDX);
    write_port::<SIZE>(ex, port)
}

fn write_port<const SIZE: u8>(ex: &mut Exec<'_>, port: u16) -> Done {
    ex.check_port(port, SIZE)?;
    let v = ex.get_sized(gpr::RAX, SIZE);
    ex.port_out(port, SIZE, v);
    Ok(Flow::Next)
}

fn ins<const SIZE: u8>(ex: &mut Exec<'_>, op: &Op) -> Done {
    if ex.no_iterations(op) {
        return Ok(Flow::Next);
    }
    let port = ex.get(gpr::RDX);
    ex.check_port(port, SIZE)?;
    let off = ex.get_sized(gpr::RDI, op.addrsize);
    let lin = ex.linear(seg::ES, off, SIZE.into(), true)?;
    // The store must not fault once the device was read.
    ex.check_write(seg::ES, lin, SIZE)?;
    let v = ex.port_in(port, SIZE);
    match SIZE {
        1 => ex.write_lin(seg::ES, lin, v as u8)?,
        2 => ex.write_lin(seg::ES, lin, v as u16)?,
        _ => ex.write_lin(seg::ES, lin, v as u32)?,
    }
    ex.advance(op, gpr::RDI, SIZE);
    Ok(ex.repeat(op))
}

fn outs<const SIZE: u8>(ex: &mut Exec<'_>, op: &Op) -> Done {
    if ex.no_iterations(op) {
        return Ok(Flow::Next);
    }
    let port = ex.get(gpr::RDX);
    ex.check_port(port, SIZE)?;
    let off = ex.get_sized(gpr::RSI, op.addrsize);
    let v = match SIZE {
        1 => ex.read::<u8>(op.seg, off)?.into(),
        2 => ex.read::<u16>(op.seg, off)?.into(),
        _ => u64::from(ex.read::<u32>(op.seg, off)?),
    };
    ex.port_out(port, SIZE, v);
    ex.advance(op, gpr::RSI, SIZE);
    Ok(ex.repeat(op))
}

/// The handler for `ins`, if it belongs to this group.
pub fn select(ins: &Instruction) -> Option<Handler> {
    Some(match ins.code() {
        Code::In_AL_imm8 => in_imm::<1>,
        Code::In_AX_imm8 => in_imm::<2>,
        Code::In_EAX_imm8 => in_imm::<4>,
        Code::In_AL_DX => in_dx::<1>,
        Code::In_AX_DX => in_dx::<2>,
        Code::In_EAX_DX => in_dx::<4>,
        Code::Out_imm8_AL => out_imm::<1>,
        Code::Out_imm8_AX => out_imm::<2>,
        Code::Out_imm8_EAX => out_imm::<4>,
        Code::Out_DX_AL => out_dx::<1>,
        Code::Out_DX_AX => out_dx::<2>,
        Code::Out_DX_EAX => out_dx::<4>,
        _ => match ins.mnemonic() {
            Mnemonic::Insb => self::ins::<1>,
            Mnemonic::Insw => self::ins::<2>,
            Mnemonic::Insd => self::ins::<4>,
            Mnemonic::Outsb => outs::<1>,
            Mnemonic::Outsw => outs::<2>,
            Mnemonic::Outsd => outs::<4>,
            _ => return None,
        },
    })
}
