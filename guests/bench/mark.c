/* Prints its arguments as a line and waits until the line has left the port: the host notes its
   time when the line arrives, and nothing of the line belongs to what is measured. */
#include <stdio.h>
#include <termios.h>
#include <unistd.h>

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) printf("%s%s", i > 1 ? " " : "", argv[i]);
    printf("\n");
    fflush(stdout);
    tcdrain(1);
    return 0;
}
