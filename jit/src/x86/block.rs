//! From a decoded block to host code.
//!
//! A block begins with taking its number of instructions off the budget. Then comes each
//! instruction in turn: compiled, or a call that hands it to the interpreter's handler. What is
//! rare (TLB misses above all) lies behind the block, out of line, and hands the whole
//! instruction over too: the interpreter does it, faults and devices and all, at its exact place.

use super::address::Cached;
use super::branch;
use super::emit::{Asm, Rm, group1};
use super::flags::State;
use super::int;
use super::lazy::{self, Recipe, Use};
use super::mem::Miss;
use super::steps::{Source, Step, accesses, leaves_flags, steps, writes_segment};
use super::{regs, returns, sse, string, system, x87};
use crate::engine::Code;
pub use crate::engine::{Lazy, Site, exit};
use dejavm_interp::mem::PAGE_SIZE;
use dejavm_interp::x86::op::Op;
use dynasmrt::{DynamicLabel, DynasmApi, DynasmLabelApi, dynasm};

/// What the interpreter needs to run one instruction of a block.
#[derive(Clone, Copy)]
pub struct OpInfo {
    /// The instruction.
    pub op: Op,
    /// RIP after it.
    pub next: u64,
    /// Steps of the block that are not made before it, itself included.
    pub rest: u64,
    /// It is compiled, and handed over only in cases that are not.
    pub compiled: bool,
    /// Its handler looks at or changes the status flags.
    pub flags: bool,
    /// Compiled code must be left after it.
    pub leave: bool,
    /// What the code that follows expects to be in the host's registers.
    pub loaded: Loaded,
    /// How flags are made again that have this number.
    pub again: Option<Recipe>,
}

/// Which of the guest's registers are known to be in the host's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// XMM registers and MXCSR.
    pub sse: bool,
    /// The x87's.
    pub x87: bool,
}

/// The entry points of the code that all blocks share.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shared {
    /// Into compiled code: context, address.
    pub enter: usize,
    /// Hands instruction EAX to the interpreter, comes back unless the block must be left.
    pub run_op: usize,
    /// Runs instruction EAX, which changes the privilege level, and goes on where it leads. Reached by a jump.
    pub level: usize,
    /// The same for SYSCALL in 64-bit mode at level 3; RDX: the address behind it. Clobbers whatever may be.
    pub syscall: usize,
    /// The same for SYSRETQ.
    pub sysret: usize,
    /// Leaves compiled code with the reason in RAX.
    pub exit: usize,
    /// Goes on at the guest address RAX.
    pub indirect: usize,
    /// See [`crate::links::renew`].
    pub renew: usize,
    /// Loads XMM registers and MXCSR. Sets ZF if it could. Clobbers RAX.
    pub load_sse: usize,
    /// Loads the x87 state. Sets ZF if it could. Clobbers RAX, RCX, RDX.
    pub load_x87: usize,
    /// Translates the linear address RAX for reading: RDX = where it lies in the host. RCX: offset of
    /// the [`regs::Recent`] to renew from RBP; RDX: the highest offset in a page where the operand fits. Sets
    /// ZF if it could. Clobbers RAX and RCX.
    pub miss_read: usize,
    /// The same for writing.
    pub miss_write: usize,
}

/// Out-of-line code that hands an instruction to the interpreter.
struct Cold {
    label: DynamicLabel,
    back: DynamicLabel,
    info: u32,
    /// The code at `back` expects the guest's flags in EFLAGS.
    flags: bool,
    /// The flags before it are not saved: what [`lazy::note`] gives instead.
    note: Option<i32>,
    /// Code that follows counts on more than it leaves behind: it does not go on there.
    leaves: bool,
    /// And these registers.
    loaded: Loaded,
    /// And this operand in RDX, or else goes on behind the instruction elsewhere: RIP, and steps to
    /// the block's end.
    cached: Option<Cached>,
    next: u64,
    rest: u64,
    /// x87 instructions before it that are not noted yet.
    notes: Notes,
}

/// The last x87 instruction, and the last with an operand in memory, by number.
pub type Notes = (Option<u32>, Option<u32>);

/// A place where a jump waits for its number and stub.
pub struct Pending {
    /// Offset behind the 32-bit distance.
    pub end: usize,
    /// The guest address.
    pub rip: u64,
    /// Its stub.
    pub stub: DynamicLabel,
    /// See [`Site::guard`]; and the label of the guard's other outcome.
    pub guard: Option<(usize, usize, DynamicLabel)>,
    /// The flags are not saved but can be made again: how, and the label where they are saved.
    pub lazy: Option<(Recipe, DynamicLabel)>,
}

