/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Signals.  Source: Linux's sigaction(2), sigreturn(2), setitimer(2).  Read before: signals.h. */
#include "guest_kernel/linux/signals.h"

struct action {
	signal_handler *handler;
	u32 flags;
	void (*restorer)(void);
	u64 mask;
} __attribute__((packed, aligned(4)));

void signal_return(void);

s32 signal_handle(s32 signal, signal_handler *handler, u32 flags, u64 mask)
{
	struct action action = { handler, flags | SA_SIGINFO | SA_RESTORER, signal_return, mask };

	return CALL(NR_RT_SIGACTION, (u32)signal, (u32)&action, 0, sizeof(mask));
}

s32 signal_mask(u32 how, u64 mask, u64 *old)
{
	return CALL(NR_RT_SIGPROCMASK, how, (u32)&mask, (u32)old, sizeof(mask));
}

s32 signal_stack(const struct alternate_stack *stack, struct alternate_stack *old)
{
	return CALL(NR_SIGALTSTACK, (u32)stack, (u32)old);
}

u64 signals_pending(void)
{
	u64 pending = 0;

	CALL(NR_RT_SIGPENDING, (u32)&pending, sizeof(pending));
	return pending;
}

void signal_ticks(u32 us)
{
	u32 timer[4] = { us / 1000000, us % 1000000, us / 1000000, us % 1000000 };

	CALL(NR_SETITIMER, 0, (u32)timer, 0);
}
