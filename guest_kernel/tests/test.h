/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The `test` command: every hypercall and trap, tried from the inside. A test is a function that registers itself;
 * it ends at its first check that does not hold. Each starts with interrupts enabled, a directory of its own and
 * the kernel's usual gates; what it changed of these is put right behind it.
 *
 * Read next: test.c, then any test_*.c.
 */
#ifndef TEST_H
#define TEST_H
#include "guest_kernel/tasks/clock.h"
#include "guest_kernel/tasks/task_table.h"
#include "switcher/types.h"
#include <stdbool.h>

struct test {
	const char *name;
	void (*run)(void);
};

#define TEST(identifier, text)                                                                        \
	static void identifier(void);                                                                 \
	static const struct test identifier##_test __attribute__((section(".tests"), used)) = { text, identifier }; \
	static void identifier(void)

/* Did it hold? Else the test's FAIL line is printed. */
bool test_same(const char *what, u32 expected, u32 got);
bool test_failed(void); /* so far, for one that calls checks that return */

#define ASSERT_EQ(what, expected, got)                                   \
	do {                                                        \
		if (!test_same(what, (u32)(expected), (u32)(got)))  \
			return;                                     \
	} while (0)
#define ASSERT(what) ASSERT_EQ(#what, true, !!(what))

/* Spins in ring 1 until something holds, or for five seconds; whether it held. */
#define WAIT_FOR(condition)                                                                           \
	({                                                                                            \
		u32 wait_from = clock_ms();                                                           \
		while (!(condition) && clock_ms() - wait_from < 5000)                                 \
			__asm__ volatile("pause" : : : "memory");                                     \
		(condition);                                                                          \
	})
void test_spin_ms(u32 ms);

#define TEST_PAGES  0x10000000 /* user addresses that are nobody's: */
#define TEST_TABLES 2          /* as many times 4 MiB */

static inline u32 current_directory(void)
{
	return current->directory;
}

u32 test_frame(void); /* a zeroed frame, given back when the test is over */
u32 *test_word(u32 address); /* as a pointer */

/* The clock is the test's: the scheduler gets no interrupts from it, and nobody else runs. */
void test_own_clock(void);
u32 test_clock_count(void); /* interrupts since test_own_clock() */
void test_arm_us(u32 us);

void test_command(char *part);

#endif
