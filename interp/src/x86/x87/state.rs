//! The register stack, the status word, and what happens before and after every instruction.

use crate::softfloat::{Class, Env, F80, Flags, Format};
use crate::x86::exec::{Exec, Flow};
use crate::x86::op::Op;
use crate::x86::regs::{X87, cr0, seg};
use crate::x86::trap::Trap;

/// Bits of the status word (SDM volume 1, section 8.1.3).
pub mod sw {
    #![allow(missing_docs, reason = "the names are the manual's")]
    pub const EXCEPTIONS: u16 = 0x3f;
    pub const SF: u16 = 1 << 6;
    pub const ES: u16 = 1 << 7;
    pub const C0: u16 = 1 << 8;
    pub const C1: u16 = 1 << 9;
    pub const C2: u16 = 1 << 10;
    pub const TOP: u16 = 7 << 11;
    pub const C3: u16 = 1 << 14;
    pub const B: u16 = 1 << 15;
    pub const CONDITIONS: u16 = C0 | C1 | C2 | C3;
}

/// What a handler returns.
pub type Done = Result<Flow, Trap>;

/// An exception is unmasked and its masked response must not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped;

impl X87 {
    /// The physical register that ST(`i`) names.
    #[inline]
    pub fn physical(&self, i: u8) -> usize {
        usize::from((self.status >> 11) as u8 + i & 7)
    }

    /// ST(`i`), empty or not.
    #[inline]
    pub fn st(&self, i: u8) -> F80 {
        let r = self.physical(i);
        F80 { sign_exp: self.sign_exp[r], mantissa: self.mantissa[r] }
    }

    /// Writes ST(`i`) and marks it used.
    #[inline]
    pub fn set_st(&mut self, i: u8, v: F80) {
        let r = self.physical(i);
        self.sign_exp[r] = v.sign_exp;
        self.mantissa[r] = v.mantissa;
        self.used |= 1 << r;
    }

    /// ST(`i`) is empty.
    #[inline]
    pub fn empty(&self, i: u8) -> bool {
        self.used >> self.physical(i) & 1 == 0
    }

    /// Marks ST(`i`) empty.
    pub fn free(&mut self, i: u8) {
        self.used &= !(1 << self.physical(i));
    }

    /// Adds `delta` to TOP.
    #[inline]
    pub fn rotate(&mut self, delta: u16) {
        let top = (self.status >> 11).wrapping_add(delta) & 7;
        self.status = self.status & !sw::TOP | top << 11;
    }

    /// Empties ST(0) and increments TOP.
    pub fn pop(&mut self) {
        self.free(0);
        self.rotate(1);
    }

    /// Writes the condition codes given by `mask`.
    pub fn set_conditions(&mut self, mask: u16, bits: u16) {
        self.status = self.status & !mask | bits & mask;
    }

    /// The full tag word (SDM volume 1, section 8.1.7).
    pub fn tags(&self) -> u16 {
        (0..8).fold(0, |tags, r| {
            let value = F80 { sign_exp: self.sign_exp[r], mantissa: self.mantissa[r] };
            let tag = match value.unpack().class {
                _ if self.used >> r & 1 == 0 => 3,
                Class::Normal => 0,
                Class::Zero => 1,
                _ => 2,
            };
            tags | tag << (2 * r)
        })
    }

    /// Sets which registers are empty from a full tag word.
    pub fn set_tags(&mut self, tags: u16) {
        self.used = (0..8).filter(|r| tags >> (2 * r) & 3 != 3).fold(0, |used, r| used | 1 << r);
    }

    /// Loads a control word: bit 6 reads as one, the other reserved bits as zero.
    pub fn set_control(&mut self, v: u16) {
        self.control = v & 0x1f3f | 0x40;
        self.summarize();
    }

    /// Sets ES and B from the exception flags and masks.
    pub fn summarize(&mut self) {
        self.status &= !(sw::ES | sw::B);
        if self.status & !self.control & sw::EXCEPTIONS != 0 {
            self.status |= sw::ES | sw::B;
        }
    }

    /// FNINIT (SDM volume 1, table 9-1): registers keep their contents.
    pub fn init(&mut self) {
        let (mantissa, sign_exp) = (self.mantissa, self.sign_exp);
        *self = X87 { mantissa, sign_exp, ..X87::default() };
    }

    /// The environment of an operation.
    #[inline]
    pub fn env(&self) -> Env {
        Env::x87(self.control)
    }
}

