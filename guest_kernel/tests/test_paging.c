/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Changes to page tables take effect by each way of informing the Host, and the accessed and dirty bits are as the
 * processor would set them.
 *
 * Read next: test_directories.c.
 */
#include "guest_kernel/base/layout.h"
#include "guest_kernel/cpu/frame.h"
#include "guest_kernel/cpu/hypercall.h"
#include "guest_kernel/cpu/hypercall_ring.h"
#include "guest_kernel/faults/catch.h"
#include "guest_kernel/memory/paging.h"
#include "guest_kernel/tasks/task_table.h"
#include "guest_kernel/tests/expect.h"
#include "guest_kernel/tests/test.h"
#include "guest_kernel/user/snippets.h"
#include "switcher/layouts/lguest_abi.h"
#include "switcher/layouts/types.h"
#include <stdbool.h>

#define PAGES   64
#define USER_RW (PTE_PRESENT | PTE_WRITE | PTE_USER)

static u32 frame_with(u32 word)
{
	u32 frame = test_frame();
	*(u32 *)virtual(frame) = word;
	return frame;
}

static u32 read_page(u32 address)
{
	return *(volatile u32 *)address;
}

static void write_page(u32 address, u32 word)
{
	*(volatile u32 *)address = word;
}

static u32 *entry_of(u32 address)
{
	return pte_lookup(current_directory(), address, true);
}

static void map(u32 address, u32 entry)
{
	pte_set(current_directory(), address, entry);
}

/* Accessed and dirty. */
static void bits(u32 flags, bool write, u32 expected)
{
	map(TEST_PAGES, test_frame() | flags);
	ASSERT_EQ("bits before", 0, *entry_of(TEST_PAGES) & (PTE_ACCESSED | PTE_DIRTY));
	if (write)
		write_page(TEST_PAGES, 1);
	else
		(void)read_page(TEST_PAGES);
	ASSERT_EQ("bits after", expected, *entry_of(TEST_PAGES) & (PTE_ACCESSED | PTE_DIRTY));
}

TEST(read_sets, "paging: a read sets accessed and not dirty")
{
	bits(USER_RW, false, PTE_ACCESSED);
}

TEST(write_sets, "paging: a write sets accessed and dirty")
{
	bits(USER_RW, true, PTE_ACCESSED | PTE_DIRTY);
}

TEST(read_only_sets, "paging: a read of a read-only page sets accessed")
{
	bits(PTE_PRESENT | PTE_USER, false, PTE_ACCESSED);
}

TEST(read_then_write, "paging: a write after a read sets dirty")
{
	map(TEST_PAGES, test_frame() | USER_RW);
	(void)read_page(TEST_PAGES);
	ASSERT_EQ("bits", PTE_ACCESSED, *entry_of(TEST_PAGES) & (PTE_ACCESSED | PTE_DIRTY));
	write_page(TEST_PAGES, 1);
	ASSERT_EQ("bits", PTE_ACCESSED | PTE_DIRTY, *entry_of(TEST_PAGES) & (PTE_ACCESSED | PTE_DIRTY));
}

TEST(user_sets, "paging: ring 3 sets them too")
{
	map(TEST_PAGES, test_frame() | USER_RW);
	expect_result(3, snippet_read, TEST_PAGES, 0);
	if (test_failed())
		return;
	ASSERT_EQ("bits after a read", PTE_ACCESSED, *entry_of(TEST_PAGES) & (PTE_ACCESSED | PTE_DIRTY));
	catch_ring3(snippet_write, TEST_PAGES);
	ASSERT_EQ("bits after a write", PTE_ACCESSED | PTE_DIRTY, *entry_of(TEST_PAGES) & (PTE_ACCESSED | PTE_DIRTY));
}

TEST(cleared, "paging: cleared by SET_PTE, they are set again")
{
	map(TEST_PAGES, test_frame() | USER_RW);
	write_page(TEST_PAGES, 1);
	map(TEST_PAGES, *entry_of(TEST_PAGES) & ~(u32)(PTE_ACCESSED | PTE_DIRTY));
	(void)read_page(TEST_PAGES);
	ASSERT_EQ("bits after a read", PTE_ACCESSED, *entry_of(TEST_PAGES) & (PTE_ACCESSED | PTE_DIRTY));
	write_page(TEST_PAGES, 2);
	ASSERT_EQ("bits after a write", PTE_ACCESSED | PTE_DIRTY, *entry_of(TEST_PAGES) & (PTE_ACCESSED | PTE_DIRTY));
}

