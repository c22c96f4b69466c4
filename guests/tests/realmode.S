# Real mode: entered from protected mode, at 0x8000. Segment arithmetic, 64 KiB
# limits, interrupts through the vector table, "unreal" limits that outlive the
# switch, A20 and address wrap (Intel SDM volume 3, sections 9.9.2 and 20.1).

        .include "common32.inc"

        .set LOW, 0x8000
        .set far_word, 0x200000
        .set BIG, FREE                          # data, limit 4 GiB

test:
        descriptor BIG, 0xFFFFF, 0x92, 0xC
        movl    $real_begin, %esi
        movl    $LOW, %edi
        movl    $(real_end - real_begin), %ecx
        rep movsb
        movl    %esp, saved_esp
        movl    $results, %edi
        movl    $0, %eax
        movl    $32, %ecx
        rep stosb
        ljmp    $CODE16, $(LOW + to_real - real_begin)
back:   movl    $DATA32, %eax
        movl    %eax, %ds
        movl    %eax, %es
        movl    %eax, %ss
        movl    saved_esp, %esp
        xorl    %eax, %eax
        movl    %eax, %fs
        movl    %eax, %gs
        lidt    idt_pointer

        .macro  result number, name
        cmpb    $1, results + \number
        check   "\name"
        .endm
        result  0, "CR0.PE is clear"
        result  1, "a segment's base is 16 times its selector"
        result  2, "INT pushes FLAGS, CS, IP"
        result  3, "INT clears IF and TF, IRET brings them back"
        result  4, "#DE comes through vector 0, IP at the DIV"
        result  5, "#UD comes through vector 6"
        result  6, "#GP: a word at offset 0xFFFF"
        result  7, "#SS: a word at offset 0xFFFF of the stack"
        result  8, "#GP: 32-bit offset beyond 64 KiB"
        result  9, "SP wraps at 16 bits"
        result  10, "a 16-bit address wraps at 16 bits"
        result  11, "32-bit operands by prefix"
        result  12, "FFFF:0010 is 1 MiB with A20 on"
        result  13, "far call and far return"
        result  14, "BOUND and #BR"
        result  15, "#GP: INT beyond IDTR's limit is 13"
        result  16, "LOOP counts CX"
        result  17, "REP STOSW counts CX, from DI"
        result  18, "PUSHA, POPA: 16 bytes"
        result  19, "ENTER, LEAVE"
        result  20, "BCD: DAA, DAS, AAA, AAM, AAD"
        result  21, "unreal: a limit of 4 GiB outlives the switch"
        result  22, "SMSW, LMSW"
        result  23, "#NM: x87 with CR0.TS"
        result  24, "a selector loaded in real mode keeps the limit"
        result  25, "XLAT, LDS, LES"
        ret

        # ---- from here on a copy runs at LOW ----
        .macro  at label
        .set \label\()_low, \label - real_begin + LOW
        .endm

        # Passes on ZF: stores 1 as result `number`. FS is unreal.
        .macro  real_check number
        sete    %cs:flag - real_begin + LOW
        pushw   %ax
        movb    %cs:flag - real_begin + LOW, %al
        addr32 movb %al, %fs:results + \number
        popw    %ax
        .endm

        # Resumes at local label 9 after vector n.
        .macro  real_try
        movw    $(99f - real_begin + LOW), %cs:resume_low
        movw    %sp, %cs:saved_sp
        movw    $0xFFFF, %cs:vector
        .endm
        .macro  real_caught vector_number, address, number
99:     movw    %cs:vector, %ax
        cmpw    $\vector_number, %ax
        jne     98f
        cmpw    $(\address - real_begin + LOW), %cs:saved_ip
98:     real_check \number
        .endm

        .set vector, vector_store - real_begin + LOW
        .set saved_ip, vector + 2
        .set saved_sp, vector + 4
        .set resume_low, vector + 6

real_begin:
        .code16
to_real:
        movw    $BIG, %ax
        movw    %ax, %fs                        # keeps its limit of 4 GiB
        movw    $DATA16, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %ss
        movl    %cr0, %eax
        andl    $~1, %eax
        movl    %eax, %cr0
        ljmp    $0, $(1f - real_begin + LOW)
