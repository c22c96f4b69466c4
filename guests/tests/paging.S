# Paging: 32-bit (with 4 MiB pages), PAE and 4-level (in compatibility mode), the
# same suite in each: accessed and dirty bits, permissions and error codes,
# faults in the middle of accesses, changes without a flush; then what only the
# wider formats have (Intel SDM volume 3, chapter 4).
#
# "no visible TLB" names DejaVM's own promise (design: caches are invisible):
# real CPUs may answer otherwise there.

        .include "common32.inc"
        .include "long.inc"

        .set W, 0x00C00000                      # the window: its entry is at [w_pte]
        .set LARGE, 0x01400000                  # a large page's address
        .set TSS32, FREE

        .macro  pte flags
        movl    w_pte, %edi
        movl    $frame_1 + \flags, (%edi)
        invlpg  W
        .endm

        .macro  pte_bits mask, want, name
        movl    w_pte, %edi
        movl    (%edi), %eax
        andl    $\mask, %eax
        cmpl    $\want, %eax
        check   "\name"
        .endm

        .macro  cr2_is want, name
        cmpl    $\want, got_cr2
        check   "\name"
        .endm

        .macro  in_user label
        movl    $\label, %eax
        jmp     enter_user
        .endm

test:
        descriptor TSS32, 0x67, 0x89, 0
        set_base TSS32, tss
        movl    $inner_stack_top, tss + 4
        movl    $DATA32, tss + 8
        movl    $TSS32, %eax
        ltr     %ax

        # ---- 32-bit paging ----
        puts    "32-bit paging\n"
        movl    $table_0, %edi
        movl    $7, %eax
        movl    $1024, %ecx
1:      stosl
        addl    $4096, %eax
        loop    1b
        movl    $table_0 + 7, top
        movl    $table_w + 7, top + 4 * (W >> 22)
        movl    $table_w, w_pte
        movl    $top + 4 * (W >> 22), w_pde
        movl    $top + 4 * (LARGE >> 22), large_pde
        movl    $0x200000, large_reserved       # bit 21
        movl    $table_w + 4, w_pte_2
        movl    %cr4, %eax
        orl     $0x10, %eax                     # PSE
        movl    %eax, %cr4
        movl    $top, %eax
        movl    %eax, %cr3
        movl    %cr0, %eax
        orl     $0x80010000, %eax
        movl    %eax, %cr0
        call    suite
        call    paging_off

        # ---- PAE ----
        puts    "PAE paging\n"
        call    clear_tables
        call    narrow_tables
        movl    $top, %eax
        movl    $directory_w + 1, (%eax)
        movl    %cr4, %eax
        orl     $0x20, %eax
        movl    %eax, %cr4
        movl    $top, %eax
        movl    %eax, %cr3
        movl    %cr0, %eax
        orl     $0x80010000, %eax
        movl    %eax, %cr0
        call    suite
        call    wide_suite
        # The four top entries are registers, loaded by MOV to CR3.
        movl    $0, W
        movl    $directory_w + 1, top + 8
        movl    %cr3, %eax
        movl    %eax, %cr3
        movl    $0, top + 8
        try
        movl    0x40000000 + W, %eax
        caught  "PDPTE registers: a change in memory is not seen", NONE, ANY, ANY
        movl    %cr3, %eax
        movl    %eax, %cr3
        try
1:      movl    0x40000000 + W, %eax
        caught  "PDPTE registers: until CR3 is loaded", PF, 0, 1b
        movl    $directory_w + 3, top + 8       # R/W is reserved here
        movl    %cr3, %eax
        try
1:      movl    %eax, %cr3
        caught  "PDPTE registers: a reserved bit: #GP by MOV to CR3", GP, 0, 1b
        movl    $0, top + 8
        call    paging_off

        # ---- 4-level ----
        movl    $0x80000001, %eax
        cpuid
        btl     $29, %edx
        jc      1f
        puts    "SKIP 4-level: no long mode\n"
        ret
