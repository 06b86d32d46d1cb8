/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Page tables. The Host keeps shadows of ours: it must hear of each change, by SET_PTE, SET_PGD or a flush.
 *
 * Read next: space.c, a program's view.
 */
#include "guest_kernel/memory/paging.h"
#include "guest_kernel/console/text.h"

extern u32 boot_directory[];

u32 paging_kernel(void)
{
	return physical(boot_directory);
}

u32 *directory_words(u32 directory)
{
	return virtual(directory);
}

static void set_slot(u32 directory, u32 slot, u32 entry)
{
	directory_words(directory)[slot] = entry;
	hypercall_async(LHCALL_SET_PGD, directory, slot, 0, 0);
}

/* A table of the kernel's part, showing count frames from start on. */
static void kernel_table(u32 slot, u32 start, u32 count)
{
	u32 frame = frame_need(), *words = virtual(frame);
	for (u32 i = 0; i < count; i++)
		words[i] = (start + i * PAGE) | PTE_PRESENT | PTE_WRITE;
	set_slot(paging_kernel(), slot, frame | PTE_PRESENT | PTE_WRITE);
}

void paging_init(void)
{
	/* start.S made the first. All are made now, so that the kernel's part never changes again. */
	u32 frames = memory_mapped() / PAGE;
	for (u32 done = 1024; done < frames; done += 1024)
		kernel_table(KERNEL_SLOT + done / 1024, done * PAGE, frames - done < 1024 ? frames - done : 1024);
	kernel_table(DEVICE_WINDOW >> 22, memory_ram(), LGUEST_DEVICE_PAGES);
	kernel_table(SCRATCH_WINDOW >> 22, 0, 0);
	set_slot(paging_kernel(), 0, 0); /* virtual = physical is over */
	hypercall(LHCALL_FLUSH_TLB, 1, 0, 0, 0);
}

void *device_pointer(u32 address, u32 bytes)
{
	u32 start = memory_ram();
	if (address < memory_mapped() && bytes <= memory_mapped() - address)
		return virtual(address);
	if (address >= start && address - start < LGUEST_DEVICE_PAGES * PAGE &&
	    bytes <= LGUEST_DEVICE_PAGES * PAGE - (address - start))
		return (void *)(DEVICE_WINDOW + address - start);
	return NULL;
}

u32 directory_new(void)
{
	u32 directory = frame_alloc();
	if (directory)
		memory_copy(directory_words(directory) + KERNEL_SLOT, boot_directory + KERNEL_SLOT,
			    (SWITCHER_SLOT - KERNEL_SLOT) * sizeof(u32));
	return directory;
}

void directory_free(u32 directory)
{
	u32 *words = directory_words(directory);
	for (u32 slot = 0; slot < KERNEL_SLOT; slot++) {
		if (!(words[slot] & PTE_PRESENT))
			continue;
		u32 table = words[slot] & PTE_FRAME, *entries = virtual(table);
		/* Its shadow goes before the frames do: nobody may see them any more. */
		set_slot(directory, slot, 0);
		hypercall(LHCALL_FLUSH_ASYNC, 0, 0, 0, 0);
		for (u32 i = 0; i < PAGE / sizeof(u32); i++) {
			if (entries[i] & PTE_PRESENT)
				frame_free(entries[i] & PTE_FRAME);
		}
		frame_free(table);
	}
	frame_free(directory);
}

u32 *page_entry(u32 directory, u32 address, bool create)
{
	u32 slot = address >> 22, word = directory_words(directory)[slot];
	if (!(word & PTE_PRESENT)) {
		u32 table = create ? frame_alloc() : 0;
		if (!table)
			return NULL;
		word = table | PTE_PRESENT | PTE_WRITE | PTE_USER;
		set_slot(directory, slot, word);
	}
	u32 *entries = virtual(word & PTE_FRAME);
	return &entries[address >> 12 & 1023];
}

bool page_set(u32 directory, u32 address, u32 entry)
{
	u32 *place = page_entry(directory, address, true);
	if (!place)
		return false;
	*place = entry;
	hypercall(LHCALL_SET_PTE, directory, address, entry, 0);
	return true;
}
