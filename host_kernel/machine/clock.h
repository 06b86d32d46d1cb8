/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The Guest's clock, its wall clock, and the timer that forces an exit to the Host kernel. */
#ifndef HOST_KERNEL_MACHINE_CLOCK_H
#define HOST_KERNEL_MACHINE_CLOCK_H
#include <stdbool.h>
#include "switcher/layouts/types.h"

void clock_init(void);
void clock_set_event(u64 nanoseconds);
void clock_set_deadline(u64 tsc);
void clock_check(void);
void clock_look(void);
void clock_disarm(void);
void clock_restored(void);
void clock_arm(bool retry);
void clock_exit_by(u64 tsc);
void clock_wall(u32 *seconds, u32 *nanoseconds);
void clock_timer_fired(void);

#endif