1:      puts    "4-level paging\n"
        call    clear_tables
        call    narrow_tables
        movl    $directory_w + 7, pdpt
        movl    $pdpt + 7, top
        movl    $top, %eax
        call    enter_long
        call    suite
        call    wide_suite
        call    four_level_suite
        ret

paging_off:
        movl    %cr0, %eax
        andl    $0x7FFEFFFF, %eax
        movl    %eax, %cr0
        ret

clear_tables:
        movl    $top, %edi
        movl    $(tables_end - top) / 4, %ecx
        xorl    %eax, %eax
        rep stosl
        ret

        # 8-byte entries: identity for 4 MiB (two tables), the window, a large page.
narrow_tables:
        movl    $table_0, %edi
        movl    $7, %eax
        movl    $1024, %ecx
1:      movl    %eax, (%edi)
        addl    $8, %edi
        addl    $4096, %eax
        loop    1b
        movl    $table_0 + 7, directory_w
        movl    $table_0 + 4096 + 7, directory_w + 8
        movl    $table_w + 7, directory_w + 8 * (W >> 21)
        movl    $table_w, w_pte
        movl    $table_w + 8, w_pte_2
        movl    $directory_w + 8 * (W >> 21), w_pde
        movl    $directory_w + 8 * (LARGE >> 21), large_pde
        movl    $0x2000, large_reserved         # bit 13
        ret

suite:  # ---- accessed and dirty ----
        pte     7
        movl    W, %eax
        pte_bits 0x60, 0x20, "a read sets A, not D"
        movl    %eax, W
        pte_bits 0x60, 0x60, "a write sets D"
        pte     7
        movl    %eax, W
        pte_bits 0x60, 0x60, "a first write sets A and D"
        movl    w_pde, %edi
        andl    $~0x60, (%edi)
        movl    %cr3, %eax
        movl    %eax, %cr3
        movl    %eax, W
        movl    w_pde, %edi
        movl    (%edi), %eax
        andl    $0x60, %eax
        cmpl    $0x20, %eax
        check   "a walk sets A in the directory entry, and no D"
        movl    w_pte, %edi
        movl    W, %eax
        andl    $~0x60, (%edi)
        movl    W, %eax
        pte_bits 0x60, 0x20, "no visible TLB: A is set again without a flush"
        movl    w_pte, %edi
        movl    %eax, W
        andl    $~0x40, (%edi)
        movl    %eax, W
        pte_bits 0x60, 0x60, "no visible TLB: D is set again without a flush"

        # ---- not present ----
        pte     6
        try
1:      movl    W + 0x123, %eax
        caught  "#PF: read, not present", PF, 0, 1b
        cr2_is  (W+0x123), "CR2"
        try
1:      movl    %eax, W + 0x10
        caught  "#PF: write, not present", PF, 2, 1b
        pte_bits 0x60, 0, "no A or D from a fault"
        try
        in_user user_read
        caught  "#PF: read from ring 3, not present", PF, 4, user_read
        try
        in_user user_write
        caught  "#PF: write from ring 3, not present", PF, 6, user_write
        try
        movl    $W, %eax
        jmp     *%eax
        caught  "#PF: fetch, not present", PF, ANY, W
        movl    got_error, %eax
        andl    $~0x10, %eax                    # I/D only with EFER.NXE, see below
        check   "#PF: fetch, not present: error code"

        # ---- permissions ----
        pte     5
        try
1:      movl    %eax, W
        caught  "#PF: write to read-only, CR0.WP", PF, 3, 1b
        pte_bits 0x40, 0, "no D from a write that faults"
        try
1:      incl    W
        caught  "#PF: read-modify-write of read-only", PF, 3, 1b
        movl    W, %ecx
        notl    %ecx
        movl    %ecx, %eax
        try
