//! Far JMP, CALL and RET (SDM volume 2; volume 3, section 5.8).

use super::segment::{Descriptor, is_null, kind, named, rpl};
use super::stack::Stack;
use crate::x86::exec::{Exec, Flow};
use crate::x86::op::{Handler, Op};
use crate::x86::regs::{Segment, gpr, right, seg};
use crate::x86::trap::{Trap, vector};
use iced_x86::{Code, Instruction};

type Done = Result<Flow, Trap>;

/// Which instruction goes far.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Jmp,
    Call,
}

impl Exec<'_> {
    /// The offset of a branch into code segment `cs`, checked against its limit or for being
    /// canonical.
    ///
    /// # Errors
    /// #GP(0).
    pub fn branch_target(&self, cs: &Segment, target: u64) -> Result<u64, Trap> {
        if self.cpu.long_mode() && cs.rights & right::L != 0 {
            return if Self::canonical(target) { Ok(target) } else { Err(Trap::GP) };
        }
        if target > cs.limit.into() { Err(Trap::GP) } else { Ok(target) }
    }

    /// Checks type, L and D, presence of a code segment; not its privilege level.
    ///
    /// # Errors
    /// #GP or #NP with the selector.
    pub fn check_code(&self, cs: &Descriptor) -> Result<(), Trap> {
        let both = right::L | right::DB;
        if !cs.code() || self.cpu.long_mode() && cs.rights() & both == both {
            return Err(Trap::gp(named(cs.selector)));
        }
        Ok(())
    }

    /// Makes `cs` the code segment at privilege level `cpl` and `rip` the next instruction.
    pub fn set_code(&mut self, mut cs: Segment, cpl: u8, rip: u64) {
        cs.selector = cs.selector & !3 | u16::from(cpl);
        self.cpu.segs[usize::from(seg::CS)] = cs;
        self.cpu.set_rip(rip);
        self.cpu.cpl = cpl;
        self.mode_changed();
    }

    fn go_far(&mut self, op: &Op, selector: u16, offset: u64, way: Way, size: u8) -> Done {
        if self.cpu.real_segments() {
            return self.go_far_real(selector, offset, way, size);
        }
        if is_null(selector) {
            return Err(Trap::GP);
        }
        let mut d = self.descriptor(selector, vector::GP, 0)?;
        let cpl = self.cpu.cpl;
        if d.rights() & right::S == 0 {
            return self.go_system(op, d, way);
        }
        self.check_code(&d)?;
        let allowed = if d.conforming() { d.dpl() <= cpl } else { rpl(selector) <= cpl && d.dpl() == cpl };
        if !allowed {
            return Err(Trap::gp(named(selector)));
        }
        if !d.present() {
            return Err(Trap::np(named(selector)));
        }
        let target = self.branch_target(&d.segment(), offset)?;
        self.set_accessed(&mut d)?;
        if way == Way::Call {
            self.push_return(size)?;
        }
        self.set_code(d.segment(), cpl, target);
        Ok(Flow::Event)
    }

    /// Pushes CS and RIP on the current stack.
    fn push_return(&mut self, size: u8) -> Result<(), Trap> {
        let mut stack = self.stack();
        let (cs, ip) = (self.cpu.seg(seg::CS).selector, self.cpu.rip());
        self.push_on(&mut stack, size, cs.into())?;
        self.push_on(&mut stack, size, ip)?;
        self.set_sp(stack.sp);
        Ok(())
    }

    fn go_far_real(&mut self, selector: u16, offset: u64, way: Way, size: u8) -> Done {
        if offset > self.cpu.seg(seg::CS).limit.into() {
            return Err(Trap::GP);
        }
        if way == Way::Call {
            self.push_return(size)?;
        }
        self.set_real_cs(selector);
        self.cpu.set_rip(offset);
        Ok(Flow::Event)
    }

    /// To a gate or a TSS.
    fn go_system(&mut self, op: &Op, mut d: Descriptor, way: Way) -> Done {
        let selector = d.selector;
        let long = self.cpu.long_mode();
        let cpl = self.cpu.cpl;
        let known = match d.kind() {
            kind::CALL => true,
            kind::CALL16 | kind::TASK | kind::TSS | kind::TSS16 => !long,
            _ => false,
        };
        if !known || d.dpl() < cpl.max(rpl(selector)) {
            return Err(Trap::gp(named(selector)));
        }
        if !d.present() {
            return Err(Trap::np(named(selector)));
        }
        match d.kind() {
            kind::CALL | kind::CALL16 => {
                if long {
                    self.descriptor_high(&mut d, vector::GP, 0)?;
                }
                self.through_call_gate(&d, way)
            }
            kind::TASK => self.task_jump(op, d.gate_selector(), way == Way::Call),
            _ => self.task_jump(op, selector, way == Way::Call),
        }
    }

    /// Through a call gate (SDM volume 3, section 5.8.3).
    fn through_call_gate(&mut self, gate: &Descriptor, way: Way) -> Done {
        let selector = gate.gate_selector();
        if is_null(selector) {
            return Err(Trap::GP);
        }
        let long = self.cpu.long_mode();
        let cpl = self.cpu.cpl;
        let mut cs = self.descriptor(selector, vector::GP, 0)?;
        let refused = Trap::gp(named(selector));
        if !cs.code() || cs.dpl() > cpl || long && cs.rights() & (right::L | right::DB) != right::L {
            return Err(refused);
        }
        if way == Way::Jmp && !cs.conforming() && cs.dpl() != cpl {
            return Err(refused);
        }
        if !cs.present() {
            return Err(Trap::np(named(selector)));
        }
        let bytes = if long {
            8
        } else if gate.kind() == kind::CALL {
            4
        } else {
            2
        };
        let target = self.branch_target(&cs.segment(), gate.gate_offset())?;
        if way == Way::Jmp || cs.conforming() || cs.dpl() == cpl {
            self.set_accessed(&mut cs)?;
            if way == Way::Call {
                // The width is the gate's, also in compatibility mode.
                let mut stack = self.stack();
                let (old_cs, ip) = (self.cpu.seg(seg::CS).selector, self.cpu.rip());
                self.push_on(&mut stack, bytes, old_cs.into())?;
                self.push_on(&mut stack, bytes, ip)?;
                self.set_sp(stack.sp);
            }
            self.set_code(cs.segment(), cpl, target);
            return Ok(Flow::Event);
        }
        let new_cpl = cs.dpl();
        let mut old = self.stack();
        let old_ss = old.segment.selector;
        let mut stack = if long {
            let rsp = self.tss_rsp(new_cpl.into(), 0)?;
            Stack { segment: Self::null_stack(new_cpl.into(), new_cpl), sp: rsp, size: 8, code: 0 }
        } else {
            self.tss_stack(new_cpl, 0)?
        };
        let count = if long { 0 } else { (gate.raw >> 32 & 31) as usize };
        let mut parameters = [0; 31];
        let old_sp = self.cpu.regs[usize::from(gpr::RSP)];
        for p in &mut parameters[..count] {
            *p = self.pop_off(&mut old, bytes)?;
        }
        let (old_cs, ip) = (self.cpu.seg(seg::CS).selector, self.cpu.rip());
        self.set_accessed(&mut cs)?;
        self.at_level(new_cpl, |ex| {
            ex.push_on(&mut stack, bytes, old_ss.into())?;
            ex.push_on(&mut stack, bytes, old_sp)?;
            for p in parameters[..count].iter().rev() {
                ex.push_on(&mut stack, bytes, *p)?;
            }
            ex.push_on(&mut stack, bytes, old_cs.into())?;
            ex.push_on(&mut stack, bytes, ip)
        })?;
        self.cpu.segs[usize::from(seg::SS)] = stack.segment;
        self.set_code(cs.segment(), new_cpl, target);
        self.set_sp(stack.sp);
        Ok(Flow::Event)
    }

    /// Far RET that releases `release` bytes of parameters.
    fn return_far(&mut self, size: u8, release: u64) -> Done {
        let mut stack = self.stack();
        let ip = self.pop_off(&mut stack, size)?;
        let selector = self.pop_off(&mut stack, size)? as u16;
        if self.cpu.real_segments() {
            if ip > self.cpu.seg(seg::CS).limit.into() {
                return Err(Trap::GP);
            }
            stack.skip(release);
            self.set_real_cs(selector);
            self.cpu.set_rip(ip);
            self.set_sp(stack.sp);
            return Ok(Flow::Event);
        }
        let cs = self.return_code(selector)?;
        let target = self.branch_target(&cs, ip)?;
        let cpl = rpl(selector);
        if cpl == self.cpu.cpl {
            // The parameters are released with the new mode's stack width, as real CPUs do.
            self.set_sp(stack.sp);
            self.set_code(cs, cpl, target);
            let mut stack = self.stack();
            stack.skip(release);
            self.set_sp(stack.sp);
            return Ok(Flow::Event);
        }
        stack.skip(release);
        let sp = self.pop_off(&mut stack, size)?;
        let ss = self.pop_off(&mut stack, size)? as u16;
        let ss = self.return_stack(ss, &cs, cpl)?;
        self.leave(cs, ss, cpl, target, sp, release);
        Ok(Flow::Event)
    }

    /// The code segment that a far return or IRET goes to: its privilege level is the
    /// selector's RPL.
    ///
    /// # Errors
    /// #GP, #NP.
    pub fn return_code(&mut self, selector: u16) -> Result<Segment, Trap> {
        if is_null(selector) {
            return Err(Trap::GP);
        }
        let mut d = self.descriptor(selector, vector::GP, 0)?;
        self.check_code(&d)?;
        let level = rpl(selector);
        let fits = if d.conforming() { d.dpl() <= level } else { d.dpl() == level };
        if level < self.cpu.cpl || !fits {
            return Err(Trap::gp(named(selector)));
        }
        if !d.present() {
            return Err(Trap::np(named(selector)));
        }
        self.set_accessed(&mut d)?;
        Ok(d.segment())
    }

    /// The stack segment that a return to `cs` at level `cpl` goes to.
    ///
    /// # Errors
    /// #GP, #SS.
    pub fn return_stack(&mut self, selector: u16, cs: &Segment, cpl: u8) -> Result<Segment, Trap> {
        let to64 = self.cpu.long_mode() && cs.rights & right::L != 0;
        if is_null(selector) && to64 && cpl != 3 && rpl(selector) == cpl {
            return Ok(Self::null_stack(selector, cpl));
        }
        self.stack_segment(selector, cpl, vector::GP, 0)
    }

    /// Completes a return with a change of stacks.
    pub fn leave(&mut self, cs: Segment, ss: Segment, cpl: u8, target: u64, sp: u64, release: u64) {
        let outer = cpl > self.cpu.cpl;
        self.cpu.segs[usize::from(seg::SS)] = ss;
        self.set_code(cs, cpl, target);
        let mut stack = self.stack();
        stack.sp = sp;
        stack.skip(release);
        self.set_sp(stack.sp);
        if outer {
            self.drop_privileged_segments(cpl);
        }
    }
}

