/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * System calls. int 0x80 goes from ring 3 to ring 1 without the Host.
 *
 * Read next: guest_kernel/user/user.h, the programs' side.
 * Next in the book: guest_kernel/memory/demand.c.
 */
#include "guest_kernel/traps/syscalls.h"
#include "guest_kernel/base/layout.h"
#include "guest_kernel/console/console.h"
#include "guest_kernel/cpu/frame.h"
#include "guest_kernel/cpu/hypercall.h"
#include "guest_kernel/cpu/interrupts.h"
#include "guest_kernel/cpu/segments.h"
#include "guest_kernel/memory/copy.h"
#include "guest_kernel/tasks/clock.h"
#include "guest_kernel/tasks/schedule.h"
#include "guest_kernel/tasks/task_table.h"
#include "guest_kernel/tasks/tasks.h"
#include "switcher/layouts/lguest_abi.h"
#include "switcher/layouts/types.h"

#define PIECE_BYTES 64 /* of a program's text that is copied at a time */
#define FAILED 0xFFFFFFFF

static u32 write(u32 from, u32 count)
{
	char piece[PIECE_BYTES];
	for (u32 done = 0; done < count;) {
		u32 length = count - done < sizeof(piece) ? count - done : sizeof(piece);
		if (!copy_from_user(piece, from + done, length))
			return FAILED;
		console_write(piece, length);
		done += length;
	}
	return count;
}

static u32 yield(void)
{
	u32 flags = irq_save();
	schedule();
	irq_restore(flags);
	return 0;
}

static u32 sleep(u32 ms)
{
	task_sleep((u64)ms * NS_PER_MS);
	return 0;
}

/* A ring-3 data segment of one page. */
static u32 set_tls(u32 base)
{
	u32 flags = irq_save();
	segment_descriptor(base, PAGE_SIZE - 1, SEGMENT_DATA | SEGMENT_DPL(3), current->tls);
	schedule_load_tls();
	hypercall(LHCALL_FLUSH_ASYNC, 0, 0, 0, 0);
	irq_restore(flags);
	return TLS_SELECTOR;
}

void system_call(struct trap_frame *frame)
{
	u32 result = FAILED;
	switch (frame->eax) {
	case SYS_EXIT:
		task_exit((s32)frame->ebx);
	case SYS_WRITE:
		result = write(frame->ebx, frame->ecx);
		break;
	case SYS_YIELD:
		result = yield();
		break;
	case SYS_SLEEP:
		result = sleep(frame->ebx);
		break;
	case SYS_GETPID:
		result = current->id;
		break;
	case SYS_UPTIME:
		result = clock_ms();
		break;
	case SYS_SET_TLS:
		result = set_tls(frame->ebx);
		break;
	}
	frame->eax = result;
}
