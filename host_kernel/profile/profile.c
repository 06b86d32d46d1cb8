/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A Host kernel that profiles sections of a program: the number of world switches and hypercalls by kind, and the time in
 * the Host kernel.  Two marks with the same number enclose a section.  A mark is a rdtsc in ring 3 with the number in ecx
 * (guest_kernel/linux/bench).  With CR4.TSD it faults; it is emulated here and not counted.  Of several sections with one
 * number the shortest is printed.
 *
 * The whole Host kernel is part of it, unchanged; world_switch points here first.
 * Read before: host_kernel/core/run.c.  Read next: lguest_py/bench/profile.py, which starts it.
 */
#define run run_loop
#include "host_kernel/core/run.c"
#undef run
#include "guest_kernel/base/print.h"
#include "host_kernel/base/cpu.h"
#include "switcher/layouts/lguest_abi.h"
#include "host_kernel/base/print.h"
#include "host_kernel/base/personality.h"
#include "host_kernel/machine/mailbox.h"
#include "host_kernel/machine/tables.h"
#include "host_kernel/memory/paging.h"
#include "host_kernel/memory/guest_virtual.h"

#define CR4_TSD 0x4
#define RDTSC 0x310F
#define MARKS 32
#define NONE MARKS

enum tally {
	TICKS,           /* the section, with the cost of its two marks */
	SILENT,          /* rdtsc of the Guest's kernel in it */
	SWITCHES,
	HOST_TICKS,      /* the part of TICKS in the Host kernel */
	FAULT_TICKS,     /* the part of HOST_TICKS after a page fault */
	FAST_PATHS,      /* of the Switcher */
	FILLED,
	REFLECTED,
	DELIVERED,
	CALL_TICKS,      /* the parts of HOST_TICKS after a hypercall, by number */
	CALLS = CALL_TICKS + HYPERCALL_COUNT, /* hypercalls by number, with those of the ring */
	TALLIES = CALLS + HYPERCALL_COUNT
};

static const char *const names[CALL_TICKS] = {
	"ticks", "silent", "switches", "host", "fault_ticks", "answered", "filled", "reflected", "delivered",
};

void run(void) __attribute__((noreturn));

static u32 (*real_switch)(void);
static u32 tally[CALLS], at_start[TALLIES], least[MARKS][TALLIES];
static u32 section = NONE, trapnum = TRAP_NONE, call;
static u64 left;

/* All counters, of this file and of the mailbox. */
static void read_counters(u32 *now)
{
	for (u32 index = 0; index < CALLS; index++)
		now[index] = tally[index];
	now[FAST_PATHS] = untrusted->fast_paths;
	now[FILLED] = mailbox->faults_filled;
	now[REFLECTED] = mailbox->faults_reflected;
	now[DELIVERED] = mailbox->interrupts_delivered;
	for (u32 number = 0; number < HYPERCALL_COUNT; number++)
		now[CALLS + number] = mailbox->by_hypercall[number];
}

static void print_profile(void)
{
	for (u32 mark = 0; mark < MARKS; mark++) {
		if (!least[mark][TICKS])
			continue;
		print("PROFILE %u", mark);
		for (u32 index = 0; index < TALLIES; index++) {
			u32 count = least[mark][index];

			if (!count)
				continue;
			if (index < CALL_TICKS)
				print(" %s=%u", names[index], count);
			else if (index < CALLS)
				print(" ticks%u=%u", index - CALL_TICKS, count);
			else
				print(" call%u=%u", index - CALLS, count);
		}
		print("\n");
	}
	mailbox_flush();
}

static void marked(u32 mark)
{
	u32 now[TALLIES];

	if (mark == MARKS)
		print_profile();
	if (mark >= MARKS)
		return;
	read_counters(now);
	if (section != mark) {
		section = mark;
		memcpy(at_start, now, sizeof(now));
		return;
	}
	section = NONE;
	for (u32 index = 0; index < TALLIES; index++)
		now[index] -= at_start[index];
	if (!least[mark][TICKS] || now[TICKS] < least[mark][TICKS])
		memcpy(least[mark], now, sizeof(now));
}

/* Emulate a rdtsc, which faults because of CR4.TSD. */
static bool was_rdtsc(void)
{
	struct registers *regs = guest.regs;
	u64 ticks = left;
	u16 code;

	if (regs->trapnum != TRAP_GENERAL || regs->errcode || !guest_try_read(&code, regs->eip, 2) || code != RDTSC)
		return false;
	if ((regs->cs & 3) == 3)
		marked(regs->ecx);
	else
		tally[SILENT]++;
	regs->eax = (u32)ticks;
	regs->edx = (u32)(ticks >> 32);
	regs->eip += 2;
	return true;
}

static void host_ran(u32 ticks)
{
	if (trapnum == TRAP_NONE)
		return;
	tally[TICKS] += ticks;
	tally[HOST_TICKS] += ticks;
	if (trapnum == HYPERCALL_VECTOR && call < HYPERCALL_COUNT)
		tally[CALL_TICKS + call] += ticks;
	else if (trapnum == TRAP_PAGE_FAULT)
		tally[FAULT_TICKS] += ticks;
}

static u32 counted_switch(void)
{
	static u64 returned;
	u64 entered = rdtsc();
	u32 frame;

	host_ran((u32)(entered - returned));
	for (;;) {
		entered = rdtsc();
		frame = real_switch();
		left = rdtsc();
		tally[TICKS] += (u32)(left - entered);
		if (frame != FRAME_ADDRESS || !was_rdtsc())
			break;
		sanitize_frame();
		personality.before_entry();
	}
	trapnum = guest.regs->trapnum;
	call = guest.regs->eax;
	tally[SWITCHES]++;
	returned = rdtsc();
	return frame;
}

void run(void)
{
	write_cr4(read_cr4() | CR4_TSD);
	real_switch = world_switch;
	world_switch = counted_switch;
	run_loop();
}
