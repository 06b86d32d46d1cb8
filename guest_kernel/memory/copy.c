/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading a program's memory: a fault of the copying instruction ends the copy and not the kernel. */
#include "guest_kernel/memory/copy.h"
#include "guest_kernel/base/layout.h"
#include "guest_kernel/cpu/frame.h"
#include "switcher/layouts/types.h"
#include <stdbool.h>

bool copy_from_user(void *to, u32 from, u32 count)
{
	if (from >= KERNEL_OFFSET || count > KERNEL_OFFSET - from)
		return false;
	return copy_bytes(to, (const void *)from, count) == 0;
}

bool copy_fixup(struct trap_frame *frame)
{
	if (frame->eip != (u32)copy_bytes_at)
		return false;
	frame->eip = (u32)copy_bytes_end;
	return true;
}
