/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Faults as a signal handler sees them.  Read before: probe.h, probe.S. */
#include "guest_kernel/linux/check/probe.h"

#define HANDLER_STACK (8 * PAGE)
#define USER_CS 0x73u
#define USER_DS 0x7Bu
#define LEFT_SET 0x202u /* eflags after a fault: neither TF, AC, NT nor DF */

u32 probe_run(void (*code)(u32), u32 argument);
void probe_resume(void);
u32 probe_at;
static struct fault last;

static void handler(s32 signal, struct signal_info *info, struct signal_context *context)
{
	last = (struct fault){ signal, info->code, info->address, context->trap, context->error, context->esp,
			       context->eflags, context->eax, (s32)(context->eip - probe_at) };
	context->eip = (u32)probe_resume;
	context->cs = USER_CS;
	context->ds = context->es = context->ss = USER_DS;
	context->fs = 0;
	context->eflags = LEFT_SET;
}

void probe_prepare(void)
{
	static const s32 signals[] = { SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV };
	static bool prepared;
	struct alternate_stack stack = { NULL, 0, HANDLER_STACK };

	if (prepared)
		return;
	prepared = true;
	stack.start = pages(HANDLER_STACK / PAGE);
	HOLDS(!map_failed(stack.start));
	SAME("sigaltstack()", 0, signal_stack(&stack, NULL));
	for (u32 index = 0; index < sizeof(signals) / sizeof(*signals); index++)
		SAME("rt_sigaction()", 0, signal_handle(signals[index], handler, SA_ONSTACK, 0));
}

struct fault fault_of(void (*code)(u32), u32 argument)
{
	u32 ended;

	probe_prepare();
	last = (struct fault){ 0 };
	ended = probe_run(code, argument);
	SAME("whether the code ended by a signal", ended, last.signal != 0);
	return last;
}

PROBED(reads, "movl (%%eax), %%ecx")
PROBED(writes, "movl %%eax, (%%eax)")

struct fault fault_reading(const void *address)
{
	return fault_of(reads, (u32)address);
}

struct fault fault_writing(void *address)
{
	return fault_of(writes, (u32)address);
}

void check_faults(const struct wanted_fault *rows, u32 count)
{
	for (const struct wanted_fault *row = rows; row < rows + count; row++) {
		struct fault got = fault_of(row->code, row->argument);

		if (got.signal != row->signal || got.code != row->code_wanted || got.trap != row->trap ||
		    got.error != row->error || got.distance != row->distance)
			print("%s: signal %d code %d trap %u error %x at %d, address %x\n", row->what, got.signal, got.code,
			      got.trap, got.error, got.distance, got.address);
		SAME(row->what, row->signal, got.signal);
		SAME(row->what, row->code_wanted, got.code);
		SAME(row->what, row->trap, got.trap);
		SAME(row->what, row->error, got.error);
		SAME(row->what, row->distance, got.distance);
	}
}
