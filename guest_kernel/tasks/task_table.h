/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The task structure, the table of all tasks, and the current one.
 * Next in the book: tasks.c.
 */
#ifndef TASK_TABLE_H
#define TASK_TABLE_H
#include "guest_kernel/base/layout.h"
#include "guest_kernel/tasks/fpu.h"
#include "switcher/layouts/types.h"
#include <stdbool.h>

#define TASKS 24

enum task_state { TASK_FREE, TASK_READY, TASK_SLEEPING, TASK_WAITING, TASK_EXITED };

struct task {
	u32 id;
	const char *name;
	enum task_state state;
	u32 runs;      /* how often it was switched to */
	u32 faults;    /* demand faults */
	u32 ring;      /* of its own code: as created, then as found at each of its system calls */
	u32 directory; /* its page directory */
	u32 esp;       /* of its ring-1 stack, while it does not run */
	u32 trap_esp;  /* where a trap from ring 3 pushes: LHCALL_SET_STACK */
	u64 wake_ns;   /* when SLEEPING: clock_ns() time */
	const void *wait_channel; /* when WAITING; when SLEEPING too, or NULL */
	s32 exit_code; /* when EXITED */
	bool detached; /* nobody joins it: its entry is free after its exit */
	u32 tls[TLS_COUNT * 2]; /* descriptors */
	struct fpu_state fpu;
};

extern struct task tasks[TASKS]; /* 0 is the idle task */
extern struct task *current;

struct task *task_find(u32 id);
struct task *task_unused(void); /* an entry for a new task; NULL when there is none */
u32 task_stack_top(const struct task *task);

extern u8 boot_stack[STACK_BYTES]; /* start.S runs on it; then it is the idle task's */

#endif
