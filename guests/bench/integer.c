/* Sieve, CRC and integer matrices. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIMIT 4000000
#define N 220

static uint8_t sieve[LIMIT];
static uint32_t a[N][N], b[N][N], c[N][N], table[256];

static unsigned primes(void) {
    unsigned count = 0;
    memset(sieve, 0, sizeof sieve);
    for (unsigned i = 2; i < LIMIT; i++) {
        if (sieve[i]) continue;
        count++;
        for (unsigned long k = (unsigned long)i * i; k < LIMIT; k += i) sieve[k] = 1;
    }
    return count;
}

static uint32_t crc(uint32_t value) {
    for (unsigned i = 0; i < 256; i++) {
        uint32_t r = i;
        for (int k = 0; k < 8; k++) r = r >> 1 ^ (0xedb88320u & -(r & 1));
        table[i] = r;
    }
    for (unsigned i = 0; i < 24000000; i++) value = value >> 8 ^ table[(value ^ i) & 255];
    return value;
}

static uint32_t matrix(uint32_t seed) {
    for (int i = 0; i < N; i++)
        for (int k = 0; k < N; k++) {
            seed = seed * 1664525 + 1013904223;
            a[i][k] = seed >> 8;
            b[i][k] = seed >> 16;
        }
    for (int i = 0; i < N; i++)
        for (int k = 0; k < N; k++) {
            uint32_t sum = 0;
            for (int j = 0; j < N; j++) sum += a[i][j] * b[j][k];
            c[i][k] = sum;
        }
    return c[N / 3][N / 5] ^ c[N - 1][0];
}

int main(void) {
    uint32_t r = 1;
    unsigned p = 0;
    for (int i = 0; i < 4; i++) {
        p = primes();
        r = crc(r);
        r = matrix(r);
    }
    printf("integer %u %08x\n", p, r);
    return 0;
}
