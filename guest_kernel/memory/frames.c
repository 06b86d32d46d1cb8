/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The allocator of page frames. Freed frames form a list through their first word. Frames above `next` have never
 * been used, and the allocator does not touch them: booting costs nothing per frame.
 *
 * Read next: paging.c.
 * Next in the book: paging.c.
 */
#include "guest_kernel/memory/frames.h"
#include "guest_kernel/base/layout.h"
#include "guest_kernel/base/text.h"
#include "guest_kernel/cpu/hypercall.h"
#include "guest_kernel/cpu/power.h"
#include "switcher/layouts/lguest_abi.h"
#include "switcher/layouts/types.h"

#define E820_LENGTH 8 /* offset in an E820 entry, of which the low half is enough */

static u32 ram;
static u32 first, next, limit; /* frames from first to limit; from next on never used */
static u32 free_list, free_count;

static u32 boot_word(u32 offset)
{
	return *(volatile u32 *)virtual(offset);
}

static u32 page_down(u32 address)
{
	return address / PAGE_SIZE * PAGE_SIZE;
}

void frames_init(void)
{
	ram = boot_word(BOOT_PARAMS_E820_MAP + E820_LENGTH);
	limit = memory_mapped();
	u32 initrd = boot_word(BOOT_PARAMS_INITRD_START); /* at the top of RAM */
	if (boot_word(BOOT_PARAMS_INITRD_SIZE) && initrd < limit)
		limit = page_down(initrd);
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
	return ram < most ? page_down(ram) : most;
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
		next += PAGE_SIZE;
	} else {
		return 0;
	}
	memory_set(virtual(frame), 0, PAGE_SIZE);
	return frame;
}

u32 frame_need(void)
{
	u32 frame = frame_alloc();
	if (!frame)
		panic("out of memory");
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
		.kernel = first - KERNEL_START,
		.total = (limit - first) / PAGE_SIZE,
		.used = (next - first) / PAGE_SIZE - free_count,
	};
}
