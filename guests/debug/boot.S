# Entry of the debug guest: multiboot 1, 32-bit protected mode, paging off. The
# 64-bit build maps the low GiB to itself and enters long mode; the 32-bit build
# only loads its own descriptors. Both call kmain.
#
# The entries of the timer and of the divide error have unwind tables, so that a
# debugger sees from a handler what was interrupted.

        .cfi_sections .debug_frame

        .set MB_MAGIC, 0x1BADB002

        .section .multiboot, "a"
        .balign 4
        .long MB_MAGIC, 0, -MB_MAGIC

        .section .text.boot, "ax"
        .code32
        .global _start
_start:
        cli
        cld
        mov     $stack_top, %esp
        lgdt    gdt_pointer
#ifdef __x86_64__
        # One page directory: 512 entries of 2 MiB, present, writable.
        mov     $directory, %edi
        mov     $0x83, %eax
        mov     $512, %ecx
1:      mov     %eax, (%edi)
        movl    $0, 4(%edi)
        add     $0x200000, %eax
        add     $8, %edi
        loop    1b
        movl    $directory + 3, pointers
        movl    $pointers + 3, top
        mov     %cr4, %eax
        or      $0x20, %eax                     # PAE
        mov     %eax, %cr4
        mov     $top, %eax
        mov     %eax, %cr3
        mov     $0xC0000080, %ecx               # EFER: LME
        rdmsr
        or      $0x100, %eax
        wrmsr
        mov     %cr0, %eax
        or      $0x80010000, %eax               # PG, WP
        mov     %eax, %cr0
#endif
        ljmp    $8, $start

#ifdef __x86_64__
        .code64
#endif
start:
        mov     $16, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %eax, %ss
        xor     %eax, %eax
        mov     %eax, %fs
        mov     %eax, %gs
        xor     %ebp, %ebp
        call    kmain
2:      cli
        hlt
        jmp     2b

        .section .text, "ax"
        # The entries. At the first instruction the stack pointer points at the
        # frame that the CPU made: the interrupted RIP, CS and RFLAGS, in long
        # mode RSP and SS after them.
#ifdef __x86_64__
        .macro  entry name, handler
        .global \name
        .type   \name, @function
\name:  .cfi_startproc simple
        .cfi_signal_frame
        .cfi_def_cfa rsp, 0
        .cfi_offset rip, 0
        .cfi_offset rsp, 24
        .irp    r, rax, rcx, rdx, rsi, rdi, r8, r9, r10, r11
        push    %\r
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset \r, 0
        .endr
        cld
        lea     72(%rsp), %rdi                  # the frame, for the handler
        call    \handler
        .irp    r, r11, r10, r9, r8, rdi, rsi, rdx, rcx, rax
        pop     %\r
        .cfi_adjust_cfa_offset -8
        .cfi_restore \r
        .endr
        iretq
        .cfi_endproc
        .size   \name, . - \name
        .endm
#else
        .macro  entry name, handler
        .global \name
        .type   \name, @function
\name:  .cfi_startproc simple
        .cfi_signal_frame
        .cfi_def_cfa esp, 0
        .cfi_offset eip, 0
        .cfi_val_offset esp, 12
        .irp    r, eax, ecx, edx
        push    %\r
        .cfi_adjust_cfa_offset 4
        .cfi_rel_offset \r, 0
        .endr
        cld
        lea     12(%esp), %eax                  # the frame, for the handler
        push    %eax
        .cfi_adjust_cfa_offset 4
        call    \handler
        add     $4, %esp
        .cfi_adjust_cfa_offset -4
        .irp    r, edx, ecx, eax
        pop     %\r
        .cfi_adjust_cfa_offset -4
        .cfi_restore \r
        .endr
        iret
        .cfi_endproc
        .size   \name, . - \name
        .endm
#endif

        entry   timer_entry, timer_interrupt
        entry   divide_entry, divide_error

        .section .data
        .balign 8
gdt:    .quad   0
#ifdef __x86_64__
        .quad   0x00AF9B000000FFFF              # 8: 64-bit code
#else
        .quad   0x00CF9B000000FFFF              # 8: 32-bit code
#endif
        .quad   0x00CF93000000FFFF              # 16: data
gdt_pointer:
        .word   . - gdt - 1
        .long   gdt

        .section .bss
        .balign 4096
#ifdef __x86_64__
top:    .skip   4096
pointers: .skip 4096
directory: .skip 4096
#endif
stack:  .skip   16384
stack_top:
