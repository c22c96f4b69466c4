# Self-modifying code: what is stored must be what is fetched next, whatever was
# cached of it (Intel SDM volume 3, section 8.1.3, and section 11.6: on these
# processors a store to the same linear address needs no serialising).

        .include "common32.inc"

        .macro  same name, want
        cmpl    $\want, %eax
        check   "\name"
        .endm

test:
        # The operand of the very next instruction.
        movl    $0x11111111, 1f + 1
1:      movl    $0, %eax
        same    "a store to the next instruction", 0x11111111

        # The opcode of the very next instruction: INC EAX becomes DEC EAX.
        xorl    %eax, %eax
        movb    $0x48, 1f
1:      .byte   0x40
        same    "a new opcode for the next instruction", 0xFFFFFFFF

        # Several times in a loop that has run before.
        movl    $1000, %ecx
        xorl    %eax, %eax
1:      addl    $1, %eax                        # 83 C0 ib
2:      addl    $0, %eax
        incb    2b + 2
        andb    $7, 2b + 2
        decl    %ecx
        jnz     1b
        same    "a loop that counts in its own operand", 4500

        # Code that was run a thousand times, changed once, run again.
        movl    $1000, %ecx
1:      call    hot
        loop    1b
        movb    $0x22, hot + 1
        call    hot
        same    "hot code changed once", 0x22
        movb    $0x11, hot + 1

        # A byte at a time: an instruction grows and shrinks.
        movl    $0x90909090, 1f
        movb    $0xB0, 1f                       # MOV AL, 0x90
        xorl    %eax, %eax
        jmp     1f
1:      .fill   4, 1, 0x90
        same    "an instruction put together from old bytes", 0x90

        # Across the end of a page, either half.
        movb    $0xB8, far_code
        movb    $0xC3, far_code + 5
        movw    $0xBBAA, far_operand
        movl    $far_code, %ebx
        call    *%ebx
        same    "an operand across a page end, all new", 0x0000BBAA
        movb    $0xCC, far_operand + 3          # in the second page
        call    *%ebx
        same    "its part in the second page", 0xCC00BBAA
        movb    $0xDD, far_operand              # in the first page
        call    *%ebx
        same    "its part in the first page", 0xCC00BBDD
        movl    $0, far_operand

        # A store across a page end that changes both pages' code.
        movl    $0x90C39090, page_edge          # NOP; NOP; RET; NOP
        xorl    %eax, %eax
        call    page_edge
        movl    $0xC377B090, page_edge          # NOP; MOV AL, 0x77; RET
        call    page_edge
        same    "a store into two pages of code", 0x77
        movb    $0x88, page_edge + 2
        call    page_edge
        same    "its part in the second page again", 0x88

        # REP MOVSB over the code that follows it, the copy in progress included.
        movl    $template, %esi
        movl    $1f, %edi
        movl    $6, %ecx
        rep movsb
1:      .fill   6, 1, 0xF4                      # HLT until overwritten
        same    "REP MOVSB onto the next instruction", 0x600D600D

        # A PUSH onto code: the stack pointer inside the code page.
        movl    %esp, %ebx
        movl    $2f, %esp
        pushl   $0x90909040                     # INC EAX; NOP; NOP; NOP
        xorl    %eax, %eax
1:      .fill   4, 1, 0xF4
2:      movl    %ebx, %esp
        same    "a PUSH onto the next instruction", 1

        # A read-modify-write with LOCK.
        movl    $0x00000005, %ecx
        lock addl %ecx, 1f + 1
1:      movl    $0x10, %eax
        same    "LOCK ADD to the next instruction", 0x15

        # x87 and string stores.
        fldl    code_as_double
        fstpl   1f
1:      .fill   8, 1, 0xF4
        same    "an x87 store onto the next instruction", 0x12345678

        # CMPXCHG8B.
        movl    1f, %eax
        movl    1f + 4, %edx
        movl    $0xADBEEFB8, %ebx
        movl    $0x909090DE, %ecx
        lock cmpxchg8b 1f
