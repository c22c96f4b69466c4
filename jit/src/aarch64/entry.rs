//! The way into compiled code and back, and the code that all blocks share.
//!
//! Compiled code runs on the host's stack with RBP pointing into a [`Ctx`]. It never touches the
//! run's [`Exec`], but the CPU, memory and TLB entries that the `Exec` has exclusive access to, and only
//! between two calls of [`run_op`].

#![allow(unsafe_code, reason = "calling compiled code, and being called by it")]

use super::block::{OpInfo, Shared, exit};
use super::emit::{Asm, Rm, load, store};
use super::regs::{self, BIAS, Ctx, NO_RECENT, PINNED, SLOTS, SP, host, slot};
use super::{ALIGN, MODES, Mode, flags, mode, simd};
use crate::code::CodeMemory;
use crate::links::{self, Targets};
use dejavm_interp::aarch64::{Exec, Flow, Trap, mmu};
use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};

/// Runs compiled code until it is left. Returns the reason, see [`exit`].
///
/// `code` must be the start of a block that `shared` belongs to, compiled for the mode of `ex.cpu`,
/// and `infos` the table of the instructions that it may hand over.
pub fn enter(
    shared: &Shared,
    ctx: &mut Ctx,
    ex: &mut Exec<'_>,
    infos: &[OpInfo],
    targets: &mut [Targets],
    mode: Mode,
    code: u64,
) -> u64 {
    for (to, from) in ctx.targets.iter_mut().zip(targets).take(MODES) {
        *to = from.address();
    }
    ctx.memory = ex.mem.bytes_mut().as_mut_ptr() as u64;
    ctx.infos = infos.as_ptr() as u64;
    ctx.run_op = run_op as *const () as u64;
    ctx.host_mxcsr = HOST_MXCSR;
    ctx.mxcsr = HOST_MXCSR;
    fill(ctx, ex, mode);
    ctx.cpu = std::ptr::from_mut(ex.cpu) as u64;
    ctx.exec = std::ptr::from_mut(ex) as u64;
    // SAFETY: `shared.enter` is the function that `shared_code` made, in memory that is mapped for
    // as long as its `CodeMemory` lives, which owns `shared` together with the caller. `ctx`, what
    // `ex` refers to, `infos` and the targets outlive the call, and nothing else uses them meanwhile.
    let reason = unsafe {
        let enter: extern "sysv64" fn(*mut u8, u64) -> u64 = std::mem::transmute(shared.enter);
        enter(std::ptr::from_mut(ctx).cast::<u8>().wrapping_offset(BIAS as isize), code)
    };
    if reason & 0xff != exit::RAN {
        spill(ctx, ex);
        ex.left = ctx.budget;
    }
    reason
}

/// MXCSR as Rust code wants it, and as the guest's usual FPCR means it: all exceptions masked, rounding to
/// nearest.
const HOST_MXCSR: u32 = 0x1f80;

/// The context out of the CPU.
fn fill(ctx: &mut Ctx, ex: &Exec<'_>, mode: Mode) {
    ctx.regs[..31].copy_from_slice(&ex.cpu.x[..31]);
    fill_others(ctx, ex, mode);
}

/// All but the general registers.
fn fill_others(ctx: &mut Ctx, ex: &Exec<'_>, mode: Mode) {
    ctx.regs[usize::from(SP)] = ex.cpu.sp();
    ctx.flags = flags::save(ex.cpu.nzcv);
    ctx.tlb = ex.tlb.space() as u64;
    ctx.stamp = ex.tlb.stamp();
    let user_for = (ctx.tlb, ex.tlb.changes());
    if mode.el == 1 && ctx.user_for != user_for {
        ctx.user_for = user_for;
        // Where nothing may be cached, nothing of EL0's may be used.
        let none = ex.tlb.space_at(None);
        let space = if ex.tlb.space() == none { None } else { ex.tlb.find(&mmu::key(ex.cpu, true)) };
        ctx.user_tlb = ex.tlb.space_at(space) as u64;
    }
    let level = usize::from(mode.el);
    if let Some(found_for) = ctx.recent_for.get_mut(level) {
        let now = (ctx.stamp, ex.tlb.write_drops(), ctx.memory);
        if *found_for != now {
            *found_for = now;
            ctx.recent[level] = [[NO_RECENT; SLOTS]; 2];
        }
    }
    ctx.mode = super::index(mode) as u8;
    ctx.jumps = ctx.targets[super::index(mode)];
    ctx.fp = simd::usable(ex);
    ctx.budget = ex.left;
}

