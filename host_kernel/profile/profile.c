/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The Host kernel that tells what a program's work cost it: of each section between two marks how many world switches of
 * which kind, how many hypercalls, and how long the Host kernel itself ran. A mark is a rdtsc in ring 3 with a number in
 * ecx (guest_kernel/linux/bench): with CR4.TSD each is a fault, which is answered here and counted nowhere. The same
 * number twice is a section; of those with one number the shortest is told.
 *
 * All of the Host kernel is in it, as it is; world_switch leads here first.
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
	TICKS,           /* all of it, with the two marks' own */
	SILENT,          /* more of these that were in it, of the Guest's kernel */
	SWITCHES,
	HOST_TICKS,      /* of TICKS, in the Host kernel; */
	FAULT_TICKS,     /* of these, behind a page fault */
	ANSWERED,        /* by the Switcher */
	FILLED,
	REFLECTED,
	DELIVERED,
	CALL_TICKS,      /* of HOST_TICKS, behind a hypercall, by its number */
	CALLS = CALL_TICKS + HYPERCALL_COUNT, /* those through the ring too */
	TALLIES = CALLS + HYPERCALL_COUNT
};

static const char *const names[CALL_TICKS] = {
	"ticks", "silent", "switches", "host", "fault_ticks", "answered", "filled", "reflected", "delivered",
};

void run(void) __attribute__((noreturn));

static u32 (*inner)(void);
static u32 tally[CALLS], at_start[TALLIES], least[MARKS][TALLIES];
static u32 section = NONE, trapnum = TRAP_NONE, call;
static u64 left;

/* What was counted since the start, here and in the mailbox. */
static void look(u32 *now)
{
	for (u32 index = 0; index < CALLS; index++)
		now[index] = tally[index];
	now[ANSWERED] = untrusted->answered;
	now[FILLED] = mailbox->faults_filled;
	now[REFLECTED] = mailbox->faults_reflected;
	now[DELIVERED] = mailbox->interrupts_delivered;
	for (u32 number = 0; number < HYPERCALL_COUNT; number++)
		now[CALLS + number] = mailbox->by_hypercall[number];
}

static void tell(void)
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
		tell();
	if (mark >= MARKS)
		return;
	look(now);
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

/* A rdtsc, which the Guest may execute where this is not: answered. */
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
		frame = inner();
		left = rdtsc();
		tally[TICKS] += (u32)(left - entered);
		if (frame != FRAME_PLACE || !was_rdtsc())
			break;
		impose();
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
	inner = world_switch;
	world_switch = counted_switch;
	run_loop();
}
