//! Status flags that are not saved, because they can be made again.
//!
//! Saving flags costs more than most instructions, and hardly anybody looks at what was saved: the
//! next instruction that writes flags comes soon. So after an operation on registers that are still
//! there, or can be got back from its result, no more than a [`Recipe`] is kept: by the compiler, for
//! the code out of line that hands an instruction over; and from one block to the next in place of
//! the saved form ([`AGAIN`]), where the next block changes none of these registers while the flags may
//! still be asked for. [`Use`] and [`accepts`] tell that of instructions and blocks.

use super::block::{Compiler, Loaded, OpInfo, Step};
use super::emit::{Asm, Rm, group1, high, home, load, push_imm, sized};
use super::flags::flag::ALL;
use super::flags::{self, Kind};
use super::regs::host::RCX;
use super::regs::{self, Ctx};
use super::{branch, int, system};
use dejavm_interp::x86::flags::Flags;
use dejavm_interp::x86::op::Op;
use dejavm_interp::x86::regs::gpr;
use dynasmrt::{DynasmApi, dynasm};
use iced_x86::{Instruction, Mnemonic};

/// In [`Ctx::flags`]: not the saved form, but the number of a recipe, 8 bits up, that says how to make it.
pub const AGAIN: u64 = 0x80;

/// The immediate that is stored in [`Ctx::flags`] for recipe `number`, where numbers are small enough.
pub fn note(number: u32) -> Option<i32> {
    (number < 1 << 24).then_some((number << 8 | AGAIN as u32) as i32)
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// CMP.
    Compare,
    /// TEST.
    Test,
    /// ADD; the first operand is the sum now.
    Add,
    /// SUB; the first operand is the difference now.
    Subtract,
}

/// The second operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum With {
    /// A general register.
    Register(u8),
    /// An immediate.
    Immediate(i32),
}

/// How flags are made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recipe {
    how: How,
    size: u8,
    a: u8,
    b: With,
}

impl Recipe {
    /// Of an operation of the group ADD to CMP or TEST, by its number, on a register and another or an immediate.
    pub fn of(k: u8, size: u8, op: &Op, immediate: bool) -> Option<Self> {
        let a = op.r0;
        let b = match immediate {
            true if size == 1 => With::Immediate(i32::from(op.imm as i8)),
            true if size == 2 => With::Immediate(i32::from(op.imm as i16)),
            true => With::Immediate(op.imm as i32),
            false => With::Register(op.r1),
        };
        let (how, b) = match k {
            0 => (How::Add, b),
            5 => (How::Subtract, b),
            1 | 4 | 6 => (How::Test, With::Register(a)),
            7 => (How::Compare, b),
            8 => (How::Test, b),
            _ => return None,
        };
        let usable = |r: u8| !high(r) && r != gpr::RSP;
        let recoverable = matches!(how, How::Compare | How::Test) || b != With::Register(a);
        let fits = usable(a) && recoverable && !matches!(b, With::Register(r) if !usable(r));
        fits.then_some(Self { how, size, a, b })
    }

    /// The registers that must not change.
    pub fn registers(&self) -> u16 {
        1 << self.a | if let With::Register(r) = self.b { 1 << r } else { 0 }
    }

    /// What [`Recipe::make`] leaves in EFLAGS.
    pub fn kind(&self) -> Kind {
        if self.how == How::Test { Kind::Logic } else { Kind::Arith }
    }

    /// Emits code that makes the flags in EFLAGS. Clobbers RCX.
    pub fn make(&self, asm: &mut Asm) {
        let first = home(self.a);
        match self.how {
            How::Compare => self.operate(asm, 7, first),
            How::Test => self.operate(asm, 8, first),
            How::Add | How::Subtract => {
                let (back, forth) = if self.how == How::Add { (5, 0) } else { (0, 7) };
                load(asm, 8, RCX, first);
                self.operate(asm, back, Rm::Reg(RCX));
                self.operate(asm, forth, Rm::Reg(RCX));
            }
        }
    }

    /// An operation by its number, 8 for TEST, on `first` and the second operand.
    fn operate(&self, asm: &mut Asm, k: u8, first: Rm) {
        let test = k == 8;
        match self.b {
            With::Immediate(imm) if test => {
                sized(asm, self.size, &[0xf6], 0, first);
                push_imm(asm, self.size, imm);
            }
            With::Immediate(imm) => group1(asm, self.size, k, first, imm),
            With::Register(r) => {
                let (second, first) = match (home(r), first) {
                    (Rm::Reg(r), first) => (r, first),
                    // It takes both ways round.
                    (m, Rm::Reg(r)) if test => (r, m),
                    (m, Rm::Reg(r)) => return sized(asm, self.size, &[k << 3 | 2], r, m),
                    (m, first) => {
                        load(asm, 8, RCX, m);
                        (RCX, first)
                    }
                };
                sized(asm, self.size, &[if test { 0x84 } else { k << 3 }], second, first);
            }
        }
    }

