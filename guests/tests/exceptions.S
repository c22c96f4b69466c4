# Exceptions in 32-bit protected mode: vector, error code, saved EIP, what is
# saved in EFLAGS, stack switch from ring 3, and double faults
# (Intel SDM volume 3, chapter 6).

        .include "common32.inc"

        .set TSS_SELECTOR, FREE
        .set ABSENT_DATA, FREE + 8              # a data segment that is not present
        .set READ_ONLY, FREE + 16
        .set SMALL, FREE + 24                   # data, limit 15
        .set EXECUTE_ONLY, FREE + 32
        .set DOWN, FREE + 40                    # expand-down, from 64 KiB up
        .set ABSENT_CODE, FREE + 48
        .set DF_TSS, FREE + 56
        .set CALL_GATE, FREE + 64
        .set STACK, FREE + 72                   # data, limit 2 MiB - 1
        .set BEYOND, 0x1000                     # past the GDT's limit

        # Runs the code at a label in ring 3, to end in an exception.
        .macro  in_user label, flags=2
        movl    $\label, %eax
        movl    $\flags, %edx
        jmp     enter_user
        .endm

test:
        descriptor TSS_SELECTOR, (tss_end - tss - 1), 0x89, 0
        set_base TSS_SELECTOR, tss
        descriptor ABSENT_DATA, 0xFFFFF, 0x12, 0xC
        descriptor READ_ONLY, 0xFFFFF, 0x90, 0xC
        descriptor SMALL, 15, 0x92, 0x4
        descriptor EXECUTE_ONLY, 0xFFFFF, 0x98, 0xC
        descriptor DOWN, 0xFFFF, 0x96, 0x4
        descriptor ABSENT_CODE, 0xFFFFF, 0x1A, 0xC
        descriptor DF_TSS, 0x67, 0x89, 0
        descriptor STACK, 0x1FF, 0x92, 0xC
        movl    $inner_stack_top, tss + 4
        movl    $DATA32, tss + 8
        movw    $(bitmap - tss), tss + 0x66
        movl    $TSS_SELECTOR, %eax
        ltr     %ax

        # ---- divide ----
        xorl    %edx, %edx
        movl    $1, %eax
        xorl    %ecx, %ecx
        try
1:      divl    %ecx
        caught  "#DE: DIV by zero", DE, NONE, 1b
        try
        movl    $0x80000000, %eax
        movl    $-1, %edx
        movl    $-1, %ecx
1:      idivl   %ecx
        caught  "#DE: IDIV overflow", DE, NONE, 1b
        try
        movw    $0x8000, %ax
        movb    $-1, %cl
1:      idivb   %cl
        caught  "#DE: byte IDIV overflow", DE, NONE, 1b
        try
1:      aam     $0
        caught  "#DE: AAM 0", DE, NONE, 1b

        # ---- debug ----
        try
        pushl   $0x102
        popfl
        nop
1:      nop
        caught  "#DB: single step, EIP behind", DB, NONE, 1b
        movl    %dr6, %eax
        andl    $0x400F, %eax
        cmpl    $0x4000, %eax
        check   "#DB: DR6.BS after a single step"
        try
        .byte   0xF1
1:      nop
        caught  "#DB: INT1, EIP behind", DB, NONE, 1b
        movl    $1f, %eax
        movl    %eax, %dr0
        movl    $0x402, %eax
        movl    %eax, %dr7
        xorl    %eax, %eax
        movl    %eax, %dr6
        try
        nop
1:      nop
        nop
        caught  "#DB: instruction breakpoint, EIP at it", DB, NONE, 1b
        movl    %dr6, %eax
        andl    $0x400F, %eax
        cmpl    $1, %eax
        check   "#DB: DR6.B0 after an instruction breakpoint"
        movl    got_eflags, %eax
        andl    $0x10000, %eax
        check   "#DB: saved RF clear after an instruction breakpoint"
        movl    $scratch, %eax
        movl    %eax, %dr1
        movl    $0xD00408, %eax                 # G1, write, 4 bytes
        movl    %eax, %dr7
        xorl    %eax, %eax
        movl    %eax, %dr6
        try
        movl    scratch, %eax
        movb    $1, scratch + 3
