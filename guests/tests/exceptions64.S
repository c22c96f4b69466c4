# Exceptions in 64-bit mode: invalid opcodes, canonical addresses, control
# registers and MSRs, gates, stack alignment and IST, ring 3, SYSCALL and SYSRET
# (Intel SDM volume 3, section 6.14, and volume 2).

        .include "common32.inc"
        .include "long.inc"

        .set USER_CODE64, FREE + 3              # SYSRET wants data below code
        .set SMALL, FREE + 16

        .macro  in_user label, flags=2
        movl    $\label, %eax
        movl    $(\flags), %edx
        jmp     enter_user
        .endm

        .macro  got register, want, name
        cmpl    $\want, got_\register\()(%rip)
        check64 "\name"
        .endm

test:
        movl    $0x80000001, %eax
        cpuid
        btl     $29, %edx
        jc      1f
        puts    "SKIP: no long mode\n"
        ret
1:      descriptor USER_CODE64, 0xFFFFF, 0xFA, 0xA
        descriptor SMALL, 15, 0x92, 0x4
        movl    $directory + 7, pdpt
        movl    $pdpt + 7, top
        movl    $0x87, directory
        movl    $0x200087, directory + 8
        movl    $top, %eax
        call    enter_long
        movl    $0xC0000080, %ecx               # EFER.NXE off: no I/D in error codes
        rdmsr
        andl    $~0x800, %eax
        wrmsr
        to_64

        # ---- divide, traps ----
        try64
        xorl    %ecx, %ecx
1:      divq    %rcx
        caught64 "#DE: 64-bit DIV", DE, NONE, 1b
        try64
        movq    $0x8000000000000000, %rax
        cqto
        movq    $-1, %rcx
1:      idivq   %rcx
        caught64 "#DE: 64-bit IDIV overflow", DE, NONE, 1b
        try64
        int3
1:      nop
        caught64 "#BP: RIP behind", BP, NONE, 1b
        try64
        .byte   0xF1
1:      nop
        caught64 "#DB: INT1, RIP behind", DB, NONE, 1b
        try64
        pushq   $0x102
        popfq
        nop
1:      nop
        caught64 "#DB: single step", DB, NONE, 1b

        # ---- opcodes that 64-bit mode has not ----
        .irp    opcode, 0x06, 0x07, 0x0E, 0x16, 0x17, 0x1E, 0x1F, 0x27, 0x2F, 0x37, 0x3F, 0x60, 0x61, 0x82, 0x9A, 0xCE, 0xD4, 0xD5, 0xD6, 0xEA
        try64
1:      .byte   \opcode, 0xC0, 0, 0, 0, 0, 0, 0
        caught64 "#UD: opcode \opcode", UD, NONE, 1b
        .endr
        try64
1:      ud2
        caught64 "#UD: UD2", UD, NONE, 1b
        try64
1:      .byte   0xF0, 0x48, 0x89, 0xC0
        caught64 "#UD: LOCK MOV", UD, NONE, 1b
        try64
1:      .byte   0x44, 0x0F, 0x20, 0xC8          # MOV RAX, CR9
        caught64 "#UD: CR9", UD, NONE, 1b

        # ---- canonical addresses ----
        try64
        movq    $0x8000000000000000, %rax
1:      movq    (%rax), %rcx
        caught64 "#GP: a load", GP, 0, 1b
        try64
        movq    $0x8000000000000000, %rbp
1:      movq    8(%rbp), %rcx
        caught64 "#SS: a load by RBP", SS, 0, 1b
        movl    $0xC0000100, %ecx               # FS base
        xorl    %eax, %eax
        movl    $0x80000000, %edx
        try64
1:      wrmsr
        caught64 "#GP: WRMSR of an FS base", GP, 0, 1b
        pushq   $DATA32
        movl    $stack_top - 256, %eax
        pushq   %rax
        pushq   $2
        pushq   $CODE64
        movq    $0x0000800000000000, %rax
        pushq   %rax
        try64
1:      iretq
        caught64 "#GP: IRET to an address that is not canonical", GP, 0, 1b
        addq    $40, %rsp

        # ---- control registers and MSRs ----
        cmpl    $0, on_qemu(%rip)
        jne     2f
        try64
        movq    %cr4, %rax
        andq    $~0x20, %rax
1:      movq    %rax, %cr4
        caught64 "#GP: CR4.PAE cleared", GP, 0, 1b
        try64
        movq    %cr0, %rax
        btsq    $32, %rax
1:      movq    %rax, %cr0
        caught64 "#GP: a reserved bit of CR0", GP, 0, 1b
        try64
        movl    $16, %eax
1:      movq    %rax, %cr8
        caught64 "#GP: a reserved bit of CR8", GP, 0, 1b
        try64
        movl    $0xC0000080, %ecx
        rdmsr
        orl     $2, %eax
1:      wrmsr
        caught64 "#GP: a reserved bit of EFER", GP, 0, 1b
        try64
        movl    $0xC0000080, %ecx
        rdmsr
        andl    $~0x100, %eax
