//! General-purpose instructions but for branches: each does what the handler of the same name in
//! `dejavm_interp::x86::int` does.

use super::address::{Base, How};
use super::block::Compiler;
use super::emit::{Rm, extend, get, group1, high, home, load, load_imm, push_imm, put, sized, store, wide};
use super::flags::flag::{AF, ALL, CF, OF, PF, SF, ZF};
use super::flags::{Kind, State, reads};
use super::lazy::{KEPT, Recipe, lasts};
use super::regs;
use super::regs::host::{R10, R12, R13, R14, RAX, RCX, RDX};
use super::steps::Step;
use dejavm_interp::tlb::Access;
use dejavm_interp::x86::int::cond::number;
use dejavm_interp::x86::int::mov::operand_bytes;
use dejavm_interp::x86::op::Op;
use dejavm_interp::x86::regs::{gpr, seg};
use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};
use iced_x86::{Instruction, Mnemonic, OpKind};

/// What an instruction does to the flags, and whether it may leave the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Flags that it needs.
    pub reads: u8,
    /// Flags that it overwrites whatever happens.
    pub kills: u8,
    /// It may be handed to the interpreter.
    pub exits: bool,
}

/// The number of an operation of the group ADD to CMP; 8 is TEST.
fn alu(m: Mnemonic) -> Option<u8> {
    Some(match m {
        Mnemonic::Add => 0,
        Mnemonic::Or => 1,
        Mnemonic::Adc => 2,
        Mnemonic::Sbb => 3,
        Mnemonic::And => 4,
        Mnemonic::Sub => 5,
        Mnemonic::Xor => 6,
        Mnemonic::Cmp => 7,
        Mnemonic::Test => TEST,
        _ => return None,
    })
}
/// The top of the stack, as a base of operands.
pub const STACK: Base = Base::register(4);
const TEST: u8 = 8;
const CMP: u8 = 7;

/// The ModRM number of a shift or rotate.
fn shift(m: Mnemonic) -> Option<u8> {
    Some(match m {
        Mnemonic::Rol => 0,
        Mnemonic::Ror => 1,
        Mnemonic::Shl | Mnemonic::Sal => 4,
        Mnemonic::Shr => 5,
        Mnemonic::Sar => 7,
        _ => return None,
    })
}

/// The ModRM number of BT, BTS, BTR, BTC with an immediate.
fn bit_test(m: Mnemonic) -> Option<u8> {
    Some(match m {
        Mnemonic::Bt => 4,
        Mnemonic::Bts => 5,
        Mnemonic::Btr => 6,
        Mnemonic::Btc => 7,
        _ => return None,
    })
}

/// True for a shift or rotate: it may change flags without always doing so.
pub fn shifts(ins: &Instruction) -> bool {
    shift(ins.mnemonic()).is_some()
}

/// True for one whose count is in CL: it may leave the flags as they are.
pub fn shifts_by_cl(ins: &Instruction) -> bool {
    shifts(ins) && ins.op_kind(1) == OpKind::Register
}

/// The register that the instruction moves by a constant, in full, and by how much.
pub fn moves(ins: &Instruction, op: &Op, word: u8) -> Option<(u8, i32)> {
    if ins.op_count() == 0 || ins.op_kind(0) != OpKind::Register || operand_bytes(ins, 0) != word.into() {
        return None;
    }
    let immediate =
        || if ins.op_kind(1) == OpKind::Register || has_memory(ins) { None } else { Some(op.imm as i32) };
    let by = match ins.mnemonic() {
        Mnemonic::Add => immediate()?,
        Mnemonic::Sub => immediate()?.checked_neg()?,
        Mnemonic::Inc => 1,
        Mnemonic::Dec => -1,
        _ => return None,
    };
    Some((op.r0, by))
}

/// True for SETcc and CMOVcc.
pub fn asks(ins: &Instruction) -> bool {
    is_setcc(ins) || is_cmov(ins)
}

fn has_memory(ins: &Instruction) -> bool {
    (0..ins.op_count()).any(|i| ins.op_kind(i) == OpKind::Memory)
}

fn uses_high(ins: &Instruction) -> bool {
    use iced_x86::Register::{AH, BH, CH, DH};
    (0..ins.op_count())
        .any(|i| ins.op_kind(i) == OpKind::Register && matches!(ins.op_register(i), AH | BH | CH | DH))
}

/// The count of a shift by an immediate, as the processor uses it.
fn count(ins: &Instruction, op: &Op) -> u8 {
    op.imm as u8 & if operand_bytes(ins, 0) == 8 { 63 } else { 31 }
}

/// True when the memory operand's address is computed inline. Outside of 64-bit mode code segments
/// are not: they may not be readable.
pub fn simple_address(op: &Op, long: bool) -> bool {
    op.addrsize != 2 && (long || op.seg != seg::CS)
}