TEST(directory_accessed, "paging: the directory entry's accessed bit is set")
{
	map(TEST_PAGES, test_frame() | USER_RW);
	(void)read_page(TEST_PAGES);
	ASSERT_EQ("bit", PTE_ACCESSED, page_directory_entries(current_directory())[TEST_PAGES >> PDE_SHIFT] & PTE_ACCESSED);
}

TEST(refused_not_dirty, "paging: a write that faults sets neither")
{
	map(TEST_PAGES, test_frame() | PTE_PRESENT | PTE_USER);
	catch_ring3(snippet_write, TEST_PAGES);
	ASSERT_EQ("bits", 0, *entry_of(TEST_PAGES) & (PTE_ACCESSED | PTE_DIRTY));
}

/* SET_PTE. */
TEST(remap, "paging: SET_PTE to another frame takes effect")
{
	map(TEST_PAGES, frame_with(1) | USER_RW);
	ASSERT_EQ("first", 1, read_page(TEST_PAGES));
	map(TEST_PAGES, frame_with(2) | USER_RW);
	ASSERT_EQ("second", 2, read_page(TEST_PAGES));
	expect_result(3, snippet_read, TEST_PAGES, 2);
}

TEST(unmap, "paging: SET_PTE to not present takes effect")
{
	map(TEST_PAGES, test_frame() | USER_RW);
	write_page(TEST_PAGES, 1);
	map(TEST_PAGES, 0);
	expect_page_fault(1, snippet_read, TEST_PAGES, 0, snippet_read_at);
	if (!test_failed())
		expect_page_fault(3, snippet_write, TEST_PAGES, FAULT_USER | FAULT_WRITE, snippet_write_at);
}

TEST(unmap_remap, "paging: unmapped and mapped again to another frame")
{
	map(TEST_PAGES, frame_with(1) | USER_RW);
	ASSERT_EQ("first", 1, read_page(TEST_PAGES));
	map(TEST_PAGES, 0);
	map(TEST_PAGES, frame_with(2) | USER_RW);
	ASSERT_EQ("second", 2, read_page(TEST_PAGES));
}

TEST(fault_then_map, "paging: mapped after a fault")
{
	expect_page_fault(1, snippet_read, TEST_PAGES, 0, snippet_read_at);
	if (test_failed())
		return;
	map(TEST_PAGES, frame_with(3) | USER_RW);
	ASSERT_EQ("word", 3, read_page(TEST_PAGES));
}

TEST(protect, "paging: SET_PTE to read-only takes effect")
{
	u32 frame = frame_with(1);
	map(TEST_PAGES, frame | USER_RW);
	write_page(TEST_PAGES, 5);
	map(TEST_PAGES, frame | PTE_PRESENT | PTE_USER);
	expect_page_fault(1, snippet_write, TEST_PAGES, FAULT_WRITE | FAULT_PRESENT, snippet_write_at);
	ASSERT_EQ("word", 5, read_page(TEST_PAGES));
}

TEST(protect_bit, "paging: only the write bit changed, with accessed and dirty kept")
{
	map(TEST_PAGES, frame_with(1) | USER_RW);
	write_page(TEST_PAGES, 5);
	map(TEST_PAGES, *entry_of(TEST_PAGES) & ~(u32)PTE_WRITE);
	expect_page_fault(3, snippet_write, TEST_PAGES, FAULT_USER | FAULT_WRITE | FAULT_PRESENT, snippet_write_at);
	if (test_failed())
		return;
	map(TEST_PAGES, *entry_of(TEST_PAGES) | PTE_WRITE);
	write_page(TEST_PAGES, 6);
	ASSERT_EQ("word", 6, read_page(TEST_PAGES));
}

TEST(to_kernel, "paging: only the user bit changed")
{
	map(TEST_PAGES, frame_with(4) | USER_RW);
	expect_result(3, snippet_read, TEST_PAGES, 4);
	if (test_failed())
		return;
	map(TEST_PAGES, *entry_of(TEST_PAGES) & ~(u32)PTE_USER);
	expect_page_fault(3, snippet_read, TEST_PAGES, FAULT_USER | FAULT_PRESENT, snippet_read_at);
}

