//! Descriptors and the loading of segment registers (SDM volume 3, sections 3.4, 3.5, 5.2 to 5.8).

use crate::x86::exec::Exec;
use crate::x86::regs::{Segment, right, seg};
use crate::x86::trap::{Trap, vector};

/// The part of a selector that an error code names: index and table.
pub const fn named(selector: u16) -> u16 {
    selector & 0xfffc
}

/// True for a null selector (SDM volume 3, section 3.4.2).
pub const fn is_null(selector: u16) -> bool {
    selector & 0xfffc == 0
}

/// The requested privilege level.
pub const fn rpl(selector: u16) -> u8 {
    (selector & 3) as u8
}

/// System descriptor types (SDM volume 3, table 3-2).
pub mod kind {
    #![allow(missing_docs, reason = "the names are the manual's")]
    pub const TSS16: u16 = 1;
    pub const LDT: u16 = 2;
    pub const CALL16: u16 = 4;
    pub const TASK: u16 = 5;
    pub const INT16: u16 = 6;
    pub const TRAP16: u16 = 7;
    pub const TSS: u16 = 9;
    pub const CALL: u16 = 12;
    pub const INT: u16 = 14;
    pub const TRAP: u16 = 15;
    /// Added to the type of a TSS in use.
    pub const BUSY: u16 = 2;
}

/// A descriptor as it was read from a table.
#[derive(Clone, Copy, Debug)]
pub struct Descriptor {
    /// The selector that named it.
    pub selector: u16,
    /// Its eight bytes.
    pub raw: u64,
    /// The upper eight bytes of a system descriptor in long mode, else zero.
    pub high: u64,
    /// Where it lies.
    pub lin: u64,
}

impl Descriptor {
    /// Access rights, see [`Segment::rights`].
    pub fn rights(&self) -> u16 {
        (self.raw >> 40) as u16 & 0xf0ff
    }

    /// Type, with the S bit: below 16 for system descriptors.
    pub fn kind(&self) -> u16 {
        self.rights() & 0x1f
    }

    /// The descriptor privilege level.
    pub fn dpl(&self) -> u8 {
        (self.rights() >> 5 & 3) as u8
    }

    /// The present bit.
    pub fn present(&self) -> bool {
        self.rights() & right::P != 0
    }

    /// A code segment's descriptor.
    pub fn code(&self) -> bool {
        self.rights() & (right::S | right::CODE) == right::S | right::CODE
    }

    /// A conforming code segment, if it is a code segment at all.
    pub fn conforming(&self) -> bool {
        self.rights() & right::DC != 0
    }

    /// A writable data segment.
    pub fn writable_data(&self) -> bool {
        self.rights() & (right::S | right::CODE | right::RW) == right::S | right::RW
    }

    /// The limit in bytes.
    pub fn limit(&self) -> u32 {
        let limit = (self.raw & 0xffff | self.raw >> 32 & 0xf_0000) as u32;
        if self.rights() & right::G != 0 { limit << 12 | 0xfff } else { limit }
    }

    /// The base address; all 64 bits of a system descriptor in long mode.
    pub fn base(&self) -> u64 {
        self.raw >> 16 & 0xff_ffff | self.raw >> 32 & 0xff00_0000 | self.high << 32
    }

    /// The hidden part of a segment register.
    pub fn segment(&self) -> Segment {
        Segment { selector: self.selector, rights: self.rights(), base: self.base(), limit: self.limit() }
    }

    /// A gate's target selector.
    pub fn gate_selector(&self) -> u16 {
        (self.raw >> 16) as u16
    }

    /// A gate's target offset; of 16-bit gates 16 bits.
    pub fn gate_offset(&self) -> u64 {
        if self.kind() & 8 == 0 {
            self.raw & 0xffff
        } else {
            self.raw & 0xffff | self.raw >> 32 & 0xffff_0000 | self.high << 32
        }
    }
}

