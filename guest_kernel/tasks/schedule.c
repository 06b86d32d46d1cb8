/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The scheduler: round robin. Ring 3 is preempted, the kernel itself is not. The clock is armed for the next
 * sleeper, and for the end of a turn only while somebody else wants the processor.
 *
 * Read next: switch.S, fpu.c.
 */
#include "guest_kernel/tasks/schedule.h"
#include "guest_kernel/tasks/clock.h"
#include "guest_kernel/cpu/interrupts.h"
#include "guest_kernel/tasks/tasks.h"
#include "guest_kernel/console/text.h"

bool need_schedule;

void schedule_soon(void)
{
	need_schedule = true;
}

static struct task *choose(void)
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
		if (tasks[i].state == TASK_SLEEPING && tasks[i].wake <= now)
			tasks[i].state = TASK_READY;
	}
}

/* The next time that there is something to do, if the current task just runs on. */
static void arm(void)
{
	u64 deadline = CLOCK_NEVER;
	for (u32 i = 1; i < TASKS; i++) {
		struct task *task = &tasks[i];
		u64 then = CLOCK_NEVER;
		if (task->state == TASK_SLEEPING)
			then = task->wake;
		else if (task->state == TASK_READY && task != current)
			then = clock_ns() + TICK_NS;
		if (then < deadline)
			deadline = then;
	}
	clock_arm(deadline);
}

void schedule_tick(void)
{
	wake_sleepers();
	need_schedule = true;
	arm(); /* one shot: should we come from ring 1, nobody else would do it */
	hypercall(LHCALL_FLUSH_ASYNC, 0, 0, 0, 0);
}

void schedule_load_tls(void)
{
	/* The Host restores what fs and gs hold, and a segment that is gone cannot be. A task's own are in its frame. */
	__asm__ volatile("mov %0, %%fs; mov %0, %%gs" : : "r"(0));
	hypercall_async(LHCALL_LOAD_TLS, physical(current->tls), 0, 0, 0);
}

/* Everything the Host knows of the task that runs. What is left in the ring goes with the last call. */
static void tell_host(const struct task *before)
{
	hypercall_async(LHCALL_SET_STACK, GUEST_DS, current->trap_esp, 2, 0);
	for (u32 i = 0; i < TLS_COUNT * 2; i++) {
		if (before->tls[i] != current->tls[i]) {
			schedule_load_tls();
			break;
		}
	}
	fpu_switch();
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
	current = choose();
	arm();
	if (current == before) {
		hypercall(LHCALL_FLUSH_ASYNC, 0, 0, 0, 0);
		return;
	}
	current->runs++;
	tell_host(before);
	switch_stacks(&before->esp, current->esp);
}

void schedule_idle(void)
{
	for (;;) {
		irq_disable();
		schedule();
		/* Nothing is ready. An interrupt that comes now is not lost: HALT enables them and sleeps in one. */
		hypercall(LHCALL_HALT, 0, 0, 0, 0);
	}
}