/* Linux flushes one page by a SET_PTE of 0: the Host has to read the page table instead of the argument. */
TEST(read_entry, "paging: SET_PTE of 0 while the entry is present makes the Host read it")
{
	map(TEST_PAGES, frame_with(1) | USER_RW);
	ASSERT_EQ("first", 1, read_page(TEST_PAGES));
	*entry_of(TEST_PAGES) = frame_with(2) | USER_RW;
	hypercall(LHCALL_SET_PTE, current_directory(), TEST_PAGES, 0, 0);
	ASSERT_EQ("second", 2, read_page(TEST_PAGES));
}

TEST(async_pte, "paging: 64 SET_PTEs in the asynchronous ring")
{
	u32 frames[PAGES];
	for (u32 i = 0; i < PAGES; i++) {
		frames[i] = i < PAGES / 2 ? frame_with(100 + i) : frames[i - PAGES / 2];
		map(TEST_PAGES + i * PAGE_SIZE, frames[i] | USER_RW);
		(void)read_page(TEST_PAGES + i * PAGE_SIZE);
	}
	for (u32 i = 0; i < PAGES; i++) {
		u32 entry = frames[PAGES - 1 - i] | USER_RW, address = TEST_PAGES + i * PAGE_SIZE;
		*entry_of(address) = entry;
		hypercall_async(LHCALL_SET_PTE, current_directory(), address, entry, 0);
	}
	hypercall(LHCALL_FLUSH_ASYNC, 0, 0, 0, 0);
	for (u32 i = 0; i < PAGES; i++)
		ASSERT_EQ("word", 100 + (PAGES - 1 - i) % (PAGES / 2), read_page(TEST_PAGES + i * PAGE_SIZE));
}

/* FLUSH_TLB after changes that the Host was not informed of. */
static void silent_changes(u32 address, u32 kernel_too)
{
	map(address, frame_with(1) | USER_RW);
	map(address + PAGE_SIZE, frame_with(2) | USER_RW);
	map(address + 2 * PAGE_SIZE, frame_with(3) | USER_RW);
	write_page(address, 11);
	write_page(address + PAGE_SIZE, 22);
	write_page(address + 2 * PAGE_SIZE, 33);
	*entry_of(address) = frame_with(7) | USER_RW;
	*entry_of(address + PAGE_SIZE) = 0;
	*entry_of(address + 2 * PAGE_SIZE) &= ~(u32)PTE_WRITE;
	hypercall(LHCALL_FLUSH_TLB, kernel_too, 0, 0, 0);
	ASSERT_EQ("changed frame", 7, read_page(address));
	expect_page_fault(1, snippet_read, address + PAGE_SIZE, 0, snippet_read_at);
	if (test_failed())
		return;
	expect_page_fault(1, snippet_write, address + 2 * PAGE_SIZE, FAULT_WRITE | FAULT_PRESENT, snippet_write_at);
	ASSERT_EQ("read-only page", 33, read_page(address + 2 * PAGE_SIZE));
}

TEST(flush_user, "paging: FLUSH_TLB(0) after silent changes to a program's pages")
{
	silent_changes(TEST_PAGES, 0);
}

TEST(flush_all, "paging: FLUSH_TLB(1) after silent changes to a program's pages")
{
	silent_changes(TEST_PAGES, 1);
}

TEST(flush_kernel, "paging: FLUSH_TLB(1) after silent changes to the kernel's pages")
{
	silent_changes(SCRATCH_WINDOW, 1);
	for (u32 i = 0; i < 3; i++)
		map(SCRATCH_WINDOW + i * PAGE_SIZE, 0);
}

TEST(flush_keeps, "paging: FLUSH_TLB keeps what did not change")
{
	map(TEST_PAGES, frame_with(1) | USER_RW);
	write_page(TEST_PAGES, 9);
	for (u32 i = 0; i < 10; i++) {
		hypercall(LHCALL_FLUSH_TLB, i & 1, 0, 0, 0);
		ASSERT_EQ("word", 9 + i, read_page(TEST_PAGES));
		write_page(TEST_PAGES, 10 + i);
	}
}

/* SET_PGD. */
static u32 table_with(u32 word)
{
	u32 table = test_frame();
	*(u32 *)virtual(table) = frame_with(word) | USER_RW;
	return table;
}

static void set_table(u32 entry)
{
	page_directory_entries(current_directory())[TEST_PAGES >> PDE_SHIFT] = entry;
	hypercall(LHCALL_SET_PGD, current_directory(), TEST_PAGES >> PDE_SHIFT, 0, 0);
}