impl Exec<'_> {
    /// Drives FERR# from the pending state (SDM volume 1, section 8.7.2). With CR0.NE set it is
    /// never asserted.
    pub fn update_ferr(&mut self) {
        let level = self.cpu.x87.status & sw::ES != 0 && self.cpu.cr0 & cr0::NE == 0;
        if level != self.cpu.ferr {
            self.cpu.ferr = level;
            let at = self.at();
            self.bus.ferr(self.mem, at, level);
            self.after_bus();
        }
    }

    /// What every waiting x87 and MMX instruction checks: a pending unmasked exception. With
    /// CR0.NE clear it is reported by FERR# alone, and execution goes on: the interrupt
    /// controller's request is what stops the program, as on a PC with IGNNE# active.
    ///
    /// # Errors
    /// #MF.
    #[inline]
    pub fn x87_wait(&mut self) -> Result<(), Trap> {
        if self.cpu.x87.status & sw::ES != 0 {
            if self.cpu.cr0 & cr0::NE != 0 {
                return Err(Trap::MF);
            }
            self.update_ferr();
        }
        Ok(())
    }

    /// The start of a waiting x87 instruction.
    ///
    /// # Errors
    /// #NM, #MF.
    #[inline]
    pub fn x87_begin(&mut self) -> Result<(), Trap> {
        self.check_x87()?;
        self.x87_wait()
    }

    /// The start of EMMS, as of every MMX instruction: #UD with CR0.EM, #NM with CR0.TS, #MF for a pending x87
    /// exception (SDM volume 1, section 9.5.1).
    ///
    /// # Errors
    /// #UD, #NM, #MF.
    #[inline]
    pub fn mmx_begin(&mut self) -> Result<(), Trap> {
        if self.cpu.cr0 & cr0::EM != 0 {
            return Err(Trap::UD);
        }
        self.x87_begin()
    }

    /// What an MMX instruction other than EMMS does to the x87 state: TOP is 0 and all
    /// registers are used (SDM volume 1, section 9.5). To be called once it cannot fault.
    #[inline]
    pub fn mmx_state(&mut self) {
        self.cpu.x87.status &= !sw::TOP;
        self.cpu.x87.used = 0xff;
    }

    /// Notes instruction and operand pointers and the opcode, which every instruction but the
    /// control instructions leaves behind (SDM volume 1, sections 8.1.8 and 8.1.9). To be
    /// called once the instruction cannot fault any more.
    #[inline]
    pub fn x87_note(&mut self, op: &Op) {
        let ip = self.cpu.rip().wrapping_sub(op.len.into());
        let cs = self.cpu.seg(seg::CS).selector;
        let x87 = &mut self.cpu.x87;
        x87.ip = ip;
        x87.ip_selector = cs;
        x87.opcode = op.imm2;
        // Mod 3 is a register form.
        if op.imm2 >> 6 & 3 != 3 {
            let dp = self.ea(op);
            let selector = self.cpu.seg(op.seg).selector;
            self.cpu.x87.dp = dp;
            self.cpu.x87.dp_selector = selector;
        }
    }

    /// The linear address of a memory operand that is no `Word`, checked for alignment to
    /// `align` bytes where alignment is checked (SDM volume 3, table 6-7).
    ///
    /// # Errors
    /// #GP, #SS, #AC.
    pub fn x87_address(&self, op: &Op, size: usize, align: u64, write: bool) -> Result<u64, Trap> {
        let lin = self.operand(op, size as u64, write)?;
        self.check_alignment(lin, align)?;
        Ok(lin)
    }

    /// Raises the exceptions in `flags`. True if any of them is unmasked.
    #[inline]
    pub fn x87_raise(&mut self, flags: Flags) -> bool {
        let x87 = &mut self.cpu.x87;
        x87.status |= u16::from(flags.0) & sw::EXCEPTIONS;
        let unmasked = u16::from(flags.0) & !x87.control & sw::EXCEPTIONS != 0;
        if unmasked {
            x87.status |= sw::ES | sw::B;
            self.update_ferr();
        }
        unmasked
    }

    /// Stack underflow or overflow (SDM volume 1, section 8.5.1.1): C1 tells which.
    ///
    /// # Errors
    /// [`Stopped`] if the invalid exception is unmasked.
    #[cold]
    pub fn x87_stack_fault(&mut self, overflow: bool) -> Result<(), Stopped> {
        let x87 = &mut self.cpu.x87;
        x87.status |= sw::SF;
        x87.set_conditions(sw::C1, if overflow { sw::C1 } else { 0 });
        if self.x87_raise(Flags(Flags::INVALID)) { Err(Stopped) } else { Ok(()) }
    }

    /// Takes over what an operation raised; C1 tells whether it rounded up.
    ///
    /// # Errors
    /// [`Stopped`] if an exception that is found before computing (invalid, denormal operand,
    /// division by zero) is unmasked: there is no result then.
    #[inline]
    pub fn x87_finish(&mut self, env: &Env) -> Result<(), Stopped> {
        let up = env.rounded_up && env.flags.any(Flags::INEXACT);
        self.cpu.x87.set_conditions(sw::C1, if up { sw::C1 } else { 0 });
        if env.flags.0 == 0 {
            return Ok(());
        }
        self.x87_raise(env.flags);
        let before = Flags::INVALID | Flags::DENORMAL | Flags::DIVZERO;
        let stops = env.flags.0 & before & !(self.cpu.x87.control as u8) != 0;
        if stops { Err(Stopped) } else { Ok(()) }
    }

    /// Pushes a value, or handles stack overflow.
    pub fn x87_push(&mut self, value: F80) {
        let value = if self.cpu.x87.empty(7) {
            value
        } else {
            match self.x87_stack_fault(true) {
                Ok(()) => F80::INDEFINITE,
                Err(Stopped) => return,
            }
        };
        self.cpu.x87.rotate(7);
        self.cpu.x87.set_st(0, value);
    }
}
