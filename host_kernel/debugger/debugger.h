/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What gdb wants of the Guest.  Read next: debugger.c, step.c. */
#ifndef HOST_KERNEL_DEBUGGER_DEBUGGER_H
#define HOST_KERNEL_DEBUGGER_DEBUGGER_H
#include <stdbool.h>
#include "switcher/layouts/types.h"

void debugger_init(void);

/* step.c */
void step_prepare(void);
bool step_took(bool step);
bool step_is_done(void);
bool step_closed(u32 vector);

#endif
