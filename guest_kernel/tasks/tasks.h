/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tasks: what runs, in ring 1 or ring 3. */
#ifndef TASKS_H
#define TASKS_H
#include "guest_kernel/cpu/fpu.h"
#include "guest_kernel/memory/layout.h"
#include "switcher/layouts/types.h"
#include <stdbool.h>

#define TASKS 24

enum task_state { TASK_FREE, TASK_READY, TASK_SLEEPING, TASK_WAITING, TASK_EXITED };

struct task {
	u32 id;
	const char *name;
	enum task_state state;
	u32 runs;      /* how often it was switched to */
	u32 faults;    /* demand pages given */
	u32 ring;      /* of its own code: as it started, then as each of its system calls finds it */
	u32 directory;
	u32 esp;       /* of its ring-1 stack, while it does not run */
	u32 trap_esp;  /* where traps from ring 3 push */
	u64 wake;      /* when SLEEPING: clock_ns */
	const void *waits_for;
	s32 code;      /* when EXITED */
	bool detached; /* nobody will join it: its place is free once it ended */
	u32 tls[TLS_COUNT * 2];
	struct fpu_state fpu;
};

typedef void program(u32 argument) __attribute__((regparm(1)));

extern struct task *current;
extern struct task tasks[TASKS]; /* 0 is the idle task */

void tasks_init(void);
struct task *task_program(const char *name, program *start, u32 argument); /* NULL: no room */
struct task *task_kernel(const char *name, void (*start)(void));
struct task *task_find(u32 id);
void task_exit(s32 code) __attribute__((noreturn));
void task_kill(struct task *task); /* another one; a program */
void task_sleep(u64 ns);
void task_wait(const void *what); /* until task_wake(what), which may come for other reasons too */
void task_wake(const void *what);
s32 task_join(struct task *task); /* waits for its end, frees its place, gives its code */
u32 task_stack_top(const struct task *task);

#endif
