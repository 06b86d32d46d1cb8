/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The table of tasks. Each entry has a ring-1 stack. The entry of an exited, detached task is used again when no
 * entry is free.
 *
 * Read next: schedule.c.
 */
#include "guest_kernel/tasks/task_table.h"
#include "guest_kernel/base/layout.h"
#include "switcher/layouts/types.h"

struct task tasks[TASKS];
struct task *current = &tasks[0];

u8 boot_stack[STACK_BYTES] __attribute__((aligned(PAGE_SIZE)));
static u8 stacks[TASKS][STACK_BYTES] __attribute__((aligned(PAGE_SIZE)));

u32 task_stack_top(const struct task *task)
{
	u32 index = (u32)(task - tasks);
	return index ? (u32)stacks[index] + STACK_BYTES : (u32)boot_stack + STACK_BYTES;
}

struct task *task_unused(void)
{
	for (u32 i = 1; i < TASKS; i++) {
		if (tasks[i].state == TASK_FREE)
			return &tasks[i];
	}
	for (u32 i = 1; i < TASKS; i++) {
		if (tasks[i].state == TASK_EXITED && tasks[i].detached && &tasks[i] != current)
			return &tasks[i];
	}
	return NULL;
}

struct task *task_find(u32 id)
{
	for (u32 i = 1; i < TASKS; i++) {
		if (tasks[i].state != TASK_FREE && tasks[i].id == id)
			return &tasks[i];
	}
	return NULL;
}
