//! The code that all blocks share: into compiled code and out of it, to the interpreter and back, the slow ways to a
//! translation.

use super::block::{Shared, exit};
use super::emit::{Asm, Rm, load, store};
use super::mem::{DELTA, ENTRY, OFFSET, PAGE, TAG, table};
use super::regs::{self, BIAS, PINNED, host, slot};
use super::{level, links, returns, sse, x87};
use crate::code::CodeMemory;
use dejavm_interp::mem::PAGE_SIZE;
use dejavm_interp::tlb::{Access, WAYS};
use dejavm_interp::x86::regs::Vector;
use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};

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
        ; sub rsp, returns::BOTTOM
        ; mov rbp, rdi
        ; mov rax, rsi
        ; mov [rbp + regs::STACK], rsp
        ; mov QWORD [rsp + returns::STAMP], 0
    );
    fill(&mut asm);
    dynasm!(asm ; .arch x64 ; jmp rax);

    shared.exit = at(&asm);
    spill(&mut asm);
    let leave = asm.new_dynamic_label();
    dynasm!(asm
        ; .arch x64
        ; =>leave
        ; mov rsp, [rbp + regs::STACK]
        ; add rsp, returns::BOTTOM
        ; pop r15
        ; pop r14
        ; pop r13
        ; pop r12
        ; pop rbx
        ; pop rbp
        ; ret
    );

    shared.renew = at(&asm);
    renew(&mut asm);

    shared.run_op = at(&asm);
    spill(&mut asm);
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
    fill(&mut asm);
    let jump = asm.new_dynamic_label();
    dynasm!(asm
        ; .arch x64
        ; ret
        ; =>left
        ; cmp eax, exit::JUMP as i32
        ; jne =>leave
    );
    let entered = asm.new_dynamic_label();
    // The mode may be another one, which the stack of returns does not tell.
    dynasm!(asm ; .arch x64 ; =>entered ; mov rsp, [rbp + regs::STACK]);
    fill(&mut asm);
    dynasm!(asm ; .arch x64 ; mov rax, [rbp + regs::RIP] ; jmp =>jump);

    let slow = asm.new_dynamic_label();
    shared.level = at(&asm);
    dynasm!(asm ; .arch x64 ; =>slow);
    spill(&mut asm);
    dynasm!(asm
        ; .arch x64
        ; lea rdi, [rbp - BIAS]
        ; mov esi, eax
        ; call QWORD [rbp + regs::LEVEL]
        ; cmp eax, exit::JUMP as i32
        ; je =>entered
        ; jmp =>leave
    );

    shared.syscall = at(&asm);
    level::change(&mut asm, level::Way::In, slow, jump);
    shared.sysret = at(&asm);
    level::change(&mut asm, level::Way::Out, slow, jump);

    shared.indirect = at(&asm);
    let miss = asm.new_dynamic_label();
    dynasm!(asm ; .arch x64 ; =>jump ; mov [rbp + regs::RIP], rax);
    let (other, found) = (asm.new_dynamic_label(), asm.new_dynamic_label());
    links::look_up(&mut asm, miss, other);
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
    shared.load_sse = at(&asm);
    let fail = asm.new_dynamic_label();
    dynasm!(asm
        ; .arch x64
        ; cmp BYTE [rbp + regs::FP], sse::USABLE as i8
        ; jne =>fail
        ; ldmxcsr [rbp + regs::MXCSR]
        ; mov rax, [rbp + regs::VECTORS]
    );
    for i in 0..16u8 {
        dynasm!(asm ; .arch x64 ; movaps Rx(i), [rax + i32::from(i) * VECTOR]);
    }
    dynasm!(asm ; .arch x64 ; mov BYTE [rbp + regs::FP], sse::LOADED as i8 ; xor eax, eax ; =>fail ; ret);

    shared.load_x87 = at(&asm);
    load_x87(&mut asm);
    shared.miss_read = at(&asm);
    translate_miss(&mut asm, Access::Read);
    shared.miss_write = at(&asm);
    translate_miss(&mut asm, Access::Write);
    memory.add(&asm.finalize().ok()?)?;
    Some(shared)
}

