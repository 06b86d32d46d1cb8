/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The scheduler: which task runs next, and for how long. */
#ifndef SCHEDULE_H
#define SCHEDULE_H
#include "switcher/layouts/types.h"
#include <stdbool.h>

extern bool need_schedule; /* schedule() must run before the next return to ring 3 */

void schedule(void); /* with interrupts disabled; returns when this task is chosen again */
void schedule_soon(void);
void schedule_tick(u32 irq); /* the clock interrupt's handler */
void schedule_idle(void) __attribute__((noreturn)); /* the idle task's loop */
void schedule_load_tls(void); /* after a change of the current task's TLS descriptors; asynchronous */

void switch_stacks(u32 *save_esp, u32 load_esp); /* switch.S */

#endif
