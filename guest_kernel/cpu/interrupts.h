/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Virtual interrupts: enabling, masking, handlers. */
#ifndef INTERRUPTS_H
#define INTERRUPTS_H
#include "guest_kernel/cpu/hypercall.h"
#include "guest_kernel/cpu/traps.h"

#define IRQ_CLOCK 0

typedef void irq_handler(void);

static inline void irq_disable(void)
{
	lguest_data.irq_enabled = 0;
}

/* Also asks for what came meanwhile. */
void irq_enable(void);
u32 irq_save(void); /* disables; what it was: GUEST_IF or 0 */
void irq_restore(u32 flags);

void irq_mask(u32 irq);
void irq_unmask(u32 irq);
void irq_set_handler(u32 irq, irq_handler *handler); /* and unmasks it */
void irq_dispatch(struct frame *frame);
u32 irq_count(u32 irq);   /* how many arrived since the start */
u32 irq_last_eip(void);   /* where the last one came */

#endif