    /// The flags at their places in RFLAGS.
    fn bits(&self, regs: &[u64; 16]) -> u64 {
        let bits = u32::from(self.size) * 8;
        let cut = |v: u64| (v << (64 - bits)) >> (64 - bits);
        let extended = |v: u64| ((v << (64 - bits)) as i64 >> (64 - bits)) as u64;
        let a = cut(regs[usize::from(self.a)]);
        let b = cut(match self.b {
            With::Register(r) => regs[usize::from(r)],
            With::Immediate(imm) => i64::from(imm) as u64,
        });
        let mut flags = Flags::default();
        match self.how {
            How::Test => flags.set_logic(extended(a & b)),
            How::Add => {
                let before = cut(a.wrapping_sub(b));
                flags.set_arith(extended(a), before & b | (before | b) & !a, bits);
            }
            How::Compare | How::Subtract => {
                let (before, result) = match self.how {
                    How::Compare => (a, cut(a.wrapping_sub(b))),
                    _ => (cut(a.wrapping_add(b)), a),
                };
                flags.set_arith(extended(result), !before & b | (!before | b) & result, bits);
            }
        }
        flags.bits()
    }
}

/// Makes the saved form of the flags, if there is a recipe in its place. `recipe` finds it by number.
pub fn settle(ctx: &mut Ctx, recipe: impl FnOnce(usize) -> Option<Recipe>) {
    if ctx.flags & AGAIN != 0
        && let Some(recipe) = recipe((ctx.flags as u32 >> 8) as usize)
    {
        ctx.flags = flags::save(recipe.bits(&ctx.regs));
    }
}

/// What an instruction has to do with the flags before it, beside that it may be handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Nothing.
    None,
    /// It overwrites them all.
    Kills,
    /// It asks for a condition.
    Condition,
    /// The block ends with it and goes on at a known address.
    Goes,
    /// Anything else: they have to be saved.
    Needs,
}

impl Use {
    /// Of an instruction.
    pub fn of(ins: &Instruction, op: &Op, plan: Option<int::Plan>, long: bool, user: bool) -> Self {
        let Some(plan) = plan else { return Self::Needs };
        if branch::is_last(ins) {
            return match ins.mnemonic() {
                _ if ins.is_jcc_short_or_near() => Self::Condition,
                Mnemonic::Jmp if ins.is_jmp_short_or_near() => Self::Goes,
                Mnemonic::Call if ins.is_call_near() => Self::Goes,
                _ => Self::Needs,
            };
        }
        if system::plan(ins, op, long, user).is_some() || int::shifts_by_cl(ins) {
            return Self::Needs;
        }
        match (plan.reads, plan.kills) {
            (0, 0) => Self::None,
            (0, ALL) => Self::Kills,
            (_, 0) if int::asks(ins) => Self::Condition,
            _ => Self::Needs,
        }
    }
}

/// True when flags with this recipe need not be saved before the first of these instructions: whoever asks for
/// them until they are overwritten, or the block ends, can make them again.
pub fn lasts<'a>(recipe: &Recipe, steps: impl Iterator<Item = &'a Step>) -> bool {
    let registers = recipe.registers();
    let mut changed = false;
    for s in steps {
        let exits = s.plan.is_none_or(|p| p.exits);
        match s.flags {
            Use::Needs => return false,
            Use::Kills => return !(exits && changed),
            Use::None if exits && changed => return false,
            Use::Condition | Use::Goes if changed => return false,
            Use::None | Use::Condition | Use::Goes => changed |= s.writes & registers != 0,
        }
    }
    !changed
}

/// The registers that recipes of flags at the start of a block must not depend on; `None` when the flags
/// have to be saved there.
pub fn accepts(steps: &[Step]) -> Option<u16> {
    let (mut changed, mut hidden) = (0, 0);
    for s in steps {
        if s.plan.is_none_or(|p| p.exits) {
            hidden |= changed;
        }
        match s.flags {
            Use::None => changed |= s.writes,
            Use::Kills => return Some(hidden),
            _ => return None,
        }
    }
    None
}

impl Compiler<'_> {
    /// What [`note`] gives for flags that `recipe` makes again.
    pub fn describe(&mut self, s: &Step, recipe: Recipe) -> Option<i32> {
        let note = note(self.first_info + self.infos.len() as u32)?;
        self.infos.push(OpInfo {
            op: s.op,
            next: s.next,
            rest: 0,
            compiled: true,
            flags: true,
            leave: false,
            loaded: Loaded::default(),
            again: Some(recipe),
        });
        Some(note)
    }

    /// The block goes on elsewhere after `s`: notes how the flags are made again, or saves them. EFLAGS stays
    /// as it is.
    pub fn leave_flags(&mut self, s: &Step) -> Option<Recipe> {
        let recipe = self.flags.again.filter(|_| !self.flags.saved);
        match recipe.and_then(|r| Some((r, self.describe(s, r)?))) {
            Some((recipe, note)) => {
                dynasm!(self.asm ; .arch x64 ; mov DWORD [rbp + regs::FLAGS], note);
                Some(recipe)
            }
            None => {
                self.flags.save(self.asm);
                None
            }
        }
    }
}