1:      lock cmpxchgl %ebx, W
        caught  "#PF: a CMPXCHG that would not store", PF, 3, 1b
        movl    %cr0, %eax
        andl    $~0x10000, %eax
        movl    %eax, %cr0
        try
        movl    $0x1234, W
        caught  "write to read-only without CR0.WP passes", NONE, ANY, ANY
        pte_bits 0x60, 0x60, "and sets D"
        movl    %cr0, %eax
        orl     $0x10000, %eax
        movl    %eax, %cr0
        try
        in_user user_write
        caught  "#PF: write from ring 3 to read-only", PF, 7, user_write
        try
        in_user user_read
        caught  "read from ring 3 passes", UD, NONE, user_read_end
        pte     3
        try
        in_user user_read
        caught  "#PF: read from ring 3 of a supervisor page", PF, 5, user_read
        pte     7
        movl    w_pde, %edi
        andl    $~2, (%edi)
        invlpg  W
        try
        in_user user_write
        caught  "#PF: the directory entry is read-only", PF, 7, user_write
        movl    w_pde, %edi
        orl     $2, (%edi)
        andl    $~4, (%edi)
        invlpg  W
        try
        in_user user_read
        caught  "#PF: the directory entry is the supervisor's", PF, 5, user_read
        movl    w_pde, %edi
        orl     $4, (%edi)
        invlpg  W

        # ---- changes without a flush ----
        pte     5
        movl    W, %eax
        movl    w_pte, %edi
        orl     $2, (%edi)
        try
        movl    $77, W
        caught  "no visible TLB: a permission grows without a flush", NONE, ANY, ANY
        movl    w_pte, %edi
        andl    $~2, (%edi)
        try
1:      movl    $78, W
        caught  "no visible TLB: a permission shrinks without a flush", PF, 3, 1b
        pte     7
        movl    $0x1111, frame_1
        movl    $0x2222, frame_2
        movl    W, %eax
        movl    w_pte, %edi
        movl    $frame_2 + 7, (%edi)
        cmpl    $0x2222, W
        check   "no visible TLB: remapped without a flush"
        invlpg  W
        cmpl    $0x2222, W
        check   "remapped, with INVLPG"
        pte     7
        movl    %cr3, %eax
        movl    W, %ecx
        movl    w_pte, %edi
        movl    $frame_2 + 7, (%edi)
        movl    %eax, %cr3
        cmpl    $0x2222, W
        check   "remapped, with a load of CR3"

        # ---- in the middle of things ----
        pte     7
        movl    w_pte_2, %edi
        movl    $0, (%edi)
        invlpg  W + 0x1000
        movl    $0x5A5A5A5A, W + 0xFFC
        try
1:      movl    $0x12345678, W + 0xFFE
        caught  "#PF: a write across into an absent page", PF, 2, 1b
        cr2_is  (W+0x1000), "CR2: the second page's first byte"
        cmpl    $0x5A5A5A5A, W + 0xFFC
        check   "and nothing was written to the first page"
        try
        movl    $W + 0xFFC, %edi
        movl    $20, %ecx
        movb    $1, %al
1:      rep stosb
        caught  "#PF: REP STOSB into an absent page", PF, 2, 1b
        cmpl    $16, got_ecx
        check   "REP: ECX at the fault"
        cmpl    $W + 0x1000, got_edi
        check   "REP: EDI at the fault"
        movw    $0xB890, W + 0xFFE              # NOP; MOV EAX, ...
        try
        movl    $W + 0xFFE, %eax
        jmp     *%eax
        caught  "#PF: the second half of an instruction is absent", PF, ANY, (W+0xFFF)
        cr2_is  (W+0x1000), "CR2: the half that is absent"

        # ---- large pages ----
        movl    large_pde, %edi
        movl    $0x87, (%edi)
        invlpg  LARGE
        movl    LARGE + 0x100000, %eax
        cmpl    0x100000, %eax
        check   "a large page maps"
        movl    large_pde, %edi
        movl    (%edi), %eax
        andl    $0x60, %eax
        cmpl    $0x20, %eax
        check   "a large page: A"
        movl    %eax, LARGE + frame_2
        movl    large_pde, %edi
        movl    (%edi), %eax
        andl    $0x60, %eax
        cmpl    $0x60, %eax
        check   "a large page: D"
        movl    large_pde, %edi
        movl    large_reserved, %eax
        orl     %eax, (%edi)
        invlpg  LARGE
        try
