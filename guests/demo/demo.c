/* The demo guest: a few hundred milliseconds of everything that makes replay
   hard. Each phase takes what it saw into one digest, and so does each
   interrupt, with the address that it interrupted: one interrupt a single
   instruction early or late, one byte of input, one clock read that differs,
   and the digest at the end differs. */
#include "demo.h"

/* ---- ports, control registers ---- */

static inline void outb(u16 port, u8 v) { __asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port)); }
static inline void outw(u16 port, u16 v) { __asm__ volatile("outw %0, %1" : : "a"(v), "Nd"(port)); }
static inline u8 inb(u16 port) { u8 v; __asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port)); return v; }
static inline u64 rdtsc(void) { u32 a, d; __asm__ volatile("rdtsc" : "=a"(a), "=d"(d)); return (u64)d << 32 | a; }
static inline u64 rdmsr(u32 n) { u32 a, d; __asm__ volatile("rdmsr" : "=a"(a), "=d"(d) : "c"(n)); return (u64)d << 32 | a; }
static inline u64 get_cr2(void) { u64 v; __asm__ volatile("mov %%cr2, %0" : "=r"(v)); return v; }
static inline void set_cr3(u64 v) { __asm__ volatile("mov %0, %%cr3" : : "r"(v) : "memory"); }
static inline void invlpg(volatile void *p) { __asm__ volatile("invlpg (%0)" : : "r"(p) : "memory"); }
static inline void sti(void) { __asm__ volatile("sti" : : : "memory"); }
static inline void cli(void) { __asm__ volatile("cli" : : : "memory"); }
/* STI's shadow makes the pair atomic: no interrupt can slip in before HLT. */
static inline void wait_for_interrupt(void) { __asm__ volatile("sti; hlt; cli" : : : "memory"); }
static inline void cpuid(u32 leaf, u32 r[4])
{
    __asm__ volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "a"(leaf), "c"(0) : "memory");
}

#define COM1 0x3F8
#define PIC1 0x20
#define PIC2 0xA0
#define PIT 0x40
#define PIT_HZ 1193182u

/* ---- the digest ---- */

static u64 digest = 0xCBF29CE484222325ull;

void mix(u64 value)
{
    digest ^= value;
    digest *= 0x9E3779B97F4A7C15ull;
    digest ^= digest >> 29;
}

/* mix() is not atomic, and interrupt handlers mix too: they collect into a
   digest of their own, joined at the end of each phase. */
static u64 interrupt_digest = 0x84222325CBF29CE4ull;

static void interrupt_mix(u64 value)
{
    interrupt_digest = (interrupt_digest ^ value) * 0xD6E8FEB86659FD93ull;
    interrupt_digest ^= interrupt_digest >> 32;
}

static u64 seed = 0x123456789ABCDEFull;