1:      .fill   8, 1, 0xF4
        same    "CMPXCHG8B onto the next instruction", 0xDEADBEEF

        # A data store right beside code in its page, many times: nothing breaks.
        movl    $10000, %ecx
        xorl    %eax, %eax
1:      incl    beside
        addl    beside, %eax
        decl    %ecx
        jnz     1b
        same    "data beside code", 50005000
        jmp     2f
beside: .long   0
2:
        # Code generated over and over in one place, each time longer.
        xorl    %ebx, %ebx
        movl    $1, %edx
1:      movl    $arena, %edi
        movl    %edx, %ecx
        movb    $0x40, %al                      # INC EAX, EDX times
        rep stosb
        movb    $0xC3, (%edi)
        xorl    %eax, %eax
        call    arena
        addl    %eax, %ebx
        incl    %edx
        cmpl    $201, %edx
        jb      1b
        movl    %ebx, %eax
        same    "code generated 200 times in one place", 20100

        # The same physical page at two linear addresses: written at one, run at the other.
        call    paging_on
        movl    $1000, %ebx
        xorl    %edx, %edx
1:      movl    %ebx, alias_code + ALIAS + 1
        pushl   %ebx
        pushl   %edx
        xorl    %eax, %eax
        cpuid                                   # serialises: another linear address
        popl    %edx
        popl    %ebx
        call    alias_code
        cmpl    %ebx, %eax
        jne     2f
        incl    %edx
2:      decl    %ebx
        jnz     1b
        movl    %edx, %eax
        same    "code written through another linear address", 1000
        # One linear address, first one page, then another.
        movl    %cr3, %ebx
        call    remap_target
        pushl   %eax
        movl    $remap_page_2 + 3, remap_entry
        invlpg  REMAP
        call    remap_target
        popl    %edx
        shll    $16, %edx
        orl     %edx, %eax
        same    "another page of code at the same address", 0x00010002
        # Back again, by a new CR3 only.
        movl    $remap_page_1 + 3, remap_entry
        movl    %ebx, %cr3
        call    remap_target
        same    "and back, after a load of CR3", 1
        ret

hot:    movb    $0x11, %al
        movzbl  %al, %eax
        ret

template:
        .byte   0xB8
        .long   0x600D600D
        nop

        # Identity for 4 MiB; linear ALIAS + x is physical x; REMAP is one page.
        .set ALIAS, 0x400000
        .set REMAP, 0x800000
        .set remap_target, REMAP
paging_on:
        movl    $0x000001B8, remap_page_1       # MOV EAX, 1; RET
        movw    $0xC300, remap_page_1 + 4
        movl    $0x000002B8, remap_page_2
        movw    $0xC300, remap_page_2 + 4
        movl    $tables, %edi
        movl    $3, %eax
        movl    $1024, %ecx
1:      movl    %eax, (%edi)
        movl    %eax, 4096(%edi)
        addl    $4, %edi
        addl    $4096, %eax
        loop    1b
        movl    $remap_page_1 + 3, remap_entry
        movl    $tables + 3, directory
        movl    $tables + 4096 + 3, directory + 4
        movl    $remap_entry + 3, directory + 8
        movl    $directory, %eax
        movl    %eax, %cr3
        movl    %cr0, %eax
        orl     $0x80010000, %eax
        movl    %eax, %cr0
        ret

alias_code:
        movl    $0, %eax
        ret

        .section .data
code_as_double:
        .byte   0xB8, 0x78, 0x56, 0x34, 0x12, 0x90, 0x90, 0x90
        .section .bss
        .balign 4096
directory: .skip 4096
tables: .skip   8192
remap_entry: .skip 4096
remap_page_1: .skip 4096
remap_page_2: .skip 4096
far_page: .skip 3 * 4096
        .set    far_code, far_page + 4096 - 3   # MOV EAX, imm32; RET
        .set    far_operand, far_code + 1
        .set    page_edge, far_page + 2 * 4096 - 2
arena:  .skip   512