1:      wrmsr
        caught64 "#GP: EFER.LME cleared while paging", GP, 0, 1b
2:      try64
        movq    %cr0, %rax
        andl    $0x7FFFFFFF, %eax
        cmpl    $0, on_qemu(%rip)
        jne     2f
1:      movq    %rax, %cr0
        caught64 "#GP: CR0.PG cleared in 64-bit mode", GP, 0, 1b
2:      movq    %cr0, %rax
        orl     $8, %eax
        movq    %rax, %cr0
        try64
1:      fld1
        caught64 "#NM: CR0.TS", NM, NONE, 1b
        try64
1:      movq    %mm0, %rax
        caught64 "#NM: MMX with CR0.TS", NM, NONE, 1b
        clts
        movq    %cr4, %rax
        andl    $~0x200, %eax
        movq    %rax, %cr4
        try64
1:      addps   %xmm0, %xmm0
        caught64 "#UD: SSE without CR4.OSFXSR", UD, NONE, 1b
        movq    %cr4, %rax
        orl     $0x600, %eax
        movq    %rax, %cr4
        try64
        xorps   %xmm0, %xmm0
1:      movaps  odd(%rip), %xmm0
        caught64 "#GP: MOVAPS not aligned", GP, 0, 1b

        # ---- segments ----
        try64
        movl    $0x1000, %eax
1:      movl    %eax, %fs
        caught64 "#GP: FS beyond the GDT", GP, 0x1000, 1b
        try64
        movl    $SMALL, %eax
        movl    %eax, %ds
        movl    %ds:16, %eax
        xorl    %eax, %eax
        movl    %eax, %ds
        movl    %ds:top(%rip), %eax
        movl    %eax, %ss:top(%rip)
        movl    $DATA32, %eax
        movl    %eax, %ds
        caught64 "no limit, no null in 64-bit mode", NONE, ANY, ANY
        try64
        xorl    %eax, %eax
        movl    %eax, %ss
        movl    $DATA32, %eax
        movl    %eax, %ss
        caught64 "SS null passes in ring 0", NONE, ANY, ANY

        # ---- gates ----
        try64
1:      int     $0x50
        caught64 "#GP: INT beyond the IDT", GP, 0x50*8+2, 1b
        movb    $0x0E, idt64+16*0x31+5(%rip)
        try64
1:      int     $0x31
        caught64 "#NP: an absent gate", NP, 0x31*8+2, 1b
        movb    $0x85, idt64+16*0x31+5(%rip)
        try64
1:      int     $0x31
        caught64 "#GP: a task gate", GP, 0x31*8+2, 1b
        movb    $0x8E, idt64+16*0x31+5(%rip)
        movw    $CODE32, idt64+16*0x31+2(%rip)
        try64
1:      int     $0x31
        caught64 "#GP: a gate to 32-bit code", GP, CODE32, 1b
        movw    $CODE64, idt64+16*0x31+2(%rip)
        movl    $0x8000, idt64+16*0x31+8(%rip)
        try64
1:      int     $0x31
        caught64 "#GP: a gate to an address that is not canonical", GP, 0, 1b
        movl    $0, idt64+16*0x31+8(%rip)
        try64
        int     $0x31
1:      nop
        caught64 "INT n: RIP behind", 0x31, NONE, 1b
        movb    $0x0E, idt64+16*GP+5(%rip)
        try64
        movl    $0x1000, %eax
1:      movl    %eax, %fs
        caught64 "#DF: #NP in the delivery of #GP", DF, 0, 1b
        movb    $0x8E, idt64+16*GP+5(%rip)
        movb    $0, idt64+16*PF+5(%rip)
        try64
1:      movl    0x1000000, %eax
        caught64 "#DF: #NP in the delivery of #PF", DF, 0, 1b
        movb    $0x8E, idt64+16*PF+5(%rip)

        # ---- the frame ----
        movq    %rsp, saved_rsp(%rip)
        andq    $~15, %rsp
        subq    $11, %rsp
        try64
1:      ud2
        caught64 "#UD: with a stack that is not aligned", UD, NONE, 1b
        got     size, 40, "the frame is 40 bytes below a multiple of 16"
        movq    resume_rsp(%rip), %rax
        cmpq    %rax, got_rsp_64(%rip)
        check64 "RSP saved as it was"
        movq    saved_rsp(%rip), %rsp
        got     ss, DATA32, "SS is pushed without a change of ring"
        movb    $1, idt64+16*UD+4(%rip)
        movl    $ist_stack_top, tss64+0x24(%rip)
        movl    $ist_stack_top, ist_top(%rip)
        try64
