/* The solar system's outer planets, in double precision. */
#include <math.h>
#include <stdio.h>

#define BODIES 5
#define PI 3.141592653589793
#define YEAR 365.24

static struct { double x[3], v[3], m; } b[BODIES] = {
    {{0, 0, 0}, {0, 0, 0}, 4 * PI * PI},
    {{4.84143144246472090, -1.16032004402742839, -.103622044471123109},
     {.00166007664274403694 * YEAR, .00769901118419740425 * YEAR, -.0000690460016972063023 * YEAR},
     .000954791938424326609 * 4 * PI * PI},
    {{8.34336671824457987, 4.12479856412430479, -.403523417114321381},
     {-.00276742510726411399 * YEAR, .00499852801234917238 * YEAR, .0000230417297573763929 * YEAR},
     .000285885980666130812 * 4 * PI * PI},
    {{12.8943695621391310, -15.1111514016986312, -.223307578892655734},
     {.00296460137564761618 * YEAR, .00237847173959480950 * YEAR, -.0000296589568540237556 * YEAR},
     .0000436624404335156298 * 4 * PI * PI},
    {{15.3796971148509165, -25.9193146099879641, .179258772950371181},
     {.00268067772490389322 * YEAR, .00162824170038242295 * YEAR, -.0000951592254519715870 * YEAR},
     .0000515138902046611451 * 4 * PI * PI},
};

int main(void) {
    for (int step = 0; step < 2500000; step++) {
        for (int i = 0; i < BODIES; i++)
            for (int k = i + 1; k < BODIES; k++) {
                double d[3], square = 0;
                for (int n = 0; n < 3; n++) d[n] = b[i].x[n] - b[k].x[n], square += d[n] * d[n];
                double mag = 0.01 / (square * sqrt(square));
                for (int n = 0; n < 3; n++) b[i].v[n] -= d[n] * b[k].m * mag, b[k].v[n] += d[n] * b[i].m * mag;
            }
        for (int i = 0; i < BODIES; i++)
            for (int n = 0; n < 3; n++) b[i].x[n] += 0.01 * b[i].v[n];
    }
    printf("nbody %.12f %.12f\n", b[0].x[0], b[3].v[1]);
    return 0;
}
