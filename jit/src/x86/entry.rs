//! The way into compiled code and back, and what compiled code calls.
//!
//! Compiled code runs on the host's stack, where it also keeps where calls return to (see [`super::returns`]), with RBP
//! pointing into a [`Ctx`]. It never touches the run's [`Exec`], but the CPU, memory and TLB entries that the `Exec` has
//! exclusive access to, and only between two calls of [`run_op`] and [`fill_tlb`].

#![allow(unsafe_code, reason = "calling compiled code, and being called by it")]

use super::block::{OpInfo, Shared, exit};
use super::regs::{BIAS, Ctx, Pair, VAIN};
use super::{Mode, flags, lazy, returns, sse, x87};
use dejavm_interp::mem::PAGE_SIZE;
use dejavm_interp::tlb::{Access, Tlb, table_hits};
use dejavm_interp::x86::flags::bit;
use dejavm_interp::x86::op::REG_RIP;
use dejavm_interp::x86::regs::{Shadow, gpr, seg};
use dejavm_interp::x86::{Exec, Flow, Trap};

/// Runs compiled code until it is left. Returns the reason, see [`exit`].
///
/// `code` must be the start of a block that `shared` belongs to, compiled for the mode of `ex.cpu`,
/// and `infos` the table of the instructions that it may hand over. `ctx` knows the mode, the mode's
/// [`Targets`](crate::links::Targets), and the other CPUs' TLBs, which nobody else uses meanwhile.
pub fn enter(shared: &Shared, ctx: &mut Ctx, ex: &mut Exec<'_>, infos: &[OpInfo], code: u64) -> u64 {
    copy(&mut ctx.regs, &ex.cpu.regs);
    ctx.flags = flags::save(ex.cpu.flags.bits());
    ctx.memory = ex.mem.bytes_mut().as_mut_ptr() as u64;
    ctx.infos = infos.as_ptr() as u64;
    ctx.budget = ex.left;
    ctx.run_op = run_op as *const () as u64;
    ctx.level = change_level as *const () as u64;
    ctx.fill = fill_tlb as *const () as u64;
    ctx.vectors = ex.cpu.vectors.as_mut_ptr() as u64;
    ctx.x87_state = std::ptr::from_mut(&mut ex.cpu.x87) as u64;
    (ctx.note, ctx.note_memory) = (x87::NONE, x87::NONE);
    ctx.host_mxcsr = HOST_MXCSR;
    ctx.end = ex.clock.icount.wrapping_add(ex.budget);
    (ctx.warp, ctx.shift, ctx.alone) = (ex.clock.warp, ex.clock.shift, ex.bus.alone());
    // The host's stack goes on about here.
    ctx.lowest = (std::ptr::from_ref(&shared) as u64).wrapping_sub(returns::BYTES);
    refresh(ctx, ex);
    ctx.cpu = std::ptr::from_mut(ex.cpu) as u64;
    ctx.tlb_state = std::ptr::from_mut(ex.tlb) as u64;
    ctx.exec = std::ptr::from_mut(ex) as u64;
    // SAFETY: `shared.enter` is the function that `shared_code` made, in memory that is mapped for
    // as long as its `CodeMemory` lives, which owns `shared` together with the caller. `ctx`, what
    // `ex` refers to, `infos` and the targets outlive the call, and nothing else uses them meanwhile.
    let reason = unsafe {
        let enter: extern "sysv64" fn(*mut u8, u64) -> u64 = std::mem::transmute(shared.enter);
        enter(std::ptr::from_mut(ctx).cast::<u8>().wrapping_offset(BIAS as isize), code)
    };
    lazy::settle(ctx, |n| infos[n].again);
    if reason & 0xff != exit::RAN {
        copy(&mut ex.cpu.regs, &ctx.regs);
        ex.cpu.flags.set_bits(flags::restore(ctx.flags));
        ex.left = ctx.budget;
        ex.cpu.mxcsr = ctx.mxcsr;
        x87::save(ctx, ex, |n| infos[n as usize]);
    }
    reason
}

