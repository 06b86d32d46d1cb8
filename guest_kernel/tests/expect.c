/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Checks of a trap that many tests share: how it must arrive, whether reflected by the Host or directly.
 *
 * Read next: test_traps.c.
 */
#include "guest_kernel/tests/expect.h"
#include "guest_kernel/base/layout.h"
#include "guest_kernel/cpu/frame.h"
#include "guest_kernel/faults/catch.h"
#include "guest_kernel/tests/test.h"
#include "switcher/layouts/lguest_abi.h"
#include "switcher/layouts/lguest_pages.h"
#include "switcher/layouts/types.h"
#include <stdbool.h>

static bool through_trap_gate(u32 vector)
{
	return vector == TRAP_BREAKPOINT || vector == TRAP_OVERFLOW || vector == SYSTEM_CALL_VECTOR;
}

static void check(u32 ring, const struct caught *caught, u32 vector, u32 error, u32 eip)
{
	const struct trap_frame *frame = &caught->frame;
	ASSERT(caught->trapped);
	ASSERT_EQ("vector", vector, frame->vector);
	ASSERT_EQ("error code", error, frame->error);
	ASSERT_EQ("cs", ring == 3 ? USER_CS : GUEST_CS, frame->cs);
	if (eip)
		ASSERT_EQ("eip", eip, frame->eip);
	if (ring == 3)
		ASSERT_EQ("ss", USER_DS, frame->ss);
	ASSERT_EQ("saved IF", EFLAGS_IF, frame->eflags & EFLAGS_IF);
	ASSERT_EQ("saved IOPL", 0, frame->eflags & EFLAGS_IOPL);
	ASSERT_EQ("saved TF", vector == TRAP_DEBUG ? EFLAGS_TF : 0, frame->eflags & EFLAGS_TF);
	ASSERT_EQ("irq_enabled in the handler", through_trap_gate(vector) ? GUEST_IF : 0, caught->irq_enabled);
	ASSERT_EQ("flags in the handler", EFLAGS_IF, caught->real_eflags & (EFLAGS_IF | EFLAGS_TF | EFLAGS_NT | EFLAGS_IOPL));
}

void expect_trap(u32 ring, const char *start, u32 eax, u32 vector, u32 error, const char *at)
{
	struct caught caught = catch_in(ring, start, eax);
	check(ring, &caught, vector, error, (u32)at);
}

void expect_page_fault(u32 ring, const char *start, u32 address, u32 error, const char *at)
{
	struct caught caught = catch_in(ring, start, address);
	check(ring, &caught, TRAP_PAGE_FAULT, error, (u32)at);
	if (!test_failed())
		ASSERT_EQ("cr2", address, caught.cr2);
}

void expect_result(u32 ring, const char *start, u32 eax, u32 ebx)
{
	struct caught caught = catch_in(ring, start, eax);
	check(ring, &caught, SYSTEM_CALL_VECTOR, 0, 0);
	if (!test_failed())
		ASSERT_EQ("ebx", ebx, caught.frame.ebx);
}
