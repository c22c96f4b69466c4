# Sections of known length in steps, each between two marks: a mark is a byte
# written to port 0xE9. icount.expect lists the steps from one mark's OUT to the
# next one's (that OUT counts, the first one's does not), by the rules of
# docs/architecture.md: a step is one retired instruction, one iteration of a
# repeated string instruction (no iteration: one step), or the entry into one
# exception or interrupt. INT n, INT3 and INTO are retired instructions whose
# work is the entry: one step.
#
# Lines of icount.expect: FROM TO STEPS WHAT. STEPS may hold N: the number that
# the guest prints, in hexadecimal, after the word of the same letters ("YZ=").

        .include "common32.inc"

        # A page that is absent for a while, and its entry in the page table.
        .set ABSENT_PAGE, 0x301000
        .set absent_entry, table + 4 * (ABSENT_PAGE >> 12)

        .macro  mark letter
        movb    $\letter, %al
        outb    %al, $0xE9
        .endm

test:
        gate    UD, skip_2
        gate    PF, map_page
        gate    GP, skip_2_error
        gate    DE, skip_2
        gate    NP, skip_2_error
        gate    BP, plain_iret
        gate    OF, plain_iret
        gate    DB, stop_stepping
        gate    0x30, plain_iret
        gate    0x20, timer
        gate    0x21, plain_iret

        mark    'A'                             # A-B: nothing but the mark: 2
        mark    'B'                             # B-C: a loop of 1000
        movl    $1000, %ecx
1:      decl    %ecx
        jnz     1b
        mark    'C'                             # C-D: LOOP, 100 rounds
        movl    $100, %ecx
2:      loop    2b
        mark    'D'                             # D-E: REP STOSB, 37 bytes
        movl    $buffer, %edi
        movl    $37, %ecx
        rep stosb
        mark    'E'                             # E-F: REP with a count of 0
        xorl    %ecx, %ecx
        rep stosb
        rep movsl
        repe cmpsb
        mark    'F'                             # F-G: REPNE SCASB, found at the 12th byte
        movl    $buffer, %edi
        movb    $'F', buffer + 11
        movl    $100, %ecx
        movb    $'F', %al
        movb    $0, buffer + 40
        repne scasb
        mark    'G'                             # G-H: REPE CMPSB, differs at the 5th
        movl    $text_1, %esi
        movl    $text_2, %edi
        movl    $8, %ecx
        repe cmpsb
        mark    'H'                             # H-I: REP OUTSB, 5 to port 0x80
        movl    $text_1, %esi
        movw    $0x80, %dx
        movl    $5, %ecx
        rep outsb
        mark    'I'                             # I-J: REP LODSW by 16-bit addresses: CX counts
        movl    $0x10003, %ecx
        xorl    %esi, %esi
        addr16 rep lodsw
        mark    'J'                             # J-K: a fault: UD2, entry, ADD, IRET
        ud2
        mark    'K'                             # K-L: fault with an error code
        movl    $0xFFF8, %ebx
        movl    %ebx, %fs
        mark    'L'                             # L-M: #DE
        xorl    %ecx, %ecx
        divl    %ecx
        mark    'M'                             # M-N: INT n: one step, the entry is the instruction
        int     $0x30
        mark    'N'                             # N-O: INT3
        int3
        mark    'O'                             # O-P: INTO, not taken and taken
        xorl    %ebx, %ebx
        into
        movb    $0x7F, %bl
        incb    %bl
        into
        mark    'P'                             # P-Q: single step: a #DB entry after each instruction
        pushl   $0x102
        popfl
        nop
        nop
        nop
        movl    %esp, %ebx
        mark    'Q'                             # Q-R: paging on
        movl    $directory, %eax
        movl    %eax, %cr3
        movl    $table + 3, directory
        movl    $table, %edi
        movl    $3, %eax
        movl    $1024, %ecx
3:      stosl
        addl    $4096, %eax
        loop    3b
        movl    %cr0, %eax
        orl     $0x80000000, %eax
        movl    %eax, %cr0
        mark    'R'                             # R-S: REP MOVSB stopped by a page fault at the 9th byte
        movl    $text_1, %esi
        movl    $ABSENT_PAGE - 8, %edi
        andl    $~1, absent_entry
        movl    $ABSENT_PAGE, %eax
        invlpg  (%eax)
        movl    $20, %ecx
        rep movsb
        mark    'S'                             # S-T: paging off
        movl    %cr0, %eax
        andl    $0x7FFFFFFF, %eax
        movl    %eax, %cr0
        mark    'T'                             # T-U: HLT until the timer: idle time is no step
        call    start_timer
        sti
        hlt
        mark    'U'                             # U-V: spin until the timer
        call    start_timer
        movb    $0, fired
        xorl    %ebx, %ebx
        sti
