# A guest that switches address spaces 10,000 times a virtual second: with 8 ns a
# step, every 12,500 steps. Forty spaces, each with pages of its own at the same
# addresses, and work that reads and writes all of them.

        .include "cliff.inc"

        .set SPACES, 40
        .set SWITCHES, 20000
        .set TABLES, 0x400000                   # two pages for each space
        .set FRAMES, 0x800000                   # 64 pages for each space
        .set WINDOW, 0x40000000

main:   movl    $TABLES, %edi
        xorl    %ebp, %ebp
1:      # The directory: the first 4 MiB as they are, the window through a table.
        movl    $2048, %ecx
        xorl    %eax, %eax
        pushl   %edi
        rep stosl
        popl    %edi
        movl    $0x83, (%edi)
        leal    4096 + 3(%edi), %eax
        movl    %eax, (WINDOW >> 22) * 4(%edi)
        movl    %ebp, %eax
        shll    $18, %eax
        addl    $FRAMES + 3, %eax
        xorl    %ecx, %ecx
2:      movl    %eax, 4096(%edi,%ecx,4)
        addl    $4096, %eax
        incl    %ecx
        cmpl    $64, %ecx
        jne     2b
        addl    $8192, %edi
        incl    %ebp
        cmpl    $SPACES, %ebp
        jne     1b
        movl    %cr4, %eax
        orl     $0x10, %eax                     # 4 MiB pages
        movl    %eax, %cr4
        movl    $TABLES, %eax
        movl    %eax, %cr3
        movl    %cr0, %eax
        orl     $0x80000000, %eax
        movl    %eax, %cr0

        xorl    %ebx, %ebx
        movl    $SWITCHES, %ebp
        movl    $TABLES, %edi
1:      movl    %edi, %cr3
        movl    $32, %edx                       # 32 times 64 pages, 6 steps each
2:      movl    $WINDOW, %esi
        movl    $64, %ecx
3:      addl    (%esi), %ebx
        leal    1(%ebx), %eax
        movl    %eax, 8(%esi)
        addl    $4096, %esi
        decl    %ecx
        jnz     3b
        decl    %edx
        jnz     2b
        addl    $8192, %edi
        cmpl    $TABLES + SPACES * 8192, %edi
        jne     4f
        movl    $TABLES, %edi
4:      decl    %ebp
        jnz     1b
        movl    %ebx, %eax
        ret