/// How `ins` is compiled, or `None` when it is handed to the interpreter.
pub fn plan(ins: &Instruction, op: &Op, long: bool) -> Option<Plan> {
    use Mnemonic::*;
    let memory = has_memory(ins);
    if memory && !simple_address(op, long) && ins.mnemonic() != Nop {
        return None;
    }
    let gpr = |i: u32| ins.op_kind(i) != OpKind::Register || ins.op_register(i).is_gpr();
    if !(0..ins.op_count()).all(gpr) {
        return None;
    }
    let plan = |reads, kills| Some(Plan { reads, kills, exits: memory });
    let bytes = operand_bytes(ins, 0);
    let m = ins.mnemonic();
    if let Some(k) = alu(m) {
        return plan(if matches!(k, 2 | 3) { CF } else { 0 }, ALL);
    }
    if let Some(k) = shift(m) {
        if uses_high(ins) {
            return None;
        }
        if ins.op_kind(1) == OpKind::Register {
            return plan(0, 0);
        }
        if count(ins, op) == 0 {
            return None;
        }
        return plan(0, if k < 4 { CF | OF } else { ALL });
    }
    if bit_test(m).is_some() {
        // A register's bit offset reaches beyond a memory operand.
        return if memory && ins.op_kind(1) == OpKind::Register { None } else { plan(0, CF) };
    }
    match m {
        Mov => plan(0, 0),
        Movzx | Movsx | Movsxd => plan(0, 0),
        Lea if bytes >= 4 && op.addrsize >= 4 => Some(Plan { reads: 0, kills: 0, exits: false }),
        Xchg if !uses_high(ins) => plan(0, 0),
        Bswap if bytes >= 4 => plan(0, 0),
        Inc | Dec => plan(0, ALL & !CF),
        Neg => plan(0, ALL),
        Not => plan(0, 0),
        Imul if ins.op_count() > 1 => plan(0, CF | OF),
        Imul | Mul if bytes >= 4 => plan(0, CF | OF),
        Div if bytes >= 4 => Some(Plan { reads: 0, kills: AF | ZF | SF | PF, exits: true }),
        Bsf | Bsr if bytes >= 4 => plan(0, ALL),
        Popcnt if bytes >= 4 && std::is_x86_feature_detected!("popcnt") => plan(0, ALL),
        Cbw | Cwde | Cdqe | Cwd | Cdq | Cqo => plan(0, 0),
        Clc | Stc => plan(0, CF),
        Cmc => plan(CF, CF),
        Xadd if !uses_high(ins) => plan(0, ALL),
        Cmpxchg if !uses_high(ins) => plan(0, ALL),
        Push | Pop | Leave => {
            // The stack's width and the operand's are the mode's.
            let size = ins.stack_pointer_increment().unsigned_abs();
            let natural = m == Leave && bytes_of_leave(ins) == if long { 8 } else { 4 }
                || size == if long { 8 } else { 4 };
            let simple = m != Pop || !memory;
            (natural && simple).then_some(Plan { reads: 0, kills: 0, exits: true })
        }
        Nop | Reservednop | Endbr32 | Endbr64 | Prefetchnta | Prefetcht0 | Prefetcht1 | Prefetcht2
        | Prefetch | Prefetchw | Lfence | Mfence | Sfence => Some(Plan { reads: 0, kills: 0, exits: false }),
        _ if is_setcc(ins) || is_cmov(ins) => plan(reads(number(ins.condition_code())?), 0),
        _ => None,
    }
}

fn bytes_of_leave(ins: &Instruction) -> u32 {
    match ins.code() {
        iced_x86::Code::Leaveq => 8,
        iced_x86::Code::Leaved => 4,
        _ => 2,
    }
}

fn is_setcc(ins: &Instruction) -> bool {
    use Mnemonic::*;
    matches!(
        ins.mnemonic(),
        Seta | Setae
            | Setb
            | Setbe
            | Sete
            | Setg
            | Setge
            | Setl
            | Setle
            | Setne
            | Setno
            | Setnp
            | Setns
            | Seto
            | Setp
            | Sets
    )
}

fn is_cmov(ins: &Instruction) -> bool {
    use Mnemonic::*;
    matches!(
        ins.mnemonic(),
        Cmova
            | Cmovae
            | Cmovb
            | Cmovbe
            | Cmove
            | Cmovg
            | Cmovge
            | Cmovl
            | Cmovle
            | Cmovne
            | Cmovno
            | Cmovnp
            | Cmovns
            | Cmovo
            | Cmovp
            | Cmovs
    )
}