4:      incl    %ebx
        cmpb    $0, fired
        je      4b
        cli
        mark    'V'                             # V-W: interrupts held by IF, then the STI shadow
        movl    %ebx, spins
        call    start_timer
        movb    $0, fired
        movb    $0x0A, %al                      # wait until it is requested: read IRR
        outb    %al, $0x20
        xorl    %ebx, %ebx
5:      incl    %ebx
        inb     $0x20, %al
        testb   $1, %al
        jz      5b
        movl    %ebx, polls
        sti
        nop                                     # in the shadow: runs before the entry
after_shadow:
        nop
        cli
        mark    'W'                             # W-X: one step each
        cpuid
        rdtsc
        pause
        pushal
        popal
        movl    %esp, %ebp
        enter   $16, $3
        leave
        movl    %ss, %ebx
        movl    %ebx, %ss
        lock incl spare
        mark    'X'                             # X-Y: far transfers
        lcall   $CODE32, $far_return
        pushfl
        pushl   $CODE32
        pushl   $6f
        iretl
6:      ljmp    $CODE32, $7f
7:      mark    'Y'                             # Y-Z: a fault on the way into a handler: one entry
        movw    $0, idt + 8 * UD + 4            # the gate is not present: #NP in its place
        ud2
        mark    'Z'
        puts    "\n"
        puts    "UV="
        movl    spins, %eax
        call    print_hex
        puts    "\n"
        puts    "VW="
        movl    polls, %eax
        call    print_hex
        puts    "\n"
        cmpl    $after_shadow, timer_eip
        check   "a held interrupt is entered one instruction after STI"
        cmpb    $4, steps
        check   "one single-step trap an instruction"
        xorl    %eax, %eax
        check   "all sections ran"
        ret

far_return:
        lret

skip_2: addl    $2, (%esp)
        iretl
skip_2_error:
        addl    $4, %esp
        addl    $2, (%esp)
        iretl
plain_iret:
        iretl
        # Clears TF in the frame once the stepped instruction is the MOV before mark Q.
stop_stepping:
        incb    steps
        cmpb    $4, steps
        jne     1f
        andl    $~0x100, 8(%esp)
1:      iretl
map_page:
        addl    $4, %esp
        orl     $1, absent_entry
        iretl
timer:
        pushl   %eax
        movl    4(%esp), %eax
        movl    %eax, timer_eip
        movb    $1, fired
        movb    $0x20, %al
        outb    %al, $0x20
        movb    $0xFF, %al
        outb    %al, $0x21
        popl    %eax
        iretl

        # The 8259s to vectors 0x20 and 0x28, the timer alone; 8254 counter 0 in
        # mode 0, some 7 ms from now: later than any HLT that follows. 26 steps.
start_timer:
        cli
        movb    $0x11, %al
        outb    %al, $0x20
        outb    %al, $0xA0
        movb    $0x20, %al
        outb    %al, $0x21
        movb    $0x28, %al
        outb    %al, $0xA1
        movb    $4, %al
        outb    %al, $0x21
        movb    $2, %al
        outb    %al, $0xA1
        movb    $1, %al
        outb    %al, $0x21
        outb    %al, $0xA1
        movb    $0xFF, %al
        outb    %al, $0xA1
        movb    $0xFE, %al
        outb    %al, $0x21
        movb    $0x30, %al
        outb    %al, $0x43
        movb    $0, %al
        outb    %al, $0x40
        movb    $0x20, %al
        outb    %al, $0x40
        ret

        .section .data
text_1: .ascii  "same and so on, more text"
text_2: .ascii  "sameX and so on"
        .section .bss
        .balign 4096
directory: .skip 4096
table:  .skip   4096
buffer: .skip   128
spins:  .skip   4
polls:  .skip   4
spare:  .skip   4
fired:  .skip   1
steps:  .skip   1
timer_eip: .skip 4
