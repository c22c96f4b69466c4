/* Extended precision: x87 arithmetic. */
#include <stdio.h>

int main(void) {
    long double root = 1, sum = 0, term = 1, x = 0.5L;
    for (int i = 1; i < 36000000; i++) {
        root = (root + (long double)(i & 1023) / root) / 2;
        term = term * x / (long double)(i & 63 | 1);
        sum += term - root * 0.001L;
        if (term < 1e-30L) term = 1, x = x < 0.9L ? x + 0.01L : 0.5L;
    }
    printf("x87 %.18Lf %.18Lf\n", sum, root);
    return 0;
}
