/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The life of a task: creation, waiting, exit. */
#ifndef TASKS_H
#define TASKS_H
#include "guest_kernel/tasks/task_table.h"
#include "switcher/layouts/types.h"

typedef void program(u32 argument) __attribute__((regparm(1)));

void tasks_init(void);
struct task *task_program(const char *name, program *start, u32 argument); /* in ring 3; NULL: no room */
struct task *task_kernel(const char *name, void (*start)(void));           /* in ring 1 */
void task_exit(s32 exit_code) __attribute__((noreturn));
void task_kill(struct task *task); /* a program; not the current task */
void task_sleep(u64 ns);
void task_wait(const void *channel); /* until task_wake() of the channel; the caller checks why it woke */
void task_wait_until(const void *channel, u64 deadline); /* the same, or until a time in clock_ns() */
void task_wake(const void *channel);
s32 task_join(struct task *task); /* waits for its exit, frees its entry, returns its exit code */

#endif
