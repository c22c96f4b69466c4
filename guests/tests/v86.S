# Virtual-8086 mode: entry by IRET, what faults at which IOPL, I/O permission,
# the frame with four data segments, and VME's interrupt redirection where the
# CPU has it (Intel SDM volume 3, chapter 20).

        .include "common32.inc"

        .set LOW, 0x8000                        # V86 CS 0x800
        .set TSS32, FREE
        .set VM, 0x20000
        .set IOPL3, 0x3000
        .set VIF, 0x80000
        .set VIP, 0x100000

        .macro  in_v86 label, flags=2
        movl    $(\label - v86_begin), %eax
        movl    $(\flags), %edx
        jmp     enter_v86
        .endm

        .macro  saved register, want, name
        movl    got_\register, %eax
        cmpl    $\want, %eax
        check   "\name"
        .endm

test:
        descriptor TSS32, (tss_end-tss-1), 0x89, 0
        set_base TSS32, tss
        movl    $inner_stack_top, tss + 4
        movl    $DATA32, tss + 8
        movw    $(bitmap - tss), tss + 0x66
        movl    $TSS32, %eax
        ltr     %ax
        movl    $v86_begin, %esi
        movl    $LOW, %edi
        movl    $(v86_end - v86_begin), %ecx
        rep movsb

        try
        in_v86  v_ud
        caught  "#UD out of V86 mode", UD, NONE, (v_ud-v86_begin)
        saved   size, 36, "the frame has nine words"
        saved   cs, 0x800, "CS saved as a segment"
        saved   ss, 0x700, "SS saved"
        saved   esp, 0xFFE, "ESP saved"
        saved   es, 0x1111, "ES saved"
        saved   ds, 0x2222, "DS saved"
        saved   fs, 0x3333, "FS saved"
        saved   gs, 0x4444, "GS saved"
        movl    got_eflags, %eax
        andl    $(VM|IOPL3), %eax
        cmpl    $VM, %eax
        check   "EFLAGS saved with VM"
        movl    %gs, %eax
        testl   %eax, %eax
        check   "GS is null in the handler"
        movl    %fs, %eax
        testl   %eax, %eax
        check   "FS is null in the handler"

        try
        in_v86  v_segments
        caught  "segments are 16 times the selector", UD, NONE, (v_segments_end-v86_begin)
        cmpb    $0x5C, 0x22220 + 0x10
        check   "a store through DS landed"
        try
        in_v86  v_wrap
        caught  "#GP: a word at offset 0xFFFF", GP, 0, (v_wrap_at-v86_begin)
        try
        in_v86  v_stack_wrap
        caught  "#SS: a word at offset 0xFFFF of the stack", SS, 0, (v_stack_wrap_at-v86_begin)

        # ---- sensitive to IOPL ----
        try
        in_v86  v_cli
        caught  "#GP: CLI, IOPL 0", GP, 0, (v_cli-v86_begin)
        try
        in_v86  v_sti
        caught  "#GP: STI, IOPL 0", GP, 0, (v_sti-v86_begin)
        try
        in_v86  v_pushf
        caught  "#GP: PUSHF, IOPL 0", GP, 0, (v_pushf-v86_begin)
        try
        in_v86  v_popf
        caught  "#GP: POPF, IOPL 0", GP, 0, (v_popf-v86_begin)
        try
        in_v86  v_iret
        caught  "#GP: IRET, IOPL 0", GP, 0, (v_iret-v86_begin)
        try
        in_v86  v_int
        caught  "#GP: INT n, IOPL 0", GP, 0, (v_int-v86_begin)
        try
        in_v86  v_cli, IOPL3+0x200
        caught  "CLI, IOPL 3 passes", UD, NONE, (v_cli-v86_begin+1)
        movl    got_eflags, %eax
        testl   $0x200, %eax
        check   "and clears IF"
        try
        in_v86  v_pushf_popf, IOPL3
        caught  "PUSHF, POPF, IOPL 3", UD, NONE, (v_pushf_popf_end-v86_begin)
        movl    got_eflags, %eax
        andl    $(VM|IOPL3|1), %eax
        cmpl    $(VM|IOPL3|1), %eax
        check   "POPF leaves VM and IOPL"
        try
        in_v86  v_iret_self, IOPL3
        caught  "IRET, IOPL 3: within V86 mode", UD, NONE, (v_iret_to-v86_begin)
        movl    got_eflags, %eax
        andl    $(VM|IOPL3), %eax
        cmpl    $(VM|IOPL3), %eax
        check   "IRET leaves VM and IOPL"

        # ---- INT through the IDT ----
        movw    $0xEE00, idt + 8 * 0x30 + 4
        try
        in_v86  v_int, IOPL3
        caught  "INT n, IOPL 3: a DPL 3 gate", 0x30, NONE, (v_int-v86_begin+2)
        saved   size, 36, "with nine words too"
        movw    $0x8E00, idt + 8 * 0x30 + 4
        try
        in_v86  v_int, IOPL3
        caught  "#GP: INT n, IOPL 3: a DPL 0 gate", GP, (0x30*8+2), (v_int-v86_begin)
        movw    $0xEE00, idt + 8 * 0x30 + 4
        movw    $USER_CODE, idt + 8 * 0x30 + 2
        try
        in_v86  v_int, IOPL3
        caught  "#GP: a gate to ring 3", GP, (USER_CODE&~3), (v_int-v86_begin)
        movw    $CODE32, idt + 8 * 0x30 + 2
        movw    $0xEE00, idt + 8 * BP + 4
        try
        in_v86  v_int3
        caught  "INT3 needs no IOPL", BP, NONE, (v_int3-v86_begin+1)

        # ---- I/O, by the bitmap whatever the IOPL ----
        try
        in_v86  v_in_allowed
        caught  "IN, bitmap says yes", UD, NONE, (v_in_allowed-v86_begin+2)
        try
        in_v86  v_in_denied, IOPL3
        caught  "#GP: IN, bitmap says no, IOPL 3", GP, 0, (v_in_denied-v86_begin)

        # ---- privileged, or not there ----
        try
        in_v86  v_hlt, IOPL3
        caught  "#GP: HLT", GP, 0, (v_hlt-v86_begin)
        try
        in_v86  v_mov_cr, IOPL3
        caught  "#GP: MOV from CR0", GP, 0, (v_mov_cr-v86_begin)
        try
        in_v86  v_lgdt, IOPL3
        caught  "#GP: LGDT", GP, 0, (v_lgdt-v86_begin)
        try
        in_v86  v_arpl, IOPL3
        caught  "#UD: ARPL", UD, NONE, (v_arpl-v86_begin)
        try
        in_v86  v_lar, IOPL3
        caught  "#UD: LAR", UD, NONE, (v_lar-v86_begin)
        try
        in_v86  v_sldt, IOPL3
        caught  "#UD: SLDT", UD, NONE, (v_sldt-v86_begin)
        try
        in_v86  v_div
        caught  "#DE", DE, NONE, (v_div_at-v86_begin)
        try
        in_v86  v_nop, 0x102
        caught  "#DB: single step", DB, NONE, (v_nop-v86_begin+1)

        # ---- VME ----
        movl    $1, %eax
        cpuid
        btl     $1, %edx
        jc      1f
        puts    "SKIP VME\n"
        ret
