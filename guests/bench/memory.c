/* Pointers followed through memory that no cache holds, and copying. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NODES (1u << 21)
#define BYTES (16u << 20)

int main(void) {
    uint32_t *next = malloc(NODES * sizeof *next);
    char *from = malloc(BYTES), *to = malloc(BYTES);
    if (!next || !from || !to) return 1;
    /* One cycle through all nodes (Sattolo). */
    uint64_t x = 88172645463325252u;
    for (uint32_t i = 0; i < NODES; i++) next[i] = i;
    for (uint32_t i = NODES - 1; i > 0; i--) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        uint32_t k = x % i, t = next[i];
        next[i] = next[k], next[k] = t;
    }
    uint32_t at = 0;
    for (uint32_t i = 0; i < 8000000; i++) at = next[at];
    memset(from, 7, BYTES);
    for (int i = 0; i < 12; i++) {
        from[i] = (char)i;
        /* Not the library's: its choice depends on the CPU model. */
        uint64_t *d = (uint64_t *)to;
        const uint64_t *s = (const uint64_t *)from;
        for (size_t n = 0; n < BYTES / 8; n++) {
            d[n] = s[n];
            __asm__ volatile("" ::: "memory");
        }
    }
    printf("memory %u %d\n", at, to[5] + to[BYTES - 1]);
    return 0;
}
