/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Page tables. The Host shadows them, so it is informed of each change by SET_PTE, SET_PGD or a flush.
 *
 * Read next: demand.c.
 * Next in the book: guest_kernel/cpu/segments.c.
 */
#include "guest_kernel/memory/paging.h"
#include "guest_kernel/base/layout.h"
#include "guest_kernel/base/text.h"
#include "guest_kernel/cpu/hypercall.h"
#include "guest_kernel/cpu/hypercall_ring.h"
#include "guest_kernel/memory/frames.h"
#include "switcher/layouts/lguest_abi.h"
#include "switcher/layouts/types.h"
#include <stdbool.h>

u32 boot_page_directory[ENTRIES_PER_TABLE] __attribute__((aligned(PAGE_SIZE)));
u32 boot_page_table[ENTRIES_PER_TABLE] __attribute__((aligned(PAGE_SIZE)));

u32 kernel_page_directory(void)
{
	return physical(boot_page_directory);
}

u32 *page_directory_entries(u32 directory)
{
	return virtual(directory);
}

static void pde_set(u32 directory, u32 slot, u32 entry)
{
	page_directory_entries(directory)[slot] = entry;
	hypercall_async(LHCALL_SET_PGD, directory, slot, 0, 0);
}

/* A page table in the kernel's part that maps count frames from start on. */
static void kernel_page_table(u32 slot, u32 start, u32 count)
{
	u32 frame = frame_need(), *entries = virtual(frame);
	for (u32 i = 0; i < count; i++)
		entries[i] = (start + i * PAGE_SIZE) | PTE_PRESENT | PTE_WRITE;
	pde_set(kernel_page_directory(), slot, frame | PTE_PRESENT | PTE_WRITE);
}

void paging_init(void)
{
	/* All page tables of the kernel's part are made now: page directories made later then never differ in it. */
	u32 frames = memory_mapped() / PAGE_SIZE;
	for (u32 done = ENTRIES_PER_TABLE; done < frames; done += ENTRIES_PER_TABLE)
		kernel_page_table(KERNEL_SLOT + done / ENTRIES_PER_TABLE, done * PAGE_SIZE,
				  frames - done < ENTRIES_PER_TABLE ? frames - done : ENTRIES_PER_TABLE);
	kernel_page_table(DEVICE_WINDOW >> PDE_SHIFT, 0, 0);
	kernel_page_table(SCRATCH_WINDOW >> PDE_SHIFT, 0, 0);
	pde_set(kernel_page_directory(), 0, 0); /* start.S's identity mapping */
	hypercall(LHCALL_FLUSH_TLB, 1, 0, 0, 0);
}

void *device_map(u32 address, u32 bytes)
{
	static u32 next = DEVICE_WINDOW;
	u32 within = address % PAGE_SIZE, pages = (within + bytes + PAGE_SIZE - 1) / PAGE_SIZE, start = next;
	if (!bytes || bytes > DEVICE_WINDOW_BYTES || pages > (DEVICE_WINDOW + DEVICE_WINDOW_BYTES - next) / PAGE_SIZE)
		return NULL;
	for (u32 i = 0; i < pages; i++, next += PAGE_SIZE)
		*pte_lookup(kernel_page_directory(), next, false) = (address - within + i * PAGE_SIZE) | PTE_PRESENT | PTE_WRITE;
	hypercall(LHCALL_FLUSH_TLB, 1, 0, 0, 0);
	return (void *)(start + within);
}

u32 page_directory_new(void)
{
	u32 directory = frame_alloc();
	if (directory)
		memory_copy(page_directory_entries(directory) + KERNEL_SLOT, boot_page_directory + KERNEL_SLOT,
			    (SWITCHER_SLOT - KERNEL_SLOT) * sizeof(u32));
	return directory;
}

void page_directory_free(u32 directory)
{
	u32 *tables = page_directory_entries(directory);
	for (u32 slot = 0; slot < KERNEL_SLOT; slot++) {
		if (!(tables[slot] & PTE_PRESENT))
			continue;
		u32 table = tables[slot] & PTE_FRAME, *entries = virtual(table);
		/* The shadow page table goes first: it must not map a frame that has a new owner. */
		pde_set(directory, slot, 0);
		hypercall(LHCALL_FLUSH_ASYNC, 0, 0, 0, 0);
		for (u32 i = 0; i < ENTRIES_PER_TABLE; i++) {
			if (entries[i] & PTE_PRESENT)
				frame_free(entries[i] & PTE_FRAME);
		}
		frame_free(table);
	}
	frame_free(directory);
}

u32 *pte_lookup(u32 directory, u32 address, bool create)
{
	u32 slot = address >> PDE_SHIFT, entry = page_directory_entries(directory)[slot];
	if (!(entry & PTE_PRESENT)) {
		u32 table = create ? frame_alloc() : 0;
		if (!table)
			return NULL;
		entry = table | PTE_PRESENT | PTE_WRITE | PTE_USER;
		pde_set(directory, slot, entry);
	}
	u32 *entries = virtual(entry & PTE_FRAME);
	return &entries[(address >> PAGE_SHIFT) % ENTRIES_PER_TABLE];
}

bool pte_set(u32 directory, u32 address, u32 entry)
{
	u32 *place = pte_lookup(directory, address, true);
	if (!place)
		return false;
	*place = entry;
	hypercall(LHCALL_SET_PTE, directory, address, entry, 0);
	return true;
}
