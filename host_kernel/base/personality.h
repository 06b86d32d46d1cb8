/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A personality: the machine that the Guest expects.  The run loop, shadow paging and the clock are common; a personality
 * decides when interrupts are injected, what a trap means and what an expired clock does.
 * Read next: host_kernel/lguest/personality.c, host_kernel/native/personality.c.
 * Next in the book: host_kernel/machine/tables.c.
 */
#ifndef HOST_KERNEL_BASE_PERSONALITY_H
#define HOST_KERNEL_BASE_PERSONALITY_H
#include <stdbool.h>
#include "switcher/layouts/types.h"

struct personality {
	void (*init)(void);          /* descriptor tables for the Guest, and its initial registers */
	void (*interrupts)(void);    /* inject a pending interrupt that the Guest does not mask; wakes it */
	bool (*needs_retry)(void);   /* an interrupt is pending, and no exit will follow when the Guest unmasks it */
	void (*asleep)(void);        /* the Guest is halted: end the run if no interrupt can wake it */
	void (*clock_expired)(void); /* guest.clock_deadline has passed */
	void (*device_irq)(u32 number, u32 cause); /* mailbox.irq_raised[number] or config_raised moved: ISR_QUEUE or ISR_CONFIG */
	void (*before_entry)(void);  /* last changes to guest.regs and the Switcher's state */
	void (*trap)(void);          /* handle an exit: guest.regs has the exit reason */
	void (*irq_line)(u32 irq, bool high); /* a PCI interrupt line: high while a function requests service */
	void (*message)(u32 address, u32 data); /* an MSI of a PCI function */
	u32 (*io_read)(u32 physical, u32 size); /* registers in guest.io_pages */
	void (*io_write)(u32 physical, u32 size, u32 value);
	u32 (*segment_base)(u16 selector);
	bool (*software_interrupt)(u32 vector, u32 length); /* int of so many bytes, which faulted for the debugger's sake; NULL: trap does it */
	void (*control_registers)(u32 registers[4]); /* CR0, 2, 3 and 4 as the Guest has them, for the debugger */
};

extern const struct personality lguest_personality, native_personality;
extern struct personality personality; /* the one in use: a copy, so that it can be HOT */

#endif