1:      nop
        caught  "#DB: write watchpoint, EIP behind", DB, NONE, 1b
        movl    %dr6, %eax
        andl    $0x400F, %eax
        cmpl    $2, %eax
        check   "#DB: DR6.B1 after a watchpoint"
        movl    $0x400, %eax
        movl    %eax, %dr7

        # ---- INT3, INTO, BOUND, invalid opcodes ----
        try
        int3
1:      nop
        caught  "#BP: EIP behind", BP, NONE, 1b
        try
        movb    $0x7F, %al
        incb    %al
        into
1:      nop
        caught  "#OF: EIP behind", OF, NONE, 1b
        try
        movl    $9, %eax
1:      boundl  %eax, bounds
        caught  "#BR: EIP at it", BR, NONE, 1b
        try
        movl    $5, %eax
        boundl  %eax, bounds
        movl    $-1, %eax
1:      boundl  %eax, bounds
        caught  "#BR: below, signed", BR, NONE, 1b
        try
1:      ud2
        caught  "#UD: UD2", UD, NONE, 1b
        movl    got_eflags, %eax
        andl    $0x10000, %eax
        cmpl    $0x10000, %eax
        check   "#UD: saved RF set by a fault"
        try
1:      .byte   0xF0, 0x90
        caught  "#UD: LOCK NOP", UD, NONE, 1b
        try
1:      .byte   0xF0, 0x01, 0xC0
        caught  "#UD: LOCK with a register destination", UD, NONE, 1b
        try
1:      .byte   0x8E, 0xC8
        caught  "#UD: MOV to CS", UD, NONE, 1b
        try
1:      .byte   0x8D, 0xC0
        caught  "#UD: LEA of a register", UD, NONE, 1b
        try
1:      .byte   0x0F, 0xFF, 0xC0
        caught  "#UD: UD0", UD, NONE, 1b

        # ---- #NM ----
        movl    %cr0, %eax
        orl     $8, %eax
        movl    %eax, %cr0
        try
1:      fld1
        caught  "#NM: x87 with CR0.TS", NM, NONE, 1b
        movl    %cr0, %eax
        andl    $~8, %eax
        orl     $4, %eax
        movl    %eax, %cr0
        try
1:      fninit
        caught  "#NM: x87 with CR0.EM", NM, NONE, 1b
        movl    %cr0, %eax
        andl    $~4, %eax
        orl     $0xA, %eax
        movl    %eax, %cr0
        try
1:      fwait
        caught  "#NM: WAIT with CR0.TS and MP", NM, NONE, 1b
        movl    %cr0, %eax
        andl    $~2, %eax
        movl    %eax, %cr0
        try
        fwait
        caught  "WAIT with CR0.TS alone passes", NONE, ANY, ANY
        clts

        # ---- #MF: at the next waiting instruction ----
        movl    %cr0, %eax
        orl     $0x20, %eax
        movl    %eax, %cr0
        fninit
        fldcw   unmasked
        try
        fldz
        fld1
        fdivp
        nop
        fnstsw  %ax
1:      fld1
        caught  "#MF: at the next waiting instruction", MF, NONE, 1b
        fninit

        # ---- segment loads ----
        try
        movl    $BEYOND, %eax
1:      movl    %eax, %ds
        caught  "#GP: DS beyond the GDT", GP, BEYOND, 1b
        try
        movl    $(BEYOND + 7), %eax
1:      movl    %eax, %es
        caught  "#GP: ES, LDT selector without an LDT", GP, BEYOND+4, 1b
        try
        movl    $ABSENT_DATA, %eax
1:      movl    %eax, %es
        caught  "#NP: ES not present", NP, ABSENT_DATA, 1b
        try
        movl    $ABSENT_DATA, %eax
1:      movl    %eax, %ss
        caught  "#SS: SS not present", SS, ABSENT_DATA, 1b
        try
        xorl    %eax, %eax