1:      xorw    %ax, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %ss
        movw    $0x7000, %sp
        lidtl   %cs:ivt_pointer - real_begin + LOW
        # Vector table at 0: all to stubs of 8 bytes that note their number.
        movw    $0, %di
        movw    $(real_stubs - real_begin + LOW), %ax
        movw    $32, %cx
2:      movw    %ax, (%di)
        movw    $0, 2(%di)
        addw    $8, %ax
        addw    $4, %di
        loop    2b

        # 0
        movl    %cr0, %eax
        testb   $1, %al
        real_check 0
        # 1
        movw    $0x1234, %ax
        movw    %ax, %ds
        movb    $0x5A, 0x10
        xorw    %ax, %ax
        movw    %ax, %ds
        addr32 cmpb $0x5A, %fs:0x12350
        real_check 1
        # 2, 3
        movw    $(int_40 - real_begin + LOW), 0x40 * 4
        movw    $0, 0x40 * 4 + 2
        pushw   $0x0302                         # IF and, after the next instruction, TF
        movw    %sp, %bx
        popw    %ax
        andw    $0xFEFF, %ax
        pushw   %ax
        cli
        popfw
        int     $0x40
3:      pushfw
        cli
        popw    %dx
        cmpw    $(3b - real_begin + LOW), %si   # IP pushed
        jne     4f
        cmpw    $0, %cx                         # CS pushed
        jne     4f
        andw    $0x300, %di                     # FLAGS pushed
        cmpw    $0x200, %di
4:      real_check 2
        testw   $0x200, %bp                     # FLAGS in the handler
        jnz     5f
        andw    $0x200, %dx
        cmpw    $0x200, %dx
5:      real_check 3
        # 4
        real_try
        xorw    %cx, %cx
6:      divw    %cx
        real_caught 0, 6b, 4
        # 5
        real_try
6:      ud2
        real_caught 6, 6b, 5
        # 6
        real_try
        movw    $0xFFFF, %bx
6:      movw    (%bx), %ax
        real_caught 13, 6b, 6
        # 7
        real_try
        movw    $0xFFFF, %bp
6:      movw    (%bp), %ax
        real_caught 12, 6b, 7
        # 8
        real_try
        movl    $0x10000, %ebx
6:      movb    (%ebx), %al
        real_caught 13, 6b, 8
        # 9
        movw    %sp, %cx
        movw    $0, %sp
        pushw   $0x77
        cmpw    $0xFFFE, %sp
        movw    %cx, %sp
        real_check 9
        # 10
        movb    $0x33, 0x600
        movw    $0xFF00, %bx
        movw    $0x0700, %si
        cmpb    $0x33, (%bx,%si)
        real_check 10
        # 11
        movl    $0x12345678, %eax
        roll    $16, %eax
        cmpl    $0x56781234, %eax
        real_check 11
        # 12
        movw    $0xFFFF, %ax
        movw    %ax, %es
        addr32 movb $0x21, %fs:0x90000
        addr32 movb %fs:0x100000, %ah
        movb    %es:0x10, %al
        cmpb    %ah, %al
        jne     7f
        addr32 notb %fs:0x100000
        movb    %es:0x10, %al
        addr32 notb %fs:0x100000
        notb    %al
        cmpb    %ah, %al
7:      real_check 12
        xorw    %ax, %ax
        movw    %ax, %es
        # 13
        movw    %sp, %bx
        lcall   $0x100, $(far_proc - real_begin + LOW - 0x1000)
        cmpw    %bx, %sp
        jne     8f
        cmpw    $0x0100, %ax
8:      real_check 13
        # 14
        movw    $5, 0x500
        movw    $9, 0x502
        real_try
        movw    $9, %ax
        boundw  %ax, 0x500
        movw    $10, %ax
6:      boundw  %ax, 0x500
        real_caught 5, 6b, 14
        # 15: with a limit of 32 vectors, vector 0x40 is #GP.
        lidtl   %cs:ivt_small - real_begin + LOW
        real_try
6:      int     $0x40
        real_caught 13, 6b, 15
        lidtl   %cs:ivt_pointer - real_begin + LOW
        # 16
        movl    $0x10003, %ecx
        xorw    %ax, %ax
1:      incw    %ax
        loop    1b
        cmpl    $0x10000, %ecx
        jne     2f
        cmpw    $3, %ax