u64 random(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

/* ---- the serial port ---- */

static void serial_byte(char c)
{
    for (u32 n = 0; n < 1000000 && !(inb(COM1 + 5) & 0x20); n++)
        ;
    outb(COM1, c);
}

static void print(const char *s)
{
    for (; *s; s++) {
        if (*s == '\n')
            serial_byte('\r');
        serial_byte(*s);
    }
}

static void print_hex(u64 v)
{
    for (int i = 60; i >= 0; i -= 4)
        serial_byte("0123456789abcdef"[v >> i & 15]);
}

static void print_number(u64 v)
{
    char text[21], *p = text + 20;
    *p = 0;
    do
        *--p = '0' + v % 10;
    while (v /= 10);
    print(p);
}

/* ---- the end ---- */

/* Powers off as QEMU's pc board does it: PM1a control, S5 type 0, SLP_EN.
   Where that is not there, the isa-debug-exit device ends the run. */
static void __attribute__((noreturn)) power_off(u8 code)
{
    cli();
    while (!(inb(COM1 + 5) & 0x40))
        ;
    if (code)
        outb(0x501, code);
    outw(0x604, 0x2000);
    /* A host may take a while to notice. */
    for (u32 n = 0; n < 200; n++)
        wait_for_interrupt();
    outb(0x501, code);
    for (;;)
        __asm__ volatile("cli; hlt");
}

static void __attribute__((noreturn)) fail(const char *what)
{
    print("demo: FAILED: ");
    print(what);
    print("\n");
    power_off(1);
}

void check(int holds, const char *what)
{
    if (!holds)
        fail(what);
}

void progress(const char *name, u64 number)
{
    cli();
    mix(interrupt_digest);
    sti();
    print("demo: ");
    print(name);
    for (const char *p = name; p < name + 10; p++)
        if (!*p) {
            while (p++ < name + 10)
                serial_byte(' ');
            break;
        }
    print_hex(digest);
    print("  ");
    print_number(number);
    print("\n");
}

/* ---- interrupts and faults ---- */

/* What the stubs in boot.S leave on the stack. */
struct frame {
    u64 r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax;
    u64 vector, error, rip, cs, rflags, rsp, ss;
};

struct gate {
    u16 low, selector;
    u8 ist, type;
    u16 middle;
    u32 high, zero;
};

extern u8 stubs[];
static struct gate idt[256] __attribute__((aligned(16)));
volatile u64 seen[64];

static volatile u32 *apic;
static volatile u8 line[64];
static volatile u32 line_length, line_done, scancodes;

#define IRQ0 32
#define APIC_TIMER 48
#define APIC_SPURIOUS 63

/* The page-table entry that the page-fault handler mends, and how. */
static volatile u64 *volatile mend_entry;
static volatile u64 mend_value;

static void take_serial(void)
{
    while (inb(COM1 + 5) & 1) {
        u8 c = inb(COM1);
        interrupt_mix(c);
        if (c == '\r' || c == '\n')
            line_done = 1;
        else if (line_length < sizeof line && !line_done)
            line[line_length++] = c;
    }
}

static void take_key(void)
{
    while (inb(0x64) & 1) {
        u8 c = inb(0x60);
        interrupt_mix(c | 0x100);
        scancodes++;
        if (c == 0x1C)
            line_done = 1;
    }
}

void trap(struct frame *f)
{
    u64 v = f->vector;
    seen[v]++;
    if (v >= IRQ0) {
        /* Where it struck is what replay must get right. */
        interrupt_mix(f->rip ^ v << 56);
        interrupt_mix(f->rcx ^ f->rflags << 32);
        interrupt_mix(rdtsc());
    } else {
        interrupt_mix(f->rip ^ v << 56 ^ f->error << 40);
    }
    switch (v) {
    case 3:
    case 1:
        return;
    case 6:
        f->rip += 2; /* UD2 */
        return;
    case 13:
        f->rip += 2; /* MOV %ax, %ds: two bytes, 8E D8 */
        return;
    case 14:
        interrupt_mix(get_cr2());
        if (!mend_entry)
            break;
        *mend_entry = mend_value; /* and no INVLPG */
        mend_entry = 0;
        return;
    case 16:
        __asm__ volatile("fnclex");
        return;
    case 19: {
        u32 csr = 0x1F80;
        __asm__ volatile("ldmxcsr %0" : : "m"(csr));
        return;
    }
    case IRQ0 + 1:
        take_key();
        break;
    case IRQ0 + 4:
        take_serial();
        break;
    case IRQ0 + 8:
        outb(0x70, 0x0C);
        interrupt_mix(inb(0x71)); /* reading C acknowledges */
        break;
    case APIC_TIMER:
        apic[0xB0 / 4] = 0;
        return;
    case APIC_SPURIOUS:
        return;
    case IRQ0:
        break;
    }
    if (v < IRQ0) {
        print("demo: exception ");
        print_number(v);
        print(" error ");
        print_hex(f->error);
        print(" at ");
        print_hex(f->rip);
        print(" address ");
        print_hex(get_cr2());
        print("\n");
        fail("an exception that nothing explains");
    }
    if (v >= IRQ0 + 8)
        outb(PIC2, 0x20);
    outb(PIC1, 0x20);
}

static void set_rate(u32 hz)
{
    u32 divisor = PIT_HZ / hz;
    outb(PIT + 3, 0x34); /* counter 0, low and high byte, mode 2 */
    outb(PIT, divisor);
    outb(PIT, divisor >> 8);
}

static void set_up_interrupts(void)
{
    for (u32 n = 0; n < 64; n++) {
        u64 at = (u64)stubs + n * 16;
        idt[n] = (struct gate){ .low = at, .selector = 8, .type = 0x8E, .middle = at >> 16, .high = at >> 32 };
    }
    struct { u16 limit; u64 base; } __attribute__((packed)) idtr = { sizeof idt - 1, (u64)idt };
    __asm__ volatile("lidt %0" : : "m"(idtr));
    /* Both controllers: edge triggered, cascaded, vectors 32 and 40, 8086 mode. */
    outb(PIC1, 0x11);
    outb(PIC2, 0x11);
    outb(PIC1 + 1, IRQ0);
    outb(PIC2 + 1, IRQ0 + 8);
    outb(PIC1 + 1, 4);
    outb(PIC2 + 1, 2);
    outb(PIC1 + 1, 1);
    outb(PIC2 + 1, 1);
    outb(PIC1 + 1, 0xE8); /* timer, keyboard, cascade, serial */
    outb(PIC2 + 1, 0xFE); /* clock */
    /* 115200 8N1, FIFOs on, interrupt on received data. */
    outb(COM1 + 3, 0x80);
    outb(COM1, 1);
    outb(COM1 + 1, 0);
    outb(COM1 + 3, 3);
    outb(COM1 + 2, 7);
    outb(COM1 + 4, 0x0B);
    outb(COM1 + 1, 1);
    set_rate(1000);
    sti();
}

/* ---- phase: integers ---- */

static void integers(void)
{
    u64 n = 0;
    for (u32 i = 0; i < 400000; i++) {
        u64 a = random(), b = random() | 1, q, r, c;
        __asm__("div %4" : "=a"(q), "=d"(r) : "a"(a), "d"(0), "r"(b >> (i & 31)) : "cc");
        __asm__("mul %3" : "=a"(a), "=d"(b) : "a"(a), "r"(b) : "cc");
        __asm__("bsr %1, %0; rol %%cl, %0" : "=r"(c) : "r"(a | 1), "c"(i) : "cc");
        n += q ^ r ^ a ^ b ^ c;
        if (i % 4096 == 0)
            mix(n);
    }
    mix(n);
    __asm__ volatile("int3; ud2" : : : "memory");
    u32 bad = 0x1000;
    __asm__ volatile(".byte 0x8E, 0xD8" : : "a"(bad)); /* MOV DS, a selector beyond the GDT */
    check(seen[3] == 1 && seen[6] == 1 && seen[13] == 1, "#BP, #UD, #GP");
    progress("integers", seen[IRQ0]);
}

/* ---- phase: self-modifying code ---- */

int smc_next(int), smc_loop(int), smc_far(void);
extern u8 smc_far_operand[], smc_alias[];

static void self_modifying(void)
{
    u32 sum = 0;
    for (u32 i = 0; i < 20000; i++) {
        u32 v = random();
        check((u32)smc_next(v) == v, "a store to the next instruction");
        if (i % 4 == 0) {
            *(volatile u32 *)smc_far_operand = ~v;
            check((u32)smc_far() == ~v, "a store across a page end");
        }
        /* MOV EAX, imm32; ROL EAX, imm8; RET, written in one go. */
        u8 code[12] = { 0xB8, v, v >> 8, v >> 16, v >> 24, 0xC1, 0xC0, i & 31, 0xC3 };
        __builtin_memcpy(smc_alias, code, sizeof code);
        u32 want = v << (i & 31) | (i & 31 ? v >> (32 - (i & 31)) : 0);
        check(((u32(*)(void))smc_alias)() == want, "a function written anew");
        sum += want;
    }
    sum += smc_loop(30000);
    mix(sum);
    progress("smc", sum);
}

/* ---- phase: page tables ---- */

#define PAGE 4096u
#define PRESENT 1ull
#define WRITE 2ull
#define ACCESSED 0x20ull
#define DIRTY 0x40ull
#define GLOBAL 0x100ull
#define NX (1ull << 63)
#define FRAMES 16
/* The window: 2 MiB at the second entry of the top-level table. */
#define WINDOW ((volatile u8 *)0x8000000000ull)

extern u64 pml4[512], pd0[2048];
extern u32 have_nx;
static u64 pml4_other[512] __attribute__((aligned(4096)));
static u64 window_pdpt[512] __attribute__((aligned(4096)));
static volatile u64 window_pd[512] __attribute__((aligned(4096)));
static u64 window_pt[2][512] __attribute__((aligned(4096)));
static u64 other_pdpt[512] __attribute__((aligned(4096)));
static u64 other_pd[512] __attribute__((aligned(4096)));
static u8 frames[FRAMES][PAGE] __attribute__((aligned(4096)));

static volatile u64 *frame_word(u32 frame) { return (volatile u64 *)frames[frame]; }
static volatile u64 *word(u32 page) { return (volatile u64 *)(WINDOW + page * PAGE); }

static void page_tables(void)
{
    pml4[1] = (u64)window_pdpt | PRESENT | WRITE;
    window_pdpt[0] = (u64)window_pd | PRESENT | WRITE;
    window_pd[0] = (u64)window_pt[0] | PRESENT | WRITE;
    /* A second address space whose window goes through the other table. */
    __builtin_memcpy(pml4_other, pml4, sizeof pml4_other);
    pml4_other[1] = (u64)other_pdpt | PRESENT | WRITE;
    other_pdpt[0] = (u64)other_pd | PRESENT | WRITE;
    other_pd[0] = (u64)window_pt[1] | PRESENT | WRITE;
    for (u32 i = 0; i < FRAMES; i++) {
        *frame_word(i) = 0x1111111111111111ull * i;
        window_pt[0][i] = (u64)frames[i] | PRESENT | WRITE;
        window_pt[1][i] = (u64)frames[FRAMES - 1 - i] | PRESENT | WRITE;
    }
    set_cr3((u64)pml4);

    u64 stale = 0;
    for (u32 round = 0; round < 30000; round++) {
        u32 page = random() % FRAMES, other = random() % FRAMES;
        volatile u64 *entry = &window_pt[0][page];
        u64 plain = (u64)frames[page] | PRESENT | WRITE;
        switch (round % 8) {
        case 0: /* accessed and dirty, cleared without a flush, then read, then written */
            *entry &= ~(ACCESSED | DIRTY);
            mix(*word(page) ^ (*entry & (ACCESSED | DIRTY)));
            *word(page) = random();
            mix(*entry & (ACCESSED | DIRTY));
            break;
        case 1: /* remapped without a flush: the old page or the new one may be seen */
            mix(*word(page));
            *entry = (u64)frames[other] | PRESENT | WRITE;
            mix(*word(page));
            *word(page) ^= 0x5A5A;
            mix(*frame_word(page) ^ *frame_word(other) << 1);
            *entry = plain;
            invlpg(word(page));
            check(*word(page) == *frame_word(page), "a mapping after INVLPG");
            break;
        case 2: /* read-only, then more permissive without a flush */
            *entry = plain & ~WRITE;
            invlpg(word(page));
            mix(*word(page));
            *entry = plain;
            mend_entry = entry; /* a stale entry may still fault: mended, retried */
            mend_value = plain;
            *word(page) = round;
            stale += !mend_entry;
            mend_entry = 0;
            check(*frame_word(page) == round, "a store after a permission grew");
            break;
        case 3: { /* a real fault: not writable; the handler mends it without a flush */
            u64 before = seen[14];
            *entry = plain & ~WRITE;
            invlpg(word(page));
            mend_entry = entry;
            mend_value = plain;
            *word(page) += 3;
            check(seen[14] == before + 1, "a write to a read-only page faults once");
            mix(*word(page) ^ *entry);
            break;
        }
        case 4: { /* not present */
            u64 before = seen[14];
            *entry = 0;
            invlpg(word(page));
            mend_entry = entry;
            mend_value = plain;
            mix(*word(page));
            check(seen[14] == before + 1, "a read of an absent page faults once");
            break;
        }
        case 5: /* the other address space, and back */
            *entry = plain;
            set_cr3((u64)pml4_other);
            check(*word(page) == *frame_word(FRAMES - 1 - page), "the other address space");
            *word(page) += round;
            set_cr3((u64)pml4);
            mix(*word(FRAMES - 1 - page));
            break;
        case 6: /* a table swapped one level up, no flush */
            mix(*word(page));
            window_pd[0] = (u64)window_pt[1] | PRESENT | WRITE;
            mix(*word(page));
            window_pd[0] = (u64)window_pt[0] | PRESENT | WRITE;
            set_cr3((u64)pml4);
            check(*word(page) == *frame_word(page), "a table swapped back");
            mix(window_pd[0]);
            break;
        case 7: { /* no-execute; code written through a second mapping of its page */
            u8 *code = frames[page] + 256;
            u32 v = random();
            u8 text[6] = { 0xB8, v, v >> 8, v >> 16, v >> 24, 0xC3 };
            volatile u8 *alias = WINDOW + page * PAGE + 256;
            for (u32 i = 0; i < sizeof text; i++)
                alias[i] = text[i];
            u32 serialize[4];
            cpuid(0, serialize);
            check(((u32(*)(void))code)() == v, "code written through another mapping");
            if (have_nx) {
                u64 before = seen[14];
                *entry = plain | NX;
                invlpg(word(page));
                mend_entry = entry;
                mend_value = plain;
                check(((u32(*)(void))alias)() == v && seen[14] == before + 1, "no-execute");
            }
            mix(v);
            break;
        }
        }
        *entry |= PRESENT | WRITE;
    }
    /* A large page split into small ones, and joined again. */
    static u64 split[512] __attribute__((aligned(4096)));
    for (u32 i = 0; i < 512; i++)
        split[i] = (0x40000000ull + i * 4096ull) | PRESENT | WRITE;
    u64 large = pd0[512];
    mix(large & (ACCESSED | DIRTY));
    split[5] = (u64)frames[3] | PRESENT | WRITE | GLOBAL;
    pd0[512] = (u64)split | PRESENT | WRITE;
    set_cr3((u64)pml4);
    check(*(volatile u64 *)0x40005000ull == *frame_word(3), "a split page");
    pd0[512] = large;
    set_cr3((u64)pml4);
    invlpg((void *)0x40005000ull);
    mix(seen[14]);
    progress("paging", seen[14]);
    (void)stale;
}

/* ---- phase: repeated strings, with interrupts in the middle ---- */

static u8 text_a[65536], text_b[65536];

static void strings(void)
{
    for (u32 round = 0; round < 60; round++) {
        void *d = text_a, *s;
        u64 n = sizeof text_a / 8, found;
        __asm__ volatile("rep stosq" : "+D"(d), "+c"(n) : "a"(random()) : "memory");
        text_a[random() % sizeof text_a] ^= 0x80;
        d = text_b, s = text_a, n = sizeof text_a - round;
        __asm__ volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(n) : : "memory");
        /* Backwards, overlapping by one. */
        d = text_b + 1001, s = text_b + 1000, n = 1000;
        __asm__ volatile("std; rep movsb; cld" : "+D"(d), "+S"(s), "+c"(n) : : "memory");
        d = text_a, s = text_b, n = sizeof text_a;
        __asm__ volatile("repe cmpsb" : "+D"(d), "+S"(s), "+c"(n) : : "memory", "cc");
        mix(n);
        d = text_a, n = sizeof text_a;
        __asm__ volatile("repne scasb" : "+D"(d), "+c"(n) : "a"(round * 5) : "cc");
        found = n;
        n = 0; /* nothing: one step, nothing changes */
        __asm__ volatile("rep stosb; repe cmpsb; rep lodsb" : "+D"(d), "+S"(s), "+c"(n) : "a"(0) : "memory", "cc");
        mix(found ^ (u64)d ^ (u64)s << 20);
    }
    progress("strings", seen[IRQ0]);
}

