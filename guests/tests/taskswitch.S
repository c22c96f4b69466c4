# Hardware task switches: by JMP, CALL, IRET, an interrupt and an exception; busy
# flags, link fields, NT, saved and loaded state, 16-bit TSSs, and every way to
# fail (Intel SDM volume 3, chapter 7).

        .include "common32.inc"

        .set TSS_A, FREE
        .set TSS_B, FREE + 8
        .set GATE_B, FREE + 16                  # task gate to B
        .set TSS_16, FREE + 24
        .set TSS_SHORT, FREE + 32
        .set TSS_ABSENT, FREE + 40
        .set GATE_ABSENT, FREE + 48
        .set LDT, FREE + 56
        .set GATE_BAD, FREE + 64                # task gate to data

        # B's TSS as it shall be at its next start.
        .macro  task_b start, flags=2
        movl    $\start, %eax
        movl    $\flags, %edx
        call    prepare_b
        .endm

        .macro  is_busy selector, want, name
        movb    gdt + (\selector) + 5, %al
        cmpb    $(0x89 + 2 * \want), %al
        check   "\name"
        .endm

        .macro  field where, want, name
        movl    \where, %eax
        cmpl    $(\want), %eax
        check   "\name"
        .endm

        .macro  register number, want, name
        movl    seen + 4 * \number, %eax
        cmpl    $(\want), %eax
        check   "\name"
        .endm

test:
        descriptor TSS_A, 0x67, 0x89, 0
        set_base TSS_A, tss_a
        descriptor TSS_B, 0x67, 0x89, 0
        set_base TSS_B, tss_b
        descriptor TSS_16, 0x2B, 0x81, 0
        set_base TSS_16, tss_16
        descriptor TSS_SHORT, 0x66, 0x89, 0
        set_base TSS_SHORT, tss_b
        descriptor TSS_ABSENT, 0x67, 0x09, 0
        set_base TSS_ABSENT, tss_b
        descriptor LDT, 0x0F, 0x82, 0
        set_base LDT, ldt
        movl    $(TSS_B << 16), gdt + GATE_B
        movl    $0x8500, gdt + GATE_B + 4
        movl    $(TSS_B << 16), gdt + GATE_ABSENT
        movl    $0x0500, gdt + GATE_ABSENT + 4
        movl    $(DATA32 << 16), gdt + GATE_BAD
        movl    $0x8500, gdt + GATE_BAD + 4
        movl    $TSS_A, %eax
        ltr     %ax
        is_busy TSS_A, 1, "LTR marks the TSS busy"

        # ---- JMP ----
        task_b  note
        movl    $0xA5A5, tss_b                  # the link field stays
        movl    $0x11223344, %ebx
        movl    $0x55667788, %esi
        movl    $inner_stack_top, %ebp
        stc
        ljmp    $TSS_B, $0
after_jmp:
        jc      1f
        movl    $0xBAD, seen + 4 * 12
1:      movl    %ebx, seen + 4 * 13
        movl    %esi, seen + 4 * 14
        register 0, 0xB0, "JMP: EAX from the new TSS"
        register 1, 0xB1, "JMP: ECX"
        register 2, 0xB2, "JMP: EDX"
        register 3, 0xB3, "JMP: EBX"
        register 4, b_stack_top, "JMP: ESP"
        register 5, 0xB5, "JMP: EBP"
        register 6, 0xB6, "JMP: ESI"
        register 7, 0xB7, "JMP: EDI"
        register 8, TSS_B, "JMP: TR"
        register 9, 2, "JMP: EFLAGS from the new TSS, NT clear"
        register 10, (DATA32<<16|USER_DATA&~3|3), "JMP: ES, FS from the new TSS"
        register 11, (0x89<<8|0x8B), "JMP: the old TSS available, the new one busy"
        register 12, 0, "JMP: EFLAGS of the old task come back"
        register 13, 0x11223344, "JMP: EBX of the old task comes back"
        register 14, 0x55667788, "JMP: ESI of the old task comes back"
        field   tss_b, 0xA5A5, "JMP: no link is written"
        field   tss_a + 0x20, after_jmp, "JMP: EIP saved in the old TSS"
        field   tss_a + 0x34, 0x11223344, "JMP: EBX saved in the old TSS"
        field   tss_b + 0x20, note_end, "JMP back: EIP saved in B"
        is_busy TSS_A, 1, "JMP back: A busy"
        is_busy TSS_B, 0, "JMP back: B available"
        movl    seen + 4 * 15, %eax
        andl    $8, %eax
        cmpl    $8, %eax
        check   "CR0.TS is set by a switch"
        clts

        # ---- CALL and IRET ----
        task_b  note_and_iret
        lcall   $TSS_B, $0
