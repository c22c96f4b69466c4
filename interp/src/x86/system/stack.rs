//! Accesses on behalf of the processor: stacks that are not (yet) the current one, descriptor
//! tables and TSS whatever the privilege level is.

use crate::x86::exec::Exec;
use crate::x86::flags::bit;
use crate::x86::regs::{Segment, cr4, gpr, seg};
use crate::x86::trap::{Trap, vector};

/// A stack that something is pushed on or popped from before it becomes the current one.
#[derive(Clone, Copy, Debug)]
pub struct Stack {
    /// Its segment.
    pub segment: Segment,
    /// The stack pointer.
    pub sp: u64,
    /// Bytes of the stack pointer: 2, 4 or 8.
    pub size: u8,
    /// The error code of a limit violation.
    pub code: u16,
}

impl Stack {
    /// The stack pointer plus `delta`, wrapped to its size.
    fn at(&self, delta: u64) -> u64 {
        let sp = self.sp.wrapping_add(delta);
        match self.size {
            8 => sp,
            4 => sp & 0xffff_ffff,
            _ => sp & 0xffff,
        }
    }

    /// Moves the stack pointer.
    pub fn skip(&mut self, delta: u64) {
        self.sp = self.at(delta);
    }

    /// The linear address of `bytes` at offset `off`.
    fn linear(&self, off: u64, bytes: u8) -> Result<u64, Trap> {
        if self.size == 8 {
            return Ok(off);
        }
        let (lo, hi) = self.segment.bounds();
        let last = off + u64::from(bytes) - 1;
        if off < lo.into() || last > hi.into() {
            return Err(Trap::ss(self.code));
        }
        Ok(self.segment.base.wrapping_add(off) & 0xffff_ffff)
    }
}

impl Exec<'_> {
    /// The current stack.
    pub fn stack(&self) -> Stack {
        let size = self.cpu.stack_size();
        let mut stack = Stack {
            segment: *self.cpu.seg(seg::SS),
            sp: self.cpu.regs[usize::from(gpr::RSP)],
            size,
            code: 0,
        };
        stack.skip(0);
        stack
    }

    /// Pushes `bytes` bytes of `v`.
    ///
    /// # Errors
    /// #SS, #PF.
    pub fn push_on(&mut self, stack: &mut Stack, bytes: u8, v: u64) -> Result<(), Trap> {
        let sp = stack.at(0u64.wrapping_sub(bytes.into()));
        let lin = stack.linear(sp, bytes)?;
        match bytes {
            2 => self.write_lin(seg::SS, lin, v as u16)?,
            4 => self.write_lin(seg::SS, lin, v as u32)?,
            _ => self.write_lin(seg::SS, lin, v)?,
        }
        stack.sp = sp;
        Ok(())
    }

    /// Pops `bytes` bytes, zero-extended.
    ///
    /// # Errors
    /// #SS, #PF.
    pub fn pop_off(&mut self, stack: &mut Stack, bytes: u8) -> Result<u64, Trap> {
        let lin = stack.linear(stack.sp, bytes)?;
        let v = match bytes {
            2 => self.read_lin::<u16>(seg::SS, lin)?.into(),
            4 => self.read_lin::<u32>(seg::SS, lin)?.into(),
            _ => self.read_lin(seg::SS, lin)?,
        };
        stack.skip(bytes.into());
        Ok(v)
    }

    /// Runs `f`, which only accesses memory, with the rights of privilege level `cpl`.
    ///
    /// # Errors
    /// What `f` returns.
    pub fn at_level<R>(&mut self, cpl: u8, f: impl FnOnce(&mut Self) -> Result<R, Trap>) -> Result<R, Trap> {
        if self.cpu.cpl == cpl {
            return f(self);
        }
        let old = std::mem::replace(&mut self.cpu.cpl, cpl);
        self.mode_changed();
        let result = f(self);
        self.cpu.cpl = old;
        self.mode_changed();
        result
    }

    /// Runs `f`, which only accesses memory, with the rights of an implicit supervisor access
    /// (SDM volume 3, section 4.6.1): descriptor tables and TSS. RFLAGS.AC excuses nothing then.
    ///
    /// # Errors
    /// What `f` returns.
    pub fn implicit<R>(&mut self, f: impl FnOnce(&mut Self) -> Result<R, Trap>) -> Result<R, Trap> {
        let excused = self.cpu.rflags & bit::AC != 0 && self.cpu.cr4 & cr4::SMAP != 0;
        if self.cpu.cpl != 3 && !excused {
            return f(self);
        }
        let cpl = std::mem::replace(&mut self.cpu.cpl, 0);
        let ac = self.cpu.rflags & bit::AC;
        self.cpu.rflags &= !bit::AC;
        self.mode_changed();
        let result = f(self);
        self.cpu.cpl = cpl;
        self.cpu.rflags |= ac;
        self.mode_changed();
        result
    }

    /// The stack for privilege level `cpl` from the current TSS (SDM volume 3, sections 7.2.1
    /// and 8.7): SS and SP of a 16- or 32-bit TSS.
    ///
    /// # Errors
    /// #TS, #SS, #PF.
    pub fn tss_stack(&mut self, cpl: u8, ext: u16) -> Result<Stack, Trap> {
        let tr = *self.cpu.seg(seg::TR);
        let wide = tr.rights & 8 != 0;
        let (at, last) = if wide {
            let at = 4 + 8 * u64::from(cpl);
            (at, at + 5)
        } else {
            let at = 2 + 4 * u64::from(cpl);
            (at, at + 3)
        };
        if last > tr.limit.into() {
            return Err(Self::selector_fault(vector::TS, tr.selector, ext));
        }
        let lin = tr.base.wrapping_add(at);
        let (sp, selector) = self.implicit(|ex| {
            let (a, b) = if wide { (4, 4) } else { (2, 2) };
            let sp = if a == 4 {
                ex.read_lin::<u32>(seg::DS, ex.wrap(lin))?.into()
            } else {
                u64::from(ex.read_lin::<u16>(seg::DS, ex.wrap(lin))?)
            };
            Ok((sp, ex.read_lin::<u16>(seg::DS, ex.wrap(lin.wrapping_add(b)))?))
        })?;
        let segment = self.stack_segment(selector, cpl, vector::TS, ext)?;
        let size = if segment.rights & crate::x86::regs::right::DB != 0 { 4 } else { 2 };
        let mut stack = Stack { segment, sp, size, code: super::segment::named(selector) | ext };
        stack.skip(0);
        Ok(stack)
    }

    /// A stack pointer from the 64-bit TSS: `slot` 0 to 2 is RSPn, 4 to 10 is IST1 to IST7 (SDM
    /// volume 3, section 8.7).
    ///
    /// # Errors
    /// #TS, #SS(0) when it is not canonical, #PF.
    pub fn tss_rsp(&mut self, slot: u64, ext: u16) -> Result<u64, Trap> {
        let tr = *self.cpu.seg(seg::TR);
        let at = 4 + 8 * slot;
        if at + 7 > tr.limit.into() {
            return Err(Self::selector_fault(vector::TS, tr.selector, ext));
        }
        let lin = tr.base.wrapping_add(at);
        let rsp: u64 = self.implicit(|ex| ex.read_lin(seg::DS, lin))?;
        if !Self::canonical(rsp) {
            return Err(Trap::ss(ext));
        }
        Ok(rsp)
    }
}
