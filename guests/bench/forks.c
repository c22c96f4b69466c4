/* A hundred forks, ten times; each child writes to some pages of its parent's. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGES 64

int main(void) {
    char *memory = malloc(PAGES * 4096ul);
    int sum = 0;
    if (!memory) return 1;
    for (int i = 0; i < PAGES; i++) memory[i * 4096] = (char)i;
    for (int i = 0; i < 1000; i++) {
        pid_t child = fork();
        if (child < 0) return 1;
        if (child == 0) {
            int own = 0;
            for (int k = 0; k < PAGES; k++) own += memory[k * 4096]++;
            _exit(own & 63);
        }
        int status = 0;
        waitpid(child, &status, 0);
        sum += WEXITSTATUS(status);
    }
    printf("forks %d\n", sum);
    return 0;
}