1:      movl    LARGE, %eax
        caught  "#PF: a reserved bit in a large page's entry", PF, 9, 1b
        movl    large_pde, %edi
        movl    $0, (%edi)
        invlpg  LARGE
        ret

        # What 8-byte entries have: no-execute, reserved bits, and SMEP, SMAP.
wide_suite:
        pte     7
        movb    $0xC3, W
        movl    w_pte, %edi
        movl    $0x80000000, 4(%edi)
        invlpg  W
        movl    $0xC0000080, %ecx
        rdmsr
        andl    $~0x800, %eax
        wrmsr
        try
1:      movl    W, %eax
        caught  "#PF: NX is reserved without EFER.NXE", PF, 9, 1b
        movl    $0xC0000080, %ecx
        rdmsr
        orl     $0x800, %eax
        wrmsr
        invlpg  W
        try
        movl    W, %eax
        movl    %eax, W
        caught  "NX: data passes", NONE, ANY, ANY
        try
        movl    $W, %eax
        jmp     *%eax
        caught  "#PF: fetch from a no-execute page", PF, 0x11, W
        try
        in_user W
        caught  "#PF: fetch from ring 3 from a no-execute page", PF, 0x15, W
        movl    w_pte, %edi
        movl    $0, 4(%edi)
        movl    w_pde, %edi
        movl    $0x80000000, 4(%edi)
        invlpg  W
        try
        movl    $W, %eax
        jmp     *%eax
        caught  "#PF: no-execute in the directory entry", PF, 0x11, W
        movl    w_pde, %edi
        movl    $0, 4(%edi)
        invlpg  W
        try
        movl    $W, %eax
        call    *%eax
        caught  "without it, the fetch passes", NONE, ANY, ANY
        movl    w_pte, %edi
        movl    $0, (%edi)
        invlpg  W
        try
        movl    $W, %eax
        jmp     *%eax
        caught  "#PF: fetch, not present, with EFER.NXE", PF, 0x10, W
        movl    w_pte, %edi
        movl    $0x00080000, 4(%edi)            # bit 51: beyond every MAXPHYADDR here
        movl    $frame_1 + 7, (%edi)
        invlpg  W
        try
1:      movl    W, %eax
        caught  "#PF: a reserved address bit", PF, 9, 1b
        movl    w_pte, %edi
        movl    $0, 4(%edi)
        invlpg  W

        xorl    %eax, %eax
        cpuid
        cmpl    $7, %eax
        jb      8f
        movl    $7, %eax
        xorl    %ecx, %ecx
        cpuid
        movl    %ebx, features
        btl     $7, features
        jnc     8f
        # The rest of this guest lies in user pages, so only now its own pages
        # become the supervisor's.
        call    own_pages_supervisor
        movl    %cr4, %eax
        orl     $0x100000, %eax
        movl    %eax, %cr4
        movb    $0xC3, W
        try
        movl    $W, %eax
        jmp     *%eax
        caught  "SMEP: #PF: fetch of a user page", PF, 0x11, W
        movl    w_pte, %edi
        andl    $~4, (%edi)
        invlpg  W
        try
        movl    $W, %eax
        call    *%eax
        caught  "SMEP: fetch of a supervisor page passes", NONE, ANY, ANY
        pte     7
        movl    %cr4, %eax
        andl    $~0x100000, %eax
        movl    %eax, %cr4
        btl     $20, features
        jnc     7f
        movl    %cr4, %eax
        orl     $0x200000, %eax
        movl    %eax, %cr4
        try
1:      movl    W, %eax
        caught  "SMAP: #PF: read of a user page", PF, 1, 1b
        try
1:      movl    %eax, W
        caught  "SMAP: #PF: write of a user page", PF, 3, 1b
        try
        stac
        movl    W, %eax
        movl    %eax, W
        clac
        caught  "SMAP: passes between STAC and CLAC", NONE, ANY, ANY
        try
        stac
        clac
1:      movl    W, %eax
        caught  "SMAP: #PF: after CLAC", PF, 1, 1b
        movl    %cr4, %eax
        andl    $~0x200000, %eax
        movl    %eax, %cr4
        jmp     6f
