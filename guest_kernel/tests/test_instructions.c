/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Privileged instructions that the Host emulates or skips for ring 1, and state that ring 1 must not be able to change.
 *
 * Read next: test_gates.c.
 */
#include "guest_kernel/base/layout.h"
#include "guest_kernel/cpu/hypercall.h"
#include "guest_kernel/cpu/interrupts.h"
#include "guest_kernel/faults/catch.h"
#include "guest_kernel/tests/expect.h"
#include "guest_kernel/tests/test.h"
#include "guest_kernel/user/snippets.h"
#include "switcher/layouts/lguest_abi.h"
#include "switcher/layouts/lguest_pages.h"
#include "switcher/layouts/types.h"

TEST(own_ring, "instructions: ring 1 reads RPL 1 in cs")
{
	u32 cs;
	__asm__("mov %%cs, %0" : "=r"(cs));
	ASSERT_EQ("cs", GUEST_CS, cs);
}

TEST(user_ring, "instructions: ring 3 reads RPL 3 in cs")
{
	expect_result(3, snippet_ring, 0, USER_CS);
}

TEST(in_ring1, "instructions: in returns all ones, in each of its six forms")
{
	expect_result(1, snippet_in_all, 0, 6);
}

TEST(out_ring1, "instructions: out has no effect, in each of its six forms")
{
	expect_result(1, snippet_out_all, 0, 6);
}

TEST(cli_ring1, "instructions: cli is skipped")
{
	expect_trap(1, snippet_cli, 0, SYSTEM_CALL_VECTOR, 0, NULL);
	if (!test_failed())
		ASSERT_EQ("irq_enabled", GUEST_IF, lguest_data.irq_enabled);
}

/* popf and iret must not change IOPL and the processor's IF. */
static void flags_kept(u32 ring, const char *start)
{
	struct caught caught = catch_in(ring, start, EFLAGS_IOPL);
	ASSERT(caught.trapped);
	ASSERT_EQ("vector", SYSTEM_CALL_VECTOR, caught.frame.vector);
	ASSERT_EQ("IOPL", 0, caught.frame.ebx & EFLAGS_IOPL);
	ASSERT_EQ("real IF", EFLAGS_IF, caught.frame.ebx & EFLAGS_IF);
}

TEST(popf_ring1, "instructions: popf in ring 1 changes neither IOPL nor IF")
{
	flags_kept(1, snippet_popf);
}

TEST(popf_ring3, "instructions: popf in ring 3 changes neither IOPL nor IF")
{
	flags_kept(3, snippet_popf);
}

TEST(iret_ring1, "instructions: iret in ring 1 changes neither IOPL nor IF")
{
	flags_kept(1, snippet_iret);
}

TEST(iret_ring3, "instructions: iret in ring 3 changes neither IOPL nor IF")
{
	flags_kept(3, snippet_iret);
}

static void rearm(u32 irq)
{
	(void)irq;
	test_arm_us(2000);
}

/* The handler arms the clock again: a single interrupt could come before hlt. */
TEST(hlt_ring1, "instructions: hlt in ring 1 sleeps until an interrupt")
{
	test_take_clock();
	irq_set_handler(IRQ_CLOCK, rearm);
	rearm(IRQ_CLOCK);
	for (u32 i = 1; i <= 10; i++) {
		__asm__ volatile("hlt");
		ASSERT(test_clock_count() >= i);
	}
}
