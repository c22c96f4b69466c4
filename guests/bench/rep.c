/* Repeated string instructions. */
#include <stdio.h>
#include <stdlib.h>

#define BYTES (1ul << 20)

int main(void) {
    char *from = malloc(BYTES + 64), *to = malloc(BYTES + 64);
    if (!from || !to) return 1;
    unsigned long sum = 0;
    for (int i = 0; i < 3000; i++) {
        char *d = to;
        const char *s = from + i % 7;
        unsigned long n = BYTES;
        __asm__ volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(n) : : "memory");
        d = to + i % 16, n = BYTES / 16;
        __asm__ volatile("rep stosq" : "+D"(d), "+c"(n) : "a"((unsigned long)i * 0x0101010101010101ul) : "memory");
        d = from, s = to, n = BYTES / 8;
        __asm__ volatile("rep movsq" : "+D"(d), "+S"(s), "+c"(n) : : "memory");
        sum += (unsigned char)from[i];
    }
    printf("rep %lu\n", sum);
    return 0;
}
