/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Frames: those freed form a list through their own first word; above them is what was never used, which
 * is not touched before it is needed.
 *
 * Read next: paging.c.
 */
#include "guest_kernel/memory/memory.h"
#include "guest_kernel/tasks/power.h"
#include "guest_kernel/console/text.h"

#define IMAGE_START 0x100000

static u32 ram;
static u32 first, next, limit; /* frames from first on; from next on never used */
static u32 free_list, free_count;

static u32 boot_word(u32 offset)
{
	return *(volatile u32 *)virtual(offset);
}

void memory_init(void)
{
	ram = boot_word(BOOT_PARAMS_E820_MAP + 8);
	limit = memory_mapped();
	u32 initrd = boot_word(BOOT_PARAMS_INITRD_START); /* at the top of RAM; we keep off it */
	if (boot_word(BOOT_PARAMS_INITRD_SIZE) && initrd < limit)
		limit = initrd & ~(PAGE - 1);
	first = next = physical(kernel_end);
	if (limit < first)
		limit = first;
}

u32 memory_ram(void)
{
	return ram;
}

u32 memory_mapped(void)
{
	u32 most = SCRATCH_WINDOW - KERNEL_OFFSET;
	return ram < most ? ram & ~(PAGE - 1) : most;
}

u32 frame_alloc(void)
{
	u32 frame;
	if (free_list) {
		frame = free_list;
		free_list = *(u32 *)virtual(frame);
		free_count--;
	} else if (next < limit) {
		frame = next;
		next += PAGE;
	} else {
		return 0;
	}
	memory_set(virtual(frame), 0, PAGE);
	return frame;
}

u32 frame_need(void)
{
	u32 frame = frame_alloc();
	if (!frame)
		power_panic("out of memory");
	return frame;
}

void frame_free(u32 frame)
{
	if (frame < first || frame >= limit)
		return;
	*(u32 *)virtual(frame) = free_list;
	free_list = frame;
	free_count++;
}

struct memory_use memory_use(void)
{
	return (struct memory_use){
		.ram = ram,
		.kernel = first - IMAGE_START,
		.total = (limit - first) / PAGE,
		.used = (next - first) / PAGE - free_count,
	};
}