after_call:
        field   tss_b, TSS_A, "CALL: link to the old task"
        register 9, 0x4002, "CALL: NT set"
        register 11, (0x8B<<8|0x8B), "CALL: both busy"
        is_busy TSS_A, 1, "IRET: A busy"
        is_busy TSS_B, 0, "IRET: B available"
        field   tss_a + 0x20, after_call, "CALL: EIP saved behind it"
        movl    tss_b + 0x24, %eax
        andl    $0x4000, %eax
        check   "IRET: NT clear in B's saved EFLAGS"
        field   tss_b + 0x20, note_iret_end, "IRET: B's saved EIP behind it"
        pushfl
        popl    %eax
        andl    $0x4000, %eax
        check   "IRET: NT clear in A"
        # B goes on behind its IRET at the next CALL.
        movl    $0, seen + 4 * 16
        lcall   $TSS_B, $0
        register 16, 0x600D, "CALL again: B goes on behind its IRET"

        # ---- through a task gate ----
        task_b  note_and_iret
        lcall   $GATE_B, $0x12345678
        register 8, TSS_B, "CALL through a task gate"
        task_b  note
        ljmp    $GATE_B, $0
        register 8, TSS_B, "JMP through a task gate"

        # ---- interrupt and exception through a task gate ----
        movl    $(TSS_B << 16), idt + 8 * 0x30
        movl    $0x8500, idt + 8 * 0x30 + 4
        task_b  note_and_iret
        int     $0x30
after_int:
        field   tss_a + 0x20, after_int, "INT n: EIP saved behind it"
        field   tss_b, TSS_A, "INT n: link"
        register 9, 0x4002, "INT n: NT set"
        register 4, b_stack_top, "INT n: no error code"
        movl    $(TSS_B << 16), idt + 8 * GP
        movl    $0x8500, idt + 8 * GP + 4
        task_b  note_error
        movl    $0x1000, %eax
fault:  movl    %eax, %ds
after_fault:
        movl    $DATA32, %eax
        movl    %eax, %ds
        register 4, b_stack_top-4, "#GP: an error code on the new stack"
        register 17, 0x1000, "#GP: its value"
        register 18, fault, "#GP: EIP saved at the fault"
        gate    GP, (stubs+16*GP)

        # ---- the new task's LDT ----
        movl    $0x0000FFFF, ldt + 8
        movl    $0x00CF9200, ldt + 12
        task_b  note_and_iret
        movl    $LDT, tss_b + 0x60
        movl    $0x0C, tss_b + 0x5C             # GS: LDT slot 1
        lcall   $TSS_B, $0
        register 19, 0x0C, "a segment from the new task's LDT"
        register 20, LDT, "LDTR from the new TSS"
        sldt    %ax
        movzwl  %ax, %eax
        testl   %eax, %eax
        check   "LDTR of the old task comes back"

        # ---- a 16-bit TSS ----
        # IP of the copy below 64 KiB
        movw    $note_16_low, tss_16 + 0x0E
        movw    $2, tss_16 + 0x10
        movw    $0xB0, tss_16 + 0x12
        movw    $0x7000, tss_16 + 0x1A          # SP
        movw    $DATA32, tss_16 + 0x22          # ES
        movw    $CODE16, tss_16 + 0x24
        movw    $DATA32, tss_16 + 0x26          # SS
        movw    $DATA32, tss_16 + 0x28          # DS
        movw    $0, tss_16 + 0x2A
        movl    $note_16, %esi
        movl    $note_16_low, %edi
        movl    $(note_16_end - note_16), %ecx
        rep movsb
        movw    $0, seen_16
        movl    $0xCAFEBABE, %ebx
        lcall   $TSS_16, $0
        cmpw    $0x16, seen_16
        check   "CALL to a 16-bit TSS and IRET"
        cmpw    $TSS_A, tss_16
        check   "16-bit TSS: link"
        cmpl    $0xCAFEBABE, %ebx
        check   "16-bit TSS: the 32-bit task's registers come back whole"

        # ---- what fails in the old task ----
        try
1:      ljmp    $TSS_A, $0
        caught  "#GP: JMP to a busy TSS", GP, TSS_A, 1b
        try
1:      lcall   $TSS_A, $0
        caught  "#GP: CALL of a busy TSS", GP, TSS_A, 1b
        try
1:      ljmp    $TSS_ABSENT, $0
        caught  "#NP: TSS not present", NP, TSS_ABSENT, 1b
        try
1:      lcall   $GATE_ABSENT, $0
        caught  "#NP: task gate not present", NP, GATE_ABSENT, 1b
        try
1:      lcall   $GATE_BAD, $0
        caught  "#GP: task gate to no TSS", GP, DATA32, 1b
        try
1:      ljmp    $TSS_SHORT, $0
        caught  "#TS: limit below 0x67", TS, TSS_SHORT, 1b
        is_busy TSS_A, 1, "after a failure A is busy still"
        is_busy TSS_SHORT, 0, "after a failure the other is available"
        movw    $TSS_B, tss_a
        try
        pushl   $0x4002
        popfl
1:      iretl
        caught  "#TS: IRET with NT to a TSS that is not busy", TS, TSS_B, 1b
        movw    $DATA32, tss_a
        try
        pushl   $0x4002
        popfl