/* ---- phase: clocks ---- */

static u8 cmos(u8 n)
{
    outb(0x70, n);
    return inb(0x71);
}

static u16 pit_count(void)
{
    outb(PIT + 3, 0);
    u8 low = inb(PIT);
    return low | inb(PIT) << 8;
}

static void clocks(void)
{
    /* Periodic interrupt of the clock chip at 1024 Hz, beside the timer's. */
    cli();
    u8 b = cmos(0x0B);
    outb(0x70, 0x0A);
    outb(0x71, 0x26);
    outb(0x70, 0x0B);
    outb(0x71, b | 0x40);
    cmos(0x0C);
    sti();
    u64 before = seen[IRQ0 + 8], tsc = rdtsc();
    for (u32 i = 0; i < 30; i++) {
        cli();
        wait_for_interrupt();
        sti();
        mix(rdtsc() ^ (u64)pit_count() << 48);
        u32 spin = 0;
        while (cmos(0x0A) & 0x80 && spin < 100000)
            spin++;
        u64 date = 0;
        for (u8 n = 0; n < 10; n += n == 0 || n == 2 || n == 4 ? 2 : 1)
            date = date << 8 | cmos(n);
        mix(date ^ (u64)spin << 56);
    }
    cli();
    outb(0x70, 0x0B);
    outb(0x71, b);
    cmos(0x0C);
    sti();
    check(rdtsc() > tsc, "the time-stamp counter goes up");
    mix(seen[IRQ0 + 8] - before);
    progress("clocks", seen[IRQ0 + 8] - before);
}

