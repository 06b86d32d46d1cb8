/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lazy FPU switching. LHCALL_TS sets TS while the FPU holds the state of another task; the first FPU instruction
 * then raises trap 7. The kernel's C code uses no FPU, so saving and restoring is inline assembly.
 *
 * Read next: guest_kernel/user/programs.c, whose programs check it.
 * Next in the book: guest_kernel/user/programs.c.
 */
#include "guest_kernel/tasks/fpu.h"
#include "guest_kernel/cpu/hypercall.h"
#include "guest_kernel/cpu/hypercall_ring.h"
#include "guest_kernel/cpu/interrupts.h"
#include "switcher/layouts/lguest_abi.h"
#include "switcher/layouts/types.h"
#include <stdbool.h>

/* Bits of cpuid leaf 1, edx. */
#define CPUID_FXSR 24
#define CPUID_SSE  25

#define MXCSR_ALL_MASKED 0x1F80

static struct fpu_state *owner;
static bool fxsr, ts_set;
static struct fpu_state initial; /* of every task */

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

void fpu_set_ts(bool set)
{
	ts_set = set;
	hypercall(LHCALL_TS, set, 0, 0, 0);
}

void fpu_init(void)
{
	u32 eax = 1, ebx, ecx, edx;
	__asm__ volatile("cpuid" : "+a"(eax), "=b"(ebx), "=c"(ecx), "=d"(edx));
	fxsr = edx >> CPUID_FXSR & 1;
	fpu_set_ts(false);
	__asm__ volatile("fninit");
	if (fxsr && (edx >> CPUID_SSE & 1)) {
		u32 mxcsr = MXCSR_ALL_MASKED;
		__asm__ volatile("ldmxcsr %0" : : "m"(mxcsr));
	}
	save(&initial);
	fpu_set_ts(true);
}

void fpu_switch(const struct fpu_state *next)
{
	bool set = next != owner;
	if (set == ts_set)
		return;
	ts_set = set;
	hypercall_async(LHCALL_TS, set, 0, 0, 0);
}

void fpu_trap(struct fpu_state *state)
{
	u32 flags = irq_save();
	fpu_set_ts(false);
	if (owner != state) {
		if (owner)
			save(owner);
		restore(state->valid ? state : &initial);
		owner = state;
	}
	irq_restore(flags);
}

void fpu_forget(const struct fpu_state *state)
{
	if (owner == state)
		owner = NULL;
}
