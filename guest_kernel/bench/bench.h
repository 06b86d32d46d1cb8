/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The `bench` command's rows: bench_calls.c, bench_traps.c, bench_directories.c. */
#ifndef BENCH_H
#define BENCH_H

#define BENCH_PAGES 0x10000000 /* user addresses that are nobody's, from here on */
#define BENCH_CALL  0xBE4C     /* the number of a system call that does nothing */
#define PAGE_FAULT_VECTOR 14

#ifndef __ASSEMBLER__
#include "guest_kernel/bench/bench_samples.h"

/*
 * A row: set_up, then once() BENCH_WARM and BENCH_SAMPLES times, then tear_down. It runs in ring 1, in the kernel's
 * directory, with interrupts disabled and the clock off; gates and the FPU are put right behind it.
 */
struct bench {
	const char *name;
	u32 (*once)(u32 round); /* ticks, by BENCH_TIMED */
	void (*set_up)(void);
	void (*tear_down)(void);
	void (*all)(void);      /* instead of once: adds all samples itself */
};

extern const struct bench bench_calls[], bench_traps[], bench_directories[]; /* each ends with a name of NULL */

void bench_command(char *names);

/*
 * A row of ring 3: runs the program, which leaves BENCH_ROUNDS samples from BENCH_PAGES on. handler, of type_and_dpl, is in
 * vector's gate meanwhile.
 */
struct bench_gate {
	u32 vector;
	const char *handler;
	u32 type_and_dpl;
};
void bench_program(void (*start)(u32 argument) __attribute__((regparm(1))), struct bench_gate gate);

/* bench_handlers.S: gates that do the least there is to do. */
extern const char bench_skip[];        /* page fault: goes on behind the two-byte instruction */
extern const char bench_skip_program[]; /* the same for a program whose eax is BENCH_CALL; other faults are the kernel's */
extern const char bench_fpu[];         /* trap 7: TS off, and again */
extern const char bench_system_call[]; /* BENCH_CALL: straight back; any other number is the kernel's */
extern const char bench_clock[];       /* interrupt 0: notes when it came, and that it did */
void bench_spin(void);                 /* until that interrupt */
/* The last moment in bench_spin(), the first in the handler, from one to the other; that it came. */
extern volatile u32 bench_seen, bench_arrived, bench_gap, bench_fired;
#endif

#endif
