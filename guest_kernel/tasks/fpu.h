/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lazy switching of the FPU: its state is saved and restored at the first use after a task switch. */
#ifndef FPU_H
#define FPU_H
#include "switcher/layouts/types.h"
#include <stdbool.h>

#define FXSAVE_BYTES 512

struct fpu_state {
	u8 bytes[FXSAVE_BYTES];
	bool valid;
} __attribute__((aligned(16)));

void fpu_init(void);
void fpu_switch(const struct fpu_state *next); /* at a task switch: sets TS unless the FPU holds this state */
void fpu_trap(struct fpu_state *state);      /* trap 7 */
void fpu_forget(const struct fpu_state *state); /* the state will not be used again */
void fpu_set_ts(bool set);                     /* TS alone */

#endif