1:      movl    %eax, %ss
        caught  "#GP: SS null", GP, 0, 1b
        try
        movl    $READ_ONLY, %eax
1:      movl    %eax, %ss
        caught  "#GP: SS read-only", GP, READ_ONLY, 1b
        try
        movl    $EXECUTE_ONLY, %eax
1:      movl    %eax, %ds
        caught  "#GP: DS execute-only", GP, EXECUTE_ONLY, 1b
        try
1:      ljmp    $DATA32, $0
        caught  "#GP: far jump to data", GP, DATA32, 1b
        try
1:      ljmp    $0, $0
        caught  "#GP: far jump to null", GP, 0, 1b
        try
1:      lcall   $ABSENT_CODE, $0
        caught  "#NP: far call to code not present", NP, ABSENT_CODE, 1b
        try
        movl    $ABSENT_DATA, %eax
1:      ltr     %ax
        caught  "#GP: LTR of no TSS", GP, ABSENT_DATA, 1b
        try
        movl    $DATA32, %eax
1:      lldt    %ax
        caught  "#GP: LLDT of no LDT", GP, DATA32, 1b

        # ---- segment use ----
        xorl    %eax, %eax
        movl    %eax, %fs
        try
1:      movl    %fs:0, %eax
        caught  "#GP: a null segment used", GP, 0, 1b
        movl    $SMALL, %eax
        movl    %eax, %fs
        try
        movl    %fs:12, %eax
1:      movl    %fs:13, %eax
        caught  "#GP: beyond the limit by a byte", GP, 0, 1b
        movl    $READ_ONLY, %eax
        movl    %eax, %fs
        try
        movl    %fs:scratch, %eax
1:      movl    %eax, %fs:scratch
        caught  "#GP: a write to a read-only segment", GP, 0, 1b
        movl    $DOWN, %eax
        movl    %eax, %fs
        try
        movl    %fs:scratch, %eax
1:      movl    %fs:0xFFFF, %eax
        caught  "#GP: below an expand-down segment", GP, 0, 1b
        try
1:      movl    %eax, %cs:scratch
        caught  "#GP: a write through CS", GP, 0, 1b
        xorl    %eax, %eax
        movl    %eax, %fs
        try
        movl    $STACK, %eax
        movl    %eax, %ss
        movl    $0x1FFFFD, %ebp
1:      movl    (%ebp), %eax
        caught  "#SS: beyond the stack's limit", SS, 0, 1b

        # ---- privileged registers ----
        cmpl    $0, on_qemu                     # which has no such checks, and hangs
        jne     2f
        try
        movl    %cr0, %eax
        andl    $0x7FFFFFFE, %eax
        orl     $0x80000000, %eax
1:      movl    %eax, %cr0
        caught  "#GP: CR0.PG without PE", GP, 0, 1b
        try
        movl    %cr0, %eax
        andl    $~0x40000000, %eax
        orl     $0x20000000, %eax
1:      movl    %eax, %cr0
        caught  "#GP: CR0.NW without CD", GP, 0, 1b
        try
        movl    %cr4, %eax
        orl     $0x80000000, %eax
1:      movl    %eax, %cr4
        caught  "#GP: a reserved bit of CR4", GP, 0, 1b
2:
        try
        movl    $0x12345, %ecx
1:      rdmsr
        caught  "#GP: RDMSR of none", GP, 0, 1b
        try
1:      .byte   0x0F, 0x20, 0xC8                # MOV EAX, CR1
        caught  "#UD: CR1", UD, NONE, 1b

        # ---- INT n ----
        try
1:      int     $0x50
        caught  "#GP: INT beyond the IDT", GP, 0x50*8+2, 1b
        movw    $0x0E00, idt + 8 * 0x31 + 4
        try
1:      int     $0x31
        caught  "#NP: INT through an absent gate", NP, 0x31*8+2, 1b
        movw    $0x8200, idt + 8 * 0x31 + 4
        try