/// What is being compiled.
pub struct Compiler<'a> {
    /// The assembler.
    pub asm: &'a mut Asm,
    /// 64-bit mode; else flat 32-bit code.
    pub long: bool,
    /// Privilege level 3.
    pub user: bool,
    /// Where the guest's flags are.
    pub flags: State,
    /// The current instruction's way to the interpreter, once it needs one.
    pub slow: Option<DynamicLabel>,
    /// RIP at the block's start.
    pub start: u64,
    /// The code that all blocks share.
    pub shared: Shared,
    /// Where the code will run.
    pub base: usize,
    /// Jumps to other blocks.
    pub pending: Vec<Pending>,
    /// Where XMM or x87 registers have to be loaded, or a target looked at again: label, where to go
    /// on, and where if it cannot be; the code that does it.
    pub loads: Vec<(DynamicLabel, DynamicLabel, DynamicLabel, usize)>,
    /// What is loaded here.
    pub loaded: Loaded,
    /// x87 instructions that are to be noted before the block is left.
    pub notes: Notes,
    /// The number of the current instruction in `infos`, and its steps to the block's end.
    current: (Option<u32>, u64),
    /// The instructions after the current one.
    pub following: &'a [Step],
    /// How often each general register was written in the block so far.
    pub written: [u8; 16],
    /// The operand that RDX points to.
    pub cached: Option<Cached>,
    /// Where an operand lies in another page than the one before: label, where to go on with which
    /// operand in RDX, and where if that is not known.
    pub far: Vec<(DynamicLabel, DynamicLabel, Cached, DynamicLabel)>,
    /// Where the translation used last is another one, or the TLB has none.
    pub misses: Vec<Miss>,
    /// The instruction before makes the target of a RET.
    pub target_made: bool,
    /// Where the stack of returns is full: label, where to go on.
    pub full: Vec<(DynamicLabel, DynamicLabel)>,
    cold: Vec<Cold>,
    /// What the block hands over.
    pub infos: Vec<OpInfo>,
    /// The number of the first of them.
    pub first_info: u32,
}

/// Compiles a block. `number` is its own, `first_site` and `first_info` those of its first jump and
/// instruction. `None` when the code is not what was decoded.
pub fn compile(
    src: &Source<'_>,
    shared: Shared,
    base: usize,
    number: u32,
    first_site: u32,
    first_info: u32,
) -> Option<Code<OpInfo>> {
    let steps = steps(src);
    let n = steps.len() as u64;
    let last = steps.last()?;
    let mut asm = Asm::new(base);
    let mut c = Compiler {
        asm: &mut asm,
        long: src.long,
        user: src.user,
        flags: State::saved(),
        slow: None,
        start: src.rip,
        shared,
        base,
        pending: Vec::new(),
        loads: Vec::new(),
        loaded: Loaded::default(),
        notes: (None, None),
        current: (None, 0),
        following: &[],
        written: [0; 16],
        cached: None,
        far: Vec::new(),
        misses: Vec::new(),
        target_made: false,
        full: Vec::new(),
        cold: Vec::new(),
        infos: Vec::new(),
        first_info,
    };
    let (short, interpret) = (c.asm.new_dynamic_label(), c.asm.new_dynamic_label());
    if let Some(offset) = src.second {
        let next = (src.rip | (PAGE_SIZE - 1)).wrapping_add(1);
        c.compare_page(if src.long { next } else { next & 0xffff_ffff }, offset, interpret);
    }
    if src.count {
        let n = steps.iter().filter(|s| s.plan.is_some()).map(|s| accesses(&s.ins)).sum::<i32>();
        dynasm!(c.asm
            ; .arch x64
            ; add QWORD [rbp + regs::COUNTED], 1
            ; add QWORD [rbp + regs::COUNTED + 8], n
        );
    }
    group1(c.asm, 8, 5, Rm::Reg(15), n as i32);
    dynasm!(c.asm ; .arch x64 ; jb =>short);
    for (i, s) in steps.iter().enumerate() {
        c.following = &steps[i + 1..];
        c.target_made = i > 0 && returns::makes_target(&steps[i - 1]);
        c.step(s, n - i as u64);
    }
    if !branch::is_last(&last.ins) {
        c.flush_notes();
        let lazy = c.leave_flags(last);
        c.chain(last.next, lazy);
    }
    let hot = c.asm.offset().0;
    c.finish_cold();
    dynasm!(c.asm ; .arch x64 ; =>short ; add r15, n as i32 ; =>interpret ; mov eax, (u64::from(number) << 8 | exit::BUDGET) as i32);
    c.jump_out(shared.exit);
    let sites = c.finish_sites(first_site);
    let infos = std::mem::take(&mut c.infos);
    let bytes = asm.finalize().ok()?;
    Some(Code { bytes, hot, sites, infos, accepts: lazy::accepts(&steps) })
}