1:      movl    %cr4, %eax
        orl     $1, %eax
        movl    %eax, %cr4
        movw    $(v_int_handler - v86_begin), 0x30 * 4
        movw    $0x800, 0x30 * 4 + 2
        andb    $0xFE, redirection + 6          # vector 0x30
        try
        in_v86  v_int, VIF
        caught  "VME: INT n through the task's own table", UD, NONE, (v_int_handler-v86_begin)
        saved   esp, 0xFF8, "VME: three words pushed"
        movzwl  0x7000 + 0xFF8, %eax
        cmpl    $(v_int - v86_begin + 2), %eax
        check   "VME: IP pushed"
        movzwl  0x7000 + 0xFFC, %eax
        andl    $0x3200, %eax
        cmpl    $0x3200, %eax
        check   "VME: FLAGS pushed with VIF as IF, and IOPL 3"
        movl    got_eflags, %eax
        testl   $VIF, %eax
        check   "VME: VIF cleared"
        orb     $1, redirection + 6
        try
        in_v86  v_int
        caught  "VME: #GP: INT n, IOPL 0, not redirected", GP, 0, (v_int-v86_begin)
        try
        in_v86  v_sti
        caught  "VME: STI sets VIF", UD, NONE, (v_sti-v86_begin+1)
        movl    got_eflags, %eax
        andl    $(VIF|0x200), %eax
        cmpl    $VIF, %eax
        check   "VME: and not IF"
        try
        in_v86  v_sti, VIP
        caught  "VME: #GP: STI with VIP", GP, 0, (v_sti-v86_begin)
        try
        in_v86  v_cli, VIF+0x200
        caught  "VME: CLI clears VIF", UD, NONE, (v_cli-v86_begin+1)
        movl    got_eflags, %eax
        andl    $(VIF|0x200), %eax
        cmpl    $0x200, %eax
        check   "VME: and not IF, cleared"
        try
        in_v86  v_pushf, VIF
        caught  "VME: PUSHF passes", UD, NONE, (v_pushf-v86_begin+1)
        movzwl  0x7000 + 0xFFC, %eax
        andl    $0x3200, %eax
        cmpl    $0x3200, %eax
        check   "VME: PUSHF shows VIF as IF, IOPL 3"
        ret

