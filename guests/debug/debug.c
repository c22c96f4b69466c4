/* The debug guest: what a person does with a debugger, in a few hundred lines
   of time. Nested calls, recursion, loops, a list that a wrong store corrupts,
   repeated string instructions, a timer interrupt, a divide error that is
   handled. tests/gdb_guest.rs drives it; the comments `gdb: NAME` mark lines
   that it looks for. */

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long word;

/* What the CPU pushed when it entered a handler. */
struct frame { word ip, cs, flags; };
struct node { struct node *next; u32 key, value; };

#define COM1 0x3F8
#define PIC1 0x20
#define PIC2 0xA0
#define PIT 0x40
/* A tick every 100 us: 12,500 steps of 8 ns. */
#define PIT_DIVISOR 119

volatile u32 ticks;
volatile word struck;
volatile u32 errors;
volatile u32 total;
u32 results[4];
char text[64], copy[64];
struct node nodes[6];
/* The events lie right before the list's head, which pays for one too many. */
struct { u32 kinds[8]; struct node *head; } book;
u32 noted;

static inline void outb(u16 port, u8 v) { __asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port)); }
static inline void outw(u16 port, u16 v) { __asm__ volatile("outw %0, %1" : : "a"(v), "Nd"(port)); }
static inline u8 inb(u16 port) { u8 v; __asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port)); return v; }

/* ---- the serial port ---- */

void print(const char *s)
{
    for (; *s; s++) {
        while (!(inb(COM1 + 5) & 0x20))
            ;
        outb(COM1, *s);
    }
}

void print_number(u32 v)
{
    char digits[11], *p = digits + 10;
    *p = 0;
    do
        *--p = '0' + v % 10;
    while (v /= 10);
    print(p);
}

/* ---- interrupts and exceptions ---- */

extern char timer_entry[], divide_entry[];

#ifdef __x86_64__
struct gate { u16 low, selector, type, middle; u32 high, zero; };
#else
struct gate { u16 low, selector, type, middle; };
#endif
static struct gate idt[33];

void timer_interrupt(struct frame *frame)
{
    ticks++;
    struck = frame->ip;
    outb(PIC1, 0x20);
}

/* The instruction that failed is the two bytes of DIV; its handler skips it. */
void divide_error(struct frame *frame)
{
    errors++;
    frame->ip += 2;                                     /* gdb: skip */
}

static void set_gate(int vector, char *entry)
{
    word at = (word)entry;
    idt[vector].low = at;
    idt[vector].selector = 8;
    idt[vector].type = 0x8E00;
    idt[vector].middle = at >> 16;
}

static void setup(void)
{
    static struct { u16 limit; word base; } __attribute__((packed)) pointer = { sizeof idt - 1, (word)idt };
    set_gate(0, divide_entry);
    set_gate(32, timer_entry);
    __asm__ volatile("lidt %0" : : "m"(pointer));
    outb(PIC1, 0x11);
    outb(PIC1 + 1, 32);
    outb(PIC1 + 1, 4);
    outb(PIC1 + 1, 1);
    outb(PIC2, 0x11);
    outb(PIC2 + 1, 40);
    outb(PIC2 + 1, 2);
    outb(PIC2 + 1, 1);
    outb(PIC1 + 1, 0xFE);
    outb(PIC2 + 1, 0xFF);
    outb(PIT + 3, 0x34);
    outb(PIT, PIT_DIVISOR);
    outb(PIT, 0);
    __asm__ volatile("sti");
}

/* ---- calls ---- */

u32 inner(u32 a, u32 b)
{
    u32 sum = a + b;
    total += sum;                                       /* gdb: inner */
    return sum;
}

u32 middle(u32 n)
{
    u32 first = inner(n, 1);                            /* gdb: first call */
    u32 second = inner(first, 2);                       /* gdb: second call */
    return first * second;                              /* gdb: after calls */
}

u32 outer(u32 n)
{
    u32 sum = 0;
    for (u32 i = 0; i < n; i++)
        sum += middle(i);                               /* gdb: loop body */
    return sum;                                         /* gdb: after loop */
}

u32 factorial(u32 n)
{
    if (n <= 1)
        return 1;                                       /* gdb: deepest */
    return n * factorial(n - 1);
}

/* ---- repeated string instructions ---- */

void fill(char *to, char with, word n)
{
    __asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(with) : "memory");
}

void move(char *to, const char *from, word n)
{
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
}

word length(const char *of)
{
    const char *end = of;
    word n = ~0ul;
    __asm__ volatile("repne scasb" : "+D"(end), "+c"(n) : "a"(0) : "memory", "cc");
    return end - of - 1;
}

u32 strings(void)
{
    fill(text, 'a', 40);                                /* gdb: fill */
    text[40] = 0;
    move(copy, text, 41);                               /* gdb: move */
    return length(copy);                                /* gdb: length */
}

/* ---- a list, and the store that corrupts it ---- */

struct node *build(void)
{
    struct node *head = 0;
    for (u32 i = 0; i < 6; i++) {
        nodes[i].next = head;
        nodes[i].key = i;
        nodes[i].value = 100 * i;
        head = &nodes[i];
    }
    return head;
}

void note(u32 kind)
{
    book.kinds[noted] = kind;                           /* gdb: corrupts */
    noted++;
}

u32 sum(struct node *list)
{
    u32 values = 0;
    for (; list; list = list->next)
        values += list->value;
    return values;
}

void corrupted(void)
{
    print("debug: the list is corrupt\r\n");
}

void list(void)
{
    book.head = build();
    results[2] = sum(book.head);
    for (u32 i = 0; i < 9; i++)
        note(1000 + i);
    if (book.head != &nodes[5]) {
        corrupted();
        book.head = &nodes[5];
    }
}

/* ---- an exception ---- */

u32 divide(u32 a, u32 b)
{
    u32 rest = 0;
    __asm__ volatile("div %2" : "+a"(a), "+d"(rest) : "c"(b));  /* gdb: divide */
    return a;
}

/* ---- the end ---- */

static void __attribute__((noreturn)) power_off(void)
{
    __asm__ volatile("cli");
    while (!(inb(COM1 + 5) & 0x40))
        ;
    outw(0x604, 0x2000);
    for (;;)
        __asm__ volatile("hlt");
}

void wait(u32 n)
{
    u32 until = ticks + n;
    while (ticks != until)
        __asm__ volatile("pause");                      /* gdb: waiting */
}

void kmain(void)
{
    setup();
    print("debug: begin\r\n");
    results[0] = outer(3);                              /* gdb: outer */
    results[1] = factorial(6);                          /* gdb: factorial */
    results[3] = strings();                             /* gdb: strings */
    list();                                             /* gdb: list */
    total += divide(total, 0);                          /* gdb: division */
    wait(20);                                           /* gdb: wait */
    for (u32 i = 0; i < 4; i++) {
        print_number(results[i]);
        print(i < 3 ? " " : "\r\n");
    }
    print("debug: end\r\n");
    power_off();
}
