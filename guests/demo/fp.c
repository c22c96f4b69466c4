/* Floating point: the only file compiled with SSE registers allowed. */
#include "demo.h"

static u64 bits(double d)
{
    union { double d; u64 u; } x = { .d = d };
    return x.u;
}

/* Three bodies under gravity, in doubles; SQRTSD and DIVSD at every step. */
static void bodies(void)
{
    double p[3][3] = { { 0, 0, 0 }, { 1, 0, 0.1 }, { 0, 1.5, -0.2 } };
    double v[3][3] = { { 0, 0, 0 }, { 0, 1, 0 }, { -0.8, 0, 0.05 } };
    static const double m[3] = { 1, 0.01, 0.02 };
    for (int step = 0; step < 4000; step++) {
        for (int i = 0; i < 3; i++)
            for (int j = i + 1; j < 3; j++) {
                double d[3], r2 = 1e-9;
                for (int k = 0; k < 3; k++) {
                    d[k] = p[j][k] - p[i][k];
                    r2 += d[k] * d[k];
                }
                double r;
                __asm__("sqrtsd %1, %0" : "=x"(r) : "x"(r2));
                double f = 0.001 / (r2 * r);
                for (int k = 0; k < 3; k++) {
                    v[i][k] += d[k] * f * m[j];
                    v[j][k] -= d[k] * f * m[i];
                }
            }
        for (int i = 0; i < 3; i++)
            for (int k = 0; k < 3; k++)
                p[i][k] += v[i][k] * 0.001;
        if (step % 500 == 499)
            for (int i = 0; i < 3; i++)
                mix(bits(p[i][0]) ^ bits(p[i][1]) * 3 ^ bits(p[i][2]) * 5);
    }
}

/* x87: 80-bit arithmetic, every rounding and precision control, BCD, remainder,
   transcendentals, and what each leaves in the status word. */
static void x87(void)
{
    struct { u64 mantissa; u16 top; } __attribute__((packed)) t;
    for (u32 control = 0; control < 16; control++) {
        u16 cw = 0x037F & ~0x0F00, sw = 0;
        cw |= control << 8;
        double a = 1.0 + (double)(random() >> 12) / 4503599627370496.0;
        double b = 0.5 + (double)(random() >> 12) / 9007199254740992.0;
        __asm__ volatile("fninit; fldcw %1" : : "m"(t), "m"(cw));
#define RUN(code)                                                                  \
    __asm__ volatile("fldl %3; fldl %2; " code "; fnstsw %1; fstpt %0; fstp %%st(0)" \
                     : "=m"(t), "=m"(sw) : "m"(a), "m"(b));                          \
    mix(t.mantissa ^ ((u64)t.top << 17) ^ ((u64)sw << 40))
        RUN("fadd %%st(1), %%st");
        RUN("fdiv %%st(1), %%st");
        RUN("fmul %%st(1), %%st; fsqrt");
        RUN("fsub %%st(1), %%st; frndint");
        RUN("fscale; fprem");
        RUN("fprem1; fchs; fabs");
        RUN("fsin; fcos");
        RUN("fld %%st(1); fpatan");
        RUN("fxch; fyl2x; fld1");
        RUN("fld1; fsubrp; f2xm1; fldpi");
        RUN("fptan; fmulp");
        RUN("fxtract; fstp %%st(0)");
#undef RUN
        u8 bcd[10];
        int i32 = 0;
        i64 i64v = 0;
        double big = a * 1e12;
        __asm__ volatile("fldl %3; fbstp %0; fldl %4; fistpl %1; fldl %3; fistpll %2"
                         : "=m"(bcd), "=m"(i32), "=m"(i64v) : "m"(big), "m"(a));
        mix(*(u64 *)bcd ^ (u64)i32 << 32 ^ (u64)i64v);
    }
    __asm__ volatile("fninit");
}

/* Packed single, packed integer, conversions under each rounding mode, denormals. */
static void sse(void)
{
    float f[4] __attribute__((aligned(16)));
    u32 q[4] __attribute__((aligned(16)));
    for (u32 round = 0; round < 4; round++) {
        u32 csr = 0x1F80 | round << 13 | (round & 1 ? 0x8040 : 0);
        __asm__ volatile("ldmxcsr %0" : : "m"(csr));
        for (int i = 0; i < 4; i++)
            f[i] = (float)(i64)random() * 1e-9f;
        f[3] *= 1e-36f;
        for (int n = 0; n < 500; n++) {
            __asm__ volatile("movaps %0, %%xmm0; movaps %%xmm0, %%xmm1;"
                             "shufps $0x39, %%xmm1, %%xmm1; mulps %%xmm1, %%xmm0;"
                             "addps %%xmm1, %%xmm0; minps %2, %%xmm0; divps %%xmm1, %%xmm0;"
                             "cvtps2dq %%xmm0, %%xmm2; pshufd $0x4E, %%xmm2, %%xmm3;"
                             "paddd %%xmm3, %%xmm2; pmuludq %%xmm2, %%xmm3;"
                             "pxor %%xmm3, %%xmm2; movdqa %%xmm2, %1; sqrtps %%xmm1, %%xmm4;"
                             "subps %%xmm4, %%xmm0; movaps %%xmm0, %0"
                             : "+m"(f), "=m"(q) : "m"(*(const float(*)[4])f)
                             : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4");
            mix(q[0] ^ (u64)q[1] << 32);
            if (n % 50 == 0)
                f[n / 50 % 4] = (float)(random() & 0xFFFF) + 0.25f;
        }
        __asm__ volatile("stmxcsr %0" : "=m"(csr));
        mix(csr);
    }
    u32 csr = 0x1F80;
    __asm__ volatile("ldmxcsr %0" : : "m"(csr));
}

/* An unmasked division by zero in each unit: #XM at the instruction itself, #MF
   at the next waiting x87 instruction. The handlers in demo.c mask and go on. */
static void unmasked(void)
{
    u64 before = seen[16];
    u32 csr = 0x1F80 & ~0x200u;
    u16 cw = 0x037B;
    __asm__ volatile("ldmxcsr %0; xorps %%xmm0, %%xmm0; movaps %%xmm0, %%xmm1;"
                     "cmpeqps %%xmm1, %%xmm1; psrld $25, %%xmm1; pslld $23, %%xmm1;"
                     "divss %%xmm0, %%xmm1" : : "m"(csr) : "xmm0", "xmm1");
    __asm__ volatile("fninit; fldcw %0; fldz; fld1; fdivp; nop; fwait; fninit" : : "m"(cw));
    check(seen[16] == before + 1, "#MF");
    mix(seen[19]); /* some emulators know no #XM, so its absence is no failure */
}

void floating_point(void)
{
    bodies();
    x87();
    sse();
    unmasked();
}
