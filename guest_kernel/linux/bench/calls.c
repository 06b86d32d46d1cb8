/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a process does by itself.  Read before: bench.h. */
#include "guest_kernel/linux/bench/bench.h"
#include "guest_kernel/linux/bench/must.h"
#include "guest_kernel/linux/bench/samples.h"
#include "guest_kernel/linux/signals.h"
#include "guest_kernel/linux/system.h"
#include "switcher/layouts/types.h"

#define CALLS 100

BENCH(int_syscall, "int-syscall", CALLS) /* getppid(), without system_call() around it */
{
	u64 start;

	do {
		start = now();
		for (u32 call = 0; call < CALLS; call++) {
			u32 value = NR_GETPPID;

			__asm__ volatile("int $0x80" : "+a"(value) : : "memory");
		}
	} while (sample(now() - start));
}

static volatile u32 handled;

static void handle(s32 signal, struct signal_info *info, struct signal_context *context)
{
	(void)signal;
	(void)info;
	(void)context;
	handled++;
}

BENCH(signals, "signal", 1) /* to itself: kill(), the handler, and back */
{
	s32 self = getpid();
	u64 start;
	u32 sent = 0;

	MUST(signal_handle(SIGUSR1, handle, 0, 0));
	do {
		start = now();
		kill(self, SIGUSR1);
		sent++;
	} while (sample(now() - start));
	MUST(handled == sent ? 0 : -EIO);
}
