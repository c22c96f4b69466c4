# A guest that rewrites its own code in a loop: an operand of the running loop,
# then an operand in a function beside it, then functions made anew and called
# once, as a compiler in the guest does.

        .include "cliff.inc"

main:   xorl    %ebx, %ebx
        # Each round changes the instruction that comes next.
        movl    $1000000, %ecx
1:      movl    %ecx, 2f+1
2:      movl    $0, %eax
        addl    %eax, %ebx
        decl    %ecx
        jnz     1b

        # A function in another page is changed and called.
        movl    $1000000, %ecx
1:      movl    %ecx, function+1
        call    function
        decl    %ecx
        jnz     1b

        # 64 functions are made, each is called once.
        movl    $10000, %ebp
1:      movl    $buffer, %edi
        movl    $64, %edx
2:      movl    $model, %esi
        movl    $8, %ecx
        rep movsl
        movl    %edx, -31(%edi)
        decl    %edx
        jnz     2b
        movl    $buffer, %edi
        movl    $64, %edx
2:      call    *%edi
        addl    $32, %edi
        decl    %edx
        jnz     2b
        decl    %ebp
        jnz     1b
        movl    %ebx, %eax
        ret

        .balign 4096
function:
        movl    $0, %eax
        xorl    %eax, %ebx
        ret

        .balign 32
model:  movl    $0, %eax
        addl    %eax, %ebx
        roll    $3, %ebx
        xorl    $0x55, %ebx
        leal    7(%ebx,%eax,2), %ebx
        ret
        .balign 32

        .bss
        .balign 4096
buffer: .skip   64 * 32
