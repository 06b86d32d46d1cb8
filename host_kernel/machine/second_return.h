/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The return to the Guest by a second frame. */
#ifndef HOST_KERNEL_MACHINE_SECOND_RETURN_H
#define HOST_KERNEL_MACHINE_SECOND_RETURN_H
#include <stdbool.h>
#include "switcher/layouts/types.h"

/* What it is for. */
#define RETURN_BREAKPOINTS 1u
#define RETURN_STACK_16    2u
void second_return_exchange(u32 (*from)(void), u32 (*to)(void));
void second_return(u32 reason, bool wanted);
void second_return_undo(void);

#endif
