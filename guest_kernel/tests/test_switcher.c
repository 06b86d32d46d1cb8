/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The Switcher's 4 MiB at the top of the address space. Ring 1 can read its pages, because paging treats it as ring 0.
 * It must not write what the Host trusts, and ring 3 must not access any of it. The present bit of the error code may
 * be set or clear: the kernel's page tables have no entry there.
 *
 * Read next: test_paging.c.
 */
#include "guest_kernel/base/layout.h"
#include "guest_kernel/cpu/frame.h"
#include "guest_kernel/cpu/hypercall.h"
#include "guest_kernel/faults/catch.h"
#include "guest_kernel/tests/expect.h"
#include "guest_kernel/tests/test.h"
#include "guest_kernel/user/snippets.h"
#include "switcher/layouts/lguest_abi.h"
#include "switcher/layouts/lguest_pages.h"
#include "switcher/layouts/types.h"

static void refused(u32 ring, const char *start, u32 address, u32 error)
{
	struct caught caught = catch_in(ring, start, address);
	ASSERT(caught.trapped);
	ASSERT_EQ("vector", TRAP_PAGE_FAULT, caught.frame.vector);
	ASSERT_EQ("error code but for P", error, caught.frame.error & ~(u32)FAULT_PRESENT);
	ASSERT_EQ("cr2", address, caught.cr2);
}

TEST(write_text, "switcher: ring 1 cannot write its text")
{
	refused(1, snippet_write, SWITCHER_BASE, FAULT_WRITE);
}

TEST(write_state, "switcher: ring 1 cannot write its state page")
{
	refused(1, snippet_write, SWITCHER_STATE_PAGE, FAULT_WRITE);
}

TEST(write_gdt, "switcher: ring 1 cannot write the GDT")
{
	refused(1, snippet_write, SWITCHER_STATE_PAGE + offsetof(struct lguest_state, gdt) + GDT_TEST * 8, FAULT_WRITE);
}

TEST(write_idt, "switcher: ring 1 cannot write the IDT")
{
	refused(1, snippet_write, SWITCHER_STATE_PAGE + offsetof(struct lguest_state, idt) + 0x41 * 8, FAULT_WRITE);
}

TEST(write_tss, "switcher: ring 1 cannot write the TSS")
{
	refused(1, snippet_write, SWITCHER_STATE_PAGE + offsetof(struct lguest_state, guest_tss) + 4, FAULT_WRITE);
}

TEST(read_beyond, "switcher: nothing is mapped after its pages")
{
	refused(1, snippet_read, SWITCHER_BASE + SWITCHER_PAGES * PAGE_SIZE, 0);
	if (!test_failed())
		refused(1, snippet_read, 0xFFFFF000, 0);
}

TEST(read_ring3, "switcher: ring 3 cannot read any of it")
{
	for (u32 page = 0; page < 4 && !test_failed(); page++)
		refused(3, snippet_read, SWITCHER_BASE + page * PAGE_SIZE, FAULT_USER);
	if (!test_failed())
		refused(3, snippet_read, 0xFFFFFFFC, FAULT_USER);
}

TEST(write_ring3, "switcher: ring 3 cannot write any of it")
{
	for (u32 page = 0; page < 4 && !test_failed(); page++)
		refused(3, snippet_write, SWITCHER_BASE + page * PAGE_SIZE, FAULT_USER | FAULT_WRITE);
}

TEST(jump_ring3, "switcher: ring 3 cannot jump into it")
{
	refused(3, snippet_jump, SWITCHER_BASE, FAULT_USER);
}

/* Ring 1 can write the page that the processor pushes to, because it can trap. The Host must not rely on that page. */
TEST(scribble, "switcher: what ring 1 writes to the stack page changes nothing")
{
	volatile u32 *page = (volatile u32 *)SWITCHER_STACK_PAGE;
	for (u32 i = 0; i < PAGE_SIZE / sizeof(u32); i++)
		page[i] = 0xFFFFFFFF;
	hypercall(LHCALL_FLUSH_ASYNC, 0, 0, 0, 0);
	for (u32 i = 0; i < PAGE_SIZE / sizeof(u32); i++)
		page[i] = 0;
	hypercall(LHCALL_FLUSH_ASYNC, 0, 0, 0, 0);
	expect_trap(3, snippet_divide, 0, TRAP_DIVIDE, 0, snippet_divide_at);
}