1:      int     $0x31
        caught  "#GP: INT through no gate", GP, 0x31*8+2, 1b
        movw    $0x8E00, idt + 8 * 0x31 + 4
        movw    $BEYOND, idt + 8 * 0x31 + 2
        try
1:      int     $0x31
        caught  "#GP: a gate to nowhere", GP, BEYOND, 1b
        movw    $0, idt + 8 * 0x31 + 2
        try
1:      int     $0x31
        caught  "#GP: a gate to null", GP, 0, 1b
        movw    $CODE32, idt + 8 * 0x31 + 2
        try
        stc
        int     $0x31
1:      nop
        caught  "INT n, EIP behind", 0x31, NONE, 1b
        movl    got_eflags, %eax
        andl    $0x10001, %eax
        cmpl    $1, %eax
        check   "INT n: flags saved as they were, RF clear"

        # ---- ring 3 ----
        try
        in_user user_hlt
        caught  "ring 3 #GP: HLT", GP, 0, user_hlt
        cmpl    $USER_CODE, got_cs
        check   "ring 3: CS saved"
        cmpl    $user_stack_top, got_esp
        check   "ring 3: ESP saved"
        cmpl    $USER_DATA, got_ss
        check   "ring 3: SS saved"
        cmpl    $24, got_size
        check   "ring 3: frame at TSS.ESP0"
        try
        in_user user_cli
        caught  "ring 3 #GP: CLI, IOPL 0", GP, 0, user_cli
        try
        in_user user_cli, 0x3002
        caught  "ring 3: CLI with IOPL 3 passes", UD, NONE, user_cli+1
        try
        in_user user_in
        caught  "ring 3 #GP: IN, bitmap says no", GP, 0, user_in
        try
        in_user user_in_allowed
        caught  "ring 3: IN, bitmap says yes", UD, NONE, user_in_allowed+2
        try
        in_user user_in_word
        caught  "ring 3 #GP: IN of a word, one bit says no", GP, 0, user_in_word+4
        try
        in_user user_int
        caught  "ring 3 #GP: INT through a DPL 0 gate", GP, 0x32*8+2, user_int
        movw    $0xEE00, idt + 8 * 0x33 + 4
        try
        in_user user_int_3
        caught  "ring 3: INT through a DPL 3 gate", 0x33, NONE, user_int_3+2
        try
        in_user user_mov_cr
        caught  "ring 3 #GP: MOV from CR0", GP, 0, user_mov_cr
        try
        in_user user_load
        caught  "ring 3 #GP: a DPL 0 data segment", GP, DATA32, user_load+5
        try
        in_user user_rdmsr
        caught  "ring 3 #GP: RDMSR", GP, 0, user_rdmsr
        try
        in_user user_ud
        caught  "ring 3 #UD", UD, NONE, user_ud
        try
        in_user user_popf, 0x2
        caught  "ring 3: POPF leaves IF and IOPL", UD, NONE, user_popf_end
        movl    got_eflags, %eax
        andl    $0x3200, %eax
        check   "ring 3: POPF left IF and IOPL clear"
        try
        in_user user_iret
        caught  "ring 3 #GP: IRET to ring 0", GP, CODE32, user_iret_end
        # A call gate: stack switched, one parameter copied.
        movl    $gate_target, %eax
        movw    %ax, gdt + CALL_GATE
        shrl    $16, %eax
        movw    %ax, gdt + CALL_GATE + 6
        movw    $CODE32, gdt + CALL_GATE + 2
        movw    $0xEC01, gdt + CALL_GATE + 4
        try
        in_user user_call_gate
        caught  "ring 3: call gate and far return", UD, NONE, user_call_gate_end
        cmpl    $0xCAFE, scratch
        check   "ring 3: parameter copied by the call gate"
        cmpl    $user_stack_top, got_esp
        check   "ring 3: RETF n released both stacks' parameters"

        # ---- double faults (table 6-5) ----
        # #GP whose gate is not present: #NP in #GP is a double fault.
        movw    $0x0E00, idt + 8 * GP + 4
        try
        movl    $BEYOND, %eax
