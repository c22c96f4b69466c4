//! Status flags that are not saved, because they can be made again.
//!
//! Saving flags costs more than most instructions, and hardly anybody looks at what was saved: the
//! next instruction that writes flags comes soon. So after an operation on registers that are still
//! there, or can be got back from its result, no more than a [`Recipe`] is kept: by the compiler, for
//! the code out of line that hands an instruction over; and from one block to the next in place of
//! the saved form ([`AGAIN`]), where the next block changes none of these registers while the flags may
//! still be asked for. [`Use`] and [`accepts`] tell that of instructions and blocks.

use super::block::{Compiler, Loaded, OpInfo};
use super::emit::{Asm, Rm, group1, high, home, load, push_imm, sized};
use super::flags::flag::ALL;
use super::flags::{self, Kind};
use super::regs::host::{RBP, RCX};
use super::regs::{self, Ctx};
use super::steps::Step;
use super::{branch, int, string, system};
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
    /// SHL, SHR or SAR by its number, and the count; the first operand is what was shifted.
    Shift(u8, u8),
}

/// An operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum With {
    /// A general register.
    Register(u8),
    /// An immediate.
    Immediate(i32),
    /// [`Ctx::kept`].
    Kept,
}

impl With {
    fn registers(self) -> u16 {
        if let Self::Register(r) = self { 1 << r } else { 0 }
    }

    fn value(self, ctx: &Ctx) -> u64 {
        match self {
            Self::Register(r) => ctx.regs[usize::from(r)],
            Self::Immediate(imm) => i64::from(imm) as u64,
            Self::Kept => ctx.kept,
        }
    }
}

/// Where [`Ctx::kept`] lies: what has a recipe with [`With::Kept`] stores it there before it changes flags.
pub const KEPT: Rm = Rm::Mem(RBP, regs::KEPT);

fn usable(r: u8) -> bool {
    !high(r) && r != gpr::RSP
}

/// How flags are made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recipe {
    how: How,
    size: u8,
    a: With,
    b: With,
}

impl Recipe {
    /// Of an operation of the group ADD to CMP or TEST, by its number, on a register and another or an immediate.
    pub fn of(k: u8, size: u8, op: &Op, immediate: bool) -> Option<Self> {
        let a = op.r0;
        let b = if immediate { Self::immediate(size, op) } else { With::Register(op.r1) };
        let (how, b) = match k {
            0 => (How::Add, b),
            5 => (How::Subtract, b),
            1 | 4 | 6 => (How::Test, With::Register(a)),
            7 => (How::Compare, b),
            8 => (How::Test, b),
            _ => return None,
        };
        let recoverable = matches!(how, How::Compare | How::Test) || b != With::Register(a);
        let fits = usable(a) && recoverable && !matches!(b, With::Register(r) if !usable(r));
        fits.then_some(Self { how, size, a: With::Register(a), b })
    }

    fn immediate(size: u8, op: &Op) -> With {
        With::Immediate(match size {
            1 => i32::from(op.imm as i8),
            2 => i32::from(op.imm as i16),
            _ => op.imm as i32,
        })
    }

    /// Of CMP (7) or TEST (8) with an operand in memory, which is kept, and the register `r` or an immediate.
    pub fn of_memory(k: u8, size: u8, op: &Op, r: Option<u8>, first: bool) -> Option<Self> {
        let how = match k {
            7 => How::Compare,
            8 => How::Test,
            _ => return None,
        };
        let other = match r {
            Some(r) if !usable(r) => return None,
            Some(r) => With::Register(r),
            None => Self::immediate(size, op),
        };
        let (a, b) = if first { (With::Kept, other) } else { (other, With::Kept) };
        Some(Self { how, size, a, b })
    }

    /// Of OR, AND or XOR, by its number, whose result is in a register.
    pub fn of_result(k: u8, size: u8, r: u8) -> Option<Self> {
        let r = (matches!(k, 1 | 4 | 6) && usable(r)).then_some(With::Register(r))?;
        Some(Self { how: How::Test, size, a: r, b: r })
    }

    /// Of SHL, SHR or SAR by `count` where what was shifted is kept.
    pub fn of_shift(k: u8, size: u8, count: u8) -> Self {
        Self { how: How::Shift(k, count), size, a: With::Kept, b: With::Immediate(0) }
    }

    /// The registers that must not change.
    pub fn registers(&self) -> u16 {
        self.a.registers() | self.b.registers()
    }

    /// True when [`Ctx::kept`] is needed.
    pub fn keeps(&self) -> bool {
        self.a == With::Kept || self.b == With::Kept
    }

    /// What [`Recipe::make`] leaves in EFLAGS.
    pub fn kind(&self) -> Kind {
        match self.how {
            How::Test => Kind::Logic,
            How::Shift(..) => Kind::Shift,
            _ => Kind::Arith,
        }
    }

    /// Emits code that makes the flags in EFLAGS. Clobbers RCX.
    pub fn make(&self, asm: &mut Asm) {
        let first = match self.a {
            With::Register(r) => home(r),
            _ => KEPT,
        };
        match self.how {
            How::Shift(k, count) => {
                load(asm, 8, RCX, first);
                if count > 1 {
                    // The host's OF is defined for the last step alone.
                    sized(asm, self.size, &[0xc0], k, Rm::Reg(RCX));
                    asm.push(count - 1);
                }
                sized(asm, self.size, &[0xd0], k, Rm::Reg(RCX));
            }
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
            With::Register(_) | With::Kept => {
                let second = if let With::Register(r) = self.b { home(r) } else { KEPT };
                let (second, first) = match (second, first) {
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
    fn bits(&self, ctx: &Ctx) -> u64 {
        let bits = u32::from(self.size) * 8;
        let cut = |v: u64| (v << (64 - bits)) >> (64 - bits);
        let extended = |v: u64| ((v << (64 - bits)) as i64 >> (64 - bits)) as u64;
        let (a, b) = (cut(self.a.value(ctx)), cut(self.b.value(ctx)));
        let mut flags = Flags::default();
        match self.how {
            How::Test => flags.set_logic(extended(a & b)),
            How::Shift(k, count) => {
                let step = |v: u64, by: u8| match k {
                    4 => cut(v << by),
                    5 => v >> by,
                    _ => cut((extended(v) as i64 >> by) as u64),
                };
                let before = step(a, count - 1);
                let result = step(before, 1);
                let top = |v: u64| v >> (bits - 1) & 1 != 0;
                flags.set_logic(extended(result));
                let (cf, of) = match k {
                    4 => (top(before), top(before) != top(result)),
                    5 => (before & 1 != 0, top(before)),
                    _ => (before & 1 != 0, false),
                };
                flags.set_cf_of(cf, of);
                flags.set_af(true);
            }
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
        ctx.flags = flags::save(recipe.bits(ctx));
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
        let system = || system::plan(ins, op, long, user).is_some();
        if string::plan(ins, op, long).is_some() || system() || super::shift::shifts_by_cl(ins) {
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
pub fn lasts<'a>(recipe: &Recipe, steps: impl IntoIterator<Item = &'a Step>) -> bool {
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
