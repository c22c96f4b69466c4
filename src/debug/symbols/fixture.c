/* Built by: gcc -O1 -g -nostdlib -static -fno-inline -fno-asynchronous-unwind-tables -Wl,--build-id=none -o fixture.elf fixture.c */
int counter = 5; static long table[4];
static int helper(int x) { return x * 3 + (int)table[x & 3]; }
int work(int n) { int s = 0; for (int i = 0; i < n; i++) s += helper(i); counter += s; return s; }
void _start(void) { work(10); for (;;) ; }
