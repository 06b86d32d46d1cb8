/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The scheduler: round robin. Ring 3 is preempted, the kernel is not. The clock is armed for the next sleeper's
 * wake-up, and for the end of a time slice only while another task is ready.
 *
 * Read next: switch.S, fpu.c, tasks.c.
 * Next in the book: clock.c.
 */
#include "guest_kernel/tasks/schedule.h"
#include "guest_kernel/base/layout.h"
#include "guest_kernel/cpu/hypercall.h"
#include "guest_kernel/cpu/hypercall_ring.h"
#include "guest_kernel/cpu/interrupts.h"
#include "guest_kernel/tasks/clock.h"
#include "guest_kernel/tasks/fpu.h"
#include "guest_kernel/tasks/task_table.h"
#include "switcher/layouts/lguest_abi.h"
#include "switcher/layouts/lguest_pages.h"
#include "switcher/layouts/types.h"
#include <stdbool.h>

#define TIME_SLICE_NS 10000000u

bool need_schedule;

void schedule_soon(void)
{
	need_schedule = true;
}

static struct task *pick_next(void)
{
	u32 from = (u32)(current - tasks);
	for (u32 i = 1; i <= TASKS; i++) {
		struct task *task = &tasks[(from + i) % TASKS];
		if (task != &tasks[0] && task->state == TASK_READY)
			return task;
	}
	return &tasks[0];
}

static void wake_sleepers(void)
{
	u64 now = clock_ns();
	for (u32 i = 1; i < TASKS; i++) {
		if (tasks[i].state == TASK_SLEEPING && tasks[i].wake_ns <= now)
			tasks[i].state = TASK_READY;
	}
}

/* Arms the clock for the first event that concerns the scheduler if the current task runs on. */
static void arm_clock(void)
{
	u64 deadline = CLOCK_NEVER;
	for (u32 i = 1; i < TASKS; i++) {
		struct task *task = &tasks[i];
		u64 event = CLOCK_NEVER;
		if (task->state == TASK_SLEEPING)
			event = task->wake_ns;
		else if (task->state == TASK_READY && task != current)
			event = clock_ns() + TIME_SLICE_NS;
		if (event < deadline)
			deadline = event;
	}
	clock_arm(deadline);
}

void schedule_tick(u32 irq)
{
	(void)irq;
	wake_sleepers();
	need_schedule = true;
	arm_clock(); /* the clock is one-shot, and an interrupt of ring 1 does not lead to schedule() */
	hypercall(LHCALL_FLUSH_ASYNC, 0, 0, 0, 0);
}

void schedule_load_tls(void)
{
	/*
	 * The Host restores the selectors in fs and gs when it returns, and a selector of a descriptor that is no
	 * longer valid would fault. The program's own selectors are in its trap frame.
	 */
	__asm__ volatile("mov %0, %%fs; mov %0, %%gs" : : "r"(0));
	hypercall_async(LHCALL_LOAD_TLS, physical(current->tls), 0, 0, 0);
}

/* Switches the state that the Host keeps for the current task. The last hypercall drains the ring. */
static void switch_host_state(const struct task *before)
{
	hypercall_async(LHCALL_SET_STACK, GUEST_DS, current->trap_esp, STACK_PAGES, 0);
	for (u32 i = 0; i < TLS_COUNT * 2; i++) {
		if (before->tls[i] != current->tls[i]) {
			schedule_load_tls();
			break;
		}
	}
	fpu_switch(&current->fpu);
	if (before->directory != current->directory)
		hypercall(LHCALL_NEW_PGTABLE, current->directory, 0, 0, 0);
	else
		hypercall(LHCALL_FLUSH_ASYNC, 0, 0, 0, 0);
}

void schedule(void)
{
	struct task *before = current;
	need_schedule = false;
	wake_sleepers();
	current = pick_next();
	arm_clock();
	if (current == before) {
		hypercall(LHCALL_FLUSH_ASYNC, 0, 0, 0, 0);
		return;
	}
	current->runs++;
	switch_host_state(before);
	switch_stacks(&before->esp, current->esp);
}

void schedule_idle(void)
{
	for (;;) {
		irq_disable();
		schedule();
		/* HALT enables interrupts and sleeps in one step, so an interrupt that is pending now is not lost. */
		hypercall(LHCALL_HALT, 0, 0, 0, 0);
	}
}