fn far_direct<const CALL: bool, const SIZE: u8>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.go_far(op, op.imm2, op.imm, if CALL { Way::Call } else { Way::Jmp }, SIZE)
}

fn far_indirect<const CALL: bool, const SIZE: u8>(ex: &mut Exec<'_>, op: &Op) -> Done {
    let (offset, selector) = ex.load_far(op, SIZE)?;
    ex.go_far(op, selector, offset, if CALL { Way::Call } else { Way::Jmp }, SIZE)
}

fn ret_far<const SIZE: u8>(ex: &mut Exec<'_>, op: &Op) -> Done {
    // Without the immediate the field is zero.
    ex.return_far(SIZE, op.imm & 0xffff)
}

impl Exec<'_> {
    /// Loads a far pointer from memory: offset of `size` bytes, selector.
    ///
    /// # Errors
    /// The access's fault.
    pub fn load_far(&mut self, op: &Op, size: u8) -> Result<(u64, u16), Trap> {
        let lin = self.operand(op, u64::from(size) + 2, false)?;
        self.check_alignment(lin, size.into())?;
        let mut b = [0; 10];
        let n = usize::from(size);
        self.read_bytes(op.seg, lin, &mut b[..n + 2])?;
        let mut offset = [0; 8];
        offset[..n].copy_from_slice(&b[..n]);
        Ok((u64::from_le_bytes(offset), u16::from_le_bytes([b[n], b[n + 1]])))
    }
}

/// The handler for `ins`, if it belongs to this group.
pub fn select(ins: &Instruction) -> Option<Handler> {
    Some(match ins.code() {
        Code::Jmp_ptr1616 => far_direct::<false, 2>,
        Code::Jmp_ptr1632 => far_direct::<false, 4>,
        Code::Call_ptr1616 => far_direct::<true, 2>,
        Code::Call_ptr1632 => far_direct::<true, 4>,
        Code::Jmp_m1616 => far_indirect::<false, 2>,
        Code::Jmp_m1632 => far_indirect::<false, 4>,
        Code::Jmp_m1664 => far_indirect::<false, 8>,
        Code::Call_m1616 => far_indirect::<true, 2>,
        Code::Call_m1632 => far_indirect::<true, 4>,
        Code::Call_m1664 => far_indirect::<true, 8>,
        Code::Retfw | Code::Retfw_imm16 => ret_far::<2>,
        Code::Retfd | Code::Retfd_imm16 => ret_far::<4>,
        Code::Retfq | Code::Retfq_imm16 => ret_far::<8>,
        _ => return None,
    })
}
