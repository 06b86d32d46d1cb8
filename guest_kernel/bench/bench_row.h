/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A row of the `bench` command, and the tables of rows. */
#ifndef BENCH_ROW_H
#define BENCH_ROW_H
#include "switcher/layouts/types.h"

#define BENCH_PAGES 0x10000000 /* user addresses from here on are unmapped, for the rows to map */

/*
 * set_up(), then once() BENCH_WARM and BENCH_SAMPLES times, then tear_down(). A row runs in ring 1, in the kernel's
 * page directory, with interrupts disabled and the clock off; bench.c restores the gates and the FPU after it.
 */
struct bench_row {
	const char *name;
	u32 (*once)(u32 round); /* returns ticks, from BENCH_TIMED */
	void (*set_up)(void);
	void (*tear_down)(void);
	void (*all)(void);      /* instead of once(): adds all samples itself */
};

extern const struct bench_row bench_calls[], bench_traps[], bench_directories[]; /* each ends with a name of NULL */

#endif
