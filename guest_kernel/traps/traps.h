/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The way into the kernel: trap stubs and the trap handler. */
#ifndef TRAPS_H
#define TRAPS_H
#include "guest_kernel/cpu/frame.h"
#include "switcher/layouts/types.h"

void traps_init(void); /* loads the kernel's gates */

extern const u32 trap_stubs[]; /* addresses, of vectors 0 to TRAP_STUBS - 1 */
extern const char trap_system_call[];

/* The exit code of a program that a trap ended. */
#define TRAP_EXIT_CODE(vector) (-(s32)(vector) - 1)

/*
 * Called for each trap that is not a demand fault, before its handler, and for each interrupt, after its handler. It
 * need not return. NULL: none.
 */
typedef void trap_hook(struct trap_frame *frame, u32 cr2);
void trap_set_hook(trap_hook *hook);

void trap(struct trap_frame *frame); /* traps.S */

#endif
