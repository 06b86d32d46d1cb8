/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Demand paging: text straight from the kernel's image, data a copy of it and then zeroes, stack zeroes.
 *
 * Read next: tasks.c.
 */
#include "guest_kernel/memory/space.h"
#include "guest_kernel/memory/paging.h"
#include "guest_kernel/console/text.h"

extern char user_text_load[], user_text_bytes[], user_data_load[], user_data_bytes[]; /* values, by the linker */

bool space_demand(u32 directory, u32 address)
{
	u32 page = address & PTE_FRAME, frame;
	if (address >= KERNEL_OFFSET || directory == paging_kernel())
		return false;
	u32 *entry = page_entry(directory, page, false);
	if (entry && (*entry & PTE_PRESENT))
		return false; /* it is there: the access broke its rules */
	if (page >= USER_TEXT && page - USER_TEXT < (u32)user_text_bytes)
		return page_set(directory, page, ((u32)user_text_load + page - USER_TEXT) | PTE_PRESENT | PTE_USER);
	bool data = page >= USER_DATA && page < USER_DATA_END;
	bool stack = page >= USER_STACK_BOTTOM && page < USER_STACK_TOP;
	if (!data && !stack)
		return false;
	frame = frame_alloc();
	if (!frame)
		return false;
	if (data && page - USER_DATA < (u32)user_data_bytes)
		memory_copy(virtual(frame), virtual((u32)user_data_load + page - USER_DATA), PAGE);
	return page_set(directory, page, frame | PTE_PRESENT | PTE_WRITE | PTE_USER);
}