TEST(pgd_change, "paging: SET_PGD to another page table takes effect")
{
	set_table(table_with(1) | USER_RW);
	ASSERT_EQ("first", 1, read_page(TEST_PAGES));
	set_table(table_with(2) | USER_RW);
	ASSERT_EQ("second", 2, read_page(TEST_PAGES));
	expect_result(3, snippet_read, TEST_PAGES, 2);
}

TEST(pgd_clear, "paging: SET_PGD to not present takes effect")
{
	set_table(table_with(1) | USER_RW);
	ASSERT_EQ("word", 1, read_page(TEST_PAGES));
	set_table(0);
	expect_page_fault(1, snippet_read, TEST_PAGES, 0, snippet_read_at);
}

TEST(pgd_protect, "paging: SET_PGD to read-only takes effect")
{
	u32 table = table_with(1);
	set_table(table | USER_RW);
	write_page(TEST_PAGES, 8);
	set_table(table | PTE_PRESENT | PTE_USER);
	expect_page_fault(1, snippet_write, TEST_PAGES, FAULT_WRITE | FAULT_PRESENT, snippet_write_at);
	ASSERT_EQ("word", 8, read_page(TEST_PAGES));
}

TEST(two_slots, "paging: one page table in two slots")
{
	u32 table = table_with(1), directory = current_directory(), other = TEST_PAGES + (PAGE_SIZE << 10);
	set_table(table | USER_RW);
	page_directory_entries(directory)[other >> PDE_SHIFT] = table | USER_RW;
	hypercall(LHCALL_SET_PGD, directory, other >> PDE_SHIFT, 0, 0);
	write_page(TEST_PAGES, 5);
	ASSERT_EQ("word", 5, read_page(other));
	map(other, frame_with(6) | USER_RW);
	ASSERT_EQ("word through the first", 6, read_page(TEST_PAGES));
	ASSERT_EQ("word through the second", 6, read_page(other));
	page_directory_entries(directory)[other >> PDE_SHIFT] = 0; /* or its frames would be freed twice */
	hypercall(LHCALL_SET_PGD, directory, other >> PDE_SHIFT, 0, 0);
}

TEST(same_frame, "paging: one frame at many addresses")
{
	u32 frame = frame_with(0);
	for (u32 i = 0; i < 32; i++)
		map(TEST_PAGES + i * PAGE_SIZE, frame | USER_RW);
	for (u32 i = 0; i < 32; i++) {
		write_page(TEST_PAGES + i * PAGE_SIZE, i + 1);
		ASSERT_EQ("word", i + 1, read_page(TEST_PAGES + (31 - i) * PAGE_SIZE));
	}
}

/* Kernel pages: a change takes effect in every page directory. */
TEST(kernel_pte, "paging: SET_PTE of a kernel address")
{
	map(SCRATCH_WINDOW, frame_with(1) | PTE_PRESENT | PTE_WRITE);
	ASSERT_EQ("first", 1, read_page(SCRATCH_WINDOW));
	map(SCRATCH_WINDOW, frame_with(2) | PTE_PRESENT | PTE_WRITE);
	ASSERT_EQ("second", 2, read_page(SCRATCH_WINDOW));
	expect_page_fault(3, snippet_read, SCRATCH_WINDOW, FAULT_USER | FAULT_PRESENT, snippet_read_at);
	map(SCRATCH_WINDOW, 0);
	if (!test_failed())
		expect_page_fault(1, snippet_read, SCRATCH_WINDOW, 0, snippet_read_at);
}

TEST(global_bit, "paging: an entry with G set is as one without")
{
	map(TEST_PAGES, frame_with(1) | USER_RW | PTE_GLOBAL);
	ASSERT_EQ("first", 1, read_page(TEST_PAGES));
	*entry_of(TEST_PAGES) = frame_with(2) | USER_RW | PTE_GLOBAL;
	hypercall(LHCALL_FLUSH_TLB, 0, 0, 0, 0);
	ASSERT_EQ("second", 2, read_page(TEST_PAGES));
}

TEST(stack_demand, "paging: a program's stack grows page by page")
{
	u32 bytes = 16 * PAGE_SIZE, before = current->faults;
	expect_result(3, snippet_stack, bytes, bytes / 4);
	if (!test_failed())
		ASSERT(current->faults - before >= 16);
}
