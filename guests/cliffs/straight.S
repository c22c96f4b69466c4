# 100 MB of straight-line code, run again and again: no block of it comes often,
# but all of them together outgrow every cache.

        .include "cliff.inc"

        .set CODE, 0x1000000
        .set SIZE, 100 << 20

main:   movl    $CODE, %edi
        movl    $SIZE / 16, %edx
1:      movl    $pattern, %esi
        movl    $4, %ecx
        rep movsl
        movl    %edx, -15(%edi)
        decl    %edx
        jnz     1b
        movb    $0xC3, (%edi)                   # ret
        xorl    %ebx, %ebx
        movl    $6, %ebp
1:      movl    $CODE, %eax
        call    *%eax
        decl    %ebp
        jnz     1b
        movl    %ebx, %eax
        ret

        .balign 16
pattern:
        movl    $0, %eax
        addl    %eax, %ebx
        roll    $5, %ebx
        xorl    %eax, %ebx
        leal    3(%ebx), %ebx
        nop