enter_v86:
        pushl   $0x4444
        pushl   $0x3333
        pushl   $0x2222
        pushl   $0x1111
        pushl   $0x700
        pushl   $0xFFE
        orl     $(VM|2), %edx
        pushl   %edx
        pushl   $0x800
        pushl   %eax
        iretl

v86_begin:
        .code16
v_ud:   ud2
v_segments:
        movb    $0x5C, 0x10
        movb    0x10, %al
        movw    $0x2221, %bx
        movw    %bx, %es
        cmpb    %al, %es:0x20
v_segments_end:
        ud2
v_wrap: movw    $0xFFFF, %bx
v_wrap_at:
        movw    (%bx), %ax
        ud2
v_stack_wrap:
        movw    $0xFFFF, %bp
v_stack_wrap_at:
        movw    (%bp), %ax
        ud2
v_cli:  cli
        ud2
v_sti:  sti
        ud2
v_pushf:
        pushfw
        ud2
v_popf: popfw
        ud2
v_iret: iretw
v_int:  int     $0x30
        ud2
v_pushf_popf:
        pushfw
        popw    %ax
        orw     $1, %ax
        andw    $0xCFFF, %ax
        pushw   %ax
        popfw
v_pushf_popf_end:
        ud2
v_iret_self:
        pushw   $2
        pushw   %cs
        pushw   $(v_iret_to - v86_begin)
        iretw
v_iret_to:
        ud2
v_int3: int3
        ud2
v_in_allowed:
        inb     $0x80, %al
        ud2
v_in_denied:
        inb     $0x61, %al
        ud2
v_hlt:  hlt
v_mov_cr:
        movl    %cr0, %eax
v_lgdt: lgdtw   %cs:0
v_arpl: .byte   0x63, 0xC0
v_lar:  larw    %ax, %ax
v_sldt: sldtw   %ax
v_div:  xorw    %cx, %cx
v_div_at:
        divw    %cx
v_nop:  nop
        ud2
v_int_handler:
        ud2
v86_end:
        .code32

        .section .data
        .balign 4
tss:    .fill   0x68, 1, 0
redirection:
        .fill   32, 1, 0xFF
bitmap: .fill   16, 1, 0xFF                     # ports 0 to 0x7F: no
        .byte   0x00, 0xFF, 0xFF, 0xFF          # 0x80 to 0x87: yes
        .fill   4, 1, 0xFF
        .byte   0xFF
tss_end:
        .section .text
