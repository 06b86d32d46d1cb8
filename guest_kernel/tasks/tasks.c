/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Creation, waiting and exit of tasks. A program has a page directory of its own; kernel tasks share the kernel's.
 *
 * Read next: guest_kernel/traps/traps.c.
 * Next in the book: switch.S.
 */
#include "guest_kernel/tasks/tasks.h"
#include "guest_kernel/base/layout.h"
#include "guest_kernel/base/text.h"
#include "guest_kernel/cpu/frame.h"
#include "guest_kernel/cpu/hypercall.h"
#include "guest_kernel/cpu/interrupts.h"
#include "guest_kernel/cpu/power.h"
#include "guest_kernel/memory/paging.h"
#include "guest_kernel/tasks/clock.h"
#include "guest_kernel/tasks/fpu.h"
#include "guest_kernel/tasks/schedule.h"
#include "guest_kernel/tasks/task_table.h"
#include "switcher/layouts/lguest_abi.h"
#include "switcher/layouts/lguest_pages.h"
#include "switcher/layouts/types.h"

#define EXIT_KILLED (-1)

static u32 last_id;

void tasks_init(void)
{
	current->name = "idle";
	current->state = TASK_READY;
	current->ring = 1;
	current->runs = 1;
	current->directory = kernel_page_directory();
	current->trap_esp = task_stack_top(current);
	hypercall(LHCALL_SET_STACK, GUEST_DS, current->trap_esp, STACK_PAGES, 0);
}

/* A new task's stack: what switch_stacks() and then trap_return() pop. */
struct first_stack {
	u32 edi, esi, ebx, ebp;
	void (*next)(void);
	struct trap_frame frame;
};

static struct task *create(const char *name, u32 directory, struct trap_frame frame)
{
	u32 flags = irq_save();
	struct task *task = task_unused();
	if (task) {
		memory_set(task, 0, sizeof(*task));
		task->id = ++last_id;
		task->name = name;
		task->directory = directory;
		task->trap_esp = task_stack_top(task);
		task->ring = frame.cs & RPL_MASK;
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
	struct trap_frame frame = {
		.ds = GUEST_DS, .es = GUEST_DS, .eip = (u32)start, .cs = GUEST_CS, .eflags = GUEST_IF | EFLAGS_RESERVED,
	};
	return create(name, kernel_page_directory(), frame);
}

struct task *task_program(const char *name, program *start, u32 argument)
{
	struct trap_frame frame = {
		.ds = USER_DS, .es = USER_DS, .eip = (u32)start, .cs = USER_CS, .eflags = GUEST_IF | EFLAGS_RESERVED,
		.esp = USER_STACK_TOP, .ss = USER_DS, .eax = argument,
	};
	u32 directory = page_directory_new();
	struct task *task = directory ? create(name, directory, frame) : NULL;
	if (directory && !task)
		page_directory_free(directory);
	return task;
}

static void terminate(struct task *task, s32 exit_code)
{
	u32 directory = task->directory;
	fpu_forget(&task->fpu);
	task->directory = kernel_page_directory();
	task->exit_code = exit_code;
	task->state = TASK_EXITED;
	if (task == current)
		hypercall(LHCALL_NEW_PGTABLE, task->directory, 0, 0, 0);
	if (directory != kernel_page_directory())
		page_directory_free(directory);
	task_wake(task);
}

void task_exit(s32 exit_code)
{
	irq_disable();
	terminate(current, exit_code);
	schedule();
	panic("an exited task was scheduled");
}

void task_kill(struct task *task)
{
	u32 flags = irq_save();
	if (task != current && task->state != TASK_EXITED)
		terminate(task, EXIT_KILLED);
	irq_restore(flags);
}

static void block(enum task_state state)
{
	current->state = state;
	schedule();
}

void task_wait_until(const void *channel, u64 deadline)
{
	u32 flags = irq_save();
	current->wait_channel = channel;
	current->wake_ns = deadline;
	block(deadline == CLOCK_NEVER ? TASK_WAITING : TASK_SLEEPING);
	irq_restore(flags);
}

void task_sleep(u64 ns)
{
	task_wait_until(NULL, clock_ns() + ns);
}

void task_wait(const void *channel)
{
	task_wait_until(channel, CLOCK_NEVER);
}

void task_wake(const void *channel)
{
	u32 flags = irq_save();
	for (u32 i = 1; i < TASKS; i++) {
		bool waits = tasks[i].state == TASK_WAITING || tasks[i].state == TASK_SLEEPING;
		if (waits && tasks[i].wait_channel == channel) {
			tasks[i].state = TASK_READY;
			schedule_soon();
		}
	}
	irq_restore(flags);
}

s32 task_join(struct task *task)
{
	u32 flags = irq_save(); /* no wake-up is lost between the check and the wait */
	while (task->state != TASK_EXITED)
		task_wait(task);
	task->state = TASK_FREE;
	irq_restore(flags);
	return task->exit_code;
}
