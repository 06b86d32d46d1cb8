/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Samples of one row of `lguest-py bench`: kept in memory and printed after the row. Used by the tiny Guest, by
 * native_bench/ and by host_kernel/bench/.
 */
#ifndef BENCH_SAMPLES_H
#define BENCH_SAMPLES_H

#define BENCH_SAMPLES 300
#define BENCH_WARM    40 /* rounds before the first sample */
#define BENCH_ROUNDS  (BENCH_WARM + BENCH_SAMPLES)

#ifndef __ASSEMBLER__
#include "switcher/layouts/types.h"

/*
 * The clock. The processor may execute rdtsc before earlier instructions, so lfence stands on both sides of it. No
 * hypervisor intercepts lfence; cpuid, the other serializing instruction, exits under each of them. On AMD lfence
 * serializes only if the kernel has enabled that, as kernels do since 2018; without it a value may be off by some
 * cycles. The low 32 bits are enough: no operation takes a second.
 */
static inline __attribute__((always_inline)) u32 bench_ticks(void)
{
	u32 low;
	__asm__ volatile("lfence; rdtsc; lfence" : "=a"(low) : : "edx", "memory");
	return low;
}

/* The ticks of an operation, and of the clock itself, which is the row "clock". */
#define BENCH_TIMED(operation)                      \
	({                                          \
		u32 timed_start = bench_ticks();    \
		operation;                          \
		bench_ticks() - timed_start;        \
	})

void bench_begin(void);
void bench_add(u32 ticks);           /* ignored beyond BENCH_SAMPLES */
void bench_add_warmed(const u32 *ticks); /* of BENCH_ROUNDS rounds */
void bench_print(const char *name);  /* "BENCH name value*count …" */
#endif

#endif