/// Copies the sixteen registers one by one: they were just stored, or will be loaded, one by one, and the host
/// waits for stores before it loads several of them at once.
fn copy(to: &mut [u64], from: &[u64]) {
    for (to, from) in to.iter_mut().zip(&from[..16]) {
        // SAFETY: these are references.
        unsafe { std::ptr::write_volatile(to, std::ptr::read_volatile(from)) };
    }
}

/// MXCSR as Rust code wants it: all exceptions masked, rounding to nearest.
const HOST_MXCSR: u32 = 0x1f80;

/// What compiled code sees of the CPU beside its registers.
fn refresh(ctx: &mut Ctx, ex: &Exec<'_>) {
    ctx.tlb = ex.tlb.space() as u64;
    ctx.stamp = ex.tlb.stamp();
    ctx.check_recent(ex.tlb.write_drops());
    ctx.fs_base = ex.cpu.seg(seg::FS).base;
    ctx.gs_base = ex.cpu.seg(seg::GS).base;
    ctx.plain = [seg::FS, seg::GS].map(|s| super::plain(ex.cpu.seg(s)));
    ctx.fp = if sse::usable(ex.cpu) { sse::USABLE } else { sse::UNUSABLE };
    ctx.x87 = if x87::usable(ex.cpu) { x87::USABLE } else { x87::UNUSABLE };
    ctx.operand = ex.cpu.x87.dp;
    ctx.mxcsr = ex.cpu.mxcsr;
    ctx.probed = ex.probes.active();
    ctx.limit = if ex.tlb.caches() { ctx.lowest } else { u64::MAX };
}

