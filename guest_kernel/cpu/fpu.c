/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The FPU, switched lazily. TS is set (hypercall 8) while the state in the FPU is another task's; its first
 * instruction then comes here as trap 7. The kernel itself uses no FPU, so what is here is assembly.
 *
 * Read next: user_programs.c, whose programs check it.
 */
#include "guest_kernel/cpu/fpu.h"
#include "guest_kernel/cpu/hypercall.h"
#include "guest_kernel/cpu/interrupts.h"
#include "guest_kernel/tasks/tasks.h"

static struct task *owner;
static bool fxsr, sse, ts_set;
static struct fpu_state clean; /* what a task starts with */

static void save(struct fpu_state *state)
{
	if (fxsr)
		__asm__ volatile("fxsave %0" : "=m"(state->bytes));
	else
		__asm__ volatile("fnsave %0; fwait" : "=m"(state->bytes));
	state->valid = true;
}

static void restore(const struct fpu_state *state)
{
	if (fxsr)
		__asm__ volatile("fxrstor %0" : : "m"(state->bytes));
	else
		__asm__ volatile("frstor %0" : : "m"(state->bytes));
}

bool fpu_has_sse(void)
{
	return sse;
}

void fpu_ts(bool set)
{
	ts_set = set;
	hypercall(LHCALL_TS, set, 0, 0, 0);
}

void fpu_init(void)
{
	u32 eax = 1, ebx, ecx, edx;
	__asm__ volatile("cpuid" : "+a"(eax), "=b"(ebx), "=c"(ecx), "=d"(edx));
	fxsr = edx >> 24 & 1;
	sse = fxsr && (edx >> 25 & 1);
	fpu_ts(false);
	__asm__ volatile("fninit");
	if (sse) {
		u32 all_masked = 0x1F80;
		__asm__ volatile("ldmxcsr %0" : : "m"(all_masked));
	}
	save(&clean);
	fpu_ts(true);
}

void fpu_switch(void)
{
	bool set = current != owner;
	if (set == ts_set)
		return;
	ts_set = set;
	hypercall_async(LHCALL_TS, set, 0, 0, 0);
}

void fpu_trap(void)
{
	u32 flags = irq_save();
	fpu_ts(false);
	if (owner != current) {
		if (owner)
			save(&owner->fpu);
		restore(current->fpu.valid ? &current->fpu : &clean);
		owner = current;
	}
	irq_restore(flags);
}

void fpu_forget(struct task *task)
{
	if (owner == task)
		owner = NULL;
}
