/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whose state is in the FPU: it changes hands at the first use, by trap 7. */
#ifndef FPU_H
#define FPU_H
#include "switcher/layouts/types.h"
#include <stdbool.h>

struct task;

struct fpu_state {
	u8 bytes[512];
	bool valid;
} __attribute__((aligned(16)));

void fpu_init(void);
bool fpu_has_sse(void);
void fpu_switch(void);          /* the current task is a new one: set TS unless the state is its own */
void fpu_trap(void);            /* trap 7 */
void fpu_forget(struct task *task); /* it ends */
void fpu_ts(bool set);          /* for the tests: TS alone */

#endif
