/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The Guest's page tables and its frames.  Nothing is to be changed here.
 *
 * The first 4 MiB of RAM are mapped at their physical addresses.
 * Read before: lab.h.  Read next: guest_kernel/memory/paging.c, which does the same for more memory.
 */
#include "labs/03-demand-paging/lab.h"

#define FIRST_FRAME 0x200000u /* behind the image, */
#define LAST_FRAME  0x400000u /* and up to the end of what is mapped */
#define RUBBISH     0xDEADBEEFu

u32 page_directory[ENTRIES_PER_TABLE] __attribute__((aligned(PAGE_SIZE)));
static u32 first_table[ENTRIES_PER_TABLE] __attribute__((aligned(PAGE_SIZE)));
static u32 next_frame = FIRST_FRAME;

void paging_init(void)
{
	for (u32 i = 0; i < ENTRIES_PER_TABLE; i++)
		first_table[i] = i * PAGE_SIZE | PTE_PRESENT | PTE_WRITE;
	page_directory[0] = (u32)first_table | PTE_PRESENT | PTE_WRITE;
	hypercall(LHCALL_NEW_PGTABLE, (u32)page_directory, 0, 0);
	for (u32 *word = (u32 *)FIRST_FRAME; word < (u32 *)LAST_FRAME; word++)
		*word = RUBBISH; /* as if each had been somebody's */
}

u32 frame_alloc(void)
{
	u32 frame = next_frame;

	if (frame == LAST_FRAME)
		return 0;
	next_frame += PAGE_SIZE;
	return frame;
}

u32 frames_used(void)
{
	return (next_frame - FIRST_FRAME) / PAGE_SIZE;
}