2:      real_check 16
        # 17
        movl    $0xFFFF0504, %edi
        movl    $0x10002, %ecx
        movw    $0xABCD, %ax
        rep stosw
        cmpl    $0xFFFF0508, %edi
        jne     3f
        cmpl    $0xABCDABCD, 0x504
3:      real_check 17
        # 18
        movw    $0x1111, %cx
        movw    %sp, %bx
        pushaw
        movw    %bx, %dx
        subw    %sp, %dx
        movw    $0, %cx
        popaw
        cmpw    $0x1111, %cx
        jne     4f
        cmpw    %bx, %sp
4:      real_check 18
        # 19
        movw    %sp, %bx
        movw    $0x4444, %bp
        enterw  $10, $0
        movw    %bx, %ax
        subw    %sp, %ax
        leavew
        cmpw    $12, %ax
        jne     5f
        cmpw    $0x4444, %bp
5:      real_check 19
        # 20
        movb    $0x38, %al
        addb    $0x45, %al
        daa
        cmpb    $0x83, %al
        jne     6f
        subb    $0x47, %al
        das
        cmpb    $0x36, %al
        jne     6f
        movw    $0x0008, %ax
        addb    $0x05, %al
        aaa
        cmpw    $0x0103, %ax
        jne     6f
        movb    $63, %al
        aam
        cmpw    $0x0603, %ax
        jne     6f
        aad
        cmpw    $63, %ax
6:      real_check 20
        # 21: FS had its limit all along; write and read back above 1 MiB.
        addr32 movl $0xFEEDF00D, %fs:far_word
        addr32 movl %fs:far_word, %eax
        cmpl    $0xFEEDF00D, %eax
        real_check 21
        # 22
        smsw    %ax
        testb   $1, %al
        jnz     7f
        orb     $8, %al                         # TS
        lmsw    %ax
        smsw    %ax
        andb    $9, %al
        cmpb    $8, %al
7:      real_check 22
        # 23
        real_try
6:      fld1
        real_caught 7, 6b, 23
        clts
        # 24: loading FS in real mode sets its base, not its limit.
        movw    $0x1000, %ax
        movw    %ax, %fs
        addr32 movl $0x0BADCAFE, %fs:far_word
        xorw    %ax, %ax
        movw    %ax, %fs
        addr32 movl %fs:far_word + 0x10000, %eax
        cmpl    $0x0BADCAFE, %eax
        real_check 24
        # 25
        movw    $0x0520, 0x510
        movw    $0x1234, 0x512
        ldsw    0x510, %bx
        movw    %ds, %dx
        xorw    %ax, %ax
        movw    %ax, %ds
        cmpw    $0x1234, %dx
        jne     8f
        lesw    0x510, %si
        movw    %es, %dx
        movw    %ax, %es
        cmpw    $0x1234, %dx
        jne     8f
        movb    $0x99, 0x523
        movb    $3, %al
        xlatb
        cmpb    $0x99, %al
8:      real_check 25

        cli
        lgdtl   %cs:real_gdt - real_begin + LOW
        movl    %cr0, %eax
        orl     $1, %eax
        movl    %eax, %cr0
        ljmpl   $CODE32, $back

int_40: pushfw
        popw    %bp
        movw    %sp, %bx
        movw    %ss:(%bx), %si
        movw    %ss:2(%bx), %cx
        movw    %ss:4(%bx), %di
        iretw

far_proc:
        movw    %cs, %ax
        lretw

        .balign 8
real_stubs:
        .set n, 0
        .rept   32
        .balign 8
        pushw   $n
        jmp     real_trap
        .set n, n + 1
        .endr
real_trap:
        popw    %cs:vector
        popw    %cs:saved_ip
        movw    %cs:saved_sp, %sp
        jmpw    *%cs:resume_low

        .balign 4
vector_store:
        .word   0, 0, 0, 0
flag:   .byte   0
        .balign 4
ivt_pointer:
        .word   0x3FF
        .long   0
ivt_small:
        .word   32 * 4 - 1
        .long   0
real_gdt:
        .word   gdt_end - gdt - 1
        .long   gdt
real_end:
        .code32

        .section .bss
results: .skip  32
saved_esp: .skip 4
        .section .text
