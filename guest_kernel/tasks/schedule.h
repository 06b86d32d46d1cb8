/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who runs next, and until when. */
#ifndef SCHEDULE_H
#define SCHEDULE_H
#include <stdbool.h>
#include "switcher/layouts/types.h"

extern bool need_schedule; /* ring 3 is not returned to before schedule() was called */

void schedule(void); /* with interrupts disabled; returns when this task is chosen again */
void schedule_soon(void);
void schedule_tick(void); /* the clock interrupt */
void schedule_idle(void) __attribute__((noreturn)); /* what the idle task does */
void schedule_load_tls(void); /* the current task's TLS segments changed */

void switch_stacks(u32 *save_esp, u32 load_esp); /* switch.S */

#endif