1:      movl    %eax, %ds
        caught  "#DF: #NP in the delivery of #GP", DF, 0, 1b
        # #UD whose gate is not present: benign first, so #NP alone.
        movw    $0x8E00, idt + 8 * GP + 4
        movw    $0x0E00, idt + 8 * UD + 4
        try
1:      ud2
        caught  "#NP: in the delivery of #UD, EXT set", NP, UD*8+3, 1b
        movw    $0x8E00, idt + 8 * UD + 4
        # #DE is contributory.
        movw    $0x0E00, idt + 8 * DE + 4
        try
        xorl    %ecx, %ecx
1:      divl    %ecx
        caught  "#DF: #NP in the delivery of #DE", DF, 0, 1b
        movw    $0x8E00, idt + 8 * DE + 4
        # #DF through a task gate: a fresh stack when the old one is no good.
        movl    $df_task, df_tss + 0x20
        movl    $2, df_tss + 0x24
        movl    $df_stack_top, df_tss + 0x38
        movl    $DATA32, df_tss + 0x48
        movl    $CODE32, df_tss + 0x4C
        movl    $DATA32, df_tss + 0x50
        movl    $DATA32, df_tss + 0x54
        set_base DF_TSS, df_tss
        movw    $DF_TSS, idt + 8 * DF + 2
        movw    $0x8500, idt + 8 * DF + 4
        movl    $77f, resume
        movl    %esp, resume_esp
        movl    $SMALL, %eax
        movl    %eax, %ss
        movl    $4, %esp
1:      ud2
77:     cmpl    $1b, tss + 0x20
        check   "#DF: by task gate: EIP in the old TSS"
        cmpl    $4, tss + 0x38
        check   "#DF: by task gate: ESP in the old TSS"
        cmpl    $0, df_error
        check   "#DF: by task gate: error code on the new stack"
        cmpw    $TSS_SELECTOR, df_tss
        check   "#DF: by task gate: back link"
        ret

df_task:
        popl    df_error
        movl    resume_esp, %esp
        jmp     *resume

enter_user:
        movl    $USER_DATA, %ecx
        movl    %ecx, %ds
        movl    %ecx, %es
        pushl   $USER_DATA
        pushl   $user_stack_top
        pushl   %edx
        pushl   $USER_CODE
        pushl   %eax
        iretl

user_hlt:
        hlt
user_cli:
        cli
user_ud:
        ud2
user_in:
        inb     $0x61, %al
user_in_allowed:
        inb     $0x80, %al
        ud2
user_in_word:
        movw    $0x9F, %dx
        inw     %dx, %ax
user_int:
        int     $0x32
user_int_3:
        int     $0x33
user_mov_cr:
        movl    %cr0, %eax
user_load:
        movl    $DATA32, %eax
        movl    %eax, %ds
user_rdmsr:
        rdmsr
user_popf:
        pushl   $0x3202
        popfl
user_popf_end:
        ud2
user_iret:
        pushl   $2
        pushl   $CODE32
        pushl   $user_ud
user_iret_end:
        iretl
user_call_gate:
        pushl   $0xCAFE
        lcall   $(CALL_GATE + 3), $0
user_call_gate_end:
        ud2

gate_target:
        movl    8(%esp), %eax
        movl    %eax, scratch
        lret    $4

        .section .data
bounds: .long   0, 8
unmasked: .word 0x037B
        .balign 4
tss:    .fill   0x68, 1, 0
bitmap: .fill   16, 1, 0xFF                     # ports 0 to 0x7F: no
        .byte   0x00, 0xFF, 0xFF, 0x7F          # 0x80 to 0x87 and 0x9F: yes
        .fill   4, 1, 0xFF
        .byte   0xFF
tss_end:
        .section .bss
        .balign 16
df_tss: .skip   0x68
df_stack: .skip 512
df_stack_top:
user_stack: .skip 512
user_stack_top:
scratch: .skip  4
df_error: .skip 4
