/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Benchmarks of a Linux kernel's common work, as its init. A benchmark is a function that registers itself, by the
 * name that virtbench gives it if there is one. It takes samples until sample() returns false:
 *
 *	BENCH(null, "null", 1)
 *	{
 *		u64 start;
 *
 *		do
 *			start = now();
 *		while (sample(now() - start));
 *	}
 *
 * Read next: bench.c, then any other file here.
 */
#ifndef BENCH_H
#define BENCH_H
#include "guest_kernel/linux/bench/must.h"
#include "guest_kernel/linux/bench/samples.h"
#include "guest_kernel/linux/system.h"
#include "switcher/layouts/types.h"

#define BENCH(identifier, text, operations)                                                                       \
	static void identifier(void);                                                                                 \
	static const struct bench identifier##_bench __attribute__((section("benches"), used)) =                    \
		{ text, operations, identifier };                                                                         \
	static void identifier(void)

#define EXIT_NAME "nothing" /* the program exits at once when run by this name */

static inline volatile u8 *pages(u32 count)
{
	return (volatile u8 *)MUST(mmap(NULL, count * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
}

static inline void touch(volatile u8 *area, u32 count)
{
	for (u32 page = 0; page < count; page++)
		area[page * PAGE] = 1; /* no read before it: that would be another fault */
}

static inline void free_pages(volatile u8 *area, u32 count)
{
	MUST(munmap((void *)area, count * PAGE));
}
#endif
