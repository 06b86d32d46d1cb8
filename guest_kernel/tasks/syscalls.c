/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What programs can ask of the kernel, by int 0x80, which goes from ring 3 to ring 1 without the Host. */
#include "guest_kernel/tasks/syscalls.h"
#include "guest_kernel/tasks/clock.h"
#include "guest_kernel/console/console.h"
#include "guest_kernel/cpu/copy.h"
#include "guest_kernel/cpu/interrupts.h"
#include "guest_kernel/memory/memory.h"
#include "guest_kernel/tasks/schedule.h"
#include "guest_kernel/cpu/segments.h"
#include "guest_kernel/tasks/tasks.h"

#define FAILED 0xFFFFFFFF

static u32 write(u32 from, u32 count)
{
	char piece[64];
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

/* A byte-granular data segment of one page, for ring 3. */
static u32 set_tls(u32 base)
{
	u32 flags = irq_save();
	segment_words(base, PAGE - 1, SEGMENT_DATA | SEGMENT_DPL(3), current->tls);
	schedule_load_tls();
	hypercall(LHCALL_FLUSH_ASYNC, 0, 0, 0, 0);
	irq_restore(flags);
	return TLS_SELECTOR;
}

void system_call(struct frame *frame)
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
