/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The table of tasks. Each has a ring-1 stack; a program also has a directory of its own. The place of one that
 * ended is used again when there is no other.
 *
 * Read next: schedule.c.
 */
#include "guest_kernel/tasks/tasks.h"
#include "guest_kernel/tasks/clock.h"
#include "guest_kernel/cpu/interrupts.h"
#include "guest_kernel/memory/paging.h"
#include "guest_kernel/tasks/power.h"
#include "guest_kernel/tasks/schedule.h"
#include "guest_kernel/console/text.h"

struct task tasks[TASKS];
struct task *current = &tasks[0];

static u8 stacks[TASKS][STACK_BYTES] __attribute__((aligned(4096)));
static u32 last_id;

extern u8 boot_stack[];

u32 task_stack_top(const struct task *task)
{
	u32 index = (u32)(task - tasks);
	return index ? (u32)stacks[index] + STACK_BYTES : (u32)boot_stack + STACK_BYTES;
}

void tasks_init(void)
{
	current->name = "idle";
	current->state = TASK_READY;
	current->ring = 1;
	current->runs = 1;
	current->directory = paging_kernel();
	current->trap_esp = task_stack_top(current);
	hypercall(LHCALL_SET_STACK, GUEST_DS, current->trap_esp, STACK_BYTES / PAGE, 0);
}

static struct task *place(void)
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

/* What switch_stacks and then trap_return take from a new task's stack. */
struct first_stack {
	u32 edi, esi, ebx, ebp;
	void (*next)(void);
	struct frame frame;
};

static struct task *create(const char *name, u32 directory, struct frame frame)
{
	u32 flags = irq_save();
	struct task *task = place();
	if (task) {
		memory_set(task, 0, sizeof(*task));
		task->id = ++last_id;
		task->name = name;
		task->directory = directory;
		task->trap_esp = task_stack_top(task);
		task->ring = frame.cs & 3;
		struct first_stack *stack = (struct first_stack *)(task->trap_esp - sizeof(*stack));
		*stack = (struct first_stack){ .next = trap_return, .frame = frame };
		task->esp = (u32)stack;
		task->state = TASK_READY;
		schedule_soon();
	}
	irq_restore(flags);
	return task;
}

struct task *task_kernel(const char *name, void (*start)(void))
{
	struct frame frame = { .ds = GUEST_DS, .es = GUEST_DS, .eip = (u32)start, .cs = GUEST_CS, .eflags = GUEST_IF | 2 };
	return create(name, paging_kernel(), frame);
}

struct task *task_program(const char *name, program *start, u32 argument)
{
	struct frame frame = {
		.ds = USER_DS, .es = USER_DS, .eip = (u32)start, .cs = USER_CS, .eflags = GUEST_IF | 2,
		.esp = USER_STACK_TOP, .ss = USER_DS, .eax = argument,
	};
	u32 directory = directory_new();
	struct task *task = directory ? create(name, directory, frame) : NULL;
	if (directory && !task)
		directory_free(directory);
	return task;
}

struct task *task_find(u32 id)
{
	for (u32 i = 1; i < TASKS; i++) {
		if (tasks[i].state != TASK_FREE && tasks[i].id == id)
			return &tasks[i];
	}
	return NULL;
}

static void end(struct task *task, s32 code)
{
	u32 directory = task->directory;
	fpu_forget(task);
	task->directory = paging_kernel();
	task->code = code;
	task->state = TASK_EXITED;
	if (task == current)
		hypercall(LHCALL_NEW_PGTABLE, task->directory, 0, 0, 0);
	if (directory != paging_kernel())
		directory_free(directory);
	task_wake(task);
}

void task_exit(s32 code)
{
	irq_disable();
	end(current, code);
	schedule();
	power_panic("a task that ended was run");
}

void task_kill(struct task *task)
{
	u32 flags = irq_save();
	if (task != current && task->state != TASK_EXITED)
		end(task, -1);
	irq_restore(flags);
}

static void block(enum task_state state)
{
	current->state = state;
	schedule();
}

void task_sleep(u64 ns)
{
	u32 flags = irq_save();
	current->wake = clock_ns() + ns;
	block(TASK_SLEEPING);
	irq_restore(flags);
}

void task_wait(const void *what)
{
	u32 flags = irq_save();
	current->waits_for = what;
	block(TASK_WAITING);
	irq_restore(flags);
}

void task_wake(const void *what)
{
	u32 flags = irq_save();
	for (u32 i = 1; i < TASKS; i++) {
		if (tasks[i].state == TASK_WAITING && tasks[i].waits_for == what) {
			tasks[i].state = TASK_READY;
			schedule_soon();
		}
	}
	irq_restore(flags);
}

s32 task_join(struct task *task)
{
	u32 flags = irq_save(); /* no wake-up between the look and the wait */
	while (task->state != TASK_EXITED)
		task_wait(task);
	task->state = TASK_FREE;
	irq_restore(flags);
	return task->code;
}
