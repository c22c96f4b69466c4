/* A machine of byte codes: indirect branches. */
#include <stdint.h>
#include <stdio.h>

enum { PUSH, ADD, SUB, MUL, DUP, SWAP, OVER, DROP, LOAD, STORE, JNZ, XOR, SHR, HALT };

/* The Collatz steps of all numbers below memory[0], summed in memory[1]. */
static const int32_t program[] = {
    /* 0 */ LOAD, 0,
    /* 2 */ LOAD, 1, PUSH, 1, ADD, STORE, 1,
    /* 9 */ DUP, PUSH, 1, OVER, PUSH, 1, SHR, PUSH, 2, MUL, SUB, ADD, OVER, SUB,
    /* 23: the number on top, 1 when it is odd below */
    DROP, DUP, PUSH, 1, SHR, DUP, PUSH, 2, MUL, OVER, DROP, SWAP, DROP,
    /* 36 */ PUSH, 1, SHR, DUP, JNZ, 2,
    /* 42 */ DROP, LOAD, 0, PUSH, 1, SUB, DUP, STORE, 0, JNZ, 0, HALT,
};

int main(void) {
    static const void *const labels[] = {
        &&push, &&add, &&sub, &&mul, &&dup, &&swap, &&over, &&drop, &&load, &&store, &&jnz, &&xor_, &&shr, &&halt,
    };
    int64_t stack[4096], memory[4] = {420000, 0, 0, 0};
    int64_t *sp = stack + 1024;
    const int32_t *pc = program;
    uint64_t count = 0;
#define NEXT do { count++; goto *labels[*pc++]; } while (0)
    NEXT;
push: *++sp = *pc++; NEXT;
add: sp--; *sp += sp[1]; NEXT;
sub: sp--; *sp -= sp[1]; NEXT;
mul: sp--; *sp *= sp[1]; NEXT;
dup: sp++; *sp = sp[-1]; NEXT;
swap: { int64_t t = *sp; *sp = sp[-1]; sp[-1] = t; } NEXT;
over: sp++; *sp = sp[-2]; NEXT;
drop: sp--; NEXT;
load: *++sp = memory[*pc++ & 3]; NEXT;
store: memory[*pc++ & 3] = *sp--; NEXT;
jnz: { int32_t to = *pc++; if (*sp--) pc = program + to; if (sp > stack + 4000 || sp < stack + 64) sp = stack + 1024; } NEXT;
xor_: sp--; *sp ^= sp[1]; NEXT;
shr: sp--; *sp = (int64_t)((uint64_t)*sp >> sp[1]); NEXT;
halt:
    printf("vm %llu %lld\n", (unsigned long long)count, (long long)memory[1]);
    return 0;
}
