/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual interrupts. The processor's interrupt flag stays set in ring 1. The Host instead reads irq_enabled and
 * blocked_interrupts in lguest_data before it injects an interrupt.
 *
 * Read next: idt.c.
 * Next in the book: idt.c.
 */
#include "guest_kernel/cpu/interrupts.h"
#include "guest_kernel/base/print.h"
#include "guest_kernel/cpu/frame.h"
#include "guest_kernel/cpu/hypercall.h"
#include "switcher/layouts/lguest_abi.h"
#include "switcher/layouts/types.h"

static irq_handler *handlers[LGUEST_IRQS];
static u32 counts[LGUEST_IRQS];
static u32 last_eip;

void irq_enable(void)
{
	lguest_data.irq_enabled = GUEST_IF;
	if (lguest_data.irq_pending)
		hypercall(LHCALL_SEND_INTERRUPTS, 0, 0, 0, 0);
}

u32 irq_save(void)
{
	u32 flags = lguest_data.irq_enabled;
	irq_disable();
	return flags;
}

void irq_restore(u32 flags)
{
	if (flags)
		irq_enable();
}

void irq_mask(u32 irq)
{
	/* A single instruction: an interrupt handler that masks too cannot run between the load and the store. */
	__asm__ volatile("orl %1, %0" : "+m"(lguest_data.blocked_interrupts) : "r"(1u << irq));
}

void irq_unmask(u32 irq)
{
	__asm__ volatile("andl %1, %0" : "+m"(lguest_data.blocked_interrupts) : "r"(~(1u << irq)));
	if (lguest_data.irq_enabled)
		hypercall(LHCALL_SEND_INTERRUPTS, 0, 0, 0, 0); /* irq_pending does not cover masked interrupts */
}

void irq_set_handler(u32 irq, irq_handler *handler)
{
	handlers[irq] = handler;
	irq_unmask(irq);
}

u32 irq_count(u32 irq)
{
	return counts[irq];
}

u32 irq_last_eip(void)
{
	return last_eip;
}

void irq_dispatch(struct trap_frame *frame)
{
	u32 irq = frame->vector - FIRST_IRQ_VECTOR;
	counts[irq]++;
	last_eip = frame->eip;
	if (!handlers[irq]) {
		print("interrupt %u has no handler; masked\n", irq);
		irq_mask(irq);
		return;
	}
	handlers[irq](irq);
}