/// A segment register that holds a null selector.
pub fn null_segment(selector: u16) -> Segment {
    Segment { selector, rights: 0, base: 0, limit: 0 }
}

/// A segment register in virtual-8086 mode (SDM volume 3, section 20.2.4).
pub fn v86_segment(selector: u16) -> Segment {
    Segment::real(selector, right::P | right::S | right::RW | right::ACCESSED | 3 << 5)
}

impl Exec<'_> {
    /// A fault with a selector's error code; `ext` is its EXT bit.
    pub fn selector_fault(fault: u8, selector: u16, ext: u16) -> Trap {
        Trap::Fault { vector: fault, code: Some(named(selector) | ext) }
    }

    /// Reads the descriptor that a selector which is not null names.
    ///
    /// # Errors
    /// `fault` with the selector when it lies outside its table; the read's page fault.
    pub fn descriptor(&mut self, selector: u16, fault: u8, ext: u16) -> Result<Descriptor, Trap> {
        let offset = u64::from(selector & !7);
        let (base, limit) = if selector & 4 != 0 {
            let ldt = self.cpu.seg(seg::LDTR);
            if !ldt.present() {
                return Err(Self::selector_fault(fault, selector, ext));
            }
            (ldt.base, u64::from(ldt.limit))
        } else {
            (self.cpu.gdtr.base, u64::from(self.cpu.gdtr.limit))
        };
        if offset + 7 > limit {
            return Err(Self::selector_fault(fault, selector, ext));
        }
        let lin = self.wrap(base.wrapping_add(offset));
        let raw: u64 = self.implicit(|ex| ex.read_lin(seg::DS, lin))?;
        Ok(Descriptor { selector, raw, high: 0, lin })
    }

    /// Reads the upper half of a system descriptor in long mode (SDM volume 3, section 3.5.2).
    ///
    /// # Errors
    /// `fault` with the selector when it lies outside its table or is no system descriptor's
    /// upper half; the read's page fault.
    pub fn descriptor_high(&mut self, d: &mut Descriptor, fault: u8, ext: u16) -> Result<(), Trap> {
        let limit = if d.selector & 4 != 0 {
            u64::from(self.cpu.seg(seg::LDTR).limit)
        } else {
            u64::from(self.cpu.gdtr.limit)
        };
        if u64::from(d.selector & !7) + 15 > limit {
            return Err(Self::selector_fault(fault, d.selector, ext));
        }
        let lin = self.wrap(d.lin.wrapping_add(8));
        let high: u64 = self.implicit(|ex| ex.read_lin(seg::DS, lin))?;
        // The type field of the upper half must be zero.
        if high >> 40 & 0x1f != 0 {
            return Err(Self::selector_fault(fault, d.selector, ext));
        }
        d.high = high & 0xffff_ffff;
        Ok(())
    }

    /// Sets the accessed bit of a code or data segment's descriptor, in memory and in `d`.
    ///
    /// # Errors
    /// The write's page fault.
    pub fn set_accessed(&mut self, d: &mut Descriptor) -> Result<(), Trap> {
        if d.raw >> 40 & 1 == 0 {
            d.raw |= 1 << 40;
            let byte = (d.raw >> 40) as u8;
            let lin = self.wrap(d.lin.wrapping_add(5));
            self.implicit(|ex| ex.write_lin(seg::DS, lin, byte))?;
        }
        Ok(())
    }

    /// Sets or clears the busy bit of a TSS's descriptor in memory.
    ///
    /// # Errors
    /// The write's page fault.
    pub fn set_busy(&mut self, d: &Descriptor, busy: bool) -> Result<(), Trap> {
        let byte = (d.raw >> 40) as u8 & !2 | if busy { 2 } else { 0 };
        let lin = self.wrap(d.lin.wrapping_add(5));
        self.implicit(|ex| ex.write_lin(seg::DS, lin, byte))
    }

    /// A stack segment for privilege level `cpl`, checked. `fault` is #GP for instructions, #TS
    /// for stacks from a TSS.
    ///
    /// # Errors
    /// `fault`, or #SS when it is not present.
    pub fn stack_segment(&mut self, selector: u16, cpl: u8, fault: u8, ext: u16) -> Result<Segment, Trap> {
        if is_null(selector) {
            return Err(Self::selector_fault(fault, 0, ext));
        }
        let mut d = self.descriptor(selector, fault, ext)?;
        if rpl(selector) != cpl || !d.writable_data() || d.dpl() != cpl {
            return Err(Self::selector_fault(fault, selector, ext));
        }
        if !d.present() {
            return Err(Self::selector_fault(vector::SS, selector, ext));
        }
        self.set_accessed(&mut d)?;
        Ok(d.segment())
    }

    /// A null stack segment of 64-bit mode at privilege level `cpl`.
    pub fn null_stack(selector: u16, cpl: u8) -> Segment {
        Segment { rights: u16::from(cpl) << 5, ..null_segment(selector) }
    }

    /// What segment register `s` (not CS) shall hold after a load of `selector`.
    ///
    /// # Errors
    /// The load's fault.
    pub fn check_segment(&mut self, s: u8, selector: u16) -> Result<Segment, Trap> {
        if self.cpu.v86() {
            return Ok(v86_segment(selector));
        }
        if !self.cpu.protected() {
            return Ok(self.real_segment(s, selector));
        }
        let cpl = self.cpu.cpl;
        if s == seg::SS {
            if is_null(selector) && self.cpu.mode64() && cpl < 3 && rpl(selector) == cpl {
                return Ok(Self::null_stack(selector, cpl));
            }
            return self.stack_segment(selector, cpl, vector::GP, 0);
        }
        if is_null(selector) {
            return Ok(null_segment(selector));
        }
        let mut d = self.descriptor(selector, vector::GP, 0)?;
        self.check_data(&d, vector::GP, cpl)?;
        self.set_accessed(&mut d)?;
        Ok(d.segment())
    }

    /// Checks a descriptor for DS, ES, FS or GS.
    ///
    /// # Errors
    /// `fault` for the wrong type or privilege, #NP.
    pub fn check_data(&self, d: &Descriptor, fault: u8, cpl: u8) -> Result<(), Trap> {
        let r = d.rights();
        let code = r & right::CODE != 0;
        let readable = r & right::S != 0 && (!code || r & right::RW != 0);
        let privilege = code && d.conforming() || d.dpl() >= cpl.max(rpl(d.selector));
        if !readable || !privilege {
            return Err(Self::selector_fault(fault, d.selector, 0));
        }
        if !d.present() {
            return Err(Self::selector_fault(vector::NP, d.selector, 0));
        }
        Ok(())
    }

    /// A real-mode load: selector and base change, limit and rights stay, so that "unreal" mode
    /// lasts. A segment that was unusable becomes an ordinary one.
    pub fn real_segment(&self, s: u8, selector: u16) -> Segment {
        let old = *self.cpu.seg(s);
        let new = Segment { selector, base: u64::from(selector) << 4, ..old };
        if old.present() {
            return new;
        }
        Segment::real(selector, right::P | right::S | right::RW | right::ACCESSED)
    }

    /// Nulls data segment registers that the outer privilege level `cpl` may not use (SDM volume
    /// 2, RET).
    pub fn drop_privileged_segments(&mut self, cpl: u8) {
        for s in [seg::ES, seg::DS, seg::FS, seg::GS] {
            let segment = self.cpu.seg(s);
            let r = segment.rights;
            let conforming = r & (right::CODE | right::DC) == right::CODE | right::DC;
            if r & right::S != 0 && !conforming && segment.dpl() < cpl {
                self.cpu.segs[usize::from(s)] = null_segment(0);
            }
        }
    }
}