impl Compiler<'_> {
    fn step(&mut self, s: &Step, rest: u64) {
        let exits = s.plan.is_none_or(|p| p.exits);
        self.slow = None;
        self.current = (None, rest);
        let mut note = None;
        if exits {
            if let Some(recipe) = self.flags.again.filter(|_| !self.flags.saved)
                && lazy::lasts(&recipe, std::iter::once(s).chain(self.following))
            {
                note = self.describe(s, recipe);
            }
            if note.is_none() {
                self.flags.save(self.asm);
            }
        }
        if s.plan.is_none() || branch::is_last(&s.ins) {
            self.flush_notes();
        }
        let notes = self.notes;
        match s.plan {
            Some(_) if branch::is_last(&s.ins) => self.branch(s),
            Some(_) if string::plan(&s.ins, &s.op, self.long).is_some() => self.string(s),
            Some(_) if system::plan(&s.ins, &s.op, self.long, self.user).is_some() => self.system(s),
            Some(_) if x87::plan(&s.ins, &s.op, self.long).is_some() => self.x87(s),
            Some(_) if sse::plan(&s.ins, &s.op, self.long).is_some() => self.sse(s),
            Some(_) => self.integer(s),
            None => {
                let info = self.info_of(s);
                self.call_run_op(info);
                self.flags.host = 0;
                self.loaded = Loaded::default();
                self.cached = None;
                if branch::is_last(&s.ins) {
                    // Only a REP string instruction comes back.
                    self.chain(s.next, None);
                }
                return;
            }
        }
        self.forget_changed(s);
        if let Some(label) = self.slow {
            let info = self.info_of(s);
            let loaded = self.loaded;
            self.infos[(info - self.first_info) as usize].loaded = loaded;
            let back = self.asm.new_dynamic_label();
            dynasm!(self.asm ; .arch x64 ; =>back);
            let flags = self.flags.host != 0;
            let cached = self.cached;
            // What was in memory was not kept.
            let leaves = s.flags == Use::Kills && self.flags.again.is_some_and(|r| r.keeps());
            self.cold.push(Cold {
                label,
                back,
                info,
                flags,
                note,
                leaves,
                loaded,
                cached,
                next: s.next,
                rest,
                notes,
            });
        }
    }

    /// Drops the cached operand if the instruction changed its base, and the flags' recipe with a register
    /// that it needs; not one of flags that the instruction wrote itself.
    fn forget_changed(&mut self, s: &Step) {
        for (register, times) in self.written.iter_mut().enumerate() {
            *times = times.wrapping_add((s.writes >> register & 1) as u8);
        }
        if s.flags != Use::Kills {
            self.flags.again = self.flags.again.filter(|r| r.registers() & s.writes == 0);
        }
        if branch::is_last(&s.ins) {
            self.cached = None;
        }
        self.cached = match (self.cached, int::moves(&s.ins, &s.op, self.word())) {
            (Some(c), Some((register, by))) => c.moved(register, by),
            (c, _) => c.filter(|c| !c.counts_from(s.writes)),
        };
    }

    /// The number of the current instruction in the table.
    pub fn info_of(&mut self, s: &Step) -> u32 {
        if let Some(info) = self.current.0 {
            return info;
        }
        let leave = !self.long && s.plan.is_none() && writes_segment(&s.ins);
        let flags = !leaves_flags(&s.ins, s.plan);
        let rest = self.current.1;
        self.infos.push(OpInfo {
            compiled: s.plan.is_some(),
            op: s.op,
            next: s.next,
            rest,
            flags,
            leave,
            loaded: Loaded::default(),
            again: None,
        });
        let info = self.first_info + self.infos.len() as u32 - 1;
        self.current.0 = Some(info);
        info
    }

    /// Steps of the block that are not made before the current instruction, itself included.
    pub fn rest(&self) -> u64 {
        self.current.1
    }

    fn flush_notes(&mut self) {
        let notes = std::mem::take(&mut self.notes);
        self.store_notes(notes);
    }

    fn call_run_op(&mut self, info: u32) {
        dynasm!(self.asm ; .arch x64 ; mov eax, info as i32);
        self.call(self.shared.run_op);
    }

    /// CALL of shared code.
    pub fn call(&mut self, to: usize) {
        self.asm.push(0xe8);
        self.distance(to);
    }

    /// JMP to shared code.
    pub fn jump_out(&mut self, to: usize) {
        self.asm.push(0xe9);
        self.distance(to);
    }

    /// The 32-bit distance from behind it to `to`.
    fn distance(&mut self, to: usize) {
        let end = self.base + self.asm.offset().0 + 4;
        self.asm.push_i32((to as i64 - end as i64) as i32);
    }

    fn finish_cold(&mut self) {
        self.finish_full();
        for (label, back, slow, load) in std::mem::take(&mut self.loads) {
            dynasm!(self.asm ; .arch x64 ; =>label);
            self.call(load);
            dynasm!(self.asm ; .arch x64 ; jz =>back ; jmp =>slow);
        }
        for (label, back, cached, slow) in std::mem::take(&mut self.far) {
            dynasm!(self.asm ; .arch x64 ; =>label);
            self.again(cached);
            dynasm!(self.asm ; .arch x64 ; jz =>back ; jmp =>slow);
        }
        for m in std::mem::take(&mut self.misses) {
            self.miss(m);
        }
        for cold in std::mem::take(&mut self.cold) {
            dynasm!(self.asm ; .arch x64 ; =>cold.label);
            self.store_notes(cold.notes);
            if let Some(note) = cold.note {
                dynasm!(self.asm ; .arch x64 ; mov DWORD [rbp + regs::FLAGS], note);
            }
            self.call_run_op(cold.info);
            if cold.leaves {
                self.go_on_elsewhere(cold.rest, cold.next);
                continue;
            }
            // It would not have come back if they could not be loaded.
            if cold.loaded.sse {
                self.call(self.shared.load_sse);
            }
            if cold.loaded.x87 {
                self.call(self.shared.load_x87);
            }
            let miss = self.asm.new_dynamic_label();
            if let Some(c) = cold.cached {
                self.again(c);
                dynasm!(self.asm ; .arch x64 ; jnz =>miss);
                self.restore(c);
            }
            if cold.flags {
                State::bring_back(self.asm);
            }
            dynasm!(self.asm ; .arch x64 ; jmp =>cold.back);
            if cold.cached.is_some() {
                dynasm!(self.asm ; .arch x64 ; =>miss);
                self.go_on_elsewhere(cold.rest, cold.next);
            }
        }
    }

    /// Goes on at `next`, out of the block, behind an instruction that the interpreter ran.
    fn go_on_elsewhere(&mut self, rest: u64, next: u64) {
        dynasm!(self.asm ; .arch x64 ; add r15, rest as i32 - 1 ; mov rax, QWORD next as i64);
        self.jump_out(self.shared.indirect);
    }

    fn finish_sites(&mut self, first: u32) -> Vec<Site> {
        let mut sites = Vec::new();
        for (i, p) in std::mem::take(&mut self.pending).into_iter().enumerate() {
            let number = u64::from(first) + i as u64;
            if let Some((.., other)) = p.guard {
                dynasm!(self.asm ; .arch x64 ; =>other);
                if let Some((recipe, _)) = p.lazy {
                    State::make(self.asm, recipe);
                }
                dynasm!(self.asm ; .arch x64 ; mov rax, QWORD p.rip as i64);
                self.jump_out(self.shared.indirect);
            }
            let mut jump = p.end - 4;
            let mut lazy = None;
            if let Some((recipe, save)) = p.lazy {
                let registers = recipe.registers();
                lazy = Some(Lazy { jump, save: self.asm.offset().0, registers });
                dynasm!(self.asm ; .arch x64 ; =>save);
                State::make(self.asm, recipe);
                dynasm!(self.asm ; .arch x64 ; jmp =>p.stub);
                jump = self.asm.offset().0 - 4;
            }
            let stub = self.asm.offset().0;
            dynasm!(self.asm ; .arch x64 ; =>p.stub ; mov eax, (number << 8 | exit::LINK) as i32);
            self.jump_out(self.shared.exit);
            let guard = p.guard.map(|(skip, page, _)| (skip, page));
            sites.push(Site { jump, stub, rip: p.rip, guard, lazy });
        }
        sites
    }
}
