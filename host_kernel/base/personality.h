/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the Guest expects of its machine.  The core (run loop, shadow paging, clock) is one; a personality says when
 * interrupts are due, what a trap means and what an expired clock does.
 * Read next: host_kernel/lguest/personality.c, host_kernel/native/personality.c.
 */
#ifndef HOST_KERNEL_BASE_PERSONALITY_H
#define HOST_KERNEL_BASE_PERSONALITY_H
#include <stdbool.h>
#include "switcher/layouts/types.h"

struct personality {
	void (*init)(void);          /* the CPU's tables for the Guest, and its first registers */
	void (*interrupts)(void);    /* inject what the Guest would take now; wakes it if it sleeps */
	bool (*needs_retry)(void);    /* an interrupt is pending that the Guest will not ask for */
	void (*asleep)(void);        /* it sleeps: end it if nothing can wake it */
	void (*clock_expired)(void); /* guest.clock_deadline has passed */
	void (*device_irq)(u32 irq); /* a device of the Launcher's raised it */
	void (*before_entry)(void);  /* the last look at guest.regs */
	void (*trap)(void);          /* the Guest came out: guest.regs has the exit reason */
};

extern const struct personality lguest_personality, native_personality;
extern struct personality personality; /* the one chosen: a copy, which can be HOT */

#endif