/// See [`Shared::miss_read`].
fn translate_miss(asm: &mut Asm, access: Access) {
    let table = table(access);
    let [retry, walk] = std::array::from_fn(|_| asm.new_dynamic_label());
    dynasm!(asm
        ; .arch x64
        ; push rbx
        ; =>retry
        ; mov ebx, eax
        ; shr ebx, 8
        ; and ebx, ((WAYS - 1) * ENTRY) as i32
        ; add rbx, [rbp + regs::TLB]
        ; sub rax, [rbx + table + TAG]
        ; cmp rax, rdx
        ; ja =>walk
        ; mov rdx, [rbx + table + OFFSET]
        ; add rdx, [rbp + regs::MEMORY]
        ; mov rbx, [rbx + table + TAG]
        ; add rax, rdx
        ; sub rdx, rbx
        ; mov [rbp + rcx + PAGE], rbx
        ; mov [rbp + rcx + DELTA], rdx
        ; sub ecx, regs::RECENT
        ; shr ecx, regs::RECENT_GROUP_SHIFT
        ; mov BYTE [rbp + rcx + regs::RECENT_USED], 1
        ; mov rdx, rax
        ; pop rbx
        ; xor eax, eax
        ; ret
        ; =>walk
        ; add rax, [rbx + table + TAG]
        ; push rcx
        ; push rdx
        ; push rax
        ; push rax
    );
    call_fill(asm, 0, access);
    dynasm!(asm
        ; .arch x64
        ; test eax, eax
        ; pop rax
        ; pop rax
        ; pop rdx
        ; pop rcx
        ; jnz =>retry
        ; pop rbx
        ; or eax, 1
        ; ret
    );
}

/// Calls `fill_tlb` for the linear address that lies `at` above RSP. EAX = its answer. Clobbers RCX, RDX and
/// EFLAGS.
fn call_fill(asm: &mut Asm, at: i32, access: Access) {
    let clobbered =
        PINNED.into_iter().filter(|(_, r)| matches!(*r, host::RSI | host::RDI | host::R8..=host::R11));
    for (guest, reg) in clobbered.clone() {
        store(asm, 8, Rm::Mem(host::RBP, slot(guest)), reg);
    }
    xmm_if_loaded(asm, |asm, i| dynasm!(asm ; .arch x64 ; movaps [rcx + i32::from(i) * VECTOR], Rx(i)));
    dynasm!(asm
        ; .arch x64
        ; lea rdi, [rbp - BIAS]
        ; mov rsi, [rsp + at]
        ; mov edx, access as i32
        ; call QWORD [rbp + regs::FILL]
    );
    for (guest, reg) in clobbered {
        load(asm, 8, reg, Rm::Mem(host::RBP, slot(guest)));
    }
    xmm_if_loaded(asm, |asm, i| dynasm!(asm ; .arch x64 ; movaps Rx(i), [rcx + i32::from(i) * VECTOR]));
}

/// As [`crate::links::renew`], with a walk through the page tables where the TLB does not tell.
fn renew(asm: &mut Asm) {
    let fetch = table(Access::Fetch);
    let [retry, walk, fail] = std::array::from_fn(|_| asm.new_dynamic_label());
    dynasm!(asm
        ; .arch x64
        ; push rdx
        ; push rax
        ; push rax
        ; =>retry
    );
    crate::links::fetch_way(asm);
    dynasm!(asm
        ; .arch x64
        ; add rcx, [rbp + regs::TLB]
        ; and rax, -(PAGE_SIZE as i32)
        ; cmp [rcx + fetch + TAG], rax
        ; jne =>walk
        ; mov rax, [rdx + links::PAGE]
        ; cmp [rcx + fetch + OFFSET], rax
        ; jne =>fail
        ; mov rcx, [rbp + regs::STAMP]
        ; mov [rdx + links::STAMP], rcx
        ; xor eax, eax
        ; =>fail
        ; lea rsp, [rsp + 24]
        ; ret
        ; =>walk
    );
    call_fill(asm, 0, Access::Fetch);
    dynasm!(asm
        ; .arch x64
        ; mov rdx, [rsp + 16]
        ; xor ecx, ecx
        ; cmp ecx, eax
        ; mov rax, [rsp]
        ; jne =>retry
        ; dec ecx
        ; jmp =>fail
    );
}

