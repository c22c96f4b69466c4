# A guest that does nothing but page faults: every access is to a page that is not
# there. The handler maps it; behind the access it is taken away again.

        .include "cliff.inc"

        .set DIRECTORY, 0x400000
        .set TABLE, 0x401000
        .set FRAMES, 0x500000
        .set WINDOW, 0x40000000
        .set FAULTS, 1000000

main:   movl    $DIRECTORY, %edi
        movl    $2048, %ecx
        xorl    %eax, %eax
        rep stosl
        movl    $0x83, DIRECTORY
        movl    $0x400083, DIRECTORY + 4
        movl    $TABLE + 3, DIRECTORY + (WINDOW >> 22) * 4
        movl    $handler, %eax
        movw    %ax, idt + 14 * 8
        movw    $8, idt + 14 * 8 + 2
        movw    $0x8E00, idt + 14 * 8 + 4
        shrl    $16, %eax
        movw    %ax, idt + 14 * 8 + 6
        lidt    idt_pointer
        movl    %cr4, %eax
        orl     $0x10, %eax
        movl    %eax, %cr4
        movl    $DIRECTORY, %eax
        movl    %eax, %cr3
        movl    %cr0, %eax
        orl     $0x80010000, %eax
        movl    %eax, %cr0

        xorl    %ebx, %ebx
        xorl    %esi, %esi
        movl    $FAULTS, %ebp
1:      movl    WINDOW(%esi), %eax
        addl    %eax, %ebx
        incl    %ebx
        movl    %esi, %ecx
        shrl    $12, %ecx
        movl    $0, TABLE(,%ecx,4)
        invlpg  WINDOW(%esi)
        addl    $4096, %esi
        andl    $0x3FFFFF, %esi
        decl    %ebp
        jnz     1b
        movl    %ebx, %eax
        ret

handler:
        addl    $4, %esp
        pushl   %eax
        pushl   %edx
        movl    %cr2, %eax
        subl    $WINDOW, %eax
        shrl    $12, %eax
        movl    %eax, %edx
        andl    $63, %edx
        shll    $12, %edx
        addl    $FRAMES + 3, %edx
        movl    %edx, TABLE(,%eax,4)
        popl    %edx
        popl    %eax
        iret

        .data
idt_pointer:
        .word   256 * 8 - 1
        .long   idt
        .bss
        .balign 8
idt:    .skip   256 * 8