impl Compiler<'_> {
    /// Emits an instruction that [`plan`] accepted.
    pub fn integer(&mut self, s: &Step) {
        use Mnemonic::*;
        let ins = &s.ins;
        let m = ins.mnemonic();
        let size = operand_bytes(ins, 0) as u8;
        if let Some(k) = alu(m) {
            return self.alu(s, k, size);
        }
        if let Some(k) = shift(m) {
            return self.shift(s, k, size);
        }
        if let Some(k) = bit_test(m) {
            return self.bit_test(s, k, size);
        }
        match m {
            Mov => self.mov(s, size),
            Movzx => self.movx(s, size, false),
            Movsx | Movsxd => self.movx(s, size, true),
            Lea => self.lea(s, size),
            Xchg => self.xchg(s, size),
            Bswap => self.bswap(s, size),
            Inc => self.unary(s, size, 0xfe, 0),
            Dec => self.unary(s, size, 0xfe, 1),
            Not => self.unary(s, size, 0xf6, 2),
            Neg => self.unary(s, size, 0xf6, 3),
            Imul if ins.op_count() > 1 => self.imul(s, size),
            Mul => self.multiply(s, size, 4),
            Imul => self.multiply(s, size, 5),
            Div => self.div(s, size),
            Bsf => self.scan(s, size, 0xbc),
            Bsr => self.scan(s, size, 0xbd),
            Popcnt => self.popcnt(s, size),
            Cbw | Cwde | Cdqe => self.extend_a(m),
            Cwd | Cdq | Cqo => self.extend_d(m),
            Clc | Stc | Cmc => self.carry(m),
            Xadd => self.xadd(s, size),
            Cmpxchg => self.cmpxchg(s, size),
            Push => self.push(s),
            Pop => self.pop(s),
            Leave => self.leave(),
            _ if is_setcc(ins) => self.setcc(s),
            _ if is_cmov(ins) => self.cmov(s, size),
            // No operation: hints and fences.
            _ => {}
        }
    }

    fn memory(&self, s: &Step, i: u32) -> bool {
        s.ins.op_kind(i) == OpKind::Memory
    }

    fn mem(&mut self, s: &Step, size: u8, access: Access, how: How) -> Rm {
        self.operand(&s.op, s.next, size, access, how)
    }

    /// How an operand is wanted while another one is taken out of a general register.
    fn beside(guest: u8) -> How {
        How { once: !high(guest) && matches!(home(guest), Rm::Reg(_)), aligned: false }
    }

    fn mov(&mut self, s: &Step, size: u8) {
        let op = &s.op;
        match (s.ins.op_kind(0), s.ins.op_kind(1)) {
            (OpKind::Register, OpKind::Register) => {
                if !high(op.r0) && !high(op.r1) {
                    match (home(op.r0), home(op.r1)) {
                        (Rm::Reg(d), rm) => return load(self.asm, size, d, rm),
                        (rm, Rm::Reg(r)) if size != 4 => return store(self.asm, size, rm, r),
                        _ => {}
                    }
                }
                get(self.asm, size, RCX, op.r1);
                put(self.asm, size, op.r0, RCX);
            }
            (OpKind::Register, OpKind::Memory) => {
                let at = self.mem(s, size, Access::Read, How::ONCE);
                self.fetch_to(size, op.r0, at);
            }
            (OpKind::Memory, OpKind::Register) => {
                let at = self.mem(s, size, Access::Write, Self::beside(op.r1));
                let r = self.source(size, op.r1);
                store(self.asm, size, at, r);
            }
            (OpKind::Memory, _) => {
                let at = self.mem(s, size, Access::Write, How { once: size != 8, aligned: false });
                if let Ok(imm) = i32::try_from(op.imm as i64)
                    && size == 8
                {
                    wide(self.asm, 8, &[0xc7], 0, at);
                    self.asm.push_i32(imm);
                } else if size == 8 {
                    load_imm(self.asm, RAX, op.imm);
                    store(self.asm, 8, at, RAX);
                } else {
                    sized(self.asm, size, &[0xc6], 0, at);
                    push_imm(self.asm, size, op.imm as i32);
                }
            }
            _ => {
                let imm = match size {
                    1 => op.imm & 0xff,
                    2 => op.imm & 0xffff,
                    4 => op.imm & 0xffff_ffff,
                    _ => op.imm,
                };
                match home(op.r0 % 20) {
                    Rm::Reg(r) if size >= 4 => load_imm(self.asm, r, imm),
                    _ => {
                        load_imm(self.asm, RCX, imm);
                        put(self.asm, size, op.r0, RCX);
                    }
                }
            }
        }
    }

    /// Loads from memory into a guest register.
    fn fetch_to(&mut self, size: u8, guest: u8, at: Rm) {
        match home(guest % 20) {
            Rm::Reg(r) if !high(guest) => self.fetch(size, r, at),
            _ => {
                self.fetch(size, RCX, at);
                put(self.asm, size, guest, RCX);
            }
        }
    }

    /// A host register that holds a guest register: its own, or RAX.
    pub fn source(&mut self, size: u8, guest: u8) -> u8 {
        match home(guest % 20) {
            Rm::Reg(r) if !high(guest) => r,
            _ => {
                get(self.asm, size, RAX, guest);
                RAX
            }
        }
    }

    fn movx(&mut self, s: &Step, size: u8, signed: bool) {
        let from = operand_bytes(&s.ins, 1) as u8;
        let rm = if self.memory(s, 1) {
            self.mem(s, from, Access::Read, How::ONCE)
        } else if high(s.op.r1) {
            get(self.asm, 1, RAX, s.op.r1);
            Rm::Reg(RAX)
        } else {
            home(s.op.r1)
        };
        match home(s.op.r0) {
            Rm::Reg(r) if size >= 4 => extend(self.asm, signed, size, from, r, rm),
            _ => {
                extend(self.asm, signed, size, from, RCX, rm);
                put(self.asm, size, s.op.r0, RCX);
            }
        }
    }

    fn lea(&mut self, s: &Step, size: u8) {
        self.effective(&s.op, s.next);
        if size == 4 {
            load(self.asm, 4, RAX, Rm::Reg(RAX));
        }
        put(self.asm, size, s.op.r0, RAX);
    }

    fn xchg(&mut self, s: &Step, size: u8) {
        let op = &s.op;
        if self.memory(s, 0) || self.memory(s, 1) {
            let at = self.mem(s, size, Access::Write, Self::beside(op.r1));
            let r = self.source(size, op.r1);
            self.fetch(size, RCX, at);
            store(self.asm, size, at, r);
            put(self.asm, size, op.r1, RCX);
            return;
        }
        get(self.asm, size, RCX, op.r0);
        get(self.asm, size, RAX, op.r1);
        put(self.asm, size, op.r0, RAX);
        put(self.asm, size, op.r1, RCX);
    }

    fn bswap(&mut self, s: &Step, size: u8) {
        get(self.asm, size, RAX, s.op.r0);
        if size == 8 {
            dynasm!(self.asm ; .arch x64 ; bswap rax);
        } else {
            dynasm!(self.asm ; .arch x64 ; bswap eax);
        }
        put(self.asm, size, s.op.r0, RAX);
    }

    /// What an operation leaves in EFLAGS.
    fn wrote_alu(&mut self, k: u8) {
        let logic = matches!(k, 1 | 4 | 6 | TEST);
        self.flags.wrote(ALL, if logic { Kind::Logic } else { Kind::Arith });
    }

    fn alu(&mut self, s: &Step, k: u8, size: u8) {
        let op = &s.op;
        if self.memory(s, 0) || self.memory(s, 1) {
            return self.alu_memory(s, k, size);
        }
        let immediate = s.ins.op_kind(1) != OpKind::Register;
        if matches!(k, 2 | 3) {
            self.flags.carry(self.asm);
        }
        let zero = !immediate && op.r0 == op.r1 && matches!(k, 5 | 6) && size >= 4 && !high(op.r0);
        // The result goes to a scratch register where the guest's has no place that fits.
        let direct = !high(op.r0) && (k >= CMP || size != 4 || matches!(home(op.r0), Rm::Reg(_)));
        let rm = if direct {
            home(op.r0)
        } else {
            get(self.asm, size, RCX, op.r0);
            Rm::Reg(RCX)
        };
        if zero && let Rm::Reg(r) = rm {
            // The host knows this form to depend on nothing.
            sized(self.asm, 4, &[k << 3], r, rm);
        } else if immediate {
            self.alu_immediate(k, size, rm, op.imm);
        } else {
            match (rm, home(op.r1 % 20)) {
                (Rm::Reg(d), m @ Rm::Mem(..)) if !high(op.r1) && k != TEST => {
                    sized(self.asm, size, &[k << 3 | 2], d, m);
                }
                _ => {
                    let r = self.source(size, op.r1);
                    self.alu_register(k, size, rm, r);
                }
            }
        }
        if !direct && k < CMP {
            put(self.asm, size, op.r0, RCX);
        }
        self.wrote_alu(k);
        self.flags.again = Recipe::of(k, size, op, immediate);
    }

    fn alu_register(&mut self, k: u8, size: u8, rm: Rm, r: u8) {
        sized(self.asm, size, &[if k == TEST { 0x84 } else { k << 3 }], r, rm);
    }

    fn alu_immediate(&mut self, k: u8, size: u8, rm: Rm, imm: u64) {
        if k == TEST {
            sized(self.asm, size, &[0xf6], 0, rm);
            push_imm(self.asm, size, imm as i32);
        } else {
            let imm = match size {
                1 => i32::from(imm as i8),
                2 => i32::from(imm as i16),
                _ => imm as i32,
            };
            group1(self.asm, size, k, rm, imm);
        }
    }

    fn alu_memory(&mut self, s: &Step, k: u8, size: u8) {
        let op = &s.op;
        let carry = matches!(k, 2 | 3);
        let to_memory = self.memory(s, 0);
        let how = match s.ins.op_kind(1) {
            OpKind::Register => Self::beside(op.r1),
            OpKind::Memory if high(op.r0) => How::HELD,
            _ => How::ONCE,
        };
        let access = if to_memory && k < CMP { Access::Write } else { Access::Read };
        let at = self.mem(s, size, access, how);
        if carry {
            self.flags.carry(self.asm);
        }
        let register = s.ins.op_kind(1) == OpKind::Register || !to_memory;
        let other = register.then_some(if to_memory { op.r1 } else { op.r0 });
        if let Some(recipe) = Recipe::of_memory(k, size, op, other, to_memory)
            && lasts(&recipe, self.following)
        {
            extend(self.asm, false, if size == 8 { 8 } else { 4 }, size, RCX, at);
            store(self.asm, 8, KEPT, RCX);
            let kept = Rm::Reg(RCX);
            match other.map(|r| self.source(size, r)) {
                Some(r) if to_memory => self.alu_register(k, size, kept, r),
                Some(r) => sized(self.asm, size, &[k << 3 | 2], r, kept),
                None => self.alu_immediate(k, size, kept, op.imm),
            }
            self.wrote_alu(k);
            self.flags.again = Some(recipe);
            return;
        }
        if !to_memory {
            // TEST has no such form.
            let (r, in_place) = match home(op.r0 % 20) {
                Rm::Reg(r) if !high(op.r0) => (r, true),
                _ => {
                    get(self.asm, size, RCX, op.r0);
                    (RCX, false)
                }
            };
            sized(self.asm, size, &[k << 3 | 2], r, at);
            if !in_place && k < CMP {
                put(self.asm, size, op.r0, RCX);
            }
        } else if s.ins.op_kind(1) == OpKind::Register {
            let r = self.source(size, op.r1);
            self.alu_register(k, size, at, r);
        } else {
            self.alu_immediate(k, size, at, op.imm);
        }
        self.wrote_alu(k);
        if !to_memory {
            self.flags.again = Recipe::of_result(k, size, op.r0);
        }
    }

    fn unary(&mut self, s: &Step, size: u8, opcode: u8, number: u8) {
        let op = &s.op;
        let in_memory = self.memory(s, 0);
        let counts = opcode == 0xfe;
        let keep = counts && s.live & CF != 0;
        let mut scratch = false;
        let rm = if in_memory {
            self.mem(s, size, Access::Write, How::ONCE)
        } else if high(op.r0) || size == 4 && matches!(home(op.r0), Rm::Mem(..)) {
            scratch = true;
            get(self.asm, size, RCX, op.r0);
            Rm::Reg(RCX)
        } else {
            home(op.r0)
        };
        if keep {
            self.flags.carry(self.asm);
        }
        sized(self.asm, size, &[opcode], number, rm);
        if scratch {
            put(self.asm, size, op.r0, RCX);
        }
        if number != 2 || !matches!(opcode, 0xf6) {
            self.flags.wrote(if counts && !keep { ALL & !CF } else { ALL }, Kind::Arith);
        }
    }

    fn shift(&mut self, s: &Step, k: u8, size: u8) {
        let op = &s.op;
        let by_cl = s.ins.op_kind(1) == OpKind::Register;
        let rotate = k < 4;
        let written = if rotate { CF | OF } else { ALL };
        let wanted = s.live & written;
        // A rotate leaves the other flags, a count of zero all of them: those must be saved.
        if (by_cl && wanted != 0) || rotate && s.live != 0 {
            self.flags.save(self.asm);
        }
        let mut scratch = false;
        let rm = if self.memory(s, 0) {
            self.mem(s, size, Access::Write, How::HELD)
        } else if size == 4 && matches!(home(op.r0), Rm::Mem(..)) {
            scratch = true;
            self.cached = None;
            get(self.asm, size, RDX, op.r0);
            Rm::Reg(RDX)
        } else {
            home(op.r0)
        };
        if by_cl {
            self.shift_by_cl(k, size, rm, wanted);
        } else {
            let c = count(&s.ins, op);
            let recipe = Recipe::of_shift(k, size, c);
            if wanted != 0 && !rotate && !self.memory(s, 0) && lasts(&recipe, self.following) {
                let r = if let Rm::Reg(r) = rm { r } else { RCX };
                load(self.asm, 8, r, rm);
                store(self.asm, 8, KEPT, r);
                sized(self.asm, size, &[0xc0], k, rm);
                self.asm.push(c);
                // OF is made again with the others, where it is asked for.
                self.flags.wrote(if c == 1 { ALL } else { ALL & !OF }, Kind::Shift);
                self.flags.again = Some(recipe);
                if scratch {
                    put(self.asm, size, op.r0, RDX);
                }
                return;
            }
            if wanted != 0 && c > 1 {
                // The host's OF is defined for the last step alone.
                sized(self.asm, size, &[0xc0], k, rm);
                self.asm.push(c - 1);
                sized(self.asm, size, &[0xd0], k, rm);
            } else if c == 1 {
                sized(self.asm, size, &[0xd0], k, rm);
            } else {
                sized(self.asm, size, &[0xc0], k, rm);
                self.asm.push(c);
            }
            if !rotate {
                self.flags.wrote(ALL, Kind::Shift);
            } else if s.live == 0 {
                self.flags.host = 0;
            }
        }
        if scratch {
            put(self.asm, size, op.r0, RDX);
        }
        if rotate && !by_cl && s.live != 0 {
            self.flags.wrote_carry_overflow(self.asm, s.live);
        }
    }

    /// Shifts `rm` by CL. When flags are wanted they are saved, before and after.
    fn shift_by_cl(&mut self, k: u8, size: u8, rm: Rm, wanted: u8) {
        get(self.asm, 4, RCX, 1);
        if let Rm::Reg(r) = rm
            && size == 4
        {
            // The upper half is cleared whatever the count.
            load(self.asm, 4, r, rm);
        }
        if wanted == 0 {
            sized(self.asm, size, &[0xd2], k, rm);
            self.flags.host = 0;
            return;
        }
        let done = self.asm.new_dynamic_label();
        let mask = if size == 8 { 63 } else { 31 };
        dynasm!(self.asm ; .arch x64 ; and ecx, mask ; jz =>done ; dec ecx);
        sized(self.asm, size, &[0xd2], k, rm);
        sized(self.asm, size, &[0xd0], k, rm);
        if k < 4 {
            // Force the saved form: the other path has nothing else.
            self.flags.wrote_carry_overflow(self.asm, ALL);
        } else {
            self.flags.wrote(ALL, Kind::Shift);
            self.flags.save(self.asm);
        }
        self.flags.host = 0;
        dynasm!(self.asm ; .arch x64 ; =>done);
    }

    fn bit_test(&mut self, s: &Step, k: u8, size: u8) {
        let op = &s.op;
        if s.live & !CF != 0 {
            self.flags.save(self.asm);
        }
        let mut scratch = false;
        let rm = if self.memory(s, 0) {
            self.mem(s, size, if k == 4 { Access::Read } else { Access::Write }, How::HELD)
        } else if matches!(home(op.r0), Rm::Mem(..)) {
            // The host's form with memory would reach beyond it.
            scratch = true;
            self.cached = None;
            get(self.asm, size, RDX, op.r0);
            Rm::Reg(RDX)
        } else {
            home(op.r0)
        };
        if s.ins.op_kind(1) == OpKind::Register {
            let r = self.source(size, op.r1);
            wide(self.asm, size, &[0x0f, 0x83 | k << 3], r, rm);
        } else {
            wide(self.asm, size, &[0x0f, 0xba], k, rm);
            self.asm.push(op.imm as u8 & (size * 8 - 1));
        }
        if scratch && k != 4 {
            put(self.asm, size, op.r0, RDX);
        }
        self.flags.wrote_carry(self.asm, s.live);
    }

    /// The source operand of an instruction `r, r/m`.
    fn rm_source(&mut self, s: &Step, size: u8, how: How) -> Rm {
        if self.memory(s, 1) { self.mem(s, size, Access::Read, how) } else { home(s.op.r1) }
    }

    fn imul(&mut self, s: &Step, size: u8) {
        if s.live & !(CF | OF) != 0 {
            self.flags.save(self.asm);
        }
        let rm = self.rm_source(s, size, How::ONCE);
        let d = match home(s.op.r0) {
            Rm::Reg(r) => r,
            _ => {
                self.cached = None;
                RDX
            }
        };
        if s.ins.op_count() == 3 {
            // The product replaces all of the destination, of a word its lower part.
            let imm = s.op.imm as i32;
            wide(self.asm, size, &[0x69], d, rm);
            push_imm(self.asm, size, imm);
        } else if d == RDX {
            let rm = if rm.counts_from(RDX) {
                load(self.asm, size, RCX, rm);
                Rm::Reg(RCX)
            } else {
                rm
            };
            get(self.asm, size, RDX, s.op.r0);
            wide(self.asm, size, &[0x0f, 0xaf], d, rm);
        } else {
            wide(self.asm, size, &[0x0f, 0xaf], d, rm);
        }
        if d == RDX {
            put(self.asm, size, s.op.r0, RDX);
        }
        self.flags.wrote_carry_overflow(self.asm, s.live);
    }

    /// MUL (4) and IMUL (5) with one operand.
    fn multiply(&mut self, s: &Step, size: u8, number: u8) {
        if s.live & !(CF | OF) != 0 {
            self.flags.save(self.asm);
        }
        let rm = if self.memory(s, 0) { self.mem(s, size, Access::Read, How::HELD) } else { home(s.op.r0) };
        self.cached = None;
        get(self.asm, size, RAX, 0);
        wide(self.asm, size, &[0xf7], number, rm);
        put(self.asm, size, 0, RAX);
        put(self.asm, size, 2, RDX);
        self.flags.wrote_carry_overflow(self.asm, s.live);
    }

    fn div(&mut self, s: &Step, size: u8) {
        // CF and OF stay: the others are known.
        let rm = if self.memory(s, 0) {
            let at = self.mem(s, size, Access::Read, How::ONCE);
            load(self.asm, size, RCX, at);
            Rm::Reg(RCX)
        } else {
            get(self.asm, size, RCX, s.op.r0);
            Rm::Reg(RCX)
        };
        let slow = self.slow();
        self.cached = None;
        // #DE unless the upper half is below the divisor, which a divisor of zero never is.
        load(self.asm, size, RDX, Rm::Reg(R13));
        sized(self.asm, size, &[0x38], RCX, Rm::Reg(RDX));
        dynasm!(self.asm ; .arch x64 ; jae =>slow);
        load(self.asm, size, RAX, Rm::Reg(R10));
        wide(self.asm, size, &[0xf7], 6, rm);
        put(self.asm, size, 0, RAX);
        put(self.asm, size, 2, RDX);
        // AF set; ZF, SF, PF clear; CF and OF as they were.
        dynasm!(self.asm
            ; .arch x64
            ; and WORD [rbp + regs::FLAGS], 0x0101
            ; or BYTE [rbp + regs::FLAGS + 1], 0x10
        );
        self.flags = State::saved();
    }

    fn scan(&mut self, s: &Step, size: u8, opcode: u8) {
        let rm = self.rm_source(s, size, How::ONCE);
        load(self.asm, size, RCX, rm);
        let zero = self.asm.new_dynamic_label();
        sized(self.asm, size, &[0x84], RCX, Rm::Reg(RCX));
        dynasm!(self.asm ; .arch x64 ; jz =>zero);
        wide(self.asm, size, &[0x0f, opcode], RCX, Rm::Reg(RCX));
        put(self.asm, size, s.op.r0, RCX);
        // PF is that of the number, ZF is clear.
        dynasm!(self.asm ; .arch x64 ; or ecx, 0x100 ; =>zero);
        self.flags.wrote(ALL, Kind::Logic);
    }

    fn popcnt(&mut self, s: &Step, size: u8) {
        let rm = self.rm_source(s, size, How::ONCE);
        self.asm.push(0xf3);
        wide(self.asm, size, &[0x0f, 0xb8], RCX, rm);
        put(self.asm, size, s.op.r0, RCX);
        self.flags.wrote(ALL, Kind::Arith);
    }

    fn extend_a(&mut self, m: Mnemonic) {
        match m {
            Mnemonic::Cbw => {
                extend(self.asm, true, 4, 1, RAX, Rm::Reg(R10));
                put(self.asm, 2, 0, RAX);
            }
            Mnemonic::Cwde => extend(self.asm, true, 4, 2, R10, Rm::Reg(R10)),
            _ => extend(self.asm, true, 8, 4, R10, Rm::Reg(R10)),
        }
    }

    fn extend_d(&mut self, m: Mnemonic) {
        self.cached = None;
        load(self.asm, 8, RAX, Rm::Reg(R10));
        match m {
            Mnemonic::Cwd => dynasm!(self.asm ; .arch x64 ; cwd ; mov r13w, dx),
            Mnemonic::Cdq => dynasm!(self.asm ; .arch x64 ; cdq ; mov r13d, edx),
            _ => dynasm!(self.asm ; .arch x64 ; cqo ; mov r13, rdx),
        }
    }

    fn carry(&mut self, m: Mnemonic) {
        self.flags.save(self.asm);
        match m {
            Mnemonic::Clc => dynasm!(self.asm ; .arch x64 ; and BYTE [rbp + regs::FLAGS + 1], -2),
            Mnemonic::Stc => dynasm!(self.asm ; .arch x64 ; or BYTE [rbp + regs::FLAGS + 1], 1),
            _ => dynasm!(self.asm ; .arch x64 ; xor BYTE [rbp + regs::FLAGS + 1], 1),
        }
        self.flags.host = 0;
    }

    fn xadd(&mut self, s: &Step, size: u8) {
        let op = &s.op;
        let in_memory = self.memory(s, 0);
        let rm = if in_memory {
            self.mem(s, size, Access::Write, How::HELD)
        } else {
            self.cached = None;
            get(self.asm, size, RDX, op.r0);
            Rm::Reg(RDX)
        };
        get(self.asm, size, RCX, op.r1);
        sized(self.asm, size, &[0x0f, 0xc0], RCX, rm);
        // With one register twice the sum wins.
        put(self.asm, size, op.r1, RCX);
        if !in_memory {
            put(self.asm, size, op.r0, RDX);
        }
        self.flags.wrote(ALL, Kind::Arith);
    }

    fn cmpxchg(&mut self, s: &Step, size: u8) {
        let op = &s.op;
        let in_memory = self.memory(s, 0);
        let rm = if in_memory {
            self.mem(s, size, Access::Write, How::HELD)
        } else {
            self.cached = None;
            get(self.asm, size, RDX, op.r0);
            Rm::Reg(RDX)
        };
        get(self.asm, size, RCX, op.r1);
        get(self.asm, size, RAX, 0);
        sized(self.asm, size, &[0x0f, 0xb0], RCX, rm);
        let equal = self.asm.new_dynamic_label();
        let end = self.asm.new_dynamic_label();
        dynasm!(self.asm ; .arch x64 ; jz =>equal);
        put(self.asm, size, 0, RAX);
        if in_memory {
            dynasm!(self.asm ; .arch x64 ; =>equal ; =>end);
        } else {
            dynasm!(self.asm ; .arch x64 ; jmp =>end ; =>equal);
            put(self.asm, size, op.r0, RDX);
            dynasm!(self.asm ; .arch x64 ; =>end);
        }
        self.flags.wrote(ALL, Kind::Arith);
    }

    /// Bytes of a stack slot.
    pub fn word(&self) -> u8 {
        if self.long { 8 } else { 4 }
    }

    /// RSP += `by`. Flags stay.
    pub fn move_stack(&mut self, by: i32) {
        wide(self.asm, self.word(), &[0x8d], R14, Rm::Mem(R14, by));
        if let Some(c) = &mut self.cached {
            c.stack_moved(by);
        }
    }

    fn push(&mut self, s: &Step) {
        let word = self.word();
        let w = i32::from(word);
        if self.memory(s, 0) {
            let at = self.mem(s, word, Access::Read, How::ONCE);
            self.fetch(word, RAX, at);
            dynasm!(self.asm ; .arch x64 ; mov [rbp + regs::TEMP], rax);
        }
        let at = self.access(STACK, -w, word, Access::Write, How::HELD);
        match s.ins.op_kind(0) {
            OpKind::Memory => {
                dynasm!(self.asm ; .arch x64 ; mov rax, [rbp + regs::TEMP]);
                store(self.asm, word, at, RAX);
            }
            OpKind::Register => {
                let r = self.source(word, s.op.r0);
                store(self.asm, word, at, r);
            }
            _ => {
                wide(self.asm, word, &[0xc7], 0, at);
                self.asm.push_i32(s.op.imm as i32);
            }
        }
        self.move_stack(-w);
    }

    fn pop(&mut self, s: &Step) {
        let word = self.word();
        let at = self.access(STACK, 0, word, Access::Read, How::ONCE);
        self.fetch_to(word, s.op.r0, at);
        if s.op.r0 != gpr::RSP {
            self.move_stack(i32::from(word));
        }
    }

    fn leave(&mut self) {
        let word = self.word();
        let at = self.access(Base::register(5), 0, word, Access::Read, How::ONCE);
        wide(self.asm, word, &[0x8d], R14, Rm::Mem(R12, i32::from(word)));
        self.fetch(word, R12, at);
    }

    fn setcc(&mut self, s: &Step) {
        let Some(cc) = number(s.ins.condition_code()) else { return };
        if self.memory(s, 0) {
            let at = self.mem(s, 1, Access::Write, How::HELD);
            let cc = self.flags.condition(self.asm, cc);
            wide(self.asm, 4, &[0x0f, 0x90 | cc], 0, at);
            return;
        }
        let cc = self.flags.condition(self.asm, cc);
        self.setcc_cl(cc);
        put(self.asm, 1, s.op.r0, RCX);
    }

    /// SETcc CL.
    fn setcc_cl(&mut self, cc: u8) {
        self.asm.extend(&[0x0f, 0x90 | cc, 0xc1]);
    }

    fn cmov(&mut self, s: &Step, size: u8) {
        let Some(cc) = number(s.ins.condition_code()) else { return };
        let mut rm = self.rm_source(s, size, How::HELD);
        let cc = self.flags.condition(self.asm, cc);
        match home(s.op.r0) {
            Rm::Reg(r) => wide(self.asm, size, &[0x0f, 0x40 | cc], r, rm),
            m => {
                if rm.counts_from(RDX) {
                    load(self.asm, size, RAX, rm);
                    rm = Rm::Reg(RAX);
                }
                load(self.asm, if size == 8 { 8 } else { 4 }, RCX, m);
                wide(self.asm, size, &[0x0f, 0x40 | cc], RCX, rm);
                put(self.asm, size, s.op.r0, RCX);
            }
        }
    }
}
