/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A program that measures what a Linux kernel's common work costs, as its init.  A benchmark is a function that
 * registers itself, under the name that virtbench has for it, if it has one; it takes samples until it has enough:
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
#include "guest_kernel/linux/signals.h"
#include "guest_kernel/linux/system.h"

struct bench {
	const char *name;
	u32 operations; /* in one sample */
	void (*run)(void);
};

#define BENCH(identifier, text, operations)                                                                       \
	static void identifier(void);                                                                                 \
	static const struct bench identifier##_bench __attribute__((section("benches"), used)) =                    \
		{ text, operations, identifier };                                                                         \
	static void identifier(void)

/*
 * The processor's clock: instructions, where the emulator counts them.  What runs is told beside it: host_kernel/profile/
 * takes each rdtsc for a mark, the same one twice for a section.
 */
extern u32 mark;
#define MARK_TELL 32 /* the Host is to tell what it has counted */
static inline u64 now(void)
{
	u64 ticks;

	__asm__ volatile("rdtsc" : "=A"(ticks) : "c"(mark) : "memory");
	return ticks;
}

enum { ECHILD = 10, ENOMEM = 12 };
#define NOTHING "nothing" /* under this name the program ends at once */

bool sample(u64 ticks); /* of the benchmark that runs; whether it wants more */

/* What a kernel must not refuse: nothing is measured then. */
s32 must(const char *what, s32 value);
#define MUST(call) must(#call, (s32)(call))

static inline volatile u8 *pages(u32 count)
{
	return (volatile u8 *)MUST(mmap(NULL, count * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
}

static inline void touch(volatile u8 *area, u32 count)
{
	for (u32 page = 0; page < count; page++)
		area[page * PAGE] = 1; /* without a read before it, which would be another fault */
}

static inline void free_pages(volatile u8 *area, u32 count)
{
	MUST(munmap((void *)area, count * PAGE));
}

/* A process that the benchmark starts and ends. */
s32 child_ended(s32 pid); /* waits; its exit status */

/* samples.c */
void samples_start(u32 rounds);
void samples_of(const struct bench *bench); /* what sample() takes from now on */
void samples_print(void);
#endif