7:      puts    "SKIP SMAP\n"
6:      call    own_pages_user
        ret
8:      puts    "SKIP SMEP, SMAP\n"
        ret

own_pages_supervisor:
        movl    $~4, %ebx
        xorl    %edx, %edx
        jmp     1f
own_pages_user:
        movl    $~0, %ebx
        movl    $4, %edx
1:      movl    $table_0, %edi
        movl    $1024, %ecx
2:      andl    %ebx, (%edi)
        orl     %edx, (%edi)
        addl    $8, %edi
        loop    2b
        movl    %cr3, %eax
        movl    %eax, %cr3
        ret

four_level_suite:
        # Read-only and no-execute at each upper level.
        pte     7
        andl    $~4, pdpt
        movl    %cr3, %eax
        movl    %eax, %cr3
        try
        in_user user_read
        caught  "#PF: the page-directory-pointer entry is the supervisor's", PF, 0x15, user_read
        orl     $4, pdpt
        movl    %cr3, %eax
        movl    %eax, %cr3
        movl    $0x87, pdpt + 8                 # a 1 GiB page at 1 GiB: physical 0
        movl    $0x80000001, %eax
        cpuid
        btl     $26, %edx
        jnc     2f
        movl    0x40000000 + frame_2, %eax
        cmpl    frame_2, %eax
        check   "a 1 GiB page maps"
        movl    pdpt + 8, %eax
        andl    $0x60, %eax
        cmpl    $0x20, %eax
        check   "a 1 GiB page: A"
        jmp     3f
2:      try
1:      movl    0x40000000, %eax
        caught  "#PF: PS is reserved without 1 GiB pages", PF, 9, 1b
3:      movl    $0, pdpt + 8
        # 64-bit: the upper half, and addresses that are not canonical.
        movl    $pdpt + 7, top + 8 * 511
        movl    %cr3, %eax
        movl    %eax, %cr3
        to_64
        movq    $0xFFFFFF8000000000 + W, %rbx
        movl    $0x5151, (%rbx)
        cmpl    $0x5151, frame_1(%rip)
        check64 "the upper half maps"
        try64
        movq    $0x0000800000000000, %rbx
1:      movl    (%rbx), %eax
        caught64 "#GP: not canonical", GP, 0, 1b
        try64
        movq    $0xFFFF7FFFFFFFFFFF, %rbx
1:      movb    (%rbx), %al
        caught64 "#GP: not canonical, below the upper half", GP, 0, 1b
        try64
        movq    $0x00007FFFFFFFFFFE, %rbx
1:      movl    (%rbx), %eax
        caught64 "#GP: running out of the lower half", GP, 0, 1b
        try64
        movq    $0x0000800000000000, %rbp
1:      movl    (%rbp), %eax
        caught64 "#SS: not canonical, through RBP", SS, 0, 1b
        try64
        movq    $0xFFFFFF8040000010, %rbx
1:      movl    (%rbx), %eax
        caught64 "#PF: in the upper half", PF, 0, 1b
        movq    $0xFFFFFF8040000010, %rbx
        cmpq    %rbx, got_cr2_64(%rip)
        check64 "CR2: 64 bits"
        to_32
        ret

enter_user:
        movl    $USER_DATA, %ecx
        movl    %ecx, %ds
        movl    %ecx, %es
        pushl   $USER_DATA
        pushl   $user_stack_top
        pushl   $2
        pushl   $USER_CODE
        pushl   %eax
        iretl

user_read:
        movl    W, %eax
user_read_end:
        ud2
user_write:
        movl    %eax, W
        ud2

        .section .bss
        .balign 4096
top:    .skip   4096
pdpt:   .skip   4096
directory_w: .skip 4096
table_0: .skip  8192
table_w: .skip  4096
tables_end:
frame_1: .skip  4096
frame_2: .skip  4096
tss:    .skip   0x68
user_stack: .skip 512
user_stack_top:
w_pte:  .skip   4
w_pte_2: .skip  4
w_pde:  .skip   4
large_pde: .skip 4
large_reserved: .skip 4
features: .skip 4