1:      iretl
        caught  "#TS: IRET with NT to no TSS", TS, DATA32, 1b
        movl    $((TSS_A|4) << 16), idt + 8 * 0x31
        movl    $0x8500, idt + 8 * 0x31 + 4
        try
1:      int     $0x31
        caught  "#GP: INT, a task gate into the LDT", GP, TSS_A+4, 1b

        # ---- what fails in the new task (its EIP is saved; SS is good, so that
        # the frame can be pushed) ----
        task_b  note
        movl    $DATA32, tss_b + 0x4C
        call    expect_in_b
        try
        ljmp    $TSS_B, $0
        caught  "#TS: CS of the new task is data", TS, DATA32, note
        call    back_to_a
        task_b  note
        movl    $0x1000, tss_b + 0x54
        call    expect_in_b
        try
        ljmp    $TSS_B, $0
        caught  "#TS: DS of the new task is beyond the GDT", TS, 0x1000, note
        call    back_to_a

        # ---- the T flag ----
        task_b  note
        movw    $1, tss_b + 0x64
        xorl    %eax, %eax
        movl    %eax, %dr6
        call    expect_in_b
        try
        ljmp    $TSS_B, $0
        caught  "#DB: the new TSS has T set", DB, NONE, note
        movl    %dr6, %eax
        andl    $0xE00F, %eax
        cmpl    $0x8000, %eax
        check   "DR6.BT"
        call    back_to_a
        ret

prepare_b:
        movl    $tss_b, %edi
        pushl   %eax
        xorl    %eax, %eax
        movl    $26, %ecx
        rep stosl
        popl    tss_b + 0x20
        movl    %edx, tss_b + 0x24
        movl    $0xB0, tss_b + 0x28
        movl    $0xB1, tss_b + 0x2C
        movl    $0xB2, tss_b + 0x30
        movl    $0xB3, tss_b + 0x34
        movl    $b_stack_top, tss_b + 0x38
        movl    $0xB5, tss_b + 0x3C
        movl    $0xB6, tss_b + 0x40
        movl    $0xB7, tss_b + 0x44
        movl    $DATA32, tss_b + 0x48
        movl    $CODE32, tss_b + 0x4C
        movl    $DATA32, tss_b + 0x50
        movl    $DATA32, tss_b + 0x54
        movl    $USER_DATA, tss_b + 0x58        # FS
        movl    $seen, %edi
        movl    $32, %ecx
        rep stosl
        ret

        # A fault in the new task pushes onto its stack: B borrows A's, so that
        # the handlers find their frame where they look for it. The test's own
        # stack pointer after the return of this routine is what B gets.
expect_in_b:
        leal    4(%esp), %eax
        movl    %eax, tss_b + 0x38
        ret
        # The handler resumed the test in task B: make it A again.
back_to_a:
        movb    $0x89, gdt + TSS_A + 5
        movb    $0x89, gdt + TSS_B + 5
        movl    $TSS_A, %eax
        ltr     %ax
        xorl    %eax, %eax
        lldt    %ax
        movl    %eax, %fs
        clts
        ret

        # ---- what B runs ----
        # Notes what it was given; the stack is not used before ESP is noted.
        .macro  take_note
        movl    %eax, seen
        movl    %ecx, seen + 4
        movl    %edx, seen + 8
        movl    %ebx, seen + 12
        movl    %esp, seen + 16
        movl    %ebp, seen + 20
        movl    %esi, seen + 24
        movl    %edi, seen + 28
        pushfl
        popl    seen + 36
        str     %ax
        movzwl  %ax, %eax
        movl    %eax, seen + 32
        movw    %fs, seen + 40
        movw    %es, seen + 42
        movb    gdt + TSS_B + 5, %al
        movb    gdt + TSS_A + 5, %ah
        movzwl  %ax, %eax
        movl    %eax, seen + 44
        movl    %cr0, %eax
        movl    %eax, seen + 60
        movw    %gs, seen + 4 * 19
        sldt    %ax
        movzwl  %ax, %eax
        movl    %eax, seen + 4 * 20
        .endm
note:
        take_note
        ljmp    *note_far
note_end:
        ud2
note_and_iret:
        take_note
        iretl
note_iret_end:
        movl    $0x600D, seen + 4 * 16
        iretl
        ud2
note_error:
        take_note
        popl    seen + 4 * 17
        movl    tss_a + 0x20, %eax
        movl    %eax, seen + 4 * 18
        movl    $after_fault, tss_a + 0x20
        iretl

        .set note_16_low, 0x9000
        .code16
note_16:
        movw    $0x16, %ax
        addr32 movw %ax, seen_16
        iretw
note_16_end:
        .code32

        .section .data
note_far:
        .long   0
        .word   TSS_A
        .section .bss
        .balign 16
tss_a:  .skip   0x68
tss_b:  .skip   0x68
tss_16: .skip   0x2C
ldt:    .skip   16
b_stack: .skip  512
b_stack_top:
seen:   .skip   128
seen_16: .skip  2
        .section .text
