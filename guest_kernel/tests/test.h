/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The `test` command: tests of every hypercall and trap from the inside. A test is a function that registers itself
 * and returns at its first failed check. Each starts with interrupts enabled, a page directory of its own and the
 * kernel's gates; test.c restores them after it.
 *
 * Read next: test.c, then any test_*.c.
 */
#ifndef TEST_H
#define TEST_H
#include "guest_kernel/tasks/clock.h"
#include "guest_kernel/tasks/task_table.h"
#include "switcher/layouts/types.h"
#include <stdbool.h>

struct test {
	const char *name;
	void (*run)(void);
};

#define TEST(identifier, text)                                                                        \
	static void identifier(void);                                                                 \
	static const struct test identifier##_test __attribute__((section(".tests"), used)) = { text, identifier }; \
	static void identifier(void)

/* Compares; prints the test's FAIL line on a difference. */
bool test_same(const char *what, u32 expected, u32 got);
bool test_failed(void); /* for a test that calls a function with checks */

#define ASSERT_EQ(what, expected, got)                                   \
	do {                                                        \
		if (!test_same(what, (u32)(expected), (u32)(got)))  \
			return;                                     \
	} while (0)
#define ASSERT(what) ASSERT_EQ(#what, true, !!(what))

/* Spins in ring 1 until the condition is true, for at most WAIT_MS; whether it is. */
#define WAIT_MS 5000

#define WAIT_FOR(condition)                                                                           \
	({                                                                                            \
		u32 wait_from = clock_ms();                                                           \
		while (!(condition) && clock_ms() - wait_from < WAIT_MS)                                 \
			__asm__ volatile("pause" : : : "memory");                                     \
		(condition);                                                                          \
	})
void test_spin_ms(u32 ms);

#define TEST_PAGES  0x10000000 /* unmapped user addresses, for the tests to map */
#define TEST_TABLES 2          /* page tables that cover them */

static inline u32 current_directory(void)
{
	return current->directory;
}

u32 test_frame(void); /* a zeroed frame, which is freed after the test */
u32 *test_word(u32 address); 

/* Takes the clock from the scheduler: no other task runs. */
void test_take_clock(void);
u32 test_clock_count(void); /* interrupts since test_take_clock() */
void test_arm_us(u32 us);

void test_command(char *part);

#endif
