/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Page faults: error code and cr2 for every combination of present, write and user, from both rings. Faults on absent
 * pages are tested without a page table and with one.
 *
 * Read next: test_paging.c.
 */
#include "guest_kernel/base/layout.h"
#include "guest_kernel/cpu/frame.h"
#include "guest_kernel/cpu/hypercall.h"
#include "guest_kernel/memory/paging.h"
#include "guest_kernel/tests/expect.h"
#include "guest_kernel/tests/test.h"
#include "guest_kernel/user/snippets.h"
#include "switcher/layouts/lguest_abi.h"
#include "switcher/layouts/types.h"

#define ADDRESS (TEST_PAGES + 0x124)

static void map(u32 flags)
{
	pte_set(current_directory(), TEST_PAGES, test_frame() | PTE_PRESENT | flags);
}

/* A page table without an entry for the address. */
static void table_only(void)
{
	pte_set(current_directory(), TEST_PAGES + PAGE_SIZE, test_frame() | PTE_PRESENT | PTE_WRITE | PTE_USER);
}

/* Sets the flags of the page directory entry; the page table entry allows everything. */
static void map_under(u32 directory_flags)
{
	u32 directory = current_directory(), *entry = &page_directory_entries(directory)[TEST_PAGES >> PDE_SHIFT];
	map(PTE_WRITE | PTE_USER);
	*entry = (*entry & PTE_FRAME) | PTE_PRESENT | directory_flags;
	hypercall(LHCALL_SET_PGD, directory, TEST_PAGES >> PDE_SHIFT, 0, 0);
}

#define FAULT(identifier, text, ring, prepare, kind, error)                                            \
	TEST(identifier, "page faults: " text)                                                         \
	{                                                                                              \
		prepare;                                                                               \
		expect_page_fault(ring, snippet_##kind, ADDRESS, error, snippet_##kind##_at);          \
	}

FAULT(read_none_1, "ring 1 reads an absent page (0)", 1, (void)0, read, 0)
FAULT(write_none_1, "ring 1 writes an absent page (2)", 1, (void)0, write, FAULT_WRITE)
FAULT(read_gap_1, "ring 1 reads a gap in a table (0)", 1, table_only(), read, 0)
FAULT(write_gap_1, "ring 1 writes a gap in a table (2)", 1, table_only(), write, FAULT_WRITE)
FAULT(write_ro_1, "ring 1 writes a read-only page (3)", 1, map(0), write, FAULT_WRITE | FAULT_PRESENT)
FAULT(write_user_ro_1, "ring 1 writes a program's read-only page (3)", 1, map(PTE_USER), write,
      FAULT_WRITE | FAULT_PRESENT)
FAULT(write_ro_table_1, "ring 1 writes under a read-only directory entry (3)", 1, map_under(PTE_USER), write,
      FAULT_WRITE | FAULT_PRESENT)
FAULT(read_none_3, "ring 3 reads an absent page (4)", 3, (void)0, read, FAULT_USER)
FAULT(write_none_3, "ring 3 writes an absent page (6)", 3, (void)0, write, FAULT_USER | FAULT_WRITE)
FAULT(read_gap_3, "ring 3 reads a gap in a table (4)", 3, table_only(), read, FAULT_USER)
FAULT(write_gap_3, "ring 3 writes a gap in a table (6)", 3, table_only(), write, FAULT_USER | FAULT_WRITE)
FAULT(read_kernel_3, "ring 3 reads the kernel's page (5)", 3, map(PTE_WRITE), read, FAULT_USER | FAULT_PRESENT)
FAULT(write_kernel_3, "ring 3 writes the kernel's page (7)", 3, map(PTE_WRITE), write,
      FAULT_USER | FAULT_WRITE | FAULT_PRESENT)
FAULT(write_ro_3, "ring 3 writes a read-only page (7)", 3, map(PTE_USER), write,
      FAULT_USER | FAULT_WRITE | FAULT_PRESENT)
FAULT(write_ro_table_3, "ring 3 writes under a read-only directory entry (7)", 3, map_under(PTE_USER), write,
      FAULT_USER | FAULT_WRITE | FAULT_PRESENT)
FAULT(read_table_3, "ring 3 reads under the kernel's directory entry (5)", 3, map_under(PTE_WRITE), read,
      FAULT_USER | FAULT_PRESENT)

/* The same after ring 1 accessed the page, so that the Host has a shadow entry for it. */
static void map_used(u32 flags)
{
	map(flags);
	(void)*(volatile u32 *)ADDRESS;
	if (flags & PTE_WRITE)
		*(volatile u32 *)ADDRESS = 1;
}

FAULT(read_kernel_used_3, "ring 3 reads a page that the kernel used (5)", 3, map_used(PTE_WRITE), read,
      FAULT_USER | FAULT_PRESENT)
FAULT(write_kernel_used_3, "ring 3 writes a page that the kernel used (7)", 3, map_used(PTE_WRITE), write,
      FAULT_USER | FAULT_WRITE | FAULT_PRESENT)
FAULT(write_ro_used_1, "ring 1 writes a read-only page that it read (3)", 1, map_used(0), write,
      FAULT_WRITE | FAULT_PRESENT)
FAULT(write_ro_used_3, "ring 3 writes a read-only page that was read (7)", 3, map_used(PTE_USER), write,
      FAULT_USER | FAULT_WRITE | FAULT_PRESENT)

TEST(jump_none_1, "page faults: ring 1 jumps to an absent page (0)")
{
	expect_page_fault(1, snippet_jump, ADDRESS, 0, (const char *)ADDRESS);
}

TEST(jump_none_3, "page faults: ring 3 jumps to an absent page (4)")
{
	expect_page_fault(3, snippet_jump, ADDRESS, FAULT_USER, (const char *)ADDRESS);
}

TEST(jump_null_3, "page faults: ring 3 jumps to address 0 (4)")
{
	expect_page_fault(3, snippet_jump, 0, FAULT_USER, NULL);
}

TEST(jump_kernel_3, "page faults: ring 3 jumps into the kernel (5)")
{
	u32 address = (u32)&test_same;
	expect_page_fault(3, snippet_jump, address, FAULT_USER | FAULT_PRESENT, (const char *)address);
}
