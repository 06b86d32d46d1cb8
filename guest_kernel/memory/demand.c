/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Demand paging: text is mapped from the kernel's image, data are copied from it and then zero, the stack is zero.
 *
 * Read next: copy.c; guest_kernel/tasks/tasks.c.
 * Next in the book: guest_kernel/tasks/task_table.h.
 */
#include "guest_kernel/memory/demand.h"
#include "guest_kernel/base/layout.h"
#include "guest_kernel/base/text.h"
#include "guest_kernel/cpu/hypercall.h"
#include "guest_kernel/memory/frames.h"
#include "guest_kernel/memory/paging.h"
#include "switcher/layouts/types.h"
#include <stdbool.h>

/* guest_kernel.ld: the value of each is its address. */
extern char user_text_load[], user_text_bytes[], user_data_load[], user_data_bytes[];

bool demand_page(u32 directory, u32 address)
{
	u32 page = address & PTE_FRAME, frame;
	if (address >= KERNEL_OFFSET || directory == kernel_page_directory())
		return false;
	u32 *entry = pte_lookup(directory, page, false);
	if (entry && (*entry & PTE_PRESENT))
		return false; /* a protection fault */
	if (page >= USER_TEXT && page - USER_TEXT < (u32)user_text_bytes)
		return pte_set(directory, page, ((u32)user_text_load + page - USER_TEXT) | PTE_PRESENT | PTE_USER);
	bool data = page >= USER_DATA && page < USER_DATA_END;
	bool stack = page >= USER_STACK_BOTTOM && page < USER_STACK_TOP;
	if (!data && !stack)
		return false;
	frame = frame_alloc();
	if (!frame)
		return false;
	if (data && page - USER_DATA < (u32)user_data_bytes)
		memory_copy(virtual(frame), virtual((u32)user_data_load + page - USER_DATA), PAGE_SIZE);
	return pte_set(directory, page, frame | PTE_PRESENT | PTE_WRITE | PTE_USER);
}