/// The CPU out of the context.
fn spill(ctx: &mut Ctx, ex: &mut Exec<'_>) {
    ex.cpu.x[..31].copy_from_slice(&ctx.regs[..31]);
    spill_others(ctx, ex);
}

/// All but the general registers.
fn spill_others(ctx: &mut Ctx, ex: &mut Exec<'_>) {
    ex.cpu.set_sp(ctx.regs[usize::from(SP)]);
    ex.cpu.nzcv = flags::restore(ctx.flags);
    ex.cpu.fpsr |= simd::flags(ctx.mxcsr);
    ctx.mxcsr = HOST_MXCSR;
}

/// Runs an instruction in the interpreter, for compiled code. Returns 0 if that goes on behind it;
/// else the step is done and [`Ctx::result`] tells how.
extern "sysv64" fn run_op(ctx: *mut Ctx, info: u32) -> u64 {
    // SAFETY: compiled code passes the context that `enter` gave it, and a number from the table
    // that belongs to it. `enter` holds the only references and does not use them meanwhile.
    let (ctx, ex, info) = unsafe {
        let ctx = &mut *ctx;
        let ex = &mut *(ctx.exec as *mut Exec<'_>);
        let info = &*(ctx.infos as *const OpInfo).add(info as usize);
        (ctx, ex, info)
    };
    ctx.handed += 1;
    spill_others(ctx, ex);
    if !info.apart {
        ex.cpu.x[..31].copy_from_slice(&ctx.regs[..31]);
    }
    ex.cpu.pc = info.pc;
    ex.left = ctx.budget + info.rest;
    if ex.probes.active() {
        ex.pc = info.pc;
    }
    let result = (info.op.run)(ex, &info.op);
    if result == Ok(Flow::Next) {
        ex.cpu.pc = info.pc.wrapping_add(4);
    }
    if !ex.attention && stays(ctx, ex, info, result) {
        ex.left -= info.rest;
        let mode = super::by_index(ctx.mode.into());
        back(ctx, ex, info, mode);
        return 0;
    }
    // A fault's handler is entered here, as the driver would do it: that is the step.
    let result = match result {
        Err(Trap::Exception { class, iss, far }) if !ex.probes.listening() => {
            ex.raise(class, iss, far, info.pc);
            Ok(Flow::Entered)
        }
        other => other,
    };
    if let Ok(flow) = result {
        ex.left -= 1;
        if let Some(mode) = goes_on(ex, flow) {
            back(ctx, ex, info, mode);
            ctx.pc = ex.cpu.pc;
            return exit::JUMP;
        }
    }
    if info.apart {
        ex.cpu.x[..31].copy_from_slice(&ctx.regs[..31]);
    }
    ctx.result = Some(result.map_err(|trap| (trap, Some(info.op))));
    exit::RAN
}

/// The context out of the CPU, after an instruction of the interpreter.
fn back(ctx: &mut Ctx, ex: &Exec<'_>, info: &OpInfo, mode: Mode) {
    if info.apart {
        fill_others(ctx, ex, mode);
    } else {
        fill(ctx, ex, mode);
    }
}

/// True when compiled code may go on behind the instruction.
fn stays(ctx: &Ctx, ex: &Exec<'_>, info: &OpInfo, result: Result<Flow, Trap>) -> bool {
    match result {
        Ok(Flow::Next) => info.fp != simd::LOADED || simd::usable(ex) == simd::USABLE,
        // Nothing pends, and the code that follows is where it was before: what the instruction
        // changed (the interrupt mask, say) has no effect on it.
        Ok(Flow::Event) => {
            ex.cpu.pc == info.pc.wrapping_add(4)
                && ex.tlb.space() as u64 == ctx.tlb
                // The space may have got another key.
                && ex.tlb.stamp() == ctx.stamp
                && mode(ex.cpu).is_some_and(|m| super::index(m) == usize::from(ctx.mode))
                && ex.quiet()
                && !ex.probes.listening()
        }
        _ => false,
    }
}

/// The mode in which compiled code may go on at PC after an instruction that branched, entered a handler or
/// asked for a look at events: there are none.
fn goes_on(ex: &Exec<'_>, flow: Flow) -> Option<Mode> {
    let quiet = match flow {
        Flow::Jump | Flow::Again | Flow::Next => true,
        Flow::Event | Flow::Entered => ex.quiet() && !ex.probes.listening(),
        Flow::Halt | Flow::Yield => false,
    };
    mode(ex.cpu).filter(|_| quiet && !ex.attention && ex.left > 0)
}

/// Puts the code that all blocks share into `memory`. `None` when it does not fit.
pub fn shared_code(memory: &mut CodeMemory) -> Option<Shared> {
    let base = memory.next();
    let mut asm = Asm::new(base);
    let mut shared = Shared::default();
    let at = |asm: &Asm| base + asm.offset().0;

    shared.enter = at(&asm);
    dynasm!(asm
        ; .arch x64
        ; push rbp
        ; push rbx
        ; push r12
        ; push r13
        ; push r14
        ; push r15
        ; sub rsp, 8
        ; mov rbp, rdi
        ; mov rax, rsi
    );
    load_pinned(&mut asm);
    dynasm!(asm ; .arch x64 ; jmp rax);

    shared.exit = at(&asm);
    store_pinned(&mut asm);
    let leave = asm.new_dynamic_label();
    dynasm!(asm
        ; .arch x64
        ; =>leave
        ; add rsp, 8
        ; pop r15
        ; pop r14
        ; pop r13
        ; pop r12
        ; pop rbx
        ; pop rbp
        ; ret
    );

    shared.renew = at(&asm);
    links::renew(&mut asm, regs::TLB, regs::STAMP);

    shared.run_op = at(&asm);
    store_pinned(&mut asm);
    let left = asm.new_dynamic_label();
    dynasm!(asm
        ; .arch x64
        ; lea rdi, [rbp - BIAS]
        ; mov esi, eax
        ; sub rsp, 8
        ; call QWORD [rbp + regs::RUN_OP]
        ; add rsp, 8
        ; test eax, eax
        ; jnz =>left
    );
    load_pinned(&mut asm);
    let jump = asm.new_dynamic_label();
    dynasm!(asm
        ; .arch x64
        ; ret
        ; =>left
        ; add rsp, 8
        ; cmp eax, exit::JUMP as i32
        ; jne =>leave
    );
    load_pinned(&mut asm);
    dynasm!(asm ; .arch x64 ; mov rax, [rbp + regs::PC] ; jmp =>jump);

    shared.indirect = at(&asm);
    let miss = asm.new_dynamic_label();
    let (other, found) = (asm.new_dynamic_label(), asm.new_dynamic_label());
    dynasm!(asm ; .arch x64 ; =>jump ; mov [rbp + regs::PC], rax);
    links::look_up_stamped(&mut asm, regs::JUMPS, regs::STAMP, ALIGN, miss, other);
    dynasm!(asm ; .arch x64 ; =>found ; jmp QWORD [rdx + links::CODE] ; =>other);
    let distance = shared.renew as i64 - (at(&asm) as i64 + 5);
    asm.push(0xe8);
    asm.push_i32(distance as i32);
    dynasm!(asm
        ; .arch x64
        ; jz =>found
        ; =>miss
        ; mov eax, exit::JUMP as i32
    );
    let distance = shared.exit as i64 - (at(&asm) as i64 + 5);
    asm.push(0xe9);
    asm.push_i32(distance as i32);

    shared.load_fp = at(&asm);
    let fail = asm.new_dynamic_label();
    dynasm!(asm
        ; .arch x64
        ; cmp BYTE [rbp + regs::FP], simd::USABLE as i8
        ; jne =>fail
        ; ldmxcsr [rbp + regs::MXCSR]
        ; mov BYTE [rbp + regs::FP], simd::LOADED as i8
        ; =>fail
        ; ret
    );
    memory.add(&asm.finalize().ok()?)?;
    Some(shared)
}

/// Pinned registers and budget into the context, MXCSR back to the host's.
fn store_pinned(asm: &mut Asm) {
    for (guest, reg) in PINNED {
        store(asm, 8, Rm::Mem(host::RBP, slot(guest)), reg);
    }
    let over = asm.new_dynamic_label();
    dynasm!(asm
        ; .arch x64
        ; mov [rbp + regs::BUDGET], r15
        ; cmp BYTE [rbp + regs::FP], simd::LOADED as i8
        ; jne =>over
        ; stmxcsr [rbp + regs::MXCSR]
        ; ldmxcsr [rbp + regs::HOST_MXCSR]
        ; mov BYTE [rbp + regs::FP], simd::USABLE as i8
        ; =>over
    );
}

/// Pinned registers and budget out of the context.
fn load_pinned(asm: &mut Asm) {
    for (guest, reg) in PINNED {
        load(asm, 8, reg, Rm::Mem(host::RBP, slot(guest)));
    }
    dynasm!(asm ; .arch x64 ; mov r15, [rbp + regs::BUDGET]);
}