/// Fills the TLB for compiled code, if that has no other effect. Returns 1 if it did.
extern "sysv64" fn fill_tlb(ctx: *mut Ctx, lin: u64, access: u64) -> u64 {
    // SAFETY: compiled code passes the context that `enter` gave it, which holds the only reference to
    // the run's `Exec` and does not use it meanwhile.
    let (ctx, ex) = unsafe {
        let ctx = &mut *ctx;
        let ex = &mut *(ctx.exec as *mut Exec<'_>);
        (ctx, ex)
    };
    let vain = &mut ctx.vain[access as usize];
    if (VAIN..2 * VAIN).contains(vain) {
        *vain += 1;
        return 0;
    }
    let access = [Access::Read, Access::Write, Access::Fetch][access as usize];
    let filled = ex.fill(lin, access);
    *vain = (*vain).min(VAIN);
    *vain = if filled { vain.saturating_sub(2) } else { VAIN.min(*vain + 1) };
    // A frame may have become a table, whose permissions to write are gone.
    ctx.check_recent(ex.tlb.write_drops());
    filled.into()
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
    let infos = ctx.infos;
    // SAFETY: recipes are numbered in that same table.
    lazy::settle(ctx, |n| unsafe { (*(infos as *const OpInfo).add(n)).again });
    ctx.handed += 1;
    ctx.missed += u64::from(info.compiled);
    // SAFETY: compiled code notes instructions of that same table.
    x87::save(ctx, ex, |n| unsafe { *(infos as *const OpInfo).add(n as usize) });
    copy(&mut ex.cpu.regs, &ctx.regs);
    ex.cpu.mxcsr = ctx.mxcsr;
    ex.cpu.regs[usize::from(REG_RIP)] = info.next;
    ex.left = ctx.budget + info.rest;
    if ex.probes.active() {
        // Code that is compiled has a code segment that begins at 0.
        ex.pc = info.next.wrapping_sub(info.op.len.into());
    }
    if info.flags {
        ex.cpu.flags.set_bits(flags::restore(ctx.flags));
    }
    let result = (info.op.run)(ex, &info.op);
    if ex.attention && result.is_ok() {
        settle(ctx, ex, Some(info.next.wrapping_sub(info.op.len.into())));
    }
    if !ex.attention && stays(ctx, ex, info, result) {
        copy(&mut ctx.regs, &ex.cpu.regs);
        if info.flags {
            ctx.flags = flags::save(ex.cpu.flags.bits());
        }
        ctx.budget = ex.left - info.rest;
        refresh(ctx, ex);
        return 0;
    }
    if !info.flags {
        ex.cpu.flags.set_bits(flags::restore(ctx.flags));
    }
    finish(ctx, ex, info, result)
}

/// What an instruction in the interpreter leads to that compiled code does not go on behind. Registers and flags are in
/// the CPU. Returns a reason.
fn finish(ctx: &mut Ctx, ex: &mut Exec<'_>, info: &OpInfo, result: Result<Flow, Trap>) -> u64 {
    // A fault's handler is entered here, as the driver would do it: that is the step.
    let (result, raised) = match result {
        Err(Trap::Fault { vector, code }) if !ex.probes.listening() => {
            back_to(ex, info);
            (ex.raise(vector, code).map(|()| Flow::Entered), true)
        }
        other => (other, false),
    };
    if ex.attention && result.is_ok() {
        settle(ctx, ex, None);
    }
    if let Ok(flow) = result
        && let Some(mode) = goes_on(ex, flow)
    {
        ctx.set_mode(mode);
        copy(&mut ctx.regs, &ex.cpu.regs);
        ctx.flags = flags::save(ex.cpu.flags.bits());
        ex.left -= 1;
        ctx.budget = ex.left;
        ctx.rip = ex.cpu.rip();
        refresh(ctx, ex);
        return exit::JUMP;
    }
    ctx.result = Some(match result {
        Ok(flow) => {
            ex.left -= 1;
            Ok(flow)
        }
        Err(trap) => {
            if !raised {
                back_to(ex, info);
            }
            Err((trap, Some(info.op)))
        }
    });
    exit::RAN
}

/// [`run_op`] for what changes the privilege level and touches no more than RCX, RSP, R11 and RFLAGS: SYSCALL, SYSRET,
/// IRET. Returns a reason.
extern "sysv64" fn change_level(ctx: *mut Ctx, number: u32) -> u64 {
    const TOUCHED: [usize; 3] = [gpr::RCX as usize, gpr::RSP as usize, 11];
    // SAFETY: as in `run_op`.
    let probed = unsafe { (*ctx).probed };
    let reason = if probed { run_op(ctx, number) } else { 0 };
    // SAFETY: as in `run_op`.
    let (ctx, ex, info) = unsafe {
        let ctx = &mut *ctx;
        let ex = &mut *(ctx.exec as *mut Exec<'_>);
        let info = &*(ctx.infos as *const OpInfo).add(number as usize);
        (ctx, ex, info)
    };
    if probed {
        ctx.rip = if reason == 0 { info.next } else { ctx.rip };
        return if reason == 0 { exit::JUMP } else { reason };
    }
    let infos = ctx.infos;
    // SAFETY: as in `run_op`.
    x87::save(ctx, ex, |n| unsafe { *(infos as *const OpInfo).add(n as usize) });
    TOUCHED.iter().for_each(|&r| ex.cpu.regs[r] = ctx.regs[r]);
    ex.cpu.mxcsr = ctx.mxcsr;
    ex.cpu.regs[usize::from(REG_RIP)] = info.next;
    ex.cpu.flags.set_bits(flags::restore(ctx.flags));
    ex.left = ctx.budget + info.rest;
    let here = ctx.tlb;
    let result = (info.op.run)(ex, &info.op);
    if let Ok(flow) = result
        && !ex.attention
        && let Some(mode) = goes_on(ex, flow)
    {
        TOUCHED.iter().for_each(|&r| ctx.regs[r] = ex.cpu.regs[r]);
        ctx.flags = flags::save(ex.cpu.flags.bits());
        ex.left -= 1;
        ctx.budget = ex.left;
        ctx.rip = ex.cpu.rip();
        ctx.set_mode(mode);
        refresh(ctx, ex);
        if ex.tlb.caches() && ex.cpu.rflags & bit::AC == 0 {
            let (there, index) = (ctx.tlb, ex.tlb.current() as u64);
            let pair = Pair { here, there, index, changes: ex.tlb.changes(), cr4: ex.cpu.cr4 };
            ctx.pairs[usize::from(mode.user)] = pair;
        }
        return exit::JUMP;
    }
    TOUCHED.iter().for_each(|&r| ctx.regs[r] = ex.cpu.regs[r]);
    copy(&mut ex.cpu.regs, &ctx.regs);
    finish(ctx, ex, info, result)
}

/// Does what stores into page tables ask for, if nothing else wants attention. Compiled code at `pc` may only
/// go on if it is still known to be where it was.
fn settle(ctx: &mut Ctx, ex: &mut Exec<'_>, pc: Option<u64>) {
    let more = ex.bus.attention() || ex.probes.listening() || ex.cpu.debug_pending != 0;
    if more || !ex.mem.only_table_hits() {
        return;
    }
    // SAFETY: `enter` was given these TLBs for as long as compiled code runs, which does not use them.
    let others = unsafe { std::slice::from_raw_parts_mut(ctx.tlbs as *mut Tlb, ctx.tlb_count) };
    ex.mem.take_table_hits(&mut ctx.hits);
    table_hits(ex.tlb, others, ex.mem, &ctx.hits);
    ctx.hits.clear();
    let known = |pc: u64| pc.wrapping_sub(ex.tlb.entry(pc, Access::Fetch).tag) < PAGE_SIZE;
    ex.attention = !pc.is_none_or(known);
}

/// RIP is the instruction's again, which did not complete.
fn back_to(ex: &mut Exec<'_>, info: &OpInfo) {
    let rip = &mut ex.cpu.regs[usize::from(REG_RIP)];
    *rip = rip.wrapping_sub(info.op.len.into());
    // The access is made again, and its data breakpoint hit again.
    ex.cpu.debug_pending = 0;
}

/// True when compiled code may go on behind the instruction.
fn stays(ctx: &Ctx, ex: &Exec<'_>, info: &OpInfo, result: Result<Flow, Trap>) -> bool {
    match result {
        Ok(Flow::Next) => {
            !info.leave
                && (!info.loaded.sse || sse::usable(ex.cpu))
                && (!info.loaded.x87 || x87::usable(ex.cpu))
        }
        // Nothing pends, and the code that follows is where it was before: what the instruction
        // changed (the interrupt flag, say) has no effect on it.
        Ok(Flow::Event) => {
            ex.cpu.rip() == info.next
                && ex.tlb.space() as u64 == ctx.tlb
                // The space may have got another key.
                && ex.tlb.stamp() == ctx.stamp
                && super::mode(ex.cpu) == Some(ctx.mode)
                && ex.quiet()
                && !ex.probes.listening()
        }
        _ => false,
    }
}

/// The mode in which compiled code may go on at RIP after an instruction that branched or asked for a look
/// at events: there are none.
fn goes_on(ex: &mut Exec<'_>, flow: Flow) -> Option<Mode> {
    if ex.attention || ex.left <= 1 {
        return None;
    }
    let mode = super::mode(ex.cpu)?;
    let quiet = match flow {
        Flow::Jump | Flow::Again | Flow::Next => true,
        Flow::Event | Flow::Entered => {
            // What STI shadows is one instruction, which now comes whatever happens: it ends the
            // shadow by completing, or by a fault.
            let shadow = ex.cpu.shadow;
            if shadow == Shadow::Sti {
                ex.cpu.shadow = Shadow::None;
            }
            // So does RF without breakpoints: nobody sees it any more.
            let resume = ex.cpu.rflags & bit::RF;
            ex.cpu.rflags &= !bit::RF;
            // Unless there is a breakpoint, where the engine is left before that instruction.
            let seen = (shadow == Shadow::Sti || resume != 0) && ex.probes.breaks_in(ex.cpu.rip(), 1);
            let quiet = ex.quiet() && !ex.probes.listening() && !seen;
            if !quiet {
                ex.cpu.shadow = shadow;
                ex.cpu.rflags |= resume;
            }
            quiet
        }
        Flow::Halt | Flow::Yield => false,
    };
    quiet.then_some(mode)
}
