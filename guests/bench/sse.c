/* Packed single, packed double and packed integers. */
#include <emmintrin.h>
#include <stdio.h>

#define N 4096

static float x[N] __attribute__((aligned(16))), y[N] __attribute__((aligned(16)));
static int words[N] __attribute__((aligned(16)));

int main(void) {
    for (int i = 0; i < N; i++) x[i] = (float)i / 7, y[i] = 1.0f / (float)(i + 1), words[i] = (int)(i * 2654435761u);
    __m128 sum = _mm_setzero_ps();
    __m128d wide = _mm_setzero_pd();
    __m128i whole = _mm_setzero_si128();
    for (int round = 0; round < 200000; round++) {
        __m128 k = _mm_set1_ps(1.0f / (float)(round + 3));
        for (int i = 0; i < N; i += 4) {
            __m128 v = _mm_load_ps(x + i), w = _mm_load_ps(y + i);
            v = _mm_add_ps(_mm_mul_ps(v, k), w);
            sum = _mm_add_ps(sum, _mm_max_ps(v, _mm_sub_ps(w, v)));
            _mm_store_ps(y + i, _mm_mul_ps(w, _mm_set1_ps(0.9999f)));
            wide = _mm_add_pd(wide, _mm_mul_pd(_mm_cvtps_pd(v), _mm_set1_pd(0.5)));
            __m128i n = _mm_load_si128((__m128i *)(words + i));
            n = _mm_add_epi32(_mm_slli_epi32(n, 3), _mm_srli_epi32(n, 29));
            _mm_store_si128((__m128i *)(words + i), n);
            whole = _mm_xor_si128(whole, _mm_madd_epi16(n, _mm_shuffle_epi32(n, 0x1b)));
        }
        for (int i = 0; i < 16; i++) y[i] += 0.001f;
    }
    float f[4];
    double d[2];
    int n[4];
    _mm_storeu_ps(f, sum), _mm_storeu_pd(d, wide), _mm_storeu_si128((__m128i *)n, whole);
    printf("sse %g %g %d\n", (double)(f[0] + f[3]), d[0] + d[1], n[0] ^ n[2]);
    return 0;
}
