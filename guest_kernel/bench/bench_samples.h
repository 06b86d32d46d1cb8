/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Samples of one row of `lguest-py bench`: kept in memory, printed when the row is over. Shared by the tiny Guest, the
 * Guest of native_bench/ and the Host kernel's own measurements (host_kernel/bench/).
 */
#ifndef BENCH_SAMPLES_H
#define BENCH_SAMPLES_H

#define BENCH_SAMPLES 300
#define BENCH_WARM    40 /* how often each is done before that counts */
#define BENCH_ROUNDS  (BENCH_WARM + BENCH_SAMPLES)

#ifndef __ASSEMBLER__
#include "switcher/layouts/types.h"

/*
 * The clock: rdtsc alone may be executed before what stands ahead of it, so it is put between two lfence. These never
 * leave the machine that executes them; cpuid, the other way to wait for all instructions, does under every hypervisor.
 * (On AMD lfence waits so only since kernels set that up in 2018; before, a value could be some cycles off.)
 * The low 32 bits: no operation takes a second.
 */
static inline __attribute__((always_inline)) u32 bench_ticks(void)
{
	u32 low;
	__asm__ volatile("lfence; rdtsc; lfence" : "=a"(low) : : "edx", "memory");
	return low;
}

/* An operation timed; the clock's own cost is in it, and is the row "clock". */
#define BENCH_TIMED(operation)                      \
	({                                          \
		u32 timed_start = bench_ticks();    \
		operation;                          \
		bench_ticks() - timed_start;        \
	})

void bench_begin(void);
void bench_add(u32 ticks);           /* beyond BENCH_SAMPLES they are lost */
void bench_add_warmed(const u32 *ticks); /* BENCH_ROUNDS of them, with the warm-up's */
void bench_print(const char *name);  /* "BENCH name value*count …" */
#endif

#endif
