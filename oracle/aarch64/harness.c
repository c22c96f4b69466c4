/* Runs single AArch64 instructions with given registers and memory, and tells what they did.
 *
 * A static program without libc, for qemu-aarch64 or a real machine. It reads cases from standard
 * input and answers on standard output; both are arrays of 64-bit words, see `struct in` and
 * `struct out`. Every case ends in a signal: of the instruction, or of the BRK behind it.
 */
typedef unsigned long u64;
typedef unsigned int u32;
typedef unsigned char u8;

#define CODE 0x13590000ul
#define CODE_SIZE 0x10000ul
#define ENTRY (CODE + CODE_SIZE / 2)
#define DATA 0x20001000ul
#define WINDOW 512

struct regs {
    u64 x[31], sp, nzcv, fpcr, fpsr;
    u64 v[64];
};
struct in {
    u64 word;
    struct regs r;
    u8 mem[WINDOW];
};
struct out {
    u64 signal, address, pc;
    struct regs r;
    u8 mem[WINDOW];
};

static struct in in;
static struct out out;
static u8 stack[65536] __attribute__((aligned(16)));

/* The kernel's structures for signals. */
struct fpsimd {
    u32 magic, size, fpsr, fpcr;
    u64 v[64];
};
struct mcontext {
    u64 fault, x[31], sp, pc, pstate;
    u8 pad[8];
    struct fpsimd fp;
};
struct ucontext {
    u64 flags;
    void *link;
    u64 ss[3];
    u8 mask[128];
    struct mcontext m __attribute__((aligned(16)));
};
struct siginfo {
    int signo, err, code, pad;
    u64 addr;
};
struct action {
    void (*handler)(int, struct siginfo *, struct ucontext *);
    u64 flags;
    void *restorer;
    u64 mask;
};

static long call(long n, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f) {
    register long x8 asm("x8") = n;
    register u64 x0 asm("x0") = a, x1 asm("x1") = b, x2 asm("x2") = c, x3 asm("x3") = d,
                 x4 asm("x4") = e, x5 asm("x5") = f;
    asm volatile("svc 0" : "+r"(x0) : "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5), "r"(x8) : "memory");
    return x0;
}

static void copy(void *to, const void *from, u64 n) {
    u64 *a = to;
    const u64 *b = from;
    for (u64 i = 0; i < n / 8; i++)
        a[i] = b[i];
}

static int all(int write, void *at, u64 n) {
    u8 *p = at;
    while (n) {
        long k = call(write ? 64 : 63, write, (u64)p, n, 0, 0, 0);
        if (k <= 0)
            return 0;
        p += k;
        n -= k;
    }
    return 1;
}

/* Where a case's signal goes back to: its first SIGUSR1 starts it, its end finds the saved state. */
static struct mcontext home;
static int running;

static void handler(int signo, struct siginfo *info, struct ucontext *uc) {
    struct mcontext *m = &uc->m;
    if (!running) {
        running = 1;
        copy(&home, m, sizeof home);
        copy(m->x, in.r.x, sizeof in.r.x);
        m->sp = in.r.sp;
        m->pc = ENTRY;
        m->pstate = (m->pstate & ~0xf0000000ul) | in.r.nzcv;
        m->fp.fpcr = in.r.fpcr;
        m->fp.fpsr = in.r.fpsr;
        copy(m->fp.v, in.r.v, sizeof in.r.v);
        return;
    }
    running = 0;
    out.signal = signo;
    out.address = info->addr;
    out.pc = m->pc;
    copy(out.r.x, m->x, sizeof out.r.x);
    out.r.sp = m->sp;
    out.r.nzcv = m->pstate & 0xf0000000ul;
    out.r.fpcr = m->fp.fpcr;
    out.r.fpsr = m->fp.fpsr;
    copy(out.r.v, m->fp.v, sizeof out.r.v);
    copy(m, &home, sizeof home);
}

void start(void) {
    struct action act = {handler, 4 /* SA_SIGINFO */ | 0x08000000 /* SA_ONSTACK */ | 0x40000000 /* SA_NODEFER */, 0, 0};
    u64 alt[3] = {(u64)stack, 0, sizeof stack};
    call(132, (u64)alt, 0, 0, 0, 0, 0);
    static const int signals[] = {4, 5, 7, 8, 10, 11};
    for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++)
        call(134, signals[i], (u64)&act, 0, 8, 0, 0);
    /* MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS */
    call(222, CODE, CODE_SIZE, 7, 0x32, -1ul, 0);
    call(222, DATA, 4096, 3, 0x32, -1ul, 0);
    for (u32 *p = (u32 *)CODE; p < (u32 *)(CODE + CODE_SIZE); p++)
        *p = 0xd4200000; /* BRK #0 */
    long pid = call(172, 0, 0, 0, 0, 0, 0), tid = call(178, 0, 0, 0, 0, 0, 0);
    while (all(0, &in, sizeof in)) {
        *(volatile u32 *)ENTRY = in.word;
        asm volatile("dc cvau, %0; dsb ish; ic ivau, %0; dsb ish; isb" ::"r"(ENTRY) : "memory");
        for (u64 *p = (u64 *)DATA; p < (u64 *)(DATA + 4096); p++)
            *p = 0;
        copy((void *)DATA, in.mem, WINDOW);
        call(131, pid, tid, 10, 0, 0, 0);
        copy(out.mem, (void *)DATA, WINDOW);
        if (!all(1, &out, sizeof out))
            break;
    }
    call(94, 0, 0, 0, 0, 0, 0);
}

asm(".globl _start\n_start: mov x29, 0\n mov x30, 0\n b start\n");
