/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Samples of the benchmarks, and the clock. */
#ifndef SAMPLES_H
#define SAMPLES_H
#include "switcher/layouts/types.h"
#include <stdbool.h>

struct bench {
	const char *name;
	u32 operations; /* in one sample */
	void (*run)(void);
};

/*
 * The TSC, which counts instructions where the emulator is told to. ecx says which benchmark runs: host_kernel/profile/
 * takes each rdtsc as a mark, and two with the same value as a section.
 */
extern u32 mark;
#define MARK_TELL 32 /* the Host prints its counts */
static inline u64 now(void)
{
	u64 ticks;

	__asm__ volatile("rdtsc" : "=A"(ticks) : "c"(mark) : "memory");
	return ticks;
}

void samples_start(u32 rounds);
void samples_of(const struct bench *bench); /* the benchmark of the samples that follow */
bool sample(u64 ticks); /* whether the benchmark needs more */
void samples_print(void);
#endif
