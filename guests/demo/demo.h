/* Shared by the parts of the demo guest. */
#ifndef DEMO_H
#define DEMO_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

/* Takes a number into the running digest. */
void mix(u64 value);
/* The next number of the guest's own generator. */
u64 random(void);
/* Ends the run with a message if a condition does not hold. */
void check(int holds, const char *what);
/* Prints a progress line: name, a number, and the digest so far. */
void progress(const char *name, u64 number);

/* Interrupts and faults seen since the start, by vector. */
extern volatile u64 seen[64];

/* The floating-point part, in fp.c. */
void floating_point(void);

#endif
