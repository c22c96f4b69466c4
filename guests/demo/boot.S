# Entry of the demo guest: multiboot 1, 32-bit protected mode, paging off.
# Builds identity page tables for the low 4 GiB, enters long mode, calls kmain.

        .set MB_MAGIC, 0x1BADB002
        .set MB_FLAGS, 3                        # page-aligned modules, memory map

        .section .multiboot, "a"
        .balign 4
        .long MB_MAGIC, MB_FLAGS, -(MB_MAGIC + MB_FLAGS)

        .section .text.boot, "ax"
        .code32
        .global _start
_start:
        cli
        cld
        mov     $stack_top, %esp
        mov     %eax, boot_magic
        mov     %ebx, boot_info

        mov     $0x80000000, %eax
        cpuid
        cmp     $0x80000001, %eax
        jb      no_long_mode
        mov     $0x80000001, %eax
        cpuid
        bt      $29, %edx
        jnc     no_long_mode
        mov     %edx, %esi                      # for NX, below

        # Page directories: 2048 entries of 2 MiB, present, writable, 4 GiB in all.
        mov     $pd0, %edi
        mov     $0x83, %eax
        mov     $2048, %ecx
1:      mov     %eax, (%edi)
        movl    $0, 4(%edi)
        add     $0x200000, %eax
        add     $8, %edi
        loop    1b
        mov     $pd0 + 3, %eax
        mov     $pdpt0, %edi
        mov     $4, %ecx
2:      mov     %eax, (%edi)
        add     $0x1000, %eax
        add     $8, %edi
        loop    2b
        movl    $pdpt0 + 3, pml4

        # PAE (bit 5), OSFXSR (9), OSXMMEXCPT (10); PGE (7).
        mov     %cr4, %eax
        or      $0x6A0, %eax
        mov     %eax, %cr4
        mov     $pml4, %eax
        mov     %eax, %cr3
        # EFER: LME (bit 8) and, where CPUID has it, NXE (bit 11).
        mov     $0xC0000080, %ecx
        rdmsr
        or      $0x100, %eax
        bt      $20, %esi
        jnc     3f
        or      $0x800, %eax
        movl    $1, have_nx
3:      wrmsr
        # CR0: PG, WP, NE, MP on; EM, TS off.
        mov     %cr0, %eax
        or      $0x80010022, %eax
        and     $~0xC, %eax
        mov     %eax, %cr0
        lgdt    gdt_pointer
        ljmp    $8, $start64

no_long_mode:
        mov     $no_long_mode_text, %esi
        mov     $0x3F8, %edx
5:      lodsb
        test    %al, %al
        jz      6f
        out     %al, %dx
        jmp     5b
6:      mov     $0x501, %edx
        mov     $1, %al
        out     %al, %dx
7:      cli
        hlt
        jmp     7b

        .code64
start64:
        mov     $16, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %eax, %ss
        xor     %eax, %eax
        mov     %eax, %fs
        mov     %eax, %gs
        mov     $stack_top, %esp
        xor     %ebp, %ebp
        fninit
        push    $0
        popf
        call    kmain
4:      cli
        hlt
        jmp     4b

        # 32 exception stubs and 32 interrupt stubs, 16 bytes apart. Each leaves
        # the frame that struct frame in demo.c names.
        .section .text, "ax"
        .balign 16
        .global stubs
stubs:
        .set n, 0
        .rept 64
        .balign 16
        .if (n == 8) || ((n >= 10) && (n <= 14)) || (n == 17) || (n == 21)
        .else
        push    $0
        .endif
        push    $n
        jmp     common
        .set n, n + 1
        .endr

common:
        push    %rax
        push    %rbx
        push    %rcx
        push    %rdx
        push    %rsi
        push    %rdi
        push    %rbp
        push    %r8
        push    %r9
        push    %r10
        push    %r11
        push    %r12
        push    %r13
        push    %r14
        push    %r15
        cld
        mov     %rsp, %rdi
        mov     %rsp, %rbx
        and     $-16, %rsp
        call    trap
        mov     %rbx, %rsp
        pop     %r15
        pop     %r14
        pop     %r13
        pop     %r12
        pop     %r11
        pop     %r10
        pop     %r9
        pop     %r8
        pop     %rbp
        pop     %rdi
        pop     %rsi
        pop     %rdx
        pop     %rcx
        pop     %rbx
        pop     %rax
        add     $16, %rsp
        iretq

        # Self-modifying code, in a writable page of its own.
        .section .smc, "awx"
        .balign 4096
        # int smc_next(int v): stores v into the operand of the very next instruction.
        .global smc_next
smc_next:
        mov     %edi, 1f(%rip)
        .byte   0xB8                            # MOV EAX, imm32
1:      .long   0
        ret

        # int smc_loop(int n): a loop that rewrites its own body each time round,
        # turning ADD EAX, imm8 (83 C0 ib) into XOR (83 F0 ib) and back.
        .balign 16
        .global smc_loop
smc_loop:
        mov     %edi, %ecx
        xor     %eax, %eax
2:      add     $0x55, %eax
        xorb    $0x30, 2b + 1(%rip)
        incb    2b + 2(%rip)
        andb    $0x7F, 2b + 2(%rip)
        dec     %ecx
        jnz     2b
        ret

        # int smc_far(int v): as smc_next, but the operand lies across a page end
        # and other code runs between the store and its use.
        .global smc_far, smc_far_operand
        .org    0xFFD
smc_far:
        .byte   0xB8
smc_far_operand:
        .long   0
        ret

        # A function to be overwritten as a whole, through another mapping.
        .balign 64
        .global smc_alias
smc_alias:
        .fill   16, 1, 0xC3
        .balign 4096

        .section .data
        .balign 8
gdt:    .quad   0
        .quad   0x00AF9B000000FFFF              # 8: 64-bit code
        .quad   0x00CF93000000FFFF              # 16: data
gdt_pointer:
        .word   . - gdt - 1
        .long   gdt

no_long_mode_text:
        .asciz  "demo: FAILED: this CPU has no long mode\r\n"

        .section .bss
        .balign 4096
        .global pml4, pdpt0, pd0, boot_magic, boot_info, have_nx
pml4:   .skip   4096
pdpt0:  .skip   4096
pd0:    .skip   4 * 4096
stack:  .skip   32768
stack_top:
boot_magic: .skip 4
boot_info:  .skip 4
have_nx:    .skip 4
