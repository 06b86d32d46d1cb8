/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Virtual interrupts: enable, mask, handle. */
#ifndef INTERRUPTS_H
#define INTERRUPTS_H
#include "guest_kernel/cpu/frame.h"
#include "guest_kernel/cpu/hypercall.h"
#include "switcher/layouts/types.h"

#define IRQ_CLOCK 0

typedef void irq_handler(u32 irq);

static inline void irq_disable(void)
{
	lguest_data.irq_enabled = 0;
}

void irq_enable(void); /* and has the Host inject a pending interrupt */
u32 irq_save(void);    /* disables; returns the state before, GUEST_IF or 0 */
void irq_restore(u32 flags);

void irq_mask(u32 irq);
void irq_unmask(u32 irq);
void irq_set_handler(u32 irq, irq_handler *handler); /* and unmasks the interrupt */
void irq_dispatch(struct trap_frame *frame);
u32 irq_count(u32 irq);   /* interrupts since boot */
u32 irq_last_eip(void);   /* the address that the last one interrupted */

#endif
