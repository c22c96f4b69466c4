//! Delivery of interrupts and exceptions (SDM volume 3, chapter 6).

use super::exec::Exec;
use super::flags::bit;
use super::op::REG_RIP;
use super::regs::{cr4, gpr, right, seg};
use super::system::segment::{Descriptor, is_null, kind, named, null_segment};
use super::system::stack::Stack;
use super::trap::{Trap, vector};
use crate::probe::What;

/// Where an event comes from: it decides privilege checks, the EXT bit and what RIP is saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// An interrupt request or NMI.
    External,
    /// A processor-detected exception.
    Exception,
    /// INT n.
    IntN,
    /// INT3 and INTO.
    Int3,
    /// INT1.
    Int1,
}

impl Source {
    /// INT n, INT3 and INTO: the gate's privilege level is checked.
    fn software(self) -> bool {
        matches!(self, Source::IntN | Source::Int3)
    }
}

/// The error code's bit that says that it names an IDT entry.
const CODE_IDT: u16 = 2;

impl Exec<'_> {
    /// Enters the handler of `vector`; RIP is what shall be saved.
    ///
    /// # Errors
    /// The exception that the delivery raised; nothing has changed then.
    pub fn deliver(&mut self, vector: u8, code: Option<u16>, source: Source) -> Result<(), Trap> {
        let result = self.deliver_inner(vector, code, source);
        if result.is_ok() {
            self.event(match source {
                Source::External => What::Interrupt { vector, software: false },
                Source::IntN => What::Interrupt { vector, software: true },
                Source::Exception | Source::Int3 | Source::Int1 => {
                    let address = if vector == vector::PF { self.cpu.cr2 } else { 0 };
                    What::Exception { vector, code, address }
                }
            });
            // Only REP strings are left inside an instruction; they start anew.
            self.cpu.shadow = super::regs::Shadow::None;
            self.cpu.activity = super::regs::Activity::Running;
        }
        result
    }

    fn deliver_inner(&mut self, vector: u8, code: Option<u16>, source: Source) -> Result<(), Trap> {
        if !self.cpu.protected() {
            return self.deliver_real(vector);
        }
        if self.cpu.v86() && source == Source::IntN {
            if self.cpu.cr4 & cr4::VME != 0 && !self.redirected(vector)? {
                return self.deliver_v86(vector);
            }
            if self.cpu.iopl() < 3 {
                return Err(Trap::GP);
            }
        }
        let ext = u16::from(!source.software());
        let named_vector = u16::from(vector) << 3 | CODE_IDT | ext;
        let long = self.cpu.long_mode();
        let entry: u64 = if long { 16 } else { 8 };
        let offset = u64::from(vector) * entry;
        if offset + entry - 1 > self.cpu.idtr.limit.into() {
            return Err(Trap::gp(named_vector));
        }
        let lin = self.wrap(self.cpu.idtr.base.wrapping_add(offset));
        let (raw, high) = self.implicit(|ex| {
            let raw: u64 = ex.read_lin(seg::DS, lin)?;
            let high: u64 = if long { ex.read_lin(seg::DS, ex.wrap(lin.wrapping_add(8)))? } else { 0 };
            Ok((raw, high))
        })?;
        let gate = Descriptor { selector: 0, raw, high: high & 0xffff_ffff, lin };
        let known = match gate.kind() {
            kind::INT | kind::TRAP => true,
            kind::INT16 | kind::TRAP16 | kind::TASK => !long,
            _ => false,
        };
        if !known || source.software() && gate.dpl() < self.cpu.cpl {
            return Err(Trap::gp(named_vector));
        }
        if !gate.present() {
            return Err(Trap::np(named_vector));
        }
        if gate.kind() == kind::TASK {
            let flags = self.saved_flags(vector, source);
            return self.task_interrupt(gate.gate_selector(), self.pushed_code(code, source), ext, flags);
        }
        self.through_gate(vector, &gate, code, source, ext)
    }

    /// The error code that is pushed: its EXT bit is set when the fault came while an event was
    /// being delivered, which the delivery has put into `code` already.
    fn pushed_code(&self, code: Option<u16>, source: Source) -> Option<u16> {
        if source == Source::Exception { code } else { None }
    }

    /// RFLAGS as the delivery saves them: faults set RF so that an instruction breakpoint does
    /// not hit again (SDM volume 3, section 17.3.1.1).
    fn saved_flags(&self, vector: u8, source: Source) -> u64 {
        let fault = source == Source::Exception && vector != vector::DB;
        self.cpu.rflags() | if fault { bit::RF } else { 0 }
    }

    /// Through an interrupt or trap gate (SDM volume 2, INT n; volume 3, sections 6.12 and 6.14).
    fn through_gate(
        &mut self,
        vector: u8,
        gate: &Descriptor,
        code: Option<u16>,
        source: Source,
        ext: u16,
    ) -> Result<(), Trap> {
        let long = self.cpu.long_mode();
        let selector = gate.gate_selector();
        if is_null(selector) {
            return Err(Trap::gp(ext));
        }
        let mut cs = self.descriptor(selector, vector::GP, ext)?;
        let v86 = self.cpu.v86();
        let cpl = self.cpu.cpl;
        let refused = Trap::gp(named(selector) | ext);
        if !cs.code() || cs.dpl() > cpl {
            return Err(refused);
        }
        if long && cs.rights() & (right::L | right::DB) != right::L {
            return Err(refused);
        }
        if !cs.present() {
            return Err(Trap::np(named(selector) | ext));
        }
        let new_cpl = if cs.conforming() { cpl } else { cs.dpl() };
        if v86 && new_cpl != 0 {
            return Err(refused);
        }
        let inner = new_cpl < cpl;
        let target = gate.gate_offset();
        let bytes = if long {
            8
        } else if gate.kind() & 8 != 0 {
            4
        } else {
            2
        };
        if long && !Self::canonical(target) || !long && target > cs.limit().into() {
            return Err(Trap::gp(ext));
        }
        let (old_ss, old_sp) = (self.cpu.seg(seg::SS).selector, self.cpu.regs[usize::from(gpr::RSP)]);
        let flags = self.saved_flags(vector, source);
        let (old_cs, old_ip) = (self.cpu.seg(seg::CS).selector, self.cpu.rip());
        let pushed = self.pushed_code(code, source);
        let ist = if long { gate.raw >> 32 & 7 } else { 0 };
        let mut stack = if long {
            let rsp = if ist != 0 {
                self.tss_rsp(3 + ist, ext)?
            } else if inner {
                self.tss_rsp(new_cpl.into(), ext)?
            } else {
                old_sp
            };
            let segment =
                if inner { Self::null_stack(new_cpl.into(), new_cpl) } else { *self.cpu.seg(seg::SS) };
            Stack { segment, sp: rsp & !15, size: 8, code: 0 }
        } else if inner {
            self.tss_stack(new_cpl, ext)?
        } else {
            self.stack()
        };
        if !long && !inner {
            stack.code = ext;
        }
        let data = [seg::GS, seg::FS, seg::DS, seg::ES].map(|s| self.cpu.seg(s).selector);
        self.set_accessed(&mut cs)?;
        self.at_level(new_cpl, |ex| {
            if v86 {
                for selector in data {
                    ex.push_on(&mut stack, bytes, selector.into())?;
                }
            }
            if inner || long {
                ex.push_on(&mut stack, bytes, old_ss.into())?;
                ex.push_on(&mut stack, bytes, old_sp)?;
            }
            ex.push_on(&mut stack, bytes, flags)?;
            ex.push_on(&mut stack, bytes, old_cs.into())?;
            ex.push_on(&mut stack, bytes, old_ip)?;
            if let Some(code) = pushed {
                ex.push_on(&mut stack, bytes, code.into())?;
            }
            Ok(())
        })?;
        // Nothing below can fault.
        if v86 {
            for s in [seg::GS, seg::FS, seg::DS, seg::ES] {
                self.cpu.segs[usize::from(s)] = null_segment(0);
            }
        }
        let mut segment = cs.segment();
        segment.selector = selector & !3 | u16::from(new_cpl);
        self.cpu.segs[usize::from(seg::CS)] = segment;
        self.cpu.segs[usize::from(seg::SS)] = stack.segment;
        self.cpu.regs[usize::from(REG_RIP)] = target;
        let mut clear = bit::TF | bit::NT | bit::VM | bit::RF;
        if gate.kind() & 1 == 0 {
            clear |= bit::IF;
        }
        self.cpu.rflags &= !clear;
        self.cpu.cpl = new_cpl;
        self.set_sp(stack.sp);
        self.mode_changed();
        Ok(())
    }

    /// Real mode: through the interrupt vector table (SDM volume 3, section 20.1.4).
    fn deliver_real(&mut self, vector: u8) -> Result<(), Trap> {
        let offset = u64::from(vector) * 4;
        if offset + 3 > self.cpu.idtr.limit.into() {
            return Err(Trap::gp(u16::from(vector) << 3 | CODE_IDT));
        }
        let lin = self.cpu.idtr.base.wrapping_add(offset) & 0xffff_ffff;
        let target: u32 = self.read_lin(seg::DS, lin)?;
        let flags = self.cpu.rflags();
        let clear = bit::IF | bit::TF | bit::AC | bit::RF;
        self.enter_16(target, flags, clear)
    }

    /// INT n in virtual-8086 mode with CR4.VME whose bit in the redirection bitmap is clear: as
    /// an 8086 does it (SDM volume 3, section 20.3.3.4).
    fn deliver_v86(&mut self, vector: u8) -> Result<(), Trap> {
        let target: u32 = self.read_lin(seg::DS, u64::from(vector) * 4)?;
        let mut flags = self.cpu.rflags();
        let clear = if self.cpu.iopl() < 3 {
            let vif = flags & bit::VIF != 0;
            flags = flags & !bit::IF | bit::IOPL | if vif { bit::IF } else { 0 };
            bit::VIF | bit::TF | bit::RF
        } else {
            bit::IF | bit::TF | bit::RF
        };
        self.enter_16(target, flags, clear)
    }

    /// Pushes FLAGS, CS and IP and goes to CS:IP in `target`.
    fn enter_16(&mut self, target: u32, flags: u64, clear: u64) -> Result<(), Trap> {
        let mut stack = self.stack();
        let cs = self.cpu.seg(seg::CS).selector;
        let ip = self.cpu.rip();
        if u64::from(target & 0xffff) > self.cpu.seg(seg::CS).limit.into() {
            return Err(Trap::GP);
        }
        self.push_on(&mut stack, 2, flags)?;
        self.push_on(&mut stack, 2, cs.into())?;
        self.push_on(&mut stack, 2, ip)?;
        let selector = (target >> 16) as u16;
        self.set_real_cs(selector);
        self.cpu.set_rip((target & 0xffff).into());
        self.set_sp(stack.sp);
        self.cpu.rflags &= !clear;
        self.mode_changed();
        Ok(())
    }

    /// Loads CS in real or virtual-8086 mode: only selector and base change.
    pub fn set_real_cs(&mut self, selector: u16) {
        let cs = &mut self.cpu.segs[usize::from(seg::CS)];
        cs.selector = selector;
        cs.base = u64::from(selector) << 4;
    }

    /// The interrupt redirection bitmap's bit of `vector` in the TSS (SDM volume 3, section
    /// 20.3.3): true when INT n goes through the IDT.
    fn redirected(&mut self, vector: u8) -> Result<bool, Trap> {
        let tr = *self.cpu.seg(seg::TR);
        self.implicit(|ex| {
            if tr.limit < 103 {
                return Err(Trap::GP);
            }
            let lin = ex.wrap(tr.base.wrapping_add(102));
            let map = u64::from(ex.read_lin::<u16>(seg::DS, lin)?);
            let at = map.wrapping_sub(32).wrapping_add(u64::from(vector >> 3));
            if map < 32 || at > u64::from(tr.limit) {
                return Err(Trap::GP);
            }
            let lin = ex.wrap(tr.base.wrapping_add(at));
            let byte: u8 = ex.read_lin(seg::DS, lin)?;
            Ok(byte >> (vector & 7) & 1 != 0)
        })
    }

    /// Enters the handler of a fault that an instruction or a delivery raised, with the rules for
    /// double faults (SDM volume 3, table 6-5).
    ///
    /// # Errors
    /// [`Trap::Shutdown`] for a triple fault, [`Trap::Unimplemented`].
    pub fn raise(&mut self, vector: u8, code: Option<u16>) -> Result<(), Trap> {
        let (mut first, mut code) = (vector, code);
        loop {
            let (second, second_code) = match self.deliver(first, code, Source::Exception) {
                Err(Trap::Fault { vector, code }) => (vector, code),
                other => return other,
            };
            let nested = matches!(second, vector::DE | vector::TS | vector::NP | vector::SS | vector::GP);
            (first, code) = match first {
                vector::DF if nested || second == vector::PF => return Err(Trap::Shutdown),
                vector::DE | vector::TS | vector::NP | vector::SS | vector::GP if nested => {
                    (vector::DF, Some(0))
                }
                vector::PF if nested || second == vector::PF => (vector::DF, Some(0)),
                _ => (second, second_code),
            };
        }
    }
}