/* ---- phase: the local APIC's timer, and the CPU's random numbers ---- */

static void apic_timer(void)
{
    u32 r[4];
    cpuid(1, r);
    u64 before = seen[APIC_TIMER];
    u64 base = r[3] >> 9 & 1 ? rdmsr(0x1B) : 0;
    if (base >> 11 & 1) {
        apic = (volatile u32 *)(base & 0xFFFFFF000ull);
        cli();
        apic[0xF0 / 4] = 0x100 | APIC_SPURIOUS;     /* enabled: before that, entries stay masked */
        apic[0x350 / 4] = 0x700;                    /* LINT0: the 8259s, as ExtINT, from here on */
        apic[0x3E0 / 4] = 3;                        /* divided by 16 */
        apic[0x320 / 4] = 0x20000 | APIC_TIMER;     /* periodic */
        apic[0x380 / 4] = 10000;
        sti();
        for (u32 spin = 0; seen[APIC_TIMER] < before + 20 && spin < 2000000; spin++)
            interrupt_mix(apic[0x390 / 4]);
        apic[0x320 / 4] = APIC_TIMER;               /* one shot */
        apic[0x380 / 4] = 50000;
        u64 until = seen[APIC_TIMER] + 1;
        for (u32 n = 0; seen[APIC_TIMER] < until && n < 1000; n++) {
            cli();
            wait_for_interrupt();
            sti();
        }
        mix(apic[0x390 / 4]);
        cli();
        apic[0x320 / 4] = 0x10000;
        sti();
    }
    if (r[2] >> 30 & 1)
        for (u32 i = 0; i < 16; i++) {
            u64 v;
            u8 good;
            __asm__ volatile("rdrand %0; setc %1" : "=r"(v), "=q"(good) : : "cc");
            mix(v + good);
        }
    progress("apic", seen[APIC_TIMER] - before);
}