/// Moves the XMM registers if the guest's are in them. RCX = the guest's place. Clobbers EFLAGS.
fn xmm_if_loaded(asm: &mut Asm, each: impl Fn(&mut Asm, u8)) {
    let over = asm.new_dynamic_label();
    dynasm!(asm
        ; .arch x64
        ; cmp BYTE [rbp + regs::FP], sse::LOADED as i8
        ; jne =>over
        ; mov rcx, [rbp + regs::VECTORS]
    );
    (0..16).for_each(|i| each(asm, i));
    dynasm!(asm ; .arch x64 ; =>over);
}

/// Bytes from one vector register of the guest to the next.
const VECTOR: i32 = size_of::<Vector>() as i32;

/// Pinned registers and budget into the context, XMM registers and MXCSR back to the guest's.
fn spill(asm: &mut Asm) {
    for (guest, reg) in PINNED {
        store(asm, 8, Rm::Mem(host::RBP, slot(guest)), reg);
    }
    let over = asm.new_dynamic_label();
    dynasm!(asm
        ; .arch x64
        ; mov [rbp + regs::BUDGET], r15
        ; cmp BYTE [rbp + regs::FP], sse::LOADED as i8
        ; jne =>over
        ; mov rcx, [rbp + regs::VECTORS]
    );
    for i in 0..16u8 {
        dynasm!(asm ; .arch x64 ; movaps [rcx + i32::from(i) * VECTOR], Rx(i));
    }
    dynasm!(asm
        ; .arch x64
        ; stmxcsr [rbp + regs::MXCSR]
        ; ldmxcsr [rbp + regs::HOST_MXCSR]
        ; mov BYTE [rbp + regs::FP], sse::USABLE as i8
        ; =>over
    );
    let over = asm.new_dynamic_label();
    // RAX is the caller's.
    dynasm!(asm
        ; .arch x64
        ; cmp BYTE [rbp + regs::X87], x87::LOADED as i8
        ; jne =>over
        ; mov rcx, rax
        ; mov eax, x87::COMPONENT
        ; xor edx, edx
        ; xsave [rbp + regs::IMAGE]
        ; fninit
        ; mov rax, rcx
        ; mov BYTE [rbp + regs::X87], x87::SAVED as i8
        ; =>over
    );
}

/// The x87 state out of the CPU into the host's: sets ZF if it could.
fn load_x87(asm: &mut Asm) {
    use x87::{guest, image};
    let fail = asm.new_dynamic_label();
    dynasm!(asm
        ; .arch x64
        ; cmp BYTE [rbp + regs::X87], x87::USABLE as i8
        ; jne =>fail
        ; mov rdx, [rbp + regs::X87_STATE]
        ; movzx eax, WORD [rdx + guest::CONTROL]
        ; movzx ecx, WORD [rdx + guest::STATUS]
        ; mov [rbp + regs::IMAGE + image::FCW], ax
        ; mov [rbp + regs::IMAGE + image::FSW], cx
        ; movzx eax, BYTE [rdx + guest::USED]
        ; mov [rbp + regs::IMAGE + image::FTW], eax
        ; xor eax, eax
        ; mov [rbp + regs::IMAGE + image::FIP], rax
        ; mov [rbp + regs::IMAGE + image::FDP], rax
        ; mov [rbp + regs::IMAGE + image::XCOMP_BV], rax
        ; mov QWORD [rbp + regs::IMAGE + image::XSTATE_BV], x87::COMPONENT
        ; shr ecx, 11
        ; and ecx, 7
    );
    for i in 0..8 {
        let st = regs::IMAGE + image::ST + 16 * i;
        dynasm!(asm
            ; .arch x64
            ; mov rax, [rdx + rcx * 8 + guest::MANTISSA]
            ; mov [rbp + st], rax
            ; movzx eax, WORD [rdx + rcx * 2 + guest::SIGN_EXP]
            ; mov [rbp + st + 8], rax
            ; inc ecx
            ; and ecx, 7
        );
    }
    dynasm!(asm
        ; .arch x64
        ; mov eax, x87::COMPONENT
        ; xor edx, edx
        ; xrstor [rbp + regs::IMAGE]
        ; mov BYTE [rbp + regs::X87], x87::LOADED as i8
        ; xor eax, eax
        ; =>fail
        ; ret
    );
}

/// Pinned registers and budget out of the context.
fn fill(asm: &mut Asm) {
    for (guest, reg) in PINNED {
        load(asm, 8, reg, Rm::Mem(host::RBP, slot(guest)));
    }
    dynasm!(asm ; .arch x64 ; mov r15, [rbp + regs::BUDGET]);
}
