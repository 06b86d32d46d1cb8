/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading a program's memory: a fault on the one copying instruction ends the copy, not the kernel. */
#include "guest_kernel/cpu/copy.h"
#include "guest_kernel/memory/layout.h"

bool copy_from_user(void *to, u32 from, u32 count)
{
	if (from >= KERNEL_OFFSET || count > KERNEL_OFFSET - from)
		return false;
	return copy_bytes(to, (const void *)from, count) == 0;
}

bool copy_recover(struct frame *frame)
{
	if (frame->eip != (u32)copy_bytes_at)
		return false;
	frame->eip = (u32)copy_bytes_end;
	return true;
}