1:      ud2
        caught64 "#UD: by IST 1", UD, NONE, 1b
        got     size, 40, "IST: the frame is at its top"
        movb    $0, idt64+16*UD+4(%rip)
        movl    $0, ist_top(%rip)

        # ---- ring 3 ----
        try64
        in_user user_hlt
        caught64 "ring 3 #GP: HLT", GP, 0, user_hlt
        got     cs, USER_CODE64, "ring 3: CS saved"
        got     ss, USER_DATA, "ring 3: SS saved"
        got     esp, user_stack_top, "ring 3: RSP saved"
        got     size, 48, "ring 3: frame at RSP0"
        try64
        in_user user_cli
        caught64 "ring 3 #GP: CLI", GP, 0, user_cli
        try64
        in_user user_in
        caught64 "ring 3 #GP: IN, no bitmap", GP, 0, user_in
        try64
        in_user user_int
        caught64 "ring 3 #GP: a DPL 0 gate", GP, 0x32*8+2, user_int
        try64
        in_user user_read
        caught64 "ring 3 #PF", PF, 4, user_read
        try64
        in_user user_null_ss
        caught64 "ring 3 #GP: SS null", GP, 0, user_null_ss+2
        try64
        in_user user_swapgs
        caught64 "ring 3 #GP: SWAPGS", GP, 0, user_swapgs
        movq    %cr0, %rax
        btsq    $18, %rax                       # AM
        movq    %rax, %cr0
        try64
        in_user user_odd, 0x40002
        caught64 "ring 3 #AC: EFLAGS.AC, CR0.AM", AC, 0, user_odd
        try64
        in_user user_odd
        caught64 "ring 3: without EFLAGS.AC it passes", UD, NONE, user_ud

        # ---- SYSCALL, SYSRET ----
        try64
        in_user user_syscall
        caught64 "#UD: SYSCALL without EFER.SCE", UD, NONE, user_syscall
        movl    $0xC0000080, %ecx
        rdmsr
        orl     $1, %eax
        wrmsr
        movl    $0xC0000081, %ecx               # STAR
        xorl    %eax, %eax
        movl    $(CODE64 | (USER_DATA-8) << 16), %edx
        wrmsr
        movl    $0xC0000082, %ecx               # LSTAR
        movl    $system_call, %eax
        xorl    %edx, %edx
        wrmsr
        movl    $0xC0000084, %ecx               # FMASK: DF and CF
        movl    $0x401, %eax
        wrmsr
        try64
        in_user user_syscall, 0x403
        caught64 "SYSCALL and SYSRET", UD, NONE, user_syscall_end
        got     cs, ((USER_DATA-8+16)|3), "SYSRET: CS"
        got     ss, USER_DATA, "SYSRET: SS"
        movl    got_eflags(%rip), %eax
        andl    $0x401, %eax
        cmpl    $0x401, %eax
        check64 "SYSRET: RFLAGS from R11"
        movl    $user_syscall_end, %eax
        cmpq    %rax, saved_rcx(%rip)
        check64 "SYSCALL: RCX"
        cmpl    $CODE64, saved_cs(%rip)
        check64 "SYSCALL: CS"
        movq    saved_flags(%rip), %rax
        andl    $0x401, %eax
        check64 "SYSCALL: FMASK applied"
        movq    saved_r11(%rip), %rax
        andl    $0x401, %eax
        cmpl    $0x401, %eax
        check64 "SYSCALL: R11"

        # ---- SWAPGS ----
        movl    $0xC0000101, %ecx
        movl    $0x1111, %eax
        xorl    %edx, %edx
        wrmsr
        movl    $0xC0000102, %ecx
        movl    $0x2222, %eax
        wrmsr
        swapgs
        rdmsr
        movl    %eax, %ebx
        movl    $0xC0000101, %ecx
        rdmsr
        shll    $16, %eax
        orl     %ebx, %eax
        cmpl    $0x22221111, %eax
        check64 "SWAPGS"
        to_32
        ret
        .code64

enter_user:
        pushq   $USER_DATA
        movl    $user_stack_top, %ecx
        pushq   %rcx
        pushq   %rdx
        pushq   $USER_CODE64
        pushq   %rax
        iretq

system_call:
        movq    %rcx, saved_rcx(%rip)
        movq    %r11, saved_r11(%rip)
        movl    %cs, %eax
        movl    %eax, saved_cs(%rip)
        movl    %esp, %ebx
        movl    $inner_stack_top, %esp
        pushfq
        popq    saved_flags(%rip)
        movl    %ebx, %esp
        sysretq

user_hlt:
        hlt
user_cli:
        cli
user_in:
        inb     $0x80, %al
user_int:
        int     $0x32
user_read:
        movl    0x1000000, %eax
user_null_ss:
        xorl    %eax, %eax
        movl    %eax, %ss
user_swapgs:
        swapgs
user_odd:
        movl    odd(%rip), %eax
user_ud:
        ud2
user_syscall:
        syscall
user_syscall_end:
        ud2

        .code32
        .section .data
        .balign 16
        .byte   0
odd:    .fill   23, 1, 0
        .section .bss
        .balign 4096
top:    .skip   4096
pdpt:   .skip   4096
directory: .skip 4096
ist_stack: .skip 512
ist_stack_top:
user_stack: .skip 512
user_stack_top:
saved_rcx:  .skip 8
saved_r11:  .skip 8
saved_flags: .skip 8
saved_cs:   .skip 4
        .balign 8
saved_rsp:  .skip 8
        .section .text
