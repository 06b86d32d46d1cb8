/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A program that checks what a Linux kernel and the processor under it give to programs.  A check is a function that
 * registers itself; each runs in a process of its own, which ends at the first thing that does not hold.
 *
 * Read next: check.c, then any other file here.
 */
#ifndef CHECK_H
#define CHECK_H
#include "guest_kernel/linux/signals.h"
#include "guest_kernel/linux/system.h"

struct check {
	const char *name;
	void (*run)(void);
};

#define CHECK(identifier, text)                                                                                      \
	static void identifier(void);                                                                                \
	static const struct check identifier##_check __attribute__((section("checks"), used)) = { text, identifier }; \
	static void identifier(void)

void check_same(const char *what, u32 wanted, u32 got);
void check_note(const char *text); /* the processor does it another way, which is known and no failure */
s32 check_child(s32 pid); /* wait for one; its exit status, or 256 + the signal that ended it */

#define SAME(what, wanted, got) check_same(what, (u32)(wanted), (u32)(got))
#define HOLDS(what) SAME(#what, true, !!(what))

extern char **check_environment;

/* Yields until something holds, for two minutes; whether it held. */
#define WAIT_FOR(condition)                                            \
	({                                                             \
		u64 wait_from = clock_ns();                            \
		while (!(condition) && clock_ns() - wait_from < 120000000000ull) \
			yield_cpu();                                   \
		(condition);                                           \
	})

static inline void *pages(u32 count)
{
	return mmap(NULL, count * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}
static inline void *shared_pages(u32 count)
{
	return mmap(NULL, count * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}
#endif