/* ---- phase: idle time and input ---- */

static void keyboard(void)
{
    /* Self-test, then first port on with its interrupt, then the keyboard's echo. */
    cli();
    while (inb(0x64) & 1)
        inb(0x60);
    outb(0x64, 0xAA);
    u32 spin = 0;
    while (!(inb(0x64) & 1) && spin < 100000)
        spin++;
    mix(inb(0x60));
    outb(0x64, 0xAE);
    outb(0x64, 0x60);
    outb(0x60, 0x41);
    sti();
    u32 before = scancodes;
    outb(0x60, 0xEE);
    for (u32 n = 0; scancodes == before && n < 50; n++) {
        cli();
        wait_for_interrupt();
        sti();
    }
    mix(scancodes - before);
    progress("keyboard", scancodes - before);
}

static void input(void)
{
    print("demo: type a line and press Enter (or wait 5 seconds): ");
    u64 deadline = seen[IRQ0] + 5 * 1000;
    u32 echoed = 0;
    cli();
    while (!line_done && seen[IRQ0] < deadline) {
        wait_for_interrupt();
        for (; echoed < line_length; echoed++) {
            u8 c = line[echoed];
            serial_byte(c >= ' ' && c < 127 ? c : '?');
            deadline = seen[IRQ0] + 20 * 1000; /* someone is there: more time */
        }
    }
    sti();
    print(line_length || line_done ? "\n" : "(nothing)\n");
    for (u32 i = 0; i < line_length; i++)
        mix(line[i]);
    mix(scancodes);
    progress("input", line_length);
}

void kmain(void)
{
    u64 start = rdtsc();
    set_up_interrupts();
    print("demo: what makes replay hard; each line: phase, digest so far, a count\n");
    integers();
    set_rate(4000);
    self_modifying();
    set_rate(2500);
    page_tables();
    floating_point();
    progress("fp", seen[16] + seen[19]);
    set_rate(5000);
    strings();
    set_rate(1000);
    clocks();
    apic_timer();
    keyboard();
    input();
    cli();
    print("demo: ticks ");
    print_number(seen[IRQ0]);
    print(", faults ");
    print_number(seen[14]);
    print(", cycles ");
    print_number(rdtsc() - start);
    print("\ndemo: digest ");
    print_hex(digest);
    print("\n");
    power_off(0);
}
